"""The end of a run: its row, the customers whom its orders name and whom we do not hold, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.events.alerts import AlertSystemError
from shared.events.customers import IDS_MAX, CustomerSyncBatch
from shared.events.orders import OrderBackfillCompleted
from shared.jobs import JobContext, Session

CUSTOMERS_PAGE = 20_000
"""Orders that one statement looks through for customers: one over a run of millions would outlast its time limit."""


@dataclass(frozen=True, slots=True)
class Run:
    """A row of order_sync_runs as its last slice left it."""

    id: UUID
    status: str
    window_from: datetime | None
    window_to: datetime | None
    expected: int | None
    checked: int
    stored: int
    created: int
    stale: int
    missing: int
    failed: int
    started_at: datetime

    @property
    def unchanged(self) -> int:
        """Orders that were held as Shopify has them already (test orders, which are not stored, among them)."""
        return self.checked - self.stored - self.stale - self.missing - self.failed


END_RUN = """
-- order backfill: the last slice has ended
UPDATE order_sync_runs
SET status = %(status)s, error_code = %(code)s, completed_at = %(now)s, progress_at = %(now)s
WHERE id = %(run_id)s
RETURNING id, status, window_from, window_to, expected, checked, stored, created, stale, missing, failed, started_at
"""

SHOP_SYNCED = """
-- order backfill: the shop was read
UPDATE shopify_connections SET last_sync_at = %(now)s WHERE status = 'active'
"""

_NOT_HELD = """o.customer_id ~ '^[0-9]+$'
  AND NOT EXISTS (SELECT FROM customers c WHERE c.id = o.customer_id)
  AND NOT EXISTS (SELECT FROM customers c WHERE c.shopify_customer_id = o.customer_id)
  AND NOT EXISTS (SELECT FROM customers c WHERE c.shopify_id = o.customer_id)"""

MISSING_CUSTOMERS_OF_LIST = f"""
-- order backfill: customers whom we do not hold and whom the orders of a list name
SELECT DISTINCT o.customer_id
FROM order_sync_slices s
CROSS JOIN unnest(s.ids) AS t (legacy_id)
JOIN orders o ON o.shopify_id = t.legacy_id
WHERE s.run_id = %(run_id)s AND s.kind = 'list'
  AND {_NOT_HELD}
"""  # noqa: S608  # put together from constants

# An order that lies in a window, by creation or by change, has changed since the window began: so the index on the
# last change finds the run's orders, and a short window does not look through those of years.
MISSING_CUSTOMERS_OF_WINDOW = f"""
-- order backfill: the next orders that a window run has looked at, with the customers of theirs whom we do not hold
WITH page AS MATERIALIZED (
    SELECT m.shopify_updated_at, m.shopify_order_id, m.order_id
    FROM order_sync_marks m
    WHERE (m.shopify_updated_at, m.shopify_order_id) > (%(changed_at)s, %(after)s)
      AND m.checked_at >= %(since)s
    ORDER BY m.shopify_updated_at, m.shopify_order_id
    LIMIT %(page)s
), missing AS (
    SELECT DISTINCT o.customer_id
    FROM page JOIN orders o ON o.id = page.order_id
    WHERE {_NOT_HELD}
)
SELECT l.shopify_updated_at AS changed_at, l.shopify_order_id AS after,
       ARRAY(SELECT customer_id FROM missing) AS customer_ids
FROM page l
ORDER BY l.shopify_updated_at DESC, l.shopify_order_id DESC
LIMIT 1
"""  # noqa: S608  # put together from constants


def end_run(ctx: JobContext, session: Session, run_id: UUID, standing: dict[str, Any]) -> Run:
    """End a run whose row this transaction has locked. `standing`: how its slices stand."""
    good = standing["completed"] > 0 or standing["slices"] == 0
    now = ctx.now()
    row = session.one(
        END_RUN,
        {"run_id": run_id, "status": "completed" if good else "failed", "code": standing["code"], "now": now},
    )
    assert row is not None, "the run's row is locked by this transaction"
    run = Run(**row)
    if good:
        session.execute(SHOP_SYNCED, {"now": now})
    customers = sorted(set(_missing_customers(session, run)))
    session.emit_many(
        [
            (CustomerSyncBatch(shopify_customer_ids=customers[first : first + IDS_MAX], source="batch"), None)
            for first in range(0, len(customers), IDS_MAX)
        ]
    )
    session.emit(
        OrderBackfillCompleted(
            run_id=run.id,
            stored=run.stored,
            created=run.created,
            failed=run.failed,
            window_from=run.window_from,
            window_to=run.window_to,
        )
    )
    if run.failed or standing["failed"]:
        session.emit(_left_out(run, standing["failed"]))
    return run


def _missing_customers(session: Session, run: Run) -> Iterator[str]:
    """Legacy ids of customers whom the run's orders name and whom we do not hold; one may come on several pages."""
    if run.window_from is None:
        for row in session.all(MISSING_CUSTOMERS_OF_LIST, {"run_id": run.id}):
            yield row["customer_id"]
        return
    at = {"changed_at": run.window_from, "after": "", "since": run.started_at, "page": CUSTOMERS_PAGE}
    while (page := session.one(MISSING_CUSTOMERS_OF_WINDOW, at)) is not None:
        yield from page["customer_ids"]
        at |= {"changed_at": page["changed_at"], "after": page["after"]}


def _left_out(run: Run, slices: int) -> AlertSystemError:
    return AlertSystemError(
        severity="warning",
        source="orders",
        title="An order backfill left orders out",
        message=f"{run.failed} orders could not be stored and {slices} slices failed; the log names the orders.",
        dedupe_key=f"orders-backfill-failed:{run.id}",
        context={"runId": str(run.id), "failed": run.failed, "failedSlices": slices, "stored": run.stored},
    )
