"""The report of a test that is over: its corrected numbers beside the first ones, which stay as they were told."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from functions.commerce.ab_tests.evidence import LATE_WINDOW
from functions.commerce.ab_tests.subjects import Subject
from shared.jobs import JobContext, Session

RESULT_CHANGED = "result_changed"

KEEP_CURRENT = """
-- A/B reports: the corrected numbers of a test that is over
UPDATE ab_test_state
SET final_report = final_report || %(more)s, updated_at = %(now)s
WHERE test_id = %(test_id)s AND final_report IS NOT NULL
  AND (final_report -> 'current', final_report -> 'preliminary') IS DISTINCT FROM
      (%(more)s::jsonb -> 'current', %(more)s::jsonb -> 'preliminary')
"""


def correct_report(
    ctx: JobContext, session: Session, subject: Subject, results: Mapping[str, Any], slot: datetime
) -> dict[str, bool]:
    """Keep the present results in a test's report; the mark result_changed, nothing for a test without a report."""
    report = subject.state.get("final_report")
    if report is None or subject.status != "completed":
        return {}
    more = {"current": dict(results), "preliminary": subject.until(slot) > slot - LATE_WINDOW}
    session.execute(KEEP_CURRENT, {"test_id": subject.id, "more": Jsonb(more), "now": ctx.now()})
    return {RESULT_CHANGED: has_changed(report, results, bandit=subject.algorithm is not None)}


def has_changed(report: Mapping[str, Any], results: Mapping[str, Any], *, bandit: bool) -> bool:
    """Whether what decided a test no longer holds: the winner is not ahead, or its p is above alpha.

    The p is of the kind that decided: the fixed one at a planned end, else the always-valid one, for a bandit the
    probability of being best. The control wins where every other arm is behind.
    """
    decision, winner, variants = report.get("decision"), report.get("winner"), results["variants"]
    if decision not in ("winner", "control_wins") or report.get("chosenBy") == "manual":
        return False
    alpha = results["alpha"]
    if bandit:
        return bool(((variants.get(winner) or {}).get("pBest") or 0.0) < 1 - alpha)
    p_name = "pFixedAdjusted" if report.get("reason") == "scheduled" else "pAdjusted"
    if decision == "winner":
        return not _holds(variants.get(winner), p_name, alpha, sign=1)
    others = [arm for id, arm in variants.items() if id != results["control"]]
    return not others or not all(_holds(arm, p_name, alpha, sign=-1) for arm in others)


def _holds(arm: Mapping[str, Any] | None, p_name: str, alpha: float, *, sign: int) -> bool:
    if arm is None or arm.get("difference") is None or arm.get(p_name) is None:
        return False
    return bool(arm["difference"] * sign > 0 and arm[p_name] <= alpha)
