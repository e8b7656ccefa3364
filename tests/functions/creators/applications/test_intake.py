"""A new application: its review begins once, and it is checked, registered and confirmed."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from functions.creators.applications.intake import handle
from shared.applications.reviews import execution_name
from shared.db.sessions import TransactionSession
from shared.events.applications import CreatorApplicationProcess, CreatorApplied
from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver, ManualClock
from tests.builders.applications import (
    add_application,
    add_review,
    add_settings,
    queue_mail,
    the_application,
    the_review,
)
from tests.builders.creators import add_creator
from tests.conftest import Rows
from tests.functions.creators.applications.conftest import names, payload_of

QUEUE = "creator-applications"
QUEUED = "SELECT * FROM creator_email_queue ORDER BY created_at, id"


def applied(deliver: Deliver, clock: ManualClock, **more: Any) -> Any:
    clock.advance(s=1)
    return deliver(CreatorApplied(application_id="a1"), **more)


# -- creator-on-applied ----------------------------------------------------------------------------------------------


def test_event_twice_is_one_execution_and_one_review(
    deliver: Deliver, bench: Bench, rows: Rows, clock: ManualClock
) -> None:
    add_application(rows)

    first = applied(deliver, clock)
    second = deliver(CreatorApplied(application_id="a1"), expect="duplicate")

    assert first.result == {"applicationId": "a1", "started": True, "outcome": "started"}
    assert second.state == "duplicate"
    assert bench.machines.started == {("ApplicationReview", "app-acme-a1"): {"applicationId": "a1", "tenantId": "acme"}}
    assert the_review(rows)["status"] == "awaiting"
    assert the_review(rows)["execution_arn"].endswith("ApplicationReview:app-acme-a1")


def test_a_later_run_for_the_same_application_starts_nothing(
    deliver: Deliver, bench: Bench, rows: Rows, clock: ManualClock
) -> None:
    add_application(rows)
    applied(deliver, clock)
    rows.execute("DELETE FROM jobs.claims")

    second = applied(deliver, clock)

    assert second.result == {"applicationId": "a1", "started": False, "outcome": "running"}
    assert len(bench.machines.started) == 1
    assert len(rows("SELECT 1 FROM creator_application_reviews")) == 1


def test_row_that_appears_between_two_attempts_is_found(deliver: Deliver, rows: Rows, clock: ManualClock) -> None:
    assert applied(deliver, clock, expect="retrying").code == "APPLICATION_NOT_VISIBLE"
    add_application(rows)

    assert deliver.again(QUEUE).result["started"] is True


def test_row_that_never_appears_is_dead_after_three_attempts(deliver: Deliver, clock: ManualClock) -> None:
    applied(deliver, clock, expect="retrying")
    deliver.again(QUEUE, expect="retrying")
    dead = deliver.again(QUEUE, expect="dead")

    assert (dead.code, dead.attempt) == ("APPLICATION_NOT_FOUND", 3)


@pytest.mark.parametrize("status", ["approved", "rejected"])
def test_application_that_was_decided_meanwhile_is_not_reviewed(
    deliver: Deliver, bench: Bench, rows: Rows, clock: ManualClock, status: str
) -> None:
    add_application(rows, status=status)

    assert applied(deliver, clock).result == {"applicationId": "a1", "started": False, "outcome": "closed"}
    assert bench.machines.started == {}


def test_draft_of_the_address_is_gone_and_its_queued_mail_is_skipped(
    deliver: Deliver, rows: Rows, clock: ManualClock
) -> None:
    add_application(rows)
    rows.execute(
        "INSERT INTO creator_application_drafts (id, email) VALUES ('d1', 'JANE@Example.com'), ('d2', 'x@y.com')"
    )
    queue_mail(rows, "draft:d1", "creator_application_reminder_48h")

    applied(deliver, clock)

    assert rows("SELECT id FROM creator_application_drafts") == [{"id": "d2"}]
    (mail,) = rows(QUEUED)
    assert (mail["status"], mail["skip_reason"]) == ("skipped", "cancelled:superseded")


def test_workflows_off_publishes_the_first_step(deliver: Deliver, bench: Bench, rows: Rows, clock: ManualClock) -> None:
    bench.machines.off = True
    add_application(rows)

    done = applied(deliver, clock)

    assert done.emitted == [("creator.application.process", {"applicationId": "a1", "orchestrated": False})]
    assert bench.machines.started == {}


def test_execution_has_a_name_that_step_functions_takes() -> None:
    assert execution_name("acme", "a1") == "app-acme-a1"
    # sha256("acme-a:1"), its first 60 hex digits
    assert execution_name("acme", "a:1") == "app-" + hashlib.sha256(b"acme-a:1").hexdigest()[:60]
    assert len(execution_name("acme", "x" * 300)) == 64


# -- creator-process-application -------------------------------------------------------------------------------------


def process(deliver: Deliver, id: str = "a1", **more: Any) -> Any:
    return deliver(CreatorApplicationProcess(application_id=id, **more))


@pytest.mark.parametrize(
    ("followers", "least", "enabled", "auto"),
    [
        pytest.param(10_000, 10_000, True, True, id="as many as wanted"),
        pytest.param(9_999, 10_000, True, False, id="one too few"),
        pytest.param(None, 10_000, True, False, id="followers unknown"),
        pytest.param(10_000, None, True, False, id="no minimum set"),
        pytest.param(10_000, 10_000, False, False, id="switched off"),
    ],
)
def test_rule_approves_only_by_two_known_numbers(
    deliver: Deliver, rows: Rows, followers: int | None, least: int | None, enabled: bool, auto: bool
) -> None:
    add_application(rows, follower_count=followers)
    add_settings(rows, auto_approve_enabled=enabled, auto_approve_min_followers=least)

    done = process(deliver)

    assert done.result["autoApprove"] is auto
    assert ("creator.approved" in names(done)) is auto


def test_waiting_list_is_never_approved_by_rule(deliver: Deliver, rows: Rows) -> None:
    add_application(rows, follower_count=50_000, status="waitlisted")
    add_settings(rows, auto_approve_enabled=True, auto_approve_min_followers=10_000)

    assert process(deliver).result["autoApprove"] is False


def test_older_application_of_the_address_gives_way(deliver: Deliver, bench: Bench, rows: Rows) -> None:
    add_application(rows, "a0", email="Jane@Example.com", created_at="2026-11-18T10:00:00Z")
    waiting = bench.call(
        "creator-notify-admin-new-application", {"tenantId": "acme", "applicationId": "a0", "mode": "await"}
    )
    bench.pump(QUEUE)
    add_application(rows)

    done = process(deliver)

    assert done.result["superseded"] == 1
    older = the_application(rows, "a0")
    assert (older["status"], older["rejection_reason"], older["reviewed_by"]) == (
        "rejected",
        "superseded_by:a1",
        "system",
    )
    assert waiting.output == {"decision": "superseded", "decidedBy": "system"}
    assert [row["template_type"] for row in rows(QUEUED)] == ["creator_application_received"]
    assert the_review(rows, "a0")["status"] == "completed"


def test_address_is_locked_before_any_application_of_it(
    deliver: Deliver, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs of one address: who waits for the other must not hold the row that the other may have to supersede."""
    order: list[str] = []
    lock, run = TransactionSession.lock, TransactionSession._run

    def locked(self: TransactionSession, key: str, *, everywhere: bool = False) -> None:
        order.append(key)
        lock(self, key)

    def executed(self: TransactionSession, sql: str, params: Any) -> Any:
        order.append(sql.strip().split("\n", 1)[0])
        return run(self, sql, params)

    monkeypatch.setattr(TransactionSession, "lock", locked)
    monkeypatch.setattr(TransactionSession, "_run", executed)
    add_application(rows)

    process(deliver)

    address, row = (
        "applications:address:jane@example.com",
        "-- applications: one application, locked until the session ends",
    )
    assert order.index(address) < order.index(row)


def test_older_review_that_does_not_wait_yet_finds_that_it_is_superseded(
    deliver: Deliver, bench: Bench, rows: Rows
) -> None:
    add_application(rows, "a0", created_at="2026-11-18T10:00:00Z")
    add_review(rows, "a0")
    add_application(rows)
    process(deliver)

    step = bench.call(
        "creator-notify-admin-new-application", {"tenantId": "acme", "applicationId": "a0", "mode": "await"}
    )
    bench.drain()

    assert step.output["decision"] == "superseded"


def test_address_of_a_working_creator_is_a_duplicate(deliver: Deliver, rows: Rows) -> None:
    add_creator(rows, "c1", email="jane@example.com", status="active")
    add_application(rows, "a0", created_at="2026-11-18T10:00:00Z")
    add_application(rows)

    done = process(deliver)
    rows.execute("DELETE FROM jobs.claims")
    process(deliver)

    assert done.result["outcome"] == "duplicate"
    assert names(done) == ["creator.application.notifyAdmin"]
    found = the_application(rows)
    assert (found["status"], found["creator_id"], found["internal_notes"]) == (
        "new",
        "c1",
        "Duplicate of an existing creator.",
    )
    assert rows(QUEUED) == []
    assert the_application(rows, "a0")["status"] == "new"


def test_orchestrated_run_publishes_only_that_a_mail_waits(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)

    assert names(process(deliver, orchestrated=True)) == ["creator.email.process"]


def test_run_on_its_own_publishes_the_following_steps(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)

    done = process(deliver)

    assert sorted(names(done)) == [
        "creator.application.notifyAdmin",
        "creator.application.pipelineEntry",
        "creator.application.track",
        "creator.email.process",
    ]
    (mail,) = rows(QUEUED)
    assert (mail["creator_id"], mail["priority"]) == ("application:a1", 1)
    assert mail["metadata"]["variables"] == {"applicationId": "a1", "reviewDays": 2}


def test_rule_s_decision_is_stored_for_the_workflow_unless_a_person_was_faster(deliver: Deliver, rows: Rows) -> None:
    add_settings(rows, auto_approve_enabled=True, auto_approve_min_followers=10)
    add_application(rows, follower_count=10)
    add_application(rows, "a2", email="b@example.com", follower_count=10)
    add_review(rows, "a2", status="decided", decision="rejected", decided_by="u1")

    assert process(deliver, orchestrated=True).result["autoApprove"] is True
    assert process(deliver, "a2", orchestrated=True).result["autoApprove"] is False

    assert (the_review(rows)["decision"], the_review(rows)["decided_by"]) == ("approved", "auto")
    assert the_review(rows, "a2")["decision"] == "rejected"


def test_utm_of_the_event_fills_empty_columns_only(deliver: Deliver, rows: Rows) -> None:
    add_application(rows, utm_source="ig", instagram="https://www.instagram.com/jane.doe/", tiktok="@jane")

    process(deliver, utm_params={"utm_source": "tt", "utm_medium": "story", "utm_campaign": 7})

    found = the_application(rows)
    assert (found["utm_source"], found["utm_medium"], found["utm_campaign"]) == ("ig", "story", None)
    assert (found["instagram"], found["tiktok"], found["source"]) == ("jane.doe", "jane", "ig")


def test_source_is_organic_when_nobody_says_otherwise(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)
    process(deliver)

    assert the_application(rows)["source"] == "organic"


def test_high_value_is_flagged_from_a_hundred_thousand_followers(deliver: Deliver, rows: Rows) -> None:
    add_application(rows, follower_count=100_000)

    assert process(deliver).result["highValue"] is True


def test_another_tenant_s_application_is_not_found(deliver: Deliver, rows: Rows, other_tenant: Tenant) -> None:
    add_application(rows)

    done = deliver(CreatorApplicationProcess(application_id="a1"), tenant=other_tenant, expect="dead")

    assert done.code == "APPLICATION_NOT_FOUND"


def test_application_without_a_usable_address_is_refused(deliver: Deliver, rows: Rows) -> None:
    add_application(rows, email="no address")

    assert deliver(CreatorApplicationProcess(application_id="a1"), expect="dead").code == "INVALID_EMAIL"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("@jane", "jane"),
        ("https://www.instagram.com/jane.doe/?hl=en", "jane.doe"),
        ("tiktok.com/@jane", "jane"),
        ("  ", None),
        (None, None),
    ],
)
def test_handle_is_what_stands_behind_the_address(given: str | None, found: str | None) -> None:
    assert handle(given) == found


def test_payload_of_the_chain_names_nobody(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)

    assert payload_of(process(deliver), "creator.application.pipelineEntry") == {"applicationId": "a1", "stage": "new"}
