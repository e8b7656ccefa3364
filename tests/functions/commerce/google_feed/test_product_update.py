"""One product, soon after a change."""

from __future__ import annotations

from typing import Any

import pytest

from shared.events.google_feed import GoogleFeedProductUpdate, GoogleFeedSync
from shared.fakes.merchant import Account, MerchantFake
from shared.jobs.testing import Deliver, ManualClock
from tests.builders.google_feed import a_feed, a_product, a_variant
from tests.conftest import Rows

JOB = "google-feed-product-update"
FULL = GoogleFeedSync(triggered_by="manual")


def update(product: str = "11", variant: str | None = None) -> GoogleFeedProductUpdate:
    return GoogleFeedProductUpdate(product_id=product, variant_id=variant, action="update")


def delete(product: str = "11", variant: str | None = None) -> GoogleFeedProductUpdate:
    return GoogleFeedProductUpdate(product_id=product, variant_id=variant, action="delete")


@pytest.fixture
def synced(rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, clock: ManualClock) -> MerchantFake:
    """A product with two variants that Google has, an hour ago."""
    a_feed(rows)
    a_product(rows, 11, {}, {})
    deliver(FULL)
    clock.advance(s=3600)
    merchant.forget()
    return merchant


def test_changed_title_inserts_both_variants_and_a_changed_price_is_a_patch(
    rows: Rows, synced: MerchantFake, deliver: Deliver, clock: ManualClock
) -> None:
    rows.execute("UPDATE products SET title = 'New'")

    done = deliver(update("gid://shopify/Product/11"))

    assert done.result == {"outcome": "sent", "inserted": 2, "patched": 0, "deleted": 0, "errors": 0}
    assert [each.what for each in synced.asked] == ["insert", "insert"]
    synced.forget()
    clock.advance(s=60)
    rows.execute("UPDATE product_variants SET price_cents = 2100 WHERE shopify_variant_id = '1102'")

    done = deliver(update())

    assert (done.result["outcome"], done.result["patched"]) == ("sent", 1)
    [patch] = synced.asked
    assert patch.query["updateMask"] == "productAttributes.price"
    assert patch.query["dataSource"].startswith("accounts/1234567/dataSources/")


def test_end_of_a_sale_takes_the_sale_price_away(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, clock: ManualClock
) -> None:
    a_feed(rows)
    a_product(rows, 11, {"price": 1999, "compare_at": 2500})
    deliver(FULL)
    clock.advance(s=60)
    merchant.forget()
    rows.execute("UPDATE product_variants SET compare_at_price_cents = NULL")

    deliver(update())

    [patch] = merchant.asked
    assert patch.query["updateMask"] == "productAttributes.price,productAttributes.salePrice"
    assert patch.body == {"productAttributes": {"price": {"amountMicros": "19990000", "currencyCode": "USD"}}}
    assert "salePrice" not in account.held()["11_1101"].attributes


def test_third_title_of_a_day_waits(rows: Rows, synced: MerchantFake, deliver: Deliver, clock: ManualClock) -> None:
    """One insert by the full run, one by the first change: the day's two are used up."""
    rows.execute("DELETE FROM product_variants WHERE shopify_variant_id = '1102'")
    rows.execute("UPDATE products SET title = 'Second'")
    assert deliver(update()).result["inserted"] == 1
    synced.forget()
    clock.advance(s=60)
    rows.execute("UPDATE products SET title = 'Third'")

    done = deliver(update())

    assert (done.result["outcome"], done.result["inserted"]) == ("limited", 0)
    assert synced.asks("insert") == []
    assert rows("SELECT sync_status::text AS s FROM google_feed_products WHERE shopify_variant_id = '1101'") == [
        {"s": "pending"}
    ]
    rows.execute("UPDATE product_variants SET price_cents = 1")
    clock.advance(s=60)
    assert (deliver(update()).result["outcome"], synced.asked[-1].mask) == ("limited", ["productAttributes.price"])
    clock.advance(days=1)
    assert deliver(update()).result["inserted"] == 1
    assert rows("SELECT DISTINCT sync_status::text AS s FROM google_feed_products WHERE shopify_variant_id = '1101'"
                ) == [{"s": "synced"}]  # fmt: skip


def test_deletion_counts_an_offer_that_is_gone_already(
    rows: Rows, merchant: MerchantFake, account: Account, deliver: Deliver, clock: ManualClock
) -> None:
    a_feed(rows)
    a_product(rows, 11, {}, {}, {})
    deliver(FULL)
    clock.advance(s=60)
    account.delete(account.held()["11_1102"])

    done = deliver(delete())

    assert done.result == {"outcome": "deleted", "inserted": 0, "patched": 0, "deleted": 3, "errors": 0}
    assert account.held() == {}
    assert rows("SELECT DISTINCT state FROM google_feed_offers") == [{"state": "deleted"}]
    assert rows("SELECT DISTINCT sync_status::text AS s FROM google_feed_products") == [{"s": "excluded"}]


def test_deletion_that_google_refuses_is_an_error(rows: Rows, synced: MerchantFake, deliver: Deliver) -> None:
    synced.fail(400, match="11_1102")

    done = deliver(delete())

    assert done.result == {"outcome": "deleted", "inserted": 0, "patched": 0, "deleted": 1, "errors": 1}
    assert rows("SELECT offer_id, state FROM google_feed_offers ORDER BY 1") == [
        {"offer_id": "11_1101", "state": "deleted"},
        {"offer_id": "11_1102", "state": "active"},
    ]


def test_burst_of_messages_is_at_most_two_rounds(
    rows: Rows, synced: MerchantFake, deliver: Deliver, drain: Any, clock: ManualClock
) -> None:
    for n in range(5):
        rows.execute("UPDATE products SET title = %s", (f"Title {n}",))
        deliver(update())
        clock.advance(s=1)
    rounds = len(synced.asks("insert")) / 2
    drain()

    assert rounds == 1
    assert len(synced.asks("insert", "patch")) <= 4
    assert synced.accounts["1234567"].held()["11_1101"].attributes["title"].startswith("Title")


@pytest.mark.parametrize("product", ["11", "12"], ids=["known", "new"])
def test_product_is_marked_before_google_is_asked(
    rows: Rows, synced: MerchantFake, deliver: Deliver, clock: ManualClock, product: str
) -> None:
    """Messages that other workers have begun in the same second find the mark, and wait."""
    a_product(rows, 12)
    rows.execute("UPDATE product_variants SET price_cents = 2100 WHERE shopify_variant_id = '1101'")
    found: list[Any] = []

    def look(what: str, body: Any) -> None:
        found.append(
            rows("SELECT last_sync_at AS at FROM google_feed_products WHERE shopify_product_id = %s", (product,))
        )

    synced.before = look
    deliver(update(product))

    [marks] = found  # of one request: the offers of which nothing is sent are not marked
    assert clock.now() in [row["at"] for row in marks]


def test_message_without_work_marks_nothing(rows: Rows, synced: MerchantFake, deliver: Deliver) -> None:
    before = rows("SELECT xmin::text AS x FROM google_feed_products ORDER BY id")

    deliver(update())

    assert rows("SELECT xmin::text AS x FROM google_feed_products ORDER BY id") == before


def test_not_connected(rows: Rows, merchant: MerchantFake, deliver: Deliver) -> None:
    a_feed(rows, connected=False)
    a_product(rows, 11)
    rows.execute(
        "INSERT INTO google_feed_products (shopify_product_id, shopify_variant_id, sync_status)"
        " VALUES ('11', '1101', 'synced')"
    )

    assert deliver(update()).result["outcome"] == "deferred"
    assert merchant.asked == []
    assert rows("SELECT sync_status::text AS s FROM google_feed_products") == [{"s": "pending"}]


def test_no_settings(deliver: Deliver) -> None:
    assert deliver(update()).result["outcome"] == "not_configured"


def test_unknown_action(deliver: Deliver) -> None:
    done = deliver.job(JOB, {"productId": "11", "action": "remove"}, expect="dead")

    assert done.code == "INVALID_PAYLOAD"


def test_no_data_source_yet_asks_for_a_run(rows: Rows, merchant: MerchantFake, deliver: Deliver) -> None:
    a_feed(rows)
    a_product(rows, 11)

    done = deliver(update())

    assert done.result["outcome"] == "deferred"
    [(name, event)] = done.emitted
    assert (name, event["fullSync"], event["triggeredBy"]) == ("googleFeed.sync", False, "webhook")
    assert merchant.asked == []


def test_run_under_way_sends_a_product_that_it_has_not_passed(
    rows: Rows, synced: MerchantFake, deliver: Deliver, clock: ManualClock
) -> None:
    rows.execute("INSERT INTO google_feed_sync_history (started_at) VALUES (%s)", (clock.now(),))
    rows.execute("UPDATE products SET title = 'New'")

    assert deliver(update()).result["outcome"] == "deferred"
    assert synced.asked == []
    assert rows("SELECT DISTINCT sync_status::text AS s FROM google_feed_products") == [{"s": "pending"}]

    rows.execute("UPDATE google_feed_products SET sync_status = 'synced'")
    rows.execute("UPDATE google_feed_offers SET generation = (SELECT id FROM google_feed_sync_history"
                 " WHERE status = 'running')")  # fmt: skip
    assert deliver(update()).result["inserted"] == 2  # passed: nobody else would send it


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE products SET status = 'archived'",
        "UPDATE products SET platform_data = '{\"unlisted\": true}'",
        "UPDATE google_feed_products SET is_excluded = true",
    ],
    ids=["archived", "unlisted", "excluded by hand"],
)
def test_product_that_leaves_the_feed_is_deleted(
    rows: Rows, synced: MerchantFake, deliver: Deliver, change: str
) -> None:
    rows.execute(change)

    done = deliver(update())

    assert (done.result["outcome"], done.result["deleted"]) == ("deleted", 2)
    assert synced.accounts["1234567"].held() == {}


def test_variant_that_is_gone_is_deleted_and_the_others_stay(
    rows: Rows, synced: MerchantFake, deliver: Deliver
) -> None:
    rows.execute("DELETE FROM product_variants WHERE shopify_variant_id = '1102'")
    a_variant(rows, "11", 3, several=True)

    done = deliver(update())

    assert set(synced.accounts["1234567"].held()) == {"11_1101", "11_1103"}
    assert (done.result["inserted"], done.result["deleted"]) == (1, 1)


def test_one_variant_only(rows: Rows, synced: MerchantFake, deliver: Deliver) -> None:
    rows.execute("UPDATE product_variants SET price_cents = 2100")

    assert deliver(update("11", "1102")).result["patched"] == 1
    assert [each.path.rsplit("~", 1)[-1] for each in synced.asked] == ["11_1102"]


def test_unknown_product(rows: Rows, synced: MerchantFake, deliver: Deliver) -> None:
    assert deliver(update("999")).result["outcome"] == "unknown"
    rows.execute("DELETE FROM products")
    assert deliver(update()).result["deleted"] == 2  # what Google has under that id goes all the same


def test_more_than_a_hundred_offers_take_two_legs(
    rows: Rows, synced: MerchantFake, deliver: Deliver, drain: Any
) -> None:
    a_product(rows, 12, *[{"id": f"12{n:03d}"} for n in range(150)])

    deliver(update("12"), expect="continuing")
    assert len(synced.asks("insert")) == 100
    [done] = [each for each in drain() if each.job == JOB]

    assert done.result == {"outcome": "sent", "inserted": 150, "patched": 0, "deleted": 0, "errors": 0}


def test_nothing_changed(synced: MerchantFake, deliver: Deliver) -> None:
    assert deliver(update()).result["outcome"] == "unchanged"
    assert synced.asked == []


def test_refused_offer(rows: Rows, synced: MerchantFake, deliver: Deliver) -> None:
    rows.execute("UPDATE products SET title = 'New'")
    synced.fail(400, match="11_1102", field="productAttributes.title", message="No.")

    done = deliver(update())

    assert (done.result["outcome"], done.result["inserted"], done.result["errors"]) == ("sent", 1, 1)
    assert rows("SELECT state, last_error_code FROM google_feed_offers WHERE offer_id = '11_1102'") == [
        {"state": "refused", "last_error_code": "ON_DEMAND"}
    ]


def test_refused_credentials_disconnect_the_feed(rows: Rows, synced: MerchantFake, deliver: Deliver) -> None:
    synced.revoke()
    synced.tokens.clients.clear()
    rows.execute("UPDATE products SET title = 'New'")

    done = deliver(update(), expect="dead")

    assert done.code == "GOOGLE_UNAUTHORIZED"
    assert rows("SELECT is_connected FROM google_feed_settings") == [{"is_connected": False}]
    assert [d["errorCode"] for n, d in done.emitted if n == "alert.apiFailure"] == ["GOOGLE_UNAUTHORIZED"]


def test_too_many_requests_wait_as_google_says(rows: Rows, synced: MerchantFake, deliver: Deliver) -> None:
    rows.execute("UPDATE products SET title = 'New'")
    synced.fail("rate", match="11_1102", retry_after="33")

    done = deliver(update(), expect="deferred")

    assert done.code == "RATE_LIMITED"
    assert done.delay_s is not None
    assert done.delay_s >= 33
    states = rows("SELECT inserts_today FROM google_feed_offers ORDER BY offer_id")
    assert {row["inserts_today"] for row in states} <= {1, 2}  # what was taken before is kept


def test_quota_of_the_day_leaves_the_product_waiting(rows: Rows, synced: MerchantFake, deliver: Deliver) -> None:
    rows.execute("UPDATE products SET title = 'New'")
    synced.fail("daily", 10)

    assert deliver(update()).result["outcome"] == "limited"
    assert rows("SELECT DISTINCT sync_status::text AS s FROM google_feed_products") == [{"s": "pending"}]
