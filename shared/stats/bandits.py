"""The next split of traffic between arms: to each about the probability that it is the best one, within bounds.

    thompson        target_i = 100 ((1 - eps) P_i + eps / k), P_i the share of joint posterior draws that arm i wins
    epsilon_greedy  target = 100 (1 - eps + eps / k) for the arm with the highest posterior mean, 100 eps / k else

Then no arm falls below a floor, no arm moves by more than a step, and shares are whole percents that sum to 100.
Weights are percents of one hundred; arms come in a fixed order, and ties go to the earlier one.

Sources: Thompson 1933; Scott 2010 (probability matching); Sutton and Barto, chapter 2 (epsilon-greedy).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from shared.stats.posteriors import Posterior

WHOLE = 100
_DIGITS = 9
"""Decimals that count when percents are rounded: what is beyond is the noise of floating point."""


def wins(arms: Sequence[Posterior], draws: int, random: Random) -> list[int]:
    """How often each arm is highest in `draws` joint draws; a tie goes to the earlier arm."""
    won = [0] * len(arms)
    for _ in range(draws):
        drawn = [arm.draw(random) for arm in arms]
        won[drawn.index(max(drawn))] += 1
    return won


def matched(best: Sequence[float], epsilon: float) -> list[float]:
    """Percents by probability of being best, with `epsilon` of the traffic spread evenly."""
    return [WHOLE * ((1 - epsilon) * p + epsilon / len(best)) for p in best]


def greedy(means: Sequence[float], epsilon: float) -> list[float]:
    """Percents that favour the highest mean, with `epsilon` of the traffic spread evenly."""
    each = WHOLE * epsilon / len(means)
    leader = means.index(max(means))
    return [each + (WHOLE * (1 - epsilon) if i == leader else 0.0) for i in range(len(means))]


def floored(weights: Sequence[float], floor: float) -> list[float]:
    """Arms below `floor` are lifted to it and the others scaled to fill the rest, until none is below.

    >>> [round(w, 4) for w in floored([0.1, 19.9, 80.0], 5)]
    [5.0, 18.9239, 76.0761]
    """
    if floor * len(weights) > WHOLE:
        raise ValueError("the floors of all arms are more than there is")
    lifted: set[int] = set()
    now = list(weights)
    while True:
        below = {i for i, weight in enumerate(now) if weight < floor and i not in lifted}
        if not below:
            return now
        lifted |= below
        rest = WHOLE - floor * len(lifted)
        others = math.fsum(weight for i, weight in enumerate(now) if i not in lifted)
        now = [floor if i in lifted else weight * rest / others for i, weight in enumerate(now)]


def stepped(current: Sequence[float], target: Sequence[float], step: float) -> tuple[list[float], float]:
    """As far from `current` towards `target` as no arm moves by more than `step`; and the part of the way."""
    farthest = max(abs(t - c) for c, t in zip(current, target, strict=True))
    part = 1.0 if farthest <= step else step / farthest
    return [c + part * (t - c) for c, t in zip(current, target, strict=True)], part


def whole(weights: Sequence[float]) -> list[int]:
    """Whole percents that sum to 100, by largest remainder.

    >>> whole([27.0533, 29.9467, 43.0])
    [27, 30, 43]
    """
    exact = [round(weight, _DIGITS) for weight in weights]
    parts = [math.floor(weight) for weight in exact]
    order = sorted(range(len(exact)), key=lambda i: -round(exact[i] - parts[i], _DIGITS))
    for i in order[: WHOLE - sum(parts)]:
        parts[i] += 1
    return parts


def scaled(shares: Sequence[int]) -> list[float]:
    """Shares as percents of 100: thirds are kept as 33 each and sum to 99."""
    total = sum(shares)
    if total <= 0 or min(shares) < 0:
        raise ValueError("shares must not be negative, and some must be above 0")
    return [share * WHOLE / total for share in shares]
