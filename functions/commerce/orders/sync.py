"""One order: brought to the state that Shopify shows now."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from shared.events.alerts import AlertApiFailure
from shared.events.base import Payload
from shared.events.customers import CustomerSync
from shared.events.orders import (
    OrderAttribution,
    OrderCancelled,
    OrderCommission,
    OrderCreated,
    OrderFulfilled,
    OrderRefunded,
    OrderSync,
)
from shared.ids import as_legacy_id, find_customer, find_order
from shared.integrations.shopify import Shopify
from shared.jobs import JobContext, Permanent, Retry, Session, Transient, job, payload_hash, window
from shared.jobs.context import Row
from shared.jobs.queues import ORDER_PROCESSING
from shared.orders.mapping import map_order
from shared.orders.marks import UNTOLD, mark_gone
from shared.orders.records import OrderRecord
from shared.orders.store import store_orders
from shared.tenant_settings import config

RETRY = Retry(attempts=5, factor=2, min_s=2, max_s=60)
VISIBILITY_GRACE = 3
"""Attempts in which an order that Shopify announced may be unknown to it: its read replicas lag behind webhooks."""
BURST_S = 60
"""Equal messages within so many seconds are one; a later one must fetch again."""
ORDER_SETTINGS = {"includeTest": False, "backfillAnnounce": "none"}
"""Defaults of the tenant's setting orders.sync."""


class SyncOrderResult(Payload):
    """`orderId` is orders.id, the Shopify id while we do not hold the order; `announced` counts events about it."""

    order_id: str
    synced: bool
    outcome: Literal["created", "updated", "unchanged", "stale", "gone", "test_order"]
    announced: int = 0


SEEN_MARK = """
-- orders: how new the stored state of an order is; one that was stored in silence is read again and told
SELECT shopify_updated_at FROM order_sync_marks
WHERE shopify_order_id = %(legacy_id)s AND position(%(untold)s IN content_hash) = 0
"""


@job(
    "commerce-sync-order",
    on=OrderSync,
    queue=ORDER_PROCESSING,
    emits=(
        OrderCreated,
        OrderFulfilled,
        OrderRefunded,
        OrderCancelled,
        OrderCommission,
        OrderAttribution,
        CustomerSync,
        AlertApiFailure,
    ),
    retry=RETRY,
    timeout_s=60,
    key=lambda p, m: payload_hash(p) + window(m, BURST_S),
)
def sync_order(ctx: JobContext, payload: OrderSync) -> SyncOrderResult:
    """Bring one order with lines, fulfilments and refunds to Shopify's present state and announce what is new.

    A message whose updatedAt we have already costs no call. Permanent: ORDER_ID_UNKNOWN, ORDER_NOT_FOUND,
    AMOUNT_OUT_OF_RANGE, ORDER_UNMAPPABLE and the Shopify client's; transient: ORDER_NOT_VISIBLE_YET, ORDER_CONFLICT.
    """
    with ctx.tenant_session(read_only=True) as session:
        legacy_id, row = _resolve(session, payload)
        seen: datetime | None = session.value(SEEN_MARK, {"legacy_id": legacy_id, "untold": UNTOLD})
        settings = config(session, "orders.sync", ORDER_SETTINGS)
    order_id = row["id"] if row else legacy_id
    if payload.updated_at is not None and seen is not None and payload.updated_at <= seen:
        return SyncOrderResult(order_id=order_id, synced=False, outcome="stale")
    order = fetch(ctx, legacy_id)
    if order is None:
        return _gone(ctx, legacy_id, row, from_webhook=payload.source == "webhook")
    with ctx.final_session() as session:
        counts = store_orders(
            session,
            [order],
            tenant=ctx.tenant,
            now=ctx.now(),
            source=payload.source,
            announce="recent",
            include_test=bool(settings["includeTest"]),
        )
        outcome = counts.by_id[legacy_id]
        if outcome in ("created", "updated"):
            _ask_for_customer(session, order)
    if counts.totals_mismatch:
        ctx.log.warning("order %s: the lines disagree with the subtotal, which wins", legacy_id)
    return SyncOrderResult(
        order_id=counts.order_ids.get(legacy_id, order_id),
        synced=outcome in ("created", "updated", "unchanged"),
        outcome=outcome,
        announced=counts.announced,
    )


def _resolve(session: Session, payload: OrderSync) -> tuple[str, Row | None]:
    """The legacy id that the message means, and the row of that order if we hold it."""
    named = payload.shopify_order_id or payload.order_id or ""
    row = find_order(session, payload.order_id or named)
    if payload.shopify_order_id is not None:
        legacy_id = as_legacy_id(payload.shopify_order_id)
        row = row or find_order(session, named)
    else:
        legacy_id = (row and row["legacy_id"]) or as_legacy_id(named)
    if legacy_id is None and row is not None and payload.shopify_order_id is None:
        raise Permanent("ORDER_NOT_FOUND", "this order was made by an app and never reached Shopify")
    if legacy_id is None:
        raise Permanent("ORDER_ID_UNKNOWN", "no order has this id, and it is no Shopify id")
    return legacy_id, row


def fetch(ctx: JobContext, legacy_id: str) -> OrderRecord | None:
    """Shopify's present state of an order, None when Shopify does not know it. No session may be open."""
    node = Shopify.connect(ctx).order(legacy_id)
    return None if node is None else map_order(node)


def _gone(ctx: JobContext, legacy_id: str, row: Row | None, *, from_webhook: bool) -> SyncOrderResult:
    if row is None:
        raise unknown_at_shopify(ctx, from_webhook=from_webhook)
    with ctx.final_session() as session:
        mark_gone(session, [legacy_id], source="webhook" if from_webhook else "job", now=ctx.now())
    return SyncOrderResult(order_id=row["id"], synced=False, outcome="gone")


def unknown_at_shopify(ctx: JobContext, *, from_webhook: bool) -> Exception:
    if from_webhook and ctx.attempt <= VISIBILITY_GRACE:
        return Transient("ORDER_NOT_VISIBLE_YET", "Shopify announced the order and does not show it yet")
    return Permanent("ORDER_NOT_FOUND", "Shopify does not know this order")


def _ask_for_customer(session: Session, order: OrderRecord) -> None:
    customer_id = order.columns["customer_id"]
    if customer_id is not None and find_customer(session, customer_id) is None:
        session.emit(CustomerSync(shopify_customer_id=customer_id, source="job"))
