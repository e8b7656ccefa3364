"""Whose order it is: the creator whose discount code was used, else the one whose link led to the shop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from shared.jobs.context import Session, Tenant

EARNING_STATUSES = ("approved", "active", "paused")
"""Statuses of creators who earn commissions."""

# For each code, in the order given: promo code with a creator, referral code, active influencer of the attribution,
# active membership of this organization (no link is looked up there).
MATCH = """
-- creator_money: the creator of the first of these codes that is a creator's
WITH given AS (
    SELECT t.n, t.code, t.is_link, lower(btrim(t.code)) AS normal
    FROM unnest(%(codes)s::text[], %(are_links)s::boolean[]) WITH ORDINALITY AS t (code, is_link, n)
)
SELECT g.code, g.is_link, h.creator_id, c.status::text AS status, lower(c.email) AS email, c.commission_rate_pct,
       c.commission_type, c.metadata -> 'commissionFixedCents' AS fixed_cents,
       (SELECT p.commission_percent FROM promo_code_metadata p
        WHERE lower(btrim(p.code)) = g.normal AND p.commission_percent IS NOT NULL
        ORDER BY (p.creator_id = h.creator_id) DESC NULLS LAST, (p.code = g.code) DESC, p.id LIMIT 1) AS code_percent
FROM given g
CROSS JOIN LATERAL (
    SELECT p.creator_id, 1 AS rule, (p.code <> g.code)::integer AS tie, p.id
    FROM promo_code_metadata p WHERE p.creator_id IS NOT NULL AND lower(btrim(p.code)) = g.normal
    UNION ALL
    SELECT r.id, 2, (r.referral_code <> g.code)::integer, r.id
    FROM creators r WHERE lower(btrim(r.referral_code)) = g.normal
    UNION ALL
    SELECT i.creator_id, 3, 0, i.id
    FROM attribution_influencers i
    WHERE i.status = 'active' AND EXISTS (SELECT FROM creators k WHERE k.id = i.creator_id)
      AND EXISTS (SELECT FROM unnest(i.discount_codes) AS u (code) WHERE lower(btrim(u.code)) = g.normal)
    UNION ALL
    SELECT k.id, 4, (k.id <> person.id::text)::integer, k.id
    FROM public.creator_brand_memberships m
    JOIN public.creators person ON person.id = m.creator_id
    JOIN creators k ON k.id = person.id::text OR lower(k.email) = lower(person.email)
    WHERE NOT g.is_link AND m.organization_id = %(organization_id)s AND m.status = 'active'
      AND lower(btrim(m.discount_code)) = g.normal
    ORDER BY rule, tie, id
    LIMIT 1
) AS h
JOIN creators c ON c.id = h.creator_id
ORDER BY g.n
LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Match:
    """The creator of an order, and what of the creator decides about the rate. `email` in lower case, never logged."""

    creator_id: str
    code: str
    """As written on the order."""
    is_link: bool
    status: str
    email: str
    commission_rate_pct: Decimal
    commission_type: str
    fixed_cents: object
    """creators.metadata.commissionFixedCents as it stands there."""
    code_percent: Decimal | None
    """The code's own rate, whoever owns the code."""

    @property
    def earns(self) -> bool:
        """Whether the creator takes part."""
        return self.status in EARNING_STATUSES


def match_creator(session: Session, tenant: Tenant, *, codes: Sequence[str], link: str | None) -> Match | None:
    """The creator of the first code that belongs to one, compared trimmed and without case; else of the link's code."""
    given = [(code, False) for code in codes] + ([(link, True)] if link else [])
    given = [(code, is_link) for code, is_link in given if code.strip()]
    if not given:
        return None
    row = session.one(
        MATCH,
        {
            "codes": [code for code, _ in given],
            "are_links": [is_link for _, is_link in given],
            "organization_id": tenant.organization_id,
        },
    )
    return None if row is None else Match(**row)
