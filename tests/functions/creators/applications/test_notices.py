"""What the team hears of an application, and the wait for its decision. The course of 14 days: tests/infra."""

from __future__ import annotations

from typing import Any

import pytest

from shared.fakes.resend import ResendFake
from shared.fakes.slack import SlackFake
from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver, Delivered
from tests.builders.applications import (
    add_application,
    add_review,
    add_settings,
    map_channel,
    the_application,
    the_review,
)
from tests.conftest import Rows
from tests.functions.creators.applications.conftest import names, payload_of

JOB, QUEUE, CHANNEL = "creator-notify-admin-new-application", "creator-applications", "C00000001"


def notify(deliver: Deliver, mode: str = "notify", *, expect: str = "succeeded", **more: Any) -> Delivered:
    return deliver.job(JOB, {"applicationId": "a1", "mode": mode, **more}, expect=expect)


@pytest.fixture
def channel(rows: Rows, tenant: Tenant, slack: SlackFake) -> None:
    map_channel(rows, tenant.organization_id, "creator.application.new", CHANNEL)


@pytest.fixture
def office(rows: Rows, resend: ResendFake) -> None:
    add_settings(rows, notify_on_application_email="team@acme.test")


def test_team_is_told_once_in_slack_and_by_mail(
    deliver: Deliver, rows: Rows, slack: SlackFake, channel: None, resend: ResendFake, office: None
) -> None:
    add_application(
        rows,
        follower_count=120_000,
        engagement_rate="3.50",
        instagram="jane",
        source="ig",
        content_categories=["beauty", "food"],
        why_interested="w" * 400,
    )

    done = notify(deliver)
    rows.execute("DELETE FROM jobs.claims")
    again = notify(deliver)

    (post,) = slack.posted(CHANNEL)
    assert done.result == {"notified": True, "channel": "both", "outcome": "notified", "messageTs": post.ts}
    assert again.result["messageTs"] == post.ts
    text = str(post.blocks)
    for part in ("Jane Doe", "120,000 :star: high value", "3.50%", "beauty, food", "w" * 300):
        assert part in text
    assert "w" * 301 not in text
    assert [button["url"] for button in post.blocks[-1]["elements"]] == [
        "https://admin.acme.test/admin/creators/applications?application=a1",
        "https://www.instagram.com/jane",
    ]
    assert len(resend.sent_to("team@acme.test")) == 1
    assert (the_review(rows)["slack_channel_id"], the_review(rows)["slack_message_ts"]) == (CHANNEL, post.ts)


def test_nothing_connected_is_no_error(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)

    assert notify(deliver).result == {"notified": False, "channel": "none", "outcome": "notified"}
    assert the_review(rows)["status"] == "awaiting"


def test_applicant_s_words_are_no_markup(deliver: Deliver, rows: Rows, slack: SlackFake, channel: None) -> None:
    add_application(rows, name="<!channel> & <http://x|y>", why_interested="<!here>")
    notify(deliver)

    (post,) = slack.posted(CHANNEL)
    assert "<!" not in post.text + str(post.blocks)
    assert "&lt;!channel&gt; &amp;" in post.text


def test_channel_that_is_gone_leaves_the_mail(
    deliver: Deliver, rows: Rows, slack: SlackFake, channel: None, resend: ResendFake, office: None
) -> None:
    slack.fail("channel_not_found")
    add_application(rows)

    done = notify(deliver)

    assert (done.result["outcome"], done.result["code"], done.result["channel"]) == (
        "slack_failed",
        "channel_not_found",
        "email",
    )
    assert names(done) == [] or "alert.apiFailure" in names(done)


def test_slack_s_rate_defers_and_the_mail_stays_single(
    deliver: Deliver, rows: Rows, slack: SlackFake, channel: None, resend: ResendFake, office: None
) -> None:
    slack.fail(429, retry_after="30")
    add_application(rows)

    waiting = notify(deliver, expect="deferred")
    assert waiting.code == "SLACK_RATE_LIMITED"
    deliver.again(QUEUE)

    assert len(resend.sent_to("team@acme.test")) == 1
    assert len(slack.posted(CHANNEL)) == 1


def test_reminder_answers_the_first_message_and_moves_the_card_of_who_is_in_review(
    deliver: Deliver, rows: Rows, slack: SlackFake, channel: None, resend: ResendFake, office: None
) -> None:
    add_application(rows, status="in_review")
    notify(deliver)
    rows.execute("UPDATE creator_application_reviews SET requested_at = '2026-11-18T12:00:00Z'")

    done = notify(deliver, "remind", reminderNumber=2)

    first, reminder = slack.posted(CHANNEL)
    assert reminder.thread_ts == first.ts
    assert "Overdue" in reminder.text
    assert "48 h" in reminder.text
    assert payload_of(done, "creator.application.pipelineEntry") == {"applicationId": "a1", "stage": "reviewing"}
    assert the_application(rows)["status"] == "in_review"
    assert "Reminder:" in resend.sent_to("team@acme.test")[1].body["subject"]


def test_reminder_is_a_message_of_its_own_when_the_first_one_is_gone(
    deliver: Deliver, rows: Rows, slack: SlackFake, channel: None
) -> None:
    add_application(rows)
    notify(deliver)
    slack.fail("thread_not_found")

    done = notify(deliver, "remind", reminderNumber=1)

    assert done.result["outcome"] == "reminded"
    assert slack.posted(CHANNEL)[-1].thread_ts is None


def test_reminder_is_a_message_of_its_own_in_a_channel_that_was_chosen_since(
    deliver: Deliver, rows: Rows, slack: SlackFake, channel: None
) -> None:
    add_application(rows)
    notify(deliver)
    rows.execute("UPDATE tenant_slack_channel_mappings SET channel_id = 'C00000002'")

    notify(deliver, "remind", reminderNumber=1)

    (reminder,) = slack.posted("C00000002")
    assert reminder.thread_ts is None


@pytest.mark.parametrize("mode", ["notify", "remind", "expire"])
@pytest.mark.parametrize("by", ["event", "app"])
def test_decided_meanwhile_nobody_is_told(
    deliver: Deliver, rows: Rows, slack: SlackFake, channel: None, mode: str, by: str
) -> None:
    add_application(rows, status="approved" if by == "app" else "new")
    if by == "event":
        add_review(rows, status="decided", decision="approved", decided_by="u1")

    done = notify(deliver, mode, reminderNumber=1)

    assert (done.result["outcome"], done.result["decision"]) == ("decided", "approved")
    assert slack.posted() == []
    assert names(done) == []


def test_decision_that_is_known_answers_the_wait_at_once(deliver: Deliver, bench: Bench, rows: Rows) -> None:
    add_application(rows)
    add_review(rows, status="decided", decision="rejected", decided_by="u1")
    step = bench.call(JOB, {"tenantId": "acme", "applicationId": "a1", "mode": "await", "segment": 1})

    bench.pump(QUEUE)

    assert step.output == {
        "notified": False,
        "channel": "none",
        "outcome": "decided",
        "decision": "rejected",
        "decidedBy": "u1",
    }


def test_expiry_escalates_and_leaves_the_application(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)

    done = notify(deliver, "expire")

    assert payload_of(done, "creator.slackNotification") == {
        "notificationType": "escalation",
        "creatorId": "application:a1",
        "metadata": {"applicationId": "a1", "kind": "review_expired", "dedupeKey": "review-expired:a1"},
    }
    assert (the_review(rows)["status"], the_application(rows)["status"]) == ("expired", "new")


def test_failure_withdraws_what_was_not_carried_out_only(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)
    add_review(rows, status="completed", decision="approved")

    done = notify(deliver, "failed", code="RESEND_UNAVAILABLE")

    assert done.result["outcome"] == "alerted"
    assert the_review(rows)["decision"] == "approved"
    assert names(done) == ["alert.systemError"]


def test_failure_of_an_application_that_is_gone_is_told_too(deliver: Deliver) -> None:
    done = notify(deliver, "failed", code="not a code at all: <x>")

    assert payload_of(done, "alert.systemError")["context"]["code"] == "UNKNOWN"


def test_waiting_needs_a_step_that_waits(deliver: Deliver, rows: Rows) -> None:
    add_application(rows)

    assert notify(deliver, "await", expect="dead").code == "NO_TASK_TOKEN"


@pytest.mark.parametrize("more", [{"mode": "foo"}, {"mode": "remind"}, {"mode": "await", "segment": 4}])
def test_unknown_mode_is_refused(deliver: Deliver, more: dict[str, Any]) -> None:
    assert deliver.job(JOB, {"applicationId": "a1", **more}, expect="dead").code == "INVALID_PAYLOAD"


def test_unknown_application_is_refused(deliver: Deliver) -> None:
    assert notify(deliver, expect="dead").code == "APPLICATION_NOT_FOUND"
