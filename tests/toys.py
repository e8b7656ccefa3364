"""Toy jobs for the kernel's own tests: each does what its payload tells it to."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from shared.events import Event, Payload
from shared.jobs import Deferred, JobContext, Permanent, RateLimited, Retry, Transient, job, payload_hash, window
from shared.jobs.queues import Queue
from shared.jobs.registry import build_registry

TOYS = Queue("toys")
OTHERS = Queue("other-toys")


class ToyAsked(Event, name="toy.asked", from_apps=True):
    """`act` names what the job does; see `ACTS`."""

    act: str = "nothing"
    n: int = 0


class ToyDone(Event, name="toy.done", to_apps=True):
    n: int


class ToySeen(Event, name="toy.seen", from_apps=True):
    n: int


class ToyResult(Payload):
    n: int
    attempt: int


class Crash(BaseException):
    """The process dies here: nothing of the pipeline after it runs."""


Act = Callable[[JobContext, ToyAsked], None]
ACTS: dict[str, Act] = {}
calls: list[tuple[str, str, int]] = []
"""(job, act, n) of every start of a handler, in order; cleared by the fixture `toys`."""


def act(function: Act) -> Act:
    ACTS[function.__name__] = function
    return function


@job(
    "toy-play",
    on=ToyAsked,
    queue=TOYS,
    emits=(ToyDone, ToySeen),
    retry=Retry(attempts=3, factor=2, min_s=2, max_s=60),
    timeout_s=5,
)
def play(ctx: JobContext, payload: ToyAsked) -> ToyResult:
    """Does what the payload says."""
    calls.append((ctx.job_id, payload.act, payload.n))
    ACTS[payload.act](ctx, payload)
    return ToyResult(n=payload.n, attempt=ctx.attempt)


@job("toy-watch", on=ToySeen, queue=OTHERS, key=lambda p, m: payload_hash(p) + window(m, 60))
def watch(ctx: JobContext, payload: ToySeen) -> ToyResult:
    """Notes that it has seen something; once per content and minute."""
    calls.append((ctx.job_id, "seen", payload.n))
    return ToyResult(n=payload.n, attempt=ctx.attempt)


@job("toy-dig", on=ToyAsked, queue=TOYS, emits=(ToyDone,), timeout_s=840, max_hops=5)
def dig(ctx: JobContext, payload: ToyAsked) -> ToyResult:
    """The bulk sister of toy-play."""
    calls.append((ctx.job_id, payload.act, payload.n))
    ACTS[payload.act](ctx, payload)
    return ToyResult(n=payload.n, attempt=ctx.attempt)


@job("toy-guard", on=ToySeen, queue=OTHERS, tenants="any", key=lambda p, m: f"guard-{p.n}", max_age_s=3600)
def guard(ctx: JobContext, payload: ToySeen) -> ToyResult:
    """Serves tenants in any status."""
    calls.append((ctx.job_id, "seen", payload.n))
    return ToyResult(n=payload.n, attempt=ctx.attempt)


REGISTRY = build_registry([play, watch, dig, guard])

WRITE = "INSERT INTO tenant_config (key, value) VALUES (%(key)s, to_jsonb(%(n)s::int)) ON CONFLICT (key) DO NOTHING"


def write(session: Any, n: int) -> None:
    """One row of business data, named after n."""
    session.execute(WRITE, {"key": f"toy-{n}", "n": n})


@act
def nothing(ctx: JobContext, payload: ToyAsked) -> None:
    pass


@act
def permanent(ctx: JobContext, payload: ToyAsked) -> None:
    raise Permanent("TOY_BROKEN", "it cannot work")


@act
def transient(ctx: JobContext, payload: ToyAsked) -> None:
    raise Transient("TOY_LATER")


@act
def fixed_wait(ctx: JobContext, payload: ToyAsked) -> None:
    raise Transient("TOY_BUSY", after_s=45)


@act
def rate_limited(ctx: JobContext, payload: ToyAsked) -> None:
    raise RateLimited(120)


@act
def deferred(ctx: JobContext, payload: ToyAsked) -> None:
    raise Deferred("TOY_NOT_NOW", after_s=30)


@act
def bug(ctx: JobContext, payload: ToyAsked) -> None:
    raise KeyError("a-customers-name")


@act
def recover(ctx: JobContext, payload: ToyAsked) -> None:
    """Fails on the first attempt only."""
    if ctx.attempt == 1:
        raise Transient("TOY_LATER")


@act
def once_limited(ctx: JobContext, payload: ToyAsked) -> None:
    """Rate-limited the first time it is called, whatever the attempt."""
    if calls.count((ctx.job_id, "once_limited", payload.n)) == 1:
        raise RateLimited(60)


@act
def crash(ctx: JobContext, payload: ToyAsked) -> None:
    raise Crash


@act
def crash_once(ctx: JobContext, payload: ToyAsked) -> None:
    """Dies on the first call, after a checkpoint."""
    with ctx.tenant_session() as session:
        write(session, payload.n)
        session.emit(ToySeen(n=payload.n), key=f"seen-{payload.n}")
    if calls.count((ctx.job_id, "crash_once", payload.n)) == 1:
        raise Crash


@act
def checkpoint(ctx: JobContext, payload: ToyAsked) -> None:
    with ctx.tenant_session() as session:
        write(session, payload.n)
        session.emit(ToyDone(n=payload.n))


@act
def final(ctx: JobContext, payload: ToyAsked) -> None:
    with ctx.final_session() as session:
        write(session, payload.n)
        session.emit(ToyDone(n=payload.n))


@act
def final_then_bug(ctx: JobContext, payload: ToyAsked) -> None:
    with ctx.final_session() as session:
        write(session, payload.n)
        session.emit(ToyDone(n=payload.n))
    raise Transient("TOY_LATER")


@act
def session_fails(ctx: JobContext, payload: ToyAsked) -> None:
    with ctx.tenant_session() as session:
        write(session, payload.n)
        session.emit(ToyDone(n=payload.n))
        raise Transient("TOY_LATER")


@act
def emit(ctx: JobContext, payload: ToyAsked) -> None:
    ctx.emit(ToySeen(n=payload.n))


@act
def emit_then_fail(ctx: JobContext, payload: ToyAsked) -> None:
    ctx.emit(ToyDone(n=payload.n))
    raise Transient("TOY_LATER")


@act
def emit_late(ctx: JobContext, payload: ToyAsked) -> None:
    ctx.emit(ToySeen(n=payload.n), delay_s=300)


@act
def undeclared(ctx: JobContext, payload: ToyAsked) -> None:
    ctx.emit(ToyAsked())


@act
def three_steps(ctx: JobContext, payload: ToyAsked) -> None:
    """A chain of messages to itself: n = 3, 2, 1."""
    if payload.n > 1:
        ctx.again(ToyAsked(act="three_steps", n=payload.n - 1), delay_s=60)


@act
def forever(ctx: JobContext, payload: ToyAsked) -> None:
    ctx.again(ToyAsked(act="forever", n=payload.n + 1))


@act
def two_legs(ctx: JobContext, payload: ToyAsked) -> None:
    if ctx.cursor is None:
        ctx.continue_from({"row": 17})
    assert ctx.cursor == {"row": 17}


@act
def endless_legs(ctx: JobContext, payload: ToyAsked) -> None:
    ctx.continue_from({"leg": (ctx.cursor or {"leg": 0})["leg"] + 1})


@act
def http_in_session(ctx: JobContext, payload: ToyAsked) -> None:
    with ctx.tenant_session():
        ctx.http.request("GET", "http://127.0.0.1:9/", vendor="toy")


@act
def two_sessions(ctx: JobContext, payload: ToyAsked) -> None:
    with ctx.tenant_session(), ctx.tenant_session():
        pass


@act
def after_final(ctx: JobContext, payload: ToyAsked) -> None:
    with ctx.final_session():
        pass
    with ctx.tenant_session():
        pass


@act
def look_into_ledger(ctx: JobContext, payload: ToyAsked) -> None:
    with ctx.tenant_session() as session:
        session.value("SELECT count(*) FROM jobs.claims")


@act
def too_slow(ctx: JobContext, payload: ToyAsked) -> None:
    time.sleep(30)


@act
def slow_statement(ctx: JobContext, payload: ToyAsked) -> None:
    with ctx.tenant_session(statement_timeout_s=0.1) as session:
        session.execute("SELECT pg_sleep(30)")


@act
def show_progress(ctx: JobContext, payload: ToyAsked) -> None:
    ctx.progress(3, 10)
    with ctx.tenant_session() as session:
        write(session, payload.n)


@act
def ask_cancelled(ctx: JobContext, payload: ToyAsked) -> None:
    if ctx.cancelled():
        raise Permanent("TOY_CANCELLED")
