"""Contracts of the order events: what is asked of the order jobs and what they tell the platform.

`orderId` is orders.id; a listener also takes a Shopify id there (number, digits or gid). Major-unit amounts
(totalAmount, refundAmount, orderTotal) come from older publishers and are informational: listeners read the rows.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import AwareDatetime, Field, model_validator

from shared.events.base import Event, VendorId

LIST_MAX = 10_000
"""Order ids in one batch message: bounds the payload to a few hundred KiB."""

OrderSource = Literal["webhook", "manual", "reconciliation", "app", "job"]


class OrderSync(Event, name="order.sync", from_apps=True):
    """Bring one order to Shopify's present state. One of orderId and shopifyOrderId is required."""

    order_id: VendorId | None = None
    shopify_order_id: VendorId | None = None
    source: OrderSource = "webhook"
    updated_at: AwareDatetime | None = None
    """The webhook's updated_at; lets the job skip what it already has."""

    @model_validator(mode="after")
    def _names_an_order(self) -> Self:
        if self.order_id is None and self.shopify_order_id is None:
            raise ValueError("orderId or shopifyOrderId is required")
        return self


class OrderSyncBatch(Event, name="order.syncBatch", from_apps=True):
    """Backfill or repair many orders, by list or by window; with runId the next step of a run.

    A date stands for tenant-local midnight (startDate) or the end of that day (endDate). An empty message is
    refused: it must not import a whole shop.
    """

    order_ids: list[VendorId] | None = None
    shopify_order_ids: list[VendorId] | None = None
    start_date: AwareDatetime | date | None = None
    """Inclusive."""
    end_date: AwareDatetime | date | None = None
    """Exclusive; default now."""
    window_by: Literal["created", "updated", "either"] | None = None
    limit: Annotated[int, Field(ge=1, le=250)] | None = None
    """First page size to try in page mode, never a cap on the work."""
    cursor: str | None = None
    """Older publishers: startDate of the rest as ISO instant; ignored with runId."""
    announce: Literal["recent", "none"] | None = None
    source: str = "app"
    run_id: UUID | None = None
    slice_no: Annotated[int, Field(ge=0)] | None = None
    step: Literal["start", "export", "poll", "load", "details"] = "start"
    poll_count: Annotated[int, Field(ge=0)] | None = None
    """Internal: how often this export was tried or looked at; tells messages of one step apart."""
    restarts: Annotated[int, Field(ge=0)] | None = None
    """Internal: how often the slice began anew; tells messages of one step apart."""

    @model_validator(mode="after")
    def _list_or_window(self) -> Self:
        if self.run_id is not None:
            return self
        ids = len(self.order_ids or ()) + len(self.shopify_order_ids or ())
        window = any(x is not None for x in (self.start_date, self.end_date, self.cursor))
        if bool(ids) == window:
            raise ValueError("give either orderIds / shopifyOrderIds or startDate / endDate, not both and not neither")
        if ids > LIST_MAX:
            raise ValueError(f"{ids} ids exceed {LIST_MAX}; send several messages")
        return self


class OrderReconcile(Event, name="order.reconcile", from_apps=True):
    """Compare what Shopify changed with what we hold, and bring in what differs."""

    lookback_hours: Annotated[int, Field(ge=1, le=168)] = 2
    max_orders: Annotated[int, Field(ge=1)] = 500
    """How many differing orders are fetched at once; the rest goes to order.syncBatch, nothing is dropped."""
    deep: bool = False
    """Compare the days of the last week too, by when the orders were created."""


class OrderCreated(Event, name="order.created", from_apps=True):
    """An order was seen for the first time."""

    order_id: VendorId
    shopify_order_id: VendorId | None = None
    customer_id: VendorId | None = None
    total_amount: float
    """Major units, informational; negative in an old misuse for refunds, which the listener ignores."""
    currency: str | None = None


class OrderFulfilled(Event, name="order.fulfilled", from_apps=True):
    """A fulfilment of an order was made, or, with deliveredAt, delivered."""

    order_id: VendorId
    fulfillment_id: VendorId
    """Shopify's fulfilment id or fulfillments.id."""
    tracking_number: str | None = None
    carrier: str | None = None
    delivered_at: AwareDatetime | None = None


class OrderRefunded(Event, name="order.refunded", from_apps=True):
    """One refund of an order, told once."""

    order_id: VendorId
    refund_id: VendorId
    """refunds.shopify_refund_id."""
    refund_amount_cents: Annotated[int, Field(gt=0)]
    """Amount of THIS refund, with tax and shipping; hundredths of the order's currency."""
    currency: str | None = None


class OrderCancelled(Event, name="order.cancelled", from_apps=True):
    """An order was cancelled."""

    order_id: VendorId
    reason: str | None = None
    refund_amount: float | None = None
    """All refunds of the order so far in major units, absent when nothing was refunded; informational."""


class OrderCommission(Event, name="order.commission", from_apps=True):
    """Compute the creator's commission of an order anew; the other fields are hints of older publishers."""

    order_id: VendorId
    discount_code: str | None = None
    order_total: float | None = None
    currency: str | None = None


class OrderAttribution(Event, name="order.attribution", from_apps=True):
    """Derive the marketing source of an order."""

    order_id: VendorId
    customer_id: VendorId | None = None
    session_id: str | None = None


class OrderReviewEmail(Event, name="order.reviewEmail", from_apps=True):
    """Find the place of an order in the queue of review requests; idempotent."""

    order_id: VendorId
    customer_id: VendorId | None = None
    customer_email: str | None = None
    """Older publishers; ignored when the order has an address, never logged."""
    fulfillment_id: VendorId | None = None
    fulfilled_at: AwareDatetime | None = None
    delivered_at: AwareDatetime | None = None


class OrderBackfillCompleted(Event, name="order.backfillCompleted", to_apps=True):
    """A run of order.syncBatch ended; apps show it."""

    run_id: UUID
    stored: int
    created: int
    failed: int
    window_from: AwareDatetime | None = None
    window_to: AwareDatetime | None = None
