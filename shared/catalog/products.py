"""Writes products and their variants: the ONE way in which a product reaches our tables.

A single sync, a list, a page of changes and a full export all call store_products, in a transaction per chunk and with
a constant number of statements. An answer older than the stored one changes nothing; one that says nothing new moves
the mark only. Quantities are settled apart from the rest (shared.catalog.stock): a variant with levels keeps their sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from psycopg.errors import UniqueViolation

from shared.catalog.marks import mark_deleted, upsert_marks
from shared.catalog.records import ProductRecord, document
from shared.catalog.stock import Moved, observe_quantities, unjudged
from shared.jobs.context import Row, Session
from shared.jobs.errors import Transient

Outcome = Literal["created", "updated", "unchanged", "stale"]

HELD = """
-- catalog: of the products that are about to be written, what the product feed shows
SELECT p.shopify_product_id AS legacy_id, p.title, p.description_html, p.price_cents, p.compare_at_price_cents,
       p.status::text AS status, p.tags, p.images, p.vendor, p.product_type,
       (SELECT COALESCE(jsonb_agg(jsonb_build_array(v.shopify_variant_id, v.title, v.sku, v.barcode, v.price_cents,
                                                    v.compare_at_price_cents, v.available_for_sale, v.image_url)
                                  ORDER BY v.position, v.shopify_variant_id), '[]')
        FROM product_variants v WHERE v.product_id = p.id) AS variants
FROM products p
WHERE p.shopify_product_id = ANY(%(ids)s)
"""

UPSERT_PRODUCTS = """
-- catalog: write the products of a chunk; a new one is named by its handle where that is free
INSERT INTO products AS p (
    id, shopify_product_id, shopify_gid, title, handle, description, description_html, vendor, product_type, status,
    tags, price_cents, compare_at_price_cents, currency, inventory_quantity, inventory_policy, featured_image_url,
    images, variants, options, seo_title, seo_description, published_at, created_at, platform_data, synced_at)
SELECT
    CASE WHEN r.handle IS NULL OR EXISTS (SELECT FROM products x WHERE x.id = r.handle) THEN r.legacy_id
         ELSE r.handle END,
    r.legacy_id, r.shopify_gid, r.title, r.handle, r.description, r.description_html, r.vendor, r.product_type,
    r.status, r.tags, r.price_cents, r.compare_at_price_cents, r.currency, r.inventory_quantity, r.inventory_policy,
    r.featured_image_url, r.images, r.variants, r.options, r.seo_title, r.seo_description, r.published_at,
    r.created_at, r.platform_data, %(now)s
FROM jsonb_to_recordset(%(products)s::jsonb) AS r (
    legacy_id text, shopify_gid text, title text, handle text, description text, description_html text, vendor text,
    product_type text, status product_status, tags text[], price_cents integer, compare_at_price_cents integer,
    currency text, inventory_quantity integer, inventory_policy text, featured_image_url text, images jsonb,
    variants jsonb, options jsonb, seo_title text, seo_description text, published_at timestamptz,
    created_at timestamptz, platform_data jsonb)
ORDER BY r.legacy_id
ON CONFLICT (shopify_product_id) DO UPDATE SET
    shopify_gid = excluded.shopify_gid,
    title = excluded.title,
    handle = excluded.handle,
    description = excluded.description,
    description_html = excluded.description_html,
    vendor = excluded.vendor,
    product_type = excluded.product_type,
    status = excluded.status,
    tags = excluded.tags,
    price_cents = excluded.price_cents,
    compare_at_price_cents = excluded.compare_at_price_cents,
    currency = excluded.currency,
    inventory_policy = excluded.inventory_policy,
    featured_image_url = excluded.featured_image_url,
    images = excluded.images,
    variants = excluded.variants,
    options = excluded.options,
    seo_title = excluded.seo_title,
    seo_description = excluded.seo_description,
    published_at = excluded.published_at,
    platform_data = (COALESCE(p.platform_data, '{}') - 'deletedAt') || excluded.platform_data,
    synced_at = excluded.synced_at
RETURNING p.shopify_product_id AS legacy_id, p.id
"""

DELETE_VARIANTS = """
-- catalog: variants that the products of a chunk no longer have
DELETE FROM product_variants v
USING unnest(%(product_ids)s::text[]) AS t (product_id)
WHERE v.product_id = t.product_id AND v.shopify_variant_id <> ALL(%(kept)s::text[])
"""

# The quantity of a variant that we hold is left to shared.catalog.stock.
UPSERT_VARIANTS = """
-- catalog: write the variants of a chunk
INSERT INTO product_variants AS v (
    shopify_variant_id, product_id, shopify_product_id, inventory_item_id, title, sku, barcode, position,
    selected_options, price_cents, compare_at_price_cents, unit_cost_cents, currency, inventory_quantity,
    inventory_policy, tracked, available_for_sale, requires_shipping, weight_grams, image_url, created_at, updated_at,
    synced_at)
SELECT
    r.shopify_variant_id, t.product_id, r.shopify_product_id, r.inventory_item_id, r.title, r.sku, r.barcode,
    r.position, r.selected_options, r.price_cents, r.compare_at_price_cents, r.unit_cost_cents, r.currency,
    r.inventory_quantity, r.inventory_policy, r.tracked, r.available_for_sale, r.requires_shipping, r.weight_grams,
    r.image_url, %(now)s, %(now)s, %(now)s
FROM jsonb_to_recordset(%(variants)s::jsonb) AS r (
    shopify_variant_id text, shopify_product_id text, inventory_item_id text, title text, sku text,
    barcode text, position integer, selected_options jsonb, price_cents integer, compare_at_price_cents integer,
    unit_cost_cents integer, currency text, inventory_quantity integer, inventory_policy text, tracked boolean,
    available_for_sale boolean, requires_shipping boolean, weight_grams numeric, image_url text)
JOIN unnest(%(legacy_ids)s::text[], %(product_ids)s::text[]) AS t (legacy_id, product_id)
  ON t.legacy_id = r.shopify_product_id
ORDER BY r.shopify_variant_id
ON CONFLICT (shopify_variant_id) DO UPDATE SET
    product_id = excluded.product_id,
    shopify_product_id = excluded.shopify_product_id,
    inventory_item_id = excluded.inventory_item_id,
    title = excluded.title,
    sku = excluded.sku,
    barcode = excluded.barcode,
    position = excluded.position,
    selected_options = excluded.selected_options,
    price_cents = excluded.price_cents,
    compare_at_price_cents = excluded.compare_at_price_cents,
    unit_cost_cents = excluded.unit_cost_cents,
    currency = excluded.currency,
    inventory_policy = excluded.inventory_policy,
    tracked = excluded.tracked,
    available_for_sale = excluded.available_for_sale,
    requires_shipping = excluded.requires_shipping,
    weight_grams = excluded.weight_grams,
    image_url = excluded.image_url,
    updated_at = excluded.updated_at,
    synced_at = excluded.synced_at
"""

ARCHIVE = """
-- catalog: products that Shopify no longer has; the row stays, because orders, reviews and costs point to it
WITH gone AS (
    UPDATE products p
    SET status = 'archived', synced_at = %(now)s,
        platform_data = COALESCE(p.platform_data, '{}') || jsonb_build_object('deletedAt', %(at)s::text)
    WHERE p.shopify_product_id = ANY(%(ids)s)
      AND NOT (p.status = 'archived' AND COALESCE(p.platform_data, '{}') ? 'deletedAt')
    RETURNING p.id, p.shopify_product_id
), variants AS (
    DELETE FROM product_variants v USING gone WHERE v.product_id = gone.id RETURNING v.shopify_variant_id
), members AS (
    DELETE FROM shopify_collection_products m USING gone WHERE m.shopify_product_id = gone.shopify_product_id
)
SELECT gone.shopify_product_id AS id, (SELECT count(*) FROM variants) AS variants FROM gone
"""


@dataclass(slots=True)
class ProductCounts:
    """What a chunk did. `feed_changed`: products of which the feed shows something else now. `moved`: variants whose
    quantity changed, or whose stock has never been judged, as shared.catalog.stock wants them."""

    by_id: dict[str, Outcome] = field(default_factory=dict)
    variants: int = 0
    variants_removed: int = 0
    feed_changed: list[str] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)

    def count(self, *outcomes: Outcome) -> int:
        """How many products ended so."""
        number = Counter(self.by_id.values())
        return sum(number[outcome] for outcome in outcomes)


def store_products(
    session: Session,
    products: Sequence[ProductRecord],
    *,
    now: datetime,
    generation: int = 0,
    taken_at: datetime | None = None,
) -> ProductCounts:
    """Write a chunk of products (500 at most is wise). `generation`: of the full run that saw them; `taken_at`: when
    the file was begun that they come from.

    Raises Transient CATALOG_CONFLICT when someone else takes one of the ids at the same moment.
    """
    newest = _newest(products)
    if not newest:
        return ProductCounts()
    marks = [(id, product.updated_at, product.content_hash) for id, product in sorted(newest.items())]
    with conflicts_are_transient():
        seen = upsert_marks(session, "product", marks, now=now, generation=generation, taken_at=taken_at)
        found = ProductCounts(by_id={id: "stale" if id not in seen else "unchanged" for id in newest})
        fresh = [newest[id] for id in sorted(seen) if seen[id].differs]
        rewritten = _write(session, fresh, found, now) if fresh else []
        stored = [product for id, product in newest.items() if id in seen]
        quantities = {v["shopify_variant_id"]: v["inventory_quantity"] for p in stored for v in p.variants}
        found.moved = observe_quantities(session, quantities, now=now, rewritten=rewritten)
        known = {moved.variant_id for moved in found.moved}
        ids = [v["shopify_variant_id"] for p in fresh for v in p.variants if v["shopify_variant_id"] not in known]
        found.moved += unjudged(session, ids)
    found.variants = sum(len(product.variants) for product in stored)
    return found


def archive_products(session: Session, ids: Sequence[str], *, now: datetime) -> tuple[list[str], int]:
    """Archive products that are gone at Shopify; (legacy ids of those that were not archived so yet, variants)."""
    if not ids:
        return [], 0
    mark_deleted(session, "product", ids, now=now)
    gone = session.all(ARCHIVE, {"ids": list(ids), "now": now, "at": now.isoformat()})
    return sorted(row["id"] for row in gone), gone[0]["variants"] if gone else 0


@contextmanager
def conflicts_are_transient() -> Iterator[None]:
    """A unique key taken by someone else meanwhile: the next attempt sees their row."""
    try:
        yield
    except UniqueViolation as error:
        raise Transient(
            "CATALOG_CONFLICT", f"someone else wrote at the same time ({error.diag.constraint_name})"
        ) from error


def _newest(products: Sequence[ProductRecord]) -> dict[str, ProductRecord]:
    newest: dict[str, ProductRecord] = {}
    for product in products:
        held = newest.get(product.legacy_id)
        if held is None or product.updated_at >= held.updated_at:
            newest[product.legacy_id] = product
    return newest


def _write(session: Session, fresh: Sequence[ProductRecord], found: ProductCounts, now: datetime) -> list[str]:
    """Write products that say something new; products.id of those that were held before."""
    held = {row["legacy_id"]: row for row in session.all(HELD, {"ids": [p.legacy_id for p in fresh]})}
    written = session.all(UPSERT_PRODUCTS, {"products": document(p.columns_json for p in fresh), "now": now})
    ids = {row["legacy_id"]: row["id"] for row in written}
    if held:
        kept = [row["shopify_variant_id"] for product in fresh for row in product.variants]
        removed = {"product_ids": [ids[id] for id in sorted(held)], "kept": kept}
        found.variants_removed = session.execute(DELETE_VARIANTS, removed)
    variants = document(product.variants_json for product in fresh)
    session.execute(
        UPSERT_VARIANTS,
        {"variants": variants, "legacy_ids": list(ids), "product_ids": list(ids.values()), "now": now},
    )
    for product in fresh:
        before = held.get(product.legacy_id)
        found.by_id[product.legacy_id] = "updated" if before else "created"
        if before is None or _shown_before(before) != _shown_now(product):
            found.feed_changed.append(product.legacy_id)
    return [ids[id] for id in sorted(held)]


def _shown_before(row: Row) -> dict[str, Any]:
    """What the feed shows of a stored product."""
    return {name: value for name, value in row.items() if name != "legacy_id"}


def _shown_now(product: ProductRecord) -> dict[str, Any]:
    names = (
        "title", "description_html", "price_cents", "compare_at_price_cents", "status", "tags", "images", "vendor",
        "product_type",
    )  # fmt: skip
    of_variant = (
        "shopify_variant_id", "title", "sku", "barcode", "price_cents", "compare_at_price_cents", "available_for_sale",
        "image_url",
    )  # fmt: skip
    ordered = sorted(product.variants, key=lambda v: (v["position"], v["shopify_variant_id"]))
    shown = {name: product.columns[name] for name in names}
    return {**shown, "variants": [[variant[name] for name in of_variant] for variant in ordered]}
