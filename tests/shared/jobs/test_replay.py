"""Sending runs of the ledger again: which, as what, and what becomes of them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from shared.crypto import Keyring
from shared.jobs import JobContext, Permanent
from shared.jobs.context import Tenant
from shared.jobs.ledger import RunFilter
from shared.jobs.replay import PAGE, SKIPPED_DELAY_S, Replayed, Replayer, renewed
from shared.jobs.testing import START, Bench
from tests import toys as toy_jobs
from tests.conftest import Rows
from tests.toys import ToyAsked

DAY_S = 24 * 3600


@pytest.fixture
def replayer(toys: Bench) -> Replayer:
    return Replayer(toys.connections.get(), toys.registry, toys.queues, toys.keyring, toys.blobs)


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """toy-play's act `fails` dies while its n is in this set: the cause that somebody mends."""
    broken: set[int] = set(range(100))

    def act(ctx: JobContext, payload: ToyAsked) -> None:
        if payload.n in broken:
            raise Permanent("TOY_BROKEN" if payload.n % 2 else "TOY_ODD")

    monkeypatch.setitem(toy_jobs.ACTS, "fails", act)
    return broken


def history(toys: Bench, n: int = 4) -> None:
    """Dead runs a minute apart: n = 0, 2 of acme with TOY_ODD, 1, 3 of globex with TOY_BROKEN; one that succeeded."""
    for number in range(n):
        slug = "globex" if number % 2 else "acme"
        toys.send("toy-play", {"tenantId": slug, "act": "fails", "n": number}, key=f"k-{number}")
        toys.drain()
        toys.clock.advance(s=60)
    toys.send("toy-play", {"tenantId": "acme", "n": 50}, key="k-50")
    toys.drain()


def run(replayer: Replayer, toys: Bench, where: RunFilter | None = None, **options: Any) -> Replayed:
    return replayer.replay(where or RunFilter(state="dead"), now=toys.clock.now(), limit=1000, **options)


def replayed(toys: Bench) -> list[int]:
    return sorted(done.result["n"] for done in toys.drain() if done.state == "succeeded")


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (RunFilter(job="toy-play"), [0, 1, 2, 3]),
        (RunFilter(job="toy-dig"), []),
        (RunFilter(tenant="globex"), [1, 3]),
        (RunFilter(state="dead"), [0, 1, 2, 3]),
        (RunFilter(state="skipped"), []),
        (RunFilter(code="TOY_ODD"), [0, 2]),
        (RunFilter(since=START + timedelta(seconds=60), until=START + timedelta(seconds=180)), [1, 2]),
        (RunFilter(tenant="acme", code="TOY_ODD", since=START + timedelta(seconds=1)), [2]),
    ],
    ids=["job", "another job", "tenant", "state", "another state", "code", "time", "several"],
)
def test_runs_that_match_run_anew_and_no_others(
    toys: Bench, replayer: Replayer, fails: set[int], where: RunFilter, found: list[int]
) -> None:
    history(toys)
    fails.clear()

    done = run(replayer, toys, where)

    assert done.total == len(found)
    assert replayed(toys) == found


def test_replayed_run_keeps_its_identity_and_its_key(
    toys: Bench, replayer: Replayer, fails: set[int], rows: Rows
) -> None:
    history(toys, 1)
    fails.clear()

    run(replayer, toys)
    [done] = toys.drain()

    assert done.attempt == 1
    found = rows("SELECT key, correlation_id, state, sent_at FROM jobs.runs WHERE key = 'k-0' ORDER BY run_at")
    assert [(row["key"], row["state"]) for row in found] == [("k-0", "dead"), ("k-0", "succeeded")]
    assert found[0]["correlation_id"] == found[1]["correlation_id"]
    assert found[0]["sent_at"] == found[1]["sent_at"]


def test_dry_run_counts_the_same_and_sends_nothing(toys: Bench, replayer: Replayer, fails: set[int]) -> None:
    history(toys)

    done = run(replayer, toys, dry_run=True)

    assert (done.dry_run, done.sent) == (True, {"toy-play": 4})
    assert toys.queues.queues["toys"] == []


def test_replay_done_twice_runs_once(toys: Bench, replayer: Replayer, fails: set[int], rows: Rows) -> None:
    history(toys, 2)
    fails.clear()

    assert [run(replayer, toys).total for _ in range(2)] == [2, 2]
    done = toys.drain()

    assert sorted(item.state for item in done) == ["duplicate", "duplicate", "succeeded", "succeeded"]
    assert run(replayer, toys).total == 0  # their keys have succeeded since


def test_run_that_dies_again_can_be_replayed_again(toys: Bench, replayer: Replayer, fails: set[int]) -> None:
    history(toys, 1)

    for _ in range(2):
        assert run(replayer, toys).total == 1
        assert [item.state for item in toys.drain()] == ["dead"]
        toys.clock.advance(s=1)


def test_old_run_is_replayed_however_long_its_job_lets_a_message_live(
    toys: Bench, replayer: Replayer, fails: set[int]
) -> None:
    history(toys, 1)
    fails.clear()
    toys.clock.advance(days=20)

    run(replayer, toys)

    assert replayed(toys) == [0]


@pytest.mark.parametrize(("force", "states"), [(False, []), (True, ["succeeded"])])
def test_run_that_succeeded_runs_again_by_force_only_and_under_a_key_of_its_own(
    toys: Bench, replayer: Replayer, rows: Rows, force: bool, states: list[str]
) -> None:
    toys.send("toy-play", {"tenantId": "acme", "n": 50}, key="k-50")
    toys.drain()

    run(replayer, toys, RunFilter(job="toy-play"), force=force)

    assert [item.state for item in toys.drain()] == states
    keys = [row["key"] for row in rows("SELECT key FROM jobs.claims ORDER BY key")]
    assert keys[0] == "k-50"
    assert all(key.startswith("k-50~") for key in keys[1:])


def test_forced_replay_of_a_content_key_runs_too(toys: Bench, replayer: Replayer) -> None:
    """toy-watch's key is made of content and time alone: the suffix is added to whatever the job makes."""
    toys.send("toy-watch", {"tenantId": "acme", "n": 3})
    toys.drain()

    run(replayer, toys, RunFilter(job="toy-watch"), force=True)

    assert [item.state for item in toys.drain()] == ["succeeded"]


def test_skipped_runs_of_a_tenant_replay_when_it_is_active_again(
    toys: Bench, replayer: Replayer, admin: psycopg.Connection[Any], tenant: Tenant
) -> None:
    admin.execute("UPDATE public.organizations SET status = 'suspended' WHERE slug = 'acme'")
    for n in range(3):
        toys.send("toy-play", {"tenantId": "acme", "n": n}, key=f"k-{n}")
    assert [item.state for item in toys.pump("toys")] == ["skipped"] * 3
    admin.execute("UPDATE public.organizations SET status = 'active' WHERE slug = 'acme'")

    done = run(replayer, toys, RunFilter(tenant="acme", state="skipped"))

    assert done.total == 3
    waits = {(m.visible_at - toys.clock.now()).total_seconds() for m in toys.queues.queues["toys"]}
    assert waits == {SKIPPED_DELAY_S}  # functions remember the suspension for a while
    toys.directory._known.clear()
    assert replayed(toys) == [0, 1, 2]
    assert run(replayer, toys, RunFilter(tenant="acme", state="skipped")).total == 0


def test_refused_message_is_replayed_when_its_job_can_read_it(toys: Bench, replayer: Replayer, rows: Rows) -> None:
    toys.send("toy-play", {"tenantId": "acme", "n": "seven"}, key="k")
    toys.drain()

    for _ in range(2):
        assert run(replayer, toys, RunFilter(code="INVALID_PAYLOAD")).total == 1
        assert [item.code for item in toys.drain()] == ["INVALID_PAYLOAD"]


def test_run_whose_message_is_lost_is_sent_again_once_it_is_overdue(toys: Bench, replayer: Replayer, play: Any) -> None:
    play("recover", expect="retrying")
    toys.queues.queues["toys"].clear()
    waiting = RunFilter(state="retrying")

    assert run(replayer, toys, waiting).total == 0
    toys.clock.advance(s=1000)
    assert run(replayer, toys, waiting).total == 1

    assert [(item.state, item.attempt) for item in toys.drain()] == [("succeeded", 2)]


def test_running_runs_are_never_replayed(toys: Bench, replayer: Replayer) -> None:
    toys.send("toy-play", {"tenantId": "acme", "act": "crash"})
    with pytest.raises(toy_jobs.Crash):
        toys.pump("toys")
    toys.clock.advance(days=1)

    assert run(replayer, toys, RunFilter(job="toy-play"), force=True).total == 0


def test_what_cannot_be_sent_is_counted(
    toys: Bench, replayer: Replayer, fails: set[int], admin: psycopg.Connection[Any]
) -> None:
    history(toys, 4)
    toys.send_raw("toys", "{broken")
    toys.drain()
    admin.execute("DELETE FROM jobs.payloads WHERE run_id = (SELECT run_id FROM jobs.runs WHERE key = 'k-0')")
    admin.execute("UPDATE jobs.payloads SET body = NULL, blob_key = 'payloads/globex/gone'"
                  " WHERE run_id = (SELECT run_id FROM jobs.runs WHERE key = 'k-1')")  # fmt: skip
    sealed = Keyring.single("another-key-that-nobody-has-any-more").seal(b"{}", aad=b"acme", purpose="ledger-payload")
    admin.execute("UPDATE jobs.payloads SET body = %s WHERE run_id = (SELECT run_id FROM jobs.runs WHERE key = 'k-2')",
                  (sealed,))  # fmt: skip

    done = run(replayer, toys)

    assert (done.total, done.gone, done.unreadable, done.unknown) == (1, 2, 1, 1)


def test_queue_that_takes_nothing_is_said(toys: Bench, replayer: Replayer, fails: set[int]) -> None:
    history(toys, 2)
    toys.queues.refuse_sends = 1

    done = run(replayer, toys)

    assert (done.total, done.refused) == (0, 2)


def test_replay_goes_on_over_pages_up_to_its_limit(
    toys: Bench, replayer: Replayer, fails: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    from shared.jobs import replay

    monkeypatch.setattr(replay, "PAGE", 2)
    monkeypatch.setattr(replay, "CANDIDATES", replay.CANDIDATES.replace(f"LIMIT {PAGE}", "LIMIT 2"))
    history(toys, 5)
    fails.clear()

    assert replayer.replay(RunFilter(state="dead"), now=toys.clock.now(), limit=3).total == 3

    assert replayed(toys) == [0, 1, 2]


@pytest.mark.parametrize("body", ["{broken", "[]", '{"payload": 3}', "3"])
def test_body_that_is_no_message_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        renewed(body, START)


@pytest.mark.parametrize(
    ("message", "meta", "named"),
    [
        ({}, {}, "sqs-1"),
        ({}, {"id": "own"}, "own"),
        ({"id": "event"}, {}, None),
        ({"idempotencyKey": "key"}, {}, None),
        ({}, {"key": "key"}, None),
        ({"taskToken": "t"}, {}, None),
    ],
    ids=["nothing", "an id", "the event's id", "a publisher's key", "an event's key", "a step's token"],
)
def test_message_without_a_name_keeps_the_one_it_was_known_by(
    message: dict[str, Any], meta: dict[str, Any], named: str | None
) -> None:
    body = json.dumps({"job": "j", "payload": {"tenantId": "acme", "_meta": meta}, **message})

    again = json.loads(renewed(body, START, id="sqs-1"))["payload"]["_meta"]

    assert again.get("id") == named
    assert again["agesFrom"] == START.isoformat()
