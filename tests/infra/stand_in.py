"""A small registry of jobs that do nothing: two categories, fast and bulk, two events on one job."""

from __future__ import annotations

import types
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from shared.events.base import Event, Payload
from shared.jobs.context import JobContext
from shared.jobs.crons import Cron, Tick
from shared.jobs.declaration import Job, dispatch, job
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


NIGHTLY = Cron("0 3 * * 1-5", zone="America/New_York")
PARCELS, REPORTS, COUNTS = Queue("parcels"), Queue("parcel-reports"), Queue("parcel-counts")


def registry() -> Registry:
    """Six jobs on four queues: commerce fast and bulk, scheduled fast, one that listens to what commerce emits, a cron
    that runs code and one that only publishes."""
    return build_registry(
        [
            _job("parcel-track", (ParcelSent, ParcelLost), PARCELS, "commerce", emits=(ParcelCounted,)),
            _job("parcel-audit", (ParcelSent,), PARCELS, "commerce", timeout_s=600),
            _job("parcel-report", (ParcelLost,), REPORTS, "scheduled"),
            _job("parcel-count", (ParcelCounted,), COUNTS, "scheduled"),
            _job("parcel-sweep", (), PARCELS, "commerce", timeout_s=600, cron=NIGHTLY),
            dispatch(
                "parcel-loss-scheduled",
                cron=Cron("*/5 * * * *", zone="UTC", max_late_s=120),
                queue=REPORTS,
                emits={ParcelLost: lambda tick: ParcelLost()},
                summary="Asks for lost parcels.",
                module="functions.scheduled.parcels",
            ),
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
    cron: Cron | None = None,
) -> Job[Any, Any]:
    def handler(ctx: JobContext, payload: Payload) -> Empty:
        """Do nothing."""
        return Empty()

    def sweep(ctx: JobContext, payload: Tick) -> Empty:
        """Do nothing, nightly."""
        return Empty()

    declare: Any = job(id, on=on, cron=cron, queue=queue, emits=tuple(emits), timeout_s=timeout_s)
    declared: Job[Any, Any] = declare(sweep if cron else handler)
    return replace(declared, module=f"functions.{category}.parcels")
