"""Topics of the other vendors. Their bodies name a thing of theirs; a look-up finds whose it is here.

Incoming text messages are stored and completed as `no_handler`: the service that keeps consent by text message is not
part of this installation yet. The stored row keeps the body for its usual time, so they can be processed anew once that
service exists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from functions.scheduled.webhooks import lookups
from functions.scheduled.webhooks.body import at, instant, text, uuid_or_none, vendor_id
from functions.scheduled.webhooks.model import (
    BodyInvalid,
    CheckPayouts,
    Facts,
    Look,
    Plan,
    RecordMail,
    Send,
    Topic,
    Webhook,
)
from shared.events.alerts import AlertApiFailure
from shared.events.media import CreatorFileUploaded, DamMuxBackfill, VideoUploadCompleted
from shared.events.payouts import PayoutCheckDomestic, PayoutCheckInternational, TreasuryTopup
from shared.events.sms import MESSAGE_STATUSES, SmsDeliveryStatus
from shared.events.subscriptions import SubscriptionBilling, SubscriptionPaymentFailed

NOT_OURS = "not_ours"
NO_HANDLER = "no_handler"

# Currencies that Stripe does not count in hundredths. docs.stripe.com/currencies#zero-decimal and #three-decimal,
# looked at 2026-11; ISK and UGX have no decimals any more, but Stripe goes on counting them in hundredths.
ZERO_DECIMAL = frozenset(
    ["BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"]
)
THREE_DECIMAL = frozenset(("BHD", "JOD", "KWD", "OMR", "TND"))


def noted(webhook: Webhook, facts: Facts) -> Plan:
    """Known, stored, and nothing follows: a schedule or an app sees to it."""
    return Plan()


def no_handler(webhook: Webhook, facts: Facts) -> Plan:
    """Known, but nobody here can handle it yet."""
    return Plan(skip=NO_HANDLER)


def _by(sql: str, *path: str, **params: Any) -> Look:
    """A look-up by the vendor's id at `path` of the body."""
    return Look(sql, lambda webhook: {"id": vendor_id(webhook, *path), **params})


# -- Stripe ----------------------------------------------------------------------------------------------------------

OBJECT = ("data", "object")


def stripe_cents(minor: Any, currency: str) -> int:
    """Hundredths of the major unit from Stripe's smallest unit: JPY 1200 -> 120000, KWD 1234 -> 123 (half up)."""
    if isinstance(minor, bool) or not isinstance(minor, int):
        raise BodyInvalid("data.object.amount is no whole number")
    if currency in ZERO_DECIMAL:
        return minor * 100
    if currency in THREE_DECIMAL:
        return (minor + 5) // 10
    return minor


def _stripe_money(webhook: Webhook) -> tuple[int, str]:
    currency = (text(webhook, *OBJECT, "currency") or "").upper()
    if len(currency) != 3 or not currency.isalpha() or not currency.isascii():
        raise BodyInvalid("data.object.currency is no currency")
    return stripe_cents(at(webhook, *OBJECT, "amount"), currency), currency


def topup(webhook: Webhook, facts: Facts) -> Plan:
    """Ours or not, the listener reads the top-up from Stripe before it books anything."""
    id = vendor_id(webhook, *OBJECT, "id")
    amount, currency = _stripe_money(webhook)
    event = TreasuryTopup(
        topup_id=str(facts[0]["id"]) if facts else id,
        amount=amount,
        currency=currency,
        stripe_topup_id=id,
        status="reversed" if webhook.topic == "topup.reversed" else "succeeded",
    )
    return Plan(id, (Send(event),))


def stripe_payout(webhook: Webhook, facts: Facts) -> Plan:
    return _payouts(vendor_id(webhook, *OBJECT, "id"), facts, lambda id: PayoutCheckDomestic(payout_id=id))


def _payouts(id: str, facts: Facts, event: Callable[[str], PayoutCheckDomestic | PayoutCheckInternational]) -> Plan:
    """The state in the body is not trusted: the payouts' own jobs read it from the vendor, now."""
    if not facts:
        return Plan(id, skip=NOT_OURS)
    payout_ids = dict.fromkeys(str(row["payout_id"]) for row in facts)
    sends = tuple(Send(event(payout_id), about=payout_id) for payout_id in payout_ids)
    return Plan(id, sends, (CheckPayouts(tuple(str(row["id"]) for row in facts)),))


def payment_intent(webhook: Webhook, facts: Facts) -> Plan:
    id = vendor_id(webhook, *OBJECT, "id")
    if not facts:
        return Plan(id, skip=NOT_OURS)
    if webhook.topic == "payment_intent.payment_failed":
        return Plan(id, (Send(SubscriptionPaymentFailed(stripe_payment_intent_id=id, source="webhook")),))
    return Plan(id, (Send(SubscriptionBilling(subscription_id=facts[0]["subscription_id"], step="settle")),))


def disputed(webhook: Webhook, facts: Facts) -> Plan:
    id = vendor_id(webhook, *OBJECT, "id")
    amount, currency = _stripe_money(webhook)
    due = at(webhook, *OBJECT, "evidence_details", "due_by")
    due_by = datetime.fromtimestamp(due, UTC).isoformat() if type(due) is int and 0 < due < 2**33 else None
    alert = AlertApiFailure(
        severity="error",
        source="stripe",
        title="Payment disputed",
        message="A customer disputed a payment. Answer it in the Stripe dashboard before the deadline.",
        dedupe_key=f"dispute:{id}"[:200],
        context={"disputeId": id, "amountCents": amount, "currency": currency, "dueBy": due_by},
    )
    return Plan(id, (Send(alert),))


_object_payouts = _by(lookups.PAYOUTS_AT_VENDOR, *OBJECT, "id", provider="stripe")
_object_charge = _by(lookups.CHARGE_OF_INTENT, *OBJECT, "id")
_object_topup = _by(lookups.TOPUP, *OBJECT, "id")

STRIPE: dict[str, Topic] = {
    "topup.succeeded": Topic(topup, _object_topup),
    "topup.reversed": Topic(topup, _object_topup),
    "topup.failed": Topic(noted),
    "topup.canceled": Topic(noted),
    "transfer.reversed": Topic(stripe_payout, _object_payouts),
    "transfer.updated": Topic(stripe_payout, _object_payouts),
    "payout.paid": Topic(stripe_payout, _object_payouts),
    "payout.failed": Topic(stripe_payout, _object_payouts),
    "payout.canceled": Topic(stripe_payout, _object_payouts),
    "payment_intent.succeeded": Topic(payment_intent, _object_charge),
    "payment_intent.payment_failed": Topic(payment_intent, _object_charge),
    "account.updated": Topic(noted),
    "account.application.deauthorized": Topic(noted),
    "charge.dispute.created": Topic(disputed),
}

# -- Wise ------------------------------------------------------------------------------------------------------------


def wise_transfer(webhook: Webhook, facts: Facts) -> Plan:
    id = vendor_id(webhook, "data", "resource", "id")
    return _payouts(id, facts, lambda payout: PayoutCheckInternational(payout_id=payout))


_resource_payouts = _by(lookups.PAYOUTS_AT_VENDOR, "data", "resource", "id", provider="wise")

WISE: dict[str, Topic] = {
    "transfers#state-change": Topic(wise_transfer, _resource_payouts),
    "transfers#payout-failure": Topic(wise_transfer, _resource_payouts),
    "transfers#active-cases": Topic(wise_transfer, _resource_payouts),
    "balances#credit": Topic(noted),
    "balances#update": Topic(noted),
}

# -- Resend ----------------------------------------------------------------------------------------------------------


def mail_event(webhook: Webhook, facts: Facts) -> Plan:
    """The mail service knows its mails by Resend's id and passes over those of others."""
    id = vendor_id(webhook, "data", "email_id")
    happened_at = instant(webhook, "created_at") or webhook.happened_at
    return Plan(id, writes=(RecordMail(webhook.topic, id, happened_at, at(webhook, "data")),))


RESEND: dict[str, Topic] = {
    "email.sent": Topic(mail_event),
    "email.delivered": Topic(mail_event),
    "email.delivery_delayed": Topic(mail_event),
    "email.opened": Topic(mail_event),
    "email.clicked": Topic(mail_event),
    "email.bounced": Topic(mail_event),
    "email.complained": Topic(mail_event),
    "email.failed": Topic(mail_event),
    "email.suppressed": Topic(mail_event),
    "email.received": Topic(noted),
}

# -- Twilio ----------------------------------------------------------------------------------------------------------


def message_status(webhook: Webhook, facts: Facts) -> Plan:
    """Twilio's form fields, or the names that an app gave them."""
    sid = text(webhook, "MessageSid") or text(webhook, "SmsSid") or text(webhook, "messageSid")
    status = text(webhook, "MessageStatus") or text(webhook, "SmsStatus") or text(webhook, "messageStatus")
    if sid is None or status is None or status.lower() not in MESSAGE_STATUSES:
        raise BodyInvalid("MessageSid or MessageStatus is missing or unknown")
    error = at(webhook, "ErrorCode") or at(webhook, "errorCode")
    said = {
        "messageSid": sid,
        "messageStatus": status.lower(),
        "errorCode": int(error) if str(error or "").isdecimal() else None,
        "smsQueueId": uuid_or_none(at(webhook, "m") or at(webhook, "smsQueueId")),
    }
    try:
        event = SmsDeliveryStatus.model_validate(said)
    except ValueError:
        raise BodyInvalid("MessageSid is no id of a message") from None
    return Plan(sid, (Send(event),))


TWILIO: dict[str, Topic] = {"message.status": Topic(message_status), "message.received": Topic(no_handler)}

# -- Mux, AssemblyAI -------------------------------------------------------------------------------------------------


def mux_asset(webhook: Webhook, facts: Facts) -> Plan:
    """One asset may be a creator's file, a library asset and a recording at once: all of them are told."""
    id = vendor_id(webhook, "data", "id")
    sends = [send for row in facts if (send := _mux_send(row))]
    if any(row["kind"] == "library" for row in facts):
        sends.append(Send(DamMuxBackfill(step="poll", attempt=0, source="webhook")))
    return Plan(id, tuple(sends), skip=None if facts else NOT_OURS)


def _mux_send(row: Mapping[str, Any]) -> Send | None:
    """A recording that is not ready is moved by the app or the backfill, which then tell it themselves."""
    id = str(row["id"])
    if row["kind"] == "file":
        event = CreatorFileUploaded(
            file_id=id, creator_id=row["creator_id"], project_id=row["project_id"], step="poll", attempt=0
        )
        return Send(event, about=id)
    if row["kind"] == "recording" and row["status"] == "ready":
        return Send(VideoUploadCompleted(video_id=id, source="webhook"), about=id)
    return None


def transcript(webhook: Webhook, facts: Facts) -> Plan:
    id = vendor_id(webhook, "transcript_id")
    if not facts:
        return Plan(id, skip=NOT_OURS)
    poll: Literal["poll"] = "poll"
    event = VideoUploadCompleted(video_id=facts[0]["video_id"], step=poll, attempt=0, source="webhook")
    return Plan(id, (Send(event),))


_asset = Topic(mux_asset, _by(lookups.MUX_ASSET, "data", "id"))
_transcript = Topic(transcript, _by(lookups.TRANSCRIPT, "transcript_id"))

MUX: dict[str, Topic] = {
    "video.asset.ready": _asset,
    "video.asset.errored": _asset,
    "video.upload.asset_created": Topic(noted),
}
ASSEMBLYAI: dict[str, Topic] = {"transcript.completed": _transcript, "transcript.error": _transcript}
