"""Requests that wait for their parcels: moved on when these have arrived, or surely must have.

    delivered                              scheduled, the tenant's days after the delivery
    lost (every parcel)                    skipped
    on its way                             waits a week longer
    unknown for daysWaiting since it left  scheduled for the next send hour (metadata.promoted)
    not fully shipped                      waits; 60 days after it was queued it is skipped

Deliveries are known from the order sync; of parcels that left three days ago and are not known to have arrived, Shopify
is asked. Pages of the queue are worked off one by one, each with one update.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from functions.commerce.reviews.common import BATCH_RETRY
from shared.events.alerts import AlertApiFailure
from shared.events.base import Payload
from shared.events.reviews import ReviewEmailAwaitingDelivery, ReviewEmailQueued
from shared.integrations.shopify import Shopify
from shared.jobs import JobContext, Permanent, RateLimited, Session, Transient, job
from shared.jobs.context import Row
from shared.jobs.queues import REVIEW_EMAIL
from shared.reviews.orders import NO_PARCELS, Parcels, days_after, parcels_of, place_of
from shared.reviews.queue import ending_orders, log, queued_event, queued_mail, skip_open, type_of
from shared.reviews.settings import ReviewSettings, review_settings
from shared.reviews.shop import LOOKUP_PAGE, ParcelState, parcel_states
from shared.reviews.stops import stop_reasons
from shared.reviews.timing import at_send_hour

PAGE = 500
MAX_AGE_DAYS = 60
"""Days in the queue after which a row that still waits is given up."""
LOOKUP_AFTER_DAYS = 3
"""Days since the parcel left before which Shopify is not asked."""
PATIENCE_DAYS = 7
"""Days more for a parcel that is known to be on its way."""
RESERVE_S = 60.0
"""Seconds before the deadline at which a leg ends; a page of look-ups may take that long."""


class AwaitingDeliveryResult(Payload):
    """`checked` = delivered + promoted + skipped + waiting; `delivered` counts what was scheduled by its parcels."""

    checked: int
    delivered: int
    promoted: int
    skipped: int
    waiting: int


@dataclass(slots=True)
class Progress:
    """Where the run stands, over all its legs.

    `after`: (fulfilled_at, else infinity; id) of the last row seen. `answered`: whether Shopify has answered once.
    """

    delivered: int = 0
    promoted: int = 0
    skipped: int = 0
    waiting: int = 0
    after: tuple[str, str] = ("-infinity", "")
    answered: bool = False

    def result(self) -> AwaitingDeliveryResult:
        counts = {name: getattr(self, name) for name in ("delivered", "promoted", "skipped", "waiting")}
        return AwaitingDeliveryResult(checked=sum(counts.values()), **counts)


@dataclass(frozen=True, slots=True)
class Move:
    """What becomes of a row. `status` None: it waits, and only what is known of its parcels is kept."""

    id: str
    status: str | None
    scheduled_at: datetime | None = None
    reason: str | None = None
    fulfilled_at: datetime | None = None
    delivered_at: datetime | None = None
    promoted: bool = False


# Two halves, so that each is a walk along the index: rows that have left, then those that have not.
WAITING_PAGE = """
-- reviews: a page of rows that wait for their parcels
SELECT w.*, COALESCE(w.fulfilled_at, 'infinity')::text AS place
FROM (
    (SELECT q.* FROM review_email_queue q
     WHERE q.status IN ('pending', 'awaiting_delivery')
       AND (q.fulfilled_at, q.id) > (%(after_at)s::timestamptz, %(after_id)s)
     ORDER BY q.fulfilled_at, q.id LIMIT %(limit)s)
    UNION ALL
    (SELECT q.* FROM review_email_queue q
     WHERE q.status IN ('pending', 'awaiting_delivery') AND q.fulfilled_at IS NULL
       AND q.id > CASE WHEN %(after_at)s::timestamptz = 'infinity' THEN %(after_id)s ELSE '' END
     ORDER BY q.id LIMIT %(limit)s)
) w
ORDER BY w.fulfilled_at NULLS LAST, w.id
LIMIT %(limit)s
"""

CONNECTED = """
-- reviews: whether there is a shop to ask
SELECT EXISTS (SELECT FROM shopify_connections WHERE status = 'active' AND access_token_encrypted IS NOT NULL)
"""

STORE_STATES = """
-- reviews: how parcels fared by Shopify's word
UPDATE fulfillments f
SET delivered_at = COALESCE(f.delivered_at, s.delivered_at), shipment_status = COALESCE(s.state, f.shipment_status),
    estimated_delivery_at = COALESCE(s.estimated_at, f.estimated_delivery_at)
FROM unnest(%(ids)s::text[], %(states)s::text[], %(delivered)s::timestamptz[], %(estimated)s::timestamptz[])
     AS s (id, state, delivered_at, estimated_at)
WHERE f.shopify_fulfillment_id = s.id
  AND (COALESCE(f.delivered_at, s.delivered_at), COALESCE(s.state, f.shipment_status),
       COALESCE(s.estimated_at, f.estimated_delivery_at))
      IS DISTINCT FROM (f.delivered_at, f.shipment_status, f.estimated_delivery_at)
"""

MOVE = """
-- reviews: rows move on, if they still wait; a row of which nothing is new is not written
UPDATE review_email_queue q
SET status = COALESCE(m.status, q.status), scheduled_at = COALESCE(m.scheduled_at, q.scheduled_at),
    fulfilled_at = COALESCE(q.fulfilled_at, m.fulfilled_at), delivered_at = COALESCE(m.delivered_at, q.delivered_at),
    metadata = CASE WHEN NOT m.promoted THEN q.metadata
                    WHEN jsonb_typeof(q.metadata) = 'object' THEN q.metadata || '{"promoted": true}'
                    ELSE '{"promoted": true}' END,
    skip_reason = m.reason, skipped_at = CASE WHEN m.status = 'skipped' THEN %(now)s::timestamptz END,
    skipped_by = CASE WHEN m.status = 'skipped' THEN 'system' END
FROM unnest(%(ids)s::text[], %(statuses)s::text[], %(times)s::timestamptz[], %(reasons)s::text[],
            %(fulfilled)s::timestamptz[], %(delivered)s::timestamptz[], %(promoted)s::boolean[])
     AS m (id, status, scheduled_at, reason, fulfilled_at, delivered_at, promoted)
WHERE q.id = m.id AND q.status IN ('pending', 'awaiting_delivery')
  AND (COALESCE(m.status, q.status), COALESCE(q.fulfilled_at, m.fulfilled_at), COALESCE(m.delivered_at, q.delivered_at))
      IS DISTINCT FROM (q.status, q.fulfilled_at, q.delivered_at)
RETURNING q.id, q.order_id, q.customer_id, q.status, q.scheduled_at, q.template_type, q.sequence_number,
          q.metadata ->> 'templateId' AS template_id
"""


@job(
    "commerce-review-email-awaiting-delivery",
    on=ReviewEmailAwaitingDelivery,
    queue=REVIEW_EMAIL,
    emits=(ReviewEmailQueued, AlertApiFailure),
    retry=BATCH_RETRY,
    timeout_s=300,
)
def review_email_awaiting_delivery(ctx: JobContext, payload: ReviewEmailAwaitingDelivery) -> AwaitingDeliveryResult:
    """Move on the requests whose parcels have arrived or surely must have; end those that nothing will come of.

    RateLimited SHOPIFY_THROTTLED and Shopify's transient errors only when its first answer does not come; later the run
    goes on without it.
    """
    done = _progress(ctx.cursor)
    with ctx.tenant_session(read_only=True) as session:
        settings = review_settings(session)
        asker = _Asker(ctx, bool(session.value(CONNECTED)), done)
    while page := _page(ctx, done.after):
        orders = sorted({row["order_id"] for row in page})
        with ctx.tenant_session(read_only=True) as session:
            parcels = parcels_of(session, orders)
        asker.ask(_to_ask(page, parcels, ctx.now()))
        with ctx.tenant_session() as session:
            _work_off(session, ctx, settings, page, payload.days_waiting, done)
        done.after = (page[-1]["place"], page[-1]["id"])
        if len(page) < PAGE:
            break
        if ctx.remaining_s() < RESERVE_S:
            ctx.continue_from(asdict(done))
    return done.result()


def _progress(cursor: Any) -> Progress:
    if not cursor:
        return Progress()
    return Progress(**{**cursor, "after": tuple(cursor["after"])})


def _page(ctx: JobContext, after: tuple[str, str]) -> list[Row]:
    with ctx.tenant_session(read_only=True) as session:
        return session.all(WAITING_PAGE, {"after_at": after[0], "after_id": after[1], "limit": PAGE})


# -- asking Shopify ----------------------------------------------------------------------------------------------------


def _to_ask(page: Sequence[Row], parcels: Mapping[str, Parcels], now: datetime) -> list[str]:
    """Shopify's ids of the fulfilments that left long enough ago and are not known to have arrived."""
    found: set[str] = set()
    for row in page:
        known = parcels.get(row["order_id"], NO_PARCELS)
        if known.delivered_at is None and days_after(_left_at(row, known), LOOKUP_AFTER_DAYS, now):
            found.update(known.unknown)
    return sorted(found)


def _left_at(row: Row, parcels: Parcels) -> datetime | None:
    return parcels.fulfilled_at or row["fulfilled_at"]


class _Asker:
    """Asks Shopify while it answers. `on`: whether there is a shop that can still be asked."""

    def __init__(self, ctx: JobContext, on: bool, done: Progress) -> None:
        self._ctx, self._on, self._done = ctx, on, done
        self._shop: Shopify | None = None

    def ask(self, legacy_ids: Sequence[str]) -> None:
        """Store what Shopify tells of the fulfilments.

        Raises what Shopify raises at the first question, except that a shop that refuses us is not asked any more.
        """
        for start in range(0, len(legacy_ids), LOOKUP_PAGE):
            if not self._on:
                return
            try:
                self._shop = self._shop or Shopify.connect(self._ctx, reserve=0.5, alert_source="reviews")
                states = parcel_states(self._shop, legacy_ids[start : start + LOOKUP_PAGE])
            except Permanent as error:
                self._give_up(error.code)
                return
            except (RateLimited, Transient) as error:
                if not self._done.answered:
                    raise
                self._give_up(error.code)
                return
            self._done.answered = True
            self._store(states)

    def _give_up(self, code: str) -> None:
        self._on = False
        self._ctx.log.warning("Shopify is not asked about parcels any more", extra={"code": code})

    def _store(self, states: Sequence[ParcelState]) -> None:
        params = {
            "ids": [each.legacy_id for each in states],
            "states": [each.state for each in states],
            "delivered": [each.delivered_at for each in states],
            "estimated": [each.estimated_at for each in states],
        }
        with self._ctx.tenant_session() as session:
            session.execute(STORE_STATES, params)


# -- a page ------------------------------------------------------------------------------------------------------------


def _work_off(
    session: Session, ctx: JobContext, settings: ReviewSettings, page: Sequence[Row], days_waiting: int, done: Progress
) -> None:
    """Decide about every row of a page and write it down at once."""
    now, mails = ctx.now(), [queued_mail(row) for row in page]
    # A row that waits for its parcel has no time yet, so it is not late.
    asked = [replace(each.candidate(settings), wanted_at=None) for each in mails]
    reasons = stop_reasons(session, settings, asked, now=now)
    parcels = parcels_of(session, sorted({each.order_id for each in mails}))
    moves = [
        Move(each.id, "skipped", reason=reasons[each.id])
        if each.id in reasons
        else _move(each.row, parcels.get(each.order_id, NO_PARCELS), settings, days_waiting, now)
        for each in mails
    ]
    moved = _write(session, moves, now)
    skip_open(session, ending_orders(mails, reasons), now=now)  # the orders' other mails
    scheduled = [row for row in moved if row["status"] == "scheduled"]
    log(session, "skipped", [row["id"] for row in moved if row["status"] == "skipped"], now=now)
    session.emit_many([queued_event(row, _template(row)) for row in scheduled])
    _count(done, moves, {row["id"]: row["status"] for row in moved}, len(page))


def _template(row: Row) -> str:
    """The template that a row is announced with: the one that it names, else its type."""
    return str(row["template_id"] or type_of(row["template_type"], row["sequence_number"]))


def _move(row: Row, parcels: Parcels, settings: ReviewSettings, days_waiting: int, now: datetime) -> Move:
    """What becomes of a row that nothing stops."""
    left_at = _left_at(row, parcels)
    stays = Move(row["id"], None, fulfilled_at=parcels.fulfilled_at, delivered_at=parcels.delivered_at)
    if row["created_at"] < now - timedelta(days=MAX_AGE_DAYS):
        return replace(stays, status="skipped", reason="too_old")
    status, at = place_of(parcels, settings, fulfilled_at=left_at, now=now)
    if status == "scheduled":
        return replace(stays, status=status, scheduled_at=at)
    if parcels.lost:
        return replace(stays, status="skipped", reason="not_delivered")
    patience = days_waiting + (PATIENCE_DAYS if parcels.moving else 0)
    # A row that waits for its parcel goes on waiting by what it was told, even if the order is not here.
    waits = status == "awaiting_delivery" or (row["status"] == "awaiting_delivery" and parcels is NO_PARCELS)
    if waits and days_after(left_at, patience, now):
        at = at_send_hour(now, hour=settings.send_hour, zone=settings.zone, now=now)
        return replace(stays, status="scheduled", scheduled_at=at, promoted=True)
    return replace(stays, status=status) if status == "awaiting_delivery" else stays


def _write(session: Session, moves: Sequence[Move], now: datetime) -> list[Row]:
    params = {
        "ids": [each.id for each in moves],
        "statuses": [each.status for each in moves],
        "times": [each.scheduled_at for each in moves],
        "reasons": [each.reason for each in moves],
        "fulfilled": [each.fulfilled_at for each in moves],
        "delivered": [each.delivered_at for each in moves],
        "promoted": [each.promoted for each in moves],
        "now": now,
    }
    return session.all(MOVE, params)


def _count(done: Progress, moves: Sequence[Move], now_at: Mapping[str, str], seen: int) -> None:
    promoted = sum(each.promoted and now_at.get(each.id) == "scheduled" for each in moves)
    scheduled = sum(status == "scheduled" for status in now_at.values())
    skipped = sum(status == "skipped" for status in now_at.values())
    done.promoted += promoted
    done.delivered += scheduled - promoted
    done.skipped += skipped
    done.waiting += seen - scheduled - skipped
