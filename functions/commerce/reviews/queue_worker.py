"""The worker of the queue of review mails: claims what is due, sends it one by one, until nothing is due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from functions.commerce.reviews.common import BATCH_RETRY, mail_rate_limited
from shared.events.base import Payload
from shared.events.reviews import ReviewEmailQueue, ReviewEmailSent
from shared.jobs import Delivery, JobContext, job, payload_hash, window
from shared.jobs.context import Row
from shared.jobs.queues import REVIEW_EMAIL
from shared.mail import EMITS
from shared.reviews.queue import QueuedMail, ending_orders, queued_mail, skip_open
from shared.reviews.sending import (
    Broken,
    Desk,
    Later,
    Never,
    Out,
    Verdict,
    claim_due,
    give_back,
    open_desk,
    post,
    renew,
    settle,
    skip_held,
    tell_dead,
)
from shared.reviews.settings import review_settings
from shared.reviews.stops import stop_reasons

RESERVE_S = 30.0
"""Seconds before the deadline at which a leg ends; a mail takes ten at most."""
RENEW_AFTER = timedelta(minutes=5)
"""A batch that takes longer holds its rows anew."""
DRY_PAGE = 500
"""Rows per query of a run that only counts."""
TICK = "commerce-process-review-email-queue-scheduled:"
"""What the ids of events begin with that the clock has sent."""
BURST_S = 60
"""Equal messages of others within so many seconds are one."""


class ReviewQueueResult(Payload):
    """`processed` = sent + skipped + failed + deferred; `dead`: those of the failed that are given up.

    Of a dry run: what is due, and of it what would be sent or skipped.
    """

    processed: int
    sent: int
    skipped: int
    failed: int
    deferred: int
    dead: int
    dry_run: bool


@dataclass(slots=True)
class Counts:
    """What a run has done so far, over all its legs."""

    sent: int = 0
    skipped: int = 0
    failed: int = 0
    deferred: int = 0
    dead: int = 0

    def add(self, verdict: Verdict, dead: bool) -> None:
        match verdict:
            case Out():
                self.sent += 1
            case Never():
                self.skipped += 1
            case Later():
                self.deferred += 1
            case Broken():
                self.failed += 1
        self.dead += dead

    def result(self, *, dry_run: bool = False) -> ReviewQueueResult:
        processed = self.sent + self.skipped + self.failed + self.deferred
        return ReviewQueueResult(processed=processed, dry_run=dry_run, **asdict(self))


DUE_PAGE = """
-- reviews: what a claim would take, by keyset pages
SELECT * FROM review_email_queue
WHERE ((status = 'scheduled' AND scheduled_at <= %(now)s) OR (status = 'processing' AND lease_expires_at < %(now)s))
  AND id > %(after)s
ORDER BY id LIMIT %(limit)s
"""


def run_key(payload: ReviewEmailQueue, delivery: Delivery) -> str:
    """A tick is one run; what others ask for is one run a minute and content."""
    return delivery.id if delivery.id.startswith(TICK) else payload_hash(payload) + window(delivery, BURST_S)


@job(
    "commerce-process-review-email-queue",
    on=ReviewEmailQueue,
    queue=REVIEW_EMAIL,
    emits=(ReviewEmailSent, *EMITS),
    retry=BATCH_RETRY,
    timeout_s=300,
    key=run_key,
    tenant_cap=1,
)
def process_review_email_queue(ctx: JobContext, payload: ReviewEmailQueue) -> ReviewQueueResult:
    """Send every review mail that is due, in the order of its time.

    Why a mail must not go is asked right before it goes. A mail that fails does not hold up the others; a tenant that
    cannot send at all ends the run and its mails wait. RateLimited MAIL_RATE_LIMITED.
    """
    if payload.dry_run:
        return _dry_run(ctx)
    counts = Counts(**(ctx.cursor or {}))
    desk = open_desk(ctx)
    while batch := _claim(ctx, payload.limit):
        left = _sift(ctx, desk, batch, counts)
        rest, ended_by = _send(ctx, desk, left, counts)
        if ended_by is not None:
            return _stop(ctx, rest, ended_by, counts)
        if rest or ctx.remaining_s() < RESERVE_S:
            with ctx.tenant_session() as session:
                give_back(session, ctx, rest)
            ctx.continue_from(asdict(counts))
    return _finish(ctx, counts)


def _claim(ctx: JobContext, limit: int) -> list[QueuedMail]:
    with ctx.tenant_session() as session:
        return claim_due(session, ctx, limit)


def _sift(ctx: JobContext, desk: Desk, batch: Sequence[QueuedMail], counts: Counts) -> list[QueuedMail]:
    """End the rows that something stops, and the other open mails of their orders; the rows that are left."""
    with ctx.tenant_session() as session:
        candidates = [each.candidate(desk.settings) for each in batch]
        reasons = stop_reasons(session, desk.settings, candidates, now=ctx.now())
        counts.skipped += skip_held(session, ctx, dict(reasons))
        counts.skipped += skip_open(session, ending_orders(batch, reasons), now=ctx.now())
    return [each for each in batch if each.id not in reasons]


def _send(
    ctx: JobContext, desk: Desk, mails: Sequence[QueuedMail], counts: Counts
) -> tuple[Sequence[QueuedMail], Later | None]:
    """Send one after the other. What is left unsent, and what has ended the run, if anything has."""
    held_since = ctx.now()
    for at, queued in enumerate(mails):
        if at and ctx.remaining_s() < RESERVE_S:
            return mails[at:], None
        held_since = _hold_on(ctx, mails[at:], held_since)
        verdict = post(ctx, desk, queued)
        with ctx.tenant_session() as session:
            counts.add(verdict, settle(session, ctx, queued, verdict))
        if isinstance(verdict, Later) and verdict.all_of_them:
            return mails[at + 1 :], verdict
    return [], None


def _hold_on(ctx: JobContext, mails: Sequence[QueuedMail], held_since: datetime) -> datetime:
    """Renew the lease of a batch that takes long; since when it counts."""
    if ctx.now() - held_since < RENEW_AFTER:
        return held_since
    with ctx.tenant_session() as session:
        renew(session, ctx, mails)
    return ctx.now()


def _stop(ctx: JobContext, rest: Sequence[QueuedMail], why: Later, counts: Counts) -> ReviewQueueResult:
    """Nothing of this tenant can be sent before `why.at`: what is held goes back until then."""
    counts.deferred += len(rest)
    with ctx.tenant_session() as session:
        give_back(session, ctx, rest, why.at, why.code)
        tell_dead(session, ctx, counts.dead)
    if why.limited:
        raise mail_rate_limited(max(1.0, (why.at - ctx.now()).total_seconds()))
    return counts.result()


def _finish(ctx: JobContext, counts: Counts) -> ReviewQueueResult:
    with ctx.final_session() as session:
        tell_dead(session, ctx, counts.dead)
    return counts.result()


def _dry_run(ctx: JobContext) -> ReviewQueueResult:
    """Count what is due, and of it what would be sent or skipped; nothing is written."""
    counts, after = Counts(), ""
    with ctx.tenant_session(read_only=True) as session:
        settings = review_settings(session)
        while True:
            page: list[Row] = session.all(DUE_PAGE, {"now": ctx.now(), "after": after, "limit": DRY_PAGE})
            mails = [queued_mail(row) for row in page]
            candidates = [each.candidate(settings) for each in mails]
            stopped = len(stop_reasons(session, settings, candidates, now=ctx.now()))
            counts.skipped += stopped
            counts.sent += len(page) - stopped
            if len(page) < DRY_PAGE:
                return counts.result(dry_run=True)
            after = page[-1]["id"]
