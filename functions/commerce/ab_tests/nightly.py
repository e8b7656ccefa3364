"""The nightly look back: late orders, the last days counted anew from the raw rows, the data checked, loose ends tied.

    orders   those of the days that a test lacks are attributed; attributions of orders that are gone go
    tests    a page at a time: recount, compare with what stood there, check, judge, correct the reports
    sweep    Redis keys of tests that ended long ago

Each part is done again without harm; the cursor of a leg says where to go on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from functions.commerce.ab_tests.aggregating import Span
from functions.commerce.ab_tests.attributing import Counts, World, world_of
from functions.commerce.ab_tests.checks import Comparison, check_rows, compare_counters, compared, stored_rows
from functions.commerce.ab_tests.daily import RECOUNT_TIMEOUT_S, hold_tests, recount
from functions.commerce.ab_tests.evaluating import EVALUATION_EMITS, evaluate_test
from functions.commerce.ab_tests.evidence import CORRECTION_WINDOW, LATE_WINDOW
from functions.commerce.ab_tests.marks import set_marks
from functions.commerce.ab_tests.order_pass import Place, days_between, drop_gone, pass_orders
from functions.commerce.ab_tests.quality import quality_marks
from functions.commerce.ab_tests.reports import correct_report
from functions.commerce.ab_tests.rules import INVALID_CONFIGURATION, short, slot_of
from functions.commerce.ab_tests.subjects import subject_of
from functions.commerce.ab_tests.sweeping import sweep
from shared.events.ab_tests import AbNightlyReconcile
from shared.events.alerts import AlertApiFailure, AlertUnusualActivity
from shared.events.base import Payload
from shared.jobs import JobContext, Permanent, Retry, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import AB_TESTING
from shared.time import day_bounds, last_complete_day, tenant_zone

RECOUNT_DAYS = 3
"""Local days that are counted anew."""
PAGE = 50
ROOM_S = 60.0
"""Seconds that must be left to begin another test."""
SHOWN = 200
"""Differences of a page that are logged."""
QUALITY_AGE, QUALITY_VISITORS = timedelta(days=14), 800
"""From either on the quality of a test's data can be told."""


class AbNightlyReconcileResult(Payload):
    """`differences` are numbers, `corrections` the rows they stand in, `flags` marks that the night leaves standing."""

    date: date
    tests: int = 0
    orders_attributed: int = 0
    differences: int = 0
    corrections: int = 0
    missing_orders: int = 0
    flags: int = 0


TESTS = """
-- A/B night: the next tests that are live, or are over and were corrected since the last night, or not final yet
SELECT t.id, t.name, t.status, t.ended_at,
       COALESCE(t.started_at, LEAST(
           (SELECT min(e.started_at) FROM ab_allocation_epochs e WHERE e.test_id = t.id),
           (SELECT min(w.assigned_at) FROM ab_visitors w WHERE w.test_id = t.id))) AS started_at
FROM ab_tests t
LEFT JOIN ab_test_state s ON s.test_id = t.id
WHERE t.id > %(after)s
  AND (t.status IN ('running', 'paused')
       OR (t.status = 'completed' AND t.ended_at > %(oldest)s
           AND (t.ended_at > %(late)s OR (s.final_report ->> 'preliminary')::boolean
                OR EXISTS (SELECT FROM ab_order_attributions a WHERE a.test_id = t.id AND a.updated_at > %(since)s))))
ORDER BY t.id LIMIT %(page)s
"""

LAST_NIGHT = """
-- A/B night: when the last one began
SELECT (position ->> 'at')::timestamptz FROM ab_cursors WHERE name = 'nightly'
"""

KEEP_NIGHT = """
-- A/B night: when this one began
INSERT INTO ab_cursors AS c (name, position, updated_at) VALUES ('nightly', %(position)s, %(now)s)
ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position, updated_at = EXCLUDED.updated_at
WHERE (c.position ->> 'at')::timestamptz < (EXCLUDED.position ->> 'at')::timestamptz
"""


@dataclass(frozen=True, slots=True)
class Night:
    """What is the same for the whole run. `began`: of its first leg; `since`: when the last run began."""

    slot: datetime
    zone: ZoneInfo
    day: date
    full: bool
    began: datetime
    since: datetime

    def days(self, test: Row) -> list[date]:
        """The local days of a test that are counted anew."""
        if self.full:
            return Span(test["started_at"] or self.slot, self.slot).days(self.zone)
        return days_between(self.day - timedelta(days=RECOUNT_DAYS - 1), self.day)

    def span(self, world: World) -> Span:
        """The order times of these days."""
        if self.full:
            return Span(min((trial.started_at for trial in world.trials), default=self.slot), self.slot)
        first = day_bounds(self.day - timedelta(days=RECOUNT_DAYS - 1), self.zone)[0]
        return Span(first, day_bounds(self.day, self.zone)[1])


@job(
    "ab-nightly-reconciliation",
    on=AbNightlyReconcile,
    queue=AB_TESTING,
    emits=(*EVALUATION_EMITS, AlertApiFailure),
    retry=Retry(attempts=5, factor=2, min_s=5, max_s=120),
    timeout_s=600,
    key=lambda p, m: f"{p.reconciliation_date or (p.slot.isoformat() if p.slot else m.id)}:{p.full_reconciliation}",
)
def reconcile_nightly(ctx: JobContext, payload: AbNightlyReconcile) -> AbNightlyReconcileResult:
    """Recount the last days, repair what differs, check the data. Permanent DATE_NOT_OVER."""
    night = _night(ctx, payload)
    cursor = ctx.cursor or {}
    result = AbNightlyReconcileResult(**{"date": night.day, **cursor.get("result", {})})
    if "testId" not in cursor:
        result = _orders(ctx, night, result)
    result = _tests(ctx, night, result, after=cursor.get("testId", ""))
    sweep(ctx, night.slot, night.zone)
    with ctx.tenant_session() as session:
        session.execute(KEEP_NIGHT, {"position": Jsonb({"at": night.began.isoformat()}), "now": ctx.now()})
    return result


def _night(ctx: JobContext, payload: AbNightlyReconcile) -> Night:
    slot = slot_of(ctx, payload)
    with ctx.tenant_session(read_only=True) as session:
        zone, since = tenant_zone(session), session.value(LAST_NIGHT)
    last = last_complete_day(slot, zone)
    if payload.reconciliation_date is not None and payload.reconciliation_date > last:
        raise Permanent("DATE_NOT_OVER", "the day is not over in the tenant's zone")
    began = datetime.fromisoformat(ctx.cursor["began"]) if ctx.cursor else ctx.now()
    oldest = datetime.min.replace(tzinfo=UTC)
    return Night(slot, zone, payload.reconciliation_date or last, payload.full_reconciliation, began, since or oldest)


def _go_on(ctx: JobContext, night: Night, result: AbNightlyReconcileResult, **place: Any) -> None:
    members = result.model_dump(exclude={"date"})
    ctx.continue_from({"began": night.began.isoformat(), "result": members, **place})


# -- orders ------------------------------------------------------------------------------------------------------------


def _orders(ctx: JobContext, night: Night, result: AbNightlyReconcileResult) -> AbNightlyReconcileResult:
    """Orders of the days that came late, and attributions whose order has gone."""
    with ctx.tenant_session(read_only=True) as session:
        world = world_of(session, night.slot)
    if not world.trials:
        return result
    span, counts = night.span(world), Counts()
    place = Place.of(ctx.cursor["place"]) if ctx.cursor else Place.before(span.start)
    stopped = pass_orders(ctx, world, place, span.end, counts, lacking=True)
    result = result.model_copy(update={"orders_attributed": result.orders_attributed + counts.attributed})
    if stopped is not None:
        _go_on(ctx, night, result, place=stopped.shown())
    with ctx.tenant_session() as session:
        gone = drop_gone(ctx, session, world, span.start, span.end)
    if gone:
        ctx.log.warning("attributions of orders that are gone were removed", extra={"orders": gone})
    return result


# -- tests -------------------------------------------------------------------------------------------------------------


def _tests(ctx: JobContext, night: Night, result: AbNightlyReconcileResult, *, after: str) -> AbNightlyReconcileResult:
    while True:
        with ctx.tenant_session(read_only=True) as session:
            names = {"after": after, "page": PAGE, "since": night.since}
            names |= {"oldest": night.slot - CORRECTION_WINDOW, "late": night.slot - LATE_WINDOW}
            tests = session.all(TESTS, names)
        if tests:
            result = _page(ctx, night, tests, result)
        if len(tests) < PAGE:
            return result
        after = tests[-1]["id"]


def _page(
    ctx: JobContext, night: Night, tests: Sequence[Row], result: AbNightlyReconcileResult
) -> AbNightlyReconcileResult:
    ids = [test["id"] for test in tests]
    days = {(test["id"], day) for test in tests for day in night.days(test)}
    with ctx.tenant_session(statement_timeout_s=RECOUNT_TIMEOUT_S) as session:
        hold_tests(session, ids, ctx.now())
        before = stored_rows(session, days)
        recount(session, days, night.zone, slug=ctx.tenant.slug)
        found = compared(before, stored_rows(session, days))
        counted = compare_counters(session, days)
        nowhere = check_rows(ctx, session, ids)
        _tell(session, night, tests, found)
    if found.differences:
        shown = [difference.shown() for difference in found.differences[:SHOWN]]
        ctx.log.info("daily numbers were corrected", extra={"differences": shown})
    drifting = {each.test_id for each in counted if each.drifts}
    result = result.model_copy(
        update={
            "differences": result.differences + len(found.differences),
            "corrections": result.corrections + found.rows,
            "missing_orders": result.missing_orders + sum(each.missing_orders for each in counted),
        }
    )
    for test in tests:
        marks = {"counter_drift": test["id"] in drifting}
        if test["id"] in nowhere:
            marks[INVALID_CONFIGURATION] = True
        flags = _judge(ctx, night, test["id"], marks)
        result = result.model_copy(update={"tests": result.tests + 1, "flags": result.flags + flags})
        if ctx.remaining_s() < ROOM_S:
            _go_on(ctx, night, result, testId=test["id"])
    return result


def _tell(session: Session, night: Night, tests: Sequence[Row], found: Comparison) -> None:
    """A recount that moved a test's revenue a lot, once per test and date."""
    names = {test["id"]: short(test["name"]) for test in tests}
    for test_id, revenue in found.revenue.items():
        if not revenue.moved:
            continue
        key = f"ab-recount:{test_id}:{night.day}"
        alert = AlertUnusualActivity(
            severity="warning",
            source="ab_tests",
            title=f"Revenue of an A/B test was corrected: {names[test_id]}",
            message="The nightly recount has changed the revenue of the last days by more than 30 percent.",
            dedupe_key=key,
            context={
                "testId": test_id,
                "storedCents": revenue.stored_cents,
                "recountedCents": revenue.recounted_cents,
            },
        )
        session.emit(alert, key=key)


def _judge(ctx: JobContext, night: Night, test_id: str, marks: dict[str, bool]) -> int:
    """Judge one test, tell the quality of its data, correct its report; how many marks of the night stand."""
    with ctx.tenant_session() as session:
        found = evaluate_test(ctx, session, test_id, night.slot)
        subject = subject_of(session, test_id)
        if subject is None:
            return 0  # deleted meanwhile
        if found is not None:
            visitors = sum(arm["n"] for arm in found.results["variants"].values())
            enough = subject.age(subject.until(night.slot)) >= QUALITY_AGE or visitors >= QUALITY_VISITORS
            marks |= quality_marks(session, subject, night.slot) if enough else dict.fromkeys(QUALITY_MARKS, False)
            marks |= correct_report(ctx, session, subject, found.results, night.slot)
        set_marks(session, {test_id: marks})
    return sum(marks.values())


QUALITY_MARKS = ("novelty", "drift", "segment_srm")
