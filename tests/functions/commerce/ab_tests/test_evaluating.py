"""A look at a test: what it finds, what it keeps, whom it tells. Numbers are from worked examples made with scipy."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from pydantic import AwareDatetime

from functions.commerce.ab_tests.evaluating import EVALUATION_EMITS, evaluate_test
from shared.events.base import Event, Payload
from shared.jobs import JobContext, job
from shared.jobs.context import Tenant
from shared.jobs.queues import Queue
from shared.jobs.registry import build_registry
from shared.jobs.testing import Deliver
from shared.jobs.testing.bench import Delivered
from tests.builders.ab_tests import TEST, add_arm, add_epoch, add_state, add_test, insert
from tests.conftest import MakeBench, Rows

NOON = datetime.fromisoformat("2026-11-20T12:00:00+00:00")
A, B, C = "test_1_a", "test_1_b", "test_1_c"


class LookedAt(Event, name="toy.testLookedAt", from_apps=True):
    test_id: str
    slot: AwareDatetime
    anew: bool = False


class Looked(Payload):
    decision: str | None = None
    winner: str | None = None
    announced: bool = False
    paused: bool = False


@job("toy-judge", on=LookedAt, queue=Queue("toy-judges"), emits=EVALUATION_EMITS)
def toy_judge(ctx: JobContext, payload: LookedAt) -> Looked:
    """Judges one test."""
    with ctx.tenant_session() as session:
        found = evaluate_test(ctx, session, payload.test_id, payload.slot, anew=payload.anew)
    if found is None:
        return Looked()
    return Looked(decision=found.decision, winner=found.winner, announced=found.announced, paused=found.paused)


Look = Callable[..., Delivered]


@pytest.fixture
def look(make_bench: MakeBench, tenant: Tenant) -> Look:
    """Judges TEST at noon, or `minutes` after it."""
    deliver = Deliver(make_bench(build_registry([toy_judge])), tenant)

    def looked(*, minutes: float = 0, anew: bool = False) -> Delivered:
        return deliver(LookedAt(test_id=TEST, slot=NOON + timedelta(minutes=minutes), anew=anew))

    return looked


def state(rows: Rows) -> dict[str, Any]:
    (row,) = rows("SELECT * FROM ab_test_state")
    return row


def columns(rows: Rows) -> tuple[Any, ...]:
    (row,) = rows("SELECT winner_variant_id, winning_variant_id, is_significant, status FROM ab_tests")
    return tuple(row.values())


def near(value: float) -> object:
    return pytest.approx(value, rel=1e-6)


def running(rows: Rows, *, days: float = 8, shares: tuple[int, ...] = (50, 50), **more: Any) -> datetime:
    """A test that began `days` ago; the instant."""
    at = NOON - timedelta(days=days)
    add_test(rows, status="running", started_at=at, shares=shares, **more)
    add_epoch(rows, 1, at, dict(zip((A, B, C), shares, strict=False)))
    return at


def test_not_yet_significant_however_often_one_looks(look: Look, rows: Rows) -> None:
    """The worked example in which the fixed p is 0.0175 and the always-valid one 0.2979."""
    at = running(rows)
    add_arm(rows, A, 10_000, 300, at=at)
    add_arm(rows, B, 10_000, 360, at=at)

    done = look()

    assert done.result["decision"] == "collecting"
    kept = state(rows)
    shown = kept["results"]["variants"][B]
    assert (shown["n"], shown["x"], shown["lift"]) == (10_000, 360, near(20.0))
    assert (shown["pFixed"], shown["pSequential"], shown["pAdjusted"]) == (
        near(0.01754831798),
        near(0.297932752),
        near(0.297932752),
    )
    assert shown["interval"] == [near(-0.002655792663), near(0.01465579266)]
    assert kept["tau"] == {"conversion_rate": near(0.003)}
    assert kept["results"]["neededPerArm"] == 53_211
    assert shown["pBest"] == near(0.9912153663)
    assert columns(rows)[:3] == (None, None, False)


def winning(rows: Rows, at: datetime) -> None:
    """450 and 585 of 15,000 each: significant however often one looks (p 0.00386), lift 30 percent."""
    add_arm(rows, A, 15_000, 450, at=at)
    add_arm(rows, B, 15_000, 585, at=at)


def test_winner_is_told_once(look: Look, rows: Rows) -> None:
    winning(rows, running(rows, auto_end=True))

    first, second = look(), look(minutes=60)

    assert (first.result["decision"], first.result["winner"]) == ("winner", B)
    ((name, event),) = [(name, event) for name, event in first.emitted]
    assert (name, event["variantId"], event["decision"], event["auto"]) == ("ab.winnerDetected", B, "winner", True)
    assert (event["lift"], event["pValue"]) == (near(30.0), near(0.003860742119))
    assert columns(rows)[:3] == (B, B, True)
    assert (second.result["decision"], second.emitted) == ("winner", [])
    assert state(rows)["decided_at"] == NOON


def test_significant_too_early_only_leads(look: Look, rows: Rows) -> None:
    winning(rows, running(rows, days=3))

    done = look()

    assert (done.result["decision"], done.emitted) == ("leading", [])
    assert columns(rows)[:3] == (None, None, True)


def test_winner_whose_difference_turns_round_is_taken_back(look: Look, rows: Rows) -> None:
    at = running(rows)
    winning(rows, at)
    look()
    add_arm(rows, A, 3_000, 200, at=at + timedelta(hours=1), mark="x")
    add_arm(rows, B, 3_000, 0, at=at + timedelta(hours=1), mark="x")

    done = look(minutes=60)

    assert done.result["decision"] == "collecting"
    assert columns(rows)[:3] == (None, None, False)
    assert state(rows)["sequential"]["conversion_rate"][B] == near(0.003860742119)


def test_every_challenger_worse_means_that_the_control_wins(look: Look, rows: Rows) -> None:
    at = running(rows, shares=(34, 33, 33))
    for variant, buyers in ((A, 585), (B, 400), (C, 380)):
        add_arm(rows, variant, 15_000, buyers, at=at)
    rows.execute("UPDATE ab_allocation_epochs SET shares = %s", (Jsonb({A: 33, B: 33, C: 33}),))

    done = look()

    assert (done.result["decision"], done.result["winner"]) == ("control_wins", A)
    assert columns(rows)[:3] == (A, A, True)


def test_of_two_challengers_only_the_one_that_is_significant_after_holm_wins(look: Look, rows: Rows) -> None:
    """p 0.0074 and 0.298 become 0.0149 and 0.298."""
    at = running(rows, shares=(40, 40, 20))
    add_arm(rows, A, 20_000, 600, at=at)
    add_arm(rows, B, 20_000, 740, at=at)
    add_arm(rows, C, 10_000, 330, at=at)

    done = look()

    shown = state(rows)["results"]["variants"]
    assert shown[B]["pSequential"] == near(0.007427018549)
    assert shown[B]["pAdjusted"] == near(2 * 0.007427018549)
    assert (done.result["decision"], done.result["winner"]) == ("winner", B)


@pytest.mark.parametrize(
    ("counts", "status"), [((5102, 4898), "warning"), ((5000, 5000), "none"), ((49, 47), "insufficient")]
)
def test_split_that_is_not_badly_wrong_is_only_shown(
    look: Look, rows: Rows, counts: tuple[int, int], status: str
) -> None:
    at = running(rows)
    for variant, n in zip((A, B), counts, strict=True):
        add_arm(rows, variant, n, 10, at=at)

    done = look()

    assert (state(rows)["srm_status"], done.emitted) == (status, [])
    assert done.result["decision"] == "collecting"


@pytest.mark.parametrize(("minutes", "decision", "alerts"), [(60, "invalid", 1), (20, "collecting", 0)])
def test_wrong_split_is_acted_on_when_two_looks_an_hour_apart_agree(
    look: Look, rows: Rows, minutes: int, decision: str, alerts: int
) -> None:
    at = running(rows)
    add_arm(rows, A, 5200, 150, at=at)
    add_arm(rows, B, 4800, 150, at=at)

    first, second, third = look(), look(minutes=minutes), look(minutes=minutes + 5)

    assert (first.result["decision"], first.emitted) == ("collecting", [])
    assert second.result["decision"] == decision
    assert [name for name, _ in second.emitted] == ["alert.unusualActivity"] * alerts
    assert third.emitted == []
    assert ("srm" in state(rows)["needs_attention"]) == bool(alerts)
    assert state(rows)["srm_p"] == near(0.00006334248367)
    if alerts:
        assert second.emitted[0][1]["dedupeKey"] == "ab-srm:test_1:2026-11-20"
        assert columns(rows)[2:] == (False, "running")


def test_wrong_split_pauses_where_the_tenant_wants_that(look: Look, rows: Rows) -> None:
    at = running(rows, settings={"srmAction": "pause"})
    add_arm(rows, A, 5200, 150, at=at)
    add_arm(rows, B, 4800, 150, at=at)

    look()
    done = look(minutes=60)

    assert done.result["paused"] is True
    assert [name for name, _ in done.emitted] == ["alert.unusualActivity", "ab.testPaused"]
    assert columns(rows)[3] == "paused"
    kept = state(rows)
    assert (kept["last_status"], kept["status_seq"], kept["paused_reason"]) == ("paused", 1, "srm")


def test_visitors_sent_by_a_rule_make_the_split_check_void(look: Look, rows: Rows) -> None:
    at = running(rows)
    add_arm(rows, A, 5200, 150, at=at)
    add_arm(rows, B, 4800, 150, at=at)
    insert(rows, "ab_targeting_rules", {"test_id": TEST, "name": "vip", "action": "assign_variant"})

    look()

    assert state(rows)["srm_status"] == "not_applicable"


def test_counts_are_held_against_the_split_of_their_own_epoch(look: Look, rows: Rows) -> None:
    at = running(rows)
    add_epoch(rows, 2, at + timedelta(days=4), {A: 70, B: 30})
    for variant, first, second in ((A, 500, 1350), (B, 500, 650)):
        add_arm(rows, variant, first, 10, at=at)
        add_arm(rows, variant, second, 10, at=at + timedelta(days=5), mark="x")

    look()

    kept = state(rows)
    assert (kept["srm_status"], kept["srm_p"]) == ("none", near(0.0581801501))
    assert kept["results"]["srm"]["expected"] == {A: 1900, B: 1100}


def test_changed_split_with_a_changed_base_rate_shows_no_difference(look: Look, rows: Rows) -> None:
    """Pooled, these would differ with p 4.7e-7 (Simpson)."""
    at = running(rows)
    add_epoch(rows, 2, at + timedelta(days=4), {A: 10, B: 90})
    add_arm(rows, A, 5000, 100, at=at)
    add_arm(rows, B, 5000, 100, at=at)
    add_arm(rows, A, 1000, 50, at=at + timedelta(days=4), mark="x")
    add_arm(rows, B, 9000, 450, at=at + timedelta(days=4), mark="x")

    look()

    shown = state(rows)["results"]["variants"][B]
    assert (shown["difference"], shown["pFixed"]) == (pytest.approx(0, abs=1e-15), pytest.approx(1))
    assert shown["rate"] == near(550 / 14_000)


def test_visitors_of_an_override_enter_nothing(look: Look, rows: Rows) -> None:
    at = running(rows)
    add_epoch(rows, 2, at + timedelta(days=2), {B: 100}, reason="override")
    add_arm(rows, A, 200, 10, at=at)
    add_arm(rows, B, 200, 20, at=at)
    add_arm(rows, B, 500, 90, at=at + timedelta(days=3), mark="x")

    look()

    shown = state(rows)["results"]["variants"]
    assert [(shown[id]["n"], shown[id]["x"]) for id in (A, B)] == [(200, 10), (200, 20)]


def test_only_visitors_of_the_test_count(look: Look, rows: Rows) -> None:
    at = running(rows)
    add_test(rows, "other")
    add_arm(rows, A, 30, 3, at=at)
    add_arm(rows, B, 30, 3, at=at)
    add_arm(rows, B, 5, 5, at=at - timedelta(minutes=1), mark="before")
    add_arm(rows, "other_a", 7, 7, at=at, mark="foreign")
    add_arm(rows, B, 4, 4, at=at, mark="bot")
    rows.execute("UPDATE ab_visitors SET user_agent = 'SomeBot/1.0' WHERE visitor_id LIKE %s", (f"{B}bot-%",))
    add_arm(rows, A, 2, 2, at=at, mark="gone")
    rows.execute(
        "UPDATE ab_order_attributions SET excluded_reason = 'cancelled' WHERE visitor_id LIKE %s", (f"{A}gone-%",)
    )

    look()

    shown = state(rows)["results"]["variants"]
    assert {id: (arm["n"], arm["x"]) for id, arm in shown.items()} == {A: (32, 3), B: (30, 3)}


@pytest.mark.parametrize(
    ("goal", "event", "at_h", "converted"),
    [
        ("add_to_cart", "add_to_cart", 1, 1),
        ("view", "page_view", 1, 1),
        ("begin_checkout", "checkout_start", 1, 1),
        ("add_to_cart", "click", 1, 0),
        ("add_to_cart", "add_to_cart", -1, 0),
    ],
)
def test_goal_other_than_a_purchase_is_reached_by_an_event(
    look: Look, rows: Rows, goal: str, event: str, at_h: int, converted: int
) -> None:
    at = running(rows, goal_event=goal)
    add_arm(rows, A, 5, 5, at=at)
    add_arm(rows, B, 5, 0, at=at)
    for _ in range(2):
        values = {"test_id": TEST, "variant_id": B, "visitor_id": f"{B}-1", "event_type": event}
        insert(rows, "ab_events", {**values, "created_at": at + timedelta(hours=at_h)})

    look()

    shown = state(rows)["results"]["variants"]
    assert (shown[A]["x"], shown[B]["x"]) == (0, converted)


def test_revenue_counts_the_zeros_of_those_who_bought_nothing(look: Look, rows: Rows) -> None:
    """Welch of ten and twelve visitors, worked out with scipy."""
    at = running(rows, optimization_metric="revenue_per_visitor")
    arms = {A: (2500, 4000), B: (3000, 2800, 5200)}
    for variant, n in ((A, 10), (B, 12)):
        add_arm(rows, variant, n - len(arms[variant]), 0, at=at)
        for i, cents in enumerate(arms[variant]):
            add_arm(rows, variant, 1, 1, at=at, cents=cents, mark=f"buyer{i}")

    look()

    shown = state(rows)["results"]["variants"]
    assert (shown[A]["rpv"], shown[B]["rpv"]) == (650, near(916.6666667))
    assert (shown[B]["pFixed"], shown[B]["fixedInterval"]) == (
        near(0.6971976578),
        [near(-1142.466467), near(1675.7998)],
    )


@pytest.mark.parametrize(("settings", "cents"), [({}, 1_000_000 + 1_000), ({"outlierCap": False}, 1_000_000 + 900_000)])
def test_revenue_of_the_largest_buyer_is_capped(look: Look, rows: Rows, settings: dict[str, Any], cents: int) -> None:
    at = running(rows, optimization_metric="revenue_per_visitor", settings=settings)
    add_arm(rows, A, 500, 500, at=at, cents=1_000)
    add_arm(rows, B, 500, 500, at=at, cents=1_000)
    add_arm(rows, B, 1, 1, at=at, cents=900_000, mark="x")

    look()

    shown = state(rows)["results"]["variants"]
    assert shown[A]["revenueCents"] + shown[B]["revenueCents"] == cents


def test_contacts_before_the_assignment_take_noise_away(look: Look, rows: Rows) -> None:
    """The worked example: theta 1.29, an adjusted difference of 3.26 with p 0.0308 where the raw p is 0.584."""
    at = running(rows, optimization_metric="revenue_per_visitor", settings={"cuped": "primary"})
    money = {A: (0, 20, 0, 35, 10, 0, 40, 15), B: (5, 25, 0, 50, 12, 3, 44, 20)}
    before = {A: (0, 12, 2, 30, 8, 1, 33, 10), B: (2, 14, 1, 38, 6, 2, 30, 13)}
    for variant in (A, B):
        for i, (cents, touches) in enumerate(zip(money[variant], before[variant], strict=True)):
            add_arm(rows, variant, 1, int(cents > 0), at=at, cents=cents, mark=str(i))
            rows.execute(
                "INSERT INTO attribution_touchpoints (tenant_id, visitor_id, channel, occurred_at)"
                " SELECT 'acme', %s, 'direct', %s::timestamptz - interval '1 day' FROM generate_series(1, %s)",
                (f"{variant}{i}-1", at, touches),
            )
    late = {"tenant_id": "acme", "visitor_id": f"{A}0-1", "channel": "direct"}
    insert(rows, "attribution_touchpoints", {**late, "occurred_at": at})
    insert(rows, "attribution_touchpoints", {**late, "occurred_at": at - timedelta(days=15)})

    look()

    results = state(rows)["results"]
    assert results["cuped"] == {"theta": near(1.291280056), "varianceReduction": near(0.9662716056)}
    shown = results["variants"][B]
    assert (shown["difference"], shown["pFixed"]) == (near(3.26089993), near(0.03081768907))


def test_unlinked_orders_hold_a_winner_back(look: Look, rows: Rows) -> None:
    at = running(rows)
    winning(rows, at)
    rows.execute(
        "INSERT INTO ab_order_attributions (test_id, order_id, variant_id, method, ordered_at, currency, gross_cents,"
        " net_cents) SELECT 'test_1', 'u-' || i, 'test_1_b', 'cart_variant', %s, 'USD', 1000, 1000"
        " FROM generate_series(1, 150) i",
        (at + timedelta(hours=1),),
    )

    done = look()

    assert done.result["decision"] == "leading"
    assert state(rows)["needs_attention"] == ["unlinked_orders"]


def test_triggered_guardrail_holds_a_winner_back(look: Look, rows: Rows) -> None:
    winning(rows, running(rows))
    values = {"test_id": TEST, "name": "g", "metric": "refund_rate", "threshold": 10, "is_triggered": True}
    insert(rows, "ab_guardrails", values)

    assert look().result["decision"] == "leading"


@pytest.mark.parametrize(("days", "decision"), [(10, "leading"), (21.5, "winner")])
def test_last_days_that_contradict_hold_a_winner_back_for_two_weeks(
    look: Look, rows: Rows, days: float, decision: str
) -> None:
    winning(rows, running(rows, days=days))
    add_arm(rows, A, 100, 6, at=NOON - timedelta(days=2), mark="late")
    add_arm(rows, B, 100, 2, at=NOON - timedelta(days=2), mark="late")

    assert look().result["decision"] == decision


@pytest.mark.parametrize(("controls", "shares"), [(2, (50, 50)), (0, (50, 50)), (1, (100, 0))])
def test_test_that_cannot_be_judged_is_invalid(look: Look, rows: Rows, controls: int, shares: tuple[int, int]) -> None:
    running(rows, controls=controls, shares=shares)

    assert look().result["decision"] == "invalid"
    assert state(rows)["needs_attention"] == ["invalid_configuration"]


def test_running_test_without_shares_stays_marked(look: Look, rows: Rows) -> None:
    """Its visitors from before are still compared; that it gets no more is what somebody should know."""
    at = running(rows)
    add_arm(rows, A, 200, 10, at=at)
    add_arm(rows, B, 200, 10, at=at)
    rows.execute("UPDATE ab_variants SET traffic_allocation = 0, weight = 0")

    assert look().result["decision"] == "collecting"
    assert state(rows)["needs_attention"] == ["invalid_configuration"]


@pytest.mark.parametrize(
    ("tracking", "counts", "visitor", "estimated"),
    [
        ("counters", {"impressions": 900}, False, True),
        ("counters", {"impressions": 900, "visitors": 400}, False, False),
        ("counters", {"impressions": 900}, True, False),
        ("counters", {}, False, False),
        ("events", {"impressions": 900}, False, False),
    ],
)
def test_impressions_that_stand_for_visitors_are_told_and_judge_nothing(
    look: Look, rows: Rows, tracking: str, counts: dict[str, int], visitor: bool, estimated: bool
) -> None:
    at = running(rows, settings={"tracking": tracking})
    for variant in (A, B):
        batch = {"batch_id": variant, "test_id": TEST, "variant_id": variant, "bucket_date": at.date(), "to_at": at}
        insert(rows, "ab_counter_batches", {**batch, "fields": {}, "source_key": "k", **counts})
    if visitor:
        add_arm(rows, A, 1, 0, at=at)

    done = look()

    results = state(rows)["results"]
    assert (results["visitorsEstimated"], done.result["decision"]) == (estimated, "collecting")
    assert [arm["n"] for arm in results["variants"].values()] == [int(visitor), 0]


def test_completed_test_keeps_its_decision_and_follows_corrections(look: Look, rows: Rows) -> None:
    at = running(rows)
    winning(rows, at)
    look()
    rows.execute("UPDATE ab_tests SET status = 'completed', ended_at = %s", (NOON,))
    rows.execute("UPDATE ab_order_attributions SET excluded_reason = 'voided' WHERE variant_id = %s", (B,))

    done = look(minutes=60)

    assert (done.result["decision"], done.result["winner"], done.emitted) == ("winner", B, [])
    assert state(rows)["results"]["variants"][B]["x"] == 0
    assert columns(rows)[:3] == (B, B, True)
    assert state(rows)["sequential"]["conversion_rate"][B] == near(0.003860742119)


def test_later_look_is_not_undone_by_an_earlier_one(look: Look, rows: Rows) -> None:
    winning(rows, running(rows))
    look(minutes=60)
    before = state(rows)

    assert "decision" not in look().result
    assert state(rows) == before


def test_repaired_data_begin_anew(look: Look, rows: Rows) -> None:
    at = running(rows)
    add_arm(rows, A, 10_000, 300, at=at)
    add_arm(rows, B, 10_000, 360, at=at)
    wrong: dict[str, Any] = {"tau": {"conversion_rate": 0.5}, "sequential": {"conversion_rate": {B: 0.01}}}
    add_state(rows, **wrong)

    look()
    kept = state(rows)
    look(minutes=1, anew=True)

    assert (kept["sequential"], kept["tau"]) == (wrong["sequential"], wrong["tau"])
    assert state(rows)["sequential"]["conversion_rate"][B] == near(0.297932752)
    assert state(rows)["tau"]["conversion_rate"] == near(0.003)


def test_orders_shipped_at_another_rate_are_told_once_a_day(look: Look, rows: Rows) -> None:
    at = running(rows, type="shipping", optimization_metric="revenue_per_visitor")
    add_arm(rows, A, 100, 10, at=at)
    add_arm(rows, B, 100, 10, at=at)
    rows.execute(
        "INSERT INTO ab_shipping_attributions (test_id, variant_id, order_id, is_mismatch, net_revenue_cents)"
        " SELECT test_id, variant_id, order_id, order_id IN ('o-test_1_a-1', 'o-test_1_a-2', 'o-test_1_b-1'), 4649"
        " FROM ab_order_attributions"
    )

    first, second = look(), look(minutes=60)

    assert [event["dedupeKey"] for _, event in first.emitted] == ["ab-mismatch:test_1:2026-11-20"]
    assert first.emitted[0][1]["context"] == {"testId": TEST, "rate": 0.15}
    assert second.emitted == []
    assert state(rows)["needs_attention"] == ["shipping_mismatch"]
    assert state(rows)["results"]["variants"][A]["revenueCents"] == 46_490


def test_old_test_wants_attention_and_goes_on(look: Look, rows: Rows) -> None:
    running(rows, days=91)

    look()

    assert state(rows)["needs_attention"] == ["too_long"]
    assert columns(rows)[3] == "running"


def test_days_left_by_the_pace_of_the_last_full_days(look: Look, rows: Rows) -> None:
    at = running(rows, days=10)
    for variant, buyers in ((A, 30), (B, 30)):
        add_arm(rows, variant, 300, 9, at=at)
        add_arm(rows, variant, 700, buyers - 9, at=NOON - timedelta(days=3), mark="week")

    look()

    results = state(rows)["results"]
    assert results["neededPerArm"] == 53_211
    assert results["daysLeft"] == 523  # (53211 - 1000) / 100 a day
