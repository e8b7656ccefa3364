"""Which tenants the clock starts for their counters, and for the night."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.jobs.testing import Bench
from tests.builders.ab_tests import add_test
from tests.conftest import Rows
from tests.functions.commerce.ab_tests.conftest import NOON

COUNTERS, NIGHT = "ab-redis-sync-scheduled", "ab-nightly-reconciliation-scheduled"


def published(bench: Bench, job_id: str, hours: int = 0) -> list[tuple[str, dict[str, Any]]]:
    """What the tick of so many hours after noon publishes."""
    events = bench.tick(job_id, NOON + timedelta(hours=hours)).published
    return [(name, {key: value for key, value in detail.items() if key != "_meta"}) for name, detail in events]


def test_counters_come_every_six_hours(bench: Bench, rows: Rows) -> None:
    add_test(rows, status="running")

    assert published(bench, COUNTERS) == [
        ("ab.counterSync", {"tenantId": "acme", "forceSync": False, "slot": "2026-11-20T12:00:00Z"})
    ]


def test_night_comes_at_two(bench: Bench, rows: Rows) -> None:
    add_test(rows, status="paused")

    assert published(bench, NIGHT, 14) == [
        ("ab.nightlyReconcile", {"tenantId": "acme", "fullReconciliation": False, "slot": "2026-11-21T02:00:00Z"})
    ]


@pytest.mark.parametrize(
    ("job_id", "hours", "columns", "due"),
    [
        (COUNTERS, 0, {"status": "draft"}, 0),
        (COUNTERS, 0, {"status": "completed", "ended_at": NOON - timedelta(hours=47)}, 1),
        (COUNTERS, 0, {"status": "completed", "ended_at": NOON - timedelta(hours=49)}, 0),
        (NIGHT, 14, {"status": "draft"}, 0),
        (NIGHT, 14, {"status": "completed", "ended_at": NOON - timedelta(days=30)}, 1),
        (NIGHT, 14, {"status": "completed", "ended_at": NOON - timedelta(days=31)}, 0),
    ],
)
def test_tenants_that_are_due(
    bench: Bench, rows: Rows, job_id: str, hours: int, columns: dict[str, Any], due: int
) -> None:
    add_test(rows, **columns)

    assert len(published(bench, job_id, hours)) == due


def test_tick_runs_through(bench: Bench, rows: Rows) -> None:
    """The event finds its job."""
    add_test(rows, status="running", started_at=NOON - timedelta(days=1))
    published(bench, COUNTERS)
    published(bench, NIGHT, 14)

    done = {each.job: each for each in bench.drain()}

    assert done["ab-sync-redis-to-postgres"].result["redis"] == "not_configured"
    assert done["ab-nightly-reconciliation"].result["tests"] == 1
