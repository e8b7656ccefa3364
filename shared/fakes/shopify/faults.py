"""Faults on demand: the next requests that match are answered wrongly, late or not at all."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

KINDS = ("throttled", "max_cost", "internal_error", "access_denied", "unauthorized", "timeout", "cut")


@dataclass
class Fault:
    """One order for trouble.

    `kind`: an HTTP status (429, 500, 402, ...) or one of KINDS.
    `match`: part of the query text (of the path, for files).
    `skip`: so many matching requests are let through first.
    `retry_after`: seconds or an HTTP date, header of 429 and 503.
    `requested`, `available`: figures of a throttled answer.
    `hold_s`: how long a timeout keeps the connection open.
    """

    kind: str
    count: int = 1
    shop: str | None = None
    match: str | None = None
    skip: int = 0
    retry_after: str | None = None
    requested: int | None = None
    available: float | None = None
    hold_s: float = 30.0

    def __post_init__(self) -> None:
        self.kind = str(self.kind)
        if self.kind not in KINDS and not self.status:
            raise ValueError(f"kind {self.kind!r} is neither an HTTP status nor one of {', '.join(KINDS)}")

    @property
    def status(self) -> int | None:
        """The HTTP status the fault answers; None for what is no status."""
        return int(self.kind) if self.kind.isdigit() and 400 <= int(self.kind) <= 599 else None


@dataclass
class Faults:
    """The faults that are still to come, in the order they were asked for."""

    _waiting: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: Fault) -> None:
        """Have it happen to the next `count` matching requests."""
        with self._lock:
            self._waiting.append(fault)

    def clear(self) -> None:
        """No more trouble."""
        with self._lock:
            self._waiting.clear()

    def next(self, shop: str, text: str) -> Fault | None:
        """The fault for this request, used up by one."""
        with self._lock:
            for fault in self._waiting:
                if fault.shop in (None, shop) and (fault.match is None or fault.match in text):
                    if fault.skip > 0:
                        fault.skip -= 1
                        continue
                    fault.count -= 1
                    if fault.count <= 0:
                        self._waiting.remove(fault)
                    return fault
        return None
