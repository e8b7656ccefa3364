"""The whole feed when something is wrong: credentials, data sources, quotas, failures in the middle; and files."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest

from shared.events.google_feed import GoogleFeedSync
from shared.fakes.merchant import Account, MerchantFake
from shared.fakes.merchant.account import small_image
from shared.fakes.merchant.rules import issue
from shared.google_feed.attributes import money
from shared.jobs.testing import Deliver, ManualClock
from tests.builders.google_feed import (
    FEED_TOKEN,
    MERCHANT_ID,
    REFRESH_TOKEN,
    a_feed,
    a_product,
    oauth_credentials,
    products,
    service_credentials,
)
from tests.conftest import Rows
from tests.functions.commerce.google_feed.conftest import BUCKET

FULL = GoogleFeedSync(triggered_by="manual")
DISPATCH = "google-feed-sync-scheduled"
G = "{http://base.google.com/ns/1.0}"


def last_run(rows: Rows) -> dict[str, Any]:
    return rows("SELECT * FROM google_feed_sync_history ORDER BY started_at DESC, created_at DESC LIMIT 1")[0]


def told(done: Any, code: str) -> list[dict[str, Any]]:
    """The alerts of a run about `code`."""
    return [d for n, d in done.emitted if n == "alert.apiFailure" and d["errorCode"] == code]


# -- credentials -------------------------------------------------------------------------------------------------------


def test_renewed_token_is_kept_and_used_again(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, clock: ManualClock
) -> None:
    a_feed(rows)
    a_product(rows, 11)
    deliver(FULL)
    assert merchant.token_requests == 1
    clock.advance(s=1800)
    rows.execute("UPDATE products SET title = 'New'")

    deliver(FULL)

    assert merchant.token_requests == 1  # it lasts an hour and lies in the settings, encrypted
    [row] = rows("SELECT api_credentials AS kept FROM google_feed_settings")
    assert set(row["kept"]) == {"clientId", "clientSecret", "refreshToken", "accessToken", "expiresAt"}
    assert "ya29" not in json.dumps(row["kept"])
    clock.advance(s=1500)  # less than five minutes are left of the hour
    rows.execute("UPDATE products SET title = 'Newer'")
    rows.execute("UPDATE google_feed_offers SET inserts_today = 0")
    deliver(FULL)
    assert merchant.token_requests == 2


def test_token_that_is_revoked_early_is_renewed_once(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver
) -> None:
    a_feed(rows)
    products(rows, 20)
    deliver(FULL)
    merchant.revoke()
    rows.execute("UPDATE products SET title = title || ' II'")

    done = deliver(FULL)

    assert done.result["updated"] == 20
    assert merchant.token_requests == 2


def test_refused_refresh_token_disconnects_the_feed(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver
) -> None:
    a_feed(rows, credentials=oauth_credentials("rt_old"))
    a_product(rows, 11)

    done = deliver(FULL, expect="dead")

    assert done.code == "GOOGLE_UNAUTHORIZED"
    [settings] = rows("SELECT is_connected, last_sync_error FROM google_feed_settings")
    assert settings == {"is_connected": False, "last_sync_error": "GOOGLE_UNAUTHORIZED"}
    assert last_run(rows)["status"] == "failed"
    assert len(told(done, "GOOGLE_UNAUTHORIZED")) == 1


def test_service_account(rows: Rows, merchant: MerchantFake, deliver: Deliver) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()  # fmt: skip
    mail = "feed@acme.iam.gserviceaccount.com"
    account = merchant.account(MERCHANT_ID, service=(mail, public))
    file = {"client_email": mail, "private_key": private, "private_key_id": "k1", "token_uri": "https://evil.test/"}
    a_feed(rows, credentials=service_credentials(file))
    a_product(rows, 11)

    assert deliver(FULL).result["added"] == 1
    assert len(account.held()) == 1
    assert merchant.token_requests == 1


def test_account_that_is_closed_to_us(rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver) -> None:
    a_feed(rows, merchant_id="999")
    a_product(rows, 11)

    assert deliver(FULL, expect="dead").code == "GOOGLE_FORBIDDEN"
    assert last_run(rows)["status"] == "failed"


# -- data source -------------------------------------------------------------------------------------------------------


def test_data_source_of_before_is_found(rows: Rows, account: Account, deliver: Deliver) -> None:
    account.source("Somebody else's")
    account.source("CGK Product Feed", file=True)
    ours = account.source("CGK Product Feed")
    a_feed(rows)
    a_product(rows, 11)

    deliver(FULL)

    assert rows("SELECT data_source_name AS n FROM google_feed_settings") == [{"n": ours}]
    assert len(account.sources) == 3


def test_data_source_that_is_gone_is_made_anew_once(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver
) -> None:
    a_feed(rows, data_source="accounts/1234567/dataSources/77")
    products(rows, 10)

    assert deliver(FULL).result["added"] == 10
    assert rows("SELECT data_source_name AS n FROM google_feed_settings") == [
        {"n": "accounts/1234567/dataSources/1001"}
    ]

    rows.execute("UPDATE products SET title = title || ' II'")
    merchant.fail(404, 100, match="insert")
    assert deliver(FULL, expect="dead").code == "DATA_SOURCE_GONE"


# -- quotas and failures -----------------------------------------------------------------------------------------------


def test_quota_of_the_minute_waits_and_keeps_what_was_taken(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, drain: Any
) -> None:
    a_feed(rows)
    products(rows, 30)
    account.minute_quota = 12

    done = deliver(FULL, expect="deferred")

    assert done.code == "RATE_LIMITED"
    assert done.delay_s == pytest.approx(60, abs=30)
    taken = rows("SELECT count(*) AS n FROM google_feed_offers WHERE state = 'active'")[0]["n"]
    assert 8 <= taken <= 12
    account.minute_quota = None
    drain()
    assert len(account.held()) == 30
    run = last_run(rows)
    assert (run["products_added"], run["products_synced"], run["status"]) == (30, 30, "completed")
    assert max(each.inserts for each in account.held().values()) <= 2


def test_quota_of_the_day_goes_on_after_noon_utc(
    rows: Rows, account: Account, deliver: Deliver, drain: Any, clock: ManualClock
) -> None:
    a_feed(rows)
    products(rows, 30)
    account.day_quota = 12

    done = deliver(FULL)

    assert done.result["outcome"] == "continued"
    assert 8 <= last_run(rows)["products_added"] <= 12
    account.day_quota = None
    finished = [each for each in drain() if each.job == "google-feed-sync"]
    assert [each.result["outcome"] for each in finished][:1] == ["completed"]
    assert last_run(rows)["completed_at"] >= datetime(2026, 11, 21, 12, 10, tzinfo=UTC)
    assert len(account.held()) == 30


def test_second_day_without_quota_fails_the_run(rows: Rows, account: Account, deliver: Deliver, drain: Any) -> None:
    a_feed(rows)
    products(rows, 30)
    account.day_quota = 5
    deliver(FULL)
    account.day_quota = 0

    [second] = [each for each in drain() if each.job == "google-feed-sync"]

    assert (second.state, second.code) == ("dead", "QUOTA_EXHAUSTED")
    assert last_run(rows)["status"] == "failed"
    assert rows("SELECT last_sync_error AS e FROM google_feed_settings") == [{"e": "QUOTA_EXHAUSTED"}]


def test_stop_for_the_quota_stands_in_a_history_full_of_errors(rows: Rows, account: Account, deliver: Deliver) -> None:
    """The second stop is told from the first by that entry."""
    a_feed(rows)
    a_product(rows, 11, *[{"id": f"11{n:03d}", "price": 0} for n in range(510)])
    products(rows, 20)
    account.day_quota = 5

    deliver(FULL)

    kept = [each["code"] for each in last_run(rows)["errors"]]
    assert kept.count("DAILY_LIMIT_REACHED") == 1
    assert len(kept) == 500


def test_refusals_of_a_run_s_earlier_messages_count(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, drain: Any
) -> None:
    """Some 40 refusals, a wait for the minute's quota, as many again: less than 50 in either message."""
    a_feed(rows)
    products(rows, 80)
    merchant.fail(400, 40, match="insert")
    merchant.fail("rate", match="insert")
    merchant.fail(400, 40, match="insert")

    deliver(FULL, expect="deferred")
    [ended] = [each for each in drain() if each.job == "google-feed-sync"]

    assert (ended.state, ended.code) == ("dead", "FEED_MOSTLY_REFUSED")
    assert last_run(rows)["status"] == "failed"
    assert len(told(ended, "FEED_MOSTLY_REFUSED")) == 1


def test_deletion_that_google_refuses_is_an_error_and_tried_again(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, clock: ManualClock
) -> None:
    a_feed(rows)
    products(rows, 3)
    deliver(FULL)
    clock.advance(days=1)
    rows.execute("UPDATE products SET status = 'archived' WHERE id IN ('1001', '1002')")
    merchant.fail(400, match="1002_100201")

    done = deliver(FULL)

    assert {n: done.result[n] for n in ("outcome", "removed", "errors")} == {
        "outcome": "completed", "removed": 1, "errors": 1,
    }  # fmt: skip
    assert [(each["offerId"], each["code"]) for each in last_run(rows)["errors"]] == [("1002_100201", "ON_DEMAND")]
    assert set(account.held()) == {"1000_100001", "1002_100201"}
    clock.advance(days=1)
    assert deliver(FULL).result["removed"] == 1


@pytest.mark.parametrize("kind", [500, 503, 409, 412, "cut"])
def test_failure_in_the_middle_keeps_the_rest_and_is_tried_again(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, drain: Any, kind: Any
) -> None:
    a_feed(rows)
    products(rows, 20)
    merchant.fail(kind, match="1010_101001")

    done = deliver(FULL, expect="retrying")

    assert done.attempt == 1
    drain()
    assert len(account.held()) == 20
    assert last_run(rows)["products_added"] == 20
    assert rows("SELECT DISTINCT sync_status::text AS s FROM google_feed_products") == [{"s": "synced"}]


def test_failure_that_lasts_fails_the_run(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, drain: Any
) -> None:
    a_feed(rows)
    products(rows, 3)
    merchant.fail(500, 100)
    deliver(FULL, expect="retrying")

    ended = drain()

    assert ended[-1].state == "dead"
    assert last_run(rows)["status"] == "failed"


def test_patch_of_an_input_that_google_has_lost_is_an_insert(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver
) -> None:
    a_feed(rows)
    a_product(rows, 11)
    deliver(FULL)
    account.delete(account.held()["11_1101"])
    rows.execute("UPDATE product_variants SET price_cents = 2500")
    merchant.forget()

    deliver(FULL)

    assert [each.what for each in merchant.asks("patch", "insert")] == ["patch", "insert"]
    assert account.held()["11_1101"].attributes["price"] == money(2500, "USD")


def test_credentials_refused_at_the_look_at_the_verdict_are_told_with_their_run(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver
) -> None:
    a_feed(rows)
    a_product(rows, 11)
    deliver(FULL)
    run = last_run(rows)
    merchant.revoke()
    merchant.tokens.clients.clear()

    done = deliver(GoogleFeedSync(sync_id=run["id"], step="status"), expect="dead")

    [alert] = told(done, "GOOGLE_UNAUTHORIZED")
    assert alert["context"]["syncId"] == str(run["id"])
    assert rows("SELECT is_connected FROM google_feed_settings") == [{"is_connected": False}]


# -- errors of our own -------------------------------------------------------------------------------------------------


def test_errors_keep_an_offer_back_and_stand_in_the_history(rows: Rows, account: Account, deliver: Deliver) -> None:
    a_feed(rows)
    a_product(rows, 11, {"currency": "EUR"})
    a_product(rows, 12, image=None)
    a_product(rows, 13, {"price": 0})
    a_product(rows, 14, images=[{"url": "https://cdn.acme.test/14.jpg", "width": 90, "height": 90}])
    a_product(rows, 15)

    done = deliver(FULL)

    assert {n: done.result[n] for n in ("total", "errors", "added")} == {"total": 5, "errors": 4, "added": 1}
    codes = {each["offerId"]: each["code"] for each in last_run(rows)["errors"]}
    assert codes == {
        "11_1101": "CURRENCY_MISMATCH", "12_1201": "MISSING_IMAGE", "13_1301": "PRICE_NOT_POSITIVE",
        "14_1401": "IMAGE_TOO_SMALL",
    }  # fmt: skip


def test_many_errors_are_counted_and_some_are_kept(rows: Rows, account: Account, deliver: Deliver) -> None:
    a_feed(rows)
    a_product(rows, 11, *[{"id": f"11{n:03d}", "price": 0} for n in range(520)])

    done = deliver(FULL)

    assert done.result["errors"] == 520
    assert len(last_run(rows)["errors"]) == 500


def test_overrides_and_labels(rows: Rows, account: Account, deliver: Deliver, clock: ManualClock) -> None:
    a_feed(
        rows,
        brand="House",
        label_rules={
            "label0": {"type": "bestseller"},
            "label1": {
                "conditions": [{"field": "price", "operator": "greater_than", "value": 5000, "label": "dear"}],
                "defaultValue": "cheap",
            },
        },
    )
    a_product(rows, 11, {}, {"price": 6000})
    rows.execute(
        "INSERT INTO google_feed_products (shopify_product_id, shopify_variant_id, title_override, brand_override,"
        " adult, custom_label_2) VALUES ('11', NULL, 'Whole', 'Whole brand', true, 'two'),"
        " ('11', '1102', 'Own', NULL, false, NULL)"
    )
    rows.execute(
        "INSERT INTO orders (id, shopify_id, order_number, order_placed_at) VALUES ('o1', 'o1', '1', %s)",
        (clock.now() - timedelta(days=3),),
    )
    rows.execute(
        "INSERT INTO order_line_items (order_shopify_id, product_id, variant_id, title, quantity)"
        " VALUES ('o1', '11', '1102', 'x', 3)"
    )

    deliver(FULL)

    one, two = (account.held()[id].attributes for id in ("11_1101", "11_1102"))
    assert (one["title"], two["title"]) == ("Whole", "Own")
    assert (one["brand"], two["brand"], one["adult"], two["adult"]) == ("Whole brand", "Whole brand", True, True)
    assert (one["customLabel1"], two["customLabel1"], one["customLabel2"]) == ("cheap", "dear", "two")
    assert ("customLabel0" in one, two["customLabel0"]) == (False, "bestseller")
    carrier = "SELECT sync_status::text AS s FROM google_feed_products WHERE shopify_variant_id IS NULL"
    assert rows(carrier) == [{"s": "synced"}]


def test_units_are_those_of_orders_that_count(
    rows: Rows, account: Account, deliver: Deliver, clock: ManualClock
) -> None:
    """An order without a time of its own was placed when it was made."""
    condition = {"field": "units_30d", "operator": "greater_than", "value": 0, "label": "sold"}
    a_feed(rows, label_rules={"label0": {"conditions": [condition], "defaultValue": "not sold"}})
    for number, (placed_at, created_at, status) in enumerate(
        [
            (None, clock.now() - timedelta(days=3), "paid"),
            (None, clock.now() - timedelta(days=31), "paid"),
            (clock.now() - timedelta(days=3), clock.now(), "voided"),
        ]
    ):
        a_product(rows, 11 + number)
        rows.execute(
            "INSERT INTO orders (id, shopify_id, order_number, order_placed_at, created_at, financial_status)"
            " VALUES (%(id)s, %(id)s, %(id)s, %(placed)s, %(created)s, %(status)s)",
            {"id": f"o{number}", "placed": placed_at, "created": created_at, "status": status},
        )
        rows.execute(
            "INSERT INTO order_line_items (order_shopify_id, product_id, variant_id, title, quantity)"
            " VALUES (%s, %s, %s, 'x', 1)",
            (f"o{number}", str(11 + number), f"{11 + number}01"),
        )

    deliver(FULL)

    assert {id: each.attributes["customLabel0"] for id, each in account.held().items()} == {
        "11_1101": "sold", "12_1201": "not sold", "13_1301": "not sold",
    }  # fmt: skip


# -- the feed as a file ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["xml", "tsv", "json"])
def test_feed_of_a_shop_that_is_not_connected_is_a_file(
    rows: Rows, merchant: MerchantFake, bucket: Any, deliver: Deliver, kind: str
) -> None:
    a_feed(rows, connected=False, format=kind)
    a_product(rows, 11, {"price": 1999, "compare_at": 2500}, {"price": 1999}, title="Knife & Fork <1>")
    a_product(rows, 12, {"price": 0})

    done = deliver(FULL)

    assert {n: done.result[n] for n in ("outcome", "total", "errors")} == {
        "outcome": "completed", "total": 3, "errors": 1,
    }  # fmt: skip
    assert (merchant.asked, done.again) == ([], [])
    key = f"feeds/google/{FEED_TOKEN}/products.{kind}"
    text = bucket.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
    [first, second] = READERS[kind](text)
    assert (first["id"], second["id"]) == ("11_1101", "11_1102")
    assert first["title"] == "Knife & Fork <1> - Size 1"
    assert (first["price"], first["sale_price"], first["availability"]) == ("25.00 USD", "19.99 USD", "in_stock")
    assert (first["item_group_id"], first["gtin"]) == ("11", "4006381333931")
    run = last_run(rows)
    assert (run["feed_product_count"], run["feed_size_bytes"]) == (2, len(text.encode()))
    assert rows("SELECT feed_storage_key AS k FROM google_feed_settings") == [{"k": key}]
    statuses = rows("SELECT sync_status::text AS s FROM google_feed_products ORDER BY shopify_variant_id")
    assert [row["s"] for row in statuses] == ["synced", "synced", "error"]


def _xml(text: str) -> list[dict[str, str]]:
    items = ElementTree.fromstring(text).iter("item")
    return [{each.tag.removeprefix(G): each.text or "" for each in item} for item in items]


def _tsv(text: str) -> list[dict[str, str]]:
    head, *lines = text.rstrip("\n").split("\n")
    return [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]


def _json(text: str) -> list[dict[str, Any]]:
    return list(json.loads(text)["items"])


READERS: dict[str, Callable[[str], list[dict[str, Any]]]] = {"xml": _xml, "tsv": _tsv, "json": _json}


# -- status ------------------------------------------------------------------------------------------------------------


def test_many_new_disapprovals_are_told(
    rows: Rows, account: Account, deliver: Deliver, drain: Any, clock: ManualClock
) -> None:
    a_feed(rows)
    products(rows, 30)
    deliver(FULL)
    drain()
    assert rows("SELECT DISTINCT merchant_status::text AS s FROM google_feed_products") == [{"s": "approved"}]
    for n in range(4):
        account.judge(f"{1000 + n}_{1000 + n}01", "disapproved", issue("policy", "n:title", "DISAPPROVED", "US"))
    clock.advance(days=1)
    deliver(FULL)

    [status] = drain()

    [alert] = told(status, "MANY_DISAPPROVED")
    assert alert["severity"] == "warning"
    assert alert["context"]["counts"] == {"policy": 4, "disapproved": 4, "active": 30}
    rows.execute("UPDATE google_feed_settings SET next_sync_at = NULL")
    clock.advance(days=1)
    deliver(FULL)
    [again] = drain()
    assert told(again, "MANY_DISAPPROVED") == []  # none of them is new


@pytest.mark.parametrize("trouble", ["rate", 503])
def test_disapprovals_that_were_found_before_a_trouble_are_told(
    rows: Rows,
    merchant: MerchantFake,
    account: Account,
    deliver: Deliver,
    drain: Any,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Any,
) -> None:
    """They are on the first page; the second cannot be read at once."""
    monkeypatch.setattr("shared.integrations.merchant.PRODUCTS_PAGE", 10)
    a_feed(rows)
    products(rows, 30)
    deliver(FULL)
    drain()
    for n in range(4):
        account.judge(f"{1000 + n}_{1000 + n}01", "disapproved", issue("policy", "n:title", "DISAPPROVED", "US"))
    clock.advance(days=1)
    deliver(FULL)
    merchant.fail(trouble, 2, match="pageToken=10")

    ended = [each for each in drain() if each.job == "google-feed-sync"]

    assert ended[-1].result["total"] == 30
    assert len(told(ended[-1], "MANY_DISAPPROVED")) == 1


def test_offer_that_google_does_not_list_is_inserted_again(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, drain: Any, clock: ManualClock
) -> None:
    a_feed(rows)
    products(rows, 2)
    deliver(FULL)
    account.hidden.add("1000_100001")
    drain()
    assert merchant.asks("insert")[2:] == []
    clock.advance(days=1)
    deliver(FULL)
    drain()
    clock.advance(s=60)
    rows_before = rows("SELECT merchant_status::text AS s FROM google_feed_products ORDER BY shopify_product_id")
    merchant.forget()

    deliver(FULL)

    assert [row["s"] for row in rows_before] == ["pending", "approved"]
    assert [each.body["offerId"] for each in merchant.asks("insert")] == ["1000_100001"]


def test_small_images_are_asked_for_once(
    rows: Rows, account: Account, deliver: Deliver, drain: Any, clock: ManualClock
) -> None:
    a_feed(rows)
    products(rows, 3)
    account.judge("1000_100001", "disapproved", small_image())
    rows.execute(
        "INSERT INTO google_feed_images (shopify_product_id, original_url, status, optimized_url)"
        " VALUES ('1001', 'https://cdn.acme.test/1001.jpg', 'optimized', 'https://files.cgk.test/x.jpg')"
    )
    deliver(FULL)
    assert account.held()["1001_100101"].attributes["imageLink"] == "https://files.cgk.test/x.jpg"
    clock.advance(s=1000)

    status = deliver(GoogleFeedSync(sync_id=last_run(rows)["id"], step="status"))

    asked = [d for n, d in status.emitted if n == "googleFeed.imageOptimize"]
    assert asked == [{"productId": "1000", "imageUrl": "https://cdn.acme.test/1000.jpg"}]
    assert rows("SELECT status, google_status FROM google_feed_images WHERE shopify_product_id = '1001'") == [
        {"status": "approved", "google_status": "approved"}
    ]


# -- the schedule ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "due"),
    [
        ({}, True),
        ({"next_in_h": 1}, True),
        ({"next_in_h": 2}, False),
        ({"running_h": 1}, False),
        ({"running_h": 3}, True),
        ({"merchant_id": None, "feed_token": None}, False),
    ],
    ids=["never synchronised", "due within the hour", "later", "under way", "stood still", "no feed"],
)
def test_dispatch_starts_what_is_due(
    rows: Rows, bench: Any, clock: ManualClock, fields: dict[str, Any], due: bool
) -> None:
    at = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)
    next_in, running = fields.pop("next_in_h", None), fields.pop("running_h", None)
    a_feed(rows, **fields, next_sync_at=at + timedelta(hours=next_in) if next_in else None)
    if running:
        rows.execute("INSERT INTO google_feed_sync_history (started_at) VALUES (%s)", (at - timedelta(hours=running),))

    report = bench.tick(DISPATCH, at)

    mine = [d for n, d in report.published if n == "googleFeed.sync" and d["tenantId"] == "acme"]
    assert [(d["fullSync"], d["triggeredBy"]) for d in mine] == ([(True, "schedule")] if due else [])


def test_tenant_without_settings_is_not_due(rows: Rows, bench: Any) -> None:
    assert bench.tick(DISPATCH, datetime(2026, 11, 21, 6, 0, tzinfo=UTC)).published == []
    assert REFRESH_TOKEN not in str(rows("SELECT * FROM google_feed_settings"))
