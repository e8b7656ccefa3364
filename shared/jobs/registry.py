"""Finds the declared jobs by scanning the category packages, and holds what must be true across declarations.

The registry imports `functions.<category>` by name, so `shared` never imports a job; a Lambda entry loads its own
category only, the CDK app, the CLI and the tests load all.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from shared.events.base import Event, contracts
from shared.jobs.declaration import DeclarationError, Job
from shared.jobs.queues import Queue

CATEGORIES = ("commerce", "creators", "analytics", "scheduled")
"""The packages below `functions` that hold jobs; the Lambda functions are named after them."""

AnyJob = Job[Any, Any]


@dataclass(frozen=True, slots=True)
class QueueBinding:
    """One SQS queue as it will exist: its physical suffix, the class of function that drains it, and its jobs."""

    name: str
    queue: Queue
    bulk: bool
    category: str
    jobs: tuple[AnyJob, ...]


@dataclass(frozen=True)
class Registry:
    """All jobs by id; derived look-ups are computed once."""

    jobs: Mapping[str, AnyJob]
    partial: bool = False
    """Whether other categories have jobs that are not here."""

    @cached_property
    def whole(self) -> Registry:
        """All jobs of all categories; a function that knows its own only imports the others at first use."""
        return load_registry() if self.partial else self

    def __iter__(self) -> Iterator[AnyJob]:
        return iter(self.jobs[id] for id in sorted(self.jobs))

    def __len__(self) -> int:
        return len(self.jobs)

    @cached_property
    def listeners(self) -> Mapping[str, tuple[AnyJob, ...]]:
        """Event name -> the jobs that listen to it, by id."""
        found: dict[str, list[AnyJob]] = defaultdict(list)
        for job in self:
            for event in job.on:
                found[event.event_name].append(job)
        return {name: tuple(jobs) for name, jobs in found.items()}

    @cached_property
    def crons(self) -> tuple[AnyJob, ...]:
        """The jobs that run on a schedule, by id."""
        return tuple(job for job in self if job.cron is not None)

    @cached_property
    def categories(self) -> tuple[str, ...]:
        """Categories that have jobs, in the fixed order."""
        return tuple(c for c in CATEGORIES if any(job.category == c for job in self))

    def queues(self, category: str | None = None) -> list[QueueBinding]:
        """The SQS queues of a category (or of all), by name."""
        grouped: dict[str, list[AnyJob]] = defaultdict(list)
        for job in self:
            if category in (None, job.category):
                grouped[job.queue_name].append(job)
        return [
            QueueBinding(name, jobs[0].queue, jobs[0].bulk, jobs[0].category, tuple(jobs))
            for name, jobs in sorted(grouped.items())
        ]


def load_registry(categories: Sequence[str] | None = None) -> Registry:
    """Import the category packages and collect their jobs; raises DeclarationError with the sentence that mends it."""
    found: dict[str, AnyJob] = {}
    for category in categories or CATEGORIES:
        for module in _modules(f"functions.{category}"):
            for value in vars(module).values():
                if isinstance(value, Job) and value.module == module.__name__:
                    _add(found, value)
    registry = Registry(found, partial=categories is not None)
    _refuse(registry, whole=categories is None)
    return registry


def build_registry(jobs: Sequence[AnyJob]) -> Registry:
    """A registry of the given jobs; the same refusals as a scan of one category."""
    found: dict[str, AnyJob] = {}
    for job in jobs:
        _add(found, job)
    registry = Registry(found)
    _refuse(registry, whole=False)
    return registry


def _modules(package: str) -> Iterator[Any]:
    try:
        root = importlib.import_module(package)
    except ModuleNotFoundError as missing:
        if missing.name == package:
            return  # a category without jobs yet
        raise
    yield root
    for info in pkgutil.walk_packages(root.__path__, f"{package}."):
        if not info.name.endswith(".handler"):
            yield importlib.import_module(info.name)


def _add(found: dict[str, AnyJob], job: AnyJob) -> None:
    other = found.get(job.id)
    if other is not None and other is not job:
        raise DeclarationError(f"{job.id}: declared in {other.module} and in {job.module}; ids are unique, rename one")
    found[job.id] = job


def _refuse(registry: Registry, *, whole: bool) -> None:
    owner: dict[str, AnyJob] = {}
    for job in registry:
        first = owner.setdefault(job.queue.name, job)
        if first.queue != job.queue:
            raise DeclarationError(
                f"{job.id}: queue {job.queue.name} has other settings in {first.id}; declare it once"
            )
        if first.category != job.category:
            raise DeclarationError(
                f"{job.id}: queue {job.queue.name} belongs to {first.category} ({first.id}); a queue has one function"
            )
    if whole:
        _refuse_events(registry)


def _refuse_events(registry: Registry) -> None:
    published: set[type[Event]] = {event for job in registry for event in job.emits}
    for job in registry:
        for event in job.on:
            if event not in published and not event.from_apps:
                raise DeclarationError(
                    f"{job.id}: nobody publishes {event.event_name}; add it to a job's emits= or mark it from_apps=True"
                )


def event_contract(name: str) -> type[Event]:
    """The model of event `name`; KeyError with the known names near it when there is none."""
    known = contracts()
    if name not in known:
        raise KeyError(f"unknown event {name!r}")
    return known[name]
