"""Contracts of the customer events."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from shared.events.base import Event, VendorId
from shared.events.catalog import SyncRunStep

IDS_MAX = 1_000
"""Customer ids in one batch message; the job refuses more."""


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


class CustomerSyncBatch(SyncRunStep, name="customer.syncBatch", from_apps=True):
    """Bring many customers to Shopify's present state: by list, changed since an instant, or all."""

    mode: Literal["full", "delta"] | None = None
    customer_ids: list[VendorId] | None = None
    """customers.id or legacy ids, at most IDS_MAX."""
    shopify_customer_ids: list[VendorId] | None = None
    created_since: AwareDatetime | None = None
    updated_since: AwareDatetime | None = None
    source: str | None = None


class CustomerCreated(Event, name="customer.created", from_apps=True):
    """A customer was seen for the first time."""

    customer_id: VendorId
    """customers.id, or a Shopify id."""
    email: str = Field(repr=False)
    """Used for matching only, never logged."""
    shopify_customer_id: VendorId | None = None
    attempt: Annotated[int, Field(ge=1)] | None = None
    """Our own delayed repeats."""


class CustomerUpdated(Event, name="customer.updated", from_apps=True):
    """A customer has changed."""

    customer_id: VendorId
    changes: dict[str, Any] = Field(repr=False)
    """Field names as keys; values are ignored and never logged."""
    synced: bool = False
    """The row has just been written from Shopify."""
