"""The settings of a stage: read, typed, checked; and the stages of the project's own cdk.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from infra import app as cdk_app
from infra.deployment import STAGES_KEY, Deployment, DeploymentError
from infra.workflows import load
from shared.jobs.registry import load_registry
from tests.conftest import ROOT
from tests.infra.stand_in import registry as stand_in
from tests.infra.synthesis import synthesize
from tests.infra.test_roles import KEY, PUBLISHERS
from tests.infra.test_security_rules import LOGIN, NETWORK

STAGES = {
    "dev": {"prefix": "cgkdev", "fast-concurrency": 2},
    "production": {"fast-concurrency": 7, "concurrency": {"parcels": 9}},
}


@pytest.mark.parametrize(
    ("context", "prefix", "fast"),
    [
        pytest.param({"stage": "dev"}, "cgkdev", 2, id="the chosen stage"),
        pytest.param({}, "cgk", 7, id="production unless another is chosen"),
        pytest.param({"stage": "dev", "cgk:fast-concurrency": "3"}, "cgkdev", 3, id="one setting overridden"),
        pytest.param(
            {"stage": "production", "cgk:stage": "dev"}, "cgkdev", 2, id="the key with the app's own prefix wins"
        ),
    ],
)
def test_a_stage_is_chosen_and_overridden(context: dict[str, Any], prefix: str, fast: int) -> None:
    found = Deployment.from_context({STAGES_KEY: STAGES, **context})
    assert (found.prefix, found.fast_concurrency) == (prefix, fast)


@pytest.mark.parametrize(
    ("context", "sentence"),
    [
        ({"stage": "test"}, "there is no stage 'test' in cgk:stages; there are dev, production"),
        ({STAGES_KEY: {"dev": {"colour": "red"}}, "stage": "dev"}, "cgk:colour: Extra inputs are not permitted"),
        (
            {STAGES_KEY: {"qa": {}}, "stage": "qa"},
            "cgk:stage: Input should be 'dev', 'staging', 'production' or 'local'",
        ),
        ({STAGES_KEY: "dev"}, "cgk:stages: an object of settings by stage"),
        ({"cgk:prefix": "cgk-dev"}, "cgk:prefix: String should match pattern"),
        ({"cgk:log-days": 13}, "cgk:log-days: Input should be 1, 3, 5, 7"),
        ({"cgk:account": "123456789012"}, "cgk:account and cgk:region go together"),
        ({"cgk:stage": "local", STAGES_KEY: {}}, "are for the local engine; add -c cgk:target=engine"),
        ({"cgk:database-proxy": {"cluster": "c", "secret-arn": LOGIN}}, "cgk:database-proxy needs cgk:network"),
        ({"cgk:database-proxy": {"secret-arn": LOGIN}}, "give either cluster or instance"),
        ({"cgk:network": {"subnet-ids": ["subnet-1"]}}, "cgk:network.subnet-ids"),
        ({"cgk:kms": "alias/mine"}, "cgk:kms: String should match pattern"),
        ({"cgk:publishers": [{**PUBLISHERS[0], "sources": ["cgk.jobs"]}]}, "cgk.jobs is not for applications"),
        ({"cgk:publishers": [{**PUBLISHERS[0], "sources": ["shop.*"]}]}, "give it in full, without wildcards"),
        ({"cgk:publishers": [PUBLISHERS[0], PUBLISHERS[0]]}, "two publishers have one name"),
        ({"cgk:publishers": [{"name": "shop", "sources": ["shop"]}]}, "give either oidc or principal"),
    ],
)
def test_settings_that_cannot_be_deployed_are_refused(context: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DeploymentError) as refused:
        Deployment.from_context({STAGES_KEY: STAGES, **context})
    assert sentence in str(refused.value)


def test_the_command_line_gives_everything_as_text() -> None:
    given = {"cgk:log-days": "14", "cgk:archive-days": "3", "cgk:publishers": json.dumps(PUBLISHERS)}
    found = Deployment.from_context({**given, "cgk:network": json.dumps(NETWORK)})

    assert (found.log_days, found.archive_days) == (14, 3)
    assert [publisher.name for publisher in found.publishers] == ["shop", "tools"]
    assert found.network
    assert found.network.security_group_ids == ("sg-0123456789abcdef0",)


def test_a_publisher_to_a_queue_that_is_not_there_is_refused(tmp_path: Path) -> None:
    wrong = [{**PUBLISHERS[0], "queues": ["parcelz"]}]
    with pytest.raises(DeploymentError, match="publisher shop names no queue of the app: parcelz"):
        synthesize(stand_in(), tmp_path, {"cgk:publishers": wrong})


def test_what_is_not_chosen_is_not_deployed(tmp_path: Path) -> None:
    plain = synthesize(stand_in(), tmp_path)
    kinds = {resource["Type"] for resources in plain.stacks.values() for resource in resources.values()}

    assert not {kind for kind in kinds if kind.startswith(("AWS::KMS", "AWS::RDS", "AWS::SSM", "AWS::EC2"))}
    for function in plain.of_type("AWS::Lambda::Function").values():
        assert "VpcConfig" not in function["Properties"]
    for queue in plain.of_type("AWS::SQS::Queue").values():
        assert queue["Properties"]["SqsManagedSseEnabled"] is True


@pytest.mark.parametrize(("kms", "arn"), [("own", "{{resolve:ssm:/cgk/kms-key}}"), (KEY, KEY)])
def test_a_key_seals_queues_topic_logs_secrets_and_bucket(kms: str, arn: str, tmp_path: Path) -> None:
    app = synthesize(stand_in(), tmp_path, {"cgk:kms": kms})
    here = {"Fn::GetAtt": ["AppKey", "Arn"]} if kms == "own" else KEY

    for queue in app.of_type("AWS::SQS::Queue").values():
        assert queue["Properties"]["KmsMasterKeyId"] == arn
        assert "SqsManagedSseEnabled" not in queue["Properties"]
    assert {g["Properties"]["KmsKeyId"] for g in app.of_type("AWS::Logs::LogGroup").values()} == {arn}
    (topic,) = app.of_type("AWS::SNS::Topic").values()
    assert topic["Properties"]["KmsMasterKeyId"] == here
    assert all(s["Properties"]["KmsKeyId"] == here for s in app.of_type("AWS::SecretsManager::Secret").values())
    assert '"SSEAlgorithm": "aws:kms"' in json.dumps(app.of_type("AWS::S3::Bucket"))
    keys = app.of_type("AWS::KMS::Key")
    assert len(keys) == (kms == "own")
    for key in keys.values():
        assert key["Properties"]["EnableKeyRotation"] is True
        assert key["DeletionPolicy"] == "Retain"


def test_in_a_network_functions_join_it_and_the_proxy_stands_before_the_database(tmp_path: Path) -> None:
    proxy = {"cluster": "main", "secret-arn": LOGIN, "pool-percent": 80}
    app = synthesize(
        stand_in(), tmp_path, {"cgk:network": json.dumps(NETWORK), "cgk:database-proxy": json.dumps(proxy)}
    )

    for function in app.of_type("AWS::Lambda::Function").values():
        assert function["Properties"]["VpcConfig"] == {
            "SubnetIds": NETWORK["subnet-ids"],
            "SecurityGroupIds": NETWORK["security-group-ids"],
        }
    (made,) = app.of_type("AWS::RDS::DBProxy").values()
    assert (made["Properties"]["RequireTLS"], made["Properties"]["EngineFamily"]) == (True, "POSTGRESQL")
    (targets,) = app.of_type("AWS::RDS::DBProxyTargetGroup").values()
    assert targets["Properties"]["DBClusterIdentifiers"] == ["main"]
    assert targets["Properties"]["ConnectionPoolConfigurationInfo"]["MaxConnectionsPercent"] == 80


def test_the_bus_keeps_an_archive_as_long_as_the_stage_says(tmp_path: Path) -> None:
    (archive,) = synthesize(stand_in(), tmp_path / "kept").of_type("AWS::Events::Archive").values()
    assert archive["Properties"]["RetentionDays"] == 7
    assert not synthesize(stand_in(), tmp_path / "none", {"cgk:archive-days": 0}).of_type("AWS::Events::Archive")


def test_an_account_and_a_region_bind_the_stacks(tmp_path: Path) -> None:
    synthesize(stand_in(), tmp_path, {"cgk:account": "123456789012", "cgk:region": "eu-central-1"})
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))["artifacts"]
    stacks = [a for a in manifest.values() if a["type"] == "aws:cloudformation:stack"]
    assert {stack["environment"] for stack in stacks} == {"aws://123456789012/eu-central-1"}


@pytest.mark.parametrize("stage", ["dev", "staging", "production"])
def test_each_stage_is_synthesized_without_credentials(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv(cdk_app.CLI_CONTEXT, raising=False)
    context = cdk_app.project_context()
    app = synthesize(load_registry(), tmp_path, {**context, "stage": stage}, workflows=load())

    prefix = context[STAGES_KEY][stage]["prefix"]
    assert set(app.stacks) >= {f"{prefix}-{name}" for name in ("shared", "kernel", *app.registry.categories)}
    functions = app.of_type("AWS::Lambda::Function").values()
    assert all(f["Properties"]["FunctionName"].startswith(f"{prefix}-") for f in functions)
    assert {f["Properties"]["Environment"]["Variables"]["CGK_STAGE"] for f in functions} == {stage}


def test_a_wrong_context_ends_with_2_and_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(cdk_app.CLI_CONTEXT, raising=False)
    assert cdk_app.main(["-c", "stage=nowhere"]) == 2
    assert cdk_app.main(["-c", "stage"]) == 2
    assert "cdk: there is no stage 'nowhere' in cgk:stages" in capsys.readouterr().err


@pytest.mark.parametrize(("named", "expected"), [("", str(ROOT / "cdk.out")), ("/elsewhere", None)])
def test_the_app_is_written_where_it_is_looked_for(
    monkeypatch: pytest.MonkeyPatch, named: str, expected: str | None
) -> None:
    made = Mock()
    monkeypatch.setattr(cdk_app, "build", made)
    monkeypatch.setenv(cdk_app.OUTDIR, named)

    assert cdk_app.main([]) == 0

    assert made.call_args.kwargs["outdir"] == expected  # None: CDK looks at the variable itself
