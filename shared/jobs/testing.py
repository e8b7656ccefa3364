"""Ports in memory and a bench that runs the real pipeline on a real PostgreSQL: shipped, so that apps can test with it.

The queues have SQS's semantics as far as the pipeline can see them: visibility, delay, receive counts, dead-letter
queues, partial batch response. Time is a clock that tests move; nothing sleeps.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.crypto import Keyring
from shared.db.connections import ConnectionHolder
from shared.events.base import Event
from shared.jobs.context import Tenant
from shared.jobs.execution import Workshop
from shared.jobs.logs import log
from shared.jobs.memory_machines import MemoryMachines, Step
from shared.jobs.memory_schedules import MemorySchedules
from shared.jobs.messages import (
    OWN_SOURCE,
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
from shared.jobs.outbox import Relay
from shared.jobs.pipeline import Pipeline
from shared.jobs.ports import OutEvent, OutMessage
from shared.jobs.registry import Registry
from shared.jobs.settlement import DLQ_SUFFIX
from shared.jobs.tenants import TenantDirectory
from shared.jobs.ticks import read_tick, tick_body

MAX_RECEIVES = 50
"""maxReceiveCount of the queues' redrive policy."""
START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class ManualClock:
    """A clock that moves only when told to; `sleep` moves it too."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self.slept_s = 0.0

    def now(self) -> datetime:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self.advance(s=seconds)

    def advance(self, *, s: float = 0, days: float = 0) -> None:
        self._now += timedelta(seconds=s, days=days)


@dataclass
class StoredMessage:
    """A message in a queue of the memory broker."""

    message_id: str
    body: str
    group: str | None
    attributes: Mapping[str, str]
    sent_at: datetime
    visible_at: datetime
    receive_count: int = 0
    receipt: str = ""


class MemoryQueues:
    """The `Queues` port, and the broker's side of it: receive, delete."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._ids = itertools.count(1)
        self.queues: dict[str, list[StoredMessage]] = defaultdict(list)
        self.refuse_sends = 0
        """How many coming calls of `send` take nothing: the broker out of reach."""

    def send(self, queue: str, messages: Sequence[OutMessage]) -> list[bool]:
        if self.refuse_sends:
            self.refuse_sends -= 1
            return [False] * len(messages)
        now = self._clock.now()
        for message in messages:
            visible = now + timedelta(seconds=message.delay_s)
            stored = StoredMessage(
                f"m{next(self._ids)}", message.body, message.group, dict(message.attributes), now, visible
            )
            self.queues[queue].append(stored)
        return [True] * len(messages)

    def change_visibility(self, queue: str, receipts: Sequence[tuple[str, int]]) -> None:
        waits = dict(receipts)
        for message in self.queues[queue]:
            if message.receipt in waits:
                message.visible_at = self._clock.now() + timedelta(seconds=waits[message.receipt])

    def receive(self, queue: str, most: int, visibility_s: float) -> list[Record]:
        """Up to `most` visible messages; one received too often moves to the dead-letter queue instead."""
        now = self._clock.now()
        records: list[Record] = []
        for message in [m for m in self.queues[queue] if m.visible_at <= now]:
            if len(records) == most:
                break
            if message.receive_count >= MAX_RECEIVES:
                self.queues[queue].remove(message)
                self.queues[queue + DLQ_SUFFIX].append(message)
                continue
            message.receive_count += 1
            message.receipt = f"{message.message_id}#{message.receive_count}"
            message.visible_at = now + timedelta(seconds=visibility_s)
            records.append(
                Record(
                    message.message_id,
                    message.receipt,
                    message.body,
                    message.receive_count,
                    message.sent_at,
                    queue,
                    message.group,
                )
            )
        return records

    def delete(self, queue: str, message_ids: set[str]) -> None:
        self.queues[queue] = [m for m in self.queues[queue] if m.message_id not in message_ids]

    def next_visible(self, queues: Sequence[str]) -> datetime | None:
        """The earliest instant at which one of the queues has something to give."""
        return min((m.visible_at for name in queues for m in self.queues[name]), default=None)

    def dead(self, queue: str) -> list[StoredMessage]:
        """What lies in the dead-letter queue of `queue`."""
        return self.queues[queue + DLQ_SUFFIX]


class MemoryBus:
    """The `Bus` port: keeps what was published and routes it as the rules of the stacks do."""

    def __init__(self, registry: Registry, queues: MemoryQueues, clock: ManualClock) -> None:
        self._registry = registry
        self._queues = queues
        self._clock = clock
        self._ids = itertools.count(1)
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.refuse = 0
        """How many coming calls of `publish` take nothing."""

    def publish(self, events: Sequence[OutEvent]) -> list[bool]:
        if self.refuse:
            self.refuse -= 1
            return [False] * len(events)
        for event in events:
            self.put(event.name, json.loads(event.detail), source=OWN_SOURCE)
        return [True] * len(events)

    def put(self, name: str, detail: dict[str, Any], *, source: str, id: str | None = None) -> None:
        """An event arrives at the bus: one message per listening job, in the rule's form."""
        self.published.append((name, detail))
        event_id = id or f"e{next(self._ids)}"
        for job in self._registry.listeners.get(name, ()):
            body = {
                "job": job.id,
                "event": name,
                "id": event_id,
                "source": source,
                "time": self._clock.now().isoformat(),
                "payload": detail,
            }
            tenant = detail.get("tenantId")
            self._queues.send(
                job.queue_name, [OutMessage(json.dumps(body), tenant if isinstance(tenant, str) else None)]
            )


class MemoryMetrics:
    """The `Metrics` port: what was counted."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, float, dict[str, str]]] = []

    def count(self, name: str, value: float, **dimensions: str) -> None:
        self.counted.append((name, value, dimensions))

    def total(self, name: str) -> float:
        """Sum of a metric over all its dimensions."""
        return sum(value for counted, value, _ in self.counted if counted == name)


class MemoryAlarms:
    """The `Alarms` port: what was published, as (subject, text)."""

    def __init__(self) -> None:
        self.published: list[tuple[str, str]] = []

    def publish(self, subject: str, text: str) -> bool:
        self.published.append((subject, text))
        return True


class MemoryBlobs:
    """The `Blobs` port."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> None:
        self.objects[key] = data

    def get(self, key: str) -> bytes:
        return self.objects[key]

    def keys(self, prefix: str) -> Iterator[str]:
        return iter(sorted(key for key in self.objects if key.startswith(prefix)))


@dataclass
class FixedContext:
    """Lambda's context with a fixed remaining time."""

    remaining_ms: int = 90_000
    aws_request_id: str = "test"

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_ms


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
    secrets: dict[str, str]
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
        self.machines = MemoryMachines()
        self.schedules = MemorySchedules(
            self.clock, self.queues, lambda name, detail, source: self.bus.put(name, detail, source=source)
        )
        self.vault = Vault(self.blobs, self.keyring)
        self.relay = Relay(
            self.bus,
            self.queues,
            self.keyring,
            self.machines,
            schedules=self.schedules,
            vault=self.vault,
            clock=self.clock,
        )
        self.directory = TenantDirectory(self.connections.get)
        self.fast, self.bulk = self._pipeline(bulk=False), self._pipeline(bulk=True)

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
        """Hand records to the pipeline and apply its answer to the queue, as the event source mapping does."""
        bulk = queue.endswith("-bulk")
        pipeline = self.bulk if bulk else self.fast
        first, published = len(self.reports), len(self.bus.published)
        answer = pipeline.handle(records, FixedContext(900_000 if bulk else 90_000))
        failed = {item["itemIdentifier"] for item in answer["batchItemFailures"]}
        self.queues.delete(queue, {r.message_id for r in records} - failed)
        return [self._delivered(report, published) for report in self.reports[first:]]

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


@dataclass
class Deliver:
    """The fixture `deliver`: publish or send one message, run it, check the state it ended in."""

    bench: Bench
    tenant: Tenant

    def __call__(
        self, event: Event, *, tenant: Tenant | str | None = None, key: str | None = None, expect: str = "succeeded"
    ) -> Delivered:
        """Publish `event` as an application does and run its listening job (the first one's outcome is returned)."""
        self.bench.publish(event, _slug(tenant or self.tenant), key=key)
        listeners = self.bench.registry.listeners.get(event.event_name, ())
        assert listeners, f"no job listens to {event.event_name}"
        return self._run(listeners[0].queue_name, expect)

    def job(
        self,
        job_id: str,
        payload: Mapping[str, Any],
        *,
        tenant: Tenant | str | None = None,
        key: str | None = None,
        expect: str = "succeeded",
    ) -> Delivered:
        """Send a wire payload straight to a job."""
        self.bench.send(job_id, {"tenantId": _slug(tenant or self.tenant), **payload}, key=key)
        return self._run(self.bench.registry.jobs[job_id].queue_name, expect)

    def tick(
        self,
        job_id: str,
        *,
        at: datetime | None = None,
        tenant: Tenant | str | None = None,
        expect: str = "succeeded",
    ) -> Delivered:
        """Fire the job's schedule and run what it started for one tenant (`system` for the platform's part).

        The other tenants' messages stay in the queue. Fails when the tenant got none: it was not due.
        """
        report = self.bench.tick(job_id, at)
        slug, queue = _slug(tenant or self.tenant), self.bench.registry.jobs[job_id].queue_name
        assert slug in report.started, f"{slug} got no message of {job_id}; started: {report.started}"
        mine = next(m for m in reversed(self.bench.queues.queues[queue]) if m.group == slug)
        self.bench.queues.queues[queue].remove(mine)
        self.bench.queues.queues[queue].append(mine)
        return self._run(queue, expect)

    def again(self, queue: str, *, expect: str = "succeeded") -> Delivered:
        """Run what is next in `queue`, moving the clock to it."""
        due = self.bench.queues.next_visible([queue])
        assert due is not None, f"nothing waits in {queue}"
        if due > self.bench.clock.now():
            self.bench.clock.advance(s=(due - self.bench.clock.now()).total_seconds())
        return self._run(queue, expect)

    def _run(self, queue: str, expect: str) -> Delivered:
        before = {m.message_id for m in self.bench.queues.queues[queue]}
        done = self.bench.pump(queue, most=1) if len(before) == 1 else self._newest(queue)
        assert done, f"the message in {queue} was neither run nor refused; it was handed back"
        found = done[0]
        if found.state != expect:
            if found.error is not None:
                raise found.error
            raise AssertionError(f"ended {found.state} ({found.code}: {found.detail}) instead of {expect}")
        return found

    def _newest(self, queue: str) -> list[Delivered]:
        newest = self.bench.queues.queues[queue][-1]
        newest.visible_at = self.bench.clock.now()
        others = [m for m in self.bench.queues.queues[queue] if m is not newest]
        self.bench.queues.queues[queue] = [newest]
        try:
            return self.bench.pump(queue, most=1)
        finally:
            self.bench.queues.queues[queue] = [*others, *self.bench.queues.queues[queue]]


def _slug(tenant: Tenant | str) -> str:
    return tenant if isinstance(tenant, str) else tenant.slug
