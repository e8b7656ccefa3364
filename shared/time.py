"""Tenant-local time: whose zone counts, and where a local day begins and ends.

A tenant's day is [local midnight, next local midnight) as UTC instants: 24 hours, or 23, 25 and the like on the days
on which the zone changes its offset. `date` columns and arguments named `*_date` are such local days; instants are
aware datetimes in UTC.
"""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

if TYPE_CHECKING:
    from shared.jobs.context import Session

_log = logging.getLogger(__name__)

_ONE_SECOND = timedelta(seconds=1)
_LONGEST_GAP = timedelta(hours=26)
"""No zone ever skipped more local time at once (Samoa left out a whole day in 2011)."""

ZONE_NAMES = """
-- shared.time: the zone names a tenant has set, the most trusted first
SELECT
    (SELECT o.settings ->> 'timezone'
       FROM public.organizations o
      WHERE o.id = current_setting('cgk.tenant_id')::uuid) AS organization,
    (SELECT a.timezone FROM analytics_settings a ORDER BY a.created_at LIMIT 1) AS analytics,
    (SELECT c.store_timezone
       FROM shopify_connections c
      WHERE c.status = 'active'
      ORDER BY c.installed_at DESC NULLS LAST LIMIT 1) AS shop
"""


def tenant_zone(session: Session) -> ZoneInfo:
    """The tenant's zone: the first valid name of organization settings, analytics settings and the shop, else UTC.

    A name that is no zone is passed over and logged; call this once a run and hand the zone on.
    """
    row = session.one(ZONE_NAMES) or {}
    for source in ("organization", "analytics", "shop"):
        name = row.get(source)
        zone = zone_named(name) if name else None
        if zone is not None:
            return zone
        if name:
            _log.warning("zone name of %s settings is not known, passed over", source)
    return ZoneInfo("UTC")


def zone_named(name: str) -> ZoneInfo | None:
    """The zone of an IANA name, None when there is none of that name (or the name tries to be a path)."""
    try:
        return ZoneInfo(name.strip())
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """The instant (UTC) at which the local day begins; see local_instant."""
    return local_instant(day, time.min, zone)


def local_instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """The instant (UTC) of a wall-clock time of the zone.

    A time that the clocks skip is the first existing instant after it, one that comes twice its first occurrence.
    """
    wall = datetime.combine(day, at)
    first = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if first.astimezone(zone).replace(tzinfo=None) == wall:
        return first
    # The wall time falls into a gap: find the jump by bisection, to the second.
    before, after = first - _LONGEST_GAP, first
    while after - before > _ONE_SECOND:
        middle = before + timedelta(seconds=(after - before) // _ONE_SECOND // 2)
        if middle.astimezone(zone).replace(tzinfo=None) >= wall:
            after = middle
        else:
            before = middle
    return after


def quiet_until(now: datetime, start: time, end: time, zone: ZoneInfo) -> datetime | None:
    """The end (UTC) of the quiet hours [start, end) that `now` falls into, None outside them.

    start > end spans midnight; start = end means no quiet hours.
    """
    local = now.astimezone(zone)
    at, day = local.time(), local.date()
    if start < end:
        return local_instant(day, end, zone) if start <= at < end else None
    if start > end and (at >= start or at < end):
        return local_instant(day + timedelta(days=1) if at >= start else day, end, zone)
    return None


def day_bounds(day: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The local day as UTC instants [start, end)."""
    return local_midnight(day, zone), local_midnight(day + timedelta(days=1), zone)


def local_date(instant: datetime, zone: ZoneInfo) -> date:
    """The local day in which an aware instant falls."""
    if instant.tzinfo is None:
        raise ValueError("an instant must carry a time zone")
    return instant.astimezone(zone).date()


def last_complete_day(now: datetime, zone: ZoneInfo) -> date:
    """The last local day that is over at `now`."""
    return local_date(now, zone) - timedelta(days=1)
