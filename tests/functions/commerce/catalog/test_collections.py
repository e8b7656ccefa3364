"""Collections, and who is in them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from shared.events.catalog import CollectionProductsSync, CollectionSync
from shared.fakes.shopify import ShopifyFake
from shared.fakes.shopify.catalog import Catalog, collection_node, product_node
from shared.jobs.testing import Bench, Deliver, Delivered, ManualClock
from tests.conftest import Rows

LATER = "2026-11-20T11:00:00Z"
QUEUE = "catalog-sync-bulk"


def full(deliver: Deliver, clock: ManualClock, **more: Any) -> Delivered:
    clock.advance(s=60)
    return deliver(CollectionSync(full_sync=True, source="schedule"), **more)


def members(deliver: Deliver, id: int = 5) -> Delivered:
    return deliver(CollectionProductsSync(collection_id=f"gid://shopify/Collection/{id}"))


def put_all(catalog: Catalog, count: int) -> None:
    for id in range(1, count + 1):
        catalog.put(collection_node(id))


def read_members(rows: Rows, at: str = "2026-11-20T12:00:00Z") -> None:
    """As if all member lists had been read."""
    rows.execute("UPDATE shopify_collections SET members_synced_at = %s", (at,))


def held(rows: Rows, id: str = "5") -> list[tuple[str, int]]:
    found = rows(
        "SELECT shopify_product_id AS id, position FROM shopify_collection_products"
        " WHERE collection_id = %s ORDER BY position",
        (id,),
    )
    return [(row["id"], row["position"]) for row in found]


# -- commerce-collection-sync ------------------------------------------------------------------------------------------


def test_120_collections_are_three_pages(
    deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock, shopify: ShopifyFake
) -> None:
    put_all(catalog, 120)

    first = full(deliver, clock)
    pages = len(shopify.requests_of(operation="collections"))
    read_members(rows)
    second = full(deliver, clock)

    assert pages == 3
    assert first.result == {
        "outcome": "completed", "collections": 120, "changed": 120, "deleted": 0, "memberSyncs": 120,
    }  # fmt: skip
    assert [name for name, _ in first.emitted] == ["collection.productsSync"] * 120
    assert first.emitted[0][1] == {"collectionId": "1", "shopifyCollectionId": "1"}
    assert (second.result["changed"], second.emitted) == (0, [])
    assert (
        rows("SELECT status, merged_count FROM catalog_sync_runs ORDER BY started_at")
        == [{"status": "completed", "merged_count": 120}] * 2
    )
    assert rows("SELECT count(*) AS n FROM catalog_sync_marks WHERE kind = 'collection'") == [{"n": 120}]


def test_a_smart_collection_is_read_again_after_a_day(
    deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock
) -> None:
    catalog.put(collection_node(1, smart=True))
    catalog.put(collection_node(2))
    full(deliver, clock)
    read_members(rows, "2026-11-19T11:00:00Z")

    done = full(deliver, clock)

    assert done.emitted == [("collection.productsSync", {"collectionId": "1", "shopifyCollectionId": "1"})]
    assert rows(
        "SELECT collection_type, rules -> 0 ->> 'targetType' AS target FROM shopify_collections ORDER BY id"
    ) == [
        {"collection_type": "smart", "target": "PRODUCTS"},
        {"collection_type": "manual", "target": None},
    ]


def test_a_deleted_collection_loses_its_members(
    deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock
) -> None:
    put_all(catalog, 3)
    full(deliver, clock)
    rows.execute("INSERT INTO shopify_collection_products VALUES ('2', '7', 1)")
    catalog.remove("Collection", 2)

    done = full(deliver, clock)

    assert done.result["deleted"] == 1
    assert rows("SELECT id FROM shopify_collections WHERE deleted_at IS NOT NULL") == [{"id": "2"}]
    assert held(rows, "2") == []


def test_a_crash_after_page_two_reads_page_three_only(
    deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock, shopify: ShopifyFake
) -> None:
    put_all(catalog, 120)
    full(deliver, clock)
    read_members(rows)
    third = [r.variables["after"] for r in shopify.requests_of(operation="collections")][2]
    catalog.put({**collection_node(120), "sources": None})  # unreadable: the worker dies of it, on page three
    full(deliver, clock, expect="retrying")
    catalog.remove("Collection", 120)
    asked = len(shopify.requests_of())

    done = deliver.again(QUEUE)

    assert [request.variables["after"] for request in shopify.requests_of()[asked:]] == [third]
    assert (done.result["collections"], done.result["deleted"]) == (119, 1)


def test_a_shrunken_list_is_not_believed(
    deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock, shopify: ShopifyFake
) -> None:
    put_all(catalog, 40)
    rows.execute(
        "INSERT INTO shopify_collections (id, title, handle, collection_type)"
        " SELECT n::text, 'x', 'x', 'manual' FROM generate_series(1001, 1030) n"
    )
    catalog.count = lambda kind: 70  # type: ignore[method-assign]  # Shopify's count disagrees with its pages

    done = full(deliver, clock, expect="dead")

    assert done.code == "CATALOG_SHRUNK"
    (alert,) = [payload for name, payload in done.emitted if name == "alert.apiFailure"]
    assert alert["context"] == {"kind": "collections", "candidates": 30, "live": 70}
    assert rows("SELECT status, error_code FROM catalog_sync_runs") == [
        {"status": "failed", "error_code": "CATALOG_SHRUNK"}
    ]
    assert rows("SELECT count(*) AS n FROM shopify_collections WHERE deleted_at IS NOT NULL") == [{"n": 0}]


def test_one_collection_by_webhook(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(collection_node(5))

    first = deliver(CollectionSync(collection_id="5", source="webhook"))
    read_members(rows)
    second = deliver(CollectionSync(collection_id="5", source="webhook"))
    gone = deliver(CollectionSync(shopify_collection_id="5", action="delete"))

    assert (first.result["outcome"], first.result["memberSyncs"]) == ("synced", 1)
    assert (second.result["outcome"], second.emitted) == ("unchanged", [])
    assert gone.result["outcome"] == "deleted"
    assert rows("SELECT deleted_at IS NOT NULL AS gone FROM shopify_collections") == [{"gone": True}]


def test_an_unknown_collection_is_not_found(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    assert deliver(CollectionSync(collection_id="99")).result["outcome"] == "not_found"
    assert rows("SELECT * FROM shopify_collections") == []


def test_a_tenant_who_wants_no_collections_gets_none(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    rows.execute("""INSERT INTO tenant_config (key, value) VALUES ('catalog.sync', '{"collections": false}')""")

    assert deliver(CollectionSync()).result["outcome"] == "disabled"


# -- commerce-collection-products-sync ---------------------------------------------------------------------------------


@pytest.fixture
def summer(deliver: Deliver, catalog: Catalog, rows: Rows) -> Catalog:
    """Collection 5 with the products 1, 2, 3, all held here."""
    for id in range(1, 5):
        catalog.put(product_node(id))
        rows.execute("INSERT INTO products (id, shopify_product_id, title) VALUES (%s, %s, 'x')", (f"p{id}", str(id)))
    catalog.put(collection_node(5))
    catalog.members(5, [1, 2, 3])
    deliver(CollectionSync(collection_id="5"))
    members(deliver)
    return catalog


def test_members_follow_in_their_order(deliver: Deliver, summer: Catalog, rows: Rows, clock: ManualClock) -> None:
    summer.members(5, [3, 4, 1])
    clock.advance(s=1)

    done = members(deliver)

    assert done.result == {"outcome": "synced", "members": 3, "added": 1, "removed": 1, "unknownProducts": 0}
    assert held(rows) == [("3", 1), ("4", 2), ("1", 3)]
    assert rows("SELECT products_count FROM shopify_collections") == [{"products_count": 3}]


def test_600_members_are_three_pages_and_unknown_ones_are_asked_for(
    deliver: Deliver, catalog: Catalog, rows: Rows, shopify: ShopifyFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog.put(collection_node(5))
    for id in range(1, 2301):
        catalog.put(product_node(id, [{"id": f"gid://shopify/ProductVariant/{id}", "inventoryItem": {
            "id": f"gid://shopify/InventoryItem/{id}"}}]))  # fmt: skip
    deliver(CollectionSync(collection_id="5"))
    catalog.members(5, range(1, 601))
    said: list[str] = []
    execute = psycopg.Cursor.execute

    def heard(self: Any, query: Any, *more: Any, **options: Any) -> Any:
        said.append(str(query))
        return execute(self, query, *more, **options)

    with monkeypatch.context() as patch:
        patch.setattr(psycopg.Cursor, "execute", heard)
        first = members(deliver)
    pages = len(shopify.requests_of(operation="collectionMembers"))
    catalog.members(5, range(1, 2301))

    done = members(deliver)

    assert pages == 3
    assert [len([each for each in said if text in each]) for text in (
        "INSERT INTO shopify_collection_products", "DELETE FROM shopify_collection_products"
    )] == [3, 1]  # fmt: skip
    assert first.result["unknownProducts"] == 600
    assert [len(payload["shopifyProductIds"]) for _, payload in done.emitted] == [1000, 1000, 300]
    assert done.emitted[0][0] == "product.syncBatch"


def test_a_member_that_joins_an_excluded_collection_is_told_the_feed(
    deliver: Deliver, summer: Catalog, rows: Rows, clock: ManualClock
) -> None:
    rows.execute(
        "INSERT INTO google_feed_settings (is_connected, exclusion_rules)"
        """ VALUES (true, '[{"type": "collection", "value": "5", "enabled": true}]')"""
    )
    summer.members(5, [1, 2, 3, 4])
    clock.advance(s=1)

    assert members(deliver).emitted == [("googleFeed.productUpdate", {"productId": "4", "action": "update"})]


def test_a_reading_that_another_one_overtook_reads_anew(
    deliver: Deliver, bench: Bench, summer: Catalog, rows: Rows, clock: ManualClock
) -> None:
    clock.advance(s=1)
    node, read = summer.node, summer.node("Collection", 5)

    def overtaken(kind: str, id: int) -> Any:
        if kind == "Collection":  # an older list; while it is on its way, another reading ends
            rows.execute(
                "UPDATE shopify_collections SET members_synced_at = %s", (clock.now() + timedelta(milliseconds=1),)
            )
            return read
        return node(kind, id)

    summer.members(5, [4, 1])
    summer.node = overtaken  # type: ignore[method-assign]
    first = deliver(CollectionProductsSync(collection_id="5"), expect="retrying")
    summer.node = node  # type: ignore[method-assign]
    bench.drain()

    assert first.code == "CATALOG_CONFLICT"
    assert held(rows) == [("4", 1), ("1", 2)]


def test_joins_and_leavings_of_many_are_one_comparison_of_the_feed(
    deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock
) -> None:
    rows.execute(
        "INSERT INTO google_feed_settings (is_connected, exclusion_rules)"
        """ VALUES (true, '[{"type": "collection", "value": "5", "enabled": true}]')"""
    )
    for id in range(1, 302):
        catalog.put(product_node(id))
    rows.execute(
        "INSERT INTO products (id, shopify_product_id, title)"
        " SELECT 'p' || n, n::text, 'x' FROM generate_series(1, 301) n"
    )
    catalog.put(collection_node(5))
    catalog.members(5, range(1, 151))
    deliver(CollectionSync(collection_id="5"))
    members(deliver)
    catalog.members(5, range(151, 302))
    clock.advance(s=1)

    done = members(deliver)

    assert (done.result["added"], done.result["removed"]) == (151, 150)
    assert [name for name, _ in done.emitted] == ["googleFeed.sync"]
    assert done.emitted[0][1]["triggeredBy"] == "webhook"


def test_a_collection_that_is_gone_is_deleted(deliver: Deliver, summer: Catalog, rows: Rows) -> None:
    summer.remove("Collection", 5)

    assert members(deliver).result["outcome"] == "deleted"
    assert held(rows) == []


def test_an_id_that_is_none(deliver: Deliver, catalog: Catalog) -> None:
    done = deliver.job("commerce-collection-products-sync", {"collectionId": "abc"}, expect="dead")

    assert done.code == "COLLECTION_ID_INVALID"
