"""A test is closed once: last numbers, one look, the winner, the report, one message."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from shared.events.ab_tests import AbTestEnded
from shared.fakes.redis import Database, RedisFake
from shared.fakes.resend import ResendFake
from shared.fakes.slack import SlackFake
from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver
from tests.builders.ab_tests import TEST, add_arm, add_epoch, add_state, add_test
from tests.conftest import Rows

NOON = datetime.fromisoformat("2026-11-20T12:00:00+00:00")
A, B, C = "test_1_a", "test_1_b", "test_1_c"
QUEUE = "ab-testing"


def near(value: float) -> object:
    return pytest.approx(value, rel=1e-6)


def live(rows: Rows, *, shares: tuple[int, ...] = (50, 50), days: float = 8, **columns: Any) -> datetime:
    """A test that began `days` ago and runs; the instant."""
    at = NOON - timedelta(days=days)
    add_test(rows, **{"status": "running", "started_at": at, "shares": shares, **columns})
    add_epoch(rows, 1, at, dict(zip((A, B, C), shares, strict=False)))
    return at


def not_sequential(rows: Rows, at: datetime) -> None:
    """300 and 360 of 10,000 each: fixed p 0.0175, always-valid p 0.298."""
    add_arm(rows, A, 10_000, 300, at=at)
    add_arm(rows, B, 10_000, 360, at=at)


def ended(**more: Any) -> AbTestEnded:
    return AbTestEnded(**{"test_id": TEST, "reason": "scheduled", "at": NOON, **more})


def row_of(rows: Rows) -> dict[str, Any]:
    (row,) = rows("SELECT t.*, s.* FROM ab_tests t JOIN ab_test_state s ON s.test_id = t.id WHERE t.id = %s", (TEST,))
    return row


@pytest.fixture
def channel(rows: Rows, tenant: Tenant, slack: SlackFake) -> Callable[[], list[str]]:
    """The tenant's channel for tests that are complete; what stands in it."""
    rows.execute(
        "INSERT INTO tenant_slack_channel_mappings (tenant_id, notification_type, channel_id, is_enabled)"
        " VALUES (%s, 'ab_test_complete', 'C00000001', true)",
        (tenant.organization_id,),
    )
    return lambda: [message.text for message in slack.posted("C00000001")]


def test_planned_end_takes_one_look_with_the_fixed_p(
    deliver: Deliver, rows: Rows, channel: Callable[[], list[str]]
) -> None:
    not_sequential(rows, live(rows))

    done = deliver(ended())

    row = row_of(rows)
    assert (row["status"], row["ended_at"], row["ended_reason"]) == ("completed", NOON, "scheduled")
    assert (row["winner_variant_id"], row["winning_variant_id"], row["is_significant"]) == (B, B, True)
    assert (row["decision"], row["last_status"], row["status_seq"]) == ("winner", "completed", 1)
    report = row["final_report"]
    assert (report["lift"], report["pFixed"], report["pSequential"]) == (
        near(20.0),
        near(0.01754831798),
        near(0.297932752),
    )
    assert report["interval"] == [near(0.001049238053), near(0.01095076195)]
    assert (report["visitors"], report["orders"], report["revenueCents"]) == (20_000, 660, 3_300_000)
    assert (report["days"], report["chosenBy"], report["preliminary"]) == (8, "decision", True)
    (event,) = [event for name, event in done.emitted if name == "ab.winnerDetected"]
    assert (event["variantId"], event["pValue"], event["auto"]) == (B, near(0.01754831798), False)
    assert rows("SELECT ended_at FROM ab_allocation_epochs") == [{"ended_at": NOON}]
    (message,) = channel()
    assert "*Test test_1* ended by schedule after 8 days: Variant 1 wins, lift +20.0%" in message
    assert "[0.1049, 1.0951] percentage points" in message
    assert done.result == {
        "outcome": "closed",
        "decision": "winner",
        "winner": B,
        "lift": near(20.0),
        "orders": 660,
        "slack": True,
        "mails": 0,
    }


def test_end_by_hand_is_judged_by_the_always_valid_p(
    deliver: Deliver, rows: Rows, channel: Callable[[], list[str]]
) -> None:
    not_sequential(rows, live(rows))

    done = deliver(ended(reason="manual"))

    row = row_of(rows)
    assert (row["decision"], row["winner_variant_id"], row["is_significant"]) == ("inconclusive", None, False)
    assert row["final_report"]["pAdjusted"] == near(0.297932752)
    assert done.emitted == []
    assert "no clear winner" in channel()[0]


def test_winner_that_a_person_chose_is_kept_as_chosen(
    deliver: Deliver, rows: Rows, channel: Callable[[], list[str]]
) -> None:
    not_sequential(rows, live(rows))

    done = deliver(ended(reason="manual", winning_variant=A))

    row = row_of(rows)
    assert (row["winner_variant_id"], row["winning_variant_id"], row["is_significant"]) == (A, A, False)
    assert (row["decision"], row["final_report"]["chosenBy"]) == ("inconclusive", "manual")
    assert (done.result["winner"], done.emitted) == (A, [])
    assert "Variant 0 was chosen, without a clear winner" in channel()[0]


def test_of_several_significant_challengers_the_highest_wins(deliver: Deliver, rows: Rows) -> None:
    """Fixed p of 0.0175 and 0.0022 become 0.0175 and 0.0044 by Holm."""
    at = live(rows, shares=(34, 33, 33))
    not_sequential(rows, at)
    add_arm(rows, C, 10_000, 378, at=at)

    deliver(ended())

    row = row_of(rows)
    assert (row["decision"], row["winner_variant_id"]) == ("winner", C)
    shown = row["final_report"]["variants"]
    assert shown[B]["pFixedAdjusted"] == near(0.01754831798)
    assert shown[C]["pFixedAdjusted"] == near(2 * shown[C]["pFixed"])


def test_wrong_split_makes_the_result_invalid(deliver: Deliver, rows: Rows, channel: Callable[[], list[str]]) -> None:
    at = live(rows)
    add_arm(rows, A, 5_200, 150, at=at)
    add_arm(rows, B, 4_800, 250, at=at)

    deliver(ended())

    row = row_of(rows)
    assert (row["decision"], row["winner_variant_id"], row["is_significant"]) == ("invalid", None, False)
    assert row["needs_attention"] == ["srm"]
    assert "the visitors were not split as planned" in channel()[0]


def test_few_visitors_decide_nothing(deliver: Deliver, rows: Rows) -> None:
    at = live(rows)
    add_arm(rows, A, 99, 30, at=at)
    add_arm(rows, B, 99, 80, at=at)

    assert deliver(ended()).result["decision"] == "inconclusive"


def test_result_found_while_running_is_kept(deliver: Deliver, rows: Rows) -> None:
    not_sequential(rows, live(rows, winner_variant_id=B, winning_variant_id=B, is_significant=True))
    add_state(rows, decision="winner", results={"announced": f"winner:{B}"})

    done = deliver(ended(reason="significance", winning_variant=B))

    assert (done.result["decision"], done.result["winner"], done.emitted) == ("winner", B, [])
    assert row_of(rows)["is_significant"] is True


def test_test_that_a_guardrail_stopped_has_no_winner(deliver: Deliver, rows: Rows) -> None:
    not_sequential(rows, live(rows, status="completed", ended_at=NOON))
    add_state(rows, last_status="completed", status_seq=3, ended_reason="guardrail", decision="leading")

    done = deliver(ended(reason="guardrail"))

    row = row_of(rows)
    assert (done.result["decision"], done.result.get("winner")) == ("inconclusive", None)
    assert (row["status_seq"], row["ended_reason"]) == (3, "guardrail")


def test_bandit_is_judged_by_its_own_rule(deliver: Deliver, rows: Rows) -> None:
    not_sequential(rows, live(rows, mode="thompson"))
    add_state(rows, best_variant_id=B, best_since=NOON - timedelta(hours=26))

    assert deliver(ended(reason="manual")).result["winner"] == B


def test_last_orders_are_in_the_report(deliver: Deliver, rows: Rows, order: Callable[..., None]) -> None:
    at = live(rows)
    add_arm(rows, A, 200, 30, at=at)
    add_arm(rows, B, 200, 30, at=at)
    carts = {"attribution_data": {"_ab_visitor_id": f"{B}-100"}}
    order("late", at=NOON - timedelta(minutes=50), **carts)
    order("too_late", at=NOON + timedelta(seconds=1), attribution_data={"_ab_visitor_id": f"{B}-101"})
    order("synced_late", at=NOON - timedelta(days=2), updated_at=NOON, attribution_data={"_ab_visitor_id": f"{B}-102"})
    deliver.bench.clock.advance(s=3600)
    position = {"updatedAt": (NOON - timedelta(minutes=15)).isoformat(), "id": ""}
    rows.execute("INSERT INTO ab_cursors (name, position) VALUES ('orders', %s)", (Jsonb(position),))

    done = deliver(ended())

    assert done.result["orders"] == 62
    assert row_of(rows)["final_report"]["variants"][B]["x"] == 32
    day = rows("SELECT purchases FROM ab_daily_metrics WHERE variant_id = %s AND date = '2026-11-20'", (B,))
    assert day == [{"purchases": 1}]
    assert rows("SELECT position ->> 'updatedAt' AS at FROM ab_cursors")[0]["at"] == position["updatedAt"]


def test_shopify_that_is_down_leaves_the_rest_to_the_night(
    deliver: Deliver, rows: Rows, order: Callable[..., None], shopify: Any
) -> None:
    live(rows)
    order("o9", at=NOON - timedelta(minutes=50), attribution_data=None, shopify_order_id="1009")
    shopify.fail("503", count=20)

    assert deliver(ended()).result["outcome"] == "closed"
    assert "redis_unavailable" in row_of(rows)["needs_attention"]


def test_long_way_through_the_orders_is_left_to_the_night(
    deliver: Deliver, rows: Rows, order: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody has looked at orders for long: the test is closed in time all the same."""
    monkeypatch.setattr("functions.commerce.ab_tests.ended.PAGE", 1)
    monkeypatch.setattr("functions.commerce.ab_tests.ended.ROOM_S", 1e9)
    at = live(rows)
    add_arm(rows, B, 10, 0, at=at)
    for n in range(1, 4):
        order(f"o{n}", at=NOON - timedelta(hours=n / 2), attribution_data={"_ab_visitor_id": f"{B}-{n}"})

    done = deliver(ended())

    assert (done.result["outcome"], done.result["orders"]) == ("closed", 1)  # both ways begin with the same order
    assert "redis_unavailable" in row_of(rows)["needs_attention"]


def test_event_that_comes_again_closes_and_tells_nothing(
    deliver: Deliver, bench: Bench, rows: Rows, channel: Callable[[], list[str]]
) -> None:
    not_sequential(rows, live(rows))
    deliver(ended())
    before = row_of(rows)
    deliver(ended(reason="manual", winning_variant=A), expect="duplicate")
    bench_forgets(rows)

    again = deliver(ended(reason="manual", winning_variant=A))

    assert (again.result["outcome"], again.result["winner"], again.emitted) == ("already_closed", B, [])
    assert row_of(rows)["final_report"] == before["final_report"]
    assert row_of(rows)["winner_variant_id"] == B
    assert len(channel()) == 1


def bench_forgets(rows: Rows) -> None:
    """Claims are pruned after thirty days."""
    rows.execute("DELETE FROM jobs.claims")


def test_message_that_was_lost_is_made_up_for(
    deliver: Deliver, rows: Rows, slack: SlackFake, channel: Callable[[], list[str]]
) -> None:
    not_sequential(rows, live(rows))
    slack.fail("429")
    assert deliver(ended()).result["slack"] is False
    bench_forgets(rows)

    assert deliver(ended()).result["slack"] is True
    assert len(channel()) == 1


def test_team_is_mailed(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    not_sequential(rows, live(rows))
    setting = {"emails": ["team@acme.test", "nope", "team@acme.test"]}
    rows.execute("INSERT INTO tenant_config (key, value) VALUES ('ab.summary', %s)", (Jsonb(setting),))

    assert deliver(ended()).result["mails"] == 1

    (mail,) = rows("SELECT template_key, dedupe_key, status FROM mail_messages")
    assert mail["template_key"] == "ab_test_result"
    assert mail["dedupe_key"].startswith("ab-ended:test_1:")


def test_application_may_only_publish(deliver: Deliver, rows: Rows) -> None:
    """No time in the event: now. The status was not changed by the application."""
    live(rows)

    deliver(AbTestEnded(test_id=TEST))

    row = row_of(rows)
    assert (row["status"], row["ended_at"], row["ended_reason"]) == ("completed", deliver.bench.clock.now(), "manual")


def test_draft_and_foreign_winner_are_refused(deliver: Deliver, rows: Rows) -> None:
    add_test(rows)
    add_test(rows, "other")
    assert deliver(ended(), expect="dead").code == "TEST_NOT_STARTED"
    bench_forgets(rows)
    rows.execute("UPDATE ab_tests SET status = 'running'")

    assert deliver(ended(winning_variant="other_a"), expect="dead").code == "UNKNOWN_VARIANT"
    assert rows("SELECT status FROM ab_tests WHERE id = %s", (TEST,)) == [{"status": "running"}]


def test_test_that_never_comes(deliver: Deliver) -> None:
    deliver(ended(), expect="retrying")
    deliver.again(f"{QUEUE}-bulk", expect="retrying")

    assert deliver.again(f"{QUEUE}-bulk", expect="dead").code == "TEST_NOT_FOUND"


def test_storefront_forgets_the_test(deliver: Deliver, rows: Rows, store: Database) -> None:
    live(rows)
    store.execute(["SADD", "ab:acme:active_tests", TEST, "other"])
    store.execute(["HINCRBY", f"ab:acme:{TEST}:{B}:counters", "impressions", 120])

    deliver(ended())

    assert store.set("ab:acme:active_tests") == {"other"}
    assert rows("SELECT impressions FROM ab_counter_batches") == [{"impressions": 120}]


def test_redis_that_is_down_leaves_the_counters_to_the_night(deliver: Deliver, rows: Rows, redis: RedisFake) -> None:
    live(rows)
    redis.fail("503", count=20)

    assert deliver(ended()).result["outcome"] == "closed"
    assert row_of(rows)["needs_attention"] == ["redis_unavailable"]


@pytest.mark.parametrize("point", ["while", "after"])
def test_test_that_ends_while_its_metrics_are_aggregated(deliver: Deliver, rows: Rows, point: str) -> None:
    """Whichever comes first: the report decides, and a later look changes results only."""
    not_sequential(rows, live(rows, auto_end=True))
    look = {"testId": TEST, "slot": (NOON - timedelta(minutes=5)).isoformat()}
    if point == "while":
        deliver.job("ab-hourly-metrics-aggregation", look, key="first")
    deliver(ended())

    late = {"testId": TEST, "slot": (NOON + timedelta(hours=1)).isoformat()}
    done = deliver.job("ab-hourly-metrics-aggregation", late, key="late")

    row = row_of(rows)
    assert (row["decision"], row["winner_variant_id"], row["status"]) == ("winner", B, "completed")
    assert (done.result["winners"], done.emitted) == (0, [])
    assert row["final_report"]["winner"] == B
