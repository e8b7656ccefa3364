"""Writes stock levels and locations. What follows from them for variants is shared.catalog.stock's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.catalog.marks import upsert_marks
from shared.catalog.records import LevelRecord
from shared.jobs.context import Session

# A place that Shopify named before we have read it gets its id as name; the next batch run fills the name.
ADD_LOCATIONS = """
-- catalog: places that levels name and we do not know yet
INSERT INTO inventory_locations (shopify_location_id, name, synced_at)
SELECT t.id, t.id, %(now)s FROM unnest(%(ids)s::text[]) AS t (id) ORDER BY t.id
ON CONFLICT (shopify_location_id) DO NOTHING
"""

UPSERT_LEVELS = """
-- catalog: stock levels; numbers that an answer does not tell are kept
WITH given AS (
    SELECT * FROM unnest(
        %(items)s::text[], %(locations)s::text[], %(available)s::integer[], %(on_hand)s::integer[],
        %(committed)s::integer[], %(incoming)s::integer[], %(ats)s::timestamptz[])
        AS r (item, location, available, on_hand, committed, incoming, at)
), old AS (
    SELECT l.inventory_item_id, l.shopify_location_id, l.available
    FROM inventory_levels l JOIN given g ON g.item = l.inventory_item_id AND g.location = l.shopify_location_id
), written AS (
    INSERT INTO inventory_levels AS l (
        inventory_item_id, shopify_location_id, available, on_hand, committed, incoming, shopify_updated_at, synced_at)
    SELECT item, location, available, on_hand, committed, incoming, at, %(now)s FROM given ORDER BY item, location
    ON CONFLICT (inventory_item_id, shopify_location_id) DO UPDATE SET
        available = excluded.available,
        on_hand = COALESCE(excluded.on_hand, l.on_hand),
        committed = COALESCE(excluded.committed, l.committed),
        incoming = COALESCE(excluded.incoming, l.incoming),
        shopify_updated_at = COALESCE(excluded.shopify_updated_at, l.shopify_updated_at),
        synced_at = excluded.synced_at
    RETURNING l.inventory_item_id, l.shopify_location_id, l.available
)
SELECT w.inventory_item_id || ':' || w.shopify_location_id AS id
FROM written w
LEFT JOIN old o ON o.inventory_item_id = w.inventory_item_id AND o.shopify_location_id = w.shopify_location_id
WHERE o.available IS DISTINCT FROM w.available
"""

DELETE_LEVELS = """
-- catalog: items that are not stocked at a place any more
DELETE FROM inventory_levels l
USING unnest(%(items)s::text[], %(locations)s::text[]) AS t (item, location)
WHERE l.inventory_item_id = t.item AND l.shopify_location_id = t.location
"""

UPSERT_LOCATIONS = """
-- catalog: the places of the shop; one that Shopify no longer lists becomes inactive
WITH given AS (
    SELECT * FROM unnest(%(ids)s::text[], %(names)s::text[], %(actives)s::boolean[]) AS g (id, name, active)
), gone AS (
    UPDATE inventory_locations SET is_active = false, synced_at = %(now)s
    WHERE shopify_location_id <> ALL(%(ids)s::text[]) AND is_active
    RETURNING shopify_location_id AS id
), written AS (
    INSERT INTO inventory_locations AS p (shopify_location_id, name, is_active, synced_at)
    SELECT id, name, active, %(now)s FROM given ORDER BY id
    ON CONFLICT (shopify_location_id) DO UPDATE SET
        name = excluded.name, is_active = excluded.is_active, synced_at = excluded.synced_at
    RETURNING p.shopify_location_id AS id, p.is_active
)
SELECT id FROM gone
UNION ALL
SELECT w.id FROM written w
JOIN inventory_locations before ON before.shopify_location_id = w.id AND before.is_active <> w.is_active
ORDER BY id
"""


@dataclass(slots=True)
class LevelCounts:
    """What a chunk did. `changed`: external ids whose `available` is another; `differences`: those of them for which
    the same instant had been stored before, that is, of which a webhook told something else or was lost."""

    read: int = 0
    stale: set[str] = field(default_factory=set)
    changed: set[str] = field(default_factory=set)
    differences: int = 0
    items: set[str] = field(default_factory=set)
    """Items of which a level was written or deleted."""


def store_levels(session: Session, levels: Sequence[LevelRecord], *, now: datetime, generation: int = 0) -> LevelCounts:
    """Write a chunk of levels; `available` None deletes the row. An older answer than the stored one is left out."""
    newest = {level.external_id: level for level in levels}
    found = LevelCounts(read=len(newest))
    marks = [(id, level.updated_at, level.content_hash) for id, level in sorted(newest.items())]
    seen = upsert_marks(session, "inventory_level", marks, now=now, generation=generation)
    found.stale = set(newest) - set(seen)
    fresh = [newest[id] for id in sorted(seen) if seen[id].differs]
    gone = [level for level in fresh if level.available is None]
    kept = [level for level in fresh if level.available is not None]
    if gone:
        pairs = {"items": [level.item_id for level in gone], "locations": [level.location_id for level in gone]}
        if session.execute(DELETE_LEVELS, pairs):
            found.changed |= {level.external_id for level in gone}
    if kept:
        session.execute(ADD_LOCATIONS, {"ids": sorted({level.location_id for level in kept}), "now": now})
        rows = session.all(UPSERT_LEVELS, {**_columns(kept), "now": now})
        found.changed |= {row["id"] for row in rows}
    found.differences = sum(seen[id].known and seen[id].same_instant for id in found.changed)
    found.items = {level.item_id for level in fresh}
    return found


def store_locations(session: Session, places: Sequence[tuple[str, str, bool]], *, now: datetime) -> list[str]:
    """Write the shop's places, all of them: (id, name, active); ids of those that opened or closed."""
    ids, names, actives = ([place[n] for place in places] for n in range(3))
    rows = session.all(UPSERT_LOCATIONS, {"ids": ids, "names": names, "actives": actives, "now": now})
    return [row["id"] for row in rows]


def _columns(levels: Sequence[LevelRecord]) -> dict[str, list[Any]]:
    return {
        "items": [level.item_id for level in levels],
        "locations": [level.location_id for level in levels],
        "available": [level.available for level in levels],
        "on_hand": [level.on_hand for level in levels],
        "committed": [level.committed for level in levels],
        "incoming": [level.incoming for level in levels],
        "ats": [level.updated_at for level in levels],
    }
