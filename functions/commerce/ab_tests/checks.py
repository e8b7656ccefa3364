"""What the night compares: stored numbers with recounted ones, counters with events, and rows with each other."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from psycopg.types.json import Jsonb

from shared.jobs import JobContext, Session
from shared.jobs.context import Row

NUMBERS = (
    "visitors",
    "unique_visitors",
    "page_views",
    "add_to_carts",
    "begin_checkouts",
    "purchases",
    "revenue_cents",
)
DRIFT_SHARE, DRIFT_LEAST = 0.05, 20
"""Counters and events may differ by that share of the larger, and by that number."""
MOVED_SHARE, MOVED_LEAST_CENTS = 0.30, 10_000
"""A recount that moves a test's revenue by more than both is told."""
Days = Collection[tuple[str, date]]

STORED = """
-- A/B night: the stored numbers of days of tests
SELECT m.test_id, m.variant_id, m.date, m.visitors, m.unique_visitors, m.page_views, m.add_to_carts, m.begin_checkouts,
       m.purchases, m.revenue_cents
FROM unnest(%(tests)s::text[], %(dates)s::date[]) AS d (test_id, date)
JOIN ab_daily_metrics m USING (test_id, date)
ORDER BY m.test_id, m.variant_id, m.date
"""

COUNTED = """
-- A/B night: what counters and rows say of the same days, of tests that have counters at all
WITH days AS (SELECT * FROM unnest(%(tests)s::text[], %(dates)s::date[]) AS d (test_id, date)),
counters AS (
  SELECT b.test_id, sum(b.impressions) AS impressions, sum(b.conversions) AS conversions,
         sum(b.revenue_cents) AS revenue
  FROM days d JOIN ab_counter_batches b ON b.test_id = d.test_id AND b.bucket_date = d.date GROUP BY 1),
stored AS (
  SELECT m.test_id, sum(m.page_views) AS page_views, sum(m.purchases) AS purchases,
         sum(m.revenue_cents) AS revenue_cents
  FROM days d JOIN ab_daily_metrics m USING (test_id, date) GROUP BY 1)
SELECT t.id AS test_id, COALESCE(t.settings ->> 'tracking', 'events') = 'counters' AS by_counters,
       COALESCE(c.impressions, 0)::bigint AS impressions, COALESCE(s.page_views, 0)::bigint AS page_views,
       COALESCE(c.conversions, 0)::bigint AS conversions, COALESCE(s.purchases, 0)::bigint AS purchases,
       COALESCE(c.revenue, 0)::bigint AS revenue, COALESCE(s.revenue_cents, 0)::bigint AS revenue_cents
FROM ab_tests t
LEFT JOIN counters c ON c.test_id = t.id
LEFT JOIN stored s ON s.test_id = t.id
WHERE t.id IN (SELECT test_id FROM days) AND EXISTS (SELECT FROM ab_counter_batches b WHERE b.test_id = t.id)
ORDER BY t.id
"""

KEEP_COMPARISON = """
-- A/B night: both numbers of tests whose counters drift; of others, none
UPDATE ab_test_state s SET results = CASE WHEN c.numbers IS NULL THEN s.results - 'counterDrift'
                                          ELSE s.results || jsonb_build_object('counterDrift', c.numbers) END
FROM unnest(%(ids)s::text[], %(numbers)s::jsonb[]) AS c (test_id, numbers)
WHERE s.test_id = c.test_id AND s.results -> 'counterDrift' IS DISTINCT FROM c.numbers
"""

STRAY = """
-- A/B night: rows that do not fit together
SELECT (SELECT count(*) FROM ab_variants v WHERE NOT EXISTS (SELECT FROM ab_tests t WHERE t.id = v.test_id))
           AS variants_without_test,
       (SELECT count(*) FROM ab_visitors w JOIN ab_variants v ON v.id = w.variant_id AND v.test_id <> w.test_id
        WHERE w.test_id = ANY(%(ids)s)) AS visitors_of_other_tests
"""

CLOSE_DOUBLE_EPOCHS = """
-- A/B night: of several open splits only the newest stays open
UPDATE ab_allocation_epochs e SET ended_at = GREATEST(e.started_at, n.started_at)
FROM (SELECT DISTINCT ON (test_id) test_id, epoch, started_at FROM ab_allocation_epochs
      WHERE test_id = ANY(%(ids)s) AND ended_at IS NULL ORDER BY test_id, epoch DESC) n
WHERE e.test_id = n.test_id AND e.epoch < n.epoch AND e.ended_at IS NULL
"""

WITHOUT_SHARES = """
-- A/B night: running tests that send visitors nowhere
SELECT t.id FROM ab_tests t
WHERE t.id = ANY(%(ids)s) AND t.status = 'running'
  AND COALESCE((SELECT sum(COALESCE(v.traffic_allocation, v.weight)) FROM ab_variants v WHERE v.test_id = t.id), 0) = 0
"""


# -- stored and recounted ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """One number that was not what a recount gives."""

    test_id: str
    variant_id: str
    date: date
    column: str
    stored: int
    recounted: int

    def shown(self) -> str:
        """For the log: ids and numbers."""
        return f"{self.test_id}/{self.variant_id} {self.date} {self.column}: {self.stored} -> {self.recounted}"


@dataclass(slots=True)
class Revenue:
    """A test's revenue over the days, before and after a recount."""

    stored_cents: int = 0
    recounted_cents: int = 0

    @property
    def moved(self) -> bool:
        """Whether it has changed so much that somebody should know."""
        change = abs(self.recounted_cents - self.stored_cents)
        return change > MOVED_LEAST_CENTS and change > MOVED_SHARE * self.recounted_cents


@dataclass(slots=True)
class Comparison:
    """What a recount has changed."""

    differences: list[Difference] = field(default_factory=list)
    revenue: dict[str, Revenue] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        return len({(d.test_id, d.variant_id, d.date) for d in self.differences})


def stored_rows(session: Session, days: Days) -> list[Row]:
    """The daily rows of days of tests."""
    return session.all(STORED, _names(days))


def compared(before: Iterable[Row], after: Iterable[Row]) -> Comparison:
    """Daily rows before and after a recount; a row that is not there is all zeros."""
    found = Comparison()
    old = {_identity(row): row for row in before}
    for row in after:
        stored = old.get(_identity(row), dict.fromkeys(NUMBERS, 0))
        sums = found.revenue.setdefault(row["test_id"], Revenue())
        sums.stored_cents += stored["revenue_cents"]
        sums.recounted_cents += row["revenue_cents"]
        found.differences += [
            Difference(*_identity(row), name, stored[name], row[name]) for name in NUMBERS if stored[name] != row[name]
        ]
    return found


def _identity(row: Row) -> tuple[str, str, date]:
    return row["test_id"], row["variant_id"], row["date"]


# -- counters and events -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Counted:
    """What counters say and what rows say, by the counter's name."""

    test_id: str
    by_counters: bool
    pairs: Mapping[str, tuple[int, int]]

    @property
    def drifts(self) -> bool:
        return any(apart(*pair) for pair in self.pairs.values())

    @property
    def missing_orders(self) -> int:
        """Conversions that a test which counts by counters has no order for."""
        conversions, purchases = self.pairs["conversions"]
        return max(0, conversions - purchases) if self.by_counters else 0


def apart(counted: int, recorded: int) -> bool:
    """Whether two counts differ by more than 5 percent of the larger and by more than 20.

    >>> apart(1000, 1040), apart(1000, 1100)
    (False, True)
    """
    difference = abs(counted - recorded)
    return difference > DRIFT_LEAST and difference > DRIFT_SHARE * max(counted, recorded)


def compare_counters(session: Session, days: Days) -> list[Counted]:
    """Counters against rows for each test that has counters; what drifts is kept in its results."""
    found = [_counted(row) for row in session.all(COUNTED, _names(days))]
    names = {
        "ids": [each.test_id for each in found],
        "numbers": [Jsonb({k: list(v) for k, v in each.pairs.items()}) if each.drifts else None for each in found],
    }
    if found:
        session.execute(KEEP_COMPARISON, names)
    return found


def _counted(row: Row) -> Counted:
    pairs = {"conversions": (row["conversions"], row["purchases"])}
    if not row["by_counters"]:  # else the rows are the counters
        pairs |= {
            "impressions": (row["impressions"], row["page_views"]),
            "revenue": (row["revenue"], row["revenue_cents"]),
        }
    return Counted(row["test_id"], row["by_counters"], pairs)


# -- rows that do not fit ----------------------------------------------------------------------------------------------


def check_rows(ctx: JobContext, session: Session, test_ids: Sequence[str]) -> set[str]:
    """Mend what can be mended, log what cannot; the running tests that send visitors nowhere."""
    names = {"ids": list(test_ids)}
    stray = session.one(STRAY, names) or {}
    closed = session.execute(CLOSE_DOUBLE_EPOCHS, names)
    if any(stray.values()) or closed:
        ctx.log.warning("A/B rows do not fit together", extra={**stray, "epochs_closed": closed})
    return {row["id"] for row in session.all(WITHOUT_SHARES, names)}


def _names(days: Days) -> dict[str, Any]:
    wanted = sorted(days)
    return {"tests": [test_id for test_id, _ in wanted], "dates": [day for _, day in wanted]}
