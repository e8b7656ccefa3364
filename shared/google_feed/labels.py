"""Custom labels: the text by which a shop groups its offers in Google's campaigns.

A label's rule is {type?, conditions?: [{field, operator, value, label}], defaultValue?}. The first condition that holds
gives its label, else the default value. Two types need no conditions: bestseller and new_arrival.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.google_feed.catalogue import Product, Sales, Variant

LABELS = 5
LABEL_MAX = 100
"""Characters of a label that Google keeps."""
NEW_ARRIVAL = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Facts:
    """What conditions ask for. Money in cents; `margin` in percent, None when the cost is not known."""

    price: int
    vendor: str
    product_type: str
    tags: tuple[str, ...]
    inventory: int | None
    margin: float | None
    units_30d: int
    days_since_published: int | None


def facts_of(product: Product, variant: Variant, sales: Sales, now: datetime) -> Facts:
    """The facts of one offer."""
    cost = product.costs.get(variant.id, product.costs.get("", variant.cost))
    margin = (variant.price - cost) * 100 / variant.price if cost is not None and variant.price > 0 else None
    age = (now - product.published_at).days if product.published_at else None
    return Facts(
        price=variant.price,
        vendor=product.vendor or "",
        product_type=product.product_type or "",
        tags=product.tags,
        inventory=variant.quantity,
        margin=margin,
        units_30d=sales.units.get(variant.id, 0),
        days_since_published=age,
    )


def labels_of(
    override: Mapping[str, Any],
    rules: Mapping[str, Mapping[str, Any]],
    product: Product,
    variant: Variant,
    sales: Sales,
    now: datetime,
) -> dict[str, str]:
    """customLabel0..4 of an offer; an override wins."""
    facts = facts_of(product, variant, sales, now) if rules else None
    found: dict[str, str] = {}
    for n in range(LABELS):
        text = str(override.get(f"custom_label_{n}") or "")
        rule = rules.get(f"label{n}")
        if not text and rule and facts:
            text = _by_rule(rule, facts, sales, product, now)
        if text.strip():
            found[f"customLabel{n}"] = text.strip()[:LABEL_MAX]
    return found


def _by_rule(rule: Mapping[str, Any], facts: Facts, sales: Sales, product: Product, now: datetime) -> str:
    default = str(rule.get("defaultValue") or "")
    if rule.get("type") == "bestseller":
        top = sales.bestseller_from is not None and facts.units_30d >= sales.bestseller_from
        return "bestseller" if top else default
    if rule.get("type") == "new_arrival":
        new = product.published_at is not None and now - product.published_at <= NEW_ARRIVAL
        return "new" if new else default
    conditions = rule.get("conditions")
    for condition in conditions if isinstance(conditions, list) else ():
        if isinstance(condition, dict) and holds(condition, facts):
            return str(condition.get("label") or "")
    return default


def holds(condition: Mapping[str, Any], facts: Facts) -> bool:
    """Whether a condition holds; one that is unknown, malformed, or asks for what is not known does not."""
    actual = getattr(facts, str(condition.get("field")), None)
    if actual is None:
        return False
    operator, value = condition.get("operator"), condition.get("value")
    if operator in ("equals", "contains"):
        wanted = str(value).strip().casefold()
        texts = [str(each).casefold() for each in (actual if isinstance(actual, tuple) else (actual,))]
        return any(text == wanted if operator == "equals" else wanted in text for text in texts)
    if not isinstance(actual, int | float):
        return False
    if operator == "between":
        low, high = _bounds(value)
        return low is not None and high is not None and low <= actual <= high
    number = _number(value)
    if number is None:
        return False
    return actual > number if operator == "greater_than" else operator == "less_than" and actual < number


def _bounds(value: Any) -> tuple[float | None, float | None]:
    if isinstance(value, list) and len(value) == 2:
        return _number(value[0]), _number(value[1])
    if isinstance(value, dict):
        return _number(value.get("min")), _number(value.get("max"))
    return None, None


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
