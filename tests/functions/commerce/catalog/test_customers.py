"""One customer at a time."""

from __future__ import annotations

from typing import Any

import pytest

from shared.events.customers import CustomerSync
from shared.fakes.shopify import ShopifyFake
from shared.fakes.shopify.catalog import Catalog, address_node, customer_node
from shared.jobs.testing import Deliver, Delivered
from tests.conftest import Rows

LATER = "2026-11-20T11:00:00Z"
SUBSCRIBED_AT = "2026-11-01T09:00:00Z"


def sync(deliver: Deliver, id: int | str = 123, **fields: Any) -> Delivered:
    expect = fields.pop("expect", "succeeded")
    return deliver(CustomerSync(shopify_customer_id=str(id), **fields), expect=expect)


def ada(**fields: Any) -> dict[str, Any]:
    return customer_node(
        123,
        **{
            "email": " Ada@X.com ", "marketing": "SUBSCRIBED", "marketing_at": SUBSCRIBED_AT, "spent": "120.50",
            "currency": "EUR", "numberOfOrders": "3", **fields,
        },
    )  # fmt: skip


def names(delivered: Delivered) -> list[str]:
    return [name for name, _ in delivered.emitted]


def test_a_new_customer_is_stored_with_consent(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(ada())

    done = sync(deliver, source="webhook")

    assert done.result == {"outcome": "created", "consentChanged": True}
    (row,) = rows("SELECT * FROM customers")
    assert (row["id"], row["email"], row["accepts_marketing"], row["total_spent_cents"], row["currency"]) == (
        "123", "ada@x.com", True, 12050, "EUR",
    )  # fmt: skip
    assert row["orders_count"] == 3
    assert rows("SELECT customer_id, granted, source, created_at::text, revoked_at FROM consent_records") == [
        {"customer_id": "123", "granted": True, "source": "shopify", "created_at": "2026-11-01 09:00:00+00",
         "revoked_at": None}
    ]  # fmt: skip
    assert done.emitted == [
        ("customer.created", {"customerId": "123", "email": "ada@x.com", "shopifyCustomerId": "123"})
    ]


def test_withdrawn_consent_leaves_a_second_record_once(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(ada())
    sync(deliver)
    catalog.put(ada(marketing="UNSUBSCRIBED", marketing_at=LATER, updatedAt=LATER))

    done = sync(deliver, source="webhook")
    again = sync(deliver)

    assert done.result == {"outcome": "updated", "consentChanged": True}
    assert done.emitted == [
        ("customer.updated", {"customerId": "123", "changes": {"accepts_marketing": True}, "synced": True})
    ]
    assert again.result == {"outcome": "unchanged", "consentChanged": False}
    assert rows("SELECT accepts_marketing FROM customers") == [{"accepts_marketing": False}]
    assert rows("SELECT granted, revoked_at = created_at AS dated FROM consent_records ORDER BY created_at") == [
        {"granted": True, "dated": None},
        {"granted": False, "dated": True},
    ]


def test_a_newer_opt_in_of_ours_stays(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    rows.execute(
        "INSERT INTO sms_consent (phone, channel, action, source, opted_in, updated_at)"
        " VALUES ('+491701234567', 'sms', 'opt_in', 'web', true, '2026-11-20T08:00:00Z')"
    )
    catalog.put(ada(phone="+491701234567", sms="UNSUBSCRIBED", sms_at="2026-11-19T08:00:00Z"))

    sync(deliver)

    assert rows("SELECT action, opted_in, source FROM sms_consent") == [
        {"action": "opt_in", "opted_in": True, "source": "web"}
    ]


@pytest.mark.parametrize(
    ("sms", "expected"),
    [("UNSUBSCRIBED", ("opt_out", False)), ("REDACTED", ("opt_out", False)), ("SUBSCRIBED", ("opt_in", True)),
     ("PENDING", None), ("NOT_SUBSCRIBED", None)],
)  # fmt: skip
def test_shopifys_word_about_text_messages(
    deliver: Deliver, catalog: Catalog, rows: Rows, sms: str, expected: tuple[str, bool] | None
) -> None:
    catalog.put(ada(phone="+491701234567", sms=sms, sms_at=LATER))

    sync(deliver)

    found = [(row["action"], row["opted_in"]) for row in rows("SELECT action, opted_in FROM sms_consent")]
    assert found == ([expected] if expected else [])


def test_an_opt_out_that_was_stored_late_gives_way_to_shopifys_next_word(
    deliver: Deliver, catalog: Catalog, rows: Rows
) -> None:
    catalog.put(ada(phone="+491701234567", sms="SUBSCRIBED", sms_at="2026-11-19T08:00:00Z"))
    sync(deliver)
    rows.execute("UPDATE sms_consent SET email = NULL")  # the trigger stamps the row as of now
    catalog.put(ada(phone="+491701234567", sms="UNSUBSCRIBED", sms_at="2026-11-19T09:00:00Z", updatedAt=LATER))

    done = sync(deliver)

    assert done.result["consentChanged"] is True
    assert rows("SELECT opted_in FROM sms_consent") == [{"opted_in": False}]


def test_pending_is_no_consent(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(ada(marketing="PENDING"))

    done = sync(deliver)

    assert done.result == {"outcome": "created", "consentChanged": False}
    assert rows("SELECT accepts_marketing FROM customers") == [{"accepts_marketing": False}]
    assert rows("SELECT * FROM consent_records") == []


def test_addresses_are_replaced_as_a_set(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(ada(addresses=[address_node(1), address_node(2)]))
    sync(deliver)
    catalog.put(ada(addresses=[address_node(2)], updatedAt=LATER))

    sync(deliver)

    found = rows("SELECT customer_id, customer_shopify_id, address1, is_default, address_index FROM customer_addresses")
    assert found == [
        {"customer_id": "123", "customer_shopify_id": "123", "address1": "2 Main St", "is_default": True,
         "address_index": 0}
    ]  # fmt: skip
    assert rows("SELECT default_address ->> 'countryCode' AS country FROM customers") == [{"country": "DE"}]


def test_thirty_addresses_take_a_second_page(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(ada(addresses=[address_node(n) for n in range(1, 31)]))

    sync(deliver)

    assert rows("SELECT count(*) AS n FROM customer_addresses") == [{"n": 30}]


def test_delete_removes_the_person_and_keeps_the_orders(
    deliver: Deliver, catalog: Catalog, rows: Rows, shopify: ShopifyFake, caplog: pytest.LogCaptureFixture
) -> None:
    catalog.put(ada(addresses=[address_node(1)]))
    sync(deliver)
    rows.execute(
        "INSERT INTO orders (id, order_number, customer_id, customer_email) VALUES ('1', '#1', '123', 'ada@x.com')"
    )
    asked = len(shopify.requests_of())

    done = sync(deliver, action="delete")

    assert done.result == {"outcome": "deleted", "consentChanged": False}
    assert len(shopify.requests_of()) == asked
    (row,) = rows("SELECT email, first_name, last_name, phone, tags, notes, default_address, metadata FROM customers")
    assert (row["email"], row["first_name"], row["last_name"]) == ("deleted-123@deleted.invalid", "Deleted", "User")
    assert list(row["metadata"]["shopify"]) == ["deletedAt"]
    assert [row[name] for name in ("phone", "tags", "notes", "default_address")] == [None] * 4
    assert rows("SELECT * FROM customer_addresses") == []
    assert rows("SELECT customer_email FROM orders") == [{"customer_email": "ada@x.com"}]
    assert "ada@x.com" not in caplog.text.lower() + str(done.result)


def test_a_deleted_customer_who_exists_is_revived(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(ada())
    sync(deliver)
    sync(deliver, action="delete")

    done = sync(deliver)

    assert done.result["outcome"] == "updated"
    assert rows("SELECT email, metadata -> 'shopify' ? 'deletedAt' AS gone FROM customers") == [
        {"email": "ada@x.com", "gone": False}
    ]


def test_a_redacted_customer_is_never_filled_again(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(ada())
    rows.execute(
        "INSERT INTO customers (id, shopify_customer_id, email, metadata) VALUES ('123', '123', 'r@redacted.invalid',"
        """ '{"shopify": {"redactedAt": "2026-11-01T00:00:00Z"}}')"""
    )

    done = sync(deliver)

    assert done.result["outcome"] == "unchanged"
    assert rows("SELECT email FROM customers") == [{"email": "r@redacted.invalid"}]


def test_a_row_with_the_older_id_column_is_completed(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(ada())
    rows.execute("INSERT INTO customers (id, shopify_id) VALUES ('old-row', '123')")

    done = deliver(CustomerSync(customer_id="old-row", source="app"))

    assert done.result["outcome"] == "updated"
    assert rows("SELECT id, shopify_customer_id, email FROM customers") == [
        {"id": "old-row", "shopify_customer_id": "123", "email": "ada@x.com"}
    ]
    assert done.emitted[0][1]["customerId"] == "old-row"


def test_of_two_rows_the_one_with_shopifys_id_is_completed(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(ada())
    rows.execute("INSERT INTO customers (id, shopify_id) VALUES ('old-row', '123'), ('123', NULL)")

    sync(deliver)

    assert rows("SELECT id, shopify_customer_id FROM customers ORDER BY id") == [
        {"id": "123", "shopify_customer_id": None}, {"id": "old-row", "shopify_customer_id": "123"},
    ]  # fmt: skip


def test_no_tags_are_no_change_of_tags(deliver: Deliver, catalog: Catalog, rows: Rows) -> None:
    catalog.put(ada())
    rows.execute("INSERT INTO customers (id, shopify_id, email) VALUES ('old-row', '123', 'ada@x.com')")

    done = sync(deliver, source="app")

    ((name, payload),) = done.emitted
    assert name == "customer.updated"
    assert "tags" not in payload["changes"]


def test_a_stale_message_costs_no_call(deliver: Deliver, catalog: Catalog, shopify: ShopifyFake) -> None:
    catalog.put(ada(updatedAt=LATER))
    sync(deliver)
    asked = len(shopify.requests_of())

    done = deliver.job("commerce-customer-sync", {"shopifyCustomerId": 123, "updatedAt": LATER, "source": "webhook"})

    assert done.result == {"outcome": "skipped_stale", "consentChanged": False}
    assert len(shopify.requests_of()) == asked


def test_jobs_and_batches_announce_nothing(deliver: Deliver, catalog: Catalog) -> None:
    catalog.put(ada())

    assert sync(deliver, source="job").emitted == []


def test_unknown_everywhere_is_not_found(deliver: Deliver, catalog: Catalog) -> None:
    assert sync(deliver, 999).result["outcome"] == "not_found"


def test_an_id_that_is_no_shopify_id_is_unknown(deliver: Deliver, catalog: Catalog) -> None:
    done = deliver(CustomerSync(customer_id="abc"), expect="dead")

    assert done.code == "CUSTOMER_ID_UNKNOWN"


def test_a_refused_token_suspends_the_connection(
    deliver: Deliver, catalog: Catalog, shopify: ShopifyFake, rows: Rows
) -> None:
    shopify.fail(401)

    done = sync(deliver, expect="dead")
    later = sync(deliver, expect="dead")

    assert (done.code, later.code) == ("SHOPIFY_UNAUTHORIZED", "SHOPIFY_NOT_CONNECTED")
    assert names(done)[0] == "alert.apiFailure"
    assert done.emitted[0][1]["source"] == "catalog"
    assert rows("SELECT status FROM shopify_connections") == [{"status": "suspended"}]
