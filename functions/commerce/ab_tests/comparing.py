"""Arms of a test compared: by one metric, over epochs, and what is believed of each arm.

Over several epochs a difference is taken within each and then weighted by visitors: pooled rates lie as soon as the
split and the base rate both move (Simpson).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from functions.commerce.ab_tests.subjects import Metric, Subject
from functions.commerce.ab_tests.sums import Arms, Tally, merged, pooled
from shared.stats import (
    Adjustment,
    ChiSquare,
    Comparison,
    Posterior,
    Stratum,
    adjustment,
    beta_posterior,
    by_variance,
    goodness_of_fit,
    normal_posterior,
    ratios,
    stratified,
    two_proportions,
    units_for_mean,
    units_for_rate,
    welch,
    welch_of_moments,
)

MIN_EPOCH_ARM = 20
"""Visitors per arm that make an epoch of its own."""
MIN_VISITORS, MIN_CONVERSIONS = 100, 25
"""Per arm: before anything is judged, and before a winner is declared."""
POWER = 0.80
MIN_EXPECTED = 5
"""Expected visitors of an arm below which a split is not judged (Cochran 1954)."""
SRM_WARNING, SRM_CRITICAL = 0.05, 0.001
CUPED_COVERAGE, CUPED_CORRELATION = 0.20, 0.1
"""Share of visitors with a covariate, and the correlation, from which on it is used."""


def mean_of(metric: Metric, tally: Tally) -> float | None:
    """The arm's value of the metric: a rate, or cents. None where it has no value."""
    if metric == "average_order_value":
        return tally.revenue / tally.orders if tally.orders else None
    if not tally.n:
        return None
    return (tally.converted if metric == "conversion_rate" else tally.revenue) / tally.n


def conversions_of(metric: Metric, tally: Tally) -> int:
    """What MIN_CONVERSIONS asks for: converted visitors, for an order value its orders."""
    return tally.orders if metric == "average_order_value" else tally.converted


def covariate(epochs: Sequence[Arms], arms: Sequence[str]) -> Adjustment | None:
    """The adjustment by contacts before the assignment; None where these tell too little."""
    totals = [tally for id, tally in pooled(epochs).items() if id in arms]
    visitors = sum(tally.n for tally in totals)
    if not visitors or sum(tally.touched for tally in totals) < CUPED_COVERAGE * visitors:
        return None
    found = adjustment([tally.paired for tally in totals])
    return found if found is not None and abs(found.correlation) >= CUPED_CORRELATION else None


def compare(
    metric: Metric,
    epochs: Sequence[Arms],
    control: str,
    challenger: str,
    *,
    alpha: float,
    adjusted: Adjustment | None = None,
) -> Comparison | None:
    """Challenger less control; None where an arm has nothing to compare."""
    spans = _pairs(metric, epochs, control, challenger)
    pairs = [(arms.get(control, Tally()), arms.get(challenger, Tally())) for arms in spans]
    found = [_plain(metric, first, second, alpha, adjusted) for first, second in pairs]
    parts = [each for each in found if each is not None]
    if len(parts) != len(pairs) or not parts:
        return None
    if len(parts) == 1:
        return parts[0]
    weights = [first.n + second.n for first, second in pairs]
    strata = [Stratum(n, part.difference, part.variance) for n, part in zip(weights, parts, strict=True)]
    difference, variance = stratified(strata)
    value = math.fsum(n * (mean_of(metric, first) or 0.0) for n, (first, _) in zip(weights, pairs, strict=True))
    return by_variance(difference, variance, value / sum(weights), alpha=alpha)


def _pairs(metric: Metric, epochs: Sequence[Arms], *ids: str) -> list[Arms]:
    """The epochs of these arms, none of them too small to be one."""
    only = [{id: arms[id] for id in ids if id in arms} for arms in epochs]
    return merged(only, _enough(metric, ids))


def _enough(metric: Metric, ids: Sequence[str]) -> Callable[[Arms], bool]:
    def enough(arms: Arms) -> bool:
        tallies = [arms.get(id, Tally()) for id in ids]
        # An order value needs an order; a ratio over none has no value.
        return all(t.n >= MIN_EPOCH_ARM and (metric != "average_order_value" or t.orders > 0) for t in tallies)

    return enough


def _plain(metric: Metric, first: Tally, second: Tally, alpha: float, adjusted: Adjustment | None) -> Comparison | None:
    if min(first.n, second.n) == 0:
        return None
    if metric == "conversion_rate":
        return two_proportions(first.converted, first.n, second.converted, second.n, alpha=alpha)
    if min(first.n, second.n) < 2:
        return None
    if metric == "average_order_value":
        if min(first.orders, second.orders) == 0:
            return None
        return ratios(first.order_value, second.order_value, alpha=alpha)
    if adjusted is not None:
        return welch_of_moments(adjusted.apply(first.paired), adjusted.apply(second.paired), alpha=alpha)
    return welch(first.money, second.money, alpha=alpha)


# -- what is believed of each arm --------------------------------------------------------------------------------------


def beliefs(metric: Metric, epochs: Sequence[Arms], arms: Sequence[str]) -> list[Posterior] | None:
    """Posteriors of the arms, in their order; None where an arm has no value, or nothing varies.

    One epoch: Beta of the rate, Normal of a mean. Several: Normal over the epochs, weighted by all arms' visitors.
    """
    strata = _pairs(metric, epochs, *arms)
    if not strata or any(arms_of.get(id, Tally()).n == 0 for arms_of in strata for id in arms):
        return None
    if len(strata) == 1 and metric == "conversion_rate":
        return [beta_posterior(strata[0][id].converted, strata[0][id].n) for id in arms]
    whole = sum(tally.n for stratum in strata for tally in stratum.values())
    found = []
    for id in arms:
        mean, variance = 0.0, 0.0
        for stratum in strata:
            weight = sum(tally.n for tally in stratum.values()) / whole
            value, spread = mean_of(metric, stratum[id]), _spread(metric, stratum, id)
            if value is None or spread is None:
                return None
            mean += weight * value
            variance += weight**2 * spread / stratum[id].n
        if variance <= 0:
            return None
        found.append(normal_posterior(mean, variance))
    return found


def _spread(metric: Metric, arms: Arms, id: str) -> float | None:
    """Variance per visitor of an arm; that of all arms for one with fewer than two buyers."""
    own = arms[id]
    if metric == "conversion_rate":
        rate = own.converted / own.n
        if rate in (0.0, 1.0):  # no spread was seen, which is not to say that there is none
            rate = (1 + own.converted) / (2 + own.n)
        return rate * (1 - rate)
    return _money_spread(metric, own if own.buyers >= 2 else sum(arms.values(), Tally()))


def _money_spread(metric: Metric, tally: Tally) -> float | None:
    if tally.n < 2:
        return None
    if metric == "revenue_per_visitor":
        return tally.money.variance
    return tally.order_value.variance * tally.n if tally.orders else None


# -- the split of traffic, and planning --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Split:
    """Whether visitors were split as planned. Counts by variant id."""

    status: str
    p: float | None = None
    observed: dict[str, int] | None = None
    expected: dict[str, float] | None = None


def split_check(subject: Subject, by_epoch: dict[int, Arms]) -> Split:
    """Counts against the split of their own epoch, not today's (sample ratio mismatch)."""
    if subject.test["forced"]:
        return Split("not_applicable")  # visitors sent by a targeting rule cannot be told apart
    observed: dict[str, int] = {}
    expected: dict[str, float] = {}
    for position, arms in sorted(by_epoch.items()):
        shares = {id: share for id, share in subject.epochs[position - 1].shares.items() if share > 0}
        whole = sum(arms[id].n for id in shares if id in arms)
        for id, share in shares.items():
            observed[id] = observed.get(id, 0) + (arms[id].n if id in arms else 0)
            expected[id] = expected.get(id, 0.0) + whole * share / sum(shares.values())
    total = sum(observed.values())
    if total < MIN_VISITORS or len(expected) < 2 or min(expected.values()) < MIN_EXPECTED:
        return Split("insufficient", None, observed, expected)
    found: ChiSquare = goodness_of_fit(list(observed.values()), list(expected.values()))
    status = "critical" if found.p < SRM_CRITICAL else "warning" if found.p < SRM_WARNING else "none"
    return Split(status, found.p, observed, expected)


def needed_units(subject: Subject, control: Tally, challengers: int) -> int | None:
    """Visitors per arm that the planned effect needs; None when there is no baseline."""
    alpha, others = subject.alpha, max(1, challengers)
    mean = mean_of(subject.metric, control)
    if mean is None:
        return None
    if subject.metric == "conversion_rate":
        return units_for_rate(mean, subject.effect, alpha=alpha, power=POWER, challengers=others)
    spread = _money_spread(subject.metric, control)
    if not spread:
        return None
    return units_for_mean(mean, spread, subject.effect, alpha=alpha, power=POWER, challengers=others)


def days_left(needed: int | None, smallest: int, per_day: float) -> int | None:
    """Days until the smallest arm has what is needed; None when that cannot be said.

    >>> days_left(53211, 12000, 1200)
    35
    """
    if needed is None:
        return None
    if needed <= smallest:
        return 0
    return math.ceil((needed - smallest) / per_day) if per_day > 0 else None
