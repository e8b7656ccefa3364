"""What the templates must say, derived from the registry: for the project's own jobs and for a small stand-in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infra.constructs.routes import message_template
from infra.deployment import Deployment, DeploymentError
from infra.names import logical_id
from tests.infra.stand_in import registry as stand_in
from tests.infra.synthesis import Resource, Synthesized, synthesize


def test_every_event_job_has_one_rule_that_stamps_its_id_and_tenant(app: Synthesized) -> None:
    rules = {r["Properties"]["Name"]: r["Properties"] for r in app.of_type("AWS::Events::Rule").values()}
    event_jobs = [job for job in app.registry if job.on]
    assert set(rules) == {f"cgk-{job.id}" for job in event_jobs}
    for job in event_jobs:
        rule = rules[f"cgk-{job.id}"]
        assert rule["EventBusName"] == "cgk"
        assert rule["EventPattern"] == {"detail-type": sorted(event.event_name for event in job.on)}
        (target,) = rule["Targets"]
        assert target["SqsParameters"] == {"MessageGroupId": "$.detail.tenantId"}
        assert target["InputTransformer"]["InputTemplate"] == message_template(job.id)
        assert target["Arn"] == _arn(job.queue_name, "queue")
        assert target["DeadLetterConfig"] == {"Arn": _arn(job.queue_name, "dlq")}


def test_the_message_template_is_json_once_its_placeholders_are_filled() -> None:
    template = message_template("parcel-track")
    filled = template.replace("<payload>", "{}")
    for name in ("event", "id", "source", "time"):
        filled = filled.replace(f"<{name}>", '"x"')
    assert set(json.loads(filled)) == {"job", "event", "id", "source", "time", "payload"}


def test_every_queue_has_a_dead_letter_queue_and_one_mapping_of_its_class(app: Synthesized) -> None:
    mappings = app.of_type("AWS::Lambda::EventSourceMapping").values()
    assert len(mappings) == len(app.registry.queues())
    for binding in app.registry.queues():
        stack = f"cgk-{binding.category}"
        queue = app.of_type("AWS::SQS::Queue", stack)[logical_id(binding.name, "queue")]["Properties"]
        kind, timeout, batch = ("bulk", 900, 1) if binding.bulk else ("fast", 90, 10)
        assert queue["QueueName"] == f"cgk-{binding.name}"
        assert queue["VisibilityTimeout"] == 6 * timeout
        assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
        assert queue["RedrivePolicy"] == {"deadLetterTargetArn": _arn(binding.name, "dlq"), "maxReceiveCount": 50}
        (mapping,) = (
            m["Properties"] for m in mappings if m["Properties"]["EventSourceArn"] == _arn(binding.name, "queue")
        )
        assert mapping["BatchSize"] == batch
        assert mapping["FunctionName"] == {"Ref": logical_id(binding.category, kind, "function")}
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert mapping["ScalingConfig"]["MaximumConcurrency"] >= 2


def test_functions_are_of_their_class_and_may_call_themselves_through_queues(app: Synthesized) -> None:
    functions = {
        f["Properties"]["FunctionName"]: f["Properties"] for f in app.of_type("AWS::Lambda::Function").values()
    }
    classes = {f"cgk-{b.category}-{'bulk' if b.bulk else 'fast'}" for b in app.registry.queues()}
    kernel = {f"cgk-kernel-{name}" for name in ("sweep", "provision", "partitions", "ticks")}
    assert set(functions) == classes | kernel
    for name, function in functions.items():
        assert function["Runtime"] == "python3.13"
        assert function["Architectures"] == ["arm64"]
        assert function["RecursiveLoop"] == ("Allow" if name in classes else "Terminate")
        assert "ReservedConcurrentExecutions" not in function
        if name in classes:
            assert function["Timeout"] == (900 if name.endswith("-bulk") else 90)


def test_no_secret_is_in_a_function_environment_and_one_secret_is_for_ddl_only(app: Synthesized) -> None:
    for function in app.of_type("AWS::Lambda::Function").values():
        variables = function["Properties"]["Environment"]["Variables"]
        assert not {"DATABASE_URL", "DATABASE_ADMIN_URL", "INTEGRATION_ENCRYPTION_KEY"} & variables.keys()
        assert not [name for name in variables if name.endswith(("_TOKEN", "_PASSWORD", "_KEY"))]
    readers = {
        name
        for name, role in app.of_type("AWS::IAM::Role").items()
        if "secret:cgk/admin" in json.dumps(role["Properties"])
    }
    assert readers == {"KernelProvisionRole", "KernelPartitionsRole"}


def test_roles_name_their_actions_and_never_all_resources(app: Synthesized) -> None:
    for role in app.of_type("AWS::IAM::Role").values():
        for statement in _statements(role):
            assert statement["Effect"] == "Allow"
            assert not [action for action in statement["Action"] if "*" in action]
            if statement["Sid"] not in ("ReadMetrics", "AnswerSteps"):  # their actions know no resource
                assert "*" not in statement["Resource"]


def test_a_job_function_drains_its_own_queues_only(app: Synthesized) -> None:
    roles = app.of_type("AWS::IAM::Role")
    for category, bulk in {(b.category, b.bulk) for b in app.registry.queues()}:
        role = roles[logical_id(category, "bulk" if bulk else "fast", "role")]
        (drain,) = (s for s in _statements(role) if s["Sid"] == "DrainQueues")
        own = [b.name for b in app.registry.queues(category) if b.bulk == bulk]
        assert drain["Resource"] == [_arn(name, "queue") for name in own]


def test_only_rules_of_this_bus_may_write_to_the_queues(app: Synthesized) -> None:
    for category in app.registry.categories:
        (policy,) = app.of_type("AWS::SQS::QueuePolicy", f"cgk-{category}").values()
        statement, never = policy["Properties"]["PolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        assert (never["Effect"], never["Condition"]) == ("Deny", {"Bool": {"aws:SecureTransport": "false"}})
        assert ":rule/cgk/cgk-*" in json.dumps(statement["Condition"]["ArnLike"])
        queues = app.of_type("AWS::SQS::Queue", f"cgk-{category}")
        assert {q["Ref"] for q in policy["Properties"]["Queues"]} == set(queues)


def test_kernel_functions_run_on_schedules(app: Synthesized) -> None:
    schedules = app.of_type("AWS::Scheduler::Schedule", "cgk-kernel").values()
    assert {s["Properties"]["Name"]: s["Properties"]["ScheduleExpression"] for s in schedules} == {
        "cgk-kernel-sweep": "rate(1 minute)",
        "cgk-kernel-provision": "rate(5 minutes)",
        "cgk-kernel-partitions": "rate(1 day)",
        "cgk-kernel-ticks": "rate(5 minutes)",
    }


def test_every_cron_job_has_one_schedule_in_its_own_zone(app: Synthesized) -> None:
    found = [s for c in app.registry.categories for s in app.of_type("AWS::Scheduler::Schedule", f"cgk-{c}").values()]
    schedules = {s["Properties"]["Name"]: s["Properties"] for s in found}
    assert set(schedules) == {f"cgk-{job.id}" for job in app.registry.crons}
    for job in app.registry.crons:
        schedule = schedules[f"cgk-{job.id}"]
        assert job.cron is not None
        assert schedule["ScheduleExpression"] == job.cron.to_eventbridge()
        assert schedule["ScheduleExpressionTimezone"] == job.cron.zone
        assert (schedule["State"], schedule["FlexibleTimeWindow"]) == ("ENABLED", {"Mode": "OFF"})
        assert schedule["GroupName"] == "cgk-crons"
        target = schedule["Target"]
        tick = {"job": job.id, "tick": "<aws.scheduler.scheduled-time>", "payload": {}}
        assert json.loads(target["Input"]) == tick
        assert target["Arn"] == _arn(job.queue_name, "queue")
        assert target["DeadLetterConfig"] == {"Arn": _arn(job.queue_name, "dlq")}
        assert 60 <= target["RetryPolicy"]["MaximumEventAgeInSeconds"] <= (job.cron.max_late_s or 3600)


def test_the_scheduler_may_send_to_the_queues_of_crons_only(tmp_path: Path) -> None:
    app = synthesize(stand_in(), tmp_path)
    role = app.of_type("AWS::IAM::Role", "cgk-commerce")["SchedulesRole"]
    (statement,) = _statements(role)
    trusted = role["Properties"]["AssumeRolePolicyDocument"]["Statement"][0]["Principal"]
    assert trusted == {"Service": "scheduler.amazonaws.com"}
    assert statement["Action"] == ["sqs:SendMessage"]
    assert statement["Resource"] == [_arn("parcels-bulk", "queue"), _arn("parcels-bulk", "dlq")]


def test_stacks_stay_below_the_limit_and_export_nothing(app: Synthesized) -> None:
    for resources in app.stacks.values():
        assert len(resources) <= 500
        assert "Fn::ImportValue" not in json.dumps(resources)


def test_what_is_emitted_with_a_delay_may_be_sent_to_its_listeners(tmp_path: Path) -> None:
    app = synthesize(stand_in(), tmp_path)
    roles = app.of_type("AWS::IAM::Role")
    (send,) = (s for s in _statements(roles["CommerceFastRole"]) if s["Sid"] == "SendMessages")
    assert ":cgk-parcel-counts" in json.dumps(send)
    assert ":cgk-parcel-reports" not in json.dumps(send)


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        ({"cgk:connection-budget": 20}, "could hold 23 database connections but cgk:connection-budget is 20"),
        ({"cgk:fast-concurrency": "1"}, "cgk:fast-concurrency: Input should be greater than or equal to 2"),
        ({"cgk:concurrency": '{"parcelz": 3}'}, "names no queue of the app: parcelz"),
        ({"cgk:concurrency": "{"}, "cgk:concurrency: Value error, is no JSON"),
        ({"cgk:bundle": "source"}, "are for the local engine"),
        ({"cgk:colour": "red"}, "cgk:colour: Extra inputs are not permitted"),
        ({"cgk:settings": {"DATABASE_URL": "x"}}, "DATABASE_URL is no <NAME>_URL"),
        ({"cgk:settings": {"META_APP_SECRET": "x"}}, "META_APP_SECRET is no <NAME>_URL"),
        ({"cgk:settings": {"ADMIN_URL": "https://me:secret@admin.example"}}, "ADMIN_URL: give an http address"),
    ],
)
def test_a_context_that_cannot_be_deployed_is_refused(context: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DeploymentError) as refused:
        synthesize(stand_in(), tmp_path, context)
    assert sentence in str(refused.value)


def test_the_context_may_raise_one_queue(tmp_path: Path) -> None:
    app = synthesize(
        stand_in(), tmp_path, {"cgk:concurrency": '{"parcels": 9}', "cgk:settings": '{"SHOPIFY_BASE_URL": "http://u"}'}
    )
    mapping = app.of_type("AWS::Lambda::EventSourceMapping")["ParcelsMapping"]["Properties"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 9}
    function = app.of_type("AWS::Lambda::Function")["CommerceFastFunction"]["Properties"]
    assert function["Environment"]["Variables"]["SHOPIFY_BASE_URL"] == "http://u"


def test_function_that_watches_may_see_all_queues_and_tell_the_alarm_topic(app: Synthesized) -> None:
    watching = {(job.category, job.bulk) for job in app.registry if job.blackout is not None}
    functions = app.of_type("AWS::Lambda::Function")
    for binding in app.registry.queues():
        name = (binding.category, "bulk" if binding.bulk else "fast")
        sids = {s["Sid"] for s in _statements(app.of_type("AWS::IAM::Role")[logical_id(*name, "role")])}
        variables = functions[logical_id(*name, "function")]["Properties"]["Environment"]["Variables"]
        watches = (binding.category, binding.bulk) in watching
        assert ({"TellAlarms", "WatchQueues", "ReadMetrics"} <= sids) is watches
        assert ("CGK_ALARM_TOPIC" in variables) is watches


ON_AWS_ONLY = ("AWS::Lambda::LayerVersion", "AWS::Events::Archive", "AWS::Logs::QueryDefinition")


def test_the_engine_gets_the_same_resources_but_for_what_it_does_not_know(tmp_path: Path) -> None:
    production = synthesize(stand_in(), tmp_path / "aws")
    context = {"cgk:target": "engine", "cgk:bundle": "source", "cgk:endpoint-url": "http://127.0.0.1:1"}
    local = synthesize(stand_in(), tmp_path / "engine", context)
    for stack, resources in production.stacks.items():
        expected = {(name, r["Type"]) for name, r in resources.items() if r["Type"] not in ON_AWS_ONLY}
        assert {(name, r["Type"]) for name, r in local.stacks[stack].items()} == expected


def test_defaults_are_production() -> None:
    assert Deployment.from_context({}) == Deployment(
        stage="production", target="aws", architecture="arm64", bundle="pip"
    )


def _arn(queue: str, part: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [logical_id(queue, part), "Arn"]}


def _statements(role: Resource) -> list[dict[str, Any]]:
    return [s for policy in role["Properties"]["Policies"] for s in policy["PolicyDocument"]["Statement"]]
