"""Dead letters in SQS: counted, looked at and sent back. SQS cannot show a message without hiding it for a while, so
whatever is only looked at is made visible again at once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shared.cli.errors import Failure
from shared.jobs.aws import BATCH
from shared.jobs.ports import OutMessage, Queues
from shared.jobs.registry import Registry
from shared.jobs.replay import renewed
from shared.jobs.settlement import DLQ_SUFFIX

HIDDEN_S = 120
"""Seconds that a message stays hidden while it is worked on; a command that is killed leaves it hidden that long."""
LONG_POLL_S = 1
"""A long poll asks all of SQS's servers; a short one may miss messages of a nearly empty queue."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter. Without the kernel's attributes (SQS's backstop, a rule that failed) what the body says stands."""

    message_id: str
    receipt: str = field(repr=False)
    body: str = field(repr=False)
    reason: str
    code: str
    job: str | None
    tenant: str | None
    run: str | None
    first_sent_at: datetime
    identity: str = ""
    """Job and message id: the same for a letter whose message was sent back and died again."""

    def public(self) -> dict[str, Any]:
        """All but the body, which may hold personal data."""
        names = ("message_id", "code", "reason", "job", "tenant", "run", "first_sent_at")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Count:
    """Messages of a dead-letter queue; `hidden`: being looked at by somebody."""

    queue: str
    dlq: str
    messages: int
    hidden: int


@dataclass
class Redriven:
    """What a redrive did, or with `dry_run` would do. `to`: physical queue -> messages."""

    dry_run: bool
    to: dict[str, int] = field(default_factory=dict)
    refused: int = 0

    @property
    def total(self) -> int:
        return sum(self.to.values())


class DeadLetters:
    """The dead-letter queues of one deployment, by logical queue name."""

    def __init__(self, sqs: Any, prefix: str, queues: Queues, registry: Registry) -> None:
        self._sqs = sqs
        self._prefix = prefix
        self._queues = queues
        self._registry = registry

    def count(self, queue: str) -> Count:
        """How many messages lie there; approximate, as all of SQS's counts."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self._sqs.get_queue_attributes(QueueUrl=self._url(queue), AttributeNames=names)["Attributes"]
        return Count(queue, self.physical(queue) + DLQ_SUFFIX, int(found[names[0]]), int(found[names[1]]))

    def physical(self, queue: str) -> str:
        """Physical name of a queue."""
        return self._prefix + queue

    def look(self, queue: str, wanted: Callable[[Letter], bool], limit: int) -> list[Letter]:
        """Letters that match, at most `limit`; all are visible again afterwards."""
        found: list[Letter] = []
        with self._received(queue) as (batches, hold):
            for batch in batches:
                hold(batch)
                found += [letter for letter in batch if wanted(letter)]
                if len(found) >= limit:
                    break
        return found[:limit]

    def redrive(
        self, queue: str, wanted: Callable[[Letter], bool], limit: int, *, dry_run: bool, now: datetime
    ) -> Redriven:
        """Send letters that match to the queue of their job and delete them; the rest is visible again afterwards.

        Sent first, deleted then: a crash in between sends a letter twice, which its claim makes harmless. What dies
        again while this goes on is not sent a second time, else a job that always fails would keep it going for ever.
        """
        done = Redriven(dry_run)
        chosen = 0
        before: set[str] = set()
        with self._received(queue) as (batches, hold):
            for batch in batches:
                matching = [letter for letter in batch if wanted(letter) and letter.identity not in before]
                picked = matching[: limit - chosen]
                before |= {letter.identity for letter in picked}
                chosen += len(picked)
                sent = picked if dry_run else self._send(queue, picked, now)
                done.refused += len(picked) - len(sent)
                for letter in sent:
                    target = self.physical(self.destination(queue, letter))
                    done.to[target] = done.to.get(target, 0) + 1
                if not dry_run:
                    self._delete(queue, sent)
                hold([letter for letter in batch if dry_run or letter not in sent])
                if chosen >= limit:
                    break
        return done

    def destination(self, queue: str, letter: Letter) -> str:
        """The queue of the letter's job; of an unknown job the queue that this is the dead-letter queue of."""
        job = self._registry.jobs.get(letter.job or "")
        return job.queue_name if job else queue

    # SQS.

    def _url(self, queue: str) -> str:
        name = self.physical(queue) + DLQ_SUFFIX
        try:
            return str(self._sqs.get_queue_url(QueueName=name)["QueueUrl"])
        except self._sqs.exceptions.QueueDoesNotExist:
            raise Failure(f"queue {name} does not exist: deploy the app, or set CGK_QUEUE_PREFIX") from None

    @contextmanager
    def _received(self, queue: str) -> Iterator[tuple[Iterator[list[Letter]], Callable[[Sequence[Letter]], None]]]:
        """Batches until the queue is empty, and where to put letters that stay: they are made visible at the end."""
        url, held = self._url(queue), list[Letter]()
        try:
            yield self._batches(url, self.count(queue).messages), held.extend
        finally:
            for start in range(0, len(held), BATCH):
                entries = [
                    {"Id": str(n), "ReceiptHandle": letter.receipt, "VisibilityTimeout": 0}
                    for n, letter in enumerate(held[start : start + BATCH])
                ]
                self._sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)

    def _batches(self, url: str, expected: int) -> Iterator[list[Letter]]:
        seen = 0
        while True:
            answer = self._sqs.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=BATCH,
                VisibilityTimeout=HIDDEN_S,
                WaitTimeSeconds=LONG_POLL_S if seen < expected else 0,
                MessageAttributeNames=["All"],
                AttributeNames=["SentTimestamp"],
            )
            batch = [read_letter(message, self._prefix) for message in answer.get("Messages", [])]
            if not batch:
                return
            seen += len(batch)
            yield batch

    def _send(self, queue: str, letters: Sequence[Letter], now: datetime) -> list[Letter]:
        taken: list[Letter] = []
        for target in sorted({self.destination(queue, letter) for letter in letters}):
            group = [letter for letter in letters if self.destination(queue, letter) == target]
            messages = [OutMessage(_renewed(letter, now), letter.tenant) for letter in group]
            answers = self._queues.send(target, messages)
            taken += [letter for letter, ok in zip(group, answers, strict=True) if ok]
        return taken

    def _delete(self, queue: str, letters: Sequence[Letter]) -> None:
        if letters:
            entries = [{"Id": str(n), "ReceiptHandle": letter.receipt} for n, letter in enumerate(letters)]
            self._sqs.delete_message_batch(QueueUrl=self._url(queue), Entries=entries)


def _renewed(letter: Letter, now: datetime) -> str:
    """The message with its age counted anew: who redrives it wants it to run, however old it is."""
    try:
        return renewed(letter.body, now, id=letter.message_id)
    except ValueError:
        return letter.body


def read_letter(message: Mapping[str, Any], prefix: str) -> Letter:
    """A received message as a letter."""
    attributes = {n: str(v.get("StringValue", "")) for n, v in message.get("MessageAttributes", {}).items()}
    body = _parsed(message["Body"])
    rule_arn = attributes.get("RULE_ARN")
    if (
        rule_arn and "detail-type" in body
    ):  # EventBridge could not deliver: the body is the event, before the rule's form
        body = {
            "job": rule_arn.rsplit("/", 1)[-1].removeprefix(prefix),
            "event": body["detail-type"],
            **{name: body.get(name) for name in ("id", "source", "time")},
            "payload": body.get("detail", {}),
        }
        text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    else:
        text = message["Body"]
    payload = body["payload"] if isinstance(body.get("payload"), dict) else {}
    meta = payload["_meta"] if isinstance(payload.get("_meta"), dict) else {}
    id = _text(meta.get("id")) or _text(body.get("id")) or message["MessageId"]
    job = attributes.get("job") or _text(body.get("job"))
    sent_ms = int(message.get("Attributes", {}).get("SentTimestamp", 0))
    return Letter(
        message_id=message["MessageId"],
        receipt=message["ReceiptHandle"],
        body=text,
        reason=attributes.get("reason") or attributes.get("ERROR_MESSAGE") or "received too often",
        code=attributes.get("code") or attributes.get("ERROR_CODE") or "MAX_RECEIVES",
        job=job,
        tenant=attributes.get("tenant") or _text(payload.get("tenantId")),
        run=attributes.get("run"),
        first_sent_at=_instant(attributes.get("firstSentAt"), datetime.fromtimestamp(sent_ms / 1000, UTC)),
        identity=f"{job} {id}",
    )


def _parsed(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _instant(text: str | None, fallback: datetime) -> datetime:
    try:
        return datetime.fromisoformat(text) if text else fallback
    except ValueError:
        return fallback
