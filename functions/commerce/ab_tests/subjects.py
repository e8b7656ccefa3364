"""A test as its judges see it: what is measured, since when, by which splits, and what is known of it already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from functions.commerce.ab_tests.daily import hold_tests
from functions.commerce.ab_tests.rules import VARIANTS, Variant, by_test
from shared.jobs import Session
from shared.jobs.context import Row

Metric = Literal["conversion_rate", "revenue_per_visitor", "average_order_value"]
Algorithm = Literal["thompson", "epsilon_greedy"]
Cuped = Literal["off", "report", "primary"]
ALGORITHMS: Mapping[str, Algorithm] = {"mab": "thompson", "thompson": "thompson", "epsilon_greedy": "epsilon_greedy"}
METRICS: Mapping[str, Metric] = {
    "conversion_rate": "conversion_rate",
    "revenue": "revenue_per_visitor",
    "revenue_per_visitor": "revenue_per_visitor",
    "average_order_value": "average_order_value",
}
PURCHASE = "purchase"
SYNONYMS = (frozenset({"view", "page_view"}), frozenset({"checkout_start", "begin_checkout"}))
"""Words of ab_events.event_type that mean the same."""
CONFIDENCE, CONFIDENCES = 0.95, (0.50, 0.999)
MDE_REL, MDE_RANGE = 0.10, (0.01, 1.0)
"""The relative effect that tests are planned for."""
EXPLORATION, EPSILONS = 0.10, (0.0, 0.5)
"""Share of a bandit's traffic that is spread evenly."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """A span with one split. `shares`: variant id -> percent."""

    number: int
    started_at: datetime
    shares: Mapping[str, int]

    @property
    def analysed(self) -> bool:
        """Whether visitors were split at all: an override sends all of them to one arm."""
        return sum(share > 0 for share in self.shares.values()) >= 2


@dataclass(frozen=True, slots=True)
class Subject:
    """`test` is the row of TEST, `state` that of ab_test_state (empty when there is none)."""

    test: Row
    state: Row
    variants: tuple[Variant, ...]
    epochs: tuple[Epoch, ...]

    @property
    def id(self) -> str:
        return str(self.test["id"])

    @property
    def status(self) -> str:
        return str(self.test["status"])

    @property
    def started_at(self) -> datetime | None:
        """None when nothing has begun: no start, no split, no visitor."""
        found: datetime | None = self.test["started_at"]
        return found

    def until(self, slot: datetime) -> datetime:
        """The end of what counts."""
        found: datetime = self.test["ended_at"] or slot
        return found

    def age(self, slot: datetime) -> timedelta:
        return slot - self.started_at if self.started_at else timedelta()

    @property
    def settings(self) -> Mapping[str, Any]:
        found = self.test["settings"]
        return found if isinstance(found, dict) else {}

    @property
    def metric(self) -> Metric:
        return METRICS.get(str(self.test["metric"]), "conversion_rate")

    @property
    def goals(self) -> list[str]:
        """Event types that make a visitor converted; empty: an order does."""
        goal = self.test["goal_event"] or PURCHASE
        return [] if goal == PURCHASE else sorted(next((words for words in SYNONYMS if goal in words), {goal}))

    @property
    def alpha(self) -> float:
        return 1 - within(self.test["confidence"], CONFIDENCES, CONFIDENCE)

    @property
    def effect(self) -> float:
        return within(self.settings.get("minDetectableEffect"), MDE_RANGE, MDE_REL)

    @property
    def algorithm(self) -> Algorithm | None:
        """How a bandit test shifts traffic; None: a test of fixed shares."""
        mode = str(self.test["mode"] or "")
        return ALGORITHMS.get(mode) or ALGORITHMS.get(str(self.settings.get("optimization")))

    @property
    def epsilon(self) -> float:
        return within(self.settings.get("epsilon"), EPSILONS, EXPLORATION)

    @property
    def cuped(self) -> Cuped:
        given = self.settings.get("cuped")
        if self.metric != "revenue_per_visitor":
            return "off"
        return given if given in ("off", "primary") else "report"

    @property
    def capped(self) -> bool:
        """Whether the revenue of the largest buyers is capped."""
        return self.settings.get("outlierCap", True) is not False

    @property
    def controls(self) -> list[Variant]:
        return [variant for variant in self.variants if variant.is_control]


def within(value: Any, bounds: tuple[float, float], default: float) -> float:
    """A number of a setting, the default where it is none or out of bounds."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return default
    return number if bounds[0] <= number <= bounds[1] else default


HOLD = """
-- A/B judging: tests, held before their state rows as the scheduler does it
SELECT id FROM ab_tests WHERE id = ANY(%(ids)s) ORDER BY id FOR NO KEY UPDATE
"""

TEST = """
-- A/B judging: a test, and what stands against a decision
SELECT t.id, t.name, t.status, t.mode, COALESCE(t.settings, '{}') AS settings, t.optimization_metric AS metric,
       t.goal_event, t.confidence_level AS confidence, t.ended_at, COALESCE(t.auto_end, false) AS auto_end,
       t.traffic_override_variant_id AS override, 'shipping' IN (t.type, t.test_type) AS shipping,
       COALESCE(t.winner_variant_id, t.winning_variant_id) AS winner, COALESCE(t.is_significant, false) AS significant,
       COALESCE(t.started_at, LEAST(
           (SELECT min(e.started_at) FROM ab_allocation_epochs e WHERE e.test_id = t.id),
           (SELECT min(w.assigned_at) FROM ab_visitors w WHERE w.test_id = t.id))) AS started_at,
       EXISTS (SELECT FROM ab_guardrails g WHERE g.test_id = t.id AND g.is_triggered) AS guarded,
       COALESCE(t.settings ->> 'tracking', 'events') = 'counters'
       AND NOT EXISTS (SELECT FROM ab_visitors w WHERE w.test_id = t.id)
       AND EXISTS (SELECT FROM ab_counter_batches b WHERE b.test_id = t.id GROUP BY b.variant_id, b.bucket_date
                   HAVING sum(b.visitors) <= 0 AND sum(b.impressions) > 0) AS estimated,
       EXISTS (SELECT FROM ab_targeting_rules r WHERE r.test_id = t.id AND r.action = 'assign_variant') AS forced,
       o.orders, o.unlinked, o.revenue_cents, m.shipped, m.mismatched
FROM ab_tests t
CROSS JOIN LATERAL (SELECT count(*)::integer AS orders,
                           (count(*) FILTER (WHERE a.visitor_id IS NULL))::integer AS unlinked,
                           COALESCE(sum(a.net_cents), 0)::bigint AS revenue_cents
                    FROM ab_order_attributions a WHERE a.test_id = t.id AND a.excluded_reason IS NULL) o
CROSS JOIN LATERAL (SELECT count(*)::integer AS shipped,
                           (count(*) FILTER (WHERE s.is_mismatch))::integer AS mismatched
                    FROM ab_order_attributions a
                    JOIN ab_shipping_attributions s ON s.test_id = a.test_id AND s.order_id = a.order_id
                    WHERE a.test_id = t.id AND a.excluded_reason IS NULL AND 'shipping' IN (t.type, t.test_type)) m
WHERE t.id = %(test_id)s
"""

STATE = """
-- A/B judging: what is known of a test
SELECT * FROM ab_test_state WHERE test_id = %(test_id)s
"""

EPOCHS = """
-- A/B judging: the splits of a test
SELECT epoch, started_at, shares FROM ab_allocation_epochs WHERE test_id = %(test_id)s ORDER BY epoch
"""


def hold(session: Session, test_ids: Sequence[str], now: datetime) -> list[str]:
    """Lock tests and their state rows until the transaction ends; the ids that exist."""
    found = [row["id"] for row in session.all(HOLD, {"ids": sorted(test_ids)})]
    hold_tests(session, found, now)
    return found


def subject_of(session: Session, test_id: str) -> Subject | None:
    """The test, None when there is none. To decide about it, hold it first."""
    names = {"test_id": test_id}
    test = session.one(TEST, names)
    if test is None:
        return None
    variants = by_test(session.all(VARIANTS, {"ids": [test_id]})).get(test_id, [])
    epochs = [Epoch(row["epoch"], row["started_at"], row["shares"]) for row in session.all(EPOCHS, names)]
    if not epochs and test["started_at"] is not None:  # the scheduler has not seen it yet
        epochs = [Epoch(1, test["started_at"], {v.id: v.share or 0 for v in variants})]
    return Subject(test, session.one(STATE, names) or {}, tuple(variants), tuple(epochs))
