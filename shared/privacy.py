"""Privacy requests, removing a person from a tenant's tables, and scrubbing texts before they are stored or told.

Redaction takes what names, reaches or locates a person, and leaves amounts, items and times: they are no personal
data and the books need them. A redacted customer carries metadata.shopify.redactedAt and is never filled again. What
stays of a suppressed address is a hash, so that nobody writes to it by accident.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from shared.jobs.context import Session

OPEN_REQUEST = """
-- privacy: a request, unless one of this type is pending for the person already
INSERT INTO privacy_requests (
    id, customer_id, customer_email, request_type, status, notes, deadline_at, created_at, updated_at
)
SELECT %(id)s, %(customer_id)s::text, %(email)s::text, %(type)s::text::privacy_request_type, 'pending', %(notes)s,
    %(deadline_at)s, %(now)s, %(now)s
WHERE NOT EXISTS (
    SELECT 1 FROM privacy_requests
    WHERE request_type = %(type)s::text::privacy_request_type AND status = 'pending'
      AND (customer_id = %(customer_id)s::text OR lower(customer_email) = lower(%(email)s::text))
)
ON CONFLICT (id) DO NOTHING
"""

CLOSE_REQUESTS = """
-- privacy: the pending requests of a customer have been answered
UPDATE privacy_requests
SET status = 'completed', processed_at = %(now)s, updated_at = %(now)s
WHERE customer_id = %(customer_id)s AND request_type = %(type)s::text::privacy_request_type AND status = 'pending'
"""


def request_id(webhook_event_id: UUID) -> str:
    """Id of the privacy request that a webhook opens: the same for every repetition of the webhook."""
    return str(uuid5(webhook_event_id, "privacy"))


def open_request(
    session: Session,
    *,
    request_id: str,
    customer_id: str | None,
    email: str,
    request_type: str,
    notes: str,
    deadline_at: datetime,
    now: datetime,
) -> bool:
    """Open a request of type export or delete; False when one is pending for the customer or address already."""
    session.lock(f"privacy:{request_type}:{customer_id or email}")  # two webhooks at once open one request
    params = {
        "id": request_id,
        "customer_id": customer_id,
        "email": email,
        "type": request_type,
        "notes": notes,
        "deadline_at": deadline_at,
        "now": now,
    }
    return session.execute(OPEN_REQUEST, params) == 1


def close_requests(session: Session, *, customer_id: str, request_type: str, now: datetime) -> int:
    """Mark the pending requests of a customer completed; how many there were."""
    return session.execute(CLOSE_REQUESTS, {"customer_id": customer_id, "type": request_type, "now": now})


# -- redaction -------------------------------------------------------------------------------------------------------

WHO = """
-- privacy: the rows, addresses and numbers of a customer before they are gone
SELECT id, lower(email) AS email, phone FROM customers
WHERE id = %(id)s OR shopify_customer_id = ANY(%(ids)s) OR shopify_id = ANY(%(ids)s)
"""

REDACT_CUSTOMERS = """
-- privacy: a customer without anything that names, reaches or locates them
WITH addresses AS (
    DELETE FROM customer_addresses WHERE customer_id = ANY(%(keys)s) OR customer_shopify_id = ANY(%(ids)s)
)
UPDATE customers c
SET email = %(email)s, first_name = 'Redacted', last_name = 'Customer', phone = NULL, default_address = NULL,
    notes = NULL, tags = '{}', accepts_marketing = false, updated_at = %(now)s,
    metadata = COALESCE((
        SELECT jsonb_object_agg(member.key, member.value)
        FROM jsonb_each(CASE jsonb_typeof(c.metadata) WHEN 'object' THEN c.metadata ELSE '{}' END) AS member
        WHERE member.key !~* 'mail|phone|name|address|contact|note|birth|street|city|zip|postal|^ip$|shopify'
          AND member.value::text !~ '@'
          AND NOT member.value::text ILIKE ANY(%(marks)s)
    ), '{}') || jsonb_build_object('shopify', jsonb_build_object('redactedAt', %(redacted_at)s::text))
WHERE c.id = ANY(%(keys)s)
"""

REDACT_ORDERS = """
-- privacy: orders keep amounts and items, and lose the person
UPDATE orders
SET customer_email = 'redacted-' || id || '@redacted.invalid', shipping_address = NULL, billing_address = NULL,
    notes = NULL, updated_at = %(now)s
WHERE customer_id = ANY(%(keys)s)
   OR id = ANY(%(orders)s) OR shopify_order_id = ANY(%(orders)s) OR shopify_id = ANY(%(orders)s)
"""

DELETE_CHECKOUTS = """
-- privacy: checkouts of the customer or of their addresses, and with them their mails in the queue
DELETE FROM abandoned_checkouts WHERE customer_id = ANY(%(keys)s) OR lower(customer_email) = ANY(%(emails)s)
"""

REDACT_MESSAGES = """
-- privacy: the number stays opted out, what was written to it goes
WITH consent AS (
    UPDATE sms_consent
    SET action = 'opt_out', opted_in = false, email = NULL, ip_address = NULL, updated_at = %(now)s
    WHERE phone = ANY(%(phones)s)
)
UPDATE sms_queue SET content = '', recipient_name = NULL, updated_at = %(now)s WHERE phone_number = ANY(%(phones)s)
"""

REDACT_REVIEWS = """
-- privacy: a review stays, its author is nobody any more
UPDATE reviews
SET author_name = 'Redacted Customer', author_email = %(email)s, updated_at = %(now)s
WHERE lower(author_email) = ANY(%(emails)s)
"""

REDACT_REVIEW_MAILS = """
-- privacy: the person's review mails and rewards; what waits is not sent, for nobody is behind the address
WITH rewards AS (
    UPDATE review_incentive_codes SET customer_email = %(email)s WHERE lower(customer_email) = ANY(%(emails)s)
)
UPDATE review_email_queue
SET customer_email = 'redacted-' || id || '@redacted.invalid', customer_name = NULL, updated_at = %(now)s
WHERE customer_id = ANY(%(keys)s) OR order_id = ANY(%(orders)s) OR lower(customer_email) = ANY(%(emails)s)
"""


def redact_customer(
    session: Session,
    *,
    customer_id: str,
    email: str | None,
    phone: str | None,
    order_ids: Sequence[str],
    now: datetime,
) -> None:
    """Remove a Shopify customer from the tenant's tables, in the caller's transaction.

    `customer_id` and `order_ids` are legacy ids; `email` and `phone` come from the vendor and are joined by what the
    customer's own row holds. A customer who is unknown here is still removed by address, number and orders.
    """
    ids = [customer_id, f"gid://shopify/Customer/{customer_id}"]
    known = session.all(WHO, {"id": customer_id, "ids": ids})
    emails = sorted({value.lower() for value in [email, *(row["email"] for row in known)] if value})
    phones = sorted({form for value in [phone, *(row["phone"] for row in known)] if value for form in _forms(value)})
    params: dict[str, Any] = {
        "ids": ids,
        "keys": [*ids, *(row["id"] for row in known)],
        "orders": [*order_ids, *(f"gid://shopify/Order/{id}" for id in order_ids)],
        "email": f"redacted-{customer_id}@redacted.invalid",
        "emails": emails,
        "phones": phones,
        "marks": [f"%{_like(value)}%" for value in [*emails, *phones]],
        "now": now,
        "redacted_at": now.isoformat(),
    }
    session.execute(REDACT_CUSTOMERS, params)
    session.execute(REDACT_ORDERS, params)
    session.execute(DELETE_CHECKOUTS, params)
    session.execute(REDACT_REVIEWS, params)
    session.execute(REDACT_REVIEW_MAILS, params)
    if phones:
        session.execute(REDACT_MESSAGES, params)


def _forms(phone: str) -> set[str]:
    """How our tables may hold a number: as it was typed, and in E.164."""
    digits = re.sub(r"[^0-9]", "", phone)
    return {phone, f"+{digits}"} if digits else {phone}


def _like(value: str) -> str:
    """The value as itself inside a LIKE pattern."""
    return re.sub(r"([\\%_])", r"\\\1", value)


# -- scrubbing -------------------------------------------------------------------------------------------------------

REDACTED = "[redacted]"

_KEPT = (
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"  # a uuid
    r"|\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)?"  # a date or an instant
)
_HIDDEN = (
    r"[\w.+%'-]+@[\w-]+(?:\.[\w-]+)*"  # an address
    r"|\bBearer\s+\S+"
    r"|\b(?:sk|rk|whsec)_\w+|\bxox[a-z]-[\w-]+|\bAC[0-9a-fA-F]{32}\b|\bshp[a-z]{2}_\w+"  # keys of vendors
    r"|(?<![\w-])\+?\d(?:[\s().-]{0,2}\d){7,}(?![\w-])"  # a phone number: 8 and more digits
)
_SCRUB = re.compile(f"(?P<kept>{_KEPT})|{_HIDDEN}", re.IGNORECASE)
_SECRET_KEY = re.compile(r"pass|secret|token|authorization|cookie|email|phone", re.IGNORECASE)
_IP_KEY = re.compile(r"ip_?addr|^ip$", re.IGNORECASE)


def scrub(text: str) -> str:
    """The text without addresses, phone numbers and keys of vendors.

    >>> scrub("jane@x.com has shpat_abc, since 2026-11-20")
    '[redacted] has [redacted], since 2026-11-20'
    """
    return _SCRUB.sub(lambda found: found[0] if found["kept"] else REDACTED, text)


def scrub_values(value: Any, *, keep_ip: bool = False) -> Any:
    """The same for every text in a JSON value, and `[redacted]` for what stands under a telling key."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, list):
        return [scrub_values(each, keep_ip=keep_ip) for each in value]
    if isinstance(value, dict):
        return {
            key: REDACTED if _tells(key, keep_ip=keep_ip) and each is not None else scrub_values(each, keep_ip=keep_ip)
            for key, each in value.items()
        }
    return value


def _tells(key: str, *, keep_ip: bool) -> bool:
    return bool(_SECRET_KEY.search(key)) or (not keep_ip and bool(_IP_KEY.search(key)))
