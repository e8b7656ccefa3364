"""One order judged anew: the arm may change, every test gets its reason, a change is audited."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.events.ab_tests import AbOrderReconcile, AbOrderReconcileManual
from shared.fakes.shopify import Shop
from shared.jobs.context import Tenant
from shared.jobs.testing import Deliver, Delivered
from tests.builders.ab_tests import TEST, add_test
from tests.builders.orders import an_order
from tests.conftest import Rows
from tests.functions.commerce.ab_tests.conftest import NOON, Put

pytestmark = pytest.mark.usefixtures("running_test")
JOB = "ab-order-reconciliation-manual"


def judge(deliver: Deliver, id: str = "o1", **more: Any) -> Delivered:
    return deliver(AbOrderReconcileManual(order_id=id, **more))


def only(done: Delivered) -> dict[str, Any]:
    (found,) = done.result["attributions"]
    return dict(found)


@pytest.fixture
def wrongly_attributed(running_test: str, deliver: Deliver, order: Put) -> None:
    """An order that its cart put into arm A."""
    cart = {"_ab_visitor_id": "v1", "_ab_test_id": TEST, "_ab_variant_id": "test_1_a"}
    order(attribution_data=cart)
    deliver(AbOrderReconcile(slot=NOON))


@pytest.mark.usefixtures("wrongly_attributed")
def test_visitor_record_that_came_later_changes_the_arm_once(deliver: Deliver, rows: Rows, visitor: Put) -> None:
    visitor()

    first, second = judge(deliver), judge(deliver)

    assert only(first) == {
        "testId": TEST,
        "variantId": "test_1_b",
        "method": "manual",
        "conflict": True,
        "netCents": 9000,
        "changed": True,
    }
    assert only(second)["changed"] is False
    (audit,) = rows("SELECT action, resource_type, resource_id, details FROM audit_logs")
    assert audit == {
        "action": "ab.order_reconciled",
        "resource_type": "order",
        "resource_id": "o1",
        "details": {"testId": TEST, "from": "test_1_a", "to": "test_1_b"},
    }
    numbers = rows("SELECT variant_id, purchases FROM ab_daily_metrics ORDER BY variant_id")
    assert [(row["variant_id"], row["purchases"]) for row in numbers] == [("test_1_a", 0), ("test_1_b", 1)]


@pytest.mark.usefixtures("wrongly_attributed")
def test_attribution_without_ground_goes_with_its_mirrors(deliver: Deliver, rows: Rows) -> None:
    rows.execute("""UPDATE orders SET attribution_data = '{"attributes": {}}'""")

    done = judge(deliver)

    assert only(done) == {"testId": TEST, "conflict": False, "changed": True, "reason": "no_evidence"}
    for table in ("ab_order_attributions", "ab_test_conversions", "ab_events"):
        assert rows(f"SELECT 1 FROM {table}") == []  # noqa: S608
    assert rows("SELECT purchases FROM ab_daily_metrics") == [{"purchases": 0}]


def test_visitor_who_is_not_known_any_more_leaves_no_purchase(
    deliver: Deliver, rows: Rows, visitor: Put, order: Put
) -> None:
    cart = {"_ab_visitor_id": "v1", "_ab_test_id": TEST, "_ab_variant_id": "test_1_a"}
    visitor()
    order(attribution_data=cart)
    deliver(AbOrderReconcile(slot=NOON))
    rows.execute("DELETE FROM ab_visitors")

    found = only(judge(deliver))

    assert (found["variantId"], found["method"]) == ("test_1_a", "manual")
    assert rows("SELECT visitor_id FROM ab_events") == []
    assert rows("SELECT variant_id FROM ab_test_conversions") == [{"variant_id": "test_1_a"}]


@pytest.mark.parametrize(
    ("assigned", "columns", "reason"),
    [
        (timedelta(days=-31), {}, "outside_window"),
        (timedelta(minutes=10), {}, "before_assignment"),
        (timedelta(hours=-1), {"cancelled_at": NOON}, "cancelled"),
    ],
)
def test_reason_is_told(
    deliver: Deliver, rows: Rows, visitor: Put, order: Put, assigned: timedelta, columns: dict[str, Any], reason: str
) -> None:
    rows.execute("UPDATE ab_tests SET started_at = %s", (NOON - timedelta(days=60),))
    placed = NOON - timedelta(hours=1)
    visitor(at=placed + assigned)
    order(at=placed, **columns)

    found = only(judge(deliver))

    assert (found["reason"], found.get("variantId")) == (reason, "test_1_b" if reason == "cancelled" else None)


def test_order_is_found_by_its_gid_and_asked_for_anew(
    deliver: Deliver, rows: Rows, shop: Shop, visitor: Put, order: Put
) -> None:
    visitor()
    shop.put_order(an_order(123, attributes={"_ab_visitor_id": "v1"}))
    order(shopify_id="123", attribution_data={"attributes": {}})

    done = judge(deliver, "gid://shopify/Order/123")

    assert (done.result["orderId"], only(done)["variantId"], done.result["testsChecked"]) == ("o1", "test_1_b", 1)


def test_result_and_log_hold_nobody(
    deliver: Deliver, visitor: Put, order: Put, caplog: pytest.LogCaptureFixture
) -> None:
    visitor("v-secret-1")
    order(attribution_data={"_ab_visitor_id": "v-secret-1"}, customer_email="jane@example.com")

    done = judge(deliver)

    shown = json.dumps(done.result) + caplog.text
    assert only(done)["changed"] is True
    assert "v-secret-1" not in shown
    assert "jane@example.com" not in shown


def test_completed_test_takes_the_order_however_long_ago(
    deliver: Deliver, rows: Rows, visitor: Put, order: Put
) -> None:
    rows.execute(
        "UPDATE ab_tests SET status = 'completed', started_at = %s, ended_at = %s",
        (NOON - timedelta(days=90), NOON - timedelta(days=50)),
    )
    visitor(at=NOON - timedelta(days=61))
    order(at=NOON - timedelta(days=60))

    assert only(judge(deliver))["variantId"] == "test_1_b"
    assert judge(deliver, test_id=TEST).result["testsChecked"] == 1


def test_event_about_one_order_is_handled_alike_but_is_nobody_s_doing(
    deliver: Deliver, rows: Rows, visitor: Put, order: Put
) -> None:
    visitor()
    order()

    done = deliver(AbOrderReconcile(order_id="o1", slot=NOON))

    assert (done.result["checked"], done.result["attributed"]) == (1, 1)
    assert rows("SELECT 1 FROM audit_logs") == []


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({}, "INVALID_PAYLOAD"),
        ({"orderId": "nobody"}, "ORDER_NOT_FOUND"),
        ({"orderId": "o1", "testId": "nobody"}, "TEST_NOT_FOUND"),
        ({"orderId": "o1", "testId": "theirs"}, "TEST_NOT_FOUND"),
    ],
)
def test_message_that_makes_no_sense_is_dead(
    deliver: Deliver, rows: Rows, order: Put, other_tenant: Tenant, payload: dict[str, Any], code: str
) -> None:
    order()
    add_test(rows, "theirs", status="running", tenant=other_tenant)

    assert deliver.job(JOB, payload, expect="dead").code == code


def test_order_of_another_tenant_is_not_found(deliver: Deliver, order: Put, other_tenant: Tenant) -> None:
    order()

    done = deliver(AbOrderReconcileManual(order_id="o1"), tenant=other_tenant, expect="dead")

    assert done.code == "ORDER_NOT_FOUND"
