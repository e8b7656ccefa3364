"""The daily numbers of tests that the admin app reads: always recounted from the raw rows and set, never added to.

A day is one of the tenant's zone. A test that counts by counters (settings.tracking) takes its views from the batches
of Redis once there is one; without Redis it counts by events like all others.

Bots are told by their user agent, of which there are few: it is looked at once per agent and day, because a regular
expression costs more than all the rest.

The rows of ab_test_state are locked first, in a statement of its own: two recounts at once can then never overwrite
newer numbers with older ones.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from shared.jobs import Session
from shared.time import day_bounds

BOTS = "(bot|crawl|spider|slurp|headless|lighthouse|pingdom|uptime|preview|facebookexternalhit)"
"""user_agent of visitors that count nowhere, case-insensitive."""
RECOUNT_TIMEOUT_S = 200.0
"""Statement timeout of a session that counts many tests or days: some 10 s per million events on a small server."""

ENSURE_STATES = """
-- A/B numbers: a state row for every test; its status has not been announced yet
INSERT INTO ab_test_state (test_id, created_at, updated_at)
SELECT t.id, %(now)s, %(now)s FROM ab_tests t WHERE t.id = ANY(%(ids)s) ORDER BY t.id
ON CONFLICT (test_id) DO NOTHING
"""

LOCK_STATES = """
-- A/B numbers: one recount of a test at a time
SELECT test_id FROM ab_test_state WHERE test_id = ANY(%(ids)s) ORDER BY test_id FOR UPDATE
"""

# `first` and `last` say once more what the spans say: the planner sees them, and reads a day of a large table by index.
RECOUNT = """
-- A/B numbers: count days of tests anew; each event is read once, and only those of these days
WITH days AS (
  SELECT d.*, COALESCE(t.settings ->> 'tracking', 'events') = 'counters'
              AND EXISTS (SELECT FROM ab_counter_batches b WHERE b.test_id = d.test_id) AS by_counters,
         NOT EXISTS (SELECT FROM ab_visitors w WHERE w.test_id = d.test_id) AS unseen
  FROM unnest(%(tests)s::text[], %(dates)s::date[], %(froms)s::timestamptz[], %(tos)s::timestamptz[],
              %(spans)s::integer[]) AS d (test_id, date, from_at, to_at, span)
  JOIN ab_tests t ON t.id = d.test_id),
spans AS (
  SELECT test_id, min(date) AS first, min(from_at) AS from_at, max(to_at) AS to_at,
         array_agg(from_at ORDER BY from_at) AS starts
  FROM days GROUP BY test_id, span),
acts AS (
  SELECT w.test_id, w.variant_id, s.first + width_bucket(w.assigned_at, s.starts) - 1 AS date, w.visitor_id,
         1 AS assigned, 0 AS page_views, 0 AS add_to_carts, 0 AS begin_checkouts
  FROM spans s
  JOIN ab_visitors w ON w.test_id = s.test_id AND w.assigned_at >= s.from_at AND w.assigned_at < s.to_at
  WHERE w.test_id = ANY(%(tests)s) AND w.assigned_at >= %(first)s AND w.assigned_at < %(last)s
  UNION ALL
  SELECT e.test_id, e.variant_id, s.first + width_bucket(e.created_at, s.starts) - 1, e.visitor_id, 0,
         (e.event_type IN ('page_view', 'view'))::integer, (e.event_type = 'add_to_cart')::integer,
         (e.event_type IN ('begin_checkout', 'checkout_start'))::integer
  FROM spans s
  JOIN ab_events e ON e.test_id = s.test_id AND e.created_at >= s.from_at AND e.created_at < s.to_at
  WHERE e.test_id = ANY(%(tests)s) AND e.created_at >= %(first)s AND e.created_at < %(last)s),
people AS (
  SELECT test_id, variant_id, date, visitor_id, sum(assigned) AS assigned, sum(page_views) AS page_views,
         sum(add_to_carts) AS add_to_carts, sum(begin_checkouts) AS begin_checkouts
  FROM acts GROUP BY 1, 2, 3, 4),
agents AS (
  SELECT p.test_id, p.variant_id, p.date, w.user_agent, sum(p.assigned) AS visitors, count(*) AS unique_visitors,
         sum(p.page_views) AS page_views, sum(p.add_to_carts) AS add_to_carts,
         sum(p.begin_checkouts) AS begin_checkouts
  FROM people p
  LEFT JOIN ab_visitors w ON w.test_id = p.test_id AND w.visitor_id = p.visitor_id
  GROUP BY 1, 2, 3, 4),
seen AS (
  SELECT test_id, variant_id, date, sum(visitors) AS visitors, sum(unique_visitors) AS unique_visitors,
         sum(page_views) AS page_views, sum(add_to_carts) AS add_to_carts, sum(begin_checkouts) AS begin_checkouts
  FROM agents
  WHERE COALESCE(user_agent, '') !~* %(bots)s
  GROUP BY 1, 2, 3),
sums AS (
  SELECT b.test_id, b.variant_id, b.bucket_date AS date,
         CASE WHEN sum(b.visitors) > 0 THEN sum(b.visitors) ELSE sum(b.impressions) END AS visitors,
         sum(b.impressions) AS page_views, sum(b.add_to_carts) AS add_to_carts,
         sum(b.begin_checkouts) AS begin_checkouts
  FROM days d JOIN ab_counter_batches b ON b.test_id = d.test_id AND b.bucket_date = d.date
  WHERE d.by_counters GROUP BY 1, 2, 3),
counted AS (  -- within what a column can hold: a storefront that counts nonsense must not stop its test for good
  SELECT test_id, variant_id, date, GREATEST(0, LEAST(2147483647, visitors)) AS visitors,
         GREATEST(0, LEAST(2147483647, page_views)) AS page_views,
         GREATEST(0, LEAST(2147483647, add_to_carts)) AS add_to_carts,
         GREATEST(0, LEAST(2147483647, begin_checkouts)) AS begin_checkouts
  FROM sums),
bought AS (
  SELECT a.test_id, a.variant_id, s.first + width_bucket(a.ordered_at, s.starts) - 1 AS date, count(*) AS purchases,
         sum(a.net_cents) AS revenue_cents
  FROM spans s
  JOIN ab_order_attributions a ON a.test_id = s.test_id AND a.ordered_at >= s.from_at AND a.ordered_at < s.to_at
  WHERE a.excluded_reason IS NULL AND a.test_id = ANY(%(tests)s) AND a.ordered_at >= %(first)s
    AND a.ordered_at < %(last)s
  GROUP BY 1, 2, 3),
numbers AS (
  SELECT v.test_id, v.id AS variant_id, d.date,
         COALESCE(CASE WHEN d.by_counters AND d.unseen THEN c.visitors ELSE s.visitors END, 0)::integer AS visitors,
         COALESCE(s.unique_visitors, 0)::integer AS unique_visitors,
         COALESCE(CASE WHEN d.by_counters THEN c.page_views ELSE s.page_views END, 0)::integer AS page_views,
         COALESCE(CASE WHEN d.by_counters THEN c.add_to_carts ELSE s.add_to_carts END, 0)::integer AS add_to_carts,
         COALESCE(CASE WHEN d.by_counters THEN c.begin_checkouts ELSE s.begin_checkouts END, 0)::integer
             AS begin_checkouts,
         COALESCE(b.purchases, 0)::integer AS purchases, COALESCE(b.revenue_cents, 0)::bigint AS revenue_cents
  FROM days d
  JOIN ab_variants v ON v.test_id = d.test_id
  LEFT JOIN seen s ON s.test_id = v.test_id AND s.variant_id = v.id AND s.date = d.date
  LEFT JOIN counted c ON c.test_id = v.test_id AND c.variant_id = v.id AND c.date = d.date
  LEFT JOIN bought b ON b.test_id = v.test_id AND b.variant_id = v.id AND b.date = d.date)
INSERT INTO ab_daily_metrics AS m (tenant_id, test_id, variant_id, date, visitors, unique_visitors, page_views,
                                   add_to_carts, begin_checkouts, purchases, revenue_cents)
SELECT %(slug)s, n.*
FROM numbers n
LEFT JOIN ab_daily_metrics o USING (test_id, variant_id, date)
WHERE o.id IS NOT NULL OR (n.visitors, n.unique_visitors, n.page_views, n.add_to_carts, n.begin_checkouts,
                           n.purchases, n.revenue_cents) <> (0, 0, 0, 0, 0, 0, 0)
ORDER BY n.test_id, n.variant_id, n.date
ON CONFLICT (test_id, variant_id, date) DO UPDATE SET
    visitors = EXCLUDED.visitors, unique_visitors = EXCLUDED.unique_visitors, page_views = EXCLUDED.page_views,
    add_to_carts = EXCLUDED.add_to_carts, begin_checkouts = EXCLUDED.begin_checkouts,
    purchases = EXCLUDED.purchases, revenue_cents = EXCLUDED.revenue_cents
WHERE (m.visitors, m.unique_visitors, m.page_views, m.add_to_carts, m.begin_checkouts, m.purchases, m.revenue_cents)
      IS DISTINCT FROM
      (EXCLUDED.visitors, EXCLUDED.unique_visitors, EXCLUDED.page_views, EXCLUDED.add_to_carts,
       EXCLUDED.begin_checkouts, EXCLUDED.purchases, EXCLUDED.revenue_cents)
"""


def hold_tests(session: Session, test_ids: Collection[str], now: datetime) -> None:
    """Make sure of the state rows of tests and lock them until the transaction ends, in order of id."""
    ids = sorted(test_ids)
    session.execute(ENSURE_STATES, {"ids": ids, "now": now})
    session.all(LOCK_STATES, {"ids": ids})


def recount(session: Session, days: Collection[tuple[str, date]], zone: ZoneInfo, *, slug: str) -> int:
    """Count (test id, local day) pairs anew; how many rows changed. The tests must be held (hold_tests)."""
    wanted = sorted(days)
    if not wanted:
        return 0
    bounds = [day_bounds(day, zone) for _, day in wanted]
    params = {
        "tests": [test_id for test_id, _ in wanted],
        "dates": [day for _, day in wanted],
        "froms": [start for start, _ in bounds],
        "tos": [end for _, end in bounds],
        "spans": _spans(wanted),
        "first": min(start for start, _ in bounds),
        "last": max(end for _, end in bounds),
        "bots": BOTS,
        "slug": slug,
    }
    return session.execute(RECOUNT, params)


def _spans(days: Sequence[tuple[str, date]]) -> list[int]:
    """For each of the sorted days the number of its span: days of a test without a gap are read in one go."""
    numbers: list[int] = []
    for n, (test_id, day) in enumerate(days):
        follows = n > 0 and days[n - 1] == (test_id, day - timedelta(days=1))
        numbers.append(numbers[-1] if follows else n)
    return numbers
