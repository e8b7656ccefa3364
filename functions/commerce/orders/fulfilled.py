"""A shipment of an order: recorded, its delivery taken or estimated, the review request started."""

from __future__ import annotations

from datetime import timedelta

from functions.commerce.orders.sync import RETRY
from shared.events.base import Event, Payload
from shared.events.operations import WorkflowTriggered
from shared.events.orders import OrderFulfilled, OrderReviewEmail, OrderSync
from shared.ids import as_legacy_id, find_order
from shared.jobs import JobContext, Permanent, Session, Transient, job, payload_hash
from shared.jobs.context import Row
from shared.jobs.queues import ORDER_PROCESSING
from shared.orders.announcements import delivered_key, fulfilled_and_delivered_key, fulfilled_key

DOMESTIC_DELIVERY = timedelta(days=5)
FOREIGN_DELIVERY = timedelta(days=10)
"""Estimates for the admin page; they never trigger a mail."""


class OrderFulfilledResult(Payload):
    """`fulfillmentId` is Shopify's; `delivered` says whether the delivery is known."""

    order_id: str
    fulfillment_id: str
    review_email_requested: bool
    delivered: bool


LOCK_MARK = """
-- orders: wait for whoever is storing this order
SELECT shopify_order_id FROM order_sync_marks WHERE order_id = %(order_id)s ORDER BY shopify_order_id FOR UPDATE
"""

LOCK_FULFILLMENT = """
-- orders: a fulfilment of an order, by Shopify's id or its own
SELECT f.id, f.shopify_fulfillment_id, f.announced_at, f.delivered_announced_at, f.created_at
FROM fulfillments f
WHERE f.order_shopify_id = %(order_shopify_id)s
  AND (f.shopify_fulfillment_id = %(legacy_id)s OR f.id = %(fulfillment_id)s)
FOR UPDATE
"""

ADD_FULFILLMENT = """
-- orders: a fulfilment that was announced before the sync saw it; the sync corrects it
INSERT INTO fulfillments
    (shopify_fulfillment_id, order_shopify_id, status, tracking_number, tracking_company, created_at)
VALUES (%(legacy_id)s, %(order_shopify_id)s, 'success', %(tracking_number)s, %(carrier)s, %(now)s)
ON CONFLICT (shopify_fulfillment_id) DO NOTHING
"""

COMPLETE_FULFILLMENT = """
-- orders: what the event adds to a fulfilment; what is known already stays
UPDATE fulfillments AS f
SET tracking_number = COALESCE(f.tracking_number, %(tracking_number)s),
    tracking_company = COALESCE(f.tracking_company, %(carrier)s),
    delivered_at = COALESCE(f.delivered_at, %(delivered_at)s::timestamptz),
    shipment_status = CASE WHEN %(delivered_at)s::timestamptz IS NULL THEN f.shipment_status ELSE 'delivered' END,
    estimated_delivery_at = COALESCE(f.estimated_delivery_at, f.created_at + %(estimate)s::interval),
    announced_at = COALESCE(f.announced_at, %(now)s),
    delivered_announced_at = CASE WHEN %(delivered_at)s::timestamptz IS NULL THEN f.delivered_announced_at
                                  ELSE COALESCE(f.delivered_announced_at, %(now)s) END
WHERE f.id = %(id)s
RETURNING f.tracking_company, f.delivered_at, f.created_at
"""

SHIPS_ABROAD = """
-- orders: whether an order goes to another country than the shop's, or nobody knows
SELECT COALESCE(upper(o.shipping_address ->> 'countryCode') <> (
    SELECT upper(c.default_country) FROM shopify_connections c
    WHERE c.status = 'active' ORDER BY c.installed_at DESC NULLS LAST LIMIT 1), true)
FROM orders o WHERE o.id = %(order_id)s
"""

# Only the sync says that an order is fully fulfilled; a part shipment never makes it so.
RECOMPUTE_ORDER = """
-- orders: shipped or delivered, by the fulfilments of a fully fulfilled order
UPDATE orders AS o
SET status = n.status, fulfilled_at = n.fulfilled_at, delivered_at = n.delivered_at
FROM (
    SELECT CASE WHEN s.all_delivered THEN 'delivered' ELSE 'shipped' END::order_status AS status,
           s.fulfilled_at, CASE WHEN s.all_delivered THEN s.delivered_at END AS delivered_at
    FROM (SELECT bool_and(f.delivered_at IS NOT NULL OR COALESCE(f.shipment_status, '') = 'delivered') AS all_delivered,
                 max(f.created_at) AS fulfilled_at, max(f.delivered_at) AS delivered_at
          FROM fulfillments f WHERE f.order_shopify_id = %(order_shopify_id)s AND f.status = 'success'
          HAVING count(*) > 0) AS s
) AS n
WHERE o.id = %(order_id)s
  AND o.fulfillment_status = 'fulfilled'
  AND o.status NOT IN ('cancelled', 'refunded')
  AND (o.status, o.fulfilled_at, o.delivered_at) IS DISTINCT FROM (n.status, n.fulfilled_at, n.delivered_at)
"""


@job(
    "commerce-handle-order-fulfilled",
    on=OrderFulfilled,
    queue=ORDER_PROCESSING,
    emits=(OrderReviewEmail, WorkflowTriggered, OrderSync),
    retry=RETRY,
    timeout_s=30,
    key=lambda p, m: payload_hash(p),
)
def handle_order_fulfilled(ctx: JobContext, payload: OrderFulfilled) -> OrderFulfilledResult:
    """Record a shipment of an order, take or estimate its delivery, and start the review request.

    Mails about shipping are Shopify's. An order that we do not hold is asked for, and the message comes back
    (transient ORDER_NOT_READY). Permanent: ORDER_ID_UNKNOWN, INVALID_PAYLOAD for a fulfilment of another order.
    """
    with ctx.tenant_session(read_only=True) as session:
        order = find_order(session, payload.order_id)
    if order is None:
        _ask_for_order(ctx, payload.order_id)
        raise Transient("ORDER_NOT_READY", "the order is not here yet and was asked for")
    with ctx.final_session() as session:
        session.all(LOCK_MARK, {"order_id": order["id"]})
        before = _fulfillment(ctx, session, order, payload)
        after = _complete(ctx, session, order, payload, before)
        session.execute(
            RECOMPUTE_ORDER, {"order_id": order["id"], "order_shopify_id": order["legacy_id"] or order["id"]}
        )
        fulfillment_id = before["shopify_fulfillment_id"] or before["id"]
        stands = order["cancelled_at"] is None and order["status"] != "cancelled"
        events = _shipment_triggers(ctx, payload, order["id"], fulfillment_id, before, after)
        if stands:
            events.append(
                OrderReviewEmail(
                    order_id=order["id"],
                    customer_id=order["customer_id"],
                    fulfillment_id=fulfillment_id,
                    fulfilled_at=after["created_at"],
                    delivered_at=after["delivered_at"],
                )
            )
        session.emit_many([(event, None) for event in events])
    return OrderFulfilledResult(
        order_id=order["id"],
        fulfillment_id=fulfillment_id,
        review_email_requested=stands,
        delivered=after["delivered_at"] is not None,
    )


def _ask_for_order(ctx: JobContext, order_id: str) -> None:
    if as_legacy_id(order_id) is None:
        raise Permanent("ORDER_ID_UNKNOWN", "no order has this id, and it is no Shopify id")
    with ctx.tenant_session() as session:
        session.emit(OrderSync(order_id=order_id, source="job"))


def _fulfillment(ctx: JobContext, session: Session, order: Row, payload: OrderFulfilled) -> Row:
    """The fulfilment's row, locked; made where the event came before our sync, which is asked to correct it."""
    names = {
        "order_shopify_id": order["legacy_id"] or order["id"],
        "legacy_id": as_legacy_id(payload.fulfillment_id),
        "fulfillment_id": payload.fulfillment_id,
    }
    row = session.one(LOCK_FULFILLMENT, names)
    if row is None and names["legacy_id"] is not None:
        session.execute(
            ADD_FULFILLMENT,
            {**names, "tracking_number": payload.tracking_number, "carrier": payload.carrier, "now": ctx.now()},
        )
        session.emit(OrderSync(order_id=order["id"], source="job"))
        row = session.one(LOCK_FULFILLMENT, names)
    if row is None:
        raise Permanent("INVALID_PAYLOAD", "fulfillmentId: no fulfilment of this order")
    return row


def _complete(ctx: JobContext, session: Session, order: Row, payload: OrderFulfilled, before: Row) -> Row:
    abroad = session.value(SHIPS_ABROAD, {"order_id": order["id"]})
    after = session.one(
        COMPLETE_FULFILLMENT,
        {
            "id": before["id"],
            "tracking_number": payload.tracking_number,
            "carrier": payload.carrier,
            "delivered_at": payload.delivered_at,
            "estimate": FOREIGN_DELIVERY if abroad else DOMESTIC_DELIVERY,
            "now": ctx.now(),
        },
    )
    assert after is not None  # the row is locked
    return after


def _shipment_triggers(
    ctx: JobContext, payload: OrderFulfilled, order_id: str, fulfillment_id: str, before: Row, after: Row
) -> list[Event]:
    """order_fulfilled and order_delivered, each once.

    The sync stamps a fulfilment when it announces it, so its announcement is known by its event id; anyone else's
    is the first one when no stamp was there.
    """
    id, both = ctx.delivery.id, fulfilled_and_delivered_key(fulfillment_id)
    shipped = before["announced_at"] is None or id in (fulfilled_key(fulfillment_id), both)
    arrived = payload.delivered_at is not None and (
        before["delivered_announced_at"] is None or id in (delivered_key(fulfillment_id), both)
    )
    context = {"fulfillmentId": fulfillment_id, "carrier": payload.carrier or after["tracking_company"]}
    triggers = [name for name, happened in (("order_fulfilled", shipped), ("order_delivered", arrived)) if happened]
    return [
        WorkflowTriggered(
            trigger=trigger,
            entity_type="order",
            entity_id=order_id,
            context={key: value for key, value in context.items() if value is not None},
        )
        for trigger in triggers
    ]
