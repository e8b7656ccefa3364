"""Repairing one test on demand: recount, judge anew, show before and after."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from functions.commerce.ab_tests.aggregating import Span, span_of, take_in
from functions.commerce.ab_tests.attributing import Counts, world_of
from functions.commerce.ab_tests.daily import RECOUNT_TIMEOUT_S, recount
from functions.commerce.ab_tests.evaluating import EVALUATION_EMITS, evaluate_test
from functions.commerce.ab_tests.live import page_of_tests
from functions.commerce.ab_tests.order_pass import Place, pass_orders
from functions.commerce.ab_tests.subjects import hold
from shared.events.ab_tests import AbTestMetricsAggregate
from shared.events.alerts import AlertApiFailure
from shared.events.base import Payload
from shared.jobs import JobContext, Permanent, Retry, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import AB_TESTING
from shared.time import tenant_zone


class VariantSums(Payload):
    """A variant's daily numbers, summed over all days."""

    variant_id: str
    visitors: int
    purchases: int
    revenue_cents: int


class AbTestMetricsAggregateResult(Payload):
    """`changed`: the sums, or the p-values of the results, are not what they were."""

    period: str
    variants: int
    before: list[VariantSums]
    after: list[VariantSums]
    changed: bool


SUMS = """
-- A/B repair: a variant's numbers over all days
SELECT v.id AS variant_id, COALESCE(sum(m.visitors), 0)::integer AS visitors,
       COALESCE(sum(m.purchases), 0)::integer AS purchases, COALESCE(sum(m.revenue_cents), 0)::bigint AS revenue_cents
FROM ab_variants v LEFT JOIN ab_daily_metrics m ON m.test_id = v.test_id AND m.variant_id = v.id
WHERE v.test_id = %(test_id)s GROUP BY v.id ORDER BY v.id
"""

P_VALUES = """
-- A/B repair: the p-values that were shown
SELECT jsonb_object_agg(v.key, jsonb_build_array(v.value -> 'pFixed', v.value -> 'pAdjusted')) AS found
FROM ab_test_state s, jsonb_each(s.results -> 'variants') v
WHERE s.test_id = %(test_id)s AND v.value ? 'pFixed'
"""

DROP_STRAY_DAYS = """
-- A/B repair: daily numbers of variants that are gone
DELETE FROM ab_daily_metrics m
WHERE m.test_id = %(test_id)s
  AND NOT EXISTS (SELECT FROM ab_variants v WHERE v.id = m.variant_id AND v.test_id = m.test_id)
"""

KEEP_REPORT = """
-- A/B repair: the report of a test that is over; its winner and end stay
UPDATE ab_test_state
SET final_report = final_report || %(report)s, updated_at = %(now)s
WHERE test_id = %(test_id)s AND final_report IS NOT NULL
"""


@job(
    "ab-aggregate-test-metrics",
    on=AbTestMetricsAggregate,
    queue=AB_TESTING,
    emits=(*EVALUATION_EMITS, AlertApiFailure),
    retry=Retry(attempts=3, factor=2, min_s=2, max_s=30),
    timeout_s=600,
)
def aggregate_test(ctx: JobContext, payload: AbTestMetricsAggregate) -> AbTestMetricsAggregateResult:
    """Recount one test and judge it anew. Permanent TEST_NOT_FOUND, TEST_NOT_STARTED."""
    slot = ctx.now().replace(second=0, microsecond=0)
    with ctx.tenant_session(read_only=True) as session:
        test, zone = _test(session, payload.test_id, slot), tenant_zone(session)
        before = _shown(session, payload.test_id)
    if ctx.cursor is not None:
        before = ctx.cursor["before"]
    span = _span(payload, test, slot)
    drained, _ = take_in(ctx, [test["id"]], slot, zone)
    if payload.period == "full" and (place := _orders(ctx, test["id"], span, slot)) is not None:
        ctx.continue_from({"before": before, "place": place.shown()})
    days = {(test["id"], day) for day in span.days(zone)} | drained.days
    with ctx.tenant_session(statement_timeout_s=RECOUNT_TIMEOUT_S) as session:
        _repair(ctx, session, payload, days, zone, slot)
        after = _shown(session, test["id"])
    return AbTestMetricsAggregateResult(
        period=payload.period,
        variants=len(after["sums"]),
        before=[VariantSums(**row) for row in before["sums"]],
        after=[VariantSums(**row) for row in after["sums"]],
        changed=before != after,
    )


def _test(session: Session, test_id: str, slot: datetime) -> Row:
    found = page_of_tests(session, slot, after="", page=1, ids=[test_id])
    if not found:
        raise Permanent("TEST_NOT_FOUND", "no test has this id")
    if found[0]["status"] == "draft":
        raise Permanent("TEST_NOT_STARTED", "a draft has no numbers")
    return found[0]


def _shown(session: Session, test_id: str) -> dict[str, Any]:
    """The sums per variant and the p-values, as JSON."""
    names = {"test_id": test_id}
    return {"sums": session.all(SUMS, names), "p": session.value(P_VALUES, names)}


def _span(payload: AbTestMetricsAggregate, test: Row, slot: datetime) -> Span:
    span = span_of(payload.period, slot, hour=None, started_at=test["started_at"])
    ended_at = test["ended_at"] if payload.period == "full" and test["status"] == "completed" else None
    return Span(span.start, min(span.end, ended_at)) if ended_at else span


def _orders(ctx: JobContext, test_id: str, span: Span, slot: datetime) -> Place | None:
    """Attribute the orders of the span anew; where time ran short, None when all are done."""
    with ctx.tenant_session(read_only=True) as session:
        world = world_of(session, slot, test_id=test_id, any_age=True)
    place = Place.before(span.start) if ctx.cursor is None else Place.of(ctx.cursor["place"])
    return pass_orders(ctx, world, place, span.end, Counts())


def _repair(
    ctx: JobContext,
    session: Session,
    payload: AbTestMetricsAggregate,
    days: set[tuple[str, date]],
    zone: ZoneInfo,
    slot: datetime,
) -> None:
    """Numbers, verdict and report in one transaction."""
    full, test_id = payload.period == "full", payload.test_id
    hold(session, [test_id], ctx.now())
    if full:
        session.execute(DROP_STRAY_DAYS, {"test_id": test_id})
    recount(session, days, zone, slug=ctx.tenant.slug)
    found = evaluate_test(ctx, session, test_id, slot, anew=full)
    if found is not None:
        report = {"results": found.results, "recountedAt": ctx.now().isoformat()}
        session.execute(KEEP_REPORT, {"test_id": test_id, "report": Jsonb(report), "now": ctx.now()})
