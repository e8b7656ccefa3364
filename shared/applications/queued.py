"""Mails of an applicant or creator that still wait in their queue, called back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from shared.jobs.context import Session

CANCEL = """
-- applications: what waits for these people is not sent any more
UPDATE creator_email_queue
SET status = 'skipped', skip_reason = %(reason)s, skipped_by = 'system', skipped_at = %(now)s
WHERE tenant_id = %(slug)s AND creator_id = ANY(%(recipients)s)
  AND (status IN ('pending', 'awaiting_delivery', 'scheduled')
       OR (status = 'failed' AND COALESCE(attempts, 0) < COALESCE(max_attempts, 5)))
  AND NOT COALESCE(template_type = ANY(%(keep)s), false)
"""


def cancel_queued(
    session: Session, slug: str, recipients: Sequence[str], reason: str, *, now: datetime, keep: Sequence[str] = ()
) -> int:
    """Skip the queued mails of `recipients` (creators.id, `application:<id>`, `draft:<id>`); how many there were.

    A mail that is being sent cannot be called back. `keep`: template keys that stay.
    """
    params = {
        "slug": slug,
        "recipients": list(recipients),
        "reason": f"cancelled:{reason}",
        "keep": list(keep),
        "now": now,
    }
    return session.execute(CANCEL, params)
