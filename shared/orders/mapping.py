"""How an order of Shopify reads in our tables: every column, computed from the GraphQL node alone.

Money is the shop's currency. Per line: net = gross - discount - (the tax, where prices include it). Per order:
gross sales - discounts = net sales: goods only, without tax and shipping, before refunds.

    status  first match wins: cancelled, refunded, delivered (fully fulfilled, every live fulfilment delivered),
            shipped (fulfilled), processing (partly fulfilled, in progress), confirmed (paid in part or whole), pending

Fields: https://shopify.dev/docs/api/admin-graphql/2026-10/objects/Order, looked at 2026-11.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from shared.ids import legacy_id
from shared.jobs.errors import Permanent
from shared.money import cents
from shared.orders.attribution_data import attribution_data
from shared.orders.records import FulfillmentRecord, OrderRecord, RefundLine, RefundRecord

__all__ = ["FulfillmentRecord", "OrderRecord", "RefundLine", "RefundRecord", "map_order", "map_refund"]

Node = Mapping[str, Any]

MAX_CENTS = 2_147_483_647
"""Largest value of the money columns (integer)."""
MAX_REASON = 500
"""Characters kept of a refund's note."""
FULFILLMENTS_LISTED = 50
"""A node lists at most so many fulfilments in a bulk file: with so many, others may exist."""

FINANCIAL_STATUS = {
    None: "pending",
    "AUTHORIZED": "authorized",
    "EXPIRED": "voided",
    "PAID": "paid",
    "PARTIALLY_PAID": "partially_paid",
    "PARTIALLY_REFUNDED": "partially_refunded",
    "PENDING": "pending",
    "REFUNDED": "refunded",
    "VOIDED": "voided",
}
FULFILLMENT_STATUS = {
    "FULFILLED": "fulfilled",
    "FULFILLMENT_NOT_REQUIRED": "fulfilled",
    "PARTIALLY_FULFILLED": "partial",
}
"""Everything else is unfulfilled."""
FULFILLMENT_HASH = tuple(field.name for field in fields(FulfillmentRecord))
REFUND_HASH = ("legacy_id", "amount_cents", "currency", "reason", "created_at", "processed_at", "updated_at")
"""What the content hash sees of the parts: of a refund not the lines, which a bulk file cannot hold."""
ADDRESS = {
    "firstName": "firstName",
    "lastName": "lastName",
    "company": "company",
    "address1": "address1",
    "address2": "address2",
    "city": "city",
    "province": "province",
    "provinceCode": "provinceCode",
    "country": "country",
    "countryCode": "countryCodeV2",
    "zip": "zip",
    "phone": "phone",
}
"""Our key -> Shopify's field."""


def map_order(node: Node, *, refund_details: bool = True) -> OrderRecord:
    """The order of a GraphQL node with all its children.

    `refund_details` False: refunds come without their lines (the root line of a bulk file).
    Raises Permanent AMOUNT_OUT_OF_RANGE (an amount outside 0..2,147,483,647) or ORDER_UNMAPPABLE (a field is missing
    or not of its type); both name the order by its id only.
    """
    try:
        return _map(node, refund_details)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        field = f" {error.args[0]}" if isinstance(error, KeyError) else ""
        raise Permanent("ORDER_UNMAPPABLE", f"{_name(node)}: {type(error).__name__}{field}") from error


def map_refund(node: Node, *, details: bool = True) -> RefundRecord:
    """The refund of a GraphQL node, with its lines if `details`. Raises Permanent like map_order."""
    try:
        refund = _refund(node, details)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Permanent("ORDER_UNMAPPABLE", f"refund {_name(node)}: {type(error).__name__}") from error
    _check_range(f"refund {refund.legacy_id}", _amounts(refund))
    return refund


def _name(node: Node) -> str:
    return str(node.get("legacyResourceId") or node.get("id")) if isinstance(node, Mapping) else "?"


def _map(node: Node, refund_details: bool) -> OrderRecord:
    id = legacy_id(node["legacyResourceId"])
    taxes_included = bool(node["taxesIncluded"])
    lines = [_line(line, taxes_included) for line in _nodes(node["lineItems"])]
    money, totals_mismatch = _money(node, lines, taxes_included)
    _check_range(f"order {id}", (money.values(), *(line.values() for line in lines)))
    fulfillments = tuple(_fulfillment(f) for f in node.get("fulfillments") or ())
    refunds = tuple(_refund(r, refund_details) for r in node.get("refunds") or ())
    for refund in refunds:
        _check_range(f"order {id}", _amounts(refund))
    columns = {
        "legacy_id": id,
        **_facts(node),
        **_state(node, fulfillments),
        **money,
        "line_items": lines,
        **_marketing(node),
    }
    text = _canonical(columns)
    parts = [_parts(FULFILLMENT_HASH, f) for f in fulfillments] + [_parts(REFUND_HASH, r) for r in refunds]
    return OrderRecord(
        legacy_id=id,
        updated_at=_instant(node["updatedAt"]),
        placed_at=_instant(node["processedAt"]),
        test=bool(node["test"]),
        taxes_included=taxes_included,
        cancel_reason=(node.get("cancelReason") or "").lower() or None,
        totals_mismatch=totals_mismatch,
        columns=columns,
        columns_json=text,
        content_hash=hashlib.sha256((text + _canonical(parts)).encode()).hexdigest(),
        fulfillments=fulfillments,
        fulfillments_complete=len(fulfillments) != FULFILLMENTS_LISTED,
        refunds=refunds,
        refund_details=refund_details or not refunds,
    )


def _line(node: Node, taxes_included: bool) -> dict[str, Any]:
    gross = _cents(node["originalTotalSet"])
    discount = sum(_cents(a["allocatedAmountSet"]) for a in node["discountAllocations"])
    tax = sum(_cents(t["priceSet"]) for t in node["taxLines"])
    plan = node.get("sellingPlan")
    return {
        "id": _digits(node["id"]),
        "productId": _id_of(node.get("product")),
        "variantId": _id_of(node.get("variant")),
        "title": node["title"],
        "variantTitle": node.get("variantTitle"),
        "sku": node.get("sku"),
        "quantity": node["quantity"],
        "currentQuantity": node["currentQuantity"],
        "priceCents": _cents(node["originalUnitPriceSet"]),
        "discountCents": discount,
        "taxCents": tax,
        "netCents": gross - discount - (tax if taxes_included else 0),
        "isGiftCard": node["isGiftCard"],
        "requiresShipping": node["requiresShipping"],
        "sellingPlanId": _digits(plan["sellingPlanId"]) if plan and plan.get("sellingPlanId") else None,
    }


def _money(node: Node, lines: Sequence[Mapping[str, Any]], taxes_included: bool) -> tuple[dict[str, int], bool]:
    """The money columns, and whether the lines disagree with Shopify's subtotal by more than a cent per line.

    Where they do (an order that was edited), the subtotal wins: it is what the customer paid for the goods.
    """
    included = sum(line["taxCents"] for line in lines) if taxes_included else 0
    discount = sum(line["discountCents"] for line in lines)
    net = sum(line["netCents"] for line in lines)
    subtotal = net + discount
    told = _cents(node["subtotalPriceSet"])
    mismatch = abs(net + included - told) > len(lines)
    if mismatch:
        net = max(0, told - included)
        discount = max(0, subtotal - net)
    tax, total = _cents(node["totalTaxSet"]), _cents(node["totalPriceSet"])
    return {
        "subtotal_cents": subtotal,
        "gross_sales_cents": subtotal,
        "discount_cents": discount,
        "discounts_cents": discount,
        "net_sales_cents": net,
        "tax_cents": tax,
        "taxes_cents": tax,
        "shipping_cents": _cents(node["totalShippingPriceSet"]),
        "total_cents": total,
        "total_price_cents": total,
        "refunded_cents": _cents(node["totalRefundedSet"]),
    }, mismatch


def _facts(node: Node) -> dict[str, Any]:
    name = node["name"] or legacy_id(node["legacyResourceId"])
    customer = node.get("customer")
    _instant(node["createdAt"])
    return {
        "order_number": name,
        "shopify_order_number": name,
        "customer_id": legacy_id(customer.get("legacyResourceId") or customer["id"]) if customer else None,
        "customer_email": (node.get("email") or "").strip().lower() or None,
        "currency": node["totalPriceSet"]["shopMoney"]["currencyCode"],
        "shipping_address": _address(node.get("shippingAddress")),
        "billing_address": _address(node.get("billingAddress")),
        "notes": node.get("note"),
        "tags": list(node.get("tags") or ()),
        "source_name": node.get("sourceName"),
        "discount_codes": [str(code) for code in node.get("discountCodes") or ()],
        "created_at": node["createdAt"],
        "order_placed_at": node["processedAt"],
    }


def _state(node: Node, fulfillments: Sequence[FulfillmentRecord]) -> dict[str, Any]:
    financial = FINANCIAL_STATUS[node.get("displayFinancialStatus")]
    shown = node.get("displayFulfillmentStatus")
    fulfillment = FULFILLMENT_STATUS.get(str(shown), "unfulfilled")
    live = [f for f in fulfillments if f.live]
    cancelled_at = node.get("cancelledAt")
    if cancelled_at:
        _instant(cancelled_at)
    status = _status(bool(cancelled_at), financial, str(shown), bool(live) and all(f.delivered for f in live))
    fulfilled = [f.created_at for f in live] if fulfillment == "fulfilled" else []
    delivered = [f.delivered_at for f in live if f.delivered_at] if status == "delivered" else []
    return {
        "status": status,
        "financial_status": financial,
        "fulfillment_status": fulfillment,
        "cancelled_at": cancelled_at,
        "fulfilled_at": max(fulfilled).isoformat() if fulfilled else None,
        "delivered_at": max(delivered).isoformat() if delivered else None,
    }


def _status(cancelled: bool, financial: str, shown: str, all_delivered: bool) -> str:
    if cancelled:
        return "cancelled"
    if financial == "refunded":
        return "refunded"
    if shown == "FULFILLED":
        return "delivered" if all_delivered else "shipped"
    if shown in ("PARTIALLY_FULFILLED", "IN_PROGRESS"):
        return "processing"
    return "confirmed" if financial in ("paid", "partially_paid", "partially_refunded") else "pending"


def _marketing(node: Node) -> dict[str, Any]:
    data = attribution_data(node)
    return {
        "attribution_data": data,
        "utm_source": data.get("utmSource"),
        "utm_medium": data.get("utmMedium"),
        "utm_campaign": data.get("utmCampaign"),
    }


def _fulfillment(node: Node) -> FulfillmentRecord:
    trackings = node.get("trackingInfo") or ()
    tracking = next((t for t in trackings if t.get("number")), trackings[0] if trackings else {})
    shown = node.get("displayStatus")
    return FulfillmentRecord(
        legacy_id=legacy_id(node["legacyResourceId"]),
        status=node["status"].lower(),
        shipment_status=shown.lower() if shown else None,
        created_at=_instant(node["createdAt"]),
        delivered_at=_optional_instant(node.get("deliveredAt")),
        estimated_delivery_at=_optional_instant(node.get("estimatedDeliveryAt")),
        tracking_company=tracking.get("company"),
        tracking_number=tracking.get("number"),
        tracking_url=tracking.get("url"),
    )


def _refund(node: Node, details: bool) -> RefundRecord:
    shipping = _nodes(node.get("refundShippingLines") or ()) if details else ()
    processed_at = node.get("processedAt")
    # An open refund has no createdAt yet; its order saw it when it was last changed.
    created_at = node.get("createdAt") or node["updatedAt"]
    for instant in (created_at, processed_at or created_at):
        _instant(instant)
    return RefundRecord(
        legacy_id=legacy_id(node["legacyResourceId"]),
        amount_cents=_cents(node["totalRefundedSet"]),
        currency=node["totalRefundedSet"]["shopMoney"]["currencyCode"],
        reason=(node.get("note") or "")[:MAX_REASON] or None,
        created_at=created_at,
        processed_at=processed_at,
        updated_at=node["updatedAt"],
        lines=tuple(_refund_line(line) for line in _nodes(node["refundLineItems"])) if details else None,
        shipping_cents=sum(_cents(line["subtotalAmountSet"]) for line in shipping),
        shipping_tax_cents=sum(_cents(line["taxAmountSet"]) for line in shipping),
    )


def _refund_line(node: Node) -> RefundLine:
    return RefundLine(
        line_id=_digits(node["lineItem"]["id"]),
        quantity=node["quantity"],
        subtotal_cents=_cents(node["subtotalSet"]),
        tax_cents=_cents(node["totalTaxSet"]),
    )


def _parts(names: Sequence[str], part: FulfillmentRecord | RefundRecord) -> list[str]:
    return [str(getattr(part, name)) for name in names]


def _nodes(connection: Any) -> Sequence[Node]:
    """Children of a connection, or of a plain list as bulk files have them."""
    nodes: Sequence[Node] = connection["nodes"] if isinstance(connection, Mapping) else connection
    return nodes


def _cents(bag: Node) -> int:
    return cents(bag["shopMoney"]["amount"])


def _amounts(refund: RefundRecord) -> Iterator[Iterable[int]]:
    yield refund.amount_cents, refund.shipping_cents, refund.shipping_tax_cents, refund.tax_cents
    for line in refund.lines or ():
        yield line.subtotal_cents, line.tax_cents


def _check_range(name: str, groups: Iterable[Iterable[Any]]) -> None:
    for group in groups:
        for value in group:
            if type(value) is int and not 0 <= value <= MAX_CENTS:
                raise Permanent("AMOUNT_OUT_OF_RANGE", name)


def _digits(gid: str) -> str:
    tail = gid.rpartition("/")[2]
    return tail if tail.isdigit() and tail.isascii() else legacy_id(gid)


def _id_of(node: Node | None) -> str | None:
    return _digits(node["id"]) if node else None


def _address(node: Node | None) -> dict[str, Any] | None:
    return {key: node.get(field) for key, field in ADDRESS.items()} if node else None


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        raise ValueError("an instant without zone")
    return instant


def _optional_instant(text: str | None) -> datetime | None:
    return _instant(text) if text else None


_canonical = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
