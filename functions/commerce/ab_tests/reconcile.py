"""Attributing new and changed orders to tests: what changed since the last time, a span of order time, or one order.

The cursor `orders` says up to which change everything is in. It moves with each page, in the page's transaction, and
is read back by OVERLAP, because a transaction may commit later than its rows are stamped.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from psycopg.types.json import Jsonb

from functions.commerce.ab_tests import order_rows as sql
from functions.commerce.ab_tests.attributing import (
    Counts,
    World,
    ask_shopify,
    attribute,
    live_since,
    to_ask,
    world_of,
)
from functions.commerce.ab_tests.one_order import check_test, reconcile_one
from functions.commerce.ab_tests.rules import slot_of
from shared.events.ab_tests import AbOrderReconcile
from shared.events.alerts import AlertApiFailure
from shared.events.base import Payload
from shared.jobs import Delivery, JobContext, Permanent, Retry, Session, job, payload_hash
from shared.jobs.context import Row
from shared.jobs.queues import AB_TESTING

PAGE = 500
OVERLAP = timedelta(minutes=10)
LONGEST = timedelta(days=92)
"""Longest span of order time that may be asked for."""
PAGE_ROOM_S = 40.0
"""Seconds that must be left to begin another page."""
RETRY = Retry(attempts=5, factor=2, min_s=5, max_s=120)

POSITION = """
-- A/B orders: the change up to which all orders are in
SELECT (position ->> 'updatedAt')::timestamptz AS at FROM ab_cursors WHERE name = 'orders'
"""

MOVE = """
-- A/B orders: all orders up to this change are in; never backwards
INSERT INTO ab_cursors AS c (name, position, updated_at) VALUES ('orders', %(position)s, %(now)s)
ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position, updated_at = EXCLUDED.updated_at
WHERE ((c.position ->> 'updatedAt')::timestamptz, c.position ->> 'id')
    < ((EXCLUDED.position ->> 'updatedAt')::timestamptz, EXCLUDED.position ->> 'id')
"""


class AbOrderReconcileResult(Payload):
    """`corrected` counts attributions that changed, `excluded` those written that count nowhere, `cursor` how far."""

    checked: int = 0
    attributed: int = 0
    corrected: int = 0
    excluded: int = 0
    unlinked: int = 0
    conflicts: int = 0
    shopify_asked: int = 0
    cursor: datetime


@dataclass(frozen=True, slots=True)
class Walk:
    """Which orders are walked through: by change (`follows`, which moves the cursor) or by order time."""

    follows: bool
    start: datetime
    end: datetime


def run_key(p: AbOrderReconcile, m: Delivery) -> str:
    """The slot, or what was asked for; one order may be asked for again and again."""
    if p.order_id is not None:
        return m.id
    if (p.start_time, p.end_time, p.start_date, p.test_id) != (None, None, None, None):
        return payload_hash(p)
    return p.slot.isoformat() if p.slot else m.id


@job(
    "ab-order-reconciliation",
    on=AbOrderReconcile,
    queue=AB_TESTING,
    emits=(AlertApiFailure,),
    retry=RETRY,
    timeout_s=300,
    key=run_key,
)
def reconcile_orders(ctx: JobContext, payload: AbOrderReconcile) -> AbOrderReconcileResult:
    """Attribute new and changed orders to the tests of their buyers, correct refunded and cancelled ones.

    Permanent TEST_NOT_FOUND, INVALID_RANGE, ORDER_NOT_FOUND (one order only).
    """
    slot = slot_of(ctx, payload)
    if payload.order_id is not None:
        counts, _ = reconcile_one(ctx, payload.order_id, payload.test_id, slot, audit=False)
        return AbOrderReconcileResult(**asdict(counts), cursor=slot)
    with ctx.tenant_session(read_only=True) as session:
        check_test(session, payload.test_id)
        world = world_of(session, slot, test_id=payload.test_id)
        walk = _walk(session, payload, world)
    if not world.trials:
        if walk.follows:
            with ctx.tenant_session() as session:
                _move(ctx, session, slot, "")
        return AbOrderReconcileResult(cursor=slot)
    return _go(ctx, world, walk)


def _go(ctx: JobContext, world: World, walk: Walk) -> AbOrderReconcileResult:
    at, id, counts = walk.start, "", Counts()
    if ctx.cursor is not None:
        at, id = datetime.fromisoformat(ctx.cursor["at"]), ctx.cursor["id"]
        counts = Counts(**ctx.cursor["counts"])
    while True:
        orders = _page(ctx, world, walk, at, id, counts)
        if orders:
            at, id = orders[-1]["updated_at" if walk.follows else "ordered_at"], orders[-1]["id"]
        if len(orders) < PAGE:
            return AbOrderReconcileResult(**asdict(counts), cursor=at.astimezone(UTC))
        if ctx.remaining_s() < PAGE_ROOM_S:
            ctx.continue_from({"at": at.isoformat(), "id": id, "counts": asdict(counts)})


def _page(ctx: JobContext, world: World, walk: Walk, at: datetime, id: str, counts: Counts) -> list[Row]:
    """Attribute the orders behind (at, id); the page."""
    with ctx.tenant_session(read_only=True) as session:
        names = {"from_at": at, "from_id": id, "until": walk.end, "page": PAGE}
        orders = session.all(sql.CHANGED_ORDERS if walk.follows else sql.PLACED_ORDERS, names)
        asked = to_ask(session, world, orders) if orders else []
    if not orders:
        return orders
    carts = ask_shopify(ctx, asked)
    with ctx.tenant_session() as session:
        counts.add(attribute(ctx, session, world, orders, carts))
        if walk.follows:
            _move(ctx, session, orders[-1]["updated_at"], orders[-1]["id"])
    counts.shopify_asked += sum(1 for order in asked if order["legacy_id"])
    return orders


def _walk(session: Session, payload: AbOrderReconcile, world: World) -> Walk:
    start, end = payload.start_time or payload.start_date, payload.end_time or world.slot
    if payload.start_time is None and payload.start_date is None and payload.end_time is None:
        if payload.test_id is not None:
            return Walk(False, live_since(world, world.slot), world.slot)
        before = session.value(POSITION)
        # The first run begins with the first test: what did not change since cannot belong to one.
        return Walk(True, live_since(world, world.slot) if before is None else before - OVERLAP, world.slot)
    if start is None or end < start or end - start > LONGEST:
        raise Permanent("INVALID_RANGE", "needs a start, an end after it, and at most 92 days between them")
    return Walk(False, start - timedelta(microseconds=1), end)


def _move(ctx: JobContext, session: Session, at: datetime, id: str) -> None:
    position = {"updatedAt": at.astimezone(UTC).isoformat(), "id": id}
    session.execute(MOVE, {"position": Jsonb(position), "now": ctx.now()})
