"""Entries for apps and crons: which synchronisation a request needs, the smallest that is enough, started once."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal
from uuid import UUID

from functions.commerce.catalog import runs
from functions.commerce.catalog.common import RETRY, enabled, shop_currency
from shared.events.base import Event, Payload
from shared.events.catalog import (
    InventorySync,
    InventorySyncBatch,
    InventoryUpdate,
    ProductSync,
    ProductSyncBatch,
    ProductSyncOne,
)
from shared.ids import as_legacy_id, find_product
from shared.jobs import Delivery, JobContext, Permanent, Session, job
from shared.jobs.queues import CATALOG_SYNC

FULL_INVENTORY_INTERVAL = timedelta(hours=24)
"""Age of the last full reading of stock from which on the schedule asks for one."""


class ProductEntryResult(Payload):
    """What was started; `runId` of a full run."""

    dispatched: Literal["one", "full", "delta", "joined", "disabled"]
    run_id: UUID | None = None


class InventoryEntryResult(Payload):
    """What was started; `runId` of a full run, or of the one that goes on."""

    dispatched: Literal["variant", "product", "delta", "full", "joined", "disabled"]
    run_id: UUID | None = None


def product_key(payload: ProductSync, delivery: Delivery) -> str:
    """The product, or full or not; the source; the message, whose id is the tick's when a schedule sent it."""
    what = payload.product_id or ("full" if payload.full_sync else "delta")
    return f"{what}:{payload.source}:{delivery.id}"


def inventory_key(payload: InventorySync, delivery: Delivery) -> str:
    """The narrowest thing that is named, and the message."""
    what = payload.variant_id or payload.product_id or payload.location_id or "all"
    return f"{what}:{delivery.id}"


@job(
    "commerce-handle-product-sync",
    on=ProductSync,
    queue=CATALOG_SYNC,
    emits=(ProductSyncOne, ProductSyncBatch),
    retry=RETRY,
    timeout_s=30,
    key=product_key,
)
def handle_product_sync(ctx: JobContext, payload: ProductSync) -> ProductEntryResult:
    """Decide which product synchronisation a request needs and start exactly one. Permanent SHOPIFY_NOT_CONNECTED."""
    with ctx.final_session() as session:
        if not enabled(session, "products"):
            return ProductEntryResult(dispatched="disabled")
        shop_currency(session)
        if payload.product_id is not None:
            session.emit(ProductSyncOne(product_id=payload.product_id, source="manual"))
            return ProductEntryResult(dispatched="one")
        if not payload.full_sync:
            session.emit(ProductSyncBatch())
            return ProductEntryResult(dispatched="delta")
        opened = _open_full(ctx, session, "products", payload.source)
        if not opened.ours:
            return ProductEntryResult(dispatched="joined", run_id=opened.run.id)
        session.emit(ProductSyncBatch(sync_run_id=opened.run.id, step="start"))
        return ProductEntryResult(dispatched="full", run_id=opened.run.id)


def _open_full(ctx: JobContext, session: Session, kind: runs.Kind, source: str) -> runs.Opened:
    return runs.open_run(session, id=ctx.run_id, kind=kind, mode="full", now=ctx.now(), requested_by=source)


@job(
    "commerce-handle-inventory-sync",
    on=InventorySync,
    queue=CATALOG_SYNC,
    emits=(InventoryUpdate, InventorySyncBatch, ProductSyncOne),
    retry=RETRY,
    timeout_s=30,
    key=inventory_key,
)
def handle_inventory_sync(ctx: JobContext, payload: InventorySync) -> InventoryEntryResult:
    """Turn a request for stock into the smallest sufficient job.

    Permanent PRODUCT_ID_UNKNOWN, SHOPIFY_NOT_CONNECTED.
    """
    with ctx.final_session() as session:
        if not enabled(session, "inventory"):
            return InventoryEntryResult(dispatched="disabled")
        shop_currency(session)
        if payload.variant_id is not None:
            session.emit(
                InventoryUpdate(shopify_variant_id=payload.variant_id, shopify_location_id=payload.location_id)
            )
            return InventoryEntryResult(dispatched="variant")
        if payload.product_id is not None:
            session.emit(_of_product(session, payload.product_id))
            return InventoryEntryResult(dispatched="product")
        return _everywhere(ctx, session, payload)


def _of_product(session: Session, product_id: str) -> Event:
    if find_product(session, product_id) is not None:
        return InventorySyncBatch(product_ids=[product_id])
    legacy_id = as_legacy_id(product_id)
    if legacy_id is None:
        raise Permanent("PRODUCT_ID_UNKNOWN", "no product has this id, and it is no Shopify id")
    return ProductSyncOne(shopify_product_id=legacy_id, source="manual")


def _everywhere(ctx: JobContext, session: Session, payload: InventorySync) -> InventoryEntryResult:
    full = payload.full_sync
    if payload.source == "schedule" and not full:
        last = runs.last_of(session, "inventory").full_completed_at
        full = last is None or last < ctx.now() - FULL_INVENTORY_INTERVAL
    going = runs.going(session, "inventory", now=ctx.now())
    if going is not None and not (full and going.mode == "delta" and payload.full_sync):
        return InventoryEntryResult(dispatched="joined", run_id=going.id)
    if not full:
        session.emit(InventorySyncBatch(location_id=payload.location_id))
        return InventoryEntryResult(dispatched="delta")
    opened = _open_full(ctx, session, "inventory", payload.source)
    if not opened.ours:  # somebody else has opened it since we looked
        return InventoryEntryResult(dispatched="joined", run_id=opened.run.id)
    session.emit(InventorySyncBatch(sync_run_id=opened.run.id, step="start", full_sync=True))
    return InventoryEntryResult(dispatched="full", run_id=opened.run.id)
