"""Walking through the orders of a span of order time once more: all of them, or those that a test lacks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from functions.commerce.ab_tests import order_rows as sql
from functions.commerce.ab_tests.attributing import Counts, World, ask_shopify, attribute, mirror, to_ask
from functions.commerce.ab_tests.daily import hold_tests, recount
from shared.jobs import JobContext, Session
from shared.jobs.context import Row
from shared.time import local_date

PAGE = 500
"""Orders per transaction."""
PAGE_ROOM_S = 40.0
"""Seconds that must be left to begin another page."""

LACKING_ORDERS = f"""
-- A/B orders: the next orders of a span that lie in the window of a test which has no attribution of them
{sql.ORDER_COLUMNS}
WHERE o.id IN (
    SELECT c.id FROM orders c
    WHERE (COALESCE(c.order_placed_at, c.created_at), c.id) > (%(from_at)s::timestamptz, %(from_id)s)
      AND COALESCE(c.order_placed_at, c.created_at) < %(until)s
      AND EXISTS (SELECT FROM unnest(%(tests)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[])
                           AS t (id, from_at, to_at)
                  WHERE COALESCE(c.order_placed_at, c.created_at) >= t.from_at
                    AND COALESCE(c.order_placed_at, c.created_at) < t.to_at
                    AND NOT EXISTS (SELECT FROM ab_order_attributions a WHERE a.test_id = t.id AND a.order_id = c.id))
    ORDER BY COALESCE(c.order_placed_at, c.created_at), c.id LIMIT %(page)s)
ORDER BY f.placed_at, o.id
"""  # noqa: S608  # put together from constants

GONE_ORDERS = """
-- A/B orders: attributions of a span whose order is gone
WITH gone AS (
  DELETE FROM ab_order_attributions a
  WHERE a.test_id = ANY(%(tests)s) AND a.ordered_at >= %(from_at)s AND a.ordered_at < %(until)s
    AND NOT EXISTS (SELECT FROM orders o WHERE o.id = a.order_id)
  RETURNING a.test_id, a.order_id, a.ordered_at),
shipping AS (
  DELETE FROM ab_shipping_attributions s USING gone g WHERE s.test_id = g.test_id AND s.order_id = g.order_id)
SELECT test_id, order_id, ordered_at FROM gone
"""


@dataclass(frozen=True, slots=True)
class Place:
    """The order up to which a walk has come."""

    at: datetime
    id: str = ""

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return {"at": self.at.isoformat(), "id": self.id}

    @classmethod
    def of(cls, shown: dict[str, Any]) -> Place:
        return cls(datetime.fromisoformat(shown["at"]), shown["id"])

    @classmethod
    def before(cls, start: datetime) -> Place:
        """Just before the first order of a span."""
        return cls(start - timedelta(microseconds=1))


def pass_orders(
    ctx: JobContext, world: World, place: Place, until: datetime, counts: Counts, *, lacking: bool = False
) -> Place | None:
    """Attribute the orders behind `place` up to `until`; None when all are done, else where time ran short.

    `lacking`: only orders that some test which still takes orders has no attribution of. Counts add to `counts`.
    """
    if not world.trials:
        return None
    while True:
        orders = _page(ctx, world, place, until, counts, lacking=lacking)
        if len(orders) < PAGE:
            return None
        place = Place(orders[-1]["ordered_at"], orders[-1]["id"])
        if ctx.remaining_s() < PAGE_ROOM_S:
            return place


def _page(ctx: JobContext, world: World, place: Place, until: datetime, counts: Counts, *, lacking: bool) -> list[Row]:
    names: dict[str, Any] = {"from_at": place.at, "from_id": place.id, "until": until, "page": PAGE}
    if lacking:
        trials = [trial for trial in world.trials if trial.takes_new(world.slot)]
        names |= {
            "tests": [trial.id for trial in trials],
            "starts": [trial.started_at for trial in trials],
            "ends": [trial.ended_at or world.slot for trial in trials],
        }
    with ctx.tenant_session(read_only=True) as session:
        orders = session.all(LACKING_ORDERS if lacking else sql.PLACED_ORDERS, names)
        asked = to_ask(session, world, orders) if orders else []
    if orders:
        carts = ask_shopify(ctx, asked)
        with ctx.tenant_session() as session:
            counts.add(attribute(ctx, session, world, orders, carts))
    return orders


def drop_gone(ctx: JobContext, session: Session, world: World, start: datetime, until: datetime) -> int:
    """Remove attributions, with their mirrors, of orders that exist no more; how many.

    Days of tests that are final are recounted: the night looks at such a test only for an attribution that has changed.
    """
    hold_tests(session, world.test_ids, ctx.now())
    gone = session.all(GONE_ORDERS, {"tests": world.test_ids, "from_at": start, "until": until})
    if gone:
        mirror(session, [(row["test_id"], row["order_id"]) for row in gone])
        final = {trial.id for trial in world.trials if not trial.takes_new(world.slot)}
        days = {(row["test_id"], local_date(row["ordered_at"], world.zone)) for row in gone if row["test_id"] in final}
        recount(session, days, world.zone, slug=ctx.tenant.slug)
    return len(gone)


def days_between(first: date, last: date) -> list[date]:
    """All days from the first to the last, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]
