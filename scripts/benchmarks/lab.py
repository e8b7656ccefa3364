"""Where it is measured: a durable PostgreSQL of this run, migrated, with tenants; and the profile of a row."""

from __future__ import annotations

import cProfile
import io
import pstats
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import psycopg
import psycopg.sql
from psycopg.conninfo import make_conninfo

from shared.db.connections import connect

KEY = "bench-key-0123456789-abcdefghijklmnop"
PASSWORD = "bench-password"
LOGIN = "cgk_jobs"
TENANTS = ("bench_one", "bench_two")
DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
PROFILE_LINES = 25
DAYS_AT_ONCE = 15
"""Partitions made in one transaction: each takes locks, and their number is bounded."""


def as_login(admin_url: str) -> str:
    """The same database as the jobs' own login."""
    return make_conninfo(admin_url, user=LOGIN, password=PASSWORD)


@dataclass
class Lab:
    """What rows share. `quick`: fewer rounds, for trying a row; `profile`: say where the time goes."""

    held: ExitStack
    quick: bool = False
    profile: bool = False
    timers: Timers = field(default_factory=lambda: Timers())

    @cached_property
    def folder(self) -> Path:
        """A folder that is gone afterwards."""
        return Path(self.held.enter_context(tempfile.TemporaryDirectory(prefix="cgk-b-", ignore_cleanup_errors=True)))

    @cached_property
    def server_url(self) -> str:
        """The admin's URL of an embedded server with its own defaults: fsync and synchronous_commit on."""
        from scripts.local.postgres import _library

        server = _library().get_server(self.folder / "pg", cleanup_mode="stop")
        self.held.callback(server.cleanup)
        url = str(server.get_uri())
        with psycopg.connect(url, autocommit=True) as admin:
            for setting in DURABLE:
                row = admin.execute("SELECT current_setting(%s)", (setting,)).fetchone()
                assert row == ("on",), f"{setting} is {row}: nothing measured here would be durable"
        return url

    @cached_property
    def admin_url(self) -> str:
        """A migrated database with the tenants TENANTS."""
        return self.migrated("bench", TENANTS)

    @cached_property
    def database_url(self) -> str:
        """The same as the jobs' own login."""
        return as_login(self.admin_url)

    def migrated(self, name: str, tenants: Sequence[str] = ()) -> str:
        """The admin's URL of a new database with everything that jobs need, its ledger as old as ledgers become."""
        from shared.db.migrations import ensure_login_role, migrate, provision_tenant
        from shared.db.partitions import RUNS_KEPT_DAYS, ensure_partitions

        url = self.database(name)
        ensure_login_role(url, LOGIN, PASSWORD)
        migrate(url, login_role=LOGIN)
        for slug in tenants:
            provision_tenant(url, slug, slug)
        with connect(url, application_name="bench") as admin:
            today = datetime.now(UTC).date()
            for back in range(RUNS_KEPT_DAYS, 0, -DAYS_AT_ONCE):
                ensure_partitions(admin, today - timedelta(days=back), DAYS_AT_ONCE - 1)
        return url

    def database(self, name: str) -> str:
        """The admin's URL of a new, empty database."""
        with psycopg.connect(self.server_url, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE IF EXISTS "{name}"'.encode())
            admin.execute(f'CREATE DATABASE "{name}"'.encode())
        return make_conninfo(self.server_url, dbname=name)

    def rounds(self, wanted: int) -> int:
        """How often to measure."""
        return max(2, wanted // 5) if self.quick else wanted

    def say(self, text: str) -> None:
        """A line for who waits."""
        print(text, file=sys.stderr, flush=True)

    @contextmanager
    def profiled(self, *connections: psycopg.Connection[Any]) -> Iterator[None]:
        """Profile the block when it is asked for: statements on `connections` by their name, Python by own time."""
        if not self.profile:
            yield
            return
        self.timers = Timers()
        for connection in connections:
            connection.cursor_factory = self.timers.cursor_factory()
        profiler, began = cProfile.Profile(), time.perf_counter()
        profiler.enable()
        try:
            yield
        finally:
            profiler.disable()
            wall = time.perf_counter() - began
            for connection in connections:
                connection.cursor_factory = psycopg.Cursor
            self.say(self.timers.report(wall))
            out = io.StringIO()
            pstats.Stats(profiler, stream=out).sort_stats("tottime").print_stats(PROFILE_LINES)
            self.say(out.getvalue())


class Timers:
    """Round trips by the name that each statement carries in its first comment."""

    def __init__(self) -> None:
        self.spent: dict[str, list[float]] = defaultdict(list)

    def cursor_factory(self) -> Any:
        """A cursor class that notes how long each execute took."""
        spent = self.spent

        class Timed(psycopg.Cursor[Any]):
            def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
                began = time.perf_counter()
                try:
                    return super().execute(query, *args, **kwargs)
                finally:
                    spent[_name(query)].append(time.perf_counter() - began)

        return Timed

    def report(self, wall: float) -> str:
        """A line per statement, the dearest first, and what is left for everything else."""
        lines = [f"{'ms in all':>10} {'calls':>6} {'ms each':>8}  {'share':>5}  round trip"]
        total = 0.0
        for name, times in sorted(self.spent.items(), key=lambda item: -sum(item[1])):
            total += sum(times)
            lines.append(_line(sum(times), len(times), wall, name))
        lines.append(_line(wall - total, 1, wall, "(everything that is no round trip)"))
        return "\n".join(lines)


def _line(spent: float, calls: int, wall: float, name: str) -> str:
    return f"{spent * 1000:>10.1f} {calls:>6} {spent / calls * 1000:>8.2f}  {spent / wall:>5.0%}  {name}"


def _name(query: Any) -> str:
    text = query.as_string() if isinstance(query, psycopg.sql.Composable) else str(query)
    lines: Sequence[str] = [line.strip() for line in text.strip().splitlines() if line.strip()]
    named = next((line for line in lines[:2] if line.startswith("--")), lines[0] if lines else "(empty)")
    return named.removeprefix("-- ")[:90]
