"""What the team hears of an application, and the wait for its decision.

notify   the first message in Slack, and a mail
await    the workflow's step is held until somebody decides; a decision that is known already is the answer
remind   an answer in the thread of the first message, and a mail; from the second on overdue
expire   nobody decided in 14 days: the review ends, a later decision runs by itself
reopen   what was decided could not be carried out: the decision is withdrawn, so that another can be made
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

from shared import mail
from shared.applications import reviews
from shared.applications.links import admin_url, application_url
from shared.applications.resolve import REFERENCE, lock_application
from shared.applications.slack_posts import Notice, Posted, post_notice
from shared.events.alerts import AlertSystemError
from shared.events.applications import (
    CreatorApplicationNotifyAdmin,
    CreatorApplicationPipelineEntry,
    CreatorSlackNotification,
)
from shared.events.base import Payload
from shared.jobs import Delivery, HoldToken, JobContext, Permanent, Retry, job
from shared.jobs.context import Row
from shared.jobs.queues import CREATOR_APPLICATIONS
from shared.slack import escape

WHY_MAX = 300
"""Characters of the applicant's own words in the notice."""
OVERDUE_FROM = 2
"""The second reminder comes after 48 h, the time that applicants were promised."""
THREAD_GONE = ("thread_not_found", "message_not_found", "cannot_reply_to_message")
"""The first message was deleted: a reminder is then a message of its own."""
NOTICE_MAIL = "creator_application_admin_notice"
HIGH_VALUE_FOLLOWERS = 100_000
SOCIAL = {
    "instagram": "https://www.instagram.com/",
    "tiktok": "https://www.tiktok.com/@",
    "youtube": "https://www.youtube.com/@",
}

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.]{1,99}")
"""UPPER_SNAKE of a job, or States.Timeout and its like."""

NOTICE_ADDRESS = """
-- applications: who is mailed about applications
SELECT notify_on_application_email FROM tenant_onboarding_settings ORDER BY created_at, id LIMIT 1
"""
MESSAGE = """
-- applications: the first message about the application; reminders answer it
UPDATE creator_application_reviews
SET slack_channel_id = %(channel)s, slack_message_ts = %(ts)s, updated_at = %(now)s
WHERE application_id = %(id)s AND slack_message_ts IS NULL
"""
REMINDED = """
-- applications: a reminder has gone out
UPDATE creator_application_reviews
SET reminders_sent = GREATEST(reminders_sent, %(number)s), last_reminded_at = %(now)s, updated_at = %(now)s
WHERE application_id = %(id)s
"""
EXPIRE = """
-- applications: nobody waits for a decision any more
UPDATE creator_application_reviews SET status = 'expired', task_token = NULL, updated_at = %(now)s
WHERE application_id = %(id)s
"""
WITHDRAW = """
-- applications: a decision that could not be carried out is withdrawn; whose decision it was stays
UPDATE creator_application_reviews
SET status = 'expired', decision = NULL, decision_payload = '{}', task_token = NULL, updated_at = %(now)s
WHERE application_id = %(id)s AND status = 'decided'
"""


class NoticeResult(Payload):
    """`decision`, `decided_by`: what is known; `message_ts`: of the message in Slack."""

    notified: bool
    channel: Literal["slack", "email", "both", "none"] = "none"
    outcome: Literal["notified", "waiting", "decided", "reminded", "expired", "withdrawn", "alerted", "slack_failed"]
    message_ts: str | None = None
    decision: str | None = None
    decided_by: str | None = None
    code: str | None = None


Result = NoticeResult | HoldToken[NoticeResult]


def run_key(payload: CreatorApplicationNotifyAdmin, delivery: Delivery) -> str:
    """One run per application, mode and stretch or reminder."""
    match payload.mode:
        case "await":
            return f"{payload.application_id}:await:{payload.segment}"
        case "remind":
            return f"{payload.application_id}:remind:{payload.reminder_number}"
        case "failed":
            return f"{payload.application_id}:failed:{delivery.id}"
        case mode:
            return f"{payload.application_id}:{mode}"


@job(
    "creator-notify-admin-new-application",
    on=CreatorApplicationNotifyAdmin,
    queue=CREATOR_APPLICATIONS,
    emits=(CreatorApplicationPipelineEntry, CreatorSlackNotification, *mail.EMITS),
    retry=Retry(attempts=3, factor=2, min_s=5, max_s=60),
    timeout_s=30,
    key=run_key,
)
def notify_admin_new_application(
    ctx: JobContext, payload: CreatorApplicationNotifyAdmin
) -> NoticeResult | HoldToken[NoticeResult]:
    """Tells the team about an application, holds the review's step, reminds, and closes a review nobody decided.

    Raises Permanent APPLICATION_NOT_FOUND, NO_TASK_TOKEN; RateLimited SLACK_RATE_LIMITED, Transient SLACK_UNAVAILABLE.
    """
    modes: dict[str, Callable[[JobContext, CreatorApplicationNotifyAdmin], Result]] = {
        "notify": _notify,
        "await": _await,
        "remind": _remind,
        "expire": _expire,
        "failed": _failed,
    }
    return modes[payload.mode](ctx, payload)


def _decided(review: Row, decision: str) -> NoticeResult:
    by = review["decided_by"] or "system"
    return NoticeResult(notified=False, outcome="decided", decision=decision, decided_by=by)


# -- await -----------------------------------------------------------------------------------------------------------


def _await(ctx: JobContext, payload: CreatorApplicationNotifyAdmin) -> Result:
    """The lock of the review decides between this step and a decision that comes at the same moment."""
    if ctx.task_token is None:
        raise Permanent("NO_TASK_TOKEN", "mode await is a workflow's step")
    with ctx.final_session() as session:
        application = lock_application(session, payload.application_id)
        review, _ = reviews.open_review(session, payload.application_id, ctx.now())
        decision = reviews.known_decision(review, application)
        if decision is not None:
            return _decided(review, decision)
        reviews.await_decision(session, payload.application_id, ctx.task_token, payload.segment, ctx.now())
        return HoldToken(NoticeResult(notified=False, outcome="waiting"))


# -- notify and remind -----------------------------------------------------------------------------------------------


def _notify(ctx: JobContext, payload: CreatorApplicationNotifyAdmin) -> Result:
    id = payload.application_id
    with ctx.tenant_session() as session:
        application = lock_application(session, id)
        review, _ = reviews.open_review(session, id, ctx.now())
        decision = reviews.known_decision(review, application)
        address = session.value(NOTICE_ADDRESS)
    if decision is not None:
        return _decided(review, decision)
    mailed, posted = _told(ctx, application, review, address, payload, number=None)
    with ctx.final_session() as session:
        if posted.ts is not None:
            session.execute(MESSAGE, {"id": id, "channel": posted.channel, "ts": posted.ts, "now": ctx.now()})
        return _result(posted, mailed, "notified")


def _remind(ctx: JobContext, payload: CreatorApplicationNotifyAdmin) -> Result:
    id, number = payload.application_id, payload.reminder_number
    assert number is not None
    with ctx.tenant_session() as session:
        application = lock_application(session, id)
        review, _ = reviews.open_review(session, id, ctx.now())
        decision = reviews.known_decision(review, application)
        address = session.value(NOTICE_ADDRESS)
    if decision is not None:
        return _decided(review, decision)
    mailed, posted = _told(ctx, application, review, address, payload, number=number)
    with ctx.final_session() as session:
        session.execute(REMINDED, {"id": id, "number": number, "now": ctx.now()})
        if application["status"] == "in_review":
            moved = CreatorApplicationPipelineEntry(application_id=id, stage="reviewing")
            session.emit(moved, key=f"pipeline:{id}:reviewing")
        return _result(posted, mailed, "reminded")


def _told(
    ctx: JobContext,
    application: Row,
    review: Row,
    address: str | None,
    payload: CreatorApplicationNotifyAdmin,
    *,
    number: int | None,
) -> tuple[bool, Posted]:
    """The mail first: its key keeps it single when Slack is out of reach and the run is repeated."""
    mailed = _mailed(ctx, application, address, number)
    id = str(application["id"])
    waited_h = int((ctx.now() - review["requested_at"]).total_seconds() // 3600)
    notice = Notice(
        type="application_received",
        creator_id=REFERENCE + id,
        variables={"creatorName": application["name"], "applicationId": id, "source": application["source"]},
        metadata={"applicationId": id},
        dedupe_key=f"application:{id}:{payload.mode}:{number or 0}",
        thread_ts=review["slack_message_ts"] if number else None,
        thread_channel=review["slack_channel_id"] if number else None,
        fields=_fields(application) if number is None else (),
        links=_profiles(application) if number is None else (),
        text=None if number is None else _reminder(number, waited_h),
    )
    posted = post_notice(ctx, notice)
    if posted.reason in THREAD_GONE:
        anew = replace(notice, thread_ts=None, dedupe_key=f"{notice.dedupe_key}:anew")
        posted = post_notice(ctx, anew)
    return mailed, posted


def _reminder(number: int, waited_h: int) -> str:
    overdue = ":rotating_light: *Overdue.* " if number >= OVERDUE_FROM else ""
    return f"{overdue}The application of {{{{creatorName}}}} is waiting for {waited_h} h."


def _fields(application: Row) -> list[tuple[str, str]]:
    """What the team wants to know, as mrkdwn."""
    followers, rate = application["follower_count"], application["engagement_rate"]
    high = " :star: high value" if followers is not None and followers >= HIGH_VALUE_FOLLOWERS else ""
    duplicate = " (a creator already: duplicate)" if application["creator_id"] else ""
    handles = " ".join(f"<{url}|{escape(name)}>" for name, url in _handles(application))
    found = {
        "Name": escape(application["name"]) + duplicate,
        "Followers": f"{followers:,}{high}" if followers is not None else "",
        "Engagement": f"{rate}%" if rate is not None else "",
        "Profiles": handles,
        "Source": escape(application["source"] or ""),
        "Categories": escape(", ".join(application["content_categories"] or ())),
        "Why": escape((application["why_interested"] or "")[:WHY_MAX]),
    }
    return [(name, value) for name, value in found.items() if value]


def _handles(application: Row) -> list[tuple[str, str]]:
    from urllib.parse import quote

    return [
        (f"{network}: {application[network]}", base + quote(application[network], safe="._-"))
        for network, base in SOCIAL.items()
        if application[network]
    ]


def _profiles(application: Row) -> list[tuple[str, str]]:
    return [("Open Instagram", url) for name, url in _handles(application) if name.startswith("instagram")]


def _mailed(ctx: JobContext, application: Row, address: str | None, number: int | None) -> bool:
    """Mail the team; whether a mail is out or on its way."""
    if not address or not address.strip():
        return False
    id = str(application["id"])
    variables: dict[str, Any] = {
        "creatorName": application["name"],
        "applicationUrl": application_url(admin_url(ctx), id),
        "source": application["source"],
        "followerCount": application["follower_count"],
        "reminderNumber": number,
    }
    key = f"application:{id}:admin-reminder:{number}" if number else f"application:{id}:admin-notice"
    try:
        done = mail.mail(
            ctx, NOTICE_MAIL, address.strip(), variables, key, "account", recipient_type="team", mandatory=True
        )
    except Permanent as error:
        ctx.log.warning("the team's mail cannot be sent", extra={"code": error.code})
        return False
    return done.status in ("sent", "duplicate", "queued")


def _result(posted: Posted, mailed: bool, outcome: Literal["notified", "reminded"]) -> NoticeResult:
    in_slack = posted.status in ("sent", "duplicate")
    channel: Literal["slack", "email", "both", "none"] = (
        "both" if in_slack and mailed else "slack" if in_slack else "email" if mailed else "none"
    )
    failed = posted.status == "failed"
    return NoticeResult(
        notified=in_slack or mailed,
        channel=channel,
        outcome="slack_failed" if failed else outcome,
        message_ts=posted.ts,
        code=posted.reason if failed else None,
    )


# -- expire and failed -----------------------------------------------------------------------------------------------


def _expire(ctx: JobContext, payload: CreatorApplicationNotifyAdmin) -> Result:
    id = payload.application_id
    with ctx.final_session() as session:
        application = lock_application(session, id)
        review, _ = reviews.open_review(session, id, ctx.now())
        decision = reviews.known_decision(review, application)
        if decision is not None:
            return _decided(review, decision)
        session.execute(EXPIRE, {"id": id, "now": ctx.now()})
        session.emit(_escalation(id, "review_expired", f"review-expired:{id}"), key=f"review-expired:{id}")
        return NoticeResult(notified=True, channel="slack", outcome="expired")


def _failed(ctx: JobContext, payload: CreatorApplicationNotifyAdmin) -> Result:
    """Also for an application that is gone: somebody has to know why its review failed."""
    id, now = payload.application_id, ctx.now()
    code = payload.code if payload.code and _CODE.fullmatch(payload.code) else "UNKNOWN"
    with ctx.final_session() as session:
        withdrawn = session.execute(WITHDRAW, {"id": id, "now": now}) == 1
        key = f"{id}:{ctx.run_id}"
        if withdrawn:
            told = _escalation(id, "decision_failed", f"decision-failed:{key}")
            session.emit(told, key=f"decision-failed:{key}")
        session.emit(_alert(id, code, withdrawn), key=f"review-failed:{key}")
        return NoticeResult(notified=True, outcome="withdrawn" if withdrawn else "alerted", code=code)


def _alert(id: str, code: str, withdrawn: bool) -> AlertSystemError:
    # Not "drive it again": the execution has ended in its Fail state, from where a redrive would only fail anew.
    decide = "The decision is withdrawn: mend the cause, then decide again."
    what = decide if withdrawn else "Mend the cause, then replay the run of the step."
    return AlertSystemError(
        severity="error",
        source="creators",
        title="The review of an application has failed",
        message=f"A step failed for good with {code}. {what}",
        error_code=code,
        dedupe_key=f"application-review:{id}"[:200],
        context={"applicationId": id, "code": code, "withdrawn": withdrawn},
    )


def _escalation(id: str, kind: str, key: str) -> CreatorSlackNotification:
    return CreatorSlackNotification(
        notification_type="escalation",
        creator_id=REFERENCE + id,
        metadata={"applicationId": id, "kind": kind, "dedupeKey": key},
    )
