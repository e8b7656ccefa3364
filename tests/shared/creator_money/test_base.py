"""What an order is worth to its creator: formulas by hand, and the rows that feed them."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from shared.creator_money import CommissionBase, Terms, commission_base, commission_cents
from tests.builders.creators import add_creator
from tests.conftest import Rows
from tests.shared.creator_money.conftest import InSession

TEN = Terms(Decimal("10.00"), "net")


@pytest.mark.parametrize(
    ("percent", "base", "commission"),
    [
        ("5.00", 1050, 53),  # 52.5, half up
        ("12.50", 10555, 1319),  # 1319.375
        ("2.50", 1030, 26),  # 25.75
        ("10.00", 11700, 1170),
        ("10.00", 7279, 728),  # 727.9
        ("0.01", 4999, 0),  # 0.4999
        ("0.01", 5000, 1),  # 0.5, half up
        ("100.00", 2_147_483_647, 2_147_483_647),
    ],
)
def test_percent_of_the_base_is_rounded_half_up(percent: str, base: int, commission: int) -> None:
    assert commission_cents(Terms(Decimal(percent), "net"), full_cents=base, base_cents=base) == commission


@pytest.mark.parametrize(
    ("full", "base", "commission"),
    [
        (11700, 11700, 500),
        (11700, 7200, 308),  # (500 * 7200 + 5850) // 11700 = 3605850 // 11700; 307.69...
        (100, 75, 375),
        (3, 1, 167),  # 166.67
        (11700, 0, 0),
        (0, 0, 0),
    ],
)
def test_fixed_amount_shrinks_with_the_base(full: int, base: int, commission: int) -> None:
    assert commission_cents(Terms(Decimal(0), "net", 500), full_cents=full, base_cents=base) == commission


def add_order(rows: Rows, id: str = "1001", *, synced: bool = True, **columns: Any) -> None:
    """E1 as the sync stores it: lines of 90.00 and 27.00 net, discounts 10.00 and 3.00, tax 9.36, shipping 5.95."""
    facts = {
        "id": id,
        "order_number": f"#{id}",
        "shopify_id": id,
        "shopify_order_id": id,
        "financial_status": "paid",
        "total_cents": 13231,
        "tax_cents": 936,
        "shipping_cents": 595,
        "discount_cents": 1300,
        **columns,
    }
    names, marks = ", ".join(facts), ", ".join(f"%({name})s" for name in facts)
    rows.execute(f"INSERT INTO orders ({names}) VALUES ({marks})", facts)  # noqa: S608
    if not synced:
        return
    rows.execute(
        "INSERT INTO order_sync_marks (shopify_order_id, order_id, shopify_updated_at, content_hash)"
        " VALUES (%s, %s, now(), 'x')",
        (id, id),
    )
    add_line(rows, id, "1", net=9000, discount=1000)
    add_line(rows, id, "2", net=2700, discount=300)


def add_line(
    rows: Rows, order_id: str, no: str, *, net: int, discount: int = 0, gift_card: bool = False, product: str = "7"
) -> None:
    rows.execute(
        "INSERT INTO order_line_items (id, order_shopify_id, shopify_line_item_id, title, net_cents, discount_cents,"
        " is_gift_card, product_id) VALUES (%(id)s, %(order)s, %(id)s, 'x', %(net)s, %(discount)s, %(gift)s, %(p)s)",
        {"id": order_id + no, "order": order_id, "net": net, "discount": discount, "gift": gift_card, "p": product},
    )


def add_refund(rows: Rows, order_id: str, id: str, *, amount: int, lines: dict[str, int] | None = None) -> None:
    """A refund; `lines`: number of the line -> goods in cents."""
    rows.execute(
        "INSERT INTO refunds (id, shopify_refund_id, order_shopify_id, amount_cents) VALUES (%s, %s, %s, %s)",
        (id, id, order_id, amount),
    )
    for no, cents in (lines or {}).items():
        rows.execute(
            "INSERT INTO refund_line_items (refund_id, shopify_line_item_id, amount_cents) VALUES (%s, %s, %s)",
            (id, order_id + no, cents),
        )


def worth(in_session: InSession, terms: Terms = TEN, id: str = "1001") -> CommissionBase:
    found: dict[str, CommissionBase] = in_session(lambda s: commission_base(s, [id], terms={id: terms}))
    return found[id]


def figures(found: CommissionBase) -> tuple[int, int, int]:
    """B, base, commission."""
    return found.full_cents, found.base_cents, found.commission_cents


def test_base_is_the_goods_after_discounts(rows: Rows, in_session: InSession) -> None:
    add_order(rows)

    found = worth(in_session)

    assert figures(found) == (11700, 11700, 1170)
    assert (found.void, found.refunded_base_cents) == (None, 0)
    assert figures(worth(in_session, Terms(Decimal(10), "gross"))) == (13000, 13000, 1300)


def test_refunds_of_lines_and_of_amounts_add_up(rows: Rows, in_session: InSession) -> None:
    add_order(rows)
    add_refund(rows, "1001", "r1", amount=4860, lines={"1": 4500})
    add_refund(rows, "1001", "r2", amount=1000)
    add_refund(rows, "1001", "r3", amount=500)

    found = worth(in_session)

    # 4500 + (1000 * 11700 + 6615) // 13231 = 884 + (500 * 11700 + 6615) // 13231 = 442
    assert figures(found) == (11700, 11700 - 4500 - 884 - 442, 587)
    # on the gross basis the goods that went back are the same: 13000 - 5826 = 7174
    assert figures(worth(in_session, Terms(Decimal(10), "gross"))) == (13000, 7174, 717)


def test_lines_that_earn_nothing_give_nothing_back(rows: Rows, in_session: InSession) -> None:
    add_order(rows)
    add_line(rows, "1001", "3", net=5000, gift_card=True)
    add_line(rows, "1001", "4", net=2000, product="99")
    rows.execute(
        """INSERT INTO tenant_config (key, value) VALUES ('commission.rules', '{"excludedProductIds": ["99"]}')"""
    )
    add_refund(rows, "1001", "r1", amount=9000, lines={"3": 5000, "4": 2000, "2": 1000})

    assert figures(worth(in_session)) == (11700, 10700, 1070)


def test_more_refunds_than_goods_leave_nothing(rows: Rows, in_session: InSession) -> None:
    add_order(rows)
    add_refund(rows, "1001", "r1", amount=20000)

    found = worth(in_session)

    assert (figures(found), found.void) == ((11700, 0, 0), "order_refunded")


def test_refund_of_an_order_without_a_total_gives_nothing_back(rows: Rows, in_session: InSession) -> None:
    add_order(rows, total_cents=0)
    add_refund(rows, "1001", "r1", amount=500)

    assert figures(worth(in_session)) == (11700, 11700, 1170)


@pytest.mark.parametrize(
    ("column", "value", "void"),
    [
        ("cancelled_at", "2026-11-20T11:00:00Z", "order_cancelled"),
        ("status", "cancelled", "order_cancelled"),
        ("financial_status", "voided", "order_voided"),
        ("financial_status", "refunded", "order_refunded"),
        ("attribution_data", '{"test": true}', "order_refunded"),
    ],
)
def test_order_that_does_not_stand_earns_nothing(
    rows: Rows, in_session: InSession, column: str, value: str, void: str
) -> None:
    changed: dict[str, Any] = {column: value}
    add_order(rows, **changed)

    found = worth(in_session)

    assert (figures(found), found.void) == ((11700, 0, 0), void)


def test_order_that_was_never_read_from_shopify_counts_by_its_figures(rows: Rows, in_session: InSession) -> None:
    add_order(rows, synced=False)
    rows.execute("INSERT INTO order_line_items (id, order_shopify_id, title) VALUES ('a', '1001', 'an app wrote it')")

    # 13231 - 936 tax - 595 shipping = 11700; with the discounts 13000
    assert figures(worth(in_session)) == (11700, 11700, 1170)
    assert figures(worth(in_session, Terms(Decimal(10), "gross"))) == (13000, 13000, 1300)


def test_order_with_a_mark_that_no_sync_made_counts_by_its_figures_too(rows: Rows, in_session: InSession) -> None:
    # The follow-up of a new order leaves a mark; an app's net_sales_cents has the discount taken off twice.
    add_order(rows, synced=False, net_sales_cents=10400)
    rows.execute(
        "INSERT INTO order_sync_marks (shopify_order_id, order_id, shopify_updated_at, content_hash)"
        " VALUES ('1001', '1001', '1970-01-01Z', '')"
    )

    assert figures(worth(in_session)) == (11700, 11700, 1170)
    assert figures(worth(in_session, Terms(Decimal(10), "gross"))) == (13000, 13000, 1300)


def test_a_commission_s_own_terms_count(rows: Rows, in_session: InSession) -> None:
    add_creator(rows, "c1")
    for id, percent, basis, original in (("1", 12.5, "net", 9), ("2", 10, "gross", 9), ("3", 0, "net", 500)):
        add_order(rows, id)
        rows.execute(
            "INSERT INTO commissions (order_id, order_date, creator_id, net_sales_cents, commission_percent,"
            " commission_cents, basis, original_commission_cents) VALUES (%s, now(), 'c1', 1, %s, 9, %s, %s)",
            (id, percent, basis, original),
        )
        add_refund(rows, id, f"r{id}", amount=4860, lines={"1": 4500})
    add_order(rows, "4")  # no commission

    found = in_session(lambda s: commission_base(s, ["1", "2", "3", "4", "5"], terms={"1": TEN}))

    assert {id: figures(base) for id, base in found.items()} == {
        "1": (11700, 7200, 900),
        "2": (13000, 8500, 850),
        "3": (11700, 7200, 308),
    }


def test_many_orders_at_once_are_each_counted_as_alone(rows: Rows, in_session: InSession) -> None:
    # 40 orders of random lines and refunds, against the rule worked out order by order with plain loops.
    dice = random.Random(11)
    expected: dict[str, tuple[int, int, int]] = {}
    for n in range(40):
        id, total = str(5000 + n), dice.randrange(1, 50_000)
        add_order(rows, id, total_cents=total)
        rows.execute("DELETE FROM order_line_items WHERE order_shopify_id = %s", (id,))
        lines = [(dice.randrange(20_000), dice.randrange(3_000), dice.random() < 0.3) for _ in range(dice.randrange(5))]
        for no, (net, discount, gift) in enumerate(lines):
            add_line(rows, id, f"-{no}", net=net, discount=discount, gift_card=gift)
        whole = sum(net for net, _, gift in lines if not gift)
        gross = whole + sum(discount for _, discount, gift in lines if not gift)
        back = 0
        for r in range(dice.randrange(4)):
            if lines and dice.random() < 0.6:
                taken = {f"-{no}": dice.randrange(net + 1) for no, (net, _, _) in enumerate(lines)}
                add_refund(rows, id, f"{id}r{r}", amount=sum(taken.values()), lines=taken)
                back += sum(cents for no, cents in taken.items() if not lines[int(no[1:])][2])
            else:
                amount = dice.randrange(total + 1)
                add_refund(rows, id, f"{id}r{r}", amount=amount)
                back += (amount * whole + total // 2) // total
        base = max(0, gross - back)
        expected[id] = (gross, base, (base * 1250 + 5000) // 10000)

    terms = dict.fromkeys(expected, Terms(Decimal("12.50"), "gross"))
    found = in_session(lambda s: commission_base(s, list(expected), terms=terms))

    assert {id: figures(each) for id, each in found.items()} == expected
