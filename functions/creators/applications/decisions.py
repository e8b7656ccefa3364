"""A decision arrives: it is stored under the review's lock, and the review that waits is answered.

Who carries it out: the workflow while its execution runs (the step that waits is answered; where none waits at the
moment, the next one finds the stored decision), else a job by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from shared.applications import reviews
from shared.applications.resolve import Subject, resolve
from shared.events.applications import (
    CreatorApprovalProcess,
    CreatorApproved,
    CreatorRejected,
    CreatorRejectionProcess,
)
from shared.events.base import Event, Payload
from shared.jobs import Delivery, JobContext, Permanent, Retry, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import CREATOR_APPLICATIONS

RETRY = Retry(attempts=3, factor=2, min_s=5, max_s=60)

DIRECT = "direct"
"""Member of a stored decision's terms: a job carries it out, whatever the workflow is at."""

LATEST = """
-- applications: whether the decision that was stored still stands
SELECT decision FROM creator_application_reviews WHERE application_id = %(id)s FOR UPDATE
"""


class ApprovedResult(Payload):
    """delivered: the workflow carries it out; direct: a job does."""

    outcome: Literal["delivered", "direct", "already_approved"]
    application_id: str | None = None


class RejectedResult(Payload):
    """As for approvals."""

    outcome: Literal["delivered", "direct", "already_rejected"]
    application_id: str | None = None


def approved_key(payload: CreatorApproved, delivery: Delivery) -> str:
    """One run per event."""
    return f"approved:{payload.application_id or payload.creator_id}:{delivery.id}"


def rejected_key(payload: CreatorRejected, delivery: Delivery) -> str:
    """One run per event."""
    return f"rejected:{payload.application_id or payload.creator_id}:{delivery.id}"


# -- creator-on-approved ---------------------------------------------------------------------------------------------


@job(
    "creator-on-approved",
    on=CreatorApproved,
    queue=CREATOR_APPLICATIONS,
    emits=(CreatorApprovalProcess,),
    retry=RETRY,
    timeout_s=30,
    key=approved_key,
    workflows=(reviews.WORKFLOW,),
)
def on_approved(ctx: JobContext, payload: CreatorApproved) -> ApprovedResult:
    """Takes an approval and hands it to the waiting review, or has it carried out directly.

    Raises Permanent CREATOR_NOT_FOUND.
    """
    with ctx.tenant_session() as session:
        subject = resolve(session, creator_id=payload.creator_id, application_id=payload.application_id)
        application_id = subject.application_id
        if application_id is None:
            session.emit(_approval(payload, subject), key=f"approval:{payload.creator_id}:{ctx.delivery.id}")
            return ApprovedResult(outcome="direct")
        review, _ = reviews.open_review(session, application_id, ctx.now())
        if review["decision"] == "approved" and review["status"] == "completed":
            return ApprovedResult(outcome="already_approved", application_id=application_id)
        if review["decision"] != "approved":
            terms = _terms(payload, "tier", "commission_percent", "discount_code", "notes", "send_notification")
            review = _stored(ctx, session, review, "approved", terms, payload.approved_by)
    if _handed_over(ctx, review, "approved", payload.approved_by):
        return ApprovedResult(outcome="delivered", application_id=application_id)
    with ctx.final_session() as session:
        key = f"approval:{application_id}:{ctx.delivery.id}"
        session.emit(_approval(payload, subject), key=key)
        return ApprovedResult(outcome="direct", application_id=application_id)


def _approval(payload: CreatorApproved, subject: Subject) -> CreatorApprovalProcess:
    return CreatorApprovalProcess(
        creator_id=subject.creator_id or (None if subject.application else payload.creator_id),
        application_id=subject.application_id,
        approved_by=payload.approved_by,
        tier=payload.tier,
        commission_percent=payload.commission_percent,
        discount_code=payload.discount_code,
        notes=payload.notes,
        send_notification=payload.send_notification,
        orchestrated=False,
    )


# -- creator-on-rejected ---------------------------------------------------------------------------------------------


@job(
    "creator-on-rejected",
    on=CreatorRejected,
    queue=CREATOR_APPLICATIONS,
    emits=(CreatorRejectionProcess,),
    retry=RETRY,
    timeout_s=30,
    key=rejected_key,
    workflows=(reviews.WORKFLOW,),
)
def on_rejected(ctx: JobContext, payload: CreatorRejected) -> RejectedResult:
    """Takes a rejection and hands it to the waiting review, or has it carried out directly.

    Raises Permanent CREATOR_NOT_FOUND, INVALID_TRANSITION: a creator who works, or an approval that came first.
    """
    with ctx.tenant_session() as session:
        subject = resolve(session, creator_id=payload.creator_id, application_id=payload.application_id)
        application_id = subject.application_id
        if subject.works or (subject.application and subject.application["status"] == "approved"):
            raise Permanent("INVALID_TRANSITION", "approved already; a creator is ended in the directory")
        if application_id is None:
            session.emit(_rejection(payload, subject), key=f"rejection:{payload.creator_id}:{ctx.delivery.id}")
            return RejectedResult(outcome="direct")
        review, _ = reviews.open_review(session, application_id, ctx.now())
        if review["decision"] in ("rejected", "superseded") and review["status"] == "completed":
            return RejectedResult(outcome="already_rejected", application_id=application_id)
        if review["decision"] == "approved":
            raise Permanent("INVALID_TRANSITION", "an approval came first and is being carried out")
        if review["decision"] is None:
            terms = _terms(payload, "reason", "feedback", "allow_reapply", "send_notification")
            review = _stored(ctx, session, review, "rejected", terms, payload.rejected_by)
    if _handed_over(ctx, review, "rejected", payload.rejected_by):
        return RejectedResult(outcome="delivered", application_id=application_id)
    with ctx.final_session() as session:
        if session.value(LATEST, {"id": application_id}) != "rejected":
            raise Permanent("INVALID_TRANSITION", "an approval has taken this decision's place")
        key = f"rejection:{application_id}:{ctx.delivery.id}"
        session.emit(_rejection(payload, subject), key=key)
        return RejectedResult(outcome="direct", application_id=application_id)


def _rejection(payload: CreatorRejected, subject: Subject) -> CreatorRejectionProcess:
    return CreatorRejectionProcess(
        creator_id=subject.creator_id or (None if subject.application else payload.creator_id),
        application_id=subject.application_id,
        rejected_by=payload.rejected_by,
        reason=payload.reason,
        feedback=payload.feedback,
        allow_reapply=payload.allow_reapply,
        send_notification=payload.send_notification,
        orchestrated=False,
    )


# -- both ------------------------------------------------------------------------------------------------------------


def _terms(payload: Event, *names: str) -> Mapping[str, Any]:
    """The decision's terms as they are stored: wire names, without what is absent."""
    return payload.model_dump(mode="json", by_alias=True, exclude_none=True, include=set(names))


def _stored(
    ctx: JobContext, session: Session, before: Row, decision: reviews.Decision, terms: Mapping[str, Any], by: str
) -> Row:
    """The review with the decision. What decides who carries it out is stored with it, for a repetition of the run.

    An expired review has no step that would look at it again. A decision that takes the place of another one is not
    the workflow's either: it may be carrying out the former, which then does nothing.
    """
    direct = before["status"] in ("expired", "completed") or before["decision"] is not None
    payload = {**terms, DIRECT: True} if direct else dict(terms)
    reviews.decide(session, before["application_id"], decision, payload, by=by, now=ctx.now())
    return {**before, "decision": decision, "decision_payload": payload}


def _handed_over(ctx: JobContext, review: Row, decision: str, by: str) -> bool:
    """Whether the workflow carries the decision out; the step that waits is answered."""
    if review["decision_payload"].get(DIRECT):
        return False
    if review["task_token"] is not None:
        ctx.workflows.complete(review["task_token"], {"decision": decision, "decidedBy": by})
    name = reviews.execution_name(ctx.tenant.slug, review["application_id"])
    return ctx.workflows.status(reviews.WORKFLOW, name) == "RUNNING"
