"""Post a message once, although Slack has no idempotency key.

In a tenant's workspace the intent comes first, one row of slack_posts per `dedupe_key`:

    sending   under way, until its lease ends (2 minutes)
    sent      posted: a repetition is answered with the message's ts
    failed    surely not posted: a repetition tries again
    unknown   time-out, lost connection, 5xx, or a sender that died: repeated once, a doubled notice being better
              than none; after that it stays unknown and counts as failed with `outcome_unknown`

The platform's workspace has no such table; its caller keeps the intent (alert_deliveries).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from shared.integrations.credentials import decrypt
from shared.integrations.http import surely_not_sent
from shared.jobs.context import JobContext, Session
from shared.jobs.errors import Deferred, JobError, RateLimited
from shared.rate_limiter import Rate
from shared.slack.api import Refused, call

LEASE_S = 120
"""Seconds after which a post under way counts as lost; a call takes at most 10."""
MAX_UNKNOWN = 2
"""Sendings of one message whose outcome may be unknown: the first, and one repetition."""
OUTCOME_UNKNOWN = "outcome_unknown"
PACE_WAIT_S = 5.0
"""Longest wait in the run for a channel's turn; beyond it the caller comes back later."""
PLAIN_TEXT_MAX = 3000
"""Characters of the plain text that is tried when Slack refuses the blocks."""
TOO_RICH = ("msg_too_long", "msg_blocks_too_long", "invalid_blocks", "invalid_blocks_format", "invalid_attachments")

Blocks = Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Workspace:
    """A workspace that is not the tenant's own: the platform's."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a post. `ts` names the message (sent, duplicate), `code` is Slack's word (failed)."""

    status: Literal["sent", "duplicate", "not_configured", "failed"]
    channel_id: str | None = None
    ts: str | None = None
    code: str | None = None


WORKSPACE = """
-- slack: the tenant's workspace
SELECT bot_token_encrypted FROM tenant_slack_workspaces WHERE is_active ORDER BY created_at DESC, id LIMIT 1
"""

MAPPING = """
-- slack: the channel of the first notification type that has one
SELECT m.channel_id
FROM unnest(%(types)s::text[]) WITH ORDINALITY AS wanted (type, position)
JOIN tenant_slack_channel_mappings m ON m.notification_type = wanted.type
WHERE m.is_enabled
ORDER BY wanted.position, m.id LIMIT 1
"""

TAKE = """
-- slack: the intent to post, or to post again what was surely not, or once more what is unknown
INSERT INTO slack_posts (dedupe_key, channel_id, status, attempts, thread_ts, lease_expires_at, created_at)
VALUES (%(key)s, %(channel)s, 'sending', 1, %(thread_ts)s, %(lease_until)s, %(now)s)
ON CONFLICT (dedupe_key) DO UPDATE SET
    status = 'sending', channel_id = EXCLUDED.channel_id, thread_ts = EXCLUDED.thread_ts, error_code = NULL,
    lease_expires_at = EXCLUDED.lease_expires_at,
    attempts = CASE slack_posts.status WHEN 'failed' THEN 1 ELSE slack_posts.attempts + 1 END
WHERE slack_posts.status = 'failed'
   OR (slack_posts.attempts < %(max_unknown)s
       AND (slack_posts.status = 'unknown'
            OR (slack_posts.status = 'sending' AND slack_posts.lease_expires_at <= %(now)s)))
RETURNING attempts
"""

STATE = """
-- slack: why a post could not be taken
SELECT status, channel_id, message_ts, status = 'sending' AND lease_expires_at > %(now)s AS in_flight,
       EXTRACT(EPOCH FROM lease_expires_at - %(now)s)::float8 AS left_s
FROM slack_posts WHERE dedupe_key = %(key)s
"""

END = """
-- slack: what became of the post
UPDATE slack_posts
SET status = %(status)s, message_ts = %(ts)s, error_code = %(code)s, channel_id = COALESCE(%(channel)s, channel_id),
    sent_at = CASE %(status)s WHEN 'sent' THEN %(now)s::timestamptz END, lease_expires_at = NULL
WHERE dedupe_key = %(key)s AND status = 'sending'
"""


def channel_of(session: Session, types: Sequence[str]) -> str | None:
    """The channel id of the first of the notification `types` that is mapped and enabled, in an active workspace."""
    if session.one(WORKSPACE) is None:
        return None
    found = session.value(MAPPING, {"types": list(types)})
    return str(found) if found else None


def post(
    ctx: JobContext,
    channel: str,
    text: str,
    blocks: Blocks = (),
    *,
    dedupe_key: str,
    thread_ts: str | None = None,
    workspace: Workspace | None = None,
    color: str | None = None,
) -> Outcome:
    """Post one message; call it outside any session, after your commit.

    `channel`: a channel id, `#name`, or a notification type that the tenant mapped to a channel. `text` is the
    fallback and notification text, mrkdwn; with `color` (#rrggbb) the blocks stand beside a bar and the text above.
    Raises RateLimited SLACK_RATE_LIMITED, Transient SLACK_UNAVAILABLE, SLACK_TIMEOUT, CREDENTIAL_UNREADABLE, Deferred
    SLACK_IN_FLIGHT (another sender holds the intent, or died with it; no attempt is burnt). Refusals of Slack are
    values: `failed` with Slack's word.
    """
    message = _Message(text, tuple(blocks), thread_ts, color)
    if workspace is not None:
        return _send(ctx, workspace.token, channel, message)
    with ctx.tenant_session() as session:
        token, channel_id = _resolve(session, channel)
        if token is None or channel_id is None:
            return Outcome("not_configured")
        before = _take(session, ctx, dedupe_key, channel_id, thread_ts)
    if before is not None:
        return before
    plain = decrypt(ctx, token)
    try:
        outcome = _send(ctx, plain, channel_id, message)
    except JobError as error:
        known = surely_not_sent(error) or error.code == "SLACK_RATE_LIMITED"
        _end(ctx, dedupe_key, "failed" if known else "unknown", None, None, error.code)
        raise
    _end(ctx, dedupe_key, outcome.status, outcome.channel_id, outcome.ts, outcome.code)
    return outcome


def _resolve(session: Session, channel: str) -> tuple[str | None, str | None]:
    """The sealed token of the active workspace and the channel's id or #name."""
    token = session.value(WORKSPACE)
    if token is None or channel.startswith("#") or re.fullmatch(r"[CDG][A-Z0-9]+", channel):
        return token, channel
    return token, session.value(MAPPING, {"types": [channel]})


def _take(session: Session, ctx: JobContext, key: str, channel_id: str, thread_ts: str | None) -> Outcome | None:
    """None when the intent is ours; else what became of the message before."""
    now = ctx.now()
    params = {
        "key": key,
        "channel": channel_id,
        "thread_ts": thread_ts,
        "lease_until": now + timedelta(seconds=LEASE_S),
        "now": now,
        "max_unknown": MAX_UNKNOWN,
    }
    if session.one(TAKE, params) is not None:
        return None
    state = session.one(STATE, {"key": key, "now": now})
    if state is None or state["in_flight"]:
        left_s = float(state["left_s"]) if state else 1.0
        raise Deferred("SLACK_IN_FLIGHT", "another sender posts this message", after_s=max(1.0, left_s))
    if state["status"] == "sent":
        return Outcome("duplicate", state["channel_id"], state["message_ts"])
    return Outcome("failed", state["channel_id"], None, OUTCOME_UNKNOWN)


def _end(ctx: JobContext, key: str, status: str, channel: str | None, ts: str | None, code: str | None) -> None:
    params = {"key": key, "status": status, "channel": channel, "ts": ts, "code": code, "now": ctx.now()}
    with ctx.tenant_session() as session:
        session.execute(END, params)


# -- the call --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Message:
    text: str
    blocks: tuple[dict[str, Any], ...]
    thread_ts: str | None
    color: str | None

    def fields(self, channel: str, *, plain: bool) -> dict[str, Any]:
        """The form of chat.postMessage; `plain`: the text alone, cut."""
        found: dict[str, Any] = {
            "channel": channel,
            "text": self.text[:PLAIN_TEXT_MAX] if plain else self.text,
            "thread_ts": self.thread_ts,
            "unfurl_links": False,
            "unfurl_media": False,
        }
        if self.blocks and not plain:
            if self.color:
                found["attachments"] = [{"color": self.color, "fallback": self.text, "blocks": self.blocks}]
            else:
                found["blocks"] = self.blocks
        return found


def per_channel(channel: str) -> Rate:
    """Slack takes one message a second and channel, and bears short bursts."""
    return Rate("slack", per_s=1, burst=1, bucket=f"post:{channel}")


def _send(ctx: JobContext, token: str, channel: str, message: _Message) -> Outcome:
    """Post, with one remedy each: join a public channel, drop blocks that Slack refuses."""
    rate = per_channel(channel)
    ctx.limit(rate, shared=_bucket_owner(token), wait_s=PACE_WAIT_S)
    try:
        return _posted(ctx, token, channel, message)
    except RateLimited as error:
        ctx.limit_hit(rate, error.after_s, shared=_bucket_owner(token))
        raise


def _bucket_owner(token: str) -> str:
    """The workspace, by its token: the platform's channels are posted to by many tenants' runs."""
    return "slack:" + hashlib.sha256(token.encode()).hexdigest()[:16]


def _posted(ctx: JobContext, token: str, channel: str, message: _Message) -> Outcome:
    answer = call(ctx, "chat.postMessage", token, message.fields(channel, plain=False))
    if isinstance(answer, Refused) and answer.code == "not_in_channel" and channel.startswith("C"):
        joined = call(ctx, "conversations.join", token, {"channel": channel})
        if not isinstance(joined, Refused):
            answer = call(ctx, "chat.postMessage", token, message.fields(channel, plain=False))
    if isinstance(answer, Refused) and answer.code in TOO_RICH:
        answer = call(ctx, "chat.postMessage", token, message.fields(channel, plain=True))
    if isinstance(answer, Refused):
        return Outcome("failed", channel, None, answer.code)
    return Outcome("sent", str(answer.get("channel") or channel), str(answer.get("ts") or "") or None)
