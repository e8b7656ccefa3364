"""Failed review mails go back into the queue when their waiting time is over. Nothing is sent here."""

from __future__ import annotations

from typing import Any

from functions.commerce.reviews.common import BATCH_RETRY
from shared.events.base import Payload
from shared.events.reviews import ReviewEmailQueue, ReviewEmailRetry
from shared.jobs import JobContext, Session, job
from shared.jobs.queues import REVIEW_EMAIL


class ReviewRetryResult(Payload):
    """`released`: rows whose sender died. `waiting`: failed, and not yet to be tried again."""

    retried: int
    released: int
    permanently_failed: int
    waiting: int


# min(2^attempts, 60) minutes after the attempts-th failure: 2, 4, 8, 16. Rows of apps may lack a number or the time.
MOVE_PAGE = """
-- reviews: a page of failed mails whose time has come
UPDATE review_email_queue q
SET status = 'scheduled', scheduled_at = %(now)s
WHERE q.id IN (
    SELECT f.id FROM review_email_queue f
    WHERE f.status = 'failed' AND COALESCE(f.attempts, 0) < LEAST(f.max_attempts, %(most)s)
      AND (f.last_attempt_at IS NULL
           OR f.last_attempt_at <= %(now)s::timestamptz
                                   - LEAST(power(2, LEAST(COALESCE(f.attempts, 0), 6)), 60) * interval '1 minute')
    ORDER BY f.last_attempt_at, f.id LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED)
"""

RELEASE = """
-- reviews: rows whose sender has died; a crash is an attempt
UPDATE review_email_queue
SET status = 'scheduled', scheduled_at = COALESCE(scheduled_at, %(now)s), lease_expires_at = NULL
WHERE status = 'processing' AND lease_expires_at < %(now)s
"""

COUNT = """
-- reviews: failed mails that stay, given up or waiting
SELECT count(*) FILTER (WHERE COALESCE(attempts, 0) >= LEAST(max_attempts, %(most)s))::int AS dead,
       count(*) FILTER (WHERE COALESCE(attempts, 0) < LEAST(max_attempts, %(most)s))::int AS waiting
FROM review_email_queue WHERE status = 'failed'
"""


@job(
    "commerce-retry-failed-review-emails",
    on=ReviewEmailRetry,
    queue=REVIEW_EMAIL,
    emits=(ReviewEmailQueue,),
    retry=BATCH_RETRY,
    timeout_s=60,
)
def retry_failed_review_emails(ctx: JobContext, payload: ReviewEmailRetry) -> ReviewRetryResult:
    """Put failed mails back into the queue whose waiting time is over, and those whose sender has died.

    One event starts the worker when anything was moved, so that spacing and claims stay in one place.
    """
    params: dict[str, Any] = {"now": ctx.now(), "most": payload.max_retries, "limit": payload.limit}
    with ctx.final_session() as session:
        retried = _move(session, params)
        released = session.execute(RELEASE, params)
        left = session.one(COUNT, params) or {}
        if retried or released:
            session.emit(ReviewEmailQueue())
    return ReviewRetryResult(
        retried=retried, released=released, permanently_failed=left["dead"], waiting=left["waiting"]
    )


def _move(session: Session, params: dict[str, Any]) -> int:
    """Move all pages; how many rows."""
    moved = 0
    while page := session.execute(MOVE_PAGE, params):
        moved += page
        if page < params["limit"]:
            break
    return moved
