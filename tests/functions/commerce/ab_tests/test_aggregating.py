"""The hourly look at all live tests: counters, daily numbers, verdicts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.events.ab_tests import AbMetricsAggregate
from shared.fakes.redis import Database, RedisFake
from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver, Delivered
from tests.builders.ab_tests import TEST, add_arm, add_epoch, add_state, add_test, insert
from tests.conftest import Rows
from tests.functions.commerce.ab_tests.conftest import NOON, Put

JOB, QUEUE = "ab-hourly-metrics-aggregation", "ab-testing-bulk"
A, B = "test_1_a", "test_1_b"
HALVES = {A: 50, B: 50}
TEN = NOON - timedelta(hours=2)


def hourly(deliver: Deliver, minutes: float = 0, **more: Any) -> Delivered:
    """The run of so many minutes after noon, for the hour before; the day is that of TEN."""
    names: dict[str, Any] = {"slot": NOON + timedelta(minutes=minutes), "test_id": TEST, **more}
    return deliver(AbMetricsAggregate(**names))


def running(rows: Rows, *, days: float = 8, **more: Any) -> None:
    """A test with an even split that began `days` ago."""
    add_test(rows, status="running", started_at=NOON - timedelta(days=days), **more)
    add_epoch(rows, 1, NOON - timedelta(days=days), HALVES)


def daily(rows: Rows) -> list[tuple[Any, ...]]:
    found = rows("SELECT * FROM ab_daily_metrics ORDER BY date, variant_id")
    names = ("date", "variant_id", "visitors", "unique_visitors", "purchases", "revenue_cents")
    return [(str(row["date"]), *(row[name] for name in names[1:])) for row in found]


def state(rows: Rows) -> dict[str, Any]:
    (row,) = rows("SELECT * FROM ab_test_state")
    return row


def zone(rows: Rows, name: str) -> None:
    rows.execute("""UPDATE organizations SET settings = jsonb_build_object('timezone', %s::text)""", (name,))


def test_visitors_and_orders_of_an_hour(deliver: Deliver, rows: Rows) -> None:
    running(rows)
    add_arm(rows, A, 40, 3, at=TEN + timedelta(minutes=10))
    add_arm(rows, B, 38, 0, at=TEN + timedelta(minutes=20))

    done = hourly(deliver, hour=TEN)

    assert done.result == {
        "tests": 1,
        "rows": 2,
        "rowsChanged": 2,
        "batches": 0,
        "evaluated": 1,
        "winners": 0,
        "redis": "not_configured",
    }
    assert daily(rows) == [("2026-11-20", A, 40, 40, 3, 15_000), ("2026-11-20", B, 38, 38, 0, 0)]
    assert state(rows)["needs_attention"] == []
    before = rows("SELECT updated_at FROM ab_daily_metrics")

    again = hourly(deliver, 1)

    assert (again.result["rows"], again.result["rowsChanged"]) == (2, 0)
    assert rows("SELECT updated_at FROM ab_daily_metrics") == before


def test_each_visitor_counts_on_one_day_and_is_seen_on_all(deliver: Deliver, rows: Rows, visitor: Put) -> None:
    running(rows)
    monday = NOON - timedelta(days=4)
    visitor("v1", at=monday)
    for at in (monday, monday + timedelta(days=1)):
        event = {"test_id": TEST, "variant_id": B, "visitor_id": "v1", "event_type": "page_view", "created_at": at}
        insert(rows, "ab_events", event)
    for n in range(58):
        visitor(f"w{n}", at=NOON - timedelta(hours=3 * n + 1))

    hourly(deliver, period="full")

    by_day = {day: (visitors, unique) for day, _, visitors, unique, _, _ in daily(rows)}
    others = sum((NOON - timedelta(hours=3 * n + 1)).date() == monday.date() for n in range(58))
    assert by_day["2026-11-16"] == (1 + others, 1 + others)
    assert by_day["2026-11-17"][1] == by_day["2026-11-17"][0] + 1
    assert sum(visitors for visitors, _ in by_day.values()) == 59


def test_days_are_those_of_the_tenants_zone(deliver: Deliver, rows: Rows) -> None:
    zone(rows, "America/New_York")
    running(rows, days=30)
    for n, at in enumerate(("2026-11-21T03:30Z", "2026-11-01T05:30Z", "2026-11-01T06:30Z")):
        order = {"test_id": TEST, "order_id": f"o{n}", "variant_id": B, "method": "visitor", "ordered_at": at}
        insert(rows, "ab_order_attributions", {**order, "currency": "USD", "gross_cents": 100, "net_cents": 100})

    hourly(deliver, 24 * 60, period="full")

    assert daily(rows) == [("2026-11-01", B, 0, 0, 2, 200), ("2026-11-20", B, 0, 0, 1, 100)]


def test_warning_of_the_split_check_is_only_shown(deliver: Deliver, rows: Rows) -> None:
    running(rows)
    add_arm(rows, A, 5_102, 30, at=TEN)
    add_arm(rows, B, 4_898, 30, at=TEN)

    assert hourly(deliver).emitted == []
    assert (state(rows)["srm_status"], state(rows)["needs_attention"]) == ("warning", [])


def test_critical_split_is_told_when_it_stays(deliver: Deliver, rows: Rows) -> None:
    running(rows)
    add_arm(rows, A, 5_200, 30, at=TEN)
    add_arm(rows, B, 4_800, 30, at=TEN)

    assert hourly(deliver).emitted == []
    assert hourly(deliver, 20).emitted == []
    told = hourly(deliver, 60).emitted

    assert [(name, detail["dedupeKey"]) for name, detail in told] == [
        ("alert.unusualActivity", "ab-srm:test_1:2026-11-20")
    ]
    assert (state(rows)["decision"], state(rows)["needs_attention"]) == ("invalid", ["srm"])
    assert rows("SELECT is_significant FROM ab_tests") == [{"is_significant": False}]
    assert hourly(deliver, 120).emitted == []


@pytest.mark.parametrize(("days", "decision", "announced"), [(8, "winner", 1), (3, "leading", 0)])
def test_winner_needs_a_week(deliver: Deliver, rows: Rows, days: int, decision: str, announced: int) -> None:
    running(rows, days=days, auto_end=True)
    # The worked example's tau: as the first look with enough visitors left it.
    add_state(rows, last_status="running", tau={"conversion_rate": 0.003})
    add_arm(rows, A, 15_000, 450, at=TEN)
    add_arm(rows, B, 15_000, 585, at=TEN)

    done = hourly(deliver)

    assert (state(rows)["decision"], done.result["winners"]) == (decision, announced)
    winners = [detail for name, detail in done.emitted if name == "ab.winnerDetected"]
    assert [(w["variantId"], round(w["lift"], 6), w["auto"]) for w in winners] == [(B, 30.0, True)] * announced
    (columns,) = rows("SELECT winner_variant_id, winning_variant_id FROM ab_tests")
    assert set(columns.values()) == ({B} if announced else {None})


def test_counters_come_in_first(deliver: Deliver, rows: Rows, store: Database) -> None:
    running(rows, settings={"tracking": "counters"})
    store.execute(["HINCRBY", "ab:acme:test_1:test_1_b:counters", "impressions", 120])

    done = hourly(deliver)

    assert (done.result["redis"], done.result["batches"]) == ("ok", 1)
    assert rows("SELECT page_views FROM ab_daily_metrics") == [{"page_views": 120}]
    assert store.keys == {}


@pytest.mark.parametrize("kind", ["503", "401", "429", "cut"])
def test_redis_that_is_down_costs_only_the_counters(
    deliver: Deliver, rows: Rows, redis: RedisFake, store: Database, kind: str
) -> None:
    running(rows)
    add_arm(rows, A, 40, 3, at=TEN)
    store.execute(["HINCRBY", "ab:acme:test_1:test_1_b:counters", "impressions", 120])
    redis.fail(kind, count=9)

    down = hourly(deliver)

    assert (down.result["redis"], down.result["evaluated"]) == ("unavailable", 1)
    assert daily(rows) == [("2026-11-20", A, 40, 40, 3, 15_000)]
    assert state(rows)["needs_attention"] == ["redis_unavailable"]
    redis.faults.clear()
    up = hourly(deliver, 60)
    assert (up.result["redis"], up.result["batches"], state(rows)["needs_attention"]) == ("ok", 1, [])


@pytest.mark.parametrize(("tracking", "marks"), [("events", []), ("counters", ["redis_unavailable"])])
def test_tenant_without_redis(deliver: Deliver, rows: Rows, tracking: str, marks: list[str]) -> None:
    running(rows, settings={"tracking": tracking})
    event = {"test_id": TEST, "variant_id": B, "visitor_id": "v1", "event_type": "page_view", "created_at": TEN}
    insert(rows, "ab_events", event)

    assert hourly(deliver).result["redis"] == "not_configured"
    assert state(rows)["needs_attention"] == marks
    assert rows("SELECT page_views FROM ab_daily_metrics") == [{"page_views": 1}]


# -- which tests -------------------------------------------------------------------------------------------------------


def test_all_live_tests_are_looked_at(deliver: Deliver, rows: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.commerce.ab_tests.aggregating.PAGE", 2)
    columns: list[dict[str, Any]] = [
        {"status": "running"},
        {"status": "paused"},
        {"status": "completed", "ended_at": NOON - timedelta(hours=47)},
        {"status": "running"},
        {"status": "completed", "ended_at": NOON - timedelta(hours=49)},
        {"status": "draft"},
    ]
    for n, values in enumerate(columns):
        add_test(rows, f"test_{n}", started_at=NOON - timedelta(days=3), **values)

    done = hourly(deliver, test_id=None)

    assert (done.result["tests"], done.result["evaluated"]) == (4, 4)


def test_short_of_time_the_rest_comes_in_another_leg(
    deliver: Deliver, bench: Bench, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.commerce.ab_tests.aggregating.ROOM_S", 1e9)
    for n in range(3):
        add_test(rows, f"test_{n}", status="running", started_at=NOON - timedelta(days=3))
        add_arm(rows, f"test_{n}_a", 10, 1, at=TEN, test=f"test_{n}")

    assert deliver(AbMetricsAggregate(hour=TEN, slot=NOON), expect="continuing").state == "continuing"
    *_, last = bench.drain()

    assert (last.result["tests"], last.result["evaluated"], last.result["rowsChanged"]) == (3, 3, 3)


def test_draft_has_nothing_to_look_at(deliver: Deliver, rows: Rows) -> None:
    add_test(rows)

    assert hourly(deliver).result["tests"] == 0
    assert rows("SELECT 1 FROM ab_test_state") == []


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"hour": "2026-11-20T10:15:00Z"}, "INVALID_HOUR"),
        ({"hour": "2026-11-20T13:00:00Z"}, "INVALID_HOUR"),
        ({"period": "weekly"}, "INVALID_PAYLOAD"),
        ({"testId": "theirs"}, "TEST_NOT_FOUND"),
    ],
)
def test_message_that_makes_no_sense_is_dead(
    deliver: Deliver, rows: Rows, other_tenant: Tenant, payload: dict[str, Any], code: str
) -> None:
    add_test(rows, "theirs", status="running", started_at=TEN, tenant=other_tenant)

    assert deliver.job(JOB, payload, expect="dead").code == code
    assert rows("SELECT 1 FROM ab_test_state", tenant=other_tenant) == []


# -- order of things ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", range(1, 7))
def test_test_that_ends_while_its_numbers_are_counted_keeps_its_end(
    deliver: Deliver, bench: Bench, rows: Rows, store: Database, moment: int
) -> None:
    """Between any two transactions of the run the test ends, decided by somebody else."""
    running(rows)
    add_state(rows, last_status="running", tau={"conversion_rate": 0.003})
    add_arm(rows, A, 15_000, 450, at=TEN)
    add_arm(rows, B, 15_000, 585, at=TEN)
    store.execute(["HINCRBY", "ab:acme:test_1:test_1_b:counters", "impressions", 120])
    ended_at = NOON - timedelta(minutes=1)

    def ends() -> None:
        rows.execute(
            "UPDATE ab_tests SET status = 'completed', ended_at = %s, winner_variant_id = %s, winning_variant_id = %s",
            (ended_at, A, A),
        )
        rows.execute("""UPDATE ab_test_state SET decision = 'inconclusive', final_report = '{"by": "hand"}'""")

    bench.faults.on("in-session", ends, nth=moment)

    done = hourly(deliver)

    (test,) = rows("SELECT status, ended_at, winner_variant_id FROM ab_tests")
    assert (test["status"], test["ended_at"], test["winner_variant_id"]) == ("completed", ended_at, A)
    assert (state(rows)["decision"], state(rows)["final_report"]) == ("inconclusive", {"by": "hand"})
    assert state(rows)["results"]["variants"][B]["x"] == 585
    assert ([name for name, _ in done.emitted], rows("SELECT sum(visitors) AS n FROM ab_daily_metrics")) == (
        [],
        [{"n": 30_000}],
    )
    assert rows("SELECT sum(impressions) AS n FROM ab_counter_batches") == [{"n": 120}]


def test_process_dies_at_every_point_and_the_numbers_are_the_same(bench: Bench, rows: Rows, store: Database) -> None:
    running(rows)
    add_arm(rows, A, 40, 3, at=TEN)
    add_arm(rows, B, 38, 0, at=TEN)

    def run(minutes: int, crash: tuple[str, int] | None) -> list[str]:
        rows.execute("TRUNCATE ab_counter_batches, ab_daily_metrics, ab_test_state")
        store.execute(["HINCRBY", "ab:acme:test_1:test_1_b:counters", "impressions", 120])
        bench.faults.clear()
        if crash:
            bench.faults.crash(crash[0], nth=crash[1])
        slot = NOON + timedelta(minutes=minutes)
        bench.publish(AbMetricsAggregate(slot=slot, test_id=TEST), "acme")
        bench.pump(QUEUE)
        reached = list(bench.faults.reached)
        bench.drain()
        return reached

    reference = run(0, None)
    expected = daily(rows)
    for minutes, point in enumerate(reference, 1):
        run(minutes, (point, reference[:minutes].count(point)))
        assert daily(rows) == expected, point
        assert rows("SELECT count(*), sum(impressions) AS n FROM ab_counter_batches") == [{"count": 1, "n": 120}], point
        assert (state(rows)["evaluated_at"], store.keys) == (NOON + timedelta(minutes=minutes), {}), point
