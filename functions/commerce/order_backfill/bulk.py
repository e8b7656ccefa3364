"""Steps of a bulk slice: export, poll, load, details.

Shopify writes the orders of a search into a file of JSON lines: an order, below it its line items (groupObjects), then
the next order. The file is read as a stream from the byte at which the first order begins that is not stored yet.
Refund lines cannot be exported (a connection inside a list), so they are read afterwards by id, in step details.
https://shopify.dev/docs/api/usage/bulk-operations/queries (read November 2026)
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any, cast

from functions.commerce.order_backfill import runs
from functions.commerce.order_backfill.chain import Chain
from functions.commerce.order_backfill.ending import Run
from functions.commerce.order_backfill.loading import (
    Chunk,
    Moved,
    checkpoint,
    chunk_of,
    commit,
    slice_window,
    write_chunk,
)
from functions.commerce.order_backfill.results import SyncOrderBatchResult, answer
from functions.commerce.order_backfill.runs import Slice
from functions.commerce.order_backfill.windows import poll_delay_s
from shared.events.orders import OrderSyncBatch
from shared.integrations.shopify import BulkOperation, BulkUrlGone, Shopify
from shared.jobs import JobContext, Permanent, Session
from shared.orders.mapping import RefundRecord, map_refund
from shared.orders.marks import PARTIAL
from shared.orders.store import store_refund_details

Node = dict[str, Any]

MERGE_CHUNK = 500
"""Orders per database transaction: bounds memory and how long rows stay locked."""
BULK_MAX_RESTARTS = 2
"""Times that a slice may begin anew."""
SHOP_BUSY_S = 300
"""Wait in seconds when the shop has no room for another export."""
RESTART_S = 30
"""Wait in seconds before a slice begins anew."""
BUSY = ("OPERATION_IN_PROGRESS", "LIMIT_REACHED")
"""userErrors of a shop that runs enough exports."""
DETAILS_CHUNK = 50
"""Orders whose refunds are read in one transaction; most have one refund."""

REFUNDS_OF = """
-- order backfill: refunds whose lines are still to be read; what a webhook or an earlier run completed is left out
SELECT r.shopify_refund_id
FROM refunds r
JOIN order_sync_marks m ON m.shopify_order_id = r.order_shopify_id
WHERE r.order_shopify_id = ANY(%(orders)s) AND r.shopify_refund_id IS NOT NULL
  AND right(m.content_hash, length(%(partial)s)) = %(partial)s
ORDER BY r.shopify_refund_id
"""


def export(ctx: JobContext, payload: OrderSyncBatch, part: Slice, shopify: Shopify) -> SyncOrderBatchResult:
    """Start the export of a slice, or adopt the one that a lost answer has started already."""
    query = slice_window(payload, part).query
    since = ctx.now() - timedelta(seconds=runs.BULK_MAX_WAIT_S)
    with ctx.tenant_session(read_only=True) as session:
        busy = session.value(runs.EXPORTING, {"since": since}) >= runs.BULK_PARALLEL
    if busy:
        return _try_later(ctx, payload, part)
    # A first attempt cannot have started one: only after a failure is the outcome of the call unknown.
    adopted = shopify.running_bulk(query) if ctx.attempt > 1 else None
    operation_id = adopted.id if adopted else None
    if operation_id is None:
        started = shopify.start_bulk(query)
        if started.problem in BUSY:
            return _try_later(ctx, payload, part)
        if started.operation_id is None:
            raise Permanent("BULK_REFUSED", f"slice {part.slice_no}: {started.problem}")
        operation_id = started.operation_id
    with ctx.final_session() as session:
        if not runs.hold(session, part):
            return answer(part, payload.step, "skipped")
        _wait(ctx, session, part, status="exporting", operation_id=operation_id, poll_count=0)
        _send_poll(session, payload, part, 1)
    return answer(part, payload.step, "exported")


def _try_later(ctx: JobContext, payload: OrderSyncBatch, part: Slice) -> SyncOrderBatchResult:
    """The shop has no room: the same step again."""
    tries = part.poll_count + 1
    with ctx.final_session() as session:
        if not runs.hold(session, part):
            return answer(part, payload.step, "skipped")
        _wait(ctx, session, part, status="pending", operation_id=None, poll_count=tries)
        runs.send_export(
            session, payload, part.run_id, part.slice_no,
            poll_count=tries, restarts=part.restarts, delay_s=SHOP_BUSY_S,
        )  # fmt: skip
    return answer(part, payload.step, "waiting")


def _wait(
    ctx: JobContext,
    session: Session,
    part: Slice,
    *,
    status: runs.Status,
    operation_id: str | None,
    poll_count: int,
    cursor: str | None = None,
) -> None:
    began = part.exporting_at or (ctx.now() if operation_id else None)
    values = {
        "run_id": part.run_id,
        "slice_no": part.slice_no,
        "status": status,
        "operation_id": operation_id,
        "exporting_at": began,
        "cursor": cursor,
        "poll_count": poll_count,
        "now": ctx.now(),
    }
    session.execute(runs.WAIT_SLICE, values)
    session.execute(runs.TOUCH_RUN, values)


def _send_poll(session: Session, payload: OrderSyncBatch, part: Slice, n: int) -> None:
    runs.send(
        session, payload, part.run_id, part.slice_no, "poll",
        poll_count=n, restarts=part.restarts, delay_s=poll_delay_s(n),
    )  # fmt: skip


def poll(ctx: JobContext, payload: OrderSyncBatch, part: Slice, shopify: Shopify) -> SyncOrderBatchResult:
    """Look at the export: wait on, load its file, or begin anew. Raises Permanent BULK_TIMEOUT."""
    operation = shopify.bulk_operation(_operation_id(part))
    match operation.status:
        case "CREATED" | "RUNNING" | "CANCELING":
            return _wait_on(ctx, payload, part, shopify)
        case "COMPLETED" if operation.url is not None:
            return _begin_load(ctx, payload, part)
        case "COMPLETED" if operation.object_count == 0:
            return _end(ctx, payload, part, status="completed")
        case "FAILED" if operation.error_code == "TIMEOUT" and slice_window(payload, part).divisible:
            return _split(ctx, payload, part)
        case _:
            return restart(ctx, payload, part, _failure(operation))


def _operation_id(part: Slice) -> str:
    if part.bulk_operation_id is None:
        raise Permanent("BULK_OPERATION_UNKNOWN", f"slice {part.slice_no} names no bulk operation")
    return part.bulk_operation_id


def _failure(operation: BulkOperation) -> str:
    return f"BULK_{operation.error_code or operation.status}"


def _wait_on(ctx: JobContext, payload: OrderSyncBatch, part: Slice, shopify: Shopify) -> SyncOrderBatchResult:
    waited_s = (ctx.now() - (part.exporting_at or ctx.now())).total_seconds()
    if waited_s >= runs.BULK_MAX_WAIT_S:
        shopify.cancel_bulk(_operation_id(part))
        raise Permanent("BULK_TIMEOUT", f"slice {part.slice_no}: not exported after {waited_s / 3600:.1f} hours")
    polls = part.poll_count + 1
    with ctx.final_session() as session:
        if not runs.hold(session, part):
            return answer(part, payload.step, "skipped")
        _wait(ctx, session, part, status="exporting", operation_id=part.bulk_operation_id, poll_count=polls)
        _send_poll(session, payload, part, polls + 1)
    return answer(part, payload.step, "waiting")


def _begin_load(ctx: JobContext, payload: OrderSyncBatch, part: Slice) -> SyncOrderBatchResult:
    with ctx.final_session() as session:
        if not runs.hold(session, part):
            return answer(part, payload.step, "skipped")
        polls, start = part.poll_count + 1, "0"
        _wait(
            ctx, session, part,
            status="loading", operation_id=part.bulk_operation_id, poll_count=polls, cursor=start,
        )  # fmt: skip
        runs.send(session, payload, part.run_id, part.slice_no, "load", cursor=start, restarts=part.restarts)
    return answer(part, payload.step, "continued")


def _split(ctx: JobContext, payload: OrderSyncBatch, part: Slice) -> SyncOrderBatchResult:
    """Too large for Shopify's time limit: two slices of half the span take its place, the newer one first."""
    older, newer = slice_window(payload, part).halves()
    with ctx.final_session() as session:
        where = {"run_id": part.run_id, "slice_no": part.slice_no, "now": ctx.now()}
        if not runs.hold(session, part) or session.one(runs.LOCK_RUN, where) is None:
            return answer(part, payload.step, "skipped")
        starts, ends = [newer.start, older.start], [newer.end, older.end]
        session.execute(runs.SPLIT_SLICE, {**where, "starts": starts, "ends": ends})
        runs.go_on(ctx, session, payload, part.run_id, replaced_by=2)
    return answer(part, payload.step, "sliced", slices=2)


def restart(ctx: JobContext, payload: OrderSyncBatch, part: Slice, code: str) -> SyncOrderBatchResult:
    """Export anew, or give the slice up after BULK_MAX_RESTARTS."""
    if part.restarts >= BULK_MAX_RESTARTS:
        return _end(ctx, payload, part, status="failed", code=code)
    with ctx.final_session() as session:
        if not runs.hold(session, part):
            return answer(part, payload.step, "skipped")
        where = {"run_id": part.run_id, "slice_no": part.slice_no, "code": code, "now": ctx.now()}
        session.execute(runs.RESTART_SLICE, where)
        session.execute(runs.TOUCH_RUN, where)
        runs.send_export(session, payload, part.run_id, part.slice_no, restarts=part.restarts + 1, delay_s=RESTART_S)
    ctx.log.warning("slice %s is exported anew: %s", part.slice_no, code)
    return answer(part, payload.step, "waiting")


def _end(
    ctx: JobContext, payload: OrderSyncBatch, part: Slice, *, status: runs.Ended, code: str | None = None
) -> SyncOrderBatchResult:
    with ctx.final_session() as session:
        if not runs.hold(session, part):
            return answer(part, payload.step, "skipped")
        run = runs.end_slice(ctx, session, payload, part, status=status, code=code)
    return answer(part, payload.step, status, run=run)


def orders_of(lines: Iterable[tuple[int, Node]]) -> Iterator[tuple[int, Node]]:
    """Put the lines of a file together again: (byte offset of the order's own line, order with its line items).

    Raises Permanent BULK_NOT_GROUPED when a child does not stand below its parent: streaming would lose it.
    """
    order: Node | None = None
    begins_at = 0
    for offset, line in lines:
        parent = line.pop("__parentId", None)
        if parent is None:
            if order is not None:
                yield begins_at, order
            order, begins_at = {**line, "lineItems": {"nodes": []}}, offset
        elif order is None or parent != order["id"]:
            raise Permanent("BULK_NOT_GROUPED", f"the line at byte {offset} does not stand below its parent")
        else:
            order["lineItems"]["nodes"].append(line)
    if order is not None:
        yield begins_at, order


def chunks(orders: Iterable[tuple[int, Node]], size: int = MERGE_CHUNK) -> Iterator[tuple[list[Node], int | None]]:
    """Groups of `size` orders, each with the offset at which the rest begins, None behind the last one."""
    group: list[Node] = []
    for offset, order in orders:
        if len(group) == size:
            yield group, offset
            group = []
        group.append(order)
    yield group, None


def load(ctx: JobContext, payload: OrderSyncBatch, part: Slice, shopify: Shopify) -> SyncOrderBatchResult:
    """Stream the file from the slice's cursor, one chunk per transaction."""
    chain = Chain(ctx)
    operation = shopify.bulk_operation(_operation_id(part))
    if operation.url is None:
        return restart(ctx, payload, part, _failure(operation))
    try:
        # Closed on every way out: an open answer would hold its connection.
        file = cast("Generator[tuple[int, Node]]", shopify.bulk_lines(operation.url, int(part.cursor or 0)))
        with closing(file) as lines:
            for nodes, rest_at in chunks(orders_of(lines)):
                chunk = chunk_of(ctx, nodes, refund_details=False)
                if rest_at is None:
                    return _finish_load(ctx, payload, part, chunk)
                part = checkpoint(ctx, part, chunk, cursor=str(rest_at), refunded=_refunded(chunk))
                if chain.over():
                    break
    except BulkUrlGone:
        return restart(ctx, payload, part, "BULK_URL_GONE")
    return chain.hand_on(payload, part, part.cursor or "0")


def _refunded(chunk: Chunk) -> list[str]:
    return [record.legacy_id for record in chunk.records if record.refunds]


def _finish_load(ctx: JobContext, payload: OrderSyncBatch, part: Slice, chunk: Chunk) -> SyncOrderBatchResult:
    """The last chunk, with the slice's end or its way into step details."""

    def write(chunk: Chunk) -> tuple[Slice, Run | None]:
        refunded = _refunded(chunk)
        details = bool(part.ids or refunded)
        with ctx.final_session() as session:
            if not details:
                moved = write_chunk(ctx, session, part, chunk, cursor=part.cursor)
                return moved, runs.end_slice(ctx, session, payload, moved, status="completed")
            moved = write_chunk(ctx, session, part, chunk, cursor="0", status="details", refunded=refunded)
            runs.send(session, payload, part.run_id, part.slice_no, "details", cursor="0", restarts=part.restarts)
            return moved, None

    moved, run = commit(ctx, part, chunk, write)
    return answer(moved, payload.step, "continued" if moved.status == "details" else "completed", run=run)


def details(ctx: JobContext, payload: OrderSyncBatch, part: Slice, shopify: Shopify) -> SyncOrderBatchResult:
    """Read the lines of the slice's refunds, with which commissions can be judged."""
    chain = Chain(ctx)
    while True:
        first = int(part.cursor or 0)
        orders = part.ids[first : first + DETAILS_CHUNK]
        nodes = _refund_nodes(ctx, shopify, orders)
        following = first + len(orders)
        if following >= len(part.ids):
            return _finish_details(ctx, payload, part, nodes)
        with ctx.tenant_session() as session:
            part = _write_details(ctx, session, part, nodes, cursor=str(following))
        if chain.over():
            return chain.hand_on(payload, part, str(following))


def _refund_nodes(ctx: JobContext, shopify: Shopify, orders: list[str]) -> list[Node]:
    with ctx.tenant_session(read_only=True) as session:
        ids = [row["shopify_refund_id"] for row in session.all(REFUNDS_OF, {"orders": orders, "partial": PARTIAL})]
    return [node for node in shopify.refund_nodes(ids) if node is not None] if ids else []


def _write_details(ctx: JobContext, session: Session, part: Slice, nodes: list[Node], *, cursor: str | None) -> Slice:
    if not runs.hold(session, part):
        raise Moved
    store_refund_details(session, _refunds(ctx, nodes), tenant=ctx.tenant, now=ctx.now())
    return runs.advance(ctx, session, part, runs.Counts(), status="details", cursor=cursor)


def _refunds(ctx: JobContext, nodes: list[Node]) -> list[RefundRecord]:
    """Map refunds; one that cannot be mapped is named in the log and keeps its head."""
    records: list[RefundRecord] = []
    for node in nodes:
        try:
            records.append(map_refund(node))
        except Permanent as error:
            ctx.log.warning("refund %s stays without lines: %s", node.get("legacyResourceId"), error.code)
    return records


def _finish_details(ctx: JobContext, payload: OrderSyncBatch, part: Slice, nodes: list[Node]) -> SyncOrderBatchResult:
    with ctx.final_session() as session:
        moved = _write_details(ctx, session, part, nodes, cursor=part.cursor)
        run = runs.end_slice(ctx, session, payload, moved, status="completed")
    return answer(moved, payload.step, "completed", run=run)
