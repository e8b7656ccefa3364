"""Orders and the arms of their buyers: attributed once, corrected later, mirrored for the applications."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

import functions.commerce.ab_tests.reconcile as reconcile_module
from functions.commerce.ab_tests.subjects import subject_of
from functions.commerce.ab_tests.sums import Tally, pooled, read_sums
from shared.events.ab_tests import AbOrderReconcile
from shared.fakes.shopify import Shop
from shared.jobs import JobContext
from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver, Delivered
from tests.builders.ab_tests import TEST, add_epoch, add_test, insert
from tests.builders.orders import an_order, money
from tests.conftest import MakeBench, Rows
from tests.functions.commerce.ab_tests.conftest import NOON, Put
from tests.shared.integrations.visit import REGISTRY, Visits

pytestmark = pytest.mark.usefixtures("running_test")
JOB = "ab-order-reconciliation"


def reconcile(deliver: Deliver, minutes: int = 0) -> Delivered:
    """The run of so many minutes after noon."""
    return deliver(AbOrderReconcile(slot=NOON + timedelta(minutes=minutes)))


@pytest.fixture
def visits(make_bench: MakeBench, tenant: Tenant) -> Visits:
    return Visits(make_bench(REGISTRY), tenant)


def attributions(rows: Rows) -> list[dict[str, Any]]:
    return rows("SELECT * FROM ab_order_attributions ORDER BY test_id, order_id")


def one(rows: Rows) -> dict[str, Any]:
    (row,) = attributions(rows)
    return row


def count(rows: Rows, table: str) -> int:
    return int(rows(f"SELECT count(*) FROM {table}")[0]["count"])  # noqa: S608


def day(rows: Rows, variant: str = "test_1_b") -> tuple[int, int, int]:
    """visitors, purchases and revenue of the variant's only day."""
    (row,) = rows("SELECT * FROM ab_daily_metrics WHERE variant_id = %s", (variant,))
    return row["visitors"], row["purchases"], row["revenue_cents"]


def change(rows: Rows, sql: str, minutes: int) -> None:
    """Change the order; the change is stamped so many minutes after noon."""
    rows.execute("ALTER TABLE orders DISABLE TRIGGER update_orders_updated_at")
    rows.execute(f"UPDATE orders SET {sql}, updated_at = %s", (NOON + timedelta(minutes=minutes),))  # noqa: S608


def test_order_of_a_visitor_is_net_sales_of_the_arm(deliver: Deliver, rows: Rows, visitor: Put, order: Put) -> None:
    visitor()
    order()

    done = reconcile(deliver)

    assert done.result == {
        "checked": 1,
        "attributed": 1,
        "corrected": 0,
        "excluded": 0,
        "unlinked": 0,
        "conflicts": 0,
        "shopifyAsked": 0,
        "cursor": "2026-11-20T11:00:00Z",
    }
    row = one(rows)
    assert (row["variant_id"], row["method"], row["gross_cents"], row["net_cents"]) == (
        "test_1_b",
        "visitor",
        9000,
        9000,
    )
    assert day(rows) == (1, 1, 9000)
    (conversion,), (event,) = rows("SELECT * FROM ab_test_conversions"), rows("SELECT * FROM ab_events")
    assert (conversion["id"][:4], conversion["value_cents"], conversion["order_id"]) == ("abc_", 9000, "o1")
    assert (event["id"][:4], event["event_value_cents"], event["visitor_id"]) == ("abe_", 9000, "v1")
    assert event["event_data"] == {"source": "reconciliation", "method": "visitor"}


def test_second_run_changes_nothing(deliver: Deliver, rows: Rows, visitor: Put, order: Put) -> None:
    visitor()
    order()
    reconcile(deliver)
    before = attributions(rows), rows("SELECT * FROM ab_daily_metrics")

    again = deliver(AbOrderReconcile(start_time=NOON - timedelta(days=1), slot=NOON))

    assert (again.result["checked"], again.result["attributed"], again.result["corrected"]) == (1, 0, 0)
    assert (attributions(rows), rows("SELECT * FROM ab_daily_metrics")) == before
    assert (count(rows, "ab_test_conversions"), count(rows, "ab_events")) == (1, 1)


def test_refund_and_cancellation_follow(deliver: Deliver, rows: Rows, visitor: Put, order: Put) -> None:
    visitor()
    order()
    reconcile(deliver)

    change(rows, "refunded_cents = 5400", 30)
    refunded = reconcile(deliver, 60)
    assert (refunded.result["corrected"], one(rows)["net_cents"], day(rows)) == (1, 4500, (1, 1, 4500))

    change(rows, "refunded_cents = 10800", 61)
    reconcile(deliver, 120)
    assert (one(rows)["net_cents"], day(rows)) == (0, (1, 1, 0))  # still a conversion

    change(rows, "cancelled_at = now()", 121)
    cancelled = reconcile(deliver, 180)
    assert (cancelled.result["excluded"], one(rows)["excluded_reason"], day(rows)) == (1, "cancelled", (1, 0, 0))
    assert (count(rows, "ab_test_conversions"), count(rows, "ab_events")) == (0, 0)


@pytest.mark.parametrize(
    ("assigned", "found"),
    [
        (timedelta(days=-31), 0),
        (timedelta(days=-29), 1),
        (timedelta(minutes=10), 0),
        (timedelta(minutes=4), 1),
    ],
)
def test_assignment_must_lie_before_the_order(
    deliver: Deliver, rows: Rows, visitor: Put, order: Put, assigned: timedelta, found: int
) -> None:
    rows.execute("UPDATE ab_tests SET started_at = %s", (NOON - timedelta(days=60),))
    placed = NOON - timedelta(hours=1)
    visitor(at=placed + assigned)
    order(at=placed)

    assert reconcile(deliver).result["attributed"] == found


@pytest.mark.parametrize(("seconds", "found"), [(1, 0), (-1, 1)])
def test_order_after_the_end_is_no_order_of_the_test(
    deliver: Deliver, rows: Rows, visitor: Put, order: Put, seconds: int, found: int
) -> None:
    end = NOON - timedelta(hours=1)
    rows.execute("UPDATE ab_tests SET status = 'completed', ended_at = %s", (end,))
    visitor()
    order(at=end + timedelta(seconds=seconds))

    assert reconcile(deliver).result["attributed"] == found


def test_late_order_of_a_test_that_ended_long_ago_is_only_corrected(
    deliver: Deliver, rows: Rows, visitor: Put, order: Put
) -> None:
    visitor(at=NOON - timedelta(days=5))
    order("known", at=NOON - timedelta(days=4))
    deliver(AbOrderReconcile(start_time=NOON - timedelta(days=5), slot=NOON))
    rows.execute("UPDATE ab_tests SET status = 'completed', ended_at = %s", (NOON - timedelta(days=3),))
    order("late", at=NOON - timedelta(days=4))
    change(rows, "refunded_cents = 5400", -1)

    done = reconcile(deliver)

    assert (done.result["attributed"], done.result["corrected"]) == (0, 1)
    assert one(rows)["net_cents"] == 4500


def test_visitor_record_beats_the_cart(deliver: Deliver, rows: Rows, visitor: Put, order: Put) -> None:
    visitor()
    order(attribution_data={"attributes": {"_ab_visitor_id": "v1", "_ab_test_id": TEST, "_ab_variant_id": "test_1_a"}})

    done = reconcile(deliver)

    assert (done.result["conflicts"], one(rows)["variant_id"], one(rows)["conflict"]) == (1, "test_1_b", True)


def test_cart_alone_is_counted_as_unlinked(deliver: Deliver, rows: Rows, order: Put) -> None:
    notes = [{"name": "_ab_test_id", "value": TEST}, {"name": "_ab_variant_id", "value": "test_1_a"}]
    order(attribution_data={"noteAttributes": notes})

    done = reconcile(deliver)

    assert (done.result["unlinked"], one(rows)["method"], one(rows)["visitor_id"]) == (1, "cart_variant", None)
    assert day(rows, "test_1_a") == (0, 1, 9000)
    assert (count(rows, "ab_test_conversions"), count(rows, "ab_events")) == (1, 0)


@pytest.mark.parametrize(
    ("data", "customer", "method", "visitor_id"),
    [
        ({"sessionId": "s1"}, None, "session", "v1"),
        ({"customAttributes": [{"key": "_session_id", "value": "s2"}]}, None, "session", None),
        ({"attributes": {}}, "c1", "customer", None),
        ({"attributes": {}}, None, "event", "v1"),
        ({"_ab_test_id": TEST, "_ab_shipping_suffix": "B"}, None, "shipping_suffix", None),
    ],
)
def test_other_evidence(
    deliver: Deliver,
    rows: Rows,
    visitor: Put,
    order: Put,
    data: dict[str, Any],
    customer: str | None,
    method: str,
    visitor_id: str | None,
) -> None:
    visitor(session_id="s1")
    assigned = {"test_id": TEST, "variant_id": "test_1_b", "assigned_at": NOON - timedelta(hours=3)}
    insert(rows, "ab_test_assignments", {**assigned, "session_id": "s2", "customer_id": "c1"})
    rows.execute("UPDATE ab_variants SET shipping_suffix = 'B' WHERE id = 'test_1_b'")
    if method == "event":
        event = {"test_id": TEST, "variant_id": "test_1_b", "visitor_id": "v1", "event_type": "purchase"}
        insert(rows, "ab_events", {**event, "order_id": "9001"})
    order(attribution_data=data, customer_id=customer, shopify_order_id="9001")

    reconcile(deliver)

    assert (one(rows)["variant_id"], one(rows)["method"], one(rows)["visitor_id"]) == ("test_1_b", method, visitor_id)


def test_assignment_without_a_time_tells_nothing_of_a_customer(deliver: Deliver, rows: Rows, order: Put) -> None:
    assigned = {"test_id": TEST, "customer_id": "c1"}
    insert(rows, "ab_test_assignments", {**assigned, "variant_id": "test_1_a", "session_id": "s1", "assigned_at": None})
    order(attribution_data={"attributes": {}}, customer_id="c1")
    assert reconcile(deliver).result["attributed"] == 0
    known = {**assigned, "variant_id": "test_1_b", "session_id": "s2", "assigned_at": NOON - timedelta(hours=3)}
    insert(rows, "ab_test_assignments", known)

    reconcile(deliver, 60)

    assert (one(rows)["variant_id"], one(rows)["method"]) == ("test_1_b", "customer")


def test_session_of_a_known_buyer_gets_the_customer(deliver: Deliver, rows: Rows, order: Put) -> None:
    assigned = {"test_id": TEST, "variant_id": "test_1_b", "session_id": "s1"}
    insert(rows, "ab_test_assignments", {**assigned, "assigned_at": NOON - timedelta(hours=3)})
    order(attribution_data={"sessionId": "s1"}, customer_id="c7")

    reconcile(deliver)

    assert rows("SELECT customer_id FROM ab_test_assignments") == [{"customer_id": "c7"}]


def test_arm_of_a_linked_attribution_stays(deliver: Deliver, rows: Rows, visitor: Put, order: Put) -> None:
    visitor()
    order()
    reconcile(deliver)
    rows.execute("UPDATE ab_visitors SET variant_id = 'test_1_a'")
    change(rows, "notes = 'x'", 5)

    reconcile(deliver, 60)

    assert one(rows)["variant_id"] == "test_1_b"


def test_unlinked_attribution_takes_the_visitor_that_appears(
    deliver: Deliver, rows: Rows, visitor: Put, order: Put
) -> None:
    order(attribution_data={"_ab_visitor_id": "v1", "_ab_test_id": TEST, "_ab_variant_id": "test_1_a"})
    reconcile(deliver)
    visitor()
    change(rows, "notes = 'x'", 5)

    done = reconcile(deliver, 60)

    assert (done.result["corrected"], one(rows)["variant_id"], one(rows)["method"]) == (1, "test_1_b", "visitor")
    assert day(rows, "test_1_a") == (0, 0, 0)


@pytest.mark.parametrize("kind", ["split", "shipping"])
def test_order_of_an_arm_that_was_deleted_is_still_corrected(
    deliver: Deliver, rows: Rows, visitor: Put, order: Put, kind: str
) -> None:
    """The applications' tables lose their rows with the arm; ours say what was."""
    rows.execute("UPDATE ab_tests SET type = %s", (kind,))
    visitor()
    order()
    reconcile(deliver)
    rows.execute("DELETE FROM ab_variants WHERE id = 'test_1_b'")
    change(rows, "refunded_cents = 5400", 30)

    done = reconcile(deliver, 60)

    assert (done.result["corrected"], one(rows)["net_cents"]) == (1, 4500)
    assert (count(rows, "ab_test_conversions"), count(rows, "ab_events")) == (0, 0)


def test_purchase_that_the_storefront_records_later_stands_alone(
    deliver: Deliver, rows: Rows, visitor: Put, order: Put
) -> None:
    visitor()
    order(shopify_order_id="9001")
    reconcile(deliver)
    event = {"test_id": TEST, "variant_id": "test_1_b", "visitor_id": "v1", "event_type": "purchase"}
    insert(rows, "ab_events", {"id": "theirs", **event, "order_id": "9001"})
    change(rows, "refunded_cents = 5400", 30)

    reconcile(deliver, 60)

    assert rows("SELECT id FROM ab_events") == [{"id": "theirs"}]
    assert rows("SELECT value_cents FROM ab_test_conversions") == [{"value_cents": 4500}]


def test_two_orders_of_a_visitor_are_one_conversion(
    visits: Visits, deliver: Deliver, rows: Rows, visitor: Put, order: Put
) -> None:
    """x 1, orders 2, and of the orders per visitor the sum 2 and the sum of squares 4; an unlinked order is in none."""
    add_epoch(rows, 1, NOON - timedelta(days=10), {"test_1_a": 50, "test_1_b": 50})
    visitor()
    order("o1")
    order("o2")
    order("o3", attribution_data={"_ab_test_id": TEST, "_ab_variant_id": "test_1_b"})
    reconcile(deliver)

    def inside(ctx: JobContext) -> Tally:
        with ctx.tenant_session(read_only=True) as session:
            subject = subject_of(session, TEST)
            assert subject is not None
            return pooled(read_sums(session, subject, NOON).epochs())["test_1_b"]

    found = visits(inside)

    assert (found.n, found.converted, found.orders, found.order_squares) == (1, 1, 2, 4)
    assert (found.revenue, found.revenue_orders) == (18_000, 36_000)
    assert day(rows) == (1, 3, 27_000)


def test_buyer_in_two_tests_and_with_two_orders(deliver: Deliver, rows: Rows, visitor: Put, order: Put) -> None:
    add_test(rows, "test_2", status="running", started_at=NOON - timedelta(days=1))
    insert(
        rows,
        "ab_visitors",
        {"visitor_id": "v1", "test_id": "test_2", "variant_id": "test_2_a", "assigned_at": NOON - timedelta(hours=5)},
    )
    visitor()
    order("o1")
    order("o2")

    assert reconcile(deliver).result["attributed"] == 4
    assert [(row["test_id"], row["order_id"]) for row in attributions(rows)] == [
        ("test_1", "o1"),
        ("test_1", "o2"),
        ("test_2", "o1"),
        ("test_2", "o2"),
    ]
    assert day(rows) == (1, 2, 18_000)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"tags": ["subscription recurring order"]}, "renewal"),
        ({"tags": ["test"]}, "test_order"),
        ({"financial_status": "voided"}, "voided"),
        ({"currency": "EUR"}, "currency"),
        ({"status": "cancelled", "currency": "EUR"}, "cancelled"),
    ],
)
def test_orders_that_count_nowhere(
    deliver: Deliver, rows: Rows, visitor: Put, order: Put, columns: dict[str, Any], reason: str
) -> None:
    visitor()
    order(**columns)

    assert reconcile(deliver).result["excluded"] == 1
    assert (one(rows)["excluded_reason"], count(rows, "ab_test_conversions")) == (reason, 0)


def test_all_pages_are_read_and_the_cursor_stands_at_the_last(
    deliver: Deliver, rows: Rows, visitor: Put, order: Put
) -> None:
    visitor()
    order("o0000")
    rows.execute(
        """INSERT INTO orders (id, order_number, total_cents, order_placed_at, created_at, updated_at, attribution_data)
           SELECT 'o' || lpad(n::text, 4, '0'), n::text, 1000, order_placed_at, created_at,
                  updated_at + n * interval '1 second', '{"_ab_visitor_id": "v1"}'
           FROM orders, generate_series(1, 1249) n"""
    )

    done = reconcile(deliver)

    assert (done.result["checked"], done.result["attributed"]) == (1250, 1250)
    assert done.result["cursor"] == "2026-11-20T11:20:49Z"
    assert rows("SELECT position ->> 'id' AS id FROM ab_cursors") == [{"id": "o1249"}]
    assert day(rows) == (1, 1250, 9000 + 1249 * 1000)
    rest = reconcile(deliver, 60)
    assert (rest.result["checked"], rest.result["attributed"]) == (601, 0)  # the ten minutes of overlap


def test_run_killed_between_pages_goes_on_behind_the_last_one(
    deliver: Deliver, rows: Rows, bench: Bench, visitor: Put, order: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile_module, "PAGE", 2)
    visitor(at=NOON - timedelta(hours=6))
    for n in range(5):
        order(f"o{n}", at=NOON - timedelta(hours=5 - n / 2))
    moved = reconcile_module._move

    def dies(ctx: Any, session: Any, at: datetime, id: str) -> None:
        moved(ctx, session, at, id)
        if id == "o3":
            raise RuntimeError("the worker is gone")

    monkeypatch.setattr(reconcile_module, "_move", dies)
    deliver(AbOrderReconcile(slot=NOON), expect="retrying")
    assert [row["order_id"] for row in attributions(rows)] == ["o0", "o1"]
    monkeypatch.setattr(reconcile_module, "_move", moved)

    done = deliver.again("ab-testing-bulk")

    assert (done.result["checked"], done.result["attributed"]) == (4, 3)  # the overlap reads one of them again
    assert [row["order_id"] for row in attributions(rows)] == ["o0", "o1", "o2", "o3", "o4"]
    assert rows("SELECT sum(purchases) AS n FROM ab_daily_metrics") == [{"n": 5}]


def test_tenant_without_tests_moves_its_cursor(deliver: Deliver, rows: Rows, order: Put) -> None:
    rows.execute("UPDATE ab_tests SET status = 'draft'")
    order()

    assert reconcile(deliver).result["checked"] == 0
    assert rows("SELECT position ->> 'updatedAt' AS at FROM ab_cursors") == [{"at": "2026-11-20T12:00:00+00:00"}]


def test_span_of_order_time_leaves_the_cursor_alone(deliver: Deliver, rows: Rows, visitor: Put, order: Put) -> None:
    visitor()
    order()

    done = deliver(AbOrderReconcile(start_date=NOON - timedelta(hours=2), end_time=NOON))

    assert (done.result["attributed"], count(rows, "ab_cursors")) == (1, 0)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"startTime": "2026-11-20T12:00:00Z", "endTime": "2026-11-20T11:00:00Z"}, "INVALID_RANGE"),
        ({"startTime": "2026-08-01T00:00:00Z", "endTime": "2026-11-20T11:00:00Z"}, "INVALID_RANGE"),
        ({"startTime": "x"}, "INVALID_PAYLOAD"),
        ({"testId": "nobody"}, "TEST_NOT_FOUND"),
    ],
)
def test_message_that_makes_no_sense_is_dead(deliver: Deliver, payload: dict[str, Any], code: str) -> None:
    assert deliver.job(JOB, payload, expect="dead").code == code


# -- what only Shopify knows -------------------------------------------------------------------------------------------


def test_order_without_attributes_is_asked_for_once(
    deliver: Deliver, rows: Rows, shop: Shop, visitor: Put, order: Put
) -> None:
    visitor()
    shop.put_order(an_order(9001, attributes={"_ab_visitor_id": "v1"}))
    shop.put_order(an_order(9002))
    order("o1", shopify_order_id="9001", attribution_data={"utmSource": "x"})
    order("o2", shopify_order_id="9002", attribution_data=None)

    done = reconcile(deliver)

    assert (done.result["shopifyAsked"], done.result["attributed"]) == (2, 1)
    kept = rows("SELECT attribution_data FROM orders ORDER BY id")
    assert kept[0]["attribution_data"] == {"utmSource": "x", "noteAttributes": {"_ab_visitor_id": "v1"}}
    assert kept[1]["attribution_data"] == {"noteAttributes": {}}
    again = deliver(AbOrderReconcile(start_time=NOON - timedelta(hours=2), end_time=NOON))
    assert again.result["shopifyAsked"] == 0


def test_rate_of_another_arm_is_a_mismatch_and_the_arm_stays(
    deliver: Deliver, rows: Rows, shop: Shop, visitor: Put, order: Put
) -> None:
    rows.execute("""UPDATE ab_tests SET type = 'shipping', shipping_config = '{"estimatedCostCents": 450}'""")
    rows.execute("UPDATE ab_variants SET shipping_suffix = upper(right(id, 1))")
    visitor()
    line = {"title": "Standard (A)", "originalPriceSet": money("5.99")}
    shop.put_order(an_order(9001, attributes={"_ab_visitor_id": "v1"}, shippingLine=line))
    order(shopify_order_id="9001")

    reconcile(deliver)

    (row,) = rows("SELECT * FROM ab_shipping_attributions")
    assert (row["variant_id"], row["assigned_suffix"], row["is_mismatch"]) == ("test_1_b", "B", True)
    assert row["mismatch_reason"] == "expected B, got A"
    assert (row["actual_shipping_price_cents"], row["product_revenue_cents"], row["net_revenue_cents"]) == (
        599,
        9000,
        9149,
    )
    change(rows, "refunded_cents = 5400", 30)
    done = reconcile(deliver, 60)
    (row,) = rows("SELECT * FROM ab_shipping_attributions")
    assert (row["net_revenue_cents"], done.result["shopifyAsked"]) == (4649, 0)


@pytest.mark.parametrize("config", ['{"estimatedCostCents": "4.50", "maxOrderValueCents": "x"}', "[1]"])
def test_shipping_settings_that_make_no_sense_count_as_not_set(
    deliver: Deliver, rows: Rows, visitor: Put, order: Put, config: str
) -> None:
    rows.execute("UPDATE ab_tests SET type = 'shipping', shipping_config = %s::jsonb", (config,))
    rows.execute("UPDATE ab_variants SET shipping_suffix = upper(right(id, 1))")
    visitor()
    order()
    reconcile(deliver)
    rows.execute("UPDATE ab_shipping_attributions SET actual_shipping_method = 'Standard (A)'")
    change(rows, "refunded_cents = 5400", 30)

    reconcile(deliver, 60)

    (row,) = rows("SELECT * FROM ab_shipping_attributions")
    assert (row["net_revenue_cents"], row["mismatch_reason"]) == (4500 + 1000, "expected B, got A")


@pytest.mark.parametrize("setting", ['{"renewalTags": "vip"}', "[]"])
def test_renewal_tags_that_are_no_list_count_as_not_set(
    deliver: Deliver, rows: Rows, visitor: Put, order: Put, setting: str
) -> None:
    rows.execute("INSERT INTO tenant_config (key, value) VALUES ('ab.orders', %s::jsonb)", (setting,))
    visitor()
    order("o1", tags=["v"])
    order("o2", tags=["recurring-order"])

    reconcile(deliver)

    assert [row["excluded_reason"] for row in attributions(rows)] == [None, "renewal"]


def test_shop_that_is_not_connected_stops_nothing(deliver: Deliver, rows: Rows, visitor: Put, order: Put) -> None:
    visitor(session_id="s1")
    order(shopify_order_id="9001", attribution_data=None)

    assert reconcile(deliver).result["attributed"] == 0


# -- the clock ---------------------------------------------------------------------------------------------------------


def test_tenant_with_changed_orders_is_started(bench: Bench, rows: Rows, order: Put, deliver: Deliver) -> None:
    job_id, at = "ab-order-reconciliation-scheduled", datetime.fromisoformat("2026-11-20T12:15:00+00:00")
    assert bench.tick(job_id, at).published == []
    order()
    ((name, payload),) = bench.tick(job_id, at + timedelta(hours=1)).published
    assert (name, payload["slot"]) == ("ab.orderReconcile", "2026-11-20T13:15:00Z")
