"""Stock levels of all places: what has changed every hour, everything once a day; and how many webhooks were lost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from uuid import UUID

from functions.commerce.catalog import runs
from functions.commerce.catalog.common import (
    BATCH_RETRY,
    IDS_MAX,
    enabled,
    shop_currency,
    shop_read,
)
from functions.commerce.catalog.export import MAX_HOPS, run_step, waits
from functions.commerce.catalog.judging import judge_sellability
from functions.commerce.catalog.paging import read_pages, since_of
from functions.commerce.catalog.places import read_places
from functions.commerce.catalog.products import FEED_EVENTS, STOCK_EVENTS
from functions.commerce.catalog.runs import Run
from functions.commerce.catalog.subject import Batch, Stored, Subject, step_key
from shared.catalog.levels import store_levels
from shared.catalog.mapping import map_level
from shared.catalog.records import LevelRecord
from shared.catalog.stock import Moved, settle_items
from shared.catalog.worklist import add_items, add_moved, drop_items, next_items
from shared.events.alerts import AlertApiFailure
from shared.events.base import Payload
from shared.events.catalog import InventorySyncBatch, ProductSyncBatch
from shared.events.google_feed import GoogleFeedSync
from shared.ids import as_legacy_id, legacy_id
from shared.integrations import shopify_catalog_queries as q
from shared.integrations.shopify_catalog import ITEMS_PER_CALL, Node, ShopifyCatalog
from shared.jobs import JobContext, Permanent, Session, job
from shared.jobs.queues import CATALOG_SYNC

LIST_MAX = 500
"""Products in one message."""
PAGED_VARIANTS = 2_000
"""Variants of a shop with one place that is read page by page instead of by an export."""
DIFFERENCES_MIN = 20
DIFFERENCES_FRACTION = 0.01
"""Differences above both are worth a line in the log: webhooks are being lost."""
PAGE_ROOM_S = 30.0
"""Seconds that must be left to begin another page of a list."""


class InventoryBatchResult(Payload):
    """Figures of the run so far. `removed`: levels that Shopify no longer lists; `low`, `out`: variants that fell."""

    run_id: UUID | None = None
    mode: str
    outcome: str
    levels: int = 0
    changed: int = 0
    differences: int = 0
    unknown_items: int = 0
    removed: int = 0
    low: int = 0
    out: int = 0


MISSING = """
-- catalog: levels that a full run has not seen, and how many there are
SELECT count(*) AS live,
       COALESCE(array_agg(l.inventory_item_id || ':' || l.shopify_location_id) FILTER (WHERE m.external_id IS NULL
           OR (m.generation <> %(generation)s AND m.checked_at < %(started_at)s)), '{}') AS candidates
FROM inventory_levels l
LEFT JOIN catalog_sync_marks m ON m.kind = 'inventory_level'
                              AND m.external_id = l.inventory_item_id || ':' || l.shopify_location_id
"""

DELETE_LEVELS = """
-- catalog: levels that Shopify no longer lists, with their marks
WITH gone AS (SELECT id FROM unnest(%(ids)s::text[]) AS t (id)),
marks AS (
    DELETE FROM catalog_sync_marks m USING gone WHERE m.kind = 'inventory_level' AND m.external_id = gone.id
)
DELETE FROM inventory_levels l USING gone
WHERE l.inventory_item_id = split_part(gone.id, ':', 1) AND l.shopify_location_id = split_part(gone.id, ':', 2)
"""

SIZE = """
-- catalog: whether the shop is small enough to be read page by page
SELECT (SELECT count(*) FROM inventory_locations WHERE is_active) = 1
   AND (SELECT count(*) FROM (SELECT FROM product_variants LIMIT %(most)s + 1) v) <= %(most)s
"""

PLACES = """
-- catalog: the places in use
SELECT shopify_location_id AS id FROM inventory_locations WHERE is_active ORDER BY shopify_location_id
"""

ITEMS_OF = """
-- catalog: the inventory items of products
SELECT v.inventory_item_id AS id FROM product_variants v JOIN products p ON p.id = v.product_id
WHERE (p.id = ANY(%(ids)s) OR p.shopify_product_id = ANY(%(legacy_ids)s)) AND v.inventory_item_id IS NOT NULL
ORDER BY v.inventory_item_id
"""

HOURLY_FEED = """
-- catalog: whether a feed that is sent every hour is due
SELECT EXISTS (
    SELECT FROM google_feed_settings WHERE is_connected AND update_frequency = 'hourly' AND next_sync_at <= %(now)s
)
"""


class Inventory(Subject):
    """Stock levels. Their roots in the export are inventory items; a page holds levels of one place."""

    kind = "inventory"
    message = InventorySyncBatch
    root_type = "InventoryItem"
    bulk_query = q.BULK_INVENTORY
    connections: ClassVar[Mapping[str, Mapping[str, str]]] = {"InventoryItem": {"": "inventoryLevels"}}
    guarded = False  # a level that Shopify no longer lists is not stock

    def read(self, ctx: JobContext, shopify: ShopifyCatalog, run: Run) -> Batch:
        """Page by page, place by place; the cursor names the place and the page."""
        place: dict[str, Any] = json.loads(run.cursor) if run.cursor else {"at": 0, "after": None}
        places: list[str] = run.filter.get("places", [])
        if place["at"] >= len(places):
            return Batch([], run.cursor, False)
        since = since_of(run)
        location = places[place["at"]]
        page = shopify.levels(location, q.changed_since(since) if since else None, place["after"])
        for node in page.nodes:
            node["location"] = {"id": f"gid://shopify/Location/{location}"}
        following = {"at": place["at"] + (not page.has_next), "after": page.end_cursor if page.has_next else None}
        return Batch(page.nodes, json.dumps(following), following["at"] < len(places))

    def store(self, ctx: JobContext, session: Session, run: Run, nodes: Sequence[Node]) -> Stored:
        stored, moved = write(ctx, session, _levels(nodes), run.id, run.generation if run.mode == "full" else 0)
        add_moved(session, run.id, moved)
        return stored

    def missing(self, session: Session, run: Run) -> tuple[int, list[str]]:
        row = session.one(MISSING, {"generation": run.generation, "started_at": run.started_at}) or {}
        return row["live"], sorted(row["candidates"])

    def counted(self, shopify: ShopifyCatalog) -> int:
        raise AssertionError("levels are not guarded")

    def remove(self, ctx: JobContext, session: Session, run: Run, ids: Sequence[str]) -> int:
        removed = session.execute(DELETE_LEVELS, {"ids": list(ids)})
        items = sorted({id.split(":")[0] for id in ids})
        add_moved(session, run.id, settle_items(session, items, now=ctx.now()))
        return removed

    def before_end(self, ctx: JobContext, shopify: ShopifyCatalog, run: Run) -> Run:
        ask_for_products(ctx, shopify, run.id)
        fallen = judge_sellability(ctx, run.id)
        with ctx.tenant_session() as session:
            runs.hold(session, run)
            return runs.save(session, run, now=ctx.now(), filter={**run.filter, **fallen})

    def at_end(self, ctx: JobContext, session: Session, run: Run) -> None:
        differences = run.filter.get("differences", 0)
        if differences > DIFFERENCES_MIN and differences > DIFFERENCES_FRACTION * run.filter.get("levels", 0):
            ctx.log.warning("stock: %s of %s levels differed", differences, run.filter.get("levels", 0))
        if session.value(HOURLY_FEED, {"now": ctx.now()}):
            session.emit(GoogleFeedSync(full_sync=False, triggered_by="schedule"))


INVENTORY = Inventory()


def _levels(nodes: Sequence[Node]) -> list[LevelRecord]:
    """Levels of a page (each names item and place), or of items with their levels."""
    found: list[LevelRecord] = []
    for node in nodes:
        if "inventoryLevels" not in node:
            item = legacy_id(node["item"]["id"])
            found.append(map_level(node, item_id=item, location_id=legacy_id(node["location"]["id"])))
            continue
        item = legacy_id(node["id"])
        for level in node["inventoryLevels"]["nodes"]:
            found.append(map_level(level, item_id=item, location_id=legacy_id(level["location"]["id"])))
    return found


def write(
    ctx: JobContext, session: Session, levels: Sequence[LevelRecord], run_id: UUID, generation: int = 0
) -> tuple[Stored, list[Moved]]:
    """Write levels and the quantities that follow; (what it did, variants whose quantity moved)."""
    counts = store_levels(session, levels, now=ctx.now(), generation=generation)
    unknown = add_items(session, run_id, sorted({level.item_id for level in levels}))
    moved = settle_items(session, sorted(counts.items), now=ctx.now()) if counts.items else []
    kept = {"levels": counts.read, "differences": counts.differences, "unknownItems": unknown}
    stored = Stored(merged=counts.read, changed=len(counts.changed), stale=len(counts.stale), kept=kept)
    return stored, moved


def ask_for_products(ctx: JobContext, shopify: ShopifyCatalog, run_id: UUID) -> None:
    """Ask once for the products of items that we do not know, in messages of IDS_MAX items' products at most."""
    while ctx.remaining_s() > PAGE_ROOM_S:  # what is left then is found by the next reading of products
        with ctx.tenant_session(read_only=True) as session:
            items = next_items(session, run_id, IDS_MAX)
        if not items:
            return
        products: dict[str, None] = {}
        for first in range(0, len(items), ITEMS_PER_CALL):
            for node in shopify.item_nodes(items[first : first + ITEMS_PER_CALL]):
                variants = node["variants"]["nodes"] if node else []
                products |= dict.fromkeys(legacy_id(variant["product"]["id"]) for variant in variants)
        with ctx.tenant_session() as session:
            if products:
                key = f"{run_id}:unknown-items:{items[0]}"
                session.emit(ProductSyncBatch(shopify_product_ids=list(products)), key=key)
            drop_items(session, run_id, items)


@job(
    "commerce-inventory-batch-sync",
    on=InventorySyncBatch,
    queue=CATALOG_SYNC,
    emits=(InventorySyncBatch, ProductSyncBatch, *FEED_EVENTS, *STOCK_EVENTS, AlertApiFailure),
    retry=BATCH_RETRY,
    timeout_s=600,
    key=step_key,
    max_hops=MAX_HOPS,
)
def sync_inventory_batch(ctx: JobContext, payload: InventorySyncBatch) -> InventoryBatchResult:
    """Bring stock levels up to date: of products, of a place, what has changed, or one step of a run over everything.

    Permanent: TOO_MANY_IDS, LOCATION_NOT_FOUND, SYNC_RUN_NOT_FOUND, BULK_TIMEOUT, BULK_REFUSED and the client's.
    """
    with ctx.tenant_session(read_only=True) as session:
        if not enabled(session, "inventory"):
            return InventoryBatchResult(mode="delta", outcome="disabled")
        shop_currency(session)
    if len(payload.product_ids or ()) > LIST_MAX:
        raise Permanent("TOO_MANY_IDS", f"more than {LIST_MAX} ids; send several messages")
    if payload.product_ids:
        return _list(ctx, payload.product_ids)
    if payload.sync_run_id is not None:
        if (payload.step or "start") != "start":
            return _result(*run_step(ctx, INVENTORY, payload))
        if not waits(run := runs.find(ctx, payload.sync_run_id, "inventory"), "start"):
            return _result(run, "already_past")
    id = payload.sync_run_id or ctx.run_id
    # From the first call on: a run that an entry, or an attempt before this one, has opened would stay open for hours.
    with runs.failing(ctx, id):
        try:
            return _begin(ctx, payload)
        except runs.Moved:
            return _result(runs.find(ctx, id, "inventory"), "already_past")


def _begin(ctx: JobContext, payload: InventorySyncBatch) -> InventoryBatchResult:
    """Read the places, then open, join or go on with the run that the message asks for."""
    shopify = ShopifyCatalog.connect(ctx, batch=True)
    read_places(ctx, shopify)
    run, ours = _opened(ctx, payload)
    if not ours:
        return _result(run, "joined")
    if run.mode == "full" or payload.sync_run_id is not None:
        return _result(*run_step(ctx, INVENTORY, payload.model_copy(update={"sync_run_id": run.id})))
    return _result(*read_pages(ctx, INVENTORY, run, shopify))


def _opened(ctx: JobContext, payload: InventorySyncBatch) -> tuple[Run, bool]:
    """The run of the message, opened or joined, with the places it covers; (run, whether it is ours)."""
    place = as_legacy_id(payload.location_id) if payload.location_id else None
    with ctx.tenant_session() as session:
        places = [row["id"] for row in session.all(PLACES)]
        if payload.location_id is not None and place not in places:
            raise Permanent("LOCATION_NOT_FOUND", "the shop has no active location of this id")
        if payload.sync_run_id is not None:
            return _prepared(ctx, session, runs.find_in(session, payload.sync_run_id, "inventory"), places), True
        full = payload.full_sync and place is None
        opened = runs.open_run(
            session,
            id=ctx.run_id,
            kind="inventory",
            mode="full" if full else "delta",
            now=ctx.now(),
            requested_by="app",
            watermark_from=None if payload.full_sync else runs.last_of(session, "inventory").since,
            filter={"partial": True, "locationId": place} if place else {},
        )
        if not opened.ours:
            return opened.run, False
        return _prepared(ctx, session, opened.run, [place] if place else places), True


def _prepared(ctx: JobContext, session: Session, run: Run, places: Sequence[str]) -> Run:
    """Settle once which places a run covers, and whether a full one is small enough to be read page by page."""
    if "places" in run.filter or run.status != "requested":
        return run
    runs.hold(session, run)
    paged = run.mode == "full" and bool(session.value(SIZE, {"most": PAGED_VARIANTS}))
    kept = {**run.filter, "places": list(places), **({"paged": True} if paged else {})}
    return runs.save(session, run, now=ctx.now(), filter=kept)


def _result(run: Run, outcome: str) -> InventoryBatchResult:
    figures = run.filter
    return InventoryBatchResult(
        run_id=run.id,
        mode=run.mode,
        outcome=outcome,
        levels=figures.get("levels", 0),
        changed=run.changed_count,
        differences=figures.get("differences", 0),
        unknown_items=figures.get("unknownItems", 0),
        removed=run.deleted_count,
        low=figures.get("low", 0),
        out=figures.get("out", 0),
    )


def _list(ctx: JobContext, named: Sequence[str]) -> InventoryBatchResult:
    """The levels of products' items, in calls of ITEMS_PER_CALL."""
    shopify = ShopifyCatalog.connect(ctx, batch=True)
    legacy_ids = [id for id in map(as_legacy_id, named) if id is not None]
    with ctx.tenant_session(read_only=True) as session:
        items = [row["id"] for row in session.all(ITEMS_OF, {"ids": list(named), "legacy_ids": legacy_ids})]
    place: dict[str, Any] = ctx.cursor or {"offset": 0, "levels": 0, "changed": 0, "differences": 0}
    while place["offset"] < len(items):
        asked = items[place["offset"] : place["offset"] + ITEMS_PER_CALL]
        nodes = [node for node in shopify.item_nodes(asked) if node is not None]
        with ctx.tenant_session() as session:
            stored, moved = write(ctx, session, _levels(nodes), ctx.run_id)
            add_moved(session, ctx.run_id, moved)
        place["offset"] += len(asked)
        place["levels"] += stored.merged
        place["changed"] += stored.changed
        place["differences"] += stored.kept["differences"]
        if place["offset"] < len(items) and ctx.remaining_s() < PAGE_ROOM_S:
            ctx.continue_from(place)
    fallen = judge_sellability(ctx, ctx.run_id)
    with ctx.final_session() as session:
        shop_read(session, ctx.now())
    return InventoryBatchResult(
        mode="list",
        outcome="completed",
        levels=place["levels"],
        changed=place["changed"],
        differences=place["differences"],
        low=fallen["low"],
        out=fallen["out"],
    )
