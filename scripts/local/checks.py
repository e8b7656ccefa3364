"""Everything that CI runs; `scripts/test ARGUMENTS` hands the arguments to pytest and runs nothing else.

scripts/test                 formatting, lint, types, tests, templates
scripts/test -k backfill     tests of one piece
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence

from scripts.local import DEV, ROOT

PYTHON = sys.executable
TESTS = (PYTHON, "-m", "pytest")
WORKERS = ("-n", "3", "--dist", "loadgroup")  # two cores; one worker has the engine's tests, which mostly wait
CHECKS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("format", (PYTHON, "-m", "ruff", "format", "--check", "--quiet", ".")),
    ("lint", (PYTHON, "-m", "ruff", "check", "--quiet", ".")),
    ("tests", (*TESTS, *WORKERS, "--durations=20")),
    ("cdk synth", (PYTHON, "-m", "infra.app")),
)
BESIDE: tuple[tuple[str, tuple[str, ...]], ...] = (("types", (PYTHON, "-m", "mypy", "--strict")),)
"""What runs beside the others and is told after them: one process, where the tests leave a core half idle."""


def main(arguments: Sequence[str]) -> int:
    """Run all checks, or pytest with `arguments`; 0 when everything holds. A failure does not hide the next check."""
    os.environ["CDK_OUTDIR"] = str(DEV / "cdk.check")
    if arguments:
        return subprocess.run([*TESTS, *arguments], cwd=ROOT, check=False).returncode
    beside = [(name, _begin(command)) for name, command in BESIDE]
    failed = [name for name, command in CHECKS if not _holds(name, command)]
    failed += [name for name, process in beside if not _ended_well(name, process)]
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nAll checks hold.")
    return 1 if failed else 0


def _holds(name: str, command: Sequence[str]) -> bool:
    print(f"== {name}", flush=True)
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, check=False)
    print(f"== {name}: {'ok' if done.returncode == 0 else 'FAILED'} after {time.monotonic() - began:.1f} s", flush=True)
    return done.returncode == 0


def _begin(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _ended_well(name: str, process: subprocess.Popen[str]) -> bool:
    said, _ = process.communicate()
    print(f"== {name}\n{said}== {name}: {'ok' if process.returncode == 0 else 'FAILED'}", flush=True)
    return process.returncode == 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
