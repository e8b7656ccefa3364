"""The minutely check over scripted queues and a small registry of watched jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from functions.scheduled.health import Instruments, check, check_critical
from functions.scheduled.health.last_line import LastLine
from shared.events import Event, Payload
from shared.jobs import Cron, JobContext, Tick, job
from shared.jobs.queues import Queue
from shared.jobs.registry import Registry, build_registry
from shared.jobs.testing import Bench, Delivered, ManualClock
from shared.jobs.ticks import tick_body

Rows = Any
WATCHED = Queue("watched")


class Watched(Event, name="health.watched", from_apps=True):
    n: int = 0


class WatchedResult(Payload):
    n: int = 0


@job("watched-fast", on=Watched, queue=WATCHED)
def fast(ctx: JobContext, payload: Watched) -> WatchedResult:
    """Runs in the fast queue."""
    return WatchedResult()


@job("watched-bulk", on=Watched, queue=WATCHED, timeout_s=300)
def bulk(ctx: JobContext, payload: Watched) -> WatchedResult:
    """Runs in the bulk queue."""
    return WatchedResult()


def a_cron(id: str, text: str, zone: str = "UTC") -> Any:
    """A cron job that does nothing."""

    @job(id, cron=Cron(text, zone=zone), queue=WATCHED)
    def tick(ctx: JobContext, payload: Tick) -> WatchedResult:
        """Does nothing."""
        return WatchedResult()

    return tick


CRONS = [a_cron(f"watched-cron-{n}", "*/5 * * * *") for n in range(3)]


@dataclass
class ScriptedQueues:
    """What CloudWatch and SQS would say."""

    ages: dict[str, float] = field(default_factory=dict)
    backlogs: dict[str, float] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)

    def ages_and_backlogs(
        self, queues: Sequence[str], now: datetime
    ) -> Mapping[str, tuple[float | None, float | None]]:
        return {queue: (self.ages.get(queue), self.backlogs.get(queue)) for queue in queues}

    def depths(self, queues: Sequence[str]) -> Mapping[str, int]:
        return {queue: self.dead.get(queue, 0) for queue in queues}


@pytest.fixture
def queues() -> ScriptedQueues:
    return ScriptedQueues()


@pytest.fixture
def last_line() -> LastLine:
    return LastLine()


@pytest.fixture
def registry(queues: ScriptedQueues, last_line: LastLine) -> Registry:
    """The job, looking through the tests' instruments at the watched jobs."""
    watched = build_registry([fast, bulk, *CRONS])
    instruments = Instruments(lambda: watched, lambda ctx: queues, last_line)
    made = replace(check_critical, handler=lambda ctx, tick: check(ctx, tick, instruments), blackout=last_line.blackout)
    return build_registry([made])


@pytest.fixture(autouse=True)
def calm_database(rows: Rows) -> None:
    """A test machine may be slow and its server full of other tests' connections: only what a test sets counts."""
    rows.execute(
        "INSERT INTO platform_config (key, value) VALUES ('health.thresholds', %s::jsonb)",
        (
            '{"database.latency": [60000, 90000], "database.connections_pct": [1000, 2000],'
            ' "database.longest_transaction_s": [1000000, 2000000], "database.xid_age_millions": [5000, 6000],'
            ' "redis.latency": [60000, 90000]}',
        ),
    )


Minute = Callable[..., Delivered]


@pytest.fixture
def minute(bench: Bench, clock: ManualClock, rows: Rows) -> Minute:
    """minute() moves the clock to the next whole minute and runs its tick; late_s: how late the tick comes."""

    def run(*, late_s: float = 5, expect: str = "succeeded", ticking: bool = True) -> Delivered:
        now = clock.now()
        at = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
        clock.advance(s=(at - now).total_seconds() + late_s)
        if ticking:
            for each in CRONS:  # the watched crons run as they should
                rows.execute(
                    "INSERT INTO jobs.ticks (job, tick_at, state) VALUES (%s, %s, 'done') ON CONFLICT DO NOTHING",
                    (each.id, each.cron.previous(clock.now())),
                )
        bench.send_raw("ops", tick_body("ops-health-check-critical", at.isoformat()))
        bench.pump("ops")  # the tick itself is no run: it becomes a message
        [found] = bench.pump("ops")
        assert found.state == expect, found
        return found

    return run


@pytest.fixture
def state(rows: Rows) -> Callable[[str], dict[str, Any]]:
    """state(service): the platform's row of it."""

    def read(service: str) -> dict[str, Any]:
        [row] = rows("SELECT * FROM health_check_state WHERE service = %s AND tenant_id IS NULL", (service,))
        return dict(row)

    return read
