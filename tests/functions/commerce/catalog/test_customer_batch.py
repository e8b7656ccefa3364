"""Many customers: lists, changes, exports."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from shared.events.customers import CustomerSync, CustomerSyncBatch
from shared.fakes.shopify import ShopifyFake
from shared.fakes.shopify.catalog import Catalog, address_node, customer_node
from shared.jobs.testing import Bench, Deliver, Delivered, ManualClock
from tests.conftest import Rows

JOB = "commerce-customer-batch-sync"
QUEUE = "catalog-sync-bulk"
LATER = "2026-11-20T13:00:00Z"


def put_all(catalog: Catalog, count: int, **fields: Any) -> None:
    for id in range(1, count + 1):
        catalog.put(customer_node(id, **fields))


def ended(rows: Rows, clock: ManualClock, mode: str, *, days: float = 0) -> None:
    """A run of this mode ended so many days ago."""
    at = clock.now() - timedelta(days=days)
    rows.execute(
        "INSERT INTO catalog_sync_runs (kind, mode, status, started_at, watermark_to, completed_at)"
        " VALUES ('customers', %s, 'completed', %s, %s, %s)",
        (mode, at, at, at),
    )


def run_of(rows: Rows) -> dict[str, Any]:
    return rows("SELECT * FROM catalog_sync_runs ORDER BY started_at DESC LIMIT 1")[0]


def full(deliver: Deliver, bench: Bench, clock: ManualClock) -> list[Delivered]:
    clock.advance(s=61)
    deliver(CustomerSyncBatch(mode="full"))
    return [each for each in bench.drain(horizon_s=86_400) if each.job == JOB]


@pytest.mark.parametrize(("days", "mode"), [(8, "full"), (6, "delta")])
def test_everything_once_a_week(
    deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock, days: int, mode: str
) -> None:
    ended(rows, clock, "full", days=days)

    done = deliver(CustomerSyncBatch(source="schedule"))

    assert done.result["mode"] == mode
    if mode == "delta":
        watermark = clock.now() - timedelta(days=6, minutes=10)
        assert run_of(rows)["watermark_from"] == watermark


def test_a_crash_after_page_two_reads_page_three_only(
    deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock, shopify: ShopifyFake
) -> None:
    ended(rows, clock, "full", days=1)
    put_all(catalog, 250)
    broken = catalog.put(customer_node(250, updatedAt=LATER))
    tags = broken.pop("tags")  # the fake cannot answer page three
    deliver(CustomerSyncBatch(), expect="retrying")
    held = rows("SELECT count(*) AS n FROM customers")
    broken["tags"] = tags
    asked = len(shopify.requests_of())

    done = deliver.again(QUEUE)

    assert held == [{"n": 200}]
    (last,) = shopify.requests_of()[asked:]
    assert last.variables["after"] is not None
    assert (done.result["merged"], done.result["changed"]) == (250, 250)
    assert rows("SELECT count(*) AS n FROM customers") == [{"n": 250}]
    assert rows("SELECT count(DISTINCT xmin::text) AS n FROM customers") == [{"n": 3}]


def test_who_is_gone_is_asked_for_one_by_one(
    deliver: Deliver, bench: Bench, catalog: Catalog, rows: Rows, clock: ManualClock, shopify: ShopifyFake
) -> None:
    rows.execute(
        "INSERT INTO customers (id, shopify_customer_id, shopify_id, email) VALUES"
        " ('a', '9001', NULL, 'a@x.com'), ('b', NULL, '9002', 'b@x.com'), ('c', '9003', '9003', 'c@x.com'),"
        " ('d', '9004', NULL, 'd@x.com')"
    )
    put_all(catalog, 5000)
    search = catalog.search

    def without_the_fourth(kind: str, query: str | None, sort_key: str) -> list[tuple[int, int]]:
        return [row for row in search(kind, query, sort_key) if row[1] != 9004]

    catalog.search = without_the_fourth  # type: ignore[method-assign]
    catalog.put(customer_node(9004))  # Shopify knows the fourth, and the export has lost it

    done = full(deliver, bench, clock)

    (asked,) = shopify.requests_of(operation="nodeIds")
    assert len(asked.variables["ids"]) == 4
    assert (done[-1].result["merged"], done[-1].result["anonymised"]) == (5000, 3)
    assert rows("SELECT id, email FROM customers WHERE email LIKE 'deleted-%%' OR id = 'd' ORDER BY id") == [
        {"id": "a", "email": "deleted-9001@deleted.invalid"},
        {"id": "b", "email": "deleted-9002@deleted.invalid"},
        {"id": "c", "email": "deleted-9003@deleted.invalid"},
        {"id": "d", "email": "d@x.com"},
    ]


def test_consent_that_changed_is_recorded_once(
    deliver: Deliver, bench: Bench, catalog: Catalog, rows: Rows, clock: ManualClock
) -> None:
    put_all(catalog, 100, addresses=[address_node(1), address_node(2)])
    full(deliver, bench, clock)
    for id in range(1, 31):
        catalog.put(customer_node(id, marketing="SUBSCRIBED", marketing_at=LATER, updatedAt=LATER))

    done = full(deliver, bench, clock)
    again = full(deliver, bench, clock)

    assert done[-1].result["consentChanges"] == 30
    assert again[-1].result["consentChanges"] == 0
    assert rows("SELECT count(*) AS n, count(DISTINCT xmin::text) AS pages FROM consent_records WHERE granted") == [
        {"n": 30, "pages": 1}
    ]
    assert rows("SELECT count(*) AS n FROM customer_addresses") == [{"n": 140}]


def test_the_export_says_what_the_query_says(
    deliver: Deliver, bench: Bench, catalog: Catalog, rows: Rows, clock: ManualClock
) -> None:
    catalog.put(customer_node(7, phone="+491701234567", addresses=[address_node(1), address_node(2)], note="x"))
    deliver(CustomerSyncBatch(shopify_customer_ids=["7"]))
    before = rows("SELECT * FROM customers")

    done = full(deliver, bench, clock)

    assert (done[-1].result["merged"], done[-1].result["changed"]) == (1, 0)
    assert rows("SELECT * FROM customers") == before


def test_both_dates_are_in_the_search(deliver: Deliver, catalog: Catalog, shopify: ShopifyFake) -> None:
    put_all(catalog, 1)

    deliver.job(JOB, {"createdSince": "2026-11-01T00:00:00Z", "updatedSince": "2026-11-10T00:00:00Z"})

    (asked,) = shopify.requests_of(operation="customers")
    assert asked.variables["query"] == ("updated_at:>='2026-11-10T00:00:00Z' AND created_at:>='2026-11-01T00:00:00Z'")


def test_a_request_that_joins_does_not_narrow_a_run_by_date_of_creation(
    deliver: Deliver, catalog: Catalog, rows: Rows, clock: ManualClock, shopify: ShopifyFake
) -> None:
    ended(rows, clock, "full", days=1)
    put_all(catalog, 1)
    rows.execute(
        "INSERT INTO catalog_sync_runs (kind, mode, filter, started_at, progress_at)"
        """ VALUES ('customers', 'delta', '{"partial": true, "createdSince": "2026-11-01T00:00:00+00:00"}', %s, %s)""",
        (clock.now(), clock.now()),
    )

    joined = deliver(CustomerSyncBatch())

    assert joined.result["outcome"] == "joined"
    assert run_of(rows)["watermark_from"] is None


def test_klaviyo_is_told_once(deliver: Deliver, bench: Bench, catalog: Catalog, rows: Rows, clock: ManualClock) -> None:
    rows.execute("INSERT INTO klaviyo_connections (tenant_id, private_api_key_encrypted) VALUES ('acme', 'x')")
    put_all(catalog, 3)
    ended(rows, clock, "full", days=1)

    done = deliver(CustomerSyncBatch())

    assert done.emitted == [
        ("klaviyo.sync", {"syncType": "all", "updatedSince": "2026-11-19T11:50:00Z", "step": "run"})
    ]


def test_a_list_with_one_who_is_gone(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    put_all(catalog, 2)
    rows.execute("INSERT INTO customers (id, shopify_customer_id, email) VALUES ('c9', '9', 'nine@x.com')")

    done = deliver.job(JOB, {"customerIds": ["c9", "1"], "shopifyCustomerIds": ["gid://shopify/Customer/2"]})

    assert (done.result["changed"], done.result["anonymised"]) == (2, 1)
    assert rows("SELECT email FROM customers WHERE id = 'c9'") == [{"email": "deleted-9@deleted.invalid"}]


def test_too_many_ids(deliver: Deliver, catalog: Catalog) -> None:
    done = deliver.job(JOB, {"customerIds": [str(n) for n in range(1001)]}, expect="dead")

    assert done.code == "TOO_MANY_IDS"


def test_an_unknown_run(deliver: Deliver, catalog: Catalog) -> None:
    assert deliver(CustomerSyncBatch(sync_run_id=uuid4(), step="poll"), expect="dead").code == "SYNC_RUN_NOT_FOUND"


def test_a_tenant_who_wants_no_customers_gets_none(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    rows.execute("""INSERT INTO tenant_config (key, value) VALUES ('catalog.sync', '{"customers": false}')""")

    assert deliver(CustomerSyncBatch()).result["outcome"] == "disabled"


@pytest.mark.parametrize("known", [True, False])
def test_a_customer_deleted_during_the_run_is_not_brought_back(
    deliver: Deliver, bench: Bench, catalog: Catalog, rows: Rows, known: bool
) -> None:
    put_all(catalog, 2)
    if known:
        deliver(CustomerSync(shopify_customer_id="1"))
    deliver(CustomerSyncBatch(mode="full"))
    deliver.again(QUEUE)  # the file is written and holds the customer
    catalog.remove("Customer", 1)
    deliver(CustomerSync(shopify_customer_id="1", action="delete"))

    bench.drain()

    assert rows("SELECT id FROM customers WHERE email LIKE '%%@x.com'") == [{"id": "2"}]
    assert rows("SELECT count(*) AS n FROM customers") == [{"n": 2 if known else 1}]


def test_a_deletion_that_was_not_told_is_found_by_the_next_run(
    deliver: Deliver, bench: Bench, catalog: Catalog, rows: Rows, clock: ManualClock
) -> None:
    put_all(catalog, 1)
    deliver(CustomerSyncBatch(mode="full"))
    deliver.again(QUEUE)
    catalog.remove("Customer", 1)
    bench.drain()

    done = full(deliver, bench, clock)

    assert done[-1].result["anonymised"] == 1
