"""Judging a live test, and keeping what was found: used by every job that has made numbers new.

A completed test keeps its decision and its winner; only the results follow corrections.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from functions.commerce.ab_tests.assessing import Assessment, assess, results_of
from functions.commerce.ab_tests.deciding import MAX_RUNTIME, UNLINKED_MAX, Arm, Decision, Word, while_running
from functions.commerce.ab_tests.rules import INVALID_CONFIGURATION, short
from functions.commerce.ab_tests.subjects import Subject, hold, subject_of
from shared.events.ab_tests import AbTestPaused, AbWinnerDetected
from shared.events.alerts import AlertUnusualActivity
from shared.jobs import JobContext, Session

EVALUATION_EMITS = (AbWinnerDetected, AbTestPaused, AlertUnusualActivity)
"""What a job that evaluates may emit."""
LIVE = ("running", "paused")
MISMATCH_MARKED, MISMATCH_ALARMING, MISMATCH_ORDERS = 0.05, 0.10, 20
"""Share of orders with another arm's shipping that is shown, that is told, and the orders it needs."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a look has led to. `announced`: the result is news."""

    decision: Word
    winner: str | None
    announced: bool
    paused: bool
    results: dict[str, Any]


KEEP = """
-- A/B judging: what was found of a test
UPDATE ab_test_state SET
    decision = %(decision)s, decided_at = %(decided_at)s, tau = %(tau)s, sequential = %(sequential)s,
    srm_status = %(srm_status)s, srm_p = %(srm_p)s, srm_critical_since = %(critical_since)s,
    results = results || %(results)s, needs_attention = %(marks)s::text[], evaluated_at = %(slot)s, updated_at = %(now)s
WHERE test_id = %(test_id)s
"""

KEEP_RESULTS = """
-- A/B judging: the results of a test that is over follow corrections
UPDATE ab_test_state SET
    results = results || %(results)s, tau = CASE WHEN %(anew)s THEN %(tau)s ELSE tau END,
    sequential = CASE WHEN %(anew)s THEN %(sequential)s ELSE sequential END,
    evaluated_at = %(slot)s, updated_at = %(now)s
WHERE test_id = %(test_id)s
"""

KEEP_WINNER = """
-- A/B judging: what the applications read of a result; both generations of columns
UPDATE ab_tests SET winner_variant_id = %(winner)s, winning_variant_id = %(winner)s, is_significant = %(significant)s
WHERE id = %(test_id)s
  AND (winner_variant_id, winning_variant_id, is_significant)
      IS DISTINCT FROM (%(winner)s::text, %(winner)s::text, %(significant)s::boolean)
"""

PAUSE = """
-- A/B judging: pause a running test, and know that it was told
WITH paused AS (UPDATE ab_tests SET status = 'paused' WHERE id = %(test_id)s AND status = 'running' RETURNING id)
UPDATE ab_test_state s
SET last_status = 'paused', status_seq = s.status_seq + 1, paused_reason = %(reason)s, updated_at = %(now)s
FROM paused p WHERE s.test_id = p.id
RETURNING s.status_seq
"""


def evaluate_test(
    ctx: JobContext, session: Session, test_id: str, slot: datetime, *, anew: bool = False
) -> Evaluation | None:
    """Judge one test in the caller's transaction, as it stands at `slot`; its state row stays locked.

    `anew`: its data were repaired, so what earlier looks left behind is forgotten. None: there is no such test, it is
    a draft, or somebody has judged it at a later slot. Emits EVALUATION_EMITS.
    """
    hold(session, [test_id], ctx.now())
    subject = subject_of(session, test_id)
    if subject is None or subject.status == "draft":
        return None
    evaluated_at = subject.state["evaluated_at"]
    if evaluated_at is not None and evaluated_at > slot:
        return None
    seen = assess(session, subject, slot, anew=anew)
    if subject.status not in LIVE:
        return _follow(ctx, session, seen, anew=anew)
    decision = while_running(seen.found)
    results = results_of(seen)
    announced = announce(session, seen, decision, results, auto=subject.test["auto_end"])
    _alarm(session, seen, results)
    keep(ctx, session, seen, decision, results)
    paused = _pause(ctx, session, seen)
    return Evaluation(decision.word, decision.winner, announced, paused, results)


def _follow(ctx: JobContext, session: Session, seen: Assessment, *, anew: bool) -> Evaluation:
    results = results_of(seen)
    names = {
        "test_id": seen.subject.id,
        "results": Jsonb(results),
        "anew": anew,
        "tau": Jsonb(seen.tau),
        "sequential": Jsonb(seen.sequential),
        "slot": seen.slot,
        "now": ctx.now(),
    }
    session.execute(KEEP_RESULTS, names)
    state = seen.subject.state
    return Evaluation(state["decision"], seen.subject.test["winner"], False, False, results)


def keep(ctx: JobContext, session: Session, seen: Assessment, decision: Decision, results: Mapping[str, Any]) -> None:
    """Write a look's decision, winner, results and marks."""
    state = seen.subject.state
    same = state["decision"] == decision.word and state["decided_at"] is not None
    names = {
        "test_id": seen.subject.id,
        "decision": decision.word,
        "decided_at": state["decided_at"] if same else seen.slot,
        "tau": Jsonb(seen.tau),
        "sequential": Jsonb(seen.sequential),
        "srm_status": seen.found.split.status,
        "srm_p": seen.found.split.p,
        "critical_since": seen.critical_since,
        "results": Jsonb(results),
        "marks": marks_of(seen),
        "slot": seen.slot,
        "now": ctx.now(),
    }
    session.execute(KEEP, names)
    winner = {"test_id": seen.subject.id, "winner": decision.winner, "significant": decision.significant}
    session.execute(KEEP_WINNER, winner)


def marks_of(seen: Assessment) -> list[str]:
    """needs_attention after a look: its own marks set or cleared, the others kept."""
    found, subject = seen.found, seen.subject
    own = {
        "srm": found.split_wrong,
        "unlinked_orders": found.unlinked_share > UNLINKED_MAX,
        "too_long": subject.status in LIVE and found.runtime > MAX_RUNTIME,
        INVALID_CONFIGURATION: found.problem is not None or _goes_nowhere(subject),
        "shipping_mismatch": mismatch_rate(seen) > MISMATCH_MARKED,
    }
    return sorted(({*subject.state["needs_attention"]} - set(own)) | {mark for mark, on in own.items() if on})


def _goes_nowhere(subject: Subject) -> bool:
    """Whether the test runs and no arm gets any visitors."""
    return subject.status == "running" and not any(variant.share for variant in subject.variants)


def mismatch_rate(seen: Assessment) -> float:
    """Orders of a shipping test that were shipped at another arm's rate, as a share."""
    test = seen.subject.test
    return test["mismatched"] / test["shipped"] if test["shipped"] else 0.0


# -- telling -----------------------------------------------------------------------------------------------------------


def leading_arm(seen: Assessment, decision: Decision) -> Arm | None:
    """The arm that a result is told by: the winner, or the best of the challengers where the control has won."""
    by_id = {arm.id: arm for arm in seen.found.arms}
    if decision.winner in by_id and by_id[decision.winner] is not seen.found.control:
        return by_id[decision.winner]
    return max(seen.found.challengers, key=lambda arm: arm.mean or 0.0, default=None)


def announce(
    session: Session,
    seen: Assessment,
    decision: Decision,
    results: dict[str, Any],
    *,
    auto: bool,
    planned: bool = False,
) -> bool:
    """Emit ab.winnerDetected for a result that was not announced yet, and note in `results` that it was.

    `planned`: the p-value told is that of the one look at a planned end.
    """
    told = (seen.subject.state.get("results") or {}).get("announced")
    word = f"{decision.word}:{decision.winner}"
    if not decision.made or decision.winner is None or told == word:
        return False
    results["announced"] = word
    arm = leading_arm(seen, decision)
    bandit = seen.found.bandit
    p_value = None if arm is None or bandit else arm.fixed_adjusted if planned else arm.sequential_adjusted
    event = AbWinnerDetected(
        test_id=seen.subject.id,
        variant_id=decision.winner,
        decision="winner" if decision.word == "winner" else "control_wins",
        lift=arm.comparison.lift if arm and arm.comparison else None,
        p_value=p_value,
        p_best=next((each.p_best for each in seen.found.arms if each.id == decision.winner), None) if bandit else None,
        auto=auto,
    )
    session.emit(event, key=f"ab.winnerDetected:{seen.subject.id}:{word}")
    return True


def _alarm(session: Session, seen: Assessment, results: dict[str, Any]) -> None:
    """Tell of a wrong split and of wrong shipping, each once per test and UTC day."""
    day = seen.slot.date().isoformat()
    before = seen.subject.state.get("results") or {}
    if seen.found.split_wrong and before.get("srmToldOn") != day:
        results["srmToldOn"] = day
        session.emit(_wrong_split(seen, day))
    often = seen.subject.test["shipped"] >= MISMATCH_ORDERS and mismatch_rate(seen) > MISMATCH_ALARMING
    if often and before.get("mismatchToldOn") != day:
        results["mismatchToldOn"] = day
        session.emit(_wrong_shipping(seen, day))


def _wrong_split(seen: Assessment, day: str) -> AlertUnusualActivity:
    id, split = seen.subject.id, seen.found.split
    return AlertUnusualActivity(
        severity="warning",
        source="ab_tests",
        title=f"A/B test splits its visitors wrongly: {short(seen.subject.test['name'])}",
        message="The visitors per variant are not what the shares lead to expect; the results of the test are invalid.",
        dedupe_key=f"ab-srm:{id}:{day}",
        context={"testId": id, "pValue": split.p, "observed": split.observed, "expected": split.expected},
    )


def _wrong_shipping(seen: Assessment, day: str) -> AlertUnusualActivity:
    id, rate = seen.subject.id, mismatch_rate(seen)
    return AlertUnusualActivity(
        severity="warning",
        source="ab_tests",
        title=f"A/B test ships at wrong rates: {short(seen.subject.test['name'])}",
        message=f"{rate:.0%} of the orders were shipped at the rate of another variant.",
        dedupe_key=f"ab-mismatch:{id}:{day}",
        context={"testId": id, "rate": round(rate, 4)},
    )


def _pause(ctx: JobContext, session: Session, seen: Assessment) -> bool:
    """Pause a test whose split is wrong, where the tenant wants that."""
    subject = seen.subject
    if not seen.found.split_wrong or subject.settings.get("srmAction") != "pause" or subject.status != "running":
        return False
    seq = session.value(PAUSE, {"test_id": subject.id, "reason": "srm", "now": ctx.now()})
    if seq is None:
        return False
    session.emit(AbTestPaused(test_id=subject.id, reason="srm"), key=f"ab.testPaused:{subject.id}:{seq}")
    return True
