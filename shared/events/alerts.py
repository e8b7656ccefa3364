"""Contracts of the alarms. Every alarm carries the alert payload: what is wrong, named once, without personal data.

`dedupeKey` names the problem, not the occurrence; `resolve` says that the problem is over. An absent severity is
decided by the listener, a present one can only raise its verdict.
"""

from __future__ import annotations

from decimal import Decimal
from ipaddress import ip_address
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints, model_validator

from shared.events.base import Event

Severity = Literal["critical", "error", "warning", "info"]


def _ip(value: str) -> str:
    ip_address(value)
    return value


IpAddress = Annotated[str, AfterValidator(_ip)]
Source = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,50}$")]
Title = Annotated[str, StringConstraints(min_length=1, max_length=150, pattern=r"^[^\r\n]*$")]
Message = Annotated[str, StringConstraints(min_length=1, max_length=3000)]
DedupeKey = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[ -~]*$")]
Url = Annotated[str, StringConstraints(pattern=r"^https://")]


class Alert(Event):
    """The alert payload, common to all alarms."""

    severity: Severity | None = None
    source: Source | None = None
    """Module or service that speaks."""
    title: Title | None = None
    message: Message | None = None
    """Plain text, no personal data, no secret."""
    dedupe_key: DedupeKey | None = None
    context: dict[str, Any] | None = None
    """Ids, counts, codes: at most 20 keys, 8 KiB, 3 levels; the listener cuts what is larger."""
    metadata: dict[str, Any] | None = None
    """Older name of context; merged under it."""
    occurred_at: AwareDatetime | None = None
    resolve: bool = False
    url: Url | None = None


class AlertSystemError(Alert, name="alert.systemError", from_apps=True):
    """Something of ours does not work. Needs message or errorMessage, and title or errorCode."""

    error_code: str | None = None
    error_message: str | None = None
    service: str | None = None
    stack_trace: str | None = None
    """Kept with the error, never sent to a channel."""

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if self.message is None and self.error_message is None:
            raise ValueError("message or errorMessage is required")
        if self.title is None and self.error_code is None:
            raise ValueError("title or errorCode is required")
        return self


class AlertApiFailure(Alert, name="alert.apiFailure", from_apps=True):
    """A vendor's interface refuses or fails us. Needs service or source, and message or errorMessage."""

    service: str | None = None
    """shopify, stripe, klaviyo, ...; default = source."""
    endpoint: str | None = None
    error_code: int | str | None = None
    error_message: str | None = None
    failure_count: Annotated[int, Field(ge=1)] = 1
    time_window_minutes: Annotated[int, Field(ge=1, le=1440)] = 60
    last_success_at: AwareDatetime | None = None

    @model_validator(mode="after")
    def _says_who_and_what(self) -> Self:
        if self.service is None and self.source is None:
            raise ValueError("service or source is required")
        if self.message is None and self.error_message is None:
            raise ValueError("message or errorMessage is required")
        return self


class AlertSecurity(Alert, name="alert.security", from_apps=True):
    """A finding about access, keys or tampering."""

    alert_type: Literal[
        "suspicious_login",
        "multiple_failed_logins",
        "unusual_ip",
        "permission_escalation",
        "api_key_compromise",
        "other",
    ] = "other"
    user_id: str | None = None
    email: str | None = None
    """Only to find the user; never stored in the alert."""
    ip_address: IpAddress | None = None
    user_agent: str | None = None
    geo_location: str | None = None


class AlertCritical(Alert, name="alert.critical", from_apps=True):
    """Wake someone. Critical by definition, whatever severity is sent."""

    title: Title
    message: Message
    source: Source
    notify_emails: Annotated[list[str], Field(max_length=20)] | None = None
    notify_phones: Annotated[list[str], Field(max_length=20)] | None = None
    """E.164."""


class AlertUnusualActivity(Alert, name="alert.unusualActivity", from_apps=True):
    """A business figure has left its usual range: measured (metric and values), or told (title and message)."""

    activity_type: Literal[
        "high_order_volume", "high_refund_rate", "unusual_traffic", "mass_unsubscribe", "bulk_data_access", "other"
    ] = "other"
    metric: str | None = None
    current_value: Decimal | None = None
    normal_value: Decimal | None = None
    percentage_change: Decimal | None = None
    """Recomputed by the listener."""
    time_window: str | None = None
    """Such as 1h or 24h."""

    @model_validator(mode="after")
    def _is_measured_or_told(self) -> Self:
        measured = None not in (self.metric, self.current_value, self.normal_value)
        if not measured and None in (self.title, self.message):
            raise ValueError("metric, currentValue and normalValue, or title and message, are required")
        return self
