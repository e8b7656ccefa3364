"""The chapters of the demo, told in process: the same checks on the same fakes, without the engine."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from rich.console import Console

from scripts.local import chapters, fakes, tenants
from scripts.local.chapters import ab_test, catalog, feed, reviews
from scripts.local.story import Story
from shared.events.orders import OrderSyncBatch
from shared.fakes import demo_catalog, demo_merchant
from shared.fakes.cdnow import CdnowOrders, read_log, trickle, yesterday
from shared.fakes.merchant import MerchantFake
from shared.fakes.redis import RedisFake
from shared.fakes.resend import ResendFake
from shared.fakes.shopify import ShopifyFake
from shared.fakes.slack import SlackFake
from shared.fakes.vendor_files import VendorFileError, cdnow_log, shopify_schema
from shared.integrations import google_auth
from shared.jobs.context import Tenant
from shared.jobs.publisher import Publisher
from shared.jobs.registry import Registry
from shared.jobs.testing import Bench, ManualClock
from tests.conftest import ENCRYPTION_KEY, MakeBench, unavailable

SHOP = "acme.myshopify.com"


class InProcess(Story):
    """A story whose messages go through the bench, and whose time is the tests' clock."""

    bench: Bench
    clock: ManualClock
    orders: CdnowOrders

    def settle_down(self) -> None:
        self.bench.drain(horizon_s=600)

    def until(self, what: str, holds: Callable[[], bool]) -> None:
        for _ in range(10):
            if holds():
                return
            self.clock.advance(s=1)
        raise TimeoutError(what)

    def trickle_orders(self) -> CdnowOrders:
        return self.orders


@pytest.fixture
def clock() -> ManualClock:
    """The machine's time: the database stamps changed orders by it, and a run leaves later changes to the next."""
    return ManualClock(datetime.now(UTC))


@pytest.fixture
def merchant(clock: ManualClock) -> Iterator[MerchantFake]:
    """The demo's Google."""
    google_auth._remembered.clear()
    with MerchantFake.start(now=clock.now, review_s=demo_merchant.REVIEW_S) as fake:
        demo_merchant.judge(fake.account(tenants.MERCHANT_ID, refresh_token=tenants.GOOGLE_REFRESH_TOKEN))
        yield fake
        assert fake.problems() == []


@pytest.fixture
def vendors(clock: ManualClock, orders: CdnowOrders, merchant: MerchantFake, tmp_path: Path) -> Iterator[fakes.Vendors]:
    """All fakes, as scripts/dev starts them, with one shop that has the catalogue and the orders."""
    with ExitStack() as held:
        shopify = held.enter_context(ShopifyFake.start(shopify_schema(), now=clock.now))
        slack = held.enter_context(SlackFake.start(now=clock.now))
        resend = held.enter_context(ResendFake.start(now=clock.now))
        redis = held.enter_context(RedisFake.start())
        demo_catalog.fill(shopify.shop(SHOP, base=orders))
        slack.team(tenants.SLACK_TOKEN, opens=True)
        resend.team(tenants.RESEND_KEY)
        redis.database(tenants.REDIS_TOKEN)
        shops = fakes.Shops(shopify.base_url, tmp_path, tmp_path)
        yield fakes.Vendors(shops, slack.base_url, resend.base_url, redis.base_url, merchant.base_url)
        assert [*slack.problems(), *resend.problems()] == []


@pytest.fixture
def orders(clock: ManualClock) -> CdnowOrders:
    """The orders of the second demo shop."""
    try:
        return trickle(read_log(cdnow_log()), yesterday(clock.now()))
    except VendorFileError as error:
        unavailable(error)


@pytest.fixture
def story(
    monkeypatch: pytest.MonkeyPatch,
    make_bench: MakeBench,
    registry: Registry,
    vendors: fakes.Vendors,
    orders: CdnowOrders,
    admin: psycopg.Connection[Any],
    tenant: Tenant,
    clock: ManualClock,
) -> InProcess:
    """One tenant that is both of the demo's, with its orders imported."""
    for module in (ab_test, catalog, feed, reviews, tenants):
        for name in ("BACKFILL", "TRICKLE"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, tenant.slug)
    monkeypatch.setattr(tenants, "SHOPS", {tenant.slug: SHOP})
    tenants.connect_vendors(admin, tenant.slug, tenant.organization_id, ENCRYPTION_KEY)
    told = InProcess(cast(Any, None), vendors, Console(file=io.StringIO(), width=200))
    told.bench, told.clock, told.orders = make_bench(registry, **vendors.settings), clock, orders
    told.admin, told.registry, told.publisher = admin, registry, cast(Publisher, told.bench)
    return told


def test_every_check_of_the_chapters_holds_and_a_second_start_asks_nothing(
    story: InProcess, tenant: Tenant, merchant: MerchantFake
) -> None:
    chapters.begin(story)
    since = story.clock.now().date() - timedelta(days=30)
    story.bench.publish(OrderSyncBatch(start_date=since, window_by="created", announce="none"), tenant.slug)
    story.settle_down()

    chapters.tell(story)

    assert [what for what, holds in story.checks if not holds] == []
    assert len(story.checks) == 12
    assert _printed(story, "Free shipping", "Decision: winner", "disapproved", "out_of_stock", "reminder_1")

    merchant.accounts[tenants.MERCHANT_ID].inputs.clear()  # the fakes of a second start begin empty
    published = len(story.bench.bus.published)
    chapters.tell(story)
    assert len(story.bench.bus.published) == published
    assert [what for what, holds in story.checks if not holds] == []


def test_checks_find_what_is_wrong(story: InProcess, tenant: Tenant) -> None:
    """No order was imported: there is nothing to ask about, and nobody has bought."""
    chapters.begin(story)
    chapters.tell(story)

    wrong = [what for what, holds in story.checks if not holds]
    assert any("queue of review mails" in what for what in wrong)
    assert any("ended" in what for what in wrong)


def _printed(story: InProcess, *words: str) -> bool:
    file = story.console.file
    assert isinstance(file, io.StringIO)
    return all(word in file.getvalue() for word in words)
