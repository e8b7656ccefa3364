"""Why a review mail must not go: looked at when it is queued, and again right before it is sent.

    review_submitted     the customer has written one, whatever became of it; imported reviews do not count
    order_cancelled      cancelled, voided or refunded
    customer_deleted     the address is empty or stands for a customer who asked to be forgotten
    provider_external    another service sends the tenant's requests
    consent_withdrawn    the customer's last word about marketing mail is no
    no_consent           the tenant wants marketing consent, and there is none
    template_disabled    the tenant switched this mail off
    stale                more than STALE_SEND late

The first that holds counts. A person's order to send lifts the last three. Suppressed addresses and those who
unsubscribed from review mails are the mail service's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from shared.jobs.context import Row, Session
from shared.reviews.settings import ReviewSettings
from shared.reviews.timing import STALE_SEND

Reason = Literal[
    "review_submitted",
    "order_cancelled",
    "customer_deleted",
    "provider_external",
    "consent_withdrawn",
    "no_consent",
    "template_disabled",
    "stale",
]

STOPS_ORDER: frozenset[Reason] = frozenset(
    ("review_submitted", "order_cancelled", "customer_deleted", "consent_withdrawn")
)
"""Reasons that end every open mail of the order, not only this one."""
GONE_DOMAINS = ("deleted.invalid", "redacted.invalid")
"""Where the addresses of customers lie who are gone."""


def reviewed_sql(order_id: str, order: str, email: str, within: str = "true") -> str:
    """Whether an order has its review: one of the order itself, or one of its address about one of its products.

    `order_id`, `email`: expressions; `order`: alias of orders; `within`: a condition on the review `r`.
    """
    return f"""(EXISTS (
        SELECT FROM reviews r
        WHERE r.imported_from IS NULL AND {within}
          AND r.order_id IN ({order_id}, {order}.shopify_order_id, {order}.shopify_id)
    ) OR EXISTS (
        SELECT FROM reviews r
        JOIN order_line_items l ON l.order_shopify_id = COALESCE({order}.shopify_id, {order}.shopify_order_id)
        LEFT JOIN products p ON p.id = l.product_id OR p.shopify_product_id = l.product_id
        WHERE r.imported_from IS NULL AND {within} AND lower(r.author_email) = lower({email})
          AND r.created_at >= COALESCE({order}.order_placed_at, {order}.created_at)
          AND r.product_id IN (l.product_id, p.id, p.shopify_product_id)
    ))"""  # noqa: S608


FACTS = f"""
-- reviews: what stops the mails of orders
SELECT a.key,
    {reviewed_sql("a.order_id", "o", "a.email")} AS reviewed,
    COALESCE(o.cancelled_at IS NOT NULL OR o.status = 'cancelled' OR o.financial_status IN ('voided', 'refunded'),
             false) AS cancelled,
    a.email AS email, o.customer_email AS order_email,
    (SELECT c.granted FROM consent_records c
     WHERE lower(c.customer_email) = lower(a.email) AND c.consent_type = 'marketing'
     ORDER BY c.created_at DESC, c.id DESC LIMIT 1) AS granted,
    (SELECT c.accepts_marketing FROM customers c
     WHERE c.id = a.customer_id OR c.shopify_customer_id = a.customer_id OR c.shopify_id = a.customer_id
     ORDER BY (c.id = a.customer_id) DESC LIMIT 1) AS accepts_marketing
FROM unnest(%(keys)s::text[], %(orders)s::text[], %(emails)s::text[], %(customers)s::text[])
     AS a (key, order_id, email, customer_id)
LEFT JOIN orders o ON o.id = a.order_id
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Candidate:
    """A mail that might go. `key`: any name, unique among those asked together.

    `template_enabled`: of the template that would be used; `wanted_at`: when it was to go, None: it is not late.
    """

    key: str
    order_id: str
    email: str = field(repr=False)
    customer_id: str | None
    template_enabled: bool = True
    wanted_at: datetime | None = None
    forced: bool = False


def stop_facts(session: Session, candidates: Sequence[Candidate]) -> dict[str, Row]:
    """What is known about the candidates' orders and addresses, by key: the columns of FACTS."""
    if not candidates:
        return {}
    params = {
        "keys": [each.key for each in candidates],
        "orders": [each.order_id for each in candidates],
        "emails": [each.email for each in candidates],
        "customers": [each.customer_id for each in candidates],
    }
    return {row["key"]: row for row in session.all(FACTS, params)}


def stop_reasons(
    session: Session, settings: ReviewSettings, candidates: Sequence[Candidate], *, now: datetime
) -> dict[str, Reason]:
    """Of those that must not go, by key: why. One query, however many they are."""
    facts = stop_facts(session, candidates)
    reasons = ((each.key, _reason(settings, each, facts[each.key], now)) for each in candidates)
    return {key: reason for key, reason in reasons if reason is not None}


def is_gone(email: str | None) -> bool:
    """Whether an address reaches nobody because its customer is gone."""
    domain = (email or "").strip().lower().rpartition("@")[2]
    return not domain or any(domain == gone or domain.endswith(f".{gone}") for gone in GONE_DOMAINS)


def _reason(settings: ReviewSettings, mail: Candidate, facts: Row, now: datetime) -> Reason | None:
    # The order forgets its customer before the queue does.
    order_email = facts["order_email"]
    held: Sequence[tuple[Reason, bool]] = (
        ("review_submitted", bool(facts["reviewed"])),
        ("order_cancelled", facts["cancelled"]),
        ("customer_deleted", is_gone(mail.email) or (order_email is not None and is_gone(order_email))),
        ("provider_external", not settings.internal),
        ("consent_withdrawn", facts["granted"] is False),
        (
            "no_consent",
            not mail.forced and bool(settings.rules["requireMarketingConsent"]) and not facts["accepts_marketing"],
        ),
        ("template_disabled", not mail.forced and not mail.template_enabled),
        ("stale", not mail.forced and mail.wanted_at is not None and now > mail.wanted_at + STALE_SEND),
    )
    return next((reason for reason, holds in held if holds), None)
