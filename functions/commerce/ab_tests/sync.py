"""Taking in the storefront's counters by schedule or on request; the transfer itself is `counters`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from functions.commerce.ab_tests.counters import Drained, counters_of, drain
from functions.commerce.ab_tests.live import page_of_tests, variants_of
from functions.commerce.ab_tests.rules import sent_slot
from shared.events.ab_tests import AbCounterSync
from shared.events.alerts import AlertApiFailure
from shared.events.base import Payload
from shared.jobs import Delivery, JobContext, Permanent, Retry, job
from shared.jobs.context import Row
from shared.jobs.queues import AB_TESTING
from shared.redis import Redis
from shared.time import tenant_zone

PAGE = 100
"""Tests per page."""
FRESH = timedelta(minutes=10)
"""Counters taken in so lately are left out unless they are asked for."""
PAGE_ROOM_S = 60.0
"""Seconds that must be left to begin another page."""
RESULT_COUNTS = ("batches", "impressions", "conversions", "revenue_cents", "bad_fields")


class AbCounterSyncResult(Payload):
    """`badFields` held no integer and count as 0; `unknownTests` were asked for and do not exist."""

    redis: Literal["ok", "not_configured"]
    tests: int = 0
    variants: int = 0
    batches: int = 0
    impressions: int = 0
    conversions: int = 0
    revenue_cents: int = 0
    bad_fields: int = 0
    unknown_tests: int = 0


def run_key(p: AbCounterSync, m: Delivery) -> str:
    """The slot and the tests asked for."""
    tests = hashlib.sha256("\n".join(sorted(set(p.test_ids or ()))).encode()).hexdigest()[:16]
    return f"{p.slot.isoformat() if p.slot else m.id}:{tests if p.test_ids is not None else 'all'}"


@job(
    "ab-sync-redis-to-postgres",
    on=AbCounterSync,
    queue=AB_TESTING,
    emits=(AlertApiFailure,),
    retry=Retry(attempts=5, factor=2, min_s=5, max_s=120),
    timeout_s=300,
    key=run_key,
)
def sync_counters(ctx: JobContext, payload: AbCounterSync) -> AbCounterSyncResult:
    """Carry the storefront's counters into PostgreSQL, each exactly once.

    Transient REDIS_UNAVAILABLE, RateLimited REDIS_RATE_LIMITED, Permanent REDIS_UNAUTHORIZED,
    REDIS_COMMAND_REFUSED, REDIS_URL_REFUSED.
    """
    slot = sent_slot(ctx, payload)
    redis = Redis.connect(ctx)
    if redis is None:
        return AbCounterSyncResult(redis="not_configured")
    result = AbCounterSyncResult(redis="ok") if ctx.cursor is None else AbCounterSyncResult(**ctx.cursor["result"])
    after = "" if ctx.cursor is None else ctx.cursor["testId"]
    while True:
        page = _page(ctx, payload, slot, after)
        if page.due:
            try:
                drained = drain(ctx, redis, counters_of(redis, page.variants), slot, page.zone)
            except Permanent as error:
                _tell(ctx, error)
                raise
            result = _added(result, page, drained)
        if len(page.tests) < PAGE:
            break
        after = page.tests[-1]["id"]
        if ctx.remaining_s() < PAGE_ROOM_S:
            ctx.continue_from({"testId": after, "result": result.model_dump()})
    return result.model_copy(update={"unknown_tests": _unknown(ctx, payload)})


@dataclass(frozen=True, slots=True)
class Page:
    """`tests` are those behind the cursor, `due` the ids among them whose counters are asked for."""

    tests: Sequence[Row]
    due: list[str]
    variants: Sequence[Row]
    zone: ZoneInfo


def _page(ctx: JobContext, payload: AbCounterSync, slot: datetime, after: str) -> Page:
    with ctx.tenant_session(read_only=True) as session:
        tests = page_of_tests(session, slot, after=after, page=PAGE, ids=payload.test_ids)
        due = [test["id"] for test in tests if payload.force_sync or not _is_fresh(test, slot)]
        return Page(tests, due, variants_of(session, due), tenant_zone(session))


def _is_fresh(test: Row, slot: datetime) -> bool:
    at = test["counters_drained_at"]
    # Our own slot: this run has been here, and may have died before the drop.
    return at is not None and at > slot - FRESH and at != slot


EXISTING = """
-- A/B counters: how many of these tests exist
SELECT count(*) FROM ab_tests WHERE id = ANY(%(ids)s)
"""


def _unknown(ctx: JobContext, payload: AbCounterSync) -> int:
    if not payload.test_ids:
        return 0
    wanted = sorted(set(payload.test_ids))
    with ctx.tenant_session(read_only=True) as session:
        return len(wanted) - int(session.value(EXISTING, {"ids": wanted}))


def _added(result: AbCounterSyncResult, page: Page, drained: Drained) -> AbCounterSyncResult:
    sums = {name: getattr(result, name) + getattr(drained, name) for name in RESULT_COUNTS}
    sums |= {"tests": result.tests + len(page.due), "variants": result.variants + len(page.variants)}
    return result.model_copy(update=sums)


def _tell(ctx: JobContext, error: Permanent) -> None:
    """A refused token is the tenant's to mend: say so, in a transaction of its own, because the run fails."""
    if error.code != "REDIS_UNAUTHORIZED":
        return
    dedupe_key = f"ab-redis-auth:{ctx.now():%Y-%m-%d}"
    alert = AlertApiFailure(
        severity="warning",
        source="ab_tests",
        service="redis",
        title="Redis refuses the token of the A/B counters",
        message="The counters of the storefront are not taken in until the REST token is mended. None are lost.",
        dedupe_key=dedupe_key,
        context={"code": error.code},
    )
    with ctx.tenant_session() as session:
        session.emit(alert, key=f"{ctx.tenant.slug}:{dedupe_key}")
