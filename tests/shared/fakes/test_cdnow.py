"""The purchase log as a shop: true to the cent, and the same every time."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.fakes.cdnow import CREATOR_CODES, PurchaseLog, anchored_last_day, read_log, trickle, whole_log
from shared.fakes.shopify import ShopifyFake
from tests.shared.fakes.conftest import Api

LAST_DAY = date(2026, 11, 19)
MADE_UP = """ customer_id  date number_of_cds  dollar_value
 00001 19970101  1   11.77
 00002 19970112  3   10.00
 00002 19980630  2   77.00
 00003 19980630  5    0.00
"""


@pytest.fixture
def made_up(tmp_path: Path) -> PurchaseLog:
    """A log of four purchases in the format of the file."""
    path = tmp_path / "log.txt"
    path.write_text(MADE_UP, encoding="ascii")
    return read_log(path)


def hundredths(bag: dict[str, Any]) -> int:
    return int(Decimal(bag["shopMoney"]["amount"]) * 100)


def test_file_holds_what_was_published(purchases: PurchaseLog) -> None:
    """69,659 purchases of 23,570 customers, 2,500,315.63 dollars."""
    assert len(purchases) == 69_659
    assert len(set(purchases.customer)) == 23_570
    assert purchases.gross_cents == 250_031_563


def test_orders_keep_customer_pieces_and_dollars(made_up: PurchaseLog) -> None:
    shop = whole_log(made_up, LAST_DAY)
    nodes = [shop.node(facts.legacy_id) for facts in shop.facts()]

    assert [node["name"] for node in nodes] == ["#1001", "#1002", "#1003", "#1004"]
    assert sorted(hundredths(node["totalPriceSet"]) for node in nodes) == [0, 1000, 1177, 7700]
    assert sorted(sum(line["quantity"] for line in node["lineItems"]["nodes"]) for node in nodes) == [1, 2, 3, 5]
    assert len({node["customer"]["id"] for node in nodes}) == 3


def test_days_move_by_one_whole_number_so_that_the_log_ends_on_the_last_day(made_up: PurchaseLog) -> None:
    """1998-06-30 becomes 2026-11-19, so 1997-01-01, 545 days before, becomes 2025-05-23."""
    shop = whole_log(made_up, LAST_DAY)
    days = [shop.node(facts.legacy_id)["createdAt"][:10] for facts in shop.facts()]

    assert days == ["2025-05-23", "2025-06-03", "2026-11-19", "2026-11-19"]


def test_every_order_adds_up(purchases: PurchaseLog) -> None:
    """Every 23rd order: lines less allocations are the total to the cent, refunds stay below, nothing lies ahead."""
    shop = whole_log(purchases, LAST_DAY)
    seen: Counter[str] = Counter()
    for facts in list(shop.facts())[::23]:
        node = shop.node(facts.legacy_id)
        total = hundredths(node["totalPriceSet"])
        net = 0
        for line in node["lineItems"]["nodes"]:
            assert hundredths(line["originalUnitPriceSet"]) * line["quantity"] == hundredths(line["originalTotalSet"])
            allocated = sum(hundredths(each["allocatedAmountSet"]) for each in line["discountAllocations"])
            net += hundredths(line["originalTotalSet"]) - allocated
        refunded = sum(hundredths(refund["totalRefundedSet"]) for refund in node["refunds"])
        assert net == total == hundredths(node["subtotalPriceSet"]) == shop.total_cents(facts.legacy_id)
        assert refunded == hundredths(node["totalRefundedSet"]) <= total
        assert (node["displayFinancialStatus"] == "REFUNDED") == (0 < refunded == total)
        assert node["createdAt"] < node["updatedAt"] < "2026-11-20"
        assert facts.updated_s == datetime.fromisoformat(node["updatedAt"]).timestamp()
        seen[node["displayFinancialStatus"]] += 1
        seen["code"] += node["discountCodes"] != []
        seen["link"] += node["customerJourneySummary"]["lastVisit"] is not None
    assert min(seen[status] for status in ("PAID", "REFUNDED", "PARTIALLY_REFUNDED", "VOIDED")) > 20
    assert (0.08 < seen["code"] / 3029 < 0.16, 0.35 < seen["link"] / 3029 < 0.45) == (True, True)


def test_codes_and_links_belong_to_the_customer(purchases: PurchaseLog) -> None:
    shop = whole_log(purchases, LAST_DAY)
    by_customer: dict[str, set[tuple[str, ...]]] = {}
    for facts in list(shop.facts())[-5000:]:
        node = shop.node(facts.legacy_id)
        if hundredths(node["totalPriceSet"]):
            by_customer.setdefault(node["customer"]["id"], set()).add(tuple(node["discountCodes"]))

    assert all(len(codes) == 1 for codes in by_customer.values())
    assert {code for codes in by_customer.values() for (code, *_) in filter(None, codes)} == set(CREATOR_CODES)


def test_link_carries_utm_tags_and_a_click_id(purchases: PurchaseLog) -> None:
    shop = whole_log(purchases, LAST_DAY)
    nodes = (shop.node(facts.legacy_id) for facts in shop.facts())
    visit = next(node for node in nodes if "gclid" in str(node["customAttributes"]))
    page = next(each["value"] for each in visit["customAttributes"] if each["key"] == "_landing_page")

    assert set(parse_qs(urlsplit(page).query)) == {"utm_source", "utm_medium", "utm_campaign", "gclid"}
    assert visit["customerJourneySummary"]["lastVisit"]["utmParameters"]["source"] == "google"


def test_refunds_are_found_by_their_id(purchases: PurchaseLog) -> None:
    shop = whole_log(purchases, LAST_DAY)
    order = next(node for node in map(shop.node, range(shop.first_id, shop.first_id + 999)) if node["refunds"])
    refund_id = int(order["refunds"][0]["legacyResourceId"])

    assert shop.order_of_refund(refund_id) == int(order["legacyResourceId"])
    assert shop.order_of_refund(refund_id + 1) is None


def test_two_readings_are_equal_and_last_purchases_keep_their_dollars(purchases: PurchaseLog) -> None:
    one, two = trickle(purchases, LAST_DAY), trickle(purchases, LAST_DAY)
    whole = whole_log(purchases, LAST_DAY)
    pairs = [(one.node(each.legacy_id), two.node(each.legacy_id)) for each in one.facts()]

    assert len(pairs) == 500
    assert all(first == second for first, second in pairs)
    assert (
        one.gross_cents == sum(list(whole._log.cents)[-500:]) == sum(hundredths(n["totalPriceSet"]) for n, _ in pairs)
    )
    assert not {each.legacy_id for each in one.facts()} & {each.legacy_id for each in whole.facts()}


def test_webhooks_come_twice_and_out_of_order_but_always_the_same(purchases: PurchaseLog) -> None:
    shop = trickle(purchases, LAST_DAY)

    sent = shop.webhooks("demo-two.myshopify.com", 50)

    places = {(webhook.body["id"], webhook.topic): at for at, webhook in reversed(list(enumerate(sent)))}
    late = [shop.first_id + nth for nth in range(50) if nth % 5 == 3]
    assert sent == shop.webhooks("demo-two.myshopify.com", 50)
    assert Counter(webhook.topic for webhook in sent) == {"orders/create": 57, "orders/updated": 57}  # 50 and 7 again
    assert len({webhook.event_id for webhook in sent}) == 100
    assert all(places[order, "orders/updated"] < places[order, "orders/create"] for order in late)
    assert all(datetime.fromisoformat(each.body["updated_at"]) == each.triggered_at for each in sent)


def test_last_day_is_yesterday_at_first_and_stays(tmp_path: Path) -> None:
    assert anchored_last_day(tmp_path, datetime(2026, 11, 20, 0, 5, tzinfo=UTC)) == date(2026, 11, 19)
    assert anchored_last_day(tmp_path, datetime(2026, 11, 23, tzinfo=UTC)) == date(2026, 11, 19)


def test_shop_over_the_log_is_searched_counted_and_changed(fake: ShopifyFake, made_up: PurchaseLog) -> None:
    shop = fake.shop("acme.myshopify.com", base=whole_log(made_up, LAST_DAY))
    api = Api(fake.base_url)
    window = "created_at:>='2026-11-01T00:00:00Z' status:any"

    assert api("query Q($q: String) {ordersCount(query: $q){count}}", {"q": window}).data["ordersCount"]["count"] == 2
    shop.update_order(4_000_000_001, note="changed")
    shop.remove_order(4_000_000_002)

    assert api("{ordersCount{count}}").data["ordersCount"]["count"] == 3
    assert fake.totals() == [{"domain": "acme.myshopify.com", "orders": 3, "grossCents": 11_77 + 77_00}]
    nodes = api(
        '{nodes(ids: ["gid://shopify/Order/4000000001", "gid://shopify/Order/4000000002"]){... on Order{note}}}'
    )
    assert nodes.data["nodes"] == [{"note": "changed"}, None]


def test_row_of_another_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("heading\n1 19970101 1\n", encoding="ascii")

    with pytest.raises(ValueError, match="line 2: expected 4 columns, found 3"):
        read_log(path)
