"""ApplicationReview on the local engine: real executions and queues; the pipeline runs in process on a real database.

The course of 14 days stands in test_application_review.py, on a clock that moves; here its waits are seconds.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

from infra.constructs.state_machine import StateMachine
from infra.deployment import Deployment
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
from shared.jobs.registry import Registry
from shared.jobs.replies import records_of
from shared.jobs.tenants import TenantDirectory
from shared.jobs.testing import FixedContext, MemoryBlobs
from shared.jobs.workflows import StepFunctions
from tests.builders.applications import PORTAL, add_application, the_application, the_review
from tests.conftest import ENCRYPTION_KEY, Rows
from tests.infra.test_engine import eventually

pytestmark = pytest.mark.engine

PREFIX = "apps-"
QUEUES = ("creator-applications", "creator-applications-bulk")
MACHINES = f"arn:aws:states:us-east-1:000000000000:stateMachine:{PREFIX}"
HASTY = "HastyReview"
"""The same definition with waits of a second: as a machine of its own, which a test starts itself."""


def _hasty(patient: Workflow) -> Workflow:
    definition: dict[str, Any] = deepcopy(dict(patient.definition))
    for name, state in definition["States"].items():
        if name.startswith("Await"):
            state["TimeoutSeconds"] = 1
    return Workflow(HASTY, definition)


@pytest.fixture(scope="module")
def machines(engine_endpoint: str, tmp_path_factory: pytest.TempPathFactory, registry: Registry) -> str:
    """The machines on the engine, as the app makes them, and the queues of their jobs; the engine's address."""
    for queue in QUEUES:
        client("sqs", engine_endpoint).create_queue(QueueName=PREFIX + queue)
    outdir = tmp_path_factory.mktemp("reviews")
    app = cdk.App(
        context=engine_context(engine_endpoint),
        outdir=str(outdir),
        analytics_reporting=False,
        default_stack_synthesizer=cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
    )
    (review,) = [workflow for workflow in load() if workflow.name == "ApplicationReview"]
    deployment = Deployment(prefix=PREFIX.rstrip("-"), target="engine")
    for workflow in (review, _hasty(review)):
        StateMachine(cdk.Stack(app, f"apps-{workflow.name}"), workflow, registry, deployment)
    app.synth()
    for workflow in (review, _hasty(review)):
        _deploy(engine_endpoint, f"apps-{workflow.name}", outdir)
    return engine_endpoint


def _deploy(endpoint: str, name: str, outdir: Path) -> None:
    stacks = client("cloudformation", endpoint)
    template = json.loads((outdir / f"{name}.template.json").read_text(encoding="utf-8"))
    body = json.dumps(template, separators=(",", ":"))  # without its indentation it fits into the call
    stacks.create_stack(StackName=name, TemplateBody=body, Capabilities=["CAPABILITY_IAM"])
    eventually(lambda: stacks.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"] == "CREATE_COMPLETE")


@dataclass
class Platform:
    """Plays the functions of category creators: `work` runs what is on its queues until something is so."""

    endpoint: str
    pipelines: dict[str, Pipeline]

    def send(self, job: str, **payload: Any) -> None:
        body = json.dumps({"job": job, "payload": {"tenantId": "acme", **payload}})
        self._sqs.send_message(QueueUrl=self._url(QUEUES[0]), MessageBody=body)

    def work(self, until: Callable[[], Any]) -> Any:
        """Deliver messages until `until` gives something."""

        def step() -> Any:
            for queue in QUEUES:
                self._drain(queue)
            return until()

        return eventually(step)

    def status(self, execution: str, workflow: str = "ApplicationReview") -> str | None:
        return self.pipelines[QUEUES[0]].shop.machines.status(workflow, execution)

    def entered(self, execution: str, workflow: str = "ApplicationReview") -> list[str]:
        """Names of the states so far."""
        arn = f"{MACHINES.replace(':stateMachine:', ':execution:')}{workflow}:{execution}"
        history = self._states.get_execution_history(executionArn=arn, maxResults=1000)["events"]
        return [event["stateEnteredEventDetails"]["name"] for event in history if "stateEnteredEventDetails" in event]

    def start_hasty(self, execution: str) -> None:
        self._states.start_execution(
            stateMachineArn=MACHINES + HASTY,
            name=execution,
            input=json.dumps({"tenantId": "acme", "applicationId": "a1"}),
        )

    def stop(self, execution: str) -> None:
        arn = f"{MACHINES.replace(':stateMachine:', ':execution:')}ApplicationReview:{execution}"
        self._states.stop_execution(executionArn=arn, error="STOPPED")

    def forget_messages(self) -> None:
        for queue in QUEUES:
            self._sqs.purge_queue(QueueUrl=self._url(queue))

    def _drain(self, queue: str) -> None:
        most = 1 if queue.endswith("-bulk") else 10
        answer = self._sqs.receive_message(QueueUrl=self._url(queue), MaxNumberOfMessages=most, AttributeNames=["All"])
        messages = answer.get("Messages", [])
        if not messages:
            return
        records = records_of({"Records": [_record(message, queue) for message in messages]}, PREFIX)
        failed = {
            item["itemIdentifier"]
            for item in self.pipelines[queue].handle(records, FixedContext())["batchItemFailures"]
        }
        for message in messages:
            if message["MessageId"] not in failed:
                self._sqs.delete_message(QueueUrl=self._url(queue), ReceiptHandle=message["ReceiptHandle"])

    def _url(self, queue: str) -> str:
        return f"{self.endpoint}/000000000000/{PREFIX}{queue}"

    @cached_property
    def _sqs(self) -> Any:
        return client("sqs", self.endpoint)

    @cached_property
    def _states(self) -> Any:
        return client("stepfunctions", self.endpoint)


def _record(message: dict[str, Any], queue: str) -> dict[str, Any]:
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "eventSourceARN": f"arn:aws:sqs:us-east-1:000000000000:{PREFIX}{queue}",
    }


@pytest.fixture
def platform(
    machines: str, database_url: str, tenant: Tenant, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Platform]:
    for name, value in client_environment(machines).items():
        monkeypatch.setenv(name, value)
    connections = ConnectionHolder(database_url, application_name="cgk-test")
    keyring = Keyring.single(ENCRYPTION_KEY)
    queues, states = SqsQueues(PREFIX), StepFunctions(MACHINES)
    shop = Workshop(
        connections=connections,
        keyring=keyring,
        registry=registry,
        clock=SystemClock(),
        secrets={"INTEGRATION_ENCRYPTION_KEY": ENCRYPTION_KEY},
        settings={"CREATOR_PORTAL_URL": PORTAL},
        rng=random.Random(7),
        relay=Relay(EventBridgeBus("default", OWN_SOURCE), queues, keyring, states),
        machines=states,
    )
    pipelines = {
        queue: Pipeline(
            shop=shop,
            queues=queues,
            tenants=TenantDirectory(connections.get),
            blobs=MemoryBlobs(),
            bulk=queue.endswith("-bulk"),
            database_url=database_url,
        )
        for queue in QUEUES
    }
    running = Platform(machines, pipelines)
    running.forget_messages()
    yield running
    connections.discard()


def test_application_is_led_from_its_event_to_the_approval_that_is_carried_out(platform: Platform, rows: Rows) -> None:
    add_application(rows)
    platform.send("creator-on-applied", applicationId="a1")
    platform.work(lambda: "AwaitFirstDay" in _known(platform, "app-acme-a1") and the_review(rows)["task_token"])
    assert platform.status("app-acme-a1") == "RUNNING"

    platform.send("creator-on-approved", creatorId="a1", approvedBy="u1", tier="gold")
    platform.work(lambda: platform.status("app-acme-a1") != "RUNNING")

    assert platform.status("app-acme-a1") == "SUCCEEDED"
    assert the_application(rows)["status"] == "approved"
    assert the_review(rows)["status"] == "completed"
    assert rows("SELECT tier::text, status::text FROM creators") == [{"tier": "gold", "status": "approved"}]
    assert rows("SELECT stage FROM creator_pipeline_entries") == [{"stage": "approved"}]


def test_rejection_takes_the_other_branch(platform: Platform, rows: Rows) -> None:
    add_application(rows, "a2", email="b@example.com")
    platform.send("creator-on-applied", applicationId="a2")
    platform.work(lambda: the_review(rows, "a2")["task_token"] if rows(REVIEWS) else None)

    platform.send("creator-on-rejected", creatorId="a2", rejectedBy="u1")
    platform.work(lambda: platform.status("app-acme-a2") != "RUNNING")

    assert platform.status("app-acme-a2") == "SUCCEEDED"
    assert the_application(rows, "a2")["status"] == "rejected"
    assert rows("SELECT template_type FROM creator_email_queue WHERE status = 'scheduled'") == [
        {"template_type": "creator_application_rejected"}
    ]


def test_nobody_decides_reminders_and_the_end(platform: Platform, rows: Rows) -> None:
    add_application(rows)
    platform.start_hasty("nobody")
    platform.work(lambda: platform.status("nobody", HASTY) not in (None, "RUNNING"))

    assert platform.status("nobody", HASTY) == "SUCCEEDED"
    found = the_review(rows)
    assert (found["status"], found["reminders_sent"]) == ("expired", 3)
    reminders = [state for state in platform.entered("nobody", HASTY) if state.startswith("Remind")]
    assert reminders == ["RemindAfterOneDay", "RemindAfterTwoDays", "RemindAfterThreeDays"]


def test_approval_that_fails_for_good_ends_in_the_failure_branch(platform: Platform, rows: Rows) -> None:
    rows.execute(
        "INSERT INTO creators (id, email, first_name, last_name, status)"
        " VALUES ('c1', 'jane@example.com', 'Jane', 'Doe', 'terminated')"
    )
    add_application(rows, "a3")
    platform.send("creator-on-applied", applicationId="a3")
    platform.work(lambda: the_review(rows, "a3")["task_token"] if rows(REVIEWS) else None)

    platform.send("creator-on-approved", creatorId="a3", approvedBy="u1")
    platform.work(lambda: platform.status("app-acme-a3") != "RUNNING")

    assert platform.status("app-acme-a3") == "FAILED"
    assert platform.entered("app-acme-a3")[-3:] == ["Approve", "Failed", "End"]
    assert (the_review(rows, "a3")["status"], the_review(rows, "a3")["decision"]) == ("expired", None)


def test_stopped_execution_leaves_the_decision_to_the_jobs(platform: Platform, rows: Rows) -> None:
    add_application(rows, "a4")
    platform.send("creator-on-applied", applicationId="a4")
    platform.work(lambda: the_review(rows, "a4")["task_token"] if rows(REVIEWS) else None)
    platform.stop("app-acme-a4")

    platform.send("creator-on-approved", creatorId="a4", approvedBy="u1")
    platform.work(lambda: rows(DECIDED))

    assert rows(DECIDED) == [{"outcome": "direct"}]


REVIEWS = "SELECT 1 FROM creator_application_reviews"
DECIDED = (
    "SELECT result ->> 'outcome' AS outcome FROM jobs.runs WHERE job = 'creator-on-approved' AND state = 'succeeded'"
)


def _known(platform: Platform, execution: str) -> list[str]:
    """The states of an execution, none while it has not begun."""
    return platform.entered(execution) if platform.status(execution) else []
