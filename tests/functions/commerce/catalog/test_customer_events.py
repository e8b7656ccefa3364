"""What follows when a customer is new, or has changed."""

from __future__ import annotations

from typing import Any

import pytest

from shared.events.customers import CustomerCreated, CustomerUpdated
from shared.jobs.testing import Deliver, Delivered
from tests.conftest import Rows

QUEUE = "catalog-sync"


@pytest.fixture
def ada(rows: Rows) -> None:
    """Customer c1, Shopify's 123, known here."""
    rows.execute(
        "INSERT INTO customers (id, shopify_customer_id, email, accepts_marketing, orders_count, default_address)"
        """ VALUES ('c1', '123', 'ada@x.com', true, 2, '{"countryCode": "DE"}')"""
    )


def created(deliver: Deliver, expect: str = "succeeded", **fields: Any) -> Delivered:
    values = {"customer_id": "c1", "email": "Ada@X.com", **fields}
    return deliver(CustomerCreated(**values), expect=expect)


def updated(deliver: Deliver, expect: str = "succeeded", **fields: Any) -> Delivered:
    values = {"customer_id": "c1", "changes": {}, **fields}
    return deliver(CustomerUpdated(**values), expect=expect)


@pytest.mark.usefixtures("ada")
def test_earlier_orders_are_linked_and_workflows_told(deliver: Deliver, rows: Rows) -> None:
    rows.execute(
        "INSERT INTO orders (id, order_number, customer_email)"
        " VALUES ('1', '#1', 'ADA@x.com'), ('2', '#2', 'ada@X.com')"
    )
    rows.execute(
        "INSERT INTO abandoned_checkouts (shopify_checkout_id, customer_email, cart_total_cents, abandoned_at)"
        " VALUES ('9', 'Ada@x.com', 100, now())"
    )

    done = created(deliver)
    again = deliver(CustomerCreated(customer_id="123", email="ada@x.com"))

    assert done.result == {"created": False, "ordersLinked": 2, "tagsAdded": 0, "announced": True}
    assert done.emitted == [
        ("workflow.triggered", {
            "trigger": "customer_created", "entityType": "customer", "entityId": "c1",
            "context": {"acceptsMarketing": True, "ordersCount": 2},
        })
    ]  # fmt: skip
    assert rows("SELECT DISTINCT customer_id FROM orders") == [{"customer_id": "123"}]
    assert rows("SELECT customer_id FROM abandoned_checkouts") == [{"customer_id": "123"}]
    assert (again.result["announced"], again.emitted) == (False, [])


def test_a_customer_whom_only_shopify_knows_is_asked_for(deliver: Deliver) -> None:
    done = created(deliver, shopify_customer_id="123")
    last = created(deliver, shopify_customer_id="123", attempt=3, expect="dead")

    assert done.emitted == [("customer.sync", {"shopifyCustomerId": "123", "action": "create", "source": "job"})]
    ((payload, delay),) = done.again
    assert (payload["attempt"], payload["customerId"], delay) == (1, "c1", 30)
    assert last.code == "CUSTOMER_NOT_FOUND"


def test_a_customer_of_an_app_gets_a_row(deliver: Deliver, rows: Rows) -> None:
    done = created(deliver)

    assert done.result["created"] is True
    assert rows("SELECT id, email, accepts_marketing, metadata ->> 'source' AS source FROM customers") == [
        {"id": "c1", "email": "ada@x.com", "accepts_marketing": False, "source": "app"}
    ]


def test_a_row_for_a_shopify_id_is_named_by_its_digits(deliver: Deliver, rows: Rows) -> None:
    created(deliver, customer_id="gid://shopify/Customer/123")

    assert rows("SELECT id FROM customers") == [{"id": "123"}]


def test_an_address_of_two_customers_names_nobody(deliver: Deliver, rows: Rows) -> None:
    rows.execute("INSERT INTO customers (id, email) VALUES ('a', 'ada@x.com'), ('b', 'ADA@x.com')")
    rows.execute("INSERT INTO orders (id, order_number, customer_email) VALUES ('1', '#1', 'ada@x.com')")

    assert created(deliver, expect="dead").code == "CUSTOMER_NOT_FOUND"
    assert rows("SELECT customer_id FROM orders") == [{"customer_id": None}]


@pytest.mark.usefixtures("ada")
def test_rules_tag_new_customers(deliver: Deliver, rows: Rows) -> None:
    rules = """{"customerAutoTags": [
        {"tag": "german", "when": {"country": "de"}}, {"tag": "loyal", "when": {"ordersCountMin": 3}},
        {"tag": "news", "when": {"acceptsMarketing": true, "ordersCountMin": 1}}, {"tag": "german"}]}"""
    rows.execute("INSERT INTO tenant_config (key, value) VALUES ('catalog.sync', %s)", (rules,))
    rows.execute("UPDATE customers SET tags = '{vip,news}'")

    done = created(deliver)

    assert done.result["tagsAdded"] == 1
    assert rows("SELECT tags FROM customers") == [{"tags": ["vip", "news", "german"]}]


@pytest.mark.usefixtures("ada")
def test_klaviyo_is_told_of_new_customers(deliver: Deliver, rows: Rows) -> None:
    rows.execute("INSERT INTO klaviyo_connections (tenant_id, private_api_key_encrypted) VALUES ('acme', 'x')")

    assert created(deliver).emitted[1][1]["customerIds"] == ["c1"]


# -- updated -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("ada")
def test_a_change_of_an_app_is_fetched_first(deliver: Deliver) -> None:
    done = updated(deliver, changes={"tags": ["vip"]})

    assert done.result == {"outcome": "fetch_requested", "fields": 1, "recoveryMailsCancelled": 0}
    assert done.emitted == [("customer.sync", {"customerId": "c1", "action": "update", "source": "app"})]


@pytest.mark.usefixtures("ada")
def test_a_synced_change_is_told_by_the_names_of_its_fields(deliver: Deliver, caplog: pytest.LogCaptureFixture) -> None:
    done = updated(deliver, changes={"tags": "secret-value"}, synced=True)

    ((name, payload),) = done.emitted
    assert (name, payload["context"]) == ("workflow.triggered", {"fields": ["tags"]})
    assert "secret-value" not in caplog.text + str(done.result) + str(payload)


@pytest.mark.usefixtures("ada")
def test_withdrawn_consent_cancels_recovery_mails(deliver: Deliver, rows: Rows) -> None:
    rows.execute("UPDATE customers SET accepts_marketing = false")
    rows.execute(
        "WITH a AS (INSERT INTO abandoned_checkouts"
        " (shopify_checkout_id, customer_email, customer_id, cart_total_cents, abandoned_at)"
        " VALUES ('8', 'ADA@x.com', NULL, 1, now()), ('9', NULL, '123', 1, now()) RETURNING id)"
        " INSERT INTO recovery_email_queue (abandoned_checkout_id, scheduled_at) SELECT id, now() FROM a"
    )

    done = updated(deliver, changes={"accepts_marketing": True}, synced=True)

    assert done.result["recoveryMailsCancelled"] == 2
    assert rows("SELECT DISTINCT status FROM abandoned_checkouts") == [{"status": "abandoned"}]


@pytest.mark.usefixtures("ada")
def test_a_new_address_reaches_its_copies_and_segments_are_left(deliver: Deliver, rows: Rows) -> None:
    rows.execute(
        "INSERT INTO customer_rfm_segments (customer_id, customer_email, r_score, f_score, m_score)"
        " VALUES ('c1', 'old@x.com', 1, 1, 1)"
    )
    rows.execute(
        "WITH s AS (INSERT INTO cached_segments (shopify_segment_id, name, synced_at)"
        " VALUES ('1', 'old', '2026-11-01'), ('2', 'new', '2026-12-31'), ('3', 'never', NULL) RETURNING id)"
        " INSERT INTO segment_membership_cache (segment_id, customer_id, customer_email) SELECT id, '123', 'old@x.com'"
        " FROM s"
    )

    updated(deliver, changes={"email": True, "tags": True}, synced=True)

    assert rows("SELECT customer_email FROM customer_rfm_segments") == [{"customer_email": "ada@x.com"}]
    assert rows("SELECT m.customer_email, s.name FROM segment_membership_cache m JOIN cached_segments s"
                " ON s.id = m.segment_id") == [{"customer_email": "ada@x.com", "name": "new"}]  # fmt: skip
    assert rows("SELECT metadata -> 'shopify' ? 'emailChangedAt' AS noted FROM customers") == [{"noted": True}]


@pytest.mark.usefixtures("ada")
@pytest.mark.parametrize(("field", "told"), [("email", True), ("total_spent", True), ("orders_count", False)])
def test_klaviyo_is_told_what_concerns_it(deliver: Deliver, rows: Rows, field: str, told: bool) -> None:
    rows.execute("INSERT INTO klaviyo_connections (tenant_id, private_api_key_encrypted) VALUES ('acme', 'x')")

    done = updated(deliver, changes={field: True}, synced=True)

    assert ("klaviyo.sync" in [name for name, _ in done.emitted]) is told


@pytest.mark.usefixtures("ada")
def test_no_change_is_no_news(deliver: Deliver) -> None:
    done = updated(deliver)

    assert (done.result["outcome"], done.emitted) == ("applied", [])


def test_an_unknown_customer(deliver: Deliver) -> None:
    asked = updated(deliver, customer_id="999", changes={"tags": True})
    dead = updated(deliver, customer_id="x", changes={"tags": True}, expect="dead")

    assert asked.result["outcome"] == "fetch_requested"
    assert dead.code == "CUSTOMER_NOT_FOUND"
