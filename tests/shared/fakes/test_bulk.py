"""Bulk operations: what is refused, the file, Range, limits and ends."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared.fakes.shopify import Line, Refund, Shop, ShopifyFake
from shared.jobs.testing import ManualClock
from tests.shared.fakes.conftest import DOMAIN, Api, Got

RUN = """mutation Run($q: String!, $grouped: Boolean!) {bulkOperationRunQuery(query: $q, groupObjects: $grouped) {
  bulkOperation {id status} userErrors {code field message}}}"""
POLL = """query Poll($id: ID!) {bulkOperation(id: $id) {
  id status errorCode objectCount rootObjectCount fileSize url partialDataUrl query}}"""
INNER = "{orders{edges{node{id refunds{legacyResourceId} lineItems{edges{node{id quantity}}}}}}}"


def run(api: Api, query: str = INNER, *, grouped: bool = True) -> Any:
    return api(RUN, {"q": query, "grouped": grouped}).data["bulkOperationRunQuery"]


def poll(api: Api, started: Any) -> Any:
    return api(POLL, {"id": started["bulkOperation"]["id"]}).data["bulkOperation"]


def fetch(api: Api, url: str, byte_range: str | None = None) -> Got:
    return api.send("GET", urlsplit(url).path, headers={"Range": byte_range} if byte_range else {})


@pytest.fixture
def three(shop: Shop) -> Shop:
    """Orders 1..3 of two lines each; the first has a refund."""
    for number in (1, 2, 3):
        shop.order(
            id=number, lines=[Line("5.00"), Line("7.00", 2)], refunds=[Refund(items=[(0, 1)])] if number == 1 else []
        )
    return shop


def test_grouped_file_has_lines_right_below_their_order(three: Shop, api: Api) -> None:
    started = run(api)
    done = poll(api, started)
    lines = [json.loads(line) for line in fetch(api, done["url"]).body.splitlines()]

    assert started == {"bulkOperation": {"id": "gid://shopify/BulkOperation/1", "status": "CREATED"}, "userErrors": []}
    assert (done["status"], done["objectCount"], done["rootObjectCount"]) == ("COMPLETED", "9", "3")
    assert [line.get("__parentId") for line in lines[:4]] == [None, *["gid://shopify/Order/1"] * 2, None]
    assert lines[0] == {"id": "gid://shopify/Order/1", "refunds": [{"legacyResourceId": "101"}]}
    assert lines[2] == {"id": "gid://shopify/LineItem/1002", "quantity": 2, "__parentId": "gid://shopify/Order/1"}


def test_ungrouped_file_has_the_orders_first(three: Shop, api: Api) -> None:
    done = poll(api, run(api, grouped=False))
    lines = [json.loads(line) for line in fetch(api, done["url"]).body.splitlines()]

    assert ["__parentId" in line for line in lines] == [False] * 3 + [True] * 6


def test_inner_search_chooses_the_orders(three: Shop, api: Api) -> None:
    done = poll(api, run(api, '{orders(query: "id:>1"){edges{node{id}}}}'))
    nothing = poll(api, run(api, '{orders(query: "id:>9"){edges{node{id}}}}'))

    assert done["rootObjectCount"] == "2"
    assert (nothing["status"], nothing["objectCount"], nothing["url"]) == ("COMPLETED", "0", None)


def test_file_is_served_from_an_offset(three: Shop, api: Api) -> None:
    url = poll(api, run(api))["url"]
    whole = fetch(api, url)

    rest = fetch(api, url, "bytes=100-")
    part = fetch(api, url, "bytes=10-19")
    beyond = fetch(api, url, f"bytes={len(whole.body)}-")

    assert (whole.status, whole.headers["Accept-Ranges"]) == (200, "bytes")
    assert (rest.status, rest.body) == (206, whole.body[100:])
    assert rest.headers["Content-Range"] == f"bytes 100-{len(whole.body) - 1}/{len(whole.body)}"
    assert part.body == whole.body[10:20]
    assert beyond.status == 416


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("{orders{edges{node{id nope}}}}", "Field 'nope' doesn't exist on type 'Order'"),
        ('{order(id: "gid://shopify/Order/1"){id}}', "at least one connection"),
        ("{orders{edges{node{id}}} shop{id}}", "exactly one top-level field"),
        ('{nodes(ids: ["gid://shopify/Order/1"]){id}}', "can't be used"),
        ("{orders{edges{node{id refunds{refundLineItems{edges{node{id}}}}}}}}", "connection field within a list field"),
    ],
    ids=["against the schema", "no connection", "two fields", "nodes", "connection in a list"],
)
def test_inner_query_that_cannot_run_in_bulk_is_a_user_error(api: Api, query: str, reason: str) -> None:
    answer = run(api, query)

    assert answer["bulkOperation"] is None
    assert (answer["userErrors"][0]["code"], answer["userErrors"][0]["field"]) == ("INVALID", ["query"])
    assert reason in answer["userErrors"][0]["message"]


@pytest.mark.parametrize(("limit", "code"), [(1, "OPERATION_IN_PROGRESS"), (5, "LIMIT_REACHED")])
def test_so_many_at_once(three: Shop, api: Api, limit: int, code: str) -> None:
    three.bulk.limit, three.bulk.held = limit, True
    for _ in range(limit):
        assert run(api)["userErrors"] == []

    refused = run(api)["userErrors"]
    three.bulk.release()

    assert [error["code"] for error in refused] == [code]
    for number in range(1, limit + 1):
        poll(api, {"bulkOperation": {"id": f"gid://shopify/BulkOperation/{number}"}})
    assert run(api)["userErrors"] == []


def test_running_ones_are_found_by_their_query_and_can_be_cancelled(three: Shop, api: Api) -> None:
    three.bulk.held = True
    started = run(api)
    listing = '{bulkOperations(first: 10, query: "status:RUNNING operation_type:query"){nodes{id query status}}}'
    cancel = "mutation Stop($id: ID!) {bulkOperationCancel(id: $id){bulkOperation{status} userErrors{message}}}"

    three.bulk.find(1, wait=True)
    three.bulk._writers[1].join()
    running = api(listing).data["bulkOperations"]["nodes"]
    cancelled = api(cancel, {"id": started["bulkOperation"]["id"]}).data["bulkOperationCancel"]

    assert running == [{"id": "gid://shopify/BulkOperation/1", "query": INNER, "status": "RUNNING"}]
    assert cancelled == {"bulkOperation": {"status": "CANCELED"}, "userErrors": []}
    assert api(listing).data["bulkOperations"]["nodes"] == []
    assert api("{currentBulkOperation{status}}").data["currentBulkOperation"]["status"] == "CANCELED"


def test_operation_that_was_told_to_fail(three: Shop, api: Api) -> None:
    three.bulk.failures = ["TIMEOUT"]

    failed, done = poll(api, run(api)), poll(api, run(api))

    assert (failed["status"], failed["errorCode"], failed["url"]) == ("FAILED", "TIMEOUT", None)
    assert done["status"] == "COMPLETED"


def test_file_is_gone_after_seven_days(three: Shop, api: Api, clock: ManualClock) -> None:
    url = poll(api, run(api))["url"]

    clock.advance(s=timedelta(days=7).total_seconds())

    assert fetch(api, url).status == 403


def test_completed_operation_is_still_there_in_the_next_process(
    three: Shop, fake: ShopifyFake, api: Api, clock: ManualClock
) -> None:
    url = poll(api, run(api))["url"]
    whole = fetch(api, url).body

    with ShopifyFake.start(_schema_of(fake), state_dir=fake.state_dir, now=clock.now) as second:
        second.shop(DOMAIN)
        again = Api(second.base_url)

        assert poll(again, {"bulkOperation": {"id": "gid://shopify/BulkOperation/1"}})["status"] == "COMPLETED"
        assert fetch(again, url).body == whole


def _schema_of(fake: ShopifyFake) -> Any:
    from shared.fakes.shopify import schema

    return next(path for path, kept in schema._SCHEMAS.items() if kept is fake.documents.schema)
