"""Limits, states, and when stock messages may go out: rules without a database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.catalog.stock import State, days_left, judge, limit_of
from shared.catalog.stock_messages import Alert, Line, message, summary_is_due

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("units", "limit"), [(0, 10), (21, 10), (22, 11), (45, 21), (46, 22), (3000, 1400)]
)  # fmt: skip
def test_limit_is_the_threshold_or_two_weeks_of_sales(units: int, limit: int) -> None:
    assert limit_of(10, units) == limit


@pytest.mark.parametrize(
    ("quantity", "units", "days"), [(21, 45, 14), (22, 45, 14), (0, 45, 0), (-3, 45, 0), (5, 0, None), (None, 45, None)]
)
def test_days_of_cover(quantity: int | None, units: int, days: int | None) -> None:
    assert days_left(quantity, units) == days


@pytest.mark.parametrize(
    ("quantity", "before", "tracked", "continues", "state"),
    [
        (22, None, True, False, "in_stock"),
        (21, None, True, False, "low"),
        (25, "low", True, False, "low"),
        (26, "low", True, False, "in_stock"),
        (22, "out", True, False, "in_stock"),
        (0, "low", True, False, "out"),
        (-2, "low", True, True, "low"),
        (5, "low", False, False, "untracked"),
    ],
)
def test_states_around_a_limit_of_21(
    quantity: int, before: State | None, tracked: bool, continues: bool, state: State
) -> None:
    assert judge(quantity, 21, before, tracked=tracked, continues=continues) == state


def alert(**config: Any) -> Alert:
    last = config.pop("last", None)
    return Alert("a1", "low_stock", "C1", config, last, datetime(2026, 11, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("hour", "config", "opens"),
    [
        (3, {}, True),
        (13, {"businessHoursOnly": True}, False),  # 8:00 in New York
        (14, {"businessHoursOnly": True}, True),
        (23, {"businessHoursOnly": True}, False),
        (13, {"businessHoursOnly": True, "businessHoursTimezone": "UTC"}, True),
        (4, {"businessHoursOnly": True, "businessHoursStart": "22:00", "businessHoursEnd": 6}, True),
        (14, {"businessHoursOnly": True, "businessHoursStart": "nonsense"}, True),
    ],
)
def test_business_hours(hour: int, config: dict[str, Any], opens: bool) -> None:
    assert alert(**config).opens(datetime(2026, 11, 25, hour, 30, tzinfo=UTC), NEW_YORK) is opens


@pytest.mark.parametrize(
    ("tick", "config", "due"),
    [
        (datetime(2026, 11, 25, 14, tzinfo=UTC), {"frequency": "daily"}, True),
        (datetime(2026, 11, 25, 15, tzinfo=UTC), {"frequency": "daily"}, False),
        (datetime(2026, 7, 1, 13, tzinfo=UTC), {"frequency": "daily"}, True),
        (datetime(2026, 11, 25, 14, tzinfo=UTC), {"frequency": "weekly"}, False),
        (datetime(2026, 11, 23, 14, tzinfo=UTC), {"frequency": "weekly"}, True),
        (datetime(2026, 11, 25, 14, tzinfo=UTC),
         {"frequency": "daily", "last": datetime(2026, 11, 25, 5, 1, tzinfo=UTC)}, False),
        (datetime(2026, 11, 25, 14, tzinfo=UTC),
         {"frequency": "daily", "last": datetime(2026, 11, 25, 4, 59, tzinfo=UTC)}, True),
    ],
)  # fmt: skip
def test_summaries_are_due_at_nine(tick: datetime, config: dict[str, Any], due: bool) -> None:
    assert summary_is_due(alert(**config), tick, NEW_YORK) is due


def test_names_are_escaped() -> None:
    assert message("out_of_stock", [Line("A & <b>", "x<y", 0, 0)]) == (
        "*Out of stock: 1 variant*\n• A &amp; &lt;b&gt; (x&lt;y): 0 left, 0 days of cover"
    )
