"""cgk-jobs workflows: on moto's Step Functions, with the ledger's runs where there is a database."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest

from shared.jobs.testing import Bench
from tests import workflow_toys
from tests.conftest import MakeBench
from tests.shared.cli.conftest import Cli

WAITS = json.dumps({"StartAt": "Wait", "States": {"Wait": {"Type": "Wait", "Seconds": 600, "End": True}}})


@pytest.fixture
def states(aws: None) -> Any:
    """Two machines of the deployment and one of somebody else; one execution of each is running."""
    client = boto3.client("stepfunctions")
    for name in ("cgk-ToyReview", "cgk-ToyPayout", "other-Machine"):
        arn = client.create_state_machine(name=name, definition=WAITS, roleArn="arn:aws:iam::123456789012:role/any")[
            "stateMachineArn"
        ]
        client.start_execution(stateMachineArn=arn, name=f"{name[4:].lower()}-1", input='{"tenantId": "acme"}')
    return client


def test_executions_of_the_deployment_are_listed(bare: Cli, states: Any) -> None:
    found = bare("workflows", "list", "--json").json

    assert found["workflows"] == ["ToyPayout", "ToyReview"]
    assert {(e["workflow"], e["execution"], e["status"]) for e in found["executions"]} == {
        ("ToyPayout", "toypayout-1", "RUNNING"),
        ("ToyReview", "toyreview-1", "RUNNING"),
    }
    assert "toyreview-1" in bare("workflows", "list").out


@pytest.mark.parametrize(
    ("options", "executions"),
    [
        (["--workflow", "ToyReview"], ["toyreview-1"]),
        (["--status", "failed"], []),
        (["--status", "RUNNING", "--limit", "1", "--workflow", "ToyPayout"], ["toypayout-1"]),
    ],
)
def test_the_list_can_be_narrowed(bare: Cli, states: Any, options: list[str], executions: list[str]) -> None:
    found = bare("workflows", "list", *options, "--json").json

    assert [e["execution"] for e in found["executions"]] == executions


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["list", "--workflow", "ToyRevie"], 2, "did you mean ToyReview?"),
        (["list", "--status", "DONE"], 2, "there is no 'DONE' here"),
        (["show", "nobody"], 1, "there is no execution 'nobody'"),
        (["stop", "machine-1"], 1, "there is no execution 'machine-1'"),
    ],
)
def test_what_is_not_there_is_said_in_one_sentence(
    bare: Cli, states: Any, argv: list[str], code: int, says: str
) -> None:
    said = bare("workflows", *argv)

    assert said.code == code
    assert says in said.err


def test_an_execution_is_stopped_once(bare: Cli, states: Any) -> None:
    said = bare("workflows", "stop", "toyreview-1", "--reason", "sent twice")
    assert (said.code, said.out) == (0, "execution toyreview-1 of ToyReview is stopped\n")
    [stopped] = bare("workflows", "list", "--status", "ABORTED", "--json").json["executions"]
    assert stopped["execution"] == "toyreview-1"

    again = bare("workflows", "stop", "toyreview-1")

    assert again.code == 1
    assert "over already: ABORTED" in again.err


def test_a_name_that_two_workflows_have_needs_the_workflow(bare: Cli, states: Any) -> None:
    for machine in states.list_state_machines()["stateMachines"]:
        states.start_execution(stateMachineArn=machine["stateMachineArn"], name="twin", input="{}")

    said = bare("workflows", "show", "twin")
    assert said.code == 2
    assert "say which with --workflow" in said.err

    assert (
        bare("workflows", "show", "twin", "--workflow", "ToyReview", "--json").json["execution"]["status"] == "RUNNING"
    )


def test_an_execution_is_shown_with_its_runs_and_what_waits(cli: Cli, states: Any, make_bench: MakeBench) -> None:
    bench: Bench = make_bench(workflow_toys.REGISTRY)
    step = bench.machines.enter()
    meta = {"correlationId": "toyreview-1"}
    body = {
        "job": "toy-wait",
        "taskToken": step.token,
        "payload": {"tenantId": "acme", "reviewId": "r1", "_meta": meta},
    }
    bench.send_raw(workflow_toys.REVIEWS.name, json.dumps(body))
    bench.pump(workflow_toys.REVIEWS.name)

    found = cli("workflows", "show", "toyreview-1", "--json").json
    shown = cli("workflows", "show", "toyreview-1").out

    assert found["execution"]["workflow"] == "ToyReview"
    assert found["input"] == {"tenantId": "acme"}
    assert [run["job"] for run in found["runs"]] == ["toy-wait"]
    assert [waiting["job"] for waiting in found["waiting"]] == ["toy-wait"]
    assert found["steps"][0]["what"] == "ExecutionStarted"
    assert "steps that wait for an answer:" in shown
    run_id = found["runs"][0]["run_id"]
    payload = cli("runs", "show", run_id, "--payload")
    assert '"taskToken": "(not shown)"' in payload.out
    for said in (shown, str(found), payload.out):
        assert step.token not in said
