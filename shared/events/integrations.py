"""Contracts of the vendor integrations that other subjects publish."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from shared.events.base import Event, VendorId


class KlaviyoSync(Event, name="klaviyo.sync", from_apps=True):
    """Bring Klaviyo up to date: profiles, events, lists or all of them."""

    sync_type: Literal["profiles", "events", "lists", "all"] = "all"
    customer_ids: Annotated[list[VendorId], Field(max_length=1000)] | None = None
    """customers.id; only with profiles."""
    updated_since: AwareDatetime | None = None
    step: Literal["run", "check"] = "run"
    attempt: int | None = None
