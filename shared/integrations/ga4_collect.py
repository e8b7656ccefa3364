"""Google Analytics 4's Measurement Protocol: POST /mp/collect (developers.google.com, looked at November 2026).

It answers 2xx whatever is sent and has no idempotency key, so events are checked here and the caller keeps a ledger.

    Transient    GA4_UNAVAILABLE, GA4_TIMEOUT      from the HTTP layer; whether the event arrived is not known
    Permanent    GA4_EVENT_INVALID                 a name or value that GA4 would drop in silence
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from shared.jobs.context import JobContext
from shared.jobs.errors import Permanent

VENDOR = "ga4"
BASE_URL = "https://www.google-analytics.com"
SETTING_BASE_URL = "GA4_BASE_URL"
TIMEOUT_S = 10.0
NAME_MAX = 40
VALUE_MAX = 100
BACKDATING = timedelta(hours=72)
"""An older timestamp is not taken."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")


def client_id(seed: str, first_seen: datetime) -> str:
    """`<10 digits>.<unix s>` in the form of the browser's cookie, always the same for a seed."""
    digits = int(hashlib.sha256(seed.encode()).hexdigest()[:16], 16) % 10**10
    return f"{digits:010d}.{int(first_seen.timestamp())}"


def send_event(
    ctx: JobContext,
    *,
    measurement_id: str,
    api_secret: str,
    client: str,
    name: str,
    params: Mapping[str, Any],
    occurred_at: datetime,
) -> None:
    """Send one event; text values are cut to what GA4 keeps. An old event goes without its time."""
    if not _NAME.fullmatch(name) or any(len(key) > NAME_MAX for key in params):
        raise Permanent("GA4_EVENT_INVALID", f"name {name[:50]!r}")
    values = {key: value[:VALUE_MAX] if isinstance(value, str) else value for key, value in params.items()}
    body: dict[str, Any] = {"client_id": client, "events": [{"name": name, "params": values}]}
    if ctx.now() - occurred_at <= BACKDATING:
        body["timestamp_micros"] = int(occurred_at.timestamp() * 1_000_000)
    base = (ctx.setting(SETTING_BASE_URL) or BASE_URL).rstrip("/")
    query = urlencode({"measurement_id": measurement_id, "api_secret": api_secret})
    ctx.http.request("POST", f"{base}/mp/collect?{query}", vendor=VENDOR, json=body, timeout_s=TIMEOUT_S)
