"""The catalogue's queries against Shopify's published schema."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from graphql import parse
from graphql import validate as validate_document

from shared.integrations import shopify_catalog_queries as q
from tests.shared.integrations.test_shopify_queries import fields, schema, scopes

QUERIES = [
    name
    for name, text in vars(q).items()
    if name.isupper() and isinstance(text, str) and text.lstrip().startswith(("query", "mutation", "{"))
]
GRANTED = {"read_products", "read_customers", "read_inventory", "read_locations", "write_inventory"}


def test_all_queries_are_found() -> None:
    assert len(QUERIES) == 27


@pytest.mark.parametrize("name", QUERIES)
def test_every_query_is_valid_in_the_published_schema(name: str) -> None:
    assert validate_document(schema(), parse(getattr(q, name))) == []


@pytest.mark.parametrize("name", QUERIES)
def test_no_query_asks_for_a_deprecated_field(name: str) -> None:
    assert [field for field in fields(getattr(q, name)) if field[3]] == []


@pytest.mark.parametrize("name", QUERIES)
def test_queries_need_no_scope_but_those_of_the_catalogue(name: str) -> None:
    for parent, field, returned, _ in fields(getattr(q, name)):
        for key in (f"{parent}.{field}", returned):
            needed = scopes().get(key)
            assert needed is None or GRANTED & set(needed), f"{parent}.{field} needs one of {needed}"


def test_a_search_names_whole_seconds_in_utc() -> None:
    at = datetime(2026, 11, 20, 11, 0, 7, 999, tzinfo=timezone(timedelta(hours=1)))

    assert q.changed_since(at) == "updated_at:>='2026-11-20T10:00:07Z'"
    assert q.created_since(at) == "created_at:>='2026-11-20T10:00:07Z'"
