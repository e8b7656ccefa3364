"""One purchase of the CDNOW log as an order of the Shopify schema. The rules are told in cdnow.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from shared.fakes.shopify.builders import fulfilment_node, gid, money, refund_line_node, refund_node, share

DAY_S = 86_400
ALBUMS = 400
FIRST_PRODUCT, FIRST_VARIANT = 70_000, 80_000
"""Album n is product 70,000 + n, its CD variant 80,000 + n."""
Json = dict[str, Any]

# (% of the customers, path and query, utm source, medium, campaign); {click} becomes a click id of the customer.
_LINKS = (
    (14, "/?utm_source=google&utm_medium=cpc&utm_campaign=brand&gclid={click}", "google", "cpc", "brand"),
    (12, "/?utm_source=facebook&utm_medium=paid&utm_campaign=spring&fbclid={click}", "facebook", "paid", "spring"),
    (7, "/new?utm_source=tiktok&utm_medium=paid&utm_campaign=launch&ttclid={click}", "tiktok", "paid", "launch"),
    (7, "/sale?utm_source=klaviyo&utm_medium=email&utm_campaign=weekly", "klaviyo", "email", "weekly"),
)
_CITIES = (
    ("New York", "NY", "10001"),
    ("Chicago", "IL", "60601"),
    ("Austin", "TX", "73301"),
    ("Portland", "OR", "97201"),
)


class Fate(NamedTuple):
    """What became of one order; instants in seconds since 1970, 0 = has not happened."""

    code: str | None
    cancelled_s: int
    voided: bool
    refund: str  # "", "full" or "part"
    refunded_s: int
    sent_s: int
    delivered_s: int

    def updated_s(self, created_s: int) -> int:
        """The last thing that happened to the order; payment is captured a minute after it was placed."""
        return max(created_s + 60, self.cancelled_s, self.refunded_s, self.sent_s, self.delivered_s)


@dataclass
class CdnowOrder:
    """One purchase, and what became of it."""

    legacy_id: int
    number: int  # of the name: #1001
    customer: int  # number in the log
    customer_id: int
    cds: int
    total: int  # cents
    created_s: int
    fate: Fate
    currency: str
    lines: list[Json] = field(default_factory=list)
    nets: list[int] = field(default_factory=list)  # of the lines, cents after discount

    def node(self) -> Json:
        """The order in the shape of the schema; parts are shared between orders, copy what you want to change."""
        self._make_lines()
        return {
            "__typename": "Order",
            "id": gid("Order", self.legacy_id),
            "legacyResourceId": str(self.legacy_id),
            "name": f"#{self.number}",
            "email": f"buyer-{self.customer}@example.com",
            **self._instants(),
            **self._states(),
            **self._sums(),
            "customer": self._customer(),
            **self._origin(),
            **self._addresses(),
            "lineItems": {"nodes": self.lines},
        }

    def _instants(self) -> Json:
        fate, created = self.fate, iso(self.created_s)
        return {
            "createdAt": created,
            "processedAt": created,
            "updatedAt": iso(fate.updated_s(self.created_s)),
            "cancelledAt": iso(fate.cancelled_s) if fate.cancelled_s else None,
            "cancelReason": "CUSTOMER" if fate.cancelled_s else None,
            "closedAt": iso(fate.delivered_s) if fate.delivered_s else None,
            "closed": bool(fate.delivered_s),
        }

    def _states(self) -> Json:
        fate = self.fate
        return {
            "test": False,
            "confirmed": True,
            "currencyCode": self.currency,
            "presentmentCurrencyCode": self.currency,
            "taxesIncluded": False,
            "displayFinancialStatus": self._financial_status(),
            "displayFulfillmentStatus": "FULFILLED" if fate.sent_s else "UNFULFILLED",
            "note": None,
            "tags": ["creator"] if fate.code else [],
            "discountCodes": [fate.code] if fate.code else [],
            "discountCode": fate.code,
            "sourceName": "web",
            "checkoutToken": f"cdnow{self.legacy_id:x}",
            "fulfillments": [self._fulfilment()] if fate.sent_s else [],
        }

    def _sums(self) -> Json:
        zero, total = _money(0, self.currency), _money(self.total, self.currency)
        refunds = [self._refund()] if self.fate.refund else []
        return {
            "totalPriceSet": total,
            "subtotalPriceSet": total,
            "totalDiscountsSet": _money(self.discount, self.currency),
            "totalTaxSet": zero,
            "totalShippingPriceSet": zero,
            "totalRefundedSet": refunds[0]["totalRefundedSet"] if refunds else zero,
            "refunds": refunds,
        }

    @property
    def discount(self) -> int:
        """A tenth off the list price: list = total + total // 9 leaves exactly `total` after the allocation."""
        return self.total // 9 if self.fate.code else 0

    def _customer(self) -> Json:
        return {
            "__typename": "Customer",
            "id": gid("Customer", self.customer_id),
            "legacyResourceId": str(self.customer_id),
            "email": f"buyer-{self.customer}@example.com",
            "firstName": "Buyer",
            "lastName": str(self.customer),
            "displayName": f"Buyer {self.customer}",
            "tags": [],
        }

    def _make_lines(self) -> None:
        gross = self.total + self.discount
        unit, left = divmod(gross, self.cds)
        pieces = [(self.cds, unit)] if left == 0 else [(self.cds - 1, unit), (1, unit + left)]
        discounts = share(self.discount, [count * price for count, price in pieces])
        returned = [0] * len(pieces)
        if self.fate.refund == "full":
            returned = [count for count, _ in pieces]
        elif self.fate.refund == "part" and self.cds > 1:
            returned[0] = 1
        for at, (count, price) in enumerate(pieces):
            self.nets.append(count * price - discounts[at])
            self.lines.append(self._line(at, count, price, discounts[at], returned[at]))

    def _line(self, at: int, count: int, unit: int, discount: int, returned: int) -> Json:
        currency, album = self.currency, 1 + mix(self.customer, self.legacy_id, 5) % ALBUMS
        allocated = [{"allocatedAmountSet": _money(discount, currency)}] if discount else []
        return {
            "__typename": "LineItem",
            "id": gid("LineItem", self.legacy_id * 10 + at + 1),
            "title": f"Album {album}",
            "name": f"Album {album}",
            "variantTitle": "CD",
            "sku": f"CD-{album:04d}",
            "quantity": count,
            "currentQuantity": count - returned,
            "isGiftCard": False,
            "requiresShipping": True,
            "product": {"id": gid("Product", FIRST_PRODUCT + album)},
            "variant": {"id": gid("ProductVariant", FIRST_VARIANT + album)},
            "sellingPlan": None,
            "originalUnitPriceSet": _money(unit, currency),
            "originalTotalSet": _money(unit * count, currency),
            "discountedTotalSet": _money(unit * count - discount, currency),
            "discountAllocations": allocated,
            "taxLines": [],
        }

    def _refund(self) -> Json:
        """Whole: every line. In part: one CD of the first line, or half the amount when there is only one CD."""
        refund_id, when = self.legacy_id * 10 + 5, iso(self.fate.refunded_s)
        returned = [(at, line["quantity"], self.nets[at]) for at, line in enumerate(self.lines)]
        total = self.total
        if self.fate.refund == "part":
            count = returned[0][1]
            # A second line exists only beside a first one, so more than one CD means that the first line can lose one.
            returned = [(0, 1, self.nets[0] // count)] if self.cds > 1 else []
            total = returned[0][2] if returned else self.total // 2
        items = [
            refund_line_node(refund_id * 10 + at, self.lines[at]["id"], count, part, 0, self.currency)
            for at, count, part in returned
        ]
        node = refund_node(refund_id, self.legacy_id, when, total, self.currency, items, 0, None)
        del node["_total"]
        return node

    def _fulfilment(self) -> Json:
        sent, delivered = self.fate.sent_s, self.fate.delivered_s
        return fulfilment_node(
            self.legacy_id * 10 + 7,
            status="SUCCESS",
            display_status="DELIVERED" if delivered else "IN_TRANSIT",
            created_at=iso(sent),
            updated_at=iso(delivered or sent),
            delivered_at=iso(delivered) if delivered else None,
            estimated_at=iso(sent + 4 * DAY_S),
            tracking=("USPS", f"94{self.legacy_id:018d}"),
        )

    def _financial_status(self) -> str:
        if self.fate.voided:
            return "VOIDED"
        return {"": "PAID", "full": "REFUNDED", "part": "PARTIALLY_REFUNDED"}[self.fate.refund]

    def _origin(self) -> Json:
        """How the customer came: cart attributes of the storefront and the vendor's own last visit."""
        attributes = [{"key": "_visitor_id", "value": f"visitor-{self.customer}"}]
        lot, visit = mix(self.customer, 0, 6) % 100, None
        for width, path, source, medium, campaign in _LINKS:
            if lot < width:
                page = "https://shop.example.com" + path.format(click=f"c{mix(self.customer, 0, 7):08x}")
                attributes.append({"key": "_landing_page", "value": page})
                utm = {"source": source, "medium": medium, "campaign": campaign, "content": None, "term": None}
                visit = {
                    "id": gid("CustomerVisit", self.legacy_id),
                    "landingPage": page,
                    "referrerUrl": f"https://www.{source}.example.com/",
                    "source": source,
                    "occurredAt": iso(self.created_s - 600),
                    "utmParameters": utm,
                }
                break
            lot -= width
        return {
            "customAttributes": attributes,
            "customerJourneySummary": {"ready": True, "lastVisit": visit, "firstVisit": visit},
        }

    def _addresses(self) -> Json:
        city, state, code = _CITIES[self.customer % len(_CITIES)]
        address = {
            "__typename": "MailingAddress",
            "id": gid("MailingAddress", self.customer_id),
            "firstName": "Buyer",
            "lastName": str(self.customer),
            "company": None,
            "address1": f"{self.customer} Main Street",
            "address2": None,
            "city": city,
            "province": state,
            "provinceCode": state,
            "country": "United States",
            "countryCodeV2": "US",
            "zip": code,
            "phone": None,
        }
        return {"shippingAddress": address, "billingAddress": address}


def mix(first: int, second: int, salt: int) -> int:
    """A fixed 32-bit hash of two small numbers: spreads evenly, equal on every machine."""
    value = (first * 0x9E3779B1 + second * 0x85EBCA6B + salt * 0xC2B2AE35) & 0xFFFFFFFF
    value = ((value ^ (value >> 15)) * 0x2C1B3C6D) & 0xFFFFFFFF
    value = ((value ^ (value >> 12)) * 0x297A2D39) & 0xFFFFFFFF
    return value ^ (value >> 15)


@lru_cache(maxsize=16_384)
def _money(hundredths: int, currency: str) -> Json:
    """The same few thousand amounts come again and again; the objects are shared and never changed."""
    return money(hundredths, currency)


def iso(moment_s: int) -> str:
    """An instant as the vendor writes it."""
    day, second = divmod(moment_s, DAY_S)
    return f"{_day(day)}T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z"


@lru_cache(maxsize=1024)
def _day(number: int) -> str:
    """ISO date of a day counted from 1970; an export asks for the same few hundred days again and again."""
    return (date(1970, 1, 1) + timedelta(days=number)).isoformat()
