"""The route diff as it is shown, and the queues that are kept without jobs."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import field_validator

from scripts.owner.deploying.diff import RouteDiff, route_diff
from scripts.owner.deploying.routes import NOTHING, Manifest, RetiringQueue, manifest, with_queues_kept
from shared.events.base import Event
from shared.jobs.crons import Cron
from shared.jobs.declaration import Retry
from shared.jobs.queues import Queue
from shared.jobs.registry import AnyJob, build_registry, load_registry
from tests.scripts.owner.deploying.depot import Arrived, Loaded, a_job, an_event

GATES, YARD = Queue("gates"), Queue("yard")
GATE = a_job("depot-open-gate", on=Arrived, queue=GATES)


def diff_of(before: AnyJob | None, after: AnyJob | None) -> RouteDiff:
    registry = build_registry([after] if after else [])
    old = manifest(build_registry([before])) if before else NOTHING
    return route_diff(old, manifest(registry), registry)


NIGHTLY = a_job("depot-count", cron=Cron("0 3 * * *", zone="UTC"), queue=GATES)
CASES: list[tuple[str, AnyJob, AnyJob, list[str]]] = [
    (
        "cron",
        NIGHTLY,
        a_job("depot-count", cron=Cron("5 3 * * *", zone="UTC"), queue=GATES),
        ["0 3 * * * UTC -> 5 3 * * * UTC"],
    ),
    (
        "cron",
        NIGHTLY,
        a_job("depot-count", cron=Cron("0 3 * * *", zone="Asia/Tokyo"), queue=GATES),
        ["0 3 * * * UTC -> 0 3 * * * Asia/Tokyo"],
    ),
    (
        "event",
        GATE,
        a_job("depot-open-gate", on=(Arrived, Loaded), queue=GATES, payload=Event),
        ["depot.arrived -> depot.arrived, depot.loaded"],
    ),
    ("queue", GATE, a_job("depot-open-gate", on=Arrived, queue=YARD), ["gates -> yard"]),
    ("timeout", GATE, a_job("depot-open-gate", on=Arrived, queue=GATES, timeout_s=30), ["60 s -> 30 s"]),
    (
        "retry",
        GATE,
        a_job("depot-open-gate", on=Arrived, queue=GATES, retry=Retry(attempts=7, min_s=2)),
        ["3 attempts, 1 s x 2 up to 60 s -> 7 attempts, 2 s x 2 up to 60 s"],
    ),
    (
        "contract",
        GATE,
        a_job("depot-open-gate", on=an_event("depot.arrived", truck_id=(str, ...), axles=(int, 2)), queue=GATES),
        ["axles: is new and optional"],
    ),
]


@pytest.mark.parametrize(("what", "before", "after", "texts"), CASES)
def test_what_changes_about_a_job_is_named(what: str, before: AnyJob, after: AnyJob, texts: list[str]) -> None:
    diff = diff_of(before, after)
    (changes,) = diff.changed.values()
    assert [change.text for change in changes if change.what == what] == texts
    assert not diff.breaking


def test_a_longer_timeout_moves_a_job_to_the_bulk_function_and_its_queue() -> None:
    diff = diff_of(GATE, a_job("depot-open-gate", on=Arrived, queue=GATES, timeout_s=600))
    told = [f"{change.what} {change.text}" for change in diff.changed["depot-open-gate"]]
    assert told == ["queue gates -> gates-bulk", "function fast -> bulk", "timeout 60 s -> 600 s"]
    assert diff.gone_queues == {"gates": "commerce"}


def test_added_and_removed_jobs_are_told_with_what_starts_them() -> None:
    assert list(diff_of(None, GATE).lines()) == [
        "Routes: 1 added, 0 removed, 0 changed",
        "  + depot-open-gate: depot.arrived -> gates (commerce, fast, 60 s)",
    ]
    assert list(diff_of(NIGHTLY, None).lines()) == [
        "Routes: 0 added, 1 removed, 0 changed",
        "  - depot-count: cron 0 3 * * * UTC -> gates (commerce, fast, 60 s)",
    ]
    assert list(diff_of(GATE, GATE).lines()) == ["Routes: none of 1 changes"]


def test_a_breaking_contract_is_marked() -> None:
    needs_more = an_event("depot.arrived", truck_id=(str, ...), plate=(str, ...))
    diff = diff_of(GATE, a_job("depot-open-gate", on=needs_more, queue=GATES))
    assert list(diff.breaking) == ["depot-open-gate"]
    assert "      contract: plate: is new and required   BREAKS messages in flight" in list(diff.lines())


def test_a_validator_that_no_schema_shows_is_found_by_the_deployed_sample() -> None:
    class Strict(Arrived):  # type: ignore[misc, valid-type]  # a class made at run time
        @field_validator("truck_id")
        @classmethod
        def known(cls, value: str) -> str:
            if not value.startswith("T-"):
                raise ValueError("begins with T-")
            return value

    Strict.event_name, Strict.from_apps, Strict.to_apps = "depot.arrived", True, True
    diff = diff_of(GATE, a_job("depot-open-gate", on=Strict, queue=GATES))
    (change,) = diff.breaking["depot-open-gate"]
    assert change.text == "the deployed version's sample is refused: truckId: Value error, begins with T-"


def test_the_manifest_of_all_jobs_comes_back_from_its_text_and_shows_no_change() -> None:
    registry = load_registry()
    stored = Manifest.model_validate_json(manifest(registry).model_dump_json(exclude_defaults=True))
    assert stored.routes.keys() == registry.jobs.keys()
    diff = route_diff(stored, manifest(registry), registry)
    assert diff.empty, list(diff.lines())


def test_a_kept_queue_is_deployed_and_drained_and_nothing_leads_to_it(tmp_path: Path) -> None:
    from tests.infra.synthesis import synthesize

    registry = build_registry([GATE])
    kept = [RetiringQueue(name="yard-bulk", category="commerce"), RetiringQueue(name="gates-bulk", category="commerce")]
    app = synthesize(with_queues_kept(registry, kept), tmp_path)

    names = {each["Properties"]["QueueName"] for each in app.of_type("AWS::SQS::Queue").values()}
    assert {"cgk-yard-bulk", "cgk-yard-bulk-dlq", "cgk-gates-bulk", "cgk-gates"} < names
    assert {"YardBulkMapping", "GatesBulkMapping"} < app.of_type("AWS::Lambda::EventSourceMapping").keys()
    assert app.of_type("AWS::Events::Rule", "cgk-commerce").keys() == {"DepotOpenGateRule"}
    assert app.of_type("AWS::Scheduler::Schedule", "cgk-commerce") == {}
    assert "retiring-yard-bulk" not in manifest(registry, kept).routes
    assert manifest(registry, kept).queues == {"gates": "commerce", "yard-bulk": "commerce", "gates-bulk": "commerce"}
