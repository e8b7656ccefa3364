"""Failed mails come back when their waiting time is over, and nothing is sent by who brings them back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.events.reviews import ReviewEmailRetry
from shared.jobs.testing import Deliver
from tests.builders.reviews import NOON, add_mail, add_mails, mail_row
from tests.conftest import Rows

RETRY = ReviewEmailRetry()


def fail(rows: Rows, attempts: int, seconds: int) -> None:
    add_mail(
        rows,
        status="failed",
        attempts=attempts,
        error_message="RESEND_UNAVAILABLE",
        last_attempt_at=NOON - timedelta(seconds=seconds),
    )


@pytest.mark.parametrize(
    ("attempts", "seconds", "status", "counted"),
    [
        (1, 90, "failed", "waiting"),
        (1, 119, "failed", "waiting"),
        (1, 120, "scheduled", "retried"),
        (1, 121, "scheduled", "retried"),
        (4, 15 * 60, "failed", "waiting"),
        (4, 16 * 60, "scheduled", "retried"),
        (5, 86_400, "failed", "permanentlyFailed"),
    ],
)
def test_wait_grows_with_the_attempts(
    deliver: Deliver, rows: Rows, attempts: int, seconds: int, status: str, counted: str
) -> None:
    fail(rows, attempts, seconds)

    done = deliver(RETRY)

    row = mail_row(rows)
    zero = {"retried": 0, "released": 0, "permanentlyFailed": 0, "waiting": 0}
    assert done.result == {**zero, counted: 1}
    assert (row["status"], row["attempts"], row["error_message"]) == (status, attempts, "RESEND_UNAVAILABLE")
    assert [name for name, _ in done.emitted] == (["review.emailQueue"] if status == "scheduled" else [])


@pytest.mark.parametrize("column", ["attempts", "max_attempts", "last_attempt_at"])
def test_row_that_an_app_wrote_without_a_number_or_a_time_is_no_dead_end(
    deliver: Deliver, rows: Rows, column: str
) -> None:
    values: dict[str, Any] = {"attempts": 1, "last_attempt_at": NOON - timedelta(days=1), column: None}
    add_mail(rows, status="failed", **values)

    assert deliver(RETRY).result["retried"] == 1
    assert mail_row(rows)["status"] == "scheduled"


def test_all_pages_are_worked_off_and_the_worker_is_started_once(deliver: Deliver, rows: Rows) -> None:
    add_mails(rows, 60, status="failed", attempts=1, last_attempt_at=NOON - timedelta(hours=1))

    done = deliver(RETRY)

    assert done.result["retried"] == 60
    assert rows("SELECT count(*) AS n FROM review_email_queue WHERE status = 'scheduled'") == [{"n": 60}]
    assert done.emitted == [("review.emailQueue", {"limit": 50, "dryRun": False})]


def test_row_whose_sender_died_is_released_and_keeps_its_attempt(deliver: Deliver, rows: Rows) -> None:
    add_mail(rows, status="processing", attempts=2, lease_expires_at=NOON - timedelta(minutes=1))
    add_mail(rows, "held", order_id="o2", status="processing", attempts=1, lease_expires_at=NOON + timedelta(minutes=1))

    done = deliver(RETRY)

    assert done.result["released"] == 1
    assert (mail_row(rows)["status"], mail_row(rows)["attempts"]) == ("scheduled", 2)
    assert mail_row(rows, "held")["status"] == "processing"


def test_bound_of_the_message_counts(deliver: Deliver, rows: Rows) -> None:
    fail(rows, 2, 86_400)

    assert deliver(ReviewEmailRetry(max_retries=2)).result["permanentlyFailed"] == 1


def test_nothing_to_move_starts_nothing(deliver: Deliver) -> None:
    assert deliver(RETRY).emitted == []


@pytest.mark.parametrize("payload", [{"maxRetries": 0}, {"maxRetries": 11}, {"limit": 0}, {"limit": 501}])
def test_number_out_of_range_is_refused(deliver: Deliver, payload: dict[str, int]) -> None:
    assert deliver.job("commerce-retry-failed-review-emails", payload, expect="dead").code == "INVALID_PAYLOAD"
