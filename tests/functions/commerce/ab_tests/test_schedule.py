"""Tests that start and end on time, changes that an application made silently, splits that moved."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import functions.commerce.ab_tests.schedule as schedule_module
from shared.events.ab_tests import AbMetricsAggregate, AbScheduleCheck
from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver, Delivered
from tests.builders.ab_tests import TEST, add_state, add_test, insert
from tests.conftest import Rows

TEN = datetime(2026, 11, 20, 10, tzinfo=UTC)
DUE: dict[str, Any] = {"auto_start": True, "scheduled_start_at": TEN}
CRON = "ab-test-scheduler-scheduled"


def tick(deliver: Deliver, minutes: int = 0, **more: Any) -> Delivered:
    """The check of so many minutes after ten."""
    return deliver(AbScheduleCheck(slot=TEN + timedelta(minutes=minutes)), **more)


def one(rows: Rows, table: str = "ab_tests") -> dict[str, Any]:
    (row,) = rows(f"SELECT * FROM {table}")  # noqa: S608
    return row


def names(done: Delivered) -> list[str]:
    return [name for name, _ in done.emitted]


def running(rows: Rows, **columns: Any) -> None:
    """A test that was published as running, with its first epoch at eight."""
    add_test(rows, **{"status": "running", "started_at": TEN - timedelta(hours=2), **columns})
    add_state(rows, last_status=columns.get("status", "running"), status_seq=1)
    shares = {"test_1_a": 50, "test_1_b": 50}
    insert(
        rows,
        "ab_allocation_epochs",
        {"test_id": TEST, "epoch": 1, "started_at": TEN - timedelta(hours=2), "shares": shares, "reason": "started"},
    )


# -- starts ------------------------------------------------------------------------------------------------------------


def test_test_starts_at_its_time_and_once(deliver: Deliver, rows: Rows) -> None:
    add_test(rows, **DUE)
    add_state(rows, last_status="draft")

    assert tick(deliver, -5).result["started"] == 0
    started = tick(deliver)

    assert started.result == {
        "created": 0,
        "started": 1,
        "ended": 0,
        "autoEnded": 0,
        "announced": 0,
        "notStarted": 0,
        "epochs": 1,
    }
    assert started.emitted == [("ab.testStarted", {"testId": TEST, "at": "2026-11-20T10:00:00Z", "resumed": False})]
    assert (one(rows)["status"], one(rows)["started_at"]) == ("running", TEN)
    epoch = one(rows, "ab_allocation_epochs")
    assert (epoch["epoch"], epoch["started_at"], epoch["reason"]) == (1, TEN, "started")
    assert epoch["shares"] == {"test_1_a": 50, "test_1_b": 50}
    assert tick(deliver, 5).emitted == []
    tick(deliver, 0, expect="duplicate")
    assert len(rows("SELECT 1 FROM ab_allocation_epochs")) == 1


def test_draft_without_auto_start_stays_a_draft(deliver: Deliver, rows: Rows) -> None:
    add_test(rows, start_date=TEN - timedelta(days=1), auto_start=False, created_at=TEN - timedelta(days=3))

    assert tick(deliver).emitted == []
    assert (one(rows)["status"], one(rows, "ab_test_state")["last_status"]) == ("draft", "draft")


def test_shares_that_do_not_add_up_stop_the_start_and_raise_one_alert_a_day(deliver: Deliver, rows: Rows) -> None:
    add_test(rows, shares=(50, 40), **DUE)
    add_state(rows, last_status="draft", needs_attention=["drift"])

    emitted: list[Any] = []
    for minutes in range(0, 24 * 60, 120):  # the slots of that day, and the first of the next one
        emitted += tick(deliver, minutes).emitted

    assert [(name, payload["dedupeKey"]) for name, payload in emitted] == [
        ("alert.unusualActivity", f"ab-start:{TEST}:2026-11-20"),
        ("alert.unusualActivity", f"ab-start:{TEST}:2026-11-21"),
    ]
    assert emitted[0][1]["context"] == {"testId": TEST, "reason": "shares_sum_90"}
    state = one(rows, "ab_test_state")
    assert (one(rows)["status"], state["needs_attention"]) == ("draft", ["drift", "invalid_configuration"])
    assert state["results"]["startProblem"] == "shares_sum_90"


def test_test_that_was_mended_starts_and_loses_its_mark(deliver: Deliver, rows: Rows) -> None:
    add_test(rows, shares=(50, 40), **DUE)
    tick(deliver)
    rows.execute("UPDATE ab_variants SET traffic_allocation = 50, weight = 50")

    assert tick(deliver, 5).result["started"] == 1
    state = one(rows, "ab_test_state")
    assert (state["needs_attention"], state["results"]) == ([], {})


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"base_url": None}, "no_base_url"),
        ({"scheduled_end_at": TEN}, "end_passed"),
        ({"controls": 2}, "controls_2"),
        ({"shares": (100,)}, "variants_1"),
        ({"shares": (150, -50)}, None),
        ({"test_type": "shipping"}, "shipping_suffixes"),
        ({"type": "shipping", "shares": (20, 20, 20, 20, 20)}, "shipping_variants_5"),
    ],
)
def test_configuration_that_is_not_valid(
    deliver: Deliver, rows: Rows, columns: dict[str, Any], reason: str | None
) -> None:
    if reason is None:
        add_test(rows, **DUE)
        rows.execute("UPDATE ab_variants SET traffic_allocation = CASE WHEN is_control THEN 150 ELSE -50 END")
        reason = "share_out_of_range"
    else:
        add_test(rows, **DUE, **columns)

    assert tick(deliver).result["notStarted"] == 1
    assert one(rows, "ab_test_state")["results"]["startProblem"] == reason


def test_all_pages_of_due_tests_start(deliver: Deliver, rows: Rows, other_tenant: Tenant, bench: Bench) -> None:
    for n in range(120):
        add_test(rows, f"t{n:03}", **DUE)
    add_test(rows, "theirs", tenant=other_tenant, **DUE)

    done = tick(deliver)

    assert (done.result["started"], done.result["epochs"]) == (120, 120)
    assert names(done).count("ab.testStarted") == 120
    assert rows("SELECT status FROM ab_tests", tenant=other_tenant) == [{"status": "draft"}]


def test_slot_that_is_no_instant_is_refused(deliver: Deliver) -> None:
    assert deliver.job("ab-test-scheduler", {"slot": "now"}, expect="dead").code == "INVALID_PAYLOAD"


# -- ends --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["running", "paused"])
def test_scheduled_end_is_the_end_whatever_auto_end_says(deliver: Deliver, rows: Rows, status: str) -> None:
    running(rows, status=status, auto_end=False, scheduled_end_at=TEN + timedelta(minutes=2))

    assert tick(deliver).emitted == []
    ended = tick(deliver, 5)

    assert (ended.result["ended"], one(rows)["status"]) == (1, "completed")
    assert one(rows)["ended_at"] == TEN + timedelta(minutes=2)
    assert ended.emitted == [
        (
            "ab.testEnded",
            {"testId": TEST, "reason": "scheduled", "at": "2026-11-20T10:02:00Z"},
        )
    ]
    assert one(rows, "ab_test_state")["ended_reason"] == "scheduled"
    assert tick(deliver, 10).emitted == []


@pytest.mark.parametrize(
    ("decision", "age_h", "status"),
    [
        ("winner", 1, "completed"),
        ("control_wins", 2, "completed"),
        ("leading", 0, "running"),
        ("winner", 3, "running"),
    ],
)
def test_test_with_auto_end_ends_by_a_fresh_result(
    deliver: Deliver, rows: Rows, decision: str, age_h: int, status: str
) -> None:
    running(rows, auto_end=True, winner_variant_id="test_1_b")
    rows.execute("UPDATE ab_test_state SET decision = %s, evaluated_at = %s", (decision, TEN - timedelta(hours=age_h)))

    done = tick(deliver)

    assert one(rows)["status"] == status
    if status == "completed":
        assert done.emitted[0][1]["winningVariant"] == "test_1_b"
        assert (done.emitted[0][1]["reason"], one(rows)["ended_at"]) == ("significance", TEN)


# -- what an application changed ---------------------------------------------------------------------------------------


def test_start_is_announced_although_an_aggregation_saw_the_test_first(deliver: Deliver, rows: Rows) -> None:
    add_test(rows, status="running", started_at=TEN - timedelta(minutes=3))
    deliver(AbMetricsAggregate(slot=TEN))
    assert one(rows, "ab_test_state")["last_status"] is None

    assert names(tick(deliver)) == ["ab.testStarted"]
    assert one(rows, "ab_test_state")["last_status"] == "running"


def test_app_starts_a_test_silently(deliver: Deliver, rows: Rows) -> None:
    add_test(rows)
    add_state(rows, last_status="draft")
    rows.execute("UPDATE ab_tests SET status = 'running'")

    first, second = tick(deliver), tick(deliver, 5)

    assert (names(first), first.result["announced"], second.emitted) == (["ab.testStarted"], 1, [])
    assert one(rows, "ab_test_state")["status_seq"] == 1


@pytest.mark.parametrize(
    ("before", "status", "name", "facts"),
    [
        ("paused", "running", "ab.testStarted", {"resumed": True}),
        ("running", "paused", "ab.testPaused", {"reason": "manual"}),
        ("running", "completed", "ab.testEnded", {"reason": "manual", "winningVariant": "test_1_a"}),
    ],
)
def test_app_changes_a_status_silently(
    deliver: Deliver, rows: Rows, before: str, status: str, name: str, facts: dict[str, Any]
) -> None:
    add_test(rows, status=status, winning_variant_id="test_1_a")
    add_state(rows, last_status=before, status_seq=4)

    done = tick(deliver)

    assert names(done) == [name]
    assert facts.items() <= done.emitted[0][1].items()
    assert (one(rows, "ab_test_state")["status_seq"], tick(deliver, 5).emitted) == (5, [])


@pytest.mark.parametrize(
    ("columns", "events"),
    [
        ({"created_at": TEN - timedelta(hours=23)}, ["ab.testCreated"]),
        ({"created_at": TEN - timedelta(hours=25)}, []),
        ({"created_at": None}, []),
        ({"status": "running"}, ["ab.testStarted"]),
        ({"status": "completed"}, []),
    ],
)
def test_test_that_is_new_to_us(deliver: Deliver, rows: Rows, columns: dict[str, Any], events: list[str]) -> None:
    add_test(rows, **columns)

    assert names(tick(deliver)) == events
    assert one(rows, "ab_test_state")["last_status"] == columns.get("status", "draft")


def test_changed_shares_open_the_next_epoch(deliver: Deliver, rows: Rows) -> None:
    running(rows)
    rows.execute("UPDATE ab_variants SET traffic_allocation = CASE WHEN is_control THEN 80 ELSE 20 END")

    assert tick(deliver).result["epochs"] == 1
    first, second = rows("SELECT * FROM ab_allocation_epochs ORDER BY epoch")
    assert (first["ended_at"], second["started_at"], second["ended_at"]) == (TEN, TEN, None)
    assert (second["epoch"], second["reason"], second["shares"]) == (2, "manual", {"test_1_a": 80, "test_1_b": 20})
    assert tick(deliver, 5).result["epochs"] == 0


def test_traffic_override_is_an_epoch_of_its_own(deliver: Deliver, rows: Rows) -> None:
    running(rows, traffic_override_variant_id="test_1_b")

    tick(deliver)

    (_, second) = rows("SELECT * FROM ab_allocation_epochs ORDER BY epoch")
    assert (second["reason"], second["shares"]) == ("override", {"test_1_b": 100})


def test_test_that_an_app_opens_again_gets_an_epoch_from_now_on(deliver: Deliver, rows: Rows) -> None:
    running(rows)
    rows.execute("UPDATE ab_allocation_epochs SET ended_at = %s", (TEN - timedelta(hours=1),))

    tick(deliver)

    first, second = rows("SELECT * FROM ab_allocation_epochs ORDER BY epoch")
    assert (first["ended_at"], second["started_at"]) == (TEN - timedelta(hours=1), TEN)


# -- others at work ----------------------------------------------------------------------------------------------------


def test_visitor_who_is_just_recorded_does_not_put_off_an_end(
    deliver: Deliver, rows: Rows, storefront: Callable[[], None]
) -> None:
    """His foreign key holds a key share of the test's row until the storefront commits."""
    running(rows, scheduled_end_at=TEN)
    storefront()

    assert tick(deliver).result["ended"] == 1


def test_storefront_does_not_wait_for_the_scheduler(
    deliver: Deliver, rows: Rows, bench: Bench, storefront: Callable[[], None]
) -> None:
    running(rows, scheduled_end_at=TEN)
    bench.faults.on("before-checkpoint", storefront)

    assert tick(deliver).result["ended"] == 1


def test_mark_that_another_run_sets_meanwhile_stays(
    deliver: Deliver, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_test(rows, shares=(50, 40), **DUE)
    add_state(rows, last_status="draft")
    judged = schedule_module.judge

    def meanwhile(test: Any, variants: Any, slot: datetime) -> Any:
        rows.execute("UPDATE ab_test_state SET needs_attention = '{redis_unavailable}'")
        return judged(test, variants, slot)

    monkeypatch.setattr(schedule_module, "judge", meanwhile)

    tick(deliver)

    assert one(rows, "ab_test_state")["needs_attention"] == ["invalid_configuration", "redis_unavailable"]


# -- the clock ---------------------------------------------------------------------------------------------------------


def test_every_five_minutes_asks_tenants_with_something_to_look_at(bench: Bench, rows: Rows, deliver: Deliver) -> None:
    soon = datetime(2026, 11, 20, 12, 5, tzinfo=UTC)
    assert bench.tick(CRON, soon).published == []
    add_test(rows)
    ((name, payload),) = bench.tick(CRON, soon + timedelta(minutes=5)).published
    assert (name, payload["tenantId"], payload["slot"]) == ("ab.scheduleCheck", "acme", "2026-11-20T12:10:00Z")
