"""Events about products, stock and collections."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, model_validator

from shared.events.base import Event, VendorId

StockReason = Literal[
    "correction",
    "cycle_count_available",
    "damaged",
    "received",
    "restock",
    "promotion",
    "quality_control",
    "shrinkage",
    "other",
]


class ProductSyncOne(Event, name="product.syncOne", from_apps=True):
    """Read one product from Shopify again; one of the two ids is required."""

    shopify_product_id: VendorId | None = None
    product_id: VendorId | None = None
    """products.id or the legacy id."""
    action: Literal["create", "update", "delete"] = "update"
    updated_at: AwareDatetime | None = None
    """updated_at of the webhook's body: lets a stale message end without a call."""
    source: Literal["webhook", "manual", "batch", "job"] = "webhook"

    @model_validator(mode="after")
    def _names_a_product(self) -> ProductSyncOne:
        if self.shopify_product_id is None and self.product_id is None:
            raise ValueError("shopifyProductId or productId is required")
        return self


class InventoryUpdate(Event, name="inventory.update", from_apps=True):
    """Stock of one item at one location: observed (`available` at `updated_at`), or to be changed by the app."""

    inventory_item_id: VendorId | None = None
    shopify_location_id: VendorId | None = None
    location_id: VendorId | None = None
    """Older name of shopify_location_id."""
    available: int | None = None
    """The announced number; absent in an observation means: not stocked there."""
    updated_at: AwareDatetime | None = None
    shopify_variant_id: VendorId | None = None
    variant_id: VendorId | None = None
    product_id: VendorId | None = None
    quantity_adjustment: int | None = None
    new_quantity: Annotated[int, Field(ge=0)] | None = None
    reason: StockReason = "correction"
    requested_by: str | None = None


class CollectionSync(Event, name="collection.sync", from_apps=True):
    """Read one collection from Shopify again, or all of them (`full_sync`, the default without an id)."""

    collection_id: VendorId | None = None
    shopify_collection_id: VendorId | None = None
    full_sync: bool | None = None
    action: Literal["update", "delete"] = "update"
    updated_at: AwareDatetime | None = None
    source: str | None = None
