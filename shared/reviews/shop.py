"""What the review jobs ask of Shopify: how parcels fared, and a discount code of their own.

Scopes read_orders and write_discounts. discountCodeBasicCreate knows no idempotency key; the code is one: a code that
is taken is ours when its title is, and then the call before did its work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.integrations.shopify import Shopify
from shared.jobs.errors import Permanent
from shared.reviews.settings import Incentive

LOOKUP_PAGE = 100
"""Fulfilments per call."""
TAKEN = "TAKEN"

FULFILLMENTS = """
query ReviewFulfillments($ids: [ID!]!) {
  nodes(ids: $ids) {
    ... on Fulfillment { id legacyResourceId status displayStatus deliveredAt estimatedDeliveryAt updatedAt }
  }
}
"""

CREATE_DISCOUNT = """
mutation ReviewDiscountCreate($discount: DiscountCodeBasicInput!) {
  discountCodeBasicCreate(basicCodeDiscount: $discount) {
    codeDiscountNode { id }
    userErrors { code field message }
  }
}
"""

DISCOUNT_BY_CODE = """
query ReviewDiscountByCode($code: String!) {
  codeDiscountNodeByCode(code: $code) { id codeDiscount { ... on DiscountCodeBasic { title endsAt } } }
}
"""


@dataclass(frozen=True, slots=True)
class ParcelState:
    """One fulfilment as Shopify tells it; `state` is the lower case of displayStatus."""

    legacy_id: str
    state: str | None
    delivered_at: datetime | None
    estimated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Discount:
    """A discount code that Shopify knows."""

    id: str
    ends_at: datetime


class DiscountRefused(Permanent):
    """Shopify objects to the discount itself."""


def parcel_states(shop: Shopify, legacy_ids: Sequence[str]) -> list[ParcelState]:
    """At most LOOKUP_PAGE fulfilments; those that Shopify does not know are left out. Raises as Shopify does."""
    ids = [f"gid://shopify/Fulfillment/{id}" for id in legacy_ids]
    nodes = shop.graphql(FULFILLMENTS, {"ids": ids})["nodes"]
    return [
        ParcelState(
            legacy_id=node["legacyResourceId"],
            state=node["displayStatus"].lower() if node["displayStatus"] else None,
            delivered_at=_instant(node["deliveredAt"]),
            estimated_at=_instant(node["estimatedDeliveryAt"]),
        )
        for node in nodes
        if node
    ]


def create_discount(
    shop: Shopify, code: str, incentive: Incentive, *, title: str, starts_at: datetime, ends_at: datetime
) -> Discount:
    """A code that works once for everything in the shop; the one that is there when it was made before.

    Raises Permanent INCENTIVE_CODE_TAKEN (somebody else's discount has the code), DiscountRefused, and as Shopify does.
    """
    discount = {
        "title": title,
        "code": code,
        "startsAt": starts_at.isoformat(),
        "endsAt": ends_at.isoformat(),
        "usageLimit": 1,
        "appliesOncePerCustomer": True,
        "context": {"all": "ALL"},
        "customerGets": {"items": {"all": True}, "value": _value(incentive)},
    }
    made = shop.graphql(CREATE_DISCOUNT, {"discount": discount})["discountCodeBasicCreate"]
    codes = {str(error.get("code")) for error in made["userErrors"]}
    if not codes and made["codeDiscountNode"]:
        return Discount(made["codeDiscountNode"]["id"], ends_at)
    if TAKEN in codes:
        return _existing(shop, code, title, ends_at)
    raise DiscountRefused("INCENTIVE_REFUSED", ", ".join(sorted(codes)) or "without a reason")


def _existing(shop: Shopify, code: str, title: str, ends_at: datetime) -> Discount:
    node = shop.graphql(DISCOUNT_BY_CODE, {"code": code})["codeDiscountNodeByCode"]
    held = (node or {}).get("codeDiscount") or {}
    if held.get("title") != title:
        raise Permanent("INCENTIVE_CODE_TAKEN", "another discount of the shop has this code")
    return Discount(node["id"], _instant(held.get("endsAt")) or ends_at)


def _value(incentive: Incentive) -> dict[str, Any]:
    if incentive.kind == "percentage":
        return {"percentage": float(incentive.value / 100)}
    return {"discountAmount": {"amount": f"{incentive.value:.2f}", "appliesOnEachItem": False}}


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
