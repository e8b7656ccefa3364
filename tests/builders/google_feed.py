"""Rows of a shop's catalogue and of its product feed. A test states only what matters to it."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import Any

from psycopg.types.json import Jsonb

from shared.crypto import encrypt_platform
from tests.conftest import ENCRYPTION_KEY, Rows

MERCHANT_ID = "1234567"
REFRESH_TOKEN = "rt_test_acme"
CLIENT = ("client-id", "client-secret")
FEED_TOKEN = "f0" * 16
SITE = "https://shop.acme.test"
PUBLISHED = datetime(2026, 1, 1, tzinfo=UTC)
GTIN = "4006381333931"

PRODUCT = """
INSERT INTO products (id, shopify_product_id, title, handle, description, vendor, product_type, status, tags, currency,
                      featured_image_url, images, published_at, synced_at, platform_data)
VALUES (%(id)s, %(id)s, %(title)s, %(handle)s, %(description)s, %(vendor)s, %(product_type)s, %(status)s, %(tags)s,
        'USD', %(image)s, %(images)s, %(published_at)s, %(synced_at)s, %(platform_data)s)
"""
VARIANT = """
INSERT INTO product_variants (shopify_variant_id, product_id, shopify_product_id, title, sku, barcode, position,
    selected_options, price_cents, compare_at_price_cents, unit_cost_cents, currency, inventory_quantity,
    inventory_policy, available_for_sale, weight_grams, image_url, synced_at, updated_at)
VALUES (%(id)s, %(product)s, %(product)s, %(title)s, %(sku)s, %(barcode)s, %(position)s, %(options)s, %(price)s,
        %(compare_at)s, %(cost)s, %(currency)s, %(quantity)s, %(policy)s, %(sellable)s, %(weight)s, %(image)s,
        %(synced_at)s, %(synced_at)s)
"""
SETTINGS = """
INSERT INTO google_feed_settings (merchant_id, api_credentials, feed_name, feed_token, is_connected, update_frequency,
    feed_format, include_variants, include_out_of_stock, minimum_price_cents, exclusion_rules, custom_label_rules,
    category_mapping, default_brand, default_availability, shipping_overrides, target_country, language,
    data_source_name, next_sync_at, last_sync_at)
VALUES (%(merchant_id)s, %(credentials)s, 'Product Feed', %(feed_token)s, %(connected)s, %(frequency)s, %(format)s,
    %(include_variants)s, %(include_out_of_stock)s, %(minimum)s, %(exclusion_rules)s, %(label_rules)s, %(categories)s,
    %(brand)s, %(availability)s, %(shipping)s, %(country)s, %(language)s, %(data_source)s, %(next_sync_at)s,
    %(last_sync_at)s)
"""


def oauth_credentials(refresh_token: str = REFRESH_TOKEN, **more: Any) -> dict[str, Any]:
    """google_feed_settings.api_credentials of a tenant that has connected by OAuth."""
    texts = {"clientId": CLIENT[0], "clientSecret": CLIENT[1], "refreshToken": refresh_token}
    return {**{name: encrypt_platform(text, ENCRYPTION_KEY) for name, text in texts.items()}, **more}


def service_credentials(key_file: dict[str, str]) -> dict[str, Any]:
    """The same of one that has given the key file of a service account."""
    return {"serviceAccount": encrypt_platform(json.dumps(key_file), ENCRYPTION_KEY)}


def a_shop(rows: Rows, organization_id: Any, *, site: str | None = SITE) -> None:
    """The shop's connection; `site`: where it is reached."""
    rows.execute(
        "INSERT INTO shopify_connections (tenant_id, shop, site_url, status) VALUES (%s, 'acme.myshopify.com', %s,"
        " 'active')",
        (organization_id, site),
    )


def a_feed(rows: Rows, **fields: Any) -> None:
    """The tenant's settings: connected, daily, all variants."""
    values: dict[str, Any] = {
        "merchant_id": MERCHANT_ID, "credentials": oauth_credentials(), "feed_token": FEED_TOKEN, "connected": True,
        "frequency": "daily", "format": "xml", "include_variants": True, "include_out_of_stock": False, "minimum": 0,
        "exclusion_rules": [], "label_rules": {}, "categories": {}, "brand": None, "availability": "in_stock",
        "shipping": None, "country": "US", "language": "en", "data_source": None, "next_sync_at": None,
        "last_sync_at": None, **fields,
    }  # fmt: skip
    for name in ("credentials", "exclusion_rules", "label_rules", "categories", "shipping"):
        values[name] = None if values[name] is None else Jsonb(values[name])
    rows.execute(SETTINGS, values)


def a_product(rows: Rows, id: str | int, *variants: dict[str, Any], **fields: Any) -> None:
    """An active product with one variant, or with those that are given (see a_variant's fields)."""
    id = str(id)
    values: dict[str, Any] = {
        "id": id, "title": f"Product {id}", "handle": f"product-{id}", "description": f"About product {id}.",
        "vendor": "Acme", "product_type": "Tools", "status": "active", "tags": [],
        "image": f"https://cdn.acme.test/{id}.jpg", "images": [], "published_at": PUBLISHED, "synced_at": PUBLISHED,
        "platform_data": {}, **fields,
    }  # fmt: skip
    values["images"], values["platform_data"] = Jsonb(values["images"]), Jsonb(values["platform_data"])
    rows.execute(PRODUCT, values)
    for n, variant in enumerate(variants or ({},), 1):
        a_variant(rows, id, n, several=len(variants) > 1, **variant)


def a_variant(rows: Rows, product: str, n: int = 1, *, several: bool = False, **fields: Any) -> str:
    """A variant of a product that can be sold, 10 pieces at 19.99 USD; its id."""
    title = f"Size {n}" if several else "Default Title"
    values: dict[str, Any] = {
        "id": f"{product}0{n}", "product": product, "title": title, "sku": f"SKU-{product}-{n}", "barcode": GTIN,
        "position": n, "options": [{"name": "Size" if several else "Title", "value": title}], "price": 1999,
        "compare_at": None, "cost": None, "currency": "USD", "quantity": 10, "policy": "deny", "sellable": True,
        "weight": None, "image": None, "synced_at": PUBLISHED, **fields,
    }  # fmt: skip
    values["options"] = Jsonb(values["options"])
    rows.execute(VARIANT, values)
    return str(values["id"])


def products(rows: Rows, count: int, *, first: int = 1000, **variant: Any) -> None:
    """Many products with one variant each."""
    for n in range(first, first + count):
        a_product(rows, n, dict(variant))


def an_image(
    size: tuple[int, int],
    *,
    kind: str = "JPEG",
    colour: tuple[int, ...] = (200, 30, 30),
    noise: bool = False,
    orientation: int | None = None,
    **save: Any,
) -> bytes:
    """The bytes of an image; `colour` with four members is transparent by the fourth, `noise` is hard to compress."""
    from PIL import Image

    mode = "RGBA" if len(colour) == 4 else "RGB"
    image = Image.new(mode, size, colour)
    if noise:
        image.paste(Image.effect_noise(size, 120).convert(mode), mask=None)
        if mode == "RGBA":
            image.putalpha(colour[3])
    if orientation is not None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        save["exif"] = exif
    out = io.BytesIO()
    image.save(out, kind, **save)
    return out.getvalue()
