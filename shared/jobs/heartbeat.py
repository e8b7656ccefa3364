"""Keeps a bulk run's lease and its message's invisibility alive, from a thread with a connection of its own.

A killed process stops beating, so its message returns within the lease although the queue's own visibility is hours.
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType
from typing import Any

import psycopg

from shared.db.connections import connect
from shared.jobs.messages import Run
from shared.jobs.ports import Queues

BEAT_S = 40.0
"""Seconds between beats: two may fail before a lease of 120 s is over."""

RENEW = """
-- jobs: heartbeat of a bulk run: its claim, and its places under the tenant cap
WITH places AS (
    UPDATE jobs.slots SET lease_until = now() + make_interval(secs => %(lease)s)
    WHERE scope IN (%(queue)s, %(job)s) AND tenant = %(tenant)s AND owner = %(owner)s
)
UPDATE jobs.claims SET lease_until = now() + make_interval(secs => %(lease)s)
WHERE job = %(job)s AND tenant = %(tenant)s AND key = %(key)s AND owner = %(owner)s AND state = 'running'
"""

logger = logging.getLogger("cgk.jobs")


class Heartbeat:
    """Context manager around a run; does nothing when not `enabled`."""

    def __init__(self, run: Run, queues: Queues, database_url: str, lease_s: int, *, enabled: bool) -> None:
        self._run = run
        self._queues = queues
        self._url = database_url
        self._lease_s = lease_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True) if enabled else None

    def __enter__(self) -> Heartbeat:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(timeout=5)

    def _beat(self) -> None:
        conn: psycopg.Connection[Any] | None = None
        while not self._stop.wait(BEAT_S):
            try:
                if conn is None or conn.closed:
                    conn = connect(self._url, application_name="cgk-jobs heartbeat")
                self._renew(conn)
            except Exception as error:
                # A missed beat is no failure yet: the next one tries again, and the fence protects the data.
                logger.warning("heartbeat missed", extra={"run": str(self._run.run_id), "error": type(error).__name__})
                if conn is not None:
                    conn.close()
                    conn = None
        if conn is not None:
            conn.close()

    def _renew(self, conn: psycopg.Connection[Any]) -> None:
        run = self._run
        parameters = {
            "lease": self._lease_s,
            "job": run.job.id,
            "queue": run.job.queue.name,
            "tenant": run.tenant.slug,
            "key": run.admitted.key,
            "owner": run.owner,
        }
        if conn.execute(RENEW, parameters).rowcount:
            record = run.message.record
            self._queues.change_visibility(record.queue, [(record.receipt, self._lease_s)])
