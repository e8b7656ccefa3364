"""Tests, variants and visitors as the applications write them. A case states only what matters to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg.types.json import Jsonb

from tests.conftest import Rows

TEST = "test_1"


def insert(rows: Rows, table: str, values: Mapping[str, Any], **more: Any) -> None:
    """One row; dicts become jsonb."""
    columns = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in values.items()}
    marks = ", ".join(f"%({name})s" for name in columns)
    rows.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", columns, **more)  # noqa: S608


def add_test(
    rows: Rows, id: str = TEST, *, shares: Sequence[int | None] = (50, 50), controls: int = 1, **columns: Any
) -> None:
    """A draft of two variants `<id>_a` (control) and `<id>_b`, ready to start."""
    more = {"tenant": columns.pop("tenant")} if "tenant" in columns else {}
    values = {"id": id, "name": f"Test {id}", "base_url": "https://acme.example/", **columns}
    insert(rows, "ab_tests", values, **more)
    for n, share in enumerate(shares):
        variant = {
            "id": f"{id}_{'abcdefghijkl'[n]}",
            "test_id": id,
            "name": f"Variant {n}",
            "is_control": n < controls,
            "traffic_allocation": share,
            "weight": share,
        }
        insert(rows, "ab_variants", variant, **more)


def add_state(rows: Rows, id: str = TEST, **columns: Any) -> None:
    """What the jobs know of a test."""
    insert(rows, "ab_test_state", {"test_id": id, **columns})
