"""The Merchant fake: the rules of the documentation, state, and trouble on demand."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.fakes.merchant import Account, MerchantFake
from shared.fakes.merchant.rules import issue
from shared.jobs.testing import ManualClock

ROOT = Path(__file__).resolve().parents[3]
INPUT = {
    "offerId": "1_2",
    "contentLanguage": "en",
    "feedLabel": "US",
    "productAttributes": {
        "title": "Knife",
        "link": "https://shop.test/knife",
        "imageLink": "https://cdn.test/1.jpg",
        "price": {"amountMicros": "19990000", "currencyCode": "USD"},
        "availability": "IN_STOCK",
    },
}


@pytest.fixture
def fake(clock: ManualClock) -> Iterator[MerchantFake]:
    with MerchantFake.start(now=clock.now) as fake:
        yield fake


@pytest.fixture
def account(fake: MerchantFake) -> Account:
    return fake.account("77", refresh_token="rt")


def ask(fake: MerchantFake, method: str, path: str, body: Any = None, *, token: str | None = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    bearer = token or fake.tokens.give({"77"})
    headers = {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{fake.base_url}{path}", data, headers, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def insert(fake: MerchantFake, source: str, **fields: Any) -> tuple[int, Any]:
    return ask(fake, "POST", f"/products/v1/accounts/77/productInputs:insert?dataSource={source}", {**INPUT, **fields})


def reason(answer: Any) -> str:
    return str(answer["error"]["details"][0]["metadata"]["REASON"])


def test_insert_is_an_upsert_and_a_product_gets_its_verdict_later(
    fake: MerchantFake, account: Account, clock: ManualClock
) -> None:
    source = account.source("Feed")

    assert insert(fake, source)[0] == 200
    assert insert(fake, source)[0] == 200
    status, page = ask(fake, "GET", "/products/v1/accounts/77/products?pageSize=10")

    assert (status, len(page["products"])) == (200, 1)
    [product] = page["products"]
    assert product["name"] == "accounts/77/products/en~US~1_2"
    assert product["productStatus"]["destinationStatuses"][0] == {
        "reportingContext": "SHOPPING_ADS", "pendingCountries": ["US"],
    }  # fmt: skip
    clock.advance(s=900)
    assert [each["status"] for each in fake.shown()] == ["approved"]
    account.judge("1_2", "disapproved", issue("policy", "n:title", "DISAPPROVED", "US"))
    _, shown = ask(fake, "GET", "/_fake/products")
    assert (shown["products"][0]["status"], shown["products"][0]["issues"]) == (
        "disapproved", ["policy (DISAPPROVED)"],
    )  # fmt: skip
    clock.advance(days=30)
    assert fake.shown() == []


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"offerId": ""}, "INVALID_OFFER_ID"),
        ({"offerId": "x" * 51}, "INVALID_OFFER_ID"),
        ({"contentLanguage": "EN"}, "INVALID_CONTENT_LANGUAGE"),
        ({"feedLabel": "us"}, "INVALID_FEED_LABEL"),
        ({"feedLabel": "GB"}, "LABEL_MISMATCH"),
        ({"channel": "ONLINE"}, "UNKNOWN_FIELD"),
        ({"productAttributes": {"tax": 1}}, "INVALID_ATTRIBUTE"),
        ({"productAttributes": {"price": {"amountMicros": 19990000, "currencyCode": "USD"}}}, "INVALID_ATTRIBUTE"),
        ({"productAttributes": {"price": {"value": "19.99", "currency": "USD"}}}, "INVALID_ATTRIBUTE"),
        ({"productAttributes": {"availability": "in stock"}}, "INVALID_ATTRIBUTE"),
        ({"productAttributes": {"title": "x" * 151}}, "INVALID_ATTRIBUTE"),
        ({"productAttributes": {"gtins": "4006381333931"}}, "INVALID_ATTRIBUTE"),
        ({"productAttributes": {"availabilityDate": "2026-12-04"}}, "INVALID_ATTRIBUTE"),
        ({"productAttributes": {"shippingWeight": {"value": 0, "unit": "g"}}}, "INVALID_ATTRIBUTE"),
        ({"productAttributes": {"shipping": [{"country": "US"}]}}, "INVALID_ATTRIBUTE"),
    ],
)
def test_wrong_inputs_are_refused(fake: MerchantFake, account: Account, fields: Any, wrong: str) -> None:
    status, answer = insert(fake, account.source("Feed"), **fields)

    assert (status, reason(answer)) == (400, wrong)
    assert answer["error"]["status"] == "INVALID_ARGUMENT"
    assert len(fake.problems()) == 1


def test_patch_and_delete(fake: MerchantFake, account: Account) -> None:
    source = account.source("Feed")
    insert(fake, source)
    path = f"/products/v1/accounts/77/productInputs/en~US~1_2?dataSource={source}"
    mask = "&updateMask=productAttributes.availability,productAttributes.price"

    assert ask(fake, "PATCH", path + mask, {"productAttributes": {"availability": "OUT_OF_STOCK"}})[0] == 200
    assert account.held()["1_2"].attributes["availability"] == "OUT_OF_STOCK"
    assert "price" not in account.held()["1_2"].attributes
    stray = ask(fake, "PATCH", path + "&updateMask=productAttributes.price", {"productAttributes": {"title": "x"}})
    assert reason(stray[1]) == "INVALID_UPDATE_MASK"
    assert ask(fake, "DELETE", path)[0] == 200
    assert ask(fake, "DELETE", path)[0] == 404
    assert ask(fake, "PATCH", path + mask, {})[0] == 404


def test_data_sources(fake: MerchantFake, account: Account) -> None:
    primary = {"contentLanguage": "en", "feedLabel": "US", "countries": ["US"]}
    path = "/datasources/v1/accounts/77/dataSources"

    status, made = ask(fake, "POST", path, {"displayName": "CGK Feed", "primaryProductDataSource": primary})

    assert (status, made["name"]) == (200, "accounts/77/dataSources/1001")
    assert ask(fake, "GET", path)[1]["dataSources"] == [made]
    assert ask(fake, "POST", path, {"displayName": "CGK Feed"})[0] == 400
    assert insert(fake, "accounts/77/dataSources/9")[0] == 404
    assert insert(fake, "")[0] == 400


def test_tokens(fake: MerchantFake, account: Account, clock: ManualClock) -> None:
    source = account.source("Feed")
    fake.account("88")
    token = fake.tokens.give({"77"})

    assert ask(fake, "GET", "/products/v1/accounts/88/products", token=token)[0] == 403
    assert ask(fake, "GET", "/products/v1/accounts/77/products", token="other")[0] == 401
    clock.advance(s=3600)
    assert ask(fake, "GET", "/products/v1/accounts/77/products", token=token)[0] == 401
    assert insert(fake, source)[0] == 200
    fields = {"grant_type": "refresh_token", "refresh_token": "rt", "client_id": "client-id"}
    assert fake.tokens.answer({**fields, "client_secret": "client-secret"})[0] == 200
    assert fake.tokens.answer({**fields, "client_secret": "x"})[1]["error"] == "invalid_client"
    assert fake.tokens.answer({**fields, "refresh_token": "x"})[1]["error"] == "invalid_grant"


def test_quotas_and_trouble(fake: MerchantFake, account: Account, clock: ManualClock) -> None:
    source = account.source("Feed")
    account.minute_quota, account.day_quota = 2, 3

    assert [insert(fake, source)[0] for _ in range(3)] == [200, 200, 429]
    clock.advance(s=60)
    assert insert(fake, source)[0] == 200
    clock.advance(s=60)
    assert reason(insert(fake, source)[1]) == "quota/daily_limit_exceeded"
    account.minute_quota = account.day_quota = None
    fake.fail(503)
    fake.fail("rate", retry_after="7")
    assert [insert(fake, source)[0] for _ in range(3)] == [503, 429, 200]


def test_pages_of_products(fake: MerchantFake, account: Account) -> None:
    source = account.source("Feed")
    for n in range(5):
        insert(fake, source, offerId=f"{n}")

    first = ask(fake, "GET", "/products/v1/accounts/77/products?pageSize=3")[1]
    rest = ask(fake, "GET", f"/products/v1/accounts/77/products?pageSize=3&pageToken={first['nextPageToken']}")[1]

    assert [p["offerId"] for p in first["products"] + rest["products"]] == ["0", "1", "2", "3", "4"]
    assert "nextPageToken" not in rest


def test_fake_runs_as_a_process_and_shows_its_products() -> None:
    command = [sys.executable, "-m", "shared.fakes.merchant", "--port", "0", "--account", "77"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split(": ", 1)[1].strip()
        with urllib.request.urlopen(f"{url}/") as page:
            assert "<h1>Products</h1>" in page.read().decode()
        with urllib.request.urlopen(f"{url}/_fake/health") as health:
            assert json.load(health) == {"ok": True, "accounts": ["77"]}
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
