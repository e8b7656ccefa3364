"""Stock: quantities of variants from levels, the state of each variant, and what follows when it changes.

    quantity   sum of `available` over active locations; a variant without levels keeps what its product's answer said
    state      untracked | in_stock | low | out, against limit = max(threshold, ceil(velocity * COVER_DAYS))
    velocity   units sold in VELOCITY_WINDOW days / VELOCITY_WINDOW

A variant's first judgement tells nobody: an import is no news.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Literal

from shared.catalog.records import INT_MAX
from shared.events.base import Event
from shared.events.catalog import InventoryLowStock, InventoryOutOfStock, InventoryRestocked
from shared.jobs.context import Row, Session
from shared.tenant_settings import config

State = Literal["untracked", "in_stock", "low", "out"]

LOW_STOCK_SETTINGS: Mapping[str, Any] = {"enabled": True, "threshold": 10}
"""Defaults of the tenant's setting inventory.low_stock. `threshold` in units."""
VELOCITY_WINDOW = 30
"""Days of sales that make the velocity."""
COVER_DAYS = 14
"""Days that the stock should last."""
RECOVERY_FACTOR = Fraction(6, 5)
"""A low variant is in stock again from limit * this on, so that it does not flutter."""
UNTOLD: tuple[State | None, ...] = (None, "untracked")
"""Nobody is told of a variant that comes out of one of these or goes into one: an import, tracking switched."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A variant to be judged, with its quantity before (None: not known)."""

    variant_id: str
    before: int | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a variant stands, and how it stood."""

    variant_id: str
    product_id: str
    """Legacy id."""
    title: str
    sku: str | None
    quantity: int
    limit: int
    days_left: int | None
    days_left_before: int | None
    state: State
    before: State | None

    @property
    def changed(self) -> bool:
        """Whether the state is another one than before; a first judgement is no change, and neither is tracking."""
        return self.state != self.before and self.before not in UNTOLD and self.state not in UNTOLD

    def event(self) -> Event | None:
        """What apps are told, None when there is nothing to tell."""
        if not self.changed:
            return None
        common: dict[str, Any] = {
            "product_id": self.product_id,
            "variant_id": self.variant_id,
            "sku": self.sku,
            "available": self.quantity,
        }
        if self.state == "low":
            return InventoryLowStock(**common, limit=self.limit, days_left=self.days_left)
        if self.state == "out":
            return InventoryOutOfStock(**common)
        if self.state == "in_stock" and self.before in ("low", "out"):
            return InventoryRestocked(**common, previous_state=self.before)
        return None


# -- quantities --------------------------------------------------------------------------------------------------------

# A variant without level rows takes the number of its product's answer; one with levels their sum over active places.
# Each part is made once: in one plan with the update, the planner tried every variant against every given one.
OBSERVE = """
-- catalog: quantities of variants, as their product's answer or their levels say
WITH held AS MATERIALIZED (
    SELECT v.shopify_variant_id AS id, v.product_id, v.inventory_item_id, v.inventory_quantity AS before, g.quantity
    FROM unnest(%(ids)s::text[], %(quantities)s::integer[]) AS g (id, quantity)
    JOIN product_variants v ON v.shopify_variant_id = g.id
), stocked AS MATERIALIZED (
    SELECT i.inventory_item_id, sum(i.available) FILTER (WHERE p.is_active) AS available
    FROM inventory_levels i JOIN inventory_locations p ON p.shopify_location_id = i.shopify_location_id
    WHERE i.inventory_item_id = ANY(ARRAY(SELECT inventory_item_id FROM held))
    GROUP BY i.inventory_item_id
), wanted AS MATERIALIZED (
    SELECT h.id, h.before,
           CASE WHEN s.inventory_item_id IS NOT NULL THEN LEAST(COALESCE(s.available, 0), %(most)s)::integer
                ELSE COALESCE(h.quantity, h.before) END AS quantity
    FROM held h LEFT JOIN stocked s ON s.inventory_item_id = h.inventory_item_id
)
UPDATE product_variants v
SET inventory_quantity = w.quantity, updated_at = %(now)s, synced_at = %(now)s
FROM wanted w
WHERE v.shopify_variant_id = w.id AND w.before IS DISTINCT FROM w.quantity
RETURNING v.shopify_variant_id AS id, v.product_id, w.before
"""

# One jsonb update per product, and only where a number differs: its sum and the numbers within products.variants.
TOTAL = """
-- catalog: the numbers of products after their variants' quantities moved
UPDATE products p
SET inventory_quantity = w.quantity, variants = w.variants
FROM (
    SELECT x.id,
           (SELECT LEAST(sum(v.inventory_quantity), %(most)s)::integer
            FROM product_variants v WHERE v.product_id = x.id AND v.tracked
            HAVING count(v.inventory_quantity) > 0) AS quantity,
           COALESCE((
               SELECT jsonb_agg(
                   CASE WHEN v.shopify_variant_id IS NULL THEN m.member
                        ELSE m.member || jsonb_build_object('inventory_quantity', v.inventory_quantity) END
                   ORDER BY m.place)
               FROM jsonb_array_elements(x.variants) WITH ORDINALITY AS m (member, place)
               LEFT JOIN product_variants v ON v.product_id = x.id
                                           AND v.shopify_variant_id = regexp_replace(m.member ->> 'id', '^.*/', '')
           ), '[]') AS variants
    FROM products x WHERE x.id = ANY(%(product_ids)s)
) AS w
WHERE p.id = w.id AND (p.inventory_quantity IS DISTINCT FROM w.quantity OR p.variants IS DISTINCT FROM w.variants)
"""

# Products first and by their Shopify ids, variants then, as where products are written: two chunks wait for each other
# and do not lock up. Sums are made in a statement behind the lock: one under way would not see what it waited for.
# It happens all the time: the places of an item move at the same moment, and the variants of an order.
OF_ITEMS = """
-- catalog: the variants of inventory items; whoever else settles one of their products waits
SELECT v.shopify_variant_id AS id FROM product_variants v JOIN products p ON p.id = v.product_id
WHERE v.inventory_item_id = ANY(%(items)s)
ORDER BY p.shopify_product_id FOR NO KEY UPDATE OF p
"""

LOCK = """
-- catalog: products whose numbers are about to be added up
SELECT id FROM products WHERE id = ANY(%(product_ids)s) ORDER BY shopify_product_id FOR NO KEY UPDATE
"""

UNJUDGED = """
-- catalog: variants that were never judged, or that are tracked now and were not, or the other way round
SELECT v.shopify_variant_id AS id, CASE WHEN v.stock_state IS NULL THEN NULL ELSE v.inventory_quantity END AS quantity
FROM product_variants v JOIN products p ON p.id = v.product_id
WHERE v.shopify_variant_id = ANY(%(ids)s)
  AND (v.stock_state IS NULL
       OR (v.stock_state = 'untracked') <>
          (NOT v.tracked OR p.status = 'archived' OR COALESCE((p.platform_data ->> 'isGiftCard')::boolean, false)))
"""


def observe_quantities(
    session: Session,
    quantities: Mapping[str, int | None],
    *,
    now: datetime,
    rewritten: Sequence[str] = (),
    locked: bool = False,
) -> list[Moved]:
    """Settle the quantities of variants (id -> what the product's answer says, None: nothing); those that moved.

    `rewritten`: products.id of those whose numbers were overwritten by an answer and have to be settled anyway.
    `locked`: the caller holds the rows of all products.
    """
    ids = sorted(quantities)
    given = {"ids": ids, "quantities": [quantities[id] for id in ids], "now": now, "most": INT_MAX}
    rows = session.all(OBSERVE, given) if ids else []
    moved = {row["product_id"] for row in rows}
    products = moved | set(rewritten)
    if not locked and moved - set(rewritten):
        session.execute(LOCK, {"product_ids": sorted(moved)})
    if products:
        session.execute(TOTAL, {"product_ids": sorted(products), "most": INT_MAX})
    return [Moved(row["id"], row["before"]) for row in rows]


def settle_items(session: Session, items: Sequence[str], *, now: datetime) -> list[Moved]:
    """The same for the variants of inventory items after their levels were written."""
    ids = [row["id"] for row in session.all(OF_ITEMS, {"items": list(items)})]
    return observe_quantities(session, dict.fromkeys(ids), now=now, locked=True)


def unjudged(session: Session, ids: Sequence[str]) -> list[Moved]:
    """Those of these variants whose state does not fit what they are, whatever their quantity."""
    if not ids:
        return []
    return [Moved(row["id"], row["quantity"]) for row in session.all(UNJUDGED, {"ids": list(ids)})]


# -- states ------------------------------------------------------------------------------------------------------------

# Sales are found by the variant's product, whose lines have an index, and by the orders' instant.
STANDING = """
-- catalog: variants to be judged, with what was sold of them
WITH wanted AS (
    SELECT v.shopify_variant_id, v.shopify_product_id, p.title || CASE WHEN v.title = 'Default Title' THEN ''
               ELSE ' / ' || v.title END AS title, v.sku, COALESCE(v.inventory_quantity, 0) AS quantity,
           v.inventory_policy, v.stock_state,
           v.tracked AND p.status <> 'archived' AND NOT COALESCE((p.platform_data ->> 'isGiftCard')::boolean, false)
               AS tracked
    FROM product_variants v JOIN products p ON p.id = v.product_id
    WHERE v.shopify_variant_id = ANY(%(ids)s)
), sold AS (
    SELECT l.variant_id, sum(l.quantity)::integer AS units
    FROM order_line_items l
    JOIN orders o ON o.shopify_id = l.order_shopify_id
    WHERE l.variant_id = ANY(%(ids)s)
      AND l.product_id = ANY(ARRAY(SELECT shopify_product_id FROM wanted))
      AND o.cancelled_at IS NULL AND o.order_placed_at >= %(since)s AND o.order_placed_at < %(now)s
    GROUP BY l.variant_id
)
SELECT w.*, COALESCE(s.units, 0) AS units FROM wanted w LEFT JOIN sold s ON s.variant_id = w.shopify_variant_id
ORDER BY w.shopify_variant_id
"""

# stock_state_at is empty where nobody is to be told (UNTOLD), neither now nor in a later message of news.
JUDGE = """
-- catalog: the states of variants
UPDATE product_variants v
SET stock_state = t.state,
    stock_state_at = CASE WHEN v.stock_state IS NULL OR 'untracked' IN (v.stock_state, t.state) THEN NULL
                          ELSE %(now)s::timestamptz END
FROM unnest(%(ids)s::text[], %(states)s::text[]) AS t (id, state)
WHERE v.shopify_variant_id = t.id AND v.stock_state IS DISTINCT FROM t.state
RETURNING v.shopify_variant_id AS id
"""


def limit_of(threshold: int, units: int) -> int:
    """max(threshold, ceil(velocity * COVER_DAYS)) with velocity = units / VELOCITY_WINDOW."""
    return max(threshold, -(-units * COVER_DAYS // VELOCITY_WINDOW))


def days_left(quantity: int | None, units: int) -> int | None:
    """floor(quantity / velocity), not below 0; None when nothing was sold or the quantity is not known."""
    return None if units == 0 or quantity is None else max(0, quantity * VELOCITY_WINDOW // units)


def judge(quantity: int, limit: int, before: State | None, *, tracked: bool, continues: bool) -> State:
    """The state of a variant. One that continues selling is never out, only low."""
    if not tracked:
        return "untracked"
    if quantity <= 0:
        return "low" if continues else "out"
    if quantity <= limit:
        return "low"
    if before == "low" and quantity < -(-limit * RECOVERY_FACTOR // 1):
        return "low"
    return "in_stock"


def evaluate(session: Session, moved: Sequence[Moved], *, now: datetime) -> list[Verdict]:
    """Judge variants and keep their states; one query for what was sold of all of them.

    With inventory.low_stock disabled by the tenant the states are kept and the caller tells nobody.
    """
    if not moved:
        return []
    settings = _settings(session)
    before = {each.variant_id: each.before for each in moved}
    since = now - timedelta(days=VELOCITY_WINDOW)
    rows = session.all(STANDING, {"ids": sorted(before), "since": since, "now": now})
    verdicts = [_verdict(row, before[row["shopify_variant_id"]], int(settings["threshold"])) for row in rows]
    states = {"ids": [v.variant_id for v in verdicts], "states": [v.state for v in verdicts], "now": now}
    moved_on = {row["id"] for row in session.all(JUDGE, states)}
    # A run that judged the same variant meanwhile has told of it: its state is what we found, and no change of ours.
    verdicts = [v if v.variant_id in moved_on else replace(v, before=v.before and v.state) for v in verdicts]
    return verdicts if settings["enabled"] else []


def watched(session: Session) -> bool:
    """Whether the tenant wants to be told of stock at once."""
    return bool(_settings(session)["enabled"])


def _settings(session: Session) -> dict[str, Any]:
    settings: dict[str, Any] = config(session, "inventory.low_stock", dict(LOW_STOCK_SETTINGS))
    return settings


def _verdict(row: Row, before: int | None, threshold: int) -> Verdict:
    limit = limit_of(threshold, row["units"])
    state = judge(
        row["quantity"],
        limit,
        row["stock_state"],
        tracked=row["tracked"],
        continues=row["inventory_policy"] == "continue",
    )
    return Verdict(
        variant_id=row["shopify_variant_id"],
        product_id=row["shopify_product_id"],
        title=row["title"],
        sku=row["sku"],
        quantity=row["quantity"],
        limit=limit,
        days_left=days_left(row["quantity"], row["units"]),
        days_left_before=days_left(before, row["units"]),
        state=state,
        before=row["stock_state"],
    )


def tell(session: Session, verdicts: Sequence[Verdict]) -> int:
    """Emit the events of changed states; how many."""
    events = [event for verdict in verdicts if (event := verdict.event()) is not None]
    session.emit_many([(event, None) for event in events])
    return len(events)
