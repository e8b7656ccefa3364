"""One product with all its variants and images: brought to the state that Shopify shows now, or archived."""

from __future__ import annotations

from typing import Literal

from functions.commerce.catalog.common import (
    RETRY,
    judge_stock,
    object_key,
    shop_currency,
    shop_read,
    tell_feed,
)
from shared.catalog.mapping import map_product
from shared.catalog.marks import mark_deleted, seen_at
from shared.catalog.products import archive_products, store_products
from shared.catalog.records import ProductRecord
from shared.catalog.stock_messages import post_news
from shared.events.alerts import AlertApiFailure
from shared.events.base import Payload
from shared.events.catalog import InventoryLowStock, InventoryOutOfStock, InventoryRestocked, ProductSyncOne
from shared.events.google_feed import GoogleFeedProductUpdate, GoogleFeedSync
from shared.ids import as_legacy_id, find_product
from shared.integrations.shopify_catalog import ShopifyCatalog
from shared.jobs import Delivery, JobContext, Permanent, Session, job
from shared.jobs.queues import CATALOG_SYNC

Outcome = Literal["created", "updated", "unchanged", "skipped_stale", "deleted", "not_found"]
STOCK_EVENTS = (InventoryLowStock, InventoryOutOfStock, InventoryRestocked)
FEED_EVENTS = (GoogleFeedProductUpdate, GoogleFeedSync)


class ProductSyncResult(Payload):
    """What became of the product; `variants` that it has and `variantsRemoved` that it no longer has."""

    outcome: Outcome
    variants: int = 0
    variants_removed: int = 0


def run_key(payload: ProductSyncOne, delivery: Delivery) -> str:
    """Shopify's id, the action, and updatedAt, else the message."""
    named = (payload.shopify_product_id, payload.product_id)
    return object_key(delivery, *named, action=payload.action, updated_at=payload.updated_at)


@job(
    "commerce-product-sync",
    on=ProductSyncOne,
    queue=CATALOG_SYNC,
    emits=(*FEED_EVENTS, *STOCK_EVENTS, AlertApiFailure),
    retry=RETRY,
    timeout_s=60,
    key=run_key,
)
def sync_product(ctx: JobContext, payload: ProductSyncOne) -> ProductSyncResult:
    """Bring one product with variants and images to Shopify's present state, or archive it when it is gone.

    A webhook whose updatedAt we have already costs no call, and neither does a deletion. Permanent:
    PRODUCT_ID_UNKNOWN, PRODUCT_UNMAPPABLE, AMOUNT_OUT_OF_RANGE and the Shopify client's; transient: CATALOG_CONFLICT.
    """
    with ctx.tenant_session(read_only=True) as session:
        legacy_id, held = _resolve(session, payload)
        currency = shop_currency(session)
        seen = seen_at(session, "product", legacy_id)
    newer = payload.updated_at is not None and seen is not None and seen > payload.updated_at
    if payload.action == "delete" and not newer:
        return _gone(ctx, legacy_id, held=held)
    stale = payload.updated_at is not None and seen is not None and payload.updated_at <= seen
    if stale and payload.action != "delete":
        return ProductSyncResult(outcome="skipped_stale")
    node = ShopifyCatalog.connect(ctx).product(legacy_id)
    if node is None:
        return _gone(ctx, legacy_id, held=held)
    return _store(ctx, map_product(node, currency))


def _resolve(session: Session, payload: ProductSyncOne) -> tuple[str, bool]:
    """(Shopify's id as digits, whether we hold the product)."""
    named = payload.shopify_product_id or payload.product_id or ""
    row = find_product(session, payload.product_id or named) or find_product(session, named)
    legacy_id = as_legacy_id(payload.shopify_product_id) if payload.shopify_product_id else None
    legacy_id = legacy_id or (row["legacy_id"] if row else None) or as_legacy_id(named)
    if legacy_id is None:
        raise Permanent("PRODUCT_ID_UNKNOWN", "no product has this id, and it is no Shopify id")
    return legacy_id, row is not None


def _store(ctx: JobContext, product: ProductRecord) -> ProductSyncResult:
    # A checkpoint, not the end: Slack is served after the commit, and a worker that dies before finds what it owes.
    with ctx.tenant_session() as session:
        now = ctx.now()
        counts = store_products(session, [product], now=now)
        verdicts = judge_stock(session, counts.moved, now=now)
        tell_feed(session, counts.feed_changed, triggered_by="webhook")
        shop_read(session, now)
    post_news(ctx, verdicts, run=str(ctx.run_id))
    outcome = counts.by_id[product.legacy_id]
    return ProductSyncResult(
        outcome="skipped_stale" if outcome == "stale" else outcome,
        variants=counts.variants,
        variants_removed=counts.variants_removed,
    )


def _gone(ctx: JobContext, legacy_id: str, *, held: bool) -> ProductSyncResult:
    with ctx.final_session() as session:
        if not held:
            # An export under way may hold it: the mark keeps it from being brought back.
            mark_deleted(session, "product", [legacy_id], now=ctx.now())
            return ProductSyncResult(outcome="not_found")
        archived, variants = archive_products(session, [legacy_id], now=ctx.now())
        tell_feed(session, [], archived, triggered_by="webhook")
    return ProductSyncResult(outcome="deleted", variants_removed=variants)
