"""What the clock starts: products every night, customers every night, stock every hour; and the stock summaries."""

from __future__ import annotations

from functions.commerce.catalog.common import CONNECTION, enabled
from shared.catalog.stock_messages import post_summaries
from shared.events.base import Payload
from shared.events.catalog import InventorySync, ProductSync
from shared.events.customers import CustomerSyncBatch
from shared.jobs import Cron, JobContext, Retry, Tick, dispatch, job
from shared.jobs.queues import CATALOG_SYNC

RETRY = Retry(attempts=3, factor=2, min_s=1, max_s=60)

PRODUCTS_DUE = """
SELECT 1 FROM shopify_connections
WHERE status = 'active' AND access_token_encrypted IS NOT NULL
  AND NOT EXISTS (SELECT FROM tenant_config WHERE key = 'catalog.sync' AND value -> 'products' = 'false')
LIMIT 1
"""

CUSTOMERS_DUE = """
SELECT 1 FROM shopify_connections
WHERE status = 'active' AND access_token_encrypted IS NOT NULL
  AND NOT EXISTS (SELECT FROM tenant_config WHERE key = 'catalog.sync' AND value -> 'customers' = 'false')
LIMIT 1
"""

INVENTORY_DUE = """
SELECT 1 WHERE EXISTS (
    SELECT FROM shopify_connections WHERE status = 'active'
      AND NOT EXISTS (SELECT FROM tenant_config WHERE key = 'catalog.sync' AND value -> 'inventory' = 'false')
) OR EXISTS (
    SELECT FROM analytics_slack_alerts
    WHERE is_enabled AND alert_type IN ('low_stock', 'out_of_stock', 'reorder_needed')
      AND config ->> 'frequency' IN ('daily', 'weekly')
)
"""


class InventoryCronResult(Payload):
    """`summaries`: messages posted; `variantsListed`: variants in them."""

    emitted: int = 0
    summaries: int = 0
    variants_listed: int = 0


product_full_sync = dispatch(
    "commerce-product-full-sync-scheduled",
    cron=Cron("0 3 * * *", zone="UTC", due=PRODUCTS_DUE),
    queue=CATALOG_SYNC,
    emits={ProductSync: lambda tick: ProductSync(full_sync=True, source="schedule")},
    retry=RETRY,
    summary="Start the nightly complete comparison of products for every connected shop.",
)

customer_full_sync = dispatch(
    "commerce-customer-full-sync-scheduled",
    cron=Cron("0 4 * * *", zone="UTC", due=CUSTOMERS_DUE),
    queue=CATALOG_SYNC,
    emits={CustomerSyncBatch: lambda tick: CustomerSyncBatch(source="schedule")},
    retry=RETRY,
    summary="Start the nightly customer synchronisation; the batch job chooses changes or, once a week, everything.",
)


@job(
    "commerce-inventory-sync-scheduled",
    cron=Cron("0 * * * *", zone="UTC", due=INVENTORY_DUE),
    queue=CATALOG_SYNC,
    emits=(InventorySync,),
    retry=RETRY,
    timeout_s=60,
)
def inventory_sync_scheduled(ctx: JobContext, payload: Tick) -> InventoryCronResult:
    """Start the hourly stock run, and send the daily and weekly stock summaries whose hour has come."""
    with ctx.tenant_session() as session:
        connected = session.one(CONNECTION) is not None and enabled(session, "inventory")
        if connected:
            # Before Slack, which may be down for the whole hour; the key makes one run of what a repetition sends.
            session.emit(InventorySync(source="schedule"), key=f"{ctx.job_id}:{payload.scheduled_at.isoformat()}")
    messages, listed = post_summaries(ctx, payload.scheduled_at)
    return InventoryCronResult(emitted=int(connected), summaries=messages, variants_listed=listed)
