"""A creator's code in the tenant's shop (Shopify Admin GraphQL 2026-10, codeDiscountNodeByCode and
discountCodeBasicCreate; shopify.dev, looked at November 2026).

The mutation has no idempotency key, so the shop is asked before it is told: a discount of our title is an earlier
run's and is adopted, any other means that the code is taken. Needs read_discounts and write_discounts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from shared.integrations.shopify import Shopify
from shared.integrations.shopify_errors import AccessDenied
from shared.jobs.context import JobContext, Session
from shared.jobs.errors import Permanent
from shared.tenant_settings import config

CUSTOMER_PERCENT_KEY = "creator.discount"
DEFAULT_CUSTOMER_PERCENT = 10

FIND = """
query CreatorCode($code: String!) {
  codeDiscountNodeByCode(code: $code) {
    id
    codeDiscount { ... on DiscountCodeBasic { title } }
  }
}
"""
CREATE = """
mutation CreateCreatorCode($discount: DiscountCodeBasicInput!) {
  discountCodeBasicCreate(basicCodeDiscount: $discount) {
    codeDiscountNode { id }
    userErrors { field code message }
  }
}
"""


@dataclass(frozen=True, slots=True)
class Made:
    """What the shop says of a code. `taken`: for another purpose; `failed`: `code` is why."""

    state: Literal["created", "adopted", "taken", "failed"]
    discount_id: str | None = None
    code: str | None = None


def customer_percent(session: Session) -> int:
    """What customers save with a creator's code: 1..100, 10 unless the tenant set another."""
    value = config(session, CUSTOMER_PERCENT_KEY, {}).get("percent")
    fits = isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= 100
    return int(value) if fits else DEFAULT_CUSTOMER_PERCENT


def connect(ctx: JobContext) -> Shopify | None:
    """The tenant's shop, None when none is connected."""
    try:
        return Shopify.connect(ctx, alert_source="creators")
    except Permanent as error:
        if error.code != "SHOPIFY_NOT_CONNECTED":
            raise
        return None


def make(ctx: JobContext, shop: Shopify, code: str, creator_id: str, percent: int) -> Made:
    """The code in the shop, made or found. Raises RateLimited SHOPIFY_THROTTLED, Transient SHOPIFY_UNAVAILABLE.

    Refusals for good (a missing scope, userErrors, a frozen shop) are values: the approval goes on without the shop.
    """
    title = f"Creator {code} ({creator_id})"
    try:
        return _found(shop, code, title) or _created(ctx, shop, code, title, percent)
    except AccessDenied as denied:
        return Made("failed", code=denied.code)
    except Permanent as refused:
        return Made("failed", code=refused.code)


def _found(shop: Shopify, code: str, title: str) -> Made | None:
    node = shop.graphql(FIND, {"code": code})["codeDiscountNodeByCode"]
    if node is None:
        return None
    if (node.get("codeDiscount") or {}).get("title") == title:
        return Made("adopted", node["id"])
    return Made("taken")


def _created(ctx: JobContext, shop: Shopify, code: str, title: str, percent: int) -> Made:
    discount: dict[str, Any] = {
        "title": title,
        "code": code,
        "startsAt": ctx.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        "context": {"all": "ALL"},
        "customerGets": {"value": {"percentage": percent / 100}, "items": {"all": True}},
        "appliesOncePerCustomer": True,
        "combinesWith": {"shippingDiscounts": True, "orderDiscounts": False, "productDiscounts": False},
        "tags": ["creator"],
    }
    made = shop.graphql(CREATE, {"discount": discount})["discountCodeBasicCreate"]
    errors = made["userErrors"]
    if not errors:
        return Made("created", made["codeDiscountNode"]["id"])
    codes = {str(error.get("code") or "") for error in errors}
    if "TAKEN" in codes:
        # Somebody was faster, perhaps our own run whose answer was lost.
        return _found(shop, code, title) or Made("taken")
    return Made("failed", code=sorted(codes)[0] or "SHOPIFY_REFUSED")
