"""Shopify's query budget as the answers tell it, and page sizes that adapt to what queries cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

CHEAP_COST = 250
"""Points. A query below may ask for twice as much next time: twice that is still far from the limit of 1,000."""

THROTTLE_GUESS_S = 2.0
"""Seconds to wait after THROTTLED when the answer's figures do not explain it."""
MIN_WAIT_S = 0.25
"""Shortest wait in seconds: others drink from the same bucket, a few milliseconds would only ask again."""


@dataclass(slots=True)
class Budget:
    """A leaky bucket: `rate` points flow in per second up to `maximum`.

    Available after t seconds = min(maximum, available + rate * t). Example: 100 of 2,000 left, 100 per second: a
    query of 500 points must wait (500 - 100) / 100 = 4 s; with reserve 0.5 the next call waits
    (1000 - 100) / 100 = 9 s.
    """

    reserve: float
    maximum: float = 0
    available: float = 0
    rate: float = 0
    seen_at: datetime | None = None
    last_cost: float = 0

    def note(self, answer: dict[str, Any], now: datetime) -> None:
        """Take over `extensions.cost` of an answer; an answer without leaves everything as it was."""
        cost = (answer.get("extensions") or {}).get("cost") or {}
        status = cost.get("throttleStatus") or {}
        self.last_cost = float(cost.get("requestedQueryCost") or self.last_cost)
        if status.get("restoreRate"):
            self.maximum = float(status.get("maximumAvailable") or 0)
            self.available = float(status.get("currentlyAvailable") or 0)
            self.rate = float(status["restoreRate"])
            self.seen_at = now

    def reserve_wait_s(self, now: datetime) -> float:
        """Seconds until the next call leaves others their share; 0 without a reserve or before the first answer."""
        if not self.reserve or self.seen_at is None:
            return 0.0
        elapsed_s = max(0.0, (now - self.seen_at).total_seconds())
        available = min(self.maximum, self.available + self.rate * elapsed_s)
        target = min(self.maximum, max(self.last_cost, self.reserve * self.maximum))
        return max(0.0, (target - available) / self.rate)

    def throttle_wait_s(self) -> float:
        """Seconds after a THROTTLED answer until its query fits; a guess when the answer does not tell."""
        if self.seen_at is None or self.last_cost <= self.available:
            return THROTTLE_GUESS_S
        return max(MIN_WAIT_S, (self.last_cost - self.available) / self.rate)


@dataclass(slots=True)
class Limit:
    """How many objects the next query asks for, 1 to `most`; a first size above `most` may be tried and only falls."""

    size: int
    most: int

    def __post_init__(self) -> None:
        self.size = max(1, self.size)

    def halve(self, asked: int) -> bool:
        """Half of what was asked and found too costly; False when that was one already."""
        self.size = max(1, asked // 2)
        return asked > 1

    def widen(self, asked: int, cost: float) -> None:
        """Twice as many, up to `most`, after a query that was asked for the full size and cost little."""
        if asked >= self.size and 0 < cost < CHEAP_COST and self.size < self.most:
            self.size = min(self.most, self.size * 2)
