"""What an order is worth to its creator now: the base after refunds, and the commission on it.

    L           the order's lines that are no gift cards and whose product is not excluded
    N           net of L: goods after discounts, without tax and shipping;  G = N + discounts of L
    B           N (basis net) or G (basis gross), before refunds
    R           goods given back: refunded lines of L, and of a refund without lines
                (amount * N + total // 2) // total, 0 if the order's total is 0
    base        max(0, B - R); 0 when the order is cancelled, voided, refunded or a test
    commission  (base * bps + 5000) // 10000, bps = percent * 100; of a fixed amount per order
                (amount * base + B // 2) // B, 0 if B is 0

Whoever books, matures, credits or claws back a commission calls commission_base, so all agree to the cent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from shared.creator_money.rules import commission_rules
from shared.ids import as_legacy_id
from shared.jobs.context import Row, Session
from shared.orders.marks import NEVER

Basis = Literal["net", "gross"]
Void = Literal["order_cancelled", "order_voided", "order_refunded"]
"""Why an order earns nothing; the value of commissions.rejected_reason."""

# The lines of an order that the sync has not read yet carry no net amounts, so there its figures stand for them.
# A refund whose lines we hold gives back what its earning lines say, 0 if it has none of those.
ORDERS_AND_TERMS = """
-- creator_money: what the commissions of orders are counted on, and the terms of those that exist
WITH asked AS (
    SELECT o.id, COALESCE(o.shopify_id, o.shopify_order_id) AS legacy_id, o.total_cents::bigint AS total_cents,
           o.cancelled_at IS NOT NULL OR o.status = 'cancelled' AS cancelled, o.financial_status,
           COALESCE(o.attribution_data -> 'test' = 'true', false) AS test,
           EXISTS (SELECT FROM order_sync_marks m
                   WHERE m.order_id = o.id AND m.shopify_updated_at > %(never)s) AS synced
    FROM orders o
    WHERE o.id = ANY(%(order_ids)s)
), earning AS (
    SELECT a.id, i.shopify_line_item_id, i.net_cents, i.discount_cents
    FROM asked a JOIN order_line_items i ON i.order_shopify_id = a.legacy_id
    WHERE NOT i.is_gift_card AND NOT COALESCE(i.product_id = ANY(%(excluded)s::text[]), false)
), lines AS (
    SELECT id, sum(net_cents)::bigint AS net_cents, sum(net_cents + discount_cents)::bigint AS gross_cents
    FROM earning GROUP BY id
), goods AS (
    SELECT a.*, CASE WHEN a.synced THEN COALESCE(l.net_cents, 0) ELSE f.net_sales_cents END AS net_cents,
           CASE WHEN a.synced THEN COALESCE(l.gross_cents, 0) ELSE f.gross_sales_cents END AS gross_cents
    FROM asked a
    LEFT JOIN lines l ON l.id = a.id
    LEFT JOIN LATERAL (
        SELECT net_sales_cents, gross_sales_cents FROM order_figures WHERE NOT a.synced AND order_id = a.id
    ) AS f ON true
), refunded AS (
    SELECT g.id,
           CASE WHEN count(l.id) > 0 THEN COALESCE(sum(l.amount_cents) FILTER (WHERE e.id IS NOT NULL), 0)
                WHEN g.total_cents = 0 THEN 0
                ELSE (f.amount_cents * g.net_cents + g.total_cents / 2) / g.total_cents END AS cents
    FROM goods g
    JOIN refunds f ON f.order_shopify_id = g.legacy_id
    LEFT JOIN refund_line_items l ON l.refund_id = f.id
    LEFT JOIN earning e ON e.id = g.id AND e.shopify_line_item_id = l.shopify_line_item_id
    GROUP BY g.id, g.total_cents, g.net_cents, f.id, f.amount_cents
), returned AS (
    SELECT id, sum(cents)::bigint AS cents FROM refunded GROUP BY id
)
SELECT g.id AS order_id, g.cancelled, g.financial_status::text AS financial_status, g.test,
       g.net_cents, g.gross_cents, COALESCE(r.cents, 0) AS returned_cents,
       c.commission_percent AS percent, c.basis,
       COALESCE(c.original_commission_cents, c.commission_cents) AS original_cents
FROM goods g
LEFT JOIN returned r ON r.id = g.id
LEFT JOIN commissions c ON c.order_id = g.id
"""


@dataclass(frozen=True, slots=True)
class Terms:
    """What was agreed when a commission was first written. `percent` is 0..100 with two decimals; at 0 the creator has
    a fixed amount per order, `original_cents`."""

    percent: Decimal
    basis: Basis
    original_cents: int = 0


@dataclass(frozen=True, slots=True)
class CommissionBase:
    """One order as its commission sees it: B, the base after refunds, and the commission on that base."""

    order_id: str
    full_cents: int
    base_cents: int
    commission_cents: int
    void: Void | None
    """Set where the base is 0."""

    @property
    def refunded_base_cents(self) -> int:
        """The part of B that is gone: refunded, cancelled or voided."""
        return self.full_cents - self.base_cents


def commission_base(
    session: Session, order_ids: Sequence[str], *, terms: Mapping[str, Terms] | None = None
) -> dict[str, CommissionBase]:
    """Base and commission of orders in their present state, by orders.id.

    The terms are those of the orders' commissions; `terms` gives them for orders that have none yet. Orders that do not
    exist, or have no terms, are left out.
    """
    excluded = [as_legacy_id(id) or str(id) for id in commission_rules(session)["excludedProductIds"]]
    names = {"order_ids": list(order_ids), "excluded": excluded, "never": NEVER}
    found: dict[str, CommissionBase] = {}
    for row in session.all(ORDERS_AND_TERMS, names):
        agreed = _terms(row) or (terms or {}).get(row["order_id"])
        if agreed is not None:
            found[row["order_id"]] = _judge(row, agreed)
    return found


def _terms(row: Row) -> Terms | None:
    if row["percent"] is None:
        return None
    return Terms(row["percent"], "gross" if row["basis"] == "gross" else "net", row["original_cents"])


def _judge(row: Row, terms: Terms) -> CommissionBase:
    full = row["gross_cents"] if terms.basis == "gross" else row["net_cents"]
    void: Void | None = None
    if row["cancelled"]:
        void = "order_cancelled"
    elif row["financial_status"] == "voided":
        void = "order_voided"
    elif row["financial_status"] == "refunded" or row["test"]:
        void = "order_refunded"
    base = 0 if void else max(0, full - row["returned_cents"])
    return CommissionBase(
        order_id=row["order_id"],
        full_cents=full,
        base_cents=base,
        commission_cents=commission_cents(terms, full_cents=full, base_cents=base),
        void=void or (None if base else "order_refunded"),
    )


def commission_cents(terms: Terms, *, full_cents: int, base_cents: int) -> int:
    """The commission on a base, rounded half up: 12.5 % of 10555 is 1319; 500 fixed, 75 of 100 left: 375."""
    if terms.percent:
        return (base_cents * int(terms.percent * 100) + 5000) // 10000
    return (terms.original_cents * base_cents + full_cents // 2) // full_cents if full_cents else 0
