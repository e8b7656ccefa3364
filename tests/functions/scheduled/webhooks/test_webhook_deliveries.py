"""Deliveries of our own: signed, tried again, given up, and never into our own network."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb

from shared.crypto import encrypt_platform
from shared.events.webhooks import WebhookReceived, WebhookRetry
from shared.jobs.context import Tenant
from shared.jobs.messages import OWN_SOURCE
from shared.jobs.registry import Registry
from shared.jobs.testing import Bench, Deliver, ManualClock
from tests.builders.webhooks import NOON

Rows = Any


class Target(ThreadingHTTPServer):
    """An address of a tenant: answers the scripted statuses in order and keeps what it got."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), TargetHandler)
        self.answers: list[tuple[int, dict[str, str]]] = []
        self.got: list[tuple[dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook?x=1"


class TargetHandler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Any = self.server
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        status, headers = server.answers.pop(0)
        text = b"" if status == 204 else b"x" * 900
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(text))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def target() -> Iterator[Target]:
    server = Target()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def bench(make_bench: Callable[..., Bench], registry: Registry) -> Bench:
    """Deliveries may go to this machine: the target of the tests is here."""
    return make_bench(registry, OUTBOUND_ALLOW_LOOPBACK="1")


@pytest.fixture
def outbound(rows: Rows, tenant: Tenant) -> Callable[..., UUID]:
    """Stores a delivery."""

    def store(url: str, **columns: Any) -> UUID:
        values = {
            "id": uuid4(),
            "tenant_id": tenant.organization_id,
            "event_type": "order.paid",
            "target_url": url,
            "payload": Jsonb({"a": "é"}),
            **columns,
        }
        marks = ", ".join(f"%({name})s" for name in values)
        rows.execute(f"INSERT INTO public.platform_webhooks ({', '.join(values)}) VALUES ({marks})", values)  # noqa: S608
        return UUID(str(values["id"]))

    return store


def delivery(rows: Rows) -> dict[str, Any]:
    found: dict[str, Any] = rows("SELECT * FROM public.platform_webhooks")[0]
    return found


def test_delivery_is_tried_until_the_target_takes_it(
    deliver: Deliver, rows: Rows, target: Target, outbound: Callable[..., UUID], clock: ManualClock
) -> None:
    id = outbound(target.url)
    target.answers = [(500, {}), (500, {}), (204, {})]

    waits = []
    for attempt in (1, 2):
        failed = deliver(WebhookRetry(delivery_id=id, attempt=attempt))
        after = delivery(rows)
        assert (failed.result["outcome"], after["status"], after["attempts"]) == (
            "retry_scheduled",
            "retrying",
            attempt,
        )
        assert (after["response_status"], after["last_error"]) == (500, "OUTBOUND_HTTP_500")
        assert len(after["response_body"]) == 500
        waits.append((after["next_attempt_at"] - clock.now()).total_seconds())
        clock.advance(s=waits[-1])
    done = deliver(WebhookRetry(delivery_id=id, attempt=3))

    assert done.result == {"outcome": "delivered", "provider": "outbound", "topic": "order.paid", "emitted": []}
    last = delivery(rows)
    assert (last["status"], last["attempts"], last["response_status"]) == ("delivered", 2, 204)
    assert (last["delivered_at"], last["lease_expires_at"], last["next_attempt_at"]) == (clock.now(), None, None)
    assert 60 <= waits[0] <= 66
    assert 300 <= waits[1] <= 330
    headers, body = target.got[0]
    assert body == '{"a":"é"}'.encode()
    assert (headers["x-cgk-event"], headers["x-cgk-delivery"]) == ("order.paid", str(id))
    assert headers["x-cgk-unsigned"] == "1"
    assert "x-cgk-signature" not in headers


def test_delivery_is_signed_with_the_tenants_secret(
    deliver: Deliver, bench: Bench, rows: Rows, target: Target, outbound: Callable[..., UUID]
) -> None:
    sealed = encrypt_platform("whsec_1", bench.secrets["INTEGRATION_ENCRYPTION_KEY"])
    rows.execute(
        "INSERT INTO tenant_config (key, value) VALUES ('webhooks.outbound', %s)", (Jsonb({"secretEncrypted": sealed}),)
    )
    target.answers = [(200, {})]

    deliver(WebhookReceived(delivery_id=outbound(target.url)))

    headers, body = target.got[0]
    at = int(NOON.timestamp())
    digest = hmac.new(b"whsec_1", f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["x-cgk-signature"] == f"t={at},v1={digest}"
    assert "x-cgk-unsigned" not in headers


ANSWERS: list[tuple[int, dict[str, str], str, str]] = [
    (410, {}, "dead", "failed"),
    (404, {}, "dead", "failed"),
    (302, {"Location": "http://127.0.0.1:1/"}, "dead", "failed"),
    (408, {}, "retry_scheduled", "retrying"),
    (425, {}, "retry_scheduled", "retrying"),
    (429, {"Retry-After": "900"}, "retry_scheduled", "retrying"),
    (503, {}, "retry_scheduled", "retrying"),
]


@pytest.mark.parametrize(("status", "headers", "outcome", "state"), ANSWERS, ids=[str(answer[0]) for answer in ANSWERS])
def test_answer_decides(
    deliver: Deliver,
    rows: Rows,
    target: Target,
    outbound: Callable[..., UUID],
    status: int,
    headers: dict[str, str],
    outcome: str,
    state: str,
) -> None:
    target.answers = [(status, headers)]

    done = deliver(WebhookReceived(delivery_id=outbound(target.url)))

    after = delivery(rows)
    assert (done.result["outcome"], done.result["code"]) == (outcome, f"OUTBOUND_HTTP_{status}")
    assert (after["status"], after["attempts"]) == (state, 1)
    if status == 429:
        assert after["next_attempt_at"] == NOON + timedelta(seconds=900)


def test_attempts_used_up_is_failed_for_good(
    deliver: Deliver, rows: Rows, target: Target, outbound: Callable[..., UUID]
) -> None:
    target.answers = [(500, {})]

    done = deliver(WebhookReceived(delivery_id=outbound(target.url, attempts=4, status="retrying")))

    assert done.result["outcome"] == "dead"
    assert (delivery(rows)["status"], delivery(rows)["attempts"]) == ("failed", 5)


def test_nobody_listening_is_tried_again(deliver: Deliver, rows: Rows, outbound: Callable[..., UUID]) -> None:
    done = deliver(WebhookReceived(delivery_id=outbound("http://127.0.0.1:1/")))

    assert (done.result["outcome"], done.result["code"]) == ("retry_scheduled", "OUTBOUND_UNAVAILABLE")
    assert delivery(rows)["response_status"] is None


def test_metadata_address_is_refused_at_once(deliver: Deliver, rows: Rows, outbound: Callable[..., UUID]) -> None:
    done = deliver(WebhookReceived(delivery_id=outbound("http://169.254.169.254")))

    assert (done.result["outcome"], done.result["code"]) == ("dead", "OUTBOUND_TARGET_REFUSED")
    assert (delivery(rows)["status"], delivery(rows)["attempts"]) == ("failed", 1)


def test_loopback_is_refused_unless_the_setting_admits_it(
    make_bench: Callable[..., Bench],
    registry: Registry,
    tenant: Tenant,
    rows: Rows,
    target: Target,
    outbound: Callable[..., UUID],
) -> None:
    strict = Deliver(make_bench(registry), tenant)

    done = strict(WebhookReceived(delivery_id=outbound(target.url)))

    assert done.result["code"] == "OUTBOUND_TARGET_REFUSED"
    assert target.got == []


@pytest.mark.parametrize(
    ("columns", "outcome", "code"),
    [
        ({"status": "delivered"}, "duplicate", None),
        ({"status": "failed"}, "skipped", "failed"),
        ({"status": "retrying", "next_attempt_at": NOON + timedelta(seconds=1)}, "skipped", "not_due"),
    ],
    ids=["delivered", "failed", "not due"],
)
def test_delivery_with_nothing_to_do(
    deliver: Deliver,
    target: Target,
    outbound: Callable[..., UUID],
    columns: dict[str, Any],
    outcome: str,
    code: str | None,
) -> None:
    done = deliver(WebhookReceived(delivery_id=outbound(target.url, **columns)))

    assert (done.result["outcome"], done.result.get("code")) == (outcome, code)
    assert target.got == []


def test_delivery_that_another_run_holds_is_waited_for(deliver: Deliver, outbound: Callable[..., UUID]) -> None:
    id = outbound("https://example.com/", lease_expires_at=NOON + timedelta(seconds=10))

    assert deliver(WebhookReceived(delivery_id=id), expect="retrying").code == "WEBHOOK_IN_PROGRESS"


def test_delivery_of_another_tenant_does_not_exist_here(
    deliver: Deliver, target: Target, outbound: Callable[..., UUID], other_tenant: Tenant
) -> None:
    id = outbound(target.url, tenant_id=other_tenant.organization_id)

    assert deliver(WebhookReceived(delivery_id=id), expect="dead").code == "WEBHOOK_NOT_FOUND"
    assert target.got == []


def test_delivery_of_the_platform_itself_belongs_to_no_tenant(
    deliver: Deliver, bench: Bench, rows: Rows, target: Target, outbound: Callable[..., UUID]
) -> None:
    id = outbound(target.url, tenant_id=None)
    target.answers = [(200, {})]

    deliver(WebhookReceived(delivery_id=id), expect="dead")
    bench.publish(WebhookRetry(delivery_id=id, attempt=1), "system", source=OWN_SOURCE)
    done = bench.pump("webhooks")

    assert [run.result["outcome"] for run in done] == ["delivered"]
    assert delivery(rows)["status"] == "delivered"
