"""Figures of the review mails: each mail once, days of the tenant's zone, and the same twice."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from shared.events.reviews import ReviewEmailStats
from shared.jobs.testing import Deliver
from shared.reviews.figures import percent
from tests.builders.ab_tests import insert
from tests.builders.reviews import ANN, NOON, add_mail, add_order, add_review
from tests.conftest import Rows

DAY = date(2026, 11, 10)
SENT_AT = datetime(2026, 11, 10, 10, tzinfo=UTC)
ONE_DAY = ReviewEmailStats(start_date=DAY, end_date=DAY)

ADD_COHORT = """
INSERT INTO review_email_queue (id, tenant_id, order_id, order_number, customer_email, status, sequence_number, sent_at)
SELECT 'q' || n, 'acme', 'o' || n, '#', 'p' || n || '@example.com', 'sent', 1, %(at)s
FROM generate_series(1, 200) n
"""
ADD_SECOND_MAILS = """
-- Mails 151 to 200 are reminders of the orders 1 to 50.
UPDATE review_email_queue SET order_id = 'o' || (substr(id, 2)::int - 150), sequence_number = 2,
       sent_at = sent_at + interval '1 minute'
WHERE substr(id, 2)::int > 150
"""
ADD_MESSAGES = """
INSERT INTO mail_messages (dedupe_key, template_key, category, recipient_type, recipient_hash, queue_table, queue_id,
                           status, sent_at, delivered_at, opened_at, clicked_at, bounced_at, bounce_type)
SELECT q.id, 'review_request', 'review', 'customer', 'h', 'review_email_queue', q.id, 'sent', q.sent_at,
       CASE WHEN n.n BETWEEN 77 AND 190 OR n.n > 198 THEN %(at)s::timestamptz END,
       CASE WHEN n.n BETWEEN 20 AND 76 THEN %(at)s::timestamptz END,
       CASE WHEN n.n <= 19 THEN %(at)s::timestamptz END,
       CASE WHEN n.n BETWEEN 191 AND 198 THEN %(at)s::timestamptz END,
       CASE WHEN n.n BETWEEN 191 AND 198 THEN 'hard' END
FROM review_email_queue q, LATERAL (SELECT substr(q.id, 2)::int AS n) n
WHERE n.n <= 198
"""


def days(rows: Rows) -> list[dict[str, Any]]:
    return rows("SELECT * FROM review_email_daily_stats ORDER BY day, sequence_number")


def test_worked_example(deliver: Deliver, rows: Rows) -> None:
    """200 sent, 190 delivered, 8 hard bounces, 76 opened, 19 of them only clicked, 150 orders mailed, 12 reviewed."""
    rows.execute(ADD_COHORT, {"at": SENT_AT})
    rows.execute(ADD_SECOND_MAILS)
    rows.execute(ADD_MESSAGES, {"at": SENT_AT})
    for n in range(1, 13):
        add_review(rows, f"rev{n}", order_id=f"o{n}", created_at=SENT_AT + timedelta(days=2))

    result = deliver(ONE_DAY).result

    counts = {"sent": 200, "delivered": 190, "opened": 76, "clicked": 19, "bounced": 8, "ordersMailed": 150}
    assert {name: result[name] for name in counts} == counts
    assert result["converted"] == 12
    assert (result["deliveryRate"], result["openRate"], result["clickRate"]) == ("95.00", "40.00", "10.00")
    assert (result["clickToOpenRate"], result["bounceRate"], result["conversionRate"]) == ("25.00", "4.00", "8.00")
    first, second = days(rows)
    assert (first["sent"], first["orders_mailed"], first["orders_reviewed"]) == (150, 150, 12)
    assert (second["sequence_number"], second["sent"], second["bounced"], second["orders_mailed"]) == (2, 50, 8, 0)


def test_period_without_mails(deliver: Deliver, rows: Rows) -> None:
    result = deliver(ReviewEmailStats()).result

    assert (result["startDate"], result["endDate"]) == ("2026-10-21", "2026-11-19")
    assert {value for name, value in result.items() if name.endswith("Rate")} == {"0.00"}
    assert result["sent"] == result["previous"]["sent"] == 0
    assert (result["previous"]["startDate"], result["previous"]["endDate"]) == ("2026-09-21", "2026-10-20")
    assert [row["sent"] for row in days(rows)] == [0] * 30


def message(rows: Rows, **columns: Any) -> None:
    """What the mail service knows of a mail of the row rq1."""
    values = {
        "dedupe_key": str(columns),
        "template_key": "review_request",
        "category": "review",
        "recipient_type": "customer",
        "recipient_hash": "h",
        "queue_table": "review_email_queue",
        "queue_id": "rq1",
        "status": "sent",
        "sent_at": SENT_AT,
        **columns,
    }
    insert(rows, "mail_messages", values)


@pytest.mark.parametrize(
    ("columns", "counted"),
    [
        ({"clicked_at": NOON}, {"delivered", "opened", "clicked"}),
        ({"opened_at": NOON}, {"delivered", "opened"}),
        ({"delivered_at": NOON}, {"delivered"}),
        ({"delivered_at": NOON, "bounced_at": NOON, "bounce_type": "hard"}, {"bounced"}),
        ({"bounced_at": NOON, "bounce_type": "soft"}, set()),
    ],
)
def test_what_a_mails_events_count_as(deliver: Deliver, rows: Rows, columns: dict[str, Any], counted: set[str]) -> None:
    add_mail(rows, status="sent", sent_at=SENT_AT)
    message(rows, **columns)

    result = deliver(ONE_DAY).result

    assert {name for name in ("delivered", "opened", "clicked", "bounced") if result[name]} == counted


def test_complaint_is_stored(deliver: Deliver, rows: Rows) -> None:
    add_mail(rows, status="sent", sent_at=SENT_AT)
    message(rows, delivered_at=SENT_AT, complained_at=NOON)

    deliver(ONE_DAY)

    assert [(row["delivered"], row["complained"]) for row in days(rows)] == [(1, 1)]


def test_row_that_was_sent_again_counts_once(deliver: Deliver, rows: Rows) -> None:
    add_mail(rows, status="sent", sent_at=SENT_AT, resend_count=1)
    message(rows, opened_at=NOON, sent_at=SENT_AT - timedelta(hours=2))
    message(rows, delivered_at=NOON)

    result = deliver(ONE_DAY).result

    assert (result["sent"], result["delivered"], result["opened"]) == (1, 1, 0)


@pytest.mark.parametrize(("after", "converted"), [(timedelta(days=29, hours=23), 1), (timedelta(days=30), 0)])
def test_review_counts_for_thirty_days(deliver: Deliver, rows: Rows, after: timedelta, converted: int) -> None:
    sent_at = NOON - timedelta(days=40)
    add_mail(rows, status="sent", sent_at=sent_at)
    add_review(rows, created_at=sent_at + after)
    day = sent_at.date()

    assert deliver(ReviewEmailStats(start_date=day, end_date=day)).result["converted"] == converted


def test_review_by_the_address_counts_too(deliver: Deliver, rows: Rows) -> None:
    add_order(rows)
    add_mail(rows, status="sent", sent_at=SENT_AT)
    add_review(rows, order_id=None, author_email=ANN.upper(), created_at=SENT_AT + timedelta(days=1))

    assert deliver(ONE_DAY).result["converted"] == 1


def test_day_is_the_tenants(deliver: Deliver, rows: Rows) -> None:
    rows.execute(
        "UPDATE public.organizations SET settings = %s WHERE slug = 'acme'",
        (Jsonb({"timezone": "America/Los_Angeles"}),),
    )
    add_mail(rows, status="sent", sent_at=datetime(2026, 6, 1, 2, tzinfo=UTC))

    day = date(2026, 5, 31)
    result = deliver(ReviewEmailStats(start_date=day, end_date=day)).result

    assert (result["sent"], days(rows)[0]["day"]) == (1, day)


def test_same_period_twice_leaves_the_same_rows(deliver: Deliver, rows: Rows) -> None:
    add_mail(rows, status="sent", sent_at=SENT_AT)
    deliver(ONE_DAY)
    before = days(rows)
    rows.execute("DELETE FROM jobs.claims")
    deliver(ONE_DAY, key="again")
    assert days(rows) == before

    # A day that was corrected does not keep what it had.
    rows.execute("DELETE FROM review_email_queue")
    rows.execute("DELETE FROM jobs.claims")
    deliver(ONE_DAY, key="corrected")
    assert [row["sent"] for row in days(rows)] == [0]


def test_mails_that_ended_unsent_are_counted_by_their_day(deliver: Deliver, rows: Rows) -> None:
    add_mail(rows, status="skipped", skipped_at=SENT_AT)
    add_mail(rows, "rq2", sequence_number=2, status="failed", attempts=5, last_attempt_at=SENT_AT)
    add_mail(rows, "rq3", sequence_number=3, status="failed", attempts=2, last_attempt_at=SENT_AT)

    deliver(ONE_DAY)

    assert [(row["sequence_number"], row["skipped"], row["failed"]) for row in days(rows)] == [(1, 1, 0), (2, 0, 1)]


def test_codes_whose_time_is_over_expire(deliver: Deliver, rows: Rows) -> None:
    for code, at in (("OLD", NOON - timedelta(seconds=1)), ("NEW", NOON + timedelta(seconds=1))):
        insert(
            rows,
            "review_incentive_codes",
            {"code": code, "discount_type": "percentage", "discount_value": 10, "expires_at": at},
        )

    deliver(ONE_DAY)

    found = rows("SELECT code, status::text FROM review_incentive_codes ORDER BY code")
    assert [(row["code"], row["status"]) for row in found] == [("NEW", "active"), ("OLD", "expired")]


def test_conversion_may_still_rise(deliver: Deliver, rows: Rows) -> None:
    assert deliver(ONE_DAY).result["conversionOpenUntil"] == "2026-12-11T00:00:00Z"
    old = ReviewEmailStats(start_date=date(2026, 1, 1), end_date=date(2026, 1, 2))
    assert "conversionOpenUntil" not in deliver(old).result


def test_period_of_400_days_up_to_today_is_the_longest(deliver: Deliver, rows: Rows) -> None:
    period = ReviewEmailStats(start_date=date(2025, 10, 17), end_date=NOON.date())

    assert deliver(period).result["previous"]["startDate"] == "2024-09-12"
    assert len(days(rows)) == 400


@pytest.mark.parametrize(
    "payload",
    [
        {"startDate": "2026-11-01"},
        {"endDate": "2026-11-01"},
        {"startDate": "2026-11-02", "endDate": "2026-11-01"},
        {"startDate": "2025-10-16", "endDate": "2026-11-20"},  # 401 days
        {"startDate": "2026-11-20", "endDate": "2026-11-21"},
        {"startDate": "0001-01-01", "endDate": "0001-01-02"},
    ],
)
def test_period_that_is_none_is_refused(deliver: Deliver, payload: dict[str, str]) -> None:
    assert deliver.job("commerce-review-email-stats", payload, expect="dead").code == "INVALID_PAYLOAD"


@pytest.mark.parametrize(
    ("part", "whole", "text"), [(1, 3, "33.33"), (2, 3, "66.67"), (1, 800, "0.13"), (5, 0, "0.00"), (7, 7, "100.00")]
)
def test_percent_is_rounded_half_up(part: int, whole: int, text: str) -> None:
    assert percent(part, whole) == text
