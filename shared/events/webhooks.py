"""Events about webhooks: what a vendor reported, or one of our own deliveries that is due."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from shared.events.base import Event, VendorId

Provider = Literal["shopify", "stripe", "wise", "resend", "twilio", "mux", "assemblyai"]
Topic = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Account = Annotated[str, StringConstraints(min_length=1, max_length=255)]


class WebhookReceived(Event, name="webhook.received", from_apps=True):
    """A vendor's webhook, its signature verified by the app.

    Exactly one form: `webhook_event_id` (the app stored the row), `delivery_id` (an outbound delivery of ours), or
    `provider`, `topic` and `body` (nothing is stored yet).
    """

    webhook_event_id: UUID | None = None
    delivery_id: UUID | None = None
    attempt: int | None = None
    """Information of the publisher; the row counts."""
    provider: Provider | None = None
    topic: Topic | None = None
    external_id: VendorId | None = None
    """The vendor's event or delivery id."""
    event_id: VendorId | None = None
    """Shopify: the X-Shopify-Event-Id header, one per merchant action, when known."""
    account: Account | None = None
    """Shop domain, Stripe account, Wise profile, sender domain or number."""
    triggered_at: AwareDatetime | None = None
    received_at: AwareDatetime | None = None
    body: dict[str, Any] | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _one_form(self) -> WebhookReceived:
        stored = self.webhook_event_id is not None
        outbound = self.delivery_id is not None
        inline = self.provider is not None and self.topic is not None and self.body is not None
        if stored + outbound + inline != 1:
            raise ValueError("give exactly one of webhookEventId, deliveryId, or provider with topic and body")
        return self


class WebhookRetry(WebhookReceived, name="webhook.retry", from_apps=True):
    """A stored webhook or an outbound delivery that is due again: `webhook_event_id` or `delivery_id`.

    Published when a person requeues a dead row, and by the schedule that looks for rows that are due.
    """

    @model_validator(mode="after")
    def _names_a_row(self) -> WebhookRetry:
        if self.webhook_event_id is None and self.delivery_id is None:
            raise ValueError("webhookEventId or deliveryId is required")
        return self
