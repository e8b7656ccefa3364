"""Payloads that are too large for a message: where they go, who can open them, what becomes of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from shared.jobs import Deferred, JobContext
from shared.jobs.context import Tenant
from shared.jobs.offload import INLINE_MAX, LONG_PREFIX, SCHEDULE_MAX, Vault
from shared.jobs.publisher import Publisher
from shared.jobs.testing import Bench, Deliver
from shared.jobs.uuids import uuid7
from tests import toys as toy_jobs
from tests.conftest import Rows
from tests.toys import ToyAsked

DAY_S = 24 * 3600
BIG = "é" * 600_000
"""More bytes than a message takes."""
MIDDLE = "x" * (SCHEDULE_MAX + 1)
"""More than a schedule takes, less than a message does."""


class Big(ToyAsked, name="toy.big", from_apps=True):
    """toy.asked with a text of any size, which the toys ignore."""

    text: str = ""


@pytest.fixture
def publisher(toys: Bench) -> Publisher:
    return Publisher(toys.bus, toys.queues, toys.registry, clock=toys.clock, vault=lambda: toys.vault)


def payload_of(toys: Bench, queue: str = "toys") -> dict[str, Any]:
    [message] = toys.queues.queues[queue]
    found: dict[str, Any] = json.loads(message.body)["payload"]
    return found


def sent(toys: Bench, **payload: Any) -> None:
    """A message whose payload lies in the bucket already."""
    id = str(uuid7())
    wire = toys.vault.shrink({"tenantId": "acme", **payload}, name=id)
    toys.send("toy-play", wire, key=id)


@pytest.mark.parametrize("how", ["trigger", "publish"])
def test_publisher_puts_a_large_payload_into_the_bucket_and_the_job_gets_it(
    toys: Bench, publisher: Publisher, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setitem(toy_jobs.ACTS, BIG, lambda ctx, payload: seen.append(payload.n))
    if how == "trigger":
        publisher.trigger("toy-play", {"act": BIG, "n": 7}, "acme")
    else:
        publisher.publish(ToyAsked(act=BIG, n=7), "acme")
        toys.queues.queues["toys-bulk"].clear()

    carried = payload_of(toys)
    assert set(carried) == {"tenantId", "_blob", "_meta"}
    assert BIG[:9].encode() not in toys.blobs.objects[carried["_blob"]]
    assert [done.state for done in toys.drain()] == ["succeeded"]
    assert seen == [7]


def test_payload_that_fits_travels_as_it_is(toys: Bench, publisher: Publisher) -> None:
    publisher.trigger("toy-play", {"act": "nothing", "n": 1}, "acme")

    assert payload_of(toys)["n"] == 1
    assert toys.blobs.objects == {}


@pytest.mark.parametrize("how", ["event", "queue", "schedule of an event", "schedule of a message"])
def test_outbox_offloads_when_it_sends(
    toys: Bench, play: Any, rows: Rows, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def emits(ctx: JobContext, payload: ToyAsked) -> None:
        delay_s = DAY_S * 2 if "schedule" in how else 0
        if "event" in how:
            ctx.emit(Big(act="nothing", n=4, text=BIG), delay_s=delay_s)
        else:
            ctx.again(Big(act="nothing", n=4, text=BIG), delay_s=delay_s)

    monkeypatch.setitem(toy_jobs.ACTS, "emits", emits)
    object.__setattr__(toy_jobs.play, "emits", (*toy_jobs.play.emits, Big))
    try:
        play("emits")
    finally:
        object.__setattr__(toy_jobs.play, "emits", toy_jobs.play.emits[:-1])

    [key] = [key for key in toys.blobs.objects if "payloads" in key]
    assert key.startswith(LONG_PREFIX if "schedule" in how else "payloads/acme/")
    assert rows("SELECT 1 FROM jobs.outbox") == []
    if "event" in how:
        toys.clock.advance(s=DAY_S * 2)
        toys.schedules.fire()
        [(name, detail)] = toys.bus.published
        assert (name, set(detail)) == ("toy.big", {"tenantId", "_blob", "_meta"})
        assert toys.vault.open(detail["_blob"], "acme") == {"act": "nothing", "n": 4, "text": BIG}
    else:
        assert [done.result["n"] for done in toys.drain()] == [4]


def test_relay_done_twice_leaves_one_object(toys: Bench) -> None:
    id = str(uuid7())

    for _ in range(2):
        toys.vault.shrink_body(json.dumps({"job": "j", "payload": {"tenantId": "acme", "t": BIG}}), name=id)

    assert list(toys.blobs.objects) == [f"payloads/acme/{id}"]


def test_row_whose_payload_the_bucket_did_not_take_stays(
    toys: Bench, play: Any, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    def again(ctx: JobContext, payload: ToyAsked) -> None:
        ctx.again(Big(act="nothing", n=4, text=BIG))
        ctx.again(ToyAsked(n=5))

    def down(key: str, data: bytes) -> None:
        raise OSError("the bucket is away")

    monkeypatch.setitem(toy_jobs.ACTS, "again", again)
    with monkeypatch.context() as away:
        away.setattr(toys.blobs, "put", down)
        play("again")
    assert len(rows("SELECT 1 FROM jobs.outbox")) == 1

    toys.clock.advance(s=61)
    toys.relay.sweep(toys.connections.get(), toys.clock.now())

    assert sorted(done.result["n"] for done in toys.drain()) == [4, 5]


def test_ledger_retry_and_dead_letter_keep_the_key_and_not_the_payload(toys: Bench, tenant: Tenant, rows: Rows) -> None:
    sent(toys, act="transient", n=3, padding="x" * 50_000)

    toys.drain()

    [letter] = toys.queues.dead("toys")
    assert set(json.loads(letter.body)["payload"]) == {"tenantId", "_blob", "_meta"}
    [kept] = rows("SELECT body, blob_key FROM jobs.payloads")
    assert kept["blob_key"] is None
    assert len(kept["body"]) < 1_000


def test_run_that_waits_for_weeks_takes_its_payload_along(toys: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object of the ordinary prefix is gone after 31 days."""

    def waits(ctx: JobContext, payload: ToyAsked) -> None:
        if toy_jobs.calls.count((ctx.job_id, "waits", payload.n)) == 1:
            raise Deferred("TOY_NOT_NOW", at=ctx.now() + timedelta(days=40))

    monkeypatch.setitem(toy_jobs.ACTS, "waits", waits)
    sent(toys, act="waits", n=3, padding=MIDDLE)
    toys.pump("toys")
    for key in [key for key in toys.blobs.objects if key.startswith("payloads/")]:
        del toys.blobs.objects[key]

    assert [done.state for done in toys.drain(horizon_s=50 * DAY_S)] == ["succeeded"]


# What cannot be fetched.


def test_object_that_is_gone_is_a_dead_letter(toys: Bench, rows: Rows) -> None:
    sent(toys, n=1)
    toys.blobs.objects.clear()

    [done] = toys.pump("toys")

    assert (done.state, done.code) == ("dead", "PAYLOAD_GONE")
    assert toys.queues.dead("toys")[0].attributes["code"] == "PAYLOAD_GONE"


def other_tenant_s_object(toys: Bench) -> str:
    return str(toys.vault.shrink({"tenantId": "globex", "n": 1}, name=str(uuid7()))["_blob"])


def other_tenant_s_bytes(toys: Bench) -> str:
    """Somebody who can write to the bucket moves an object of another tenant."""
    key = other_tenant_s_object(toys)
    moved = key.replace("globex", "acme")
    toys.blobs.objects[moved] = toys.blobs.objects[key]
    return moved


@pytest.mark.parametrize(
    ("blob", "code"),
    [
        (other_tenant_s_object, "MALFORMED_MESSAGE"),
        (other_tenant_s_bytes, "CREDENTIAL_UNREADABLE"),
        (lambda toys: "../secrets", "MALFORMED_MESSAGE"),
        (lambda toys: 7, "MALFORMED_MESSAGE"),
    ],
    ids=["another tenant's object", "another tenant's bytes", "another place", "no text"],
)
def test_key_that_is_not_the_tenant_s_own_opens_nothing(toys: Bench, blob: Callable[[Bench], Any], code: str) -> None:
    toys.send("toy-play", {"tenantId": "acme", "_blob": blob(toys)})

    [done] = toys.pump("toys")

    assert (done.state, done.code) == ("dead", code)
    assert toy_jobs.calls == []


def test_bucket_that_does_not_answer_burns_no_attempt(toys: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sent(toys, n=1)

    def down(key: str) -> bytes:
        raise OSError("the bucket is away")

    with monkeypatch.context() as away:
        away.setattr(toys.blobs, "get", down)
        assert toys.pump("toys") == []

    assert [(done.state, done.attempt) for done in toys.drain()] == [("succeeded", 1)]


def test_bucket_that_never_answers_ends_with_the_message_s_age(toys: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sent(toys, n=1)

    def down(key: str) -> bytes:
        raise OSError("the bucket is away")

    monkeypatch.setattr(toys.blobs, "get", down)
    toys.clock.advance(s=DAY_S + 1)

    [done] = toys.pump("toys")

    assert (done.state, done.code) == ("dead", "EXPIRED")


def test_body_without_a_tenant_stays_as_it_is(toys: Bench) -> None:
    vault = Vault(toys.blobs, toys.keyring)
    bodies = ["{broken" + BIG, json.dumps({"payload": BIG}), json.dumps({"payload": {"t": BIG}}), "[]"]

    assert [json.loads(vault.shrink_body(body, name="n")) for body in bodies[1:]] == [json.loads(b) for b in bodies[1:]]
    assert vault.shrink_body(bodies[0], name="n") == bodies[0]
    assert toys.blobs.objects == {}


def test_tenant_named_by_its_organization_opens_its_own_object(toys: Bench, tenant: Tenant) -> None:
    organization = str(tenant.organization_id)
    wire = toys.vault.shrink({"tenantId": organization, "act": "nothing", "n": 6}, name=str(uuid7()))

    done = Deliver(toys, tenant).job("toy-play", wire, tenant=organization)

    assert done.result["n"] == 6


def test_limits_leave_room_for_what_aws_takes() -> None:
    assert INLINE_MAX < 1024 * 1024
    assert SCHEDULE_MAX < 256 * 1024
