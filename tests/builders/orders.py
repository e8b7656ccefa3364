"""Order nodes as Shopify's Admin GraphQL API answers them. A test states only what matters to it."""

from __future__ import annotations

from typing import Any

Node = dict[str, Any]

PLACED_AT = "2026-11-20T10:00:00Z"


def money(amount: str, currency: str = "USD") -> Node:
    """A money bag of the shop's currency."""
    return {"shopMoney": {"amount": amount, "currencyCode": currency}}


def a_line(
    id: int = 1,
    *,
    quantity: int = 1,
    price: str = "10.00",
    total: str | None = None,
    discount: str | None = None,
    tax: str | None = None,
    **fields: Any,
) -> Node:
    """A line item; `total` is quantity times `price` unless given."""
    whole = total if total is not None else f"{float(price) * quantity:.2f}"
    return {
        "id": f"gid://shopify/LineItem/{id}",
        "title": f"Item {id}",
        "variantTitle": None,
        "sku": f"SKU-{id}",
        "quantity": quantity,
        "currentQuantity": quantity,
        "isGiftCard": False,
        "requiresShipping": True,
        "product": {"id": f"gid://shopify/Product/{id + 100}"},
        "variant": {"id": f"gid://shopify/ProductVariant/{id + 200}"},
        "sellingPlan": None,
        "originalUnitPriceSet": money(price),
        "originalTotalSet": money(whole),
        "discountAllocations": [{"allocatedAmountSet": money(discount)}] if discount else [],
        "taxLines": [{"priceSet": money(tax)}] if tax else [],
        **fields,
    }


def a_refund(
    id: int = 1, *, amount: str = "10.00", lines: list[Node] | None = None, shipping: str | None = None, **fields: Any
) -> Node:
    """A refund; without `lines` an amount only."""
    return {
        "id": f"gid://shopify/Refund/{id}",
        "legacyResourceId": str(id),
        "note": None,
        "createdAt": "2026-11-20T11:00:00Z",
        "processedAt": "2026-11-20T11:00:00Z",
        "updatedAt": "2026-11-20T11:00:00Z",
        "totalRefundedSet": money(amount),
        "refundLineItems": {"nodes": lines or [], "pageInfo": {"hasNextPage": False, "endCursor": None}},
        "refundShippingLines": {
            "nodes": [{"id": "1", "subtotalAmountSet": money(shipping), "taxAmountSet": money("0.0")}]
            if shipping
            else []
        },
        **fields,
    }


def a_refund_line(line_id: int = 1, *, quantity: int = 1, subtotal: str = "10.00", tax: str = "0.00") -> Node:
    """A refunded line."""
    return {
        "id": f"gid://shopify/RefundLineItem/{line_id}",
        "quantity": quantity,
        "lineItem": {"id": f"gid://shopify/LineItem/{line_id}"},
        "subtotalSet": money(subtotal),
        "totalTaxSet": money(tax),
    }


def a_fulfillment(id: int = 1, *, tracking: list[Node] | None = None, **fields: Any) -> Node:
    """A fulfilment that was made and not yet delivered."""
    return {
        "id": f"gid://shopify/Fulfillment/{id}",
        "legacyResourceId": str(id),
        "status": "SUCCESS",
        "displayStatus": "IN_TRANSIT",
        "createdAt": "2026-11-20T11:30:00Z",
        "updatedAt": "2026-11-20T11:30:00Z",
        "deliveredAt": None,
        "estimatedDeliveryAt": None,
        "trackingInfo": tracking or [],
        **fields,
    }


def an_order(
    id: int = 1001,
    *,
    lines: list[Node] | None = None,
    subtotal: str | None = None,
    total: str | None = None,
    tax: str = "0.00",
    shipping: str = "0.00",
    refunded: str = "0.00",
    attributes: dict[str, str] | None = None,
    visit: Node | None = None,
    **fields: Any,
) -> Node:
    """A paid order of customer 501 with one line of 10.00; `subtotal` and `total` follow from the lines by default."""
    items = lines if lines is not None else [a_line(id * 10)]
    goods = sum(float(line["originalTotalSet"]["shopMoney"]["amount"]) for line in items) - sum(
        float(a["allocatedAmountSet"]["shopMoney"]["amount"]) for line in items for a in line["discountAllocations"]
    )
    return {
        "id": f"gid://shopify/Order/{id}",
        "legacyResourceId": str(id),
        "name": f"#{id}",
        "email": "Jane@Example.com ",
        "createdAt": PLACED_AT,
        "processedAt": PLACED_AT,
        "updatedAt": PLACED_AT,
        "cancelledAt": None,
        "cancelReason": None,
        "closedAt": None,
        "test": False,
        "confirmed": True,
        "currencyCode": "USD",
        "taxesIncluded": False,
        "displayFinancialStatus": "PAID",
        "displayFulfillmentStatus": "UNFULFILLED",
        "note": None,
        "tags": [],
        "discountCodes": [],
        "sourceName": "web",
        "checkoutToken": f"token-{id}",
        "customAttributes": [{"key": key, "value": value} for key, value in (attributes or {}).items()],
        "customer": {"id": "gid://shopify/Customer/501", "legacyResourceId": "501"},
        "totalPriceSet": money(total if total is not None else f"{goods:.2f}"),
        "subtotalPriceSet": money(subtotal if subtotal is not None else f"{goods:.2f}"),
        "totalDiscountsSet": money("0.00"),
        "totalTaxSet": money(tax),
        "totalShippingPriceSet": money(shipping),
        "totalRefundedSet": money(refunded),
        "shippingAddress": None,
        "billingAddress": None,
        "customerJourneySummary": {"ready": True, "lastVisit": visit},
        "fulfillments": [],
        "lineItems": {"nodes": items, "pageInfo": {"hasNextPage": False, "endCursor": None}},
        "refunds": [],
        **fields,
    }


def order_e1(id: int = 1001, **fields: Any) -> Node:
    """The worked example: A 2 x 50.00 less 10.00, B 1 x 30.00 less 3.00, tax 9.36 on top, shipping 5.95: 132.31."""
    lines = [
        a_line(id * 10 + 1, quantity=2, price="50.00", discount="10.00", tax="7.20"),
        a_line(id * 10 + 2, quantity=1, price="30.00", discount="3.00", tax="2.16"),
    ]
    return an_order(
        id,
        **{"lines": lines, "subtotal": "117.00", "tax": "9.36", "shipping": "5.95", "total": "132.31", **fields},
    )
