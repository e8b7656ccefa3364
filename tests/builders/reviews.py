"""Review mails, their orders and reviews, as the tables hold them. A case states only what matters to it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.builders.ab_tests import insert
from tests.conftest import Rows

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
"""The tests' clock starts here."""
ANN = "Ann@Example.com"
ORDER = "1001"
PRODUCT = "9001"
"""The legacy id of what the order's customer bought."""


def add_order(
    rows: Rows,
    id: str = ORDER,
    *,
    placed_at: datetime = NOON - timedelta(days=20),
    line: dict[str, Any] | None = None,
    **columns: Any,
) -> None:
    """A paid order of Ann with one line of the product PRODUCT, a mug."""
    more = {"tenant": columns.pop("tenant")} if "tenant" in columns else {}
    values = {
        "id": id,
        "shopify_order_id": id,
        "shopify_id": id,
        "order_number": f"#{id}",
        "customer_email": ANN,
        "financial_status": "paid",
        "status": "confirmed",
        "order_placed_at": placed_at,
        "created_at": placed_at,
        **columns,
    }
    insert(rows, "orders", values, **more)
    add_line(rows, id, **(line or {}), **more)


def add_line(rows: Rows, order_id: str = ORDER, **columns: Any) -> None:
    """A line of the order."""
    more = {"tenant": columns.pop("tenant")} if "tenant" in columns else {}
    values = {"order_shopify_id": order_id, "product_id": PRODUCT, "title": "Mug", "net_cents": 1_000, **columns}
    insert(rows, "order_line_items", values, **more)


def ship(
    rows: Rows, order_id: str = ORDER, *, at: datetime, delivered: Sequence[datetime | None] = (None,), **columns: Any
) -> None:
    """The whole order leaves at `at`, in one parcel per entry of `delivered`."""
    for n, arrived in enumerate(delivered):
        values = {
            "shopify_fulfillment_id": f"{order_id}{n}",
            "order_shopify_id": order_id,
            "status": "success",
            "created_at": at,
            "delivered_at": arrived,
            **columns,
        }
        insert(rows, "fulfillments", values)
    rows.execute("UPDATE orders SET fulfillment_status = 'fulfilled', fulfilled_at = %s WHERE id = %s", (at, order_id))


def add_mail(rows: Rows, id: str = "rq1", **columns: Any) -> None:
    """A request of the order ORDER to Ann that is due since a minute."""
    more = {"tenant": columns.pop("tenant")} if "tenant" in columns else {}
    values = {
        "id": id,
        "tenant_id": "acme",
        "order_id": ORDER,
        "order_number": "#1001",
        "customer_email": ANN,
        "customer_name": "Ann Lee",
        "product_title": "Mug",
        "product_id": PRODUCT,
        "status": "scheduled",
        "scheduled_at": NOON - timedelta(minutes=1),
        "sequence_number": 1,
        "sequence_id": "s1",
        "template_type": "request",
        "created_at": NOON - timedelta(days=10),
        **columns,
    }
    insert(rows, "review_email_queue", values, **more)


def add_mails(rows: Rows, count: int, **columns: Any) -> list[str]:
    """So many due requests of different orders to different people, one a second later than the other; their ids."""
    ids = [f"rq{n:03}" for n in range(count)]
    for n, id in enumerate(ids):
        own = {
            "order_id": f"o{n}",
            "customer_email": f"ann{n}@example.com",
            "scheduled_at": NOON - timedelta(minutes=10, seconds=-n),
        }
        add_mail(rows, id, **{**own, **columns})
    return ids


def add_review(rows: Rows, id: str = "rev1", **columns: Any) -> None:
    """An approved review of the order ORDER by Ann."""
    values = {
        "id": id,
        "product_id": PRODUCT,
        "order_id": ORDER,
        "author_name": "Ann Lee",
        "author_email": ANN,
        "rating": 5,
        "body": "word " * 40,
        "status": "approved",
        "created_at": NOON - timedelta(hours=1),
        **columns,
    }
    insert(rows, "reviews", values)


def set_reviews(rows: Rows, **columns: Any) -> None:
    """The tenant's review_settings."""
    insert(rows, "review_settings", {"id": "default", **columns})


def set_rules(rows: Rows, key: str = "reviews.rules", **members: Any) -> None:
    """A value of tenant_config."""
    insert(rows, "tenant_config", {"key": key, "value": members})


def add_template(rows: Rows, type: str = "request", **columns: Any) -> str:
    """The tenant's own template of a type; its id."""
    values = {
        "id": f"tpl_{type}",
        "type": type,
        "name": type,
        "subject": "Own {{productTitle}}",
        "body_html": "<p>{{reviewLink}}</p>",
        **columns,
    }
    insert(rows, "review_email_templates", values)
    return str(values["id"])


def withdraw_consent(rows: Rows, email: str = ANN, *, granted: bool = False, at: datetime = NOON) -> None:
    """The address's word about marketing mail."""
    values = {"customer_email": email, "consent_type": "marketing", "granted": granted, "created_at": at}
    insert(rows, "consent_records", values)


def mail_row(rows: Rows, id: str = "rq1") -> dict[str, Any]:
    """A row of the queue."""
    (row,) = rows("SELECT * FROM review_email_queue WHERE id = %s", (id,))
    return row


def logged(rows: Rows, id: str = "rq1") -> list[str]:
    """What stands in the log of a row, oldest first."""
    found = rows("SELECT event_type FROM review_email_logs WHERE queue_id = %s ORDER BY created_at, id", (id,))
    return [row["event_type"] for row in found]
