"""Alerts: an event about a problem becomes one alert record, is counted when it comes again, and is told to the people
whom it concerns.

Every module publishes alert.* events; here they are filed and told, by `shared.alerts`. A failed delivery never
publishes an alert of its own: it is logged, counted in the metric AlertDeliveryFailed and stored, and a critical alert
that reached nobody goes to the dead-letter queue, whose alarm is the last line.
"""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from shared.alerts import Handled, Mail, Problem, handle, service_mail
from shared.events.alerts import AlertCritical, Severity
from shared.events.base import Payload
from shared.events.sms import SmsSend
from shared.jobs.context import JobContext
from shared.jobs.declaration import Retry, job
from shared.jobs.queues import ALERTS

MAIL: Mail = service_mail
"""This installation's mail service."""


class AlertResult(Payload):
    """What became of an alert event. `delivered`: channels on which somebody was told; `skipped`: channel -> code."""

    alert_id: UUID | None = None
    outcome: Literal["created", "repeated", "raised", "reopened", "resolved", "ignored"]
    severity: Severity
    delivered: list[str]
    skipped: dict[str, str]


@job(
    "alert-critical",
    on=AlertCritical,
    queue=ALERTS,
    emits=(SmsSend,),
    retry=Retry(attempts=5, factor=1.5, min_s=1, max_s=10),
    timeout_s=60,
    tenants="any",  # an alarm of a suspended tenant, or of the platform itself, must not vanish
    platform=True,
)
def alert_critical(ctx: JobContext, payload: AlertCritical) -> AlertResult:
    """Raises an alert of severity critical and tells it on every channel at once.

    Raises ALERT_DELIVERY_PENDING while a receiver cannot be reached, SLACK_RATE_LIMITED and its like when a rate is all
    that is in the way, ALERT_UNDELIVERED when nobody at all was told.
    """
    return tell_critical(ctx, payload, MAIL)


def tell_critical(ctx: JobContext, payload: AlertCritical, mail: Mail) -> AlertResult:
    """The same over a given mail service."""
    problem = Problem.of(
        ctx,
        payload,
        severity="critical",
        source=payload.source,
        title=payload.title,
        message=payload.message,
        notify_emails=tuple(payload.notify_emails or ()),
        notify_phones=tuple(payload.notify_phones or ()),
    )
    return result_of(handle(ctx, problem, mail))


def result_of(handled: Handled) -> AlertResult:
    """The job's result."""
    return AlertResult.model_validate(
        {
            "alert_id": handled.alert_id,
            "outcome": handled.outcome,
            "severity": handled.severity,
            "delivered": list(handled.delivered),
            "skipped": dict(handled.skipped),
        }
    )
