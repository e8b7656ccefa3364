"""Steps that read whole orders and store them: by list, by page; and the chunk that every kind of slice commits.

A chunk is one transaction: the orders' rows, what they announce, the slice's cursor and counters. A worker that dies
before its COMMIT leaves the cursor where it was; the chunk read again finds the marks of what is held and writes
nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, TypeVar

import psycopg

from functions.commerce.order_backfill import runs
from functions.commerce.order_backfill.chain import Chain
from functions.commerce.order_backfill.ending import Run
from functions.commerce.order_backfill.results import SyncOrderBatchResult, answer
from functions.commerce.order_backfill.runs import Counts, Slice
from functions.commerce.order_backfill.windows import Window
from shared.events.orders import OrderSyncBatch
from shared.integrations.shopify import Shopify
from shared.jobs import JobContext, Permanent, Session
from shared.orders.mapping import OrderRecord, map_order
from shared.orders.marks import mark_gone
from shared.orders.store import StoreCounts, store_orders

T = TypeVar("T")

LIST_CHUNK = 50
"""Orders of a list per transaction; the client asks for them in smaller portions, as their cost allows."""
PAGE_ORDERS = 10
"""Orders per page to begin with; the client adapts it to what the pages cost."""
SOURCE = "batch"
"""order_sync_marks.first_source of what a backfill sees first."""

UNSTORABLE = (psycopg.DataError, psycopg.errors.CheckViolation, psycopg.errors.NotNullViolation)
"""What the database refuses because of one order's values; it would refuse them again."""


class Storing(Protocol):
    """How the orders of a chunk are stored; a slice says it of its run."""

    @property
    def announce(self) -> runs.Announce: ...
    @property
    def include_test(self) -> bool: ...


class Moved(Exception):
    """The slice is no longer where this worker left it: another one goes on with it, or the run was cancelled."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Orders of one transaction. `failed`: those that cannot be mapped; `missing`: ids that Shopify does not know."""

    records: list[OrderRecord]
    failed: int = 0
    missing: tuple[str, ...] = ()

    @property
    def orders(self) -> int:
        return len(self.records) + self.failed + len(self.missing)


def chunk_of(ctx: JobContext, nodes: Sequence[dict[str, Any]], *, refund_details: bool = True) -> Chunk:
    """Map nodes to records. One order that cannot be mapped is counted and named in the log; it stops nothing."""
    records: list[OrderRecord] = []
    failed = 0
    for node in nodes:
        try:
            records.append(map_order(node, refund_details=refund_details))
        except Permanent as error:
            failed += 1
            ctx.log.warning("order %s is left out: %s", node.get("legacyResourceId"), error.code)
    return Chunk(records, failed)


def write_chunk(
    ctx: JobContext,
    session: Session,
    part: Slice,
    chunk: Chunk,
    *,
    cursor: str | None,
    status: runs.Status = "loading",
    refunded: Sequence[str] = (),
) -> Slice:
    """Store a chunk and move the slice in the same transaction. Raises Moved when the slice is not ours any more."""
    if not runs.hold(session, part):
        raise Moved
    stored = store_orders(
        session,
        chunk.records,
        tenant=ctx.tenant,
        now=ctx.now(),
        source=SOURCE,
        announce=part.announce,
        include_test=part.include_test,
    )
    mark_gone(session, sorted(chunk.missing), source=SOURCE, now=ctx.now())
    note_mismatches(ctx, stored)
    counts = Counts(
        checked=chunk.orders,
        created=stored.created,
        updated=stored.updated,
        stale=stored.stale,
        missing=len(chunk.missing),
        failed=chunk.failed,
    )
    return runs.advance(ctx, session, part, counts, status=status, cursor=cursor, refunded=refunded)


def note_mismatches(ctx: JobContext, stored: StoreCounts) -> None:
    """Say how many orders of a chunk have lines that disagree with their subtotal."""
    if stored.totals_mismatch:
        ctx.log.warning("%s orders: the lines disagree with the subtotal, which wins", stored.totals_mismatch)


def commit(ctx: JobContext, part: Storing, chunk: Chunk, write: Callable[[Chunk], T]) -> T:
    """Run the transaction `write`; when the database refuses some order's values, again without those orders."""
    try:
        return write(chunk)
    except UNSTORABLE:
        bad = _unstorable(ctx, part, chunk.records)
        if not bad:
            raise
    for record in bad:
        ctx.log.warning("order %s is left out: the database refuses its values", record.legacy_id)
    names = {record.legacy_id for record in bad}
    good = [record for record in chunk.records if record.legacy_id not in names]
    return write(replace(chunk, records=good, failed=chunk.failed + len(bad)))


def _unstorable(ctx: JobContext, part: Storing, records: Sequence[OrderRecord]) -> list[OrderRecord]:
    """The orders that the database refuses, found by halving; every trial is rolled back."""
    if not records or _fits(ctx, part, records):
        return []
    if len(records) == 1:
        return list(records)
    middle = len(records) // 2
    return _unstorable(ctx, part, records[:middle]) + _unstorable(ctx, part, records[middle:])


class _Trial(Exception):
    """Rolls a trial back."""


def _fits(ctx: JobContext, part: Storing, records: Sequence[OrderRecord]) -> bool:
    try:
        with ctx.tenant_session() as session:
            store_orders(
                session,
                records,
                tenant=ctx.tenant,
                now=ctx.now(),
                source=SOURCE,
                announce=part.announce,
                include_test=part.include_test,
            )
            raise _Trial
    except _Trial:
        return True
    except UNSTORABLE:
        return False


def checkpoint(
    ctx: JobContext, part: Slice, chunk: Chunk, *, cursor: str | None, refunded: Sequence[str] = ()
) -> Slice:
    """Commit a chunk that is not the slice's last; the slice as it stands now."""

    def write(chunk: Chunk) -> Slice:
        with ctx.tenant_session() as session:
            return write_chunk(ctx, session, part, chunk, cursor=cursor, refunded=refunded)

    return commit(ctx, part, chunk, write)


def finish(ctx: JobContext, payload: OrderSyncBatch, part: Slice, chunk: Chunk) -> SyncOrderBatchResult:
    """Commit a slice's last chunk together with the slice's end."""

    def write(chunk: Chunk) -> tuple[Slice, Run | None]:
        with ctx.final_session() as session:
            moved = write_chunk(ctx, session, part, chunk, cursor=part.cursor)
            return moved, runs.end_slice(ctx, session, payload, moved, status="completed")

    moved, run = commit(ctx, part, chunk, write)
    return answer(moved, payload.step, "completed", run=run)


def load_list(ctx: JobContext, payload: OrderSyncBatch, part: Slice, shopify: Shopify) -> SyncOrderBatchResult:
    """Read the orders of a list by id. Unknown ids are counted as missing, never an error of the run."""
    chain = Chain(ctx)
    while True:
        index = int(part.cursor or 0)
        ids = part.ids[index : index + LIST_CHUNK]
        nodes = shopify.order_nodes(ids)
        known = [node for node in nodes if node is not None]
        missing = tuple(id for id, node in zip(ids, nodes, strict=True) if node is None)
        chunk = replace(chunk_of(ctx, known), missing=missing)
        if index + len(ids) >= len(part.ids):
            return finish(ctx, payload, part, chunk)
        cursor = str(index + len(ids))
        part = checkpoint(ctx, part, chunk, cursor=cursor)
        if chain.over():
            return chain.hand_on(payload, part, cursor)


def load_pages(ctx: JobContext, payload: OrderSyncBatch, part: Slice, shopify: Shopify) -> SyncOrderBatchResult:
    """Read a window page by page; one page is one chunk."""
    chain = Chain(ctx)
    query = slice_window(payload, part).query
    while True:
        page = shopify.orders_page(query, first=payload.limit or PAGE_ORDERS, after=part.cursor)
        chunk = chunk_of(ctx, page.nodes)
        if not page.has_next or page.end_cursor is None:
            return finish(ctx, payload, part, chunk)
        part = checkpoint(ctx, part, chunk, cursor=page.end_cursor)
        if chain.over():
            return chain.hand_on(payload, part, page.end_cursor)


def slice_window(payload: OrderSyncBatch, part: Slice) -> Window:
    """The slice's window; which instant counts travels in the messages."""
    by: Literal["created", "updated", "either"] = payload.window_by or "created"
    if part.window_from is None or part.window_to is None:
        raise Permanent("INVALID_PAYLOAD", f"slice {part.slice_no} has no window")
    return Window(part.window_from, part.window_to, by)
