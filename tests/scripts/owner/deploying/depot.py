"""Jobs of a depot that do nothing: what a deployment's tests deploy."""

from __future__ import annotations

import types
from dataclasses import replace
from typing import Any

from shared.events.base import Event, Payload
from shared.jobs.context import JobContext
from shared.jobs.crons import Cron, Tick
from shared.jobs.declaration import Job, Retry, job
from shared.jobs.queues import Queue


def an_event(name: str, **fields: Any) -> type[Event]:
    """A contract that the project's list does not learn of; `fields`: name=(annotation, default or ...)."""
    members: dict[str, Any] = {
        "__annotations__": {field: annotation for field, (annotation, _) in fields.items()},
        "__module__": __name__,
        **{field: default for field, (_, default) in fields.items() if default is not ...},
    }
    event: type[Event] = types.new_class(
        name.title().replace(".", ""), (Event,), exec_body=lambda ns: ns.update(members)
    )
    event.event_name, event.from_apps, event.to_apps = name, True, True
    return event


Arrived = an_event("depot.arrived", truck_id=(str, ...))
Loaded = an_event("depot.loaded", truck_id=(str, ...))


class Nothing(Payload):
    """Result of a job that does nothing."""


def a_job(
    id: str,
    *,
    on: type[Event] | tuple[type[Event], ...] = (),
    cron: Cron | None = None,
    queue: Queue,
    category: str = "commerce",
    timeout_s: int = 60,
    retry: Retry | None = None,
    payload: type[Payload] = Payload,
) -> Job[Any, Any]:
    """Declare one. `payload`: what the handler takes, the event itself unless given."""
    events = on if isinstance(on, tuple) else (on,)
    taken: Any = Tick if cron else events[0] if payload is Payload and len(events) == 1 else payload

    def handler(ctx: JobContext, payload: Any) -> Nothing:
        """Do nothing."""
        return Nothing()

    handler.__annotations__["payload"] = taken
    declare: Any = job(id, on=on, cron=cron, queue=queue, timeout_s=timeout_s, retry=retry)
    declared: Job[Any, Any] = declare(handler)
    return replace(declared, module=f"functions.{category}.depot")
