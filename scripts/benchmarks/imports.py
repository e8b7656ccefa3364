"""Importing a function package as its Lambda does at a cold start, beside `import boto3`, each in a fresh process.

Seconds of processor time, since a busy machine makes a process wait and a Lambda has its own processor.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys

from scripts.benchmarks.lab import Lab
from scripts.benchmarks.results import Goal, Result, in_turns, ratio
from scripts.local import ROOT

ROUNDS = 7
GOAL_MS = 600
PROFILE_LINES = 25
TIMED = "import time; t = time.process_time(); {what}; print(time.process_time() - t)"
BOTO3 = "import boto3"
PACKAGE = """
import functions.{category}.handler
import shared.crypto, shared.db.connections, shared.jobs.aws, shared.jobs.environment, shared.jobs.pipeline
import shared.jobs.replies, shared.jobs.signals, shared.jobs.tenants, shared.jobs.wiring, shared.jobs.workflows
from shared.jobs.registry import load_registry
load_registry(["{category}"])
"""
"""What entry.py imports before the first message: the entry, the kernel, the category's jobs."""


def imports(lab: Lab) -> list[Result]:
    """One result per category that has jobs."""
    from shared.jobs.registry import load_registry

    found: list[Result] = []
    for category in load_registry().categories:
        if lab.profile:
            lab.say(f"{category}:\n{_profile(category)}")
        compile_package(category)
        times = in_turns(lab.rounds(ROUNDS), package=lambda c=category: package_s(c), boto3=boto3_s)  # type: ignore[misc]
        milliseconds = statistics.median(times["package"]) * 1000
        against = f"import boto3 ({statistics.median(times['boto3']) * 1000:.0f} ms)"
        goal = Goal(at_most=GOAL_MS, absolute=True)
        found.append(
            Result(f"functions.{category}", milliseconds, "ms", ratio(times["package"], times["boto3"]), against, goal)
        )
    return found


def package_s(category: str) -> float:
    """Seconds to import the package of a category and the kernel, without the interpreter's own start."""
    lines = ", ".join(repr(line) for line in PACKAGE.format(category=category).strip().splitlines())
    return _seconds(TIMED.format(what=f"[exec(line, globals()) for line in ({lines})]"))


def compile_package(category: str) -> None:
    """Have the bytecode of what is measured, which is not there where an environment forbids to write it."""
    package_s(category)


def boto3_s() -> float:
    """Seconds to import boto3 in a fresh process."""
    return _seconds(TIMED.format(what=BOTO3))


def _seconds(program: str) -> float:
    written = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=written, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return float(done.stdout)


def _profile(category: str) -> str:
    """The modules that cost most by themselves."""
    program = PACKAGE.format(category=category)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    rows = [line.removeprefix("import time:").split("|") for line in done.stderr.splitlines()[1:] if "|" in line]
    dearest = sorted(rows, key=lambda row: -int(row[0]))[:PROFILE_LINES]
    return "\n".join(f"{int(own) / 1000:8.1f} ms  {name.strip()}" for own, _, name in dearest)
