"""What webhooks have missed: found by comparing, brought in, and made up for after an outage."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.commerce.orders.reconcile import Plan, plan_window, run_key
from functions.commerce.orders.sweep import utc_days
from shared.events.orders import OrderReconcile, OrderSync
from shared.fakes.shopify import Shop, ShopifyFake
from shared.jobs import Delivery
from shared.jobs.testing import Bench, Deliver, Delivered, FixedContext, ManualClock
from tests.builders.backfills import spread
from tests.builders.orders import money, order_e1
from tests.conftest import Rows

JOB = "commerce-order-reconciliation"
SCHEDULE = "commerce-order-reconciliation-scheduled"
QUEUE = "order-processing-bulk"
HALF_PAST = datetime(2026, 11, 20, 12, 30, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)


@pytest.fixture
def half_past(clock: ManualClock) -> datetime:
    """The clock stands at 12:30."""
    clock.advance(s=1800)
    return clock.now()


def reconcile(deliver: Deliver, *, expect: str = "succeeded", **fields: Any) -> Delivered:
    return deliver(OrderReconcile(**fields), expect=expect)


def watermark(rows: Rows, at: datetime) -> None:
    """A run that compared everything up to `at`."""
    rows.execute(
        "INSERT INTO order_sync_runs (mode, status, window_from, window_to, filter_hash, started_at, completed_at)"
        " VALUES ('reconcile', 'completed', %(at)s - interval '2 hours', %(at)s, 'before', %(at)s, %(at)s)",
        {"at": at},
    )


def held(rows: Rows, ids: Iterable[int], updated_at: datetime | str) -> None:
    """Marks (and orders) as a sync has left them."""
    rows.execute(
        "INSERT INTO order_sync_marks (shopify_order_id, order_id, shopify_updated_at, content_hash)"
        " SELECT i::text, i::text, %(at)s, 'x' FROM unnest(%(ids)s::bigint[]) i",
        {"ids": list(ids), "at": updated_at},
    )


def batches(done: Delivered) -> list[dict[str, Any]]:
    return [payload for name, payload in done.emitted if name == "order.syncBatch"]


def alerts(done: Delivered) -> list[dict[str, Any]]:
    return [payload for name, payload in done.emitted if name == "alert.apiFailure"]


def latest(rows: Rows) -> dict[str, Any]:
    """The run that was opened last."""
    return rows("SELECT * FROM order_sync_runs ORDER BY started_at DESC, window_to DESC LIMIT 1")[0]


def figures(done: Delivered) -> tuple[int, ...]:
    """checked, missing, outdated, synced, handedOn, failed."""
    names = ("checked", "missing", "outdated", "synced", "handedOn", "failed")
    return tuple(done.result[name] for name in names)


# -- the window --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "start"),
    [
        (None, HALF_PAST - 2 * HOUR),
        (datetime(2026, 11, 20, 11, 30, tzinfo=UTC), datetime(2026, 11, 20, 10, 30, tzinfo=UTC)),
        (datetime(2026, 11, 20, 8, 30, tzinfo=UTC), datetime(2026, 11, 20, 8, 20, tzinfo=UTC)),
        (datetime(2026, 11, 20, 10, 40, tzinfo=UTC), datetime(2026, 11, 20, 10, 30, tzinfo=UTC)),
        (HALF_PAST - 168 * HOUR + 10 * MINUTE, HALF_PAST - 168 * HOUR),
    ],
    ids=["first run", "an hour ago", "jobs were down", "overlap meets the look-back", "just seven days"],
)
def test_window_reaches_back_to_the_watermark(before: datetime | None, start: datetime) -> None:
    assert plan_window(HALF_PAST, before, 2 * HOUR) == Plan(start, HALF_PAST)


def test_long_outage_is_cut_at_seven_days() -> None:
    plan = plan_window(HALF_PAST, HALF_PAST - 240 * HOUR, 2 * HOUR)

    assert plan == Plan(HALF_PAST - 168 * HOUR, HALF_PAST, HALF_PAST - 240 * HOUR - 10 * MINUTE)


@pytest.mark.usefixtures("shop", "half_past")
@pytest.mark.parametrize(
    ("before", "start"), [("11:30", "10:30"), ("08:30", "08:20")], ids=["an hour ago", "jobs were down"]
)
def test_run_covers_every_hour_since_the_last_one(deliver: Deliver, rows: Rows, before: str, start: str) -> None:
    watermark(rows, datetime.fromisoformat(f"2026-11-20T{before}:00+00:00"))

    done = reconcile(deliver)

    assert (done.result["from"], done.result["to"]) == (f"2026-11-20T{start}:00Z", "2026-11-20T12:30:00Z")
    assert (batches(done), figures(done)) == ([], (0, 0, 0, 0, 0, 0))
    run = latest(rows)
    assert (run["mode"], run["status"], run["window_to"], run["completed_at"]) == (
        "reconcile",
        "completed",
        HALF_PAST,
        HALF_PAST,
    )


@pytest.mark.usefixtures("shop", "half_past")
def test_outage_of_ten_days_hands_the_first_three_to_the_backfill(deliver: Deliver, rows: Rows) -> None:
    watermark(rows, HALF_PAST - 240 * HOUR)

    done = reconcile(deliver)

    assert (done.result["from"], done.result["to"]) == ("2026-11-13T12:30:00Z", "2026-11-20T12:30:00Z")
    (batch,) = batches(done)
    assert batch == {
        "startDate": "2026-11-10T12:20:00Z",
        "endDate": "2026-11-13T12:30:00Z",
        "windowBy": "updated",
        "announce": "recent",
        "source": "reconciliation",
        "step": "start",
    }
    assert latest(rows)["window_to"] == HALF_PAST


def test_tenant_without_a_shop_is_skipped(deliver: Deliver, rows: Rows) -> None:
    done = reconcile(deliver)

    assert done.result == {
        "checked": 0,
        "missing": 0,
        "outdated": 0,
        "synced": 0,
        "handedOn": 0,
        "failed": 0,
        "skipped": "not_connected",
    }
    assert rows("SELECT id FROM order_sync_runs") == []


def test_suspended_shop_is_not_called(deliver: Deliver, shopify: ShopifyFake, rows: Rows) -> None:
    rows.execute("UPDATE shopify_connections SET status = 'suspended'")

    assert reconcile(deliver).result["skipped"] == "not_connected"
    assert shopify.requests_of() == []


# -- what differs ------------------------------------------------------------------------------------------------------


def test_missing_orders_are_fetched_before_outdated_ones(
    deliver: Deliver, shop: Shop, rows: Rows, half_past: datetime
) -> None:
    for minute, id in enumerate((2001, 2002, 2003, 2004), start=1):
        shop.order(id=id, created_at=half_past - HOUR, updated_at=half_past - HOUR + minute * MINUTE)
    held(rows, [2001, 2002], half_past - HOUR)  # outdated
    held(rows, [2003], half_past - HOUR + 3 * MINUTE)  # up to date

    done = reconcile(deliver, max_orders=2)

    assert figures(done) == (4, 1, 2, 2, 1, 0)
    assert {row["id"] for row in rows("SELECT id FROM orders")} == {"2004", "2001"}
    assert [batch["shopifyOrderIds"] for batch in batches(done)] == [["2002"]]
    assert rows("SELECT first_source FROM order_sync_marks WHERE shopify_order_id = '2004'") == [
        {"first_source": "reconciliation"}
    ]


def test_of_620_changed_orders_500_are_fetched_and_120_handed_on(
    deliver: Deliver, shopify: ShopifyFake, rows: Rows, half_past: datetime
) -> None:
    spread(shopify, 620, half_past - HOUR, HOUR)

    done = reconcile(deliver, max_orders=500)

    assert figures(done) == (620, 620, 0, 500, 120, 0)
    assert rows("SELECT count(*) AS n FROM orders") == [{"n": 500}]
    (batch,) = batches(done)
    assert batch["shopifyOrderIds"] == [str(id) for id in range(501, 621)]
    assert (batch["announce"], batch["source"]) == ("recent", "reconciliation")
    run = latest(rows)
    assert (run["status"], run["window_to"], run["checked"], run["stored"], run["created"]) == (
        "completed",
        half_past,
        620,
        500,
        500,
    )


def test_what_is_handed_on_goes_in_parts_of_a_thousand(
    deliver: Deliver, shopify: ShopifyFake, half_past: datetime
) -> None:
    spread(shopify, 2_010, half_past - HOUR, HOUR)

    done = reconcile(deliver, max_orders=10)

    assert [len(batch["shopifyOrderIds"]) for batch in batches(done)] == [1_000, 1_000]
    assert (done.result["synced"], done.result["handedOn"]) == (10, 2_000)


def test_many_missing_orders_raise_one_alert_a_day(
    bench: Bench, deliver: Deliver, shopify: ShopifyFake, rows: Rows, half_past: datetime, clock: ManualClock
) -> None:
    spread(shopify, 300, half_past - HOUR, HOUR)
    held(rows, range(1, 281), half_past)  # 20 of 300 have no mark: 6.7 %

    first = reconcile(deliver)
    rows.execute("DELETE FROM order_sync_marks WHERE shopify_order_id::int > 280")
    clock.advance(s=61)
    second = reconcile(deliver)

    assert figures(first) == figures(second) == (300, 20, 0, 20, 0, 0)
    (alert,) = alerts(first)
    assert (alert["severity"], alert["source"], alert["title"]) == (
        "warning",
        "orders",
        "Order webhooks are being lost",
    )
    assert alert["dedupeKey"] == "orders-drift:acme:2026-11-20"
    assert alert["context"] == {"checked": 300, "missing": 20, "outdated": 0}
    # The second message has the first one's key: whoever listens has run for it already.
    keys = [detail["_meta"]["key"] for name, detail in bench.bus.published if name == "alert.apiFailure"]
    assert set(keys) == {"orders-drift:acme:2026-11-20"}


@pytest.mark.parametrize(
    ("orders", "missing", "alarmed"),
    [(100, 9, False), (200, 10, False), (199, 10, True), (10, 10, True)],
    ids=["fewer than ten", "just 5 %", "above 5 %", "all"],
)
def test_few_missing_orders_are_no_alarm(
    deliver: Deliver,
    shopify: ShopifyFake,
    rows: Rows,
    half_past: datetime,
    orders: int,
    missing: int,
    alarmed: bool,
) -> None:
    spread(shopify, orders, half_past - HOUR, HOUR)
    held(rows, range(missing + 1, orders + 1), half_past)

    done = reconcile(deliver)

    assert (done.result["missing"], bool(alerts(done))) == (missing, alarmed)


@pytest.mark.usefixtures("half_past")
def test_order_that_webhooks_missed_is_announced_once(deliver: Deliver, shop: Shop, clock: ManualClock) -> None:
    shop.put_order(order_e1(processedAt="2026-11-20T12:00:00Z", updatedAt="2026-11-20T12:00:00Z"))

    done = reconcile(deliver)
    late = deliver(OrderSync(shopify_order_id="1001"))

    assert (figures(done), [name for name, _ in done.emitted].count("order.created")) == ((1, 1, 0, 1, 0, 0), 1)
    assert (late.result["outcome"], "order.created" in [name for name, _ in late.emitted]) == ("unchanged", False)


@pytest.mark.usefixtures("half_past")
def test_order_that_cannot_be_stored_is_left_out_and_the_others_come_in(
    deliver: Deliver, shop: Shop, rows: Rows
) -> None:
    seen = {"updatedAt": "2026-11-20T12:00:00Z"}
    shop.put_order(order_e1(1001, **seen))
    shop.put_order(order_e1(1002, **seen, totalPriceSet=money("99999999.99")))
    shop.put_order(order_e1(1003, **seen, displayFinancialStatus="PAID"))

    done = reconcile(deliver)

    assert figures(done) == (3, 3, 0, 2, 0, 1)
    assert (latest(rows)["failed"], latest(rows)["status"]) == (1, "completed")


@pytest.mark.usefixtures("half_past")
def test_second_run_changes_nothing(deliver: Deliver, shop: Shop, rows: Rows, clock: ManualClock) -> None:
    shop.put_order(order_e1(updatedAt="2026-11-20T12:00:00Z"))
    reconcile(deliver)
    before = rows("SELECT synced_at, updated_at FROM orders")
    clock.advance(s=61)

    done = reconcile(deliver)

    assert (figures(done), done.emitted) == ((1, 0, 0, 0, 0, 0), [])
    assert rows("SELECT synced_at, updated_at FROM orders") == before


# -- errors and interruptions ------------------------------------------------------------------------------------------


def test_503_on_the_second_page_leaves_the_watermark_where_it_is(
    deliver: Deliver, shopify: ShopifyFake, rows: Rows, half_past: datetime
) -> None:
    before = half_past - HOUR
    watermark(rows, before)
    spread(shopify, 300, half_past - HOUR, HOUR)
    held(rows, range(1, 301), half_past)
    shopify.fail("503", match="query orderIds", skip=1)

    failed = reconcile(deliver, expect="retrying")
    standing = rows("SELECT max(window_to) AS at FROM order_sync_runs WHERE status = 'completed'")
    done = deliver.again(QUEUE)

    assert failed.code == "SHOPIFY_UNAVAILABLE"
    assert standing == [{"at": before}]
    pages = [each.variables["after"] is None for each in shopify.requests_of(operation="orderIds")]
    assert pages == [True, False, True, False]
    assert (figures(done), done.emitted, rows("SELECT id FROM orders")) == ((300, 0, 0, 0, 0, 0), [], [])
    assert done.result["to"] == "2026-11-20T12:30:00Z"  # the end that the first attempt had
    assert rows("SELECT count(*) AS n FROM order_sync_runs") == [{"n": 2}]
    assert latest(rows)["status"] == "completed"


def test_what_a_lost_attempt_brought_in_still_counts_as_missing(
    deliver: Deliver, shopify: ShopifyFake, half_past: datetime
) -> None:
    spread(shopify, 60, half_past - HOUR, HOUR)
    shopify.fail("503", match="query orderNodes", skip=5)  # after the first chunk of 50

    reconcile(deliver, expect="retrying")
    done = deliver.again(QUEUE)

    assert (done.result["missing"], done.result["synced"]) == (60, 10)
    assert len(alerts(done)) == 1


def test_scope_that_is_missing_ends_the_run(deliver: Deliver, shop: Shop, rows: Rows) -> None:
    shop.scopes.clear()

    done = reconcile(deliver, expect="dead")

    assert done.code == "SHOPIFY_SCOPE_MISSING"
    assert (latest(rows)["status"], latest(rows)["error_code"]) == ("failed", "SHOPIFY_SCOPE_MISSING")


def test_throttled_shop_is_waited_for_and_no_attempt_is_burnt(deliver: Deliver, shopify: ShopifyFake) -> None:
    shopify.fail("429", retry_after="30")

    done = reconcile(deliver, expect="deferred")

    assert (done.code, deliver.again(QUEUE).attempt) == ("SHOPIFY_THROTTLED", 1)


@pytest.mark.parametrize(
    "payload", [{"lookbackHours": 0}, {"lookbackHours": 169}, {"lookbackHours": "2"}, {"maxOrders": 0}, {"deep": "yes"}]
)
def test_message_that_makes_no_sense_is_dead(deliver: Deliver, payload: dict[str, Any]) -> None:
    assert deliver.job(JOB, payload, expect="dead").code == "INVALID_PAYLOAD"


def test_run_without_time_goes_on_behind_the_last_page(
    bench: Bench, shopify: ShopifyFake, rows: Rows, half_past: datetime
) -> None:
    spread(shopify, 560, half_past - HOUR, HOUR)
    held(rows, range(101, 561), half_past)
    bench.publish(OrderReconcile(max_orders=100), "acme")

    legs = 0
    while bench.queues.queues[QUEUE]:
        records = bench.queues.receive(QUEUE, 1, 5_400)
        # 40 s: not enough for a second page or chunk, but the first one of a leg always is.
        assert bench.bulk.handle(records, FixedContext(40_000))["batchItemFailures"] == []
        bench.queues.delete(QUEUE, {record.message_id for record in records})
        legs += 1

    # three pages; the third one's leg ends before the first of two chunks, each a leg of its own
    assert legs == 5
    assert len(shopify.requests_of(operation="orderIds")) == 3
    run = latest(rows)
    assert (run["status"], run["checked"], run["missing"], run["stored"]) == ("completed", 560, 100, 100)
    assert run["window_to"] == half_past


def test_equal_run_under_way_is_left_alone(deliver: Deliver, shop: Shop, rows: Rows) -> None:
    reconcile(deliver)
    rows.execute("UPDATE order_sync_runs SET id = gen_random_uuid(), status = 'running', completed_at = NULL")

    done = reconcile(deliver, max_orders=400)

    assert done.result["skipped"] == "already_running"


def test_runs_that_stand_still_for_twelve_hours_are_given_up(
    deliver: Deliver, shop: Shop, rows: Rows, clock: ManualClock
) -> None:
    for n, (mode, status, hours) in enumerate(
        [
            ("window", "running", 12.1),
            ("list", "requested", 13),
            ("reconcile", "running", 12.1),
            ("list", "running", 11.9),
        ]
    ):
        rows.execute(
            "INSERT INTO order_sync_runs (mode, status, filter_hash, progress_at) VALUES (%s, %s, %s, %s)",
            (mode, status, str(n), clock.now() - timedelta(hours=hours)),
        )

    reconcile(deliver)

    assert rows(
        "SELECT status, error_code FROM order_sync_runs WHERE length(filter_hash) = 1 ORDER BY filter_hash"
    ) == [
        {"status": "failed", "error_code": "RUN_STALE"},
        {"status": "failed", "error_code": "RUN_STALE"},
        {"status": "failed", "error_code": "RUN_STALE"},
        {"status": "running", "error_code": None},
    ]


def test_run_that_an_app_stops_moves_no_watermark(
    deliver: Deliver, shop: Shop, shopify: ShopifyFake, rows: Rows
) -> None:
    shopify.fail("503", match="query orderIds")
    reconcile(deliver, expect="retrying")
    rows.execute("UPDATE order_sync_runs SET status = 'cancelled'")

    done = deliver.again(QUEUE)

    assert (done.result["skipped"], latest(rows)["status"]) == ("cancelled", "cancelled")


# -- deep --------------------------------------------------------------------------------------------------------------


def test_deep_run_pages_only_the_days_that_differ(
    deliver: Deliver, shop: Shop, shopify: ShopifyFake, rows: Rows, half_past: datetime
) -> None:
    # An order per day at 06:00, none of them changed in the last two hours; that of the 17th is not held, that of the
    # 15th was changed two days ago and is held as it was before.
    for day in range(14, 20):
        at = datetime(2026, 11, day, 6, tzinfo=UTC)
        shop.order(id=3000 + day, created_at=at, updated_at=at + (24 * HOUR if day == 15 else timedelta()))
        if day != 17:
            held(rows, [3000 + day], at)
            rows.execute(
                "INSERT INTO orders (id, order_number, shopify_id, shopify_order_id, created_at)"
                " VALUES (%(id)s, '#', %(id)s, %(id)s, %(at)s)",
                {"id": str(3000 + day), "at": at},
            )

    shallow = reconcile(deliver)
    done = reconcile(deliver, deep=True)

    assert figures(shallow) == (0, 0, 0, 0, 0, 0)
    assert figures(done) == (1, 1, 0, 1, 0, 0)
    assert rows("SELECT first_source FROM order_sync_marks WHERE shopify_order_id = '3017'") == [
        {"first_source": "reconciliation"}
    ]
    counts = [each.variables["query"] for each in shopify.requests_of(operation="ordersCount")]
    assert counts[0] == "created_at:>='2026-11-13T12:30:00Z' created_at:<'2026-11-14T00:00:00Z' status:any"
    assert (len(counts), counts[-1]) == (
        8,
        "created_at:>='2026-11-20T00:00:00Z' created_at:<'2026-11-20T12:30:00Z' status:any",
    )
    paged = [each.variables["query"] for each in shopify.requests_of(operation="orderIds")]
    assert paged[2:] == ["created_at:>='2026-11-17T00:00:00Z' created_at:<'2026-11-18T00:00:00Z' status:any"]


def test_deep_run_counts_an_order_of_both_windows_once(deliver: Deliver, shop: Shop, half_past: datetime) -> None:
    shop.order(id=3001, created_at=half_past - HOUR)

    assert figures(reconcile(deliver, deep=True)) == (1, 1, 0, 1, 0, 0)


def test_week_is_cut_at_utc_midnights() -> None:
    days = list(utc_days(HALF_PAST - 168 * HOUR, HALF_PAST))

    assert len(days) == 8
    assert {day.by for day in days} == {"created"}
    assert all(a.end == b.start for a, b in itertools.pairwise(days))
    (whole,) = utc_days(datetime(2026, 11, 19, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC))
    assert whole.end - whole.start == 24 * HOUR


# -- the schedule ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("at", "deep"), [("2026-11-20T12:30:00+00:00", False), ("2026-11-21T03:30:00+00:00", True)], ids=["12:30", "03:30"]
)
def test_each_hour_starts_a_comparison_and_that_of_the_night_a_deep_one(bench: Bench, at: str, deep: bool) -> None:
    report = bench.tick(SCHEDULE, datetime.fromisoformat(at))

    (published,) = [(name, {k: v for k, v in detail.items() if k != "_meta"}) for name, detail in report.published]
    assert published == (
        "order.reconcile",
        {"tenantId": "acme", "lookbackHours": 2, "maxOrders": 500, "deep": deep},
    )


def test_tick_is_the_run_s_key_and_comes_twice_in_vain(bench: Bench, shop: Shop, deliver: Deliver) -> None:
    bench.tick(SCHEDULE, HALF_PAST)
    bench.tick(SCHEDULE, HALF_PAST)

    delivered = [d for d in bench.drain() if d.job == JOB]

    assert [d.state for d in delivered] == ["succeeded"]
    assert [name for name, _ in bench.bus.published].count("order.reconcile") == 1


@pytest.mark.parametrize(
    "change", ["DELETE FROM shopify_connections", "UPDATE shopify_connections SET status = 'suspended'"]
)
@pytest.mark.usefixtures("shop")
def test_tenant_without_an_active_connection_gets_no_message(bench: Bench, rows: Rows, change: str) -> None:
    rows.execute(change)

    assert bench.tick(SCHEDULE, HALF_PAST).published == []


# A tenant with no more than what the probe asks for.
ADD_TENANTS = """
DO $$
DECLARE name text;
BEGIN
    FOR n IN 1 .. 998 LOOP
        name := 'many_' || to_char(n, 'FM000');
        INSERT INTO public.organizations (slug, name, status) VALUES (name, name, 'active');
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'cgk_t_' || name) THEN
            EXECUTE format('CREATE ROLE cgk_t_%s NOLOGIN', name);
        END IF;
        EXECUTE format('GRANT cgk_t_%s TO cgk_jobs WITH INHERIT FALSE, SET TRUE', name);
        EXECUTE format('CREATE SCHEMA tenant_%s AUTHORIZATION cgk_t_%s', name, name);
        EXECUTE format('CREATE VIEW tenant_%s.shopify_connections AS SELECT %L::text AS status', name,
                       CASE WHEN n <= 39 THEN 'active' ELSE 'disconnected' END);
        EXECUTE format('GRANT SELECT ON tenant_%s.shopify_connections TO cgk_t_%s', name, name);
    END LOOP;
END $$
"""


@pytest.mark.usefixtures("shop")
def test_of_a_thousand_tenants_the_forty_with_a_shop_are_started(bench: Bench, rows: Rows) -> None:
    rows.execute(ADD_TENANTS)  # with acme, which has a shop, and globex, which has none: 1,000

    report = bench.tick(SCHEDULE, HALF_PAST)

    assert [name for name, _ in report.published] == ["order.reconcile"] * 40
    assert {detail["tenantId"] for _, detail in report.published} == {"acme", *(f"many_{n:03}" for n in range(1, 40))}


def test_run_key_is_the_tick_or_the_content_within_the_minute() -> None:
    at = datetime(2026, 11, 20, 12, 0, 10, tzinfo=UTC)
    tick = f"{SCHEDULE}:tick:2026-11-20T12:30Z:order.reconcile:0"

    assert run_key(OrderReconcile(), Delivery(tick, at)) == tick
    assert run_key(OrderReconcile(), Delivery("a", at)) == run_key(
        OrderReconcile(), Delivery("b", at + 40 * timedelta(seconds=1))
    )
    assert run_key(OrderReconcile(), Delivery("a", at)) != run_key(OrderReconcile(), Delivery("a", at + MINUTE))
    assert run_key(OrderReconcile(), Delivery("a", at)) != run_key(OrderReconcile(deep=True), Delivery("a", at))
