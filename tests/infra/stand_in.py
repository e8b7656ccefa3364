"""A small registry of jobs that do nothing: two categories, fast and bulk, two events on one job."""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from shared.events.base import Event, Payload
from shared.jobs.context import JobContext
from shared.jobs.declaration import Job, job
from shared.jobs.queues import Queue
from shared.jobs.registry import Registry, build_registry


def _event(name: str) -> type[Event]:
    """A contract that the project's list of contracts does not learn of."""
    event: type[Event] = types.new_class(name.title().replace(".", ""), (Event,))
    event.event_name, event.from_apps, event.to_apps = name, True, True
    return event


ParcelSent, ParcelLost, ParcelCounted = map(_event, ("parcel.sent", "parcel.lost", "parcel.counted"))


class Empty(Payload):
    pass


PARCELS, REPORTS, COUNTS = Queue("parcels"), Queue("parcel-reports"), Queue("parcel-counts")


def registry() -> Registry:
    """Four jobs on four queues: commerce fast and bulk, scheduled fast, and one that listens to what commerce emits."""
    return build_registry(
        [
            _job("parcel-track", (ParcelSent, ParcelLost), PARCELS, "commerce", emits=(ParcelCounted,)),
            _job("parcel-audit", (ParcelSent,), PARCELS, "commerce", timeout_s=600),
            _job("parcel-report", (ParcelLost,), REPORTS, "scheduled"),
            _job("parcel-count", (ParcelCounted,), COUNTS, "scheduled"),
        ]
    )


def _job(
    id: str,
    on: tuple[type[Event], ...],
    queue: Queue,
    category: str,
    *,
    emits: Sequence[type[Event]] = (),
    timeout_s: int = 60,
) -> Job[Any, Any]:
    def handler(ctx: JobContext, payload: Payload) -> Empty:
        """Do nothing."""
        return Empty()

    declared = job(id, on=on, queue=queue, emits=tuple(emits), timeout_s=timeout_s)(handler)
    return replace(declared, module=f"functions.{category}.parcels")
