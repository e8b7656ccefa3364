"""Refunds and cancellations: entries that take revenue back from touchpoints, apart from their gross credits.

The ledger attribution_refunds holds one row per refund, also for an order that was not processed yet; the entries in
attribution_adjustments follow from it and the credits, so they can be made anew whenever the credits change.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from shared.attribution.credits import Credit
from shared.jobs.context import Session
from shared.money import apportion


@dataclass(frozen=True, slots=True)
class Refund:
    """A row of the ledger. `amount_cents` as told; a cancellation takes all that is left, whatever it says."""

    key: str
    kind: Literal["refund", "cancellation"]
    amount_cents: int
    applied_cents: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """What one refund takes from one touchpoint under one model and window; both amounts <= 0."""

    refund_key: str
    model: str
    window: str
    touchpoint_id: str
    cents: int
    micros: int


@dataclass(frozen=True, slots=True)
class Reversals:
    """All entries of an order, and what each refund took of its revenue (`applied` by refund key)."""

    entries: tuple[Entry, ...]
    applied: dict[str, int]


# In the order in which they are replayed.
LEDGER = """
-- attribution: the refunds of an order
SELECT refund_key, kind, amount_cents, applied_cents FROM attribution_refunds
WHERE order_id = %(order_id)s ORDER BY occurred_at, refund_key
"""

NOTE_APPLIED = """
-- attribution: what each refund took of the order's revenue
UPDATE attribution_refunds r SET applied_cents = n.applied_cents
FROM unnest(%(keys)s::text[], %(applied)s::bigint[]) AS n (refund_key, applied_cents)
WHERE r.order_id = %(order_id)s AND r.refund_key = n.refund_key AND r.applied_cents <> n.applied_cents
"""

DELETE_ENTRIES = """
-- attribution: the reversal entries of a conversion
DELETE FROM attribution_adjustments WHERE conversion_id = %(conversion_id)s
"""

INSERT_ENTRIES = """
-- attribution: reversal entries of a conversion
INSERT INTO attribution_adjustments
    (conversion_id, touchpoint_id, model, attribution_window, refund_key, revenue_cents, credit_micros, created_at)
SELECT %(conversion_id)s, e.touchpoint_id, e.model, e.attribution_window, e.refund_key, e.cents, e.micros, %(now)s
FROM unnest(%(touchpoint_ids)s::text[], %(models)s::text[], %(windows)s::text[], %(keys)s::text[],
            %(cents)s::bigint[], %(micros)s::integer[])
     AS e (touchpoint_id, model, attribution_window, refund_key, cents, micros)
"""


def reversals_of(credits: Iterable[Credit], refunds: Sequence[Refund], revenue_cents: int) -> Reversals:
    """Replay refunds over the gross credits of an order.

    With remaining_i = gross_i less what was taken from i before, a refund of f cents takes
    apportion(min(f, sum remaining), remaining): no touchpoint falls below 0, and the entries of each model and window
    sum to what was applied, min(f, revenue less applied before). The refund that uses up the revenue, or a
    cancellation, closes the conversion: its entries also take the whole credit, so that it counts no more.
    """
    groups: dict[tuple[str, str], list[Credit]] = defaultdict(list)
    for credit in credits:
        groups[credit.model, credit.window].append(credit)
    remaining = {group: [credit.cents for credit in members] for group, members in groups.items()}
    entries: list[Entry] = []
    applied: dict[str, int] = {}
    left, closed = revenue_cents, False
    for refund in refunds:
        amount = left if refund.kind == "cancellation" else min(refund.amount_cents, left)
        left -= amount
        closes = not closed and (refund.kind == "cancellation" or (left == 0 and revenue_cents > 0))
        closed = closed or closes
        applied[refund.key] = amount
        for group, members in groups.items():
            taken = _take(remaining[group], amount)
            entries += _entries(refund.key, members, taken, closes=closes)
    return Reversals(tuple(entries), applied)


def _take(remaining: list[int], amount: int) -> list[int]:
    """Take `amount` cents out of `remaining`; what was taken from each."""
    amount = min(amount, sum(remaining))
    if amount == 0:
        return [0] * len(remaining)
    taken = apportion(amount, remaining)
    remaining[:] = [r - t for r, t in zip(remaining, taken, strict=True)]
    return taken


def _entries(key: str, members: Sequence[Credit], taken: Sequence[int], *, closes: bool) -> Iterable[Entry]:
    for credit, cents in zip(members, taken, strict=True):
        micros = credit.micros if closes else 0
        if cents or micros:
            yield Entry(key, credit.model, credit.window, credit.touchpoint.id, -cents, -micros)


def replay_refunds(
    session: Session,
    *,
    order_id: str,
    conversion_id: str,
    credits: Sequence[Credit],
    revenue_cents: int,
    now: datetime,
) -> int:
    """Make the reversal entries of a conversion anew from the ledger; their number."""
    ledger = session.all(LEDGER, {"order_id": order_id})
    refunds = [Refund(r["refund_key"], r["kind"], r["amount_cents"], r["applied_cents"]) for r in ledger]
    if not refunds:
        return 0  # no ledger row, so no entry either
    found = reversals_of(credits, refunds, revenue_cents)
    session.execute(DELETE_ENTRIES, {"conversion_id": conversion_id})
    session.execute(
        NOTE_APPLIED, {"order_id": order_id, "keys": list(found.applied), "applied": list(found.applied.values())}
    )
    if found.entries:
        insert_entries(session, conversion_id, found.entries, now)
    return len(found.entries)


def insert_entries(session: Session, conversion_id: str, entries: Sequence[Entry], now: datetime) -> None:
    """Store reversal entries in one statement."""
    session.execute(
        INSERT_ENTRIES,
        {
            "conversion_id": conversion_id,
            "touchpoint_ids": [e.touchpoint_id for e in entries],
            "models": [e.model for e in entries],
            "windows": [e.window for e in entries],
            "keys": [e.refund_key for e in entries],
            "cents": [e.cents for e in entries],
            "micros": [e.micros for e in entries],
            "now": now,
        },
    )
