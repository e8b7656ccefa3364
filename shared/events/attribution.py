"""Contracts of the attribution events: an order goes in, one announcement of its conversion comes out.

`orderId` is orders.id; the listener of attribution.process also takes a Shopify id there. Amounts are hundredths of the
order's currency.
"""

from __future__ import annotations

import datetime
from typing import Annotated

from pydantic import Field

from shared.events.base import Event, VendorId


class AttributionProcess(Event, name="attribution.process", from_apps=True):
    """Compute the credits of one order; harmless when repeated."""

    order_id: VendorId
    force: bool = False
    """Compute although nothing changed, and reopen an expired or excluded order."""
    visitor_id: Annotated[VendorId, Field(max_length=128)] | None = None
    """A visitor id that the publisher knows to be the order's."""
    skip_ga4: Annotated[bool, Field(alias="skipGA4")] = False
    """Handed on with conversion.attributed, like skipMeta."""
    skip_meta: bool = False


class ConversionAttributed(Event, name="conversion.attributed"):
    """An order became a conversion, told once per order whether or not touchpoints were found. The row decides; all
    but orderId and the skips is informational."""

    order_id: VendorId
    attribution_model: str | None = None
    """The tenant's default model, `none` where attribution is switched off."""
    touchpoints: int | None = None
    """In the tenant's default window."""
    value_cents: int | None = None
    currency: str | None = None
    skip_ga4: Annotated[bool, Field(alias="skipGA4")] = False
    skip_meta: bool = False


class AttributionDailyMetrics(Event, name="attribution.dailyMetrics"):
    """Rebuild the channel summary of one day of the tenant's zone; without a date the last complete one."""

    date: datetime.date | None = None
    force_recalculate: bool = False
    """Kept for publishers: a day is always rebuilt whole."""
