"""Discount codes and single fulfilments of the Shopify fake."""

from __future__ import annotations

from typing import Any

import pytest

from shared.fakes.shopify import Shop
from shared.reviews.shop import CREATE_DISCOUNT, DISCOUNT_BY_CODE, FULFILLMENTS
from tests.builders.orders import a_fulfillment, an_order
from tests.shared.fakes.conftest import Api


def discount(**changes: Any) -> dict[str, Any]:
    return {
        "title": "Reward",
        "code": "REVIEW1",
        "startsAt": "2026-11-20T12:00:00Z",
        "endsAt": "2026-12-20T12:00:00Z",
        "usageLimit": 1,
        "appliesOncePerCustomer": True,
        "context": {"all": "ALL"},
        "customerGets": {"items": {"all": True}, "value": {"percentage": 0.1}},
        **changes,
    }


def create(api: Api, **changes: Any) -> Any:
    return api(CREATE_DISCOUNT, {"discount": discount(**changes)}).data["discountCodeBasicCreate"]


@pytest.fixture(autouse=True)
def allowed(shop: Shop) -> None:
    shop.scopes.add("write_discounts")


def test_code_is_made_once_and_found_whatever_its_case(api: Api) -> None:
    made = create(api)
    again = create(api, code="review1")

    assert made["userErrors"] == []
    assert (again["codeDiscountNode"], again["userErrors"][0]["code"]) == (None, "TAKEN")
    found = api(DISCOUNT_BY_CODE, {"code": "Review1"}).data["codeDiscountNodeByCode"]
    assert found["id"] == made["codeDiscountNode"]["id"]
    assert found["codeDiscount"]["title"] == "Reward"
    assert api(DISCOUNT_BY_CODE, {"code": "OTHER"}).data["codeDiscountNodeByCode"] is None


def test_value_out_of_range_and_blank_title(api: Api) -> None:
    too_much = {"items": {"all": True}, "value": {"percentage": 10.0}}
    assert create(api, customerGets=too_much)["userErrors"][0]["code"] == "VALUE_OUTSIDE_RANGE"
    assert create(api, title="")["userErrors"][0]["code"] == "BLANK"


def test_scope_is_needed(api: Api, shop: Shop) -> None:
    shop.scopes.discard("write_discounts")

    assert api(CREATE_DISCOUNT, {"discount": discount()}).code == "ACCESS_DENIED"
    assert api(DISCOUNT_BY_CODE, {"code": "X"}).code == "ACCESS_DENIED"


def test_fulfilment_by_its_own_id(api: Api, shop: Shop) -> None:
    shop.put_order(an_order(1001, fulfillments=[a_fulfillment(77, displayStatus="DELIVERED")]))

    ids = ["gid://shopify/Fulfillment/77", "gid://shopify/Fulfillment/78"]
    found, missing = api(FULFILLMENTS, {"ids": ids}).data["nodes"]

    assert (found["legacyResourceId"], found["displayStatus"], missing) == ("77", "DELIVERED", None)
