"""Time that tests move."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class ManualClock:
    """A clock that moves only when told to; `sleep` moves it too."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self.slept_s = 0.0

    def now(self) -> datetime:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self.advance(s=seconds)

    def advance(self, *, s: float = 0, days: float = 0) -> None:
        self._now += timedelta(seconds=s, days=days)


@dataclass
class FixedContext:
    """Lambda's context with a fixed remaining time."""

    remaining_ms: int = 90_000
    aws_request_id: str = "test"

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms
