"""cgk-jobs invoke: through the real entry of a category, here one that exists only for these tests."""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import functions
from shared.cli.platform import Platform
from shared.jobs import logs
from shared.jobs.registry import build_registry
from tests.conftest import ENCRYPTION_KEY, Rows
from tests.shared.cli.conftest import Cli

CATEGORY = "invoked"
HANDLER = f'from shared.jobs.entry import entry\n\nmain = entry("{CATEGORY}")\n'
JOBS = '''
from shared.events.base import Event, Payload
from shared.jobs import JobContext, Permanent, Retry, Transient, job
from shared.jobs.queues import Queue

QUEUE = Queue("invoked")


class Invoked(Event, name="test.invoked", from_apps=True):
    act: str = "nothing"


class Result(Payload):
    tenant: str


@job("invoked-fast", on=Invoked, queue=QUEUE, retry=Retry(2, 2, 1, 1))
def fast(ctx: JobContext, payload: Invoked) -> Result:
    """Does what it is told."""
    if payload.act == "dead":
        raise Permanent("INVOKED_DEAD", "as told")
    if payload.act == "later":
        raise Transient("INVOKED_LATER")
    return Result(tenant=ctx.tenant.slug)


@job("invoked-bulk", on=Invoked, queue=QUEUE, timeout_s=600)
def bulk(ctx: JobContext, payload: Invoked) -> Result:
    """The bulk sister."""
    return Result(tenant=ctx.tenant.slug)
'''


@pytest.fixture
def invoker(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    database_url: str,
    aws: None,
) -> Iterator[Cli]:
    """The command line over a category of its own, with the process's environment as a function would have it."""
    package = tmp_path / CATEGORY
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "handler.py").write_text(HANDLER)
    (package / "jobs.py").write_text(JOBS)
    monkeypatch.setattr(functions, "__path__", [*functions.__path__, str(tmp_path)])
    monkeypatch.setattr(logs, "_configured", False)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    for name, value in (("DATABASE_URL", database_url), ("INTEGRATION_ENCRYPTION_KEY", ENCRYPTION_KEY)):
        monkeypatch.setenv(name, value)
    for name in ("CGK_CATEGORY", "CGK_CLASS"):  # the command sets them
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    jobs = importlib.import_module(f"functions.{CATEGORY}.jobs")
    registry = build_registry([jobs.fast, jobs.bulk])
    yield Cli(Platform(root=tmp_path, load=lambda: registry), capsys)
    for module in [name for name in sys.modules if name.startswith(f"functions.{CATEGORY}")]:
        del sys.modules[module]


def test_sample_runs_as_often_as_it_is_invoked(invoker: Cli) -> None:
    first, second = invoker("invoke", "invoked-fast", "--json"), invoker("invoke", "invoked-fast")

    assert first.code == second.code == 0
    assert (first.json["run"]["state"], first.json["returned"]) == ("succeeded", False)
    assert first.json["run"]["result"] == {"tenant": "acme"}
    assert "succeeded" in second.out


def test_log_of_the_function_is_not_the_command_s_output(invoker: Cli) -> None:
    said = invoker("invoke", "invoked-fast", "--json")

    line = json.loads(next(line for line in said.err.splitlines() if '"run"' in line))
    assert line["outcome"] == "succeeded"
    assert said.json["run"]["run_id"] == line["run"]


def test_bulk_job_runs_as_in_the_bulk_function(invoker: Cli) -> None:
    assert invoker("invoke", "invoked-bulk", "--json").json["run"]["state"] == "succeeded"
    assert invoker.platform.environ["CGK_CLASS"] == "bulk"


@pytest.mark.parametrize(
    ("act", "state", "says"),
    [("dead", "dead", "INVOKED_DEAD"), ("later", "retrying", "nobody comes back to it")],
)
def test_failed_run_is_exit_code_1(invoker: Cli, act: str, state: str, says: str) -> None:
    said = invoker("invoke", "invoked-fast", "--payload", json.dumps({"act": act}))

    assert said.code == 1
    assert state in said.out
    assert says in said.out


def test_tenant_and_payload_replace_those_of_the_checked_in_sample(invoker: Cli, rows: Rows) -> None:
    from shared.jobs.samples import write

    write(invoker.platform.registry, invoker.platform.root / "events")

    said = invoker("invoke", "invoked-fast", "--tenant", "globex", "--payload", "{}", "--json")

    assert said.json["run"]["result"] == {"tenant": "globex"}
    assert rows("SELECT tenant, event FROM jobs.runs") == [{"tenant": "globex", "event": "test.invoked"}]


def test_message_that_is_handed_back_is_said(invoker: Cli, rows: Rows) -> None:
    rows.execute("INSERT INTO organizations (slug, name, status) VALUES ('newcomer', 'New', 'active')")

    said = invoker("invoke", "invoked-fast", "--tenant", "newcomer")

    assert said.code == 1
    assert "the message was handed back" in said.err


def test_payload_that_does_not_fit_runs_nothing(invoker: Cli, rows: Rows) -> None:
    said = invoker("invoke", "invoked-fast", "--payload", '{"act": 7}')

    assert said.code == 2
    assert "does not fit Invoked" in said.err
    assert rows("SELECT * FROM jobs.runs") == []
