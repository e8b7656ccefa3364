"""Guardrails: metrics that must not get worse against the control, whatever the test is about.

    limit      -|threshold| percent of change for direction below, +|threshold| for above
    violated   a challenger is beyond the limit, and harm by chance alone has p <= 0.01 (one-sided)

What is beyond without that p is shown and nothing more. Sums come from the visitors of the test, as in `sums`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from functions.commerce.ab_tests.comparing import MIN_VISITORS
from functions.commerce.ab_tests.daily import BOTS
from shared.jobs import Session
from shared.jobs.context import Row
from shared.stats import Comparison, Moments, RatioSums, Sums, ratios, two_proportions, welch, welch_of_moments
from shared.stats.special import normal_cdf, t_sf

GUARDRAIL_P = 0.01
LARGEST = 999_999.9999
"""What ab_guardrails.current_value can hold."""
BY_EVENTS = ("add_to_cart_rate", "checkout_rate", "cart_abandonment", "bounce_rate")
BY_MEASUREMENT = ("page_load_time", "error_rate", "custom")
"""Metrics that the storefront measures itself and sends as custom events."""
Action = Literal["warn", "pause", "stop"]
PRIORITY: tuple[Action, ...] = ("warn", "pause", "stop")

GUARDRAILS = """
-- A/B guardrails: those of tests
SELECT g.id, g.test_id, g.name, g.metric, g.threshold::float8 AS threshold, COALESCE(g.direction, 'below') AS direction,
       COALESCE(g.is_triggered, false) AS triggered, g.current_value::float8 AS current
FROM ab_guardrails g WHERE g.test_id = ANY(%(ids)s) AND g.threshold IS NOT NULL ORDER BY g.test_id, g.id
"""

PEOPLE = """
WITH tests AS (
  SELECT t.id AS test_id, 'shipping' IN (t.type, t.test_type) AS shipping,
         COALESCE(t.started_at, LEAST(
             (SELECT min(e.started_at) FROM ab_allocation_epochs e WHERE e.test_id = t.id),
             (SELECT min(w.assigned_at) FROM ab_visitors w WHERE w.test_id = t.id))) AS from_at
  FROM ab_tests t WHERE t.id = ANY(%(ids)s)),
unsplit AS (
  SELECT e.test_id, e.started_at, COALESCE(e.ended_at, 'infinity') AS ended_at
  FROM ab_allocation_epochs e
  WHERE e.test_id = ANY(%(ids)s)
    AND (SELECT count(*) FROM jsonb_each_text(e.shares) s WHERE s.value::numeric > 0) < 2),
people AS (
  SELECT w.test_id, w.variant_id, w.visitor_id
  FROM tests t
  JOIN ab_visitors w ON w.test_id = t.test_id AND w.assigned_at >= t.from_at AND w.assigned_at < %(slot)s
  JOIN ab_variants v ON v.id = w.variant_id AND v.test_id = w.test_id
  WHERE COALESCE(w.user_agent, '') !~* %(bots)s
    AND NOT EXISTS (SELECT FROM unsplit u
                    WHERE u.test_id = w.test_id AND w.assigned_at >= u.started_at AND w.assigned_at < u.ended_at))
"""

# As in `sums`: one row per visitor by grouping, not by joins that may become quadratic.
FIGURES = f"""
-- A/B guardrails: what the visitors of tests did, per arm
{PEOPLE},
facts AS (
  SELECT p.test_id, p.visitor_id, p.variant_id, 0 AS orders, 0 AS refunded, 0::bigint AS cents, 0 AS views, 0 AS others,
         0 AS carts, 0 AS checkouts
  FROM people p
  UNION ALL
  SELECT a.test_id, a.visitor_id, NULL, 1, (a.refunded_cents > 0)::integer,
         CASE WHEN t.shipping THEN COALESCE(s.net_revenue_cents, a.net_cents) ELSE a.net_cents END, 0, 0, 0, 0
  FROM tests t
  JOIN ab_order_attributions a ON a.test_id = t.test_id
  LEFT JOIN ab_shipping_attributions s ON t.shipping AND s.test_id = a.test_id AND s.order_id = a.order_id
  WHERE a.visitor_id IS NOT NULL AND a.excluded_reason IS NULL AND a.ordered_at < %(slot)s
  UNION ALL
  SELECT e.test_id, e.visitor_id, NULL, 0, 0, 0, (e.event_type IN ('page_view', 'view'))::integer,
         (e.event_type NOT IN ('page_view', 'view'))::integer, (e.event_type = 'add_to_cart')::integer,
         (e.event_type IN ('begin_checkout', 'checkout_start'))::integer
  FROM ab_events e
  WHERE e.test_id = ANY(%(by_events)s) AND e.created_at < %(slot)s),
visitors AS (
  SELECT f.test_id, max(f.variant_id) AS variant_id, sum(f.orders)::numeric AS orders, sum(f.refunded) AS refunded,
         sum(f.cents)::numeric AS cents, sum(f.views) AS views, sum(f.others) AS others, sum(f.carts) AS carts,
         sum(f.checkouts) AS checkouts
  FROM facts f GROUP BY f.test_id, f.visitor_id HAVING max(f.variant_id) IS NOT NULL)
SELECT v.test_id, v.variant_id, count(*) AS n, count(*) FILTER (WHERE v.orders > 0) AS buyers,
       count(*) FILTER (WHERE v.carts > 0) AS carted, count(*) FILTER (WHERE v.checkouts > 0) AS checked_out,
       count(*) FILTER (WHERE v.carts > 0 AND v.orders = 0) AS abandoned, count(*) FILTER (WHERE v.views > 0) AS viewed,
       count(*) FILTER (WHERE v.views = 1 AND v.others = 0 AND v.orders = 0) AS bounced,
       sum(v.orders) AS orders, sum(v.refunded) AS refunded, sum(v.cents) AS revenue,
       sum(v.cents * v.cents) AS revenue_squares, sum(v.orders * v.orders) AS order_squares,
       sum(v.cents * v.orders) AS revenue_orders
FROM visitors v
GROUP BY 1, 2
"""  # noqa: S608  # put together from constants

MEASURED = f"""
-- A/B guardrails: what storefronts measured, per arm and metric; values that are no numbers are passed over
{PEOPLE},
facts AS (
  SELECT p.test_id, p.visitor_id, p.variant_id, NULL AS metric, NULL::numeric AS value FROM people p
  UNION ALL
  SELECT e.test_id, e.visitor_id, NULL, e.event_data ->> 'metric',
         CASE WHEN e.event_data ->> 'value' ~ '^-?[0-9]{{1,12}}([.][0-9]{{1,12}})?$'
              THEN (e.event_data ->> 'value')::numeric END
  FROM ab_events e
  WHERE e.test_id = ANY(%(ids)s) AND e.event_type = 'custom' AND e.created_at < %(slot)s
    AND e.event_data ->> 'metric' = ANY(%(metrics)s)),
placed AS (
  SELECT f.test_id, f.metric, f.value, max(f.variant_id) OVER (PARTITION BY f.test_id, f.visitor_id) AS variant_id
  FROM facts f)
SELECT test_id, variant_id, metric, count(*) AS n, avg(value)::float8 AS mean,
       COALESCE(var_samp(value), 0)::float8 AS variance
FROM placed WHERE value IS NOT NULL AND variant_id IS NOT NULL
GROUP BY 1, 2, 3
"""  # noqa: S608  # put together from constants

KEEP = """
-- A/B guardrails: what was found
UPDATE ab_guardrails g SET current_value = c.current, is_triggered = g.is_triggered OR c.triggered
FROM unnest(%(ids)s::text[], %(currents)s::numeric[], %(triggered)s::boolean[]) AS c (id, current, triggered)
WHERE g.id = c.id
  AND (g.current_value IS DISTINCT FROM c.current OR (c.triggered AND g.is_triggered IS DISTINCT FROM true))
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judged guardrail. `change` is the worst one in percent; `violated`: a violation that is new."""

    guardrail: Row
    change: float
    violated: bool
    action: Action


Figures = Mapping[tuple[str, str], Row]
"""Rows of FIGURES by (test id, variant id)."""
Measured = Mapping[tuple[str, str, str], Moments]
"""By (test id, variant id, metric)."""


@dataclass(frozen=True, slots=True)
class World:
    """What a page of tests is judged by. `controls`: test id -> its single control; `arms`: those that take part."""

    figures: Figures
    measured: Measured
    controls: Mapping[str, str]
    arms: Mapping[str, Sequence[str]]


def judge_guardrails(
    session: Session,
    slot: datetime,
    settings: Mapping[str, Mapping[str, Any]],
    controls: Mapping[str, str],
    arms: Mapping[str, Sequence[str]],
) -> list[Verdict]:
    """Judge and write the guardrails of tests (`settings` by test id) that can be judged."""
    guardrails = session.all(GUARDRAILS, {"ids": sorted(controls)})
    if not guardrails:
        return []
    world = _world(session, slot, guardrails, controls, arms)
    verdicts = [
        verdict for each in guardrails if (verdict := judge(each, world, settings[each["test_id"]])) is not None
    ]
    names = {
        "ids": [verdict.guardrail["id"] for verdict in verdicts],
        "currents": [verdict.change for verdict in verdicts],
        "triggered": [verdict.violated for verdict in verdicts],
    }
    session.execute(KEEP, names)
    return verdicts


def _world(
    session: Session,
    slot: datetime,
    guardrails: Sequence[Row],
    controls: Mapping[str, str],
    arms: Mapping[str, Sequence[str]],
) -> World:
    ids = sorted({each["test_id"] for each in guardrails})
    names: dict[str, Any] = {"ids": ids, "slot": slot, "bots": BOTS}
    by_events = sorted({each["test_id"] for each in guardrails if each["metric"] in BY_EVENTS})
    figures = session.all(FIGURES, {**names, "by_events": by_events})
    metrics = sorted({each["metric"] for each in guardrails if each["metric"] in BY_MEASUREMENT})
    measured = session.all(MEASURED, {**names, "metrics": metrics}) if metrics else []
    return World(
        {(row["test_id"], row["variant_id"]): row for row in figures},
        {
            (row["test_id"], row["variant_id"], row["metric"]): Moments(row["n"], row["mean"], row["variance"])
            for row in measured
        },
        controls,
        arms,
    )


# -- the verdict on one guardrail --------------------------------------------------------------------------------------


def judge(guardrail: Row, world: World, settings: Mapping[str, Any]) -> Verdict | None:
    """The worst change of any challenger, and whether one is a violation. None: there is nothing to judge by."""
    test_id, sign = guardrail["test_id"], 1 if guardrail["direction"] == "above" else -1
    limit, control = abs(guardrail["threshold"]), world.controls[test_id]
    changes, violated = [], False
    for arm in world.arms[test_id]:
        comparison = None if arm == control else _compared(guardrail["metric"], world, test_id, control, arm)
        if comparison is None or comparison.lift is None:
            continue
        # Against the size of the control, which may be negative.
        base = comparison.difference / comparison.lift * 100 if comparison.lift else 1.0
        change = comparison.lift if base > 0 else -comparison.lift
        changes.append(change)
        violated = violated or (sign * change > limit and harm(comparison, sign) <= GUARDRAIL_P)
    if not changes:
        return None
    worst = max(changes, key=lambda change: sign * change)
    new = violated and not guardrail["triggered"]
    return Verdict(guardrail, round(max(-LARGEST, min(LARGEST, worst)), 4), new, action_of(guardrail, settings))


def harm(comparison: Comparison, sign: int) -> float:
    """One-sided p of a change in the harmful direction (`sign` 1: upwards)."""
    statistic = sign * comparison.statistic
    return normal_cdf(-statistic) if comparison.df is None else t_sf(statistic, comparison.df)


def action_of(guardrail: Row, settings: Mapping[str, Any]) -> Action:
    """What a violation leads to: what is set for the guardrail's id or name, else a pause."""
    actions = settings.get("guardrailActions")
    given = actions.get(guardrail["id"], actions.get(guardrail["name"])) if isinstance(actions, dict) else None
    return next((action for action in PRIORITY if action == given), "pause")


def _compared(metric: str, world: World, test_id: str, control: str, arm: str) -> Comparison | None:
    first, second = world.figures.get((test_id, control)), world.figures.get((test_id, arm))
    if first is None or second is None or min(first["n"], second["n"]) < MIN_VISITORS:
        return None
    if metric in BY_MEASUREMENT:
        one, two = world.measured.get((test_id, control, metric)), world.measured.get((test_id, arm, metric))
        return welch_of_moments(one, two) if one and two and min(one.n, two.n) > 1 else None
    if metric in ("revenue", "revenue_per_visitor"):
        return welch(_money(first), _money(second))
    if metric == "average_order_value":
        return ratios(_order_value(first), _order_value(second)) if first["orders"] and second["orders"] else None
    share = PROPORTIONS.get(metric)
    if share is None or min(first[share[1]], second[share[1]]) == 0:
        return None
    (x1, n1), (x2, n2) = ((int(row[share[0]]), int(row[share[1]])) for row in (first, second))
    return two_proportions(x1, n1, x2, n2)


PROPORTIONS: Mapping[str, tuple[str, str]] = {
    "conversion_rate": ("buyers", "n"),
    "add_to_cart_rate": ("carted", "n"),
    "checkout_rate": ("checked_out", "n"),
    "cart_abandonment": ("abandoned", "carted"),
    "bounce_rate": ("bounced", "viewed"),
    "refund_rate": ("refunded", "orders"),
}
"""Metric -> (what is counted, of what), columns of FIGURES."""


def _money(row: Row) -> Sums:
    return Sums(int(row["n"]), int(row["revenue"]), int(row["revenue_squares"]))


def _order_value(row: Row) -> RatioSums:
    orders = Sums(int(row["n"]), int(row["orders"]), int(row["order_squares"]))
    return RatioSums(_money(row), orders, int(row["revenue_orders"]))
