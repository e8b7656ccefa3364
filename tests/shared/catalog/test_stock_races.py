"""Two processes that settle stock at the same moment, on connections of their own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.catalog.levels import store_levels
from shared.catalog.records import LevelRecord
from shared.catalog.stock import Moved, Verdict, evaluate, settle_items
from shared.db.connections import connect
from shared.db.sessions import tenant_transaction
from shared.jobs.context import Session, Tenant
from tests.conftest import Rows

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
Work = Callable[[Any], Any]
WAITING = "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


@pytest.fixture
def mug(rows: Rows) -> None:
    """Product 7 with the variants 71 and 72, 5 pieces of each at the places 1 and 2; judged."""
    rows.execute("INSERT INTO inventory_locations (shopify_location_id, name) VALUES ('1', 'one'), ('2', 'two')")
    rows.execute(
        "INSERT INTO products (id, shopify_product_id, title, inventory_quantity) VALUES ('mug', '7', 'Mug', 20)"
    )
    rows.execute(
        "INSERT INTO product_variants (shopify_variant_id, product_id, shopify_product_id, inventory_item_id, title,"
        " price_cents, currency, inventory_quantity, stock_state)"
        " VALUES ('71', 'mug', '7', '710', 'Red', 1, 'USD', 10, 'low'), ('72', 'mug', '7', '720', 'Blue', 1, 'USD', 10,"
        " 'low')"
    )
    rows.execute(
        "INSERT INTO inventory_levels (inventory_item_id, shopify_location_id, available)"
        " SELECT i, p, 5 FROM unnest('{710,720}'::text[]) i, unnest('{1,2}'::text[]) p"
    )


def at_once(database_url: str, tenant: Tenant, rows: Rows, first: Work, second: Work) -> tuple[Any, Any]:
    """Both in transactions of their own; the first commits when the second waits for it, or has got by."""
    given: list[Any] = []

    def other() -> None:
        with (
            connect(database_url, application_name="second") as connection,
            tenant_transaction(connection, tenant) as session,
        ):
            given.append(second(session))

    thread = threading.Thread(target=other)
    with (
        connect(database_url, application_name="first") as connection,
        tenant_transaction(connection, tenant) as session,
    ):
        result = first(session)
        thread.start()
        until = time.monotonic() + 10
        while rows(WAITING) == [{"n": 0}] and thread.is_alive() and time.monotonic() < until:
            time.sleep(0.01)
    thread.join(10)
    return result, given[0]


def sell(item: str, place: str, left: int) -> Callable[[Session], list[Moved]]:
    def work(session: Session) -> list[Moved]:
        store_levels(session, [LevelRecord(item, place, left, updated_at=NOW)], now=NOW)
        return settle_items(session, [item], now=NOW)

    return work


@pytest.mark.usefixtures("mug")
def test_two_places_of_one_item(database_url: str, tenant: Tenant, rows: Rows) -> None:
    at_once(database_url, tenant, rows, sell("710", "1", 4), sell("710", "2", 3))

    assert rows("SELECT inventory_quantity AS n FROM product_variants WHERE shopify_variant_id = '71'") == [{"n": 7}]


@pytest.mark.usefixtures("mug")
def test_two_variants_of_one_product(database_url: str, tenant: Tenant, rows: Rows) -> None:
    at_once(database_url, tenant, rows, sell("710", "1", 4), sell("720", "1", 3))

    assert rows("SELECT inventory_quantity AS n FROM products") == [{"n": 17}]


@pytest.mark.usefixtures("mug")
def test_a_state_that_two_runs_find_is_told_once(database_url: str, tenant: Tenant, rows: Rows) -> None:
    rows.execute("UPDATE product_variants SET inventory_quantity = 0")

    def judged(session: Session) -> list[Verdict]:
        return evaluate(session, [Moved("71", 10)], now=NOW)

    first, second = at_once(database_url, tenant, rows, judged, judged)

    assert [[verdict.event() is not None for verdict in each] for each in (first, second)] == [[True], [False]]
    assert rows("SELECT stock_state AS s FROM product_variants WHERE shopify_variant_id = '71'") == [{"s": "out"}]
