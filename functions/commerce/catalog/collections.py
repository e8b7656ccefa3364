"""Collections: one or all of them copied, with their rules; and the member list of one made equal to Shopify's."""

from __future__ import annotations

from collections.abc import Sequence, Set
from datetime import datetime
from typing import Any, Literal

from functions.commerce.catalog import runs
from functions.commerce.catalog.common import IDS_MAX, RETRY, enabled, object_key, shop_currency, tell_feed
from functions.commerce.catalog.products import FEED_EVENTS
from functions.commerce.catalog.runs import Run
from shared.catalog.collections import (
    CollectionCounts,
    delete_collections,
    end_members,
    hold_members,
    put_members,
    store_collections,
    unknown_products,
)
from shared.catalog.mapping import map_collection
from shared.catalog.marks import seen_at
from shared.events.alerts import AlertApiFailure
from shared.events.base import Payload
from shared.events.catalog import CollectionProductsSync, CollectionSync, ProductSyncBatch
from shared.ids import as_legacy_id, legacy_id
from shared.integrations.shopify_catalog import ShopifyCatalog
from shared.jobs import Delivery, JobContext, Permanent, Session, job
from shared.jobs.queues import CATALOG_SYNC

MEMBERS_IN_MEMORY = 50_000
"""Members of a collection that are held until its one transaction; more are written as they are read."""
PAGE_ROOM_S = 20.0
"""Seconds that must be left to begin another page."""

Outcome = Literal["synced", "unchanged", "deleted", "not_found", "skipped_stale", "disabled", "joined", "completed"]


class CollectionSyncResult(Payload):
    """Figures of the run, or of the one collection; `memberSyncs`: member lists that will be read."""

    outcome: Outcome
    collections: int = 0
    changed: int = 0
    deleted: int = 0
    member_syncs: int = 0


class CollectionProductsSyncResult(Payload):
    """`unknownProducts` were asked for."""

    outcome: Literal["synced", "deleted"]
    members: int = 0
    added: int = 0
    removed: int = 0
    unknown_products: int = 0


LIVE = """
-- catalog: collections that a full run has not seen, and how many there are
SELECT count(*) AS live,
       COALESCE(array_agg(c.id ORDER BY c.id) FILTER (WHERE m.external_id IS NULL
           OR (m.generation <> %(generation)s AND m.checked_at < %(started_at)s)), '{}') AS candidates
FROM shopify_collections c
LEFT JOIN catalog_sync_marks m ON m.kind = 'collection' AND m.external_id = c.id
WHERE c.deleted_at IS NULL
"""

KNOWN = """
-- catalog: whether we hold a collection
SELECT id FROM shopify_collections WHERE id = %(id)s
"""

EXCLUDED = """
-- catalog: whether an enabled exclusion rule of the connected feed names a collection, by id or handle
SELECT EXISTS (
    SELECT FROM google_feed_settings s
    JOIN shopify_collections c ON c.id = %(id)s
    CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(s.exclusion_rules) WHEN 'array' THEN s.exclusion_rules
                                            ELSE '[]' END) AS rule
    WHERE s.is_connected AND rule ->> 'type' = 'collection' AND COALESCE((rule ->> 'enabled')::boolean, true)
      AND regexp_replace(COALESCE(rule ->> 'value', ''), '^.*/', '') IN (c.id, c.handle)
)
"""


def run_key(payload: CollectionSync, delivery: Delivery) -> str:
    """One: id, action and updatedAt, else the message. All: the message."""
    named = (payload.shopify_collection_id, payload.collection_id)
    return object_key(delivery, *named, action=payload.action, updated_at=payload.updated_at)


@job(
    "commerce-collection-sync",
    on=CollectionSync,
    queue=CATALOG_SYNC,
    emits=(CollectionProductsSync, AlertApiFailure),
    retry=RETRY,
    timeout_s=600,
    key=run_key,
)
def sync_collections(ctx: JobContext, payload: CollectionSync) -> CollectionSyncResult:
    """Copy one collection, or all of them; have member lists read that may have changed, mark what is gone.

    Permanent: CATALOG_SHRUNK, COLLECTION_ID_INVALID and the Shopify client's.
    """
    with ctx.tenant_session(read_only=True) as session:
        if not enabled(session, "collections"):
            return CollectionSyncResult(outcome="disabled")
        shop_currency(session)
    named = payload.shopify_collection_id or payload.collection_id
    if named is not None:
        return _one(ctx, payload, _id_of(ctx, named))
    with ctx.tenant_session() as session:
        opened = runs.open_run(
            session,
            id=ctx.run_id,
            kind="collections",
            mode="full",
            now=ctx.now(),
            requested_by=payload.source or "app",
        )
    if not opened.ours:
        return CollectionSyncResult(outcome="joined")
    try:
        with runs.failing(ctx, opened.run.id):
            return _all(ctx, opened.run)
    except runs.Moved:
        return CollectionSyncResult(outcome="joined")


def _id_of(ctx: JobContext, named: str) -> str:
    id = as_legacy_id(named)
    if id is not None:
        return id
    raise Permanent("COLLECTION_ID_INVALID", "no collection has this id, and it is no Shopify id")


# -- one collection ----------------------------------------------------------------------------------------------------


def _one(ctx: JobContext, payload: CollectionSync, id: str) -> CollectionSyncResult:
    if payload.action == "delete":
        return _gone(ctx, id)
    with ctx.tenant_session(read_only=True) as session:
        seen = seen_at(session, "collection", id)
    if payload.updated_at is not None and seen is not None and payload.updated_at < seen:
        return CollectionSyncResult(outcome="skipped_stale")
    node = ShopifyCatalog.connect(ctx).collection(id)
    if node is None:
        return _gone(ctx, id)
    with ctx.final_session() as session:
        counts = store_collections(session, [map_collection(node)], now=ctx.now())
        _read_members(session, counts)
    outcome: Outcome = "skipped_stale" if counts.stale else "synced" if counts.changed else "unchanged"
    return CollectionSyncResult(
        outcome=outcome, collections=1, changed=len(counts.changed), member_syncs=len(counts.to_read)
    )


def _gone(ctx: JobContext, id: str) -> CollectionSyncResult:
    with ctx.final_session() as session:
        if session.one(KNOWN, {"id": id}) is None:
            return CollectionSyncResult(outcome="not_found")
        deleted = delete_collections(session, [id], now=ctx.now())
    return CollectionSyncResult(outcome="deleted", deleted=deleted)


def _read_members(session: Session, counts: CollectionCounts) -> None:
    events = [CollectionProductsSync(collection_id=id, shopify_collection_id=id) for id in counts.to_read]
    session.emit_many([(event, None) for event in events])


# -- all collections ---------------------------------------------------------------------------------------------------


def _all(ctx: JobContext, run: Run) -> CollectionSyncResult:
    """Pages by id, each its own transaction; the run's cursor says how far it has come."""
    shopify = ShopifyCatalog.connect(ctx, batch=True)
    while run.status != "reconciling":
        page = shopify.collections(run.cursor)
        records = [map_collection(node) for node in page.nodes]
        with ctx.tenant_session() as session:
            runs.hold(session, run)
            counts = store_collections(session, records, now=ctx.now(), generation=run.generation)
            _read_members(session, counts)
            member_syncs = run.filter.get("memberSyncs", 0) + len(counts.to_read)
            run = runs.save(
                session,
                run,
                now=ctx.now(),
                status="merging" if page.has_next else "reconciling",
                cursor=page.end_cursor,
                filter={**run.filter, "memberSyncs": member_syncs},
                root_count=(run.root_count or 0) + len(records),
                merged_count=run.merged_count + len(records),
                changed_count=run.changed_count + len(counts.changed),
                stale_count=run.stale_count + len(counts.stale),
            )
        ctx.progress(run.merged_count)
        if run.status != "reconciling" and ctx.remaining_s() < PAGE_ROOM_S:
            ctx.continue_from({"pages": run.merged_count})
    return _reconcile(ctx, run, shopify)


def _reconcile(ctx: JobContext, run: Run, shopify: ShopifyCatalog) -> CollectionSyncResult:
    """Deletions, judged after all pages."""
    seen: dict[str, Any] = {"generation": run.generation, "started_at": run.started_at}
    with ctx.tenant_session(read_only=True) as session:
        row = session.one(LIVE, seen) or {}
    candidates: list[str] = row["candidates"]
    doubtful = runs.doubtful(len(candidates), row["live"])
    if doubtful and runs.shrunk(shopify.collections_count(), run.root_count or 0):
        raise runs.refuse_deletion(ctx, run, candidates=len(candidates), live=row["live"])
    with ctx.final_session() as session:
        runs.hold(session, run)
        deleted = delete_collections(session, candidates, now=ctx.now())
        runs.complete(session, runs.save(session, run, now=ctx.now(), deleted_count=deleted), now=ctx.now())
    return CollectionSyncResult(
        outcome="completed",
        collections=run.merged_count,
        changed=run.changed_count,
        deleted=deleted,
        member_syncs=run.filter.get("memberSyncs", 0),
    )


# -- members -----------------------------------------------------------------------------------------------------------


@job(
    "commerce-collection-products-sync",
    on=CollectionProductsSync,
    queue=CATALOG_SYNC,
    emits=(ProductSyncBatch, *FEED_EVENTS, AlertApiFailure),
    retry=RETRY,
    timeout_s=300,
    key=lambda p, m: f"{as_legacy_id(p.collection_id) or p.collection_id}:{m.id}",
)
def sync_collection_products(ctx: JobContext, payload: CollectionProductsSync) -> CollectionProductsSyncResult:
    """Make the member list of one collection equal to Shopify's, in its order; ask for products that are new to us.

    Permanent: COLLECTION_ID_INVALID and the Shopify client's; transient: CATALOG_CONFLICT.
    """
    id = _id_of(ctx, payload.shopify_collection_id or payload.collection_id)
    shopify = ShopifyCatalog.connect(ctx, batch=True)
    place: dict[str, Any] = ctx.cursor or {"after": None, "position": 0, "stamp": ctx.now().isoformat(), "added": 0}
    pages: list[list[str]] = []
    held = 0
    while True:
        page = shopify.members(id, place["after"])
        if page is None:
            return _collection_gone(ctx, id)
        pages.append([legacy_id(node["id"]) for node in page.nodes])
        held += len(page.nodes)
        place["after"] = page.end_cursor
        if not page.has_next:
            return _end(ctx, id, pages, place)
        if held > MEMBERS_IN_MEMORY or ctx.remaining_s() < PAGE_ROOM_S:
            with ctx.tenant_session() as session:
                joined = _put(session, id, pages, place)
                _tell_feed(session, id, joined)
            ctx.continue_from(place)


def _collection_gone(ctx: JobContext, id: str) -> CollectionProductsSyncResult:
    with ctx.final_session() as session:
        delete_collections(session, [id], now=ctx.now())
    return CollectionProductsSyncResult(outcome="deleted")


def _put(session: Session, id: str, pages: Sequence[Sequence[str]], place: dict[str, Any]) -> set[str]:
    """Write pages of members behind `place` and move it; members that joined and whose product we hold."""
    stamp = datetime.fromisoformat(place["stamp"])
    if not hold_members(session, id, stamp=stamp):
        raise Permanent("COLLECTION_ID_INVALID", "we hold no collection of this id")
    joined: set[str] = set()
    unknown: set[str] = set()
    for page in pages:
        joined |= put_members(session, id, page, place["position"] + 1, stamp=stamp)
        unknown |= set(unknown_products(session, page))
        place["position"] += len(page)
    place["added"] += len(joined)
    place["unknown"] = place.get("unknown", 0) + len(unknown)
    _ask_for(session, sorted(unknown))
    return joined - unknown


def _tell_feed(session: Session, id: str, products: Set[str]) -> None:
    """Tell the feed of products that joined or left, if a rule of it names the collection."""
    if products and session.value(EXCLUDED, {"id": id}):
        tell_feed(session, sorted(products), triggered_by="webhook")


def _ask_for(session: Session, ids: Sequence[str]) -> None:
    asked = [ids[first : first + IDS_MAX] for first in range(0, len(ids), IDS_MAX)]
    session.emit_many([(ProductSyncBatch(shopify_product_ids=list(some)), None) for some in asked])


def _end(
    ctx: JobContext, id: str, pages: Sequence[Sequence[str]], place: dict[str, Any]
) -> CollectionProductsSyncResult:
    with ctx.final_session() as session:
        stamp = datetime.fromisoformat(place["stamp"])
        joined = _put(session, id, pages, place)
        left = end_members(session, id, place["position"], stamp=stamp, now=ctx.now())
        _tell_feed(session, id, joined | left)
    return CollectionProductsSyncResult(
        outcome="synced",
        members=place["position"],
        added=place["added"],
        removed=len(left),
        unknown_products=place["unknown"],
    )
