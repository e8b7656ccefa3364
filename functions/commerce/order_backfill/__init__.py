"""Backfill: brings many orders to Shopify's present state, by list or by window of time, up to millions.

A message without runId opens a run and cuts it into slices. From then on each slice has at most one message under way,
which does one step and sends the next, straight to this job's queue, in the transaction that moves the slice:

    list, pages   load ─► (load ...) ─► end
    bulk          export ─► poll ─► (poll ...) ─► load ─► (load ...) ─► details ─► end

The slice's row holds the cursor, committed together with the orders of each chunk, so a worker that dies at any moment
costs one chunk of reading and nothing else. Shopify owns the orders; nothing is written there.

    windows   which orders: search text, halving, hashes, delays     chain     time of a message chain
    runs      rows of runs and slices, messages between steps        loading   chunks, lists, pages
    start     opening and cutting                                    bulk      export, poll, load, details
    ending    the end of a run, and whom its orders name
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from functions.commerce.order_backfill import bulk, loading, runs
from functions.commerce.order_backfill.results import RunTotals, SyncOrderBatchResult, answer
from functions.commerce.order_backfill.runs import Slice
from functions.commerce.order_backfill.start import start
from shared.events.alerts import AlertApiFailure, AlertSystemError
from shared.events.customers import CustomerSyncBatch
from shared.events.orders import (
    OrderAttribution,
    OrderBackfillCompleted,
    OrderCancelled,
    OrderCommission,
    OrderCreated,
    OrderFulfilled,
    OrderRefunded,
    OrderSyncBatch,
)
from shared.integrations.shopify import Shopify
from shared.jobs import Delivery, JobContext, Permanent, Retry, job, payload_hash, window
from shared.jobs.queues import ORDER_PROCESSING

__all__ = ["RunTotals", "SyncOrderBatchResult", "sync_order_batch"]

START_WINDOW_S = 3600
"""Equal messages within one hour are one message."""

MAX_HOPS = 20_000
"""Messages in the chain of one run: 400 slices of up to 3 exports with some 75 polls each, shared by 2 chains."""

Step = Callable[[JobContext, OrderSyncBatch, Slice, Shopify], SyncOrderBatchResult]

STEPS: Mapping[tuple[str, str], tuple[tuple[str, ...], Step]] = {
    # (kind, step): (statuses in which the slice waits for this step, what it does)
    ("list", "load"): (("pending", "loading"), loading.load_list),
    ("pages", "load"): (("pending", "loading"), loading.load_pages),
    ("bulk", "export"): (("pending",), bulk.export),
    ("bulk", "poll"): (("exporting",), bulk.poll),
    ("bulk", "load"): (("loading",), bulk.load),
    ("bulk", "details"): (("details",), bulk.details),
}


def run_key(payload: OrderSyncBatch, delivery: Delivery) -> str:
    """A start: its content within the hour. A later step: run, slice, step, cursor, restarts and polls."""
    if payload.run_id is None:
        return payload_hash(payload) + window(delivery, START_WINDOW_S)
    return runs.step_key(payload)


@job(
    "commerce-sync-order-batch",
    on=OrderSyncBatch,
    queue=ORDER_PROCESSING,
    emits=(
        OrderBackfillCompleted,
        OrderCreated,
        OrderFulfilled,
        OrderRefunded,
        OrderCancelled,
        OrderAttribution,
        OrderCommission,
        CustomerSyncBatch,
        AlertApiFailure,
        AlertSystemError,
    ),
    retry=Retry(attempts=3, factor=2, min_s=5, max_s=120),
    timeout_s=840,
    key=run_key,
    max_hops=MAX_HOPS,
)
def sync_order_batch(ctx: JobContext, payload: OrderSyncBatch) -> SyncOrderBatchResult:
    """Backfills or repairs many orders, by list or by window, up to millions, in resumable slices.

    Errors: INVALID_PAYLOAD, WINDOW_TOO_LARGE, BULK_TIMEOUT, BULK_NOT_GROUPED, BULK_REFUSED and the Shopify client's.
    A permanent error of a step fails its slice only; the run goes on with the others.
    """
    if payload.run_id is None:
        return start(ctx, payload)
    if payload.slice_no is None:
        raise Permanent("INVALID_PAYLOAD", "sliceNo: required with runId")
    part = runs.find_slice(ctx, payload.run_id, payload.slice_no)
    skipped = SyncOrderBatchResult(
        run_id=payload.run_id, slice_no=payload.slice_no, step=payload.step, outcome="skipped"
    )
    if part is None or part.run_status != "running":
        return skipped
    statuses, step = STEPS.get((part.kind, payload.step), ((), None))
    if step is None or part.status not in statuses or not _current(payload, part):
        return skipped
    try:
        return step(ctx, payload, part, Shopify.connect(ctx, reserve=runs.BULK_RESERVE))
    except loading.Moved:
        return answer(part, payload.step, "skipped")
    except Permanent as error:
        with ctx.tenant_session() as session:
            runs.end_slice(ctx, session, payload, part, status="failed", code=error.code)
        raise


def _current(payload: OrderSyncBatch, part: Slice) -> bool:
    """Whether the message is the slice's latest one: a redriven older one must not fork its chain."""
    if part.restarts != (payload.restarts or 0):
        return False
    expected = {"export": part.poll_count, "poll": part.poll_count + 1}.get(payload.step)
    return expected is None or expected == (payload.poll_count or 0)
