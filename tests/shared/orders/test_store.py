"""The one way in which an order reaches our tables, on a real database: guards, rows, codes, announcements."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.db.connections import connect
from shared.db.sessions import tenant_transaction
from shared.events import Event
from shared.jobs.context import Tenant
from shared.jobs.errors import Transient
from shared.orders.mapping import map_order, map_refund
from shared.orders.marks import mark_gone
from shared.orders.store import StoreCounts, store_orders, store_refund_details
from tests.builders.orders import Node, a_fulfillment, a_line, a_refund, a_refund_line, an_order, order_e1
from tests.conftest import Rows
from tests.shared.orders.conftest import EmittingSession, InSession

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
LATER = "2026-11-20T10:05:00Z"
LONG_AGO: dict[str, Any] = {"createdAt": "2026-05-04T10:00:00Z", "processedAt": "2026-05-04T10:00:00Z"}


@dataclass
class Stored:
    """What one call of store_orders did."""

    counts: StoreCounts
    emitted: list[tuple[Event, str | None]]
    statements: list[str]

    @property
    def names(self) -> list[str]:
        return [event.event_name for event, _ in self.emitted]

    def one(self, name: str) -> dict[str, Any]:
        (found,) = [event.wire() for event, _ in self.emitted if event.event_name == name]
        return found


Store = Callable[..., Stored]


@pytest.fixture
def store(in_session: InSession, tenant: Tenant) -> Store:
    """Stores nodes in one transaction; keywords go to store_orders, `details` to map_order."""

    def run(nodes: Sequence[Node] | Node, *, details: bool = True, now: datetime = NOW, **more: Any) -> Stored:
        given = [nodes] if isinstance(nodes, dict) else nodes
        orders = [map_order(node, refund_details=details) for node in given]

        def work(session: EmittingSession) -> Stored:
            options = {"source": "webhook", "announce": "recent", **more}
            counts = store_orders(session, orders, tenant=tenant, now=now, **options)
            return Stored(counts, session.emitted, session.statements)

        result: Stored = in_session(work)
        return result

    return run


@pytest.fixture
def jane(rows: Rows) -> None:
    """Creator c1 with the promo code JANE15 and the referral code jane."""
    rows.execute(
        "INSERT INTO creators (id, email, first_name, last_name, status, referral_code)"
        " VALUES ('c1', 'jane@x.com', 'Jane', 'Doe', 'approved', 'jane')"
    )
    rows.execute("INSERT INTO promo_code_metadata (id, code, creator_id) VALUES ('p1', 'JANE15', 'c1')")


def with_refund(**fields: Any) -> Node:
    """E1 after one piece of A came back: 45.00 of goods, 3.60 of tax."""
    line = a_refund_line(10011, subtotal="45.00", tax="3.60")
    refunds = [a_refund(9001, amount="48.60", lines=[line])]
    return order_e1(**{"updatedAt": LATER, "refunds": refunds, "refunded": "48.60", **fields})


# -- rows --------------------------------------------------------------------------------------------------------------


def test_new_order_has_one_id_everywhere(store: Store, rows: Rows) -> None:
    stored = store(order_e1(fulfillments=[a_fulfillment(7)]))

    assert stored.counts.by_id == {"1001": "created"}
    (order,) = rows("SELECT * FROM orders")
    assert (order["id"], order["shopify_order_id"], order["shopify_id"]) == ("1001", "1001", "1001")
    assert (order["customer_id"], order["customer_email"]) == ("501", "jane@example.com")
    assert (order["net_sales_cents"], order["total_cents"]) == (11700, 13231)
    lines = rows("SELECT * FROM order_line_items ORDER BY position")
    assert [(x["id"], x["order_shopify_id"], x["price_cents"], x["net_cents"]) for x in lines] == [
        ("10011", "1001", 5000, 9000),
        ("10012", "1001", 3000, 2700),
    ]
    (shipment,) = rows("SELECT * FROM fulfillments")
    assert (shipment["shopify_fulfillment_id"], shipment["order_shopify_id"]) == ("7", "1001")


@pytest.mark.parametrize(
    "columns",
    [
        {"id": "app-1", "shopify_order_id": "1001"},
        {"id": "app-1", "shopify_id": "1001"},
        {"id": "1001"},
    ],
    ids=["by shopify_order_id", "by shopify_id", "by its own id"],
)
def test_an_app_s_row_keeps_its_id_and_gets_both_shopify_columns(
    store: Store, rows: Rows, columns: dict[str, str]
) -> None:
    names = ", ".join(columns)
    marks = ", ".join(f"%({name})s" for name in columns)
    rows.execute(f"INSERT INTO orders ({names}, order_number) VALUES ({marks}, '#1')", columns)  # noqa: S608

    stored = store(order_e1())

    assert stored.counts.by_id == {"1001": "updated"}
    assert stored.counts.order_ids == {"1001": columns["id"]}
    assert rows("SELECT id, shopify_order_id, shopify_id FROM orders") == [
        {"id": columns["id"], "shopify_order_id": "1001", "shopify_id": "1001"}
    ]
    assert stored.one("order.created")["orderId"] == columns["id"]


def test_what_an_app_wrote_first_stays_but_the_raw_attributes_are_shopify_s(store: Store, rows: Rows) -> None:
    rows.execute(
        "INSERT INTO orders (id, order_number, utm_source, attribution_data, created_at) VALUES"
        """ ('1001', '#1', 'app', '{"visitorId": "app-v", "attributes": {"old": "1"}}', '2026-01-01Z')"""
    )

    store(an_order(attributes={"_visitor_id": "v2", "_session_id": "s2", "_attribution_source": "x"}))

    (order,) = rows("SELECT * FROM orders")
    assert order["utm_source"] == "app"
    assert (order["attribution_data"]["visitorId"], order["attribution_data"]["sessionId"]) == ("app-v", "s2")
    assert "old" not in order["attribution_data"]["attributes"]
    assert order["created_at"] == datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("written", ["null", "[]", '"x"'])
def test_marketing_data_that_is_no_object_counts_as_none(store: Store, rows: Rows, written: str) -> None:
    rows.execute("INSERT INTO orders (id, order_number, attribution_data) VALUES ('1001', '#1', %s)", (written,))

    store(an_order(attributes={"_visitor_id": "v2"}))

    assert rows("SELECT attribution_data ->> 'visitorId' AS visitor FROM orders") == [{"visitor": "v2"}]


def test_lines_are_replaced_and_fulfilments_that_shopify_dropped_become_cancelled(store: Store, rows: Rows) -> None:
    store(an_order(lines=[a_line(n) for n in range(1, 131)], fulfillments=[a_fulfillment(1), a_fulfillment(2)]))

    store(an_order(lines=[a_line(n) for n in range(3, 133)], fulfillments=[a_fulfillment(2)], updatedAt=LATER))

    assert rows("SELECT count(*) AS n FROM order_line_items") == [{"n": 130}]
    assert rows("SELECT shopify_fulfillment_id AS id, status FROM fulfillments ORDER BY 1") == [
        {"id": "1", "status": "cancelled"},
        {"id": "2", "status": "success"},
    ]


def test_number_of_statements_does_not_grow_with_the_chunk(store: Store) -> None:
    def chunk(first: int, count: int) -> list[Node]:
        return [
            order_e1(
                n,
                discountCodes=["X"],
                fulfillments=[a_fulfillment(n)],
                refunds=[a_refund(n, lines=[a_refund_line(n * 10 + 1)])],
            )
            for n in range(first, first + count)
        ]

    small, large = store(chunk(1000, 2)), store(chunk(2000, 60))

    assert len(small.statements) == len(large.statements) <= 20
    assert large.counts.created == 60


# -- guards ------------------------------------------------------------------------------------------------------------


def test_the_same_answer_twice_writes_and_says_nothing(store: Store, rows: Rows) -> None:
    store(order_e1())
    before = rows("SELECT updated_at, synced_at FROM orders")

    stored = store(order_e1(updatedAt=LATER), now=NOW + timedelta(minutes=1))

    assert stored.counts.by_id == {"1001": "unchanged"}
    assert stored.emitted == []
    assert rows("SELECT updated_at, synced_at FROM orders") == before
    (mark,) = rows("SELECT * FROM order_sync_marks")
    assert mark["checked_at"] == NOW + timedelta(minutes=1)


def test_an_older_answer_changes_nothing(store: Store, rows: Rows) -> None:
    store(order_e1(updatedAt=LATER, note="of 10:05"))

    stored = store(order_e1(updatedAt="2026-11-20T10:00:00Z", note="of 10:00"))

    assert stored.counts.by_id == {"1001": "stale"}
    assert rows("SELECT notes FROM orders") == [{"notes": "of 10:05"}]


def test_an_order_that_comes_twice_in_a_chunk_counts_once(store: Store, rows: Rows) -> None:
    stored = store([order_e1(note="old"), order_e1(note="new", updatedAt=LATER)])

    assert (stored.counts.created, stored.names.count("order.created")) == (1, 1)
    assert rows("SELECT notes FROM orders") == [{"notes": "new"}]


def test_a_test_order_gets_a_mark_only(store: Store, rows: Rows) -> None:
    stored = store(an_order(test=True))

    assert stored.counts.by_id == {"1001": "test_order"}
    assert (stored.emitted, rows("SELECT id FROM orders")) == ([], [])
    assert rows("SELECT order_id FROM order_sync_marks") == [{"order_id": ""}]
    assert store(an_order(test=True), include_test=True).counts.by_id == {"1001": "created"}


def test_an_app_s_insert_at_the_same_moment_is_transient(store: Store, rows: Rows) -> None:
    # The row that holds this Shopify id in one column is not the row that holds it in the other.
    rows.execute("INSERT INTO orders (id, order_number, shopify_order_id) VALUES ('a', '#1', '1001')")
    rows.execute("INSERT INTO orders (id, order_number, shopify_id) VALUES ('b', '#2', '1001')")

    with pytest.raises(Transient, match="ORDER_CONFLICT"):
        store(order_e1())

    assert rows("SELECT count(*) AS n FROM order_sync_marks") == [{"n": 0}]


def test_two_chunks_that_overlap_wait_for_each_other_and_both_succeed(
    database_url: str, tenant: Tenant, rows: Rows
) -> None:
    barrier = threading.Barrier(2)
    outcomes: dict[str, dict[str, str]] = {}

    def work(name: str, ids: Sequence[int]) -> None:
        orders = [map_order(order_e1(id)) for id in ids]
        with connect(database_url, application_name=name) as connection:
            barrier.wait(10)
            with tenant_transaction(connection, tenant) as session:
                emitting = EmittingSession(session._connection)
                counts = store_orders(emitting, orders, tenant=tenant, now=NOW, source="batch", announce="recent")
            outcomes[name] = dict(counts.by_id)

    ids = list(range(1001, 1041))
    threads = [threading.Thread(target=work, args=(n, i)) for n, i in (("up", ids), ("down", ids[::-1]))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(set(outcomes["up"].values()) | set(outcomes["down"].values())) == ["created", "unchanged"]
    assert rows("SELECT count(*) AS n FROM orders") == [{"n": 40}]


# -- announcements -----------------------------------------------------------------------------------------------------


def test_new_order_is_announced_once_with_its_figures(store: Store) -> None:
    stored = store(order_e1())

    assert stored.one("order.created") == {
        "orderId": "1001",
        "shopifyOrderId": "1001",
        "customerId": "501",
        "totalAmount": 132.31,
        "currency": "USD",
    }
    assert stored.counts.announced == len(stored.emitted) == 1
    assert "order.created" not in store(order_e1(updatedAt=LATER, tags=["x"])).names


@pytest.mark.parametrize(
    ("age", "announced"), [(timedelta(hours=72), True), (timedelta(hours=72, seconds=1), False)], ids=["72 h", "older"]
)
def test_an_order_is_news_for_three_days(store: Store, rows: Rows, age: timedelta, announced: bool) -> None:
    stored = store(order_e1(processedAt=(NOW - age).isoformat()))

    assert ("order.created" in stored.names) is announced
    assert rows("SELECT created_announced_at FROM order_sync_marks") == [{"created_announced_at": NOW}]


def test_announce_none_says_nothing_and_leaves_young_orders_to_be_told(store: Store, rows: Rows) -> None:
    silent = store([order_e1(1), order_e1(2, **LONG_AGO)], announce="none")

    assert silent.emitted == []
    marks = rows("SELECT created_announced_at AS at FROM order_sync_marks ORDER BY shopify_order_id")
    assert [mark["at"] for mark in marks] == [None, NOW]
    assert store([order_e1(n, updatedAt=LATER, tags=["x"]) for n in (1, 2)]).names == ["order.created"]


def test_what_was_stored_in_silence_is_told_by_the_next_who_announces_although_nothing_changed(store: Store) -> None:
    whole = order_e1(fulfillments=[a_fulfillment(7)], cancelledAt=LATER)
    store(whole, announce="none")

    still_silent = store(whole, announce="none")
    told = store(whole)
    again = store(whole)

    assert (still_silent.counts.by_id, still_silent.emitted) == ({"1001": "unchanged"}, [])
    assert sorted(told.names) == ["order.cancelled", "order.created", "order.fulfilled"]
    assert (again.counts.by_id, again.emitted) == ({"1001": "unchanged"}, [])


def test_history_that_was_stored_in_silence_is_unchanged_for_everybody(store: Store) -> None:
    old = order_e1(**LONG_AGO, fulfillments=[a_fulfillment(7, createdAt="2026-05-05T10:00:00Z")])
    store(old, announce="none")

    stored = store(old)

    assert (stored.counts.by_id, stored.emitted) == ({"1001": "unchanged"}, [])


@pytest.mark.usefixtures("jane")
def test_silent_bulk_file_leaves_refund_and_order_to_be_told(
    store: Store, rows: Rows, in_session: InSession, tenant: Tenant
) -> None:
    node = with_refund()
    head = {name: value for name, value in node["refunds"][0].items() if not name.startswith("refund")}
    root = {**node, "refunds": [head]}
    store(root, details=False, announce="none")
    silent = store(root, details=False, announce="none")
    in_session(lambda s: store_refund_details(s, [map_refund(node["refunds"][0])], tenant=tenant, now=NOW))

    told = store(node)

    assert silent.counts.by_id == {"1001": "unchanged"}
    assert sorted(told.names) == ["order.created", "order.refunded"]
    assert store(node).counts.by_id == {"1001": "unchanged"}


def test_cancellation_of_a_known_order_is_told_once(store: Store) -> None:
    store(order_e1(**LONG_AGO))
    cancelled: dict[str, Any] = {**LONG_AGO, "cancelledAt": LATER, "cancelReason": "CUSTOMER", "updatedAt": LATER}

    first = store(order_e1(refunded="132.31", **cancelled))
    again = store(order_e1(refunded="132.31", tags=["x"], **cancelled))

    assert first.one("order.cancelled") == {"orderId": "1001", "reason": "customer", "refundAmount": 132.31}
    assert again.emitted == []


def test_history_is_stamped_silently(store: Store, rows: Rows) -> None:
    stored = store(with_refund(cancelledAt=LATER, **LONG_AGO))

    assert stored.emitted == []
    assert rows("SELECT announced_at FROM refunds") == [{"announced_at": NOW}]
    assert rows("SELECT cancelled_announced_at AS at FROM order_sync_marks") == [{"at": NOW}]


@pytest.mark.usefixtures("jane")
def test_refund_is_told_once_and_has_the_commission_computed_anew(store: Store, rows: Rows) -> None:
    store(order_e1(discountCodes=["JANE15"]))

    stored = store(with_refund(discountCodes=["JANE15"]))
    again = store(with_refund(discountCodes=["JANE15"]))

    assert stored.names == ["order.refunded", "order.commission"]
    assert stored.one("order.refunded") == {
        "orderId": "1001",
        "refundId": "9001",
        "refundAmountCents": 4860,
        "currency": "USD",
    }
    assert again.emitted == []
    (refund,) = rows("SELECT * FROM refunds")
    assert (refund["amount_cents"], refund["goods_cents"], refund["tax_cents"]) == (4860, 4500, 360)
    assert rows("SELECT shopify_line_item_id AS line, amount_cents, tax_cents FROM refund_line_items") == [
        {"line": "10011", "amount_cents": 4500, "tax_cents": 360}
    ]
    assert rows("SELECT refunded_cents FROM orders") == [{"refunded_cents": 4860}]


def test_fulfilment_is_told_once_and_once_more_with_its_delivery(store: Store) -> None:
    tracking = [{"company": "UPS", "number": "1Z", "url": None}]
    arrived = a_fulfillment(7, tracking=tracking, displayStatus="DELIVERED", deliveredAt=LATER)

    first = store(order_e1(fulfillments=[a_fulfillment(7, tracking=tracking)]))
    second = store(order_e1(fulfillments=[arrived], updatedAt=LATER))
    third = store(order_e1(fulfillments=[arrived], tags=["x"], updatedAt=LATER))

    assert first.one("order.fulfilled") == {
        "orderId": "1001",
        "fulfillmentId": "7",
        "trackingNumber": "1Z",
        "carrier": "UPS",
    }
    assert second.one("order.fulfilled")["deliveredAt"] == LATER
    assert [key for _, key in first.emitted + second.emitted if key] == ["order.fulfilled:7", "order.delivered:7"]
    assert third.emitted == []


@pytest.mark.parametrize(
    "fields",
    [{"createdAt": "2026-10-20T00:00:00Z"}, {"status": "CANCELLED"}, {"status": "PENDING"}],
    ids=["31 days old", "cancelled", "pending"],
)
def test_a_fulfilment_that_is_no_news_is_not_told(store: Store, fields: dict[str, Any]) -> None:
    assert "order.fulfilled" not in store(order_e1(fulfillments=[a_fulfillment(7, **fields)])).names


def test_a_customer_that_appears_later_has_the_order_attributed_anew(store: Store) -> None:
    store(order_e1(customer=None))

    stored = store(order_e1(updatedAt=LATER, attributes={"_session_id": "s1"}))

    assert stored.one("order.attribution") == {"orderId": "1001", "customerId": "501", "sessionId": "s1"}
    assert store(order_e1(updatedAt=LATER, attributes={"_session_id": "s1"}, tags=["x"])).emitted == []


@pytest.mark.usefixtures("jane")
@pytest.mark.parametrize(
    ("days", "codes", "told"),
    [
        (3, ["JANE15"], True),
        (89, ["jane15 "], True),
        (89, ["JANE"], True),  # the referral code
        (89, ["SUMMER"], False),
        (2, ["SUMMER"], True),  # young: whoever owns the code may still be told of
        (2, [], False),
        (91, ["JANE15"], False),
        (200, ["JANE15"], False),
    ],
)
def test_commission_of_an_old_order_is_for_creators_only(store: Store, days: int, codes: list[str], told: bool) -> None:
    placed = (NOW - timedelta(days=days)).isoformat()

    stored = store(order_e1(processedAt=placed, discountCodes=codes), announce="none")

    assert stored.names == (["order.commission"] if told else [])


@pytest.mark.usefixtures("jane")
def test_commissions_in_retrospect_can_be_switched_off(store: Store, rows: Rows) -> None:
    rows.execute("INSERT INTO commission_config (auto_retroactive) VALUES (false)")

    assert store(order_e1(discountCodes=["JANE15"], **LONG_AGO), announce="none").emitted == []


@pytest.mark.parametrize("owner", ["influencer", "membership by id", "membership by address"])
def test_whose_code_it_is_is_looked_up_in_every_place(store: Store, rows: Rows, tenant: Tenant, owner: str) -> None:
    person = "11111111-1111-4111-8111-111111111111"
    creator = person if owner == "membership by id" else "c9"
    rows.execute(
        "INSERT INTO creators (id, email, first_name, last_name) VALUES (%s, 'Ann@x.com', 'A', 'B')", (creator,)
    )
    if owner == "influencer":
        rows.execute(
            "INSERT INTO attribution_influencers (tenant_id, name, creator_id, discount_codes)"
            " VALUES ('acme', 'Ann', 'c9', '{Ann20}')"
        )
    else:
        rows.execute("INSERT INTO public.creators (id, email, name) VALUES (%s, 'ann@X.com', 'Ann')", (person,))
        rows.execute(
            "INSERT INTO public.creator_brand_memberships (creator_id, organization_id, status, discount_code)"
            " VALUES (%s, %s, 'active', 'ANN20')",
            (person, tenant.organization_id),
        )
    placed = (NOW - timedelta(days=60)).isoformat()

    assert store(order_e1(processedAt=placed, discountCodes=["ann20"])).names == ["order.commission"]
    assert store(order_e1(2, processedAt=placed, discountCodes=["other"])).names == []


# -- codes -------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("jane")
def test_a_use_of_a_code_is_counted_once(store: Store, rows: Rows) -> None:
    store(order_e1(discountCodes=["jane15"]))
    store(order_e1(discountCodes=["jane15"], updatedAt=LATER, tags=["x"]))

    (use,) = rows("SELECT * FROM promo_code_usage")
    assert (use["id"], use["customer_email"]) == ("pcu_1001_p1", None)
    assert (use["discount_amount_cents"], use["order_total_cents"]) == (1300, 13231)
    assert rows("SELECT uses_count, revenue_generated_cents FROM promo_code_metadata") == [
        {"uses_count": 1, "revenue_generated_cents": 13231}
    ]
    (creator_use,) = rows("SELECT * FROM discount_code_usages")
    assert (creator_use["id"], creator_use["creator_id"], creator_use["customer_id"]) == (
        "dcu_1001_jane15",
        "c1",
        "501",
    )


@pytest.mark.usefixtures("jane")
def test_discount_of_several_codes_is_shared_to_the_cent(store: Store, rows: Rows) -> None:
    rows.execute("INSERT INTO promo_code_metadata (id, code) VALUES ('p2', 'SUMMER'), ('p3', 'EXTRA')")

    store(order_e1(discountCodes=["SUMMER", "JANE15", "EXTRA"]))

    # 13.00 over three: 4.34, 4.33, 4.33
    uses = rows("SELECT promo_code_id AS id, discount_amount_cents AS cents FROM promo_code_usage ORDER BY 1")
    assert [(use["id"], use["cents"]) for use in uses] == [("p1", 433), ("p2", 434), ("p3", 433)]


# -- refunds of a bulk file --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("jane")
@pytest.mark.parametrize("taxes_included", [False, True])
def test_refund_lines_come_after_a_bulk_file_and_only_then_the_commission_is_judged(
    store: Store, rows: Rows, in_session: InSession, tenant: Tenant, taxes_included: bool
) -> None:
    node = with_refund(discountCodes=["JANE15"], taxesIncluded=taxes_included, subtotal="117.00")
    head = {name: value for name, value in node["refunds"][0].items() if not name.startswith("refund")}
    root = {**node, "refunds": [head]}

    loaded = store(root, details=False)
    refunds = [map_refund(node["refunds"][0])]
    emitted: list[str] = []

    def complete(session: EmittingSession) -> int:
        count = store_refund_details(session, refunds, tenant=tenant, now=NOW)
        emitted.extend(event.event_name for event, _ in session.emitted)
        return count

    assert "order.commission" not in loaded.names
    assert in_session(complete) == 1
    assert emitted == ["order.commission"]
    assert rows("SELECT goods_cents, tax_cents FROM refunds") == [
        {"goods_cents": 4140 if taxes_included else 4500, "tax_cents": 360}
    ]
    assert store(root, details=False).counts.by_id == {"1001": "unchanged"}
    assert store(node).counts.by_id == {"1001": "unchanged"}


def test_a_whole_answer_completes_what_a_bulk_file_left_open(store: Store, rows: Rows) -> None:
    node = with_refund()
    head = {name: value for name, value in node["refunds"][0].items() if not name.startswith("refund")}
    store({**node, "refunds": [head]}, details=False)

    assert store(node).counts.by_id == {"1001": "updated"}
    assert rows("SELECT goods_cents FROM refunds") == [{"goods_cents": 4500}]


# -- marks -------------------------------------------------------------------------------------------------------------


def test_an_order_that_only_its_own_id_names_can_be_gone(rows: Rows, in_session: InSession) -> None:
    rows.execute("INSERT INTO orders (id, order_number) VALUES ('1001', '#1')")

    assert in_session(lambda session: mark_gone(session, ["1001"], source="job", now=NOW)) == 1
    assert rows("SELECT order_id, deleted_at FROM order_sync_marks") == [{"order_id": "1001", "deleted_at": NOW}]


def test_an_order_that_came_back_is_no_longer_gone(store: Store, rows: Rows, in_session: InSession) -> None:
    store(order_e1())

    assert in_session(lambda session: mark_gone(session, ["1001", "777"], source="job", now=NOW)) == 1
    assert rows("SELECT shopify_order_id, deleted_at FROM order_sync_marks") == [
        {"shopify_order_id": "1001", "deleted_at": NOW}
    ]
    store(order_e1())
    assert rows("SELECT deleted_at FROM order_sync_marks") == [{"deleted_at": None}]
