"""What an order of Shopify becomes in our columns; numbers are worked out beside them."""

from __future__ import annotations

from typing import Any

import pytest

from shared.jobs.errors import Permanent
from shared.orders.mapping import map_order, map_refund
from tests.builders.orders import a_fulfillment, a_line, a_refund, a_refund_line, an_order, money, order_e1

SHIPPED = {"displayFulfillmentStatus": "FULFILLED"}
MONEY_COLUMNS = ("subtotal_cents", "discount_cents", "net_sales_cents", "tax_cents", "shipping_cents", "total_cents")


def test_money_of_an_order_with_tax_on_top() -> None:
    order = map_order(order_e1())

    # A 2 x 50.00 less 10.00, B 1 x 30.00 less 3.00: 130.00 - 13.00 = 117.00; + 9.36 + 5.95 = 132.31
    assert [order.columns[name] for name in MONEY_COLUMNS] == [13000, 1300, 11700, 936, 595, 13231]
    assert order.columns["gross_sales_cents"] - order.columns["discounts_cents"] == order.columns["net_sales_cents"]
    assert order.columns["total_price_cents"] == order.columns["total_cents"]
    assert [line["netCents"] for line in order.columns["line_items"]] == [9000, 2700]
    assert not order.totals_mismatch


def test_money_of_an_order_whose_prices_include_the_tax() -> None:
    line = a_line(1, price="120.00", discount="12.00", tax="18.00")
    order = map_order(an_order(lines=[line], taxesIncluded=True, tax="18.00", subtotal="108.00", total="108.00"))

    # 120.00 - 18.00 = 102.00 gross without tax; 102.00 - 12.00 = 90.00
    assert [order.columns[name] for name in MONEY_COLUMNS] == [10200, 1200, 9000, 1800, 0, 10800]
    assert not order.totals_mismatch


@pytest.mark.parametrize(
    ("subtotal", "net_sales", "discount", "mismatch"),
    [
        ("117.02", 11700, 1300, False),  # two lines: two cents are rounding
        ("117.03", 11703, 1297, True),
        ("90.00", 9000, 4000, True),  # a line was taken out by an edit
        ("140.00", 14000, 0, True),
    ],
)
def test_subtotal_wins_where_the_lines_disagree(subtotal: str, net_sales: int, discount: int, mismatch: bool) -> None:
    order = map_order(order_e1(subtotal=subtotal))

    assert order.columns["net_sales_cents"] == net_sales
    assert order.columns["discount_cents"] == discount
    assert order.columns["subtotal_cents"] == 13000
    assert order.totals_mismatch is mismatch


@pytest.mark.parametrize(
    ("fields", "status", "financial", "fulfillment"),
    [
        ({}, "confirmed", "paid", "unfulfilled"),
        ({"displayFinancialStatus": None}, "pending", "pending", "unfulfilled"),
        ({"displayFinancialStatus": "EXPIRED"}, "pending", "voided", "unfulfilled"),
        ({"displayFinancialStatus": "PARTIALLY_REFUNDED"}, "confirmed", "partially_refunded", "unfulfilled"),
        ({"displayFulfillmentStatus": "IN_PROGRESS"}, "processing", "paid", "unfulfilled"),
        ({"displayFulfillmentStatus": "PARTIALLY_FULFILLED"}, "processing", "paid", "partial"),
        ({"displayFulfillmentStatus": "RESTOCKED"}, "confirmed", "paid", "unfulfilled"),
        ({"displayFulfillmentStatus": "FULFILLMENT_NOT_REQUIRED"}, "confirmed", "paid", "fulfilled"),
        ({"displayFulfillmentStatus": "FULFILLED", "fulfillments": [a_fulfillment()]}, "shipped", "paid", "fulfilled"),
        (
            {
                "displayFulfillmentStatus": "FULFILLED",
                "fulfillments": [
                    a_fulfillment(1, displayStatus="DELIVERED", deliveredAt="2026-11-20T11:50:00Z"),
                    a_fulfillment(2, status="CANCELLED"),
                ],
            },
            "delivered",
            "paid",
            "fulfilled",
        ),
        (
            {
                "displayFulfillmentStatus": "FULFILLED",
                "fulfillments": [a_fulfillment(1, deliveredAt="2026-11-20T11:50:00Z"), a_fulfillment(2)],
            },
            "shipped",
            "paid",
            "fulfilled",
        ),
        ({**SHIPPED, "displayFinancialStatus": "REFUNDED"}, "refunded", "refunded", "fulfilled"),
        ({**SHIPPED, "cancelledAt": "2026-11-20T11:00:00Z"}, "cancelled", "paid", "fulfilled"),
    ],
)
def test_first_status_that_fits_wins(fields: dict[str, Any], status: str, financial: str, fulfillment: str) -> None:
    columns = map_order(an_order(**fields)).columns

    assert (columns["status"], columns["financial_status"], columns["fulfillment_status"]) == (
        status,
        financial,
        fulfillment,
    )


def test_latest_shipment_and_delivery_date_a_delivered_order() -> None:
    shipments = [
        a_fulfillment(1, createdAt="2026-11-18T08:00:00Z", deliveredAt="2026-11-20T09:00:00Z"),
        a_fulfillment(2, createdAt="2026-11-19T08:00:00Z", deliveredAt="2026-11-20T08:00:00Z"),
        a_fulfillment(3, createdAt="2026-11-20T08:00:00Z", status="ERROR"),
    ]
    columns = map_order(an_order(displayFulfillmentStatus="FULFILLED", fulfillments=shipments)).columns

    assert columns["fulfilled_at"] == "2026-11-19T08:00:00+00:00"
    assert columns["delivered_at"] == "2026-11-20T09:00:00+00:00"


def test_first_tracking_with_a_number_counts() -> None:
    tracking: list[dict[str, Any]] = [
        {"company": "UPS", "number": None, "url": None},
        {"company": "DHL", "number": "77", "url": "https://d"},
    ]

    (shipment,) = map_order(an_order(fulfillments=[a_fulfillment(tracking=tracking)])).fulfillments

    assert (shipment.tracking_company, shipment.tracking_number) == ("DHL", "77")


def test_refund_of_one_piece_gives_back_goods_without_tax() -> None:
    refund = a_refund(amount="48.60", lines=[a_refund_line(10011, subtotal="45.00", tax="3.60")])

    order = map_order(order_e1(refunds=[refund], refunded="48.60"))

    assert order.columns["refunded_cents"] == 4860
    assert order.goods_refunded_cents == 4500
    assert order.refunds[0].tax_cents == 360


def test_refund_lines_of_prices_with_tax_are_reduced_by_it() -> None:
    refund = map_refund(a_refund(amount="54.00", lines=[a_refund_line(1, subtotal="54.00", tax="9.00")]))

    assert refund.goods_cents(taxes_included=True, net_sales_cents=9000, total_cents=10800) == 4500


def test_refund_of_an_amount_only_gives_back_its_share_of_the_goods() -> None:
    refund = map_refund(a_refund(amount="50.00", shipping="5.95"))

    # (5000 * 11700 + 6615) // 13231 = 4421
    assert refund.goods_cents(taxes_included=False, net_sales_cents=11700, total_cents=13231) == 4421
    assert refund.goods_cents(taxes_included=False, net_sales_cents=0, total_cents=0) == 0
    assert refund.shipping_cents == 595


def test_cart_attributes_win_over_landing_page_and_landing_page_over_the_last_visit() -> None:
    visit = {
        "id": "gid://shopify/CustomerVisit/77",
        "occurredAt": "2026-11-19T10:00:00Z",
        "source": "google",
        "landingPage": "https://shop.example/?utm_campaign=visit-page",
        "referrerUrl": "https://google.example/",
        "utmParameters": {"source": "visit", "medium": "visit", "campaign": "visit", "content": "c1", "term": None},
    }
    attributes = {
        "_visitor_id": "v-1",
        "_creator_code": "JANE15",
        "_attribution_source": "newsletter",
        "_landing_page": "https://shop.example/p?utm_source=page&utm_medium=mail&gclid=g-1#top",
        "gift": "x" * 600,
    }

    columns = map_order(an_order(attributes=attributes, visit=visit)).columns
    data = columns["attribution_data"]

    assert (columns["utm_source"], columns["utm_medium"], columns["utm_campaign"]) == ("newsletter", "mail", "visit")
    assert (data["visitorId"], data["creatorCode"], data["gclid"], data["utmContent"]) == ("v-1", "JANE15", "g-1", "c1")
    assert data["lastVisit"]["id"] == "77"
    assert data["referrer"] == "https://google.example/"
    assert data["checkoutToken"] == "token-1001"
    assert len(data["attributes"]["gift"]) == 500
    assert "utmTerm" not in data


def test_a_journey_that_is_not_ready_tells_nothing() -> None:
    node = an_order(customerJourneySummary={"ready": False, "lastVisit": None})

    assert "lastVisit" not in map_order(node).columns["attribution_data"]


def test_at_most_fifty_attributes_are_kept() -> None:
    attributes = {f"a{n}": str(n) for n in range(60)}

    assert len(map_order(an_order(attributes=attributes)).columns["attribution_data"]["attributes"]) == 50


def test_hash_is_of_what_is_mapped_and_nothing_else() -> None:
    base = map_order(order_e1()).content_hash
    unmapped: dict[str, Any] = {"updatedAt": "2026-11-21T00:00:00Z", "closedAt": "2026-11-21T00:00:00Z"}

    assert map_order(order_e1(**unmapped)).content_hash == base
    for mapped in ({"tags": ["vip"]}, {"fulfillments": [a_fulfillment()]}, {"refunds": [a_refund()]}):
        assert map_order(order_e1(**mapped)).content_hash != base


def test_a_bulk_root_line_and_a_whole_answer_have_one_hash() -> None:
    whole = order_e1(refunds=[a_refund(lines=[a_refund_line(10011)])], refunded="10.00")
    head = {name: value for name, value in whole["refunds"][0].items() if not name.startswith("refund")}

    root = map_order({**whole, "refunds": [head], "lineItems": whole["lineItems"]["nodes"]}, refund_details=False)

    assert root.content_hash == map_order(whole).content_hash
    assert root.lacks_details
    assert not map_order(whole).lacks_details


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"totalPriceSet": money("21474836.48")}, "AMOUNT_OUT_OF_RANGE"),
        ({"totalRefundedSet": money("-0.01")}, "AMOUNT_OUT_OF_RANGE"),
        ({"lines": [a_line(price="21474836.48")]}, "AMOUNT_OUT_OF_RANGE"),
        ({"refunds": [a_refund(amount="21474836.48")]}, "AMOUNT_OUT_OF_RANGE"),
        ({"refunds": [a_refund(lines=[a_refund_line(subtotal="21474836.48")])]}, "AMOUNT_OUT_OF_RANGE"),
        ({"refunds": [a_refund(lines=[a_refund_line(subtotal="-0.01")])]}, "AMOUNT_OUT_OF_RANGE"),
        ({"refunds": [a_refund(lines=[a_refund_line(tax="-0.01")])]}, "AMOUNT_OUT_OF_RANGE"),
        ({"totalTaxSet": money("abc")}, "ORDER_UNMAPPABLE"),
        ({"totalTaxSet": None}, "ORDER_UNMAPPABLE"),
        ({"displayFinancialStatus": "NEW_WORD"}, "ORDER_UNMAPPABLE"),
        ({"processedAt": "yesterday"}, "ORDER_UNMAPPABLE"),
        ({"updatedAt": "2026-11-20T10:00:00"}, "ORDER_UNMAPPABLE"),
        ({"legacyResourceId": "abc"}, "ORDER_UNMAPPABLE"),
    ],
)
def test_an_order_that_cannot_be_stored_is_refused_by_id_only(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(Permanent) as refused:
        map_order(an_order(email="secret@example.com", **fields))

    assert refused.value.code == code
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("line", [a_refund_line(subtotal="21474836.48"), a_refund_line(tax="-0.01")])
def test_a_refund_that_cannot_be_stored_is_refused_alone_too(line: dict[str, Any]) -> None:
    with pytest.raises(Permanent) as refused:
        map_refund(a_refund(lines=[line]))

    assert refused.value.code == "AMOUNT_OUT_OF_RANGE"


def test_largest_amount_fits() -> None:
    assert map_order(an_order(total="21474836.47")).columns["total_cents"] == 2_147_483_647
