"""The AWS ports: batches, partial failures, whole failures."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from shared.jobs.aws import EventBridgeBus, S3Blobs, SqsQueues, read_secret
from shared.jobs.ports import OutEvent, OutMessage


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


def _received(queue: str) -> list[dict[str, object]]:
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    found: list[dict[str, object]] = []
    while answer := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"]
    ).get("Messages"):
        found += answer
    return found


def test_more_messages_than_a_call_takes_are_sent_in_batches(aws: None) -> None:
    boto3.client("sqs").create_queue(QueueName="cgk-toys")

    taken = SqsQueues("cgk-").send("toys", [OutMessage(f"m{n}", attributes={"code": "X"}) for n in range(23)])

    assert taken == [True] * 23
    received = _received("cgk-toys")
    assert len(received) == 23
    assert received[0]["MessageAttributes"]["code"]["StringValue"] == "X"  # type: ignore[index]


def test_batches_respect_the_size_of_a_call(aws: None) -> None:
    boto3.client("sqs").create_queue(QueueName="cgk-toys")

    taken = SqsQueues("cgk-").send("toys", [OutMessage("x" * 200_000) for _ in range(6)])

    assert taken == [True] * 6


def test_queue_that_does_not_exist_takes_nothing_and_raises_nothing(aws: None) -> None:
    queues = SqsQueues("cgk-")

    assert queues.send("nowhere", [OutMessage("m")]) == [False]
    queues.change_visibility("nowhere", [("receipt", 5)])


def test_bus_reports_per_event(aws: None) -> None:
    boto3.client("events").create_event_bus(Name="cgk")

    assert EventBridgeBus("cgk", "cgk.jobs").publish([OutEvent("toy.done", "{}")] * 12) == [True] * 12


def test_objects_come_back_and_missing_ones_are_key_errors(aws: None) -> None:
    boto3.client("s3").create_bucket(Bucket="cgk")
    blobs = S3Blobs("cgk")

    blobs.put("payloads/1", b"sealed")

    assert blobs.get("payloads/1") == b"sealed"
    with pytest.raises(KeyError):
        blobs.get("payloads/2")


def test_secret_is_read_as_its_members(aws: None) -> None:
    boto3.client("secretsmanager").create_secret(Name="cgk/jobs", SecretString='{"DATABASE_URL":"postgresql://x"}')

    assert read_secret("cgk/jobs") == {"DATABASE_URL": "postgresql://x"}


def test_secret_without_a_value_has_no_members(aws: None) -> None:
    boto3.client("secretsmanager").create_secret(Name="cgk/jobs", SecretString=" ")

    assert read_secret("cgk/jobs") == {}
