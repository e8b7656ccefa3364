"""Which orders a run covers: windows of time, their search text, how they are cut, and how long a poll waits.

Pure functions; nothing here calls Shopify or the database.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from shared.events.orders import OrderSyncBatch
from shared.jobs import Permanent
from shared.time import local_midnight

WindowBy = Literal["created", "updated", "either"]

SLICE_ORDERS = 20_000
"""Orders per slice: a bulk export of this size takes minutes, its file some 100 MB at the worst."""
SLICE_MIN_WIDTH = timedelta(hours=1)
"""A window is never cut into parts narrower than this: a flash sale must not end in thousands of slices."""
MAX_SLICES = 400
"""Slices per run, 8,000,000 orders; more is refused."""
WINDOW_EITHER_MAX = timedelta(days=7)
"""Short windows repair lost webhooks, so there an old order that changed in the window counts too."""
ORDERS_60_DAYS = timedelta(days=60)
"""What Shopify shows of the past without the scope read_all_orders."""
BULK_POLL_FIRST_S = 30.0
BULK_POLL_MAX_S = 300.0


@dataclass(frozen=True, slots=True)
class Window:
    """Orders whose instant lies in [start, end); whole seconds, UTC. `by`: which instant of the order counts."""

    start: datetime
    end: datetime
    by: WindowBy

    @property
    def query(self) -> str:
        """The window in Shopify's search syntax; the same text for the same window, so that exports can be adopted."""
        created, updated = self._between("created_at"), self._between("updated_at")
        match self.by:
            case "created":
                return f"{created} status:any"
            case "updated":
                return f"{updated} status:any"
            case "either":
                return f"(({created}) OR ({updated})) status:any"

    def _between(self, field: str) -> str:
        return f"{field}:>='{_instant(self.start)}' {field}:<'{_instant(self.end)}'"

    @property
    def divisible(self) -> bool:
        """Whether both halves would be SLICE_MIN_WIDTH wide at least."""
        return self.end - self.start >= 2 * SLICE_MIN_WIDTH

    def halves(self) -> tuple[Window, Window]:
        """Older and newer half; the cut falls on a whole second."""
        middle = self.start + timedelta(seconds=int((self.end - self.start).total_seconds()) // 2)
        return Window(self.start, middle, self.by), Window(middle, self.end, self.by)


def _instant(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _invalid(detail: str) -> Permanent:
    return Permanent("INVALID_PAYLOAD", detail)


def asked_window(payload: OrderSyncBatch, zone: ZoneInfo, now: datetime) -> Window:
    """The window that a message asks for: dates are local days of `zone`, the end defaults to `now`.

    Raises Permanent INVALID_PAYLOAD: no start, a cursor that is no instant, start not before end.
    """
    start = _old_cursor(payload.cursor) if payload.cursor is not None else payload.start_date
    if start is None:
        raise _invalid("startDate is required for a window")
    first = start if isinstance(start, datetime) else local_midnight(start, zone)
    last = payload.end_date or now
    if not isinstance(last, datetime):
        last = local_midnight(last + timedelta(days=1), zone)
    first, last = _floor(first), _ceiling(last)
    if first >= last:
        raise _invalid("startDate must be before endDate")
    return Window(first, last, payload.window_by or ("either" if last - first <= WINDOW_EITHER_MAX else "created"))


def _old_cursor(text: str) -> datetime | date:
    """Older publishers say where the rest begins: an ISO instant, or a date."""
    try:
        value = date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
    except ValueError:
        raise _invalid("cursor is no ISO instant") from None
    if isinstance(value, datetime) and value.tzinfo is None:
        raise _invalid("cursor carries no time zone")
    return value


def _floor(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(microsecond=0)


def _ceiling(instant: datetime) -> datetime:
    floor = _floor(instant)
    return floor if floor == instant else floor + timedelta(seconds=1)


def window_hash(window: Window, *, open_end: bool) -> str:
    """SHA-256 (hex) that names a window; equal windows share it. `open_end`: the message named no end.

    An open end counts as one word, not as the instant it stood for: a second message, or a second attempt, asks for
    the same window a little later.
    """
    end = "now" if open_end else _instant(window.end)
    return _hash(["window", window.by, _instant(window.start), end])


def list_hash(legacy_ids: Sequence[str]) -> str:
    """SHA-256 (hex) that names a list of orders, whatever their order."""
    return _hash(["list", *sorted(set(legacy_ids))])


def _hash(parts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(parts), separators=(",", ":")).encode()).hexdigest()


def cut(window: Window, count: Callable[[Window], int], total: int) -> list[tuple[Window, int]]:
    """Halve the window until every part has at most SLICE_ORDERS orders or is too narrow; (part, orders), newest first.

    `count` asks how many orders a window has, `total` is its answer for the whole. Empty parts are left out.
    Raises Permanent WINDOW_TOO_LARGE above MAX_SLICES parts.

    45,000 orders spread evenly over 8 weeks: 2 x 22,500, then 4 x 11,250, so 4 parts.
    """
    done: list[tuple[Window, int]] = []
    todo = [(window, total)]  # a stack with the newest part on top
    while todo:
        part, orders = todo.pop()
        if orders > SLICE_ORDERS and part.divisible:
            todo += [(half, n) for half in part.halves() if (n := count(half))]
        elif orders:
            done.append((part, orders))
        if len(done) + len(todo) > MAX_SLICES:
            raise Permanent("WINDOW_TOO_LARGE", f"more than {MAX_SLICES} slices; ask for parts of the window")
    return done


def poll_delay_s(n: int) -> int:
    """Seconds before the n-th look at a bulk operation (n from 1): min(300, 30 * 1.5^(n-1)), rounded down.

    n = 1..7: 30, 45, 67, 101, 151, 227, 300.
    """
    return int(min(BULK_POLL_MAX_S, BULK_POLL_FIRST_S * 1.5 ** min(n - 1, 10)))
