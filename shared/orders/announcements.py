"""What an order newly says, and to whom: each thing is told at most once, guarded by a stamp in the same transaction.

    order.created      first seen and placed within ANNOUNCE_WINDOW; older ones are stamped silently: history
    order.fulfilled    a live fulfilment made within FULFIL_ANNOUNCE_WINDOW; once more with its delivery
    order.refunded     per refund with an amount, of an order known before or placed within ANNOUNCE_WINDOW;
    order.cancelled    likewise; others are stamped silently
    order.attribution  an announced order whose customer or visitor appeared for the first time
    order.commission   what a commission depends on differs from what was told last, and a creator may be concerned

With announce "none" only order.commission goes out; what is young stays unstamped, and the next who announces the
order tells it, although nothing has changed since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from shared.events import Event
from shared.events.orders import (
    OrderAttribution,
    OrderCancelled,
    OrderCommission,
    OrderCreated,
    OrderFulfilled,
    OrderRefunded,
)
from shared.jobs.context import Row, Session
from shared.orders.codes import CodeOwner, normal
from shared.orders.marks import Mark
from shared.orders.records import FulfillmentRecord, OrderRecord
from shared.orders.rows import PartStamps

ANNOUNCE_WINDOW = timedelta(hours=72)
"""An order first seen later than this after it was placed is history."""
FULFIL_ANNOUNCE_WINDOW = timedelta(days=30)
"""A fulfilment older than this is history."""
RETROACTIVE_DAYS = 90
"""How old an order may be to earn its creator a commission it never had, unless commission_config says otherwise."""

Announce = Literal["recent", "none"]
Emission = tuple[Event, str | None]

RETROACTIVE = """
-- orders: whether and how far back commissions are made for orders that had none
SELECT auto_retroactive, retroactive_lookback_days FROM commission_config ORDER BY created_at LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Sighting:
    """One order at the moment it is stored: its record, its id, the mark that will be written, what we held before."""

    order: OrderRecord
    order_id: str
    mark: Mark
    known: Row | None

    @property
    def customer_id(self) -> str | None:
        found: str | None = self.order.columns["customer_id"] or (self.known or {}).get("customer_id")
        return found


@dataclass(frozen=True, slots=True)
class CommissionFacts:
    """What a commission depends on. `told_hash` is the hash of what order.commission last went out for."""

    legacy_id: str
    order_id: str
    codes: tuple[str, ...]
    creator_code: str | None
    net_sales_cents: int
    financial_status: str
    cancelled: bool
    goods_refunded_cents: int
    placed_at: datetime
    has_commission: bool
    told_hash: str | None

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of the facts that move a commission."""
        facts = [
            list(self.codes),
            self.creator_code,
            self.net_sales_cents,
            self.financial_status,
            self.cancelled,
            self.goods_refunded_cents,
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @property
    def all_codes(self) -> tuple[str, ...]:
        """The used codes, and the code of the creator's link."""
        return (*self.codes, self.creator_code) if self.creator_code else self.codes


def fulfilled_key(fulfillment_id: str) -> str:
    """Event id of the announcement of a fulfilment: its listener knows by it that it is the first one."""
    return f"order.fulfilled:{fulfillment_id}"


def delivered_key(fulfillment_id: str) -> str:
    """Event id of the announcement of a delivery."""
    return f"order.delivered:{fulfillment_id}"


def fulfilled_and_delivered_key(fulfillment_id: str) -> str:
    """Event id of an announcement that tells both at once."""
    return f"order.fulfilled+delivered:{fulfillment_id}"


def announce_order(
    sighting: Sighting,
    parts: Mapping[tuple[str, str], PartStamps],
    *,
    announce: Announce,
    now: datetime,
) -> tuple[list[Emission], dict[tuple[str, str], PartStamps]]:
    """The events of one order, and the stamps of its fulfilments and refunds; stamps the order's mark in place."""
    order, mark = sighting.order, sighting.mark
    telling = announce == "recent"
    young = order.placed_at >= now - ANNOUNCE_WINDOW
    fresh = sighting.known is not None or young
    was_announced = mark.created_announced_at is not None
    events: list[Emission] = []
    if not was_announced and (telling or not young):
        mark.created_announced_at = now
        if young:
            events.append((_created(sighting), None))
    if order.columns["cancelled_at"] and mark.cancelled_announced_at is None and (telling or not fresh):
        mark.cancelled_announced_at = now
        if fresh:
            events.append((_cancelled(sighting), None))
    if telling and was_announced and _found_person(sighting):
        events.append((_attribution(sighting), None))
    stamps: dict[tuple[str, str], PartStamps] = {}
    events += _fulfilled(sighting, parts, stamps, telling, now)
    events += _refunded(sighting, parts, stamps, telling, fresh, now)
    return events, stamps


def has_news(sighting: Sighting, parts: Mapping[tuple[str, str], PartStamps], *, now: datetime) -> bool:
    """Whether there is something to tell of an order that is stored in silence."""
    order, mark = sighting.order, sighting.mark
    old = sighting.known is None and mark.created_announced_at is None and order.placed_at < now - ANNOUNCE_WINDOW
    if old and not any(_may_be_told(each, parts, now) for each in order.fulfillments):
        return False  # nearly all orders of a first import
    unseen = replace(sighting, mark=replace(sighting.mark))
    events, _ = announce_order(unseen, parts, announce="recent", now=now)
    return bool(events)


def _may_be_told(fulfillment: FulfillmentRecord, parts: Mapping[tuple[str, str], PartStamps], now: datetime) -> bool:
    recent = fulfillment.created_at >= now - FULFIL_ANNOUNCE_WINDOW
    return recent or ("fulfillment", fulfillment.legacy_id) in parts


def _created(sighting: Sighting) -> Event:
    columns = sighting.order.columns
    return OrderCreated(
        order_id=sighting.order_id,
        shopify_order_id=sighting.order.legacy_id,
        customer_id=sighting.customer_id,
        total_amount=columns["total_cents"] / 100,
        currency=columns["currency"],
    )


def _cancelled(sighting: Sighting) -> Event:
    refunded = sighting.order.columns["refunded_cents"]
    return OrderCancelled(
        order_id=sighting.order_id,
        reason=sighting.order.cancel_reason,
        refund_amount=refunded / 100 if refunded else None,
    )


def _found_person(sighting: Sighting) -> bool:
    if sighting.known is None:
        return False
    columns = sighting.order.columns
    new_customer = sighting.known["customer_id"] is None and columns["customer_id"] is not None
    new_visitor = sighting.known["visitor_id"] is None and "visitorId" in columns["attribution_data"]
    return new_customer or new_visitor


def _attribution(sighting: Sighting) -> Event:
    held = sighting.known or {}
    return OrderAttribution(
        order_id=sighting.order_id,
        customer_id=sighting.customer_id,
        session_id=held.get("session_id") or sighting.order.columns["attribution_data"].get("sessionId"),
    )


def _fulfilled(
    sighting: Sighting,
    parts: Mapping[tuple[str, str], PartStamps],
    stamps: dict[tuple[str, str], PartStamps],
    telling: bool,
    now: datetime,
) -> list[Emission]:
    events: list[Emission] = []
    for fulfillment in sighting.order.fulfillments:
        id = fulfillment.legacy_id
        before = stamps[("fulfillment", id)] = parts.get(("fulfillment", id), PartStamps())
        recent = fulfillment.live and fulfillment.created_at >= now - FULFIL_ANNOUNCE_WINDOW
        first = telling and before.announced_at is None and recent
        told = first or before.announced_at is not None
        arrived = telling and told and before.delivered_announced_at is None and fulfillment.delivered_at is not None
        if not (first or arrived):
            continue
        stamps[("fulfillment", id)] = PartStamps(
            before.announced_at or now, now if arrived else before.delivered_announced_at
        )
        key = fulfilled_key(id) if not arrived else delivered_key(id) if not first else fulfilled_and_delivered_key(id)
        event = OrderFulfilled(
            order_id=sighting.order_id,
            fulfillment_id=id,
            tracking_number=fulfillment.tracking_number,
            carrier=fulfillment.tracking_company,
            delivered_at=fulfillment.delivered_at,
        )
        events.append((event, key))
    return events


def _refunded(
    sighting: Sighting,
    parts: Mapping[tuple[str, str], PartStamps],
    stamps: dict[tuple[str, str], PartStamps],
    telling: bool,
    fresh: bool,
    now: datetime,
) -> list[Emission]:
    events: list[Emission] = []
    for refund in sighting.order.refunds:
        id = refund.legacy_id
        before = stamps[("refund", id)] = parts.get(("refund", id), PartStamps())
        if before.announced_at is not None or refund.amount_cents == 0 or (fresh and not telling):
            continue
        stamps[("refund", id)] = PartStamps(now)
        if fresh:
            event = OrderRefunded(
                order_id=sighting.order_id,
                refund_id=id,
                refund_amount_cents=refund.amount_cents,
                currency=sighting.order.columns["currency"],
            )
            events.append((event, None))
    return events


def commission_facts(sighting: Sighting) -> CommissionFacts | None:
    """The facts of a stored order; None while the lines of its refunds are missing."""
    order, columns, known = sighting.order, sighting.order.columns, sighting.known or {}
    if order.lacks_details:
        return None
    return CommissionFacts(
        legacy_id=order.legacy_id,
        order_id=sighting.order_id,
        codes=tuple(columns["discount_codes"]),
        creator_code=known.get("creator_code") or columns["attribution_data"].get("creatorCode"),
        net_sales_cents=columns["net_sales_cents"],
        financial_status=columns["financial_status"],
        cancelled=columns["cancelled_at"] is not None,
        goods_refunded_cents=order.goods_refunded_cents,
        placed_at=order.placed_at,
        has_commission=bool(known.get("has_commission")),
        told_hash=sighting.mark.commission_hash,
    )


def due_commissions(
    session: Session, facts: Sequence[CommissionFacts], owners: Mapping[str, CodeOwner], *, now: datetime
) -> list[CommissionFacts]:
    """Those of which order.commission has to go out now.

    The facts changed since it last did, and the order has a commission, or has a code at all and is younger than
    ANNOUNCE_WINDOW, or has a code of a creator and is young enough for a commission in retrospect.
    """
    changed = [f for f in facts if (f.has_commission or f.all_codes) and f.hash != f.told_hash]
    young = {f.legacy_id for f in changed if f.has_commission or f.placed_at >= now - ANNOUNCE_WINDOW}
    older = {f.legacy_id for f in changed if f.legacy_id not in young and _of_creator(f, owners)}
    since = _retroactive_since(session, now) if older else now
    return [f for f in changed if f.legacy_id in young or (f.legacy_id in older and f.placed_at >= since)]


def _of_creator(facts: CommissionFacts, owners: Mapping[str, CodeOwner]) -> bool:
    return any(owner.of_creator for code in facts.all_codes if (owner := owners.get(normal(code))) is not None)


def _retroactive_since(session: Session, now: datetime) -> datetime:
    row = session.one(RETROACTIVE) or {"auto_retroactive": True, "retroactive_lookback_days": RETROACTIVE_DAYS}
    return now - timedelta(days=row["retroactive_lookback_days"]) if row["auto_retroactive"] else now


def commission_event(facts: CommissionFacts) -> Emission:
    """The event that has the commission computed anew."""
    return OrderCommission(order_id=facts.order_id), None
