"""Events about text messages."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from shared.events.base import Event

MessageSid = Annotated[str, StringConstraints(pattern=r"^(SM|MM)[0-9a-fA-F]{32}$")]
MessageStatus = Literal[
    "accepted",
    "scheduled",
    "queued",
    "sending",
    "sent",
    "delivered",
    "undelivered",
    "failed",
    "canceled",
    "read",
    "receiving",
    "received",
    "partially_delivered",
]
MESSAGE_STATUSES = frozenset[str](get_args(MessageStatus))
"""Twilio's states of a message."""


class SmsDeliveryStatus(Event, name="sms.deliveryStatus", from_apps=True):
    """Twilio reported the state of a message."""

    message_sid: MessageSid
    message_status: MessageStatus
    error_code: int | None = None
    sms_queue_id: UUID | None = None
    """The parameter m of our callback address."""
    received_at: AwareDatetime | None = None


class SmsSend(Event, name="sms.send", from_apps=True):
    """Send one text message in the tenant's account, or take up a queued one. Needs smsQueueId, or a number and a
    text or template."""

    to: str | None = None
    """The number; it is not read beside smsQueueId."""
    message: str | None = None
    template_id: str | None = None
    template_vars: dict[str, str] | None = None
    sms_queue_id: UUID | None = None
    notification_type: str | None = None
    """What it is about; custom (marketing) when absent."""
    recipient_type: Literal["customer", "creator", "contractor", "vendor", "team"] | None = None
    recipient_id: str | None = None
    recipient_name: str | None = None
    from_number: Annotated[str | None, Field(alias="from")] = None
    """One of the tenant's own numbers."""
    scheduled_for: AwareDatetime | None = None
    dedupe_key: str | None = None
    correlation_id: str | None = None
    priority: Literal["high", "normal", "low"] | None = None
    skip_consent_check: bool | None = None

    @model_validator(mode="after")
    def _says_whom_and_what(self) -> Self:
        if self.sms_queue_id is None and (self.to is None or (self.message is None and self.template_id is None)):
            raise ValueError("smsQueueId, or to with message or templateId is required")
        return self
