"""The ledger of ticks: one row of jobs.ticks per (job, scheduled instant), with how far its fan-out has come.

States: noticed (the job's schedule is known since then), missed (found missing and sent again), running, done, late
(older than the cron allows), superseded (a newer instant ran in its stead). Whoever holds the row's lease works on it;
the next one after a crash goes on at `reached`, the last tenant whose page was sent whole.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from shared.jobs.crons import Cron
from shared.jobs.messages import Acknowledge, Defer
from shared.jobs.ports import OutMessage, Queues
from shared.jobs.registry import AnyJob

SCHEDULER_LATE_S = 120
"""A tick may be so late without being late: the scheduler is precise to a minute, and a function may start cold."""
MISSED_AFTER_S = 300
"""An instant without a tick counts as missed after so many seconds."""
RACE_S = 2.0

CLAIM_TICK = """
-- jobs: take a tick for this process, or learn what became of it
WITH before AS (
    SELECT state, lease_until FROM jobs.ticks WHERE job = %(job)s AND tick_at = %(at)s
), taken AS (
    INSERT INTO jobs.ticks AS t (job, tick_at, state, owner, lease_until, attempts, noticed_at, started_at)
    VALUES (%(job)s, %(at)s, 'running', %(owner)s, %(lease_until)s, 1, %(now)s, %(now)s)
    ON CONFLICT (job, tick_at) DO UPDATE SET
        state = 'running', owner = EXCLUDED.owner, lease_until = EXCLUDED.lease_until, attempts = t.attempts + 1,
        started_at = COALESCE(t.started_at, EXCLUDED.started_at)
    WHERE t.state IN ('noticed', 'missed')
       OR (t.state = 'running' AND (t.lease_until IS NULL OR t.lease_until < %(now)s))
    RETURNING attempts, reached, tenants, due, sent, failed
)
SELECT t.attempts, t.reached, t.tenants, t.due, t.sent, t.failed, b.state, b.lease_until
FROM (SELECT) one LEFT JOIN taken t ON true LEFT JOIN before b ON true
"""
END_TICK = """
-- jobs: a tick has ended, or is left for another process to go on with
UPDATE jobs.ticks SET
    state = %(state)s, reached = %(reached)s, tenants = %(tenants)s, due = %(due)s, sent = %(sent)s,
    failed = %(failed)s, owner = NULL, lease_until = NULL,
    finished_at = CASE WHEN %(state)s <> 'running' THEN %(now)s::timestamptz END
WHERE job = %(job)s AND tick_at = %(at)s AND owner = %(owner)s
"""
MARK_TICK = """
-- jobs: how far a fan-out has come
UPDATE jobs.ticks SET
    reached = %(reached)s, tenants = %(tenants)s, due = %(due)s, sent = %(sent)s, failed = %(failed)s
WHERE job = %(job)s AND tick_at = %(at)s AND owner = %(owner)s
"""
LAST_TICKS = """
-- jobs: the last tick of each cron
SELECT j.job, (SELECT max(t.tick_at) FROM jobs.ticks t WHERE t.job = j.job) AS tick_at
FROM unnest(%(jobs)s::text[]) AS j (job)
"""
READ_TICK = """
-- jobs: the last tick of a cron
SELECT * FROM jobs.ticks WHERE job = %(job)s ORDER BY tick_at DESC LIMIT 1
"""
NOTE_TICKS = """
-- jobs: crons seen for the first time, and instants found missing
INSERT INTO jobs.ticks (job, tick_at, state, noticed_at)
SELECT n.job, n.tick_at, n.state, %(now)s
FROM unnest(%(job)s::text[], %(at)s::timestamptz[], %(state)s::text[]) AS n (job, tick_at, state)
ON CONFLICT (job, tick_at) DO NOTHING
"""

logger = logging.getLogger("cgk.jobs.ticks")


@dataclass(frozen=True, slots=True)
class Counts:
    """What a fan-out has done: tenants asked, those with work, messages or events taken, tenants whose probe failed."""

    tenants: int = 0
    due: int = 0
    sent: int = 0
    failed: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.tenants + other.tenants, self.due + other.due, self.sent + other.sent, self.failed + other.failed
        )


@dataclass(frozen=True, slots=True)
class TickRow:
    """A tick that this process owns. `reached`: slug of the last tenant that is done with, empty at the start."""

    job: AnyJob
    cron: Cron
    at: datetime
    owner: UUID
    attempts: int
    reached: str
    counts: Counts

    def columns(self) -> dict[str, Any]:
        """The row as parameters of the statements above."""
        done = self.counts
        return {
            "job": self.job.id,
            "at": self.at,
            "owner": self.owner,
            "reached": self.reached,
            "tenants": done.tenants,
            "due": done.due,
            "sent": done.sent,
            "failed": done.failed,
        }

    def after(self, reached: str, counts: Counts) -> TickRow:
        """The row once a further page is sent."""
        return replace(self, reached=reached, counts=self.counts + counts)


def take(
    conn: psycopg.Connection[Any],
    job: AnyJob,
    cron: Cron,
    at: datetime,
    *,
    owner: UUID,
    lease_until: datetime,
    now: datetime,
) -> TickRow | Acknowledge | Defer:
    """Take the tick, or the newest instant in its stead when it comes late; else the verdict on its message.

    A tick that was begun before is gone on with, because its first tenants have had it, until the job's max_age_s.
    """
    row = _claim(conn, job, cron, at, owner=owner, lease_until=lease_until, now=now)
    if not isinstance(row, TickRow):
        return row
    if row.attempts > 1:
        if now - at <= timedelta(seconds=job.max_age_s):
            return row
        end(conn, row, "late", now)
        return Acknowledge(f"the fan-out has not come to an end within {job.max_age_s} s")
    if cron.max_late_s is not None and now - at > timedelta(seconds=cron.max_late_s):
        end(conn, row, "late", now)
        return Acknowledge(f"the tick is older than {cron.max_late_s} s")
    newest = cron.previous(now - timedelta(seconds=SCHEDULER_LATE_S))
    if newest is None or newest <= at:
        return row
    end(conn, row, "superseded", now)
    newer = _claim(conn, job, cron, newest, owner=owner, lease_until=lease_until, now=now)
    return newer if isinstance(newer, TickRow) else Acknowledge("a newer tick has run")


def _claim(
    conn: psycopg.Connection[Any],
    job: AnyJob,
    cron: Cron,
    at: datetime,
    *,
    owner: UUID,
    lease_until: datetime,
    now: datetime,
) -> TickRow | Acknowledge | Defer:
    values = {"job": job.id, "at": at, "owner": owner, "lease_until": lease_until, "now": now}
    with conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(CLAIM_TICK, values).fetchone()
    assert found is not None
    if found["attempts"] is not None:
        counts = Counts(found["tenants"], found["due"], found["sent"], found["failed"])
        return TickRow(job, cron, at, owner, found["attempts"], found["reached"], counts)
    if found["state"] in ("done", "late", "superseded"):
        return Acknowledge(f"the tick is {found['state']}")
    left_s = (found["lease_until"] - now).total_seconds() + 1 if found["lease_until"] else RACE_S
    return Defer(max(1.0, left_s), "TICK_RUNNING")


def mark(conn: psycopg.Connection[Any], row: TickRow) -> bool:
    """Note how far the fan-out has come; False when another process has taken the tick."""
    return conn.execute(MARK_TICK, row.columns()).rowcount == 1


def end(conn: psycopg.Connection[Any], row: TickRow, state: str, now: datetime) -> bool:
    """End the tick, or (state running) leave it for who comes next; False when another process has taken it."""
    return conn.execute(END_TICK, row.columns() | {"state": state, "now": now}).rowcount == 1


def last_ticks(conn: psycopg.Connection[Any], jobs: Iterable[str]) -> dict[str, datetime | None]:
    """Job -> the instant of its last tick; None for a job that has never had one. What health checks compare."""
    rows = conn.execute(LAST_TICKS, {"jobs": sorted(jobs)}).fetchall()
    return {row[0]: row[1] for row in rows}


def read_tick(conn: psycopg.Connection[Any], job_id: str) -> dict[str, Any]:
    """The row of the job's last tick; empty when there is none."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(READ_TICK, {"job": job_id}).fetchone() or {}


def tick_body(job_id: str, instant: str) -> str:
    """The message that a schedule sends; `instant` is ISO text or the scheduler's placeholder for it."""
    return json.dumps({"job": job_id, "tick": instant, "payload": {}})


def catch_up(conn: psycopg.Connection[Any], jobs: Iterable[AnyJob], queues: Queues, now: datetime) -> list[str]:
    """Send the newest missed tick of each cron once more; the ids of the jobs that missed one.

    A cron that is seen for the first time gets a row that says since when it is known, so nothing before that counts
    as missed. Of several missed instants only the newest is made up for; a cron with max_late_s lets old ones go.
    """
    crons = {job.id: job for job in jobs if job.cron is not None}
    known = last_ticks(conn, crons)
    noted: list[tuple[str, datetime, str]] = []
    missed: list[str] = []
    for id, last in known.items():
        if last is None:
            noted.append((id, now, "noticed"))
        elif (at := _missed(crons[id].cron, last, now)) is not None:
            queue, body = crons[id].queue_name, tick_body(id, at.isoformat())
            if queues.send(queue, [OutMessage(body)]) == [True]:  # noted afterwards: a doubled tick does nothing
                noted.append((id, at, "missed"))
                missed.append(id)
    _note(conn, noted, now)
    if missed:
        logger.warning("missed ticks sent again", extra={"jobs": missed})
    return missed


def _missed(cron: Cron | None, last: datetime, now: datetime) -> datetime | None:
    """The newest instant that should have had its tick by now and has not; None when all is well or it is too late."""
    assert cron is not None
    expected = cron.previous(now - timedelta(seconds=MISSED_AFTER_S))
    if expected is None or expected <= last:
        return None
    too_late = cron.max_late_s is not None and now - expected > timedelta(seconds=cron.max_late_s)
    return None if too_late else expected


def _note(conn: psycopg.Connection[Any], noted: Sequence[tuple[str, datetime, str]], now: datetime) -> None:
    if noted:
        columns: Mapping[str, Any] = {
            "job": [id for id, _, _ in noted],
            "at": [at for _, at, _ in noted],
            "state": [state for _, _, state in noted],
        }
        conn.execute(NOTE_TICKS, {**columns, "now": now})
