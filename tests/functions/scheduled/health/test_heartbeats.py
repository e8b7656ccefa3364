"""Which crons have missed their tick, over weekends and changes of the clock."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from functions.scheduled.health.heartbeats import missed, missed_jobs
from shared.jobs.crons import Cron
from tests.functions.scheduled.health.conftest import a_cron

DIGEST = Cron("0 8 * * 1-5", zone="America/New_York")
EVERY_FIVE = Cron("*/5 * * * *", zone="UTC")
WEEKLY = Cron("0 6 * * 1", zone="UTC")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "last", "now", "overdue"),
    [
        # 8 March 2026: the clocks go forward. Friday's tick 13:00Z (EST), Monday's 12:00Z (EDT).
        (DIGEST, "2026-03-06T13:00", "2026-03-09T12:59", None),
        (DIGEST, "2026-03-06T13:00", "2026-03-09T13:01", "2026-03-09T12:00"),
        (DIGEST, "2026-03-09T12:00", "2026-03-09T13:01", None),
        (DIGEST, "2026-03-06T13:00", "2026-03-07T23:00", None),
        # 1 November 2026: back again. Monday's tick is at 13:00Z.
        (DIGEST, "2026-10-30T12:00", "2026-11-02T13:30", None),
        (DIGEST, "2026-10-30T12:00", "2026-11-02T14:00", "2026-11-02T13:00"),
        (EVERY_FIVE, "2026-11-20T12:00", "2026-11-20T12:14", None),
        (EVERY_FIVE, "2026-11-20T12:00", "2026-11-20T12:15", "2026-11-20T12:05"),
        (EVERY_FIVE, "2026-11-20T12:00", "2026-11-20T15:00", "2026-11-20T12:05"),
        (Cron("0 * * * *", zone="UTC"), "2026-11-20T11:00", "2026-11-20T13:59", None),
        (Cron("0 * * * *", zone="UTC"), "2026-11-20T11:00", "2026-11-20T14:00", "2026-11-20T12:00"),
        (WEEKLY, "2026-11-16T06:00", "2026-11-23T06:59", None),
        (WEEKLY, "2026-11-16T06:00", "2026-11-23T07:00", "2026-11-23T06:00"),
        (EVERY_FIVE, None, "2026-11-20T12:00", None),
        (DIGEST, "2026-03-09T12:30", "2026-03-09T20:00", None),
    ],
    ids=[
        "digest, in its hour",
        "digest, 13:01Z the day after the clock change",
        "digest, on time",
        "digest, nothing on Saturday",
        "digest in autumn, in its hour",
        "digest in autumn, missed",
        "every five minutes, within ten",
        "every five minutes, from ten on",
        "every five minutes, long ago",
        "hourly, within twice its distance",
        "hourly, missed",
        "weekly, in its hour",
        "weekly, missed",
        "never seen",
        "deployed after the expected instant",
    ],
)
def test_missed_tick(cron: Cron, last: str | None, now: str, overdue: str | None) -> None:
    assert missed(cron, at(last) if last else None, at(now)) == (at(overdue) if overdue else None)


def test_oldest_comes_first() -> None:
    jobs = [a_cron("some-cron", "*/5 * * * *"), a_cron("other-cron", "*/5 * * * *")]
    ticks = {"some-cron": at("2026-11-20T12:00"), "other-cron": at("2026-11-20T11:00")}

    assert [job for job, _ in missed_jobs(jobs, ticks, at("2026-11-20T13:00"))] == ["other-cron", "some-cron"]
