"""Arms compared from their sums; numbers are from worked examples made with scipy and statsmodels."""

from __future__ import annotations

import pytest

from functions.commerce.ab_tests.comparing import beliefs, compare, days_left
from functions.commerce.ab_tests.sums import Arms, Tally, merged
from shared.stats import best_of, sequential

A, B = "a", "b"


def near(value: float) -> object:
    return pytest.approx(value, rel=1e-6)


def rates(first: tuple[int, int], second: tuple[int, int]) -> Arms:
    """(converted, visitors) of both arms."""
    return {id: Tally(n=n, converted=x) for id, (x, n) in ((A, first), (B, second))}


MONEY: Arms = {
    A: Tally(4000, 0, 200, 1_000_000, 6_000_000_000, 210, 230, 1_100_000),
    B: Tally(4100, 0, 220, 1_189_000, 7_900_000_000, 232, 256, 1_319_000),
}


def test_revenue_per_visitor() -> None:
    found = compare("revenue_per_visitor", [MONEY], A, B, alpha=0.05)

    assert found is not None
    assert (found.difference, found.p, found.lift) == (near(40), near(0.1596716887), near(16.0))
    looked = sequential(found.difference, found.variance, 25)
    assert (looked.p, looked.low, looked.high) == (near(0.8652200713), near(-70.38186887), near(150.3818689))


def test_order_value() -> None:
    found = compare("average_order_value", [MONEY], A, B, alpha=0.05)

    assert found is not None
    assert (found.difference, found.statistic, found.p) == (
        near(5125 - 4761.904762),
        near(1.88034592),
        near(0.06006094881),
    )


def test_epochs_are_weighted_by_their_visitors() -> None:
    epochs = [rates((30, 1000), (36, 1000)), rates((30, 600), (77, 1400))]

    found = compare("conversion_rate", epochs, A, B, alpha=0.05)

    assert found is not None
    assert (found.difference, found.variance) == (near(0.0055), near(0.00004502391667))
    assert (found.statistic, found.p) == (near(0.8196738), near(0.4124020898))
    assert found.lift == near(0.0055 / 0.04 * 100)


def test_epoch_that_is_too_small_joins_its_neighbour() -> None:
    small, large = rates((1, 19), (2, 40)), rates((30, 1000), (36, 1000))

    def enough(arms: Arms) -> bool:
        return min(tally.n for tally in arms.values()) >= 20

    assert [arms[A].n for arms in merged([small, large, large, small], enough)] == [1019, 1019]
    assert [arms[A].n for arms in merged([small, small], enough)] == [38]
    assert [arms[A].n for arms in merged([small], enough)] == [19]
    assert merged([], enough) == []


def test_arm_without_visitors_or_orders_is_not_compared() -> None:
    assert compare("conversion_rate", [{A: Tally(n=50)}], A, B, alpha=0.05) is None
    assert compare("average_order_value", [rates((5, 50), (5, 50))], A, B, alpha=0.05) is None
    assert compare("conversion_rate", [], A, B, alpha=0.05) is None


def test_belief_in_two_means() -> None:
    posteriors = beliefs("revenue_per_visitor", [MONEY], [A, B])

    assert posteriors is not None
    best, loss = best_of(posteriors)
    assert best[1] == near(0.920183529)
    assert loss == [near(41.02855963), near(1.028559632)]


def test_belief_over_epochs_is_not_misled_by_a_changed_split() -> None:
    """Pooled, the second arm would be the best for sure; within the epochs there is no difference."""
    epochs = [rates((100, 5000), (100, 5000)), rates((50, 1000), (450, 9000))]

    posteriors = beliefs("conversion_rate", epochs, [A, B])
    alone = beliefs("conversion_rate", [{A: epochs[0][A] + epochs[1][A], B: epochs[0][B] + epochs[1][B]}], [A, B])

    assert posteriors is not None
    assert alone is not None
    assert [posterior.mean for posterior in posteriors] == [near(0.035), near(0.035)]
    assert best_of(posteriors)[0][1] == pytest.approx(0.5, abs=1e-6)
    assert best_of(alone)[0][1] > 0.999


def test_arm_with_one_buyer_has_the_spread_of_all() -> None:
    arms: Arms = {
        A: Tally(1000, 0, 1, 5000, 25_000_000, 1, 1, 5000),
        B: Tally(1000, 0, 40, 200_000, 10**9, 40, 40, 200_000),
    }

    posteriors = beliefs("revenue_per_visitor", [arms], [A, B])

    assert posteriors is not None
    whole = arms[A] + arms[B]
    assert posteriors[0].sd == near((whole.money.variance / 1000) ** 0.5)
    assert posteriors[1].sd == near((arms[B].money.variance / 1000) ** 0.5)


def test_nothing_is_believed_where_nothing_was_sold() -> None:
    assert beliefs("revenue_per_visitor", [rates((0, 100), (0, 100))], [A, B]) is None
    assert beliefs("average_order_value", [rates((0, 100), (0, 100))], [A, B]) is None


@pytest.mark.parametrize(
    ("needed", "smallest", "per_day", "days"),
    [(53_211, 12_000, 1_200, 35), (53_211, 60_000, 0, 0), (53_211, 12_000, 0, None), (None, 12_000, 1_200, None)],
)
def test_days_left(needed: int | None, smallest: int, per_day: float, days: int | None) -> None:
    assert days_left(needed, smallest, per_day) == days
