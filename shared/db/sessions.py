"""Tenant sessions: one transaction as the tenant, opened in one round trip, leaving nothing behind.

Everything that a session sets (role, search path, timeouts, tenant id) is local to its transaction, so the next
transaction on the same server connection, another tenant's or another client's of a pooler, starts from nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import psycopg
from psycopg import sql as compose
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from shared.db.names import PLATFORM_ROLE, PLATFORM_SCHEMA, tenant_role, tenant_schema

if TYPE_CHECKING:
    from shared.db.connections import Connection
    from shared.jobs.context import Tenant

Row = dict[str, Any]
Isolation = Literal["read committed", "repeatable read", "serializable"]

STATEMENT_TIMEOUT_S = 30.0  # of one statement; sessions that need longer say so
IDLE_TIMEOUT_S = 60.0  # a session that computes for a minute holds locks that others wait for: the server ends it

OPEN = """
BEGIN ISOLATION LEVEL {isolation} {access};
SELECT set_config('role', {role}, true), set_config('search_path', {search_path}, true),
       set_config('statement_timeout', {statement_timeout_ms}, true),
       set_config('idle_in_transaction_session_timeout', {idle_timeout_ms}, true),
       set_config('cgk.tenant_id', {tenant_id}, true), set_config('cgk.tenant_slug', {tenant_slug}, true)
"""
ENTER_ROLE = "SELECT set_config('role', %(role)s, true)"
LEAVE_ROLE = "SELECT set_config('role', 'none', true)"
LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%(key)s, 0))"
LOCK_OF_TENANT = """
SELECT pg_advisory_xact_lock(
    hashtextextended(COALESCE(current_setting('cgk.tenant_slug', true), '') || ':' || %(key)s, 0))
"""

_ISOLATION = {
    "read committed": compose.SQL("READ COMMITTED"),
    "repeatable read": compose.SQL("REPEATABLE READ"),
    "serializable": compose.SQL("SERIALIZABLE"),
}


class CommitRefused(psycopg.OperationalError):
    """The server rolled back where a COMMIT was asked: a statement of the transaction had failed before."""


def open_tenant(
    connection: Connection,
    tenant: Tenant,
    *,
    read_only: bool = False,
    isolation: Isolation = "read committed",
    statement_timeout_s: float = STATEMENT_TIMEOUT_S,
    idle_timeout_s: float = IDLE_TIMEOUT_S,
) -> None:
    """Begin a transaction as the tenant, in one round trip.

    Raises SlugRefused; psycopg.errors.InvalidParameterValue when the tenant has no role yet, InsufficientPrivilege when
    the login may not switch to it. After an error the connection stands in a failed transaction: rollback(connection).
    """
    _open(
        connection,
        role=tenant_role(tenant.slug),
        search_path=f"{tenant_schema(tenant.slug)}, {PLATFORM_SCHEMA}",
        tenant_id=str(tenant.organization_id),
        tenant_slug=tenant.slug,
        read_only=read_only,
        isolation=isolation,
        statement_timeout_s=statement_timeout_s,
        idle_timeout_s=idle_timeout_s,
    )


def open_platform(
    connection: Connection,
    *,
    read_only: bool = False,
    isolation: Isolation = "read committed",
    statement_timeout_s: float = STATEMENT_TIMEOUT_S,
    idle_timeout_s: float = IDLE_TIMEOUT_S,
) -> None:
    """Begin a transaction as the platform: public tables only, no tenant id. For the reserved tenant `system`."""
    _open(
        connection,
        role=PLATFORM_ROLE,
        search_path=PLATFORM_SCHEMA,
        tenant_id="",
        tenant_slug="",
        read_only=read_only,
        isolation=isolation,
        statement_timeout_s=statement_timeout_s,
        idle_timeout_s=idle_timeout_s,
    )


def leave_role(connection: Connection) -> None:
    """Go back to the login role inside the open transaction; search path and tenant id stay.

    From here on only statements that name their schema may run.
    """
    connection.execute(LEAVE_ROLE)


def enter_role(connection: Connection, tenant: Tenant) -> None:
    """Take the tenant's role again after leave_role in the same transaction."""
    connection.execute(ENTER_ROLE, {"role": tenant_role(tenant.slug)})


def commit(connection: Connection) -> None:
    """COMMIT; raises CommitRefused when the server rolled back instead."""
    if connection.execute("COMMIT").statusmessage != "COMMIT":
        raise CommitRefused("the transaction had failed, so the server rolled it back")


def rollback(connection: Connection) -> None:
    """ROLLBACK when a transaction is open; does nothing on a closed or idle connection."""
    if not connection.closed and connection.info.transaction_status != TransactionStatus.IDLE:
        connection.execute("ROLLBACK")


class TransactionSession:
    """Statements inside a transaction that someone else has opened and will end. Rows are dicts.

    The kernel's session adds to it what it emits. SQL is a whole statement with named parameters (%(name)s).
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, params: dict[str, Any] | None = None) -> int:
        """Run a statement; the number of rows it touched (0 when the statement counts none)."""
        return max(0, self._run(sql, params).rowcount)

    def all(self, sql: str, params: dict[str, Any] | None = None) -> list[Row]:
        """All rows."""
        return self._run(sql, params).fetchall()

    def one(self, sql: str, params: dict[str, Any] | None = None) -> Row | None:
        """The first row, None when there is none."""
        return self._run(sql, params).fetchone()

    def value(self, sql: str, params: dict[str, Any] | None = None) -> Any:
        """First column of the first row, None when there is no row."""
        row = self._connection.execute(sql, params).fetchone()
        return row[0] if row else None

    def copy_in(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        """COPY rows into a table of the tenant's schema; JSON values come wrapped in Jsonb."""
        statement = compose.SQL("COPY {table} ({columns}) FROM STDIN").format(
            table=compose.Identifier(table),
            columns=compose.SQL(", ").join(compose.Identifier(column) for column in columns),
        )
        with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)

    def lock(self, key: str, *, everywhere: bool = False) -> None:
        """Advisory lock until the transaction ends; `key` starts with the module's word.

        It is the tenant's own, so that none waits for another; `everywhere`: one for the whole platform.
        """
        self._connection.execute(LOCK if everywhere else LOCK_OF_TENANT, {"key": key})

    def _run(self, sql: str, params: dict[str, Any] | None) -> psycopg.Cursor[Row]:
        cursor = self._connection.cursor(row_factory=dict_row)
        return cursor.execute(sql, params)


@contextmanager
def tenant_transaction(
    connection: Connection, tenant: Tenant, *, read_only: bool = False, isolation: Isolation = "read committed"
) -> Iterator[TransactionSession]:
    """A whole transaction of the tenant outside a run (command line, checks): commits at the end of the block."""
    try:
        open_tenant(connection, tenant, read_only=read_only, isolation=isolation)
        yield TransactionSession(connection)
        commit(connection)
    finally:
        rollback(connection)


def _open(
    connection: Connection,
    *,
    role: str,
    search_path: str,
    tenant_id: str,
    tenant_slug: str,
    read_only: bool,
    isolation: Isolation,
    statement_timeout_s: float,
    idle_timeout_s: float,
) -> None:
    connection.execute(
        compose.SQL(OPEN).format(
            isolation=_ISOLATION[isolation],
            access=compose.SQL("READ ONLY" if read_only else "READ WRITE"),
            role=compose.Literal(role),
            search_path=compose.Literal(search_path),
            statement_timeout_ms=compose.Literal(_milliseconds(statement_timeout_s)),
            idle_timeout_ms=compose.Literal(_milliseconds(idle_timeout_s)),
            tenant_id=compose.Literal(tenant_id),
            tenant_slug=compose.Literal(tenant_slug),
        )
    )


def _milliseconds(seconds: float) -> str:
    """At least 1: PostgreSQL reads 0 as no limit at all."""
    return str(max(1, round(seconds * 1000)))
