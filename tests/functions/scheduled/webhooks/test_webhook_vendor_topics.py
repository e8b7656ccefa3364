"""The other vendors' topics: from a body and what is known to events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from functions.scheduled.webhooks.model import (
    BodyInvalid,
    CheckPayouts,
    RecordMail,
)
from functions.scheduled.webhooks.topics import plan
from functions.scheduled.webhooks.vendor_topics import stripe_cents
from tests.builders.webhooks import NOON, ROW, SMS_SID, a_claimed, sent

# -- other vendors ---------------------------------------------------------------------------------------------------

TOPUP = {"data": {"object": {"id": "tu_1", "amount": 1234, "currency": "usd"}}}
INTENT = {"data": {"object": {"id": "pi_1"}}}
WISE = {"data": {"resource": {"id": 42}, "current_state": "outgoing_payment_sent"}}
PAYOUT_FACTS = [{"id": str(ROW), "payout_id": "po-9"}]

VENDORS: list[tuple[str, str, dict[str, Any], list[dict[str, Any]], list[tuple[str, dict[str, Any]]], str | None]] = [
    (
        "stripe",
        "topup.succeeded",
        TOPUP,
        [{"id": "own-1"}],
        [
            (
                "treasury.topup",
                {
                    "topupId": "own-1",
                    "amount": 1234,
                    "currency": "USD",
                    "stripeTopupId": "tu_1",
                    "status": "succeeded",
                },
            )
        ],
        None,
    ),
    (
        "stripe",
        "topup.reversed",
        TOPUP,
        [],
        [
            (
                "treasury.topup",
                {"topupId": "tu_1", "amount": 1234, "currency": "USD", "stripeTopupId": "tu_1", "status": "reversed"},
            )
        ],
        None,
    ),
    ("stripe", "topup.failed", {}, [], [], None),
    ("stripe", "payout.paid", INTENT, PAYOUT_FACTS, [("payout.checkDomestic", {"payoutId": "po-9"})], None),
    ("stripe", "transfer.reversed", INTENT, [], [], "not_ours"),
    (
        "stripe",
        "payment_intent.succeeded",
        INTENT,
        [{"subscription_id": "s1"}],
        [("subscription.billing", {"subscriptionId": "s1", "step": "settle"})],
        None,
    ),
    (
        "stripe",
        "payment_intent.payment_failed",
        INTENT,
        [{"subscription_id": "s1"}],
        [("subscription.paymentFailed", {"stripePaymentIntentId": "pi_1", "source": "webhook"})],
        None,
    ),
    ("stripe", "payment_intent.succeeded", INTENT, [], [], "not_ours"),
    ("stripe", "account.updated", {}, [], [], None),
    ("wise", "transfers#state-change", WISE, PAYOUT_FACTS, [("payout.checkInternational", {"payoutId": "po-9"})], None),
    ("wise", "transfers#active-cases", WISE, [], [], "not_ours"),
    ("wise", "balances#credit", {}, [], [], None),
    ("resend", "email.sent", {"data": {"email_id": "m-1"}}, [], [], None),
    ("resend", "email.received", {}, [], [], None),
    ("twilio", "message.received", {"MessageSid": SMS_SID}, [], [], "no_handler"),
    (
        "twilio",
        "message.status",
        {"MessageSid": SMS_SID, "MessageStatus": "undelivered", "ErrorCode": "30004", "m": str(ROW)},
        [],
        [
            (
                "sms.deliveryStatus",
                {"messageSid": SMS_SID, "messageStatus": "undelivered", "errorCode": 30004, "smsQueueId": str(ROW)},
            )
        ],
        None,
    ),
    (
        "mux",
        "video.asset.ready",
        {"data": {"id": "mux-1"}},
        [
            {"kind": "file", "id": "f1", "creator_id": "c1", "project_id": "p1", "status": None},
            {"kind": "library", "id": "d1", "creator_id": None, "project_id": None, "status": None},
            {"kind": "recording", "id": "v1", "creator_id": None, "project_id": None, "status": "ready"},
            {"kind": "recording", "id": "v2", "creator_id": None, "project_id": None, "status": "processing"},
        ],
        [
            (
                "creator.file.uploaded",
                {"fileId": "f1", "creatorId": "c1", "projectId": "p1", "step": "poll", "attempt": 0},
            ),
            ("video.uploadCompleted", {"videoId": "v1", "source": "webhook"}),
            ("dam.muxBackfill", {"step": "poll", "attempt": 0, "source": "webhook"}),
        ],
        None,
    ),
    (
        "mux",
        "video.asset.errored",
        {"data": {"id": "mux-1"}},
        [{"kind": "recording", "id": "v2", "creator_id": None, "project_id": None, "status": "processing"}],
        [],
        None,
    ),
    ("mux", "video.asset.ready", {"data": {"id": "mux-1"}}, [], [], "not_ours"),
    ("mux", "video.upload.asset_created", {}, [], [], None),
    (
        "assemblyai",
        "transcript.completed",
        {"transcript_id": "t1", "status": "completed"},
        [{"video_id": "v1"}],
        [("video.uploadCompleted", {"videoId": "v1", "step": "poll", "attempt": 0, "source": "webhook"})],
        None,
    ),
    ("assemblyai", "transcript.error", {"transcript_id": "t1", "status": "error"}, [], [], "not_ours"),
    (
        "shopify",
        "subscription_billing_attempts/success",
        {"admin_graphql_api_id": "gid://shopify/SubscriptionBillingAttempt/5"},
        [{"subscription_id": "s1"}],
        [("subscription.billing", {"subscriptionId": "s1", "step": "settle"})],
        None,
    ),
    (
        "shopify",
        "subscription_billing_attempts/success",
        {"admin_graphql_api_id": "gid://shopify/SubscriptionBillingAttempt/5"},
        [],
        [],
        "not_ours",
    ),
    (
        "shopify",
        "subscription_billing_attempts/challenged",
        {"admin_graphql_api_id": "gid://shopify/SubscriptionBillingAttempt/5"},
        [{"id": ROW}],
        [
            (
                "subscription.paymentFailed",
                {"shopifyBillingAttemptId": "gid://shopify/SubscriptionBillingAttempt/5", "source": "webhook"},
            )
        ],
        None,
    ),
    (
        "shopify",
        "customer_payment_methods/update",
        {"admin_graphql_api_id": "gid://shopify/CustomerPaymentMethod/abc"},
        [{"id": "s1"}, {"id": "s2"}],
        [
            ("subscription.billing", {"subscriptionId": "s1", "reason": "payment_method_updated"}),
            ("subscription.billing", {"subscriptionId": "s2", "reason": "payment_method_updated"}),
        ],
        None,
    ),
]


@pytest.mark.parametrize(
    ("provider", "topic", "body", "facts", "events", "skip"),
    VENDORS,
    ids=[f"{row[0]} {row[1]} {row[5] or 'told'}" for row in VENDORS],
)
def test_vendors_topic_tells(
    provider: str,
    topic: str,
    body: dict[str, Any],
    facts: list[dict[str, Any]],
    events: list[tuple[str, dict[str, Any]]],
    skip: str | None,
) -> None:
    webhook = a_claimed(topic, body, provider=provider)

    made = plan(webhook, facts)

    assert sent(made) == events
    assert made.skip == skip
    assert len({send.key_for(webhook) for send in made.sends}) == len(made.sends)


def test_payouts_are_marked_for_a_look_at_the_vendor() -> None:
    made = plan(a_claimed("payout.failed", INTENT, provider="stripe"), PAYOUT_FACTS)

    assert made.writes == (CheckPayouts((str(ROW),)),)


MAIL_TOPICS = [
    "sent",
    "delivered",
    "delivery_delayed",
    "opened",
    "clicked",
    "bounced",
    "complained",
    "failed",
    "suppressed",
]


@pytest.mark.parametrize("name", MAIL_TOPICS)
def test_mail_event_is_recorded_with_its_own_instant(name: str) -> None:
    data = {"email_id": "m-1", "bounce": {"type": "Transient"}}
    body = {"type": f"email.{name}", "created_at": "2026-11-20T10:00:00.000+02:00", "data": data}

    made = plan(a_claimed(f"email.{name}", body, provider="resend"), ())

    at = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
    assert (made.resource_id, made.writes) == ("m-1", (RecordMail(f"email.{name}", "m-1", at, data),))


@pytest.mark.parametrize("created_at", [None, "soon"])
def test_mail_event_without_an_instant_happened_when_it_arrived(created_at: str | None) -> None:
    body = {"created_at": created_at, "data": {"email_id": "m-1"}}

    [write] = plan(a_claimed("email.opened", body, provider="resend"), ()).writes

    assert isinstance(write, RecordMail)
    assert write.at == NOON


@pytest.mark.parametrize("data", [{}, None, {"email_id": ""}], ids=["nothing", "none", "blank"])
def test_mail_event_that_names_no_mail_is_refused(data: Any) -> None:
    with pytest.raises(BodyInvalid):
        plan(a_claimed("email.bounced", {"data": data}, provider="resend"), ())


def test_dispute_is_told_with_its_deadline() -> None:
    body = {
        "data": {
            "object": {
                "id": "dp_1",
                "amount": 500,
                "currency": "jpy",
                "evidence_details": {"due_by": 1_764_000_000},
            }
        }
    }

    name, alert = sent(plan(a_claimed("charge.dispute.created", body, provider="stripe"), ()))[0]

    assert name == "alert.apiFailure"
    assert (alert["severity"], alert["source"], alert["title"]) == ("error", "stripe", "Payment disputed")
    assert alert["dedupeKey"] == "dispute:dp_1"
    assert alert["context"] == {
        "disputeId": "dp_1",
        "amountCents": 50_000,  # 500 yen
        "currency": "JPY",
        "dueBy": "2025-11-24T16:00:00+00:00",
    }


@pytest.mark.parametrize(
    ("minor", "currency", "cents"),
    [(1234, "USD", 1234), (1200, "JPY", 120_000), (1234, "KWD", 123), (1235, "KWD", 124), (500, "ISK", 500)],
)
def test_stripes_units_become_cents(minor: int, currency: str, cents: int) -> None:
    assert stripe_cents(minor, currency) == cents
