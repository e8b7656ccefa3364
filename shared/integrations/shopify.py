"""Shopify's Admin GraphQL API for one shop: orders, refunds, counts and bulk operations, read only.

POST https://<shop>/admin/api/2026-10/graphql.json with X-Shopify-Access-Token. Rate limit by calculated cost per app
and shop (https://shopify.dev/docs/apps/build/apis/graphql-admin/rate-limits, looked at 2026-11): each answer tells
what the query cost and what is left; a throttled query is HTTP 200 with errors[].extensions.code THROTTLED.

Errors beside those of the HTTP layer (SHOPIFY_TIMEOUT, SHOPIFY_UNAVAILABLE, SHOPIFY_ANSWER_UNREADABLE):

    RateLimited  SHOPIFY_THROTTLED           429, or a wait above MAX_WAIT_S
    Transient    SHOPIFY_UNAVAILABLE         INTERNAL_SERVER_ERROR, an answer without data
                 BULK_URL_GONE               the file of a bulk operation is no longer there (BulkUrlGone)
    Permanent    SHOPIFY_NOT_CONNECTED       no active connection
                 SHOPIFY_UNAUTHORIZED        401, 403: the connection is suspended and an alert goes out, once
                 SHOPIFY_SHOP_FROZEN         402, 423, SHOP_INACTIVE
                 SHOPIFY_SHOP_GONE           404
                 SHOPIFY_SCOPE_MISSING       ACCESS_DENIED (AccessDenied)
                 SHOPIFY_QUERY_TOO_COSTLY    MAX_COST_EXCEEDED with the smallest sizes (QueryTooCostly)
                 SHOPIFY_QUERY_REFUSED       any other error of a query: ours to mend

Pages adapt: a query that is too costly is asked again with half the orders, then with smaller children; a cheap one
may double. The access token is in no repr, log or error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.events.alerts import AlertApiFailure
from shared.integrations import shopify_queries as q
from shared.integrations.credentials import ShopifyConnection, shopify_connection
from shared.integrations.http import Response, StreamedResponse, status_error
from shared.integrations.shopify_budget import Budget, Limit
from shared.integrations.shopify_errors import AccessDenied, BulkUrlGone, QueryTooCostly, Throttled, query_error
from shared.integrations.shopify_queries import API_VERSION, Access
from shared.jobs.context import JobContext
from shared.jobs.errors import JobError, Permanent, RateLimited, Transient
from shared.storable import loads

__all__ = ["API_VERSION", "BulkOperation", "BulkStart", "BulkUrlGone", "IdsPage", "OrderStamp", "OrdersPage", "Shopify"]

Node = dict[str, Any]
Make = Callable[[int], tuple[str, dict[str, Any]]]
"""Query text and variables for a number of objects."""

CALL_TIMEOUT_S = 10.0
"""One call, in seconds; Shopify itself gives up at about ten."""
MAX_WAIT_S = 10.0
"""Longest throttle wait inside a run, in seconds; longer ones give the worker back."""
PAGE_ORDERS = 10
"""Orders per page with all children, to begin with."""
MAX_PAGE_ORDERS = 50
"""Largest page that doubling reaches."""
PAGE_IDS = 250
"""Orders per page when only their ids and last changes are asked."""
REFUNDS_PER_CALL = 50
"""Refunds per nodes(ids) call."""
CHILDREN_PER_PAGE = 250
"""Line items or refund lines per further page: Shopify's largest page."""
RECENT_BULK_OPERATIONS = 50
"""How far back a lost bulk operation is looked for; a shop runs at most five at once."""

SUSPEND_CONNECTION = """
-- shopify: the vendor refuses this token; a token that was replaced meanwhile stays untouched
UPDATE shopify_connections
SET status = 'suspended'
WHERE id = %(id)s::uuid AND status = 'active' AND access_token_encrypted = %(sealed_token)s
"""


@dataclass(frozen=True, slots=True)
class OrdersPage:
    """Complete order nodes of one page; `end_cursor` leads to the next one."""

    nodes: list[Node]
    end_cursor: str | None
    has_next: bool


@dataclass(frozen=True, slots=True)
class OrderStamp:
    """Which order, and when it last changed."""

    legacy_id: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class IdsPage:
    """One page of a search that asks for no more than what changed; `end_cursor` leads to the next one."""

    orders: list[OrderStamp]
    end_cursor: str | None
    has_next: bool


@dataclass(frozen=True, slots=True)
class BulkStart:
    """A started operation, or Shopify's userErrors code (OPERATION_IN_PROGRESS, LIMIT_REACHED, INVALID) and text."""

    operation_id: str | None
    problem: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class BulkOperation:
    """State of a bulk operation. `status` CREATED, RUNNING, CANCELING, CANCELED, COMPLETED, EXPIRED or FAILED;
    `error_code` ACCESS_DENIED, INTERNAL_SERVER_ERROR or TIMEOUT; `file_size` in bytes; `url` is signed, for 7 days."""

    id: str
    status: str
    error_code: str | None
    object_count: int
    root_object_count: int
    file_size: int | None
    url: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class ChildSizes:
    """How many children of each kind a query asks for per order; what is beyond is fetched by further calls."""

    lines: int = 50
    refunds: int = 50
    refund_lines: int = 50
    refund_shipping: int = 10
    fulfillments: int = 50

    def halved(self) -> ChildSizes:
        """Half of each, at least 1."""
        return ChildSizes(*(max(1, getattr(self, name) // 2) for name in self.__slots__))

    def variables(self) -> dict[str, int]:
        """As the queries name them."""
        return {
            "lines": self.lines,
            "refunds": self.refunds,
            "refundLines": self.refund_lines,
            "refundShipping": self.refund_shipping,
            "fulfillments": self.fulfillments,
        }


class Shopify:
    """One shop, for one run. `page_size` is the number of orders the next page will ask for."""

    def __init__(self, ctx: JobContext, connection: ShopifyConnection, *, reserve: float, alert_source: str) -> None:
        self.shop = connection.shop
        self.scopes = connection.scopes
        self.store_timezone = connection.store_timezone
        self.default_country = connection.default_country
        self._ctx = ctx
        self._connection = connection
        self._alert_source = alert_source
        self._budget = Budget(reserve)
        self._access = Access()
        self._access_known = {"read_customers", "read_products"} <= connection.scopes
        self._sizes = ChildSizes()
        self._pages: Limit | None = None  # made by the first page: its caller names the size to try
        self._ids = Limit(PAGE_IDS, most=PAGE_IDS)
        self._order_nodes = Limit(PAGE_ORDERS, most=MAX_PAGE_ORDERS)
        self._refund_nodes = Limit(REFUNDS_PER_CALL, most=REFUNDS_PER_CALL)
        self._children = Limit(CHILDREN_PER_PAGE, most=CHILDREN_PER_PAGE)
        base = ctx.setting("SHOPIFY_BASE_URL")
        root = f"{base.rstrip('/')}/{self.shop}" if base else f"https://{self.shop}"
        self._url = f"{root}/admin/api/{API_VERSION}/graphql.json"

    @classmethod
    def connect(cls, ctx: JobContext, *, reserve: float = 0.0, alert_source: str = "orders") -> Shopify:
        """The tenant's shop, by one short session. Raises Permanent SHOPIFY_NOT_CONNECTED, CREDENTIAL_UNREADABLE.

        `reserve`: share of the shop's budget (0..1) that stays free for others; batch work passes 0.5.
        """
        return cls(ctx, shopify_connection(ctx), reserve=reserve, alert_source=alert_source)

    def __repr__(self) -> str:
        return f"Shopify({self.shop})"

    @property
    def page_size(self) -> int:
        """Orders per page, as learnt so far."""
        return self._pages.size if self._pages else PAGE_ORDERS

    # -- one query ---------------------------------------------------------------------------------------------------

    def graphql(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        """The `data` member of the answer. Waits for the reserve before, and up to MAX_WAIT_S when throttled."""
        ahead_s = self._budget.reserve_wait_s(self._ctx.now())
        if ahead_s > 0:
            self._wait(ahead_s, 0)
        waited_s = 0.0
        while True:
            try:
                return self._ask(query, variables)
            except Throttled:
                wait_s = self._budget.throttle_wait_s()
            self._wait(wait_s, waited_s)
            waited_s += wait_s

    def _wait(self, wait_s: float, waited_s: float) -> None:
        if waited_s + wait_s > MAX_WAIT_S or wait_s >= self._ctx.remaining_s():
            raise RateLimited(wait_s, "SHOPIFY_THROTTLED", f"{self.shop}: the query budget is used up")
        self._ctx.log.debug("shopify %s: waiting %.1f s for the query budget", self.shop, wait_s)
        self._ctx.sleep(wait_s)

    def _ask(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        response = self._ctx.http.request(
            "POST",
            self._url,
            vendor="shopify",
            headers={"X-Shopify-Access-Token": self._connection.access_token},
            json={"query": query, "variables": variables},
            timeout_s=CALL_TIMEOUT_S,
            ok=(401, 402, 403, 404, 423, 429),
        )
        if response.status >= 400:
            raise self._refusal(response)
        answer = response.json()
        if not isinstance(answer, dict):
            raise Transient("SHOPIFY_ANSWER_UNREADABLE", "the answer is no object")
        self._budget.note(answer, self._ctx.now())
        if answer.get("errors"):
            raise query_error(answer["errors"])
        data = answer.get("data")
        if not isinstance(data, dict):
            raise Transient("SHOPIFY_UNAVAILABLE", "an answer without data")
        return data

    def _refusal(self, response: Response) -> JobError:
        if response.status in (401, 403):
            self._suspend()
            return Permanent("SHOPIFY_UNAUTHORIZED", f"{self.shop}: status {response.status}")
        if response.status in (402, 423):
            return Permanent("SHOPIFY_SHOP_FROZEN", f"{self.shop}: status {response.status}")
        if response.status == 404:
            return Permanent("SHOPIFY_SHOP_GONE", f"{self.shop}: status 404")
        limited = status_error(response.status, response.headers, "shopify")
        assert isinstance(limited, RateLimited)
        return RateLimited(limited.after_s, "SHOPIFY_THROTTLED", f"{self.shop}: status 429")

    def _suspend(self) -> None:
        """Suspend the connection and tell someone; only the first run that finds out does both."""
        ctx, connection = self._ctx, self._connection
        with ctx.tenant_session() as session:
            row = {"id": connection.id, "sealed_token": connection.sealed_token}
            if session.execute(SUSPEND_CONNECTION, row) == 0:
                return
            session.emit(
                AlertApiFailure(
                    severity="error",
                    source=self._alert_source,
                    service="shopify",
                    title="Shopify refuses the access token",
                    message=f"The connection to {self.shop} is suspended. Connect the shop again in the admin app.",
                    dedupe_key=f"shopify-unauthorized:{ctx.tenant.slug}:{ctx.now():%Y-%m-%d}",
                    context={"shop": self.shop},
                )
            )

    def _adapted(self, limit: Limit, make: Make, *, at_most: int = 2**31) -> dict[str, Any]:
        """Ask what `make` gives for a size, with ever smaller sizes and fewer optional fields until it is answered.

        `at_most`: how many objects there are to ask for.
        """
        while True:
            size = min(limit.size, at_most)
            try:
                data = self.graphql(*make(size))
            except QueryTooCostly:
                if not limit.halve(size):
                    self._shrink_children()
                continue
            except AccessDenied as denied:
                self._renounce(denied)
                continue
            limit.widen(size, self._budget.last_cost)
            return data

    def _shrink_children(self) -> None:
        smaller = self._sizes.halved()
        if smaller == self._sizes:
            raise QueryTooCostly("SHOPIFY_QUERY_TOO_COSTLY", "even one order with one child of each kind")
        self._sizes = smaller

    def _renounce(self, denied: AccessDenied) -> None:
        """Go on without optional fields the shop has not granted; anything else denied is the error it is."""
        scopes = {q.NEEDS_SCOPE.get(name) for name in denied.fields}
        fewer = Access(
            customers=self._access.customers and "read_customers" not in scopes,
            products=self._access.products and "read_products" not in scopes,
        )
        if None in scopes or fewer == self._access:
            raise denied
        self._ctx.log.warning("shopify %s: not granted: %s", self.shop, ", ".join(sorted(denied.fields)))
        self._access = fewer

    # -- orders ------------------------------------------------------------------------------------------------------

    def order(self, legacy_id: str) -> Node | None:
        """One order with all line items and refunds, None when Shopify does not know it."""

        def make(_: int) -> tuple[str, dict[str, Any]]:
            return q.order(self._access), {"id": _gid("Order", legacy_id), **self._sizes.variables()}

        node = self._adapted(Limit(1, most=1), make)["order"]
        return None if node is None else self._complete(node, self._sizes)

    def orders_page(self, query: str, *, first: int, after: str | None) -> OrdersPage:
        """A page of complete orders of a search, by last change.

        `first` is the size to try on the first page; from then on the size that was learnt (`page_size`) counts.
        """
        self._pages = self._pages or Limit(first, most=MAX_PAGE_ORDERS)

        def make(size: int) -> tuple[str, dict[str, Any]]:
            variables = {"first": size, "after": after, "query": query, **self._sizes.variables()}
            return q.orders(self._access), variables

        page = self._adapted(self._pages, make)["orders"]
        sizes = self._sizes
        nodes = [self._complete(node, sizes) for node in page["nodes"]]
        return OrdersPage(nodes, page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"])

    def order_ids(self, query: str, *, after: str | None) -> IdsPage:
        """A page of the orders of a search, by last change: ids and instants only."""

        def make(size: int) -> tuple[str, dict[str, Any]]:
            return q.ORDER_IDS, {"first": size, "after": after, "query": query}

        page = self._adapted(self._ids, make)["orders"]
        stamps = [OrderStamp(n["legacyResourceId"], datetime.fromisoformat(n["updatedAt"])) for n in page["nodes"]]
        return IdsPage(stamps, page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"])

    def order_nodes(self, legacy_ids: Sequence[str]) -> list[Node | None]:
        """Complete orders in the order asked, None for one that Shopify does not know."""

        def make(ids: list[str]) -> tuple[str, dict[str, Any]]:
            return q.order_nodes(self._access), {"ids": ids, **self._sizes.variables()}

        return self._by_ids("Order", legacy_ids, self._order_nodes, make, self._complete)

    def refund_nodes(self, legacy_refund_ids: Sequence[str]) -> list[Node | None]:
        """Refunds with all their lines in the order asked, None for an unknown one."""

        def make(ids: list[str]) -> tuple[str, dict[str, Any]]:
            sizes = self._sizes.variables()
            names = ("refundLines", "refundShipping")
            return q.REFUND_NODES, {"ids": ids, **{name: sizes[name] for name in names}}

        return self._by_ids("Refund", legacy_refund_ids, self._refund_nodes, make, self._complete_refund)

    def orders_count(self, query: str) -> int:
        """How many orders a search finds, exact however many."""
        return int(self.graphql(q.ORDERS_COUNT, {"query": query})["ordersCount"]["count"])

    def _by_ids(
        self,
        kind: str,
        legacy_ids: Sequence[str],
        limit: Limit,
        make: Callable[[list[str]], tuple[str, dict[str, Any]]],
        complete: Callable[[Node, ChildSizes], Node],
    ) -> list[Node | None]:
        nodes: list[Node | None] = []
        ids = [_gid(kind, legacy_id) for legacy_id in legacy_ids]
        while rest := ids[len(nodes) :]:
            found = self._adapted(limit, lambda size: make(rest[:size]), at_most=len(rest))["nodes"]
            if not found:
                raise Transient("SHOPIFY_ANSWER_UNREADABLE", "nodes() gave nothing for ids")
            sizes = self._sizes
            nodes += [complete(node, sizes) if node else None for node in found]
        return nodes

    def _complete(self, node: Node, sizes: ChildSizes) -> Node:
        """The order with everything that did not fit into one answer. `sizes`: what that answer was asked for."""
        order_id = node["id"]
        self._rest(node, "lineItems", "order", lambda: q.more_lines(self._access))
        if len(node["fulfillments"]) >= sizes.fulfillments:
            node["fulfillments"] = self._again(q.ALL_FULFILLMENTS, order_id, "order")["fulfillments"]
        if len(node["refunds"]) >= sizes.refunds:
            found = self._again(q.ALL_REFUND_IDS, order_id, "order")["refunds"]
            refunds = self.refund_nodes([refund["legacyResourceId"] for refund in found])
            node["refunds"] = [refund for refund in refunds if refund]
        else:
            node["refunds"] = [self._complete_refund(refund, sizes) for refund in node["refunds"]]
        return node

    def _complete_refund(self, refund: Node, sizes: ChildSizes) -> Node:
        self._rest(refund, "refundLineItems", "node", lambda: q.MORE_REFUND_LINES)
        self._rest(refund, "refundShippingLines", "node", lambda: q.MORE_REFUND_SHIPPING)
        return refund

    def _rest(self, node: Node, connection: str, root: str, text: Callable[[], str]) -> None:
        """Append the further pages of a connection to its nodes."""
        page = node[connection]
        nodes = page["nodes"]
        while page["pageInfo"]["hasNextPage"]:
            variables = {"id": node["id"], "after": page["pageInfo"]["endCursor"]}
            page = self._child_page(text, variables, root)[connection]
            nodes += page["nodes"]
        node[connection] = {"nodes": nodes, "pageInfo": {**page["pageInfo"], "hasNextPage": False}}

    def _child_page(self, text: Callable[[], str], variables: dict[str, Any], root: str) -> Node:
        data = self._adapted(self._children, lambda size: (text(), {**variables, "first": size}))
        return _present(data[root])

    def _again(self, text: str, node_id: str, root: str) -> Node:
        return _present(self.graphql(text, {"id": node_id})[root])

    # -- bulk operations ---------------------------------------------------------------------------------------------

    def start_bulk(self, query: str) -> BulkStart:
        """Start an export of the orders of a search; what Shopify objects to is returned, not raised.

        A lost answer leaves the outcome unknown: look with `running_bulk` before starting again.
        """
        if not self._access_known:
            self._learn_access(query)
        data = self.graphql(q.BULK_START, {"query": q.bulk_orders(query, self._access)})
        started = data["bulkOperationRunQuery"]
        if started["userErrors"]:
            problem = started["userErrors"][0]
            return BulkStart(None, problem.get("code") or "INVALID", str(problem.get("message") or ""))
        return BulkStart(started["bulkOperation"]["id"])

    def _learn_access(self, query: str) -> None:
        """Ask for one order: an export with a field that is denied would fail as a whole, minutes later."""

        def make(size: int) -> tuple[str, dict[str, Any]]:
            variables = {"first": size, "after": None, "query": query, **self._sizes.variables()}
            return q.orders(self._access), variables

        self._adapted(Limit(1, most=1), make)
        self._access_known = True

    def bulk_operation(self, operation_id: str) -> BulkOperation:
        """State of an operation; one that Shopify has forgotten counts as EXPIRED."""
        node = self.graphql(q.BULK_OPERATION, {"id": operation_id})["bulkOperation"]
        if node is None:
            return BulkOperation(operation_id, "EXPIRED", None, 0, 0, None, None)
        return _bulk_operation(node)

    def running_bulk(self, query: str) -> BulkOperation | None:
        """An operation under way over the same search, started by a call whose answer was lost."""
        sought = {_squeezed(q.bulk_orders(query, Access(c, p))) for c in (True, False) for p in (True, False)}
        data = self.graphql(q.BULK_OPERATIONS, {"first": RECENT_BULK_OPERATIONS})
        for node in data["bulkOperations"]["nodes"]:
            if node["status"] in ("CREATED", "RUNNING") and _squeezed(node["query"]) in sought:
                return _bulk_operation(node)
        return None

    def cancel_bulk(self, operation_id: str) -> None:
        """Ask Shopify to stop an operation; one that has ended already is no error."""
        canceled = self.graphql(q.BULK_CANCEL, {"id": operation_id})["bulkOperationCancel"]
        if canceled["userErrors"]:
            self._ctx.log.info("shopify %s: bulk operation not cancelled, it has ended already", self.shop)

    def bulk_lines(self, url: str, offset: int) -> Iterator[tuple[int, Node]]:
        """Objects of a bulk file from byte `offset` (the start of a line) on, each with the offset of its line.

        Memory holds one line. Raises BulkUrlGone, Transient SHOPIFY_UNAVAILABLE or SHOPIFY_TIMEOUT when the answer
        is cut: go on from the last offset that was stored.
        """
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        gone = (400, 401, 403, 404, 410)  # expired signatures are answered with 400 or 403, by the storage behind
        with self._ctx.http.stream("GET", url, vendor="shopify", headers=headers, ok=(*gone, 416)) as answer:
            if answer.status in gone:
                raise BulkUrlGone("BULK_URL_GONE", f"status {answer.status}")
            if answer.status != 416:  # 416: the offset is the file's end
                yield from _objects(answer, offset)


def _objects(answer: StreamedResponse, offset: int) -> Iterator[tuple[int, Node]]:
    position = offset if answer.status == 206 else 0  # a server that ignores Range sends the whole file
    for line in answer.iter_lines():
        start, position = position, position + len(line)
        if start < offset or not line.strip():
            continue
        try:
            value = loads(line)
        except ValueError:
            value = None  # raised below, apart from the parser's error, which carries the line
        if not isinstance(value, dict):
            raise Transient("SHOPIFY_ANSWER_UNREADABLE", f"the bulk file's line at byte {start} is cut or no object")
        yield start, value


def _present(node: Node | None) -> Node:
    """A node asked for again a moment later; gone means deleted meanwhile, which the next attempt will see."""
    if node is None:
        raise Transient("SHOPIFY_UNAVAILABLE", "an order vanished while it was read")
    return node


def _gid(kind: str, legacy_id: str) -> str:
    return f"gid://shopify/{kind}/{legacy_id}"


def _squeezed(text: str) -> str:
    return " ".join(text.split())


def _bulk_operation(node: Node) -> BulkOperation:
    size = node["fileSize"]
    return BulkOperation(
        id=node["id"],
        status=node["status"],
        error_code=node["errorCode"],
        object_count=int(node["objectCount"]),
        root_object_count=int(node["rootObjectCount"]),
        file_size=None if size is None else int(size),
        url=node["url"],
    )
