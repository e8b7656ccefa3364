"""Jobs per second beside Procrastinate and Celery: one worker process each, the same PostgreSQL, all of it durable.

Ours: no-op jobs by batches of 10 through the whole pipeline; the ledger makes each exactly once. Procrastinate: jobs
that do nothing; its queue is in the database, so fetching and finishing are its commits. Celery: tasks of one
idempotent insert, which is the least that makes a redelivered task harmless; its broker is its own in-memory transport
(it costs nothing, as ours in memory here does) or its queue in the same PostgreSQL. All jobs are queued before the
clock starts. Each rival runs with one and with ten jobs at a time, and its better figure counts.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from scripts import bootstrap
from scripts.benchmarks.lab import Lab
from scripts.benchmarks.results import Goal, Result, in_turns, ratio
from scripts.benchmarks.toys import Worker

ROUNDS = 3
JOBS = 1_000
BATCH = 10
AT_A_TIME = (1, 10)
TIMEOUT_S = 180
GOAL = Goal(at_least=2)
HERE = Path(__file__).parent


def rivals(lab: Lab) -> list[Result]:
    """Ours as a multiple of each."""
    python = str(bootstrap.ensure_bench())
    urls = {name: lab.database(name) for name in ("procrastinate", "celery")}

    def best(program: str, *arguments: str) -> Callable[[], float]:
        command = [python, str(HERE / program), *arguments, str(JOBS)]
        return lambda: min(_seconds([*command, str(n)]) for n in AT_A_TIME)

    worker = Worker(lab)
    worker.work(20, BATCH)

    def ours() -> float:
        began = time.perf_counter()
        worker.work(JOBS, BATCH)
        return time.perf_counter() - began

    with lab.profiled(worker.bench.connections.get()):
        ours()
    found = in_turns(
        lab.rounds(ROUNDS),
        ours=ours,
        procrastinate=best("rival_procrastinate.py", urls["procrastinate"]),
        memory=best("rival_celery.py", "memory", urls["celery"]),
        database=best("rival_celery.py", "sqlalchemy", urls["celery"]),
    )
    worker.close()
    names = {
        "procrastinate": "Procrastinate",
        "memory": "Celery, memory broker",
        "database": "Celery, PostgreSQL broker",
    }
    return [_result(found["ours"], found[key], name) for key, name in names.items()]


def _result(ours: list[float], others: list[float], name: str) -> Result:
    against = f"{name} ({JOBS / statistics.median(others):,.0f}/s)"
    note = "beside the memory broker: its messages die with its process" if "memory" in name else ""
    return Result("no-op jobs", JOBS / statistics.median(ours), "jobs/s", ratio(others, ours), against, GOAL, note)


def _seconds(command: list[str]) -> float:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    if done.returncode or not done.stdout.strip():
        raise RuntimeError(f"{Path(command[1]).name}: {(done.stderr.strip().splitlines() or ['no word'])[-1]}")
    return float(done.stdout.split()[0])
