"""What the clock starts in commerce: crons whose whole work is an event per tenant that is due."""

from __future__ import annotations

from shared.events.ab_tests import (
    AbCounterSync,
    AbDailySummary,
    AbNightlyReconcile,
    AbOptimizationSummary,
    AbOrderReconcile,
    AbScheduleCheck,
)
from shared.events.catalog import CollectionSync
from shared.events.google_feed import GoogleFeedSync
from shared.events.reviews import ReviewEmailAwaitingDelivery
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

AB_COUNTERS_DUE = """
SELECT 1 FROM ab_tests
WHERE status IN ('running', 'paused') OR (status = 'completed' AND ended_at > :now::timestamptz - interval '48 hours')
LIMIT 1
"""

ab_redis_sync = dispatch(
    "ab-redis-sync-scheduled",
    cron=Cron("0 */6 * * *", zone="UTC", due=AB_COUNTERS_DUE),
    queue=CRON_DISPATCH,
    emits={AbCounterSync: lambda tick: AbCounterSync(force_sync=False, slot=tick.scheduled_at)},
    summary="Take in the storefront's counters of every tenant with live tests.",
)

AB_NIGHT_DUE = """
SELECT 1 FROM ab_tests
WHERE status IN ('running', 'paused') OR (status = 'completed' AND ended_at > :now::timestamptz - interval '31 days')
LIMIT 1
"""

ab_nightly_reconciliation = dispatch(
    "ab-nightly-reconciliation-scheduled",
    cron=Cron("0 2 * * *", zone="UTC", due=AB_NIGHT_DUE),
    queue=CRON_DISPATCH,
    emits={AbNightlyReconcile: lambda tick: AbNightlyReconcile(full_reconciliation=False, slot=tick.scheduled_at)},
    summary="Recount the last days of every tenant whose tests can still be corrected.",
)

AB_DAILY_SUMMARY_DUE = """
SELECT 1
WHERE EXISTS (SELECT FROM ab_tests
              WHERE status IN ('running', 'paused')
                 OR (status = 'completed' AND ended_at > :now::timestamptz - interval '24 hours'))
   OR EXISTS (SELECT FROM tenant_config WHERE key = 'ab.summary' AND value ->> 'sendWhenQuiet' = 'true')
"""

ab_daily_summary = dispatch(
    "ab-daily-summary-scheduled",
    cron=Cron("0 8 * * *", zone="UTC", due=AB_DAILY_SUMMARY_DUE),
    queue=CRON_DISPATCH,
    emits={AbDailySummary: lambda tick: AbDailySummary(slot=tick.scheduled_at)},
    summary="Tell the team of every tenant that has tests, each morning, how they stand.",
)

AB_OPTIMIZATION_SUMMARY_DUE = """
SELECT 1
WHERE EXISTS (SELECT FROM ab_tests
              WHERE status = 'running'
                AND (mode IN ('mab', 'thompson', 'epsilon_greedy')
                     OR settings ->> 'optimization' IN ('mab', 'thompson', 'epsilon_greedy')))
   OR EXISTS (SELECT FROM ab_allocation_epochs
              WHERE reason = 'bandit' AND started_at > :now::timestamptz - interval '24 hours')
"""

ab_optimization_summary = dispatch(
    "ab-optimization-summary-scheduled",
    cron=Cron("0 9 * * *", zone="UTC", due=AB_OPTIMIZATION_SUMMARY_DUE),
    queue=CRON_DISPATCH,
    emits={
        AbOptimizationSummary: lambda tick: AbOptimizationSummary(include_recommendations=True, slot=tick.scheduled_at)
    },
    summary="Tell the team of every tenant that has bandit tests, each morning, what they did.",
)

# -- review mails ------------------------------------------------------------------------------------------------------

REVIEWS_WAITING = """
SELECT 1 FROM review_email_queue WHERE status IN ('pending', 'awaiting_delivery') LIMIT 1
"""

review_email_awaiting_delivery = dispatch(
    "commerce-review-email-awaiting-delivery-scheduled",
    cron=Cron("0 12 * * *", zone="UTC", due=REVIEWS_WAITING),
    queue=CRON_DISPATCH,
    emits={ReviewEmailAwaitingDelivery: lambda tick: ReviewEmailAwaitingDelivery(days_waiting=14)},
    summary="Look at the review requests that wait for a parcel, each day, for every tenant that has some.",
)

# -- the product feed --------------------------------------------------------------------------------------------------

GOOGLE_FEED_DUE = """
SELECT 1 FROM google_feed_settings
WHERE (merchant_id IS NOT NULL OR feed_token IS NOT NULL)
  AND COALESCE(next_sync_at, '-infinity') <= :now::timestamptz + interval '1 hour'
  AND NOT EXISTS (
      SELECT FROM google_feed_sync_history
      WHERE status = 'running' AND started_at > :now::timestamptz - interval '2 hours')
LIMIT 1
"""

google_feed_sync = dispatch(
    "google-feed-sync-scheduled",
    cron=Cron("0 6 * * *", zone="UTC", due=GOOGLE_FEED_DUE),
    queue=CRON_DISPATCH,
    emits={GoogleFeedSync: lambda tick: GoogleFeedSync(full_sync=True, triggered_by="schedule")},
    summary="Compare the product feed of every tenant that is due with what Google holds.",
)
