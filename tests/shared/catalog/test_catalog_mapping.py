"""From Shopify's nodes to columns."""

from __future__ import annotations

from typing import Any

import pytest

from shared.catalog.customer_mapping import map_customer
from shared.catalog.mapping import map_collection, map_level, map_product
from shared.fakes.shopify.catalog import collection_node, customer_node, product_node, variant_node
from shared.jobs.errors import Permanent


@pytest.mark.parametrize(
    ("variants", "price", "above"),
    [
        ([("19.99", "25.00"), ("24.50", "30.00"), ("19.99", None)], 1999, 2500),
        ([("19.99", None), ("19.99", "25.00")], 1999, None),  # of several cheapest ones the first by position
        ([("19.99", "19.99")], 1999, None),
        ([("10.005", None)], 1001, None),
    ],
)
def test_price_of_the_cheapest_variant(variants: list[tuple[str, str | None]], price: int, above: int | None) -> None:
    nodes = [variant_node(n, cost, compareAtPrice=was) for n, (cost, was) in enumerate(variants, start=1)]

    columns = map_product(product_node(1, nodes), "EUR").columns

    assert (columns["price_cents"], columns["compare_at_price_cents"], columns["currency"]) == (price, above, "EUR")


def test_stock_is_no_part_of_the_hash() -> None:
    full, empty = (product_node(1, [variant_node(1, inventoryQuantity=n)]) for n in (5, 0))

    assert map_product(full, "USD").content_hash == map_product(empty, "USD").content_hash
    assert map_product({**full, "title": "x"}, "USD").content_hash != map_product(full, "USD").content_hash


@pytest.mark.parametrize(
    ("tracked", "expected"), [((True, True), 7), ((True, False), 5), ((False, False), None)]
)  # fmt: skip
def test_only_tracked_variants_are_added_up(tracked: tuple[bool, bool], expected: int | None) -> None:
    nodes = [variant_node(n, tracked=t, inventoryQuantity=q) for n, t, q in zip((1, 2), tracked, (5, 2), strict=True)]

    assert map_product(product_node(1, nodes), "USD").columns["inventory_quantity"] == expected


@pytest.mark.parametrize(("unit", "grams"), [("KILOGRAMS", "500.000"), ("POUNDS", "226.796"), ("OUNCES", "14.175")])
def test_weights_are_grams(unit: str, grams: str) -> None:
    node = variant_node(1)
    node["inventoryItem"]["measurement"]["weight"]["unit"] = unit

    assert map_product(product_node(1, [node]), "USD").variants[0]["weight_grams"] == grams


@pytest.mark.parametrize(("kilograms", "grams"), [(999_999.999, "999999999.000"), (1_000_000, None)])
def test_a_weight_that_no_column_holds_is_none(kilograms: float, grams: str | None) -> None:
    node = variant_node(1)
    node["inventoryItem"]["measurement"]["weight"]["value"] = kilograms

    assert map_product(product_node(1, [node]), "USD").variants[0]["weight_grams"] == grams


@pytest.mark.parametrize(
    ("changes", "code"), [({"status": "NEW"}, "PRODUCT_UNMAPPABLE"), ({"updatedAt": None}, "PRODUCT_UNMAPPABLE")]
)
def test_what_cannot_be_read_is_permanent(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(Permanent) as caught:
        map_product(product_node(1, **changes), "USD")

    assert caught.value.code == code


def test_an_amount_beyond_the_column_is_permanent() -> None:
    with pytest.raises(Permanent, match="AMOUNT_OUT_OF_RANGE"):
        map_product(product_node(1, [variant_node(1, "21474836.48")]), "IDR")


def test_the_newest_instant_of_a_level_counts() -> None:
    quantities = [
        {"name": "available", "quantity": 3, "updatedAt": "2026-11-20T10:05:00Z"},
        {"name": "on_hand", "quantity": 4, "updatedAt": None},
    ]

    level = map_level({"updatedAt": "2026-11-20T10:00:00Z", "quantities": quantities}, item_id="1", location_id="2")

    assert (level.available, level.on_hand, level.committed) == (3, 4, None)
    assert str(level.updated_at) == "2026-11-20 10:05:00+00:00"


def test_collections_by_hand_and_by_conditions() -> None:
    kinds = [map_collection(collection_node(1, smart=smart, productsCount={"count": 3})) for smart in (True, False)]

    assert [kind.columns["collection_type"] for kind in kinds] == ["smart", "manual"]


def test_more_than_the_column_holds_is_capped() -> None:
    columns = map_customer(customer_node(1, spent="99999999.99")).columns

    assert columns["total_spent_cents"] == 2_147_483_647
    assert columns["shopify"]["spentCapped"] is True


def test_a_customer_without_address_and_number() -> None:
    customer = map_customer(customer_node(1, email=None))

    assert (customer.columns["email"], customer.columns["accepts_marketing"], customer.sms) == (None, False, None)


def test_an_error_about_a_customer_says_nothing_of_them() -> None:
    with pytest.raises(Permanent) as caught:
        map_customer(customer_node(1, createdAt="x", numberOfOrders="jane@x.com"))

    assert "jane" not in str(caught.value)
    assert "Ada" not in repr(map_customer(customer_node(1)))
