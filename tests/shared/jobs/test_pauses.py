"""Pausing a job, a queue, a tenant while everything runs."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from shared.jobs import JobContext, pauses
from shared.jobs.context import Tenant
from shared.jobs.pauses import Pause, Scope, paused_s
from shared.jobs.testing import START, Bench
from tests import toys as toy_jobs
from tests.conftest import Rows
from tests.toys import ToyAsked, ToySeen

HOUR_S = 3600
RUNS = "SELECT job, tenant, state, attempt, code FROM jobs.runs ORDER BY run_at, run_id"

THINGS: list[Any] = [
    pytest.param("job", "toy-play", id="job"),
    pytest.param("queue", "toys", id="queue"),
    pytest.param("tenant", "acme", id="tenant"),
]


@pytest.fixture
def conn(toys: Bench) -> psycopg.Connection[Any]:
    return toys.connections.get()


def pump_until(toys: Bench, seconds: float, queue: str = "toys") -> list[Any]:
    """Deliver what comes to `queue` for so long, second by second as it becomes visible."""
    end, done = toys.clock.now() + timedelta(seconds=seconds), list[Any]()
    while (due := toys.queues.next_visible([queue])) is not None and due <= end:
        toys.clock.advance(s=max(0.0, (due - toys.clock.now()).total_seconds()))
        done += toys.pump(queue)
    toys.clock.advance(s=(end - toys.clock.now()).total_seconds())
    return done


@pytest.mark.parametrize(("scope", "name"), THINGS)
def test_what_is_paused_waits_without_a_run_or_an_attempt_and_goes_on_within_a_minute(
    toys: Bench, conn: psycopg.Connection[Any], rows: Rows, scope: Scope, name: str
) -> None:
    assert pauses.pause(conn, scope, name, now=START)
    for n in range(3):
        toys.send("toy-play", {"tenantId": "acme", "n": n})

    assert pump_until(toys, 2 * HOUR_S) == []
    assert rows(RUNS) == []
    assert len(toys.queues.queues["toys"]) == 3

    assert pauses.resume(conn, scope, name, now=toys.clock.now())
    done = pump_until(toys, 60 + pauses.REMEMBER_S)
    assert sorted((item.state, item.attempt, item.result["n"]) for item in done) == [
        ("succeeded", 1, n) for n in range(3)
    ]


@pytest.mark.parametrize(
    ("scope", "name", "runs"),
    [
        ("job", "toy-dig", ["acme toy-play", "globex toy-play"]),
        ("queue", "toys", []),
        ("queue", "toys-bulk", ["acme toy-play", "globex toy-play"]),
        ("tenant", "globex", ["acme toy-dig", "acme toy-play"]),
        ("tenant", "toys", ["acme toy-dig", "acme toy-play", "globex toy-dig", "globex toy-play"]),
    ],
    ids=["a job", "a queue, both classes", "one class of a queue", "a tenant", "a tenant of a queue's name"],
)
def test_only_what_is_paused_waits(
    toys: Bench, conn: psycopg.Connection[Any], rows: Rows, scope: Scope, name: str, runs: list[str]
) -> None:
    pauses.pause(conn, scope, name, now=START)
    for slug in ("acme", "globex"):
        toys.publish(ToyAsked(n=1), slug)

    toys.pump("toys")
    for _ in range(2):
        toys.pump("toys-bulk")

    assert sorted(f"{row['tenant']} {row['job']}" for row in rows(RUNS)) == runs


def test_pause_is_known_to_a_warm_process_within_seconds(toys: Bench, conn: psycopg.Connection[Any]) -> None:
    toys.send("toy-play", {"tenantId": "acme"})
    assert len(toys.pump("toys")) == 1
    pauses.pause(conn, "job", "toy-play", now=toys.clock.now())

    toys.clock.advance(s=pauses.REMEMBER_S)
    toys.send("toy-play", {"tenantId": "acme"})

    assert toys.pump("toys") == []


def test_run_that_is_claimed_and_not_begun_goes_back_unbegun(
    toys: Bench, rows: Rows, admin: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch may take longer than a minute: its later runs must not begin after a pause."""

    def slow(ctx: JobContext, payload: ToyAsked) -> None:
        pauses.pause(admin, "job", "toy-play", now=toys.clock.now())
        toys.clock.advance(s=30)

    monkeypatch.setitem(toy_jobs.ACTS, "slow", slow)
    toys.send("toy-play", {"tenantId": "acme", "act": "slow", "n": 1})
    toys.send("toy-play", {"tenantId": "acme", "n": 2})

    done = toys.pump("toys")

    assert [(item.state, item.code) for item in done] == [("succeeded", None), ("deferred", "PAUSED")]
    pauses.resume(admin, "job", "toy-play", now=toys.clock.now())
    toys.clock.advance(s=61)
    assert [(item.result["n"], item.attempt) for item in toys.drain()] == [(2, 1)]


def test_tenant_named_by_its_organization_is_paused_too(
    toys: Bench, conn: psycopg.Connection[Any], tenant: Tenant
) -> None:
    pauses.pause(conn, "tenant", "acme", now=START)
    toys.send("toy-play", {"tenantId": str(tenant.organization_id)})

    assert toys.pump("toys") == []
    assert len(toys.queues.queues["toys"]) == 1


def test_message_paused_for_longer_than_its_age_allows_runs_all_the_same(
    toys: Bench, conn: psycopg.Connection[Any]
) -> None:
    """Three days at a wait of a minute are thousands of receipts: the message is replaced and nothing is lost."""
    pauses.pause(conn, "job", "toy-play", now=START)
    toys.send("toy-play", {"tenantId": "acme", "n": 5}, key="k")
    pump_until(toys, 8 * HOUR_S)
    [message] = toys.queues.queues["toys"]
    assert message.receive_count < 45
    toys.clock.advance(days=3)
    pauses.resume(conn, "job", "toy-play", now=toys.clock.now())

    [done] = pump_until(toys, 120)

    assert (done.state, done.result["n"]) == ("succeeded", 5)
    assert toys.queues.dead("toys") == []


def test_age_outside_of_the_pause_counts(toys: Bench, conn: psycopg.Connection[Any]) -> None:
    """toy-guard allows an hour: 40 minutes before the pause and 30 after it are too many."""
    toys.send("toy-guard", {"tenantId": "acme", "n": 1})
    toys.clock.advance(s=40 * 60)
    pauses.pause(conn, "job", "toy-guard", now=toys.clock.now())
    assert toys.pump("other-toys") == []
    toys.clock.advance(days=1)
    pauses.resume(conn, "job", "toy-guard", now=toys.clock.now())
    toys.clock.advance(s=30 * 60)

    [done] = toys.pump("other-toys")

    assert (done.state, done.code) == ("dead", "EXPIRED")


def test_events_of_a_paused_listener_wait_while_others_hear_them(
    toys: Bench, conn: psycopg.Connection[Any], tenant: Tenant
) -> None:
    pauses.pause(conn, "job", "toy-watch", now=START)
    toys.publish(ToySeen(n=4), "acme")

    done = toys.pump("other-toys")

    assert [item.job for item in done] == ["toy-guard"]


def test_second_pause_changes_nothing_and_the_end_is_said_once(conn: psycopg.Connection[Any]) -> None:
    assert pauses.pause(conn, "queue", "toys", now=START, reason="Shopify is down", by="jo")
    assert not pauses.pause(conn, "queue", "toys", now=START + timedelta(hours=1), by="al")
    [held] = pauses.read(conn, START)
    assert (held.since, held.reason, held.paused_by, held.ended_at) == (START, "Shopify is down", "jo", None)

    assert pauses.resume(conn, "queue", "toys", now=START + timedelta(hours=2), by="al")
    assert not pauses.resume(conn, "queue", "toys", now=START + timedelta(hours=3))

    assert pauses.read(conn, START + timedelta(hours=4)) == []
    [ended] = pauses.read(conn, START + timedelta(hours=4), ended=True)
    assert (ended.ended_at, ended.ended_by) == (START + timedelta(hours=2), "al")
    assert pauses.pause(conn, "queue", "toys", now=START + timedelta(hours=5))


def _pause(begin: int, end: int | None) -> Pause:
    at: datetime | None = START + timedelta(seconds=end) if end is not None else None
    return Pause(UUID(int=1), "job", "j", START + timedelta(seconds=begin), "", "", at, None)


@pytest.mark.parametrize(
    ("spans", "seconds"),
    [
        ([], 0),
        ([(10, 20)], 10),
        ([(-10, 20)], 20),
        ([(10, None)], 90),
        ([(10, 30), (20, 40)], 30),
        ([(10, 40), (20, 30)], 30),
        ([(20, 30), (10, 15), (50, None)], 65),
        ([(-20, -10), (200, 210)], 0),
    ],
    ids=["none", "one", "begun before", "holds", "overlap", "inside", "several", "before and after"],
)
def test_paused_seconds_of_a_hundred(spans: list[tuple[int, int | None]], seconds: int) -> None:
    found = paused_s([_pause(*span) for span in spans], START, START + timedelta(seconds=100))

    assert found == seconds


def test_what_is_paused_costs_no_look_into_the_bucket(
    toys: Bench, conn: psycopg.Connection[Any], tenant: Tenant
) -> None:
    pauses.pause(conn, "tenant", "acme", now=START)
    toys.send("toy-play", {"tenantId": "acme", "_blob": "payloads/acme/gone"})

    assert toys.pump("toys") == []
