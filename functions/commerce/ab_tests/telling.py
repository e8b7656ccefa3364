"""Telling the team in Slack. It comes last, after the commit, and never fails the work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shared.jobs import Deferred, JobContext
from shared.jobs.errors import JobError
from shared.slack import channel_of, post

SUMMARY, COMPLETE = "ab_test_summary", "ab_test_complete"
"""tenant_slack_channel_mappings.notification_type."""


def tell(
    ctx: JobContext, types: Sequence[str], text: str, blocks: Sequence[dict[str, Any]] = (), *, dedupe_key: str
) -> bool:
    """Whether the message stands in the channel of the first of the notification `types` that is mapped.

    Raises Deferred SLACK_IN_FLIGHT only: another run posts it, or has died while it did.
    """
    try:
        return say(ctx, types, text, blocks, dedupe_key=dedupe_key)
    except Deferred:
        raise  # a run that died may have been posting it: looked at again when its lease is over
    except JobError as error:
        ctx.log.warning("Slack was not told", extra={"code": error.code})
        return False


def say(
    ctx: JobContext, types: Sequence[str], text: str, blocks: Sequence[dict[str, Any]] = (), *, dedupe_key: str
) -> bool:
    """The same for a job whose work is the message: it raises what shared.slack.post raises."""
    with ctx.tenant_session(read_only=True) as session:
        channel = channel_of(session, types)
    if channel is None:
        return False
    outcome = post(ctx, channel, text, blocks, dedupe_key=dedupe_key)
    return outcome.status in ("sent", "duplicate")
