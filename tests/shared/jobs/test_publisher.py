"""Sending from outside of a run: what is validated, what travels, what comes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.jobs.context import Tenant
from shared.jobs.messages import OWN_SOURCE
from shared.jobs.publisher import MAX_BYTES, Publisher, SendFailed, SendRefused
from shared.jobs.testing import Bench
from tests.conftest import Rows
from tests.toys import ToyAsked, ToySeen

RUNS = "SELECT job, state, key, code, source, correlation_id, causation_id FROM jobs.runs ORDER BY run_at, run_id"


@pytest.fixture
def publisher(toys: Bench) -> Publisher:
    return Publisher(toys.bus, toys.queues, toys.registry, source="storefront", clock=toys.clock)


def test_published_event_runs_every_job_that_listens(publisher: Publisher, toys: Bench, rows: Rows) -> None:
    sent = publisher.publish(ToySeen(n=3), "acme")
    toys.drain()

    runs = rows(RUNS)
    assert sent.jobs == ("toy-guard", "toy-watch")
    assert sorted(run["job"] for run in runs) == ["toy-guard", "toy-watch"]
    assert {run["correlation_id"] for run in runs} == {sent.correlation_id}
    assert {run["causation_id"] for run in runs} == {None}


def test_event_without_listener_is_published_all_the_same(publisher: Publisher, toys: Bench) -> None:
    from tests.toys import ToyDone

    assert publisher.publish(ToyDone(n=1), "acme").jobs == ()

    [(name, detail)] = toys.bus.published
    assert name == "toy.done"
    assert {k: v for k, v in detail.items() if k != "_meta"} == {"tenantId": "acme", "n": 1}


def test_triggered_job_gets_the_payload_as_its_model_reads_it(
    publisher: Publisher, toys: Bench, tenant: Tenant, rows: Rows
) -> None:
    sent = publisher.trigger("toy-play", {"act": None, "n": 4, "more": "ignored"}, tenant.slug)

    [message] = toys.queues.queues["toys"]
    assert message.group == "acme"
    assert {k: v for k, v in json.loads(message.body)["payload"].items() if k != "_meta"} == {
        "tenantId": "acme",
        "act": "nothing",
        "n": 4,
    }
    toys.drain()
    [run] = rows(RUNS)
    assert (run["state"], run["source"], run["key"]) == ("succeeded", "storefront", sent.id)


def test_tenant_may_be_given_by_its_organization(publisher: Publisher, toys: Bench, tenant: Tenant, rows: Rows) -> None:
    publisher.trigger("toy-play", ToyAsked(), str(tenant.organization_id))
    toys.drain()

    assert rows("SELECT tenant, state FROM jobs.runs") == [{"tenant": "acme", "state": "succeeded"}]


@pytest.mark.parametrize("how", ["publish", "trigger"])
def test_same_key_runs_once_and_with_another_payload_not_at_all(
    publisher: Publisher, toys: Bench, rows: Rows, how: str
) -> None:
    def send(n: int) -> None:
        if how == "trigger":
            publisher.trigger("toy-play", {"n": n}, "acme", "key-1")
        else:
            toys.publish(ToyAsked(n=n), "acme", key="key-1")
            toys.queues.queues["toys-bulk"].clear()

    for n in (1, 1, 2):
        send(n)
        toys.drain()

    assert [(run["state"], run["code"]) for run in rows(RUNS)] == [
        ("succeeded", None),
        ("duplicate", None),
        ("dead", "KEY_REUSED"),
    ]


def test_key_is_the_event_s_own_id_on_the_bus(publisher: Publisher, toys: Bench) -> None:
    sent = publisher.publish(ToySeen(n=1), "acme", key="seen-1")

    [(_, detail)] = toys.bus.published
    assert sent.id == "seen-1"
    assert detail["_meta"]["key"] == "seen-1"
    assert detail["_meta"]["correlationId"] == sent.correlation_id != "seen-1"


REFUSALS: list[Any] = [
    pytest.param({"n": "seven"}, "acme", None, "n: Input should be a valid integer", id="wrong type"),
    pytest.param({"n": 1}, "Acme Inc", None, "neither a slug", id="no slug"),
    pytest.param({"n": 1}, "", None, "neither a slug", id="empty tenant"),
    pytest.param({"n": 1}, "acme", "", "1 to 512 characters", id="empty key"),
    pytest.param({"n": 1}, "acme", "k" * 513, "1 to 512 characters", id="long key"),
    pytest.param({"act": "x" * MAX_BYTES}, "acme", None, "at most 900,000", id="too large"),
]


@pytest.mark.parametrize(("payload", "tenant_slug", "key", "says"), REFUSALS)
def test_what_could_not_be_delivered_is_not_sent(
    publisher: Publisher, toys: Bench, payload: dict[str, Any], tenant_slug: str, key: str | None, says: str
) -> None:
    with pytest.raises(SendRefused, match=says):
        publisher.trigger("toy-play", payload, tenant_slug, key)

    assert toys.queues.queues["toys"] == []


def test_refusal_names_fields_and_never_their_values(publisher: Publisher) -> None:
    with pytest.raises(SendRefused) as caught:
        publisher.trigger("toy-play", {"n": "jane@example.com"}, "acme")

    assert "jane" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_too_large_event_is_not_published(publisher: Publisher, toys: Bench) -> None:
    with pytest.raises(SendRefused, match="split the work"):
        publisher.publish(ToyAsked(act="é" * (MAX_BYTES // 2)), "acme")

    assert toys.bus.published == []


def test_port_that_takes_nothing_is_an_error(publisher: Publisher, toys: Bench) -> None:
    toys.bus.refuse = toys.queues.refuse_sends = 1

    with pytest.raises(SendFailed, match="the bus did not take"):
        publisher.publish(ToySeen(n=1), "acme")
    with pytest.raises(SendFailed, match="did not take the message"):
        publisher.trigger("toy-play", {}, "acme")


def test_platform_s_own_tenant_is_for_triggered_jobs_only(publisher: Publisher, toys: Bench) -> None:
    with pytest.raises(SendRefused, match="trigger the job instead"):
        publisher.publish(ToySeen(n=1), "system")

    publisher.trigger("toy-guard", {"n": 1}, "system")

    assert json.loads(toys.queues.queues["other-toys"][0].body)["source"] == OWN_SOURCE
    assert [done.state for done in toys.drain()] == ["succeeded"]


def test_unknown_job_is_a_key_error(publisher: Publisher) -> None:
    with pytest.raises(KeyError):
        publisher.trigger("toy-nothing", {}, "acme")
