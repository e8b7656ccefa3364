"""What the pipeline asks of the outside, as small protocols: AWS in production, memory in tests."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class OutMessage:
    """A message to a queue. `delay_s`: 0..900 whole seconds; `group`: the tenant, for fair order."""

    body: str
    group: str | None = None
    delay_s: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict)


class Queues(Protocol):
    """SQS by logical queue name (without prefix)."""

    def send(self, queue: str, messages: Sequence[OutMessage]) -> list[bool]:
        """Send in batches; per message whether it was taken."""

    def change_visibility(self, queue: str, receipts: Sequence[tuple[str, int]]) -> None:
        """(receipt, seconds from now) per message; a receipt that is no longer valid is passed over."""


@dataclass(frozen=True, slots=True)
class OutEvent:
    """An event for the bus; `detail` is JSON text."""

    name: str
    detail: str


class Bus(Protocol):
    """EventBridge."""

    def publish(self, events: Sequence[OutEvent]) -> list[bool]:
        """Publish in batches; per event whether the bus took it."""


class Clock(Protocol):
    """The time, UTC."""

    def now(self) -> datetime: ...
    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Metrics(Protocol):
    """Counters by queue and category."""

    def count(self, name: str, value: float, **dimensions: str) -> None: ...


class LambdaContext(Protocol):
    """What the pipeline reads of Lambda's context object."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int: ...


Secrets = Mapping[str, str]
Settings = Mapping[str, str]
Json = Any
