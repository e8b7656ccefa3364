"""From the bus to the database and back, through everything that is deployed. One order of events for all tests:
they share one engine, so each looks only at what it made."""

from __future__ import annotations

import json
import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from scripts.local.chaos import bulk_workers
from shared.fakes.shopify import Line
from tests.e2e.conftest import SHOP, Deployment

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("engine")]

NOW = datetime.now(UTC).replace(microsecond=0)


def test_event_runs_its_job_and_what_the_job_emits_runs_the_next(app: Deployment) -> None:
    app.fake.shops[SHOP].order(id=501, created_at=NOW - timedelta(hours=1), lines=[Line("50.00", 2)])

    app.publish("order.sync", {"tenantId": "acme", "shopifyOrderId": "501", "source": "app"})

    app.until(lambda: app.rows("SELECT 1 FROM jobs.runs WHERE job = 'commerce-handle-order-created'"), 90)
    assert app.rows("SELECT total_cents FROM orders WHERE id = '501'") == [(10000,)]
    app.until(lambda: not app.rows("SELECT 1 FROM jobs.outbox"), 10)
    chain = app.rows(
        "SELECT DISTINCT correlation_id FROM jobs.runs"
        " WHERE job IN ('commerce-sync-order', 'commerce-handle-order-created')"
    )
    assert len(chain) == 1


def test_webhook_delivered_twice_has_one_effect(app: Deployment) -> None:
    app.fake.shops[SHOP].order(id=502, created_at=NOW - timedelta(days=10), lines=[Line("9.99", 1)])
    webhook = {
        "tenantId": "acme",
        "provider": "shopify",
        "topic": "orders/create",
        "eventId": "e2e-502",
        "account": SHOP,
        "body": {"id": 502, "updated_at": NOW.isoformat()},
    }

    for _ in range(2):
        app.publish("webhook.received", webhook)

    app.until(lambda: app.rows("SELECT 1 FROM orders WHERE id = '502'"), 90)
    states = "SELECT state FROM jobs.runs WHERE job = 'webhook-process-single' AND ended_at IS NOT NULL ORDER BY state"
    app.until(lambda: len(app.rows(states)) == 2, 90)
    assert app.rows(states) == [("duplicate",), ("succeeded",)]


def test_broken_message_lands_in_the_dead_letter_queue_with_its_reason(app: Deployment) -> None:
    app.send("order-processing", "{broken")

    [letter] = app.until(lambda: app.letters("order-processing"), 90)
    assert letter["MessageAttributes"]["code"]["StringValue"] == "MALFORMED_MESSAGE"


def test_job_that_cannot_work_is_dead_and_raises_an_alert(app: Deployment) -> None:
    app.publish("order.sync", {"tenantId": "globex", "shopifyOrderId": "1"})

    [letter] = app.until(lambda: app.letters("order-processing"), 90)
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert (attributes["code"], attributes["tenant"]) == ("SHOPIFY_NOT_CONNECTED", "globex")
    assert json.loads(letter["Body"])["job"] == "commerce-sync-order"


SLICES = """
SELECT 1 FROM order_sync_slices s JOIN order_sync_runs r ON r.id = s.run_id AND r.mode = 'window'
WHERE s.status = '{status}'
"""


def test_worker_killed_in_the_middle_of_a_backfill_loses_nothing(app: Deployment) -> None:
    """1,200 orders go through a bulk operation: some 30 s until the export is looked at, 120 s until the killed
    worker's message is back."""
    shop = app.fake.shops[SHOP]
    total = 0
    for n in range(1_200):
        shop.order(id=10_000 + n, created_at=NOW - timedelta(days=30, minutes=n), lines=[Line(f"{n}.50", 1)])
        total += n * 100 + 50
    window = {"startDate": (NOW - timedelta(days=40)).isoformat(), "endDate": (NOW - timedelta(days=20)).isoformat()}
    stored = "SELECT count(*), sum(total_cents)::bigint FROM orders WHERE id >= '10000' AND id < '11200'"

    app.publish("order.syncBatch", {"tenantId": "acme", **window, "source": "app", "windowBy": "created"})
    for status in ("exporting", "loading"):
        app.until(lambda status=status: app.rows(SLICES.format(status=status)), 90)  # type: ignore[misc]
    victims = app.until(lambda: bulk_workers(app.endpoint), 10)
    for victim in victims:
        os.kill(victim, signal.SIGKILL)

    # The engine's clock may start the hourly comparison meanwhile: its run is of another mode.
    finished = "SELECT status FROM order_sync_runs WHERE mode = 'window' AND status NOT IN ('requested', 'running')"
    assert app.until(lambda: app.rows(finished), 240) == [("completed",)]
    assert app.rows(stored) == [(1_200, total)]
    assert app.rows("SELECT count(*) FROM order_line_items WHERE order_shopify_id LIKE '1____'") == [(1_200,)]
    assert app.letters("order-processing-bulk") == []
