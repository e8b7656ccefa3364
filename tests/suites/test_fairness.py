"""A tenant that floods 10,000 messages and one that sends ten: how much longer the ten take than without the flood.

Ten processes drain one queue, batches of ten, every run takes a second of virtual time. With SQS's fair order the
processes run the real pipeline with real claims, places and settles on PostgreSQL, until the ten are done. Without it
the ten come last, after a thousand batches; there a stand-in takes the pipeline's place, which holds each message for
its second and acknowledges it. That the stand-in and the pipeline agree is shown on a smaller flood.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from shared.events import Event, Payload
from shared.jobs import JobContext, job
from shared.jobs.messages import Record
from shared.jobs.ports import OutMessage
from shared.jobs.queues import Queue
from shared.jobs.registry import build_registry
from shared.jobs.testing import Bench, Fleet, FleetClock, ManualClock
from shared.jobs.testing.fleet import deliver
from tests.suites.counts import Count

FLOOD = 10_000
SMALL_FLOOD = 600
QUIET = 10
WORKERS = 10
RUN_S = 1.0
BOUND = 3.0
"""How many times as long the quiet tenant's messages may take."""


class FairAsked(Event, name="fair.asked", from_apps=True):
    n: int


class FairDone(Payload):
    n: int


FAIR = Queue("fair")


@job("fair-work", on=FairAsked, queue=FAIR)
def fair_work(ctx: JobContext, payload: FairAsked) -> FairDone:
    """Takes a second and does nothing."""
    ctx.sleep(RUN_S)
    return FairDone(n=payload.n)


REGISTRY = build_registry([fair_work])


@pytest.fixture
def clock() -> ManualClock:
    return FleetClock()


@pytest.fixture
def bench(make_bench: Any) -> Bench:
    made: Bench = make_bench(REGISTRY)
    return made


def stand_in(bench: Bench, queue: str, records: Sequence[Record]) -> None:
    """The queue's view of a batch: each message takes its time, all are acknowledged at the end."""
    for _ in records:
        bench.clock.sleep(RUN_S)
    bench.queues.acknowledge(queue, {record.receipt for record in records})


@pytest.fixture
def seconds(bench: Bench) -> Iterator[Callable[..., float]]:
    """seconds(flood, at, fair, handle): virtual seconds from the quiet tenant's sending to the end of its last run."""
    fleets: list[Fleet] = []

    def measure(*, flood: int, at: float, fair: bool = True, handle: Callable[..., object] = deliver) -> float:
        bench.queues.queues.clear()
        bench.queues.fair = fair
        fleet = Fleet(bench, FAIR.name, workers=WORKERS, handle=handle)
        fleets.append(fleet)
        sent: list[str] = []
        began = bench.clock.now()
        _send(bench, "acme", flood)

        def quiet_sends() -> None:
            sent.extend(_send(bench, "globex", QUIET))

        def ended() -> bool:
            waiting = {message.message_id for message in bench.queues.queues[FAIR.name] if message.group == "globex"}
            return bool(sent) and not waiting

        fleet.run(ended, meanwhile=[(at, quiet_sends)])
        return (bench.clock.now() - began).total_seconds() - at

    yield measure
    for fleet in fleets:
        fleet.close()


def _send(bench: Bench, tenant: str, n: int) -> list[str]:
    queue = bench.queues.queues[FAIR.name]
    bodies = [f'{{"job": "fair-work", "payload": {{"tenantId": "{tenant}", "n": {i}}}}}' for i in range(n)]
    bench.queues.send(FAIR.name, [OutMessage(body, tenant) for body in bodies])
    return [message.message_id for message in queue[len(queue) - n :]]


def test_flood_slows_another_tenant_by_no_more_than_the_bound(seconds: Callable[..., float], count: Count) -> None:
    alone = seconds(flood=0, at=0.5)
    flooded = [seconds(flood=FLOOD, at=at) for at in (0.5, 10.5, 15, 19.5)]

    assert max(flooded) <= BOUND * alone, f"{flooded} against {alone} s alone"
    count.note(f"a flood of {FLOOD:,} slows another tenant's {QUIET} by {max(flooded) / alone:.1f} x in fair order")


def test_without_the_fair_order_the_flood_comes_first(seconds: Callable[..., float], count: Count) -> None:
    alone = seconds(flood=0, at=0.5, handle=stand_in)
    flooded = seconds(flood=FLOOD, at=15, fair=False, handle=stand_in)

    assert flooded > 50 * alone
    count.note(f"without it by {flooded / alone:.0f} x")


@pytest.mark.parametrize("fair", [True, False])
def test_stand_in_and_pipeline_take_the_same_time(seconds: Callable[..., float], fair: bool) -> None:
    real, stood_in = (seconds(flood=SMALL_FLOOD, at=15, fair=fair, handle=handle) for handle in (deliver, stand_in))

    assert real == pytest.approx(stood_in, abs=2 * RUN_S)
