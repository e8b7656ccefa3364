"""Rows of review_email_queue: what they are, their log, and the ways in which they end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from shared.events.reviews import ReviewEmailQueued
from shared.jobs.context import Row, Session
from shared.reviews.settings import ReviewSettings
from shared.reviews.stops import STOPS_ORDER, Candidate, Reason

TABLE = "review_email_queue"
SYSTEM = "system"
"""review_email_queue.skipped_by of what the jobs have skipped."""
MAX_ATTEMPTS = 5
"""Attempts of a row before it is dead; after the n-th failure it waits min(2^n, 60) minutes."""

REQUEST = "request"
INCENTIVE = "incentive"
TYPES = (REQUEST, "reminder_1", "reminder_2", "photo_request", "thank_you", INCENTIVE)
"""template_type of rows and type of review_email_templates; the mail service's key is `review_<type>`."""
OLD_TYPES = {"reviewRequest": "request", "reviewReminder": "reminder_1", "reviewFinalReminder": "reminder_2"}
"""Spellings of older rows."""

LogEvent = Literal["queued", "sent", "resent", "skipped", "failed", "message_mismatch"]

# The id says everything, so that the same happening is written once.
ADD_LOG = """
-- reviews: what happened to queue rows
INSERT INTO review_email_logs (id, queue_id, event_type, event_data, created_at)
SELECT 'rel_' || %(event)s::text || '_' || q.id || '_' || COALESCE(q.attempts, 0), q.id, %(event)s,
       jsonb_strip_nulls(jsonb_build_object(
           'code', CASE q.status WHEN 'skipped' THEN q.skip_reason WHEN 'failed' THEN q.error_code END,
           'sequenceNumber', q.sequence_number)), %(now)s
FROM review_email_queue q WHERE q.id = ANY(%(ids)s::text[])
ON CONFLICT (id) DO NOTHING
"""

SKIP_OPEN = """
-- reviews: end open mails of orders
UPDATE review_email_queue q
SET status = 'skipped', skip_reason = s.reason, skipped_at = %(now)s, skipped_by = %(by)s, lease_expires_at = NULL
FROM unnest(%(orders)s::text[], %(reasons)s::text[]) AS s (order_id, reason)
WHERE q.order_id = s.order_id
  AND (q.status IN ('pending', 'awaiting_delivery', 'scheduled')
       OR (q.status = 'failed' AND q.attempts < q.max_attempts))
RETURNING q.id
"""

SKIP_ROWS = """
-- reviews: end mails that nobody is sending
UPDATE review_email_queue q
SET status = 'skipped', skip_reason = s.reason, skipped_at = %(now)s, skipped_by = %(by)s, lease_expires_at = NULL
FROM unnest(%(ids)s::text[], %(reasons)s::text[]) AS s (id, reason)
WHERE q.id = s.id AND q.status IN ('pending', 'awaiting_delivery', 'scheduled', 'failed')
RETURNING q.id
"""


@dataclass(frozen=True, slots=True)
class QueuedMail:
    """A row as the senders see it. It holds personal data and has no repr of it."""

    id: str
    order_id: str
    type: str
    status: str
    sequence_number: int
    attempts: int
    scheduled_at: datetime | None
    row: Row = field(repr=False)

    @property
    def email(self) -> str:
        return str(self.row["customer_email"]).strip()

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What apps and jobs keep beside the columns; apps have written other things there, too."""
        found = self.row["metadata"]
        return found if isinstance(found, dict) else {}

    @property
    def forced(self) -> bool:
        """Whether a person has ordered this mail to be sent."""
        return self.metadata.get("forced") is True

    @property
    def mail_number(self) -> int:
        """How often a person has begun anew with a row that had ended without a mail."""
        number = self.metadata.get("mailNumber")
        return number if isinstance(number, int) and not isinstance(number, bool) else 0

    @property
    def template_key(self) -> str:
        """The mail service's name of its template."""
        return f"review_{self.type}"

    @property
    def dedupe_key(self) -> str:
        """One key is one mail for all time; sending again on purpose is another mail."""
        key = f"review:{self.id}:{self.row['resend_count']}"
        return f"{key}:f{self.mail_number}" if self.mail_number else key

    def candidate(self, settings: ReviewSettings) -> Candidate:
        """The row as the stop reasons are asked about it."""
        return Candidate(
            key=self.id,
            order_id=self.order_id,
            email=self.email,
            customer_id=self.row["customer_id"],
            template_enabled=settings.enabled(self.type, self.metadata.get("templateId")),
            wanted_at=self.scheduled_at,
            forced=self.forced,
        )


def queued_mail(row: Row) -> QueuedMail:
    """A row of review_email_queue with all its columns."""
    return QueuedMail(
        id=row["id"],
        order_id=row["order_id"],
        type=type_of(row["template_type"], row["sequence_number"]),
        status=row["status"],
        sequence_number=row["sequence_number"],
        attempts=row["attempts"] or 0,
        scheduled_at=row["scheduled_at"],
        row=row,
    )


def is_dead(row: Row) -> bool:
    """Whether a row has failed for the last time."""
    return bool(row["status"] == "failed" and (row["attempts"] or 0) >= (row["max_attempts"] or MAX_ATTEMPTS))


def type_of(template_type: str | None, sequence_number: int) -> str:
    """The type of a row, whatever spelling it has; older rows without one are known by their number."""
    known = OLD_TYPES.get(template_type or "", template_type or "").removeprefix("review_")
    if known in TYPES:
        return known
    return REQUEST if sequence_number <= 1 else f"reminder_{min(sequence_number - 1, 2)}"


def log(session: Session, event: LogEvent, ids: Sequence[str], *, now: datetime) -> None:
    """Note what happened to rows, after it is written; the same twice is noted once."""
    if ids:
        session.execute(ADD_LOG, {"event": event, "ids": list(ids), "now": now})


def skip_open(session: Session, orders: Mapping[str, Reason | str], *, now: datetime, by: str = SYSTEM) -> int:
    """End every open mail of the orders, each for its reason; how many ended."""
    if not orders:
        return 0
    params = {"orders": list(orders), "reasons": list(orders.values()), "now": now, "by": by}
    ended = [row["id"] for row in session.all(SKIP_OPEN, params)]
    log(session, "skipped", ended, now=now)
    return len(ended)


def skip_rows(session: Session, reasons: Mapping[str, str], *, now: datetime, by: str = SYSTEM) -> list[str]:
    """End rows that wait, each for its reason; the ids of those that did."""
    if not reasons:
        return []
    params = {"ids": list(reasons), "reasons": list(reasons.values()), "now": now, "by": by}
    ended = [row["id"] for row in session.all(SKIP_ROWS, params)]
    log(session, "skipped", ended, now=now)
    return ended


def ending_orders(mails: Sequence[QueuedMail], reasons: Mapping[str, Reason]) -> dict[str, Reason]:
    """Of the rows that are stopped: the orders all of whose mails end, and why."""
    return {mail.order_id: reasons[mail.id] for mail in mails if mail.id in reasons and reasons[mail.id] in STOPS_ORDER}


def queued_event(row: Row, template_id: str) -> tuple[ReviewEmailQueued, str]:
    """The event of a row that has got its time, with its key; told once per row.

    `row`: id, order_id, customer_id, scheduled_at.
    """
    event = ReviewEmailQueued(
        review_email_id=row["id"],
        order_id=row["order_id"],
        customer_id=row["customer_id"] or "",
        template_id=template_id,
        scheduled_for=row["scheduled_at"],
    )
    return event, f"review-queued:{row['id']}"
