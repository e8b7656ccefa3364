"""cgk-jobs schedules, and the doctor's look at what is deployed of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from shared.cli.checks.aws import schedules as check
from shared.events import Event, Payload
from shared.jobs import Cron, JobContext, Tick, dispatch, job
from shared.jobs.queues import Queue
from shared.jobs.registry import Registry, build_registry
from shared.jobs.testing import ManualClock
from tests.shared.cli.conftest import Cli

CLOCK = Queue("cli-clock")
NOW = datetime(2026, 3, 7, 12, 0, tzinfo=UTC)
"""The day before the clocks of New York change."""


class Rang(Event, name="cli-clock.rang", to_apps=True):
    pass


class Nothing(Payload):
    pass


@job("clock-minutely", cron=Cron("* * * * *", zone="UTC", scope="platform"), queue=CLOCK)
def minutely(ctx: JobContext, payload: Tick) -> Nothing:
    """Ticks."""
    return Nothing()


@job("clock-by-event", on=Rang, queue=CLOCK)
def by_event(ctx: JobContext, payload: Rang) -> Nothing:
    """Has no schedule."""
    return Nothing()


MORNING = dispatch(
    "clock-morning",
    cron=Cron("30 2,8 * * *", zone="America/New_York", due="SELECT 1"),
    queue=CLOCK,
    emits={Rang: lambda tick: Rang()},
    summary="Rings in the morning.",
)


@pytest.fixture
def clocks() -> Registry:
    return build_registry([minutely, by_event, MORNING])


@pytest.fixture
def on_clocks(bare: Cli, clocks: Registry) -> Cli:
    bare.platform.load = lambda: clocks
    bare.platform.clock = ManualClock(NOW)
    return bare


def test_overview_names_each_cron_and_its_next_instant(on_clocks: Cli) -> None:
    said = on_clocks("schedules", "--json")

    assert said.json["schedules"] == [
        {
            "job": "clock-minutely",
            "cron": "* * * * *",
            "zone": "UTC",
            "eventbridge": "cron(* * * * ? *)",
            "scope": "platform",
            "due": False,
            "next": "2026-03-07T12:01:00Z",
        },
        {
            "job": "clock-morning",
            "cron": "30 2,8 * * *",
            "zone": "America/New_York",
            "eventbridge": "cron(30 2,8 * * ? *)",
            "scope": "tenant",
            "due": True,
            "next": "2026-03-07T13:30:00Z",
        },
    ]


def test_next_24_hours_leave_out_the_hour_that_the_clock_skips(on_clocks: Cli) -> None:
    said = on_clocks("schedules", "--next", "24h", "--job", "clock-morning")

    lines = [line.split("  ") for line in said.out.splitlines()]
    assert [[cell.strip() for cell in line if cell][:3] for line in lines] == [
        ["INSTANT (UTC)", "LOCAL", "JOB"],
        ["2026-03-07 13:30:00", "Sat 08:30 America/New_York", "clock-morning"],
    ]
    instants = on_clocks("schedules", "--next", "48h", "--json").json["schedules"][1]["instants"]
    assert instants == ["2026-03-07T13:30:00Z", "2026-03-08T12:30:00Z", "2026-03-09T06:30:00Z"]


def test_frequent_job_has_one_line(on_clocks: Cli) -> None:
    said = on_clocks("schedules", "--next", "1h")

    assert [line.split()[-1] for line in said.out.splitlines()] == ["TIMES", "60"]


@pytest.mark.parametrize("age", ["24", "0h", "400d", "tomorrow"])
def test_wrong_length_of_time_is_wrong_use(on_clocks: Cli, age: str) -> None:
    said = on_clocks("schedules", "--next", age)

    assert said.code == 2
    assert "is no length of time" in said.err


def test_last_tick_is_shown_where_the_database_is_known(cli: Cli, clocks: Registry, admin: Any) -> None:
    cli.platform.load = lambda: clocks
    admin.execute(
        "INSERT INTO jobs.ticks (job, tick_at, state) VALUES ('clock-morning', %s, 'done')",
        (NOW - timedelta(hours=4),),
    )

    last = {row["job"]: row["last"] for row in cli("schedules", "--json").json["schedules"]}

    assert last == {"clock-minutely": None, "clock-morning": "2026-03-07T08:00:00Z"}


def test_list_shows_the_cron_where_a_job_has_no_event(on_clocks: Cli) -> None:
    assert "30 2,8 * * * America/New_York" in on_clocks("list").out


def deploy(name: str, expression: str, zone: str, state: str = "ENABLED") -> None:
    boto3.client("scheduler").create_schedule(
        Name=name,
        GroupName="cgk-crons",
        ScheduleExpression=expression,
        ScheduleExpressionTimezone=zone,
        State=state,
        FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": "arn:aws:sqs:us-east-1:123456789012:q", "RoleArn": "arn:aws:iam::123456789012:role/r"},
    )


def test_doctor_compares_the_deployed_schedules(on_clocks: Cli, aws: None) -> None:
    boto3.client("scheduler").create_schedule_group(Name="cgk-crons")
    deploy("cgk-clock-minutely", "cron(* * * * ? *)", "UTC")
    missing = check(on_clocks.platform)
    deploy("cgk-clock-morning", "cron(30 2,8 * * ? *)", "UTC")
    other_zone = check(on_clocks.platform)
    boto3.client("scheduler").delete_schedule(Name="cgk-clock-morning", GroupName="cgk-crons")
    deploy("cgk-clock-morning", "cron(30 2,8 * * ? *)", "America/New_York", state="DISABLED")
    disabled = check(on_clocks.platform)

    assert "clock-morning has none" in missing.message
    assert "that of clock-morning is cron(30 2,8 * * ? *) UTC" in other_zone.message
    assert "that of clock-morning is disabled" in disabled.message
