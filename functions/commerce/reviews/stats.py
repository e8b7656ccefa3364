"""What the review mails of a period achieved, stored per local day and step."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from pydantic import AwareDatetime

from functions.commerce.reviews.common import BATCH_RETRY
from shared.events.base import Payload
from shared.events.reviews import ReviewEmailStats
from shared.jobs import Delivery, JobContext, Permanent, job
from shared.jobs.queues import REVIEW_EMAIL
from shared.reviews.figures import REVIEW_WINDOW, Period, expire_codes, rates, store_days, totals
from shared.time import last_complete_day, local_date, tenant_zone

DEFAULT_DAYS = 30


class ReviewFigures(Payload):
    """Counts and rates (percent, two decimals) of a period; see shared.reviews.figures."""

    start_date: date
    end_date: date
    sent: int
    delivered: int
    opened: int
    clicked: int
    bounced: int
    orders_mailed: int
    converted: int
    delivery_rate: str
    open_rate: str
    click_rate: str
    click_to_open_rate: str
    bounce_rate: str
    conversion_rate: str


class ReviewStatsResult(ReviewFigures):
    """`previous`: as many days right before. `conversionOpenUntil`: until then the conversion may still rise."""

    previous: ReviewFigures
    conversion_open_until: AwareDatetime | None = None


def run_key(payload: ReviewEmailStats, delivery: Delivery) -> str:
    """One computation of a period an hour."""
    return f"{payload.start_date}:{payload.end_date}:{delivery.sent_at:%Y-%m-%dT%H}"


@job(
    "commerce-review-email-stats",
    on=ReviewEmailStats,
    queue=REVIEW_EMAIL,
    retry=BATCH_RETRY,
    timeout_s=120,
    key=run_key,
)
def review_email_stats(ctx: JobContext, payload: ReviewEmailStats) -> ReviewStatsResult:
    """Compute what the review mails of a period achieved, and store it per local day and step.

    Permanent INVALID_PAYLOAD for a day that has not begun.
    """
    now = ctx.now()
    with ctx.final_session(isolation="repeatable read") as session:
        zone = tenant_zone(session)
        last = payload.end_date or last_complete_day(now, zone)
        if last > local_date(now, zone):
            raise Permanent("INVALID_PAYLOAD", "endDate: a day that has not begun")
        first = payload.start_date or last - timedelta(days=DEFAULT_DAYS - 1)
        period = Period(first, last, zone)
        expire_codes(session, now=now)
        store_days(session, period, now=now)
        own, before = (_figures(each, totals(session, each)) for each in (period, period.before))
    return ReviewStatsResult.model_validate(
        {**own, "previous": before, "conversion_open_until": _open_until(period.end, now)}
    )


def _figures(period: Period, counts: dict[str, int]) -> dict[str, Any]:
    return {"start_date": period.first, "end_date": period.last, **counts, **rates(counts)}


def _open_until(end: datetime, now: datetime) -> datetime | None:
    """Until when a review may still come that counts; None when that is over."""
    until = end + REVIEW_WINDOW
    return until if until > now else None
