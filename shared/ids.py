"""Ids across systems: one meaning for a Shopify id, and the order in which a row is looked up by it.

Shopify ids arrive as number, digits or gid://shopify/<Type>/<digits>; all code works with the digits, the legacy id.
A new orders or customers row gets the legacy id as its own id; an older row keeps its own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.jobs.context import Row, Session

_GID = re.compile(r"gid://shopify/[A-Za-z]+/([0-9]{1,20})(?:\?.*)?", re.ASCII)
_DIGITS = re.compile(r"[0-9]{1,20}", re.ASCII)


def legacy_id(value: str | int) -> str:
    """The digits of a Shopify id given as number, digits or gid. Raises ValueError for anything else."""
    text = str(value)
    if _DIGITS.fullmatch(text):
        return text
    match = _GID.fullmatch(text)
    if match is None:
        raise ValueError("not a Shopify id")
    return match[1]


def as_legacy_id(value: str | int) -> str | None:
    """Like legacy_id, None for anything else: the value may still be the id of a row."""
    try:
        return legacy_id(value)
    except ValueError:
        return None


FIND_ORDER = """
-- ids: one order by orders.id, else by its Shopify id
SELECT id, COALESCE(shopify_id, shopify_order_id) AS legacy_id, customer_id, status::text AS status,
       financial_status::text AS financial_status, fulfillment_status::text AS fulfillment_status,
       currency, total_cents, order_placed_at, created_at, cancelled_at
FROM orders
WHERE id = %(id)s OR shopify_order_id = %(legacy_id)s OR shopify_id = %(legacy_id)s
ORDER BY (id = %(id)s) DESC, (shopify_order_id = %(legacy_id)s) DESC NULLS LAST
LIMIT 1
"""

FIND_CUSTOMER = """
-- ids: one customer by customers.id, else by the Shopify id
SELECT id, COALESCE(shopify_customer_id, shopify_id) AS legacy_id, accepts_marketing, orders_count, created_at
FROM customers
WHERE id = %(id)s OR shopify_customer_id = %(legacy_id)s OR shopify_id = %(legacy_id)s
ORDER BY (id = %(id)s) DESC, (shopify_customer_id = %(legacy_id)s) DESC NULLS LAST
LIMIT 1
"""

FIND_PRODUCT = """
-- ids: one product by products.id, else by the Shopify id
SELECT id, shopify_product_id AS legacy_id, handle, title, status::text AS status
FROM products
WHERE id = %(id)s OR shopify_product_id = %(legacy_id)s
ORDER BY (id = %(id)s) DESC
LIMIT 1
"""


def find_order(session: Session, id: str | int) -> Row | None:
    """The order with this orders.id or Shopify id, None when unknown.

    Columns: id, legacy_id (None for an order that Shopify does not know), customer_id, status, financial_status,
    fulfillment_status, currency, total_cents, order_placed_at, created_at, cancelled_at.
    """
    return session.one(FIND_ORDER, _either(id))


def find_customer(session: Session, id: str | int) -> Row | None:
    """The customer with this customers.id or Shopify id: id, legacy_id, accepts_marketing, orders_count, created_at."""
    return session.one(FIND_CUSTOMER, _either(id))


def find_product(session: Session, id: str | int) -> Row | None:
    """The product with this products.id or Shopify id: id, legacy_id, handle, title, status."""
    return session.one(FIND_PRODUCT, _either(id))


def _either(id: str | int) -> dict[str, str]:
    return {"id": str(id), "legacy_id": as_legacy_id(id) or str(id)}
