"""What the demo shop sells: the albums that the purchases of cdnow.py name, as CD and as record, in two places."""

from __future__ import annotations

from shared.fakes.cdnow_order import ALBUMS, FIRST_PRODUCT, FIRST_VARIANT, mix
from shared.fakes.shopify.catalog import location_node, product_node, variant_node
from shared.fakes.shopify.shop import Shop

PLACES = {1: "Warehouse", 2: "Shop"}
RECORDS_FROM = 5_000
"""A record's variant id is the CD's and this."""


def fill(shop: Shop) -> None:
    """Put all albums and their stock into a shop; the same numbers each time."""
    for place, name in PLACES.items():
        shop.catalog.put(location_node(place, name=name))
    for album in range(1, ALBUMS + 1):
        cd = FIRST_VARIANT + album
        variants = [
            variant_node(cd, "12.99", title="CD", sku=f"CD-{album:04d}", cost="6.10"),
            variant_node(cd + RECORDS_FROM, "24.99", title="Record", sku=f"LP-{album:04d}", cost="13.40"),
        ]
        shop.catalog.put(product_node(FIRST_PRODUCT + album, variants, title=f"Album {album}", handle=f"album-{album}"))
        for variant in variants:
            item = int(variant["inventoryItem"]["id"].rsplit("/", 1)[1])
            for place in PLACES:
                shop.catalog.stock(item, place, mix(album, item, place) % 40)
