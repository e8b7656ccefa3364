"""The schema files' format: what is read out of a statement, and what is refused."""

from __future__ import annotations

import pytest

from shared.db.migrations.statements import (
    SchemaKind,
    enum_labels,
    index_shape,
    load,
    normalised,
    parse,
    split_top_level,
    table_shape,
)

TABLE = """CREATE TABLE things (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    kind text NOT NULL CHECK (kind IN ('a, b', 'c')),
    code text UNIQUE,
    -- added for the jobs
    price numeric(10,2),
    PRIMARY KEY (id),
    UNIQUE (kind, price),
    FOREIGN KEY (code) REFERENCES codes(id) ON DELETE SET NULL
);"""


def test_columns_and_unique_keys_of_a_table() -> None:
    shape = table_shape(TABLE)

    assert shape.columns == {
        "id": "uuid NOT NULL DEFAULT gen_random_uuid()",
        "kind": "text NOT NULL CHECK (kind IN ('a, b', 'c'))",
        "code": "text UNIQUE",
        "price": "numeric(10,2)",
    }
    assert shape.unique_keys == (("code",), ("id",), ("kind", "price"))


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("status in ('a','b')", "(status = ANY (ARRAY['a'::text, 'b'::text]))"),
        (
            "status in ('a','b')",
            "((status)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))",
        ),
        ("status = 'x'", "(status = 'x'::order_status)"),
        ("dedupe_key is not null", "(dedupe_key IS NOT NULL)"),
        ("matured_at is null and status in ('a')", "((matured_at IS NULL) AND (status = ANY (ARRAY['a'::s])))"),
        ("(COALESCE(order_placed_at, created_at))", "COALESCE(order_placed_at, created_at)"),
    ],
)
def test_expression_as_written_equals_expression_as_postgresql_prints_it(written: str, printed: str) -> None:
    assert normalised(written) == normalised(printed)


def test_shape_of_an_index() -> None:
    shape = index_shape("CREATE UNIQUE INDEX i ON t (a, lower(b), c DESC) WHERE a > 1;")

    assert shape.keys == ("a", "lowerb", "c")
    assert (shape.predicate, shape.unique, shape.method) == ("a>1", True, "btree")


def test_commas_inside_parentheses_and_quotes_do_not_split() -> None:
    assert split_top_level("a, f(b, c), 'x, y', ") == ["a", "f(b, c)", "'x, y'"]
    assert enum_labels("CREATE TYPE t AS ENUM ('a', 'b-c');") == ["a", "b-c"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("-- ensure table a\nCREATE TABLE b (\n    id int\n);", "creates something else"),
        ("-- ensure index a\nCREATE TABLE a (\n    id int\n);", "creates something else"),
        ("-- ensure table a\nCREATE TABLE a (\n    id int\n)", "must end with a semicolon"),
        ("-- ensure index a\nCREATE INDEX a ON ONLY t (x);", "form that is understood"),
    ],
)
def test_file_that_contradicts_itself_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse(text, "x.sql")


@pytest.mark.parametrize("kind", ["jobs", "public", "tenant"])
def test_every_index_trigger_and_fence_names_a_table_of_its_schema(kind: SchemaKind) -> None:
    statements = load(kind)

    tables = {statement.name for statement in statements if statement.kind == "table"}
    assert tables
    assert {statement.table for statement in statements if statement.table} <= tables
    labels = [statement.label for statement in statements]
    assert len(labels) == len(set(labels))
