"""Vendors' rate limits, held together by all processes: token buckets as rows of jobs.rate_limits.

A bucket holds `burst` tokens and gains `per_s` a second. The row keeps one instant, at which the bucket will be full
again (the virtual scheduling form of the leaky bucket, ITU-T I.371): taking c tokens moves it on by c / per_s seconds.

    full'  = max(full, now) + c / per_s
    wait   = full' - now - burst / per_s             at most 0: go at once

Example: 2 a second, burst 2. Three calls at once: full' - now = 0.5, 1.0, 1.5 s, so waits of 0, 0 and 0.5 s. Who
accepts to wait has its place by the same statement, so nobody overtakes it and nobody asks again.

One statement per acquire, in a transaction of its own and never inside a session. `now` is the process's clock, as
everywhere in the kernel; Lambda's clocks differ by milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import psycopg

ACQUIRE = """
-- rate limiter: take tokens, unless the wait for them would be longer than the caller bears
WITH taken AS (
    INSERT INTO jobs.rate_limits AS l (owner, vendor, bucket, full_at)
    VALUES (%(owner)s, %(vendor)s, %(bucket)s, %(now)s::timestamptz + %(cost)s::interval)
    ON CONFLICT (owner, vendor, bucket) DO UPDATE SET full_at = GREATEST(l.full_at, %(now)s) + %(cost)s::interval
    WHERE GREATEST(l.full_at, %(now)s) + %(cost)s::interval <= %(now)s + %(size)s::interval + %(bears)s::interval
    RETURNING full_at
)
SELECT taken.full_at IS NOT NULL,
       COALESCE(taken.full_at, GREATEST(l.full_at, %(now)s) + %(cost)s::interval) - %(size)s::interval
FROM (VALUES (1)) one LEFT JOIN taken ON true
LEFT JOIN jobs.rate_limits l ON l.owner = %(owner)s AND l.vendor = %(vendor)s AND l.bucket = %(bucket)s
"""
BLOCK = """
-- rate limiter: the vendor has said when it will answer again
INSERT INTO jobs.rate_limits AS l (owner, vendor, bucket, full_at)
VALUES (%(owner)s, %(vendor)s, %(bucket)s, %(full_at)s)
ON CONFLICT (owner, vendor, bucket) DO UPDATE SET full_at = GREATEST(l.full_at, EXCLUDED.full_at)
"""


@dataclass(frozen=True, slots=True)
class Rate:
    """A vendor's limit: `per_s` calls a second on the long run, `burst` at once. A constant of the vendor's client."""

    vendor: str
    per_s: float
    burst: float = 1
    bucket: str = "calls"

    def __post_init__(self) -> None:
        if not (self.per_s > 0 and self.burst >= 1 and self.vendor and self.bucket):
            raise ValueError(f"{self}: per_s above 0, burst at least 1, a vendor and a bucket")

    @property
    def size(self) -> timedelta:
        """The time in which an empty bucket fills."""
        return timedelta(seconds=self.burst / self.per_s)


@dataclass(frozen=True, slots=True)
class Permit:
    """Whether the tokens are the caller's. `wait_s`: until it may call; if not granted, until asking again may help."""

    granted: bool
    wait_s: float


def acquire(
    conn: psycopg.Connection[Any], owner: str, rate: Rate, *, now: datetime, cost: float = 1, bears_s: float = 0
) -> Permit:
    """Take `cost` tokens of the owner's bucket (a tenant's slug, or a key that tenants share) when the wait for them is
    at most `bears_s` seconds. ValueError for a cost that the bucket never holds."""
    if not 0 < cost <= rate.burst:
        raise ValueError(f"a cost of {cost:g} is not within the burst of {rate.burst:g}")
    parameters = {
        **_place(owner, rate),
        "now": now,
        "cost": timedelta(seconds=cost / rate.per_s),
        "size": rate.size,
        "bears": timedelta(seconds=bears_s),
    }
    row = conn.execute(ACQUIRE, parameters).fetchone()
    assert row is not None
    granted, at = row
    return Permit(granted, max(0.0, (at - now).total_seconds()))


def block(conn: psycopg.Connection[Any], owner: str, rate: Rate, *, now: datetime, after_s: float) -> None:
    """Let nobody call for `after_s` seconds: the vendor has refused one of us, and would refuse the others."""
    empty = now + timedelta(seconds=after_s) + rate.size - timedelta(seconds=1 / rate.per_s)
    conn.execute(BLOCK, {**_place(owner, rate), "full_at": empty})


def _place(owner: str, rate: Rate) -> dict[str, str]:
    return {"owner": owner, "vendor": rate.vendor, "bucket": rate.bucket}
