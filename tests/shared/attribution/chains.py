"""An oracle for the data-driven model that shares no code with it: absorbing Markov chains and Shapley values by the
plainest means, exact fractions throughout.

P(conversion) is solved here by elimination over all states and, in the tests, once more by walking the chain step by
step; Shapley values are averages over every order in which channels may join.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import groupby, pairwise, permutations

START, WON, LOST = "(start)", "(conversion)", "(null)"

Paths = Sequence[tuple[Sequence[str], int, int]]
"""(channels in order, how often it converted, how often it did not)."""
Chain = Mapping[str, Mapping[str, Fraction]]


def chain_of(paths: Paths) -> Chain:
    """Transition probabilities; repeats of a channel in a row are one visit."""
    counts: dict[str, Counter[str]] = {}
    for channels, won, lost in paths:
        states = [START, *(channel for channel, _ in groupby(channels))]
        for a, b in pairwise(states):
            counts.setdefault(a, Counter())[b] += won + lost
        end = counts.setdefault(states[-1], Counter())
        end[WON] += won
        end[LOST] += lost
    return {a: {b: Fraction(n, sum(to.values())) for b, n in to.items() if n} for a, to in counts.items()}


def channels_of(paths: Paths) -> list[str]:
    return sorted({channel for channels, _, _ in paths for channel in channels})


def conversion_probability(chain: Chain, kept: Iterable[str]) -> Fraction:
    """P(conversion) when only the channels `kept` are there and every step into another one is lost."""
    states = [START, *sorted(kept)]
    # x_a = sum_b P(a, b) x_b, x_conversion = 1, x_null = 0: (I - Q) x = r
    rows = [
        [Fraction(int(a == b)) - chain.get(a, {}).get(b, Fraction(0)) for b in states]
        + [chain.get(a, {}).get(WON, Fraction(0))]
        for a in states
    ]
    n = len(states)
    for i in range(n):
        pivot = next(r for r in range(i, n) if rows[r][i] != 0)
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for r in range(n):
            if r != i:
                rows[r] = [value - rows[r][i] * own for value, own in zip(rows[r], rows[i], strict=True)]
    return rows[0][n]


def walked_probability(chain: Chain, kept: Iterable[str], steps: int = 400) -> float:
    """The same, by following the probability mass through the chain for many steps."""
    alive, won = {START: 1.0}, 0.0
    allowed = set(kept)
    for _ in range(steps):
        following: Counter[str] = Counter()
        for state, mass in alive.items():
            for to, p in chain.get(state, {}).items():
                if to == WON:
                    won += mass * float(p)
                elif to in allowed:
                    following[to] += mass * float(p)  # type: ignore[assignment]
        alive = dict(following)
    return won


def removal_effects(paths: Paths) -> dict[str, Fraction]:
    chain, channels = chain_of(paths), channels_of(paths)
    whole = conversion_probability(chain, channels)
    return {c: 1 - conversion_probability(chain, set(channels) - {c}) / whole for c in channels}


def shapley_values(paths: Paths) -> dict[str, Fraction]:
    """The mean of what each channel adds to P(conversion), over all orders in which the channels join."""
    chain, channels = chain_of(paths), channels_of(paths)
    totals = dict.fromkeys(channels, Fraction(0))
    orders = list(permutations(channels))
    for order in orders:
        present: list[str] = []
        for channel in order:
            before = conversion_probability(chain, present)
            present.append(channel)
            totals[channel] += conversion_probability(chain, present) - before
    return {channel: total / len(orders) for channel, total in totals.items()}


def shares(values: Mapping[str, Fraction]) -> dict[str, Fraction]:
    whole = sum(values.values(), Fraction(0))
    return {channel: value / whole for channel, value in values.items()}
