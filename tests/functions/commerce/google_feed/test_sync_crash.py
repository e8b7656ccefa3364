"""A worker that dies anywhere in a run: the next one goes on, and the run's figures are those of an undisturbed one."""

from __future__ import annotations

from typing import Any

import pytest

from functions.commerce.google_feed import sending
from shared.events.google_feed import GoogleFeedProductUpdate, GoogleFeedSync
from shared.fakes.merchant import Account
from shared.google_feed import catalogue
from shared.jobs.testing import Bench, Deliver, ManualClock
from tests.builders.google_feed import a_feed, products
from tests.conftest import Rows

FULL = GoogleFeedSync(triggered_by="manual")
FIGURES = (
    "SELECT status::text AS status, total_products AS total, products_synced AS synced, products_added AS added,"
    " products_updated AS updated, products_removed AS removed, products_excluded AS excluded,"
    " products_with_errors AS errors FROM google_feed_sync_history ORDER BY started_at DESC LIMIT 1"
)

CHECKPOINTS = ("before-checkpoint", "after-checkpoint")
PLACES = [
    *((point, nth) for point in CHECKPOINTS for nth in (1, 2, 3, 5, 7, 9, 11, 13, 15)),
    *(("before-call", nth) for nth in range(1, 8)),
]


@pytest.mark.parametrize(("point", "nth"), PLACES)
def test_worker_that_dies_changes_nothing(
    rows: Rows,
    account: Account,
    deliver: Deliver,
    bench: Bench,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    nth: int,
) -> None:
    """12 offers are there; of these 2 go, 3 change, 1 is wrong now; 2 are new; three pages of each step."""
    monkeypatch.setattr(catalogue.next_page, "__kwdefaults__", {"since": None, "limit": 5})
    monkeypatch.setattr(sending, "PAGE", 2)
    a_feed(rows)
    products(rows, 12)
    deliver(FULL)
    clock.advance(days=1)
    rows.execute("UPDATE products SET status = 'archived' WHERE id IN ('1000', '1001')")
    rows.execute("UPDATE products SET title = 'New' WHERE id IN ('1002', '1003')")
    rows.execute("UPDATE product_variants SET price_cents = 2500 WHERE product_id = '1004'")
    rows.execute("UPDATE product_variants SET price_cents = 0 WHERE product_id = '1005'")
    products(rows, 2, first=1020)
    bench.queues.queues.clear()
    bench.faults.clear()
    bench.faults.crash(point, nth=nth)

    bench.publish(FULL, "acme")
    bench.drain()
    bench.sweep()

    assert bench.crashes == 1
    assert rows(FIGURES) == [
        {"status": "completed", "total": 12, "synced": 11, "added": 2, "updated": 3, "removed": 2, "excluded": 0,
         "errors": 1}
    ]  # fmt: skip
    held = account.held()
    assert set(held) == {f"{n}_{n}01" for n in (*range(1002, 1012), 1020, 1021)}
    assert held["1002_100201"].attributes["title"] == "New"
    assert held["1004_100401"].attributes["price"]["amountMicros"] == "25000000"


@pytest.mark.parametrize("nth", range(1, 4))
@pytest.mark.parametrize("point", ["before-checkpoint", "after-checkpoint", "before-call"])
def test_worker_that_dies_over_one_product(
    rows: Rows, account: Account, deliver: Deliver, bench: Bench, clock: ManualClock, point: str, nth: int
) -> None:
    a_feed(rows)
    products(rows, 1)
    deliver(FULL)
    clock.advance(s=3600)
    rows.execute("UPDATE products SET title = 'New'")
    bench.queues.queues.clear()
    bench.faults.clear()
    bench.faults.crash(point, nth=nth)

    bench.publish(GoogleFeedProductUpdate(product_id="1000", action="update"), "acme")
    bench.drain()

    assert account.held()["1000_100001"].attributes["title"] == "New"
    found: list[dict[str, Any]] = rows("SELECT state, inserts_today AS n FROM google_feed_offers")
    assert found == [{"state": "active", "n": 2}]
