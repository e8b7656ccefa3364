"""One function per channel: send one delivery, say what became of it.

They raise what vendor clients raise: RateLimited and Transient leave the delivery pending, Permanent ends it as failed
with the code. No session may be open.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from shared.alerts.mail import CATEGORY, NOTICE, RECOVERED, Mail
from shared.alerts.planning import NOT_CONFIGURED
from shared.alerts.scopes import Scope
from shared.alerts.texts import (
    Facts,
    headline,
    is_recovery,
    mail_variables,
    pagerduty,
    pagerduty_key,
    slack_blocks,
    slack_color,
    webhook,
)
from shared.integrations.credentials import decrypt
from shared.integrations.outbound import check_target, post
from shared.jobs.context import JobContext
from shared.jobs.errors import JobError, Permanent, RateLimited, Transient
from shared.slack import Outcome, Workspace, escape, mention
from shared.slack import post as slack_post
from shared.tokens import sign_webhook

PAGERDUTY_URL = "https://events.pagerduty.com"
SETTING_PAGERDUTY_URL = "PAGERDUTY_BASE_URL"
SETTING_ALLOW_LOOPBACK = "OUTBOUND_ALLOW_LOOPBACK"
"""Set to 1 on a developer's machine and in tests only: admits webhooks to this machine itself."""
TIMEOUT_S = 5.0
"""Of PagerDuty and webhooks: an alert that waits for one receiver is late for the others."""
TARGET_GONE = "target_gone"
"""The receiver is no longer among those who may be written to."""
OUTCOME_UNKNOWN = "SLACK_OUTCOME_UNKNOWN"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row of alert_deliveries that is to be sent. `thread_ts`: the first Slack message about the alert there."""

    id: UUID
    channel: str
    scope: str
    target_hash: str
    target_ref: str | None
    notice: str
    attempts: int
    reason: str | None
    thread_ts: str | None


@dataclass(frozen=True, slots=True)
class Result:
    """How a delivery ended. `reason`: a code, for what was not sent; `ref`: the receiver's own id of the message."""

    status: Literal["sent", "failed", "skipped"]
    reason: str | None = None
    ref: str | None = None


Send = Callable[[JobContext, Delivery, Facts, Scope], Result]


def send_slack(ctx: JobContext, delivery: Delivery, facts: Facts, scope: Scope) -> Result:
    """Post in the tenant's or the platform's workspace; the end of a problem in the thread of its first message."""
    recovery = is_recovery(delivery.notice)
    who = "" if recovery else _mention(ctx, facts, scope)
    outcome = slack_post(
        ctx,
        delivery.target_ref or "",
        f"{who} {escape(headline(facts, delivery.notice))}".strip(),
        slack_blocks(facts, delivery.notice, scope_label(ctx), ctx.now()),
        dedupe_key=str(delivery.id),
        thread_ts=delivery.thread_ts if recovery else None,
        workspace=_workspace(ctx, scope),
        color=slack_color(facts, delivery.notice),
    )
    return _slack_result(outcome)


def scope_label(ctx: JobContext) -> str:
    """How the alert's tenant is named: its slug, or Platform."""
    return "Platform" if ctx.tenant.slug == "system" else ctx.tenant.slug


def _mention(ctx: JobContext, facts: Facts, scope: Scope) -> str:
    quiet = scope.quiet is not None and scope.quiet.until(ctx.now()) is not None
    if quiet and facts.severity != "critical":
        return ""
    return mention(scope.mentions.get(facts.severity))


def _workspace(ctx: JobContext, scope: Scope) -> Workspace | None:
    if scope.name == "tenant":
        return None
    if scope.slack_token is None:
        raise Permanent("SLACK_NOT_CONFIGURED", "the platform has no active workspace")
    return Workspace(decrypt(ctx, scope.slack_token))


def _slack_result(outcome: Outcome) -> Result:
    match outcome.status:
        case "sent" | "duplicate":
            return Result("sent", ref=outcome.ts)
        case "not_configured":
            return Result("skipped", NOT_CONFIGURED)
        case "failed":
            return Result("failed", outcome.code)


def send_pagerduty(ctx: JobContext, delivery: Delivery, facts: Facts, scope: Scope) -> Result:
    """Trigger or resolve an incident; repeating is harmless, its dedup_key is the problem's."""
    if scope.pagerduty_key is None:
        return Result("skipped", NOT_CONFIGURED)
    tenant = scope_label(ctx)
    event = pagerduty(facts, delivery.notice, tenant, decrypt(ctx, scope.pagerduty_key))
    base = ctx.setting(SETTING_PAGERDUTY_URL) or PAGERDUTY_URL
    ctx.http.request("POST", f"{base}/v2/enqueue", vendor="pagerduty", json=event, timeout_s=TIMEOUT_S)
    return Result("sent", ref=pagerduty_key(facts, tenant))


def send_webhook(ctx: JobContext, delivery: Delivery, facts: Facts, scope: Scope) -> Result:
    """POST the alert, signed, to an address that must not lead into our own network."""
    if scope.webhook_url is None:
        return Result("skipped", NOT_CONFIGURED)
    body = json.dumps(webhook(facts, delivery.notice, scope_label(ctx)), ensure_ascii=False).encode()
    headers = {"Content-Type": "application/json", "X-CGK-Delivery": str(delivery.id)}
    if scope.webhook_secret is None:
        headers["X-CGK-Unsigned"] = "1"
    else:
        headers["X-CGK-Signature"] = sign_webhook(decrypt(ctx, scope.webhook_secret), body, int(ctx.now().timestamp()))
    loopback = ctx.setting(SETTING_ALLOW_LOOPBACK) == "1"
    try:
        answer = post(check_target(scope.webhook_url, allow_loopback=loopback), body, headers, timeout_s=TIMEOUT_S)
    except Permanent:
        return Result("failed", "WEBHOOK_TARGET_REFUSED")
    if 200 <= answer.status < 300:
        return Result("sent")
    error = _webhook_error(answer.status, answer.retry_after_s)
    if isinstance(error, Permanent):
        return Result("failed", error.code)
    raise error


def _webhook_error(status: int, retry_after_s: float | None) -> JobError:
    if status == 429 and retry_after_s:
        return RateLimited(retry_after_s, "WEBHOOK_RATE_LIMITED")
    passes = status in (408, 429) or status >= 500
    return Transient("WEBHOOK_UNAVAILABLE", f"status {status}") if passes else Permanent(f"WEBHOOK_HTTP_{status}")


def mail_sender(mail: Mail) -> Send:
    """The sender for the mail channel over a mail service."""

    def send_mail(ctx: JobContext, delivery: Delivery, facts: Facts, scope: Scope) -> Result:
        target = scope.email_book.get(delivery.target_hash)
        if target is None:
            return Result("skipped", TARGET_GONE)
        outcome = mail(
            ctx,
            RECOVERED if is_recovery(delivery.notice) else NOTICE,
            target.address,
            mail_variables(facts, delivery.notice, scope_label(ctx) if scope.name == "platform" else scope.title),
            f"alert:{delivery.id}",
            CATEGORY,
            recipient_type="team",
            recipient_id=delivery.target_ref,
            mandatory=True,
        )
        if outcome.status in ("sent", "duplicate", "queued"):
            return Result("sent", ref=outcome.message_id)
        return Result("skipped", NOT_CONFIGURED if outcome.status == "not_configured" else outcome.reason or "skipped")

    return send_mail


def senders(mail: Mail) -> Mapping[str, Send]:
    """By channel; SMS is not among them, because it is an event of the delivery's own transaction."""
    return {
        "pagerduty": send_pagerduty,
        "slack": send_slack,
        "webhook": send_webhook,
        "email": mail_sender(mail),
    }
