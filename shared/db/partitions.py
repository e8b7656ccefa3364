"""Daily partitions of the ledger: made ahead, dropped when their rows are too old to be asked for.

Both run as the admin (they make and drop tables) and are idempotent. A row whose day has no partition lands in the
default partition and moves out of it when the day's partition is made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta

from shared.db.connections import Connection

DAYS_AHEAD = 7  # the upkeep may fail for a week before a row lands in a default partition
RUNS_KEPT_DAYS = 90
CLAIMS_KEPT_DAYS = 30  # a run key answers with its stored result for that long
DEAD_CLAIMS_KEPT_DAYS = 90
TICKS_KEPT_DAYS = 100  # longer than the longest pause between two instants of a cron: its last tick is always known
PAYLOADS_KEPT_DAYS = 30  # payload rows of dead runs; those of succeeded ones expire after 7

_NAME = re.compile(r"(runs|payloads)_(\d{4})(\d{2})(\d{2})")

LIST_PARTITIONS = """
-- partitions of the ledger
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'jobs' AND c.relispartition AND c.relkind = 'r'
"""
LOCK = "SELECT id FROM jobs.migration_lock FOR UPDATE"
MAKE_PARTITION = """
CREATE TABLE jobs.{table}_{day} (LIKE jobs.{table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
WITH moved AS (DELETE FROM jobs.{table}_default WHERE {column} >= '{start}' AND {column} < '{end}' RETURNING *)
INSERT INTO jobs.{table}_{day} SELECT * FROM moved;
ALTER TABLE jobs.{table} ATTACH PARTITION jobs.{table}_{day} FOR VALUES FROM ('{start}') TO ('{end}');
"""
PRUNE = """
-- rows of the ledger that are too old: claims, task tokens, ticks, and what lies in the default partitions
WITH old_claims AS (
    DELETE FROM jobs.claims
    WHERE ended_at < %(claims_before)s AND (state <> 'dead' OR ended_at < %(dead_claims_before)s) RETURNING 1
), old_runs AS (
    DELETE FROM jobs.runs_default WHERE run_at < %(runs_before)s RETURNING 1
), old_payloads AS (
    DELETE FROM jobs.payloads_default WHERE expires_on < %(payloads_before)s RETURNING 1
), old_tokens AS (
    DELETE FROM jobs.tokens WHERE updated_at < %(runs_before)s
), old_ticks AS (
    DELETE FROM jobs.ticks WHERE tick_at < %(ticks_before)s
)
SELECT (SELECT count(*) FROM old_claims), (SELECT count(*) FROM old_runs), (SELECT count(*) FROM old_payloads)
"""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What drop_expired removed: names of partitions, and rows outside of them."""

    partitions: tuple[str, ...]
    claims: int
    runs: int
    payloads: int


def ensure_partitions(connection: Connection, today: date, days_ahead: int = DAYS_AHEAD) -> list[str]:
    """Make the partitions from `today` (UTC) on that are missing; their names.

    Payload rows are filed under the day they expire on, so their partitions reach PAYLOADS_KEPT_DAYS further.
    """
    if not missing_partitions(connection, today, days_ahead):
        return []
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '5s'; {LOCK}")
        missing = _missing(connection, today, days_ahead)  # again: another process may have made them meanwhile
        connection.execute("".join(_make(table, day) for table, day in missing))
    return [_name(table, day) for table, day in missing]


def missing_partitions(connection: Connection, today: date, days_ahead: int = DAYS_AHEAD) -> list[str]:
    """Names of the partitions that ensure_partitions would make."""
    return [_name(table, day) for table, day in _missing(connection, today, days_ahead)]


def drop_expired(connection: Connection, today: date) -> Pruned:
    """Drop partitions and delete rows that are older than they are kept; `today` is the UTC date."""
    runs_before = today - timedelta(days=RUNS_KEPT_DAYS)
    limits = {
        "runs_before": runs_before,
        "payloads_before": today,
        "claims_before": today - timedelta(days=CLAIMS_KEPT_DAYS),
        "dead_claims_before": today - timedelta(days=DEAD_CLAIMS_KEPT_DAYS),
        "ticks_before": today - timedelta(days=TICKS_KEPT_DAYS),
    }
    oldest = {"runs": runs_before, "payloads": today}
    with connection.transaction():
        connection.execute(f"SET LOCAL lock_timeout = '5s'; SET LOCAL TimeZone = 'UTC'; {LOCK}")
        expired = sorted(_name(table, day) for table, day in _existing(connection) if day < oldest[table])
        if expired:
            connection.execute(f"DROP TABLE {', '.join(f'jobs.{name}' for name in expired)}")
        row = connection.execute(PRUNE, limits).fetchone()
    claims, runs, payloads = row or (0, 0, 0)
    return Pruned(tuple(expired), claims, runs, payloads)


def _name(table: str, day: date) -> str:
    return f"{table}_{day:%Y%m%d}"


def _existing(connection: Connection) -> set[tuple[str, date]]:
    names = [_NAME.fullmatch(row[0]) for row in connection.execute(LIST_PARTITIONS).fetchall()]
    return {(name[1], date(int(name[2]), int(name[3]), int(name[4]))) for name in names if name}


def _missing(connection: Connection, today: date, days_ahead: int) -> list[tuple[str, date]]:
    wanted = [("runs", today + timedelta(days=n)) for n in range(days_ahead + 1)]
    wanted += [("payloads", today + timedelta(days=n)) for n in range(PAYLOADS_KEPT_DAYS + days_ahead + 1)]
    existing = _existing(connection)
    return [partition for partition in wanted if partition not in existing]


def _make(table: str, day: date) -> str:
    zone = " 00:00:00+00" if table == "runs" else ""
    return MAKE_PARTITION.format(
        table=table,
        day=f"{day:%Y%m%d}",
        column="run_at" if table == "runs" else "expires_on",
        start=f"{day}{zone}",
        end=f"{day + timedelta(days=1)}{zone}",
    )
