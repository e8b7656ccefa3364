"""The whole pipeline around jobs that do nothing, beside two bare commits on the same server."""

from __future__ import annotations

import statistics
import time

from scripts.benchmarks.lab import Lab
from scripts.benchmarks.results import Goal, Result, in_turns, ratio
from scripts.benchmarks.toys import Worker
from shared.db.connections import connect

ROUNDS = 15
PER_ROUND = 20
BATCH = 10
MAKE = "CREATE TABLE IF NOT EXISTS public.bench_commits (n bigint, at timestamptz)"
COMMIT = "INSERT INTO public.bench_commits VALUES (%(n)s, now())"


def pipeline(lab: Lab) -> list[Result]:
    """No-op jobs by batches of 10 and alone. One figure is the time of a job, the other that of two commits."""
    worker = Worker(lab)
    with connect(lab.admin_url, application_name="bench") as bare:
        bare.execute(MAKE)

        def two_commits() -> float:
            began = time.perf_counter()
            for n in range(2 * PER_ROUND):
                bare.execute(COMMIT, {"n": n})
            return (time.perf_counter() - began) / PER_ROUND

        def jobs(batch: int) -> float:
            began = time.perf_counter()
            worker.work(PER_ROUND * (2 if batch > 1 else 1), batch)
            return (time.perf_counter() - began) / (PER_ROUND * (2 if batch > 1 else 1))

        _profile(lab, worker)
        found = in_turns(lab.rounds(ROUNDS), commits=two_commits, batch=lambda: jobs(BATCH), alone=lambda: jobs(1))
    worker.close()
    return [
        _result("a job in a batch of 10", found["batch"], found["commits"], 1),
        _result("a job alone", found["alone"], found["commits"], 3),
    ]


def _profile(lab: Lab, worker: Worker) -> None:
    worker.work(20, BATCH)
    for batch in (BATCH, 1):
        with lab.profiled(worker.bench.connections.get()):
            worker.work(10 * PER_ROUND, batch)


def _result(what: str, jobs: list[float], commits: list[float], goal: float) -> Result:
    against = f"two bare commits ({statistics.median(commits) * 1000:.2f} ms)"
    return Result(what, statistics.median(jobs) * 1000, "ms", ratio(jobs, commits), against, Goal(at_most=goal))
