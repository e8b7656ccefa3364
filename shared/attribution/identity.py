"""Who is behind an order: its customer's ids and the visitors known to be that customer.

One hop only: from the order to its visitors and customer, from the customer to the visitors linked to it; never on to
what other people's devices did. Device fingerprints and addresses join nobody: the law forbids it, and they join
wrongly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.attribution.paths import VIEW_WINDOW
from shared.attribution.touchpoints import Touchpoint, from_row
from shared.jobs.context import Session

MAX_CUSTOMERS_PER_VISITOR = 3
"""A visitor id linked to more customers is a shared device: it widens nobody's identity."""
MAX_VISITORS_PER_CUSTOMER = 50
"""Latest visitor ids of a customer that are followed."""
MAX_CANDIDATES = 20_000
"""Latest touchpoints read for one order: no person makes more in a year, a robot must not fill the memory."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Customer keys and visitor ids whose touchpoints count for an order."""

    customer_keys: tuple[str, ...]
    visitor_ids: tuple[str, ...]


# The address stays in the database.
CUSTOMER_KEYS = """
-- attribution: all ids of an order's customer, by id or by mail address
SELECT DISTINCT k.key
FROM orders o
JOIN customers c ON o.customer_id IN (c.id, c.shopify_customer_id, c.shopify_id)
                 OR lower(c.email) = NULLIF(lower(o.customer_email), '')
CROSS JOIN LATERAL (VALUES (c.id), (c.shopify_customer_id), (c.shopify_id)) AS k (key)
WHERE o.id = %(order_id)s AND k.key IS NOT NULL
"""

# Seen at the order's instant, so that an order processed again, or years later, changes nothing.
LINK_VISITORS = """
-- attribution: the visitors of an order are its customer
INSERT INTO attribution_identity_links AS l
    (visitor_id, customer_id, method, confidence, first_seen_at, last_seen_at)
SELECT v.id, %(customer_id)s, 'order', 1.00, %(seen_at)s, %(seen_at)s
FROM unnest(%(visitor_ids)s::text[]) AS v (id)
ORDER BY v.id
ON CONFLICT (visitor_id, customer_id) DO UPDATE
SET method = CASE WHEN l.confidence < 1 THEN 'order' ELSE l.method END, confidence = 1.00,
    first_seen_at = LEAST(l.first_seen_at, excluded.first_seen_at),
    last_seen_at = GREATEST(l.last_seen_at, excluded.last_seen_at)
WHERE l.confidence < 1 OR l.first_seen_at > excluded.first_seen_at OR l.last_seen_at < excluded.last_seen_at
"""

# The journeys page joins on the column. A shared device's touchpoints are nobody's in particular.
FILL_CUSTOMER = """
-- attribution: touchpoints of an order's visitors get their customer
UPDATE attribution_touchpoints t SET customer_id = %(customer_id)s
WHERE t.visitor_id = ANY(%(visitor_ids)s) AND t.customer_id IS NULL
  AND (SELECT count(*) FROM attribution_identity_links l WHERE l.visitor_id = t.visitor_id) <= %(most_customers)s
"""

LINKED_VISITORS = """
-- attribution: the visitors that are known to be a customer, the latest ones
SELECT l.visitor_id
FROM attribution_identity_links l
WHERE l.customer_id = ANY(%(customer_keys)s)
  AND (SELECT count(*) FROM attribution_identity_links o WHERE o.visitor_id = l.visitor_id) <= %(most_customers)s
GROUP BY l.visitor_id
ORDER BY max(l.last_seen_at) DESC, l.visitor_id
LIMIT %(most_visitors)s
"""

CANDIDATES = """
-- attribution: what an identity's people did before an order
SELECT id, visitor_id, session_id, customer_id, channel, source, campaign, touchpoint_type AS kind, occurred_at,
       fbclid, gclid, ttclid, msclkid, nbt
FROM attribution_touchpoints
WHERE occurred_at BETWEEN %(begin)s AND %(converted_at)s
  AND (visitor_id = ANY(%(visitor_ids)s) OR customer_id = ANY(%(customer_keys)s))
  AND (touchpoint_type IN ('click', 'engagement')
       OR (touchpoint_type = 'view' AND %(views)s AND occurred_at >= %(views_begin)s))
  AND id <> ALL(%(without)s)
ORDER BY occurred_at DESC, id DESC
LIMIT %(most)s
"""


def resolve_identity(
    session: Session,
    *,
    order_id: str,
    customer_id: str | None,
    visitor_ids: Sequence[str],
    converted_at: datetime,
) -> Identity:
    """Link the order's own visitors to its customer, then gather the customer's ids and visitors.

    The order's own visitors count always, however many customers share them.
    """
    if customer_id and visitor_ids:
        facts = {"customer_id": customer_id, "visitor_ids": list(visitor_ids)}
        session.execute(LINK_VISITORS, {**facts, "seen_at": converted_at})
        session.execute(FILL_CUSTOMER, {**facts, "most_customers": MAX_CUSTOMERS_PER_VISITOR})
    rows = session.all(CUSTOMER_KEYS, {"order_id": order_id})
    keys = sorted({row["key"] for row in rows} | ({customer_id} if customer_id else set()))
    if not keys:
        return Identity((), tuple(visitor_ids))
    linked = session.all(
        LINKED_VISITORS,
        {
            "customer_keys": keys,
            "most_customers": MAX_CUSTOMERS_PER_VISITOR,
            "most_visitors": MAX_VISITORS_PER_CUSTOMER,
        },
    )
    return Identity(tuple(keys), tuple(dict.fromkeys([*visitor_ids, *(row["visitor_id"] for row in linked)])))


def touchpoints_of(
    session: Session,
    identity: Identity,
    *,
    converted_at: datetime,
    length: timedelta,
    views: bool,
    without: Sequence[str],
) -> list[Touchpoint]:
    """What these people did within `length` before the order, newest first; the ids `without` are left out."""
    if not identity.visitor_ids and not identity.customer_keys:
        return []
    rows = session.all(
        CANDIDATES,
        {
            "begin": converted_at - length,
            "converted_at": converted_at,
            "visitor_ids": list(identity.visitor_ids),
            "customer_keys": list(identity.customer_keys),
            "views": views,
            "views_begin": converted_at - VIEW_WINDOW,
            "without": list(without),
            "most": MAX_CANDIDATES,
        },
    )
    return [from_row(row) for row in rows]
