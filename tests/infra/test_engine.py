"""The deployed app on the local engine: bus, rule, queue, function; and one test for each fix of the launcher."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import pytest

from tests.infra.deployed import DeployedApp

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("engine")]
T = TypeVar("T")

WAITS_FOR_TOKEN = {
    "StartAt": "Wait",
    "States": {
        "Wait": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "HeartbeatSeconds": 1,
            "TimeoutSeconds": 60,
            "Parameters": {"QueueUrl": "", "MessageBody": {"token.$": "$$.Task.Token"}},
            "End": True,
        }
    },
}


def eventually(look: Callable[[], T | None], within_s: float = 30) -> T:
    """The first value that is neither None nor empty; fails when none comes in time."""
    until = time.monotonic() + within_s
    while not (found := look()):
        assert time.monotonic() < until, "nothing came"
        time.sleep(0.05)
    return found


def publish(deployed: DeployedApp, name: str, detail: dict[str, Any]) -> str:
    entry = {"EventBusName": "parcel", "Source": "shop", "DetailType": name, "Detail": json.dumps(detail)}
    answer = deployed.client("events").put_events(Entries=[entry])
    assert answer["FailedEntryCount"] == 0
    return str(answer["Entries"][0]["EventId"])


def record_of(deployed: DeployedApp, event_id: str) -> dict[str, Any] | None:
    return next((r for r in deployed.received() if json.loads(r["body"])["id"] == event_id), None)


def test_an_event_reaches_the_function_with_its_envelope_and_its_tenant_as_group(deployed: DeployedApp) -> None:
    event_id = publish(deployed, "parcel.sent", {"tenantId": "acme", "parcelId": "p1", "weight": None})
    record = eventually(lambda: record_of(deployed, event_id))
    body = json.loads(record["body"])
    assert body | {"time": ""} == {
        "job": "parcel-track",
        "event": "parcel.sent",
        "id": event_id,
        "source": "shop",
        "time": "",
        "payload": {"tenantId": "acme", "parcelId": "p1", "weight": None},
    }
    assert record["attributes"]["MessageGroupId"] == "acme"


def test_a_failed_message_of_a_batch_stays_in_the_queue_and_the_others_go(deployed: DeployedApp) -> None:
    good = publish(deployed, "parcel.sent", {"tenantId": "acme"})
    bad = publish(deployed, "parcel.sent", {"tenantId": "acme", "broken": True})
    eventually(lambda: record_of(deployed, good) and record_of(deployed, bad))
    queues = deployed.client("sqs")

    def counts() -> tuple[int, int]:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = queues.get_queue_attributes(QueueUrl=deployed.queue_url("parcels"), AttributeNames=names)["Attributes"]
        return int(found[names[0]]), int(found[names[1]])

    eventually(lambda: counts() == (0, 1))
    queues.purge_queue(QueueUrl=deployed.queue_url("parcels"))


def test_an_edited_handler_runs_with_the_next_message(deployed: DeployedApp) -> None:
    from scripts.local import reload

    text = deployed.handler.read_text(encoding="utf-8")
    deployed.handler.write_text(text.replace("VERSION", "edited"), encoding="utf-8")
    assert "parcel-commerce-fast" in reload.reload_functions(deployed.endpoint, prefix="parcel")
    event_id = publish(deployed, "parcel.sent", {"tenantId": "acme"})
    assert eventually(lambda: record_of(deployed, event_id))["version"] == "edited"


def test_the_cdk_cli_deploys_the_same_app(tmp_path: Path) -> None:
    from scripts.local import ROOT, deploy, engine

    if not (ROOT / "node_modules" / "aws-cdk").exists():
        pytest.skip("node_modules is missing: scripts/bootstrap.py installs the CDK CLI")
    fresh = engine.start(tmp_path / "engine")  # the CLI makes its own bucket for assets and refuses one that is there
    try:
        deploy.deploy_with_cli(fresh.endpoint, outdir=tmp_path / "cdk.out")
        stacks = deploy.client("cloudformation", fresh.endpoint).describe_stacks()["Stacks"]
        by_cli = {stack["StackName"] for stack in stacks if stack["StackName"].startswith("cgk-")}
        assert by_cli == set(deploy.deploy(fresh.endpoint, outdir=tmp_path / "in-process"))
    finally:
        fresh.stop()


def test_a_schedule_fires_in_its_own_time_zone_with_its_placeholders_filled(deployed: DeployedApp) -> None:
    queues, schedules = deployed.client("sqs"), deployed.client("scheduler")
    url = queues.create_queue(QueueName="ticks")["QueueUrl"]
    instant = (datetime.now(UTC) + timedelta(seconds=2)).replace(microsecond=0)
    local = instant.astimezone(ZoneInfo("Asia/Tokyo")).strftime("%Y-%m-%dT%H:%M:%S")
    schedules.create_schedule(
        Name="tick",
        ScheduleExpression=f"at({local})",
        ScheduleExpressionTimezone="Asia/Tokyo",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target={
            "Arn": "arn:aws:sqs:us-east-1:000000000000:ticks",
            "RoleArn": "arn:aws:iam::000000000000:role/any",
            "Input": json.dumps({"at": "<aws.scheduler.scheduled-time>", "attempt": "<aws.scheduler.attempt-number>"}),
        },
    )
    (message,) = eventually(lambda: queues.receive_message(QueueUrl=url).get("Messages"))
    assert json.loads(message["Body"]) == {"at": instant.strftime("%Y-%m-%dT%H:%M:%SZ"), "attempt": "1"}
    eventually(lambda: not [s for s in schedules.list_schedules()["Schedules"] if s["Name"] == "tick"])


def test_a_task_without_heartbeat_fails(deployed: DeployedApp) -> None:
    states = deployed.client("stepfunctions")
    url = deployed.client("sqs").create_queue(QueueName="tokens")["QueueUrl"]
    definition = json.loads(json.dumps(WAITS_FOR_TOKEN))
    definition["States"]["Wait"]["Parameters"]["QueueUrl"] = url
    machine = states.create_state_machine(
        name="waits", definition=json.dumps(definition), roleArn="arn:aws:iam::000000000000:role/any"
    )["stateMachineArn"]
    run = states.start_execution(stateMachineArn=machine)["executionArn"]

    def ended() -> dict[str, Any] | None:
        found: dict[str, Any] = states.describe_execution(executionArn=run)
        return found if found["status"] != "RUNNING" else None

    assert eventually(ended)["error"] == "States.HeartbeatTimeout"


def test_a_one_off_schedule_reaches_its_queue_and_the_bus_and_deletes_itself(
    deployed: DeployedApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scripts.local import engine as local
    from shared.jobs.aws import OneOffSchedules
    from shared.jobs.ports import OutSchedule

    for name, value in local.client_environment(deployed.endpoint).items():
        monkeypatch.setenv(name, value)
    functions = deployed.client("lambda")
    variables = functions.get_function_configuration(FunctionName="parcel-commerce-fast")["Environment"]["Variables"]
    role, group = variables["CGK_SCHEDULER_ROLE"], variables["CGK_SCHEDULE_GROUP"]
    schedules = OneOffSchedules(group, role, "parcel", "parcel-", "cgk.jobs")
    at = datetime.now(UTC) + timedelta(seconds=2)
    message = {"job": "parcel-track", "id": "later-1", "payload": {"tenantId": "acme", "parcelId": "later"}}
    detail = {"tenantId": "globex", "parcelId": "by-bus", "_meta": {"id": "later-2"}}
    both = [
        OutSchedule("later-1", at, json.dumps(message), queue="parcels", group="acme"),
        OutSchedule("later-2", at, json.dumps(detail), event="parcel.sent", group="globex"),
    ]

    assert schedules.put(both) == [True, True]
    assert schedules.put(both) == [True, True]

    def seen(parcel: str) -> list[dict[str, Any]]:
        return [r for r in deployed.received() if json.loads(r["body"])["payload"].get("parcelId") == parcel]

    direct, by_bus = eventually(lambda: seen("later")), eventually(lambda: seen("by-bus"))
    assert [r["attributes"]["MessageGroupId"] for r in (*direct, *by_bus)] == ["acme", "globex"]
    body = json.loads(by_bus[0]["body"])
    assert (body["job"], body["event"], body["source"]) == ("parcel-track", "parcel.sent", "cgk.jobs")
    left = deployed.client("scheduler").list_schedules(GroupName=group)["Schedules"]
    assert left == []
