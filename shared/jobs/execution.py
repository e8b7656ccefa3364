"""Step 5, execute: run the handler with its context, under its timer, and turn what it did into an ending."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NoReturn
from uuid import UUID

import psycopg
from pydantic import BaseModel

from shared.crypto import Keyring
from shared.db.connections import ConnectionHolder
from shared.db.sessions import TransactionSession, commit, leave_role, open_platform, open_tenant, rollback
from shared.events.base import Event, Payload
from shared.integrations.http import Http, code_prefix
from shared.jobs import failures, settlement, tokens
from shared.jobs.admission import SYSTEM_TENANT, expired
from shared.jobs.context import Isolation, Session, Tenant, Workflows
from shared.jobs.declaration import Delivery, HoldToken
from shared.jobs.emissions import Emitter
from shared.jobs.errors import JobTimeout, LeaseLost, Permanent, RateLimited
from shared.jobs.messages import Cancelled, Continue, Dead, Ending, Outcome, Outgoing, Run, Succeeded
from shared.jobs.outbox import Relay
from shared.jobs.points import At, nowhere
from shared.jobs.ports import Alarms, Clock, Metrics, NoStateMachines, StateMachines
from shared.jobs.registry import Registry
from shared.jobs.signals import EmfMetrics, SnsAlarms
from shared.jobs.slots import Slot
from shared.jobs.timer import timer
from shared.jobs.workflows import RunWorkflows
from shared.rate_limiter import Rate, acquire, block

WORK_LIMIT_S = 30 * 60
"""Seconds of work of one run over all its legs; longer chains send a new message."""
CURSOR_MAX = 64 * 1024
"""Bytes of JSON in a cursor."""
DEADLINE_MARGIN_S = 15.0
"""Room in seconds that a run keeps before its end, to commit a checkpoint and answer."""
STATEMENT_TIMEOUT_S = 30.0
"""Default bound of one statement in seconds; a session may ask for another."""
CANCEL_LOOK_S = 5.0
"""Seconds between two looks into the ledger for a cancellation."""

CANCELLED = "SELECT cancel_requested_at IS NOT NULL FROM jobs.runs WHERE run_id = %(run)s AND run_at = %(at)s"

logger = logging.getLogger("cgk.jobs")


class _ContinueFrom(BaseException):
    """Carries the cursor out of the handler; a BaseException, so that no handler's `except Exception` swallows it."""

    def __init__(self, cursor: Any) -> None:
        super().__init__("continue")
        self.cursor = cursor


@dataclass(frozen=True)
class Workshop:
    """What all runs of one Lambda environment share."""

    connections: ConnectionHolder
    keyring: Keyring
    registry: Registry
    clock: Clock
    secrets: Mapping[str, str] = field(repr=False)
    settings: Mapping[str, str]
    rng: random.Random
    relay: Relay
    machines: StateMachines = field(default_factory=NoStateMachines)
    metrics: Metrics = field(default_factory=EmfMetrics)
    alarms: Alarms = field(default_factory=lambda: SnsAlarms(None))
    at: At = nowhere
    """Called at the points of points.py; only tests give one."""


def execute(run: Run, shop: Workshop, remaining_s: Callable[[], float], *, free: Iterable[Slot] = ()) -> Outcome:
    """Takes: a claimed run. Gives: its outcome; with a final session that has committed, `settled` is true, and the
    places `free` are given back.

    Verdicts come from `failures.verdict`; LeaseLost escapes, because then this process has nothing to say any more.
    """
    started = time.monotonic()
    context = RunContext(run, shop, started, remaining_s)
    error: BaseException | None = None
    ending: Ending
    spent = _spent(run, shop.clock.now())
    try:
        if spent is not None:
            ending = spent
        elif run.known and context.cancelled():
            ending = Cancelled("asked to stop before it was begun again")
        else:
            if run.message.task_token:
                tokens.keep(shop.connections.get(), run, shop.keyring, shop.clock.now())
            with timer(run.job.timeout_s):
                shop.at("before-handler")
                returned = run.job(context, run.admitted.payload)
                shop.at("after-handler")
            ending = context.finish(returned)
            context.close_final(ending, free)
    except _ContinueFrom as leave:
        ending = context.next_leg(leave.cursor)
    except LeaseLost:
        context.abandon()
        raise
    except Exception as raised:
        context.abandon()
        error = raised
        ending = failures.verdict(raised, retry=run.job.retry, attempt=run.attempt, now=shop.clock.now(), rng=shop.rng)
    outgoing = context.outgoing if isinstance(ending, Succeeded | Continue) else ()
    return Outcome(
        run, ending, _ms(started), tuple(outgoing), settled=context.settled, touched=context.used_session, error=error
    )


def _spent(run: Run, now: datetime) -> Dead | None:
    """The verdict on a run that must not begin: too old, or its last attempt took the process with it."""
    if run.attempt > run.job.retry.attempts:
        return Dead("CRASHED", "the process ended without a word on the last attempt")
    return expired(run.message, now) if run.seq == 0 else None


def _ms(started: float) -> int:
    return round((time.monotonic() - started) * 1000)


class RunLog(logging.LoggerAdapter[logging.Logger]):
    """Adds the run's ids to every line, beside what the call gives as extra."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


class JobSession(TransactionSession):
    """A tenant's transaction that also collects what is emitted in it."""

    def __init__(self, conn: psycopg.Connection[Any], context: RunContext) -> None:
        super().__init__(conn)
        self._context = context
        self.outgoing: list[Outgoing] = []

    def emit(
        self,
        event: Event,
        *,
        key: str | None = None,
        delay_s: float = 0,
        deliver_at: datetime | None = None,
        tenant: str | None = None,
    ) -> None:
        emitter, now = self._context.emitter_for(tenant), self._context.now()
        self.outgoing += emitter.event(event, key=key, delay_s=delay_s, now=now, deliver_at=deliver_at)

    def emit_many(self, events: Sequence[tuple[Event, str | None]]) -> None:
        now = self._context.now()
        for event, key in events:
            self.outgoing += self._context.emitter.event(event, key=key, delay_s=0, now=now)

    def again(
        self, payload: Payload, *, delay_s: float = 0, key: str | None = None, deliver_at: datetime | None = None
    ) -> None:
        now, emitter = self._context.now(), self._context.emitter
        self.outgoing.append(emitter.again(payload, key=key, delay_s=delay_s, now=now, deliver_at=deliver_at))


class RunContext:
    """The JobContext of one run; see `shared.jobs.context` for what each member promises."""

    def __init__(self, run: Run, shop: Workshop, started: float, remaining_s: Callable[[], float]) -> None:
        self._run = run
        self._shop = shop
        self._started = started
        self._lambda_remaining_s = remaining_s
        self._open: JobSession | None = None
        self._final: JobSession | None = None
        self._progress: Any = None
        self._cancelled = (0.0, False)
        self.emitter = Emitter(run, shop.registry)
        self.outgoing: list[Outgoing] = []
        self.workflows: Workflows = RunWorkflows(run, shop, send=self._send, outside=self._refuse_http)
        self.metrics = shop.metrics
        self.alarms = shop.alarms
        self.settled = False
        self.used_session = False
        self.log = RunLog(logger, {"job": run.job.id, "run": str(run.run_id), "tenant": run.tenant.slug})
        self.http = Http(before=self._refuse_http, deadline=self._hard_remaining_s, log=self.log)

    # Facts of the run.

    @property
    def job_id(self) -> str:
        return self._run.job.id

    @property
    def files(self) -> tuple[str, ...]:
        return self._run.job.files

    @property
    def tenant(self) -> Tenant:
        return self._run.tenant

    @property
    def run_id(self) -> UUID:
        return self._run.run_id

    @property
    def delivery(self) -> Delivery:
        return self._run.admitted.delivery

    @property
    def correlation_id(self) -> str:
        return self._run.message.correlation_id

    @property
    def attempt(self) -> int:
        return self._run.attempt

    @property
    def last_attempt(self) -> bool:
        return self._run.attempt >= self._run.job.retry.attempts

    @property
    def task_token(self) -> str | None:
        return str(self.run_id) if self._run.message.task_token else None

    @property
    def cursor(self) -> Any:
        return self._run.cursor

    # Ports.

    def secret(self, name: str) -> str:
        if not (value := self._shop.secrets.get(name)):
            raise Permanent("SECRET_MISSING", f"{name} is not set")
        return value

    def setting(self, name: str, default: str | None = None) -> str | None:
        return self._shop.settings.get(name) or default

    def now(self) -> datetime:
        return self._shop.clock.now()

    def sleep(self, seconds: float) -> None:
        if self._open or self._final:
            raise RuntimeError("a wait inside an open session would hold its locks; close the session first")
        self._shop.clock.sleep(min(seconds, max(0.0, self._hard_remaining_s())))

    def limit(self, rate: Rate, *, shared: str | None = None, cost: float = 1, wait_s: float = 0) -> None:
        self._refuse_http()
        bears_s = max(0.0, min(wait_s, self._hard_remaining_s() / 2))  # the call itself needs time too
        conn = self._shop.connections.get()
        permit = acquire(conn, self._bucket_owner(shared), rate, now=self.now(), cost=cost, bears_s=bears_s)
        if not permit.granted:
            raise RateLimited(max(1.0, permit.wait_s), f"{code_prefix(rate.vendor)}_RATE_LIMITED", "our own limiter")
        if permit.wait_s:
            self.sleep(permit.wait_s)

    def limit_hit(self, rate: Rate, after_s: float, *, shared: str | None = None) -> None:
        self._refuse_http()
        block(self._shop.connections.get(), self._bucket_owner(shared), rate, now=self.now(), after_s=after_s)

    def _bucket_owner(self, shared: str | None) -> str:
        return self.tenant.slug if shared is None else f"shared:{shared}"  # no slug has a colon

    def remaining_s(self) -> float:
        return self._hard_remaining_s() - DEADLINE_MARGIN_S

    def _hard_remaining_s(self) -> float:
        worked = time.monotonic() - self._started
        work_left = WORK_LIMIT_S - self._run.work_ms / 1000 - worked
        return min(self._run.job.timeout_s - worked, self._lambda_remaining_s(), work_left)

    def cancelled(self) -> bool:
        looked, answer = self._cancelled
        if not answer and time.monotonic() - looked > CANCEL_LOOK_S and not self._open and not self._final:
            row = (
                self._shop.connections.get().execute(CANCELLED, {"run": self.run_id, "at": self._run.run_at}).fetchone()
            )
            answer = bool(row and row[0])
            self._cancelled = (time.monotonic(), answer)
        return answer

    def progress(self, done: int, total: int | None = None) -> None:
        self._progress = {"done": done} if total is None else {"done": done, "total": total}

    def _refuse_http(self) -> None:
        if self._open or self._final:
            raise RuntimeError("no vendor call while a session is open: it would hold locks for the vendor's time")
        self._shop.at("before-call")

    # Sessions.

    @contextmanager
    def tenant_session(
        self,
        *,
        read_only: bool = False,
        isolation: Isolation = "read committed",
        statement_timeout_s: float | None = None,
    ) -> Iterator[Session]:
        conn = self._begin(
            platform=False, read_only=read_only, isolation=isolation, statement_timeout_s=statement_timeout_s
        )
        yield from self._transaction(conn, read_only)

    def _transaction(self, conn: psycopg.Connection[Any], read_only: bool) -> Iterator[Session]:
        """The block of an intermediate session, its end and what it sends."""
        session = self._open = JobSession(conn, self)
        try:
            yield session
            self._commit(conn, session, read_only)
        except BaseException:
            self._rollback(conn)
            raise
        finally:
            self._open = None
        if session.outgoing:
            # At once: a bulk run works for minutes, and what a committed page emitted must not wait for the run's end.
            self._shop.relay.send(self._shop.connections.get(), session.outgoing)

    @contextmanager
    def platform_session(
        self,
        *,
        read_only: bool = False,
        isolation: Isolation = "read committed",
        statement_timeout_s: float | None = None,
    ) -> Iterator[Session]:
        self._refuse_tenants("works on the platform's own tables")
        conn = self._begin(
            platform=True, read_only=read_only, isolation=isolation, statement_timeout_s=statement_timeout_s
        )
        yield from self._transaction(conn, read_only)

    def _refuse_tenants(self, what: str) -> None:
        if self.tenant != SYSTEM_TENANT and not self._run.job.platform:
            raise RuntimeError(
                f"only a run of the tenant {SYSTEM_TENANT.slug}, or a job declared platform=True, {what}"
            )

    @contextmanager
    def final_session(self, *, isolation: Isolation = "read committed") -> Iterator[Session]:
        conn = self._begin(platform=False, read_only=False, isolation=isolation, statement_timeout_s=None)
        session = self._open = JobSession(conn, self)
        try:
            yield session
        except BaseException:
            self._rollback(conn)
            raise
        finally:
            self._open = None
        self._final = session

    def _begin(
        self, *, platform: bool, read_only: bool, isolation: Isolation, statement_timeout_s: float | None
    ) -> psycopg.Connection[Any]:
        if self._open or self._final:
            raise RuntimeError(
                "a session is open already" if self._open else "after the final session the handler may only return"
            )
        self.used_session = True
        bound = min(statement_timeout_s or STATEMENT_TIMEOUT_S, max(1.0, self._hard_remaining_s()))
        conn = self._shop.connections.get()
        if platform or self.tenant == SYSTEM_TENANT:
            open_platform(conn, read_only=read_only, isolation=isolation, statement_timeout_s=bound)
        else:
            open_tenant(conn, self.tenant, read_only=read_only, isolation=isolation, statement_timeout_s=bound)
        self._shop.at("in-session")
        return conn

    def _commit(self, conn: psycopg.Connection[Any], session: JobSession, read_only: bool) -> None:
        if read_only:
            if session.outgoing:
                raise RuntimeError("a read-only session cannot emit")
            commit(conn)
            return
        leave_role(conn)
        owned = settlement.checkpoint(
            conn, self._run, session.outgoing, progress=self._progress, keyring=self._shop.keyring, now=self.now()
        )
        if not owned:
            raise LeaseLost(f"{self.job_id} {self.run_id}")
        self._shop.at("before-checkpoint")
        commit(conn)
        self._shop.at("after-checkpoint")

    def _rollback(self, conn: psycopg.Connection[Any]) -> None:
        """Give the connection back clean; one whose state is unknown (a timer rang inside libpq) is thrown away."""
        try:
            rollback(conn)
        except (psycopg.Error, JobTimeout):
            self._shop.connections.discard()

    # Emitting and ending.

    def emitter_for(self, tenant: str | None) -> Emitter:
        """The emitter of the run's own events, or of those for another tenant."""
        if tenant is None or tenant == self.tenant.slug:
            return self.emitter
        self._refuse_tenants("emits for another tenant")
        return Emitter(self._run, self._shop.registry, tenant=tenant)

    def emit(
        self, event: Event, *, key: str | None = None, delay_s: float = 0, deliver_at: datetime | None = None
    ) -> None:
        self._refuse_after_final()
        self.outgoing += self.emitter.event(event, key=key, delay_s=delay_s, now=self.now(), deliver_at=deliver_at)

    def again(
        self, payload: Payload, *, delay_s: float = 0, key: str | None = None, deliver_at: datetime | None = None
    ) -> None:
        self._refuse_after_final()
        row = self.emitter.again(payload, key=key, delay_s=delay_s, now=self.now(), deliver_at=deliver_at)
        self.outgoing.append(row)

    def _send(self, row: Outgoing) -> None:
        """Into the open session's outbox, else into that of the settling."""
        if self._open is not None:
            self._open.outgoing.append(row)
            return
        self._refuse_after_final()
        self.outgoing.append(row)

    def _refuse_after_final(self) -> None:
        if self._final:
            raise RuntimeError("after the final session the handler may only return; emit inside it")

    def continue_from(self, cursor: Any) -> NoReturn:
        if self._open or self._final:
            raise RuntimeError("continue_from ends the leg; close the session first")
        if len(settlement._json(cursor)) > CURSOR_MAX:
            raise Permanent("CURSOR_TOO_LARGE", f"more than {CURSOR_MAX} bytes")
        raise _ContinueFrom(cursor)

    def next_leg(self, cursor: Any) -> Ending:
        """The ending of a leg that goes on, or dead when the run's time is used up."""
        worked_s = self._run.work_ms / 1000 + time.monotonic() - self._started
        if worked_s >= WORK_LIMIT_S:
            return Dead("CONTINUATION_LIMIT", f"more than {WORK_LIMIT_S // 60} minutes of work")
        self.outgoing.append(self.emitter.leg(self._run.seq + 1, self.now()))
        return Continue(cursor)

    def finish(self, returned: BaseModel | HoldToken[Any]) -> Succeeded:
        """The ending of a handler that returned, and the answer to a step that waits for it."""
        held = isinstance(returned, HoldToken)
        result = returned.result if isinstance(returned, HoldToken) else returned
        token = self._run.message.task_token
        if held and token is None:
            raise Permanent("NO_TASK_TOKEN", "the job holds its step's token but no workflow called it")
        wire = result.model_dump(mode="json", by_alias=True, exclude_none=True)
        if token is not None and not held:
            self.outgoing.append(tokens.success(token, wire, tenant=self.tenant.slug, run_id=self.run_id))
        return Succeeded(wire, held)

    def _hold(self) -> None:
        self.outgoing += tokens.hold(self._shop.connections.get(), self._run, self._shop.keyring, self.now())

    def close_final(self, ending: Succeeded, free: Iterable[Slot] = ()) -> None:
        """Commit the final session together with the run's end; without one only a held token is noted."""
        session = self._final
        if session is None:
            if ending.held:
                self._hold()
            return
        conn = self._shop.connections.get()
        leave_role(conn)
        if ending.held:
            self._hold()
        self.outgoing += session.outgoing
        outcome = Outcome(self._run, ending, _ms(self._started), tuple(self.outgoing))
        settled = settlement.settle(
            conn, [outcome], owner=self._run.owner, keyring=self._shop.keyring, now=self.now(), free=free
        )
        if not settled:
            raise LeaseLost(f"{self.job_id} {self.run_id}")
        self._shop.at("before-commit")
        commit(conn)
        self._final = None
        self.settled = True
        self._shop.at("after-commit")

    def abandon(self) -> None:
        """Roll back what is open: a final session whose run did not end well, one whose opening failed halfway."""
        self._open = self._final = None
        if self.used_session:
            self._rollback(self._shop.connections.get())
