"""What the ledger can be asked: runs by what is known of them, one run with all that belongs to it, counts, cancelling.

Reads schema `jobs` as the jobs' own login. Payloads stay sealed here; who opens one needs the key (payloads.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.rows import class_row, dict_row

from shared.jobs.payloads import SealedPayload

STATES = (
    "running",
    "retrying",
    "deferred",
    "continuing",
    "succeeded",
    "dead",
    "skipped",
    "cancelled",
    "duplicate",
)
"""What a run can be."""
OPEN_STATES = ("running", "retrying", "deferred", "continuing")
"""States of a run that is not over."""
CHAIN_MAX = 50
"""Runs of the same chain that `show` lists."""

COLUMNS = """run_id, run_at, job, tenant, key, event, state, attempt, seq, code, detail, correlation_id, causation_id,
       message_id, source, sent_at, started_at, ended_at, next_at, duration_ms, work_ms, result, progress,
       cancel_requested_at, hops"""

MATCH = """(%(job)s::text IS NULL OR job = %(job)s)
  AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
  AND (%(state)s::text IS NULL OR state = %(state)s)
  AND (%(code)s::text IS NULL OR code = %(code)s)
  AND (%(correlation_id)s::text IS NULL OR correlation_id = %(correlation_id)s)
  AND (%(message_id)s::text IS NULL OR message_id = %(message_id)s)
  AND (%(since)s::timestamptz IS NULL OR run_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR run_at < %(until)s)"""
"""Unprepared statements are planned with their values, so an absent condition costs nothing and `since` prunes days."""

SEARCH = f"""
-- ledger: runs, the newest first, page by page
SELECT {COLUMNS} FROM jobs.runs
WHERE {MATCH}
  AND (%(after_at)s::timestamptz IS NULL OR (run_at, run_id) < (%(after_at)s, %(after_id)s::uuid))
ORDER BY run_at DESC, run_id DESC
LIMIT %(limit)s
"""  # noqa: S608 - put together from constants of this module only
COUNT = f"""
-- ledger: how many runs of each job are in each state
SELECT job, state, count(*) AS runs FROM jobs.runs WHERE {MATCH} GROUP BY job, state ORDER BY job, state
"""  # noqa: S608 - put together from constants of this module only
FIND = f"""
-- ledger: one run
SELECT {COLUMNS} FROM jobs.runs WHERE run_id = %(run_id)s
"""  # noqa: S608 - put together from constants of this module only
ROOTS = f"""
-- ledger: runs that a sent message started, without those that they caused in turn
SELECT {COLUMNS} FROM jobs.runs
WHERE correlation_id = %(correlation_id)s AND causation_id IS NULL AND job = ANY(%(jobs)s)
ORDER BY run_at, run_id
"""  # noqa: S608 - put together from constants of this module only
CHAIN = f"""
-- ledger: the other runs of a chain, in their order
SELECT {COLUMNS} FROM jobs.runs
WHERE correlation_id = %(correlation_id)s AND run_id <> %(run_id)s
ORDER BY run_at, run_id LIMIT {CHAIN_MAX}
"""  # noqa: S608 - put together from constants of this module only
CLAIM = """
-- ledger: the claim that belongs to a run; none when a later run took the key over
SELECT state, attempt, seq, lease_until, not_before, work_ms, updated_at FROM jobs.claims WHERE run_id = %(run_id)s
"""
PAYLOAD = """
-- ledger: the sealed payload of a run
SELECT body, blob_key FROM jobs.payloads WHERE run_id = %(run_id)s
"""
CANCEL = """
-- ledger: end a run that waits
WITH ended AS (
    UPDATE jobs.claims SET state = 'cancelled', not_before = NULL, ended_at = %(now)s, updated_at = %(now)s
    WHERE run_id = %(run_id)s AND state IN ('waiting', 'continuing')
    RETURNING run_id, run_at
)
UPDATE jobs.runs r SET state = 'cancelled', cancel_requested_at = COALESCE(r.cancel_requested_at, %(now)s),
    ended_at = %(now)s, next_at = NULL
FROM ended e WHERE r.run_id = e.run_id AND r.run_at = e.run_at
"""
ASK_TO_STOP = """
-- ledger: ask a run to stop
UPDATE jobs.runs SET cancel_requested_at = COALESCE(cancel_requested_at, %(now)s)
WHERE run_id = %(run_id)s AND state = ANY(%(open)s)
RETURNING cancel_requested_at
"""
WAITING = """
-- ledger: what the outbox still holds
SELECT count(*), min(created_at), COALESCE(max(attempts), 0) FROM jobs.outbox
"""

Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Conditions that all must hold; None asks nothing. `since` inclusive, `until` exclusive, on the run's begin."""

    job: str | None = None
    tenant: str | None = None
    state: str | None = None
    code: str | None = None
    correlation_id: str | None = None
    message_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class RunRow:
    """One row of jobs.runs. `attempt`: 1 for the first, 0 for a message that never ran; `seq`: number of the leg."""

    run_id: UUID
    run_at: datetime
    job: str
    tenant: str
    key: str
    event: str | None
    state: str
    attempt: int
    seq: int
    code: str | None
    detail: str | None
    correlation_id: str | None
    causation_id: str | None
    message_id: str | None
    source: str | None
    sent_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    next_at: datetime | None
    duration_ms: int | None
    work_ms: int
    result: Any
    progress: Any
    cancel_requested_at: datetime | None
    hops: int

    @property
    def open(self) -> bool:
        """Whether the run is not over."""
        return self.state in OPEN_STATES


@dataclass(frozen=True, slots=True)
class Page:
    """Runs, the newest first; `next` continues after them, None on the last page."""

    runs: list[RunRow]
    next: str | None


@dataclass(frozen=True, slots=True)
class Moment:
    """One entry of a run's timeline."""

    at: datetime
    what: str


@dataclass(frozen=True, slots=True)
class RunDetail:
    """A run with its claim (column -> value), its timeline, the other runs of its chain; payload_kept: still there."""

    run: RunRow
    claim: dict[str, Any] | None
    timeline: list[Moment]
    chain: list[RunRow]
    payload_kept: bool


@dataclass(frozen=True, slots=True)
class StateCount:
    """How many runs of a job are in a state."""

    job: str
    state: str
    runs: int


@dataclass(frozen=True, slots=True)
class OutboxBacklog:
    """Rows that were committed but not sent yet; `attempts`: the most often refused one's."""

    rows: int
    oldest_at: datetime | None
    attempts: int


Cancelled = Literal["cancelled", "requested", "over", "unknown"]


def search(conn: Connection, where: RunFilter, *, limit: int = 50, after: str | None = None) -> Page:
    """Runs that match, newest first. `after`: the `next` of the page before; ValueError when it is no such text."""
    at, run_id = _position(after)
    parameters = asdict(where) | {"after_at": at, "after_id": run_id, "limit": limit + 1}
    rows = _rows(conn, SEARCH, parameters)
    last = rows[limit - 1] if len(rows) > limit else None
    return Page(rows[:limit], f"{last.run_at.isoformat()}~{last.run_id}" if last else None)


def _position(after: str | None) -> tuple[datetime | None, UUID | None]:
    if after is None:
        return None, None
    at, _, run_id = after.partition("~")
    try:
        return datetime.fromisoformat(at), UUID(run_id)
    except ValueError as error:
        raise ValueError(f"{after!r} is no place in the list; take it from the page before") from error


def counts(conn: Connection, where: RunFilter | None = None) -> list[StateCount]:
    """Runs by job and state."""
    with conn.cursor(row_factory=class_row(StateCount)) as cursor:
        return cursor.execute(COUNT, asdict(where or RunFilter())).fetchall()


def counts_by_state(conn: Connection, where: RunFilter | None = None) -> dict[str, int]:
    """Runs by state, over all jobs; a state without runs is absent."""
    found: dict[str, int] = {}
    for row in counts(conn, where):
        found[row.state] = found.get(row.state, 0) + row.runs
    return found


def find(conn: Connection, run_id: UUID) -> RunRow | None:
    """One run, None when the ledger does not know it (any more)."""
    rows = _rows(conn, FIND, {"run_id": run_id})
    return rows[0] if rows else None


def roots(conn: Connection, correlation_id: str, jobs: Sequence[str]) -> list[RunRow]:
    """The runs of `jobs` that a message of this correlation id started itself; what they emitted is not among them."""
    return _rows(conn, ROOTS, {"correlation_id": correlation_id, "jobs": list(jobs)})


def show(conn: Connection, run_id: UUID) -> RunDetail | None:
    """All that the ledger holds of a run, its payload apart."""
    run = find(conn, run_id)
    if run is None:
        return None
    with conn.cursor(row_factory=dict_row) as cursor:
        claim = cursor.execute(CLAIM, {"run_id": run_id}).fetchone()
    chain = _rows(conn, CHAIN, {"correlation_id": run.correlation_id, "run_id": run_id}) if run.correlation_id else []
    return RunDetail(run, claim, timeline(run), chain, sealed_payload(conn, run_id) is not None)


def sealed_payload(conn: Connection, run_id: UUID) -> SealedPayload | None:
    """The sealed payload of a run, None when it has expired or was never kept."""
    row = conn.execute(PAYLOAD, {"run_id": run_id}).fetchone()
    return SealedPayload(bytes(row[0]) if row[0] is not None else None, row[1]) if row else None


def cancel(conn: Connection, run_id: UUID, now: datetime) -> Cancelled:
    """Stop a run. `cancelled`: it waited and has ended, its message will be acknowledged when it comes; `requested`: it
    is under way, its handler sees it by ctx.cancelled() and it is not begun again; `over`; `unknown`: there is none."""
    if conn.execute(CANCEL, {"run_id": run_id, "now": now}).rowcount:
        return "cancelled"
    if conn.execute(ASK_TO_STOP, {"run_id": run_id, "now": now, "open": list(OPEN_STATES)}).fetchone():
        return "requested"
    return "over" if find(conn, run_id) else "unknown"


def outbox_backlog(conn: Connection) -> OutboxBacklog:
    """What has been committed and is still to be sent."""
    row = conn.execute(WAITING).fetchone()
    rows, oldest_at, attempts = row or (0, None, 0)
    return OutboxBacklog(rows, oldest_at, attempts)


def timeline(run: RunRow) -> list[Moment]:
    """What happened to a run, in order, as far as its row tells: earlier attempts leave their number only."""
    moments: list[Moment] = []
    if run.sent_at:
        moments.append(Moment(run.sent_at, f"sent by {run.source or 'unknown'}{_by_event(run)}"))
    if run.attempt == 0 and run.ended_at:
        moments.append(Moment(run.ended_at, f"refused: {_ending(run)}"))
        return sorted(moments, key=lambda moment: moment.at)
    moments.append(Moment(run.run_at, "first claimed"))
    if run.started_at and run.started_at != run.run_at:
        leg = f" of leg {run.seq}" if run.seq else ""
        moments.append(Moment(run.started_at, f"last started, attempt {max(1, run.attempt)}{leg}"))
    if run.cancel_requested_at:
        moments.append(Moment(run.cancel_requested_at, "asked to stop"))
    if run.next_at and run.open:
        moments.append(Moment(run.next_at, f"comes back ({_ending(run)})"))
    if run.ended_at:
        moments.append(Moment(run.ended_at, _ending(run)))
    return sorted(moments, key=lambda moment: moment.at)


def _by_event(run: RunRow) -> str:
    return f" as {run.event}" if run.event else " straight to the queue"


def _ending(run: RunRow) -> str:
    parts = [run.state, run.code or "", f"after {run.duration_ms} ms" if run.duration_ms is not None else ""]
    return " ".join(part for part in parts if part)


def _rows(conn: Connection, sql: str, parameters: dict[str, Any]) -> list[RunRow]:
    with conn.cursor(row_factory=class_row(RunRow)) as cursor:
        return cursor.execute(sql, parameters).fetchall()
