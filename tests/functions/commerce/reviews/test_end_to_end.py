"""From a shipped order to the figures: every job by its events, the mail service and the vendors' fakes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from shared.events.orders import OrderFulfilled
from shared.events.reviews import ReviewEmailStats
from shared.fakes.resend import ResendFake
from shared.fakes.shopify import ShopifyFake
from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver, Delivered, ManualClock
from tests.builders.orders import a_fulfillment, an_order
from tests.builders.reviews import ANN, NOON, add_review, logged
from tests.builders.webhooks import a_vendors
from tests.conftest import SHOP, Rows

Synced = Callable[..., Delivered]
WORKER = "commerce-process-review-email-queue-scheduled"
DUE = datetime(2026, 11, 28, 10, tzinfo=UTC)
"""Delivered on the 20th at noon; seven days later is past ten o'clock."""


def queue(rows: Rows) -> list[dict[str, Any]]:
    return rows("SELECT * FROM review_email_queue ORDER BY sequence_number")


def tick(bench: Bench, at: datetime) -> None:
    """The clock's tick, and everything that follows from it within the hour."""
    bench.tick(WORKER, at)
    bench.drain(horizon_s=3600)


def test_shipped_order_is_asked_reminded_and_counted(
    bench: Bench,
    deliver: Deliver,
    tenant: Tenant,
    rows: Rows,
    synced: Synced,
    shopify: ShopifyFake,
    resend: ResendFake,
    clock: ManualClock,
) -> None:
    # Shipped and delivered: queued for the eighth day at ten.
    parcel = a_fulfillment(77, deliveredAt=clock.now().isoformat(), displayStatus="DELIVERED")
    synced(an_order(1001, fulfillments=[parcel], displayFulfillmentStatus="FULFILLED", email=ANN))
    bench.drain(horizon_s=3600)
    for _ in range(2):  # an app tells the same again
        bench.publish(OrderFulfilled(order_id="1001", fulfillment_id="77", delivered_at=NOON), tenant.slug)
        bench.drain(horizon_s=3600)
    [request] = queue(rows)
    assert (request["status"], request["scheduled_at"]) == ("scheduled", DUE)
    assert logged(rows, request["id"]) == ["queued"]

    # Not due a tick before, due at its own, and sent once although the tick comes twice.
    tick(bench, DUE - timedelta(minutes=5))
    assert resend.mails == []
    tick(bench, DUE)
    tick(bench, DUE)
    [mail] = resend.mails
    assert mail.key == f"acme:review:{request['id']}:0"
    sent = [detail for name, detail in bench.bus.published if name == "review.email.sent"]
    assert [detail["messageId"] for detail in sent] == [mail.id]

    # Its event has queued the reminder, three days later at ten or the next ten after that.
    request, reminder = queue(rows)
    assert (request["status"], reminder["status"], reminder["template_type"]) == ("sent", "scheduled", "reminder_1")
    assert reminder["scheduled_at"].hour == 10
    assert timedelta(days=3) <= reminder["scheduled_at"] - request["sent_at"] < timedelta(days=4)

    # Resend tells what became of the mail; the customer writes; the reminder does not go.
    _told(deliver, mail.id, ["delivered", "clicked"], clock.now())
    add_review(rows, order_id="1001", created_at=clock.now() + timedelta(days=1))
    tick(bench, reminder["scheduled_at"])
    assert [(row["status"], row["skip_reason"]) for row in queue(rows)] == [
        ("sent", None),
        ("skipped", "review_submitted"),
    ]
    assert len(resend.mails) == 1
    assert set(logged(rows, request["id"])) == {"queued", "sent", "delivered", "clicked"}

    day = request["sent_at"].date()
    result = deliver(ReviewEmailStats(start_date=day, end_date=clock.now().date())).result
    figures = ("sent", "delivered", "opened", "clicked", "ordersMailed", "converted")
    assert [result[name] for name in figures] == [1] * 6
    assert result["conversionRate"] == "100.00"
    [stored] = rows("SELECT * FROM review_email_daily_stats WHERE sent > 0")
    assert (stored["day"], stored["orders_reviewed"]) == (date(2026, 11, 28), 1)
    assert SHOP in shopify.shops


def test_order_that_is_cancelled_between_queue_and_tick_gets_no_mail(
    bench: Bench,
    tenant: Tenant,
    rows: Rows,
    synced: Synced,
    resend: ResendFake,
    clock: ManualClock,
) -> None:
    parcel = a_fulfillment(77, deliveredAt=clock.now().isoformat(), displayStatus="DELIVERED")
    shipped = an_order(1001, fulfillments=[parcel], displayFulfillmentStatus="FULFILLED")
    synced(shipped)
    bench.drain(horizon_s=3600)
    later = (clock.now() + timedelta(hours=1)).isoformat()
    synced({**shipped, "updatedAt": later, "displayFinancialStatus": "REFUNDED"})
    bench.drain(horizon_s=3600)

    tick(bench, DUE)

    assert [(row["status"], row["skip_reason"]) for row in queue(rows)] == [("skipped", "order_cancelled")]
    assert resend.asked == []


def test_order_that_is_not_delivered_when_it_is_queued_waits_for_its_parcel(
    bench: Bench,
    tenant: Tenant,
    rows: Rows,
    synced: Synced,
    resend: ResendFake,
    shopify: ShopifyFake,
    clock: ManualClock,
) -> None:
    shipped = an_order(1001, fulfillments=[a_fulfillment(77)], displayFulfillmentStatus="FULFILLED")
    synced(shipped)
    bench.drain(horizon_s=3600)
    assert [row["status"] for row in queue(rows)] == ["awaiting_delivery"]
    tick(bench, DUE)
    assert resend.asked == []

    # The shop learns of the delivery, and nobody tells us: the daily look finds it.
    arrived = datetime(2026, 11, 25, 9, tzinfo=UTC)
    shopify.shops[SHOP].put_order(
        {**shipped, "fulfillments": [a_fulfillment(77, deliveredAt=arrived.isoformat(), displayStatus="DELIVERED")]}
    )
    bench.tick("commerce-review-email-awaiting-delivery-scheduled", datetime(2026, 11, 29, 12, tzinfo=UTC))
    bench.drain(horizon_s=3600)
    [row] = queue(rows)
    assert (row["status"], row["scheduled_at"]) == ("scheduled", datetime(2026, 12, 2, 10, tzinfo=UTC))

    tick(bench, row["scheduled_at"])
    assert len(resend.mails) == 1


def _told(deliver: Deliver, mail_id: str, kinds: list[str], at: datetime) -> None:
    """Resend's webhooks about a mail, stored and worked off."""
    for kind in kinds:
        body = {"type": f"email.{kind}", "created_at": at.isoformat(), "data": {"email_id": mail_id, "to": [ANN]}}
        deliver(a_vendors("resend", f"email.{kind}", body))
