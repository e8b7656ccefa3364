"""Which tenants the clock starts for their tests, and what it says to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.jobs.testing import Bench, ManualClock
from tests.builders.ab_tests import TEST, add_test, insert
from tests.conftest import Rows

HOURLY, QUARTERLY = "ab-hourly-aggregation-scheduled", "ab-optimization-scheduled"
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def published(bench: Bench, job_id: str, at: datetime) -> list[tuple[str, dict[str, Any]]]:
    """What a tick publishes."""
    events = bench.tick(job_id, at).published
    return [(name, {key: value for key, value in detail.items() if key != "_meta"}) for name, detail in events]


@pytest.mark.parametrize(
    ("at", "hour"),
    [("2026-11-20T10:15:00Z", "2026-11-20T09:00:00Z"), ("2026-11-20T00:15:00Z", "2026-11-19T23:00:00Z")],
)
def test_hour_is_the_last_full_one_before_the_tick(
    bench: Bench, rows: Rows, clock: ManualClock, at: str, hour: str
) -> None:
    add_test(rows, status="running")
    clock.advance(s=(datetime.fromisoformat(at) - clock.now()).total_seconds())

    assert published(bench, HOURLY, datetime.fromisoformat(at)) == [
        ("ab.metricsAggregate", {"tenantId": "acme", "period": "hourly", "hour": hour, "slot": at})
    ]


@pytest.mark.parametrize(("hours", "due"), [(49, 0), (47, 1)])
def test_completed_test_is_counted_for_two_days(bench: Bench, rows: Rows, hours: int, due: int) -> None:
    at = NOON + timedelta(minutes=15)
    add_test(rows, status="completed", ended_at=at - timedelta(hours=hours))

    assert len(published(bench, HOURLY, at)) == due


def test_tenant_without_tests_gets_no_message(bench: Bench, rows: Rows) -> None:
    assert published(bench, HOURLY, NOON + timedelta(minutes=15)) == []


@pytest.mark.parametrize("job_id", [HOURLY, QUARTERLY])
def test_tick_that_comes_twice_publishes_once(bench: Bench, rows: Rows, job_id: str) -> None:
    add_test(rows, status="running", mode="mab")
    at = NOON + timedelta(minutes=15)

    published(bench, job_id, at)
    published(bench, job_id, at)

    assert len(bench.bus.published) == 1


@pytest.mark.parametrize(
    ("columns", "guardrail", "due"),
    [
        ({"status": "running"}, True, 1),
        ({"status": "running"}, False, 0),
        ({"status": "running", "mode": "epsilon_greedy"}, False, 1),
        ({"status": "running", "settings": {"optimization": "thompson"}}, False, 1),
        ({"status": "paused", "mode": "mab"}, False, 0),
    ],
)
def test_optimization_is_for_bandits_and_guarded_tests(
    bench: Bench, rows: Rows, columns: dict[str, Any], guardrail: bool, due: int
) -> None:
    add_test(rows, **columns)
    if guardrail:
        insert(rows, "ab_guardrails", {"test_id": TEST, "name": "g", "metric": "conversion_rate", "threshold": 10})

    assert len(published(bench, QUARTERLY, NOON)) == due


def test_each_quarter_of_an_hour_has_its_slot(bench: Bench, rows: Rows) -> None:
    add_test(rows, status="running", mode="mab")

    slots = [published(bench, QUARTERLY, NOON + timedelta(minutes=m))[0][1]["slot"] for m in (0, 15)]

    assert slots == ["2026-11-20T12:00:00Z", "2026-11-20T12:15:00Z"]
