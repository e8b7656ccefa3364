"""What a tenant has set about its reviews: review_settings, two values of tenant_config, its templates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

from shared.jobs.context import Row, Session
from shared.mail import money_text
from shared.tenant_settings import base_currency, config
from shared.time import tenant_zone

MAX_REMINDERS = 2
"""Reminders after the request; a third mail more would be pestering."""
DEFAULT_HOUR = 10
MAX_RULE_DAYS = 36_500
"""Days of a rule that still make a date."""
INTERNAL = "internal"
"""review_settings.provider of tenants whose requests are ours to send."""
RULES_KEY = "reviews.rules"

RULES: dict[str, Any] = {
    "sendHourLocal": DEFAULT_HOUR,
    "requireMarketingConsent": False,
    "minDaysBetweenRequests": 30,
    "maxOrderAgeDays": 120,
    "includeRenewals": False,
    "excludeTags": [],
    "notifyApproved": True,
    "notifyRejected": True,
    "allowRatingCondition": False,
}
"""Defaults of tenant_config reviews.rules."""

SETTINGS: Row = {
    "provider": INTERNAL,
    "request_delay_days": 7,
    "reminder_count": 2,
    "reminder_interval_days": 3,
    "order_status_trigger": "delivered",
    "incentive_enabled": False,
    "incentive_discount_type": None,
    "incentive_discount_value": None,
    "incentive_expiry_days": 30,
    "incentive_min_rating": None,
    "incentive_min_word_count": None,
    "incentive_require_photo": False,
}
"""Defaults of review_settings, for a tenant without a row."""

SELECT_SETTINGS = """
-- reviews: the tenant's settings
SELECT provider, request_delay_days, reminder_count, reminder_interval_days, order_status_trigger, incentive_enabled,
       incentive_discount_type, incentive_discount_value, incentive_expiry_days, incentive_min_rating,
       incentive_min_word_count, incentive_require_photo
FROM review_settings ORDER BY (id = 'default') DESC, id LIMIT 1
"""

SELECT_TEMPLATES = """
-- reviews: the tenant's templates, the newest of a type last
SELECT id, type, is_enabled, delay_days FROM review_email_templates ORDER BY created_at, id
"""

SHOP_CURRENCY = """
-- reviews: the currency in which the shop grants amounts
SELECT upper(store_currency) FROM shopify_connections
WHERE status = 'active' ORDER BY installed_at DESC NULLS LAST LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class ReviewTemplate:
    """A template of the tenant's own. `delay_days` 0: the setting counts."""

    id: str
    type: str
    enabled: bool
    delay_days: int


@dataclass(frozen=True, slots=True)
class Incentive:
    """What a review is rewarded with: a percentage, or an amount in the shop's currency (`value` in major units)."""

    kind: Literal["percentage", "fixed"]
    value: Decimal
    currency: str

    @property
    def text(self) -> str:
        """As a mail says it: `10% off`, `$5.00 off`."""
        if self.kind == "percentage":
            return f"{self.value.normalize():f}% off"
        return f"{money_text(int(self.value * 100), self.currency)} off"


@dataclass(frozen=True, slots=True)
class ReviewSettings:
    """Everything that the review jobs ask of a tenant's settings; read once a run."""

    row: Row = field(repr=False)
    rules: Mapping[str, Any] = field(repr=False)
    templates: Mapping[str, ReviewTemplate]
    """All templates by id."""
    newest: Mapping[str, ReviewTemplate]
    """The template that counts for each type."""
    zone: ZoneInfo
    currency: str
    """In which the shop grants amounts."""
    incentive: Incentive | None
    """The reward if it is switched on and makes sense."""

    @property
    def internal(self) -> bool:
        """Whether requests are sent by us at all."""
        return bool(self.row["provider"] == INTERNAL)

    @property
    def trigger(self) -> Literal["delivered", "fulfilled"]:
        """What an order waits for before its request."""
        return "fulfilled" if self.row["order_status_trigger"] == "fulfilled" else "delivered"

    @property
    def send_hour(self) -> int:
        """Local hour of mails, 0..23."""
        hour = self.rules["sendHourLocal"]
        return hour if isinstance(hour, int) and not isinstance(hour, bool) and 0 <= hour <= 23 else DEFAULT_HOUR

    @property
    def exclude_tags(self) -> frozenset[str]:
        """Tags of orders and customers that get no request."""
        tags = self.rules["excludeTags"]
        return frozenset(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else frozenset()

    def rule_days(self, name: Literal["minDaysBetweenRequests", "maxOrderAgeDays"]) -> timedelta:
        """A rule that counts days; what is no such count has its default."""
        days = self.rules[name]
        fits = isinstance(days, int) and not isinstance(days, bool) and 0 <= days <= MAX_RULE_DAYS
        return timedelta(days=days if fits else RULES[name])

    @property
    def reminders(self) -> int:
        """Reminders of one order."""
        return max(0, min(int(self.row["reminder_count"]), MAX_REMINDERS))

    @property
    def request_days(self) -> int:
        """Days from delivery (or shipment) to the request."""
        return self._days("request", int(self.row["request_delay_days"]))

    def reminder_days(self, number: int) -> int:
        """Days from the mail before to reminder `number`."""
        return self._days(f"reminder_{number}", int(self.row["reminder_interval_days"]))

    def enabled(self, template_type: str, template_id: object = None) -> bool:
        """False when the tenant has switched off the mails of this type, or the template named instead."""
        own = self.templates.get(str(template_id)) or self.newest.get(template_type)
        return own is None or own.enabled

    def template_id(self, template_type: str) -> str:
        """The tenant's own template of the type, else the type itself."""
        own = self.newest.get(template_type)
        return own.id if own else template_type

    def _days(self, template_type: str, setting: int) -> int:
        own = self.newest.get(template_type)
        return own.delay_days if own and own.delay_days > 0 else max(0, setting)


def review_settings(session: Session) -> ReviewSettings:
    """The tenant's settings; what it did not set has its default."""
    row = session.one(SELECT_SETTINGS) or SETTINGS
    templates = [
        ReviewTemplate(found["id"], found["type"], found["is_enabled"], found["delay_days"])
        for found in session.all(SELECT_TEMPLATES)
    ]
    rules = config(session, RULES_KEY, RULES)
    currency = session.value(SHOP_CURRENCY) or base_currency(session)
    return ReviewSettings(
        row=row,
        rules=rules if isinstance(rules, dict) else RULES,
        templates={each.id: each for each in templates},
        newest={each.type: each for each in templates},
        zone=tenant_zone(session),
        currency=currency,
        incentive=incentive_of(row, currency) if row["incentive_enabled"] else None,
    )


def offers_reward(session: Session) -> bool:
    """Whether reviews are rewarded at present: it is switched on, and the reward makes sense."""
    row = session.one(SELECT_SETTINGS) or SETTINGS
    return bool(row["incentive_enabled"]) and incentive_of(row, "") is not None


def incentive_of(row: Row, currency: str) -> Incentive | None:
    """The reward that a row of review_settings describes, None when it makes no sense.

    A percentage lies above 0 and at most at 100, an amount above 0; amounts are in the shop's currency.
    """
    kind, value = row["incentive_discount_type"], row["incentive_discount_value"]
    if value is None or kind not in ("percentage", "fixed") or value <= 0 or (kind == "percentage" and value > 100):
        return None
    return Incentive(kind, Decimal(value), currency)
