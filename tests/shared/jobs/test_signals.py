"""Metrics and alarms: what goes out without the database; and who may speak for the platform."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import psycopg
import pytest
from moto import mock_aws

from shared.events import Event, Payload
from shared.jobs import JobContext, job
from shared.jobs.context import Tenant
from shared.jobs.declaration import DeclarationError, Job
from shared.jobs.ports import Blackout
from shared.jobs.queues import Queue
from shared.jobs.registry import build_registry
from shared.jobs.signals import EmfMetrics, SnsAlarms
from shared.jobs.testing import Bench, Deliver

SIGNALS = Queue("signals")


class Heard(Event, name="signals.heard", to_apps=True):
    n: int = 0


class Asked(Event, name="signals.asked", from_apps=True):
    act: str


class Answer(Payload):
    slugs: list[str]


@job("signals-ask", on=Asked, queue=SIGNALS, emits=(Heard,), tenants="any")
def ask(ctx: JobContext, payload: Asked) -> Answer:
    """Does what the payload says."""
    if payload.act == "read":
        with ctx.platform_session(read_only=True) as session:
            return Answer(slugs=[row["slug"] for row in session.all("SELECT slug FROM organizations ORDER BY slug")])
    with ctx.tenant_session() as session:
        session.emit(Heard(), tenant="globex")
    return Answer(slugs=[])


trusted: Job[Any, Any] = replace(ask, id="signals-trusted", platform=True)


@pytest.fixture
def deliver(make_bench: Callable[..., Bench], tenant: Tenant) -> Deliver:
    return Deliver(make_bench(build_registry([ask, trusted])), tenant)


def test_tenants_run_of_a_job_for_both_sides_may_read_and_speak_for_the_other(deliver: Deliver) -> None:
    assert {"acme", "globex"} <= set(deliver.job("signals-trusted", {"act": "read"}).result["slugs"])

    deliver.job("signals-trusted", {"act": "emit"})

    [(name, detail)] = deliver.bench.bus.published
    assert (name, detail["tenantId"]) == ("signals.heard", "globex")


@pytest.mark.parametrize("act", ["read", "emit"])
def test_tenants_run_of_any_other_job_may_not(deliver: Deliver, act: str) -> None:
    found = deliver.job("signals-ask", {"act": act}, expect="retrying")

    assert isinstance(found.error, RuntimeError)
    assert "platform=True" in str(found.error)
    assert deliver.bench.bus.published == []


def test_platform_needs_a_job_that_serves_both_sides() -> None:
    with pytest.raises(DeclarationError, match='platform=True goes with tenants="any"'):
        job("signals-wrong", on=Asked, queue=SIGNALS, platform=True)


# -- blackout --------------------------------------------------------------------------------------------------------


def test_job_that_watches_the_database_is_told_when_it_cannot_be_reached(
    make_bench: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Blackout] = []
    bench = make_bench(build_registry([replace(ask, blackout=told.append), trusted]))
    monkeypatch.setattr(bench.connections, "_url", psycopg.conninfo.make_conninfo(bench.database_url, port="1"))
    for name in ("signals-trusted", "signals-ask"):
        bench.send(name, {"tenantId": "acme", "act": "read"})

        assert bench.pump("signals", most=1) == []

    assert [found.now for found in told] == [bench.clock.now()]


# -- AWS -------------------------------------------------------------------------------------------------------------


def test_metric_is_a_line_of_the_embedded_format(capsys: pytest.CaptureFixture[str]) -> None:
    EmfMetrics().count("AlertDeliveryFailed", 2, channel="slack")

    line = json.loads(capsys.readouterr().out)
    assert (line["AlertDeliveryFailed"], line["channel"]) == ([2.0], "slack")
    [described] = line["_aws"]["CloudWatchMetrics"]
    assert described["Namespace"] == "cgk"
    assert described["Metrics"] == [{"Name": "AlertDeliveryFailed", "Unit": "Count"}]
    assert "channel" in described["Dimensions"][0]


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield str(boto3.client("sns").create_topic(Name="alarms")["TopicArn"])


def test_alarm_goes_to_the_topic(topic: str) -> None:
    sqs, sns = boto3.client("sqs"), boto3.client("sns")
    url = sqs.create_queue(QueueName="people")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    assert SnsAlarms(topic).publish("database unhealthy" + "!" * 200, "text")

    [message] = sqs.receive_message(QueueUrl=url)["Messages"]
    said = json.loads(message["Body"])
    assert (said["Message"], len(said["Subject"])) == ("text", 100)


def test_alarm_without_a_topic_or_with_a_dead_one_says_so(topic: str) -> None:
    assert SnsAlarms(None).publish("s", "t") is False
    assert SnsAlarms(topic + "-gone").publish("s", "t") is False
