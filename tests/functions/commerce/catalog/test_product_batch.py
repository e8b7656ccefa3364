"""Many products: lists, changes, exports."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from functions.commerce.catalog.export import poll_delay_s
from shared.events.catalog import ProductSyncBatch, ProductSyncOne
from shared.fakes.shopify import Shop, ShopifyFake
from shared.fakes.shopify.catalog import Catalog, location_node, product_node, variant_node
from shared.fakes.slack import SlackFake
from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver, Delivered, ManualClock
from tests.conftest import Rows

JOB = "commerce-product-batch-sync"
QUEUE = "catalog-sync-bulk"
LATER = "2026-11-20T13:00:00Z"
Full = Callable[[], list[Delivered]]


@pytest.fixture
def full(rows: Rows, bench: Bench, clock: ManualClock, deliver: Deliver) -> Full:
    """Open a full run, as product.sync does, and work it off."""

    def run() -> list[Delivered]:
        clock.advance(s=60)
        id = uuid4()
        rows.execute(
            "INSERT INTO catalog_sync_runs (id, kind, mode, started_at, progress_at, watermark_to)"
            " VALUES (%s, 'products', 'full', %s, %s, %s)",
            (id, *[clock.now()] * 3),
        )
        bench.publish(ProductSyncBatch(sync_run_id=id, step="start"), "acme")
        return [each for each in bench.drain(horizon_s=3600 * 24) if each.job == JOB]

    return run


def put_all(catalog: Catalog, count: int, first: int = 1) -> None:
    for id in range(first, first + count):
        catalog.put(product_node(id))


def hold(rows: Rows, count: int) -> None:
    """Products 1..count are held here, with marks of long ago."""
    rows.execute(
        "INSERT INTO products (id, shopify_product_id, title)"
        " SELECT 'p' || n, n::text, 'x' FROM generate_series(1, %s) n",
        (count,),
    )
    rows.execute(
        "INSERT INTO catalog_sync_marks (kind, external_id, vendor_updated_at, checked_at)"
        " SELECT 'product', n::text, '2026-11-01', '2026-11-01' FROM generate_series(1, %s) n",
        (count,),
    )


def run_of(rows: Rows) -> dict[str, Any]:
    return rows("SELECT * FROM catalog_sync_runs ORDER BY started_at DESC LIMIT 1")[0]


def names(delivered: list[Delivered]) -> list[str]:
    return [name for each in delivered for name, _ in each.emitted]


# -- full runs ---------------------------------------------------------------------------------------------------------


def test_an_export_is_not_stopped_by_text_that_the_database_refuses(
    full: Full, catalog: Catalog, rows: Rows, feed: None
) -> None:
    put_all(catalog, 3)
    catalog.put(product_node(2, title="nul \0, half \ud83d, typed \\u0000"))

    full()

    assert run_of(rows)["status"] == "completed"
    titles = rows("SELECT title FROM products ORDER BY shopify_product_id")
    assert titles[1] == {"title": "nul , half , typed \\u0000"}
    assert len(titles) == 3


def test_an_export_of_1200_products_is_merged_in_three_transactions(
    full: Full, catalog: Catalog, rows: Rows, feed: None, shopify: ShopifyFake
) -> None:
    for id in range(1, 1201):
        count = 3 if id <= 900 else 1
        catalog.put(product_node(id, [variant_node(id * 10 + n) for n in range(count)]))

    done = full()

    assert [each.result["outcome"] for each in done] == ["exported", "continued", "continued", "continued", "completed"]
    assert rows("SELECT count(DISTINCT xmin::text) AS merges, count(*) AS n FROM products") == [
        {"merges": 3, "n": 1200}
    ]
    assert rows("SELECT count(*) AS n FROM product_variants") == [{"n": 3000}]
    run = run_of(rows)
    assert (run["status"], run["root_count"], run["merged_count"], run["changed_count"]) == (
        "completed", 1200, 1200, 1200,
    )  # fmt: skip
    assert rows("SELECT DISTINCT generation FROM catalog_sync_marks") == [{"generation": run["generation"]}]
    assert rows("SELECT count(*) AS n FROM catalog_sync_stage") == [{"n": 0}]
    assert names(done) == ["googleFeed.sync"]
    assert rows("SELECT stock_state, count(*) AS n FROM product_variants GROUP BY 1") == [
        {"stock_state": "in_stock", "n": 3000}
    ]

    again = full()

    assert (again[-1].result["merged"], again[-1].result["changed"], again[-1].result["unchanged"]) == (1200, 0, 1200)
    assert names(again) == []
    assert rows("SELECT count(DISTINCT xmin::text) AS merges FROM products") == [{"merges": 3}]
    assert shopify.requests_of(operation="productsCount") == []


def test_media_and_images_come_through_the_export(full: Full, catalog: Catalog, rows: Rows, deliver: Deliver) -> None:
    image = {"url": "https://cdn.example/v.jpg", "width": 1, "height": 1}
    media = {"nodes": [{"__typename": "MediaImage", "id": "gid://shopify/MediaImage/9", "preview": {"image": image}}]}
    catalog.put(product_node(7, [variant_node(71, media=media), variant_node(72)]))
    deliver(ProductSyncOne(shopify_product_id="7"))
    before = rows("SELECT images, variants, options FROM products")

    done = full()

    assert done[-1].result["unchanged"] == 1  # the file says exactly what the query said
    assert rows("SELECT images, variants, options FROM products") == before
    assert before[0]["variants"][0]["image_url"] == "https://cdn.example/v.jpg"


def test_a_product_that_a_webhook_changed_after_the_export_stays(
    full: Full, catalog: Catalog, rows: Rows, shop: Shop, bench: Bench, deliver: Deliver, clock: ManualClock
) -> None:
    put_all(catalog, 2)
    id = uuid4()
    rows.execute(
        "INSERT INTO catalog_sync_runs (id, kind, mode, started_at, progress_at)"
        " VALUES (%s, 'products', 'full', %s, %s)",
        (id, clock.now(), clock.now()),
    )
    deliver(ProductSyncBatch(sync_run_id=id, step="start"))
    deliver.again(QUEUE)  # the file is written
    catalog.put(product_node(1, title="newer", updatedAt=LATER))
    deliver(ProductSyncOne(shopify_product_id="1"))

    bench.drain()

    assert run_of(rows)["stale_count"] == 1
    assert rows("SELECT title FROM products WHERE shopify_product_id = '1'") == [{"title": "newer"}]


@pytest.mark.parametrize("known", [True, False])
def test_a_product_that_is_deleted_during_the_run_stays_deleted(
    deliver: Deliver, catalog: Catalog, rows: Rows, bench: Bench, clock: ManualClock, known: bool
) -> None:
    put_all(catalog, 2)
    if known:
        deliver(ProductSyncOne(shopify_product_id="1"))
    clock.advance(s=61)
    deliver(ProductSyncBatch())
    deliver.again(QUEUE)  # the file is written, and holds both
    catalog.remove("Product", 1)
    deliver(ProductSyncOne(shopify_product_id="1", action="delete"))

    bench.drain()

    assert run_of(rows)["stale_count"] == 1
    assert rows("SELECT shopify_product_id AS id FROM products WHERE status = 'active'") == [{"id": "2"}]


@pytest.mark.parametrize(("counted", "archived"), [(1000, 0), (750, 250)])
def test_a_shrunken_export_is_believed_only_with_shopifys_count(
    full: Full, catalog: Catalog, rows: Rows, counted: int, archived: int
) -> None:
    hold(rows, 1000)
    put_all(catalog, 750)
    catalog.count = lambda kind: counted  # type: ignore[method-assign]

    done = full()

    gone = rows("SELECT count(*) AS n FROM products WHERE platform_data ? 'deletedAt'")
    assert gone == [{"n": archived}]
    assert run_of(rows)["deleted_count"] == archived
    if archived:
        assert done[-1].result["deleted"] == 250
        return
    assert (done[-1].state, done[-1].code) == ("dead", "CATALOG_SHRUNK")
    (alert,) = [payload for name, payload in done[-1].emitted if name == "alert.apiFailure"]
    assert (alert["severity"], alert["context"]) == ("warning", {"kind": "products", "candidates": 250, "live": 1000})
    assert (run_of(rows)["status"], run_of(rows)["error_code"]) == ("failed", "CATALOG_SHRUNK")


def test_few_vanished_products_are_archived_without_a_count(
    full: Full, catalog: Catalog, rows: Rows, shopify: ShopifyFake
) -> None:
    hold(rows, 10)
    put_all(catalog, 1)

    done = full()

    assert done[-1].result["deleted"] == 9
    assert shopify.requests_of(operation="productsCount") == []


def test_a_file_that_came_short_is_not_believed(full: Full, catalog: Catalog, rows: Rows, shop: Shop) -> None:
    hold(rows, 100)
    put_all(catalog, 100)
    write = shop.bulk._write_lines

    def short(run: Any, file: Any, field: Any, variables: Any) -> None:
        whole = io.BytesIO()
        write(run, whole, field, variables)  # Shopify says that it has written 100 products
        file.writelines(whole.getvalue().splitlines(keepends=True)[:70])

    shop.bulk._write_lines = short  # type: ignore[method-assign]

    done = full()

    assert (done[-1].state, done[-1].code) == ("dead", "CATALOG_SHRUNK")
    assert rows("SELECT count(*) AS n FROM products WHERE platform_data ? 'deletedAt'") == [{"n": 0}]


def test_an_export_without_its_file_is_no_empty_shop(full: Full, catalog: Catalog, rows: Rows, shop: Shop) -> None:
    hold(rows, 10)
    put_all(catalog, 10)
    node = shop.bulk.node
    shop.bulk.node = lambda run: {**node(run), "url": None}  # type: ignore[method-assign]

    done = full()

    assert [each.result["outcome"] for each in done].count("restarted") == 3
    assert done[-1].result["deleted"] == 0
    assert rows("SELECT DISTINCT status::text FROM products") == [{"status": "active"}]


def test_a_line_that_is_no_json_ends_the_run_at_the_second_attempt(
    full: Full, catalog: Catalog, rows: Rows, shop: Shop
) -> None:
    put_all(catalog, 3)
    write = shop.bulk._write_lines

    def torn(run: Any, file: Any, field: Any, variables: Any) -> None:
        write(run, file, field, variables)
        file.write(b'{"id": "gid://shopify/Pro')

    shop.bulk._write_lines = torn  # type: ignore[method-assign]

    done = full()

    assert [(each.state, each.code) for each in done[-2:]] == [
        ("retrying", "BULK_FILE_BROKEN"), ("dead", "BULK_FILE_BROKEN"),
    ]  # fmt: skip
    assert (run_of(rows)["status"], run_of(rows)["error_code"]) == ("failed", "BULK_FILE_BROKEN")
    assert rows("SELECT count(*) AS n FROM catalog_sync_stage") == [{"n": 0}]


def test_polls_come_at_growing_intervals(full: Full, catalog: Catalog, shop: Shop, bench: Bench) -> None:
    assert [poll_delay_s(n) for n in range(1, 8)] == [30, 45, 67, 101, 151, 227, 300]
    put_all(catalog, 1)
    shop.bulk.held = True
    delays: list[float] = []

    def release() -> None:
        shop.bulk.release()

    bench.clock.advance(s=0)
    done = _poll_until(full, bench, delays, release)

    assert delays[:7] == [30, 45, 67, 101, 151, 227, 300]
    assert done[-1].result["outcome"] == "completed"


def _poll_until(full: Full, bench: Bench, delays: list[float], release: Callable[[], None]) -> list[Delivered]:
    """Let seven polls wait, then let the export end."""
    drain = bench.drain

    def few(**_: Any) -> list[Delivered]:
        found = drain(most=7)
        delays.extend(delay for each in found for _, delay in each.again)
        release()
        return found + drain()

    bench.drain = few  # type: ignore[method-assign]
    return full()


def test_an_export_that_does_not_end_is_cancelled(full: Full, catalog: Catalog, shop: Shop, rows: Rows) -> None:
    put_all(catalog, 1)
    shop.bulk.held = True

    done = full()

    assert (done[-1].state, done[-1].code) == ("dead", "BULK_TIMEOUT")
    assert (run_of(rows)["status"], run_of(rows)["error_code"]) == ("failed", "BULK_TIMEOUT")


def test_a_failed_export_begins_anew_and_then_reads_pages(
    full: Full, catalog: Catalog, shop: Shop, rows: Rows, shopify: ShopifyFake
) -> None:
    hold(rows, 45)
    put_all(catalog, 41)
    shop.bulk.failures = ["INTERNAL_SERVER_ERROR", "TIMEOUT", "TIMEOUT"]

    done = full()

    assert [each.result["outcome"] for each in done if each.result["outcome"] == "restarted"] == ["restarted"] * 3
    assert len(shopify.requests_of(operation="products")) == 3
    assert (done[-1].result["merged"], done[-1].result["deleted"]) == (41, 4)


def test_a_shop_without_room_is_asked_again_later(full: Full, catalog: Catalog, shop: Shop) -> None:
    put_all(catalog, 1)
    shop.bulk.limit = 0

    done = full_until_busy(full, shop)

    assert done[0].result["outcome"] == "waiting"
    assert done[0].again[0][1] == 300
    assert done[-1].result["outcome"] == "completed"


def full_until_busy(full: Full, shop: Shop) -> list[Delivered]:
    start = shop.bulk.start

    def once(query: str, grouped: bool) -> Any:
        try:
            return start(query, grouped)
        finally:
            shop.bulk.limit = 5

    shop.bulk.start = once  # type: ignore[method-assign]
    return full()


def test_an_empty_shop_is_reconciled(full: Full, catalog: Catalog, rows: Rows) -> None:
    hold(rows, 3)

    done = full()

    assert done[-1].result["deleted"] == 3


def test_a_crash_while_loading_goes_on_at_the_stored_offset(
    full: Full, catalog: Catalog, rows: Rows, shopify: ShopifyFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_all(catalog, 4000)  # a product, a variant and an image each: 12,000 lines
    staged: list[int] = []
    stage = "functions.commerce.catalog.export._stage"
    from functions.commerce.catalog import export

    real = export._stage

    def dying(ctx: Any, session: Any, run: Any, nodes: Any, rest_at: int, **more: Any) -> Any:
        staged.append(len(nodes))
        if len(staged) == 2:
            raise ConnectionError("the worker dies")
        return real(ctx, session, run, nodes, rest_at, **more)

    monkeypatch.setattr(stage, dying)
    done = full()

    assert staged == [5000, 5000, 5000, 2000]
    ranges = [each.range for each in shopify.requests if each.method == "GET"]
    assert ranges[0] is None
    assert ranges[1] is not None
    assert done[-1].result["merged"] == 4000
    assert run_of(rows)["stage_lines"] == 12_000


def test_a_product_that_cannot_be_read_is_not_taken_for_deleted(full: Full, catalog: Catalog, rows: Rows) -> None:
    put_all(catalog, 2)
    full()
    catalog.put(product_node(2, [variant_node(21, "99999999999.00")], updatedAt=LATER))

    done = full()

    assert done[-1].result["deleted"] == 0
    assert rows("SELECT status::text FROM products") == [{"status": "active"}] * 2


def test_neither_is_one_that_was_here_before_there_were_marks(full: Full, catalog: Catalog, rows: Rows) -> None:
    rows.execute("INSERT INTO products (id, shopify_product_id, title) VALUES ('mug', '2', 'Mug')")
    catalog.put(product_node(2, [variant_node(21, "99999999999.00")]))
    first = full()
    catalog.put(product_node(2, [variant_node(21)]))

    second = full()

    assert (first[-1].result["deleted"], second[-1].result["changed"]) == (0, 1)
    assert rows("SELECT id, status::text, title FROM products") == [
        {"id": "mug", "status": "active", "title": "Product 2"}
    ]


# -- changes -----------------------------------------------------------------------------------------------------------


def test_changes_are_read_since_the_last_run(
    full: Full, deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock, shopify: ShopifyFake
) -> None:
    put_all(catalog, 45)
    full()
    clock.advance(s=3600)
    for id in range(1, 42):
        catalog.update("Product", id, title="new")

    done = deliver(ProductSyncBatch())

    asked = shopify.requests_of(operation="products")
    assert len(asked) == 3
    assert asked[0].variables["query"] == "updated_at:>='2026-11-20T11:51:00Z'"
    assert (done.result["mode"], done.result["outcome"]) == ("delta", "completed")
    assert (done.result["merged"], done.result["changed"]) == (41, 41)
    assert rows("SELECT count(*) AS n FROM products WHERE title = 'new'") == [{"n": 41}]


def test_the_first_request_reads_everything(deliver: Deliver, catalog: Catalog) -> None:
    put_all(catalog, 1)

    assert deliver(ProductSyncBatch()).result["mode"] == "full"


def test_a_second_request_joins_and_lowers_the_watermark(
    full: Full, deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock, shopify: ShopifyFake
) -> None:
    put_all(catalog, 1)
    full()
    clock.advance(s=3600)
    shopify.fail(500)
    deliver(ProductSyncBatch(), expect="retrying")

    joined = deliver.job(JOB, {"updatedSince": "2026-11-19T00:00:00Z"})
    done = deliver.again(QUEUE)

    assert joined.result["outcome"] == "joined"
    assert done.result["outcome"] == "completed"
    assert done.again == [({"tenantId": "acme", "updatedSince": "2026-11-19T00:00:00Z"}, 0)]


def test_a_window_that_leaves_a_gap_does_not_move_the_watermark(
    full: Full, deliver: Deliver, catalog: Catalog, clock: ManualClock, shopify: ShopifyFake
) -> None:
    put_all(catalog, 1)
    full()
    clock.advance(days=3)
    deliver.job(JOB, {"updatedSince": "2026-11-23T11:00:00Z"})
    clock.advance(s=61)

    deliver(ProductSyncBatch())

    assert shopify.requests_of(operation="products")[-1].variables["query"].startswith("updated_at:>='2026-11-20T11:51")


# -- lists -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("feed")
def test_a_list_is_read_by_id(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    hold(rows, 2)
    catalog.put(product_node(1))
    catalog.put(product_node(3))

    done = deliver.job(JOB, {"productIds": ["p1", "2"], "shopifyProductIds": [3, "gid://shopify/Product/3"]})

    assert done.result == {
        "mode": "list", "outcome": "completed", "merged": 2, "changed": 2, "unchanged": 0, "stale": 0, "deleted": 1,
    }  # fmt: skip
    assert sorted((p["productId"], p["action"]) for _, p in done.emitted) == [
        ("1", "update"), ("2", "delete"), ("3", "update"),
    ]  # fmt: skip
    assert rows("SELECT * FROM catalog_sync_runs") == []


def test_a_long_list_leaves_a_row(deliver: Deliver, catalog: Catalog, rows: Rows, shopify: ShopifyFake) -> None:
    put_all(catalog, 101)

    done = deliver.job(JOB, {"shopifyProductIds": list(range(1, 102))})

    assert len(shopify.requests_of(operation="productNodes")) == 6
    assert done.result["runId"] == str(run_of(rows)["id"])
    assert (run_of(rows)["mode"], run_of(rows)["status"], run_of(rows)["changed_count"]) == ("list", "completed", 101)


def test_the_members_of_a_collection(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    put_all(catalog, 3)
    rows.execute(
        "INSERT INTO shopify_collections (id, title, handle, collection_type) VALUES ('5', 'S', 's', 'manual')"
    )
    rows.execute("INSERT INTO shopify_collection_products VALUES ('5', '2', 1), ('5', '3', 2)")

    done = deliver.job(JOB, {"collectionId": "5"})
    unknown = deliver.job(JOB, {"collectionId": "6"}, expect="dead")

    assert done.result["merged"] == 2
    assert unknown.code == "COLLECTION_NOT_FOUND"


def test_too_many_ids(deliver: Deliver, catalog: Catalog) -> None:
    done = deliver.job(JOB, {"shopifyProductIds": [str(n) for n in range(1001)]}, expect="dead")

    assert done.code == "TOO_MANY_IDS"


def test_a_run_of_another_tenant_is_none(
    deliver: Deliver, catalog: Catalog, rows: Rows, other_tenant: Tenant, shopify: ShopifyFake
) -> None:
    id = uuid4()
    rows.execute(
        "INSERT INTO catalog_sync_runs (id, kind, mode) VALUES (%s, 'products', 'full')", (id,), tenant=other_tenant
    )

    done = deliver(ProductSyncBatch(sync_run_id=id, step="start"), expect="dead")

    assert done.code == "SYNC_RUN_NOT_FOUND"
    assert shopify.requests_of() == []


def test_a_late_message_of_a_run_is_already_past(full: Full, deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    put_all(catalog, 1)
    full()

    done = deliver(ProductSyncBatch(sync_run_id=run_of(rows)["id"], step="merge", attempt=9))

    assert done.result["outcome"] == "already_past"


def test_stock_is_judged_once_at_the_end(
    full: Full, catalog: Catalog, rows: Rows, slack: SlackFake, clock: ManualClock
) -> None:
    for id in range(1, 31):
        catalog.put(product_node(id))
    full()
    rows.execute(
        "INSERT INTO analytics_slack_alerts (alert_type, channel_id, created_at)"
        " VALUES ('low_stock', 'C00000001', '2026-11-01')"
    )
    catalog.put(location_node(1))
    for id in range(1, 31):
        catalog.put(product_node(id, [variant_node(id * 10, inventoryQuantity=4)], updatedAt=LATER))

    done = full()

    assert names(done) == ["inventory.lowStock"] * 30
    (posted,) = slack.posted("C00000001")
    assert posted.text.startswith("*Low stock: 30 variants*")
    assert posted.text.count("•") == 20
    assert posted.text.endswith("and 10 more")
