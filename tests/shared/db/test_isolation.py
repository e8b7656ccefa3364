"""What a tenant's role, the platform's role and the login can reach: their own, nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from shared.db.connections import Connection, connect
from shared.db.sessions import TransactionSession, leave_role, open_platform, rollback, tenant_transaction
from shared.jobs.context import Tenant


@pytest.fixture
def login(database_url: str) -> Iterator[Connection]:
    """A connection as the jobs' login role."""
    with connect(database_url, application_name="test") as connection:
        yield connection


@pytest.fixture
def creator_of_both(admin: psycopg.Connection[Any], tenant: Tenant, other_tenant: Tenant) -> None:
    """Shared rows of both tenants: hooks, installations, a creator and a user each."""
    for who in (tenant, other_tenant):
        params = {"org": who.organization_id, "slug": who.slug}
        admin.execute(
            """
            WITH creator AS (
                INSERT INTO creators (email, name) VALUES (%(slug)s || '@example.test', 'C') RETURNING id
            ), membership AS (
                INSERT INTO creator_brand_memberships (creator_id, organization_id) SELECT id, %(org)s FROM creator
            ), money AS (
                INSERT INTO creator_balance_transactions (creator_id, brand_id, type, amount_cents, balance_after_cents)
                SELECT id, %(org)s, 'bonus', 1, 1 FROM creator
            ), person AS (
                INSERT INTO users (email) VALUES (%(slug)s || '@example.test') RETURNING id
            ), member AS (
                INSERT INTO user_organizations (user_id, organization_id) SELECT id, %(org)s FROM person
            ), installation AS (
                INSERT INTO shopify_app_installations (shop, organization_id) VALUES (%(slug)s, %(org)s)
            )
            INSERT INTO platform_webhooks (tenant_id, event_type, target_url) VALUES (%(org)s, 'x', %(slug)s)
            """,
            params,
        )


@pytest.mark.usefixtures("creator_of_both")
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("organizations", "slug"),
        ("users", "email"),
        ("user_organizations", "organization_id"),
        ("creators", "email"),
        ("creator_brand_memberships", "organization_id"),
        ("creator_balance_transactions", "brand_id"),
        ("shopify_app_installations", "shop"),
        ("platform_webhooks", "target_url"),
    ],
)
def test_shared_table_shows_a_tenant_its_own_rows_only(
    login: Connection, admin: psycopg.Connection[Any], tenant: Tenant, other_tenant: Tenant, table: str, column: str
) -> None:
    assert len(admin.execute(f"SELECT {column} FROM public.{table}").fetchall()) == 2  # noqa: S608  names from the table above

    for who in (tenant, other_tenant):
        with tenant_transaction(login, who) as session:
            rows = session.all(f"SELECT {column}::text AS own FROM public.{table}")  # noqa: S608
        assert len(rows) == 1
        assert who.slug in rows[0]["own"] or rows[0]["own"] == str(who.organization_id)


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("SELECT * FROM tenant_globex.orders", id="read another tenant's table"),
        pytest.param("INSERT INTO tenant_globex.orders (id, order_number) VALUES ('x', 'x')", id="write it"),
        pytest.param("SELECT * FROM jobs.claims", id="read the ledger"),
        pytest.param(
            "INSERT INTO jobs.outbox (id, kind, tenant, target, body) VALUES "
            "(gen_random_uuid(), 'event', 'globex', 'x', '{}')",
            id="write the outbox",
        ),
        pytest.param(
            "SET LOCAL ROLE cgk_platform; SELECT slug FROM organizations; SELECT password_hash FROM users",
            id="read password hashes",
        ),
        pytest.param("UPDATE organizations SET name = 'x'", id="rename itself"),
        pytest.param("DELETE FROM organizations", id="delete itself"),
        pytest.param("UPDATE public.creators SET name = 'x'", id="write identities"),
        pytest.param("CREATE TABLE mine (id int)", id="create a table"),
        pytest.param("CREATE TABLE public.mine (id int)", id="create a shared table"),
        pytest.param("DROP TABLE orders", id="drop a table"),
    ],
)
def test_tenant_may_not(login: Connection, tenant: Tenant, sql: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), tenant_transaction(login, tenant) as session:
        session.execute(sql)


@pytest.mark.usefixtures("creator_of_both")
@pytest.mark.parametrize(
    "sql",
    [
        pytest.param(
            "INSERT INTO platform_webhooks (tenant_id, event_type, target_url) VALUES (%(other)s, 'x', 'x')",
            id="insert a hook of another tenant",
        ),
        pytest.param("UPDATE platform_webhooks SET tenant_id = %(other)s", id="give a hook away"),
        pytest.param("INSERT INTO platform_webhooks (event_type, target_url) VALUES ('x', 'x')", id="a hook of nobody"),
    ],
)
def test_tenant_may_not_write_rows_of_others(login: Connection, tenant: Tenant, other_tenant: Tenant, sql: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), tenant_transaction(login, tenant) as session:
        session.execute(sql, {"other": other_tenant.organization_id})


@pytest.mark.usefixtures("creator_of_both")
def test_rows_of_others_are_not_updated(login: Connection, tenant: Tenant, other_tenant: Tenant) -> None:
    with tenant_transaction(login, tenant) as session:
        touched = session.execute(
            "UPDATE platform_webhooks SET status = 'failed' WHERE tenant_id = %(other)s",
            {"other": other_tenant.organization_id},
        )

    assert touched == 0


def test_unset_tenant_id_fences_off_everything(login: Connection, tenant: Tenant) -> None:
    with tenant_transaction(login, tenant) as session:
        session.execute("SELECT set_config('cgk.tenant_id', '', true)")
        assert session.all("SELECT slug FROM organizations") == []


def test_login_role_reads_the_list_of_tenants_and_the_ledger_but_no_tenant(login: Connection) -> None:
    assert login.execute("SELECT slug FROM public.organizations ORDER BY 1").fetchall() == [("acme",), ("globex",)]
    assert login.execute("SELECT count(*) FROM jobs.claims").fetchone() == (0,)
    for sql in (
        "SELECT * FROM tenant_acme.orders",
        "SELECT shopify_access_token_encrypted FROM public.organizations",
        "UPDATE public.organizations SET name = 'x'",
        "DELETE FROM jobs.migrations",
        "CREATE TABLE jobs.mine (id int)",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            login.execute(sql)


def test_platform_session_sees_all_tenants_and_no_tenants_schema(login: Connection) -> None:
    open_platform(login)
    session = TransactionSession(login)

    assert session.value("SELECT current_user") == "cgk_platform"
    assert session.value("SELECT count(*) FROM organizations") == 2
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        session.all("SELECT * FROM tenant_acme.orders")
    rollback(login)


def test_kernel_writes_its_ledger_after_leaving_the_tenants_role(login: Connection, tenant: Tenant) -> None:
    with tenant_transaction(login, tenant) as session:
        leave_role(login)
        assert session.value("SELECT current_user") == "cgk_jobs"
        with pytest.raises(psycopg.errors.InsufficientPrivilege), login.transaction():
            session.all("SELECT * FROM tenant_acme.orders")
        session.execute(
            "INSERT INTO jobs.outbox (id, kind, tenant, target, body)"
            " VALUES (gen_random_uuid(), 'event', 'a', 'b', '{}')"
        )

    assert login.execute("SELECT count(*) FROM jobs.outbox").fetchone() == (1,)
