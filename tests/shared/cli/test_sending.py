"""cgk-jobs trigger, publish: what is sent, and following it to its end."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from shared.jobs.testing import Bench
from tests.conftest import Rows
from tests.shared.cli.conftest import Cli

TRIGGER = ("trigger", "toy-play", "--tenant", "acme")
PUBLISH = ("publish", "toy.seen", "--tenant", "acme")


def test_trigger_sends_to_the_job_s_queue_and_says_where_to_look(cli: Cli, toys: Bench) -> None:
    said = cli(*TRIGGER, "--payload", '{"n": 3}', "--json")

    assert said.code == 0
    assert set(said.json) == {"job", "tenant", "queue", "id", "correlation_id"}
    [message] = toys.queues.queues["toys"]
    assert json.loads(message.body)["payload"]["n"] == 3
    assert said.json["correlation_id"] in message.body


def test_publish_names_the_jobs_that_listen(cli: Cli, toys: Bench) -> None:
    said = cli(*PUBLISH, "--payload", '{"n": 3}')

    assert said.code == 0
    assert "toy.seen was published; for toy-guard, toy-watch" in said.out
    assert [name for name, _ in toys.bus.published] == ["toy.seen"]
    assert "no job listens" in cli("publish", "toy.done", "--tenant", "acme", "--payload", '{"n": 3}').out


def test_payload_comes_from_a_file_or_from_standard_input(
    cli: Cli, toys: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "payload.json"
    path.write_text('{"n": 4, "tenantId": "acme"}')
    monkeypatch.setattr("sys.stdin", io.StringIO('{"n": 5}'))

    assert cli(*TRIGGER, "--payload", str(path)).code == 0
    assert cli(*TRIGGER, "--payload", "-").code == 0

    assert [json.loads(m.body)["payload"]["n"] for m in toys.queues.queues["toys"]] == [4, 5]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ((*TRIGGER, "--payload", '{"n": "x"}'), "does not fit ToyAsked: n: Input should be a valid integer"),
        ((*TRIGGER, "--payload", '{"tenantId": "globex"}'), "is of tenant 'globex' but --tenant says 'acme'"),
        ((*TRIGGER, "--payload", "[1]"), "neither a JSON object nor a readable file"),
        (("trigger", "toy-play", "--tenant", "A-B", "--payload", "{}"), "neither a slug"),
        (("publish", "toy.sen", "--tenant", "acme", "--payload", "{}"), "no event 'toy.sen'; did you mean toy.seen"),
        (("publish", "order.sync", "--tenant", "acme", "--payload", "{}"), "orderId or shopifyOrderId is required"),
    ],
    ids=["wrong type", "other tenant", "no object", "no slug", "unknown event", "rule across fields"],
)
def test_what_could_not_be_delivered_is_refused_and_nothing_is_sent(
    cli: Cli, toys: Bench, argv: tuple[str, ...], says: str
) -> None:
    said = cli(*argv)

    assert said.code == 2
    assert says in said.err
    assert not any(toys.queues.queues.values())


@pytest.mark.parametrize(
    ("act", "state", "code"),
    [("nothing", "succeeded", 0), ("recover", "succeeded", 0), ("two_legs", "succeeded", 0), ("permanent", "dead", 1)],
)
def test_wait_follows_the_run_until_it_is_over(cli: Cli, act: str, state: str, code: int) -> None:
    said = cli(*TRIGGER, "--payload", json.dumps({"act": act, "n": 9}), "--wait", "--json")

    [run] = said.json["runs"]
    assert (run["job"], run["state"], said.code) == ("toy-play", state, code)
    assert run["result"] == ({"n": 9, "attempt": run["attempt"]} if state == "succeeded" else None)


def test_wait_on_an_event_follows_all_its_jobs(cli: Cli) -> None:
    said = cli(*PUBLISH, "--payload", '{"n": 3}', "--wait", "60")

    assert said.code == 0
    assert said.out.count("succeeded") == 2


def test_wait_on_a_repetition_ends_with_the_duplicate(cli: Cli, rows: Rows) -> None:
    for state in ("succeeded", "duplicate"):
        said = cli(*TRIGGER, "--payload", "{}", "--key", "once", "--wait", "--json")

        assert said.code == 0
        assert said.json["id"] == "once"
        assert [run["state"] for run in said.json["runs"]] == [state]


def test_wait_gives_up_with_how_far_it_is(cli: Cli) -> None:
    cli.platform.sleep = lambda seconds: None

    said = cli(*TRIGGER, "--payload", "{}", "--wait", "0.01")

    assert said.code == 1
    assert "not over after 0.01 s (no run has begun): see `cgk-jobs runs --correlation" in said.err


def test_queue_that_is_not_there_is_no_wrong_use(cli: Cli, toys: Bench) -> None:
    toys.queues.refuse_sends = 1

    said = cli(*TRIGGER, "--payload", "{}")

    assert said.code == 1
    assert "queue toys did not take the message" in said.err
