"""From usage to dollars.

    compute   (work + messages x OVERHEAD_MS) x memory x price of a GB-second
    requests  messages / batch x price of an invocation
    queue     messages x REQUESTS_PER_MESSAGE, one group of `batch` messages a request, at the fair queue's price
    bus       events / listeners: an event that three jobs hear is paid once
    logs      messages x LOG_BYTES

The database, the vendors, the bucket, secrets, alarms and metrics are left out: they do not grow with a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields

from shared.cli.costs import prices
from shared.cli.costs.usage import Usage

OVERHEAD_MS = 15.0
"""Billed beside the handlers' time, per message when one comes alone: reading, claim, relay, answer. Measured; see
docs/cost.md."""
REQUESTS_PER_MESSAGE = 3
"""Sent, received, deleted."""
LOG_BYTES = 900
"""One line of ours per run, and Lambda's three lines per invocation."""
GB_BYTES = 1e9


@dataclass(frozen=True, slots=True)
class Cost:
    """US dollars by what is paid for."""

    compute: float = 0.0
    requests: float = 0.0
    queue: float = 0.0
    bus: float = 0.0
    logs: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return sum(float(getattr(self, field.name)) for field in fields(self))

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Rates:
    """What a deployment is like. `memory_mb`: job id -> of its function; `batch`: messages of one invocation on
    average, 1 when they come one by one; `listeners`: job id -> jobs that hear its event."""

    memory_mb: Mapping[str, int]
    listeners: Mapping[str, int]
    gb_second: prices.Price = prices.LAMBDA_ARM
    batch: float = 1.0
    default_memory_mb: int = 512

    def cost(self, usage: Usage) -> Cost:
        """Of one row of usage. A job that is not declared any more is taken for a fast one."""
        gigabytes = self.memory_mb.get(usage.job, self.default_memory_mb) / 1024
        seconds = (usage.work_ms + usage.messages / self.batch * OVERHEAD_MS) / 1000
        queue_price = prices.SQS_REQUEST.usd + prices.SQS_FAIR.usd
        return Cost(
            compute=seconds * gigabytes * self.gb_second.usd,
            requests=usage.messages / self.batch * prices.LAMBDA_REQUEST.usd,
            queue=usage.messages / self.batch * REQUESTS_PER_MESSAGE * queue_price,
            bus=usage.events / max(1, self.listeners.get(usage.job, 1)) * prices.BUS_EVENT.usd,
            logs=usage.messages * LOG_BYTES / GB_BYTES * prices.LOG_GB.usd,
        )


@dataclass(frozen=True, slots=True)
class Group:
    """Usage and cost of what has the same key, e.g. ("acme", 2026-01-15)."""

    key: tuple[str, ...]
    runs: int
    work_ms: int
    messages: int
    cost: Cost

    @property
    def per_million(self) -> float:
        """Dollars of a million runs like these."""
        return self.cost.total / self.runs * 1e6 if self.runs else 0.0


def grouped(usage: Iterable[Usage], rates: Rates, by: tuple[str, ...]) -> list[Group]:
    """Rows with the same values of the fields `by` put together, the dearest first."""
    found: dict[tuple[str, ...], Group] = {}
    for row in usage:
        key = tuple(str(getattr(row, name)) for name in by)
        had = found.get(key, Group(key, 0, 0, 0, Cost()))
        found[key] = Group(
            key,
            had.runs + row.runs,
            had.work_ms + row.work_ms,
            had.messages + row.messages,
            had.cost + rates.cost(row),
        )
    return sorted(found.values(), key=lambda group: (-group.cost.total, group.key))
