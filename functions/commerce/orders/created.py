"""A new order: what follows once, however many publishers announce it."""

from __future__ import annotations

from typing import Any, Literal

from functions.commerce.orders.sync import ORDER_SETTINGS, RETRY, fetch, unknown_at_shopify
from shared.events.ab_tests import AbOrderReconcile
from shared.events.alerts import AlertApiFailure
from shared.events.base import Event, Payload
from shared.events.customers import CustomerSync
from shared.events.integrations import KlaviyoSync
from shared.events.operations import WorkflowTriggered
from shared.events.orders import OrderAttribution, OrderCommission, OrderCreated
from shared.ids import as_legacy_id, find_order
from shared.jobs import JobContext, Permanent, Session, job, payload_hash
from shared.jobs.context import Row
from shared.jobs.queues import ORDER_PROCESSING
from shared.orders.codes import codes_of
from shared.orders.marks import LOCAL, NEVER
from shared.orders.records import OrderRecord
from shared.orders.store import store_orders
from shared.tenant_settings import config

KLAVIYO_SETTINGS = {"nativeShopify": True}
"""Default of the tenant's setting klaviyo.sync: Klaviyo reads orders from Shopify itself."""


class OrderCreatedResult(Payload):
    """`emitted` counts the events that went out because of the new order."""

    order_id: str
    outcome: Literal["handled", "duplicate", "ignored", "cancelled"]
    emitted: int = 0
    recovered_checkout: bool = False


# An order that an app made has no mark; one that Shopify does not know gets a key of its own.
ENSURE_MARK = """
-- orders: a mark for an order that has none
INSERT INTO order_sync_marks AS m
    (shopify_order_id, order_id, shopify_updated_at, content_hash, first_source, checked_at)
SELECT COALESCE(o.shopify_id, o.shopify_order_id, %(local)s || o.id), o.id, %(never)s, '', 'app', %(now)s
FROM orders o
WHERE o.id = %(order_id)s AND NOT EXISTS (SELECT FROM order_sync_marks x WHERE x.order_id = o.id)
ON CONFLICT (shopify_order_id) DO UPDATE SET order_id = excluded.order_id
"""

CLAIM_HANDLING = """
-- orders: the first to handle a new order takes it
UPDATE order_sync_marks
SET created_handled_at = %(now)s, created_announced_at = COALESCE(created_announced_at, %(now)s)
WHERE order_id = %(order_id)s AND created_handled_at IS NULL
RETURNING shopify_order_id
"""

# The first order of a person is the counted one with the smallest (placed_at, id); an order without a person, that is
# without customer and address, is never first.
NEW_ORDER = """
-- orders: what the follow-up of a new order needs to know
SELECT o.id, o.customer_id, o.total_cents, o.currency, COALESCE(o.order_placed_at, o.created_at) AS placed_at,
       o.cancelled_at IS NOT NULL OR o.status = 'cancelled' OR o.financial_status = 'voided' AS is_dead,
       o.discount_codes AS codes,
       CASE jsonb_typeof(o.attribution_data) WHEN 'object' THEN o.attribution_data ELSE '{}' END AS attribution,
       COALESCE((SELECT sum(l.quantity) FROM order_line_items l
                 WHERE l.order_shopify_id = COALESCE(o.shopify_id, o.shopify_order_id)),
                jsonb_array_length(CASE jsonb_typeof(o.line_items) WHEN 'array' THEN o.line_items ELSE '[]' END)
       )::integer AS item_count,
       EXISTS (SELECT FROM klaviyo_connections k WHERE k.is_active) AS klaviyo,
       COALESCE(o.customer_id, lower(o.customer_email)) IS NOT NULL AND NOT EXISTS (
           SELECT FROM orders e
           WHERE COALESCE(e.customer_id, lower(e.customer_email)) = COALESCE(o.customer_id, lower(o.customer_email))
             AND (COALESCE(e.order_placed_at, e.created_at), e.id) < (COALESCE(o.order_placed_at, o.created_at), o.id)
             AND e.financial_status <> 'voided'
             AND (NOT (e.cancelled_at IS NOT NULL OR e.status = 'cancelled') OR EXISTS (
                 SELECT FROM refunds r WHERE r.order_shopify_id IN (e.shopify_id, e.shopify_order_id)))
       ) AS is_first
FROM orders o
WHERE o.id = %(order_id)s
"""

RECOVER_CHECKOUT = """
-- orders: the cart that became this order is no longer abandoned; recovery mails look at the status before they go out
UPDATE abandoned_checkouts
SET status = 'recovered', recovered_at = %(placed_at)s, recovered_order_id = %(order_id)s
WHERE shopify_checkout_token = %(token)s AND status IN ('abandoned', 'processing', 'expired')
"""

REDEEM_REVIEW_CODES = """
-- orders: the thank-you codes of reviews that this order used
UPDATE review_incentive_codes
SET status = 'redeemed', redeemed_at = %(placed_at)s, redeemed_order_id = %(order_id)s
WHERE upper(code) = ANY(%(codes)s) AND status = 'active'
"""


@job(
    "commerce-handle-order-created",
    on=OrderCreated,
    queue=ORDER_PROCESSING,
    emits=(
        OrderAttribution,
        OrderCommission,
        AbOrderReconcile,
        CustomerSync,
        WorkflowTriggered,
        KlaviyoSync,
        AlertApiFailure,
    ),
    retry=RETRY,
    timeout_s=60,
    key=lambda p, m: f"order.created:{p.order_id}:{payload_hash(p)}",
)
def handle_order_created(ctx: JobContext, payload: OrderCreated) -> OrderCreatedResult:
    """Run what follows a new order once: attribution, commission, A/B tests, customer, recovered cart, workflows.

    Several publishers may announce one order; the first takes it, the others end as duplicate. An order that we do
    not hold is fetched first. Errors are those of commerce-sync-order.
    """
    if payload.total_amount < 0:  # refunds and cancellations have events of their own
        return OrderCreatedResult(order_id=payload.order_id, outcome="ignored")
    with ctx.tenant_session(read_only=True) as session:
        row = find_order(session, payload.order_id)
        if row is None and payload.shopify_order_id is not None:
            row = find_order(session, payload.shopify_order_id)
        settings = config(session, "orders.sync", ORDER_SETTINGS)
    order = None if row else _fetch_announced(ctx, payload)
    with ctx.final_session() as session:
        if order is not None:
            counts = store_orders(
                session,
                [order],
                tenant=ctx.tenant,
                now=ctx.now(),
                source="app",
                announce="none",
                include_test=bool(settings["includeTest"]),
                mark_created_announced=True,
            )
            if counts.by_id[order.legacy_id] == "test_order":
                return OrderCreatedResult(order_id=order.legacy_id, outcome="ignored")
            row = find_order(session, order.legacy_id)
        assert row is not None  # it was there, or it was just stored under its mark's lock
        return _follow_up(ctx, session, row["id"])


def _fetch_announced(ctx: JobContext, payload: OrderCreated) -> OrderRecord:
    legacy_id = as_legacy_id(payload.shopify_order_id or payload.order_id)
    if legacy_id is None:
        raise Permanent("ORDER_ID_UNKNOWN", "no order has this id, and it is no Shopify id")
    order = fetch(ctx, legacy_id)
    if order is None:
        raise unknown_at_shopify(ctx, from_webhook=True)
    return order


def _follow_up(ctx: JobContext, session: Session, order_id: str) -> OrderCreatedResult:
    now = ctx.now()
    session.execute(ENSURE_MARK, {"order_id": order_id, "local": LOCAL, "never": NEVER, "now": now})
    if session.one(CLAIM_HANDLING, {"order_id": order_id, "now": now}) is None:
        return OrderCreatedResult(order_id=order_id, outcome="duplicate")
    order = session.one(NEW_ORDER, {"order_id": order_id})
    assert order is not None  # its mark was just claimed
    if order["is_dead"]:
        events = _marketing_events(order)
        session.emit_many([(event, None) for event in events])
        return OrderCreatedResult(order_id=order_id, outcome="cancelled", emitted=len(events))
    codes = codes_of(order["codes"])
    facts = {"order_id": order_id, "placed_at": order["placed_at"]}
    token = order["attribution"].get("checkoutToken")
    recovered = bool(token and session.execute(RECOVER_CHECKOUT, {**facts, "token": token}))
    if codes:
        session.execute(REDEEM_REVIEW_CODES, {**facts, "codes": [code.strip().upper() for code in codes]})
    tells_klaviyo = order["klaviyo"] and config(session, "klaviyo.sync", KLAVIYO_SETTINGS)["nativeShopify"] is False
    events = [*_marketing_events(order), *_new_order_events(order, tells_klaviyo=tells_klaviyo)]
    session.emit_many([(event, None) for event in events])
    return OrderCreatedResult(order_id=order_id, outcome="handled", emitted=len(events), recovered_checkout=recovered)


def _marketing_events(order: Row) -> list[Event]:
    """Attribution of every order, commission of one with a discount code or a creator's link."""
    attribution: dict[str, Any] = order["attribution"]
    events: list[Event] = [
        OrderAttribution(
            order_id=order["id"], customer_id=order["customer_id"], session_id=attribution.get("sessionId")
        )
    ]
    if codes_of(order["codes"]) or attribution.get("creatorCode"):
        events.append(OrderCommission(order_id=order["id"]))
    return events


def _new_order_events(order: Row, *, tells_klaviyo: bool) -> list[Event]:
    attribution: dict[str, Any] = order["attribution"]
    events: list[Event] = []
    if any(attribution.get(name) for name in ("visitorId", "abVisitorId", "abTestId", "abVariantId")):
        events.append(AbOrderReconcile(order_id=order["id"]))
    if order["customer_id"] is not None:
        events.append(CustomerSync(shopify_customer_id=order["customer_id"], source="job"))
    events.append(
        WorkflowTriggered(
            trigger="order_created",
            entity_type="order",
            entity_id=order["id"],
            context={
                "totalCents": order["total_cents"],
                "currency": order["currency"],
                "itemCount": order["item_count"],
                "discountCodes": codes_of(order["codes"]),
                "firstOrder": order["is_first"],
            },
        )
    )
    if tells_klaviyo:
        events.append(KlaviyoSync(sync_type="events"))
    return events
