"""What webhooks write about checkouts, the app in the shop, the shop and its customers' privacy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.events.webhooks import WebhookReceived
from shared.jobs.context import Tenant
from shared.jobs.testing import Deliver
from tests.builders.webhooks import NOON, SHOP, a_webhook, names

Rows = Any

# -- checkouts -------------------------------------------------------------------------------------------------------


def a_checkout(updated_at: str, **fields: Any) -> WebhookReceived:
    body = {
        "id": 12,
        "email": "Ann@Example.com",
        "total_price": "19.99",
        "currency": "USD",
        "updated_at": updated_at,
        "line_items": [{"key": "k", "title": "Cup", "quantity": 1, "price": "19.99"}],
        **fields,
    }
    return a_webhook("checkouts/update", body)


def test_checkout_lives_from_activity_to_recovery(deliver: Deliver, rows: Rows) -> None:
    deliver(a_checkout("2026-11-20T10:00:00Z"))
    first = rows("SELECT * FROM abandoned_checkouts")[0]
    rows.execute(
        "INSERT INTO recovery_email_queue (abandoned_checkout_id, scheduled_at) VALUES (%s, %s)", (first["id"], NOON)
    )
    deliver(a_checkout("2026-11-20T09:00:00Z", total_price="5.00"))
    older = rows("SELECT * FROM abandoned_checkouts")[0]
    done = deliver(a_checkout("2026-11-20T10:30:00Z", completed_at="2026-11-20T10:30:00Z"))
    recovered = rows("SELECT * FROM abandoned_checkouts")[0]
    deliver(a_checkout("2026-11-20T10:31:00Z"))
    last = rows("SELECT * FROM abandoned_checkouts")[0]

    assert (first["cart_total_cents"], first["status"]) == (1999, "abandoned")
    assert first["abandoned_at"] == datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
    assert first["customer_email"] == "ann@example.com"
    assert older == first
    assert (recovered["status"], recovered["recovered_order_id"]) == ("recovered", None)
    assert recovered["recovered_at"] == datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
    assert rows("SELECT status FROM recovery_email_queue")[0]["status"] == "cancelled"
    assert names(done) == ["recovery.checkoutUpdated"]
    assert last["status"] == "recovered"


def test_deleted_checkout_expires_only_while_abandoned(deliver: Deliver, rows: Rows) -> None:
    deliver(a_checkout("2026-11-20T10:00:00Z"))
    deliver(a_webhook("checkouts/delete", {"id": 12}))

    assert rows("SELECT status FROM abandoned_checkouts")[0]["status"] == "expired"


# -- app, shop, privacy ----------------------------------------------------------------------------------------------


def test_uninstallation_before_the_present_installation_leaves_the_connection(deliver: Deliver, rows: Rows) -> None:
    triggered = datetime(2026, 11, 1, 10, 0, tzinfo=UTC)  # installed 2026-11-02T09:00Z

    done = deliver(a_webhook("app/uninstalled", {"id": 1}, triggered_at=triggered))

    assert (done.result["outcome"], done.result["code"], done.emitted) == ("skipped", "before_reinstall", [])
    connection = rows("SELECT * FROM shopify_connections")[0]
    assert (connection["status"], connection["access_token_encrypted"]) == ("active", "sealed")


def test_uninstallation_removes_the_tokens_and_nothing_else(deliver: Deliver, rows: Rows, tenant: Tenant) -> None:
    triggered = datetime(2026, 11, 20, 11, 59, tzinfo=UTC)
    rows.execute(
        "UPDATE public.organizations SET shopify_store_domain = %s, shopify_access_token_encrypted = 'sealed'", (SHOP,)
    )
    rows.execute(
        "INSERT INTO public.shopify_app_installations (shop, organization_id) VALUES (%s, %s)",
        (SHOP, tenant.organization_id),
    )
    rows.execute("INSERT INTO webhook_registrations (shop, topic, address) VALUES (%s, 'app/uninstalled', '')", (SHOP,))

    done = deliver(a_webhook("app/uninstalled", {"id": 1}, triggered_at=triggered))

    connection = rows("SELECT * FROM shopify_connections")[0]
    assert (connection["status"], connection["access_token_encrypted"]) == ("disconnected", None)
    assert (connection["storefront_api_token_encrypted"], connection["webhook_secret_encrypted"]) == (None, "secret")
    tokens = {r["slug"]: r["shopify_access_token_encrypted"] for r in rows("SELECT * FROM public.organizations")}
    assert tokens["acme"] is None
    assert tokens["globex"] == "sealed"
    assert rows("SELECT status FROM webhook_registrations")[0]["status"] == "deleted"
    installation = rows("SELECT * FROM public.shopify_app_installations")[0]
    assert (installation["status"], installation["uninstalled_at"]) == ("uninstalled", triggered)
    assert names(done) == ["alert.systemError"]


def test_shop_details_follow_the_newest_body(deliver: Deliver, rows: Rows) -> None:
    newer = {"name": "Acme", "iana_timezone": "Europe/Berlin", "currency": "EUR", "updated_at": "2026-11-20T10:00:00Z"}
    older = {**newer, "name": "Old", "updated_at": "2026-11-20T09:00:00Z"}

    deliver(a_webhook("shop/update", newer))
    late = deliver(a_webhook("shop/update", older))

    assert late.result["code"] == "stale"
    shop = rows("SELECT store_name, store_timezone, store_currency FROM shopify_connections")[0]
    assert shop == {"store_name": "Acme", "store_timezone": "Europe/Berlin", "store_currency": "EUR"}


def test_lost_scope_is_stored_and_told(deliver: Deliver, rows: Rows) -> None:
    done = deliver(a_webhook("app/scopes_update", {"current": ["read_orders"]}))

    assert rows("SELECT scopes FROM shopify_connections")[0]["scopes"] == ["read_orders"]
    name, alert = done.emitted[0]
    assert (name, alert["severity"]) == ("alert.apiFailure", "error")
    assert alert["context"]["missing"] == ["read_customers", "read_products"]


def test_data_request_is_opened_once(deliver: Deliver, rows: Rows) -> None:
    body = {"customer": {"id": 77, "email": "Ann@example.com"}, "orders_requested": [5001]}

    dones = [deliver(a_webhook("customers/data_request", body)) for _ in range(2)]

    requests = rows("SELECT * FROM privacy_requests")
    assert len(requests) == 1
    opened = requests[0]
    assert (opened["customer_id"], opened["customer_email"]) == ("77", "ann@example.com")
    assert (opened["request_type"], opened["status"]) == ("export", "pending")
    assert opened["deadline_at"] == NOON + timedelta(days=30)
    assert opened["notes"] == "shopify orders: 5001"
    assert {event["dedupeKey"] for done in dones for _, event in done.emitted} == {f"privacy:{opened['id']}"}


@pytest.fixture
def ann(rows: Rows) -> None:
    """The customer 77 with a trace in every table that can hold one, beside somebody else."""
    rows.execute(
        "INSERT INTO customers (id, shopify_customer_id, shopify_id, email, phone, first_name, last_name, "
        "default_address, accepts_marketing, tags, notes, metadata) VALUES "
        "('77', '77', '77', 'Ann@example.com', '+1 555 0100', 'Ann', 'Lee', '{}', true, '{vip}', 'n', "
        '\'{"email": "ann@example.com", "tier": "gold", "crm": {"contact": "ann@example.com"}}\'), '
        "('78', '78', '78', 'bob@example.com', NULL, 'Bob', 'Ray', '{}', true, '{}', 'n', '{}')"
    )
    rows.execute(
        "INSERT INTO customer_addresses (customer_id, customer_shopify_id, city) "
        "VALUES ('77', '77', 'X'), ('78', '78', 'Y')"
    )
    rows.execute(
        "INSERT INTO orders (id, shopify_order_id, shopify_id, order_number, customer_id, customer_email, total_cents, "
        "shipping_address, billing_address, notes, line_items) VALUES "
        "('5001', '5001', '5001', '1', '77', 'ann@example.com', 1999, '{}', '{}', 'n', '[1]'), "
        "('5002', '5002', '5002', '2', NULL, 'ann@example.com', 500, '{}', '{}', 'n', '[]'), "
        "('5003', '5003', '5003', '3', '78', 'bob@example.com', 700, '{}', '{}', 'n', '[]')"
    )
    rows.execute(
        "INSERT INTO abandoned_checkouts (shopify_checkout_id, customer_email, cart_total_cents, abandoned_at) VALUES "
        "('1', 'ann@example.com', 1, now()), ('2', 'bob@example.com', 1, now())"
    )
    rows.execute(
        "INSERT INTO sms_consent (phone, email, channel, action, source, opted_in) "
        "VALUES ('+15550100', 'ann@example.com', 'marketing', 'opt_in', 'checkout', true)"
    )
    rows.execute(
        "INSERT INTO sms_queue (tenant_id, phone_number, recipient_type, recipient_name, notification_type, content, "
        "character_count, segment_count) VALUES ('acme', '+15550100', 'customer', 'Ann', 'x', 'Hi Ann', 6, 1)"
    )
    rows.execute(
        "INSERT INTO reviews (product_id, author_name, author_email, rating, body) "
        "VALUES ('p', 'Ann', 'ANN@example.com', 5, 'Nice')"
    )
    rows.execute(
        "INSERT INTO review_email_queue (id, tenant_id, order_id, order_number, customer_email, customer_name, status) "
        "VALUES ('m1', 'acme', '5002', '2', 'Ann@example.com', 'Ann', 'scheduled'), "
        "('m2', 'acme', '5003', '3', 'bob@example.com', 'Bob', 'scheduled')"
    )
    rows.execute(
        "INSERT INTO review_incentive_codes (code, customer_email, discount_type, discount_value) "
        "VALUES ('THANKS', 'ann@example.com', 'percentage', 10)"
    )


@pytest.mark.usefixtures("ann")
def test_redaction_takes_the_person_and_leaves_the_books(deliver: Deliver, rows: Rows) -> None:
    body = {"customer": {"id": 77, "email": "ann@example.com"}, "orders_to_redact": [5002]}

    done = deliver(a_webhook("customers/redact", body))

    assert done.result["outcome"] == "completed"
    ann = rows("SELECT * FROM customers WHERE id = '77'")[0]
    assert (ann["email"], ann["first_name"], ann["last_name"]) == (
        "redacted-77@redacted.invalid",
        "Redacted",
        "Customer",
    )
    assert (ann["phone"], ann["default_address"], ann["notes"], ann["tags"]) == (None, None, None, [])
    assert ann["accepts_marketing"] is False
    assert ann["metadata"] == {"tier": "gold", "shopify": {"redactedAt": NOON.isoformat()}}
    assert [r["city"] for r in rows("SELECT city FROM customer_addresses")] == ["Y"]
    orders = {r["id"]: r for r in rows("SELECT * FROM orders")}
    for id, total in (("5001", 1999), ("5002", 500)):
        assert orders[id]["customer_email"] == f"redacted-{id}@redacted.invalid"
        assert orders[id]["total_cents"] == total
        assert (orders[id]["shipping_address"], orders[id]["billing_address"], orders[id]["notes"]) == (None,) * 3
    assert orders["5001"]["line_items"] == [1]
    assert orders["5003"]["customer_email"] == "bob@example.com"
    assert [r["shopify_checkout_id"] for r in rows("SELECT * FROM abandoned_checkouts")] == ["2"]
    consent = rows("SELECT * FROM sms_consent")[0]
    assert (consent["action"], consent["opted_in"], consent["email"]) == ("opt_out", False, None)
    sms = rows("SELECT * FROM sms_queue")[0]
    assert (sms["content"], sms["recipient_name"]) == ("", None)
    review = rows("SELECT * FROM reviews")[0]
    assert (review["author_name"], review["author_email"]) == ("Redacted Customer", "redacted-77@redacted.invalid")
    assert review["body"] == "Nice"
    mails = rows("SELECT customer_email, customer_name FROM review_email_queue ORDER BY id")
    assert [tuple(mail.values()) for mail in mails] == [
        ("redacted-m1@redacted.invalid", None),
        ("bob@example.com", "Bob"),
    ]
    [reward] = rows("SELECT customer_email FROM review_incentive_codes")
    assert reward["customer_email"] == "redacted-77@redacted.invalid"
    request = rows("SELECT * FROM privacy_requests")[0]
    assert (request["request_type"], request["status"], request["processed_at"]) == ("delete", "completed", NOON)
    assert rows("SELECT email FROM customers WHERE id = '78'")[0]["email"] == "bob@example.com"


def test_shop_redaction_drops_every_secret_and_calls_a_person(deliver: Deliver, rows: Rows) -> None:
    done = deliver(a_webhook("shop/redact", {"shop_id": 1, "shop_domain": SHOP}))

    connection = rows("SELECT * FROM shopify_connections")[0]
    secrets = ("access_token_encrypted", "webhook_secret_encrypted", "storefront_api_token_encrypted")
    assert connection["status"] == "disconnected"
    assert [connection[name] for name in secrets] == [None] * 3
    request = rows("SELECT * FROM privacy_requests")[0]
    assert (request["customer_email"], request["request_type"]) == (f"shop:{SHOP}", "delete")
    assert (request["status"], request["notes"]) == ("pending", "shop redaction")
    assert names(done) == ["alert.critical"]
