"""The Slack fake: Slack's own contract, its rules, and trouble on demand."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from shared.fakes.slack import SlackFake
from shared.jobs.testing import ManualClock
from tests.conftest import shared_material

TOKEN = "xoxb-fake"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(params=["contract", "rules"])
def fake(request: pytest.FixtureRequest, clock: ManualClock) -> Iterator[SlackFake]:
    contract = shared_material("contracts/slack/slack_web_v2.trim.json") if request.param == "contract" else None
    with SlackFake.start(contract=contract, now=clock.now) as fake:
        fake.team(TOKEN, channels=("C00000001",))
        yield fake


def ask(
    fake: SlackFake, method: str, fields: dict[str, Any], *, token: str | None = TOKEN, as_json: bool = False
) -> tuple[int, dict[str, Any], dict[str, str]]:
    body = json.dumps(fields).encode() if as_json else urlencode(fields).encode()
    headers = {"Content-Type": "application/json" if as_json else "application/x-www-form-urlencoded"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(f"{fake.base_url}/api/{method}", body, headers)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error), dict(error.headers)


@pytest.mark.parametrize("as_json", [False, True], ids=["form", "JSON"])
def test_message_is_kept_and_answered_as_the_contract_says(fake: SlackFake, as_json: bool) -> None:
    blocks: Any = [{"type": "divider"}]
    fields = {"channel": "C00000001", "text": "hello", "blocks": blocks if as_json else json.dumps(blocks)}

    status, answer, _ = ask(fake, "chat.postMessage", fields, as_json=as_json)

    assert status == 200
    assert answer.keys() == {"ok", "channel", "ts", "message"}
    assert re.fullmatch(r"\d{10}\.\d{6}", answer["ts"])
    assert answer["message"].keys() >= {"text", "type", "ts"}
    [message] = fake.posted("C00000001")
    assert (message.text, message.blocks, message.ts) == ("hello", blocks, answer["ts"])


def test_answers_have_only_members_of_the_contract(fake: SlackFake) -> None:
    contract = json.loads(shared_material("contracts/slack/slack_web_v2.trim.json").read_text(encoding="utf-8"))
    for method, verb, fields in (
        ("chat.postMessage", "post", {"channel": "C00000001", "text": "hello"}),
        ("conversations.join", "post", {"channel": "C00000001"}),
        ("auth.test", "get", {}),
    ):
        schema = contract["paths"][f"/{method}"][verb]["responses"]["200"]["schema"]
        _, answer, _ = ask(fake, method, fields)
        assert set(schema["required"]) <= answer.keys() <= schema["properties"].keys()
    words = contract["paths"]["/chat.postMessage"]["post"]["responses"]["default"]["schema"]["properties"]["error"][
        "enum"
    ]
    assert ask(fake, "chat.postMessage", {"channel": "C404", "text": "x"})[1]["error"] in words


@pytest.mark.parametrize(
    ("fields", "token", "word"),
    [
        ({"channel": "C00000001", "text": "x"}, None, "not_authed"),
        ({"channel": "C00000001", "text": "x"}, "xoxb-other", "invalid_auth"),
        ({"channel": "C00000404", "text": "x"}, TOKEN, "channel_not_found"),
        ({"channel": "C00000001"}, TOKEN, "no_text"),
        ({"channel": "C00000001", "text": "x" * 40_001}, TOKEN, "msg_too_long"),
        ({"channel": "C00000001", "text": "x", "blocks": "no json"}, TOKEN, "invalid_blocks_format"),
        ({"channel": "C00000001", "text": "x", "blocks": '[{"type":"header"}]'}, TOKEN, "invalid_blocks"),
        ({"channel": "C00000001", "text": "x", "client_msg_id": "1"}, TOKEN, "invalid_arguments"),
        ({"text": "x"}, TOKEN, "invalid_arguments"),
    ],
)
def test_refusals_come_inside_http_200(fake: SlackFake, fields: dict[str, Any], token: str | None, word: str) -> None:
    status, answer, _ = ask(fake, "chat.postMessage", fields, token=token)

    assert (status, answer["ok"], answer["error"]) == (200, False, word)
    assert fake.posted() == []
    assert (fake.problems() != []) is (word in ("invalid_arguments", "invalid_blocks"))


def test_trouble_on_demand_comes_so_often_and_passes(fake: SlackFake) -> None:
    fake.fail("429", 1, retry_after="30")
    fake.fail("internal_error", 1)
    fields = {"channel": "C00000001", "text": "x"}

    first, second, third = (ask(fake, "chat.postMessage", fields) for _ in range(3))

    assert (first[0], first[2]["Retry-After"]) == (429, "30")
    assert second[1] == {"ok": False, "error": "internal_error"}
    assert third[1]["ok"] is True


def test_process_opens_channels_as_they_are_named() -> None:
    command = [sys.executable, "-m", "shared.fakes.slack", "--port", "0"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().split()[2]
        body = urlencode({"channel": "#alerts", "text": "hello"}).encode()
        request = urllib.request.Request(f"{address}/api/chat.postMessage", body, {"Authorization": f"Bearer {TOKEN}"})
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["ok"] is True
        with urllib.request.urlopen(f"{address}/_fake/messages") as answer:
            [message] = json.load(answer)["messages"]
        process.send_signal(signal.SIGTERM)

        assert process.wait(10) == 0
    assert message["text"] == "hello"
