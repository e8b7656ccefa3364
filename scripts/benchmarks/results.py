"""One measured figure, what it is compared with, the goal, and the table of them all."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["met", "MISSED", ""]


@dataclass(frozen=True, slots=True)
class Goal:
    """`at_most` or `at_least`; of the ratio, or of the figure itself when `absolute`."""

    at_most: float | None = None
    at_least: float | None = None
    absolute: bool = False

    def text(self, unit: str) -> str:
        bound = self.at_most if self.at_most is not None else self.at_least
        sign = "<=" if self.at_most is not None else ">="
        return f"{sign} {bound:g} {unit if self.absolute else 'x'}"

    def holds(self, value: float, ratio: float) -> bool:
        found = value if self.absolute else ratio
        return (self.at_most is None or found <= self.at_most) and (self.at_least is None or found >= self.at_least)


@dataclass(frozen=True, slots=True)
class Result:
    """`value` in `unit`, and `ratio` to `against` (what was measured beside it, with its own figure)."""

    what: str
    value: float
    unit: str
    ratio: float
    against: str
    goal: Goal | None = None
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        if self.goal is None:
            return ""
        return "met" if self.goal.holds(self.value, self.ratio) else "MISSED"

    def as_json(self) -> dict[str, Any]:
        """The result for machines; the goal as text."""
        goal = self.goal.text(self.unit) if self.goal else None
        return {**asdict(self), "goal": goal, "verdict": self.verdict or None}


def in_turns(rounds: int, **works: Callable[[], float]) -> dict[str, list[float]]:
    """Each work once per round, in the given order; name -> its figures. The first round warms up and is dropped.

    Works of one round meet the same load of the machine, so ratios are taken per round (see `ratio`).
    """
    found: dict[str, list[float]] = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            figure = work()
            if number:
                found[name].append(figure)
    return found


def ratio(figures: Sequence[float], others: Sequence[float]) -> float:
    """The median of the rounds' ratios."""
    return statistics.median(one / other for one, other in zip(figures, others, strict=True))


def table(rows: Sequence[tuple[str, Result]]) -> str:
    """The results as text, one line each, notes below."""
    head = ("row", "what", "measured", "ratio", "to", "goal", "")
    lines = [
        (name, r.what, f"{figure(r.value)} {r.unit}", f"{r.ratio:.2f} x", r.against, *_goal(r)) for name, r in rows
    ]
    widths = [max(len(line[n]) for line in (head, *lines)) for n in range(len(head))]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *lines)
    ]
    text.insert(1, "-" * max(len(line) for line in text))
    notes = [f"{name}, {r.what}: {r.note}" for name, r in rows if r.note]
    return "\n".join([*text, *([""] if notes else []), *notes])


def _goal(result: Result) -> tuple[str, str]:
    return (result.goal.text(result.unit) if result.goal else "", result.verdict)


def figure(value: float) -> str:
    """Three significant digits, thousands apart."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
