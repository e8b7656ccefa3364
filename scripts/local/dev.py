"""`scripts/dev`: the whole platform on this machine. Stays up until Ctrl-C and ends what it started, nothing else."""

from __future__ import annotations

import argparse
import io
import os
import secrets
import shutil
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from scripts.local import DEV, ROOT, LocalError, engine, platform, postgres, reload

KEY_FILE = DEV / "encryption-key"


def main(arguments: Sequence[str]) -> int:
    """0 when all is well, 1 with one sentence on stderr when something of the machine is in the way."""
    parser = argparse.ArgumentParser(prog="scripts/dev", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end when everything is up")
    parser.add_argument("--fresh", action="store_true", help="start over: forget the database of earlier starts")
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a log file shows each line at once, as a terminal does
    for signum in (signal.SIGINT, signal.SIGTERM):  # a shell starts background processes deaf to SIGINT
        signal.signal(signum, _interrupt)
    try:
        with ExitStack() as held:
            held.enter_context(platform.only_one())
            return _run(held, once=options.once, fresh=options.fresh)
    except LocalError as error:
        print(f"scripts/dev: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        return 0


def _run(held: ExitStack, *, once: bool, fresh: bool) -> int:
    if fresh:
        forget()
    if ended := engine.end_left_over():
        print(f"Ended the engine that an earlier start left behind (process {ended}).")
    up = platform.start(held, encryption_key=encryption_key())
    held.callback(reload.start_watching(up.engine.endpoint, _say_reloaded).set)
    print(f"Database  {up.database.admin_url}")
    print(f"Engine    {up.engine.endpoint}  (log: {_short(up.engine.log)})")
    print(f"Deployed  {', '.join(up.stacks)}")
    if once:
        return 0
    print("Up. Edit a job and the next message runs it; Ctrl-C stops everything.")
    threading.Event().wait()
    return 0


def forget() -> None:
    """End the embedded database and remove its data; a database of DATABASE_URL is not touched."""
    folder = postgres.data_folder()
    postgres.stop(folder)
    shutil.rmtree(folder, ignore_errors=True)


def encryption_key() -> str:
    """INTEGRATION_ENCRYPTION_KEY of the environment, else one made once for this checkout and kept in .dev."""
    if given := os.environ.get("INTEGRATION_ENCRYPTION_KEY"):
        return given
    if not KEY_FILE.exists():
        KEY_FILE.touch(mode=0o600)
        KEY_FILE.write_text(secrets.token_hex(32), encoding="utf-8")
    return KEY_FILE.read_text(encoding="utf-8")


def _say_reloaded(paths: set[Path]) -> None:
    print(f"Reloaded: {', '.join(sorted(map(_short, paths)))}")


def _short(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
