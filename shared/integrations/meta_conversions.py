"""Meta's Conversions API: POST /v26.0/{pixel_id}/events (developers.facebook.com, looked at November 2026).

    RateLimited  META_THROTTLED       429; error codes 4, 17, 32, 613 and 80000..80014
    Transient    META_UNAVAILABLE     5xx, codes 1 and 2; META_TIMEOUT from the HTTP layer
    Permanent    META_TOKEN_INVALID   code 190, or 102
                 META_REFUSED         everything else; the detail holds Meta's code

A repeated event_name + event_id is dropped by Meta for 48 hours; an event older than 7 days makes it refuse the call.
What is sent of a person is hashed by `hashed`; nothing in clear leaves this module's callers.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from shared.jobs.context import JobContext
from shared.jobs.errors import Permanent, RateLimited, Transient

VENDOR = "meta"
BASE_URL = "https://graph.facebook.com"
SETTING_BASE_URL = "META_BASE_URL"
API_VERSION = "v26.0"
TIMEOUT_S = 10.0
MAX_EVENT_AGE = timedelta(days=7)
THROTTLED = frozenset({4, 17, 32, 613, *range(80000, 80015)})
TRANSIENT = frozenset({1, 2})
TOKEN_INVALID = frozenset({102, 190})
THROTTLED_WAIT_S = 300.0
"""Wait after a refusal for the rate that names none."""
USAGE_HEADER = "X-Business-Use-Case-Usage"
ANSWERS = (400, 401, 403, 404)
"""Statuses that carry {"error": {"code": ...}}."""


def hashed(value: str) -> str:
    """Hex SHA-256 of a value that is normalised already."""
    return hashlib.sha256(value.encode()).hexdigest()


def normalised_phone(phone: str) -> str | None:
    """Digits with the country's code and no leading zeros; None when nothing is left."""
    digits = "".join(c for c in phone if c.isdigit()).lstrip("0")
    return digits or None


def send_event(
    ctx: JobContext, *, pixel_id: str, access_token: str, app_secret: str | None, event: Mapping[str, Any]
) -> None:
    """Send one event; returns when Meta has taken it. Raises as the module says."""
    body: dict[str, Any] = {"data": [dict(event)], "access_token": access_token}
    if app_secret:
        body["appsecret_proof"] = hmac.new(app_secret.encode(), access_token.encode(), hashlib.sha256).hexdigest()
    base = (ctx.setting(SETTING_BASE_URL) or BASE_URL).rstrip("/")
    url = f"{base}/{API_VERSION}/{quote(pixel_id, safe='')}/events"
    try:
        answer = ctx.http.request("POST", url, vendor=VENDOR, json=body, timeout_s=TIMEOUT_S, ok=ANSWERS)
    except RateLimited as error:
        raise RateLimited(error.after_s, "META_THROTTLED", "Meta said when to come back") from None
    if answer.status not in ANSWERS:
        return
    said = answer.json()
    told = said.get("error") if isinstance(said, dict) else None
    refusal: dict[str, Any] = told if isinstance(told, dict) else {}
    code, passes = refusal.get("code"), refusal.get("is_transient") is True
    wait_s = _regained_s(answer.headers.get(USAGE_HEADER))
    raise _refusal(code if isinstance(code, int) else 0, answer.status, passes, wait_s)


def _regained_s(usage: str | None) -> float:
    """Seconds until Meta takes calls again: the longest of the header's estimated_time_to_regain_access (minutes)."""
    try:
        accounts = json.loads(usage or "")
        minutes = [float(each["estimated_time_to_regain_access"]) for rows in accounts.values() for each in rows]
    except (ValueError, TypeError, KeyError, AttributeError):
        return THROTTLED_WAIT_S
    return max(minutes, default=0) * 60 or THROTTLED_WAIT_S


def _refusal(code: int, status: int, passes: bool, wait_s: float) -> Exception:
    if code in THROTTLED:
        return RateLimited(wait_s, "META_THROTTLED", f"code {code}")
    if code in TRANSIENT or passes:
        return Transient("META_UNAVAILABLE", f"code {code}")
    if code in TOKEN_INVALID or status == 401:
        return Permanent("META_TOKEN_INVALID", f"code {code}")
    return Permanent("META_REFUSED", f"code {code}")
