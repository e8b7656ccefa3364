"""The tenant's setting commission.rules: which orders and which of their lines earn a commission."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shared.tenant_settings import config

if TYPE_CHECKING:
    from shared.jobs.context import Session

RULES = "commission.rules"
"""Key of tenant_config."""

DEFAULTS: dict[str, Any] = {
    "basis": "net",
    "excludeSelfPurchase": True,
    "includeRenewals": False,
    "renewalSources": ["subscription_contract", "subscription_contract_checkout_one"],
    "renewalTags": ["Subscription Recurring Order"],
    "excludedProductIds": [],
}
"""`basis`: net counts goods after discounts, gross before them. Renewals are known by the order's source or a tag."""


def commission_rules(session: Session) -> dict[str, Any]:
    """The tenant's rules; what it did not set has its default."""
    return dict(config(session, RULES, DEFAULTS))
