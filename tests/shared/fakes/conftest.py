"""The Shopify fake for its own tests, and a client that shows the whole answer."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared.fakes.cdnow import PurchaseLog, read_log
from shared.fakes.shopify import Shop, ShopifyFake
from shared.fakes.vendor_files import VendorFileError, cdnow_log, shopify_schema
from shared.jobs.testing import ManualClock
from tests.conftest import shared_material, unavailable

DOMAIN = "acme.myshopify.com"
TOKEN = "fake-access-token"


@dataclass(frozen=True)
class Got:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def data(self) -> Any:
        assert "errors" not in self.json, self.json["errors"]
        return self.json["data"]

    @property
    def code(self) -> str:
        """The code of the first error."""
        code: str = self.json["errors"][0]["extensions"]["code"]
        return code


class Api:
    """Sends requests to the fake."""

    def __init__(self, base_url: str) -> None:
        self._host = urlsplit(base_url).netloc

    def __call__(self, query: str, variables: dict[str, Any] | None = None, **more: Any) -> Got:
        """POST a query."""
        headers = {"X-Shopify-Access-Token": more.get("token", TOKEN)}
        path = f"/{more.get('shop', DOMAIN)}/admin/api/{more.get('version', '2026-10')}/graphql.json"
        body = json.dumps({"query": query, "variables": variables or {}})
        return self.send("POST", path, body, headers, timeout_s=more.get("timeout_s", 10.0))

    def send(
        self,
        method: str,
        path: str,
        body: str | None = None,
        headers: dict[str, str] | None = None,
        timeout_s: float = 10,
    ) -> Got:
        connection = http.client.HTTPConnection(self._host, timeout=timeout_s)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Got(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            connection.close()


@pytest.fixture(scope="session")
def schema_path() -> Path:
    """The vendor's schema: fetched once, or the copy beside the checkout when there is no network."""
    try:
        return shopify_schema()
    except VendorFileError:
        return shared_material("contracts/shopify/admin_2026-10.introspection.json.gz")


@pytest.fixture
def fake(schema_path: Path, clock: ManualClock) -> Iterator[ShopifyFake]:
    with ShopifyFake.start(schema_path, now=clock.now) as fake:
        yield fake


@pytest.fixture
def shop(fake: ShopifyFake) -> Shop:
    return fake.shop(DOMAIN, TOKEN)


@pytest.fixture
def api(fake: ShopifyFake, shop: Shop) -> Api:
    return Api(fake.base_url)


@pytest.fixture(scope="session")
def purchases() -> PurchaseLog:
    """The real log; a test that needs it is skipped where it cannot be had."""
    try:
        return read_log(cdnow_log())
    except VendorFileError as error:
        unavailable(error)
