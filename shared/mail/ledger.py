"""The ledger of mails: one row of mail_messages per dedupe key, whatever module and however often it asks.

    queued ── sending ── sent | skipped          queued: waits until scheduled_at (quiet hours, caps, configuration)
                │  ▲                             sending: a sender holds it until lease_expires_at
              failed ── dead                     failed: tried again from scheduled_at on; dead: only an administrator

Who sends has taken the row by TAKE, so two senders never hold one mail; a sender that dies leaves a row whose lease
ends, and the repetition carries the same key and the same bytes. `error_code` keeps the first failure whose outcome is
unknown until the mail's end: after 23 hours such a mail is not tried again, because Resend forgets keys after 24.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from shared.crypto import MASTER_KEY, PREVIOUS_KEY, Keyring
from shared.jobs.context import JobContext, Row, Session
from shared.jobs.errors import Deferred, JobError, Permanent
from shared.mail.registry import QueueRef

CLAIM_LEASE = timedelta(minutes=10)
MAX_ATTEMPTS = 5
BACKOFF_MINUTES = (2, 4, 8, 16, 32, 60)
"""Wait after the n-th failure: min(2^n, 60)."""
IDEMPOTENCY_SAFE_WINDOW = timedelta(hours=23)
"""From the first attempt; Resend keeps keys for 24 hours."""
SEALED_TTL = timedelta(hours=48)
"""How long a mail's content is kept after its end."""
KEY_MAX = 256
"""Characters of a dedupe key, and of Resend's idempotency key."""

LEASE_EXPIRED = "LEASE_EXPIRED"
SEND_OUTCOME_UNKNOWN = "SEND_OUTCOME_UNKNOWN"
NOT_REACHED = "RESEND_NOT_REACHED"
"""No byte left this process: the one failure of the network whose outcome is known."""
UNKNOWN_OUTCOMES = (
    "RESEND_TIMEOUT",
    "RESEND_UNAVAILABLE",
    "RESEND_ANSWER_UNREADABLE",
    "RESEND_CONCURRENT",  # an earlier call is at work, and nobody here waits for its answer any more
    LEASE_EXPIRED,
)

PURPOSE = "mail"
_PRINTABLE = re.compile(r"[ -~]+")

INTENT = """
-- mail: the intent to send, before anything else happens
INSERT INTO mail_messages (dedupe_key, template_key, category, mandatory, priority, recipient_type, recipient_id,
    recipient_hash, queue_table, queue_id, scheduled_at, max_attempts, created_at, updated_at)
VALUES (%(dedupe_key)s, %(template_key)s, %(category)s, %(mandatory)s, %(priority)s, %(recipient_type)s,
    %(recipient_id)s, %(hash)s, %(queue_table)s, %(queue_id)s, %(now)s, %(max_attempts)s, %(now)s, %(now)s)
ON CONFLICT (dedupe_key) DO NOTHING
"""

BY_KEY = """
-- mail: the row of a dedupe key
SELECT * FROM mail_messages WHERE dedupe_key = %(dedupe_key)s FOR UPDATE
"""

BY_ID = """
-- mail: a row that waits
SELECT * FROM mail_messages WHERE id = %(id)s FOR UPDATE
"""

RAISED = """
-- mail: attempts that an administrator has granted to a dead mail: on its row of creators' queue, else on itself
SELECT CASE WHEN m.queue_table = 'creator_email_queue' THEN (
    SELECT q.max_attempts - q.attempts FROM creator_email_queue q
    WHERE q.id = m.queue_id AND q.error_code = m.error_code AND q.attempts < q.max_attempts
) ELSE NULLIF(GREATEST(m.max_attempts - m.attempts, 0), 0) END
FROM mail_messages m WHERE m.id = %(id)s
"""

REVIVE = """
-- mail: an administrator lets a dead mail be tried again, as a new mail for Resend
UPDATE mail_messages
SET status = 'queued', max_attempts = attempts + %(granted)s, first_attempt_at = NULL, sealed = NULL,
    content_hash = NULL, error_code = NULL, updated_at = %(now)s
WHERE id = %(id)s
"""

TAKE = """
-- mail: the lease of a mail, with what is going to be sent
UPDATE mail_messages
SET status = 'sending', lease_owner = %(owner)s, lease_expires_at = %(lease_until)s, attempts = attempts + 1,
    first_attempt_at = COALESCE(first_attempt_at, %(now)s), last_attempt_at = %(now)s, sealed = %(sealed)s,
    content_hash = %(content_hash)s, recipient_hash = %(hash)s, updated_at = %(now)s,
    error_code = CASE WHEN status = 'sending' AND NOT COALESCE(error_code = ANY(%(unknown)s), false)
                      THEN %(lease_expired)s ELSE error_code END
WHERE id = %(id)s
  AND (status IN ('queued', 'failed') OR (status = 'sending' AND lease_expires_at < %(now)s))
RETURNING attempts
"""

SENT = """
-- mail: Resend has it
UPDATE mail_messages
SET status = 'sent', provider_message_id = %(provider_id)s, sent_at = %(now)s, error_code = NULL,
    lease_owner = NULL, lease_expires_at = NULL, updated_at = %(now)s
WHERE id = %(id)s AND status = 'sending' AND lease_owner = %(owner)s
"""

SKIP = """
-- mail: never to be sent
UPDATE mail_messages
SET status = 'skipped', skip_reason = %(reason)s, sealed = NULL, content_hash = NULL, lease_owner = NULL,
    lease_expires_at = NULL, updated_at = %(now)s
WHERE id = %(id)s
"""

HOLD = """
-- mail: not now; no attempt is burnt
UPDATE mail_messages
SET status = 'queued', scheduled_at = %(until)s, sealed = %(sealed)s, content_hash = %(content_hash)s,
    recipient_hash = %(hash)s, lease_owner = NULL, lease_expires_at = NULL, updated_at = %(now)s,
    error_code = CASE WHEN error_code = ANY(%(unknown)s) THEN error_code
                      WHEN status = 'sending' THEN %(lease_expired)s ELSE COALESCE(%(code)s, error_code) END
WHERE id = %(id)s
"""

RELEASE = """
-- mail: the lease is given back, the attempt with it, because nothing was sent
UPDATE mail_messages
SET status = 'queued', scheduled_at = %(until)s, attempts = attempts - 1,
    first_attempt_at = CASE WHEN attempts > 1 THEN first_attempt_at END, lease_owner = NULL, lease_expires_at = NULL,
    content_hash = CASE WHEN error_code = ANY(%(unknown)s) THEN content_hash END,
    error_code = CASE WHEN error_code = ANY(%(unknown)s) THEN error_code ELSE %(code)s END, updated_at = %(now)s
WHERE id = %(id)s AND status = 'sending' AND lease_owner = %(owner)s
"""

FAIL = """
-- mail: an attempt has failed; 2, 4, 8, 16 .. 60 minutes until the next one, or the end
UPDATE mail_messages
SET status = CASE WHEN %(permanent)s OR attempts >= max_attempts THEN 'dead' ELSE 'failed' END,
    max_attempts = CASE WHEN %(permanent)s THEN attempts ELSE max_attempts END,
    scheduled_at = %(now)s::timestamptz + LEAST(power(2, LEAST(attempts, 6)), 60) * interval '1 minute',
    error_code = CASE WHEN NOT %(permanent)s AND error_code = ANY(%(unknown)s) THEN error_code ELSE %(code)s END,
    lease_owner = NULL, lease_expires_at = NULL, updated_at = %(now)s
WHERE id = %(id)s AND (%(owner)s::text IS NULL OR (status = 'sending' AND lease_owner = %(owner)s))
RETURNING status
"""

DUE = """
-- mail: deferred and failed mails of no other queue whose time has come, the most urgent first
SELECT id FROM mail_messages
WHERE status IN ('queued', 'failed', 'sending') AND priority <= %(priority)s AND queue_table IS NULL
  AND sealed IS NOT NULL
  AND CASE status WHEN 'sending' THEN lease_expires_at < %(now)s ELSE scheduled_at <= %(now)s END
ORDER BY priority, scheduled_at, id
LIMIT %(limit)s
"""

UNSEAL = """
-- mail: forget the content of mails that ended long ago
UPDATE mail_messages SET sealed = NULL
WHERE sealed IS NOT NULL AND status IN ('sent', 'skipped', 'dead') AND updated_at < %(before)s
"""


@dataclass(frozen=True, slots=True)
class Order:
    """A mail as it was asked for. It holds personal data and has no repr of it."""

    template_key: str
    to: str
    variables: Mapping[str, Any]
    dedupe_key: str
    category: str
    mandatory: bool
    priority: int
    recipient_type: str
    recipient_id: str | None
    queue_ref: QueueRef | None
    reply_to: str | None

    def __repr__(self) -> str:
        return f"Order({self.template_key}, {self.category})"


@dataclass(frozen=True, slots=True)
class Content:
    """What is sealed: the draft, from which the mail can be made anew, and the finished mail once there is one.

    `body` goes to Resend byte for byte, with `key`; it is canonical JSON (sorted members, no spaces).
    """

    draft: Mapping[str, Any]
    key: str | None = None
    body: str | None = None

    def __repr__(self) -> str:
        return "Content(...)"

    @property
    def hash(self) -> str | None:
        """Hex SHA-256 of the finished mail; None for a draft."""
        return None if self.body is None else hashlib.sha256(self.body.encode()).hexdigest()


def checked_key(text: str) -> str:
    """A dedupe key as it is stored. Permanent MAIL_KEY_INVALID: it must be printable ASCII."""
    if not _PRINTABLE.fullmatch(text):
        raise Permanent("MAIL_KEY_INVALID", "a dedupe key is 1 to 256 printable ASCII characters")
    return short_key(text)


def short_key(text: str) -> str:
    """The text itself, or its hash when it is longer than KEY_MAX."""
    return text if len(text) <= KEY_MAX else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def canonical(value: Any) -> str:
    """JSON with sorted members and no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


# -- sealing ---------------------------------------------------------------------------------------------------------


def keyring(ctx: JobContext) -> Keyring:
    """The platform's keys: the current one, and the previous one during a rotation."""
    secrets = {MASTER_KEY: ctx.secret(MASTER_KEY)}
    with contextlib.suppress(Permanent):  # there is one during a rotation only
        secrets[PREVIOUS_KEY] = ctx.secret(PREVIOUS_KEY)
    return Keyring.of(secrets)


def seal(ctx: JobContext, id: UUID, content: Content) -> str:
    """The content under the tenant's envelope, bound to tenant and mail, as base64 text."""
    data = canonical({"draft": content.draft, "key": content.key, "body": content.body}).encode()
    return base64.b64encode(keyring(ctx).seal(data, aad=_aad(ctx, id), purpose=PURPOSE)).decode()


def unseal(ctx: JobContext, row: Row) -> Content | None:
    """The content of a row; without its finished mail when that may be made anew. Permanent CREDENTIAL_UNREADABLE."""
    if row["sealed"] is None:
        return None
    data = keyring(ctx).open(base64.b64decode(row["sealed"]), aad=_aad(ctx, row["id"]), purpose=PURPOSE)
    members = json.loads(data)
    if row["content_hash"] is None:
        return Content(members["draft"])
    return Content(members["draft"], members["key"], members["body"])


def _aad(ctx: JobContext, id: UUID) -> bytes:
    return f"{ctx.tenant.organization_id}:{id}".encode()


# -- rows ------------------------------------------------------------------------------------------------------------


def open_row(session: Session, order: Order, address_hash: str, now: datetime) -> Row:
    """The row of the order's key, made when there is none; locked until the session ends."""
    table, id = order.queue_ref or (None, None)
    params = {
        "dedupe_key": order.dedupe_key,
        "template_key": order.template_key,
        "category": order.category,
        "mandatory": order.mandatory,
        "priority": order.priority,
        "recipient_type": order.recipient_type,
        "recipient_id": order.recipient_id,
        "hash": address_hash,
        "queue_table": table,
        "queue_id": id,
        "max_attempts": MAX_ATTEMPTS,
        "now": now,
    }
    session.execute(INTENT, params)
    row = session.one(BY_KEY, {"dedupe_key": order.dedupe_key})
    assert row is not None
    return row


def admit(session: Session, row: Row, now: datetime) -> JobError | Row | None:
    """Whether a row may go on: the row as it now is, None for one that has ended well, or the error to raise."""
    status, code = row["status"], row["error_code"]
    if status in ("sent", "skipped"):
        return None
    if status == "sending" and row["lease_expires_at"] >= now:
        # The holder may have died: its lease outlasts a job's attempts, so none is burnt on it.
        left_s = (row["lease_expires_at"] - now).total_seconds()
        return Deferred("MAIL_IN_FLIGHT", "another sender holds this mail", after_s=max(1.0, left_s))
    if status == "dead":
        granted = session.value(RAISED, {"id": row["id"]})
        if granted is None:
            return Permanent(code or "MAIL_DEAD", "the mail is dead; an administrator may raise its attempts")
        session.execute(REVIVE, {"id": row["id"], "granted": granted, "now": now})
        return session.one(BY_ID, {"id": row["id"]})
    unknown = status == "sending" or code in UNKNOWN_OUTCOMES
    first = row["first_attempt_at"]
    if unknown and first is not None and first < now - IDEMPOTENCY_SAFE_WINDOW:
        return Permanent(SEND_OUTCOME_UNKNOWN, "tried too long ago, and it is not known whether it was sent")
    return row


def take(session: Session, ctx: JobContext, row: Row, content: Content, address_hash: str) -> bool:
    """Take the lease; False when somebody else has the mail."""
    now = ctx.now()
    params = {
        **_content(ctx, row, content, address_hash),
        "owner": str(ctx.run_id),
        "lease_until": now + CLAIM_LEASE,
        "now": now,
    }
    return session.one(TAKE, params) is not None


def hold(
    session: Session, ctx: JobContext, row: Row, content: Content, address_hash: str, until: datetime, code: str | None
) -> None:
    """Put a mail that no lease holds aside until `until`."""
    params = {**_content(ctx, row, content, address_hash), "until": until, "code": code, "now": ctx.now()}
    session.execute(HOLD, params)


def _content(ctx: JobContext, row: Row, content: Content, address_hash: str) -> dict[str, Any]:
    return {
        "id": row["id"],
        "sealed": seal(ctx, row["id"], content),
        "content_hash": content.hash,
        "hash": address_hash,
        "unknown": list(UNKNOWN_OUTCOMES),
        "lease_expired": LEASE_EXPIRED,
    }


def mark_sent(session: Session, ctx: JobContext, id: UUID, provider_id: str) -> bool:
    """The mail is out; False when the lease was lost meanwhile (then the next sender learns the same id)."""
    params = {"id": id, "provider_id": provider_id, "owner": str(ctx.run_id), "now": ctx.now()}
    return session.execute(SENT, params) == 1


def mark_skipped(session: Session, id: UUID, reason: str, now: datetime) -> None:
    """The mail will never be sent; its content is forgotten."""
    session.execute(SKIP, {"id": id, "reason": reason, "now": now})


def release(session: Session, ctx: JobContext, id: UUID, until: datetime, code: str | None) -> None:
    """Give a lease back although nothing was sent: the vendor refused for the rate, the quota or the account."""
    params = {"id": id, "until": until, "code": code, "owner": str(ctx.run_id), "now": ctx.now()}
    session.execute(RELEASE, {**params, "unknown": list(UNKNOWN_OUTCOMES)})


def mark_failed(
    session: Session, id: UUID, code: str, now: datetime, *, permanent: bool, owner: str | None
) -> str | None:
    """An attempt has failed, or (owner None) the mail cannot even be made. Its new status; None: the lease is lost."""
    params = {"id": id, "code": code, "permanent": permanent, "owner": owner, "now": now}
    row = session.one(FAIL, {**params, "unknown": list(UNKNOWN_OUTCOMES)})
    return str(row["status"]) if row else None


def due(session: Session, *, now: datetime, limit: int, priority: int = 9) -> list[UUID]:
    """Mails for `resume`, up to `limit`, of at most this priority number."""
    return [row["id"] for row in session.all(DUE, {"now": now, "limit": limit, "priority": priority})]


def forget_content(session: Session, *, now: datetime) -> int:
    """Forget the content of mails that ended more than SEALED_TTL ago; how many there were."""
    return session.execute(UNSEAL, {"before": now - SEALED_TTL})
