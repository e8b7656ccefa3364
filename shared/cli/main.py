"""Entry of `cgk-jobs`: parses, finds the command's function, turns errors into one sentence and an exit code.

Exit codes: 0 done, 1 the job failed or the work could not be done, 2 wrong use. A command's module is imported when the
command runs, so that `list` pays for the registry only.
"""

from __future__ import annotations

import importlib
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence

from shared.cli.arguments import make_parser
from shared.cli.errors import DEBUG, explain
from shared.cli.output import Printer
from shared.cli.platform import Platform

Command = Callable[[Platform, Printer, Namespace], int | None]
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None, platform: Platform | None = None) -> int:
    """Run one command; its exit code."""
    arguments = make_parser().parse_args(argv)
    platform = platform or Platform()
    try:
        if stage := getattr(arguments, "stage", None):
            platform.use_stage(stage)
        else:
            platform.use_dev_settings()
        return _command(arguments.run)(platform, Printer(as_json=arguments.json), arguments) or 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough (| head); nothing is to be flushed to it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        code, sentence = explain(error, from_dev=platform.from_dev)
        print(f"cgk-jobs: {sentence}", file=sys.stderr)
        return code
    finally:
        platform.close()


def _command(place: str) -> Command:
    module, _, name = place.partition(":")
    found: Command = getattr(importlib.import_module(module), name)
    return found


if __name__ == "__main__":
    raise SystemExit(main())
