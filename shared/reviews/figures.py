"""What came of the review mails of a period, by the row of the queue; each row counts once.

    sent          rows that were sent in the period
    bounced       hard bounces; delivered: not bounced, and delivered, opened or clicked
    opened        opened or clicked: whoever clicks has opened, also where the image was not loaded
    orders mailed orders whose first mail went in the period; reviewed: with a review within 30 days after that mail

deliveryRate, bounceRate: of sent. openRate, clickRate: of delivered. clickToOpenRate: of opened. conversionRate:
reviewed of mailed. Percent with two decimals, half up; 0.00 of nothing. openRate is too high wherever mail programmes
load images by themselves; it is shown and decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from shared.jobs.context import Session
from shared.reviews.stops import reviewed_sql
from shared.time import local_midnight

REVIEW_WINDOW = timedelta(days=30)
"""From an order's first mail; a review after that is not counted as its result."""

EXPIRE_CODES = """
-- reviews: codes whose time is over
UPDATE review_incentive_codes SET status = 'expired' WHERE status = 'active' AND expires_at < %(now)s
"""

_WITHIN = "r.created_at >= f.first_at AND r.created_at < f.first_at + %(window)s"

# A row that was sent again has several mails; the last one is the row's.
COHORT = f"""
mails AS (
    SELECT DISTINCT ON (m.queue_id) m.queue_id, m.delivered_at, m.opened_at, m.clicked_at, m.complained_at,
           m.bounced_at IS NOT NULL AND m.bounce_type = 'hard' AS bounced
    FROM mail_messages m
    WHERE m.queue_table = 'review_email_queue' AND m.sent_at >= %(from)s AND m.sent_at < %(to)s
    ORDER BY m.queue_id, m.sent_at DESC, m.id
), cohort AS (
    SELECT (q.sent_at AT TIME ZONE %(zone)s)::date AS day, q.sequence_number, q.order_id,
           COALESCE(m.bounced, false) AS bounced,
           NOT COALESCE(m.bounced, false)
               AND COALESCE(m.delivered_at, m.opened_at, m.clicked_at) IS NOT NULL AS delivered,
           COALESCE(m.opened_at, m.clicked_at) IS NOT NULL AS opened,
           m.clicked_at IS NOT NULL AS clicked, m.complained_at IS NOT NULL AS complained
    FROM review_email_queue q
    LEFT JOIN mails m ON m.queue_id = q.id
    WHERE q.sent_at >= %(from)s AND q.sent_at < %(to)s
), firsts AS (
    SELECT q.order_id, min(q.sent_at) AS first_at, (array_agg(q.customer_email ORDER BY q.sent_at))[1] AS email
    FROM review_email_queue q
    WHERE q.order_id IN (SELECT order_id FROM cohort) AND q.sent_at IS NOT NULL
    GROUP BY q.order_id
), results AS (
    SELECT (f.first_at AT TIME ZONE %(zone)s)::date AS day, f.order_id, reviewed.found
    FROM firsts f
    LEFT JOIN orders o ON o.id = f.order_id
    CROSS JOIN LATERAL (SELECT {reviewed_sql("f.order_id", "o", "f.email", _WITHIN)} AS found) reviewed
    WHERE f.first_at >= %(from)s AND f.first_at < %(to)s
)"""  # noqa: S608
_SUMS = """count(*)::int AS sent, count(*) FILTER (WHERE c.delivered)::int AS delivered,
           count(*) FILTER (WHERE c.opened)::int AS opened, count(*) FILTER (WHERE c.clicked)::int AS clicked,
           count(*) FILTER (WHERE c.bounced)::int AS bounced"""

TOTALS = f"""
-- reviews: figures of a period
WITH {COHORT}
SELECT s.*, r.orders_mailed, r.converted
FROM (SELECT {_SUMS} FROM cohort c) s,
     (SELECT count(*)::int AS orders_mailed, count(*) FILTER (WHERE found)::int AS converted FROM results) r
"""  # noqa: S608

# Every day of the period gets a row, and every row that is there is written anew: a corrected day keeps nothing old.
STORE_DAYS = f"""
-- reviews: figures of each local day and step
WITH {COHORT}, steps AS (
    SELECT c.day, c.sequence_number, {_SUMS}, count(*) FILTER (WHERE c.complained)::int AS complained
    FROM cohort c GROUP BY 1, 2
), ended AS (
    SELECT (q.skipped_at AT TIME ZONE %(zone)s)::date AS day, q.sequence_number, 1 AS skipped, 0 AS failed
    FROM review_email_queue q
    WHERE q.status = 'skipped' AND q.skipped_at >= %(from)s AND q.skipped_at < %(to)s
    UNION ALL
    SELECT (q.last_attempt_at AT TIME ZONE %(zone)s)::date, q.sequence_number, 0, 1
    FROM review_email_queue q
    WHERE q.status = 'failed' AND q.attempts >= q.max_attempts
      AND q.last_attempt_at >= %(from)s AND q.last_attempt_at < %(to)s
), endings AS (
    SELECT day, sequence_number, sum(skipped)::int AS skipped, sum(failed)::int AS failed FROM ended GROUP BY 1, 2
), converted AS (
    SELECT day, 1 AS sequence_number, count(*)::int AS mailed, count(*) FILTER (WHERE found)::int AS reviewed
    FROM results GROUP BY 1
), keys AS (
    SELECT d::date AS day, 1 AS sequence_number
    FROM generate_series(%(first)s::timestamp, %(last)s::timestamp, interval '1 day') d
    UNION SELECT day, sequence_number FROM steps
    UNION SELECT day, sequence_number FROM endings
    UNION SELECT day, sequence_number FROM review_email_daily_stats WHERE day BETWEEN %(first)s AND %(last)s
)
INSERT INTO review_email_daily_stats AS t
    (day, sequence_number, sent, delivered, opened, clicked, bounced, complained, skipped, failed, orders_mailed,
     orders_reviewed, computed_at)
SELECT k.day, k.sequence_number, COALESCE(s.sent, 0), COALESCE(s.delivered, 0), COALESCE(s.opened, 0),
       COALESCE(s.clicked, 0), COALESCE(s.bounced, 0), COALESCE(s.complained, 0), COALESCE(e.skipped, 0),
       COALESCE(e.failed, 0), COALESCE(c.mailed, 0), COALESCE(c.reviewed, 0), %(now)s
FROM keys k
LEFT JOIN steps s USING (day, sequence_number)
LEFT JOIN endings e USING (day, sequence_number)
LEFT JOIN converted c USING (day, sequence_number)
ORDER BY k.day, k.sequence_number
ON CONFLICT (day, sequence_number) DO UPDATE SET
    sent = excluded.sent, delivered = excluded.delivered, opened = excluded.opened, clicked = excluded.clicked,
    bounced = excluded.bounced, complained = excluded.complained, skipped = excluded.skipped,
    failed = excluded.failed, orders_mailed = excluded.orders_mailed, orders_reviewed = excluded.orders_reviewed,
    computed_at = excluded.computed_at
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Period:
    """Local days `first` to `last`, both inclusive."""

    first: date
    last: date
    zone: ZoneInfo

    @property
    def start(self) -> datetime:
        return local_midnight(self.first, self.zone)

    @property
    def end(self) -> datetime:
        """Exclusive."""
        return local_midnight(self.last + timedelta(days=1), self.zone)

    @property
    def before(self) -> Period:
        """The period of as many days right before."""
        days = self.last - self.first + timedelta(days=1)
        return Period(self.first - days, self.last - days, self.zone)

    def params(self) -> dict[str, Any]:
        return {
            "first": self.first,
            "last": self.last,
            "from": self.start,
            "to": self.end,
            "zone": self.zone.key,
            "window": REVIEW_WINDOW,
        }


def expire_codes(session: Session, *, now: datetime) -> int:
    """Mark the codes expired whose time is over; how many."""
    return session.execute(EXPIRE_CODES, {"now": now})


def store_days(session: Session, period: Period, *, now: datetime) -> None:
    """Compute and replace the rows of review_email_daily_stats of every day."""
    session.execute(STORE_DAYS, {**period.params(), "now": now})


def totals(session: Session, period: Period) -> dict[str, int]:
    """sent, delivered, opened, clicked, bounced, orders_mailed, converted; orders counted once over the period."""
    return dict(session.one(TOTALS, period.params()) or {})


def rates(counts: Mapping[str, int]) -> dict[str, str]:
    """The rates of `totals`, as text."""
    return {
        "delivery_rate": percent(counts["delivered"], counts["sent"]),
        "open_rate": percent(counts["opened"], counts["delivered"]),
        "click_rate": percent(counts["clicked"], counts["delivered"]),
        "click_to_open_rate": percent(counts["clicked"], counts["opened"]),
        "bounce_rate": percent(counts["bounced"], counts["sent"]),
        "conversion_rate": percent(counts["converted"], counts["orders_mailed"]),
    }


def percent(part: int, whole: int) -> str:
    """A share in percent with two decimals, rounded half up; of nothing 0.00.

    >>> percent(19, 76), percent(1, 8), percent(1, 0)
    ('25.00', '12.50', '0.00')
    """
    if whole <= 0:
        return "0.00"
    hundredths = (part * 10_000 + whole // 2) // whole
    return f"{hundredths // 100}.{hundredths % 100:02d}"
