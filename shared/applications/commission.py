"""The rate of a creator who is approved, in percent with two decimals."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from shared.jobs.context import Row, Session
from shared.jobs.errors import Permanent

DEFAULT_PERCENT = Decimal("10.00")
_HUNDREDTH = Decimal("0.01")

SETTINGS = """
-- applications: where a tenant's rates may be set
SELECT
    (SELECT to_jsonb(o) FROM (
        SELECT default_commission_percent FROM onboarding_config ORDER BY created_at, id LIMIT 1) o) AS onboarding,
    (SELECT to_jsonb(c) FROM (
        SELECT default_rate_percent, tier_rates FROM commission_config ORDER BY created_at, id LIMIT 1) c) AS commission
"""


def agreed_percent(
    session: Session, *, wanted: Decimal | None, membership: Row | None, approved_before: bool, tier: str | None
) -> Decimal:
    """The first that is set: the wanted rate; that of the membership when the app itself has approved the application;
    the rate of the tier; the onboarding's default; the commission settings' default; 10.00.

    Raises Permanent INVALID_COMMISSION: outside 0..100, or no number.
    """
    if wanted is not None:
        return _checked(wanted)
    if membership is not None and approved_before:
        return _checked(membership["commission_percent"])
    settings = session.one(SETTINGS) or {}
    commission, onboarding = settings.get("commission") or {}, settings.get("onboarding") or {}
    for value in (
        _of_tier(commission.get("tier_rates"), tier),
        onboarding.get("default_commission_percent"),
        commission.get("default_rate_percent"),
    ):
        if value is not None:
            return _checked(value)
    return DEFAULT_PERCENT


def _of_tier(rates: Any, tier: str | None) -> Any:
    """The rate of the tier's entry in [{tier, min_lifetime_cents, rate_percent}]."""
    if tier is None or not isinstance(rates, list):
        return None
    entries = [entry for entry in rates if isinstance(entry, dict) and str(entry.get("tier", "")).lower() == tier]
    return entries[0].get("rate_percent") if entries else None


def _checked(value: Any) -> Decimal:
    try:
        percent = Decimal(str(value))
    except InvalidOperation:
        raise Permanent("INVALID_COMMISSION", "the commission is no number") from None
    if not 0 <= percent <= 100:
        raise Permanent("INVALID_COMMISSION", "the commission must be within 0 and 100 percent")
    return percent.quantize(_HUNDREDTH)
