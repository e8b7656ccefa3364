"""Tables that a job can touch, read from its code."""

from __future__ import annotations

import pytest

from shared.jobs.registry import Registry
from shared.jobs.usage import usage


@pytest.mark.parametrize(
    ("job", "reads", "writes", "neither"),
    [
        (
            "commerce-sync-order",
            {"commission_config", "creators"},
            {"orders", "order_line_items", "order_sync_marks", "refunds"},
            {"review_email_queue"},
        ),
        ("commerce-collection-sync-scheduled", {"catalog_sync_runs", "shopify_connections"}, set(), {"products"}),
        ("commerce-product-batch-sync", {"orders"}, {"catalog_sync_stage", "products"}, {"customers"}),
        ("creator-process-approval", {"users"}, {"creators"}, {"orders"}),
        (
            "ab-daily-metrics-summary",
            {"ab_visitors"},
            {"mail_messages", "slack_posts"},
            {"products", "creator_applications"},
        ),
    ],
    ids=["statements of its services", "the probe of a cron", "COPY", "a function in SQL", "a part of a module"],
)
def test_tables_of_a_job(registry: Registry, job: str, reads: set[str], writes: set[str], neither: set[str]) -> None:
    found = usage(registry.jobs[job])

    assert reads <= set(found.reads)
    assert writes <= set(found.writes)
    assert not neither & {*found.reads, *found.writes}
