"""Backfills through the real pipeline, a real database and the Shopify fake: opening, pages, lists."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.events.orders import OrderSyncBatch
from shared.fakes.shopify import Line, Refund, Shop, ShopifyFake
from shared.jobs.testing import Deliver, ManualClock
from tests.builders.backfills import (
    ACME,
    DAY,
    JOB,
    NOW,
    QUEUE,
    Drain,
    Rows,
    Spread,
    ended,
    mine,
    names,
    run_row,
    spread,
    window,
)
from tests.builders.orders import order_e1


@pytest.fixture
def shop(shopify: ShopifyFake) -> Shop:
    return shopify.shops[ACME]


# One run per window.


def test_same_window_twice_is_one_run(
    shopify: ShopifyFake, deliver: Deliver, drain: Drain, rows: Rows, clock: ManualClock
) -> None:
    spread(shopify, 1_500, NOW - 30 * DAY, 30 * DAY)

    first = deliver(window(NOW - 30 * DAY))
    within_the_hour = deliver(window(NOW - 30 * DAY), expect="duplicate")
    clock.advance(s=3_600)
    second = deliver(window(NOW - 30 * DAY))

    assert within_the_hour.again == []
    assert (second.result["outcome"], second.result["runId"]) == ("joined", first.result["runId"])
    assert second.again == []
    assert len(rows("SELECT 1 AS one FROM order_sync_runs")) == 1
    drain()
    assert run_row(rows)["stored"] == 1_500


# Pages.


def test_900_orders_are_read_by_pages_of_5_where_10_cost_too_much(
    shopify: ShopifyFake, deliver: Deliver, drain: Drain, rows: Rows
) -> None:
    spread(shopify, 900, NOW - 30 * DAY, 30 * DAY)
    shopify.fail("max_cost", match="query orders(")

    started = deliver(window(NOW - 30 * DAY))
    drain()

    assert started.result["slices"] == 1
    sizes = [each.variables["first"] for each in shopify.requests_of(ACME, "orders")]
    assert sizes[:2] == [10, 5]
    assert run_row(rows)["stored"] == 900
    assert rows("SELECT kind, status, stored FROM order_sync_slices") == [
        {"kind": "pages", "status": "completed", "stored": 900}
    ]


def test_short_window_finds_old_orders_that_changed_and_a_long_one_does_not(
    shop: Shop, deliver: Deliver, drain: Drain, rows: Rows
) -> None:
    refunded = [Refund(items=[(0, 1)], at=NOW - DAY)]
    shop.order(id=1, created_at=NOW - 35 * DAY, refunds=refunded)
    shop.order(id=2, created_at=NOW - 70 * DAY, refunds=refunded)
    shop.order(id=3, created_at=NOW - 3 * DAY)

    deliver(OrderSyncBatch(start_date=NOW - 2 * DAY))
    drain()
    assert rows("SELECT id FROM orders ORDER BY id") == [{"id": "1"}, {"id": "2"}]

    rows.execute("TRUNCATE orders, order_sync_marks CASCADE")
    deliver(OrderSyncBatch(start_date=NOW - 60 * DAY))
    drain()
    assert rows("SELECT id FROM orders ORDER BY id") == [{"id": "1"}, {"id": "3"}]


def test_only_the_young_order_of_a_creator_asks_for_its_commission(
    shop: Shop, deliver: Deliver, drain: Drain, rows: Rows
) -> None:
    rows.execute(
        "INSERT INTO creators (id, email, first_name, last_name, status) VALUES ('c1', 'c', 'C', 'R', 'active')"
    )
    rows.execute("INSERT INTO promo_code_metadata (code, creator_id) VALUES ('ANNA10', 'c1')")
    shop.order(id=1, created_at=NOW - 3 * DAY, codes=["ANNA10"])
    shop.order(id=2, created_at=NOW - 200 * DAY, codes=["ANNA10"])

    deliver(window(NOW - 365 * DAY))
    steps = mine(drain())

    emitted = [(name, detail) for step in steps for name, detail in step.emitted]
    assert [detail for name, detail in emitted if name == "order.commission"] == [{"orderId": "1"}]
    assert "order.created" not in names(steps)
    assert len(rows("SELECT id FROM orders")) == 2


def test_announce_recent_tells_of_young_orders_only(shop: Shop, deliver: Deliver, drain: Drain) -> None:
    shop.order(id=1, created_at=NOW - 2 * DAY)
    shop.order(id=2, created_at=NOW - 4 * DAY)

    deliver(window(NOW - 30 * DAY, announce="recent"))
    steps = mine(drain())

    created = [detail["orderId"] for step in steps for name, detail in step.emitted if name == "order.created"]
    assert created == ["1"]


def test_history_is_limited_to_60_days_without_the_scope(
    shop: Shop, deliver: Deliver, drain: Drain, rows: Rows
) -> None:
    rows.execute("UPDATE shopify_connections SET scopes = '{read_orders}'")
    shop.scopes = {"read_orders"}
    shop.order(id=1, created_at=NOW - 59 * DAY)
    shop.order(id=2, created_at=NOW - 61 * DAY)

    started = deliver(OrderSyncBatch(start_date=NOW - 400 * DAY, end_date=NOW))
    drain()

    run = run_row(rows)
    assert (run["window_from"], run["truncated_before"]) == (NOW - 60 * DAY, NOW - 400 * DAY)
    assert (run["status"], run["stored"]) == ("completed", 1)
    ((name, alert),) = started.emitted
    assert (name, alert["severity"], alert["title"], alert["dedupeKey"], alert["context"]) == (
        "alert.apiFailure",
        "warning",
        "Order history is limited to 60 days",
        "orders-60-days:acme:2026-11-20",
        {"runId": started.result["runId"]},
    )


# Lists.


def test_list_with_an_order_that_shopify_does_not_know(shop: Shop, deliver: Deliver, drain: Drain, rows: Rows) -> None:
    shop.order(id=1, created_at=NOW - DAY)
    shop.order(id=2, created_at=NOW - DAY)

    deliver(OrderSyncBatch(shopify_order_ids=["1", "gid://shopify/Order/2", "3"]))
    total = ended(drain())

    run = run_row(rows)
    assert (run["status"], run["expected"], run["stored"], run["missing"]) == ("completed", 3, 2, 1)
    assert (total["checked"], total["created"], total["missing"], total["unchanged"]) == (3, 2, 1, 0)


def test_list_names_orders_by_our_ids_too_and_marks_the_deleted(
    shop: Shop, deliver: Deliver, drain: Drain, rows: Rows
) -> None:
    shop.order(id=1, created_at=NOW - DAY)
    shop.order(id=2, created_at=NOW - DAY)
    deliver(OrderSyncBatch(shopify_order_ids=["1", "2"]))
    drain()
    rows.execute("UPDATE orders SET id = 'old-1' WHERE id = '1'")
    rows.execute("UPDATE order_sync_marks SET order_id = 'old-1' WHERE order_id = '1'")
    shop.update_order(1, note="changed")
    shop.remove_order(2)
    rows.execute("DELETE FROM order_sync_runs")

    deliver(OrderSyncBatch(order_ids=["old-1", "2", "nobody-knows"]))
    total = ended(drain())

    assert (total["checked"], total["updated"], total["missing"]) == (3, 1, 2)
    assert rows("SELECT id, notes FROM orders WHERE shopify_id = '1'") == [{"id": "old-1", "notes": "changed"}]
    assert rows("SELECT shopify_order_id FROM order_sync_marks WHERE deleted_at IS NOT NULL") == [
        {"shopify_order_id": "2"}
    ]


def test_long_list_is_cut_into_slices_of_1000(shop: Shop, deliver: Deliver, rows: Rows) -> None:
    started = deliver(OrderSyncBatch(shopify_order_ids=[str(n) for n in range(1, 2_502)]))

    assert [(p["sliceNo"], p["step"]) for p, _ in started.again] == [(1, "load"), (2, "load"), (3, "load")]
    assert rows("SELECT kind, ids[1] AS first, expected FROM order_sync_slices ORDER BY slice_no") == [
        {"kind": "list", "first": "1", "expected": 1_000},
        {"kind": "list", "first": "1001", "expected": 1_000},
        {"kind": "list", "first": "2001", "expected": 501},
    ]


# How a run is opened.


def test_dates_are_local_days_of_the_tenant(shop: Shop, deliver: Deliver, rows: Rows) -> None:
    rows.execute("UPDATE shopify_connections SET store_timezone = 'America/New_York'")

    deliver.job(JOB, {"startDate": "2026-10-31", "endDate": "2026-11-01"})

    # Midnight before the switch to 25 hours is 04:00Z, the one after it 05:00Z.
    assert (run_row(rows)["window_from"], run_row(rows)["window_to"]) == (
        datetime(2026, 10, 31, 4, tzinfo=UTC),
        datetime(2026, 11, 2, 5, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("config", "asked", "announce"),
    [
        (None, None, "none"),
        ('{"backfillAnnounce": "recent"}', None, "recent"),
        ('{"backfillAnnounce": "recent"}', "none", "none"),
        (None, "recent", "recent"),
    ],
)
def test_what_a_window_announces(
    config: str | None, asked: Any, announce: str, shop: Shop, deliver: Deliver, rows: Rows
) -> None:
    if config:
        rows.execute("INSERT INTO tenant_config (key, value) VALUES ('orders.sync', %s)", (config,))

    deliver(window(NOW - DAY, announce=asked))

    assert run_row(rows)["announce"] == announce


def test_start_that_fails_while_counting_goes_on_with_its_own_run(
    shopify: ShopifyFake, shop: Shop, deliver: Deliver, drain: Drain, rows: Rows
) -> None:
    shop.order(id=1, created_at=NOW - DAY)
    shopify.fail("500", match="ordersCount")

    deliver(OrderSyncBatch(start_date=NOW - 2 * DAY), expect="retrying")
    assert run_row(rows)["status"] == "requested"
    steps = mine(drain())

    assert [step.result["outcome"] for step in steps] == ["sliced", "completed"]
    assert (run_row(rows)["stored"], run_row(rows)["window_to"]) == (1, NOW)


def test_start_that_cannot_be_helped_fails_its_run(
    shopify: ShopifyFake, shop: Shop, deliver: Deliver, rows: Rows
) -> None:
    shopify.fail("402", match="ordersCount")

    dead = deliver(window(NOW - 2 * DAY), expect="dead")

    assert dead.code == "SHOPIFY_SHOP_FROZEN"
    assert (run_row(rows)["status"], run_row(rows)["error_code"]) == ("failed", "SHOPIFY_SHOP_FROZEN")


def test_run_whose_start_was_abandoned_is_taken_up_by_the_next_equal_message(
    shop: Shop, deliver: Deliver, drain: Drain, rows: Rows, clock: ManualClock
) -> None:
    shop.order(id=1, created_at=NOW - DAY)
    deliver(window(NOW - 2 * DAY))
    rows.execute("DELETE FROM order_sync_slices")
    rows.execute("UPDATE order_sync_runs SET status = 'requested'")
    clock.advance(s=600)
    same_hour_but_other_words = window(NOW - 2 * DAY, window_by="either")

    early = deliver(same_hour_but_other_words)
    clock.advance(s=3_600)
    late = deliver(window(NOW - 2 * DAY))

    assert (early.result["outcome"], late.result["outcome"]) == ("joined", "sliced")
    assert ended(drain())["created"] == 1


def test_start_whose_attempts_are_used_up_leaves_no_open_run(
    shopify: ShopifyFake, shop: Shop, deliver: Deliver, drain: Drain, rows: Rows
) -> None:
    shopify.fail("500", 3, match="ordersCount")

    deliver(window(NOW - 2 * DAY), expect="retrying")
    steps = mine(drain())

    assert [(step.state, step.code) for step in steps] == [
        ("retrying", "SHOPIFY_UNAVAILABLE"),
        ("dead", "SHOPIFY_UNAVAILABLE"),
    ]
    assert run_row(rows)["status"] == "failed"


# What is refused, and what does not stop a run.


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param({}, id="nothing"),
        pytest.param({"orderIds": ["1"], "startDate": "2026-11-01"}, id="ids and a window"),
        pytest.param({"startDate": "2026-11-02T00:00:00Z", "endDate": "2026-11-02T00:00:00Z"}, id="empty window"),
        pytest.param({"shopifyOrderIds": [str(n) for n in range(10_001)]}, id="too many ids"),
    ],
)
def test_message_that_is_refused_starts_nothing(
    payload: dict[str, Any], shop: Shop, deliver: Deliver, rows: Rows
) -> None:
    refused = deliver.job(JOB, payload, expect="dead")

    assert refused.code == "INVALID_PAYLOAD"
    assert rows("SELECT id FROM order_sync_runs") == []


def test_unconnected_shop(shop: Shop, deliver: Deliver, rows: Rows) -> None:
    rows.execute("UPDATE shopify_connections SET status = 'disconnected'")

    assert deliver(window(NOW - DAY), expect="dead").code == "SHOPIFY_NOT_CONNECTED"
    assert rows("SELECT id FROM order_sync_runs") == []


def test_empty_window_is_a_completed_run(shop: Shop, deliver: Deliver, rows: Rows) -> None:
    started = deliver(window(NOW - DAY))

    assert started.result["outcome"] == "completed"
    assert names(started) == ["order.backfillCompleted"]
    assert (run_row(rows)["status"], run_row(rows)["expected"]) == ("completed", 0)


def test_order_that_cannot_be_stored_is_counted_and_stops_nothing(
    shop: Shop, deliver: Deliver, drain: Drain, rows: Rows
) -> None:
    shop.order(id=1, created_at=NOW - DAY)
    shop.order(id=2, created_at=NOW - DAY, lines=[Line("99999999.00")])
    shop.order(id=3, created_at=NOW - DAY)

    deliver(window(NOW - 2 * DAY))
    steps = mine(drain())

    assert (ended(steps)["created"], ended(steps)["failed"]) == (2, 1)
    alerts = [detail for step in steps for name, detail in step.emitted if name == "alert.systemError"]
    assert [(a["severity"], a["context"]["failed"]) for a in alerts] == [("warning", 1)]
    assert run_row(rows)["status"] == "completed"


def test_order_that_the_database_refuses_is_counted_and_stops_nothing(
    shop: Shop, deliver: Deliver, drain: Drain, rows: Rows
) -> None:
    for id in range(1, 8):
        shop.order(id=id, created_at=NOW - DAY, note="bad" if id == 5 else None)
    rows.execute("ALTER TABLE orders ADD CONSTRAINT no_bad_notes CHECK (notes <> 'bad')")

    deliver(window(NOW - 2 * DAY))
    total = ended(drain())

    assert (total["created"], total["failed"], total["checked"]) == (6, 1, 7)
    assert rows("SELECT count(*) AS n FROM orders WHERE id = '5'") == [{"n": 0}]


def test_customers_that_are_not_held_are_asked_for_at_the_end(
    shop: Shop, deliver: Deliver, drain: Drain, rows: Rows
) -> None:
    rows.execute("INSERT INTO customers (id) VALUES ('600')")
    for id, customer in ((1, 600), (2, 601), (3, 602), (4, 602)):
        shop.order(id=id, created_at=NOW - DAY, customer_id=customer)

    deliver(window(NOW - 2 * DAY))
    steps = mine(drain())

    asked = [detail for step in steps for name, detail in step.emitted if name == "customer.syncBatch"]
    assert asked == [{"shopifyCustomerIds": ["601", "602"], "source": "batch"}]


def test_customers_of_a_long_window_are_looked_for_page_by_page(
    shop: Shop, deliver: Deliver, drain: Drain, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.commerce.order_backfill.ending.CUSTOMERS_PAGE", 2)
    rows.execute("INSERT INTO customers (id) VALUES ('600')")
    for id, customer in enumerate((600, 603, 602, 601, 602, 603, 600), start=1):
        shop.order(id=id, created_at=NOW - DAY - timedelta(minutes=id // 3), customer_id=customer)

    deliver(window(NOW - 2 * DAY))
    steps = mine(drain())

    asked = [detail for step in steps for name, detail in step.emitted if name == "customer.syncBatch"]
    assert asked == [{"shopifyCustomerIds": ["601", "602", "603"], "source": "batch"}]


def test_customers_of_a_list_are_asked_for_too(shop: Shop, deliver: Deliver, drain: Drain, rows: Rows) -> None:
    shop.order(id=1, created_at=NOW - 300 * DAY, customer_id=601)
    shop.order(id=2, created_at=NOW - DAY, customer_id=602)

    deliver(OrderSyncBatch(shopify_order_ids=["1"]))
    steps = mine(drain())

    asked = [detail for step in steps for name, detail in step.emitted if name == "customer.syncBatch"]
    assert asked == [{"shopifyCustomerIds": ["601"], "source": "batch"}]


def test_orders_whose_lines_disagree_with_their_subtotal_are_counted(
    shop: Shop, deliver: Deliver, drain: Drain, caplog: pytest.LogCaptureFixture
) -> None:
    shop.put_order(order_e1(subtotal="90.00"))

    deliver(OrderSyncBatch(shopify_order_ids=["1001"]))
    with caplog.at_level(logging.WARNING):
        drain()

    assert "1 orders: the lines disagree with the subtotal, which wins" in caplog.text


def test_cancelled_run_stops_with_its_next_message(
    shopify: ShopifyFake, deliver: Deliver, drain: Drain, rows: Rows
) -> None:
    spread(shopify, 1_500, NOW - 30 * DAY, 30 * DAY)
    deliver(window(NOW - 30 * DAY))
    deliver.again(QUEUE)
    rows.execute("UPDATE order_sync_runs SET status = 'cancelled'")

    steps = mine(drain())

    assert [step.result["outcome"] for step in steps] == ["skipped"]
    assert rows("SELECT id FROM orders") == []


# Long work.


class Slow(Spread):
    """Every order takes the shop 100 s."""

    def __init__(self, clock: ManualClock, count: int, first: datetime, span: timedelta) -> None:
        super().__init__(count, first, span)
        self._clock = clock

    def node(self, legacy_id: int) -> dict[str, Any]:
        self._clock.advance(s=100)
        return super().node(legacy_id)


def test_work_beyond_25_minutes_goes_on_in_a_new_message(
    shopify: ShopifyFake, shop: Shop, deliver: Deliver, drain: Drain, clock: ManualClock
) -> None:
    base = Slow(clock, 30, NOW - 5 * DAY, 5 * DAY)
    shopify.shop(ACME, token=shop.token, scopes=shop.scopes, base=base)
    deliver(window(NOW - 5 * DAY, limit=10, window_by="created"))

    steps = mine(drain())

    # A page of 10 orders takes 1,000 s: the second one ends beyond 1,500 s.
    assert [(step.result["outcome"], step.result["stored"]) for step in steps] == [("continued", 20), ("completed", 30)]
    ((following, delay),) = steps[0].again
    assert (following["step"], following["windowBy"], following["limit"], delay) == ("load", "created", 10, 0)
    assert ended(steps)["created"] == 30
