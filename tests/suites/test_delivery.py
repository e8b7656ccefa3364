"""Every job under what a queue, a process and a database may do to its message: the work is done once, and wholly."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from shared.jobs.errors import JobTimeout
from shared.jobs.points import POINTS
from shared.jobs.testing import Bench
from tests.suites.counts import Count
from tests.suites.lab import Lab

INSIDE = ("before-handler", "in-session", "before-checkpoint", "after-checkpoint", "before-call", "after-handler")
"""Points at which the handler is on its way."""
UNFENCED = ("before-handler", "in-session", "before-call", "after-handler")
"""Points at which the claim's row is not locked."""
LEASE_OVER_S = 300
TIMES = 2 if os.environ.get("CGK_NIGHTLY") == "1" else 1
"""How often a point may be passed before the disturbance, where each first time must do in CI."""


def _twice_in_one_batch(lab: Lab) -> None:
    for _ in range(5):
        lab.send()


def _again_after_the_end(lab: Lab) -> None:
    lab.send()
    lab.drain()
    lab.send()


def _days_later(lab: Lab) -> None:
    lab.send()
    lab.drain()
    lab.bench.clock.advance(days=3)
    lab.send()


def _acknowledgement_lost(lab: Lab) -> None:
    lab.bench.queues.lose_acknowledgements = 1
    lab.send()


def _received_twice_at_once(lab: Lab) -> None:
    lab.bench.queues.double = 1
    lab.send()


def _to_another_process_meanwhile(lab: Lab) -> None:
    twin = lab.bench.twin()
    lab.bench.queues.double = 1
    lab.bench.faults.on("before-handler", lambda: _pump(twin, lab))
    lab.send()
    lab.pump()
    twin.connections.discard()


def _pump(twin: Bench, lab: Lab) -> None:
    lab.delivered += twin.pump(lab.job.queue_name)


DUPLICATES: dict[str, Callable[[Lab], None]] = {
    "five copies in one batch": _twice_in_one_batch,
    "again after the end": _again_after_the_end,
    "days later": _days_later,
    "acknowledgement lost": _acknowledgement_lost,
    "received twice at once": _received_twice_at_once,
    "to another process meanwhile": _to_another_process_meanwhile,
}


def test_message_delivered_more_than_once_works_once(lab: Lab, count: Count) -> None:
    runs = lab.reference.states.count("succeeded")
    for what, deliver in DUPLICATES.items():
        with lab.case(what):
            deliver(lab)
            ended = lab.end()
            lab.expect_same(ended, disturbed=False)
            assert ended.states.count("succeeded") == runs, f"it ran more than once: {ended.states}"
        count("duplicates")
    lab.verdict()


def test_process_that_dies_at_any_point_loses_nothing(lab: Lab, count: Count) -> None:
    for point, nth in lab.positions(POINTS):
        with lab.case(f"crash at {point} {nth}"):
            lab.bench.faults.crash(point, nth=nth)
            lab.send()
            ended = lab.end()
            assert lab.bench.crashes == 1, "the point was not reached"
            lab.expect_same(ended)
        count("crash points")
    lab.verdict()


REFUSING = ("after-parse", "after-refuse", "in-relay", "after-relay", "before-answer")


def test_process_that_dies_while_it_refuses_a_message_loses_no_letter(lab: Lab, count: Count) -> None:
    for point in REFUSING:
        with lab.case(f"refusal, crash at {point}"):
            lab.bench.faults.crash(point)
            lab.send(lab.body({"tenantId": "nobody"}))
            lab.end()
            assert lab.bench.crashes == 1, "the point was not reached"
            codes = {letter.attributes["code"] for letter in lab.bench.queues.dead(lab.job.queue_name)}
            assert codes == {"INVALID_PAYLOAD"}, codes
        count("crash points")
    lab.verdict()


def test_database_that_hangs_up_at_any_point_loses_nothing(lab: Lab, count: Count) -> None:
    for point, nth in lab.positions(POINTS, most=1):
        with lab.case(f"cut at {point} {nth}"):
            lab.bench.faults.on(point, lab.cut, nth=nth)
            lab.send()
            lab.expect_same(lab.end())
        count("cut connections")
    lab.verdict()


@pytest.mark.parametrize("raised", [JobTimeout("longer than it may"), ValueError("a bug")], ids=["timeout", "bug"])
def test_handler_that_is_stopped_at_any_point_is_tried_again(lab: Lab, count: Count, raised: Exception) -> None:
    def stop() -> None:
        raise raised

    for point, nth in lab.positions(INSIDE, most=TIMES):
        with lab.case(f"{type(raised).__name__} at {point} {nth}"):
            lab.bench.faults.on(point, stop, nth=nth)
            lab.send()
            handled = "succeeded" in [item.state for item in lab.pump()]
            ended = lab.end()
            if not handled:  # else the handler has its own way with errors
                lab.expect_same(ended)
        count("timeouts" if isinstance(raised, JobTimeout) else "bugs in handlers")
    lab.verdict()


def test_process_that_lost_its_lease_writes_nothing(lab: Lab, count: Count) -> None:
    for point, nth in lab.positions(UNFENCED, most=TIMES):
        with lab.case(f"lease lost at {point} {nth}"):
            stood: list[object] = []

            def steal(stood: list[object] = stood) -> None:
                lab.steal()
                stood.append(lab.store.sums())

            lab.bench.faults.on(point, steal, nth=nth)
            lab.send()
            lab.pump()
            if stood:  # a later message of the chain may be the one that passes the point
                assert lab.store.sums() == stood[0], "it has written after losing its lease"
            lab.expect_same(lab.end(), spent=2)  # its own, and that of the one that took over and died
        count("lost leases")
    lab.verdict()


def test_zombie_that_wakes_up_changes_nothing(lab: Lab, count: Count) -> None:
    for point, nth in lab.positions(("before-handler", "in-session", "before-call"), most=TIMES):
        with lab.case(f"zombie at {point} {nth}"):
            twin = lab.bench.twin()

            def sleep(twin: Bench = twin) -> None:
                lab.bench.clock.advance(s=LEASE_OVER_S)
                _pump(twin, lab)

            lab.bench.faults.on(point, sleep, nth=nth)
            lab.send()
            lab.pump()
            lab.expect_same(lab.end())
            twin.connections.discard()
        count("zombies")
    lab.verdict()
