"""The mail channel of alerts, as small as they need it.

The platform's mail service keeps the intent, renders template and sends; alerts ask it by this interface. Until an
installation has one, `no_mail` stands in its place: every mail is skipped as `not_configured`, the row in
alert_deliveries says so, and a critical alert that reaches nobody else ends in the dead-letter queue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from shared.jobs.context import JobContext

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
        recipient_type: str,
        recipient_id: str | None,
        mandatory: bool,
    ) -> MailOutcome: ...


def no_mail(
    ctx: JobContext,
    template_key: str,
    to: str,
    variables: Mapping[str, str],
    dedupe_key: str,
    category: str,
    *,
    recipient_type: str,
    recipient_id: str | None,
    mandatory: bool,
) -> MailOutcome:
    """This installation has no mail service."""
    return MailOutcome("not_configured")
