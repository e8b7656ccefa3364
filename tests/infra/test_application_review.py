"""ApplicationReview, interpreted: the definition of the repository, the real pipeline and database, a virtual clock.

What the local engine can show of it stands in test_engine_application_review.py.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template

from infra.constructs.state_machine import StateMachine
from infra.deployment import Deployment
from infra.workflows import load
from shared.events.applications import CreatorApplied, CreatorApproved, CreatorRejected
from shared.fakes.slack import SlackFake
from shared.jobs.context import Tenant
from shared.jobs.registry import Registry
from shared.jobs.testing import Bench, Delivered
from tests.asl import Execution, Interpreter
from tests.builders.applications import (
    ADMIN,
    PORTAL,
    add_application,
    add_settings,
    map_channel,
    the_application,
    the_review,
)
from tests.builders.creators import add_creator
from tests.conftest import MakeBench, Rows

NAME = "app-acme-a1"
CHANNEL = "C00000001"
START = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
AWAIT, APPROVE = "creator-notify-admin-new-application", "creator-process-approval"


class Review:
    """The review of application a1 on a bench."""

    def __init__(self, bench: Bench, rows: Rows) -> None:
        self.bench, self.rows = bench, rows
        self.machines = Interpreter(bench, load())

    def begin(self, **columns: Any) -> None:
        """The applicant applies; everything is done until the decision is awaited."""
        add_application(self.rows, **columns)
        self.bench.publish(CreatorApplied(application_id="a1"), "acme")
        self.machines.run(hours=0.1)

    @property
    def execution(self) -> Execution:
        return self.machines.executions[NAME]

    def approve(self, **terms: Any) -> None:
        self.bench.publish(CreatorApproved(creator_id="a1", approved_by="u1", **terms), "acme")

    def reject(self, **terms: Any) -> None:
        self.bench.publish(CreatorRejected(creator_id="a1", rejected_by="u1", **terms), "acme")

    def run(self, hours: float = 1) -> list[Delivered]:
        return self.machines.run(hours=hours)

    def hours(self) -> float:
        return (self.bench.clock.now() - START).total_seconds() / 3600

    def succeeded(self, job: str) -> int:
        """Runs of a job that ended well so far."""
        return Counter(done.job for done in self.machines.delivered if done.state == "succeeded")[job]

    def published(self, name: str) -> list[dict[str, Any]]:
        return [detail for event, detail in self.bench.bus.published if event == name]


@pytest.fixture
def bench(make_bench: MakeBench, registry: Registry, request: pytest.FixtureRequest) -> Bench:
    """All declared jobs; with the addresses of the fakes that the test uses."""
    fakes = {"slack": "SLACK_BASE_URL", "resend": "RESEND_BASE_URL", "shopify": "SHOPIFY_BASE_URL"}
    used = {
        setting: request.getfixturevalue(name).base_url
        for name, setting in fakes.items()
        if name in request.fixturenames
    }
    return make_bench(registry, CREATOR_PORTAL_URL=PORTAL, ADMIN_URL=ADMIN, **used)


@pytest.fixture
def review(bench: Bench, rows: Rows) -> Review:
    return Review(bench, rows)


@pytest.fixture
def channel(rows: Rows, tenant: Tenant, slack: SlackFake) -> None:
    """Everything about applications goes to one channel."""
    for type in ("creator.application.new", "creator.application.approved", "creator.escalation"):
        map_channel(rows, tenant.organization_id, type, CHANNEL)


# -- the ordinary ways -----------------------------------------------------------------------------------------------


def test_approved_after_thirty_hours_with_one_reminder(review: Review, slack: SlackFake, channel: None) -> None:
    review.begin()
    assert review.execution.entered[-1] == "AwaitFirstDay"
    review.run(hours=30 - review.hours())

    review.approve(tier="gold")
    review.run()

    assert review.execution.status == "SUCCEEDED"
    assert the_application(review.rows)["status"] == "approved"
    assert the_review(review.rows)["status"] == "completed"
    (creator,) = review.rows("SELECT tier::text, status::text FROM creators WHERE email = 'jane@example.com'")
    assert creator == {"tier": "gold", "status": "approved"}
    first, reminder, approved = slack.posted(CHANNEL)[:3]
    assert first.thread_ts is None
    assert (reminder.thread_ts, approved.thread_ts) == (first.ts, first.ts)
    assert "waiting for 24 h" in reminder.text
    assert the_review(review.rows)["reminders_sent"] == 1
    assert [row["stage"] for row in review.rows("SELECT stage FROM creator_pipeline_entries")] == ["approved"]
    assert {row["event"] for row in review.rows("SELECT event FROM creator_application_events")} == {
        "submitted",
        "approved",
    }


def test_rejected_the_refusal_waits_its_hour(review: Review) -> None:
    review.begin()

    review.reject(feedback="More videos, please.", allow_reapply=True)
    review.run(hours=0.5)

    assert review.execution.status == "SUCCEEDED"
    assert the_application(review.rows)["status"] == "rejected"
    (refusal,) = review.rows("SELECT * FROM creator_email_queue WHERE template_type = 'creator_application_rejected'")
    assert refusal["status"] == "scheduled"
    assert refusal["metadata"]["variables"]["feedback"] == "More videos, please."
    assert [row["stage"] for row in review.rows("SELECT stage FROM creator_pipeline_entries")] == ["rejected"]


def test_rejected_without_notice_queues_no_refusal(review: Review) -> None:
    review.begin()
    review.reject(send_notification=False)
    review.run()

    assert review.execution.status == "SUCCEEDED"
    assert "QueueRefusal" not in review.execution.entered
    assert review.rows("SELECT 1 FROM creator_email_queue WHERE template_type = 'creator_application_rejected'") == []


def test_nobody_decides_three_reminders_and_the_end_after_fourteen_days(
    review: Review, slack: SlackFake, channel: None
) -> None:
    review.begin()
    at: list[float] = []
    for hours in (24, 48, 72):
        review.run(hours=hours + 0.2 - review.hours())
        at.append(len(slack.posted(CHANNEL)))
    assert at == [2, 3, 4]
    review.run(hours=335 - review.hours())
    assert review.execution.status == "RUNNING"

    review.run(hours=337 - review.hours())

    assert review.execution.status == "SUCCEEDED"
    assert review.execution.entered[-3:] == ["Expire", "IsDecidedAtLast", "Done"]
    first, *reminders, escalation = slack.posted(CHANNEL)
    assert [post.thread_ts for post in reminders] == [first.ts] * 3
    assert ["Overdue" in post.text for post in reminders] == [False, True, True]
    assert "14 days" in escalation.text
    assert the_application(review.rows)["status"] == "new"
    found = the_review(review.rows)
    assert (found["status"], found["task_token"], found["reminders_sent"]) == ("expired", None, 3)


def test_rule_approves_without_a_wait(review: Review) -> None:
    add_settings(review.rows, auto_approve_enabled=True, auto_approve_min_followers=1000)

    review.begin(follower_count=1000)

    assert review.execution.status == "SUCCEEDED"
    assert not [state for state in review.execution.entered if state.startswith("Await")]
    assert the_application(review.rows)["reviewed_by"] == "auto"


def test_slack_out_of_reach_never_stops_a_review(review: Review, slack: SlackFake, channel: None) -> None:
    slack.fail(503, count=100)
    review.begin()
    review.run(hours=1)

    assert review.execution.entered[-1] == "AwaitFirstDay"
    told = [d for d in review.machines.delivered if d.job == AWAIT and d.result.get("outcome") == "slack_failed"]
    assert [d.attempt for d in told] == [3]
    review.approve()
    review.run()
    assert review.execution.status == "SUCCEEDED"


# -- decisions at awkward moments ------------------------------------------------------------------------------------


def test_decision_before_the_wait_begins_is_found_by_it(review: Review) -> None:
    add_application(review.rows)
    review.bench.publish(CreatorApplied(application_id="a1"), "acme")
    review.bench.pump("creator-applications")  # the execution has started, no step has run
    review.approve()

    review.run()

    assert review.execution.status == "SUCCEEDED"
    assert "AwaitFirstDay" in review.execution.entered
    assert review.succeeded(APPROVE) == 1


def test_decision_between_two_stretches_is_found_by_the_next(review: Review) -> None:
    """The token of the first stretch has timed out, the second has not begun."""
    review.begin()
    token = the_review(review.rows)["task_token"]
    review.bench.clock.advance(s=24 * 3600)
    review.execution.advance()  # States.Timeout: the reminder is on its way
    assert review.execution.entered[-1] == "RemindAfterOneDay"
    review.approve()
    review.bench.queues.queues[
        "creator-applications"
    ].reverse()  # the decision's event overtakes the reminder's message

    review.run()

    assert review.execution.status == "SUCCEEDED"
    assert review.succeeded(APPROVE) == 1
    assert the_review(review.rows)["reminders_sent"] == 0
    assert the_review(review.rows)["task_token"] == token


def test_decision_between_the_last_stretch_and_the_end_is_carried_out(review: Review) -> None:
    review.begin()
    review.run(hours=336.5 - review.hours() - 1)
    review.bench.clock.advance(s=3 * 3600)
    review.execution.advance()
    assert review.execution.entered[-1] == "Expire"
    # The decision's event overtakes the step's message.
    queue = review.bench.queues.queues["creator-applications"]
    review.approve()
    queue.reverse()

    review.run()

    assert review.execution.status == "SUCCEEDED"
    assert the_application(review.rows)["status"] == "approved"
    assert review.succeeded(APPROVE) == 1


def test_two_approvals_run_one_branch(review: Review) -> None:
    review.begin()
    review.approve()
    review.approve()
    review.run()
    review.approve()
    review.run()

    outcomes = [d.result["outcome"] for d in review.machines.delivered if d.job == "creator-on-approved"]
    assert outcomes[0] == "delivered"
    assert outcomes[-1] == "already_approved"
    assert review.succeeded(APPROVE) == 1
    assert len(review.published("creator.welcomeSequence")) == 1


def test_approval_and_rejection_at_once_run_one_branch(review: Review) -> None:
    review.begin()
    review.approve()
    review.reject()
    review.run()

    assert the_application(review.rows)["status"] == "approved"
    (refused,) = [d for d in review.machines.delivered if d.job == "creator-on-rejected"]
    assert (refused.state, refused.code) == ("dead", "INVALID_TRANSITION")
    assert "Reject" not in review.execution.entered


def test_approval_that_takes_a_rejection_s_place_is_carried_out_by_a_job(review: Review) -> None:
    """The workflow is in its reject branch already; that branch then does nothing."""
    review.begin()
    review.reject()
    review.approve()
    review.run()

    assert the_application(review.rows)["status"] == "approved"
    assert review.execution.status == "SUCCEEDED"
    assert review.rows("SELECT 1 FROM creator_email_queue WHERE template_type = 'creator_application_rejected'") == []
    assert len(review.rows("SELECT 1 FROM creators WHERE status = 'approved'")) == 1


def test_decision_after_the_end_runs_by_events_alone(review: Review) -> None:
    review.begin()
    review.run(hours=337)
    assert review.execution.status == "SUCCEEDED"

    review.approve()
    review.run()

    (decided,) = [d for d in review.machines.delivered if d.job == "creator-on-approved"]
    assert decided.result["outcome"] == "direct"
    assert the_application(review.rows)["status"] == "approved"
    assert len(review.published("creator.approval.process")) == 1


def test_stopped_execution_the_decision_runs_by_events_alone(review: Review) -> None:
    review.begin()
    review.execution.stop()
    review.run(hours=0.1)

    review.approve()
    review.run()

    (decided,) = [d for d in review.machines.delivered if d.job == "creator-on-approved"]
    assert decided.result["outcome"] == "direct"
    assert the_application(review.rows)["status"] == "approved"


def test_applicant_who_withdraws_ends_the_review(review: Review) -> None:
    review.begin()
    review.rows.execute("DELETE FROM creator_applications WHERE id = 'a1'")

    review.run(hours=26)

    assert review.execution.status == "SUCCEEDED"
    assert [a for a in review.published("alert.systemError") if a["source"] == "creators"] == []


def test_newer_application_of_the_address_supersedes_the_review(review: Review) -> None:
    review.begin()
    add_application(review.rows, "a2", email="JANE@example.com", created_at="2026-11-20T13:00:00Z")
    review.bench.publish(CreatorApplied(application_id="a2"), "acme")
    review.run()

    assert review.execution.status == "SUCCEEDED"
    assert review.execution.entered[-2:] == ["IsDecided", "Done"]
    assert the_application(review.rows)["rejection_reason"] == "superseded_by:a2"
    assert review.machines.executions["app-acme-a2"].status == "RUNNING"


def test_duplicate_of_a_creator_is_told_and_awaits_nothing(review: Review) -> None:
    add_creator(review.rows, "c1", email="jane@example.com", status="active")
    review.begin()

    assert review.execution.status == "SUCCEEDED"
    assert "TellOfDuplicate" in review.execution.entered


# -- failures --------------------------------------------------------------------------------------------------------


def test_approval_that_fails_for_good_is_withdrawn_and_told(review: Review, slack: SlackFake, channel: None) -> None:
    add_creator(review.rows, "c1", email="other@example.com", code="TAKEN1")
    review.begin()

    review.approve(discount_code="taken1")
    review.run()

    assert review.execution.status == "FAILED"
    assert review.execution.error == "APPLICATION_REVIEW_FAILED"
    assert review.execution.entered[-3:] == ["Approve", "Failed", "End"]
    found = the_review(review.rows)
    assert (found["status"], found["decision"], found["decision_payload"]) == ("expired", None, {})
    assert the_application(review.rows)["status"] == "new"
    (alert,) = [a for a in review.published("alert.systemError") if a.get("source") == "creators"]
    assert alert["dedupeKey"] == "application-review:a1"
    assert alert["context"] == {"applicationId": "a1", "code": "CODE_TAKEN", "withdrawn": True}
    assert "could not be carried out" in slack.posted(CHANNEL)[-1].text


def test_after_a_failed_approval_another_decision_can_be_made(review: Review) -> None:
    add_creator(review.rows, "c1", email="other@example.com", code="TAKEN1")
    review.begin()
    review.approve(discount_code="taken1")
    review.run()
    assert review.execution.status == "FAILED"

    review.reject()
    review.run()

    assert the_application(review.rows)["status"] == "rejected"
    assert the_review(review.rows)["status"] == "completed"


def test_approval_mail_that_cannot_go_fails_the_review_but_keeps_the_approval(review: Review) -> None:
    """No portal: the link would lead nowhere."""
    del review.bench.settings["CREATOR_PORTAL_URL"]
    review.begin()
    review.approve()
    review.run()

    assert review.execution.status == "FAILED"
    assert the_review(review.rows)["status"] == "completed"
    (alert,) = [a for a in review.published("alert.systemError") if a.get("source") == "creators"]
    assert alert["context"]["code"] == "PORTAL_URL_MISSING"
    assert alert["context"]["withdrawn"] is False


def test_first_step_that_fails_is_told(review: Review) -> None:
    review.begin(email="no address")
    review.run()

    assert review.execution.entered == ["Process", "Failed", "End"]
    (alert,) = [a for a in review.published("alert.systemError") if a.get("source") == "creators"]
    assert alert["context"]["code"] == "INVALID_EMAIL"


# -- delivered twice -------------------------------------------------------------------------------------------------


def test_every_message_twice_changes_nothing(review: Review, slack: SlackFake, channel: None) -> None:
    queues, sent = review.bench.queues, review.bench.queues.send

    def twice(queue: str, messages: Any) -> Any:
        sent(queue, messages)
        return sent(queue, messages)

    queues.send = twice  # type: ignore[method-assign]
    review.begin()
    review.approve()
    review.run()

    assert review.execution.status == "SUCCEEDED"
    assert len(slack.posted(CHANNEL)) == 2
    assert len(review.published("creator.welcomeSequence")) == 1
    assert len(review.rows("SELECT 1 FROM creators")) == 1
    assert len(review.rows("SELECT 1 FROM creator_pipeline_history")) == 2


def test_terms_of_a_decision_do_not_travel_through_the_execution(review: Review) -> None:
    review.begin()
    review.approve(notes="She knows the founder", commission_percent=Decimal(0))
    review.run()

    text = json.dumps(review.execution.thread.data)
    assert "founder" not in text
    (creator,) = review.rows("SELECT commission_rate_pct::text AS rate FROM creators")
    assert creator["rate"] == "0.00"
    assert "She knows the founder" in the_application(review.rows)["internal_notes"]


def test_workflow_lasts_no_longer_than_its_own_limit(review: Review) -> None:
    (definition,) = load()

    assert definition.definition["TimeoutSeconds"] == timedelta(days=20).total_seconds()
    waits = [s["TimeoutSeconds"] for n, s in definition.definition["States"].items() if n.startswith("Await")]
    assert [seconds / 3600 for seconds in waits] == [24, 24, 24, 264]


# -- the machine as it is deployed -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deployed(registry: Registry) -> dict[str, Any]:
    """The machine and its role."""
    stack = cdk.Stack(cdk.App(), "reviews")
    (workflow,) = load()
    StateMachine(stack, workflow, registry, Deployment())
    made: dict[str, Any] = Template.from_stack(stack).to_json()["Resources"]
    return made


def test_machine_may_send_to_exactly_the_queues_of_its_jobs(deployed: dict[str, Any]) -> None:
    (role,) = [each["Properties"] for each in deployed.values() if each["Type"] == "AWS::IAM::Role"]
    (policy,) = role["Policies"]
    (statement,) = policy["PolicyDocument"]["Statement"]

    assert statement["Action"] in ("sqs:SendMessage", ["sqs:SendMessage"])
    queues = re.findall(r"cgk-[a-z-]+", json.dumps(statement["Resource"]))
    assert sorted(queues) == ["cgk-creator-applications", "cgk-creator-applications-bulk"]


def test_every_step_calls_its_job_with_a_token_and_an_end() -> None:
    (workflow,) = load()
    text = json.dumps(workflow.definition)

    assert workflow.jobs == (
        "creator-create-pipeline-entry",
        "creator-notify-admin-new-application",
        "creator-process-application",
        "creator-process-approval",
        "creator-process-rejection",
        "creator-send-approval-email",
        "creator-send-rejection-email",
        "creator-slack-notification",
        "creator-track-application-analytics",
    )
    # CloudFormation's template is written through a layer that drops nulls: `"ResultPath": null` would become `$`.
    assert "null" not in text
