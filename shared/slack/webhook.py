"""Incoming webhooks: one secret address per channel, which takes {text, blocks} and answers `ok`.

docs.slack.dev/messaging/sending-messages-using-incoming-webhooks. The caller keeps the intent in a table of its own.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from shared.integrations.http import code_prefix
from shared.jobs.context import JobContext
from shared.jobs.errors import Permanent
from shared.slack.api import SETTING_BASE_URL, TIMEOUT_S, VENDOR
from shared.slack.posts import Blocks, Outcome

HOST = "hooks.slack.com"
REFUSALS = (400, 403, 404, 410)
"""Statuses whose body is Slack's word: invalid_payload, action_prohibited, channel_not_found, channel_is_archived."""


def webhook_post(ctx: JobContext, url: str, text: str, blocks: Blocks = ()) -> Outcome:
    """Post into an incoming webhook; sent (without ts) or failed(code).

    The address is a secret and goes to Slack's own host only, else failed(`url_refused`). Raises RateLimited
    SLACK_RATE_LIMITED, Transient SLACK_UNAVAILABLE, SLACK_TIMEOUT: then it is unknown whether the message was posted,
    unless `surely_not_sent`.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" or parts.hostname != HOST or parts.username is not None:
        return Outcome("failed", code="url_refused")
    base = ctx.setting(SETTING_BASE_URL) or f"https://{HOST}"
    message: dict[str, Any] = {"text": text, **({"blocks": list(blocks)} if blocks else {})}
    try:
        answer = ctx.http.request(
            "POST", base + parts.path, vendor=VENDOR, json=message, timeout_s=TIMEOUT_S, ok=REFUSALS
        )
    except Permanent as error:
        return Outcome("failed", code=error.code.removeprefix(f"{code_prefix(VENDOR)}_"))
    if answer.status in REFUSALS:
        word = answer.body[:60].decode("ascii", "replace").strip()
        return Outcome("failed", code=word if word.replace("_", "").isalnum() else f"HTTP_{answer.status}")
    return Outcome("sent")
