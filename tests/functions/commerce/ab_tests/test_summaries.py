"""The morning's words: how tests stand, what bandits did. Told once a day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from functions.commerce.ab_tests.optimization_summary import convergence, gain_of
from functions.commerce.ab_tests.summaries import days_left_text, progress
from shared.fakes.resend import ResendFake
from shared.fakes.slack import SlackFake
from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver
from shared.jobs.testing.bench import Delivered
from tests.builders.ab_tests import TEST, add_arm, add_epoch, add_state, add_test, insert
from tests.conftest import Rows

NOON = datetime.fromisoformat("2026-11-20T12:00:00+00:00")
YESTERDAY = "2026-11-19"
A, B, C = "test_1_a", "test_1_b", "test_1_c"
Tell = Callable[..., Delivered]


@pytest.fixture
def channel(rows: Rows, tenant: Tenant, slack: SlackFake) -> Callable[[], list[Any]]:
    """The tenant's channel for summaries; the messages in it."""
    rows.execute(
        "INSERT INTO tenant_slack_channel_mappings (tenant_id, notification_type, channel_id, is_enabled)"
        " VALUES (%s, 'ab_test_summary', 'C00000001', true)",
        (tenant.organization_id,),
    )
    return lambda: list(slack.posted("C00000001"))


@pytest.fixture
def daily(deliver: Deliver) -> Tell:
    def tell(*, expect: str = "succeeded", **more: Any) -> Delivered:
        return deliver.job("ab-daily-metrics-summary", {"slot": NOON.isoformat(), **more}, expect=expect)

    return tell


@pytest.fixture
def bandits(deliver: Deliver) -> Tell:
    def tell(*, expect: str = "succeeded", **more: Any) -> Delivered:
        return deliver.job("ab-optimization-summary", {"slot": NOON.isoformat(), **more}, expect=expect)

    return tell


def running(rows: Rows, id: str = TEST, *, days: float = 10, **columns: Any) -> datetime:
    at = NOON - timedelta(days=days)
    add_test(rows, id, **{"status": "running", "started_at": at, **columns})
    return at


def day(rows: Rows, variant: str, visitors: int, purchases: int = 0, *, test: str = TEST) -> None:
    values = {"test_id": test, "variant_id": variant, "date": YESTERDAY, "visitors": visitors, "purchases": purchases}
    insert(rows, "ab_daily_metrics", {**values, "revenue_cents": purchases * 5_000})


def setting(rows: Rows, **value: Any) -> None:
    rows.execute("INSERT INTO tenant_config (key, value) VALUES ('ab.summary', %s)", (Jsonb(value),))


def sections(message: Any) -> list[str]:
    return [block["text"]["text"] for block in message.blocks if block["type"] == "section"]


# -- the day -----------------------------------------------------------------------------------------------------------


def test_day_is_told_with_the_always_valid_p(daily: Tell, rows: Rows, channel: Callable[[], list[Any]]) -> None:
    """300 and 360 of 10,000 after ten days: 10,000 of 53,211 are 18 percent."""
    at = running(rows)
    add_arm(rows, A, 10_000, 300, at=at)
    add_arm(rows, B, 10_000, 360, at=at)
    day(rows, A, 1_000, 30)
    day(rows, B, 990, 36)
    running(rows, "quiet")

    done = daily()

    assert done.result == {
        "date": YESTERDAY,
        "activeTests": 2,
        "significant": 0,
        "needAttention": 1,
        "slack": True,
        "mails": 0,
    }
    (message,) = channel()
    assert message.text == "A/B tests on 2026-11-19: 2 tests, 1 need attention"
    first, second = sections(message)
    assert first.startswith("*Test quiet (running): collecting*\nAttention: no visitors on the day")
    assert "Progress 18%" in second
    assert "day 990 visitors, 36 orders (3.64%), $1,800.00" in second
    assert "lift +20.0% [-0.2656, 1.4656] percentage points, p 0.2979 (adjusted 0.2979)" in second
    assert "0.0175" not in second


def test_significant_test_names_its_top_performer(daily: Tell, rows: Rows) -> None:
    at = running(rows)
    add_arm(rows, A, 15_000, 450, at=at)
    add_arm(rows, B, 15_000, 585, at=at)
    day(rows, B, 5)

    done = daily()

    assert (done.result["significant"], done.result["topPerformer"]) == (1, B)
    assert done.result["needAttention"] == 0
    assert [name for name, _ in done.emitted] == ["ab.winnerDetected"]


def test_proof_of_the_other_direction_makes_no_top_performer(daily: Tell, rows: Rows) -> None:
    """The running p is that of a loss; the gain of today is not proven."""
    running(rows)
    shown = {B: {"n": 900, "lift": 3.0, "pAdjusted": 0.01, "direction": -1}}
    add_state(rows, evaluated_at=NOON, results={"alpha": 0.05, "variants": shown})
    day(rows, B, 5)

    done = daily()

    assert (done.result["significant"], done.result.get("topPerformer")) == (0, None)


@pytest.mark.parametrize(("hours", "attention"), [(11, 0), (13, 1)], ids=["began today", "began yesterday"])
def test_day_before_the_start_needs_no_visitors(daily: Tell, rows: Rows, hours: int, attention: int) -> None:
    running(rows, days=hours / 24)

    assert daily().result["needAttention"] == attention


def test_results_that_are_fresh_are_not_made_anew(daily: Tell, rows: Rows) -> None:
    running(rows)
    add_state(rows, evaluated_at=NOON - timedelta(minutes=119), decision="leading")

    daily()

    assert rows("SELECT decision FROM ab_test_state") == [{"decision": "leading"}]


def test_many_tests_get_twenty_sections(daily: Tell, rows: Rows, channel: Callable[[], list[Any]]) -> None:
    for n in range(25):
        running(rows, f"t{n:02}")
        add_state(rows, f"t{n:02}", evaluated_at=NOON)
        day(rows, f"t{n:02}_a", n, test=f"t{n:02}")
    rows.execute("UPDATE ab_test_state SET needs_attention = '{srm}' WHERE test_id = 't07'")

    daily()

    told = sections(channel()[0])
    assert (len(told), told[-1]) == (21, "and 5 more")
    # Those that need attention first: t00 had no visitors.
    heads = [f"*Test {id} (running): collecting*" for id in ("t07", "t00", "t24", "t23")]
    assert [text.split("\n")[0] for text in told[:4]] == heads


def test_second_run_of_the_day_is_silent(
    daily: Tell, deliver: Deliver, rows: Rows, channel: Callable[[], list[Any]], resend: ResendFake
) -> None:
    running(rows)
    setting(rows, emails=["team@acme.test"])

    first = daily(recipientEmail="boss@acme.test")
    second = daily(slot=(NOON + timedelta(hours=1)).isoformat(), recipientEmail="boss@acme.test")

    assert (first.result["mails"], second.result["mails"]) == (2, 0)
    assert len(channel()) == 1
    keys = {row["dedupe_key"] for row in rows("SELECT dedupe_key FROM mail_messages")}
    assert {key[:20] for key in keys} == {"ab-daily:2026-11-19:"}
    assert {len(key) for key in keys} == {36}


def test_nobody_to_tell_is_no_error(daily: Tell, rows: Rows) -> None:
    running(rows)

    done = daily()

    assert (done.result["slack"], done.result["mails"]) == (False, 0)


def test_names_are_escaped_and_addresses_that_are_none_are_passed_over(
    daily: Tell, rows: Rows, channel: Callable[[], list[Any]]
) -> None:
    running(rows)
    rows.execute("UPDATE ab_variants SET name = '<b>x</b> & y' WHERE id = %s", (B,))

    done = daily(recipientEmail="nope")

    assert done.result["mails"] == 0
    assert "&lt;b&gt;x&lt;/b&gt; &amp; y: day 0 visitors" in sections(channel()[0])[0]


@pytest.mark.parametrize(("config", "more"), [({"slack": False}, {}), ({}, {"sendToSlack": False})])
def test_slack_is_left_out_where_it_is_not_wanted(
    daily: Tell, rows: Rows, channel: Callable[[], list[Any]], config: dict[str, Any], more: dict[str, Any]
) -> None:
    running(rows)
    setting(rows, **config)

    assert daily(**more).result["slack"] is False
    assert channel() == []


@pytest.mark.parametrize(("quiet", "messages"), [(False, 0), (True, 1)])
def test_day_without_tests_is_told_only_where_that_is_wanted(
    daily: Tell, rows: Rows, channel: Callable[[], list[Any]], quiet: bool, messages: int
) -> None:
    setting(rows, sendWhenQuiet=quiet)
    add_test(rows)
    running(rows, "old", status="completed", ended_at=NOON - timedelta(hours=25))

    assert daily().result["activeTests"] == 0
    assert len(channel()) == messages


def test_day_is_the_tenants_own(daily: Tell, rows: Rows, tenant: Tenant) -> None:
    rows.execute(
        """UPDATE public.organizations SET settings = '{"timezone": "Pacific/Auckland"}' WHERE id = %s""",
        (tenant.organization_id,),
    )

    assert daily().result["date"] == "2026-11-20"  # it is the 21st there


def test_slack_that_asks_for_patience_is_tried_again(
    daily: Tell, rows: Rows, slack: SlackFake, channel: Callable[[], list[Any]]
) -> None:
    running(rows)
    slack.fail("429")

    assert daily(expect="deferred").code == "SLACK_RATE_LIMITED"


def test_answer_that_is_no_bool_is_refused(daily: Tell) -> None:
    assert daily(sendToSlack="maybe", expect="dead").code == "INVALID_PAYLOAD"


@pytest.mark.parametrize(("days", "text"), [(None, "unknown"), (0, "0"), (180, "180"), (181, "more than 180")])
def test_far_ends_are_only_called_far(days: int | None, text: str) -> None:
    assert days_left_text(days) == text


def test_progress_needs_a_baseline() -> None:
    assert progress({"neededPerArm": None, "variants": {A: {"n": 5}}}) is None
    assert progress({"neededPerArm": 10, "variants": {A: {"n": 50}, B: {"n": 12}}}) == 100


# -- bandits -----------------------------------------------------------------------------------------------------------


def test_gain_and_convergence_by_the_worked_example() -> None:
    gain = gain_of([(2700, 41 / 1002), (3000, 53 / 1002), (4300, 62 / 1002)])

    assert gain is not None
    assert gain.units == pytest.approx(16.26746507)
    assert gain.percent == pytest.approx(3.134615385)
    assert convergence([27, 30, 43]) == pytest.approx(0.0191, abs=5e-5)
    assert convergence([50, 50]) == pytest.approx(0)


def bandit(rows: Rows, **state: Any) -> None:
    """Three arms with 40, 52 and 61 conversions of 1,000 each, twice given a new split in the last day."""
    at = running(rows, shares=(27, 30, 43), mode="thompson")
    add_epoch(rows, 1, at, {A: 34, B: 33, C: 33})
    add_epoch(rows, 2, NOON - timedelta(hours=30), {A: 33, B: 33, C: 34}, reason="bandit")
    details = {"previous": {A: 33, B: 33, C: 34}}
    add_epoch(rows, 3, NOON - timedelta(hours=20), {A: 30, B: 32, C: 38}, reason="bandit", details=details)
    add_epoch(rows, 4, NOON - timedelta(hours=10), {A: 28, B: 31, C: 41}, reason="manual")
    add_epoch(rows, 5, NOON - timedelta(hours=2), {A: 27, B: 30, C: 43}, reason="bandit")
    for variant, n, buyers in ((A, 1_000, 40), (B, 1_000, 52), (C, 1_000, 61)):
        add_arm(rows, variant, n, buyers, at=at)
    shown = {A: {"pBest": 0.008}, B: {"pBest": 0.19}, C: {"pBest": 0.802, "expectedLoss": 0.0005}}
    add_state(rows, **{"evaluated_at": NOON, "results": {"variants": shown}, **state})


def test_bandits_are_told(bandits: Tell, rows: Rows, channel: Callable[[], list[Any]]) -> None:
    bandit(rows)

    done = bandits()

    assert (done.result["date"], done.result["tests"], done.result["changes"]) == ("2026-11-20", 1, 2)
    assert (done.result["converging"], done.result["recommendations"], done.result["slack"]) == (0, [], True)
    (message,) = channel()
    (told,) = sections(message)
    assert "Shares 33/33/34 -&gt; 27/30/43" in told
    assert "Convergence 0.0191" in told
    assert "Variant 2: best with 80.2%, expected loss 0.0005" in told
    assert "Gain against an equal split: 0 conversions (+0.00%)" in told


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ({"needs_attention": ["srm"], "decision": "winner"}, "check_quality"),
        ({"decision": "winner"}, "conclude"),
        ({"decision": "control_wins"}, "conclude"),
        ({"results": {"variants": {C: {"pBest": 0.93}}, "daysLeft": 60}}, "converging"),
        ({"results": {"daysLeft": 31}}, "more_traffic"),
        ({"results": {"daysLeft": 30}}, None),
    ],
)
def test_one_recommendation_per_test(bandits: Tell, rows: Rows, state: dict[str, Any], kind: str | None) -> None:
    bandit(rows, **state)

    assert bandits().result["recommendations"] == ([{"testId": TEST, "kind": kind}] if kind else [])


@pytest.mark.parametrize(("marks", "kinds"), [([], []), (["srm"], ["check_quality"])])
def test_test_that_is_over_is_not_to_be_ended(bandits: Tell, rows: Rows, marks: list[str], kinds: list[str]) -> None:
    bandit(rows, decision="winner", needs_attention=marks)
    rows.execute("UPDATE ab_tests SET status = 'completed', ended_at = %s", (NOON,))

    assert [each["kind"] for each in bandits().result["recommendations"]] == kinds


def test_recommendations_may_be_left_out(bandits: Tell, rows: Rows) -> None:
    bandit(rows, decision="winner")

    assert bandits(includeRecommendations=False).result["recommendations"] == []


def test_arm_without_visitors_after_a_week_wants_traffic(bandits: Tell, rows: Rows) -> None:
    running(rows, mode="mab", days=8)

    assert bandits().result["recommendations"] == [{"testId": TEST, "kind": "more_traffic"}]


def test_gain_of_a_test_by_revenue_is_money(bandits: Tell, rows: Rows, channel: Callable[[], list[Any]]) -> None:
    at = running(rows, mode="mab", optimization_metric="revenue_per_visitor")
    add_arm(rows, A, 100, 10, at=at, cents=5_000)
    add_arm(rows, B, 300, 60, at=at, cents=5_000)

    bandits()

    # 100 * 500 + 300 * 1000 less 400 * 750
    assert "Gain against an equal split: $500.00 (+16.67%)" in sections(channel()[0])[0]


def test_without_bandits_nothing_is_told(bandits: Tell, rows: Rows, channel: Callable[[], list[Any]]) -> None:
    running(rows)

    assert bandits().result["tests"] == 0
    assert channel() == []


def test_bandits_are_told_once_a_day(
    bandits: Tell, rows: Rows, channel: Callable[[], list[Any]], resend: ResendFake
) -> None:
    bandit(rows)
    setting(rows, emails=["team@acme.test"])

    assert bandits().result["mails"] == 1
    assert bandits(slot=(NOON + timedelta(hours=1)).isoformat()).result["mails"] == 0
    assert len(channel()) == 1


def test_slot_that_is_no_instant_is_refused(bandits: Tell) -> None:
    assert bandits(slot="soon", expect="dead").code == "INVALID_PAYLOAD"


# -- the clock ---------------------------------------------------------------------------------------------------------


def published(bench: Bench, job_id: str, at: datetime) -> list[tuple[str, dict[str, Any]]]:
    """What a tick publishes."""
    events = bench.tick(job_id, at).published
    return [(name, {key: value for key, value in detail.items() if key != "_meta"}) for name, detail in events]


EIGHT, NINE = (NOON.replace(hour=hour) for hour in (8, 9))


@pytest.mark.parametrize(
    ("columns", "config", "due"),
    [
        ({"status": "running"}, {}, True),
        ({"status": "paused"}, {}, True),
        ({"status": "completed", "ended_at": NOON - timedelta(hours=23)}, {}, True),
        ({"status": "completed", "ended_at": NOON - timedelta(hours=25)}, {}, False),
        ({"status": "draft"}, {}, False),
        ({"status": "draft"}, {"sendWhenQuiet": True}, True),
    ],
)
def test_morning_starts_tenants_that_have_something_to_tell(
    bench: Bench, rows: Rows, columns: dict[str, Any], config: dict[str, Any], due: bool
) -> None:
    add_test(rows, **columns)
    setting(rows, **config)

    told = published(bench, "ab-daily-summary-scheduled", EIGHT)

    assert told == ([("ab.dailySummary", {"tenantId": "acme", "slot": "2026-11-20T08:00:00Z"})] if due else [])


@pytest.mark.parametrize(
    ("columns", "split_h", "due"),
    [
        ({"status": "running", "mode": "mab"}, None, True),
        ({"status": "running", "settings": {"optimization": "thompson"}}, None, True),
        ({"status": "running"}, None, False),
        ({"status": "paused", "mode": "mab"}, None, False),
        ({"status": "completed", "mode": "mab"}, 23, True),
        ({"status": "completed", "mode": "mab"}, 25, False),
    ],
)
def test_morning_starts_tenants_whose_bandits_did_something(
    bench: Bench, rows: Rows, columns: dict[str, Any], split_h: int | None, due: bool
) -> None:
    add_test(rows, **columns)
    if split_h is not None:
        add_epoch(rows, 2, NOON - timedelta(hours=split_h), {A: 50, B: 50}, reason="bandit")

    told = published(bench, "ab-optimization-summary-scheduled", NINE)

    payload = {"tenantId": "acme", "includeRecommendations": True, "slot": "2026-11-20T09:00:00Z"}
    assert told == ([("ab.optimizationSummary", payload)] if due else [])
