"""The rule by which SQS orders the tenants of a fair queue, as its Developer Guide publishes it.

Source: "How Amazon SQS fair queues work",
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues-detailed.html.

A tenant is a message group; each message without one is a tenant of its own. A tenant becomes noisy when it has more
than a tenth of the messages in flight and at least 30 of its own there, or more than a tenth of the consumers' recent
time. While messages of quiet tenants can be received they are received first; among noisy tenants the one with the
fewest in flight is first. A tenant is quiet again when its backlog is gone, when it has sent nothing for five minutes,
or when its shares have fallen.

The guide calls its thresholds approximate and does not say how long "recent" is; here it is RECENT_S, and the
thresholds hold exactly.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

SHARE = 0.1
"""Share of the messages in flight, or of the consumers' time, above which a tenant is noisy."""
MIN_IN_FLIGHT = 30
"""Messages of its own in flight below which the share of them says nothing."""
SILENT_S = 300
"""A tenant that has sent nothing for so many seconds is quiet."""
RECENT_S = 60
"""Seconds of the past that count as recent for the share of the consumers' time."""


class FairOrder:
    """What a queue remembers of its groups: who is noisy, when each has sent, who has used the consumers' time."""

    def __init__(self) -> None:
        self._sent_at: dict[str, datetime] = {}
        self._noisy: set[str] = set()
        self._worked: deque[tuple[datetime, str, float]] = deque()

    @property
    def noisy(self) -> frozenset[str]:
        """The groups that are noisy now."""
        return frozenset(self._noisy)

    def sent(self, group: str, now: datetime) -> None:
        """A message of the group has entered the queue."""
        self._sent_at[group] = now

    def worked(self, group: str, seconds: float, now: datetime) -> None:
        """A consumer has spent this time on a message of the group."""
        if seconds > 0:
            self._worked.append((now, group, seconds))

    def look(self, in_flight: Mapping[str, int], backlog: Iterable[str], now: datetime) -> None:
        """Judge the groups anew. `in_flight`: messages per group; `backlog`: groups with messages to be received."""
        waiting = set(backlog)
        self._noisy = {group for group in self._noisy if group in waiting and not self._silent(group, now)}
        total = sum(in_flight.values())
        worked = self._recent(now)
        time = sum(worked.values())
        for group in waiting:
            busy = in_flight.get(group, 0)
            concurrency = busy / total if total else 0.0
            of_time = worked.get(group, 0.0) / time if time else 0.0
            if (concurrency > SHARE and busy >= MIN_IN_FLIGHT) or of_time > SHARE:
                if not self._silent(group, now):
                    self._noisy.add(group)
            elif concurrency <= SHARE:
                self._noisy.discard(group)

    def _silent(self, group: str, now: datetime) -> bool:
        last = self._sent_at.get(group)
        return last is None or now - last >= timedelta(seconds=SILENT_S)

    def _recent(self, now: datetime) -> Mapping[str, float]:
        while self._worked and now - self._worked[0][0] > timedelta(seconds=RECENT_S):
            self._worked.popleft()
        found: dict[str, float] = defaultdict(float)
        for _, group, seconds in self._worked:
            found[group] += seconds
        return found


def in_flight_by_group(groups: Iterable[str | None]) -> Counter[str]:
    """Messages per group; those without one are counted under names of their own."""
    return Counter(group if group is not None else f"\0{n}" for n, group in enumerate(groups))
