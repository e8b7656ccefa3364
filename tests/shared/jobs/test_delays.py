"""Delays of minutes to a year: one-off schedules, runs that wait long, what becomes of them on the way."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.jobs import Deferred, JobContext, RateLimited, Transient
from shared.jobs.registry import Registry
from shared.jobs.testing import START, Bench
from tests import toys as toy_jobs
from tests.conftest import MakeBench, Rows
from tests.toys import ToyAsked, ToyDone, ToySeen

DAY_S = 24 * 3600
RUNS = "SELECT job, state, code, attempt, next_at FROM jobs.runs ORDER BY run_at, run_id"
OUTBOX = "SELECT kind, target, deliver_at FROM jobs.outbox"

Acts = Callable[..., None]


@pytest.fixture
def acts(monkeypatch: pytest.MonkeyPatch) -> Acts:
    """acts(name=function) gives toy-play another act."""

    def add(**functions: Any) -> None:
        for name, function in functions.items():
            monkeypatch.setitem(toy_jobs.ACTS, name, function)

    return add


def once(name: str, raised: BaseException) -> toy_jobs.Act:
    """An act that raises the first time it is called."""

    def run(ctx: JobContext, payload: ToyAsked) -> None:
        if toy_jobs.calls.count((ctx.job_id, name, payload.n)) == 1:
            raise raised

    return run


# Emitting later.


@pytest.mark.parametrize(
    "options",
    [{"delay_s": 3 * DAY_S}, {"deliver_at": START + timedelta(days=3)}],
    ids=["delay_s", "deliver_at"],
)
def test_event_far_ahead_is_one_schedule_and_reaches_every_listener_at_its_instant(
    toys: Bench, play: Any, acts: Acts, rows: Rows, options: dict[str, Any]
) -> None:
    acts(later=lambda ctx, payload: ctx.emit(ToySeen(n=payload.n), **options))

    play("later", 9)

    [schedule] = toys.schedules.made
    assert (schedule.event, schedule.at) == ("toy.seen", START + timedelta(days=3))
    assert rows(OUTBOX) == []
    toys.clock.advance(s=3 * DAY_S - 1)
    assert toys.drain(most=1, horizon_s=0) == []
    done = toys.drain()
    assert sorted((item.job, item.state) for item in done) == [("toy-guard", "succeeded"), ("toy-watch", "succeeded")]
    assert toys.clock.now() == START + timedelta(days=3)


def test_delayed_event_is_sent_at_the_instant_of_its_delivery(toys: Bench, play: Any, acts: Acts, rows: Rows) -> None:
    """toy-guard allows an hour of age, so a message three days old at its birth would end EXPIRED."""
    acts(later=lambda ctx, payload: ctx.emit(ToySeen(n=1), delay_s=3 * DAY_S))

    play("later")
    toys.drain()

    sent = rows("SELECT sent_at FROM jobs.runs WHERE job = 'toy-guard'")
    assert [row["sent_at"] for row in sent] == [START + timedelta(days=3)]


@pytest.mark.parametrize(
    ("delay_s", "held_by"), [(1, "queue"), (900, "queue"), (901, "schedule"), (365 * DAY_S, "schedule")]
)
def test_again_waits_in_the_queue_up_to_fifteen_minutes_and_by_a_schedule_beyond(
    toys: Bench, play: Any, acts: Acts, delay_s: int, held_by: str
) -> None:
    acts(again=lambda ctx, payload: ctx.again(ToyAsked(act="nothing", n=5), delay_s=delay_s))

    play("again")

    assert len(toys.queues.queues["toys"]) == (1 if held_by == "queue" else 0)
    assert [schedule.queue for schedule in toys.schedules.made] == (["toys"] if held_by == "schedule" else [])
    [done] = toys.drain(horizon_s=366 * DAY_S)
    assert (done.state, done.result["n"]) == ("succeeded", 5)
    assert toys.clock.now() == START + timedelta(seconds=delay_s)


def test_session_s_delayed_emission_stands_and_falls_with_its_transaction(
    toys: Bench, play: Any, acts: Acts, rows: Rows
) -> None:
    def fails(ctx: JobContext, payload: ToyAsked) -> None:
        with ctx.tenant_session() as session:
            session.emit(ToySeen(n=1), delay_s=DAY_S)
            session.again(ToyAsked(), deliver_at=START + timedelta(days=1))
            raise Transient("TOY_LATER")

    def commits(ctx: JobContext, payload: ToyAsked) -> None:
        with ctx.tenant_session() as session:
            session.emit(ToySeen(n=1), delay_s=DAY_S)
            session.again(ToyAsked(), deliver_at=START + timedelta(days=1))

    acts(fails=fails, commits=commits)

    play("fails", expect="retrying")
    assert toys.schedules.made == []
    toys.queues.queues["toys"].clear()
    play("commits")
    assert len(toys.schedules.made) == 2


def test_event_that_applications_hear_goes_to_the_bus_even_with_a_short_delay(
    toys: Bench, play: Any, acts: Acts
) -> None:
    acts(soon=lambda ctx, payload: ctx.emit(ToyDone(n=1), delay_s=60))

    play("soon")

    [schedule] = toys.schedules.made
    assert (schedule.event, schedule.at) == ("toy.done", START + timedelta(seconds=60))


def test_instant_that_has_passed_is_now(toys: Bench, play: Any, acts: Acts) -> None:
    acts(past=lambda ctx, payload: ctx.emit(ToySeen(n=1), deliver_at=START - timedelta(hours=1)))

    assert play("past").emitted == [("toy.seen", {"n": 1})]
    assert toys.schedules.made == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"delay_s": -1}, "not within"),
        ({"delay_s": 365 * DAY_S + 1}, "not within"),
        ({"delay_s": 5, "deliver_at": START}, "not both"),
        ({"deliver_at": datetime(2026, 12, 1)}, "time zone"),  # noqa: DTZ001 - that is the mistake
    ],
    ids=["negative", "over a year", "both", "without a zone"],
)
def test_delay_that_cannot_be_is_refused(
    toys: Bench, play: Any, acts: Acts, options: dict[str, Any], says: str
) -> None:
    acts(wrong=lambda ctx, payload: ctx.emit(ToySeen(n=1), **options))

    done = play("wrong", expect="retrying")

    assert isinstance(done.error, ValueError)
    assert says in str(done.error)


def test_listener_of_another_category_gets_the_delayed_event_too(
    make_bench: MakeBench, acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function loads the jobs of its own category; who listens elsewhere it must look up."""
    monkeypatch.setattr("shared.jobs.registry.load_registry", lambda: toy_jobs.REGISTRY)
    own = make_bench(Registry({"toy-play": toy_jobs.play}, partial=True))
    acts(soon=lambda ctx, payload: ctx.emit(ToySeen(n=1), delay_s=60))
    own.send("toy-play", {"tenantId": "acme", "act": "soon"})

    own.pump("toys")

    assert len(own.queues.queues["other-toys"]) == 2


# The relay.


def test_relay_done_twice_is_one_schedule(
    toys: Bench, play: Any, acts: Acts, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    acts(later=lambda ctx, payload: ctx.emit(ToySeen(n=1), key="k", delay_s=DAY_S))
    kept: list[Any] = []
    with monkeypatch.context() as crash:
        crash.setattr(toys.relay, "send", lambda conn, sent: kept.extend(sent))
        play("later")

    for _ in range(2):  # the second time as after a crash between sending and deleting
        toys.relay.send(toys.connections.get(), kept)

    assert len(toys.schedules.made) == 1
    assert rows(OUTBOX) == []


def test_schedule_that_was_refused_is_made_by_the_sweeper(toys: Bench, play: Any, acts: Acts, rows: Rows) -> None:
    acts(later=lambda ctx, payload: ctx.again(ToyAsked(n=3), delay_s=DAY_S))
    toys.schedules.refuse = 1
    play("later")
    [row] = rows(OUTBOX)
    assert (row["kind"], row["target"], row["deliver_at"]) == ("schedule", "queue:toys", START + timedelta(days=1))

    toys.clock.advance(s=61)
    toys.relay.sweep(toys.connections.get(), toys.clock.now())

    assert [schedule.at for schedule in toys.schedules.made] == [START + timedelta(days=1)]


@pytest.mark.parametrize("late_s", [DAY_S - 600, DAY_S + 600], ids=["shortly before", "after its instant"])
def test_row_left_behind_near_its_instant_needs_no_schedule(
    toys: Bench, play: Any, acts: Acts, rows: Rows, late_s: int
) -> None:
    def later(ctx: JobContext, payload: ToyAsked) -> None:
        ctx.again(ToyAsked(n=3), delay_s=DAY_S)
        ctx.emit(ToySeen(n=4), delay_s=DAY_S)

    acts(later=later)
    toys.schedules.refuse = 1
    play("later")
    toys.clock.advance(s=late_s)

    assert toys.relay.sweep(toys.connections.get(), toys.clock.now()) == 2

    done = toys.drain()
    assert sorted(str(item.job) for item in done) == ["toy-guard", "toy-play", "toy-watch"]
    assert toys.clock.now() >= START + timedelta(seconds=DAY_S)


def test_rows_that_nobody_takes_do_not_keep_the_others_from_the_sweeper(
    toys: Bench, play: Any, acts: Acts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.jobs.outbox.SWEEP_PAGE", 2)
    acts(later=lambda ctx, payload: ctx.again(ToyAsked(n=payload.n), delay_s=DAY_S))
    for n in range(2):
        toys.schedules.refuse = 1
        play("later", n)
    toys.bus.refuse = 1
    play("emit", 8)
    toys.schedules.refuse = 100
    toys.clock.advance(s=61)

    for _ in range(2):
        toys.relay.sweep(toys.connections.get(), toys.clock.now())

    assert [name for name, _ in toys.bus.published] == ["toy.seen"]


# Runs that wait long.


@pytest.mark.parametrize(
    ("error", "attempt"),
    [
        (Deferred("TOY_NOT_NOW", at=START + timedelta(days=40)), 1),
        (Deferred("TOY_NOT_NOW", after_s=40 * DAY_S), 1),
        (RateLimited(20 * 3600), 1),
        (Transient("TOY_LATER", after_s=3600), 2),
    ],
    ids=["until an instant", "for a time", "for the vendor's time", "before its second attempt"],
)
def test_run_that_waits_long_leaves_the_queue_and_comes_back_as_the_same_run(
    toys: Bench, play: Any, acts: Acts, rows: Rows, error: Exception, attempt: int
) -> None:
    acts(waits=once("waits", error))

    first = play("waits", key="k", expect="deferred" if attempt == 1 else "retrying")

    assert toys.queues.queues["toys"] == []
    assert first.delay_s is not None
    [schedule] = toys.schedules.made
    assert schedule.queue == "toys"
    assert schedule.at == START + timedelta(seconds=first.delay_s)
    [done] = toys.drain(horizon_s=50 * DAY_S)
    assert (done.state, done.run_id, done.attempt) == ("succeeded", first.run_id, attempt)
    [run] = rows(RUNS)
    assert (run["state"], run["attempt"]) == ("succeeded", attempt)


def test_wait_up_to_fifteen_minutes_is_spent_in_the_queue(toys: Bench, play: Any, acts: Acts) -> None:
    acts(waits=once("waits", Deferred("TOY_NOT_NOW", after_s=900)))

    play("waits", expect="deferred")

    assert toys.schedules.made == []
    assert len(toys.queues.queues["toys"]) == 1


def test_message_that_comes_again_while_its_run_waits_long_is_acknowledged(toys: Bench, play: Any, acts: Acts) -> None:
    """As after a crash between the settling and the acknowledgement."""
    acts(waits=once("waits", Deferred("TOY_NOT_NOW", after_s=2 * DAY_S)))
    play("waits", key="k", expect="deferred")

    again = play("waits", key="k", expect="duplicate")

    assert "schedule" in again.detail
    assert [item.state for item in toys.drain()] == ["succeeded"]


def test_vendor_s_wait_counts_as_age_and_the_job_s_own_does_not(toys: Bench, play: Any, acts: Acts) -> None:
    acts(own=once("own", Deferred("TOY_NOT_NOW", after_s=3 * DAY_S)), vendor=once("vendor", RateLimited(3 * DAY_S)))

    play("own", 1, expect="deferred")
    play("vendor", 2, expect="deferred")

    assert sorted((item.state, item.code) for item in toys.drain()) == [("dead", "EXPIRED"), ("succeeded", None)]


def test_run_whose_schedule_cannot_be_made_still_comes_back(toys: Bench, play: Any, acts: Acts) -> None:
    acts(waits=once("waits", Deferred("TOY_NOT_NOW", after_s=DAY_S)))
    toys.schedules.refuse = 1_000
    play("waits", expect="deferred")

    toys.clock.advance(s=DAY_S - 300)
    toys.relay.sweep(toys.connections.get(), toys.clock.now())

    assert [item.state for item in toys.drain()] == ["succeeded"]
    assert toys.clock.now() >= START + timedelta(days=1)


# Cancelling.


@pytest.mark.parametrize("act", ["transient", "deferred"])
def test_waiting_run_is_cancelled_at_once_and_its_message_acknowledged(
    toys: Bench, play: Any, rows: Rows, act: str
) -> None:
    from shared.jobs import ledger

    run = play(act, key="k", expect="retrying" if act == "transient" else "deferred")

    assert ledger.cancel(toys.connections.get(), run.run_id, toys.clock.now()) == "cancelled"
    [done] = toys.drain()

    assert (done.state, done.detail) == ("duplicate", "cancelled before")
    assert [row["state"] for row in rows(RUNS)] == ["cancelled", "duplicate"]
    assert toys.queues.dead("toys") == []


def test_continued_run_is_cancelled_between_its_legs(toys: Bench, play: Any, rows: Rows) -> None:
    from shared.jobs import ledger

    run = play("two_legs", expect="continuing")

    assert ledger.cancel(toys.connections.get(), run.run_id, toys.clock.now()) == "cancelled"

    assert [item.state for item in toys.drain()] == ["duplicate"]


def test_run_asked_to_stop_while_it_runs_is_not_begun_again(toys: Bench, play: Any, acts: Acts, rows: Rows) -> None:
    from shared.db.connections import connect
    from shared.jobs import ledger

    answers: list[str] = []

    def fails(ctx: JobContext, payload: ToyAsked) -> None:
        with connect(toys.database_url, application_name="somebody") as conn:
            answers.append(ledger.cancel(conn, ctx.run_id, ctx.now()))
        raise Transient("TOY_LATER")

    acts(fails=fails)
    play("fails", expect="retrying")

    [done] = toys.drain()

    assert answers == ["requested"]
    assert done.state == "cancelled"
    assert [row["state"] for row in rows(RUNS)] == ["cancelled"]
    assert toys.queues.dead("toys") == []
    assert [name for name, _ in toys.bus.published] == []


def test_handler_that_stops_when_asked_ends_cancelled(toys: Bench, play: Any, acts: Acts, rows: Rows) -> None:
    from shared.db.connections import connect
    from shared.jobs import ledger
    from shared.jobs.errors import Cancelled

    def stops(ctx: JobContext, payload: ToyAsked) -> None:
        with connect(toys.database_url, application_name="somebody") as conn:
            ledger.cancel(conn, ctx.run_id, ctx.now())
        if ctx.cancelled():
            raise Cancelled("after page 3")

    acts(stops=stops)

    done = play("stops", expect="cancelled")

    assert rows("SELECT state, detail FROM jobs.runs") == [{"state": "cancelled", "detail": "after page 3"}]
    assert toys.queues.dead("toys") == []
    assert done.emitted == []


# Replaced copies keep what they know.


def test_replaced_copy_keeps_the_age_that_its_job_asked_for(toys: Bench, play: Any) -> None:
    from shared.jobs.envelope import parse
    from shared.jobs.messages import Record, compose

    at = datetime(2026, 12, 1, tzinfo=UTC)
    body = compose(
        "toy-play",
        {"tenantId": "acme"},
        id="i",
        sent_at=START,
        correlation_id="c",
        ages_from=at,
        key_suffix="~1",
    )
    record = Record("m", "r", body, 1, START, "toys")

    [message], [] = parse([record], toys.registry, START)

    assert (message.ages_from, message.key_suffix, message.id) == (at, "~1", "i")
    assert json.loads(message.body()) == json.loads(body)
