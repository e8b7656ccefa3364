"""A rejection is carried out: status, stop of what waits, and a courteous refusal that can be stopped for an hour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from shared.applications import reviews
from shared.applications.links import portal_url
from shared.applications.queued import cancel_queued
from shared.applications.resolve import REFERENCE, Subject, resolve
from shared.events.applications import (
    CreatorApplicationPipelineEntry,
    CreatorApplicationTrack,
    CreatorRejectionEmail,
    CreatorRejectionProcess,
)
from shared.events.base import Payload
from shared.jobs import JobContext, Permanent, Retry, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import CREATOR_APPLICATIONS
from shared.mail import Letter, enqueue
from shared.mail.values import date_text
from shared.time import local_date, tenant_zone

RETRY = Retry(attempts=3, factor=2, min_s=5, max_s=60)
DEFAULT_REASON = "not_selected"
MAIL_DELAY = timedelta(minutes=60)
"""Lets an administrator correct a slip."""
REAPPLY_AFTER_DAYS = 90
REASON_MIN = 20
"""A reason that is longer, with a space in it, was written for people; shorter ones are codes."""
REFUSAL = "creator_application_rejected"

REJECT_APPLICATION = """
-- applications: the application is rejected; whose creator it was stays
UPDATE creator_applications
SET status = 'rejected', reviewed_by = %(by)s, reviewed_at = COALESCE(reviewed_at, %(now)s),
    rejection_reason = %(reason)s
WHERE id = %(id)s
"""
REJECT_CREATOR = """
-- applications: a creator who was never approved ends, and so does a membership that never began
WITH ended AS (
    UPDATE creators SET status = 'inactive' WHERE id = %(creator)s AND status = 'pending'
)
UPDATE public.creator_brand_memberships SET status = 'terminated', updated_at = %(now)s
WHERE creator_id = %(identity)s AND organization_id = current_setting('cgk.tenant_id')::uuid AND status = 'pending'
"""


class RejectionResult(Payload):
    """`email_queued`: the refusal is to be sent. `cancelled`: mails that were called back."""

    processed: bool
    outcome: Literal["rejected", "unchanged"]
    email_queued: bool = False
    feedback_provided: bool = False
    allow_reapply: bool = True
    cancelled: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What was decided: by the event, or by the stored decision."""

    by: str
    reason: str
    feedback: str | None = field(repr=False)
    allow_reapply: bool
    send_notification: bool


# -- creator-process-rejection ---------------------------------------------------------------------------------------


@job(
    "creator-process-rejection",
    on=CreatorRejectionProcess,
    queue=CREATOR_APPLICATIONS,
    emits=(CreatorRejectionEmail, CreatorApplicationPipelineEntry, CreatorApplicationTrack),
    retry=RETRY,
    timeout_s=30,
    key=lambda p, m: f"{p.application_id or p.creator_id}:rejection",
)
def process_rejection(ctx: JobContext, payload: CreatorRejectionProcess) -> RejectionResult:
    """Carries out a rejection.

    Raises Permanent CREATOR_NOT_FOUND, INVALID_TRANSITION: approved already.
    """
    with ctx.final_session() as session:
        subject = resolve(session, creator_id=payload.creator_id, application_id=payload.application_id)
        application = subject.application
        review = _review(ctx, session, subject)
        if payload.orchestrated and review is not None and review["decision"] == "approved":
            # The approval took this decision's place while the workflow was on its way here; a job carries it out.
            return RejectionResult(processed=False, outcome="unchanged")
        if subject.works or (application is not None and application["status"] == "approved"):
            raise Permanent("INVALID_TRANSITION", "approved already; a creator is ended in the directory")
        if _done(subject, review):
            return RejectionResult(processed=False, outcome="unchanged")
        terms = _terms(payload, review)
        cancelled = _reject(ctx, session, subject, terms)
        if subject.application_id is not None:
            reviews.complete(session, subject.application_id, "rejected", by=terms.by, now=ctx.now())
        if not payload.orchestrated:
            _chain(session, subject, payload, terms)
        return RejectionResult(
            processed=True,
            outcome="rejected",
            email_queued=terms.send_notification and application is not None,
            feedback_provided=bool(terms.feedback),
            allow_reapply=terms.allow_reapply,
            cancelled=cancelled,
        )


def _review(ctx: JobContext, session: Session, subject: Subject) -> Row | None:
    return reviews.open_review(session, subject.application_id, ctx.now())[0] if subject.application_id else None


def _done(subject: Subject, review: Row | None) -> bool:
    """Whether there is nothing to reject any more: rejected by an earlier run, superseded, or an approval came since.

    That the app has set the status itself does not count: the refusal is still to be sent.
    """
    application = subject.application
    if application is None or review is None:
        return subject.creator is not None and subject.creator["status"] == "inactive"
    if review["decision"] == "approved" or reviews.known_decision(review, application) == "superseded":
        return True
    return bool(
        application["status"] == "rejected" and review["decision"] == "rejected" and review["status"] == "completed"
    )


def _terms(payload: CreatorRejectionProcess, review: Row | None) -> Terms:
    """Orchestrated, of the decision that the review keeps: it does not travel through the workflow."""
    stored: Mapping[str, Any] = {}
    by = payload.rejected_by
    if payload.orchestrated and review is not None and review["decision"] == "rejected":
        stored, by = review["decision_payload"], review["decided_by"] or by
    return Terms(
        by=by,
        reason=payload.reason or stored.get("reason") or DEFAULT_REASON,
        feedback=payload.feedback or stored.get("feedback"),
        allow_reapply=bool(stored.get("allowReapply", payload.allow_reapply)),
        send_notification=bool(stored.get("sendNotification", payload.send_notification)),
    )


def _reject(ctx: JobContext, session: Session, subject: Subject, terms: Terms) -> int:
    """Status of all three rows, and what waits is called back; how many mails."""
    now = ctx.now()
    if subject.application_id is not None:
        params = {"id": subject.application_id, "by": terms.by, "reason": terms.reason, "now": now}
        session.execute(REJECT_APPLICATION, params)
    identity = subject.identity["id"] if subject.identity else None
    session.execute(REJECT_CREATOR, {"creator": subject.creator_id, "identity": identity, "now": now})
    recipients = [subject.creator_id] if subject.creator_id else []
    if subject.application_id is not None:
        recipients.append(REFERENCE + subject.application_id)
    return cancel_queued(session, ctx.tenant.slug, recipients, "status_change", now=now)


def _chain(session: Session, subject: Subject, payload: CreatorRejectionProcess, terms: Terms) -> None:
    """The following steps, where no workflow calls them."""
    id = subject.application_id
    if id is None:
        return
    if terms.send_notification:
        refusal = CreatorRejectionEmail(
            creator_id=subject.creator_id,
            application_id=id,
            reason=terms.reason,
            feedback=terms.feedback,
            allow_reapply=terms.allow_reapply,
        )
        session.emit(refusal, key=f"rejection-mail:{id}")
    session.emit(CreatorApplicationPipelineEntry(application_id=id, stage="rejected"), key=f"pipeline:{id}:rejected")
    session.emit(CreatorApplicationTrack(application_id=id, event="rejected", metadata={}), key=f"track:{id}:rejected")


# -- creator-send-rejection-email ------------------------------------------------------------------------------------


class RejectionMailResult(Payload):
    """`sent`: queued, now or before. `email_id`: creator_email_queue.id."""

    sent: bool
    email_id: str | None = None
    scheduled_for: datetime | None = None
    skipped: str | None = None


@job(
    "creator-send-rejection-email",
    on=CreatorRejectionEmail,
    queue=CREATOR_APPLICATIONS,
    retry=RETRY,
    timeout_s=30,
    key=lambda p, m: f"{p.application_id or p.creator_id}:{m.id}",
)
def send_rejection_email(ctx: JobContext, payload: CreatorRejectionEmail) -> RejectionMailResult:
    """Queues a courteous refusal, an hour after the decision.

    Raises Permanent CREATOR_NOT_FOUND.
    """
    with ctx.final_session() as session:
        subject = resolve(session, creator_id=payload.creator_id, application_id=payload.application_id)
        application = subject.application
        if application is None or not _is_refused(application):
            return RejectionMailResult(sent=False, skipped="not_rejected")
        id, reviewed_at = str(application["id"]), application["reviewed_at"] or ctx.now()
        letter = Letter(
            recipient=REFERENCE + id,
            template_key=REFUSAL,
            category="account",
            dedupe_key=f"application:{id}:rejected",
            variables=_variables(ctx, session, payload, application, reviewed_at),
            scheduled_for=reviewed_at + MAIL_DELAY,
        )
        queued = enqueue(session, ctx.tenant.slug, letter, now=ctx.now())
        return RejectionMailResult(sent=True, email_id=queued.id, scheduled_for=queued.scheduled_at)


def _is_refused(application: Row) -> bool:
    superseded = str(application["rejection_reason"] or "").startswith("superseded_by:")
    return application["status"] == "rejected" and not superseded


def _variables(
    ctx: JobContext, session: Session, payload: CreatorRejectionEmail, application: Row, reviewed_at: datetime
) -> dict[str, Any]:
    review, _ = reviews.open_review(session, str(application["id"]), ctx.now())
    stored = review["decision_payload"] if review["decision"] == "rejected" else {}
    reason = payload.reason or application["rejection_reason"] or ""
    variables: dict[str, Any] = {"feedback": payload.feedback or stored.get("feedback")}
    if len(reason) > REASON_MIN and " " in reason.strip():
        variables["rejectionReason"] = reason
    if payload.allow_reapply:
        day = local_date(reviewed_at, tenant_zone(session)) + timedelta(days=REAPPLY_AFTER_DAYS)
        variables["reapplyAfter"] = date_text(day)
        portal = portal_url(ctx, session)
        if portal:
            variables["reapplyUrl"] = f"{portal}/creator/join"
    return {name: value for name, value in variables.items() if value}
