"""Comparisons of arms against worked examples; their values were computed with scipy and statsmodels."""

from __future__ import annotations

import pytest

from shared.stats import (
    RatioSums,
    Stratum,
    Sums,
    goodness_of_fit,
    holm,
    homogeneity,
    ratios,
    sequential,
    stratified,
    two_proportions,
    units_for_rate,
    welch,
)

E3 = (Sums(4000, 1_000_000, 6_000_000_000), Sums(4100, 1_189_000, 7_900_000_000))


def near(value: float, rel: float = 1e-6) -> object:
    return pytest.approx(value, rel=rel)


def test_two_proportions() -> None:
    found = two_proportions(300, 10_000, 360, 10_000)

    assert (found.statistic, found.p, found.lift) == (near(2.375013298), near(0.01754831798), near(20.0))
    assert (found.low, found.high) == (near(0.001049238053), near(0.01095076195))


def test_no_spread_shows_nothing() -> None:
    assert two_proportions(0, 50, 0, 60).p == 1
    assert two_proportions(0, 50, 5, 60).lift is None
    assert welch(Sums(1, 5, 25), Sums(9, 9, 9)).p == 1


@pytest.mark.parametrize(("x", "n"), [(6, 5), (-1, 5), (0, 0)])
def test_counts_that_cannot_be_are_refused(x: int, n: int) -> None:
    with pytest.raises(ValueError, match="a proportion needs"):
        two_proportions(x, n, 1, 2)


def test_welch_over_all_visitors_with_the_zeros_of_those_who_bought_nothing() -> None:
    found = welch(Sums(10, 6500, 22_250_000), Sums(12, 11_000, 43_880_000))

    assert (found.statistic, found.df, found.p) == (near(0.3947637347), near(19.99005623), near(0.6971976578))
    assert (found.low, found.high) == (near(-1142.466467), near(1675.7998))


def test_welch_of_large_sums() -> None:
    found = welch(*E3)

    assert (found.statistic, found.df, found.p) == (near(1.406307136), near(8019.37535), near(0.1596716887))
    assert (found.low, found.high, found.lift) == (near(-15.75623689), near(95.75623689), near(16.0))


def test_order_value_is_a_ratio_of_sums_over_visitors() -> None:
    money, orders = (0, 2500, 0, 4000, 0, 0, 9000, 0), (0, 1, 0, 1, 0, 0, 2, 0)
    small = RatioSums(
        Sums(8, sum(money), sum(r * r for r in money)),
        Sums(8, sum(orders), sum(c * c for c in orders)),
        sum(r * c for r, c in zip(money, orders, strict=True)),
    )
    assert (small.ratio, small.money.variance, small.count.variance) == (3875, near(10459821.43), near(0.5714285714))
    assert (small.covariance, small.variance) == (near(2392.857143), near(247767.8571))

    control = RatioSums(E3[0], Sums(4000, 210, 230), 1_100_000)
    variant = RatioSums(E3[1], Sums(4100, 232, 256), 1_319_000)
    found = ratios(control, variant)
    assert (control.ratio, control.variance) == (near(4761.904762), near(16766.75461))
    assert (variant.ratio, variant.variance) == (5125, near(20520.94595))
    assert (found.statistic, found.p) == (near(1.88034592), near(0.06006094881))


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ((0.012, 0.030, 0.20), (0.036, 0.060, 0.200)),
        ((0.010, 0.020, 0.041), (0.030, 0.040, 0.041)),
        ((0.007427018549, 0.297932752), (0.01485403710, 0.297932752)),
        ((0.7,), (0.7,)),
    ],
)
def test_holm(p_values: tuple[float, ...], adjusted: tuple[float, ...]) -> None:
    assert holm(p_values) == [near(p) for p in adjusted]


@pytest.mark.parametrize(
    ("counts", "ratio", "p"),
    [
        ((300, 10_000, 360, 10_000), 3.356462132, 0.297932752),
        ((600, 20_000, 740, 20_000), 134.6435307, 0.007427018549),
        ((450, 15_000, 585, 15_000), 259.0175591, 0.003860742119),
    ],
)
def test_always_valid_p(counts: tuple[int, int, int, int], ratio: float, p: float) -> None:
    fixed = two_proportions(*counts)
    found = sequential(fixed.difference, fixed.variance, 0.003)

    assert (found.ratio, found.p) == (near(ratio), near(p))


def test_always_valid_intervals() -> None:
    first, second = two_proportions(300, 10_000, 360, 10_000), two_proportions(600, 20_000, 740, 20_000)
    not_yet = sequential(first.difference, first.variance, 0.003)
    winner = sequential(second.difference, second.variance, 0.003)
    revenue = sequential(welch(*E3).difference, welch(*E3).variance, 25)

    assert (first.variance, second.variance) == (near(0.0000063804), near(0.00000323655))
    assert (not_yet.low, not_yet.high) == (near(-0.002655792663), near(0.01465579266))
    assert (winner.low, winner.high) == (near(0.001323952878), near(0.01267604712))
    assert (revenue.ratio, revenue.p) == (near(1.155775314), near(0.8652200713))
    assert (revenue.low, revenue.high) == (near(-70.38186887), near(150.3818689))


def test_overwhelming_difference_does_not_overflow() -> None:
    found = sequential(1.0, 1e-9, 0.1)

    assert (found.ratio, found.p) == (float("inf"), 0.0)


def stratum(x1: int, n1: int, x2: int, n2: int) -> Stratum:
    found = two_proportions(x1, n1, x2, n2)
    return Stratum(n1 + n2, found.difference, found.variance)


def test_epochs_are_weighted_by_their_visitors() -> None:
    difference, variance = stratified([stratum(30, 1000, 36, 1000), stratum(30, 600, 77, 1400)])

    assert (difference, variance) == (near(0.0055), near(0.00004502391667))
    assert difference / variance**0.5 == near(0.8196738)


def test_changed_split_with_a_changed_base_rate_shows_no_difference() -> None:
    difference, _ = stratified([stratum(100, 5000, 100, 5000), stratum(50, 1000, 450, 9000)])

    assert difference == 0
    assert two_proportions(150, 6000, 550, 14_000).statistic == near(5.037660852)


@pytest.mark.parametrize(
    ("observed", "shares", "statistic", "p"),
    [
        ((5102, 4898), (50, 50), 4.1616, 0.04135032573),
        ((5200, 4800), (50, 50), 16, 0.00006334248367),
        ((821_579, 815_482), (50, 50), 22.70740614, 1.886394068e-6),
        ((20_000, 10_000), (50, 50), 3333.333333, 0.0),
        ((3300, 3400, 3300), (1, 1, 1), 2, 0.3678794412),
        ((3450, 3300, 3250), (34, 33, 33), 1.492869875, 0.4740535744),
    ],
)
def test_traffic_split(observed: tuple[int, ...], shares: tuple[int, ...], statistic: float, p: float) -> None:
    expected = [sum(observed) * share / sum(shares) for share in shares]
    found = goodness_of_fit(observed, expected)

    assert (found.statistic, found.p, found.df) == (near(statistic), near(p), len(observed) - 1)


def test_traffic_split_over_epochs() -> None:
    found = goodness_of_fit((1850, 1150), (1900, 1100))

    assert (found.statistic, found.p) == (near(3.588516746), near(0.0581801501))


def test_homogeneity_and_its_strength() -> None:
    found, strength = homogeneity([[600, 400, 0], [500, 500, 0]])

    assert (found.statistic, found.df, found.p) == (near(20.2020202), 1, near(0.000006967931073))
    assert strength == near(0.1005037815)


@pytest.mark.parametrize(
    ("baseline", "effect", "alpha", "units"),
    [(0.03, 0.10, 0.05, 53_211), (0.03, 0.20, 0.05, 13_914), (0.05, 0.10, 0.01, 46_476), (0.0, 0.1, 0.05, None)],
)
def test_sample_size(baseline: float, effect: float, alpha: float, units: int | None) -> None:
    assert units_for_rate(baseline, effect, alpha=alpha) == units
