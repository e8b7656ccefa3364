"""Steps of workflows through the real pipeline: how each is answered, once, and where its token is never seen."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import boto3
import psycopg
import pytest
from botocore.stub import Stubber
from psycopg import sql

from shared.jobs import HoldToken
from shared.jobs.context import Tenant
from shared.jobs.declaration import DeclarationError, job
from shared.jobs.memory_machines import Step
from shared.jobs.outbox import SWEEP_AFTER_S
from shared.jobs.ports import TaskAnswer
from shared.jobs.queues import Queue
from shared.jobs.testing import Bench, Deliver, Delivered
from shared.jobs.tokens import MAX_OUTPUT
from shared.jobs.workflows import StepFunctions, state_machines
from tests import workflow_toys as toys
from tests.conftest import MakeBench, Rows
from tests.workflow_toys import REVIEWS, ReviewChecked, Waits

QUEUE = REVIEWS.name
TABLES = "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('jobs', 'tenant_acme')"
TOKENS = "SELECT state, run_id, job, tenant FROM jobs.tokens"
OUTBOX = "SELECT kind, target, attempts FROM jobs.outbox"


@pytest.fixture
def reviews(make_bench: MakeBench) -> Bench:
    toys.calls.clear()
    bench: Bench = make_bench(toys.REGISTRY)
    return bench


def call(
    bench: Bench, job_id: str, *, step: Step | None = None, tenant: str = "acme", **payload: Any
) -> tuple[Step, Delivered]:
    """A step calls the job, which is delivered once."""
    waiting = bench.call(job_id, {"tenantId": tenant, "reviewId": "r1", **payload}, step=step)
    return waiting, pump(bench)


def pump(bench: Bench) -> Delivered:
    [done] = bench.pump(QUEUE)
    return done


def decide(bench: Bench, *, tenant: str = "acme", expect: str = "succeeded", **payload: Any) -> Delivered:
    bench.send("toy-decide", {"tenantId": tenant, "reviewId": "r1", **payload})
    done = pump(bench)
    assert done.state == expect, (done, done.error)
    return done


# The answer of a run that ends by itself.


def test_a_result_is_the_step_s_output(reviews: Bench, rows: Rows) -> None:
    step, done = call(reviews, "toy-check")

    assert done.state == "succeeded"
    assert step.output == done.result == {"ok": True, "attempt": 1, "text": ""}
    assert rows(OUTBOX) == []


def test_a_permanent_error_fails_the_step_with_its_code(reviews: Bench) -> None:
    step, done = call(reviews, "toy-check", act="permanent")

    assert done.state == "dead"
    assert (step.error, step.cause) == ("TOY_REFUSED", "not this one")
    [letter] = reviews.queues.dead(QUEUE)
    assert "taskToken" not in json.loads(letter.body)


def test_only_the_last_attempt_fails_the_step(reviews: Bench) -> None:
    step, done = call(reviews, "toy-check", act="transient")
    assert (done.state, step.over) == ("retrying", False)

    reviews.drain()

    assert step.error == "TOY_LATER"
    assert reviews.machines.answers == 1


def test_a_retried_run_answers_when_it_succeeds(reviews: Bench) -> None:
    step, _ = call(reviews, "toy-check", act="once")

    reviews.drain()

    assert step.output == {"ok": True, "attempt": 2, "text": ""}


def test_a_continued_run_answers_at_its_end(reviews: Bench) -> None:
    step, done = call(reviews, "toy-check", act="legs")
    assert (done.state, step.over) == ("continuing", False)

    reviews.drain()

    assert step.output["ok"] is True


def test_a_message_that_cannot_run_fails_the_step(reviews: Bench) -> None:
    step, done = call(reviews, "toy-check", act=7)

    assert (done.code, step.error) == ("INVALID_PAYLOAD", "INVALID_PAYLOAD")
    assert "taskToken" not in reviews.queues.dead(QUEUE)[0].body


def test_a_job_that_no_version_knows_fails_the_step_after_its_grace(reviews: Bench) -> None:
    step = reviews.machines.enter()
    body = {"job": "toy-future", "payload": {"tenantId": "acme"}, "taskToken": step.token}
    reviews.send_raw(QUEUE, json.dumps(body))

    reviews.pump(QUEUE)
    assert not step.over
    reviews.clock.advance(s=16 * 60)
    reviews.pump(QUEUE)

    assert step.error == "UNKNOWN_JOB"


def test_a_result_beyond_a_step_s_size_fails_the_step(reviews: Bench) -> None:
    step, done = call(reviews, "toy-check", act="large")

    assert done.state == "succeeded"
    assert step.error == "RESULT_TOO_LARGE"
    assert f"{MAX_OUTPUT:,}" in step.cause


def test_a_suspended_tenant_s_step_stays_open_for_the_replay(reviews: Bench, admin: psycopg.Connection[Any]) -> None:
    admin.execute("UPDATE public.organizations SET status = 'suspended' WHERE slug = 'acme'")

    step, done = call(reviews, "toy-check")

    assert (done.state, step.over) == ("skipped", False)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param({"job": "toy-check", "taskToken": 7}, "taskToken must be text", id="no text"),
        pytest.param({"job": "toy-check", "taskToken": "x" * 2049}, "1..2048", id="too long"),
        pytest.param({"event": "toy.reviewWaits", "taskToken": "x"}, "must name its job", id="an event with a token"),
    ],
)
def test_a_token_that_cannot_be_answered_is_refused(reviews: Bench, body: dict[str, Any], says: str) -> None:
    reviews.send_raw(QUEUE, json.dumps({**body, "payload": {"tenantId": "acme", "reviewId": "r1"}}))

    done = pump(reviews)

    assert done.code == "MALFORMED_MESSAGE"
    assert says in done.detail


# Once, and again to who asks again.


def test_a_message_delivered_twice_runs_once_and_its_step_hears_the_same(reviews: Bench) -> None:
    step, _ = call(reviews, "toy-check")
    _, done = call(reviews, "toy-check", step=step)

    assert done.state == "duplicate"
    assert len(toys.calls) == 1
    assert step.output["attempt"] == 1


def test_a_redriven_execution_s_new_token_is_answered_with_the_stored_result(reviews: Bench, rows: Rows) -> None:
    first, _ = call(reviews, "toy-check")
    second, done = call(reviews, "toy-check")

    assert done.state == "duplicate"
    assert len(toys.calls) == 1
    assert second.output == first.output
    assert rows(OUTBOX) == []


def test_a_step_that_failed_runs_anew_when_it_is_redriven(reviews: Bench) -> None:
    first, _ = call(reviews, "toy-check", act="permanent")
    second, done = call(reviews, "toy-check")

    assert first.error == "TOY_REFUSED"
    assert done.state == "succeeded"
    assert second.output["ok"] is True


def test_without_a_key_of_its_own_each_entry_of_a_step_is_a_run(reviews: Bench) -> None:
    first, _ = call(reviews, "toy-fresh")
    call(reviews, "toy-fresh", step=first)
    call(reviews, "toy-fresh")

    assert len(toys.calls) == 2


def test_a_new_token_waits_for_a_run_that_is_not_over(reviews: Bench) -> None:
    first, _ = call(reviews, "toy-check", act="legs")
    second = reviews.call("toy-check", {"tenantId": "acme", "reviewId": "r1", "act": "legs"})

    reviews.drain()

    assert first.output == second.output is not None
    assert len(toys.calls) == 2


def test_an_answer_out_of_reach_is_given_by_the_sweeper(reviews: Bench, rows: Rows) -> None:
    reviews.machines.refuse = 1
    step, done = call(reviews, "toy-check")
    assert (done.state, step.over) == ("succeeded", False)
    assert rows(OUTBOX) == [{"kind": "answer", "target": "success", "attempts": 1}]

    reviews.clock.advance(s=SWEEP_AFTER_S + 1)
    reviews.relay.sweep(reviews.connections.get(), reviews.clock.now())

    assert step.output["ok"] is True
    assert rows(OUTBOX) == []


@pytest.mark.parametrize(
    "known", [pytest.param(True, id="timed out or stopped"), pytest.param(False, id="never heard of")]
)
def test_a_step_that_is_gone_is_told_once_and_never_again(reviews: Bench, rows: Rows, known: bool) -> None:
    step = reviews.machines.enter()
    step.end()
    if not known:
        del reviews.machines.steps[step.token]

    _, done = call(reviews, "toy-check", step=step)

    assert done.state == "succeeded"
    assert reviews.machines.answers == 1
    assert rows(OUTBOX) == []


# Holding.


@pytest.mark.parametrize("act", ["final", "session"])
def test_a_held_step_stays_open_until_a_later_job_answers_it(reviews: Bench, rows: Rows, act: str) -> None:
    step, done = call(reviews, "toy-wait", act=act)
    assert (done.state, step.over) == ("succeeded", False)
    assert [row["state"] for row in rows(TOKENS)] == ["held"]

    answered = decide(reviews)

    assert answered.result == {"outcome": "answered"}
    assert step.output == {"decision": "approved"}
    assert rows(OUTBOX) == []


def test_a_held_step_is_answered_once(reviews: Bench) -> None:
    step, _ = call(reviews, "toy-wait")
    decide(reviews)

    second = decide(reviews, decision="rejected")

    assert second.result == {"outcome": "answered"}
    assert step.output == {"decision": "approved"}
    assert reviews.machines.answers == 1


def test_a_held_step_that_has_ended_is_gone_as_a_value(reviews: Bench, rows: Rows) -> None:
    step, _ = call(reviews, "toy-wait")
    step.end()

    assert decide(reviews).result == {"outcome": "gone"}
    assert decide(reviews).result == {"outcome": "gone"}
    assert reviews.machines.answers == 1
    assert rows(OUTBOX) == []


def test_a_held_step_can_be_failed_and_redriven(reviews: Bench) -> None:
    step, _ = call(reviews, "toy-wait")
    assert decide(reviews, act="fail", decision="withdrawn").result == {"outcome": "answered"}
    assert (step.error, step.cause) == ("TOY_WITHDRAWN", "by its author")

    second, done = call(reviews, "toy-wait")

    assert done.state == "succeeded"
    assert second.output == {"decision": "withdrawn"}  # it ran anew, and found what was decided


def test_a_holding_run_keeps_the_new_token_of_a_redriven_execution(reviews: Bench) -> None:
    first, _ = call(reviews, "toy-wait")
    first.end()
    second, done = call(reviews, "toy-wait")
    assert (done.state, second.over) == ("duplicate", False)

    assert decide(reviews).result == {"outcome": "answered"}

    assert second.output == {"decision": "approved"}
    assert first.output is None
    assert len([c for c in toys.calls if c[0] == "toy-wait"]) == 1


def test_a_token_that_comes_after_the_answer_hears_it(reviews: Bench) -> None:
    first, _ = call(reviews, "toy-wait")
    first.end()
    assert decide(reviews).result == {"outcome": "gone"}

    second, done = call(reviews, "toy-wait")

    assert done.state == "duplicate"
    assert second.output == {"decision": "approved"}


def test_an_answer_that_comes_while_the_handler_runs_is_not_too_early(
    reviews: Bench, rows: Rows, make_bench: MakeBench, tenant: Tenant
) -> None:
    other = make_bench(toys.REGISTRY)
    other.machines = reviews.machines
    other.relay._machines = reviews.machines
    toys.EARLY[:] = [lambda review_id: decide(other)]

    step, done = call(reviews, "toy-wait", act="early")

    assert done.state == "succeeded"
    assert step.output == {"decision": "approved"}
    assert rows("SELECT state FROM jobs.tokens") == [{"state": "answered"}]


def test_a_crash_before_holding_leaves_a_step_that_can_be_held(reviews: Bench) -> None:
    step = reviews.call("toy-wait", {"tenantId": "acme", "reviewId": "r1", "act": "crash_once"})
    with pytest.raises(SystemExit):
        reviews.pump(QUEUE)
    reviews.connections.discard()
    reviews.clock.advance(s=600)

    assert pump(reviews).state == "succeeded"
    decide(reviews)

    assert step.output == {"decision": "approved"}


def test_a_zombie_cannot_hold_the_token_of_the_run_that_took_over(
    reviews: Bench, admin: psycopg.Connection[Any]
) -> None:
    def taken_over(review_id: str) -> None:
        admin.execute("UPDATE jobs.tokens SET owner = gen_random_uuid()")

    toys.EARLY[:] = [taken_over]
    reviews.call("toy-wait", {"tenantId": "acme", "reviewId": "r1", "act": "early"})

    assert reviews.pump(QUEUE) == []  # nothing was settled, the message comes back

    assert admin.execute("SELECT state FROM jobs.tokens").fetchall() == [("running",)]


def test_holding_without_a_step_is_an_error_of_its_own(reviews: Bench, tenant: Tenant) -> None:
    done = Deliver(reviews, tenant).job("toy-wait", {"reviewId": "r1"}, expect="dead")

    assert done.code == "NO_TASK_TOKEN"


@pytest.mark.parametrize("token", [pytest.param(None, id="its name"), pytest.param("nonsense", id="no name at all")])
def test_another_tenant_cannot_answer(reviews: Bench, rows: Rows, other_tenant: Tenant, token: str | None) -> None:
    step, _ = call(reviews, "toy-wait")
    stolen = token or str(rows(TOKENS)[0]["run_id"])
    rows.execute(
        "INSERT INTO tenant_config (key, value) VALUES ('token-r1', to_jsonb(%(token)s::text))",
        {"token": stolen},
        tenant=other_tenant,
    )

    assert decide(reviews, tenant="globex").result == {"outcome": "gone"}

    assert not step.over
    assert reviews.machines.answers == 0


def test_an_answer_is_refused_while_a_session_is_open(reviews: Bench) -> None:
    step, _ = call(reviews, "toy-wait")

    done = decide(reviews, act="in_session", expect="retrying")

    assert "session is open" in str(done.error)
    assert not step.over


def test_an_answer_out_of_reach_counts_as_given(reviews: Bench) -> None:
    step, _ = call(reviews, "toy-wait")
    reviews.machines.refuse = 1
    assert decide(reviews).result == {"outcome": "answered"}
    assert not step.over

    reviews.clock.advance(s=SWEEP_AFTER_S + 1)
    reviews.relay.sweep(reviews.connections.get(), reviews.clock.now())

    assert step.output == {"decision": "approved"}


# Starting.


@pytest.mark.parametrize("final", [False, True])
def test_an_execution_starts_after_the_commit_with_its_tenant(reviews: Bench, tenant: Tenant, final: bool) -> None:
    done = Deliver(reviews, tenant).job("toy-begin", {"reviewId": "r1", "final": final})

    assert reviews.machines.started == {("ToyReview", "toy-r1"): {"reviewId": "r1", "tenantId": "acme"}}
    assert done.result["executionArn"].endswith(":execution:cgk-ToyReview:toy-r1")


def test_a_second_start_of_one_name_is_no_error(reviews: Bench, tenant: Tenant, rows: Rows) -> None:
    deliver = Deliver(reviews, tenant)
    deliver.job("toy-begin", {"reviewId": "r1"})
    deliver.job("toy-begin", {"reviewId": "r1"})

    assert len(reviews.machines.started) == 1
    assert rows(OUTBOX) == []


def test_a_start_out_of_reach_is_made_by_the_sweeper(reviews: Bench, tenant: Tenant) -> None:
    reviews.machines.refuse = 1
    Deliver(reviews, tenant).job("toy-begin", {"reviewId": "r1"})
    assert reviews.machines.started == {}

    reviews.clock.advance(s=SWEEP_AFTER_S + 1)
    reviews.relay.sweep(reviews.connections.get(), reviews.clock.now())

    assert len(reviews.machines.started) == 1


def test_where_workflows_are_off_the_job_is_told(reviews: Bench, tenant: Tenant, rows: Rows) -> None:
    reviews.machines.off = True

    done = Deliver(reviews, tenant).job("toy-begin", {"reviewId": "r1"})

    assert done.result == {}
    assert reviews.machines.started == {}
    assert rows(OUTBOX) == []


@pytest.mark.parametrize("name", ["", "a b", "x" * 60 + "/" + "y" * 10, "ü"])
def test_an_execution_s_name_has_the_form_that_aws_takes(reviews: Bench, tenant: Tenant, name: str) -> None:
    done = Deliver(reviews, tenant).job("toy-begin", {"reviewId": name or "x" * 80}, expect="retrying")

    assert "1..80" in str(done.error)


# The token is nowhere.


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def test_the_token_stands_in_no_log_line_no_result_and_no_row(
    reviews: Bench, rows: Rows, admin: psycopg.Connection[Any], lines: pytest.LogCaptureFixture
) -> None:
    reviews.machines.refuse = 2
    held, _ = call(reviews, "toy-wait")
    failed, _ = call(reviews, "toy-check", act="permanent")  # its answer stays in the outbox
    _, done = call(reviews, "toy-fresh")
    decide(reviews, act="fail")

    everything = "".join(_contents(admin, *table) for table in admin.execute(TABLES).fetchall())
    logged = "".join(str(vars(record)) for record in lines.records)
    assert "r1" in everything and "toy-check" in logged  # noqa: PT018 - the search itself works
    for step in (held, failed):
        for form in (step.token, step.token.encode().hex()):
            assert form not in everything
            assert form not in logged
    assert held.token not in str(done.result)


def _contents(admin: psycopg.Connection[Any], schema: str, table: str) -> str:
    rows = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(schema, table))
    return "".join(row[0] for row in admin.execute(rows).fetchall())


def test_the_kept_message_of_a_run_is_sealed_with_its_token(reviews: Bench, rows: Rows) -> None:
    from shared.jobs.payloads import SealedPayload, open_payload

    step, _ = call(reviews, "toy-check")

    [row] = rows("SELECT body FROM jobs.payloads")
    text = open_payload(SealedPayload(row["body"], None), "acme", reviews.keyring, reviews.blobs)
    assert json.loads(text)["taskToken"] == step.token


# Declarations.


def test_a_handler_may_hold_its_token_and_keeps_its_result_s_model() -> None:
    assert toys.REGISTRY.jobs["toy-wait"].result is Waits


def test_a_handler_that_returns_only_a_held_token_has_no_result() -> None:
    with pytest.raises(DeclarationError, match="result must be a pydantic model"):

        @job("toy-wrong", on=ReviewChecked, queue=Queue("toy-wrong"))
        def wrong(ctx: Any, payload: ReviewChecked) -> HoldToken[Waits]:
            """Says nothing of its result."""
            return HoldToken(Waits())


def test_tokens_are_kept_no_longer_than_the_ledger(reviews: Bench, admin: psycopg.Connection[Any]) -> None:
    from shared.db.partitions import RUNS_KEPT_DAYS, drop_expired

    call(reviews, "toy-wait")
    today = reviews.clock.now().date()
    drop_expired(admin, today + timedelta(days=RUNS_KEPT_DAYS - 1))
    assert admin.execute("SELECT count(*) FROM jobs.tokens").fetchone() == (1,)

    drop_expired(admin, today + timedelta(days=RUNS_KEPT_DAYS + 1))

    assert admin.execute("SELECT count(*) FROM jobs.tokens").fetchone() == (0,)


# Step Functions' own words.


@pytest.mark.parametrize(
    ("code", "reply"),
    [
        (None, "taken"),
        ("TaskTimedOut", "gone"),
        ("InvalidToken", "gone"),
        ("TaskDoesNotExist", "gone"),
        ("ThrottlingException", "refused"),
        ("AccessDeniedException", "refused"),
    ],
)
@pytest.mark.parametrize("answer", [TaskAnswer("t" * 40, output="{}"), TaskAnswer("t" * 40, error="TOY_REFUSED")])
def test_only_a_step_that_waits_no_more_is_gone_for_good(
    answer: TaskAnswer, code: str | None, reply: str, lines: pytest.LogCaptureFixture
) -> None:
    machines = StepFunctions("arn:aws:states:us-east-1:000000000000:stateMachine:cgk-")
    client = boto3.client("stepfunctions", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    machines._states = client
    call = "send_task_failure" if answer.error else "send_task_success"
    with Stubber(client) as stub:
        if code is None:
            stub.add_response(call, {})
        else:
            stub.add_client_error(call, code, f"the token {answer.token} is not good")

        assert machines.answer([answer]) == [reply]

    assert answer.token not in "".join(str(vars(r)) for r in lines.records if r.name.startswith("cgk"))


@pytest.mark.parametrize(
    ("settings", "arn"),
    [
        pytest.param({}, None, id="absent"),
        pytest.param({"CGK_WORKFLOWS": "off"}, None, id="off"),
        pytest.param(
            {"CGK_WORKFLOWS": "arn:aws:states:eu-west-1:1:stateMachine:cgk-"},
            "arn:aws:states:eu-west-1:1:execution:cgk-ToyReview:toy-r1",
            id="on",
        ),
    ],
)
def test_workflows_are_on_where_the_deployment_says_so(settings: dict[str, str], arn: str | None) -> None:
    assert state_machines(settings).execution_arn("ToyReview", "toy-r1") == arn
