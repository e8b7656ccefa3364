"""Lists of orders: the search syntax, sorting, pages, and what a token may see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.fakes.shopify import Shop
from shared.jobs.testing import ManualClock
from tests.shared.fakes.conftest import Api

NOVEMBER = datetime(2026, 11, 1, tzinfo=UTC)
QUERY = """query Orders(
  $first: Int, $last: Int, $after: String, $before: String, $q: String, $sort: OrderSortKeys, $back: Boolean) {
  orders(first: $first, last: $last, after: $after, before: $before, query: $q, sortKey: $sort, reverse: $back) {
    nodes {legacyResourceId} pageInfo {hasNextPage hasPreviousPage startCursor endCursor}}}"""


@pytest.fixture
def five(shop: Shop) -> Shop:
    """Orders 1..5 of the first five days of November; 1 was changed last, 4 is cancelled, 5 is a test."""
    for number in range(1, 6):
        shop.order(
            id=number,
            created_at=NOVEMBER + timedelta(days=number - 1),
            updated_at=datetime(2026, 11, 19, tzinfo=UTC) if number == 1 else None,
            cancelled_at=NOVEMBER + timedelta(days=4) if number == 4 else None,
            test=number == 5,
            tags=["vip"] if number in (2, 3) else [],
        )
    return shop


def listed(api: Api, **variables: Any) -> list[int]:
    nodes = api(QUERY, {"first": 250, "sort": "CREATED_AT", **variables}).data["orders"]["nodes"]
    return [int(node["legacyResourceId"]) for node in nodes]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (None, [1, 2, 3, 4, 5]),
        ("created_at:>='2026-11-02T00:00:00Z' created_at:<'2026-11-04T00:00:00Z' status:any", [2, 3]),
        ("created_at:>='2026-11-02' AND created_at:<=2026-11-03", [2, 3]),
        ("updated_at:>='2026-11-19T00:00:00Z'", [1]),
        (
            "((created_at:>='2026-11-05T00:00:00Z') OR (updated_at:>='2026-11-19T00:00:00Z' "
            "AND updated_at:<'2026-11-20T00:00:00Z')) AND status:any",
            [1, 5],
        ),
        ("tag:vip -id:3", [2]),
        ("NOT status:cancelled test:false", [1, 2, 3]),
        ("name:#4", [4]),
    ],
    ids=["all", "window", "dates", "updated", "either window", "minus", "not", "name"],
)
def test_search_syntax(five: Shop, api: Api, query: str | None, found: list[int]) -> None:
    assert listed(api, q=query) == found


@pytest.mark.parametrize("query", ["total:>5", "(created_at:>2026-11-01", "created_at:yesterday", "shoes"])
def test_search_that_is_not_understood_is_no_empty_answer(five: Shop, api: Api, query: str) -> None:
    assert api(QUERY, {"first": 1, "q": query}).status == 501


def test_sorting_by_change_and_backwards(five: Shop, api: Api) -> None:
    assert listed(api, sort="UPDATED_AT") == [2, 3, 4, 5, 1]  # 4 was cancelled when 5 was placed: the id decides
    assert listed(api, back=True) == [5, 4, 3, 2, 1]


def test_pages_forth_and_back_survive_a_change_in_between(five: Shop, api: Api) -> None:
    one = api(QUERY, {"first": 2, "sort": "CREATED_AT"}).data["orders"]
    five.remove_order(2)
    two = api(QUERY, {"first": 2, "sort": "CREATED_AT", "after": one["pageInfo"]["endCursor"]}).data["orders"]
    back = api(QUERY, {"last": 1, "sort": "CREATED_AT", "before": two["pageInfo"]["startCursor"]}).data["orders"]

    assert [node["legacyResourceId"] for node in two["nodes"]] == ["3", "4"]
    assert (two["pageInfo"]["hasPreviousPage"], two["pageInfo"]["hasNextPage"]) == (True, True)
    assert [node["legacyResourceId"] for node in back["nodes"]] == ["1"]


def test_page_needs_a_size_of_at_most_250(five: Shop, api: Api) -> None:
    assert api(QUERY, {}).code == "BAD_REQUEST"
    assert api('{order(id: "gid://shopify/Order/1"){lineItems(first: 251){nodes{id}}}}').code == "BAD_REQUEST"


def test_count_stops_at_its_limit(five: Shop, api: Api) -> None:
    query = "query Count($q: String, $limit: Int) {ordersCount(query: $q, limit: $limit){count precision}}"

    assert api(query, {"q": "tag:vip", "limit": None}).data["ordersCount"] == {"count": 2, "precision": "EXACT"}
    assert api(query, {"limit": 3}).data["ordersCount"] == {"count": 3, "precision": "AT_LEAST"}


def test_without_read_all_orders_the_last_60_days_are_seen(shop: Shop, api: Api, clock: ManualClock) -> None:
    shop.order(id=1, created_at=clock.now() - timedelta(days=61))
    shop.order(id=2, created_at=clock.now() - timedelta(days=59))
    shop.scopes = {"read_orders"}

    assert listed(api) == [2]
    assert api('{order(id: "gid://shopify/Order/1"){id}}').data == {"order": None}


def test_update_moves_the_instant_even_within_a_second(shop: Shop, api: Api) -> None:
    before = shop.order(id=1)["updatedAt"]

    after = shop.update_order(1, note="changed")

    assert (before, after["updatedAt"]) == ("2026-11-20T12:00:00Z", "2026-11-20T12:00:01Z")
    assert api('{order(id: "gid://shopify/Order/1"){note}}').data["order"]["note"] == "changed"
