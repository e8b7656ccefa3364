"""The next split of a bandit test: by worked examples, and over many random ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from functions.commerce.ab_tests.optimizing import plan_of, seed_of
from shared.fakes.redis import Database, RedisFake
from shared.jobs.testing import Bench, Deliver
from shared.jobs.testing.bench import Delivered
from shared.stats import beta_posterior
from tests.builders.ab_tests import TEST, add_arm, add_epoch, add_state, add_test
from tests.conftest import Rows

NOON = datetime.fromisoformat("2026-11-20T12:00:00+00:00")
A, B, C = "test_1_a", "test_1_b", "test_1_c"
JOB = "ab-optimize-test"
ORDER = {"testId": TEST, "algorithm": "thompson", "slot": "2026-11-20T12:00:00Z"}


def near(value: float) -> object:
    return pytest.approx(value, rel=1e-6)


def bandit(rows: Rows, *, shares: tuple[int, ...] = (34, 33, 33), days: float = 8, **columns: Any) -> datetime:
    """A bandit test that began `days` ago; the instant."""
    at = NOON - timedelta(days=days)
    add_test(rows, **{"status": "running", "mode": "thompson", "started_at": at, "shares": shares, **columns})
    add_epoch(rows, 1, at, dict(zip((A, B, C), shares, strict=False)))
    return at


def three_arms(rows: Rows, at: datetime) -> None:
    """40, 52 and 61 conversions of 1,000 each."""
    for variant, buyers in ((A, 40), (B, 52), (C, 61)):
        add_arm(rows, variant, 1_000, buyers, at=at)


def shares(rows: Rows) -> list[int]:
    found = rows("SELECT traffic_allocation, weight FROM ab_variants WHERE test_id = %s ORDER BY id", (TEST,))
    assert all(row["traffic_allocation"] == row["weight"] for row in found)
    return [row["weight"] for row in found]


def epochs(rows: Rows) -> list[dict[str, Any]]:
    return rows("SELECT * FROM ab_allocation_epochs ORDER BY epoch")


def state(rows: Rows) -> dict[str, Any]:
    (row,) = rows("SELECT * FROM ab_test_state")
    return row


def ask(deliver: Deliver, *, key: str = "one", expect: str = "succeeded", **more: Any) -> Delivered:
    return deliver.job(JOB, {**ORDER, **more}, key=key, expect=expect)


# -- the plan ----------------------------------------------------------------------------------------------------------


def test_worked_example_of_three_arms() -> None:
    arms = [beta_posterior(buyers, 1_000) for buyers in (40, 52, 61)]
    seed = seed_of("demo", "test_bandit_1", datetime.fromisoformat("2026-11-20T10:00:00+00:00"))

    plan = plan_of(arms, [A, B, C], [34, 33, 33], algorithm="thompson", epsilon=0.1, seed=seed)

    assert seed == 12710531287271193843
    assert plan.p_best == [0.0095, 0.1842, 0.8063]
    assert plan.target == [5, near(19.74265486), near(75.25734514)]
    assert (plan.part, plan.shares) == (near(0.2366452499), [27, 30, 43])


def test_same_sums_an_hour_later_go_on() -> None:
    arms = [beta_posterior(buyers, 1_000) for buyers in (40, 52, 61)]
    seed = seed_of("demo", "test_bandit_1", datetime.fromisoformat("2026-11-20T10:00:00+00:00"))

    plan = plan_of(arms, [A, B, C], [27, 30, 43], algorithm="thompson", epsilon=0.1, seed=seed)

    assert (plan.part, plan.shares) == (near(0.3100069134), [20, 27, 53])


def test_same_seed_gives_the_same_split_and_another_one_hardly_another() -> None:
    arms = [beta_posterior(buyers, 1_000) for buyers in (40, 52, 61)]

    def split(seed: int) -> list[float]:
        return plan_of(arms, [A, B, C], [34, 33, 33], algorithm="thompson", epsilon=0.1, seed=seed).p_best

    assert split(7) == split(7)
    assert split(7) != split(8)
    exact = (0.008368894566, 0.1901657492, 0.8014653562)
    assert split(8) == [pytest.approx(p, abs=0.015) for p in exact]


def test_greedy_favours_the_highest_mean() -> None:
    arms = [beta_posterior(buyers, 1_000) for buyers in (40, 52, 61)]

    plan = plan_of(arms, [A, B, C], [34, 33, 33], algorithm="epsilon_greedy", epsilon=0.1, seed=1)

    assert plan.target == [5, 5, 90]
    assert plan.seed is None


def test_over_random_tests_weights_are_whole_bounded_and_floored() -> None:
    random = Random(20261120)
    for _ in range(60):
        arms = random.randint(2, 10)
        ids = [f"v{i}" for i in range(arms)]
        floor = min(5, 50 // arms)
        cuts = [floor] * arms
        for _ in range(100 - floor * arms):
            cuts[random.randrange(arms)] += 1
        posteriors = [beta_posterior(random.randint(0, 60), random.randint(100, 2_000)) for _ in ids]
        greedy = random.random() < 0.9  # mostly: it needs no draws, and the bounds come after them
        algorithm = "epsilon_greedy" if greedy else "thompson"
        epsilon = random.uniform(0, 0.5)

        plan = plan_of(posteriors, ids, cuts, algorithm=algorithm, epsilon=epsilon, seed=3)  # type: ignore[arg-type]

        assert sum(plan.shares) == 100
        assert min(plan.shares) >= floor
        assert max(abs(new - old) for new, old in zip(plan.shares, cuts, strict=True)) <= 11


# -- the job -----------------------------------------------------------------------------------------------------------


def test_split_moves_towards_the_best_arm(deliver: Deliver, rows: Rows) -> None:
    three_arms(rows, bandit(rows))

    done = ask(deliver)

    assert (done.result["outcome"], done.result["newWeights"]) == ("changed", {A: 27, B: 30, C: 43})
    assert done.result["previousWeights"] == {A: 34, B: 33, C: 33}
    assert shares(rows) == [27, 30, 43]
    first, second = epochs(rows)
    assert (first["ended_at"], second["started_at"], second["ended_at"]) == (NOON, NOON, None)
    assert (second["epoch"], second["reason"], second["shares"]) == (2, "bandit", {A: 27, B: 30, C: 43})
    assert second["details"]["seed"] == str(seed_of("acme", TEST, NOON))
    assert second["details"]["samples"] == {A: 1000, B: 1000, C: 1000}
    ((name, event),) = [(n, e) for n, e in done.emitted if n == "ab.allocationChanged"]
    assert (name, event["epoch"], event["weights"]) == ("ab.allocationChanged", 2, {A: 27, B: 30, C: 43})
    kept = state(rows)
    assert (kept["bandit_runs"], kept["last_reallocated_at"], kept["best_variant_id"]) == (1, NOON, C)
    assert kept["best_since"] == NOON


def test_slot_that_comes_again_opens_no_other_epoch(deliver: Deliver, rows: Rows) -> None:
    three_arms(rows, bandit(rows))

    first = ask(deliver)
    again = ask(deliver, key="again", currentVariantWeights={A: 34, B: 33, C: 33})

    assert again.result == first.result
    assert [epoch["epoch"] for epoch in epochs(rows)] == [1, 2]


def test_weights_change_once_an_hour(deliver: Deliver, rows: Rows) -> None:
    three_arms(rows, bandit(rows))
    ask(deliver)

    soon = ask(deliver, key="soon", slot="2026-11-20T12:15:00Z")
    later = ask(deliver, key="later", slot="2026-11-20T13:00:00Z")

    assert soon.result["outcome"] == "not_due"
    assert later.result["newWeights"] == {A: 20, B: 27, C: 53}
    assert [epoch["epoch"] for epoch in epochs(rows)] == [1, 2, 3]


def test_person_may_ask_at_any_time(deliver: Deliver, rows: Rows) -> None:
    three_arms(rows, bandit(rows))
    ask(deliver)

    weights = {A: 27, B: 30, C: 43}
    done = ask(deliver, key="person", slot="2026-11-20T12:15:00Z", currentVariantWeights=weights)

    assert done.result["outcome"] == "changed"


def test_weights_that_somebody_changed_meanwhile_stay(deliver: Deliver, rows: Rows) -> None:
    three_arms(rows, bandit(rows))

    done = ask(deliver, currentVariantWeights={A: 50, B: 25, C: 25})

    assert (done.result["outcome"], shares(rows), len(epochs(rows))) == ("changed_meanwhile", [34, 33, 33], 1)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"status": "paused"}, "not_running"),
        ({"mode": "redirect"}, "fixed_test"),
        ({"traffic_override_variant_id": B}, "override"),
        ({"shares": (100, 0, 0)}, "arms"),
    ],
)
def test_test_that_takes_no_new_weights(deliver: Deliver, rows: Rows, columns: dict[str, Any], reason: str) -> None:
    three_arms(rows, bandit(rows, **columns))

    done = ask(deliver)

    assert (done.result["outcome"], done.result["reason"], len(epochs(rows))) == ("skipped", reason, 1)


def test_wrong_split_freezes_a_bandit(deliver: Deliver, rows: Rows) -> None:
    three_arms(rows, bandit(rows))
    add_state(rows, decision="invalid")

    assert ask(deliver).result["reason"] == "invalid"


def test_arm_with_few_visitors_stops_all_change(deliver: Deliver, rows: Rows) -> None:
    at = bandit(rows)
    add_arm(rows, A, 1_000, 40, at=at)
    add_arm(rows, B, 1_000, 52, at=at)
    add_arm(rows, C, 12, 5, at=at)

    done = ask(deliver)

    assert (done.result["outcome"], done.result["reason"]) == ("unchanged", "min_samples")
    assert state(rows)["bandit_runs"] == 1


def test_visitors_without_time_to_buy_do_not_count(deliver: Deliver, rows: Rows) -> None:
    three_arms(rows, bandit(rows))
    add_arm(rows, A, 500, 500, at=NOON - timedelta(hours=1), mark="late")

    done = ask(deliver)

    assert done.result["newWeights"] == {A: 27, B: 30, C: 43}
    assert epochs(rows)[1]["details"]["samples"][A] == 1000


def test_order_value_wins_no_traffic_by_few_dear_orders(deliver: Deliver, rows: Rows) -> None:
    at = bandit(rows, shares=(50, 50), optimization_metric="average_order_value")
    add_arm(rows, A, 1_000, 100, at=at, cents=5_000)
    add_arm(rows, B, 1_000, 30, at=at, cents=9_000)

    assert ask(deliver).result["newWeights"] == {A: 60, B: 40}


@pytest.mark.parametrize(("hours", "decision"), [(26, "winner"), (5, "leading")])
def test_bandit_has_a_winner_when_the_same_arm_was_best_for_a_day(
    deliver: Deliver, rows: Rows, hours: int, decision: str
) -> None:
    at = bandit(rows, shares=(50, 50), auto_end=True)
    add_arm(rows, A, 10_000, 300, at=at)
    add_arm(rows, B, 10_000, 360, at=at)
    add_state(rows, best_variant_id=B, best_since=NOON - timedelta(hours=hours))

    done = ask(deliver)

    kept = state(rows)
    assert kept["decision"] == decision
    shown = kept["results"]["variants"][B]
    assert (shown["pBest"], shown["expectedLoss"]) == (near(0.9912153663), pytest.approx(7.431988216e-6, rel=1e-5))
    assert kept["best_since"] == NOON - timedelta(hours=hours)
    told = [event for name, event in done.emitted if name == "ab.winnerDetected"]
    assert [(e["variantId"], e["decision"], e["auto"], e["pBest"]) for e in told] == (
        [(B, "winner", True, near(0.9912153663))] if decision == "winner" else []
    )


def test_small_shift_is_not_written(deliver: Deliver, rows: Rows) -> None:
    at = bandit(rows, shares=(50, 50))
    add_arm(rows, A, 1_000, 50, at=at)
    add_arm(rows, B, 1_000, 50, at=at)

    done = ask(deliver)

    assert (done.result["outcome"], len(epochs(rows))) == ("unchanged", 1)


def test_unknown_test_and_unknown_algorithm(deliver: Deliver, rows: Rows) -> None:
    assert ask(deliver, expect="dead").code == "TEST_NOT_FOUND"
    bandit(rows)
    assert ask(deliver, key="two", algorithm="ucb", expect="dead").code == "INVALID_PAYLOAD"


def test_storefront_is_shown_the_split(deliver: Deliver, rows: Rows, store: Database) -> None:
    three_arms(rows, bandit(rows))

    ask(deliver)

    assert store.hash("ab:acme:test_1:allocation") == {A: "27", B: "30", C: "43", "_epoch": "2"}
    assert "ab:acme:active_tests" not in store.keys  # it may have ended since: only a start adds to them


def test_storefront_does_not_wait_for_the_draws(
    deliver: Deliver, bench: Bench, rows: Rows, storefront: Callable[[], None]
) -> None:
    three_arms(rows, bandit(rows))
    bench.faults.on("before-checkpoint", storefront)

    assert ask(deliver).result["outcome"] == "changed"


def test_storefront_that_cannot_be_told_stops_nothing(deliver: Deliver, rows: Rows, redis: RedisFake) -> None:
    three_arms(rows, bandit(rows))
    redis.fail("503")

    assert ask(deliver).result["outcome"] == "changed"
