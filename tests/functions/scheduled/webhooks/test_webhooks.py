"""webhook-process-single through the real pipeline on a real PostgreSQL: the row from arrival to its end."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from shared.events.webhooks import WebhookRetry
from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver, ManualClock
from tests.builders.webhooks import NOON, SHOP, a_webhook, by_id, names

Rows = Any

LEASE_S = 300


# -- the ordinary way ------------------------------------------------------------------------------------------------


def test_stored_order_webhook_asks_for_the_order_once(
    deliver: Deliver, stored: Callable[..., UUID], row: Callable[[UUID], dict[str, Any]]
) -> None:
    id = stored("orders/create", {"id": 5001, "updated_at": "2026-11-20T05:00:00-05:00", "email": "ann@example.com"})

    done = deliver(by_id(id))

    assert done.emitted == [
        ("order.sync", {"shopifyOrderId": "5001", "source": "webhook", "updatedAt": "2026-11-20T10:00:00Z"})
    ]
    assert done.result == {
        "outcome": "completed",
        "provider": "shopify",
        "topic": "orders/create",
        "emitted": ["order.sync"],
    }
    after = row(id)
    assert (after["status"], after["emitted"], after["resource_id"]) == ("completed", ["order.sync"], "5001")
    assert (after["lease_owner"], after["lease_expires_at"], after["error_message"]) == (None, None, None)
    assert after["processed_at"] == NOON


def test_webhook_without_a_row_gets_one(deliver: Deliver, rows: Rows, tenant: Tenant) -> None:
    triggered = NOON - timedelta(seconds=9)

    done = deliver(
        a_webhook(
            "orders/create",
            {"id": 5001, "note": "nul \x00 inside"},
            event_id="evt-1",
            external_id="wh-1",
            triggered_at=triggered,
        )
    )

    assert names(done) == ["order.sync"]
    found = rows("SELECT * FROM webhook_events")
    assert len(found) == 1
    kept = found[0]
    assert kept["idempotency_key"] == "shopify:orders/create:evt-1"
    assert (kept["shop"], kept["provider"], kept["topic"]) == (SHOP, "shopify", "orders/create")
    assert (kept["shopify_webhook_id"], kept["external_id"]) == ("wh-1", "wh-1")
    assert kept["payload"] == {"id": 5001, "note": "nul  inside"}
    assert (kept["hmac_verified"], kept["headers"], kept["tenant_id"]) == (True, {}, tenant.organization_id)
    assert (kept["received_at"], kept["triggered_at"]) == (NOON, triggered)


def test_delivery_is_remembered_by_registration_and_connection(
    deliver: Deliver, rows: Rows, stored: Callable[..., UUID]
) -> None:
    rows.execute(
        "INSERT INTO webhook_registrations (shop, topic, address, status, failure_count) "
        "VALUES (%s, %s, '', 'failed', 7)",
        (SHOP, "orders/create"),
    )

    deliver(by_id(stored()))

    registration = rows("SELECT * FROM webhook_registrations")[0]
    assert (registration["status"], registration["failure_count"]) == ("active", 0)
    assert registration["last_success_at"] == NOON
    assert rows("SELECT last_webhook_at FROM shopify_connections")[0]["last_webhook_at"] == NOON


def test_eight_deliveries_of_one_event_ask_once(deliver: Deliver, bench: Bench, clock: ManualClock, rows: Rows) -> None:
    """Whatever the way it comes: the ledger knows the run, and where it does not, the row does."""
    first = a_webhook("orders/create", {"id": 5001}, event_id="evt-1", external_id="wh-1")
    outcomes = [deliver(first).result["outcome"]]
    for n in range(3):
        clock.advance(s=1)
        outcomes.append(deliver(first.model_copy(update={"external_id": f"wh-{n}"}), expect="duplicate").state)
    id = rows("SELECT id FROM webhook_events")[0]["id"]
    for attempt in range(1, 5):
        outcomes.append(deliver(WebhookRetry(webhook_event_id=id, attempt=attempt)).result["outcome"])

    assert outcomes == ["completed"] + 7 * ["duplicate"]
    assert [name for name, _ in bench.bus.published if name == "order.sync"] == ["order.sync"]
    assert len(rows("SELECT 1 FROM webhook_events")) == 1


def test_one_event_id_over_two_topics_is_two_webhooks(deliver: Deliver, rows: Rows) -> None:
    outcomes = [
        deliver(a_webhook(topic, {"id": 5001}, event_id="evt-1")).result["outcome"]
        for topic in ("orders/create", "orders/updated")
    ]

    assert outcomes == ["completed", "completed"]
    assert len(rows("SELECT 1 FROM webhook_events WHERE status = 'completed'")) == 2


def test_bursts_of_one_state_share_a_key(deliver: Deliver, bench: Bench) -> None:
    for updated_at in ("2026-11-20T10:00:00Z", "2026-11-20T10:00:05Z", "2026-11-20T10:00:00Z"):
        deliver(a_webhook("orders/updated", {"id": 5001, "updated_at": updated_at}))

    keys = [detail["_meta"]["key"] for name, detail in bench.bus.published if name == "order.sync"]
    assert len(keys) == 3
    assert len(set(keys)) == 2


def test_inventory_number_travels_on(deliver: Deliver) -> None:
    body = {"inventory_item_id": 1, "location_id": 2, "available": 7, "updated_at": "2026-11-20T10:00:00Z"}

    done = deliver(a_webhook("inventory_levels/update", body))

    name, event = done.emitted[0]
    assert name == "inventory.update"
    assert (event["inventoryItemId"], event["shopifyLocationId"], event["available"]) == ("1", "2", 7)


def test_topic_that_nobody_handles_is_completed_quietly(deliver: Deliver, rows: Rows) -> None:
    done = deliver(a_webhook("themes/publish", {"id": 1}))

    assert (done.result["outcome"], done.result["code"], done.emitted) == ("skipped", "no_handler", [])
    kept = rows("SELECT status, skip_reason FROM webhook_events")[0]
    assert kept == {"status": "completed", "skip_reason": "no_handler"}


# -- what goes wrong -------------------------------------------------------------------------------------------------


def test_body_without_id_is_dead_at_once_and_told_under_one_key(
    deliver: Deliver, rows: Rows, clock: ManualClock
) -> None:
    dones = []
    for _ in range(4):
        dones.append(deliver(a_webhook("products/update", {"title": "private"})))
        clock.advance(s=60)

    assert [done.result["outcome"] for done in dones] == ["dead"] * 4
    assert [done.result["code"] for done in dones] == ["BODY_INVALID"] * 4
    assert [names(done) for done in dones] == [["alert.systemError"]] * 4
    alerts = [done.emitted[0][1] for done in dones]
    assert {alert["dedupeKey"] for alert in alerts} == {"webhook-dead:shopify:products/update:2026-11-20T12"}
    assert alerts[3]["context"] == {
        "provider": "shopify",
        "topic": "products/update",
        "code": "BODY_INVALID",
        "rows": 4,
    }
    assert {alert["severity"] for alert in alerts} == {"warning"}
    kept = rows("SELECT * FROM webhook_events ORDER BY dead_at")[0]
    assert (kept["status"], kept["retry_count"], kept["next_attempt_at"]) == ("failed", 1, None)
    assert kept["dead_at"] == NOON
    assert kept["error_message"] == "BODY_INVALID: id is missing or no id"


@pytest.mark.parametrize(
    ("topic", "severity"), [("orders/create", "error"), ("refunds/create", "error"), ("customers/update", "warning")]
)
def test_dead_row_of_a_grave_topic_is_an_error(deliver: Deliver, topic: str, severity: str) -> None:
    assert deliver(a_webhook(topic, {"x": 1})).emitted[0][1]["severity"] == severity


def test_crashed_worker_keeps_its_lease_for_five_minutes(
    deliver: Deliver, stored: Callable[..., UUID], row: Callable[[UUID], dict[str, Any]], clock: ManualClock
) -> None:
    lease_until = NOON + timedelta(seconds=LEASE_S)
    id = stored(status="processing", lease_owner="a run that died", lease_expires_at=lease_until)

    clock.advance(s=LEASE_S - 61)
    early = deliver(by_id(id), expect="retrying")
    clock.advance(s=62)
    late = deliver.again("webhooks")

    assert (early.code, early.delay_s) == ("WEBHOOK_IN_PROGRESS", 60)
    assert late.result["outcome"] == "completed"
    assert row(id)["retry_count"] == 0


def test_row_of_the_old_app_without_a_lease_counts_from_its_receipt(
    deliver: Deliver, stored: Callable[..., UUID], clock: ManualClock
) -> None:
    id = stored(status="processing")

    early = deliver(by_id(id), expect="retrying")
    clock.advance(s=LEASE_S + 1)
    late = deliver.again("webhooks")

    assert early.code == "WEBHOOK_IN_PROGRESS"
    assert late.result["outcome"] == "completed"


def test_shop_of_another_tenant_is_refused_and_touches_nothing_of_theirs(
    deliver: Deliver, rows: Rows, other_tenant: Tenant
) -> None:
    before = rows("SELECT * FROM shopify_connections", tenant=other_tenant)

    done = deliver(a_webhook("app/uninstalled", {"id": 1}, account="globex.myshopify.com"))

    assert (done.result["outcome"], done.result["code"]) == ("dead", "SHOP_MISMATCH")
    assert names(done) == ["alert.systemError", "alert.security"]
    security = done.emitted[1][1]
    assert (security["alertType"], security["severity"]) == ("other", "error")
    assert security["dedupeKey"] == "webhook-sec:globex.myshopify.com:2026-11-20"
    assert rows("SELECT * FROM shopify_connections", tenant=other_tenant) == before
    assert rows("SELECT * FROM webhook_events", tenant=other_tenant) == []


@pytest.mark.parametrize("column", ["shopify_store_domain", "shopify_config"], ids=["store domain", "checkout domain"])
def test_shop_may_be_known_by_the_organization_only(deliver: Deliver, rows: Rows, tenant: Tenant, column: str) -> None:
    rows.execute("DELETE FROM shopify_connections")
    domain = SHOP if column == "shopify_store_domain" else json.dumps({"checkoutDomain": SHOP})
    rows.execute(f"UPDATE public.organizations SET {column} = %s WHERE id = %s", (domain, tenant.organization_id))  # noqa: S608

    assert deliver(a_webhook("orders/create", {"id": 5001}, account=SHOP.upper())).result["outcome"] == "completed"


def test_unverified_row_is_dead_and_a_matter_of_security(
    deliver: Deliver, stored: Callable[..., UUID], row: Callable[[UUID], dict[str, Any]]
) -> None:
    id = stored(hmac_verified=False)

    done = deliver(by_id(id))

    assert (done.result["outcome"], done.result["code"]) == ("dead", "NOT_VERIFIED")
    assert names(done) == ["alert.systemError", "alert.security"]
    assert row(id)["dead_at"] == NOON


def test_failure_is_written_into_the_row_and_the_fifth_is_dead(
    deliver: Deliver,
    rows: Rows,
    stored: Callable[..., UUID],
    row: Callable[[UUID], dict[str, Any]],
    clock: ManualClock,
) -> None:
    """A constraint that refuses the write stands for whatever may go wrong inside."""
    rows.execute("ALTER TABLE abandoned_checkouts ADD CONSTRAINT refuse CHECK (cart_total_cents <> 666)")
    rows.execute(
        "INSERT INTO webhook_registrations (shop, topic, address) VALUES (%s, 'checkouts/update', '')", (SHOP,)
    )
    body = {"id": 12, "email": "ann@example.com", "total_price": "6.66", "updated_at": "2026-11-20T10:00:00Z"}
    id = stored("checkouts/update", body)

    waits = []
    for attempt in range(1, 6):
        done = deliver(WebhookRetry(webhook_event_id=id, attempt=attempt))
        after = row(id)
        assert after["retry_count"] == attempt
        assert after["error_message"] == "UNEXPECTED: CheckViolation"
        if attempt < 5:
            assert (done.result["outcome"], done.emitted) == ("retry_scheduled", [])
            waits.append((after["next_attempt_at"] - clock.now()).total_seconds())
            clock.advance(s=waits[-1])

    for wait, least in zip(waits, (60, 300, 1800, 7200), strict=True):
        assert least <= wait <= least * 1.1
    assert (done.result["outcome"], names(done)) == ("dead", ["alert.systemError"])
    assert (after["next_attempt_at"], after["dead_at"]) == (None, clock.now())
    registration = rows("SELECT * FROM webhook_registrations")[0]
    assert (registration["failure_count"], registration["status"]) == (5, "failed")
    assert rows("SELECT 1 FROM abandoned_checkouts") == []


def test_dead_row_is_left_alone_until_a_person_requeues_it(
    deliver: Deliver, rows: Rows, stored: Callable[..., UUID], row: Callable[[UUID], dict[str, Any]]
) -> None:
    id = stored(status="failed", retry_count=5, dead_at=NOON)

    left = deliver(WebhookRetry(webhook_event_id=id, attempt=1))
    rows.execute("UPDATE webhook_events SET status = 'pending', retry_count = 0, dead_at = NULL WHERE id = %s", (id,))
    done = deliver(WebhookRetry(webhook_event_id=id, attempt=1))

    assert (left.result["outcome"], left.result["code"], left.emitted) == ("skipped", "dead", [])
    assert done.result["outcome"] == "completed"
    assert row(id)["status"] == "completed"


def test_lost_lease_writes_nothing(
    deliver: Deliver, rows: Rows, stored: Callable[..., UUID], row: Callable[[UUID], dict[str, Any]]
) -> None:
    """The row goes to another run between claim and commit."""
    id = stored()
    rows.execute(
        "CREATE FUNCTION steal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF NEW.status = 'processing' THEN NEW.lease_owner := 'thief'; END IF; RETURN NEW; END $$; "
        "CREATE TRIGGER steal BEFORE UPDATE ON webhook_events FOR EACH ROW EXECUTE FUNCTION steal()"
    )

    done = deliver(by_id(id), expect="retrying")

    assert (done.code, done.emitted) == ("WEBHOOK_IN_PROGRESS", [])
    assert (row(id)["status"], row(id)["lease_owner"]) == ("processing", "thief")


REFUSE_COMPLETION = (
    "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.status = 'completed' THEN "
    "RAISE EXCEPTION 'busy' USING ERRCODE = '40001'; END IF; RETURN NEW; END $$; "
    "CREATE TRIGGER refuse BEFORE UPDATE ON webhook_events FOR EACH ROW EXECUTE FUNCTION refuse()"
)


def test_database_in_trouble_is_the_kernels_and_the_run_takes_its_own_lease_up_again(
    deliver: Deliver, rows: Rows, stored: Callable[..., UUID], row: Callable[[UUID], dict[str, Any]]
) -> None:
    id = stored()
    rows.execute(REFUSE_COMPLETION)

    first = deliver(by_id(id), expect="retrying")
    held = row(id)
    rows.execute("DROP TRIGGER refuse ON webhook_events")
    second = deliver.again("webhooks")

    assert (first.code, first.emitted) == ("DATABASE_BUSY", [])
    assert (held["status"], held["lease_owner"]) == ("processing", str(first.run_id))
    assert (second.attempt, second.result["outcome"]) == (2, "completed")
    assert row(id)["retry_count"] == 0


def test_database_in_trouble_to_the_last_attempt_is_left_to_the_row(
    deliver: Deliver, rows: Rows, stored: Callable[..., UUID], row: Callable[[UUID], dict[str, Any]]
) -> None:
    id = stored()
    rows.execute(REFUSE_COMPLETION)

    deliver(by_id(id), expect="retrying")
    deliver.again("webhooks", expect="retrying")
    last = deliver.again("webhooks")

    assert (last.attempt, last.result["outcome"]) == (3, "retry_scheduled")
    assert (row(id)["status"], row(id)["retry_count"]) == ("failed", 1)


def test_suspended_tenant_is_uninstalled_all_the_same(deliver: Deliver, rows: Rows, tenant: Tenant) -> None:
    rows.execute("UPDATE public.organizations SET status = 'suspended' WHERE id = %s", (tenant.organization_id,))

    deliver(a_webhook("app/uninstalled", {"id": 1}))

    assert rows("SELECT status FROM shopify_connections")[0]["status"] == "disconnected"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({}, "INVALID_PAYLOAD"),
        ({"provider": "shopify", "topic": "orders/create"}, "INVALID_PAYLOAD"),
        ({"provider": "fax", "topic": "x", "body": {}}, "INVALID_PAYLOAD"),
        ({"webhookEventId": str(UUID(int=1)), "deliveryId": str(UUID(int=1))}, "INVALID_PAYLOAD"),
        ({"webhookEventId": str(UUID(int=1))}, "WEBHOOK_NOT_FOUND"),
        ({"deliveryId": str(UUID(int=1))}, "WEBHOOK_NOT_FOUND"),
        ({"provider": "wise", "topic": "x", "body": {"x": "y" * 1024 * 1024}}, "BODY_TOO_LARGE"),
    ],
    ids=["empty", "no body", "unknown provider", "two forms", "unknown row", "unknown delivery", "large body"],
)
def test_message_that_cannot_be_served_is_a_dead_letter(deliver: Deliver, payload: dict[str, Any], code: str) -> None:
    assert deliver.job("webhook-process-single", payload, expect="dead").code == code
