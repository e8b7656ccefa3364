"""What the review jobs share."""

from __future__ import annotations

from shared.jobs import RateLimited, Retry, Session
from shared.jobs.context import Row

RETRY = Retry(attempts=3, factor=2, min_s=1, max_s=30)
BATCH_RETRY = Retry(attempts=2, factor=1, min_s=5, max_s=5)

ROW_FOR_UPDATE = """
-- reviews: one row of the queue, held
SELECT * FROM review_email_queue WHERE id = %(id)s FOR UPDATE
"""


def locked_row(session: Session, id: str) -> Row | None:
    """The queue's row with all its columns, locked until the session ends."""
    return session.one(ROW_FOR_UPDATE, {"id": id})


def mail_rate_limited(after_s: float) -> RateLimited:
    """The mail service has to wait; no attempt is burnt."""
    return RateLimited(after_s, "MAIL_RATE_LIMITED", "the tenant's mails have to wait")
