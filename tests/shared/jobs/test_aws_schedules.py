"""One-off schedules on EventBridge Scheduler: what is asked of it, and what its refusals mean."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import boto3
import pytest
from moto import mock_aws

from shared.jobs.aws import OneOffSchedules, S3Blobs
from shared.jobs.ports import OutSchedule

AT = datetime(2027, 3, 28, 1, 30, tzinfo=UTC)
ROLE = "arn:aws:iam::123456789012:role/cgk-delayed-us-east-1"


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        client = boto3.client("scheduler")
        client.create_schedule_group(Name="cgk-delayed")
        yield client


@pytest.fixture
def schedules() -> OneOffSchedules:
    return OneOffSchedules("cgk-delayed", ROLE, "cgk", "cgk-", "cgk.jobs")


def made(scheduler: Any, name: str) -> dict[str, Any]:
    found: dict[str, Any] = scheduler.get_schedule(Name=name, GroupName="cgk-delayed")
    return found


def test_message_goes_to_its_queue_with_its_group_and_a_dead_letter_queue(
    scheduler: Any, schedules: OneOffSchedules
) -> None:
    assert schedules.put([OutSchedule("s-1", AT, '{"job":"toy-play"}', queue="toys", group="acme")]) == [True]

    found = made(scheduler, "s-1")
    assert found["ScheduleExpression"] == "at(2027-03-28T01:30:00)"
    assert found["ScheduleExpressionTimezone"] == "UTC"
    assert found["ActionAfterCompletion"] == "DELETE"
    assert found["FlexibleTimeWindow"] == {"Mode": "OFF"}
    target = found["Target"]
    assert (target["Arn"], target["RoleArn"]) == ("arn:aws:sqs:us-east-1:123456789012:cgk-toys", ROLE)
    assert target["DeadLetterConfig"] == {"Arn": "arn:aws:sqs:us-east-1:123456789012:cgk-toys-dlq"}
    assert target["SqsParameters"] == {"MessageGroupId": "acme"}
    assert target["Input"] == '{"job":"toy-play"}'


def test_event_goes_to_the_bus_as_one_of_ours(scheduler: Any, schedules: OneOffSchedules) -> None:
    assert schedules.put([OutSchedule("s-1", AT, "{}", event="toy.seen", group="acme")]) == [True]

    target = made(scheduler, "s-1")["Target"]
    assert target["Arn"] == "arn:aws:events:us-east-1:123456789012:event-bus/cgk"
    assert target["EventBridgeParameters"] == {"DetailType": "toy.seen", "Source": "cgk.jobs"}


@pytest.mark.parametrize(
    ("at", "expression"),
    [
        (AT + timedelta(microseconds=1), "at(2027-03-28T01:30:01)"),
        (AT.astimezone(timezone(timedelta(hours=9))), "at(2027-03-28T01:30:00)"),
    ],
    ids=["never before the instant", "in UTC"],
)
def test_instant_is_written_in_whole_seconds_of_utc(
    scheduler: Any, schedules: OneOffSchedules, at: datetime, expression: str
) -> None:
    schedules.put([OutSchedule("s-1", at, "{}", queue="toys")])

    assert made(scheduler, "s-1")["ScheduleExpression"] == expression


def test_schedule_that_is_there_already_stands(scheduler: Any, schedules: OneOffSchedules) -> None:
    twice = [OutSchedule("s-1", AT, "first", queue="toys")]
    schedules.put(twice)

    assert schedules.put([*twice, OutSchedule("s-2", AT, "{}", queue="toys")]) == [True, True]

    assert made(scheduler, "s-1")["Target"]["Input"] == "first"


def test_what_scheduler_refuses_is_said_of_that_schedule_alone(
    scheduler: Any, schedules: OneOffSchedules, monkeypatch: pytest.MonkeyPatch
) -> None:
    from botocore.exceptions import ClientError, EndpointConnectionError

    errors = {
        "s-1": ClientError({"Error": {"Code": "ThrottlingException"}}, "CreateSchedule"),
        "s-2": EndpointConnectionError(endpoint_url="https://scheduler"),
    }
    client = schedules._scheduler.get()
    create = client.create_schedule

    def refuses(**given: Any) -> Any:
        if given["Name"] in errors:
            raise errors[given["Name"]]
        return create(**given)

    monkeypatch.setattr(client, "create_schedule", refuses)

    assert schedules.put([OutSchedule(f"s-{n}", AT, "{}", queue="toys") for n in range(4)]) == [
        True,
        False,
        False,
        True,
    ]
    assert schedules.put([]) == []


def test_group_id_is_left_out_where_scheduler_will_not_have_it(
    scheduler: Any, schedules: OneOffSchedules, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its documentation speaks of FIFO queues only; without it the message has no place in the fair order."""
    from botocore.exceptions import ClientError

    client = schedules._scheduler.get()
    create, asked = client.create_schedule, list[dict[str, Any]]()

    def refuses(**given: Any) -> Any:
        asked.append(given["Target"])
        if "SqsParameters" in given["Target"]:
            raise ClientError({"Error": {"Code": "ValidationException"}}, "CreateSchedule")
        return create(**given)

    monkeypatch.setattr(client, "create_schedule", refuses)

    assert schedules.put([OutSchedule("s-1", AT, "{}", queue="toys", group="acme")]) == [True]
    assert ["SqsParameters" in target for target in asked] == [True, False]
    assert schedules.put([OutSchedule("s-2", AT, "{}", queue="toys")]) == [True]


def test_objects_are_listed_by_prefix(scheduler: Any) -> None:
    boto3.client("s3").create_bucket(Bucket="cgk")
    blobs = S3Blobs("cgk")
    for key in ("payloads/b/1", "payloads/a/2", "payloads-long/a/3", "files/x"):
        blobs.put(key, b"")

    assert list(blobs.keys("payloads/")) == ["payloads/a/2", "payloads/b/1"]
