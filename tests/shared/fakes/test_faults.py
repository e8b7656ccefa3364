"""Trouble on demand, by Python and over HTTP."""

from __future__ import annotations

import http.client
import json
from urllib.parse import urlsplit

import pytest

from shared.fakes.shopify import Shop, ShopifyFake
from tests.shared.fakes.conftest import Api

ASK = "query Ask {shop{name}}"


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("429", 429, None),
        (500, 500, None),
        (402, 402, None),
        ("unauthorized", 401, None),
        ("throttled", 200, "THROTTLED"),
        ("max_cost", 200, "MAX_COST_EXCEEDED"),
        ("internal_error", 200, "INTERNAL_SERVER_ERROR"),
        ("access_denied", 200, "ACCESS_DENIED"),
    ],
)
def test_fault_happens_as_often_as_asked(
    fake: ShopifyFake, api: Api, kind: str | int, status: int, code: str | None
) -> None:
    fake.fail(kind, 2)

    one, two, three = api(ASK), api(ASK), api(ASK)

    assert (one.status, two.status, three.status) == (status, status, 200)
    assert code is None or one.code == code
    assert three.data == {"shop": {"name": "acme"}}


def test_fault_lets_requests_through_first(fake: ShopifyFake, api: Api) -> None:
    fake.fail(503, match="query Ask", skip=1)

    assert [api(ASK).status, api("query Other {shop{name}}").status, api(ASK).status, api(ASK).status] == [
        200,
        200,
        503,
        200,
    ]


def test_figures_of_a_throttled_answer_are_those_ordered(fake: ShopifyFake, api: Api) -> None:
    fake.fail("throttled", requested=500, available=100)

    cost = api(ASK).json["extensions"]["cost"]

    assert cost["requestedQueryCost"] == 500
    assert (cost["throttleStatus"]["currentlyAvailable"], cost["throttleStatus"]["restoreRate"]) == (100, 100)


@pytest.mark.parametrize("retry_after", ["7", "Fri, 20 Nov 2026 12:00:30 GMT"])
def test_retry_after_is_sent_with_429(fake: ShopifyFake, api: Api, retry_after: str) -> None:
    fake.fail(429, retry_after=retry_after)

    assert api(ASK).headers["Retry-After"] == retry_after


def test_timeout_keeps_the_client_waiting(fake: ShopifyFake, api: Api) -> None:
    fake.fail("timeout")

    with pytest.raises(TimeoutError):
        api(ASK, timeout_s=0.1)

    assert [each.status for each in fake.requests] == [0]


def test_cut_sends_half_and_hangs_up(fake: ShopifyFake, api: Api) -> None:
    fake.fail("cut")

    with pytest.raises(http.client.IncompleteRead):
        api(ASK)


def test_cut_file_can_be_read_on_by_range(fake: ShopifyFake, shop: Shop, api: Api) -> None:
    shop.order(id=1)
    run = shop.bulk.start("{orders{edges{node{id name}}}}", True)
    shop.bulk.find(run.number, wait=True)
    path = urlsplit(f"{fake.base_url}/{shop.domain}/bulk/1.jsonl").path
    fake.fail("cut", match="/bulk/")

    with pytest.raises(http.client.IncompleteRead) as cut:
        api.send("GET", path)
    rest = api.send("GET", path, headers={"Range": f"bytes={len(cut.value.partial)}-"})

    assert json.loads(cut.value.partial + rest.body) == {"id": "gid://shopify/Order/1", "name": "#1"}


def test_fault_waits_for_its_query_and_its_shop(fake: ShopifyFake, api: Api) -> None:
    fake.fail(500, match="ordersCount")
    fake.fail(500, shop="globex.myshopify.com")

    assert api(ASK).status == 200
    assert api("{ordersCount{count}}").status == 500
    assert api("{ordersCount{count}}").status == 200


def test_faults_can_be_ordered_and_taken_back_over_http(fake: ShopifyFake, api: Api) -> None:
    wish = json.dumps({"kind": "500", "count": 5})

    assert api.send("POST", "/_fake/faults", wish).json == {"ok": True}
    assert api(ASK).status == 500
    assert api.send("DELETE", "/_fake/faults").status == 200
    assert api(ASK).status == 200
    assert api.send("POST", "/_fake/faults", '{"kind": "flood"}').status == 400


def test_order_can_be_changed_over_http(shop: Shop, api: Api) -> None:
    shop.order(id=1)

    api.send("POST", "/_fake/orders", json.dumps({"shop": shop.domain, "id": 1, "changes": {"note": "new"}}))

    assert api('{order(id: "gid://shopify/Order/1"){note}}').data["order"]["note"] == "new"
