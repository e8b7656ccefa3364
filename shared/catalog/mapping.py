"""From Shopify's nodes (API 2026-10) to the columns of our tables: products, stock levels, collections.

Amounts are hundredths, rounded half up from the vendor's decimal text. The content hash leaves out what the inventory
jobs own (quantities), so that a sale does not count as a change of the product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from shared.catalog.records import (
    INT_MAX,
    CollectionRecord,
    Columns,
    LevelRecord,
    ProductRecord,
    content_hash,
    rows_json,
)
from shared.ids import legacy_id
from shared.jobs.errors import Permanent
from shared.money import cents

Node = Mapping[str, Any]

STATUS = {"ACTIVE": "active", "UNLISTED": "active", "DRAFT": "draft", "ARCHIVED": "archived"}
GRAMS = {
    "GRAMS": Decimal(1),
    "KILOGRAMS": Decimal(1000),
    "OUNCES": Decimal("28.349523125"),
    "POUNDS": Decimal("453.59237"),
}
"""Grams of a unit; the avoirdupois ounce and pound are exact by definition."""
MAX_GRAMS = Decimal(10**9)
"""What weighs as much, a thousand tons, has a typing error for its weight, and no room in our column."""


def children(connection: Any) -> Sequence[Any]:
    """The nodes of a connection that was read whole."""
    return () if connection is None else connection["nodes"]


def instant(text: str | None) -> datetime | None:
    """A vendor's instant."""
    return None if text is None else datetime.fromisoformat(text)


def money(text: str | None) -> int | None:
    """Cents of a decimal text. Raises Permanent AMOUNT_OUT_OF_RANGE when no column can hold them."""
    if text is None:
        return None
    amount = cents(text)
    if abs(amount) > INT_MAX:
        raise Permanent("AMOUNT_OUT_OF_RANGE", "an amount exceeds 21,474,836.47")
    return amount


# -- products ----------------------------------------------------------------------------------------------------------


def map_product(node: Node, currency: str) -> ProductRecord:
    """A product node with all variants and media. `currency`: of the shop's prices, ISO 4217.

    Raises Permanent PRODUCT_UNMAPPABLE, AMOUNT_OUT_OF_RANGE.
    """
    try:
        variants = sorted(children(node["variants"]), key=lambda v: v["position"])
        rows = tuple(_variant_row(variant, legacy_id(node["id"]), currency) for variant in variants)
        columns = _product_columns(node, variants, rows, currency)
        updated_at = datetime.fromisoformat(node["updatedAt"])
    except (KeyError, TypeError, ValueError) as error:
        raise Permanent("PRODUCT_UNMAPPABLE", f"{type(error).__name__}: {error}") from error
    legacy = columns["legacy_id"]
    hash = _product_hash(columns, rows)
    return ProductRecord(legacy, updated_at, columns, rows, hash, rows_json([columns]), rows_json(rows))


def _product_hash(columns: Columns, rows: Sequence[Columns]) -> str:
    fixed = {name: value for name, value in columns.items() if name not in ("inventory_quantity", "variants")}
    stock_free = [{name: value for name, value in row.items() if name != "inventory_quantity"} for row in rows]
    shown = [{name: value for name, value in v.items() if name != "inventory_quantity"} for v in columns["variants"]]
    return content_hash({"product": fixed, "rows": stock_free, "variants": shown})


def _product_columns(node: Node, variants: Sequence[Node], rows: Sequence[Columns], currency: str) -> Columns:
    cheapest = min(rows, key=lambda row: (row["price_cents"], row["position"]), default=None)
    media = children(node["media"])
    tracked = [row["inventory_quantity"] or 0 for row in rows if row["tracked"]]
    seo = node.get("seo") or {}
    return {
        "legacy_id": legacy_id(node["id"]),
        "shopify_gid": node["id"],
        "title": node["title"],
        "handle": node["handle"],
        "description": node["description"],
        "description_html": node["descriptionHtml"],
        "vendor": node["vendor"] or None,
        "product_type": node["productType"] or None,
        "status": STATUS[node["status"]],
        "tags": sorted({tag.strip() for tag in node["tags"] if tag.strip()}),
        "price_cents": cheapest and cheapest["price_cents"],
        "compare_at_price_cents": _compare_at(cheapest),
        "currency": currency,
        "inventory_quantity": min(sum(tracked), INT_MAX) if tracked else None,
        "inventory_policy": "continue" if any(row["inventory_policy"] == "continue" for row in rows) else "deny",
        "featured_image_url": _preview(node.get("featuredMedia")),
        "images": [_image(each) for each in media if each.get("image")],
        "variants": [_shown(variant, row) for variant, row in zip(variants, rows, strict=True)],
        "options": [{"id": o["id"], "name": o["name"], "values": list(o["values"])} for o in node["options"]],
        "seo_title": seo.get("title"),
        "seo_description": seo.get("description"),
        "published_at": node["publishedAt"],
        "created_at": node["createdAt"],
        "platform_data": {
            "category": node.get("category"),
            "isGiftCard": bool(node.get("isGiftCard")),
            "onlineStoreUrl": node.get("onlineStoreUrl"),
            "templateSuffix": node.get("templateSuffix"),
            "unlisted": node["status"] == "UNLISTED",
            "mediaCount": len(media),
        },
    }


def _compare_at(cheapest: Columns | None) -> int | None:
    """The compare-at price of the cheapest variant, where it is a reduction."""
    if cheapest is None or cheapest["compare_at_price_cents"] is None:
        return None
    above: int = cheapest["compare_at_price_cents"]
    return above if above > cheapest["price_cents"] else None


def _variant_row(variant: Node, product_id: str, currency: str) -> Columns:
    item = variant["inventoryItem"]
    cost = item.get("unitCost")
    weight = (item.get("measurement") or {}).get("weight")
    return {
        "shopify_variant_id": legacy_id(variant["id"]),
        "shopify_product_id": product_id,
        "inventory_item_id": legacy_id(item["id"]),
        "title": variant["title"],
        "sku": variant["sku"] or None,
        "barcode": variant["barcode"] or None,
        "position": variant["position"],
        "selected_options": [{"name": o["name"], "value": o["value"]} for o in variant["selectedOptions"]],
        "price_cents": money(variant["price"]),
        "compare_at_price_cents": money(variant["compareAtPrice"]),
        "unit_cost_cents": money(cost["amount"]) if cost else None,
        "currency": currency,
        "inventory_quantity": variant["inventoryQuantity"],
        "inventory_policy": variant["inventoryPolicy"].lower(),
        "tracked": item["tracked"],
        "available_for_sale": variant["availableForSale"],
        "requires_shipping": item["requiresShipping"],
        "weight_grams": _grams(weight),
        "image_url": _preview(next(iter(children(variant.get("media"))), None)),
    }


def _shown(variant: Node, row: Columns) -> Columns:
    """A member of products.variants: the names that the apps read."""
    weight = (variant["inventoryItem"].get("measurement") or {}).get("weight") or {}
    names = (
        "title", "sku", "barcode", "price_cents", "compare_at_price_cents", "inventory_quantity", "inventory_policy",
        "inventory_item_id", "available_for_sale", "position", "selected_options", "image_url",
    )  # fmt: skip
    return {
        "id": variant["id"],
        **{name: row[name] for name in names},
        "weight": weight.get("value"),
        "weight_unit": weight.get("unit"),
    }


def _grams(weight: Node | None) -> str | None:
    if weight is None:
        return None
    grams = (Decimal(str(weight["value"])) * GRAMS[weight["unit"]]).quantize(Decimal("0.001"), rounding=ROUND_HALF_UP)
    return str(grams) if grams < MAX_GRAMS else None


def _preview(media: Node | None) -> str | None:
    image = ((media or {}).get("preview") or {}).get("image")
    return image["url"] if image else None


def _image(media: Node) -> Columns:
    image = media["image"]
    return {
        "id": media["id"],
        "url": image["url"],
        "altText": media.get("alt"),
        "width": image.get("width"),
        "height": image.get("height"),
    }


# -- stock -------------------------------------------------------------------------------------------------------------


def map_level(node: Node, *, item_id: str, location_id: str) -> LevelRecord:
    """An inventory level; ids are digits. Its instant is the newest of the level's and its quantities'."""
    numbers = {each["name"]: each["quantity"] for each in node["quantities"]}
    instants = [node["updatedAt"], *(each.get("updatedAt") for each in node["quantities"])]
    return LevelRecord(
        item_id=item_id,
        location_id=location_id,
        available=numbers.get("available", 0),
        on_hand=numbers.get("on_hand"),
        committed=numbers.get("committed"),
        incoming=numbers.get("incoming"),
        updated_at=max(datetime.fromisoformat(text) for text in instants if text),
    )


# -- collections -------------------------------------------------------------------------------------------------------


def map_collection(node: Node) -> CollectionRecord:
    """A collection; smart when conditions are among its sources."""
    sources = node["sources"]
    seo = node.get("seo") or {}
    columns: Columns = {
        "id": legacy_id(node["id"]),
        "title": node["title"],
        "handle": node["handle"],
        "description_html": node["descriptionHtml"],
        "image_url": (node.get("image") or {}).get("url"),
        "seo_title": seo.get("title"),
        "seo_description": seo.get("description"),
        "collection_type": "smart" if any(_is_conditions(source) for source in sources) else "manual",
        "rules": list(sources),
        "sort_order": node.get("sortOrder"),
        "products_count": (node.get("productsCount") or {}).get("count"),
        "template_suffix": node.get("templateSuffix"),
        "shopify_updated_at": node["updatedAt"],
    }
    updated_at = datetime.fromisoformat(node["updatedAt"])
    return CollectionRecord(columns["id"], updated_at, columns, content_hash(columns))


def _is_conditions(source: Node) -> bool:
    return bool(source["__typename"] == "CollectionConditionsSource")
