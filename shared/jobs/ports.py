"""What the pipeline asks of the outside, as small protocols: AWS in production, memory in tests."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Protocol


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


@dataclass(frozen=True, slots=True)
class OutSchedule:
    """A message or event that is sent once, at `at` or up to a minute later. Exactly one of `queue` and `event` is set.

    `name`: identity, 1 to 64 of a-z, 0-9 and -; a second put of one name is the same schedule. `body`: the message for
    `queue` (logical name), the detail for `event`.
    """

    name: str
    at: datetime
    body: str
    queue: str | None = None
    event: str | None = None
    group: str | None = None


class Schedules(Protocol):
    """One-off schedules that delete themselves."""

    def put(self, schedules: Sequence[OutSchedule]) -> list[bool]:
        """Make schedules; per schedule whether it stands, be it from an earlier put."""


@dataclass(frozen=True, slots=True)
class TaskAnswer:
    """What a waiting step is told: `output` (JSON text), or `error` (a code) with its `cause` (one sentence)."""

    token: str = field(repr=False)
    output: str | None = None
    error: str | None = None
    cause: str = ""


Reply = Literal["taken", "gone", "refused"]
"""To an answer. `gone`: the step no longer waits, for good; `refused`: not taken this time."""


class StateMachines(Protocol):
    """Step Functions, by the workflows' logical names (without prefix)."""

    def answer(self, answers: Sequence[TaskAnswer]) -> list[Reply]:
        """Answer steps by their tokens."""

    def start(self, workflow: str, execution: str, input: str) -> bool:
        """Start an execution with JSON input; true also when one of this name was started before."""

    def execution_arn(self, workflow: str, execution: str) -> str | None:
        """The ARN that an execution has or will have; None where workflows are off."""

    def status(self, workflow: str, execution: str) -> str | None:
        """RUNNING, SUCCEEDED, FAILED, TIMED_OUT, ABORTED, PENDING_REDRIVE; None when there is no such execution."""


class NoStateMachines:
    """Workflows are off: nothing starts, and what has to be answered waits in the outbox."""

    def answer(self, answers: Sequence[TaskAnswer]) -> list[Reply]:
        return ["refused" for _ in answers]

    def start(self, workflow: str, execution: str, input: str) -> bool:
        return False

    def execution_arn(self, workflow: str, execution: str) -> str | None:
        return None

    def status(self, workflow: str, execution: str) -> str | None:
        return None


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
    """Counters that alarms and dashboards watch."""

    def count(self, name: str, value: float, **dimensions: str) -> None:
        """Add `value` to the metric, at once: it counts whatever becomes of the run."""

    def measure(
        self, counts: Mapping[str, float], times_ms: Mapping[str, Sequence[float]] = ..., **dimensions: str
    ) -> None:
        """Several metrics of one set of dimensions: counters, and durations in milliseconds, one value per run."""


class Alarms(Protocol):
    """The alarm topic: what is left when the database, and with it every alert, is down."""

    def publish(self, subject: str, text: str) -> bool:
        """Tell the people behind the topic; False when there is no topic or it cannot be reached. Never raises."""


@dataclass(frozen=True, slots=True)
class Blackout:
    """What a job's `blackout` gets while the database cannot be reached: no session, no claim, no run."""

    now: datetime
    metrics: Metrics
    alarms: Alarms


class LambdaContext(Protocol):
    """What the pipeline reads of Lambda's context object."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int: ...


Secrets = Mapping[str, str]
Settings = Mapping[str, str]
Json = Any
