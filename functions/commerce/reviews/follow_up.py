"""The next reminder of an order, after the mail before it is out."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime

from functions.commerce.reviews.common import RETRY
from shared.events.base import Payload
from shared.events.reviews import ReviewReminder
from shared.jobs import JobContext, Permanent, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import REVIEW_EMAIL
from shared.mail import is_suppressed
from shared.reviews.queue import MAX_ATTEMPTS, log, queued_mail, skip_open
from shared.reviews.sending import CATEGORY
from shared.reviews.settings import ReviewSettings, review_settings
from shared.reviews.stops import STOPS_ORDER, Candidate, stop_reasons
from shared.reviews.timing import send_time

Outcome = Literal["scheduled", "exists", "limit_reached", "previous_not_sent", "stopped", "template_disabled"]


class FollowUpResult(Payload):
    """`reviewEmailId`: the reminder's row."""

    order_id: str
    outcome: Outcome
    review_email_id: str | None = None
    scheduled_for: AwareDatetime | None = None
    reason: str | None = None


BASE_ROW = """
-- reviews: the mail before a reminder: by its id, else the order's by its number
SELECT * FROM review_email_queue
WHERE CASE WHEN %(id)s::text IS NULL THEN order_id = %(order_id)s AND sequence_number = %(number)s
           ELSE id = %(id)s END
"""

ADD_REMINDER = """
-- reviews: a reminder with what the mail before it says about the order
INSERT INTO review_email_queue
    (tenant_id, order_id, order_number, customer_email, customer_name, customer_id, product_title, product_id,
     fulfilled_at, delivered_at, tracking_number, status, scheduled_at, delay_days, sequence_number, sequence_id,
     trigger_event, template_type, incentive_offered, force_incentive, max_attempts, metadata, created_at, updated_at)
SELECT %(slug)s, b.order_id, b.order_number, b.customer_email, b.customer_name, b.customer_id, b.product_title,
       b.product_id, b.fulfilled_at, b.delivered_at, b.tracking_number, 'scheduled', %(scheduled_at)s, %(days)s,
       %(number)s + 1, b.sequence_id, b.trigger_event, %(type)s, %(incentive)s OR COALESCE(b.force_incentive, false),
       b.force_incentive, %(max_attempts)s,
       jsonb_build_object('products', COALESCE(b.metadata -> 'products', '[]')), %(now)s, %(now)s
FROM review_email_queue b
WHERE b.id = %(base)s AND NOT EXISTS (  -- older rows hold the organization's id where ours hold the slug
    SELECT FROM review_email_queue o
    WHERE o.tenant_id = current_setting('cgk.tenant_id') AND o.order_id = b.order_id
      AND o.sequence_number = %(number)s + 1)
ON CONFLICT (tenant_id, order_id, sequence_number) DO NOTHING
RETURNING id
"""

HELD = """
-- reviews: a mail of an order by its number
SELECT id, scheduled_at FROM review_email_queue WHERE order_id = %(order_id)s AND sequence_number = %(number)s + 1
"""


@job(
    "commerce-schedule-follow-up",
    on=ReviewReminder,
    queue=REVIEW_EMAIL,
    retry=RETRY,
    timeout_s=30,
    key=lambda p, m: f"{p.order_id}:{p.reminder_number}",
)
def schedule_follow_up(ctx: JobContext, payload: ReviewReminder) -> FollowUpResult:
    """Schedule the next reminder of an order's sequence, unless something stops it.

    Permanent REVIEW_EMAIL_NOT_FOUND, ORDER_MISMATCH.
    """
    with ctx.final_session() as session:
        settings = review_settings(session)
        if payload.reminder_number > settings.reminders:
            return FollowUpResult(order_id=payload.order_id, outcome="limit_reached")
        base = _base(session, payload)
        if base["status"] != "sent":
            return FollowUpResult(order_id=payload.order_id, outcome="previous_not_sent")
        stopped = _stopped(session, ctx, settings, base, payload)
        return stopped or _schedule(session, ctx, settings, base, payload)


def _base(session: Session, payload: ReviewReminder) -> Row:
    params = {"id": payload.review_email_id, "order_id": payload.order_id, "number": payload.reminder_number}
    base = session.one(BASE_ROW, params)
    if base is None:
        raise Permanent("REVIEW_EMAIL_NOT_FOUND", "the mail before is not in the queue")
    if base["order_id"] != payload.order_id:
        raise Permanent("ORDER_MISMATCH", "the mail before belongs to another order")
    return base


def _stopped(
    session: Session, ctx: JobContext, settings: ReviewSettings, base: Row, payload: ReviewReminder
) -> FollowUpResult | None:
    order_id, before = payload.order_id, queued_mail(base)
    enabled = settings.enabled(f"reminder_{payload.reminder_number}")
    asked = Candidate(order_id, order_id, before.email, base["customer_id"], template_enabled=enabled)
    reason = stop_reasons(session, settings, [asked], now=ctx.now()).get(order_id)
    if reason in STOPS_ORDER:
        skip_open(session, {order_id: reason}, now=ctx.now())
    if reason == "template_disabled":
        return FollowUpResult(order_id=order_id, outcome="template_disabled")
    if reason is not None:
        return FollowUpResult(order_id=order_id, outcome="stopped", reason=reason)
    if is_suppressed(session, before.email, CATEGORY, now=ctx.now()) is not None:
        return FollowUpResult(order_id=order_id, outcome="stopped", reason="suppressed")
    return None


def _schedule(
    session: Session, ctx: JobContext, settings: ReviewSettings, base: Row, payload: ReviewReminder
) -> FollowUpResult:
    number, now = payload.reminder_number, ctx.now()
    days = settings.reminder_days(number)
    scheduled_at = send_time(base["sent_at"] or now, days, settings, now=now)
    params: dict[str, Any] = {
        "slug": ctx.tenant.slug,
        "base": base["id"],
        "number": number,
        "type": f"reminder_{number}",
        "scheduled_at": scheduled_at,
        "days": days,
        "incentive": bool(settings.row["incentive_enabled"]),
        "max_attempts": MAX_ATTEMPTS,
        "now": now,
    }
    id = session.value(ADD_REMINDER, params)
    if id is not None:
        log(session, "queued", [id], now=now)
        return FollowUpResult(
            order_id=payload.order_id, outcome="scheduled", review_email_id=id, scheduled_for=scheduled_at
        )
    held = session.one(HELD, {"order_id": payload.order_id, "number": number}) or {}
    return FollowUpResult(
        order_id=payload.order_id,
        outcome="exists",
        review_email_id=held.get("id"),
        scheduled_for=held.get("scheduled_at"),
    )
