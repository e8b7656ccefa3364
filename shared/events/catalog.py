"""Events about products, stock and collections."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

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


SyncStep = Literal["start", "poll", "load", "merge", "reconcile"]


Quantity = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
"""Pieces; what our columns and Shopify hold."""


class SyncRunStep(Event):
    """What the messages of a synchronisation run have in common; apps leave all of it out."""

    sync_run_id: UUID | None = None
    """catalog_sync_runs.id."""
    step: SyncStep | None = None
    """Default start."""
    attempt: Annotated[int, Field(ge=0)] | None = None
    """Counts the messages of one step: polls, continuations."""
    restarts: Annotated[int, Field(ge=0)] | None = None
    """Internal: how often the export began anew; tells messages of one step apart."""


class ProductSync(Event, name="product.sync", from_apps=True):
    """Ask for products to be synchronised: one, all of them, or what has changed."""

    product_id: VendorId | None = None
    """products.id or a Shopify id."""
    full_sync: bool = False
    source: Literal["schedule", "manual", "install", "job"] = "manual"


class ProductSyncBatch(SyncRunStep, name="product.syncBatch", from_apps=True):
    """Synchronise many products: by list, by collection, by change date, or (without any) what has changed."""

    product_ids: list[VendorId] | None = None
    """products.id or legacy ids, at most 1,000."""
    shopify_product_ids: list[VendorId] | None = None
    """At most 1,000."""
    collection_id: VendorId | None = None
    updated_since: AwareDatetime | None = None


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
    available: Quantity | None = None
    """The announced number; absent in an observation means: not stocked there."""
    updated_at: AwareDatetime | None = None
    shopify_variant_id: VendorId | None = None
    variant_id: VendorId | None = None
    product_id: VendorId | None = None
    quantity_adjustment: Quantity | None = None
    new_quantity: Annotated[Quantity, Field(ge=0)] | None = None
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


class InventorySync(Event, name="inventory.sync", from_apps=True):
    """Ask for stock to be synchronised: of a variant, a product, a location, or everywhere."""

    product_id: VendorId | None = None
    variant_id: VendorId | None = None
    location_id: VendorId | None = None
    full_sync: bool = False
    source: Literal["schedule", "manual"] = "manual"


class InventorySyncBatch(SyncRunStep, name="inventory.syncBatch", from_apps=True):
    """Bring stock levels up to date: of products, of a location, or what has changed."""

    location_id: VendorId | None = None
    full_sync: bool = False
    product_ids: list[VendorId] | None = None
    """products.id or legacy ids, at most 500."""
    cursor: Any = None
    """Older publishers; the run keeps its own."""


class CollectionProductsSync(Event, name="collection.productsSync", from_apps=True):
    """Make the member list of one collection equal to Shopify's."""

    collection_id: VendorId
    """Legacy id or gid."""
    shopify_collection_id: VendorId | None = None


class StockEvent(Event):
    """What the stock events have in common. Ids are Shopify's, as digits; `available` is the sum over all places."""

    product_id: str
    variant_id: str
    sku: str | None = None
    available: int


class InventoryLowStock(StockEvent, name="inventory.lowStock", to_apps=True):
    """The stock of a variant fell to its limit."""

    limit: int
    days_left: int | None = None
    """At the pace of the last 30 days."""


class InventoryOutOfStock(StockEvent, name="inventory.outOfStock", to_apps=True):
    """A variant cannot be sold any more."""


class InventoryRestocked(StockEvent, name="inventory.restocked", to_apps=True):
    """A variant is in stock again."""

    previous_state: str
