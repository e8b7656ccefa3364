"""A new application: its review begins, it is checked and registered, and the applicant hears that it arrived."""

from __future__ import annotations

import re
from typing import Any, Literal

from shared.applications import reviews
from shared.applications.queued import cancel_queued
from shared.applications.resolve import REFERENCE, lock_application
from shared.events.applications import (
    CreatorApplicationNotifyAdmin,
    CreatorApplicationPipelineEntry,
    CreatorApplicationProcess,
    CreatorApplicationTrack,
    CreatorApplied,
    CreatorApproved,
)
from shared.events.base import Payload
from shared.events.communications import CreatorEmailProcess
from shared.jobs import JobContext, Permanent, Retry, Session, Transient, job
from shared.jobs.context import Row
from shared.jobs.queues import CREATOR_APPLICATIONS
from shared.mail import Letter, enqueue
from shared.mail.addresses import is_address

RETRY = Retry(attempts=3, factor=2, min_s=5, max_s=60)
REVIEW_DAYS = 2
"""What the success page promises applicants (48 hours)."""
HIGH_VALUE_FOLLOWERS = 100_000
"""From here on the team's notice names the application."""
DUPLICATE_NOTE = "Duplicate of an existing creator."
CONFIRMATION = "creator_application_received"


# -- creator-on-applied ----------------------------------------------------------------------------------------------

DROP_DRAFTS = """
-- applications: the drafts of an applicant who has applied
DELETE FROM creator_application_drafts WHERE lower(email) = lower(btrim(%(email)s)) RETURNING id
"""
EXECUTION = """
-- applications: the execution that leads the review
UPDATE creator_application_reviews SET execution_arn = %(arn)s, updated_at = %(now)s WHERE application_id = %(id)s
"""


class AppliedResult(Payload):
    """`started`: this run began the review."""

    application_id: str
    started: bool
    outcome: Literal["started", "running", "closed", "chained"]


@job(
    "creator-on-applied",
    on=CreatorApplied,
    queue=CREATOR_APPLICATIONS,
    emits=(CreatorApplicationProcess,),
    retry=RETRY,
    timeout_s=30,
    key=lambda p, m: p.application_id,
    workflows=(reviews.WORKFLOW,),
)
def on_applied(ctx: JobContext, payload: CreatorApplied) -> AppliedResult:
    """Starts the review of a new application, once.

    Raises Transient APPLICATION_NOT_VISIBLE (the app publishes before its commit), at the last attempt Permanent
    APPLICATION_NOT_FOUND.
    """
    id, now = payload.application_id, ctx.now()
    with ctx.final_session() as session:
        application = _visible(ctx, session, id)
        if application["status"] in reviews.DECIDED_STATUSES:
            return AppliedResult(application_id=id, started=False, outcome="closed")
        review, new = reviews.open_review(session, id, now)
        drafts = session.all(DROP_DRAFTS, {"email": application["email"]})
        cancel_queued(session, ctx.tenant.slug, [f"draft:{row['id']}" for row in drafts], "superseded", now=now)
        name = reviews.execution_name(ctx.tenant.slug, id)
        arn = ctx.workflows.start(reviews.WORKFLOW, {"applicationId": id}, name)
        if arn is None:
            session.emit(CreatorApplicationProcess(application_id=id), key=f"process:{id}")
            return AppliedResult(application_id=id, started=new, outcome="chained")
        started = new or review["execution_arn"] is None
        session.execute(EXECUTION, {"id": id, "arn": arn, "now": now})
        return AppliedResult(application_id=id, started=started, outcome="started" if started else "running")


def _visible(ctx: JobContext, session: Session, application_id: str) -> Row:
    try:
        return lock_application(session, application_id)
    except Permanent:
        if ctx.last_attempt:
            raise
        raise Transient("APPLICATION_NOT_VISIBLE", "the application's row is not there yet") from None


# -- creator-process-application -------------------------------------------------------------------------------------

ADDRESS = """
-- applications: the address of an application, nothing locked
SELECT email FROM creator_applications WHERE id = %(id)s
"""
NORMALISE = """
-- applications: an application in the form that everything else compares
UPDATE creator_applications
SET email = %(email)s, instagram = %(instagram)s, tiktok = %(tiktok)s,
    utm_source = COALESCE(NULLIF(utm_source, ''), %(utm_source)s),
    utm_medium = COALESCE(NULLIF(utm_medium, ''), %(utm_medium)s),
    utm_campaign = COALESCE(NULLIF(utm_campaign, ''), %(utm_campaign)s),
    source = COALESCE(NULLIF(source, ''), %(source)s, NULLIF(utm_source, ''), %(utm_source)s, 'organic')
WHERE id = %(id)s
"""
WORKING_CREATOR = """
-- applications: a creator of this address whose relation is under way
SELECT id FROM creators
WHERE lower(email) = %(email)s AND status IN ('approved', 'active', 'paused') ORDER BY created_at, id LIMIT 1
"""
MARK_DUPLICATE = """
-- applications: the applicant is a creator already; the note stands once
UPDATE creator_applications
SET creator_id = %(creator)s,
    internal_notes = CASE WHEN position(%(note)s IN COALESCE(internal_notes, '')) > 0 THEN internal_notes
                          ELSE concat_ws(E'\\n', NULLIF(internal_notes, ''), %(note)s) END
WHERE id = %(id)s
"""
SUPERSEDE = """
-- applications: older applications of the address give way to the new one, and so do their reviews
WITH older AS (
    UPDATE creator_applications
    SET status = 'rejected', rejection_reason = 'superseded_by:' || %(id)s, reviewed_by = 'system',
        reviewed_at = %(now)s
    WHERE lower(btrim(email)) = %(email)s AND id <> %(id)s AND status IN ('new', 'in_review', 'waitlisted')
      AND (created_at, id) < (%(created_at)s, %(id)s)
    RETURNING id
), reviewed AS (
    UPDATE creator_application_reviews r
    SET status = 'completed', decision = 'superseded', decided_by = 'system', decided_at = %(now)s, updated_at = %(now)s
    FROM older WHERE r.application_id = older.id
)
SELECT id FROM older
"""
WAITING = """
-- applications: steps of superseded reviews that still wait
SELECT r.application_id, r.task_token FROM creator_application_reviews r
JOIN creator_applications a ON a.id = r.application_id
WHERE a.rejection_reason = 'superseded_by:' || %(id)s AND r.decision = 'superseded' AND r.task_token IS NOT NULL
ORDER BY r.application_id
"""
FORGET = """
-- applications: these steps were answered
UPDATE creator_application_reviews SET task_token = NULL WHERE application_id = ANY(%(ids)s)
"""
AUTO_APPROVE = """
-- applications: from how many followers on the tenant approves by itself, NULL when never
SELECT auto_approve_min_followers FROM tenant_onboarding_settings
WHERE auto_approve_enabled ORDER BY created_at, id LIMIT 1
"""


class ProcessedResult(Payload):
    """`superseded`: how many older applications gave way."""

    application_id: str
    outcome: Literal["registered", "duplicate", "closed"]
    auto_approve: bool = False
    high_value: bool = False
    superseded: int = 0
    confirmation_queued: bool = False


@job(
    "creator-process-application",
    on=CreatorApplicationProcess,
    queue=CREATOR_APPLICATIONS,
    emits=(
        CreatorEmailProcess,
        CreatorApplicationPipelineEntry,
        CreatorApplicationNotifyAdmin,
        CreatorApplicationTrack,
        CreatorApproved,
    ),
    retry=RETRY,
    timeout_s=30,
    key=lambda p, m: p.application_id,
    workflows=(reviews.WORKFLOW,),
)
def process_application(ctx: JobContext, payload: CreatorApplicationProcess) -> ProcessedResult:
    """Checks and registers an application, confirms it, and says whether a person must decide.

    Raises Permanent APPLICATION_NOT_FOUND, INVALID_EMAIL.
    """
    with ctx.tenant_session() as session:
        superseded = _superseded(ctx, session, payload)
        waiting = session.all(WAITING, {"id": payload.application_id})
    for row in waiting:  # nearly always none; each is answered once, whatever a repetition of this run asks
        ctx.workflows.complete(row["task_token"], {"decision": "superseded", "decidedBy": "system"})
    with ctx.final_session() as session:
        session.execute(FORGET, {"ids": [row["application_id"] for row in waiting]})
        application = lock_application(session, payload.application_id)
        if application["status"] in reviews.DECIDED_STATUSES:
            return ProcessedResult(application_id=payload.application_id, outcome="closed")
        return _register(ctx, session, payload, application, superseded)


def _superseded(ctx: JobContext, session: Session, payload: CreatorApplicationProcess) -> int:
    """Bring the application into form and let older ones of its address give way; how many.

    The address is locked before any row: of two runs of one address the later one may have to supersede the row that
    the earlier one would hold while it waits.
    """
    session.lock(f"applications:address:{_address(session.value(ADDRESS, {'id': payload.application_id}), payload)}")
    application = lock_application(session, payload.application_id)
    if application["status"] in reviews.DECIDED_STATUSES:
        return 0
    email = _address(application["email"], payload)
    if not is_address(email):
        raise Permanent("INVALID_EMAIL", "the application's address is none")
    utm = {name: _text(value) for name, value in (payload.utm_params or {}).items()}
    params = {
        "id": application["id"],
        "email": email,
        "instagram": handle(application["instagram"]),
        "tiktok": handle(application["tiktok"]),
        "source": _text(payload.source),
        **{name: utm.get(name) for name in ("utm_source", "utm_medium", "utm_campaign")},
    }
    session.execute(NORMALISE, params)
    if session.value(WORKING_CREATOR, {"email": email}) is not None:
        return 0  # a creator already: the team looks at it, and nothing gives way
    now = ctx.now()
    params = {"id": application["id"], "email": email, "created_at": application["created_at"], "now": now}
    older = [str(row["id"]) for row in session.all(SUPERSEDE, params)]
    cancel_queued(session, ctx.tenant.slug, [REFERENCE + id for id in older], "superseded", now=now)
    return len(older)


def _address(known: str | None, payload: CreatorApplicationProcess) -> str:
    """The row's own address, else the publisher's; '' when neither names one."""
    return (known or payload.email or "").strip().lower()


def handle(text: str | None) -> str | None:
    """A handle without @ and without the address around it.

    >>> handle("https://www.instagram.com/jane.doe/?hl=en"), handle("@jane")
    ('jane.doe', 'jane')
    """
    if not text or not text.strip():
        return None
    found = re.fullmatch(r"(?:https?://)?(?:www\.|m\.)?[a-z0-9-]+\.[a-z.]+/@?([^/?#]+).*", text.strip(), re.IGNORECASE)
    return (found[1] if found else text.strip()).lstrip("@") or None


def _text(value: Any) -> str | None:
    return value.strip()[:255] or None if isinstance(value, str) else None


def _register(
    ctx: JobContext, session: Session, payload: CreatorApplicationProcess, application: Row, superseded: int
) -> ProcessedResult:
    id = payload.application_id
    followers = application["follower_count"]
    high = followers is not None and followers >= HIGH_VALUE_FOLLOWERS
    creator_id = session.value(WORKING_CREATOR, {"email": application["email"]})
    if creator_id is not None:
        session.execute(MARK_DUPLICATE, {"id": id, "creator": creator_id, "note": DUPLICATE_NOTE})
        if not payload.orchestrated:
            session.emit(_notify(id), key=f"notify:{id}")
        return ProcessedResult(application_id=id, outcome="duplicate", high_value=high, superseded=superseded)
    auto = _auto_approves(session, application)
    if auto and payload.orchestrated:
        auto = _record_automatic(ctx, session, id)
    queued = _confirm(ctx, session, id)
    if not payload.orchestrated:
        _chain(session, id, auto)
    return ProcessedResult(
        application_id=id,
        outcome="registered",
        auto_approve=auto,
        high_value=high,
        superseded=superseded,
        confirmation_queued=queued,
    )


def _auto_approves(session: Session, application: Row) -> bool:
    """A number that is missing, on either side, approves nobody; neither does the waiting list."""
    least, followers = session.value(AUTO_APPROVE), application["follower_count"]
    return application["status"] != "waitlisted" and None not in (least, followers) and followers >= least


def _record_automatic(ctx: JobContext, session: Session, application_id: str) -> bool:
    """Store the automatic decision, unless a person was faster: then the review's wait finds the person's."""
    review, _ = reviews.open_review(session, application_id, ctx.now())
    if review["decision"] is None:
        reviews.decide(session, application_id, "approved", {}, by="auto", now=ctx.now())
        return True
    return bool(review["decision"] == "approved" and review["decided_by"] == "auto")


def _confirm(ctx: JobContext, session: Session, id: str) -> bool:
    letter = Letter(
        recipient=REFERENCE + id,
        template_key=CONFIRMATION,
        category="account",
        dedupe_key=f"application:{id}:received",
        variables={"applicationId": id, "reviewDays": REVIEW_DAYS},
        priority=1,
    )
    queued = enqueue(session, ctx.tenant.slug, letter, now=ctx.now())
    if not queued.deduplicated:
        session.emit(CreatorEmailProcess(priority="high"), key=f"received:{id}")
    return not queued.deduplicated


def _notify(id: str) -> CreatorApplicationNotifyAdmin:
    return CreatorApplicationNotifyAdmin(application_id=id, mode="notify")


def _chain(session: Session, id: str, auto: bool) -> None:
    """The following steps, where no workflow calls them."""
    session.emit_many(
        [
            (CreatorApplicationPipelineEntry(application_id=id, stage="new"), f"pipeline:{id}:new"),
            (_notify(id), f"notify:{id}"),
            (CreatorApplicationTrack(application_id=id, event="submitted"), f"track:{id}:submitted"),
        ]
    )
    if auto:
        approved = CreatorApproved(creator_id=id, application_id=id, approved_by="auto")
        session.emit(approved, key=f"auto-approved:{id}")
