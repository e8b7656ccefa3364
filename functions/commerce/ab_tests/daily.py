"""The daily numbers of tests that the admin app reads: always recounted from the raw rows and set, never added to.

A day is one of the tenant's zone. The rows of ab_test_state are locked first, in a statement of its own: two recounts
at once can then never overwrite newer numbers with older ones.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, datetime
from zoneinfo import ZoneInfo

from shared.jobs import Session
from shared.time import day_bounds

BOTS = "(bot|crawl|spider|slurp|headless|lighthouse|pingdom|uptime|preview|facebookexternalhit)"
"""user_agent of visitors that count nowhere, case-insensitive."""

ENSURE_STATES = """
-- A/B numbers: a state row for every test
INSERT INTO ab_test_state (test_id, last_status, created_at, updated_at)
SELECT t.id, t.status, %(now)s, %(now)s FROM ab_tests t WHERE t.id = ANY(%(ids)s) ORDER BY t.id
ON CONFLICT (test_id) DO NOTHING
"""

LOCK_STATES = """
-- A/B numbers: one recount of a test at a time
SELECT test_id FROM ab_test_state WHERE test_id = ANY(%(ids)s) ORDER BY test_id FOR UPDATE
"""

RECOUNT = """
-- A/B numbers: count days of tests anew
WITH days AS (
  SELECT d.*, COALESCE(t.settings ->> 'tracking', 'events') = 'counters' AS by_counters,
         NOT EXISTS (SELECT FROM ab_visitors w WHERE w.test_id = d.test_id) AS unseen
  FROM unnest(%(tests)s::text[], %(dates)s::date[], %(froms)s::timestamptz[], %(tos)s::timestamptz[])
       AS d (test_id, date, from_at, to_at)
  JOIN ab_tests t ON t.id = d.test_id),
seen AS (
  SELECT w.test_id, w.variant_id, d.date, w.visitor_id
  FROM days d
  JOIN ab_visitors w ON w.test_id = d.test_id AND w.assigned_at >= d.from_at AND w.assigned_at < d.to_at
  WHERE COALESCE(w.user_agent, '') !~* %(bots)s),
happened AS (
  SELECT e.test_id, e.variant_id, d.date, e.visitor_id, e.event_type
  FROM days d
  JOIN ab_events e ON e.test_id = d.test_id AND e.created_at >= d.from_at AND e.created_at < d.to_at
  WHERE NOT EXISTS (SELECT FROM ab_visitors w
                    WHERE w.test_id = e.test_id AND w.visitor_id = e.visitor_id AND w.user_agent ~* %(bots)s)),
parts AS (
  SELECT test_id, variant_id, date, count(*) AS visitors, 0 AS page_views, 0 AS add_to_carts, 0 AS begin_checkouts,
         0 AS purchases, 0::bigint AS revenue_cents
  FROM seen GROUP BY 1, 2, 3
  UNION ALL
  SELECT h.test_id, h.variant_id, h.date, 0, count(*) FILTER (WHERE h.event_type IN ('page_view', 'view')),
         count(*) FILTER (WHERE h.event_type = 'add_to_cart'),
         count(*) FILTER (WHERE h.event_type IN ('begin_checkout', 'checkout_start')), 0, 0
  FROM happened h JOIN days d USING (test_id, date) WHERE NOT d.by_counters GROUP BY 1, 2, 3
  UNION ALL
  SELECT b.test_id, b.variant_id, b.bucket_date,
         CASE WHEN d.unseen THEN GREATEST(0, CASE WHEN sum(b.visitors) > 0 THEN sum(b.visitors)
                                                  ELSE sum(b.impressions) END) ELSE 0 END,
         GREATEST(0, sum(b.impressions)), GREATEST(0, sum(b.add_to_carts)), GREATEST(0, sum(b.begin_checkouts)), 0, 0
  FROM days d JOIN ab_counter_batches b ON b.test_id = d.test_id AND b.bucket_date = d.date
  WHERE d.by_counters GROUP BY 1, 2, 3, d.unseen
  UNION ALL
  SELECT a.test_id, a.variant_id, d.date, 0, 0, 0, 0, count(*), sum(a.net_cents)
  FROM days d
  JOIN ab_order_attributions a ON a.test_id = d.test_id AND a.ordered_at >= d.from_at AND a.ordered_at < d.to_at
  WHERE a.excluded_reason IS NULL GROUP BY 1, 2, 3),
numbers AS (
  SELECT v.test_id, v.id AS variant_id, d.date, COALESCE(sum(p.visitors), 0)::integer AS visitors,
         (SELECT count(*) FROM (SELECT visitor_id FROM seen s
                                WHERE s.test_id = v.test_id AND s.variant_id = v.id AND s.date = d.date
                                UNION SELECT visitor_id FROM happened h
                                WHERE h.test_id = v.test_id AND h.variant_id = v.id AND h.date = d.date) u
         )::integer AS unique_visitors,
         COALESCE(sum(p.page_views), 0)::integer AS page_views,
         COALESCE(sum(p.add_to_carts), 0)::integer AS add_to_carts,
         COALESCE(sum(p.begin_checkouts), 0)::integer AS begin_checkouts,
         COALESCE(sum(p.purchases), 0)::integer AS purchases, COALESCE(sum(p.revenue_cents), 0) AS revenue_cents
  FROM days d
  JOIN ab_variants v ON v.test_id = d.test_id
  LEFT JOIN parts p ON p.test_id = v.test_id AND p.variant_id = v.id AND p.date = d.date
  GROUP BY v.test_id, v.id, d.date)
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
        "bots": BOTS,
        "slug": slug,
    }
    return session.execute(RECOUNT, params)
