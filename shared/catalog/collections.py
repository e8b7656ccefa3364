"""Writes collections, and which products are in them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.catalog.marks import mark_deleted, upsert_marks
from shared.catalog.records import CollectionRecord
from shared.jobs.context import Session
from shared.jobs.errors import Transient

SMART_MEMBERS_AGE = timedelta(hours=24)
"""Members of a smart collection move without its updatedAt; older lists are read again."""

UPSERT_COLLECTIONS = """
-- catalog: write collections
INSERT INTO shopify_collections AS c (
    id, title, handle, description_html, image_url, seo_title, seo_description, collection_type, rules, sort_order,
    products_count, template_suffix, shopify_updated_at, created_at, synced_at)
SELECT id, title, handle, description_html, image_url, seo_title, seo_description, collection_type, rules, sort_order,
       products_count, template_suffix, shopify_updated_at, %(now)s, %(now)s
FROM jsonb_to_recordset(%(collections)s::jsonb) AS r (
    id text, title text, handle text, description_html text, image_url text, seo_title text, seo_description text,
    collection_type text, rules jsonb, sort_order text, products_count integer, template_suffix text,
    shopify_updated_at timestamptz)
ORDER BY id
ON CONFLICT (id) DO UPDATE SET
    title = excluded.title,
    handle = excluded.handle,
    description_html = excluded.description_html,
    image_url = excluded.image_url,
    seo_title = excluded.seo_title,
    seo_description = excluded.seo_description,
    collection_type = excluded.collection_type,
    rules = excluded.rules,
    sort_order = excluded.sort_order,
    products_count = excluded.products_count,
    template_suffix = excluded.template_suffix,
    shopify_updated_at = excluded.shopify_updated_at,
    deleted_at = NULL,
    synced_at = excluded.synced_at
"""

TO_READ = """
-- catalog: collections whose members have never been read, or that are smart and were read long ago
SELECT id FROM shopify_collections
WHERE id = ANY(%(ids)s) AND (members_synced_at IS NULL
    OR (collection_type = 'smart' AND members_synced_at < %(read_before)s))
"""

DELETE_COLLECTIONS = """
-- catalog: collections that are gone at Shopify
WITH members AS (DELETE FROM shopify_collection_products WHERE collection_id = ANY(%(ids)s))
UPDATE shopify_collections SET deleted_at = %(now)s, synced_at = %(now)s
WHERE id = ANY(%(ids)s) AND deleted_at IS NULL
"""

UPSERT_MEMBERS = """
-- catalog: a page of the members of a collection, in its order
INSERT INTO shopify_collection_products AS m (collection_id, shopify_product_id, position, synced_at)
SELECT %(collection)s, t.id, t.position, %(stamp)s
FROM unnest(%(ids)s::text[], %(positions)s::integer[]) AS t (id, position)
ORDER BY t.id
ON CONFLICT (collection_id, shopify_product_id) DO UPDATE SET
    position = excluded.position, synced_at = excluded.synced_at
RETURNING m.shopify_product_id AS id, (m.xmax = 0) AS joined
"""

DELETE_MEMBERS = """
-- catalog: products that left a collection
DELETE FROM shopify_collection_products
WHERE collection_id = %(collection)s AND synced_at < %(stamp)s
RETURNING shopify_product_id AS id
"""

HOLD = """
-- catalog: lock a collection against other readings of its members
SELECT members_synced_at > %(stamp)s AS overtaken FROM shopify_collections WHERE id = %(id)s FOR UPDATE
"""

MEMBERS_READ = """
-- catalog: the members of a collection are complete
UPDATE shopify_collections SET members_synced_at = %(now)s, products_count = %(count)s WHERE id = %(collection)s
"""

UNKNOWN_PRODUCTS = """
-- catalog: products of which we have no row
SELECT t.id FROM unnest(%(ids)s::text[]) AS t (id)
WHERE NOT EXISTS (SELECT FROM products p WHERE p.shopify_product_id = t.id) ORDER BY t.id
"""


@dataclass(slots=True)
class CollectionCounts:
    """What a page did. `to_read`: collections whose members have to be read."""

    changed: set[str] = field(default_factory=set)
    stale: set[str] = field(default_factory=set)
    to_read: list[str] = field(default_factory=list)


def store_collections(
    session: Session, collections: Sequence[CollectionRecord], *, now: datetime, generation: int = 0
) -> CollectionCounts:
    """Write a page of collections without their members."""
    newest = {each.legacy_id: each for each in collections}
    marks = [(id, each.updated_at, each.content_hash) for id, each in sorted(newest.items())]
    seen = upsert_marks(session, "collection", marks, now=now, generation=generation)
    found = CollectionCounts(stale=set(newest) - set(seen))
    fresh = [newest[id].columns for id in sorted(seen) if seen[id].differs]
    if fresh:
        session.execute(UPSERT_COLLECTIONS, {"collections": json.dumps(fresh), "now": now})
    found.changed = {columns["id"] for columns in fresh}
    old = session.all(TO_READ, {"ids": sorted(seen), "read_before": now - SMART_MEMBERS_AGE})
    found.to_read = sorted(found.changed | {row["id"] for row in old})
    return found


def delete_collections(session: Session, ids: Sequence[str], *, now: datetime) -> int:
    """Note that collections are gone at Shopify and remove their members; how many were live."""
    if not ids:
        return 0
    mark_deleted(session, "collection", ids, now=now)
    return session.execute(DELETE_COLLECTIONS, {"ids": list(ids), "now": now})


def hold_members(session: Session, collection: str, *, stamp: datetime) -> bool:
    """Lock the member list for the reading that began at `stamp`; False when we hold no such collection.

    Raises Transient CATALOG_CONFLICT when another reading has ended since: which of the two is newer is not known, and
    the members of both would be mixed. The next attempt reads anew.
    """
    held = session.one(HOLD, {"id": collection, "stamp": stamp})
    if held is not None and held["overtaken"]:
        raise Transient("CATALOG_CONFLICT", "another reading of this collection has ended meanwhile")
    return held is not None


def put_members(session: Session, collection: str, ids: Sequence[str], first: int, *, stamp: datetime) -> set[str]:
    """Write a page of members whose positions begin at `first`; those that joined."""
    wanted = {"collection": collection, "ids": list(ids), "stamp": stamp}
    positions = list(range(first, first + len(ids)))
    rows = session.all(UPSERT_MEMBERS, {**wanted, "positions": positions})
    return {row["id"] for row in rows if row["joined"]}


def end_members(session: Session, collection: str, count: int, *, stamp: datetime, now: datetime) -> set[str]:
    """Remove the members that the reading of `stamp` has not seen, and note that the list is whole; those that left."""
    left = session.all(DELETE_MEMBERS, {"collection": collection, "stamp": stamp})
    session.execute(MEMBERS_READ, {"collection": collection, "count": count, "now": now})
    return {row["id"] for row in left}


def unknown_products(session: Session, ids: Sequence[str]) -> list[str]:
    """Those of these products (legacy ids) of which we have no row."""
    return [row["id"] for row in session.all(UNKNOWN_PRODUCTS, {"ids": list(ids)})]
