"""Alerts: their payloads, and a mail service that keeps what it was given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from shared.alerts import MailOutcome
from shared.jobs.context import JobContext
from shared.jobs.errors import JobError


@dataclass(frozen=True)
class Mailed:
    template: str
    to: str
    variables: Mapping[str, str]
    dedupe_key: str
    recipient_id: str | None


@dataclass
class Postbox:
    """A mail service: sends each dedupe key once. `trouble`: raised instead of sending, one after the other."""

    mails: list[Mailed] = field(default_factory=list)
    trouble: list[JobError] = field(default_factory=list)
    outcome: MailOutcome | None = None

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
    ) -> MailOutcome:
        assert (category, recipient_type, mandatory) == ("account", "team", True)
        if self.trouble:
            raise self.trouble.pop(0)
        if self.outcome is not None:
            return self.outcome
        if any(mail.dedupe_key == dedupe_key for mail in self.mails):
            return MailOutcome("duplicate", f"<{dedupe_key}>")
        self.mails.append(Mailed(template_key, to, dict(variables), dedupe_key, recipient_id))
        return MailOutcome("sent", f"<{dedupe_key}>")


def an_alert(**changes: Any) -> dict[str, Any]:
    """The wire payload of alert.critical."""
    return {
        "title": "Orders stand still",
        "message": "No order came in for 30 minutes.",
        "source": "orders",
        "dedupeKey": "orders:standstill",
        **changes,
    }
