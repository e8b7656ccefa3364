"""The way of one message through the real pipeline on a real database; what is asked of every step."""

from __future__ import annotations

import json
from typing import Any

import psycopg
import pytest

from shared.jobs.admission import run_key
from shared.jobs.context import Tenant
from shared.jobs.messages import OWN_SOURCE
from shared.jobs.testing import Bench, Deliver
from tests import toys as toy_jobs
from tests.conftest import Rows
from tests.toys import Crash, ToyAsked, ToySeen

RUNS = "SELECT job, state, code, detail, attempt, seq, result, progress FROM jobs.runs ORDER BY run_at, run_id"
CONFIG = "SELECT key FROM tenant_config WHERE key LIKE 'toy-%%' ORDER BY key"


def keys(rows: Rows, tenant: Tenant | None = None) -> list[str]:
    return [row["key"] for row in rows(CONFIG, {}, tenant=tenant)]


def started(act: str) -> int:
    return sum(1 for call in toy_jobs.calls if call[1] == act)


# Parse and admit.


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        pytest.param("{broken", "MALFORMED_MESSAGE", "no JSON", id="broken JSON"),
        pytest.param("[]", "MALFORMED_MESSAGE", "object", id="no object"),
        pytest.param('{"job":"toy-play"}', "MALFORMED_MESSAGE", "payload", id="no payload"),
        pytest.param('{"payload":{}}', "MALFORMED_MESSAGE", "neither", id="names neither job nor event"),
        pytest.param('{"job":"toy-play","payload":{"_meta":3}}', "MALFORMED_MESSAGE", "_meta", id="meta no object"),
        pytest.param('{"job":"toy-play","payload":{}}', "INVALID_PAYLOAD", "tenantId", id="no tenant"),
        pytest.param(
            '{"job":"toy-play","payload":{"tenantId":"nobody"}}', "INVALID_PAYLOAD", "unknown", id="unknown tenant"
        ),
        pytest.param(
            '{"job":"toy-play","payload":{"tenantId":"system"}}', "INVALID_PAYLOAD", "unknown", id="system from outside"
        ),
        pytest.param(
            '{"job":"toy-play","payload":{"tenantId":"acme","n":"7"}}', "INVALID_PAYLOAD", "n: ", id="wrong type"
        ),
        pytest.param(
            '{"job":"toy-play","payload":{"tenantId":"acme","_meta":{"hops":101}}}', "LOOP", "100", id="too many hops"
        ),
    ],
)
def test_message_that_cannot_run_is_a_dead_letter_with_its_reason(
    toys: Bench, rows: Rows, body: str, code: str, says: str
) -> None:
    toys.send_raw("toys", body)

    toys.pump("toys")

    assert toys.queues.queues["toys"] == []
    [letter] = toys.queues.dead("toys")
    assert letter.attributes["code"] == code
    assert says in letter.attributes["reason"]
    [run] = rows(RUNS)
    assert (run["state"], run["code"]) == ("dead", code)
    assert toy_jobs.calls == []


def test_refused_values_stand_neither_in_the_letter_nor_in_the_ledger(toys: Bench, rows: Rows) -> None:
    toys.send("toy-play", {"tenantId": "acme", "n": "jane@example.com"})

    toys.pump("toys")

    assert "jane" not in str(toys.queues.dead("toys")[0].attributes)
    assert "jane" not in str(rows("SELECT * FROM jobs.runs"))


def test_unknown_job_waits_for_the_deploy_and_then_goes_dead(toys: Bench) -> None:
    toys.send_raw("toys", json.dumps({"job": "toy-future", "payload": {"tenantId": "acme"}}))

    toys.pump("toys")
    assert toys.queues.dead("toys") == []
    toys.clock.advance(s=16 * 60)
    toys.pump("toys")

    assert toys.queues.dead("toys")[0].attributes["code"] == "UNKNOWN_JOB"


def test_organization_id_names_the_tenant_too(toys: Bench, tenant: Tenant) -> None:
    done = Deliver(toys, tenant).job("toy-play", {}, tenant=str(tenant.organization_id))

    assert done.state == "succeeded"


def test_suspended_tenant_is_skipped_with_its_payload_kept(
    toys: Bench, rows: Rows, admin: psycopg.Connection[Any]
) -> None:
    admin.execute("UPDATE public.organizations SET status = 'suspended' WHERE slug = 'acme'")
    toys.send("toy-play", {"tenantId": "acme"})

    [done] = toys.pump("toys")

    assert done.state == "skipped"
    assert toys.queues.dead("toys") == []
    assert rows("SELECT count(*) AS n FROM jobs.payloads") == [{"n": 1}]


def test_job_for_any_tenant_serves_a_suspended_one(toys: Bench, tenant: Tenant, admin: psycopg.Connection[Any]) -> None:
    admin.execute("UPDATE public.organizations SET status = 'suspended' WHERE slug = 'acme'")

    assert Deliver(toys, tenant).job("toy-guard", {"n": 1}).state == "succeeded"


def test_tenant_without_role_is_tried_again_until_it_is_provisioned(
    toys: Bench, admin: psycopg.Connection[Any]
) -> None:
    admin.execute("INSERT INTO public.organizations (slug, name, status) VALUES ('newborn', 'New', 'active')")
    toys.send("toy-play", {"tenantId": "newborn"})

    assert toys.pump("toys") == []
    assert len(toys.queues.queues["toys"]) == 1


def test_onboarding_tenant_runs_events(toys: Bench, tenant: Tenant, admin: psycopg.Connection[Any]) -> None:
    admin.execute("UPDATE public.organizations SET status = 'onboarding' WHERE slug = 'acme'")

    assert Deliver(toys, tenant).job("toy-play", {}).state == "succeeded"


def test_message_older_than_its_job_allows_ends_expired(toys: Bench, tenant: Tenant) -> None:
    toys.send("toy-guard", {"tenantId": "acme", "n": 1})
    toys.clock.advance(s=3601)

    [done] = toys.pump("other-toys")

    assert (done.state, done.code) == ("dead", "EXPIRED")


# Claim.


def test_second_delivery_of_one_message_finds_it_done(toys: Bench, play: Any, rows: Rows) -> None:
    play("nothing", key="k")

    again = play("nothing", key="k", expect="duplicate")

    assert again.detail == "succeeded before"
    assert started("nothing") == 1
    assert [run["state"] for run in rows(RUNS)] == ["succeeded", "duplicate"]


def test_two_messages_of_one_key_in_one_batch_run_once(toys: Bench) -> None:
    for _ in range(2):
        toys.send("toy-play", {"tenantId": "acme"}, key="same")

    toys.drain()

    assert started("nothing") == 1
    assert toys.queues.queues["toys"] == []


def test_publishers_key_with_another_payload_is_refused(toys: Bench, play: Any) -> None:
    play("nothing", 1, key="k")

    refused = play("nothing", 2, key="k", expect="dead")

    assert refused.code == "KEY_REUSED"


def test_own_keys_with_differing_details_are_one_run(toys: Bench, tenant: Tenant) -> None:
    for n in (1, 2):
        toys.bus.put("toy.seen", {"tenantId": "acme", "n": n, "_meta": {"key": "one"}}, source=OWN_SOURCE)
    toys.drain()

    assert toy_jobs.calls.count(("toy-watch", "seen", 1)) == 1


def test_same_key_of_two_tenants_are_two_runs(toys: Bench, tenant: Tenant, other_tenant: Tenant) -> None:
    deliver = Deliver(toys, tenant)

    deliver.job("toy-play", {}, key="k")
    deliver.job("toy-play", {}, key="k", tenant=other_tenant)

    assert started("nothing") == 2


def test_run_that_is_under_way_elsewhere_comes_back_at_its_leases_end(toys: Bench, rows: Rows) -> None:
    toys.send("toy-play", {"tenantId": "acme", "act": "crash", "n": 1}, key="k")
    with pytest.raises(Crash):
        toys.pump("toys")
    toys.send("toy-play", {"tenantId": "acme", "act": "crash", "n": 1}, key="k")
    toys.queues.queues["toys"] = toys.queues.queues["toys"][1:]

    assert toys.pump("toys") == []
    [waiting] = toys.queues.queues["toys"]
    assert 100 <= (waiting.visible_at - toys.clock.now()).total_seconds() <= 102


def test_crashed_run_is_taken_over_with_the_next_attempt(toys: Bench, rows: Rows) -> None:
    toys.send("toy-play", {"tenantId": "acme", "act": "crash_once", "n": 5})
    with pytest.raises(Crash):
        toys.pump("toys")

    done = [item for item in toys.drain() if item.job == "toy-play"]

    assert [(item.state, item.attempt) for item in done] == [("succeeded", 2)]
    assert keys(rows) == ["toy-5"]
    assert toy_jobs.calls.count(("toy-guard", "seen", 5)) == 1


def test_neighbours_of_a_message_that_kills_its_process_all_end_well(toys: Bench, rows: Rows) -> None:
    for n in range(9):
        toys.send("toy-play", {"tenantId": "acme", "act": "checkpoint", "n": n})
    toys.send("toy-play", {"tenantId": "acme", "act": "crash", "n": 99})

    for _ in range(5):
        try:
            toys.drain()
        except Crash:
            continue

    assert len(keys(rows)) == 9
    [letter] = toys.queues.dead("toys")
    assert json.loads(letter.body)["payload"]["n"] == 99


def test_dead_run_delivered_again_runs_anew(toys: Bench, play: Any) -> None:
    play("permanent", key="k", expect="dead")

    again = play("permanent", key="k", expect="dead")

    assert again.attempt == 1
    assert started("permanent") == 2


# Execute: errors decide.


@pytest.mark.parametrize(
    ("act", "state", "code"),
    [
        ("permanent", "dead", "TOY_BROKEN"),
        ("transient", "retrying", "TOY_LATER"),
        ("rate_limited", "deferred", "RATE_LIMITED"),
        ("deferred", "deferred", "TOY_NOT_NOW"),
        ("bug", "retrying", "UNEXPECTED"),
        ("look_into_ledger", "retrying", "DATABASE_ERROR"),
        ("slow_statement", "retrying", "DATABASE_BUSY"),
        ("http_in_session", "retrying", "UNEXPECTED"),
        ("two_sessions", "retrying", "UNEXPECTED"),
        ("after_final", "retrying", "UNEXPECTED"),
        ("undeclared", "retrying", "UNEXPECTED"),
    ],
)
def test_what_a_handler_raises_decides_what_follows(play: Any, act: str, state: str, code: str) -> None:
    assert play(act, expect=state).code == code


def test_text_of_an_unexpected_error_stays_out_of_ledger_and_log(
    play: Any, rows: Rows, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        play("bug", expect="retrying")

    assert rows(RUNS)[0]["detail"] == "KeyError"
    assert "a-customers-name" not in " ".join(str(vars(record)) for record in caplog.records)


def test_transient_error_is_retried_by_the_policy_and_then_dead(toys: Bench, play: Any, rows: Rows) -> None:
    first = play("transient", expect="retrying")
    deliver = Deliver(toys, Tenant("acme", first.run_id, "active"))
    second = deliver.again("toys", expect="retrying")
    third = deliver.again("toys", expect="dead")

    assert 1 <= (first.delay_s or 0) <= 2  # min_s 2, lower half kept
    assert 2 <= (second.delay_s or 0) <= 4
    assert third.attempt == 3
    [letter] = toys.queues.dead("toys")
    assert {"code", "reason", "job", "tenant", "run", "firstSentAt"} <= set(letter.attributes)
    assert [run["state"] for run in rows(RUNS)] == ["dead"]


def test_dead_run_raises_an_alert_event(toys: Bench, play: Any) -> None:
    play("permanent", expect="dead")

    [(name, detail)] = toys.bus.published
    assert name == "alert.systemError"
    assert detail["dedupeKey"].startswith("dead:toy-play:TOY_BROKEN:")
    assert (detail["severity"], detail["source"], detail["tenantId"]) == ("error", "kernel", "acme")


def test_retry_after_burns_no_attempt(toys: Bench, play: Any) -> None:
    play("once_limited", expect="deferred")

    done = Deliver(toys, Tenant("acme", None, "active")).again("toys")  # type: ignore[arg-type]

    assert done.result["attempt"] == 1


def test_retry_can_succeed(toys: Bench, play: Any) -> None:
    play("recover", expect="retrying")

    assert [item.result for item in toys.drain()] == [{"n": 0, "attempt": 2}]


def test_handler_over_its_time_is_stopped_by_the_timer(toys: Bench, play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    object.__setattr__(toy_jobs.play, "timeout_s", 0.05)
    try:
        stopped = play("too_slow", expect="retrying")
    finally:
        object.__setattr__(toy_jobs.play, "timeout_s", 5)

    assert stopped.code == "TIMEOUT"


def test_run_that_cannot_end_in_time_is_handed_back_unbegun(toys: Bench) -> None:
    from shared.jobs.testing import FixedContext

    toys.send("toy-play", {"tenantId": "acme"})
    records = toys.queues.receive("toys", 10, 540)

    answer = toys.fast.handle(records, FixedContext(remaining_ms=9_000))

    assert [item["itemIdentifier"] for item in answer["batchItemFailures"]] == [records[0].message_id]
    assert toy_jobs.calls == []
    assert [item.attempt for item in toys.drain()] == [1]


# Sessions, fence, settle.


def test_checkpoint_commits_data_and_event_together(play: Any, rows: Rows) -> None:
    done = play("checkpoint", 3)

    assert keys(rows) == ["toy-3"]
    assert done.emitted == [("toy.done", {"n": 3})]


def test_failed_session_leaves_neither_data_nor_event(toys: Bench, play: Any, rows: Rows) -> None:
    play("session_fails", 3, expect="retrying")

    assert keys(rows) == []
    assert toys.bus.published == []
    assert rows("SELECT * FROM jobs.outbox") == []


def test_final_session_commits_with_the_runs_end(play: Any, rows: Rows) -> None:
    play("final", 4)

    assert keys(rows) == ["toy-4"]
    assert rows(RUNS)[0]["result"] == {"n": 4, "attempt": 1}


def test_error_after_the_final_session_undoes_it(toys: Bench, play: Any, rows: Rows) -> None:
    play("final_then_bug", 4, expect="retrying")

    assert keys(rows) == []
    assert toys.bus.published == []


def test_events_of_a_failed_run_are_not_sent(toys: Bench, play: Any) -> None:
    play("emit_then_fail", expect="retrying")

    assert toys.bus.published == []


@pytest.mark.parametrize("act", ["checkpoint", "final"])
def test_zombie_whose_lease_was_taken_writes_nothing(toys: Bench, make_bench: Any, rows: Rows, act: str) -> None:
    """The first process stalls, a second takes its run over and ends it; then the first wakes up and commits."""
    second: Bench = make_bench(toy_jobs.REGISTRY)
    second.queues = toys.queues

    def stall(ctx: Any, payload: ToyAsked) -> None:
        if ctx.attempt == 1:
            toys.clock.advance(s=200)
            records = toys.queues.receive("toys", 1, 540)
            second.fast.handle(records, _context())
        toy_jobs.ACTS[act](ctx, ToyAsked(act=act, n=ctx.attempt))

    toy_jobs.ACTS["stall"] = stall
    toys.send("toy-play", {"tenantId": "acme", "act": "stall"})
    try:
        assert toys.pump("toys") == []
    finally:
        del toy_jobs.ACTS["stall"]

    assert keys(rows) == ["toy-2"]
    assert [(run["state"], run["attempt"]) for run in rows(RUNS)] == [("succeeded", 2)]


def _context() -> Any:
    from shared.jobs.testing import FixedContext

    return FixedContext()


def test_tenant_session_sees_its_own_schema_only(toys: Bench, tenant: Tenant, other_tenant: Tenant, rows: Rows) -> None:
    deliver = Deliver(toys, tenant)

    deliver.job("toy-play", {"act": "checkpoint", "n": 1})
    deliver.job("toy-play", {"act": "checkpoint", "n": 2}, tenant=other_tenant)

    assert keys(rows) == ["toy-1"]
    assert keys(rows, other_tenant) == ["toy-2"]


def test_progress_stands_in_the_ledger(play: Any, rows: Rows) -> None:
    play("show_progress")

    assert rows(RUNS)[0]["progress"] == {"done": 3, "total": 10}


def test_cancel_request_reaches_the_handler(toys: Bench, play: Any, admin: psycopg.Connection[Any]) -> None:
    def asked_meanwhile(ctx: Any, payload: ToyAsked) -> None:
        admin.execute("UPDATE jobs.runs SET cancel_requested_at = now()")
        toy_jobs.ACTS["ask_cancelled"](ctx, payload)

    toy_jobs.ACTS["asked_meanwhile"] = asked_meanwhile
    try:
        done = play("asked_meanwhile", expect="dead")
    finally:
        del toy_jobs.ACTS["asked_meanwhile"]

    assert done.code == "TOY_CANCELLED"


# Emit, again, continue.


def test_emitted_event_reaches_its_listener_with_the_chain_known(toys: Bench, play: Any, rows: Rows) -> None:
    play("emit", 8)

    toys.drain()

    assert ("toy-watch", "seen", 8) in toy_jobs.calls
    chain = rows("SELECT DISTINCT correlation_id FROM jobs.runs")
    assert len(chain) == 1


def test_delayed_event_goes_to_each_listener_after_its_time(toys: Bench, play: Any) -> None:
    play("emit_late", 9)

    waits = [(m.visible_at - toys.clock.now()).total_seconds() for m in toys.queues.queues["other-toys"]]
    assert waits == [300, 300]
    toys.drain()
    assert ("toy-watch", "seen", 9) in toy_jobs.calls
    assert ("toy-guard", "seen", 9) in toy_jobs.calls


def test_again_runs_the_next_step_as_a_new_run(toys: Bench, play: Any, rows: Rows) -> None:
    play("three_steps", 3)

    toys.drain()

    assert [n for _, act, n in toy_jobs.calls if act == "three_steps"] == [3, 2, 1]
    assert len(rows(RUNS)) == 3


def test_endless_chain_ends_in_the_dead_letter_queue(toys: Bench) -> None:
    toys.send("toy-dig", {"tenantId": "acme", "act": "forever"})

    toys.drain()

    assert toys.queues.dead("toys-bulk")[0].attributes["code"] == "LOOP"
    assert started("forever") == 6  # max_hops 5, and the first message


def test_continued_run_goes_on_under_the_same_run(toys: Bench, play: Any, rows: Rows) -> None:
    play("two_legs", expect="continuing")

    [done] = toys.drain()

    assert done.state == "succeeded"
    [run] = rows(RUNS)
    assert (run["state"], run["seq"]) == ("succeeded", 1)


def test_older_leg_delivered_late_is_acknowledged(toys: Bench, play: Any) -> None:
    play("two_legs", expect="continuing")
    [leg] = toys.queues.queues["toys"]
    toys.drain()
    toys.send_raw("toys", leg.body)

    [late] = toys.pump("toys")

    assert late.state == "duplicate"


def test_first_message_redelivered_while_the_run_goes_on_is_acknowledged(toys: Bench) -> None:
    toys.send("toy-play", {"tenantId": "acme", "act": "two_legs"}, key="k")
    toys.pump("toys")
    toys.send("toy-play", {"tenantId": "acme", "act": "two_legs"}, key="k")
    first = toys.queues.queues["toys"].pop()

    toys.queues.queues["toys"], leg = [first], toys.queues.queues["toys"]
    [late] = toys.pump("toys")
    toys.queues.queues["toys"] = leg
    [done] = toys.drain()

    assert (late.state, done.state) == ("duplicate", "succeeded")


def test_run_over_thirty_minutes_of_work_is_dead(toys: Bench, play: Any, admin: psycopg.Connection[Any]) -> None:
    play("endless_legs", expect="continuing")
    admin.execute("UPDATE jobs.claims SET work_ms = 30 * 60 * 1000")

    [done] = toys.pump("toys")

    assert (done.state, done.code) == ("dead", "CONTINUATION_LIMIT")


# Relay and answer.


def test_event_that_the_bus_refused_is_relayed_by_the_sweeper(toys: Bench, play: Any, rows: Rows) -> None:
    toys.bus.refuse = 1
    play("final", 6)
    assert toys.bus.published == []
    assert len(rows("SELECT 1 FROM jobs.outbox")) == 1

    toys.clock.advance(s=61)
    assert toys.relay.sweep(toys.connections.get(), toys.clock.now()) == 1

    assert [name for name, _ in toys.bus.published] == ["toy.done"]
    assert rows("SELECT 1 FROM jobs.outbox") == []


def test_sweeper_leaves_fresh_rows_to_their_own_process(toys: Bench, play: Any) -> None:
    toys.bus.refuse = 1
    play("final", 6)

    assert toys.relay.sweep(toys.connections.get(), toys.clock.now()) == 0


def test_message_deferred_too_often_is_replaced_by_a_copy(toys: Bench) -> None:
    toys.send("toy-play", {"tenantId": "acme", "act": "deferred", "n": 1})
    [message] = toys.queues.queues["toys"]
    message.receive_count = 39

    toys.pump("toys")

    [copy] = toys.queues.queues["toys"]
    assert copy.message_id != message.message_id
    assert copy.receive_count == 0
    assert (copy.visible_at - toys.clock.now()).total_seconds() == 30
    assert json.loads(copy.body)["payload"]["_meta"]["id"] == message.message_id
    [item] = toys.pump("toys") or toys.drain(most=1)
    assert item.state == "deferred"


def test_copy_that_cannot_be_sent_leaves_the_old_message(toys: Bench) -> None:
    toys.send("toy-play", {"tenantId": "acme", "act": "deferred"})
    [message] = toys.queues.queues["toys"]
    message.receive_count = 39
    toys.queues.refuse_sends = 1

    toys.pump("toys")

    assert toys.queues.queues["toys"] == [message]


def test_batch_of_mixed_fates_answers_each_message_for_itself(toys: Bench) -> None:
    for n, act in enumerate(["nothing", "permanent", "transient", "rate_limited", "final"]):
        toys.send("toy-play", {"tenantId": "acme", "act": act, "n": n})

    done = toys.pump("toys")

    assert sorted(item.state for item in done) == ["dead", "deferred", "retrying", "succeeded", "succeeded"]
    assert len(toys.queues.queues["toys"]) == 2


def test_batch_comes_back_uncounted_when_the_database_is_gone(toys: Bench, rows: Rows) -> None:
    from shared.db.connections import ConnectionHolder
    from shared.jobs.testing import FixedContext

    for n in range(3):
        toys.send("toy-play", {"tenantId": "acme", "n": n})
    records = toys.queues.receive("toys", 10, 540)
    gone = ConnectionHolder("host=127.0.0.1 port=9 dbname=none connect_timeout=1", application_name="gone")
    object.__setattr__(toys.fast.shop, "connections", gone)

    answer = toys.fast.handle(records, FixedContext())

    assert len(answer["batchItemFailures"]) == 3
    assert all(m.visible_at > toys.clock.now() for m in toys.queues.queues["toys"])
    assert rows(RUNS) == []


def test_connection_cut_between_claim_and_settle_loses_nothing(
    toys: Bench, rows: Rows, admin: psycopg.Connection[Any]
) -> None:
    def cut(ctx: Any, payload: ToyAsked) -> None:
        if ctx.attempt == 1:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'cgk-test'"
            )
        toy_jobs.ACTS["final"](ctx, payload)

    toy_jobs.ACTS["cut"] = cut
    toys.send("toy-play", {"tenantId": "acme", "act": "cut", "n": 7})
    try:
        toys.drain()
    finally:
        del toy_jobs.ACTS["cut"]

    assert keys(rows) == ["toy-7"]
    assert [run["state"] for run in rows(RUNS)] == ["succeeded"]
    assert toys.queues.queues["toys"] == []


def test_large_payload_is_kept_in_the_bucket(toys: Bench, rows: Rows) -> None:
    toys.send("toy-play", {"tenantId": "acme", "padding": "x" * 40_000})

    toys.pump("toys")

    [row] = rows("SELECT body, blob_key FROM jobs.payloads")
    assert row["body"] is None
    assert row["blob_key"] in toys.blobs.objects


def test_payload_in_the_ledger_is_sealed(toys: Bench, rows: Rows) -> None:
    toys.send("toy-play", {"tenantId": "acme", "note": "jane@example.com"})

    toys.pump("toys")

    [row] = rows("SELECT body FROM jobs.payloads")
    assert b"jane" not in bytes(row["body"])


def test_event_straight_to_a_queue_finds_its_job(toys: Bench) -> None:
    toys.send_raw("toys", json.dumps({"event": "toy.asked", "payload": {"tenantId": "acme"}}))

    [done] = toys.pump("toys")

    assert (done.job, done.state) == ("toy-play", "succeeded")


def test_long_keys_are_hashed(toys: Bench) -> None:
    from shared.jobs.envelope import parse
    from shared.jobs.messages import Record

    body = json.dumps({"job": "toy-play", "payload": {"tenantId": "acme"}, "idempotencyKey": "k" * 300})
    record = Record("m", "r", body, 1, toys.clock.now(), "toys")
    [message], [] = parse([record], toy_jobs.REGISTRY, toys.clock.now())

    assert run_key(message, ToyAsked()).startswith("sha256:")


def test_window_keys_join_a_burst(toys: Bench, tenant: Tenant) -> None:
    for _ in range(3):
        toys.publish(ToySeen(n=1), "acme")
    toys.drain()
    toys.clock.advance(s=61)
    toys.publish(ToySeen(n=1), "acme")
    toys.drain()

    assert toy_jobs.calls.count(("toy-watch", "seen", 1)) == 2
