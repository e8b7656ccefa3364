"""What the kernel costs. scripts/bench [--only ROW ...] [--profile ROW] [--json] [--quick]

One table; each row stands beside something measured in the same run (its ratio), because machines differ and this one
may be busy. A goal that is missed is reported as missed; the exit code is 0 all the same, 1 when a row could not be
measured.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from importlib import import_module

from scripts.benchmarks.lab import Lab
from scripts.benchmarks.results import Result, table

ROWS: dict[str, str] = {
    "pipeline": "scripts.benchmarks.pipeline:pipeline",
    "orders": "scripts.benchmarks.orders:orders",
    "scale": "scripts.benchmarks.scale:scale",
    "ab": "scripts.benchmarks.abtests:abtests",
    "fanout": "scripts.benchmarks.fanout:fanout",
    "rivals": "scripts.benchmarks.rivals:rivals",
    "engine": "scripts.benchmarks.wired:wired",
    "encryption": "scripts.benchmarks.calls:encryption",
    "limiter": "scripts.benchmarks.calls:limiter",
    "imports": "scripts.benchmarks.imports:imports",
}
"""Row -> where it is measured; imported when it is asked for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the rows and print the table."""
    options = _options(arguments)
    wanted = [options.profile] if options.profile else options.only or list(ROWS)
    found: list[tuple[str, Result]] = []
    failed: list[str] = []
    with ExitStack() as held:
        lab = Lab(held, quick=options.quick, profile=options.profile is not None)
        for name in wanted:
            began = time.monotonic()
            lab.say(f"measuring {name} ...")
            try:
                found += [(name, result) for result in _row(name)(lab)]
            except Exception as error:
                failed.append(name)
                lab.say(f"{name} could not be measured: {type(error).__name__}: {error}")
                if options.profile:
                    raise
            lab.say(f"measured {name} in {time.monotonic() - began:.0f} s")
    if options.json:
        print(json.dumps([{"row": name, **result.as_json()} for name, result in found], indent=2))
    else:
        print(f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}\n")
        print(table(found))
    return 1 if failed else 0


def _row(name: str) -> Callable[[Lab], list[Result]]:
    module, _, function = ROWS[name].partition(":")
    row: Callable[[Lab], list[Result]] = getattr(import_module(module), function)
    return row


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument(
        "--only", action="append", choices=ROWS, metavar="ROW", help=f"one of {', '.join(ROWS)}; again for more"
    )
    parser.add_argument("--profile", choices=ROWS, metavar="ROW", help="measure this row and show where its time goes")
    parser.add_argument("--json", action="store_true", help="the results as JSON")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: to try, not to quote")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
