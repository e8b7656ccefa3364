"""Events about creators' money and the treasury behind it. Amounts are cents: hundredths, whatever the currency."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from shared.events.base import Event

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class TreasuryTopup(Event, name="treasury.topup", from_apps=True):
    """A Stripe top-up ended; the listener reads it from Stripe."""

    topup_id: str
    """stripe_topups.id, or the vendor's tu_... id when we have no row."""
    amount: int
    currency: Currency
    stripe_topup_id: str | None = None
    status: Literal["succeeded", "reversed"] = "succeeded"
    source: str | None = None


class PayoutCheckDomestic(Event, name="payout.checkDomestic", from_apps=True):
    """Look up at Stripe how a payout (`payout_id`), or every pending one, stands."""

    payout_type: Literal["domestic"] | None = None
    limit: Annotated[int, Field(ge=1, le=500)] | None = None
    payout_id: str | None = None
    tick: AwareDatetime | None = None


class PayoutCheckInternational(Event, name="payout.checkInternational", from_apps=True):
    """Look up at Wise how a payout (`payout_id`), or every pending one, stands."""

    payout_type: Literal["international"] | None = None
    limit: Annotated[int, Field(ge=1, le=500)] | None = None
    payout_id: str | None = None
    tick: AwareDatetime | None = None
