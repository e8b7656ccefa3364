"""Fixtures of the webhook tests: connected shops, stored rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb

from functions.scheduled.webhooks import process_single
from shared.jobs.context import Tenant
from shared.jobs.registry import Registry, build_registry
from tests.builders.webhooks import NOON, SHOP

Rows = Any


@pytest.fixture
def registry() -> Registry:
    """Only the job under test: what it emits finds no listener here."""
    return build_registry([process_single])


@pytest.fixture(autouse=True)
def shop(rows: Rows, tenant: Tenant, other_tenant: Tenant) -> None:
    """Both tenants are connected, acme to SHOP and globex to a shop of its own."""
    for owner, domain in ((tenant, SHOP), (other_tenant, "globex.myshopify.com")):
        rows.execute("DELETE FROM shopify_connections", tenant=owner)
        rows.execute(
            "INSERT INTO shopify_connections (tenant_id, shop, access_token_encrypted, webhook_secret_encrypted, "
            "storefront_api_token_encrypted, installed_at) VALUES (%s, %s, 'sealed', 'secret', 'front', %s)",
            (owner.organization_id, domain, datetime(2026, 11, 2, 9, 0, tzinfo=UTC)),
            tenant=owner,
        )


@pytest.fixture
def stored(rows: Rows, tenant: Tenant) -> Callable[..., UUID]:
    """Stores a row as an app does; columns by name."""

    def store(topic: str = "orders/create", body: Any = None, **columns: Any) -> UUID:
        values = {
            "id": uuid4(),
            "shop": SHOP,
            "topic": topic,
            "payload": Jsonb({"id": 5001, "updated_at": "2026-11-20T10:00:00Z"} if body is None else body),
            "hmac_verified": True,
            "idempotency_key": f"shopify:{topic}:{uuid4()}",
            "received_at": NOON,
            "headers": Jsonb({}),
            "tenant_id": tenant.organization_id,
            **columns,
        }
        names = ", ".join(values)
        marks = ", ".join(f"%({name})s" for name in values)
        rows.execute(f"INSERT INTO webhook_events ({names}) VALUES ({marks})", values)  # noqa: S608
        return UUID(str(values["id"]))

    return store


@pytest.fixture
def row(rows: Rows) -> Callable[[UUID], dict[str, Any]]:
    """One row of webhook_events by id."""

    def read(id: UUID) -> dict[str, Any]:
        found: dict[str, Any] = rows("SELECT * FROM webhook_events WHERE id = %s", (id,))[0]
        return found

    return read
