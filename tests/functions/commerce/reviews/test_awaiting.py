"""Requests that wait: moved on by their parcels, by patience, or ended."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from functions.commerce.reviews import awaiting
from shared.events.reviews import ReviewEmailAwaitingDelivery
from shared.fakes.shopify import Shop, ShopifyFake
from shared.jobs.context import JobContext, Tenant
from shared.jobs.testing import Bench, Deliver, ManualClock
from tests.builders.orders import a_fulfillment, an_order
from tests.builders.reviews import (
    NOON,
    add_mail,
    add_order,
    add_review,
    logged,
    mail_row,
    set_reviews,
    ship,
)
from tests.conftest import SHOP, Rows

LOOK = ReviewEmailAwaitingDelivery()
TOMORROW_TEN = datetime.fromisoformat("2026-11-21T10:00:00+00:00")

ADD_WAITING = """
INSERT INTO review_email_queue (id, tenant_id, order_id, order_number, customer_email, status, fulfilled_at, created_at)
SELECT 'q' || n, 'acme', 'o' || n, '#', 'p' || n || '@example.com',
       CASE WHEN mod(n, 2) = 0 THEN 'pending' ELSE 'awaiting_delivery' END,
       CASE WHEN mod(n, 3) > 0 THEN %(at)s::timestamptz - mod(n, 7) * interval '1 hour' END, %(at)s
FROM generate_series(1, 2300) n
"""


def days_ago(days: float) -> datetime:
    return NOON - timedelta(days=days)


def waiting(rows: Rows, left: float, *, delivered: datetime | None = None, **columns: Any) -> None:
    """An order whose one parcel left so many days ago, and its request."""
    add_order(rows, placed_at=days_ago(40))
    ship(rows, at=days_ago(left), delivered=(delivered,), **columns)
    add_mail(rows, status="awaiting_delivery", scheduled_at=None, fulfilled_at=days_ago(left))


def counts(result: Any) -> dict[str, int]:
    return {name: value for name, value in result.items() if value}


@pytest.fixture
def shop(shopify: ShopifyFake) -> Shop:
    return shopify.shops[SHOP]


def put(shop: Shop, **fulfillment: Any) -> None:
    """The shop's own order with its one parcel."""
    shop.put_order(an_order(1001, fulfillments=[a_fulfillment(10010, **fulfillment)]))


@pytest.mark.parametrize(("left", "promoted"), [(15, True), (14, True), (13, False)])
def test_patience_ends_after_the_days_of_the_message(deliver: Deliver, rows: Rows, left: float, promoted: bool) -> None:
    waiting(rows, left)

    done = deliver(LOOK)

    row = mail_row(rows)
    assert counts(done.result) == ({"checked": 1, "promoted": 1} if promoted else {"checked": 1, "waiting": 1})
    assert (row["status"], row["scheduled_at"]) == (
        ("scheduled", TOMORROW_TEN) if promoted else ("awaiting_delivery", None)
    )
    assert row["metadata"].get("promoted") is (True if promoted else None)
    expected = {
        "reviewEmailId": "rq1",
        "orderId": "1001",
        "customerId": "",
        "templateId": "request",
        "scheduledFor": "2026-11-21T10:00:00Z",
    }
    assert done.emitted == ([("review.email.queued", expected)] if promoted else [])


@pytest.mark.parametrize(
    ("ago", "at"),
    [(5, datetime.fromisoformat("2026-11-23T10:00:00+00:00")), (9, TOMORROW_TEN)],
)
def test_shopify_knows_of_the_delivery(deliver: Deliver, rows: Rows, shop: Shop, ago: float, at: datetime) -> None:
    """Delivered five days ago, so in two days, at the next ten o'clock after that; nine days ago: the next one."""
    waiting(rows, 12)
    arrived = days_ago(ago)
    put(shop, deliveredAt=arrived.isoformat(), displayStatus="DELIVERED")

    done = deliver(LOOK)

    row = mail_row(rows)
    assert counts(done.result) == {"checked": 1, "delivered": 1}
    assert (row["status"], row["scheduled_at"], row["delivered_at"]) == ("scheduled", at, arrived)
    stored = rows("SELECT delivered_at, shipment_status FROM fulfillments")
    assert stored == [{"delivered_at": arrived, "shipment_status": "delivered"}]


def test_delivered_five_days_ago_in_the_morning_is_due_in_two_days(deliver: Deliver, rows: Rows, shop: Shop) -> None:
    waiting(rows, 12)
    put(shop, deliveredAt=(days_ago(5) - timedelta(hours=3)).isoformat(), displayStatus="DELIVERED")

    deliver(LOOK)

    assert mail_row(rows)["scheduled_at"] == datetime.fromisoformat("2026-11-22T10:00:00+00:00")


def test_delivery_that_the_sync_has_stored_is_enough(deliver: Deliver, rows: Rows) -> None:
    waiting(rows, 12, delivered=days_ago(5))

    assert counts(deliver(LOOK).result) == {"checked": 1, "delivered": 1}


@pytest.mark.parametrize(("left", "promoted"), [(15, False), (20.9, False), (21, True)])
def test_parcel_on_its_way_gets_a_week_more(
    deliver: Deliver, rows: Rows, shop: Shop, left: float, promoted: bool
) -> None:
    waiting(rows, left)
    put(shop, displayStatus="IN_TRANSIT")

    done = deliver(LOOK)

    assert counts(done.result) == {"checked": 1, "promoted" if promoted else "waiting": 1}


@pytest.mark.parametrize("state", ["NOT_DELIVERED", "FAILURE", "LABEL_VOIDED", "CANCELED"])
def test_parcel_that_will_not_arrive_ends_the_request(deliver: Deliver, rows: Rows, shop: Shop, state: str) -> None:
    waiting(rows, 5)
    put(shop, displayStatus=state)

    assert counts(deliver(LOOK).result) == {"checked": 1, "skipped": 1}
    assert (mail_row(rows)["skip_reason"], logged(rows)) == ("not_delivered", ["skipped"])


def test_one_lost_parcel_of_two_does_not_end_it(deliver: Deliver, rows: Rows) -> None:
    waiting(rows, 5, shipment_status="failure")
    rows.execute(
        "INSERT INTO fulfillments (shopify_fulfillment_id, order_shopify_id, status, shipment_status)"
        " VALUES ('7', '1001', 'success', 'in_transit')"
    )

    assert counts(deliver(LOOK).result) == {"checked": 1, "waiting": 1}


def test_young_parcels_are_not_asked_about(deliver: Deliver, rows: Rows, shopify: ShopifyFake) -> None:
    waiting(rows, 2.9)

    deliver(LOOK)

    assert list(shopify.requests) == []


def test_all_rows_are_seen_in_pages(deliver: Deliver, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    rows.execute(ADD_WAITING, {"at": days_ago(3)})
    pages: list[int] = []
    read = awaiting._page

    def counted(ctx: JobContext, after: tuple[str, str]) -> list[dict[str, Any]]:
        page = read(ctx, after)
        pages.append(len(page))
        return page

    monkeypatch.setattr(awaiting, "_page", counted)

    assert counts(deliver(LOOK).result) == {"checked": 2300, "waiting": 2300}
    assert pages == [500, 500, 500, 500, 300]


def test_run_whose_time_is_over_goes_on_with_the_next_page(
    bench: Bench, tenant: Tenant, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(5):
        left = days_ago(20) if n else None  # one that has not left yet comes last
        add_mail(
            rows,
            f"q{n}",
            order_id=f"o{n}",
            status="awaiting_delivery",
            scheduled_at=None,
            fulfilled_at=left,
            customer_email=f"p{n}@example.com",
        )
    monkeypatch.setattr(awaiting, "PAGE", 2)
    monkeypatch.setattr(awaiting, "RESERVE_S", 1_000.0)
    bench.publish(LOOK, tenant.slug)

    done = [each for each in bench.drain(horizon_s=60) if each.job == "commerce-review-email-awaiting-delivery"]

    assert [each.state for each in done] == ["continuing", "continuing", "succeeded"]
    assert counts(done[-1].result) == {"checked": 5, "promoted": 4, "waiting": 1}


@pytest.mark.parametrize("status", ["pending", "awaiting_delivery"])
def test_order_refunded_meanwhile_ends_the_request(deliver: Deliver, rows: Rows, status: str) -> None:
    waiting(rows, 15)
    rows.execute("UPDATE orders SET financial_status = 'refunded'")
    rows.execute("UPDATE review_email_queue SET status = %s", (status,))

    assert counts(deliver(LOOK).result) == {"checked": 1, "skipped": 1}
    assert mail_row(rows)["skip_reason"] == "order_cancelled"


def test_order_reviewed_meanwhile_ends_the_request(deliver: Deliver, rows: Rows) -> None:
    waiting(rows, 5)
    add_review(rows)

    deliver(LOOK)

    assert mail_row(rows)["skip_reason"] == "review_submitted"


def test_row_that_waits_is_not_late_whatever_time_an_app_gave_it(deliver: Deliver, rows: Rows) -> None:
    waiting(rows, 25)
    rows.execute("UPDATE review_email_queue SET scheduled_at = %s, metadata = 'null'", (days_ago(22),))

    assert counts(deliver(LOOK).result) == {"checked": 1, "promoted": 1}
    assert (mail_row(rows)["scheduled_at"], mail_row(rows)["metadata"]) == (TOMORROW_TEN, {"promoted": True})


@pytest.mark.parametrize(("days", "reason"), [(61, "too_old"), (60, None)])
def test_request_waits_for_sixty_days(deliver: Deliver, rows: Rows, days: int, reason: str | None) -> None:
    add_order(rows, placed_at=days_ago(70))
    add_mail(rows, status="pending", scheduled_at=None, created_at=days_ago(days))

    deliver(LOOK)

    assert mail_row(rows)["skip_reason"] == reason


@pytest.mark.parametrize(
    ("trigger", "left", "status"),
    [("delivered", 2, "awaiting_delivery"), ("delivered", 15, "scheduled"), ("fulfilled", 2, "scheduled")],
)
def test_lost_event_of_a_shipment_is_made_up_for(
    deliver: Deliver, rows: Rows, trigger: str, left: float, status: str
) -> None:
    set_reviews(rows, order_status_trigger=trigger)
    add_order(rows, placed_at=days_ago(30))
    ship(rows, at=days_ago(left))
    add_mail(rows, status="pending", scheduled_at=None)

    deliver(LOOK)

    row = mail_row(rows)
    assert (row["status"], row["fulfilled_at"]) == (status, days_ago(left))


def test_order_that_has_shipped_in_part_waits(deliver: Deliver, rows: Rows) -> None:
    add_order(rows, placed_at=days_ago(40))
    ship(rows, at=days_ago(30))
    rows.execute("UPDATE orders SET fulfillment_status = 'partial', fulfilled_at = NULL")
    add_mail(rows, status="pending", scheduled_at=None, fulfilled_at=days_ago(30))

    assert counts(deliver(LOOK).result) == {"checked": 1, "waiting": 1}


def test_rows_of_which_nothing_is_new_are_not_written(deliver: Deliver, rows: Rows, clock: ManualClock) -> None:
    waiting(rows, 2)
    add_mail(rows, "rq2", order_id="o2", status="pending", scheduled_at=None)
    deliver(LOOK)
    versions = "SELECT id, xmin::text AS version FROM review_email_queue ORDER BY id"
    before = rows(versions)
    clock.advance(s=60)

    assert counts(deliver(LOOK).result) == {"checked": 2, "waiting": 2}
    assert rows(versions) == before


def test_second_run_changes_nothing_twice(deliver: Deliver, rows: Rows) -> None:
    waiting(rows, 15)
    deliver(LOOK)
    before = mail_row(rows)

    done = deliver(LOOK)

    assert (counts(done.result), done.emitted, mail_row(rows)) == ({}, [], before)


@pytest.mark.parametrize(
    ("fault", "state", "code"), [(503, "retrying", "SHOPIFY_UNAVAILABLE"), (429, "deferred", "SHOPIFY_THROTTLED")]
)
def test_shop_that_does_not_answer_brings_the_run_back(
    deliver: Deliver, rows: Rows, shopify: ShopifyFake, fault: int, state: str, code: str
) -> None:
    waiting(rows, 15)
    shopify.fail(fault, retry_after="60")

    assert deliver(LOOK, expect=state).code == code
    assert mail_row(rows)["status"] == "awaiting_delivery"


def test_shop_that_falls_silent_later_is_done_without(
    deliver: Deliver, rows: Rows, shopify: ShopifyFake, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(awaiting, "LOOKUP_PAGE", 1)
    waiting(rows, 15)
    rows.execute(
        "INSERT INTO fulfillments (shopify_fulfillment_id, order_shopify_id, status) VALUES ('7', '1001', 'success')"
    )
    put(shop, displayStatus="SUBMITTED")
    shopify.fail(503, count=9, skip=1)

    assert counts(deliver(LOOK).result) == {"checked": 1, "promoted": 1}


def test_shop_that_falls_silent_in_a_later_leg_is_done_without(
    bench: Bench,
    tenant: Tenant,
    rows: Rows,
    shopify: ShopifyFake,
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(awaiting, "PAGE", 1)
    monkeypatch.setattr(awaiting, "RESERVE_S", 1_000.0)  # every leg ends after its first page
    waiting(rows, 15)
    put(shop, displayStatus="SUBMITTED")
    add_order(rows, "1002", placed_at=days_ago(40))
    ship(rows, "1002", at=days_ago(14))
    add_mail(rows, "rq2", order_id="1002", status="awaiting_delivery", scheduled_at=None, fulfilled_at=days_ago(14))
    shopify.fail(503, count=9, skip=1)
    bench.publish(LOOK, tenant.slug)

    done = [each for each in bench.drain(horizon_s=60) if each.job == "commerce-review-email-awaiting-delivery"]

    assert done[-1].state == "succeeded"
    assert counts(done[-1].result) == {"checked": 2, "promoted": 2}


@pytest.mark.parametrize("trouble", [401, "scope"])
def test_shop_that_refuses_us_is_done_without(
    deliver: Deliver, rows: Rows, shopify: ShopifyFake, shop: Shop, trouble: int | str
) -> None:
    waiting(rows, 15)
    if trouble == "scope":
        shop.scopes.clear()
    else:
        shopify.fail(trouble)

    assert counts(deliver(LOOK).result) == {"checked": 1, "promoted": 1}


@pytest.mark.parametrize("days", [0, 61])
def test_days_out_of_range_are_refused(deliver: Deliver, days: int) -> None:
    payload = {"daysWaiting": days}
    done = deliver.job("commerce-review-email-awaiting-delivery", payload, expect="dead")
    assert done.code == "INVALID_PAYLOAD"
