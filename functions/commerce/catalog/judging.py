"""The end of a run that moved stock: each variant judged once, whatever it went through meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from functions.commerce.catalog.common import judge_stock
from shared.catalog.stock import Moved, Verdict
from shared.catalog.stock_messages import post_news
from shared.catalog.worklist import drop_moved, next_moved
from shared.jobs import JobContext, Session

JUDGE_CHUNK = 5_000
"""Variants per transaction, and per query for what was sold of them."""


def judge_moved(
    ctx: JobContext, run_id: UUID, also: Callable[[Session, Sequence[Moved]], None] = lambda session, moved: None
) -> list[Verdict]:
    """Judge the variants on a run's list, tell the apps, then Slack. `also`: what else follows, in their transaction.

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
    post_news(ctx, [v for v in verdicts if v.before is not None], run=str(run_id))
    return verdicts
