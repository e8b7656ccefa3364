"""A running test, its visitors, and orders as the tables hold them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from shared.crypto import encrypt_platform
from shared.fakes.redis import Database, RedisFake
from shared.jobs.context import Tenant
from shared.jobs.testing import Bench
from tests.builders.ab_tests import TEST, add_test, insert
from tests.conftest import ENCRYPTION_KEY, Rows

NOON = datetime.fromisoformat("2026-11-20T12:00:00+00:00")
"""The tests' clock starts here."""
REDIS_TOKEN = "rest-acme-token"
Put = Callable[..., None]


@pytest.fixture
def running_test(rows: Rows) -> str:
    """A test that runs since ten days. Its id."""
    add_test(rows, status="running", started_at=NOON - timedelta(days=10))
    return TEST


@pytest.fixture
def visitor(rows: Rows) -> Put:
    """Assigns a visitor; by default two hours before noon."""

    def put(
        id: str = "v1", variant: str = "test_1_b", *, at: datetime = NOON - timedelta(hours=2), **more: Any
    ) -> None:
        values = {"visitor_id": id, "test_id": TEST, "variant_id": variant, "assigned_at": at, **more}
        insert(rows, "ab_visitors", values)

    return put


@pytest.fixture
def order(rows: Rows) -> Put:
    """Stores an order of 108.00, 8.00 of it tax and 10.00 shipping; by default placed an hour before noon."""

    def put(id: str = "o1", *, at: datetime = NOON - timedelta(hours=1), **more: Any) -> None:
        values = {
            "id": id,
            "order_number": f"#{id}",
            "total_cents": 10_800,
            "tax_cents": 800,
            "shipping_cents": 1_000,
            "currency": "USD",
            "financial_status": "paid",
            "order_placed_at": at,
            "created_at": at,
            "updated_at": at,
            "attribution_data": {"_ab_visitor_id": "v1"},
            **more,
        }
        insert(rows, "orders", values)

    return put


@pytest.fixture
def redis(bench: Bench, tenant: Tenant, rows: Rows) -> Iterator[RedisFake]:
    """The Redis fake; the tenant acme has a database of its own in it."""
    with RedisFake.start() as fake:
        fake.database(REDIS_TOKEN)
        values = {
            "tenant_id": tenant.slug,
            "service_name": "upstash_redis",
            "api_key_encrypted": encrypt_platform(REDIS_TOKEN, ENCRYPTION_KEY),
            "metadata": {"restUrl": "https://acme-1.upstash.io"},
        }
        insert(rows, "tenant_api_credentials", values)
        bench.settings["UPSTASH_BASE_URL"] = fake.base_url
        yield fake


@pytest.fixture
def store(redis: RedisFake) -> Database:
    """The database of the tenant acme."""
    return redis.databases[REDIS_TOKEN]


@pytest.fixture
def storefront(admin_url: str, tenant: Tenant) -> Iterator[Callable[[], None]]:
    """Records a visitor as the storefront does, in a transaction that stays open; it waits for no lock above 0.2 s."""
    with psycopg.connect(admin_url, options=f"-c search_path=tenant_{tenant.slug},public -c lock_timeout=200") as conn:

        def record() -> None:
            conn.execute(
                "INSERT INTO ab_visitors (visitor_id, test_id, variant_id) VALUES ('passer-by', 'test_1', 'test_1_b')"
            )

        yield record
        conn.rollback()
