"""An order that a message names: found, or asked for."""

from __future__ import annotations

from shared.events.orders import OrderSync
from shared.ids import as_legacy_id, find_order
from shared.jobs import JobContext, Permanent, Transient
from shared.jobs.context import Row


def held_order(ctx: JobContext, order_id: str) -> Row:
    """The row of shared.ids.find_order.

    An order that we do not hold is asked for, and the message comes back: Transient ORDER_NOT_READY. Permanent
    ORDER_ID_UNKNOWN for an id that is neither ours nor Shopify's.
    """
    with ctx.tenant_session(read_only=True) as session:
        order = find_order(session, order_id)
    if order is not None:
        return order
    legacy_id = as_legacy_id(order_id)
    if legacy_id is None:
        raise Permanent("ORDER_ID_UNKNOWN", "no order has this id, and it is no Shopify id")
    with ctx.tenant_session() as session:
        session.emit(OrderSync(shopify_order_id=legacy_id, source="job"))
    raise Transient("ORDER_NOT_READY", "the order is not here yet and was asked for")
