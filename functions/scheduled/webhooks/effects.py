"""Carrying a plan's writes out, each as one set-based statement in the webhook's settling transaction."""

from __future__ import annotations

import json
from typing import Any

from functions.scheduled.webhooks.model import (
    AskPrivacy,
    CheckoutGone,
    CheckoutSeen,
    CheckPayouts,
    Disconnect,
    ForgetShop,
    RecordMail,
    RedactCustomer,
    StoreScopes,
    StoreShop,
    Webhook,
    Write,
)
from functions.scheduled.webhooks.shop_topics import GDPR_DEADLINE
from shared import privacy
from shared.jobs.context import JobContext, Session
from shared.mail import record_event
from shared.storable import storable

SEE_CHECKOUT = """
-- webhooks: keep a checkout; an older body writes nothing, and what is recovered stays recovered
INSERT INTO abandoned_checkouts AS c (
    shopify_checkout_id, shopify_checkout_token, customer_email, customer_phone, customer_id, customer_name,
    cart_total_cents, currency_code, line_items, billing_address, shipping_address, recovery_url, abandoned_at,
    status, recovered_at, created_at, updated_at
) VALUES (
    %(shopify_checkout_id)s, %(shopify_checkout_token)s, %(customer_email)s, %(customer_phone)s, %(customer_id)s,
    %(customer_name)s, %(cart_total_cents)s, %(currency_code)s, %(line_items)s::jsonb, %(billing_address)s::jsonb,
    %(shipping_address)s::jsonb, %(recovery_url)s, %(abandoned_at)s,
    CASE WHEN %(recovered_at)s::timestamptz IS NULL THEN 'abandoned' ELSE 'recovered' END,
    %(recovered_at)s::timestamptz, %(now)s, %(now)s
)
ON CONFLICT (shopify_checkout_id) DO UPDATE
SET shopify_checkout_token = EXCLUDED.shopify_checkout_token,
    customer_email = EXCLUDED.customer_email,
    customer_phone = EXCLUDED.customer_phone,
    customer_id = EXCLUDED.customer_id,
    customer_name = EXCLUDED.customer_name,
    cart_total_cents = EXCLUDED.cart_total_cents,
    currency_code = EXCLUDED.currency_code,
    line_items = EXCLUDED.line_items,
    billing_address = EXCLUDED.billing_address,
    shipping_address = EXCLUDED.shipping_address,
    recovery_url = EXCLUDED.recovery_url,
    abandoned_at = CASE WHEN c.status = 'abandoned' THEN EXCLUDED.abandoned_at ELSE c.abandoned_at END,
    status = CASE WHEN EXCLUDED.recovered_at IS NULL THEN c.status ELSE 'recovered' END,
    recovered_at = COALESCE(c.recovered_at, EXCLUDED.recovered_at),
    updated_at = EXCLUDED.updated_at
WHERE EXCLUDED.abandoned_at >= c.abandoned_at
"""

CANCEL_RECOVERY_MAILS = """
-- webhooks: nobody is reminded of a checkout that was completed
UPDATE recovery_email_queue q
SET status = 'cancelled'
FROM abandoned_checkouts c
WHERE c.shopify_checkout_id = %(shopify_checkout_id)s AND c.status = 'recovered'
  AND q.abandoned_checkout_id = c.id AND q.status = 'scheduled'
"""

EXPIRE_CHECKOUT = """
-- webhooks: a deleted checkout cannot be recovered
UPDATE abandoned_checkouts SET status = 'expired', updated_at = %(now)s
WHERE shopify_checkout_id = %(shopify_checkout_id)s AND status = 'abandoned'
"""

CHECK_PAYOUTS = """
-- webhooks: these payout attempts are due for a look at their vendor
UPDATE payout_attempts SET next_check_at = %(now)s, updated_at = %(now)s WHERE id = ANY(%(ids)s::uuid[])
"""

DISCONNECT = """
-- webhooks: the app is gone from the shop; the secret of its webhooks stays, shop/redact must still be verified
WITH connection AS (
    UPDATE shopify_connections
    SET status = 'disconnected', access_token_encrypted = NULL, storefront_api_token_encrypted = NULL
    WHERE lower(shop) = %(shop)s
), registrations AS (
    UPDATE webhook_registrations SET status = 'deleted' WHERE lower(shop) = %(shop)s
), installation AS (
    UPDATE public.shopify_app_installations
    SET status = 'uninstalled', uninstalled_at = %(at)s, updated_at = %(now)s
    WHERE lower(shop) = %(shop)s AND organization_id = %(organization_id)s
)
UPDATE public.organizations
SET shopify_access_token_encrypted = NULL, updated_at = %(now)s
WHERE id = %(organization_id)s AND lower(shopify_store_domain) = %(shop)s
  AND shopify_access_token_encrypted IS NOT NULL
"""

STORE_SCOPES = """
-- webhooks: what the shop grants now
UPDATE shopify_connections SET scopes = %(scopes)s::text[], updated_at = %(now)s WHERE lower(shop) = %(shop)s
"""

STORE_SHOP = """
-- webhooks: the shop's own details; what the body leaves out stays
UPDATE shopify_connections
SET store_name = COALESCE(%(name)s::text, store_name), store_email = COALESCE(%(email)s::text, store_email),
    store_domain = COALESCE(%(domain)s::text, store_domain),
    store_currency = COALESCE(%(currency)s::text, store_currency),
    store_timezone = COALESCE(%(timezone)s::text, store_timezone), updated_at = %(now)s
WHERE lower(shop) = %(shop)s
"""

FORGET_SHOP = """
-- webhooks: drop every secret of a shop, unless it was connected anew since the erasure was asked for
UPDATE shopify_connections
SET status = 'disconnected', access_token_encrypted = NULL, webhook_secret_encrypted = NULL,
    storefront_api_token_encrypted = NULL, updated_at = %(now)s
WHERE lower(shop) = %(shop)s AND (installed_at IS NULL OR installed_at <= %(at)s)
"""


def apply(session: Session, ctx: JobContext, webhook: Webhook, write: Write) -> None:
    """Carry out one write of a plan."""
    shop: dict[str, Any] = {"shop": webhook.shop, "now": ctx.now()}
    match write:
        case CheckoutSeen(values):
            _see_checkout(session, ctx, dict(values))
        case CheckoutGone(id):
            session.execute(EXPIRE_CHECKOUT, {"shopify_checkout_id": id, "now": ctx.now()})
        case CheckPayouts(ids):
            session.execute(CHECK_PAYOUTS, {"ids": list(ids), "now": ctx.now()})
        case Disconnect(at):
            session.execute(DISCONNECT, {**shop, "at": at, "organization_id": ctx.tenant.organization_id})
        case StoreScopes(scopes):
            session.execute(STORE_SCOPES, {**shop, "scopes": list(scopes)})
        case StoreShop():
            session.execute(STORE_SHOP, {**shop, **_details(write)})
        case ForgetShop(at):
            session.execute(FORGET_SHOP, {**shop, "at": at})
        case AskPrivacy():
            _ask_privacy(session, ctx, write)
        case RecordMail(kind, email_id, at, detail):
            record_event(session, kind, email_id, at, detail, now=ctx.now())
        case RedactCustomer():
            _redact_customer(session, ctx, webhook, write)
        case _:
            raise TypeError(f"no effect for {type(write).__name__}")


def _see_checkout(session: Session, ctx: JobContext, values: dict[str, Any]) -> None:
    for column in ("line_items", "billing_address", "shipping_address"):
        value = values[column]
        values[column] = None if value is None else json.dumps(storable(value), ensure_ascii=False)
    session.execute(SEE_CHECKOUT, {**values, "now": ctx.now()})
    if values["recovered_at"] is not None:
        session.execute(CANCEL_RECOVERY_MAILS, {"shopify_checkout_id": values["shopify_checkout_id"]})


def _details(write: StoreShop) -> dict[str, str | None]:
    return {
        "name": write.name,
        "email": write.email,
        "domain": write.domain,
        "currency": write.currency,
        "timezone": write.timezone,
    }


def _ask_privacy(session: Session, ctx: JobContext, write: AskPrivacy) -> None:
    privacy.open_request(
        session,
        request_id=write.request_id,
        customer_id=write.customer_id,
        email=write.email,
        request_type=write.request_type,
        notes=write.notes,
        deadline_at=write.deadline_at,
        now=ctx.now(),
    )


def _redact_customer(session: Session, ctx: JobContext, webhook: Webhook, write: RedactCustomer) -> None:
    """The request is opened and closed here, so that the tenant sees that and when it was answered."""
    privacy.open_request(
        session,
        request_id=privacy.request_id(webhook.id),
        customer_id=write.customer_id,
        email=write.email or f"shopify:{write.customer_id}",
        request_type="delete",
        notes=f"shopify orders: {', '.join(write.order_ids)}",
        deadline_at=webhook.received_at + GDPR_DEADLINE,
        now=ctx.now(),
    )
    privacy.redact_customer(
        session,
        customer_id=write.customer_id,
        email=write.email,
        phone=write.phone,
        order_ids=write.order_ids,
        now=ctx.now(),
    )
    privacy.close_requests(session, customer_id=write.customer_id, request_type="delete", now=ctx.now())
