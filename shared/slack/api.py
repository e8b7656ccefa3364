"""Slack's Web API, as far as we call it (docs.slack.dev/apis/web-api, looked at November 2026).

A call is a form with a bearer token. Slack answers refusals inside HTTP 200 as {"ok": false, "error": word}:

    RateLimited  SLACK_RATE_LIMITED   429 and ok:false ratelimited: waits for Retry-After
    Transient    SLACK_UNAVAILABLE    5xx, connection trouble, ok:false internal_error and its like
    Transient    SLACK_TIMEOUT        no answer in time
    Refused      (a value, not raised) every other word, and HTTP_<status> for another status

chat.postMessage takes one message a second and channel, and has no idempotency key: `posts.py` keeps the intent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from shared.integrations.http import retry_after_s
from shared.jobs.context import JobContext
from shared.jobs.errors import Permanent, RateLimited, Transient

VENDOR = "slack"
BASE_URL = "https://slack.com"
SETTING_BASE_URL = "SLACK_BASE_URL"
"""Replaces the vendor's address: the fake of a developer's machine and of tests."""
TIMEOUT_S = 10.0
RATE_LIMITED = ("ratelimited", "rate_limited")
DEFAULT_WAIT_S = 1.0
"""Wait after a refusal for the rate that names none: one message a second and channel are allowed."""
TROUBLE = ("internal_error", "fatal_error", "service_unavailable", "request_timeout")
"""Slack's own trouble: whether the message was posted is not known."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Slack understood and said no. `code`: its word, e.g. channel_not_found."""

    code: str


def call(ctx: JobContext, method: str, token: str, fields: Mapping[str, Any]) -> Mapping[str, Any] | Refused:
    """Call a method with the non-empty `fields`; lists and objects go as JSON text. The answer, or the refusal."""
    base = ctx.setting(SETTING_BASE_URL) or BASE_URL
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
    }
    body = urlencode({name: _text(value) for name, value in fields.items() if value is not None}).encode()
    try:
        answer = ctx.http.request(
            "POST", f"{base}/api/{method}", vendor=VENDOR, headers=headers, body=body, timeout_s=TIMEOUT_S
        )
    except Permanent as error:
        return Refused(error.code.removeprefix("SLACK_"))
    said = answer.json()
    if not isinstance(said, dict):
        raise Transient("SLACK_ANSWER_UNREADABLE", "the answer is no object")
    if said.get("ok") is True:
        return said
    code = str(said.get("error") or "unknown_error")
    if code in RATE_LIMITED:
        raise RateLimited(retry_after_s(answer.headers) or DEFAULT_WAIT_S, "SLACK_RATE_LIMITED", code)
    if code in TROUBLE:
        raise Transient("SLACK_UNAVAILABLE", code)
    return Refused(code)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
