"""Step start: open a run, decide what it covers, cut it into slices and send the first ones out.

The run is opened before Shopify is asked (status requested): that guards against a second equal run while the orders
are counted. A worker that dies in between leaves it open; its next attempt goes on with it, and so does a later equal
message once nobody can be working on it any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from functions.commerce.order_backfill import runs, windows
from functions.commerce.order_backfill.ending import Run
from functions.commerce.order_backfill.results import SyncOrderBatchResult, totals
from functions.commerce.order_backfill.windows import Window
from shared.events.alerts import AlertApiFailure
from shared.events.orders import LIST_MAX, OrderSyncBatch
from shared.ids import as_legacy_id
from shared.integrations.shopify import Shopify
from shared.jobs import JobContext, Permanent, Session, Transient
from shared.tenant_settings import config
from shared.time import tenant_zone

BULK_THRESHOLD = 1_000
"""Orders in a window; more go through bulk operations."""
LIST_SLICE = 1_000
"""Ids per slice of a list."""
ABANDONED_S = 900
"""A run that was requested longer ago and not cut has lost its worker: a start lasts 840 s at most."""
ALL_ORDERS = "read_all_orders"
"""Scope without which Shopify silently shows the last 60 days only."""

OPEN_RUN = """
-- order backfill: open a run, or find the open one over the same orders
INSERT INTO order_sync_runs AS r (id, mode, status, window_from, window_to, filter_hash, announce, truncated_before,
                                  requested_by, started_at, progress_at)
VALUES (%(id)s, %(mode)s, 'requested', %(window_from)s, %(window_to)s, %(filter_hash)s, %(announce)s,
        %(truncated_before)s, %(requested_by)s, %(now)s, %(now)s)
ON CONFLICT (filter_hash) WHERE status IN ('requested', 'running')
DO UPDATE SET progress_at = CASE
    WHEN r.status = 'requested' AND (r.id = EXCLUDED.id OR r.progress_at < %(abandoned)s) THEN EXCLUDED.progress_at
    ELSE r.progress_at END
RETURNING id, window_from, window_to, truncated_before, status = 'requested' AND progress_at = %(now)s AS ours
"""

RESOLVE = """
-- order backfill: Shopify's ids of orders that are named by orders.id
SELECT id, COALESCE(shopify_order_id, shopify_id) AS legacy_id
FROM orders
WHERE id = ANY(%(ids)s) AND COALESCE(shopify_order_id, shopify_id) IS NOT NULL
"""

FAIL_RUN = """
-- order backfill: a run that cannot be cut
UPDATE order_sync_runs
SET status = 'failed', error_code = %(code)s, completed_at = %(now)s, progress_at = %(now)s
WHERE id = %(run_id)s AND status = 'requested'
"""

START_RUN = """
-- order backfill: a run goes on with its slices
UPDATE order_sync_runs
SET status = 'running', expected = %(expected)s, checked = %(missing)s, missing = %(missing)s, progress_at = %(now)s
WHERE id = %(run_id)s AND status = 'requested'
RETURNING id
"""

INSERT_LIST_SLICES = """
-- order backfill: a list in slices
INSERT INTO order_sync_slices (run_id, slice_no, kind, ids, expected, updated_at)
SELECT %(run_id)s, n, 'list', part.ids, cardinality(part.ids), %(now)s
FROM generate_series(1, (cardinality(%(ids)s::text[]) + %(size)s - 1) / %(size)s) n
CROSS JOIN LATERAL (SELECT (%(ids)s::text[])[(n - 1) * %(size)s + 1 : n * %(size)s] AS ids) part
"""

INSERT_WINDOW_SLICES = """
-- order backfill: a window in slices, the newest first because recent orders matter most
INSERT INTO order_sync_slices (run_id, slice_no, kind, window_from, window_to, expected, updated_at)
SELECT %(run_id)s, w.ord, %(kind)s, w.window_from, w.window_to, w.expected, %(now)s
FROM unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[], %(expected)s::int[])
     WITH ORDINALITY AS w (window_from, window_to, expected, ord)
"""


@dataclass(frozen=True, slots=True)
class Opened:
    """An open run. `ours`: this message opened it, or goes on with one whose worker is gone."""

    run_id: UUID
    ours: bool
    window: Window | None = None
    truncated: bool = False
    ids: tuple[str, ...] = ()
    unknown: int = 0
    """Ids of the list that are neither ours nor Shopify's."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The slices to insert, all of one kind."""

    kind: runs.Kind | None
    parts: tuple[tuple[Window, int], ...] = ()
    slices: int = 0
    expected: int = 0


def start(ctx: JobContext, payload: OrderSyncBatch) -> SyncOrderBatchResult:
    """Open and cut a run. Raises Permanent INVALID_PAYLOAD, WINDOW_TOO_LARGE and the client's codes."""
    _check(payload)
    shopify = Shopify.connect(ctx, reserve=runs.BULK_RESERVE)
    with ctx.tenant_session() as session:
        opened = _open(ctx, session, payload, shopify)
    if not opened.ours:
        return SyncOrderBatchResult(run_id=opened.run_id, step="start", outcome="joined")
    try:
        cut = _cut(opened, shopify)
    except (Permanent, Transient) as error:
        if isinstance(error, Transient) and not ctx.last_attempt:
            raise
        # Nobody comes back for this run; left open it would swallow the next equal message.
        with ctx.tenant_session() as session:
            session.execute(FAIL_RUN, {"run_id": opened.run_id, "code": error.code, "now": ctx.now()})
        raise
    with ctx.final_session() as session:
        return _send_out(ctx, session, payload, opened, cut)


def _check(payload: OrderSyncBatch) -> None:
    ids = len(payload.order_ids or ()) + len(payload.shopify_order_ids or ())
    window = any(value is not None for value in (payload.start_date, payload.end_date, payload.cursor))
    if bool(ids) == window:
        raise Permanent("INVALID_PAYLOAD", "give either ids or a window, not both and not neither")
    if ids > LIST_MAX:
        raise Permanent("INVALID_PAYLOAD", f"{ids} ids exceed {LIST_MAX}")


def _open(ctx: JobContext, session: Session, payload: OrderSyncBatch, shopify: Shopify) -> Opened:
    settings = config(session, runs.SYNC_SETTINGS, {})
    if payload.order_ids or payload.shopify_order_ids:
        ids, unknown = _resolve(session, payload)
        row = _insert(
            ctx,
            session,
            payload,
            mode="list",
            filter_hash=windows.list_hash(ids),
            announce=payload.announce or "recent",
        )
        return Opened(row["id"], row["ours"], ids=tuple(ids), unknown=unknown)
    now = ctx.now()
    window = windows.asked_window(payload, tenant_zone(session), now)
    filter_hash = windows.window_hash(window, open_end=payload.end_date is None)
    shown = _shown(window, shopify, now)
    row = _insert(
        ctx,
        session,
        payload,
        mode="window",
        filter_hash=filter_hash,
        announce=payload.announce or ("recent" if settings.get("backfillAnnounce") == "recent" else "none"),
        window=shown,
        truncated_before=window.start if shown != window else None,
    )
    # A run that is taken up again keeps the window that it was opened with.
    kept = Window(row["window_from"], row["window_to"], window.by)
    return Opened(row["id"], row["ours"], window=kept, truncated=row["truncated_before"] is not None)


def _shown(window: Window, shopify: Shopify, now: datetime) -> Window:
    """What Shopify shows of a window: without read_all_orders nothing older than 60 days, and it does not say so."""
    oldest = (now - windows.ORDERS_60_DAYS).replace(microsecond=0)
    if ALL_ORDERS in shopify.scopes or window.start >= oldest:
        return window
    return Window(oldest, max(window.end, oldest), window.by)


def _insert(
    ctx: JobContext,
    session: Session,
    payload: OrderSyncBatch,
    *,
    mode: str,
    filter_hash: str,
    announce: str,
    window: Window | None = None,
    truncated_before: datetime | None = None,
) -> dict[str, Any]:
    row = session.one(
        OPEN_RUN,
        {
            "id": ctx.run_id,
            "mode": mode,
            "window_from": window and window.start,
            "window_to": window and window.end,
            "filter_hash": filter_hash,
            "announce": announce,
            "truncated_before": truncated_before,
            "requested_by": payload.source,
            "now": ctx.now(),
            "abandoned": ctx.now() - timedelta(seconds=ABANDONED_S),
        },
    )
    assert row is not None, "an upsert without WHERE returns its row"
    return row


def _resolve(session: Session, payload: OrderSyncBatch) -> tuple[list[str], int]:
    """Shopify's ids of the list without repetitions, and how many ids are neither ours nor Shopify's."""
    named = list(payload.order_ids or ())
    held = {row["id"]: row["legacy_id"] for row in session.all(RESOLVE, {"ids": named})} if named else {}
    found: dict[str, None] = {}
    unknown = 0
    for id in (*(held.get(id, id) for id in named), *(payload.shopify_order_ids or ())):
        legacy_id = as_legacy_id(id)
        if legacy_id is None:
            unknown += 1
        else:
            found[legacy_id] = None
    return list(found), unknown


def _cut(opened: Opened, shopify: Shopify) -> Cut:
    if opened.window is None:
        count = len(opened.ids)
        return Cut("list", slices=-(-count // LIST_SLICE), expected=count)
    window = opened.window
    total = shopify.orders_count(window.query) if window.start < window.end else 0
    if total == 0:
        return Cut(None)
    if total <= BULK_THRESHOLD:
        return Cut("pages", parts=((window, total),), slices=1, expected=total)
    parts = windows.cut(window, lambda part: shopify.orders_count(part.query), total)
    return Cut("bulk", parts=tuple(parts), slices=len(parts), expected=sum(orders for _, orders in parts))


def _send_out(
    ctx: JobContext, session: Session, payload: OrderSyncBatch, opened: Opened, cut: Cut
) -> SyncOrderBatchResult:
    run_id, now = opened.run_id, ctx.now()
    begun = {"run_id": run_id, "expected": cut.expected + opened.unknown, "missing": opened.unknown, "now": now}
    if session.one(START_RUN, begun) is None:  # an app has cancelled it meanwhile
        return SyncOrderBatchResult(run_id=run_id, step="start", outcome="skipped")
    if opened.truncated:
        session.emit(_limited(ctx, run_id), key=_limited_key(ctx))
    if cut.kind == "list":
        session.execute(INSERT_LIST_SLICES, {"run_id": run_id, "ids": list(opened.ids), "size": LIST_SLICE, "now": now})
    elif cut.kind is not None:
        session.execute(INSERT_WINDOW_SLICES, {"run_id": run_id, "kind": cut.kind, "now": now, **_columns(cut)})
    ended: Run | None = None
    if not cut.slices:
        ended = runs.go_on(ctx, session, payload, run_id)
    elif cut.kind == "bulk":
        for slice_no in range(1, min(cut.slices, runs.BULK_PARALLEL) + 1):
            runs.send_export(session, _with_by(payload, opened), run_id, slice_no)
    else:
        for slice_no in range(1, cut.slices + 1):
            runs.send(session, _with_by(payload, opened), run_id, slice_no, "load")
    return SyncOrderBatchResult(
        run_id=run_id,
        step="start",
        outcome="completed" if ended else "sliced",
        slices=cut.slices,
        run=totals(ended) if ended else None,
    )


def _with_by(payload: OrderSyncBatch, opened: Opened) -> OrderSyncBatch:
    """The message with the instant that was decided on, which its successors carry."""
    by = opened.window.by if opened.window else None
    return payload.model_copy(update={"window_by": by})


def _columns(cut: Cut) -> dict[str, Any]:
    return {
        "starts": [part.start for part, _ in cut.parts],
        "ends": [part.end for part, _ in cut.parts],
        "expected": [orders for _, orders in cut.parts],
    }


def _limited_key(ctx: JobContext) -> str:
    return f"orders-60-days:{ctx.tenant.slug}:{ctx.now():%Y-%m-%d}"


def _limited(ctx: JobContext, run_id: UUID) -> AlertApiFailure:
    return AlertApiFailure(
        severity="warning",
        source="orders",
        service="shopify",
        title="Order history is limited to 60 days",
        message="The scope read_all_orders is not granted: Shopify shows no older orders, the backfill begins there.",
        dedupe_key=_limited_key(ctx),
        context={"runId": str(run_id)},
    )
