"""What the clock starts in commerce: crons whose whole work is an event per tenant that is due."""

from __future__ import annotations

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
