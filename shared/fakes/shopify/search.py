"""The vendor's search syntax for orders: `created_at:>='2026-11-01T00:00:00Z' AND (tag:x OR -status:open)`.

https://shopify.dev/docs/api/usage/search-syntax. Terms side by side are joined by AND, OR binds looser than AND. A
filter that the vendor does not know is ignored there, with a warning; here it is a FakeGap, so that a slip of the
pen is seen.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from shared.fakes.shopify.project import FakeGap


class Facts(NamedTuple):
    """What most searches look at, without building the order: ids and instants (whole seconds since 1970, UTC)."""

    legacy_id: int
    created_s: int
    updated_s: int
    processed_s: int


NodeOf = Callable[[int], Mapping[str, Any]]
Predicate = Callable[[Facts, NodeOf], bool]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<open>\()|(?P<close>\))
      | (?P<minus>-)?(?P<field>[a-z_]+):(?P<op>>=|<=|>|<)?\s*
        (?:'(?P<single>[^']*)'|"(?P<double>[^"]*)"|(?P<bare>[^\s()]+))
      | (?P<word>AND|OR|NOT)\b
    )""",
    re.VERBOSE,
)
_COMPARE: dict[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "": operator.eq,
}
_INSTANTS = {"created_at": 1, "updated_at": 2, "processed_at": 3}  # place in Facts


def matcher(query: str | None) -> Predicate:
    """The predicate of a search text; no text matches everything. Raises FakeGap for what is not understood."""
    if not query or not query.strip():
        return lambda _facts, _node: True
    parser = _Parser(query)
    predicate = parser.either()
    if parser.peek() is not None:
        raise FakeGap(f"search text has an unmatched parenthesis: {query!r}")
    return predicate


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens: list[re.Match[str]] = []
        at, text = 0, text.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if not found:
                raise FakeGap(f"search text is not understood from {text[at:]!r} on")
            self._tokens.append(found)
            at = found.end()
        self._at = 0

    def peek(self) -> re.Match[str] | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def either(self) -> Predicate:
        left = self._both()
        while self._word("OR"):
            left = _or(left, self._both())
        return left

    def _both(self) -> Predicate:
        left = self._one()
        while True:
            following = self.peek()
            if following is None or following["close"] or following["word"] == "OR":
                return left
            self._word("AND")
            left = _and(left, self._one())

    def _one(self) -> Predicate:
        if self._word("NOT"):
            return _not(self._one())
        token = self.peek()
        if token is None or token["close"] or token["word"]:
            raise FakeGap("search text ends or joins where a filter is needed")
        self._at += 1
        if token["open"]:
            inner = self.either()
            closing = self.peek()
            if closing is None or not closing["close"]:
                raise FakeGap("search text lacks a closing parenthesis")
            self._at += 1
            return inner
        value = next(v for v in (token["single"], token["double"], token["bare"]) if v is not None)
        term = _term(token["field"], token["op"] or "", value)
        return _not(term) if token["minus"] else term

    def _word(self, word: str) -> bool:
        token = self.peek()
        if token is not None and token["word"] == word:
            self._at += 1
            return True
        return False


def _term(name: str, op: str, value: str) -> Predicate:
    compare = _COMPARE[op]
    if name in _INSTANTS:
        place, instant = _INSTANTS[name], epoch(value)
        return lambda facts, _node: compare(facts[place], instant)
    if name == "id":
        wanted = int(value.rsplit("/", 1)[-1])
        return lambda facts, _node: compare(facts.legacy_id, wanted)
    if name == "status":
        return _status(value)
    reader = _READERS.get(name)
    if reader is None or op:
        raise FakeGap(f"the Shopify fake does not search orders by {name}:{op}")
    wanted_text = value.lower()
    return lambda facts, node: wanted_text in reader(node(facts.legacy_id))


def _status(value: str) -> Predicate:
    if value == "any":
        return lambda _facts, _node: True
    if value not in ("open", "closed", "cancelled", "not_closed"):
        raise FakeGap(f"the Shopify fake knows no order status {value!r}")

    def holds(facts: Facts, node: NodeOf) -> bool:
        order = node(facts.legacy_id)
        closed, cancelled = bool(order.get("closedAt")), bool(order.get("cancelledAt"))
        verdicts = {"closed": closed, "cancelled": cancelled, "not_closed": not closed}
        return verdicts.get(value, not closed and not cancelled)

    return holds


def _texts(*values: Any) -> list[str]:
    return [str(value).lower() for value in values if value is not None]


_READERS: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "name": lambda order: _texts(order["name"], order["name"].lstrip("#")),
    "email": lambda order: _texts(order.get("email")),
    "tag": lambda order: _texts(*order["tags"]),
    "test": lambda order: _texts(order["test"]),
    "source_name": lambda order: _texts(order.get("sourceName")),
    "discount_code": lambda order: _texts(*order["discountCodes"]),
    "financial_status": lambda order: _texts(order.get("displayFinancialStatus")),
    "fulfillment_status": lambda order: _texts(order["displayFulfillmentStatus"]),
    "customer_id": lambda order: _texts((order.get("customer") or {}).get("legacyResourceId")),
}


def epoch(text: str) -> int:
    """Whole seconds since 1970 of an ISO instant; without an offset it is UTC, a date means its midnight."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise FakeGap(f"{text!r} is no ISO instant") from None
    return int((instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp())


def _or(left: Predicate, right: Predicate) -> Predicate:
    return lambda facts, node: left(facts, node) or right(facts, node)


def _and(left: Predicate, right: Predicate) -> Predicate:
    return lambda facts, node: left(facts, node) and right(facts, node)


def _not(inner: Predicate) -> Predicate:
    return lambda facts, node: not inner(facts, node)
