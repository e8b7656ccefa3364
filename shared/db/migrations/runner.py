"""Run the plan: schema jobs, schema public, then each tenant in a transaction of its own.

Resumable: what is committed is recorded and not looked at again until the schema files change; a killed run goes on
where it stopped. Serialised by the row jobs.migration_lock, which works through a transaction pooler.

An index on a table that holds rows already is built inside that transaction and keeps writers of that table out
meanwhile: run the first migration of a large shop at a quiet hour.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb

from shared.db.connections import Connection, connect
from shared.db.migrations import roles
from shared.db.migrations.catalog import Catalog, catalog_of, catalog_query
from shared.db.migrations.planning import Action, Duplicates, PlanRefused, plan
from shared.db.migrations.statements import SchemaKind, Statement, load
from shared.db.names import (
    LEDGER_SCHEMA,
    PLATFORM_ROLE,
    PLATFORM_SCHEMA,
    TENANTS_ROLE,
    SlugRefused,
    checked_role,
    checked_slug,
    tenant_role,
    tenant_schema,
)
from shared.db.partitions import ensure_partitions, missing_partitions

RULES_VERSION = 1  # part of every fingerprint; raise it when the planner itself makes something else of the same files
LOCK_TIMEOUT = "5s"  # a DDL lock that waits holds up everyone behind it; give up and try again instead
TRIES = 6
TRY_AGAIN = frozenset(
    {"40P01", "40001", "55P03", "42710", "23505", "XX000"}
)  # XX000: roles changed by another database
MAX_DUPLICATES_SHOWN = 20

BOOTSTRAP = """
BEGIN;
SELECT pg_advisory_xact_lock(hashtextextended('cgk-jobs migrations', 0));
CREATE SCHEMA IF NOT EXISTS jobs;
CREATE TABLE IF NOT EXISTS jobs.migration_lock (id integer PRIMARY KEY CHECK (id = 1));
INSERT INTO jobs.migration_lock VALUES (1) ON CONFLICT DO NOTHING;
CREATE TABLE IF NOT EXISTS jobs.migrations (
    schema_name text PRIMARY KEY,
    fingerprint text NOT NULL,
    replaced jsonb NOT NULL DEFAULT '{}',
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMIT;
"""
BOOTSTRAPPED = "SELECT to_regclass('jobs.migrations') IS NOT NULL AND to_regclass('jobs.migration_lock') IS NOT NULL"
OPEN_WRITING = """
BEGIN;
SELECT id FROM jobs.migration_lock FOR UPDATE;
SET LOCAL lock_timeout = {lock_timeout};
SET LOCAL search_path = {search_path};
"""
OPEN_READING = "BEGIN READ ONLY; SET LOCAL search_path = {search_path};"
FIND_RECORD = "SELECT fingerprint, replaced FROM jobs.migrations WHERE schema_name = %(schema)s"
RECORD = """
INSERT INTO jobs.migrations (schema_name, fingerprint, replaced) VALUES ({schema}, {fingerprint}, {replaced})
ON CONFLICT (schema_name) DO UPDATE
SET fingerprint = excluded.fingerprint, replaced = excluded.replaced, applied_at = now();
"""
# Tenants in the order of their creation: whether they were ever provisioned, and whether nothing is left to do.
LIST_TENANTS = """
SELECT o.slug,
       m.schema_name IS NOT NULL AND to_regnamespace('tenant_' || o.slug) IS NOT NULL AND r.rolname IS NOT NULL,
       COALESCE(m.fingerprint = %(fingerprint)s, false)
FROM public.organizations o
LEFT JOIN jobs.migrations m ON m.schema_name = 'tenant_' || o.slug
LEFT JOIN pg_roles r ON r.rolname = 'cgk_t_' || o.slug
ORDER BY o.created_at, o.slug
"""
LIST_SLUGS = "SELECT slug, false, false FROM public.organizations ORDER BY created_at, slug"
HAS_ORGANIZATIONS = "SELECT to_regclass('public.organizations') IS NOT NULL"


class MigrationFailed(Exception):
    """Something must be mended by a person first; the text says what and where. Committed schemas stay as they are."""


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What was done, or with plan_only would be done: schema name -> actions; schemas with nothing to do are absent."""

    schemas: Mapping[str, Sequence[Action]]
    refused: Mapping[str, str] = field(default_factory=dict)  # slug -> why this tenant cannot be provisioned

    @property
    def changed(self) -> bool:
        """Whether there was anything to do."""
        return any(self.schemas.values())


@dataclass(frozen=True, slots=True)
class Target:
    """One schema to bring up to date."""

    kind: SchemaKind
    schema: str
    login_role: str
    role: str | None = None  # a tenant's role

    @property
    def statements(self) -> tuple[Statement, ...]:
        """The schema files of its kind."""
        return load(self.kind)

    @property
    def fingerprint(self) -> str:
        """Changes whenever there could be something to do."""
        texts = [str(RULES_VERSION), self.login_role, *(f"{s.verb} {s.label} {s.sql}" for s in self.statements)]
        return hashlib.sha256("\n".join(texts).encode()).hexdigest()

    @property
    def search_path(self) -> str:
        """The schema itself, then public, as a tenant's session has it."""
        return PLATFORM_SCHEMA if self.kind == "public" else f"{self.schema}, {PLATFORM_SCHEMA}"


def target_of_tenant(slug: str, login_role: str) -> Target:
    """The schema of a tenant; raises SlugRefused."""
    return Target("tenant", tenant_schema(slug), login_role, tenant_role(slug))


def migrate(admin_url: str, *, login_role: str = "cgk_jobs", plan_only: bool = False) -> MigrationReport:
    """Bring schemas jobs, public and every tenant's schema up to date; with `plan_only` only say what would be done.

    Raises MigrationFailed after all tenants were tried, naming those that need a person.
    """
    checked_role(login_role)
    with connect(admin_url, application_name="cgk-jobs migrate") as connection:
        done = migrate_platform(connection, login_role, plan_only=plan_only)
        tenants, refused = pending_tenants(connection, login_role)
        failures = []
        for slug in tenants:
            target = target_of_tenant(slug, login_role)
            try:
                done[target.schema] = migrate_schema(connection, target, plan_only=plan_only)
            except MigrationFailed as problem:  # one tenant's data must not keep the others from their schema
                failures.append(str(problem))
        if failures:
            raise MigrationFailed("; ".join(failures))
    return MigrationReport({schema: actions for schema, actions in done.items() if actions}, refused)


def migrate_platform(connection: Connection, login_role: str, *, plan_only: bool = False) -> dict[str, list[Action]]:
    """Schemas jobs and public, which every tenant needs first, and the partitions of the coming days."""
    if not plan_only and not _value(connection, BOOTSTRAPPED):
        connection.execute(BOOTSTRAP)
    done = {
        target.schema: migrate_schema(connection, target, plan_only=plan_only)
        for target in (
            Target("public", PLATFORM_SCHEMA, login_role),
            Target("jobs", LEDGER_SCHEMA, login_role),
        )
    }
    today = datetime.now(UTC).date()
    made = missing_partitions(connection, today) if plan_only else ensure_partitions(connection, today)
    if made:
        done[LEDGER_SCHEMA].append(Action(f"make {len(made)} daily partitions, {made[0]} to {made[-1]}", ""))
    return done


def pending_tenants(
    connection: Connection, login_role: str, *, only_missing: bool = False
) -> tuple[list[str], dict[str, str]]:
    """Slugs with something to do, and those that are refused with the reason.

    `only_missing`: those that were never provisioned, whatever the schema files say by now.
    """
    if not _value(connection, HAS_ORGANIZATIONS):
        return [], {}
    if _value(connection, BOOTSTRAPPED):
        fingerprint = Target("tenant", "", login_role).fingerprint
        rows = connection.execute(LIST_TENANTS, {"fingerprint": fingerprint}).fetchall()
    else:
        rows = connection.execute(LIST_SLUGS).fetchall()
    pending, refused = [], {}
    for slug, provisioned, current in rows:
        try:
            checked_slug(slug)
        except SlugRefused as reason:
            refused[slug] = str(reason)
            continue
        if not provisioned or (not current and not only_missing):
            pending.append(slug)
    return pending, refused


def migrate_schema(connection: Connection, target: Target, *, plan_only: bool = False) -> list[Action]:
    """Bring one schema up to date in one transaction (enum labels in one before it); its actions.

    Raises MigrationFailed when duplicates stand against a unique index or a statement cannot be run.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return _try_schema(connection, target, plan_only=plan_only)
        except PlanRefused as reason:
            raise MigrationFailed(f"schema {target.schema}: {reason}") from reason
        except psycopg.Error as error:
            if connection.closed:
                raise  # the server is gone: nothing can be said about this schema, or done for the others
            if error.sqlstate not in TRY_AGAIN or attempt == TRIES:
                raise MigrationFailed(f"schema {target.schema}: {_first_line(error)}") from error
            time.sleep(0.05 * 2**attempt)
    raise AssertionError("unreachable")


def _try_schema(connection: Connection, target: Target, *, plan_only: bool) -> list[Action]:
    try:
        catalog, replaced = _open(connection, target, plan_only=plan_only)
        if catalog is None:
            return []
        actions = [*_preliminaries(target, catalog), *plan(target.statements, catalog, replaced)]
        _refuse_duplicates(connection, target, actions)
        if plan_only:
            return actions
        first = [action for action in actions if action.alone]
        if first:
            connection.execute("\n".join(action.sql for action in first) + "\nCOMMIT;")
            return [*first, *_try_schema(connection, target, plan_only=False)]
        _apply(connection, target, actions, replaced)
        return actions
    finally:
        if not connection.closed and connection.info.transaction_status != TransactionStatus.IDLE:
            connection.execute("ROLLBACK")


def _open(connection: Connection, target: Target, *, plan_only: bool) -> tuple[Catalog | None, dict[str, str]]:
    """Begin, take the lock row and load the catalog; None when the recorded fingerprint says that nothing is to do."""
    opening = sql.SQL(OPEN_READING if plan_only else OPEN_WRITING).format(
        search_path=sql.SQL(target.search_path), lock_timeout=sql.Literal(LOCK_TIMEOUT)
    )
    connection.execute(opening)
    recorded, replaced = None, {}
    if not plan_only or _value(connection, BOOTSTRAPPED):
        row = connection.execute(FIND_RECORD, {"schema": target.schema}).fetchone()
        recorded, replaced = row if row else (None, {})
    names = [name for s in target.statements for name in (s.name, s.table) if name]
    concerned = [target.login_role, TENANTS_ROLE, PLATFORM_ROLE, *([target.role] if target.role else [])]
    catalog = catalog_of(_value(connection, catalog_query(target.schema, names, concerned)))
    current = recorded == target.fingerprint and not _preliminaries(target, catalog)
    return None if current else catalog, replaced


def _preliminaries(target: Target, catalog: Catalog) -> list[Action]:
    """Roles and the schema itself."""
    actions: list[Action] = []
    if target.role is not None:
        actions += roles.tenant_roles(catalog, target.role, target.login_role)
    elif target.kind == "public":  # the first of all schemas
        actions += roles.platform_roles(catalog, target.login_role)
    if not catalog.schema_exists:
        actions.append(Action(f"create schema {target.schema}", f"CREATE SCHEMA {target.schema};"))
    return actions


def _apply(connection: Connection, target: Target, actions: Sequence[Action], replaced: dict[str, str]) -> None:
    """Run all statements in one round trip, with the record of it; on an error find out which statement it was."""
    record = sql.SQL(RECORD).format(
        schema=sql.Literal(target.schema),
        fingerprint=sql.Literal(target.fingerprint),
        replaced=sql.Literal(Jsonb(_digests(target, replaced))),
    )
    script = "\n".join(_filled(action.sql, target) for action in actions)
    connection.execute("SAVEPOINT script")
    try:
        connection.execute(f"{script}\n{record.as_string(connection)}\nCOMMIT;")
    except psycopg.Error as error:
        if connection.closed or error.sqlstate in TRY_AGAIN:
            raise
        connection.execute("ROLLBACK TO script")
        for action in actions:  # one by one, only to name the statement that fails
            try:
                connection.execute(_filled(action.sql, target))
            except psycopg.Error as found:
                raise MigrationFailed(f"schema {target.schema}: {action.what}: {_first_line(found)}") from found
        raise


def _digests(target: Target, replaced: dict[str, str]) -> dict[str, str]:
    return {**replaced, **{s.label: s.digest for s in target.statements if s.verb == "replace"}}


def _filled(text: str, target: Target) -> str:
    """Checked names for the placeholders of a schema file."""
    return (
        text.replace("{{schema}}", target.schema)
        .replace("{{login_role}}", target.login_role)
        .replace("{{role}}", target.role or PLATFORM_ROLE)
    )


def _refuse_duplicates(connection: Connection, target: Target, actions: Sequence[Action]) -> None:
    """Raise MigrationFailed with the ids of rows that a unique index would refuse; ids only, values may be personal."""
    found = []
    for action in actions:  # a handful of indexes on tables that were there already, not rows
        if action.duplicates is None:
            continue
        ids = [row[0] for row in connection.execute(_duplicates_query(action.duplicates)).fetchall()]
        if ids:
            found.append(f"{action.what} on {action.duplicates.table}: duplicate rows {', '.join(ids)}")
    if found:
        raise MigrationFailed(f"schema {target.schema}: {'; '.join(found)}; remove the duplicates, then run it again")


def _duplicates_query(duplicates: Duplicates) -> str:
    keys = duplicates.keys
    where = f"WHERE {duplicates.predicate}" if duplicates.predicate else ""
    ids = " || '/' || ".join(f"{column}::text" for column in duplicates.id_columns)
    return f"""
        SELECT ids FROM (
            SELECT string_agg({ids}, ' = ') AS ids, count(*) AS n, num_nulls({keys}) AS nulls
            FROM {duplicates.table} {where} GROUP BY {keys}
        ) groups WHERE n > 1 AND nulls = 0 ORDER BY ids LIMIT {MAX_DUPLICATES_SHOWN}
    """  # noqa: S608  names from the schema files and the catalog


def _value(connection: Connection, query: str | sql.Composed) -> Any:
    row = connection.execute(query).fetchone()
    return row[0] if row else None


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
