"""The row of one synchronisation in google_feed_sync_history, and what the settings say of the last one.

    (none) ─► running ─► completed | failed          by the run itself
                 └─► cancelled                        by an application, or by the next run when it stood still

At most one row is running. Figures of the preparation are set, those of sending and deleting are added to, both in the
transaction that does the work, so that a run that is begun again after a crash counts right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from shared.google_feed.settings import FeedSettings
from shared.jobs.context import Session

SYNC_STALE_AFTER = timedelta(hours=2)
ERRORS_KEPT = 500
"""Entries of the column errors; what is beyond is only counted."""
NEXT = {"hourly": timedelta(hours=1), "daily": timedelta(days=1), "weekly": timedelta(days=7)}
QUOTA_STOP = "DAILY_LIMIT_REACHED"
"""Entry of the column errors: the run waits for the next day of Google's quota."""

RUNNING = """
-- google feed: the run under way
SELECT id, started_at FROM google_feed_sync_history WHERE status = 'running' ORDER BY started_at DESC FOR UPDATE
"""
UNDER_WAY = """
-- google feed: the run under way, looked at by others
SELECT id FROM google_feed_sync_history WHERE status = 'running' AND started_at > %(since)s
ORDER BY started_at DESC LIMIT 1
"""
CANCEL = """
-- google feed: runs that stand still make room
UPDATE google_feed_sync_history SET status = 'cancelled', completed_at = %(now)s
WHERE status = 'running' AND id <> %(id)s
"""
OPEN = """
-- google feed: open a run
INSERT INTO google_feed_sync_history (id, started_at, created_at) VALUES (%(id)s, %(now)s, %(now)s)
ON CONFLICT (id) DO UPDATE SET status = 'running', completed_at = NULL
WHERE google_feed_sync_history.status = 'failed'
"""
LAST_START = """
-- google feed: when the last run that did its work began
SELECT max(started_at) FROM google_feed_sync_history WHERE status = 'completed'
"""
READ = """
-- google feed: one run
SELECT id, started_at, status::text AS status, total_products AS total, products_synced AS synced,
       products_added AS added, products_updated AS updated, products_removed AS removed,
       products_excluded AS excluded, products_with_errors AS errors,
       jsonb_path_exists(COALESCE(errors, '[]'), '$[*] ? (@.code == "DAILY_LIMIT_REACHED")') AS quota_stopped
FROM google_feed_sync_history WHERE id = %(id)s
"""
PREPARED = """
-- google feed: what the preparation found
UPDATE google_feed_sync_history
SET total_products = %(total)s, products_synced = %(synced)s, products_excluded = %(excluded)s,
    products_with_errors = %(errors)s
WHERE id = %(id)s AND status = 'running'
"""
ADD = """
-- google feed: what a page of work adds to the run
UPDATE google_feed_sync_history
SET products_synced = products_synced + %(synced)s, products_added = products_added + %(added)s,
    products_updated = products_updated + %(updated)s, products_removed = products_removed + %(removed)s,
    products_excluded = products_excluded + %(excluded)s, products_with_errors = products_with_errors + %(errors)s
WHERE id = %(id)s AND status = 'running'
"""
# An offer stands in the list once for a code, however often its page is done again. What is about the whole run (no
# offerId) stands in it whatever else there is: the second stop for the quota is told from the first by it.
NOTE = """
-- google feed: errors of a page, as many as are kept
UPDATE google_feed_sync_history h
SET errors = (
    SELECT jsonb_agg(kept.entry ORDER BY kept.n) FROM (
        SELECT once.entry, once.n FROM (
            SELECT DISTINCT ON (e.entry ->> 'offerId', e.entry ->> 'code') e.entry, e.n
            FROM jsonb_array_elements(COALESCE(h.errors, '[]') || %(entries)s::jsonb) WITH ORDINALITY AS e (entry, n)
            ORDER BY e.entry ->> 'offerId', e.entry ->> 'code', e.n
        ) AS once
        ORDER BY once.entry ->> 'offerId' IS NOT NULL, once.n LIMIT %(kept)s
    ) AS kept)
WHERE h.id = %(id)s
"""
ALIVE = """
-- google feed: whether the run is still the one that works
SELECT status = 'running' FROM google_feed_sync_history WHERE id = %(id)s
"""
END = """
-- google feed: a run has ended
UPDATE google_feed_sync_history
SET status = %(status)s::google_feed_sync_status, completed_at = %(now)s, feed_url = %(feed_url)s,
    feed_size_bytes = %(bytes)s, feed_product_count = %(count)s,
    duration_ms = LEAST(2147483647, extract(epoch FROM %(now)s::timestamptz - started_at) * 1000)::integer
WHERE id = %(id)s AND status = 'running'
"""
SETTLE = """
-- google feed: what the settings say of the last run
UPDATE google_feed_settings
SET last_sync_at = %(now)s, last_sync_status = %(status)s::google_feed_sync_status, last_sync_error = %(error)s,
    next_sync_at = %(next)s, feed_storage_key = COALESCE(%(storage_key)s, feed_storage_key)
WHERE id = %(settings)s
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """A run's figures, in offers. `synced`: what Google or the file has; of these `added` and `updated` were sent."""

    id: UUID
    started_at: datetime
    status: str
    total: int
    synced: int
    added: int
    updated: int
    removed: int
    excluded: int
    errors: int
    quota_stopped: bool

    @property
    def unchanged(self) -> int:
        """Offers for which nothing had to be sent."""
        return max(0, self.synced - self.added - self.updated)


@dataclass(slots=True)
class Counts:
    """What a page of work adds."""

    synced: int = 0
    added: int = 0
    updated: int = 0
    removed: int = 0
    excluded: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class FeedFileFacts:
    """A file that was stored."""

    key: str
    bytes: int
    count: int


def open_run(session: Session, id: UUID, now: datetime, *, due: bool) -> UUID | None:
    """Open the run `id`, or go on with it: `id`. Another run that is under way: its id. Neither, nor due: None."""
    session.lock("google-feed-sync")
    rows = session.all(RUNNING)
    if any(row["id"] == id for row in rows):
        return id
    fresh = next((row["id"] for row in rows if row["started_at"] > now - SYNC_STALE_AFTER), None)
    if fresh is not None or not due:
        return fresh
    session.execute(CANCEL, {"id": id, "now": now})
    session.execute(OPEN, {"id": id, "now": now})
    return id


def running(session: Session, now: datetime) -> UUID | None:
    """The run that is under way and has not stood still; its row is not locked."""
    found: UUID | None = session.value(UNDER_WAY, {"since": now - SYNC_STALE_AFTER})
    return found


def changed_since(session: Session, settings: FeedSettings) -> datetime | None:
    """From when on changes count: the beginning of the last run, because what moved while it worked may be missing."""
    began = session.value(LAST_START)
    known = [each for each in (began, settings.last_sync_at) if each is not None]
    return min(known) if known else None


def read(session: Session, id: UUID) -> Figures | None:
    """The run's figures."""
    row = session.one(READ, {"id": id})
    return Figures(**row) if row else None


def alive(session: Session, id: UUID) -> bool:
    """Whether the run still works: no application and no newer run has cancelled it."""
    return bool(session.value(ALIVE, {"id": id}))


def prepared(session: Session, id: UUID, *, total: int, synced: int, excluded: int, errors: int) -> bool:
    """Set what the preparation found; False when the run works no more."""
    values = {"id": id, "total": total, "synced": synced, "excluded": excluded, "errors": errors}
    return session.execute(PREPARED, values) == 1


def add(session: Session, id: UUID, counts: Counts) -> bool:
    """Add a page's figures; False when the run works no more."""
    values = {name: getattr(counts, name) for name in Counts.__slots__}
    return session.execute(ADD, {"id": id, **values}) == 1


def note(session: Session, id: UUID, entries: Sequence[dict[str, Any]]) -> None:
    """Keep errors: {offerId, code, message}."""
    if entries:
        session.execute(NOTE, {"id": id, "entries": Jsonb(list(entries)), "kept": ERRORS_KEPT})


def end(
    session: Session,
    id: UUID,
    settings: FeedSettings,
    status: Literal["completed", "failed"],
    *,
    now: datetime,
    error: str | None = None,
    feed_url: str | None = None,
    file: FeedFileFacts | None = None,
) -> bool:
    """End the run and settle the time of the next one; False when it had ended before."""
    values: dict[str, Any] = {"id": id, "status": status, "now": now, "feed_url": feed_url}
    values |= {"bytes": file.bytes if file else None, "count": file.count if file else None}
    if session.execute(END, values) != 1:
        return False
    following = now + NEXT.get(settings.update_frequency, NEXT["daily"])
    settled = {"settings": settings.id, "status": status, "error": error, "next": following, "now": now}
    session.execute(SETTLE, {**settled, "storage_key": file.key if file else None})
    return True
