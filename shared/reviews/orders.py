"""What the review mails need to know of an order: whom to ask about what, and how far its parcels are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from shared.jobs.context import Row, Session
from shared.reviews.settings import ReviewSettings
from shared.reviews.timing import send_time

LOST = ("failure", "not_delivered", "label_voided", "canceled")
"""fulfillments.shipment_status of parcels that will not arrive."""
MOVING = ("attempted_delivery", "delayed", "out_for_delivery", "in_transit")
"""The same of parcels that are known to be on their way."""
PRODUCTS_MAX = 5
"""Products of an order that its mails name."""

# The product that the mails name first is the one that most was paid for.
ORDER = """
-- reviews: an order, its customer and what can be reviewed of it
SELECT o.id, o.order_number, o.customer_email AS email, o.customer_id, o.source_name, o.fulfilled_at,
       COALESCE(o.order_placed_at, o.created_at) AS placed_at,
       COALESCE(o.tags, '{}') AS tags, COALESCE(c.tags, '{}') AS customer_tags,
       COALESCE(NULLIF(concat_ws(' ', NULLIF(c.first_name, ''), NULLIF(c.last_name, '')), ''),
                NULLIF(concat_ws(' ', NULLIF(o.shipping_address ->> 'firstName', ''),
                                 NULLIF(o.shipping_address ->> 'lastName', '')), '')) AS customer_name,
       COALESCE((SELECT jsonb_agg(jsonb_build_object('productId', l.product_id, 'title', l.title)
                                  ORDER BY l.net_cents DESC, l.position, l.id)
                 FROM order_line_items l
                 WHERE l.order_shopify_id = COALESCE(o.shopify_id, o.shopify_order_id)
                   AND NOT l.is_gift_card AND l.requires_shipping), '[]') AS products
FROM orders o
LEFT JOIN LATERAL (
    SELECT * FROM customers k
    WHERE k.id = o.customer_id OR k.shopify_customer_id = o.customer_id OR k.shopify_id = o.customer_id
    ORDER BY (k.id = o.customer_id) DESC LIMIT 1) c ON true
WHERE o.id = %(order_id)s
"""

PARCELS = """
-- reviews: how far the parcels of orders are; `told`: a delivery that an event names before its row does
SELECT o.id AS order_id, o.fulfillment_status = 'fulfilled' AS fulfilled, o.fulfilled_at,
       max(f.tracking_number) AS tracking_number,
       COALESCE(bool_and(f.arrived_at IS NOT NULL) FILTER (WHERE f.status = 'success'), false) AS all_delivered,
       max(f.arrived_at) FILTER (WHERE f.status = 'success') AS delivered_at,
       COALESCE(bool_and(COALESCE(f.shipment_status, '') = ANY(%(lost)s)) FILTER (WHERE f.id IS NOT NULL), false)
           AS lost,
       COALESCE(bool_or(f.status = 'success' AND f.arrived_at IS NULL AND f.shipment_status = ANY(%(moving)s)), false)
           AS moving,
       COALESCE(array_agg(f.shopify_fulfillment_id ORDER BY f.shopify_fulfillment_id)
                FILTER (WHERE f.arrived_at IS NULL AND f.shopify_fulfillment_id ~ '^[0-9]{1,20}$'), '{}') AS unknown
FROM orders o
LEFT JOIN LATERAL (
    SELECT x.id, x.status, x.shipment_status, x.tracking_number, x.shopify_fulfillment_id,
           COALESCE(x.delivered_at, CASE WHEN %(told)s::text IN (x.id, x.shopify_fulfillment_id)
                                         THEN %(told_at)s::timestamptz END) AS arrived_at
    FROM fulfillments x
    WHERE x.order_shopify_id = COALESCE(o.shopify_id, o.shopify_order_id)) f ON true
WHERE o.id = ANY(%(orders)s::text[])
GROUP BY o.id
"""


@dataclass(frozen=True, slots=True)
class ReviewOrder:
    """An order as far as it matters here. It holds personal data and has no repr of it."""

    id: str
    row: Row = field(repr=False)

    @property
    def email(self) -> str:
        return (self.row["email"] or "").strip()

    @property
    def products(self) -> list[dict[str, Any]]:
        """{productId, title} of what can be reviewed, what most was paid for first."""
        return list(self.row["products"])

    def columns(self) -> dict[str, Any]:
        """What a queue row says about its order."""
        first = self.products[0] if self.products else {}
        return {
            "order_id": self.id,
            "order_number": self.row["order_number"],
            "customer_name": self.row["customer_name"],
            "product_title": first.get("title"),
            "product_id": first.get("productId"),
        }


@dataclass(frozen=True, slots=True)
class Parcels:
    """The parcels of one order. `delivered_at` only when the whole order has arrived."""

    fulfilled: bool
    fulfilled_at: datetime | None
    delivered_at: datetime | None
    lost: bool
    """None of them will arrive."""
    moving: bool
    """One at least is known to be on its way."""
    unknown: tuple[str, ...]
    """Shopify's ids of fulfilments whose delivery is not known."""
    tracking_number: str | None


NO_PARCELS = Parcels(False, None, None, False, False, (), None)
"""Of an order that is not there."""

Place = tuple[Literal["pending", "awaiting_delivery", "scheduled"], datetime | None]


def find_review_order(session: Session, order_id: str) -> ReviewOrder | None:
    """The order with this orders.id."""
    row = session.one(ORDER, {"order_id": order_id})
    return None if row is None else ReviewOrder(row["id"], row)


def parcels_of(
    session: Session, order_ids: Sequence[str], *, told: str | None = None, told_at: datetime | None = None
) -> dict[str, Parcels]:
    """The parcels of orders by orders.id; `told`: a fulfilment that is known to have been delivered at `told_at`."""
    params = {"orders": list(order_ids), "lost": list(LOST), "moving": list(MOVING), "told": told, "told_at": told_at}
    return {
        row["order_id"]: Parcels(
            fulfilled=row["fulfilled"],
            fulfilled_at=row["fulfilled_at"],
            delivered_at=row["delivered_at"] if row["fulfilled"] and row["all_delivered"] else None,
            lost=row["lost"],
            moving=row["moving"],
            unknown=tuple(row["unknown"]),
            tracking_number=row["tracking_number"],
        )
        for row in session.all(PARCELS, params)
    }


def place_of(parcels: Parcels, settings: ReviewSettings, *, fulfilled_at: datetime | None, now: datetime) -> Place:
    """Where a request stands in the queue: status and time, by what the tenant waits for."""
    if not parcels.fulfilled:
        return "pending", None
    since = parcels.delivered_at
    if settings.trigger == "fulfilled":
        since = fulfilled_at or now
    if since is None:
        return "awaiting_delivery", None
    return "scheduled", send_time(since, settings.request_days, settings, now=now)


def days_after(at: datetime | None, days: int, now: datetime) -> bool:
    """Whether `at` is known and lies `days` back at least."""
    return at is not None and at <= now - timedelta(days=days)
