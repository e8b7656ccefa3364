"""The whole feed, through the real pipeline, against a Google that keeps state."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from shared.events.google_feed import GoogleFeedSync
from shared.fakes.merchant import Account, MerchantFake
from shared.jobs.testing import Deliver, Delivered, ManualClock
from tests.builders.google_feed import FEED_TOKEN, a_feed, a_product, products
from tests.conftest import Rows

FULL = GoogleFeedSync(triggered_by="manual")
CHANGES = GoogleFeedSync(full_sync=False, triggered_by="manual")
WRITES = ("insert", "patch", "delete")


def counts(done: Delivered, *names: str) -> dict[str, Any]:
    """Figures of a result; what is zero is there too."""
    return {name: done.result.get(name) for name in names}


def history(rows: Rows) -> list[dict[str, Any]]:
    return rows("SELECT * FROM google_feed_sync_history ORDER BY started_at, created_at")


def standings(rows: Rows) -> dict[str, str]:
    """variant id -> sync_status."""
    found = rows("SELECT shopify_variant_id AS id, sync_status::text AS status FROM google_feed_products")
    return {row["id"]: row["status"] for row in found}


@pytest.fixture
def seven(rows: Rows) -> None:
    """Three products with 2, 1 and 4 variants."""
    for id, variants in ((11, 2), (12, 1), (13, 4)):
        a_product(rows, id, *[{} for _ in range(variants)])


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_every_variant_is_an_offer_and_only_several_of_a_product_are_a_group(
    rows: Rows, account: Account, deliver: Deliver, seven: None
) -> None:
    a_feed(rows)

    done = deliver(FULL)

    assert counts(done, "outcome", "total", "added", "unchanged", "errors") == {
        "outcome": "completed", "total": 7, "added": 7, "unchanged": 0, "errors": 0,
    }  # fmt: skip
    held = account.held()
    assert set(held) == {f"{p}_{p}0{n}" for p, many in ((11, 2), (12, 1), (13, 4)) for n in range(1, many + 1)}
    groups = [each.attributes["itemGroupId"] for each in held.values() if "itemGroupId" in each.attributes]
    assert sorted(groups) == ["11", "11", "13", "13", "13", "13"]
    assert held["12_1201"].attributes["link"] == "https://shop.acme.test/products/product-12?variant=1201"
    assert held["11_1102"].attributes["title"] == "Product 11 - Size 2"
    assert set(standings(rows).values()) == {"synced"}
    source = account.sources[held["12_1201"].source]
    assert source["displayName"] == "CGK Product Feed"
    assert source["primaryProductDataSource"] == {"contentLanguage": "en", "feedLabel": "US", "countries": ["US"]}


def test_without_variants_a_product_is_one_offer(rows: Rows, account: Account, deliver: Deliver, seven: None) -> None:
    a_feed(rows, include_variants=False)
    rows.execute("UPDATE product_variants SET price_cents = 1500 WHERE shopify_variant_id = '1303'")

    done = deliver(FULL)

    assert done.result["added"] == 3
    held = account.held()
    assert set(held) == {"11", "12", "13"}
    assert not any("itemGroupId" in each.attributes for each in held.values())
    assert held["13"].attributes["price"] == {"amountMicros": "15000000", "currencyCode": "USD"}
    assert held["13"].attributes["link"] == "https://shop.acme.test/products/product-13"


def test_compare_at_price_makes_a_sale(rows: Rows, account: Account, deliver: Deliver) -> None:
    a_feed(rows)
    a_product(rows, 11, {"price": 1999, "compare_at": 2500})

    deliver(FULL)

    sent = account.held()["11_1101"].attributes
    assert sent["price"] == {"amountMicros": "25000000", "currencyCode": "USD"}
    assert sent["salePrice"] == {"amountMicros": "19990000", "currencyCode": "USD"}


def test_second_run_without_a_change_sends_nothing_and_stock_is_a_patch(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, clock: ManualClock, seven: None
) -> None:
    a_feed(rows, include_out_of_stock=True)
    deliver(FULL)
    merchant.forget()
    clock.advance(days=1)

    second = deliver(FULL)

    assert merchant.asked == []
    assert counts(second, "unchanged", "added", "updated", "removed") == {
        "unchanged": 7, "added": 0, "updated": 0, "removed": 0,
    }  # fmt: skip

    rows.execute(
        "UPDATE product_variants SET inventory_quantity = 0, available_for_sale = false"
        " WHERE shopify_variant_id = '1302'"
    )
    third = deliver(FULL)

    [patch] = merchant.asks()
    assert (patch.what, patch.query["updateMask"]) == ("patch", "productAttributes.availability")
    assert patch.body == {"productAttributes": {"availability": "OUT_OF_STOCK"}}
    assert patch.path.endswith("/productInputs/en~US~13_1302")
    assert counts(third, "unchanged", "updated") == {"unchanged": 6, "updated": 1}
    assert account.held()["13_1302"].attributes["availability"] == "OUT_OF_STOCK"


def test_archived_variant_is_deleted_by_a_full_run_only(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, clock: ManualClock, seven: None
) -> None:
    a_feed(rows)
    deliver(FULL)
    rows.execute("DELETE FROM product_variants WHERE shopify_variant_id = '1304'")
    clock.advance(days=1)
    merchant.forget()

    changes = deliver(CHANGES)

    assert changes.result["removed"] == 0
    assert merchant.asks("delete") == []

    full = deliver(FULL)

    assert full.result["removed"] == 1
    assert "13_1304" not in account.held()
    [row] = rows("SELECT state FROM google_feed_offers WHERE offer_id = '13_1304'")
    assert row["state"] == "deleted"
    assert standings(rows)["1304"] == "excluded"


def test_invalid_gtin_is_left_out_with_a_warning(rows: Rows, account: Account, deliver: Deliver) -> None:
    a_feed(rows)
    a_product(rows, 11, {"barcode": "4006381333931"})
    a_product(rows, 12, {"barcode": "4006381333932"})

    done = deliver(FULL)

    held = account.held()
    assert held["11_1101"].attributes["gtins"] == ["4006381333931"]
    assert "gtins" not in held["12_1201"].attributes
    assert held["12_1201"].attributes["mpn"] == "SKU-12-1"
    assert done.result["errors"] == 0
    [row] = rows("SELECT merchant_issues FROM google_feed_products WHERE shopify_variant_id = '1201'")
    [issue] = row["merchant_issues"]
    assert (issue["severity"], issue["code"]) == ("warning", "INVALID_GTIN")


def test_excluded_by_tag_and_by_price(rows: Rows, account: Account, deliver: Deliver) -> None:
    rule = {"type": "tag", "value": "no-feed", "enabled": True}
    a_feed(rows, minimum=500, exclusion_rules=[rule, {"type": "moon", "enabled": True}])
    a_product(rows, 11, tags=["new", "No-Feed"])
    a_product(rows, 12, {"price": 499})
    a_product(rows, 13, {"price": 500})

    done = deliver(FULL)

    assert counts(done, "total", "excluded", "added") == {"total": 3, "excluded": 2, "added": 1}
    assert set(account.held()) == {"13_1301"}
    reasons = rows("SELECT exclude_reason FROM google_feed_products WHERE sync_status = 'excluded' ORDER BY 1")
    assert [row["exclude_reason"] for row in reasons] == ["below_minimum_price", "rule:tag:no-feed"]


@pytest.mark.parametrize(("days", "inserts"), [(26, 1), (24, 0)])
def test_input_is_renewed_before_it_expires(
    rows: Rows,
    merchant: MerchantFake,
    account: Account,
    deliver: Deliver,
    clock: ManualClock,
    days: int,
    inserts: int,
) -> None:
    a_feed(rows)
    a_product(rows, 11)
    deliver(FULL)
    merchant.forget()
    clock.advance(days=days)

    deliver(FULL)

    assert len(merchant.asks("insert")) == inserts


# -- what Google says --------------------------------------------------------------------------------------------------


def test_one_refused_offer_is_its_own_error(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, clock: ManualClock
) -> None:
    a_feed(rows)
    products(rows, 100)
    merchant.fail(400, match="1042_104201", field="productAttributes.imageLink", message="The image link is broken.")

    done = deliver(FULL)

    assert counts(done, "outcome", "added", "errors") == {"outcome": "completed", "added": 99, "errors": 1}
    [run] = history(rows)
    assert (run["products_synced"], run["products_with_errors"], run["status"]) == (99, 1, "completed")
    [kept] = run["errors"]
    assert kept["offerId"] == "1042_104201"
    [row] = rows("SELECT merchant_issues AS i FROM google_feed_products WHERE sync_status = 'error'")
    assert (row["i"][0]["severity"], row["i"][0]["attribute"]) == ("error", "image_link")

    merchant.forget()
    clock.advance(days=1)
    again = deliver(FULL)

    assert merchant.asks(*WRITES) == []
    assert again.result["errors"] == 1
    rows.execute("UPDATE products SET title = 'Another' WHERE id = '1042'")
    assert counts(deliver(FULL), "added", "errors") == {"added": 1, "errors": 0}


def test_feed_that_is_mostly_refused_is_stopped(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, clock: ManualClock
) -> None:
    a_feed(rows)
    products(rows, 100)
    merchant.fail(400, 60, match="insert")

    done = deliver(FULL, expect="dead")

    assert done.code == "FEED_MOSTLY_REFUSED"
    [run] = history(rows)
    assert run["status"] == "failed"
    assert merchant.asks("delete") == []
    [alert] = [detail for name, detail in done.emitted if name == "alert.apiFailure"]
    assert (alert["severity"], alert["errorCode"]) == ("error", "FEED_MOSTLY_REFUSED")
    assert alert["dedupeKey"] == "google-feed:acme:FEED_MOSTLY_REFUSED:2026-11-20"
    clock.advance(days=1)
    assert deliver(FULL).result["errors"] == 0  # the setting was put right: what was refused is tried again


def test_settings_are_missing(rows: Rows, merchant: MerchantFake, deliver: Deliver) -> None:
    assert deliver(FULL, expect="dead").code == "FEED_NOT_CONFIGURED"
    assert history(rows) == []


def test_storefront_is_missing(rows: Rows, deliver: Deliver) -> None:
    a_feed(rows)
    rows.execute("DELETE FROM shopify_connections")

    assert deliver(FULL, expect="dead").code == "STOREFRONT_URL_MISSING"


@pytest.mark.parametrize(
    ("standing", "severity", "expected"),
    [
        ("approved", None, "approved"),
        ("approved", "DEMOTED", "warning"),
        ("approved", "NOT_IMPACTED", "warning"),
        ("disapproved", "DISAPPROVED", "disapproved"),
        ("pending", None, "pending"),
    ],
)
def test_verdict_of_google(
    rows: Rows,
    account: Account,
    deliver: Deliver,
    drain: Any,
    standing: str,
    severity: str | None,
    expected: str,
) -> None:
    from shared.fakes.merchant.rules import issue

    a_feed(rows)
    a_product(rows, 11)
    issues = [issue("policy", "n:title", severity, "US", "Not so good")] if severity else []
    account.judge("11_1101", standing, *issues)
    deliver(FULL)

    [status] = drain()

    assert status.result["outcome"] == "completed"
    [row] = rows("SELECT merchant_status::text AS s, merchant_issues AS i, merchant_last_checked_at AS at"
                 " FROM google_feed_products")  # fmt: skip
    assert row["s"] == expected
    assert row["at"] is not None
    words = {"DEMOTED": "warning", "NOT_IMPACTED": "info", "DISAPPROVED": "critical"}
    assert [i["severity"] for i in row["i"]] == ([words[severity]] if severity else [])
    assert all(i["attribute"] == "title" for i in row["i"])


# -- orders of things --------------------------------------------------------------------------------------------------


def test_product_deleted_during_a_full_run_is_deleted_at_google(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, clock: ManualClock
) -> None:
    """The run has judged all products and is sending the first; another one is archived meanwhile."""
    a_feed(rows)
    products(rows, 3)
    deliver(FULL)
    clock.advance(days=1)
    rows.execute("UPDATE products SET title = title || ' II'")

    def archive(what: str, body: Any) -> None:
        merchant.before = None
        rows.execute("UPDATE products SET status = 'archived' WHERE id = '1002'")

    merchant.before = archive
    done = deliver(FULL)
    assert "1002_100201" in account.held()  # it was under way already
    clock.advance(days=1)
    following = deliver(FULL)

    assert done.result["outcome"] == "completed"
    assert following.result["removed"] == 1
    assert set(account.held()) == {"1000_100001", "1001_100101"}


def test_product_deleted_between_judging_and_sending_goes_in_the_same_run(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, clock: ManualClock
) -> None:
    a_feed(rows)
    products(rows, 3)
    deliver(FULL)
    clock.advance(days=1)
    rows.execute("UPDATE products SET title = title || ' II'")
    merchant.revoke()
    merchant.tokens.count = 0
    original = merchant.tokens.answer

    def archive(fields: Any) -> Any:
        rows.execute("UPDATE products SET status = 'archived' WHERE id = '1002'")
        return original(fields)

    # The token is asked for before the offers are built: that is the instant between judging and sending.
    rows.execute("UPDATE google_feed_settings SET data_source_name = NULL")
    merchant.tokens.answer = archive  # type: ignore[method-assign]
    done = deliver(FULL)

    assert done.result["outcome"] == "completed"
    assert deliver(FULL).result["unchanged"] == 2
    assert set(account.held()) == {"1000_100001", "1001_100101"}


def test_product_that_comes_back_before_the_deletion_stays(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, clock: ManualClock
) -> None:
    a_feed(rows)
    products(rows, 3)
    deliver(FULL)
    clock.advance(days=1)
    rows.execute("UPDATE products SET status = 'draft' WHERE id = '1002'")
    rows.execute("UPDATE product_variants SET price_cents = 2999 WHERE product_id = '1000'")

    def back(what: str, body: Any) -> None:
        rows.execute("UPDATE products SET status = 'active' WHERE id = '1002'")

    merchant.before = back
    done = deliver(FULL)

    assert done.result["removed"] == 0
    assert len(account.held()) == 3


# -- guards ------------------------------------------------------------------------------------------------------------


def test_feed_that_shrinks_too_much_deletes_nothing(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, clock: ManualClock
) -> None:
    a_feed(rows)
    products(rows, 60)
    deliver(FULL)
    clock.advance(days=1)
    rows.execute("UPDATE products SET status = 'archived' WHERE id::integer < 1020")

    done = deliver(FULL)

    assert counts(done, "outcome", "removed") == {"outcome": "completed", "removed": 0}
    assert len(account.held()) == 60
    assert [a["errorCode"] for n, a in done.emitted if n == "alert.apiFailure"] == ["FEED_SHRUNK"]
    assert history(rows)[-1]["errors"][0]["code"] == "FEED_SHRUNK"

    rows.execute("UPDATE products SET status = 'active' WHERE id = '1000'")
    clock.advance(days=1)
    assert deliver(FULL).result["removed"] == 19  # one less than the guard looks at


def test_moving_to_another_country_moves_every_offer(
    rows: Rows, account: Account, deliver: Deliver, clock: ManualClock
) -> None:
    a_feed(rows)
    products(rows, 30)
    deliver(FULL)
    clock.advance(days=1)
    rows.execute("UPDATE google_feed_settings SET target_country = 'GB'")

    done = deliver(FULL)

    assert counts(done, "added", "removed") == {"added": 30, "removed": 30}
    assert {each.label for each in account.held().values()} == {"GB"}
    assert len(account.inputs) == 30
    assert len(account.sources) == 2


def test_run_under_way_is_joined_and_a_stale_one_cancelled(
    rows: Rows, account: Account, deliver: Deliver, clock: ManualClock
) -> None:
    a_feed(rows)
    a_product(rows, 11)
    rows.execute("INSERT INTO google_feed_sync_history (started_at) VALUES (%s)", (clock.now() - timedelta(hours=1),))
    [other] = history(rows)

    joined = deliver(FULL)

    assert joined.result == {
        **joined.result, "outcome": "joined", "syncId": str(other["id"]),
    }  # fmt: skip
    clock.advance(s=3601)
    assert deliver(FULL).result["outcome"] == "completed"
    assert sorted(run["status"] for run in history(rows)) == ["cancelled", "completed"]
    stopped = deliver(GoogleFeedSync(sync_id=other["id"], step="send"))
    assert stopped.result["outcome"] == "superseded"


def test_run_that_an_application_cancels_ends_with_its_next_page(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver
) -> None:
    a_feed(rows)
    a_product(rows, 11)

    def cancel(what: str, body: Any) -> None:
        rows.execute("UPDATE google_feed_sync_history SET status = 'cancelled'")

    merchant.before = cancel
    done = deliver(FULL)

    assert done.result["outcome"] == "superseded"
    assert [run["status"] for run in history(rows)] == ["cancelled"]


def test_scheduled_message_before_its_time(rows: Rows, account: Account, deliver: Deliver, clock: ManualClock) -> None:
    a_feed(rows, next_sync_at=clock.now() + timedelta(minutes=61))

    assert deliver(GoogleFeedSync()).result["outcome"] == "not_due"
    clock.advance(s=60)
    assert deliver(GoogleFeedSync()).result["outcome"] == "completed"


@pytest.mark.parametrize(("frequency", "hours"), [("hourly", 1), ("daily", 24), ("weekly", 168)])
def test_time_of_the_next_run(
    rows: Rows, account: Account, deliver: Deliver, clock: ManualClock, frequency: str, hours: int
) -> None:
    a_feed(rows, frequency=frequency)

    done = deliver(FULL)

    [row] = rows("SELECT next_sync_at, last_sync_at, last_sync_status::text AS status FROM google_feed_settings")
    assert row == {
        "next_sync_at": clock.now() + timedelta(hours=hours), "last_sync_at": clock.now(), "status": "completed",
    }  # fmt: skip
    [run] = history(rows)
    assert run["feed_url"] == f"https://admin.cgk.test/api/feeds/google/{FEED_TOKEN}/products.xml"
    [(payload, delay)] = done.again
    assert (payload["step"], payload["syncId"], delay) == ("status", str(run["id"]), 900)


def test_changes_only(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, clock: ManualClock
) -> None:
    """fullSync false looks at what was synchronised, what sold, and what an application set pending."""
    a_feed(rows)
    products(rows, 6)
    deliver(FULL)
    clock.advance(s=3600)
    rows.execute("UPDATE products SET title = 'New', synced_at = %s WHERE id = '1001'", (clock.now(),))
    rows.execute(
        "UPDATE product_variants SET price_cents = 999, updated_at = %s WHERE product_id = '1002'", (clock.now(),)
    )
    rows.execute(
        "UPDATE google_feed_products SET brand_override = 'Own', sync_status = 'pending'"
        " WHERE shopify_product_id = '1003'"
    )
    rows.execute("UPDATE products SET title = 'Unseen' WHERE id = '1004'")
    merchant.forget()

    done = deliver(CHANGES)

    assert counts(done, "total", "updated") == {"total": 3, "updated": 3}
    assert sorted(each.what for each in merchant.asked) == ["insert", "insert", "patch"]
    assert account.held()["1003_100301"].attributes["brand"] == "Own"
