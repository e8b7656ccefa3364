"""The command line over the toy jobs: a real database, the memory queues or moto's AWS."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from shared.cli.main import main
from shared.cli.platform import SOURCE, Platform
from shared.jobs.ports import OutEvent
from shared.jobs.testing import Bench
from tests import toys as toy_jobs
from tests.conftest import ENCRYPTION_KEY, MakeBench

UNSET = (
    "DATABASE_URL",
    "DATABASE_ADMIN_URL",
    "INTEGRATION_ENCRYPTION_KEY",
    "AWS_ENDPOINT_URL",
    "CGK_SECRET_ID",
    "CGK_BUS",
)


@dataclass(frozen=True)
class Said:
    """What a command printed and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Cli:
    """cli("runs", "--json") runs one command on the platform of this test."""

    platform: Platform
    capsys: pytest.CaptureFixture[str] = field(repr=False)

    def __call__(self, *argv: str) -> Said:
        self.capsys.readouterr()
        try:
            code = main(argv, self.platform)
        except SystemExit as left:  # argparse
            code = int(str(left.code))
        out, err = self.capsys.readouterr()
        return Said(code, out, err)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """The developer's own settings have no say."""
    for name in UNSET:
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def bare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Cli:
    """A command line that knows the toy jobs and nothing else: no database, no AWS."""
    return Cli(Platform(environ={}, root=tmp_path, load=lambda: toy_jobs.REGISTRY), capsys)


@pytest.fixture
def toys(make_bench: MakeBench) -> Bench:
    toy_jobs.calls.clear()
    bench: Bench = make_bench(toy_jobs.REGISTRY)
    return bench


@dataclass
class AppBus:
    """The bus as an application reaches it: with a source that is not the jobs' own."""

    bench: Bench

    def publish(self, events: Sequence[OutEvent]) -> list[bool]:
        for event in events:
            self.bench.bus.put(event.name, json.loads(event.detail), source=SOURCE)
        return [True] * len(events)


@pytest.fixture
def cli(bare: Cli, toys: Bench, database_url: str, admin_url: str) -> Cli:
    """On the test's database, with the bench's bus and queues; while a command waits, the bench delivers."""
    platform = bare.platform
    platform.environ.update(
        {
            "DATABASE_URL": database_url,
            "DATABASE_ADMIN_URL": admin_url,
            "INTEGRATION_ENCRYPTION_KEY": ENCRYPTION_KEY,
        }
    )
    platform.queues_port, platform.bus_port, platform.blobs_port = toys.queues, AppBus(toys), toys.blobs
    platform.clock = toys.clock
    platform.sleep = lambda seconds: _deliver(toys)
    return bare


def _deliver(toys: Bench) -> None:
    toys.drain()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """AWS in memory; boto3 reads the process's environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield
