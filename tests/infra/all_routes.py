"""All 240 routes of the catalogue as declarations that do nothing: what the stacks must have room for."""

from __future__ import annotations

import csv
import types
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.events.base import Event, Payload
from shared.jobs.context import JobContext
from shared.jobs.crons import Cron, Tick
from shared.jobs.declaration import Job, job
from shared.jobs.ports import Blackout
from shared.jobs.queues import Queue
from shared.jobs.registry import Registry, build_registry

ROUTES = "catalogue/routes.csv"
BULK_TIMEOUT_S = 600
WATCHER = "ops-health-check-critical"
Route = Mapping[str, str]


class Nothing(Payload):
    pass


def read(path: Path) -> list[Route]:
    """The rows: job, category, queue, kind, trigger, timezone and more."""
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def registry(routes: Iterable[Route]) -> Registry:
    """More than the real one will need: each queue has its bulk twin, and in each category and class the first job
    emits every event of the category, so that its function may send to every queue that listens."""
    rows = list(routes)
    contracts = {row["trigger"]: _event(row["trigger"]) for row in rows if row["kind"] == "event"}
    queues = {row["queue"]: Queue(row["queue"]) for row in rows}
    emitting: set[tuple[str, bool]] = set()
    twins: set[str] = set()
    declared = []
    for row in rows:
        bulk = row["queue"] in twins and f"{row['queue']} bulk" not in twins
        twins |= {row["queue"], *([f"{row['queue']} bulk"] if bulk else [])}
        first = (row["category"], bulk) not in emitting
        emitting.add((row["category"], bulk))
        heard = [r["trigger"] for r in rows if r["kind"] == "event" and r["category"] == row["category"]]
        emits = tuple(contracts[name] for name in sorted(set(heard))) if first else ()
        declared.append(_job(row, contracts, queues[row["queue"]], bulk, emits))
    return build_registry(declared)


def _event(name: str) -> type[Event]:
    """A contract that the project's list of contracts does not learn of."""
    words = name.replace(".", " ").split()
    event: type[Event] = types.new_class("".join(word[:1].upper() + word[1:] for word in words), (Event,))
    event.event_name, event.from_apps, event.to_apps = name, True, True
    return event


def _watch(found: Blackout) -> None:
    """What marks the job that watches over the platform."""


def _job(
    row: Route, contracts: Mapping[str, type[Event]], queue: Queue, bulk: bool, emits: tuple[type[Event], ...]
) -> Job[Any, Any]:
    def hear(ctx: JobContext, payload: Payload) -> Nothing:
        """Do nothing."""
        return Nothing()

    def tick(ctx: JobContext, payload: Tick) -> Nothing:
        """Do nothing, by schedule."""
        return Nothing()

    cron = Cron(row["trigger"], zone=row["timezone"]) if row["kind"] == "cron" else None
    declare: Any = job(
        row["job"],
        on=() if cron else (contracts[row["trigger"]],),
        cron=cron,
        queue=queue,
        emits=emits,
        timeout_s=BULK_TIMEOUT_S if bulk else 60,
        blackout=_watch if row["job"] == WATCHER else None,
    )
    return replace(declare(tick if cron else hear), module=f"functions.{row['category']}.{row['module']}")
