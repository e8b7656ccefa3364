"""Numbers of tests as people read them, for Slack and mail. Names come out unescaped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from functions.commerce.ab_tests.rules import short
from shared.mail import money_text


def value_text(metric: str, value: float | None, currency: str) -> str:
    """A value of the metric: a rate in percent, or money.

    >>> value_text("conversion_rate", 0.036, "USD"), value_text("revenue_per_visitor", 290.4, "USD")
    ('3.60%', '$2.90')
    """
    if value is None:
        return "none"
    if metric == "conversion_rate":
        return f"{value:.2%}"
    return money_text(round(value), currency)


def interval_text(metric: str, interval: object, currency: str) -> str:
    """An interval of the difference: percentage points, or money.

    >>> interval_text("conversion_rate", [0.001049238053, 0.01095076195], "USD")
    '[0.1049, 1.0951] percentage points'
    """
    if not isinstance(interval, list | tuple) or len(interval) != 2:
        return "unknown"
    low, high = interval
    if metric == "conversion_rate":
        return f"[{low * 100:.4f}, {high * 100:.4f}] percentage points"
    return f"[{money_text(round(low), currency)}, {money_text(round(high), currency)}]"


def lift_text(lift: float | None) -> str:
    """A lift in percent with its sign."""
    return "unknown" if lift is None else f"{lift:+.1f}%"


def p_text(p: float | None) -> str:
    """A p-value with four decimals.

    >>> p_text(0.297932752), p_text(1e-9), p_text(None)
    ('0.2979', '<0.0001', 'unknown')
    """
    if p is None:
        return "unknown"
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def arm_line(name: str, shown: Mapping[str, Any], metric: str, currency: str) -> str:
    """An arm in one line: visitors, value, lift."""
    value = shown.get({"conversion_rate": "rate", "revenue_per_visitor": "rpv"}.get(metric, "aov"))
    line = f"{short(name)}: {shown.get('n', 0)} visitors, {value_text(metric, value, currency)}"
    return f"{line}, lift {lift_text(shown.get('lift'))}" if "lift" in shown else line
