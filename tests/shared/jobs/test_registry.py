"""The declared jobs as a whole, held against the list of routes."""

from __future__ import annotations

import csv

import pytest

from shared.events.base import contracts
from shared.jobs.registry import Registry
from tests.conftest import shared_material


@pytest.fixture(scope="module")
def routes() -> dict[str, dict[str, str]]:
    with shared_material("catalogue/routes.csv").open() as file:
        return {row["job"]: row for row in csv.DictReader(file)}


def test_every_job_has_the_category_queue_and_trigger_of_its_route(
    registry: Registry, routes: dict[str, dict[str, str]]
) -> None:
    differing = []
    for job in registry:
        route = routes.get(job.id)
        trigger = (job.cron.text, job.cron.zone) if job.cron else {event.event_name for event in job.on}
        declared = (job.category, job.queue.name, trigger)
        if route is None or declared != (route["category"], route["queue"], _trigger(route)):
            differing.append((job.id, declared, route))

    assert differing == []


def _trigger(route: dict[str, str]) -> tuple[str, str] | set[str]:
    """A cron's expression and zone, or the names of the events."""
    return (route["trigger"], route["timezone"]) if route["kind"] == "cron" else set(route["trigger"].split())


def test_job_stands_in_the_module_of_its_route(registry: Registry, routes: dict[str, dict[str, str]]) -> None:
    strays = [job.id for job in registry if routes[job.id]["module"].split("_")[0].rstrip("s") not in job.module]

    assert strays == []


def test_every_event_is_listened_to_by_a_job_or_by_the_apps(
    registry: Registry, routes: dict[str, dict[str, str]]
) -> None:
    heard = {event for row in routes.values() for event in row["trigger"].split() if row["kind"] == "event"}
    ours = {name: model for name, model in contracts().items() if model.__module__.startswith("shared.events")}

    assert [name for name, model in ours.items() if name not in heard and not model.to_apps] == []


def test_every_queue_has_jobs_of_one_class(registry: Registry) -> None:
    for binding in registry.queues():
        assert {job.bulk for job in binding.jobs} == {binding.bulk}
        assert binding.name.endswith("-bulk") == binding.bulk
