"""What the clock starts in commerce: crons whose whole work is an event per tenant that is due."""

from __future__ import annotations

from shared.events.ab_tests import AbOrderReconcile, AbScheduleCheck
from shared.events.catalog import CollectionSync
from shared.jobs import Cron, dispatch
from shared.jobs.queues import CRON_DISPATCH

# -- collections -------------------------------------------------------------------------------------------------------

COLLECTIONS_DUE = """
SELECT 1 FROM shopify_connections
WHERE status = 'active'
  AND NOT EXISTS (
      SELECT FROM catalog_sync_runs
      WHERE kind = 'collections' AND status IN ('requested', 'exporting', 'loading', 'merging', 'reconciling')
        AND progress_at > :now::timestamptz - interval '8 hours')
LIMIT 1
"""

collection_sync = dispatch(
    "commerce-collection-sync-scheduled",
    cron=Cron("0 5 * * *", zone="UTC", due=COLLECTIONS_DUE),
    queue=CRON_DISPATCH,
    emits={CollectionSync: lambda tick: CollectionSync(full_sync=True, source="schedule")},
    summary="Copy the collections of every connected shop each night.",
)

# -- A/B tests ---------------------------------------------------------------------------------------------------------

AB_SCHEDULE_DUE = """
SELECT 1
FROM ab_tests t
LEFT JOIN ab_test_state s ON s.test_id = t.id
WHERE s.test_id IS NULL OR s.last_status IS DISTINCT FROM t.status OR t.status IN ('running', 'paused')
   OR (t.status = 'draft' AND t.auto_start AND COALESCE(t.scheduled_start_at, t.start_date) <= :now::timestamptz)
LIMIT 1
"""

ab_test_scheduler = dispatch(
    "ab-test-scheduler-scheduled",
    cron=Cron("*/5 * * * *", zone="UTC", due=AB_SCHEDULE_DUE),
    queue=CRON_DISPATCH,
    emits={AbScheduleCheck: lambda tick: AbScheduleCheck(slot=tick.scheduled_at)},
    summary="Start and end the tests of every tenant that has something to look at.",
)

AB_ORDERS_DUE = """
SELECT 1
WHERE EXISTS (SELECT FROM ab_tests
              WHERE status IN ('running', 'paused')
                 OR (status = 'completed' AND ended_at > :now::timestamptz - interval '31 days'))
  AND EXISTS (SELECT FROM orders
              WHERE updated_at > COALESCE((SELECT (position ->> 'updatedAt')::timestamptz
                                           FROM ab_cursors WHERE name = 'orders'), '-infinity'))
"""

ab_order_reconciliation = dispatch(
    "ab-order-reconciliation-scheduled",
    cron=Cron("15 * * * *", zone="UTC", due=AB_ORDERS_DUE),
    queue=CRON_DISPATCH,
    emits={AbOrderReconcile: lambda tick: AbOrderReconcile(slot=tick.scheduled_at)},
    summary="Attribute the orders that changed, for every tenant whose tests can take them.",
)
