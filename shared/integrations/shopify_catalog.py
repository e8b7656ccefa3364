"""Shopify's products, customers, stock and collections, on top of `Shopify.graphql` and its errors.

Everything is read, with two exceptions that an app asks for: stock is set or adjusted. Nodes come complete: further
pages of variants, media, addresses and levels are fetched. A query that is too costly is asked again with half the
objects, for the rest of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from shared.ids import legacy_id
from shared.integrations import shopify_catalog_queries as q
from shared.integrations.shopify import BulkOperation, BulkStart, Shopify
from shared.integrations.shopify_budget import Limit
from shared.integrations.shopify_errors import QueryTooCostly
from shared.integrations.shopify_queries import BULK_OPERATIONS
from shared.jobs.context import JobContext
from shared.jobs.errors import Permanent, Transient

Node = dict[str, Any]

PAGE_PRODUCTS = 20
PAGE_VARIANTS = 250
PAGE_MEDIA = 250
PAGE_CUSTOMERS = 100
PAGE_ADDRESSES = 250
PAGE_LEVELS = 250
PAGE_COLLECTIONS = 50
PAGE_MEMBERS = 250
PAGE_LOCATIONS = 100
ITEMS_PER_CALL = 50
NODES_PER_CALL = 250
"""Ids in one nodes(ids) query that asks only for the id."""
BULK_RESERVE = 0.5
"""Share of the shop's query budget that stays free for single-object jobs while a batch job runs."""
RECENT_BULK_OPERATIONS = 50
"""How far back an operation whose start was not answered is looked for."""

Make = Callable[[int], tuple[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Page:
    """Complete nodes; `end_cursor` leads to the next page."""

    nodes: list[Node]
    end_cursor: str | None
    has_next: bool


class StaleQuantity(Exception):
    """The stock at Shopify is no longer what it was when it was read."""


class ShopifyCatalog:
    """The catalogue of one shop, for one run."""

    def __init__(self, shopify: Shopify) -> None:
        self.shopify = shopify
        self._limits: dict[str, Limit] = {}

    @classmethod
    def connect(cls, ctx: JobContext, *, batch: bool = False) -> ShopifyCatalog:
        """The tenant's shop. `batch`: leave half of the query budget to others."""
        return cls(Shopify.connect(ctx, reserve=BULK_RESERVE if batch else 0.0, alert_source="catalog"))

    # -- products ------------------------------------------------------------------------------------------------------

    def product(self, id: str) -> Node | None:
        """One product, None when Shopify does not know it."""
        node = self.shopify.graphql(q.ONE_PRODUCT, {"id": gid("Product", id)})["product"]
        return None if node is None else self._whole_product(node)

    def products(self, query: str | None, after: str | None) -> Page:
        """A page of products of a search, by last change."""
        return self._page("products", q.PRODUCTS, PAGE_PRODUCTS, {"after": after, "query": query}, self._whole_product)

    def product_nodes(self, ids: Sequence[str]) -> list[Node | None]:
        """Products in the order asked, None for an unknown one; `ids` are those of one page."""
        return self._nodes(q.PRODUCT_NODES, "Product", ids, PAGE_PRODUCTS, self._whole_product)

    def products_count(self) -> int:
        """How many products the shop has, exactly."""
        return int(self.shopify.graphql(q.PRODUCTS_COUNT, {})["productsCount"]["count"])

    def _whole_product(self, node: Node) -> Node:
        self._rest(node, "variants", "product", q.MORE_VARIANTS, PAGE_VARIANTS)
        self._rest(node, "media", "product", q.MORE_MEDIA, PAGE_MEDIA)
        return node

    # -- customers -----------------------------------------------------------------------------------------------------

    def customer(self, id: str) -> Node | None:
        """One customer, None when Shopify does not know them."""
        node = self.shopify.graphql(q.ONE_CUSTOMER, {"id": gid("Customer", id)})["customer"]
        return None if node is None else self._whole_customer(node)

    def customers(self, query: str | None, after: str | None) -> Page:
        """A page of customers of a search, by last change."""
        variables = {"after": after, "query": query}
        return self._page("customers", q.CUSTOMERS, PAGE_CUSTOMERS, variables, self._whole_customer)

    def customer_nodes(self, ids: Sequence[str]) -> list[Node | None]:
        """Customers in the order asked, None for an unknown one."""
        return self._nodes(q.CUSTOMER_NODES, "Customer", ids, PAGE_CUSTOMERS, self._whole_customer)

    def customers_count(self) -> int:
        """How many customers the shop has, exactly."""
        return int(self.shopify.graphql(q.CUSTOMERS_COUNT, {})["customersCount"]["count"])

    def unknown(self, kind: str, ids: Sequence[str]) -> list[str]:
        """Those of `ids` for which Shopify answers null."""
        gone: list[str] = []
        for first in range(0, len(ids), NODES_PER_CALL):
            asked = ids[first : first + NODES_PER_CALL]
            nodes = self.shopify.graphql(q.NODE_IDS, {"ids": [gid(kind, id) for id in asked]})["nodes"]
            gone += [id for id, node in zip(asked, nodes, strict=True) if node is None]
        return gone

    def _whole_customer(self, node: Node) -> Node:
        return self._rest(node, "addressesV2", "customer", q.MORE_ADDRESSES, PAGE_ADDRESSES)

    # -- stock ---------------------------------------------------------------------------------------------------------

    def locations(self) -> list[Node]:
        """All locations, also inactive ones."""
        found: list[Node] = []
        after: str | None = None
        while True:
            page = self._page("locations", q.LOCATIONS, PAGE_LOCATIONS, {"after": after})
            found += page.nodes
            if not page.has_next:
                return found
            after = page.end_cursor

    def levels(self, location_id: str, query: str | None, after: str | None) -> Page:
        """A page of a location's levels; none when the location is gone."""
        limit = self._limit("levels", PAGE_LEVELS)
        variables = {"id": gid("Location", location_id), "after": after, "query": query}
        location = self._sized(limit, lambda n: (q.LOCATION_LEVELS, {**variables, "first": n}))["location"]
        return Page([], None, False) if location is None else _page(location["inventoryLevels"])

    def item(self, id: str) -> Node | None:
        """One inventory item with its levels (100 places at most), None when Shopify does not know it."""
        node: Node | None = self.shopify.graphql(q.ONE_ITEM, {"id": gid("InventoryItem", id)})["inventoryItem"]
        return node

    def item_nodes(self, ids: Sequence[str]) -> list[Node | None]:
        """Inventory items in the order asked."""
        return self._nodes(q.ITEM_NODES, "InventoryItem", ids, ITEMS_PER_CALL)

    def item_of_variant(self, variant_id: str) -> tuple[str, str] | None:
        """(inventory item, product) of a variant as digits, None when Shopify does not know it."""
        node = self.shopify.graphql(q.ITEM_OF_VARIANT, {"id": gid("ProductVariant", variant_id)})["node"]
        return None if node is None else (legacy_id(node["inventoryItem"]["id"]), legacy_id(node["product"]["id"]))

    def set_quantity(
        self, item_id: str, location_id: str, *, quantity: int, change_from: int, reason: str, uri: str, key: str
    ) -> int:
        """Set the available quantity, once per `key`; the quantity as it stands. Raises StaleQuantity."""
        change = {
            "inventoryItemId": gid("InventoryItem", item_id),
            "locationId": gid("Location", location_id),
            "quantity": quantity,
            "changeFromQuantity": change_from,
        }
        document = {"name": "available", "reason": reason, "referenceDocumentUri": uri, "quantities": [change]}
        self._mutate("inventorySetQuantities", q.SET_QUANTITIES, document, key)
        return quantity

    def adjust_quantity(
        self, item_id: str, location_id: str, *, delta: int, reason: str, uri: str, key: str
    ) -> int | None:
        """Change the available quantity by `delta`, once per `key`; the quantity after it where Shopify tells it."""
        change = {
            "inventoryItemId": gid("InventoryItem", item_id),
            "locationId": gid("Location", location_id),
            "delta": delta,
        }
        document = {"name": "available", "reason": reason, "referenceDocumentUri": uri, "changes": [change]}
        group = self._mutate("inventoryAdjustQuantities", q.ADJUST_QUANTITIES, document, key)
        changes = (group or {}).get("changes") or ()
        return next((each["quantityAfterChange"] for each in changes if each["name"] == "available"), None)

    def _mutate(self, root: str, text: str, document: Node, key: str) -> Node | None:
        answer = self.shopify.graphql(text, {"input": document, "key": key})[root]
        if answer["userErrors"]:
            raise _refusal(str(answer["userErrors"][0].get("code") or "INVALID"))
        group: Node | None = answer["inventoryAdjustmentGroup"]
        return group

    # -- collections ---------------------------------------------------------------------------------------------------

    def collection(self, id: str) -> Node | None:
        """One collection without members, None when Shopify does not know it."""
        node: Node | None = self.shopify.graphql(q.ONE_COLLECTION, {"id": gid("Collection", id)})["collection"]
        return node

    def collections(self, after: str | None) -> Page:
        """A page of collections, by id."""
        return self._page("collections", q.COLLECTIONS, PAGE_COLLECTIONS, {"after": after})

    def collections_count(self) -> int:
        """How many collections the shop has, exactly."""
        return int(self.shopify.graphql(q.COLLECTIONS_COUNT, {})["collectionsCount"]["count"])

    def members(self, collection_id: str, after: str | None) -> Page | None:
        """A page of a collection's product ids in its own order; None when the collection is gone."""
        limit = self._limit("members", PAGE_MEMBERS)
        variables = {"id": gid("Collection", collection_id), "after": after}
        found = self._sized(limit, lambda n: (q.COLLECTION_MEMBERS, {**variables, "first": n}))["collection"]
        return None if found is None else _page(found["products"])

    # -- bulk operations -----------------------------------------------------------------------------------------------

    def start_bulk(self, query: str) -> BulkStart:
        """Start an export; what Shopify objects to is returned, not raised."""
        started = self.shopify.graphql(q.BULK_START, {"query": query})["bulkOperationRunQuery"]
        if started["userErrors"]:
            problem = started["userErrors"][0]
            return BulkStart(None, problem.get("code") or "INVALID", str(problem.get("message") or ""))
        return BulkStart(started["bulkOperation"]["id"])

    def running_bulk(self, query: str) -> str | None:
        """Id of an operation under way with the same text, started by a call whose answer was lost."""
        sought = " ".join(query.split())
        for node in self.shopify.graphql(BULK_OPERATIONS, {"first": RECENT_BULK_OPERATIONS})["bulkOperations"]["nodes"]:
            if node["status"] in ("CREATED", "RUNNING") and " ".join(node["query"].split()) == sought:
                return str(node["id"])
        return None

    def bulk_operation(self, operation_id: str) -> BulkOperation:
        """State of an operation; one that Shopify has forgotten counts as EXPIRED."""
        return self.shopify.bulk_operation(operation_id)

    def cancel_bulk(self, operation_id: str) -> None:
        """Ask Shopify to stop an operation."""
        self.shopify.cancel_bulk(operation_id)

    def bulk_lines(self, url: str, offset: int) -> Iterator[tuple[int, Node]]:
        """(byte offset, object) of each line of a file from `offset` on."""
        return self.shopify.bulk_lines(url, offset)

    # -- pages ---------------------------------------------------------------------------------------------------------

    def _limit(self, name: str, size: int) -> Limit:
        return self._limits.setdefault(name, Limit(size, most=size))

    def _sized(self, limit: Limit, make: Make) -> dict[str, Any]:
        while True:
            size = limit.size
            try:
                return self.shopify.graphql(*make(size))
            except QueryTooCostly:
                if not limit.halve(size):
                    raise

    def _page(
        self,
        root: str,
        text: str,
        size: int,
        variables: dict[str, Any],
        whole: Callable[[Node], Node] = lambda node: node,
    ) -> Page:
        page = self._sized(self._limit(root, size), lambda n: (text, {**variables, "first": n}))[root]
        found = _page(page)
        return Page([whole(node) for node in found.nodes], found.end_cursor, found.has_next)

    def _nodes(
        self,
        text: str,
        kind: str,
        ids: Sequence[str],
        size: int,
        whole: Callable[[Node], Node] = lambda node: node,
    ) -> list[Node | None]:
        limit = self._limit(f"nodes {kind}", size)
        asked = [gid(kind, id) for id in ids]
        nodes: list[Node | None] = []
        while rest := asked[len(nodes) :]:
            found = self._sized(limit, lambda n: (text, {"ids": rest[:n]}))["nodes"]
            if not found:
                raise Transient("SHOPIFY_ANSWER_UNREADABLE", "nodes() gave nothing for ids")
            nodes += [whole(node) if node else None for node in found]
        return nodes

    def _rest(self, node: Node, connection: str, root: str, text: str, size: int) -> Node:
        """Append the further pages of a connection to its nodes."""
        page = node[connection]
        nodes = page["nodes"]
        while page["pageInfo"]["hasNextPage"]:
            variables = {"id": node["id"], "after": page["pageInfo"]["endCursor"]}
            limit = self._limit(connection, size)
            parent = self._sized(limit, lambda n: (text, {**variables, "first": n}))[root]  # noqa: B023
            if parent is None:
                raise Transient("SHOPIFY_UNAVAILABLE", f"a {root} vanished while it was read")
            page = parent[connection]
            nodes += page["nodes"]
        return node


def gid(kind: str, id: str) -> str:
    """Shopify's global id."""
    return f"gid://shopify/{kind}/{id}"


def _page(connection: Node) -> Page:
    info = connection["pageInfo"]
    return Page(connection["nodes"], info["endCursor"], bool(info["hasNextPage"]))


def _refusal(code: str) -> Exception:
    """A userErrors code of the inventory mutations as ours."""
    if code in ("CHANGE_FROM_QUANTITY_STALE", "COMPARE_QUANTITY_STALE"):
        return StaleQuantity(code)
    if code == "IDEMPOTENCY_CONCURRENT_REQUEST":
        return Transient("STOCK_CONTENDED", "the same change is under way")
    if code in ("INVALID_INVENTORY_ITEM", "ITEM_NOT_STOCKED_AT_LOCATION"):
        return Permanent("INVENTORY_ITEM_UNKNOWN", code)
    if code == "INVALID_LOCATION":
        return Permanent("LOCATION_REQUIRED", code)
    if code == "NON_MUTABLE_INVENTORY_ITEM":
        return Permanent("NON_MUTABLE_INVENTORY_ITEM", "the item's stock is managed elsewhere")
    if code.startswith("INVALID_QUANTITY"):
        return Permanent("INVALID_QUANTITY", code)
    return Permanent("SHOPIFY_QUERY_REFUSED", code)
