"""What a batch run has to come back to at its end: variants whose quantity moved, items that we do not know.

Kept among the run's staged rows, so that it lives and dies with the run and grows with the change, not with the shop.
line_no of these rows is negative and made of the object's own number: the first entry of an object stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from shared.catalog.stock import Moved
from shared.jobs.context import Session

# Variants and items are numbered apart; the offset keeps their rows apart, too.
ITEM_OFFSET = 10**17

ADD_MOVED = """
-- catalog: variants to be judged when the run ends, each with its quantity before the run
INSERT INTO catalog_sync_stage (run_id, line_no, object_type, external_id, data)
SELECT %(run_id)s, -(t.id::bigint), 'Moved', t.id, jsonb_build_object('before', t.before)
FROM unnest(%(ids)s::text[], %(before)s::integer[]) AS t (id, before) ORDER BY t.id
ON CONFLICT (run_id, line_no) DO NOTHING
"""

NEXT_MOVED = """
-- catalog: the next variants to be judged
SELECT external_id AS id, (data ->> 'before')::integer AS before FROM catalog_sync_stage
WHERE run_id = %(run_id)s AND object_type = 'Moved' ORDER BY external_id LIMIT %(limit)s
"""

DROP = """
-- catalog: these were dealt with
DELETE FROM catalog_sync_stage WHERE run_id = %(run_id)s AND object_type = %(type)s AND external_id = ANY(%(ids)s)
"""

ADD_ITEMS = """
-- catalog: inventory items of which we have no variant
INSERT INTO catalog_sync_stage (run_id, line_no, object_type, external_id, data)
SELECT %(run_id)s, -(%(offset)s + t.id::bigint), 'UnknownItem', t.id, '{}'
FROM unnest(%(ids)s::text[]) AS t (id)
WHERE NOT EXISTS (SELECT FROM product_variants v WHERE v.inventory_item_id = t.id)
ORDER BY t.id
ON CONFLICT (run_id, line_no) DO NOTHING
"""

ITEMS = """
-- catalog: the next items of a list
SELECT external_id AS id FROM catalog_sync_stage
WHERE run_id = %(run_id)s AND object_type = %(type)s ORDER BY external_id LIMIT %(limit)s
"""

ADD_ITEMS_AT = """
-- catalog: inventory items at places that opened or closed
INSERT INTO catalog_sync_stage (run_id, line_no, object_type, external_id, data)
SELECT DISTINCT %(run_id)s::uuid, -(%(offset)s + l.inventory_item_id::bigint), 'ItemAt', l.inventory_item_id,
       '{}'::jsonb
FROM inventory_levels l WHERE l.shopify_location_id = ANY(%(places)s)
ORDER BY l.inventory_item_id
ON CONFLICT (run_id, line_no) DO NOTHING
"""

PENDING = """
-- catalog: whether there is anything on a list
SELECT EXISTS (SELECT FROM catalog_sync_stage WHERE run_id = %(run_id)s)
"""


def add_moved(session: Session, run_id: UUID, moved: Sequence[Moved]) -> None:
    """Come back to these variants at the end of the run."""
    if moved:
        ids, before = [each.variant_id for each in moved], [each.before for each in moved]
        session.execute(ADD_MOVED, {"run_id": run_id, "ids": ids, "before": before})


def next_moved(session: Session, run_id: UUID, limit: int) -> list[Moved]:
    """Up to `limit` variants of the list."""
    rows = session.all(NEXT_MOVED, {"run_id": run_id, "limit": limit})
    return [Moved(row["id"], row["before"]) for row in rows]


def drop_moved(session: Session, run_id: UUID, moved: Sequence[Moved]) -> None:
    """These variants were judged."""
    session.execute(DROP, {"run_id": run_id, "type": "Moved", "ids": [each.variant_id for each in moved]})


def add_items(session: Session, run_id: UUID, items: Sequence[str]) -> int:
    """Come back to those of these items that have no variant here; how many are new to the list."""
    if not items:
        return 0
    return session.execute(ADD_ITEMS, {"run_id": run_id, "ids": list(items), "offset": ITEM_OFFSET})


def next_items(session: Session, run_id: UUID, limit: int) -> list[str]:
    """Up to `limit` unknown items."""
    return [row["id"] for row in session.all(ITEMS, {"run_id": run_id, "type": "UnknownItem", "limit": limit})]


def drop_items(session: Session, run_id: UUID, items: Sequence[str]) -> None:
    """The products of these items were asked for."""
    session.execute(DROP, {"run_id": run_id, "type": "UnknownItem", "ids": list(items)})


def add_items_at(session: Session, run_id: UUID, places: Sequence[str]) -> None:
    """Come back to the items that have a level at one of these places."""
    if places:
        session.execute(ADD_ITEMS_AT, {"run_id": run_id, "places": list(places), "offset": ITEM_OFFSET})


def next_items_at(session: Session, run_id: UUID, limit: int) -> list[str]:
    """Up to `limit` of those items."""
    return [row["id"] for row in session.all(ITEMS, {"run_id": run_id, "type": "ItemAt", "limit": limit})]


def drop_items_at(session: Session, run_id: UUID, items: Sequence[str]) -> None:
    """The stock of these items was settled."""
    session.execute(DROP, {"run_id": run_id, "type": "ItemAt", "ids": list(items)})


def pending(session: Session, run_id: UUID) -> bool:
    """Whether anything is on the list."""
    return bool(session.value(PENDING, {"run_id": run_id}))
