"""Credits of one order, whenever something about it may have changed."""

from __future__ import annotations

from typing import Literal

from shared.attribution import HandedOn, process_order
from shared.events.attribution import AttributionDailyMetrics, AttributionProcess, ConversionAttributed
from shared.events.base import Payload
from shared.jobs import JobContext, Retry, job
from shared.jobs.queues import ATTRIBUTION


class ProcessAttributionResult(Payload):
    """`touchpoints` in the widest window; `models` and `windows` that are switched on; `rows` of credits written."""

    order_id: str
    status: Literal["pending", "attributed", "unattributed", "expired", "excluded"]
    touchpoints: int
    models: int
    windows: int
    rows: int
    changed: bool
    emitted: bool


@job(
    "analytics-process-attribution",
    on=AttributionProcess,
    queue=ATTRIBUTION,
    emits=(ConversionAttributed, AttributionDailyMetrics),
    retry=Retry(attempts=3, factor=2, min_s=5, max_s=60),
    timeout_s=60,
)
def process_attribution(ctx: JobContext, payload: AttributionProcess) -> ProcessAttributionResult:
    """Compute and store the credits of one order for every model and window, and announce its conversion once.

    One order is processed many times: a repeat that finds nothing new writes nothing. Errors: ORDER_NOT_FOUND
    (transient, the order's sync may be seconds behind).
    """
    handed_on = HandedOn(payload.visitor_id, payload.skip_ga4, payload.skip_meta)
    with ctx.final_session() as session:
        done = process_order(session, payload.order_id, payload.force, now=ctx.now(), handed_on=handed_on)
    return ProcessAttributionResult(
        order_id=done.order_id,
        status=done.status,
        touchpoints=done.touchpoints,
        models=done.models,
        windows=done.windows,
        rows=done.rows,
        changed=done.changed,
        emitted=done.emitted,
    )
