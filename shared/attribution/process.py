"""One order's way through attribution: from its rows to its conversion, credits and reversals, in one transaction.

The only writer of conversions, credits and order status. It starts by locking the order's status row, so two runs for
one order follow each other; what it computes is a function of the order's path and the tenant's settings, so any repeat
gives the same rows, and a repeat that finds nothing new writes none.

    (none), pending, unattributed -> attributed     the widest window has a touchpoint
    (none), pending              -> unattributed    none found; tried again by UNATTRIBUTED_BACKOFF
    (none), pending, unattributed -> excluded       cancelled or voided before its first processing, or a renewal
    attributed, expired, excluded -> any of these   only by force
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from shared.attribution import reversals
from shared.attribution.credits import Credit, credits_of, path_hash, paths_of, replace_credits
from shared.attribution.evidence import Evidence, Survey, code_owner, own_ids
from shared.attribution.identity import resolve_identity, touchpoints_of
from shared.attribution.marketing import read_origin
from shared.attribution.paths import window_length
from shared.attribution.settings import AttributionSettings, read_settings
from shared.attribution.touchpoints import NewTouchpoint, Touchpoint, delete_touchpoints, upsert_touchpoints
from shared.events.attribution import AttributionDailyMetrics, ConversionAttributed
from shared.ids import find_order
from shared.jobs.context import Row, Session
from shared.jobs.errors import Transient
from shared.time import local_date

Status = Literal["pending", "attributed", "unattributed", "expired", "excluded"]
Cause = Literal["event", "retry"]
"""Why an order is processed: `retry` is a further try of an unattributed order and counts as one."""

BACKOFF_MAX_H = 24
"""Longest wait in hours between two tries of an unattributed order."""
DISABLED = "disabled"
QUARTER_HOUR_S = 900
"""Changes of one day within so many seconds ask for one rebuild of its metrics."""


@dataclass(frozen=True, slots=True)
class ProcessedOrder:
    """What became of an order. `touchpoints`: in its widest window. `rows`: credits written by this run.

    `changed`: conversion, credits or status were written; `emitted`: conversion.attributed went out with this run.
    """

    order_id: str
    status: Status
    touchpoints: int = 0
    models: int = 0
    windows: int = 0
    rows: int = 0
    changed: bool = False
    emitted: bool = False


@dataclass(frozen=True, slots=True)
class HandedOn:
    """What the publisher of attribution.process knows beside the order: a visitor of it, and whom not to tell."""

    visitor_id: str | None = None
    skip_ga4: bool = False
    skip_meta: bool = False


ENSURE_STATUS = """
-- attribution: a status row for the order
INSERT INTO attribution_order_status (order_id, status, order_at, created_at, updated_at)
VALUES (%(order_id)s, 'pending', %(order_at)s, %(now)s, %(now)s)
ON CONFLICT (order_id) DO NOTHING
"""

LOCK_STATUS = """
-- attribution: one run at a time for one order
SELECT status, reason, attempts, touchpoint_count, path_hash, config_hash, event_emitted_at
FROM attribution_order_status WHERE order_id = %(order_id)s FOR UPDATE
"""

# Read after the lock, so that a run that waited sees what the other one left. An order counts as a renewal when another
# charge of its subscription was billed before it. First purchase: no other counted order of the person is older.
ORDER = """
-- attribution: an order, its conversion and what else it says of itself
SELECT o.order_number, o.customer_id, o.currency, o.utm_source, o.utm_medium, o.utm_campaign, o.attribution_data,
       o.discount_codes, GREATEST(COALESCE(NULLIF(o.total_price_cents, 0), o.total_cents), 0) AS revenue_cents,
       COALESCE(o.order_placed_at, o.created_at) AS converted_at,
       CASE WHEN o.status = 'cancelled' OR o.cancelled_at IS NOT NULL THEN 'cancelled'
            WHEN o.financial_status = 'voided' THEN 'voided'
            WHEN EXISTS (
                SELECT FROM subscription_orders s JOIN subscription_orders e USING (subscription_id)
                WHERE s.order_id IN (o.id, o.shopify_order_id, o.shopify_id) AND e.id <> s.id
                  AND e.billed_at IS NOT NULL
                  AND (s.billed_at IS NULL OR (e.billed_at, e.id) < (s.billed_at, s.id)))
                 THEN 'subscription_renewal' END AS exclusion,
       COALESCE(o.customer_id, lower(o.customer_email)) IS NOT NULL AND NOT EXISTS (
           SELECT FROM orders e
           WHERE COALESCE(e.customer_id, lower(e.customer_email)) = COALESCE(o.customer_id, lower(o.customer_email))
             AND (COALESCE(e.order_placed_at, e.created_at), e.id) < (COALESCE(o.order_placed_at, o.created_at), o.id)
             AND e.financial_status <> 'voided'
             AND (NOT (e.cancelled_at IS NOT NULL OR e.status = 'cancelled') OR EXISTS (
                 SELECT FROM refunds r WHERE r.order_shopify_id IN (e.shopify_id, e.shopify_order_id)))
       ) AS is_first_purchase,
       c.id AS conversion_id, c.converted_at AS booked_at,
       a.channel AS survey_channel, a.platform AS survey_platform, a.option_value AS survey_option,
       ARRAY(SELECT t.id FROM attribution_touchpoints t WHERE t.id = ANY(%(own_ids)s)) AS stored_ids
FROM orders o
LEFT JOIN LATERAL (
    SELECT v.id, v.converted_at FROM attribution_conversions v
    WHERE v.order_id = o.id AND v.conversion_type = 'purchase' ORDER BY v.created_at, v.id LIMIT 1) c ON true
LEFT JOIN LATERAL (
    SELECT s.channel, s.platform, s.option_value FROM attribution_records s
    WHERE s.order_id = o.id ORDER BY s.collected_at DESC, s.source_type DESC LIMIT 1) a ON true
WHERE o.id = %(order_id)s
"""

UPSERT_CONVERSION = """
-- attribution: the conversion of an order
INSERT INTO attribution_conversions AS c
    (id, tenant_id, order_id, order_number, customer_id, revenue, currency, conversion_type, is_first_purchase,
     converted_at, created_at)
VALUES (%(conversion_id)s, current_setting('cgk.tenant_id'), %(order_id)s, %(order_number)s, %(customer_id)s,
        %(revenue_cents)s / 100.0, %(currency)s, 'purchase', %(is_first_purchase)s, %(converted_at)s, %(now)s)
ON CONFLICT (id) DO UPDATE
SET order_number = excluded.order_number, customer_id = excluded.customer_id, revenue = excluded.revenue,
    currency = excluded.currency, is_first_purchase = excluded.is_first_purchase, converted_at = excluded.converted_at
WHERE (c.order_number, c.customer_id, c.revenue, c.currency, c.is_first_purchase, c.converted_at)
      IS DISTINCT FROM (excluded.order_number, excluded.customer_id, excluded.revenue, excluded.currency,
                        excluded.is_first_purchase, excluded.converted_at)
"""

TOUCH = """
-- attribution: a run that found nothing new
UPDATE attribution_order_status
SET last_attempt_at = %(now)s, attempts = attempts + %(tries)s,
    next_attempt_at = COALESCE(%(next_attempt_at)s, next_attempt_at)
WHERE order_id = %(order_id)s
"""

SET_STATUS = """
-- attribution: what became of an order
UPDATE attribution_order_status
SET status = %(status)s, reason = %(reason)s, conversion_id = %(conversion_id)s, attempts = %(attempts)s,
    order_at = %(converted_at)s, last_attempt_at = %(now)s, next_attempt_at = %(next_attempt_at)s,
    touchpoint_count = %(touchpoints)s, path_hash = %(path_hash)s, config_hash = %(config_hash)s,
    model_version = %(model_version)s, updated_at = %(now)s,
    event_emitted_at = COALESCE(event_emitted_at, %(emitted_at)s)
WHERE order_id = %(order_id)s
"""


def process_order(
    session: Session,
    order_id: str,
    force: bool = False,
    cause: Cause = "event",
    *,
    now: datetime,
    handed_on: HandedOn = HandedOn(),
    settings: AttributionSettings | None = None,
) -> ProcessedOrder:
    """Compute and store the credits of one order, and announce its conversion once.

    `order_id`: orders.id or a Shopify id. `force`: compute although nothing changed, and reopen an expired or excluded
    order. `settings`: read once by a caller that processes many. Emits conversion.attributed and
    attribution.dailyMetrics in `session`. Raises Transient ORDER_NOT_FOUND: its sync may be seconds behind.
    """
    found = find_order(session, order_id)
    if found is None:
        raise Transient("ORDER_NOT_FOUND", "the order is not in the database yet")
    settings = settings or read_settings(session)
    id: str = found["id"]
    order_at = found["order_placed_at"] or found["created_at"]
    session.execute(ENSURE_STATUS, {"order_id": id, "order_at": order_at, "now": now})
    status = session.one(LOCK_STATUS, {"order_id": id})
    order = session.one(ORDER, {"order_id": id, "own_ids": own_ids(id)})
    if status is None or order is None:
        raise Transient("ORDER_NOT_FOUND", "the order was deleted meanwhile")
    return _Processing(session, id, order, status, settings, now, force, cause, handed_on).run()


@dataclass(frozen=True)
class _Processing:
    """One order under its lock."""

    session: Session
    order_id: str
    order: Row
    status: Row
    settings: AttributionSettings
    now: datetime
    force: bool
    cause: Cause
    handed_on: HandedOn

    def run(self) -> ProcessedOrder:
        if self.status["status"] in ("expired", "excluded") and not self.force:
            return self._nothing_new()
        if self.order["conversion_id"] is None and self.order["exclusion"]:
            self._settle("excluded", reason=self.order["exclusion"])
            return ProcessedOrder(self.order_id, "excluded", changed=self.status["status"] != "excluded")
        if not self.settings.enabled:
            return self._disabled()
        candidates, made = self._candidates()
        paths = paths_of(candidates, self.order["converted_at"], self.settings)
        path = paths[self.settings.widest]
        if not path and self.status["status"] == "attributed" and not self.force:
            return self._nothing_new()  # a late deletion takes an attribution back only when someone asks for it
        self._store_touchpoints(made)
        conversion_id, conversion_changed = self._store_conversion()
        hashes = (path_hash(paths, self.order["revenue_cents"], self.order["currency"]), self.settings.config_hash())
        known = (self.status["path_hash"], self.status["config_hash"])
        if hashes == known and not self.force:
            if conversion_changed:
                self._emit_daily_metrics()
            return self._nothing_new(conversion_changed)
        credits = credits_of(paths, self.order["revenue_cents"], self.settings)
        self._store_credits(conversion_id, credits)
        emitted = self._emit_conversion(self.settings.default_model, len(paths[self.settings.default_window]))
        self._settle(
            "attributed" if path else "unattributed", conversion_id, touchpoints=len(path), hashes=hashes, told=emitted
        )
        self._emit_daily_metrics()
        return self._result(
            "attributed" if path else "unattributed", len(path), rows=len(credits), changed=True, emitted=emitted
        )

    # Steps.

    def _candidates(self) -> tuple[list[Touchpoint], list[NewTouchpoint]]:
        """Everything that may be on the path, and those of it that stand for the order's own data."""
        order, at = self.order, self.order["converted_at"]
        origin = read_origin(
            order["attribution_data"],
            utm_source=order["utm_source"],
            utm_medium=order["utm_medium"],
            utm_campaign=order["utm_campaign"],
            visitor_id=self.handed_on.visitor_id,
        )
        identity = resolve_identity(
            self.session,
            order_id=self.order_id,
            customer_id=order["customer_id"],
            visitor_ids=origin.visitor_ids,
            converted_at=at,
        )
        recorded = touchpoints_of(
            self.session,
            identity,
            converted_at=at,
            length=window_length(self.settings.widest),
            views=self.settings.views,
            without=own_ids(self.order_id),
        )
        owner = code_owner(self.session, order["discount_codes"])
        survey = Survey.of(order["survey_channel"], order["survey_platform"], order["survey_option"])
        evidence = Evidence(self.order_id, order["customer_id"], at, origin, owner, survey)
        made = evidence.touchpoints(recorded, self.settings.shop_hosts)
        return [*recorded, *(t.seen() for t in made)], made

    def _store_touchpoints(self, made: list[NewTouchpoint]) -> None:
        wanted = {t.id for t in made}
        delete_touchpoints(self.session, [id for id in self.order["stored_ids"] if id not in wanted])
        upsert_touchpoints(self.session, made, self.now)

    def _store_conversion(self) -> tuple[str, bool]:
        """The conversion's id and whether its row was written."""
        # The platform's table has no unique key on order_id: the row that is there, else an id that repeats itself.
        digest = hashlib.sha256(f"purchase:{self.order_id}".encode()).hexdigest()
        conversion_id: str = self.order["conversion_id"] or f"conv_{digest[:32]}"
        names = ("order_number", "customer_id", "revenue_cents", "currency", "is_first_purchase", "converted_at")
        facts: dict[str, Any] = {name: self.order[name] for name in names}
        facts |= {"conversion_id": conversion_id, "order_id": self.order_id, "now": self.now}
        return conversion_id, self.session.execute(UPSERT_CONVERSION, facts) > 0

    def _store_credits(self, conversion_id: str, credits: list[Credit]) -> None:
        replace_credits(
            self.session, conversion_id=conversion_id, order_id=self.order_id, credits=credits, now=self.now
        )
        reversals.replay_refunds(
            self.session,
            order_id=self.order_id,
            conversion_id=conversion_id,
            credits=credits,
            revenue_cents=self.order["revenue_cents"],
            now=self.now,
        )

    # Endings.

    def _disabled(self) -> ProcessedOrder:
        """Attribution is switched off: nothing is stored, but the ad platforms' purchase events go out all the same."""
        if self.order["conversion_id"] is not None:
            return self._nothing_new()
        emitted = self._emit_conversion("none", 0)
        changed = (self.status["status"], self.status["reason"]) != ("unattributed", DISABLED)
        self._settle("unattributed", reason=DISABLED, told=emitted)
        return ProcessedOrder(self.order_id, "unattributed", changed=changed, emitted=emitted)

    def _nothing_new(self, changed: bool = False) -> ProcessedOrder:
        """Note the try; a retry of an order without touchpoints also waits longer for the next one."""
        again = self.cause == "retry" and self.status["status"] == "unattributed"
        self.session.execute(
            TOUCH,
            {
                "order_id": self.order_id,
                "now": self.now,
                "tries": int(again),
                "next_attempt_at": self._next_attempt_at() if again else None,
            },
        )
        return self._result(self.status["status"], self.status["touchpoint_count"], changed=changed)

    def _settle(
        self,
        status: Status,
        conversion_id: str | None = None,
        *,
        reason: str | None = None,
        touchpoints: int = 0,
        hashes: tuple[str | None, str | None] = (None, None),
        told: bool = False,
    ) -> None:
        retried = status == "unattributed" and reason is None
        self.session.execute(
            SET_STATUS,
            {
                "order_id": self.order_id,
                "status": status,
                "reason": reason,
                "conversion_id": conversion_id,
                "attempts": self.status["attempts"] + 1,
                "converted_at": self.order["converted_at"],
                "now": self.now,
                "next_attempt_at": self._next_attempt_at() if retried else None,
                "touchpoints": touchpoints,
                "path_hash": hashes[0],
                "config_hash": hashes[1],
                "model_version": self.settings.model_version if conversion_id else None,
                "emitted_at": self.now if told else None,
            },
        )

    def _next_attempt_at(self) -> datetime:
        """After try a: min(2^(a - 1), 24) hours; 1, 2, 4, 8, 16, 24, 24, .. h."""
        tries = self.status["attempts"] + 1
        return self.now + timedelta(hours=min(2 ** min(tries - 1, 10), BACKOFF_MAX_H))

    def _result(
        self, status: Status, touchpoints: int, *, rows: int = 0, changed: bool = False, emitted: bool = False
    ) -> ProcessedOrder:
        return ProcessedOrder(
            self.order_id,
            status,
            touchpoints,
            models=len(self.settings.models),
            windows=len(self.settings.windows),
            rows=rows,
            changed=changed,
            emitted=emitted,
        )

    # Events.

    def _emit_conversion(self, model: str, touchpoints: int) -> bool:
        """Once per order, found or not: the purchase events of the ad platforms must not depend on our match."""
        if self.status["event_emitted_at"] is not None:
            return False
        self.session.emit(
            ConversionAttributed(
                order_id=self.order_id,
                attribution_model=model,
                touchpoints=touchpoints,
                value_cents=self.order["revenue_cents"],
                currency=self.order["currency"],
                skip_ga4=self.handed_on.skip_ga4,
                skip_meta=self.handed_on.skip_meta,
            )
        )
        return True

    def _emit_daily_metrics(self) -> None:
        """Days before today whose figures changed are summed up again; today's are summed up anyway."""
        zone = self.settings.zone
        days = {local_date(at, zone) for at in (self.order["converted_at"], self.order["booked_at"]) if at}
        for day in sorted(days):
            if day < local_date(self.now, zone):
                key = daily_metrics_key(day, self.now)
                self.session.emit(AttributionDailyMetrics(date=day, force_recalculate=True), key=key)


def daily_metrics_key(day: date, now: datetime) -> str:
    """Key of attribution.dailyMetrics: one rebuild of a day per quarter of an hour, whoever asks."""
    quarter = datetime.fromtimestamp(now.timestamp() // QUARTER_HOUR_S * QUARTER_HOUR_S, tz=now.tzinfo)
    return f"adm:{day.isoformat()}:{quarter.isoformat(timespec='minutes')}"
