"""The queues' figures from CloudWatch and SQS."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from moto import mock_aws

from functions.scheduled.health.queues import AwsQueues


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


def test_largest_value_of_the_last_minutes_counts(aws: None) -> None:
    now = datetime.now(UTC)
    cloudwatch = boto3.client("cloudwatch")
    for metric, age_s, value in (
        ("ApproximateAgeOfOldestMessage", 60, 300.0),
        ("ApproximateAgeOfOldestMessage", 150, 900.0),
        ("ApproximateAgeOfOldestMessage", 600, 5000.0),
        ("ApproximateNumberOfMessagesVisible", 60, 12.0),
    ):
        datum = {
            "MetricName": metric,
            "Dimensions": [{"Name": "QueueName", "Value": "cgk-orders"}],
            "Timestamp": now - timedelta(seconds=age_s),
            "Value": value,
        }
        cloudwatch.put_metric_data(Namespace="AWS/SQS", MetricData=[datum])

    found = AwsQueues("cgk-").ages_and_backlogs(["orders", "alerts"], now)

    assert found == {"orders": (900.0, 12.0), "alerts": (None, None)}


def test_depth_counts_what_is_visible_and_what_is_not(aws: None) -> None:
    sqs = boto3.client("sqs")
    url = sqs.create_queue(QueueName="cgk-orders-dlq")["QueueUrl"]
    for n in range(3):
        sqs.send_message(QueueUrl=url, MessageBody=str(n), DelaySeconds=60 if n == 2 else 0)
    sqs.receive_message(QueueUrl=url)

    assert AwsQueues("cgk-").depths(["orders-dlq", "missing-dlq"]) == {"orders-dlq": 3}


def test_figures_that_cannot_be_had_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    queues = AwsQueues("cgk-")

    assert queues.ages_and_backlogs(["orders"], datetime.now(UTC)) == {}
    assert queues.depths(["orders-dlq"]) == {}
