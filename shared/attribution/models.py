"""The seven attribution models: pure functions from a path to one whole-number weight per touchpoint.

A model only says how much each touchpoint weighs; `credits.py` splits cents and credit by these weights to the last
unit. Weights are whole numbers, real ones scaled by WEIGHT_SCALE, so that a path always gives the same shares on every
machine. Touchpoints i = 1..n are in the order of the path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction

from shared.attribution.touchpoints import Touchpoint

WEIGHT_SCALE = 10**12
"""A real weight becomes round_half_even(weight * WEIGHT_SCALE): far finer than a cent of any order."""
HALF_LIFE_DEFAULT_H = 168
"""A week: an order's touchpoint of seven days before the last one counts half."""

_DECAY = Context(prec=34, rounding=ROUND_HALF_EVEN)
"""Decimal, not float: powers of two differ in the last digit between processors."""


@dataclass(frozen=True, slots=True)
class PositionWeights:
    """Shares of the first touchpoint, of all in between together, and of the last one; whole numbers >= 0."""

    first: int = 40
    middle: int = 20
    last: int = 40

    def __post_init__(self) -> None:
        if min(self.first, self.middle, self.last) < 0 or self.first + self.last <= 0:
            raise ValueError("position weights must be >= 0, first and last not both 0")


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a tenant has set for the models. `removal_effects`: channel -> effect of the active trained model."""

    half_life_h: int = HALF_LIFE_DEFAULT_H
    position: PositionWeights = PositionWeights()
    removal_effects: Mapping[str, Fraction] = field(default_factory=dict)


Weights = Callable[[Sequence[Touchpoint], Parameters], list[int]]


def first_touch(path: Sequence[Touchpoint], parameters: Parameters) -> list[int]:
    """w_1 = 1, else 0: everything to the contact that brought the person."""
    return [1] + [0] * (len(path) - 1)


def last_touch(path: Sequence[Touchpoint], parameters: Parameters) -> list[int]:
    """w_n = 1, else 0: everything to the contact before the order."""
    return [0] * (len(path) - 1) + [1]


def last_non_direct(path: Sequence[Touchpoint], parameters: Parameters) -> list[int]:
    """w_i = 1 for the last touchpoint that is not direct, for the last one when all are; else 0."""
    n = len(path)
    chosen = next((i for i in reversed(range(n)) if not path[i].direct), n - 1)
    return [int(i == chosen) for i in range(n)]


def linear(path: Sequence[Touchpoint], parameters: Parameters) -> list[int]:
    """w_i = 1: the same to each."""
    return [1] * len(path)


def position_based(path: Sequence[Touchpoint], parameters: Parameters) -> list[int]:
    """With F, M, L = `parameters.position` ("U-shaped", 40/20/40 by default).

    n = 1: 1. n = 2: F, L. n >= 3: w_1 = F (n - 2), w_i = M for each in between, w_n = L (n - 2); so the middle shares M
    and the sum is (F + M + L)(n - 2).
    """
    n, p = len(path), parameters.position
    if n == 1:
        return [1]
    if n == 2:
        return [p.first, p.last]
    return [p.first * (n - 2), *[p.middle] * (n - 2), p.last * (n - 2)]


def time_decay(path: Sequence[Touchpoint], parameters: Parameters) -> list[int]:
    """w_i = 2^(-(t_n - t_i) / H), H the half-life: half the weight for each half-life before the last touchpoint.

    Counted from the newest touchpoint and not from the order: the shares are the same, and the newest weighs 1, so that
    the sum cannot vanish.
    """
    half_life_us = parameters.half_life_h * 3_600_000_000
    newest = path[-1].occurred_at
    weights = []
    for t in path:
        age = newest - t.occurred_at
        age_us = (age.days * 86_400 + age.seconds) * 1_000_000 + age.microseconds
        decay = _DECAY.power(Decimal(2), _DECAY.divide(Decimal(-age_us), Decimal(half_life_us)))
        weights.append(int(_DECAY.multiply(decay, Decimal(WEIGHT_SCALE)).to_integral_value(ROUND_HALF_EVEN)))
    return weights


def data_driven(path: Sequence[Touchpoint], parameters: Parameters) -> list[int]:
    """w_i = RE(channel_i) / k, RE the channel's removal effect, k how often the channel is in the path.

    RE(c) = 1 - P(conversion without c) / P(conversion) of a Markov chain over channels (Anderl, Becker, von Wangenheim,
    Schumann 2016, "Mapping the customer journey", IJRM 33(3)), trained apart. An unknown channel takes the mean of the
    known effects. Direct touchpoints weigh 0 unless the whole path is direct. Without a model, or when all weights
    vanish: linear.
    """
    effects = parameters.removal_effects
    if not effects:
        return linear(path, parameters)
    mean = sum(effects.values(), Fraction(0)) / len(effects)
    times = Counter(t.channel for t in path)
    all_direct = all(t.direct for t in path)
    weights = [
        0 if t.direct and not all_direct else round(effects.get(t.channel, mean) / times[t.channel] * WEIGHT_SCALE)
        for t in path
    ]
    return weights if any(weights) else linear(path, parameters)


MODELS: Mapping[str, Weights] = {
    "first_touch": first_touch,
    "last_touch": last_touch,
    "last_non_direct": last_non_direct,
    "linear": linear,
    "position_based": position_based,
    "time_decay": time_decay,
    "data_driven": data_driven,
}
"""Model by its word in the settings."""
