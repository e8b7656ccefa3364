"""What each notice about a creator says in Slack, and the notification types by which a tenant maps it to a channel."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SlackNotice:
    """`mapping`, then `fallback`: notification types; `text`: mrkdwn with {{variables}}."""

    mapping: str
    fallback: str | None
    emoji: str
    label: str
    text: str

    @property
    def types(self) -> list[str]:
        """Notification types, the nearest first."""
        return [self.mapping, *([self.fallback] if self.fallback else [])]


NOTICES: dict[str, SlackNotice] = {
    "application_received": SlackNotice(
        "creator.application.new", None, ":inbox_tray:", "Application received", "{{creatorName}} has applied."
    ),
    "application_approved": SlackNotice(
        "creator.application.approved",
        "creator.application.new",
        ":tada:",
        "Creator approved",
        "{{creatorName}} is approved and can start onboarding.",
    ),
    "welcome_call_booked": SlackNotice(
        "creator.welcome_call.booked",
        "creator.application.approved",
        ":calendar:",
        "Welcome call booked",
        "{{creatorName}} booked the welcome call{{#startTime}} for {{startTime}}{{/startTime}}.",
    ),
    "escalation": SlackNotice(
        "creator.escalation",
        "creator.application.new",
        ":warning:",
        "Follow-up needed",
        "{{creatorName}} has not reacted to our reminders. Somebody should get in touch.",
    ),
    "product_shipped": SlackNotice(
        "creator.product.shipped",
        "creator.project.update",
        ":package:",
        "Products shipped",
        "A parcel for {{creatorName}} is on its way."
        "{{#trackingNumber}} {{carrier}} {{trackingNumber}}{{/trackingNumber}}",
    ),
    "product_received": SlackNotice(
        "creator.product.received",
        "creator.project.update",
        ":white_check_mark:",
        "Products delivered",
        "The parcel for {{creatorName}} has arrived.",
    ),
    "contract_sent": SlackNotice(
        "creator.contract.sent",
        "creator.application.approved",
        ":page_facing_up:",
        "Contract sent",
        "{{documentName}} went to {{creatorName}} for signature.",
    ),
    "contract_signed": SlackNotice(
        "creator.contract.signed",
        "creator.application.approved",
        ":writing_hand:",
        "Contract signed",
        "{{creatorName}} signed {{documentName}}.",
    ),
    "content_submitted": SlackNotice(
        "creator.project.submitted",
        None,
        ":clapper:",
        "Content submitted",
        "{{creatorName}} handed in work for {{projectTitle}}.",
    ),
    "content_revisions_requested": SlackNotice(
        "creator.project.declined",
        None,
        ":arrows_counterclockwise:",
        "Revisions requested",
        "{{creatorName}} was asked for changes to {{projectTitle}}.",
    ),
}
REVIEW_ESCALATIONS = {
    "review_expired": "The application of {{creatorName}} has waited for 14 days and nobody decided.",
    "decision_failed": "The decision on {{creatorName}} could not be carried out. Please look at it and decide anew.",
}
"""Texts of escalations about an application, by metadata.kind: the general one speaks of a silent creator."""
