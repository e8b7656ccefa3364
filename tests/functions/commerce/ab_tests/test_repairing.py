"""One test repaired on demand: wrong numbers are found and set right, and what was decided stays."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from shared.events.ab_tests import AbTestMetricsAggregate
from shared.fakes.redis import Database, RedisFake
from shared.jobs.testing import Bench, Deliver, Delivered
from tests.builders.ab_tests import TEST, add_arm, add_epoch, add_state, add_test, insert
from tests.conftest import Rows
from tests.functions.commerce.ab_tests.conftest import NOON, Put

JOB = "ab-aggregate-test-metrics"
A, B = "test_1_a", "test_1_b"
TEN = NOON - timedelta(hours=2)


def repair(deliver: Deliver, period: Any = "full", **more: Any) -> Delivered:
    return deliver(AbTestMetricsAggregate(test_id=TEST, period=period), **more)


def running(rows: Rows, **columns: Any) -> None:
    """A test with an even split that began eight days ago."""
    values: dict[str, Any] = {"status": "running", "started_at": NOON - timedelta(days=8), **columns}
    add_test(rows, **values)
    add_epoch(rows, 1, NOON - timedelta(days=8), {A: 50, B: 50})


def wrong_row(rows: Rows, days_ago: int, **numbers: int) -> None:
    values = {"test_id": TEST, "variant_id": B, "date": NOON.date() - timedelta(days=days_ago), **numbers}
    insert(rows, "ab_daily_metrics", values)


def purchases(result: Any, which: str) -> dict[str, int]:
    return {row["variantId"]: row["purchases"] for row in result[which]}


def state(rows: Rows) -> dict[str, Any]:
    (row,) = rows("SELECT * FROM ab_test_state")
    return row


def test_row_set_by_hand_is_corrected(deliver: Deliver, rows: Rows) -> None:
    running(rows)
    add_arm(rows, B, 60, 12, at=TEN)
    for n in range(12):
        insert(
            rows,
            "orders",
            {"id": f"o-{B}-{n + 1}", "order_number": f"#{n}", "total_cents": 5_000, "order_placed_at": TEN},
        )
    rows.execute("UPDATE ab_order_attributions SET ordered_at = %s", (TEN,))
    wrong_row(rows, 0, purchases=999)

    first, second = repair(deliver), repair(deliver)

    assert (purchases(first.result, "before"), purchases(first.result, "after")) == ({A: 0, B: 999}, {A: 0, B: 12})
    assert (first.result["variants"], first.result["changed"], second.result["changed"]) == (2, True, False)
    assert first.result["after"][1] == {"variantId": B, "visitors": 60, "purchases": 12, "revenueCents": 60_000}


@pytest.mark.parametrize(
    ("period", "corrected"),
    [("hourly", [0]), ("daily", [0, 1]), ("full", [0, 1, 3])],
)
def test_only_the_days_of_the_period_are_touched(
    deliver: Deliver, rows: Rows, period: str, corrected: list[int]
) -> None:
    running(rows)
    for days_ago in (0, 1, 3):
        wrong_row(rows, days_ago, purchases=999)

    repair(deliver, period)

    right = rows("SELECT date FROM ab_daily_metrics WHERE purchases = 0 ORDER BY date DESC")
    assert [(NOON.date() - row["date"]).days for row in right] == corrected


def test_days_of_variants_that_are_gone_go(deliver: Deliver, rows: Rows) -> None:
    running(rows)
    insert(rows, "ab_daily_metrics", {"test_id": TEST, "variant_id": "gone", "date": NOON.date(), "visitors": 3})

    repair(deliver, "daily")
    assert len(rows("SELECT 1 FROM ab_daily_metrics")) == 1
    repair(deliver)
    assert rows("SELECT 1 FROM ab_daily_metrics") == []


def test_what_wrong_data_have_left_in_the_sequential_p_is_forgotten(deliver: Deliver, rows: Rows) -> None:
    """The worked example whose always-valid p is 0.297932752."""
    running(rows)
    add_arm(rows, A, 10_000, 300, at=TEN)
    add_arm(rows, B, 10_000, 360, at=TEN)
    add_state(
        rows,
        last_status="running",
        tau={"conversion_rate": 0.5},
        sequential={"conversion_rate": {B: 0.01}},
        results={"variants": {B: {"direction": 1}}},
    )

    repair(deliver, "daily")
    assert state(rows)["sequential"]["conversion_rate"][B] == 0.01
    repair(deliver)

    assert state(rows)["sequential"] == {"conversion_rate": {B: pytest.approx(0.297932752, rel=1e-6)}}
    assert state(rows)["tau"] == {"conversion_rate": pytest.approx(0.003)}


def test_orders_are_attributed_anew_first(deliver: Deliver, rows: Rows, visitor: Put, order: Put) -> None:
    running(rows)
    visitor()
    order("o1")
    order("o2", at=NOON - timedelta(days=20))

    assert purchases(repair(deliver, "daily").result, "after") == {A: 0, B: 0}
    assert purchases(repair(deliver).result, "after") == {A: 0, B: 1}


def test_long_way_through_the_orders_goes_on_in_another_leg(
    deliver: Deliver, bench: Bench, rows: Rows, visitor: Put, order: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.commerce.ab_tests.order_pass.PAGE", 2)
    monkeypatch.setattr("functions.commerce.ab_tests.order_pass.PAGE_ROOM_S", 1e9)
    running(rows)
    visitor()
    for n in range(5):
        order(f"o{n}")

    repair(deliver, expect="continuing")
    *_, last = bench.drain()

    assert (purchases(last.result, "before"), purchases(last.result, "after")) == ({A: 0, B: 0}, {A: 0, B: 5})


def test_completed_test_keeps_its_end(deliver: Deliver, rows: Rows) -> None:
    ended_at = NOON - timedelta(days=1)
    running(rows, status="completed", ended_at=ended_at, winner_variant_id=A, winning_variant_id=A)
    add_arm(rows, A, 15_000, 450, at=NOON - timedelta(days=2))
    add_arm(rows, B, 15_000, 585, at=NOON - timedelta(days=2))
    add_state(rows, last_status="completed", decision="inconclusive", final_report={"decision": "inconclusive"})

    repair(deliver)

    (test,) = rows("SELECT status, winner_variant_id, ended_at FROM ab_tests")
    assert (test["status"], test["winner_variant_id"], test["ended_at"]) == ("completed", A, ended_at)
    report = state(rows)["final_report"]
    assert (report["decision"], report["recountedAt"]) == ("inconclusive", NOON.isoformat())
    assert report["results"]["variants"][B]["x"] == 585


def test_report_is_not_begun_here(deliver: Deliver, rows: Rows) -> None:
    """The end's own job writes it, and takes a report that is there for its own."""
    running(rows, status="completed", ended_at=NOON)

    repair(deliver)

    assert state(rows)["final_report"] is None


def test_counters_come_in(deliver: Deliver, rows: Rows, store: Database) -> None:
    running(rows, settings={"tracking": "counters"})
    store.execute(["HINCRBY", "ab:acme:test_1:test_1_b:counters", "visitors", 7])

    assert repair(deliver, "hourly").result["after"][1]["visitors"] == 7


def test_redis_that_is_down_stops_nothing(deliver: Deliver, rows: Rows, redis: RedisFake) -> None:
    running(rows)
    redis.fail(503)

    assert repair(deliver).result["changed"] is False


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"testId": TEST}, "INVALID_PAYLOAD"),
        ({"testId": TEST, "period": "full"}, "TEST_NOT_STARTED"),
        ({"testId": "nobody", "period": "full"}, "TEST_NOT_FOUND"),
    ],
)
def test_message_that_makes_no_sense_is_dead(deliver: Deliver, rows: Rows, payload: dict[str, Any], code: str) -> None:
    add_test(rows)

    assert deliver.job(JOB, payload, expect="dead").code == code


def test_test_is_locked_before_its_state(deliver: Deliver, rows: Rows, admin_url: str) -> None:
    """As the scheduler and all others lock them: whoever holds the test gets its state, without a deadlock."""
    running(rows)
    add_state(rows, last_status="running")
    holds, got = threading.Event(), list[int]()

    def scheduler() -> None:
        options = "-c search_path=tenant_acme,public -c lock_timeout=300"
        with psycopg.connect(admin_url, options=options) as conn:
            conn.execute("SELECT 1 FROM ab_tests FOR NO KEY UPDATE")
            holds.set()
            for _ in range(200):
                if rows_waiting(conn):
                    break
                time.sleep(0.01)
            got.append(conn.execute("UPDATE ab_test_state SET status_seq = 7").rowcount)

    def rows_waiting(conn: psycopg.Connection[Any]) -> bool:
        return conn.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is not None

    thread = threading.Thread(target=scheduler)
    thread.start()
    holds.wait(5)

    repair(deliver, "hourly")

    thread.join()
    assert (got, state(rows)["status_seq"]) == ([1], 7)
