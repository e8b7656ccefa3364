"""The creator's card: forward only, whatever the order of events, with the time spent in each stage."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from functions.creators.applications.pipeline import advances
from shared.events.applications import CreatorApplicationPipelineEntry
from shared.jobs.testing import Bench, Deliver, Delivered
from tests.builders.applications import add_application
from tests.builders.creators import add_creator
from tests.conftest import Rows
from tests.functions.creators.applications.conftest import names, payload_of

HISTORY = "SELECT * FROM creator_pipeline_history ORDER BY entered_at, left_at NULLS LAST"
OPEN = "SELECT count(*) AS n FROM creator_pipeline_history WHERE left_at IS NULL"


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return datetime(2026, 11, 20, hour, minute, second, tzinfo=UTC)


def card(deliver: Deliver, stage: str, when: datetime | None = None, **more: Any) -> Delivered:
    fields = {"application_id": "a1", "stage": stage, "occurred_at": when, **more.pop("fields", {})}
    return deliver(CreatorApplicationPipelineEntry(**fields), **more)


def test_time_in_a_stage_is_counted_in_whole_seconds(deliver: Deliver, rows: Rows) -> None:
    add_application(rows, reviewed_by="u1")
    made = card(deliver, "new", at(10))

    moved = card(deliver, "approved", at(12, 30, 15))

    assert (made.result["moved"], made.result["durationSeconds"]) == (True, 0)
    # 2 h 30 min 15 s = 9,015 s
    assert moved.result["durationSeconds"] == 9015
    new, approved = rows(HISTORY)
    assert (new["from_stage"], new["to_stage"], new["duration_seconds"]) == (None, "new", 9015)
    assert (approved["from_stage"], approved["to_stage"], approved["left_at"]) == ("new", "approved", None)


def test_late_event_moves_nothing_back(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)
    card(deliver, "approved", at(12))

    late = card(deliver, "new", at(10))

    assert (late.result["stage"], late.result["moved"]) == ("approved", False)
    assert rows(OPEN) == [{"n": 1}]
    assert names(late) == []


def test_same_event_twice_is_one_stage_and_one_trigger(deliver: Deliver, bench: Bench, rows: Rows) -> None:
    add_application(rows)
    card(deliver, "new", at(10))
    card(deliver, "new", at(10), expect="duplicate")
    rows.execute("DELETE FROM jobs.claims")
    again = card(deliver, "new", at(10))

    assert again.result["moved"] is False
    assert len(rows(HISTORY)) == 1
    assert len([name for name, _ in bench.bus.published if name == "workflow.triggered"]) == 1


def test_rejected_may_become_approved(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)
    card(deliver, "rejected", at(10))

    assert card(deliver, "approved", at(11)).result["moved"] is True


@pytest.mark.parametrize(("status", "moves"), [("approved", False), ("rejected", True)])
def test_approved_becomes_rejected_only_when_the_application_is(
    deliver: Deliver, rows: Rows, status: str, moves: bool
) -> None:
    add_application(rows, status=status)
    card(deliver, "approved", at(10))

    assert card(deliver, "rejected", at(11)).result["moved"] is moves


def test_two_events_at_once_end_at_the_further_stage(bench: Bench, rows: Rows) -> None:
    add_application(rows)
    for stage in ("reviewing", "approved"):
        bench.publish(CreatorApplicationPipelineEntry(application_id="a1", stage=stage, occurred_at=at(10)), "acme")
    twin = bench.twin()
    first = bench.queues.receive("creator-applications", 1, 540)
    second = bench.queues.receive("creator-applications", 1, 540)

    bench.invoke("creator-applications", first)
    twin.invoke("creator-applications", second)
    bench.drain()
    twin.connections.discard()

    assert rows("SELECT stage FROM creator_pipeline_entries") == [{"stage": "approved"}]
    assert rows(OPEN) == [{"n": 1}]


def test_card_tells_the_workflow_rules(deliver: Deliver, rows: Rows) -> None:
    add_creator(rows, "c1")
    add_application(rows, creator_id="c1")
    card(deliver, "new", at(10))

    told = payload_of(card(deliver, "approved", at(11)), "workflow.triggered")

    (entry,) = rows("SELECT id::text, creator_id FROM creator_pipeline_entries")
    assert entry["creator_id"] == "c1"
    assert told == {
        "trigger": "status_change",
        "entityType": "creator_pipeline",
        "entityId": entry["id"],
        "context": {"from": "new", "to": "approved", "applicationId": "a1", "creatorId": "c1"},
    }


def test_creator_s_second_application_gets_a_card_of_its_own(deliver: Deliver, rows: Rows) -> None:
    add_creator(rows, "c1")
    add_application(rows, "a1", creator_id="c1")
    add_application(rows, "a2", email="b@example.com")
    card(deliver, "new", at(10))
    card(deliver, "new", at(10), fields={"application_id": "a2"})

    assert card(deliver, "approved", at(11), fields={"application_id": "a2", "creator_id": "c1"}).result["stage"]
    assert len(rows("SELECT 1 FROM creator_pipeline_entries WHERE creator_id = 'c1'")) == 1


def test_neither_application_nor_creator_is_refused(deliver: Deliver) -> None:
    assert card(deliver, "new", expect="dead").code == "APPLICATION_NOT_FOUND"


def test_creator_without_application_has_a_card(deliver: Deliver, rows: Rows) -> None:
    add_creator(rows, "c1")

    assert card(deliver, "approved", fields={"application_id": "c1", "creator_id": "c1"}).result["moved"] is True


def test_unknown_stage_is_refused(deliver: Deliver) -> None:
    done = deliver.job("creator-create-pipeline-entry", {"applicationId": "a1", "stage": "hired"}, expect="dead")

    assert done.code == "INVALID_PAYLOAD"


@pytest.mark.parametrize(
    ("present", "asked", "status", "moves"),
    [
        ("new", "new", "new", False),
        ("new", "active", "new", True),
        ("active", "onboarding", "approved", False),
        ("rejected", "approved", "new", True),
        ("approved", "rejected", None, False),
    ],
)
def test_ranks(present: str, asked: str, status: str | None, moves: bool) -> None:
    assert advances(present, asked, status) is moves
