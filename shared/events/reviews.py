"""Contracts of the review mails: what is asked of their jobs, and what those tell.

`reviewEmailId` is review_email_queue.id, `orderId` is orders.id. No event carries an address except the old
`review.moderated`, whose address nobody uses.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Annotated, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from shared.events.base import Event, VendorId

STATS_DAYS_MAX = 400
"""Days of one computation."""
STATS_FROM = date(2000, 1, 1)
"""No review mail is older, and the period before it is still made of dates."""

QueueId = Annotated[str, StringConstraints(min_length=1, max_length=255)]
"""review_email_queue.id."""


class ReviewEmailQueue(Event, name="review.emailQueue", from_apps=True):
    """Send every review mail that is due."""

    limit: Annotated[int, Field(ge=1, le=200)] = 50
    """Rows per claim, never a cap on the work."""
    dry_run: bool = False
    """Count only."""


class ReviewEmailRetry(Event, name="review.emailRetry", from_apps=True):
    """Put failed review mails back into the queue whose waiting time is over."""

    max_retries: Annotated[int, Field(ge=1, le=10)] = 5
    """A row is dead at this many attempts, or at its own maximum if that is less."""
    limit: Annotated[int, Field(ge=1, le=500)] = 25
    """Page size, never a cap on the work."""


class ReviewEmailAwaitingDelivery(Event, name="review.emailAwaitingDelivery", from_apps=True):
    """Move on requests whose parcel has arrived, or surely must have."""

    days_waiting: Annotated[int, Field(ge=1, le=60)] = 14


class ReviewEmailSend(Event, name="review.emailSend", from_apps=True):
    """Send one review mail now."""

    review_email_id: QueueId
    order_id: VendorId | None = None
    """Cross-check."""
    force: bool = False
    """Also a row that was sent, skipped or given up."""
    requested_by: str | None = None
    """Id of the person."""


class ReviewReminder(Event, name="review.reminder", from_apps=True):
    """Schedule the next reminder of an order; reminder n has sequence number n + 1."""

    order_id: VendorId
    reminder_number: Annotated[int, Field(ge=1)]
    review_email_id: QueueId | None = None
    """The mail before; default the order's row with sequence number n."""


class ReviewEmailQueued(Event, name="review.email.queued", from_apps=True):
    """A review mail has its time, or an application asks for one."""

    review_email_id: QueueId
    order_id: VendorId
    customer_id: str
    """Empty for guests."""
    template_id: Annotated[str, StringConstraints(min_length=1, max_length=255), Field(examples=["request"])]
    """review_email_templates.id, or a type: request, reminder_1, .."""
    scheduled_for: AwareDatetime | None = None
    """At most 365 days ahead; what lies in the past means now."""


class ReviewEmailSent(Event, name="review.email.sent", from_apps=True):
    """A review mail is out."""

    review_email_id: QueueId
    message_id: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = None
    """Resend's id."""


class ReviewModerated(Event, name="review.moderated", from_apps=True):
    """Somebody decided about a review."""

    review_id: VendorId
    action: Literal["approve", "reject", "spam"]
    reviewer_email: str | None = None
    """Not used and never logged: the review's own address counts."""
    reviewer_name: str | None = None
    product_title: str | None = None


class ReviewEmailStats(Event, name="review.emailStats", from_apps=True):
    """Compute what the review mails of a period achieved; by default of the 30 complete local days before today."""

    start_date: date | None = None
    """First local day, inclusive."""
    end_date: date | None = None
    """Last local day, inclusive."""

    @model_validator(mode="after")
    def _is_a_period(self) -> Self:
        if self.start_date is None or self.end_date is None:
            if self.start_date is not self.end_date:
                raise ValueError("give startDate and endDate, or neither")
            return self
        if self.start_date < STATS_FROM:
            raise ValueError(f"startDate lies before {STATS_FROM}")
        if self.end_date < self.start_date:
            raise ValueError("endDate lies before startDate")
        if self.end_date - self.start_date >= timedelta(days=STATS_DAYS_MAX):
            raise ValueError(f"a period has at most {STATS_DAYS_MAX} days")
        return self
