"""What webhooks have missed: orders that Shopify created or changed and that we do not have in that state.

A run compares the changes since the last completed run, its watermark, with what we hold; so hours without jobs are
made up for by the next run, and an outage longer than RECONCILE_MAX_BACK is handed to the backfill. The watermark moves
only when every page was read or handed on. Webhooks are not repaired here; that many were lost is an alarm.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import AwareDatetime, Field

from functions.commerce.order_backfill import runs
from functions.commerce.order_backfill.windows import Window
from functions.commerce.orders.sweep import (
    FETCH_MAX,
    SOURCE,
    Pace,
    Storing,
    Sweep,
    differing_days,
    fetch_orders,
    read_pages,
)
from functions.commerce.orders.sync import ORDER_SETTINGS
from shared.events.alerts import AlertApiFailure
from shared.events.base import Payload
from shared.events.orders import (
    OrderAttribution,
    OrderCancelled,
    OrderCommission,
    OrderCreated,
    OrderFulfilled,
    OrderReconcile,
    OrderRefunded,
    OrderSyncBatch,
)
from shared.integrations.shopify import Shopify
from shared.jobs import Cron, Delivery, JobContext, Permanent, Retry, Session, Transient, dispatch, job
from shared.jobs import payload_hash as hash_of
from shared.jobs import window as within
from shared.jobs.queues import ORDER_PROCESSING
from shared.tenant_settings import config

RECONCILE_OVERLAP = timedelta(minutes=10)
"""A run looks back so far behind the watermark: Shopify's search index lags behind its orders."""
RECONCILE_MAX_BACK = timedelta(hours=168)
"""Longest window of one run; what is older goes to the backfill."""
DEEP_HOUR_UTC = 3
"""The tick of this hour also compares the last DEEP_DAYS."""
DEEP_DAYS = timedelta(days=7)
DRIFT_LEAST = 10
"""Missing orders from which on webhooks count as lost, if they are also more than one in DRIFT_SHARE."""
DRIFT_SHARE = 20
RUN_STALE_AFTER = timedelta(hours=12)
"""A run of any mode whose progress stands still for so long has lost its messages."""
BURST_S = 60
"""Equal messages within so many seconds are one."""
SCHEDULE = "commerce-order-reconciliation-scheduled"


Skipped = Literal["not_connected", "already_running", "cancelled"]
"""No shop; another run compares the same window; an app has stopped this one."""


class OrderReconciliationResult(Payload):
    """missing: we had no mark of them; outdated: we held them in an older state. `synced` are in Shopify's state now,
    `handedOn` named in order.syncBatch, `failed` left out (the log names them). `skipped` says why nothing was done."""

    checked: int = 0
    missing: int = 0
    outdated: int = 0
    synced: int = 0
    handed_on: int = 0
    failed: int = 0
    window_from: AwareDatetime | None = Field(default=None, validation_alias="from", serialization_alias="from")
    window_to: AwareDatetime | None = Field(default=None, validation_alias="to", serialization_alias="to")
    skipped: Skipped | None = None


FAIL_STALE_RUNS = """
-- order reconciliation: runs of any mode that nobody works on any more
UPDATE order_sync_runs
SET status = 'failed', error_code = 'RUN_STALE', completed_at = %(now)s
WHERE status IN ('requested', 'running') AND progress_at < %(stale)s AND id <> %(run_id)s
"""

WATERMARK = """
-- order reconciliation: up to when everything was compared
SELECT window_to FROM order_sync_runs
WHERE mode = 'reconcile' AND status = 'completed'
ORDER BY completed_at DESC LIMIT 1
"""

OPENED = """
-- order reconciliation: the end of this run's window, if an earlier attempt has opened it
SELECT window_to FROM order_sync_runs WHERE id = %(run_id)s
"""

OPEN_RUN = """
-- order reconciliation: open a run, or go on with it; not beside another one over the same window
INSERT INTO order_sync_runs (id, mode, status, window_from, window_to, filter_hash, requested_by, started_at,
                             progress_at)
VALUES (%(run_id)s, 'reconcile', 'running', %(window_from)s, %(window_to)s, %(filter_hash)s, %(requested_by)s,
        %(now)s, %(now)s)
ON CONFLICT DO NOTHING
"""

TAKE_UP_RUN = """
-- order reconciliation: go on with the run that an earlier attempt opened
UPDATE order_sync_runs
SET status = 'running', error_code = NULL, completed_at = NULL, progress_at = %(now)s
WHERE id = %(run_id)s AND status IN ('running', 'failed')
"""

NOTE_FOUND = """
-- order reconciliation: what the pages have shown; what an earlier attempt found and brought in stays counted
UPDATE order_sync_runs
SET checked = GREATEST(checked, %(checked)s), missing = GREATEST(missing, %(missing)s), progress_at = %(now)s
WHERE id = %(run_id)s
RETURNING checked, missing
"""

END_RUN = """
-- order reconciliation: everything was compared; window_to is the next watermark
UPDATE order_sync_runs
SET status = 'completed', completed_at = %(now)s, progress_at = %(now)s
WHERE id = %(run_id)s AND status = 'running'
"""

FAIL_RUN = """
-- order reconciliation: a run that ends without having compared everything
UPDATE order_sync_runs
SET status = 'failed', error_code = %(code)s, completed_at = %(now)s
WHERE id = %(run_id)s AND status = 'running'
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run compares: changes in [start, end). `outage_from`: where what is handed to the backfill begins."""

    start: datetime
    end: datetime
    outage_from: datetime | None = None


def plan_window(end: datetime, watermark: datetime | None, lookback: timedelta) -> Plan:
    """The window of a run that ends at `end`: the look-back, or all since the watermark with an overlap.

    12:30, watermark 11:30, 2 h: from 10:30. Watermark 08:30: from 08:20. Ten days old: the last 7 days, the 3 days and
    10 minutes before them are handed on.
    """
    start = end - lookback
    if watermark is not None:
        start = min(start, watermark - RECONCILE_OVERLAP)
    oldest = end - RECONCILE_MAX_BACK
    return Plan(start, end) if start >= oldest else Plan(oldest, end, outage_from=start)


def run_key(payload: OrderReconcile, delivery: Delivery) -> str:
    """From the schedule: its instant. From others: the content within the minute."""
    if delivery.id.startswith(f"{SCHEDULE}:"):
        return delivery.id
    return hash_of(payload) + within(delivery, BURST_S)


@job(
    "commerce-order-reconciliation",
    on=OrderReconcile,
    queue=ORDER_PROCESSING,
    emits=(
        OrderSyncBatch,
        OrderCreated,
        OrderFulfilled,
        OrderRefunded,
        OrderCancelled,
        OrderCommission,
        OrderAttribution,
        AlertApiFailure,
    ),
    retry=Retry(attempts=3, factor=2, min_s=5, max_s=120),
    timeout_s=300,
    key=run_key,
)
def order_reconciliation(ctx: JobContext, payload: OrderReconcile) -> OrderReconciliationResult:
    """Find orders that Shopify created or changed and we do not have in that state, and bring them in.

    Errors are the Shopify client's (SHOPIFY_THROTTLED, SHOPIFY_SCOPE_MISSING, ...). A tenant without a shop is skipped.
    """
    try:
        shopify = Shopify.connect(ctx, reserve=runs.BULK_RESERVE)
    except Permanent as error:
        if error.code != "SHOPIFY_NOT_CONNECTED":
            raise
        return OrderReconciliationResult(skipped="not_connected")
    try:
        sweep, storing = _begin(ctx, payload, shopify)
        if not isinstance(sweep, Sweep):
            return OrderReconciliationResult(skipped=sweep)
        pace = Pace(ctx)
        read_pages(ctx, shopify, sweep, pace)
        _note_found(ctx, sweep)
        fetch_orders(ctx, shopify, sweep, sweep.choose(), storing, pace)
    except (Permanent, Transient) as error:
        if isinstance(error, Permanent) or ctx.last_attempt:
            with ctx.tenant_session() as session:
                session.execute(FAIL_RUN, {"run_id": ctx.run_id, "code": error.code, "now": ctx.now()})
        raise
    with ctx.final_session() as session:
        return _finish(ctx, session, sweep)


def _begin(ctx: JobContext, payload: OrderReconcile, shopify: Shopify) -> tuple[Sweep | Skipped, Storing]:
    """The sweep, a new one or the one that another leg left; or why there is none."""
    with ctx.tenant_session() as session:
        storing = Storing(include_test=bool(config(session, "orders.sync", ORDER_SETTINGS)["includeTest"]))
        if ctx.cursor is not None:
            return Sweep.from_cursor(ctx.cursor), storing
        plan = _open(ctx, session, payload)
    if not isinstance(plan, Plan):
        return plan, storing
    sweep = Sweep(
        window_from=plan.start,
        window_to=plan.end,
        outage_from=plan.outage_from,
        most=min(payload.max_orders, FETCH_MAX),
        todo=[Window(plan.start, plan.end, "updated")],
    )
    if payload.deep:
        sweep.todo += differing_days(ctx, shopify, plan.end - DEEP_DAYS, plan.end)
    return sweep, storing


def _open(ctx: JobContext, session: Session, payload: OrderReconcile) -> Plan | Skipped:
    """Open the run; an attempt after the first one keeps the end that its window had."""
    now, names = ctx.now(), {"run_id": ctx.run_id, "now": ctx.now()}
    session.execute(FAIL_STALE_RUNS, {**names, "stale": now - RUN_STALE_AFTER})
    opened = session.value(OPENED, names)
    watermark = session.value(WATERMARK)
    end = opened or now.replace(microsecond=0)  # Shopify's search knows whole seconds
    plan = plan_window(end, watermark, timedelta(hours=payload.lookback_hours))
    if opened is not None:
        return plan if session.execute(TAKE_UP_RUN, names) else "cancelled"
    parts = ["reconcile", plan.start.isoformat(), plan.end.isoformat()]
    made = {
        **names,
        "window_from": plan.start,
        "window_to": plan.end,
        "filter_hash": hashlib.sha256(json.dumps(parts).encode()).hexdigest(),
        "requested_by": "schedule" if ctx.delivery.id.startswith(f"{SCHEDULE}:") else "app",
    }
    return plan if session.execute(OPEN_RUN, made) else "already_running"


def _note_found(ctx: JobContext, sweep: Sweep) -> None:
    """Before anything is brought in: an attempt that comes after this one would not find it missing any more."""
    found = {"run_id": ctx.run_id, "checked": sweep.checked, "missing": sweep.missing, "now": ctx.now()}
    with ctx.tenant_session() as session:
        row = session.one(NOTE_FOUND, found)
    if row is not None:
        sweep.checked, sweep.missing = row["checked"], row["missing"]


def _finish(ctx: JobContext, session: Session, sweep: Sweep) -> OrderReconciliationResult:
    session.emit_many([(batch, None) for batch in sweep.batches()])
    if sweep.outage_from is not None:
        session.emit(
            OrderSyncBatch(
                start_date=sweep.outage_from,
                end_date=sweep.window_from,
                window_by="updated",
                announce="recent",
                source=SOURCE,
            )
        )
    if sweep.missing >= DRIFT_LEAST and sweep.missing * DRIFT_SHARE > sweep.checked:
        alert = _drift(ctx, sweep)
        session.emit(alert, key=alert.dedupe_key)
    session.execute(END_RUN, {"run_id": ctx.run_id, "now": ctx.now()})
    return OrderReconciliationResult(
        checked=sweep.checked,
        missing=sweep.missing,
        outdated=sweep.outdated,
        synced=sweep.synced,
        handed_on=sweep.handed_on,
        failed=sweep.failed,
        window_from=sweep.window_from,
        window_to=sweep.window_to,
    )


def _drift(ctx: JobContext, sweep: Sweep) -> AlertApiFailure:
    return AlertApiFailure(
        severity="warning",
        source="orders",
        service="shopify",
        title="Order webhooks are being lost",
        message=f"{sweep.missing} of {sweep.checked} orders that changed in Shopify had not reached us. They were "
        "brought in now; check the shop's webhook subscriptions.",
        dedupe_key=f"orders-drift:{ctx.tenant.slug}:{ctx.now():%Y-%m-%d}",
        context={"checked": sweep.checked, "missing": sweep.missing, "outdated": sweep.outdated},
    )


order_reconciliation_scheduled = dispatch(
    SCHEDULE,
    cron=Cron("30 * * * *", zone="UTC", due="SELECT 1 FROM shopify_connections WHERE status = 'active' LIMIT 1"),
    queue=ORDER_PROCESSING,
    emits={
        OrderReconcile: lambda tick: OrderReconcile(
            lookback_hours=2, max_orders=500, deep=tick.scheduled_at.hour == DEEP_HOUR_UTC
        )
    },
    retry=Retry(attempts=3, factor=2, min_s=1, max_s=60),
    summary="Starts the hourly comparison of orders for every connected tenant; the 03:30 one looks a week back.",
)
