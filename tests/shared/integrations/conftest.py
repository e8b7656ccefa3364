"""Vendors on 127.0.0.1 for one test: one that follows a script, and the Shopify fake."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from shared.crypto import encrypt_platform
from shared.jobs import Tenant
from shared.jobs.testing import Bench, ManualClock
from tests.conftest import ENCRYPTION_KEY, SHOP, SHOP_TOKEN, Rows, as_login, shared_material, with_database
from tests.shared.integrations.scripted import Asked, Vendor
from tests.shared.integrations.visit import REGISTRY, Visits

if TYPE_CHECKING:
    from shared.fakes.shopify.fake import ShopifyFake


@pytest.fixture
def vendor_server() -> HTTPServer:
    """The vendor's listening socket; `vendor` serves it."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: Any) -> None:
            pass  # a client that hangs up is what some tests want

    return Server(("127.0.0.1", 0), BaseHTTPRequestHandler)


@pytest.fixture
def vendor(vendor_server: HTTPServer) -> Iterator[Vendor]:
    """A vendor for one test."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            there.asked.append(Asked(self.command, self.path, dict(self.headers), body, self.client_address[1]))
            there.next()(self)

        do_GET = do_POST = do_PUT = do_DELETE = _handle

        def log_message(self, *args: Any) -> None:
            pass

    server = vendor_server
    server.RequestHandlerClass = Handler
    there = Vendor(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield there
    there.over.set()
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass(frozen=True)
class Place:
    """One database and one bench for all tests of a module: they only write the tenant's connection."""

    bench: Bench
    clock: ManualClock
    admin: psycopg.Connection[Any]


@pytest.fixture(scope="module")
def place(server_url: str, template: str) -> Iterator[Place]:
    name = f"cgk_visits_{os.getpid()}"
    url = with_database(server_url, name)
    with psycopg.connect(server_url, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY FILE_COPY')
        clock = ManualClock()
        bench = Bench(REGISTRY, as_login(url), {"INTEGRATION_ENCRYPTION_KEY": ENCRYPTION_KEY}, {}, clock)
        with psycopg.connect(url, autocommit=True) as admin:
            yield Place(bench, clock, admin)
        bench.connections.discard()
        server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def admin(place: Place) -> psycopg.Connection[Any]:
    """The module's database, so that `tenant` and `rows` look there."""
    return place.admin


@pytest.fixture
def clock(place: Place) -> ManualClock:
    """The module's clock: it only goes on, what was slept counts from here."""
    place.clock.slept_s = 0
    return place.clock


CONNECT = """
INSERT INTO shopify_connections (tenant_id, shop, access_token_encrypted, scopes, store_timezone, default_country)
VALUES (%(tenant)s, %(shop)s, %(token)s, %(scopes)s, 'Europe/Berlin', 'DE')
"""


@pytest.fixture
def at(place: Place, clock: ManualClock, rows: Rows, tenant: Tenant) -> Callable[[str], Visits]:
    """at(base_url): runs of the tenant acme, freshly connected to its shop with the scopes of orders only."""

    def visits(base_url: str) -> Visits:
        place.bench.settings["SHOPIFY_BASE_URL"] = base_url
        place.bench.bus.published.clear()
        place.bench.queues.queues.clear()
        rows.execute("DELETE FROM shopify_connections")
        rows.execute(
            CONNECT,
            {
                "tenant": tenant.organization_id,
                "shop": SHOP,
                "token": encrypt_platform(SHOP_TOKEN, ENCRYPTION_KEY),
                "scopes": ["read_orders", "read_all_orders"],
            },
        )
        return Visits(place.bench, tenant)

    return visits


@pytest.fixture
def visits(at: Callable[[str], Visits], vendor: Vendor) -> Visits:
    """Runs against the scripted vendor."""
    return at(vendor.url)


@pytest.fixture
def shop_fake(clock: ManualClock) -> Iterator[ShopifyFake]:
    """The stateful Shopify, with the tenant's shop."""
    from shared.fakes.shopify.fake import ShopifyFake

    schema = shared_material("contracts/shopify/admin_2026-10.introspection.json.gz")
    with ShopifyFake.start(schema, now=clock.now) as fake:
        fake.shop(SHOP, SHOP_TOKEN)
        yield fake


@pytest.fixture
def shopping(at: Callable[[str], Visits], shop_fake: ShopifyFake) -> Visits:
    """Runs against the Shopify fake."""
    return at(shop_fake.base_url)
