"""Text that PostgreSQL refuses is taken out of JSON that comes from outside, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.storable import loads, storable

TEXTS = st.text(st.characters(codec=None), max_size=8)  # half surrogate pairs and U+0000 are among them
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (rb'{"note": "a\u0000b"}', {"note": "ab"}),
        (rb'{"a\u0000": ["\uD83D", {"b": "\udE00x"}]}', {"a": ["", {"b": "x"}]}),
        (b'["half a pair \xed\xa0\xbd in bytes"]', ["half a pair  in bytes"]),
        (rb'["\ud83d\ude00 whole"]', ["😀 whole"]),
        (rb'["C:\\u0000 is a path"]', ["C:\\u0000 is a path"]),
        ('["Ünïcödé ❤"]'.encode(), ["Ünïcödé ❤"]),
    ],
    ids=["nul", "half pairs, names too", "half a pair as bytes", "an emoji", "a backslash that someone typed", "plain"],
)
def test_json_from_outside(text: bytes, value: Any) -> None:
    assert loads(text) == value


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", rb'["\u00"]'])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    with pytest.raises((json.JSONDecodeError, UnicodeDecodeError)):
        loads(text)


@pytest.fixture(scope="module")
def server(server_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server_url) as opened:
        yield opened


@given(value=VALUES)
def test_whatever_json_says_the_database_takes_it(value: Any, server: psycopg.Connection[Any]) -> None:
    read = loads(json.dumps(value).encode())

    assert read == storable(value)
    row = server.execute("SELECT %s::jsonb", (json.dumps(read, ensure_ascii=False),)).fetchone()
    assert row is not None
    assert row[0] == read
