"""What a query costs, in points, and the bucket they are taken from.

https://shopify.dev/docs/apps/build/apis/graphql-admin/rate-limits (read November 2026): scalars and enums 0,
objects 1, interfaces and unions the maximum of what may be selected, mutations 10, connections "sized by first and
last". The size is not linear: the vendor publishes no formula, but an answer quoted in its forum (product {
variants(first: 250) { nodes { inventoryItem } } } costs 25) fits 2 + 2 ln(250) * children. We take 2 + max(1, 2 ln
n) * children; a list of ids is sized the same way.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from graphql import OperationType, VariableValues

from shared.fakes.shopify.plan import Field, asked
from shared.fakes.shopify.schema import Operation

MUTATION_COST = 10
CONNECTION_COST = 2


def requested_cost(operation: Operation, variables: VariableValues) -> int:
    """Points reserved before the query runs: as if every page were full."""
    if operation.kind is OperationType.MUTATION:
        return MUTATION_COST * len(operation.fields)
    return max(1, round(_selection(operation.fields, variables)))


def actual_cost(operation: Operation, variables: VariableValues, data: Mapping[str, Any]) -> int:
    """Points charged in the end: by what the answer really holds, never more than was asked for."""
    requested = requested_cost(operation, variables)
    if operation.kind is OperationType.MUTATION:
        return requested
    return min(requested, max(1, round(_answered(operation.fields, data))))


def sized(count: int) -> float:
    """How often the children of a page of `count` are charged: 1 -> 1, 10 -> 4.6, 50 -> 7.8, 250 -> 11.0."""
    return 0.0 if count <= 0 else max(1.0, 2 * math.log(count))


def _selection(fields: Sequence[Field], variables: VariableValues) -> float:
    """Common fields, plus the dearest of the types that an abstract object may turn out to be."""
    common = 0.0
    by_types: dict[frozenset[str], float] = {}
    for each in fields:
        if each.kind == "leaf" or not asked(each, variables):
            continue
        points = _field(each, variables)
        if each.on is None:
            common += points
        else:
            by_types[each.on] = by_types.get(each.on, 0.0) + points
    return common + max(by_types.values(), default=0.0)


def _field(each: Field, variables: VariableValues) -> float:
    if each.kind == "connection":
        arguments = each.arguments(variables)
        count = arguments.get("first") or arguments.get("last") or 0
        return CONNECTION_COST + sized(count) * (1 + _selection(each.node_fields(), variables))
    points = 1 + _selection(each.children, variables)
    if each.kind == "list" and each.definition is not None and "ids" in each.definition.args:
        return sized(len(each.arguments(variables).get("ids") or ())) * points
    return points


def _answered(fields: Sequence[Field], data: Mapping[str, Any]) -> float:
    total = 0.0
    for each in fields:
        value = data.get(each.key)
        if each.kind == "leaf" or each.key not in data:
            continue
        if each.kind == "connection":
            total += CONNECTION_COST + _average(_nodes(each, value), each.node_fields())
        elif each.kind == "list" and each.definition is not None and "ids" in each.definition.args:
            total += _average([item for item in value or () if item], each.children)
        elif isinstance(value, list):
            total += 1 + max((_answered(each.children, item) for item in value if item), default=0.0)
        else:
            total += 1 + (_answered(each.children, value) if value else 0.0)
    return total


def _average(nodes: Sequence[Mapping[str, Any]], fields: Sequence[Field]) -> float:
    if not nodes:
        return 0.0
    return sized(len(nodes)) * sum(1 + _answered(fields, node) for node in nodes) / len(nodes)


def _nodes(each: Field, value: Any) -> list[Mapping[str, Any]]:
    for below in each.children:
        if value and below.name == "nodes":
            return list(value[below.key])
        if value and below.name == "edges":
            key = next((edge.key for edge in below.children if edge.name == "node"), None)
            return [edge[key] for edge in value[below.key]] if key else []
    return []


@dataclass
class Bucket:
    """A leaky bucket of points: `maximum` at most, `rate` points come back per second of the clock."""

    now: Callable[[], datetime]
    maximum: float = 2000.0
    rate: float = 100.0
    _available: float = field(default=-1.0, repr=False)
    _at: datetime | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def take(self, points: float) -> bool:
        """Reserve the points; False when they are not there."""
        with self._lock:
            if self._refilled() < points:
                return False
            self._available -= points
            return True

    def give(self, points: float) -> None:
        """Return what was reserved and not used."""
        with self._lock:
            self._available = min(self.maximum, self._refilled() + points)

    def set(self, points: float) -> None:
        """Set what is available now (tests)."""
        with self._lock:
            self._refilled()
            self._available = points

    def status(self) -> dict[str, float]:
        """throttleStatus of an answer."""
        with self._lock:
            return {
                "maximumAvailable": float(self.maximum),
                "currentlyAvailable": math.floor(self._refilled()),
                "restoreRate": float(self.rate),
            }

    def _refilled(self) -> float:
        now = self.now()
        if self._at is None:
            self._available = self.maximum
        else:
            restored = max(0.0, (now - self._at).total_seconds()) * self.rate
            self._available = min(self.maximum, self._available + restored)
        self._at = now
        return self._available
