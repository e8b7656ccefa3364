"""What the visitors of a test did, as sums per arm, epoch and age: everything that judges it is made of these.

The unit is the visitor, in the arm that was recorded first, whatever happened later. A row of sums: visitors,
converted ones, orders and money with their squares and products.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Literal

from functions.commerce.ab_tests.daily import BOTS
from functions.commerce.ab_tests.subjects import Subject
from shared.jobs import Session
from shared.stats import Paired, RatioSums, Sums

RECENT = timedelta(days=7)
"""STABILITY_DAYS: visitors of this last span must not contradict the whole."""
MATURITY = timedelta(hours=2)
"""BANDIT_MATURITY: the order of a younger visitor may still come."""
COVARIATE_DAYS = 14
WINSOR, WINSOR_BUYERS = 0.999, 1000
"""Quantile of buyers' revenue that caps it, and the buyers it needs."""
Age = Literal["old", "recent", "fresh"]


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over `n` visitors. Money in cents; `touches` are contacts before the assignment (the covariate)."""

    n: int = 0
    converted: int = 0
    buyers: int = 0
    revenue: int = 0
    revenue_squares: int = 0
    orders: int = 0
    order_squares: int = 0
    revenue_orders: int = 0
    touches: int = 0
    touch_squares: int = 0
    touch_revenue: int = 0
    touched: int = 0
    """Visitors with a contact before."""
    week: int = 0
    """Visitors of the last full days, see Days."""

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Tally)))

    @property
    def money(self) -> Sums:
        """Revenue per visitor, zeros of those who bought nothing included."""
        return Sums(self.n, self.revenue, self.revenue_squares)

    @property
    def order_value(self) -> RatioSums:
        return RatioSums(self.money, Sums(self.n, self.orders, self.order_squares), self.revenue_orders)

    @property
    def paired(self) -> Paired:
        return Paired(self.money, Sums(self.n, self.touches, self.touch_squares), self.touch_revenue)


Arms = dict[str, Tally]
"""By variant id."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """All sums of a test: (epoch, variant id, age) -> Tally. Epochs that are not analysed are not in it."""

    cells: dict[tuple[int, str, Age], Tally]

    def epochs(self, ages: Iterable[Age] = ("old", "recent", "fresh")) -> list[Arms]:
        """Arms per epoch, in order of time."""
        found: dict[int, Arms] = {}
        for (epoch, variant_id, age), tally in sorted(self.cells.items()):
            if age in ages:
                arms = found.setdefault(epoch, {})
                arms[variant_id] = arms.get(variant_id, Tally()) + tally
        return list(found.values())

    def by_epoch(self) -> dict[int, Arms]:
        found: dict[int, Arms] = {}
        for (epoch, variant_id, _), tally in self.cells.items():
            arms = found.setdefault(epoch, {})
            arms[variant_id] = arms.get(variant_id, Tally()) + tally
        return found


def pooled(epochs: Iterable[Arms]) -> Arms:
    """Arms over all epochs."""
    found: Arms = {}
    for arms in epochs:
        for variant_id, tally in arms.items():
            found[variant_id] = found.get(variant_id, Tally()) + tally
    return found


def merged(epochs: Iterable[Arms], enough: Callable[[Arms], bool]) -> list[Arms]:
    """Epochs that are too small joined with the following one, the last with the one before."""
    found: list[Arms] = []
    waiting: Arms = {}
    for arms in epochs:
        waiting = pooled((waiting, arms))
        if enough(waiting):
            found.append(waiting)
            waiting = {}
    if waiting and found:
        found[-1] = pooled((found[-1], waiting))
    elif waiting:
        found.append(waiting)
    return found


# One row per visitor by grouping what is known of him, not by joins: a test that has just begun has no statistics, and
# a nested loop over its visitors would be quadratic.
SUMS = """
-- A/B judging: what the visitors of a test did
WITH people AS (
  SELECT w.visitor_id, w.variant_id, w.assigned_at
  FROM ab_visitors w
  WHERE w.test_id = %(test_id)s AND w.assigned_at >= %(from_at)s AND w.assigned_at < %(until)s
    AND COALESCE(w.user_agent, '') !~* %(bots)s
    AND w.variant_id IN (SELECT v.id FROM ab_variants v WHERE v.test_id = %(test_id)s)),
facts AS (
  SELECT p.visitor_id, p.variant_id, p.assigned_at, NULL::timestamptz AS reached_at, 0 AS orders, 0::bigint AS cents,
         0::bigint AS touches
  FROM people p
  UNION ALL
  SELECT a.visitor_id, NULL, NULL, NULL, 1, COALESCE(s.net_revenue_cents, a.net_cents), 0
  FROM ab_order_attributions a
  LEFT JOIN ab_shipping_attributions s ON %(shipping)s AND s.test_id = a.test_id AND s.order_id = a.order_id
  WHERE a.test_id = %(test_id)s AND a.visitor_id IS NOT NULL AND a.excluded_reason IS NULL
    AND a.ordered_at < %(end_at)s
  UNION ALL
  SELECT e.visitor_id, NULL, NULL, e.created_at, 0, 0, 0
  FROM ab_events e
  WHERE %(by_event)s AND e.test_id = %(test_id)s AND e.event_type = ANY(%(goals)s) AND e.created_at < %(end_at)s
  UNION ALL
  SELECT p.visitor_id, NULL, NULL, NULL, 0, 0, t.touches
  FROM people p
  CROSS JOIN LATERAL (
    SELECT count(*) AS touches FROM attribution_touchpoints c
    WHERE c.visitor_id = p.visitor_id AND c.occurred_at < p.assigned_at
      AND c.occurred_at >= p.assigned_at - make_interval(days => %(covariate_days)s)) t
  WHERE %(covariate)s),
visitors AS (
  SELECT max(f.variant_id) AS variant_id, max(f.assigned_at) AS assigned_at,
         GREATEST(1, width_bucket(max(f.assigned_at), %(starts)s::timestamptz[])) AS epoch,
         CASE WHEN %(by_event)s THEN COALESCE(max(f.reached_at) >= max(f.assigned_at), false)
              ELSE sum(f.orders) > 0 END AS converted,
         sum(f.orders)::numeric AS orders, sum(f.cents)::numeric AS cents, sum(f.touches)::numeric AS touches
  FROM facts f GROUP BY f.visitor_id HAVING max(f.variant_id) IS NOT NULL),
counted AS MATERIALIZED (SELECT * FROM visitors WHERE epoch = ANY(%(analysed)s)),
cap AS (
  SELECT CASE WHEN %(capped)s AND count(*) >= %(buyers)s
              THEN percentile_disc(%(winsor)s) WITHIN GROUP (ORDER BY cents) END AS cents
  FROM counted WHERE orders > 0),
outcomes AS (
  SELECT c.*, LEAST(c.cents, (SELECT cap.cents FROM cap)) AS capped
  FROM counted c)
SELECT o.epoch, o.variant_id,
       CASE WHEN o.assigned_at >= %(fresh)s THEN 'fresh' WHEN o.assigned_at >= %(recent)s THEN 'recent'
            ELSE 'old' END AS age,
       count(*) AS n, count(*) FILTER (WHERE o.converted) AS converted, count(*) FILTER (WHERE o.orders > 0) AS buyers,
       sum(o.capped) AS revenue, sum(o.capped * o.capped) AS revenue_squares, sum(o.orders) AS orders,
       sum(o.orders * o.orders) AS order_squares, sum(o.capped * o.orders) AS revenue_orders,
       sum(o.touches) AS touches, sum(o.touches * o.touches) AS touch_squares,
       sum(o.touches * o.capped) AS touch_revenue, count(*) FILTER (WHERE o.touches > 0) AS touched,
       count(*) FILTER (WHERE o.assigned_at >= %(week_from)s AND o.assigned_at < %(week_to)s) AS week
FROM outcomes o
GROUP BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class Week:
    """The last full days, as instants, and how many there are: for the pace of a test."""

    start: datetime
    end: datetime
    days: int


def read_sums(
    session: Session,
    subject: Subject,
    slot: datetime,
    *,
    week: Week | None = None,
    from_at: datetime | None = None,
    until: datetime | None = None,
) -> Sheet:
    """The sums of a test at `slot`; of visitors assigned in [from_at, until) where these are given."""
    if subject.started_at is None:
        return Sheet({})
    end_at = subject.until(slot)
    goals = subject.goals
    params = {
        "test_id": subject.id,
        "starts": [epoch.started_at for epoch in subject.epochs],
        "analysed": [n for n, epoch in enumerate(subject.epochs, 1) if epoch.analysed],
        "from_at": max(subject.started_at, from_at) if from_at else subject.started_at,
        "until": min(end_at, until) if until else end_at,
        "end_at": end_at,
        "bots": BOTS,
        "shipping": bool(subject.test["shipping"]),
        "by_event": bool(goals),
        "goals": goals,
        "capped": subject.capped,
        "buyers": WINSOR_BUYERS,
        "winsor": WINSOR,
        "covariate": subject.cuped != "off",
        "covariate_days": COVARIATE_DAYS,
        "fresh": end_at - MATURITY,
        "recent": end_at - RECENT,
        "week_from": week.start if week else end_at,
        "week_to": week.end if week else end_at,
    }
    names = [f.name for f in fields(Tally)]
    return Sheet(
        {
            (row["epoch"], row["variant_id"], row["age"]): Tally(*(int(row[name]) for name in names))
            for row in session.all(SUMS, params)
        }
    )
