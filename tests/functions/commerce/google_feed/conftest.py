"""A shop with a product feed, Google's fake, and places for files and images."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from shared.fakes.merchant import Account, MerchantFake
from shared.integrations import files, google_auth
from shared.jobs.context import Tenant
from shared.jobs.registry import Registry
from shared.jobs.testing import Bench, ManualClock
from tests.builders.google_feed import CLIENT, MERCHANT_ID, REFRESH_TOKEN, a_shop
from tests.builders.pictures import Pictures, resolver
from tests.conftest import MakeBench, Rows

BUCKET = "cgk-test-files"


@pytest.fixture
def merchant(clock: ManualClock) -> Iterator[MerchantFake]:
    """Google, on the tests' clock; whatever asks it must ask as the documentation says."""
    google_auth._remembered.clear()
    with MerchantFake.start(now=clock.now) as fake:
        yield fake
        assert fake.problems() == []


@pytest.fixture
def account(merchant: MerchantFake) -> Account:
    """The merchant account of acme."""
    return merchant.account(MERCHANT_ID, refresh_token=REFRESH_TOKEN, client=CLIENT)


@pytest.fixture(autouse=True)
def shop(rows: Rows, tenant: Tenant) -> None:
    a_shop(rows, tenant.organization_id)


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pictures]:
    """Servers of images; host names resolve as `images.hosts` says, else to an address of the open internet."""
    with Pictures.start() as server:
        monkeypatch.setattr(socket, "getaddrinfo", resolver(server.hosts))
        yield server


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The platform's bucket, in memory: boto3's client of it."""
    import boto3
    from moto import mock_aws

    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    files._s3.cache_clear()
    with mock_aws():
        client = boto3.client("s3", region_name=os.environ["AWS_DEFAULT_REGION"])
        client.create_bucket(Bucket=BUCKET)
        yield client
    files._s3.cache_clear()


@pytest.fixture
def bench(make_bench: MakeBench, registry: Registry, request: pytest.FixtureRequest) -> Bench:
    """The bench over all declared jobs, with the addresses of what the test uses."""
    settings = {"ADMIN_URL": "https://admin.cgk.test", "FILES_PUBLIC_URL": "https://files.cgk.test"}
    if "merchant" in request.fixturenames:
        url = request.getfixturevalue("merchant").base_url
        settings |= {"MERCHANT_BASE_URL": url, "GOOGLE_OAUTH_BASE_URL": url}
    if "images" in request.fixturenames:
        settings["IMAGE_DOWNLOAD_BASE_URL"] = request.getfixturevalue("images").base_url
    if "bucket" in request.fixturenames:
        request.getfixturevalue("bucket")
        settings["CGK_BUCKET"] = BUCKET
    return make_bench(registry, **settings)
