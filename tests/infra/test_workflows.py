"""What a definition file becomes, what is refused in one, and who may touch the machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.app import build
from infra.workflows import Workflow, WorkflowError, expand, load
from infra.workflows.definition import FOLDER
from shared.jobs.registry import build_registry, load_registry
from tests import workflow_toys as toys
from tests.infra.stand_in import registry as stand_in
from tests.infra.synthesis import Resource, Synthesized, synthesize

FILES = Path(__file__).with_name("workflows")
TOY = load(FILES)[0]


def expanded(workflow: Workflow = TOY) -> dict[str, Any]:
    return expand(workflow, toys.REGISTRY, lambda queue: f"https://queues/{queue}")


def changed(change: Callable[[dict[str, Any]], Any]) -> Workflow:
    """The toy workflow with a change made to its definition."""
    definition: dict[str, Any] = deepcopy(dict(TOY.definition))
    change(definition)
    return Workflow("ToyReview", definition)


def test_a_job_step_waits_for_its_token_with_the_tenant_and_the_execution_s_name() -> None:
    step = expanded()["States"]["Check"]

    assert step == {
        "Type": "Task",
        "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
        "Parameters": {
            "QueueUrl": "https://queues/toy-reviews",
            "MessageGroupId.$": "$$.Execution.Input.tenantId",
            "MessageBody": {
                "job": "toy-check",
                "taskToken.$": "$$.Task.Token",
                "payload": {
                    "reviewId.$": "$.reviewId",
                    "act.$": "$.act",
                    "tenantId.$": "$$.Execution.Input.tenantId",
                    "_meta": {"correlationId.$": "$$.Execution.Name"},
                },
            },
        },
        "TimeoutSeconds": 60,
        "ResultPath": "$.check",
        "Next": "Wait",
    }


def test_steps_of_branches_are_jobs_too() -> None:
    branch: dict[str, Any] = {
        "StartAt": "Inner",
        "States": {"Inner": {**TOY.definition["States"]["Check"], "Next": "End"}},
    }
    branch["States"]["End"] = {"Type": "Succeed"}
    parallel = {"Type": "Parallel", "Branches": [branch], "Next": "Wait"}
    workflow = changed(lambda d: d["States"].update(Check=parallel))

    inner = expanded(workflow)["States"]["Check"]["Branches"][0]["States"]["Inner"]

    assert inner["Parameters"]["MessageBody"]["job"] == "toy-check"
    assert workflow.jobs == ("toy-check", "toy-wait")


REFUSED = [
    pytest.param(lambda d: d.pop("TimeoutSeconds"), "TimeoutSeconds at the top", id="an execution without end"),
    pytest.param(
        lambda d: d["States"]["Check"].pop("TimeoutSeconds"), "Check: give TimeoutSeconds", id="a step without end"
    ),
    pytest.param(lambda d: d["States"]["Check"].update(Job="toy-chek"), "there is no 'toy-chek'", id="no such job"),
    pytest.param(lambda d: d["States"]["Check"].update(Resource="arn"), "leave them out", id="a resource of its own"),
    pytest.param(lambda d: d["States"]["Check"]["Payload"].update(colour=1), "no field colour", id="an unknown field"),
    pytest.param(lambda d: d["States"]["Check"].update(Payload={}), "needs the field reviewId", id="a missing field"),
    pytest.param(lambda d: d["States"]["Check"].update(Next="Nowhere"), "leads to 'Nowhere'", id="a way to nowhere"),
    pytest.param(
        lambda d: d["States"]["Check"].update(Next="Done"), "nothing leads to Wait", id="a state out of reach"
    ),
    pytest.param(lambda d: d.update(StartAt="Begin"), "StartAt 'Begin'", id="no start"),
    pytest.param(lambda d: d["States"]["Check"].update(ResultPath=None), "ResultPath is null", id="a null"),
]


@pytest.mark.parametrize(("change", "says"), REFUSED)
def test_a_definition_that_would_fail_or_hang_is_refused(change: Callable[[dict[str, Any]], Any], says: str) -> None:
    with pytest.raises(WorkflowError, match=says):
        expanded(changed(change))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        pytest.param("toy_review", "{}", "CamelCase", id="a name that is no name"),
        pytest.param("ToyReview", "{", "no JSON", id="no JSON"),
        pytest.param("ToyReview", "[]", "JSON object", id="no object"),
    ],
)
def test_a_file_that_is_no_workflow_is_refused(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / f"{name}.asl.json").write_text(text, encoding="utf-8")

    with pytest.raises(WorkflowError, match=says):
        load(tmp_path)


def test_the_projects_own_workflows_can_be_deployed() -> None:
    for workflow in load(FOLDER):
        expand(workflow, load_registry(), lambda queue: queue)


# The stack.


PARCELS = Workflow(
    "ParcelReview",
    {
        "StartAt": "Track",
        "TimeoutSeconds": 60,
        "States": {"Track": {"Type": "Task", "Job": "parcel-track", "TimeoutSeconds": 5, "End": True}},
    },
)


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """The stand-in app; parcel-track is a step of ParcelReview, parcel-report starts it."""
    jobs = [replace(job, workflows=("ParcelReview",)) if job.id == "parcel-report" else job for job in stand_in()]
    return synthesize(build_registry(jobs), tmp_path_factory.mktemp("parcels"), workflows=[PARCELS])


def statements(role: Resource) -> dict[str, Any]:
    found = [s for policy in role["Properties"]["Policies"] for s in policy["PolicyDocument"]["Statement"]]
    return {statement["Sid"]: statement for statement in found}


def text(value: Any) -> str:
    return json.dumps(value)


def test_a_machine_is_standard_and_may_send_to_its_jobs_queues_only(parcels: Synthesized) -> None:
    [machine] = parcels.of_type("AWS::StepFunctions::StateMachine").values()
    role = statements(parcels.stacks["cgk-workflows"]["ParcelReviewRole"])

    assert machine["Properties"]["StateMachineName"] == "cgk-ParcelReview"
    assert machine["Properties"]["StateMachineType"] == "STANDARD"
    assert role.keys() == {"CallJobs"}
    assert role["CallJobs"]["Action"] == ["sqs:SendMessage"]
    assert [text(arn).split(":")[-1].rstrip('"]}') for arn in role["CallJobs"]["Resource"]] == ["cgk-parcels"]


@pytest.mark.parametrize(
    ("role", "may"),
    [
        pytest.param("CommerceFastRole", {"AnswerSteps"}, id="its jobs are steps"),
        pytest.param("CommerceBulkRole", set(), id="has nothing to do with workflows"),
        pytest.param("ScheduledFastRole", {"AnswerSteps", "StartExecutions", "LookAtExecutions"}, id="starts one"),
        pytest.param("KernelSweepRole", {"AnswerSteps", "StartExecutions"}, id="sends what was left behind"),
        pytest.param("KernelProvisionRole", set(), id="another kernel function"),
    ],
)
def test_only_functions_that_need_it_may_touch_workflows(parcels: Synthesized, role: str, may: set[str]) -> None:
    [found] = [r for name, r in parcels.of_type("AWS::IAM::Role").items() if name == role]
    allowed = {sid: s for sid, s in statements(found).items() if "states:" in text(s["Action"])}

    assert allowed.keys() == may
    assert all(
        text(s["Resource"]).endswith('ParcelReview"]]}]') for sid, s in allowed.items() if sid == "StartExecutions"
    )
    [function] = [
        f for f in parcels.of_type("AWS::Lambda::Function").values() if text(f["Properties"]["Role"]).count(f'"{role}"')
    ]
    variables = function["Properties"]["Environment"]["Variables"]
    assert ("CGK_WORKFLOWS" in variables) == bool(may)
    if may:
        assert text(variables["CGK_WORKFLOWS"]).endswith(':stateMachine:cgk-"]]}')


def test_switched_off_there_are_no_machines_and_nobody_may_touch_any(tmp_path: Path) -> None:
    off = synthesize(stand_in(), tmp_path, {"cgk:workflows": "off"}, workflows=[PARCELS])

    assert "cgk-workflows" not in off.stacks
    assert "states:" not in text(off.stacks)


def test_a_job_that_names_a_workflow_which_is_not_there_is_refused() -> None:
    with pytest.raises(WorkflowError, match=r"toy-begin: there is no workflow ToyReview; add infra/workflows"):
        build(toys.REGISTRY)
