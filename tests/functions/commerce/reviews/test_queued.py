"""A mail that the order job has queued stays as it is; one that an app asks for gets its row."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.events.reviews import ReviewEmailQueued
from shared.jobs.context import Tenant
from shared.jobs.testing import Deliver
from tests.builders.reviews import NOON, add_line, add_mail, add_order, add_review, add_template, logged, mail_row
from tests.conftest import Rows

TOMORROW = NOON + timedelta(days=1)


def queued(**more: Any) -> ReviewEmailQueued:
    values = {"review_email_id": "rq1", "order_id": "1001", "customer_id": "501", "template_id": "request", **more}
    return ReviewEmailQueued(**values)


@pytest.fixture(autouse=True)
def order(rows: Rows) -> None:
    add_order(rows)


@pytest.mark.parametrize("own", [True, False])
def test_order_jobs_own_event_changes_nothing(deliver: Deliver, rows: Rows, own: bool) -> None:
    template = add_template(rows) if own else "request"
    add_mail(rows, scheduled_at=TOMORROW)
    before = mail_row(rows)

    done = deliver(queued(template_id=template, scheduled_for=TOMORROW))
    rows.execute("DELETE FROM jobs.claims")
    deliver(queued(template_id=template, scheduled_for=TOMORROW), key="again")

    assert (done.result["outcome"], done.emitted) == ("unchanged", [])
    assert (mail_row(rows), logged(rows)) == (before, ["queued"])


def test_app_asks_for_tomorrow(deliver: Deliver, rows: Rows) -> None:
    add_line(rows, title="Sofa", product_id="9002", net_cents=50_000)
    add_line(rows, title="Card", net_cents=90_000, is_gift_card=True)

    done = deliver(queued(review_email_id="own", scheduled_for=TOMORROW, template_id="review_request"))

    row = mail_row(rows, "own")
    assert (done.result["outcome"], done.emitted) == ("created", [])
    assert (row["status"], row["scheduled_at"], row["trigger_event"]) == ("scheduled", TOMORROW, "manual")
    assert (row["sequence_number"], row["template_type"], row["customer_id"]) == (1, "request", "501")
    assert (row["product_title"], row["product_id"], row["order_number"]) == ("Sofa", "9002", "#1001")
    assert [each["title"] for each in row["metadata"]["products"]] == ["Sofa", "Mug"]
    assert logged(rows, "own") == ["queued"]


def test_app_may_ask_a_year_ahead(deliver: Deliver, rows: Rows) -> None:
    done = deliver(queued(review_email_id="own", scheduled_for=NOON + timedelta(days=365)))

    assert (done.result["outcome"], done.emitted) == ("created", [])


@pytest.mark.parametrize("at", [None, NOON - timedelta(days=3), NOON + timedelta(seconds=60)])
def test_app_asks_for_now(deliver: Deliver, rows: Rows, at: Any) -> None:
    done = deliver(queued(review_email_id="own", scheduled_for=at))

    assert mail_row(rows, "own")["scheduled_at"] == max(at or NOON, NOON)
    assert done.emitted == [("review.emailSend", {"reviewEmailId": "own", "orderId": "1001", "force": False})]


@pytest.mark.parametrize(
    "columns",
    [{"status": "sent"}, {"status": "processing"}, {"status": "skipped"}, {"status": "failed", "attempts": 5}],
)
def test_row_that_has_ended_is_kept(deliver: Deliver, rows: Rows, columns: dict[str, Any]) -> None:
    add_mail(rows, **columns)
    before = mail_row(rows)

    done = deliver(queued(scheduled_for=TOMORROW))

    assert (done.result["outcome"], done.emitted, mail_row(rows)) == ("kept", [], before)


@pytest.mark.parametrize(
    "columns", [{"status": "pending", "scheduled_at": None}, {"status": "failed", "attempts": 2}, {}]
)
def test_row_that_waits_gets_its_time_and_its_template(deliver: Deliver, rows: Rows, columns: dict[str, Any]) -> None:
    older = add_template(rows, id="older", created_at=NOON - timedelta(days=9))
    add_template(rows, created_at=NOON)
    add_mail(rows, **columns)

    done = deliver(queued(scheduled_for=TOMORROW, template_id=older))

    row = mail_row(rows)
    assert (done.result["outcome"], row["status"], row["scheduled_at"]) == ("scheduled", "scheduled", TOMORROW)
    assert (row["customer_id"], row["metadata"]["templateId"]) == ("501", "older")


def test_notes_that_are_no_object_give_way_to_ours(deliver: Deliver, rows: Rows) -> None:
    older = add_template(rows, id="older", created_at=NOON - timedelta(days=9))
    add_template(rows, created_at=NOON)
    add_mail(rows)
    rows.execute("UPDATE review_email_queue SET metadata = 'null'")

    assert deliver(queued(scheduled_for=TOMORROW, template_id=older)).result["outcome"] == "scheduled"
    assert mail_row(rows)["metadata"] == {"templateId": "older"}


def test_order_that_was_reviewed_ends_the_row(deliver: Deliver, rows: Rows) -> None:
    add_mail(rows, scheduled_at=TOMORROW)
    add_review(rows)

    done = deliver(queued())

    assert (done.result["outcome"], done.result["reason"]) == ("skipped", "review_submitted")
    assert mail_row(rows)["skip_reason"] == "review_submitted"


def test_app_cannot_ask_about_a_cancelled_order(deliver: Deliver, rows: Rows) -> None:
    rows.execute("UPDATE orders SET status = 'cancelled'")

    done = deliver(queued(review_email_id="own"))

    assert (done.result["outcome"], done.result["reason"]) == ("skipped", "order_cancelled")
    assert rows("SELECT 1 FROM review_email_queue") == []


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"template_id": "nope"}, "TEMPLATE_UNKNOWN"),
        ({"order_id": "999"}, "ORDER_MISMATCH"),
        ({"review_email_id": "own", "order_id": "999"}, "ORDER_NOT_FOUND"),
        ({"review_email_id": "own"}, "SEQUENCE_LIMIT"),
        ({"scheduled_for": NOON + timedelta(days=730)}, "INVALID_PAYLOAD"),
        ({"scheduled_for": NOON + timedelta(days=365, seconds=1)}, "INVALID_PAYLOAD"),
    ],
)
def test_what_is_refused(deliver: Deliver, rows: Rows, payload: dict[str, Any], code: str) -> None:
    add_mail(rows, sequence_number=3)

    assert deliver(queued(**payload), expect="dead").code == code


def test_order_of_another_tenant_is_unknown(deliver: Deliver, rows: Rows, other_tenant: Tenant) -> None:
    add_order(rows, "77", tenant=other_tenant)

    assert deliver(queued(order_id="77"), expect="dead").code == "ORDER_NOT_FOUND"
