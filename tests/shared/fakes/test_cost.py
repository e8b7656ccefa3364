"""What queries cost, and what happens when the points run out."""

from __future__ import annotations

import pytest

from shared.fakes.shopify import Line, Shop, ShopifyFake
from shared.jobs.testing import ManualClock
from tests.shared.fakes.conftest import Api

LINES = "query Lines($n: Int!) {orders(first: $n){nodes{id lineItems(first: 50){nodes{id product{id}}}}}}"


@pytest.mark.parametrize(
    ("query", "points"),
    [
        ('{order(id: "gid://shopify/Order/1"){id name}}', 1),
        ('{order(id: "gid://shopify/Order/1"){customer{id} totalPriceSet{shopMoney{amount}}}}', 4),
        ("{orders(first: 10){nodes{id}}}", 7),  # 2 + 2 ln 10 = 6.6
        ("{orders(first: 1){edges{node{id customer{id}}}}}", 4),  # 2 + 1 * (1 + 1)
        (
            '{product(id: "gid://shopify/Product/1"){variants(first: 250){nodes{inventoryItem{id}}}}}',
            25,
        ),  # as published
        ('{nodes(ids: ["gid://shopify/Order/1"]){id ... on Order{customer{id}} ... on Refund{note}}}', 2),
        ('mutation {bulkOperationCancel(id: "gid://shopify/BulkOperation/1"){bulkOperation{id}}}', 10),
    ],
    ids=["object", "objects below", "page", "edges", "the vendor's example", "dearest type", "mutation"],
)
def test_requested_cost(fake: ShopifyFake, query: str, points: int) -> None:
    assert fake.cost_of(query) == points


def test_answer_tells_its_cost_and_only_the_actual_one_is_charged(shop: Shop, api: Api) -> None:
    """Asked: 2 + 4.6 * (1 + 2 + 7.8 * 2) = 88; answered: 2 + 1 * (1 + 2 + 1 * 2) = 7."""
    shop.order(id=1, lines=[Line("5.00")])

    cost = api(LINES, {"n": 10}).json["extensions"]["cost"]

    assert (cost["requestedQueryCost"], cost["actualQueryCost"]) == (88, 7)
    assert cost["throttleStatus"] == {"maximumAvailable": 2000.0, "currentlyAvailable": 1993, "restoreRate": 100.0}


def test_empty_bucket_throttles_inside_http_200_and_refills_by_the_clock(
    shop: Shop, api: Api, clock: ManualClock
) -> None:
    shop.order(id=1)
    shop.bucket.set(38)

    refused = api(LINES, {"n": 10})
    clock.advance(s=0.5)
    passed = api(LINES, {"n": 10})

    assert (refused.status, refused.code) == (200, "THROTTLED")
    assert refused.json["extensions"]["cost"]["requestedQueryCost"] == 88
    assert refused.json["extensions"]["cost"]["actualQueryCost"] is None
    assert refused.json["extensions"]["cost"]["throttleStatus"]["currentlyAvailable"] == 38
    assert passed.data["orders"]["nodes"][0]["id"] == "gid://shopify/Order/1"


def test_query_above_the_single_limit_is_refused_whatever_the_bucket_holds(shop: Shop, api: Api) -> None:
    shop.max_query_cost = 80

    assert api(LINES, {"n": 10}).code == "MAX_COST_EXCEEDED"
    assert "data" in api(LINES, {"n": 5}).json


def test_shops_have_buckets_of_their_own(fake: ShopifyFake, shop: Shop, api: Api) -> None:
    fake.shop("globex.myshopify.com")
    shop.bucket.set(0)

    assert api("{shop{name}}").code == "THROTTLED"
    assert api("{shop{name}}", shop="globex.myshopify.com").data == {"shop": {"name": "globex"}}
