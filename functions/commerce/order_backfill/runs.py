"""The rows of a run: order_sync_runs (one per batch) and order_sync_slices (its units of work, each with a cursor).

    order_sync_runs    requested ─► running ─► completed | failed          requested | running ─► cancelled (by an app)
    order_sync_slices  list, pages: pending ─► loading ─► completed
                       bulk:        pending ─► exporting ─► loading ─► details ─► completed
                                       ▲───────────┴───────────┘ restarts + 1       any ─► failed

Locks are taken in one order everywhere: slice, orders, run. A slice's stored, stale and failed are added to its run
when the slice ends; checked, created and missing have no column in the slice and go to the run with every chunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from functions.commerce.order_backfill.ending import Run, end_run
from shared.events.orders import OrderSyncBatch
from shared.jobs import JobContext, Session
from shared.tenant_settings import config

Kind = Literal["list", "pages", "bulk"]
Status = Literal["pending", "exporting", "loading", "details", "completed", "failed"]
Ended = Literal["completed", "failed"]
Step = Literal["export", "poll", "load", "details"]
Announce = Literal["recent", "none"]

SYNC_SETTINGS = "orders.sync"
"""Key of tenant_config: {includeTest: bool = false, backfillAnnounce: recent | none = none}."""
BULK_PARALLEL = 2
"""Bulk operations of this job at once per shop: Shopify allows five, the catalogue needs the rest."""
BULK_RESERVE = 0.5
"""Share of the shop's query budget that stays free for single-order jobs."""
BULK_MAX_WAIT_S = 6 * 3600
"""Longest wait in seconds for one export."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A row of order_sync_slices with what its steps need of the run.

    `cursor`: Shopify's endCursor (pages), byte offset of the next root line (bulk), index into ids (list, details).
    """

    run_id: UUID
    slice_no: int
    kind: Kind
    status: Status
    window_from: datetime | None
    window_to: datetime | None
    ids: list[str]
    expected: int | None
    bulk_operation_id: str | None
    cursor: str | None
    stored: int
    stale: int
    failed: int
    poll_count: int
    restarts: int
    exporting_at: datetime | None
    announce: Announce
    run_status: str
    include_test: bool
    """tenant_config orders.sync.includeTest."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What one chunk did. `checked`: orders looked at, the sum of all others plus the unchanged and test orders."""

    checked: int = 0
    created: int = 0
    updated: int = 0
    stale: int = 0
    missing: int = 0
    failed: int = 0


FIND_SLICE = """
-- order backfill: one slice with its run
SELECT s.run_id, s.slice_no, s.kind, s.status, s.window_from, s.window_to, s.ids, s.expected, s.bulk_operation_id,
       s.cursor, s.stored, s.stale, s.failed, s.poll_count, s.restarts, s.exporting_at,
       r.announce, r.status AS run_status
FROM order_sync_slices s
JOIN order_sync_runs r ON r.id = s.run_id
WHERE s.run_id = %(run_id)s AND s.slice_no = %(slice_no)s
"""

HOLD_SLICE = """
-- order backfill: lock a slice if it still stands where this worker left it and its run goes on
SELECT s.slice_no
FROM order_sync_slices s
JOIN order_sync_runs r ON r.id = s.run_id
WHERE s.run_id = %(run_id)s AND s.slice_no = %(slice_no)s
  AND s.status = %(status)s AND s.cursor IS NOT DISTINCT FROM %(cursor)s AND s.restarts = %(restarts)s
  AND s.poll_count = %(poll_count)s
  AND r.status = 'running'
FOR UPDATE OF s
"""

ADVANCE_SLICE = """
-- order backfill: cursor and counters of a slice after a chunk
UPDATE order_sync_slices
SET status = %(status)s, cursor = %(cursor)s, ids = ids || %(refunded)s::text[], updated_at = %(now)s,
    stored = stored + %(stored)s, stale = stale + %(stale)s, failed = failed + %(failed)s
WHERE run_id = %(run_id)s AND slice_no = %(slice_no)s
"""

ADVANCE_RUN = """
-- order backfill: what a chunk adds to its run
UPDATE order_sync_runs
SET checked = checked + %(checked)s, created = created + %(created)s, missing = missing + %(missing)s,
    progress_at = %(now)s
WHERE id = %(run_id)s
RETURNING checked, expected
"""

WAIT_SLICE = """
-- order backfill: state of a slice that waits for its export
UPDATE order_sync_slices
SET status = %(status)s, bulk_operation_id = %(operation_id)s, exporting_at = %(exporting_at)s, cursor = %(cursor)s,
    poll_count = %(poll_count)s, updated_at = %(now)s
WHERE run_id = %(run_id)s AND slice_no = %(slice_no)s
"""

EXPORTING = """
-- order backfill: exports of this shop under way, of any run
SELECT count(*)
FROM order_sync_slices s
JOIN order_sync_runs r ON r.id = s.run_id
WHERE s.status = 'exporting' AND r.status = 'running' AND s.exporting_at > %(since)s
"""

LOCK_RUN = """
-- order backfill: lock a run that goes on
SELECT id FROM order_sync_runs WHERE id = %(run_id)s AND status = 'running' FOR UPDATE
"""

RESTART_SLICE = """
-- order backfill: a slice begins anew; what it stored stays counted, a second reading finds it unchanged
UPDATE order_sync_slices
SET status = 'pending', bulk_operation_id = NULL, exporting_at = NULL, cursor = NULL, ids = '{}', poll_count = 0,
    restarts = restarts + 1, error_code = %(code)s, updated_at = %(now)s
WHERE run_id = %(run_id)s AND slice_no = %(slice_no)s
"""

TOUCH_RUN = """
-- order backfill: a sign of life of a run
UPDATE order_sync_runs SET progress_at = %(now)s WHERE id = %(run_id)s
"""

END_SLICE = """
-- order backfill: end a slice that has not ended and add its counters to the run, whose row stays locked
WITH ended AS (
    UPDATE order_sync_slices
    SET status = %(status)s, error_code = %(code)s, updated_at = %(now)s
    WHERE run_id = %(run_id)s AND slice_no = %(slice_no)s AND status NOT IN ('completed', 'failed')
    RETURNING run_id, stored, stale, failed
)
UPDATE order_sync_runs r
SET stored = r.stored + e.stored, stale = r.stale + e.stale, failed = r.failed + e.failed, progress_at = %(now)s
FROM ended e
WHERE r.id = e.run_id
RETURNING r.status
"""

SPLIT_SLICE = """
-- order backfill: replace a slice by two of half its span; its counters go to the run, whose row is locked
WITH gone AS (
    DELETE FROM order_sync_slices WHERE run_id = %(run_id)s AND slice_no = %(slice_no)s
    RETURNING run_id, stored, stale, failed
), held AS (
    UPDATE order_sync_runs r
    SET stored = r.stored + g.stored, stale = r.stale + g.stale, failed = r.failed + g.failed, progress_at = %(now)s
    FROM gone g
    WHERE r.id = g.run_id
    RETURNING r.id
)
INSERT INTO order_sync_slices (run_id, slice_no, kind, window_from, window_to, updated_at)
SELECT held.id, n.last + h.ord, 'bulk', h.window_from, h.window_to, %(now)s
FROM held
CROSS JOIN unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[])
           WITH ORDINALITY AS h (window_from, window_to, ord)
CROSS JOIN (SELECT max(slice_no) AS last FROM order_sync_slices WHERE run_id = %(run_id)s) n
"""

STANDING = """
-- order backfill: how the slices of a run stand
SELECT count(*) AS slices,
       count(*) FILTER (WHERE status NOT IN ('completed', 'failed')) AS open,
       count(*) FILTER (WHERE status = 'completed') AS completed,
       count(*) FILTER (WHERE status = 'failed') AS failed,
       max(error_code) FILTER (WHERE status = 'failed') AS code
FROM order_sync_slices
WHERE run_id = %(run_id)s
"""

NEXT_BULK = """
-- order backfill: the bulk slices whose turn it is after one has ended.
-- Slices are sent out in the order of slice_no and only as others end, so the first of the open ones are under way and
-- those behind them have not been sent yet.
SELECT slice_no, poll_count, restarts
FROM order_sync_slices
WHERE run_id = %(run_id)s AND kind = 'bulk' AND status NOT IN ('completed', 'failed')
ORDER BY slice_no
OFFSET %(under_way)s LIMIT %(free)s
"""


def step_key(payload: OrderSyncBatch) -> str:
    """What tells one message of a run from another; a repeated one finds its claim."""
    parts = (payload.run_id, payload.slice_no, payload.step, payload.cursor, payload.restarts, payload.poll_count)
    return ":".join("" if part is None else str(part) for part in parts)


def find_slice(ctx: JobContext, run_id: UUID, slice_no: int) -> Slice | None:
    """The slice, None when there is none (any more)."""
    with ctx.tenant_session(read_only=True) as session:
        row = session.one(FIND_SLICE, {"run_id": run_id, "slice_no": slice_no})
        settings = config(session, SYNC_SETTINGS, {})
    return None if row is None else Slice(**row, include_test=bool(settings.get("includeTest")))


def hold(session: Session, part: Slice) -> bool:
    """Lock the slice for this transaction; False when another worker moved it on or an app cancelled the run."""
    where = {
        "run_id": part.run_id,
        "slice_no": part.slice_no,
        "status": part.status,
        "cursor": part.cursor,
        "restarts": part.restarts,
        "poll_count": part.poll_count,
    }
    return session.one(HOLD_SLICE, where) is not None


def advance(
    ctx: JobContext,
    session: Session,
    part: Slice,
    counts: Counts,
    *,
    status: Status,
    cursor: str | None,
    refunded: Sequence[str] = (),
) -> Slice:
    """Write cursor and counters beside the chunk's rows; the slice as it stands once this transaction has committed.

    `refunded`: orders whose refunds are read in step details.
    """
    common = {"run_id": part.run_id, "slice_no": part.slice_no, "now": ctx.now()}
    stored = counts.created + counts.updated
    session.execute(
        ADVANCE_SLICE,
        {
            **common,
            "status": status,
            "cursor": cursor,
            "refunded": list(refunded),
            "stored": stored,
            "stale": counts.stale,
            "failed": counts.failed,
        },
    )
    run = session.one(
        ADVANCE_RUN, {**common, "checked": counts.checked, "created": counts.created, "missing": counts.missing}
    )
    if run is not None:
        ctx.progress(run["checked"], run["expected"])
    return replace(
        part,
        status=status,
        cursor=cursor,
        ids=[*part.ids, *refunded],
        stored=part.stored + stored,
        stale=part.stale + counts.stale,
        failed=part.failed + counts.failed,
    )


def end_slice(
    ctx: JobContext,
    session: Session,
    payload: OrderSyncBatch,
    part: Slice,
    *,
    status: Ended,
    code: str | None = None,
) -> Run | None:
    """End a slice; send out the next one, or end the run. The run when this was its last slice, else None."""
    values = {"run_id": part.run_id, "slice_no": part.slice_no, "status": status, "code": code, "now": ctx.now()}
    run = session.one(END_SLICE, values)
    if run is None or run["status"] != "running":
        return None
    return go_on(ctx, session, payload, part.run_id)


def go_on(
    ctx: JobContext, session: Session, payload: OrderSyncBatch, run_id: UUID, *, replaced_by: int = 0
) -> Run | None:
    """After a slice has ended, or was replaced by `replaced_by` new ones; the run's row is locked.

    Sends out the bulk slices whose turn it is, BULK_PARALLEL in all; ends the run when no slice is open.
    """
    standing = session.one(STANDING, {"run_id": run_id}) or {}
    if not standing["open"]:
        return end_run(ctx, session, run_id, standing)
    open_before = standing["open"] + 1 - replaced_by
    under_way = min(BULK_PARALLEL, open_before) - 1
    turn = {"run_id": run_id, "under_way": under_way, "free": BULK_PARALLEL - under_way}
    for following in session.all(NEXT_BULK, turn):
        send_export(session, payload, run_id, **following)
    return None


def send_export(
    session: Session,
    payload: OrderSyncBatch,
    run_id: UUID,
    slice_no: int,
    *,
    poll_count: int = 0,
    restarts: int = 0,
    delay_s: float = 0,
) -> None:
    """The message that starts (or tries again) a slice's export."""
    send(session, payload, run_id, slice_no, "export", poll_count=poll_count, restarts=restarts, delay_s=delay_s)


def send(
    session: Session,
    payload: OrderSyncBatch,
    run_id: UUID,
    slice_no: int,
    step: Step,
    *,
    cursor: str | None = None,
    poll_count: int | None = None,
    restarts: int = 0,
    delay_s: float = 0,
) -> None:
    """The next message of a slice. Page size and windowBy travel in the messages: they have no column."""
    message = OrderSyncBatch(
        run_id=run_id,
        slice_no=slice_no,
        step=step,
        window_by=payload.window_by,
        limit=payload.limit,
        cursor=cursor,
        poll_count=poll_count,
        restarts=restarts,
    )
    session.again(message, delay_s=delay_s, key=step_key(message))
