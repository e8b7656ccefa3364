"""Contracts of the A/B tests. `slot` is the instant that a run decides by; it is a schedule's tick, or left out."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BeforeValidator, Field, StringConstraints

from shared.events.base import Event, VendorId

AbId = Annotated[str, StringConstraints(min_length=1, max_length=255)]
"""An id of ab_tests, ab_variants or ab_guardrails."""


def _whole_percents(value: Any) -> Any:
    """Refuse before any key is looked at: an error that names a key would show what was sent."""
    if isinstance(value, dict) and not all(
        isinstance(share, int) and not isinstance(share, bool) and 0 <= share <= 100 for share in value.values()
    ):
        raise ValueError("weights must be whole percents")
    return value


Weights = Annotated[dict[str, int], BeforeValidator(_whole_percents)]
"""Percent by variant id."""
EndedReason = Literal["scheduled", "significance", "guardrail", "manual"]


class AbOrderReconcile(Event, name="ab.orderReconcile", from_apps=True):
    """Assign orders to the variants their visitors saw: one order, a span of order time, or what changed since."""

    start_time: AwareDatetime | None = None
    end_time: AwareDatetime | None = None
    start_date: AwareDatetime | None = None
    """Other name of startTime."""
    test_id: str | None = None
    order_id: VendorId | None = None
    slot: AwareDatetime | None = None


class AbOrderReconcileManual(Event, name="ab.orderReconcileManual", from_apps=True):
    """Judge one order anew, for one test or all, and say why."""

    order_id: VendorId
    test_id: AbId | None = None


class AbScheduleCheck(Event, name="ab.scheduleCheck", from_apps=True):
    """Start and end what is due, and tell what an application changed."""

    slot: AwareDatetime | None = None


class AbTestCreated(Event, name="ab.testCreated", from_apps=True):
    """A test was drawn up. `variants` counts them as they were announced."""

    test_id: AbId
    name: str
    variants: Annotated[int, Field(ge=0)]


class AbTestStarted(Event, name="ab.testStarted", from_apps=True):
    """A test runs, for the first time or again."""

    test_id: AbId
    at: AwareDatetime | None = None
    resumed: bool = False


class AbTestPaused(Event, name="ab.testPaused", to_apps=True):
    """A test stands still: an administrator, a guardrail or a wrong traffic split has paused it."""

    test_id: AbId
    reason: Literal["manual", "guardrail", "srm"]
    guardrail_id: str | None = None
    change_percent: float | None = None


class AbTestEnded(Event, name="ab.testEnded", from_apps=True):
    """A test is over; `winningVariant` is absent when there is none."""

    test_id: AbId
    winning_variant: AbId | None = None
    reason: EndedReason = "manual"
    at: AwareDatetime | None = None


class AbMetricsAggregate(Event, name="ab.metricsAggregate", from_apps=True):
    """Recount the days that a span touches, and judge the tests."""

    test_id: AbId | None = None
    hour: AwareDatetime | None = None
    """Start of a full hour."""
    period: Literal["hourly", "daily", "full"] = "hourly"
    slot: AwareDatetime | None = None


class AbTestMetricsAggregate(Event, name="ab.testMetricsAggregate", from_apps=True):
    """Repair one test: recount it, judge it anew, show before and after."""

    test_id: AbId
    period: Literal["hourly", "daily", "full"]
    """`full`: since the start, its orders attributed anew first."""


class AbCounterSync(Event, name="ab.counterSync", from_apps=True):
    """Take the storefront's counters in, of some tests or of all live ones."""

    test_ids: Annotated[list[AbId], Field(max_length=200)] | None = None
    force_sync: bool = False
    """Whether counters that were taken in less than ten minutes ago are asked for again."""
    slot: AwareDatetime | None = None


class AbNightlyReconcile(Event, name="ab.nightlyReconcile", from_apps=True):
    """Recount the last days from the raw rows and check the data."""

    reconciliation_date: date | None = None
    """A tenant-local day that is over; absent: the last one."""
    full_reconciliation: bool = False
    """Every day of every live test."""
    slot: AwareDatetime | None = None


class AbOptimize(Event, name="ab.optimize", from_apps=True):
    """Look at the guardrails, and at the bandit tests whose weights are due."""

    test_id: AbId | None = None
    algorithm: Literal["mab", "thompson", "epsilon_greedy"] | None = None
    epsilon: Annotated[float, Field(ge=0, le=0.5)] | None = None
    slot: AwareDatetime | None = None


class AbOptimizeTest(Event, name="ab.optimizeTest", from_apps=True):
    """Compute the next split of one bandit test. `currentVariantWeights`: what a person saw who asks for it."""

    test_id: AbId
    algorithm: Literal["mab", "thompson", "epsilon_greedy"]
    epsilon: Annotated[float, Field(ge=0, le=0.5)] | None = None
    current_variant_weights: Weights | None = None
    slot: AwareDatetime | None = None


class AbAllocationChanged(Event, name="ab.allocationChanged", to_apps=True):
    """New visitors are split anew: percent by variant id."""

    test_id: AbId
    epoch: int
    weights: dict[str, int]
    previous: dict[str, int]


class AbWinnerDetected(Event, name="ab.winnerDetected", to_apps=True):
    """A test has its result. `lift` is in percent; `auto`: the test ends by itself now."""

    test_id: AbId
    variant_id: AbId
    decision: Literal["winner", "control_wins"]
    lift: float | None = None
    p_value: float | None = None
    p_best: float | None = None
    """Of a bandit's winner: how probable it is that this arm is the best."""
    auto: bool


class AbDailySummary(Event, name="ab.dailySummary", from_apps=True):
    """Tell the team how its tests stand."""

    send_to_slack: bool | None = None
    recipient_email: str | None = None
    """Besides the addresses that are set."""
    slot: AwareDatetime | None = None


class AbOptimizationSummary(Event, name="ab.optimizationSummary", from_apps=True):
    """Tell the team what the bandits did in the last day."""

    include_recommendations: bool = True
    slot: AwareDatetime | None = None
