"""What follows when a customer is new or has changed: the row completed, the past linked, others told once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from functions.commerce.catalog.common import RETRY, SETTINGS, klaviyo_active
from shared.events.base import Payload
from shared.events.customers import CustomerCreated, CustomerSync, CustomerUpdated
from shared.events.integrations import KlaviyoSync
from shared.events.operations import WorkflowTriggered
from shared.ids import as_legacy_id, find_customer
from shared.jobs import JobContext, Permanent, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import CATALOG_SYNC
from shared.tenant_settings import config

MAX_REPEATS = 3
"""Times that the event comes back while the customer is being fetched."""
REPEAT_S = 30
"""Seconds until it comes back."""
KLAVIYO_FIELDS = frozenset(
    ("email", "phone", "firstname", "lastname", "tags", "acceptsmarketing", "smsmarketingstate", "totalspent",
     "totalspentcents")
)  # fmt: skip
"""Fields that Klaviyo's profile holds, without underscores and capitals."""
SEGMENT_FIELDS = frozenset(("tags", "acceptsmarketing", "totalspent", "totalspentcents"))
"""Fields that may move a customer between segments."""


class CustomerCreatedResult(Payload):
    """`created`: the row was made here; `announced`: workflows and Klaviyo were told."""

    created: bool = False
    orders_linked: int = 0
    tags_added: int = 0
    announced: bool = False


class CustomerUpdatedResult(Payload):
    """`fields`: how many fields were named."""

    outcome: Literal["fetch_requested", "applied"]
    fields: int = 0
    recovery_mails_cancelled: int = 0


BY_EMAIL = """
-- catalog: the customers of an address; two rows name nobody
SELECT id FROM customers WHERE lower(email) = lower(%(email)s) ORDER BY id LIMIT 2
"""

INSERT = """
-- catalog: a customer that an app made
INSERT INTO customers (id, email, metadata, created_at)
VALUES (%(id)s, lower(%(email)s), '{"source": "app"}', %(now)s)
ON CONFLICT (id) DO NOTHING
"""

LOCK = """
-- catalog: a customer whose arrival is being handled
SELECT id, COALESCE(shopify_customer_id, shopify_id) AS legacy_id, email, tags, accepts_marketing, orders_count,
       default_address ->> 'countryCode' AS country, metadata ->> 'welcomedAt' AS welcomed_at
FROM customers WHERE id = %(id)s FOR UPDATE
"""

# Written as the index on orders is.
LINK_ORDERS = """
-- catalog: orders of a customer's address that name no customer
UPDATE orders SET customer_id = %(customer)s
WHERE customer_id IS NULL AND COALESCE(customer_id, lower(customer_email)) = lower(%(email)s)
"""

LINK_CHECKOUTS = """
-- catalog: checkouts of a customer's address that name no customer
UPDATE abandoned_checkouts SET customer_id = %(customer)s
WHERE customer_id IS NULL AND lower(customer_email) = lower(%(email)s)
"""

WELCOME = """
-- catalog: a customer was announced, and tagged
UPDATE customers
SET tags = %(tags)s, metadata = metadata || jsonb_build_object('welcomedAt', %(at)s::text)
WHERE id = %(id)s
"""

EMAIL_CHANGED = """
-- catalog: a customer's new address where it is copied; no old one is kept
WITH segments AS (
    UPDATE customer_rfm_segments s SET customer_email = c.email FROM customers c
    WHERE c.id = %(id)s AND s.customer_id = ANY(%(keys)s)
), members AS (
    UPDATE segment_membership_cache m SET customer_email = c.email FROM customers c
    WHERE c.id = %(id)s AND m.customer_id = ANY(%(keys)s)
)
UPDATE customers
SET metadata = metadata || jsonb_build_object(
    'shopify', COALESCE(metadata -> 'shopify', '{}') || jsonb_build_object('emailChangedAt', %(at)s::text))
WHERE id = %(id)s
"""

LEAVE_SEGMENTS = """
-- catalog: memberships that were cached before the change; the next run of the lists refills them
DELETE FROM segment_membership_cache m USING cached_segments s
WHERE s.id = m.segment_id AND m.customer_id = ANY(%(keys)s) AND COALESCE(s.synced_at, '-infinity') < %(now)s
"""

CANCEL_RECOVERY = """
-- catalog: recovery mails to somebody who withdrew consent; their checkouts keep their status
UPDATE recovery_email_queue q SET status = 'cancelled'
FROM abandoned_checkouts a, customers c
WHERE q.status = 'scheduled' AND a.id = q.abandoned_checkout_id AND c.id = %(id)s
  AND (a.customer_id = ANY(%(keys)s) OR lower(a.customer_email) = lower(c.email))
"""

CONSENT = """
-- catalog: whether a customer's present state says no
SELECT NOT accepts_marketing AS no_mail,
       metadata -> 'shopify' ->> 'smsMarketingState' IN ('UNSUBSCRIBED', 'REDACTED') AS no_text
FROM customers WHERE id = %(id)s
"""


# -- created -----------------------------------------------------------------------------------------------------------


@job(
    "commerce-handle-customer-created",
    on=CustomerCreated,
    queue=CATALOG_SYNC,
    emits=(CustomerSync, CustomerCreated, WorkflowTriggered, KlaviyoSync),
    retry=RETRY,
    timeout_s=60,
    key=lambda p, m: f"{p.customer_id}:{p.attempt or 0}",
)
def handle_customer_created(ctx: JobContext, payload: CustomerCreated) -> CustomerCreatedResult:
    """Complete a customer that an app or a webhook announced, and start what a new customer sets off, once.

    A customer whom Shopify knows and we do not is asked for, and the event comes back. Permanent CUSTOMER_NOT_FOUND
    after three repeats, and for an address that several customers have.
    """
    with ctx.final_session() as session:
        id = _find(session, payload)
        created = False
        if id is None and payload.shopify_customer_id is not None:
            return _come_back(session, payload)
        if id is None:
            # A Shopify id becomes the row's id as digits, so that the next reading finds the row.
            id, created = as_legacy_id(payload.customer_id) or payload.customer_id, True
            session.execute(INSERT, {"id": id, "email": payload.email, "now": ctx.now()})
        customer = session.one(LOCK, {"id": id})
        assert customer is not None  # customers are never deleted
        linked = _link(session, customer)
        if customer["welcomed_at"] is not None:
            return CustomerCreatedResult(created=created, orders_linked=linked)
        tags = _auto_tags(session, customer)
        welcomed = {"id": id, "tags": [*(customer["tags"] or ()), *tags], "at": ctx.now().isoformat()}
        session.execute(WELCOME, welcomed)
        _announce(session, customer)
    return CustomerCreatedResult(created=created, orders_linked=linked, tags_added=len(tags), announced=True)


def _find(session: Session, payload: CustomerCreated) -> str | None:
    """customers.id by Shopify's id, else by our own, else by an address that one row alone has."""
    for named in (payload.shopify_customer_id, payload.customer_id):
        row = find_customer(session, named) if named else None
        if row is not None:
            return str(row["id"])
    rows = session.all(BY_EMAIL, {"email": payload.email})
    if len(rows) > 1:
        raise Permanent("CUSTOMER_NOT_FOUND", "neither id is known, and several customers have this address")
    return rows[0]["id"] if rows else None


def _come_back(session: Session, payload: CustomerCreated) -> CustomerCreatedResult:
    repeats = payload.attempt or 0
    if repeats >= MAX_REPEATS:
        raise Permanent("CUSTOMER_NOT_FOUND", f"not here after {MAX_REPEATS} repeats")
    session.emit(CustomerSync(shopify_customer_id=payload.shopify_customer_id, action="create", source="job"))
    session.emit(payload.model_copy(update={"attempt": repeats + 1}), delay_s=REPEAT_S)
    return CustomerCreatedResult()


def _link(session: Session, customer: Row) -> int:
    """Orders and checkouts that the customer made before; how many orders."""
    if not customer["email"]:
        return 0
    # orders.customer_id holds Shopify's id where there is one, so that joins work.
    values = {"customer": customer["legacy_id"] or customer["id"], "email": customer["email"]}
    session.execute(LINK_CHECKOUTS, values)
    return session.execute(LINK_ORDERS, values)


def _auto_tags(session: Session, customer: Row) -> list[str]:
    """The tags of matching rules that the customer does not have."""
    rules = config(session, "catalog.sync", SETTINGS)["customerAutoTags"]
    held = set(customer["tags"] or ())
    found = [rule["tag"] for rule in rules if isinstance(rule, dict) and rule.get("tag") and _matches(rule, customer)]
    return [tag for tag in dict.fromkeys(found) if tag not in held]


def _matches(rule: Mapping[str, Any], customer: Row) -> bool:
    when = rule.get("when") or {}
    if "acceptsMarketing" in when and when["acceptsMarketing"] != customer["accepts_marketing"]:
        return False
    if "country" in when and str(when["country"]).upper() != (customer["country"] or "").upper():
        return False
    return bool(customer["orders_count"] >= int(when.get("ordersCountMin") or 0))


def _announce(session: Session, customer: Row) -> None:
    session.emit(
        WorkflowTriggered(
            trigger="customer_created",
            entity_type="customer",
            entity_id=customer["id"],
            context={"acceptsMarketing": customer["accepts_marketing"], "ordersCount": customer["orders_count"]},
        )
    )
    if klaviyo_active(session):
        session.emit(KlaviyoSync(sync_type="profiles", customer_ids=[customer["id"]]))


# -- updated -----------------------------------------------------------------------------------------------------------


@job(
    "commerce-handle-customer-updated",
    on=CustomerUpdated,
    queue=CATALOG_SYNC,
    emits=(CustomerSync, WorkflowTriggered, KlaviyoSync),
    retry=RETRY,
    timeout_s=60,
    key=lambda p, m: f"{p.customer_id}:{','.join(sorted(p.changes))}:{m.id}",
)
def handle_customer_updated(ctx: JobContext, payload: CustomerUpdated) -> CustomerUpdatedResult:
    """React to a changed customer: refresh the copy when an app changed it, else pass the change on.

    Permanent CUSTOMER_NOT_FOUND for an id that is neither ours nor Shopify's.
    """
    names = sorted(payload.changes)
    with ctx.final_session() as session:
        row = find_customer(session, payload.customer_id)
        if row is None and as_legacy_id(payload.customer_id) is None:
            raise Permanent("CUSTOMER_NOT_FOUND", "no customer has this id, and it is no Shopify id")
        if row is None or (not payload.synced and row["legacy_id"] is not None and names):
            session.emit(CustomerSync(customer_id=payload.customer_id, source="app"))
            return CustomerUpdatedResult(outcome="fetch_requested", fields=len(names))
        cancelled = _apply(ctx, session, row, names) if names else 0
    return CustomerUpdatedResult(outcome="applied", fields=len(names), recovery_mails_cancelled=cancelled)


def _apply(ctx: JobContext, session: Session, row: Row, names: list[str]) -> int:
    """What the change of these fields leads to; how many recovery mails were cancelled."""
    plain = {name.replace("_", "").lower() for name in names}
    keys = [key for key in (row["id"], row["legacy_id"]) if key is not None]
    values = {"id": row["id"], "keys": keys, "now": ctx.now(), "at": ctx.now().isoformat()}
    if "email" in plain:
        session.execute(EMAIL_CHANGED, values)
    if plain & SEGMENT_FIELDS:
        session.execute(LEAVE_SEGMENTS, values)
    consent = session.one(CONSENT, values) or {}
    withdrawn = ("acceptsmarketing" in plain and consent["no_mail"]) or (
        "smsmarketingstate" in plain and consent["no_text"]
    )
    cancelled = session.execute(CANCEL_RECOVERY, values) if withdrawn else 0
    session.emit(
        WorkflowTriggered(
            trigger="customer_updated", entity_type="customer", entity_id=row["id"], context={"fields": names}
        )
    )
    if plain & KLAVIYO_FIELDS and klaviyo_active(session):
        session.emit(KlaviyoSync(sync_type="profiles", customer_ids=[row["id"]]))
    return cancelled
