"""What the runs of a span of time used, added up by the database: one row per job, and per tenant or day when asked.

`work_ms` of a run is the time of all its attempts and legs. A run's messages are its legs and attempts as far as the
ledger knows them; deferrals (no attempt burnt) leave no count.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg.rows import class_row

from shared.jobs.ledger import RunFilter

USAGE = """
-- cost: work and messages of the runs that match, by job, and by tenant and UTC day where asked
SELECT job,
       CASE WHEN %(by_tenant)s THEN tenant END AS tenant,
       CASE WHEN %(by_day)s THEN (run_at AT TIME ZONE 'UTC')::date END AS day,
       count(*) AS runs,
       sum(work_ms)::bigint AS work_ms,
       sum(greatest(attempt, 1) + seq)::bigint AS messages,
       count(event)::bigint AS events
FROM jobs.runs
WHERE (%(job)s::text IS NULL OR job = %(job)s)
  AND (%(tenant)s::text IS NULL OR tenant = %(tenant)s)
  AND (%(since)s::timestamptz IS NULL OR run_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR run_at < %(until)s)
GROUP BY 1, 2, 3
"""


@dataclass(frozen=True, slots=True)
class Usage:
    """`messages`: deliveries to workers; `events`: runs that an event of the bus started."""

    job: str
    tenant: str | None
    day: date | None
    runs: int
    work_ms: int
    messages: int
    events: int


def read_usage(conn: psycopg.Connection[Any], where: RunFilter, *, by_tenant: bool, by_day: bool) -> list[Usage]:
    """Rows in no order."""
    parameters = asdict(where) | {"by_tenant": by_tenant, "by_day": by_day}
    with conn.cursor(row_factory=class_row(Usage)) as cursor:
        return cursor.execute(USAGE, parameters).fetchall()
