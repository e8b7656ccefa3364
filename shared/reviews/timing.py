"""When review mails go: at the tenant's local hour, never in the middle of somebody's night."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from shared.reviews.settings import ReviewSettings
from shared.time import local_date, local_instant

LEAD = timedelta(minutes=5)
"""Earliest from now, so that what is queued can still be seen and stopped."""
STALE_SEND = timedelta(days=21)
"""A mail that is this late is not sent any more."""


def at_send_hour(wanted: datetime, *, hour: int, zone: ZoneInfo, now: datetime) -> datetime:
    """The first instant (UTC) at or after `wanted`, and after now + LEAD, whose local time is `hour` o'clock.

    Delivered 2026-03-02 15:00Z, seven days later is 03-09 15:00Z; in New York that is 11:00 since the clocks went
    forward, so with hour 10 the answer is 03-10 14:00Z. An hour that the clocks skip is the first instant after it.
    """
    earliest = max(wanted, now + LEAD)
    day = local_date(earliest, zone)
    found = local_instant(day, time(hour), zone)
    if found < earliest:
        found = local_instant(day + timedelta(days=1), time(hour), zone)
    return found.astimezone(UTC)


def send_time(since: datetime, days: int, settings: ReviewSettings, *, now: datetime) -> datetime:
    """When the mail goes that is wanted `days` after `since`."""
    wanted = since + timedelta(days=days)
    return at_send_hour(wanted, hour=settings.send_hour, zone=settings.zone, now=now)
