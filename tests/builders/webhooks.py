"""Webhooks as vendors and apps send them. A test states only what matters to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID, uuid4

from functions.scheduled.webhooks.model import Plan, Webhook
from shared.events.base import Event
from shared.events.webhooks import WebhookReceived
from shared.jobs.testing import Delivered

SHOP = "acme.myshopify.com"
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""Where the tests' clock starts."""

Vendor = Literal["stripe", "wise", "resend", "twilio", "mux", "assemblyai"]


def a_webhook(topic: str, body: dict[str, Any], **fields: Any) -> WebhookReceived:
    """A webhook of the shop that nobody has stored, an event of its own."""
    return WebhookReceived(
        **{"provider": "shopify", "topic": topic, "account": SHOP, "body": body, "event_id": str(uuid4()), **fields}
    )


def a_vendors(provider: Vendor, topic: str, body: dict[str, Any]) -> WebhookReceived:
    """The same of another vendor."""
    return WebhookReceived(provider=provider, topic=topic, body=body, external_id=str(uuid4()))


def by_id(id: UUID) -> WebhookReceived:
    """A webhook that an app has stored."""
    return WebhookReceived(webhook_event_id=id)


def names(delivered: Delivered) -> list[str]:
    """What a run emitted, by name."""
    return [name for name, _ in delivered.emitted]


ROW = UUID("0198a000-0000-7000-8000-000000000001")
SMS_SID = "SM" + "0123456789abcdef" * 2


def a_claimed(topic: str, body: Any, *, provider: str = "shopify", triggered_at: datetime | None = None) -> Webhook:
    """A claimed row of the shop acme.test, received at NOON."""
    return Webhook(
        id=ROW,
        key=f"{provider}:{topic}:evt-1",
        provider=provider,
        topic=topic,
        shop="acme.test",
        body=body,
        triggered_at=triggered_at,
        received_at=NOON,
        failures=0,
        verified=True,
        shop_known=True,
    )


DEFAULTS: dict[tuple[str, str], Any] = {
    ("subscription.billing", "reason"): "manual",
    ("subscription.billing", "step"): "charge",
    ("subscription.paymentFailed", "step"): "failure",
    ("video.uploadCompleted", "step"): "start",
    ("video.uploadCompleted", "force"): False,
    ("creator.file.uploaded", "force"): False,
    ("creator.shipmentSync", "fullSync"): False,
    ("inventory.update", "reason"): "correction",
}
"""What a contract says by itself when a publisher leaves it out."""


def sent(made: Plan) -> list[tuple[str, dict[str, Any]]]:
    """Name and wire form of what a plan sends, without the members that only repeat a default."""
    return [(send.event.event_name, _told(send.event)) for send in made.sends]


def _told(event: Event) -> dict[str, Any]:
    name = event.event_name
    return {
        member: value
        for member, value in event.wire().items()
        if (name, member) not in DEFAULTS or DEFAULTS[name, member] != value
    }
