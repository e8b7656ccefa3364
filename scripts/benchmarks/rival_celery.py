"""Celery's worker over tasks that each do one idempotent insert. Runs in .bench-venv; prints the seconds it took.

python rival_celery.py BROKER DATABASE_URL JOBS AT_A_TIME. BROKER is `memory` (Celery's own in-memory transport: the
broker costs nothing, as ours in memory) or `sqlalchemy` (its queue in tables of the same PostgreSQL, as durable as the
rest). The clock runs from the worker's being ready to the last task's end; all tasks are queued before.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any
from urllib.parse import quote

import psycopg
from celery import Celery, signals  # type: ignore[import-not-found]
from celery.worker import state  # type: ignore[import-not-found]
from psycopg.conninfo import conninfo_to_dict

MAKE = "CREATE TABLE IF NOT EXISTS bench_done (key text PRIMARY KEY, at timestamptz NOT NULL DEFAULT now())"
INSERT = "INSERT INTO bench_done (key) VALUES (%(key)s) ON CONFLICT (key) DO NOTHING"
CLEAR = "TRUNCATE bench_done"
COUNT = "SELECT count(*) FROM bench_done"


def measure(broker: str, url: str, jobs: int, at_a_time: int) -> None:
    app = Celery("bench", broker=_broker(broker, url))
    app.conf.update(task_ignore_result=True, worker_hijack_root_logger=False, worker_redirect_stdouts=False)
    local, done, lock, began = threading.local(), [0], threading.Lock(), [0.0]

    @app.task(name="insert")  # type: ignore[untyped-decorator]
    def insert(key: str) -> None:
        """One idempotent insert, committed."""
        if not hasattr(local, "conn"):
            local.conn = psycopg.connect(url, autocommit=True)
        local.conn.execute(INSERT, {"key": key})
        with lock:
            done[0] += 1
            if done[0] == jobs:
                took = time.perf_counter() - began[0]
                assert local.conn.execute(COUNT).fetchone() == (jobs,)
                print(took, flush=True)  # the worker ends this process in its own way
                state.should_stop = 0

    @signals.worker_ready.connect  # type: ignore[untyped-decorator]
    def ready(**_: Any) -> None:
        began[0] = time.perf_counter()

    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(MAKE)
        conn.execute(CLEAR)
        for n in range(jobs):
            insert.delay(f"key-{n}")
    pool = "solo" if at_a_time == 1 else "threads"
    options = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}
    app.Worker(pool=pool, concurrency=at_a_time, loglevel="CRITICAL", quiet=True, **options).start()


def _broker(name: str, url: str) -> str:
    if name == "memory":
        return "memory://"
    parts = conninfo_to_dict(url)
    host, user = quote(str(parts["host"]), safe=""), parts["user"]
    password = f":{parts['password']}" if parts.get("password") else ""
    return f"sqla+postgresql+psycopg://{user}{password}@/{parts['dbname']}?host={host}"


if __name__ == "__main__":
    measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
