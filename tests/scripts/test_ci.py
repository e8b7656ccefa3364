"""The owner's workflow runs what we run, deploys from tags only, and knows no key."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest
import yaml

from scripts.local import ROOT
from scripts.owner.deploying.main import parser

TEXT = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
JOBS: dict[str, Any] = WORKFLOW["jobs"]
DEPLOYS = {name: job for name, job in JOBS.items() if name != "test"}
ON = True
"""YAML 1.1 takes the key `on` for the truth value."""


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_the_tests_are_the_same_command_everywhere() -> None:
    assert commands(JOBS["test"]) == ["scripts/test"]
    assert "exec scripts/test" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert WORKFLOW[ON]["push"] == {"branches": ["main"], "tags": ["v*"]}
    assert "pull_request" in WORKFLOW[ON]
    assert "pull_request_target" not in WORKFLOW[ON]  # would run a stranger's code with our rights


@pytest.mark.parametrize("stage", DEPLOYS)
def test_a_stage_is_deployed_from_a_tag_after_the_tests_by_its_own_environment(stage: str) -> None:
    job = DEPLOYS[stage]
    assert job["if"] == "startsWith(github.ref, 'refs/tags/v')"
    assert job["environment"] == stage
    assert job["concurrency"] == {"group": f"deploy-{stage}", "cancel-in-progress": False}
    (command,) = commands(job)
    words = shlex.split(command)
    arguments = parser().parse_args(words[1:])
    assert (words[0], arguments.stage, arguments.yes, arguments.force) == ("scripts/deploy", stage, True, False)
    assert stage in json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"]["cgk:stages"]


def test_the_stages_follow_one_another_behind_the_tests() -> None:
    assert {name: job["needs"] for name, job in DEPLOYS.items()} == {"staging": "test", "production": "staging"}


@pytest.mark.parametrize("stage", DEPLOYS)
def test_aws_is_reached_by_oidc_without_a_key(stage: str) -> None:
    job = DEPLOYS[stage]
    assert job["permissions"] == {"contents": "read", "id-token": "write"}
    (signing_in,) = [step for step in job["steps"] if "configure-aws-credentials" in step.get("uses", "")]
    assert signing_in["with"]["role-to-assume"] == "${{ vars.AWS_DEPLOY_ROLE }}"
    assert not [name for name in signing_in["with"] if "key" in name or "token" in name]


def test_no_secret_and_no_right_beyond_what_is_needed() -> None:
    assert "secrets." not in TEXT
    assert not re.search(r"AWS_(ACCESS|SECRET)|AKIA", TEXT, re.IGNORECASE)
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "permissions" not in JOBS["test"]


def test_every_action_is_pinned_by_its_commit_and_leaves_no_token_behind() -> None:
    steps = [step for job in JOBS.values() for step in job["steps"] if "uses" in step]
    for step in steps:
        assert re.fullmatch(r"[a-z-]+/[a-z-]+@[0-9a-f]{40}", step["uses"]), step["uses"]
    assert all(s["with"]["persist-credentials"] is False for s in steps if s["uses"].startswith("actions/checkout@"))
    assert len(re.findall(r"@[0-9a-f]{40} # v\d+\.\d+\.\d+\n", TEXT)) == len(steps)


def test_no_untrusted_text_reaches_a_shell() -> None:
    assert not [command for job in JOBS.values() for command in commands(job) if "${{" in command]
    assert all(job.get("timeout-minutes") for job in JOBS.values())


ROLE_FILE = ROOT / "scripts" / "owner" / "deploying" / "github_role.json"
LISTS = {"sqs:ListQueues", "lambda:ListEventSourceMappings", "scheduler:ListSchedules"}
"""Actions that know no resource."""


def statements() -> list[dict[str, Any]]:
    role = json.loads(ROLE_FILE.read_text(encoding="utf-8"))["Resources"]["DeployRole"]["Properties"]
    found: list[dict[str, Any]] = role["Policies"][0]["PolicyDocument"]["Statement"]
    return found


def actions(statement: dict[str, Any]) -> set[str]:
    given = statement["Action"]
    return {given} if isinstance(given, str) else set(given)


def test_the_deploying_role_names_its_actions_and_its_stages_resources() -> None:
    for statement in statements():
        assert not [action for action in actions(statement) if "*" in action], statement["Sid"]
        if statement["Resource"] == "*":
            assert actions(statement) == LISTS
        else:
            assert "${Prefix}" in json.dumps(statement["Resource"]) or statement["Sid"] == "Stacks"


def test_the_deploying_role_is_for_one_subject_of_github_only() -> None:
    template = json.loads(ROLE_FILE.read_text(encoding="utf-8"))
    (trust,) = template["Resources"]["DeployRole"]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Action"] == "sts:AssumeRoleWithWebIdentity"
    assert trust["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"] == {"Ref": "Subject"}
    pattern = template["Parameters"]["Subject"]["AllowedPattern"]
    assert re.fullmatch(pattern, "repo:acme/cgk-jobs:environment:staging")
    assert not re.fullmatch(pattern, "repo:acme/*:environment:staging")
    assert not re.fullmatch(pattern, "repo:acme/cgk-jobs:ref:refs/heads/main")


def test_every_call_of_a_deployment_is_allowed() -> None:
    allowed = {action.split(":")[1] for statement in statements() for action in actions(statement)}
    folder = ROOT / "scripts" / "owner" / "deploying"
    checks = [ROOT / "shared" / "cli" / "checks" / name for name in ("aws.py", "stage.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in (*folder.glob("*.py"), *checks))
    direct = set(re.findall(r"\.((?:put|get|list|describe|enable|disable|delete|remove|update)_[a-z_]+)\(", text))
    paged = set(re.findall(r'get_paginator\("([a-z_]+)"\)', text))
    calls = {"".join(word.title() for word in name.split("_")) for name in direct | paged}
    known_otherwise = {
        "GetPaginator": "no call",
        "GetCallerIdentity": "needs no right",
        "GetAllContext": "no call",
        "PutObject": "Records",
        "ListObjectsV2": "s3:ListBucket",
    }
    assert calls - allowed - known_otherwise.keys() == set()
