"""The commission of one order: booked, lowered, rejected, and left alone once it has matured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from shared.events.orders import OrderCommission
from shared.fakes.shopify import Shop
from shared.jobs.context import Tenant
from shared.jobs.registry import Registry
from shared.jobs.testing import Bench, Deliver, Delivered, ManualClock
from tests.builders.creators import JANE, add_creator
from tests.builders.orders import Node, a_line, a_refund, a_refund_line, order_e1
from tests.conftest import Rows

QUEUE = "order-processing"
LATER = "2026-11-20T10:05:00Z"
Synced = Callable[[Node], Delivered]
JANES: dict[str, Any] = {"discountCodes": ["JANE15"]}


def commission(deliver: Deliver, **more: Any) -> Delivered:
    return deliver(OrderCommission(order_id="1001"), **more)


def configure(rows: Rows, settings: str) -> None:
    """The tenant's commission.rules, as JSON."""
    rows.execute("INSERT INTO tenant_config (key, value) VALUES ('commission.rules', %s)", (settings,))


def one(rows: Rows, sql: str) -> dict[str, Any]:
    (row,) = rows(sql)
    return row


def mirror(rows: Rows) -> dict[str, Any]:
    return one(
        rows,
        "SELECT type, amount_cents, available_at, metadata, balance_after_cents, order_id, commission_id"
        " FROM public.creator_balance_transactions",
    )


def one_piece_back(**fields: Any) -> Node:
    """E1 after one piece of A came back: 45.00 of goods and 3.60 of tax."""
    refunds = [a_refund(9001, amount="48.60", lines=[a_refund_line(10011, subtotal="45.00", tax="3.60")])]
    return order_e1(**{**JANES, "updatedAt": LATER, "refunds": refunds, "refunded": "48.60", **fields})


@pytest.fixture
def booked(synced: Synced, deliver: Deliver, jane: str) -> Delivered:
    """E1 with Jane's code, and its commission."""
    synced(order_e1(**JANES))
    return commission(deliver)


# -- booking -----------------------------------------------------------------------------------------------------------


def test_order_with_a_creator_s_code_books_ten_percent_of_net_sales(booked: Delivered, rows: Rows) -> None:
    row = one(rows, "SELECT * FROM commissions")

    assert booked.result == {
        "orderId": "1001",
        "commissionId": row["id"],
        "outcome": "created",
        "commissionCents": 1170,
        "deltaCents": 1170,
    }
    assert booked.emitted == []
    assert (row["order_id"], row["order_number"], row["creator_id"]) == ("1001", "#1001", JANE)
    assert (row["net_sales_cents"], row["commission_cents"], row["original_commission_cents"]) == (11700, 1170, 1170)
    assert (row["refunded_base_cents"], str(row["commission_percent"]), row["rate_source"]) == (0, "10.00", "default")
    assert (row["promo_code"], row["basis"], row["currency"], row["status"]) == ("JANE15", "net", "USD", "pending")
    assert (row["order_date"], row["hold_until"]) == (datetime(2026, 11, 20, 10, tzinfo=UTC), None)
    assert row["metadata"] == {"match": "code", "retroactive": False}


def test_portal_shows_the_pending_commission_until_the_hold_ends(booked: Delivered, rows: Rows) -> None:
    assert mirror(rows) == {
        "type": "commission_pending",
        "amount_cents": 1170,
        "available_at": datetime(2026, 12, 20, 10, tzinfo=UTC),  # order_placed_at + 30 days
        "metadata": {},
        "balance_after_cents": 0,
        "order_id": "1001",
        "commission_id": booked.result["commissionId"],
    }
    assert one(rows, "SELECT pending_cents, balance_cents FROM public.creator_brand_memberships") == {
        "pending_cents": 1170,
        "balance_cents": 0,
    }
    assert one(
        rows,
        "SELECT balance_cents, pending_balance_cents, total_orders, total_revenue_cents, total_commission_cents"
        " FROM creators",
    ) == {
        "balance_cents": 0,
        "pending_balance_cents": 1170,
        "total_orders": 1,
        "total_revenue_cents": 11700,
        "total_commission_cents": 1170,
    }


def test_hold_days_of_the_tenant_count(synced: Synced, deliver: Deliver, jane: str, rows: Rows) -> None:
    rows.execute("INSERT INTO payout_settings (tenant_id, hold_period_days) VALUES ('acme', 7)")
    synced(order_e1(**JANES))

    commission(deliver)

    assert mirror(rows)["available_at"] == datetime(2026, 11, 27, 10, tzinfo=UTC)


def test_creator_without_a_public_identity_has_no_row_in_the_portal(
    synced: Synced, deliver: Deliver, rows: Rows
) -> None:
    add_creator(rows, "c9", "OLD10")
    synced(order_e1(discountCodes=["OLD10"]))

    done = commission(deliver)

    assert (done.result["outcome"], done.result["commissionCents"]) == ("created", 1170)
    assert rows("SELECT id FROM public.creator_balance_transactions") == []
    assert one(rows, "SELECT pending_balance_cents FROM creators") == {"pending_balance_cents": 1170}


def test_another_brand_s_member_has_no_row_in_the_portal(
    synced: Synced, deliver: Deliver, jane: str, rows: Rows, other_tenant: Tenant
) -> None:
    rows.execute("UPDATE public.creator_brand_memberships SET organization_id = %s", (other_tenant.organization_id,))
    synced(order_e1(**JANES))

    commission(deliver)

    assert rows("SELECT id FROM public.creator_balance_transactions") == []
    assert one(rows, "SELECT pending_cents FROM public.creator_brand_memberships") == {"pending_cents": 0}


def test_portal_s_balance_is_what_is_available(synced: Synced, deliver: Deliver, jane: str, rows: Rows) -> None:
    # 5000 earned + 700 bonus - 2000 withdrawn; pending rows do not count.
    rows.execute("""
        INSERT INTO public.creator_balance_transactions (creator_id, brand_id, type, amount_cents, balance_after_cents)
        SELECT m.creator_id, m.organization_id, t.type::balance_transaction_type, t.cents, 0
        FROM public.creator_brand_memberships m,
             (VALUES ('commission_available', 5000), ('bonus', 700), ('withdrawal', 2000), ('commission_pending', 90))
             AS t (type, cents)
    """)
    synced(order_e1(**JANES))

    commission(deliver)

    assert rows("SELECT balance_after_cents FROM public.creator_balance_transactions WHERE commission_id <> ''") == [
        {"balance_after_cents": 3700}
    ]


# -- refunds, cancellation ---------------------------------------------------------------------------------------------


def test_refund_lowers_the_commission_and_its_row_in_the_portal(
    booked: Delivered, synced: Synced, deliver: Deliver, rows: Rows
) -> None:
    synced(one_piece_back())

    done = commission(deliver)
    again = commission(deliver)

    assert (done.result["outcome"], done.result["commissionCents"], done.result["deltaCents"]) == ("updated", 720, -450)
    row = one(rows, "SELECT commission_cents, refunded_base_cents, net_sales_cents, status::text FROM commissions")
    assert list(row.values()) == [720, 4500, 11700, "pending"]
    assert (mirror(rows)["amount_cents"], mirror(rows)["commission_id"]) == (720, booked.result["commissionId"])
    totals = one(
        rows,
        "SELECT pending_balance_cents, total_orders, total_revenue_cents, total_commission_cents FROM creators",
    )
    assert list(totals.values()) == [720, 1, 7200, 720]
    assert one(rows, "SELECT pending_cents FROM public.creator_brand_memberships") == {"pending_cents": 720}
    assert (again.result["outcome"], again.result["commissionCents"], again.result["deltaCents"]) == (
        "unchanged",
        720,
        0,
    )


def test_gross_basis_counts_goods_before_discounts(synced: Synced, deliver: Deliver, jane: str, rows: Rows) -> None:
    configure(rows, '{"basis": "gross"}')
    synced(one_piece_back())

    done = commission(deliver)

    # 13000 before discounts - 4500 = 8500
    assert (done.result["outcome"], done.result["commissionCents"]) == ("created", 850)
    row = one(rows, "SELECT net_sales_cents, refunded_base_cents, original_commission_cents, basis FROM commissions")
    assert list(row.values()) == [13000, 4500, 1300, "gross"]


def test_basis_stays_as_it_was_booked(booked: Delivered, deliver: Deliver, rows: Rows) -> None:
    configure(rows, '{"basis": "gross"}')

    assert commission(deliver).result["outcome"] == "unchanged"


def test_refund_of_an_amount_gives_back_its_share_of_the_goods(
    booked: Delivered, synced: Synced, deliver: Deliver, rows: Rows
) -> None:
    synced(order_e1(**JANES, updatedAt=LATER, refunds=[a_refund(9001, amount="50.00")], refunded="50.00"))

    done = commission(deliver)

    # (5000 * 11700 + 6615) // 13231 = 4421; 11700 - 4421 = 7279
    assert (done.result["commissionCents"], done.result["deltaCents"]) == (728, -442)
    assert one(rows, "SELECT refunded_base_cents FROM commissions") == {"refunded_base_cents": 4421}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cancelledAt": LATER, "cancelReason": "CUSTOMER"}, "order_cancelled"),
        ({"displayFinancialStatus": "VOIDED"}, "order_voided"),
        ({"displayFinancialStatus": "REFUNDED", "refunded": "132.31"}, "order_refunded"),
    ],
)
def test_order_that_falls_through_rejects_the_commission(
    booked: Delivered, synced: Synced, deliver: Deliver, rows: Rows, clock: ManualClock, change: Node, reason: str
) -> None:
    synced(order_e1(**JANES, updatedAt=LATER, **change))

    done = commission(deliver)

    assert (done.result["outcome"], done.result["commissionCents"], done.result["deltaCents"]) == ("rejected", 0, -1170)
    row = one(
        rows,
        "SELECT status::text, rejected_by, rejected_reason, rejected_at, commission_cents, refunded_base_cents,"
        " original_commission_cents FROM commissions",
    )
    assert list(row.values()) == ["rejected", "system", reason, clock.now(), 0, 11700, 1170]
    shown = mirror(rows)
    assert (shown["amount_cents"], shown["available_at"], shown["metadata"]) == (0, clock.now(), {"voided": True})
    totals = one(
        rows,
        "SELECT pending_balance_cents, total_orders, total_revenue_cents, total_commission_cents FROM creators",
    )
    assert list(totals.values()) == [0, 0, 0, 0]
    assert commission(deliver).result["outcome"] == "unchanged"


def test_order_that_stands_again_takes_the_rejection_back(
    booked: Delivered, synced: Synced, deliver: Deliver, rows: Rows
) -> None:
    synced(order_e1(**JANES, updatedAt=LATER, cancelledAt=LATER, cancelReason="OTHER"))
    commission(deliver)
    synced(order_e1(**JANES, updatedAt="2026-11-20T10:10:00Z"))

    done = commission(deliver)

    assert (done.result["outcome"], done.result["commissionCents"]) == ("updated", 1170)
    row = one(rows, "SELECT status::text, rejected_by, rejected_reason, rejected_at FROM commissions")
    assert list(row.values()) == ["pending", None, None, None]
    shown = mirror(rows)
    assert (shown["amount_cents"], shown["available_at"], shown["metadata"]) == (
        1170,
        datetime(2026, 12, 20, 10, tzinfo=UTC),
        {},
    )
    assert one(rows, "SELECT total_orders FROM creators") == {"total_orders": 1}


def test_approved_commission_stays_approved_with_the_smaller_amount(
    booked: Delivered, synced: Synced, deliver: Deliver, rows: Rows
) -> None:
    rows.execute("UPDATE commissions SET status = 'approved', approved_by = 'u1'")
    synced(one_piece_back())

    commission(deliver)

    assert one(rows, "SELECT status::text, approved_by, commission_cents FROM commissions") == {
        "status": "approved",
        "approved_by": "u1",
        "commission_cents": 720,
    }
    assert one(rows, "SELECT pending_balance_cents FROM creators") == {"pending_balance_cents": 720}


@pytest.mark.parametrize(
    ("state", "outcome"),
    [
        ("matured_at = now(), status = 'approved'", "matured"),
        ("status = 'paid'", "matured"),
        ("status = 'rejected', rejected_by = 'u1'", "rejected_by_admin"),
        ("status = 'rejected'", "rejected_by_admin"),
    ],
    ids=["matured", "paid by the app", "rejected by a person", "rejected by someone unnamed"],
)
def test_settled_commission_is_left_alone(
    booked: Delivered, synced: Synced, deliver: Deliver, rows: Rows, state: str, outcome: str
) -> None:
    rows.execute(f"UPDATE commissions SET {state}")  # noqa: S608
    before = rows("SELECT * FROM commissions")
    shown = rows("SELECT * FROM public.creator_balance_transactions")
    totals = rows("SELECT * FROM creators")
    synced(one_piece_back())

    done = commission(deliver)

    assert (done.result["outcome"], done.result["commissionCents"], done.result["deltaCents"]) == (outcome, 1170, 0)
    assert rows("SELECT * FROM commissions") == before
    assert rows("SELECT * FROM public.creator_balance_transactions") == shown
    assert rows("SELECT * FROM creators") == totals


def test_hold_date_of_an_administrator_wins(booked: Delivered, synced: Synced, deliver: Deliver, rows: Rows) -> None:
    rows.execute("UPDATE commissions SET hold_until = '2027-02-01T00:00:00Z'")
    synced(one_piece_back())

    commission(deliver)

    assert mirror(rows)["available_at"] == datetime(2027, 2, 1, tzinfo=UTC)


# -- the rate ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code_percent", "own_percent", "percent", "source", "cents"),
    [
        (None, 10, "12.00", "tier", 1404),  # 11700 * 12 %
        (None, 20, "20.00", "creator", 2340),
        (25, 20, "25.00", "code", 2925),
        (0, 20, "0.00", "code", 0),
    ],
)
@pytest.mark.usefixtures("jane")
def test_rate_is_that_of_the_code_else_the_creator_else_the_tier(
    synced: Synced,
    deliver: Deliver,
    rows: Rows,
    code_percent: int | None,
    own_percent: int,
    percent: str,
    source: str,
    cents: int,
) -> None:
    tiers = [
        {"tier": str(n), "min_lifetime_cents": least, "rate_percent": rate}
        for n, (least, rate) in enumerate([(0, 10), (100000, 12), (500000, 15)])
    ]
    rows.execute("INSERT INTO commission_config (tier_rates) VALUES (%s)", (Jsonb(tiers),))
    rows.execute(
        "INSERT INTO commissions (order_id, order_date, creator_id, net_sales_cents, commission_percent,"
        " commission_cents, status) VALUES ('before', '2026-11-01Z', %s, 100000, 10, 10000, 'paid')",
        (JANE,),
    )
    rows.execute("UPDATE promo_code_metadata SET commission_percent = %s", (code_percent,))
    rows.execute("UPDATE creators SET commission_rate_pct = %s", (own_percent,))
    synced(order_e1(**JANES))

    commission(deliver)

    row = one(rows, "SELECT * FROM commissions WHERE order_id = '1001'")
    assert (str(row["commission_percent"]), row["rate_source"], row["commission_cents"]) == (percent, source, cents)


@pytest.mark.usefixtures("jane")
def test_fixed_amount_per_order_shrinks_with_what_comes_back(synced: Synced, deliver: Deliver, rows: Rows) -> None:
    rows.execute("""UPDATE creators SET commission_type = 'fixed', metadata = '{"commissionFixedCents": 500}'""")
    synced(order_e1(**JANES))
    booked = commission(deliver)
    synced(one_piece_back())

    lowered = commission(deliver)

    assert (booked.result["commissionCents"], lowered.result["commissionCents"]) == (500, 308)  # 500 * 7200 / 11700
    row = one(rows, "SELECT commission_percent, original_commission_cents, refunded_base_cents FROM commissions")
    assert (str(row["commission_percent"]), row["original_commission_cents"], row["refunded_base_cents"]) == (
        "0.00",
        500,
        4500,
    )


def test_rate_stays_as_it_was_booked(booked: Delivered, synced: Synced, deliver: Deliver, rows: Rows) -> None:
    rows.execute("UPDATE creators SET commission_rate_pct = 30")
    synced(one_piece_back())

    assert commission(deliver).result["commissionCents"] == 720


@pytest.mark.usefixtures("jane")
def test_totals_that_outgrow_their_columns_stop_no_commission(synced: Synced, deliver: Deliver, rows: Rows) -> None:
    # Hundredths of a yen: 140,000 dollars of sales fill an integer.
    rows.execute("UPDATE creators SET total_revenue_cents = 2147483000, total_commission_cents = 100")
    rows.execute(
        "INSERT INTO commissions (order_id, order_date, creator_id, net_sales_cents, commission_percent,"
        " commission_cents) VALUES ('before', '2026-11-01Z', %s, 2147483000, 100, 2147483000)",
        (JANE,),
    )
    synced(order_e1(**JANES))

    assert commission(deliver).result["outcome"] == "created"
    assert one(rows, "SELECT total_revenue_cents, total_commission_cents, pending_balance_cents FROM creators") == {
        "total_revenue_cents": 2147483647,
        "total_commission_cents": 1270,
        "pending_balance_cents": 2147483647,
    }


# -- whose order -------------------------------------------------------------------------------------------------------


def test_codes_are_tried_in_the_order_s_own_order(synced: Synced, deliver: Deliver, jane: str, rows: Rows) -> None:
    add_creator(rows, "c2", "TOM5")
    synced(order_e1(discountCodes=["SUMMER", " jane15 ", "TOM5"]))

    commission(deliver)

    assert rows("SELECT creator_id, promo_code FROM commissions") == [{"creator_id": JANE, "promo_code": " jane15 "}]


def test_codes_are_read_as_an_app_has_written_them(synced: Synced, deliver: Deliver, jane: str, rows: Rows) -> None:
    synced(order_e1())
    codes = [{"code": "SUMMER", "amount": "5.00"}, {"code": None}, 7, {"code": "JANE15"}]
    rows.execute("UPDATE orders SET discount_codes = %s", (Jsonb(codes),))

    assert commission(deliver).result["outcome"] == "created"
    assert one(rows, "SELECT promo_code FROM commissions") == {"promo_code": "JANE15"}


def test_code_that_comes_later_does_not_change_the_creator(
    booked: Delivered, synced: Synced, deliver: Deliver, rows: Rows
) -> None:
    add_creator(rows, "c2", "TOM5")
    synced(order_e1(discountCodes=["TOM5", "JANE15"], updatedAt=LATER))

    assert commission(deliver).result["outcome"] == "unchanged"
    assert rows("SELECT creator_id FROM commissions") == [{"creator_id": JANE}]


def link(rows: Rows, code: str, at: str | None = None) -> None:
    """A creator's link led to the order."""
    found = {"creatorCode": code, **({"creatorCodeAt": at} if at else {})}
    rows.execute("UPDATE orders SET attribution_data = attribution_data || %s", (Jsonb(found),))


@pytest.mark.parametrize(
    ("at", "outcome"),
    [
        (None, "created"),
        ("2026-10-21T10:00:00Z", "created"),
        ("2026-10-21T09:59:59Z", "no_creator"),
        ("2026-11-20T10:00:01Z", "no_creator"),
        ("some day", "created"),
    ],
    ids=["instant unknown", "30 days before", "earlier", "after the order", "unreadable"],
)
@pytest.mark.usefixtures("jane")
def test_link_counts_for_thirty_days(
    synced: Synced, deliver: Deliver, rows: Rows, at: str | None, outcome: str
) -> None:
    synced(order_e1())
    link(rows, "jane15", at)

    assert commission(deliver).result["outcome"] == outcome
    if outcome == "created":
        assert one(rows, "SELECT promo_code, metadata FROM commissions") == {
            "promo_code": None,
            "metadata": {"match": "link", "retroactive": False},
        }


def test_used_code_beats_a_link(synced: Synced, deliver: Deliver, jane: str, rows: Rows) -> None:
    add_creator(rows, "c2", "TOM5")
    synced(order_e1(**JANES))
    link(rows, "TOM5")

    commission(deliver)

    assert rows("SELECT creator_id FROM commissions") == [{"creator_id": JANE}]


# -- orders that earn nothing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["terminated", "pending", "inactive"])
def test_code_of_a_creator_who_takes_no_part_ends_the_search(
    synced: Synced, deliver: Deliver, jane: str, rows: Rows, status: str
) -> None:
    add_creator(rows, "c2", "GONE", status=status)
    synced(order_e1(discountCodes=["GONE", "JANE15"]))

    assert commission(deliver).result == {
        "orderId": "1001",
        "outcome": "creator_inactive",
        "commissionCents": 0,
        "deltaCents": 0,
    }


@pytest.mark.parametrize(
    ("node", "settings", "outcome"),
    [
        ({"discountCodes": []}, "{}", "no_creator"),
        ({"discountCodes": ["NOBODY"]}, "{}", "no_creator"),
        ({"email": f"{JANE.upper()}@creators.example"}, "{}", "self_purchase"),
        ({"email": f"{JANE}@creators.example"}, '{"excludeSelfPurchase": false}', "created"),
        ({"sourceName": "subscription_contract"}, "{}", "renewal"),
        ({"sourceName": "subscription_contract_checkout_one"}, "{}", "renewal"),
        ({"tags": ["x", "Subscription Recurring Order"]}, "{}", "renewal"),
        ({"sourceName": "subscription_contract"}, '{"includeRenewals": true}', "created"),
        ({"sourceName": "subscription_contract"}, '{"renewalSources": ["pos"]}', "created"),
        ({"processedAt": "2026-08-22T12:01:01Z"}, "{}", "created"),
        ({"processedAt": "2026-08-22T12:01:00Z"}, "{}", "too_old"),
        ({"displayFinancialStatus": "PENDING"}, "{}", "awaiting_payment"),
        ({"displayFinancialStatus": "AUTHORIZED"}, "{}", "awaiting_payment"),
        ({"displayFinancialStatus": "PARTIALLY_PAID"}, "{}", "created"),
        ({"cancelledAt": LATER, "cancelReason": "OTHER"}, "{}", "nothing_to_pay"),
        ({}, '{"excludedProductIds": ["gid://shopify/Product/10111", 10112]}', "nothing_to_pay"),
    ],
)
@pytest.mark.usefixtures("jane")
def test_outcome_of_a_first_event(
    synced: Synced, deliver: Deliver, rows: Rows, clock: ManualClock, node: Node, settings: str, outcome: str
) -> None:
    configure(rows, settings)
    synced(order_e1(**{**JANES, **node}))  # the clock stands at 12:01:01 afterwards

    done = commission(deliver)

    assert done.result["outcome"] == outcome
    assert len(rows("SELECT id FROM commissions")) == (1 if outcome == "created" else 0)


@pytest.mark.parametrize(
    ("column", "placed_at", "outcome"),
    [
        ("auto_retroactive, retroactive_lookback_days) VALUES (true, 10", "2026-11-10T12:01:00Z", "too_old"),
        ("auto_retroactive, retroactive_lookback_days) VALUES (true, 10", "2026-11-10T12:01:01Z", "created"),
        ("auto_retroactive) VALUES (false", "2026-11-17T12:01:00Z", "too_old"),
        ("auto_retroactive) VALUES (false", "2026-11-17T12:01:01Z", "created"),
    ],
    ids=["10 days back", "within", "no retrospect: 72 h", "within 72 h"],
)
@pytest.mark.usefixtures("jane")
def test_how_far_back_is_the_tenant_s_choice(
    synced: Synced, deliver: Deliver, rows: Rows, column: str, placed_at: str, outcome: str
) -> None:
    rows.execute(f"INSERT INTO commission_config ({column})")
    synced(order_e1(**JANES, processedAt=placed_at))

    assert commission(deliver).result["outcome"] == outcome
    if outcome == "created":
        retroactive = placed_at < "2026-11-17T12:01:01Z"
        assert one(rows, "SELECT metadata FROM commissions")["metadata"]["retroactive"] is retroactive


@pytest.mark.usefixtures("jane")
def test_gift_cards_earn_nothing(synced: Synced, deliver: Deliver, rows: Rows) -> None:
    lines = [a_line(1, price="50.00", isGiftCard=True), a_line(2, price="100.00")]
    synced(order_e1(**JANES, lines=lines, subtotal="150.00", tax="0.00", shipping="0.00", total="150.00"))

    done = commission(deliver)

    assert done.result["commissionCents"] == 1000
    assert one(rows, "SELECT net_sales_cents FROM commissions") == {"net_sales_cents": 10000}


@pytest.mark.usefixtures("jane")
def test_test_order_earns_nothing(synced: Synced, deliver: Deliver, rows: Rows) -> None:
    rows.execute("""INSERT INTO tenant_config (key, value) VALUES ('orders.sync', '{"includeTest": true}')""")
    synced(order_e1(**JANES, test=True))

    assert commission(deliver).result["outcome"] == "nothing_to_pay"


@pytest.mark.usefixtures("jane")
def test_commission_is_in_the_order_s_currency(synced: Synced, deliver: Deliver, rows: Rows) -> None:
    synced(order_e1(**JANES))
    rows.execute("UPDATE orders SET currency = 'EUR'")

    commission(deliver)

    assert rows(
        "SELECT currency FROM commissions UNION ALL SELECT currency FROM public.creator_balance_transactions"
    ) == [
        {"currency": "EUR"},
        {"currency": "EUR"},
    ]


# -- errors ------------------------------------------------------------------------------------------------------------


def test_order_that_we_do_not_hold_is_asked_for_and_the_event_comes_back(
    deliver: Deliver, shop: Shop, jane: str
) -> None:
    shop.put_order(order_e1(**JANES))

    done = commission(deliver, expect="retrying")
    deliver.bench.drain()

    assert done.code == "ORDER_NOT_READY"
    assert done.emitted == [("order.sync", {"shopifyOrderId": "1001", "source": "job"})]
    outcomes = [r.ending.result["outcome"] for r in deliver.bench.reports if _succeeded(r)]  # type: ignore[union-attr]
    assert "created" in outcomes


def _succeeded(report: Any) -> bool:
    return hasattr(report, "ending") and report.run.job.id == "commerce-order-commission" and report.error is None


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({}, "INVALID_PAYLOAD"),
        ({"orderId": None}, "INVALID_PAYLOAD"),
        ({"orderId": "1001", "orderTotal": "12.00"}, "INVALID_PAYLOAD"),
        ({"orderId": "app-made"}, "ORDER_ID_UNKNOWN"),
    ],
)
def test_message_that_can_never_succeed_is_dead(deliver: Deliver, payload: dict[str, Any], code: str) -> None:
    assert deliver.job("commerce-order-commission", payload, expect="dead").code == code


@pytest.mark.parametrize("hint", [{"orderTotal": -5}, {"orderTotal": 0.0, "discountCode": "OTHER", "currency": "EUR"}])
def test_hints_of_older_publishers_are_ignored(booked: Delivered, deliver: Deliver, hint: dict[str, Any]) -> None:
    done = deliver.job("commerce-order-commission", {"orderId": 1001, **hint})

    assert done.result["outcome"] == "unchanged"


@pytest.mark.usefixtures("jane")
def test_rate_that_is_none_is_dead_and_books_nothing(synced: Synced, deliver: Deliver, rows: Rows) -> None:
    rows.execute("UPDATE promo_code_metadata SET commission_percent = 100.01")
    synced(order_e1(**JANES))

    assert commission(deliver, expect="dead").code == "COMMISSION_RATE_INVALID"
    assert rows("SELECT id FROM commissions") == []


# -- two at once -------------------------------------------------------------------------------------------------------


def test_two_events_at_the_same_time_book_once(
    synced: Synced,
    make_bench: Callable[..., Bench],
    registry: Registry,
    tenant: Tenant,
    jane: str,
    rows: Rows,
    admin_url: str,
) -> None:
    synced(order_e1(**JANES))
    done: list[Delivered] = []
    deliveries = [Deliver(make_bench(registry), tenant) for _ in range(2)]

    def work(deliver: Deliver, key: str) -> None:
        done.append(commission(deliver, key=key))

    threads = [threading.Thread(target=work, args=(d, key)) for d, key in zip(deliveries, "ab", strict=True)]
    with psycopg.connect(admin_url) as blocker:
        blocker.execute("SELECT id FROM tenant_acme.creators FOR UPDATE")
        for thread in threads:
            thread.start()
        _wait_for(rows, "SELECT count(*) AS n FROM pg_stat_activity WHERE wait_event_type = 'Lock'", 2)
    for thread in threads:
        thread.join(30)

    assert sorted(d.result["outcome"] for d in done) == ["created", "unchanged"]
    assert len(rows("SELECT id FROM commissions")) == 1
    assert mirror(rows)["amount_cents"] == 1170
    assert one(rows, "SELECT total_orders, total_revenue_cents, pending_balance_cents FROM creators") == {
        "total_orders": 1,
        "total_revenue_cents": 11700,
        "pending_balance_cents": 1170,
    }


def _wait_for(rows: Rows, sql: str, n: int) -> None:
    """Until both threads stand at a lock; a test that cannot get there fails."""
    for _ in range(500):
        if rows(sql)[0]["n"] >= n:
            return
        time.sleep(0.01)
    raise AssertionError("the two runs never met")
