"""The orders of one shop: what tests put there, above an optional base that is made on demand (a purchase log)."""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from shared.fakes.shopify.builders import cents
from shared.fakes.shopify.project import FakeGap
from shared.fakes.shopify.search import Facts, epoch, matcher

SEARCHES_KEPT = 64  # sorted results; the pages of one search come one after the other
_SORT_KEYS = {"ID": 0, "ORDER_NUMBER": 0, "CREATED_AT": 1, "UPDATED_AT": 2, "PROCESSED_AT": 3}  # place in Facts

Row = tuple[int, int]  # (value of the sort key, legacy id)


class OrderBase(Protocol):
    """Orders that are too many to keep as nodes."""

    def facts(self) -> Iterable[Facts]:
        """Of every order."""

    def __contains__(self, legacy_id: object) -> bool: ...

    def node(self, legacy_id: int) -> dict[str, Any]:
        """The node of an order that is there; made anew at every call."""

    def total_cents(self, legacy_id: int) -> int:
        """totalPriceSet of an order that is there, in hundredths."""

    def order_of_refund(self, refund_id: int) -> int | None:
        """The order that holds the refund."""


class Orders:
    """Orders by legacy id, and the sorted results of searches over them."""

    def __init__(self, base: OrderBase | None = None) -> None:
        self._base = base
        self._own: dict[int, dict[str, Any]] = {}
        self._facts: dict[int, Facts] = {facts.legacy_id: facts for facts in base.facts()} if base else {}
        self._refunds: dict[int, int] = {}
        self._searches: OrderedDict[tuple[str, str, int], list[Row]] = OrderedDict()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._facts)

    def ids(self) -> list[int]:
        """All legacy ids, ascending."""
        with self._lock:
            return sorted(self._facts)

    def own_ids(self) -> list[int]:
        """Legacy ids of the orders that were put here, without the base's."""
        with self._lock:
            return [legacy_id for legacy_id in self._own if legacy_id in self._facts]

    def put(self, node: dict[str, Any]) -> None:
        """Add or replace an order."""
        legacy_id = int(node["legacyResourceId"])
        with self._lock:
            self._own[legacy_id] = node
            self._facts[legacy_id] = Facts(
                legacy_id, epoch(node["createdAt"]), epoch(node["updatedAt"]), epoch(node["processedAt"])
            )
            self._refunds.update({int(refund["legacyResourceId"]): legacy_id for refund in node["refunds"]})
            self._searches.clear()

    def remove(self, legacy_id: int) -> None:
        """Take an order away, as if it had never been; KeyError when it is not there."""
        with self._lock:
            del self._facts[legacy_id]
            self._own.pop(legacy_id, None)
            self._searches.clear()

    def facts(self, legacy_id: int) -> Facts | None:
        """The instants of one order; None when there is no such order."""
        return self._facts.get(legacy_id)

    def node(self, legacy_id: int) -> dict[str, Any]:
        """The node; KeyError when there is no such order."""
        if legacy_id not in self._facts:
            raise KeyError(legacy_id)
        own = self._own.get(legacy_id)
        if own is not None:
            return own
        if self._base is None:
            raise KeyError(legacy_id)
        return self._base.node(legacy_id)

    def gross_cents(self) -> int:
        """Sum of totalPriceSet over all orders: before refunds, in hundredths."""
        with self._lock:
            return sum(self._total_cents(legacy_id) for legacy_id in self._facts)

    def _total_cents(self, legacy_id: int) -> int:
        if self._base is not None and legacy_id not in self._own:
            return self._base.total_cents(legacy_id)
        return cents(self._own[legacy_id]["totalPriceSet"]["shopMoney"]["amount"])

    def refund(self, refund_id: int) -> tuple[int, dict[str, Any]] | None:
        """(legacy id of its order, the refund)."""
        order_id = self._refunds.get(refund_id)
        if order_id is None and self._base is not None:
            order_id = self._base.order_of_refund(refund_id)
        if order_id is None or order_id not in self._facts:
            return None
        wanted = str(refund_id)
        for refund in self.node(order_id)["refunds"]:
            if refund["legacyResourceId"] == wanted:
                return order_id, refund
        return None

    def search(self, query: str | None, sort_key: str, visible_from_s: int = 0) -> list[Row]:
        """All matches, ascending by (sort value, id); orders created before `visible_from_s` are not seen."""
        place = _SORT_KEYS.get(sort_key)
        if place is None:
            raise FakeGap(f"the Shopify fake does not sort orders by {sort_key}")
        key = (query or "", sort_key, visible_from_s)
        with self._lock:
            rows = self._searches.get(key)
            if rows is None:
                holds = matcher(query)
                seen = (facts for facts in self._facts.values() if facts.created_s >= visible_from_s)
                rows = sorted((facts[place], facts.legacy_id) for facts in seen if holds(facts, self.node))
                self._searches[key] = rows
                if len(self._searches) > SEARCHES_KEPT:
                    self._searches.popitem(last=False)
            return rows


def window(
    rows: Sequence[Row], arguments: Mapping[str, Any], after: Row | None, before: Row | None
) -> tuple[list[Row], bool, bool]:
    """(the page, is there one before, is there one after) of ascending rows; `reverse` turns the order round."""
    reverse = bool(arguments.get("reverse"))
    low, high = (before, after) if reverse else (after, before)
    start = 0 if low is None else bisect_right(rows, low)
    end = len(rows) if high is None else bisect_left(rows, high)
    end = max(start, end)
    count, from_end = arguments.get("first"), reverse
    if count is None:
        count, from_end = arguments["last"], not reverse
    if from_end:
        start = max(start, end - count)
    else:
        end = min(end, start + count)
    page = list(rows[start:end])
    earlier, later = start > 0, end < len(rows)
    return (page[::-1], later, earlier) if reverse else (page, earlier, later)
