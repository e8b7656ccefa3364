"""Which arm is best, and what choosing another one costs: posteriors of several arms, integrated exactly.

P(arm i is best) = integral of f_i times the product of the others' F; the expected loss of arm a is E[max] less its
mean (Scott 2010; Stucchio 2015). Panels of Gauss-Legendre quadrature are laid around every arm's bulk, so that arms
of very different widths are integrated alike.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from shared.stats.special import beta_cdf, log_beta, normal_cdf

_WIDTHS = (-40, -20, -12, -8, -6, -4.5, -3, -2, -1, 0, 1, 2, 3, 4.5, 6, 8, 12, 20, 40)
"""Borders of the panels, in standard deviations from an arm's mean."""
_NODES = (
    (0.1488743389816312, 0.2955242247147529),
    (0.4333953941292472, 0.2692667193099963),
    (0.6794095682990244, 0.2190863625159820),
    (0.8650633666889845, 0.1494513491505806),
    (0.9739065285171717, 0.0666713443086881),
)
"""Gauss-Legendre with ten points: positive nodes and weights (Abramowitz and Stegun, table 25.4)."""


@dataclass(frozen=True, slots=True)
class Posterior:
    """What is believed of one arm's mean."""

    mean: float
    sd: float
    pdf: Callable[[float], float]
    cdf: Callable[[float], float]
    draw: Callable[[Random], float]
    low: float = -math.inf
    high: float = math.inf


def beta_posterior(successes: int, trials: int) -> Posterior:
    """Of a rate, from a uniform prior: Beta(1 + x, 1 + n - x)."""
    if not 0 <= successes <= trials:
        raise ValueError("a rate needs 0 <= x <= n")
    a, b = 1 + successes, 1 + trials - successes
    norm = log_beta(a, b)

    def pdf(x: float) -> float:
        return math.exp((a - 1) * math.log(x) + (b - 1) * math.log1p(-x) - norm) if 0 < x < 1 else 0.0

    sd = math.sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))
    return Posterior(a / (a + b), sd, pdf, lambda x: beta_cdf(a, b, x), lambda r: r.betavariate(a, b), 0.0, 1.0)


def normal_posterior(mean: float, variance: float) -> Posterior:
    """Of a mean with many units: Normal(mean, variance of the mean)."""
    if variance <= 0:
        raise ValueError("a posterior needs a variance above 0")
    sd = math.sqrt(variance)
    norm = sd * math.sqrt(2 * math.pi)

    def pdf(x: float) -> float:
        return math.exp(-0.5 * ((x - mean) / sd) ** 2) / norm

    return Posterior(mean, sd, pdf, lambda x: normal_cdf((x - mean) / sd), lambda r: r.gauss(mean, sd))


def best_of(arms: Sequence[Posterior]) -> tuple[list[float], list[float]]:
    """Per arm the probability of being the best, and the expected loss of choosing it."""
    best = [0.0] * len(arms)
    borders = _borders(arms)
    above = borders[0]
    for x, weight in _points(borders):
        below = [arm.cdf(x) for arm in arms]
        above += weight * (1 - math.prod(below))
        for i, arm in enumerate(arms):
            best[i] += weight * arm.pdf(x) * math.prod(below[:i] + below[i + 1 :])
    return best, [max(0.0, above - arm.mean) for arm in arms]


def _borders(arms: Sequence[Posterior]) -> list[float]:
    cuts = {min(arm.high, max(arm.low, arm.mean + width * arm.sd)) for arm in arms for width in _WIDTHS}
    return sorted(cuts)


def _points(borders: Sequence[float]) -> list[tuple[float, float]]:
    found = []
    for start, end in itertools.pairwise(borders):
        middle, half = (start + end) / 2, (end - start) / 2
        for node, weight in _NODES:
            found += [(middle - half * node, half * weight), (middle + half * node, half * weight)]
    return found
