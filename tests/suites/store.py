"""A database that a suite changes and puts back: what stands in it as checksums, what differs, how it was."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import md5
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
VENDORS_OWN = re.compile(r"BulkOperation/\d+|\b\d{10}\.\d{6}\b")
"""Identities that a vendor gives to what a job asked it for, as Slack a post's instant: a second attempt asks again."""
SEALED = re.compile(r"[0-9a-f]{32}:[0-9a-f]{32}:[0-9a-f]{32}:[0-9a-f]*")
"""What is sealed has a nonce of its own."""
HASH = re.compile(r"\b[0-9a-f]{32,128}\b")
ATTEMPTS = re.compile(r"(attempts?|retries|retry_count|failures|_count|duration_ms|latency_ms|elapsed_ms)$")
"""Columns that count how often or how long something was tried: they may tell of a disturbance."""
VENDOR_TRY = "bulk_operation_id"
"""A vendor's name for one try: a repeated try has another one, and that is all that differs."""
RANDOM = frozenset({"sealed", "access_token"})
"""Columns that are random by design: what is sealed has a nonce of its own, a link's token is drawn."""

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
ROWS = "SELECT {n}, md5(t::text) FROM {table} t"
ROWS_LIKE = "SELECT {n}, md5(t::text) FROM {table} t WHERE t::text LIKE ANY({like}) AND t::text NOT LIKE {unlike}"
LEDGER = ("claims", "runs", "payloads", "outbox", "slots", "tokens", "pauses", "ticks", "rate_limits")

Table = tuple[str, str]
Sums = Mapping[Table, str]


@dataclass
class Store:
    """The business tables of one database, seen by the admin. `before`: their checksums in the snapshot."""

    admin: psycopg.Connection[Any]
    tables: dict[Table, list[str]]
    before: Sums
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
        store.minted = frozenset(row[0] for row in admin.execute(MINTED, {"schemas": list(schemas)}).fetchall())
        return store

    def sums(self, schema: str | None = None, *, like: Sequence[str] = (), unlike: str = "") -> dict[Table, str]:
        """Checksum of every table's rows, by one statement that is planned once: a row each and no aggregate, for those
        are slow to set up hundreds of times. `like`: only rows whose text is like one of these, and not like `unlike`.
        """
        tables = [table for table in self.tables if schema in (None, table[0])]
        found: dict[Table, list[str]] = {table: [] for table in tables}
        for n, row in self.admin.execute(self._each(tables, like, unlike), prepare=not like):
            found[tables[n]].append(row)
        return {table: md5("".join(sorted(rows)).encode()).hexdigest() if rows else "" for table, rows in found.items()}

    def _each(self, tables: Sequence[Table], like: Sequence[str], unlike: str) -> bytes:
        key = (*tables, *like, unlike)
        if key not in self._texts:
            one = sql.SQL(ROWS_LIKE if like else ROWS)
            words = {"like": sql.Literal(list(like)), "unlike": sql.Literal(unlike)}
            parts = [one.format(n=sql.Literal(n), table=sql.Identifier(*t), **words) for n, t in enumerate(tables)]
            self._texts[key] = sql.SQL(" UNION ALL ").join(parts).as_bytes(self.admin)
        return self._texts[key]

    def changed(self) -> list[Table]:
        """The tables that differ from the snapshot."""
        return [table for table, sum_ in self.sums().items() if sum_ != self.before[table]]

    def effects(self, schemas: Iterable[str]) -> dict[str, list[Any]]:
        """Table -> its rows, without what differs between any two runs, for the tables that changed."""
        wanted = set(schemas)
        return {f"{t[0]}.{t[1]}": self._rows(t) for t in self.changed() if t[0] in wanted}

    def _rows(self, table: Table) -> list[Any]:
        statement = sql.SQL("SELECT to_jsonb(t) AS row FROM {} t").format(sql.Identifier(*table))
        found = [row[0] for row in self.admin.execute(statement).fetchall()]
        rows = [plain({n: "<minted>" if n in self.minted else v for n, v in row.items()}) for row in found]
        return sorted(rows, key=repr)

    @cached_property
    def _writer(self) -> psycopg.Connection[Any]:
        """A connection without triggers and foreign keys. Of its own: changing that setting forgets all plans."""
        info = self.admin.info
        dsn = psycopg.conninfo.make_conninfo(info.dsn, password=info.password)
        return psycopg.connect(dsn, autocommit=True, options="-c session_replication_role=replica")

    def close(self) -> None:
        if "_writer" in vars(self):
            self._writer.close()

    def restore(self) -> None:
        """Put every table back, and empty the ledger."""
        parts: list[sql.Composable] = [
            sql.SQL("DELETE FROM {}").format(sql.Identifier("jobs", name)) for name in LEDGER
        ]
        for table in self.changed():
            columns = sql.SQL(", ").join(map(sql.Identifier, self.tables[table]))
            parts.append(sql.SQL("DELETE FROM {}").format(sql.Identifier(*table)))
            parts.append(
                sql.SQL("INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM {}").format(
                    sql.Identifier(*table), columns, columns, _copy_of(table)
                )
            )
        self._writer.execute(sql.SQL("; ").join(parts))

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
    if name in RANDOM and isinstance(value, str):
        return "<random>"
    if isinstance(value, str):
        text = DAY.sub("<day>", INSTANT.sub("<instant>", value))
        text = UUID_LIKE.sub(lambda found: found[0] if KEPT_UUID.fullmatch(found[0]) else "<id>", text)
        text = SEALED.sub("<sealed>", text)
        return VENDORS_OWN.sub("<vendor's>", HASH.sub("<hash>", text))  # a hash of an instant, often
    if ATTEMPTS.search(name) and isinstance(value, int | float):
        return "<n>"
    return value


def _copy_of(table: Table) -> sql.Identifier:
    return sql.Identifier(SNAPSHOT, f"{table[0]}.{table[1]}")
