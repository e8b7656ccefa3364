"""Many products: by list, by collection, by change date, or all of them through an export; vanished ones archived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from functions.commerce.catalog import runs
from functions.commerce.catalog.common import (
    BATCH_RETRY,
    IDS_MAX,
    feed_connected,
    shop_currency,
    shop_read,
    tell_feed,
)
from functions.commerce.catalog.export import MAX_HOPS, run_step
from functions.commerce.catalog.judging import judge_moved
from functions.commerce.catalog.paging import read_pages, since_of
from functions.commerce.catalog.products import FEED_EVENTS, STOCK_EVENTS
from functions.commerce.catalog.runs import Run
from functions.commerce.catalog.subject import Batch, Stored, Subject, step_key
from shared.catalog.mapping import map_product
from shared.catalog.marks import touch_marks
from shared.catalog.products import ProductCounts, archive_products, store_products
from shared.catalog.records import ProductRecord
from shared.catalog.worklist import add_moved
from shared.events.alerts import AlertApiFailure
from shared.events.base import Payload
from shared.events.catalog import ProductSyncBatch
from shared.events.google_feed import GoogleFeedSync
from shared.ids import as_legacy_id, legacy_id
from shared.integrations import shopify_catalog_queries as q
from shared.integrations.shopify_catalog import PAGE_PRODUCTS, Node, ShopifyCatalog
from shared.jobs import JobContext, Permanent, Session, job
from shared.jobs.queues import CATALOG_SYNC

LIST_WITHOUT_RUN = 100
"""Ids in a list that leaves no row of its own."""
PAGE_ROOM_S = 30.0
"""Seconds that must be left to begin another page of a list."""


class ProductBatchResult(Payload):
    """Figures of the run so far. `deleted`: products that were archived."""

    run_id: UUID | None = None
    mode: str
    outcome: str
    merged: int = 0
    changed: int = 0
    unchanged: int = 0
    stale: int = 0
    deleted: int = 0


SHOPIFY_IDS = """
-- catalog: Shopify's ids of products that are named by products.id
SELECT id, shopify_product_id AS legacy_id FROM products
WHERE id = ANY(%(ids)s) AND shopify_product_id IS NOT NULL
"""

MEMBERS = """
-- catalog: the products of a collection; one row without a product for a collection without members
SELECT m.shopify_product_id AS id FROM shopify_collections c
LEFT JOIN shopify_collection_products m ON m.collection_id = c.id
WHERE c.id = %(id)s AND c.deleted_at IS NULL ORDER BY m.position
"""

MISSING = """
-- catalog: products that a full run has not seen, and how many there are
SELECT count(*) AS live,
       COALESCE(array_agg(p.shopify_product_id ORDER BY p.shopify_product_id) FILTER (WHERE m.external_id IS NULL
           OR (m.generation <> %(generation)s AND m.checked_at < %(started_at)s)), '{}') AS candidates
FROM products p
LEFT JOIN catalog_sync_marks m ON m.kind = 'product' AND m.external_id = p.shopify_product_id
WHERE p.shopify_product_id IS NOT NULL AND NOT COALESCE(p.platform_data, '{}') ? 'deletedAt'
"""


class Products(Subject):
    """Products with their variants and media."""

    kind = "products"
    message = ProductSyncBatch
    root_type = "Product"
    bulk_query = q.BULK_PRODUCTS
    connections: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "Product": {"ProductVariant": "variants", "": "media"},
        "ProductVariant": {"": "media"},
    }

    def read(self, ctx: JobContext, shopify: ShopifyCatalog, run: Run) -> Batch:
        since = since_of(run)
        page = shopify.products(q.changed_since(since) if since else None, run.cursor)
        return Batch(page.nodes, page.end_cursor or run.cursor, page.has_next)

    def store(self, ctx: JobContext, session: Session, run: Run, nodes: Sequence[Node]) -> Stored:
        counts = write(ctx, session, nodes, **run.seen_by)
        add_moved(session, run.id, counts.moved)
        return Stored(
            merged=len(nodes),
            changed=counts.count("created", "updated"),
            stale=counts.count("stale"),
            kept={"feed": bool(counts.feed_changed)},
        )

    def missing(self, session: Session, run: Run) -> tuple[int, list[str]]:
        row = session.one(MISSING, {"generation": run.generation, "started_at": run.started_at}) or {}
        return row["live"], row["candidates"]

    def counted(self, shopify: ShopifyCatalog) -> int:
        return shopify.products_count()

    def remove(self, ctx: JobContext, session: Session, run: Run, ids: Sequence[str]) -> int:
        archived, _ = archive_products(session, ids, now=ctx.now())
        return len(archived)

    def before_end(self, ctx: JobContext, shopify: ShopifyCatalog, run: Run) -> Run:
        judge_moved(ctx, run.id)
        return run

    def at_end(self, ctx: JobContext, session: Session, run: Run) -> None:
        if (run.filter.get("feed") or run.deleted_count) and feed_connected(session):
            session.emit(GoogleFeedSync(full_sync=False, triggered_by="webhook"))


PRODUCTS = Products()


def write(
    ctx: JobContext,
    session: Session,
    nodes: Sequence[Node],
    *,
    generation: int = 0,
    taken_at: datetime | None = None,
) -> ProductCounts:
    """Store product nodes; one that cannot be mapped is named in the log and stops nothing."""
    currency = shop_currency(session)
    records: list[ProductRecord] = []
    unread: list[str] = []
    for node in nodes:
        try:
            records.append(map_product(node, currency))
        except Permanent as error:
            unread.append(legacy_id(node["id"]))
            ctx.log.warning("product %s is left out: %s", unread[-1], error.code)
    counts = store_products(session, records, now=ctx.now(), generation=generation, taken_at=taken_at)
    touch_marks(session, "product", unread, now=ctx.now(), generation=generation)
    return counts


@job(
    "commerce-product-batch-sync",
    on=ProductSyncBatch,
    queue=CATALOG_SYNC,
    emits=(ProductSyncBatch, *FEED_EVENTS, *STOCK_EVENTS, AlertApiFailure),
    retry=BATCH_RETRY,
    timeout_s=600,
    key=step_key,
    max_hops=MAX_HOPS,
)
def sync_product_batch(ctx: JobContext, payload: ProductSyncBatch) -> ProductBatchResult:
    """Synchronise many products by list, collection or change date, or do one step of a run over all of them.

    Permanent: TOO_MANY_IDS, COLLECTION_NOT_FOUND, SYNC_RUN_NOT_FOUND, BULK_TIMEOUT, BULK_REFUSED, CATALOG_SHRUNK and
    the Shopify client's; BULK_FILE_BROKEN is transient once.
    """
    if payload.sync_run_id is not None:
        return _result(*run_step(ctx, PRODUCTS, payload))
    ids = _listed(ctx, payload)
    if ids is not None:
        return _list(ctx, ids)
    with ctx.tenant_session() as session:
        shop_currency(session)
        last = runs.last_of(session, "products")
        since = payload.updated_since or last.since
        late = last.since is not None and since is not None and since > last.since
        opened = runs.open_run(
            session,
            id=ctx.run_id,
            kind="products",
            mode="delta" if since else "full",
            now=ctx.now(),
            requested_by="app",
            watermark_from=since,
            filter={"partial": True} if since and (late or last.since is None) else {},
        )
    if not opened.ours:
        return _result(opened.run, "joined")
    if opened.run.mode == "full":
        return _result(*run_step(ctx, PRODUCTS, ProductSyncBatch(sync_run_id=opened.run.id)))
    with runs.failing(ctx, opened.run.id):
        try:
            return _result(*read_pages(ctx, PRODUCTS, opened.run, ShopifyCatalog.connect(ctx, batch=True)))
        except runs.Moved:
            return _result(opened.run, "already_past")


def _result(run: Run, outcome: str) -> ProductBatchResult:
    return ProductBatchResult(
        run_id=run.id,
        mode=run.mode,
        outcome=outcome,
        merged=run.merged_count,
        changed=run.changed_count,
        unchanged=run.unchanged,
        stale=run.stale_count,
        deleted=run.deleted_count,
    )


# -- lists -------------------------------------------------------------------------------------------------------------


def _listed(ctx: JobContext, payload: ProductSyncBatch) -> list[str] | None:
    """Shopify's ids of what the message lists, without repetitions; None when it lists nothing."""
    named, listed = list(payload.product_ids or ()), list(payload.shopify_product_ids or ())
    if len(named) > IDS_MAX or len(listed) > IDS_MAX:
        raise Permanent("TOO_MANY_IDS", f"more than {IDS_MAX} ids; send several messages")
    if not named and not listed and payload.collection_id is None:
        return None
    with ctx.tenant_session(read_only=True) as session:
        held = {row["id"]: row["legacy_id"] for row in session.all(SHOPIFY_IDS, {"ids": named})}
        if not named and not listed:
            return _members(session, payload.collection_id or "")
    found = [as_legacy_id(held.get(id, id)) for id in (*named, *listed)]
    return list(dict.fromkeys(id for id in found if id is not None))


def _members(session: Session, collection_id: str) -> list[str]:
    rows = session.all(MEMBERS, {"id": as_legacy_id(collection_id) or collection_id})
    if not rows:
        raise Permanent("COLLECTION_NOT_FOUND", "we hold no collection of this id")
    return [row["id"] for row in rows if row["id"] is not None]


def _list(ctx: JobContext, ids: Sequence[str]) -> ProductBatchResult:
    """Read the products of a list by id. It waits for no run; a long one leaves a row when it has ended."""
    place: dict[str, Any] = ctx.cursor or {"offset": 0, "changed": 0, "stale": 0, "deleted": 0, "merged": 0}
    place.setdefault("startedAt", ctx.now().isoformat())
    shopify = ShopifyCatalog.connect(ctx, batch=True)
    while place["offset"] < len(ids):
        asked = ids[place["offset"] : place["offset"] + PAGE_PRODUCTS]
        nodes = shopify.product_nodes(asked)
        with ctx.tenant_session() as session:
            _write_page(ctx, session, asked, nodes, place)
        place["offset"] += len(asked)
        if place["offset"] < len(ids) and ctx.remaining_s() < PAGE_ROOM_S:
            ctx.continue_from(place)
    judge_moved(ctx, ctx.run_id)
    figures = {name: place[name] for name in ("merged", "changed", "stale", "deleted")}
    long = len(ids) > LIST_WITHOUT_RUN
    with ctx.final_session() as session:
        shop_read(session, ctx.now())
        if long:
            runs.record(session, ctx.run_id, "products", len(ids), figures, place["startedAt"], now=ctx.now())
    unchanged = place["merged"] - place["changed"] - place["stale"]
    return ProductBatchResult(
        run_id=ctx.run_id if long else None, mode="list", outcome="completed", unchanged=unchanged, **figures
    )


def _write_page(
    ctx: JobContext, session: Session, asked: Sequence[str], nodes: Sequence[Node | None], place: dict[str, Any]
) -> None:
    counts = write(ctx, session, [node for node in nodes if node is not None])
    gone = [id for id, node in zip(asked, nodes, strict=True) if node is None]
    archived, _ = archive_products(session, gone, now=ctx.now())
    add_moved(session, ctx.run_id, counts.moved)
    tell_feed(session, counts.feed_changed, archived, triggered_by="webhook")
    place["merged"] += len(nodes) - len(gone)
    place["changed"] += counts.count("created", "updated")
    place["stale"] += counts.count("stale")
    place["deleted"] += len(archived)
