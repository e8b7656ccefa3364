"""What storefronts read in Redis: the set of running tests, and the split of each. Others see PostgreSQL.

ab:<slug>:active_tests           set of test ids
ab:<slug>:<test>:allocation      hash variant id -> integer percent, and `_epoch`
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from shared.jobs import JobContext
from shared.jobs.errors import JobError
from shared.redis import Call, Redis

Told = Literal["ok", "not_configured", "unavailable"]

SHOW_SPLIT = """
-- KEYS: split, and of a test that begins the running tests; ARGV: id of the test, then names and values of the split
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 2))
if #KEYS > 1 then redis.call('SADD', KEYS[2], ARGV[1]) end
return 1
"""

FORGET = """
-- KEYS: running tests, split, then counting hashes; ARGV: id of the test
redis.call('SREM', KEYS[1], ARGV[1])
redis.call('DEL', unpack(KEYS, 2))
return 1
"""


def show_split(ctx: JobContext, test_id: str, shares: Mapping[str, int], epoch: int, *, begins: bool = False) -> Told:
    """Show the split of a test to the storefront, and that it runs when it `begins`: a test that is only split anew may
    have ended since. Comes after the commit and never fails the work."""
    split = [each for pair in (*shares.items(), ("_epoch", epoch)) for each in pair]

    def show(redis: Redis) -> None:
        keys = [redis.key("ab", test_id, "allocation")] + ([redis.key("ab", "active_tests")] if begins else [])
        redis.run(SHOW_SPLIT, [Call(keys, [test_id, *split])])

    return in_redis(ctx, show)


def in_redis(ctx: JobContext, do: Callable[[Redis], object]) -> Told:
    """Do something in Redis that the work can do without: what goes wrong is logged, by its code."""
    try:
        redis = Redis.connect(ctx)
        if redis is None:
            return "not_configured"
        do(redis)
    except JobError as error:
        ctx.log.warning("Redis was left out", extra={"code": error.code})
        return "unavailable"
    return "ok"
