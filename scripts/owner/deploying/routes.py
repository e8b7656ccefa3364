"""The route manifest: what a version of the app consists of, as far as messages are concerned.

One Route per job, derived from its declaration, and nothing else; it is stored with each deployment (records.py) and
compared with the next one's (diff.py). A queue that still waits for its last messages is `retiring`: no job is left
on it, and it goes with a later deployment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from scripts.owner.deploying.contracts import contract
from shared.jobs.context import JobContext
from shared.jobs.crons import Cron, Tick
from shared.jobs.declaration import Dispatched, Retry, job
from shared.jobs.queues import FAST_TIMEOUT_S, Queue
from shared.jobs.registry import AnyJob, Registry, build_registry
from shared.jobs.samples import NoSample, sample_payload

BULK = "-bulk"


class Route(BaseModel):
    """How messages reach one job, and what they may hold. `cron` and `zone` or `events`: the trigger."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    category: str
    queue: str
    """Logical name, with -bulk."""
    function: str
    """Class of function: fast or bulk."""
    events: tuple[str, ...] = ()
    cron: str | None = None
    zone: str | None = None
    scope: str | None = None
    timeout_s: int
    retry: str
    max_age_s: int
    tenants: str
    contract: dict[str, Any]
    sample: dict[str, Any] | None
    """A payload that the contract takes, in wire form."""


class RetiringQueue(BaseModel):
    """A queue without jobs that is kept until it is empty."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    category: str


class Manifest(BaseModel):
    """All routes of one version, by job id. `version`: of this form; another one is not read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    routes: dict[str, Route] = {}
    retiring: tuple[RetiringQueue, ...] = ()

    @property
    def queues(self) -> dict[str, str]:
        """Category by logical name, of all queues that this version has."""
        live = {route.queue: route.category for route in self.routes.values()}
        return {**{queue.name: queue.category for queue in self.retiring}, **live}


NOTHING = Manifest()
"""Before the first deployment."""


def manifest(registry: Registry, retiring: Sequence[RetiringQueue] = ()) -> Manifest:
    """The manifest of the declared jobs."""
    return Manifest(routes={each.id: route(each) for each in registry}, retiring=tuple(retiring))


def route(declared: AnyJob) -> Route:
    """The route of one job."""
    cron = declared.cron
    return Route(
        category=declared.category,
        queue=declared.queue_name,
        function="bulk" if declared.bulk else "fast",
        events=tuple(sorted(event.event_name for event in declared.on)),
        cron=cron.text if cron else None,
        zone=cron.zone if cron else None,
        scope=cron.scope if cron else None,
        timeout_s=declared.timeout_s,
        retry=_policy(declared.retry),
        max_age_s=declared.max_age_s,
        tenants=declared.tenants,
        contract=contract(declared.payload),
        sample=_sample(declared),
    )


def _policy(retry: Retry) -> str:
    return f"{retry.attempts} attempts, {retry.min_s:g} s x {retry.factor:g} up to {retry.max_s:g} s"


def _sample(declared: AnyJob) -> dict[str, Any] | None:
    try:
        return sample_payload(declared.on[0] if declared.on else declared.payload)
    except NoSample:
        return None


# Queues that stay without jobs.


def with_queues_kept(registry: Registry, kept: Sequence[RetiringQueue]) -> Registry:
    """The registry with a job that nothing starts on each kept queue, so that the app deploys the queue.

    Its function drains it; no rule and no schedule leads to it. Only for synthesis: no function knows these jobs.
    """
    queues = {each.queue.name: each.queue for each in registry}
    return build_registry([*registry, *(_keeper(queue, queues) for queue in kept)]) if kept else registry


def _keeper(retiring: RetiringQueue, queues: Mapping[str, Queue]) -> AnyJob:
    name, bulk = retiring.name.removesuffix(BULK), retiring.name.endswith(BULK)

    def keep(ctx: JobContext, payload: Tick) -> Dispatched:
        """Holds the place of the jobs that were on this queue."""
        raise AssertionError("no message is ever for this job")

    declare = job(
        f"retiring-{retiring.name}",
        cron=Cron("0 0 * * *", zone="UTC"),  # a job must have a trigger; it is taken away below
        queue=queues.get(name, Queue(name)),
        timeout_s=FAST_TIMEOUT_S + 1 if bulk else FAST_TIMEOUT_S,
    )
    return replace(declare(keep), cron=None, module=f"functions.{retiring.category}.retiring")
