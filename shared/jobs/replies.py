"""Step 8, answer: verdicts become SQS calls and the partial batch response; nothing else does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from shared.jobs.messages import Defer, Message, Record
from shared.jobs.ports import OutMessage, Queues

REPLACE_AT_RECEIVE = 40
"""SQS counts every return; a message deferred at this count is replaced before maxReceiveCount (50) is near."""
SQS_MAX_DELAY_S = 900
SQS_MAX_VISIBILITY_S = 12 * 3600 - 60
"""SQS keeps a message invisible for 12 hours from its receipt at most; a minute is kept back for this invocation."""


def extend_visibility(queues: Queues, records: Sequence[Record], seconds: int) -> None:
    """At the start of an invocation: nobody else sees these messages before this process must have ended."""
    for queue, group in _by_queue(records).items():
        queues.change_visibility(queue, [(record.receipt, seconds) for record in group])


def answer(queues: Queues, returned: Sequence[tuple[Record, Defer, Message | None]]) -> dict[str, list[dict[str, str]]]:
    """Lambda's partial batch response: `returned` come back after their delay, all other records are acknowledged."""
    failures: list[Record] = []
    waits: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for record, verdict, message in returned:
        if record.receive_count >= REPLACE_AT_RECEIVE and message is not None and _replace(queues, message, verdict):
            continue
        failures.append(record)
        waits[record.queue].append((record.receipt, max(0, min(SQS_MAX_VISIBILITY_S, round(verdict.delay_s)))))
    for queue, receipts in waits.items():
        queues.change_visibility(queue, receipts)
    return {"batchItemFailures": [{"itemIdentifier": record.message_id} for record in failures]}


def _replace(queues: Queues, message: Message, verdict: Defer) -> bool:
    """Send a copy with the same identity; the claim makes a doubled one harmless. False: the old one must stay."""
    delay = min(SQS_MAX_DELAY_S, round(verdict.delay_s))
    copy = OutMessage(message.body(), message.record.group, delay)
    return queues.send(message.record.queue, [copy]) == [True]


def _by_queue(records: Iterable[Record]) -> dict[str, list[Record]]:
    grouped: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        grouped[record.queue].append(record)
    return grouped


def records_of(event: Any, queue_prefix: str) -> list[Record]:
    """The records of Lambda's SQS event."""
    from datetime import UTC, datetime

    found: list[Record] = []
    for item in event["Records"]:
        attributes = item.get("attributes", {})
        sent_ms = int(attributes.get("SentTimestamp", 0))
        found.append(
            Record(
                message_id=item["messageId"],
                receipt=item["receiptHandle"],
                body=item["body"],
                receive_count=int(attributes.get("ApproximateReceiveCount", 1)),
                sent_at=datetime.fromtimestamp(sent_ms / 1000, UTC) if sent_ms else datetime.now(UTC),
                queue=item["eventSourceARN"].rsplit(":", 1)[-1].removeprefix(queue_prefix),
                group=attributes.get("MessageGroupId"),
            )
        )
    return found
