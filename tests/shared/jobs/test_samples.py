"""Sample messages: fresh, valid, runnable; how a payload is found for a model."""

from __future__ import annotations

import json
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from uuid import UUID

import pytest
from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints, model_validator

from shared.events.base import Event, Payload, VendorId
from shared.jobs import samples
from shared.jobs.registry import AnyJob, Registry, build_registry, load_registry
from shared.jobs.replies import records_of
from shared.jobs.samples import NoSample, sample_event, sample_payload
from shared.jobs.testing import Bench
from tests import toys as toy_jobs

JOBS = list(load_registry())


def test_checked_in_samples_are_what_the_declarations_give(registry: Registry) -> None:
    assert samples.stale(registry) == []


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.id)
def test_sample_of_every_job_is_a_message_that_its_model_accepts(job: AnyJob) -> None:
    text = (samples.FOLDER / f"{job.id}.json").read_text(encoding="utf-8")

    [record] = records_of(json.loads(text), "cgk-")

    body = json.loads(record.body)
    assert record.queue == job.queue_name
    assert record.group == body["payload"].pop("tenantId") == ("system" if job.tenants == "system" else "acme")
    assert body["job"] == job.id
    names: list[str | None] = [event.event_name for event in job.on]
    assert body.get("event") in (names or [None])
    job.payload.model_validate_json(json.dumps(body["payload"]), strict=True)


def test_sample_runs_whenever_it_is_fed_to_the_pipeline(toys: Bench) -> None:
    [record] = records_of(sample_event(toy_jobs.REGISTRY.jobs["toy-watch"]), "cgk-")

    [done] = toys.invoke("other-toys", [record])

    assert (done.state, done.result) == ("succeeded", {"n": 1, "attempt": 1})


class Everything(Event, name="sample.everything", from_apps=True):
    text: str
    order_id: VendorId
    run_id: UUID
    at: AwareDatetime
    day: date
    count: Annotated[int, Field(ge=5, le=9)]
    share: float
    flag: bool
    kind: Literal["first", "second"]
    fixed: Literal["only"]
    ids: list[VendorId]
    currency: Annotated[str, StringConstraints(min_length=3, max_length=3)]
    given: str = Field(examples=["as given"])
    note: str | None = Field(default=None, examples=["an optional field with an example"])
    rest: str | None = None


def test_payload_is_made_from_examples_and_types() -> None:
    payload = sample_payload(Everything)

    assert payload == {
        "text": "sample",
        "orderId": "1001",
        "runId": "00000000-0000-4000-8000-000000000001",
        "at": "2026-01-15T12:00:00Z",
        "day": "2026-01-15",
        "count": 5,
        "share": 1,
        "flag": True,
        "kind": "first",
        "fixed": "only",
        "ids": ["1001"],
        "currency": "USD",
        "given": "as given",
        "note": "an optional field with an example",
    }
    assert datetime.fromisoformat(payload["at"]).tzinfo is not None


class OneOfTwo(Event, name="sample.oneOfTwo", from_apps=True):
    a: str | None = None
    b: str | None = None
    c: str | None = None

    @model_validator(mode="after")
    def _needs_b_and_c(self) -> Self:
        if self.b is None or self.c is None or self.a is not None:
            raise ValueError("b and c, not a")
        return self


class Whole(Event, name="sample.whole", from_apps=True):
    model_config = ConfigDict(json_schema_extra={"examples": [{"code": "X-1"}]})
    code: Annotated[str, StringConstraints(pattern="^X-[0-9]$")]


class Riddle(Event, name="sample.riddle", from_apps=True):
    code: Annotated[str, StringConstraints(pattern="^X-[0-9]$")]


class Inner(Payload):
    name: str
    more: str | None = None


class Nested(Event, name="sample.nested", from_apps=True):
    inner: Inner
    list_of: list[Inner]


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (OneOfTwo, {"b": "sample", "c": "sample"}),
        (Whole, {"code": "X-1"}),
        (Nested, {"inner": {"name": "sample"}, "listOf": [{"name": "sample"}]}),
    ],
    ids=["rule across fields", "whole example of the model", "nested models"],
)
def test_payload_has_as_few_fields_as_the_model_accepts(model: type[Event], expected: dict[str, Any]) -> None:
    assert sample_payload(model) == expected


def test_model_that_gives_no_hint_is_refused_with_what_to_do() -> None:
    with pytest.raises(NoSample, match=r"Riddle: give its fields Field\(examples"):
        sample_payload(Riddle)


def test_files_follow_the_jobs(tmp_path: Path) -> None:
    registry = toy_jobs.REGISTRY
    (tmp_path / "gone-job.json").write_text("{}")

    assert "gone-job.json" in samples.write(registry, tmp_path)

    assert samples.stale(registry, tmp_path) == []
    assert samples.write(registry, tmp_path) == []
    (tmp_path / "toy-dig.json").unlink()
    (tmp_path / "toy-play.json").write_text("{}")
    assert samples.stale(registry, tmp_path) == [
        "toy-dig.json is missing",
        "toy-play.json is not what the declaration of toy-play gives",
    ]
    assert samples.stale(build_registry([toy_jobs.watch]), tmp_path)[-1] == "toy-play.json belongs to no job"


def test_check_says_what_is_stale_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = samples.main(["--check"], tmp_path)

    assert code == 1
    assert "commerce-sync-order.json is missing" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
