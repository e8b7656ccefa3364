"""The rate of a commission: fixed when it is first written, never changed later.

First that holds: the code's own percent, the creator's own percent (where it differs from the default one), the tier
that the creator's sales before the order reach, the default percent. A creator with a fixed amount per order has
percent 0 and that amount instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, Literal

from shared.creator_money.base import Basis, Terms
from shared.creator_money.matching import Match
from shared.jobs.context import Session
from shared.jobs.errors import Permanent

RateSource = Literal["code", "creator", "tier", "default"]

_HUNDREDTH = Decimal("0.01")

CONFIG = """
-- creator_money: the tenant's commission settings
SELECT default_rate_percent, tier_rates, auto_retroactive, retroactive_lookback_days
FROM commission_config ORDER BY created_at LIMIT 1
"""

LIFETIME_SALES = """
-- creator_money: what a creator has sold before an order
SELECT COALESCE(sum(net_sales_cents - refunded_base_cents), 0)::bigint
FROM commissions
WHERE creator_id = %(creator_id)s AND status <> 'rejected' AND order_date < %(before)s
"""


@dataclass(frozen=True, slots=True)
class CommissionConfig:
    """The row of commission_config, or its defaults."""

    default_rate_percent: Decimal = Decimal("10.00")
    tier_rates: list[Any] = field(default_factory=list)
    """[{tier, min_lifetime_cents, rate_percent}]"""
    auto_retroactive: bool = True
    retroactive_lookback_days: int = 90


@dataclass(frozen=True, slots=True)
class Agreement:
    """A rate and where it is from; `fixed_cents` is set for a creator with a fixed amount per order."""

    percent: Decimal
    source: RateSource
    fixed_cents: int | None = None

    def terms(self, basis: Basis) -> Terms:
        """The terms of a commission that is written with this rate."""
        return Terms(self.percent, basis, self.fixed_cents or 0)


def commission_config(session: Session) -> CommissionConfig:
    """The tenant's commission settings."""
    row = session.one(CONFIG)
    return CommissionConfig(**row) if row else CommissionConfig()


def agree(session: Session, match: Match, settings: CommissionConfig, *, placed_at: datetime) -> Agreement:
    """The rate for an order of this creator placed at `placed_at`; the creator is locked.

    Raises Permanent COMMISSION_RATE_INVALID: a percent outside 0..100, tiers or a fixed amount that are no numbers.
    """
    if match.commission_type == "fixed":
        return Agreement(Decimal(0), "creator", _fixed(match.fixed_cents))
    if match.code_percent is not None:
        return Agreement(_percent(match.code_percent), "code")
    if match.commission_rate_pct != settings.default_rate_percent:
        return Agreement(_percent(match.commission_rate_pct), "creator")
    if settings.tier_rates:
        lifetime = session.value(LIFETIME_SALES, {"creator_id": match.creator_id, "before": placed_at})
        tier = tier_percent(settings.tier_rates, lifetime)
        if tier is not None:
            return Agreement(tier, "tier")
    return Agreement(_percent(settings.default_rate_percent), "default")


def tier_percent(tiers: list[Any], lifetime_cents: int) -> Decimal | None:
    """The rate of the highest tier that is reached, None below the lowest.

    0/10, 100000/12, 500000/15 with 100000: 12. Raises Permanent COMMISSION_RATE_INVALID.
    """
    reached: list[tuple[Decimal, object]] = []
    for tier in tiers:
        if not isinstance(tier, Mapping):
            raise _invalid("a tier is no object")
        least = _number(tier.get("min_lifetime_cents"))
        if least <= lifetime_cents:
            reached.append((least, tier.get("rate_percent")))
    return _percent(max(reached, key=lambda pair: pair[0])[1]) if reached else None


def _percent(value: object) -> Decimal:
    percent = _number(value)
    if not 0 <= percent <= 100:
        raise _invalid("a percent outside 0..100")
    return percent.quantize(_HUNDREDTH, rounding=ROUND_HALF_UP)


def _fixed(value: object) -> int:
    amount = _number(value)
    if amount < 0 or amount != int(amount):
        raise _invalid("commissionFixedCents is no whole number of cents")
    return int(amount)


def _number(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        raise _invalid("a rate or a limit is no number")
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        raise _invalid("a rate or a limit is no number") from None
    if not number.is_finite():
        raise _invalid("a rate or a limit is no number")
    return number


def _invalid(detail: str) -> Permanent:
    return Permanent("COMMISSION_RATE_INVALID", detail)
