"""Keys, waits and the checks of a payload: pure functions."""

from __future__ import annotations

from typing import Any

import pytest

from functions.scheduled.webhooks import run_key
from functions.scheduled.webhooks.result import retry_delay
from functions.scheduled.webhooks.store import row_key
from functions.scheduled.webhooks.topics import plan
from shared.events.webhooks import WebhookReceived, WebhookRetry
from shared.jobs.declaration import Delivery
from tests.builders.webhooks import NOON, ROW, SMS_SID, a_claimed

# -- keys ------------------------------------------------------------------------------------------------------------


def key_of(topic: str, body: dict[str, Any]) -> str:
    webhook = a_claimed(topic, body)
    return plan(webhook, ()).sends[0].key_for(webhook)


def test_webhooks_of_one_state_of_an_order_share_a_key() -> None:
    created = key_of("orders/create", {"id": 5001, "updated_at": "2026-11-20T10:00:00Z"})
    paid = key_of("orders/paid", {"id": 5001, "updated_at": "2026-11-20T05:00:00-05:00"})
    later = key_of("orders/updated", {"id": 5001, "updated_at": "2026-11-20T10:00:05Z"})

    assert created == paid == "order.sync:5001:2026-11-20T10:00:00+00:00"
    assert later != created


def test_other_events_carry_the_rows_key() -> None:
    assert key_of("refunds/create", {"order_id": 5001}) == "shopify:refunds/create:evt-1:order.sync"
    assert key_of("customers/update", {"id": 7}) == "shopify:customers/update:evt-1:customer.sync"


def received(**fields: Any) -> WebhookReceived:
    return WebhookReceived.model_validate({"provider": "shopify", "topic": "orders/create", "body": {}, **fields})


R1_KEYS: list[tuple[str, dict[str, Any], str]] = [
    ("shopify event id", {"event_id": "e1", "external_id": "w1"}, "shopify:orders/create:e1"),
    ("shopify webhook id", {"external_id": "w1"}, "shopify:orders/create:w1"),
    ("stripe", {"provider": "stripe", "topic": "payout.paid", "external_id": "evt_1"}, "stripe:evt_1"),
    ("stripe, id in the body", {"provider": "stripe", "topic": "payout.paid", "body": {"id": "evt_2"}}, "stripe:evt_2"),
    ("resend", {"provider": "resend", "topic": "email.sent", "external_id": "msg_1"}, "resend:msg_1"),
    ("wise", {"provider": "wise", "topic": "balances#credit", "external_id": "d-1"}, "wise:d-1"),
    ("mux", {"provider": "mux", "topic": "video.asset.ready", "body": {"id": "m-1"}}, "mux:m-1"),
    (
        "twilio state",
        {
            "provider": "twilio",
            "topic": "message.status",
            "external_id": SMS_SID,
            "body": {"MessageSid": SMS_SID, "MessageStatus": "sent"},
        },
        f"twilio:{SMS_SID}:sent",
    ),
    (
        "twilio incoming",
        {"provider": "twilio", "topic": "message.received", "body": {"MessageSid": SMS_SID, "SmsStatus": "received"}},
        f"twilio:{SMS_SID}:in",
    ),
    (
        "assemblyai",
        {
            "provider": "assemblyai",
            "topic": "transcript.completed",
            "body": {"transcript_id": "t1", "status": "completed"},
        },
        "assemblyai:t1:completed",
    ),
    (
        "no id: hash of the body",  # sha256 of {"a":1}
        {"body": {"a": 1}},
        "shopify:orders/create:sha256:015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862",
    ),
]


@pytest.mark.parametrize(("fields", "key"), [row[1:] for row in R1_KEYS], ids=[row[0] for row in R1_KEYS])
def test_row_key(fields: dict[str, Any], key: str) -> None:
    assert row_key(received(**fields)) == key


def test_one_event_id_over_two_topics_makes_two_keys() -> None:
    assert row_key(received(event_id="e1")) != row_key(received(event_id="e1", topic="orders/updated"))


def test_run_key_names_row_and_attempt_or_the_vendors_event() -> None:
    first, second = Delivery("m1", NOON), Delivery("m2", NOON)

    assert run_key(received(event_id="e1"), first) == run_key(received(event_id="e1"), second)
    assert run_key(WebhookReceived(webhook_event_id=ROW), first) == f"{ROW}:0"
    assert run_key(WebhookReceived(webhook_event_id=ROW), second) == f"{ROW}:0"
    # A requeued row counts anew: its first retry must not be answered with the result of its first life.
    assert run_key(WebhookRetry(webhook_event_id=ROW, attempt=1), first) == f"{ROW}:1:m1"
    assert run_key(WebhookRetry(webhook_event_id=ROW, attempt=1), second) == f"{ROW}:1:m2"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"topic": "orders/create", "body": {}},
        {"webhook_event_id": ROW, "delivery_id": ROW},
        {"webhook_event_id": ROW, "provider": "shopify", "topic": "orders/create", "body": {}},
    ],
    ids=["none", "no provider", "two rows", "row and body"],
)
def test_anything_but_one_form_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="exactly one of"):
        WebhookReceived.model_validate(fields)


# -- waits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("failures", "seconds"), [(1, 60), (2, 300), (3, 1800), (4, 7200), (5, 86_400), (9, 86_400)])
def test_waits_grow_and_get_up_to_a_tenth_longer(failures: int, seconds: int) -> None:
    waits = [retry_delay(failures).total_seconds() for _ in range(50)]

    assert all(seconds <= wait <= seconds * 1.1 for wait in waits)
    assert len(set(waits)) > 1
