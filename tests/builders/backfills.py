"""What tests of backfills share: shops with many orders, and reading of what a run did."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from shared.events.orders import OrderSyncBatch
from shared.fakes.shopify import OrderDraft, Shop, ShopifyFake, order_node
from shared.fakes.shopify.search import Facts
from shared.jobs.testing import Delivered

NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)
ACME = "acme.myshopify.com"
JOB = "commerce-sync-order-batch"
QUEUE = "order-processing-bulk"
DAY = timedelta(days=1)


class Rows(Protocol):
    def __call__(self, sql: str, params: Any = None) -> list[dict[str, Any]]: ...
    def execute(self, sql: str, params: Any = None) -> int: ...


class Drain(Protocol):
    def __call__(self, *, most: int = 10_000) -> list[Delivered]: ...


class Spread:
    """So many orders spread evenly over a span, each of one line of 10.00; made when they are asked for."""

    def __init__(self, count: int, first: datetime, span: timedelta) -> None:
        self._count, self._first, self._step = count, first, span / count

    def facts(self) -> Iterable[Facts]:
        for id in range(1, self._count + 1):
            second = int(self._at(id).timestamp())
            yield Facts(id, second, second, second)

    def __contains__(self, legacy_id: object) -> bool:
        return isinstance(legacy_id, int) and 1 <= legacy_id <= self._count

    def node(self, legacy_id: int) -> dict[str, Any]:
        return order_node(OrderDraft(legacy_id, self._at(legacy_id)))

    def order_of_refund(self, refund_id: int) -> int | None:
        return None

    def total_cents(self, legacy_id: int) -> int:
        return 1_000

    def _at(self, id: int) -> datetime:
        return self._first + (id - 1) * self._step


def spread(shopify: ShopifyFake, count: int, first: datetime, span: timedelta) -> Shop:
    """The shop of acme anew, with so many orders."""
    old = shopify.shops[ACME]
    return shopify.shop(ACME, token=old.token, scopes=old.scopes, base=Spread(count, first, span))


def window(start: datetime, end: datetime = NOW, **more: Any) -> OrderSyncBatch:
    return OrderSyncBatch(start_date=start, end_date=end, **more)


def run_row(rows: Rows) -> dict[str, Any]:
    (row,) = rows("SELECT * FROM order_sync_runs")
    return row


def ended(delivered: Iterable[Delivered]) -> dict[str, Any]:
    """The totals that the run's last message answered."""
    (run,) = [d.result["run"] for d in delivered if "run" in d.result]
    return dict(run)


def names(delivered: Delivered | Iterable[Delivered]) -> list[str]:
    """Names of what was emitted, sorted."""
    each = [delivered] if isinstance(delivered, Delivered) else delivered
    return sorted(name for d in each for name, _ in d.emitted)


def mine(delivered: Iterable[Delivered]) -> list[Delivered]:
    return [d for d in delivered if d.job == JOB]
