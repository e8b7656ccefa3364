"""Who saw the A/B test of the second demo shop: every buyer of its orders, and people who only looked.

    control       a third of the buyers and a little more
    free_shipping the others: it sells better, clearly enough for the test to end by itself

Both arms have PER_ARM visitors, so that the split is as planned. A buyer comes some hours before the first of his
orders; who only looks comes at any time of the span. The same log gives the same visitors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from shared.fakes.cdnow import CdnowOrders
from shared.fakes.cdnow_order import mix

CONTROL, CHALLENGER = "demo-checkout-control", "demo-checkout-free-shipping"
"""Variant ids."""
BUYER = "visitor-"
"""How cdnow_order.py begins a buyer's visitor id."""
PER_ARM = 2_000
CONTROL_BUYERS = 36
"""Of 100 buyers that the control has."""
LEAD = timedelta(days=4)
"""From the start of the test to the shop's first order."""


class Visitor(NamedTuple):
    """An assignment. `id` is what the storefront writes into carts as _visitor_id."""

    id: str
    variant: str
    assigned_at: datetime


class Span(NamedTuple):
    """When the test began, and when the shop's last order was placed."""

    start: datetime
    end: datetime


def span(orders: CdnowOrders) -> Span:
    """The test's time around a shop's orders."""
    placed = [facts.created_s for facts in orders.facts()]
    return Span(_instant(min(placed)) - LEAD, _instant(max(placed)))


def visitors(orders: CdnowOrders) -> list[Visitor]:
    """PER_ARM visitors of each arm; every buyer is one of them. Raises ValueError when an arm has more buyers."""
    found = list(_buyers(orders))
    begin, end = span(orders)
    taken = Counter(visitor.variant for visitor in found)
    for variant in (CONTROL, CHALLENGER):
        others = PER_ARM - taken[variant]
        if others < 0:
            raise ValueError(f"{taken[variant]} buyers do not fit into an arm of {PER_ARM} visitors")
        step = (end - begin) / PER_ARM
        found += [Visitor(f"{variant}-guest-{n}", variant, begin + step * n) for n in range(others)]
    return found


def converted(orders: CdnowOrders) -> dict[str, int]:
    """Buyers per variant of whom at least one order stands: what the test has to find."""
    standing = {purchase.customer for purchase in _purchases(orders) if not purchase.cancelled}
    counts = Counter(arm_of(customer) for customer in standing)
    return {variant: counts[variant] for variant in (CONTROL, CHALLENGER)}


def arm_of(customer: int) -> str:
    """The variant that a buyer saw."""
    return CONTROL if mix(customer, 0, 8) % 100 < CONTROL_BUYERS else CHALLENGER


class _Purchase(NamedTuple):
    customer: int
    placed_s: int
    cancelled: bool


def _purchases(orders: CdnowOrders) -> Iterator[_Purchase]:
    for facts in orders.facts():
        node = orders.node(facts.legacy_id)
        attributes = {each["key"]: each["value"] for each in node["customAttributes"]}
        customer = int(attributes["_visitor_id"].removeprefix(BUYER))
        yield _Purchase(customer, facts.created_s, node["cancelledAt"] is not None)


def _buyers(orders: CdnowOrders) -> Iterator[Visitor]:
    first: dict[int, int] = {}
    for purchase in _purchases(orders):
        first.setdefault(purchase.customer, purchase.placed_s)
    for customer, placed_s in first.items():
        hours = 1 + mix(customer, 0, 9) % 60
        yield Visitor(f"{BUYER}{customer}", arm_of(customer), _instant(placed_s) - timedelta(hours=hours))


def _instant(moment_s: int) -> datetime:
    return datetime.fromtimestamp(moment_s, UTC)
