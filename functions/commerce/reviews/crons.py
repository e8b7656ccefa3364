"""What the clock starts: the sending of what is due, and the repetition of what has failed."""

from __future__ import annotations

from shared.events.reviews import ReviewEmailQueue, ReviewEmailRetry
from shared.jobs import Cron, Retry, dispatch
from shared.jobs.queues import REVIEW_EMAIL

RETRY = Retry(attempts=3, factor=2, min_s=1, max_s=60)

QUEUE_DUE = """
SELECT 1 FROM review_email_queue
WHERE (status = 'scheduled' AND scheduled_at <= :now::timestamptz)
   OR (status = 'processing' AND lease_expires_at < :now::timestamptz)
LIMIT 1
"""

# As the job moves them that is started with maxRetries 5; rows of apps may lack a number or the time.
RETRY_DUE = """
SELECT 1 FROM review_email_queue
WHERE (status = 'failed' AND coalesce(attempts, 0) < least(max_attempts, 5)
       AND (last_attempt_at IS NULL
            OR last_attempt_at <= :now::timestamptz
                                  - least(power(2, least(coalesce(attempts, 0), 6)), 60) * interval '1 minute'))
   OR (status = 'processing' AND lease_expires_at < :now::timestamptz)
LIMIT 1
"""

process_queue = dispatch(
    "commerce-process-review-email-queue-scheduled",
    cron=Cron("*/5 * * * *", zone="UTC", due=QUEUE_DUE),
    queue=REVIEW_EMAIL,
    emits={ReviewEmailQueue: lambda tick: ReviewEmailQueue(limit=50, dry_run=False)},
    retry=RETRY,
    summary="Start the worker of review mails for every tenant that has one due.",
)

retry_failed = dispatch(
    "commerce-retry-failed-review-emails-scheduled",
    cron=Cron("*/15 * * * *", zone="UTC", due=RETRY_DUE),
    queue=REVIEW_EMAIL,
    emits={ReviewEmailRetry: lambda tick: ReviewEmailRetry(max_retries=5, limit=25)},
    retry=RETRY,
    summary="Start the repetition of failed review mails for every tenant that has one ready.",
)
