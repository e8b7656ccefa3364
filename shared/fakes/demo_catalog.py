"""What the demo shop sells: the albums that the purchases of cdnow.py name, as CD and as record, in two places.

Some of it is not as it should be, so that the product feed has something to say: every 20th album's record is sold
out, every 50th album has no picture, and Google (demo_merchant.py) objects to some others. No album is two of these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from shared.fakes.cdnow_order import ALBUMS, FIRST_PRODUCT, FIRST_VARIANT, mix
from shared.fakes.shopify.catalog import location_node, product_node, variant_node
from shared.fakes.shopify.shop import Shop

PLACES = {1: "Warehouse", 2: "Shop"}
RECORDS_FROM = 5_000
"""A record's variant id is the CD's and this."""
IMAGE_SIDE = 1_500
"""Pixels of an album's picture."""


def is_sold_out(album: int) -> bool:
    """Whether the album's record is nowhere any more."""
    return album % 20 == 3


def has_picture(album: int) -> bool:
    """Whether the album has a picture."""
    return album % 50 != 7


def offer_ids(album: int) -> tuple[str, str]:
    """What the feed calls the album's CD and its record."""
    product, cd = FIRST_PRODUCT + album, FIRST_VARIANT + album
    return f"{product}_{cd}", f"{product}_{cd + RECORDS_FROM}"


def fill(shop: Shop) -> None:
    """Put all albums and their stock into a shop; the same numbers each time."""
    for place, name in PLACES.items():
        shop.catalog.put(location_node(place, name=name))
    for album in range(1, ALBUMS + 1):
        variants = list(_variants(album))
        shop.catalog.put(product_node(FIRST_PRODUCT + album, variants, **_product(album)))
        for variant in variants:
            item = int(variant["inventoryItem"]["id"].rsplit("/", 1)[1])
            for place in PLACES:
                shop.catalog.stock(item, place, mix(album, item, place) % 40 if variant["availableForSale"] else 0)


def _variants(album: int) -> Iterator[dict[str, Any]]:
    cd = FIRST_VARIANT + album
    yield variant_node(cd, "12.99", title="CD", sku=f"CD-{album:04d}", cost="6.10", selectedOptions=_medium("CD"))
    yield variant_node(
        cd + RECORDS_FROM,
        "24.99",
        title="Record",
        sku=f"LP-{album:04d}",
        cost="13.40",
        selectedOptions=_medium("Record"),
        availableForSale=not is_sold_out(album),
    )


def _medium(name: str) -> list[dict[str, str]]:
    return [{"name": "Medium", "value": name}]


def _product(album: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "title": f"Album {album}",
        "handle": f"album-{album}",
        "description": f"Album {album}, twelve songs.",
        "descriptionHtml": f"<p>Album {album}, twelve songs.</p>",
        "vendor": "Demo Records",
        "productType": "Music",
    }
    if not has_picture(album):
        return {**fields, "featuredMedia": None, "media": {"nodes": []}}
    url = f"https://cdn.example/album-{album}.jpg"
    image = {"url": url, "width": IMAGE_SIDE, "height": IMAGE_SIDE}
    media = {"__typename": "MediaImage", "id": f"gid://shopify/MediaImage/{FIRST_PRODUCT + album}"}
    return {
        **fields,
        "featuredMedia": {**media, "preview": {"image": image}},
        "media": {"nodes": [{**media, "alt": "Cover", "image": image}]},
    }
