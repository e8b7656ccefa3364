"""Splits of traffic: by worked examples, by their bounds, and by what they lead to in a simulated shop."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from shared.stats import beta_posterior, floored, greedy, matched, normal_posterior, scaled, stepped, whole, wins

RATES = (0.03, 0.035, 0.06)
"""What the arms of the simulated shop bring."""
VISITORS, ROUNDS, FLOOR, STEP = 1_000, 60, 5.0, 10.0


def near(*values: float) -> object:
    return pytest.approx(list(values), abs=1e-6)


def test_floors_of_the_worked_examples() -> None:
    assert floored([0.1, 19.9, 80.0], 5) == near(5, 18.92392392, 76.07607608)
    assert floored(matched([0, 0, 0, 0.01, 0.99], 0.1), 5) == near(5, 5, 5, 5, 80)
    assert floored(greedy([0.04, 0.05, 0.06], 0.1), 5) == near(5, 5, 90)
    assert greedy([0.04, 0.05, 0.06], 0.1) == near(3.3333333, 3.3333333, 93.3333333)
    assert floored(matched([0] * 9 + [1.0], 0.1), 5) == near(*[5] * 9, 55)


def test_floors_that_take_more_than_there_is_are_refused() -> None:
    with pytest.raises(ValueError, match="more than there is"):
        floored([50, 50], 51)


def test_step_by_the_worked_example() -> None:
    target = floored([4.086533844, 20.44825076, 75.46521539], 5)
    moved, part = stepped([34, 33, 33], target, 10)

    assert target == near(5, 20.25350454, 74.74649546)
    assert part == pytest.approx(0.2395410654)
    assert moved == [pytest.approx(27.0533, abs=5e-5), pytest.approx(29.9467, abs=5e-5), pytest.approx(43)]
    assert whole(moved) == [27, 30, 43]


def test_near_target_is_reached_at_once() -> None:
    assert stepped([50, 50], [55, 45], 10) == ([55, 45], 1.0)


@pytest.mark.parametrize(
    ("weights", "parts"),
    [
        ([100 / 3] * 3, [34, 33, 33]),
        ([33.4, 33.3, 33.3], [34, 33, 33]),
        ([42.99999999999, 57.00000000001], [43, 57]),
        ([12.5] * 8, [13, 13, 13, 13, 12, 12, 12, 12]),
    ],
)
def test_whole_percents_go_to_the_largest_remainders_and_then_to_the_first(
    weights: list[float], parts: list[int]
) -> None:
    assert whole(weights) == parts


def test_thirds_are_scaled() -> None:
    assert scaled([33, 33, 33]) == near(*[100 / 3] * 3)
    with pytest.raises(ValueError, match="must not be negative"):
        scaled([0, 0])


def test_bounds_hold_for_any_target() -> None:
    random = Random(7)
    for _ in range(500):
        arms = random.randint(2, 10)
        floor = min(5, 50 // arms)
        drawn = [random.random() ** 6 for _ in range(arms)]
        target = floored([100 * share / sum(drawn) for share in drawn], floor)
        assert sum(target) == pytest.approx(100)
        assert min(target) >= floor

        current = whole(floored([100 / arms] * arms, floor))
        parts = whole(stepped(current, target, STEP)[0])

        assert sum(parts) == 100
        assert min(parts) >= floor
        assert max(abs(new - old) for new, old in zip(parts, current, strict=True)) <= STEP + 1


def test_ties_go_to_the_first_arm() -> None:
    certain = normal_posterior(1.0, 1e-300)

    assert wins([certain, certain], 10, Random(1)) == [10, 0]


# -- a simulated shop --------------------------------------------------------------------------------------------------


def shop(seed: int, *, adaptive: bool, rates: tuple[float, ...] = RATES) -> tuple[list[list[int]], list[float]]:
    """Rounds of visitors to three arms: the split of each round, and what was lost in it against the best arm."""
    random = Random(seed)
    n, x, shares = [0] * 3, [0] * 3, [34, 33, 33]
    splits, lost = [], []
    for turn in range(ROUNDS):
        splits.append(shares)
        for arm, share in enumerate(shares):
            visitors = VISITORS * share // 100
            n[arm] += visitors
            x[arm] += sum(random.random() < rates[arm] for _ in range(visitors))
        lost.append(sum(share / 100 * (max(rates) - rate) for share, rate in zip(shares, rates, strict=True)))
        if adaptive:
            posteriors = [beta_posterior(buyers, visitors) for buyers, visitors in zip(x, n, strict=True)]
            won = [count / 500 for count in wins(posteriors, 500, Random(turn))]
            shares = whole(stepped(shares, floored(matched(won, 0.1), FLOOR), STEP)[0])
    return splits, lost


def test_regret_falls() -> None:
    """What is lost per visitor falls to what exploration costs; an equal split loses the same for ever."""
    for seed in (1, 2, 3):
        _, lost = shop(seed, adaptive=True)
        _, equal = shop(seed, adaptive=False)

        assert sum(lost) < 0.5 * sum(equal)
        assert sum(lost[-10:]) < 0.4 * sum(lost[:10])
        assert min(lost) >= FLOOR / 100 * ((RATES[2] - RATES[0]) + (RATES[2] - RATES[1])) - 1e-12


def test_floors_and_steps_hold_all_the_way() -> None:
    splits, _ = shop(4, adaptive=True)

    for before, after in itertools.pairwise(splits):
        assert sum(after) == 100
        assert min(after) >= FLOOR
        assert max(abs(new - old) for new, old in zip(after, before, strict=True)) <= STEP + 1
    assert splits[-1][2] >= 85


def test_same_seed_gives_the_same_splits() -> None:
    close = (0.050, 0.052, 0.054)

    assert shop(5, adaptive=True, rates=close) == shop(5, adaptive=True, rates=close)
    assert shop(5, adaptive=True, rates=close) != shop(6, adaptive=True, rates=close)
