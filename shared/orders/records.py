"""An order of Shopify between its answer and our tables: plain values, no database, no vendor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class RefundLine:
    """A refunded line as Shopify tells it; `subtotal_cents` includes the tax where the order's prices do."""

    line_id: str
    quantity: int
    subtotal_cents: int
    tax_cents: int


@dataclass(frozen=True, slots=True)
class RefundRecord:
    """A refund. `lines` is None when only its head is known (a bulk file); `amount_cents` is what was paid back."""

    legacy_id: str
    amount_cents: int
    currency: str
    reason: str | None
    created_at: str
    processed_at: str | None
    updated_at: str
    lines: tuple[RefundLine, ...] | None
    shipping_cents: int = 0
    shipping_tax_cents: int = 0

    @property
    def tax_cents(self) -> int:
        """Tax given back, on goods and shipping."""
        return self.shipping_tax_cents + sum(line.tax_cents for line in self.lines or ())

    def line_amount(self, line: RefundLine, taxes_included: bool) -> int:
        """Goods without tax: the unit of net sales."""
        return line.subtotal_cents - (line.tax_cents if taxes_included else 0)

    def goods_cents(self, *, taxes_included: bool, net_sales_cents: int, total_cents: int) -> int:
        """The part of net sales that this refund gives back.

        Of a refund without lines (an amount only): (amount * net sales + total // 2) // total, 0 when total is 0.
        The payouts compute a creator's entitlement with the same formula; the two must agree to the cent.
        """
        if self.lines:
            return sum(self.line_amount(line, taxes_included) for line in self.lines)
        return (self.amount_cents * net_sales_cents + total_cents // 2) // total_cents if total_cents else 0


@dataclass(frozen=True, slots=True)
class FulfillmentRecord:
    """A fulfilment. `status` and `shipment_status` are Shopify's words in lower case."""

    legacy_id: str
    status: str
    shipment_status: str | None
    created_at: datetime
    delivered_at: datetime | None
    estimated_delivery_at: datetime | None
    tracking_company: str | None
    tracking_number: str | None
    tracking_url: str | None

    @property
    def live(self) -> bool:
        """Not cancelled, failed or open."""
        return self.status == "success"

    @property
    def delivered(self) -> bool:
        return self.delivered_at is not None or self.shipment_status == "delivered"


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """An order ready to be stored. `columns` are those of table orders, JSON-ready; `columns_json` is their text.

    `content_hash` covers everything mapped but the lines of refunds, which never change once their refund exists; so a
    bulk file, which cannot hold them, and a single answer have one hash.
    """

    legacy_id: str
    updated_at: datetime
    placed_at: datetime
    test: bool
    taxes_included: bool
    cancel_reason: str | None
    totals_mismatch: bool
    columns: Mapping[str, Any]
    columns_json: str
    content_hash: str
    fulfillments: tuple[FulfillmentRecord, ...]
    fulfillments_complete: bool
    refunds: tuple[RefundRecord, ...]
    refund_details: bool

    @property
    def lacks_details(self) -> bool:
        """Whether refunds exist whose lines this record does not know."""
        return bool(self.refunds) and not self.refund_details

    @property
    def goods_refunded_cents(self) -> int:
        """Net sales given back by all refunds; only meaningful with their details."""
        return sum(
            refund.goods_cents(
                taxes_included=self.taxes_included,
                net_sales_cents=self.columns["net_sales_cents"],
                total_cents=self.columns["total_cents"],
            )
            for refund in self.refunds
        )
