"""Whether a test's data can be believed: does the effect wear off, do its visitors change, is a segment split wrongly.

Information only; nothing decides by it.

    novelty      the difference of the first week's visitors against the last week's is gone (z test)
    drift        the earliest quarter of the visitors and the latest are other people (chi-square of homogeneity, with
                 Cramer's V, because with many visitors every trifle is significant)
    segment_srm  the split check of the visitors of one kind of device
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from functions.commerce.ab_tests.comparing import compare, split_check
from functions.commerce.ab_tests.daily import BOTS
from functions.commerce.ab_tests.subjects import Subject
from functions.commerce.ab_tests.sums import Arms, Tally, read_sums
from shared.jobs import Session
from shared.jobs.context import Row
from shared.stats import Comparison, homogeneity

WEEK = timedelta(days=7)
LONG_ENOUGH = 2 * WEEK
"""From then on the first and the last week do not overlap."""
QUARTER_MIN = 200
"""Visitors of a quarter that can be compared."""
NOVELTY_Z, NOVELTY_LEFT = 1.96, 0.8
"""The fall of the difference in standard errors, and the share of it that may be left."""
DRIFT_P, DRIFT_V = 0.001, 0.1

EARLY_AND_LATE = """
-- A/B quality: the earliest quarter of a test's visitors and the latest, by who they are
WITH people AS (
  SELECT w.device_type, w.country, w.utm_source, row_number() OVER (ORDER BY w.assigned_at, w.id) AS n,
         count(*) OVER () AS whole
  FROM ab_visitors w
  WHERE w.test_id = %(test_id)s AND w.assigned_at >= %(from_at)s AND w.assigned_at < %(until)s
    AND COALESCE(w.user_agent, '') !~* %(bots)s),
quarters AS (
  SELECT p.*, n > whole / 4 AS late FROM people p WHERE n <= whole / 4 OR n > whole - whole / 4),
counts AS (
  SELECT k.kind, COALESCE(NULLIF(k.value, ''), 'unknown') AS value, count(*) FILTER (WHERE NOT q.late) AS early,
         count(*) FILTER (WHERE q.late) AS late
  FROM quarters q
  CROSS JOIN LATERAL (VALUES ('device_type', q.device_type), ('country', q.country), ('utm_source', q.utm_source))
       AS k (kind, value)
  GROUP BY 1, 2),
ranked AS (
  SELECT c.*, row_number() OVER (PARTITION BY kind ORDER BY early + late DESC, value) AS place FROM counts c)
SELECT kind, CASE WHEN place <= 10 THEN place ELSE 11 END AS place, sum(early)::integer AS early,
       sum(late)::integer AS late
FROM ranked GROUP BY 1, 2 ORDER BY 1, 2
"""

SEGMENTS = """
-- A/B quality: visitors of a test by device, epoch and arm
SELECT COALESCE(w.device_type, 'unknown') AS device, GREATEST(1, width_bucket(w.assigned_at, %(starts)s::timestamptz[]))
           AS epoch, w.variant_id, count(*)::integer AS n
FROM ab_visitors w
JOIN ab_variants v ON v.id = w.variant_id AND v.test_id = w.test_id
WHERE w.test_id = %(test_id)s AND w.assigned_at >= %(from_at)s AND w.assigned_at < %(until)s
  AND COALESCE(w.user_agent, '') !~* %(bots)s
GROUP BY 1, 2, 3
"""


def quality_marks(session: Session, subject: Subject, slot: datetime) -> dict[str, bool]:
    """The marks novelty, drift and segment_srm of a test, each whether it is to stand."""
    marks = {"novelty": False, "drift": False, "segment_srm": False}
    if subject.started_at is None:
        return marks
    end = subject.until(slot)
    names = {"test_id": subject.id, "from_at": subject.started_at, "until": end, "bots": BOTS}
    if end - subject.started_at >= LONG_ENOUGH:
        marks["novelty"] = _wears_off(session, subject, slot, end)
    quarters = session.all(EARLY_AND_LATE, names)
    marks["drift"] = drifts(quarters)
    names["starts"] = [epoch.started_at for epoch in subject.epochs]
    marks["segment_srm"] = _segment_is_wrong(subject, session.all(SEGMENTS, names))
    return marks


def _wears_off(session: Session, subject: Subject, slot: datetime, end: datetime) -> bool:
    assert subject.started_at is not None
    if len(subject.controls) != 1:
        return False
    first = read_sums(session, subject, slot, until=subject.started_at + WEEK).epochs()
    last = read_sums(session, subject, slot, from_at=end - WEEK).epochs()
    control = subject.controls[0].id
    return any(
        is_novelty(
            compare(subject.metric, first, control, variant.id, alpha=subject.alpha),
            compare(subject.metric, last, control, variant.id, alpha=subject.alpha),
        )
        for variant in subject.variants
        if variant.id != control
    )


def is_novelty(first: Comparison | None, last: Comparison | None) -> bool:
    """Whether an effect was there and has worn off: D_first - D_last above 1.96 standard errors, and D_last below 0.8
    of a positive D_first."""
    if first is None or last is None or first.variance + last.variance <= 0:
        return False
    z = (first.difference - last.difference) / math.sqrt(first.variance + last.variance)
    return z > NOVELTY_Z and first.difference > 0 and last.difference < NOVELTY_LEFT * first.difference


def drifts(quarters: Sequence[Row]) -> bool:
    """Whether any kind of particular (`kind`, `early`, `late`) is spread otherwise among the latest visitors."""
    return any(_differs([row for row in quarters if row["kind"] == kind]) for kind in _kinds(quarters))


def _kinds(rows: Iterable[Row]) -> list[str]:
    return list(dict.fromkeys(row["kind"] for row in rows))


def _differs(rows: Sequence[Row]) -> bool:
    table = [[row["early"] for row in rows], [row["late"] for row in rows]]
    if min(map(sum, table)) < QUARTER_MIN or len(rows) < 2:
        return False
    chi_square, strength = homogeneity(table)
    return chi_square.p < DRIFT_P and strength >= DRIFT_V


def _segment_is_wrong(subject: Subject, rows: Sequence[Row]) -> bool:
    """Whether the split check of some device is critical, against the splits that were analysed."""
    segments: dict[str, dict[int, Arms]] = {}
    for row in rows:
        if row["epoch"] <= len(subject.epochs) and subject.epochs[row["epoch"] - 1].analysed:
            arms = segments.setdefault(row["device"], {}).setdefault(row["epoch"], {})
            arms[row["variant_id"]] = Tally(n=row["n"])
    return any(split_check(subject, by_epoch).status == "critical" for by_epoch in segments.values())
