"""One review mail sent now, or sent again because a person says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Literal

from psycopg.types.json import Jsonb

from functions.commerce.reviews.common import RETRY, locked_row, mail_rate_limited
from shared.events.base import Payload
from shared.events.reviews import ReviewEmailSend, ReviewEmailSent
from shared.jobs import Deferred, Delivery, JobContext, Permanent, Session, job, payload_hash, window
from shared.jobs.context import Row
from shared.jobs.queues import REVIEW_EMAIL
from shared.mail import EMITS, is_suppressed
from shared.reviews.queue import MAX_ATTEMPTS, QueuedMail, ending_orders, is_dead, queued_mail, skip_open
from shared.reviews.sending import (
    CATEGORY,
    CLAIM_LEASE,
    Broken,
    Desk,
    Later,
    Never,
    Out,
    open_desk,
    post,
    settle,
    skip_held,
)
from shared.reviews.stops import STOPS_ORDER, stop_reasons

MAX_RESENDS = 3
"""Deliberate second mails of one row."""
RESEND_PAUSE = timedelta(hours=1)
BURST_S = 60
"""Equal unforced messages within so many seconds are one."""
SUPPRESSED = ("suppressed", "unsubscribed")
"""How skip reasons begin of addresses that are not written to, whoever asks for it."""

Outcome = Literal["sent", "resent", "skipped", "deferred", "already_sent", "not_sendable", "blocked"]


class ReviewSendResult(Payload):
    """`messageId` is Resend's; `reason` says why nothing was sent."""

    review_email_id: str
    outcome: Outcome
    reason: str | None = None
    message_id: str | None = None


CLAIM_ONE = """
-- reviews: take one row, whatever its time
UPDATE review_email_queue
SET status = 'processing', trigger_run_id = %(run)s, lease_expires_at = %(lease)s, last_attempt_at = %(now)s,
    attempts = COALESCE(attempts, 0) + 1,
    max_attempts = GREATEST(COALESCE(max_attempts, %(max_attempts)s), COALESCE(attempts, 0) + %(grant)s),
    resend_count = resend_count + %(resend)s,
    metadata = CASE WHEN jsonb_typeof(metadata) = 'object' THEN metadata ELSE '{}' END || %(notes)s,
    skip_reason = NULL, skipped_at = NULL, skipped_by = NULL
WHERE id = %(id)s
RETURNING *
"""


def run_key(payload: ReviewEmailSend, delivery: Delivery) -> str:
    """Unforced: one run a minute and content. Each forced order is meant."""
    return delivery.id if payload.force else payload_hash(payload) + window(delivery, BURST_S)


@job(
    "commerce-send-queued-review-email",
    on=ReviewEmailSend,
    queue=REVIEW_EMAIL,
    emits=(ReviewEmailSent, *EMITS),
    retry=RETRY,
    timeout_s=60,
    key=run_key,
)
def send_queued_review_email(ctx: JobContext, payload: ReviewEmailSend) -> ReviewSendResult:
    """Send one review mail now, or again on a person's order.

    Permanent REVIEW_EMAIL_NOT_FOUND, ORDER_MISMATCH, RESEND_LIMIT, and what the mail service says of a mail that cannot
    be sent; deferred IN_FLIGHT, and its other failures; RateLimited MAIL_RATE_LIMITED.
    """
    desk = open_desk(ctx)
    with ctx.tenant_session() as session:
        taken = _take(session, ctx, desk, payload)
    if isinstance(taken, ReviewSendResult):
        return taken
    verdict = post(ctx, desk, taken)
    with ctx.tenant_session() as session:
        settle(session, ctx, taken, verdict)
    match verdict:
        case Out(_, provider_id):
            outcome: Outcome = "resent" if taken.row["resend_count"] else "sent"
            return _result(taken.id, outcome, message_id=provider_id)
        case Never(reason):
            return _result(taken.id, "skipped", reason)
        case Later(at, code, _, limited):
            if limited:
                raise mail_rate_limited(max(1.0, (at - ctx.now()).total_seconds()))
            return _result(taken.id, "deferred", code)
        case Broken(error):
            raise error


def _take(session: Session, ctx: JobContext, desk: Desk, payload: ReviewEmailSend) -> QueuedMail | ReviewSendResult:
    """The row, held by this run; or why it is not to be sent."""
    row = locked_row(session, payload.review_email_id)
    if row is None:
        raise Permanent("REVIEW_EMAIL_NOT_FOUND", "no row of the queue has this id")
    if payload.order_id is not None and payload.order_id != row["order_id"]:
        raise Permanent("ORDER_MISMATCH", "the row belongs to another order")
    refused = _refused(row, ctx, force=payload.force)
    if refused is not None:
        return refused
    return _stopped(session, ctx, desk, row, force=payload.force) or _claimed(session, ctx, row, force=payload.force)


def _stopped(session: Session, ctx: JobContext, desk: Desk, row: Row, *, force: bool) -> ReviewSendResult | None:
    """What is found to stop the mail, and ends it, now that it is to go. A mail that is out already stays sent."""
    queued = queued_mail(row)
    asked = replace(queued.candidate(desk.settings), forced=force or queued.forced)
    reasons = stop_reasons(session, desk.settings, [asked], now=ctx.now())
    reason: str | None = reasons.get(queued.id)
    if reason is None and force:
        reason = is_suppressed(session, queued.email, CATEGORY, now=ctx.now())
    if reason is None:
        return None
    if row["status"] != "sent":
        skip_held(session, ctx, {_claimed(session, ctx, row, force=False).id: reason})
    skip_open(session, ending_orders([queued], reasons), now=ctx.now())
    return _result(queued.id, "blocked" if force else "skipped", reason)


def _claimed(session: Session, ctx: JobContext, row: Row, *, force: bool) -> QueuedMail:
    claimed = session.one(CLAIM_ONE, _claim(row, ctx, force=force))
    assert claimed is not None  # the row is locked
    return queued_mail(claimed)


def _refused(row: Row, ctx: JobContext, *, force: bool) -> ReviewSendResult | None:
    """Why the row is not touched at all; None when it may be taken."""
    status, metadata = row["status"], queued_mail(row).metadata
    lease: datetime | None = row["lease_expires_at"]
    if status == "processing" and lease is not None and lease >= ctx.now():
        left_s = (lease - ctx.now()).total_seconds()
        # Its holder may have died: the lease lasts longer than all our attempts together, so none is burnt on it.
        raise Deferred("IN_FLIGHT", "another run is sending this mail", after_s=max(1.0, left_s))
    if status == "sent" and metadata.get("forcedBy") == str(ctx.run_id):
        # This run, before it was cut off, or the worker while this run waited: the order is carried out.
        return _result(row["id"], "resent" if row["resend_count"] else "sent", message_id=row["resend_message_id"])
    if status in ("pending", "awaiting_delivery"):  # nobody asks about a parcel that is still on its way
        return _result(row["id"], "not_sendable")
    if not force:
        if status == "sent":
            return _result(row["id"], "already_sent", message_id=row["resend_message_id"])
        if status in ("scheduled", "processing") or (status == "failed" and not is_dead(row)):
            return None
        return _result(row["id"], "not_sendable", row["skip_reason"])
    reason = row["skip_reason"] or ""
    if status == "skipped" and (reason in STOPS_ORDER or reason.startswith(SUPPRESSED)):
        return _result(row["id"], "blocked", reason)
    if status == "sent":
        _check_resend(row["resend_count"], metadata, ctx.now())
    return None


def _check_resend(count: int, metadata: Mapping[str, Any], now: datetime) -> None:
    """Permanent RESEND_LIMIT: three times in all, and once an hour."""
    if count >= MAX_RESENDS:
        raise Permanent("RESEND_LIMIT", f"sent again {count} times already")
    last = metadata.get("resentAt")
    if isinstance(last, str) and now - datetime.fromisoformat(last) < RESEND_PAUSE:
        raise Permanent("RESEND_LIMIT", "sent again less than an hour ago")


def _claim(row: Row, ctx: JobContext, *, force: bool) -> dict[str, Any]:
    """Parameters of CLAIM_ONE.

    A second mail counts up resend_count. Of a row that had ended without a mail the mail service may have the end on
    record, so that it gets another key; one that only waits, or may be out already, keeps its own.
    """
    again = force and row["status"] == "sent"
    ended = force and (row["status"] == "skipped" or is_dead(row))
    notes: dict[str, Any] = {"forced": True, "forcedBy": str(ctx.run_id)} if force else {}
    if again:
        notes["resentAt"] = ctx.now().isoformat()
    if ended:
        notes["mailNumber"] = queued_mail(row).mail_number + 1
    return {
        "id": row["id"],
        "run": str(ctx.run_id),
        "now": ctx.now(),
        "lease": ctx.now() + CLAIM_LEASE,
        "max_attempts": MAX_ATTEMPTS,
        "grant": MAX_ATTEMPTS if again or ended else 0,
        "resend": int(again),
        "notes": Jsonb(notes),
    }


def _result(id: str, outcome: Outcome, reason: str | None = None, *, message_id: str | None = None) -> ReviewSendResult:
    return ReviewSendResult(review_email_id=id, outcome=outcome, reason=reason, message_id=message_id)
