"""The path of an order: the touchpoints that may have led to it, in their order."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from shared.attribution.touchpoints import Touchpoint

WINDOW_DAYS = {"1d": 1, "3d": 3, "7d": 7, "14d": 14, "28d": 28, "30d": 30, "90d": 90, "ltv": 365}
"""Look-back windows in days of 24 hours before the order, from the narrowest to the widest."""
VIEW_WINDOW = timedelta(hours=24)
"""A view counts only this long before the order, whatever the window: nobody remembers an advertisement longer."""
MAX_PATH = 50
"""Touchpoints of a path: the first one and the latest 49, so that first and last touch are right for long paths too."""
SESSION_DEDUPE = timedelta(minutes=30)
"""Equal touchpoints of one visit within this time are one, the earlier: reloads and page views are no contacts."""


def window_length(window: str) -> timedelta:
    """Length of a window by its word."""
    return timedelta(days=WINDOW_DAYS[window])


def path_of(candidates: Iterable[Touchpoint], *, converted_at: datetime, window: str, views: bool) -> list[Touchpoint]:
    """The touchpoints of `window` days up to the order, both ends included, ordered by instant and id.

    Clicks and engagements always count, a view only when `views` and within VIEW_WINDOW. Repeats are dropped
    (SESSION_DEDUPE), then the path is cut to MAX_PATH.
    """
    begin, views_begin = converted_at - window_length(window), converted_at - VIEW_WINDOW
    eligible = [
        t
        for t in candidates
        if begin <= t.occurred_at <= converted_at
        and (t.kind in ("click", "engagement") or (t.kind == "view" and views and t.occurred_at >= views_begin))
    ]
    eligible.sort(key=lambda t: (t.occurred_at, t.id))
    path = _without_repeats(eligible)
    return path if len(path) <= MAX_PATH else [path[0], *path[-(MAX_PATH - 1) :]]


def _without_repeats(ordered: Iterable[Touchpoint]) -> list[Touchpoint]:
    kept: list[Touchpoint] = []
    latest: dict[tuple[str | None, ...], datetime] = {}
    for t in ordered:
        visit = (t.visitor_id, t.session_id, t.channel, t.source, t.campaign, t.kind)
        before = latest.get(visit)
        if before is None or t.occurred_at - before > SESSION_DEDUPE:
            kept.append(t)
            latest[visit] = t.occurred_at
    return kept
