"""The suites themselves: a job with a fault that one of them looks for does not get past it."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from shared import slack
from shared.events import Event, Payload
from shared.integrations import resend
from shared.integrations.credentials import decrypt
from shared.jobs import JobContext, job
from shared.jobs.queues import Queue
from shared.jobs.registry import AnyJob
from shared.redis import Call, Redis
from tests.suites import test_delivery, test_isolation, test_poison, test_privacy, test_vendor_calls
from tests.suites.conftest import OpenLab
from tests.suites.counts import Count
from tests.suites.lab import Lab

FAULTY = Queue("faulty")
ADD = "INSERT INTO tenant_config (key, value) VALUES (%(key)s, 'true')"


class FaultAsked(Event, name="fault.asked", from_apps=True):
    order_id: str
    note: str = "nothing to say"


class FaultDone(Payload):
    note: str = ""


def _job(id: str, handler: Callable[[JobContext, FaultAsked], FaultDone], **more: object) -> AnyJob:
    """The handler as a job; a function's module is its category, which these have none of."""
    handler.__doc__ = "Does what no job should."
    declare = job(id, on=FaultAsked, queue=FAULTY, **more)  # type: ignore[arg-type]
    return declare(handler)


def _adds_again(ctx: JobContext, payload: FaultAsked) -> FaultDone:
    with ctx.tenant_session() as session:
        session.execute(ADD, {"key": str(uuid4())})
    return FaultDone()


def _logs(ctx: JobContext, payload: FaultAsked) -> FaultDone:
    ctx.log.info("asked", extra={"note": payload.note})
    return FaultDone()


def _tells(ctx: JobContext, payload: FaultAsked) -> FaultDone:
    return FaultDone(note=payload.note)


def _nothing(ctx: JobContext, payload: FaultAsked) -> FaultDone:
    return FaultDone()


def _calls_in_session(ctx: JobContext, payload: FaultAsked) -> FaultDone:
    with ctx.tenant_session() as session:
        session.value("SELECT 1")
        try:
            socket.create_connection(("127.0.0.1", 9), timeout=1)
        except OSError:
            return FaultDone()
    return FaultDone()


def _trusts(ctx: JobContext, payload: FaultAsked) -> FaultDone:
    int(payload.order_id)
    return FaultDone()


def _writes_everywhere(ctx: JobContext, payload: FaultAsked) -> FaultDone:
    with ctx.platform_session() as session:
        session.execute("UPDATE platform_alerts SET title = title || '!'")
    return FaultDone()


def _resend(ctx: JobContext, key: str) -> None:
    """A mail past the mail service: no ledger, no lease, a key that the caller invents."""
    with ctx.tenant_session(read_only=True) as session:
        sealed = session.value("SELECT api_key_encrypted FROM tenant_resend_config")
    body = {"from": "hello@acme.test", "to": "somebody@example.com", "subject": "Hello", "text": "Hello"}
    sent = resend.send(ctx, decrypt(ctx, sealed), json.dumps(body).encode(), key)
    assert isinstance(sent, resend.Sent)


def _mails_by_itself(ctx: JobContext, payload: FaultAsked) -> FaultDone:
    _resend(ctx, str(uuid4()))
    with ctx.tenant_session() as session:
        session.value("SELECT 1")
    return FaultDone()


def _mails_twice(ctx: JobContext, payload: FaultAsked) -> FaultDone:
    """A key for each attempt: Resend takes the second for another mail."""
    _resend(ctx, f"{payload.order_id}:{ctx.attempt}")
    with ctx.tenant_session() as session:
        session.value("SELECT 1")
    return FaultDone()


def _posts_at_random(ctx: JobContext, payload: FaultAsked) -> FaultDone:
    slack.post(ctx, "system.alert", f"Order {ctx.attempt}", dedupe_key=str(uuid4()))
    with ctx.tenant_session() as session:
        session.value("SELECT 1")
    return FaultDone()


def _counts_in_redis(ctx: JobContext, payload: FaultAsked) -> FaultDone:
    """A step that must not be repeated, and is."""
    redis = Redis.connect(ctx)
    assert redis is not None
    redis.run("return redis.call('HINCRBY', KEYS[1], 'seen', 1)", [Call([redis.key("faults", "seen")])])
    with ctx.tenant_session() as session:
        session.value("SELECT 1")
    return FaultDone()


def _tells_a_secret(ctx: JobContext, payload: FaultAsked) -> FaultDone:
    with ctx.tenant_session(read_only=True) as session:
        sealed = session.value("SELECT api_key_encrypted FROM tenant_resend_config")
    slack.post(ctx, "system.alert", decrypt(ctx, sealed), dedupe_key="once")
    return FaultDone()


CRASH = test_delivery.test_process_that_dies_at_any_point_loses_nothing
CASES: list[tuple[AnyJob, Callable[[Lab, Count], None], str]] = [
    (_job("fault-adds-again", _adds_again), test_delivery.test_process_that_dies_at_any_point_loses_nothing, "rows"),
    (_job("fault-logs", _logs), test_privacy.test_no_personal_data_and_no_secret_in_log_or_ledger, "log"),
    (_job("fault-tells", _tells), test_privacy.test_no_personal_data_and_no_secret_in_log_or_ledger, "jobs.runs"),
    (
        _job("fault-key", _nothing, key=lambda p, m: p.note),
        test_privacy.test_no_personal_data_and_no_secret_in_log_or_ledger,
        "jobs.claims",
    ),
    (
        _job("fault-calls", _calls_in_session),
        lambda lab, count: test_vendor_calls.test_no_session_is_open_during_a_vendor_call(lab, count, "answer"),
        "transaction was open",
    ),
    (
        _job("fault-trusts", _trusts),
        lambda lab, count: test_poison.test_poison_ends_with_a_verdict(lab, count, "payload"),
        "UNEXPECTED",
    ),
    (
        _job("fault-writes", _writes_everywhere, tenants="any", platform=True),
        test_isolation.test_job_neither_reads_nor_writes_anything_of_another_tenant,
        "rows of the other tenant",
    ),
    (_job("fault-mails-by-itself", _mails_by_itself), CRASH, "resend holds"),
    (_job("fault-mails-twice", _mails_twice), CRASH, "resend holds"),
    (_job("fault-posts", _posts_at_random), CRASH, "slack holds"),
    (_job("fault-counts", _counts_in_redis), CRASH, "redis holds"),
    (
        _job("fault-secret", _tells_a_secret),
        test_privacy.test_no_personal_data_and_no_secret_in_log_or_ledger,
        "'vendors'",
    ),
]


@pytest.fixture(scope="module")
def faulty(open_lab: OpenLab) -> Iterator[Callable[[AnyJob], Lab]]:
    """Labs of faulty jobs, one after the other on one database."""
    made: list[Lab] = []
    with open_lab(CASES[0][0]) as first:

        def make(faulty_job: AnyJob) -> Lab:
            first.store.restore()
            made.append(Lab(faulty_job, first.store, first.world, first.vendors, first.database_url))
            return made[-1]

        yield make
        for lab in made:
            lab.close()


@pytest.mark.parametrize(("faulty_job", "suite", "says"), CASES, ids=[case[0].id for case in CASES])
def test_suite_notices(
    faulty: Callable[[AnyJob], Lab], faulty_job: AnyJob, suite: Callable[[Lab, Count], None], says: str
) -> None:
    with pytest.raises(AssertionError, match=says):
        suite(faulty(faulty_job), Count([]))
