"""What the attribution of orders reads and writes, in SQL: every statement serves a whole page of orders."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from functions.commerce.ab_tests.evidence import CartAttributes, Records
from shared.jobs import Session
from shared.jobs.context import Row

ORDER_COLUMNS = """
SELECT o.id, o.updated_at, f.placed_at AS ordered_at, o.customer_id, o.attribution_data, o.currency,
       COALESCE(o.shopify_id, o.shopify_order_id) AS legacy_id,
       array_remove(ARRAY[o.id, o.shopify_order_id, o.shopify_id], NULL) AS ids,
       f.net_sales_cents::integer AS gross_cents, f.refunded_net_cents::integer AS refunded_cents,
       f.total_cents::integer AS total_cents, COALESCE(o.shipping_cents, 0) AS shipping_cents,
       COALESCE(o.tags, '{}') AS tags, o.cancelled_at IS NOT NULL OR o.status::text = 'cancelled' AS cancelled,
       o.financial_status::text = 'voided' AS voided,
       o.attribution_data -> 'test' IS NOT DISTINCT FROM 'true'::jsonb AS is_test
FROM orders o JOIN order_figures f ON f.order_id = o.id
"""

CHANGED_ORDERS = f"""
-- A/B orders: the next orders that changed
{ORDER_COLUMNS}
WHERE o.id IN (SELECT c.id FROM orders c
               WHERE (c.updated_at, c.id) > (%(from_at)s::timestamptz, %(from_id)s) AND c.updated_at < %(until)s
               ORDER BY c.updated_at, c.id LIMIT %(page)s)
ORDER BY o.updated_at, o.id
"""  # noqa: S608  # put together from constants

PLACED_ORDERS = f"""
-- A/B orders: the next orders of a span of order time
{ORDER_COLUMNS}
WHERE o.id IN (SELECT c.id FROM orders c
               WHERE (COALESCE(c.order_placed_at, c.created_at), c.id) > (%(from_at)s::timestamptz, %(from_id)s)
                 AND COALESCE(c.order_placed_at, c.created_at) < %(until)s
               ORDER BY COALESCE(c.order_placed_at, c.created_at), c.id LIMIT %(page)s)
ORDER BY f.placed_at, o.id
"""  # noqa: S608  # put together from constants

ORDERS_BY_ID = f"""
-- A/B orders: orders by id
{ORDER_COLUMNS}
WHERE o.id = ANY(%(ids)s) ORDER BY o.id
"""

TRIALS = """
-- A/B orders: the tests that can take orders, with the instant from which they ran
SELECT t.id, t.status = 'completed' AS completed, t.ended_at, t.settings ->> 'attributionWindowDays' AS window_days,
       'shipping' IN (t.type, t.test_type) AS shipping, COALESCE(t.shipping_config, '{}') AS config,
       COALESCE(t.started_at, LEAST(
           (SELECT min(e.started_at) FROM ab_allocation_epochs e WHERE e.test_id = t.id),
           (SELECT min(w.assigned_at) FROM ab_visitors w WHERE w.test_id = t.id))) AS started_at
FROM ab_tests t
WHERE (%(test_id)s::text IS NULL OR t.id = %(test_id)s) AND t.status <> 'draft'
  AND (%(any_age)s OR t.status IN ('running', 'paused') OR t.ended_at > %(oldest)s)
ORDER BY t.id
"""

EVENTS = """
-- A/B orders: purchases that the storefront recorded
SELECT e.test_id, e.order_id, e.variant_id, e.visitor_id
FROM ab_events e
WHERE e.order_id = ANY(%(orders)s) AND e.test_id = ANY(%(tests)s) AND e.event_type = 'purchase'
  AND left(e.id, 4) <> 'abe_'
ORDER BY e.created_at, e.id
"""

ASSIGNMENTS = """
-- A/B orders: assignments of sessions, and of customers
SELECT a.id, a.test_id, a.variant_id, a.session_id, a.customer_id, a.assigned_at
FROM ab_test_assignments a
WHERE a.test_id = ANY(%(tests)s) AND (a.session_id = ANY(%(sessions)s) OR a.customer_id = ANY(%(customers)s))
ORDER BY a.assigned_at, a.id
"""

VISITORS = """
-- A/B orders: visitors by id, and by session
SELECT w.test_id, w.visitor_id, w.variant_id, w.session_id, w.assigned_at
FROM ab_visitors w
WHERE w.test_id = ANY(%(tests)s) AND (w.visitor_id = ANY(%(visitors)s) OR w.session_id = ANY(%(sessions)s))
ORDER BY w.assigned_at, w.id
"""

HELD = """
-- A/B orders: what is attributed already
SELECT test_id, order_id, variant_id, visitor_id, session_id, customer_id, method, conflict, assigned_at, ordered_at,
       currency, gross_cents, refunded_cents, net_cents, excluded_reason
FROM ab_order_attributions WHERE order_id = ANY(%(orders)s) AND test_id = ANY(%(tests)s)
"""

HELD_SHIPPING = """
-- A/B orders: what is known of the shipping of attributed orders
SELECT test_id, order_id, actual_shipping_method, actual_shipping_price_cents, shipping_cost_cents
FROM ab_shipping_attributions WHERE order_id = ANY(%(orders)s) AND test_id = ANY(%(tests)s)
"""

KEEP_NOTES = """
-- A/B orders: cart attributes that Shopify was asked for; an empty object says that there are none
UPDATE orders o
SET attribution_data = jsonb_set(CASE WHEN jsonb_typeof(o.attribution_data) = 'object' THEN o.attribution_data
                                      ELSE '{}' END, '{noteAttributes}', n.notes)
FROM unnest(%(ids)s::text[], %(notes)s::jsonb[]) AS n (id, notes)
WHERE o.id = n.id AND o.attribution_data -> 'noteAttributes' IS DISTINCT FROM n.notes
"""

KEEP = """
-- A/B orders: attributions
INSERT INTO ab_order_attributions (test_id, order_id, variant_id, visitor_id, session_id, customer_id, method, conflict,
                                   assigned_at, ordered_at, currency, gross_cents, refunded_cents, net_cents,
                                   excluded_reason, created_at, updated_at)
SELECT r.*, %(now)s, %(now)s
FROM jsonb_to_recordset(%(rows)s) AS r (test_id text, order_id text, variant_id text, visitor_id text, session_id text,
     customer_id text, method text, conflict boolean, assigned_at timestamptz, ordered_at timestamptz, currency text,
     gross_cents integer, refunded_cents integer, net_cents integer, excluded_reason text)
ORDER BY r.test_id, r.order_id
ON CONFLICT (test_id, order_id) DO UPDATE SET
    variant_id = EXCLUDED.variant_id, visitor_id = EXCLUDED.visitor_id, session_id = EXCLUDED.session_id,
    customer_id = EXCLUDED.customer_id, method = EXCLUDED.method, conflict = EXCLUDED.conflict,
    assigned_at = EXCLUDED.assigned_at, ordered_at = EXCLUDED.ordered_at, currency = EXCLUDED.currency,
    gross_cents = EXCLUDED.gross_cents, refunded_cents = EXCLUDED.refunded_cents, net_cents = EXCLUDED.net_cents,
    excluded_reason = EXCLUDED.excluded_reason, updated_at = EXCLUDED.updated_at
"""

# The mirrors follow the truth of these (test, order) pairs: what no longer counts goes, the rest is set. An arm that is
# deleted takes its rows in the applications' tables along; ours keep what was. `told`: what gets an event of ours.
MIRRORED = """
WITH pairs AS (
  SELECT p.*, left(encode(sha256(convert_to(p.test_id || ':' || p.order_id, 'UTF8')), 'hex'), 32) AS digest
  FROM unnest(%(tests)s::text[], %(orders)s::text[]) AS p (test_id, order_id)),
rows AS (
  SELECT a.*, p.digest
  FROM pairs p JOIN ab_order_attributions a USING (test_id, order_id)
  WHERE a.excluded_reason IS NULL
    AND EXISTS (SELECT FROM ab_variants v WHERE v.id = a.variant_id AND v.test_id = a.test_id)),
told AS (
  SELECT r.* FROM rows r JOIN orders o ON o.id = r.order_id
  WHERE r.visitor_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM ab_events e
                    WHERE e.test_id = r.test_id AND e.event_type = 'purchase' AND left(e.id, 4) <> 'abe_'
                      AND e.order_id IN (o.id, o.shopify_order_id, o.shopify_id)))
"""

DROP_MIRRORS = f"""
-- A/B orders: mirrors of attributions that do not count, and events that the storefront has recorded itself since
{MIRRORED}, dropped AS (
  DELETE FROM ab_events e USING pairs p
  WHERE e.id = 'abe_' || p.digest AND NOT EXISTS (SELECT FROM told t WHERE t.digest = p.digest))
DELETE FROM ab_test_conversions c USING pairs p
WHERE c.id = 'abc_' || p.digest AND NOT EXISTS (SELECT FROM rows r WHERE r.digest = p.digest)
"""  # noqa: S608  # put together from constants

MIRROR_CONVERSIONS = f"""
-- A/B orders: attributions as the applications read them
{MIRRORED}
INSERT INTO ab_test_conversions (id, test_id, variant_id, assignment_id, order_id, conversion_type, value_cents,
                                 converted_at)
SELECT 'abc_' || r.digest, r.test_id, r.variant_id,
       (SELECT s.id FROM ab_test_assignments s WHERE s.test_id = r.test_id AND s.session_id = r.session_id),
       r.order_id, 'purchase', r.net_cents, r.ordered_at
FROM rows r ORDER BY r.digest
ON CONFLICT (id) DO UPDATE SET
    variant_id = EXCLUDED.variant_id, assignment_id = EXCLUDED.assignment_id, value_cents = EXCLUDED.value_cents,
    converted_at = EXCLUDED.converted_at
"""  # noqa: S608  # put together from constants

MIRROR_EVENTS = f"""
-- A/B orders: purchases that the storefront did not record itself
{MIRRORED}
INSERT INTO ab_events (id, test_id, variant_id, visitor_id, event_type, event_data, revenue_cents, created_at,
                       event_value_cents, order_id)
SELECT 'abe_' || t.digest, t.test_id, t.variant_id, t.visitor_id, 'purchase',
       jsonb_build_object('source', 'reconciliation', 'method', t.method), t.net_cents, t.ordered_at, t.net_cents,
       t.order_id
FROM told t ORDER BY t.digest
ON CONFLICT (id) DO UPDATE SET
    variant_id = EXCLUDED.variant_id, visitor_id = EXCLUDED.visitor_id, event_data = EXCLUDED.event_data,
    revenue_cents = EXCLUDED.revenue_cents, created_at = EXCLUDED.created_at,
    event_value_cents = EXCLUDED.event_value_cents
"""  # noqa: S608  # put together from constants

KEEP_SHIPPING = """
-- A/B orders: shipping of orders of shipping tests
INSERT INTO ab_shipping_attributions AS s
    (test_id, variant_id, order_id, assigned_variant_id, assigned_suffix, actual_shipping_method,
     actual_shipping_price_cents, product_revenue_cents, net_revenue_cents, is_mismatch, mismatch_reason, attributed_at)
SELECT r.test_id, r.variant_id, r.order_id, r.variant_id, r.suffix, r.method, r.price_cents, r.product_cents,
       r.net_cents, r.mismatch IS NOT NULL, r.mismatch, %(now)s
FROM jsonb_to_recordset(%(rows)s) AS r (test_id text, variant_id text, order_id text, suffix text, method text,
     price_cents integer, product_cents integer, net_cents integer, mismatch text)
ORDER BY r.order_id, r.test_id
ON CONFLICT (order_id, test_id) DO UPDATE SET
    variant_id = EXCLUDED.variant_id, assigned_variant_id = EXCLUDED.assigned_variant_id,
    assigned_suffix = EXCLUDED.assigned_suffix, actual_shipping_method = EXCLUDED.actual_shipping_method,
    actual_shipping_price_cents = EXCLUDED.actual_shipping_price_cents,
    product_revenue_cents = EXCLUDED.product_revenue_cents, net_revenue_cents = EXCLUDED.net_revenue_cents,
    is_mismatch = EXCLUDED.is_mismatch, mismatch_reason = EXCLUDED.mismatch_reason,
    attributed_at = EXCLUDED.attributed_at
"""

NAME_CUSTOMERS = """
-- A/B orders: whose session it was, where the order tells
UPDATE ab_test_assignments s SET customer_id = c.customer_id
FROM unnest(%(tests)s::text[], %(sessions)s::text[], %(customers)s::text[]) AS c (test_id, session_id, customer_id)
WHERE s.test_id = c.test_id AND s.session_id = c.session_id AND s.customer_id IS NULL
"""


def records_of(
    session: Session, orders: Sequence[Row], attributes: Iterable[CartAttributes], test_ids: list[str]
) -> Records:
    """What the storefront recorded about the buyers of these orders in these tests."""
    given = list(attributes)
    sessions = {id for each in given for id in each.sessions}
    found = Records()
    names: dict[str, Any] = {"tests": test_ids, "orders": [id for order in orders for id in order["ids"]]}
    for row in session.all(EVENTS, names):
        found.events.setdefault((row["test_id"], row["order_id"]), row)
    names |= {"sessions": sorted(sessions), "customers": [o["customer_id"] for o in orders if o["customer_id"]]}
    for row in session.all(ASSIGNMENTS, names):
        found.assignments[row["test_id"], row["session_id"]] = row
        if row["customer_id"]:
            found.customers.setdefault((row["test_id"], row["customer_id"]), []).append(row)
    sessions |= {row["session_id"] for rows in found.customers.values() for row in rows}
    visitors = {id for each in given for id in each.visitors} | {e["visitor_id"] for e in found.events.values()}
    names |= {"sessions": sorted(sessions), "visitors": sorted(visitors)}
    for row in session.all(VISITORS, names):
        found.visitors[row["test_id"], row["visitor_id"]] = row
        if row["session_id"]:
            found.sessions.setdefault((row["test_id"], row["session_id"]), row)
    return found
