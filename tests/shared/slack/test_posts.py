"""Posting once into a workspace, and into incoming webhooks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shared.events import Event, Payload
from shared.fakes.slack import SlackFake
from shared.jobs import JobContext, Retry, job
from shared.jobs.context import Tenant
from shared.jobs.queues import Queue
from shared.jobs.registry import build_registry
from shared.jobs.testing import Bench, Deliver, Delivered, ManualClock
from shared.slack import Workspace, post, webhook_post
from tests.conftest import SLACK_TOKEN

Rows = Any
Say = Callable[..., Delivered]
BLOCKS = [{"type": "section", "text": {"type": "mrkdwn", "text": "hello"}}]
HOOK = "T0/B0/secret-of-the-hook"


class Said(Event, name="slacktest.said", from_apps=True):
    channel: str = "C00000001"
    text: str = "hello"
    key: str = "k1"
    thread: str | None = None
    color: str | None = None
    blocks: list[dict[str, Any]] = BLOCKS
    token: str | None = None
    hook: str | None = None


class SaidResult(Payload):
    status: str
    channel: str | None
    ts: str | None
    code: str | None


@job("slacktest-say", on=Said, queue=Queue("slacktest"), retry=Retry(attempts=3, factor=2, min_s=2, max_s=60))
def say(ctx: JobContext, payload: Said) -> SaidResult:
    """Says what the payload says."""
    if payload.hook is not None:
        outcome = webhook_post(ctx, payload.hook, payload.text, payload.blocks)
    else:
        outcome = post(
            ctx,
            payload.channel,
            payload.text,
            payload.blocks,
            dedupe_key=payload.key,
            thread_ts=payload.thread,
            color=payload.color,
            workspace=Workspace(payload.token) if payload.token else None,
        )
    return SaidResult(status=outcome.status, channel=outcome.channel_id, ts=outcome.ts, code=outcome.code)


@pytest.fixture
def bench(make_bench: Callable[..., Bench], slack: SlackFake) -> Bench:
    return make_bench(build_registry([say]), SLACK_BASE_URL=slack.base_url)


@pytest.fixture
def said(bench: Bench, tenant: Tenant) -> Say:
    """said(text=..., expect=...) runs the job once for a new message."""
    deliver = Deliver(bench, tenant)

    def run(*, expect: str = "succeeded", **payload: Any) -> Delivered:
        return deliver.job("slacktest-say", payload, expect=expect)

    return run


@pytest.fixture
def again(bench: Bench, tenant: Tenant) -> Say:
    """again(expect=...) moves the clock to the waiting message and runs it."""
    deliver = Deliver(bench, tenant)
    return lambda expect="succeeded": deliver.again("slacktest", expect=expect)


def test_message_is_posted_once_per_dedupe_key(said: Say, slack: SlackFake, rows: Rows, clock: ManualClock) -> None:
    first = said()
    second = said(text="another text under the same key")

    [message] = slack.posted()
    assert (message.channel, message.text, message.blocks) == ("C00000001", "hello", BLOCKS)
    assert first.result == {"status": "sent", "channel": "C00000001", "ts": message.ts}
    assert second.result == {"status": "duplicate", "channel": "C00000001", "ts": message.ts}
    [row] = rows("SELECT * FROM slack_posts")
    assert (row["status"], row["attempts"], row["message_ts"], row["sent_at"]) == ("sent", 1, message.ts, clock.now())


def test_reply_goes_into_the_thread_and_a_colour_makes_a_bar(said: Say, slack: SlackFake) -> None:
    said(thread="1763640000.000001", color="#dc2626")

    [message] = slack.posted()
    assert message.thread_ts == "1763640000.000001"
    assert message.blocks == []
    assert message.attachments == [{"color": "#dc2626", "fallback": "hello", "blocks": BLOCKS}]


@pytest.mark.parametrize(
    ("channel", "mapped"),
    [("system.alert", "C00000002"), ("#c00000001", None)],
    ids=["notification type", "name"],
)
def test_channel_may_be_named_otherwise(
    said: Say, slack: SlackFake, rows: Rows, tenant: Tenant, channel: str, mapped: str | None
) -> None:
    if mapped:
        _map(rows, tenant, channel, mapped)

    said(channel=channel)

    assert slack.posted()[0].channel == (mapped or "C00000001")


@pytest.mark.parametrize("missing", ["workspace", "inactive", "mapping", "disabled"])
def test_what_is_not_configured_is_no_failure(
    said: Say, slack: SlackFake, rows: Rows, tenant: Tenant, missing: str
) -> None:
    if missing == "workspace":
        rows.execute("DELETE FROM tenant_slack_workspaces")
    if missing == "inactive":
        rows.execute("UPDATE tenant_slack_workspaces SET is_active = false")
    if missing == "disabled":
        _map(rows, tenant, "system.alert", "C00000002", enabled=False)

    assert said(channel="system.alert").result == {"status": "not_configured"}

    assert slack.asked == []
    assert rows("SELECT * FROM slack_posts") == []


def test_bot_joins_a_public_channel_that_it_is_not_in(said: Say, slack: SlackFake) -> None:
    slack.teams[SLACK_TOKEN].channels["C00000001"].member = False

    assert said().result["status"] == "sent"

    assert [asked.method for asked in slack.asked] == ["chat.postMessage", "conversations.join", "chat.postMessage"]


def test_blocks_that_slack_refuses_give_way_to_the_text(said: Say, slack: SlackFake) -> None:
    slack.fail("invalid_blocks")

    assert said().result["status"] == "sent"

    [message] = slack.posted()
    assert (message.text, message.blocks) == ("hello", [])


@pytest.mark.parametrize(
    "word", ["channel_not_found", "is_archived", "invalid_auth", "account_inactive", "token_revoked", "missing_scope"]
)
def test_refusal_is_a_value_with_slacks_word(said: Say, slack: SlackFake, rows: Rows, word: str) -> None:
    slack.fail(word)

    assert said().result == {"status": "failed", "channel": "C00000001", "code": word}

    assert [(r["status"], r["error_code"]) for r in rows("SELECT * FROM slack_posts")] == [("failed", word)]
    assert said().result["status"] == "sent"  # surely not posted before, so it may be tried again


@pytest.mark.parametrize(
    ("fault", "code", "state", "status"),
    [
        ({"kind": "429", "retry_after": "30"}, "SLACK_RATE_LIMITED", "deferred", "failed"),
        ({"kind": "ratelimited"}, "SLACK_RATE_LIMITED", "deferred", "failed"),
        ({"kind": "503"}, "SLACK_UNAVAILABLE", "retrying", "unknown"),
        ({"kind": "internal_error"}, "SLACK_UNAVAILABLE", "retrying", "unknown"),
        ({"kind": "cut"}, "SLACK_UNAVAILABLE", "retrying", "unknown"),
    ],
    ids=["429", "ratelimited inside 200", "503", "internal_error inside 200", "answer lost"],
)
def test_trouble_that_passes(
    said: Say, again: Say, slack: SlackFake, rows: Rows, fault: dict[str, Any], code: str, state: str, status: str
) -> None:
    slack.fail(**fault)

    waiting = said(expect=state)

    assert waiting.code == code
    if fault.get("retry_after"):
        assert waiting.delay_s == 30
    assert [row["status"] for row in rows("SELECT status FROM slack_posts")] == [status]
    assert again().result["status"] == "sent"


def test_unknown_post_is_repeated_once_and_no_more(said: Say, again: Say, slack: SlackFake, rows: Rows) -> None:
    slack.fail("503", 5)

    said(expect="retrying")
    again("retrying")
    last = again()

    assert last.result == {"status": "failed", "channel": "C00000001", "code": "outcome_unknown"}
    assert len(slack.asked) == 2
    assert [row["status"] for row in rows("SELECT status FROM slack_posts")] == ["unknown"]


def test_post_under_way_is_left_alone_until_its_lease_ends(
    said: Say, again: Say, slack: SlackFake, rows: Rows, clock: ManualClock
) -> None:
    rows.execute(
        "INSERT INTO slack_posts (dedupe_key, channel_id, status, attempts, lease_expires_at)"
        " VALUES ('k1', 'C00000001', 'sending', 1, %s)",
        (clock.now().replace(second=40),),
    )

    waiting = said(expect="deferred")

    assert (waiting.code, waiting.delay_s) == ("SLACK_IN_FLIGHT", 40)
    assert again().result["status"] == "sent"
    assert len(slack.posted()) == 1


def test_one_message_a_second_goes_to_a_channel(said: Say, slack: SlackFake, clock: ManualClock) -> None:
    said(key="a")
    said(key="b")
    said(key="c", channel="C00000002")

    assert clock.slept_s == 1
    assert len(slack.posted()) == 3


def test_other_workspace_keeps_no_intent_here(said: Say, slack: SlackFake, rows: Rows) -> None:
    slack.team("xoxb-platform", channels=("C00000009",))

    assert said(token="xoxb-platform", channel="C00000009").result["status"] == "sent"

    assert slack.posted("C00000009") != []
    assert rows("SELECT * FROM slack_posts") == []


def test_token_stands_in_no_error_and_no_row(said: Say, slack: SlackFake, rows: Rows) -> None:
    slack.fail("503")

    found = said(expect="retrying")

    assert SLACK_TOKEN not in repr(found)
    assert SLACK_TOKEN not in repr(rows("SELECT * FROM slack_posts"))


# -- incoming webhooks -----------------------------------------------------------------------------------------------


def test_webhook_takes_text_and_blocks(said: Say, slack: SlackFake) -> None:
    url = slack.hook(HOOK, SLACK_TOKEN, "C00000002")

    assert said(hook=url).result == {"status": "sent"}

    [message] = slack.posted("C00000002")
    assert (message.text, message.blocks) == ("hello", BLOCKS)


@pytest.mark.parametrize(
    ("fault", "result"),
    [
        ("404", {"status": "failed", "code": "HTTP_404"}),
        ("402", {"status": "failed", "code": "HTTP_402"}),
        ("channel_is_archived", {"status": "failed", "code": "channel_is_archived"}),
    ],
)
def test_webhook_refusals_are_values(said: Say, slack: SlackFake, fault: str, result: dict[str, Any]) -> None:
    url = slack.hook(HOOK, SLACK_TOKEN, "C00000002")
    if fault == "channel_is_archived":
        slack.teams[SLACK_TOKEN].channels["C00000002"].archived = True
    else:
        slack.fail(fault)

    assert said(hook=url).result == result


@pytest.mark.parametrize(
    ("fault", "code", "state"),
    [("429", "SLACK_RATE_LIMITED", "deferred"), ("500", "SLACK_UNAVAILABLE", "retrying")],
)
def test_webhook_trouble_that_passes(said: Say, slack: SlackFake, fault: str, code: str, state: str) -> None:
    url = slack.hook(HOOK, SLACK_TOKEN, "C00000002")
    slack.fail(fault)

    assert said(hook=url, expect=state).code == code


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.slack.com/services/x",
        "https://hooks.slack.com.evil.example/services/x",
        "https://u@hooks.slack.com/x",
    ],
)
def test_webhook_goes_to_slack_only(said: Say, slack: SlackFake, url: str) -> None:
    assert said(hook=url).result == {"status": "failed", "code": "url_refused"}
    assert slack.asked == []


def _map(rows: Rows, tenant: Tenant, type: str, channel: str, *, enabled: bool = True) -> None:
    rows.execute(
        "INSERT INTO tenant_slack_channel_mappings (tenant_id, notification_type, channel_id, is_enabled)"
        " VALUES (%s, %s, %s, %s)",
        (tenant.organization_id, type, channel, enabled),
    )
