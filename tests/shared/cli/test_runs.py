"""cgk-jobs runs: search, show, cancel."""

from __future__ import annotations

import json

import pytest

from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver
from tests.conftest import Rows
from tests.shared.cli.conftest import Cli

UNKNOWN = "00000000-0000-7000-8000-000000000000"


@pytest.fixture
def history(toys: Bench, tenant: Tenant) -> list[str]:
    """Ids of three runs, a minute apart: succeeded, dead, waiting for its retry."""
    deliver, ids = Deliver(toys, tenant), []
    for act, expect in (("emit", "succeeded"), ("permanent", "dead"), ("transient", "retrying")):
        ids.append(str(deliver.job("toy-play", {"act": act, "n": 5}, expect=expect).run_id))
        toys.queues.queues["toys"].clear()
        toys.clock.advance(s=60)
    return ids


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ((), [2, 1, 0]),
        (("--state", "dead"), [1]),
        (("--code", "TOY_LATER", "--job", "toy-play", "--tenant", "acme"), [2]),
        (("--since", "2026-11-20T12:01:00Z", "--until", "2026-11-20 12:02"), [1]),
        (("--tenant", "globex"), []),
    ],
    ids=["all", "state", "code, job and tenant", "time, UTC when no zone is given", "nothing matches"],
)
def test_runs_can_be_narrowed(cli: Cli, history: list[str], options: tuple[str, ...], found: list[int]) -> None:
    said = cli("runs", "--json", *options)

    assert [run["run_id"] for run in said.json["runs"]] == [history[n] for n in found]
    assert said.json["next"] is None


def test_run_as_json_holds_instants_in_utc_and_values_as_json(cli: Cli, history: list[str]) -> None:
    run = cli("runs", "--json", "--state", "succeeded").json["runs"][0]

    assert run["run_at"] == "2026-11-20T12:00:00Z"
    assert run["result"] == {"n": 5, "attempt": 1}
    assert (run["code"], run["attempt"], run["source"]) == (None, 1, "sqs")


def test_pages_are_continued_with_after(cli: Cli, history: list[str]) -> None:
    first = cli("runs", "--json", "--limit", "2").json
    text = cli("runs", "--limit", "2").out
    second = cli("runs", "--json", "--limit", "2", "--after", first["next"]).json

    assert [run["run_id"] for run in first["runs"] + second["runs"]] == history[::-1]
    assert second["next"] is None
    assert f"more: add --after {first['next']}" in text
    assert cli("runs", "--after", "there").code == 2


def test_counts_are_by_job_and_state(cli: Cli, history: list[str]) -> None:
    assert cli("runs", "--count", "--json").json == {
        "counts": [
            {"job": "toy-play", "state": "dead", "runs": 1},
            {"job": "toy-play", "state": "retrying", "runs": 1},
            {"job": "toy-play", "state": "succeeded", "runs": 1},
        ]
    }


def test_show_has_the_timeline_and_keeps_the_payload_sealed(cli: Cli, history: list[str]) -> None:
    text = cli("runs", "show", history[1]).out
    found = cli("runs", "show", history[1], "--json").json

    assert "kept, sealed; open it with --payload" in text
    assert "TOY_BROKEN" in text
    assert "permanent" not in text
    assert [moment["what"].split(" after")[0] for moment in found["timeline"]] == [
        "sent by sqs straight to the queue",
        "first claimed",
        "dead TOY_BROKEN",
    ]
    assert set(found) == {"run", "claim", "timeline", "chain", "payload_kept"}
    assert "permanent" not in json.dumps(found)


def test_show_opens_the_payload_when_asked_to(cli: Cli, history: list[str], toys: Bench) -> None:
    found = cli("runs", "show", history[1], "--payload", "--json").json

    assert found["payload"]["job"] == "toy-play"
    assert found["payload"]["payload"]["act"] == "permanent"
    assert '"act": "permanent"' in cli("runs", "show", history[1], "--payload").out


def test_large_payload_is_fetched_from_the_bucket(cli: Cli, toys: Bench, tenant: Tenant) -> None:
    toys.send("toy-play", {"tenantId": "acme", "n": 1, "more": "x" * 40_000})
    run_id = str(toys.pump("toys")[0].run_id)

    assert "set CGK_BUCKET" in cli("runs", "show", run_id, "--payload").err
    cli.platform.environ["CGK_BUCKET"] = "bucket"
    del cli.platform.environment
    assert cli("runs", "show", run_id, "--payload", "--json").json["payload"]["payload"]["n"] == 1
    toys.blobs.objects.clear()
    assert "expired in the bucket" in cli("runs", "show", run_id, "--payload").err


def test_payload_that_is_gone_is_said(cli: Cli, history: list[str], rows: Rows) -> None:
    rows.execute("DELETE FROM jobs.payloads")

    said = cli("runs", "show", history[0], "--payload")

    assert said.code == 1
    assert "not kept any more" in said.err


def test_cancel_ends_a_run_that_waits(cli: Cli, history: list[str]) -> None:
    assert cli("runs", "cancel", history[2], "--json").json == {"run_id": history[2], "cancel": "cancelled"}

    assert "asked to stop" in cli("runs", "show", history[2]).out
    over, unknown = cli("runs", "cancel", history[0]), cli("runs", "cancel", UNKNOWN)
    assert (over.code, unknown.code) == (1, 1)
    assert "is over already" in over.err
    assert "knows no run" in unknown.err


def test_run_that_nobody_knows_is_said(cli: Cli) -> None:
    said = cli("runs", "show", UNKNOWN)

    assert said.code == 1
    assert "knows no run" in said.err
