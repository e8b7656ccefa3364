"""What a run of webhook-process-single says, and the waits between the attempts on a row."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Literal

from shared.events.base import Payload

Outcome = Literal["completed", "duplicate", "skipped", "retry_scheduled", "dead", "delivered"]

MAX_ATTEMPTS = 5
"""Attempts on an incoming webhook in all: with the waits below it is dead after about two and a half hours."""
RETRY_DELAYS = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=24),
)
"""Waits after the 1st to 5th failure; incoming webhooks are dead at the 5th and use the first four."""
JITTER = 0.1
"""Share of a wait that is added by chance, so that what failed together is not tried together."""


class ProcessSingleResult(Payload):
    """How the run ended; `code` says why nothing, or not all, was done.

    For a delivery of ours `provider` is "outbound" and `topic` the event type.
    """

    outcome: Outcome
    provider: str
    topic: str
    emitted: list[str]
    """Names of the events sent; what the mail service sends about a mail event is not among them."""
    code: str | None = None


def retry_delay(failures: int) -> timedelta:
    """Wait after the `failures`-th failure (1 = first), up to JITTER longer: 60 to 66 s after the first."""
    delay = RETRY_DELAYS[min(failures, len(RETRY_DELAYS)) - 1]
    return delay * (1 + JITTER * random.random())
