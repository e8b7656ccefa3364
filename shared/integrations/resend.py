"""Resend's interface for sending mail: POST /emails, one mail with one recipient per call.

resend.com/docs/api-reference, OpenAPI 1.5.0 (2026-08-21), looked at 2026-11. Authorization: Bearer. Idempotency-Key of
1 to 256 characters, kept 24 hours: the same key with the same body is answered with the first id, with another body
refused. Limit: 2 requests a second and team unless the `ratelimit-*` headers of the answers say otherwise.

What Resend said to a mail is a value, because a refusal changes the state of that mail; what leaves its fate open is
raised by the HTTP layer.

    Sent            200 with an id
    Refused         400, 404, 405, 422, 451               the message is wrong for good: INVALID_MESSAGE, or
                                                          INVALID_RECIPIENT when the field `to` is named
                    409 invalid_idempotent_request        IDEMPOTENCY_CONFLICT
    Unconfigured    401, 403                              a key or domain that Resend does not accept; `code`: its word
    Busy            409 concurrent_idempotent_requests    an earlier call with this key is still at work
                    429 rate_limit_exceeded               with the seconds to wait
    Exhausted       429 daily_quota_exceeded, monthly_quota_exceeded
    raised          Transient RESEND_UNAVAILABLE, RESEND_TIMEOUT, RESEND_ANSWER_UNREADABLE: the outcome is unknown
                    unless `surely_not_sent`
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from shared.integrations.http import Response, retry_after_s
from shared.jobs.context import JobContext
from shared.jobs.errors import Transient
from shared.rate_limiter import Rate

VENDOR = "resend"
BASE_URL = "https://api.resend.com"
SETTING_BASE_URL = "RESEND_BASE_URL"
"""Replaces the vendor's address: the fake of a developer's machine and of tests."""
TIMEOUT_S = 10.0
ANSWERED = (400, 401, 403, 404, 405, 409, 422, 429, 451)
"""Statuses that are an answer about the mail; the HTTP layer raises for all others but 2xx."""
DEFAULT_PER_S = 2.0
SPARE = 1.1
"""Calls are spaced this much wider than the limit allows: 550 ms at 2 a second; clocks and networks jitter."""
MAX_TEAMS = 1000
"""Tenants whose limit is remembered in one process."""
DEFAULT_WAIT_S = 1.0

_paces: dict[str, float] = {}
_WORD = re.compile(r"[a-z][a-z0-9_]{0,60}")
_ABOUT_TO = re.compile(r"[`'\"]to[`'\"]|\bto field\b", re.IGNORECASE)
_ABOUT_ACCESS = re.compile(r"api key|domain.{0,80}not verified|not verified", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Sent:
    """Resend has the mail. `id`: its name there."""

    id: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Never to be sent like this. `word`: Resend's name of the error."""

    code: Literal["INVALID_MESSAGE", "INVALID_RECIPIENT", "IDEMPOTENCY_CONFLICT"]
    word: str


@dataclass(frozen=True, slots=True)
class Unconfigured:
    """The tenant's key or domain is not accepted."""

    code: str


@dataclass(frozen=True, slots=True)
class Busy:
    """Not now. `rate`: because of the rate, else because an earlier call with this key is at work."""

    after_s: float
    rate: bool


@dataclass(frozen=True, slots=True)
class Exhausted:
    """The quota of the day or month is used up."""

    period: Literal["day", "month"]


Answer = Sent | Refused | Unconfigured | Busy | Exhausted


def pace(tenant: str) -> Rate:
    """The rate at which a tenant may call: what Resend's headers said last in this process, else 2 a second."""
    return Rate(VENDOR, per_s=_paces.get(tenant, DEFAULT_PER_S) / SPARE)


def send(ctx: JobContext, api_key: str, body: bytes, idempotency_key: str) -> Answer:
    """Send one mail; `body`: the JSON of SendEmailRequest, byte for byte the same in every repetition of the key.

    The caller has taken a token of `pace`. Raises what the module's docstring lists; the key and the body never
    stand in an error.
    """
    base = ctx.setting(SETTING_BASE_URL) or BASE_URL
    headers = {
        "Authorization": f"Bearer {api_key}",
        "Idempotency-Key": idempotency_key,
        "Content-Type": "application/json",
    }
    answer = ctx.http.request(
        "POST", f"{base}/emails", vendor=VENDOR, headers=headers, body=body, timeout_s=TIMEOUT_S, ok=ANSWERED
    )
    _remember_pace(ctx.tenant.slug, answer.headers)
    return read_answer(answer)


def read_answer(answer: Response) -> Answer:
    """What an answer means, 2xx or of ANSWERED. Raises Transient RESEND_ANSWER_UNREADABLE for one without an id."""
    if 200 <= answer.status < 300:
        said = answer.json()
        id = said.get("id") if isinstance(said, dict) else None
        if not isinstance(id, str) or not id:
            raise Transient("RESEND_ANSWER_UNREADABLE", "an answer without the mail's id")
        return Sent(id)
    word, message = _error(answer)
    if answer.status == 429:
        return _too_much(word, answer.headers)
    if answer.status == 409:
        if word == "invalid_idempotent_request":
            return Refused("IDEMPOTENCY_CONFLICT", word)
        return Busy(retry_after_s(answer.headers) or DEFAULT_WAIT_S, rate=False)
    if answer.status in (401, 403) or (answer.status == 400 and _ABOUT_ACCESS.search(message)):
        return Unconfigured(_configuration_word(word, message))
    about_to = answer.status in (400, 422) and _ABOUT_TO.search(message)
    return Refused("INVALID_RECIPIENT" if about_to else "INVALID_MESSAGE", word)


def _too_much(word: str, headers: Mapping[str, str]) -> Busy | Exhausted:
    if word == "daily_quota_exceeded":
        return Exhausted("day")
    if word == "monthly_quota_exceeded":
        return Exhausted("month")
    after_s = retry_after_s(headers)
    if after_s is None:
        after_s = _number(headers, "ratelimit-reset") or DEFAULT_WAIT_S
    return Busy(after_s, rate=True)


def _configuration_word(word: str, message: str) -> str:
    """Resend calls several of these validation_error; the message says which it is."""
    if word == "validation_error":
        return "invalid_api_key" if "api key" in message.lower() else "domain_not_verified"
    return word


def _error(answer: Response) -> tuple[str, str]:
    """Name and message of an error; the message is looked at and never passed on: it may quote an address."""
    try:
        said: Any = json.loads(answer.body)
    except ValueError:
        said = {}
    members = said if isinstance(said, dict) else {}
    word = str(members.get("name") or "")
    return (word if _WORD.fullmatch(word) else f"http_{answer.status}"), str(members.get("message") or "")


def _remember_pace(tenant: str, headers: Mapping[str, str]) -> None:
    limit = _number(headers, "ratelimit-limit")
    if limit is None or limit <= 0:
        return
    window = re.search(r";\s*w=(\d+)", headers.get("ratelimit-policy", ""))
    seconds = float(window[1]) if window and int(window[1]) > 0 else 1.0
    if tenant not in _paces and len(_paces) >= MAX_TEAMS:
        _paces.pop(next(iter(_paces)), None)
    _paces[tenant] = limit / seconds


def _number(headers: Mapping[str, str], name: str) -> float | None:
    text = headers.get(name, "").split(",")[0].split(";")[0].strip()
    return float(text) if re.fullmatch(r"\d{1,9}(\.\d+)?", text) else None
