"""Two arms compared, from sums over independent units (visitors): the difference, its variance, what it means.

`first` is the control, `second` the challenger, a difference is second less first. Nothing is clamped: sums that
cannot be raise ValueError.

Sources: Fleiss, Levin, Paik 2003 (two proportions); Welch 1947; Deng, Knoblich, Lu, KDD 2018 (ratio of sums); Johari,
Koomen, Pekelis, Walsh, KDD 2017 (mixture sequential test); Holm 1979; Fabijan et al., KDD 2019 (split check).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from shared.stats.special import chi_square_sf, normal_quantile, normal_two_sided, t_quantile, t_two_sided


@dataclass(frozen=True, slots=True)
class Sums:
    """A quantity over `n` units: the sum of its values and of their squares, zeros included. Exact integers."""

    n: int
    total: int
    squares: int

    def __post_init__(self) -> None:
        if self.n < 0 or self.squares < 0 or self.squares * self.n < self.total * self.total:
            raise ValueError("sums of no sample")

    @property
    def mean(self) -> float:
        return self.total / self.n

    @property
    def variance(self) -> float:
        """Sample variance; needs n > 1."""
        return (self.squares * self.n - self.total * self.total) / (self.n * (self.n - 1))

    @property
    def moments(self) -> Moments:
        """Needs n > 1."""
        return Moments(self.n, self.mean, self.variance)


@dataclass(frozen=True, slots=True)
class Moments:
    """A sample by its size, mean and sample variance."""

    n: int
    mean: float
    variance: float


@dataclass(frozen=True, slots=True)
class RatioSums:
    """Two quantities over the same units, a money sum over a count: R = money.total / count.total."""

    money: Sums
    count: Sums
    products: int
    """Sum of money times count per unit."""

    @property
    def ratio(self) -> float:
        return self.money.total / self.count.total

    @property
    def covariance(self) -> float:
        n = self.money.n
        return (self.products * n - self.money.total * self.count.total) / (n * (n - 1))

    @property
    def variance(self) -> float:
        """Variance of the ratio by the delta method; 0, not a rounding error below it, where all ratios are equal."""
        spread = self.money.variance - 2 * self.ratio * self.covariance + self.ratio**2 * self.count.variance
        return max(0.0, spread) / (self.money.n * self.count.mean**2)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`statistic` is z or t, `low` and `high` bound the difference, `lift` is in percent (None: the control is 0).

    `variance` is that of the difference, unpooled, as the sequential test wants it. `df` is None for a z test.
    """

    difference: float
    variance: float
    statistic: float
    p: float
    low: float
    high: float
    lift: float | None
    df: float | None = None


def two_proportions(x1: int, n1: int, x2: int, n2: int, *, alpha: float = 0.05) -> Comparison:
    """Two-sided z test of x of n against x of n; pooled error for p, unpooled for the interval."""
    for x, n in ((x1, n1), (x2, n2)):
        if n <= 0 or not 0 <= x <= n:
            raise ValueError("a proportion needs 0 <= x <= n and n > 0")
    p1, p2 = x1 / n1, x2 / n2
    pooled = (x1 + x2) / (n1 + n2)
    error = math.sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n2))
    difference = p2 - p1
    z = difference / error if error > 0 else 0.0
    variance = p1 * (1 - p1) / n1 + p2 * (1 - p2) / n2
    reach = normal_quantile(1 - alpha / 2) * math.sqrt(variance)
    return Comparison(
        difference, variance, z, normal_two_sided(z), difference - reach, difference + reach, lift_of(p1, p2)
    )


def welch(first: Sums, second: Sums, *, alpha: float = 0.05) -> Comparison:
    """Two-sided Welch test of two means. Without two units an arm, or without any spread, p = 1."""
    if first.n == 0 or second.n == 0:
        raise ValueError("a mean needs at least one unit")
    if first.n <= 1 or second.n <= 1:
        difference, lift = second.mean - first.mean, lift_of(first.mean, second.mean)
        return Comparison(difference, 0.0, 0.0, 1.0, -math.inf, math.inf, lift)
    return welch_of_moments(first.moments, second.moments, alpha=alpha)


def welch_of_moments(first: Moments, second: Moments, *, alpha: float = 0.05) -> Comparison:
    """The same for means and variances that are known already; both arms need two units."""
    difference, lift = second.mean - first.mean, lift_of(first.mean, second.mean)
    part1, part2 = first.variance / first.n, second.variance / second.n
    variance = part1 + part2
    if variance == 0:
        return Comparison(difference, 0.0, 0.0, 1.0, difference, difference, lift)
    t = difference / math.sqrt(variance)
    df = variance**2 / (part1**2 / (first.n - 1) + part2**2 / (second.n - 1))
    reach = t_quantile(1 - alpha / 2, df) * math.sqrt(variance)
    return Comparison(difference, variance, t, t_two_sided(t, df), difference - reach, difference + reach, lift, df)


def ratios(first: RatioSums, second: RatioSums, *, alpha: float = 0.05) -> Comparison:
    """Two-sided z test of two ratios of sums, such as the average order value."""
    return by_variance(second.ratio - first.ratio, first.variance + second.variance, first.ratio, alpha=alpha)


def by_variance(difference: float, variance: float, control: float, *, alpha: float = 0.05) -> Comparison:
    """Two-sided z test of a difference whose variance is known; `control` is the value that lift is measured by."""
    z = difference / math.sqrt(variance) if variance > 0 else 0.0
    reach = normal_quantile(1 - alpha / 2) * math.sqrt(variance)
    lift = lift_of(control, control + difference)
    return Comparison(difference, variance, z, normal_two_sided(z), difference - reach, difference + reach, lift)


def lift_of(control: float, other: float) -> float | None:
    """Change in percent, None when the control is 0."""
    return None if control == 0 else (other - control) / control * 100


# -- looking all the time ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sequential:
    """The mixture sequential probability ratio test at one look: `p` holds however often one looks."""

    ratio: float
    """Lambda; inf where it overflows."""
    p: float
    low: float
    high: float


def sequential(difference: float, variance: float, tau: float, *, alpha: float = 0.05) -> Sequential:
    """Always-valid p and interval of a difference, the mixture being Normal(0, tau squared)."""
    if variance <= 0 or tau <= 0:
        raise ValueError("the sequential test needs a variance and a tau above 0")
    whole = variance + tau * tau
    log_ratio = 0.5 * math.log(variance / whole) + tau * tau * difference * difference / (2 * variance * whole)
    p = math.exp(min(0.0, -log_ratio))
    spread = 2 * variance * whole / (tau * tau)
    reach = math.sqrt(spread * (-math.log(alpha) + 0.5 * math.log(whole / variance)))
    ratio = math.exp(log_ratio) if log_ratio < 700 else math.inf
    return Sequential(ratio, p, difference - reach, difference + reach)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the order given.

    >>> [round(p, 3) for p in holm([0.010, 0.020, 0.041])]
    [0.03, 0.04, 0.041]
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


# -- epochs ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stratum:
    """What one epoch says: units of both arms, the difference and its variance."""

    n: int
    difference: float
    variance: float


def stratified(strata: Sequence[Stratum]) -> tuple[float, float]:
    """Difference and variance over epochs, each weighted by its units; a changed split then cannot mislead."""
    whole = sum(stratum.n for stratum in strata)
    if whole <= 0:
        raise ValueError("no units in any stratum")
    difference = math.fsum(stratum.n / whole * stratum.difference for stratum in strata)
    return difference, math.fsum((stratum.n / whole) ** 2 * stratum.variance for stratum in strata)


# -- counts ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChiSquare:
    statistic: float
    df: int
    p: float


def goodness_of_fit(observed: Sequence[int], expected: Sequence[float]) -> ChiSquare:
    """Chi-square of counts against what was expected; cells of which nothing was expected are left out."""
    if len(observed) != len(expected) or min(observed, default=0) < 0 or min(expected, default=0) < 0:
        raise ValueError("counts must not be negative, and each needs its expectation")
    cells = [(o, e) for o, e in zip(observed, expected, strict=True) if e > 0]
    if len(cells) < 2:
        raise ValueError("at least two cells with an expectation are needed")
    statistic = math.fsum((o - e) ** 2 / e for o, e in cells)
    return ChiSquare(statistic, len(cells) - 1, chi_square_sf(statistic, len(cells) - 1))


def homogeneity(rows: Sequence[Sequence[int]]) -> tuple[ChiSquare, float]:
    """Chi-square of a table of counts, and Cramer's V. Rows and columns without a count are left out."""
    width = len(rows[0])
    columns = [sum(row[i] for row in rows) for i in range(width)]
    kept = [[row[i] for i in range(width) if columns[i]] for row in rows if any(row)]
    sums = [total for total in columns if total]
    whole = sum(sums)
    if len(kept) < 2 or len(sums) < 2:
        raise ValueError("a table needs two rows and two columns with counts")
    expected = [[sum(row) * column / whole for column in sums] for row in kept]
    statistic = math.fsum(
        (o - e) ** 2 / e for row, es in zip(kept, expected, strict=True) for o, e in zip(row, es, strict=True)
    )
    df = (len(kept) - 1) * (len(sums) - 1)
    strength = math.sqrt(statistic / (whole * (min(len(kept), len(sums)) - 1)))
    return ChiSquare(statistic, df, chi_square_sf(statistic, df)), strength


# -- planning ----------------------------------------------------------------------------------------------------------


def units_for_rate(
    baseline: float, effect: float, *, alpha: float = 0.05, power: float = 0.80, challengers: int = 1
) -> int | None:
    """Units per arm that show a relative `effect` on a rate; None when no such rate exists."""
    p1, p2 = baseline, baseline * (1 + effect)
    if p1 <= 0 or p2 >= 1 or effect == 0:
        return None
    middle = (p1 + p2) / 2
    z_alpha, z_power = normal_quantile(1 - alpha / challengers / 2), normal_quantile(power)
    root = z_alpha * math.sqrt(2 * middle * (1 - middle)) + z_power * math.sqrt(p1 * (1 - p1) + p2 * (1 - p2))
    return math.ceil(root**2 / (p2 - p1) ** 2)


def units_for_mean(
    mean: float, variance: float, effect: float, *, alpha: float = 0.05, power: float = 0.80, challengers: int = 1
) -> int | None:
    """Units per arm that show a relative `effect` on a mean; None when the mean is 0."""
    if mean == 0 or effect == 0:
        return None
    reach = normal_quantile(1 - alpha / challengers / 2) + normal_quantile(power)
    return math.ceil(2 * variance * reach**2 / (effect * mean) ** 2)
