"""The queues in memory, with SQS's semantics as far as the pipeline can see them.

Visibility, delay, receive counts, the redrive policy, at-least-once delivery, the order of fair queues (fairness.py).
What can go wrong between a queue and its consumer can be switched on: a message delivered twice, an acknowledgement
that is lost, a send that is refused.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.jobs.messages import Record
from shared.jobs.ports import OutMessage
from shared.jobs.settlement import DLQ_SUFFIX
from shared.jobs.testing.clock import ManualClock
from shared.jobs.testing.fairness import FairOrder, in_flight_by_group

MAX_RECEIVES = 50
"""maxReceiveCount of the queues' redrive policy."""


@dataclass
class StoredMessage:
    """A message in a queue of the memory broker. `visible_at` in the future and received before: it is in flight."""

    message_id: str
    body: str
    group: str | None
    attributes: dict[str, str]
    sent_at: datetime
    visible_at: datetime
    receive_count: int = 0
    receipt: str = ""
    received_at: datetime | None = None

    def in_flight(self, now: datetime) -> bool:
        """Whether a consumer has it."""
        return self.receive_count > 0 and self.visible_at > now


class MemoryQueues:
    """The `Queues` port, and the broker's side of it: receive, delete."""

    def __init__(self, clock: ManualClock, *, fair: bool = True) -> None:
        self._clock = clock
        self._ids = itertools.count(1)
        self._receipts = itertools.count(1)
        self._fair: dict[str, FairOrder] = defaultdict(FairOrder)
        self.fair = fair
        """Whether messages of quiet groups come before those of noisy ones; else the oldest come first."""
        self.queues: dict[str, list[StoredMessage]] = defaultdict(list)
        self.refuse_sends = 0
        """How many coming calls of `send` take nothing: the broker out of reach."""
        self.double = 0
        """How many messages that are received from now on can be received a second time at once."""
        self.lose_acknowledgements = 0
        """How many coming deletions are lost: the message comes back when its visibility ends."""

    # The port.

    def send(self, queue: str, messages: Sequence[OutMessage]) -> list[bool]:
        if self.refuse_sends:
            self.refuse_sends -= 1
            return [False] * len(messages)
        now = self._clock.now()
        for message in messages:
            visible = now + timedelta(seconds=message.delay_s)
            stored = StoredMessage(
                f"m{next(self._ids)}", message.body, message.group, dict(message.attributes), now, visible
            )
            self.queues[queue].append(stored)
            if message.group is not None:
                self._fair[queue].sent(message.group, now)
        return [True] * len(messages)

    def change_visibility(self, queue: str, receipts: Sequence[tuple[str, int]]) -> None:
        waits, now = dict(receipts), self._clock.now()
        for message in self.queues[queue]:
            if message.receipt and message.receipt in waits:
                message.visible_at = now + timedelta(seconds=waits[message.receipt])

    # The broker.

    def receive(self, queue: str, most: int, visibility_s: float) -> list[Record]:
        """Up to `most` visible messages; one received too often moves to the dead-letter queue instead."""
        records: list[Record] = []
        for message in self._visible(queue, self._clock.now()):
            if len(records) == most:
                break
            if message.receive_count >= MAX_RECEIVES:
                self.queues[queue].remove(message)
                self.queues[queue + DLQ_SUFFIX].append(message)
                continue
            records.append(self._hand_out(queue, message, visibility_s))
            if self.double:
                self.double -= 1
                self.queues[queue].append(replace(message, receipt="", visible_at=self._clock.now()))
        return records

    def _hand_out(self, queue: str, message: StoredMessage, visibility_s: float) -> Record:
        now = self._clock.now()
        message.receive_count += 1
        message.receipt = f"{message.message_id}#{message.receive_count}.{next(self._receipts)}"
        message.received_at, message.visible_at = now, now + timedelta(seconds=visibility_s)
        return Record(
            message.message_id,
            message.receipt,
            message.body,
            message.receive_count,
            message.sent_at,
            queue,
            message.group,
        )

    def _visible(self, queue: str, now: datetime) -> Iterator[StoredMessage]:
        """What can be received, in the order in which the queue gives it."""
        visible = [message for message in self.queues[queue] if message.visible_at <= now]
        if not self.fair or not visible:
            yield from visible
            return
        order, busy = self._fair[queue], self.in_flight(queue)
        order.look(busy, {message.group for message in visible if message.group is not None}, now)
        noisy = order.noisy
        yield from (message for message in visible if message.group not in noisy)
        for group in sorted(noisy, key=lambda group: (busy[group], group)):
            yield from (message for message in visible if message.group == group)

    def in_flight(self, queue: str) -> Counter[str]:
        """Messages that consumers have, per group."""
        now = self._clock.now()
        return in_flight_by_group(message.group for message in self.queues[queue] if message.in_flight(now))

    def noisy(self, queue: str) -> frozenset[str]:
        """The groups that the queue takes for noisy since the last receive."""
        return self._fair[queue].noisy

    def delete(self, queue: str, message_ids: set[str]) -> None:
        """Acknowledge messages by their ids: all copies of them."""
        self._remove(queue, [m for m in self.queues[queue] if m.message_id in message_ids])

    def acknowledge(self, queue: str, receipts: set[str]) -> None:
        """Acknowledge what was received under these receipts; a copy with another receipt stays, as in SQS."""
        self._remove(queue, [m for m in self.queues[queue] if m.receipt and m.receipt in receipts])

    def _remove(self, queue: str, messages: Sequence[StoredMessage]) -> None:
        gone: set[int] = set()
        for message in messages:
            self._worked(queue, message)
            if self.lose_acknowledgements:
                self.lose_acknowledgements -= 1
            else:
                gone.add(id(message))
        if gone:
            self.queues[queue] = [m for m in self.queues[queue] if id(m) not in gone]

    def handed_back(self, queue: str, receipts: set[str]) -> None:
        """Consumers have given up on what was received under these receipts; it comes back by its visibility."""
        for message in self.queues[queue]:
            if message.receipt and message.receipt in receipts:
                self._worked(queue, message)

    def _worked(self, queue: str, message: StoredMessage) -> None:
        """A consumer is done with a message: its time counts for the fair order."""
        now = self._clock.now()
        if message.group is not None and message.received_at is not None:
            self._fair[queue].worked(message.group, (now - message.received_at).total_seconds(), now)
        message.received_at = None

    def next_visible(self, queues: Sequence[str]) -> datetime | None:
        """The earliest instant at which one of the queues has something to give."""
        return min((m.visible_at for name in queues for m in self.queues[name]), default=None)

    def dead(self, queue: str) -> list[StoredMessage]:
        """What lies in the dead-letter queue of `queue`."""
        return self.queues[queue + DLQ_SUFFIX]
