"""The places of the shop. One that opens or closes changes what its items have in stock, although no level changes."""

from __future__ import annotations

from uuid import UUID

from functions.commerce.catalog.judging import judge_sellability
from shared.catalog.levels import store_locations
from shared.catalog.stock import settle_items
from shared.catalog.worklist import add_items_at, add_moved, drop_items_at, next_items_at, pending
from shared.ids import legacy_id
from shared.integrations.shopify_catalog import ShopifyCatalog
from shared.jobs import JobContext

SWITCHED = UUID("3d1c2f7a-52a5-4c0e-9f0b-6c5f1f0c9a41")
"""Names the list of items at places that opened or closed. No run's: what one that dies leaves, the next works off."""
SETTLE_CHUNK = 500
"""Items per transaction."""


def read_places(ctx: JobContext, shopify: ShopifyCatalog) -> None:
    """Take over the places of the shop, and what follows for the stock of items at one that opened or closed."""
    places = [(legacy_id(node["id"]), str(node["name"]), bool(node["isActive"])) for node in shopify.locations()]
    with ctx.tenant_session() as session:
        switched = store_locations(session, places, now=ctx.now())
        add_items_at(session, SWITCHED, switched)
        left = pending(session, SWITCHED)
    if left:
        _settle(ctx)


def _settle(ctx: JobContext) -> None:
    while True:
        with ctx.tenant_session() as session:
            items = next_items_at(session, SWITCHED, SETTLE_CHUNK)
            add_moved(session, SWITCHED, settle_items(session, items, now=ctx.now()))
            drop_items_at(session, SWITCHED, items)
        if len(items) < SETTLE_CHUNK:
            break
    judge_sellability(ctx, SWITCHED, posts=f"{ctx.run_id}:places")
