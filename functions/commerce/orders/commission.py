"""The commission of one order: booked when a creator brought it, lowered or rejected as money goes back.

    (none) ─► pending          an order that is paid, with a creator's code or link
    pending | approved ─► rejected      nothing of the base is left; rejected_by is `system`
    rejected by us ─► pending  the base is above 0 again

Creator and rate are settled once; the amount follows the order until the commission matures. From then on the row is
left alone, and so is what a person has rejected. Each event recomputes from the order's present state, so events may
repeat, overtake each other or be lost in between. Nothing is credited here, and no creator is mailed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal

from psycopg.types.json import Jsonb

from functions.commerce.orders.lookup import held_order
from functions.commerce.orders.sync import RETRY
from shared import creator_money as money
from shared.creator_money import Agreement, CommissionBase, CommissionConfig, Match, Terms
from shared.events.base import Payload
from shared.events.orders import OrderCommission, OrderSync
from shared.jobs import JobContext, Session, job
from shared.jobs.context import Row
from shared.jobs.queues import ORDER_PROCESSING
from shared.orders.announcements import ANNOUNCE_WINDOW
from shared.orders.codes import codes_of

SYSTEM = "system"
"""commissions.rejected_by of what this job has rejected, and may take back."""
LINK_WINDOW = timedelta(days=30)
"""Longest time between the visit by a creator's link and the order."""
UNPAID = ("pending", "authorized")
"""Financial statuses in which an order earns nothing yet; the sync sends the event again when it is paid."""

NOTHING_YET: Row = {"status": None, "net_sales_cents": 0, "refunded_base_cents": 0, "commission_cents": 0}
"""What stood before a commission was booked."""

Ended = Literal["no_creator", "creator_inactive", "self_purchase", "renewal", "too_old", "awaiting_payment"]
"""Why an order gets no commission."""
Outcome = Literal["created", "updated", "unchanged", "rejected", "matured", "nothing_to_pay", "rejected_by_admin"]


class OrderCommissionResult(Payload):
    """`commissionCents` is what the commission stands at, `deltaCents` what this run changed of it."""

    order_id: str
    commission_id: str | None = None
    outcome: Outcome | Ended
    commission_cents: int = 0
    delta_cents: int = 0


HELD_COMMISSION = """
-- order commission: the commission of an order
SELECT id, creator_id FROM commissions WHERE order_id = %(order_id)s
"""

LOCK_COMMISSION = """
-- order commission: the commission of an order, after its creator was locked
SELECT id, creator_id, status::text AS status, rejected_by, matured_at, net_sales_cents, refunded_base_cents,
       commission_cents
FROM commissions WHERE id = %(id)s FOR UPDATE
"""

ORDER = """
-- order commission: what decides whether an order earns a commission
SELECT o.id, o.order_number, COALESCE(o.order_placed_at, o.created_at) AS placed_at, o.currency,
       lower(o.customer_email) AS email, o.source_name, COALESCE(o.tags, '{}') AS tags,
       o.discount_codes AS codes, o.financial_status::text AS financial_status,
       o.attribution_data ->> 'creatorCode' AS creator_code, o.attribution_data ->> 'creatorCodeAt' AS creator_code_at
FROM orders o WHERE o.id = %(order_id)s
"""

ADD_COMMISSION = """
-- order commission: book the commission of an order
INSERT INTO commissions (order_id, order_number, order_date, creator_id, promo_code, net_sales_cents,
                         commission_percent, commission_cents, original_commission_cents, refunded_base_cents,
                         currency, basis, rate_source, status, metadata, created_at)
VALUES (%(order_id)s, %(order_number)s, %(order_date)s, %(creator_id)s, %(promo_code)s, %(net_sales_cents)s,
        %(commission_percent)s, %(commission_cents)s, %(original_commission_cents)s, %(refunded_base_cents)s,
        %(currency)s, %(basis)s, %(rate_source)s, 'pending', %(metadata)s, %(now)s)
RETURNING id
"""

CHANGE_COMMISSION = """
-- order commission: what is left of a commission
UPDATE commissions
SET net_sales_cents = %(net_sales_cents)s, refunded_base_cents = %(refunded_base_cents)s,
    commission_cents = %(commission_cents)s, status = %(status)s, rejected_by = %(rejected_by)s,
    rejected_reason = %(rejected_reason)s, rejected_at = %(rejected_at)s
WHERE id = %(id)s
"""


@job(
    "commerce-order-commission",
    on=OrderCommission,
    queue=ORDER_PROCESSING,
    emits=(OrderSync,),
    retry=RETRY,
    timeout_s=30,
)
def order_commission(ctx: JobContext, payload: OrderCommission) -> OrderCommissionResult:
    """Book the creator's commission of one order by its present state, or lower it after refunds and cancellation.

    Transient ORDER_NOT_READY; permanent ORDER_ID_UNKNOWN, COMMISSION_RATE_INVALID.
    """
    order_id = held_order(ctx, payload.order_id)["id"]
    with ctx.final_session() as session:
        session.lock(f"commission:{order_id}")
        held = session.one(HELD_COMMISSION, {"order_id": order_id})
        return _first(ctx, session, order_id) if held is None else _again(ctx, session, order_id, held)


# -- an order without a commission -------------------------------------------------------------------------------------


def _first(ctx: JobContext, session: Session, order_id: str) -> OrderCommissionResult:
    order = session.one(ORDER, {"order_id": order_id})
    assert order is not None  # orders are never deleted
    settings, rules = money.commission_config(session), money.commission_rules(session)
    match = money.match_creator(session, ctx.tenant, codes=codes_of(order["codes"]), link=_link(order))
    if match is None:
        return OrderCommissionResult(order_id=order_id, outcome="no_creator")
    ended = _refusal(order, match, rules, settings, ctx.now())
    if ended is not None:
        return OrderCommissionResult(order_id=order_id, outcome=ended)
    money.lock_creators(session, [match.creator_id])
    agreement = money.agree(session, match, settings, placed_at=order["placed_at"])
    terms = agreement.terms("gross" if rules["basis"] == "gross" else "net")
    worth = money.commission_base(session, [order_id], terms={order_id: terms})[order_id]
    if worth.base_cents == 0:
        return OrderCommissionResult(order_id=order_id, outcome="nothing_to_pay")
    commission_id = _book(ctx, session, order, match, agreement, terms, worth)
    _account(ctx, session, commission_id, match.creator_id, NOTHING_YET, worth, status="pending")
    return OrderCommissionResult(
        order_id=order_id,
        commission_id=commission_id,
        outcome="created",
        commission_cents=worth.commission_cents,
        delta_cents=worth.commission_cents,
    )


def _book(
    ctx: JobContext,
    session: Session,
    order: Row,
    match: Match,
    agreement: Agreement,
    terms: Terms,
    worth: CommissionBase,
) -> str:
    """Write the commission; its id. `original_commission_cents` is what it would be without any refund."""
    retroactive = order["placed_at"] < ctx.now() - ANNOUNCE_WINDOW
    row = {
        "order_id": order["id"],
        "order_number": order["order_number"],
        "order_date": order["placed_at"],
        "creator_id": match.creator_id,
        "promo_code": None if match.is_link else match.code,
        "net_sales_cents": worth.full_cents,
        "commission_percent": terms.percent,
        "commission_cents": worth.commission_cents,
        "original_commission_cents": money.commission_cents(
            terms, full_cents=worth.full_cents, base_cents=worth.full_cents
        ),
        "refunded_base_cents": worth.refunded_base_cents,
        "currency": order["currency"],
        "basis": terms.basis,
        "rate_source": agreement.source,
        "metadata": Jsonb({"match": "link" if match.is_link else "code", "retroactive": retroactive}),
        "now": ctx.now(),
    }
    return str(session.value(ADD_COMMISSION, row))


def _link(order: Row) -> str | None:
    """The code of the link that led to the order, unless that visit is too long ago or came afterwards."""
    code: str | None = order["creator_code"]
    try:
        visited_at = datetime.fromisoformat(order["creator_code_at"] or "")
    except ValueError:
        return code  # nobody knows when
    if visited_at.tzinfo is None:
        return code
    return code if order["placed_at"] - LINK_WINDOW <= visited_at <= order["placed_at"] else None


def _refusal(
    order: Row, match: Match, rules: dict[str, Any], settings: CommissionConfig, now: datetime
) -> Ended | None:
    """Why this order starts no commission; None when it does."""
    age = now - order["placed_at"]
    oldest = timedelta(days=settings.retroactive_lookback_days) if settings.auto_retroactive else ANNOUNCE_WINDOW
    if not match.earns:
        return "creator_inactive"
    if rules["excludeSelfPurchase"] and order["email"] is not None and order["email"] == match.email:
        return "self_purchase"
    if not rules["includeRenewals"] and _is_renewal(order, rules):
        return "renewal"
    if age > oldest:
        return "too_old"
    if order["financial_status"] in UNPAID:
        return "awaiting_payment"
    return None


def _is_renewal(order: Row, rules: dict[str, Any]) -> bool:
    return order["source_name"] in rules["renewalSources"] or bool(set(order["tags"]) & set(rules["renewalTags"]))


# -- an order with a commission ----------------------------------------------------------------------------------------


def _again(ctx: JobContext, session: Session, order_id: str, held: Row) -> OrderCommissionResult:
    money.lock_creators(session, [held["creator_id"]])
    row = session.one(LOCK_COMMISSION, {"id": held["id"]})
    assert row is not None  # commissions are never deleted
    stays = OrderCommissionResult(
        order_id=order_id, commission_id=row["id"], outcome="unchanged", commission_cents=row["commission_cents"]
    )
    if row["status"] == "rejected" and row["rejected_by"] != SYSTEM:
        return stays.model_copy(update={"outcome": "rejected_by_admin"})
    if row["matured_at"] is not None or row["status"] == "paid":
        return stays.model_copy(update={"outcome": "matured"})
    worth = money.commission_base(session, [order_id])[order_id]
    status = _status(row["status"], worth)
    if not _differs(row, worth, status):
        return stays
    rejecting = status == "rejected"
    session.execute(
        CHANGE_COMMISSION,
        {
            "id": row["id"],
            "net_sales_cents": worth.full_cents,
            "refunded_base_cents": worth.refunded_base_cents,
            "commission_cents": worth.commission_cents,
            "status": status,
            "rejected_by": SYSTEM if rejecting else None,
            "rejected_reason": worth.void,
            "rejected_at": ctx.now() if rejecting else None,
        },
    )
    _account(ctx, session, row["id"], row["creator_id"], row, worth, status=status)
    return OrderCommissionResult(
        order_id=order_id,
        commission_id=row["id"],
        outcome="rejected" if rejecting and row["status"] != "rejected" else "updated",
        commission_cents=worth.commission_cents,
        delta_cents=worth.commission_cents - row["commission_cents"],
    )


def _status(before: str, worth: CommissionBase) -> str:
    """Nothing left: rejected. Something again: pending. Else as it was: approved stays approved."""
    if worth.base_cents == 0:
        return "rejected"
    return "pending" if before == "rejected" else before


def _differs(row: Row, worth: CommissionBase, status: str) -> bool:
    now = (worth.full_cents, worth.refunded_base_cents, worth.commission_cents, status)
    return now != (row["net_sales_cents"], row["refunded_base_cents"], row["commission_cents"], row["status"])


def _account(
    ctx: JobContext,
    session: Session,
    commission_id: str,
    creator_id: str,
    before: Row,
    worth: CommissionBase,
    *,
    status: str,
) -> None:
    """Totals, pending balance and the portal's row after a commission was written. A rejected one counts no order."""
    counted_before = before["status"] not in (None, "rejected")
    money.add_to_totals(
        session,
        creator_id,
        orders=int(status != "rejected") - int(counted_before),
        revenue_cents=worth.base_cents - (before["net_sales_cents"] - before["refunded_base_cents"]),
        commission_cents=worth.commission_cents - before["commission_cents"],
    )
    money.keep_pending(session, ctx.tenant, creator_ids=[creator_id], commission_ids=[commission_id], now=ctx.now())
