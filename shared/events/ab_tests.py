"""Contracts of the A/B tests. `slot` is the instant that a run decides by; it is a schedule's tick, or left out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from shared.events.base import Event, VendorId

AbId = Annotated[str, StringConstraints(min_length=1, max_length=255)]
"""An id of ab_tests, ab_variants or ab_guardrails."""
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


class AbOptimize(Event, name="ab.optimize", from_apps=True):
    """Look at the guardrails, and at the bandit tests whose weights are due."""

    test_id: AbId | None = None
    algorithm: Literal["mab", "thompson", "epsilon_greedy"] | None = None
    epsilon: Annotated[float, Field(ge=0, le=0.5)] | None = None
    slot: AwareDatetime | None = None
