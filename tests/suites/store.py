"""A database that a suite changes and puts back: what stands in it as checksums, what differs, how it was."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

SNAPSHOT = "suite_snapshot"
"""Schema with a copy of every business table as it was."""
INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)?")
DAY = re.compile(r"\d{4}-\d\d-\d\d")
UUID_LIKE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
KEPT_UUID = re.compile(r"(00000000-0000-4000-8000-0000000000|11111111-1111-4111-8111-1111111111)[0-9a-f]{2}")
"""Identities that the world itself gives; all others are new with each run."""
VENDORS_OWN = re.compile(r"BulkOperation/\d+")
"""Identities that a vendor gives to what a job asked it for: a second attempt asks again."""
HASH = re.compile(r"\b[0-9a-f]{32,128}\b")
ATTEMPTS = re.compile(r"(attempts?|retries|retry_count|failures|_count|duration_ms|latency_ms|elapsed_ms)$")
"""Columns that count how often or how long something was tried: they may tell of a disturbance."""
VENDOR_TRY = "bulk_operation_id"
"""A vendor's name for one try: a repeated try has another one, and that is all that differs."""

TABLES = """
SELECT n.nspname, c.relname, array_agg(a.attname ORDER BY a.attnum) FILTER (WHERE a.attgenerated = '')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
WHERE n.nspname = ANY(%(schemas)s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped
GROUP BY 1, 2 ORDER BY 1, 2
"""
MINTED = """
SELECT DISTINCT a.attname FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE n.nspname = ANY(%(schemas)s) AND (a.attidentity <> '' OR pg_get_expr(d.adbin, d.adrelid) LIKE 'nextval(%%')
"""
SCANS = """
SELECT COALESCE(sum(COALESCE(seq_scan, 0) + COALESCE(idx_scan, 0)), 0) FROM pg_stat_user_tables
WHERE schemaname = %(schema)s
"""
LEDGER = ("claims", "runs", "payloads", "outbox", "slots", "tokens", "pauses", "ticks", "rate_limits")

Table = tuple[str, str]
Sums = Mapping[Table, str]
Stamp = tuple[int, int]
"""How many rows a table has, and the newest transaction that wrote one: a table that nobody wrote keeps its own."""


@dataclass
class Store:
    """The business tables of one database, seen by the admin. `before`: their checksums in the snapshot; `unwritten`:
    their stamps while they are as in the snapshot."""

    admin: psycopg.Connection[Any]
    tables: dict[Table, list[str]]
    before: Sums
    unwritten: dict[Table, Stamp] = field(default_factory=dict)
    minted: frozenset[str] = frozenset()
    """Names of columns that a sequence fills: another number with each run."""
    _texts: dict[tuple[Any, ...], bytes] = field(default_factory=dict)

    @classmethod
    def take(cls, admin: psycopg.Connection[Any], schemas: Iterable[str]) -> Store:
        """Copy every table of the schemas into the snapshot."""
        found = admin.execute(TABLES, {"schemas": list(schemas)}).fetchall()
        tables = {(schema, name): columns for schema, name, columns in found}
        admin.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(SNAPSHOT)))
        for schema, name in tables:
            copy = sql.SQL("CREATE TABLE {} AS TABLE {}").format(_copy_of((schema, name)), sql.Identifier(schema, name))
            admin.execute(copy)
        return cls.open(admin, schemas)

    @classmethod
    def open(cls, admin: psycopg.Connection[Any], schemas: Iterable[str]) -> Store:
        """The store of a database that has its snapshot (a clone of the one where it was taken)."""
        found = admin.execute(TABLES, {"schemas": list(schemas)}).fetchall()
        store = cls(admin, {(schema, name): columns for schema, name, columns in found}, {})
        store.before = store.sums()
        store.unwritten = store.stamps()
        store.minted = frozenset(row[0] for row in admin.execute(MINTED, {"schemas": list(schemas)}).fetchall())
        return store

    def stamps(self, schema: str | None = None, *, only: Iterable[Table] | None = None) -> dict[Table, Stamp]:
        """The stamp of every table, in one statement that is planned once: ten times as quick as checksums."""
        tables = self._of(schema) if only is None else list(only)
        one = "SELECT {schema}, {name}, count(*), COALESCE(max(xmin::text::bigint), 0) FROM {table}"
        return {(row[0], row[1]): (row[2], row[3]) for row in self._each(one, tables, prepare=only is None)}

    def sums(
        self,
        schema: str | None = None,
        *,
        only: Iterable[Table] | None = None,
        like: Sequence[str] = (),
        unlike: str = "",
    ) -> dict[Table, str]:
        """Checksum of every table's rows, in one statement. `like`: only rows whose text is like one of these, and not
        like `unlike`."""
        one = "SELECT {schema}, {name}, md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {table} t"
        if like:
            one += " WHERE t::text LIKE ANY({like}) AND t::text NOT LIKE {unlike}"
        tables = self._of(schema) if only is None else list(only)
        rows = self._each(one, tables, like=sql.Literal(list(like)), unlike=sql.Literal(unlike))
        return {(row[0], row[1]): row[2] or "empty" for row in rows}

    def _of(self, schema: str | None) -> list[Table]:
        return [table for table in self.tables if schema in (None, table[0])]

    def _each(self, one: str, tables: Sequence[Table], *, prepare: bool = False, **more: sql.Composable) -> list[Any]:
        """The rows of a query of each table, in one statement."""
        key = (one, *tables, *map(repr, more.values()))
        if not tables:
            return []
        if key not in self._texts:
            parts = [
                sql.SQL(one).format(schema=sql.Literal(t[0]), name=sql.Literal(t[1]), table=sql.Identifier(*t), **more)
                for t in tables
            ]
            self._texts[key] = sql.SQL(" UNION ALL ").join(parts).as_bytes(self.admin)
        return self.admin.execute(self._texts[key], prepare=prepare).fetchall()

    def _written(self) -> dict[Table, Stamp]:
        """The tables that somebody wrote since they were as in the snapshot."""
        return {table: stamp for table, stamp in self.stamps().items() if stamp != self.unwritten[table]}

    def changed(self) -> list[Table]:
        """The tables that differ from the snapshot."""
        return [table for table, sum_ in self.sums(only=self._written()).items() if sum_ != self.before[table]]

    def effects(self, schemas: Iterable[str]) -> dict[str, list[Any]]:
        """Table -> its rows, without what differs between any two runs, for the tables that changed."""
        wanted = set(schemas)
        return {f"{t[0]}.{t[1]}": self._rows(t) for t in self.changed() if t[0] in wanted}

    def _rows(self, table: Table) -> list[Any]:
        statement = sql.SQL("SELECT to_jsonb(t) AS row FROM {} t").format(sql.Identifier(*table))
        found = [row[0] for row in self.admin.execute(statement).fetchall()]
        rows = [plain({n: "<minted>" if n in self.minted else v for n, v in row.items()}) for row in found]
        return sorted(rows, key=repr)

    def restore(self) -> None:
        """Put every table back, and empty the ledger."""
        parts: list[sql.Composable] = [sql.SQL("SET session_replication_role = replica")]
        parts += [sql.SQL("DELETE FROM {}").format(sql.Identifier("jobs", name)) for name in LEDGER]
        written = self._written()
        for table in written:
            columns = sql.SQL(", ").join(map(sql.Identifier, self.tables[table]))
            parts.append(sql.SQL("DELETE FROM {}").format(sql.Identifier(*table)))
            parts.append(
                sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}").format(
                    sql.Identifier(*table), columns, columns, _copy_of(table)
                )
            )
        parts.append(sql.SQL("SET session_replication_role = DEFAULT"))
        self.admin.execute(sql.SQL("; ").join(parts))
        self.unwritten |= self.stamps(only=written)

    def scans(self, schema: str) -> int:
        """How often the tables of a schema were read so far, by anybody whose statistics have arrived."""
        self.admin.execute("SELECT pg_stat_force_next_flush()")
        self.admin.execute("SELECT pg_stat_clear_snapshot()")
        row = self.admin.execute(SCANS, {"schema": schema}).fetchone()
        return int(row[0]) if row else 0

    def rows(self, statement: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Any rows, as the admin."""
        with self.admin.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement, values).fetchall()


def plain(value: Any, name: str = "") -> Any:
    """A value without what differs between any two runs: instants, new identities, counts of attempts."""
    if isinstance(value, dict):
        return {key: plain(part, key) for key, part in sorted(value.items())}
    if isinstance(value, list):
        return [plain(part, name) for part in value]
    if name == VENDOR_TRY:
        return "<try>"
    if isinstance(value, str):
        text = DAY.sub("<day>", INSTANT.sub("<instant>", value))
        text = UUID_LIKE.sub(lambda found: found[0] if KEPT_UUID.fullmatch(found[0]) else "<id>", text)
        return VENDORS_OWN.sub("<vendor's>", HASH.sub("<hash>", text))  # a hash of an instant, often
    if ATTEMPTS.search(name) and isinstance(value, int | float):
        return "<n>"
    return value


def _copy_of(table: Table) -> sql.Identifier:
    return sql.Identifier(SNAPSHOT, f"{table[0]}.{table[1]}")
