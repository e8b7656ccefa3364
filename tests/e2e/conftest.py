"""The whole app on the local engine: bus, rules, queues, functions as processes, a real database, the Shopify fake."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from infra import workflows
from scripts.local import deploy
from scripts.local import engine as local_engine
from shared.crypto import encrypt_platform
from shared.db.names import tenant_schema
from shared.fakes.shopify import ShopifyFake
from shared.fakes.vendor_files import shopify_schema
from shared.jobs.registry import Registry
from tests.conftest import ENCRYPTION_KEY, as_login, with_database

SHOP = "e2e.myshopify.com"
TOKEN = "e2e-token"


@dataclass
class Deployment:
    """The running app. `admin_url`: its database; `fake`: its shop's vendor, on the machine's clock."""

    endpoint: str
    admin_url: str
    fake: ShopifyFake
    registry: Registry

    def client(self, service: str) -> Any:
        return deploy.client(service, self.endpoint)

    def publish(self, name: str, detail: dict[str, Any]) -> None:
        """An event as an application publishes it."""
        entry = {"EventBusName": "cgk", "Source": "e2e.app", "DetailType": name, "Detail": json.dumps(detail)}
        assert self.client("events").put_events(Entries=[entry])["FailedEntryCount"] == 0

    def send(self, queue: str, body: str) -> None:
        """Any text into a queue."""
        sqs = self.client("sqs")
        sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=f"cgk-{queue}")["QueueUrl"], MessageBody=body)

    def letters(self, queue: str) -> list[dict[str, Any]]:
        """What lies in a dead-letter queue; taken from it."""
        sqs = self.client("sqs")
        url = sqs.get_queue_url(QueueName=f"cgk-{queue}-dlq")["QueueUrl"]
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"])
        for message in found.get("Messages", []):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return list(found.get("Messages", []))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows as the admin, with the tenant's schema first."""
        with psycopg.connect(self.admin_url) as conn:
            conn.execute("SELECT set_config('search_path', %s, true)", (f"{tenant_schema('acme')}, public",))
            return conn.execute(sql.encode()).fetchall()

    def until(self, what: Callable[[], Any], seconds: float) -> Any:
        """Ask until the answer is true; fails with the engine's log when it never is."""
        end = time.monotonic() + seconds
        while not (answer := what()):
            if time.monotonic() > end:
                runs = self.rows("SELECT job, state, code, detail FROM jobs.runs")
                raise AssertionError(f"not within {seconds} s; ledger: {runs}")
            time.sleep(0.2)
        return answer


@pytest.fixture(scope="module")
def app(
    server_url: str, template: str, registry: Registry, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("e2e")
    name = f"{template}_e2e"
    with psycopg.connect(server_url, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    admin_url = with_database(server_url, name)
    running = local_engine.start(folder / "engine")
    try:
        with ShopifyFake.start(shopify_schema(), state_dir=folder, now=lambda: datetime.now(UTC)) as fake:
            fake.shop(SHOP, token=TOKEN)
            yield _deploy(running.endpoint, admin_url, fake, registry, folder)
    finally:
        running.stop()
        with psycopg.connect(server_url, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def _deploy(endpoint: str, admin_url: str, fake: ShopifyFake, registry: Registry, folder: Path) -> Deployment:
    deploy.deploy(
        endpoint,
        settings={"SHOPIFY_BASE_URL": fake.base_url},
        registry=registry,
        workflows=workflows.load(),
        outdir=folder / "cdk",
    )
    secret = {"DATABASE_URL": as_login(admin_url), "INTEGRATION_ENCRYPTION_KEY": ENCRYPTION_KEY}
    deploy.put_secret(endpoint, "cgk/jobs", secret)
    deploy.put_secret(endpoint, "cgk/admin", {**secret, "DATABASE_ADMIN_URL": admin_url})
    with psycopg.connect(admin_url) as conn:
        conn.execute("SELECT set_config('search_path', 'tenant_acme, public', true)")
        conn.execute(
            "INSERT INTO shopify_connections (tenant_id, shop, access_token_encrypted, scopes, store_timezone, status)"
            " SELECT id, %s, %s, '{read_orders,read_all_orders,read_customers,read_products}', 'UTC', 'active'"
            " FROM public.organizations WHERE slug = 'acme'",
            (SHOP, encrypt_platform(TOKEN, ENCRYPTION_KEY)),
        )
    return Deployment(endpoint, admin_url, fake, registry)
