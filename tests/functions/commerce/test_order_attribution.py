"""Where an order came from, completed from its session and its landing page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from functions.commerce.orders.attribution import link_code
from shared.events.orders import OrderAttribution
from shared.fakes.shopify import Shop
from shared.jobs.testing import Deliver, Delivered, ManualClock
from tests.builders.orders import Node, order_e1
from tests.conftest import Rows

Synced = Callable[[Node], Delivered]
UNCHANGED = {
    "orderId": "1001",
    "sourceFilled": False,
    "visitorFilled": False,
    "customerLinked": False,
    "changed": False,
}


def attribution(deliver: Deliver, clock: ManualClock, *, expect: str = "succeeded", **fields: Any) -> Delivered:
    """The event of order 1001, outside the burst window of an earlier one."""
    clock.advance(s=601)
    return deliver(OrderAttribution(order_id="1001", **fields), expect=expect)


def touch(rows: Rows, session: str, visitor: str, at: str, *, kind: str = "click", **utm: str | None) -> None:
    """A touchpoint of a session; utm: source, medium, campaign."""
    rows.execute(
        "INSERT INTO attribution_touchpoints (tenant_id, session_id, visitor_id, channel, occurred_at, touchpoint_type,"
        " source, medium, campaign) VALUES ('acme', %s, %s, 'direct', %s, %s, %s, %s, %s)",
        (session, visitor, at, kind, utm.get("source"), utm.get("medium"), utm.get("campaign")),
    )


def order(rows: Rows) -> dict[str, Any]:
    (row,) = rows("SELECT customer_id, utm_source, utm_medium, utm_campaign, attribution_data FROM orders")
    return row


def processed(done: Delivered) -> list[dict[str, Any]]:
    return [payload for name, payload in done.emitted if name == "attribution.process"]


@pytest.fixture
def e1(synced: Synced) -> None:
    """E1, placed at 10:00, without a visitor or a source."""
    synced(order_e1())


@pytest.mark.usefixtures("e1")
def test_session_of_one_visitor_names_the_visitor(deliver: Deliver, rows: Rows, clock: ManualClock) -> None:
    for minute in (10, 20, 30):
        touch(rows, "s1", "v1", f"2026-11-20T09:{minute}:00Z", kind="view")

    done = attribution(deliver, clock, session_id="s1")

    assert done.result == {**UNCHANGED, "visitorFilled": True, "changed": True}
    data = order(rows)["attribution_data"]
    assert (data["visitorId"], data["visitorIdSource"], data["sessionId"]) == ("v1", "session", "s1")
    assert processed(done) == [{"orderId": "1001", "force": True, "skipGA4": False, "skipMeta": False}]
    assert [name for name, _ in done.emitted] == ["attribution.process"]


@pytest.mark.usefixtures("e1")
def test_session_that_was_passed_on_names_nobody(deliver: Deliver, rows: Rows, clock: ManualClock) -> None:
    touch(rows, "s2", "v1", "2026-11-20T09:10:00Z", kind="view")
    touch(rows, "s2", "v2", "2026-11-20T11:00:00Z", kind="view")

    done = attribution(deliver, clock, session_id="s2")

    assert done.result == {**UNCHANGED, "changed": True}  # the session itself is noted
    assert "visitorId" not in order(rows)["attribution_data"]
    assert processed(done)[0]["force"] is False


@pytest.mark.usefixtures("e1")
def test_visitor_who_came_after_the_order_is_not_its_visitor(deliver: Deliver, rows: Rows, clock: ManualClock) -> None:
    touch(rows, "s1", "v1", "2026-11-20T10:00:01Z", source="google")

    done = attribution(deliver, clock, session_id="s1")

    assert (done.result["visitorFilled"], done.result["sourceFilled"]) == (False, False)


def test_what_is_known_stays(synced: Synced, deliver: Deliver, rows: Rows, clock: ManualClock) -> None:
    attributes = {"_session_id": "s1", "_visitor_id": "v0", "_attribution_source": "newsletter"}
    synced(order_e1(attributes=attributes))
    touch(rows, "s1", "v1", "2026-11-20T09:10:00Z", source="google", medium="cpc", campaign="brand")
    before = order(rows)

    done = attribution(deliver, clock, session_id="other", customer_id="501")

    assert done.result == UNCHANGED
    assert order(rows) == before
    assert processed(done) == [{"orderId": "1001", "force": False, "skipGA4": False, "skipMeta": False}]


@pytest.mark.usefixtures("e1")
def test_latest_click_before_the_order_is_its_source(deliver: Deliver, rows: Rows, clock: ManualClock) -> None:
    touch(rows, "s1", "v1", "2026-11-20T08:00:00Z", source="meta", medium="paid", campaign="old")
    touch(rows, "s1", "v1", "2026-11-20T09:00:00Z", source="google", medium="cpc")
    touch(rows, "s1", "v1", "2026-11-20T09:30:00Z", kind="view", source="direct")
    touch(rows, "s1", "v1", "2026-11-20T10:30:00Z", source="late")

    done = attribution(deliver, clock, session_id="s1")

    assert (done.result["sourceFilled"], done.result["changed"]) == (True, True)
    found = order(rows)
    assert (found["utm_source"], found["utm_medium"], found["utm_campaign"]) == ("google", "cpc", None)


def test_young_order_is_not_forced(synced: Synced, deliver: Deliver, rows: Rows, clock: ManualClock) -> None:
    synced(order_e1(processedAt="2026-11-20T11:30:00Z"))
    touch(rows, "s1", "v1", "2026-11-20T11:00:00Z", source="google")

    done = attribution(deliver, clock, session_id="s1")

    assert done.result["changed"] is True
    assert processed(done)[0]["force"] is False


@pytest.mark.parametrize(
    ("held", "given", "stored", "linked"),
    [
        (None, "gid://shopify/Customer/777", "777", True),
        (None, "app-customer", "888", True),
        (None, "nobody", None, False),
        ("501", "777", "501", False),
        ("501", "501", "501", False),
        (None, None, None, False),
    ],
    ids=["legacy id", "customers.id", "unknown", "another one", "the same", "none given"],
)
@pytest.mark.usefixtures("e1")
def test_customer_is_linked_where_there_is_none(
    deliver: Deliver,
    rows: Rows,
    clock: ManualClock,
    held: str | None,
    given: str | None,
    stored: str | None,
    linked: bool,
) -> None:
    rows.execute("UPDATE orders SET customer_id = %s", (held,))
    rows.execute("INSERT INTO customers (id, shopify_customer_id) VALUES ('app-customer', '888')")

    done = attribution(deliver, clock, customer_id=given)

    assert (done.result["customerLinked"], order(rows)["customer_id"]) == (linked, stored)
    assert processed(done)[0]["force"] is linked


def test_creator_s_link_in_the_landing_page_is_found_once(
    synced: Synced, deliver: Deliver, rows: Rows, clock: ManualClock
) -> None:
    synced(order_e1(attributes={"_landing_page": "https://shop.example/p?ref=JANE15"}))

    done = attribution(deliver, clock)
    again = attribution(deliver, clock)

    data = order(rows)["attribution_data"]
    assert (data["creatorCode"], "creatorCodeAt" in data) == ("JANE15", False)
    assert ("order.commission", {"orderId": "1001"}) in done.emitted
    assert [name for name, _ in again.emitted] == ["attribution.process"]
    assert again.result["changed"] is False


def test_link_carries_the_instant_of_the_visit(
    synced: Synced, deliver: Deliver, rows: Rows, clock: ManualClock
) -> None:
    synced(order_e1())
    visit = {"landingPage": "https://shop.example/?rc=TOM", "lastVisit": {"occurredAt": "2026-11-19T08:00:00Z"}}
    rows.execute("UPDATE orders SET attribution_data = %s", (Jsonb(visit),))

    attribution(deliver, clock)

    assert order(rows)["attribution_data"] == {
        **visit,
        "creatorCode": "TOM",
        "creatorCodeAt": "2026-11-19T08:00:00Z",
    }


@pytest.mark.usefixtures("e1")
@pytest.mark.parametrize("written", ["null", "[]"])
def test_marketing_data_that_is_no_object_is_begun_anew(
    deliver: Deliver, rows: Rows, clock: ManualClock, written: str
) -> None:
    rows.execute("UPDATE orders SET attribution_data = %s", (written,))

    attribution(deliver, clock, session_id="s1")

    assert order(rows)["attribution_data"] == {"sessionId": "s1"}


@pytest.mark.parametrize(
    ("landing_page", "code"),
    [
        ("https://shop.example/p?ref=JANE15", "JANE15"),
        ("/p?creator=a_b-C1#top", "a_b-C1"),
        ("https://shop.example/?creator=c&ref=b&rc=a", "a"),
        ("https://shop.example/?rc=&ref=b", "b"),
        ("https://shop.example/?ref=%20JANE15%20", "JANE15"),
        ("https://shop.example/?ref=" + "x" * 70, "x" * 64),
        ("https://shop.example/?ref=https://google.com", None),
        ("https://shop.example/?ref=J%C3%84NE", None),
        ("https://shop.example/?reference=JANE15", None),
        ("https://[broken/?ref=JANE15", None),
        ("", None),
        (None, None),
    ],
)
def test_code_of_a_link(landing_page: str | None, code: str | None) -> None:
    assert link_code(landing_page) == code


def test_order_that_we_do_not_hold_is_asked_for_and_then_found(
    deliver: Deliver, shop: Shop, clock: ManualClock
) -> None:
    shop.put_order(order_e1(999))

    done = deliver(OrderAttribution(order_id="999"), expect="retrying")
    deliver.bench.drain()

    assert done.code == "ORDER_NOT_READY"
    assert done.emitted == [("order.sync", {"shopifyOrderId": "999", "source": "job"})]
    assert ("999", False) in [
        (d["orderId"], d["force"]) for n, d in deliver.bench.bus.published if n.endswith("process")
    ]


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({}, "INVALID_PAYLOAD"),
        ({"orderId": None, "sessionId": "s1"}, "INVALID_PAYLOAD"),
        ({"orderId": "1001", "sessionId": 5}, "INVALID_PAYLOAD"),
        ({"orderId": "app-made"}, "ORDER_ID_UNKNOWN"),
    ],
)
def test_message_that_can_never_succeed_is_dead(deliver: Deliver, payload: dict[str, Any], code: str) -> None:
    assert deliver.job("commerce-order-attribution", payload, expect="dead").code == code
