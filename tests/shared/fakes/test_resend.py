"""The Resend fake: what it takes, what it refuses, what it keeps, and its outbox."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared.fakes.resend import ResendFake
from shared.jobs.testing import ManualClock
from tests.conftest import shared_material
from tests.shared.fakes.conftest import Got

ROOT = Path(__file__).resolve().parents[3]
KEY = "re_1"
MAIL: dict[str, Any] = {"from": "Acme <hello@acme.test>", "to": ["ann@example.com"], "subject": "Hi", "text": "Hello"}

Post = Callable[..., Got]


@pytest.fixture
def resend(clock: ManualClock) -> Iterator[ResendFake]:
    with ResendFake.start(now=clock.now) as fake:
        fake.team(KEY, domains=["acme.test"])
        yield fake


def ask(fake: ResendFake, method: str, path: str, body: Any = None, **headers: str) -> Got:
    connection = http.client.HTTPConnection(urlsplit(fake.base_url).netloc, timeout=5)
    try:
        text = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
        connection.request(method, path, text, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return Got(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def send(fake: ResendFake, key: str | None = None, *, token: str | None = KEY, body: Any = None, **changes: Any) -> Got:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    if key is not None:
        headers["Idempotency_Key"] = key
    return ask(fake, "POST", "/emails", {**MAIL, **changes} if body is None else body, **headers)


def test_a_mail_is_taken_and_can_be_looked_up(resend: ResendFake) -> None:
    got = send(resend, "k1", tags=[{"name": "a", "value": "b"}])

    id = got.json["id"]
    assert got.status == 200
    assert got.headers["ratelimit-limit"] == "2"
    found = ask(resend, "GET", f"/emails/{id}", Authorization=f"Bearer {KEY}").json
    assert (found["to"], found["subject"], found["last_event"]) == (["ann@example.com"], "Hi", "delivered")
    assert resend.sent_to("ANN@example.com")[0].key == "k1"
    assert ask(resend, "GET", "/domains", Authorization=f"Bearer {KEY}").json["data"][0]["name"] == "acme.test"


def test_a_key_is_kept_for_a_day_and_stands_for_one_body(resend: ResendFake, clock: ManualClock) -> None:
    first = send(resend, "k1").json["id"]
    clock.advance(s=60)
    assert send(resend, "k1").json["id"] == first
    clock.advance(s=60)
    assert send(resend, "k1", subject="Other").json["name"] == "invalid_idempotent_request"
    clock.advance(days=1)
    assert send(resend, "k1", subject="Other").json["id"] != first
    assert len(resend.mails) == 2


def test_a_refused_mail_keeps_no_key(resend: ResendFake, clock: ManualClock) -> None:
    send(resend, "k1", to="nobody")
    clock.advance(s=1)

    assert send(resend, "k1").status == 200


@pytest.mark.parametrize(
    ("changes", "status", "name"),
    [
        ({"subject": ""}, 422, "missing_required_field"),
        ({"text": ""}, 422, "missing_required_field"),
        ({"from": "Acme"}, 422, "invalid_from_address"),
        ({"to": "nobody"}, 422, "validation_error"),
        ({"to": ["a@b.test"] * 51}, 422, "validation_error"),
        ({"tags": [{"name": "a b", "value": "c"}]}, 422, "validation_error"),
        ({"colour": "red"}, 422, "validation_error"),
        ({"from": "a@other.test"}, 403, "validation_error"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_wrong_mail_is_refused(resend: ResendFake, changes: dict[str, Any], status: int, name: str) -> None:
    got = send(resend, **changes)

    assert (got.status, got.json["name"], got.json["statusCode"]) == (status, name, status)
    assert resend.mails == []
    assert (resend.problems() == []) == (status == 403)  # an unverified domain is no mistake of the request


def test_keys_are_checked(resend: ResendFake) -> None:
    assert send(resend, token=None).json["name"] == "missing_api_key"
    assert send(resend, token="re_other").json["name"] == "invalid_api_key"
    assert send(resend, "x" * 257).json["name"] == "invalid_idempotency_key"
    resend.teams[KEY].restricted = True
    assert ask(resend, "GET", "/domains", Authorization=f"Bearer {KEY}").json["name"] == "restricted_api_key"


def test_two_calls_a_second(resend: ResendFake, clock: ManualClock) -> None:
    assert [send(resend).status for _ in range(3)] == [200, 200, 429]
    clock.advance(s=1)

    assert send(resend).status == 200


def test_a_request_is_held_against_the_vendors_contract(clock: ManualClock) -> None:
    contract = shared_material("contracts/resend/resend.trim.json")
    with ResendFake.start(contract=contract, now=clock.now) as fake:
        fake.team(KEY)
        assert send(fake, reply_to="a@acme.test", headers={"X-A": "b"}, html="<p>x</p>").status == 200
        for wrong in ({"subject": 5}, {"to": [5]}, {"tags": [{"name": "a", "value": "b", "more": 1}]}):
            clock.advance(s=2)
            assert send(fake, **wrong).status == 422
        assert len(fake.problems()) == 3


def test_trouble_on_demand(resend: ResendFake) -> None:
    resend.fail("daily_quota_exceeded", match="ann@")
    assert send(resend, to="bob@example.com").status == 200
    assert send(resend).json["name"] == "daily_quota_exceeded"
    fault = {"kind": "429", "retry_after": "7"}
    assert ask(resend, "POST", "/_fake/faults", fault).json["ok"]
    assert send(resend).headers["retry-after"] == "7"
    resend.fail("cut")
    with pytest.raises(http.client.RemoteDisconnected):
        send(resend)
    assert len(resend.mails) == 2
    resend.fail("500")
    ask(resend, "DELETE", "/_fake/faults")
    assert resend.faults == []
    assert len(ask(resend, "GET", "/_fake/requests").json["requests"]) == 4


def test_the_outbox_can_be_read_and_runs_nothing(resend: ResendFake) -> None:
    assert "Nothing was sent yet" in ask(resend, "GET", "/").body.decode()
    id = send(resend, subject="<b>Hi</b>", html="<p>Dear <script>x</script></p>").json["id"]

    page = ask(resend, "GET", "/")
    one = ask(resend, "GET", f"/outbox/{id}")

    assert f'<a href="/outbox/{id}">&lt;b&gt;Hi&lt;/b&gt;</a>' in page.body.decode()
    assert "ann@example.com" in page.body.decode()
    assert "<p>Dear" in one.body.decode()
    assert "default-src 'none'" in one.headers["content-security-policy"]
    assert ask(resend, "GET", "/outbox/none").status == 404


def command(port: int) -> list[str]:
    return [sys.executable, "-m", "shared.fakes.resend", "--port", str(port), "--key", KEY]


def test_the_process_serves_until_it_is_told_to_stop() -> None:
    with subprocess.Popen(command(0), cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[2]
        stand_in = ResendFake(None, ManualClock().now, enforce_rate=True)
        stand_in.base_url = address

        assert send(stand_in).status == 200
        assert ask(stand_in, "GET", "/_fake/health").json["ok"]
        assert len(ask(stand_in, "GET", "/_fake/mails").json["mails"]) == 1
        process.send_signal(signal.SIGTERM)

        assert process.wait(10) == 0


def test_a_port_in_use_is_one_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(command(port), cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 1
    assert done.stderr == f"The Resend fake cannot listen on 127.0.0.1:{port}: Address already in use.\n"
