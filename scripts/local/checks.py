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
    ("types", (PYTHON, "-m", "mypy", "--strict")),
    ("tests", (*TESTS, *WORKERS, "--durations=20")),
    ("cdk synth", (PYTHON, "-m", "infra.app")),
)


def main(arguments: Sequence[str]) -> int:
    """Run all checks, or pytest with `arguments`; 0 when everything holds. A failure does not hide the next check."""
    os.environ["CDK_OUTDIR"] = str(DEV / "cdk.check")
    if arguments:
        return subprocess.run([*TESTS, *arguments], cwd=ROOT, check=False).returncode
    failed = [name for name, command in CHECKS if not _holds(name, command)]
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nAll checks hold.")
    return 1 if failed else 0


def _holds(name: str, command: Sequence[str]) -> bool:
    print(f"== {name}", flush=True)
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, check=False)
    print(f"== {name}: {'ok' if done.returncode == 0 else 'FAILED'} after {time.monotonic() - began:.1f} s", flush=True)
    return done.returncode == 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
