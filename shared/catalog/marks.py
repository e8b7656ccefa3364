"""What the catalogue remembers of each vendor object: order of updates, content, generation. Table catalog_sync_marks.

Whoever writes objects upserts their marks first, in the same transaction: the mark's row lock makes a webhook and a
running export wait for each other, and an answer older than what is stored does not get past it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.jobs.context import Session

Kind = Literal["product", "customer", "collection", "inventory_level"]

# The old row is read under its lock in the same statement. A mark that someone else inserts meanwhile is not seen
# there; it then counts as changed, which writes once too often and never too little.
UPSERT_MARKS = """
-- catalog: the marks of a chunk; an object that is older than its mark is left out of the answer
WITH given AS (
    SELECT * FROM unnest(%(ids)s::text[], %(updated_ats)s::timestamptz[], %(hashes)s::text[])
        AS g (external_id, vendor_updated_at, content_hash)
), old AS MATERIALIZED (
    SELECT m.external_id, m.content_hash, m.vendor_updated_at, m.deleted_at
    FROM catalog_sync_marks m
    WHERE m.kind = %(kind)s AND m.external_id = ANY(%(ids)s)
    ORDER BY m.external_id FOR UPDATE
), written AS (
    INSERT INTO catalog_sync_marks AS m
        (kind, external_id, vendor_updated_at, content_hash, generation, checked_at)
    SELECT %(kind)s, g.external_id, g.vendor_updated_at, g.content_hash, %(generation)s, %(now)s
    FROM given g LEFT JOIN old ON old.external_id = g.external_id
    ORDER BY g.external_id
    ON CONFLICT (kind, external_id) DO UPDATE SET
        vendor_updated_at = excluded.vendor_updated_at,
        content_hash = excluded.content_hash,
        generation = GREATEST(m.generation, excluded.generation),
        checked_at = excluded.checked_at,
        deleted_at = NULL
    WHERE (m.vendor_updated_at IS NULL OR excluded.vendor_updated_at >= m.vendor_updated_at)
      AND (%(taken_at)s::timestamptz IS NULL OR m.deleted_at IS NULL OR m.deleted_at < %(taken_at)s::timestamptz)
    RETURNING m.external_id, m.content_hash, m.vendor_updated_at
)
SELECT w.external_id,
       o.external_id IS NOT NULL AS known,
       o.deleted_at IS NOT NULL OR o.content_hash IS DISTINCT FROM w.content_hash AS differs,
       o.vendor_updated_at IS NOT DISTINCT FROM w.vendor_updated_at AS same_instant
FROM written w LEFT JOIN old o ON o.external_id = w.external_id
"""

DELETE_MARKS = """
-- catalog: these objects are gone at Shopify; only the instant of the last answer is kept
INSERT INTO catalog_sync_marks AS m (kind, external_id, deleted_at, checked_at)
SELECT %(kind)s, g.id, %(now)s, %(now)s FROM unnest(%(ids)s::text[]) AS g (id) ORDER BY g.id
ON CONFLICT (kind, external_id) DO UPDATE SET
    deleted_at = COALESCE(m.deleted_at, excluded.deleted_at), checked_at = excluded.checked_at, content_hash = NULL
"""

# An object that was here before it had a mark gets one, without an instant: its next answer is newer in any case.
TOUCH_MARKS = """
-- catalog: these objects are there at Shopify, although their answers could not be used
INSERT INTO catalog_sync_marks AS m (kind, external_id, generation, checked_at)
SELECT %(kind)s, t.id, %(generation)s, %(now)s FROM unnest(%(ids)s::text[]) AS t (id) ORDER BY t.id
ON CONFLICT (kind, external_id) DO UPDATE SET
    generation = GREATEST(m.generation, excluded.generation), checked_at = excluded.checked_at
"""

SEEN = """
-- catalog: how new the stored answer is
SELECT vendor_updated_at FROM catalog_sync_marks WHERE kind = %(kind)s AND external_id = %(id)s
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the mark said before. `same_instant`: the vendor's updatedAt is the one that was stored."""

    known: bool
    differs: bool
    same_instant: bool


def upsert_marks(
    session: Session,
    kind: Kind,
    objects: Sequence[tuple[str, datetime | None, str]],
    *,
    now: datetime,
    generation: int = 0,
    taken_at: datetime | None = None,
) -> dict[str, Seen]:
    """Mark (external id, updatedAt, content hash) of a chunk; the answer lacks what is older than its mark.

    `taken_at`: since when the answers may have been lying in a file. What was deleted after that stays deleted.
    """
    if not objects:
        return {}
    ids, updated_ats, hashes = zip(*objects, strict=True)
    found = session.all(
        UPSERT_MARKS,
        {
            "kind": kind,
            "ids": list(ids),
            "updated_ats": list(updated_ats),
            "hashes": list(hashes),
            "generation": generation,
            "now": now,
            "taken_at": taken_at,
        },
    )
    return {row["external_id"]: Seen(row["known"], row["differs"], row["same_instant"]) for row in found}


def mark_deleted(session: Session, kind: Kind, ids: Sequence[str], *, now: datetime) -> None:
    """Note that these objects are gone at Shopify."""
    if ids:
        session.execute(DELETE_MARKS, {"kind": kind, "ids": sorted(ids), "now": now})


def touch_marks(session: Session, kind: Kind, ids: Sequence[str], *, now: datetime, generation: int) -> None:
    """Note that these objects exist: a full run must not take them for deleted."""
    if ids:
        session.execute(TOUCH_MARKS, {"kind": kind, "ids": list(ids), "now": now, "generation": generation})


def seen_at(session: Session, kind: Kind, id: str) -> datetime | None:
    """The vendor's updatedAt of the stored answer."""
    found: datetime | None = session.value(SEEN, {"kind": kind, "id": id})
    return found
