"""Credits: what each touchpoint of an order gets, per model and window, in whole cents and millionths."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import to_json

from shared.attribution.models import MODELS
from shared.attribution.paths import path_of
from shared.attribution.settings import AttributionSettings
from shared.attribution.touchpoints import Touchpoint
from shared.jobs.context import Session
from shared.money import apportion

CREDIT_SCALE = 10**6
"""credit numeric(10,6) as a whole number of millionths."""


@dataclass(frozen=True, slots=True)
class Credit:
    """One touchpoint's share of one order under one model and window. `position` of `total` in that window's path."""

    model: str
    window: str
    touchpoint: Touchpoint
    position: int
    total: int
    cents: int
    micros: int


DELETE_CREDITS = """
-- attribution: this module's credits of a conversion; rows of the ad platforms stay
DELETE FROM attribution_results
WHERE conversion_id = %(conversion_id)s AND (event_type = 'credit' OR event_type IS NULL) AND model = ANY(%(models)s)
"""

# matched_order_id must be set: the pixel page counts rows without it as failures.
INSERT_CREDITS = """
-- attribution: the credits of a conversion
INSERT INTO attribution_results
    (tenant_id, conversion_id, touchpoint_id, model, attribution_window, credit, attributed_revenue,
     touchpoint_position, total_touchpoints, calculated_at, source, event_type, session_id, customer_id,
     matched_order_id, created_at, updated_at)
SELECT current_setting('cgk.tenant_id'), %(conversion_id)s, c.touchpoint_id, c.model, c.attribution_window,
       c.micros / 1000000.0, c.cents / 100.0, c.position, c.total, %(now)s, 'attribution', 'credit', c.session_id,
       c.customer_id, %(order_id)s, %(now)s, %(now)s
FROM unnest(%(touchpoint_ids)s::text[], %(models)s::text[], %(windows)s::text[], %(micros)s::bigint[],
            %(cents)s::bigint[], %(positions)s::integer[], %(totals)s::integer[], %(session_ids)s::text[],
            %(customer_ids)s::text[])
     AS c (touchpoint_id, model, attribution_window, micros, cents, position, total, session_id, customer_id)
"""


def paths_of(
    candidates: Sequence[Touchpoint], converted_at: datetime, settings: AttributionSettings
) -> dict[str, list[Touchpoint]]:
    """Window -> path, for each enabled window, from the same candidates."""
    return {
        window: path_of(candidates, converted_at=converted_at, window=window, views=settings.views)
        for window in settings.windows
    }


def credits_of(
    paths: Mapping[str, Sequence[Touchpoint]], revenue_cents: int, settings: AttributionSettings
) -> list[Credit]:
    """The credits of an order: per model and window with a path, cents sum to `revenue_cents` and micros to a million.

    Touchpoints that get neither a cent nor a millionth are left out.
    """
    return [
        credit
        for window, path in paths.items()
        if path
        for model in settings.models
        for credit in _split(model, window, path, revenue_cents, settings)
    ]


def _split(
    model: str, window: str, path: Sequence[Touchpoint], revenue_cents: int, settings: AttributionSettings
) -> Iterable[Credit]:
    weights = MODELS[model](path, settings.parameters)
    cents, micros = apportion(revenue_cents, weights), apportion(CREDIT_SCALE, weights)
    for i, touchpoint in enumerate(path):
        if cents[i] or micros[i]:
            yield Credit(model, window, touchpoint, i + 1, len(path), cents[i], micros[i])


def path_hash(paths: Mapping[str, Sequence[Touchpoint]], revenue_cents: int, currency: str) -> str:
    """SHA-256 (hex) of everything that the credits depend on besides the settings.

    All windows count, not the widest alone: its path may have been cut where a narrower one was not.
    """
    parts = [
        revenue_cents,
        currency,
        [[(t.id, t.occurred_at.timestamp(), t.channel, t.kind, t.direct) for t in path] for path in paths.values()],
    ]
    return hashlib.sha256(to_json(parts)).hexdigest()


def replace_credits(
    session: Session, *, conversion_id: str, order_id: str, credits: Sequence[Credit], now: datetime
) -> None:
    """Put these credits in the place of the conversion's former ones: one DELETE and one INSERT."""
    session.execute(DELETE_CREDITS, {"conversion_id": conversion_id, "models": list(MODELS)})
    if not credits:
        return
    columns: dict[str, Any] = {
        "touchpoint_ids": [c.touchpoint.id for c in credits],
        "models": [c.model for c in credits],
        "windows": [c.window for c in credits],
        "micros": [c.micros for c in credits],
        "cents": [c.cents for c in credits],
        "positions": [c.position for c in credits],
        "totals": [c.total for c in credits],
        "session_ids": [c.touchpoint.session_id for c in credits],
        "customer_ids": [c.touchpoint.customer_id for c in credits],
    }
    session.execute(INSERT_CREDITS, {**columns, "conversion_id": conversion_id, "order_id": order_id, "now": now})
