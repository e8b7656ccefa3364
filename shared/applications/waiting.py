"""Another run, perhaps one that died, holds the mail or the post: its lease is waited for and burns no attempt.

A mail's lease lasts ten minutes and a post's two, longer than all attempts of these jobs together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from shared.jobs.errors import Deferred, Transient

HELD_ELSEWHERE = ("MAIL_IN_FLIGHT", "SLACK_IN_FLIGHT")
WAIT_S = 60.0
"""Wait where the holder's lease is not told."""


@contextmanager
def lease_awaited() -> Iterator[None]:
    """Around a call of the mail or Slack service: what is held elsewhere becomes Deferred with the same code."""
    try:
        yield
    except Transient as error:
        if error.code not in HELD_ELSEWHERE:
            raise
        raise Deferred(error.code, error.detail, after_s=error.after_s or WAIT_S) from None
