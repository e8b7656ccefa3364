"""Builds outbox rows of what a handler emits: events to the bus, delayed ones to each listener, messages to itself.

Up to 15 minutes a queue holds the message back; longer, or for an event that applications hear too, a one-off schedule
sends the event to the bus, the message to the queue. What is delayed counts as sent at the instant of its delivery:
its age and the windows of its listeners' keys begin there.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from shared.events.base import Event, Payload
from shared.jobs.messages import Leg, Outgoing, Run, compose, envelope_meta
from shared.jobs.registry import Registry
from shared.jobs.uuids import uuid7

QUEUE_DELAY_S = 900
"""Longest delay in seconds that a queue can hold a message back."""
MAX_DELAY_S = 365 * 24 * 3600
"""Longest delay in seconds of all."""


class Emitter:
    """Makes the outbox rows of one run; `events` counts what was emitted by name, for the log line."""

    def __init__(self, run: Run, registry: Registry, *, tenant: str | None = None) -> None:
        """`tenant`: the slug that the events are for, when it is not the run's own."""
        self._run = run
        self._registry = registry
        self._tenant = tenant or run.tenant.slug

    def event(
        self, event: Event, *, key: str | None, delay_s: float, now: datetime, deliver_at: datetime | None = None
    ) -> Iterator[Outgoing]:
        """Rows for one event; raises ValueError when the job does not declare it in emits=, or for a wrong delay."""
        job = self._run.job
        if type(event) not in job.emits:
            raise ValueError(f"{job.id} emits {type(event).__name__}; add it to emits= of the declaration")
        delay_s = _delay(delay_s, deliver_at, now)
        at = now + timedelta(seconds=delay_s)
        # A function knows the jobs of its own category only; who listens elsewhere is looked up when first needed.
        listeners = self._registry.whole.listeners.get(event.event_name, ()) if 0 < delay_s <= QUEUE_DELAY_S else ()
        if listeners and not event.to_apps:
            for listener in listeners:
                yield self._message(listener.id, listener.queue_name, event, at, key=key, delay_s=delay_s, event=event)
            return
        id = uuid7()
        body = {"tenantId": self._tenant, **event.wire(), "_meta": self._meta(str(id), at, key)}
        if delay_s:
            yield self._row(id, "schedule", f"event:{event.event_name}", body, at=at)
        else:
            yield self._row(id, "event", event.event_name, body)

    def again(
        self, payload: Payload, *, key: str | None, delay_s: float, now: datetime, deliver_at: datetime | None = None
    ) -> Outgoing:
        """Row for a new message to the run's own job."""
        job = self._run.job
        if not isinstance(payload, job.payload):
            raise TypeError(f"{job.id} takes {job.payload.__name__}, not {type(payload).__name__}")
        delay_s = _delay(delay_s, deliver_at, now)
        at = now + timedelta(seconds=delay_s)
        return self._message(job.id, job.queue_name, payload, at, key=key, delay_s=delay_s)

    def leg(self, seq: int, now: datetime) -> Outgoing:
        """Row for the message that carries this run's next leg: the same payload under the same run."""
        message = self._run.message
        body = compose(
            message.job.id,
            message.carried,
            event=message.event,
            id=message.id,
            sent_at=message.sent_at,
            source=message.source,
            correlation_id=message.correlation_id,
            causation_id=message.causation_id,
            hops=message.hops + 1,
            leg=Leg(self._run.run_id, seq),
            task_token=message.task_token,
        )
        return self._row(uuid7(), "queue", message.job.queue_name, body)

    def _message(
        self,
        job_id: str,
        queue: str,
        payload: Payload,
        at: datetime,
        *,
        key: str | None,
        delay_s: float,
        event: Event | None = None,
    ) -> Outgoing:
        id = uuid7()
        message = self._run.message
        body = compose(
            job_id,
            {"tenantId": self._tenant, **payload.wire()},
            event=event.event_name if event else None,
            id=key or str(id),
            sent_at=at,
            correlation_id=message.correlation_id,
            causation_id=message.id,
            hops=message.hops + 1,
        )
        if delay_s > QUEUE_DELAY_S:
            return self._row(id, "schedule", f"queue:{queue}", body, at=at)
        return self._row(id, "queue", queue, body, delay_s=delay_s)

    def _meta(self, id: str, now: datetime, key: str | None) -> dict[str, Any]:
        message = self._run.message
        return envelope_meta(
            id=id,
            key=key,
            sent_at=now,
            correlation_id=message.correlation_id,
            causation_id=message.id,
            hops=message.hops + 1,
        )

    def _row(
        self, id: Any, kind: Any, target: str, body: Any, *, delay_s: float = 0, at: datetime | None = None
    ) -> Outgoing:
        tenant, run_id = self._tenant, self._run.run_id
        return Outgoing(id, kind, tenant, target, body, group=tenant, delay_s=delay_s, run_id=run_id, deliver_at=at)


def _delay(delay_s: float, deliver_at: datetime | None, now: datetime) -> float:
    """Seconds until the delivery; an instant that has passed is now."""
    if deliver_at is not None:
        if delay_s:
            raise ValueError("give delay_s or deliver_at, not both")
        if deliver_at.tzinfo is None:
            raise ValueError("deliver_at must carry a time zone")
        delay_s = max(0.0, (deliver_at - now).total_seconds())
    if not 0 <= delay_s <= MAX_DELAY_S:
        raise ValueError(f"a delay of {delay_s:g} s is not within 0..{MAX_DELAY_S}")
    return delay_s
