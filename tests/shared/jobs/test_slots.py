"""The tenant cap: held across processes, freed by a crash, paid with no attempt; the jobs' own caps."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from shared.events import Event, Payload
from shared.jobs import JobContext, job
from shared.jobs.queues import Queue
from shared.jobs.registry import build_registry
from shared.jobs.testing import Bench, FixedContext, Fleet, FleetClock, ManualClock
from tests.conftest import Rows

CAP = 3
CAPPED = Queue("capped", tenant_cap=CAP)
WORK_S = 10
LEASE_S = 100


class WorkAsked(Event, name="cap.work", from_apps=True):
    n: int = 0


class AloneAsked(Event, name="cap.alone", from_apps=True):
    n: int = 0


class WorkDone(Payload):
    attempt: int


class Meter:
    """How many runs are under way, per (job, tenant), and the most there ever were."""

    def __init__(self) -> None:
        self.now: Counter[tuple[str, str]] = Counter()
        self.most: Counter[tuple[str, str]] = Counter()
        self.attempts: list[int] = []
        self.gate: threading.Event | None = None

    def work(self, ctx: JobContext) -> WorkDone:
        for key in ((ctx.job_id, ctx.tenant.slug), ("all", ctx.tenant.slug)):
            self.now[key] += 1
            self.most[key] = max(self.most[key], self.now[key])
        try:
            if self.gate is not None:
                self.gate.wait(10)
            ctx.sleep(WORK_S)
        finally:
            for key in ((ctx.job_id, ctx.tenant.slug), ("all", ctx.tenant.slug)):
                self.now[key] -= 1
        self.attempts.append(ctx.attempt)
        return WorkDone(attempt=ctx.attempt)


METER: list[Meter] = []


@job("cap-work", on=WorkAsked, queue=CAPPED)
def work(ctx: JobContext, payload: WorkAsked) -> WorkDone:
    """Works for a while."""
    return METER[0].work(ctx)


@job("cap-alone", on=AloneAsked, queue=CAPPED, tenant_cap=1)
def alone(ctx: JobContext, payload: AloneAsked) -> WorkDone:
    """Works for a while, one run of a tenant at a time."""
    return METER[0].work(ctx)


REGISTRY = build_registry([work, alone])


@pytest.fixture
def meter() -> Iterator[Meter]:
    METER[:] = [Meter()]
    yield METER[0]
    METER.clear()


@pytest.fixture
def clock() -> ManualClock:
    return FleetClock()


@pytest.fixture
def bench(make_bench: Any) -> Bench:
    made: Bench = make_bench(REGISTRY)
    return made


@pytest.fixture
def fleet(bench: Bench) -> Iterator[Fleet]:
    made = Fleet(bench, "capped", workers=8, batch=1)
    yield made
    made.close()


def send(bench: Bench, n: int, tenant: str = "acme", event: type[WorkAsked | AloneAsked] = WorkAsked) -> None:
    for number in range(n):
        bench.publish(event(n=number), tenant)


def test_cap_holds_across_processes_and_burns_no_attempt(bench: Bench, fleet: Fleet, meter: Meter) -> None:
    send(bench, 20)
    send(bench, 2, "globex")

    fleet.run(lambda: len(meter.attempts) == 22)

    assert meter.most["all", "acme"] == CAP
    assert meter.most["all", "globex"] == 2
    assert meter.attempts == [1] * 22
    assert bench.queues.dead("capped") == []


def test_job_with_a_cap_of_its_own_leaves_the_rest_of_the_queues(bench: Bench, fleet: Fleet, meter: Meter) -> None:
    send(bench, 6, event=AloneAsked)
    send(bench, 6)

    fleet.run(lambda: len(meter.attempts) == 12)

    assert meter.most["cap-alone", "acme"] == 1
    assert meter.most["cap-work", "acme"] >= 2
    assert meter.most["all", "acme"] <= CAP
    assert meter.attempts == [1] * 12


def test_places_of_processes_that_died_are_free_when_their_leases_are_over(
    bench: Bench, fleet: Fleet, meter: Meter
) -> None:
    """All places of the tenant are taken by processes that die; the others wait, and then go on."""
    for nth in range(1, CAP + 1):
        fleet.benches[0].faults.crash("before-handler", nth=nth)
    send(bench, CAP)
    began = fleet.clock.now()
    first: list[float] = []

    def ended() -> bool:
        if meter.attempts and not first:
            first.append((fleet.clock.now() - began).total_seconds())
        return len(meter.attempts) == CAP + 5

    fleet.run(ended, meanwhile=[(1, lambda: send(bench, 5))])

    assert fleet.benches[0].crashes == CAP
    assert first[0] >= LEASE_S
    assert sorted(meter.attempts) == [1] * 5 + [2] * CAP
    assert meter.most["all", "acme"] <= CAP


def test_places_are_given_back_at_the_end_of_an_invocation(bench: Bench, meter: Meter, rows: Rows) -> None:
    send(bench, 1)
    send(bench, 1, event=AloneAsked)

    bench.pump("capped")

    assert rows("SELECT * FROM jobs.slots WHERE owner IS NOT NULL") == []
    assert sorted(row["scope"] for row in rows("SELECT scope FROM jobs.slots WHERE n = 1")) == ["cap-alone", "capped"]


def test_batch_of_one_tenant_takes_one_place(bench: Bench, meter: Meter, rows: Rows) -> None:
    """The runs of a batch follow one another, so they are one run under way."""
    held: list[int] = []
    bench.faults.on("before-handler", lambda: held.append(_held(rows)), nth=2)
    send(bench, 4)

    bench.pump("capped")

    assert held == [1]
    assert meter.attempts == [1] * 4


def _held(rows: Rows) -> int:
    return len(rows("SELECT 1 FROM jobs.slots WHERE owner IS NOT NULL"))


def test_lowered_cap_holds_at_once(bench: Bench, make_bench: Any, meter: Meter, rows: Rows) -> None:
    """Rows of a cap that was higher are left unused."""
    send(bench, 1)
    bench.pump("capped")
    rows.execute("UPDATE jobs.slots SET owner = gen_random_uuid(), lease_until = 'infinity' WHERE n <= %s", (CAP,))
    rows.execute("INSERT INTO jobs.slots (scope, tenant, n) VALUES ('capped', 'acme', %s)", (CAP + 1,))
    send(bench, 1)

    assert bench.pump("capped") == []
    assert meter.attempts == [1]


def test_processes_that_claim_at_the_same_moment_share_the_places(bench: Bench, meter: Meter) -> None:
    """Twelve processes with connections of their own, in parallel in fact and not in virtual time only."""
    meter.gate = threading.Event()
    twins = [bench.twin() for _ in range(12)]
    send(bench, len(twins))
    batches = [bench.queues.receive("capped", 1, 540) for _ in twins]
    start = threading.Barrier(len(twins))
    returned: list[int] = []

    def run(twin: Bench, n: int) -> None:
        twin.connections.get()
        start.wait(10)
        twin.fast.handle(batches[n], FixedContext())
        returned.append(n)

    threads = [threading.Thread(target=run, args=(twin, n)) for n, twin in enumerate(twins)]
    for thread in threads:
        thread.start()
    until = time.monotonic() + 10
    while meter.now["all", "acme"] + len(returned) < len(twins) and time.monotonic() < until:
        time.sleep(0.01)
    inside = meter.now["all", "acme"]
    meter.gate.set()
    for thread in threads:
        thread.join(10)
    for twin in twins:
        twin.connections.discard()

    assert 1 <= inside <= CAP
    assert meter.most["all", "acme"] == inside
    assert len(returned) == len(twins)
