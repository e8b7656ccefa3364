"""Commissions that have not matured: locks, pending balances, and the row that the portal shows for each.

Nothing here credits anyone. The portal reads public.creator_balance_transactions: one row of type commission_pending
per commission, kept for creators with a public identity and a membership of this organization. Jobs never compute from
that mirror.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from shared.jobs.context import Row, Session, Tenant

HOLD_DAYS = 30
"""Days from the order until its commission matures, where payout_settings has no row."""

LOCK_CREATORS = """
-- creator_money: the creators whose money is about to change, before anything else of theirs is locked
SELECT id FROM creators WHERE id = ANY(%(ids)s) ORDER BY id FOR UPDATE
"""

# The apps' columns are integers, which 21 million yen of sales fill: a figure for display then stands at its largest
# value, and the commission, which is what counts, is booked.
ADD_TO_TOTALS = """
-- creator_money: what a commission adds to its creator's totals
UPDATE creators
SET total_orders = total_orders + %(orders)s,
    total_revenue_cents = LEAST(total_revenue_cents::bigint + %(revenue_cents)s, 2147483647),
    total_commission_cents = LEAST(total_commission_cents::bigint + %(commission_cents)s, 2147483647)
WHERE id = %(creator_id)s
"""

# Only a creator's id that is a uuid can be a public identity. The available sum is the portal's formula: a withdrawal
# or store credit is stored as a positive amount and goes off. Of several rows (an app's and ours) the oldest counts.
KEEP_MIRROR = """
-- creator_money: the portal's rows of commissions that have not matured
WITH due AS (
    SELECT c.id, m.creator_id, c.order_id, c.order_number, c.currency, c.status = 'rejected' AS voided,
           CASE WHEN c.status = 'rejected' THEN 0 ELSE c.commission_cents END AS amount_cents,
           CASE WHEN c.status = 'rejected' THEN %(now)s
                ELSE COALESCE(c.hold_until, c.order_date + make_interval(hours => 24 * h.days)) END AS available_at
    FROM commissions c
    CROSS JOIN (SELECT COALESCE((SELECT hold_period_days FROM payout_settings LIMIT 1), %(hold_days)s) AS days) AS h
    JOIN public.creator_brand_memberships m
      ON m.creator_id = CASE WHEN c.creator_id ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
                             THEN c.creator_id::uuid END
     AND m.organization_id = %(organization_id)s
    WHERE c.id = ANY(%(commission_ids)s) AND c.matured_at IS NULL
), available AS (
    SELECT d.creator_id,
           LEAST(COALESCE((SELECT sum(CASE WHEN t.type IN ('withdrawal', 'store_credit') THEN -t.amount_cents
                                           ELSE t.amount_cents END)
                           FROM public.creator_balance_transactions t
                           WHERE t.creator_id = d.creator_id AND t.brand_id = %(organization_id)s
                             AND t.type <> 'commission_pending'), 0), 2147483647)::integer AS cents
    FROM (SELECT DISTINCT creator_id FROM due) AS d
), held AS (
    SELECT DISTINCT ON (d.id) d.id AS commission_id, t.id, t.amount_cents, t.available_at,
           t.metadata ? 'voided' AS voided
    FROM due d
    JOIN public.creator_balance_transactions t
      ON t.creator_id = d.creator_id AND t.brand_id = %(organization_id)s AND t.commission_id = d.id
     AND t.type = 'commission_pending'
    ORDER BY d.id, t.created_at, t.id
), changed AS (
    UPDATE public.creator_balance_transactions AS t
    SET amount_cents = d.amount_cents, available_at = d.available_at, balance_after_cents = a.cents,
        metadata = CASE WHEN d.voided THEN t.metadata || '{"voided": true}' ELSE t.metadata - 'voided' END
    FROM due d
    JOIN held h ON h.commission_id = d.id
    JOIN available a ON a.creator_id = d.creator_id
    WHERE t.id = h.id
      AND (h.amount_cents <> d.amount_cents OR h.voided <> d.voided
           OR (NOT d.voided AND h.available_at IS DISTINCT FROM d.available_at))
    RETURNING t.id
), added AS (
    INSERT INTO public.creator_balance_transactions
        (creator_id, brand_id, type, amount_cents, currency, balance_after_cents, available_at, order_id,
         commission_id, description)
    SELECT d.creator_id, %(organization_id)s, 'commission_pending', d.amount_cents, d.currency, a.cents,
           d.available_at, d.order_id, d.id, 'Commission for order ' || COALESCE(d.order_number, d.order_id)
    FROM due d
    JOIN available a ON a.creator_id = d.creator_id
    WHERE NOT d.voided AND NOT EXISTS (SELECT FROM held h WHERE h.commission_id = d.id)
    RETURNING id
)
SELECT (SELECT count(*) FROM changed) + (SELECT count(*) FROM added)
"""

COUNT_PENDING = """
-- creator_money: what creators have pending, in the tenant and for the portal
WITH sums AS (
    SELECT k.id, LEAST(COALESCE(sum(c.commission_cents), 0), 2147483647)::integer AS cents
    FROM unnest(%(creator_ids)s::text[]) AS k (id)
    LEFT JOIN commissions c ON c.creator_id = k.id AND c.matured_at IS NULL AND c.status IN ('pending', 'approved')
    GROUP BY k.id
), ours AS (
    UPDATE creators c SET pending_balance_cents = s.cents
    FROM sums s WHERE c.id = s.id AND c.pending_balance_cents <> s.cents
    RETURNING c.id
), portal AS (
    UPDATE public.creator_brand_memberships m SET pending_cents = s.cents
    FROM sums s
    WHERE m.organization_id = %(organization_id)s
      AND m.creator_id = CASE WHEN s.id ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' THEN s.id::uuid END
      AND m.pending_cents <> s.cents
    RETURNING m.creator_id
)
SELECT (SELECT count(*) FROM ours) + (SELECT count(*) FROM portal)
"""


def lock_creators(session: Session, ids: Sequence[str]) -> list[Row]:
    """Lock creators until the transaction ends, in ascending order; before their payouts, runs and commissions."""
    return session.all(LOCK_CREATORS, {"ids": list(ids)})


def add_to_totals(session: Session, creator_id: str, *, orders: int, revenue_cents: int, commission_cents: int) -> None:
    """Move a creator's totals (orders, base, commission) by what one commission changed; the creator is locked."""
    if orders or revenue_cents or commission_cents:
        changed = {"orders": orders, "revenue_cents": revenue_cents, "commission_cents": commission_cents}
        session.execute(ADD_TO_TOTALS, {"creator_id": creator_id, **changed})


def keep_pending(
    session: Session, tenant: Tenant, *, creator_ids: Sequence[str], commission_ids: Sequence[str], now: datetime
) -> None:
    """Bring pending balances and the portal's rows in line with commissions that were written in this transaction.

    `creator_ids`: whose commissions they are; all locked. A rejected commission's row becomes 0, voided and available
    now; a matured one is left alone. The hold ends at commissions.hold_until, else so many times 24 h after the order.
    """
    organization = {"organization_id": tenant.organization_id}
    rows = {"commission_ids": list(commission_ids), "now": now, "hold_days": HOLD_DAYS}
    session.one(KEEP_MIRROR, {**organization, **rows})
    session.one(COUNT_PENDING, {**organization, "creator_ids": list(creator_ids)})
