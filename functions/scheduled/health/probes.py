"""The checks of tier critical: the database, Redis, the job system, and the last results at Shopify.

What asks the network (Redis, CloudWatch, SQS) runs in threads of its own beside the database's check, which keeps a
session open; those threads have an HTTP port of their own and never touch the run's.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from functions.scheduled.health.heartbeats import missed_jobs
from functions.scheduled.health.verdicts import (
    AUTH,
    NAMED_MOST,
    NOT_CONFIGURED,
    TIMEOUT,
    Figure,
    Limits,
    Status,
    Verdict,
    judge,
)
from shared.integrations.http import Http
from shared.jobs.context import JobContext, Session
from shared.jobs.errors import Permanent, RateLimited, Transient
from shared.jobs.registry import Registry
from shared.jobs.settlement import DLQ_SUFFIX

CHECK_TIMEOUT_S = 5.0
SHARE_DEGRADED_PCT = 10
SHARE_UNHEALTHY_PCT = 30
LEAST_TENANTS = 3
MATRIX_FRESH = timedelta(minutes=10)
LEASE_LOST_AFTER = timedelta(minutes=15)


Pair = tuple[float | None, float | None]


class Queues(Protocol):
    """What is asked of the queues, by logical name; a figure that cannot be had is absent."""

    def ages_and_backlogs(self, queues: Sequence[str], now: datetime) -> Mapping[str, Pair]:
        """Queue -> (age of the oldest message in seconds, visible messages); over the last minutes, the largest."""

    def depths(self, queues: Sequence[str]) -> Mapping[str, int]:
        """Queue -> messages in it, visible or not."""


# -- the database ----------------------------------------------------------------------------------------------------

FIGURES = """
-- health: how the server stands; what this role may not see is NULL
SELECT
    (SELECT sum(numbackends) FROM pg_stat_database)::float8 * 100 / current_setting('max_connections')::integer
        AS connections_pct,
    (SELECT EXTRACT(EPOCH FROM now() - min(xact_start)) FROM pg_stat_activity
      WHERE pid <> pg_backend_pid() AND backend_type = 'client backend')::float8 AS longest_transaction_s,
    (SELECT EXTRACT(EPOCH FROM max(replay_lag)) FROM pg_stat_replication)::float8 AS replication_lag_s,
    (SELECT age(datfrozenxid) FROM pg_database WHERE datname = current_database())::float8 / 1000000
        AS xid_age_millions
"""


def check_database(session: Session, limits: Mapping[str, Limits]) -> Verdict:
    """Latency over the open connection, connections, transactions, replicas, age of the oldest transaction id."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        session.value("SELECT 1")
        times.append((time.perf_counter() - began) * 1000)
    latency_ms = statistics.median(times)
    row = session.one(FIGURES) or {}
    figures = [Figure("database.latency", latency_ms)]
    figures += [Figure(f"database.{name}", float(value)) for name, value in row.items() if value is not None]
    return judge("database", figures, limits, latency_ms=round(latency_ms))


# -- Redis -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """Where the platform's Redis answers REST calls."""

    url: str
    token: str

    @classmethod
    def of(cls, ctx: JobContext) -> RedisAccess | None:
        """From the settings; None where the platform has none."""
        for prefix in ("KV_REST_API", "UPSTASH_REDIS_REST"):
            url, token = ctx.setting(f"{prefix}_URL"), ctx.setting(f"{prefix}_TOKEN")
            if url:
                return cls(url.rstrip("/"), token or "")
        return None


def check_redis(access: RedisAccess | None, http: Http, limits: Mapping[str, Limits]) -> Verdict:
    """PING, then INFO memory."""
    if access is None:
        return Verdict("redis", "unknown", NOT_CONFIGURED)
    began = time.perf_counter()
    try:
        _command(access, http, ["PING"])
        latency_ms = (time.perf_counter() - began) * 1000
        info = _info(str(_command(access, http, ["INFO", "memory"])))
    except (Permanent, Transient, RateLimited) as error:
        code = AUTH if error.code in ("REDIS_HTTP_401", "REDIS_HTTP_403") else error.code
        return Verdict("redis", "unhealthy", TIMEOUT if code == "REDIS_TIMEOUT" else code)
    used, most = info.get("used_memory", 0), info.get("maxmemory", 0)
    figures = [Figure("redis.latency", latency_ms), Figure("redis.memory_pct", used * 100 / most if most else 0)]
    details = {"usedMb": round(used / 1024 / 1024, 1)}
    details |= {
        shown: info[name]
        for name, shown in (("evicted_keys", "evictedKeys"), ("connected_clients", "connectedClients"))
        if name in info
    }
    return judge("redis", figures, limits, latency_ms=round(latency_ms), details=details)


def _command(access: RedisAccess, http: Http, command: Sequence[str]) -> Any:
    headers = {"Authorization": f"Bearer {access.token}"}
    answer = http.request(
        "POST", access.url, vendor="redis", headers=headers, json=list(command), timeout_s=CHECK_TIMEOUT_S / 2
    )
    said = answer.json()
    if not isinstance(said, dict) or "result" not in said:
        raise Transient("REDIS_ANSWER_UNREADABLE", "no result")
    return said["result"]


def _info(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in re.findall(r"(?m)^(\w+):(\d+)\r?$", text)}


# -- the job system --------------------------------------------------------------------------------------------------

LEDGER = """
-- health: dead runs of the last hour, the oldest row to be relayed, runs that nobody has taken over
SELECT
    (SELECT count(*) FROM jobs.runs
      WHERE state = 'dead' AND run_at > %(runs_since)s AND ended_at > %(hour_ago)s)::float8 AS failed_runs_hour,
    (SELECT EXTRACT(EPOCH FROM %(now)s::timestamptz - min(GREATEST(created_at, deliver_at))) FROM jobs.outbox
      WHERE deliver_at IS NULL OR deliver_at <= %(now)s)::float8 AS outbox_age_s,
    (SELECT count(*) FROM jobs.claims WHERE state = 'running' AND lease_until < %(lost)s)::float8 AS expired_leases
"""

LAST_TICKS = """
-- health: the last tick of each cron; one that was only found missing is none
SELECT j.job, (SELECT max(t.tick_at) FROM jobs.ticks t WHERE t.job = j.job AND t.state <> 'missed') AS tick_at
FROM unnest(%(jobs)s::text[]) AS j (job)
"""

RUN_AGE = timedelta(hours=48)
"""A run that ends dead began at most so long ago: its retries end with its message's age."""


def read_ledger(session: Session, registry: Registry, now: datetime) -> tuple[list[Figure], dict[str, Any]]:
    """The figures of the kernel's own tables, and the crons that have missed their tick."""
    params = {
        "now": now,
        "hour_ago": now - timedelta(hours=1),
        "runs_since": now - RUN_AGE,
        "lost": now - LEASE_LOST_AFTER,
    }
    row = session.one(LEDGER, params) or {}
    figures = [Figure(f"jobs.{name}", max(0.0, value)) for name, value in row.items() if value is not None]
    crons = [job for job in registry if job.cron is not None]
    ticks = {row["job"]: row["tick_at"] for row in session.all(LAST_TICKS, {"jobs": [job.id for job in crons]})}
    overdue = missed_jobs(crons, ticks, now)
    figures.append(Figure("jobs.missed_heartbeats", len(overdue)))
    return figures, {"missedCrons": [job for job, _ in overdue[:NAMED_MOST]]}


def read_queues(queues: Queues, registry: Registry, now: datetime) -> list[Figure]:
    """Ages and backlogs of all queues, and what lies in their dead-letter queues."""
    bindings = registry.queues()
    figures: list[Figure] = []
    found = queues.ages_and_backlogs([binding.name for binding in bindings], now)
    for binding in bindings:
        age_s, backlog = found.get(binding.name, (None, None))
        name = "jobs.oldest_message_bulk_s" if binding.bulk else "jobs.oldest_message_s"
        figures += [Figure(name, age_s, binding.name)] if age_s is not None else []
        figures += [Figure("jobs.backlog", backlog, binding.name)] if backlog is not None else []
    depths = queues.depths([binding.name + DLQ_SUFFIX for binding in bindings])
    return figures + [Figure("jobs.dlq_depth", depth, name) for name, depth in depths.items()]


# -- Shopify ---------------------------------------------------------------------------------------------------------

MATRIX = """
-- health: the last results at one vendor over all tenants
SELECT count(*) FILTER (WHERE status = 'unhealthy') AS unhealthy, count(*) AS known
FROM public.platform_health_matrix
WHERE service_name = 'shopify' AND status <> 'unknown' AND checked_at > %(since)s
"""


def check_shopify(session: Session, now: datetime) -> Verdict:
    """The platform's view: the share of tenants whose last check at Shopify failed. No call is made."""
    row = session.one(MATRIX, {"since": now - MATRIX_FRESH}) or {"unhealthy": 0, "known": 0}
    unhealthy, known = row["unhealthy"], row["known"]
    details = {"tenants": known, "unhealthy": unhealthy}
    if known < LEAST_TENANTS:
        return Verdict("shopify", "unknown", "TOO_FEW_TENANTS", details=details)
    status: Status = "healthy"
    if unhealthy * 100 >= SHARE_UNHEALTHY_PCT * known:
        status = "unhealthy"
    elif unhealthy * 100 >= SHARE_DEGRADED_PCT * known:
        status = "degraded"
    return Verdict("shopify", status, None if status == "healthy" else "TENANTS_FAIL", details=details)
