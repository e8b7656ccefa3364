"""Keeps the tenant's copy of Shopify's orders true: the ONE way in which an order reaches our tables.

A single sync, a batch, a reconciliation and the handling of a new order all call store_orders, in a transaction per
chunk. It takes a constant number of statements whatever the size of the chunk: marks, what we hold, orders, lines,
fulfilments, refunds, codes, events. An older answer than the one stored before changes nothing, and so does an answer
that says nothing new. Shopify is the master; nothing is written to it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from psycopg.errors import UniqueViolation

from shared.jobs.context import Row, Session, Tenant
from shared.jobs.errors import Transient
from shared.orders.announcements import (
    Announce,
    CommissionFacts,
    Emission,
    Sighting,
    announce_order,
    commission_event,
    commission_facts,
    due_commissions,
    has_news,
)
from shared.orders.codes import CodeOwner, CodeUse, code_owners, record_code_uses
from shared.orders.marks import PARTIAL, UNTOLD, Mark, drop_local_marks, lock_marks, write_marks
from shared.orders.records import OrderRecord, RefundRecord
from shared.orders.rows import (
    PartStamps,
    RefundTerms,
    announced_parts,
    known_orders,
    write_fulfillments,
    write_orders,
    write_refund_details,
    write_refunds,
)

Outcome = Literal["created", "updated", "unchanged", "stale", "test_order"]

# Whether prices include tax is not kept with an order, but its lines tell: net = gross - discount - tax, or without.
REFUNDED_ORDERS = """
-- orders: the orders of refunds whose lines were read, with their money
SELECT r.shopify_refund_id, r.order_shopify_id AS legacy_id, o.net_sales_cents, o.total_cents,
       COALESCE(l.gross_cents > l.untaxed_cents + l.tax_cents / 2, false) AS taxes_included
FROM refunds r
JOIN orders o ON o.shopify_id = r.order_shopify_id
LEFT JOIN LATERAL (
    SELECT sum(i.price_cents::bigint * i.quantity) AS gross_cents,
           sum(i.net_cents + i.discount_cents) AS untaxed_cents, sum(i.tax_cents) AS tax_cents
    FROM order_line_items i WHERE i.order_shopify_id = r.order_shopify_id
) AS l ON true
WHERE r.shopify_refund_id = ANY(%(refund_ids)s)
"""

COMMISSION_FACTS = """
-- orders: what the commissions of orders depend on, as it is stored
SELECT o.shopify_id AS legacy_id, o.id AS order_id, COALESCE(o.discount_codes, '[]') AS codes,
       o.attribution_data ->> 'creatorCode' AS creator_code, o.net_sales_cents,
       o.financial_status::text AS financial_status, o.cancelled_at IS NOT NULL AS cancelled,
       (SELECT COALESCE(sum(r.goods_cents), 0)::bigint FROM refunds r WHERE r.order_shopify_id = o.shopify_id)
           AS goods_refunded_cents,
       COALESCE(o.order_placed_at, o.created_at) AS placed_at,
       EXISTS (SELECT FROM commissions c WHERE c.order_id = o.id) AS has_commission
FROM orders o
WHERE o.shopify_id = ANY(%(legacy_ids)s)
ORDER BY o.shopify_id
"""


@dataclass(slots=True)
class StoreCounts:
    """What a chunk did. `announced` counts events; `totals_mismatch` orders whose lines disagree with their subtotal.

    `by_id` and `order_ids` are by legacy id; `order_ids` holds orders.id of what is stored or unchanged.
    """

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    stale: int = 0
    test: int = 0
    announced: int = 0
    totals_mismatch: int = 0
    by_id: dict[str, Outcome] = field(default_factory=dict)
    order_ids: dict[str, str] = field(default_factory=dict)


def store_orders(
    session: Session,
    orders: Sequence[OrderRecord],
    *,
    tenant: Tenant,
    now: datetime,
    source: str,
    announce: Announce,
    include_test: bool = False,
    mark_created_announced: bool = False,
) -> StoreCounts:
    """Write a chunk of orders (500 at most is wise: locks last until the transaction ends) and announce what is new.

    `source`: what first saw an order, kept with its mark. `include_test`: whether test orders are stored; else they
    get a mark only. `mark_created_announced`: the caller IS the announcement of these orders and tells the rest
    itself: order.created and order.commission do not go out. An order that comes twice counts once, the newest.

    Raises Transient ORDER_CONFLICT when an app inserts one of these orders at the same moment.
    """
    newest = _newest(orders)
    if not newest:
        return StoreCounts()
    with _conflicts_are_transient():
        marks = lock_marks(session, sorted(newest), source=source, now=now)
        silent = announce == "none"
        outcomes = {id: _first_outcome(order, marks[id], include_test, silent) for id, order in newest.items()}
        fresh = [newest[id] for id in sorted(newest) if outcomes[id] is None]
        known = known_orders(session, [order.legacy_id for order in fresh]) if fresh else {}
        sightings = [_sight(order, marks[order.legacy_id], known.get(order.legacy_id)) for order in fresh]
        if mark_created_announced:
            for sighting in sightings:
                sighting.mark.created_announced_at = sighting.mark.created_announced_at or now
        events = _write(session, sightings, tenant=tenant, now=now, announce=announce, tell=not mark_created_announced)
        touched = [marks[id] for id, outcome in outcomes.items() if outcome != "stale"]
        write_marks(session, sorted(touched, key=lambda m: m.shopify_order_id), now=now)
        drop_local_marks(session, [s.order_id for s in sightings if s.known and s.known["has_local_mark"]])
    if events:
        session.emit_many(events)
    for sighting in sightings:
        outcomes[sighting.order.legacy_id] = "updated" if sighting.known else "created"
    return _count(newest, marks, outcomes, len(events))


def store_refund_details(
    session: Session, refunds: Sequence[RefundRecord], *, tenant: Tenant, now: datetime, source: str = "batch"
) -> int:
    """Complete refunds that a bulk file brought without their lines, and judge their orders' commissions.

    Refunds that we do not hold are left out; the number of those written comes back. Give all refunds of an order in
    one call where you can: each call judges anew.
    """
    with _conflicts_are_transient():
        by_id = {refund.legacy_id: refund for refund in refunds if refund.lines is not None}
        rows = session.all(REFUNDED_ORDERS, {"refund_ids": sorted(by_id)}) if by_id else []
        if not rows:
            return 0
        marks = lock_marks(session, sorted({row["legacy_id"] for row in rows}), source=source, now=now)
        write_refund_details(session, [(by_id[row["shopify_refund_id"]], _terms(row)) for row in rows])
        events = _judge_stored(session, marks, tenant=tenant, now=now)
        for mark in marks.values():
            mark.content_hash = mark.content_hash.removesuffix(PARTIAL)
        write_marks(session, [marks[id] for id in sorted(marks)], now=now)
    if events:
        session.emit_many(events)
    return len(rows)


@contextmanager
def _conflicts_are_transient() -> Iterator[None]:
    try:
        yield
    except UniqueViolation as error:
        raise Transient(
            "ORDER_CONFLICT", f"someone else wrote at the same time ({error.diag.constraint_name})"
        ) from error


def _newest(orders: Sequence[OrderRecord]) -> dict[str, OrderRecord]:
    newest: dict[str, OrderRecord] = {}
    for order in orders:
        held = newest.get(order.legacy_id)
        if held is None or order.updated_at >= held.updated_at:
            newest[order.legacy_id] = order
    return newest


def _first_outcome(order: OrderRecord, mark: Mark, include_test: bool, silent: bool) -> Outcome | None:
    """Stale, unchanged or test_order; None for an order that has to be written. Moves the mark on unless stale.

    To who announces, an order that waits to be told is never unchanged.
    """
    if order.updated_at < mark.shopify_updated_at:
        return "stale"
    mark.shopify_updated_at = order.updated_at
    if order.test and not include_test:
        mark.order_id = ""
        mark.content_hash = ""  # should test orders be wanted one day, the next answer is news
        return "test_order"
    same = (order.content_hash, order.content_hash + PARTIAL) if order.lacks_details else (order.content_hash,)
    held = mark.content_hash.replace(UNTOLD, "") if silent else mark.content_hash
    if held in same:
        return "unchanged"
    mark.content_hash = order.content_hash + (PARTIAL if order.lacks_details else "")
    return None


def _sight(order: OrderRecord, mark: Mark, known: Row | None) -> Sighting:
    mark.order_id = known["id"] if known else order.legacy_id
    if known and known["has_local_mark"]:
        mark.created_announced_at = mark.created_announced_at or known["created_announced_at"]
        mark.created_handled_at = mark.created_handled_at or known["created_handled_at"]
    return Sighting(order=order, order_id=mark.order_id, mark=mark, known=known)


def _write(
    session: Session, sightings: Sequence[Sighting], *, tenant: Tenant, now: datetime, announce: Announce, tell: bool
) -> list[Emission]:
    """Write the orders with their parts and give back the events; stamps the marks in place."""
    if not sightings:
        return []
    orders = [sighting.order for sighting in sightings]
    parts = announced_parts(session, orders)
    events: list[Emission] = []
    stamps: dict[tuple[str, str], PartStamps] = {}
    for sighting in sightings:
        if announce == "none" and has_news(sighting, parts, now=now):
            sighting.mark.keep_untold()
        new_events, new_stamps = announce_order(sighting, parts, announce=announce, now=now)
        events += new_events
        stamps |= new_stamps
    write_orders(session, orders, {s.order.legacy_id: s.order_id for s in sightings}, now=now)
    write_fulfillments(session, orders, stamps, known={s.order.legacy_id for s in sightings if s.known})
    write_refunds(session, orders, stamps)
    facts = [found for s in sightings if (found := commission_facts(s)) is not None]
    codes = {code for f in facts for code in f.all_codes} | {c for o in orders for c in o.columns["discount_codes"]}
    owners = code_owners(session, codes, tenant.organization_id)
    record_code_uses(session, [_code_use(s) for s in sightings], owners)
    due = _tell_commissions(session, facts, owners, {s.order.legacy_id: s.mark for s in sightings}, now)
    return events + (due if tell else [])


def _code_use(sighting: Sighting) -> CodeUse:
    columns = sighting.order.columns
    return CodeUse(
        order_id=sighting.order_id,
        codes=tuple(columns["discount_codes"]),
        customer_id=sighting.customer_id,
        discount_cents=columns["discount_cents"],
        total_cents=columns["total_cents"],
        placed_at=sighting.order.placed_at,
    )


def _tell_commissions(
    session: Session,
    facts: Sequence[CommissionFacts],
    owners: dict[str, CodeOwner],
    marks: dict[str, Mark],
    now: datetime,
) -> list[Emission]:
    due = due_commissions(session, facts, owners, now=now)
    for found in due:
        marks[found.legacy_id].commission_hash = found.hash
    return [commission_event(found) for found in due]


def _judge_stored(session: Session, marks: dict[str, Mark], *, tenant: Tenant, now: datetime) -> list[Emission]:
    rows = session.all(COMMISSION_FACTS, {"legacy_ids": sorted(marks)})
    facts = [
        CommissionFacts(**{**row, "codes": tuple(row["codes"]), "told_hash": marks[row["legacy_id"]].commission_hash})
        for row in rows
    ]
    owners = code_owners(session, {code for f in facts for code in f.all_codes}, tenant.organization_id)
    return _tell_commissions(session, facts, owners, marks, now)


def _terms(row: Row) -> RefundTerms:
    return RefundTerms(row["taxes_included"], row["net_sales_cents"] or 0, row["total_cents"])


def _count(
    orders: dict[str, OrderRecord], marks: dict[str, Mark], outcomes: dict[str, Outcome | None], announced: int
) -> StoreCounts:
    by_id: dict[str, Outcome] = {id: outcome for id, outcome in outcomes.items() if outcome is not None}
    number = Counter(by_id.values())
    return StoreCounts(
        created=number["created"],
        updated=number["updated"],
        unchanged=number["unchanged"],
        stale=number["stale"],
        test=number["test_order"],
        announced=announced,
        totals_mismatch=sum(order.totals_mismatch for order in orders.values()),
        by_id=by_id,
        order_ids={id: marks[id].order_id for id, outcome in by_id.items() if outcome != "test_order"},
    )
