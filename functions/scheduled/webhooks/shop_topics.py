"""Topics about the app in a shop, the shop itself and its customers' privacy: what is kept here and who is told."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from functions.scheduled.webhooks import lookups
from functions.scheduled.webhooks.body import at, instant, legacy, shopify_id, text
from functions.scheduled.webhooks.model import (
    AskPrivacy,
    BodyInvalid,
    Disconnect,
    Facts,
    ForgetShop,
    Look,
    Plan,
    RedactCustomer,
    Send,
    StoreScopes,
    StoreShop,
    Topic,
    Webhook,
)
from shared.events.alerts import AlertApiFailure, AlertCritical, AlertSystemError
from shared.privacy import request_id

GDPR_DEADLINE = timedelta(days=30)
"""From receipt until a privacy request must be answered: Shopify's mandatory webhooks, GDPR article 12(3)."""
NEEDED_SCOPES = ("read_customers", "read_orders", "read_products")
"""Scopes of the topics that every shop must send: without one of them Shopify drops the subscriptions."""

# -- the app and the shop --------------------------------------------------------------------------------------------


def uninstalled(webhook: Webhook, facts: Facts) -> Plan:
    """An uninstallation from before the present installation must not cut off the present one."""
    happened_at = webhook.happened_at
    if any(row["installed_at"] and happened_at < row["installed_at"] for row in facts):
        return Plan(webhook.shop, skip="before_reinstall")
    alert = AlertSystemError(
        severity="error",
        source="shopify",
        title="Shopify app uninstalled",
        message="The app was uninstalled from the shop. Its tokens were removed; nothing is synchronised any more.",
        dedupe_key=f"app-uninstalled:{webhook.shop}:{happened_at:%Y-%m-%d}",
        context={"shop": webhook.shop},
    )
    return Plan(webhook.shop, (Send(alert),), (Disconnect(happened_at),))


def scopes_updated(webhook: Webhook, facts: Facts) -> Plan:
    current = at(webhook, "current")
    if not isinstance(current, list) or not all(isinstance(scope, str) for scope in current):
        raise BodyInvalid("current is no list of scopes")
    if _older(webhook, facts):
        return Plan(webhook.shop, skip="stale")
    granted = set(current) | {"read_" + scope[6:] for scope in current if scope.startswith("write_")}
    missing = [scope for scope in NEEDED_SCOPES if scope not in granted]
    alert = AlertApiFailure(
        severity="error",
        source="shopify",
        title="Shopify access was reduced",
        message="The shop no longer grants scopes that its webhooks need. Ask for them again in the app's settings.",
        dedupe_key=f"shopify-scopes:{webhook.shop}:{webhook.happened_at:%Y-%m-%d}",
        context={"shop": webhook.shop, "missing": missing},
    )
    return Plan(webhook.shop, (Send(alert),) if missing else (), (StoreScopes(tuple(current)),))


def shop_updated(webhook: Webhook, facts: Facts) -> Plan:
    if not isinstance(webhook.body, dict):
        raise BodyInvalid("not an object")
    if _older(webhook, facts):
        return Plan(webhook.shop, skip="stale")
    details = StoreShop(
        name=text(webhook, "name"),
        email=text(webhook, "email"),
        domain=text(webhook, "domain"),
        currency=text(webhook, "currency"),
        timezone=text(webhook, "iana_timezone"),
    )
    return Plan(webhook.shop, writes=(details,))


def _older(webhook: Webhook, facts: Facts) -> bool:
    """Whether a newer body of this topic was taken over already: by the bodies' updated_at, else by sending time."""
    mine = instant(webhook, "updated_at") or webhook.happened_at
    return any(mine < _said_at(row) for row in facts)


def _said_at(row: Any) -> datetime:
    try:
        said = datetime.fromisoformat(row["updated_at"]) if row["updated_at"] else None
    except ValueError:
        said = None
    found: datetime = said if said and said.tzinfo else row["triggered_at"] or row["received_at"]
    return found.astimezone(UTC)


# -- privacy ---------------------------------------------------------------------------------------------------------


def data_requested(webhook: Webhook, facts: Facts) -> Plan:
    """A customer asks what is known about them: a person answers, so the request is opened and announced."""
    customer_id, email = _person(webhook)
    order_ids = _ids(at(webhook, "orders_requested"))
    pending_id = str(facts[0]["id"]) if facts else request_id(webhook.id)
    request = AskPrivacy(
        request_id=pending_id,
        customer_id=customer_id,
        email=email or f"shopify:{customer_id}",
        request_type="export",
        notes=f"shopify orders: {', '.join(order_ids)}",
        deadline_at=webhook.received_at + GDPR_DEADLINE,
    )
    alert = AlertSystemError(
        severity="info",
        source="webhooks",
        title="A customer asked for their data",
        message=f"Answer the privacy request by {request.deadline_at:%Y-%m-%d}.",
        dedupe_key=f"privacy:{pending_id}",
        context={"requestId": pending_id, "customerId": customer_id, "orderIds": list(order_ids[:100])},
    )
    return Plan(customer_id, (Send(alert),), () if facts else (request,))


def _person(webhook: Webhook) -> tuple[str | None, str | None]:
    customer_id = legacy(at(webhook, "customer", "id"))
    email = text(webhook, "customer", "email")
    if customer_id is None and email is None:
        raise BodyInvalid("customer.id and customer.email are missing")
    return customer_id, email.lower()[:255] if email else None


def _open_export(webhook: Webhook) -> dict[str, Any]:
    customer_id, email = _person(webhook)
    return {"customer_id": customer_id, "email": email or f"shopify:{customer_id}"}


def _ids(values: Any) -> tuple[str, ...]:
    found: Iterable[str | None] = (legacy(value) for value in values) if isinstance(values, list) else ()
    return tuple(id for id in found if id)


def customer_redacted(webhook: Webhook, facts: Facts) -> Plan:
    id = shopify_id(webhook, "customer", "id")
    email = text(webhook, "customer", "email")
    redaction = RedactCustomer(
        customer_id=id,
        email=email.lower()[:255] if email else None,
        phone=text(webhook, "customer", "phone"),
        order_ids=_ids(at(webhook, "orders_to_redact")),
    )
    return Plan(id, writes=(redaction,))


def shop_redacted(webhook: Webhook, facts: Facts) -> Plan:
    """The shop's secrets go at once; erasing a tenant is decided and done by a person."""
    request = AskPrivacy(
        request_id=request_id(webhook.id),
        customer_id=None,
        email=f"shop:{webhook.shop}"[:255],
        request_type="delete",
        notes="shop redaction",
        deadline_at=webhook.received_at + GDPR_DEADLINE,
    )
    alert = AlertCritical(
        severity="critical",
        source="webhooks",
        title="Shopify asks to erase a shop",
        message=f"Erase the data of the shop by {request.deadline_at:%Y-%m-%d}.",
        dedupe_key=f"shop-redact:{webhook.shop}"[:200],
        context={"audience": "platform", "shop": webhook.shop},
    )
    return Plan(webhook.shop, (Send(alert),), (ForgetShop(webhook.happened_at), request))


# -- the table -------------------------------------------------------------------------------------------------------


def _shop(webhook: Webhook) -> dict[str, Any]:
    return {"shop": webhook.shop, "topic": webhook.topic}


SHOP_TOPICS: dict[str, Topic] = {
    "app/uninstalled": Topic(uninstalled, Look(lookups.CONNECTION, _shop)),
    "app/scopes_update": Topic(scopes_updated, Look(lookups.FORMER_BODIES, _shop)),
    "shop/update": Topic(shop_updated, Look(lookups.FORMER_BODIES, _shop)),
    "customers/data_request": Topic(data_requested, Look(lookups.PENDING_EXPORT, _open_export)),
    "customers/redact": Topic(customer_redacted),
    "shop/redact": Topic(shop_redacted),
}
