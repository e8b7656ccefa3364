"""The mail channel of alerts, as small as they need it, and the platform's mail service behind it.

The service keeps the intent, renders the template and sends, once per key. The platform itself (tenant `system`) has no
Resend account of its own: its mails, and those of a tenant that has not set up its own, are skipped as
`not_configured`, the row in alert_deliveries says so, and a critical alert that reaches nobody else ends in the
dead-letter queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from shared.jobs.context import JobContext
from shared.mail import RecipientType, mail

NOTICE = "alert_notice"
RECOVERED = "alert_recovered"
"""Template keys. Variables: severity, title, message, source, tenantName, since, occurrences, url."""
CATEGORY = "account"


@dataclass(frozen=True, slots=True)
class MailOutcome:
    """What became of a mail. `queued`: the service sends it later by itself. `reason`: why it was skipped."""

    status: Literal["sent", "duplicate", "queued", "skipped", "not_configured"]
    message_id: str | None = None
    reason: str | None = None


class Mail(Protocol):
    """Sends one mail once per `dedupe_key`. Raises Transient, RateLimited and Permanent as every vendor client."""

    def __call__(
        self,
        ctx: JobContext,
        template_key: str,
        to: str,
        variables: Mapping[str, str],
        dedupe_key: str,
        category: str,
        *,
        recipient_type: RecipientType,
        recipient_id: str | None,
        mandatory: bool,
    ) -> MailOutcome: ...


def service_mail(
    ctx: JobContext,
    template_key: str,
    to: str,
    variables: Mapping[str, str],
    dedupe_key: str,
    category: str,
    *,
    recipient_type: RecipientType,
    recipient_id: str | None,
    mandatory: bool,
) -> MailOutcome:
    """Send over the mail service, which raises no alarms of its own here: no alert about an alert.

    A mail that was skipped before is skipped again, with its first reason; the service calls it a duplicate.
    """
    outcome = mail(
        ctx,
        template_key,
        to,
        variables,
        dedupe_key,
        category,
        recipient_type=recipient_type,
        recipient_id=recipient_id,
        mandatory=mandatory,
        alerts=False,
    )
    never_sent = outcome.status == "duplicate" and outcome.provider_id is None
    return MailOutcome("skipped" if never_sent else outcome.status, outcome.message_id, outcome.reason)
