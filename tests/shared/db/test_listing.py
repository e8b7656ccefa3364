"""What the migrations make, held against the listing of the platform's database and the list of additions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
import yaml

from shared.db.migrations.catalog import catalog_of, catalog_query
from shared.db.migrations.planning import _covered
from shared.db.migrations.statements import index_shape
from tests.conftest import shared_material

COLUMNS = """
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       pg_get_expr(d.adbin, d.adrelid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE n.nspname IN ('public', 'tenant_acme') AND c.relkind = 'r' ORDER BY 1, 2, a.attnum
"""
SHORT_TYPES = {"timestamptz": "timestamp with time zone", "timestamptz[]": "timestamp with time zone[]"}


@dataclass
class Listed:
    """One table of the listing: column -> (type, not null, default), and its key lines."""

    columns: dict[str, tuple[str, bool, str | None]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def listing() -> dict[str, Listed]:
    """The platform's tables, `public.x` or `tenant.x`."""
    tables: dict[str, Listed] = {}
    current: Listed | None = None
    for line in shared_material("reference/cgk-database.txt").read_text().splitlines():
        if re.fullmatch(r"(public|tenant)\.\w+", line):
            current = tables[line] = Listed()
        elif not line.startswith("  "):
            current = None
        elif current is not None and line.startswith("  - "):
            current.keys.append(line[4:])
        elif current is not None:
            head, _, default = line.strip().partition(" = ")
            not_null = head.endswith(" not null")
            name, kind = head.removesuffix(" not null").split(" ", 1)
            current.columns[name] = (kind, not_null, default or None)
    return tables


@pytest.fixture(scope="module")
def additions() -> dict[str, Any]:
    return dict(yaml.safe_load(shared_material("catalogue/new_schema.yaml").read_text()))


def made(admin: psycopg.Connection[Any]) -> dict[str, dict[str, tuple[str, bool, str | None]]]:
    """What the migrations made, in the listing's words."""
    tables: dict[str, dict[str, tuple[str, bool, str | None]]] = {}
    with admin.transaction():
        admin.execute("SET LOCAL search_path = tenant_acme, public")
        for schema, table, column, kind, not_null, default in admin.execute(COLUMNS).fetchall():
            name = f"{'tenant' if schema == 'tenant_acme' else schema}.{table}"
            # A type that both schemas have is printed with its schema where the tenant's own hides it.
            shown = default.replace("public.", "") if default else default
            tables.setdefault(name, {})[column] = (kind.removeprefix("public."), not_null, shown)
    return tables


def added_columns(additions: dict[str, Any]) -> dict[str, dict[str, tuple[str, bool]]]:
    """Columns that the jobs add: table -> column -> (type, not null)."""
    tables: dict[str, dict[str, tuple[str, bool]]] = {}
    for entry in additions["tables"] + additions["added"]:
        keys = [key.strip() for key in str(entry.get("primary_key", "")).split(",")]
        for name, facts in (entry.get("columns") or {}).items():
            kind = SHORT_TYPES.get(facts["type"], facts["type"])
            tables.setdefault(entry["table"], {})[name] = (kind, bool(facts.get("not_null")) or name in keys)
    return tables


def test_each_column_is_as_listed(
    admin: psycopg.Connection[Any], listing: dict[str, Listed], additions: dict[str, Any]
) -> None:
    new = added_columns(additions)
    wrong: list[Any] = []
    for table, columns in made(admin).items():
        known = listing.get(table, Listed()).columns
        for name, (kind, not_null, default) in columns.items():
            if name in known:
                listed_kind, listed_not_null, listed_default = known[name]
                if (kind, not_null, default) != (listed_kind, listed_not_null, listed_default):
                    wrong.append((table, name, (kind, not_null, default), known[name]))
            elif new.get(table, {}).get(name) != (kind, not_null):
                wrong.append((table, name, (kind, not_null), new.get(table, {}).get(name)))

    assert wrong == []


def test_no_column_of_our_tables_is_missing(
    admin: psycopg.Connection[Any], listing: dict[str, Listed], additions: dict[str, Any]
) -> None:
    new = added_columns(additions)

    missing = [
        (table, name)
        for table, columns in made(admin).items()
        for name in [*listing.get(table, Listed()).columns, *new.get(table, {})]
        if name not in columns
    ]

    assert missing == []


def test_each_unique_key_of_the_listing_is_there(admin: psycopg.Connection[Any], listing: dict[str, Listed]) -> None:
    query = """
        SELECT regexp_replace(indexdef, '^.*? USING', 'USING') FROM pg_indexes
        WHERE schemaname = %s AND tablename = %s AND indexdef LIKE 'CREATE UNIQUE%%'
    """
    missing = []
    for table in made(admin):
        schema, name = table.replace("tenant.", "tenant_acme.").split(".")
        with admin.transaction():
            admin.execute("SET LOCAL search_path = tenant_acme, public")
            there = {definition for (definition,) in admin.execute(query, (schema, name)).fetchall()}
        for key in listing.get(table, Listed()).keys:
            if key.startswith(("PRIMARY KEY ", "UNIQUE ")):
                wanted = "USING btree (" + key.split(" (", 1)[1]
            elif key.startswith("CREATE UNIQUE INDEX "):
                wanted = key.removeprefix("CREATE UNIQUE INDEX ")
            else:
                continue
            if wanted not in there:
                missing.append((table, wanted))

    assert missing == []


def test_each_index_of_the_additions_is_there_or_covered(
    admin: psycopg.Connection[Any], additions: dict[str, Any]
) -> None:
    tables = {name.split(".")[1] for name in made(admin) if name.startswith("tenant.")}
    with admin.transaction():
        admin.execute("SET LOCAL search_path = tenant_acme, public")
        row = admin.execute(catalog_query("tenant_acme", sorted(tables), [])).fetchone()
    assert row is not None
    relations = catalog_of(row[0]).relations

    missing = []
    for entry in additions["tables"] + additions["added"]:
        schema, table = entry["table"].split(".")
        if schema != "tenant" or table not in tables:
            continue
        for index in entry.get("indexes") or []:
            where = f" WHERE {index['where']}" if index.get("where") else ""
            unique = "UNIQUE " if index["kind"] == "unique" else ""
            shape = index_shape(f"CREATE {unique}INDEX {index['name']} ON {table} ({index['columns']}){where};")
            if not _covered(shape, relations[table].indexes):
                missing.append((table, index["name"]))

    assert missing == []


def test_enum_types_have_the_listed_labels(admin: psycopg.Connection[Any]) -> None:
    text = shared_material("reference/cgk-database.txt").read_text()
    listed = {(m[1], m[2]): m[3].split(" | ") for m in re.finditer(r"(?m)^enum (public|tenant)\.(\w+): (.*)$", text)}

    query = """
        SELECT t.typname, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) FROM pg_type t
        JOIN pg_enum e ON e.enumtypid = t.oid WHERE t.typnamespace = %s::regnamespace GROUP BY 1
    """
    for schema, namespace in (("public", "public"), ("tenant", "tenant_acme")):
        for name, labels in admin.execute(query, (namespace,)).fetchall():
            assert labels == listed[(schema, name)]


def test_every_table_that_the_jobs_read_or_write_exists(admin: psycopg.Connection[Any]) -> None:
    wanted = {
        "commerce-sync-order",
        "commerce-sync-order-batch",
        "commerce-handle-order-created",
        "commerce-handle-order-fulfilled",
        "commerce-order-attribution",
        "commerce-order-commission",
        "commerce-order-reconciliation",
        "webhook-process-single",
    }
    there = set(made(admin))
    missing = set()
    for module in ("orders", "webhooks"):
        entries = yaml.safe_load(shared_material(f"catalogue/{module}.yaml").read_text())["jobs"]
        for job in entries:
            if job["id"] in wanted:
                names = {name if "." in name else f"tenant.{name}" for name in [*job["reads"], *job["writes"]]}
                missing |= names - there

    assert missing == set()


def test_triggers_of_the_listing_are_there(admin: psycopg.Connection[Any], listing: dict[str, Listed]) -> None:
    query = "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal"
    missing = []
    for table in made(admin):
        names = {name for (name,) in admin.execute(query, (table.replace("tenant.", "tenant_acme."),)).fetchall()}
        for key in listing.get(table, Listed()).keys:
            if key.startswith("trigger ") and "updated" in key and key.split(" ")[1] not in names:
                missing.append((table, key))

    assert missing == []


def test_views_have_the_columns_of_the_additions(admin: psycopg.Connection[Any], additions: dict[str, Any]) -> None:
    query = """
        SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
        WHERE a.attrelid = %s::regclass AND a.attnum > 0 ORDER BY a.attnum
    """
    for view in additions["views"]:
        name = view["view"].replace("tenant.", "tenant_acme.")
        columns = {column: SHORT_TYPES.get(kind, kind) for column, kind in view["columns"].items()}
        assert dict(admin.execute(query, (name,)).fetchall()) == columns
        option = admin.execute("SELECT reloptions FROM pg_class WHERE oid = %s::regclass", (name,)).fetchone()
        assert option == (["security_invoker=true"],)
