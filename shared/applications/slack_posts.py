"""A notice about a creator in the tenant's Slack: where it goes, how it looks, and the log that the apps show.

Where: the tenant's own settings (tenant_config creator.slack_notifications), else the channel that the notice's type,
or its fallback, is mapped to. The text: the settings' template, else tenant_slack_templates, else the built-in one.
Values are escaped for mrkdwn and cut, so nobody's name becomes a link or a mention.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from psycopg.types.json import Jsonb

from shared import slack
from shared.applications.links import admin_page, admin_url
from shared.applications.slack_types import NOTICES, REVIEW_ESCALATIONS, SlackNotice
from shared.events.alerts import AlertApiFailure
from shared.jobs.context import JobContext, Row, Session
from shared.jobs.errors import RateLimited
from shared.mail.rendering import Scope, fill
from shared.tenant_settings import config
from shared.time import tenant_zone

SETTINGS_KEY = "creator.slack_notifications"
VALUE_MAX = 500
"""Characters of one value in a text."""
SECTION_MAX = 3000
HEADER_MAX = 150
FIELD_MAX = 2000
MAPPING_GONE = ("channel_not_found", "is_archived")
"""The channel is no more: its mapping is switched off."""
TOKEN_REFUSED = ("invalid_auth", "token_revoked", "account_inactive")
"""The workspace is connected no more."""
TOLD = (*MAPPING_GONE, *TOKEN_REFUSED, "not_in_channel", "missing_scope")
"""Refusals that somebody has to mend: told once a day."""

CHANNEL = """
-- applications: the tenant's workspace and the mappings of notification types, the nearest first, with the template of
-- the type itself: that of a fallback speaks of something else
SELECT m.channel_id, m.is_enabled, m.notification_type, t.blocks, t.fallback_text
FROM tenant_slack_workspaces w
LEFT JOIN LATERAL unnest(%(types)s::text[]) WITH ORDINALITY AS wanted (type, position) ON true
LEFT JOIN tenant_slack_channel_mappings m ON m.notification_type = wanted.type
LEFT JOIN tenant_slack_templates t ON t.notification_type = wanted.type AND wanted.position = 1 AND t.is_active
WHERE w.is_active
ORDER BY wanted.position
"""
LOG = """
-- applications: what became of a post, once per status
INSERT INTO tenant_slack_notifications (tenant_id, notification_type, channel_id, message_ts, thread_ts, status,
                                        error_message, payload, created_at)
SELECT current_setting('cgk.tenant_id')::uuid, %(type)s::text, %(channel)s::text, %(ts)s::text, %(thread)s::text,
       %(status)s::text, %(code)s::text, %(payload)s, %(now)s
WHERE NOT EXISTS (
    SELECT FROM tenant_slack_notifications n
    WHERE n.notification_type = %(type)s::text AND n.status = %(status)s::text AND n.payload ->> 'dedupeKey' = %(key)s
      AND n.message_ts IS NOT DISTINCT FROM %(ts)s::text
)
"""
DISABLE_MAPPING = """
-- applications: the channel is gone
UPDATE tenant_slack_channel_mappings SET is_enabled = false, updated_at = %(now)s
WHERE channel_id = %(channel)s AND is_enabled
"""
DISABLE_WORKSPACE = """
-- applications: Slack refuses the token
UPDATE tenant_slack_workspaces SET is_active = false, updated_at = %(now)s WHERE is_active
"""


@dataclass(frozen=True, slots=True)
class Look:
    """Where a notice goes and how: `template` mrkdwn, or `blocks` of the tenant's own with their fallback text."""

    channel: str
    template: str | None
    blocks: list[dict[str, Any]] | None
    buttons: bool
    emoji: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A notice that is to be posted. `metadata`: ids and facts; `fields`, `lines`, `links`: more of the message."""

    type: str
    creator_id: str
    variables: Mapping[str, Any] = field(repr=False)
    metadata: Mapping[str, Any]
    dedupe_key: str
    thread_ts: str | None = None
    thread_channel: str | None = None
    """Where the message stands that `thread_ts` names; None: wherever the notice goes."""
    fields: Sequence[tuple[str, str]] = field(default=(), repr=False)
    links: Sequence[tuple[str, str]] = field(default=(), repr=False)
    text: str | None = field(default=None, repr=False)
    """Instead of the type's built-in text."""


@dataclass(frozen=True, slots=True)
class Posted:
    """`status` sent, duplicate, skipped (`reason` not_configured or disabled) or failed (`reason`: Slack's word)."""

    status: Literal["sent", "duplicate", "skipped", "failed"]
    channel: str | None = None
    ts: str | None = None
    reason: str | None = None


class _Mrkdwn(Scope):
    """Values as they may stand in mrkdwn."""

    def text(self, name: str) -> str:
        return slack.escape(super().text(name)[:VALUE_MAX])


def find_look(session: Session, type: str) -> Look | str:
    """Where and how; or why not: not_configured, disabled."""
    notice = NOTICES[type]
    rows = session.all(CHANNEL, {"types": notice.types})
    if not rows:
        return "not_configured"  # no active workspace
    own = _own_settings(session, type)
    if own.get("enabled") is False:
        return "disabled"
    mapped = next((row for row in rows if row["channel_id"] and row["is_enabled"]), None)
    channel = own.get("channelId") or (mapped and mapped["channel_id"])
    if not channel:
        return "disabled" if any(row["channel_id"] for row in rows) else "not_configured"
    return _look(notice, str(channel), own, next((row for row in rows if row["blocks"] is not None), None))


def _own_settings(session: Session, type: str) -> Mapping[str, Any]:
    """The entry of the type: of a list, or of an object by type."""
    value = config(session, SETTINGS_KEY, [])
    if isinstance(value, dict):
        entry = value.get(type)
        return entry if isinstance(entry, dict) else {}
    for entry in value if isinstance(value, list) else ():
        if isinstance(entry, dict) and type in (entry.get("notificationType"), entry.get("type")):
            return entry
    return {}


def _look(notice: SlackNotice, channel: str, own: Mapping[str, Any], template: Row | None) -> Look:
    blocks = template["blocks"] if template and isinstance(template["blocks"], list) else None
    text = own.get("messageTemplate") or (template["fallback_text"] if template else None)
    return Look(
        channel,
        str(text) if text else None,
        None if own.get("messageTemplate") else blocks,
        own.get("includeActionButtons") is not False,
        str(own.get("customEmoji") or notice.emoji),
    )


def post_notice(ctx: JobContext, notice: Notice) -> Posted:
    """Post a notice and write it down; call it outside any session.

    Raises RateLimited SLACK_RATE_LIMITED (written down once), Transient SLACK_UNAVAILABLE, SLACK_TIMEOUT,
    Deferred SLACK_IN_FLIGHT. Refusals are values: the mapping or workspace is switched off and somebody is told.
    """
    with ctx.tenant_session(read_only=True) as session:
        look = find_look(session, notice.type)
        zone = tenant_zone(session)
    if isinstance(look, str):
        return Posted("skipped", reason=look)
    notice = _in_thread(notice, look.channel)
    scope = _Mrkdwn(notice.variables, zone)
    at = f"{ctx.now().astimezone(zone):%Y-%m-%d %H:%M %Z}"
    text, blocks = _message(notice, look, scope, at, admin_url(ctx))
    try:
        done = slack.post(ctx, look.channel, text, blocks, dedupe_key=notice.dedupe_key, thread_ts=notice.thread_ts)
    except RateLimited as error:
        with ctx.tenant_session() as session:
            _log(session, ctx, notice, look.channel, "rate_limited", None, error.code)
        raise
    if done.status == "not_configured":
        return Posted("skipped", reason="not_configured")
    channel = done.channel_id or look.channel
    with ctx.tenant_session() as session:
        status = "failed" if done.status == "failed" else "sent"
        _log(session, ctx, notice, channel, status, done.ts, done.code)
        if done.status == "failed":
            _refused(session, ctx, notice, look.channel, done.code or "unknown_error")
    if done.status == "failed":
        return Posted("failed", channel, None, done.code)
    return Posted("duplicate" if done.status == "duplicate" else "sent", channel, done.ts)


def _in_thread(notice: Notice, channel: str) -> Notice:
    """The notice as an answer only where the first message stands: a thread is of one channel. `#name` is taken for
    that channel, because what was kept is the channel's id."""
    elsewhere = notice.thread_channel not in (None, channel) and not channel.startswith("#")
    return replace(notice, thread_ts=None) if elsewhere else notice


# -- the message -----------------------------------------------------------------------------------------------------


def _message(notice: Notice, look: Look, scope: Scope, at: str, admin: str) -> tuple[str, list[dict[str, Any]]]:
    """Fallback text and blocks."""
    known = NOTICES[notice.type]
    template = look.template or notice.text or _escalation(notice) or known.text
    text = fill(template, scope, html=False).strip()[:SECTION_MAX] or known.label
    first_line = text.split("\n", 1)[0]
    if look.blocks is not None:
        return first_line, [_filled(block, scope) for block in look.blocks]
    header = f"{look.emoji} {known.label}"[:HEADER_MAX]
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": header, "emoji": True}},
        {"type": "section", "text": {"type": "mrkdwn", "text": text}},
    ]
    if notice.fields:
        blocks.append({"type": "section", "fields": [_field(name, value) for name, value in notice.fields[:10]]})
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": f"At {at}"}]})
    if look.buttons and (buttons := _buttons(notice, admin)):
        blocks.append({"type": "actions", "elements": buttons})
    return first_line, blocks


def _escalation(notice: Notice) -> str | None:
    if notice.type != "escalation":
        return None
    kind, days = notice.metadata.get("kind"), notice.metadata.get("daysWaiting", notice.metadata.get("days"))
    text = REVIEW_ESCALATIONS.get(str(kind), NOTICES["escalation"].text)
    facts = [f"Kind: {slack.escape(str(kind))}"] if kind else []
    facts += [f"Days: {slack.escape(str(days))}"] if days is not None else []
    return "\n".join([text, *facts])


def _field(name: str, value: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": f"*{name}*\n{value}"[:FIELD_MAX]}


def _buttons(notice: Notice, admin: str) -> list[dict[str, Any]]:
    links = list(notice.links)
    if admin:
        links.insert(0, admin_page(admin, notice.creator_id, notice.metadata))
    return [
        {"type": "button", "text": {"type": "plain_text", "text": label[:75]}, "url": url}
        for label, url in links
        if url.startswith("https://") and len(url) <= SECTION_MAX
    ]


def _filled(value: Any, scope: Scope) -> Any:
    """The tenant's own blocks with the variables in their texts."""
    if isinstance(value, str):
        return fill(value, scope, html=False)
    if isinstance(value, list):
        return [_filled(each, scope) for each in value]
    if isinstance(value, dict):
        return {name: _filled(each, scope) for name, each in value.items()}
    return value


# -- what stays of it ------------------------------------------------------------------------------------------------


def _log(
    session: Session, ctx: JobContext, notice: Notice, channel: str, status: str, ts: str | None, code: str | None
) -> None:
    ids = {name: notice.metadata[name] for name in sorted(notice.metadata) if name.endswith("Id")}
    params = {
        "type": NOTICES[notice.type].mapping,
        "channel": channel[:50],
        "ts": ts,
        "thread": notice.thread_ts,
        "status": status,
        "code": code,
        "key": notice.dedupe_key,
        "payload": Jsonb({"creatorId": notice.creator_id, **ids, "dedupeKey": notice.dedupe_key}),
        "now": ctx.now(),
    }
    session.execute(LOG, params)


def _refused(session: Session, ctx: JobContext, notice: Notice, channel: str, code: str) -> None:
    """Switch off what cannot be used, and tell it once a day."""
    now = ctx.now()
    if code in MAPPING_GONE:
        session.execute(DISABLE_MAPPING, {"channel": channel, "now": now})
    if code in TOKEN_REFUSED:
        session.execute(DISABLE_WORKSPACE, {"now": now})
    if code not in TOLD:
        return
    key = f"slack:{code}:{now:%Y-%m-%d}"
    alert = AlertApiFailure(
        severity="warning",
        source="slack",
        title="Slack refuses notices about creators",
        message=f"A notice could not be posted: {code}. Check the channel and the connection in the admin app.",
        dedupe_key=key,
        context={"code": code, "notificationType": notice.type},
    )
    session.emit(alert, key=key)
