"""The command line as a whole: help, wrong use, errors as sentences, start-up, settings beside scripts/dev."""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest

from shared.cli.arguments import make_parser
from shared.cli.errors import Failure, UsageError, explain
from shared.cli.output import Printer
from shared.cli.platform import Platform, read_env_file
from tests.shared.cli.conftest import Cli


def commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Every parser that runs something."""
    found = [parser] if parser.get_default("run") else []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found += [leaf for inner in action.choices.values() for leaf in commands(inner)]
    return found


@pytest.mark.parametrize("parser", commands(make_parser()), ids=lambda parser: str(parser.prog))
def test_every_command_has_json_an_example_and_a_function(parser: argparse.ArgumentParser) -> None:
    import importlib

    text = parser.format_help()
    module, _, name = parser.get_default("run").partition(":")

    assert f"example:\n  {' '.join(parser.prog.split()[:2])}" in text
    assert "--json" in text
    assert callable(getattr(importlib.import_module(module), name))


WRONG: list[Any] = [
    pytest.param(("shwo",), "there is no 'shwo' here; did you mean show?", id="unknown command"),
    pytest.param(("tenants", "ad"), "did you mean add?", id="unknown inner command"),
    pytest.param((), "COMMAND", id="no command"),
    pytest.param(("list", "--jsn"), "unrecognized arguments: --jsn", id="unknown option"),
    pytest.param(("show", "toy-pla"), "there is no job 'toy-pla'; did you mean toy-play", id="unknown job"),
    pytest.param(("list", "--queue", "tois"), "no queue 'tois' with jobs; did you mean toys", id="unknown queue"),
    pytest.param(("runs", "--state", "ded"), "there is no state 'ded'; did you mean dead", id="unknown state"),
    pytest.param(("runs", "--since", "tomorrow"), "neither an ISO instant nor an age", id="unreadable instant"),
    pytest.param(("runs", "show", "17"), "'17' is no run's id", id="no id"),
    pytest.param(("runs", "--limit", "0"), "at least 1", id="empty page"),
    pytest.param(("runs",), "DATABASE_URL is not set: set it, or start scripts/dev", id="no database"),
    pytest.param(("db", "migrate"), "DATABASE_ADMIN_URL is not set", id="no owner"),
    pytest.param(("trigger", "toy-play", "--tenant", "acme"), "--payload", id="no payload"),
    pytest.param(("trigger", "toy-play", "--tenant", "acme", "--payload", "{"), "no JSON", id="broken payload"),
    pytest.param(
        ("trigger", "toy-play", "--tenant", "acme", "--payload", "nowhere.json"), "nor a readable file", id="no file"
    ),
]


@pytest.mark.parametrize(("argv", "says"), WRONG)
def test_wrong_use_is_one_sentence_on_stderr_and_exit_code_2(bare: Cli, argv: tuple[str, ...], says: str) -> None:
    said = bare(*argv)

    assert said.code == 2
    assert says in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (UsageError("no such thing"), 2, "no such thing"),
        (Failure("it failed"), 1, "it failed"),
        (psycopg.OperationalError("connection refused\nmore"), 1, "the database cannot be reached: connection refused"),
        (
            psycopg.OperationalError('FATAL:  role "cgk_jobs" does not exist'),
            1,
            "run `cgk-jobs db migrate` and `cgk-jobs db",
        ),
        (psycopg.errors.UndefinedTable("no table jobs.runs"), 1, "run `cgk-jobs db migrate`"),
        (psycopg.errors.DivisionByZero("division"), 1, "the database refused: division"),
        (RuntimeError("odd"), 1, "RuntimeError: odd (set CGK_DEBUG=1 for the traceback)"),
    ],
    ids=["usage", "failure", "unreachable", "no login", "not migrated", "refused", "unexpected"],
)
def test_error_becomes_a_sentence_and_a_code(error: Exception, code: int, says: str) -> None:
    found, sentence = explain(error)

    assert found == code
    assert says in sentence
    assert "\n" not in sentence


def test_missing_region_says_what_to_set() -> None:
    from botocore.exceptions import NoRegionError

    assert "Set AWS_REGION" in explain(NoRegionError())[1]


def test_list_starts_without_boto3() -> None:
    code = (
        "import sys; from shared.cli.main import main; main(['list', '--json']);"
        "sys.stderr.write(repr([m for m in ('boto3', 'botocore', 'rich', 'cryptography') if m in sys.modules]))"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr == "[]"


# Settings.

DEV = {"DATABASE_URL": "postgresql://dev", "AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "AWS_ACCESS_KEY_ID": "test"}


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ({}, True),
        ({"AWS_PROFILE": "production", "AWS_ACCESS_KEY_ID": "real"}, True),
        ({"DATABASE_URL": "postgresql://dev"}, True),
        ({"DATABASE_URL": "postgresql://production"}, False),
        ({"CGK_SECRET_ID": "cgk/jobs"}, False),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9999"}, False),
    ],
    ids=["nothing set", "own AWS account", "same database", "other database", "deployed platform", "other engine"],
)
def test_settings_of_a_running_dev_are_used_as_a_whole_or_not_at_all(
    tmp_path: Path, given: dict[str, str], used: bool
) -> None:
    (tmp_path / ".dev").mkdir()
    (tmp_path / ".dev" / "env").write_text("".join(f"{name}={value}\n" for name, value in DEV.items()))
    platform = Platform(environ=dict(given), root=tmp_path)

    platform.use_dev_settings()

    assert platform.from_dev == used
    assert platform.environ == (DEV if used else given)


def test_secrets_of_a_deployed_platform_come_from_its_secret(aws: None) -> None:
    boto3.client("secretsmanager").create_secret(Name="cgk/admin", SecretString='{"DATABASE_URL": "postgresql://x"}')
    platform = Platform(environ={"CGK_SECRET_ID": "cgk/admin"})

    assert platform.required("DATABASE_URL") == "postgresql://x"
    assert platform.secret("DATABASE_ADMIN_URL") is None


def test_file_of_settings_is_read_with_comments_export_and_quotes(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("# a comment\n\nA=1\nexport B='two = 2'\nC=\"three\"\nno setting\n")

    assert read_env_file(path) == {"A": "1", "B": "two = 2", "C": "three"}
    assert read_env_file(tmp_path / "absent") == {}


# Output.


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_table_is_aligned_text_away_from_a_terminal_and_drawn_on_one() -> None:
    plain, drawn = io.StringIO(), Terminal()

    for stream in (plain, drawn):
        Printer(stream).table(["JOB", "STATE"], [["toy-play", "succeeded"], ["x", None]])

    assert plain.getvalue() == "JOB       STATE\ntoy-play  succeeded\nx\n"
    assert "toy-play" in drawn.getvalue()
    assert drawn.getvalue() != plain.getvalue()


def test_table_is_aligned_text_where_rich_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich.table", None)
    stream = Terminal()

    Printer(stream).table(["JOB"], [["toy-play"]])

    assert stream.getvalue() == "JOB\ntoy-play\n"
