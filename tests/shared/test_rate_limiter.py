"""Token buckets that processes share."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from shared.db.connections import connect
from shared.jobs import JobContext
from shared.jobs.testing import START, Bench
from shared.rate_limiter import Rate, acquire, block
from tests import toys as toy_jobs
from tests.conftest import MakeBench
from tests.toys import ToyAsked

TWO = Rate("resend", per_s=2, burst=2)
SLOW = Rate("mux", per_s=0.1)


@pytest.fixture
def conn(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(database_url, application_name="cgk-test") as connection:
        yield connection


def waits(conn: psycopg.Connection[Any], rate: Rate, at_s: list[float], *, bears_s: float = 0) -> list[float | None]:
    """The wait of each acquire at these seconds; None where it was refused."""
    found: list[float | None] = []
    for second in at_s:
        permit = acquire(conn, "acme", rate, now=START + timedelta(seconds=second), bears_s=bears_s)
        found.append(round(permit.wait_s, 3) if permit.granted else None)
    return found


@pytest.mark.parametrize(
    ("rate", "at_s", "bears_s", "expected"),
    [
        (TWO, [0, 0, 0, 0], 60, [0, 0, 0.5, 1.0]),
        (TWO, [0, 0, 0], 0, [0, 0, None]),
        (TWO, [0, 0, 0, 0.5, 0.5, 1.0], 0, [0, 0, None, 0, None, 0]),
        (TWO, [0, 0, 100, 100, 100], 0, [0, 0, 0, 0, None]),
        (TWO, [0, 0, 0, 0, 0], 0.5, [0, 0, 0.5, None, None]),
        (SLOW, [0, 5, 10, 10.1], 0, [0, None, 0, None]),
        (SLOW, [0, 0], 10, [0, 10.0]),
    ],
    ids=[
        "burst, then in turn",
        "no patience",
        "a token every half second",
        "a bucket never holds more than its burst",
        "patience of half a second",
        "one in ten seconds",
        "a wait of exactly what is borne",
    ],
)
def test_bucket_gives_its_tokens(
    conn: psycopg.Connection[Any], rate: Rate, at_s: list[float], bears_s: float, expected: list[float | None]
) -> None:
    assert waits(conn, rate, at_s, bears_s=bears_s) == expected


def test_refusal_takes_nothing_and_says_when_to_come_again(conn: psycopg.Connection[Any]) -> None:
    assert waits(conn, SLOW, [0]) == [0]

    refused = [acquire(conn, "acme", SLOW, now=START + timedelta(seconds=4)) for _ in range(3)]

    assert [(permit.granted, permit.wait_s) for permit in refused] == [(False, 6.0)] * 3


def test_dear_calls_take_several_tokens(conn: psycopg.Connection[Any]) -> None:
    rate = Rate("shopify", per_s=100, burst=1000)

    permits = [acquire(conn, "acme", rate, now=START, cost=cost, bears_s=9) for cost in (600, 400, 50)]

    assert [permit.wait_s for permit in permits] == [0, 0, 0.5]


def test_owners_vendors_and_buckets_do_not_share(conn: psycopg.Connection[Any]) -> None:
    places = [
        ("acme", SLOW),
        ("globex", SLOW),
        ("shared:team-1", SLOW),
        ("acme", Rate("mux", per_s=0.1, bucket="creates")),
        ("acme", Rate("stripe", per_s=0.1)),
    ]

    assert all(acquire(conn, owner, rate, now=START).granted for owner, rate in places)
    assert not any(acquire(conn, owner, rate, now=START).granted for owner, rate in places)


def test_vendor_that_said_when_blocks_everybody(conn: psycopg.Connection[Any]) -> None:
    block(conn, "acme", TWO, now=START, after_s=30)

    assert waits(conn, TWO, [0, 29.9, 30, 30, 30.5]) == [None, None, 0, None, 0]


def test_shorter_block_does_not_end_a_longer_one(conn: psycopg.Connection[Any]) -> None:
    for after_s in (30, 5):
        block(conn, "acme", TWO, now=START, after_s=after_s)

    assert waits(conn, TWO, [10]) == [None]


def test_limit_holds_across_processes_that_ask_at_once(database_url: str) -> None:
    """Eight connections ask ten times each at one instant: forty tokens are there, forty are given."""
    rate, taken, start = Rate("fairing", per_s=1, burst=40), itertools.count(), threading.Barrier(8)

    def ask() -> None:
        with connect(database_url, application_name="cgk-test") as connection:
            start.wait()
            for _ in range(10):
                if acquire(connection, "acme", rate, now=START).granted:
                    next(taken)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert next(taken) == 40


@pytest.mark.parametrize("cost", [0, -1, 2.5])
def test_cost_that_the_bucket_never_holds_is_refused(conn: psycopg.Connection[Any], cost: float) -> None:
    with pytest.raises(ValueError, match="not within the burst"):
        acquire(conn, "acme", TWO, now=START, cost=cost)


@pytest.mark.parametrize("wrong", [{"per_s": 0}, {"per_s": -1}, {"per_s": 1, "burst": 0.5}, {"per_s": 1, "bucket": ""}])
def test_rate_that_limits_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="per_s above 0"):
        Rate("resend", **wrong)


# The port of a run.


@pytest.fixture
def toys(make_bench: MakeBench) -> Bench:
    toy_jobs.calls.clear()
    bench: Bench = make_bench(toy_jobs.REGISTRY)
    return bench


def limited(
    toys: Bench, monkeypatch: pytest.MonkeyPatch, act: Any, n: int, tenants: tuple[str, ...] = ("acme",)
) -> Any:
    monkeypatch.setitem(toy_jobs.ACTS, "limited", act)
    for number in range(n):
        for slug in tenants:
            toys.send("toy-play", {"tenantId": slug, "act": "limited", "n": number})
    return toys.pump("toys")


def test_run_waits_for_its_turn_when_it_bears_to(toys: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    done = limited(toys, monkeypatch, lambda ctx, payload: ctx.limit(TWO, wait_s=10), 4)

    assert [item.state for item in done] == ["succeeded"] * 4
    assert toys.clock.slept_s == pytest.approx(1.0)


def test_run_that_does_not_comes_back_without_an_attempt(toys: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    done = limited(toys, monkeypatch, lambda ctx, payload: ctx.limit(SLOW), 2)

    assert [(item.state, item.code) for item in done] == [("succeeded", None), ("deferred", "MUX_RATE_LIMITED")]
    assert done[1].delay_s == pytest.approx(10)
    assert [(item.state, item.attempt) for item in toys.drain()] == [("succeeded", 1)]


@pytest.mark.parametrize(("shared", "granted"), [(None, 2), ("team-1", 1)], ids=["own keys", "one key for both"])
def test_tenants_share_a_bucket_only_with_a_shared_key(
    toys: Bench, monkeypatch: pytest.MonkeyPatch, shared: str | None, granted: int
) -> None:
    done = limited(
        toys, monkeypatch, lambda ctx, payload: ctx.limit(SLOW, shared=shared), 1, tenants=("acme", "globex")
    )

    assert sum(item.state == "succeeded" for item in done) == granted


def test_vendor_s_refusal_of_one_run_holds_the_others(toys: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def act(ctx: JobContext, payload: ToyAsked) -> None:
        ctx.limit(TWO)
        if payload.n == 0:
            ctx.limit_hit(TWO, 60)

    assert [item.state for item in limited(toys, monkeypatch, act, 2)] == ["succeeded", "deferred"]


def test_limit_inside_a_session_is_a_bug(toys: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait would hold the session's locks, and the tenant's role has no right on the buckets."""

    def act(ctx: JobContext, payload: ToyAsked) -> None:
        with ctx.tenant_session():
            ctx.limit(TWO)

    [done] = limited(toys, monkeypatch, act, 1)

    assert isinstance(done.error, RuntimeError)
