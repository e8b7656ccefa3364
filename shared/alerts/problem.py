"""An alert as it is stored and told: scrubbed, bounded, and named by its fingerprint."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from shared.events.alerts import Alert, Severity
from shared.jobs.context import JobContext
from shared.privacy import scrub, scrub_values

SEVERITIES: tuple[Severity, ...] = ("info", "warning", "error", "critical")
"""From low to high."""
PRIORITY: Mapping[str, str] = {"critical": "p1", "error": "p2", "warning": "p3", "info": "p3"}
"""The table's three levels; the exact word stands in metadata.severity."""
OPS_KINDS = frozenset({"critical", "systemError", "apiFailure", "security"})
"""Alerts about how things run; every other kind is the tenant's business and never leaves the tenant."""

CONTEXT_KEYS = 20
CONTEXT_BYTES = 8 * 1024
CONTEXT_LEVELS = 3

TableSource = Literal["health_check", "threshold", "error_tracker", "manual"]


def rank(severity: str) -> int:
    """0 (info) to 3 (critical)."""
    return SEVERITIES.index(severity)


@dataclass(frozen=True, slots=True)
class Problem:
    """One event about a problem. `event_id` tells a repetition of the same event from the problem's next occurrence."""

    kind: str
    severity: Severity
    source: str
    title: str
    message: str
    dedupe_key: str
    context: Mapping[str, Any]
    occurred_at: datetime
    event_id: str
    resolve: bool = False
    url: str | None = None
    notify_emails: tuple[str, ...] = field(default=(), repr=False)
    notify_phones: tuple[str, ...] = field(default=(), repr=False)
    metric: str | None = None
    current_value: Decimal | None = None
    threshold_value: Decimal | None = None

    @classmethod
    def of(
        cls,
        ctx: JobContext,
        payload: Alert,
        *,
        severity: Severity,
        source: str,
        title: str,
        message: str,
        **more: Any,
    ) -> Problem:
        """From an alert payload whose severity, source, title and message the job has settled."""
        kind = type(payload).event_name.removeprefix("alert.")
        source = source.lower()
        context = {**(payload.metadata or {}), **(payload.context or {})}
        return cls(
            kind=kind,
            severity=severity,
            source=source,
            title=scrub(title),
            message=scrub(message),
            dedupe_key=payload.dedupe_key or fingerprint(kind, source, title),
            context=bounded(scrub_values(context, keep_ip=kind == "security")),
            occurred_at=payload.occurred_at or ctx.delivery.sent_at,
            event_id=hashlib.sha256(ctx.delivery.id.encode()).hexdigest()[:16],
            resolve=payload.resolve,
            url=payload.url,
            **more,
        )

    @property
    def ops(self) -> bool:
        """Whether it may leave the tenant."""
        return self.kind in OPS_KINDS

    @property
    def audience(self) -> str | None:
        """'platform' or 'tenant' when the publisher keeps it away from the other."""
        wanted = self.context.get("audience")
        return wanted if wanted in ("platform", "tenant") else None

    @property
    def table_source(self) -> TableSource:
        """The column `source` of platform_alerts."""
        if self.source == "health" or self.source.startswith("health."):
            return "health_check"
        if self.metric is not None and self.current_value is not None and self.threshold_value is not None:
            return "threshold"
        return "manual" if self.context.get("manual") is True else "error_tracker"


def fingerprint(kind: str, source: str, title: str) -> str:
    """The key of a problem that its publisher did not name: auto: and 32 hex digits; digits of the title count as one.

    >>> fingerprint("critical", "db", "3 of 5 down") == fingerprint("critical", "db", "4 of 12 down")
    True
    """
    text = f"{kind}|{source}|{re.sub(r'[0-9]+', '#', title)}"
    return "auto:" + hashlib.sha256(text.encode()).hexdigest()[:32]


def bounded(context: dict[str, Any]) -> dict[str, Any]:
    """At most 20 keys, 8 KiB of JSON and 3 levels; what is cut shows as `_cut`: true."""
    kept = _level(dict(list(context.items())[:CONTEXT_KEYS]), 1)
    cut = kept != context
    while kept and _size(kept) > CONTEXT_BYTES:
        largest = max(kept, key=lambda key: len(json.dumps(kept[key], ensure_ascii=False)))
        del kept[largest]
        cut = True
    return {**kept, "_cut": True} if cut else kept


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())


def _level(value: Any, level: int) -> Any:
    if not isinstance(value, dict | list):
        return value
    if level > CONTEXT_LEVELS:
        return None
    if isinstance(value, list):
        return [_level(each, level + 1) for each in value]
    return {str(key): _level(each, level + 1) for key, each in value.items()}
