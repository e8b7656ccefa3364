"""Redis keys of tests that ended long ago: taken in a last time, then deleted, once per test."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from functions.commerce.ab_tests.counters import counters_of, drain
from functions.commerce.ab_tests.evidence import LATE_WINDOW
from functions.commerce.ab_tests.live import variants_of
from functions.commerce.ab_tests.storefront import FORGET, Told, in_redis
from shared.jobs import JobContext
from shared.jobs.context import Row
from shared.redis import Call, Redis

MOST = 100
"""Tests per night: the rest follows in the next."""

TESTS = """
-- A/B sweep: tests that ended long ago and still have keys
SELECT t.id FROM ab_tests t JOIN ab_test_state s ON s.test_id = t.id
WHERE t.status = 'completed' AND t.ended_at <= %(late)s
  AND s.final_report IS NOT NULL AND NOT s.final_report ? 'redisCleared'
ORDER BY t.ended_at DESC, t.id LIMIT %(most)s
"""

CLEARED = """
-- A/B sweep: these tests have no keys any more
UPDATE ab_test_state SET final_report = final_report || %(cleared)s
WHERE test_id = ANY(%(ids)s) AND final_report IS NOT NULL
"""


def sweep(ctx: JobContext, slot: datetime, zone: ZoneInfo) -> Told:
    """Empty and delete the keys of tests whose late window is over; what Redis refuses is left to the next night."""
    with ctx.tenant_session(read_only=True) as session:
        names = {"late": slot - LATE_WINDOW, "most": MOST}
        ids = [row["id"] for row in session.all(TESTS, names)]
        variants = variants_of(session, ids)
    if not ids:
        return "ok"
    told = in_redis(ctx, lambda redis: _clear(ctx, redis, ids, variants, slot, zone))
    if told == "ok":
        with ctx.tenant_session() as session:
            cleared = Jsonb({"redisCleared": ctx.now().isoformat()})
            session.execute(CLEARED, {"ids": ids, "cleared": cleared})
    return told


def _clear(
    ctx: JobContext, redis: Redis, ids: Sequence[str], variants: Sequence[Row], slot: datetime, zone: ZoneInfo
) -> None:
    drain(ctx, redis, counters_of(redis, variants), slot, zone)
    calls = []
    for test_id in ids:
        counters = [redis.key("ab", test_id, row["id"], "counters") for row in variants if row["test_id"] == test_id]
        keys = [redis.key("ab", "active_tests"), redis.key("ab", test_id, "allocation"), *counters]
        calls.append(Call(keys, [test_id]))
    redis.run(FORGET, calls)
