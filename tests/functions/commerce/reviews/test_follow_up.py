"""Reminders: at the right hour after the mail before, two at most, and none after a review."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.events.reviews import ReviewReminder
from shared.jobs.context import Tenant
from shared.jobs.testing import Deliver, ManualClock
from shared.mail.addresses import hash_address
from tests.builders.reviews import (
    ANN,
    add_mail,
    add_order,
    add_review,
    add_template,
    logged,
    mail_row,
    set_reviews,
    withdraw_consent,
)
from tests.conftest import Rows

SENT_AT = datetime(2026, 6, 8, 10, tzinfo=UTC)
FIRST = ReviewReminder(order_id="1001", reminder_number=1)


@pytest.fixture(autouse=True)
def order(rows: Rows) -> None:
    add_order(rows)


def request(rows: Rows, **columns: Any) -> None:
    add_mail(rows, **{"status": "sent", "sent_at": SENT_AT, **columns})


@pytest.mark.parametrize(
    ("sent_at", "delay_days", "at"),
    [
        (SENT_AT, 0, datetime(2026, 6, 11, 10, tzinfo=UTC)),
        (SENT_AT, 5, datetime(2026, 6, 13, 10, tzinfo=UTC)),
        # Sent by hand at 16:20: three days later is past ten o'clock, so the fourth day.
        (SENT_AT.replace(hour=16, minute=20), 0, datetime(2026, 6, 12, 10, tzinfo=UTC)),
    ],
)
def test_reminder_comes_some_days_after_the_mail_before(
    deliver: Deliver, rows: Rows, clock: ManualClock, sent_at: datetime, delay_days: int, at: datetime
) -> None:
    clock.advance(s=(sent_at - clock.now()).total_seconds())
    request(rows, sent_at=sent_at, tracking_number="T1", metadata={"products": [{"title": "Mug"}], "forced": True})
    if delay_days:
        add_template(rows, "reminder_1", delay_days=delay_days)

    done = deliver(FIRST)

    row = mail_row(rows, done.result["reviewEmailId"])
    assert (done.result["outcome"], row["scheduled_at"], row["status"]) == ("scheduled", at, "scheduled")
    assert (row["sequence_number"], row["template_type"], row["sequence_id"]) == (2, "reminder_1", "s1")
    assert (row["customer_email"], row["tracking_number"], row["delay_days"]) == (ANN, "T1", delay_days or 3)
    assert row["metadata"] == {"products": [{"title": "Mug"}]}
    assert (row["tenant_id"], row["max_attempts"], row["attempts"]) == ("acme", 5, 0)
    assert logged(rows, row["id"]) == ["queued"]


@pytest.mark.parametrize(("count", "number"), [(1, 2), (5, 3), (0, 1)])
def test_reminders_have_an_end(deliver: Deliver, rows: Rows, count: int, number: int) -> None:
    set_reviews(rows, reminder_count=count)
    request(rows, sequence_number=number)

    done = deliver(ReviewReminder(order_id="1001", reminder_number=number))

    assert done.result["outcome"] == "limit_reached"


def test_review_after_the_request_ends_the_sequence(deliver: Deliver, rows: Rows) -> None:
    request(rows)
    add_mail(rows, "rq3", sequence_number=3)
    add_review(rows)

    done = deliver(FIRST)

    assert (done.result["outcome"], done.result["reason"]) == ("stopped", "review_submitted")
    assert mail_row(rows, "rq3")["skip_reason"] == "review_submitted"
    assert rows("SELECT count(*) AS n FROM review_email_queue") == [{"n": 2}]


def test_event_that_comes_twice_makes_one_row(deliver: Deliver, rows: Rows, clock: ManualClock) -> None:
    request(rows)
    first = deliver(FIRST)

    # Past the life of the run's own key, the table's key still holds.
    rows.execute("DELETE FROM jobs.claims")
    again = deliver(FIRST, key="again")

    assert again.result["outcome"] == "exists"
    assert again.result["reviewEmailId"] == first.result["reviewEmailId"]
    assert rows("SELECT count(*) AS n FROM review_email_queue") == [{"n": 2}]


def test_reminder_that_an_app_has_queued_is_the_reminder(deliver: Deliver, rows: Rows, tenant: Tenant) -> None:
    """Older rows hold the organization's id where ours hold the slug."""
    request(rows)
    add_mail(rows, "rq2", tenant_id=str(tenant.organization_id), sequence_number=2, template_type="reviewReminder")

    done = deliver(FIRST)

    assert (done.result["outcome"], done.result["reviewEmailId"]) == ("exists", "rq2")
    assert rows("SELECT count(*) AS n FROM review_email_queue") == [{"n": 2}]


@pytest.mark.parametrize("status", ["skipped", "failed", "scheduled", "processing"])
def test_mail_that_was_not_sent_has_no_reminder(deliver: Deliver, rows: Rows, status: str) -> None:
    request(rows, status=status)

    assert deliver(FIRST).result["outcome"] == "previous_not_sent"


def test_other_reasons_that_stop_a_reminder(deliver: Deliver, rows: Rows) -> None:
    request(rows)
    add_template(rows, "reminder_1", is_enabled=False)
    assert deliver(FIRST).result["outcome"] == "template_disabled"


def test_address_that_is_suppressed_gets_no_reminder(deliver: Deliver, rows: Rows) -> None:
    request(rows)
    rows.execute(
        "INSERT INTO mail_suppressions (address_hash, scope, reason) VALUES (%s, 'review', 'unsubscribe')",
        (hash_address(ANN),),
    )

    done = deliver(FIRST)

    assert (done.result["outcome"], done.result["reason"]) == ("stopped", "suppressed")


def test_consent_that_was_withdrawn_stops_reminders(deliver: Deliver, rows: Rows) -> None:
    request(rows)
    withdraw_consent(rows)

    assert deliver(FIRST).result["reason"] == "consent_withdrawn"


def test_reward_is_offered_when_it_is_switched_on_or_forced(deliver: Deliver, rows: Rows) -> None:
    request(rows, force_incentive=True)

    row = mail_row(rows, deliver(FIRST).result["reviewEmailId"])

    assert (row["incentive_offered"], row["force_incentive"]) == (True, True)


def test_ids_that_do_not_fit(deliver: Deliver, rows: Rows, other_tenant: Tenant) -> None:
    add_mail(rows, status="sent", tenant=other_tenant)
    assert deliver(FIRST, expect="dead").code == "REVIEW_EMAIL_NOT_FOUND"
    request(rows)
    other = ReviewReminder(order_id="999", reminder_number=1, review_email_id="rq1")
    assert deliver(other, expect="dead").code == "ORDER_MISMATCH"


def test_reminder_number_that_is_none(deliver: Deliver) -> None:
    payload = {"orderId": "1001", "reminderNumber": 0}
    assert deliver.job("commerce-schedule-follow-up", payload, expect="dead").code == "INVALID_PAYLOAD"
