"""One creator event in the channel that the tenant chose for it."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.types.json import Jsonb

from functions.creators.applications.slack import post_key
from shared.applications.slack_types import NOTICES
from shared.events.applications import CreatorSlackNotification
from shared.fakes.slack import SlackFake
from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver, Delivered, ManualClock
from tests.builders.applications import add_application, add_config, add_review, map_channel
from tests.builders.creators import JANE, add_creator
from tests.conftest import Rows
from tests.functions.creators.applications.conftest import names, payload_of

QUEUE = "creator-applications"
LOG = "SELECT * FROM tenant_slack_notifications ORDER BY created_at, status"


def tell(deliver: Deliver, type: Any = "application_approved", *, expect: str = "succeeded", **more: Any) -> Delivered:
    fields: dict[str, Any] = {"creator_id": "c9", "creator_name": "Ann Lee", "creator_email": "ann@example.com", **more}
    return deliver(CreatorSlackNotification(notification_type=type, **fields), expect=expect)


def again(deliver: Deliver, rows: Rows, **more: Any) -> Delivered:
    """The same event as a new run."""
    rows.execute("DELETE FROM jobs.claims")
    return tell(deliver, **more)


def test_own_settings_name_the_channel_and_one_event_is_one_post(
    deliver: Deliver, rows: Rows, slack: SlackFake
) -> None:
    add_config(
        rows,
        "creator.slack_notifications",
        [{"notificationType": "application_approved", "enabled": True, "channelId": "C00000001"}],
    )

    first = tell(deliver)
    second = again(deliver, rows)

    (post,) = slack.posted("C00000001")
    assert first.result == {"sent": True, "channelId": "C00000001", "messageTs": post.ts}
    assert second.result == first.result
    assert post.text == "Ann Lee is approved and can start onboarding."
    (row,) = rows(LOG)
    assert (row["notification_type"], row["status"], row["message_ts"]) == (
        "creator.application.approved",
        "sent",
        post.ts,
    )
    assert "ann@example.com" not in str(row["payload"])


def test_mapping_of_the_type_is_followed_then_its_fallback(
    deliver: Deliver, rows: Rows, tenant: Tenant, slack: SlackFake
) -> None:
    map_channel(rows, tenant.organization_id, "creator.application.new", "C00000002")
    assert tell(deliver).result["channelId"] == "C00000002"
    map_channel(rows, tenant.organization_id, "creator.application.approved", "C00000001")

    assert tell(deliver, creator_id="c8").result["channelId"] == "C00000001"


def test_blocks_say_what_where_and_when(deliver: Deliver, rows: Rows, tenant: Tenant, slack: SlackFake) -> None:
    map_channel(rows, tenant.organization_id, "creator.application.approved", "C00000001")
    tell(deliver)

    (post,) = slack.posted()
    header, section, context, actions = post.blocks
    assert header["text"]["text"] == ":tada: Creator approved"
    assert section["text"]["text"].startswith("Ann Lee")
    assert context["elements"][0]["text"].startswith("At 2026-11-20 ")
    assert actions["elements"][0]["url"] == "https://admin.acme.test/admin/creators/c9"


@pytest.mark.parametrize(
    ("metadata", "page"),
    [
        ({"applicationId": "a1"}, "/admin/creators/applications?application=a1"),
        ({"projectId": "p/1"}, "/admin/creators/projects/p%2F1"),
        ({"documentId": "d1", "documentName": "Terms"}, "/admin/esign/documents/d1"),
    ],
)
def test_button_leads_to_what_it_is_about(
    deliver: Deliver, rows: Rows, tenant: Tenant, slack: SlackFake, metadata: dict[str, Any], page: str
) -> None:
    map_channel(rows, tenant.organization_id, "creator.application.approved", "C00000001")
    tell(deliver, "contract_sent", metadata=metadata)

    assert slack.posted()[0].blocks[-1]["elements"][0]["url"] == f"https://admin.acme.test{page}"


def test_names_are_text_and_missing_facts_leave_no_line(
    deliver: Deliver, rows: Rows, tenant: Tenant, slack: SlackFake
) -> None:
    map_channel(rows, tenant.organization_id, "creator.project.update", "C00000001")

    tell(deliver, "product_shipped", creator_name="A <b> & co")

    assert slack.posted()[0].text == "A parcel for A &lt;b&gt; &amp; co is on its way."


def test_facts_fill_the_text(deliver: Deliver, rows: Rows, tenant: Tenant, slack: SlackFake) -> None:
    map_channel(rows, tenant.organization_id, "creator.project.update", "C00000001")

    tell(deliver, "product_shipped", metadata={"carrier": "DHL", "trackingNumber": "JJD1"})

    assert slack.posted()[0].text == "A parcel for Ann Lee is on its way. DHL JJD1"


def test_our_own_row_knows_the_name_better(deliver: Deliver, rows: Rows, tenant: Tenant, slack: SlackFake) -> None:
    add_creator(rows, JANE)
    map_channel(rows, tenant.organization_id, "creator.application.approved", "C00000001")

    tell(deliver, creator_id=JANE, creator_name="Somebody Else")

    assert slack.posted()[0].text.startswith("Jane Doe is approved")


def test_tenant_s_templates_win(deliver: Deliver, rows: Rows, tenant: Tenant, slack: SlackFake) -> None:
    map_channel(rows, tenant.organization_id, "creator.application.approved", "C00000001")
    rows.execute(
        "INSERT INTO tenant_slack_templates (tenant_id, notification_type, blocks, fallback_text)"
        " VALUES (%s, %s, %s, %s)",
        (
            tenant.organization_id,
            "creator.application.approved",
            Jsonb([{"type": "section", "text": {"type": "mrkdwn", "text": "Yes: {{creatorName}}"}}]),
            "Yes to {{creatorName}}\nand more",
        ),
    )
    tell(deliver)
    add_config(
        rows,
        "creator.slack_notifications",
        {
            "application_approved": {
                "messageTemplate": "Own {{creatorName}}",
                "includeActionButtons": False,
                "customEmoji": ":star:",
            }
        },
    )
    tell(deliver, creator_id="c8")

    templated, own = slack.posted()
    assert templated.text == "Yes to Ann Lee"
    assert templated.blocks[0]["text"]["text"] == "Yes: Ann Lee"
    assert own.text == "Own Ann Lee"
    assert own.blocks[0]["text"]["text"] == ":star: Creator approved"
    assert own.blocks[-1]["type"] == "context"


def test_approval_answers_the_first_message_of_its_review(
    deliver: Deliver, rows: Rows, tenant: Tenant, slack: SlackFake
) -> None:
    add_creator(rows, JANE)
    add_application(rows, creator_id=JANE)
    map_channel(rows, tenant.organization_id, "creator.application.new", "C00000001")
    deliver.job("creator-notify-admin-new-application", {"applicationId": "a1"})

    tell(deliver, creator_id=JANE, metadata={"applicationId": "a1"})

    first, approved = slack.posted("C00000001")
    assert approved.thread_ts == first.ts


def test_approval_in_another_channel_is_a_message_of_its_own(
    deliver: Deliver, rows: Rows, tenant: Tenant, slack: SlackFake
) -> None:
    """A thread is of one channel."""
    add_application(rows)
    map_channel(rows, tenant.organization_id, "creator.application.new", "C00000001")
    map_channel(rows, tenant.organization_id, "creator.application.approved", "C00000002")
    deliver.job("creator-notify-admin-new-application", {"applicationId": "a1"})

    tell(deliver, metadata={"applicationId": "a1"})

    (approved,) = slack.posted("C00000002")
    assert approved.thread_ts is None
    assert [row["thread_ts"] for row in rows(LOG)] == [None, None]


def test_template_of_the_fallback_s_own_notices_is_not_borrowed(
    deliver: Deliver, rows: Rows, tenant: Tenant, slack: SlackFake
) -> None:
    map_channel(rows, tenant.organization_id, "creator.application.new", "C00000001")
    rows.execute(
        "INSERT INTO tenant_slack_templates (tenant_id, notification_type, blocks, fallback_text)"
        " VALUES (%s, 'creator.application.new', '[]', '{{creatorName}} wants to join')",
        (tenant.organization_id,),
    )

    tell(deliver)

    assert slack.posted("C00000001")[0].text == "Ann Lee is approved and can start onboarding."


def test_escalation_says_kind_and_days(deliver: Deliver, rows: Rows, tenant: Tenant, slack: SlackFake) -> None:
    map_channel(rows, tenant.organization_id, "creator.escalation", "C00000001")

    tell(deliver, "escalation", metadata={"kind": "w9", "daysWaiting": 21})

    text = slack.posted()[0].blocks[1]["text"]["text"]
    assert text == "Ann Lee has not reacted to our reminders. Somebody should get in touch.\nKind: w9\nDays: 21"


def test_no_workspace_is_success_without_a_trace(deliver: Deliver, rows: Rows) -> None:
    assert tell(deliver).result == {"sent": False, "skipped": "not_configured"}
    assert rows(LOG) == []


@pytest.mark.parametrize("how", ["settings", "mapping"])
def test_switched_off_is_success(deliver: Deliver, rows: Rows, tenant: Tenant, slack: SlackFake, how: str) -> None:
    map_channel(rows, tenant.organization_id, "creator.application.approved", "C00000001", enabled=how == "settings")
    if how == "settings":
        add_config(rows, "creator.slack_notifications", [{"type": "application_approved", "enabled": False}])

    assert tell(deliver).result == {"sent": False, "skipped": "disabled"}
    assert slack.posted() == []


def test_channel_that_is_gone_is_switched_off_and_told_once_a_day(
    deliver: Deliver, bench: Bench, rows: Rows, tenant: Tenant, slack: SlackFake
) -> None:
    map_channel(rows, tenant.organization_id, "creator.application.approved", "C00000001")
    slack.fail("channel_not_found")

    done = tell(deliver)

    assert done.result == {"sent": False, "channelId": "C00000001", "error": "channel_not_found"}
    assert rows("SELECT is_enabled FROM tenant_slack_channel_mappings") == [{"is_enabled": False}]
    assert [(row["status"], row["error_message"]) for row in rows(LOG)] == [("failed", "channel_not_found")]
    assert payload_of(done, "alert.apiFailure")["dedupeKey"] == "slack:channel_not_found:2026-11-20"
    assert tell(deliver, creator_id="c8").result["skipped"] == "disabled"


@pytest.mark.parametrize(
    ("word", "active"), [("token_revoked", False), ("account_inactive", False), ("missing_scope", True)]
)
def test_token_that_is_refused_ends_the_connection(
    deliver: Deliver, rows: Rows, tenant: Tenant, slack: SlackFake, word: str, active: bool
) -> None:
    map_channel(rows, tenant.organization_id, "creator.application.approved", "C00000001")
    slack.fail(word)

    done = tell(deliver)

    assert (done.result["sent"], done.result["error"]) == (False, word)
    assert rows("SELECT is_active FROM tenant_slack_workspaces") == [{"is_active": active}]
    assert names(done) == ["alert.apiFailure"]


def test_rate_is_deferred_without_an_attempt_and_written_down_once(
    deliver: Deliver, rows: Rows, tenant: Tenant, slack: SlackFake, clock: ManualClock
) -> None:
    map_channel(rows, tenant.organization_id, "creator.application.approved", "C00000001")
    slack.fail(429, count=2, retry_after="30")

    first = tell(deliver, expect="deferred")
    deliver.again(QUEUE, expect="deferred")
    last = deliver.again(QUEUE)

    assert first.code == "SLACK_RATE_LIMITED"
    assert first.delay_s is not None
    assert first.delay_s >= 30
    assert last.attempt == 1
    assert [row["status"] for row in rows(LOG)].count("rate_limited") == 1
    assert len(slack.posted()) == 1


def test_slack_s_own_trouble_is_tried_again(deliver: Deliver, rows: Rows, tenant: Tenant, slack: SlackFake) -> None:
    map_channel(rows, tenant.organization_id, "creator.application.approved", "C00000001")
    slack.fail("internal_error")

    assert tell(deliver, expect="retrying").code == "SLACK_UNAVAILABLE"
    assert deliver.again(QUEUE).result["sent"] is True


def test_unknown_type_is_refused(deliver: Deliver) -> None:
    payload = {"notificationType": "foo", "creatorId": "c1", "creatorName": "A", "creatorEmail": "a@b.c"}

    assert deliver.job("creator-slack-notification", payload, expect="dead").code == "INVALID_PAYLOAD"


def test_post_is_named_by_what_it_is_about() -> None:
    def key(**more: Any) -> str:
        return post_key(CreatorSlackNotification(notification_type="contract_sent", creator_id="c1", **more))

    assert key(metadata={"dedupeKey": "d1"}) == "creator:contract_sent:c1:d1"
    assert key(metadata={"documentId": "1", "documentName": "x"}) == key(
        metadata={"documentId": "1", "documentName": "y"}
    )
    assert key(metadata={"documentId": "1"}) != key(metadata={"documentId": "2"})
    assert len(key(metadata={"dedupeKey": "ü" * 300})) < 200


def test_every_type_has_a_notice() -> None:
    types = CreatorSlackNotification.model_fields["notification_type"].annotation

    assert set(NOTICES) == set(types.__args__)  # type: ignore[union-attr]


def test_review_s_message_needs_no_review(deliver: Deliver, rows: Rows, tenant: Tenant, slack: SlackFake) -> None:
    add_application(rows)
    add_review(rows)
    map_channel(rows, tenant.organization_id, "creator.application.new", "C00000001")

    tell(deliver, "application_received", creator_id="application:a1")

    assert slack.posted()[0].text == "Jane Doe has applied."
