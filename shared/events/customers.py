"""Contracts of the customer events that other subjects publish."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, Field, model_validator

from shared.events.base import Event, VendorId

IDS_MAX = 1_000
"""Customer ids in one batch message."""

CustomerIds = Annotated[list[VendorId], Field(max_length=IDS_MAX)]


class CustomerSync(Event, name="customer.sync", from_apps=True):
    """Bring one customer to Shopify's present state. One of the two ids is required."""

    shopify_customer_id: VendorId | None = None
    customer_id: VendorId | None = None
    """customers.id or a Shopify id."""
    action: Literal["create", "update", "delete"] = "update"
    updated_at: AwareDatetime | None = None
    source: Literal["webhook", "app", "batch", "job"] | None = None

    @model_validator(mode="after")
    def _names_a_customer(self) -> Self:
        if self.customer_id is None and self.shopify_customer_id is None:
            raise ValueError("customerId or shopifyCustomerId is required")
        return self


class CustomerSyncBatch(Event, name="customer.syncBatch", from_apps=True):
    """Bring many customers to Shopify's present state: by list, changed since an instant, or all."""

    sync_run_id: UUID | None = None
    step: Literal["start", "poll", "load", "merge", "reconcile"] | None = None
    attempt: int | None = None
    mode: Literal["full", "delta"] | None = None
    customer_ids: CustomerIds | None = None
    shopify_customer_ids: CustomerIds | None = None
    created_since: AwareDatetime | None = None
    updated_since: AwareDatetime | None = None
    source: str | None = None
