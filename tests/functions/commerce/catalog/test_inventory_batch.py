"""Stock of all places."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from shared.events.catalog import InventorySync, InventorySyncBatch, ProductSyncBatch
from shared.fakes.shopify import ShopifyFake
from shared.fakes.shopify.catalog import Catalog, location_node, product_node, variant_node
from shared.fakes.slack import SlackFake
from shared.jobs.testing import Bench, Deliver, Delivered, ManualClock
from tests.conftest import Rows

JOB = "commerce-inventory-batch-sync"
OLD = "2026-11-20T10:00:00Z"


def item(id: int) -> int:
    return id * 10 + 10_000_000


def stocked(catalog: Catalog, deliver: Deliver, count: int, places: Iterable[int] = (1, 2)) -> None:
    """Products 1..count with one variant each, held here; 50 pieces of each at each place."""
    for place in places:
        catalog.put(location_node(place))
    for id in range(1, count + 1):
        catalog.put(product_node(id, [variant_node(id * 10)]))
        for place in places:
            catalog.stock(item(id), place, 50, at=OLD)
    for first in range(1, count + 1, 1000):
        ids = [str(id) for id in range(first, min(first + 1000, count + 1))]
        deliver(ProductSyncBatch(shopify_product_ids=ids))


def delta(deliver: Deliver, clock: ManualClock, expect: str = "succeeded", **fields: Any) -> Delivered:
    clock.advance(s=61)
    return deliver(InventorySyncBatch(**fields), expect=expect)


def full(deliver: Deliver, bench: Bench, clock: ManualClock) -> list[Delivered]:
    first = delta(deliver, clock, full_sync=True)
    return [first, *(each for each in bench.drain(horizon_s=86_400) if each.job == JOB)]


def names(delivered: Delivered) -> list[str]:
    return [name for name, _ in delivered.emitted]


def run_of(rows: Rows) -> dict[str, Any]:
    return rows("SELECT * FROM catalog_sync_runs WHERE kind = 'inventory' ORDER BY started_at DESC LIMIT 1")[0]


def test_changed_levels_are_read_place_by_place(
    deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock, shopify: ShopifyFake
) -> None:
    stocked(catalog, deliver, 300)
    delta(deliver, clock)
    clock.advance(s=3600)
    for id in range(1, 301):
        catalog.stock(item(id), 1, 40)
    for id in range(1, 41):
        catalog.stock(item(id), 2, 5)
    asked = len(shopify.requests_of())

    done = delta(deliver, clock)

    pages = [request for request in shopify.requests_of()[asked:] if request.operation == "locationLevels"]
    assert len(pages) == 3
    assert pages[0].variables["query"].startswith("updated_at:>='2026-11-20T11:51:")
    assert (done.result["levels"], done.result["changed"], done.result["mode"]) == (340, 340, "delta")
    # The marks are written once per page, and nothing touches them afterwards.
    assert rows("SELECT count(DISTINCT xmin::text) AS n FROM catalog_sync_marks WHERE kind = 'inventory_level'"
                " AND checked_at = %s", (clock.now(),)) == [{"n": 3}]  # fmt: skip
    assert rows("SELECT inventory_quantity AS n FROM product_variants WHERE shopify_variant_id IN ('10', '3000')"
                " ORDER BY 1") == [{"n": 45}, {"n": 90}]  # fmt: skip


def test_sales_are_asked_for_once(
    deliver: Deliver, catalog: Catalog, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    stocked(catalog, deliver, 30)
    delta(deliver, clock)
    for id in range(1, 31):
        catalog.stock(item(id), 1, 4)
        catalog.stock(item(id), 2, 4)
    asked: list[str] = []
    execute = psycopg.Cursor.execute

    def counted(self: Any, query: Any, *more: Any, **options: Any) -> Any:
        asked.append(str(query))
        return execute(self, query, *more, **options)

    monkeypatch.setattr(psycopg.Cursor, "execute", counted)
    done = delta(deliver, clock)

    assert done.result["low"] == 30
    assert len([query for query in asked if "order_line_items" in query]) == 1


def test_a_throttled_page_waits_and_asks_again(
    deliver: Deliver, catalog: Catalog, clock: ManualClock, shopify: ShopifyFake
) -> None:
    stocked(catalog, deliver, 1)
    shopify.fail("throttled", requested=320, available=120, match="query locationLevels")
    slept = clock.slept_s

    done = delta(deliver, clock)

    assert (done.attempt, done.result["outcome"]) == (1, "completed")
    assert clock.slept_s - slept == 2.0


def test_a_level_that_is_gone_is_no_stock(
    deliver: Deliver, bench: Bench, catalog: Catalog, rows: Rows, clock: ManualClock, shopify: ShopifyFake
) -> None:
    stocked(catalog, deliver, 3)
    full(deliver, bench, clock)
    catalog.stock(item(2), 2, None)

    done = full(deliver, bench, clock)

    assert len(shopify.requests_of(operation="bulkStart")) == 2
    assert done[-1].result["removed"] == 1
    assert rows("SELECT inventory_quantity AS n FROM product_variants ORDER BY shopify_variant_id") == [
        {"n": 100}, {"n": 50}, {"n": 100},
    ]  # fmt: skip
    assert rows("SELECT count(*) AS n FROM inventory_levels") == [{"n": 5}]
    assert rows("SELECT count(*) AS n FROM catalog_sync_marks WHERE kind = 'inventory_level'") == [{"n": 5}]
    assert rows("SELECT count(*) AS n FROM catalog_sync_stage") == [{"n": 0}]


def test_a_small_shop_with_one_place_is_read_by_pages(
    deliver: Deliver, bench: Bench, catalog: Catalog, rows: Rows, clock: ManualClock, shopify: ShopifyFake
) -> None:
    stocked(catalog, deliver, 3, places=(1,))
    full(deliver, bench, clock)
    catalog.stock(item(2), 1, None)

    done = full(deliver, bench, clock)

    assert shopify.requests_of(operation="bulkStart") == []
    assert (done[-1].result["mode"], done[-1].result["removed"]) == ("full", 1)


@pytest.mark.parametrize("by_entry", [True, False])
def test_a_page_that_fails_is_read_again(
    deliver: Deliver,
    bench: Bench,
    catalog: Catalog,
    rows: Rows,
    clock: ManualClock,
    shopify: ShopifyFake,
    by_entry: bool,
) -> None:
    stocked(catalog, deliver, 300, places=(1,))
    delta(deliver, clock)
    clock.advance(s=61)
    shopify.fail(500, match="query locationLevels", skip=1)  # page two

    bench.publish(InventorySync(full_sync=True) if by_entry else InventorySyncBatch(full_sync=True), "acme")
    done = [each for each in bench.drain(horizon_s=3600) if each.job == JOB]

    assert [each.state for each in done] == ["retrying", "succeeded", "succeeded"]
    assert (run_of(rows)["mode"], run_of(rows)["status"], run_of(rows)["merged_count"]) == ("full", "completed", 300)


@pytest.mark.usefixtures("feed")
@pytest.mark.parametrize(("count", "told"), [(199, ["googleFeed.productUpdate"] * 199), (250, ["googleFeed.sync"])])
def test_the_feed_is_told_of_sellability(
    deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock, count: int, told: list[str]
) -> None:
    stocked(catalog, deliver, count, places=(1,))
    delta(deliver, clock)
    for id in range(1, count + 1):
        catalog.stock(item(id), 1, 0)

    done = delta(deliver, clock)

    assert [name for name in names(done) if name.startswith("googleFeed")] == told
    assert names(done).count("inventory.outOfStock") == count
    assert done.result["out"] == count


def test_one_slack_message_names_twenty(
    deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock, slack: SlackFake
) -> None:
    stocked(catalog, deliver, 30, places=(1,))
    delta(deliver, clock)
    rows.execute(
        "INSERT INTO analytics_slack_alerts (alert_type, channel_id, config, created_at)"
        """ VALUES ('low_stock', 'C00000001', '{"frequency": "realtime"}', '2026-11-01')"""
    )
    for id in range(1, 31):
        catalog.stock(item(id), 1, id % 9 + 1)

    done = delta(deliver, clock)
    again = delta(deliver, clock)

    (posted,) = slack.posted("C00000001")
    lines = posted.text.splitlines()
    assert (lines[0], lines[-1], len(lines)) == ("*Low stock: 30 variants*", "and 10 more", 22)
    assert lines[1].endswith(": 1 left")
    assert (done.result["low"], again.result["low"]) == (30, 0)


def test_unknown_items_are_asked_for_once(deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock) -> None:
    stocked(catalog, deliver, 2)
    catalog.put(product_node(9, [variant_node(90), variant_node(91)]))
    catalog.stock(10_000_090, 1, 3)
    catalog.stock(10_000_091, 1, 3)

    done = delta(deliver, clock)

    assert done.result["unknownItems"] == 2
    asked = [payload for name, payload in done.emitted if name == "product.syncBatch"]
    assert asked == [{"shopifyProductIds": ["9"]}]


def test_lost_webhooks_are_counted_and_logged(
    deliver: Deliver, bench: Bench, catalog: Catalog, rows: Rows, clock: ManualClock, caplog: pytest.LogCaptureFixture
) -> None:
    stocked(catalog, deliver, 30)
    delta(deliver, clock)
    rows.execute("UPDATE catalog_sync_marks SET content_hash = 'another' WHERE kind = 'inventory_level'")
    rows.execute("UPDATE inventory_levels SET available = 1 WHERE shopify_location_id = '1'")

    with caplog.at_level(logging.WARNING):
        done = full(deliver, bench, clock)

    assert done[-1].result["differences"] == 30
    assert "30 of 60 levels differed" in caplog.text


def test_one_place_only(deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock) -> None:
    stocked(catalog, deliver, 2)

    done = delta(deliver, clock, location_id="2")
    unknown = delta(deliver, clock, location_id="77", expect="dead")

    assert done.result["levels"] == 2
    assert rows("SELECT DISTINCT shopify_location_id AS id FROM inventory_levels") == [{"id": "2"}]
    assert unknown.code == "LOCATION_NOT_FOUND"


def test_places_are_named_and_gone_ones_become_inactive(
    deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock
) -> None:
    stocked(catalog, deliver, 1)
    rows.execute("INSERT INTO inventory_locations (shopify_location_id, name) VALUES ('1', '1'), ('9', '9')")
    catalog.put(location_node(2, isActive=False))

    delta(deliver, clock)

    assert rows("SELECT shopify_location_id AS id, name, is_active FROM inventory_locations ORDER BY 1") == [
        {"id": "1", "name": "Place 1", "is_active": True},
        {"id": "2", "name": "Place 2", "is_active": False},
        {"id": "9", "name": "9", "is_active": False},
    ]


def test_products_by_list(deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock) -> None:
    stocked(catalog, deliver, 3)
    catalog.stock(item(2), 1, 2)

    done = delta(deliver, clock, product_ids=["product-1", "2"])

    assert (done.result["mode"], done.result["levels"]) == ("list", 4)
    assert rows("SELECT inventory_quantity AS n FROM product_variants WHERE shopify_variant_id = '20'") == [{"n": 52}]


def test_an_hourly_feed_is_sent_when_it_is_due(
    deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock
) -> None:
    stocked(catalog, deliver, 1)
    rows.execute(
        "INSERT INTO google_feed_settings (is_connected, update_frequency, next_sync_at)"
        " VALUES (true, 'hourly', '2026-11-20T11:00:00Z')"
    )

    done = delta(deliver, clock)

    assert done.emitted[-1][0] == "googleFeed.sync"
    assert done.emitted[-1][1]["triggeredBy"] == "schedule"


def test_too_many_products_and_unknown_runs(deliver: Deliver, catalog: Catalog, clock: ManualClock) -> None:
    many = delta(deliver, clock, product_ids=[str(n) for n in range(501)], expect="dead")
    unknown = delta(deliver, clock, sync_run_id=uuid4(), step="load", expect="dead")

    assert (many.code, unknown.code) == ("TOO_MANY_IDS", "SYNC_RUN_NOT_FOUND")


def test_everything_at_one_place_is_read_whatever_was_read_before(
    deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock, shopify: ShopifyFake
) -> None:
    stocked(catalog, deliver, 2)
    delta(deliver, clock)
    clock.advance(s=3600)

    done = delta(deliver, clock, location_id="2", full_sync=True)

    assert (done.result["mode"], done.result["levels"]) == ("delta", 2)
    assert shopify.requests_of(operation="locationLevels")[-1].variables["query"] is None


@pytest.mark.usefixtures("feed")
def test_a_place_that_closes_takes_its_stock_along(
    deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock
) -> None:
    stocked(catalog, deliver, 3)
    delta(deliver, clock)
    clock.advance(s=3600)
    for id in (1, 2):
        catalog.stock(item(id), 1, 0, at="2026-11-20T13:00:00Z")
    delta(deliver, clock)
    clock.advance(s=3600)
    catalog.put(location_node(2, isActive=False))

    done = delta(deliver, clock)
    again = delta(deliver, clock)
    catalog.put(location_node(2))
    opened = delta(deliver, clock)

    quantities = "SELECT inventory_quantity AS n FROM product_variants ORDER BY shopify_variant_id"
    assert sorted(names(done)) == ["googleFeed.productUpdate"] * 2 + ["inventory.outOfStock"] * 2
    assert again.emitted == []
    assert sorted(names(opened)) == ["googleFeed.productUpdate"] * 2 + ["inventory.restocked"] * 2
    assert [row["n"] for row in rows(quantities)] == [50, 50, 100]
    assert rows("SELECT count(*) AS n FROM catalog_sync_stage") == [{"n": 0}]


@pytest.mark.usefixtures("feed")
def test_the_feed_is_told_although_slack_is_down(
    deliver: Deliver, bench: Bench, catalog: Catalog, rows: Rows, clock: ManualClock, slack: SlackFake
) -> None:
    stocked(catalog, deliver, 2, places=(1,))
    delta(deliver, clock)
    rows.execute(
        "INSERT INTO analytics_slack_alerts (alert_type, channel_id, created_at)"
        " VALUES ('out_of_stock', 'C00000001', '2026-11-01')"
    )
    catalog.stock(item(1), 1, 0)
    slack.fail("503")

    first = delta(deliver, clock, expect="retrying")
    second = [done for done in bench.drain() if done.job == JOB][-1]

    assert sorted(names(first)) == ["googleFeed.productUpdate", "inventory.outOfStock"]
    assert (second.result["outcome"], names(second)) == ("completed", [])
    assert len(slack.posted()) == 1


def test_more_unknown_items_than_a_message_holds_are_asked_for_in_several(
    deliver: Deliver, catalog: Catalog, clock: ManualClock
) -> None:
    catalog.put(location_node(1))
    for id in range(1, 1202):
        catalog.put(product_node(id, [variant_node(id * 10)]))
        catalog.stock(item(id), 1, 3)

    done = delta(deliver, clock)

    asked = [payload["shopifyProductIds"] for name, payload in done.emitted if name == "product.syncBatch"]
    assert [len(ids) for ids in asked] == [1000, 201]
    assert len({id for ids in asked for id in ids}) == 1201


def test_a_run_whose_beginning_fails_stands_in_nobodys_way(
    deliver: Deliver, bench: Bench, catalog: Catalog, rows: Rows, clock: ManualClock, shopify: ShopifyFake
) -> None:
    stocked(catalog, deliver, 1)
    id = deliver(InventorySync(full_sync=True)).result["runId"]
    shopify.fail(500, 3, match="query locations")

    done = [each for each in bench.drain(horizon_s=3600) if each.job == JOB]

    assert [each.state for each in done] == ["retrying", "retrying", "dead"]
    assert (str(run_of(rows)["id"]), run_of(rows)["status"]) == (id, "failed")


def test_a_run_that_has_ended_is_not_ended_again(
    deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock
) -> None:
    stocked(catalog, deliver, 1)
    delta(deliver, clock)
    ended = run_of(rows)

    done = delta(deliver, clock, sync_run_id=ended["id"], step="start")

    assert done.result["outcome"] == "already_past"
    assert run_of(rows) == ended
