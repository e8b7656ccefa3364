"""Products as the database has them, with all that an offer is made of: one statement per page of products.

A product's key is its Shopify id, or products.id where there is none; google_feed_products and google_feed_offers call
it shopify_product_id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from shared.google_feed.settings import FeedSettings
from shared.jobs.context import Row, Session

PAGE = 500
"""Products per page: about 1,500 variants, some 3 MB in memory."""
SALES_WINDOW = timedelta(days=30)
"""Window of units sold, for labels."""
BESTSELLER_TOP = 0.10
"""Share of the variants, by units sold, that are bestsellers."""

# Members of a product are aggregated in the statement itself: a page is one statement, however many variants it has.
PRODUCTS = """
-- google feed: products with variants, overrides, images, collections and costs
SELECT p.id AS product_id, COALESCE(p.shopify_product_id, p.id) AS key, p.title, p.handle, p.description, p.vendor,
       p.product_type, p.tags, p.images, p.featured_image_url, p.published_at,
       p.platform_data ->> 'availabilityDate' AS availability_date,
       p.status = 'active' AND NOT COALESCE((p.platform_data ->> 'unlisted')::boolean, false)
           AND NOT COALESCE((p.platform_data ->> 'isGiftCard')::boolean, false) AS listed,
       COALESCE((
           SELECT jsonb_agg(jsonb_build_object(
                      'id', v.shopify_variant_id, 'sku', v.sku, 'barcode', v.barcode, 'options', v.selected_options,
                      'price', v.price_cents, 'compare_at', v.compare_at_price_cents, 'cost', v.unit_cost_cents,
                      'currency', v.currency, 'quantity', v.inventory_quantity, 'policy', v.inventory_policy,
                      'sellable', v.available_for_sale, 'weight', v.weight_grams, 'image', v.image_url)
                  ORDER BY v.position, v.shopify_variant_id)
           FROM product_variants v WHERE v.product_id = p.id), '[]') AS variants,
       COALESCE((
           SELECT jsonb_agg(to_jsonb(o) - 'id' ORDER BY o.created_at) FROM google_feed_products o
           WHERE o.shopify_product_id = COALESCE(p.shopify_product_id, p.id)), '[]') AS overrides,
       COALESCE((
           SELECT jsonb_agg(jsonb_build_object(
                      'variant', i.shopify_variant_id, 'url', i.original_url, 'better', i.optimized_url,
                      'width', i.original_width, 'height', i.original_height, 'status', i.status)
                  ORDER BY i.created_at)
           FROM google_feed_images i
           WHERE i.shopify_product_id = COALESCE(p.shopify_product_id, p.id)), '[]') AS pictures,
       COALESCE((
           SELECT jsonb_agg(jsonb_build_array(m.collection_id, c.handle))
           FROM shopify_collection_products m JOIN shopify_collections c ON c.id = m.collection_id
           WHERE m.shopify_product_id = p.shopify_product_id AND c.deleted_at IS NULL), '[]') AS collections,
       COALESCE((
           SELECT jsonb_object_agg(COALESCE(g.variant_id, ''), g.cogs_cents) FROM product_cogs g
           WHERE g.product_id IN (p.id, p.shopify_product_id)), '{}') AS costs
FROM products p
WHERE p.id = ANY(%(ids)s)
ORDER BY p.id
"""

LISTED = """
-- google feed: the next products that may be in the feed
SELECT p.id FROM products p
WHERE p.id > %(after)s AND p.status = 'active'
  AND NOT COALESCE((p.platform_data ->> 'unlisted')::boolean, false)
  AND NOT COALESCE((p.platform_data ->> 'isGiftCard')::boolean, false)
ORDER BY p.id LIMIT %(limit)s
"""

# An override that an application changes makes its row pending; updated_at would move with our own writes too.
MOVED = """
-- google feed: the next products that have moved since an instant
SELECT p.id FROM products p
WHERE p.id > %(after)s AND p.status = 'active'
  AND NOT COALESCE((p.platform_data ->> 'unlisted')::boolean, false)
  AND NOT COALESCE((p.platform_data ->> 'isGiftCard')::boolean, false)
  AND (p.synced_at >= %(since)s
       OR EXISTS (SELECT FROM product_variants v
                  WHERE v.product_id = p.id AND (v.synced_at >= %(since)s OR v.updated_at >= %(since)s))
       OR EXISTS (SELECT FROM google_feed_products o
                  WHERE o.shopify_product_id = COALESCE(p.shopify_product_id, p.id) AND o.sync_status = 'pending'))
ORDER BY p.id LIMIT %(limit)s
"""

BY_KEY = """
-- google feed: products.id of products by their keys
SELECT id FROM products
WHERE shopify_product_id = ANY(%(keys)s) OR (shopify_product_id IS NULL AND id = ANY(%(keys)s))
"""

UNITS = """
-- google feed: units sold per variant in a window, by the index on the time of orders; cancelled ones do not count
SELECT l.variant_id AS id, sum(l.quantity)::integer AS units
FROM orders o JOIN order_line_items l ON l.order_shopify_id = o.shopify_id
WHERE COALESCE(o.order_placed_at, o.created_at) >= %(since)s AND COALESCE(o.order_placed_at, o.created_at) < %(now)s
  AND o.cancelled_at IS NULL AND o.financial_status <> 'voided' AND l.variant_id IS NOT NULL
GROUP BY l.variant_id
"""

VARIANTS = """
-- google feed: how many variants there are
SELECT count(*)::integer FROM product_variants
"""


@dataclass(frozen=True, slots=True)
class Variant:
    """A row of product_variants. Amounts in cents, weight in grams."""

    id: str
    sku: str | None
    barcode: str | None
    options: tuple[tuple[str, str], ...]
    price: int
    compare_at: int | None
    cost: int | None
    currency: str
    quantity: int | None
    policy: str
    sellable: bool
    weight: float | None
    image: str | None


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known of an image: its size, and the copy that Google is shown instead."""

    url: str
    width: int | None
    height: int | None
    better: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """A product with everything that its offers are made of.

    `overrides`: rows of google_feed_products by variant id ("" for the whole product); `pictures` by address;
    `costs`: cents by variant id ("" for the product); `collections`: ids and handles, lower case.
    """

    id: str
    key: str
    title: str
    handle: str | None
    description: str | None
    vendor: str | None
    product_type: str | None
    tags: tuple[str, ...]
    published_at: datetime | None
    availability_date: str | None
    listed: bool
    variants: tuple[Variant, ...]
    images: tuple[Picture, ...]
    featured: str | None
    overrides: Mapping[str, Mapping[str, Any]]
    pictures: Mapping[str, Picture]
    collections: frozenset[str]
    costs: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Sales:
    """Units sold per variant in SALES_WINDOW; `bestseller_from`: units from which on a variant is a bestseller."""

    units: Mapping[str, int] = field(default_factory=dict)
    bestseller_from: int | None = None


def load_products(session: Session, ids: Sequence[str]) -> list[Product]:
    """Products by products.id, in order of id; unknown ids are passed over."""
    return [_product(row) for row in session.all(PRODUCTS, {"ids": list(ids)})] if ids else []


def products_by_key(session: Session, keys: Sequence[str]) -> dict[str, Product]:
    """Products by key; listed or not."""
    ids = [row["id"] for row in session.all(BY_KEY, {"keys": list(keys)})] if keys else []
    return {product.key: product for product in load_products(session, ids)}


def next_page(session: Session, after: str, *, since: datetime | None = None, limit: int = PAGE) -> list[Product]:
    """The page of listed products behind `after` (products.id); with `since` only those that moved."""
    values = {"after": after, "since": since, "limit": limit}
    rows = session.all(LISTED if since is None else MOVED, values)
    return load_products(session, [row["id"] for row in rows])


def sales(session: Session, settings: FeedSettings, now: datetime) -> Sales:
    """Units sold, where a label rule asks for them; they are one grouped statement over 30 days of orders."""
    kinds = {str(rule.get("type") or "") for rule in settings.label_rules.values()}
    fields = {str(c.get("field")) for rule in settings.label_rules.values() for c in _conditions(rule)}
    if "bestseller" not in kinds and "units_30d" not in fields:
        return Sales()
    rows = session.all(UNITS, {"since": now - SALES_WINDOW, "now": now})
    units = {row["id"]: row["units"] for row in rows if row["units"] > 0}
    return Sales(units, _bestseller_from(units.values(), session.value(VARIANTS)))


def _bestseller_from(units: Any, variants: int) -> int | None:
    """Units of the last of the top tenth; variants with as many as that one belong to it."""
    ranked = sorted(units, reverse=True)
    place = max(1, int(variants * BESTSELLER_TOP))
    return ranked[min(place, len(ranked)) - 1] if ranked else None


def _conditions(rule: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    found = rule.get("conditions")
    yield from (c for c in found if isinstance(c, dict)) if isinstance(found, list) else ()


def _product(row: Row) -> Product:
    return Product(
        id=row["product_id"],
        key=row["key"],
        title=row["title"] or "",
        handle=row["handle"],
        description=row["description"],
        vendor=row["vendor"],
        product_type=row["product_type"],
        tags=tuple(row["tags"] or ()),
        published_at=row["published_at"],
        availability_date=row["availability_date"],
        listed=row["listed"],
        variants=tuple(_variant(each) for each in row["variants"]),
        images=tuple(
            Picture(each["url"], each.get("width"), each.get("height"))
            for each in row["images"] or ()
            if isinstance(each, dict) and each.get("url")
        ),
        featured=row["featured_image_url"],
        overrides={each["shopify_variant_id"] or "": each for each in row["overrides"]},
        pictures={
            each["url"]: Picture(each["url"], each["width"], each["height"], each["better"], each["status"])
            for each in row["pictures"]
        },
        collections=frozenset(str(name).lower() for pair in row["collections"] for name in pair),
        costs={str(variant): cents for variant, cents in row["costs"].items()},
    )


def _variant(member: Mapping[str, Any]) -> Variant:
    options = member["options"] if isinstance(member["options"], list) else []
    named = ((str(o.get("name") or ""), str(o.get("value") or "")) for o in options if isinstance(o, dict))
    return Variant(**{**member, "options": tuple(named)})
