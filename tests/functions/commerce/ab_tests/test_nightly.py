"""The nightly look back: what differs is set right and told, what is doubtful is marked, what is over is swept up."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import pytest

from shared.events.ab_tests import AbNightlyReconcile
from shared.fakes.redis import Database, RedisFake
from shared.jobs.testing import Bench, Deliver, Delivered, ManualClock
from tests.builders.ab_tests import TEST, add_arm, add_epoch, add_state, add_test, insert
from tests.conftest import Rows
from tests.functions.commerce.ab_tests.conftest import NOON, Put

JOB = "ab-nightly-reconciliation"
A, B = "test_1_a", "test_1_b"
YESTERDAY = date(2026, 11, 19)
EVENING = datetime.fromisoformat("2026-11-19T20:00:00+00:00")
KEY = "ab:acme:test_1:test_1_b:counters"


@pytest.fixture(autouse=True)
def night(clock: ManualClock) -> datetime:
    """Two in the night of the 20th, which is when the job comes."""
    clock.advance(s=-10 * 3600)
    return clock.now()


def nightly(deliver: Deliver, minutes: int = 0, **more: Any) -> Delivered:
    """The run of so many minutes after two."""
    expect = more.pop("expect", "succeeded")
    slot = NOON + timedelta(hours=-10, minutes=minutes)
    return deliver(AbNightlyReconcile(**{"slot": slot, **more}), expect=expect)


def running(rows: Rows, *, days: float = 10, **columns: Any) -> None:
    """A test with an even split that began `days` before the night."""
    at = NOON - timedelta(hours=10, days=days)
    values: dict[str, Any] = {"status": "running", "started_at": at, **columns}
    add_test(rows, **values)
    add_epoch(rows, 1, at, {A: 50, B: 50})


def attributed(rows: Rows, count: int, cents: int, at: datetime = EVENING) -> None:
    """Orders of B, each of so many cents."""
    for n in range(count):
        insert(rows, "orders", {"id": f"o{n}", "order_number": f"#{n}", "total_cents": cents, "order_placed_at": at})
        values = {"test_id": TEST, "order_id": f"o{n}", "variant_id": B, "method": "cart_variant", "ordered_at": at}
        insert(
            rows,
            "ab_order_attributions",
            {**values, "currency": "USD", "gross_cents": cents, "net_cents": cents, "created_at": at, "updated_at": at},
        )


def stored(rows: Rows, day: date = YESTERDAY, **numbers: int) -> None:
    insert(rows, "ab_daily_metrics", {"test_id": TEST, "variant_id": B, "date": day, **numbers})


def batch(rows: Rows, **counts: int) -> None:
    values = {"batch_id": "b1", "test_id": TEST, "variant_id": B, "bucket_date": YESTERDAY, "to_at": EVENING}
    insert(rows, "ab_counter_batches", {**values, "fields": {}, "source_key": KEY, **counts})


def views(rows: Rows, count: int) -> None:
    rows.execute(
        "INSERT INTO ab_events (test_id, variant_id, visitor_id, event_type, created_at)"
        " SELECT %s, %s, 'v' || i, 'page_view', %s FROM generate_series(1, %s) i",
        (TEST, B, EVENING, count),
    )


def daily(rows: Rows) -> list[tuple[Any, ...]]:
    found = rows("SELECT * FROM ab_daily_metrics ORDER BY date, variant_id")
    return [(row["date"], row["purchases"], row["revenue_cents"]) for row in found]


def state(rows: Rows) -> dict[str, Any]:
    (row,) = rows("SELECT * FROM ab_test_state")
    return row


def test_numbers_that_differ_are_set_right(deliver: Deliver, rows: Rows) -> None:
    running(rows)
    attributed(rows, 11, 5_000)
    insert(rows, "orders", {"id": "o11", "order_number": "#11", "total_cents": 6_000, "order_placed_at": EVENING})
    values = {"test_id": TEST, "order_id": "o11", "variant_id": B, "method": "cart_variant", "ordered_at": EVENING}
    insert(rows, "ab_order_attributions", {**values, "currency": "USD", "gross_cents": 6_000, "net_cents": 6_000})
    stored(rows, purchases=10, revenue_cents=50_000)

    first, second = nightly(deliver), nightly(deliver, 1)

    assert first.result == {
        "date": "2026-11-19",
        "tests": 1,
        "ordersAttributed": 0,
        "differences": 2,
        "corrections": 1,
        "missingOrders": 0,
        "flags": 0,
    }
    assert (second.result["differences"], second.result["corrections"]) == (0, 0)
    assert daily(rows) == [(YESTERDAY, 12, 61_000)]
    assert first.emitted == []


def test_order_that_came_late_is_counted_on_its_own_day(deliver: Deliver, rows: Rows, visitor: Put, order: Put) -> None:
    running(rows)
    visitor(at=EVENING - timedelta(hours=3))
    order(at=EVENING - timedelta(hours=2))
    order("long ago", at=EVENING - timedelta(days=5))

    done = nightly(deliver)

    assert done.result["ordersAttributed"] == 1
    assert daily(rows) == [(YESTERDAY, 1, 9_000)]
    assert nightly(deliver, 1).result["ordersAttributed"] == 0


@pytest.mark.parametrize(
    ("zone", "day"), [("America/Los_Angeles", "2026-11-22"), ("UTC", "2026-11-23"), ("Asia/Tokyo", "2026-11-23")]
)
def test_last_day_that_is_over_in_the_tenants_zone(deliver: Deliver, rows: Rows, zone: str, day: str) -> None:
    rows.execute("UPDATE organizations SET settings = jsonb_build_object('timezone', %s::text)", (zone,))

    assert nightly(deliver, 4 * 24 * 60).result["date"] == day


@pytest.mark.parametrize(
    ("full", "corrected"),
    [(False, [17, 18, 19]), (True, [13, 16, 17, 18, 19, 20])],
    ids=["three days", "every day"],
)
def test_days_that_are_counted_anew(deliver: Deliver, rows: Rows, full: bool, corrected: list[int]) -> None:
    running(rows)
    for day in (13, 16, 17, 18, 19, 20):
        stored(rows, date(2026, 11, day), purchases=9)

    done = nightly(deliver, full_reconciliation=full)

    assert [day.day for day, purchases, _ in daily(rows) if purchases == 0] == corrected
    assert done.result["corrections"] == len(corrected)


def test_revenue_that_moves_a_lot_is_told_once(deliver: Deliver, rows: Rows) -> None:
    running(rows)
    attributed(rows, 3, 5_000)
    stored(rows, purchases=3, revenue_cents=25_001)

    (told,) = nightly(deliver).emitted

    assert told[0] == "alert.unusualActivity"
    assert told[1]["dedupeKey"] == "ab-recount:test_1:2026-11-19"
    assert told[1]["context"] == {"testId": TEST, "storedCents": 25_001, "recountedCents": 15_000}


@pytest.mark.parametrize("before", [25_000, 15_000, 19_000], ids=["100.00", "nothing", "26 percent"])
def test_revenue_that_moves_little_is_not_told(deliver: Deliver, rows: Rows, before: int) -> None:
    running(rows)
    attributed(rows, 3, 5_000)
    stored(rows, purchases=3, revenue_cents=before)

    assert nightly(deliver).emitted == []


def test_attribution_whose_order_is_gone_goes(deliver: Deliver, rows: Rows, visitor: Put, order: Put) -> None:
    running(rows)
    visitor(at=EVENING - timedelta(hours=3))
    order(at=EVENING)
    nightly(deliver)
    assert daily(rows) == [(YESTERDAY, 1, 9_000)]
    rows.execute("DELETE FROM orders")

    assert nightly(deliver, 1).result["differences"] == 2  # compared, so that much of it is told
    assert nightly(deliver, 2).result["differences"] == 0
    left = [rows(f"SELECT 1 FROM {name}") for name in ("ab_order_attributions", "ab_test_conversions", "ab_events")]  # noqa: S608
    assert (left, daily(rows)) == ([[], [], []], [(YESTERDAY, 0, 0)])


def test_order_that_is_gone_from_a_final_test_is_gone_from_its_day(deliver: Deliver, rows: Rows) -> None:
    """No attribution of the test has changed since the last night: what was deleted cannot say that it was."""
    day = date(2026, 11, 17)
    over(rows, days_ago=2.6, preliminary=False)  # the evening of the 17th
    attributed(rows, 1, 5_000, at=NOON - timedelta(days=3))
    stored(rows, day, purchases=1, revenue_cents=5_000)
    nightly(deliver)
    assert daily(rows) == [(day, 1, 5_000)]
    rows.execute("DELETE FROM orders")

    done = nightly(deliver, 1)

    assert (done.result["tests"], daily(rows)) == (0, [(day, 0, 0)])


# -- counters ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("events", "marks"), [(1_040, []), (1_100, ["counter_drift"])])
def test_counters_against_events(deliver: Deliver, rows: Rows, events: int, marks: list[str]) -> None:
    running(rows)
    batch(rows, impressions=1_000)
    views(rows, events)

    done = nightly(deliver)

    assert (state(rows)["needs_attention"], done.result["flags"]) == (marks, len(marks))
    shown = {"impressions": [1_000, 1_100], "conversions": [0, 0], "revenue": [0, 0]}
    assert state(rows)["results"].get("counterDrift") == (shown if marks else None)


def test_counters_that_agree_again_clear_the_mark(deliver: Deliver, rows: Rows) -> None:
    running(rows)
    batch(rows, impressions=1_000)
    views(rows, 1_100)
    nightly(deliver)
    rows.execute("UPDATE ab_counter_batches SET impressions = 1100")

    nightly(deliver, 1)

    assert (state(rows)["needs_attention"], "counterDrift" in state(rows)["results"]) == ([], False)


def test_orders_that_only_the_counters_know(deliver: Deliver, rows: Rows) -> None:
    running(rows, settings={"tracking": "counters"})
    batch(rows, impressions=10, conversions=30)
    attributed(rows, 4, 5_000)

    done = nightly(deliver)

    assert done.result["missingOrders"] == 26
    assert "counter_drift" in state(rows)["needs_attention"]


# -- quality -----------------------------------------------------------------------------------------------------------


def test_effect_that_wears_off_and_visitors_that_change(deliver: Deliver, rows: Rows) -> None:
    running(rows, days=20)
    first, last = NOON - timedelta(days=19), NOON - timedelta(days=3)
    for arm, early, late in ((A, 210, 210), (B, 294, 217)):
        add_arm(rows, arm, 7_000, early, at=first, mark="-early")
        add_arm(rows, arm, 7_000, late, at=last, mark="-late")
    rows.execute(
        "UPDATE ab_visitors SET device_type = CASE WHEN abs(hashtext(visitor_id)) %% 10"
        " < CASE WHEN assigned_at = %s THEN 7 ELSE 5 END THEN 'desktop' ELSE 'mobile' END",
        (first,),
    )

    done = nightly(deliver)
    assert (state(rows)["needs_attention"], done.result["flags"]) == (["drift", "novelty"], 2)

    rows.execute("UPDATE ab_visitors SET device_type = 'desktop'")
    rows.execute("DELETE FROM ab_order_attributions WHERE order_id LIKE %s", ("%early%",))
    assert nightly(deliver, 1).result["flags"] == 0
    assert state(rows)["needs_attention"] == []


def test_device_that_is_split_wrongly(deliver: Deliver, rows: Rows) -> None:
    running(rows)
    for arm, phones in ((A, 600), (B, 400)):
        add_arm(rows, arm, 1_000, 10, at=NOON - timedelta(days=2))
        rows.execute(
            "UPDATE ab_visitors SET device_type = CASE WHEN substring(visitor_id FROM '[0-9]+$')::int <= %s"
            " THEN 'mobile' ELSE 'desktop' END WHERE variant_id = %s",
            (phones, arm),
        )

    nightly(deliver)

    assert (state(rows)["srm_status"], state(rows)["needs_attention"]) == ("none", ["segment_srm"])


def test_running_test_without_shares_is_marked(deliver: Deliver, rows: Rows) -> None:
    running(rows, shares=(0, 0))

    nightly(deliver)

    assert "invalid_configuration" in state(rows)["needs_attention"]


# -- tests that are over -----------------------------------------------------------------------------------------------


def over(rows: Rows, *, days_ago: float, **report: Any) -> None:
    """A test that ended with B as its winner, by schedule."""
    ended_at = NOON - timedelta(days=days_ago)
    running(rows, days=30, status="completed", ended_at=ended_at, winner_variant_id=B, winning_variant_id=B)
    report = {"decision": "winner", "winner": B, "reason": "scheduled", "preliminary": True, **report}
    add_state(rows, last_status="completed", decision="winner", final_report=report)


@pytest.mark.parametrize(("days_ago", "preliminary"), [(1, True), (3, False)])
def test_report_gets_the_corrected_numbers(deliver: Deliver, rows: Rows, days_ago: float, preliminary: bool) -> None:
    over(rows, days_ago=days_ago)
    add_arm(rows, A, 10_000, 300, at=NOON - timedelta(days=5))
    add_arm(rows, B, 10_000, 400, at=NOON - timedelta(days=5))

    done = nightly(deliver)

    report = state(rows)["final_report"]
    assert (report["preliminary"], report["current"]["variants"][B]["x"]) == (preliminary, 400)
    assert (report["decision"], report["winner"], done.result["flags"]) == ("winner", B, 0)


@pytest.mark.parametrize(
    ("buyers", "reason", "changed"),
    [(290, "scheduled", True), (310, "scheduled", True), (360, "scheduled", False), (360, "significance", True)],
    ids=["behind", "not significant", "significant", "not by the always-valid p"],
)
def test_result_that_no_longer_holds_is_marked(
    deliver: Deliver, rows: Rows, buyers: int, reason: str, changed: bool
) -> None:
    over(rows, days_ago=1, reason=reason)
    add_arm(rows, A, 10_000, 300, at=NOON - timedelta(days=5))
    add_arm(rows, B, 10_000, buyers, at=NOON - timedelta(days=5))

    nightly(deliver)

    assert ("result_changed" in state(rows)["needs_attention"]) is changed
    assert (state(rows)["decision"], rows("SELECT winner_variant_id AS w FROM ab_tests")) == ("winner", [{"w": B}])


def test_final_test_is_looked_at_only_when_something_was_corrected(deliver: Deliver, rows: Rows) -> None:
    over(rows, days_ago=20, preliminary=False)
    attributed(rows, 1, 5_000, at=NOON - timedelta(days=22))

    assert nightly(deliver).result["tests"] == 1  # the first night knows of no night before
    assert nightly(deliver, 1).result["tests"] == 0
    rows.execute("UPDATE ab_order_attributions SET updated_at = %s", (NOON,))
    assert nightly(deliver, 2).result["tests"] == 1


def test_keys_of_tests_that_ended_long_ago_are_swept_up(
    deliver: Deliver, rows: Rows, redis: RedisFake, store: Database
) -> None:
    over(rows, days_ago=3)
    store.execute(["HINCRBY", KEY, "impressions", 7])
    store.execute(["HSET", "ab:acme:test_1:allocation", A, "50"])
    store.execute(["SADD", "ab:acme:active_tests", TEST, "another"])
    store.execute(["SET", "ab:acme:test_1:assignment:v1", "the storefront's own"])

    nightly(deliver)

    assert store.keys == {"ab:acme:active_tests": {"another"}, "ab:acme:test_1:assignment:v1": "the storefront's own"}
    assert rows("SELECT impressions FROM ab_counter_batches") == [{"impressions": 7}]
    assert "redisCleared" in state(rows)["final_report"]
    asked = len(redis.asked)
    nightly(deliver, 1)
    assert len(redis.asked) == asked


@pytest.mark.parametrize("kind", ["503", "cut"])
def test_keys_are_swept_up_in_the_next_night_when_redis_is_down(
    deliver: Deliver, rows: Rows, redis: RedisFake, store: Database, kind: str
) -> None:
    over(rows, days_ago=3)
    store.execute(["HINCRBY", KEY, "impressions", 7])
    redis.fail(kind)

    nightly(deliver)
    assert "redisCleared" not in state(rows)["final_report"]
    nightly(deliver, 1)

    assert (store.keys, rows("SELECT sum(impressions) AS n FROM ab_counter_batches")) == ({}, [{"n": 7}])


# -- the run -----------------------------------------------------------------------------------------------------------


def test_short_of_time_the_night_goes_on_in_other_legs(
    deliver: Deliver, bench: Bench, rows: Rows, visitor: Put, order: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.commerce.ab_tests.order_pass.PAGE", 2)
    monkeypatch.setattr("functions.commerce.ab_tests.order_pass.PAGE_ROOM_S", 1e9)
    monkeypatch.setattr("functions.commerce.ab_tests.nightly.ROOM_S", 1e9)
    running(rows)
    add_test(rows, "test_2", status="running", started_at=NOON - timedelta(days=9))
    visitor(at=EVENING - timedelta(hours=3))
    for n in range(5):
        order(f"o{n}", at=EVENING + timedelta(minutes=n))
    stored(rows, date(2026, 11, 18), purchases=1)

    nightly(deliver, expect="continuing")
    *legs, last = bench.drain()

    assert len(legs) == 3
    assert (last.result["ordersAttributed"], last.result["tests"], last.result["corrections"]) == (5, 2, 1)
    assert rows("SELECT position ->> 'at' AS at FROM ab_cursors") == [{"at": "2026-11-20T02:00:00+00:00"}]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"reconciliationDate": "2026-11-20", "slot": "2026-11-20T02:00:00Z"}, "DATE_NOT_OVER"),
        ({"reconciliationDate": "yesterday"}, "INVALID_PAYLOAD"),
    ],
)
def test_message_that_makes_no_sense_is_dead(deliver: Deliver, payload: dict[str, Any], code: str) -> None:
    assert deliver.job(JOB, payload, expect="dead").code == code
