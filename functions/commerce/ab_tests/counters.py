"""The transfer of the storefront's counters from Redis into ab_counter_batches: exactly once, whatever dies when.

    claim   one script: the counting hash becomes the draining hash, which gets the id of its batch for good
    apply   one transaction: the batch's row, whose primary key exists once, and the days that show it
    drop    one script: the draining hash goes, if it still is that batch

Died after the claim: the next run finds the draining hash with its batch id and applies it. Died after the commit: the
next run's insert finds the row there, adds nothing and drops the hash. Two runs at once: one insert wins, and a drop
never hits a later batch, because that has another id. What is counted meanwhile goes to a new counting hash. There is
no total to add to: totals are sums over the batches.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

from psycopg.types.json import Jsonb

from functions.commerce.ab_tests.daily import hold_tests, recount
from shared.jobs import JobContext, Session
from shared.jobs.context import Row
from shared.redis import PIPELINE_MAX, Call, Key, Redis, Skipped
from shared.time import day_bounds, local_date

FIRST_SPAN = timedelta(hours=6)
"""Time that the first batch of a test that nobody has started is taken to cover."""
LONGEST_SPAN = timedelta(days=2)
"""A longer batch counts on the day it was claimed."""
COUNT_MAX, MONEY_MAX = 2**31 - 1, 10**15
"""Beyond these a field is no number that a storefront has counted."""
BATCH, CLAIMED = "_batch", "_claimed"
"""Our own fields of a draining hash."""
COUNTS = ("impressions", "visitors", "clicks", "add_to_carts", "begin_checkouts", "conversions")
INTEGER = re.compile(r"-?\d{1,18}")

CLAIM = """
-- KEYS: counting hash, draining hash; ARGV: id of a new batch, slot
local draining = redis.call('TYPE', KEYS[2]).ok
if draining == 'none' then
  local counting = redis.call('TYPE', KEYS[1]).ok
  if counting == 'none' then return {} end
  if counting ~= 'hash' then return redis.error_reply('WRONGTYPE the counters are no hash') end
  redis.call('RENAME', KEYS[1], KEYS[2])
  redis.call('PERSIST', KEYS[2])
elseif draining ~= 'hash' then
  return redis.error_reply('WRONGTYPE the claimed counters are no hash')
end
redis.call('HSETNX', KEYS[2], '_batch', ARGV[1])
redis.call('HSETNX', KEYS[2], '_claimed', ARGV[2])
return redis.call('HGETALL', KEYS[2])
"""

DROP = """
-- KEYS: draining hash; ARGV: id of the batch that is safe
if redis.call('HGET', KEYS[1], '_batch') == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

BEFORE = """
-- A/B counters: from when on the next batch of a variant counts
SELECT v.id AS variant_id,
       COALESCE((SELECT max(b.to_at) FROM ab_counter_batches b WHERE b.test_id = v.test_id AND b.variant_id = v.id),
                t.started_at) AS from_at
FROM ab_variants v JOIN ab_tests t ON t.id = v.test_id
WHERE v.id = ANY(%(variants)s)
"""

KEEP_BATCHES = """
-- A/B counters: batches that are not there yet; a batch that is counts no second time
INSERT INTO ab_counter_batches
    (batch_id, test_id, variant_id, bucket_date, from_at, to_at, impressions, visitors, clicks, add_to_carts,
     begin_checkouts, conversions, revenue_cents, fields, source_key, applied_at)
SELECT r.*, %(now)s
FROM jsonb_to_recordset(%(rows)s) AS r (batch_id text, test_id text, variant_id text, bucket_date date,
     from_at timestamptz, to_at timestamptz, impressions bigint, visitors bigint, clicks bigint, add_to_carts bigint,
     begin_checkouts bigint, conversions bigint, revenue_cents bigint, fields jsonb, source_key text)
WHERE EXISTS (SELECT FROM ab_tests t WHERE t.id = r.test_id)
ORDER BY r.batch_id
ON CONFLICT (batch_id) DO NOTHING
RETURNING batch_id
"""

BY_COUNTERS = """
-- A/B counters: which of these tests take numbers from counters
SELECT id FROM ab_tests WHERE id = ANY(%(ids)s) AND settings ->> 'tracking' = 'counters'
"""

DRAINED = """
-- A/B counters: when the counters of tests were last taken in
UPDATE ab_test_state SET counters_drained_at = GREATEST(counters_drained_at, %(slot)s)
WHERE test_id = ANY(%(ids)s)
"""


@dataclass(frozen=True, slots=True)
class Counter:
    """One variant's counting hash in Redis."""

    test_id: str
    variant_id: str
    key: Key

    @property
    def draining(self) -> Key:
        return Key(f"{self.key}:drain")


@dataclass(slots=True)
class Drained:
    """What a drain brought. `days`: (test, local day) that got batches; `skipped`: keys that are no hash."""

    batches: int = 0
    impressions: int = 0
    conversions: int = 0
    revenue_cents: int = 0
    bad_fields: int = 0
    skipped: int = 0
    days: set[tuple[str, date]] = field(default_factory=set)

    def add(self, other: Drained) -> None:
        for name in self.__slots__:
            mine, theirs = getattr(self, name), getattr(other, name)
            setattr(self, name, mine | theirs if isinstance(mine, set) else mine + theirs)


def counters_of(redis: Redis, variants: Sequence[Row]) -> list[Counter]:
    """The counters of variants (`test_id`, `id`): the present key of each, and that of an older layout."""
    return [
        Counter(row["test_id"], row["id"], redis.key("ab", row["test_id"], row["id"], *suffix))
        for row in variants
        for suffix in (("counters",), ())
    ]


def drain(ctx: JobContext, redis: Redis, counters: Sequence[Counter], slot: datetime, zone: ZoneInfo) -> Drained:
    """Take in all counters, PIPELINE_MAX at a time; what was taken in stays so when a later part fails.

    Raises the errors of shared.redis. No session may be open.
    """
    found = Drained()
    for start in range(0, len(counters), PIPELINE_MAX):
        found.add(_drain_part(ctx, redis, counters[start : start + PIPELINE_MAX], slot, zone))
    return found


def _drain_part(ctx: JobContext, redis: Redis, part: Sequence[Counter], slot: datetime, zone: ZoneInfo) -> Drained:
    found = Drained()
    claims = [Call([counter.key, counter.draining], [str(uuid4()), slot.isoformat()]) for counter in part]
    claimed: list[tuple[Counter, dict[str, str]]] = []
    for counter, answer in zip(part, redis.run(CLAIM, claims), strict=True):
        if isinstance(answer, Skipped):
            found.skipped += 1
        elif answer:
            claimed.append((counter, dict(zip(answer[::2], answer[1::2], strict=True))))
    if found.skipped:
        ctx.log.warning("counters that are no hash were left alone", extra={"keys": found.skipped})
    _apply(ctx, part, claimed, slot, zone, found)
    redis.run(DROP, [Call([counter.draining], [fields[BATCH]]) for counter, fields in claimed])
    return found


def _apply(
    ctx: JobContext,
    part: Sequence[Counter],
    claimed: Sequence[tuple[Counter, dict[str, str]]],
    slot: datetime,
    zone: ZoneInfo,
    found: Drained,
) -> None:
    """The batches and the days that show them, in one transaction: nobody sees one without the other."""
    tests = {counter.test_id for counter in part}
    with ctx.tenant_session() as session:
        hold_tests(session, tests, ctx.now())
        session.execute(DRAINED, {"ids": sorted(tests), "slot": slot})
        if not claimed:
            return
        names = {"variants": [counter.variant_id for counter, _ in claimed]}
        before = {row["variant_id"]: row["from_at"] for row in session.all(BEFORE, names)}
        rows = []
        for counter, fields in claimed:
            row, bad = _batch_row(counter, fields, before.get(counter.variant_id), slot, zone)
            rows.append(row)
            found.bad_fields += bad
        kept = {row["batch_id"] for row in session.all(KEEP_BATCHES, {"rows": Jsonb(rows), "now": ctx.now()})}
        new = [row for row in rows if row["batch_id"] in kept]
        found.days = {(row["test_id"], date.fromisoformat(row["bucket_date"])) for row in new}
        _recount_counted(ctx, session, found.days, zone)
    found.batches = len(new)
    for name in ("impressions", "conversions", "revenue_cents"):
        setattr(found, name, sum(row[name] for row in new))


def _recount_counted(ctx: JobContext, session: Session, days: set[tuple[str, date]], zone: ZoneInfo) -> None:
    """Only tests that take their numbers from counters show a batch."""
    rows = session.all(BY_COUNTERS, {"ids": sorted({test_id for test_id, _ in days})}) if days else []
    counted = {row["id"] for row in rows}
    recount(session, {day for day in days if day[0] in counted}, zone, slug=ctx.tenant.slug)


# -- one batch ---------------------------------------------------------------------------------------------------------


def _batch_row(
    counter: Counter, fields: Mapping[str, str], before: datetime | None, slot: datetime, zone: ZoneInfo
) -> tuple[dict[str, Any], int]:
    """The row of ab_counter_batches, as JSON, and how many fields were no numbers."""
    to_at = _instant(fields[CLAIMED]) or slot
    from_at = min(before or to_at - FIRST_SPAN, to_at)
    numbers, bad = numbers_of(fields)
    row = {
        "batch_id": fields[BATCH],
        "test_id": counter.test_id,
        "variant_id": counter.variant_id,
        "bucket_date": bucket_date(from_at, to_at, zone).isoformat(),
        "from_at": from_at.isoformat(),
        "to_at": to_at.isoformat(),
        "fields": {_printable(name): _printable(value) for name, value in fields.items()},
        "source_key": counter.key,
        **numbers,
    }
    return row, bad


def numbers_of(fields: Mapping[str, str]) -> tuple[dict[str, int], int]:
    """The counts of a hash by column, and how many fields hold no integer, which count as 0. A missing one is 0.

    >>> numbers_of({"page_views": "120", "conversions": "abc"})[0]["impressions"]
    120
    """
    numbers: dict[str, int] = {}
    bad = 0
    for column, names, most in _columns():
        text = next((fields[name] for name in names if name in fields), "0")
        value = int(text) if INTEGER.fullmatch(text) else None
        if value is None or abs(value) > most:
            value, bad = 0, bad + 1
        numbers[column] = value
    return numbers, bad


def _columns() -> Iterator[tuple[str, tuple[str, ...], int]]:
    """(column, names of its field, the most trusted first; the largest value that is believed)."""
    for name in COUNTS:
        yield name, ((name, "page_views") if name == "impressions" else (name,)), COUNT_MAX
    yield "revenue_cents", ("revenue",), MONEY_MAX


def bucket_date(from_at: datetime, to_at: datetime, zone: ZoneInfo) -> date:
    """The local day on which the longest part of [from_at, to_at) lies, of equal parts the later one.

    More than two days long: the day of to_at.
    """
    last = local_date(to_at, zone)
    if to_at - from_at > LONGEST_SPAN:
        return last
    day, best, longest = local_date(from_at, zone), last, timedelta()
    while day <= last:
        start, end = day_bounds(day, zone)
        part = min(end, to_at) - max(start, from_at)
        if part > timedelta() and part >= longest:
            best, longest = day, part
        day += timedelta(days=1)
    return best


def _instant(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _printable(text: str) -> str:
    """A storefront's text as PostgreSQL can keep it: without NUL and halves of characters."""
    return text.encode(errors="replace").decode().replace("\x00", "?")
