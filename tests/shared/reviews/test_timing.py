"""The local hour of review mails, over changes of the clock, and waits between mails."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from shared.reviews.settings import RULES, SETTINGS, Incentive, ReviewSettings, ReviewTemplate, incentive_of
from shared.reviews.timing import at_send_hour, send_time

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("wanted", "hour", "zone", "expected"),
    [
        # New York goes forward on 2026-03-08: 15:00Z is 11:00 there on the 9th.
        ("2026-03-09T15:00:00Z", 10, "America/New_York", "2026-03-10T14:00:00Z"),
        ("2026-03-09T14:00:00Z", 10, "America/New_York", "2026-03-09T14:00:00Z"),
        ("2026-03-07T15:00:00Z", 10, "America/New_York", "2026-03-07T15:00:00Z"),
        # An hour that does not exist is the first instant after the gap.
        ("2026-03-08T05:00:00Z", 2, "America/New_York", "2026-03-08T07:00:00Z"),
        # Back on 2026-11-01: the hour that comes twice is taken at its first coming.
        ("2026-11-01T00:00:00Z", 1, "America/New_York", "2026-11-01T05:00:00Z"),
        ("2026-06-08T08:00:00Z", 10, "UTC", "2026-06-08T10:00:00Z"),
        ("2026-06-08T10:00:01Z", 10, "UTC", "2026-06-09T10:00:00Z"),
        ("2026-06-08T23:30:00Z", 0, "Asia/Tokyo", "2026-06-09T15:00:00Z"),
        # A past time becomes the next hour that is five minutes away at least.
        ("2026-02-01T10:00:00Z", 10, "UTC", "2026-03-02T10:00:00Z"),
        ("2026-02-01T10:00:00Z", 12, "UTC", "2026-03-02T12:00:00Z"),
        ("2026-02-01T10:00:00Z", 13, "UTC", "2026-03-01T13:00:00Z"),
    ],
)
def test_mails_go_at_the_tenants_hour(wanted: str, hour: int, zone: str, expected: str) -> None:
    assert at_send_hour(at(wanted), hour=hour, zone=ZoneInfo(zone), now=NOW) == at(expected)


def settings(*templates: ReviewTemplate, rules: dict[str, Any] | None = None, **row: Any) -> ReviewSettings:
    return ReviewSettings(
        row={**SETTINGS, **row},
        rules={**RULES, **(rules or {})},
        templates={each.id: each for each in templates},
        newest={each.type: each for each in templates},
        zone=ZoneInfo("UTC"),
        currency="USD",
        incentive=None,
    )


def test_days_of_a_template_win_over_the_setting() -> None:
    own = settings(ReviewTemplate("a", "request", True, 2), ReviewTemplate("b", "reminder_1", True, 0))

    assert (own.request_days, settings().request_days) == (2, 7)
    assert (own.reminder_days(1), own.reminder_days(2)) == (3, 3)
    assert send_time(at("2026-06-01T08:00:00Z"), 7, own, now=NOW) == at("2026-06-08T10:00:00Z")


@pytest.mark.parametrize(
    ("given", "hour"), [(0, 0), (23, 23), (24, 10), (-1, 10), ("9", 10), (True, 10), (None, 10), (9.5, 10)]
)
def test_hour_that_is_none_is_ten(given: Any, hour: int) -> None:
    assert settings(rules={"sendHourLocal": given}).send_hour == hour


@pytest.mark.parametrize(("given", "days"), [(0, 0), (45, 45), (-1, 30), ("9", 30), (True, 30), (10**9, 30)])
def test_days_that_are_none_are_the_default(given: Any, days: int) -> None:
    assert settings(rules={"minDaysBetweenRequests": given}).rule_days("minDaysBetweenRequests").days == days


@pytest.mark.parametrize(("given", "tags"), [(["a", 1], {"a"}), ("a", set()), ({}, set()), ([], set())])
def test_tags_that_are_none_exclude_nothing(given: Any, tags: set[str]) -> None:
    assert settings(rules={"excludeTags": given}).exclude_tags == tags


@pytest.mark.parametrize(("count", "reminders"), [(0, 0), (1, 1), (2, 2), (5, 2), (-1, 0)])
def test_reminders_are_two_at_most(count: int, reminders: int) -> None:
    assert settings(reminder_count=count).reminders == reminders


@pytest.mark.parametrize(
    ("named", "enabled"), [(None, False), ("b", True), ("gone", False)], ids=["newest", "named", "unknown"]
)
def test_named_template_decides_whether_it_is_on(named: str | None, enabled: bool) -> None:
    own = settings(ReviewTemplate("a", "request", False, 0), ReviewTemplate("b", "photo_request", True, 0))

    assert own.enabled("request", named) is enabled
    assert own.enabled("reminder_1", named) is True


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("percentage", "10", "10% off"),
        ("percentage", "12.50", "12.5% off"),
        ("percentage", "100", "100% off"),
        ("percentage", "100.01", None),
        ("percentage", "0", None),
        ("fixed", "5", "$5.00 off"),
        ("fixed", "0", None),
        ("gift", "5", None),
        ("fixed", None, None),
    ],
)
def test_reward_that_makes_sense(kind: str, value: str | None, text: str | None) -> None:
    row = {"incentive_discount_type": kind, "incentive_discount_value": Decimal(value) if value else None}

    found = incentive_of(row, "USD")

    assert (found.text if isinstance(found, Incentive) else None) == text
