"""What is asked is checked against the vendor's schema, and answered in its shape."""

from __future__ import annotations

from typing import Any

import pytest

from shared.fakes.shopify import Line, Refund, Shop, ShopifyFake
from tests.shared.fakes.conftest import Api

MONEY = "{shopMoney{amount currencyCode}}"


@pytest.mark.parametrize(
    ("query", "message", "code"),
    [
        (
            '{order(id: "gid://shopify/Order/1"){id nope}}',
            "Field 'nope' doesn't exist on type 'Order'",
            "undefinedField",
        ),
        (
            '{order(id: "gid://shopify/Order/1"){name(x: 1)}}',
            "Field 'name' doesn't accept argument 'x'",
            "argumentNotAccepted",
        ),
        ("{order{id}}", "Field 'order' is missing required arguments: id", "missingRequiredArguments"),
    ],
    ids=["a field that is not there", "an argument that is not taken", "an argument that is missing"],
)
def test_query_against_the_schema_is_refused_inside_http_200(api: Api, query: str, message: str, code: str) -> None:
    got = api(query)

    assert got.status == 200
    assert "data" not in got.json
    assert got.json["errors"][0]["message"] == message
    assert got.code == code


def test_selection_is_required_below_an_object(api: Api) -> None:
    got = api('{order(id: "gid://shopify/Order/1"){customer}}')

    assert got.code == "selectionMismatch"


def test_broken_text_and_wrong_variable_are_refused_inside_http_200(api: Api) -> None:
    assert api("{order(").code == "PARSE_ERROR"
    assert api("query Q($id: ID!) {order(id: $id){id}}", {}).code == "INVALID_VARIABLE"


@pytest.mark.parametrize(
    ("more", "status"),
    [({"token": "wrong"}, 401), ({"version": "2025-01"}, 404), ({"shop": "other.myshopify.com"}, 404)],
    ids=["wrong token", "another version", "unknown shop"],
)
def test_request_that_is_not_let_in(api: Api, more: dict[str, Any], status: int) -> None:
    assert api("{shop{name}}", **more).status == status


def test_order_totals_follow_from_its_lines(api: Api, shop: Shop) -> None:
    """2 x 50.00 - 10.00 + 30.00 - 3.00 = 117.00; tax 9.36, shipping 5.95: 132.31. One goes back: 45.00 + 3.60."""
    shop.order(
        id=1,
        lines=[Line("50.00", 2, discount="10.00"), Line("30.00", discount="3.00")],
        tax="9.36",
        shipping="5.95",
        refunds=[Refund(items=[(0, 1)])],
    )

    sums = f"subtotalPriceSet{MONEY} totalDiscountsSet{MONEY} totalPriceSet{MONEY} totalRefundedSet{MONEY}"
    order = api(f'{{order(id: "gid://shopify/Order/1"){{legacyResourceId displayFinancialStatus {sums}}}}}').data[
        "order"
    ]

    assert order["legacyResourceId"] == "1"
    assert order["displayFinancialStatus"] == "PARTIALLY_REFUNDED"
    assert order["subtotalPriceSet"]["shopMoney"] == {"amount": "117.0", "currencyCode": "USD"}
    assert order["totalDiscountsSet"]["shopMoney"]["amount"] == "13.0"
    assert order["totalPriceSet"]["shopMoney"]["amount"] == "132.31"
    assert order["totalRefundedSet"]["shopMoney"]["amount"] == "48.6"


def test_fragments_aliases_and_directives_are_answered_as_asked(api: Api, shop: Shop) -> None:
    shop.order(id=1, refunds=[Refund(items=[(0, 1)], id=77)])
    query = """
      query Q($ids: [ID!]!, $more: Boolean!) {
        nodes(ids: $ids) { __typename id ...OfOrder ... on Refund { note } }
      }
      fragment OfOrder on Order { number: name email @include(if: $more) note @skip(if: $more) }
    """
    ids = ["gid://shopify/Order/1", "gid://shopify/Refund/77", "gid://shopify/Order/9"]

    nodes = api(query, {"ids": ids, "more": True}).data["nodes"]

    assert nodes == [
        {"__typename": "Order", "id": ids[0], "number": "#1", "email": "buyer@example.com"},
        {"__typename": "Refund", "id": ids[1], "note": None},
        None,
    ]


def test_children_come_in_pages(api: Api, shop: Shop) -> None:
    """130 lines by pages of 50: 50, then 80 in one page of 250."""
    shop.order(id=1, lines=[Line("1.00")] * 130)
    query = """query Lines($first: Int!, $after: String) {order(id: "gid://shopify/Order/1") {
      lineItems(first: $first, after: $after) {nodes {id} pageInfo {hasNextPage endCursor}}}}"""

    one = api(query, {"first": 50}).data["order"]["lineItems"]
    two = api(query, {"first": 250, "after": one["pageInfo"]["endCursor"]}).data["order"]["lineItems"]

    assert (len(one["nodes"]), one["pageInfo"]["hasNextPage"]) == (50, True)
    assert (len(two["nodes"]), two["pageInfo"]["hasNextPage"]) == (80, False)
    assert len({node["id"] for node in one["nodes"] + two["nodes"]}) == 130


def test_unknown_id_is_null_and_a_broken_one_an_error(api: Api) -> None:
    assert api('{order(id: "gid://shopify/Order/9"){id}}').data == {"order": None}
    assert api('{order(id: "9"){id}}').json["data"] == {"order": None}
    assert api('{order(id: "9"){id}}').json["errors"][0]["path"] == ["order"]


def test_token_without_read_orders_is_denied(api: Api, shop: Shop) -> None:
    shop.scopes = {"read_products"}

    assert api("{orders(first: 1){nodes{id}}}").code == "ACCESS_DENIED"


def test_what_the_fake_does_not_play_says_so(api: Api) -> None:
    got = api("{giftCards(first: 1){nodes{id}}}")

    assert got.status == 501
    assert got.json["errors"] == "the Shopify fake does not play QueryRoot.giftCards"


def test_requests_are_recorded_with_names_and_variables(fake: ShopifyFake, api: Api) -> None:
    api("query Named($id: ID!) {order(id: $id){id}}", {"id": "gid://shopify/Order/5"})
    api("{shop{name}}", token="wrong")

    shown = api.send("GET", "/_fake/requests?shop=acme.myshopify.com").json["requests"]

    assert [(each["operation"], each["status"], each["variables"]) for each in shown] == [
        ("Named", 200, {"id": "gid://shopify/Order/5"}),
        ("shop", 401, {}),
    ]
    assert [each.operation for each in fake.requests_of(operation="Named")] == ["Named"]
