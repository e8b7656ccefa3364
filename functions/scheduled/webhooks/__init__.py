"""Webhooks: what vendors report, once per vendor event and in any order of arrival, with retries and a dead end.

An app verifies the signature, stores the request and answers at once. Here the stored row is leased, a pure function
(`topics.plan`) makes events and writes of it, and all of them are committed together with the row's end. The row is
its own retry queue: a failed attempt is written into it and the run still ends well. What has no handler yet in this
installation (incoming text messages of Twilio) is stored and completed as `no_handler`.

Bodies never leave the row, but for the ids, times and numbers that a topic names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from typing import Any

from functions.scheduled.webhooks import effects, outbound, store
from functions.scheduled.webhooks.model import Facts, Look, Webhook
from functions.scheduled.webhooks.result import MAX_ATTEMPTS, ProcessSingleResult, retry_delay
from functions.scheduled.webhooks.topics import plan, topic_of
from shared.db.connections import is_transient_db_error
from shared.events.alerts import AlertApiFailure, AlertCritical, AlertSecurity, AlertSystemError
from shared.events.base import Event
from shared.events.catalog import CollectionSync, InventoryUpdate, ProductSyncOne
from shared.events.creators import CreatorShipmentSync
from shared.events.customers import CustomerSync
from shared.events.media import CreatorFileUploaded, DamMuxBackfill, VideoUploadCompleted
from shared.events.orders import OrderSync
from shared.events.payouts import PayoutCheckDomestic, PayoutCheckInternational, TreasuryTopup
from shared.events.recovery import RecoveryCheckoutUpdated
from shared.events.sms import SmsDeliveryStatus
from shared.events.subscriptions import SubscriptionBilling, SubscriptionPaymentFailed
from shared.events.webhooks import WebhookReceived, WebhookRetry
from shared.jobs.admission import SYSTEM_TENANT
from shared.jobs.context import JobContext, Session
from shared.jobs.declaration import Delivery, Retry, job
from shared.jobs.errors import JobError, JobTimeout, LeaseLost, Permanent
from shared.jobs.queues import WEBHOOKS
from shared.mail import EVENT_EMITS

ERROR_CHARACTERS = 200
"""Longest error text kept in a row: a code and a sentence."""
GRAVE_TOPICS = ("orders/", "refunds/", "app/", "customers/data_request", "customers/redact", "shop/redact")
"""Shopify topics whose loss costs money or breaks a legal duty."""
GRAVE_PROVIDERS = ("stripe", "wise")
REFUSED_CODES = ("NOT_VERIFIED", "SHOP_MISMATCH")
"""Ends that say something about the sender, nothing about the shop's registration."""


def run_key(payload: WebhookReceived, delivery: Delivery) -> str:
    """One run per stored row and attempt, or per vendor event when the body comes along.

    A retry carries its delivery's id too: a row that a person requeued counts its attempts anew, and must not be
    answered with the result of its first life. A run too many ends at the row's claim.
    """
    row = payload.webhook_event_id or payload.delivery_id
    if row is None:
        return store.row_key(payload)
    key = f"{row}:{payload.attempt or 0}"
    return key if payload.attempt is None else f"{key}:{delivery.id}"


@job(
    "webhook-process-single",
    on=(WebhookReceived, WebhookRetry),
    queue=WEBHOOKS,
    emits=(
        OrderSync,
        CustomerSync,
        ProductSyncOne,
        InventoryUpdate,
        CollectionSync,
        CreatorShipmentSync,
        RecoveryCheckoutUpdated,
        TreasuryTopup,
        PayoutCheckDomestic,
        PayoutCheckInternational,
        SubscriptionBilling,
        SubscriptionPaymentFailed,
        CreatorFileUploaded,
        DamMuxBackfill,
        VideoUploadCompleted,
        SmsDeliveryStatus,
        AlertApiFailure,
        AlertSecurity,
        AlertCritical,
        *EVENT_EMITS,
    ),
    retry=Retry(attempts=3, factor=2, min_s=2, max_s=60),
    timeout_s=60,
    key=run_key,
    tenants="any",  # a suspended shop is uninstalled and redacted too; the platform delivers webhooks of its own
)
def process_single(ctx: JobContext, payload: WebhookReceived) -> ProcessSingleResult:
    """Processes one stored webhook, or delivers one of our own, once.

    The kernel repeats the run only when the database is in trouble or another run holds the row
    (WEBHOOK_IN_PROGRESS). Raises WEBHOOK_NOT_FOUND and BODY_TOO_LARGE; every other failure ends in the row.
    """
    if payload.delivery_id is not None:
        return outbound.deliver(ctx, payload.delivery_id)
    if ctx.tenant.slug == SYSTEM_TENANT.slug:
        raise Permanent("INVALID_PAYLOAD", "the platform has no webhook rows; only a deliveryId makes sense")
    key = store.row_key(payload) if payload.webhook_event_id is None else None
    with ctx.tenant_session() as session:
        if key is not None:
            store.take_in(session, ctx, payload)
        webhook = store.claim(session, ctx, id=payload.webhook_event_id, key=key)
    if not isinstance(webhook, Webhook):
        return _at_an_end(webhook)
    try:
        return _process(ctx, webhook)
    except (LeaseLost, JobTimeout):
        raise
    except Exception as error:
        if _is_the_kernels(ctx, error):
            raise
        return _fail(ctx, webhook, error)


def _at_an_end(state: Mapping[str, Any]) -> ProcessSingleResult:
    provider, topic = state["provider"], state["topic"]
    if state["dead"]:
        return ProcessSingleResult(outcome="skipped", provider=provider, topic=topic, emitted=[], code="dead")
    return ProcessSingleResult(outcome="duplicate", provider=provider, topic=topic, emitted=[])


def _is_the_kernels(ctx: JobContext, error: Exception) -> bool:
    """Whether the kernel repeats the run: the database is in trouble, or the row is another run's by now.

    The run's last attempt writes the row's failure after all, if the database lets it: the row tries again later.
    """
    if isinstance(error, JobError):
        return error.code == "WEBHOOK_IN_PROGRESS"
    return is_transient_db_error(error) and not ctx.last_attempt


def _process(ctx: JobContext, webhook: Webhook) -> ProcessSingleResult:
    """All effects of the webhook and its row's end, in one transaction."""
    if not webhook.verified:
        raise Permanent("NOT_VERIFIED", "the signature was not verified")
    if not webhook.shop_known:
        raise Permanent("SHOP_MISMATCH", "the shop is not this tenant's")
    topic = topic_of(webhook)
    look = topic.look if topic is not None else None
    known = None if look is None else (look, look.params(webhook))
    ready = plan(webhook, ()) if known is None else None  # a bad body is found before a transaction is open
    with ctx.final_session() as session:
        made = ready or plan(webhook, _read(session, known))
        emitted = list(dict.fromkeys(send.event.event_name for send in made.sends))
        # The row first: its end wakes the registration, which an uninstallation then lays to rest.
        store.complete(session, ctx, webhook, emitted=emitted, resource_id=made.resource_id, skip=made.skip)
        for write in made.writes:
            effects.apply(session, ctx, webhook, write)
        session.emit_many([(send.event, send.key_for(webhook)) for send in made.sends])
    return ProcessSingleResult(
        outcome="skipped" if made.skip else "completed",
        provider=webhook.provider,
        topic=webhook.topic,
        emitted=emitted,
        code=made.skip,
    )


def _read(session: Session, known: tuple[Look, dict[str, Any]] | None) -> Facts:
    return session.all(known[0].sql, known[1]) if known else ()


# -- failures --------------------------------------------------------------------------------------------------------


def _fail(ctx: JobContext, webhook: Webhook, error: Exception) -> ProcessSingleResult:
    """Write the failure into the row: due again later, or dead and told."""
    code = error.code if isinstance(error, JobError) else "UNEXPECTED"
    # The text of a foreign error may quote the row it failed on; only its class is kept.
    detail = error.detail if isinstance(error, JobError) else type(error).__name__
    failures = webhook.failures + 1
    dead = isinstance(error, Permanent) or failures >= MAX_ATTEMPTS
    again_at = None if dead else ctx.now() + retry_delay(failures)
    ctx.log.warning("webhook attempt failed", extra={"code": code, "error": type(error).__name__, "dead": dead})
    with ctx.final_session() as session:
        text = f"{code}: {detail}"[:ERROR_CHARACTERS]
        store.fail(session, ctx, webhook, error=text, again_at=again_at)
        if code not in REFUSED_CODES:
            store.fail_registration(session, ctx, webhook)
        alerts = _alerts(session, ctx, webhook, code) if dead else []
        session.emit_many([(alert, None) for alert in alerts])
    return ProcessSingleResult(
        outcome="dead" if dead else "retry_scheduled",
        provider=webhook.provider,
        topic=webhook.topic,
        emitted=[alert.event_name for alert in alerts],
        code=code,
    )


def _alerts(session: Session, ctx: JobContext, webhook: Webhook, code: str) -> list[Event]:
    """A dead row is told once an hour and topic; a refused one also as a matter of security."""
    now = ctx.now().astimezone(UTC)
    topic = _printable(webhook.topic)
    grave = webhook.provider in GRAVE_PROVIDERS or (
        webhook.provider == "shopify" and webhook.topic.startswith(GRAVE_TOPICS)
    )
    alerts: list[Event] = [
        AlertSystemError(
            severity="error" if grave else "warning",
            source="webhooks",
            title=f"Webhooks of {webhook.provider} could not be processed",
            message=f"A webhook of topic {topic} is dead with {code}. Mend the cause, then requeue the row.",
            dedupe_key=f"webhook-dead:{webhook.provider}:{topic}:{now:%Y-%m-%dT%H}",
            context={
                "provider": webhook.provider,
                "topic": topic,
                "code": code,
                "rows": store.dead_this_hour(session, ctx, webhook),
            },
        )
    ]
    if code in REFUSED_CODES:
        alerts.append(_security_alert(webhook, code, f"{now:%Y-%m-%d}"))
    return alerts


def _security_alert(webhook: Webhook, code: str, date: str) -> AlertSecurity:
    reason = "its signature was not verified" if code == "NOT_VERIFIED" else "its shop is not connected here"
    return AlertSecurity(
        alert_type="other",
        severity="error",
        source="webhooks",
        title="Webhook refused",
        message=f"A webhook of topic {_printable(webhook.topic)} was refused: {reason}.",
        dedupe_key=f"webhook-sec:{_printable(webhook.shop)}:{date}"[:200],
        context={"webhookEventId": str(webhook.id), "code": code},
    )


def _printable(text: str) -> str:
    """What a stranger sent, fit for a key and one line of an alert."""
    return re.sub(r"[^!-~]", "_", text)[:100]
