"""Order nodes in the shape of the schema, with totals that agree: what a test states is a handful of lines.

Amounts are decimal texts of the shop's currency ("50.00"). Totals follow the vendor: discounts are allocations of
the line, the subtotal is after discounts, taxes come on top unless `taxes_included`, refunds never change the
totals of the order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One line item: `quantity` pieces at `price` each; `discount` and `tax` are of the whole line."""

    price: str = "10.00"
    quantity: int = 1
    discount: str = "0.00"
    tax: str | None = None  # None: its share of the order's tax
    title: str = "Album"
    variant_title: str | None = None
    sku: str | None = None
    product_id: int | None = 7001
    variant_id: int | None = 8001
    gift_card: bool = False
    requires_shipping: bool = True
    selling_plan: tuple[int, str] | None = None
    id: int | None = None


@dataclass(frozen=True)
class Refund:
    """A refund of `items` (place of the line, pieces), of shipping, or of a mere `amount`."""

    items: Sequence[tuple[int, int]] = ()
    amount: str | None = None
    shipping: str = "0.00"
    at: datetime | None = None
    note: str | None = None
    restock: bool = True
    id: int | None = None


@dataclass(frozen=True)
class Fulfilment:
    """A shipment of the whole order. `delivered_at` set: it arrived."""

    at: datetime | None = None
    delivered_at: datetime | None = None
    status: str = "SUCCESS"
    display_status: str | None = None
    estimated_at: datetime | None = None
    tracking: tuple[str, str] | None = ("UPS", "1Z999AA10123456784")
    id: int | None = None


@dataclass
class OrderDraft:
    """What `Shop.order(...)` takes; everything has a default."""

    legacy_id: int
    created_at: datetime
    currency: str = "USD"
    lines: Sequence[Line] = (Line(),)
    shipping: str = "0.00"
    tax: str = "0.00"
    taxes_included: bool = False
    codes: Sequence[str] = ()
    refunds: Sequence[Refund] = ()
    fulfilments: Sequence[Fulfilment] = ()
    name: str | None = None
    email: str | None = "buyer@example.com"
    customer_id: int | None = 6001
    processed_at: datetime | None = None
    updated_at: datetime | None = None
    cancelled_at: datetime | None = None
    cancel_reason: str | None = None
    closed_at: datetime | None = None
    financial_status: str | None = None
    fulfillment_status: str | None = None
    test: bool = False
    note: str | None = None
    tags: Sequence[str] = ()
    source_name: str | None = "web"
    attributes: Mapping[str, str] = field(default_factory=dict)
    landing_page: str | None = None
    referrer: str | None = None
    utm: Mapping[str, str] = field(default_factory=dict)
    address: Mapping[str, str | None] | None = None


def gid(kind: str, legacy_id: int | str) -> str:
    """The global id of an object."""
    return f"gid://shopify/{kind}/{legacy_id}"


def instant(at: datetime) -> str:
    """An instant as the vendor writes it: UTC, whole seconds, Z."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def cents(text: str) -> int:
    """Hundredths of a decimal text, rounded half up."""
    return int((Decimal(text) * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def amount(hundredths: int) -> str:
    """The vendor's decimal text: no needless zero at the end, one digit after the point at least ("12.5", "10.0")."""
    whole, rest = divmod(abs(hundredths), 100)
    sign = "-" if hundredths < 0 else ""
    return f"{sign}{whole}.{rest // 10}" if rest % 10 == 0 else f"{sign}{whole}.{rest:02d}"


def money(hundredths: int, currency: str) -> Json:
    """A MoneyBag in shop currency only."""
    value = {"amount": amount(hundredths), "currencyCode": currency}
    return {"shopMoney": value, "presentmentMoney": value}


def share(total: int, weights: Sequence[int]) -> list[int]:
    """`total` divided by the weights, to the cent; what rounding leaves over goes to the largest remainders."""
    whole = sum(weights)
    if whole == 0:
        return [total if at == 0 else 0 for at in range(len(weights))]
    parts = [total * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda at: (-(total * weights[at] % whole), at))
    for at in by_remainder[: total - sum(parts)]:
        parts[at] += 1
    return parts


def order_node(draft: OrderDraft) -> Json:
    """The node of the draft: all its line items, refunds and fulfilments inside."""
    currency = draft.currency
    lines = _line_nodes(draft)
    gross = sum(line["_gross"] for line in lines)
    discount = sum(line["_discount"] for line in lines)
    tax = sum(line["_tax"] for line in lines)
    subtotal, shipping = gross - discount, cents(draft.shipping)
    total = subtotal + shipping + (0 if draft.taxes_included else tax)
    refunds = [_refund_node(draft, refund, at, lines) for at, refund in enumerate(draft.refunds)]
    refunded = sum(refund["_total"] for refund in refunds)
    fulfilments = [_fulfilment_node(draft, each, at) for at, each in enumerate(draft.fulfilments)]
    return {
        **_head(draft),
        "displayFinancialStatus": draft.financial_status or _financial_status(refunded, total),
        "displayFulfillmentStatus": draft.fulfillment_status or ("FULFILLED" if fulfilments else "UNFULFILLED"),
        "totalPriceSet": money(total, currency),
        "subtotalPriceSet": money(subtotal, currency),
        "totalDiscountsSet": money(discount, currency),
        "totalTaxSet": money(tax, currency),
        "totalShippingPriceSet": money(shipping, currency),
        "totalRefundedSet": money(refunded, currency),
        "currentTotalPriceSet": money(total - refunded, currency),
        "lineItems": {"nodes": [_public(line) for line in lines]},
        "refunds": [_public(refund) for refund in refunds],
        "fulfillments": fulfilments,
    }


def _head(draft: OrderDraft) -> Json:
    """Everything of the node that is no sum and no child."""
    return {
        "__typename": "Order",
        "id": gid("Order", draft.legacy_id),
        "legacyResourceId": str(draft.legacy_id),
        "name": draft.name or f"#{draft.legacy_id}",
        "email": draft.email,
        "createdAt": instant(draft.created_at),
        "processedAt": instant(draft.processed_at or draft.created_at),
        "updatedAt": instant(draft.updated_at or _last_change(draft)),
        "cancelledAt": instant(draft.cancelled_at) if draft.cancelled_at else None,
        "cancelReason": draft.cancel_reason or ("CUSTOMER" if draft.cancelled_at else None),
        "closedAt": instant(draft.closed_at) if draft.closed_at else None,
        "closed": draft.closed_at is not None,
        "test": draft.test,
        "confirmed": True,
        "currencyCode": draft.currency,
        "presentmentCurrencyCode": draft.currency,
        "taxesIncluded": draft.taxes_included,
        "note": draft.note,
        "tags": list(draft.tags),
        "discountCodes": list(draft.codes),
        "discountCode": draft.codes[0] if draft.codes else None,
        "sourceName": draft.source_name,
        "checkoutToken": f"checkout-{draft.legacy_id}",
        "customAttributes": [{"key": key, "value": value} for key, value in draft.attributes.items()],
        "customer": customer_node(draft.customer_id, draft.email) if draft.customer_id else None,
        "shippingAddress": _address(draft, "shipping"),
        "billingAddress": _address(draft, "billing"),
        "customerJourneySummary": journey_node(draft),
    }


def customer_node(legacy_id: int, email: str | None) -> Json:
    """The customer as an order shows it."""
    return {
        "__typename": "Customer",
        "id": gid("Customer", legacy_id),
        "legacyResourceId": str(legacy_id),
        "email": email,
        "firstName": "Ada",
        "lastName": "Buyer",
        "displayName": "Ada Buyer",
        "tags": [],
    }


def journey_node(draft: OrderDraft) -> Json:
    """customerJourneySummary: ready, with the last visit when a landing page is known."""
    visit = None
    if draft.landing_page is not None:
        utm = {key: draft.utm.get(key) for key in ("source", "medium", "campaign", "content", "term")}
        visit = {
            "id": gid("CustomerVisit", draft.legacy_id),
            "landingPage": draft.landing_page,
            "referrerUrl": draft.referrer,
            "source": utm["source"] or "direct",
            "occurredAt": instant(draft.created_at),
            "utmParameters": utm if any(utm.values()) else None,
        }
    return {"ready": True, "lastVisit": visit, "firstVisit": visit}


def _line_nodes(draft: OrderDraft) -> list[Json]:
    nets = [cents(line.price) * line.quantity - cents(line.discount) for line in draft.lines]
    taxes = share(cents(draft.tax), nets)
    returned = [0] * len(nets)
    for refund in draft.refunds:
        for at, pieces in refund.items:
            returned[at] += pieces
    return [
        line_node(
            line, line.id or draft.legacy_id * 1000 + at + 1, draft.currency, tax=taxes[at], returned=returned[at]
        )
        for at, line in enumerate(draft.lines)
    ]


def line_node(line: Line, legacy_id: int, currency: str, *, tax: int = 0, returned: int = 0) -> Json:
    """One LineItem. Keys with an underscore are sums for the order's totals, in cents; they never leave the builder."""
    unit, discount = cents(line.price), cents(line.discount)
    gross = unit * line.quantity
    tax = tax if line.tax is None else cents(line.tax)
    return {
        "__typename": "LineItem",
        "id": gid("LineItem", legacy_id),
        "title": line.title,
        "name": line.title,
        "variantTitle": line.variant_title,
        "sku": line.sku,
        "quantity": line.quantity,
        "currentQuantity": line.quantity - returned,
        "isGiftCard": line.gift_card,
        "requiresShipping": line.requires_shipping,
        "product": {"id": gid("Product", line.product_id)} if line.product_id else None,
        "variant": {"id": gid("ProductVariant", line.variant_id)} if line.variant_id else None,
        "sellingPlan": _selling_plan(line),
        "originalUnitPriceSet": money(unit, currency),
        "originalTotalSet": money(gross, currency),
        "discountedTotalSet": money(gross - discount, currency),
        "discountAllocations": [{"allocatedAmountSet": money(discount, currency)}] if discount else [],
        "taxLines": [{"title": "Tax", "rate": None, "priceSet": money(tax, currency)}] if tax else [],
        "_gross": gross,
        "_discount": discount,
        "_tax": tax,
    }


def _selling_plan(line: Line) -> Json | None:
    if line.selling_plan is None:
        return None
    return {"sellingPlanId": gid("SellingPlan", line.selling_plan[0]), "name": line.selling_plan[1]}


def _refund_node(draft: OrderDraft, refund: Refund, at: int, lines: Sequence[Json]) -> Json:
    legacy_id = refund.id or draft.legacy_id * 100 + at + 1
    items, goods, tax = [], 0, 0
    for place, (line_at, pieces) in enumerate(refund.items):
        line = lines[line_at]
        part = _half_up((line["_gross"] - line["_discount"]) * pieces, line["quantity"])
        part_tax = _half_up(line["_tax"] * pieces, line["quantity"])
        goods, tax = goods + part, tax + part_tax
        items.append(refund_line_node(legacy_id * 100 + place + 1, line["id"], pieces, part, part_tax, draft.currency))
    shipping = cents(refund.shipping)
    total = goods + shipping + (0 if draft.taxes_included else tax)
    total = cents(refund.amount) if refund.amount is not None else total
    when = instant(refund.at or draft.created_at)
    return refund_node(legacy_id, draft.legacy_id, when, total, draft.currency, items, shipping, refund.note)


def refund_node(
    legacy_id: int,
    order_id: int,
    when: str,
    total: int,
    currency: str,
    items: list[Json],
    shipping: int,
    note: str | None,
) -> Json:
    """One Refund; `total` and `shipping` in cents, `when` as the vendor writes instants."""
    shipped = {
        "id": gid("RefundShippingLine", legacy_id),
        "subtotalAmountSet": money(shipping, currency),
        "taxAmountSet": money(0, currency),
    }
    return {
        "__typename": "Refund",
        "id": gid("Refund", legacy_id),
        "legacyResourceId": str(legacy_id),
        "note": note,
        "createdAt": when,
        "processedAt": when,
        "updatedAt": when,
        "totalRefundedSet": money(total, currency),
        "order": {"id": gid("Order", order_id), "legacyResourceId": str(order_id)},
        "refundLineItems": {"nodes": items},
        "refundShippingLines": {"nodes": [shipped] if shipping else []},
        "_total": total,
    }


def refund_line_node(legacy_id: int, line_id: str, pieces: int, subtotal: int, tax: int, currency: str) -> Json:
    """One RefundLineItem; sums in cents."""
    return {
        "id": gid("RefundLineItem", legacy_id),
        "quantity": pieces,
        "restockType": "RETURN",
        "lineItem": {"id": line_id},
        "subtotalSet": money(subtotal, currency),
        "totalTaxSet": money(tax, currency),
    }


def _fulfilment_node(draft: OrderDraft, each: Fulfilment, at: int) -> Json:
    delivered, sent = each.delivered_at, each.at or draft.created_at
    return fulfilment_node(
        each.id or draft.legacy_id * 10 + at + 1,
        status=each.status,
        display_status=each.display_status or ("DELIVERED" if delivered else "FULFILLED"),
        created_at=instant(sent),
        updated_at=instant(delivered or sent),
        delivered_at=instant(delivered) if delivered else None,
        estimated_at=instant(each.estimated_at) if each.estimated_at else None,
        tracking=each.tracking,
    )


def fulfilment_node(
    legacy_id: int,
    *,
    status: str,
    display_status: str,
    created_at: str,
    updated_at: str,
    delivered_at: str | None,
    estimated_at: str | None,
    tracking: tuple[str, str] | None,
) -> Json:
    """One Fulfillment; tracking is (company, number)."""
    info = []
    if tracking:
        info = [{"company": tracking[0], "number": tracking[1], "url": f"https://track.example.com/{tracking[1]}"}]
    return {
        "__typename": "Fulfillment",
        "id": gid("Fulfillment", legacy_id),
        "legacyResourceId": str(legacy_id),
        "name": f"#{legacy_id}",
        "status": status,
        "displayStatus": display_status,
        "createdAt": created_at,
        "updatedAt": updated_at,
        "deliveredAt": delivered_at,
        "estimatedDeliveryAt": estimated_at,
        "trackingInfo": info,
    }


def _address(draft: OrderDraft, which: str) -> Json | None:
    if draft.address is None:
        return None
    keys = ("firstName", "lastName", "company", "address1", "address2", "city", "province", "provinceCode", "country")
    known = {key: draft.address.get(key) for key in (*keys, "countryCodeV2", "zip", "phone")}
    return {"__typename": "MailingAddress", "id": gid("MailingAddress", f"{draft.legacy_id}-{which}"), **known}


def _last_change(draft: OrderDraft) -> datetime:
    moments = [draft.created_at, draft.cancelled_at, draft.closed_at]
    moments += [refund.at for refund in draft.refunds]
    moments += [at for each in draft.fulfilments for at in (each.at, each.delivered_at)]
    return max(at for at in moments if at is not None)


def _financial_status(refunded: int, total: int) -> str:
    if refunded <= 0:
        return "PAID"
    return "REFUNDED" if refunded >= total else "PARTIALLY_REFUNDED"


def _half_up(numerator: int, denominator: int) -> int:
    return (2 * numerator + denominator) // (2 * denominator)


def _public(node: Json) -> Json:
    return {key: value for key, value in node.items() if key == "__typename" or not key.startswith("_")}
