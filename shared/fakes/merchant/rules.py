"""What Merchant API v1 asks of a product input, and what Google then thinks of the product."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

Problem = tuple[str, str, str]
"""(REASON, message, FIELD_LOCATION) of an INVALID_ARGUMENT."""

LANGUAGE = re.compile(r"[a-z]{2}")
LABEL = re.compile(r"[A-Z0-9_-]{1,20}")
CURRENCY = re.compile(r"[A-Z]{3}")
ENUMS = {
    "availability": {"IN_STOCK", "OUT_OF_STOCK", "PREORDER", "LIMITED_AVAILABILITY", "BACKORDER"},
    "condition": {"NEW", "USED", "REFURBISHED"},
    "ageGroup": {"ADULT", "KIDS", "TODDLER", "INFANT", "NEWBORN"},
    "gender": {"MALE", "FEMALE", "UNISEX"},
}
TEXTS = {
    "title": 150, "description": 5000, "link": 2000, "imageLink": 2000, "brand": 70, "mpn": 70, "color": 100,
    "size": 100, "material": 200, "pattern": 100, "googleProductCategory": 750, "itemGroupId": 50,
    "shippingLabel": 100, "customLabel0": 100, "customLabel1": 100, "customLabel2": 100, "customLabel3": 100,
    "customLabel4": 100,
}  # fmt: skip
"""Texts with the most characters they may have."""
LISTS = {"gtins": (10, 14), "additionalImageLinks": (10, 2000), "productTypes": (10, 750)}
"""Lists of texts: most members, most characters of one."""
PRICES = ("price", "salePrice")
FLAGS = ("adult", "identifierExists")
MEASURES = {
    "shippingWeight": {"g", "kg", "lb", "oz"},
    "shippingLength": {"cm", "in"},
    "shippingWidth": {"cm", "in"},
    "shippingHeight": {"cm", "in"},
}
OTHERS = ("availabilityDate", "salePriceEffectiveDate", "shipping")
KNOWN = frozenset({*ENUMS, *TEXTS, *LISTS, *PRICES, *FLAGS, *MEASURES, *OTHERS})


def input_problem(body: Any) -> Problem | None:
    """The first thing that is wrong with a whole input."""
    if not isinstance(body, dict):
        return "INVALID_BODY", "The body must be an object.", ""
    unknown = sorted(set(body) - {"offerId", "contentLanguage", "feedLabel", "productAttributes", "versionNumber"})
    if unknown:
        return "UNKNOWN_FIELD", f'Invalid JSON payload received. Unknown name "{unknown[0]}"', unknown[0]
    offer_id = body.get("offerId")
    if not isinstance(offer_id, str) or not 1 <= len(offer_id) <= 50:
        return "INVALID_OFFER_ID", "offerId is required and has at most 50 characters.", "offerId"
    if not LANGUAGE.fullmatch(str(body.get("contentLanguage"))):
        return "INVALID_CONTENT_LANGUAGE", "contentLanguage is a two-letter ISO 639-1 code.", "contentLanguage"
    if not LABEL.fullmatch(str(body.get("feedLabel"))):
        return "INVALID_FEED_LABEL", "feedLabel has at most 20 of A-Z, 0-9, - and _.", "feedLabel"
    return attributes_problem(body.get("productAttributes"))


def attributes_problem(attributes: Any) -> Problem | None:
    """The first thing that is wrong with productAttributes."""
    if not isinstance(attributes, dict):
        return "INVALID_ATTRIBUTES", "productAttributes must be an object.", "productAttributes"
    for name, value in attributes.items():
        wrong = _wrong(name, value)
        if wrong:
            return "INVALID_ATTRIBUTE", f"{name}: {wrong}", f"productAttributes.{name}"
    return None


def _wrong(name: str, value: Any) -> str:
    """What is wrong with one attribute; empty when nothing is."""
    if name not in KNOWN:
        return "unknown name"
    if name in ENUMS:
        return "" if value in ENUMS[name] else "no such value"
    if name in TEXTS:
        return "" if isinstance(value, str) and 1 <= len(value) <= TEXTS[name] else "not a text of that length"
    if name in FLAGS:
        return "" if isinstance(value, bool) else "not a boolean"
    if name in PRICES:
        return _price_wrong(value)
    if name in LISTS:
        most, length = LISTS[name]
        fits = isinstance(value, list) and len(value) <= most and all(isinstance(v, str) and v for v in value)
        return "" if fits and all(len(v) <= length for v in value) else "not a list of such texts"
    if name in MEASURES:
        fits = isinstance(value, dict) and isinstance(value.get("value"), int | float) and value["value"] > 0
        return "" if fits and value.get("unit") in MEASURES[name] else "not a measure"
    return _other_wrong(name, value)


def _price_wrong(value: Any) -> str:
    if not isinstance(value, dict) or set(value) != {"amountMicros", "currencyCode"}:
        return "a price is {amountMicros, currencyCode}"
    micros = value["amountMicros"]
    if not isinstance(micros, str) or not re.fullmatch(r"[0-9]{1,18}", micros):
        return "amountMicros is an int64 as a string"
    if int(micros) % 10_000:
        return "the currency has two decimals"
    return "" if CURRENCY.fullmatch(str(value["currencyCode"])) else "currencyCode is an ISO 4217 code"


def _other_wrong(name: str, value: Any) -> str:
    if name == "availabilityDate":
        return "" if _stamp(value) else "not an RFC 3339 timestamp"
    if name == "salePriceEffectiveDate":
        fits = isinstance(value, dict) and _stamp(value.get("startTime")) and _stamp(value.get("endTime"))
        return "" if fits else "not an interval"
    for each in value if isinstance(value, list) else [None]:
        if not isinstance(each, dict) or set(each) - {"country", "region", "service", "price"}:
            return "not a list of shipping costs"
        if not re.fullmatch(r"[A-Z]{2}", str(each.get("country"))) or _price_wrong(each.get("price")):
            return "shipping needs a country and a price"
    return ""


def _stamp(value: Any) -> bool:
    try:
        return datetime.fromisoformat(str(value)).tzinfo is not None
    except ValueError:
        return False


def source_problem(body: Any) -> Problem | None:
    """The first thing that is wrong with a data source."""
    primary = body.get("primaryProductDataSource") if isinstance(body, dict) else None
    if not isinstance(body, dict) or not body.get("displayName"):
        return "MISSING_DISPLAY_NAME", "displayName is required.", "displayName"
    if not isinstance(primary, dict):
        return "MISSING_TYPE", "One type of data source is required.", "primaryProductDataSource"
    if not LANGUAGE.fullmatch(str(primary.get("contentLanguage"))) or not LABEL.fullmatch(
        str(primary.get("feedLabel"))
    ):
        return "INVALID_PRIMARY", "contentLanguage and feedLabel go together.", "primaryProductDataSource"
    if not all(re.fullmatch(r"[A-Z]{2}", str(each)) for each in primary.get("countries") or [None]):
        return "INVALID_COUNTRIES", "countries are CLDR territory codes.", "primaryProductDataSource.countries"
    return None


def issues_of(attributes: Mapping[str, Any], country: str) -> list[dict[str, Any]]:
    """What Google finds by itself: what a product needs and does not have."""
    needs = {
        "title": "missing_title", "link": "missing_link", "imageLink": "image_link_missing", "price": "missing_price",
        "availability": "missing_availability",
    }  # fmt: skip
    return [
        issue(code, name, "DISAPPROVED", country, f"Missing value [{name}]")
        for name, code in needs.items()
        if name not in attributes
    ]


def issue(code: str, attribute: str, severity: str, country: str, description: str = "") -> dict[str, Any]:
    """An ItemLevelIssue."""
    return {
        "code": code,
        "severity": severity,
        "resolution": "merchant_action",
        "attribute": attribute,
        "reportingContext": "SHOPPING_ADS",
        "description": description or code.replace("_", " "),
        "detail": "See the help page.",
        "documentation": "https://support.google.com/merchants/answer/6324350",
        "applicableCountries": [country],
    }
