"""Checkouts, the app, the shop and privacy: what the pure plan writes and tells."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.scheduled.webhooks.model import (
    BodyInvalid,
    CheckoutSeen,
    Disconnect,
    RedactCustomer,
    StoreScopes,
)
from functions.scheduled.webhooks.topics import plan
from tests.builders.webhooks import NOON, a_claimed, sent

# -- checkouts -------------------------------------------------------------------------------------------------------

CHECKOUT: dict[str, Any] = {
    "id": 12,
    "token": "tok",
    "email": "Ann@Example.com",
    "total_price": "19.99",
    "currency": "USD",
    "presentment_currency": "EUR",
    "updated_at": "2026-11-20T10:00:00Z",
    "abandoned_checkout_url": "https://acme.test/recover",
    "customer": {"id": 77, "first_name": "Ann", "last_name": "Lee"},
    "line_items": [
        {"key": "k1", "title": "Cup", "variant_title": "Red", "quantity": 2, "price": "9.995", "product_id": 3}
    ],
}


def test_checkout_is_kept_with_cents_and_its_last_activity() -> None:
    made = plan(a_claimed("checkouts/update", CHECKOUT), ())

    assert made.sends == ()
    write = made.writes[0]
    assert isinstance(write, CheckoutSeen)
    assert write.values["cart_total_cents"] == 1999
    assert write.values["customer_email"] == "ann@example.com"
    assert write.values["customer_name"] == "Ann Lee"
    assert write.values["customer_id"] == "77"
    assert write.values["currency_code"] == "EUR"
    assert write.values["abandoned_at"] == datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
    assert write.values["line_items"] == [
        {
            "id": "k1",
            "title": "Cup",
            "variantTitle": "Red",
            "quantity": 2,
            "price": 1000,  # 9.995, half up
            "currency": "EUR",
            "imageUrl": None,
            "sku": None,
            "productId": "3",
            "variantId": None,
        }
    ]


def test_completed_checkout_is_told_to_the_apps() -> None:
    made = plan(a_claimed("checkouts/update", {**CHECKOUT, "completed_at": "2026-11-20T10:05:00Z"}), ())

    assert sent(made) == [("recovery.checkoutUpdated", {"shopifyCheckoutId": "12", "completed": True})]


def test_checkout_of_nobody_is_anonymous() -> None:
    made = plan(a_claimed("checkouts/create", {"id": 12, "total_price": "1.00"}), ())

    assert (made.skip, made.sends, made.writes) == ("anonymous", (), ())


@pytest.mark.parametrize("price", [None, "", "x", "NaN", "-1", "21474837"], ids=str)
def test_checkout_without_a_usable_total_is_invalid(price: str | None) -> None:
    with pytest.raises(BodyInvalid):
        plan(a_claimed("checkouts/create", {**CHECKOUT, "total_price": price}), ())


# -- app, shop, privacy ----------------------------------------------------------------------------------------------


def test_uninstallation_before_the_present_installation_is_ignored() -> None:
    webhook = a_claimed("app/uninstalled", {}, triggered_at=datetime(2026, 11, 1, 10, 0, tzinfo=UTC))

    made = plan(webhook, [{"installed_at": datetime(2026, 11, 2, 9, 0, tzinfo=UTC)}])

    assert (made.skip, made.sends, made.writes) == ("before_reinstall", (), ())


def test_uninstallation_disconnects_and_is_told() -> None:
    at = datetime(2026, 11, 3, 10, 0, tzinfo=UTC)

    made = plan(a_claimed("app/uninstalled", {}, triggered_at=at), [{"installed_at": at - timedelta(days=1)}])

    assert made.writes == (Disconnect(at),)
    name, alert = sent(made)[0]
    assert (name, alert["severity"], alert["source"]) == ("alert.systemError", "error", "shopify")
    assert alert["title"] == "Shopify app uninstalled"
    assert alert["dedupeKey"] == "app-uninstalled:acme.test:2026-11-03"


def test_lost_scope_is_told_and_an_older_list_changes_nothing() -> None:
    body = {"current": ["write_products", "read_orders"], "updated_at": "2026-11-20T10:00:00Z"}

    lost = plan(a_claimed("app/scopes_update", body), ())
    older = plan(
        a_claimed("app/scopes_update", body),
        [{"updated_at": "2026-11-20T10:00:01Z", "triggered_at": None, "received_at": NOON - timedelta(hours=9)}],
    )

    assert lost.writes == (StoreScopes(("write_products", "read_orders")),)
    assert sent(lost)[0][1]["context"]["missing"] == ["read_customers"]
    assert sent(lost)[0][1]["dedupeKey"] == "shopify-scopes:acme.test:2026-11-20"
    assert (older.skip, older.writes) == ("stale", ())


def test_data_request_has_thirty_days_and_no_personal_data_in_its_alert() -> None:
    body = {"customer": {"id": 77, "email": "Ann@Example.com"}, "orders_requested": [5001, 5002]}

    made = plan(a_claimed("customers/data_request", body), ())

    request: Any = made.writes[0]
    assert request.email == "ann@example.com"
    assert request.notes == "shopify orders: 5001, 5002"
    assert request.deadline_at == datetime(2026, 12, 20, 12, 0, tzinfo=UTC)
    name, alert = sent(made)[0]
    assert (name, alert["severity"], alert["dedupeKey"]) == (
        "alert.systemError",
        "info",
        f"privacy:{request.request_id}",
    )
    assert "example.com" not in str(alert).lower()


def test_redaction_names_customer_and_orders() -> None:
    body = {"customer": {"id": 77, "email": "A@b.c", "phone": "+1555"}, "orders_to_redact": [5001]}

    made = plan(a_claimed("customers/redact", body), ())

    assert made.writes == (RedactCustomer("77", "a@b.c", "+1555", ("5001",)),)
    assert made.sends == ()


def test_shop_redaction_is_for_a_person_of_the_platform() -> None:
    made = plan(a_claimed("shop/redact", {"shop_id": 1}), ())

    name, alert = sent(made)[0]
    assert (name, alert["severity"]) == ("alert.critical", "critical")
    assert alert["dedupeKey"] == "shop-redact:acme.test"
    assert alert["context"]["audience"] == "platform"
