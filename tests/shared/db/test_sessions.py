"""Tenant sessions: opened in one round trip, nothing left behind, also when every transaction has another server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast
from uuid import uuid4

import psycopg
import pytest
from psycopg.pq import TransactionStatus
from psycopg.types.json import Jsonb

from shared.db.connections import Connection, connect
from shared.db.names import SlugRefused
from shared.db.sessions import (
    CommitRefused,
    TransactionSession,
    commit,
    enter_role,
    leave_role,
    open_tenant,
    rollback,
    tenant_transaction,
)
from shared.jobs.context import Tenant

SETTINGS = """
SELECT current_user, current_setting('role'), current_setting('search_path'), current_setting('statement_timeout'),
       current_setting('idle_in_transaction_session_timeout'), COALESCE(current_setting('cgk.tenant_id', true), ''),
       COALESCE(current_setting('cgk.tenant_slug', true), ''), current_setting('transaction_read_only'),
       current_setting('transaction_isolation')
"""
NOTHING_SET = ("cgk_jobs", "none", '"$user", public', "0", "0", "", "", "off", "read committed")


class Pooler:
    """Stands in for a transaction pooler: each transaction runs on the next of its server connections."""

    def __init__(self, servers: list[Connection]) -> None:
        self.servers = servers
        self.used: list[int] = []
        self._current = 0

    def _server(self) -> Connection:
        if self.servers[self._current].info.transaction_status == TransactionStatus.IDLE:
            self._current = (self._current + 1) % len(self.servers)
            self.used.append(self._current)
        return self.servers[self._current]

    def execute(self, *args: Any, **kwargs: Any) -> Any:
        return self._server().execute(*args, **kwargs)

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        return self._server().cursor(*args, **kwargs)

    @property
    def closed(self) -> bool:
        return False

    @property
    def info(self) -> Any:
        return self.servers[self._current].info


@pytest.fixture(params=["direct", "pooled"])
def connection(request: pytest.FixtureRequest, database_url: str) -> Iterator[Connection]:
    """The login's connection: a server connection of its own, or another one for each transaction."""
    count = 1 if request.param == "direct" else 3
    servers = [connect(database_url, application_name="test") for _ in range(count)]
    yield servers[0] if count == 1 else cast("Connection", Pooler(servers))
    for server in servers:
        server.close()


def settings_left(connection: Connection) -> set[tuple[Any, ...] | None]:
    """What is set on each server connection outside of transactions."""
    servers = connection.servers if isinstance(connection, Pooler) else [connection]
    return {server.execute(SETTINGS).fetchone() for server in servers}


def test_session_is_the_tenant(connection: Connection, tenant: Tenant) -> None:
    open_tenant(connection, tenant, read_only=True, isolation="repeatable read", statement_timeout_s=1.5)

    row = connection.execute(SETTINGS).fetchone()

    rollback(connection)
    assert row == (
        "cgk_t_acme", "cgk_t_acme", "tenant_acme, public", "1500ms", "1min", str(tenant.organization_id), "acme", "on",
        "repeatable read",
    )  # fmt: skip


@pytest.mark.parametrize("end", [commit, rollback], ids=["commit", "rollback"])
def test_nothing_is_left_behind(connection: Connection, tenant: Tenant, end: Callable[[Connection], None]) -> None:
    for _ in range(4):
        open_tenant(connection, tenant, read_only=True, isolation="serializable")
        end(connection)

    assert settings_left(connection) == {NOTHING_SET}


def test_nothing_is_left_behind_by_a_session_that_failed(connection: Connection, tenant: Tenant) -> None:
    for _ in range(4):
        with pytest.raises(psycopg.errors.UndefinedTable), tenant_transaction(connection, tenant) as session:
            session.execute("SELECT * FROM no_such_table")

    assert settings_left(connection) == {NOTHING_SET}


def test_tenants_take_turns_on_the_same_servers(connection: Connection, tenant: Tenant, other_tenant: Tenant) -> None:
    for who in [tenant, other_tenant, other_tenant, tenant, other_tenant, tenant] * 2:
        with tenant_transaction(connection, who) as session:
            session.execute(
                "INSERT INTO tenant_config (key, value) VALUES (%(key)s, %(value)s)",
                {"key": str(uuid4()), "value": Jsonb(who.slug)},
            )
            assert {row["value"] for row in session.all("SELECT value FROM tenant_config")} == {who.slug}


def test_statements_of_a_session(connection: Connection, tenant: Tenant) -> None:
    with tenant_transaction(connection, tenant) as session:
        session.copy_in(
            "customers", ["id", "tags", "metadata"], [["1", ["a", "b"], Jsonb({"x": 1})], ["2", None, Jsonb({})]]
        )
        assert session.all("SELECT id, tags FROM customers ORDER BY id") == [
            {"id": "1", "tags": ["a", "b"]},
            {"id": "2", "tags": None},
        ]
        assert session.one("SELECT metadata FROM customers WHERE id = %(id)s", {"id": "1"}) == {"metadata": {"x": 1}}
        assert session.one("SELECT id FROM customers WHERE id = '3'") is None
        assert session.value("SELECT count(*) FROM customers") == 2
        assert session.value("SELECT id FROM customers WHERE id = '3'") is None
        assert session.execute("UPDATE customers SET phone = '1' WHERE id = ANY (%(ids)s)", {"ids": ["1", "2"]}) == 2


@pytest.mark.parametrize(
    ("everywhere", "held"),
    [
        (False, {"acme:orders:1": True, "globex:orders:1": False, "orders:1": False}),
        (True, {"acme:orders:1": False, "globex:orders:1": False, "orders:1": True}),
    ],
    ids=["the tenant's own", "the platform's"],
)
def test_lock_ends_with_the_transaction_and_holds_no_other_tenant_up(
    connection: Connection, database_url: str, tenant: Tenant, everywhere: bool, held: dict[str, bool]
) -> None:
    free = "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))"
    with connect(database_url, application_name="test") as other:

        def taken(key: str) -> bool:
            row = other.execute(free, (key,)).fetchone()
            return row == (False,)

        with tenant_transaction(connection, tenant) as session:
            session.lock("orders:1", everywhere=everywhere)
            assert {key: taken(key) for key in held} == held
        assert not any(taken(key) for key in held)


def test_role_is_left_and_entered_again_within_one_transaction(connection: Connection, tenant: Tenant) -> None:
    with tenant_transaction(connection, tenant) as session:
        leave_role(connection)
        assert session.value("SELECT current_user") == "cgk_jobs"
        enter_role(connection, tenant)
        assert session.value("SELECT current_user") == "cgk_t_acme"


def test_read_only_session_writes_nothing(connection: Connection, tenant: Tenant) -> None:
    with (
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
        tenant_transaction(connection, tenant, read_only=True) as session,
    ):
        session.execute("INSERT INTO tenant_config (key, value) VALUES ('a', '1')")


def test_commit_of_a_failed_transaction_is_an_error(connection: Connection, tenant: Tenant) -> None:
    open_tenant(connection, tenant)
    with pytest.raises(psycopg.errors.DivisionByZero):
        TransactionSession(connection).execute("SELECT 1 / 0")

    with pytest.raises(CommitRefused):
        commit(connection)


@pytest.mark.parametrize(
    ("slug", "error"),
    [
        pytest.param("nobody", psycopg.errors.InvalidParameterValue, id="a tenant without a role"),
        pytest.param("x'; DROP TABLE orders; --", SlugRefused, id="an injection"),
        pytest.param("system", SlugRefused, id="the reserved slug"),
    ],
)
def test_session_is_refused(connection: Connection, slug: str, error: type[Exception]) -> None:
    with (
        pytest.raises(error),
        tenant_transaction(connection, Tenant(slug, uuid4(), "active")),
    ):
        raise AssertionError("the block must not run")

    assert settings_left(connection) == {NOTHING_SET}
