"""The ports on AWS: SQS, EventBridge, Scheduler, S3, Secrets Manager. boto3 is imported with the first client."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, timedelta
from typing import Any, TypeVar

from shared.jobs.ports import OutEvent, OutMessage, OutSchedule

BATCH = 10
"""Entries per call of SendMessageBatch, ChangeMessageVisibilityBatch and PutEvents."""
MAX_BATCH_BYTES = 900_000
"""Bytes per call: below SQS's and EventBridge's 1 MiB with room for attributes and names."""
SCHEDULE_CALLS = 8
"""CreateSchedule has no batch form: so many calls at a time."""
CONNECT_TIMEOUT_S = 3
READ_TIMEOUT_S = 10
RETRIES = 3

T = TypeVar("T")
logger = logging.getLogger("cgk.jobs.aws")


def client(service: str) -> Any:
    """A boto3 client with short timeouts; endpoint, region and credentials come from the standard AWS_* environment."""
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"max_attempts": RETRIES, "mode": "standard"},
    )
    return boto3.client(service, config=config)


class _Lazy:
    """One client, made at first use."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._client: Any = None
        self._making = threading.Lock()

    def get(self) -> Any:
        if self._client is None:
            with self._making:  # a fan-out sends from several threads; boto3 makes clients in one at a time
                self._client = self._client or client(self._service)
        return self._client


class SqsQueues:
    """The `Queues` port. `prefix` stands before every logical name; URLs are asked for once."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._sqs = _Lazy("sqs")
        self._urls: dict[str, str] = {}

    def url(self, queue: str) -> str:
        """URL of a queue by its logical name."""
        if queue not in self._urls:
            answer = self._sqs.get().get_queue_url(QueueName=self._prefix + queue)
            self._urls[queue] = answer["QueueUrl"]
        return self._urls[queue]

    def send(self, queue: str, messages: Sequence[OutMessage]) -> list[bool]:
        def send(batch: Sequence[OutMessage]) -> Mapping[str, Any]:
            entries = [_entry(n, message) for n, message in enumerate(batch)]
            return dict(self._sqs.get().send_message_batch(QueueUrl=self.url(queue), Entries=entries))

        return _in_batches(messages, lambda m: len(m.body.encode()), send, _sqs_taken, f"send to {queue}")

    def change_visibility(self, queue: str, receipts: Sequence[tuple[str, int]]) -> None:
        def change(batch: Sequence[tuple[str, int]]) -> Mapping[str, Any]:
            entries = [
                {"Id": str(n), "ReceiptHandle": receipt, "VisibilityTimeout": seconds}
                for n, (receipt, seconds) in enumerate(batch)
            ]
            return dict(self._sqs.get().change_message_visibility_batch(QueueUrl=self.url(queue), Entries=entries))

        # A receipt that failed is one that has run out: its message is somebody else's by now.
        _in_batches(receipts, lambda _: 1, change, _sqs_taken, f"visibility on {queue}")


def _entry(n: int, message: OutMessage) -> dict[str, Any]:
    entry: dict[str, Any] = {"Id": str(n), "MessageBody": message.body}
    if message.delay_s:
        entry["DelaySeconds"] = message.delay_s
    if message.group:
        entry["MessageGroupId"] = message.group
    if message.attributes:
        entry["MessageAttributes"] = {
            name: {"DataType": "String", "StringValue": value} for name, value in message.attributes.items()
        }
    return entry


def _sqs_taken(answer: Mapping[str, Any], size: int) -> list[bool]:
    failed = {int(entry["Id"]) for entry in answer.get("Failed", [])}
    return [n not in failed for n in range(size)]


class EventBridgeBus:
    """The `Bus` port. `source` names us as the publisher; IAM denies it to applications."""

    def __init__(self, name: str, source: str) -> None:
        self._name = name
        self._source = source
        self._events = _Lazy("events")

    def publish(self, events: Sequence[OutEvent]) -> list[bool]:
        def put(batch: Sequence[OutEvent]) -> Mapping[str, Any]:
            entries = [
                {"EventBusName": self._name, "Source": self._source, "DetailType": event.name, "Detail": event.detail}
                for event in batch
            ]
            return dict(self._events.get().put_events(Entries=entries))

        return _in_batches(events, lambda e: len(e.detail.encode()) + 200, put, _bus_taken, "publish")


class OneOffSchedules:
    """The `Schedules` port on EventBridge Scheduler, which sends within the minute after the instant.

    `group` holds the schedules, `role_arn` is what Scheduler sends as; both stand in the same account and region as
    `bus` and the queues, whose physical names begin with `queue_prefix`. Each schedule deletes itself afterwards.
    """

    def __init__(self, group: str, role_arn: str, bus: str, queue_prefix: str, source: str) -> None:
        self._group = group
        self._role_arn = role_arn
        self._bus = bus
        self._prefix = queue_prefix
        self._source = source
        self._scheduler = _Lazy("scheduler")

    def put(self, schedules: Sequence[OutSchedule]) -> list[bool]:
        if not schedules:
            return []
        self._scheduler.get()  # made once, before the threads share it
        with ThreadPoolExecutor(SCHEDULE_CALLS) as pool:
            return list(pool.map(self._put, schedules))

    def _put(self, schedule: OutSchedule) -> bool:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            try:
                self._create(schedule, schedule.group)
            except ClientError as error:
                # Scheduler documents the group id for FIFO queues only. Where it insists, the message does without.
                if error.response["Error"]["Code"] != "ValidationException" or not (schedule.queue and schedule.group):
                    raise
                self._create(schedule, None)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConflictException":
                return True  # the relay was here before
            logger.warning("aws call failed", extra={"call": "schedule", "error": error.response["Error"]["Code"]})
            return False
        except BotoCoreError as error:
            logger.warning("aws call failed", extra={"call": "schedule", "error": type(error).__name__})
            return False
        return True

    def _create(self, schedule: OutSchedule, group: str | None) -> None:
        _, partition, _, _, account, _ = self._role_arn.split(":", 5)
        scheduler = self._scheduler.get()
        place = f"{scheduler.meta.region_name}:{account}"
        target: dict[str, Any] = {"RoleArn": self._role_arn, "Input": schedule.body}
        if schedule.queue is not None:
            queue = f"arn:{partition}:sqs:{place}:{self._prefix}{schedule.queue}"
            target |= {"Arn": queue, "DeadLetterConfig": {"Arn": f"{queue}-dlq"}}
            target |= {"SqsParameters": {"MessageGroupId": group}} if group else {}
        else:
            target["Arn"] = f"arn:{partition}:events:{place}:event-bus/{self._bus}"
            target["EventBridgeParameters"] = {"DetailType": schedule.event, "Source": self._source}
        at = schedule.at.astimezone(UTC)
        if at.microsecond:
            at = at.replace(microsecond=0) + timedelta(seconds=1)  # never before the instant
        scheduler.create_schedule(
            Name=schedule.name,
            GroupName=self._group,
            ClientToken=schedule.name,
            ScheduleExpression=f"at({at:%Y-%m-%dT%H:%M:%S})",
            ScheduleExpressionTimezone="UTC",
            FlexibleTimeWindow={"Mode": "OFF"},
            ActionAfterCompletion="DELETE",
            Target=target,
        )


def _bus_taken(answer: Mapping[str, Any], size: int) -> list[bool]:
    entries = answer.get("Entries", [])
    return [n < len(entries) and not entries[n].get("ErrorCode") for n in range(size)]


def _in_batches(
    items: Sequence[T],
    weigh: Callable[[T], int],
    call: Callable[[Sequence[T]], Mapping[str, Any]],
    taken: Callable[[Mapping[str, Any], int], list[bool]],
    what: str,
) -> list[bool]:
    """Call in batches that respect count and bytes; a call that fails as a whole took nothing."""
    from botocore.exceptions import BotoCoreError, ClientError

    answers: list[bool] = []
    for batch in _cut(items, weigh):
        try:
            answers += taken(call(batch), len(batch))
        except (BotoCoreError, ClientError) as error:
            logger.warning("aws call failed", extra={"call": what, "error": type(error).__name__})
            answers += [False] * len(batch)
    return answers


def _cut(items: Sequence[T], weigh: Callable[[T], int]) -> list[list[T]]:
    batches: list[list[T]] = []
    weight = 0
    for item in items:
        size = weigh(item)
        if not batches or len(batches[-1]) == BATCH or weight + size > MAX_BATCH_BYTES:
            batches.append([])
            weight = 0
        batches[-1].append(item)
        weight += size
    return batches


class S3Blobs:
    """The `Blobs` port on the platform's bucket."""

    def __init__(self, bucket: str) -> None:
        self._bucket = bucket
        self._s3 = _Lazy("s3")

    def put(self, key: str, data: bytes) -> None:
        self._s3.get().put_object(Bucket=self._bucket, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        from botocore.exceptions import ClientError

        try:
            answer = self._s3.get().get_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                raise KeyError(key) from error
            raise
        return bytes(answer["Body"].read())

    def keys(self, prefix: str) -> Iterator[str]:
        """The keys below a prefix, in order."""
        for page in self._s3.get().get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                yield str(entry["Key"])


def read_secret(secret_id: str) -> dict[str, str]:
    """The members of a JSON secret of Secrets Manager; none while it is empty."""
    text = client("secretsmanager").get_secret_value(SecretId=secret_id)["SecretString"]
    value = json.loads(text.strip() or "{}")
    return {str(name): str(text) for name, text in value.items()}
