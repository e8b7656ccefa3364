"""Whom alerts may reach: the tenant's people and channels, and the platform's.

Settings come from people and may be of any shape: what is not of the documented one is passed over, never an error,
because an alert must get through. Addresses and numbers stay in memory; rows hold their hash and a reference.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time
from typing import Any, Literal
from zoneinfo import ZoneInfo

from shared.alerts.problem import SEVERITIES, rank
from shared.jobs.context import Session, Tenant
from shared.tenant_settings import config
from shared.time import quiet_until, zone_named

ScopeName = Literal["tenant", "platform"]
CHANNELS = ("pagerduty", "sms", "slack", "webhook", "email")
"""All but the dashboard, in the order in which they are sent: what wakes someone first."""
DEFAULT_CHANNELS: Mapping[str, frozenset[str]] = {
    "critical": frozenset(CHANNELS),
    "error": frozenset({"slack", "email", "webhook"}),
    "warning": frozenset({"slack"}),
    "info": frozenset({"slack"}),
}
SLACK_TYPES: Mapping[str, tuple[str, ...]] = {
    "security": ("system.security",),
    "apiFailure": ("system.api.error",),
    "creatorComplaint": ("creator.project.update", "system.alert"),
    "highValueSubmission": ("creator.project.update", "system.alert"),
}
"""Notification types of a tenant's Slack by the alert's kind, the first that is mapped; other kinds by severity."""
PLATFORM_COLUMN: Mapping[str, str] = {
    "critical": "channel_critical",
    "error": "channel_errors",
    "warning": "channel_warnings",
    "info": "channel_info",
}
_CHANNEL_NAMES = {"mail": "email", "pagerDuty": "pagerduty"}
_E164 = re.compile(r"\+[1-9]\d{6,14}")


@dataclass(frozen=True, slots=True)
class Target:
    """One receiver. `ref` names it without giving it away: a user's id, a channel's id, a place in a list."""

    hash: str
    ref: str | None
    address: str = field(repr=False)

    @classmethod
    def of(cls, address: str, ref: str | None) -> Target:
        return cls(hashlib.sha256(address.encode()).hexdigest(), ref, address)


@dataclass(frozen=True, slots=True)
class QuietHours:
    """A daily window in which only what is critical makes a noise."""

    start: time
    end: time
    zone: ZoneInfo

    def until(self, now: datetime) -> datetime | None:
        """The end of the window that `now` falls into."""
        return quiet_until(now, self.start, self.end, self.zone)


@dataclass(frozen=True, slots=True)
class Scope:
    """The receivers of one side. The books hold everybody who may be written to, by hash; the lists whom to tell."""

    name: ScopeName
    label: str
    """Slug, or Platform."""
    title: str
    """The organization's name."""
    emails: tuple[Target, ...] = ()
    phones: tuple[Target, ...] = ()
    email_book: Mapping[str, Target] = field(default_factory=dict)
    phone_book: Mapping[str, Target] = field(default_factory=dict)
    slack_channels: Mapping[str, str] = field(default_factory=dict)
    """Channel ids by notification type (tenant) or by severity (platform)."""
    slack_token: str | None = field(default=None, repr=False)
    """Encrypted; the platform's only: a tenant's is read where it is used."""
    mentions: Mapping[str, str | None] = field(default_factory=dict)
    pagerduty_key: str | None = field(default=None, repr=False)
    webhook_url: str | None = field(default=None, repr=False)
    webhook_secret: str | None = field(default=None, repr=False)
    quiet: QuietHours | None = None
    rules: tuple[Mapping[str, Any], ...] = ()
    sms_tenant: str | None = None
    """Slug of the tenant whose account sends the text messages."""

    def slack_channel(self, kind: str, severity: str) -> str | None:
        """Where an alert of this kind and severity is posted."""
        if self.name == "platform":
            return self.slack_channels.get(severity) or self.slack_channels.get("info")
        default = ("system.error.critical",) if rank(severity) >= rank("error") else ("system.alert",)
        types = SLACK_TYPES.get(kind, default)
        return next((self.slack_channels[type] for type in types if type in self.slack_channels), None)

    def channels(self, kind: str, source: str, severity: str) -> frozenset[str]:
        """The channels of an alert: of the first rule that fits, else the default of its severity."""
        for rule in self.rules:
            if _fits(rule, kind, source, severity):
                return frozenset(_CHANNEL_NAMES.get(str(name), str(name)) for name in rule["channels"])
        return DEFAULT_CHANNELS[severity]


def _fits(rule: Mapping[str, Any], kind: str, source: str, severity: str) -> bool:
    least = rule.get("minSeverity")
    return (
        rule.get("kind") in (None, kind)
        and rule.get("source") in (None, source)
        and (least is None or (least in SEVERITIES and rank(severity) >= rank(least)))
    )


# -- the tenant ------------------------------------------------------------------------------------------------------

PEOPLE = """
-- alerts: active users of the organization, whether they are in charge and want mail
SELECT u.id::text AS id, lower(trim(u.email)) AS email, m.role IN ('owner', 'admin') AS in_charge,
       COALESCE(p.email_enabled, true) AS wants_mail
FROM public.user_organizations m
JOIN public.users u ON u.id = m.user_id
LEFT JOIN tenant_user_notification_preferences p ON p.user_id = u.id
WHERE m.organization_id = %(organization_id)s AND u.status = 'active'
ORDER BY m.role = 'owner' DESC, u.created_at, u.id
"""

NAME = "SELECT name FROM public.organizations WHERE id = %(organization_id)s"

SLACK_CHANNELS = """
-- alerts: the tenant's Slack channels by notification type; none without an active workspace
SELECT notification_type, channel_id FROM tenant_slack_channel_mappings
WHERE is_enabled AND EXISTS (SELECT FROM tenant_slack_workspaces WHERE is_active)
ORDER BY updated_at, id
"""


def load_tenant(session: Session, tenant: Tenant) -> Scope:
    """The tenant's side, from its settings, users and Slack; in a session of the tenant."""
    settings = _object(config(session, "alerts.routing", {}))
    organization = {"organization_id": tenant.organization_id}
    people = session.all(PEOPLE, organization)
    users = [Target.of(row["email"], row["id"]) for row in people if row["email"]]
    in_charge = [
        Target.of(row["email"], row["id"]) for row in people if row["email"] and row["in_charge"] and row["wants_mail"]
    ]
    listed, further = _emails(settings.get("emails"), "emails"), _escalation(settings, _emails, "emails")
    phones = _phones(settings.get("phones"), "phones")
    webhook = _object(settings.get("webhook"))
    return Scope(
        name="tenant",
        label=tenant.slug,
        title=str(session.value(NAME, organization) or tenant.slug),
        emails=tuple(listed or in_charge),
        phones=tuple(phones),
        email_book=_book([*further, *listed, *users]),
        phone_book=_book([*_escalation(settings, _phones, "phones"), *phones]),
        slack_channels={row["notification_type"]: row["channel_id"] for row in session.all(SLACK_CHANNELS)},
        mentions=dict.fromkeys(("critical", "error"), _word(settings.get("slackMention"))),
        pagerduty_key=_word(_object(settings.get("pagerDuty")).get("routingKeyEncrypted")),
        webhook_url=_word(webhook.get("url")),
        webhook_secret=_word(webhook.get("secretEncrypted")),
        quiet=_quiet(settings.get("quietHours")),
        rules=tuple(rule for rule in _list(settings.get("rules")) if isinstance(_object(rule).get("channels"), list)),
        sms_tenant=tenant.slug,
    )


# -- the platform ----------------------------------------------------------------------------------------------------

PLATFORM_SETTINGS = "SELECT value FROM public.platform_config WHERE key = 'alerts'"

SUPER_ADMINS = """
-- alerts: the addresses of the platform's own people
SELECT u.id::text AS id, lower(trim(u.email)) AS email
FROM public.super_admin_users s JOIN public.users u ON u.id = s.user_id
WHERE s.is_active AND u.status = 'active' ORDER BY u.created_at, u.id
"""

PLATFORM_SLACK = """
-- alerts: the platform's Slack workspace
SELECT bot_token_encrypted, channel_critical, channel_errors, channel_warnings, channel_info, mention_critical,
       mention_errors
FROM public.platform_slack_workspace WHERE is_active ORDER BY created_at DESC, id LIMIT 1
"""


def load_platform(session: Session) -> Scope:
    """The platform's side; in a platform session."""
    settings = _object(session.value(PLATFORM_SETTINGS))
    admins = [Target.of(row["email"], row["id"]) for row in session.all(SUPER_ADMINS) if row["email"]]
    listed, further = _emails(settings.get("emails"), "emails"), _escalation(settings, _emails, "emails")
    phones = _phones(settings.get("phones"), "phones")
    slack = session.one(PLATFORM_SLACK) or {}
    webhook = _object(settings.get("webhook"))
    channels = {severity: _word(slack.get(column)) for severity, column in PLATFORM_COLUMN.items()}
    return Scope(
        name="platform",
        label="Platform",
        title="Platform",
        emails=tuple(listed or admins),
        phones=tuple(phones),
        email_book=_book([*further, *listed, *admins]),
        phone_book=_book([*_escalation(settings, _phones, "phones"), *phones]),
        slack_channels={severity: channel for severity, channel in channels.items() if channel},
        slack_token=slack.get("bot_token_encrypted"),
        mentions={"critical": slack.get("mention_critical"), "error": slack.get("mention_errors")},
        pagerduty_key=_word(_object(settings.get("pagerDuty")).get("routingKeyEncrypted")),
        webhook_url=_word(webhook.get("url")),
        webhook_secret=_word(webhook.get("secretEncrypted")),
        sms_tenant=_word(settings.get("smsTenant")),
    )


# -- settings of any shape -------------------------------------------------------------------------------------------


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()


def _word(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _emails(value: Any, name: str) -> list[Target]:
    texts = [(n, text.strip().lower()) for n, text in enumerate(_list(value)) if isinstance(text, str)]
    return [Target.of(text, f"{name}:{n}") for n, text in texts if re.fullmatch(r"[^@\s]+@[^@\s]+", text)]


def _phones(value: Any, name: str) -> list[Target]:
    texts = [(n, re.sub(r"[\s().-]", "", text)) for n, text in enumerate(_list(value)) if isinstance(text, str)]
    return [Target.of(text, f"{name}:{n}") for n, text in texts if _E164.fullmatch(text)]


def _escalation(settings: Mapping[str, Any], read: Any, member: str) -> list[Target]:
    levels = enumerate(_list(settings.get("escalation")))
    found: list[Target] = []
    for n, level in levels:
        found += read(_object(level).get(member), f"escalation:{n}:{member}")
    return found


def _book(targets: Iterable[Target]) -> dict[str, Target]:
    """By hash; of two with one address the later one names it."""
    return {target.hash: target for target in targets}


def _quiet(value: Any) -> QuietHours | None:
    settings = _object(value)
    if settings.get("enabled") is not True:
        return None
    start, end = _time(settings.get("start")), _time(settings.get("end"))
    zone = zone_named(str(settings.get("timezone") or ""))
    if start is None or end is None or zone is None or start == end:
        return None
    return QuietHours(start, end, zone)


def _time(value: Any) -> time | None:
    """HH:MM, or a whole hour as a number."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 23:
        return time(value)
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", value) if isinstance(value, str) else None
    return time(int(match[1]), int(match[2])) if match else None
