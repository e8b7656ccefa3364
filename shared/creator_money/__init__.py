"""What creators earn: the ONE place that knows how a commission is counted, whose it is, and what the portal shows.

    base        what an order is worth to its creator now: base, refunds taken off, commission
    matching    whose discount code or link brought the order
    rates       the rate that is agreed when a commission is first written
    pending     locks, pending balances and the portal's mirror of commissions that have not matured

Amounts are hundredths of the order's currency. Every change of a creator's money happens in one transaction that first
locks the creator (lock_creators), then the commission; several creators in ascending order of their ids. So two of our
transactions wait for each other and never in a ring.
"""

from shared.creator_money.base import Basis, CommissionBase, Terms, commission_base, commission_cents
from shared.creator_money.matching import Match, match_creator
from shared.creator_money.pending import add_to_totals, keep_pending, lock_creators
from shared.creator_money.rates import Agreement, CommissionConfig, RateSource, agree, commission_config
from shared.creator_money.rules import RULES, commission_rules

__all__ = [
    "RULES",
    "Agreement",
    "Basis",
    "CommissionBase",
    "CommissionConfig",
    "Match",
    "RateSource",
    "Terms",
    "add_to_totals",
    "agree",
    "commission_base",
    "commission_cents",
    "commission_config",
    "commission_rules",
    "keep_pending",
    "lock_creators",
    "match_creator",
]
