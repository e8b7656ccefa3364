"""cgk-jobs doctor: a whole deployment is well, and each thing that is amiss is named with what to do."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import psycopg
import pytest

from shared.cli.checks import Finding, some
from shared.cli.checks import database as checks
from shared.db.partitions import ensure_partitions
from shared.jobs.ports import SystemClock
from shared.jobs.testing import ManualClock
from tests import toys as toy_jobs
from tests.conftest import ENCRYPTION_KEY
from tests.shared.cli.conftest import Cli

NAMES = [
    "settings",
    "database",
    "login role",
    "clock",
    "migrations",
    "partitions",
    "tenants",
    "outbox",
    "encryption key",
    "bus",
    "queues",
    "dead letters",
    "rules",
    "schedules",
    "mappings",
    "secrets",
]
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}


@pytest.fixture
def deployed(cli: Cli, aws: None, admin: psycopg.Connection[Any]) -> Cli:
    """The toy jobs as the CDK app would deploy them, on the machine's own clock."""
    cli.platform.clock, cli.platform.queues_port = SystemClock(), None
    ensure_partitions(admin, datetime.now(UTC).date())
    boto3.client("events").create_event_bus(Name="cgk")
    functions = _functions()
    for binding in toy_jobs.REGISTRY.queues():
        _queue(binding.name, functions["bulk" if binding.bulk else "fast"])
    for job in toy_jobs.REGISTRY:
        pattern = {"detail-type": [event.event_name for event in job.on]}
        boto3.client("events").put_rule(Name=f"cgk-{job.id}", EventBusName="cgk", EventPattern=json.dumps(pattern))
    jobs = {"DATABASE_URL": "postgresql://jobs", "INTEGRATION_ENCRYPTION_KEY": ENCRYPTION_KEY}
    _secret("cgk/jobs", jobs)
    _secret("cgk/admin", jobs | {"DATABASE_ADMIN_URL": "postgresql://admin"})
    return cli


def _functions() -> dict[str, str]:
    role = boto3.client("iam").create_role(RoleName="toys", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("handler.py", "")
    for kind in ("fast", "bulk"):
        boto3.client("lambda").create_function(
            FunctionName=f"cgk-toys-{kind}",
            Runtime="python3.13",
            Role=role,
            Handler="handler.main",
            Code={"ZipFile": code.getvalue()},
        )
    return {kind: f"cgk-toys-{kind}" for kind in ("fast", "bulk")}


def _queue(name: str, function: str) -> None:
    sqs = boto3.client("sqs")
    sqs.create_queue(QueueName=f"cgk-{name}-dlq")
    url = sqs.create_queue(QueueName=f"cgk-{name}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    boto3.client("lambda").create_event_source_mapping(EventSourceArn=arn, FunctionName=function)


def _secret(name: str, value: dict[str, str]) -> None:
    boto3.client("secretsmanager").create_secret(Name=name, SecretString=json.dumps(value))


def problems(cli: Cli) -> dict[str, str]:
    found = cli("doctor", "--json").json
    return {check["name"]: check["message"] for check in found["checks"] if not check["ok"]}


def test_whole_deployment_is_well(deployed: Cli) -> None:
    said = deployed("doctor", "--json")

    assert problems(deployed) == {}
    assert said.code == 0
    assert said.json["ok"] is True
    assert [check["name"] for check in said.json["checks"]] == NAMES
    assert "ok       login role         owns nothing" in deployed("doctor").out
    assert ENCRYPTION_KEY not in said.out


def _no_dlq() -> None:
    sqs = boto3.client("sqs")
    sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName="cgk-toys-dlq")["QueueUrl"])


def _letter() -> None:
    sqs = boto3.client("sqs")
    sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="cgk-toys-dlq")["QueueUrl"], MessageBody="{}")


def _other_events() -> None:
    boto3.client("events").put_rule(
        Name="cgk-toy-dig", EventBusName="cgk", EventPattern='{"detail-type": ["toy.other"]}'
    )


def _no_mapping() -> None:
    functions = boto3.client("lambda")
    for mapping in functions.list_event_source_mappings()["EventSourceMappings"]:
        if mapping["EventSourceArn"].endswith(":cgk-toys"):
            functions.delete_event_source_mapping(UUID=mapping["UUID"])


def _other_key() -> None:
    value = {"DATABASE_URL": "postgresql://jobs", "INTEGRATION_ENCRYPTION_KEY": "another-key"}
    boto3.client("secretsmanager").put_secret_value(SecretId="cgk/jobs", SecretString=json.dumps(value))


AMISS: list[Any] = [
    pytest.param(
        lambda: boto3.client("events").delete_rule(Name="cgk-toy-play", EventBusName="cgk"),
        "rules",
        "toy-play has none: deploy the app",
        id="no rule",
    ),
    pytest.param(
        lambda: boto3.client("events").disable_rule(Name="cgk-toy-play", EventBusName="cgk"),
        "rules",
        "that of toy-play is disabled",
        id="disabled rule",
    ),
    pytest.param(_other_events, "rules", "that of toy-dig is for toy.other", id="rule of an older declaration"),
    pytest.param(_no_dlq, "queues", "missing: cgk-toys-dlq: deploy the app", id="no dead-letter queue"),
    pytest.param(_letter, "dead letters", "cgk-toys-dlq (1): look with `cgk-jobs dlq list", id="a dead letter"),
    pytest.param(_no_mapping, "mappings", "nothing drains cgk-toys", id="no mapping"),
    pytest.param(_other_key, "secrets", "another INTEGRATION_ENCRYPTION_KEY", id="other key"),
    pytest.param(
        lambda: boto3.client("secretsmanager").put_secret_value(SecretId="cgk/admin", SecretString="{}"),
        "secrets",
        "cgk/admin lacks DATABASE_ADMIN_URL",
        id="secret without its member",
    ),
]


@pytest.mark.parametrize(("harm", "name", "says"), AMISS)
def test_what_is_amiss_in_aws_is_named(deployed: Cli, harm: Callable[[], Any], name: str, says: str) -> None:
    harm()

    found = problems(deployed)

    assert says in found[name]
    assert "another-key" not in str(found)
    assert deployed("doctor").code == 1


def _no_partitions(admin: psycopg.Connection[Any]) -> None:
    admin.execute(f"DROP TABLE jobs.runs_{datetime.now(UTC):%Y%m%d}")


def _newcomer(admin: psycopg.Connection[Any]) -> None:
    admin.execute("INSERT INTO organizations (slug, name) VALUES ('newcomer', 'New')")


def _backlog(admin: psycopg.Connection[Any]) -> None:
    admin.execute(
        "INSERT INTO jobs.outbox (id, kind, tenant, target, body, created_at) "
        "VALUES (gen_random_uuid(), 'event', 'acme', 'x', '', now() - interval '1 hour')"
    )


@pytest.mark.parametrize(
    ("harm", "name", "says"),
    [
        (_no_partitions, "partitions", "run `cgk-jobs db migrate`"),
        (_newcomer, "tenants", "not provisioned: newcomer: run `cgk-jobs tenants provision`"),
        (_newcomer, "migrations", "tenant_newcomer"),
        (_backlog, "outbox", "1 rows wait in the outbox, the oldest since"),
    ],
    ids=["no partition of today", "tenant without schema", "schema to be made", "nobody sweeps"],
)
def test_what_is_amiss_in_the_database_is_named(
    cli: Cli, admin: psycopg.Connection[Any], harm: Callable[[Any], None], name: str, says: str
) -> None:
    cli.platform.clock = SystemClock()
    ensure_partitions(admin, datetime.now(UTC).date())
    harm(admin)

    looks = dict(checks.DATABASE_CHECKS)
    finding: Finding = looks[name](cli.platform)

    assert finding.problem
    assert says in finding.message


def test_owner_s_login_is_a_problem(cli: Cli, admin_url: str) -> None:
    cli.platform.environ["DATABASE_URL"] = admin_url

    finding = checks.login_role(cli.platform)

    assert finding.problem
    assert "is a superuser, inherits" in finding.message


def test_clocks_that_differ_are_a_problem(cli: Cli) -> None:
    off = ManualClock(datetime.now(UTC) + timedelta(minutes=2))
    cli.platform.clock = off

    finding = checks.clock(cli.platform)

    assert finding.problem
    assert "synchronise both" in finding.message


def test_what_cannot_be_reached_is_reported_once(bare: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")

    said = bare("doctor", "--json")

    assert said.code == 1
    assert {check["name"]: check["ok"] for check in said.json["checks"]} == {
        "settings": True,
        "database": False,
        "bus": False,
    }


def test_long_lists_are_cut() -> None:
    assert some(["a", "b"]) == "a, b"
    assert some([str(n) for n in range(7)]) == "0, 1, 2, 3, 4 and 2 more"
