"""One creator event in the channel that the tenant chose for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from shared.applications.resolve import REFERENCE
from shared.applications.slack_posts import Notice, post_notice
from shared.events.alerts import AlertApiFailure
from shared.events.applications import CreatorSlackNotification
from shared.events.base import Payload
from shared.jobs import Delivery, JobContext, Retry, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import CREATOR_APPLICATIONS
from shared.mail import find_people

THREAD = """
-- applications: the first message of the creator's review
SELECT r.slack_channel_id, r.slack_message_ts FROM creator_application_reviews r
JOIN creator_applications a ON a.id = r.application_id
WHERE r.slack_message_ts IS NOT NULL AND (a.id = %(application)s OR a.creator_id = %(creator)s)
ORDER BY r.requested_at DESC, r.application_id LIMIT 1
"""
KEY_MAX = 200


class SlackResult(Payload):
    """`skipped`: not_configured or disabled; `error`: Slack's word."""

    sent: bool
    channel_id: str | None = None
    message_ts: str | None = None
    skipped: str | None = None
    error: str | None = None


def post_key(payload: CreatorSlackNotification) -> str:
    """The post's key: the publisher's, else a hash of the ids that it is about."""
    facts = payload.metadata or {}
    own = facts.get("dedupeKey")
    if own is None:
        ids = {name: facts[name] for name in sorted(facts) if name.endswith("Id")}
        text = json.dumps([payload.notification_type, payload.creator_id, ids], default=str)
        own = hashlib.sha256(text.encode()).hexdigest()[:32]
    key = f"creator:{payload.notification_type}:{payload.creator_id}:{own}"
    return key if len(key) <= KEY_MAX and key.isascii() else f"creator:{hashlib.sha256(key.encode()).hexdigest()}"


def run_key(payload: CreatorSlackNotification, delivery: Delivery) -> str:
    """One run per post."""
    return post_key(payload)


@job(
    "creator-slack-notification",
    on=CreatorSlackNotification,
    queue=CREATOR_APPLICATIONS,
    emits=(AlertApiFailure,),
    retry=Retry(attempts=3, factor=2, min_s=1, max_s=60),
    timeout_s=30,
    key=run_key,
)
def slack_notification(ctx: JobContext, payload: CreatorSlackNotification) -> SlackResult:
    """Posts one creator event to the channel the tenant chose for it.

    A tenant without Slack, or without a channel for this type, is no error. Raises RateLimited SLACK_RATE_LIMITED,
    Transient SLACK_UNAVAILABLE; what Slack refuses for good is told once a day and the run succeeds.
    """
    with ctx.tenant_session(read_only=True) as session:
        name = _name(session, payload)
        thread = _thread(session, payload)
    facts = payload.metadata or {}
    notice = Notice(
        type=payload.notification_type,
        creator_id=payload.creator_id,
        variables={**_plain(facts), "creatorName": name},
        metadata=facts,
        dedupe_key=post_key(payload),
        thread_ts=thread["slack_message_ts"] if thread else None,
        thread_channel=thread["slack_channel_id"] if thread else None,
    )
    done = post_notice(ctx, notice)
    return SlackResult(
        sent=done.status in ("sent", "duplicate"),
        channel_id=done.channel,
        message_ts=done.ts,
        skipped=done.reason if done.status == "skipped" else None,
        error=done.reason if done.status == "failed" else None,
    )


def _name(session: Session, payload: CreatorSlackNotification) -> str:
    """The name in our own rows, else the publisher's."""
    known = find_people(session, [payload.creator_id]).get(payload.creator_id)
    return (known.name if known else None) or payload.creator_name or "A creator"


def _plain(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if isinstance(value, str | int | float | bool)}


def _thread(session: Session, payload: CreatorSlackNotification) -> Row | None:
    """An approval answers the first message of its review, where that stands in the same channel."""
    if payload.notification_type != "application_approved":
        return None
    application = (payload.metadata or {}).get("applicationId") or payload.creator_id.removeprefix(REFERENCE)
    return session.one(THREAD, {"application": str(application), "creator": payload.creator_id})
