"""Which arm an order belongs to, and whether it counts.

Evidence, first that gives an arm of the test: the order's visitor, its session, its customer, a purchase event of the
storefront, then what the cart says of itself. What ab_visitors holds always beats the cart: intention to treat.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from functions.commerce.ab_tests.rules import Variant
from shared.jobs.context import Row

METHODS = ("manual", "visitor", "session", "customer", "event", "cart_variant", "shipping_suffix")
"""ab_order_attributions.method, the strongest first."""
CLOCK_TOLERANCE = timedelta(minutes=5)
"""An order may be that much older than the assignment."""
LATE_WINDOW = timedelta(hours=48)
"""Time after the end for which orders that were placed before it are still taken in."""
CORRECTION_WINDOW = timedelta(days=31)
"""Time after the end for which refunds and cancellations still correct the numbers."""
DEFAULT_WINDOW_DAYS, WINDOW_DAYS = 30, range(1, 91)
"""Days from assignment to order."""

CONTAINERS = ("noteAttributes", "attributes", "customAttributes")
"""Members of attribution_data that hold cart attributes; one that is there says that they were read."""
VISITOR_KEYS = ("_ab_visitor_id", "abVisitorId", "_visitor_id", "visitorId", "visitor_id")
SESSION_KEYS = ("_session_id", "sessionId", "session_id")
TEST_KEYS = ("_ab_test_id", "abTestId")
VARIANT_KEYS = ("_ab_variant_id", "abVariantId")
SUFFIX_KEYS = ("_ab_shipping_suffix", "_ab_shipping_variant")
KEYS = (*VISITOR_KEYS, *SESSION_KEYS, *TEST_KEYS, *VARIANT_KEYS, *SUFFIX_KEYS)


@dataclass(frozen=True, slots=True)
class Trial:
    """A test as orders see it."""

    id: str
    completed: bool
    started_at: datetime
    ended_at: datetime | None
    window: timedelta
    shipping: bool
    config: Mapping[str, Any]
    variants: Mapping[str, Variant]

    def holds(self, at: datetime, slot: datetime) -> bool:
        """Whether the test ran at an order's time."""
        return self.started_at <= at < (self.ended_at or slot)

    def takes_new(self, slot: datetime) -> bool:
        """Whether orders may still be added, not only corrected."""
        return not self.completed or self.ended_at is None or self.ended_at > slot - LATE_WINDOW


@dataclass(frozen=True, slots=True)
class Evidence:
    """`visitor_id` is None where no visitor of ours is known: the order is unlinked."""

    method: str
    variant_id: str
    visitor_id: str | None = None
    session_id: str | None = None
    assigned_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CartAttributes:
    """What a cart says of itself; several ids of one kind in order of trust."""

    visitors: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    test_id: str | None = None
    variant_id: str | None = None
    suffix: str | None = None


def is_read(data: Any) -> bool:
    """Whether attribution_data holds cart attributes, be it that there are none."""
    return isinstance(data, dict) and any(name in data for name in (*CONTAINERS, *KEYS))


def cart_attributes(data: Any) -> CartAttributes:
    """The attributes that matter, from wherever an application put them."""
    given = _merged(data)

    def first(keys: Sequence[str]) -> str | None:
        return next((given[key] for key in keys if key in given), None)

    return CartAttributes(
        visitors=tuple(dict.fromkeys(given[key] for key in VISITOR_KEYS if key in given)),
        sessions=tuple(dict.fromkeys(given[key] for key in SESSION_KEYS if key in given)),
        test_id=first(TEST_KEYS),
        variant_id=first(VARIANT_KEYS),
        suffix=first(SUFFIX_KEYS),
    )


def _merged(data: Any) -> dict[str, str]:
    if not isinstance(data, dict):
        return {}
    found: dict[str, str] = {}
    for source in (data, *(data.get(name) for name in CONTAINERS)):
        for key, value in _pairs(source):
            if key in KEYS and isinstance(value, str | int) and str(value).strip():
                found[key] = str(value).strip()
    return found


def _pairs(source: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(source, dict):
        yield from source.items()
    elif isinstance(source, list):
        for entry in source:
            if isinstance(entry, dict):
                yield entry.get("name", entry.get("key")), entry.get("value")


@dataclass(slots=True)
class Records:
    """Rows of the storefront that may say something about the orders of a page, by what they are looked up with."""

    visitors: dict[tuple[str, str], Row] = field(default_factory=dict)
    """(test, visitor id)."""
    sessions: dict[tuple[str, str], Row] = field(default_factory=dict)
    """(test, session id) -> the visitor assigned first."""
    assignments: dict[tuple[str, str], Row] = field(default_factory=dict)
    """(test, session id)."""
    customers: dict[tuple[str, str], list[Row]] = field(default_factory=dict)
    """(test, customer id) -> assignments, oldest first."""
    events: dict[tuple[str, str], Row] = field(default_factory=dict)
    """(test, order id in any spelling) -> the storefront's purchase event."""


def evidence_of(order: Row, attributes: CartAttributes, trial: Trial, records: Records) -> list[Evidence]:
    """All evidence of one order for one test, the strongest first; each names an arm of this test."""
    found = [
        *_by_visitor(attributes, trial, records),
        *_by_session(attributes, trial, records),
        *_by_customer(order, trial, records),
        *_by_event(order, trial, records),
        *_by_cart(attributes, trial),
    ]
    return [evidence for evidence in found if evidence.variant_id in trial.variants]


def _seen(method: str, row: Row) -> Evidence:
    return Evidence(method, row["variant_id"], row["visitor_id"], row["session_id"], row["assigned_at"])


def _by_visitor(attributes: CartAttributes, trial: Trial, records: Records) -> Iterator[Evidence]:
    for visitor in attributes.visitors:
        if row := records.visitors.get((trial.id, visitor)):
            yield _seen("visitor", row)


def _by_session(attributes: CartAttributes, trial: Trial, records: Records) -> Iterator[Evidence]:
    for session_id in attributes.sessions:
        if row := records.sessions.get((trial.id, session_id)):
            yield _seen("session", row)
        elif row := records.assignments.get((trial.id, session_id)):
            yield Evidence("session", row["variant_id"], None, session_id, row["assigned_at"])


def _by_customer(order: Row, trial: Trial, records: Records) -> Iterator[Evidence]:
    rows = records.customers.get((trial.id, order["customer_id"] or ""), [])
    # A column that may be NULL: such a row is not known to be older than the order.
    before = [row for row in rows if row["assigned_at"] and row["assigned_at"] <= order["ordered_at"]]
    if before:
        row = before[-1]
        if seen := records.sessions.get((trial.id, row["session_id"])):
            yield _seen("customer", seen)
        else:
            yield Evidence("customer", row["variant_id"], None, row["session_id"], row["assigned_at"])


def _by_event(order: Row, trial: Trial, records: Records) -> Iterator[Evidence]:
    for id in order["ids"]:
        if row := records.events.get((trial.id, id)):
            if seen := records.visitors.get((trial.id, row["visitor_id"])):
                yield _seen("event", seen)
            else:
                yield Evidence("event", row["variant_id"])
            return


def _by_cart(attributes: CartAttributes, trial: Trial) -> Iterator[Evidence]:
    if attributes.test_id != trial.id:
        return
    if attributes.variant_id is not None:
        yield Evidence("cart_variant", attributes.variant_id)
    for variant in trial.variants.values():
        if attributes.suffix is not None and variant.shipping_suffix == attributes.suffix:
            yield Evidence("shipping_suffix", variant.id)


def conflicts(chosen: Evidence, evidence: Sequence[Evidence]) -> bool:
    """Whether the cart names another arm than the record that beats it."""
    cart = ("cart_variant", "shipping_suffix")
    return chosen.method not in cart and any(e.method in cart and e.variant_id != chosen.variant_id for e in evidence)


def refusal(evidence: Evidence, trial: Trial, ordered_at: datetime, slot: datetime) -> str | None:
    """Why an order with this evidence is not attributed; None when it is."""
    if evidence.assigned_at is not None:
        if ordered_at < evidence.assigned_at - CLOCK_TOLERANCE:
            return "before_assignment"
        if ordered_at > evidence.assigned_at + trial.window:
            return "outside_window"
    return None if trial.holds(ordered_at, slot) else "not_running"


def window_of(days: Any) -> timedelta:
    """The attribution window of a test's settings; what makes no sense counts as not set."""
    try:
        number = int(days)
    except (TypeError, ValueError):
        number = DEFAULT_WINDOW_DAYS
    return timedelta(days=number if number in WINDOW_DAYS else DEFAULT_WINDOW_DAYS)


def exclusion(order: Row, *, currency: str, renewal_tags: frozenset[str]) -> str | None:
    """Why an attributed order counts nowhere; None when it counts."""
    tags = {tag.strip().lower() for tag in order["tags"]}
    if order["cancelled"]:
        return "cancelled"
    if order["voided"]:
        return "voided"
    if tags & renewal_tags:
        return "renewal"
    if order["currency"] != currency:
        return "currency"
    return "test_order" if "test" in tags or order["is_test"] else None
