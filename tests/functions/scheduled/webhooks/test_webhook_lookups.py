"""Webhooks about things of ours at Shopify and other vendors: the look-ups, on real tables."""

from __future__ import annotations

from typing import Any

import pytest

from shared.jobs.testing import Deliver
from tests.builders.webhooks import NOON, a_vendors, a_webhook, names

Rows = Any

CREATOR = "INSERT INTO creators (id, email, first_name, last_name) VALUES ('c1', 'c@example.com', 'C', 'D')"
PAYOUT = (
    CREATOR,
    "INSERT INTO payouts (id, creator_id, amount_cents, net_amount_cents, method) "
    "VALUES ('po-9', 'c1', 100, 100, 'stripe')",
    "INSERT INTO payout_attempts (payout_id, attempt_no, provider, status, vendor_key, request_hash, destination, "
    "amount_cents, currency, vendor_transfer_id) "
    "VALUES ('po-9', 1, %(provider)s, 'sent', 'k', 'h', 'd', 100, 'USD', 't-1')",
)
SUBSCRIPTION = (
    "INSERT INTO subscriptions (id, customer_id, customer_email, product_id, product_title, price_cents, "
    "shopify_subscription_id, payment_method_id) VALUES ('s1', '77', 'a@example.com', 'p', 'P', 100, "
    "'gid://shopify/SubscriptionContract/6', 'gid://shopify/CustomerPaymentMethod/abc')",
)
CHARGE = (
    *SUBSCRIPTION,
    "INSERT INTO subscription_charges (id, subscription_id, cycle_number, due_date, due_at, engine, state, source, "
    "currency, stripe_payment_intent_id) VALUES ('0198a000-0000-7000-8000-000000000001', 's1', 1, '2026-11-20', now(), "
    "'stripe', 'charging', 'daily', 'USD', 'pi_1')",
    "INSERT INTO subscription_charge_attempts (id, charge_id, attempt_no, idempotency_key, engine, status, "
    "vendor_attempt_id, amount_cents, currency, sent_at) VALUES (gen_random_uuid(), "
    "'0198a000-0000-7000-8000-000000000001', 1, 'k', 'shopify', 'pending', "
    "'gid://shopify/SubscriptionBillingAttempt/5', 100, 'USD', now())",
)
ATTEMPT = "gid://shopify/SubscriptionBillingAttempt/5"

LOOKS: list[tuple[Any, str, dict[str, Any], tuple[str, ...], list[tuple[str, dict[str, Any]]]]] = [
    (
        "stripe",
        "topup.succeeded",
        {"data": {"object": {"id": "tu_1", "amount": 100, "currency": "usd"}}},
        ("INSERT INTO stripe_topups (id, stripe_topup_id, amount_cents) VALUES ('own', 'tu_1', 100)",),
        [("treasury.topup", {"topupId": "own", "amount": 100})],
    ),
    (
        "stripe",
        "transfer.updated",
        {"data": {"object": {"id": "t-1"}}},
        PAYOUT,
        [("payout.checkDomestic", {"payoutId": "po-9"})],
    ),
    (
        "wise",
        "transfers#state-change",
        {"data": {"resource": {"id": "t-1"}}},
        PAYOUT,
        [("payout.checkInternational", {"payoutId": "po-9"})],
    ),
    (
        "stripe",
        "payment_intent.succeeded",
        {"data": {"object": {"id": "pi_1"}}},
        CHARGE,
        [("subscription.billing", {"subscriptionId": "s1", "step": "settle"})],
    ),
    (
        "shopify",
        "subscription_billing_attempts/success",
        {"admin_graphql_api_id": ATTEMPT},
        CHARGE,
        [("subscription.billing", {"subscriptionId": "s1", "step": "settle"})],
    ),
    (
        "shopify",
        "subscription_billing_attempts/success",
        {"admin_graphql_api_id": ATTEMPT, "subscription_contract_id": 6},
        SUBSCRIPTION,
        [("subscription.billing", {"subscriptionId": "s1", "step": "settle"})],
    ),
    (
        "shopify",
        "subscription_billing_attempts/failure",
        {"admin_graphql_api_id": ATTEMPT},
        CHARGE,
        [("subscription.paymentFailed", {"shopifyBillingAttemptId": ATTEMPT, "source": "webhook"})],
    ),
    (
        "shopify",
        "customer_payment_methods/update",
        {"admin_graphql_api_id": "gid://shopify/CustomerPaymentMethod/abc"},
        SUBSCRIPTION,
        [("subscription.billing", {"subscriptionId": "s1", "reason": "payment_method_updated"})],
    ),
    (
        "shopify",
        "draft_orders/update",
        {"id": 3, "status": "completed"},
        (
            CREATOR,
            "INSERT INTO creator_product_shipments (id, creator_id, shopify_draft_order_id) "
            "VALUES ('0198a000-0000-7000-8000-0000000000aa', 'c1', 'gid://shopify/DraftOrder/3')",
        ),
        [("creator.shipmentSync", {"shipmentId": "0198a000-0000-7000-8000-0000000000aa"})],
    ),
    (
        "mux",
        "video.asset.ready",
        {"data": {"id": "m-1"}},
        (
            "INSERT INTO media_files (id, source, source_id, creator_id, project_id, mux) "
            """VALUES (gen_random_uuid(), 'project_file', 'f1', 'c1', 'p1', '{"assetId": "m-1"}')""",
            "INSERT INTO videos (id, tenant_id, user_id, title, mux_asset_id, status) "
            "VALUES ('v1', 'acme', 'u', 'T', 'm-1', 'ready')",
        ),
        [("creator.file.uploaded", {"fileId": "f1", "step": "poll"}), ("video.uploadCompleted", {"videoId": "v1"})],
    ),
    (
        "assemblyai",
        "transcript.completed",
        {"transcript_id": "t1", "status": "completed"},
        (
            "INSERT INTO videos (id, tenant_id, user_id, title) VALUES ('v1', 'acme', 'u', 'T')",
            "INSERT INTO video_transcripts (id, video_id, state, vendor_id, audio_path, requested_at) "
            "VALUES (gen_random_uuid(), 'v1', 'processing', 't1', 'a', now())",
        ),
        [("video.uploadCompleted", {"videoId": "v1", "step": "poll", "attempt": 0})],
    ),
]


@pytest.mark.parametrize(
    ("provider", "topic", "body", "known", "events"), LOOKS, ids=[f"{row[0]} {row[1]} {len(row[3])}" for row in LOOKS]
)
def test_look_up_finds_what_is_ours(
    deliver: Deliver,
    rows: Rows,
    provider: Any,
    topic: str,
    body: dict[str, Any],
    known: tuple[str, ...],
    events: list[tuple[str, dict[str, Any]]],
) -> None:
    for statement in known:
        rows.execute(statement, {"provider": provider})

    done = deliver(a_webhook(topic, body) if provider == "shopify" else a_vendors(provider, topic, body))

    assert names(done) == [name for name, _ in events]
    for (_, event), (_, expected) in zip(done.emitted, events, strict=True):
        assert {name: event.get(name) for name in expected} == expected
    if known is PAYOUT:
        assert rows("SELECT next_check_at FROM payout_attempts")[0]["next_check_at"] == NOON


def test_fulfilment_asks_for_the_creators_parcels_on_their_way(deliver: Deliver, rows: Rows) -> None:
    rows.execute(CREATOR)
    shipments = {
        status: rows(
            "INSERT INTO creator_product_shipments (creator_id, shopify_order_id, status) "
            "VALUES (%s, %s, %s) RETURNING id",
            ("c1", order, status),
        )[0]["id"]
        for order, status in (("gid://shopify/Order/5001", "ordered"), ("5001", "shipped"), ("5001", "delivered"))
    }

    done = deliver(a_webhook("fulfillments/create", {"id": 8, "order_id": 5001}))

    asked = {event["shipmentId"] for name, event in done.emitted if name == "creator.shipmentSync"}
    assert asked == {str(shipments["ordered"]), str(shipments["shipped"])}
    assert done.result["emitted"] == ["order.sync", "creator.shipmentSync"]
