"""How an alert reads on each channel."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from shared.slack import escape

COLORS: Mapping[str, str] = {"critical": "#dc2626", "error": "#f59e0b", "warning": "#eab308", "info": "#3b82f6"}
RECOVERED_COLOR = "#16a34a"
HEADER_MAX = 150
SECTION_MAX = 3000
FIELD_MAX = 2000
SMS_MAX = 160
SUMMARY_MAX = 1024
GSM7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
"""GSM 03.38, the basic set: characters that count once."""
GSM7_TWICE = frozenset("^{}\\[~]|€")
"""The extension: characters that count twice."""


@dataclass(frozen=True, slots=True)
class Facts:
    """An alert's row as it is told."""

    id: UUID
    kind: str
    severity: str
    source: str
    title: str
    message: str
    dedupe_key: str
    context: Mapping[str, Any]
    url: str | None
    occurrences: int
    since: datetime
    status: str
    current_value: Decimal | None
    threshold_value: Decimal | None
    resolution: str | None

    @property
    def since_text(self) -> str:
        """2026-11-20 12:00 UTC."""
        return f"{self.since.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def is_recovery(notice: str) -> bool:
    """Whether a notice tells the end of the problem."""
    return notice.startswith("recovered:")


def headline(facts: Facts, notice: str) -> str:
    """`CRITICAL: <title>`, at most 150 characters."""
    word = "RECOVERED" if is_recovery(notice) else facts.severity.upper()
    return f"{word}: {facts.title}"[:HEADER_MAX]


def message_of(facts: Facts, notice: str) -> str:
    """The alert's message, or how it ended."""
    return (facts.resolution or "recovered") if is_recovery(notice) else facts.message


# -- Slack -----------------------------------------------------------------------------------------------------------


def slack_blocks(facts: Facts, notice: str, tenant: str, now: datetime) -> list[dict[str, Any]]:
    """Header, message, facts, id and time, and a button to where it is mended."""
    message = _cut(escape(message_of(facts, notice)), SECTION_MAX)
    blocks: list[dict[str, Any]] = [
        {"type": "header", "text": {"type": "plain_text", "text": headline(facts, notice)}},
        {"type": "section", "text": {"type": "mrkdwn", "text": message}},
        {"type": "section", "fields": [_field(name, value) for name, value in _fields(facts, tenant)]},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": f"{facts.id} at {now.astimezone(UTC):%H:%M} UTC"}]},
    ]
    if facts.url:
        button = {"type": "button", "text": {"type": "plain_text", "text": "Open"}, "url": facts.url}
        blocks.append({"type": "actions", "elements": [button]})
    return blocks


def slack_color(facts: Facts, notice: str) -> str:
    """The bar beside the message."""
    return RECOVERED_COLOR if is_recovery(notice) else COLORS[facts.severity]


def _fields(facts: Facts, tenant: str) -> list[tuple[str, str]]:
    fields = [("Severity", facts.severity), ("Source", facts.source), ("Tenant", tenant)]
    if facts.current_value is not None:
        limit = f" (threshold {facts.threshold_value})" if facts.threshold_value is not None else ""
        fields.append(("Value", f"{facts.current_value}{limit}"))
    return [*fields, ("Occurrences", str(facts.occurrences)), ("Since", facts.since_text)]


def _field(name: str, value: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": _cut(f"*{name}*\n{escape(value)}", FIELD_MAX)}


def _cut(text: str, most: int) -> str:
    """At most `most` characters, never half an entity such as &amp;."""
    return text if len(text) <= most else re.sub(r"&[a-z]*$", "", text[: most - 1]) + "…"


# -- the others ------------------------------------------------------------------------------------------------------


def sms(facts: Facts, notice: str) -> str:
    """`CGK <SEVERITY> <source>: <title> [<first 8 of the id>]` in one message: 160 places of GSM-7."""
    word = "RECOVERED" if is_recovery(notice) else facts.severity.upper()
    tail = f" [{str(facts.id)[:8]}]"
    head = "".join(c if c in GSM7 or c in GSM7_TWICE else "?" for c in f"CGK {word} {facts.source}: {facts.title}")
    while places(head) + places(tail) > SMS_MAX:
        head = head[:-1]
    return head + tail


def places(text: str) -> int:
    """How many places of GSM-7 a text takes."""
    return sum(2 if char in GSM7_TWICE else 1 for char in text)


def pagerduty_key(facts: Facts, tenant: str) -> str:
    """dedup_key: the same for all events of one problem of one tenant, whatever row holds it."""
    return hashlib.sha256(f"{tenant}{facts.dedupe_key}".encode()).hexdigest()


def pagerduty(facts: Facts, notice: str, tenant: str, routing_key: str) -> dict[str, Any]:
    """An event of PagerDuty's Events API v2."""
    event = {"routing_key": routing_key, "dedup_key": pagerduty_key(facts, tenant)}
    if is_recovery(notice):
        return {**event, "event_action": "resolve"}
    payload = {
        "summary": f"{headline(facts, notice)}: {facts.message}"[:SUMMARY_MAX],
        "source": "cgk",
        "severity": facts.severity,
        "timestamp": facts.since.isoformat(),
        "component": facts.source,
        "group": tenant,
        "class": facts.kind,
        "custom_details": dict(facts.context),
    }
    links = {"links": [{"href": facts.url, "text": "Open"}]} if facts.url else {}
    return {**event, "event_action": "trigger", "payload": payload, **links}


def webhook(facts: Facts, notice: str, tenant: str) -> dict[str, Any]:
    """The body for a webhook of the tenant or the platform."""
    return {
        "type": "platform_alert_resolved" if is_recovery(notice) else "platform_alert",
        "alert": {
            "id": str(facts.id),
            "severity": facts.severity,
            "kind": facts.kind,
            "source": facts.source,
            "tenant": tenant,
            "title": facts.title,
            "message": message_of(facts, notice),
            "context": dict(facts.context),
            "occurrences": facts.occurrences,
            "createdAt": facts.since.isoformat(),
        },
    }


def mail_variables(facts: Facts, notice: str, tenant_name: str) -> dict[str, str]:
    """Variables of the templates alert_notice and alert_recovered."""
    return {
        "severity": facts.severity,
        "title": facts.title,
        "message": message_of(facts, notice),
        "source": facts.source,
        "tenantName": tenant_name,
        "since": facts.since_text,
        "occurrences": str(facts.occurrences),
        "url": facts.url or "",
    }
