"""Whether an order gets a review request, and its place in the queue of review mails.

Every event about the order's parcels finds the same row and may move it on while it waits; once it has a time, is
sent, skipped or failed, this job leaves it alone.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import uuid4

from psycopg.types.json import Jsonb
from pydantic import AwareDatetime

from functions.commerce.orders.lookup import held_order
from functions.commerce.orders.sync import RETRY
from shared.creator_money import commission_rules
from shared.events.base import Payload
from shared.events.orders import OrderReviewEmail, OrderSync
from shared.events.reviews import ReviewEmailQueued
from shared.ids import as_legacy_id
from shared.jobs import JobContext, Session, job, payload_hash, window
from shared.jobs.queues import ORDER_PROCESSING
from shared.mail import is_suppressed
from shared.reviews.orders import PRODUCTS_MAX, Parcels, ReviewOrder, find_review_order, parcels_of, place_of
from shared.reviews.queue import MAX_ATTEMPTS, REQUEST, queued_event
from shared.reviews.settings import ReviewSettings, review_settings
from shared.reviews.stops import Candidate, is_gone, stop_facts

BURST_S = 600
"""Equal messages within so many seconds are one."""
CATEGORY = "review"

NotEligible = Literal[
    "provider_external",
    "no_email",
    "order_cancelled",
    "nothing_to_review",
    "suppressed",
    "consent_withdrawn",
    "no_consent",
    "excluded_tag",
    "renewal",
    "too_old",
    "recently_asked",
    "already_reviewed",
]


class OrderReviewEmailResult(Payload):
    """`kept`: the order's row had its time or its end already."""

    order_id: str
    outcome: Literal["scheduled", "awaiting_delivery", "pending", "kept", "not_eligible"]
    reason: NotEligible | None = None
    scheduled_for: AwareDatetime | None = None
    review_email_id: str | None = None


RECENTLY_ASKED = """
-- order review mail: whether the address was asked about another order of late
SELECT EXISTS (
    SELECT FROM review_email_queue
    WHERE lower(customer_email) = lower(%(email)s) AND sent_at > %(since)s AND order_id <> %(order_id)s)
"""

UPSERT = """
-- order review mail: the place of an order in the queue; a row that no longer waits stays as it is
INSERT INTO review_email_queue AS q
    (tenant_id, order_id, order_number, customer_email, customer_name, customer_id, product_title, product_id,
     fulfilled_at, delivered_at, tracking_number, status, scheduled_at, delay_days, sequence_number, sequence_id,
     trigger_event, template_type, incentive_offered, max_attempts, metadata, created_at, updated_at)
VALUES (%(slug)s, %(order_id)s, %(order_number)s, %(email)s, %(customer_name)s, %(customer_id)s, %(product_title)s,
        %(product_id)s, %(fulfilled_at)s, %(delivered_at)s, %(tracking_number)s, %(status)s, %(scheduled_at)s,
        %(delay_days)s, 1, %(sequence_id)s, %(trigger)s, %(type)s, %(incentive)s, %(max_attempts)s, %(metadata)s,
        %(now)s, %(now)s)
ON CONFLICT (tenant_id, order_id, sequence_number) DO UPDATE SET
    fulfilled_at = excluded.fulfilled_at, delivered_at = excluded.delivered_at,
    tracking_number = excluded.tracking_number, status = excluded.status, scheduled_at = excluded.scheduled_at
WHERE q.status IN ('pending', 'awaiting_delivery')
RETURNING q.id, q.order_id, q.customer_id, q.status, q.scheduled_at
"""

HELD = """
-- order review mail: the row that an order has
SELECT id, scheduled_at FROM review_email_queue WHERE order_id = %(order_id)s AND sequence_number = 1
"""


@job(
    "commerce-order-review-email",
    on=OrderReviewEmail,
    queue=ORDER_PROCESSING,
    emits=(ReviewEmailQueued, OrderSync),
    retry=RETRY,
    timeout_s=30,
    key=lambda p, m: payload_hash(p) + window(m, BURST_S),
)
def order_review_email(ctx: JobContext, payload: OrderReviewEmail) -> OrderReviewEmailResult:
    """Put an order into the queue of review mails at the right time, or say why it gets none.

    Transient ORDER_NOT_READY; permanent ORDER_ID_UNKNOWN.
    """
    order_id = held_order(ctx, payload.order_id)["id"]
    with ctx.final_session() as session:
        order = find_review_order(session, order_id)
        assert order is not None  # orders are never deleted
        settings = review_settings(session)
        email = order.email or (payload.customer_email or "").strip()
        reason = _refusal(session, order, email, settings, ctx.now())
        if reason is not None:
            return OrderReviewEmailResult(order_id=order_id, outcome="not_eligible", reason=reason)
        told = payload.fulfillment_id and (as_legacy_id(payload.fulfillment_id) or payload.fulfillment_id)
        parcels = parcels_of(session, [order_id], told=told, told_at=payload.delivered_at)[order_id]
        return _enqueue(ctx, session, order, settings, parcels, payload, email)


def _enqueue(
    ctx: JobContext,
    session: Session,
    order: ReviewOrder,
    settings: ReviewSettings,
    parcels: Parcels,
    payload: OrderReviewEmail,
    email: str,
) -> OrderReviewEmailResult:
    fulfilled_at = payload.fulfilled_at or parcels.fulfilled_at
    status, scheduled_at = place_of(parcels, settings, fulfilled_at=fulfilled_at, now=ctx.now())
    params: dict[str, Any] = {
        **order.columns(),
        "slug": ctx.tenant.slug,
        "email": email,
        "customer_id": order.row["customer_id"] or payload.customer_id,
        "fulfilled_at": fulfilled_at,
        "delivered_at": parcels.delivered_at,
        "tracking_number": parcels.tracking_number,
        "status": status,
        "scheduled_at": scheduled_at,
        "delay_days": settings.request_days,
        "sequence_id": str(uuid4()),
        "trigger": settings.trigger,
        "type": REQUEST,
        "incentive": bool(settings.row["incentive_enabled"]),
        "max_attempts": MAX_ATTEMPTS,
        "metadata": Jsonb({"products": order.products[:PRODUCTS_MAX]}),
        "now": ctx.now(),
    }
    row = session.one(UPSERT, params)
    if row is None:
        held = session.one(HELD, {"order_id": order.id}) or {}
        return OrderReviewEmailResult(
            order_id=order.id,
            outcome="kept",
            review_email_id=held.get("id"),
            scheduled_for=held.get("scheduled_at"),
        )
    if row["status"] == "scheduled":
        event, key = queued_event(row, settings.template_id(REQUEST))
        session.emit(event, key=key)
    return OrderReviewEmailResult(
        order_id=order.id, outcome=row["status"], review_email_id=row["id"], scheduled_for=row["scheduled_at"]
    )


def _refusal(
    session: Session, order: ReviewOrder, email: str, settings: ReviewSettings, now: datetime
) -> NotEligible | None:
    """The first reason for which the order gets no request; None when it gets one."""
    if not settings.internal:
        return "provider_external"
    if is_gone(email):
        return "no_email"
    asked = Candidate(order.id, order.id, email, order.row["customer_id"])
    facts = stop_facts(session, [asked])[order.id]
    rules = settings.rules
    if facts["cancelled"]:
        return "order_cancelled"
    if not order.products:
        return "nothing_to_review"
    if is_suppressed(session, email, CATEGORY, now=now) is not None:
        return "suppressed"
    if facts["granted"] is False:
        return "consent_withdrawn"
    if rules["requireMarketingConsent"] and not facts["accepts_marketing"]:
        return "no_consent"
    if {*order.row["tags"], *order.row["customer_tags"]} & settings.exclude_tags:
        return "excluded_tag"
    if not rules["includeRenewals"] and _is_renewal(session, order):
        return "renewal"
    if order.row["placed_at"] < now - settings.rule_days("maxOrderAgeDays"):
        return "too_old"
    since = now - settings.rule_days("minDaysBetweenRequests")
    if session.value(RECENTLY_ASKED, {"email": email, "since": since, "order_id": order.id}):
        return "recently_asked"
    return "already_reviewed" if facts["reviewed"] else None


def _is_renewal(session: Session, order: ReviewOrder) -> bool:
    """Whether a subscription made the order, by the rules of commissions."""
    rules = commission_rules(session)
    return order.row["source_name"] in rules["renewalSources"] or bool(
        set(order.row["tags"]) & set(rules["renewalTags"])
    )
