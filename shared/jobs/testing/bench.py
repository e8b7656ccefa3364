"""A bench that runs the real pipeline on a real PostgreSQL over the ports in memory."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.crypto import Keyring
from shared.db.connections import ConnectionHolder
from shared.events.base import Event
from shared.jobs.execution import Workshop
from shared.jobs.logs import log
from shared.jobs.memory_machines import MemoryMachines, Step
from shared.jobs.memory_schedules import MemorySchedules
from shared.jobs.messages import (
    Acknowledge,
    Cancelled,
    Continue,
    Dead,
    Defer,
    Outcome,
    Record,
    Refused,
    Succeeded,
)
from shared.jobs.offload import Vault
from shared.jobs.outbox import SWEEP_AFTER_S, Relay
from shared.jobs.pipeline import Pipeline
from shared.jobs.ports import OutMessage
from shared.jobs.registry import Registry
from shared.jobs.tenants import TenantDirectory
from shared.jobs.testing.broker import MemoryQueues
from shared.jobs.testing.clock import FixedContext, ManualClock
from shared.jobs.testing.faults import Crashed, Faults
from shared.jobs.testing.ports import MemoryAlarms, MemoryBlobs, MemoryBus, MemoryMetrics
from shared.jobs.ticks import read_tick, tick_body


@dataclass(frozen=True)
class Delivered:
    """What became of one message. `state`: succeeded, dead, retrying, deferred, continuing, duplicate, skipped."""

    job: str | None
    state: str
    result: Mapping[str, Any]
    code: str | None
    detail: str
    delay_s: float | None
    attempt: int
    emitted: list[tuple[str, dict[str, Any]]]
    again: list[tuple[dict[str, Any], float]]
    error: BaseException | None = None
    run_id: Any = None


@dataclass(frozen=True)
class TickReport:
    """What a tick did. `started`: slugs that got a message; `published`: events of a dispatch; `row`: of jobs.ticks."""

    at: datetime
    started: list[str]
    published: list[tuple[str, dict[str, Any]]]
    row: Mapping[str, Any]


@dataclass
class Bench:
    """Real pipelines (fast and bulk) over the memory ports and a real database."""

    registry: Registry
    database_url: str
    secrets: dict[str, str] = field(repr=False)
    settings: dict[str, str] = field(default_factory=dict)
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        self.queues = MemoryQueues(self.clock)
        self.bus = MemoryBus(self.registry, self.queues, self.clock)
        self.blobs = MemoryBlobs()
        self.metrics, self.alarms = MemoryMetrics(), MemoryAlarms()
        self.reports: list[Outcome | Refused] = []
        self.connections = ConnectionHolder(self.database_url, application_name="cgk-test")
        self.keyring = Keyring.of(self.secrets)
        self.faults = Faults()
        self.crashes = 0
        """How often the process has died at a point of `faults`."""
        self.machines = MemoryMachines()
        self.schedules = MemorySchedules(
            self.clock, self.queues, lambda name, detail, source: self.bus.put(name, detail, source=source)
        )
        self._wire()

    def _wire(self) -> None:
        """What a process builds at its start and keeps while it lives."""
        self.vault = Vault(self.blobs, self.keyring)
        self.relay = Relay(
            self.bus,
            self.queues,
            self.keyring,
            self.machines,
            schedules=self.schedules,
            vault=self.vault,
            clock=self.clock,
            at=self.faults,
        )
        self.directory = TenantDirectory(self.connections.get)
        self.fast, self.bulk = self._pipeline(bulk=False), self._pipeline(bulk=True)

    def restart(self) -> None:
        """The process is gone with its connection and all that it remembered; another takes its place."""
        self.connections.discard()
        self._wire()

    def twin(self) -> Bench:
        """A second process over the same broker, bus, bucket and clock, with a connection and faults of its own."""
        other = Bench(self.registry, self.database_url, self.secrets, self.settings, self.clock)
        other.queues, other.bus, other.blobs = self.queues, self.bus, self.blobs
        other.metrics, other.alarms = self.metrics, self.alarms
        other.machines, other.schedules = self.machines, self.schedules
        other._wire()
        return other

    def _pipeline(self, *, bulk: bool) -> Pipeline:
        shop = Workshop(
            connections=self.connections,
            keyring=self.keyring,
            registry=self.registry,
            clock=self.clock,
            secrets=self.secrets,
            settings=self.settings,
            rng=random.Random(7),
            relay=self.relay,
            machines=self.machines,
            metrics=self.metrics,
            alarms=self.alarms,
            at=self.faults,
        )
        return Pipeline(
            shop=shop,
            queues=self.queues,
            tenants=self.directory,
            blobs=self.blobs,
            bulk=bulk,
            database_url=self.database_url,
            report=self._report,
        )

    def _report(self, item: Outcome | Refused) -> None:
        log(item)
        self.reports.append(item)

    # Sending.

    def publish(self, event: Event, tenant: str, *, key: str | None = None, source: str = "app") -> None:
        """An event as an application (or, with OWN_SOURCE, a job) publishes it."""
        detail: dict[str, Any] = {"tenantId": tenant, **event.wire()}
        if key is not None:
            detail["_meta"] = {"key": key}
        self.bus.put(event.event_name, detail, source=source)

    def send(self, job_id: str, payload: Mapping[str, Any], *, key: str | None = None) -> None:
        """A message straight to a job's queue."""
        body: dict[str, Any] = {"job": job_id, "payload": dict(payload)}
        if key is not None:
            body["idempotencyKey"] = key
        self.send_raw(self.registry.jobs[job_id].queue_name, json.dumps(body))

    def tick(self, job_id: str, at: datetime | None = None) -> TickReport:
        """A schedule fires for the instant `at` (default: the clock's minute; the clock moves on to a later one).

        The tick is handled at once; what it starts waits in the queues. As in life, an instant that is older than the
        cron's next one runs as the newest instant that is due.
        """
        instant = (at or self.clock.now()).astimezone(UTC).replace(second=0, microsecond=0)
        if instant > self.clock.now():
            self.clock.advance(s=(instant - self.clock.now()).total_seconds())
        job = self.registry.jobs[job_id]
        queue, published = job.queue_name, len(self.bus.published)
        waiting = self.queues.queues[queue]
        self.queues.queues[queue] = []  # only the tick: what waits there is for `pump` and `drain`
        self.send_raw(queue, tick_body(job_id, instant.isoformat()))
        self.pump(queue, most=1)
        left = self.queues.queues[queue]
        self.queues.queues[queue] = [*waiting, *left]
        started = [json.loads(message.body)["payload"]["tenantId"] for message in left if '"tick"' not in message.body]
        return TickReport(instant, started, self.bus.published[published:], read_tick(self.connections.get(), job_id))

    def call(self, job_id: str, payload: Mapping[str, Any], *, step: Step | None = None) -> Step:
        """A workflow's step calls a job with its token; a new step unless one is given (its message comes twice)."""
        waiting = step or self.machines.enter()
        body = {"job": job_id, "payload": dict(payload), "taskToken": waiting.token}
        self.send_raw(self.registry.jobs[job_id].queue_name, json.dumps(body))
        return waiting

    def send_raw(self, queue: str, body: str) -> None:
        """Any text into a queue."""
        self.queues.send(queue, [OutMessage(body)])

    # Delivering.

    def pump(self, queue: str, *, most: int = 10) -> list[Delivered]:
        """One invocation for what is visible in `queue`; empty when nothing is."""
        bulk = queue.endswith("-bulk")
        self.schedules.fire()
        records = self.queues.receive(queue, 1 if bulk else most, 5400 if bulk else 540)
        return self.invoke(queue, records) if records else []

    def invoke(self, queue: str, records: Sequence[Record]) -> list[Delivered]:
        """Hand records to the pipeline and apply its answer to the queue, as the event source mapping does.

        A process that dies at a point of `faults` answers nothing: what it had comes back when its visibility ends.
        """
        bulk = queue.endswith("-bulk")
        pipeline = self.bulk if bulk else self.fast
        first, published = len(self.reports), len(self.bus.published)
        try:
            answer = pipeline.handle(records, FixedContext(900_000 if bulk else 90_000))
        except Crashed:
            self.crashes += 1
            self.restart()
        else:
            failed = {item["itemIdentifier"] for item in answer["batchItemFailures"]}
            self.queues.acknowledge(queue, {r.receipt for r in records if r.message_id not in failed})
            self.queues.handed_back(queue, {r.receipt for r in records if r.message_id in failed})
        return [self._delivered(report, published) for report in self.reports[first:]]

    def sweep(self) -> int:
        """The sweeper's next round, a minute later: outbox rows that were left behind; how many were relayed."""
        self.clock.advance(s=SWEEP_AFTER_S + 1)
        self.connections.begin_invocation()
        return self.relay.sweep(self.connections.get(), self.clock.now())

    def drain(self, *, most: int = 10_000, horizon_s: float = 7 * 24 * 3600) -> list[Delivered]:
        """Deliver until the queues are empty, moving the clock over waits; stops at `horizon_s` or `most` messages."""
        names = [binding.name for binding in self.registry.queues()]
        end = self.clock.now() + timedelta(seconds=horizon_s)
        delivered: list[Delivered] = []
        while len(delivered) < most and (due := self._next(names)) is not None and due <= end:
            if due > self.clock.now():
                self.clock.advance(s=(due - self.clock.now()).total_seconds())
            for name in names:
                delivered += self.pump(name)
        return delivered

    def _next(self, queues: Sequence[str]) -> datetime | None:
        """The earliest instant at which a queue or a schedule has something to give."""
        return min(filter(None, (self.queues.next_visible(queues), self.schedules.next_at())), default=None)

    def _delivered(self, report: Outcome | Refused, published: int) -> Delivered:
        if isinstance(report, Refused):
            return _refused(report)
        ending = report.ending
        run_id, job = report.run.run_id, report.run.job
        events = [(n, d) for n, d in self.bus.published[published:] if _caused_by(d, report)]
        again = [(json.loads(row.body), row.delay_s) for row in report.outgoing if row.kind == "queue"]
        wait = ending.delay_s if isinstance(ending, Defer) else None
        return Delivered(
            job=job.id,
            state=_state(report),
            result=ending.result if isinstance(ending, Succeeded) else {},
            code=ending.code if isinstance(ending, Dead | Defer) else None,
            detail=ending.detail if isinstance(ending, Dead | Defer) else "",
            delay_s=wait,
            attempt=report.run.attempt,
            emitted=[(n, {k: v for k, v in d.items() if k not in ("_meta", "tenantId")}) for n, d in events],
            again=[({k: v for k, v in body["payload"].items() if k != "_meta"}, delay) for body, delay in again],
            error=report.error,
            run_id=run_id,
        )


def _caused_by(detail: Mapping[str, Any], outcome: Outcome) -> bool:
    return bool(detail.get("_meta", {}).get("causationId") == outcome.run.message.id)


def _state(outcome: Outcome) -> str:
    match outcome.ending:
        case Succeeded():
            return "succeeded"
        case Continue():
            return "continuing"
        case Dead():
            return "dead"
        case Cancelled():
            return "cancelled"
        case Defer(burnt=burnt):
            return "retrying" if burnt else "deferred"


def _refused(report: Refused) -> Delivered:
    verdict = report.verdict
    state = "skipped" if report.skipped else "duplicate" if isinstance(verdict, Acknowledge) else "dead"
    code, detail = (None, verdict.why) if isinstance(verdict, Acknowledge) else (verdict.code, verdict.detail)
    return Delivered(report.message.job.id if report.message else None, state, {}, code, detail, None, 0, [], [])
