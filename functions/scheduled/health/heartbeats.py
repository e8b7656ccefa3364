"""Which crons have missed their tick: what should have run by now, against the ledger of ticks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from shared.jobs.crons import Cron
from shared.jobs.registry import AnyJob

LEAST_GRACE = timedelta(minutes=10)
DAILY_GRACE = timedelta(minutes=60)
DAILY = timedelta(hours=23)
"""From this distance on a cron counts as daily or rarer; a day of a clock change has 23 hours."""


def missed(cron: Cron, last_tick: datetime | None, now: datetime) -> datetime | None:
    """The first instant after the last tick that is overdue, None when there is none.

    A cron that has no tick yet is new: the ledger notes it before its first instant.
    """
    expected = cron.next(last_tick) if last_tick is not None else None
    if expected is None or expected > now:
        return None
    return expected if now >= expected + grace(cron, expected) else None


def grace(cron: Cron, expected: datetime) -> timedelta:
    """How long a tick may be late: twice the distance to the next one, at least 10 minutes; an hour for daily ones."""
    following = cron.next(expected)
    interval = following - expected if following is not None else DAILY
    return DAILY_GRACE if interval >= DAILY else max(2 * interval, LEAST_GRACE)


def missed_jobs(
    jobs: Iterable[AnyJob], last_ticks: Mapping[str, datetime | None], now: datetime
) -> list[tuple[str, datetime]]:
    """(job, overdue instant) of every cron that has missed one, the oldest first."""
    found = [
        (job.id, instant)
        for job in jobs
        if job.cron is not None and (instant := missed(job.cron, last_ticks.get(job.id), now)) is not None
    ]
    return sorted(found, key=lambda each: each[1])
