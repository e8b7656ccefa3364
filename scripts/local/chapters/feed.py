"""The product feed: every offer judged, sent to Google where it may be, and Google's verdict taken back."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.table import Table

from scripts.local import fakes
from scripts.local.tenants import BACKFILL
from shared.events.google_feed import GoogleFeedSync
from shared.fakes.cdnow_order import ALBUMS
from shared.fakes.demo_catalog import has_picture, is_sold_out

if TYPE_CHECKING:
    from scripts.local.story import Story

LAST_RUN = """
SELECT id, status::text AS status, total_products AS total, products_excluded AS excluded,
       products_with_errors AS errors, (SELECT sum(products_added) FROM google_feed_sync_history) AS added
FROM google_feed_sync_history ORDER BY started_at DESC LIMIT 1
"""
# A run that has ended sends itself a message for the look at Google's verdict.
PUT_OFF = """
SELECT count(*) AS n FROM google_feed_sync_history
WHERE status = 'completed' AND completed_at > now() - interval '15 minutes'
"""
STATES = """
SELECT sync_status::text AS state, merchant_status::text AS verdict, exclude_reason AS reason, count(*) AS n,
       (SELECT string_agg(DISTINCT i ->> 'code', ', ')
        FROM google_feed_products q, jsonb_array_elements(q.merchant_issues) i
        WHERE i ->> 'severity' IN ('error', 'critical', 'warning')
          AND (q.sync_status, q.merchant_status, q.exclude_reason)
              IS NOT DISTINCT FROM (p.sync_status, p.merchant_status, p.exclude_reason)) AS issues
FROM google_feed_products p
GROUP BY p.sync_status, p.merchant_status, p.exclude_reason ORDER BY n DESC
"""
VERDICTS = """
SELECT o.offer_id AS offer, p.merchant_status::text AS verdict
FROM google_feed_offers o
JOIN google_feed_products p ON p.shopify_product_id = o.shopify_product_id
                           AND p.shopify_variant_id IS NOT DISTINCT FROM o.shopify_variant_id
WHERE o.state = 'active'
"""


def put_off(story: Story) -> int:
    """Looks at the verdict that are a quarter of an hour away."""
    return int(story.rows(PUT_OFF, BACKFILL)[0]["n"])


def tell(story: Story) -> None:
    """Compare the whole feed, which the catalogue has had sent, and take Google's verdict.

    What an earlier start has sent is no longer at the fake.
    """
    if story.rows(LAST_RUN, BACKFILL) and not fakes.offered(story.vendors.merchant):
        _show(story)
        return
    story.publisher.publish(GoogleFeedSync(triggered_by="manual"), BACKFILL)
    story.settle_down()
    run = story.rows(LAST_RUN, BACKFILL)[0]
    story.until("Google's look at the products", lambda: not _unjudged(story))
    story.publisher.publish(GoogleFeedSync(triggered_by="manual", sync_id=run["id"], step="status"), BACKFILL)
    story.settle_down()
    _show(story)
    excluded = sum(is_sold_out(album) for album in range(1, ALBUMS + 1))
    refused = 2 * sum(not has_picture(album) for album in range(1, ALBUMS + 1))
    sent = 2 * ALBUMS - excluded - refused
    story.check(
        f"{BACKFILL}: feed of {run['total']} offers, {run['added']} sent to Google, {run['excluded']} sold out,"
        f" {run['errors']} without a picture",
        (run["status"], run["total"], run["added"], run["excluded"], run["errors"])
        == ("completed", 2 * ALBUMS, sent, excluded, refused),
    )
    _compare(story, sent)


def _show(story: Story) -> None:
    """How many offers are in which state."""
    table = Table("state", "Google's verdict", "offers", "why", title=f"Product feed of {BACKFILL}")
    for row in story.rows(STATES, BACKFILL):
        why = row["reason"] or row["issues"] or ""
        table.add_row(row["state"], row["verdict"] or "", f"{row['n']:,}", why)
    story.console.print(table)


def _unjudged(story: Story) -> int:
    return sum(product["status"] == "pending" for product in fakes.offered(story.vendors.merchant))


def _compare(story: Story, sent: int) -> None:
    """Our verdicts against what Google holds, offer by offer. Google has no word for approved with a warning."""
    here = {row["offer"]: row["verdict"] for row in story.rows(VERDICTS, BACKFILL)}
    there = {
        product["offerId"]: "warning" if product["status"] == "approved" and product["issues"] else product["status"]
        for product in fakes.offered(story.vendors.merchant)
    }
    counts = Counter(there.values())
    told = ", ".join(f"{counts[word]} {word}" for word in sorted(counts))
    same = here == there and len(there) == sent
    story.check(f"{BACKFILL}: Google holds {len(there)} products ({told}), and so say our tables", same)
