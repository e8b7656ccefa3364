"""From a request body to an answer: check, price, throttle, resolve.

The order is the vendor's: a query that does not fit the schema costs nothing, one that is too dear is refused
whatever the bucket holds, one the bucket cannot pay is THROTTLED. All of these are HTTP 200.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import GraphQLError, VariableValues

from shared.fakes.shopify.builders import gid
from shared.fakes.shopify.bulk import BulkRefused, BulkRun
from shared.fakes.shopify.catalog_resolvers import RESOLVERS as CATALOG_RESOLVERS
from shared.fakes.shopify.catalog_resolvers import SCOPES as CATALOG_SCOPES
from shared.fakes.shopify.catalog_resolvers import by_id as catalog_object
from shared.fakes.shopify.cost import actual_cost, requested_cost
from shared.fakes.shopify.discounts import by_code as discount_by_code
from shared.fakes.shopify.discounts import create as create_discount
from shared.fakes.shopify.discounts import fulfillment_seen
from shared.fakes.shopify.plan import Field, asked
from shared.fakes.shopify.project import MAX_PAGE, FakeGap, FieldError, connection, paged, projector
from shared.fakes.shopify.schema import BadRequest, Documents, Operation
from shared.fakes.shopify.shop import Shop, row_cursor

DOCUMENTATION = "https://shopify.dev/docs/api/usage/limits"
COUNT_LIMIT = 10_000  # of ordersCount without `limit: null`


@dataclass
class Answer:
    """What goes back, and what the record of requests keeps of it."""

    status: int
    body: dict[str, Any]
    operation: str = ""
    requested: int | None = None
    actual: int | None = None


def answer(shop: Shop, documents: Documents, body: bytes) -> Answer:
    """The answer to one POST. Raises FakeGap when the client asks for what the fake does not play."""
    try:
        request = json.loads(body)
        text, given = request["query"], request.get("variables") or {}
        operation = documents.operation(text, request.get("operationName"))
        variables = documents.variables(operation, given)
        requested = requested_cost(operation, variables)
    except BadRequest as error:
        return Answer(200, {"errors": error.errors})
    except GraphQLError as error:
        return Answer(200, {"errors": [dict(error.formatted)]})
    except (ValueError, KeyError, TypeError, AttributeError):
        return Answer(400, {"errors": {"query": "Required parameter missing or invalid"}})
    if requested > shop.max_query_cost:
        return too_dear(shop, operation.name, requested)
    if not shop.bucket.take(requested):
        return throttled(shop, operation.name, requested)
    data, errors = _resolve(shop, operation, variables)
    actual = actual_cost(operation, variables, data)
    shop.bucket.give(requested - actual)
    out: dict[str, Any] = {"data": data}
    if errors:
        out["errors"] = errors
    out["extensions"] = _cost(shop, requested, actual)
    return Answer(200, out, operation.name or _root(operation), requested, actual)


def throttled(shop: Shop, name: str, requested: int, available: float | None = None) -> Answer:
    """THROTTLED inside HTTP 200. `available`: what the answer shall tell instead of the bucket's level (tests)."""
    extensions = _cost(shop, requested, None)
    if available is not None:
        extensions["cost"]["throttleStatus"]["currentlyAvailable"] = available
    error = {"message": "Throttled", "extensions": {"code": "THROTTLED", "documentation": DOCUMENTATION}}
    return Answer(200, {"errors": [error], "extensions": extensions}, name, requested)


def too_dear(shop: Shop, name: str, requested: int) -> Answer:
    """MAX_COST_EXCEEDED inside HTTP 200."""
    limit = shop.max_query_cost
    error = {
        "message": f"Query cost is {requested}, which exceeds the single query max cost limit ({limit}).",
        "extensions": {
            "code": "MAX_COST_EXCEEDED",
            "cost": requested,
            "maxCost": limit,
            "documentation": DOCUMENTATION,
        },
    }
    return Answer(200, {"errors": [error]}, name, requested)


def _cost(shop: Shop, requested: int, actual: int | None) -> dict[str, Any]:
    status = shop.bucket.status()
    return {"cost": {"requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": status}}


def _root(operation: Operation) -> str:
    return operation.fields[0].name if operation.fields else ""


def _resolve(
    shop: Shop, operation: Operation, variables: VariableValues
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    data: dict[str, Any] = {}
    errors: list[dict[str, Any]] = []
    for field in operation.fields:
        if not asked(field, variables):
            continue
        resolver = _RESOLVERS.get(field.name)
        if resolver is None:
            raise FakeGap(f"the Shopify fake does not play {field.parent}.{field.name}")
        try:
            data[field.key] = resolver(shop, field, variables, field.arguments(variables))
        except FieldError as error:
            data[field.key] = None
            errors.append({"message": str(error), "path": [field.key], "extensions": error.extensions})
    return data, errors


Resolver = Callable[[Shop, Field, VariableValues, dict[str, Any]], Any]


def _picked(field: Field, node: Mapping[str, Any] | None, variables: VariableValues) -> dict[str, Any] | None:
    return None if node is None else projector(field.children)(node, variables)


def _order(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
    kind, number = _parsed(arguments["id"])
    if kind != "Order":
        raise FieldError(f"Invalid id: {arguments['id']}", "RESOURCE_NOT_FOUND")
    return _picked(field, shop.order_seen(number), variables)


def _orders(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
    rows, previous, following = shop.page(arguments)
    nodes = [shop.orders.node(legacy_id) for _, legacy_id in rows]
    return paged(field)(nodes, variables, lambda at: row_cursor(rows[at]), previous, following)


def _orders_count(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
    found, limit = shop.count(arguments.get("query")), arguments.get("limit", COUNT_LIMIT)
    exact = limit is None or found <= limit
    node = {"count": found if exact else limit, "precision": "EXACT" if exact else "AT_LEAST"}
    return _picked(field, node, variables)


def _node(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
    return _picked(field, _by_id(shop, arguments["id"]), variables)


def _nodes(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
    ids = arguments["ids"]
    if len(ids) > MAX_PAGE:
        message = f"The input array size of {len(ids)} is greater than the maximum allowed of {MAX_PAGE}."
        raise FieldError(message, "MAX_INPUT_SIZE_EXCEEDED")
    pick = projector(field.children)
    found = (_by_id(shop, each) for each in ids)
    return [None if node is None else pick(node, variables) for node in found]


def _by_id(shop: Shop, wanted: str) -> Mapping[str, Any] | None:
    kind, number = _parsed(wanted)
    if kind == "Order":
        return shop.order_seen(number)
    if kind == "Refund":
        return shop.refund_seen(number)
    if kind == "Fulfillment":
        return fulfillment_seen(shop, number)
    if kind == "BulkOperation":
        return _bulk_node(shop, shop.bulk.find(number, wait=True))
    if kind in CATALOG_SCOPES:
        return catalog_object(shop, kind, number)
    raise FakeGap(f"the Shopify fake holds no objects of type {kind}")


def _shop(shop: Shop, field: Field, variables: VariableValues, _arguments: dict[str, Any]) -> Any:
    node = {
        "id": gid("Shop", 1),
        "name": shop.domain.split(".")[0],
        "email": f"owner@{shop.domain}",
        "myshopifyDomain": shop.domain,
        "url": f"https://{shop.domain}",
        "currencyCode": shop.currency,
        "ianaTimezone": "America/New_York",
    }
    return _picked(field, node, variables)


def _bulk_node(shop: Shop, run: BulkRun | None) -> dict[str, Any] | None:
    return None if run is None else shop.bulk.node(run)


def _bulk_operation(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
    kind, number = _parsed(arguments["id"])
    run = shop.bulk.find(number, wait=True) if kind == "BulkOperation" else None
    return _picked(field, _bulk_node(shop, run), variables)


def _bulk_operations(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
    """`query` knows status:X, operation_type:query and id:N; oldest first."""
    nodes = [shop.bulk.node(run) for run in shop.bulk.runs()]
    for term in (arguments.get("query") or "").replace("'", "").replace('"', "").split():
        name, _, value = term.partition(":")
        if name == "status":
            nodes = [node for node in nodes if node["status"].lower() == value.lower()]
        elif name == "id":
            nodes = [node for node in nodes if node["id"].rsplit("/", 1)[-1] == value.rsplit("/", 1)[-1]]
        elif (name, value.lower()) != ("operation_type", "query") and term != "AND":
            raise FakeGap(f"the Shopify fake does not search bulk operations by {term}")
    return connection(field)(nodes[::-1] if arguments.get("reverse") else nodes, variables)


def _current_bulk(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
    runs = shop.bulk.runs() if arguments.get("type", "QUERY") == "QUERY" else []
    run = shop.bulk.find(runs[-1].number, wait=True) if runs else None
    return _picked(field, _bulk_node(shop, run), variables)


def _bulk_run_query(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
    shop.require("bulkOperationRunQuery")
    try:
        run = shop.bulk.start(arguments["query"], arguments["groupObjects"])
    except BulkRefused as error:
        refusal = {"code": error.code, "field": ["query"] if error.code == "INVALID" else None, "message": str(error)}
        return _picked(field, {"bulkOperation": None, "userErrors": [refusal]}, variables)
    # The vendor answers before the work begins, whatever the state is by now.
    node = {**shop.bulk.node(run), "status": "CREATED", "url": None, "completedAt": None, "errorCode": None}
    return _picked(field, {"bulkOperation": node, "userErrors": []}, variables)


def _bulk_cancel(shop: Shop, field: Field, variables: VariableValues, arguments: dict[str, Any]) -> Any:
    kind, number = _parsed(arguments["id"])
    run = shop.bulk.find(number) if kind == "BulkOperation" else None
    if run is None:
        refusal = {"field": ["id"], "message": "Bulk operation does not exist"}
        return _picked(field, {"bulkOperation": None, "userErrors": [refusal]}, variables)
    shop.bulk.cancel(run)
    return _picked(field, {"bulkOperation": shop.bulk.node(run), "userErrors": []}, variables)


def _parsed(global_id: str) -> tuple[str, int]:
    parts = global_id.split("/")
    if len(parts) != 5 or parts[:3] != ["gid:", "", "shopify"] or not parts[4].isdigit():
        raise FieldError(f"Invalid global id '{global_id}'", "argumentLiteralsIncompatible")
    return parts[3], int(parts[4])


_RESOLVERS: dict[str, Resolver] = {
    "order": _order,
    "orders": _orders,
    "ordersCount": _orders_count,
    "node": _node,
    "nodes": _nodes,
    "shop": _shop,
    "bulkOperation": _bulk_operation,
    "bulkOperations": _bulk_operations,
    "currentBulkOperation": _current_bulk,
    "bulkOperationRunQuery": _bulk_run_query,
    "bulkOperationCancel": _bulk_cancel,
    "discountCodeBasicCreate": create_discount,
    "codeDiscountNodeByCode": discount_by_code,
    **CATALOG_RESOLVERS,
}
