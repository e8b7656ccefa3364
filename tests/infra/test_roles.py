"""What each role may do, listed from the templates, against what the registry says that it needs; and no more."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra.names import logical_id
from infra.workflows import Workflow
from shared.jobs.registry import AnyJob, Registry, build_registry
from tests.infra.stand_in import registry as stand_in
from tests.infra.synthesis import Resource, Synthesized, synthesize

Rights = set[tuple[str, str]]
"""(action, resource): the resource as service and name, e.g. `sqs:cgk-parcels`."""

PLACES = {"AWS::Partition": "aws", "AWS::Region": "R", "AWS::AccountId": "A"}
KEY = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
REVIEW = Workflow(
    "ParcelReview",
    {
        "StartAt": "Track",
        "TimeoutSeconds": 60,
        "States": {"Track": {"Type": "Task", "Job": "parcel-track", "TimeoutSeconds": 5, "End": True}},
    },
)
PUBLISHERS: list[dict[str, Any]] = [
    {"name": "shop", "sources": ["shop.web", "shop.admin"], "principal": "arn:aws:iam::123456789012:role/shop"},
    {
        "name": "tools",
        "sources": ["tools"],
        "queues": ["parcels"],
        "oidc": {
            "provider-arn": "arn:aws:iam::123456789012:oidc-provider/oidc.vercel.com/team",
            "audience": "https://vercel.com/team",
            "subjects": ["owner:team:project:tools:environment:production"],
        },
    },
]


def with_review() -> Registry:
    """The stand-in registry; parcel-track is a step of ParcelReview, parcel-report starts it."""
    return build_registry(
        [replace(job, workflows=("ParcelReview",)) if job.id == "parcel-report" else job for job in stand_in()]
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Synthesized:
    """The stand-in app with a workflow and two publishers."""
    context = {"cgk:publishers": PUBLISHERS}
    return synthesize(with_review(), tmp_path_factory.mktemp("whole"), context, workflows=[REVIEW])


def test_a_job_function_may_do_what_its_jobs_need(app: Synthesized) -> None:
    assert app.registry.categories
    for category, bulk in {(b.category, b.bulk) for b in app.registry.queues()}:
        name = f"{category}-{'bulk' if bulk else 'fast'}"
        own = [job for job in app.registry if (job.category, job.bulk) == (category, bulk)]
        assert rights(app, logical_id(name, "role")) == of_jobs(name, own, app), name


def test_a_function_whose_jobs_start_or_are_steps_may_answer_and_start(whole: Synthesized) -> None:
    answer = {("states:SendTaskSuccess", "*"), ("states:SendTaskFailure", "*")}
    start = {
        ("states:StartExecution", "states:stateMachine:cgk-ParcelReview"),
        ("states:DescribeExecution", "states:execution:cgk-ParcelReview:*"),
    }
    for name, extra in {"commerce-fast": answer, "commerce-bulk": set(), "scheduled-fast": answer | start}.items():
        found = rights(whole, logical_id(name, "role"))
        assert {(action, resource) for action, resource in found if action.startswith("states:")} == extra, name


def test_what_is_no_job_may_do_what_is_written_here(whole: Synthesized) -> None:
    """All other roles of the app, by name; a role that is not in this table must not be there."""
    any_queue = {(action, "sqs:cgk-*") for action in ("sqs:SendMessage", "sqs:GetQueueUrl")}
    answer = {("states:SendTaskSuccess", "*"), ("states:SendTaskFailure", "*")}
    crons = {
        c: {
            ("sqs:SendMessage", f"sqs:cgk-{job.queue_name}{end}")
            for job in whole.registry.crons
            if job.category == c
            for end in ("", "-dlq")
        }
        for c in ("commerce", "scheduled")
    }
    expected: dict[tuple[str, str], Rights] = {
        ("cgk-commerce", "SchedulesRole"): crons["commerce"],
        ("cgk-scheduled", "SchedulesRole"): crons["scheduled"],
        ("cgk-shared", "DelayedRole"): {("sqs:SendMessage", "sqs:cgk-*"), ("events:PutEvents", "events:event-bus/cgk")},
        ("cgk-kernel", "SchedulerRole"): {
            ("lambda:InvokeFunction", f"lambda:function:cgk-kernel-{name}")
            for name in ("sweep", "provision", "partitions", "ticks")
        },
        ("cgk-kernel", "KernelProvisionRole"): base("kernel-provision", "admin"),
        ("cgk-kernel", "KernelPartitionsRole"): base("kernel-partitions", "admin"),
        ("cgk-kernel", "KernelTicksRole"): base("kernel-ticks", "jobs") | any_queue,
        ("cgk-kernel", "KernelSweepRole"): base("kernel-sweep", "jobs")
        | any_queue
        | RELAY
        | answer
        | {("states:StartExecution", "states:stateMachine:cgk-ParcelReview")},
        ("cgk-workflows", "ParcelReviewRole"): {("sqs:SendMessage", "sqs:cgk-parcels")},
        ("cgk-shared", "PublisherShopRole"): {("events:PutEvents", "events:event-bus/cgk")},
        ("cgk-shared", "PublisherToolsRole"): {
            ("events:PutEvents", "events:event-bus/cgk"),
            ("sqs:SendMessage", "sqs:cgk-parcels"),
            ("sqs:GetQueueUrl", "sqs:cgk-parcels"),
        },
    }
    of_functions = {"CommerceFastRole", "CommerceBulkRole", "ScheduledFastRole"}
    found = {
        (stack, role): rights(whole, role, stack)
        for stack in whole.stacks
        for role in whole.of_type("AWS::IAM::Role", stack)
        if role not in of_functions
    }
    assert found == expected


def test_a_publisher_publishes_under_its_own_sources_and_never_as_the_jobs(whole: Synthesized) -> None:
    role = whole.of_type("AWS::IAM::Role")["PublisherShopRole"]
    own, others, jobs = statements(role)

    assert own["Condition"] == {"StringEquals": {"events:source": ["shop.web", "shop.admin"]}}
    assert (others["Effect"], others["Condition"]) == (
        "Deny",
        {"ForAnyValue:StringNotEquals": {"events:source": ["shop.web", "shop.admin"]}},
    )
    assert (jobs["Effect"], jobs["Condition"]) == (
        "Deny",
        {"ForAnyValue:StringEquals": {"events:source": ["cgk.jobs"]}},
    )
    (trust,) = whole.of_type("AWS::IAM::Role")["PublisherToolsRole"]["Properties"]["AssumeRolePolicyDocument"][
        "Statement"
    ]
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert trust["Condition"]["StringEquals"] == {
        "oidc.vercel.com/team:aud": "https://vercel.com/team",
        "oidc.vercel.com/team:sub": ["owner:team:project:tools:environment:production"],
    }


def test_services_take_roles_on_for_this_account_only(whole: Synthesized) -> None:
    for role in whole.of_type("AWS::IAM::Role").values():
        (trust,) = role["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        service = trust["Principal"].get("Service")
        if service not in (None, "lambda.amazonaws.com"):  # Lambda names no account
            assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}, service


def test_no_template_holds_a_secret_or_a_wildcard_action(app: Synthesized) -> None:
    for stack, resources in app.stacks.items():
        text = json.dumps(resources)
        assert "resolve:secretsmanager" not in text, stack
        assert "postgresql://" not in text, stack
        assert "SecretString" not in text, stack
        assert "GenerateSecretString" not in text, stack
    for function in app.of_type("AWS::Lambda::Function").values():
        variables = function["Properties"]["Environment"]["Variables"]
        assert variables["CGK_SECRET_ID"] in ("cgk/jobs", "cgk/admin")
        named = [n for n in variables if n.endswith(("_URL", "_KEY", "_TOKEN", "_SECRET", "_PASSWORD"))]
        assert named == []
    for role in app.of_type("AWS::IAM::Role").values():
        assert not [a for s in statements(role) for a in s["Action"] if "*" in a]


def test_with_a_key_every_role_that_sends_may_use_it(tmp_path: Path) -> None:
    app = synthesize(stand_in(), tmp_path, {"cgk:kms": KEY}, workflows=[REVIEW])
    for stack in app.stacks:
        for name in app.of_type("AWS::IAM::Role", stack):
            found = rights(app, name, stack)
            reaches = any(action.startswith(("sqs:", "secretsmanager:")) for action, _ in found)
            assert (("kms:GenerateDataKey", KEY) in found) is reaches, name
            assert (("kms:Decrypt", KEY) in found) is reaches, name


# What a role needs, derived.

RELAY: Rights = {
    ("events:PutEvents", "events:event-bus/cgk"),
    ("s3:GetObject", "s3:cgk-A-R/payloads/*"),
    ("s3:PutObject", "s3:cgk-A-R/payloads/*"),
    ("s3:GetObject", "s3:cgk-A-R/payloads-long/*"),
    ("s3:PutObject", "s3:cgk-A-R/payloads-long/*"),
    ("s3:ListBucket", "s3:cgk-A-R"),
    ("scheduler:CreateSchedule", "scheduler:schedule/cgk-delayed/*"),
    ("iam:PassRole", "iam:role/cgk-delayed-R"),
}
"""Publishing, keeping large payloads, delaying: of every function that relays an outbox."""


def base(function: str, secret: str) -> Rights:
    """Of every function: its own log, one secret."""
    group = f"logs:log-group:/aws/lambda/cgk-{function}:*"
    return {
        ("logs:CreateLogStream", group),
        ("logs:PutLogEvents", group),
        ("secretsmanager:GetSecretValue", f"secretsmanager:secret:cgk/{secret}-??????"),
    }


def of_jobs(function: str, jobs: Sequence[AnyJob], app: Synthesized) -> Rights:
    """What a function needs for these jobs."""
    own = {job.queue_name for job in jobs}
    listeners = {
        other.queue_name for job in jobs for e in job.emits for other in app.registry.listeners.get(e.event_name, ())
    }
    drain = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes")
    found = base(function, "jobs") | RELAY | {(action, f"sqs:cgk-{queue}") for action in drain for queue in own}
    for name in own | listeners | {f"{queue}-dlq" for queue in own}:
        found |= {("sqs:SendMessage", f"sqs:cgk-{name}"), ("sqs:GetQueueUrl", f"sqs:cgk-{name}")}
    if any(job.blackout for job in jobs):
        found |= {
            ("sns:Publish", "sns:cgk-alarms"),
            ("sqs:GetQueueAttributes", "sqs:cgk-*"),
            ("sqs:GetQueueUrl", "sqs:cgk-*"),
            ("cloudwatch:GetMetricData", "*"),
        }
    for prefix in {prefix for job in jobs for prefix in job.files}:
        found |= {(action, f"s3:cgk-A-R/{prefix}/*") for action in ("s3:PutObject", "s3:AbortMultipartUpload")}
    return found | of_workflows(jobs, app)


def of_workflows(jobs: Sequence[AnyJob], app: Synthesized) -> Rights:
    """Answering by jobs that are steps or hold one; starting by jobs that say so."""
    steps = {id for workflow in app.workflows for id in workflow.jobs}
    started = {name for job in jobs for name in job.workflows}
    found: Rights = set()
    if started or any(job.id in steps for job in jobs):
        found |= {("states:SendTaskSuccess", "*"), ("states:SendTaskFailure", "*")}
    for name in started:
        found |= {
            ("states:StartExecution", f"states:stateMachine:cgk-{name}"),
            ("states:DescribeExecution", f"states:execution:cgk-{name}:*"),
        }
    return found


# What a role has, read.


def statements(role: Resource) -> list[dict[str, Any]]:
    return [s for policy in role["Properties"]["Policies"] for s in policy["PolicyDocument"]["Statement"]]


def rights(app: Synthesized, role: str, stack: str | None = None) -> Rights:
    """What the role is allowed, of the stack that holds it."""
    (holder,) = [name for name, resources in app.stacks.items() if role in resources and stack in (None, name)]
    resources = app.stacks[holder]
    return {
        (action, short(resource, resources))
        for statement in statements(resources[role])
        if statement["Effect"] == "Allow"
        for action in statement["Action"]
        for resource in statement["Resource"]
    }


def short(resource: Any, resources: Mapping[str, Resource]) -> str:
    """`sqs:cgk-parcels` of any form in which a template gives an ARN; an ARN of the context's stays whole."""
    if isinstance(resource, dict) and "Fn::GetAtt" in resource:
        target = resources[resource["Fn::GetAtt"][0]]
        properties = target["Properties"]
        if target["Type"] == "AWS::SQS::Queue":
            return f"sqs:{properties['QueueName']}"
        assert target["Type"] == "AWS::Lambda::Function"
        return f"lambda:function:{properties['FunctionName']}"
    if isinstance(resource, str):
        return resource
    separator, parts = resource["Fn::Join"]
    arn = separator.join(part if isinstance(part, str) else PLACES[part["Ref"]] for part in parts)
    _, _, service, _, _, name = arn.split(":", 5)
    return f"{service}:{name}"
