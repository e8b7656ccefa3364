"""Contracts of the A/B test events that other subjects publish."""

from __future__ import annotations

from pydantic import AwareDatetime

from shared.events.base import Event, VendorId


class AbOrderReconcile(Event, name="ab.orderReconcile", from_apps=True):
    """Assign orders to the variants their visitors saw: one order, a span of order time, or what changed since."""

    start_time: AwareDatetime | None = None
    end_time: AwareDatetime | None = None
    start_date: AwareDatetime | None = None
    """Other name of startTime."""
    test_id: str | None = None
    order_id: VendorId | None = None
    slot: AwareDatetime | None = None
