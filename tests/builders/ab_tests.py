"""Tests, variants and visitors as the applications write them. A case states only what matters to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
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


def add_arm(
    rows: Rows,
    variant: str,
    visitors: int,
    buyers: int,
    *,
    at: datetime,
    test: str = TEST,
    cents: int = 5_000,
    orders: bool = True,
    mark: str = "",
) -> None:
    """Visitors assigned at `at`, the first of them `buyers` with an order an hour later; `orders` False: none.

    `mark` tells several groups of one arm apart.
    """
    names = {"v": variant, "t": test, "n": visitors, "x": buyers, "at": at, "cents": cents, "mark": mark}
    rows.execute(
        "INSERT INTO ab_visitors (visitor_id, test_id, variant_id, assigned_at)"
        " SELECT %(v)s || %(mark)s || '-' || i, %(t)s, %(v)s, %(at)s FROM generate_series(1, %(n)s) i",
        names,
    )
    if orders:
        rows.execute(
            "INSERT INTO ab_order_attributions (test_id, order_id, variant_id, visitor_id, method, assigned_at,"
            " ordered_at, currency, gross_cents, net_cents)"
            " SELECT %(t)s, 'o-' || %(v)s || %(mark)s || '-' || i, %(v)s, %(v)s || %(mark)s || '-' || i, 'visitor',"
            " %(at)s, %(at)s::timestamptz + interval '1 hour', 'USD', %(cents)s, %(cents)s"
            " FROM generate_series(1, %(x)s) i",
            names,
        )


def add_epoch(
    rows: Rows, number: int, at: datetime, shares: Mapping[str, int], *, test: str = TEST, **columns: Any
) -> None:
    """A split of a test; the epochs before it end here."""
    names = {"t": test, "at": at}
    rows.execute("UPDATE ab_allocation_epochs SET ended_at = %(at)s WHERE test_id = %(t)s AND ended_at IS NULL", names)
    values = {"test_id": test, "epoch": number, "started_at": at, "shares": dict(shares), **columns}
    insert(rows, "ab_allocation_epochs", {"reason": "started" if number == 1 else "manual", **values})
