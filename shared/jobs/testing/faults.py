"""What can go wrong inside of a process: it dies, or something happens to it, at a named point of the pipeline."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NoReturn

from shared.jobs.points import POINTS


class Crashed(BaseException):
    """The process dies here. A BaseException: nothing between here and the bench may live on."""


class Faults:
    """The `at` hook of a bench: notes every point that is reached and does there what a test has planned."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        """The points since the last `clear`, in order."""
        self._counts: Counter[str] = Counter()
        self._plans: dict[tuple[str, int], Callable[[], object]] = {}

    def __call__(self, point: str) -> None:
        self.reached.append(point)
        self._counts[point] += 1
        if plan := self._plans.pop((point, self._counts[point]), None):
            plan()

    def on(self, point: str, do: Callable[[], object], *, nth: int = 1) -> None:
        """Call `do`, which may raise, when `point` is reached for the nth time from now on; once."""
        if point not in POINTS:
            raise ValueError(f"{point!r} is no point of the pipeline: {', '.join(POINTS)}")
        self._plans[point, self._counts[point] + nth] = do

    def crash(self, point: str, *, nth: int = 1) -> None:
        """The process dies when `point` is reached for the nth time from now on."""
        self.on(point, _die, nth=nth)

    def clear(self) -> None:
        """Forget plans and what was reached."""
        self.reached.clear()
        self._counts.clear()
        self._plans.clear()

    @property
    def pending(self) -> int:
        """Plans whose point was not reached."""
        return len(self._plans)


def _die() -> NoReturn:
    raise Crashed
