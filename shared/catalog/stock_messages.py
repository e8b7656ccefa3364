"""Stock messages to the tenant's Slack channels: at once, or as the summary of a day or a week.

A row of analytics_slack_alerts asks for them: {alert_type: low_stock | out_of_stock | reorder_needed, channel_id,
config: {threshold (days), frequency: realtime | daily | weekly, businessHoursOnly, businessHoursStart,
businessHoursEnd, businessHoursTimezone}}. Missing members have the defaults below.

realtime: what this run found, and what earlier runs found since the row was last served (outside business hours, or
in a worker that died before it posted). Call `post_news` after the states were committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from shared.catalog.stock import COVER_DAYS, STANDING, UNTOLD, VELOCITY_WINDOW, Verdict, days_left, watched
from shared.jobs.context import JobContext, Session
from shared.jobs.errors import Permanent, Transient
from shared.slack import escape, post
from shared.time import day_bounds, local_date, tenant_zone, zone_named

SLACK_LIST_MAX = 20
"""Variants named in one message; the rest is counted."""
SUMMARY_HOUR = 9
"""Local hour in which daily and weekly summaries go out."""
MONDAY = 1
BUSINESS_HOURS = ("09:00", "18:00")
"""Used when a row wants business hours and does not say which."""

AlertType = Literal["low_stock", "out_of_stock", "reorder_needed"]
STATES: dict[str, tuple[str, ...]] = {
    "low_stock": ("low",),
    "out_of_stock": ("out",),
    "reorder_needed": ("low", "out"),
}
"""Alert type -> states into which its variants come; days of cover may be few in other states, too."""
HEADLINES = {
    "low_stock": "Low stock",
    "out_of_stock": "Out of stock",
    "reorder_needed": "Time to reorder",
}

ALERTS = """
-- catalog: the rows that want stock messages
SELECT id, alert_type, channel_id, config, last_triggered_at, COALESCE(last_triggered_at, created_at) AS since
FROM analytics_slack_alerts
WHERE is_enabled AND alert_type = ANY(%(types)s)
  AND COALESCE(config ->> 'frequency', 'realtime') = ANY(%(frequencies)s)
ORDER BY id
"""

NEWS = """
-- catalog: variants that came into these states since an instant
SELECT shopify_variant_id AS id FROM product_variants
WHERE stock_state = ANY(%(states)s) AND stock_state IN ('low', 'out') AND stock_state_at > %(since)s
"""

IN_STATE = """
-- catalog: variants in these states
SELECT shopify_variant_id AS id FROM product_variants
WHERE stock_state = ANY(%(states)s) AND stock_state IN ('low', 'out')
"""

# floor(quantity * window / units) <= days, without the division; the first condition is written as the index is.
REORDER = """
-- catalog: variants whose stock lasts for so many days at most, at the pace of their sales
WITH sold AS (
    SELECT l.variant_id, sum(l.quantity) AS units
    FROM orders o JOIN order_line_items l ON l.order_shopify_id = o.shopify_id
    WHERE COALESCE(o.order_placed_at, o.created_at) >= %(since)s
      AND o.order_placed_at >= %(since)s AND o.order_placed_at < %(now)s AND o.cancelled_at IS NULL
    GROUP BY l.variant_id
)
SELECT v.shopify_variant_id AS id
FROM sold s JOIN product_variants v ON v.shopify_variant_id = s.variant_id
WHERE s.units > 0 AND v.stock_state <> 'untracked'
  AND COALESCE(v.inventory_quantity, 0)::bigint * %(window)s < (%(days)s::bigint + 1) * s.units
"""

TRIGGERED = """
-- catalog: a row was served
UPDATE analytics_slack_alerts SET last_triggered_at = %(now)s, updated_at = %(now)s WHERE id = %(id)s
"""


@dataclass(frozen=True, slots=True)
class Alert:
    """One row. `since`: when it was last served, or made."""

    id: str
    alert_type: str
    channel_id: str
    config: dict[str, Any]
    last_triggered_at: datetime | None
    since: datetime

    @property
    def threshold_days(self) -> int:
        """Days of cover below which it is time to reorder."""
        value = self.config.get("threshold")
        return value if isinstance(value, int) and not isinstance(value, bool) else COVER_DAYS

    @property
    def frequency(self) -> str:
        """realtime, daily or weekly."""
        return str(self.config.get("frequency") or "realtime")

    def zone(self, tenant: ZoneInfo) -> ZoneInfo:
        """The zone of its hours: its own, else the tenant's."""
        return zone_named(str(self.config.get("businessHoursTimezone") or "")) or tenant

    def opens(self, now: datetime, tenant: ZoneInfo) -> bool:
        """Whether it may be served now: always, unless it keeps business hours."""
        if not self.config.get("businessHoursOnly"):
            return True
        start = _clock(self.config.get("businessHoursStart"), BUSINESS_HOURS[0])
        end = _clock(self.config.get("businessHoursEnd"), BUSINESS_HOURS[1])
        local = now.astimezone(self.zone(tenant)).time().replace(tzinfo=None)
        return start <= local < end if start <= end else local >= start or local < end


@dataclass(frozen=True, slots=True)
class Line:
    """One variant in a message."""

    title: str
    sku: str | None
    quantity: int
    days_left: int | None


def _clock(value: Any, default: str) -> time:
    """A time of day as "HH:MM" or as an hour."""
    text = f"{value:02d}:00" if isinstance(value, int) and not isinstance(value, bool) else str(value or default)
    try:
        return time.fromisoformat(text)
    except ValueError:
        return time.fromisoformat(default)


def post_news(ctx: JobContext, verdicts: Sequence[Verdict], *, run: str) -> int:
    """Serve the realtime rows after a run's states were committed; how many messages went out. No session is open.

    `run`: names the run; a message per run, row and channel goes out once.
    """
    now = ctx.now()
    with ctx.tenant_session(read_only=True) as session:
        alerts = _alerts(session, ("realtime",))
        if not alerts or not watched(session):
            return 0
        zone = tenant_zone(session)
        due = [(alert, _news(session, alert, verdicts, now)) for alert in alerts if alert.opens(now, zone)]
    posted = 0
    for alert, lines in due:
        if lines:
            posted += _serve(ctx, alert, lines, f"stock:{alert.id}:{run}")
    return posted


def post_summaries(ctx: JobContext, tick: datetime) -> tuple[int, int]:
    """Serve the daily and weekly rows whose local hour it is; (messages, variants named or counted in them)."""
    with ctx.tenant_session(read_only=True) as session:
        zone = tenant_zone(session)
        due = [alert for alert in _alerts(session, ("daily", "weekly")) if summary_is_due(alert, tick, zone)]
        listed = [(alert, _standing(session, alert, ctx.now())) for alert in due]
    messages = variants = 0
    for alert, lines in listed:
        date = local_date(tick, alert.zone(zone))
        if _serve(ctx, alert, lines, f"stock:{alert.id}:{date}"):
            messages, variants = messages + 1, variants + len(lines)
    return messages, variants


def summary_is_due(alert: Alert, tick: datetime, tenant: ZoneInfo) -> bool:
    """Whether a tick is the row's: local hour 9 (weekly: of a Monday), and not served on that local date yet.

    An hour that the clocks repeat is one local date, so the second of two such ticks finds the row served.
    """
    zone = alert.zone(tenant)
    local = tick.astimezone(zone)
    if local.hour != SUMMARY_HOUR or (alert.frequency == "weekly" and local.isoweekday() != MONDAY):
        return False
    midnight, _ = day_bounds(local.date(), zone)
    return alert.last_triggered_at is None or alert.last_triggered_at < midnight


def _alerts(session: Session, frequencies: Sequence[str]) -> list[Alert]:
    rows = session.all(ALERTS, {"types": list(STATES), "frequencies": list(frequencies)})
    return [Alert(**{**row, "id": str(row["id"]), "config": dict(row["config"] or {})}) for row in rows]


def _news(session: Session, alert: Alert, verdicts: Sequence[Verdict], now: datetime) -> list[Line]:
    """This run's variants, and those that came into the state since the row was served."""
    states = STATES[alert.alert_type]
    days = alert.threshold_days
    own = {v.variant_id: v for v in verdicts if _is_news(alert, v, days)}
    rows = session.all(NEWS, {"states": list(states), "since": alert.since})
    others = sorted({row["id"] for row in rows} - set(own))
    lines = [Line(v.title, v.sku, v.quantity, v.days_left) for v in own.values()]
    return _worst_first(alert, lines + _lines(session, others, now))


def _is_news(alert: Alert, verdict: Verdict, days: int) -> bool:
    if alert.alert_type != "reorder_needed":
        return verdict.changed and verdict.state in STATES[alert.alert_type]
    if verdict.before in UNTOLD or verdict.state in UNTOLD or verdict.days_left is None:
        return False
    return verdict.days_left <= days and (verdict.days_left_before is None or verdict.days_left_before > days)


def _standing(session: Session, alert: Alert, now: datetime) -> list[Line]:
    if alert.alert_type == "reorder_needed":
        since, days = now - timedelta(days=VELOCITY_WINDOW), alert.threshold_days
        rows = session.all(REORDER, {"since": since, "now": now, "window": VELOCITY_WINDOW, "days": days})
    else:
        rows = session.all(IN_STATE, {"states": list(STATES[alert.alert_type])})
    return _worst_first(alert, _lines(session, sorted(row["id"] for row in rows), now))


def _lines(session: Session, ids: Sequence[str], now: datetime) -> list[Line]:
    if not ids:
        return []
    rows = session.all(STANDING, {"ids": list(ids), "since": now - timedelta(days=VELOCITY_WINDOW), "now": now})
    return [Line(r["title"], r["sku"], r["quantity"], days_left(r["quantity"], r["units"])) for r in rows]


def _worst_first(alert: Alert, lines: Sequence[Line]) -> list[Line]:
    if alert.alert_type == "reorder_needed":
        lines = [line for line in lines if line.days_left is not None and line.days_left <= alert.threshold_days]
    return sorted(lines, key=lambda line: (line.days_left is None, line.days_left or 0, line.quantity, line.title))


def _serve(ctx: JobContext, alert: Alert, lines: Sequence[Line], dedupe_key: str) -> bool:
    """Post, and note that the row was served; one that has nothing to list, or whose channel is gone, too."""
    posted = False
    if lines:
        text = message(alert.alert_type, lines)
        block = {"type": "section", "text": {"type": "mrkdwn", "text": text}}
        try:
            outcome = post(ctx, alert.channel_id, text, [block], dedupe_key=dedupe_key)
        except (Permanent, Transient) as error:
            if isinstance(error, Transient) and not ctx.last_attempt:
                raise
            # The stock is stored: a Slack that cannot be reached ends no run. What was not told is news to the next.
            ctx.log.error("stock alert %s was not told: %s", alert.id, error.code)
            return False
        posted = outcome.status == "sent"
        if outcome.status == "failed":
            ctx.log.error("stock alert %s: SLACK_CHANNEL_GONE (%s)", alert.id, outcome.code)
    with ctx.tenant_session() as session:
        session.execute(TRIGGERED, {"id": alert.id, "now": ctx.now()})
    return posted


def message(alert_type: str, lines: Sequence[Line]) -> str:
    """The text: up to SLACK_LIST_MAX variants, the rest counted."""
    shown = [f"• {_shown(line)}" for line in lines[:SLACK_LIST_MAX]]
    rest = len(lines) - len(shown)
    head = f"*{HEADLINES[alert_type]}: {len(lines)} {'variant' if len(lines) == 1 else 'variants'}*"
    return "\n".join([head, *shown, *([f"and {rest} more"] if rest else [])])


def _shown(line: Line) -> str:
    sku = f" ({escape(line.sku)})" if line.sku else ""
    cover = "" if line.days_left is None else f", {line.days_left} days of cover"
    return f"{escape(line.title)}{sku}: {line.quantity} left{cover}"
