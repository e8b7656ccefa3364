"""Gives every table of a tenant a row, without knowing any table: values by type, name, key and check constraint."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from shared.crypto import encrypt_platform
from tests.suites.marks import Side, kind_of

TRIES = 8
"""Attempts at one row: each mends what the constraint that failed says."""

COLUMNS = """
SELECT c.relname AS table_name, a.attname AS name, t.typname AS type, t.typtype AS kind, NOT a.attnotnull AS nullable,
       a.atthasdef AS has_default, pg_get_expr(d.adbin, d.adrelid) LIKE '%%gen_random_uuid()%%' AS drawn,
       a.attgenerated <> '' AS generated, a.attidentity <> '' AS identity,
       CASE WHEN t.typname IN ('varchar', 'bpchar') AND a.atttypmod > 0 THEN a.atttypmod - 4 END AS length,
       (SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder LIMIT 1) AS label
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = %(schema)s::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
"""
FOREIGN = """
SELECT c.conrelid::regclass::oid AS child, cc.relname AS table_name, a.attname AS name, pc.relname AS parent,
       pn.nspname AS parent_schema, pa.attname AS parent_column
FROM pg_constraint c
JOIN pg_class cc ON cc.oid = c.conrelid JOIN pg_class pc ON pc.oid = c.confrelid
JOIN pg_namespace pn ON pn.oid = pc.relnamespace
JOIN LATERAL unnest(c.conkey, c.confkey) AS k (child_no, parent_no) ON true
JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.child_no
JOIN pg_attribute pa ON pa.attrelid = c.confrelid AND pa.attnum = k.parent_no
WHERE c.contype = 'f' AND cc.relnamespace = %(schema)s::regnamespace
"""
CHECK = """
SELECT pg_get_constraintdef(oid) FROM pg_constraint
WHERE conname = %(name)s AND connamespace = %(schema)s::regnamespace
"""


@dataclass
class Sown:
    """What was sown. `rows`: table -> its row; `refused`: table -> why it has none."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Column:
    table_name: str
    name: str
    type: str
    kind: str
    nullable: bool
    has_default: bool
    drawn: bool | None
    generated: bool
    identity: bool
    length: int | None
    label: str | None


class Sower:
    """Sows one schema for one tenant."""

    def __init__(self, conn: psycopg.Connection[Any], schema: str, side: Side, key: str) -> None:
        self._conn, self._schema, self._side, self._key = conn, schema, side, key
        self._columns: dict[str, list[_Column]] = defaultdict(list)
        self._foreign: dict[tuple[str, str], tuple[str, str, str]] = {}
        self.sown = Sown()
        with conn.cursor(row_factory=dict_row) as cursor:
            for row in cursor.execute(COLUMNS, {"schema": schema}).fetchall():
                self._columns[row["table_name"]].append(_Column(**row))
            for row in cursor.execute(FOREIGN, {"schema": schema}).fetchall():
                parent = (row["parent_schema"], row["parent"], row["parent_column"])
                self._foreign.setdefault((row["table_name"], row["name"]), parent)

    def sow(self, *, leave: frozenset[str] = frozenset()) -> Sown:
        """One row in every table; `leave`: tables to pass over, because the world has filled them."""
        waiting = [table for table in self._columns if table not in leave]
        while waiting:
            ready = [table for table in waiting if not self._parents(table) & set(waiting) - {table}] or waiting[:1]
            for table in ready:
                self._plant(table)
            waiting = [table for table in waiting if table not in ready]
        return self.sown

    def _parents(self, table: str) -> set[str]:
        return {
            parent
            for (child, _), (schema, parent, _) in self._foreign.items()
            if child == table
            if schema == self._schema
        }

    def _plant(self, table: str) -> None:
        values = {c.name: self._value(c) for c in self._columns[table] if not (c.generated or c.identity)}
        values = {name: value for name, value in values.items() if value is not _OMITTED}
        why = ""
        for _ in range(TRIES):
            try:
                self.sown.rows[table] = self._insert(table, values)
                return
            except psycopg.errors.UniqueViolation:
                return  # the world has made this row itself
            except psycopg.Error as error:
                why = f"{type(error).__name__} {error.diag.constraint_name or error.diag.column_name or ''}".strip()
                if not self._mend(table, values, error):
                    break
        self.sown.refused[table] = why

    def _insert(self, table: str, values: Mapping[str, Any]) -> dict[str, Any]:
        statement = sql.SQL("INSERT INTO {table} ({columns}) VALUES ({values}) RETURNING *").format(
            table=sql.Identifier(self._schema, table),
            columns=sql.SQL(", ").join(map(sql.Identifier, values)),
            values=sql.SQL(", ").join(sql.Placeholder() * len(values)),
        )
        with self._conn.transaction(), self._conn.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(statement, list(values.values())).fetchone()
            assert row is not None
            return row

    # Values.

    def _value(self, column: _Column) -> Any:
        if (foreign := self._foreign.get((column.table_name, column.name))) is not None:
            return self._of_parent(column, foreign)
        if column.name in ("tenant_id", "organization_id", "brand_id"):
            return str(self._side.organization_id) if column.type == "uuid" else self._side.slug
        if column.type == "uuid":
            return self._side.uuid
        if column.name == "id" and column.drawn:
            return self._side.number  # a text that is drawn, such as a review's: the row that a sample names
        if column.has_default:
            return _OMITTED
        if column.kind == "e":
            return column.label
        if column.nullable and column.type in ("timestamptz", "timestamp", "date"):
            return _OMITTED  # deleted_at and its like: a row that is in use
        return self._plain(column)

    def _of_parent(self, column: _Column, foreign: tuple[str, str, str]) -> Any:
        schema, table, name = foreign
        if table == "organizations":
            return self._side.organization_id
        row = self.sown.rows.get(table) if schema == self._schema else None
        if row is None:
            with self._conn.cursor() as cursor:
                statement = sql.SQL("SELECT {} FROM {} LIMIT 1").format(
                    sql.Identifier(name), sql.Identifier(schema, table)
                )
                found = cursor.execute(statement).fetchone() if schema == self._schema else None
            return found[0] if found else None
        return row[name]

    def _plain(self, column: _Column) -> Any:
        match column.type:
            case "text" | "varchar" | "bpchar" | "citext":
                return self._text(column)
            case "int2" | "int4" | "int8" | "numeric" | "float4" | "float8":
                return 1
            case "bool":
                return False
            case "timestamptz" | "timestamp" | "date":
                return "2026-11-20T10:00:00Z"
            case "jsonb" | "json":
                return json.dumps({"note": self._side.mark("txt")})
            case "bytea":
                return self._side.mark("sec").encode()
            case name if name.startswith("_"):
                return "{}"
            case _:
                return None

    def _text(self, column: _Column) -> str:
        name, kind = column.name, kind_of(column.table_name, column.name)
        if re.search(r"(^|_)(id|ids|sid|gid|number)$", name):
            return self._side.number
        if name.endswith("_encrypted"):
            return encrypt_platform(self._side.mark("sec"), self._key)
        if "currency" in name:
            return "USD"
        text = self._side.mark(kind)
        if "email" in name:
            text = f"{text}@example.com"
        elif name.endswith("url"):
            text = f"https://{text}.example.com/"
        return text[: column.length] if column.length else text

    # Mending.

    def _mend(self, table: str, values: dict[str, Any], error: psycopg.Error) -> bool:
        """Change the values by what the database complains about; False when nothing is left to try."""
        columns = {c.name: c for c in self._columns[table]}
        if isinstance(error, psycopg.errors.CheckViolation) and error.diag.constraint_name:
            return self._meet(columns, values, error.diag.constraint_name)
        return False

    def _meet(self, columns: Mapping[str, _Column], values: dict[str, Any], constraint: str) -> bool:
        found = self._conn.execute(CHECK, {"name": constraint, "schema": self._schema}).fetchone()
        text = found[0] if found else ""
        named = [name for name in columns if re.search(rf"\b{re.escape(name)}\b", text)]
        literals = re.findall(r"'([^']*)'::(?:text|character varying|bpchar)", text)
        for name in named:
            if literals and columns[name].type in ("text", "varchar") and values.get(name) not in literals:
                values[name] = literals[0]
                return True
        for name in named:
            if name in values and columns[name].nullable and values[name] is not None:
                values[name] = None
                return True
        return False


class _Omitted:
    """The column's default decides."""


_OMITTED = _Omitted()
