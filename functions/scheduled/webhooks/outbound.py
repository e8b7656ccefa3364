"""Our own webhooks: one attempt to deliver a row of platform_webhooks, and when the next one is due.

The row is leased, the request is sent outside any transaction, the outcome is written. A worker that dies in between
leaves a lease that ends, so a target may get a request twice: X-CGK-Delivery tells it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from functions.scheduled.webhooks.result import ProcessSingleResult, retry_delay
from functions.scheduled.webhooks.store import IN_PROGRESS_WAIT_S, LEASE
from shared.integrations.credentials import decrypt
from shared.integrations.outbound import Answer, check_target, post
from shared.jobs.admission import SYSTEM_TENANT
from shared.jobs.context import JobContext, Session
from shared.jobs.errors import JobError, Permanent, Transient
from shared.tenant_settings import config
from shared.tokens import sign_webhook

SETTING_ALLOW_LOOPBACK = "OUTBOUND_ALLOW_LOOPBACK"
"""Set to 1 on a developer's machine and in tests only: admits http to this machine itself. Off by default."""
ANSWER_CHARACTERS = 500
"""How much of a target's answer is kept for the people who look at the delivery."""

CLAIM = """
-- webhooks: take an outbound delivery that is due
UPDATE public.platform_webhooks
SET lease_expires_at = %(lease_until)s, last_attempt_at = %(now)s
WHERE id = %(id)s AND tenant_id IS NOT DISTINCT FROM %(organization_id)s::uuid AND status IN ('pending', 'retrying')
  AND (next_attempt_at IS NULL OR next_attempt_at <= %(now)s)
  AND (lease_expires_at IS NULL OR lease_expires_at < %(now)s)
RETURNING id, event_type, target_url, payload, attempts, max_attempts, lease_expires_at
"""

STATE = """
-- webhooks: why an outbound delivery could not be taken
SELECT event_type, status, next_attempt_at > %(now)s AS early, lease_expires_at >= %(now)s AS leased
FROM public.platform_webhooks
WHERE id = %(id)s AND tenant_id IS NOT DISTINCT FROM %(organization_id)s::uuid
"""

DELIVERED = """
-- webhooks: the target took it
UPDATE public.platform_webhooks
SET status = 'delivered', delivered_at = %(now)s, response_status = %(status)s, response_body = %(text)s,
    last_error = NULL, next_attempt_at = NULL, lease_expires_at = NULL
WHERE id = %(id)s AND lease_expires_at = %(lease)s
"""

FAILED = """
-- webhooks: the target did not take it; again later, or failed for good
UPDATE public.platform_webhooks
SET status = CASE WHEN %(again_at)s::timestamptz IS NULL THEN 'failed' ELSE 'retrying' END, attempts = %(attempts)s,
    last_error = %(code)s, response_status = %(status)s::integer, response_body = %(text)s::text,
    next_attempt_at = %(again_at)s::timestamptz, lease_expires_at = NULL
WHERE id = %(id)s AND lease_expires_at = %(lease)s
"""


def deliver(ctx: JobContext, delivery_id: UUID) -> ProcessSingleResult:
    """Deliver one outbound webhook once.

    Raises WEBHOOK_IN_PROGRESS while another run holds the row, WEBHOOK_NOT_FOUND; everything else ends in the row.
    """
    with ctx.tenant_session() as session:
        row, at_an_end = _claim(session, ctx, delivery_id)
        secret = _sealed_secret(session, ctx)
    if at_an_end is not None:
        return at_an_end
    answer: Answer | None = None
    error: JobError | None = None
    try:
        answer = _send(ctx, row, secret)
        error = _verdict(answer.status)
    except JobError as raised:
        error = raised
    with ctx.final_session() as session:
        if error is None and answer is not None:
            return _delivered(session, ctx, row, answer)
        return _failed(session, ctx, row, answer, error or Transient("OUTBOUND_UNAVAILABLE"))


def _claim(
    session: Session, ctx: JobContext, delivery_id: UUID
) -> tuple[Mapping[str, Any], ProcessSingleResult | None]:
    """The leased row, or the result when there is nothing to do."""
    now = ctx.now()
    which = {"id": delivery_id, "organization_id": _organization(ctx), "now": now}
    row = session.one(CLAIM, {**which, "lease_until": now + LEASE})
    if row is not None:
        return row, None
    state = session.one(STATE, which)
    if state is None:
        raise Permanent("WEBHOOK_NOT_FOUND", "no such row in platform_webhooks")
    topic = state["event_type"]
    if state["status"] == "delivered":
        return {}, _result("duplicate", topic)
    if state["status"] == "failed":
        return {}, _result("skipped", topic, "failed")
    if state["early"]:
        return {}, _result("skipped", topic, "not_due")
    raise Transient("WEBHOOK_IN_PROGRESS", "another run delivers it", after_s=IN_PROGRESS_WAIT_S)


def _organization(ctx: JobContext) -> UUID | None:
    """Deliveries of the platform itself carry no tenant."""
    return None if ctx.tenant.slug == SYSTEM_TENANT.slug else ctx.tenant.organization_id


def _sealed_secret(session: Session, ctx: JobContext) -> str | None:
    if _organization(ctx) is None:
        return None
    value = config(session, "webhooks.outbound", {}).get("secretEncrypted")
    return value if isinstance(value, str) and value else None


def _send(ctx: JobContext, row: Mapping[str, Any], sealed: str | None) -> Answer:
    body = json.dumps(row["payload"] or {}, separators=(",", ":"), ensure_ascii=False).encode()
    headers = {
        "Content-Type": "application/json",
        "X-CGK-Event": re.sub(r"[^!-~]", "_", row["event_type"]),
        "X-CGK-Delivery": str(row["id"]),
    }
    if sealed is None:
        headers["X-CGK-Unsigned"] = "1"
    else:
        headers["X-CGK-Signature"] = sign_webhook(decrypt(ctx, sealed), body, int(ctx.now().timestamp()))
    loopback = ctx.setting(SETTING_ALLOW_LOOPBACK) == "1"
    return post(check_target(row["target_url"], allow_loopback=loopback), body, headers)


def _verdict(status: int) -> JobError | None:
    """2xx delivered; time-outs, too early, too many and the target's own failures pass; the rest is for good."""
    if 200 <= status < 300:
        return None
    passes = status in (408, 425, 429) or status >= 500
    return (Transient if passes else Permanent)(f"OUTBOUND_HTTP_{status}")


def _delivered(session: Session, ctx: JobContext, row: Mapping[str, Any], answer: Answer) -> ProcessSingleResult:
    params = {"id": row["id"], "lease": row["lease_expires_at"], "now": ctx.now()}
    _still_held(session.execute(DELIVERED, {**params, **_kept(answer)}))
    return _result("delivered", row["event_type"])


def _failed(
    session: Session, ctx: JobContext, row: Mapping[str, Any], answer: Answer | None, error: JobError
) -> ProcessSingleResult:
    attempts = row["attempts"] + 1
    final = isinstance(error, Permanent) or attempts >= row["max_attempts"]
    wait = max(retry_delay(attempts), timedelta(seconds=(answer.retry_after_s if answer else None) or 0))
    params = {
        "id": row["id"],
        "lease": row["lease_expires_at"],
        "attempts": attempts,
        "code": error.code,
        "again_at": None if final else ctx.now() + wait,
    }
    _still_held(session.execute(FAILED, {**params, **_kept(answer)}))
    return _result("dead" if final else "retry_scheduled", row["event_type"], error.code)


def _kept(answer: Answer | None) -> dict[str, Any]:
    if answer is None:
        return {"status": None, "text": None}
    return {"status": answer.status, "text": answer.text[:ANSWER_CHARACTERS]}


def _still_held(rows: int) -> None:
    if rows != 1:
        raise Transient("WEBHOOK_IN_PROGRESS", "the lease went to another run", after_s=IN_PROGRESS_WAIT_S)


def _result(outcome: Any, topic: str, code: str | None = None) -> ProcessSingleResult:
    return ProcessSingleResult(outcome=outcome, provider="outbound", topic=topic, emitted=[], code=code)
