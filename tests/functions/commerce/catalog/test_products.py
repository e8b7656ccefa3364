"""One product at a time."""

from __future__ import annotations

from typing import Any

import pytest

from shared.events.catalog import ProductSyncOne
from shared.fakes.shopify import ShopifyFake
from shared.fakes.shopify.catalog import Catalog, product_node, variant_node
from shared.fakes.slack import SlackFake
from shared.jobs.testing import Bench, Deliver, Delivered, ManualClock
from tests.conftest import Rows

LATER = "2026-11-20T11:00:00Z"


def sync(deliver: Deliver, id: int = 7, **fields: Any) -> Delivered:
    expect = fields.pop("expect", "succeeded")
    return deliver(ProductSyncOne(shopify_product_id=str(id), **fields), expect=expect)


def sell(rows: Rows, units: int) -> None:
    rows.execute(
        "INSERT INTO orders (id, shopify_id, order_number, order_placed_at)"
        " VALUES ('1', '1', '#1', '2026-11-10T00:00:00Z')"
    )
    rows.execute(
        "INSERT INTO order_line_items (order_shopify_id, product_id, variant_id, title, quantity)"
        " VALUES ('1', '7', '71', 'Mug', %s)",
        (units,),
    )


def shirt(**fields: Any) -> dict[str, Any]:
    variants = [
        variant_node(71, "19.99", compareAtPrice="25.00", cost="8.125"),
        variant_node(72, "24.50", compareAtPrice="30.00"),
        variant_node(73, "19.99"),
    ]
    return product_node(7, fields.pop("variants", variants), **fields)


def test_a_new_product_with_three_variants(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(shirt())

    done = deliver(ProductSyncOne(shopify_product_id="gid://shopify/Product/7"))

    assert done.result == {"outcome": "created", "variants": 3, "variantsRemoved": 0}
    (product,) = rows("SELECT * FROM products")
    assert (product["id"], product["shopify_product_id"]) == ("product-7", "7")
    assert (product["price_cents"], product["compare_at_price_cents"], product["currency"]) == (1999, 2500, "USD")
    assert (product["inventory_quantity"], product["status"], product["tags"]) == (150, "active", ["a", "b"])
    assert product["images"][0]["altText"] == "front"
    assert [v["id"] for v in product["variants"]] == [f"gid://shopify/ProductVariant/{n}" for n in (71, 72, 73)]
    variants = rows("SELECT * FROM product_variants ORDER BY position")
    assert [(v["shopify_variant_id"], v["product_id"], v["inventory_item_id"]) for v in variants] == [
        (str(n), "product-7", str(n + 10_000_000)) for n in (71, 72, 73)
    ]
    assert (variants[0]["unit_cost_cents"], str(variants[0]["weight_grams"])) == (813, "500.000")
    assert rows("SELECT last_sync_at FROM shopify_connections")[0]["last_sync_at"] is not None


def test_text_that_the_database_refuses_loses_only_what_it_refuses(
    deliver: Deliver, catalog: Catalog, rows: Rows
) -> None:
    catalog.put(shirt(title="nul \0, half \ud83d, typed \\u0000"))

    sync(deliver)

    assert rows("SELECT title FROM products") == [{"title": "nul , half , typed \\u0000"}]


def test_260_variants_take_two_requests(deliver: Deliver, catalog: Catalog, rows: Rows, shopify: ShopifyFake) -> None:
    catalog.put(product_node(7, [variant_node(1000 + n) for n in range(260)]))

    done = sync(deliver)

    assert done.result["variants"] == 260
    assert [r.operation for r in shopify.requests_of()] == ["product", "moreVariants"]
    assert shopify.requests_of()[1].variables["first"] == 250
    stored = rows("SELECT shopify_variant_id FROM product_variants ORDER BY position")
    assert [row["shopify_variant_id"] for row in stored] == [str(1000 + n) for n in range(260)]


def test_an_older_message_asks_nobody(deliver: Deliver, catalog: Catalog, rows: Rows, shopify: ShopifyFake) -> None:
    rows.execute(
        "INSERT INTO catalog_sync_marks (kind, external_id, vendor_updated_at)"
        " VALUES ('product', '7', '2026-11-20T10:00:05Z')"
    )

    done = deliver.job("commerce-product-sync", {"shopifyProductId": 7, "updatedAt": "2026-11-20T10:00:00Z"})

    assert done.result["outcome"] == "skipped_stale"
    assert shopify.requests_of() == []


@pytest.mark.usefixtures("feed")
def test_the_same_answer_twice_writes_nothing(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(shirt())
    first = sync(deliver)
    before = rows("SELECT updated_at, synced_at FROM products")

    done = sync(deliver)

    assert first.emitted == [("googleFeed.productUpdate", {"productId": "7", "action": "update"})]
    assert done.result["outcome"] == "unchanged"
    assert done.emitted == []
    assert rows("SELECT updated_at, synced_at FROM products") == before


@pytest.mark.usefixtures("feed")
def test_a_product_that_is_gone_is_archived(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(shirt())
    sync(deliver)
    rows.execute(
        "INSERT INTO shopify_collections (id, title, handle, collection_type) VALUES ('5', 'S', 's', 'manual')"
    )
    rows.execute("INSERT INTO shopify_collection_products VALUES ('5', '7', 1)")
    catalog.remove("Product", 7)

    done = sync(deliver)

    assert done.result == {"outcome": "deleted", "variants": 0, "variantsRemoved": 3}
    (product,) = rows("SELECT status::text, platform_data FROM products")
    assert product["status"] == "archived"
    assert product["platform_data"]["deletedAt"]
    assert rows("SELECT * FROM product_variants") == rows("SELECT * FROM shopify_collection_products") == []
    assert done.emitted == [("googleFeed.productUpdate", {"productId": "7", "action": "delete"})]


def test_a_deletion_asks_nobody_unless_the_mark_is_newer(
    deliver: Deliver, catalog: Catalog, rows: Rows, shopify: ShopifyFake
) -> None:
    catalog.put(shirt(updatedAt=LATER))
    sync(deliver)
    asked = len(shopify.requests_of())

    recreated = deliver.job(
        "commerce-product-sync", {"shopifyProductId": "7", "action": "delete", "updatedAt": "2026-11-20T10:30:00Z"}
    )
    deleted = deliver.job("commerce-product-sync", {"shopifyProductId": "7", "action": "delete"})

    assert recreated.result["outcome"] == "unchanged"
    assert deleted.result["outcome"] == "deleted"
    assert len(shopify.requests_of()) == asked + 1


def test_a_restored_product_is_live_again(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(shirt())
    sync(deliver)
    sync(deliver, action="delete")

    done = sync(deliver)

    assert done.result["outcome"] == "updated"
    assert rows("SELECT status::text, platform_data ? 'deletedAt' AS gone FROM products") == [
        {"status": "active", "gone": False}
    ]
    assert rows("SELECT count(*) AS n FROM product_variants") == [{"n": 3}]


def test_a_price_between_cents_is_rounded_half_up(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(shirt(variants=[variant_node(71, "10.005")]))

    sync(deliver)

    assert rows("SELECT price_cents FROM products") == [{"price_cents": 1001}]


def test_a_variant_that_is_gone_is_removed(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(shirt())
    sync(deliver)
    catalog.put(shirt(variants=[variant_node(72, "24.50")], updatedAt=LATER))

    done = sync(deliver)

    assert done.result == {"outcome": "updated", "variants": 1, "variantsRemoved": 2}
    assert rows("SELECT shopify_variant_id FROM product_variants") == [{"shopify_variant_id": "72"}]


def test_a_taken_handle_gives_way_to_the_legacy_id(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    rows.execute("INSERT INTO products (id, title) VALUES ('product-7', 'an older one')")
    catalog.put(shirt())

    sync(deliver)

    assert rows("SELECT id FROM products WHERE shopify_product_id = '7'") == [{"id": "7"}]


def test_an_existing_row_keeps_its_id_whatever_the_handle(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(shirt())
    sync(deliver)
    catalog.put(shirt(handle="another", updatedAt=LATER))

    deliver(ProductSyncOne(product_id="product-7"))

    assert rows("SELECT id, handle FROM products") == [{"id": "product-7", "handle": "another"}]


def test_an_unlisted_product_is_active_and_marked(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(shirt(status="UNLISTED"))

    sync(deliver)

    assert rows("SELECT status::text, platform_data -> 'unlisted' AS unlisted FROM products") == [
        {"status": "active", "unlisted": True}
    ]


@pytest.mark.usefixtures("feed")
def test_what_the_feed_does_not_show_is_not_told(deliver: Deliver, catalog: Catalog) -> None:
    catalog.put(shirt())
    sync(deliver)
    catalog.put(shirt(seo={"title": "For engines", "description": None}, updatedAt=LATER))

    assert sync(deliver).emitted == []


def test_a_sale_is_judged_and_told_apps(deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock) -> None:
    catalog.put(shirt())
    first = sync(deliver)
    catalog.put(shirt(variants=[variant_node(71, inventoryQuantity=3), variant_node(72), variant_node(73)]))
    clock.advance(s=1)

    done = sync(deliver)

    assert first.emitted == []
    assert done.result["outcome"] == "updated"  # the prices of the other variants
    assert done.emitted == [
        ("inventory.lowStock", {"productId": "7", "variantId": "71", "sku": "SKU-71", "available": 3, "limit": 10})
    ]
    assert rows("SELECT inventory_quantity, variants -> 0 ->> 'inventory_quantity' AS shown FROM products") == [
        {"inventory_quantity": 103, "shown": "3"}
    ]


def test_tracking_that_is_switched_is_no_news(deliver: Deliver, catalog: Catalog, rows: Rows, slack: SlackFake) -> None:
    rows.execute(
        "INSERT INTO analytics_slack_alerts (alert_type, channel_id, created_at)"
        " VALUES ('low_stock', 'C00000001', '2026-11-01'), ('reorder_needed', 'C00000001', '2026-11-01')"
    )
    sell(rows, 30)
    catalog.put(product_node(7, [variant_node(71, inventoryQuantity=3, tracked=False)]))
    sync(deliver)
    told = []
    for minute, tracked in ((1, True), (2, False), (3, True)):
        at = f"2026-11-20T11:0{minute}:00Z"
        catalog.put(product_node(7, [variant_node(71, inventoryQuantity=3, tracked=tracked)], updatedAt=at))
        told.append(sync(deliver).emitted)

    assert told == [[], [], []]
    assert slack.posted() == []
    assert rows("SELECT stock_state, stock_state_at FROM product_variants") == [
        {"stock_state": "low", "stock_state_at": None}
    ]


def test_nobody_is_told_of_stock_who_does_not_want_it(
    deliver: Deliver, catalog: Catalog, rows: Rows, slack: SlackFake
) -> None:
    rows.execute("""INSERT INTO tenant_config (key, value) VALUES ('inventory.low_stock', '{"enabled": false}')""")
    rows.execute(
        "INSERT INTO analytics_slack_alerts (alert_type, channel_id, created_at)"
        " VALUES ('out_of_stock', 'C00000001', '2026-11-01')"
    )
    catalog.put(product_node(7, [variant_node(71)]))
    sync(deliver)
    catalog.put(product_node(7, [variant_node(71, inventoryQuantity=0)]))

    done = sync(deliver)

    assert (done.emitted, slack.posted()) == ([], [])
    assert rows("SELECT stock_state FROM product_variants") == [{"stock_state": "out"}]


def test_unlimited_stock_of_many_variants_is_capped(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    unlimited = [variant_node(id, inventoryQuantity=1_000_000_000) for id in (71, 72, 73)]
    catalog.put(product_node(7, unlimited))
    sync(deliver)
    first = rows("SELECT inventory_quantity AS n FROM products")
    catalog.put(product_node(7, [{**unlimited[0], "inventoryQuantity": 999_999_999}, *unlimited[1:]]))

    sync(deliver)

    assert first == rows("SELECT inventory_quantity AS n FROM products") == [{"n": 2_147_483_647}]


@pytest.mark.parametrize(
    ("trouble", "attempts"),
    [("UPDATE tenant_slack_workspaces SET bot_token_encrypted = 'unreadable'", 1), (None, 5)],
    ids=["a token that cannot be read", "nobody listens"],
)
def test_a_slack_that_cannot_be_reached_ends_no_run(
    deliver: Deliver, bench: Bench, catalog: Catalog, rows: Rows, slack: SlackFake, trouble: str | None, attempts: int
) -> None:
    rows.execute(
        "INSERT INTO analytics_slack_alerts (alert_type, channel_id, created_at)"
        " VALUES ('out_of_stock', 'C00000001', '2026-11-01')"
    )
    catalog.put(product_node(7, [variant_node(71), variant_node(72)]))
    sync(deliver)
    catalog.put(product_node(7, [variant_node(71, inventoryQuantity=0), variant_node(72)]))
    (workspace,) = rows("SELECT bot_token_encrypted AS token FROM tenant_slack_workspaces")
    if trouble:
        rows.execute(trouble)
    else:
        bench.settings["SLACK_BASE_URL"] = "http://127.0.0.1:9"

    sync(deliver, expect="succeeded" if attempts == 1 else "retrying")
    later = [done for done in bench.drain() if done.job == "commerce-product-sync"]
    untold = (len(slack.posted()), rows("SELECT last_triggered_at FROM analytics_slack_alerts"))
    rows.execute("UPDATE tenant_slack_workspaces SET bot_token_encrypted = %s", (workspace["token"],))
    bench.settings["SLACK_BASE_URL"] = slack.base_url
    sync(deliver)

    assert len(later) == attempts - 1
    assert {done.state for done in later[-1:]} <= {"succeeded"}
    assert untold == (0, [{"last_triggered_at": None}])
    (posted,) = slack.posted()
    assert posted.text.startswith("*Out of stock: 1 variant*")


def test_a_changed_quantity_alone_leaves_the_product_unchanged(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(product_node(7, [variant_node(71)]))
    sync(deliver)
    catalog.put(product_node(7, [variant_node(71, inventoryQuantity=0)]))

    done = sync(deliver)

    assert done.result["outcome"] == "unchanged"
    assert [name for name, _ in done.emitted] == ["inventory.outOfStock"]
    assert rows("SELECT inventory_quantity FROM products") == [{"inventory_quantity": 0}]


def test_levels_win_over_the_products_number(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(product_node(7, [variant_node(71)]))
    rows.execute("INSERT INTO inventory_locations (shopify_location_id, name) VALUES ('1', 'one'), ('2', 'two')")
    rows.execute(
        "INSERT INTO inventory_levels (inventory_item_id, shopify_location_id, available)"
        " VALUES ('10000071', '1', 5), ('10000071', '2', 7)"
    )

    sync(deliver)

    assert rows("SELECT p.inventory_quantity AS p, v.inventory_quantity AS v FROM products p, product_variants v") == [
        {"p": 12, "v": 12}
    ]
    assert rows("SELECT variants -> 0 -> 'inventory_quantity' AS n FROM products") == [{"n": 12}]


@pytest.mark.parametrize(
    ("payload", "code"),
    [({}, "INVALID_PAYLOAD"), ({"productId": "no-such-handle"}, "PRODUCT_ID_UNKNOWN")],
)
def test_a_message_that_names_no_product_is_dead(
    deliver: Deliver, catalog: Catalog, payload: dict[str, Any], code: str
) -> None:
    assert deliver.job("commerce-product-sync", payload, expect="dead").code == code


def test_unknown_here_and_there_is_not_found(deliver: Deliver, catalog: Catalog) -> None:
    assert sync(deliver, 999).result["outcome"] == "not_found"


def test_a_missing_scope_is_permanent(deliver: Deliver, catalog: Catalog, shopify: ShopifyFake) -> None:
    shopify.fail("access_denied")

    assert sync(deliver, expect="dead").code == "SHOPIFY_SCOPE_MISSING"
