"""The rate of a commission, settled when it is first written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.creator_money import Agreement, CommissionConfig, Match, agree, commission_config
from shared.creator_money.rates import tier_percent
from shared.jobs import Permanent
from tests.builders.creators import add_creator
from tests.conftest import Rows
from tests.shared.creator_money.conftest import InSession

PLACED_AT = datetime(2026, 11, 20, 10, tzinfo=UTC)
TIERS = [
    {"tier": "bronze", "min_lifetime_cents": 0, "rate_percent": 10},
    {"tier": "gold", "min_lifetime_cents": 500000, "rate_percent": 15},
    {"tier": "silver", "min_lifetime_cents": 100000, "rate_percent": 12},
]


def a_match(**facts: Any) -> Match:
    return Match(
        **{
            "creator_id": "c1",
            "code": "JANE15",
            "is_link": False,
            "status": "approved",
            "email": "jane@x.com",
            "commission_rate_pct": Decimal("10.00"),
            "commission_type": "percentage",
            "fixed_cents": None,
            "code_percent": None,
            **facts,
        }
    )


@pytest.fixture
def agreed(in_session: InSession) -> Any:
    def ask(settings: CommissionConfig | None = None, **facts: Any) -> Agreement:
        used = settings or CommissionConfig(tier_rates=TIERS)
        result: Agreement = in_session(lambda s: agree(s, a_match(**facts), used, placed_at=PLACED_AT))
        return result

    return ask


@pytest.fixture
def sold_100000(rows: Rows) -> None:
    """Jane's sales before the order: 90000 + (15000 - 5000); what is rejected or later does not count."""
    add_creator(rows, "c1")
    before, later = PLACED_AT - timedelta(seconds=1), PLACED_AT
    for n, (at, net, refunded, status) in enumerate(
        [
            (before, 90000, 0, "paid"),
            (before, 15000, 5000, "pending"),
            (before, 70000, 0, "rejected"),
            (later, 80000, 0, "pending"),
        ]
    ):
        rows.execute(
            "INSERT INTO commissions (order_id, order_date, creator_id, net_sales_cents, refunded_base_cents,"
            " commission_percent, commission_cents, status) VALUES (%s, %s, 'c1', %s, %s, 10, 0, %s)",
            (str(n), at, net, refunded, status),
        )


@pytest.mark.usefixtures("sold_100000")
@pytest.mark.parametrize(
    ("facts", "percent", "source"),
    [
        ({}, "12.00", "tier"),
        ({"commission_rate_pct": Decimal("20.00")}, "20.00", "creator"),
        ({"commission_rate_pct": Decimal("20.00"), "code_percent": Decimal("25.00")}, "25.00", "code"),
        ({"code_percent": Decimal("0.00")}, "0.00", "code"),
    ],
    ids=["tier", "creator", "code", "code of 0 %"],
)
def test_code_beats_creator_beats_tier(agreed: Any, facts: dict[str, Any], percent: str, source: str) -> None:
    assert agreed(**facts) == Agreement(Decimal(percent), source)  # type: ignore[arg-type]


@pytest.mark.usefixtures("sold_100000")
def test_tier_does_not_count_what_came_later(agreed: Any) -> None:
    tiers = [{"min_lifetime_cents": 100001, "rate_percent": 50}]

    assert agreed(CommissionConfig(tier_rates=tiers)) == Agreement(Decimal("10.00"), "default")


def test_without_tiers_the_default_counts(agreed: Any) -> None:
    settings = CommissionConfig(default_rate_percent=Decimal("7.50"))

    assert agreed(settings, commission_rate_pct=Decimal("7.50")) == Agreement(Decimal("7.50"), "default")


@pytest.mark.parametrize(
    ("lifetime", "percent"),
    [(0, "10"), (99_999, "10"), (100_000, "12"), (499_999, "12"), (500_000, "15"), (-1, None)],
)
def test_highest_tier_that_is_reached(lifetime: int, percent: str | None) -> None:
    assert tier_percent(TIERS, lifetime) == (None if percent is None else Decimal(percent))


def test_fixed_amount_has_no_percent(agreed: Any) -> None:
    fixed = agreed(commission_type="fixed", fixed_cents=500, code_percent=Decimal(25))

    assert fixed == Agreement(Decimal(0), "creator", 500)
    assert (fixed.terms("net").percent, fixed.terms("net").original_cents) == (Decimal(0), 500)


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({}, {"code_percent": Decimal("100.01")}),
        ({}, {"code_percent": Decimal("-0.01")}),
        ({}, {"commission_rate_pct": Decimal("101.00")}),
        ({"default_rate_percent": Decimal("-10.00")}, {"commission_rate_pct": Decimal("-10.00")}),
        ({"tier_rates": [{"min_lifetime_cents": 0, "rate_percent": 150}]}, {}),
        ({"tier_rates": [{"min_lifetime_cents": 0, "rate_percent": True}]}, {}),
        ({"tier_rates": [{"min_lifetime_cents": 0, "rate_percent": "ten"}]}, {}),
        ({"tier_rates": [{"rate_percent": 10}]}, {}),
        ({"tier_rates": ["gold"]}, {}),
        ({}, {"commission_type": "fixed", "fixed_cents": None}),
        ({}, {"commission_type": "fixed", "fixed_cents": -1}),
        ({}, {"commission_type": "fixed", "fixed_cents": 1.5}),
    ],
)
def test_rate_that_is_none_is_refused(agreed: Any, settings: dict[str, Any], facts: dict[str, Any]) -> None:
    with pytest.raises(Permanent, match="COMMISSION_RATE_INVALID"):
        agreed(CommissionConfig(**settings), **facts)


def test_settings_of_the_tenant_or_their_defaults(rows: Rows, in_session: InSession) -> None:
    assert in_session(commission_config) == CommissionConfig()
    rows.execute("INSERT INTO commission_config (default_rate_percent, auto_retroactive) VALUES (8, false)")

    assert in_session(commission_config) == CommissionConfig(Decimal("8.00"), [], False, 90)
