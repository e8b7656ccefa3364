"""Local days: the switches of the clocks, and whose zone a tenant has."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Protocol, cast
from zoneinfo import ZoneInfo

import psycopg
import pytest

from shared.db.sessions import TransactionSession, open_tenant
from shared.jobs.context import Session, Tenant
from shared.time import day_bounds, last_complete_day, local_date, local_midnight, tenant_zone, zone_named


class Rows(Protocol):
    def execute(self, sql: str, params: Any = None) -> int: ...


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("zone", "day", "start", "hours"),
    [
        pytest.param("UTC", "2026-11-20", "2026-11-20T00:00:00Z", 24, id="utc"),
        pytest.param("America/New_York", "2026-11-20", "2026-11-20T05:00:00Z", 24, id="new york in winter"),
        pytest.param("America/New_York", "2026-03-08", "2026-03-08T05:00:00Z", 23, id="spring: 23 hours"),
        pytest.param("America/New_York", "2026-11-01", "2026-11-01T04:00:00Z", 25, id="autumn: 25 hours"),
        # Santiago jumps from 24:00 to 01:00: the day begins at 01:00 local.
        pytest.param("America/Santiago", "2025-09-07", "2025-09-07T04:00:00Z", 23, id="skipped midnight"),
        # Havana falls back from 01:00 to 00:00: midnight comes twice, the first one counts.
        pytest.param("America/Havana", "2025-11-02", "2025-11-02T04:00:00Z", 25, id="midnight twice"),
        pytest.param("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z", 0, id="a day that never was"),
        pytest.param("Asia/Kathmandu", "2026-11-20", "2026-11-19T18:15:00Z", 24, id="quarter-hour offset"),
    ],
)
def test_local_day_as_utc_instants(zone: str, day: str, start: str, hours: int) -> None:
    bounds = day_bounds(date.fromisoformat(day), ZoneInfo(zone))

    assert bounds == (at(start), at(start) + timedelta(hours=hours))
    assert all(bound.tzinfo is UTC for bound in bounds)


def test_days_follow_each_other_without_gap_or_overlap() -> None:
    zone = ZoneInfo("America/Santiago")
    days = [date(2025, 1, 1) + timedelta(days=n) for n in range(366)]

    ends = [day_bounds(day, zone)[1] for day in days]

    assert ends == [local_midnight(day + timedelta(days=1), zone) for day in days]
    assert all(local_date(end, zone) == day + timedelta(days=1) for day, end in zip(days, ends, strict=True))
    assert all(local_date(end - timedelta(seconds=1), zone) == day for day, end in zip(days, ends, strict=True))


@pytest.mark.parametrize(
    ("now", "zone", "day"),
    [
        ("2026-11-20T03:00:00Z", "America/New_York", "2026-11-18"),
        ("2026-11-20T05:00:00Z", "America/New_York", "2026-11-19"),
        ("2026-11-20T11:00:00Z", "Pacific/Auckland", "2026-11-20"),
    ],
)
def test_last_complete_day_is_the_day_before_the_local_one(now: str, zone: str, day: str) -> None:
    assert last_complete_day(at(now), ZoneInfo(zone)) == date.fromisoformat(day)


def test_instant_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        local_date(datetime(2026, 11, 20), ZoneInfo("UTC"))  # noqa: DTZ001


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "/etc/localtime", "America", "UTC\x00"])
def test_what_is_no_zone_name(name: str) -> None:
    assert zone_named(name) is None


ORGANIZATION = "UPDATE public.organizations SET settings = jsonb_build_object('timezone', %s::text) WHERE slug = 'acme'"
ANALYTICS = "INSERT INTO analytics_settings (timezone) VALUES (%s)"
SHOP = """
INSERT INTO shopify_connections (tenant_id, shop, store_timezone, status)
SELECT id, 'acme.myshopify.com', %s, 'active' FROM public.organizations WHERE slug = 'acme'
"""


@pytest.mark.parametrize(
    ("settings", "zone"),
    [
        pytest.param([], "UTC", id="nothing set"),
        pytest.param([(SHOP, "Europe/Paris")], "Europe/Paris", id="the shop's"),
        pytest.param([(SHOP, "Europe/Paris"), (ANALYTICS, "Asia/Tokyo")], "Asia/Tokyo", id="analytics before the shop"),
        pytest.param(
            [(SHOP, "Europe/Paris"), (ANALYTICS, "Asia/Tokyo"), (ORGANIZATION, "America/Lima")],
            "America/Lima",
            id="the organization's before all",
        ),
        pytest.param(
            [(SHOP, "Europe/Paris"), (ANALYTICS, "Tokyo"), (ORGANIZATION, "EST5EDT6")],
            "Europe/Paris",
            id="names that are no zone are passed over",
        ),
    ],
)
def test_whose_zone_a_tenant_has(
    settings: list[tuple[str, str]], zone: str, rows: Rows, tenant: Tenant, database_url: str
) -> None:
    for sql, name in settings:
        rows.execute(sql, (name,))

    with psycopg.connect(database_url, autocommit=True) as connection:
        open_tenant(connection, tenant, read_only=True)
        found = tenant_zone(cast(Session, TransactionSession(connection)))

    assert found == ZoneInfo(zone)
