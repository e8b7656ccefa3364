"""The attributes of one offer, in the names of Merchant API v1's ProductAttributes.

developers.google.com/merchant/api/reference/rest/products_v1/ProductAttributes, looked at 2026-11. Prices are micros
of the currency as text: cents * 10,000. An attribute without a value is left out; a tax attribute does not exist.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from urllib.parse import quote

from shared.google_feed.catalogue import Picture, Product, Variant
from shared.google_feed.settings import FeedSettings
from shared.google_feed.validation import valid_gtin
from shared.money import cents

TITLE_MAX = 150
DESCRIPTION_MAX = 5000
PRODUCT_TYPES_MAX = 750
ADDITIONAL_IMAGES_MAX = 10
MICROS_PER_CENT = 10_000
BACKORDER_DAYS = 14
"""Days until a backordered offer is taken to be available, where nobody says when."""
USABLE = ("optimized", "approved")
"""States of a copy that Google may be shown."""
OPTION_NAMES = {"color": ("color", "colour"), "size": ("size",), "material": ("material",), "pattern": ("pattern",)}
PLACEHOLDERS = frozenset({"unknown", "n/a", "generic", "no brand", "does not exist"})
"""Words that Google refuses as a brand (support.google.com/merchants/answer/6324351)."""
NO_OPTION = "default title"
"""The value that Shopify gives a product without options."""

Attributes = dict[str, Any]

_TAG = re.compile(r"<[^>]*>")
_SPACES = re.compile(r"\s+")


def money(amount_cents: int, currency: str) -> dict[str, str]:
    """A Price."""
    return {"amountMicros": str(amount_cents * MICROS_PER_CENT), "currencyCode": currency}


def cut(text: str, most: int) -> str:
    """A text of at most `most` characters, the last three of them dots where something is missing."""
    return text if len(text) <= most else text[: most - 3].rstrip() + "..."


def plain(text: str | None) -> str:
    """Text without tags and entities, spaces joined."""
    return _SPACES.sub(" ", html.unescape(_TAG.sub(" ", text or ""))).strip()


def _one_line(text: str | None) -> str:
    """A title is no HTML: only its spaces are joined."""
    return _SPACES.sub(" ", text or "").strip()


@dataclass(frozen=True, slots=True)
class Source:
    """Everything that one offer is made of. `override`: the rows of google_feed_products merged, variant over product;
    `several`: the product gives more than one offer; `by_variant`: offers are variants."""

    settings: FeedSettings
    storefront: str
    product: Product
    variant: Variant
    override: Mapping[str, Any]
    several: bool
    by_variant: bool
    now: datetime


def merged(product: Product, variant_id: str) -> dict[str, Any]:
    """The overrides of a variant, field by field over those of its product; what is empty says nothing."""
    whole, own = product.overrides.get("", {}), product.overrides.get(variant_id, {})
    return {**whole, **{name: value for name, value in own.items() if value not in (None, "", [], False)}}


def content(source: Source) -> Attributes:
    """All attributes but price and availability."""
    override, product = source.override, source.product
    brand = _brand(source)
    gtin = _first(override.get("gtin"), source.variant.barcode)
    mpn = _first(override.get("mpn"), source.variant.sku)
    kind = _first(override.get("product_type"), product.product_type)
    condition = override.get("condition_override") or source.settings.default_condition
    category = _first(override.get("google_category_id"), source.settings.categories.get(product.product_type or ""))
    title = _title(source)
    images = image_links(source)
    known: Attributes = {
        "title": cut(title, TITLE_MAX),
        "description": cut(_description(source) or title, DESCRIPTION_MAX),
        "link": _link(source),
        "imageLink": images[0] if images else "",
        "additionalImageLinks": images[1 : ADDITIONAL_IMAGES_MAX + 1],
        "brand": brand,
        "gtins": [gtin.strip()] if valid_gtin(gtin) else [],
        "mpn": mpn,
        "googleProductCategory": category,
        "productTypes": [cut(kind, PRODUCT_TYPES_MAX)] if kind else [],
        "condition": str(condition).upper(),
        "ageGroup": str(override.get("age_group") or "").upper(),
        "gender": str(override.get("gender") or "").upper(),
        "itemGroupId": product.key if source.several else "",
    }
    known |= {name: _option(source, name, names) for name, names in OPTION_NAMES.items()}
    known |= _shipping(source)
    found = {name: value for name, value in known.items() if value not in ("", None, [])}
    if not found.get("gtins") and not (brand and mpn):
        found["identifierExists"] = False
    if override.get("adult"):
        found["adult"] = True
    return found


def offered_gtin(source: Source) -> str:
    """The GTIN that the shop gives, be it valid or not."""
    return _first(source.override.get("gtin"), source.variant.barcode)


def title_is_cut(source: Source) -> bool:
    """Whether the title was too long."""
    return len(_title(source)) > TITLE_MAX


def _title(source: Source) -> str:
    own = _one_line(source.override.get("title_override"))
    if own:
        return own
    values = [v for _, v in source.variant.options if v and v.strip().lower() != NO_OPTION]
    title = _one_line(source.product.title)
    return f"{title} - {' / '.join(values)}" if title and values and source.several else title


def _brand(source: Source) -> str:
    named = (source.override.get("brand_override"), source.settings.default_brand, source.product.vendor)
    return _first(*(each for each in named if each and each.strip().lower() not in PLACEHOLDERS))


def _description(source: Source) -> str:
    return plain(source.override.get("description_override")) or plain(source.product.description)


def has_description(source: Source) -> bool:
    """Whether somebody has described the product."""
    return bool(_description(source))


def _link(source: Source) -> str:
    if not source.product.handle:
        return ""
    link = f"{source.storefront}/products/{quote(source.product.handle, safe='')}"
    return f"{link}?variant={source.variant.id}" if source.by_variant else link


def original_images(source: Source) -> list[Picture]:
    """The offer's images as the shop has them, its own one first."""
    known = {each.url: each for each in source.product.images}
    own = [url for url in (source.variant.image, source.product.featured) if url]
    extra = source.override.get("additional_image_urls")
    others = [str(url) for url in extra if url] if isinstance(extra, list) and extra else list(known)
    order = list(dict.fromkeys([*(own[:1] or list(known)[:1]), *others, *own]))
    return [known.get(url) or Picture(url, None, None) for url in order]


def image_links(source: Source) -> list[str]:
    """The addresses that Google is shown: a conforming copy where there is one."""
    return [_shown(source.product, each.url) for each in original_images(source)]


def image_size(source: Source) -> tuple[int, int] | None:
    """Width and height of the offer's first image, where they are known."""
    pictures = original_images(source)[:1]
    for each in pictures:
        judged = source.product.pictures.get(each.url)
        for one in (judged, each):
            if one is not None and one.width and one.height:
                return one.width, one.height
    return None


def _shown(product: Product, url: str) -> str:
    picture = product.pictures.get(url)
    return picture.better if picture and picture.better and picture.status in USABLE else url


def _option(source: Source, name: str, names: tuple[str, ...]) -> str:
    own = str(source.override.get(name) or "").strip()
    found = (v for n, v in source.variant.options if n.strip().lower() in names and v.strip().lower() != NO_OPTION)
    return own or next(found, "")


def _shipping(source: Source) -> Attributes:
    override = source.override
    weight = override.get("shipping_weight_grams") or source.variant.weight
    sides = {side: override.get(f"shipping_{side}_cm") for side in ("length", "width", "height")}
    found: Attributes = {
        "shippingLabel": _first(override.get("shipping_label"), source.settings.default_shipping_label)
    }
    if weight and float(weight) > 0:
        found["shippingWeight"] = {"value": _plain_number(weight), "unit": "g"}
    if all(sides.values()):
        found |= {f"shipping{s.title()}": {"value": _plain_number(v), "unit": "cm"} for s, v in sides.items()}
    found["shipping"] = shipping_costs(source.settings.shipping_overrides, source.settings.target_country)
    return found


def shipping_costs(overrides: Any, country: str) -> list[Attributes]:
    """The shop's shipping costs as Google's Shipping; the price is a text such as "5.99 USD". Malformed ones are left
    out: the account's own settings apply then."""
    found: list[Attributes] = []
    for each in overrides if isinstance(overrides, list) else ():
        price = _price_of(each.get("price")) if isinstance(each, dict) else None
        if price is not None:
            texts = {name: str(each[name]) for name in ("region", "service") if each.get(name)}
            found.append({"country": str(each.get("country") or country).upper(), **texts, "price": price})
    return found


def _price_of(text: Any) -> dict[str, str] | None:
    match = re.fullmatch(r"\s*([0-9]{1,9}(?:\.[0-9]{1,2})?)\s+([A-Za-z]{3})\s*", str(text or ""))
    return money(cents(match[1]), match[2].upper()) if match else None


# -- what changes often ------------------------------------------------------------------------------------------------


def prices(source: Source) -> Attributes:
    """price, salePrice, salePriceEffectiveDate."""
    variant, currency = source.variant, source.variant.currency
    found: Attributes = {"price": money(variant.price, currency)}
    if variant.compare_at is not None and variant.compare_at > variant.price:
        found = {"price": money(variant.compare_at, currency), "salePrice": money(variant.price, currency)}
    sale = source.override.get("sale_price_cents")
    start, end = (_instant(source.override.get(f"sale_price_effective_{edge}")) for edge in ("start", "end"))
    if sale is None or not 0 < sale < variant.price or (end is not None and end <= source.now):
        return found
    found["salePrice"] = money(sale, currency)
    if start is not None and end is not None:
        found["salePriceEffectiveDate"] = {"startTime": _stamp(start), "endTime": _stamp(end)}
    return found


def availability(source: Source) -> Attributes:
    """availability, and availabilityDate where Google asks for it."""
    variant, wanted = source.variant, source.settings.default_availability
    if not variant.sellable:
        return {"availability": "OUT_OF_STOCK"}
    empty = variant.quantity is not None and variant.quantity <= 0 and variant.policy.lower() == "continue"
    date = _instant(source.product.availability_date)
    if empty and wanted == "backorder":
        later = datetime.combine((source.now + timedelta(days=BACKORDER_DAYS)).date(), time.min, UTC)
        return {"availability": "BACKORDER", "availabilityDate": _stamp(date or later)}
    if empty and wanted == "preorder" and date is not None:
        return {"availability": "PREORDER", "availabilityDate": _stamp(date)}
    return {"availability": "IN_STOCK"}


def _instant(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _stamp(instant: datetime) -> str:
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _first(*texts: Any) -> str:
    """The first text that is not empty."""
    return next((str(text).strip() for text in texts if text is not None and str(text).strip()), "")


def _plain_number(value: Any) -> int | float:
    number = float(value)
    return int(number) if number.is_integer() else number
