"""scripts/env-sync: reads a project's environment, says what it would write, writes it, and never shows a value."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest

from scripts.owner.env_sync.main import SELECTION, Tool, main
from scripts.owner.env_sync.plan import Selection
from shared.crypto import MASTER_KEY
from shared.fakes.vercel import Fault, Project, VercelFake
from tests.scripts.owner.conftest import members

TOKEN = "vercel-token-of-the-test"
KEY = "ab" * 32


@dataclass
class Sync:
    """sync("--secret", "NAME") runs one command against the fake, for stage staging."""

    root: Path
    fake: VercelFake
    project: Project
    environ: dict[str, str]
    capsys: pytest.CaptureFixture[str] = field(repr=False)
    slept: list[float] = field(default_factory=list)
    out: str = ""
    err: str = ""

    def __call__(self, *argv: str) -> int:
        self.capsys.readouterr()
        code = main(["--stage", "staging", *argv], Tool(self.root, self.environ, sleep=self.slept.append))
        self.out, self.err = self.capsys.readouterr()
        return code


@pytest.fixture
def sync(checkout: Path, staging: Any, capsys: pytest.CaptureFixture[str]) -> Iterator[Sync]:
    with VercelFake.start() as fake:
        fake.tokens.add(TOKEN)
        project = Project("prj_1", "shop")
        fake.projects.append(project)
        environ = {"VERCEL_ACCESS_TOKEN": TOKEN, "VERCEL_PROJECT_ID": "prj_1", "VERCEL_BASE_URL": fake.base_url}
        yield Sync(checkout, fake, project, environ, capsys)


def parameter(name: str) -> str:
    found: str = boto3.client("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]
    return found


def test_says_first_and_writes_on_apply(sync: Sync, staging: Any) -> None:
    sync.project.set("STRIPE_SECRET_KEY", "sk_live_secret")
    sync.project.set("ADMIN_URL", "https://admin.example.com", type="plain")

    assert sync("--secret", "STRIPE_SECRET_KEY", "--parameter", "ADMIN_URL") == 0
    assert sync.out.splitlines() == [
        "new        STRIPE_SECRET_KEY in stg/jobs",
        "new        STRIPE_SECRET_KEY in stg/admin",
        "new        ADMIN_URL in /stg/ADMIN_URL",
        "nothing was written; add --apply to write it",
    ]
    assert members(staging, "stg/jobs") == {}
    assert boto3.client("ssm").describe_parameters()["Parameters"] == []

    assert sync("--secret", "STRIPE_SECRET_KEY", "--parameter", "ADMIN_URL", "--apply") == 0
    assert members(staging, "stg/jobs") == members(staging, "stg/admin") == {"STRIPE_SECRET_KEY": "sk_live_secret"}
    assert parameter("/stg/ADMIN_URL") == "https://admin.example.com"
    [described] = boto3.client("ssm").describe_parameters()["Parameters"]
    assert described["Type"] == "SecureString"

    assert sync("--secret", "STRIPE_SECRET_KEY", "--parameter", "ADMIN_URL", "--apply") == 0
    assert "same       STRIPE_SECRET_KEY in stg/jobs" in sync.out
    assert "0 values were written" in sync.out


def test_only_selected_values_are_decrypted_and_none_is_shown(sync: Sync) -> None:
    wanted = sync.project.set("STRIPE_SECRET_KEY", "sk_live_secret")
    other = sync.project.set("OTHER_SECRET", "never-asked-for")

    assert sync("--secret", "STRIPE_SECRET_KEY", "--apply") == 0

    assert sync.fake.asked == ["/v10/projects/prj_1/env", f"/v1/projects/prj_1/env/{wanted.id}"]
    assert not any(other.id in asked for asked in sync.fake.asked)
    assert "sk_live" not in sync.out + sync.err


def test_changed_value_replaces_the_old_one_and_keeps_the_rest(sync: Sync, staging: Any) -> None:
    staging.put_secret_value(SecretId="stg/jobs", SecretString=json.dumps({"A_KEY": "old", "DATABASE_URL": "d"}))
    sync.project.set("A_KEY", "new")

    assert sync("--secret", "A_KEY", "--apply") == 0

    assert "changed    A_KEY in stg/jobs" in sync.out
    assert members(staging, "stg/jobs") == {"A_KEY": "new", "DATABASE_URL": "d"}


def test_admin_s_url_stays_out_of_the_jobs_secret(sync: Sync, staging: Any) -> None:
    sync.project.set("DATABASE_ADMIN_URL", "postgresql://owner")

    sync("--secret", "DATABASE_ADMIN_URL", "--apply")

    assert members(staging, "stg/jobs") == {}
    assert members(staging, "stg/admin") == {"DATABASE_ADMIN_URL": "postgresql://owner"}


def test_stage_takes_its_own_environment(sync: Sync, staging: Any) -> None:
    sync.project.set("A_KEY", "of-production", target=("production",))
    sync.project.set("A_KEY", "of-a-branch", target=("preview",), git_branch="feature")
    sync.project.set("A_KEY", "of-preview", target=("preview",))
    sync.project.set("A_KEY", "of-qa", custom=("qa",), target=())

    sync("--secret", "A_KEY", "--apply")
    assert members(staging, "stg/jobs")["A_KEY"] == "of-preview"
    sync("--secret", "A_KEY", "--apply", "--environment", "production")
    assert members(staging, "stg/jobs")["A_KEY"] == "of-production"
    sync("--secret", "A_KEY", "--apply", "--environment", "qa")
    assert members(staging, "stg/jobs")["A_KEY"] == "of-qa"


def test_listing_is_read_page_by_page(sync: Sync) -> None:
    sync.project.set("FIRST", "1")
    for n in range(45):
        sync.project.set(f"FILLER_{n}", "x")

    assert sync("--secret", "FIRST") == 0

    assert len([asked for asked in sync.fake.asked if asked.startswith("/v10")]) == 3


def _sensitive(sync: Sync, staging: Any) -> None:
    sync.project.set("A_KEY", "x", type="sensitive")


def _another_master_key(sync: Sync, staging: Any) -> None:
    sync.project.set("A_KEY", "x")
    sync.project.set(MASTER_KEY, KEY)
    staging.put_secret_value(SecretId="stg/jobs", SecretString=json.dumps({MASTER_KEY: "another"}))


def _empty(sync: Sync, staging: Any) -> None:
    sync.project.set("A_KEY", "")


@pytest.mark.parametrize(
    ("prepare", "argv", "says"),
    [
        (lambda sync, staging: None, ("--secret", "A_KEY"), "A_KEY is not in preview"),
        (_sensitive, ("--secret", "A_KEY"), "A_KEY is of type sensitive, which Vercel shows to nobody"),
        (_empty, ("--secret", "A_KEY"), "A_KEY is empty"),
        (
            _another_master_key,
            ("--secret", "A_KEY", "--secret", MASTER_KEY),
            "is another key than the stage's; use scripts/keys rotate",
        ),
        (
            lambda sync, staging: sync.project.set("BIG", "x" * 4097),
            ("--parameter", "BIG"),
            "BIG has more than 4096 bytes; select it as a secret",
        ),
    ],
    ids=["missing", "sensitive", "empty", "another master key", "too large for a parameter"],
)
def test_nothing_is_written_while_something_stands_in_the_way(
    sync: Sync, staging: Any, prepare: Any, argv: tuple[str, ...], says: str
) -> None:
    prepare(sync, staging)
    before = members(staging, "stg/jobs")

    assert sync(*argv) == 1
    assert says in sync.out
    assert sync(*argv, "--apply") == 1
    assert f"nothing was written: {says.split(' ')[0]}" in sync.err or says in sync.err
    assert members(staging, "stg/jobs") == before


def test_optional_names_may_be_absent(sync: Sync, staging: Any, tmp_path: Path) -> None:
    path = tmp_path / "names.json"
    path.write_text(json.dumps({"secrets": ["A_KEY"], "optional-secrets": ["B_KEY"], "optional-parameters": ["C_URL"]}))
    sync.project.set("A_KEY", "a")

    assert sync("--selection", str(path), "--apply") == 0

    assert "absent     B_KEY is not in preview, and optional" in sync.out
    assert members(staging, "stg/jobs") == {"A_KEY": "a"}


def test_checked_in_selection_is_one() -> None:
    selection = Selection.read(SELECTION)

    assert MASTER_KEY in selection.secrets
    assert MASTER_KEY not in selection.optional
    assert not [name for name in selection.names if name.startswith("DATABASE")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "must be a JSON object of lists"),
        ('{"secret": []}', "must be a JSON object of lists"),
        ('{"secrets": ["A"], "parameters": ["A"]}', "names A twice"),
    ],
)
def test_wrong_selection_is_refused(sync: Sync, tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "names.json"
    path.write_text(text)

    assert sync("--selection", str(path)) == 2
    assert says in sync.err


def test_short_limits_are_waited_out_and_long_ones_told(sync: Sync) -> None:
    sync.project.set("A_KEY", "a")
    sync.fake.faults += [Fault("429", retry_after="7"), Fault("500", retry_after=None)]

    assert sync("--secret", "A_KEY") == 0
    assert sync.slept == [7.0, 1.0]

    sync.fake.faults += [Fault("429", retry_after="604800")]
    assert sync("--secret", "A_KEY") == 1
    assert "Vercel cannot be asked now: VERCEL_RATE_LIMITED" in sync.err
    sync.fake.faults += [Fault("503", retry_after=None) for _ in range(4)]
    assert sync("--secret", "A_KEY") == 1


@pytest.mark.parametrize(
    ("environ", "code", "says"),
    [
        ({"VERCEL_ACCESS_TOKEN": ""}, 2, "set VERCEL_ACCESS_TOKEN"),
        ({"VERCEL_PROJECT_ID": ""}, 2, "set VERCEL_PROJECT_ID"),
        ({"VERCEL_ACCESS_TOKEN": "wrong-token"}, 1, "Vercel refuses the token"),
        ({"VERCEL_PROJECT_ID": "prj_2"}, 1, "knows no project prj_2; a team's project needs VERCEL_TEAM_ID"),
        ({"VERCEL_BASE_URL": "http://127.0.0.1:9"}, 1, "Vercel cannot be asked now: VERCEL_UNAVAILABLE"),
    ],
    ids=["no token", "no project", "wrong token", "unknown project", "out of reach"],
)
def test_what_is_amiss_is_told_in_a_sentence(sync: Sync, environ: dict[str, str], code: int, says: str) -> None:
    sync.environ.update(environ)

    assert sync("--secret", "A_KEY") == code
    assert says in sync.err
    assert "wrong-token" not in sync.err
    assert sync.err.count("\n") == 1


@pytest.mark.parametrize("team", ["team_9", "cgk"])
def test_team_s_project_by_id_or_slug_of_the_team(sync: Sync, team: str) -> None:
    project = Project("prj_3", "portal", team=("team_9", "cgk"))
    project.set("A_KEY", "a")
    sync.fake.projects.append(project)
    sync.environ |= {"VERCEL_PROJECT_ID": "portal", "VERCEL_TEAM_ID": team}

    assert sync("--secret", "A_KEY") == 0


def test_name_cannot_be_secret_and_parameter(sync: Sync) -> None:
    assert sync("--secret", "A", "--parameter", "A") == 2
