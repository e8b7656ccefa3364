"""One sweep over what Shopify changed: which orders we lack or hold in an older state, and bringing those in.

    page    ids and last changes, page by page, compared with the marks of what we hold
    fetch   whole orders, those that are missing first, stored in chunks

The state fits into a cursor: a sweep that comes near its deadline goes on in another leg, behind the last whole page.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID

from functions.commerce.order_backfill import runs
from functions.commerce.order_backfill.loading import Chunk, chunk_of, commit, note_mismatches
from functions.commerce.order_backfill.windows import Window
from shared.events.orders import OrderSyncBatch
from shared.integrations.shopify import IdsPage, Shopify
from shared.jobs import JobContext
from shared.orders.marks import NEVER, mark_gone
from shared.orders.store import store_orders

SOURCE = "reconciliation"
"""order_sync_marks.first_source of what a sweep sees first, and `source` of what it hands on."""
FETCH_MAX = 1_000
"""Orders that one sweep fetches at most, whatever the message says: their ids must fit into a cursor."""
FETCH_CHUNK = 50
"""Orders per transaction; the client asks for them in smaller portions, as their cost allows."""
HAND_ON = 1_000
"""Ids per order.syncBatch: one slice of a run."""
CHUNK_ROOM_S = 30.0
"""Seconds that must be left to begin another page or chunk."""

SEEN_MARKS = """
-- order reconciliation: how new what we hold of these orders is
SELECT shopify_order_id, shopify_updated_at FROM order_sync_marks WHERE shopify_order_id = ANY(%(ids)s)
"""

HELD_BY_DAY = """
-- order reconciliation: how many of Shopify's orders we hold of each day
SELECT (SELECT count(*)
        FROM orders o
        JOIN order_sync_marks m ON m.order_id = o.id AND m.deleted_at IS NULL AND m.shopify_updated_at > %(never)s
        WHERE o.created_at >= d.day_from AND o.created_at < d.day_to) AS held
FROM unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) WITH ORDINALITY AS d (day_from, day_to, n)
ORDER BY d.n
"""

COUNT_CHUNK = """
-- order reconciliation: what a chunk adds to its run
UPDATE order_sync_runs
SET stored = stored + %(stored)s, created = created + %(created)s, stale = stale + %(stale)s,
    failed = failed + %(failed)s, progress_at = %(now)s
WHERE id = %(run_id)s
"""


@dataclass(frozen=True, slots=True)
class Storing:
    """How what is fetched is stored."""

    include_test: bool
    announce: runs.Announce = "recent"


@dataclass(slots=True)
class Sweep:
    """Where a sweep stands. `todo`: windows that are still to be paged, the first one from `after` on.

    `missing` and `outdated` count orders; `missing_ids` and `outdated_ids` are those that may still be fetched here,
    `rest_ids` those that are handed on.
    """

    window_from: datetime
    window_to: datetime
    outage_from: datetime | None
    """Where an outage began that is too long for this sweep; its older part is handed on."""
    most: int
    todo: list[Window]
    after: str | None = None
    checked: int = 0
    missing: int = 0
    outdated: int = 0
    synced: int = 0
    handed_on: int = 0
    failed: int = 0
    missing_ids: list[str] = field(default_factory=list)
    outdated_ids: list[str] = field(default_factory=list)
    rest_ids: list[str] = field(default_factory=list)

    def cursor(self) -> dict[str, Any]:
        """As JSON."""
        held = {name: getattr(self, name) for name in self.__slots__}
        held |= {name: _text(held[name]) for name in ("window_from", "window_to", "outage_from")}
        return {**held, "todo": [[_text(w.start), _text(w.end), w.by] for w in self.todo]}

    @classmethod
    def from_cursor(cls, cursor: dict[str, Any]) -> Sweep:
        """The sweep that another leg left."""
        instants = {name: _instant(cursor[name]) for name in ("window_from", "window_to", "outage_from")}
        todo = [Window(_instant(start), _instant(end), by) for start, end, by in cursor["todo"]]
        return cls(**{**cursor, **instants, "todo": todo})

    def note(self, page: IdsPage, held: dict[str, datetime]) -> None:
        """Compare a page with the marks of its orders, and go on behind it."""
        window = self.todo[0]
        for order in page.orders:
            if window.by == "created" and self.window_from <= order.updated_at < self.window_to:
                continue  # the window of changes has seen it already
            self.checked += 1
            seen = held.get(order.legacy_id)
            if seen is None:
                self.missing += 1
                self._want(self.missing_ids, order.legacy_id)
            elif order.updated_at > seen:
                self.outdated += 1
                self._want(self.outdated_ids, order.legacy_id)
        self.after = page.end_cursor if page.has_next else None
        if self.after is None:
            self.todo = self.todo[1:]

    def _want(self, ids: list[str], legacy_id: str) -> None:
        """Neither list may grow beyond what could be fetched even if the other one were empty."""
        (ids if len(ids) < self.most else self.rest_ids).append(legacy_id)

    def choose(self) -> list[str]:
        """The orders to fetch, the missing ones first; what is above `most` joins the rest. Empties the lists."""
        wanted = list(dict.fromkeys([*self.missing_ids, *self.outdated_ids]))
        self.missing_ids, self.outdated_ids = [], []
        self.rest_ids += wanted[self.most :]
        return wanted[: self.most]

    def batches(self, *, whole: bool = False) -> list[OrderSyncBatch]:
        """The messages that bring in what is handed on; takes their orders off the rest. `whole`: full ones only."""
        rest = list(dict.fromkeys(self.rest_ids))
        cut = len(rest) - len(rest) % HAND_ON if whole else len(rest)
        self.rest_ids = rest[cut:]
        self.handed_on += cut
        return [
            OrderSyncBatch(shopify_order_ids=rest[first : min(first + HAND_ON, cut)], announce="recent", source=SOURCE)
            for first in range(0, cut, HAND_ON)
        ]


class Pace:
    """Whether another page or chunk may begin in this leg. The first one always may, so every leg gets on."""

    def __init__(self, ctx: JobContext) -> None:
        self._ctx = ctx
        self._began = False

    def ends_leg(self) -> bool:
        """Asked before each page and chunk."""
        first, self._began = not self._began, True
        return not first and self._ctx.remaining_s() < CHUNK_ROOM_S


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()


def _instant(text: str | None) -> Any:
    return None if text is None else datetime.fromisoformat(text)


def differing_days(ctx: JobContext, shopify: Shopify, start: datetime, end: datetime) -> list[Window]:
    """The UTC days of [start, end) of which Shopify counts another number of orders than we hold."""
    days = list(utc_days(start, end))
    names = {"starts": [d.start for d in days], "ends": [d.end for d in days], "never": NEVER}
    with ctx.tenant_session(read_only=True) as session:
        held = [row["held"] for row in session.all(HELD_BY_DAY, names)]
    return [day for day, count in zip(days, held, strict=True) if shopify.orders_count(day.query) != count]


def utc_days(start: datetime, end: datetime) -> Iterator[Window]:
    """[start, end) cut at UTC midnights, by the instant at which orders were created."""
    while start < end:
        midnight = datetime.combine(start.astimezone(UTC).date() + timedelta(days=1), datetime.min.time(), UTC)
        yield Window(start, min(midnight, end), "created")
        start = midnight


def read_pages(ctx: JobContext, shopify: Shopify, sweep: Sweep, pace: Pace) -> None:
    """Page through the windows. Near the deadline the sweep goes on in another leg; raises what the client raises."""
    while sweep.todo:
        if pace.ends_leg():
            _leave(ctx, sweep)
        page = shopify.order_ids(sweep.todo[0].query, after=sweep.after)
        with ctx.tenant_session(read_only=True) as session:
            rows = session.all(SEEN_MARKS, {"ids": [order.legacy_id for order in page.orders]})
        sweep.note(page, {row["shopify_order_id"]: row["shopify_updated_at"] for row in rows})
        if len(sweep.rest_ids) >= HAND_ON:
            with ctx.tenant_session() as session:
                session.emit_many([(batch, None) for batch in sweep.batches(whole=True)])


def fetch_orders(
    ctx: JobContext, shopify: Shopify, sweep: Sweep, ids: Sequence[str], storing: Storing, pace: Pace
) -> None:
    """Bring whole orders in, a transaction per chunk. Near the deadline the rest goes on in another leg."""
    for first in range(0, len(ids), FETCH_CHUNK):
        if pace.ends_leg():
            sweep.missing_ids = list(ids[first:])
            _leave(ctx, sweep)
        part = ids[first : first + FETCH_CHUNK]
        nodes = shopify.order_nodes(part)
        gone = tuple(id for id, node in zip(part, nodes, strict=True) if node is None)
        chunk = replace(chunk_of(ctx, [node for node in nodes if node is not None]), missing=gone)
        synced, failed = commit(ctx, storing, chunk, lambda chunk: _store(ctx, chunk, storing, ctx.run_id))
        sweep.synced += synced
        sweep.failed += failed


def _leave(ctx: JobContext, sweep: Sweep) -> NoReturn:
    """Go on in another leg; the cursor holds at most 2 * FETCH_MAX ids, so what is handed on anyway goes now."""
    if sweep.rest_ids:
        with ctx.tenant_session() as session:
            session.emit_many([(batch, None) for batch in sweep.batches()])
    ctx.continue_from(sweep.cursor())


def _store(ctx: JobContext, chunk: Chunk, storing: Storing, run_id: UUID) -> tuple[int, int]:
    """Orders that are in Shopify's present state now, and those that could not be stored."""
    with ctx.tenant_session() as session:
        stored = store_orders(
            session,
            chunk.records,
            tenant=ctx.tenant,
            now=ctx.now(),
            source=SOURCE,
            announce=storing.announce,
            include_test=storing.include_test,
        )
        mark_gone(session, sorted(chunk.missing), source=SOURCE, now=ctx.now())
        note_mismatches(ctx, stored)
        added = {
            "stored": stored.created + stored.updated,
            "created": stored.created,
            "stale": stored.stale,
            "failed": chunk.failed,
        }
        session.execute(COUNT_CHUNK, {"run_id": run_id, "now": ctx.now(), **added})
    return stored.created + stored.updated + stored.unchanged, chunk.failed
