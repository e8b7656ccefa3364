"""scripts/deploy as it is called: what is asked, what is refused, and in which words."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from scripts.owner.deploying.assembly import Assembly
from scripts.owner.deploying.main import Tool, commit, main
from scripts.owner.deploying.records import Current, Records
from scripts.owner.deploying.routes import Manifest
from tests.scripts.owner.conftest import ACCOUNT

BUCKET = f"stg-{ACCOUNT}-us-east-1"


@dataclass
class Call:
    """A call of the tool in a checkout, with an answer to its question."""

    root: Path
    answer: str | None = None
    said: list[str] = field(default_factory=list)
    applied: list[list[str]] = field(default_factory=list)

    def __call__(self, *arguments: str) -> int:
        tool = Tool(
            root=self.root,
            say=self.said.append,
            ask=lambda question: self.said.append(question) or str(self.answer),  # type: ignore[func-returns-value]
            interactive=lambda: self.answer is not None,
            folder=self.root / "deploy",
            synthesis=lambda stage, registry: Assembly(self.root / "assembly"),
            application=lambda assembly, stacks: self.applied.append(list(stacks)),
        )
        return main(arguments, tool)


@pytest.fixture
def deploy(staging: Any, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Staging, whose secrets have no values yet; `applied` is what would have gone to CloudFormation."""
    for name in ("CGK_BUS", "CGK_QUEUE_PREFIX", "CGK_SECRET_ID"):
        monkeypatch.setenv(name, "")
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    return Call(checkout)


def test_an_unknown_stage_is_wrong_use(deploy: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy("--stage", "stagin") == 2
    assert "there is no stage 'stagin'; did you mean staging?" in capsys.readouterr().err


def test_another_account_is_refused(deploy: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy("--stage", "production", "--plan") == 1
    assert "these credentials lead to account 123456789012" in capsys.readouterr().err


def test_a_stage_without_secrets_gets_their_stack_first_and_is_told_what_follows(deploy: Call) -> None:
    deploy.answer = "y"
    assert deploy("--stage", "staging") == 0
    assert deploy.applied == [["stg-shared"]]
    assert deploy.said[1] == "Deploy stg-shared to staging? [y/N] "
    steps = [line.strip() for line in deploy.said[-1].splitlines()]
    assert "scripts/keys push --stage staging" in steps
    assert "CGK_SECRET_ID=stg/admin .venv/bin/cgk-jobs db migrate" in steps


@pytest.mark.parametrize(("answer", "options"), [("n", []), ("", []), (None, ["--plan"])])
def test_without_a_yes_nothing_happens(deploy: Call, answer: str | None, options: list[str]) -> None:
    deploy.answer = answer
    assert deploy("--stage", "staging", *options) == 0
    assert deploy.applied == []
    assert deploy.said[-1] == "Nothing was changed."


def test_nobody_to_ask_is_wrong_use(deploy: Call, capsys: pytest.CaptureFixture[str]) -> None:
    assert deploy("--stage", "staging") == 2
    assert "there is nobody to ask: give --yes, or --plan to look only" in capsys.readouterr().err


def test_secrets_that_lost_their_values_are_no_first_deployment(
    deploy: Call, capsys: pytest.CaptureFixture[str]
) -> None:
    current = Current.model_validate({"id": "20260101T000000Z-aaaa", "commit": "aaaa", "at": "2026-01-01T00:00:00Z"})
    Records(boto3.client("s3"), BUCKET).write(current, Manifest(), b"")
    assert deploy("--stage", "staging", "--yes") == 1
    assert "the secret stg/admin holds no DATABASE_ADMIN_URL any more" in capsys.readouterr().err
    assert deploy.applied == []


def test_the_history_lists_deployments_and_marks_the_one_that_runs(deploy: Call) -> None:
    assert deploy("--stage", "staging", "--history") == 0
    assert deploy.said == ["nothing has been deployed yet"]
    deploy.said.clear()
    records = Records(boto3.client("s3"), BUCKET)
    for id in ("20260101T000000Z-aaaa", "20260102T000000Z-bbbb"):
        current = Current.model_validate({"id": id, "commit": id[-4:], "at": "2026-01-01T00:00:00Z"})
        records.write(current, Manifest(), b"")
    assert deploy("--stage", "staging", "--history") == 0
    assert deploy.said == ["20260101T000000Z-aaaa", "20260102T000000Z-bbbb   runs now"]


def test_a_record_of_another_form_is_a_sentence(deploy: Call, capsys: pytest.CaptureFixture[str]) -> None:
    boto3.client("s3").put_object(
        Bucket=BUCKET, Key="deployments/current.json", Body=json.dumps({"id": "x", "form": 2}).encode()
    )
    assert deploy("--stage", "staging", "--history") == 1
    assert "it was written by another version of scripts/deploy" in capsys.readouterr().err


def test_a_folder_without_git_has_an_unknown_commit(tmp_path: Path) -> None:
    assert commit(tmp_path) == "unknown"
