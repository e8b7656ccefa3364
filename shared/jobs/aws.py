"""The ports on AWS: SQS, EventBridge, S3, Secrets Manager. boto3 is imported when the first client is made."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from shared.jobs.ports import OutEvent, OutMessage

BATCH = 10
"""Entries per call of SendMessageBatch, ChangeMessageVisibilityBatch and PutEvents."""
MAX_BATCH_BYTES = 900_000
"""Bytes per call: below SQS's and EventBridge's 1 MiB with room for attributes and names."""
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

    def get(self) -> Any:
        if self._client is None:
            self._client = client(self._service)
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


def read_secret(secret_id: str) -> dict[str, str]:
    """The members of a JSON secret of Secrets Manager."""
    value = json.loads(client("secretsmanager").get_secret_value(SecretId=secret_id)["SecretString"])
    return {str(name): str(text) for name, text in value.items()}
