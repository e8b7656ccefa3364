"""How long a message chain may work, and how its work goes on: in another leg of the run, or in a new message."""

from __future__ import annotations

from functions.commerce.order_backfill import runs
from functions.commerce.order_backfill.results import SyncOrderBatchResult, answer
from functions.commerce.order_backfill.runs import Slice
from shared.events.orders import OrderSyncBatch
from shared.jobs import JobContext

RUN_TIME_BUDGET_S = 25 * 60
"""Seconds of work per message chain; then a NEW message goes on (the kernel's hard limit is 30 minutes)."""
CHUNK_ROOM_S = 30.0
"""Seconds that must be left to begin another chunk: a throttled page and its transaction take less."""


class Chain:
    """The time of one chain of legs. Made when a step begins; asked after every committed chunk."""

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

    def hand_on(self, payload: OrderSyncBatch, part: Slice, cursor: str) -> SyncOrderBatchResult:
        """Go on at `cursor`, which is committed already. Raises the kernel's continuation while the budget lasts."""
        if self.worked_s < RUN_TIME_BUDGET_S - CHUNK_ROOM_S:
            self._ctx.continue_from({"workedS": round(self.worked_s, 1)})
        step: runs.Step = "details" if payload.step == "details" else "load"
        with self._ctx.final_session() as session:
            runs.send(session, payload, part.run_id, part.slice_no, step, cursor=cursor, restarts=part.restarts)
        return answer(part, payload.step, "continued")
