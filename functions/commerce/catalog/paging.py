"""Reading a subject page by page: changes since an instant, or everything when there is no export.

Each page is one transaction: its rows, and the run's cursor and figures. A worker that dies costs one page of reading.
"""

from __future__ import annotations

from datetime import datetime

from functions.commerce.catalog import runs
from functions.commerce.catalog.runs import Run
from functions.commerce.catalog.subject import Subject, added, send
from shared.integrations.shopify_catalog import ShopifyCatalog
from shared.jobs import JobContext

RUN_TIME_BUDGET_S = 25 * 60
"""Seconds of work of one message's legs; then a new message goes on (the kernel's hard limit is 30 minutes)."""
CHUNK_ROOM_S = 30.0
"""Seconds that must be left to begin another chunk."""


class Legs:
    """The time of one message's legs. Made when a step begins; asked after every committed chunk."""

    def __init__(self, ctx: JobContext) -> None:
        self._ctx = ctx
        self._began = ctx.now()
        self._before_s: float = (ctx.cursor or {}).get("workedS", 0.0)

    @property
    def worked_s(self) -> float:
        """Seconds of work of all legs."""
        return self._before_s + (self._ctx.now() - self._began).total_seconds()

    def over(self) -> bool:
        """Whether the chunk that was just committed must be the last one here."""
        return self._ctx.remaining_s() < CHUNK_ROOM_S or self.worked_s >= RUN_TIME_BUDGET_S

    def hand_on(self, subject: Subject, run: Run, step: str, attempt: int) -> str:
        """Go on behind what is committed: in another leg while the budget lasts, else in a new message."""
        if self.worked_s < RUN_TIME_BUDGET_S - CHUNK_ROOM_S:
            self._ctx.continue_from({"workedS": round(self.worked_s, 1)})
        with self._ctx.final_session() as session:
            send(session, subject, run, step, attempt=attempt + 1)
        return "continued"


def read_pages(
    ctx: JobContext, subject: Subject, run: Run, shopify: ShopifyCatalog, attempt: int = 0
) -> tuple[Run, str]:
    """Read what the run covers and end it; (the run as it stands, outcome). Raises Moved."""
    legs = Legs(ctx)
    if run.status == "requested":
        run = _begin(ctx, run)
    while run.status == "merging":
        page = subject.read(ctx, shopify, run)
        with ctx.tenant_session() as session:
            runs.hold(session, run)
            stored = subject.store(ctx, session, run, page.nodes)
            status = "merging" if page.more else "reconciling" if run.mode == "full" else "merging"
            more = {"cursor": page.cursor, "status": status, "root_count": (run.root_count or 0) + len(page.nodes)}
            run = runs.save(session, run, now=ctx.now(), **added(run, stored), **more)
            if status == "reconciling":
                send(session, subject, run, "reconcile")
        ctx.progress(run.merged_count)
        if not page.more:
            break
        if legs.over():
            return run, legs.hand_on(subject, run, "merge", attempt)
    return (run, "continued") if run.mode == "full" else end_run(ctx, subject, run, shopify)


def _begin(ctx: JobContext, run: Run) -> Run:
    """Settle from when on changes are read: who joins later with an older instant starts another run."""
    with ctx.tenant_session() as session:
        since = runs.hold(session, run)
        kept = {**run.filter, **({"since": since.isoformat()} if since else {})}
        return runs.save(session, run, now=ctx.now(), status="merging", filter=kept)


def since_of(run: Run) -> datetime | None:
    """From when on the run reads changes; None: everything."""
    text = run.filter.get("since")
    return datetime.fromisoformat(text) if text else None


def end_run(ctx: JobContext, subject: Subject, run: Run, shopify: ShopifyCatalog) -> tuple[Run, str]:
    """End a run whose objects are all written."""
    run = subject.before_end(ctx, shopify, run)
    with ctx.final_session() as session:
        asked, read = runs.hold(session, run), since_of(run)
        subject.at_end(ctx, session, run)
        runs.complete(session, run, now=ctx.now())
        if run.mode == "delta" and asked is not None and read is not None and asked < read:
            session.again(subject.message(updated_since=asked))  # type: ignore[call-arg]
    return run, "completed"
