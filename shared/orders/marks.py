"""What the order sync remembers of each Shopify order: table order_sync_marks.

A mark guards against older answers (shopify_updated_at), recognises an answer that says nothing new (content_hash)
and holds what was announced, so that a stamp does not touch the order itself. Whoever stores an order holds its mark's
lock first; marks are locked in ascending shopify_order_id, so chunks that overlap wait for each other, never in a ring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic_core import to_json

from shared.jobs.context import Session

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""shopify_updated_at of a mark whose order was never read from Shopify: older than any answer."""
PARTIAL = ":partial"
"""Ends the content hash of an order whose refunds are stored without their lines: a full answer then counts as new."""
UNTOLD = ":untold"
"""Stands behind the hash, before PARTIAL, of an order that was stored in silence while something of it was news: the
next who announces takes an equal answer for new."""
LOCAL = "local:"
"""Begins the mark's key of an order that an app made and Shopify does not know: LOCAL + orders.id."""

ADD_MARKS = """
-- orders: a mark for every order of the chunk that has none
INSERT INTO order_sync_marks (shopify_order_id, order_id, shopify_updated_at, content_hash, first_source, checked_at)
SELECT t.id, t.id, %(never)s, '', %(source)s, %(now)s
FROM unnest(%(ids)s::text[]) AS t (id)
ORDER BY t.id
ON CONFLICT (shopify_order_id) DO NOTHING
"""

LOCK_MARKS = """
-- orders: the marks of a chunk, locked in ascending order
SELECT shopify_order_id, order_id, shopify_updated_at, content_hash, commission_hash,
       created_announced_at, created_handled_at, cancelled_announced_at
FROM order_sync_marks
WHERE shopify_order_id = ANY(%(ids)s)
ORDER BY shopify_order_id
FOR UPDATE
"""

WRITE_MARKS = """
-- orders: what is known and announced after a chunk
UPDATE order_sync_marks AS m
SET order_id = t.order_id,
    shopify_updated_at = t.shopify_updated_at,
    content_hash = t.content_hash,
    commission_hash = t.commission_hash,
    created_announced_at = t.created_announced_at,
    created_handled_at = t.created_handled_at,
    cancelled_announced_at = t.cancelled_announced_at,
    deleted_at = NULL,
    checked_at = %(now)s
FROM jsonb_to_recordset(%(marks)s::jsonb) AS t (
    shopify_order_id text, order_id text, shopify_updated_at timestamptz, content_hash text, commission_hash text,
    created_announced_at timestamptz, created_handled_at timestamptz, cancelled_announced_at timestamptz)
WHERE m.shopify_order_id = t.shopify_order_id
"""

DROP_LOCAL_MARKS = """
-- orders: orders that Shopify knows now have a mark under its id
DELETE FROM order_sync_marks WHERE shopify_order_id = ANY(%(keys)s)
"""

MARK_GONE = """
-- orders: Shopify no longer knows these; of those that we hold the row stays, reports need it
INSERT INTO order_sync_marks AS m
    (shopify_order_id, order_id, shopify_updated_at, content_hash, first_source, deleted_at, checked_at)
SELECT t.id, o.id, %(never)s, '', %(source)s, %(now)s, %(now)s
FROM unnest(%(ids)s::text[]) AS t (id)
JOIN orders o ON t.id IN (o.id, o.shopify_id, o.shopify_order_id)
ORDER BY t.id
ON CONFLICT (shopify_order_id) DO UPDATE
SET deleted_at = COALESCE(m.deleted_at, excluded.deleted_at), checked_at = excluded.checked_at
"""


@dataclass(slots=True)
class Mark:
    """One mark, as read under its lock; store_orders changes it and writes it back."""

    shopify_order_id: str
    order_id: str
    shopify_updated_at: datetime
    content_hash: str
    commission_hash: str | None
    created_announced_at: datetime | None
    created_handled_at: datetime | None
    cancelled_announced_at: datetime | None

    def keep_untold(self) -> None:
        """Note that something of the order is news which nobody was told."""
        whole = self.content_hash.removesuffix(PARTIAL)
        self.content_hash = whole + UNTOLD + self.content_hash[len(whole) :]


def lock_marks(session: Session, ids: Sequence[str], *, source: str, now: datetime) -> dict[str, Mark]:
    """The marks of these legacy ids, made where missing and locked until the transaction ends.

    Two statements, because the second must see what a concurrent transaction committed while the first one waited.
    """
    session.execute(ADD_MARKS, {"ids": list(ids), "source": source, "now": now, "never": NEVER})
    rows = session.all(LOCK_MARKS, {"ids": list(ids)})
    return {row["shopify_order_id"]: Mark(**row) for row in rows}


def write_marks(session: Session, marks: Sequence[Mark], *, now: datetime) -> None:
    """Write marks back that lock_marks gave; the orders count as checked now and as known to Shopify."""
    if marks:
        session.execute(WRITE_MARKS, {"marks": to_json(list(marks)).decode(), "now": now})


def drop_local_marks(session: Session, order_ids: Sequence[str]) -> None:
    """Remove the marks that orders had while Shopify did not know them; their stamps were taken over."""
    if order_ids:
        session.execute(DROP_LOCAL_MARKS, {"keys": [LOCAL + id for id in order_ids]})


def mark_gone(session: Session, ids: Sequence[str], *, source: str, now: datetime) -> int:
    """Note that Shopify no longer knows these legacy ids; the number of those that we hold."""
    return session.execute(MARK_GONE, {"ids": list(ids), "source": source, "now": now, "never": NEVER}) if ids else 0
