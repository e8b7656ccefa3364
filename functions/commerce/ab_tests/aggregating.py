"""The hourly look: take the counters in, recount the days that the last hour touched, judge every live test.

Every number is recounted and set, so a repetition writes nothing. A Redis that is down costs the counters of this
hour, which the next one takes in, and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from functions.commerce.ab_tests.counters import Drained, counters_of, drain
from functions.commerce.ab_tests.daily import RECOUNT_TIMEOUT_S, hold_tests, recount
from functions.commerce.ab_tests.evaluating import EVALUATION_EMITS, evaluate_test
from functions.commerce.ab_tests.live import page_of_tests, variants_of
from functions.commerce.ab_tests.marks import REDIS_UNAVAILABLE, set_marks
from functions.commerce.ab_tests.rules import slot_of
from functions.commerce.ab_tests.storefront import Told, in_redis
from shared.events.ab_tests import AbMetricsAggregate
from shared.events.base import Payload
from shared.jobs import Delivery, JobContext, Permanent, Retry, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import AB_TESTING
from shared.redis import Redis
from shared.time import local_date, tenant_zone

PAGE = 50
"""Tests whose days are counted in one statement."""
ROOM_S = 60.0
"""Seconds that must be left to begin another test."""


class AbMetricsAggregateResult(Payload):
    """`rows` are daily rows of the days that were counted, `winners` results that were announced."""

    tests: int = 0
    rows: int = 0
    rows_changed: int = 0
    batches: int = 0
    evaluated: int = 0
    winners: int = 0
    redis: Told = "not_configured"


def run_key(p: AbMetricsAggregate, m: Delivery) -> str:
    """What is asked for, and of which hour."""
    at = p.hour or p.slot
    return f"{p.test_id or 'all'}:{p.period}:{at.isoformat() if at else m.id}"


@job(
    "ab-hourly-metrics-aggregation",
    on=AbMetricsAggregate,
    queue=AB_TESTING,
    emits=EVALUATION_EMITS,
    retry=Retry(attempts=3, factor=2, min_s=2, max_s=30),
    timeout_s=300,
    key=run_key,
)
def aggregate_metrics(ctx: JobContext, payload: AbMetricsAggregate) -> AbMetricsAggregateResult:
    """Recount the days that a span touches and judge the tests. Permanent TEST_NOT_FOUND, INVALID_HOUR."""
    slot = slot_of(ctx, payload)
    check_hour(payload.hour, slot)
    ids = None if payload.test_id is None else [payload.test_id]
    result, after = AbMetricsAggregateResult(), ""
    if ctx.cursor is not None:
        result, after = AbMetricsAggregateResult(**ctx.cursor["result"]), ctx.cursor["testId"]
    while True:
        with ctx.tenant_session(read_only=True) as session:
            tests, zone = page_of_tests(session, slot, after=after, page=PAGE, ids=ids), tenant_zone(session)
        if ids and not tests and not after:
            raise Permanent("TEST_NOT_FOUND", "no test has this id")
        due = [test for test in tests if test["status"] != "draft"]
        if due:
            result = _page(ctx, payload, slot, zone, due, result)
        if len(tests) < PAGE:
            return result
        after = tests[-1]["id"]


def check_hour(hour: datetime | None, slot: datetime) -> None:
    """Permanent INVALID_HOUR for what is no full hour, or has not begun."""
    if hour is not None and (hour > slot or (hour.minute, hour.second, hour.microsecond) != (0, 0, 0)):
        raise Permanent("INVALID_HOUR", "hour must be the start of an hour that has begun")


def _page(
    ctx: JobContext,
    payload: AbMetricsAggregate,
    slot: datetime,
    zone: ZoneInfo,
    tests: Sequence[Row],
    result: AbMetricsAggregateResult,
) -> AbMetricsAggregateResult:
    ids = [test["id"] for test in tests]
    drained, told = Drained(), result.redis
    if told != "unavailable":  # it is not asked again for every page
        drained, told = take_in(ctx, ids, slot, zone)
    days = {(test["id"], day) for test in tests for day in touched(test, payload, slot, zone)} | drained.days
    with ctx.tenant_session(statement_timeout_s=RECOUNT_TIMEOUT_S) as session:
        hold_tests(session, ids, ctx.now())
        changed = recount(session, days, zone, slug=ctx.tenant.slug)
        rows = count_rows(session, days)
        set_marks(session, {test["id"]: {REDIS_UNAVAILABLE: misses_redis(test, told)} for test in tests})
    result = result.model_copy(
        update={
            "rows": result.rows + rows,
            "rows_changed": result.rows_changed + changed,
            "batches": result.batches + drained.batches,
            "redis": told,
        }
    )
    for test in tests:
        result = _judge(ctx, test["id"], slot, result)
        if ctx.remaining_s() < ROOM_S:
            ctx.continue_from({"testId": test["id"], "result": result.model_dump()})
    return result


def _judge(ctx: JobContext, test_id: str, slot: datetime, result: AbMetricsAggregateResult) -> AbMetricsAggregateResult:
    with ctx.tenant_session() as session:
        found = evaluate_test(ctx, session, test_id, slot)
    return result.model_copy(
        update={
            "tests": result.tests + 1,
            "evaluated": result.evaluated + (found is not None),
            "winners": result.winners + (found is not None and found.announced),
        }
    )


def take_in(ctx: JobContext, test_ids: Sequence[str], slot: datetime, zone: ZoneInfo) -> tuple[Drained, Told]:
    """Take in the counters of tests, if Redis can be reached; what it refuses is noted, not raised."""
    found = Drained()

    def take(redis: Redis) -> None:
        with ctx.tenant_session(read_only=True) as session:
            variants = variants_of(session, test_ids)
        found.add(drain(ctx, redis, counters_of(redis, variants), slot, zone))

    return found, in_redis(ctx, take)


def misses_redis(test: Row, told: Told) -> bool:
    """Whether a test's numbers lack the counters: Redis is down, or the test counts by them and there is none."""
    return told == "unavailable" or (told == "not_configured" and test["tracking"] == "counters")


# -- which days --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Span:
    """[start, end) of instants."""

    start: datetime
    end: datetime

    def days(self, zone: ZoneInfo) -> list[date]:
        """The local days that it touches."""
        if self.end <= self.start:
            return []
        first, last = local_date(self.start, zone), local_date(self.end - timedelta(microseconds=1), zone)
        return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def touched(test: Row, payload: AbMetricsAggregate, slot: datetime, zone: ZoneInfo) -> list[date]:
    """The local days of a test that the payload asks for."""
    return span_of(payload.period, slot, hour=payload.hour, started_at=test["started_at"]).days(zone)


def span_of(period: str, slot: datetime, *, hour: datetime | None, started_at: datetime | None) -> Span:
    """hourly: `hour`, else the full hour before `slot`; daily: the last 24 hours; full: all since the start."""
    if period == "daily":
        return Span(slot - timedelta(days=1), slot)
    if period == "full":
        return Span(started_at or slot, slot)
    start = hour or slot.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    return Span(start, start + timedelta(hours=1))


COUNT_ROWS = """
-- A/B numbers: how many rows these days of tests have
SELECT count(*) FROM unnest(%(tests)s::text[], %(dates)s::date[]) AS d (test_id, date)
JOIN ab_daily_metrics m USING (test_id, date)
"""


def count_rows(session: Session, days: Collection[tuple[str, date]]) -> int:
    """Rows of ab_daily_metrics on days of tests."""
    names = {"tests": [test_id for test_id, _ in days], "dates": [day for _, day in days]}
    return int(session.value(COUNT_ROWS, names))
