"""cgk-jobs doctor --stage: a whole stage is well, and each thing that is amiss in it is named."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import boto3
import psycopg
import pytest

from shared.cli.checks import aws as aws_checks
from shared.cli.checks import stage as stage_checks
from shared.cli.checks.stage import KERNEL
from shared.cli.platform import Platform
from shared.db.partitions import ensure_partitions
from shared.jobs.crons import Cron, Tick
from shared.jobs.declaration import job
from shared.jobs.ports import SystemClock
from shared.jobs.registry import build_registry
from tests import toys as toy_jobs
from tests.conftest import ENCRYPTION_KEY
from tests.shared.cli.conftest import Cli

ACCOUNT = "123456789012"
GROUP = f"stg-{aws_checks.CRON_GROUP}"
SWEEP = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:stg-kernel-sweep"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}


@job("toy-tick", cron=Cron("0 * * * *", zone="UTC", scope="tenant"), queue=toy_jobs.TOYS, timeout_s=30)
def tick(ctx: Any, payload: Tick) -> toy_jobs.ToyResult:
    """Ticks."""
    return toy_jobs.ToyResult(n=1, attempt=1)


REGISTRY = build_registry([*toy_jobs.REGISTRY, replace(tick, module=toy_jobs.__name__)])


@pytest.fixture
def staged(cli: Cli, aws: None, admin: psycopg.Connection[Any], database_url: str, admin_url: str) -> Cli:
    """The toy jobs as stage staging, in an account and with a prefix of its own; the URLs stand in its secrets."""
    stage = {"prefix": "stg", "account": ACCOUNT, "region": "us-east-1"}
    text = json.dumps({"context": {"cgk:stages": {"staging": stage}}})
    (cli.platform.root / "cdk.json").write_text(text)
    cli.platform = Platform(environ={}, root=cli.platform.root, load=lambda: REGISTRY, clock=SystemClock())
    ensure_partitions(admin, datetime.now(UTC).date())
    boto3.client("events").create_event_bus(Name="stg")
    boto3.client("scheduler").create_schedule_group(Name=GROUP)
    for name in (*(f"kernel-{name}" for name in KERNEL), "toys-fast", "toys-bulk"):
        function(f"stg-{name}")
    for name in KERNEL:
        schedule(f"stg-kernel-{name}", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:stg-kernel-{name}")
    for binding in REGISTRY.queues():
        queue(f"stg-{binding.name}", f"stg-toys-{'bulk' if binding.bulk else 'fast'}")
    for each in REGISTRY:
        if each.cron is not None:
            schedule(f"stg-{each.id}", arn(f"stg-{each.queue_name}"), each.cron.to_eventbridge())
        else:
            rule(each.id, each.queue_name, [event.event_name for event in each.on])
    jobs = {"DATABASE_URL": database_url, "INTEGRATION_ENCRYPTION_KEY": ENCRYPTION_KEY}
    secrets = boto3.client("secretsmanager")
    secrets.create_secret(Name="stg/jobs", SecretString=json.dumps(jobs))
    secrets.create_secret(Name="stg/admin", SecretString=json.dumps(jobs | {"DATABASE_ADMIN_URL": admin_url}))
    return cli


def arn(queue: str) -> str:
    return f"arn:aws:sqs:us-east-1:{ACCOUNT}:{queue}"


def a_zip(code: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr(zipfile.ZipInfo("handler.py"), code)
    return archive.getvalue()


def function(name: str, stage: str = "staging", code: str = "") -> None:
    role = boto3.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    boto3.client("lambda").create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=role,
        Handler="handler.main",
        Code={"ZipFile": a_zip(code)},
        Environment={"Variables": {"CGK_STAGE": stage}},
    )


def queue(name: str, function: str) -> None:
    sqs = boto3.client("sqs")
    sqs.create_queue(QueueName=f"{name}-dlq")
    sqs.create_queue(QueueName=name)
    boto3.client("lambda").create_event_source_mapping(EventSourceArn=arn(name), FunctionName=function)


def rule(job_id: str, queue_name: str, events: list[str]) -> None:
    client = boto3.client("events")
    client.put_rule(Name=f"stg-{job_id}", EventBusName="stg", EventPattern=json.dumps({"detail-type": events}))
    bind(job_id, queue_name)


def bind(job_id: str, queue_name: str, **changes: Any) -> None:
    target = {
        "Id": "queue",
        "Arn": arn(f"stg-{queue_name}"),
        "DeadLetterConfig": {"Arn": arn(f"stg-{queue_name}-dlq")},
        "SqsParameters": {"MessageGroupId": "$.detail.tenantId"},
    }
    target = {name: value for name, value in (target | changes).items() if value is not None}
    boto3.client("events").put_targets(Rule=f"stg-{job_id}", EventBusName="stg", Targets=[target])


def schedule(name: str, target: str, expression: str = "rate(5 minutes)", **changes: Any) -> None:
    client = boto3.client("scheduler")
    call = client.update_schedule if changes else client.create_schedule
    call(
        **{
            "Name": name,
            "GroupName": GROUP,
            "ScheduleExpression": expression,
            "ScheduleExpressionTimezone": "UTC",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "State": "ENABLED",
            "Target": {"Arn": target, "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/scheduler"},
            **changes,
        }
    )


def doctor(cli: Cli) -> tuple[int, dict[str, Any]]:
    said = cli("doctor", "--stage", "staging", "--json")
    return said.code, {check["name"]: check for check in said.json["checks"]}


def test_whole_stage_is_well(staged: Cli) -> None:
    code, checks = doctor(staged)

    assert [check for check in checks.values() if not check["ok"]] == []
    assert [name for name, check in checks.items() if check["warning"]] == ["deployment"]
    assert code == 0
    assert checks["settings"]["message"].startswith("from stage staging: bus stg, queues stg-*")
    assert checks["account"]["message"] == f"account {ACCOUNT}"
    assert checks["functions"]["message"] == "6 functions of stage staging"
    assert checks["ticking"]["message"] == "5 schedules are on and lead to their queues and kernel functions"
    assert checks["time zones"]["message"] == "2 tenants, each with one time zone"
    assert ENCRYPTION_KEY not in str(checks)


def test_environment_of_the_developer_says_nothing_of_a_stage(staged: Cli) -> None:
    staged.platform.environ.update({"DATABASE_URL": "postgresql://mine", "INTEGRATION_ENCRYPTION_KEY": "mine"})
    (staged.platform.root / ".dev").mkdir()
    (staged.platform.root / ".dev" / "env").write_text("CGK_BUS=cgk\n")

    code, _ = doctor(staged)

    assert code == 0


AMISS: list[Any] = [
    pytest.param(
        lambda: bind("toy-play", "other-toys"),
        "targets",
        "the rule of toy-play does not lead to stg-toys: deploy",
        id="rule to another queue",
    ),
    pytest.param(
        lambda: bind("toy-play", "toys", DeadLetterConfig=None),
        "targets",
        "the rule of toy-play has no dead-letter queue",
        id="rule without dead-letter queue",
    ),
    pytest.param(
        lambda: bind("toy-play", "toys", SqsParameters=None),
        "targets",
        "the rule of toy-play gives its messages no group",
        id="rule without tenant as group",
    ),
    pytest.param(
        lambda: boto3.client("lambda").delete_function(FunctionName="stg-kernel-sweep"),
        "functions",
        "stg-kernel-sweep is missing",
        id="function missing",
    ),
    pytest.param(
        lambda: boto3.client("lambda").update_function_configuration(
            FunctionName="stg-toys-fast", Environment={"Variables": {"CGK_STAGE": "production"}}
        ),
        "functions",
        "stg-toys-fast says it is of stage production",
        id="function of another stage",
    ),
    pytest.param(
        lambda: boto3.client("lambda").update_function_configuration(
            FunctionName="stg-toys-fast", Runtime="python3.12"
        ),
        "versions",
        "functions differ in runtimes: a deploy ended halfway",
        id="runtimes differ",
    ),
    pytest.param(
        lambda: boto3.client("lambda").update_function_code(FunctionName="stg-toys-fast", ZipFile=a_zip("newer")),
        "versions",
        "functions differ in code",
        id="one function of a newer version",
    ),
    pytest.param(
        lambda: boto3.client("scheduler").delete_schedule(Name="stg-toy-tick", GroupName=GROUP),
        "ticking",
        "stg-toy-tick is missing",
        id="no schedule",
    ),
    pytest.param(
        lambda: schedule(
            "stg-kernel-sweep", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:stg-kernel-sweep", State="DISABLED"
        ),
        "ticking",
        "stg-kernel-sweep is off",
        id="kernel's schedule off",
    ),
    pytest.param(
        lambda: schedule("stg-toy-tick", arn("stg-other-toys"), "cron(0 * * * ? *)", State="ENABLED"),
        "ticking",
        "stg-toy-tick does not lead to stg-toys",
        id="schedule to another queue",
    ),
]


@pytest.mark.parametrize(("harm", "name", "says"), AMISS)
def test_what_is_amiss_in_a_stage_is_named(staged: Cli, harm: Callable[[], Any], name: str, says: str) -> None:
    harm()

    code, checks = doctor(staged)

    assert code == 1
    assert says in checks[name]["message"]
    assert not checks[name]["ok"]


def test_deployment_that_runs_is_named_and_one_that_was_killed_is_a_problem(staged: Cli) -> None:
    s3, bucket = boto3.client("s3"), f"stg-{ACCOUNT}-us-east-1"
    s3.create_bucket(Bucket=bucket)
    current = {"id": "1", "commit": "0123456789ab", "at": "2026-01-15T12:00:00Z", "previous": None}
    s3.put_object(Bucket=bucket, Key="deployments/current.json", Body=json.dumps(current).encode())

    assert doctor(staged)[1]["deployment"]["message"] == "0123456789ab of 2026-01-15T12:00 is deployed"

    s3.put_object(Bucket=bucket, Key="deployments/begun.json", Body=b"{}")
    code, checks = doctor(staged)
    assert code == 1
    assert "under way, or was killed" in checks["deployment"]["message"]


def test_other_commit_than_this_checkout_s_is_a_warning(staged: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    s3, bucket = boto3.client("s3"), f"stg-{ACCOUNT}-us-east-1"
    s3.create_bucket(Bucket=bucket)
    current = {"id": "1", "commit": "0123456789ab-changed", "at": "2026-01-15T12:00:00Z", "previous": None}
    s3.put_object(Bucket=bucket, Key="deployments/current.json", Body=json.dumps(current).encode())

    monkeypatch.setattr(stage_checks, "_commit", lambda platform: "0123456789ab")
    assert doctor(staged)[1]["deployment"]["warning"] is False
    monkeypatch.setattr(stage_checks, "_commit", lambda platform: "ffffffffffff")
    assert "this checkout is ffffffffffff" in doctor(staged)[1]["deployment"]["message"]


def test_credentials_of_another_account_are_a_problem(staged: Cli) -> None:
    text = json.dumps({"context": {"cgk:stages": {"staging": {"prefix": "stg", "account": "999999999999"}}}})
    (staged.platform.root / "cdk.json").write_text(text)

    _, checks = doctor(staged)

    assert checks["account"]["message"].startswith(
        f"these credentials lead to account {ACCOUNT}, stage staging is in 9"
    )


def test_time_zones_of_a_tenant_that_differ_are_a_warning(staged: Cli, admin: psycopg.Connection[Any]) -> None:
    admin.execute("""UPDATE organizations SET settings = '{"timezone": "Europe/Berlin"}' WHERE slug = 'acme'""")
    admin.execute("INSERT INTO tenant_acme.analytics_settings (timezone) VALUES ('America/New_York')")

    code, checks = doctor(staged)

    assert code == 0
    assert checks["time zones"]["warning"] is True
    assert "acme (organization Europe/Berlin, analytics America/New_York)" in checks["time zones"]["message"]
    assert "warning  time zones" in staged("doctor", "--stage", "staging").out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"context": {"cgk:stages": {"staging": {}}}}', "there is no stage 'stagin'; did you mean staging?"),
        ("{}", "there is no stage 'stagin'; did you mean staging?; there are dev, staging, production"),
        ("{", "cdk.json is no JSON"),
    ],
)
def test_unknown_stage_is_wrong_use(bare: Cli, text: str, says: str) -> None:
    (bare.platform.root / "cdk.json").write_text(text)

    said = bare("doctor", "--stage", "stagin")

    assert said.code == 2
    assert says in said.err


def test_bus_per_category_is_looked_at(staged: Cli) -> None:
    stages = {"staging": {"prefix": "stg", "buses": "per-category"}}
    (staged.platform.root / "cdk.json").write_text(json.dumps({"context": {"cgk:stages": stages}}))
    boto3.client("events").create_event_bus(Name="stg-toys")

    _, checks = doctor(staged)

    assert "has none" in checks["rules"]["message"]
    assert "the rule of toy-" in checks["targets"]["message"]
