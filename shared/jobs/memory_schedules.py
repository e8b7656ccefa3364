"""One-off schedules in memory, for tests: they send when the bench's clock has reached them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from shared.jobs.messages import OWN_SOURCE
from shared.jobs.ports import OutMessage, OutSchedule, Queues


class Now(Protocol):
    """A clock that is only read."""

    def now(self) -> datetime: ...


class MemorySchedules:
    """The `Schedules` port. `put_event(name, detail, source)` is the bus's own entry."""

    def __init__(self, clock: Now, queues: Queues, put_event: Callable[[str, dict[str, Any], str], None]) -> None:
        self._clock = clock
        self._queues = queues
        self._put_event = put_event
        self.waiting: dict[str, OutSchedule] = {}
        self.made: list[OutSchedule] = []
        """Every schedule that was made, in order; a second put of one name is not made."""
        self.refuse = 0
        """How many coming calls of `put` take nothing."""

    def put(self, schedules: Sequence[OutSchedule]) -> list[bool]:
        if self.refuse:
            self.refuse -= 1
            return [False] * len(schedules)
        for schedule in schedules:
            if schedule.name not in {made.name for made in self.made}:
                self.made.append(schedule)
                self.waiting[schedule.name] = schedule
        return [True] * len(schedules)

    def next_at(self) -> datetime | None:
        """The earliest instant that is still to come."""
        return min((schedule.at for schedule in self.waiting.values()), default=None)

    def fire(self) -> None:
        """Send what is due; a schedule that has sent is gone."""
        now = self._clock.now()
        for schedule in sorted(self.waiting.values(), key=lambda schedule: schedule.at):
            if schedule.at > now:
                continue
            del self.waiting[schedule.name]
            if schedule.event is not None:
                self._put_event(schedule.event, json.loads(schedule.body), OWN_SOURCE)
            else:
                assert schedule.queue is not None
                self._queues.send(schedule.queue, [OutMessage(schedule.body, schedule.group)])
