"""What apps and the clock ask for, and what it starts."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.db.connections import connect
from shared.db.migrations import provision_tenant
from shared.db.sessions import tenant_transaction
from shared.events.base import Event
from shared.events.catalog import InventorySync, ProductSync
from shared.fakes.shopify import Shop
from shared.fakes.slack import SlackFake
from shared.jobs.context import Tenant
from shared.jobs.messages import Outcome, Succeeded
from shared.jobs.testing import Bench, Deliver, ManualClock
from tests.conftest import Rows

PRODUCT_JOB, INVENTORY_JOB = "commerce-handle-product-sync", "commerce-handle-inventory-sync"
SUMMARIES = "commerce-inventory-sync-scheduled"


def open_run(rows: Rows, clock: ManualClock, kind: str, mode: str, *, hours: float) -> str:
    """An open run that moved so many hours ago; its id."""
    at = clock.now() - timedelta(hours=hours)
    rows.execute(
        "INSERT INTO catalog_sync_runs (kind, mode, started_at, progress_at) VALUES (%s, %s, %s, %s)",
        (kind, mode, at, at),
    )
    return str(rows("SELECT id FROM catalog_sync_runs")[0]["id"])


def completed(rows: Rows, clock: ManualClock, hours: float) -> None:
    """A full reading of stock that ended so many hours ago."""
    at = clock.now() - timedelta(hours=hours)
    rows.execute(
        "INSERT INTO catalog_sync_runs (kind, mode, status, started_at, watermark_to, completed_at)"
        " VALUES ('inventory', 'full', 'completed', %s, %s, %s)",
        (at, at, at),
    )


# -- commerce-handle-product-sync --------------------------------------------------------------------------------------


def test_a_product_is_synced_alone_whatever_else_is_asked(deliver: Deliver, shop: Shop, rows: Rows) -> None:
    done = deliver(ProductSync(product_id="p1", full_sync=True))

    assert done.result == {"dispatched": "one"}
    assert done.emitted == [("product.syncOne", {"productId": "p1", "action": "update", "source": "manual"})]
    assert rows("SELECT * FROM catalog_sync_runs") == []


@pytest.mark.parametrize(
    ("event", "kind"),
    [(ProductSync(full_sync=True), "products"), (InventorySync(full_sync=True), "inventory")],
    ids=["products", "inventory"],
)
def test_two_full_requests_in_parallel_make_one_run(
    bench: Bench, shop: Shop, rows: Rows, database_url: str, tenant: Tenant, event: Event, kind: str
) -> None:
    bench.publish(event, tenant.slug)
    twin, seen = bench.twin(), "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    thread = threading.Thread(target=lambda: twin.pump("catalog-sync"))
    with (
        connect(database_url, application_name="other") as connection,
        tenant_transaction(connection, tenant) as session,  # another process that is just opening a run
    ):
        session.lock(f"catalog-run:{kind}")
        thread.start()
        until = time.monotonic() + 10
        while rows(seen) == [{"n": 0}] and time.monotonic() < until:
            time.sleep(0.01)
        session.execute(
            "INSERT INTO catalog_sync_runs (kind, mode, progress_at) VALUES (%(kind)s, 'full', %(now)s)",
            {"kind": kind, "now": bench.clock.now()},
        )
    thread.join(10)
    twin.connections.discard()

    (run,) = rows("SELECT id, status FROM catalog_sync_runs")
    (report,) = twin.reports
    assert isinstance(report, Outcome)
    assert isinstance(report.ending, Succeeded)
    assert report.ending.result == {"dispatched": "joined", "runId": str(run["id"])}
    assert [name for name, _ in bench.bus.published] == [event.event_name]


def test_two_full_requests_make_one_run(deliver: Deliver, shop: Shop, rows: Rows) -> None:
    first = deliver(ProductSync(full_sync=True))
    second = deliver(ProductSync(full_sync=True))

    assert first.result["dispatched"] == "full"
    assert second.result == {"dispatched": "joined", "runId": first.result["runId"]}
    assert first.emitted == [("product.syncBatch", {"syncRunId": first.result["runId"], "step": "start"})]
    assert second.emitted == []
    assert rows("SELECT mode, status FROM catalog_sync_runs") == [{"mode": "full", "status": "requested"}]


def test_a_full_run_takes_the_place_of_a_delta(deliver: Deliver, shop: Shop, rows: Rows, clock: ManualClock) -> None:
    open_run(rows, clock, "products", "delta", hours=5 / 60)

    done = deliver(ProductSync(full_sync=True))

    assert done.result["dispatched"] == "full"
    assert rows("SELECT mode, status FROM catalog_sync_runs ORDER BY started_at") == [
        {"mode": "delta", "status": "superseded"},
        {"mode": "full", "status": "requested"},
    ]


def test_a_run_without_progress_makes_room(deliver: Deliver, shop: Shop, rows: Rows, clock: ManualClock) -> None:
    open_run(rows, clock, "products", "full", hours=9)

    done = deliver(ProductSync(full_sync=True))

    assert done.result["dispatched"] == "full"
    assert rows("SELECT status, error_code FROM catalog_sync_runs ORDER BY started_at") == [
        {"status": "failed", "error_code": "RUN_STALE"},
        {"status": "requested", "error_code": None},
    ]


def test_without_anything_changes_are_read(deliver: Deliver, shop: Shop) -> None:
    done = deliver(ProductSync())

    assert (done.result, done.emitted) == ({"dispatched": "delta"}, [("product.syncBatch", {})])


@pytest.mark.parametrize("job", [PRODUCT_JOB, INVENTORY_JOB])
def test_without_a_connection_nothing_starts(deliver: Deliver, shop: Shop, rows: Rows, job: str) -> None:
    rows.execute("UPDATE shopify_connections SET status = 'suspended'")

    done = deliver.job(job, {"fullSync": True}, expect="dead")

    assert done.code == "SHOPIFY_NOT_CONNECTED"
    assert [name for name, _ in done.emitted if not name.startswith("alert.")] == []


def test_disabled_is_no_error(deliver: Deliver, shop: Shop, rows: Rows) -> None:
    rows.execute("""INSERT INTO tenant_config (key, value) VALUES ('catalog.sync', '{"products": false}')""")

    assert deliver(ProductSync(full_sync=True)).result == {"dispatched": "disabled"}


# -- commerce-handle-inventory-sync ------------------------------------------------------------------------------------


def test_the_narrowest_thing_wins(deliver: Deliver, shop: Shop) -> None:
    done = deliver(InventorySync(variant_id="71", product_id="7", location_id="1"))

    assert done.result == {"dispatched": "variant"}
    ((name, payload),) = done.emitted
    assert (name, payload["shopifyVariantId"], payload["shopifyLocationId"]) == ("inventory.update", "71", "1")


@pytest.mark.parametrize(("hours", "dispatched"), [(25, "full"), (23, "delta")])
def test_the_schedule_reads_everything_once_a_day(
    deliver: Deliver, shop: Shop, rows: Rows, clock: ManualClock, hours: int, dispatched: str
) -> None:
    completed(rows, clock, hours)

    done = deliver(InventorySync(source="schedule"))

    assert done.result["dispatched"] == dispatched
    assert [name for name, _ in done.emitted] == ["inventory.syncBatch"]


def test_a_tick_joins_a_run_that_goes_on(deliver: Deliver, shop: Shop, rows: Rows, clock: ManualClock) -> None:
    id = open_run(rows, clock, "inventory", "delta", hours=5 / 60)

    done = deliver(InventorySync(source="schedule"))

    assert (done.result, done.emitted) == ({"dispatched": "joined", "runId": id}, [])
    assert rows("SELECT count(*) AS n FROM catalog_sync_runs") == [{"n": 1}]


def test_products_known_and_unknown(deliver: Deliver, shop: Shop, rows: Rows) -> None:
    rows.execute("INSERT INTO products (id, shopify_product_id, title) VALUES ('mug', '7', 'Mug')")

    known = deliver(InventorySync(product_id="mug"))
    asked = deliver(InventorySync(product_id="99887766"))
    dead = deliver(InventorySync(product_id="unknown-handle"), expect="dead")

    assert known.emitted[0][1]["productIds"] == ["mug"]
    assert asked.emitted == [
        ("product.syncOne", {"shopifyProductId": "99887766", "action": "update", "source": "manual"})
    ]
    assert dead.code == "PRODUCT_ID_UNKNOWN"


# -- crons -------------------------------------------------------------------------------------------------------------

NIGHT = datetime(2026, 11, 21, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("job", "hour", "event", "payload"),
    [
        ("commerce-product-full-sync-scheduled", 3, "product.sync", {"fullSync": True, "source": "schedule"}),
        ("commerce-customer-full-sync-scheduled", 4, "customer.syncBatch", {"source": "schedule"}),
        ("commerce-collection-sync-scheduled", 5, "collection.sync",
         {"fullSync": True, "action": "update", "source": "schedule"}),
    ],
)  # fmt: skip
def test_connected_tenants_are_told_once_a_night(
    bench: Bench,
    shop: Shop,
    rows: Rows,
    admin_url: str,
    other_tenant: Tenant,
    job: str,
    hour: int,
    event: str,
    payload: dict[str, Any],
) -> None:
    at = NIGHT.replace(hour=hour)
    provision_tenant(admin_url, "initech", "Initech")  # a third tenant; globex is suspended by Shopify, it has no shop
    rows.execute(
        "INSERT INTO shopify_connections (tenant_id, shop, access_token_encrypted, status)"
        " VALUES (%s, 'globex.myshopify.com', 'sealed', 'suspended')",
        (other_tenant.organization_id,),
        tenant=other_tenant,
    )

    first = bench.tick(job, at)
    second = bench.tick(job, at)
    rows.execute("UPDATE shopify_connections SET status = 'suspended'")
    suspended = bench.tick(job, at + timedelta(days=1))

    ((name, sent),) = first.published
    assert (name, sent["tenantId"]) == (event, "acme")
    assert {key: value for key, value in sent.items() if key not in ("tenantId", "_meta")} == payload
    assert second.published == suspended.published == []


@pytest.mark.parametrize(
    ("job", "member"),
    [("commerce-product-full-sync-scheduled", "products"), ("commerce-customer-full-sync-scheduled", "customers")],
)
def test_a_tenant_who_wants_it_not_is_not_told(bench: Bench, shop: Shop, rows: Rows, job: str, member: str) -> None:
    rows.execute(
        "INSERT INTO tenant_config (key, value) VALUES ('catalog.sync', jsonb_build_object(%s::text, false))", (member,)
    )

    assert bench.tick(job, NIGHT).published == []


def alert(rows: Rows, frequency: str, kind: str = "low_stock") -> None:
    rows.execute(
        "INSERT INTO analytics_slack_alerts (alert_type, channel_id, config)"
        " VALUES (%s, 'C00000001', jsonb_build_object('frequency', %s::text,"
        " 'businessHoursTimezone', 'America/New_York'))",
        (kind, frequency),
    )


@pytest.fixture
def low(rows: Rows) -> None:
    """Product 7 with the variants 71 (low) and 72 (in stock)."""
    rows.execute("INSERT INTO products (id, shopify_product_id, title) VALUES ('mug', '7', 'Mug')")
    rows.execute(
        "INSERT INTO product_variants (shopify_variant_id, product_id, shopify_product_id, title, price_cents,"
        " currency, inventory_quantity, stock_state) VALUES ('71', 'mug', '7', 'Red', 100, 'USD', 3, 'low'),"
        " ('72', 'mug', '7', 'Blue', 100, 'USD', 90, 'in_stock')"
    )


@pytest.mark.usefixtures("low")
def test_a_daily_summary_comes_at_nine(deliver: Deliver, shop: Shop, rows: Rows, slack: SlackFake) -> None:
    alert(rows, "daily")
    wednesday = datetime(2026, 11, 25, 14, tzinfo=UTC)

    first = deliver.tick(SUMMARIES, at=wednesday)
    second = deliver.tick(SUMMARIES, at=wednesday + timedelta(hours=1))

    assert first.result == {"emitted": 1, "summaries": 1, "variantsListed": 1}
    assert second.result["summaries"] == 0
    (posted,) = slack.posted()
    assert posted.text == "*Low stock: 1 variant*\n• Mug / Red: 3 left"
    assert first.emitted == [("inventory.sync", {"fullSync": False, "source": "schedule"})]


@pytest.mark.usefixtures("low")
def test_reordering_is_a_matter_of_days_not_of_states(
    deliver: Deliver, shop: Shop, rows: Rows, slack: SlackFake
) -> None:
    alert(rows, "daily", "reorder_needed")
    rows.execute(
        "INSERT INTO product_variants (shopify_variant_id, product_id, shopify_product_id, title, price_cents,"
        " currency, inventory_quantity, stock_state)"
        " VALUES ('73', 'mug', '7', 'Green', 100, 'USD', 22, 'in_stock'),"
        " ('74', 'mug', '7', 'Black', 100, 'USD', 23, 'in_stock'),"
        " ('75', 'mug', '7', 'Grey', 100, 'USD', 1, 'untracked')"
    )
    rows.execute(
        "INSERT INTO orders (id, shopify_id, order_number, order_placed_at, cancelled_at)"
        " VALUES ('1', '1', '#1', '2026-11-10T00:00:00Z', NULL), ('2', '2', '#2', '2026-11-10T00:00:00Z', now())"
    )
    rows.execute(
        "INSERT INTO order_line_items (order_shopify_id, product_id, variant_id, title, quantity)"
        " SELECT '1', '7', v, 'Mug', 45 FROM unnest('{73,74,75}'::text[]) v"
        " UNION ALL SELECT '2', '7', '72', 'Mug', 9000"
    )

    done = deliver.tick(SUMMARIES, at=datetime(2026, 11, 25, 14, tzinfo=UTC))

    assert done.result["variantsListed"] == 1
    (posted,) = slack.posted()
    assert posted.text == "*Time to reorder: 1 variant*\n• Mug / Green: 22 left, 14 days of cover"


@pytest.mark.usefixtures("low")
def test_the_stock_run_starts_although_slack_is_down(
    deliver: Deliver, shop: Shop, rows: Rows, slack: SlackFake, bench: Bench
) -> None:
    alert(rows, "daily")
    slack.fail("503")

    first = deliver.tick(SUMMARIES, at=datetime(2026, 11, 25, 14, tzinfo=UTC), expect="retrying")
    bench.drain(horizon_s=60)

    assert [name for name, _ in first.emitted] == ["inventory.sync"]
    assert len(slack.posted()) == 1
    entries = [report for report in bench.reports if isinstance(report, Outcome) and report.run.job.id == INVENTORY_JOB]
    assert len(entries) == 1


@pytest.mark.usefixtures("low")
def test_a_weekly_summary_comes_on_mondays(deliver: Deliver, shop: Shop, rows: Rows, slack: SlackFake) -> None:
    alert(rows, "weekly")
    sunday = datetime(2026, 11, 22, 14, tzinfo=UTC)

    told = [deliver.tick(SUMMARIES, at=sunday + timedelta(days=n)).result["summaries"] for n in range(3)]

    assert told == [0, 1, 0]


@pytest.mark.usefixtures("low")
def test_the_switch_to_winter_time_has_one_nine_o_clock(
    deliver: Deliver, shop: Shop, rows: Rows, slack: SlackFake, clock: ManualClock
) -> None:
    clock.advance(days=345)  # 31 October 2027; the clocks go back on 7 November 2027
    alert(rows, "daily")

    told = [
        deliver.tick(SUMMARIES, at=datetime(2027, 11, 7, hour, tzinfo=UTC)).result["summaries"] for hour in range(4, 18)
    ]

    assert sum(told) == 1
    assert told[14 - 4] == 1


def test_nothing_to_list_is_no_message(deliver: Deliver, shop: Shop, rows: Rows, slack: SlackFake) -> None:
    alert(rows, "daily", "out_of_stock")

    done = deliver.tick(SUMMARIES, at=datetime(2026, 11, 25, 14, tzinfo=UTC))

    assert (done.result["summaries"], slack.posted()) == (0, [])
    assert rows("SELECT last_triggered_at IS NOT NULL AS served FROM analytics_slack_alerts") == [{"served": True}]


@pytest.mark.usefixtures("low")
def test_a_tenant_without_a_shop_gets_summaries(deliver: Deliver, rows: Rows, slack: SlackFake) -> None:
    alert(rows, "daily")

    done = deliver.tick(SUMMARIES, at=datetime(2026, 11, 25, 14, tzinfo=UTC))

    assert (done.result["emitted"], done.result["summaries"], done.emitted) == (0, 1, [])


@pytest.mark.usefixtures("low")
def test_a_channel_that_is_gone_stops_no_other_row(deliver: Deliver, shop: Shop, rows: Rows, slack: SlackFake) -> None:
    alert(rows, "daily")
    alert(rows, "daily")
    rows.execute(
        "UPDATE analytics_slack_alerts SET channel_id = 'C0GONE' WHERE id = (SELECT min(id::text)::uuid"
        " FROM analytics_slack_alerts)"
    )

    done = deliver.tick(SUMMARIES, at=datetime(2026, 11, 25, 14, tzinfo=UTC))

    assert done.result["summaries"] == 1
    assert rows("SELECT is_enabled FROM analytics_slack_alerts") == [{"is_enabled": True}] * 2
