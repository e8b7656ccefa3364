"""Discount codes: whose they are, and the record that an order used them. Codes are compared trimmed, in lower case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from shared.jobs.context import Session
from shared.money import apportion

# A code belongs to a creator by the first that holds: promo code with a creator, referral code, active influencer of
# the attribution with a creator, active membership of a creator in this organization.
CODE_OWNERS = """
-- orders: whose discount codes these are
SELECT a.code, p.id AS promo_id, COALESCE(p.creator_id, r.id) AS creator_id,
       p.creator_id IS NOT NULL OR r.id IS NOT NULL
       OR a.code IN (
           SELECT lower(btrim(i_code)) FROM attribution_influencers i, unnest(i.discount_codes) AS i_code
           WHERE i.status = 'active' AND i.creator_id IS NOT NULL)
       OR EXISTS (
           SELECT FROM public.creator_brand_memberships m JOIN public.creators person ON person.id = m.creator_id
           WHERE m.organization_id = %(organization_id)s AND m.status = 'active'
             AND lower(btrim(m.discount_code)) = a.code
             AND EXISTS (SELECT FROM creators c WHERE c.id = person.id::text OR lower(c.email) = lower(person.email)))
       AS of_creator
FROM unnest(%(codes)s::text[]) AS a (code)
LEFT JOIN promo_code_metadata p ON lower(btrim(p.code)) = a.code
LEFT JOIN creators r ON lower(btrim(r.referral_code)) = a.code
"""

RECORD_PROMO_USES = """
-- orders: uses of promo codes; each use counts once, whatever is stored again
WITH used AS (
    INSERT INTO promo_code_usage (id, promo_code_id, order_id, customer_email, discount_amount_cents,
                                  order_total_cents, used_at)
    SELECT t.id, t.promo_id, t.order_id, NULL, t.discount_cents, t.total_cents, t.used_at
    FROM unnest(%(ids)s::text[], %(promo_ids)s::text[], %(order_ids)s::text[], %(discounts)s::bigint[],
                %(totals)s::bigint[], %(used_ats)s::timestamptz[])
         AS t (id, promo_id, order_id, discount_cents, total_cents, used_at)
    ORDER BY t.id
    ON CONFLICT (id) DO NOTHING
    RETURNING promo_code_id, order_total_cents
), sums AS (
    SELECT promo_code_id, count(*) AS uses, sum(order_total_cents) AS revenue_cents FROM used GROUP BY promo_code_id
), locked AS (
    SELECT p.id FROM promo_code_metadata p
    WHERE p.id IN (SELECT promo_code_id FROM sums)
    ORDER BY p.id FOR NO KEY UPDATE
)
UPDATE promo_code_metadata AS p
SET uses_count = COALESCE(p.uses_count, 0) + s.uses,
    revenue_generated_cents = COALESCE(p.revenue_generated_cents, 0) + s.revenue_cents
FROM locked JOIN sums s ON s.promo_code_id = locked.id
WHERE p.id = locked.id
"""

RECORD_CREATOR_USES = """
-- orders: uses of creators' codes
INSERT INTO discount_code_usages (id, code, creator_id, customer_id, order_id, discount_amount_cents, used_at)
SELECT t.id, t.code, t.creator_id, t.customer_id, t.order_id, t.discount_cents, t.used_at
FROM unnest(%(ids)s::text[], %(codes)s::text[], %(creator_ids)s::text[], %(customer_ids)s::text[],
            %(order_ids)s::text[], %(discounts)s::integer[], %(used_ats)s::timestamptz[])
     AS t (id, code, creator_id, customer_id, order_id, discount_cents, used_at)
ORDER BY t.id
ON CONFLICT (id) DO NOTHING
"""


@dataclass(slots=True)
class CodeOwner:
    """What a code is known as: promo codes (several when they differ in case only), and a creator's."""

    promo_ids: set[str] = field(default_factory=set)
    creator_id: str | None = None
    of_creator: bool = False


@dataclass(frozen=True, slots=True)
class CodeUse:
    """One order and its codes in Shopify's order. `placed_at` is when they were used."""

    order_id: str
    codes: tuple[str, ...]
    customer_id: str | None
    discount_cents: int
    total_cents: int
    placed_at: datetime


def codes_of(discount_codes: object) -> list[str]:
    """The codes that orders.discount_codes holds, in its order: texts, or objects with a `code` as apps write them."""
    given = discount_codes if isinstance(discount_codes, list) else []
    codes = (each.get("code") if isinstance(each, Mapping) else each for each in given)
    return [code for code in codes if isinstance(code, str)]


def normal(code: str) -> str:
    """A code as codes are compared."""
    return code.strip().lower()


def code_owners(session: Session, codes: Iterable[str], organization_id: UUID) -> dict[str, CodeOwner]:
    """Who owns these codes, by normal code; unknown ones are there with nothing in them."""
    asked = sorted({normal(code) for code in codes} - {""})
    owners = {code: CodeOwner() for code in asked}
    if not asked:
        return owners
    for row in session.all(CODE_OWNERS, {"codes": asked, "organization_id": organization_id}):
        owner = owners[row["code"]]
        if row["promo_id"] is not None:
            owner.promo_ids.add(row["promo_id"])
        owner.creator_id = owner.creator_id or row["creator_id"]
        owner.of_creator = owner.of_creator or row["of_creator"]
    return owners


def record_code_uses(session: Session, uses: Sequence[CodeUse], owners: Mapping[str, CodeOwner]) -> None:
    """Note the use of promo codes and creators' codes, once per order and code, and count it at the promo code.

    The order's discount is split over its codes in equal parts; cents left over go to the first ones.
    """
    promo: dict[str, list[object]] = {name: [] for name in _PROMO_COLUMNS}
    creator: dict[str, list[object]] = {name: [] for name in _CREATOR_COLUMNS}
    for use in uses:
        shares = apportion(use.discount_cents, [1] * len(use.codes)) if use.codes else []
        for code, share in zip(use.codes, shares, strict=True):
            owner = owners.get(normal(code))
            if owner is None:
                continue
            for promo_id in sorted(owner.promo_ids):
                id = f"pcu_{use.order_id}_{promo_id}"
                _add(promo, id, promo_id, use.order_id, share, use.total_cents, use.placed_at)
            if owner.creator_id is not None:
                id = f"dcu_{use.order_id}_{normal(code)}"
                _add(creator, id, code, owner.creator_id, use.customer_id, use.order_id, share, use.placed_at)
    if promo["ids"]:
        session.execute(RECORD_PROMO_USES, promo)
    if creator["ids"]:
        session.execute(RECORD_CREATOR_USES, creator)


_PROMO_COLUMNS = ("ids", "promo_ids", "order_ids", "discounts", "totals", "used_ats")
_CREATOR_COLUMNS = ("ids", "codes", "creator_ids", "customer_ids", "order_ids", "discounts", "used_ats")


def _add(columns: dict[str, list[object]], *values: object) -> None:
    for column, value in zip(columns.values(), values, strict=True):
        column.append(value)
