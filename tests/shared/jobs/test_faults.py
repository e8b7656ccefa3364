"""A process that dies, stalls or is handed rubbish at a named point: the bench's switches, and what the kernel does."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.jobs.errors import JobTimeout
from shared.jobs.points import POINTS
from shared.jobs.testing import Bench, Faults
from tests import toys as toy_jobs
from tests.conftest import Rows

STATES = "SELECT state, code, attempt FROM jobs.runs ORDER BY run_at, run_id"
CONFIG = "SELECT count(*) AS n FROM tenant_config WHERE key LIKE 'toy-%%'"


def send(toys: Bench, act: str, n: int = 1) -> None:
    toys.send("toy-play", {"tenantId": "acme", "act": act, "n": n})


def test_points_are_passed_in_the_order_of_the_pipeline(toys: Bench) -> None:
    send(toys, "final")

    toys.pump("toys")

    passed = toys.faults.reached
    assert passed == [
        "begin", "after-parse", "after-admit", "after-claim", "before-handler", "in-session", "after-handler",
        "before-commit", "after-commit", "in-relay", "after-relay", "before-answer",
    ]  # fmt: skip
    assert set(passed) <= set(POINTS)


@pytest.mark.parametrize("act", ["nothing", "checkpoint", "final", "emit", "permanent"])
def test_every_point_that_an_act_passes_can_be_its_process_s_end(toys: Bench, rows: Rows, act: str) -> None:
    send(toys, act)
    toys.drain()
    expected, passed = [row["state"] for row in rows(STATES)], list(toys.faults.reached)

    for n, point in enumerate(dict.fromkeys(passed), start=2):
        toys.faults.clear()
        toys.faults.crash(point)
        send(toys, act, n)
        toys.drain()
        toys.sweep()
        toys.drain()

    assert toys.crashes == len(set(passed))
    assert {row["state"] for row in rows(STATES)} - {"duplicate"} == set(expected)
    assert rows("SELECT 1 FROM jobs.outbox") == []
    if act in ("checkpoint", "final"):
        assert rows(CONFIG) == [{"n": 1 + toys.crashes}]


def test_plan_for_an_unknown_point_is_refused() -> None:
    with pytest.raises(ValueError, match="no point of the pipeline"):
        Faults().crash("after-lunch")


def test_timer_that_rings_as_a_session_is_opened_leaves_no_transaction(toys: Bench, rows: Rows) -> None:
    def ring() -> None:
        raise JobTimeout("longer than it may")

    toys.faults.on("in-session", ring)
    send(toys, "checkpoint")

    assert [item.code for item in toys.pump("toys")] == ["TIMEOUT"]
    assert [item.state for item in toys.drain()] == ["succeeded"]


def test_session_whose_opening_fails_halfway_is_rolled_back(toys: Bench, rows: Rows) -> None:
    toys.faults.on("in-session", lambda: toys.connections.get().execute("SELECT 1 / 0"))
    send(toys, "final")

    assert [item.code for item in toys.pump("toys")] == ["DATABASE_ERROR"]
    assert [item.state for item in toys.drain()] == ["succeeded"]


def a_body(**members: Any) -> str:
    return json.dumps({"job": "toy-play", "payload": {"tenantId": "acme", **members}})


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(a_body(note="an emoji cut in two: \ud83d"), id="half a surrogate pair"),
        pytest.param(a_body(**{"\ud83d": 1}), id="half a surrogate pair as a name"),
        pytest.param(a_body(note="a\0b"), id="NUL"),
        pytest.param(a_body(_meta={"id": "a\0b", "correlationId": "\ud83d!"}), id="NUL in an identity"),
        pytest.param(a_body(_meta={"sentAt": "0001-01-01T00:00:00+14:00"}), id="an instant before all time"),
    ],
)
def test_text_that_no_database_holds_stops_no_message(toys: Bench, rows: Rows, body: str) -> None:
    toys.send_raw("toys", body)

    toys.drain()

    assert [row["state"] for row in rows(STATES)] == ["succeeded"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param('{"job": "toy-play", "payload": {"tenantId": "acme", "n": NaN}}', "no JSON", id="NaN"),
        pytest.param(a_body(_meta={"run": {"id": str(toy_jobs.REGISTRY), "seq": 1}}), "id and seq", id="no run"),
        pytest.param(
            a_body(_meta={"run": {"id": "00000000-0000-4000-8000-000000000001", "seq": 2**31}}), "leg", id="seq"
        ),
    ],
)
def test_rubbish_is_a_dead_letter_with_its_reason(toys: Bench, body: str, says: str) -> None:
    toys.send_raw("toys", body)

    toys.drain()

    [letter] = toys.queues.dead("toys")
    assert letter.attributes["code"] == "MALFORMED_MESSAGE"
    assert says in letter.attributes["reason"]
