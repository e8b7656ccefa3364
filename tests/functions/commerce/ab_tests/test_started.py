"""A start is made complete once, whoever has made it: times, split, Redis, a word to the team."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.events.ab_tests import AbTestStarted
from shared.fakes.redis import Database, RedisFake
from shared.fakes.slack import SlackFake
from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver
from tests.builders.ab_tests import TEST, add_epoch, add_state, add_test
from tests.conftest import Rows
from tests.functions.commerce.ab_tests.conftest import NOON

JOB = "ab-handle-test-started"
AT = NOON - timedelta(minutes=3)
STARTED = AbTestStarted(test_id=TEST, at=AT)
RESUMED = AbTestStarted(test_id=TEST, at=AT, resumed=True)
HALVES = {"test_1_a": 50, "test_1_b": 50}


def one(rows: Rows, table: str) -> dict[str, Any]:
    (row,) = rows(f"SELECT * FROM {table}")  # noqa: S608
    return row


def epochs(rows: Rows) -> list[tuple[int, str, dict[str, int]]]:
    found = rows("SELECT epoch, reason, shares FROM ab_allocation_epochs ORDER BY epoch")
    return [(row["epoch"], row["reason"], row["shares"]) for row in found]


@pytest.fixture
def channel(rows: Rows, tenant: Tenant, slack: SlackFake) -> Callable[[], list[str]]:
    """The tenant's channel for starts and ends; what stands in it."""
    rows.execute(
        "INSERT INTO tenant_slack_channel_mappings (tenant_id, notification_type, channel_id, is_enabled)"
        " VALUES (%s, 'ab_test_complete', 'C00000001', true)",
        (tenant.organization_id,),
    )
    return lambda: [message.text for message in slack.posted("C00000001")]


def test_start_without_a_time_is_made_complete(deliver: Deliver, rows: Rows, store: Database) -> None:
    add_test(rows, status="running")

    done = deliver(STARTED)

    assert done.result == {"outcome": "started", "epoch": 1, "redis": "ok", "slack": False}
    assert one(rows, "ab_tests")["started_at"] == AT
    assert epochs(rows) == [(1, "started", HALVES)]
    assert one(rows, "ab_allocation_epochs")["started_at"] == AT
    assert store.set("ab:acme:active_tests") == {TEST}
    assert store.hash("ab:acme:test_1:allocation") == {"test_1_a": "50", "test_1_b": "50", "_epoch": "1"}


def test_start_that_the_scheduler_knows_is_not_counted_again(deliver: Deliver, rows: Rows) -> None:
    add_test(rows, status="running", started_at=AT)
    add_state(rows, last_status="running", status_seq=4)

    deliver(STARTED)

    assert (one(rows, "ab_test_state")["status_seq"], one(rows, "ab_test_state")["last_status"]) == (4, "running")


def test_draft_of_an_app_that_only_publishes_starts(deliver: Deliver, rows: Rows) -> None:
    add_test(rows)
    add_state(rows, last_status="draft")

    assert deliver(STARTED).result["outcome"] == "started"
    assert (one(rows, "ab_tests")["status"], one(rows, "ab_tests")["started_at"]) == ("running", AT)
    assert (one(rows, "ab_test_state")["status_seq"], one(rows, "ab_test_state")["last_status"]) == (1, "running")


def test_draft_with_one_variant_stays_one(deliver: Deliver, rows: Rows) -> None:
    add_test(rows, shares=(100,))

    dead = deliver(STARTED, expect="dead")

    assert (dead.code, dead.detail) == ("INVALID_CONFIGURATION", "variants_1")
    assert (one(rows, "ab_tests")["status"], epochs(rows)) == ("draft", [])


@pytest.mark.parametrize(
    ("shares", "epoch", "reasons"),
    [((30, 70), 2, ["started", "resumed"]), ((50, 50), 1, ["started"])],
    ids=["another split", "the same"],
)
def test_resumed_test(
    deliver: Deliver, rows: Rows, store: Database, shares: tuple[int, int], epoch: int, reasons: list[str]
) -> None:
    add_test(rows, status="running", started_at=NOON - timedelta(days=9), shares=shares)
    add_epoch(rows, 1, NOON - timedelta(days=9), HALVES)
    add_state(rows, last_status="paused", status_seq=2)

    done = deliver(RESUMED)

    assert (done.result["outcome"], done.result["epoch"]) == ("resumed", epoch)
    assert [reason for _, reason, _ in epochs(rows)] == reasons
    assert one(rows, "ab_tests")["started_at"] == NOON - timedelta(days=9)
    assert store.hash("ab:acme:test_1:allocation")["test_1_b"] == str(shares[1])


def test_override_takes_all_visitors(deliver: Deliver, rows: Rows) -> None:
    add_test(rows, status="running", traffic_override_variant_id="test_1_b")

    deliver(STARTED)

    assert epochs(rows) == [(1, "override", {"test_1_b": 100})]


@pytest.mark.parametrize(
    ("columns", "event"),
    [
        ({"status": "completed", "ended_at": NOON}, STARTED),
        ({"status": "paused"}, STARTED),
        ({"status": "paused"}, RESUMED),
    ],
    ids=["completed", "paused", "paused again since"],
)
def test_news_that_is_over_is_ignored(
    deliver: Deliver, rows: Rows, redis: RedisFake, columns: dict[str, Any], event: AbTestStarted
) -> None:
    add_test(rows, **columns)
    add_state(rows, last_status="paused", updated_at=NOON)

    assert deliver(event).result["outcome"] == "ignored"
    assert (epochs(rows), one(rows, "ab_tests")["started_at"], redis.asked) == ([], None, [])


def test_paused_test_of_an_app_that_only_publishes_runs_again(deliver: Deliver, rows: Rows) -> None:
    add_test(rows, status="paused", started_at=NOON - timedelta(days=2))
    add_state(rows, last_status="paused", paused_reason="guardrail", updated_at=AT - timedelta(days=1))

    assert deliver(RESUMED).result["outcome"] == "resumed"
    assert (one(rows, "ab_tests")["status"], one(rows, "ab_test_state")["paused_reason"]) == ("running", None)


def test_reason_of_the_pause_goes_although_the_scheduler_knows_the_start(deliver: Deliver, rows: Rows) -> None:
    add_test(rows, status="running", started_at=NOON - timedelta(days=2))
    add_state(rows, last_status="running", status_seq=4, paused_reason="guardrail")

    deliver(RESUMED)

    state = one(rows, "ab_test_state")
    assert (state["paused_reason"], state["status_seq"]) == (None, 4)


def test_event_that_comes_twice_tells_once(deliver: Deliver, rows: Rows, channel: Callable[[], list[str]]) -> None:
    add_test(rows, status="running", name="<b>x</b>", end_date=NOON + timedelta(days=30))

    assert deliver(AbTestStarted(test_id=TEST)).result["slack"] is True
    deliver(AbTestStarted(test_id=TEST))

    assert channel() == [
        "A/B test *&lt;b&gt;x&lt;/b&gt;* has started: Variant 0 50 %, Variant 1 50 %. "
        "Visitors needed per variant: unknown. Planned end: 2026-12-20 12:00 UTC"
    ]
    assert len(epochs(rows)) == 1


def test_resumed_test_tells_what_it_needs(deliver: Deliver, rows: Rows, channel: Callable[[], list[str]]) -> None:
    add_test(rows, status="running", started_at=NOON - timedelta(days=2))
    add_state(rows, last_status="paused", status_seq=2, results={"neededPerArm": 53211})

    deliver(RESUMED)

    (message,) = channel()
    assert "runs again" in message
    assert "needed per variant: 53211" in message


@pytest.mark.parametrize(("kind", "told"), [("503", "unavailable"), ("401", "unavailable"), ("cut", "unavailable")])
def test_redis_that_is_down_does_not_fail_the_work(
    deliver: Deliver, rows: Rows, redis: RedisFake, kind: str, told: str
) -> None:
    add_test(rows, status="running")
    redis.fail(kind)

    assert deliver(STARTED).result["redis"] == told
    assert len(epochs(rows)) == 1


def test_tenant_without_redis(deliver: Deliver, rows: Rows) -> None:
    add_test(rows, status="running")

    assert deliver(STARTED).result["redis"] == "not_configured"


def test_test_that_is_not_there_yet(deliver: Deliver, rows: Rows) -> None:
    assert deliver(STARTED, expect="retrying").code == "TEST_NOT_VISIBLE"
    assert deliver.again("ab-testing", expect="retrying").code == "TEST_NOT_VISIBLE"
    assert deliver.again("ab-testing", expect="dead").code == "TEST_NOT_FOUND"


def test_time_that_is_none_is_refused(deliver: Deliver) -> None:
    assert deliver.job(JOB, {"testId": TEST, "at": "x"}, expect="dead").code == "INVALID_PAYLOAD"


def test_scheduler_and_start_agree(deliver: Deliver, bench: Bench, rows: Rows) -> None:
    """A test that the scheduler starts by the clock: one epoch, one announcement."""
    add_test(rows, auto_start=True, start_date=NOON - timedelta(hours=1))

    deliver.job("ab-test-scheduler", {"slot": NOON.isoformat()})
    bench.drain()
    deliver.job("ab-test-scheduler", {"slot": (NOON + timedelta(minutes=5)).isoformat()})

    assert [name for name, _ in bench.bus.published if name == "ab.testStarted"] == ["ab.testStarted"]
    assert [epoch for epoch, _, _ in epochs(rows)] == [1]


def test_storefront_does_not_wait_for_the_start(
    deliver: Deliver, bench: Bench, rows: Rows, storefront: Callable[[], None]
) -> None:
    add_test(rows, status="running")
    bench.faults.on("before-checkpoint", storefront)

    assert deliver(STARTED).result["outcome"] == "started"
