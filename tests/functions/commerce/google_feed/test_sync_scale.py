"""What a run costs: statements per page do not grow with the page, and nothing unchanged is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from functions.commerce.catalog.paging import Legs
from functions.commerce.google_feed import sending
from shared.db import sessions
from shared.events.google_feed import GoogleFeedSync
from shared.fakes.merchant import Account
from shared.google_feed import catalogue
from shared.jobs.testing import Deliver, ManualClock
from tests.builders.google_feed import a_feed, products
from tests.conftest import Rows

FULL = GoogleFeedSync(triggered_by="manual")


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """Statements of the feed by their first line."""
    found: Counter[str] = Counter()
    run = sessions.TransactionSession._run

    def spy(self: Any, sql: str, params: Any) -> Any:
        found[sql.strip().split("\n", 1)[0]] += 1
        return run(self, sql, params)

    with monkeypatch.context() as patch:
        patch.setattr(sessions.TransactionSession, "_run", spy)
        yield found


def of(statements: Counter[str], *words: str) -> int:
    """How many of them say all of these words."""
    return sum(n for text, n in statements.items() if all(word in text for word in words))


def test_statements_per_page_are_constant(
    rows: Rows, account: Account, deliver: Deliver, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same number of pages costs the same, whether a page holds one product or hundred."""
    a_feed(rows)
    monkeypatch.setattr(catalogue.next_page, "__kwdefaults__", {"since": None, "limit": 1})
    products(rows, 3)
    with counted(monkeypatch) as small:
        deliver(FULL)
    rows.execute("TRUNCATE products, product_variants, google_feed_products, google_feed_offers CASCADE")
    products(rows, 300)
    monkeypatch.setattr(catalogue.next_page, "__kwdefaults__", {"since": None, "limit": 100})
    monkeypatch.setattr(sending, "PAGE", 300)
    clock.advance(days=1)
    with counted(monkeypatch) as large:
        deliver(FULL)

    feed = {name: n for name, n in large.items() if name.startswith("-- google feed")}
    assert len(account.held()) == 300
    once = ("data source", "delete", "left", "settings")
    assert {n: c for n, c in feed.items() if not any(w in n for w in once)} == {
        name: n
        for name, n in small.items()
        if name.startswith("-- google feed") and not any(word in name for word in once)
    }


def test_run_without_a_change_writes_no_row_of_the_feed(
    rows: Rows, account: Account, deliver: Deliver, clock: ManualClock
) -> None:
    a_feed(rows)
    products(rows, 20)
    deliver(FULL)
    before = rows("SELECT xmin::text AS x FROM google_feed_products ORDER BY id")
    clock.advance(days=1)

    deliver(FULL)

    assert rows("SELECT xmin::text AS x FROM google_feed_products ORDER BY id") == before


def test_run_that_is_too_long_for_one_leg_goes_on_in_others(
    rows: Rows, account: Account, deliver: Deliver, drain: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_feed(rows)
    products(rows, 25)
    monkeypatch.setattr(catalogue.next_page, "__kwdefaults__", {"since": None, "limit": 10})
    monkeypatch.setattr(sending, "PAGE", 10)
    monkeypatch.setattr(Legs, "over", lambda self: True)

    deliver(FULL, expect="continuing")
    ended = [each for each in drain() if each.job == "google-feed-sync" and each.state == "succeeded"]

    assert {n: ended[0].result[n] for n in ("outcome", "total", "added")} == {
        "outcome": "completed", "total": 25, "added": 25,
    }  # fmt: skip
    assert len(account.held()) == 25
