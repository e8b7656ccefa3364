"""When a cron job runs: Unix cron with a time zone, its instants, and the same in EventBridge Scheduler's dialect.

    Cron("0 8 * * 1-5", zone="America/New_York")      cron(0 8 ? * MON-FRI *) in that zone

Five fields: minute, hour, day of month, month, day of week (0 or 7 = Sunday); `*`, numbers, ranges, lists, steps, and
the English names of months and days. The instants follow what EventBridge Scheduler documents for changes of the
clock (https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html): a local time that is skipped in
spring does not fire, one that comes twice in autumn fires once; we take its first occurrence.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AwareDatetime, Field

from shared.events.base import Event, Payload
from shared.jobs.errors import DeclarationError

Scope = Literal["tenant", "platform", "platform_fanout", "tenant+system"]
"""Whom a tick starts.

tenant           each active tenant whose `due` probe finds something
tenant+system    the same, and once the platform itself (tenant `system`)
platform         the platform itself, once
platform_fanout  the platform itself, once, and that run emits for the tenants; as a dispatch: for both
"""

MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
SEARCH_DAYS = 8 * 366 + 1
"""Days looked through for an instant: 29 February may be eight years away."""
FIRST_HOURS_BACK = 3
"""Local hours before the start that are looked at too: a clock put back makes them come again."""
MAX_SPREAD_S = 900
"""SQS holds a message back for at most 15 minutes."""

_PART = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?")
_PARAMETER = re.compile(r"(?<![:\w]):(org_id|slug|now)\b")
_ALWAYS_A_ROW = re.compile(r"\s*SELECT\s+(NOT\s+)?\(*\s*EXISTS\b", re.IGNORECASE)


class Tick(Payload):
    """Payload of a cron job: the instant at which it was to run. A cron's own payload may add optional fields."""

    scheduled_at: AwareDatetime
    tenant: str = Field(default="", exclude=True)
    """For a dispatch only: the slug for whom it publishes, `system` for the platform."""
    facts: Mapping[str, Any] = Field(default_factory=dict, exclude=True)
    """For a dispatch only: the row that the `due` probe found, by column; empty when there is no probe or it failed."""


Dispatch = Mapping[type[Event], Callable[[Tick], Event | Sequence[Event]]]
"""What a cron without code publishes: per contract, the event or the events of a tick."""


def tick_id(instant: datetime) -> str:
    """The event id, and so the default run key, of what a tick starts: two firings of one instant are one run."""
    return f"tick:{instant.astimezone(UTC):%Y-%m-%dT%H:%MZ}"


def instant_of(payload: Payload) -> datetime | None:
    """The scheduled instant of a cron's payload, UTC; None for an event's."""
    return payload.scheduled_at.astimezone(UTC) if isinstance(payload, Tick) else None


def dispatched(job_id: str, dispatch: Dispatch, tick: Tick) -> list[tuple[Event, str]]:
    """The events of one tick for one tenant, each with the key by which its listeners start once."""
    found: list[tuple[Event, str]] = []
    for contract, make in dispatch.items():
        made = make(tick)
        for n, event in enumerate([made] if isinstance(made, Event) else made):
            found.append((event, f"{job_id}:{tick_id(tick.scheduled_at)}:{contract.event_name}:{n}"))
    return found


@dataclass(frozen=True)
class CronField:
    """One field of an expression: its range, and the names that may stand for numbers."""

    label: str
    low: int
    high: int
    names: tuple[str, ...] = ()


MINUTE = CronField("minute", 0, 59)
HOUR = CronField("hour", 0, 23)
DAY = CronField("day of month", 1, 31)
MONTH = CronField("month", 1, 12, MONTHS)
WEEKDAY = CronField("day of week", 0, 7, DAYS)
FIELDS = (MINUTE, HOUR, DAY, MONTH, WEEKDAY)


@dataclass(frozen=True)
class Cron:
    """A schedule. Refuses an expression that never fires or means two things, and a cron without zone.

    `zone`: IANA name; the expression is wall-clock time there. `due`: SQL that returns a row when a tenant has work
    (parameters :org_id, :slug, :now; run as the tenant, at most 2 s); without it, and when it fails, the tenant counts
    as due, so the job must be right when it runs in vain. `max_late_s`: a tick older than this starts nothing; without
    it a late tick runs as the newest instant that is due. `spread_s`: runs of the tenants start spread over so many
    seconds, each tenant always at the same one (default: a little, from the second page of tenants on). `suspended`:
    suspended tenants get the tick too (maintenance).
    """

    text: str
    zone: str = ""
    scope: Scope = "tenant"
    due: str | None = None
    max_late_s: int | None = None
    spread_s: int | None = None
    suspended: bool = False

    def __post_init__(self) -> None:
        if not self.zone:
            raise DeclarationError(f'cron {self.text!r} has no zone; give zone="UTC" or another IANA name')
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise DeclarationError(f"cron {self.text!r}: {self.zone!r} is no IANA time zone") from None
        days, weekdays = self._fields[2], self._fields[4]
        if not _whole(days, DAY) and not _whole(weekdays, WEEKDAY):
            raise DeclarationError(
                f"cron {self.text!r} gives a day of month and a day of week: Unix cron fires on either, EventBridge "
                "takes one; declare two jobs, or leave one field as *"
            )
        self._check_options()
        if self.next(datetime(2024, 1, 1, tzinfo=UTC)) is None:
            raise DeclarationError(f"cron {self.text!r} never fires: no such day exists")

    def _check_options(self) -> None:
        if self.due is not None:
            if self.scope == "platform":
                raise DeclarationError(
                    f"cron {self.text!r}: a probe asks tenants, scope {self.scope} has none; drop due="
                )
            if _ALWAYS_A_ROW.match(self.due):
                raise DeclarationError(
                    f"cron {self.text!r}: a probe is due when it returns a row, and SELECT EXISTS always does; write "
                    "SELECT 1 WHERE EXISTS (...)"
                )
        if self.max_late_s is not None and self.max_late_s < 60:
            raise DeclarationError(
                f"cron {self.text!r}: max_late_s={self.max_late_s} is below the scheduler's own 60 s"
            )
        if self.spread_s is not None and not 0 <= self.spread_s <= MAX_SPREAD_S:
            raise DeclarationError(f"cron {self.text!r}: spread_s={self.spread_s} must be within 0..{MAX_SPREAD_S}")

    @cached_property
    def _fields(self) -> tuple[tuple[int, ...], ...]:
        parts = self.text.split()
        if len(parts) != 5:
            raise DeclarationError(
                f"cron {self.text!r} must have five fields (minute hour day month weekday), not {len(parts)}"
            )
        return tuple(_values(part, field, self.text) for part, field in zip(parts, FIELDS, strict=True))

    @property
    def probe(self) -> str | None:
        """The probe with positional parameters, as jobs.due runs it: $1 organization id, $2 slug, $3 now."""
        if self.due is None:
            return None
        places = {"org_id": "$1", "slug": "$2", "now": "$3"}
        return _PARAMETER.sub(lambda found: places[found[1]], self.due.strip().rstrip(";"))

    @property
    def named_probe(self) -> str:
        """The probe as a statement of a session, with parameters %(org_id)s, %(slug)s, %(now)s."""
        return _PARAMETER.sub(lambda found: f"%({found[1]})s", (self.due or "").replace("%", "%%"))

    # The instants.

    def next(self, after: datetime) -> datetime | None:
        """The first instant (UTC) later than `after`; None when there is none within eight years."""
        return next((instant for instant in self._walk(after, 1) if instant > after), None)

    def previous(self, at: datetime) -> datetime | None:
        """The last instant (UTC) not later than `at`."""
        return next((instant for instant in self._walk(at, -1) if instant <= at), None)

    def between(self, start: datetime, end: datetime) -> Iterator[datetime]:
        """The instants (UTC) with start < instant <= end, in order."""
        for instant in self._walk(start, 1):
            if instant > end:
                return
            if instant > start:
                yield instant

    def _walk(self, start: datetime, step: Literal[1, -1]) -> Iterator[datetime]:
        """Instants from a little before (step 1) or after (step -1) `start`, in that direction."""
        minutes, hours, days, months, weekdays = self._fields
        zone = ZoneInfo(self.zone)
        local = start.astimezone(zone)
        edge = local.hour - FIRST_HOURS_BACK * step
        for n in range(SEARCH_DAYS):
            day = local.date() + timedelta(days=n * step)
            if day.month not in months or day.day not in days or day.isoweekday() % 7 not in weekdays:
                continue
            for hour in hours[::step]:
                if n == 0 and hour * step < edge * step:
                    continue
                yield from _resolved(day, hour, minutes[::step], zone)

    # EventBridge Scheduler.

    def to_eventbridge(self) -> str:
        """The expression in EventBridge Scheduler's dialect: six fields, `?` for the day field that is not given."""
        minute, hour, day, month, _ = self.text.split()
        minutes, hours, days, months, weekdays = self._fields
        by_weekday = not _whole(weekdays, WEEKDAY)
        fields = (
            _rendered(minute, minutes, MINUTE),
            _rendered(hour, hours, HOUR),
            "?" if by_weekday else _rendered(day, days, DAY),
            _rendered(month, months, MONTH),
            _weekday_names(weekdays) if by_weekday else "?",
            "*",
        )
        return f"cron({' '.join(fields)})"


def _resolved(day: date, hour: int, minutes: Sequence[int], zone: ZoneInfo) -> Iterator[datetime]:
    """UTC instants of wall-clock times; a time that the clock skips is left out, one that comes twice is its first."""
    for minute in minutes:
        wall = datetime(day.year, day.month, day.day, hour, minute)  # noqa: DTZ001 - wall-clock time of `zone`
        instant = wall.replace(tzinfo=zone).astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None) == wall:
            yield instant


def _values(text: str, field: CronField, expression: str) -> tuple[int, ...]:
    """The numbers that one field names, sorted; Sunday is 0."""
    found: set[int] = set()
    for part in text.split(","):
        match = _PART.fullmatch(part)
        if match is None:
            raise DeclarationError(f"cron {expression!r}: {part!r} is no {field.label} of Unix cron")
        star, first, last, step = match.groups()
        if step is not None and star is None and last is None:
            raise DeclarationError(
                f"cron {expression!r}: {part!r} steps without a range; write {first}-{field.high}/{step}"
            )
        if step is not None and int(step) < 1:
            raise DeclarationError(f"cron {expression!r}: the step of {part!r} must be at least 1")
        low = field.low if star else _number(first, field, expression)
        high = (6 if field is WEEKDAY else field.high) if star else _number(last or first, field, expression)
        if low > high:
            raise DeclarationError(f"cron {expression!r}: {part!r} runs backwards")
        found.update(range(low, high + 1, int(step or 1)))
    return tuple(sorted({0 if field is WEEKDAY and value == 7 else value for value in found}))


def _number(text: str, field: CronField, expression: str) -> int:
    if text.upper() in field.names:
        return field.names.index(text.upper()) + (1 if field is MONTH else 0)
    if not text.isdecimal() or not field.low <= int(text) <= field.high:
        raise DeclarationError(
            f"cron {expression!r}: {text!r} is no {field.label} of Unix cron ({field.low}..{field.high})"
        )
    return int(text)


def _whole(values: tuple[int, ...], field: CronField) -> bool:
    """Whether a field restricts nothing."""
    return len(values) == (7 if field is WEEKDAY else field.high - field.low + 1)


def _rendered(text: str, values: tuple[int, ...], field: CronField) -> str:
    if _whole(values, field):
        return "*"
    if match := re.fullmatch(r"\*/(\d+)", text):
        return f"{field.low}/{match[1]}"
    if re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        return re.sub(r"\d+", lambda number: str(int(number[0])), text)
    return ",".join(str(value) for value in values)


def _weekday_names(values: tuple[int, ...]) -> str:
    """Names instead of numbers: EventBridge counts Sunday as 1, Unix as 0."""
    if len(values) > 2 and values[-1] - values[0] == len(values) - 1:
        return f"{DAYS[values[0]]}-{DAYS[values[-1]]}"
    return ",".join(DAYS[value] for value in values)
