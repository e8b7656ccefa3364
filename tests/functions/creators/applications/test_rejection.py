"""A rejection is carried out, and the refusal waits its hour."""

from __future__ import annotations

from typing import Any

import pytest

from shared.events.applications import CreatorApprovalProcess, CreatorRejectionEmail, CreatorRejectionProcess
from shared.jobs.context import Tenant
from shared.jobs.testing import Deliver, Delivered, ManualClock
from tests.builders.applications import PORTAL, add_application, add_review, queue_mail, the_application, the_review
from tests.builders.creators import JANE, add_creator
from tests.conftest import Rows
from tests.functions.creators.applications.conftest import names, payload_of

QUEUED = "SELECT * FROM creator_email_queue WHERE template_type = 'creator_application_rejected'"


def reject(deliver: Deliver, *, expect: str = "succeeded", **more: Any) -> Delivered:
    return deliver(CreatorRejectionProcess(application_id="a1", **more), expect=expect)


def refuse(deliver: Deliver, *, expect: str = "succeeded", **more: Any) -> Delivered:
    return deliver(CreatorRejectionEmail(**{"application_id": "a1", "allow_reapply": True, **more}), expect=expect)


# -- creator-process-rejection ---------------------------------------------------------------------------------------


def test_application_in_review_is_rejected_and_a_pending_creator_ends(
    deliver: Deliver, rows: Rows, tenant: Tenant
) -> None:
    add_creator(rows, JANE, email="jane@example.com", status="pending")
    rows.execute("INSERT INTO public.creators (id, email, name) VALUES (%s, 'jane@example.com', 'Jane')", (JANE,))
    rows.execute(
        "INSERT INTO public.creator_brand_memberships (creator_id, organization_id, status) VALUES (%s, %s, 'pending')",
        (JANE, tenant.organization_id),
    )
    add_application(rows, status="in_review", creator_id=JANE)

    done = reject(deliver, rejected_by="u1", feedback="more videos")

    assert done.result == {
        "processed": True,
        "outcome": "rejected",
        "emailQueued": True,
        "feedbackProvided": True,
        "allowReapply": True,
        "cancelled": 0,
    }
    found = the_application(rows)
    assert (found["status"], found["reviewed_by"], found["creator_id"]) == ("rejected", "u1", JANE)
    assert found["rejection_reason"] == "not_selected"
    assert rows("SELECT status::text FROM creators") == [{"status": "inactive"}]
    assert rows("SELECT status::text FROM public.creator_brand_memberships") == [{"status": "terminated"}]
    assert (the_review(rows)["status"], the_review(rows)["decision"]) == ("completed", "rejected")


def test_run_on_its_own_publishes_the_following_steps(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)

    done = reject(deliver, reason="not_selected")

    assert sorted(names(done)) == [
        "creator.application.pipelineEntry",
        "creator.application.track",
        "creator.rejection.email",
    ]
    assert payload_of(done, "creator.rejection.email") == {
        "applicationId": "a1",
        "reason": "not_selected",
        "allowReapply": True,
    }


def test_no_mail_is_asked_for_without_notice_and_nothing_when_orchestrated(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)
    add_application(rows, "a2", email="b@example.com")

    assert "creator.rejection.email" not in names(reject(deliver, send_notification=False))
    orchestrated = deliver(CreatorRejectionProcess(application_id="a2", orchestrated=True))
    assert names(orchestrated) == []
    assert orchestrated.result["emailQueued"] is True


def test_second_run_changes_nothing(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)
    reject(deliver)
    rows.execute("DELETE FROM jobs.claims")

    again = reject(deliver)

    assert again.result["outcome"] == "unchanged"
    assert names(again) == []


def test_refusal_is_still_to_be_sent_when_the_app_set_the_status_itself(deliver: Deliver, rows: Rows) -> None:
    add_application(rows, status="rejected", reviewed_by="u7", reviewed_at="2026-11-20T10:00:00Z")

    done = reject(deliver, rejected_by="u7")

    assert done.result["outcome"] == "rejected"
    assert "creator.rejection.email" in names(done)
    assert the_application(rows)["reviewed_at"].isoformat().startswith("2026-11-20T10:00:00")


@pytest.mark.parametrize("what", ["application", "creator"])
def test_approved_is_not_rejected(deliver: Deliver, rows: Rows, what: str) -> None:
    if what == "creator":
        add_creator(rows, "c1", email="jane@example.com", status="active")
    add_application(rows, status="approved" if what == "application" else "new")

    assert reject(deliver, expect="dead").code == "INVALID_TRANSITION"


def test_workflow_s_rejection_gives_way_to_an_approval_that_took_its_place(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)
    add_review(rows, status="decided", decision="approved")

    assert reject(deliver, orchestrated=True).result["outcome"] == "unchanged"
    assert the_application(rows)["status"] == "new"


def test_queued_mails_of_creator_and_applicant_are_called_back(deliver: Deliver, rows: Rows) -> None:
    add_creator(rows, JANE, email="jane@example.com", status="pending")
    add_application(rows)
    queue_mail(rows, JANE)
    queue_mail(rows, "application:a1", status="pending")
    queue_mail(rows, "application:a1", status="processing", number=2)
    queue_mail(rows, "c9")

    assert reject(deliver).result["cancelled"] == 2
    left = rows("SELECT creator_id, status FROM creator_email_queue WHERE status <> 'skipped' ORDER BY creator_id")
    assert left == [
        {"creator_id": "application:a1", "status": "processing"},
        {"creator_id": "c9", "status": "scheduled"},
    ]


def test_unknown_application_is_refused(deliver: Deliver) -> None:
    assert reject(deliver, expect="dead").code == "CREATOR_NOT_FOUND"
    assert deliver.job("creator-process-rejection", {}, expect="dead").code == "INVALID_PAYLOAD"


# -- creator-send-rejection-email ------------------------------------------------------------------------------------


@pytest.fixture
def refused(rows: Rows, clock: ManualClock) -> None:
    """Rejected on 2026-11-23 at 10:00 UTC, which is now."""
    add_application(rows, status="rejected", rejection_reason="not_selected", reviewed_at="2026-11-23T10:00:00Z")
    clock.advance(s=(70 * 3600))  # 2026-11-20T12:00Z + 70 h = 2026-11-23T10:00Z


def test_refusal_waits_an_hour_and_says_when_to_apply_again(deliver: Deliver, rows: Rows, refused: None) -> None:
    done = refuse(deliver, reason="not_selected", feedback="more videos")

    (row,) = rows(QUEUED)
    assert done.result["scheduledFor"].startswith("2026-11-23T11:00:00")
    assert (row["status"], row["creator_id"]) == ("scheduled", "application:a1")
    # 2026-11-23 + 90 days: 7 of November, 31 of December, 31 of January, 21 of February
    assert row["metadata"]["variables"] == {
        "feedback": "more videos",
        "reapplyAfter": "February 21, 2027",
        "reapplyUrl": f"{PORTAL}/creator/join",
    }


def test_written_reason_is_passed_on_and_a_code_is_not(deliver: Deliver, rows: Rows, refused: None) -> None:
    refuse(deliver, reason="Your audience is too far from ours.", allow_reapply=False)

    (row,) = rows(QUEUED)
    assert row["metadata"]["variables"] == {"rejectionReason": "Your audience is too far from ours."}


def test_feedback_of_the_stored_decision_is_used(deliver: Deliver, rows: Rows, refused: None) -> None:
    rows.execute(
        "INSERT INTO creator_application_reviews (application_id, status, decision, decision_payload)"
        " VALUES ('a1', 'completed', 'rejected', '{\"feedback\": \"more videos\"}')"
    )
    refuse(deliver, allow_reapply=False)

    assert rows(QUEUED)[0]["metadata"]["variables"] == {"feedback": "more videos"}


def test_approval_within_the_hour_calls_the_refusal_back(
    deliver: Deliver, rows: Rows, refused: None, clock: ManualClock
) -> None:
    refuse(deliver)
    clock.advance(s=30 * 60)

    deliver(CreatorApprovalProcess(application_id="a1", approved_by="u1"))

    (row,) = rows(QUEUED)
    assert (row["status"], row["skip_reason"]) == ("skipped", "cancelled:status_change")


@pytest.mark.parametrize(
    "columns",
    [{"status": "approved"}, {"status": "new"}, {"status": "rejected", "rejection_reason": "superseded_by:a2"}],
)
def test_who_is_not_refused_gets_no_refusal(deliver: Deliver, rows: Rows, columns: dict[str, Any]) -> None:
    add_application(rows, **columns)

    assert refuse(deliver).result == {"sent": False, "skipped": "not_rejected"}
    assert rows(QUEUED) == []


def test_refusal_is_queued_once(deliver: Deliver, rows: Rows, refused: None) -> None:
    first = refuse(deliver)
    second = refuse(deliver)

    assert len(rows(QUEUED)) == 1
    assert first.result["emailId"] == second.result["emailId"]


def test_payload_must_say_whether_to_apply_again(deliver: Deliver) -> None:
    assert deliver.job("creator-send-rejection-email", {"applicationId": "a1"}, expect="dead").code == "INVALID_PAYLOAD"
