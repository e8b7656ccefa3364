"""Events about the billing of subscriptions."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, model_validator

from shared.events.base import Event, VendorId


class SubscriptionBilling(Event, name="subscription.billing", from_apps=True):
    """Charge a subscription (`step` charge), or settle a charge whose outcome the vendor knows (`step` settle)."""

    subscription_id: str | None = None
    """subscriptions.id; absent = every subscription of the tenant that is due."""
    billing_date: date | None = None
    step: Literal["charge", "settle"] = "charge"
    charge_id: UUID | None = None
    reason: Literal["daily", "retry", "catchup", "manual", "payment_method_updated", "webhook"] = "manual"
    poll: Annotated[int, Field(ge=1, le=4)] | None = None
    """Number of the look-up."""
    idempotency_key: str | None = None
    """Older field, only logged."""
    period_start: date | None = None
    """Older field, ignored."""
    period_end: date | None = None
    """Older field, ignored."""


class SubscriptionPaymentFailed(Event, name="subscription.paymentFailed", from_apps=True):
    """A charge failed or needs the customer; the subscription or one of the vendors' ids is required."""

    subscription_id: str | None = None
    charge_id: UUID | None = None
    attempt_id: UUID | None = None
    shopify_billing_attempt_id: VendorId | None = None
    stripe_payment_intent_id: str | None = None
    step: Literal["failure", "notice", "deadline"] = "failure"
    cycle_number: int | None = None
    failure_class: str | None = Field(default=None, alias="class")
    """A hint; the code that is stored or read decides."""
    code: str | None = None
    source: Literal["job", "webhook"] | None = None

    @model_validator(mode="after")
    def _names_a_charge(self) -> SubscriptionPaymentFailed:
        ids = (self.subscription_id, self.shopify_billing_attempt_id, self.stripe_payment_intent_id)
        if all(id is None for id in ids):
            raise ValueError("subscriptionId, shopifyBillingAttemptId or stripePaymentIntentId is required")
        return self
