"""Lists as parameters come back from the database as they were."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.db.connections import Connection, connect

NUMBERS = st.lists(st.integers(-(2**63), 2**63 - 1))
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
ZONES = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-3))])
INSTANTS = st.lists(st.none() | st.datetimes(timezones=ZONES, allow_imaginary=False))


class Colour(StrEnum):
    RED = "red"


@pytest.fixture(scope="module")
def connection(server_url: str) -> Iterator[Connection]:
    with connect(server_url, application_name="test") as opened:
        yield opened


def echoed(connection: Connection, type: str, value: Any) -> Any:
    row = connection.execute(f"SELECT %(value)s::{type}[]", {"value": value}).fetchone()
    assert row is not None
    return row[0]


@given(texts=TEXTS)
def test_texts(connection: Connection, texts: list[str]) -> None:
    assert echoed(connection, "text", texts) == texts


@given(numbers=NUMBERS)
def test_whole_numbers(connection: Connection, numbers: list[int]) -> None:
    assert echoed(connection, "bigint", numbers) == numbers


@given(instants=INSTANTS)
def test_instants(connection: Connection, instants: list[datetime | None]) -> None:
    assert echoed(connection, "timestamptz", instants) == instants


@pytest.mark.parametrize(
    ("type", "value"),
    [
        pytest.param("text", ["NULL", "null", "", "{}", '"', "\\", "a,b", "\n", "'; --"], id="quoting"),
        pytest.param("text", ["a", None, "b"], id="a gap"),
        pytest.param("text", [None], id="nothing known"),
        pytest.param("text", [], id="empty"),
        pytest.param("text", [["a", "b"], ["c", '"']], id="nested"),
        pytest.param("text", [Colour.RED, Colour.RED], id="enumerated"),
        pytest.param("boolean", [True, False], id="truth"),
        pytest.param("integer", [1, None], id="numbers with a gap"),
        pytest.param("numeric", [1.5], id="fractions"),
        pytest.param("timestamptz", [None, None], id="no instants"),
    ],
)
def test_lists_of_every_kind(connection: Connection, type: str, value: list[Any]) -> None:
    assert echoed(connection, type, value) == value


def test_a_character_that_no_text_holds_is_refused_and_not_cut(connection: Connection) -> None:
    with pytest.raises(psycopg.DataError, match="NUL"):
        echoed(connection, "text", ["a\0b", "c"])
