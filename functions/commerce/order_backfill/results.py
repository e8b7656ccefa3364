"""What a message of a run answers."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from functions.commerce.order_backfill.ending import Run
from functions.commerce.order_backfill.runs import Slice
from shared.events import Payload

Outcome = Literal["joined", "sliced", "exported", "waiting", "continued", "completed", "failed", "skipped"]


class RunTotals(Payload):
    """A whole run, once it has ended. checked = created + updated + unchanged + stale + missing + failed.

    `unchanged`: held as Shopify has them already, nothing written (test orders, which are not stored, among them).
    """

    status: str
    expected: int | None = None
    checked: int
    created: int
    updated: int
    unchanged: int
    stale: int
    missing: int
    failed: int


class SyncOrderBatchResult(Payload):
    """stored (created or updated), stale and failed are the slice's so far; `run` stands where the run has ended."""

    run_id: UUID | None = None
    slice_no: int | None = None
    step: str
    outcome: Outcome
    stored: int = 0
    stale: int = 0
    failed: int = 0
    slices: int = 0
    run: RunTotals | None = None


def totals(run: Run) -> RunTotals:
    """The run's figures for the result."""
    return RunTotals(
        status=run.status,
        expected=run.expected,
        checked=run.checked,
        created=run.created,
        updated=run.stored - run.created,
        unchanged=run.unchanged,
        stale=run.stale,
        missing=run.missing,
        failed=run.failed,
    )


def answer(
    part: Slice, step: str, outcome: Outcome, *, run: Run | None = None, slices: int = 0
) -> SyncOrderBatchResult:
    """The result of one step of a slice."""
    return SyncOrderBatchResult(
        run_id=part.run_id,
        slice_no=part.slice_no,
        step=step,
        outcome=outcome,
        stored=part.stored,
        stale=part.stale,
        failed=part.failed,
        slices=slices,
        run=totals(run) if run else None,
    )
