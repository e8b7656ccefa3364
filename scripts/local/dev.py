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
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console

from scripts.local import DEV, ROOT, LocalError, chaos, deploy, engine, fakes, platform, postgres, reload, tenants
from scripts.local.story import Story

KEY_FILE = DEV / "encryption-key"
ENV_FILE = DEV / "env"


def main(arguments: Sequence[str]) -> int:
    """0 when all is well, 1 with one sentence on stderr when something of the machine is in the way."""
    parser = argparse.ArgumentParser(prog="scripts/dev", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end when everything is up")
    parser.add_argument("--chaos", action="store_true", help="kill a worker with -9 three times during the import")
    parser.add_argument("--fresh", action="store_true", help="start over: forget the database of earlier starts")
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a log file shows each line at once, as a terminal does
    for signum in (signal.SIGINT, signal.SIGTERM):  # a shell starts background processes deaf to SIGINT
        signal.signal(signum, _interrupt)
    try:
        with ExitStack() as held:
            held.enter_context(platform.only_one())
            return _run(held, options)
    except (LocalError, TimeoutError) as error:
        print(f"scripts/dev: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        return 0


def _run(held: ExitStack, options: argparse.Namespace) -> int:
    if options.fresh:
        forget()
    if ended := engine.end_left_over():
        print(f"Ended the engine that an earlier start left behind (process {ended}).")
    key = encryption_key()
    vendors = fakes.start(held)
    up = platform.start(
        held, settings=vendors.settings, encryption_key=key, prepare=lambda database: tenants.prepare(database, key)
    )
    environment = _write_environment(up, key, vendors.settings)
    held.callback(ENV_FILE.unlink, missing_ok=True)
    os.environ.update(environment)
    held.callback(reload.start_watching(up.engine.endpoint, _say_reloaded).set)
    print(f"Database  {up.database.admin_url}")
    print(f"Engine    {up.engine.endpoint}  (log: {_short(up.engine.log)})")
    print(f"Shopify   {vendors.shops.base_url}  (log: {_short(vendors.shops.log)})")
    print(f"Slack     {vendors.slack}/_fake/messages")
    print(f"Redis     {vendors.redis}/_fake/keys")
    print(f"Google    {vendors.merchant}/  (the feed's products, in a browser)")
    print(f"Mail      {vendors.resend}/  (the outbox, in a browser)")
    print(f"Deployed  {', '.join(up.stacks)}")
    story = Story(
        up,
        vendors,
        Console(highlight=False),
        chaos.Killer(up.engine.endpoint, 3).maybe if options.chaos else _nothing,
    )
    well = story.tell()
    print("All is well." if well else "Something is wrong: see above, `cgk-jobs runs` and `cgk-jobs dlq list`.")
    if options.once:
        return 0 if well else 1
    print("Up. `.venv/bin/cgk-jobs runs` shows the ledger, `.venv/bin/cgk-jobs list` the jobs.")
    print("Edit a job and the next message runs it; Ctrl-C stops everything.")
    threading.Event().wait()
    return 0


def _nothing() -> None:
    return


def forget() -> None:
    """End the embedded database and remove its data; a database of DATABASE_URL is not touched."""
    folder = postgres.data_folder()
    postgres.stop(folder)
    for state in (folder, DEV / "shopify"):
        shutil.rmtree(state, ignore_errors=True)


def _write_environment(up: platform.Platform, key: str, settings: Mapping[str, str]) -> dict[str, str]:
    """Write .dev/env, by which the command line finds this platform; what it says."""
    environment = {
        "DATABASE_URL": up.database.url,
        "DATABASE_ADMIN_URL": up.database.admin_url,
        "INTEGRATION_ENCRYPTION_KEY": key,
        "CGK_BUS": "cgk",
        "CGK_BUCKET": f"cgk-{deploy.ACCOUNT}-{engine.REGION}",
        **engine.client_environment(up.engine.endpoint),
        **settings,  # the fakes, for jobs that `cgk-jobs invoke` runs in its own process
    }
    ENV_FILE.touch(mode=0o600)
    ENV_FILE.write_text("".join(f"{name}={value}\n" for name, value in environment.items()), encoding="utf-8")
    return environment


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
