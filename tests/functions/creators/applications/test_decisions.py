"""Decisions: stored once, handed to the review that waits, or carried out directly."""

from __future__ import annotations

from typing import Any

import pytest

from shared.events.applications import CreatorApproved, CreatorRejected
from shared.jobs.memory_machines import Step
from shared.jobs.testing import Bench, Deliver, Delivered
from tests.builders.applications import add_application, add_review, the_review
from tests.builders.creators import JANE, add_creator
from tests.conftest import Rows
from tests.functions.creators.applications.conftest import names, payload_of

QUEUE = "creator-applications"
STARTED = ("ApplicationReview", "app-acme-a1")


@pytest.fixture
def waiting(bench: Bench, rows: Rows) -> Step:
    """A review that waits for its decision."""
    add_application(rows)
    bench.machines.started[STARTED] = {}
    step = bench.call(
        "creator-notify-admin-new-application",
        {"tenantId": "acme", "applicationId": "a1", "mode": "await", "segment": 0},
    )
    bench.pump(QUEUE)
    assert not step.over
    return step


def approve(deliver: Deliver, id: str = "a1", *, expect: str = "succeeded", **terms: Any) -> Delivered:
    return deliver(CreatorApproved(creator_id=id, **terms), expect=expect)


def reject(deliver: Deliver, id: str = "a1", *, expect: str = "succeeded", **terms: Any) -> Delivered:
    return deliver(CreatorRejected(creator_id=id, **terms), expect=expect)


# -- creator-on-approved ---------------------------------------------------------------------------------------------


def test_waiting_review_is_answered_once(deliver: Deliver, bench: Bench, rows: Rows, waiting: Step) -> None:
    first = approve(deliver, approved_by="u1", tier="gold", notes="text")
    second = approve(deliver)
    rows.execute("UPDATE creator_application_reviews SET status = 'completed'")
    third = approve(deliver)

    assert first.result == {"outcome": "delivered", "applicationId": "a1"}
    assert second.result["outcome"] == "delivered"
    assert third.result["outcome"] == "already_approved"
    assert waiting.output == {"decision": "approved", "decidedBy": "u1"}
    assert bench.machines.answers == 1
    assert names(first) == []
    stored = the_review(rows)
    assert (stored["decision"], stored["decided_by"]) == ("approved", "u1")
    assert stored["decision_payload"] == {"tier": "gold", "notes": "text", "sendNotification": True}


@pytest.mark.parametrize("status", [None, "SUCCEEDED", "ABORTED", "FAILED"])
def test_without_a_running_execution_a_job_carries_it_out(
    deliver: Deliver, bench: Bench, rows: Rows, status: str | None
) -> None:
    add_application(rows)
    if status is not None:
        bench.machines.started[STARTED] = {}
        bench.machines.statuses[STARTED] = status

    done = approve(deliver, approved_by="u1", discount_code="JANE5")

    assert done.result["outcome"] == "direct"
    assert payload_of(done, "creator.approval.process") == {
        "applicationId": "a1",
        "approvedBy": "u1",
        "discountCode": "JANE5",
        "sendNotification": True,
        "orchestrated": False,
    }


def test_expired_review_is_direct_even_while_its_execution_ends(deliver: Deliver, bench: Bench, rows: Rows) -> None:
    add_application(rows)
    add_review(rows, status="expired")
    bench.machines.started[STARTED] = {}

    assert approve(deliver).result["outcome"] == "direct"


def test_creator_without_an_application_is_direct(deliver: Deliver, rows: Rows) -> None:
    add_creator(rows, JANE, status="pending")

    done = approve(deliver, JANE)

    assert done.result == {"outcome": "direct"}
    assert payload_of(done, "creator.approval.process")["creatorId"] == JANE


def test_creator_s_newest_application_is_meant(deliver: Deliver, rows: Rows) -> None:
    add_creator(rows, "c1", email="jane@example.com", status="pending")
    add_application(rows, "a0", email="JANE@example.com", created_at="2026-01-01T00:00:00Z")
    add_application(rows, "a1", created_at="2026-11-01T00:00:00Z")

    assert approve(deliver, "c1").result["applicationId"] == "a1"


def test_two_approvals_at_the_same_moment_run_one_branch(
    deliver: Deliver, bench: Bench, rows: Rows, waiting: Step
) -> None:
    twin = bench.twin()
    for who in ("u1", "u2"):
        bench.publish(CreatorApproved(creator_id="a1", approved_by=who), "acme")
    bench.invoke(QUEUE, bench.queues.receive(QUEUE, 1, 540))
    twin.invoke(QUEUE, twin.queues.receive(QUEUE, 1, 540))
    twin.connections.discard()

    assert bench.machines.answers == 1
    assert the_review(rows)["decided_by"] == waiting.output["decidedBy"]
    assert [name for name, _ in bench.bus.published if name == "creator.approval.process"] == []


@pytest.mark.parametrize("percent", ["101", "-1", "10.001"])
def test_commission_outside_its_bounds_is_refused(deliver: Deliver, percent: str) -> None:
    done = deliver.job("creator-on-approved", {"creatorId": "a1", "commissionPercent": percent}, expect="dead")

    assert done.code == "INVALID_PAYLOAD"


def test_unknown_id_is_refused(deliver: Deliver) -> None:
    assert approve(deliver, "nobody", expect="dead").code == "CREATOR_NOT_FOUND"


def test_answer_out_of_reach_is_given_later(deliver: Deliver, bench: Bench, rows: Rows, waiting: Step) -> None:
    bench.machines.refuse = 1
    assert approve(deliver).result["outcome"] == "delivered"
    assert not waiting.over

    bench.sweep()

    assert waiting.output["decision"] == "approved"


def test_rejection_that_was_carried_out_is_revised_directly(deliver: Deliver, bench: Bench, rows: Rows) -> None:
    add_application(rows, status="rejected")
    add_review(rows, status="completed", decision="rejected")
    bench.machines.started[STARTED] = {}
    bench.machines.statuses[STARTED] = "SUCCEEDED"

    assert approve(deliver).result["outcome"] == "direct"
    assert (the_review(rows)["decision"], the_review(rows)["status"]) == ("approved", "decided")


def test_approval_that_takes_a_rejection_s_place_is_direct_also_when_the_run_is_repeated(
    deliver: Deliver, bench: Bench, rows: Rows
) -> None:
    add_application(rows)
    add_review(rows, status="decided", decision="rejected", decided_by="u2")
    bench.machines.started[STARTED] = {}

    assert approve(deliver).result["outcome"] == "direct"
    assert approve(deliver).result["outcome"] == "direct"
    assert the_review(rows)["decision"] == "approved"


# -- creator-on-rejected ---------------------------------------------------------------------------------------------


def test_rejection_answers_the_waiting_review(deliver: Deliver, rows: Rows, waiting: Step) -> None:
    first = reject(deliver, rejected_by="u1", feedback="more videos", allow_reapply=False)
    rows.execute("UPDATE creator_application_reviews SET status = 'completed'")
    second = reject(deliver)

    assert first.result == {"outcome": "delivered", "applicationId": "a1"}
    assert second.result["outcome"] == "already_rejected"
    assert waiting.output == {"decision": "rejected", "decidedBy": "u1"}
    terms = {"feedback": "more videos", "allowReapply": False, "sendNotification": True}
    assert the_review(rows)["decision_payload"] == terms


def test_first_of_two_opposite_decisions_holds(deliver: Deliver, rows: Rows, waiting: Step) -> None:
    approve(deliver)

    assert reject(deliver, expect="dead").code == "INVALID_TRANSITION"
    assert waiting.output["decision"] == "approved"
    assert the_review(rows)["decision"] == "approved"


@pytest.mark.parametrize("status", ["approved", "active", "paused"])
def test_creator_who_works_is_not_rejected(deliver: Deliver, rows: Rows, status: str) -> None:
    add_creator(rows, "c1", email="jane@example.com", status=status)
    add_application(rows)

    assert reject(deliver, expect="dead").code == "INVALID_TRANSITION"
    assert rows("SELECT 1 FROM creator_application_reviews") == []
    assert rows("SELECT status::text FROM creators") == [{"status": status}]


def test_rejection_after_the_end_is_direct(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)
    add_review(rows, status="expired")

    done = reject(deliver, reason="not_selected")

    assert done.result["outcome"] == "direct"
    assert payload_of(done, "creator.rejection.process") == {
        "applicationId": "a1",
        "rejectedBy": "system",
        "reason": "not_selected",
        "allowReapply": True,
        "sendNotification": True,
        "orchestrated": False,
    }


def test_reason_of_more_than_a_thousand_characters_is_refused(deliver: Deliver) -> None:
    done = deliver.job("creator-on-rejected", {"creatorId": "a1", "reason": "x" * 1001}, expect="dead")

    assert done.code == "INVALID_PAYLOAD"


def test_superseded_application_is_rejected_already(deliver: Deliver, rows: Rows) -> None:
    add_application(rows, status="rejected", rejection_reason="superseded_by:a2")
    add_review(rows, status="completed", decision="superseded")

    assert reject(deliver).result["outcome"] == "already_rejected"
