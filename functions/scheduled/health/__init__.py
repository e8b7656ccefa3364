"""Health: once a minute the few things without which nothing runs are checked: database, Redis, the job system.

A status changes only after several equal results, an alert is raised once, a recovery is told. When the database
itself is down nothing can be stored: then the alarm topic is told directly, at most every 15 minutes, and the metric
HealthHeartbeat goes on as long as this code runs at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeVar

import psycopg

from functions.scheduled.health.keeping import Settings, keep
from functions.scheduled.health.last_line import HEARTBEAT, LastLine
from functions.scheduled.health.probes import (
    CHECK_TIMEOUT_S,
    Queues,
    RedisAccess,
    check_database,
    check_redis,
    check_shopify,
    read_ledger,
    read_queues,
)
from functions.scheduled.health.queues import AwsQueues
from functions.scheduled.health.verdicts import (
    NOT_CONFIGURED,
    NOT_STARTED,
    TIMEOUT,
    Figure,
    Limits,
    Verdict,
    judge,
    limits_with,
)
from shared.db.connections import is_unreachable
from shared.events.alerts import AlertCritical, AlertSystemError
from shared.events.base import Payload
from shared.integrations.http import Http
from shared.jobs.context import JobContext
from shared.jobs.crons import Cron, Tick
from shared.jobs.declaration import Retry, job
from shared.jobs.errors import Transient
from shared.jobs.queues import OPS
from shared.jobs.registry import Registry, load_registry

LATE = timedelta(minutes=2)
"""A tick that is later than this only gives the heartbeat: minutes are not made up for."""
RUN_BUDGET_S = 30.0
MISSING_CRONS = "MissingCrons"
"""Metric: how many crons the ledger of ticks misses; an alarm of its own watches it."""
MISSED_HEARTBEATS = "jobs.missed_heartbeats"

T = TypeVar("T")
LAST_LINE = LastLine()


class CheckCriticalResult(Payload):
    """What each check said: healthy, degraded, unhealthy, unknown; `skipped` for a tick that came too late."""

    database: str
    redis: str
    jobs: str
    shopify: str
    duration_ms: int


@lru_cache(maxsize=1)
def _all_jobs() -> Registry:
    """The jobs of all categories: this function knows its own only, and every queue and cron is watched."""
    return load_registry()


@dataclass(frozen=True)
class Instruments:
    """What the check looks through; tests give others."""

    registry: Callable[[], Registry] = _all_jobs
    queues: Callable[[JobContext], Queues] = field(
        default=lambda ctx: AwsQueues(ctx.setting("CGK_QUEUE_PREFIX", "cgk-") or "")
    )
    last_line: LastLine = LAST_LINE


@job(
    "ops-health-check-critical",
    cron=Cron("* * * * *", zone="UTC", scope="platform"),
    queue=OPS,
    emits=(AlertCritical, AlertSystemError),
    retry=Retry(attempts=1, factor=1, min_s=1, max_s=1),
    timeout_s=40,
    blackout=LAST_LINE.blackout,
)
def check_critical(ctx: JobContext, payload: Tick) -> CheckCriticalResult:
    """Checks once a minute what everything depends on: database, Redis, job system; and the last results at Shopify.

    Raises DATABASE_DOWN, after it has told the alarm topic.
    """
    return check(ctx, payload, Instruments())


def check(ctx: JobContext, payload: Tick, instruments: Instruments) -> CheckCriticalResult:
    """The check through given instruments."""
    began = time.monotonic()
    ctx.metrics.count(HEARTBEAT, 1)  # first, also when all else fails
    if ctx.now() - payload.scheduled_at > LATE:
        return _result({}, began)
    try:
        verdicts = _checked(ctx, instruments)
    except psycopg.Error as error:
        if not is_unreachable(error):
            raise
        instruments.last_line.tell(ctx.alarms, ctx.now(), type(error).__name__)
        raise Transient("DATABASE_DOWN", type(error).__name__) from None
    return _result({verdict.service: verdict for verdict in verdicts}, began)


def _checked(ctx: JobContext, instruments: Instruments) -> list[Verdict]:
    """All verdicts, kept; the network's in threads beside the database's."""
    with ctx.platform_session(read_only=True, statement_timeout_s=CHECK_TIMEOUT_S) as session:
        settings = Settings.read(session)
    limits, registry = limits_with(settings.thresholds), instruments.registry()
    pool = ThreadPoolExecutor(2, thread_name_prefix="health")
    try:
        http = Http(deadline=lambda: CHECK_TIMEOUT_S, log=ctx.log)
        redis = pool.submit(check_redis, RedisAccess.of(ctx), http, limits)
        queues = pool.submit(read_queues, instruments.queues(ctx), registry, ctx.now())
        database, ledger, shopify = _from_database(ctx, registry, limits)
        _count_missing(ctx, ledger)
        verdicts = [
            database,
            _in_time(redis, Verdict("redis", "unhealthy", TIMEOUT), Verdict("redis", "unknown", NOT_STARTED)),
            _job_system(ledger, _in_time(queues, [], []), limits),
            shopify,
        ]
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    off = settings.disabled
    verdicts = [Verdict(v.service, "unknown", NOT_CONFIGURED) if v.service in off else v for v in verdicts]
    with ctx.final_session() as session:
        keep(session, verdicts, settings, ctx.now())
    return verdicts


def _from_database(
    ctx: JobContext, registry: Registry, limits: Mapping[str, Limits]
) -> tuple[Verdict, tuple[list[Figure], dict[str, Any]] | None, Verdict]:
    """The database's verdict, the ledger's figures, the platform's view of Shopify.

    A statement that takes too long is a database that is unhealthy, not one that is down: what is kept still goes in.
    """
    try:
        with ctx.platform_session(read_only=True, statement_timeout_s=CHECK_TIMEOUT_S) as session:
            database = check_database(session, limits)
            return database, read_ledger(session, registry, ctx.now()), check_shopify(session, ctx.now())
    except psycopg.errors.QueryCanceled:
        return Verdict("database", "unhealthy", TIMEOUT), None, Verdict("shopify", "unknown", NOT_STARTED)


def _count_missing(ctx: JobContext, ledger: tuple[list[Figure], dict[str, Any]] | None) -> None:
    """The metric of the crons without their tick; of a ledger that could not be read nothing is said."""
    for figure in ledger[0] if ledger else ():
        if figure.name == MISSED_HEARTBEATS:
            ctx.metrics.count(MISSING_CRONS, figure.value)


def _job_system(
    ledger: tuple[list[Figure], dict[str, Any]] | None, queues: list[Figure], limits: Mapping[str, Limits]
) -> Verdict:
    if ledger is None:
        return Verdict("inngest", "unknown", NOT_STARTED)
    figures, details = ledger
    return judge("inngest", [*figures, *queues], limits, details=details)


def _in_time(future: Future[T], late: T, never: T) -> T:
    """What a thread found; `late` when it has not answered in time, `never` when it was not even begun."""
    try:
        return future.result(timeout=CHECK_TIMEOUT_S)
    except NotInTime:
        return never if future.cancel() else late


def _result(verdicts: Mapping[str, Verdict], began: float) -> CheckCriticalResult:
    def status(service: str) -> str:
        return verdicts[service].status if service in verdicts else "skipped"

    return CheckCriticalResult(
        database=status("database"),
        redis=status("redis"),
        jobs=status("inngest"),
        shopify=status("shopify"),
        duration_ms=round((time.monotonic() - began) * 1000),
    )
