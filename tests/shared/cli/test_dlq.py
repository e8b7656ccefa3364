"""cgk-jobs dlq, against SQS in memory: letters as the kernel, SQS itself and EventBridge leave them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import boto3
import pytest

from shared.jobs import JobContext, Permanent
from shared.jobs.messages import Dead, compose
from shared.jobs.ports import OutMessage
from shared.jobs.replay import renewed
from shared.jobs.settlement import attributes
from shared.jobs.testing import START, Bench, ManualClock
from tests import toys as toy_jobs
from tests.conftest import Rows
from tests.shared.cli.conftest import Cli


@pytest.fixture
def sqs(aws: None) -> Any:
    """The queues of the toy jobs, deployed."""
    client = boto3.client("sqs")
    for binding in toy_jobs.REGISTRY.queues():
        for suffix in ("", "-dlq"):
            client.create_queue(QueueName=f"cgk-{binding.name}{suffix}")
    return client


@pytest.fixture
def dlq(bare: Cli, sqs: Any) -> Cli:
    bare.platform.clock = ManualClock()
    return bare


def put(sqs: Any, queue: str, body: str, given: dict[str, str]) -> None:
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    members = {name: {"DataType": "String", "StringValue": value} for name, value in given.items()}
    sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=members)


def put_letter(sqs: Any, job: str = "toy-play", code: str = "TOY_BROKEN", tenant: str = "acme", n: int = 0) -> str:
    """A dead letter as the kernel writes it; its body."""
    payload = {"tenantId": tenant, "n": n, "email": "jane@example.com"}
    body = compose(job, payload, id=f"id-{n}", sent_at=START, correlation_id=f"c-{n}", source="app")
    given = attributes(Dead(code, "why"), job=job, tenant=tenant, run=f"run-{n}", sent_at=START)
    put(sqs, f"cgk-{toy_jobs.REGISTRY.jobs[job].queue_name}-dlq", body, given)
    return body


def bodies(sqs: Any, queue: str) -> list[str]:
    """What is visible in a queue."""
    url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
    found: list[str] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [message["Body"] for message in messages]
    return sorted(found)


def test_list_counts_the_letters_of_every_queue(dlq: Cli, sqs: Any) -> None:
    put_letter(sqs, n=1)
    put_letter(sqs, n=2)

    said = dlq("dlq", "list", "--json")

    assert said.json["queues"] == [
        {"queue": "other-toys", "dlq": "cgk-other-toys-dlq", "messages": 0, "hidden": 0},
        {"queue": "toys", "dlq": "cgk-toys-dlq", "messages": 2, "hidden": 0},
        {"queue": "toys-bulk", "dlq": "cgk-toys-bulk-dlq", "messages": 0, "hidden": 0},
    ]
    assert "cgk-toys-dlq" in dlq("dlq", "list").out


@pytest.mark.parametrize("name", ["toys", "toys-dlq", "cgk-toys-dlq"])
def test_list_of_one_queue_shows_reasons_without_bodies_and_hides_nothing(dlq: Cli, sqs: Any, name: str) -> None:
    for n in range(12):
        put_letter(sqs, n=n)

    said = dlq("dlq", "list", name, "--json")

    assert len(said.json["messages"]) == 12
    first = min(said.json["messages"], key=lambda message: message["run"])
    del first["message_id"]
    assert first == {
        "code": "TOY_BROKEN",
        "reason": "why",
        "job": "toy-play",
        "tenant": "acme",
        "run": "run-0",
        "first_sent_at": "2026-11-20T12:00:00Z",
    }
    assert "jane" not in said.out
    assert dlq("dlq", "list", "--json").json["queues"][1] == {
        "queue": "toys",
        "dlq": "cgk-toys-dlq",
        "messages": 12,
        "hidden": 0,
    }


def test_redrive_sends_what_matches_and_leaves_the_rest(dlq: Cli, sqs: Any) -> None:
    wanted = [put_letter(sqs, n=n) for n in range(11)]
    other_code = put_letter(sqs, code="OTHER", n=20)
    other_tenant = put_letter(sqs, tenant="globex", n=21)

    said = dlq("dlq", "redrive", "toys", "--code", "TOY_BROKEN", "--tenant", "acme", "--job", "toy-play")

    assert said.code == 0
    assert said.out == "11 messages went from cgk-toys-dlq to cgk-toys\n"
    assert bodies(sqs, "cgk-toys") == sorted(renewed(body, START) for body in wanted)
    assert bodies(sqs, "cgk-toys-dlq") == sorted([other_code, other_tenant])


def test_dry_run_says_the_same_and_moves_nothing(dlq: Cli, sqs: Any) -> None:
    letters = [put_letter(sqs, n=n) for n in range(3)]

    said = dlq("dlq", "redrive", "toys", "--dry-run", "--json")

    assert said.json == {
        "from": "cgk-toys-dlq",
        "to": {"cgk-toys": 3},
        "redriven": 3,
        "refused": 0,
        "dry_run": True,
    }
    assert bodies(sqs, "cgk-toys") == []
    assert bodies(sqs, "cgk-toys-dlq") == sorted(letters)


def test_limit_holds_within_a_batch(dlq: Cli, sqs: Any) -> None:
    for n in range(5):
        put_letter(sqs, n=n)

    assert dlq("dlq", "redrive", "toys", "--limit", "2", "--json").json["redriven"] == 2

    assert len(bodies(sqs, "cgk-toys-dlq")) == 3


def test_redriven_letter_runs_however_old_it_is(cli: Cli, sqs: Any, toys: Bench) -> None:
    put_letter(sqs, n=1)
    toys.clock.advance(days=9)

    cli("dlq", "redrive", "toys")

    assert [done.state for done in toys.drain()] == ["succeeded"]


def test_letter_known_by_its_message_s_id_only_keeps_it(dlq: Cli, sqs: Any) -> None:
    put(sqs, "cgk-toys-dlq", '{"job":"toy-play","payload":{"tenantId":"acme"}}', {})
    [shown] = dlq("dlq", "list", "toys", "--json").json["messages"]

    dlq("dlq", "redrive", "toys")

    [body] = bodies(sqs, "cgk-toys")
    assert json.loads(body)["payload"]["_meta"]["id"] == shown["message_id"]


def test_event_that_a_rule_could_not_deliver_goes_to_the_job_in_the_rule_s_form(dlq: Cli, sqs: Any) -> None:
    event = {
        "id": "e-1",
        "detail-type": "toy.asked",
        "source": "app",
        "time": "2026-11-20T11:59:00Z",
        "detail": {"tenantId": "acme", "n": 4},
    }
    rule = {
        "RULE_ARN": "arn:aws:events:us-east-1:000000000000:rule/cgk/cgk-toy-dig",
        "ERROR_CODE": "SDK_CLIENT_ERROR",
        "ERROR_MESSAGE": "no queue",
    }
    put(sqs, "cgk-toys-dlq", json.dumps(event), rule)
    [shown] = dlq("dlq", "list", "toys", "--json").json["messages"]

    said = dlq("dlq", "redrive", "toys")

    assert (shown["code"], shown["job"], shown["tenant"]) == ("SDK_CLIENT_ERROR", "toy-dig", "acme")
    assert "went from cgk-toys-dlq to cgk-toys-bulk" in said.out
    assert [json.loads(body) for body in bodies(sqs, "cgk-toys-bulk")] == [
        {
            "job": "toy-dig",
            "event": "toy.asked",
            "id": "e-1",
            "source": "app",
            "time": "2026-11-20T11:59:00Z",
            "payload": {"tenantId": "acme", "n": 4, "_meta": {"agesFrom": "2026-11-20T12:00:00+00:00"}},
        }
    ]


def test_letter_without_attributes_is_read_from_its_body_and_one_that_is_no_json_goes_home(dlq: Cli, sqs: Any) -> None:
    put(sqs, "cgk-toys-dlq", '{"job":"toy-play","payload":{"tenantId":"acme"}}', {})
    put(sqs, "cgk-toys-dlq", "{broken", {})

    shown = sorted(dlq("dlq", "list", "toys", "--json").json["messages"], key=lambda message: message["job"] or "")
    said = dlq("dlq", "redrive", "toys", "--json")

    assert [(m["code"], m["job"], m["tenant"]) for m in shown] == [
        ("MAX_RECEIVES", None, None),
        ("MAX_RECEIVES", "toy-play", "acme"),
    ]
    assert said.json["to"] == {"cgk-toys": 2}


class Refuses:
    """A queue out of reach."""

    def send(self, queue: str, messages: Sequence[OutMessage]) -> list[bool]:
        return [False] * len(messages)

    def change_visibility(self, queue: str, receipts: Sequence[tuple[str, int]]) -> None:
        raise AssertionError("a redrive changes nothing here")


def test_letter_that_its_queue_does_not_take_stays(dlq: Cli, sqs: Any) -> None:
    body = put_letter(sqs)
    dlq.platform.queues_port = Refuses()

    said = dlq("dlq", "redrive", "toys")

    assert said.code == 1
    assert "1 messages were not taken by their queue and stay in cgk-toys-dlq" in said.err
    assert bodies(sqs, "cgk-toys-dlq") == [body]


class DiesAgain:
    """A queue whose messages are dead letters at once."""

    def __init__(self, sqs: Any) -> None:
        self._sqs = sqs
        self.sent = 0

    def send(self, queue: str, messages: Sequence[OutMessage]) -> list[bool]:
        for message in messages:
            self.sent += 1
            put(self._sqs, f"cgk-{queue}-dlq", message.body, {"job": "toy-play", "code": "TOY_BROKEN"})
        return [True] * len(messages)

    def change_visibility(self, queue: str, receipts: Sequence[tuple[str, int]]) -> None:
        raise AssertionError("a redrive changes nothing here")


def test_letters_that_die_again_meanwhile_are_not_sent_a_second_time(dlq: Cli, sqs: Any) -> None:
    letters = [put_letter(sqs, n=n) for n in range(12)]
    dlq.platform.queues_port = queue = DiesAgain(sqs)

    said = dlq("dlq", "redrive", "toys", "--json")

    assert (said.json["redriven"], queue.sent) == (12, 12)
    assert bodies(sqs, "cgk-toys-dlq") == sorted(renewed(body, START) for body in letters)


def dead_once(ctx: JobContext, payload: toy_jobs.ToyAsked) -> None:
    if toy_jobs.calls.count((ctx.job_id, payload.act, payload.n)) == 1:
        raise Permanent("TOY_BROKEN")


def test_redriven_letter_of_a_dead_run_runs_anew(
    cli: Cli, sqs: Any, toys: Bench, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(toy_jobs.ACTS, "dead_once", dead_once)
    toys.send("toy-play", {"tenantId": "acme", "act": "dead_once", "n": 1}, key="k-1")
    toys.drain()
    [letter] = toys.queues.dead("toys")
    put(sqs, "cgk-toys-dlq", letter.body, dict(letter.attributes))
    cli.platform.queues_port = toys.queues

    cli("dlq", "redrive", "toys")
    toys.drain()

    assert [run["state"] for run in rows("SELECT state FROM jobs.runs ORDER BY run_at, run_id")] == [
        "dead",
        "succeeded",
    ]
    assert len(rows("SELECT DISTINCT key FROM jobs.runs")) == 1


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (("dlq", "list", "tois"), 2, "no queue 'tois'; did you mean toys"),
        (("dlq", "redrive", "toys", "--job", "toy-pay"), 2, "no job 'toy-pay'; did you mean toy-play"),
    ],
    ids=["queue", "job"],
)
def test_unknown_names_are_refused(dlq: Cli, argv: tuple[str, ...], code: int, says: str) -> None:
    said = dlq(*argv)

    assert said.code == code
    assert says in said.err


def test_queue_that_is_not_deployed_is_said(bare: Cli, aws: None) -> None:
    said = bare("dlq", "list", "toys")

    assert said.code == 1
    assert "queue cgk-toys-dlq does not exist: deploy the app" in said.err
