"""What the ledger answers, after real runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from shared.db.connections import connect
from shared.jobs import ledger
from shared.jobs.context import Tenant
from shared.jobs.ledger import RunFilter
from shared.jobs.payloads import open_payload
from shared.jobs.testing import START, Bench, ManualClock

UNKNOWN = UUID("00000000-0000-7000-8000-000000000000")


@pytest.fixture
def conn(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """The jobs' own login: what it may not read, no command can show."""
    with connect(database_url, application_name="test") as connection:
        yield connection


@pytest.fixture
def history(play: Callable[..., Any], toys: Bench, clock: ManualClock, other_tenant: Tenant) -> None:
    """Five runs, a minute apart: two succeeded, one dead, one waiting for its retry, one refused of another tenant."""
    for act, expect in (
        ("nothing", "succeeded"),
        ("permanent", "dead"),
        ("transient", "retrying"),
        ("nothing", "succeeded"),
    ):
        play(act, expect=expect)
        toys.queues.queues["toys"].clear()
        clock.advance(s=60)
    toys.send("toy-watch", {"tenantId": other_tenant.slug, "n": "no number"})
    toys.pump("other-toys")


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (RunFilter(), ["dead", "succeeded", "retrying", "dead", "succeeded"]),
        (RunFilter(job="toy-play"), ["succeeded", "retrying", "dead", "succeeded"]),
        (RunFilter(tenant="globex"), ["dead"]),
        (RunFilter(state="succeeded"), ["succeeded", "succeeded"]),
        (RunFilter(code="TOY_BROKEN"), ["dead"]),
        (RunFilter(since=START + timedelta(seconds=120)), ["dead", "succeeded", "retrying"]),
        (RunFilter(until=START + timedelta(seconds=60)), ["succeeded"]),
        (RunFilter(job="toy-play", state="dead", tenant="globex"), []),
        (RunFilter(correlation_id="nobody's"), []),
        (RunFilter(message_id="m2"), ["dead"]),
    ],
    ids=["all", "job", "tenant", "state", "code", "since", "until", "all conditions hold", "correlation", "message"],
)
def test_runs_are_found_by_what_is_known_of_them(
    history: None, conn: psycopg.Connection[Any], where: RunFilter, expected: list[str]
) -> None:
    page = ledger.search(conn, where)

    assert [run.state for run in page.runs] == expected
    assert page.next is None


def test_pages_follow_each_other_without_gap_or_repetition(history: None, conn: psycopg.Connection[Any]) -> None:
    whole = [run.run_id for run in ledger.search(conn, RunFilter()).runs]

    found: list[UUID] = []
    page = ledger.search(conn, RunFilter(), limit=2)
    sizes = [len(page.runs)]
    found += [run.run_id for run in page.runs]
    while page.next:
        page = ledger.search(conn, RunFilter(), limit=2, after=page.next)
        sizes.append(len(page.runs))
        found += [run.run_id for run in page.runs]

    assert sizes == [2, 2, 1]
    assert found == whole


def test_place_that_is_none_is_refused(conn: psycopg.Connection[Any]) -> None:
    with pytest.raises(ValueError, match="no place in the list"):
        ledger.search(conn, RunFilter(), after="yesterday")


def test_counts_are_by_job_and_state(history: None, conn: psycopg.Connection[Any]) -> None:
    counts = [(row.job, row.state, row.runs) for row in ledger.counts(conn)]

    assert counts == [
        ("toy-play", "dead", 1),
        ("toy-play", "retrying", 1),
        ("toy-play", "succeeded", 2),
        ("toy-watch", "dead", 1),
    ]
    assert ledger.counts_by_state(conn) == {"dead": 2, "retrying": 1, "succeeded": 2}
    assert ledger.counts_by_state(conn, RunFilter(tenant="globex")) == {"dead": 1}


def test_run_is_shown_with_claim_timeline_chain_and_sealed_payload(
    play: Callable[..., Any], toys: Bench, clock: ManualClock, conn: psycopg.Connection[Any]
) -> None:
    done = play("emit", 7)
    clock.advance(s=5)
    toys.pump("other-toys")

    detail = ledger.show(conn, done.run_id)

    assert detail is not None
    assert detail.run.result == {"n": 7, "attempt": 1}
    assert detail.claim is not None
    assert detail.claim["state"] == "succeeded"
    assert [moment.what.split(" after")[0] for moment in detail.timeline] == [
        "sent by sqs straight to the queue",
        "first claimed",
        "succeeded",
    ]
    assert sorted(run.job for run in detail.chain) == ["toy-guard", "toy-watch"]
    sealed = ledger.sealed_payload(conn, done.run_id)
    assert sealed is not None
    assert detail.payload_kept
    assert b"emit" not in (sealed.body or b"")
    assert '"act":"emit"' in open_payload(sealed, "acme", toys.keyring, toys.blobs)


def test_timeline_tells_of_a_retry_to_come_and_of_a_refusal(
    play: Callable[..., Any], toys: Bench, conn: psycopg.Connection[Any]
) -> None:
    waiting = play("transient", expect="retrying")
    toys.send("toy-watch", {"tenantId": "acme", "n": "no number"})
    toys.pump("other-toys")
    refused = ledger.search(conn, RunFilter(job="toy-watch")).runs[0]

    retry = ledger.show(conn, waiting.run_id)
    refusal = ledger.show(conn, refused.run_id)

    assert retry is not None
    assert retry.timeline[-1].what.startswith("comes back (retrying TOY_LATER")
    assert refusal is not None
    assert refusal.claim is None
    assert [moment.what for moment in refusal.timeline][-1] == "refused: dead INVALID_PAYLOAD"


def test_run_that_waits_is_cancelled_at_once_and_one_that_is_over_is_not(
    play: Callable[..., Any], clock: ManualClock, conn: psycopg.Connection[Any]
) -> None:
    waiting = play("transient", expect="retrying")
    first = clock.now()

    assert ledger.cancel(conn, waiting.run_id, first) == "cancelled"
    assert ledger.cancel(conn, waiting.run_id, first + timedelta(hours=1)) == "over"

    run = ledger.find(conn, waiting.run_id)
    assert run is not None
    assert run.cancel_requested_at == first
    assert (run.state, run.ended_at) == ("cancelled", first)
    assert ledger.cancel(conn, play("nothing").run_id, first) == "over"
    assert ledger.cancel(conn, UNKNOWN, first) == "unknown"


def test_roots_are_the_runs_of_the_message_itself(
    play: Callable[..., Any], toys: Bench, conn: psycopg.Connection[Any]
) -> None:
    done = play("emit", 7)
    toys.pump("other-toys")
    run = ledger.find(conn, done.run_id)
    assert run is not None
    correlation = run.correlation_id or ""

    assert [r.job for r in ledger.roots(conn, correlation, ["toy-play", "toy-watch"])] == ["toy-play"]
    assert ledger.roots(conn, correlation, ["toy-watch"]) == []


def test_backlog_is_what_the_relay_could_not_send(
    play: Callable[..., Any], toys: Bench, clock: ManualClock, conn: psycopg.Connection[Any]
) -> None:
    assert ledger.outbox_backlog(conn) == ledger.OutboxBacklog(0, None, 0)
    toys.bus.refuse = 1

    play("emit", 7)

    backlog = ledger.outbox_backlog(conn)
    assert (backlog.rows, backlog.oldest_at, backlog.attempts) == (1, START, 1)


def test_run_that_nobody_knows_is_none(conn: psycopg.Connection[Any]) -> None:
    assert ledger.show(conn, UNKNOWN) is None
    assert ledger.sealed_payload(conn, UNKNOWN) is None
