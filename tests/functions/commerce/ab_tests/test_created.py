"""A new test is prepared once, even when its event overtakes its commit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from shared.events.ab_tests import AbTestCreated
from shared.fakes.slack import SlackFake
from shared.jobs.context import Tenant
from shared.jobs.testing import Deliver
from tests.builders.ab_tests import TEST, add_state, add_test
from tests.conftest import Rows

CREATED = AbTestCreated(test_id=TEST, name="not trusted", variants=2)
QUEUE = "ab-testing"


def state(rows: Rows) -> dict[str, Any]:
    (row,) = rows("SELECT * FROM ab_test_state")
    return row


def shares(rows: Rows) -> list[int]:
    found = rows("SELECT traffic_allocation, weight FROM ab_variants ORDER BY id")
    assert all(row["traffic_allocation"] == row["weight"] for row in found)
    return [row["weight"] for row in found]


@pytest.fixture
def channel(rows: Rows, tenant: Tenant, slack: SlackFake) -> Callable[[], list[str]]:
    """The tenant's channel for news of tests; what stands in it."""
    rows.execute(
        "INSERT INTO tenant_slack_channel_mappings (tenant_id, notification_type, channel_id, is_enabled)"
        " VALUES (%s, 'ab_test_summary', 'C00000001', true)",
        (tenant.organization_id,),
    )
    return lambda: [message.text for message in slack.posted("C00000001")]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ((None, None), [50, 50]),
        ((None, None, None), [34, 33, 33]),
        ((0, 0, 0), [34, 33, 33]),
        ((None,) * 7, [15, 15, 14, 14, 14, 14, 14]),
        ((60, 20, 20), [60, 20, 20]),
    ],
)
def test_equal_split_where_none_was_given(
    deliver: Deliver, rows: Rows, given: tuple[int | None, ...], kept: list[int]
) -> None:
    add_test(rows, shares=given)

    done = deliver(CREATED)

    assert shares(rows) == kept
    assert done.result == {"initialized": True, "sharesSet": given != (60, 20, 20), "valid": True, "slack": False}


def test_event_that_comes_twice_tells_once(deliver: Deliver, rows: Rows, channel: Callable[[], list[str]]) -> None:
    add_test(rows, name="<b>x</b> & y")

    assert deliver(CREATED, key="one").result["slack"] is True
    deliver(CREATED, key="two", expect="duplicate")

    (message,) = channel()
    assert "*&lt;b&gt;x&lt;/b&gt; &amp; y* (split): 2 variants, start: not planned" in message
    assert state(rows)["last_status"] == "draft"


def test_slack_that_is_down_does_not_fail_the_work(
    deliver: Deliver, rows: Rows, slack: SlackFake, channel: Callable[[], list[str]]
) -> None:
    add_test(rows)
    slack.fail("503")

    assert deliver(CREATED).result["slack"] is False


def test_test_that_is_committed_after_its_event(deliver: Deliver, rows: Rows) -> None:
    assert deliver(CREATED, expect="retrying").code == "TEST_NOT_VISIBLE"
    add_test(rows)

    assert deliver.again(QUEUE).result["initialized"] is True


def test_test_that_never_comes(deliver: Deliver) -> None:
    deliver(CREATED, expect="retrying")
    deliver.again(QUEUE, expect="retrying")

    assert deliver.again(QUEUE, expect="dead").code == "TEST_NOT_FOUND"


def test_test_of_another_tenant_is_unknown(deliver: Deliver, rows: Rows, other_tenant: Tenant) -> None:
    add_test(rows, tenant=other_tenant)

    assert deliver(CREATED, expect="retrying").code == "TEST_NOT_VISIBLE"
    assert rows("SELECT 1 FROM ab_test_state", tenant=other_tenant) == []


def test_two_controls_are_marked_and_no_alarm(deliver: Deliver, rows: Rows) -> None:
    add_test(rows, controls=2)

    done = deliver(CREATED)

    assert (done.result["valid"], done.emitted) == (False, [])
    assert state(rows)["needs_attention"] == ["invalid_configuration"]


def test_variants_that_are_still_missing_are_noted(deliver: Deliver, rows: Rows) -> None:
    add_test(rows)
    add_state(rows, last_status="draft", needs_attention=["invalid_configuration"])

    done = deliver(AbTestCreated(test_id=TEST, name="x", variants=3))

    assert (done.result["initialized"], done.result["valid"]) == (False, True)
    assert (state(rows)["results"], state(rows)["needs_attention"]) == ({"announcedVariants": 3}, [])


def test_number_of_variants_that_is_none_is_refused(deliver: Deliver) -> None:
    payload = {"testId": TEST, "name": "x", "variants": "two"}

    assert deliver.job("ab-handle-test-created", payload, expect="dead").code == "INVALID_PAYLOAD"
