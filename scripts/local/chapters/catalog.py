"""Products with their variants, then their stock at every place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scripts.local.tenants import BACKFILL
from shared.events.catalog import InventorySync, ProductSync
from shared.fakes.cdnow_order import ALBUMS
from shared.fakes.demo_catalog import PLACES

if TYPE_CHECKING:
    from scripts.local.story import Story

CATALOG = """
SELECT (SELECT count(*) FROM products) AS products, (SELECT count(*) FROM product_variants) AS variants,
       (SELECT count(*) FROM inventory_levels) AS levels,
       (SELECT count(*) FROM product_variants WHERE stock_state IS NOT NULL) AS judged,
       (SELECT count(*) FROM product_variants v WHERE v.inventory_quantity IS DISTINCT FROM
           (SELECT sum(l.available) FROM inventory_levels l WHERE l.inventory_item_id = v.inventory_item_id)) AS wrong
"""


def tell(story: Story) -> None:
    """Have everything synchronised, unless it is here."""
    if story.rows(CATALOG, BACKFILL)[0]["judged"] < 2 * ALBUMS:
        story.publisher.publish(ProductSync(full_sync=True), BACKFILL)
        story.settle_down()
        story.publisher.publish(InventorySync(full_sync=True), BACKFILL)
        story.settle_down()
    found = story.rows(CATALOG, BACKFILL)[0]
    story.check(
        f"{BACKFILL}: {found['products']:,} products, {found['variants']:,} variants and their stock at"
        f" {len(PLACES)} places, {found['levels']:,} levels whose sums agree",
        (found["products"], found["variants"], found["levels"], found["judged"], found["wrong"])
        == (ALBUMS, 2 * ALBUMS, 2 * ALBUMS * len(PLACES), 2 * ALBUMS, 0),
    )
