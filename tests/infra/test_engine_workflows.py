"""The test machine on the local engine: real executions and queues; the pipeline runs in process on a real database.

The engine has no RedriveExecution and forgets no token of a stopped execution. A redrive is shown by a second
execution of the same review: what the pipeline sees is the same, the step's message again with a new token. That an
answer to a stopped step is gone is held by tests/shared/jobs/test_workflows.py.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import psycopg
import pytest

from infra.deployment import Deployment
from infra.stacks.workflows import WorkflowsStack
from infra.workflows import Workflow, load
from scripts.local.deploy import client, engine_context
from scripts.local.engine import client_environment
from shared.crypto import Keyring
from shared.db.connections import ConnectionHolder
from shared.jobs.aws import EventBridgeBus, SqsQueues
from shared.jobs.context import Tenant
from shared.jobs.execution import Workshop
from shared.jobs.messages import OWN_SOURCE
from shared.jobs.outbox import Relay
from shared.jobs.pipeline import Pipeline
from shared.jobs.ports import SystemClock
from shared.jobs.replies import records_of
from shared.jobs.tenants import TenantDirectory
from shared.jobs.testing import FixedContext, MemoryBlobs
from shared.jobs.workflows import StepFunctions
from tests import workflow_toys as toys
from tests.conftest import ENCRYPTION_KEY
from tests.infra.test_engine import eventually

pytestmark = pytest.mark.engine

PREFIX = "toys-"
QUEUE = f"{PREFIX}{toys.REVIEWS.name}"
MACHINES = f"arn:aws:states:us-east-1:000000000000:stateMachine:{PREFIX}"
PATIENT = load(Path(__file__).with_name("workflows"))[0]


def _hasty() -> Workflow:
    definition: dict[str, Any] = deepcopy(dict(PATIENT.definition))
    definition["States"]["Wait"]["TimeoutSeconds"] = 1
    return Workflow("ToyReviewHasty", definition)


@pytest.fixture(scope="module")
def machines(engine_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The workflows' stack on the engine, as the app deploys it, and the queue of the toys; the engine's address."""
    client("sqs", engine_endpoint).create_queue(QueueName=QUEUE)
    outdir = tmp_path_factory.mktemp("machines")
    app = cdk.App(
        context=engine_context(engine_endpoint),
        outdir=str(outdir),
        analytics_reporting=False,
        default_stack_synthesizer=cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
    )
    deployment = Deployment(prefix=PREFIX.rstrip("-"), target="engine")
    WorkflowsStack(app, [PATIENT, _hasty()], toys.REGISTRY, deployment)
    app.synth()
    stacks = client("cloudformation", engine_endpoint)
    template = (outdir / "toys-workflows.template.json").read_text(encoding="utf-8")
    stacks.create_stack(StackName="toys-workflows", TemplateBody=template, Capabilities=["CAPABILITY_IAM"])
    eventually(
        lambda: stacks.describe_stacks(StackName="toys-workflows")["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE"
    )
    return engine_endpoint


@dataclass
class Platform:
    """Plays the functions: `work` takes what is on the queue and runs it through the pipeline."""

    endpoint: str
    pipeline: Pipeline
    admin: psycopg.Connection[Any] = field(repr=False)

    def send(self, job: str, **payload: Any) -> None:
        body = json.dumps({"job": job, "payload": {"tenantId": "acme", **payload}})
        self._sqs.send_message(QueueUrl=self._url, MessageBody=body)

    def start(self, name: str, workflow: str = "ToyReview", act: str = "pass") -> str:
        answer = self._states.start_execution(
            stateMachineArn=MACHINES + workflow,
            name=name,
            input=json.dumps({"tenantId": "acme", "reviewId": "r1", "act": act}),
        )
        return str(answer["executionArn"])

    def work(self, *, keep: bool = False) -> list[str]:
        """The next messages, run; their jobs. `keep`: the queue never hears that they were done."""
        messages = eventually(lambda: self._received() or None)
        records = records_of({"Records": [_record(message) for message in messages]}, PREFIX)
        answer = self.pipeline.handle(records, FixedContext())
        failed = {item["itemIdentifier"] for item in answer["batchItemFailures"]}
        for message in messages:
            if keep:
                self._sqs.change_message_visibility(
                    QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
                )
            elif message["MessageId"] not in failed:
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"])["job"] for message in messages]

    def lose(self, job: str) -> None:
        """Takes the message of a job off the queue unseen, so that none comes late into the next test."""
        messages = eventually(lambda: self._received() or None)
        assert [json.loads(message["Body"])["job"] for message in messages] == [job]
        self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=messages[0]["ReceiptHandle"])

    def ended(self, execution: str) -> dict[str, Any]:
        """The execution once it has ended."""
        found: dict[str, Any] = eventually(lambda: _over(self._states.describe_execution(executionArn=execution)))
        return found

    def stop(self, execution: str) -> None:
        self._states.stop_execution(executionArn=execution, error="STOPPED")

    def result(self, job: str) -> Any:
        """The newest result of a job."""
        row = self.admin.execute(
            "SELECT result FROM jobs.runs WHERE job = %s AND state = 'succeeded' ORDER BY run_at DESC LIMIT 1", (job,)
        ).fetchone()
        return row[0] if row else None

    def _received(self) -> list[dict[str, Any]]:
        answer = self._sqs.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, AttributeNames=["All"])
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found

    @property
    def _url(self) -> str:
        return f"{self.endpoint}/000000000000/{QUEUE}"

    @cached_property
    def _sqs(self) -> Any:
        return client("sqs", self.endpoint)

    @cached_property
    def _states(self) -> Any:
        return client("stepfunctions", self.endpoint)

    def forget_messages(self) -> None:
        self._sqs.purge_queue(QueueUrl=self._url)

    def entered(self, execution: str, state: str) -> bool:
        history = self._states.get_execution_history(executionArn=execution)["events"]
        return any(event.get("stateEnteredEventDetails", {}).get("name") == state for event in history)


def _record(message: dict[str, Any]) -> dict[str, Any]:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "eventSourceARN": f"arn:aws:sqs:us-east-1:000000000000:{QUEUE}",
    }


def _over(execution: dict[str, Any]) -> dict[str, Any] | None:
    return execution if execution["status"] != "RUNNING" else None


@pytest.fixture
def platform(
    machines: str,
    database_url: str,
    admin: psycopg.Connection[Any],
    tenant: Tenant,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Platform]:
    for name, value in client_environment(machines).items():
        monkeypatch.setenv(name, value)
    toys.calls.clear()
    connections = ConnectionHolder(database_url, application_name="cgk-test")
    keyring = Keyring.single(ENCRYPTION_KEY)
    queues, states = SqsQueues(PREFIX), StepFunctions(MACHINES)
    shop = Workshop(
        connections=connections,
        keyring=keyring,
        registry=toys.REGISTRY,
        clock=SystemClock(),
        secrets={"INTEGRATION_ENCRYPTION_KEY": ENCRYPTION_KEY},
        settings={},
        rng=random.Random(7),
        relay=Relay(EventBridgeBus("default", OWN_SOURCE), queues, keyring, states),
        machines=states,
    )
    tenants = TenantDirectory(connections.get)
    pipeline = Pipeline(
        shop=shop, queues=queues, tenants=tenants, blobs=MemoryBlobs(), bulk=False, database_url=database_url
    )
    running = Platform(machines, pipeline, admin)
    running.forget_messages()
    yield running
    connections.discard()


def test_a_job_starts_the_machine_and_its_steps_run_to_the_end(platform: Platform) -> None:
    arn = platform.pipeline.shop.machines.execution_arn("ToyReview", "whole")
    assert arn is not None
    assert platform.start("whole") == arn
    assert platform.pipeline.shop.machines.start("ToyReview", "whole", "{}")  # it is there already: no error

    assert platform.work() == ["toy-check"]
    assert platform.work() == ["toy-wait"]
    assert platform.pipeline.shop.machines.status("ToyReview", "whole") == "RUNNING"
    platform.send("toy-decide", reviewId="r1")
    assert platform.work() == ["toy-decide"]

    done = platform.ended(arn)
    assert done["status"] == "SUCCEEDED"
    output = json.loads(done["output"])
    assert output["check"] == {"ok": True, "attempt": 1, "text": ""}
    assert output["review"] == {"decision": "approved"}
    assert platform.result("toy-decide") == {"outcome": "answered"}
    runs = platform.admin.execute(
        "SELECT job, source FROM jobs.runs WHERE correlation_id = 'whole' ORDER BY run_at"
    ).fetchall()
    assert runs == [("toy-check", "workflow"), ("toy-wait", "workflow")]


def test_a_start_by_a_job_is_an_execution_after_its_commit(platform: Platform) -> None:
    platform.send("toy-begin", reviewId="r9", final=True)

    assert platform.work() == ["toy-begin"]

    assert platform.result("toy-begin")["executionArn"] == (
        "arn:aws:states:us-east-1:000000000000:execution:toys-ToyReview:toy-r9"
    )
    platform.lose("toy-check")
    assert platform.pipeline.shop.machines.status("ToyReview", "toy-r9") is not None
    assert platform.pipeline.shop.machines.status("ToyReview", "toy-nobody") is None


def test_a_dead_run_fails_the_execution_with_its_code(platform: Platform) -> None:
    execution = platform.start("refused", act="permanent")

    platform.work()

    done = platform.ended(execution)
    assert (done["status"], done["error"], done["cause"]) == ("FAILED", "TOY_REFUSED", "not this one")


def test_a_step_that_times_out_is_gone_and_the_next_round_finds_the_decision(platform: Platform) -> None:
    execution = platform.start("late", "ToyReviewHasty")
    platform.work()
    assert platform.work() == ["toy-wait"]
    eventually(lambda: platform.entered(execution, "WaitAgain"))
    platform.send("toy-decide", reviewId="r1")

    worked: list[str] = []
    while sorted(worked) != ["toy-decide", "toy-wait"]:
        worked += platform.work()

    done = platform.ended(execution)
    assert done["status"] == "SUCCEEDED"
    assert json.loads(done["output"])["review"] == {"decision": "approved"}
    assert platform.result("toy-decide")["outcome"] in ("gone", "answered")  # gone when it came before the second round


def test_an_answer_after_the_time_out_is_gone_as_a_value(platform: Platform) -> None:
    execution = platform.start("gone", "ToyReviewHasty")
    platform.work()
    platform.work()
    eventually(lambda: platform.entered(execution, "WaitAgain"))
    platform.lose("toy-wait")
    platform.stop(execution)
    platform.send("toy-decide", reviewId="r1")

    assert platform.work() == ["toy-decide"]

    assert platform.result("toy-decide") == {"outcome": "gone"}
    assert platform.admin.execute("SELECT count(*) FROM jobs.outbox").fetchone() == (0,)
    assert platform.ended(execution)["status"] == "ABORTED"


def test_a_message_delivered_twice_moves_the_execution_once(platform: Platform) -> None:
    execution = platform.start("twice")
    platform.work(keep=True)
    worked: list[str] = []
    while sorted(worked) != ["toy-check", "toy-wait"]:
        worked += platform.work()
    platform.send("toy-decide", reviewId="r1")
    assert platform.work() == ["toy-decide"]

    assert platform.ended(execution)["status"] == "SUCCEEDED"
    assert [job for job, _ in toys.calls] == ["toy-check", "toy-wait", "toy-decide"]


def test_stopped_and_driven_again_the_holding_run_answers_the_new_token(platform: Platform) -> None:
    first = platform.start("stopped")
    platform.work()
    platform.work()
    platform.stop(first)
    second = platform.start("driven-again")
    assert platform.work() == ["toy-check"]
    assert platform.work() == ["toy-wait"]
    platform.send("toy-decide", reviewId="r1")
    platform.work()

    assert platform.ended(first)["status"] == "ABORTED"
    done = platform.ended(second)
    assert json.loads(done["output"])["review"] == {"decision": "approved"}
    assert [job for job, _ in toys.calls] == ["toy-check", "toy-wait", "toy-decide"]  # nothing ran a second time
