"""The root fields of the catalogue: what queries and mutations about products, customers, stock, collections answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from graphql import StringValueNode, VariableNode, VariableValues

from shared.fakes.shopify.builders import gid, instant
from shared.fakes.shopify.orders import window
from shared.fakes.shopify.plan import Field
from shared.fakes.shopify.project import FakeGap, FieldError, Node, connection, paged, projector, size
from shared.fakes.shopify.shop import Shop, _row_of, row_cursor

Resolver = Callable[[Shop, Field, VariableValues, dict[str, Any]], Any]

SCOPES = {
    "Product": "read_products",
    "ProductVariant": "read_products",
    "Collection": "read_products",
    "Customer": "read_customers",
    "InventoryItem": "read_inventory",
    "Location": "read_locations",
}
COUNT_LIMIT = 10_000
INVENTORY_REASONS = frozenset(
    ("correction", "cycle_count_available", "damaged", "movement_created", "movement_received", "movement_canceled",
     "movement_updated", "other", "promotion", "quality_control", "received", "reservation_created",
     "reservation_deleted", "reservation_updated", "restock", "safety_stock", "shrinkage")
)  # fmt: skip
# https://shopify.dev/docs/apps/build/orders-fulfillment/inventory-management-apps/manage-quantities-states


def require(shop: Shop, kind: str, field: str) -> None:
    """Raises FieldError ACCESS_DENIED without the kind's scope."""
    scope = SCOPES[kind]
    if not shop.scopes & {scope, scope.replace("read_", "write_")}:
        message = f"Access denied for {field} field. Required access: `{scope}` access scope."
        raise FieldError(message, "ACCESS_DENIED", requiredAccess=f"`{scope}` access scope.")


def by_id(shop: Shop, kind: str, number: int) -> Node | None:
    """One object of the catalogue."""
    require(shop, kind, "node")
    return shop.catalog.node(kind, number)


def bulk_roots(shop: Shop, field: Field, arguments: dict[str, Any]) -> Iterator[Node]:
    """The objects of a top-level connection that is exported."""
    if field.name == "inventoryItems":
        require(shop, "InventoryItem", field.name)
        yield from shop.catalog.items()
        return
    kind = _LISTS.get(field.name)
    if kind is None:
        raise FakeGap(f"the Shopify fake does not export {field.name}")
    require(shop, kind, field.name)
    for _, number in shop.catalog.search(kind, arguments.get("query"), "ID"):
        node = shop.catalog.node(kind, number)
        if node is not None:
            yield node


def _picked(field: Field, node: Node | None, variables: VariableValues) -> dict[str, Any] | None:
    return None if node is None else projector(field.children)(node, variables)


def _one(kind: str) -> Resolver:
    def resolve(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
        require(shop, kind, field.name)
        return _picked(field, shop.catalog.node(kind, _number(arguments["id"], kind)), variables)

    return resolve


def _many(kind: str, default_sort: str = "ID") -> Resolver:
    def resolve(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
        require(shop, kind, field.name)
        size(arguments, field.name)
        rows = shop.catalog.search(kind, arguments.get("query"), arguments.get("sortKey") or default_sort)
        ends = [_row_of(arguments.get(name)) for name in ("after", "before")]
        page, previous, following = window(rows, arguments, ends[0], ends[1])
        nodes = [shop.catalog.node(kind, number) or {} for _, number in page]
        return paged(field)(nodes, variables, lambda at: row_cursor(page[at]), previous, following)

    return resolve


def _counted(kind: str) -> Resolver:
    def resolve(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
        require(shop, kind, field.name)
        found, limit = shop.catalog.count(kind), arguments.get("limit", COUNT_LIMIT)
        exact = limit is None or found <= limit
        node = {"count": found if exact else limit, "precision": "EXACT" if exact else "AT_LEAST"}
        return _picked(field, node, variables)

    return resolve


def _location(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
    require(shop, "Location", field.name)
    below = field.child("inventoryLevels")
    if below is not None:
        require(shop, "InventoryItem", "inventoryLevels")
    query = below.arguments(variables).get("query") if below else None
    return _picked(field, shop.catalog.location(_number(arguments["id"], "Location"), query), variables)


def _locations(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
    require(shop, "Location", field.name)
    found = [shop.catalog.node("Location", number) or {} for _, number in shop.catalog.search("Location", None, "ID")]
    shown = [each for each in found if arguments.get("includeInactive") or each["isActive"]]
    return connection(field)(shown, variables)


# -- stock -------------------------------------------------------------------------------------------------------------


def _mutation(change: Callable[[Shop, dict[str, Any]], Any], listed: str) -> Resolver:
    def resolve(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
        if "write_inventory" not in shop.scopes:
            raise FieldError(f"Access denied for {field.name} field.", "ACCESS_DENIED")
        given = arguments["input"]
        key = _key(field, variables)
        if key is None:
            raise FieldError("The @idempotent directive is required for this mutation", "IDEMPOTENCY_KEY_REQUIRED")
        held = shop.catalog.idempotency.get(key)
        if held is not None and held[0] != given:
            return _picked(field, _refused("IDEMPOTENCY_KEY_PARAMETER_MISMATCH"), variables)
        answer = held[1] if held else _checked(shop, given, listed) or change(shop, given)
        if not answer["userErrors"]:
            shop.catalog.idempotency[key] = (given, answer)
        return _picked(field, answer, variables)

    return resolve


def _key(field: Field, variables: VariableValues) -> str | None:
    """The key of @idempotent, written out or a variable."""
    for directive in field.node.directives or ():
        if directive.name.value != "idempotent" or not directive.arguments:
            continue
        value = directive.arguments[0].value
        if isinstance(value, VariableNode):
            return str(variables.coerced[value.name.value])
        if isinstance(value, StringValueNode):
            return value.value
    return None


def _checked(shop: Shop, given: dict[str, Any], listed: str) -> dict[str, Any] | None:
    if given["name"] not in ("available", "on_hand"):
        return _refused("INVALID_NAME")
    if given["reason"] not in INVENTORY_REASONS:
        return _refused("INVALID_REASON")
    uri = given.get("referenceDocumentUri")
    if uri is not None and (not uri.startswith("gid://") or uri.startswith("gid://shopify/")):
        return _refused("INVALID_REFERENCE_DOCUMENT")
    for each in given[listed]:
        if shop.catalog.node("InventoryItem", _number(each["inventoryItemId"], "InventoryItem")) is None:
            return _refused("INVALID_INVENTORY_ITEM")
        if shop.catalog.node("Location", _number(each["locationId"], "Location")) is None:
            return _refused("INVALID_LOCATION")
    return None


def _set(shop: Shop, given: dict[str, Any]) -> dict[str, Any]:
    changes = []
    for each in given["quantities"]:
        item, location = _number(each["inventoryItemId"], "InventoryItem"), _number(each["locationId"], "Location")
        before = shop.catalog.levels.get((item, location), {}).get("available", 0)
        expected = each.get("changeFromQuantity")
        if expected is not None and expected != before:
            return _refused("CHANGE_FROM_QUANTITY_STALE")
        changes.append(_moved(shop, item, location, before, each["quantity"]))
    return _done(shop, changes, given)


def _adjust(shop: Shop, given: dict[str, Any]) -> dict[str, Any]:
    changes = []
    for each in given["changes"]:
        item, location = _number(each["inventoryItemId"], "InventoryItem"), _number(each["locationId"], "Location")
        before = shop.catalog.levels.get((item, location), {}).get("available", 0)
        changes.append(_moved(shop, item, location, before, before + each["delta"]))
    return _done(shop, changes, given)


def _moved(shop: Shop, item: int, location: int, before: int, after: int) -> dict[str, Any]:
    held = shop.catalog.levels.get((item, location))
    at = shop.now()
    if held is not None:
        at = max(at, datetime.fromisoformat(held["updatedAt"]) + timedelta(seconds=1))
    shop.catalog.stock(item, location, after, at=instant(at))
    return {"name": "available", "delta": after - before, "quantityAfterChange": after, "ledgerDocumentUri": None}


def _done(shop: Shop, changes: list[dict[str, Any]], given: dict[str, Any]) -> dict[str, Any]:
    group = {
        "id": gid("InventoryAdjustmentGroup", len(shop.catalog.idempotency) + 1),
        "createdAt": instant(shop.now()),
        "reason": given["reason"],
        "referenceDocumentUri": given.get("referenceDocumentUri"),
        "changes": changes,
    }
    return {"inventoryAdjustmentGroup": group, "userErrors": []}


def _refused(code: str) -> dict[str, Any]:
    error = {"code": code, "field": ["input"], "message": code.replace("_", " ").lower()}
    return {"inventoryAdjustmentGroup": None, "userErrors": [error]}


def _number(global_id: str, kind: str) -> int:
    parts = global_id.split("?")[0].split("/")
    if len(parts) != 5 or parts[3] != kind or not parts[4].isdigit():
        raise FieldError(f"Invalid id: {global_id}", "RESOURCE_NOT_FOUND")
    return int(parts[4])


_LISTS = {"products": "Product", "customers": "Customer", "collections": "Collection"}

RESOLVERS: dict[str, Resolver] = {
    "product": _one("Product"),
    "products": _many("Product"),
    "productsCount": _counted("Product"),
    "customer": _one("Customer"),
    "customers": _many("Customer"),
    "customersCount": _counted("Customer"),
    "collection": _one("Collection"),
    "collections": _many("Collection"),
    "collectionsCount": _counted("Collection"),
    "inventoryItem": _one("InventoryItem"),
    "location": _location,
    "locations": _locations,
    "inventorySetQuantities": _mutation(_set, "quantities"),
    "inventoryAdjustQuantities": _mutation(_adjust, "changes"),
}
