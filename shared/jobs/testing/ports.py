"""The other ports in memory: bus, metrics, alarms, object storage."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from shared.jobs.messages import OWN_SOURCE
from shared.jobs.ports import OutEvent, OutMessage
from shared.jobs.registry import Registry
from shared.jobs.testing.broker import MemoryQueues
from shared.jobs.testing.clock import ManualClock


class MemoryBus:
    """The `Bus` port: keeps what was published and routes it as the rules of the stacks do."""

    def __init__(self, registry: Registry, queues: MemoryQueues, clock: ManualClock) -> None:
        self._registry = registry
        self._queues = queues
        self._clock = clock
        self._ids = itertools.count(1)
        self.published: list[tuple[str, dict[str, Any]]] = []
        self.refuse = 0
        """How many coming calls of `publish` take nothing."""

    def publish(self, events: Sequence[OutEvent]) -> list[bool]:
        if self.refuse:
            self.refuse -= 1
            return [False] * len(events)
        for event in events:
            self.put(event.name, json.loads(event.detail), source=OWN_SOURCE)
        return [True] * len(events)

    def put(self, name: str, detail: dict[str, Any], *, source: str, id: str | None = None) -> None:
        """An event arrives at the bus: one message per listening job, in the rule's form."""
        self.published.append((name, detail))
        event_id = id or f"e{next(self._ids)}"
        for job in self._registry.listeners.get(name, ()):
            body = {
                "job": job.id,
                "event": name,
                "id": event_id,
                "source": source,
                "time": self._clock.now().isoformat(),
                "payload": detail,
            }
            tenant = detail.get("tenantId")
            self._queues.send(
                job.queue_name, [OutMessage(json.dumps(body), tenant if isinstance(tenant, str) else None)]
            )


class MemoryMetrics:
    """The `Metrics` port: what was counted."""

    def __init__(self) -> None:
        self.counted: list[tuple[str, float, dict[str, str]]] = []
        self.measured: list[tuple[str, float | list[float], dict[str, str]]] = []
        """What the pipeline measured of its runs, beside what jobs counted."""

    def count(self, name: str, value: float, **dimensions: str) -> None:
        self.counted.append((name, value, dimensions))

    def measure(
        self,
        counts: Mapping[str, float],
        times_ms: Mapping[str, Sequence[float]] = MappingProxyType({}),
        **dimensions: str,
    ) -> None:
        self.measured += [(name, value, dimensions) for name, value in counts.items()]
        self.measured += [(name, list(values), dimensions) for name, values in times_ms.items()]

    def total(self, name: str) -> float:
        """Sum of a metric over all its dimensions."""
        return sum(value for counted, value, _ in self.counted if counted == name)


class MemoryAlarms:
    """The `Alarms` port: what was published, as (subject, text)."""

    def __init__(self) -> None:
        self.published: list[tuple[str, str]] = []

    def publish(self, subject: str, text: str) -> bool:
        self.published.append((subject, text))
        return True


class MemoryBlobs:
    """The `Blobs` port."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put(self, key: str, data: bytes) -> None:
        self.objects[key] = data

    def get(self, key: str) -> bytes:
        return self.objects[key]

    def keys(self, prefix: str) -> Iterator[str]:
        return iter(sorted(key for key in self.objects if key.startswith(prefix)))
