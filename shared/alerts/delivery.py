"""Send what is planned for an alert, each delivery once, and write its end at once.

The rows of alert_deliveries are the intent. Only pending ones that are due are sent, outside any transaction, one after
the other, what wakes someone first. A transient error leaves its row pending and does not stop the others; the caller
raises at the end, and the run's next attempt sends only what is left. On the last attempt the rest is failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from shared.alerts.channels import OUTCOME_UNKNOWN, TARGET_GONE, Delivery, Result, Send, senders
from shared.alerts.mail import Mail
from shared.alerts.planning import NOT_CONFIGURED
from shared.alerts.scopes import CHANNELS, Scope
from shared.alerts.texts import Facts, is_recovery, sms
from shared.events.sms import SmsSend
from shared.integrations.http import surely_not_sent
from shared.jobs.context import JobContext, Row, Session
from shared.jobs.errors import Deferred, JobError, Permanent, RateLimited, Transient

SMS_PER_HOUR = 5
SMS_PER_DAY = 20
"""Alert messages to one number."""
MAIL_PER_HOUR = 20
"""Alert mails to one address."""
LIMITED = "rate_limited"
RESOLVED = "resolved"
UNKNOWN_MAX = 2
"""Sendings of one message to the platform's Slack whose outcome may be unknown: the first and one repetition."""

ALERT = """
-- alerts: the alert as it is told
SELECT id, kind, metadata, service, title, message, dedupe_key, occurrences, COALESCE(reopened_at, created_at) AS since,
       status, current_value, threshold_value, resolution_notes
FROM public.platform_alerts WHERE id = %(alert_id)s
"""

DUE = """
-- alerts: deliveries that are due, and the first Slack message about the alert in each channel
SELECT d.id, d.channel, d.scope, d.target_hash, d.target_ref, d.notice, d.attempts, d.reason,
       (SELECT f.external_ref FROM public.alert_deliveries f
        WHERE f.alert_id = d.alert_id AND f.channel = 'slack' AND f.scope = d.scope
          AND f.target_hash = d.target_hash AND f.status = 'sent' AND f.external_ref IS NOT NULL
        ORDER BY f.sent_at, f.created_at LIMIT 1) AS thread_ts
FROM public.alert_deliveries d
WHERE d.alert_id = %(alert_id)s AND d.status = 'pending' AND (d.not_before IS NULL OR d.not_before <= %(now)s)
ORDER BY array_position(%(channels)s::text[], d.channel), d.created_at, d.id
"""

TAKE = """
-- alerts: one more try of a delivery
UPDATE public.alert_deliveries SET attempts = attempts + 1, reason = %(reason)s
WHERE id = %(id)s AND status = 'pending'
"""

END = """
-- alerts: what became of a delivery
UPDATE public.alert_deliveries
SET status = %(status)s, reason = %(reason)s, external_ref = COALESCE(%(ref)s, external_ref),
    sent_at = CASE WHEN %(status)s = 'sent' THEN %(now)s::timestamptz END
WHERE id = %(id)s AND status = 'pending'
"""

RECENT = """
-- alerts: how many were sent to one receiver lately
SELECT count(*) FILTER (WHERE sent_at > %(hour)s) AS hour, count(*) AS day
FROM public.alert_deliveries
WHERE channel = %(channel)s AND target_hash = %(hash)s AND sent_at > %(day)s AND status = 'sent'
"""

LOG_SLACK = """
-- alerts: what the platform's workspace was told, as its pages list it
INSERT INTO public.platform_slack_alerts (
    severity, service, tenant_id, title, message, channel_id, message_ts, status, created_at
)
VALUES (%(severity)s, %(service)s, %(tenant_id)s, %(title)s, %(message)s, %(channel)s, %(ts)s, %(status)s, %(now)s)
"""

STANDING = """
-- alerts: how the deliveries of a notice stand
SELECT channel, status, reason FROM public.alert_deliveries
WHERE alert_id = %(alert_id)s AND notice = %(notice)s
ORDER BY channel, id
"""

DELIVERY_STATUS = """
-- alerts: how each channel stands, for the dashboard
UPDATE public.platform_alerts SET delivery_status = %(status)s::jsonb WHERE id = %(alert_id)s
"""

BADNESS = ("sent", "skipped", "pending", "failed")
"""The worst of a channel's receivers stands for the channel."""


@dataclass(frozen=True, slots=True)
class Report:
    """How the deliveries of a notice stand."""

    channels: Mapping[str, str] = field(default_factory=dict)
    """Channel -> sent, skipped, pending or failed; the dashboard is always sent."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Channel -> code, for channels that told nobody."""
    told: Mapping[str, bool] = field(default_factory=dict)
    """Channel -> whether anybody was told on it."""

    @property
    def delivered(self) -> list[str]:
        """Channels on which somebody was told, dashboard first."""
        return ["dashboard", *(name for name in CHANNELS if self.told.get(name))] if self.channels else []


def deliver(ctx: JobContext, alert_id: UUID, scopes: Mapping[str, Scope], mail: Mail) -> list[JobError]:
    """Send the alert's pending deliveries that are due; the errors that left some of them pending.

    `scopes`: the sides of the alert by name, as `load_tenant` and `load_platform` read them.
    """
    with ctx.tenant_session(read_only=True) as session:
        facts = _facts(session.one(ALERT, {"alert_id": alert_id}) or {})
        rows = session.all(DUE, {"alert_id": alert_id, "now": ctx.now(), "channels": list(CHANNELS)})
    send_by = senders(mail)
    waits: list[JobError] = []
    for row in rows:
        delivery = Delivery(**row)
        scope = scopes.get(delivery.scope)
        if scope is None or (facts.status == "resolved" and not is_recovery(delivery.notice)):
            _end(ctx, delivery, facts, Result("skipped", RESOLVED if scope else NOT_CONFIGURED))
        elif ctx.remaining_s() <= 0:
            waits.append(Transient("ALERT_DELIVERY_PENDING", "the run's time is used up"))
        elif delivery.channel == "sms":
            _send_sms(ctx, delivery, facts, scope)
        elif (wait := _try(ctx, delivery, facts, scope, send_by[delivery.channel])) is not None:
            waits.append(wait)
    return waits


def _facts(row: Row) -> Facts:
    metadata = row["metadata"]
    return Facts(
        id=row["id"],
        kind=row["kind"] or "",
        severity=metadata["severity"],
        source=row["service"],
        title=row["title"],
        message=row["message"],
        dedupe_key=row["dedupe_key"] or "",
        context=metadata.get("context") or {},
        url=metadata.get("url"),
        occurrences=row["occurrences"],
        since=row["since"],
        status=row["status"],
        current_value=row["current_value"],
        threshold_value=row["threshold_value"],
        resolution=row["resolution_notes"],
    )


def _try(ctx: JobContext, delivery: Delivery, facts: Facts, scope: Scope, send: Send) -> JobError | None:
    """Send one delivery and write its end; the error that leaves it pending."""
    if (limited := _over_limit(ctx, delivery)) is not None:
        _end(ctx, delivery, facts, limited)
        return None
    unsure = delivery.channel == "slack" and delivery.scope == "platform"
    if unsure and delivery.reason == OUTCOME_UNKNOWN and delivery.attempts >= UNKNOWN_MAX:
        _end(ctx, delivery, facts, Result("failed", OUTCOME_UNKNOWN))
        return None
    with ctx.tenant_session() as session:
        session.execute(TAKE, {"id": delivery.id, "reason": OUTCOME_UNKNOWN if unsure else None})
    try:
        result = send(ctx, delivery, facts, scope)
    except (RateLimited, Transient) as error:
        return _left(ctx, delivery, facts, error, unsure=unsure)
    except Deferred as error:  # another run holds the post, or died with it: waited for like a limit
        held = RateLimited(error.after_s or 0, error.code, error.detail)
        return _left(ctx, delivery, facts, held, unsure=unsure)
    except Permanent as error:
        result = Result("failed", error.code)
    _end(ctx, delivery, facts, result)
    return None


def _left(
    ctx: JobContext, delivery: Delivery, facts: Facts, error: RateLimited | Transient, *, unsure: bool
) -> JobError | None:
    """A delivery that could not be made now: pending, or failed when no attempt is left."""
    if isinstance(error, Transient) and ctx.last_attempt:
        _end(ctx, delivery, facts, Result("failed", error.code))
        return None
    known = not unsure or surely_not_sent(error) or isinstance(error, RateLimited)
    limited_anew = isinstance(error, RateLimited) and delivery.reason != error.code
    with ctx.tenant_session() as session:
        # The try before had its reason written as unknown, for the case that the process dies over the call.
        session.execute(NOTE, {"id": delivery.id, "reason": error.code if known else OUTCOME_UNKNOWN})
        if unsure and limited_anew:
            _log_slack(session, ctx, delivery, facts, LIMITED, None)
    return error


NOTE = """
-- alerts: why a delivery is still pending
UPDATE public.alert_deliveries SET reason = %(reason)s WHERE id = %(id)s AND status = 'pending'
"""


def _over_limit(ctx: JobContext, delivery: Delivery) -> Result | None:
    if delivery.channel != "email":
        return None
    with _session(ctx, delivery) as session:
        recent = _recent(session, ctx, delivery)
    return Result("skipped", LIMITED) if recent["hour"] >= MAIL_PER_HOUR else None


def _recent(session: Session, ctx: JobContext, delivery: Delivery) -> Row:
    now = ctx.now()
    params = {
        "channel": delivery.channel,
        "hash": delivery.target_hash,
        "hour": now - timedelta(hours=1),
        "day": now - timedelta(hours=24),
    }
    return session.one(RECENT, params) or {"hour": 0, "day": 0}


def _session(ctx: JobContext, delivery: Delivery) -> AbstractContextManager[Session]:
    """A session in which all deliveries to the receiver are seen: those of the platform's are in many tenants' rows."""
    return ctx.platform_session() if delivery.scope == "platform" else ctx.tenant_session()


def _send_sms(ctx: JobContext, delivery: Delivery, facts: Facts, scope: Scope) -> None:
    """Publish the message in the transaction that marks it sent, unless its receiver has had enough."""
    target = scope.phone_book.get(delivery.target_hash)
    with _session(ctx, delivery) as session:
        session.lock(f"alerts:sms:{delivery.target_hash}", everywhere=True)  # two alerts at once count each other
        recent = _recent(session, ctx, delivery)
        if target is None or scope.sms_tenant is None:
            result = Result("skipped", TARGET_GONE if target is None else NOT_CONFIGURED)
        elif recent["hour"] >= SMS_PER_HOUR or recent["day"] >= SMS_PER_DAY:
            result = Result("skipped", LIMITED)
        else:
            key = f"alert:{delivery.id}"
            event = SmsSend(
                to=target.address,
                message=sms(facts, delivery.notice),
                notification_type="ops_alert",
                recipient_type="team",
                dedupe_key=key,
            )
            session.emit(event, key=key, tenant=scope.sms_tenant)
            result = Result("sent")
        _write(session, ctx, delivery, result)


def _end(ctx: JobContext, delivery: Delivery, facts: Facts, result: Result) -> None:
    with ctx.tenant_session() as session:
        _write(session, ctx, delivery, result)
        if delivery.channel == "slack" and delivery.scope == "platform" and result.status != "skipped":
            _log_slack(session, ctx, delivery, facts, result.status, result.ref)
    if result.status == "failed":
        extra = {"channel": delivery.channel, "alert": str(facts.id), "code": result.reason}
        ctx.log.warning("alert delivery failed", extra=extra)
        ctx.metrics.count("AlertDeliveryFailed", 1, channel=delivery.channel)


def _write(session: Session, ctx: JobContext, delivery: Delivery, result: Result) -> None:
    params = {"id": delivery.id, "status": result.status, "reason": result.reason, "ref": result.ref, "now": ctx.now()}
    session.execute(END, params)


def _log_slack(
    session: Session, ctx: JobContext, delivery: Delivery, facts: Facts, status: str, ts: str | None
) -> None:
    params = {
        "severity": facts.severity,
        "service": facts.source,
        "tenant_id": None if ctx.tenant.slug == "system" else ctx.tenant.organization_id,
        "title": facts.title,
        "message": facts.message,
        "channel": delivery.target_ref,
        "ts": ts,
        "status": status,
        "now": ctx.now(),
    }
    session.execute(LOG_SLACK, params)


# -- how it stands ---------------------------------------------------------------------------------------------------


def standing(session: Session, alert_id: UUID, notice: str, skipped: Mapping[str, str]) -> Report:
    """How the deliveries of a notice stand now; `skipped`: channels for which none was planned."""
    rows = session.all(STANDING, {"alert_id": alert_id, "notice": notice})
    channels: dict[str, str] = {"dashboard": "sent", **dict.fromkeys(skipped, "skipped")}
    reasons = dict(skipped)
    told: dict[str, bool] = {}
    for row in rows:
        name, status = row["channel"], row["status"]
        channels[name] = max(channels.get(name, "sent"), status, key=BADNESS.index)
        told[name] = told.get(name, False) or status == "sent"
        if status in ("skipped", "failed"):
            reasons.setdefault(name, row["reason"] or status)
    skipped_only = {name: code for name, code in reasons.items() if not told.get(name)}
    return Report(channels, skipped_only, told)
