"""Writes customers with their addresses and consent: the ONE way in which Shopify's customers reach our tables.

A single sync, a list, a page of changes and a full export all call store_customers, in a transaction per chunk and
with a constant number of statements. Customers who were redacted are never filled again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from shared.catalog.mapping import instant
from shared.catalog.marks import mark_deleted, upsert_marks
from shared.catalog.products import conflicts_are_transient
from shared.catalog.records import CustomerRecord, document
from shared.consent.shopify import OPTED_IN, MarketingChange, SmsChange, apply_sms, record_marketing
from shared.jobs.context import Row, Session

Outcome = Literal["created", "updated", "unchanged", "stale", "redacted"]

# A row that knows the customer by its older column, or else by its own id only, is completed before it is looked for.
COMPLETE = """
-- catalog: rows that hold a customer of the chunk without shopify_customer_id
UPDATE customers c
SET shopify_customer_id = t.id, shopify_id = t.id
FROM unnest(%(ids)s::text[]) AS t (id)
WHERE c.shopify_customer_id IS NULL AND (c.shopify_id = t.id OR (c.shopify_id IS NULL AND c.id = t.id))
  AND NOT EXISTS (SELECT FROM customers x
                  WHERE x.shopify_customer_id = t.id OR (x.shopify_id = t.id AND c.shopify_id IS NULL))
"""

HELD = """
-- catalog: what we hold of customers
SELECT c.id, c.shopify_customer_id AS legacy_id, c.email, c.phone, c.first_name, c.last_name, c.notes, c.tags,
       c.default_address, c.orders_count, c.total_spent_cents, c.currency, c.accepts_marketing,
       c.metadata -> 'shopify' AS shopify
FROM customers c
WHERE c.shopify_customer_id = ANY(%(ids)s)
FOR UPDATE
"""

UPSERT_CUSTOMERS = """
-- catalog: write the customers of a chunk
INSERT INTO customers AS c (
    id, shopify_customer_id, shopify_id, email, phone, first_name, last_name, notes, tags, default_address,
    orders_count, total_spent_cents, currency, accepts_marketing, accepts_marketing_updated_at, shopify_created_at,
    created_at, synced_at, metadata)
SELECT
    r.legacy_id, r.legacy_id, r.legacy_id, r.email, r.phone, r.first_name, r.last_name, r.notes, r.tags,
    r.default_address, r.orders_count, r.total_spent_cents, r.currency, r.accepts_marketing,
    r.accepts_marketing_updated_at, r.shopify_created_at, r.shopify_created_at, %(now)s,
    jsonb_build_object('shopify', r.shopify)
FROM jsonb_to_recordset(%(customers)s::jsonb) AS r (
    legacy_id text, email text, phone text, first_name text, last_name text, notes text, tags text[],
    default_address jsonb, orders_count integer, total_spent_cents integer, currency text, accepts_marketing boolean,
    accepts_marketing_updated_at timestamptz, shopify_created_at timestamptz, shopify jsonb)
ORDER BY r.legacy_id
ON CONFLICT (shopify_customer_id) DO UPDATE SET
    shopify_id = COALESCE(c.shopify_id, excluded.shopify_id),
    email = excluded.email,
    phone = excluded.phone,
    first_name = excluded.first_name,
    last_name = excluded.last_name,
    notes = excluded.notes,
    tags = excluded.tags,
    default_address = excluded.default_address,
    orders_count = excluded.orders_count,
    total_spent_cents = excluded.total_spent_cents,
    currency = excluded.currency,
    accepts_marketing = excluded.accepts_marketing,
    accepts_marketing_updated_at = excluded.accepts_marketing_updated_at,
    shopify_created_at = excluded.shopify_created_at,
    synced_at = excluded.synced_at,
    metadata = c.metadata || jsonb_build_object(
        'shopify', (COALESCE(c.metadata -> 'shopify', '{}') - ARRAY['deletedAt', 'spentCapped'])
                   || (excluded.metadata -> 'shopify'))
RETURNING c.shopify_customer_id AS legacy_id, c.id
"""

DELETE_ADDRESSES = """
-- catalog: the addresses of a chunk make room for the present ones
DELETE FROM customer_addresses WHERE customer_id = ANY(%(ids)s)
"""

INSERT_ADDRESSES = """
-- catalog: the addresses of a chunk
INSERT INTO customer_addresses (
    customer_id, customer_shopify_id, address_index, first_name, last_name, address1, address2, city, province,
    province_code, country, country_code, zip, phone, is_default)
SELECT t.customer_id, customer_shopify_id, address_index, first_name, last_name, address1, address2, city, province,
       province_code, country, country_code, zip, phone, is_default
FROM jsonb_to_recordset(%(addresses)s::jsonb) AS r (
    customer_shopify_id text, address_index integer, first_name text, last_name text, address1 text,
    address2 text, city text, province text, province_code text, country text, country_code text, zip text, phone text,
    is_default boolean)
JOIN unnest(%(legacy_ids)s::text[], %(customer_ids)s::text[]) AS t (legacy_id, customer_id)
  ON t.legacy_id = r.customer_shopify_id
"""

# As for customers/delete: what names, reaches or locates the person goes, orders stay.
ANONYMISE = """
-- catalog: customers that Shopify no longer has
WITH gone AS (
    UPDATE customers c
    SET email = 'deleted-' || c.shopify_customer_id || '@deleted.invalid', phone = NULL, default_address = NULL,
        notes = NULL, tags = NULL, first_name = 'Deleted', last_name = 'User', accepts_marketing = false,
        metadata = c.metadata || jsonb_build_object('shopify', jsonb_build_object('deletedAt', %(at)s::text))
    WHERE c.shopify_customer_id = ANY(%(ids)s)
      AND NOT COALESCE(c.metadata -> 'shopify', '{}') ?| ARRAY['deletedAt', 'redactedAt']
    RETURNING c.id, c.shopify_customer_id
), addresses AS (
    DELETE FROM customer_addresses a USING gone WHERE a.customer_id = gone.id
)
SELECT shopify_customer_id AS id FROM gone
"""

COMPARED = {
    "email": "email",
    "phone": "phone",
    "first_name": "first_name",
    "last_name": "last_name",
    "notes": "notes",
    "tags": "tags",
    "default_address": "default_address",
    "orders_count": "orders_count",
    "total_spent_cents": "total_spent",
    "currency": "currency",
    "accepts_marketing": "accepts_marketing",
}
"""Column -> name of the change in customer.updated."""


@dataclass(slots=True)
class CustomerCounts:
    """What a chunk did. `ids`: legacy id -> customers.id of what was written; `changes`: names of changed fields."""

    by_id: dict[str, Outcome] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)
    changes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    consent_changed: set[str] = field(default_factory=set)

    def count(self, *outcomes: Outcome) -> int:
        """How many customers ended so."""
        number = Counter(self.by_id.values())
        return sum(number[outcome] for outcome in outcomes)


def store_customers(
    session: Session,
    customers: Sequence[CustomerRecord],
    *,
    now: datetime,
    generation: int = 0,
    taken_at: datetime | None = None,
) -> CustomerCounts:
    """Write a chunk of customers (500 at most is wise). `generation`: of the full run that saw them; `taken_at`: when
    the file was begun that they come from.

    Raises Transient CATALOG_CONFLICT when someone else inserts one of them at the same moment.
    """
    newest: dict[str, CustomerRecord] = {}
    for customer in customers:
        held = newest.get(customer.legacy_id)
        if held is None or customer.updated_at >= held.updated_at:
            newest[customer.legacy_id] = customer
    marks = [(id, customer.updated_at, customer.content_hash) for id, customer in sorted(newest.items())]
    with conflicts_are_transient():
        seen = upsert_marks(session, "customer", marks, now=now, generation=generation, taken_at=taken_at)
        found = CustomerCounts(by_id={id: "stale" if id not in seen else "unchanged" for id in newest})
        fresh = [newest[id] for id in sorted(seen) if seen[id].differs]
        if fresh:
            _write(session, fresh, found, now)
    return found


def anonymise_customers(session: Session, ids: Sequence[str], *, now: datetime) -> list[str]:
    """Remove the personal data of customers who are gone at Shopify; legacy ids of those that still had some."""
    if not ids:
        return []
    mark_deleted(session, "customer", ids, now=now)
    session.execute(COMPLETE, {"ids": list(ids)})
    return [row["id"] for row in session.all(ANONYMISE, {"ids": list(ids), "at": now.isoformat()})]


def _write(session: Session, fresh: Sequence[CustomerRecord], found: CustomerCounts, now: datetime) -> None:
    ids = [customer.legacy_id for customer in fresh]
    session.execute(COMPLETE, {"ids": ids})
    held = {row["legacy_id"]: row for row in session.all(HELD, {"ids": ids})}
    redacted = {id for id, row in held.items() if "redactedAt" in (row["shopify"] or {})}
    found.by_id |= dict.fromkeys(redacted, "redacted")
    kept = [customer for customer in fresh if customer.legacy_id not in redacted]
    if not kept:
        return
    columns = {"customers": document(customer.columns_json for customer in kept), "now": now}
    found.ids = {row["legacy_id"]: row["id"] for row in session.all(UPSERT_CUSTOMERS, columns)}
    if held:
        session.execute(DELETE_ADDRESSES, {"ids": [found.ids[id] for id in held if id in found.ids]})
    if any(customer.addresses for customer in kept):
        places = document(customer.addresses_json for customer in kept)
        names = {"legacy_ids": list(found.ids), "customer_ids": list(found.ids.values())}
        session.execute(INSERT_ADDRESSES, {"addresses": places, **names})
    for customer in kept:
        before = held.get(customer.legacy_id)
        found.by_id[customer.legacy_id] = "updated" if before else "created"
        found.changes[customer.legacy_id] = _changes(before, customer) if before else ()
    _consent(session, kept, held, found, now)


def _changes(before: Row, customer: CustomerRecord) -> tuple[str, ...]:
    after, shopify = customer.columns, before["shopify"] or {}
    names = [name for column, name in COMPARED.items() if _value(before[column]) != _value(after[column])]
    if shopify.get("smsMarketingState") != after["shopify"]["smsMarketingState"]:
        names.append("smsMarketingState")
    return tuple(names) or ("details",)  # addresses, locale and the like, of which we keep no comparison


def _value(value: Any) -> Any:
    return (sorted(value) or None) if isinstance(value, list) else value  # no tags are no tags, however written


def _consent(
    session: Session, kept: Sequence[CustomerRecord], held: dict[str, Row], found: CustomerCounts, now: datetime
) -> None:
    marketing: list[MarketingChange] = []
    sms: dict[str, SmsChange] = {}
    for customer in kept:
        before, columns = held.get(customer.legacy_id), customer.columns
        if columns["accepts_marketing"] != (before["accepts_marketing"] if before else False):
            found.consent_changed.add(customer.legacy_id)
            if columns["email"]:
                at = instant(columns["accepts_marketing_updated_at"]) or now
                granted = columns["accepts_marketing"]
                marketing.append(MarketingChange(found.ids[customer.legacy_id], columns["email"], granted, at))
        if (change := _sms_change(before, customer, now)) is not None:
            sms[customer.legacy_id] = change
    record_marketing(session, marketing)
    changed = apply_sms(session, list(sms.values()))
    found.consent_changed |= {id for id, change in sms.items() if change.phone in changed}


def _sms_change(before: Row | None, customer: CustomerRecord, now: datetime) -> SmsChange | None:
    """The consent to text messages, if its state says something and is not the one that we took over before."""
    consent = customer.sms
    if consent is None or consent.state not in OPTED_IN:
        return None
    shopify = (before["shopify"] if before else None) or {}
    told = customer.columns["shopify"]
    same = all(shopify.get(name) == told[name] for name in ("smsMarketingState", "smsMarketingUpdatedAt"))
    if same and before is not None and before["phone"] == consent.phone:
        return None
    return SmsChange(consent.phone, OPTED_IN[consent.state], consent.updated_at or now)
