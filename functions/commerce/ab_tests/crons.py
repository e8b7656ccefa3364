"""What the clock starts for tests: the hourly recount, and the quarter-hourly look at guardrails and bandits."""

from __future__ import annotations

from datetime import timedelta

from shared.events.ab_tests import AbMetricsAggregate, AbOptimize
from shared.jobs import Cron, Retry, Tick, dispatch
from shared.jobs.queues import AB_TESTING

RETRY = Retry(attempts=3, factor=2, min_s=1, max_s=60)

METRICS_DUE = """
SELECT 1 FROM ab_tests
WHERE status IN ('running', 'paused') OR (status = 'completed' AND ended_at > :now::timestamptz - interval '48 hours')
LIMIT 1
"""

OPTIMIZATION_DUE = """
SELECT 1 FROM ab_tests t
WHERE t.status = 'running'
  AND (t.mode IN ('mab', 'thompson', 'epsilon_greedy')
       OR t.settings ->> 'optimization' IN ('mab', 'thompson', 'epsilon_greedy')
       OR EXISTS (SELECT FROM ab_guardrails g WHERE g.test_id = t.id))
LIMIT 1
"""


def _last_full_hour(tick: Tick) -> AbMetricsAggregate:
    hour = tick.scheduled_at.replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    return AbMetricsAggregate(period="hourly", hour=hour, slot=tick.scheduled_at)


hourly_aggregation = dispatch(
    "ab-hourly-aggregation-scheduled",
    cron=Cron("15 * * * *", zone="UTC", due=METRICS_DUE),
    queue=AB_TESTING,
    emits={AbMetricsAggregate: _last_full_hour},
    retry=RETRY,
    summary="Gives every tenant with live tests its hourly aggregation.",
)

optimization = dispatch(
    "ab-optimization-scheduled",
    cron=Cron("*/15 * * * *", zone="UTC", due=OPTIMIZATION_DUE),
    queue=AB_TESTING,
    emits={AbOptimize: lambda tick: AbOptimize(slot=tick.scheduled_at)},
    retry=RETRY,
    summary="Gives every tenant with running tests its look at guardrails and bandits.",
)
