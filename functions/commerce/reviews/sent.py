"""A review mail is out, sent by our worker or by an app: noted once, and the next step of its sequence begun."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from functions.commerce.reviews.common import RETRY, locked_row
from shared.events.base import Payload
from shared.events.reviews import ReviewEmailSent, ReviewReminder
from shared.jobs import JobContext, Permanent, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import REVIEW_EMAIL
from shared.reviews.queue import log, queued_mail
from shared.reviews.settings import review_settings


class ReviewSentResult(Payload):
    """`marked_sent`: an app has sent it, and the row says so now."""

    review_email_id: str
    outcome: Literal["recorded", "marked_sent", "not_sent", "message_mismatch"]
    reminder_requested: bool = False


MARK_SENT = """
-- reviews: an app has sent a mail by itself
UPDATE review_email_queue
SET status = 'sent', sent_at = %(now)s, resend_message_id = %(message_id)s, lease_expires_at = NULL,
    error_message = NULL, error_code = NULL
WHERE id = %(id)s
"""


@job(
    "commerce-handle-review-email-sent",
    on=ReviewEmailSent,
    queue=REVIEW_EMAIL,
    emits=(ReviewReminder,),
    retry=RETRY,
    timeout_s=30,
    key=lambda p, m: f"{p.review_email_id}:{p.message_id or ''}",
)
def handle_review_email_sent(ctx: JobContext, payload: ReviewEmailSent) -> ReviewSentResult:
    """Record a sent review mail and ask for the next reminder, if there is one. Permanent REVIEW_EMAIL_NOT_FOUND."""
    id = payload.review_email_id
    with ctx.final_session() as session:
        row = locked_row(session, id)
        if row is None:
            raise Permanent("REVIEW_EMAIL_NOT_FOUND", "no row of the queue has this id")
        marked = row["status"] != "sent"
        if marked:
            if payload.message_id is None or not _may_be_marked(row, ctx.now()):
                return ReviewSentResult(review_email_id=id, outcome="not_sent")
            session.execute(MARK_SENT, {"id": id, "message_id": payload.message_id, "now": ctx.now()})
        elif payload.message_id is not None and row["resend_message_id"] not in (None, payload.message_id):
            log(session, "message_mismatch", [id], now=ctx.now())
            return ReviewSentResult(review_email_id=id, outcome="message_mismatch")
        log(session, "resent" if row["resend_count"] else "sent", [id], now=ctx.now())
        asked = _ask_reminder(session, row)
    return ReviewSentResult(
        review_email_id=id, outcome="marked_sent" if marked else "recorded", reminder_requested=asked
    )


def _may_be_marked(row: Row, now: datetime) -> bool:
    """Whether an app's word counts: not against a run that is sending, and not for a row that was ended."""
    lease = row["lease_expires_at"]
    idle = row["status"] == "processing" and (lease is None or lease < now)
    return idle or row["status"] in ("scheduled", "failed")


def _ask_reminder(session: Session, row: Row) -> bool:
    queued = queued_mail(row)
    settings = review_settings(session)
    if queued.type not in ("request", "reminder_1") or row["resend_count"] > 0:
        return False
    if queued.sequence_number >= 1 + settings.reminders:
        return False
    reminder = ReviewReminder(
        order_id=queued.order_id, reminder_number=queued.sequence_number, review_email_id=queued.id
    )
    session.emit(reminder, key=f"review-reminder:{queued.order_id}:{queued.sequence_number}")
    return True
