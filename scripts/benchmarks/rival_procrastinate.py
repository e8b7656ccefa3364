"""Procrastinate's worker over jobs that do nothing. Runs in .bench-venv; prints the seconds from its start to its end.

python rival_procrastinate.py DATABASE_URL JOBS AT_A_TIME. The jobs stand in the database before the clock starts; with
wait=False the worker ends when it finds no more. Its own schema is made at first use.
"""

from __future__ import annotations

import asyncio
import sys
import time

import procrastinate  # type: ignore[import-not-found]
import psycopg

THERE = "SELECT to_regclass('procrastinate_jobs') IS NOT NULL"
DONE = "SELECT count(*) FROM procrastinate_jobs WHERE status = 'succeeded'"


async def measure(url: str, jobs: int, at_a_time: int) -> float:
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

    @app.task(name="nothing")  # type: ignore[untyped-decorator]
    async def nothing(n: int) -> None:
        """Does nothing."""

    async with app.open_async():
        with psycopg.connect(url, autocommit=True) as conn:
            if conn.execute(THERE).fetchone() == (False,):
                await app.schema_manager.apply_schema_async()
            before = conn.execute(DONE).fetchone()
            await nothing.batch_defer_async(*({"n": n} for n in range(jobs)))
            began = time.perf_counter()
            await app.run_worker_async(wait=False, concurrency=at_a_time, install_signal_handlers=False)
            took = time.perf_counter() - began
            after = conn.execute(DONE).fetchone()
    assert before is not None
    assert after == (before[0] + jobs,), (before, after)
    return took


if __name__ == "__main__":
    print(asyncio.run(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
