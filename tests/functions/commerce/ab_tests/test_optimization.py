"""Guardrails act once, and bandits are started when their weights are due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.jobs.testing import Deliver
from shared.jobs.testing.bench import Delivered
from tests.builders.ab_tests import TEST, add_arm, add_epoch, add_state, add_test, insert
from tests.conftest import Rows

NOON = datetime.fromisoformat("2026-11-20T12:00:00+00:00")
A, B, C = "test_1_a", "test_1_b", "test_1_c"
Optimize = Callable[..., Delivered]


@pytest.fixture
def optimize(deliver: Deliver) -> Optimize:
    """The look at noon, or `minutes` after it."""

    def looked(*, minutes: int = 0, expect: str = "succeeded", **more: Any) -> Delivered:
        slot = (NOON + timedelta(minutes=minutes)).isoformat()
        return deliver.job("ab-optimization", {"slot": slot, **more}, expect=expect)

    return looked


def running(rows: Rows, id: str = TEST, **columns: Any) -> datetime:
    at = NOON - timedelta(days=8)
    add_test(rows, id, **{"status": "running", "started_at": at, **columns})
    return at


def carts(rows: Rows, at: datetime, *, control: tuple[int, int], challenger: tuple[int, int]) -> None:
    """Visitors of both arms, and how many of them put something into the cart."""
    for variant, (n, x) in ((A, control), (B, challenger)):
        add_arm(rows, variant, n, 0, at=at)
        rows.execute(
            "INSERT INTO ab_events (test_id, variant_id, visitor_id, event_type, created_at)"
            " SELECT 'test_1', %(v)s, %(v)s || '-' || i, 'add_to_cart', %(at)s FROM generate_series(1, %(x)s) i",
            {"v": variant, "x": x, "at": at + timedelta(minutes=5)},
        )


def guard(rows: Rows, id: str = "g1", metric: str = "add_to_cart_rate", threshold: float = 15, **columns: Any) -> None:
    values = {"id": id, "test_id": TEST, "name": f"Guard {id}", "metric": metric, "threshold": threshold, **columns}
    insert(rows, "ab_guardrails", values)


def guards(rows: Rows) -> list[tuple[Any, ...]]:
    found = rows("SELECT id, is_triggered, current_value FROM ab_guardrails ORDER BY id")
    values = [None if row["current_value"] is None else float(row["current_value"]) for row in found]
    return [(row["id"], row["is_triggered"], value) for row, value in zip(found, values, strict=True)]


def row_of(rows: Rows) -> dict[str, Any]:
    (row,) = rows("SELECT t.*, s.* FROM ab_tests t JOIN ab_test_state s ON s.test_id = t.id WHERE t.id = %s", (TEST,))
    return row


def names(done: Delivered) -> list[str]:
    return [name for name, _ in done.emitted]


def test_violation_pauses_and_is_told_once(optimize: Optimize, rows: Rows) -> None:
    """1,000 of 10,000 against 1,200: minus 16.67 percent, one-sided p 3.1e-6."""
    at = running(rows)
    carts(rows, at, control=(10_000, 1_200), challenger=(10_000, 1_000))
    guard(rows)

    first, second = optimize(), optimize(minutes=15)

    assert guards(rows) == [("g1", True, -16.6667)]
    assert first.result["violations"] == first.result["paused"] == first.result["guardrailsJudged"] == 1
    assert names(first) == ["ab.testPaused", "alert.unusualActivity"]
    paused, alert = (event for _, event in first.emitted)
    assert (paused["reason"], paused["guardrailId"], paused["changePercent"]) == ("guardrail", "g1", -16.6667)
    assert (alert["severity"], alert["dedupeKey"]) == ("warning", "ab-guardrail:g1:0")
    assert alert["context"] == {
        "testId": TEST,
        "metric": "add_to_cart_rate",
        "changePercent": -16.6667,
        "action": "pause",
    }
    row = row_of(rows)
    assert (row["status"], row["last_status"], row["paused_reason"]) == ("paused", "paused", "guardrail")
    assert row["needs_attention"] == ["guardrail"]
    assert (second.emitted, second.result["tests"]) == ([], 0)


def test_triggered_guardrail_of_a_resumed_test_does_not_act_again(optimize: Optimize, rows: Rows) -> None:
    at = running(rows)
    carts(rows, at, control=(10_000, 1_200), challenger=(10_000, 1_000))
    guard(rows)
    optimize()
    rows.execute("UPDATE ab_tests SET status = 'running'")

    again = optimize(minutes=15)

    assert (again.result["violations"], again.emitted, row_of(rows)["status"]) == (0, [], "running")


def test_same_change_of_few_visitors_is_only_shown(optimize: Optimize, rows: Rows) -> None:
    """20 of 200 against 24: one-sided p 0.26."""
    at = running(rows)
    carts(rows, at, control=(200, 24), challenger=(200, 20))
    guard(rows)

    done = optimize()

    assert guards(rows) == [("g1", False, -16.6667)]
    assert (done.emitted, row_of(rows)["status"]) == ([], "running")


def test_too_few_visitors_are_not_judged(optimize: Optimize, rows: Rows) -> None:
    at = running(rows)
    carts(rows, at, control=(99, 50), challenger=(500, 0))
    guard(rows)

    assert optimize().result["guardrailsJudged"] == 0
    assert guards(rows) == [("g1", False, None)]


def test_stop_comes_before_pause_and_warn_only_tells(optimize: Optimize, rows: Rows) -> None:
    at = running(
        rows,
        settings={"guardrailActions": {"g1": "stop", "Guard g2": "warn"}},
        winner_variant_id=B,
        winning_variant_id=B,
    )
    carts(rows, at, control=(10_000, 1_200), challenger=(10_000, 1_000))
    guard(rows, "g1")
    guard(rows, "g2", threshold=-10)
    guard(rows, "g3", threshold=12)

    done = optimize()

    row = row_of(rows)
    assert (row["status"], row["ended_at"], row["ended_reason"]) == ("completed", NOON, "guardrail")
    assert (row["winner_variant_id"], row["winning_variant_id"]) == (None, None)
    assert (done.result["violations"], done.result["stopped"], done.result["paused"]) == (3, 1, 0)
    (ended,) = [event for name, event in done.emitted if name == "ab.testEnded"]
    assert (ended["reason"], ended["at"], "winningVariant" in ended) == ("guardrail", "2026-11-20T12:00:00Z", False)
    alerts = {event["context"]["action"]: event["severity"] for name, event in done.emitted if name.startswith("alert")}
    assert alerts == {"stop": "critical", "warn": "warning", "pause": "warning"}


def test_warning_leaves_the_test_running(optimize: Optimize, rows: Rows) -> None:
    at = running(rows, settings={"guardrailActions": {"g1": "warn"}})
    carts(rows, at, control=(10_000, 1_200), challenger=(10_000, 1_000))
    guard(rows)

    done = optimize()

    assert names(done) == ["alert.unusualActivity"]
    assert (row_of(rows)["status"], guards(rows)) == ("running", [("g1", True, -16.6667)])


@pytest.mark.parametrize("threshold", [10, -10])
@pytest.mark.parametrize(("carts_of_b", "violated"), [(1_050, True), (1_090, False)])
def test_sign_of_a_threshold_means_nothing(
    optimize: Optimize, rows: Rows, threshold: float, carts_of_b: int, violated: bool
) -> None:
    """The limit is minus ten percent: 1,050 is minus 12.5, 1,090 is minus 9.2."""
    at = running(rows)
    carts(rows, at, control=(10_000, 1_200), challenger=(10_000, carts_of_b))
    guard(rows, threshold=threshold)

    optimize()

    assert guards(rows)[0][1] is violated


@pytest.mark.parametrize(
    ("metric", "direction", "change"),
    [
        ("conversion_rate", "below", -40.0),  # 60 of 1,000 against 100
        ("revenue_per_visitor", "below", -40.0),
        ("average_order_value", "below", 0.0),
        ("cart_abandonment", "above", 16.6667),  # 280 of 300 carts against 240 of 300
        ("bounce_rate", "above", 100.0),  # 40 of 80 against 20 of 80
        ("refund_rate", "above", 66.6667),  # 10 of 60 orders against 10 of 100
        ("page_load_time", "above", 50.0),  # 3 seconds against 2
        ("checkout_rate", "below", None),
        ("nonsense", "below", None),
    ],
)
def test_every_metric(optimize: Optimize, rows: Rows, metric: str, direction: str, change: float | None) -> None:
    at = running(rows)
    for variant, buyers, bounced in ((A, 100, 20), (B, 60, 40)):
        add_arm(rows, variant, 1_000, buyers, at=at)
        first_carts = buyers - (60 if variant == A else 20) + 1
        for kind, start, end in (
            ("add_to_cart", first_carts, first_carts + 299),
            ("page_view", 901, 980),
            ("click", 901 + bounced, 980),
        ):
            rows.execute(
                "INSERT INTO ab_events (test_id, variant_id, visitor_id, event_type, created_at)"
                " SELECT 'test_1', %(v)s, %(v)s || '-' || i, %(kind)s, %(at)s"
                " FROM generate_series(%(a)s::integer, %(b)s::integer) i",
                {"v": variant, "kind": kind, "at": at + timedelta(minutes=5), "a": start, "b": end},
            )
        for n, value in enumerate(("2", "2", "soon") if variant == A else ("3.5", "2.5")):
            event = {"test_id": TEST, "variant_id": variant, "visitor_id": f"{variant}-{n + 1}", "created_at": at}
            data = {"metric": "page_load_time", "value": value}
            insert(rows, "ab_events", {**event, "event_type": "custom", "event_data": data})
    rows.execute("UPDATE ab_order_attributions SET refunded_cents = 100 WHERE order_id ~ '-([1-9]|10)$'")
    guard(rows, metric=metric, direction=direction, threshold=500)

    optimize()

    assert guards(rows) == [("g1", False, change)]


def test_only_bandits_that_are_due_are_started(optimize: Optimize, rows: Rows) -> None:
    tests: dict[str, dict[str, Any]] = {
        "due": {"mode": "epsilon_greedy"},
        "recent": {"mode": "mab"},
        "overridden": {"mode": "thompson", "traffic_override_variant_id": "overridden_a"},
        "fixed": {},
        "invalid": {"settings": {"optimization": "mab"}},
    }
    for id, columns in tests.items():
        running(rows, id, **columns)
    add_state(rows, "recent", last_reallocated_at=NOON - timedelta(minutes=20))
    add_state(rows, "invalid", decision="invalid")

    done = optimize()

    assert [(name, event["testId"], event["algorithm"], event["slot"]) for name, event in done.emitted] == [
        ("ab.optimizeTest", "due", "epsilon_greedy", "2026-11-20T12:00:00Z")
    ]
    assert (done.result["tests"], done.result["optimizations"], done.result["skipped"]) == (5, 1, 3)


def test_algorithm_of_the_payload_holds_for_bandits_only(optimize: Optimize, rows: Rows) -> None:
    running(rows, "bandit", mode="mab")
    running(rows, "fixed")

    done = optimize(algorithm="epsilon_greedy", epsilon=0.2)

    assert [(event["testId"], event["algorithm"], event["epsilon"]) for _, event in done.emitted] == [
        ("bandit", "epsilon_greedy", 0.2)
    ]
    assert done.result["skipped"] == 1


def test_tests_beyond_a_page(optimize: Optimize, rows: Rows) -> None:
    for n in range(53):
        running(rows, f"bandit_{n:02}", mode="mab")

    done = optimize()

    assert (done.result["tests"], done.result["optimizations"], len(done.emitted)) == (53, 53, 53)


def test_one_test_is_asked_for(optimize: Optimize, rows: Rows) -> None:
    running(rows, "one", mode="mab")
    running(rows, "two", mode="mab")
    running(rows, "still", status="paused")

    assert [event["testId"] for _, event in optimize(testId="one").emitted] == ["one"]
    assert optimize(testId="still").result["skipped"] == 1
    assert optimize(testId="none", expect="dead").code == "TEST_NOT_FOUND"


@pytest.mark.parametrize("wrong", [{"epsilon": 0.9}, {"algorithm": "ucb"}])
def test_payload_that_is_refused(optimize: Optimize, wrong: dict[str, Any]) -> None:
    assert optimize(expect="dead", **wrong).code == "INVALID_PAYLOAD"


def test_visitors_of_an_override_are_not_judged(optimize: Optimize, rows: Rows) -> None:
    at = running(rows)
    add_epoch(rows, 1, at, {A: 100}, reason="override")
    carts(rows, at, control=(10_000, 1_200), challenger=(10_000, 1_000))
    guard(rows)

    assert optimize().result["guardrailsJudged"] == 0
