"""What follows a mail that is out."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.events.reviews import ReviewEmailSent
from shared.jobs.testing import Deliver
from tests.builders.reviews import NOON, add_mail, logged, mail_row, set_reviews
from tests.conftest import Rows

SENT = ReviewEmailSent(review_email_id="rq1", message_id="m1")


def out(rows: Rows, **columns: Any) -> None:
    add_mail(rows, **{"status": "sent", "sent_at": NOON, "resend_message_id": "m1", "attempts": 1, **columns})


@pytest.mark.parametrize(
    ("number", "type", "count", "reminder"),
    [
        (1, "request", 2, 1),
        (2, "reminder_1", 2, 2),
        (3, "reminder_2", 2, None),
        (1, "request", 0, None),
        (2, "reminder_1", 1, None),
        (2, "photo_request", 2, None),
        (1, "reviewRequest", 2, 1),  # an older row
        (2, None, 2, 2),
    ],
)
def test_next_reminder_is_asked_for(
    deliver: Deliver, rows: Rows, number: int, type: str | None, count: int, reminder: int | None
) -> None:
    set_reviews(rows, reminder_count=count)
    out(rows, sequence_number=number, template_type=type)

    done = deliver(SENT)

    assert done.result == {
        "reviewEmailId": "rq1",
        "outcome": "recorded",
        "reminderRequested": reminder is not None,
    }
    expected = {"orderId": "1001", "reminderNumber": reminder, "reviewEmailId": "rq1"}
    assert done.emitted == ([("review.reminder", expected)] if reminder else [])
    assert logged(rows) == ["sent"]


def test_event_that_comes_twice_is_logged_once(deliver: Deliver, rows: Rows) -> None:
    out(rows)
    deliver(SENT)
    rows.execute("DELETE FROM jobs.claims")
    deliver(SENT, key="again")

    assert logged(rows) == ["sent"]


def test_mail_that_was_sent_again_starts_no_reminder(deliver: Deliver, rows: Rows) -> None:
    out(rows, resend_count=1)

    assert deliver(SENT).result["reminderRequested"] is False
    assert logged(rows) == ["resent"]


@pytest.mark.parametrize(
    ("columns", "outcome"),
    [
        ({"status": "scheduled"}, "marked_sent"),
        ({"status": "failed", "attempts": 5}, "marked_sent"),
        ({"status": "processing", "lease_expires_at": NOON - timedelta(seconds=1)}, "marked_sent"),
        ({"status": "processing", "lease_expires_at": NOON + timedelta(seconds=1)}, "not_sent"),
        ({"status": "skipped"}, "not_sent"),
        ({"status": "pending"}, "not_sent"),
    ],
)
def test_app_has_sent_it_by_itself(deliver: Deliver, rows: Rows, columns: dict[str, Any], outcome: str) -> None:
    add_mail(rows, **columns)

    done = deliver(SENT)

    row = mail_row(rows)
    marked = outcome == "marked_sent"
    assert (done.result["outcome"], done.result["reminderRequested"]) == (outcome, marked)
    assert row["status"] == ("sent" if marked else columns["status"])
    assert (row["resend_message_id"], row["sent_at"]) == (("m1", NOON) if marked else (None, None))


def test_word_without_a_message_changes_nothing(deliver: Deliver, rows: Rows) -> None:
    add_mail(rows)

    done = deliver(ReviewEmailSent(review_email_id="rq1"))

    assert (done.result["outcome"], mail_row(rows)["status"], logged(rows)) == ("not_sent", "scheduled", [])


def test_another_message_is_noted(deliver: Deliver, rows: Rows) -> None:
    out(rows, resend_message_id="m0")

    done = deliver(SENT)

    assert (done.result["outcome"], done.emitted, logged(rows)) == ("message_mismatch", [], ["message_mismatch"])
    assert mail_row(rows)["resend_message_id"] == "m0"


def test_unknown_id(deliver: Deliver) -> None:
    assert deliver(SENT, expect="dead").code == "REVIEW_EMAIL_NOT_FOUND"
