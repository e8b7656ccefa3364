"""The rows of batch synchronisations: catalog_sync_runs, one per run, at most one open run per kind.

    full         requested ─► exporting ─► loading ─► merging ─► reconciling ─► completed
                     ▲────────────┘ the export ended without a file
    full, paged  requested ─► merging ─► reconciling ─► completed
    delta        requested ─► merging ─► completed
    any open state ─► failed | superseded (a full run takes the place of a delta)

The row carries the work from message to message: whoever works on a run locks it where he left it and gives up when
somebody else has moved it. A list of ids is no open run; a long one leaves a row when it has ended.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg.types.json import Jsonb

from functions.commerce.catalog.common import shop_read
from shared.events.alerts import AlertApiFailure
from shared.jobs import Deferred, JobContext, Permanent, RateLimited, Session
from shared.jobs.errors import JobError, LeaseLost

Kind = Literal["products", "customers", "inventory", "collections"]
Mode = Literal["full", "delta", "list"]
OPEN = ("requested", "exporting", "loading", "merging", "reconciling")

RUN_STALE_AFTER = timedelta(hours=8)
"""A run without progress for so long has lost its worker."""
DELTA_OVERLAP = timedelta(minutes=10)
"""Subtracted from the last watermark: Shopify's search lags behind its objects."""
DELETE_GUARD_FRACTION = 0.20
"""Share of the live objects above which a deletion is doubted."""
DELETE_GUARD_MIN = 20
"""Objects; fewer candidates are never doubted."""
COUNT_TOLERANCE = 0.01
"""How far Shopify's own count may differ from what was read."""


@dataclass(frozen=True, slots=True)
class Run:
    """A row of catalog_sync_runs.

    `filter`: what the run covers, and what its worker keeps for the end. With `partial` in it the run leaves a gap
    before its window, and the next run of changes must not begin where it ended.
    """

    id: UUID
    kind: Kind
    mode: Mode
    status: str
    generation: int
    bulk_operation_id: str | None
    filter: dict[str, Any]
    watermark_from: datetime | None
    watermark_to: datetime
    stage_offset: int
    stage_lines: int
    cursor: str | None
    root_count: int | None
    merged_count: int
    changed_count: int
    stale_count: int
    deleted_count: int
    poll_count: int
    restarts: int
    started_at: datetime
    exporting_at: datetime | None
    progress_at: datetime

    @property
    def seen_by(self) -> dict[str, Any]:
        """What a full run writes into the marks of what it saw: its generation, and how old its file may be."""
        if self.mode != "full":
            return {}
        return {"generation": self.generation, "taken_at": self.started_at if self.bulk_operation_id else None}

    @property
    def unchanged(self) -> int:
        """Objects that were held as Shopify has them."""
        return max(0, self.merged_count - self.changed_count - self.stale_count)


FIND = """
-- catalog runs: one run
SELECT id, kind, mode, status, generation, bulk_operation_id, filter, watermark_from, watermark_to, stage_offset,
       stage_lines, cursor, root_count, merged_count, changed_count, stale_count, deleted_count, poll_count, restarts,
       started_at, exporting_at, progress_at
FROM catalog_sync_runs WHERE id = %(id)s AND kind = %(kind)s
"""

FIND_OPEN = """
-- catalog runs: the open run of a kind
SELECT id, kind, mode, status, generation, bulk_operation_id, filter, watermark_from, watermark_to, stage_offset,
       stage_lines, cursor, root_count, merged_count, changed_count, stale_count, deleted_count, poll_count, restarts,
       started_at, exporting_at, progress_at
FROM catalog_sync_runs
WHERE kind = %(kind)s AND status IN ('requested', 'exporting', 'loading', 'merging', 'reconciling')
FOR UPDATE
"""

INSERT = """
-- catalog runs: open a run
INSERT INTO catalog_sync_runs (id, kind, mode, filter, watermark_from, watermark_to, requested_by, started_at,
                               progress_at)
VALUES (%(id)s, %(kind)s, %(mode)s, %(filter)s, %(watermark_from)s, %(now)s, %(requested_by)s, %(now)s, %(now)s)
RETURNING id, kind, mode, status, generation, bulk_operation_id, filter, watermark_from, watermark_to, stage_offset,
          stage_lines, cursor, root_count, merged_count, changed_count, stale_count, deleted_count, poll_count,
          restarts, started_at, exporting_at, progress_at
"""

HOLD = """
-- catalog runs: lock a run if it still stands where this worker left it
SELECT watermark_from FROM catalog_sync_runs
WHERE id = %(id)s AND status = %(status)s AND cursor IS NOT DISTINCT FROM %(cursor)s AND restarts = %(restarts)s
  AND poll_count = %(poll_count)s AND stage_lines = %(stage_lines)s
FOR UPDATE
"""

SAVE = """
-- catalog runs: how far a run has come; its watermark may be lowered by others meanwhile
UPDATE catalog_sync_runs
SET status = %(status)s, bulk_operation_id = %(bulk_operation_id)s, filter = %(filter)s,
    stage_offset = %(stage_offset)s, stage_lines = %(stage_lines)s, cursor = %(cursor)s, root_count = %(root_count)s,
    merged_count = %(merged_count)s, changed_count = %(changed_count)s, stale_count = %(stale_count)s,
    deleted_count = %(deleted_count)s, poll_count = %(poll_count)s, restarts = %(restarts)s,
    exporting_at = %(exporting_at)s, progress_at = %(now)s
WHERE id = %(id)s
"""

# A run without a watermark is bounded by something else than changes (createdSince) or by nothing: none narrows it.
JOIN = """
-- catalog runs: a second request for changes joins the open one
UPDATE catalog_sync_runs SET watermark_from = LEAST(watermark_from, %(since)s)
WHERE id = %(id)s AND mode = 'delta' AND watermark_from IS NOT NULL
"""

END = """
-- catalog runs: a run has ended
UPDATE catalog_sync_runs
SET status = %(status)s, error_code = %(code)s, error_message = %(message)s, completed_at = %(now)s,
    progress_at = %(now)s
WHERE id = %(id)s AND status IN ('requested', 'exporting', 'loading', 'merging', 'reconciling')
"""

RECORD = """
-- catalog runs: a long list has been worked off
INSERT INTO catalog_sync_runs (id, kind, mode, status, filter, merged_count, changed_count, stale_count, deleted_count,
                               requested_by, started_at, progress_at, completed_at)
VALUES (%(id)s, %(kind)s, 'list', 'completed', %(filter)s, %(merged)s, %(changed)s, %(stale)s, %(deleted)s,
        %(requested_by)s, %(started_at)s, %(now)s, %(now)s)
ON CONFLICT (id) DO NOTHING
"""

CLEAR_STAGE = """
-- catalog runs: what a run has staged
DELETE FROM catalog_sync_stage WHERE run_id = %(id)s
"""

LAST = """
-- catalog runs: the last completed runs of a kind
SELECT max(watermark_to) AS watermark, max(started_at) FILTER (WHERE mode = 'full') AS full_at,
       max(completed_at) FILTER (WHERE mode = 'full') AS full_completed_at
FROM catalog_sync_runs
WHERE kind = %(kind)s AND mode IN ('full', 'delta') AND status = 'completed' AND NOT filter ? 'partial'
"""


class Moved(Exception):
    """The run is no longer where this worker left it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """`ours`: this message has opened the run, or goes on with it after a crash; else it joined the open one."""

    run: Run
    ours: bool


@dataclass(frozen=True, slots=True)
class Last:
    """Instants of the last completed runs of a kind, None where there was none."""

    watermark: datetime | None
    full_at: datetime | None
    full_completed_at: datetime | None

    @property
    def since(self) -> datetime | None:
        """From when on changes have to be read."""
        return self.watermark - DELTA_OVERLAP if self.watermark else None


def last_of(session: Session, kind: Kind) -> Last:
    """When this kind was synchronised the last time."""
    return Last(**(session.one(LAST, {"kind": kind}) or {}))


def find(ctx: JobContext, id: UUID, kind: Kind) -> Run:
    """The run of a message. Raises Permanent SYNC_RUN_NOT_FOUND."""
    with ctx.tenant_session(read_only=True) as session:
        return find_in(session, id, kind)


def find_in(session: Session, id: UUID, kind: Kind) -> Run:
    """The same within an open transaction."""
    row = session.one(FIND, {"id": id, "kind": kind})
    if row is None:
        raise Permanent("SYNC_RUN_NOT_FOUND", "the tenant has no such run")
    return Run(**row)


def open_run(
    session: Session,
    *,
    id: UUID,
    kind: Kind,
    mode: Mode,
    now: datetime,
    requested_by: str,
    watermark_from: datetime | None = None,
    filter: Mapping[str, Any] | None = None,
) -> Opened:
    """Open a run, or join the open one of this kind.

    A full run takes the place of a delta; a run that has lost its worker makes room.
    """
    session.lock(f"catalog-run:{kind}")
    row = session.one(FIND_OPEN, {"kind": kind})
    if row is not None:
        held = Run(**row)
        if held.id == id:
            return Opened(held, True)
        if held.progress_at < now - RUN_STALE_AFTER:
            end(session, held.id, "failed", now=now, code="RUN_STALE", message="no progress for 8 hours")
        elif mode == "full" and held.mode == "delta":
            end(session, held.id, "superseded", now=now)
        else:
            if mode == "delta" and watermark_from is not None:
                session.execute(JOIN, {"id": held.id, "since": watermark_from})
            return Opened(held, False)
    values = {
        "id": id,
        "kind": kind,
        "mode": mode,
        "filter": Jsonb(dict(filter or {})),
        "watermark_from": watermark_from,
        "requested_by": requested_by,
        "now": now,
    }
    inserted = session.one(INSERT, values)
    assert inserted is not None
    return Opened(Run(**inserted), True)


def hold(session: Session, run: Run) -> datetime | None:
    """Lock the run; its watermark, which others may have lowered. Raises Moved."""
    row = session.one(HOLD, _columns(run))
    if row is None:
        raise Moved
    since: datetime | None = row["watermark_from"]
    return since


def save(session: Session, run: Run, *, now: datetime, **changes: Any) -> Run:
    """Write what has changed of a run that is held; the run as it stands now."""
    moved = replace(run, **changes, progress_at=now)
    session.execute(SAVE, {**_columns(moved), "filter": Jsonb(moved.filter), "now": now})
    return moved


def end(
    session: Session,
    id: UUID,
    status: Literal["completed", "failed", "superseded"],
    *,
    now: datetime,
    code: str | None = None,
    message: str | None = None,
) -> bool:
    """End a run and clear its stage; False when it had ended before."""
    session.execute(CLEAR_STAGE, {"id": id})
    return session.execute(END, {"id": id, "status": status, "code": code, "message": message, "now": now}) == 1


def complete(session: Session, run: Run, *, now: datetime) -> None:
    """End a run that did what it was to do."""
    save(session, run, now=now)
    end(session, run.id, "completed", now=now)
    shop_read(session, now)


@contextmanager
def failing(ctx: JobContext, id: UUID) -> Iterator[None]:
    """End the run as failed when this message does: nobody else comes back for it."""
    try:
        yield
    except (LeaseLost, RateLimited, Deferred, Moved):
        raise
    except Exception as error:
        if isinstance(error, Permanent) or ctx.last_attempt:
            code = error.code if isinstance(error, JobError) else "UNEXPECTED"
            with ctx.tenant_session() as session:
                end(session, id, "failed", now=ctx.now(), code=code, message=type(error).__name__)
        raise


# -- deletions ---------------------------------------------------------------------------------------------------------


def doubtful(candidates: int, live: int) -> bool:
    """Whether so many vanished objects must be confirmed by Shopify's own count."""
    return candidates >= DELETE_GUARD_MIN and candidates > DELETE_GUARD_FRACTION * live


def shrunk(counted: int, read: int) -> bool:
    """Whether Shopify's count says that the reading was not complete."""
    return abs(counted - read) > COUNT_TOLERANCE * max(counted, read)


def refuse_deletion(ctx: JobContext, run: Run, *, candidates: int, live: int) -> Permanent:
    """End the run without deleting anything, tell someone, and give the error back that the handler raises."""
    with ctx.tenant_session() as session:
        end(session, run.id, "failed", now=ctx.now(), code="CATALOG_SHRUNK", message=f"{candidates} of {live} vanished")
        session.emit(
            AlertApiFailure(
                severity="warning",
                source="catalog",
                service="shopify",
                title=f"Shopify's {run.kind} shrank too much to be believed",
                message=f"{candidates} of {live} {run.kind} are missing from what Shopify gave, but not from its own "
                "count. Nothing was deleted.",
                dedupe_key=f"catalog-shrunk:{ctx.tenant.slug}:{run.id}",
                context={"kind": run.kind, "candidates": candidates, "live": live},
            )
        )
    return Permanent("CATALOG_SHRUNK", f"{candidates} of {live} {run.kind} vanished")


def _columns(run: Run) -> dict[str, Any]:
    return {each.name: getattr(run, each.name) for each in fields(run)}


def record(
    session: Session, id: UUID, kind: Kind, ids: int, figures: Mapping[str, int], started_at: str, *, now: datetime
) -> None:
    """Leave a row of a long list that has been worked off."""
    values = {**figures, "id": id, "kind": kind, "filter": Jsonb({"ids": ids}), "started_at": started_at, "now": now}
    session.execute(RECORD, {**values, "requested_by": "app"})


def going(session: Session, kind: Kind, *, now: datetime) -> Run | None:
    """The open run of a kind, if somebody still works on it."""
    row = session.one(FIND_OPEN, {"kind": kind})
    run = Run(**row) if row else None
    return run if run is not None and run.progress_at >= now - RUN_STALE_AFTER else None
