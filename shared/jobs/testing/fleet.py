"""Many processes at once on one virtual clock: what concurrency does, without waiting for it.

Each worker is a thread that receives, handles and acknowledges as a Lambda environment does, with a connection of its
own. One thread runs at a time; one that sleeps on the clock lets the next go, and when all sleep, time moves to
the earliest that wakes. So runs overlap in virtual time exactly as long as they say, and every simulation repeats.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from shared.jobs.messages import Record
from shared.jobs.testing.bench import Bench
from shared.jobs.testing.clock import START, ManualClock

POLL_S = 1.0
"""Seconds until a worker that found nothing looks again."""


class FleetClock(ManualClock):
    """A clock on which threads sleep: `sleep` inside of a worker gives the turn away until its time has come."""

    def __init__(self, start: datetime = START) -> None:
        super().__init__(start)
        self._order = itertools.count()
        self._asleep: list[tuple[datetime, int, threading.Event]] = []
        self._workers: set[int] = set()

    def sleep(self, seconds: float) -> None:
        if threading.get_ident() not in self._workers:
            super().sleep(seconds)
            return
        self.slept_s += seconds
        turn = self._enter(seconds)
        self._next()
        turn.wait()

    def begin(self, turn: threading.Event) -> None:
        """A worker's thread has started: it waits for its first turn."""
        self._workers.add(threading.get_ident())
        turn.wait()

    def end(self) -> None:
        """A worker's thread ends: the next one goes on."""
        self._workers.discard(threading.get_ident())
        self._next()

    def run(self, ended: threading.Event, starts: Sequence[threading.Event]) -> None:
        """Give the first turn and wait until the last worker has ended."""
        for turn in starts:
            heapq.heappush(self._asleep, (self.now(), next(self._order), turn))
        self._ended = ended
        self._next()
        ended.wait()

    def _enter(self, seconds: float) -> threading.Event:
        turn = threading.Event()
        heapq.heappush(self._asleep, (self.now() + timedelta(seconds=seconds), next(self._order), turn))
        return turn

    def _next(self) -> None:
        if not self._asleep:
            self._ended.set()
            return
        at, _, turn = heapq.heappop(self._asleep)
        if at > self.now():
            self.advance(s=(at - self.now()).total_seconds())
        turn.set()


Handle = Callable[[Bench, str, Sequence[Record]], object]


def deliver(bench: Bench, queue: str, records: Sequence[Record]) -> object:
    """What a worker does with what it received: the whole pipeline."""
    return bench.invoke(queue, records)


class Fleet:
    """`workers` processes that drain one queue of `bench`, whose clock must be a FleetClock.

    `handle` stands in for the pipeline where only the queue's order is asked for; it must acknowledge by itself.
    """

    def __init__(self, bench: Bench, queue: str, *, workers: int, batch: int = 10, handle: Handle = deliver) -> None:
        assert isinstance(bench.clock, FleetClock)
        self._handle = handle
        self.clock = bench.clock
        self.benches = [bench.twin() for _ in range(workers)]
        self._queue = queue
        self._batch = batch
        self.errors: list[BaseException] = []

    def run(self, until: Callable[[], bool], *, meanwhile: Iterable[tuple[float, Callable[[], object]]] = ()) -> None:
        """Work until `until()` is true or a worker fails; raises what it failed with.

        `meanwhile`: (seconds from now, what happens then), in the order of their time.
        """
        starts = [threading.Event() for _ in range(len(self.benches) + 1)]
        threads = [
            threading.Thread(target=self._work, args=(bench, turn, until), daemon=True)
            for bench, turn in zip(self.benches, starts[1:], strict=True)
        ]
        threads.append(threading.Thread(target=self._happen, args=(starts[0], list(meanwhile)), daemon=True))
        for thread in threads:
            thread.start()
        self.clock.run(threading.Event(), starts)
        for thread in threads:
            thread.join()
        if self.errors:
            raise self.errors[0]

    def close(self) -> None:
        """Close the workers' connections."""
        for bench in self.benches:
            bench.connections.discard()

    def _work(self, bench: Bench, turn: threading.Event, until: Callable[[], bool]) -> None:
        self.clock.begin(turn)
        try:
            while not until() and not self.errors:
                had = bench.queues.receive(self._queue, self._batch, 540)
                if had:
                    self._handle(bench, self._queue, had)
                else:
                    self.clock.sleep(POLL_S)
        except BaseException as error:  # a worker that dies unasked ends the simulation
            self.errors.append(error)
        finally:
            self.clock.end()

    def _happen(self, turn: threading.Event, events: Sequence[tuple[float, Callable[[], object]]]) -> None:
        self.clock.begin(turn)
        began = self.clock.now()
        try:
            for at_s, event in events:
                self.clock.sleep(max(0.0, at_s - (self.clock.now() - began).total_seconds()))
                event()
        except BaseException as error:
            self.errors.append(error)
        finally:
            self.clock.end()
