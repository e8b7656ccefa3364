"""Where an order came from, by its cart attributes and Shopify's journey: the content of orders.attribution_data.

Keys are those that the attribution jobs read. Attributes of the cart win; the query of the landing page and Shopify's
last visit fill gaps only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

MAX_ATTRIBUTES = 50
"""Custom attributes kept per order."""
MAX_VALUE = 500
"""Characters kept of an attribute's value."""
MAX_URL = 2_000
"""Characters kept of landing page and referrer: their query strings hold the click ids."""

CART_ATTRIBUTES = {
    "_visitor_id": "visitorId",
    "_session_id": "sessionId",
    "_ab_visitor_id": "abVisitorId",
    "_ab_test_id": "abTestId",
    "_ab_variant_id": "abVariantId",
    "_creator_code": "creatorCode",
}
"""Cart attribute -> key; the storefront sets them."""
UTM = ("source", "medium", "campaign", "content", "term")
CLICK_IDS = ("fbclid", "gclid", "ttclid", "msclkid", "nbt")
"""Click ids of Meta, Google, TikTok and Microsoft, and Meta's `<campaign>~<adset>~<ad>` parameter."""


def attribution_data(node: Mapping[str, Any]) -> dict[str, Any]:
    """The attribution data of an order node, without nulls; `attributes` is always there, `test` on a test order.

    utmSource .. utmTerm: the first non-empty of cart attribute, landing page query, Shopify's last visit.
    """
    given = {a["key"]: (a.get("value") or "").strip() for a in node.get("customAttributes") or ()}
    visit = _last_visit(node.get("customerJourneySummary"))
    landing_page = (given.get("_landing_page") or visit.get("landingPage") or "")[:MAX_URL]
    query = _query(landing_page)
    data: dict[str, Any] = {key: given[name][:MAX_VALUE] for name, key in CART_ATTRIBUTES.items() if given.get(name)}
    for part in UTM:
        key = f"utm{part.capitalize()}"
        value = given.get(f"_attribution_{part}") or query.get(f"utm_{part}") or visit.get(key)
        if value:
            data[key] = value[:MAX_VALUE]
    for name in CLICK_IDS:
        value = given.get(name) or given.get(f"_{name}") or query.get(name)
        if value:
            data[name] = value[:MAX_VALUE]
    rest = {
        "landingPage": landing_page,
        "referrer": (given.get("_referrer") or visit.get("referrer") or "")[:MAX_URL],
        "checkoutToken": node.get("checkoutToken"),
        "sourceName": node.get("sourceName"),
        "lastVisit": visit,
    }
    data.update((key, value) for key, value in rest.items() if value)
    if node.get("test"):
        data["test"] = True  # the orders table has no column for it, and a test order earns nobody a commission
    data["attributes"] = {name: value[:MAX_VALUE] for name, value in list(given.items())[:MAX_ATTRIBUTES]}
    return data


def _last_visit(journey: Mapping[str, Any] | None) -> dict[str, str]:
    visit = journey.get("lastVisit") if journey and journey.get("ready") else None
    if not visit:
        return {}
    found = {
        "id": str(visit["id"]).rpartition("/")[2],
        "occurredAt": visit.get("occurredAt"),
        "source": visit.get("source"),
        "landingPage": visit.get("landingPage"),
        "referrer": visit.get("referrerUrl"),
        **{f"utm{part.capitalize()}": (visit.get("utmParameters") or {}).get(part) for part in UTM},
    }
    return {key: value[:MAX_URL] for key, value in found.items() if value}


def _query(url: str) -> dict[str, str]:
    text = url.partition("?")[2].partition("#")[0]
    return dict(parse_qsl(text)) if text else {}
