"""What became of mails that are out: Resend's delivery events, written to the ledger and drawn conclusions from.

A job that records declares `emits=(..., *EVENT_EMITS)`. An event sets its instant once and never moves one back, and it
never lifts a suppression; so events may come twice and in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from shared.events.alerts import AlertSystemError
from shared.events.communications import CreatorEmailCancel
from shared.jobs.context import Row, Session
from shared.mail import alarms
from shared.mail.registry import hook_of
from shared.mail.suppressions import Reason, suppress

EVENT_EMITS = (AlertSystemError, CreatorEmailCancel)

SOFT_BOUNCE_LIMIT = 3
"""Soft bounces of an address within SOFT_BOUNCE_WINDOW that suppress it."""
SOFT_BOUNCE_WINDOW = timedelta(days=30)
SOFT_BOUNCE_TTL = timedelta(days=90)
PROVIDER_FAILED = "PROVIDER_FAILED"

EventType = Literal[
    "sent", "delivered", "delivery_delayed", "opened", "clicked", "bounced", "complained", "failed", "suppressed"
]
COLUMNS = {
    "delivered": "delivered_at",
    "delivery_delayed": "delayed_at",
    "opened": "opened_at",
    "clicked": "clicked_at",
    "bounced": "bounced_at",
    "complained": "complained_at",
}

RECORD = """
-- mail: a delivery event, the first of its kind; whether it was news
WITH before AS (
    SELECT * FROM mail_messages WHERE provider_message_id = %(provider_id)s FOR UPDATE
)
UPDATE mail_messages m SET
    delivered_at = COALESCE(m.delivered_at, CASE %(column)s WHEN 'delivered_at' THEN %(at)s::timestamptz END),
    delayed_at = COALESCE(m.delayed_at, CASE %(column)s WHEN 'delayed_at' THEN %(at)s::timestamptz END),
    opened_at = COALESCE(m.opened_at, CASE %(column)s WHEN 'opened_at' THEN %(at)s::timestamptz END),
    clicked_at = COALESCE(m.clicked_at, CASE %(column)s WHEN 'clicked_at' THEN %(at)s::timestamptz END),
    bounced_at = COALESCE(m.bounced_at, CASE %(column)s WHEN 'bounced_at' THEN %(at)s::timestamptz END),
    complained_at = COALESCE(m.complained_at, CASE %(column)s WHEN 'complained_at' THEN %(at)s::timestamptz END),
    bounce_type = CASE WHEN %(bounce)s::text IS NULL THEN m.bounce_type
                       WHEN m.bounce_type = 'hard' THEN 'hard' ELSE %(bounce)s::text END,
    updated_at = %(now)s
FROM before b
WHERE m.id = b.id
RETURNING m.id, m.template_key, m.category, m.status, m.recipient_hash, m.recipient_type, m.recipient_id,
    m.queue_table, m.queue_id, m.delivered_at, to_jsonb(b) ->> %(column)s IS NULL AS news
"""

SHOW_IN_QUEUE = """
-- mail: openings and clicks as the application's statistics read them
UPDATE creator_email_queue
SET metadata = jsonb_build_object(%(name)s::text, %(at)s::text) || COALESCE(metadata, '{}')
WHERE id = %(id)s
"""

SOFT_BOUNCES = """
-- mail: how often an address bounced softly of late
SELECT count(*)::int FROM mail_messages
WHERE recipient_hash = %(hash)s AND bounce_type = 'soft' AND bounced_at > %(since)s AND bounced_at <= %(at)s
"""

GIVE_UP = """
-- mail: Resend could not send after all
UPDATE mail_messages
SET status = 'dead', max_attempts = attempts, error_code = %(code)s, updated_at = %(now)s
WHERE id = %(id)s AND status = 'sent' AND delivered_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Recorded:
    """`known`: the mail is one of ours; `news`: the first event of its kind; `suppressed`: the address is, newly."""

    known: bool
    news: bool = False
    suppressed: bool = False
    message_id: str | None = None


def record_event(
    session: Session,
    type: EventType | str,
    email_id: str,
    at: datetime,
    detail: Mapping[str, Any] | None = None,
    *,
    now: datetime,
) -> Recorded:
    """Write down one delivery event of Resend's mail `email_id`, in the caller's transaction.

    `type`: with or without `email.`; an unknown one and an unknown mail are ignored. `detail`: the event's `data`.
    """
    name = type.removeprefix("email.")
    bounce = _bounce_type(detail or {}) if name == "bounced" else None
    column = COLUMNS.get(name)
    params = {"provider_id": email_id, "column": column or "", "at": at, "bounce": bounce, "now": now}
    row = session.one(RECORD, params)
    if row is None:
        return Recorded(False)
    news = bool(row["news"]) and column is not None
    if news and row["queue_table"] == "creator_email_queue" and name in ("opened", "clicked"):
        shown = {"id": row["queue_id"], "name": f"{name}_at", "at": at.isoformat()}
        session.execute(SHOW_IN_QUEUE, shown)
    if name == "failed":
        news = _give_up(session, row, now)
    suppressed = _conclude(session, name, bounce, row, at, now)
    if name == "complained" and news:
        alarms.complained(session, at, now)
    hook = hook_of(row["queue_table"])
    if hook is not None and news:
        hook(session, row["queue_id"], name, at)
    return Recorded(True, news, suppressed, str(row["id"]))


def _bounce_type(detail: Mapping[str, Any]) -> Literal["hard", "soft"]:
    """Resend's email.bounced without a type means a permanent rejection; Transient and Undetermined may pass."""
    bounce = detail.get("bounce")
    kind = bounce.get("type") if isinstance(bounce, Mapping) else None
    return "hard" if kind in (None, "", "Permanent") else "soft"


def _conclude(
    session: Session, name: str, bounce: Literal["hard", "soft"] | None, row: Row, at: datetime, now: datetime
) -> bool:
    """Hold the address back when the event says so; whether it is new."""
    reason: Reason | None = None
    expires_at: datetime | None = None
    if name == "complained":
        reason = "complaint"
    elif name == "suppressed":
        reason = "provider"
    elif bounce == "hard":
        reason = "hard_bounce"
    elif bounce == "soft":
        since = at - SOFT_BOUNCE_WINDOW
        count = session.value(SOFT_BOUNCES, {"hash": row["recipient_hash"], "since": since, "at": at})
        if count >= SOFT_BOUNCE_LIMIT:
            reason, expires_at = "soft_bounce", at + SOFT_BOUNCE_TTL
    if reason is None or (expires_at is not None and expires_at <= now):
        return False
    fresh = suppress(
        session,
        row["recipient_hash"],
        reason,
        now=now,
        at=at,
        expires_at=expires_at,
        source_message_id=str(row["id"]),
    )
    if fresh and row["recipient_type"] == "creator" and row["recipient_id"]:
        cancel = CreatorEmailCancel(creator_id=row["recipient_id"], reason="bounced")
        session.emit(cancel, key=f"mail-cancel:{row['id']}:{reason}")
    return fresh


def _give_up(session: Session, row: Row, now: datetime) -> bool:
    """The mail is dead after all, unless it was delivered; whether that is news."""
    done = session.execute(GIVE_UP, {"id": row["id"], "code": PROVIDER_FAILED, "now": now})
    if done:
        alarms.mail_dead(session, row["template_key"], row["category"], PROVIDER_FAILED, now)
    return bool(done)
