"""The place of an order in the queue of review mails: when, or why not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from shared.events.orders import OrderReviewEmail
from shared.fakes.shopify import ShopifyFake
from shared.jobs.context import Tenant
from shared.jobs.testing import Deliver, ManualClock
from shared.mail.addresses import hash_address
from tests.builders.ab_tests import insert
from tests.builders.reviews import (
    ANN,
    NOON,
    add_line,
    add_mail,
    add_order,
    add_review,
    add_template,
    mail_row,
    set_reviews,
    set_rules,
    ship,
    withdraw_consent,
)
from tests.conftest import Rows

ASK = OrderReviewEmail(order_id="1001")


def only_row(rows: Rows) -> dict[str, Any]:
    (row,) = rows("SELECT * FROM review_email_queue")
    return row


def moment(clock: ManualClock, text: str) -> datetime:
    """Move the clock to an instant, also a former one."""
    at = datetime.fromisoformat(text)
    clock.advance(s=(at - clock.now()).total_seconds())
    return at


def test_delivered_in_new_york_before_the_clocks_go_forward(
    deliver: Deliver, rows: Rows, tenant: Tenant, clock: ManualClock
) -> None:
    """2026-03-09 15:00Z is 11:00 there since the 8th, so the next ten o'clock is 2026-03-10 14:00Z."""
    at = moment(clock, "2026-03-02T16:00:00+00:00")
    rows.execute("UPDATE public.organizations SET settings = %s", (Jsonb({"timezone": "America/New_York"}),))
    add_order(rows, placed_at=at - timedelta(days=6))
    ship(rows, at=at - timedelta(days=4), delivered=[datetime(2026, 3, 2, 15, tzinfo=UTC)])

    done = deliver(ASK)

    row = only_row(rows)
    assert row["scheduled_at"] == datetime(2026, 3, 10, 14, tzinfo=UTC)
    assert (done.result["outcome"], done.result["scheduledFor"]) == ("scheduled", "2026-03-10T14:00:00Z")
    expected = {
        "reviewEmailId": row["id"],
        "orderId": "1001",
        "customerId": "",
        "templateId": "request",
        "scheduledFor": "2026-03-10T14:00:00Z",
    }
    assert done.emitted == [("review.email.queued", expected)]


def test_fulfilled_is_the_trigger(deliver: Deliver, rows: Rows, clock: ManualClock) -> None:
    at = moment(clock, "2026-06-01T09:00:00+00:00")
    set_reviews(rows, order_status_trigger="fulfilled")
    add_order(rows, placed_at=at - timedelta(days=2))
    ship(rows, at=datetime(2026, 6, 1, 8, tzinfo=UTC))

    deliver(ASK)

    row = only_row(rows)
    assert (row["scheduled_at"], row["trigger_event"]) == (datetime(2026, 6, 8, 10, tzinfo=UTC), "fulfilled")


def test_row_says_what_the_mails_need(deliver: Deliver, rows: Rows) -> None:
    set_reviews(rows, incentive_enabled=True)
    template = add_template(rows, delay_days=2)
    insert(rows, "customers", {"id": "501", "first_name": "Ann", "last_name": "Lee", "email": ANN})
    add_order(rows, customer_id="501", line={"net_cents": 1_000, "position": 1})
    add_line(rows, title="Sofa", product_id="9002", net_cents=50_000, position=2)
    add_line(rows, title="Chair", product_id="9003", net_cents=50_000, position=0)
    add_line(rows, title="Card", product_id="9004", net_cents=99_000, is_gift_card=True)
    add_line(rows, title="Service", product_id="9005", net_cents=99_000, requires_shipping=False)
    ship(rows, at=NOON - timedelta(days=3), delivered=[NOON - timedelta(hours=1)], tracking_number="T1")

    done = deliver(ASK)

    row = only_row(rows)
    assert (row["tenant_id"], row["order_number"], row["customer_email"]) == ("acme", "#1001", ANN)
    assert (row["customer_name"], row["customer_id"], row["tracking_number"]) == ("Ann Lee", "501", "T1")
    assert (row["product_title"], row["product_id"]) == ("Chair", "9003")
    assert [each["title"] for each in row["metadata"]["products"]] == ["Chair", "Sofa", "Mug"]
    assert (row["sequence_number"], row["template_type"], row["max_attempts"]) == (1, "request", 5)
    assert (row["incentive_offered"], row["delay_days"], row["delivered_at"]) == (True, 2, NOON - timedelta(hours=1))
    assert len(row["sequence_id"]) == 36
    assert row["scheduled_at"] == datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert done.emitted[0][1]["templateId"] == template


def test_name_of_the_parcel_stands_in_for_an_unknown_customer(deliver: Deliver, rows: Rows) -> None:
    add_order(rows, shipping_address={"firstName": "Bo", "lastName": "Ek"})

    deliver(ASK)

    assert only_row(rows)["customer_name"] == "Bo Ek"


def test_delivery_that_comes_later_moves_the_same_row(deliver: Deliver, rows: Rows) -> None:
    add_order(rows)
    ship(rows, at=NOON - timedelta(days=3))
    first = deliver(ASK)
    assert (first.result["outcome"], only_row(rows)["scheduled_at"], first.emitted) == ("awaiting_delivery", None, [])

    arrived = NOON - timedelta(hours=1)
    later = deliver(OrderReviewEmail(order_id="1001", fulfillment_id="10010", delivered_at=arrived))

    row = only_row(rows)
    assert (later.result["outcome"], later.result["reviewEmailId"]) == ("scheduled", first.result["reviewEmailId"])
    assert (row["delivered_at"], row["scheduled_at"]) == (arrived, datetime(2026, 11, 28, 10, tzinfo=UTC))


def test_order_that_has_not_left_is_pending(deliver: Deliver, rows: Rows) -> None:
    add_order(rows)

    assert deliver(ASK).result["outcome"] == "pending"
    assert only_row(rows)["status"] == "pending"


def test_one_of_two_parcels_is_not_the_order(deliver: Deliver, rows: Rows) -> None:
    add_order(rows)
    ship(rows, at=NOON - timedelta(days=3), delivered=[NOON - timedelta(hours=1), None])

    assert deliver(ASK).result["outcome"] == "awaiting_delivery"
    assert only_row(rows)["delivered_at"] is None


@pytest.mark.parametrize(("days", "outcome"), [(12, "not_eligible"), (30, "scheduled")])
def test_customer_is_not_asked_every_week(deliver: Deliver, rows: Rows, days: int, outcome: str) -> None:
    add_order(rows)
    ship(rows, at=NOON - timedelta(days=3), delivered=[NOON])
    add_mail(
        rows, order_id="other", customer_email="ann@example.com", status="sent", sent_at=NOON - timedelta(days=days)
    )

    done = deliver(ASK)

    assert done.result["outcome"] == outcome
    assert done.result.get("reason") == ("recently_asked" if outcome == "not_eligible" else None)


@pytest.mark.parametrize(
    ("order", "settings", "rules", "reason"),
    [
        ({}, {"provider": "judgeme"}, {}, "provider_external"),
        ({"customer_email": None}, {}, {}, "no_email"),
        ({"customer_email": "redacted-1@redacted.invalid"}, {}, {}, "no_email"),
        ({"financial_status": "refunded"}, {}, {}, "order_cancelled"),
        ({"financial_status": "voided"}, {}, {}, "order_cancelled"),
        ({"cancelled_at": NOON}, {}, {}, "order_cancelled"),
        ({"line": {"is_gift_card": True}}, {}, {}, "nothing_to_review"),
        ({"line": {"requires_shipping": False}}, {}, {}, "nothing_to_review"),
        ({}, {}, {"requireMarketingConsent": True}, "no_consent"),
        ({"tags": ["wholesale"]}, {}, {"excludeTags": ["wholesale"]}, "excluded_tag"),
        ({"source_name": "subscription_contract"}, {}, {}, "renewal"),
        ({"tags": ["Subscription Recurring Order"]}, {}, {}, "renewal"),
        ({"source_name": "subscription_contract"}, {}, {"includeRenewals": True}, None),
        ({"placed_at": NOON - timedelta(days=121)}, {}, {}, "too_old"),
        ({"placed_at": NOON - timedelta(days=119)}, {}, {}, None),
    ],
)
def test_order_that_gets_no_request(
    deliver: Deliver,
    rows: Rows,
    order: dict[str, Any],
    settings: dict[str, Any],
    rules: dict[str, Any],
    reason: str | None,
) -> None:
    add_order(rows, **order)
    if settings:
        set_reviews(rows, **settings)
    if rules:
        set_rules(rows, **rules)

    done = deliver(ASK)

    assert done.result.get("reason") == reason
    assert len(rows("SELECT 1 FROM review_email_queue")) == (0 if reason else 1)


@pytest.mark.parametrize(("scope", "reason"), [("review", "suppressed"), ("all", "suppressed"), ("marketing", None)])
def test_suppressed_address_is_not_queued(deliver: Deliver, rows: Rows, scope: str, reason: str | None) -> None:
    add_order(rows)
    rows.execute(
        "INSERT INTO mail_suppressions (address_hash, scope, reason) VALUES (%s, %s, 'manual')",
        (hash_address(ANN), scope),
    )

    assert deliver(ASK).result.get("reason") == reason


def test_customer_who_said_no_and_one_whose_tag_is_excluded(deliver: Deliver, rows: Rows) -> None:
    insert(rows, "customers", {"id": "501", "tags": ["vip"], "accepts_marketing": True})
    add_order(rows, customer_id="501")
    set_rules(rows, excludeTags=["vip"], requireMarketingConsent=True)
    assert deliver(ASK).result["reason"] == "excluded_tag"

    withdraw_consent(rows)
    assert deliver(OrderReviewEmail(order_id="1001", customer_id="501")).result["reason"] == "consent_withdrawn"


def test_reviewed_order_is_not_asked(deliver: Deliver, rows: Rows) -> None:
    add_order(rows)
    add_review(rows)

    assert deliver(ASK).result["reason"] == "already_reviewed"


def test_address_of_the_message_counts_only_without_one_of_the_order(deliver: Deliver, rows: Rows) -> None:
    add_order(rows, customer_email=None)

    deliver(OrderReviewEmail(order_id="1001", customer_email="bo@example.com"))

    assert only_row(rows)["customer_email"] == "bo@example.com"


def test_event_twice_is_one_row_and_one_word(deliver: Deliver, rows: Rows, clock: ManualClock) -> None:
    add_order(rows)
    ship(rows, at=NOON - timedelta(days=3), delivered=[NOON])
    first = deliver(ASK)
    deliver(ASK, key="at once", expect="duplicate")
    clock.advance(s=601)
    again = deliver(ASK)

    assert (len(first.emitted), again.emitted) == (1, [])
    assert again.result["outcome"] == "kept"
    assert again.result["scheduledFor"] == first.result["scheduledFor"]


@pytest.mark.parametrize("status", ["skipped", "sent", "failed", "processing", "scheduled"])
def test_row_that_no_longer_waits_stays(deliver: Deliver, rows: Rows, status: str) -> None:
    add_order(rows)
    ship(rows, at=NOON - timedelta(days=3), delivered=[NOON])
    add_mail(rows, status=status)
    before = mail_row(rows)

    done = deliver(ASK)

    assert (done.result["outcome"], mail_row(rows), done.emitted) == ("kept", before, [])


def test_order_that_is_not_here_is_asked_for(deliver: Deliver, rows: Rows, shopify: ShopifyFake) -> None:
    missing = deliver(OrderReviewEmail(order_id="4711"), expect="retrying")
    assert (missing.code, [name for name, _ in missing.emitted]) == ("ORDER_NOT_READY", ["order.sync"])


@pytest.mark.parametrize(
    "payload", [{}, {"orderId": None}, {"orderId": "1001", "deliveredAt": "2026-11-20"}, {"orderId": True}]
)
def test_message_that_names_no_order_is_dead(deliver: Deliver, payload: dict[str, Any]) -> None:
    assert deliver.job("commerce-order-review-email", payload, expect="dead").code == "INVALID_PAYLOAD"


def test_order_of_another_tenant_is_unknown(deliver: Deliver, rows: Rows, other_tenant: Tenant) -> None:
    add_order(rows, "own_77", tenant=other_tenant)

    assert deliver(OrderReviewEmail(order_id="own_77"), expect="dead").code == "ORDER_ID_UNKNOWN"
