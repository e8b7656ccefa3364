"""Less noise by what was known before: a value per unit is corrected by a covariate from before the experiment.

One theta for all arms, theta = cov(X, Y) / var(X), and Y_adj = Y - theta (X - mean of X over all arms): the adjusted
difference then differs from the raw one exactly by what chance gave the arms beforehand. A theta per arm would take
the very effect away. The variance falls by the squared correlation.

Source: Deng, Xu, Kohavi, Walker, WSDM 2013 (CUPED).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from shared.stats.comparisons import Moments, Sums


@dataclass(frozen=True, slots=True)
class Paired:
    """A value and its covariate over the same units. Exact integers."""

    value: Sums
    covariate: Sums
    products: int
    """Sum of value times covariate per unit."""

    @property
    def covariance(self) -> float:
        """Sample covariance; needs n > 1."""
        n = self.value.n
        return (self.products * n - self.value.total * self.covariate.total) / (n * (n - 1))


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What the covariate explains: `theta`, the correlation over all arms, and the covariate's mean over them."""

    theta: float
    correlation: float
    mean: float

    @property
    def variance_reduction(self) -> float:
        return self.correlation**2

    def apply(self, arm: Paired) -> Moments:
        """The arm's adjusted mean and variance; needs n > 1."""
        spread = arm.value.variance - 2 * self.theta * arm.covariance + self.theta**2 * arm.covariate.variance
        return Moments(arm.value.n, arm.value.mean - self.theta * (arm.covariate.mean - self.mean), max(0.0, spread))


def adjustment(arms: Sequence[Paired]) -> Adjustment | None:
    """The adjustment over all arms; None when value or covariate does not vary."""
    whole = Paired(
        sum_of([arm.value for arm in arms]),
        sum_of([arm.covariate for arm in arms]),
        sum(arm.products for arm in arms),
    )
    if whole.value.n < 2 or whole.value.variance == 0 or whole.covariate.variance == 0:
        return None
    theta = whole.covariance / whole.covariate.variance
    correlation = whole.covariance / math.sqrt(whole.covariate.variance * whole.value.variance)
    return Adjustment(theta, correlation, whole.covariate.mean)


def sum_of(parts: Sequence[Sums]) -> Sums:
    """Sums over the units of all parts."""
    return Sums(sum(p.n for p in parts), sum(p.total for p in parts), sum(p.squares for p in parts))
