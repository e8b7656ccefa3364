"""The views order_figures and refund_figures: one reading of an order's money."""

from __future__ import annotations

from typing import Any

import pytest

from shared.db.connections import connect
from shared.db.sessions import tenant_transaction
from shared.jobs.context import Tenant
from tests.conftest import Rows

ORDER = """
INSERT INTO orders (id, shopify_order_id, shopify_id, order_number, financial_status, status, customer_email,
                    total_cents, shipping_cents, tax_cents, discount_cents, net_sales_cents, refunded_cents,
                    cancelled_at)
VALUES (%(id)s, %(id)s, %(id)s, '#1', %(financial)s, %(status)s, 'Ann@Example.Test', %(total)s, %(shipping)s, %(tax)s,
        %(discount)s, %(net)s, %(refunded)s, %(cancelled_at)s)
"""
MARK = """
INSERT INTO order_sync_marks (shopify_order_id, order_id, shopify_updated_at, content_hash)
VALUES (%(id)s, %(id)s, %(read_at)s, 'x')
"""
REFUND = """
INSERT INTO refunds (id, shopify_refund_id, order_shopify_id, amount_cents, processed_at)
VALUES (%(refund)s, %(refund)s, %(order)s, %(amount)s, %(at)s)
"""
REFUND_LINE = "INSERT INTO refund_line_items (refund_id, amount_cents) VALUES (%(refund)s, %(amount)s)"


def an_order(rows: Rows, order_id: str, *, read_at: str | None = "2026-01-01Z", **columns: Any) -> None:
    """119.00 paid: goods 95.00 after a discount of 5.00, shipping 5.00, tax 19.00."""
    values = {
        "id": order_id, "financial": "paid", "status": "confirmed", "total": 11900, "shipping": 500, "tax": 1900,
        "discount": 500, "net": 9500, "refunded": 0, "cancelled_at": None,
    }  # fmt: skip
    rows.execute(ORDER, values | columns)
    if read_at:
        rows.execute(MARK, {"id": order_id, "read_at": read_at})


def a_refund(rows: Rows, refund: str, order: str, amount: int, at: str, lines: tuple[int, ...] = ()) -> None:
    rows.execute(REFUND, {"refund": refund, "order": order, "amount": amount, "at": at})
    for line in lines:
        rows.execute(REFUND_LINE, {"refund": refund, "amount": line})


def test_refunds_never_give_back_more_goods_than_were_sold(rows: Rows) -> None:
    an_order(rows, "1", refunded=16900)
    a_refund(rows, "r1", "1", 5000, "2026-01-01Z", lines=(2000, 1000))
    a_refund(rows, "r2", "1", 11900, "2026-01-02Z")  # all of the money again: 95.00 of goods, 65.00 are left

    refunds = rows("SELECT refund_id, cash_cents, net_cents FROM refund_figures ORDER BY booked_at")

    assert [(r["refund_id"], r["cash_cents"], r["net_cents"]) for r in refunds] == [
        ("r1", 5000, 3000),
        ("r2", 11900, 6500),
    ]
    order = rows("SELECT * FROM order_figures")[0]
    assert (order["net_sales_cents"], order["gross_sales_cents"], order["refunded_net_cents"]) == (9500, 10000, 9500)
    assert (order["counted"], order["synced"], order["person"]) == (True, True, "ann@example.test")


@pytest.mark.parametrize("read_at", [None, "1970-01-01Z"], ids=["no mark", "a mark of its announcement only"])
def test_order_that_only_the_applications_wrote_is_worked_out_from_its_total(rows: Rows, read_at: str | None) -> None:
    # net = 119.00 - 5.00 - 19.00 = 95.00 whatever net_sales_cents says; half of the money back is half of the goods
    an_order(rows, "2", read_at=read_at, net=9000, refunded=5950)

    order = rows("SELECT * FROM order_figures")[0]

    assert (order["net_sales_cents"], order["refunded_net_cents"], order["synced"]) == (9500, 4750, False)


@pytest.mark.parametrize(
    ("columns", "counted"),
    [
        pytest.param({}, True, id="paid"),
        pytest.param({"financial": "voided"}, False, id="voided"),
        pytest.param({"status": "cancelled"}, False, id="cancelled without a refund"),
        pytest.param({"cancelled_at": "2026-01-01Z"}, False, id="cancelled by its date"),
    ],
)
def test_which_orders_count(rows: Rows, columns: dict[str, Any], counted: bool) -> None:
    an_order(rows, "3", **columns)

    assert rows("SELECT counted FROM order_figures") == [{"counted": counted}]


def test_cancelled_order_with_a_refund_counts(rows: Rows) -> None:
    an_order(rows, "4", status="cancelled")
    a_refund(rows, "r4", "4", 11900, "2026-01-01Z", lines=(9500,))

    figures = rows("SELECT counted, refunded_net_cents FROM order_figures")

    assert figures == [{"counted": True, "refunded_net_cents": 9500}]


def test_views_run_with_the_rights_of_the_tenant(
    database_url: str, rows: Rows, tenant: Tenant, other_tenant: Tenant
) -> None:
    an_order(rows, "5")

    with connect(database_url, application_name="test") as connection:
        with tenant_transaction(connection, tenant) as session:
            assert session.value("SELECT count(*) FROM order_figures") == 1
        with tenant_transaction(connection, other_tenant) as session:
            assert session.value("SELECT count(*) FROM order_figures") == 0
