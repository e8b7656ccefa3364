"""Events about text messages."""

from __future__ import annotations

from typing import Annotated, Literal, get_args
from uuid import UUID

from pydantic import AwareDatetime, StringConstraints

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
