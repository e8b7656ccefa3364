"""The webhook's own row: taking it in, claiming it, and how it ends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from functions.scheduled.webhooks.model import Webhook
from shared.events.webhooks import WebhookReceived
from shared.jobs.context import JobContext, Session
from shared.jobs.errors import Permanent, Transient
from shared.storable import storable

LEASE = timedelta(minutes=5)
"""How long a claim keeps other runs away; far above the job's timeout of 60 s."""
IN_PROGRESS_WAIT_S = 60.0
"""Another run works on the row: look again after this many seconds."""
BODY_MAX = 1024 * 1024
"""Bytes of a body as JSON: Shopify's own are far smaller."""
REGISTRATION_FAILURES = 5
"""Failures in a row after which a registration counts as failed."""

# -- taking in -------------------------------------------------------------------------------------------------------

INSERT = """
-- webhooks: keep a webhook that no app has stored; the key decides whether it is known already
INSERT INTO webhook_events (
    shop, topic, shopify_webhook_id, payload, hmac_verified, status, idempotency_key, received_at, headers, tenant_id,
    provider, external_id, triggered_at
) VALUES (
    %(shop)s, %(topic)s, %(shopify_webhook_id)s, %(body)s::jsonb, true, 'pending', %(key)s, %(received_at)s,
    '{}'::jsonb, %(organization_id)s, %(provider)s, %(external_id)s, %(triggered_at)s::timestamptz
)
ON CONFLICT (idempotency_key) DO NOTHING
"""


def take_in(session: Session, ctx: JobContext, payload: WebhookReceived) -> None:
    """Store the row of a webhook that came with its body; a known key keeps its row and body. Raises BODY_TOO_LARGE."""
    text = canonical(storable(payload.body))
    if len(text.encode()) > BODY_MAX:
        raise Permanent("BODY_TOO_LARGE", f"the body exceeds {BODY_MAX} bytes")
    session.execute(
        INSERT,
        {
            "shop": payload.account or payload.provider,
            "topic": payload.topic,
            "shopify_webhook_id": payload.external_id if payload.provider == "shopify" else None,
            "body": text,
            "key": row_key(payload),
            "received_at": payload.received_at or ctx.delivery.sent_at,
            "organization_id": ctx.tenant.organization_id,
            "provider": payload.provider,
            "external_id": payload.external_id,
            "triggered_at": payload.triggered_at,
        },
    )


def canonical(body: Any) -> str:
    """One text for one body, whatever the order of its members."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def row_key(payload: WebhookReceived) -> str:
    """Idempotency key of a webhook: one per vendor event, the same however often and by whichever way it comes.

    Shopify's carries the topic, because one merchant action gives one event id to several topics. Twilio and
    AssemblyAI have no event id: the thing and its state make one. Without any id the body's hash decides.
    """
    provider, topic, body = str(payload.provider), str(payload.topic), payload.body or {}
    if provider == "shopify":
        id = payload.event_id or payload.external_id
        if id:
            return f"shopify:{topic}:{id}"
    elif id := _vendor_event_id(provider, topic, payload.external_id, body):
        return f"{provider}:{id}"
    return f"{provider}:{topic}:sha256:{hashlib.sha256(canonical(body).encode()).hexdigest()}"


def _vendor_event_id(provider: str, topic: str, external_id: str | None, body: Mapping[str, Any]) -> str | None:
    if provider == "twilio":
        sid = body.get("MessageSid") or body.get("SmsSid") or body.get("messageSid") or external_id
        status = body.get("MessageStatus") or body.get("SmsStatus") or body.get("messageStatus")
        suffix = "in" if topic == "message.received" else status
        return f"{sid}:{suffix}" if sid and suffix else external_id
    if provider == "assemblyai":
        transcript, status = body.get("transcript_id") or external_id, body.get("status")
        return f"{transcript}:{status or topic.rpartition('.')[2]}" if transcript else None
    own = body.get("id") if provider in ("stripe", "mux") else None
    return external_id or (own if isinstance(own, str) else None)


# -- claiming --------------------------------------------------------------------------------------------------------

CLAIM = """
-- webhooks: take a row that waits, or whose worker died; a run may take up again what it holds itself
UPDATE webhook_events w
SET status = 'processing', lease_owner = %(owner)s, lease_expires_at = %(lease_until)s
WHERE (w.id = %(id)s::uuid OR w.idempotency_key = %(key)s::text) AND w.dead_at IS NULL
  AND (w.status IN ('pending', 'failed')
       OR w.status = 'processing'
          AND (w.lease_owner = %(owner)s OR w.lease_expires_at < %(now)s
               OR w.lease_expires_at IS NULL AND w.received_at < %(stale)s))
RETURNING w.id, w.provider, w.topic, w.shop, w.payload, w.idempotency_key, w.triggered_at, w.received_at,
    COALESCE(w.retry_count, 0) AS failures, w.hmac_verified,
    w.provider <> 'shopify'
    OR EXISTS (SELECT 1 FROM shopify_connections c WHERE lower(c.shop) = lower(w.shop))
    OR EXISTS (SELECT 1 FROM public.organizations o
               WHERE o.id = %(organization_id)s
                 AND lower(w.shop) IN (lower(o.shopify_store_domain), lower(o.shopify_config ->> 'checkoutDomain')))
    AS shop_known
"""

STATE = """
-- webhooks: why a row could not be claimed
SELECT provider, topic, status, dead_at IS NOT NULL AS dead
FROM webhook_events WHERE id = %(id)s::uuid OR idempotency_key = %(key)s::text
"""


def claim(session: Session, ctx: JobContext, *, id: UUID | None, key: str | None) -> Webhook | Mapping[str, Any]:
    """Lease the row named by id or key: the webhook, or its state (provider, topic, status, dead) when it is at an end.

    Raises Transient WEBHOOK_IN_PROGRESS when another run holds it, Permanent WEBHOOK_NOT_FOUND.
    """
    now, which = ctx.now(), {"id": id, "key": key}
    lease = {"owner": str(ctx.run_id), "lease_until": now + LEASE, "now": now, "stale": now - LEASE}
    row = session.one(CLAIM, {**which, **lease, "organization_id": ctx.tenant.organization_id})
    if row is not None:
        return _webhook(row)
    state = session.one(STATE, which)
    if state is None:
        raise Permanent("WEBHOOK_NOT_FOUND", "no such row in webhook_events")
    if state["status"] == "completed" or state["dead"]:
        return state
    raise Transient("WEBHOOK_IN_PROGRESS", "another run works on it", after_s=IN_PROGRESS_WAIT_S)


def _webhook(row: Mapping[str, Any]) -> Webhook:
    return Webhook(
        id=row["id"],
        key=row["idempotency_key"] or f"webhook:{row['id']}",
        provider=row["provider"],
        topic=row["topic"],
        shop=row["shop"].lower() if row["provider"] == "shopify" else row["shop"],
        body=row["payload"],
        triggered_at=row["triggered_at"],
        received_at=row["received_at"],
        failures=row["failures"],
        verified=row["hmac_verified"],
        shop_known=row["shop_known"],
    )


# -- ending ----------------------------------------------------------------------------------------------------------

COMPLETE = """
-- webhooks: done; the registration and the connection remember that deliveries arrive
WITH done AS (
    UPDATE webhook_events
    SET status = 'completed', processed_at = %(now)s, error_message = NULL, next_attempt_at = NULL,
        lease_owner = NULL, lease_expires_at = NULL, emitted = %(emitted)s::text[], resource_id = %(resource_id)s::text,
        skip_reason = %(skip)s::text
    WHERE id = %(id)s AND status = 'processing' AND lease_owner = %(owner)s
    RETURNING provider, topic, shop, received_at
), registration AS (
    UPDATE webhook_registrations r
    SET last_success_at = %(now)s, failure_count = 0, status = 'active'
    FROM done
    WHERE done.provider = 'shopify' AND lower(r.shop) = lower(done.shop) AND r.topic = done.topic
), connection AS (
    UPDATE shopify_connections c
    SET last_webhook_at = GREATEST(c.last_webhook_at, done.received_at)
    FROM done
    WHERE done.provider = 'shopify' AND lower(c.shop) = lower(done.shop)
)
SELECT count(*) FROM done
"""

FAIL = """
-- webhooks: this attempt failed; due again later, or dead until a person requeues it
UPDATE webhook_events
SET status = 'failed', retry_count = %(failures)s, error_message = %(error)s,
    next_attempt_at = %(again_at)s::timestamptz, dead_at = %(dead_at)s::timestamptz,
    lease_owner = NULL, lease_expires_at = NULL
WHERE id = %(id)s AND status = 'processing' AND lease_owner = %(owner)s
"""

FAIL_REGISTRATION = """
-- webhooks: a delivery of this topic failed; after several in a row the registration counts as failed
UPDATE webhook_registrations
SET failure_count = COALESCE(failure_count, 0) + 1, last_failure_at = %(now)s,
    status = CASE WHEN status = 'active' AND COALESCE(failure_count, 0) + 1 >= %(limit)s THEN 'failed' ELSE status END
WHERE lower(shop) = %(shop)s AND topic = %(topic)s
"""

DEAD_THIS_HOUR = """
-- webhooks: rows of a topic that died in the present hour
SELECT count(*) FROM webhook_events
WHERE provider = %(provider)s AND topic = %(topic)s AND dead_at >= date_trunc('hour', %(now)s::timestamptz, 'UTC')
"""


def complete(
    session: Session,
    ctx: JobContext,
    webhook: Webhook,
    *,
    emitted: Sequence[str],
    resource_id: str | None,
    skip: str | None,
) -> None:
    """Mark the row completed. Raises Transient WEBHOOK_IN_PROGRESS when the lease went to another run meanwhile."""
    done = session.value(
        COMPLETE,
        {
            "id": webhook.id,
            "owner": str(ctx.run_id),
            "now": ctx.now(),
            "emitted": list(emitted),
            "resource_id": resource_id,
            "skip": skip,
        },
    )
    _still_held(done)


def fail(
    session: Session,
    ctx: JobContext,
    webhook: Webhook,
    *,
    error: str,
    again_at: datetime | None,
) -> None:
    """Mark the attempt failed; `again_at` None means dead. Raises Transient WEBHOOK_IN_PROGRESS as `complete` does."""
    now = ctx.now()
    held = session.execute(
        FAIL,
        {
            "id": webhook.id,
            "owner": str(ctx.run_id),
            "failures": webhook.failures + 1,
            "error": error,
            "again_at": again_at,
            "dead_at": now if again_at is None else None,
        },
    )
    _still_held(held)


def fail_registration(session: Session, ctx: JobContext, webhook: Webhook) -> None:
    """Count the failure at the registration of the webhook's shop and topic."""
    if webhook.provider == "shopify":
        session.execute(
            FAIL_REGISTRATION,
            {"shop": webhook.shop, "topic": webhook.topic, "now": ctx.now(), "limit": REGISTRATION_FAILURES},
        )


def dead_this_hour(session: Session, ctx: JobContext, webhook: Webhook) -> int:
    """How many rows of this provider and topic have died in the present UTC hour, this one included."""
    params = {"provider": webhook.provider, "topic": webhook.topic, "now": ctx.now()}
    return int(session.value(DEAD_THIS_HOUR, params))


def _still_held(rows: int) -> None:
    if rows != 1:
        raise Transient("WEBHOOK_IN_PROGRESS", "the lease went to another run", after_s=IN_PROGRESS_WAIT_S)
