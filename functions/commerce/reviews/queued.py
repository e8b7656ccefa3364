"""A queued review mail made complete, so that the worker can send it: the order job's own, or one an app asks for."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

from psycopg.types.json import Jsonb
from pydantic import AwareDatetime

from functions.commerce.reviews.common import RETRY, locked_row
from shared.events.base import Payload
from shared.events.reviews import ReviewEmailQueued, ReviewEmailSend
from shared.ids import find_order
from shared.jobs import JobContext, Permanent, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import REVIEW_EMAIL
from shared.reviews.orders import PRODUCTS_MAX, ReviewOrder, find_review_order
from shared.reviews.queue import (
    MAX_ATTEMPTS,
    OLD_TYPES,
    TYPES,
    ending_orders,
    is_dead,
    log,
    queued_mail,
    skip_open,
    skip_rows,
)
from shared.reviews.settings import MAX_REMINDERS, ReviewSettings, review_settings
from shared.reviews.stops import STOPS_ORDER, Candidate, stop_reasons

FURTHEST = timedelta(days=365)
NOW_WITHIN = timedelta(minutes=1)
"""What is due by then is sent at once instead of by the worker's next tick."""

Outcome = Literal["scheduled", "created", "unchanged", "kept", "skipped"]


class ReviewQueuedResult(Payload):
    """`kept`: the row is sent, being sent, skipped or given up."""

    review_email_id: str
    order_id: str
    outcome: Outcome
    scheduled_for: AwareDatetime | None = None
    reason: str | None = None


RESCHEDULE = """
-- reviews: the time and the template of a mail that an app or the order job has queued
UPDATE review_email_queue
SET status = 'scheduled', scheduled_at = %(scheduled_at)s, template_type = %(type)s,
    customer_id = COALESCE(NULLIF(customer_id, ''), %(customer_id)s),
    metadata = CASE WHEN jsonb_typeof(metadata) = 'object' THEN metadata - 'templateId' ELSE '{}' END || %(notes)s
WHERE id = %(id)s
"""

NEXT_NUMBER = """
-- reviews: the number of an order's next mail
SELECT 1 + COALESCE(max(sequence_number), 0) AS number, min(sequence_id) AS sequence_id
FROM review_email_queue WHERE order_id = %(order_id)s
"""

ADD_ROW = """
-- reviews: a mail that an app asks for
INSERT INTO review_email_queue
    (id, tenant_id, order_id, order_number, customer_email, customer_name, customer_id, product_title, product_id,
     fulfilled_at, status, scheduled_at, delay_days, sequence_number, sequence_id, trigger_event, template_type,
     incentive_offered, max_attempts, metadata, created_at, updated_at)
VALUES (%(id)s, %(slug)s, %(order_id)s, %(order_number)s, %(email)s, %(customer_name)s, %(customer_id)s,
        %(product_title)s, %(product_id)s, %(fulfilled_at)s, 'scheduled', %(scheduled_at)s, 0, %(number)s,
        %(sequence_id)s, 'manual', %(type)s, %(incentive)s, %(max_attempts)s, %(metadata)s, %(now)s, %(now)s)
"""


@job(
    "commerce-handle-review-email-queued",
    on=ReviewEmailQueued,
    queue=REVIEW_EMAIL,
    emits=(ReviewEmailSend,),
    retry=RETRY,
    timeout_s=30,
    key=lambda p, m: f"{p.review_email_id}:{p.scheduled_for.isoformat() if p.scheduled_for else ''}:{p.template_id}",
)
def handle_review_email_queued(ctx: JobContext, payload: ReviewEmailQueued) -> ReviewQueuedResult:
    """Complete a queued review mail, or make the row of one that an app asks for.

    Permanent TEMPLATE_UNKNOWN, ORDER_MISMATCH, ORDER_NOT_FOUND, SEQUENCE_LIMIT, INVALID_PAYLOAD.
    """
    if payload.scheduled_for is not None and payload.scheduled_for > ctx.now() + FURTHEST:
        raise Permanent("INVALID_PAYLOAD", "scheduledFor: more than 365 days ahead")
    with ctx.final_session() as session:
        # One at a time per order: the number of its next mail is counted.
        session.lock(f"review-queue:{payload.order_id}")
        settings = review_settings(session)
        template_type, notes = _template(settings, payload.template_id)
        row = locked_row(session, payload.review_email_id)
        if row is None:
            result = _create(session, ctx, settings, payload, template_type, notes)
        else:
            result = _complete(session, ctx, settings, row, payload, template_type, notes)
        if result.outcome in ("scheduled", "created", "unchanged"):
            log(session, "queued", [result.review_email_id], now=ctx.now())
            _send_if_due(session, ctx.now(), result)
    return result


def _template(settings: ReviewSettings, named: str) -> tuple[str, dict[str, str]]:
    """Type of the template that is named by id or type, and what the row notes of it. Permanent TEMPLATE_UNKNOWN."""
    own = settings.templates.get(named)
    if own is not None and own.type in TYPES:
        newest = settings.newest.get(own.type)
        return own.type, {} if newest and newest.id == own.id else {"templateId": own.id}
    known = OLD_TYPES.get(named, named).removeprefix("review_")
    if known not in TYPES:
        raise Permanent("TEMPLATE_UNKNOWN", "templateId: neither a template of the tenant nor a type of review mails")
    return known, {}


def _send_if_due(session: Session, now: datetime, result: ReviewQueuedResult) -> None:
    at = result.scheduled_for
    if at is not None and at <= now + NOW_WITHIN:
        send = ReviewEmailSend(review_email_id=result.review_email_id, order_id=result.order_id)
        session.emit(send, key=f"review-send:{result.review_email_id}:{at.isoformat()}")


# -- a row that is there -----------------------------------------------------------------------------------------------


def _complete(
    session: Session,
    ctx: JobContext,
    settings: ReviewSettings,
    row: Row,
    payload: ReviewEmailQueued,
    template_type: str,
    notes: dict[str, str],
) -> ReviewQueuedResult:
    queued, now = queued_mail(row), ctx.now()
    if queued.order_id != payload.order_id:
        raise Permanent("ORDER_MISMATCH", "the row belongs to another order")
    if row["status"] in ("sent", "processing", "skipped") or is_dead(row):
        return _result(payload, "kept", row["scheduled_at"])
    named = payload.scheduled_for
    same_template = queued.type == template_type and queued.metadata.get("templateId") == notes.get("templateId")
    if row["status"] == "scheduled" and named == row["scheduled_at"] and same_template:
        return _result(payload, "unchanged", row["scheduled_at"])
    enabled = settings.enabled(template_type, notes.get("templateId"))
    asked = replace(queued.candidate(settings), template_enabled=enabled, wanted_at=None)  # it gets a new time
    reasons = stop_reasons(session, settings, [asked], now=now)
    if reasons:
        skip_rows(session, dict(reasons), now=now)
        skip_open(session, ending_orders([queued], reasons), now=now)
        return _result(payload, "skipped", reason=reasons[queued.id])
    at = max(named, now) if named is not None else row["scheduled_at"] or now
    params = {
        "id": queued.id,
        "scheduled_at": at,
        "type": template_type,
        "customer_id": payload.customer_id or None,
        "notes": Jsonb(notes),
    }
    session.execute(RESCHEDULE, params)
    return _result(payload, "scheduled", at)


# -- a row that an app asks for ----------------------------------------------------------------------------------------


def _create(
    session: Session,
    ctx: JobContext,
    settings: ReviewSettings,
    payload: ReviewEmailQueued,
    template_type: str,
    notes: dict[str, str],
) -> ReviewQueuedResult:
    found = find_order(session, payload.order_id)
    order = find_review_order(session, found["id"]) if found else None
    if order is None:
        raise Permanent("ORDER_NOT_FOUND", "no order has this id")
    customer_id = order.row["customer_id"] or payload.customer_id or None
    enabled = settings.enabled(template_type, notes.get("templateId"))
    asked = Candidate(order.id, order.id, order.email, customer_id, template_enabled=enabled)
    reason = stop_reasons(session, settings, [asked], now=ctx.now()).get(order.id)
    if reason is not None:
        if reason in STOPS_ORDER:
            skip_open(session, {order.id: reason}, now=ctx.now())
        return _result(payload, "skipped", reason=reason, order_id=order.id)
    counted = session.one(NEXT_NUMBER, {"order_id": order.id}) or {}
    if counted["number"] > 1 + MAX_REMINDERS:
        raise Permanent("SEQUENCE_LIMIT", f"the order has {counted['number'] - 1} mails already")
    at = max(payload.scheduled_for or ctx.now(), ctx.now())
    columns = _columns(ctx, settings, order, notes)
    session.execute(
        ADD_ROW,
        {
            **columns,
            "id": payload.review_email_id,
            "customer_id": customer_id,
            "scheduled_at": at,
            "number": counted["number"],
            "sequence_id": counted["sequence_id"] or str(uuid4()),
            "type": template_type,
        },
    )
    return _result(payload, "created", at, order_id=order.id)


def _columns(ctx: JobContext, settings: ReviewSettings, order: ReviewOrder, notes: dict[str, str]) -> dict[str, Any]:
    return {
        **order.columns(),
        "slug": ctx.tenant.slug,
        "email": order.email,
        "fulfilled_at": order.row["fulfilled_at"],
        "incentive": bool(settings.row["incentive_enabled"]),
        "max_attempts": MAX_ATTEMPTS,
        "metadata": Jsonb({"products": order.products[:PRODUCTS_MAX], **notes}),
        "now": ctx.now(),
    }


def _result(
    payload: ReviewEmailQueued,
    outcome: Outcome,
    scheduled_for: datetime | None = None,
    *,
    reason: str | None = None,
    order_id: str | None = None,
) -> ReviewQueuedResult:
    return ReviewQueuedResult(
        review_email_id=payload.review_email_id,
        order_id=order_id or payload.order_id,
        outcome=outcome,
        scheduled_for=scheduled_for,
        reason=reason,
    )
