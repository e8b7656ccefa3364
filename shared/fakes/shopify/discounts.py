"""Discount codes: made once, and taken from then on; and fulfilments by their own id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import VariableValues

from shared.fakes.shopify.builders import gid
from shared.fakes.shopify.plan import Field
from shared.fakes.shopify.project import FieldError, Node, projector
from shared.fakes.shopify.shop import Shop

FIRST_ID = 7_001


def fulfillment_seen(shop: Shop, number: int) -> Node | None:
    """The fulfilment of an order that a test has put there, if the token may see the order."""
    shop.require("fulfillment")
    for order_id in shop.orders.own_ids():
        for each in shop.orders.node(order_id)["fulfillments"]:
            if each["legacyResourceId"] == str(number):
                return {"__typename": "Fulfillment", **each} if shop.order_seen(order_id) is not None else None
    return None


def create(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
    """discountCodeBasicCreate."""
    _require(shop, "write_discounts", field.name)
    given = arguments["basicCodeDiscount"]
    problem = _problem(shop, given)
    if problem is not None:
        code, path = problem
        error = {"code": code, "field": ["basicCodeDiscount", path], "message": code.replace("_", " ").lower()}
        return projector(field.children)({"codeDiscountNode": None, "userErrors": [error]}, variables)
    node = {
        "__typename": "DiscountCodeNode",
        "id": gid("DiscountCodeNode", FIRST_ID + len(shop.discounts)),
        "codeDiscount": {"__typename": "DiscountCodeBasic", "title": given["title"], "endsAt": given.get("endsAt")},
    }
    shop.discounts[given["code"].upper()] = {"node": node, "input": given}
    return projector(field.children)({"codeDiscountNode": node, "userErrors": []}, variables)


def by_code(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
    """codeDiscountNodeByCode; codes are not told apart by their case."""
    _require(shop, "read_discounts", field.name)
    held = shop.discounts.get(arguments["code"].upper())
    return None if held is None else projector(field.children)(held["node"], variables)


def _problem(shop: Shop, given: Mapping[str, Any]) -> tuple[str, str] | None:
    """(code, member) of what is wrong with a discount."""
    for name in ("title", "code", "startsAt", "context", "customerGets"):
        if not given.get(name):
            return "BLANK", name
    if given["code"].upper() in shop.discounts:
        return "TAKEN", "code"
    percentage = given["customerGets"]["value"].get("percentage")
    if percentage is not None and not 0 < percentage <= 1:
        return "VALUE_OUTSIDE_RANGE", "customerGets"
    return None


def _require(shop: Shop, scope: str, name: str) -> None:
    if not shop.scopes & {scope, scope.replace("read_", "write_")}:
        message = f"Access denied for {name} field. Required access: `{scope}` access scope."
        raise FieldError(message, "ACCESS_DENIED", requiredAccess=f"`{scope}` access scope.")
