"""What the suites of the order jobs share: the shop, a synced order, a creator whom the portal knows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.events.orders import OrderSync
from shared.fakes.shopify import Shop, ShopifyFake
from shared.jobs.context import Tenant
from shared.jobs.testing import Deliver, Delivered, ManualClock
from tests.builders.creators import JANE, add_creator
from tests.builders.orders import Node
from tests.conftest import SHOP, Rows

Synced = Callable[..., Delivered]


@pytest.fixture
def shop(shopify: ShopifyFake) -> Shop:
    return shopify.shops[SHOP]


@pytest.fixture
def synced(deliver: Deliver, shop: Shop, clock: ManualClock) -> Synced:
    """Puts an order into the shop and syncs it, outside the burst window of the sync before."""

    def put(node: Node) -> Delivered:
        clock.advance(s=61)
        shop.put_order(node)
        return deliver(OrderSync(shopify_order_id=node["legacyResourceId"]))

    return put


@pytest.fixture
def jane(rows: Rows, tenant: Tenant) -> str:
    """Jane with the code JANE15: in the tenant, and in the portal as a member of this organization. Her id."""
    add_creator(rows, JANE, "JANE15")
    rows.execute(
        "INSERT INTO public.creators (id, email, name) VALUES (%s, %s, 'Jane')", (JANE, f"{JANE}@creators.example")
    )
    rows.execute(
        "INSERT INTO public.creator_brand_memberships (creator_id, organization_id, status) VALUES (%s, %s, 'active')",
        (JANE, tenant.organization_id),
    )
    return JANE
