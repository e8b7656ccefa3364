"""Where an order came from: what its session and its landing page add to what the cart and Shopify told.

Only gaps are filled: a customer, a visitor, a source or a creator's code that is there stays. The order is then handed
to the attribution, which owns models, windows and credits.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from psycopg.types.json import Jsonb

from functions.commerce.orders.lookup import held_order
from functions.commerce.orders.sync import RETRY
from shared.events.attribution import AttributionProcess
from shared.events.base import Payload
from shared.events.orders import OrderAttribution, OrderCommission, OrderSync
from shared.ids import as_legacy_id, find_customer
from shared.jobs import JobContext, Session, job, payload_hash, window
from shared.jobs.context import Row
from shared.jobs.queues import ORDER_PROCESSING

BURST_S = 600
"""Equal messages within so many seconds are one."""
FORCE_AFTER = timedelta(hours=1)
"""An order older than this was attributed already: what is found now has it computed anew."""
LINK_PARAMETERS = ("rc", "ref", "creator")
"""Parameters of a creator's link, the first one that is there counts."""
MAX_CODE = 64
"""Characters kept of a link's code."""

_CODE = re.compile(r"[A-Za-z0-9_-]+")


class OrderAttributionResult(Payload):
    """What this run added to the order; `changed` when it added anything."""

    order_id: str
    source_filled: bool = False
    visitor_filled: bool = False
    customer_linked: bool = False
    changed: bool = False


LOCK_ORDER = """
-- order attribution: what is known of an order's origin
SELECT id, customer_id, utm_source, utm_medium, utm_campaign, COALESCE(order_placed_at, created_at) AS placed_at,
       CASE jsonb_typeof(attribution_data) WHEN 'object' THEN attribution_data ELSE '{}' END AS data
FROM orders WHERE id = %(order_id)s
FOR UPDATE
"""

# A session that several visitors share (a link that was passed on) names nobody.
SESSION_VISITOR = """
-- order attribution: the visitor of a session before the order, if it has only one
SELECT (SELECT t.visitor_id FROM attribution_touchpoints t
        WHERE t.session_id = %(session_id)s AND t.occurred_at <= %(placed_at)s
        ORDER BY t.occurred_at DESC, t.id LIMIT 1)
WHERE (SELECT count(DISTINCT visitor_id) FROM attribution_touchpoints WHERE session_id = %(session_id)s) = 1
"""

SESSION_SOURCE = """
-- order attribution: the latest click of a session before the order
SELECT source AS utm_source, medium AS utm_medium, campaign AS utm_campaign
FROM attribution_touchpoints
WHERE session_id = %(session_id)s AND occurred_at <= %(placed_at)s AND touchpoint_type = 'click'
ORDER BY occurred_at DESC, id LIMIT 1
"""

FILL_ORDER = """
-- order attribution: fill the gaps of an order's origin
UPDATE orders
SET customer_id = COALESCE(customer_id, %(customer_id)s),
    utm_source = COALESCE(NULLIF(utm_source, ''), %(utm_source)s),
    utm_medium = COALESCE(NULLIF(utm_medium, ''), %(utm_medium)s),
    utm_campaign = COALESCE(NULLIF(utm_campaign, ''), %(utm_campaign)s),
    attribution_data = CASE jsonb_typeof(attribution_data) WHEN 'object' THEN attribution_data ELSE '{}' END || %(data)s
WHERE id = %(order_id)s
"""


@dataclass(slots=True)
class Gaps:
    """What is to be filled. `data`: new members of attribution_data."""

    customer_id: str | None = None
    source: dict[str, str | None] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)

    @property
    def found_something(self) -> bool:
        """Something that the credits depend on, not the session's name alone."""
        return bool(self.customer_id or self.source or self.data.keys() - {"sessionId"})


@job(
    "commerce-order-attribution",
    on=OrderAttribution,
    queue=ORDER_PROCESSING,
    emits=(AttributionProcess, OrderCommission, OrderSync),
    retry=RETRY,
    timeout_s=30,
    key=lambda p, m: payload_hash(p) + window(m, BURST_S),
)
def order_attribution(ctx: JobContext, payload: OrderAttribution) -> OrderAttributionResult:
    """Complete the marketing source of an order from its session and its cart, and hand it to the attribution.

    Transient ORDER_NOT_READY; permanent ORDER_ID_UNKNOWN.
    """
    order_id = held_order(ctx, payload.order_id)["id"]
    with ctx.final_session() as session:
        order = session.one(LOCK_ORDER, {"order_id": order_id})
        assert order is not None  # orders are never deleted
        gaps = Gaps(customer_id=_customer(ctx, session, order, payload))
        _from_session(session, order, payload.session_id, gaps)
        _from_landing_page(order["data"], gaps)
        changed = bool(gaps.customer_id or gaps.source or gaps.data)
        if changed:
            session.execute(FILL_ORDER, _columns(order_id, gaps))
        if "creatorCode" in gaps.data:
            session.emit(OrderCommission(order_id=order_id))
        force = gaps.found_something and order["placed_at"] < ctx.now() - FORCE_AFTER
        session.emit(AttributionProcess(order_id=order_id, force=force))
    return OrderAttributionResult(
        order_id=order_id,
        source_filled=bool(gaps.source),
        visitor_filled="visitorId" in gaps.data,
        customer_linked=gaps.customer_id is not None,
        changed=changed,
    )


def _customer(ctx: JobContext, session: Session, order: Row, payload: OrderAttribution) -> str | None:
    """The customer to link: the legacy id of the message's, if the order has none."""
    if payload.customer_id is None:
        return None
    customer_id = as_legacy_id(payload.customer_id)
    if customer_id is None:
        customer = find_customer(session, payload.customer_id)
        customer_id = customer["legacy_id"] if customer else None
    if customer_id is None or order["customer_id"] is None:
        return customer_id
    if order["customer_id"] != customer_id:
        ctx.log.warning("order %s has another customer than the message says; it keeps its own", order["id"])
    return None


def _from_session(session: Session, order: Row, session_id: str | None, gaps: Gaps) -> None:
    data = order["data"]
    known = data.get("sessionId") or session_id
    if not known:
        return
    if not data.get("sessionId"):
        gaps.data["sessionId"] = known
    where = {"session_id": known, "placed_at": order["placed_at"]}
    if not data.get("visitorId"):
        visitor = session.value(SESSION_VISITOR, where)
        if visitor:
            gaps.data |= {"visitorId": visitor, "visitorIdSource": "session"}
    # All three or none: a medium of this click beside a source of another one would name a campaign that never was.
    if not (order["utm_source"] or order["utm_medium"] or order["utm_campaign"]):
        click = session.one(SESSION_SOURCE, where) or {}
        if any(click.values()):
            gaps.source = click


def _from_landing_page(data: dict[str, Any], gaps: Gaps) -> None:
    """The code of a creator's link: of the first of LINK_PARAMETERS, if it is made of the characters of a code."""
    if data.get("creatorCode"):
        return
    code = link_code(data.get("landingPage"))
    if code is None:
        return
    gaps.data["creatorCode"] = code
    visited_at = (data.get("lastVisit") or {}).get("occurredAt")
    if visited_at:
        gaps.data["creatorCodeAt"] = visited_at


def link_code(landing_page: object) -> str | None:
    """The creator's code in a landing page's query, None without one.

    "https://shop.example/p?ref=JANE15" -> "JANE15". A value with other characters is no code: an address or a name of
    another site's own must not become a creator's.
    """
    if not isinstance(landing_page, str):
        return None
    try:
        query = dict(parse_qsl(urlsplit(landing_page).query))
    except ValueError:  # an address that is none
        return None
    value = next((query[name] for name in LINK_PARAMETERS if query.get(name, "").strip()), "").strip()[:MAX_CODE]
    return value if _CODE.fullmatch(value) else None


def _columns(order_id: str, gaps: Gaps) -> dict[str, Any]:
    source = {name: gaps.source.get(name) or None for name in ("utm_source", "utm_medium", "utm_campaign")}
    return {"order_id": order_id, "customer_id": gaps.customer_id, **source, "data": Jsonb(gaps.data)}
