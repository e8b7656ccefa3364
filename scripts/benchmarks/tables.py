"""The rows of some tables written anew in two other ways: COPY, the floor, and a loop, what one would write first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from shared.db.names import tenant_schema
from shared.jobs.context import Tenant

KEYS = """
SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY(i.indkey)
WHERE i.indrelid = %(table)s::regclass AND i.indisprimary
"""


class Rows:
    """What was written for `tenant`, written anew into the same tables of `other`.

    `tables`: those that reference others come after them. `parts`: transactions. `together`: tables whose rows all go
    into the last one, because what they reference is spread over all.
    """

    def __init__(
        self,
        admin: psycopg.Connection[Any],
        tenant: Tenant,
        other: str,
        *,
        tables: Sequence[str],
        parts: int,
        together: Sequence[str] = (),
    ) -> None:
        self._admin = admin
        self._tables = tables
        self._parts = parts
        self._together = together
        self._from, self._to = tenant_schema(tenant.slug), tenant_schema(other)
        self._copied: dict[str, list[bytes]] = {}
        self._rows: dict[str, tuple[str, list[tuple[Any, ...]]]] = {}

    def timed(self, work: Any) -> float:
        """Seconds of `work` on empty tables."""
        self.empty()
        began = time.perf_counter()
        work()
        return time.perf_counter() - began

    def empty(self) -> None:
        tables = sql.SQL(", ").join(
            sql.Identifier(schema, t) for schema in (self._from, self._to) for t in self._tables
        )
        self._admin.execute(sql.SQL("TRUNCATE {} CASCADE").format(tables))

    def take(self, *, loop: bool = True) -> None:
        """Keep the rows in memory: as COPY's own format, and for the loop as values with their statement."""
        for table in self._tables:
            name = sql.Identifier(self._from, table)
            with self._admin.cursor() as cursor, cursor.copy(sql.SQL("COPY {} TO STDOUT").format(name)) as copy:
                rows = b"".join(bytes(part) for part in copy).splitlines(keepends=True)
            self._copied[table] = _parts(rows, self._parts, together=table in self._together)
            if not loop:
                continue
            columns = self._admin.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(name)).description or []
            texts = sql.SQL(", ").join(sql.SQL("{}::text").format(sql.Identifier(c.name)) for c in columns)
            values = self._admin.execute(sql.SQL("SELECT {} FROM {}").format(texts, name)).fetchall()
            self._rows[table] = (self._upsert(table, [c.name for c in columns]), values)

    def _upsert(self, table: str, columns: list[str]) -> str:
        place = sql.Identifier(self._to, table)
        keys = [row[0] for row in self._admin.execute(KEYS, {"table": f"{self._to}.{table}"}).fetchall()]
        return (
            sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT ({}) DO UPDATE SET {}")
            .format(
                place,
                sql.SQL(", ").join(map(sql.Identifier, columns)),
                sql.SQL(", ").join([sql.Placeholder()] * len(columns)),
                sql.SQL(", ").join(map(sql.Identifier, keys)),
                sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(c)) for c in columns),
            )
            .as_string(self._admin)
        )

    def copy(self) -> None:
        for part in range(self._parts):
            with self._admin.transaction():
                for table in self._tables:
                    statement = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(self._to, table))
                    with self._admin.cursor() as cursor, cursor.copy(statement) as copy:
                        copy.write(self._copied[table][part])

    def loop(self) -> None:
        for table in self._tables:
            statement, rows = self._rows[table]
            for part in range(self._parts):
                with self._admin.transaction():
                    for row in rows[part * len(rows) // self._parts : (part + 1) * len(rows) // self._parts]:
                        self._admin.execute(statement.encode(), row)


def _parts(rows: list[bytes], parts: int, *, together: bool) -> list[bytes]:
    """Rows in so many parts; `together`: all in the last, because what they reference is spread over all."""
    if together:
        return [b""] * (parts - 1) + [b"".join(rows)]
    return [b"".join(rows[n * len(rows) // parts : (n + 1) * len(rows) // parts]) for n in range(parts)]
