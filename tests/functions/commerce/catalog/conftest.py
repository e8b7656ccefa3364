"""A shop with a catalogue."""

from __future__ import annotations

import pytest

from shared.fakes.shopify import Shop, ShopifyFake
from shared.fakes.shopify.catalog import Catalog
from tests.conftest import SHOP, Rows


@pytest.fixture
def shop(shopify: ShopifyFake, rows: Rows) -> Shop:
    """The shop of acme; its prices are in US dollars."""
    rows.execute("UPDATE shopify_connections SET store_currency = 'USD'")
    return shopify.shops[SHOP]


@pytest.fixture
def catalog(shop: Shop) -> Catalog:
    """What lies in that shop."""
    return shop.catalog


@pytest.fixture
def feed(rows: Rows) -> None:
    """The tenant's product feed is connected."""
    rows.execute("INSERT INTO google_feed_settings (is_connected) VALUES (true)")
