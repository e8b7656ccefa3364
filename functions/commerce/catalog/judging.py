"""The end of a run that moved stock: each variant judged once, whatever it went through meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from functions.commerce.catalog.common import FEED_EVENTS_MAX, SELLABLE, feed_connected, judge_stock, tell_feed
from shared.catalog.stock import Moved, Verdict
from shared.catalog.stock_messages import post_news
from shared.catalog.worklist import drop_moved, next_moved
from shared.events.google_feed import GoogleFeedSync
from shared.jobs import JobContext, Session

JUDGE_CHUNK = 5_000
"""Variants per transaction, and per query for what was sold of them."""


def judge_moved(
    ctx: JobContext,
    run_id: UUID,
    also: Callable[[Session, Sequence[Moved]], None] = lambda session, moved: None,
    *,
    posts: str | None = None,
) -> list[Verdict]:
    """Judge the variants on a run's list, tell the apps, then Slack. `also`: what else follows, in their transaction.
    `posts`: names the Slack messages, where that is not the run.

    Repeatable: what was judged has left the list, and Slack finds the states that came since it was served.
    """
    verdicts: list[Verdict] = []
    while True:
        with ctx.tenant_session() as session:
            moved = next_moved(session, run_id, JUDGE_CHUNK)
            if moved:
                verdicts += judge_stock(session, moved, now=ctx.now())
                also(session, moved)
                drop_moved(session, run_id, moved)
        if len(moved) < JUDGE_CHUNK:
            break
    post_news(ctx, [v for v in verdicts if v.before is not None], run=posts or str(run_id))
    return verdicts


def judge_sellability(ctx: JobContext, run_id: UUID, *, posts: str | None = None) -> dict[str, int]:
    """Judge what moved and tell the feed what can be sold now or no longer; how many variants fell low and out."""
    told: set[str] = set()

    def flips(session: Session, moved: Sequence[Moved]) -> None:
        known = [each for each in moved if each.before is not None]
        if not known or len(told) > FEED_EVENTS_MAX or not feed_connected(session):
            return
        given = {"ids": [each.variant_id for each in known], "before": [each.before for each in known]}
        new = {row["product_id"] for row in session.all(SELLABLE, given)} - told
        told.update(new)
        if len(told) > FEED_EVENTS_MAX:  # one comparison of the feed is enough, also for the chunks to come
            session.emit(GoogleFeedSync(full_sync=False, triggered_by="schedule"))
        else:
            tell_feed(session, sorted(new), triggered_by="schedule")

    fallen = [verdict.state for verdict in judge_moved(ctx, run_id, flips, posts=posts) if verdict.changed]
    return {"low": fallen.count("low"), "out": fallen.count("out")}
