"""One order at a time: synced, followed up when new, and when shipped."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.events.orders import OrderCreated, OrderFulfilled, OrderSync
from shared.fakes.shopify import Shop, ShopifyFake
from shared.jobs.context import Tenant
from shared.jobs.testing import Deliver, Delivered, ManualClock
from tests.builders.orders import Node, a_fulfillment, a_line, a_refund, a_refund_line, money, order_e1
from tests.conftest import SHOP, Rows

QUEUE = "order-processing"
LATER = "2026-11-20T10:05:00Z"
ORDER_TABLES = ("orders", "order_line_items", "fulfillments", "refunds", "order_sync_marks")


@pytest.fixture
def shop(shopify: ShopifyFake) -> Shop:
    return shopify.shops[SHOP]


@pytest.fixture
def jane(rows: Rows) -> None:
    """Creator c1 with the promo code JANE15."""
    rows.execute(
        "INSERT INTO creators (id, email, first_name, last_name, status)"
        " VALUES ('c1', 'jane@x.com', 'Jane', 'Doe', 'approved')"
    )
    rows.execute("INSERT INTO promo_code_metadata (id, code, creator_id) VALUES ('p1', 'JANE15', 'c1')")


def names(delivered: Delivered) -> list[str]:
    return [name for name, _ in delivered.emitted]


def payload_of(delivered: Delivered, name: str) -> dict[str, Any]:
    (found,) = [payload for emitted, payload in delivered.emitted if emitted == name]
    return found


def sync(deliver: Deliver, clock: ManualClock, **more: Any) -> Delivered:
    """Sync order 1001 outside the burst window of an earlier message."""
    clock.advance(s=61)
    return deliver(OrderSync(shopify_order_id="1001"), **more)


def refunded_e1(**fields: Any) -> Node:
    line = a_refund_line(10011, subtotal="45.00", tax="3.60")
    refunds = [a_refund(9001, amount="48.60", lines=[line])]
    return order_e1(**{"updatedAt": LATER, "refunds": refunds, "refunded": "48.60", **fields})


# -- commerce-sync-order -----------------------------------------------------------------------------------------------


def test_order_is_stored_to_the_cent_and_announced(deliver: Deliver, shop: Shop, rows: Rows) -> None:
    shop.put_order(order_e1())

    done = deliver(OrderSync(shopify_order_id="gid://shopify/Order/1001"))

    assert done.result == {"orderId": "1001", "synced": True, "outcome": "created", "announced": 1}
    (order,) = rows(
        "SELECT subtotal_cents, discount_cents, net_sales_cents, tax_cents, shipping_cents, total_cents FROM orders"
    )
    assert list(order.values()) == [13000, 1300, 11700, 936, 595, 13231]
    assert names(done) == ["order.created", "customer.sync"]
    assert payload_of(done, "order.created") == {
        "orderId": "1001",
        "shopifyOrderId": "1001",
        "customerId": "501",
        "totalAmount": 132.31,
        "currency": "USD",
    }
    assert payload_of(done, "customer.sync") == {"shopifyCustomerId": "501", "action": "update", "source": "job"}


def test_prices_with_tax_are_split(deliver: Deliver, shop: Shop, rows: Rows) -> None:
    line = a_line(1, price="120.00", discount="12.00", tax="18.00")
    shop.put_order(order_e1(lines=[line], taxesIncluded=True, tax="18.00", subtotal="108.00", total="108.00"))

    deliver(OrderSync(shopify_order_id="1001"))

    assert rows("SELECT subtotal_cents, discount_cents, net_sales_cents FROM orders") == [
        {"subtotal_cents": 10200, "discount_cents": 1200, "net_sales_cents": 9000}
    ]


def test_same_answer_twice_is_unchanged(deliver: Deliver, shop: Shop, rows: Rows, clock: ManualClock) -> None:
    shop.put_order(order_e1())
    deliver(OrderSync(shopify_order_id="1001"))
    before = rows("SELECT synced_at, updated_at FROM orders")

    done = sync(deliver, clock)

    assert done.result == {"orderId": "1001", "synced": True, "outcome": "unchanged", "announced": 0}
    assert done.emitted == []
    assert rows("SELECT synced_at, updated_at FROM orders") == before


def test_older_answer_leaves_the_newer_values(deliver: Deliver, shop: Shop, rows: Rows, clock: ManualClock) -> None:
    shop.put_order(order_e1(updatedAt=LATER, note="of 10:05"))
    deliver(OrderSync(shopify_order_id="1001"))
    shop.put_order(order_e1(note="of 10:00"))

    done = sync(deliver, clock)

    assert (done.result["outcome"], done.result["synced"]) == ("stale", False)
    assert rows("SELECT notes FROM orders") == [{"notes": "of 10:05"}]


def test_stale_webhook_costs_no_vendor_call(deliver: Deliver, shop: Shop, shopify: ShopifyFake) -> None:
    shop.put_order(order_e1(updatedAt=LATER))
    deliver(OrderSync(shopify_order_id="1001"))
    asked = len(shopify.requests_of())

    done = deliver.job("commerce-sync-order", {"shopifyOrderId": 1001, "updatedAt": LATER})

    assert done.result == {"orderId": "1001", "synced": False, "outcome": "stale", "announced": 0}
    assert len(shopify.requests_of()) == asked


@pytest.mark.usefixtures("jane")
def test_refund_of_one_piece_is_told_once(deliver: Deliver, shop: Shop, rows: Rows, clock: ManualClock) -> None:
    shop.put_order(order_e1(discountCodes=["JANE15"]))
    deliver(OrderSync(shopify_order_id="1001"))
    rows.execute("INSERT INTO customers (id) VALUES ('501')")
    shop.put_order(refunded_e1(discountCodes=["JANE15"]))

    done = sync(deliver, clock)
    again = sync(deliver, clock)

    assert names(done) == ["order.refunded", "order.commission"]
    assert payload_of(done, "order.refunded")["refundAmountCents"] == 4860
    assert rows("SELECT o.refunded_cents, r.goods_cents FROM orders o, refunds r") == [
        {"refunded_cents": 4860, "goods_cents": 4500}
    ]
    assert again.emitted == []


def test_130_lines_take_two_calls_and_stay_130(
    deliver: Deliver, shop: Shop, shopify: ShopifyFake, rows: Rows, clock: ManualClock
) -> None:
    lines = [a_line(n) for n in range(1, 131)]
    shop.put_order(order_e1(lines=lines, subtotal="1300.00", total="1300.00"))

    deliver(OrderSync(shopify_order_id="1001"))
    calls = [request.variables for request in shopify.requests_of(SHOP)]
    first = rows("SELECT count(*) AS n FROM order_line_items")
    shop.put_order(order_e1(lines=lines, subtotal="1300.00", total="1300.00", updatedAt=LATER, tags=["x"]))
    done = sync(deliver, clock)

    assert len(calls) == 2
    assert (calls[0]["lines"], calls[1]["first"]) == (50, 250)
    assert done.result["outcome"] == "updated"
    assert first == rows("SELECT count(*) AS n FROM order_line_items") == [{"n": 130}]


def test_order_first_seen_late_is_history_but_its_cancellation_is_news(
    deliver: Deliver, shop: Shop, clock: ManualClock
) -> None:
    late: dict[str, Any] = {"processedAt": "2026-11-10T10:00:00Z"}
    shop.put_order(order_e1(**late))

    first = deliver(OrderSync(shopify_order_id="1001"))
    shop.put_order(order_e1(**late, updatedAt=LATER, cancelledAt=LATER, cancelReason="FRAUD"))
    second = sync(deliver, clock)
    shop.put_order(order_e1(**late, updatedAt=LATER, cancelledAt=LATER, cancelReason="FRAUD", tags=["x"]))
    third = sync(deliver, clock)

    assert (first.result["outcome"], "order.created" in names(first)) == ("created", False)
    assert payload_of(second, "order.cancelled") == {"orderId": "1001", "reason": "fraud"}
    assert "order.cancelled" not in names(third)


def test_short_throttle_is_waited_out_inside_the_run(
    deliver: Deliver, shop: Shop, shopify: ShopifyFake, clock: ManualClock
) -> None:
    shop.put_order(order_e1())
    shopify.fail("throttled", requested=500, available=100)

    done = deliver(OrderSync(shopify_order_id="1001"))

    assert clock.slept_s == pytest.approx(4)  # (500 - 100) / 100 points a second
    assert (done.result["outcome"], done.attempt) == ("created", 1)


def test_order_that_shopify_forgot_is_gone_and_its_row_stays(
    deliver: Deliver, shop: Shop, rows: Rows, clock: ManualClock
) -> None:
    shop.put_order(order_e1())
    deliver(OrderSync(shopify_order_id="1001"))
    shop.remove_order(1001)

    done = sync(deliver, clock)

    assert done.result == {"orderId": "1001", "synced": False, "outcome": "gone", "announced": 0}
    assert rows("SELECT o.id, m.deleted_at IS NOT NULL AS gone FROM orders o JOIN order_sync_marks m ON true") == [
        {"id": "1001", "gone": True}
    ]


def test_app_s_id_is_resolved_to_shopify_s(deliver: Deliver, shop: Shop, rows: Rows) -> None:
    rows.execute("INSERT INTO orders (id, order_number, shopify_order_id) VALUES ('app-7', '#7', '1001')")
    shop.put_order(order_e1())

    done = deliver(OrderSync(order_id="app-7", source="app"))

    assert (done.result["orderId"], done.result["outcome"]) == ("app-7", "updated")


def test_order_that_has_shopify_s_id_as_its_own_only_is_fetched(deliver: Deliver, shop: Shop, rows: Rows) -> None:
    rows.execute("INSERT INTO orders (id, order_number) VALUES ('1001', '#1')")
    shop.put_order(order_e1())

    done = deliver(OrderSync(order_id="1001", source="job"))

    assert (done.result["orderId"], done.result["outcome"]) == ("1001", "updated")
    assert rows("SELECT shopify_id, shopify_order_id FROM orders") == [
        {"shopify_id": "1001", "shopify_order_id": "1001"}
    ]


def test_test_order_is_stored_only_where_the_tenant_wants_it(
    deliver: Deliver, shop: Shop, rows: Rows, clock: ManualClock
) -> None:
    shop.put_order(order_e1(test=True))

    done = deliver(OrderSync(shopify_order_id="1001"))
    rows.execute("""INSERT INTO tenant_config (key, value) VALUES ('orders.sync', '{"includeTest": true}')""")
    wanted = sync(deliver, clock)

    assert (done.result["outcome"], done.emitted) == ("test_order", [])
    assert wanted.result["outcome"] == "created"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({}, "INVALID_PAYLOAD"),
        ({"orderId": None}, "INVALID_PAYLOAD"),
        ({"shopifyOrderId": "1001", "updatedAt": "2026-11-20"}, "INVALID_PAYLOAD"),
        ({"shopifyOrderId": "1001", "source": "elsewhere"}, "INVALID_PAYLOAD"),
        ({"orderId": "abc"}, "ORDER_ID_UNKNOWN"),
        ({"shopifyOrderId": "abc"}, "ORDER_ID_UNKNOWN"),
        ({"shopifyOrderId": "1001", "source": "manual"}, "ORDER_NOT_FOUND"),
        ({"orderId": "app-only"}, "ORDER_NOT_FOUND"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_message_that_can_never_succeed_is_dead(
    deliver: Deliver, rows: Rows, payload: dict[str, Any], code: str
) -> None:
    rows.execute("INSERT INTO orders (id, order_number) VALUES ('app-only', '#1')")

    assert deliver.job("commerce-sync-order", payload, expect="dead").code == code


def test_webhook_s_order_may_show_late(deliver: Deliver, shop: Shop) -> None:
    done = deliver(OrderSync(shopify_order_id="1001"), expect="retrying")
    for _ in range(2):
        assert done.code == "ORDER_NOT_VISIBLE_YET"
        done = deliver.again(QUEUE, expect="retrying")
    last = deliver.again(QUEUE, expect="dead")

    assert (last.code, last.attempt) == ("ORDER_NOT_FOUND", 4)


def test_amount_that_does_not_fit_is_dead_and_nothing_is_written(deliver: Deliver, shop: Shop, rows: Rows) -> None:
    shop.put_order(order_e1(totalPriceSet=money("99999999.99")))

    assert deliver(OrderSync(shopify_order_id="1001"), expect="dead").code == "AMOUNT_OUT_OF_RANGE"
    assert rows("SELECT count(*) AS n FROM orders") == [{"n": 0}]


def test_tenant_without_a_shop_is_dead(deliver: Deliver) -> None:
    done = deliver(OrderSync(shopify_order_id="1001"), expect="dead")

    assert done.code == "SHOPIFY_NOT_CONNECTED"


def test_refused_token_is_dead_and_alarms(deliver: Deliver, shop: Shop, shopify: ShopifyFake, rows: Rows) -> None:
    shopify.fail("unauthorized")

    done = deliver(OrderSync(shopify_order_id="1001"), expect="dead")

    assert (done.code, "alert.apiFailure" in names(done)) == ("SHOPIFY_UNAUTHORIZED", True)
    assert rows("SELECT status FROM shopify_connections") == [{"status": "suspended"}]


def test_order_of_another_tenant_s_shop_is_not_readable(
    deliver: Deliver, shop: Shop, rows: Rows, other_tenant: Tenant
) -> None:
    rows.execute(
        "INSERT INTO orders (id, order_number, shopify_id, shopify_order_id) VALUES ('1001', '#1', '1001', '1001')",
        tenant=other_tenant,
    )
    before = {t: rows(f"SELECT * FROM {t}", tenant=other_tenant) for t in ORDER_TABLES}  # noqa: S608

    done = deliver(OrderSync(shopify_order_id="1001", source="manual"), expect="dead")

    assert done.code == "ORDER_NOT_FOUND"
    assert {t: rows(f"SELECT * FROM {t}", tenant=other_tenant) for t in ORDER_TABLES} == before  # noqa: S608


# -- commerce-handle-order-created -------------------------------------------------------------------------------------


def created(**more: Any) -> OrderCreated:
    return OrderCreated(order_id="1001", **{"total_amount": 132.31, **more})


def test_app_s_event_before_any_sync_fetches_the_order_and_is_its_announcement(
    deliver: Deliver, shop: Shop, rows: Rows, clock: ManualClock
) -> None:
    attributes = {"_session_id": "s1", "_visitor_id": "v1"}
    shop.put_order(order_e1(discountCodes=["JANE15"], attributes=attributes))

    done = deliver(created())

    assert done.result == {"orderId": "1001", "outcome": "handled", "emitted": 5, "recoveredCheckout": False}
    assert names(done) == [
        "order.attribution",
        "order.commission",
        "ab.orderReconcile",
        "customer.sync",
        "workflow.triggered",
    ]
    assert payload_of(done, "order.attribution") == {"orderId": "1001", "customerId": "501", "sessionId": "s1"}
    assert payload_of(done, "workflow.triggered") == {
        "trigger": "order_created",
        "entityType": "order",
        "entityId": "1001",
        "context": {
            "totalCents": 13231,
            "currency": "USD",
            "itemCount": 3,
            "discountCodes": ["JANE15"],
            "firstOrder": True,
        },
    }
    assert rows("SELECT net_sales_cents FROM orders") == [{"net_sales_cents": 11700}]
    shop.put_order(order_e1(discountCodes=["JANE15"], attributes=attributes, tags=["x"], updatedAt=LATER))
    assert "order.created" not in names(sync(deliver, clock))


def test_shipment_of_an_order_that_its_announcement_fetched_is_told_by_the_sync(
    deliver: Deliver, shop: Shop, clock: ManualClock
) -> None:
    shop.put_order(order_e1(fulfillments=[a_fulfillment(7)], displayFulfillmentStatus="FULFILLED", updatedAt=LATER))
    deliver(created())

    webhook = {"shopifyOrderId": "1001", "updatedAt": LATER}
    done = deliver.job("commerce-sync-order", webhook)
    clock.advance(s=61)
    again = deliver.job("commerce-sync-order", webhook)

    assert names(done) == ["order.fulfilled", "customer.sync"]
    assert (again.result["outcome"], again.emitted) == ("stale", [])


@pytest.mark.parametrize("written", ["null", "[]"])
def test_new_order_with_marketing_data_that_is_no_object_is_followed_up(
    deliver: Deliver, shop: Shop, rows: Rows, written: str
) -> None:
    rows.execute("INSERT INTO orders (id, order_number, attribution_data) VALUES ('1001', '#1', %s)", (written,))

    assert deliver(created()).result["outcome"] == "handled"


def test_codes_of_a_new_order_are_read_as_an_app_has_written_them(deliver: Deliver, shop: Shop, rows: Rows) -> None:
    codes = '[{"code": "JANE15", "amount": "5.00"}, {}, "EXTRA"]'
    rows.execute("INSERT INTO orders (id, order_number, discount_codes) VALUES ('1001', '#1', %s)", (codes,))

    done = deliver(created())

    assert payload_of(done, "order.commission") == {"orderId": "1001"}
    assert payload_of(done, "workflow.triggered")["context"]["discountCodes"] == ["JANE15", "EXTRA"]


def test_two_publishers_announce_one_order_and_it_is_handled_once(deliver: Deliver, shop: Shop) -> None:
    shop.put_order(order_e1())

    first = deliver(created())
    second = deliver(created(total_amount=132.0, currency="USD"))

    assert first.result["outcome"] == "handled"
    assert second.result == {"orderId": "1001", "outcome": "duplicate", "emitted": 0, "recoveredCheckout": False}
    assert second.emitted == []


def test_negative_total_is_ignored(deliver: Deliver, shopify: ShopifyFake) -> None:
    done = deliver(created(total_amount=-48.60))

    assert done.result == {"orderId": "1001", "outcome": "ignored", "emitted": 0, "recoveredCheckout": False}
    assert done.emitted == []
    assert shopify.requests_of() == []


@pytest.mark.parametrize("before", ["abandoned", "processing", "expired"])
def test_cart_that_became_the_order_is_recovered(deliver: Deliver, shop: Shop, rows: Rows, before: str) -> None:
    for token, status in (("token-1001", before), ("other", "abandoned")):
        rows.execute(
            "INSERT INTO abandoned_checkouts"
            " (shopify_checkout_id, shopify_checkout_token, cart_total_cents, status, abandoned_at)"
            " VALUES (%s, %s, 13231, %s, '2026-11-20T09:00Z')",
            (token, token, status),
        )
    shop.put_order(order_e1())

    done = deliver(created())

    assert done.result["recoveredCheckout"] is True
    carts = rows(
        "SELECT status, recovered_order_id, recovered_at FROM abandoned_checkouts ORDER BY shopify_checkout_token"
    )
    placed_at = datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert [tuple(cart.values()) for cart in carts] == [("abandoned", None, None), ("recovered", "1001", placed_at)]


def test_review_code_is_redeemed_once(deliver: Deliver, shop: Shop, rows: Rows) -> None:
    rows.execute(
        "INSERT INTO review_incentive_codes (code, discount_type, discount_value)"
        " VALUES ('REVIEWX1', 'percentage', 10), ('REVIEWX2', 'percentage', 10)"
    )
    shop.put_order(order_e1(discountCodes=["reviewx1"]))

    deliver(created())

    codes = rows("SELECT status, redeemed_order_id, redeemed_at FROM review_incentive_codes ORDER BY code")
    placed_at = datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert [tuple(code.values()) for code in codes] == [("redeemed", "1001", placed_at), ("active", None, None)]


def test_order_without_codes_asks_for_no_commission(deliver: Deliver, shop: Shop) -> None:
    shop.put_order(order_e1())

    assert names(deliver(created())) == ["order.attribution", "customer.sync", "workflow.triggered"]


@pytest.mark.parametrize(
    "dead",
    [{"cancelledAt": LATER, "updatedAt": LATER}, {"displayFinancialStatus": "VOIDED", "updatedAt": LATER}],
    ids=["cancelled", "voided"],
)
def test_order_that_is_dead_already_is_only_attributed(deliver: Deliver, shop: Shop, dead: dict[str, Any]) -> None:
    shop.put_order(order_e1(discountCodes=["JANE15"], **dead))

    done = deliver(created())

    assert (done.result["outcome"], done.result["emitted"]) == ("cancelled", 2)
    assert names(done) == ["order.attribution", "order.commission"]


def test_order_may_show_late_at_shopify(deliver: Deliver, shop: Shop) -> None:
    done = deliver(created(), expect="retrying")
    assert done.code == "ORDER_NOT_VISIBLE_YET"
    deliver.again(QUEUE, expect="retrying")
    shop.put_order(order_e1())

    third = deliver.again(QUEUE)

    assert (third.attempt, third.result["outcome"]) == (3, "handled")


def test_order_that_only_an_app_knows_is_followed_up(deliver: Deliver, shop: Shop, rows: Rows) -> None:
    rows.execute(
        "INSERT INTO orders (id, order_number, customer_id, total_cents, line_items)"
        " VALUES ('1001', '#1', '501', 500, '[{}, {}]'), ('0999', '#0', '501', 500, '[]')"
    )
    rows.execute("UPDATE orders SET created_at = '2026-11-01Z' WHERE id = '0999'")

    done = deliver(created(total_amount=5.0))

    context = payload_of(done, "workflow.triggered")["context"]
    assert (context["itemCount"], context["firstOrder"]) == (2, False)
    assert rows("SELECT shopify_order_id FROM order_sync_marks") == [{"shopify_order_id": "local:1001"}]


def test_order_that_reaches_shopify_after_its_follow_up_is_not_announced_again(
    deliver: Deliver, shop: Shop, rows: Rows, clock: ManualClock
) -> None:
    rows.execute("INSERT INTO orders (id, order_number) VALUES ('app-1', '#1')")
    deliver(OrderCreated(order_id="app-1", total_amount=5.0))
    rows.execute("UPDATE orders SET shopify_order_id = '1001'")
    shop.put_order(order_e1())

    done = sync(deliver, clock)

    assert "order.created" not in names(done)
    (mark,) = rows("SELECT * FROM order_sync_marks")
    assert (mark["shopify_order_id"], mark["order_id"]) == ("1001", "app-1")
    assert mark["created_handled_at"] is not None


@pytest.mark.parametrize(
    ("active", "setting", "told"),
    [
        (True, '{"nativeShopify": false}', True),
        (True, '{"nativeShopify": true}', False),
        (True, "{}", False),
        (False, '{"nativeShopify": false}', False),
    ],
)
def test_klaviyo_is_told_where_it_does_not_read_shopify_itself(
    deliver: Deliver, shop: Shop, rows: Rows, active: bool, setting: str, told: bool
) -> None:
    rows.execute(
        "INSERT INTO klaviyo_connections (tenant_id, private_api_key_encrypted, is_active) VALUES ('acme', 'x', %s)",
        (active,),
    )
    rows.execute("INSERT INTO tenant_config (key, value) VALUES ('klaviyo.sync', %s)", (setting,))
    shop.put_order(order_e1())

    assert ("klaviyo.sync" in names(deliver(created()))) is told


@pytest.mark.parametrize(
    ("payload", "code"),
    [({"orderId": "abc", "totalAmount": 1}, "ORDER_ID_UNKNOWN"), ({"orderId": "1001"}, "INVALID_PAYLOAD")],
)
@pytest.mark.usefixtures("shop")
def test_new_order_that_no_one_can_find_is_dead(deliver: Deliver, payload: dict[str, Any], code: str) -> None:
    assert deliver.job("commerce-handle-order-created", payload, expect="dead").code == code


# -- commerce-handle-order-fulfilled -----------------------------------------------------------------------------------


@pytest.fixture
def shipped(deliver: Deliver, shop: Shop, rows: Rows) -> None:
    """Order 1001 with fulfilment 7 (row f7) and 8 (row f8), as apps wrote them: nothing announced yet."""
    rows.execute(
        "INSERT INTO orders (id, shopify_id, shopify_order_id, order_number, customer_id, fulfillment_status, status)"
        " VALUES ('1001', '1001', '1001', '#1', '501', 'partial', 'processing')"
    )
    rows.execute(
        "INSERT INTO fulfillments (id, shopify_fulfillment_id, order_shopify_id, status, created_at) VALUES"
        " ('f7', '7', '1001', 'success', '2026-05-01Z'), ('f8', '8', '1001', 'success', '2026-05-02Z')"
    )


def fulfilled(**more: Any) -> OrderFulfilled:
    return OrderFulfilled(order_id="1001", **{"fulfillment_id": "7", "carrier": "UPS", **more})


@pytest.mark.usefixtures("shipped")
def test_first_event_of_a_shipment_starts_review_request_and_workflow(deliver: Deliver, rows: Rows) -> None:
    done = deliver(fulfilled(tracking_number="1Z"))
    again = deliver(fulfilled(tracking_number="1Z", carrier="Other"))

    assert done.result == {"orderId": "1001", "fulfillmentId": "7", "reviewEmailRequested": True, "delivered": False}
    assert payload_of(done, "order.reviewEmail") == {
        "orderId": "1001",
        "customerId": "501",
        "fulfillmentId": "7",
        "fulfilledAt": "2026-05-01T00:00:00Z",
    }
    assert payload_of(done, "workflow.triggered") == {
        "trigger": "order_fulfilled",
        "entityType": "order",
        "entityId": "1001",
        "context": {"fulfillmentId": "7", "carrier": "UPS"},
    }
    assert names(again) == ["order.reviewEmail"]
    assert rows("SELECT tracking_number, tracking_company FROM fulfillments WHERE id = 'f7'") == [
        {"tracking_number": "1Z", "tracking_company": "UPS"}
    ]


@pytest.mark.usefixtures("shipped")
def test_delivery_is_recorded_and_told_once(deliver: Deliver, rows: Rows) -> None:
    deliver(fulfilled())

    done = deliver.job(
        "commerce-handle-order-fulfilled",
        {"orderId": "1001", "fulfillmentId": "f7", "deliveredAt": "2026-11-20T11:00:00Z"},
    )
    again = deliver.job(
        "commerce-handle-order-fulfilled",
        {"orderId": "1001", "fulfillmentId": 7, "deliveredAt": "2026-11-20T11:30:00Z"},
    )

    assert done.result["delivered"] is True
    assert payload_of(done, "workflow.triggered")["trigger"] == "order_delivered"
    assert payload_of(done, "order.reviewEmail")["deliveredAt"] == "2026-11-20T11:00:00Z"
    assert names(again) == ["order.reviewEmail"]
    (shipment,) = rows("SELECT * FROM fulfillments WHERE id = 'f7'")
    assert (shipment["shipment_status"], shipment["delivered_at"].isoformat()) == (
        "delivered",
        "2026-11-20T11:00:00+00:00",
    )


@pytest.mark.usefixtures("shipped")
def test_part_shipment_never_makes_an_order_fulfilled(deliver: Deliver, rows: Rows) -> None:
    deliver(fulfilled())

    assert rows("SELECT fulfillment_status::text AS f, status::text AS s, fulfilled_at FROM orders") == [
        {"f": "partial", "s": "processing", "fulfilled_at": None}
    ]


@pytest.mark.usefixtures("shipped")
def test_last_delivery_of_a_fulfilled_order_makes_it_delivered(deliver: Deliver, rows: Rows) -> None:
    rows.execute("UPDATE orders SET fulfillment_status = 'fulfilled', status = 'shipped'")
    at = "2026-11-20T11:00:00Z"

    statuses = []
    for id in ("7", "8"):
        deliver.job("commerce-handle-order-fulfilled", {"orderId": "1001", "fulfillmentId": id, "deliveredAt": at})
        statuses += [row["s"] for row in rows("SELECT status::text AS s FROM orders")]

    assert statuses == ["shipped", "delivered"]


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize(
    ("country", "estimate"), [("CA", "2026-05-11"), ("US", "2026-05-06"), ("us", "2026-05-06"), (None, "2026-05-11")]
)
def test_delivery_is_estimated_by_country(deliver: Deliver, rows: Rows, country: str | None, estimate: str) -> None:
    rows.execute("UPDATE orders SET shipping_address = jsonb_build_object('countryCode', %s::text)", (country,))

    deliver(fulfilled())

    (shipment,) = rows("SELECT estimated_delivery_at AS at FROM fulfillments WHERE id = 'f7'")
    assert shipment["at"].date().isoformat() == estimate


@pytest.mark.usefixtures("shipped")
def test_delivery_to_an_unknown_country_is_estimated_as_foreign(deliver: Deliver, rows: Rows) -> None:
    rows.execute("UPDATE shopify_connections SET default_country = NULL")

    deliver(fulfilled())

    (shipment,) = rows("SELECT estimated_delivery_at AS at FROM fulfillments WHERE id = 'f7'")
    assert shipment["at"].date().isoformat() == "2026-05-11"


@pytest.mark.usefixtures("shipped")
def test_cancelled_order_asks_for_no_review(deliver: Deliver, rows: Rows) -> None:
    rows.execute("UPDATE orders SET status = 'cancelled', cancelled_at = now()")

    done = deliver(fulfilled())

    assert done.result["reviewEmailRequested"] is False
    assert "order.reviewEmail" not in names(done)


@pytest.mark.usefixtures("shipped")
def test_fulfilment_that_we_do_not_hold_is_made_and_asked_for(deliver: Deliver, rows: Rows) -> None:
    done = deliver(fulfilled(fulfillment_id="gid://shopify/Fulfillment/9", tracking_number="9Z"))

    assert payload_of(done, "order.sync") == {"orderId": "1001", "source": "job"}
    assert rows("SELECT status, tracking_number FROM fulfillments WHERE shopify_fulfillment_id = '9'") == [
        {"status": "success", "tracking_number": "9Z"}
    ]


@pytest.mark.usefixtures("shop")
def test_shipment_of_an_order_that_we_do_not_hold_waits_for_it(deliver: Deliver) -> None:
    done = deliver(fulfilled(), expect="retrying")

    assert done.code == "ORDER_NOT_READY"
    assert payload_of(done, "order.sync") == {"orderId": "1001", "source": "job"}


@pytest.mark.usefixtures("shipped")
@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"orderId": "1001"}, "INVALID_PAYLOAD"),
        ({"orderId": "1001", "fulfillmentId": "not-known"}, "INVALID_PAYLOAD"),
        ({"orderId": "abc", "fulfillmentId": "7"}, "ORDER_ID_UNKNOWN"),
    ],
)
def test_shipment_that_can_never_be_recorded_is_dead(deliver: Deliver, payload: dict[str, Any], code: str) -> None:
    assert deliver.job("commerce-handle-order-fulfilled", payload, expect="dead").code == code


def test_sync_s_own_announcements_reach_the_workflows_once(
    deliver: Deliver, shop: Shop, drain: Any, clock: ManualClock
) -> None:
    shop.put_order(order_e1(fulfillments=[a_fulfillment(7)]))
    deliver(OrderSync(shopify_order_id="1001"))
    first = [d for d in drain() if d.job == "commerce-handle-order-fulfilled"]
    shop.put_order(order_e1(fulfillments=[a_fulfillment(7, deliveredAt=LATER)], updatedAt=LATER))
    sync(deliver, clock)
    second = [d for d in drain() if d.job == "commerce-handle-order-fulfilled"]

    triggers = [p["trigger"] for d in (*first, *second) for name, p in d.emitted if name == "workflow.triggered"]

    assert triggers == ["order_fulfilled", "order_delivered"]
