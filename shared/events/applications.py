"""Contracts of applications: from the form to the approved or rejected creator.

Names and addresses that older publishers send are accepted and looked at only where our own rows have none; what we
publish names people by id. `orchestrated`: a workflow calls the following steps, so the job does not publish them.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from shared.events.base import Event

Id = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=r"^[ -~]+$")]
"""Printable ASCII: ids become parts of keys."""
Text = Annotated[str, StringConstraints(max_length=1000)]
LongText = Annotated[str, StringConstraints(max_length=5000)]
Percent = Annotated[Decimal, Field(ge=0, le=100, decimal_places=2)]
"""0..100 with at most two decimals."""
HttpsUrl = Annotated[str, StringConstraints(pattern=r"^https://\S+$", max_length=2000)]
Tier = Literal["bronze", "silver", "gold", "platinum"]
Stage = Literal["new", "reviewing", "approved", "rejected", "onboarding", "active"]
FunnelStep = Literal["submitted", "approved", "rejected", "completed_setup"]
NoticeMode = Literal["notify", "await", "remind", "expire", "failed"]
SlackType = Literal[
    "application_received",
    "application_approved",
    "welcome_call_booked",
    "escalation",
    "product_shipped",
    "product_received",
    "contract_sent",
    "contract_signed",
    "content_submitted",
    "content_revisions_requested",
]


class CreatorApplied(Event, name="creator.applied", from_apps=True):
    """Somebody has sent the application form."""

    application_id: Id
    creator_id: Id | None = None
    """Before the approval there is none: absent, or the application's id."""
    email: str | None = None


class CreatorApplicationProcess(Event, name="creator.application.process", from_apps=True):
    """Check and register an application."""

    application_id: Id
    orchestrated: bool = False
    creator_id: Id | None = None
    email: str | None = None
    name: str | None = None
    source: Annotated[str, StringConstraints(max_length=255)] | None = None
    utm_params: dict[str, Any] | None = None
    """utm_source, utm_medium, utm_campaign, utm_content; fill columns that are empty."""


class CreatorApplicationNotifyAdmin(Event, name="creator.application.notifyAdmin", from_apps=True):
    """Tell the team of an application, or lead its review.

    `mode`: notify; await (holds the step for the decision), remind, expire, failed (the review has failed: a decision
    that could not be carried out is withdrawn, and it is told) are the review workflow's.
    """

    application_id: Id
    mode: NoticeMode = "notify"
    segment: Annotated[int, Field(ge=0, le=3)] = 0
    """Which stretch of the wait begins; mode await."""
    reminder_number: Annotated[int, Field(ge=1, le=3)] | None = None
    code: Annotated[str, StringConstraints(max_length=100)] | None = None
    """What the failed step said; mode failed."""
    creator_id: Id | None = None
    creator_name: str | None = None
    email: str | None = None
    source: str | None = None

    @model_validator(mode="after")
    def _reminder_has_its_number(self) -> Self:
        if self.mode == "remind" and self.reminder_number is None:
            raise ValueError("mode remind needs reminderNumber")
        return self


class CreatorApplicationTrack(Event, name="creator.application.track", from_apps=True):
    """Count a step of the application funnel."""

    application_id: Id
    event: FunnelStep
    creator_id: Id | None = None
    email: str | None = None
    metadata: Annotated[dict[str, str | int | bool], Field(max_length=20)] | None = None
    """Flat; never sent to an advertising platform."""


class CreatorApplicationPipelineEntry(Event, name="creator.application.pipelineEntry", from_apps=True):
    """Make the creator's card in the pipeline, or move it forward."""

    application_id: Id
    stage: Stage
    creator_id: Id | None = None
    creator_name: str | None = None
    email: str | None = None
    occurred_at: AwareDatetime | None = None
    """When it happened; absent: now."""


class CreatorApproved(Event, name="creator.approved", from_apps=True):
    """A person, or the automatic rule, has approved an applicant."""

    creator_id: Id
    """creators.id (of the portal or of the tenant), or the application's id while there is no creator."""
    approved_by: Id = "system"
    """users.id, `auto` or `system`."""
    application_id: Id | None = None
    tier: Tier | None = None
    commission_percent: Percent | None = None
    discount_code: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    notes: LongText | None = None
    send_notification: bool = True
    """False when the application has sent a mail of its own."""


class CreatorApprovalProcess(Event, name="creator.approval.process", from_apps=True):
    """Carry out an approval. Orchestrated: its terms are those of the stored decision."""

    creator_id: Id | None = None
    application_id: Id | None = None
    approved_by: Id = "system"
    tier: Tier | None = None
    commission_percent: Decimal | None = None
    discount_code: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = None
    notes: LongText | None = None
    send_notification: bool = True
    orchestrated: bool = False

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if self.creator_id is None and self.application_id is None:
            raise ValueError("creatorId or applicationId is required")
        return self


class CreatorApprovalEmail(Event, name="creator.approval.email", from_apps=True):
    """Send the approval with a personal log-in link."""

    creator_id: Id
    email: str | None = None
    name: str | None = None
    tier: str | None = None
    login_url: HttpsUrl | None = None
    """Absent: a link is made."""


class CreatorRejected(Event, name="creator.rejected", from_apps=True):
    """An applicant has been rejected."""

    creator_id: Id
    reason: Text | None = None
    application_id: Id | None = None
    rejected_by: Id = "system"
    feedback: LongText | None = None
    """Text meant for the applicant."""
    allow_reapply: bool = True
    send_notification: bool = True


class CreatorRejectionProcess(Event, name="creator.rejection.process", from_apps=True):
    """Carry out a rejection. Orchestrated: its terms are those of the stored decision."""

    creator_id: Id | None = None
    application_id: Id | None = None
    rejected_by: Id = "system"
    reason: Text | None = None
    feedback: LongText | None = None
    allow_reapply: bool = True
    send_notification: bool = True
    orchestrated: bool = False

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if self.creator_id is None and self.application_id is None:
            raise ValueError("creatorId or applicationId is required")
        return self


class CreatorRejectionEmail(Event, name="creator.rejection.email", from_apps=True):
    """Queue the refusal. Without `feedback` and `reason` those of the stored decision are used."""

    creator_id: Id | None = None
    application_id: Id | None = None
    email: str | None = None
    name: str | None = None
    reason: Text | None = None
    feedback: LongText | None = None
    allow_reapply: bool

    @model_validator(mode="after")
    def _names_somebody(self) -> Self:
        if self.creator_id is None and self.application_id is None:
            raise ValueError("creatorId or applicationId is required")
        return self


class CreatorSlackNotification(Event, name="creator.slackNotification", from_apps=True):
    """Post one creator event to the channel that the tenant chose for it."""

    notification_type: SlackType
    creator_id: Id
    """creators.id or `application:<id>`."""
    creator_name: str | None = None
    """Used where our rows have none."""
    creator_email: str | None = None
    metadata: dict[str, Any] | None = None
    """applicationId, projectId, projectTitle, documentId, documentName, productList, trackingNumber, carrier,
    trackingUrl, bookingId, startTime, daysWaiting, kind, dedupeKey."""
