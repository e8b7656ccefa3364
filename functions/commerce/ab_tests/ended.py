"""A test is over: its last counters and orders, one final look, the winner, a report, a word to the team.

Which p decides depends on who ended it. A date that was fixed beforehand allows one look with the fixed p; an end that
somebody chose on what he saw is judged by the always-valid one; a result found while it ran is kept; what a guardrail
stopped has no winner. A retry finds the report and only tells again what was not told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from functions.commerce.ab_tests import order_rows as sql
from functions.commerce.ab_tests.aggregating import take_in
from functions.commerce.ab_tests.assessing import Assessment, assess, results_of
from functions.commerce.ab_tests.attributing import Cart, World, ask_shopify, attribute, to_ask, world_of
from functions.commerce.ab_tests.created import ADD_STATE, locked_test
from functions.commerce.ab_tests.daily import hold_tests, recount
from functions.commerce.ab_tests.deciding import INCONCLUSIVE, Decision, at_the_end
from functions.commerce.ab_tests.evaluating import announce, keep, leading_arm
from functions.commerce.ab_tests.mailing import admin_page, send_mails, telling_of
from functions.commerce.ab_tests.marks import REDIS_UNAVAILABLE, set_marks
from functions.commerce.ab_tests.reconcile import OVERLAP, PAGE, POSITION
from functions.commerce.ab_tests.rules import VARIANTS, by_test, short
from functions.commerce.ab_tests.schedule import CLOSE_EPOCHS
from functions.commerce.ab_tests.storefront import in_redis
from functions.commerce.ab_tests.subjects import hold, subject_of
from functions.commerce.ab_tests.telling import COMPLETE, tell
from functions.commerce.ab_tests.wording import arm_line, interval_text, lift_text
from shared.ab_tests.mails import RESULT
from shared.events.ab_tests import AbTestEnded, AbWinnerDetected
from shared.events.base import Payload
from shared.jobs import JobContext, Permanent, Retry, Session, job
from shared.jobs.context import Row
from shared.jobs.errors import JobError
from shared.jobs.queues import AB_TESTING
from shared.mail import EMITS as MAIL_EMITS
from shared.redis import Call, Redis
from shared.slack import escape
from shared.tenant_settings import base_currency
from shared.time import local_date, tenant_zone

LATE_ORDERS = timedelta(hours=3)
"""Span before the end whose orders are looked at again."""
RECOUNTED = timedelta(days=2)
ROOM_S = 90.0
"""Seconds that must be left to walk on through orders: the look, the report and the telling come after them."""


class AbTestEndedResult(Payload):
    """`orders` counts for the test; `lift` in percent is that of the winner, else of the best challenger."""

    outcome: Literal["closed", "already_closed"]
    decision: str
    winner: str | None
    lift: float | None
    orders: int
    slack: bool
    mails: int


END = """
-- A/B ends: the test is over
UPDATE ab_tests SET status = 'completed', ended_at = COALESCE(ended_at, %(at)s)
WHERE id = %(test_id)s AND (status <> 'completed' OR ended_at IS NULL)
"""

KNOW = """
-- A/B ends: the end is known, so that nobody announces it again
UPDATE ab_test_state
SET last_status = 'completed', status_seq = status_seq + CASE WHEN last_status = 'completed' THEN 0 ELSE 1 END,
    ended_reason = COALESCE(ended_reason, %(reason)s), updated_at = %(now)s
WHERE test_id = %(test_id)s
"""

CLOSED = """
-- A/B ends: when a test ended and why, and the report that is there already
SELECT t.ended_at, s.ended_reason, s.final_report
FROM ab_tests t JOIN ab_test_state s ON s.test_id = t.id WHERE t.id = %(test_id)s
"""

KEEP_REPORT = """
-- A/B ends: the report
UPDATE ab_test_state SET final_report = %(report)s, updated_at = %(now)s WHERE test_id = %(test_id)s
"""

CHOOSE = """
-- A/B ends: the winner that somebody chose
UPDATE ab_tests SET winner_variant_id = %(winner)s, winning_variant_id = %(winner)s WHERE id = %(test_id)s
"""


@job(
    "ab-handle-test-ended",
    on=AbTestEnded,
    queue=AB_TESTING,
    emits=(AbWinnerDetected, *MAIL_EMITS),
    retry=Retry(attempts=3, factor=2, min_s=2, max_s=30),
    timeout_s=300,
    key=lambda p, m: p.test_id,
)
def handle_test_ended(ctx: JobContext, payload: AbTestEnded) -> AbTestEndedResult:
    """Close a test.

    Transient TEST_NOT_VISIBLE twice, then permanent TEST_NOT_FOUND. Permanent TEST_NOT_STARTED, UNKNOWN_VARIANT.
    """
    with ctx.tenant_session() as session:
        test = locked_test(ctx, session, payload.test_id)
        closing = _close(ctx, session, test, payload)
    outcome: Literal["closed", "already_closed"] = "already_closed"
    report = closing.report
    if report is None:
        _last_numbers(ctx, closing)
        with ctx.tenant_session() as session:
            report = _final_look(ctx, session, closing, payload)
        outcome = "closed"
    in_redis(ctx, lambda redis: _hide(redis, payload.test_id))
    slack, mails = _tell(ctx, test, closing, report)
    return AbTestEndedResult(
        outcome=outcome,
        decision=report["decision"],
        winner=report["winner"],
        lift=report["lift"],
        orders=report["orders"],
        slack=slack,
        mails=mails,
    )


@dataclass(frozen=True, slots=True)
class Closing:
    """A test that is over. `names`: variant id -> name; `report` is there when it was closed before."""

    test_id: str
    ended_at: datetime
    reason: str
    names: Mapping[str, str]
    zone: ZoneInfo
    currency: str
    addresses: tuple[str, ...]
    report: dict[str, Any] | None


def _close(ctx: JobContext, session: Session, test: Row, payload: AbTestEnded) -> Closing:
    """The end itself: status, times, split."""
    if test["status"] == "draft":
        raise Permanent("TEST_NOT_STARTED", "the test was never started")
    id, now = test["id"], ctx.now()
    names = {v.id: v.name for v in by_test(session.all(VARIANTS, {"ids": [id]})).get(id, [])}
    if payload.winning_variant is not None and payload.winning_variant not in names:
        raise Permanent("UNKNOWN_VARIANT", "the winning variant is none of this test")
    session.execute(ADD_STATE, {"test_id": id, "status": test["status"], "now": now})
    hold_tests(session, [id], now)
    session.execute(END, {"test_id": id, "at": min(payload.at, now) if payload.at else now})
    session.execute(KNOW, {"test_id": id, "reason": payload.reason, "now": now})
    row = session.one(CLOSED, {"test_id": id})
    assert row is not None  # both rows are held
    session.execute(CLOSE_EPOCHS, {"ids": [id], "slot": row["ended_at"]})
    return Closing(
        id,
        row["ended_at"],
        row["ended_reason"],
        names,
        tenant_zone(session),
        base_currency(session),
        telling_of(session).addresses,
        row["final_report"],
    )


# -- the last numbers --------------------------------------------------------------------------------------------------


def _last_numbers(ctx: JobContext, closing: Closing) -> None:
    """Counters, late orders, and the days that they touch; a vendor that is down is left to the night."""
    now = ctx.now()
    _, told = take_in(ctx, [closing.test_id], now, closing.zone)
    missed = _last_orders(ctx, closing, now)
    first, last = local_date(closing.ended_at - RECOUNTED, closing.zone), local_date(closing.ended_at, closing.zone)
    days = [(closing.test_id, first + timedelta(days=n)) for n in range((last - first).days + 1)]
    with ctx.tenant_session() as session:
        hold_tests(session, [closing.test_id], now)
        recount(session, days, closing.zone, slug=ctx.tenant.slug)
        if missed or told == "unavailable":
            set_marks(session, {closing.test_id: {REDIS_UNAVAILABLE: True}})


def _last_orders(ctx: JobContext, closing: Closing, now: datetime) -> bool:
    """Attribute the orders of the last hours and those that nobody has looked at; whether some were left out."""
    with ctx.tenant_session(read_only=True) as session:
        world = world_of(session, now, test_id=closing.test_id, any_age=True)
        seen = session.value(POSITION)
    if not world.trials:
        return False
    late = closing.ended_at - LATE_ORDERS - timedelta(microseconds=1)
    failed = _walk(ctx, world, sql.PLACED_ORDERS, late, closing.ended_at, "ordered_at")
    since = seen - OVERLAP if seen is not None else world.trials[0].started_at
    return _walk(ctx, world, sql.CHANGED_ORDERS, since, now, "updated_at") or failed


def _walk(ctx: JobContext, world: World, statement: str, start: datetime, until: datetime, by: str) -> bool:
    """Attribute a span of orders; whether Shopify could not be asked about some, or time ran short."""
    at, id, failed = start, "", False
    while True:
        with ctx.tenant_session(read_only=True) as session:
            names = {"from_at": at, "from_id": id, "until": until, "page": PAGE}
            orders = session.all(statement, names)
            asked = to_ask(session, world, orders) if orders else []
        if not orders:
            return failed
        carts, lost = _carts(ctx, [] if failed else asked)
        failed = failed or lost
        with ctx.tenant_session() as session:
            attribute(ctx, session, world, orders, carts)
        if len(orders) < PAGE:
            return failed
        if ctx.remaining_s() < ROOM_S:
            ctx.log.warning("the rest of the last orders is left to the next reconciliation")
            return True
        at, id = orders[-1][by], orders[-1]["id"]


def _carts(ctx: JobContext, orders: list[Row]) -> tuple[dict[str, Cart], bool]:
    """What Shopify says of orders, and whether it could not be asked."""
    try:
        return ask_shopify(ctx, orders), False
    except JobError as error:
        ctx.log.warning("the last orders go by our own data", extra={"code": error.code})
        return {}, True


# -- the final look ----------------------------------------------------------------------------------------------------


def _final_look(ctx: JobContext, session: Session, closing: Closing, payload: AbTestEnded) -> dict[str, Any]:
    """Decide, write and report; by whoever came first when two did."""
    hold(session, [closing.test_id], ctx.now())
    row = session.one(CLOSED, {"test_id": closing.test_id})
    subject = subject_of(session, closing.test_id)
    assert row is not None  # both rows are held
    assert subject is not None
    if row["final_report"] is not None:
        return dict(row["final_report"])
    seen = assess(session, subject, ctx.now().replace(second=0, microsecond=0))
    planned = closing.reason == "scheduled"
    decision = _decide(seen, closing.reason)
    seen.found.split_wrong = decision.word == "invalid" and seen.found.split.status == "critical"
    results = results_of(seen)
    announce(session, seen, decision, results, auto=False, planned=planned)
    keep(ctx, session, seen, decision, results)
    chosen = payload.winning_variant if closing.reason == "manual" else None
    if chosen is not None:
        session.execute(CHOOSE, {"test_id": subject.id, "winner": chosen})
    report = _report(seen, closing, decision, chosen, planned=planned)
    session.execute(KEEP_REPORT, {"test_id": subject.id, "report": Jsonb(report), "now": ctx.now()})
    return report


def _decide(seen: Assessment, reason: str) -> Decision:
    subject = seen.subject
    if reason == "guardrail":
        return INCONCLUSIVE
    word = subject.state["decision"]
    if reason == "significance" and word in ("winner", "control_wins") and subject.test["winner"] is not None:
        return Decision(word, subject.test["winner"], subject.test["significant"])
    return at_the_end(seen.found, planned=reason == "scheduled")


def _report(
    seen: Assessment, closing: Closing, decision: Decision, chosen: str | None, *, planned: bool
) -> dict[str, Any]:
    """The member final_report of ab_test_state."""
    subject, arm, results = seen.subject, leading_arm(seen, decision), results_of(seen)
    comparison = arm.comparison if arm else None
    fixed = [comparison.low, comparison.high] if comparison else None
    kept = list(arm.interval) if arm and arm.interval else None
    return {
        "reason": closing.reason,
        "endedAt": closing.ended_at.isoformat(),
        "days": max(0, subject.age(closing.ended_at).days),
        "visitors": sum(tally.n for tally in seen.totals.values()),
        "orders": subject.test["orders"],
        "revenueCents": subject.test["revenue_cents"],
        "currency": closing.currency,
        "metric": subject.metric,
        "variants": results["variants"],
        "decision": decision.word,
        "winner": chosen or decision.winner,
        "arm": arm.id if arm else None,
        "lift": comparison.lift if comparison else None,
        "interval": fixed if planned else kept,
        "pFixed": comparison.p if comparison else None,
        "pAdjusted": (arm.fixed_adjusted if planned else arm.sequential_adjusted) if arm else None,
        "pSequential": arm.sequential_p if arm else None,
        "srm": results["srm"],
        "chosenBy": "manual" if chosen else "decision",
        "preliminary": True,
    }


# -- telling -----------------------------------------------------------------------------------------------------------

HIDE = """
-- KEYS: running tests; ARGV: id of the test
return redis.call('SREM', KEYS[1], ARGV[1])
"""


def _hide(redis: Redis, test_id: str) -> None:
    """The storefront no longer takes the test for running; its split stays until the last counters are in."""
    redis.run(HIDE, [Call([redis.key("ab", "active_tests")], [test_id])])


REASONS = {
    "scheduled": "by schedule",
    "significance": "with a result",
    "guardrail": "by a guardrail",
    "manual": "by hand",
}


def _tell(ctx: JobContext, test: Row, closing: Closing, report: Mapping[str, Any]) -> tuple[bool, int]:
    """Slack and mails, which never fail the work; what was told before is not told again."""
    key, name, result = f"ab-ended:{closing.test_id}", short(test["name"]), _result_text(closing, report)
    lines = "\n".join(
        arm_line(closing.names.get(id, id), shown, report["metric"], closing.currency)
        for id, shown in report["variants"].items()
    )
    reason = REASONS[closing.reason]
    text = f"A/B test *{escape(name)}* ended {reason} after {report['days']} days: {escape(result)}\n{escape(lines)}"
    slack = tell(ctx, [COMPLETE], text, dedupe_key=key)
    variables = {
        "testName": name,
        "reason": reason,
        "days": report["days"],
        "lines": lines,
        "result": result,
        "adminUrl": admin_page(ctx, closing.test_id),
    }
    return slack, send_mails(ctx, RESULT, closing.addresses, variables, dedupe=key, raising=False)


def _result_text(closing: Closing, report: Mapping[str, Any]) -> str:
    if report["decision"] == "invalid":
        if report["srm"]["status"] == "critical":
            return "invalid, the visitors were not split as planned"
        return "invalid, the variants cannot be compared"
    winner = report["winner"]
    if winner is None:
        return "no clear winner"
    name = short(closing.names.get(winner, winner))
    if report["chosenBy"] == "manual" and report["decision"] not in ("winner", "control_wins"):
        return f"{name} was chosen, without a clear winner"
    measured = f"lift {lift_text(report['lift'])}, " if report["lift"] is not None else ""
    return f"{name} wins, {measured}{interval_text(report['metric'], report['interval'], closing.currency)}"
