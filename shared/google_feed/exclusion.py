"""What stays out of the feed: the first reason that applies, in words that the admin pages show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from shared.google_feed.catalogue import Product, Variant
from shared.google_feed.settings import FeedSettings

BY_HAND = "excluded"
"""Somebody has excluded it; the reason that person gave is kept."""
KINDS = ("tag", "vendor", "product_type", "collection", "price_below", "out_of_stock")


def reason(
    settings: FeedSettings, product: Product, variant: Variant, overrides: Sequence[Mapping[str, Any]]
) -> str | None:
    """Why an offer is left out, None when it is not."""
    if any(override.get("is_excluded") for override in overrides):
        return BY_HAND
    if not variant.sellable and not settings.include_out_of_stock:
        return "out_of_stock"
    if variant.price < settings.minimum_price_cents:
        return "below_minimum_price"
    for rule in settings.rules:
        if applies(rule, product, variant):
            value = rule.get("value")
            return f"rule:{rule['type']}" + (f":{value}" if value not in (None, "") else "")
    return None


def applies(rule: Mapping[str, Any], product: Product, variant: Variant) -> bool:
    """Whether a rule leaves an offer out; one of an unknown type does not."""
    value = rule.get("value")
    text = str(value if value is not None else "").strip().casefold()
    match rule.get("type"):
        case "tag":
            return any(tag.strip().casefold() == text for tag in product.tags)
        case "vendor":
            return bool(text) and (product.vendor or "").strip().casefold() == text
        case "product_type":
            return bool(text) and (product.product_type or "").strip().casefold() == text
        case "collection":
            return bool(text) and text.rsplit("/", 1)[-1] in product.collections
        case "price_below":
            return _whole(value) is not None and variant.price < (_whole(value) or 0)
        case "out_of_stock":
            return not variant.sellable
    return False


def unknown_rules(settings: FeedSettings) -> int:
    """How many rules that are switched on are of a type that nobody knows."""
    return sum(rule.get("type") not in KINDS for rule in settings.rules)


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
