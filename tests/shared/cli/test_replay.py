"""cgk-jobs replay; which runs match is the matter of tests/shared/jobs/test_replay.py."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from shared.jobs.testing import Bench
from tests.shared.cli.conftest import Cli


@pytest.fixture
def dead(toys: Bench) -> None:
    """Two dead runs of acme, one succeeded."""
    for n, act in enumerate(("permanent", "permanent", "nothing")):
        toys.send("toy-play", {"tenantId": "acme", "act": act, "n": n}, key=f"k-{n}")
    toys.drain()


def test_dead_runs_are_sent_again(cli: Cli, toys: Bench, dead: None) -> None:
    said = cli("replay", "--state", "dead", "--json")

    assert said.json == {
        "replayed": 2,
        "jobs": {"toy-play": 2},
        "gone": 0,
        "unreadable": 0,
        "unknown": 0,
        "refused": 0,
        "dry_run": False,
    }
    assert [done.state for done in toys.drain()] == ["dead", "dead"]


def test_dry_run_says_what_would_be_sent(cli: Cli, toys: Bench, dead: None, admin: psycopg.Connection[Any]) -> None:
    admin.execute("DELETE FROM jobs.payloads WHERE run_id = (SELECT run_id FROM jobs.runs WHERE key = 'k-0')")

    said = cli("replay", "--tenant", "acme", "--job", "toy-play", "--dry-run")
    assert "RUNS WOULD BE SENT" in said.out
    assert "1 have no payload any more" in said.out
    assert toys.queues.queues["toys"] == []


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ((), "say which runs"),
        (("--state", "running"), "in state 'running' cannot be replayed"),
        (("--state", "succeeded"), "add --force"),
        (("--job", "toy-pay"), "no job 'toy-pay'; did you mean toy-play"),
    ],
    ids=["no filter", "a state that goes on", "over", "unknown job"],
)
def test_wrong_use_is_refused(cli: Cli, argv: tuple[str, ...], says: str) -> None:
    said = cli("replay", *argv)

    assert said.code == 2
    assert says in said.err


def test_force_runs_what_succeeded_a_second_time(cli: Cli, toys: Bench, dead: None) -> None:
    assert cli("replay", "--state", "succeeded", "--force", "--json").json["replayed"] == 1

    assert [done.state for done in toys.drain()] == ["succeeded"]


def test_messages_that_no_queue_took_are_a_failure(cli: Cli, toys: Bench, dead: None) -> None:
    toys.queues.refuse_sends = 1

    said = cli("replay", "--state", "dead")

    assert said.code == 1
    assert "2 messages were not taken" in said.err


def test_runs_skipped_while_a_tenant_was_suspended_replay_with_its_activation(cli: Cli, toys: Bench) -> None:
    cli("tenants", "suspend", "acme")
    toys.send("toy-play", {"tenantId": "acme", "n": 4})
    assert [done.state for done in toys.pump("toys")] == ["skipped"]

    plain = cli("tenants", "activate", "acme")
    replayed = cli("tenants", "activate", "acme", "--replay", "--json")

    assert "cgk-jobs replay --tenant acme --state skipped" in plain.out
    assert replayed.json == {"slug": "acme", "status": "active", "replayed": 1}
    toys.directory._known.clear()
    assert [done.result["n"] for done in toys.drain()] == [4]
