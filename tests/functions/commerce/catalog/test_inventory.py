"""Stock of one item."""

from __future__ import annotations

from typing import Any

import pytest

from shared.events.catalog import ProductSyncOne
from shared.fakes.shopify import ShopifyFake
from shared.fakes.shopify.catalog import Catalog, location_node, product_node, variant_node
from shared.fakes.slack import SlackFake
from shared.jobs.testing import Bench, Deliver, Delivered, ManualClock
from tests.conftest import Rows

JOB = "commerce-inventory-update"
ITEM, VARIANT = "10000071", "71"
NOW = "2026-11-20T12:00:00Z"


def update(deliver: Deliver, expect: str = "succeeded", key: str | None = None, **payload: Any) -> Delivered:
    return deliver.job(JOB, payload, expect=expect, key=key)


def observe(deliver: Deliver, available: int | None, at: str = NOW, place: str = "1", **more: Any) -> Delivered:
    fields: dict[str, Any] = {"inventoryItemId": ITEM, "shopifyLocationId": place, "updatedAt": at, **more}
    if available is not None:
        fields["available"] = available
    return update(deliver, **fields)


@pytest.fixture
def mug(deliver: Deliver, catalog: Catalog) -> dict[str, Any]:
    """Product 7 with variant 71, 50 pieces at place 1, held here."""
    catalog.put(location_node(1))
    node = catalog.put(product_node(7, [variant_node(71)]))
    catalog.stock(int(ITEM), 1, 50, at="2026-11-20T10:00:00Z")
    deliver(ProductSyncOne(shopify_product_id="7"))
    update(deliver, inventoryItemId=ITEM)
    return node


def sell(rows: Rows, units: int) -> None:
    rows.execute(
        "INSERT INTO orders (id, shopify_id, order_number, order_placed_at)"
        " VALUES ('1', '1', '#1', '2026-11-10T00:00:00Z'), ('2', '2', '#2', '2026-09-10T00:00:00Z')"
    )
    rows.execute(
        "INSERT INTO order_line_items (order_shopify_id, product_id, variant_id, title, quantity)"
        " VALUES ('1', '7', '71', 'Mug', %s), ('2', '7', '71', 'Mug', 500)",
        (units,),
    )


def names(delivered: Delivered) -> list[str]:
    return [name for name, _ in delivered.emitted]


@pytest.mark.usefixtures("mug")
def test_the_limit_follows_the_sales_of_thirty_days(deliver: Deliver, rows: Rows) -> None:
    sell(rows, 45)
    told = []
    for minute, quantity in enumerate((22, 21, 25, 26)):
        done = observe(deliver, quantity, at=f"2026-11-20T12:0{minute}:00Z")
        told.append((quantity, done.result["stockState"], done.emitted))

    assert [(quantity, state) for quantity, state, _ in told] == [
        (22, "in_stock"), (21, "low"), (25, "low"), (26, "in_stock"),
    ]  # fmt: skip
    low = {"productId": "7", "variantId": "71", "sku": "SKU-71", "available": 21, "limit": 21, "daysLeft": 14}
    assert told[1][2] == [("inventory.lowStock", low)]
    assert told[3][2] == [
        ("inventory.restocked",
         {"productId": "7", "variantId": "71", "sku": "SKU-71", "available": 26, "previousState": "low"}),
    ]  # fmt: skip
    assert told[0][2] == told[2][2] == []


@pytest.mark.usefixtures("mug")
def test_two_places_are_added_up(deliver: Deliver, rows: Rows) -> None:
    observe(deliver, 5, place="1")
    observe(deliver, 7, place="2")

    done = observe(deliver, 0, place="1", at="2026-11-20T12:05:00Z")

    assert (done.result["previousQuantity"], done.result["newQuantity"]) == (12, 7)
    assert rows("SELECT inventory_quantity AS n, variants -> 0 -> 'inventory_quantity' AS shown FROM products") == [
        {"n": 7, "shown": 7}
    ]
    assert rows("SELECT p.xmin = v.xmin AS together FROM products p, product_variants v") == [{"together": True}]
    assert rows("SELECT name FROM inventory_locations WHERE shopify_location_id = '2'") == [{"name": "2"}]


@pytest.mark.usefixtures("mug")
def test_an_older_webhook_changes_nothing(deliver: Deliver, rows: Rows) -> None:
    observe(deliver, 5, at="2026-11-20T12:05:00Z")

    done = observe(deliver, 9, at="2026-11-20T12:00:00Z")

    assert (done.result["outcome"], done.result["newQuantity"]) == ("skipped_stale", 5)
    assert rows("SELECT available FROM inventory_levels") == [{"available": 5}]


@pytest.mark.usefixtures("mug")
def test_a_webhook_without_a_number_means_not_stocked_there(deliver: Deliver, rows: Rows) -> None:
    observe(deliver, 5, place="2")

    done = observe(deliver, None, at="2026-11-20T12:05:00Z", place="2")

    assert (done.result["outcome"], done.result["newQuantity"]) == ("observed", 50)
    assert rows("SELECT shopify_location_id FROM inventory_levels") == [{"shopify_location_id": "1"}]


@pytest.mark.usefixtures("mug")
def test_setting_names_what_was_read_and_happens_once(
    deliver: Deliver, catalog: Catalog, shopify: ShopifyFake, rows: Rows
) -> None:
    catalog.stock(int(ITEM), 1, 38)

    first = update(deliver, key="one", variantId=VARIANT, newQuantity=40, reason="restock")
    second = update(deliver, key="one", variantId=VARIANT, newQuantity=40, reason="restock", expect="duplicate")

    (asked,) = shopify.requests_of(operation="setQuantities")
    assert asked.variables["input"]["quantities"][0]["changeFromQuantity"] == 38
    assert len(catalog.idempotency) == 1
    assert catalog.levels[int(ITEM), 1]["available"] == 40
    assert (first.result["outcome"], first.result["newQuantity"]) == ("changed", 40)
    assert second.state == "duplicate"
    assert rows("SELECT * FROM catalog_sync_stage") == []


@pytest.mark.usefixtures("mug")
def test_a_crash_between_call_and_commit_changes_stock_once(
    deliver: Deliver, catalog: Catalog, shopify: ShopifyFake, bench: Bench, rows: Rows
) -> None:
    catalog.stock(int(ITEM), 1, 38)
    shopify.fail(500, match="query inventoryItem", count=1)
    update(deliver, variantId=VARIANT, newQuantity=40, expect="retrying")  # read before the call fails
    shopify.fail("cut", match="mutation setQuantities", count=1)
    deliver.again("catalog-sync", expect="retrying")
    set_once = catalog.levels[int(ITEM), 1]["available"]
    catalog.stock(int(ITEM), 1, set_once - 1)  # a sale in between

    done = deliver.again("catalog-sync")

    assert done.result["newQuantity"] == catalog.levels[int(ITEM), 1]["available"]
    assert len(catalog.idempotency) == 1


@pytest.mark.usefixtures("mug")
def test_adjusting_by_a_delta(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    done = update(deliver, inventoryItemId=ITEM, locationId="1", quantityAdjustment=-3)

    assert (done.result["previousQuantity"], done.result["newQuantity"]) == (50, 47)
    assert catalog.levels[int(ITEM), 1]["available"] == 47


@pytest.mark.usefixtures("mug")
def test_nothing_is_sent_when_the_stock_is_right(deliver: Deliver, catalog: Catalog, shopify: ShopifyFake) -> None:
    done = update(deliver, variantId=VARIANT, newQuantity=50)

    assert done.result["outcome"] == "unchanged"
    assert shopify.requests_of(operation="setQuantities") == []


@pytest.mark.usefixtures("mug")
def test_the_outcome_is_what_was_done_at_shopify(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.stock(int(ITEM), 1, 38)
    rows.execute("UPDATE inventory_levels SET available = 40")  # as if the webhook about it had come first

    changed = update(deliver, variantId=VARIANT, newQuantity=40)
    rows.execute("UPDATE inventory_levels SET available = 1")
    rows.execute("UPDATE catalog_sync_marks SET content_hash = NULL WHERE kind = 'inventory_level'")
    unchanged = update(deliver, variantId=VARIANT, newQuantity=40)

    assert [changed.result["outcome"], unchanged.result["outcome"]] == ["changed", "unchanged"]
    assert rows("SELECT available FROM inventory_levels") == [{"available": 40}]


@pytest.mark.usefixtures("mug")
def test_stock_that_moves_all_the_time_is_set_later(
    deliver: Deliver, catalog: Catalog, shopify: ShopifyFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    item, sold = catalog._item, iter(range(100))

    def selling(id: int, query: str | None) -> Any:
        node = item(id, query)  # read
        catalog.stock(int(ITEM), 1, 1000 + next(sold))  # and gone
        return node

    monkeypatch.setattr(catalog, "_item", selling)

    done = update(deliver, expect="retrying", variantId=VARIANT, newQuantity=40)

    assert done.code == "STOCK_CONTENDED"
    assert len(shopify.requests_of(operation="setQuantities")) == 3


@pytest.mark.usefixtures("mug")
@pytest.mark.parametrize(
    "fields",
    [{"quantityAdjustment": -3, "newQuantity": 5}, {"available": 3, "newQuantity": 5}],
)
def test_two_quantities_are_ambiguous(deliver: Deliver, shopify: ShopifyFake, fields: dict[str, Any]) -> None:
    asked = len(shopify.requests_of())

    done = update(deliver, expect="dead", inventoryItemId=ITEM, shopifyLocationId="1", **fields)

    assert done.code == "AMBIGUOUS_QUANTITY"
    assert len(shopify.requests_of()) == asked


@pytest.mark.usefixtures("feed", "mug")
def test_sold_out_is_told_once(deliver: Deliver) -> None:
    observe(deliver, 1)

    done = observe(deliver, 0, at="2026-11-20T12:05:00Z")

    assert names(done) == ["inventory.outOfStock", "googleFeed.productUpdate"]
    assert done.emitted[1][1] == {"productId": "7", "variantId": "71", "action": "update"}


@pytest.mark.usefixtures("mug")
def test_a_first_judgement_tells_nobody(deliver: Deliver, rows: Rows) -> None:
    rows.execute("UPDATE product_variants SET stock_state = NULL")

    done = observe(deliver, 0)

    assert (done.result["stockState"], done.emitted) == ("out", [])


@pytest.mark.usefixtures("mug")
def test_a_variant_that_continues_selling_is_never_out(deliver: Deliver, rows: Rows) -> None:
    rows.execute("UPDATE product_variants SET inventory_policy = 'continue'")

    assert observe(deliver, -2).result["stockState"] == "low"


def test_an_unknown_item_asks_for_its_product(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(product_node(7, [variant_node(71)]))

    done = observe(deliver, 5)

    assert done.result["outcome"] == "unknown_item"
    assert done.emitted == [("product.syncOne", {"shopifyProductId": "7", "action": "update", "source": "job"})]
    assert rows("SELECT * FROM inventory_levels") == []


def test_a_change_of_an_unknown_item_is_permanent(deliver: Deliver, catalog: Catalog) -> None:
    assert update(deliver, expect="dead", variantId="999", newQuantity=1).code == "INVENTORY_ITEM_UNKNOWN"


@pytest.mark.usefixtures("mug")
def test_without_a_place_there_must_be_only_one(deliver: Deliver, rows: Rows) -> None:
    rows.execute("INSERT INTO inventory_locations (shopify_location_id, name) VALUES ('2', 'two')")

    assert update(deliver, expect="dead", variantId=VARIANT, newQuantity=1).code == "LOCATION_REQUIRED"


@pytest.mark.usefixtures("mug")
def test_refresh_takes_over_all_levels(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    observe(deliver, 4, place="3", at="2026-11-20T11:00:00Z")
    catalog.put(location_node(2))
    catalog.stock(int(ITEM), 2, 8, on_hand=9, committed=1)

    done = update(deliver, shopifyVariantId=f"gid://shopify/ProductVariant/{VARIANT}")

    assert (done.result["outcome"], done.result["newQuantity"]) == ("refreshed", 58)
    assert rows("SELECT shopify_location_id AS id, on_hand, committed FROM inventory_levels ORDER BY 1") == [
        {"id": "1", "on_hand": 50, "committed": 0},
        {"id": "2", "on_hand": 9, "committed": 1},
    ]


@pytest.mark.usefixtures("mug")
def test_places_beyond_the_first_hundred_keep_their_levels(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    for place in range(1, 102):
        catalog.put(location_node(place))
        catalog.stock(int(ITEM), place, 1)
    observe(deliver, 7, place="101")

    update(deliver, inventoryItemId=ITEM)

    assert rows("SELECT count(*) AS places, sum(available) AS n FROM inventory_levels") == [{"places": 101, "n": 107}]


@pytest.mark.usefixtures("mug")
def test_slack_is_told_at_once_and_not_again(
    deliver: Deliver, rows: Rows, slack: SlackFake, clock: ManualClock
) -> None:
    rows.execute(
        "INSERT INTO analytics_slack_alerts (alert_type, channel_id, config, created_at)"
        """ VALUES ('low_stock', 'C00000001', '{"frequency": "realtime"}', '2026-11-01')"""
    )

    observe(deliver, 3)
    clock.advance(s=60)
    observe(deliver, 2, at="2026-11-20T12:05:00Z")

    (posted,) = slack.posted("C00000001")
    assert posted.text == "*Low stock: 1 variant*\n• Product 7 / Variant 71 (SKU-71): 3 left"


@pytest.mark.usefixtures("mug")
def test_outside_business_hours_the_message_waits(
    deliver: Deliver, rows: Rows, slack: SlackFake, clock: ManualClock
) -> None:
    hours = '{"businessHoursOnly": true, "businessHoursStart": "13:00", "businessHoursEnd": "17:00"}'
    rows.execute(
        "INSERT INTO analytics_slack_alerts (alert_type, channel_id, config, created_at)"
        " VALUES ('out_of_stock', 'C00000001', %s, '2026-11-01')",
        (hours,),
    )

    observe(deliver, 0)
    before = len(slack.posted())
    clock.advance(s=3600)
    observe(deliver, -1, at="2026-11-20T13:00:00Z")

    assert (before, len(slack.posted())) == (0, 1)
