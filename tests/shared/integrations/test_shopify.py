"""The Shopify client inside real runs: against a scripted vendor for what goes wrong, against the fake for the rest."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from shared.crypto import encrypt_platform
from shared.integrations.shopify import BulkOperation, BulkStart, IdsPage, OrdersPage, OrderStamp, Shopify
from shared.integrations.shopify_errors import BulkUrlGone
from shared.jobs import JobContext, Permanent, Tenant
from shared.jobs.testing import ManualClock
from tests.conftest import ENCRYPTION_KEY, SHOP, SHOP_TOKEN, Rows
from tests.shared.integrations.scripted import Behaviour, Vendor, cut, file, reply
from tests.shared.integrations.visit import Visits

if TYPE_CHECKING:
    from shared.fakes.shopify.fake import ShopifyFake

COUNT = {"ordersCount": {"count": 7, "precision": "EXACT"}}


def answers(
    data: Any = None, *codes: str, path: list[Any] | None = None, cost: float | None = 10, available: float = 2000
) -> Behaviour:
    """Shopify's HTTP 200: data, or errors with these codes; a bucket of 2,000 points, 100 per second."""
    body: dict[str, Any] = {"data": data}
    if codes:
        body["errors"] = [
            {"message": "no", "path": path or [], "extensions": {"code": code} if code else {}} for code in codes
        ]
    if cost is not None:
        status = {"maximumAvailable": 2000.0, "currentlyAvailable": available, "restoreRate": 100.0}
        body["extensions"] = {"cost": {"requestedQueryCost": cost, "actualQueryCost": None, "throttleStatus": status}}
    return reply(200, body)


def count(ctx: JobContext) -> int:
    return Shopify.connect(ctx).orders_count("status:any")


# -- the connection --------------------------------------------------------------------------------------------------


def test_a_connected_shop_is_asked_with_its_token(visits: Visits, vendor: Vendor) -> None:
    vendor.will(answers(COUNT))

    def act(ctx: JobContext) -> tuple[Any, ...]:
        shopify = Shopify.connect(ctx)
        counted = shopify.orders_count("status:any")
        return counted, shopify.shop, shopify.scopes, shopify.store_timezone, shopify.default_country, repr(shopify)

    assert visits(act) == (
        7,
        SHOP,
        frozenset({"read_orders", "read_all_orders"}),
        "Europe/Berlin",
        "DE",
        f"Shopify({SHOP})",
    )
    asked = vendor.asked[0]
    assert (asked.method, asked.path) == ("POST", f"/{SHOP}/admin/api/2026-10/graphql.json")
    assert asked.headers["X-Shopify-Access-Token"] == SHOP_TOKEN
    assert asked.json()["variables"] == {"query": "status:any"}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("DELETE FROM shopify_connections", "SHOPIFY_NOT_CONNECTED"),
        ("UPDATE shopify_connections SET status = 'suspended'", "SHOPIFY_NOT_CONNECTED"),
        ("UPDATE shopify_connections SET access_token_encrypted = NULL", "SHOPIFY_NOT_CONNECTED"),
        ("UPDATE shopify_connections SET tenant_id = gen_random_uuid()", "SHOPIFY_NOT_CONNECTED"),
        ("UPDATE shopify_connections SET shop = 'evil.example.com'", "SHOPIFY_NOT_CONNECTED"),
        ("UPDATE shopify_connections SET shop = 'evil.example.com/a.myshopify.com'", "SHOPIFY_NOT_CONNECTED"),
        ("UPDATE shopify_connections SET access_token_encrypted = 'plain'", "CREDENTIAL_UNREADABLE"),
    ],
    ids=["none", "suspended", "no token", "another tenant's", "another host", "a host in disguise", "no ciphertext"],
)
def test_no_call_without_a_sound_connection(visits: Visits, vendor: Vendor, rows: Rows, change: str, code: str) -> None:
    rows.execute(change)

    assert visits.fails(count, "dead").code == code
    assert vendor.asked == []


def test_write_scopes_include_reading(visits: Visits, rows: Rows) -> None:
    rows.execute("UPDATE shopify_connections SET scopes = ARRAY['read_orders,write_products']")

    scopes = visits(lambda ctx: Shopify.connect(ctx).scopes)

    assert scopes == {"read_orders", "write_products", "read_products"}


# -- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "state", "code"),
    [
        (reply(401), "dead", "SHOPIFY_UNAUTHORIZED"),
        (reply(403), "dead", "SHOPIFY_UNAUTHORIZED"),
        (reply(402), "dead", "SHOPIFY_SHOP_FROZEN"),
        (reply(423), "dead", "SHOPIFY_SHOP_FROZEN"),
        (reply(404), "dead", "SHOPIFY_SHOP_GONE"),
        (reply(400), "dead", "SHOPIFY_HTTP_400"),
        (reply(301, Location="https://elsewhere.example.com"), "dead", "SHOPIFY_HTTP_301"),
        (reply(429, Retry_After="3"), "deferred", "SHOPIFY_THROTTLED"),
        (reply(500), "retrying", "SHOPIFY_UNAVAILABLE"),
        (cut(None), "retrying", "SHOPIFY_UNAVAILABLE"),
        (reply(200, "<html>"), "retrying", "SHOPIFY_ANSWER_UNREADABLE"),
        (reply(200, "[]"), "retrying", "SHOPIFY_ANSWER_UNREADABLE"),
        (answers(None), "retrying", "SHOPIFY_UNAVAILABLE"),
        (answers(None, "INTERNAL_SERVER_ERROR"), "retrying", "SHOPIFY_UNAVAILABLE"),
        (answers(None, "undefinedField", "INTERNAL_SERVER_ERROR"), "retrying", "SHOPIFY_UNAVAILABLE"),
        (answers(None, "ACCESS_DENIED", path=["ordersCount"]), "dead", "SHOPIFY_SCOPE_MISSING"),
        (answers(None, "SHOP_INACTIVE"), "dead", "SHOPIFY_SHOP_FROZEN"),
        (answers(None, "undefinedField"), "dead", "SHOPIFY_QUERY_REFUSED"),
        (answers(None, ""), "dead", "SHOPIFY_QUERY_REFUSED"),
        (answers(None, "MAX_COST_EXCEEDED", cost=None), "dead", "SHOPIFY_QUERY_TOO_COSTLY"),
        (reply(200, '{"errors": "Not here"}'), "dead", "SHOPIFY_QUERY_REFUSED"),
    ],
)
def test_answers_become_errors(visits: Visits, vendor: Vendor, behaviour: Behaviour, state: str, code: str) -> None:
    vendor.will(behaviour)

    delivered = visits.fails(count, state)

    assert delivered.code == code
    assert SHOP_TOKEN not in repr(delivered)
    assert len(vendor.asked) == 1


def test_a_refused_token_suspends_the_connection_and_alerts_once(visits: Visits, vendor: Vendor, rows: Rows) -> None:
    vendor.will(reply(401))

    def act(ctx: JobContext) -> None:
        first, second = Shopify.connect(ctx), Shopify.connect(ctx)
        with pytest.raises(Permanent, match="SHOPIFY_UNAUTHORIZED"):
            first.orders_count("x")
        second.orders_count("x")  # learns of it after the first: the connection is suspended already

    assert visits.fails(act, "dead").code == "SHOPIFY_UNAUTHORIZED"

    assert rows("SELECT status FROM shopify_connections") == [{"status": "suspended"}]
    published = [detail for name, detail in visits.bench.bus.published if name == "alert.apiFailure"]
    assert len(published) == 1
    assert {k: v for k, v in published[0].items() if k not in ("_meta", "message", "title")} == {
        "tenantId": "acme",
        "severity": "error",
        "source": "orders",
        "service": "shopify",
        "dedupeKey": "shopify-unauthorized:acme:2026-11-20",
        "context": {"shop": SHOP},
        "failureCount": 1,
        "timeWindowMinutes": 60,
        "resolve": False,
    }


def test_a_token_replaced_meanwhile_is_not_suspended(visits: Visits, vendor: Vendor, rows: Rows) -> None:
    vendor.will(reply(401))

    def act(ctx: JobContext) -> None:
        shopify = Shopify.connect(ctx)
        fresh = encrypt_platform("shpat_new", ENCRYPTION_KEY)
        rows.execute("UPDATE shopify_connections SET access_token_encrypted = %s", (fresh,))
        shopify.orders_count("x")

    visits.fails(act, "dead")

    assert rows("SELECT status FROM shopify_connections") == [{"status": "active"}]
    assert "alert.apiFailure" not in [name for name, _ in visits.bench.bus.published]


def test_the_token_is_written_down_nowhere(
    visits: Visits, vendor: Vendor, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    vendor.will(reply(500, SHOP_TOKEN), reply(401, SHOP_TOKEN))
    shown = []

    def act(ctx: JobContext) -> None:
        shopify = Shopify.connect(ctx)
        shown.append(repr(vars(shopify)))
        shopify.orders_count("x")

    visits.fails(act, "retrying")
    visits.fails(act, "dead")

    ledger = rows("SELECT row_to_json(r)::text AS row FROM jobs.runs r")
    assert SHOP_TOKEN not in caplog.text
    assert SHOP_TOKEN not in str(shown)
    assert SHOP_TOKEN not in str(ledger)


# -- the query budget ------------------------------------------------------------------------------------------------


def test_throttled_waits_until_the_query_fits(visits: Visits, vendor: Vendor, clock: ManualClock) -> None:
    vendor.will(answers(None, "THROTTLED", cost=500, available=100), answers(COUNT))

    assert visits(count) == 7
    assert clock.slept_s == 4  # (500 - 100) / 100
    assert len(vendor.asked) == 2


@pytest.mark.parametrize(
    ("script", "asked", "slept_s", "wait_s"),
    [
        ([answers(None, "THROTTLED", cost=1500, available=100)], 1, 0, 14),
        ([answers(None, "THROTTLED", cost=500, available=100)], 3, 8, 4),
        ([answers(None, "THROTTLED", cost=None)], 6, 10, 2),
        ([reply(429, Retry_After="30")], 1, 0, 30),
    ],
    ids=["too long at once", "too long in all", "without figures", "HTTP 429"],
)
def test_long_throttles_give_the_worker_back(
    visits: Visits,
    vendor: Vendor,
    clock: ManualClock,
    script: list[Behaviour],
    asked: int,
    slept_s: float,
    wait_s: float,
) -> None:
    vendor.will(*script)

    delivered = visits.fails(count, "deferred")

    assert delivered.code == "SHOPIFY_THROTTLED"
    assert delivered.delay_s is not None
    assert delivered.delay_s >= wait_s
    assert (len(vendor.asked), clock.slept_s) == (asked, slept_s)


@pytest.mark.parametrize(
    ("reserve", "cost", "available", "idle_s", "slept_s"),
    [
        (0.5, 10, 100, 0, 9),  # half of 2,000 must be free: (1000 - 100) / 100
        (0.5, 10, 100, 5, 4),  # five seconds have flowed in meanwhile
        (0.5, 10, 100, 60, 0),
        (0.5, 10, 1500, 0, 0),
        (0.5, 1800, 1000, 0, 8),  # the next call may cost as much as the last: (1800 - 1000) / 100
        (0.0, 10, 100, 0, 0),  # single orders take what there is
    ],
)
def test_batch_work_leaves_a_reserve(
    visits: Visits,
    vendor: Vendor,
    clock: ManualClock,
    reserve: float,
    cost: float,
    available: float,
    idle_s: float,
    slept_s: float,
) -> None:
    vendor.will(answers(COUNT, cost=cost, available=available))

    def act(ctx: JobContext) -> None:
        shopify = Shopify.connect(ctx, reserve=reserve)
        shopify.orders_count("x")
        clock.advance(s=idle_s)
        shopify.orders_count("x")

    visits(act)

    assert clock.slept_s == slept_s


def test_a_reserve_too_far_away_gives_the_worker_back(visits: Visits, vendor: Vendor) -> None:
    vendor.will(answers(COUNT, cost=1900, available=100))

    def act(ctx: JobContext) -> None:
        shopify = Shopify.connect(ctx, reserve=0.5)
        shopify.orders_count("x")
        shopify.orders_count("x")

    assert visits.fails(act, "deferred").code == "SHOPIFY_THROTTLED"
    assert len(vendor.asked) == 1


# -- sizes and optional fields ---------------------------------------------------------------------------------------

EMPTY_PAGE = {"orders": {"nodes": [], "pageInfo": {"hasNextPage": False, "endCursor": None}}}
TOO_COSTLY = answers(None, "MAX_COST_EXCEEDED", cost=None)


def pages(number: int, first: int = 10) -> Any:
    def act(ctx: JobContext) -> int:
        shopify = Shopify.connect(ctx)
        for _ in range(number):
            shopify.orders_page("status:any", first=first, after=None)
        return shopify.page_size

    return act


def asked_sizes(vendor: Vendor, *names: str) -> list[tuple[int, ...]]:
    return [tuple(asked.json()["variables"][name] for name in names) for asked in vendor.asked]


def test_a_page_too_costly_is_halved_for_the_rest_of_the_run(visits: Visits, vendor: Vendor) -> None:
    vendor.will(TOO_COSTLY, TOO_COSTLY, answers(EMPTY_PAGE, cost=900))

    assert visits(pages(2)) == 2
    assert asked_sizes(vendor, "first") == [(10,), (5,), (2,), (2,)]


def test_a_cheap_page_doubles_up_to_fifty(visits: Visits, vendor: Vendor) -> None:
    vendor.will(answers(EMPTY_PAGE, cost=249))

    assert visits(pages(5)) == 50
    assert asked_sizes(vendor, "first") == [(10,), (20,), (40,), (50,), (50,)]


def test_a_page_of_medium_cost_stays(visits: Visits, vendor: Vendor) -> None:
    vendor.will(answers(EMPTY_PAGE, cost=250))

    assert visits(pages(3)) == 10


def test_the_caller_names_the_first_size_only(visits: Visits, vendor: Vendor) -> None:
    vendor.will(TOO_COSTLY, answers(EMPTY_PAGE, cost=500))

    assert visits(pages(2, first=250)) == 125
    assert asked_sizes(vendor, "first") == [(250,), (125,), (125,)]


def test_below_one_order_the_children_shrink(visits: Visits, vendor: Vendor) -> None:
    vendor.will(TOO_COSTLY, TOO_COSTLY, answers(EMPTY_PAGE, cost=900))

    visits(pages(1, first=1))

    names = ("first", "lines", "refunds", "refundLines", "refundShipping", "fulfillments")
    assert asked_sizes(vendor, *names) == [
        (1, 50, 50, 50, 10, 50),
        (1, 25, 25, 25, 5, 25),
        (1, 12, 12, 12, 2, 12),
    ]


def test_a_query_that_never_fits_is_permanent(visits: Visits, vendor: Vendor) -> None:
    vendor.will(TOO_COSTLY)

    assert visits.fails(pages(1), "dead").code == "SHOPIFY_QUERY_TOO_COSTLY"
    assert asked_sizes(vendor, "first", "lines")[-1] == (1, 1)


def test_fields_the_shop_has_not_granted_are_left_out(visits: Visits, vendor: Vendor) -> None:
    vendor.will(
        answers(None, "ACCESS_DENIED", path=["orders", "nodes", 0, "customer"]),
        answers(None, "ACCESS_DENIED", path=["orders", "nodes", 0, "lineItems", "nodes", 3, "variant"]),
        answers(EMPTY_PAGE),
    )

    visits(pages(2))

    texts = [asked.json()["query"] for asked in vendor.asked]
    assert ["customer {" in text for text in texts] == [True, False, False, False]
    assert ["variant {" in text for text in texts] == [True, True, False, False]
    assert ["product {" in text for text in texts] == [True, True, False, False]


def test_a_field_that_cannot_be_missed_is_an_error(visits: Visits, vendor: Vendor) -> None:
    vendor.will(answers(None, "ACCESS_DENIED", "ACCESS_DENIED", path=["orders", "nodes", 0, "email"]))

    assert visits.fails(pages(1), "dead").code == "SHOPIFY_SCOPE_MISSING"
    assert len(vendor.asked) == 1


# -- orders of the fake ----------------------------------------------------------------------------------------------


def test_an_order_of_130_lines_takes_two_calls(shopping: Visits, shop_fake: ShopifyFake) -> None:
    from shared.fakes.shopify.builders import Line

    shop_fake.shops[SHOP].order(id=1001, lines=[Line(price=f"{n}.00") for n in range(1, 131)])

    node = shopping(lambda ctx: Shopify.connect(ctx).order("1001"))

    lines = node["lineItems"]["nodes"]
    assert [line["originalUnitPriceSet"]["shopMoney"]["amount"] for line in lines] == [f"{n}.0" for n in range(1, 131)]
    assert node["lineItems"]["pageInfo"]["hasNextPage"] is False
    first, second = shop_fake.requests_of(SHOP)
    assert first.variables["lines"] == 50
    assert (second.operation, second.variables["first"]) == ("moreLines", 250)


def test_an_order_with_very_many_children_is_complete(shopping: Visits, shop_fake: ShopifyFake) -> None:
    from shared.fakes.shopify.builders import Fulfilment, Line, OrderDraft, Refund, order_node

    shop = shop_fake.shops[SHOP]
    at = shop_fake.now()
    lines = [Line(price="1.00", quantity=100) for _ in range(70)]
    refunds = [Refund(at=at, items=[(n, 1) for n in range(70)])] + [Refund(at=at, items=[(0, 1)]) for _ in range(54)]
    fulfilments = [Fulfilment(at=at) for _ in range(60)]
    shop.put_order(order_node(OrderDraft(1001, at, lines=lines, refunds=refunds, fulfilments=fulfilments)))

    node = shopping(lambda ctx: Shopify.connect(ctx).order("1001"))

    assert len(node["lineItems"]["nodes"]) == 70
    assert len(node["fulfillments"]) == 60
    assert len(node["refunds"]) == 55
    assert sorted(len(refund["refundLineItems"]["nodes"]) for refund in node["refunds"]) == [1] * 54 + [70]


def test_an_unknown_order_is_none(shopping: Visits) -> None:
    assert shopping(lambda ctx: Shopify.connect(ctx).order("404")) is None


def test_pages_give_every_order_once(shopping: Visits, shop_fake: ShopifyFake) -> None:
    for n in range(1, 26):
        shop_fake.shops[SHOP].order(id=1000 + n)

    def act(ctx: JobContext) -> list[OrdersPage]:
        shopify = Shopify.connect(ctx, reserve=0.5)
        found = [shopify.orders_page("status:any", first=10, after=None)]
        while found[-1].has_next:
            found.append(shopify.orders_page("status:any", first=10, after=found[-1].end_cursor))
        return found

    found = shopping(act)

    ids = [node["legacyResourceId"] for page in found for node in page.nodes]
    assert sorted(ids) == [str(1000 + n) for n in range(1, 26)]
    assert not found[-1].has_next


def test_ids_come_250_a_page_by_last_change(shopping: Visits, shop_fake: ShopifyFake) -> None:
    changed = datetime(2026, 11, 20, 10, tzinfo=UTC)
    for n in range(260):
        shop_fake.shops[SHOP].order(id=2000 - n, created_at=changed, updated_at=changed + timedelta(seconds=n))

    def act(ctx: JobContext) -> list[IdsPage]:
        shopify = Shopify.connect(ctx, reserve=0.5)
        first = shopify.order_ids("status:any", after=None)
        return [first, shopify.order_ids("status:any", after=first.end_cursor)]

    first, second = shopping(act)

    assert [len(first.orders), len(second.orders), first.has_next, second.has_next] == [250, 10, True, False]
    assert first.orders[0] == OrderStamp("2000", changed)
    assert second.orders[-1] == OrderStamp("1741", changed + timedelta(seconds=259))


def test_nodes_come_in_the_order_asked(shopping: Visits, shop_fake: ShopifyFake) -> None:
    wanted = [str(1000 + n) for n in range(23, 0, -1)]
    for legacy_id in wanted:
        if legacy_id != "1007":
            shop_fake.shops[SHOP].order(id=int(legacy_id))

    nodes = shopping(lambda ctx: Shopify.connect(ctx).order_nodes(wanted))

    assert [node and node["legacyResourceId"] for node in nodes] == [i if i != "1007" else None for i in wanted]


def test_refunds_by_id(shopping: Visits, shop_fake: ShopifyFake) -> None:
    from shared.fakes.shopify.builders import Line, Refund

    at = shop_fake.now()
    lines = [Line(price="5.00", quantity=2) for _ in range(60)]
    shop_fake.shops[SHOP].order(id=1001, lines=lines, refunds=[Refund(at=at, items=[(n, 1) for n in range(60)])])

    def act(ctx: JobContext) -> tuple[str, list[Any]]:
        shopify = Shopify.connect(ctx)
        order = shopify.order("1001")
        assert order is not None
        refund_id = order["refunds"][0]["legacyResourceId"]
        return refund_id, shopify.refund_nodes(["1", refund_id])

    refund_id, (unknown, refund) = shopping(act)

    assert unknown is None
    assert refund["legacyResourceId"] == refund_id
    assert len(refund["refundLineItems"]["nodes"]) == 60


def test_no_ids_no_call(shopping: Visits, shop_fake: ShopifyFake) -> None:
    assert shopping(lambda ctx: Shopify.connect(ctx).order_nodes([])) == []
    assert shop_fake.requests_of(SHOP) == []


# -- bulk operations -------------------------------------------------------------------------------------------------


def test_a_bulk_export_is_started_polled_and_read(shopping: Visits, shop_fake: ShopifyFake) -> None:
    for n in range(1, 6):
        shop_fake.shops[SHOP].order(id=1000 + n)

    def act(ctx: JobContext) -> tuple[BulkOperation, list[Any], list[Any]]:
        shopify = Shopify.connect(ctx)
        started = shopify.start_bulk("status:any")
        assert started.operation_id
        operation = shopify.bulk_operation(started.operation_id)
        assert operation.url
        whole = list(shopify.bulk_lines(operation.url, 0))
        return operation, whole, list(shopify.bulk_lines(operation.url, whole[3][0]))

    operation, whole, rest = shopping(act)

    orders = [value for _, value in whole if "__parentId" not in value]
    assert (operation.status, operation.root_object_count, operation.object_count) == ("COMPLETED", 5, len(whole))
    assert sorted(order["legacyResourceId"] for order in orders) == [str(1000 + n) for n in range(1, 6)]
    assert all("refunds" in order for order in orders)
    assert rest == whole[3:]
    assert "url" not in repr(operation)


def test_a_bulk_export_leaves_out_what_is_not_granted(visits: Visits, vendor: Vendor) -> None:
    operation = {"id": "gid://shopify/BulkOperation/1", "status": "CREATED"}
    vendor.will(
        answers(None, "ACCESS_DENIED", path=["orders", "nodes", 0, "customer"]),
        answers(EMPTY_PAGE),
        answers({"bulkOperationRunQuery": {"bulkOperation": operation, "userErrors": []}}),
    )

    started = visits(lambda ctx: Shopify.connect(ctx).start_bulk("status:any"))

    assert started == BulkStart(operation["id"])
    assert "customer {" not in vendor.asked[-1].json()["variables"]["query"]


@pytest.mark.parametrize(
    ("code", "problem"),
    [("OPERATION_IN_PROGRESS", "OPERATION_IN_PROGRESS"), ("LIMIT_REACHED", "LIMIT_REACHED"), (None, "INVALID")],
)
def test_what_shopify_objects_to_is_returned(
    visits: Visits, vendor: Vendor, rows: Rows, code: str | None, problem: str
) -> None:
    rows.execute("UPDATE shopify_connections SET scopes = ARRAY['read_orders', 'read_customers', 'read_products']")
    refused = {"bulkOperation": None, "userErrors": [{"code": code, "field": None, "message": "not now"}]}
    vendor.will(answers({"bulkOperationRunQuery": refused}))

    assert visits(lambda ctx: Shopify.connect(ctx).start_bulk("x")) == BulkStart(None, problem, "not now")
    assert len(vendor.asked) == 1  # the scopes are known: nothing to find out


def test_a_running_export_of_the_same_search_is_found(shopping: Visits, shop_fake: ShopifyFake) -> None:
    shop_fake.shops[SHOP].order(id=1001)
    shop_fake.shops[SHOP].bulk.held = True

    def act(ctx: JobContext) -> tuple[str | None, BulkOperation | None, BulkOperation | None]:
        shopify = Shopify.connect(ctx)
        started = shopify.start_bulk("created_at:>='2026-11-01T00:00:00Z'")
        same = shopify.running_bulk("created_at:>='2026-11-01T00:00:00Z'")
        return started.operation_id, same, shopify.running_bulk("created_at:>='2026-11-02T00:00:00Z'")

    operation_id, same, other = shopping(act)

    assert same is not None
    assert (same.id, same.status, other) == (operation_id, "RUNNING", None)


def test_cancelling_and_forgotten_operations(shopping: Visits, shop_fake: ShopifyFake) -> None:
    shop_fake.shops[SHOP].order(id=1001)

    def act(ctx: JobContext) -> BulkOperation:
        shopify = Shopify.connect(ctx)
        shopify.cancel_bulk("gid://shopify/BulkOperation/999")  # unknown: nothing to stop
        return shopify.bulk_operation("gid://shopify/BulkOperation/999")

    assert shopping(act).status == "EXPIRED"


LINES = b'{"id":"gid://shopify/Order/1"}\n{"id":"gid://shopify/LineItem/1","__parentId":"gid://shopify/Order/1"}\n'


def bulk_lines(url: str, offset: int = 0) -> Any:
    return lambda ctx: list(Shopify.connect(ctx).bulk_lines(url, offset))


@pytest.mark.parametrize("storage", [file(LINES), reply(200, LINES)], ids=["with ranges", "without ranges"])
def test_reading_goes_on_at_a_byte(visits: Visits, vendor: Vendor, storage: Behaviour) -> None:
    vendor.will(storage)

    assert visits(bulk_lines(vendor.url, 31)) == [(31, json.loads(LINES[31:]))]
    assert "Range" in vendor.asked[0].headers
    assert "X-Shopify-Access-Token" not in vendor.asked[0].headers


def test_reading_at_the_end_gives_nothing(visits: Visits, vendor: Vendor) -> None:
    vendor.will(file(LINES))

    assert visits(bulk_lines(vendor.url, len(LINES))) == []


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_url_past_its_time_is_an_error_of_its_own(visits: Visits, vendor: Vendor, status: int) -> None:
    vendor.will(reply(status))

    delivered = visits.fails(bulk_lines(vendor.url), "retrying")

    assert delivered.code == "BULK_URL_GONE"
    assert isinstance(delivered.error, BulkUrlGone)


@pytest.mark.parametrize(
    ("storage", "code"),
    [
        (cut(len(LINES), LINES[:40]), "SHOPIFY_UNAVAILABLE"),
        (reply(200, LINES[:40]), "SHOPIFY_ANSWER_UNREADABLE"),
        (reply(500), "SHOPIFY_UNAVAILABLE"),
    ],
    ids=["connection cut", "file cut", "storage down"],
)
def test_a_broken_file_is_transient(visits: Visits, vendor: Vendor, storage: Behaviour, code: str) -> None:
    vendor.will(storage)

    assert visits.fails(bulk_lines(vendor.url), "retrying").code == code


def test_the_shop_of_another_tenant_is_out_of_reach(
    shopping: Visits, shop_fake: ShopifyFake, other_tenant: Tenant
) -> None:
    shop_fake.shop("globex.myshopify.com", "shpat_globex").order(id=2001)

    assert shopping(lambda ctx: Shopify.connect(ctx).order("2001")) is None
    assert Visits(shopping.bench, other_tenant).fails(count, "dead").code == "SHOPIFY_NOT_CONNECTED"
