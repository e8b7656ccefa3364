"""Our queries against Shopify's published schema and its list of scopes."""

from __future__ import annotations

import gzip
import json
from functools import cache
from typing import Any

import pytest
from graphql import GraphQLSchema, TypeInfo, TypeInfoVisitor, Visitor, build_client_schema, get_named_type, parse, visit
from graphql import validate as validate_document
from graphql.language import FieldNode

from shared.integrations import shopify_queries as q
from shared.integrations.shopify_queries import NEEDS_SCOPE, Access
from tests.conftest import shared_material

ACCESSES = [Access(customers, products) for customers in (True, False) for products in (True, False)]
SEARCH = "created_at:>='2026-11-01T00:00:00Z' created_at:<'2026-11-02T00:00:00Z' \"quoted\" \\ status:any"

QUERIES = {
    **{f"{build.__name__} {access}": build(access) for build in (q.order, q.orders, q.order_nodes, q.more_lines)
       for access in ACCESSES},
    **{f"bulk {access}": q.bulk_orders(SEARCH, access) for access in ACCESSES},
    **{
        name: getattr(q, name)
        for name in (
            "ALL_FULFILLMENTS", "ALL_REFUND_IDS", "REFUND_NODES", "MORE_REFUND_LINES", "MORE_REFUND_SHIPPING",
            "ORDERS_COUNT", "ORDER_IDS", "BULK_START", "BULK_OPERATION", "BULK_OPERATIONS", "BULK_CANCEL",
        )
    },
}  # fmt: skip


@cache
def schema() -> GraphQLSchema:
    path = shared_material("contracts/shopify/admin_2026-10.introspection.json.gz")
    introspection = json.loads(gzip.decompress(path.read_bytes()))
    return build_client_schema(introspection.get("data", introspection), assume_valid=True)


@cache
def scopes() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(
        shared_material("contracts/shopify/admin_2026-10.offline_scopes.json").read_text()
    )
    return found


class Fields(Visitor):
    """Collects (type, field, returned type, deprecation) of every field of a document."""

    def __init__(self, info: TypeInfo) -> None:
        super().__init__()
        self.info = info
        self.seen: list[tuple[str, str, str, str | None]] = []

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        parent, definition = self.info.get_parent_type(), self.info.get_field_def()
        assert parent is not None
        if definition is not None:
            returned = get_named_type(definition.type).name
            self.seen.append((parent.name, node.name.value, returned, definition.deprecation_reason))


def fields(text: str) -> list[tuple[str, str, str, str | None]]:
    info = TypeInfo(schema())
    visitor = Fields(info)
    visit(parse(text), TypeInfoVisitor(info, visitor))
    return visitor.seen


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_is_valid_in_the_published_schema(name: str) -> None:
    assert validate_document(schema(), parse(QUERIES[name])) == []


@pytest.mark.parametrize("name", QUERIES)
def test_no_query_asks_for_a_deprecated_field(name: str) -> None:
    assert [field for field in fields(QUERIES[name]) if field[3]] == []


@pytest.mark.parametrize("name", QUERIES)
def test_queries_need_no_scope_but_those_granted(name: str) -> None:
    granted = {"read_orders"}
    if "customers=True" in name:
        granted.add("read_customers")
    if "products=True" in name:
        granted.add("read_products")

    for parent, field, returned, _ in fields(QUERIES[name]):
        for key in (f"{parent}.{field}", returned):
            needed = scopes().get(key)
            assert needed is None or granted & set(needed), f"{parent}.{field} needs one of {needed}"


def test_optional_fields_are_the_ones_that_need_more() -> None:
    asked = {(parent, field): returned for parent, field, returned, _ in fields(q.order(Access()))}

    for field, scope in NEEDS_SCOPE.items():
        returned = next(given for (_, name), given in asked.items() if name == field)
        assert scope in scopes()[returned]


def test_a_search_survives_as_an_argument() -> None:
    document = parse(q.bulk_orders(SEARCH, Access()))
    orders = document.definitions[0].selection_set.selections[0]  # type: ignore[attr-defined]

    assert orders.arguments[0].value.value == SEARCH


def test_a_bulk_query_has_no_connection_within_a_list() -> None:
    text = q.bulk_orders(SEARCH, Access())

    assert "refundLineItems" not in text
    assert "$" not in text
