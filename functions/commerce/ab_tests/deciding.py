"""From numbers to a verdict: collecting, leading, winner, control_wins, inconclusive or invalid.

While a test runs it is looked at all the time, so the always-valid p decides. At an end that was fixed beforehand
there is one look, and the fixed p decides; an end that somebody chose on what he saw is judged by the always-valid p.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from functions.commerce.ab_tests.comparing import MIN_CONVERSIONS, MIN_VISITORS, Split
from shared.stats import Comparison

MIN_RUNTIME = timedelta(days=7)
"""One full weekly cycle."""
MAX_RUNTIME = timedelta(days=90)
STABILITY_MAX_WAIT = timedelta(days=14)
BEST_HOLD = timedelta(hours=24)
"""Time for which the same arm of a bandit must be best."""
LOSS_TOLERANCE = 0.005
"""Expected loss of a bandit's winner, relative to its own mean."""
UNLINKED_MAX = 0.10
"""Attributed orders without a known visitor, as a share."""
Word = Literal["collecting", "leading", "winner", "control_wins", "inconclusive", "invalid"]


@dataclass(slots=True)
class Arm:
    """What is found of one arm. `mean` is the test's metric: a rate, or cents.

    `sequential_p` is the running minimum, `direction` the sign of the difference when it was reached; the adjusted
    values are Holm's over all challengers. `recent` is the difference among the visitors of the last days.
    """

    id: str
    n: int
    conversions: int
    mean: float | None
    comparison: Comparison | None = None
    interval: tuple[float, float] | None = None
    sequential_p: float | None = None
    direction: int = 0
    sequential_adjusted: float = 1.0
    fixed_adjusted: float = 1.0
    recent: float | None = None
    p_best: float | None = None
    expected_loss: float | None = None

    @property
    def difference(self) -> float:
        return self.comparison.difference if self.comparison else 0.0

    @property
    def judged(self) -> bool:
        return self.n >= MIN_VISITORS

    @property
    def enough(self) -> bool:
        return self.judged and self.conversions >= MIN_CONVERSIONS


@dataclass(slots=True)
class Findings:
    """All arms that are compared, the control apart; `problem`: why nothing can be."""

    control: Arm | None
    challengers: list[Arm]
    split: Split
    alpha: float
    runtime: timedelta
    guarded: bool
    unlinked_share: float
    split_wrong: bool = False
    """The split check was critical often enough to be acted on."""
    problem: str | None = None
    best_for: tuple[str, timedelta] | None = None
    """A bandit's best arm, and for how long it has been."""
    bandit: bool = False
    arms: list[Arm] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Nothing speaks against the data themselves."""
        return self.split.status != "critical" and not self.guarded and self.unlinked_share <= UNLINKED_MAX


@dataclass(frozen=True, slots=True)
class Decision:
    word: Word
    winner: str | None = None
    significant: bool = False

    @property
    def made(self) -> bool:
        return self.word in ("winner", "control_wins")


INVALID = Decision("invalid")
INCONCLUSIVE = Decision("inconclusive")


def while_running(found: Findings) -> Decision:
    """The decision of a look at a live test."""
    if found.split_wrong or found.problem is not None or found.control is None:
        return INVALID
    if found.bandit:
        return _bandit(found, found.runtime >= MIN_RUNTIME)
    in_time = found.runtime >= MIN_RUNTIME
    better = [arm for arm in found.challengers if _sequential(found, arm) and arm.difference > 0]
    if better:
        candidate = _best(better)
        stable = found.runtime >= MIN_RUNTIME + STABILITY_MAX_WAIT or candidate.recent is None or candidate.recent >= 0
        if in_time and stable and found.clean and found.control.enough and candidate.enough:
            return Decision("winner", candidate.id, True)
        return Decision("leading", None, True)
    if in_time and _all_worse(found, _sequential):
        return Decision("control_wins", found.control.id, True)
    return Decision("collecting")


def at_the_end(found: Findings, *, planned: bool) -> Decision:
    """The last look. `planned`: the end was fixed beforehand, so the fixed p may be used."""
    if found.split_wrong or found.split.status == "critical" or found.problem is not None or found.control is None:
        return INVALID
    if not all(arm.judged for arm in (found.control, *found.challengers)):
        return INCONCLUSIVE
    if found.bandit:
        decision = _bandit(found, found.runtime >= MIN_RUNTIME)
        return decision if decision.made else INCONCLUSIVE
    shown = _fixed if planned else _sequential
    better = [arm for arm in found.challengers if shown(found, arm) and arm.difference > 0]
    if better and found.clean and found.control.enough and _best(better).enough:
        return Decision("winner", _best(better).id, True)
    if not better and _all_worse(found, shown):
        return Decision("control_wins", found.control.id, True)
    return INCONCLUSIVE


def _sequential(found: Findings, arm: Arm) -> bool:
    # A difference that has turned round since is no evidence for its new direction.
    return arm.sequential_adjusted <= found.alpha and arm.direction * arm.difference > 0


def _fixed(found: Findings, arm: Arm) -> bool:
    return arm.fixed_adjusted <= found.alpha


def _all_worse(found: Findings, shown: Callable[[Findings, Arm], bool]) -> bool:
    assert found.control is not None
    worse = all(shown(found, arm) and arm.difference < 0 for arm in found.challengers)
    return worse and found.clean and all(arm.enough for arm in (found.control, *found.challengers))


def _best(arms: Sequence[Arm]) -> Arm:
    """The highest mean; a tie goes to the lower id."""
    return max(sorted(arms, key=lambda arm: arm.id), key=lambda arm: arm.mean or 0.0)


def _bandit(found: Findings, in_time: bool) -> Decision:
    known = [arm for arm in found.arms if arm.p_best is not None]
    if not known or not all(arm.judged for arm in found.arms):
        return Decision("collecting")
    best = max(known, key=lambda arm: arm.p_best or 0.0)
    assert best.p_best is not None  # of `known`
    small_loss = best.expected_loss is not None and best.expected_loss <= LOSS_TOLERANCE * (best.mean or 0.0)
    if best.p_best < 1 - found.alpha or not small_loss:
        return Decision("collecting")
    held = found.best_for is not None and found.best_for[0] == best.id and found.best_for[1] >= BEST_HOLD
    if in_time and held and found.clean and best.enough and _control_enough(found):
        return Decision("winner", best.id, True)
    return Decision("leading", None, True)


def _control_enough(found: Findings) -> bool:
    return found.control is not None and found.control.enough


def split_wrong(split: Split, critical_since: datetime | None, slot: datetime) -> bool:
    """Whether a critical split is acted on: two evaluations, an hour apart, have to agree."""
    return split.status == "critical" and critical_since is not None and slot - critical_since >= SRM_APART


SRM_APART = timedelta(minutes=55)
