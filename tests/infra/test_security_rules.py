"""cdk-nag's pack AwsSolutions over the templates: nothing is open, and whatever is acknowledged says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import cdk_nag
import pytest
from aws_cdk import aws_sns as sns
from constructs import Construct

from infra.app import build
from infra.workflows import load
from shared.jobs.registry import load_registry
from tests.infra.stand_in import registry as stand_in
from tests.infra.test_roles import KEY, PUBLISHERS, REVIEW, with_review

NETWORK = {
    "subnet-ids": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
    "security-group-ids": ["sg-0123456789abcdef0"],
}
LOGIN = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:rds/cgk-AbCdEf"
EVERYTHING: dict[str, Any] = {
    "cgk:kms": "own",
    "cgk:network": NETWORK,
    "cgk:database-proxy": {"cluster": "cgk", "secret-arn": LOGIN},
    "cgk:buses": "per-category",
    "cgk:publishers": PUBLISHERS,
}
LEAST_REASON_CHARS = 25


@pytest.mark.parametrize(
    ("registry", "context"),
    [
        pytest.param(None, {}, id="the project"),
        pytest.param("stand-in", {}, id="a workflow"),
        pytest.param("stand-in", EVERYTHING, id="every switch on"),
        pytest.param("stand-in", {"cgk:kms": KEY}, id="a key of the owner's"),
    ],
)
def test_the_pack_finds_nothing_that_is_not_answered(
    registry: str | None, context: dict[str, Any], tmp_path: Path
) -> None:
    jobs, workflows = (with_review(), [REVIEW]) if registry else (load_registry(), load())
    app = build(jobs, workflows, context={"aws:cdk:bundling-stacks": [], **context}, outdir=str(tmp_path))
    cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))
    try:
        app.synth()
    except Exception:  # CDK raises for what its report tells better
        assert open_findings(tmp_path) == []
        raise


def test_a_planted_fault_is_found(tmp_path: Path) -> None:
    app = build(stand_in(), context={"aws:cdk:bundling-stacks": []}, outdir=str(tmp_path))
    stack = app.node.find_child("cgk-shared")
    assert isinstance(stack, Construct)
    topic = sns.CfnTopic(stack, "open")
    cdk.Validations.of(app).add_plugins(cdk_nag.AwsSolutionsChecks(app))
    with pytest.raises(Exception, match="SNS Topic does not require"):
        app.synth()

    assert open_findings(tmp_path) == [f"AwsSolutions-SNS3 {topic.node.path}"]


def test_every_acknowledgment_gives_a_reason(tmp_path: Path) -> None:
    app = build(with_review(), [REVIEW], context={"aws:cdk:bundling-stacks": [], **EVERYTHING}, outdir=str(tmp_path))
    found: dict[str, str] = {}
    for construct in app.node.find_all():
        for entry in construct.node.metadata:
            if entry.type == cdk.Validations.ACKNOWLEDGED_RULES_METADATA_KEY:
                found |= entry.data

    assert {rule.partition("[")[0].removeprefix("AwsSolutions::AwsSolutions-") for rule in found} == {
        "IAM5",  # patterns of resources
        "L1",  # Python's version
        "S1",  # access log of the bucket
        "SF1",  # log of the workflows
        "SF2",  # X-Ray
        "SMG4",  # rotation by the service
        "SQS3",  # a dead-letter queue of rules
    }
    for rule, reason in found.items():
        assert len(reason) >= LEAST_REASON_CHARS, rule


def open_findings(outdir: Path) -> list[str]:
    report = json.loads((outdir / "validation-report.json").read_text(encoding="utf-8"))
    return [
        f"{violation['ruleName']} {construct['constructPath']}"
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
    ]
