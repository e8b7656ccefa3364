"""Review requests: orders that have arrived are queued, some mails are sent at once, each once; reminders follow."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from rich.table import Table

from scripts.local import fakes
from scripts.local.tenants import BACKFILL
from shared.events.orders import OrderReviewEmail
from shared.events.reviews import ReviewEmailSend

if TYPE_CHECKING:
    from scripts.local.story import Story

ASKED, SENT = 20, 8
"""Orders that the demo asks about itself, and how many of their mails it does not let wait."""

QUEUE = """
SELECT template_type AS mail, status, count(*) AS n, min(scheduled_at) FILTER (WHERE status = 'scheduled') AS next
FROM review_email_queue GROUP BY template_type, status ORDER BY template_type, status
"""
BEGUN = """
SELECT count(*) AS n FROM jobs.runs WHERE job = 'commerce-send-queued-review-email' AND tenant = %(tenant)s
"""
# The import itself has asked about everything that was shipped lately.
ARRIVED = """
SELECT id FROM (
    SELECT DISTINCT ON (lower(o.customer_email)) o.id, o.order_placed_at
    FROM orders o
    WHERE o.delivered_at IS NOT NULL AND o.financial_status = 'paid' AND o.cancelled_at IS NULL AND o.total_cents > 0
      AND NOT EXISTS (SELECT FROM review_email_queue q WHERE lower(q.customer_email) = lower(o.customer_email))
    ORDER BY lower(o.customer_email), o.order_placed_at DESC) AS latest
ORDER BY order_placed_at DESC, id LIMIT %(limit)s
"""
QUEUED = """
SELECT id, order_id, customer_email AS email, status, scheduled_at > created_at AS ahead, resend_message_id AS mail
FROM review_email_queue WHERE order_id = ANY(%(orders)s) AND sequence_number = 1 ORDER BY id
"""
REMINDERS = """
SELECT count(*) AS n FROM review_email_queue
WHERE order_id = ANY(%(orders)s) AND sequence_number = 2 AND template_type = 'reminder_1' AND status = 'scheduled'
"""


def tell(story: Story) -> None:
    """Queue and send, unless an earlier start has."""
    if not story.rows(BEGUN, None, {"tenant": BACKFILL})[0]["n"]:
        _send(story, _queue(story))
    table = Table("mail", "state", "mails", "next", title=f"Review mails of {BACKFILL}")
    for row in story.rows(QUEUE, BACKFILL):
        following = f"{row['next']:%Y-%m-%d %H:%M} UTC" if row["next"] else ""
        table.add_row(row["mail"], row["status"], f"{row['n']:,}", following)
    story.console.print(table)


def _queue(story: Story) -> list[dict[str, Any]]:
    """Have orders queued that nobody has asked about; their rows."""
    orders = [row["id"] for row in story.rows(ARRIVED, BACKFILL, {"limit": ASKED})]
    for id in orders:
        story.publisher.publish(OrderReviewEmail(order_id=id), BACKFILL)
    story.settle_down()
    rows = story.rows(QUEUED, BACKFILL, {"orders": orders})
    story.check(
        f"{BACKFILL}: {len(rows)} orders that arrived are in the queue of review mails, each with its time",
        len(rows) == ASKED and all(row["status"] == "scheduled" and row["ahead"] for row in rows),
    )
    return rows


def _send(story: Story, rows: list[dict[str, Any]]) -> None:
    """Send some at once, and ask for the first of them twice more: the same message again, and another person's."""
    chosen = rows[:SENT]
    for row in chosen:
        _ask(story, row)
    story.settle_down()
    for row in chosen[:1]:
        _ask(story, row)
        _ask(story, row, by="demo")
    story.settle_down()
    orders = [row["order_id"] for row in chosen]
    sent = story.rows(QUEUED, BACKFILL, {"orders": orders})
    outbox = [mail for mail in fakes.mailed(story.vendors.resend) if mail["to"][0] in {row["email"] for row in sent}]
    per_address = Counter(mail["to"][0] for mail in outbox)
    story.check(
        f"{BACKFILL}: {len(outbox)} review mails are in the outbox, one of them asked for three times, each once",
        len(outbox) == SENT
        and set(per_address.values()) == {1}
        and {mail["id"] for mail in outbox} == {row["mail"] for row in sent if row["status"] == "sent"},
    )
    reminders = story.rows(REMINDERS, BACKFILL, {"orders": orders})[0]["n"]
    story.check(f"{BACKFILL}: {reminders} reminders follow them", reminders == SENT)
    story.console.print(f"The outbox, to be read in a browser: {story.vendors.resend}/")


def _ask(story: Story, row: dict[str, Any], by: str | None = None) -> None:
    send = ReviewEmailSend(review_email_id=row["id"], order_id=row["order_id"], requested_by=by)
    story.publisher.publish(send, BACKFILL)
