"""Alarms of the mail service. They name template keys and codes, never an address.

A job that sends declares `emits=(..., *EMITS)`. A job that must not raise alarms (those of alerts themselves) calls
with alerts=False and declares nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.events.alerts import AlertApiFailure, AlertSystemError
from shared.jobs.context import Session
from shared.mail.categories import category

EMITS = (AlertApiFailure, AlertSystemError)

TOLD_TODAY = """
-- mail: whether a mail waits already for the same reason since this day began
SELECT EXISTS (
    SELECT FROM mail_messages
    WHERE status IN ('queued', 'failed', 'sending') AND error_code = %(code)s AND updated_at >= %(since)s
)
"""

ALARMING = ("account", "contract", "payment")
"""Categories whose lost mails are errors, not warnings."""

COMPLAINTS = 3
"""Complaints of a tenant within COMPLAINT_WINDOW that are told, however many mails there were."""
COMPLAINT_RATE = 0.001
"""Share of delivered mails; above it mailbox providers begin to refuse a sender."""
COMPLAINT_WINDOW = timedelta(days=7)

COMPLAINED = """
-- mail: complaints about and deliveries of the last days; the sending bounds the rows that are looked at
SELECT count(*) FILTER (WHERE complained_at >= %(since)s)::int AS complaints,
       count(*) FILTER (WHERE delivered_at >= %(since)s)::int AS delivered
FROM mail_messages WHERE sent_at >= %(since)s::timestamptz - interval '30 days'
"""


def account_refused(session: Session, code: str, now: datetime) -> None:
    """The tenant's account cannot be used: once per code and UTC day. Call it before the mail's row says so."""
    today = now.astimezone(UTC).date()
    since = datetime(today.year, today.month, today.day, tzinfo=UTC)
    if session.value(TOLD_TODAY, {"code": code, "since": since}):
        return
    key = f"mail-config:{code}:{today}"
    alert = AlertApiFailure(
        severity="error",
        source="mail",
        service="resend",
        title="Mails cannot be sent",
        message=f"The Resend account of this tenant does not send: {code}. Mails wait and are tried again.",
        dedupe_key=key,
        context={"code": code},
    )
    session.emit(alert, key=key)


def mail_dead(session: Session, template_key: str, name: str, code: str, now: datetime) -> None:
    """A mail will not be sent: once per template key and hour."""
    key = f"mail-dead:{template_key}:{now.astimezone(UTC):%Y-%m-%dT%H}"
    alert = AlertSystemError(
        severity="error" if category(name).name in ALARMING else "warning",
        source="mail",
        title="A mail could not be sent",
        message=f"A mail of template {template_key} was given up: {code}.",
        dedupe_key=key,
        context={"templateKey": template_key, "code": code, "count": 1},
    )
    session.emit(alert, key=key[:200])


def complained(session: Session, at: datetime, now: datetime) -> None:
    """Too many readers call the tenant's mails spam: once per UTC day."""
    row = session.one(COMPLAINED, {"since": at - COMPLAINT_WINDOW}) or {}
    complaints, delivered = row["complaints"], row["delivered"]
    if complaints < COMPLAINTS and not complaints > COMPLAINT_RATE * delivered:
        return
    key = f"mail-complaints:{now.astimezone(UTC).date()}"
    alert = AlertSystemError(
        severity="warning",
        source="mail",
        title="Readers mark mails as spam",
        message=f"{complaints} complaints about {delivered} delivered mails within 7 days.",
        dedupe_key=key,
        context={"complaints": complaints, "delivered": delivered},
    )
    session.emit(alert, key=key)
