"""The rows of a chunk of orders: read what the database holds, write what Shopify says. One statement per table.

Orders travel as one JSON document per chunk, which PostgreSQL takes apart; the lines are taken from the orders row
that was just written, so they travel once. Column semantics are those of shared.orders.mapping.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from shared.jobs.context import Row, Session
from shared.orders.marks import LOCAL
from shared.orders.records import FulfillmentRecord, OrderRecord, RefundRecord

KNOWN_ORDERS = """
-- orders: which orders of the chunk we hold: by orders.id, else by their Shopify id
SELECT a.legacy_id, o.id, o.customer_id,
       o.attribution_data ->> 'visitorId' AS visitor_id,
       o.attribution_data ->> 'sessionId' AS session_id,
       o.attribution_data ->> 'creatorCode' AS creator_code,
       EXISTS (SELECT FROM commissions c WHERE c.order_id = o.id) AS has_commission,
       l.shopify_order_id IS NOT NULL AS has_local_mark,
       l.created_announced_at, l.created_handled_at
FROM unnest(%(ids)s::text[]) AS a (legacy_id)
CROSS JOIN LATERAL (
    SELECT x.id, x.customer_id, x.attribution_data
    FROM orders x
    WHERE x.id = a.legacy_id OR x.shopify_order_id = a.legacy_id OR x.shopify_id = a.legacy_id
    ORDER BY (x.id = a.legacy_id) DESC, (x.shopify_order_id = a.legacy_id) DESC NULLS LAST
    LIMIT 1
) AS o
LEFT JOIN order_sync_marks l ON l.shopify_order_id = %(local)s || o.id
"""

ANNOUNCED_PARTS = """
-- orders: what was announced of the chunk's fulfilments and refunds
SELECT 'fulfillment' AS kind, shopify_fulfillment_id AS id, announced_at, delivered_announced_at
FROM fulfillments WHERE shopify_fulfillment_id = ANY(%(fulfillment_ids)s)
UNION ALL
SELECT 'refund', shopify_refund_id, announced_at, NULL
FROM refunds WHERE shopify_refund_id = ANY(%(refund_ids)s)
"""

# What an app wrote first into attribution_data and utm_* stays; the raw attributes are Shopify's. A customer or a
# value that this answer lacks (no scope to read it) is kept.
UPSERT_ORDERS = """
-- orders: write the orders of a chunk
INSERT INTO orders AS o (
    id, shopify_order_id, shopify_id, order_number, shopify_order_number, customer_id, customer_email,
    status, fulfillment_status, financial_status, subtotal_cents, gross_sales_cents, discount_cents, discounts_cents,
    net_sales_cents, tax_cents, taxes_cents, shipping_cents, total_cents, total_price_cents, refunded_cents, currency,
    line_items, shipping_address, billing_address, attribution_data, utm_source, utm_medium, utm_campaign, notes, tags,
    discount_codes, source_name, order_placed_at, fulfilled_at, delivered_at, cancelled_at, created_at, synced_at)
SELECT
    t.order_id, r.legacy_id, r.legacy_id, r.order_number, r.shopify_order_number, r.customer_id, r.customer_email,
    r.status, r.fulfillment_status, r.financial_status, r.subtotal_cents, r.gross_sales_cents, r.discount_cents,
    r.discounts_cents, r.net_sales_cents, r.tax_cents, r.taxes_cents, r.shipping_cents, r.total_cents,
    r.total_price_cents, r.refunded_cents, r.currency, r.line_items, r.shipping_address, r.billing_address,
    r.attribution_data, r.utm_source, r.utm_medium, r.utm_campaign, r.notes, r.tags, r.discount_codes, r.source_name,
    r.order_placed_at, r.fulfilled_at, r.delivered_at, r.cancelled_at, r.created_at, %(now)s
FROM jsonb_to_recordset(%(orders)s::jsonb) AS r (
    legacy_id text, order_number text, shopify_order_number text, customer_id text, customer_email text,
    status order_status, fulfillment_status fulfillment_status, financial_status financial_status,
    subtotal_cents integer, gross_sales_cents integer, discount_cents integer, discounts_cents integer,
    net_sales_cents integer, tax_cents integer, taxes_cents integer, shipping_cents integer, total_cents integer,
    total_price_cents integer, refunded_cents integer, currency text, line_items jsonb, shipping_address jsonb,
    billing_address jsonb, attribution_data jsonb, utm_source text, utm_medium text, utm_campaign text, notes text,
    tags text[], discount_codes jsonb, source_name text, order_placed_at timestamptz, fulfilled_at timestamptz,
    delivered_at timestamptz, cancelled_at timestamptz, created_at timestamptz)
JOIN unnest(%(legacy_ids)s::text[], %(order_ids)s::text[]) AS t (legacy_id, order_id) ON t.legacy_id = r.legacy_id
ORDER BY t.legacy_id
ON CONFLICT (id) DO UPDATE SET
    shopify_order_id = excluded.shopify_order_id,
    shopify_id = excluded.shopify_id,
    order_number = excluded.order_number,
    shopify_order_number = excluded.shopify_order_number,
    customer_id = COALESCE(excluded.customer_id, o.customer_id),
    customer_email = excluded.customer_email,
    status = excluded.status,
    fulfillment_status = excluded.fulfillment_status,
    financial_status = excluded.financial_status,
    subtotal_cents = excluded.subtotal_cents,
    gross_sales_cents = excluded.gross_sales_cents,
    discount_cents = excluded.discount_cents,
    discounts_cents = excluded.discounts_cents,
    net_sales_cents = excluded.net_sales_cents,
    tax_cents = excluded.tax_cents,
    taxes_cents = excluded.taxes_cents,
    shipping_cents = excluded.shipping_cents,
    total_cents = excluded.total_cents,
    total_price_cents = excluded.total_price_cents,
    refunded_cents = excluded.refunded_cents,
    currency = excluded.currency,
    line_items = excluded.line_items,
    shipping_address = excluded.shipping_address,
    billing_address = excluded.billing_address,
    attribution_data = excluded.attribution_data
                       || CASE jsonb_typeof(o.attribution_data) WHEN 'object' THEN o.attribution_data ELSE '{}' END
                       || jsonb_build_object('attributes', excluded.attribution_data -> 'attributes'),
    utm_source = COALESCE(o.utm_source, excluded.utm_source),
    utm_medium = COALESCE(o.utm_medium, excluded.utm_medium),
    utm_campaign = COALESCE(o.utm_campaign, excluded.utm_campaign),
    notes = excluded.notes,
    tags = excluded.tags,
    discount_codes = excluded.discount_codes,
    source_name = excluded.source_name,
    order_placed_at = excluded.order_placed_at,
    fulfilled_at = excluded.fulfilled_at,
    delivered_at = excluded.delivered_at,
    cancelled_at = excluded.cancelled_at,
    synced_at = excluded.synced_at
"""

DELETE_LINES = """
-- orders: the lines of a chunk make room for the present ones
DELETE FROM order_line_items WHERE order_shopify_id = ANY(%(legacy_ids)s)
"""

INSERT_LINES = """
-- orders: the lines of a chunk, from the orders rows just written
INSERT INTO order_line_items (
    id, order_shopify_id, shopify_line_item_id, product_id, variant_id, title, variant_title, sku, quantity,
    current_quantity, price_cents, discount_cents, tax_cents, net_cents, is_gift_card, requires_shipping,
    selling_plan_id, position)
SELECT
    l.id, o.shopify_id, l.id, l.product_id, l.variant_id, l.title, l.variant_title, l.sku, l.quantity,
    l.current_quantity, l.price_cents, l.discount_cents, l.tax_cents, l.net_cents, l.is_gift_card,
    l.requires_shipping, l.selling_plan_id, l.position - 1
FROM orders o
CROSS JOIN LATERAL ROWS FROM (
    jsonb_to_recordset(o.line_items) AS (
        id text, "productId" text, "variantId" text, title text, "variantTitle" text, sku text, quantity integer,
        "currentQuantity" integer, "priceCents" integer, "discountCents" integer, "taxCents" integer,
        "netCents" integer, "isGiftCard" boolean, "requiresShipping" boolean, "sellingPlanId" text)
) WITH ORDINALITY AS l (
    id, product_id, variant_id, title, variant_title, sku, quantity, current_quantity, price_cents, discount_cents,
    tax_cents, net_cents, is_gift_card, requires_shipping, selling_plan_id, position)
WHERE o.id = ANY(%(order_ids)s)
"""

# The tracking that a carrier's app told us stays until Shopify lists one; a known delivery is not forgotten.
UPSERT_FULFILLMENTS = """
-- orders: the fulfilments of a chunk
INSERT INTO fulfillments AS f (
    shopify_fulfillment_id, order_shopify_id, status, shipment_status, tracking_company, tracking_number, tracking_url,
    delivered_at, estimated_delivery_at, created_at, announced_at, delivered_announced_at)
SELECT r.*
FROM jsonb_to_recordset(%(fulfillments)s::jsonb) AS r (
    id text, order_id text, status text, shipment_status text, tracking_company text, tracking_number text,
    tracking_url text, delivered_at timestamptz, estimated_delivery_at timestamptz, created_at timestamptz,
    announced_at timestamptz, delivered_announced_at timestamptz)
ORDER BY r.id
ON CONFLICT (shopify_fulfillment_id) DO UPDATE SET
    order_shopify_id = excluded.order_shopify_id,
    status = excluded.status,
    shipment_status = COALESCE(excluded.shipment_status, f.shipment_status),
    tracking_company = CASE WHEN num_nonnulls(excluded.tracking_number, excluded.tracking_company) > 0
                            THEN excluded.tracking_company ELSE f.tracking_company END,
    tracking_number = CASE WHEN num_nonnulls(excluded.tracking_number, excluded.tracking_company) > 0
                           THEN excluded.tracking_number ELSE f.tracking_number END,
    tracking_url = CASE WHEN num_nonnulls(excluded.tracking_number, excluded.tracking_company) > 0
                        THEN excluded.tracking_url ELSE f.tracking_url END,
    delivered_at = COALESCE(excluded.delivered_at, f.delivered_at),
    estimated_delivery_at = COALESCE(excluded.estimated_delivery_at, f.estimated_delivery_at),
    created_at = excluded.created_at,
    announced_at = COALESCE(f.announced_at, excluded.announced_at),
    delivered_announced_at = COALESCE(f.delivered_announced_at, excluded.delivered_announced_at)
"""

CANCEL_FULFILLMENTS = """
-- orders: fulfilments that Shopify no longer lists
UPDATE fulfillments SET status = 'cancelled'
WHERE order_shopify_id = ANY(%(legacy_ids)s)
  AND shopify_fulfillment_id IS NOT NULL
  AND shopify_fulfillment_id <> ALL(%(listed)s)
  AND status <> 'cancelled'
"""

UPSERT_REFUNDS = """
-- orders: the refunds of a chunk, without what their lines tell
INSERT INTO refunds AS f (
    shopify_refund_id, order_shopify_id, amount_cents, currency, reason, processed_at, created_at, announced_at)
SELECT r.*
FROM jsonb_to_recordset(%(refunds)s::jsonb) AS r (
    id text, order_id text, amount_cents integer, currency text, reason text, processed_at timestamptz,
    created_at timestamptz, announced_at timestamptz)
ORDER BY r.id
ON CONFLICT (shopify_refund_id) DO UPDATE SET
    order_shopify_id = excluded.order_shopify_id,
    amount_cents = excluded.amount_cents,
    currency = excluded.currency,
    reason = excluded.reason,
    processed_at = excluded.processed_at,
    created_at = excluded.created_at,
    announced_at = COALESCE(f.announced_at, excluded.announced_at)
"""

WRITE_REFUND_DETAILS = """
-- orders: what the lines of refunds tell
UPDATE refunds AS f
SET goods_cents = t.goods_cents, tax_cents = t.tax_cents, shipping_cents = t.shipping_cents
FROM unnest(%(ids)s::text[], %(goods)s::integer[], %(taxes)s::integer[], %(shippings)s::integer[])
     AS t (id, goods_cents, tax_cents, shipping_cents)
WHERE f.shopify_refund_id = t.id
"""

DELETE_REFUND_LINES = """
-- orders: the lines of refunds make room for the present ones
DELETE FROM refund_line_items AS l USING refunds r
WHERE l.refund_id = r.id AND r.shopify_refund_id = ANY(%(ids)s)
"""

INSERT_REFUND_LINES = """
-- orders: the lines of refunds
INSERT INTO refund_line_items (refund_id, shopify_line_item_id, quantity, amount_cents, tax_cents, created_at)
SELECT r.id, t.line_id, t.quantity, t.amount_cents, t.tax_cents, r.created_at
FROM unnest(%(refund_ids)s::text[], %(line_ids)s::text[], %(quantities)s::integer[], %(amounts)s::integer[],
            %(taxes)s::integer[]) AS t (refund_id, line_id, quantity, amount_cents, tax_cents)
JOIN refunds r ON r.shopify_refund_id = t.refund_id
"""


@dataclass(frozen=True, slots=True)
class PartStamps:
    """When a fulfilment or refund was announced, and when a fulfilment's delivery was."""

    announced_at: datetime | None = None
    delivered_announced_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class RefundTerms:
    """What the money of a refund is measured by: its order's own figures."""

    taxes_included: bool
    net_sales_cents: int
    total_cents: int


def known_orders(session: Session, ids: Sequence[str]) -> dict[str, Row]:
    """The orders among these legacy ids that we hold, by legacy id."""
    return {row["legacy_id"]: row for row in session.all(KNOWN_ORDERS, {"ids": list(ids), "local": LOCAL})}


def announced_parts(session: Session, orders: Sequence[OrderRecord]) -> dict[tuple[str, str], PartStamps]:
    """What was announced of the orders' fulfilments and refunds, by (kind, legacy id)."""
    fulfillment_ids = [f.legacy_id for order in orders for f in order.fulfillments]
    refund_ids = [r.legacy_id for order in orders for r in order.refunds]
    if not fulfillment_ids and not refund_ids:
        return {}
    rows = session.all(ANNOUNCED_PARTS, {"fulfillment_ids": fulfillment_ids, "refund_ids": refund_ids})
    return {(r["kind"], r["id"]): PartStamps(r["announced_at"], r["delivered_announced_at"]) for r in rows}


def write_orders(session: Session, orders: Sequence[OrderRecord], ids: Mapping[str, str], *, now: datetime) -> None:
    """Write orders and their lines; `ids` maps legacy id to orders.id."""
    legacy_ids = [order.legacy_id for order in orders]
    order_ids = [ids[legacy_id] for legacy_id in legacy_ids]
    document = f"[{','.join(order.columns_json for order in orders)}]"
    session.execute(UPSERT_ORDERS, {"orders": document, "legacy_ids": legacy_ids, "order_ids": order_ids, "now": now})
    session.execute(DELETE_LINES, {"legacy_ids": legacy_ids})
    session.execute(INSERT_LINES, {"order_ids": order_ids})


def write_fulfillments(
    session: Session, orders: Sequence[OrderRecord], stamps: Mapping[tuple[str, str], PartStamps], known: set[str]
) -> None:
    """Write the orders' fulfilments with their stamps; of `known` orders those no longer listed become cancelled."""
    rows = [_fulfillment_row(order, f, stamps) for order in orders for f in order.fulfillments]
    if rows:
        session.execute(UPSERT_FULFILLMENTS, {"fulfillments": _document(rows)})
    complete = [order.legacy_id for order in orders if order.legacy_id in known and order.fulfillments_complete]
    if complete:
        session.execute(CANCEL_FULFILLMENTS, {"legacy_ids": complete, "listed": [row["id"] for row in rows]})


def _fulfillment_row(
    order: OrderRecord, fulfillment: FulfillmentRecord, stamps: Mapping[tuple[str, str], PartStamps]
) -> Row:
    stamp = stamps.get(("fulfillment", fulfillment.legacy_id), PartStamps())
    return {
        "id": fulfillment.legacy_id,
        "order_id": order.legacy_id,
        "status": fulfillment.status,
        "shipment_status": fulfillment.shipment_status,
        "tracking_company": fulfillment.tracking_company,
        "tracking_number": fulfillment.tracking_number,
        "tracking_url": fulfillment.tracking_url,
        "delivered_at": fulfillment.delivered_at,
        "estimated_delivery_at": fulfillment.estimated_delivery_at,
        "created_at": fulfillment.created_at,
        "announced_at": stamp.announced_at,
        "delivered_announced_at": stamp.delivered_announced_at,
    }


def write_refunds(
    session: Session, orders: Sequence[OrderRecord], stamps: Mapping[tuple[str, str], PartStamps]
) -> None:
    """Write the orders' refunds with their stamps, and their lines where the orders know them."""
    rows = [
        {
            "id": refund.legacy_id,
            "order_id": order.legacy_id,
            "amount_cents": refund.amount_cents,
            "currency": refund.currency,
            "reason": refund.reason,
            "processed_at": refund.processed_at,
            "created_at": refund.created_at,
            "announced_at": stamps.get(("refund", refund.legacy_id), PartStamps()).announced_at,
        }
        for order in orders
        for refund in order.refunds
    ]
    if not rows:
        return
    session.execute(UPSERT_REFUNDS, {"refunds": _document(rows)})
    write_refund_details(
        session, [(refund, terms_of(order)) for order in orders if order.refund_details for refund in order.refunds]
    )


def terms_of(order: OrderRecord) -> RefundTerms:
    """The terms of an order that was just mapped."""
    return RefundTerms(order.taxes_included, order.columns["net_sales_cents"], order.columns["total_cents"])


def write_refund_details(session: Session, refunds: Sequence[tuple[RefundRecord, RefundTerms]]) -> None:
    """Write goods, tax and shipping of refunds whose rows exist, and replace their lines."""
    if not refunds:
        return
    lines = [(refund, line, terms) for refund, terms in refunds for line in refund.lines or ()]
    goods = [
        refund.goods_cents(
            taxes_included=terms.taxes_included, net_sales_cents=terms.net_sales_cents, total_cents=terms.total_cents
        )
        for refund, terms in refunds
    ]
    ids = [refund.legacy_id for refund, _ in refunds]
    session.execute(
        WRITE_REFUND_DETAILS,
        {
            "ids": ids,
            "goods": goods,
            "taxes": [refund.tax_cents for refund, _ in refunds],
            "shippings": [refund.shipping_cents for refund, _ in refunds],
        },
    )
    session.execute(DELETE_REFUND_LINES, {"ids": ids})
    if lines:
        session.execute(
            INSERT_REFUND_LINES,
            {
                "refund_ids": [refund.legacy_id for refund, _, _ in lines],
                "line_ids": [line.line_id for _, line, _ in lines],
                "quantities": [line.quantity for _, line, _ in lines],
                "amounts": [refund.line_amount(line, terms.taxes_included) for refund, line, terms in lines],
                "taxes": [line.tax_cents for _, line, _ in lines],
            },
        )


def _document(rows: Sequence[Mapping[str, Any]]) -> str:
    return to_json(rows).decode()
