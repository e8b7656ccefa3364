"""Builds outbox rows of what a handler emits: events to the bus, delayed ones to each listener, messages to itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from shared.events.base import Event, Payload
from shared.jobs.messages import Leg, Outgoing, Run, compose, envelope_meta
from shared.jobs.registry import Registry
from shared.jobs.uuids import uuid7

MAX_DELAY_S = 900
"""Longest delay in seconds that a queue can hold a message back."""


class Emitter:
    """Makes the outbox rows of one run; `events` counts what was emitted by name, for the log line."""

    def __init__(self, run: Run, registry: Registry) -> None:
        self._run = run
        self._registry = registry

    def event(self, event: Event, *, key: str | None, delay_s: float, now: datetime) -> Iterator[Outgoing]:
        """Rows for one event; raises ValueError when the job does not declare it in emits=."""
        job = self._run.job
        if type(event) not in job.emits:
            raise ValueError(f"{job.id} emits {type(event).__name__}; add it to emits= of the declaration")
        _check_delay(delay_s)
        if delay_s:
            for listener in self._registry.listeners.get(event.event_name, ()):
                yield self._message(listener.id, listener.queue_name, event, now, key=key, delay_s=delay_s, event=event)
            return
        id = uuid7()
        meta = self._meta(str(id), now, key)
        body = {"tenantId": self._run.tenant.slug, **event.wire(), "_meta": meta}
        yield self._row(id, "event", event.event_name, body)

    def again(self, payload: Payload, *, key: str | None, delay_s: float, now: datetime) -> Outgoing:
        """Row for a new message to the run's own job."""
        job = self._run.job
        if not isinstance(payload, job.payload):
            raise TypeError(f"{job.id} takes {job.payload.__name__}, not {type(payload).__name__}")
        _check_delay(delay_s)
        return self._message(job.id, job.queue_name, payload, now, key=key, delay_s=delay_s)

    def leg(self, seq: int, now: datetime) -> Outgoing:
        """Row for the message that carries this run's next leg: the same payload under the same run."""
        message = self._run.message
        body = compose(
            message.job.id,
            message.payload,
            event=message.event,
            id=message.id,
            sent_at=message.sent_at,
            source=message.source,
            correlation_id=message.correlation_id,
            causation_id=message.causation_id,
            hops=message.hops + 1,
            leg=Leg(self._run.run_id, seq),
        )
        return self._row(uuid7(), "queue", message.job.queue_name, body)

    def _message(
        self,
        job_id: str,
        queue: str,
        payload: Payload,
        now: datetime,
        *,
        key: str | None,
        delay_s: float,
        event: Event | None = None,
    ) -> Outgoing:
        id = uuid7()
        message = self._run.message
        body = compose(
            job_id,
            {"tenantId": self._run.tenant.slug, **payload.wire()},
            event=event.event_name if event else None,
            id=key or str(id),
            sent_at=now,
            correlation_id=message.correlation_id,
            causation_id=message.id,
            hops=message.hops + 1,
        )
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

    def _row(self, id: Any, kind: Any, target: str, body: Any, *, delay_s: float = 0) -> Outgoing:
        tenant = self._run.tenant.slug
        return Outgoing(id, kind, tenant, target, body, group=tenant, delay_s=delay_s, run_id=self._run.run_id)


def _check_delay(delay_s: float) -> None:
    if not 0 <= delay_s <= MAX_DELAY_S:
        raise ValueError(f"delay_s={delay_s} must be within 0..{MAX_DELAY_S}")
