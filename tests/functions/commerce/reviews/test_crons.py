"""Which tenants the clock starts for their review mails."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.jobs.testing import Bench
from tests.builders.reviews import add_mail
from tests.conftest import Rows

WORKER = "commerce-process-review-email-queue-scheduled"
RETRY = "commerce-retry-failed-review-emails-scheduled"
AWAITING = "commerce-review-email-awaiting-delivery-scheduled"
TEN = datetime(2026, 11, 21, 10, tzinfo=UTC)


def published(bench: Bench, job_id: str, at: datetime = TEN) -> list[tuple[str, dict[str, Any]]]:
    """What a tick publishes, by all tenants."""
    events = bench.tick(job_id, at).published
    return [(name, {key: value for key, value in detail.items() if key != "_meta"}) for name, detail in events]


@pytest.mark.parametrize(("minutes", "due"), [(0, 1), (1, 0)])
def test_worker_is_started_for_a_mail_that_is_due(bench: Bench, rows: Rows, minutes: int, due: int) -> None:
    add_mail(rows, scheduled_at=TEN + timedelta(minutes=minutes))

    events = published(bench, WORKER)

    expected = ("review.emailQueue", {"tenantId": "acme", "limit": 50, "dryRun": False})
    assert events == [expected] * due


@pytest.mark.parametrize(
    ("columns", "due"),
    [
        ({"status": "pending"}, 0),
        ({"status": "sent"}, 0),
        ({"status": "failed"}, 0),
        ({"status": "processing", "lease_expires_at": TEN - timedelta(seconds=1)}, 1),
        ({"status": "processing", "lease_expires_at": TEN + timedelta(seconds=1)}, 0),
    ],
)
def test_rows_that_start_the_worker(bench: Bench, rows: Rows, columns: dict[str, Any], due: int) -> None:
    add_mail(rows, **columns)

    assert len(published(bench, WORKER)) == due


@pytest.mark.parametrize(
    ("attempts", "minutes", "due"),
    [(2, 5, 1), (2, 4, 1), (2, 3, 0), (5, 600, 0)],
)
def test_repetition_is_started_when_a_waiting_time_is_over(
    bench: Bench, rows: Rows, attempts: int, minutes: int, due: int
) -> None:
    add_mail(rows, status="failed", attempts=attempts, last_attempt_at=TEN - timedelta(minutes=minutes))

    events = published(bench, RETRY)

    assert events == [("review.emailRetry", {"tenantId": "acme", "maxRetries": 5, "limit": 25})] * due


def test_row_that_only_a_person_tries_again_starts_nothing(bench: Bench, rows: Rows) -> None:
    add_mail(rows, status="failed", attempts=6, max_attempts=10, last_attempt_at=TEN - timedelta(days=1))

    assert published(bench, RETRY) == []


@pytest.mark.parametrize("column", ["attempts", "max_attempts", "last_attempt_at"])
def test_failed_row_without_a_number_or_a_time_is_ready(bench: Bench, rows: Rows, column: str) -> None:
    values: dict[str, Any] = {"attempts": 1, "last_attempt_at": TEN - timedelta(days=1), column: None}
    add_mail(rows, status="failed", **values)

    assert len(published(bench, RETRY)) == 1


@pytest.mark.parametrize(
    ("status", "due"), [("pending", 1), ("awaiting_delivery", 1), ("scheduled", 0), ("sent", 0), ("skipped", 0)]
)
def test_parcels_are_looked_at_once_a_day(bench: Bench, rows: Rows, status: str, due: int) -> None:
    add_mail(rows, status=status)

    events = published(bench, AWAITING, TEN.replace(hour=12))

    assert events == [("review.emailAwaitingDelivery", {"tenantId": "acme", "daysWaiting": 14})] * due


@pytest.mark.parametrize(
    ("job_id", "columns"),
    [
        (WORKER, {}),
        (RETRY, {"status": "failed", "attempts": 1, "last_attempt_at": TEN - timedelta(days=1)}),
        (AWAITING, {"status": "pending"}),
    ],
)
def test_tick_that_comes_twice_publishes_once(bench: Bench, rows: Rows, job_id: str, columns: dict[str, Any]) -> None:
    add_mail(rows, **columns)

    at = TEN.replace(hour=12)
    assert len(published(bench, job_id, at)) == 1
    assert published(bench, job_id, at) == []
