"""One shop: its orders, its points, its bulk operations, and what its access token may see."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from graphql import VariableValues

from shared.fakes.shopify.builders import OrderDraft, instant, order_node
from shared.fakes.shopify.bulk import BulkOperations
from shared.fakes.shopify.catalog import Catalog
from shared.fakes.shopify.cost import Bucket
from shared.fakes.shopify.orders import OrderBase, Orders, Row, window
from shared.fakes.shopify.plan import Field
from shared.fakes.shopify.project import FieldError, Node, size
from shared.fakes.shopify.schema import Documents

VISIBLE_DAYS = 60  # what read_orders shows without read_all_orders
FIRST_ORDER_ID = 450_000_001  # ids of orders that tests make without naming one


class Shop:
    """What tests hold in their hands. Scopes, limits and the currency may be changed at any time."""

    def __init__(
        self,
        domain: str,
        token: str,
        scopes: Iterable[str],
        currency: str,
        *,
        folder: Path,
        documents: Documents,
        now: Callable[[], datetime],
        url_of: Callable[[int], str],
        base: OrderBase | None = None,
    ) -> None:
        self.domain, self.token, self.scopes, self.currency = domain, token, set(scopes), currency
        self.now = now
        self.orders = Orders(base)
        self.catalog = Catalog(now)
        self.discounts: dict[str, dict[str, Any]] = {}  # upper-case code -> its node, and the input it was made of
        self.bucket = Bucket(now)
        self.max_query_cost = 1000  # points of a single query
        self.bulk = BulkOperations(folder, documents, now, self._roots, url_of)
        self._next_id = FIRST_ORDER_ID

    # What tests do

    def order(self, **draft: Any) -> dict[str, Any]:
        """Add an order; keywords are those of OrderDraft (`id` names the legacy id). Returns its node."""
        legacy_id = int(draft.pop("id", self._next_id))
        self._next_id = max(self._next_id, legacy_id + 1)
        draft.setdefault("created_at", self.now())
        draft.setdefault("currency", self.currency)
        return self.put_order(order_node(OrderDraft(legacy_id=legacy_id, **draft)))

    def put_order(self, node: dict[str, Any]) -> dict[str, Any]:
        """Add or replace an order given in the shape of the schema (children as {"nodes": [...]} or lists)."""
        node.setdefault("__typename", "Order")
        self.orders.put(node)
        return node

    def update_order(self, legacy_id: int | str, **changes: Any) -> dict[str, Any]:
        """Change fields of the node (schema names); updatedAt moves to now, by a second at least."""
        old = self.orders.node(int(legacy_id))
        bumped = max(self.now().replace(microsecond=0), datetime.fromisoformat(old["updatedAt"]) + timedelta(seconds=1))
        return self.put_order({**old, "updatedAt": instant(bumped), **changes})

    def remove_order(self, legacy_id: int | str) -> None:
        """Take an order away: it answers null from now on."""
        self.orders.remove(int(legacy_id))

    # What queries see

    def order_seen(self, legacy_id: int | None) -> Node | None:
        """The order, if it exists and the token may see it."""
        self.require("orders")
        facts = self.orders.facts(legacy_id) if legacy_id is not None else None
        if facts is None or facts.created_s < self._visible_from_s():
            return None
        return self.orders.node(facts.legacy_id)

    def refund_seen(self, legacy_id: int) -> Node | None:
        """The refund, if the token may see its order."""
        self.require("orders")
        found = self.orders.refund(legacy_id)
        return found[1] if found and self.order_seen(found[0]) is not None else None

    def page(self, arguments: dict[str, Any]) -> tuple[list[Row], bool, bool]:
        """One page of `orders(...)`: (rows, is there a page before, after)."""
        self.require("orders")
        size(arguments, "orders")
        ends = [_row_of(arguments.get(name)) for name in ("after", "before")]
        return window(self._search(arguments), arguments, ends[0], ends[1])

    def count(self, query: str | None) -> int:
        """How many orders match."""
        self.require("orders")
        return len(self._search({"query": query, "sortKey": "ID"}))

    def require(self, what: str) -> None:
        """Raises FieldError ACCESS_DENIED without the scope read_orders (or the wider one)."""
        if not self.scopes & {"read_orders", "write_orders", "read_all_orders"}:
            message = f"Access denied for {what} field. Required access: `read_orders` access scope."
            raise FieldError(message, "ACCESS_DENIED", requiredAccess="`read_orders` access scope.")

    def _search(self, arguments: dict[str, Any]) -> list[Row]:
        return self.orders.search(
            arguments.get("query"), arguments.get("sortKey") or "PROCESSED_AT", self._visible_from_s()
        )

    def _visible_from_s(self) -> int:
        if "read_all_orders" in self.scopes:
            return 0
        return int((self.now() - timedelta(days=VISIBLE_DAYS)).timestamp())

    def _roots(self, field: Field, variables: VariableValues) -> Iterator[Node]:
        arguments = field.arguments(variables)
        if field.name != "orders":
            from shared.fakes.shopify.catalog_resolvers import bulk_roots  # it imports this module

            yield from bulk_roots(self, field, arguments)
            return
        rows = self._search({**arguments, "sortKey": arguments.get("sortKey") or "ID"})
        for _, legacy_id in reversed(rows) if arguments.get("reverse") else rows:
            yield self.orders.node(legacy_id)


def row_cursor(row: Row) -> str:
    """The opaque cursor of an order in a sorted search: it survives changes of other orders."""
    return base64.b64encode(json.dumps({"last_id": row[1], "last_value": row[0]}).encode()).decode()


def _row_of(cursor: str | None) -> Row | None:
    if cursor is None:
        return None
    try:
        place = json.loads(base64.b64decode(cursor, validate=True))
        return int(place["last_value"]), int(place["last_id"])
    except (ValueError, KeyError, TypeError):
        raise FieldError("Invalid cursor for current pagination sort.", "BAD_REQUEST") from None
