"""The rows of the feed: google_feed_products (what the admin pages see) and google_feed_offers (what Google holds).

Every function is one statement over any number of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from shared.google_feed.differences import Held
from shared.google_feed.offers import Key
from shared.jobs.context import Session

Standing = Literal["pending", "synced", "error", "excluded"]

# The unique key of the table does not cover rows of whole products: NULL variants are distinct to it. Hence MERGE.
# Findings of our own carry a source and replace those of before; Google's stay until Google says something else.
STAND = """
-- google feed: how offers stand
MERGE INTO google_feed_products AS p
USING (
    SELECT * FROM unnest(%(products)s::text[], %(variants)s::text[], %(standings)s::text[], %(reasons)s::text[],
                         %(issues)s::jsonb[], %(sent)s::boolean[])
        AS t (product, variant, standing, reason, issues, sent)
) AS w ON p.shopify_product_id = w.product AND p.shopify_variant_id IS NOT DISTINCT FROM w.variant
WHEN MATCHED AND (
        p.sync_status::text <> w.standing OR w.sent
     OR (NOT p.is_excluded AND p.exclude_reason IS DISTINCT FROM w.reason)
     OR (w.issues IS NOT NULL AND w.issues IS DISTINCT FROM
         jsonb_path_query_array(COALESCE(p.merchant_issues, '[]'), '$[*] ? (@.source == "validation")'))) THEN
    UPDATE SET
        sync_status = w.standing::google_feed_product_sync_status,
        exclude_reason = CASE WHEN p.is_excluded THEN p.exclude_reason ELSE w.reason END,
        merchant_issues = CASE WHEN w.issues IS NULL THEN p.merchant_issues ELSE w.issues || jsonb_path_query_array(
            COALESCE(p.merchant_issues, '[]'), '$[*] ? (!exists(@.source))') END,
        last_sync_at = CASE WHEN w.sent THEN %(now)s ELSE p.last_sync_at END
WHEN NOT MATCHED THEN
    INSERT (shopify_product_id, shopify_variant_id, sync_status, exclude_reason, merchant_issues, last_sync_at)
    VALUES (w.product, w.variant, w.standing::google_feed_product_sync_status, w.reason, COALESCE(w.issues, '[]'),
            CASE WHEN w.sent THEN %(now)s::timestamptz END)
"""

HELD = """
-- google feed: what Google holds of these offers
SELECT offer_id, state, content_hash, offer_hash, last_inserted_at, inserts_today, inserts_day
FROM google_feed_offers
WHERE content_language = %(language)s AND feed_label = %(label)s AND offer_id = ANY(%(ids)s)
"""

SEEN = """
-- google feed: the run has seen these offers
UPDATE google_feed_offers SET generation = %(run)s
WHERE content_language = %(language)s AND feed_label = %(label)s AND offer_id = ANY(%(ids)s)
  AND generation IS DISTINCT FROM %(run)s
"""

UNSEEN = """
-- google feed: offers that a run had seen and that have left the feed since
UPDATE google_feed_offers o SET generation = NULL
FROM unnest(%(products)s::text[], %(variants)s::text[]) AS t (product, variant)
WHERE o.shopify_product_id = t.product AND o.shopify_variant_id IS NOT DISTINCT FROM t.variant
  AND o.generation IS NOT NULL
"""

RECORD = """
-- google feed: what Google has taken or refused
INSERT INTO google_feed_offers AS o (
    offer_id, content_language, feed_label, shopify_product_id, shopify_variant_id, state, content_hash, offer_hash,
    last_inserted_at, last_patched_at, inserts_today, inserts_day, generation, last_error_code, last_error, updated_at)
SELECT t.id, %(language)s, %(label)s, t.product, t.variant, t.state, t.content, t.terms,
       CASE WHEN t.act = 'insert' THEN %(now)s::timestamptz END,
       CASE WHEN t.act = 'patch' THEN %(now)s::timestamptz END,
       (t.act IS NOT DISTINCT FROM 'insert')::integer, CASE WHEN t.act = 'insert' THEN %(today)s::date END,
       %(run)s::uuid, t.code, t.error, %(now)s
FROM unnest(%(ids)s::text[], %(products)s::text[], %(variants)s::text[], %(states)s::text[], %(contents)s::text[],
            %(terms)s::text[], %(acts)s::text[], %(codes)s::text[], %(errors)s::text[])
    AS t (id, product, variant, state, content, terms, act, code, error)
ON CONFLICT (content_language, feed_label, offer_id) DO UPDATE SET
    shopify_product_id = excluded.shopify_product_id,
    shopify_variant_id = excluded.shopify_variant_id,
    state = excluded.state,
    content_hash = excluded.content_hash,
    offer_hash = excluded.offer_hash,
    last_inserted_at = COALESCE(excluded.last_inserted_at, o.last_inserted_at),
    last_patched_at = COALESCE(excluded.last_patched_at, o.last_patched_at),
    inserts_today = CASE WHEN excluded.inserts_day IS NULL THEN o.inserts_today
                         WHEN o.inserts_day = excluded.inserts_day THEN o.inserts_today + 1 ELSE 1 END,
    inserts_day = COALESCE(excluded.inserts_day, o.inserts_day),
    generation = COALESCE(excluded.generation, o.generation),
    last_error_code = excluded.last_error_code,
    last_error = excluded.last_error,
    updated_at = excluded.updated_at
"""

DELETED = """
-- google feed: Google holds these offers no more
UPDATE google_feed_offers o SET state = 'deleted', content_hash = NULL, offer_hash = NULL, updated_at = %(now)s
FROM unnest(%(languages)s::text[], %(labels)s::text[], %(ids)s::text[]) AS t (language, label, id)
WHERE o.content_language = t.language AND o.feed_label = t.label AND o.offer_id = t.id
"""

# A refused offer that was taken before is still there in its older form.
OF_PRODUCT = """
-- google feed: what Google holds of a product
SELECT offer_id, content_language, feed_label, shopify_product_id, shopify_variant_id
FROM google_feed_offers
WHERE shopify_product_id = ANY(%(keys)s)
  AND (state = 'active' OR (state = 'refused' AND last_inserted_at IS NOT NULL))
ORDER BY content_language, feed_label, offer_id
"""

LEFT = """
-- google feed: the next offers that the run has not seen, or that belong to another language or label
SELECT offer_id, content_language, feed_label, shopify_product_id, shopify_variant_id
FROM google_feed_offers
WHERE (state = 'active' OR (state = 'refused' AND last_inserted_at IS NOT NULL))
  AND (generation IS DISTINCT FROM %(run)s OR content_language <> %(language)s OR feed_label <> %(label)s)
  AND (content_language, feed_label, offer_id) > (%(after_language)s, %(after_label)s, %(after_id)s)
ORDER BY content_language, feed_label, offer_id LIMIT %(limit)s
"""

# An offer that only moved to another language or label has not left the feed.
SHRINKING = """
-- google feed: how many offers are active, and how many of them the run has not seen
SELECT count(*)::integer AS active, count(*) FILTER (WHERE NOT seen)::integer AS gone
FROM (
    SELECT bool_or(generation IS NOT DISTINCT FROM %(run)s AND content_language = %(language)s
                   AND feed_label = %(label)s) AS seen
    FROM google_feed_offers WHERE state = 'active' GROUP BY offer_id
) AS o
"""

# Asked with every product: as two ranges of the primary key, which are nearly always empty, and not as `<>`, which
# would look at every offer there is.
MOVED_PLACE = """
-- google feed: whether the feed has moved to a language or label in which nothing was sent yet
SELECT (EXISTS (SELECT FROM google_feed_offers
                WHERE (content_language, feed_label) < (%(language)s, %(label)s) AND state = 'active')
        OR EXISTS (SELECT FROM google_feed_offers
                   WHERE (content_language, feed_label) > (%(language)s, %(label)s) AND state = 'active'))
   AND NOT EXISTS (SELECT FROM google_feed_offers
                   WHERE state <> 'refused' AND content_language = %(language)s AND feed_label = %(label)s)
"""

# In the order of the table's unique key, so that a page begins where the last one ended.
PENDING = """
-- google feed: the next rows that wait to be sent
SELECT shopify_product_id AS product, shopify_variant_id AS variant
FROM google_feed_products
WHERE sync_status = 'pending' AND shopify_product_id >= %(product)s
  AND (shopify_product_id, COALESCE(shopify_variant_id, '')) > (%(product)s, %(variant)s)
ORDER BY shopify_product_id, COALESCE(shopify_variant_id, '') LIMIT %(limit)s
"""

# Offers that were refused before and are the same still were not tried again: they keep the time of that refusal.
REFUSED = """
-- google feed: how many offers the run itself had refused
SELECT count(*)::integer FROM google_feed_offers o
JOIN google_feed_sync_history h ON h.id = o.generation AND o.updated_at >= h.started_at
WHERE h.id = %(run)s AND o.state = 'refused'
"""

WAIT = """
-- google feed: rows of a product wait for the run that is under way
UPDATE google_feed_products SET sync_status = 'pending'
WHERE shopify_product_id = ANY(%(keys)s) AND (%(variant)s::text IS NULL OR shopify_variant_id = %(variant)s)
  AND NOT is_excluded AND sync_status <> 'pending'
"""

RENDERED = """
-- google feed: what waited is in the file
UPDATE google_feed_products SET sync_status = 'synced', last_sync_at = %(now)s WHERE sync_status = 'pending'
"""


@dataclass(frozen=True, slots=True)
class Stands:
    """How an offer stands. `issues` None: they stay as they are; `sent`: Google was told just now."""

    key: Key
    standing: Standing
    reason: str | None = None
    issues: Sequence[dict[str, str]] | None = None
    sent: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of an offer at Google. `act` None: nothing was taken."""

    offer_id: str
    key: Key
    state: Literal["active", "refused"]
    content_hash: str
    offer_hash: str
    act: Literal["insert", "patch"] | None = None
    code: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class There:
    """An offer that Google holds."""

    offer_id: str
    content_language: str
    feed_label: str
    shopify_product_id: str
    shopify_variant_id: str | None

    @property
    def key(self) -> Key:
        return self.shopify_product_id, self.shopify_variant_id

    @property
    def place(self) -> tuple[str, str]:
        return self.content_language, self.feed_label


def stand(session: Session, rows: Sequence[Stands], *, now: datetime) -> None:
    """Write how offers stand; rows that stand like that already are not touched."""
    if not rows:
        return
    values = {
        "products": [row.key[0] for row in rows],
        "variants": [row.key[1] for row in rows],
        "standings": [row.standing for row in rows],
        "reasons": [row.reason for row in rows],
        "issues": [None if row.issues is None else Jsonb(list(row.issues)) for row in rows],
        "sent": [row.sent for row in rows],
        "now": now,
    }
    session.execute(STAND, values)


def held(session: Session, place: tuple[str, str], offer_ids: Sequence[str]) -> dict[str, Held]:
    """What Google holds, by offer id."""
    values = {"language": place[0], "label": place[1], "ids": list(offer_ids)}
    return {row["offer_id"]: Held(**row) for row in session.all(HELD, values)} if offer_ids else {}


def seen(session: Session, place: tuple[str, str], offer_ids: Sequence[str], run: UUID) -> None:
    """The run has seen these offers: they are not deleted at its end."""
    if offer_ids:
        values = {"language": place[0], "label": place[1], "ids": list(offer_ids), "run": run}
        session.execute(SEEN, values)


def unseen(session: Session, keys: Sequence[Key]) -> None:
    """Offers of these rows have left the feed while a run that had seen them is under way."""
    if keys:
        session.execute(UNSEEN, {"products": [key for key, _ in keys], "variants": [variant for _, variant in keys]})


def record(
    session: Session, place: tuple[str, str], rows: Sequence[Recorded], *, run: UUID | None, now: datetime
) -> None:
    """Keep what Google has taken or refused."""
    if not rows:
        return
    values = {
        "language": place[0],
        "label": place[1],
        "ids": [row.offer_id for row in rows],
        "products": [row.key[0] for row in rows],
        "variants": [row.key[1] for row in rows],
        "states": [row.state for row in rows],
        "contents": [row.content_hash for row in rows],
        "terms": [row.offer_hash for row in rows],
        "acts": [row.act for row in rows],
        "codes": [row.code for row in rows],
        "errors": [row.error for row in rows],
        "run": run,
        "now": now,
        "today": now.astimezone(UTC).date(),
    }
    session.execute(RECORD, values)


def deleted(session: Session, rows: Sequence[There], *, now: datetime) -> None:
    """Google holds these no more."""
    if rows:
        values = {
            "languages": [row.content_language for row in rows],
            "labels": [row.feed_label for row in rows],
            "ids": [row.offer_id for row in rows],
            "now": now,
        }
        session.execute(DELETED, values)


def of_product(session: Session, keys: Sequence[str]) -> list[There]:
    """What Google holds of a product, in any language."""
    return [There(**row) for row in session.all(OF_PRODUCT, {"keys": list(keys)})]


def left(session: Session, place: tuple[str, str], run: UUID, after: tuple[str, str, str], limit: int) -> list[There]:
    """The next offers that have left the feed, behind (language, label, offer id)."""
    values = {"run": run, "language": place[0], "label": place[1], "limit": limit}
    values |= {"after_language": after[0], "after_label": after[1], "after_id": after[2]}
    return [There(**row) for row in session.all(LEFT, values)]


def shrinking(session: Session, place: tuple[str, str], run: UUID) -> tuple[int, int]:
    """(active offers, those that have left the feed)."""
    row = session.one(SHRINKING, {"run": run, "language": place[0], "label": place[1]})
    return (row["active"], row["gone"]) if row else (0, 0)


def moved_place(session: Session, place: tuple[str, str]) -> bool:
    """Whether the settings' language or country changed since something was sent."""
    return bool(session.value(MOVED_PLACE, {"language": place[0], "label": place[1]}))


def pending(session: Session, after: tuple[str, str], limit: int) -> list[Key]:
    """The next rows that wait to be sent, behind (product, variant or "")."""
    rows = session.all(PENDING, {"product": after[0], "variant": after[1], "limit": limit})
    return [(row["product"], row["variant"]) for row in rows]


def refused(session: Session, run: UUID) -> int:
    """How many offers Google has refused in this run."""
    return int(session.value(REFUSED, {"run": run}))


def wait(session: Session, keys: Sequence[str], variant: str | None) -> int:
    """Let rows of a product wait for the next run; how many there were."""
    return session.execute(WAIT, {"keys": list(keys), "variant": variant})


def rendered(session: Session, *, now: datetime) -> int:
    """Everything that waited is in the file."""
    return session.execute(RENDERED, {"now": now})
