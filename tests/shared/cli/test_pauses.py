"""cgk-jobs pause, resume, pauses."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from shared.jobs.testing import Bench
from tests.shared.cli.conftest import Cli


@pytest.mark.parametrize(
    ("name", "scope"),
    [("toy-play", "job"), ("toys", "queue"), ("toys-bulk", "queue"), ("acme", "tenant")],
    ids=["job", "queue", "class of a queue", "tenant"],
)
def test_what_a_name_means_is_found_out(cli: Cli, name: str, scope: str) -> None:
    paused = cli("pause", name, "--reason", "Shopify is down", "--json")
    [listed] = cli("pauses", "--json").json["pauses"]
    resumed = cli("resume", name, "--json")

    assert paused.json == {"scope": scope, "name": name, "paused": True}
    assert (listed["scope"], listed["name"], listed["reason"]) == (scope, name, "Shopify is down")
    assert resumed.json == {"scope": scope, "name": name, "resumed": True}
    assert cli("pauses").out == "nothing is paused\n"
    assert cli("pauses", "--all", "--json").json["pauses"][0]["ended_at"] == "2026-11-20T12:00:00Z"


def test_pause_holds_messages_and_resume_lets_them_go(cli: Cli, toys: Bench) -> None:
    assert "queue toys is paused" in cli("pause", "toys").out
    toys.send("toy-play", {"tenantId": "acme"})
    assert toys.pump("toys") == []

    assert "queue toys goes on" in cli("resume", "toys").out
    toys.clock.advance(s=75)

    assert [done.state for done in toys.pump("toys")] == ["succeeded"]


def test_second_pause_and_resume_of_what_is_not_paused_are_said(cli: Cli) -> None:
    cli("pause", "toys")
    assert "was paused already" in cli("pause", "toys").out

    cli("resume", "toys")
    again = cli("resume", "toys")
    assert (again.code, again.err) == (1, "cgk-jobs: queue toys is not paused\n")


def test_name_of_two_things_asks_which(cli: Cli, admin: psycopg.Connection[Any]) -> None:
    admin.execute("INSERT INTO public.organizations (slug, name, status) VALUES ('toys', 'Toys', 'active')")

    both = cli("pause", "toys")

    assert both.code == 2
    assert "queue and a tenant; add --as queue|tenant" in both.err
    assert cli("pause", "toys", "--as", "tenant", "--json").json["scope"] == "tenant"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("pause", "toy-pay"), "no job or queue or tenant 'toy-pay'; did you mean toy-play"),
        (("pause", "acme", "--as", "queue"), "no queue 'acme'"),
    ],
    ids=["misspelt", "of another kind"],
)
def test_unknown_names_are_refused(cli: Cli, argv: tuple[str, ...], says: str) -> None:
    said = cli(*argv)

    assert said.code == 2
    assert says in said.err
