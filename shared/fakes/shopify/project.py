"""From a stored object to what was asked: one compiled function per selection.

Stored objects have the shape of the schema: a connection is {"nodes": [...]} or a plain list of all its nodes, a
list is a list, an object below an interface names its `__typename`. A missing nullable field is null. A missing
required field is a gap in the fake, not in the client: FakeGap says which one.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphql import VariableValues

from shared.fakes.shopify.plan import Field, asked

Node = Mapping[str, Any]
Projector = Callable[[Node, VariableValues], dict[str, Any]]
_Value = Callable[[Any, VariableValues], Any]

MAX_PAGE = 250  # https://shopify.dev/docs/api/usage/limits: pages and input arrays


class FakeGap(Exception):
    """The fake holds no value for a field that the schema says is never null, or does not play that part of the API."""


class FieldError(Exception):
    """An error the vendor answers for one field, inside HTTP 200."""

    def __init__(self, message: str, code: str, **more: Any) -> None:
        super().__init__(message)
        self.extensions = {"code": code, **more}


def projector(fields: Sequence[Field]) -> Projector:
    """The function that picks `fields` from an object."""
    if all(field.kind == "leaf" and field.on is None and not field.conditions for field in fields):
        return _leaves(fields)
    steps = tuple(
        (field.key, field.name, field, _value(field), field.on is not None or bool(field.conditions))
        for field in fields
    )

    def pick(node: Node, variables: VariableValues) -> dict[str, Any]:
        get = node.get
        out: dict[str, Any] = {}
        for key, name, field, value, guarded in steps:
            if guarded and not _wanted(field, node, variables):
                continue
            stored = get(name)
            if stored is None and field.kind != "connection":
                out[key] = _absent(field, node)
            else:
                out[key] = stored if value is None else value(stored, variables)
        return out

    return pick


def _leaves(fields: Sequence[Field]) -> Projector:
    """The same for values only: most objects are these (amounts, ids), so this is the inner loop of an export."""
    pairs = tuple((field.key, field.name) for field in fields)
    by_key = {field.key: field for field in fields}

    def pick(node: Node, _variables: VariableValues) -> dict[str, Any]:
        get = node.get
        out = {key: get(name) for key, name in pairs}
        if None in out.values():
            for key, value in out.items():
                if value is None:
                    out[key] = _absent(by_key[key], node)
        return out

    return pick


def _wanted(field: Field, node: Node, variables: VariableValues) -> bool:
    return (field.on is None or node.get("__typename") in field.on) and asked(field, variables)


def page(nodes: Sequence[Any], arguments: Mapping[str, Any], name: str) -> tuple[int, int]:
    """(start, end) of the asked page of a nested connection. Raises FieldError as the vendor does."""
    first, last = size(arguments, name)
    start, end = 0, len(nodes)
    if arguments.get("after") is not None:
        start = _position(arguments["after"]) + 1
    if arguments.get("before") is not None:
        end = min(end, _position(arguments["before"]))
    if first is not None:
        end = min(end, start + first)
    elif last is not None:
        start = max(start, end - last)
    return start, max(start, end)


def size(arguments: Mapping[str, Any], name: str) -> tuple[int | None, int | None]:
    """(first, last), of which one is given and neither above 250."""
    first, last = arguments.get("first"), arguments.get("last")
    if first is None and last is None:
        raise FieldError("you must provide one of first or last", "BAD_REQUEST", fieldName=name)
    for asked_size in (first, last):
        if asked_size is not None and not 0 <= asked_size <= MAX_PAGE:
            raise FieldError(f"first and last must be between 0 and {MAX_PAGE}", "BAD_REQUEST", fieldName=name)
    return first, last


def children(stored: Any) -> Sequence[Any]:
    """All nodes of a stored connection."""
    if stored is None:
        return ()
    nodes: Sequence[Any] = stored["nodes"] if isinstance(stored, Mapping) else stored
    return nodes


def cursor(position: int) -> str:
    """The opaque cursor of a place in a nested connection."""
    return base64.b64encode(f'{{"offset":{position}}}'.encode()).decode()


def _position(text: str) -> int:
    try:
        return int(base64.b64decode(text, validate=True)[10:-1])
    except ValueError:
        raise FieldError("Invalid cursor for current pagination sort.", "BAD_REQUEST") from None


def _value(field: Field) -> _Value | None:
    if field.kind == "leaf":
        return None
    if field.kind == "connection":
        return connection(field)
    below = projector(field.children)
    if field.kind == "object":
        return below
    limited = bool(field.definition and "first" in field.definition.args)

    def pick_list(stored: Any, variables: VariableValues) -> list[Any]:
        limit = field.arguments(variables).get("first") if limited else None
        items = stored if limit is None else stored[:limit]
        return [None if item is None else below(item, variables) for item in items]

    return pick_list


def connection(field: Field) -> Callable[[Any, VariableValues], dict[str, Any]]:
    """The function that answers a nested connection from all its nodes."""
    answer = paged(field)

    def pick_connection(stored: Any, variables: VariableValues) -> dict[str, Any]:
        nodes = children(stored)
        start, end = page(nodes, field.arguments(variables), field.name)
        return answer(nodes[start:end], variables, lambda at: cursor(start + at), start > 0, end < len(nodes))

    return pick_connection


Paged = Callable[[Sequence[Node], VariableValues, Callable[[int], str], bool, bool], dict[str, Any]]


def paged(field: Field) -> Paged:
    """The function that shapes one page: (nodes, variables, cursor of the n-th, is there a page before, after)."""
    shapes = [
        (below, projector(below.children), [(edge.key, edge.name, projector(edge.children)) for edge in below.children])
        for below in field.children
        if below.kind != "leaf"
    ]

    def answer(
        nodes: Sequence[Node],
        variables: VariableValues,
        cursor_at: Callable[[int], str],
        previous: bool,
        following: bool,
    ) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for below, pick, edge in shapes:
            if below.name == "nodes":
                out[below.key] = [pick(node, variables) for node in nodes]
            elif below.name == "edges":
                out[below.key] = [
                    {
                        key: pick_node(node, variables) if name == "node" else cursor_at(at)
                        for key, name, pick_node in edge
                    }
                    for at, node in enumerate(nodes)
                ]
            elif below.name == "pageInfo":
                ends = (cursor_at(0), cursor_at(len(nodes) - 1)) if nodes else (None, None)
                info = {
                    "hasPreviousPage": previous,
                    "hasNextPage": following,
                    "startCursor": ends[0],
                    "endCursor": ends[1],
                }
                out[below.key] = {each.key: info[each.name] for each in below.children}
        return out

    return answer


def _absent(field: Field, node: Node) -> Any:
    if field.name == "__typename":
        return node.get("__typename", field.parent)
    if field.required:
        raise FakeGap(f"the Shopify fake holds no value for {field.parent}.{field.name}")
    return None
