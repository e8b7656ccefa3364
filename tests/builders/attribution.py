"""Touchpoints as members of a path, and rows of touchpoints and orders. A test states only what matters to it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from shared.attribution.touchpoints import Touchpoint, is_direct
from tests.conftest import Rows

ORDER_AT = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
"""The order's instant: the clock's start, 07:00 in New York."""

_numbers = itertools.count(1)


def a_touchpoint(channel: str = "paid_social", *, age_h: float = 1, **fields: Any) -> Touchpoint:
    """A click `age_h` hours before ORDER_AT, of a visit of its own."""
    id = fields.pop("id", None) or f"t{next(_numbers):06}"
    defaults = {"kind": "click", "visitor_id": "v1", "session_id": id}
    direct = is_direct(channel, fields.get("campaign"), dict(fields.get("click_ids", ())))
    return Touchpoint(
        id=id,
        occurred_at=ORDER_AT - timedelta(hours=age_h),
        channel=channel,
        direct=direct,
        **{**defaults, **fields},
    )


def a_path(channels: Sequence[str]) -> list[Touchpoint]:
    """A path over these channels, an hour between two, the last one at the order."""
    n = len(channels)
    return [a_touchpoint(channel, age_h=n - 1 - i, id=f"p{i}") for i, channel in enumerate(channels)]


def insert_touchpoint(rows: Rows, id: str, *, age_h: float = 1, **fields: Any) -> None:
    """A recorded touchpoint `age_h` hours before ORDER_AT."""
    row = {
        "id": id,
        "tenant_id": "app",
        "visitor_id": "v1",
        "session_id": f"s-{id}",
        "channel": "paid_social",
        "platform": "meta",
        "source": "facebook",
        "touchpoint_type": "click",
        "occurred_at": ORDER_AT - timedelta(hours=age_h),
        **fields,
    }
    _insert(rows, "attribution_touchpoints", row)


def insert_order(
    rows: Rows, id: str = "1001", *, placed_at: datetime = ORDER_AT, codes: Sequence[Any] = (), **fields: Any
) -> None:
    """A paid order of customer c1 over 100.00."""
    row = {
        "id": id,
        "shopify_order_id": id,
        "shopify_id": id,
        "order_number": f"#{id}",
        "customer_id": "c1",
        "total_cents": 10_000,
        "financial_status": "paid",
        "currency": "USD",
        "order_placed_at": placed_at,
        "discount_codes": Jsonb(list(codes)),
        **fields,
    }
    _insert(rows, "orders", row)


def insert_settings(rows: Rows, tenant_id: str, **fields: Any) -> None:
    """The tenant's attribution settings."""
    _insert(rows, "attribution_settings", {"tenant_id": tenant_id, **fields})


def insert(rows: Rows, table: str, **fields: Any) -> None:
    """Any row."""
    _insert(rows, table, fields)


def _insert(rows: Rows, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(row)
    values = ", ".join(f"%({name})s" for name in row)
    wrapped = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in row.items()}
    rows.execute(f"INSERT INTO {table} ({names}) VALUES ({values})", wrapped)  # noqa: S608  # names are the test's own
