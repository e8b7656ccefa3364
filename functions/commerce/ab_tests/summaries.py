"""The morning's word to the team on its tests: what happened yesterday, how they stand, which need a person.

A day is the tenant-local one before the slot. What is significant is said by the always-valid p; results older than
two hours are looked at anew first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from functions.commerce.ab_tests.deciding import MAX_RUNTIME
from functions.commerce.ab_tests.evaluating import EVALUATION_EMITS, evaluate_test
from functions.commerce.ab_tests.mailing import Telling, admin_page, send_mails, telling_of
from functions.commerce.ab_tests.rules import VARIANTS, by_test, short, slot_of
from functions.commerce.ab_tests.telling import COMPLETE, SUMMARY, say
from functions.commerce.ab_tests.wording import interval_text, lift_text, p_text, value_text
from shared.ab_tests.mails import DAILY
from shared.events.ab_tests import AbDailySummary
from shared.events.base import Payload
from shared.jobs import Delivery, JobContext, Retry, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import AB_TESTING
from shared.mail import EMITS as MAIL_EMITS
from shared.mail.addresses import hash_address
from shared.slack import escape
from shared.tenant_settings import base_currency
from shared.time import day_bounds, last_complete_day, tenant_zone

STALE = timedelta(hours=2)
"""Age of a result beyond which it is made anew before it is told."""
NEWS_FOR = timedelta(hours=24)
"""Time for which a completed test is told of."""
SECTIONS = 20
"""Tests with a section of their own; Slack takes 50 blocks."""
SECTION_MAX = 2900
"""Characters of a section; Slack takes 3,000."""
FAR = 180
"""Days left beyond which the number means nothing."""


class AbDailySummaryResult(Payload):
    """`activeTests` were told of; `topPerformer` is the variant with the highest significant lift."""

    date: date
    active_tests: int = 0
    significant: int = 0
    need_attention: int = 0
    top_performer: str | None = None
    slack: bool = False
    mails: int = 0


TESTS = """
-- A/B summary: the tests of the day
SELECT t.id, t.name, t.status, t.started_at, t.ended_at, s.evaluated_at
FROM ab_tests t LEFT JOIN ab_test_state s ON s.test_id = t.id
WHERE t.status IN ('running', 'paused') OR (t.status = 'completed' AND t.ended_at > %(since)s)
ORDER BY t.id
"""

STANDING = """
-- A/B summary: how tests stand
SELECT t.id, t.name, t.status, t.started_at, t.ended_at, COALESCE(s.decision, 'collecting') AS decision,
       COALESCE(s.results, '{}') AS results, COALESCE(s.needs_attention, '{}') AS marks,
       COALESCE(t.winner_variant_id, t.winning_variant_id) AS winner,
       EXISTS (SELECT FROM ab_guardrails g WHERE g.test_id = t.id AND g.is_triggered) AS guarded
FROM ab_tests t LEFT JOIN ab_test_state s ON s.test_id = t.id
WHERE t.id = ANY(%(ids)s) ORDER BY t.id
"""

YESTERDAY = """
-- A/B summary: the day's numbers
SELECT m.test_id, m.variant_id, m.visitors, m.purchases, m.revenue_cents
FROM ab_daily_metrics m WHERE m.test_id = ANY(%(ids)s) AND m.date = %(date)s
"""


def run_key(p: AbDailySummary, m: Delivery) -> str:
    """The slot, or the message that asks, and who is told besides; the day's dedupe keys keep a repetition silent."""
    more = hash_address(p.recipient_email)[:16] if p.recipient_email else "-"
    return f"{p.slot.isoformat() if p.slot else m.id}:{more}"


@job(
    "ab-daily-metrics-summary",
    on=AbDailySummary,
    queue=AB_TESTING,
    emits=(*EVALUATION_EMITS, *MAIL_EMITS),
    retry=Retry(attempts=3, factor=2, min_s=2, max_s=30),
    timeout_s=120,
    key=run_key,
)
def summarize_day(ctx: JobContext, payload: AbDailySummary) -> AbDailySummaryResult:
    """Tell the team how its tests stand. RateLimited SLACK_RATE_LIMITED, Transient SLACK_UNAVAILABLE."""
    slot = slot_of(ctx, payload)
    with ctx.tenant_session(read_only=True) as session:
        zone, telling = tenant_zone(session), telling_of(session, more=payload.recipient_email)
        tests = session.all(TESTS, {"since": slot - NEWS_FOR})
    day = last_complete_day(slot, zone)
    if not tests and not telling.when_quiet:
        return AbDailySummaryResult(date=day)
    _refresh(ctx, tests, slot)
    with ctx.tenant_session(read_only=True) as session:
        board = board_of(session, [test["id"] for test in tests], day, slot)
    slack = telling.slack if payload.send_to_slack is None else payload.send_to_slack
    told, mails = _tell(ctx, board, telling, slack=slack)
    return AbDailySummaryResult(
        date=day,
        active_tests=len(board.entries),
        significant=sum(entry.significant is not None for entry in board.entries),
        need_attention=sum(bool(entry.attention) for entry in board.entries),
        top_performer=board.top,
        slack=told,
        mails=mails,
    )


def _refresh(ctx: JobContext, tests: Sequence[Row], slot: datetime) -> None:
    """Judge the tests whose results are old, each in a transaction of its own."""
    for test in tests:
        if test["evaluated_at"] is None or test["evaluated_at"] < slot - STALE:
            with ctx.tenant_session() as session:
                evaluate_test(ctx, session, test["id"], slot)


# -- what is told ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """One test. `attention`: why it wants a person. `significant`: (lift, variant id) of its best proven challenger."""

    test: Row
    names: Mapping[str, str]
    day: Mapping[str, Row]
    attention: tuple[str, ...]
    significant: tuple[float, str] | None

    @property
    def visitors(self) -> int:
        """Of the day."""
        return sum(row["visitors"] for row in self.day.values())


@dataclass(frozen=True, slots=True)
class Board:
    """All tests of a day, those that want attention first, then by visitors of the day."""

    day: date
    currency: str
    entries: tuple[Entry, ...] = field(default=())

    @property
    def top(self) -> str | None:
        found = [entry.significant for entry in self.entries if entry.significant is not None]
        return max(found)[1] if found else None


def board_of(session: Session, ids: list[str], day: date, slot: datetime) -> Board:
    """How tests stand on a local day."""
    variants = by_test(session.all(VARIANTS, {"ids": ids}))
    rows: dict[str, dict[str, Row]] = {}
    for row in session.all(YESTERDAY, {"ids": ids, "date": day}):
        rows.setdefault(row["test_id"], {})[row["variant_id"]] = row
    entries, over = [], day_bounds(day, tenant_zone(session))[1]
    for test in session.all(STANDING, {"ids": ids}):
        names = {variant.id: variant.name for variant in variants.get(test["id"], [])}
        mine = rows.get(test["id"], {})
        entries.append(Entry(test, names, mine, _attention(test, mine, slot, over), _significant(test)))
    entries.sort(key=lambda entry: (not entry.attention, -entry.visitors, entry.test["id"]))
    return Board(day, base_currency(session), tuple(entries))


def _attention(test: Row, day: Mapping[str, Row], slot: datetime, over: datetime) -> tuple[str, ...]:
    """Why a test wants a person; `over` is the end of the day."""
    found = {str(mark).replace("_", " ") for mark in test["marks"]}
    if test["guarded"]:
        found.add("guardrail")
    began = test["started_at"] is None or test["started_at"] < over
    if test["status"] == "running" and began and not any(row["visitors"] for row in day.values()):
        found.add("no visitors on the day")
    if test["status"] != "completed" and test["started_at"] and slot - test["started_at"] > MAX_RUNTIME:
        found.add("too long")
    return tuple(sorted(found))


def _significant(test: Row) -> tuple[float, str] | None:
    """The highest lift that is proven, and whose."""
    alpha = test["results"].get("alpha", 0.0)
    found = [
        (shown["lift"], id)
        for id, shown in (test["results"].get("variants") or {}).items()
        if shown.get("lift") is not None
        and shown["lift"] > 0
        and (shown.get("direction") or 0) > 0  # the p is that of a gain, not of a loss that was
        and shown.get("pAdjusted", 1.0) <= alpha
    ]
    return max(found) if found else None


def progress(results: Mapping[str, Any]) -> int | None:
    """How far the smallest arm is, in whole percent of the visitors that it needs; None when that is not known."""
    needed = results.get("neededPerArm")
    arms = [shown["n"] for shown in (results.get("variants") or {}).values()]
    return min(100, min(arms) * 100 // needed) if needed and arms else None


def days_left_text(days: int | None) -> str:
    """Days as they are shown: a far end is only called far."""
    if days is None:
        return "unknown"
    return f"more than {FAR}" if days > FAR else str(days)


def lines_of(entry: Entry, currency: str) -> list[str]:
    """A test in plain lines, the first of them its heading."""
    test, results = entry.test, entry.test["results"]
    metric, shown = results.get("metric", "conversion_rate"), results.get("variants") or {}
    done = progress(results)
    lines = [f"{short(test['name'])} ({test['status']}): {test['decision'].replace('_', ' ')}"]
    if entry.attention:
        lines.append(f"Attention: {', '.join(entry.attention)}")
    lines.append(
        f"Progress {'unknown' if done is None else f'{done}%'}, days left {days_left_text(results.get('daysLeft'))}"
    )
    for id, name in entry.names.items():
        day, arm = entry.day.get(id), shown.get(id) or {}
        visitors, purchases = (day["visitors"], day["purchases"]) if day else (0, 0)
        rate = f" ({purchases / visitors:.2%})" if visitors else ""
        value = value_text(metric, arm.get(VALUES.get(metric, "aov")), currency)
        line = f"{short(name)}: day {visitors} visitors, {purchases} orders{rate}, "
        line += f"{value_text('money', day['revenue_cents'] if day else 0, currency)}; "
        line += f"in all {arm.get('n', 0)} visitors, {arm.get('x', 0)} converted, {value}"
        if "lift" in arm:
            line += f", lift {lift_text(arm['lift'])} {interval_text(metric, arm.get('interval'), currency)}"
            line += f", p {p_text(arm.get('pSequential'))} (adjusted {p_text(arm.get('pAdjusted'))})"
        lines.append(line)
    return lines


VALUES: Mapping[str, str] = {"conversion_rate": "rate", "revenue_per_visitor": "rpv", "average_order_value": "aov"}
"""Metric -> member of a variant's results."""


def _tell(ctx: JobContext, board: Board, telling: Telling, *, slack: bool) -> tuple[bool, int]:
    day, count = board.day.isoformat(), len(board.entries)
    attention = sum(bool(entry.attention) for entry in board.entries)
    texts = [lines_of(entry, board.currency) for entry in board.entries]
    variables = {
        "date": board.day,
        "tests": "\n\n".join("\n".join(lines) for lines in texts) or "No test is running.",
        "attentionCount": attention,
        "adminUrl": admin_page(ctx),
    }
    mails = send_mails(ctx, DAILY, telling.addresses, variables, dedupe=f"ab-daily:{day}", raising=True)
    if not slack:
        return False, mails
    fallback = f"A/B tests on {day}: {count} tests, {attention} need attention"
    told = say(
        ctx, [SUMMARY, COMPLETE], fallback, blocks_of(f"A/B tests on {day}", texts), dedupe_key=f"ab-daily:{day}"
    )
    return told, mails


def blocks_of(heading: str, texts: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
    """A heading, a section per test, and how many were left out."""
    blocks: list[dict[str, Any]] = [{"type": "header", "text": {"type": "plain_text", "text": heading}}]
    for lines in texts[:SECTIONS]:
        first, *rest = (escape(line) for line in lines)
        blocks.append(_section("\n".join([f"*{first}*", *rest])))
    if len(texts) > SECTIONS:
        blocks.append(_section(f"and {len(texts) - SECTIONS} more"))
    return blocks


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:SECTION_MAX]}}
