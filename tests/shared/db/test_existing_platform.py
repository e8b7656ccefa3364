"""Migrations of a database that the platform's applications made: only what is missing, and nobody notices."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from shared.db.migrations import MigrationFailed, migrate
from tests.shared.db.conftest import fetch, run

COLUMNS = """
SELECT column_name, data_type, is_nullable FROM information_schema.columns
WHERE table_schema = %s AND table_name = %s
"""


def test_only_what_is_missing_is_added(platform_url: str) -> None:
    before = fetch(platform_url, COLUMNS, ("tenant_older", "orders"))

    report = migrate(platform_url)

    after = fetch(platform_url, COLUMNS, ("tenant_older", "orders"))
    assert set(before) <= set(after)
    assert {"source_name", "delivered_at", "net_sales_cents"} <= {name for name, *_ in after}
    kept = fetch(platform_url, "SELECT id, total_cents, app_only FROM tenant_older.orders ORDER BY id")
    assert kept == [("o1", 1234, "x"), ("o2", 1, "y")]
    what = [action.what for action in report.schemas["tenant_older"]]
    assert "create table orders" not in what
    assert "create schema tenant_older" not in what
    assert "create schema tenant_elder" in [action.what for action in report.schemas["tenant_elder"]]


def test_index_under_another_name_and_trigger_of_the_applications_count(platform_url: str) -> None:
    migrate(platform_url)

    names = "SELECT indexname FROM pg_indexes WHERE schemaname = 'tenant_older' AND tablename = 'orders'"
    indexes = {name for (name,) in fetch(platform_url, names)}
    assert "app_orders_by_day" in indexes
    assert "ix_orders_created_at" not in indexes  # app_orders_by_day begins with created_at
    assert "ix_orders_updated_at_id" in indexes
    triggers = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'tenant_older.orders'::regclass AND NOT tgisinternal"
    assert fetch(platform_url, triggers) == [("app_touch",)]


def test_function_of_the_platform_is_not_replaced(platform_url: str) -> None:
    source = "SELECT prosrc FROM pg_proc WHERE proname = 'update_updated_at_column'"
    before = fetch(platform_url, source)

    migrate(platform_url)

    assert fetch(platform_url, source) == before


def test_missing_enum_labels_are_added_before_they_are_used(platform_url: str) -> None:
    migrate(platform_url)

    labels = "SELECT enum_range(NULL::tenant_older.financial_status)::text[]"
    assert set(fetch(platform_url, labels)[0][0]) >= {"pending", "paid", "voided", "refunded"}
    kept = "SELECT 'in_the_mail' = ANY (enum_range(NULL::tenant_older.order_status)::text[])"
    assert fetch(platform_url, kept) == [(True,)]


def test_plan_of_an_existing_database_changes_nothing(platform_url: str) -> None:
    report = migrate(platform_url, plan_only=True)

    what = [action.what for action in report.schemas["tenant_older"]]
    assert "add column orders.source_name" in what
    assert fetch(platform_url, "SELECT to_regnamespace('jobs'), to_regclass('tenant_older.customers')") == [
        (None, None)
    ]
    assert "source_name" not in {name for name, *_ in fetch(platform_url, COLUMNS, ("tenant_older", "orders"))}


def test_column_that_may_not_be_null_comes_without_not_null_where_rows_exist(platform_url: str) -> None:
    run(platform_url, "CREATE TABLE tenant_older.refunds (id text PRIMARY KEY)")
    run(platform_url, "INSERT INTO tenant_older.refunds VALUES ('r1')")

    report = migrate(platform_url)

    notes = {action.what: action.note for action in report.schemas["tenant_older"]}
    assert "without NOT NULL" in notes["add column refunds.order_shopify_id"]
    assert notes["add column refunds.amount_cents"] == ""


def test_duplicates_stop_a_unique_index_with_their_ids(platform_url: str) -> None:
    run(
        platform_url,
        """
        UPDATE tenant_older.orders SET shopify_order_id = '900';
        CREATE TABLE tenant_older.customers (id text PRIMARY KEY, shopify_id text, email text);
        INSERT INTO tenant_older.customers VALUES ('c1', '5', 'a@example.test'), ('c2', '5', 'b@example.test'),
            ('c3', NULL, NULL), ('c4', NULL, NULL);
        """,
    )

    with pytest.raises(MigrationFailed) as caught:
        migrate(platform_url)

    message = str(caught.value)
    assert "create index ux_orders_shopify_order_id on orders: duplicate rows o1 = o2" in message
    assert "create index ux_customers_shopify_id on customers: duplicate rows c1 = c2" in message
    assert "example.test" not in message
    assert "c3" not in message
    assert fetch(platform_url, "SELECT to_regclass('tenant_older.refunds')") == [(None,)]  # rolled back as a whole
    run(
        platform_url,
        """
        UPDATE tenant_older.orders SET shopify_order_id = id;
        DELETE FROM tenant_older.customers WHERE id = 'c2';
        """,
    )
    assert "create index ux_orders_shopify_order_id" in [a.what for a in migrate(platform_url).schemas["tenant_older"]]


def test_applications_role_sees_and_writes_as_before(platform_url: str, app: psycopg.Connection[Any]) -> None:
    seen = "SELECT slug FROM organizations ORDER BY slug"
    hooks = "SELECT target_url FROM platform_webhooks ORDER BY target_url"
    before = (app.execute(seen).fetchall(), app.execute(hooks).fetchall())

    migrate(platform_url)

    assert (app.execute(seen).fetchall(), app.execute(hooks).fetchall()) == before
    app.execute("INSERT INTO organizations (slug, name) VALUES ('made_by_app', 'App')")
    assert app.execute("UPDATE platform_webhooks SET status = 'delivered'").rowcount == 2
    assert app.execute("DELETE FROM platform_webhooks").rowcount == 2
    assert app.execute("UPDATE tenant_older.orders SET app_only = 'z'").rowcount == 2


def test_row_security_of_the_applications_is_left_to_them(platform_url: str, app: psycopg.Connection[Any]) -> None:
    run(
        platform_url,
        """
        ALTER TABLE platform_webhooks ENABLE ROW LEVEL SECURITY;
        CREATE POLICY app_own ON platform_webhooks TO cgk_test_app USING (target_url LIKE '%older%');
        """,
    )

    migrate(platform_url)

    assert app.execute("SELECT target_url FROM platform_webhooks").fetchall() == [("https://example.test/older",)]
    policies = "SELECT polname, polpermissive FROM pg_policy WHERE polrelid = 'platform_webhooks'::regclass ORDER BY 1"
    assert fetch(platform_url, policies) == [
        ("app_own", True),
        ("cgk_fence_platform_webhooks", False),
        ("cgk_platform_platform_webhooks", True),
        ("cgk_tenants_platform_webhooks", True),
    ]
    with psycopg.connect(platform_url) as admin:
        admin.execute("SET LOCAL ROLE cgk_t_elder")
        admin.execute(
            "SELECT set_config('cgk.tenant_id', %s, true)",
            (str(fetch(platform_url, "SELECT id FROM organizations WHERE slug = 'elder'")[0][0]),),
        )
        seen = admin.execute("SELECT target_url FROM platform_webhooks").fetchall()
    assert seen == [("https://example.test/elder",)]


def test_sleeping_restrictive_policy_is_not_woken(platform_url: str) -> None:
    run(platform_url, "CREATE POLICY asleep ON platform_webhooks AS RESTRICTIVE USING (false)")

    with pytest.raises(MigrationFailed, match="platform_webhooks has restrictive policies"):
        migrate(platform_url)
