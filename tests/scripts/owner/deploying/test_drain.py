"""What has to end before something goes: asked of queues, schedules and the ledger; rules off and on again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import boto3
import psycopg
import pytest

from scripts.owner.deploying.drain import Drain, Left
from scripts.owner.deploying.routes import Manifest, manifest
from shared.cli.stages import Stage
from shared.jobs.crons import Cron
from shared.jobs.queues import Queue
from shared.jobs.registry import build_registry
from tests.scripts.owner.deploying.depot import Arrived, Loaded, a_job

YARD = Queue("yard")
ROUTES = manifest(
    build_registry(
        [
            a_job("depot-park-truck", on=Loaded, queue=YARD),
            a_job("depot-open-gate", on=Arrived, queue=Queue("gates")),
            a_job("depot-count", cron=Cron("0 3 * * *", zone="Asia/Tokyo"), queue=YARD),
        ]
    )
)
TARGET = {"Arn": "arn:aws:sqs:us-east-1:123456789012:depot-yard", "RoleArn": "arn:aws:iam::123456789012:role/x"}


@dataclass
class Clock:
    """Seconds that pass by sleeping only."""

    at: float = 0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds


@pytest.fixture
def depot(aws: None) -> None:
    """The depot's rules, schedule and queues, as a deployment leaves them."""
    events, schedules, queues = (boto3.client(name) for name in ("events", "scheduler", "sqs"))
    events.create_event_bus(Name="depot")
    for job in ("depot-park-truck", "depot-open-gate"):
        events.put_rule(Name=f"depot-{job}", EventBusName="depot", EventPattern=json.dumps({"source": ["x"]}))
    for group in ("depot-crons", "depot-delayed"):
        schedules.create_schedule_group(Name=group)
    schedules.create_schedule(
        Name="depot-depot-count",
        GroupName="depot-crons",
        ScheduleExpression="cron(0 3 * * ? *)",
        ScheduleExpressionTimezone="Asia/Tokyo",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=TARGET,
    )
    for queue in ("depot-yard", "depot-yard-dlq", "depot-gates"):
        queues.create_queue(QueueName=queue)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def drain(depot: None, clock: Clock, admin: psycopg.Connection[Any]) -> Drain:
    return Drain(Stage("local", prefix="depot"), boto3.client, lambda: admin, clock.sleep, clock.now)


def rule(job: str) -> str:
    return str(boto3.client("events").describe_rule(Name=f"depot-{job}", EventBusName="depot")["State"])


def schedule() -> dict[str, Any]:
    found: dict[str, Any] = boto3.client("scheduler").get_schedule(Name="depot-depot-count", GroupName="depot-crons")
    return found


def test_only_what_starts_the_jobs_that_go_is_switched_off_and_comes_back_as_it_was(drain: Drain) -> None:
    before = schedule()

    drain.switch_off(ROUTES, ["depot-park-truck", "depot-count"])
    assert (rule("depot-park-truck"), rule("depot-open-gate"), schedule()["State"]) == (
        "DISABLED",
        "ENABLED",
        "DISABLED",
    )

    assert drain.switch_on(ROUTES) == ["depot-park-truck", "depot-count"]
    assert rule("depot-park-truck") == "ENABLED"
    names = ("State", "ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow", "Target")
    assert {name: schedule()[name] for name in names} == {name: before[name] for name in names}


def test_switching_is_no_error_where_nothing_is_deployed_yet(drain: Drain) -> None:
    elsewhere = Drain(Stage("dev", prefix="other"), drain.client, drain.database)
    elsewhere.switch_off(ROUTES, ["depot-park-truck", "depot-count"])
    assert elsewhere.switch_on(ROUTES) == []
    assert elsewhere.queue_left("yard") == []
    assert elsewhere.switch_on(Manifest()) == []


def test_messages_dead_letters_and_delayed_ones_keep_a_queue(drain: Drain) -> None:
    queues = boto3.client("sqs")
    assert drain.queue_left("yard") == []

    queues.send_message(QueueUrl=queues.get_queue_url(QueueName="depot-yard")["QueueUrl"], MessageBody="a")
    queues.send_message(
        QueueUrl=queues.get_queue_url(QueueName="depot-yard")["QueueUrl"], MessageBody="b", DelaySeconds=900
    )
    queues.send_message(QueueUrl=queues.get_queue_url(QueueName="depot-yard-dlq")["QueueUrl"], MessageBody="c")
    boto3.client("scheduler").create_schedule(
        Name="later",
        GroupName="depot-delayed",
        ScheduleExpression="at(2099-01-01T00:00:00)",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=TARGET,
    )

    assert [each.text for each in drain.queue_left("yard")] == [
        "1 waiting, 1 delayed on depot-yard",
        "1 waiting on depot-yard-dlq",
        "1 one-off schedules will send to yard",
    ]
    assert drain.queue_left("yard")[1].advice == "see `cgk-jobs dlq list yard`: redrive or delete them"


def test_a_message_in_flight_keeps_a_queue(drain: Drain) -> None:
    queues = boto3.client("sqs")
    url = queues.get_queue_url(QueueName="depot-yard")["QueueUrl"]
    queues.send_message(QueueUrl=url, MessageBody="a")
    queues.receive_message(QueueUrl=url)
    assert [each.text for each in drain.queue_left("yard")] == ["1 in flight on depot-yard"]


@pytest.mark.parametrize(
    ("state", "left"),
    [("running", 1), ("waiting", 1), ("continuing", 1), ("succeeded", 0), ("dead", 0), ("cancelled", 0)],
)
def test_open_runs_of_a_job_that_goes_are_reported(
    drain: Drain, admin: psycopg.Connection[Any], state: str, left: int
) -> None:
    columns = "job, tenant, key, state, run_id, run_at, updated_at"
    for job in ("depot-park-truck", "depot-open-gate"):
        admin.execute(
            f"INSERT INTO jobs.claims ({columns}) VALUES (%s, 'acme', 'k', %s, %s, %s, %s)",  # noqa: S608
            (job, state, uuid4(), datetime.now(UTC), datetime.now(UTC)),
        )
    found = drain.jobs_left(ROUTES, ["depot-park-truck"])
    assert [each.text for each in found] == ["1 runs of depot-park-truck are not over"] * left


def test_a_queue_with_messages_is_reported_once_with_the_jobs_that_go(drain: Drain) -> None:
    queues = boto3.client("sqs")
    queues.send_message(QueueUrl=queues.get_queue_url(QueueName="depot-yard")["QueueUrl"], MessageBody="a")
    found = drain.jobs_left(ROUTES, ["depot-park-truck", "depot-count"])
    assert [each.text for each in found] == [
        "1 waiting on depot-yard, some of which may be for depot-park-truck, depot-count"
    ]


WAITS = [
    # what each look finds, limit, quiet; what is left, when it ended
    ([0], 0, 0, 0, 0.0),
    ([1], 0, 0, 1, 0.0),
    ([1, 1, 0], 10, 0, 0, 0.1),
    ([1, 1, 1, 1, 1, 1, 1], 10, 4, 1, 10.0),
    ([0, 0, 0], 10, 4, 0, 4.0),
    ([0, 1, 0, 0, 0], 10, 4, 0, 6.0),
    ([0, 0, 0], 0, 4, 0, 4.0),
]


@pytest.mark.parametrize(("looks", "limit_s", "quiet_s", "left", "ended"), WAITS)
def test_it_waits_until_nothing_has_been_left_for_a_while_and_no_longer_than_it_may(
    drain: Drain, clock: Clock, looks: list[int], limit_s: float, quiet_s: float, left: int, ended: float
) -> None:
    answers = iter(looks)
    found = drain.wait(lambda: [Left("a", "b")] * next(answers, looks[-1]), limit_s, quiet_s)
    assert len(found) == left
    assert clock.at == pytest.approx(ended)
