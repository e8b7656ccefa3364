"""The running platform: database, engine, deployed app. One object that knows what it started and ends just that."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from scripts.local import DEV, LocalError, deploy, engine, postgres


@dataclass(frozen=True)
class Platform:
    """What is running, and where."""

    database: postgres.Database
    engine: engine.Engine
    stacks: tuple[str, ...]


def start(
    held: ExitStack,
    *,
    settings: Mapping[str, str] | None = None,
    encryption_key: str,
    prepare: Callable[[postgres.Database], object] = lambda database: None,
) -> Platform:
    """Start or join the database, start the engine, deploy the app to it. `held` ends what was started, in reverse.

    `settings`: <VENDOR>_BASE_URL of the fakes. `prepare`: called with the database before anything uses it. Raises
    LocalError with the sentence for the terminal.
    """
    database = postgres.obtain()
    held.callback(database.stop)
    prepare(database)
    running = engine.start(DEV / "engine", chosen_port())
    held.callback(running.stop)
    stacks = deploy.deploy(running.endpoint, settings=settings)
    store_secrets(running.endpoint, database, encryption_key)
    return Platform(database, running, tuple(stacks))


def store_secrets(endpoint: str, database: postgres.Database, encryption_key: str) -> None:
    """Give the deployed app what it may not find in its environment."""
    jobs = {"DATABASE_URL": database.url, "INTEGRATION_ENCRYPTION_KEY": encryption_key}
    deploy.put_secret(endpoint, "cgk/jobs", jobs)
    deploy.put_secret(endpoint, "cgk/admin", {**jobs, "DATABASE_ADMIN_URL": database.admin_url})


def chosen_port() -> int:
    """The engine's port: CGK_ENGINE_PORT or the usual one."""
    given = os.environ.get("CGK_ENGINE_PORT", str(engine.PORT))
    if not given.isdecimal() or not 0 <= int(given) < 65536:
        raise LocalError(f"CGK_ENGINE_PORT={given} is no port number")
    return int(given)


def only_one(folder: Path = DEV) -> IO[str]:
    """Hold this checkout's platform for this process; raises LocalError when another scripts/dev holds it.

    The lock is the kernel's: it is free again however the holder ended. Keep the returned file open.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = (folder / "dev.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip() or "unknown"
        raise LocalError(
            f"scripts/dev is running already in this checkout (process {holder}); end it with Ctrl-C"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    return lock
