"""The job that does nothing, in an environment like Lambda's but for AWS: ports in memory, the ledger on PostgreSQL."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from uuid import uuid4

from scripts.benchmarks.lab import KEY, TENANTS, Lab
from shared.events import Event, Payload
from shared.jobs import JobContext, job
from shared.jobs.queues import Queue
from shared.jobs.registry import build_registry
from shared.jobs.testing import Bench, ManualClock

BENCH = Queue("bench", tenant_cap=50)


class NothingAsked(Event, name="bench.nothing", from_apps=True):
    n: int


class Nothing(Payload):
    n: int


@job("bench-nothing", on=NothingAsked, queue=BENCH)
def do_nothing(ctx: JobContext, payload: NothingAsked) -> Nothing:
    """Does nothing, so that what is measured is the kernel."""
    return Nothing(n=payload.n)


REGISTRY = build_registry([do_nothing])


class WallClock(ManualClock):
    """The machine's time."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class Worker:
    """One Lambda environment's pipeline; its log goes, formatted as ever, to nowhere."""

    def __init__(self, lab: Lab) -> None:
        _log_to_nowhere()
        self.bench = Bench(REGISTRY, lab.database_url, {"INTEGRATION_ENCRYPTION_KEY": KEY}, clock=WallClock())
        self._sent, self._life = 0, uuid4().hex

    def work(self, jobs: int, batch: int) -> None:
        """Send `jobs` messages of two tenants and run them by batches; fails unless each succeeds."""
        for n in range(jobs):
            self._sent += 1
            self.bench.send(
                "bench-nothing", {"tenantId": TENANTS[n % 2], "n": self._sent}, key=f"{self._life}-{self._sent}"
            )
        done = 0
        while done < jobs:
            ended = self.bench.pump(BENCH.name, most=batch)
            assert ended, "messages were handed back"
            assert all(d.state == "succeeded" for d in ended), ended
            done += len(ended)
        self.bench.reports.clear()

    def close(self) -> None:
        self.bench.connections.discard()


def _log_to_nowhere() -> None:
    import logging

    from shared.jobs import logs

    logs.configure("bench")
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - open as long as the process
