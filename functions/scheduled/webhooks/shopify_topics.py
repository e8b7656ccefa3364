"""Shopify's topics: what each webhook of a shop brings about.

A webhook says that something changed; the listening job reads what from Shopify. So ids and instants travel on, and
nothing else of the body, except where a table of ours is kept here: checkouts, the connection, privacy requests.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from functions.scheduled.webhooks import lookups
from functions.scheduled.webhooks.body import (
    amount_cents,
    at,
    instant,
    legacy,
    shopify_id,
    spellings,
    text,
)
from functions.scheduled.webhooks.model import (
    BodyInvalid,
    CheckoutGone,
    CheckoutSeen,
    Facts,
    Look,
    Plan,
    Send,
    Topic,
    Webhook,
)
from functions.scheduled.webhooks.shop_topics import SHOP_TOPICS
from shared.events.catalog import CollectionSync, InventoryUpdate, ProductSyncOne
from shared.events.creators import CreatorShipmentSync
from shared.events.customers import CustomerSync
from shared.events.orders import OrderSync
from shared.events.recovery import RecoveryCheckoutUpdated
from shared.events.subscriptions import SubscriptionBilling, SubscriptionPaymentFailed

NOT_OURS = "not_ours"

# -- orders, refunds, fulfilments ------------------------------------------------------------------------------------


def order(webhook: Webhook, facts: Facts) -> Plan:
    """orders/*: the body is the order. Webhooks of one state (same updated_at) share a key, so bursts collapse."""
    id, updated_at = shopify_id(webhook, "id"), instant(webhook, "updated_at")
    event = OrderSync(shopify_order_id=id, source="webhook", updated_at=updated_at)
    return Plan(id, (Send(event, key=_state_key("order.sync", id, updated_at)),))


def _state_key(event: str, id: str, updated_at: datetime | None) -> str | None:
    return f"{event}:{id}:{updated_at.isoformat()}" if updated_at else None


def order_edited(webhook: Webhook, facts: Facts) -> Plan:
    return _order_of(shopify_id(webhook, "order_edit", "order_id"))


def refund(webhook: Webhook, facts: Facts) -> Plan:
    return _order_of(shopify_id(webhook, "order_id"))


def fulfilment(webhook: Webhook, facts: Facts) -> Plan:
    """The order is read again; parcels to creators that it carries are asked for at once."""
    found = _order_of(shopify_id(webhook, "order_id"))
    return Plan(found.resource_id, found.sends + _shipments(facts))


def draft_order(webhook: Webhook, facts: Facts) -> Plan:
    id = shopify_id(webhook, "id")
    return Plan(id, _shipments(facts) if at(webhook, "status") == "completed" else ())


def _order_of(id: str) -> Plan:
    """The body is not the order, so its times say nothing about the order's state."""
    return Plan(id, (Send(OrderSync(shopify_order_id=id, source="webhook")),))


def _shipments(facts: Facts) -> tuple[Send, ...]:
    return tuple(Send(CreatorShipmentSync(shipment_id=row["id"]), about=str(row["id"])) for row in facts)


# -- customers -------------------------------------------------------------------------------------------------------


def customer_created(webhook: Webhook, facts: Facts) -> Plan:
    return _customer(webhook, "create")


def customer_updated(webhook: Webhook, facts: Facts) -> Plan:
    return _customer(webhook, "update")


def _customer(webhook: Webhook, action: Literal["create", "update"]) -> Plan:
    id = shopify_id(webhook, "id")
    return Plan(id, (Send(_customer_sync(id, action, instant(webhook, "updated_at"))),))


def _customer_sync(
    id: str, action: Literal["create", "update", "delete"], updated_at: datetime | None = None
) -> CustomerSync:
    return CustomerSync(shopify_customer_id=id, action=action, updated_at=updated_at, source="webhook")


def customer_deleted(webhook: Webhook, facts: Facts) -> Plan:
    id = shopify_id(webhook, "id")
    return Plan(id, (Send(_customer_sync(id, "delete")),))


def customer_consent(webhook: Webhook, facts: Facts) -> Plan:
    id = shopify_id(webhook, "customer_id")
    return Plan(id, (Send(_customer_sync(id, "update")),))


def customers_merged(webhook: Webhook, facts: Facts) -> Plan:
    kept = shopify_id(webhook, "admin_graphql_api_customer_kept_id")
    gone = shopify_id(webhook, "admin_graphql_api_customer_deleted_id")
    return Plan(
        kept, (Send(_customer_sync(kept, "update"), about=kept), Send(_customer_sync(gone, "delete"), about=gone))
    )


# -- catalogue -------------------------------------------------------------------------------------------------------


def product(webhook: Webhook, facts: Facts) -> Plan:
    id, updated_at = shopify_id(webhook, "id"), instant(webhook, "updated_at")
    actions: dict[str, Literal["create", "delete"]] = {"products/create": "create", "products/delete": "delete"}
    event = ProductSyncOne(
        shopify_product_id=id, action=actions.get(webhook.topic, "update"), updated_at=updated_at, source="webhook"
    )
    return Plan(id, (Send(event, key=_state_key("product.syncOne", id, updated_at)),))


def inventory_level(webhook: Webhook, facts: Facts) -> Plan:
    """The number travels on: stock has no other state to read. A disconnected item is stocked there no more."""
    item, location = shopify_id(webhook, "inventory_item_id"), shopify_id(webhook, "location_id")
    gone = webhook.topic == "inventory_levels/disconnect"
    event = InventoryUpdate(
        inventory_item_id=item,
        shopify_location_id=location,
        available=None if gone else _whole_number(at(webhook, "available")),
        updated_at=instant(webhook, "updated_at") or webhook.happened_at,
    )
    return Plan(item, (Send(event),))


def _whole_number(value: Any) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    try:
        return int(str(value))
    except ValueError:
        raise BodyInvalid("available is no whole number") from None


def collection(webhook: Webhook, facts: Facts) -> Plan:
    id = shopify_id(webhook, "id")
    event = CollectionSync(
        shopify_collection_id=id,
        full_sync=False,
        action="delete" if webhook.topic == "collections/delete" else "update",
        updated_at=instant(webhook, "updated_at"),
        source="webhook",
    )
    return Plan(id, (Send(event),))


# -- checkouts -------------------------------------------------------------------------------------------------------


def checkout(webhook: Webhook, facts: Facts) -> Plan:
    """A checkout that names somebody is kept, so that it can be recovered; a completed one is told to the apps."""
    id = shopify_id(webhook, "id")
    email = text(webhook, "email") or text(webhook, "customer", "email")
    phone = text(webhook, "phone") or text(webhook, "customer", "phone")
    if not (email or phone):
        return Plan(id, skip="anonymous")
    completed_at = instant(webhook, "completed_at")
    values = {
        "shopify_checkout_id": id,
        "shopify_checkout_token": text(webhook, "token"),
        "customer_email": email.lower() if email else None,
        "customer_phone": phone,
        "customer_id": legacy(at(webhook, "customer", "id")),
        "customer_name": _name(webhook),
        "cart_total_cents": amount_cents(at(webhook, "total_price"), "total_price"),
        "currency_code": _currency(webhook),
        "line_items": _line_items(webhook),
        "billing_address": at(webhook, "billing_address"),
        "shipping_address": at(webhook, "shipping_address"),
        "recovery_url": text(webhook, "abandoned_checkout_url"),
        "abandoned_at": instant(webhook, "updated_at") or webhook.happened_at,
        "recovered_at": completed_at,
    }
    done = Send(RecoveryCheckoutUpdated(shopify_checkout_id=id, completed=True))
    return Plan(id, (done,) if completed_at else (), (CheckoutSeen(values),))


def _name(webhook: Webhook) -> str | None:
    for person in ("customer", "shipping_address", "billing_address"):
        parts = [text(webhook, person, part) for part in ("first_name", "last_name")]
        if any(parts):
            return " ".join(part for part in parts if part)
    return None


def _currency(webhook: Webhook) -> str:
    """The currency of total_price: what the customer sees, else the shop's own."""
    return (text(webhook, "presentment_currency") or text(webhook, "currency") or "USD").upper()


def _line_items(webhook: Webhook) -> list[dict[str, Any]]:
    items = at(webhook, "line_items")
    return [_line_item(item, _currency(webhook)) for item in items or () if isinstance(item, dict)]


def _line_item(item: dict[str, Any], currency: str) -> dict[str, Any]:
    key = item.get("id") or item.get("key")
    return {
        "id": str(key) if key is not None else None,
        "title": item.get("title"),
        "variantTitle": item.get("variant_title"),
        "quantity": item.get("quantity"),
        "price": amount_cents(item.get("price", "0"), "line_items.price"),
        "currency": currency,
        "imageUrl": item.get("image_url"),
        "sku": item.get("sku"),
        "productId": legacy(item.get("product_id")),
        "variantId": legacy(item.get("variant_id")),
    }


def checkout_deleted(webhook: Webhook, facts: Facts) -> Plan:
    id = shopify_id(webhook, "id")
    return Plan(id, writes=(CheckoutGone(id),))


# -- subscriptions ---------------------------------------------------------------------------------------------------


def billing_succeeded(webhook: Webhook, facts: Facts) -> Plan:
    id = shopify_id(webhook, "admin_graphql_api_id")
    if not facts:
        return Plan(id, skip=NOT_OURS)
    return Plan(id, (Send(SubscriptionBilling(subscription_id=facts[0]["subscription_id"], step="settle")),))


def billing_failed(webhook: Webhook, facts: Facts) -> Plan:
    id = shopify_id(webhook, "admin_graphql_api_id")
    if not facts:
        return Plan(id, skip=NOT_OURS)
    gid = str(at(webhook, "admin_graphql_api_id"))
    return Plan(id, (Send(SubscriptionPaymentFailed(shopify_billing_attempt_id=gid, source="webhook")),))


def payment_method_updated(webhook: Webhook, facts: Facts) -> Plan:
    ids = [str(row["id"]) for row in facts]
    reason: Literal["payment_method_updated"] = "payment_method_updated"
    sends = tuple(Send(SubscriptionBilling(subscription_id=id, reason=reason), about=id) for id in ids)
    return Plan(_payment_method(webhook), sends)


def _payment_method(webhook: Webhook) -> str:
    """A payment method's id is a gid with a token, not digits."""
    gid = text(webhook, "admin_graphql_api_id")
    if gid is None:
        raise BodyInvalid("admin_graphql_api_id is missing")
    return gid


def _attempt_and_contract(webhook: Webhook) -> dict[str, Any]:
    contract = legacy(at(webhook, "admin_graphql_api_subscription_contract_id"))
    contract = contract or legacy(at(webhook, "subscription_contract_id"))
    return {
        **_attempt(webhook),
        "contracts": [contract, f"gid://shopify/SubscriptionContract/{contract}"] if contract else [],
    }


def _attempt(webhook: Webhook) -> dict[str, Any]:
    return {"attempts": spellings(webhook, "SubscriptionBillingAttempt", "admin_graphql_api_id")}


def noted(webhook: Webhook, facts: Facts) -> Plan:
    """Stored and completed: somebody else reads the row, or nothing has to follow."""
    return Plan(legacy(at(webhook, "id")))


# -- the table -------------------------------------------------------------------------------------------------------


_order = Topic(order)
_consent = Topic(customer_consent)
_updated = Topic(customer_updated)
_product = Topic(product)
_level = Topic(inventory_level)
_collection = Topic(collection)
_checkout = Topic(checkout)
_parcel = Topic(fulfilment, Look(lookups.SHIPMENTS_OF_ORDER, lambda w: {"ids": spellings(w, "Order", "order_id")}))
_failed = Topic(billing_failed, Look(lookups.BILLING_ATTEMPT, _attempt))

TOPICS: dict[str, Topic] = {
    "orders/create": _order,
    "orders/updated": _order,
    "orders/paid": _order,
    "orders/fulfilled": _order,
    "orders/partially_fulfilled": _order,
    "orders/edited": Topic(order_edited),
    "orders/cancelled": _order,
    "orders/delete": _order,
    "refunds/create": Topic(refund),
    "fulfillments/create": _parcel,
    "fulfillments/update": _parcel,
    "draft_orders/update": Topic(
        draft_order, Look(lookups.SHIPMENTS_OF_DRAFT, lambda w: {"ids": spellings(w, "DraftOrder", "id")})
    ),
    "customers/create": Topic(customer_created),
    "customers/update": _updated,
    "customers/enable": _updated,
    "customers/disable": _updated,
    "customers/delete": Topic(customer_deleted),
    "customers/merge": Topic(customers_merged),
    "customers_marketing_consent/update": _consent,
    "customers_email_marketing_consent/update": _consent,
    "products/create": _product,
    "products/update": _product,
    "products/delete": _product,
    "inventory_levels/update": _level,
    "inventory_levels/connect": _level,
    "inventory_levels/disconnect": _level,
    "collections/create": _collection,
    "collections/update": _collection,
    "collections/delete": _collection,
    "checkouts/create": _checkout,
    "checkouts/update": _checkout,
    "checkouts/delete": Topic(checkout_deleted),
    "subscription_billing_attempts/success": Topic(
        billing_succeeded, Look(lookups.BILLED_SUBSCRIPTION, _attempt_and_contract)
    ),
    "subscription_billing_attempts/failure": _failed,
    "subscription_billing_attempts/challenged": _failed,
    "customer_payment_methods/update": Topic(
        payment_method_updated, Look(lookups.SUBSCRIPTIONS_OF_METHOD, lambda w: {"ids": [_payment_method(w)]})
    ),
    **SHOP_TOPICS,
}
"""Every topic that we know, beside the family subscription_contracts/*."""

SUBSCRIPTION_CONTRACTS = Topic(noted)
"""subscription_contracts/*: the app reads the stored row."""
