"""Migrations of an empty database, resumption, refusals, provisioning."""

from __future__ import annotations

import threading
import time
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from shared.db.migrations import (
    MigrationFailed,
    activate,
    ensure_login_role,
    migrate,
    provision_missing,
    provision_tenant,
    suspend,
)
from shared.db.names import SlugRefused
from tests.shared.db.conftest import fetch, run

TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname = %s"
EVERYTHING = """
SELECT string_agg(format('%s %s %s', n.nspname, c.relname, c.relkind), ',' ORDER BY n.nspname, c.relname)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema'
"""


def test_empty_database_gets_ledger_shared_tables_and_roles(empty_url: str) -> None:
    report = migrate(empty_url)

    assert set(report.schemas) == {"jobs", "public"}
    assert fetch(empty_url, "SELECT to_regclass('jobs.claims'), to_regclass('public.organizations')") == [
        ("jobs.claims", "organizations")
    ]
    roles = "SELECT rolname, rolinherit FROM pg_roles WHERE rolname IN ('cgk_jobs', 'cgk_tenants', 'cgk_platform')"
    assert sorted(fetch(empty_url, roles)) == [("cgk_jobs", False), ("cgk_platform", True), ("cgk_tenants", True)]


def test_plan_shows_what_would_happen_and_changes_nothing(empty_url: str) -> None:
    before = fetch(empty_url, EVERYTHING)

    planned = migrate(empty_url, plan_only=True)

    assert fetch(empty_url, EVERYTHING) == before
    assert "create table organizations" in [action.what for action in planned.schemas["public"]]
    done = migrate(empty_url)
    assert done.schemas["public"] == planned.schemas["public"]
    assert [*planned.schemas["jobs"]][1:] == [*done.schemas["jobs"]]  # the schema itself comes first of all


def test_second_run_is_a_no_op(empty_url: str) -> None:
    migrate(empty_url)
    provision_tenant(empty_url, "twice", "Twice")
    applied = fetch(empty_url, "SELECT schema_name, applied_at FROM jobs.migrations ORDER BY 1")

    report = migrate(empty_url)

    assert not report.changed
    assert not migrate(empty_url, plan_only=True).changed
    assert fetch(empty_url, "SELECT schema_name, applied_at FROM jobs.migrations ORDER BY 1") == applied


def test_without_its_record_a_complete_schema_needs_only_its_grants_and_views_again(empty_url: str) -> None:
    provision_tenant(empty_url, "norecord", "No record")
    run(empty_url, "DELETE FROM jobs.migrations")

    report = migrate(empty_url)

    assert [action.what for action in report.schemas["tenant_norecord"]] == [
        "replace view refund_figures",
        "replace view order_figures",
        "grant the tenant's schema to its role",
    ]
    ledger = [action.what for action in report.schemas["jobs"]]
    assert [what for what in ledger if not what.startswith("replace function ")] == [
        "grant the ledger to the login role",
        "grant what health checks read to the platform role",
    ]
    assert "replace function due" in ledger


def test_changed_view_is_replaced_an_unchanged_one_is_not(empty_url: str) -> None:
    provision_tenant(empty_url, "viewer", "Viewer")
    run(
        empty_url,
        """
        UPDATE jobs.migrations SET fingerprint = 'older', replaced = replaced || '{"view order_figures": "older"}'
        WHERE schema_name = 'tenant_viewer'
        """,
    )

    report = migrate(empty_url)

    assert [action.what for action in report.schemas["tenant_viewer"]] == [
        "replace view order_figures",
        "grant the tenant's schema to its role",
    ]


def test_provisioned_tenant_has_schema_role_and_tables(empty_url: str) -> None:
    organization_id = provision_tenant(empty_url, "fresh", "Fresh", "onboarding")

    assert fetch(empty_url, "SELECT id, slug, name, status::text FROM organizations") == [
        (organization_id, "fresh", "Fresh", "onboarding")
    ]
    assert fetch(empty_url, TABLES, ("tenant_fresh",))[0][0] > 40
    assert fetch(empty_url, "SELECT pg_has_role('cgk_t_fresh', 'cgk_tenants', 'USAGE')") == [(True,)]
    assert provision_tenant(empty_url, "fresh", "Another name") == organization_id
    assert fetch(empty_url, "SELECT name FROM organizations") == [("Fresh",)]


@pytest.mark.parametrize(
    ("slug", "reason"),
    [
        pytest.param("system", "reserved", id="the reserved slug"),
        pytest.param("a" * 51, "51 bytes", id="longer than 50 bytes"),
        pytest.param("Acme", "only a-z", id="upper case"),
        pytest.param("a-b", "only a-z", id="a dash"),
        pytest.param("", "only a-z", id="empty"),
        pytest.param('x"; DROP SCHEMA public', "only a-z", id="an injection"),
    ],
)
def test_slug_is_refused_before_anything_is_touched(empty_url: str, slug: str, reason: str) -> None:
    with pytest.raises(SlugRefused, match=reason):
        provision_tenant(empty_url, slug, "No")

    assert fetch(empty_url, "SELECT to_regclass('public.organizations')") == [(None,)]


def test_slug_of_50_bytes_works(empty_url: str) -> None:
    provision_tenant(empty_url, "f" * 50, "Fifty")

    assert fetch(empty_url, TABLES, ("tenant_" + "f" * 50,))[0][0] > 40


def test_tenants_that_applications_made_are_provisioned_and_refused_ones_reported(empty_url: str) -> None:
    migrate(empty_url)
    run(
        empty_url,
        "INSERT INTO organizations (slug, name) VALUES ('later', 'L'), (repeat('z', 51), 'Z'), ('system', 'S')",
    )

    assert provision_missing(empty_url) == ["later"]
    assert provision_missing(empty_url) == []
    assert set(migrate(empty_url).refused) == {"z" * 51, "system"}


def test_suspend_and_activate(empty_url: str) -> None:
    provision_tenant(empty_url, "paused", "Paused")

    suspend(empty_url, "paused")
    assert fetch(empty_url, "SELECT status::text FROM organizations") == [("suspended",)]
    activate(empty_url, "paused")
    assert fetch(empty_url, "SELECT status::text FROM organizations") == [("active",)]
    with pytest.raises(LookupError, match="nobody"):
        suspend(empty_url, "nobody")


def test_killed_run_goes_on_where_it_stopped(empty_url: str) -> None:
    migrate(empty_url)
    run(
        empty_url,
        """
        INSERT INTO organizations (slug, name, created_at)
        VALUES ('kill_a', 'A', '2026-01-01Z'), ('kill_b', 'B', '2026-01-02Z'), ('kill_c', 'C', '2026-01-03Z');
        CREATE SCHEMA tenant_kill_b; CREATE TABLE tenant_kill_b.refunds (id text PRIMARY KEY);
        """,
    )
    errors: list[BaseException] = []

    def migrating() -> None:
        try:
            migrate(empty_url)
        except psycopg.Error as error:
            errors.append(error)

    with psycopg.connect(empty_url) as holder:
        holder.execute("LOCK TABLE tenant_kill_b.refunds IN ACCESS EXCLUSIVE MODE")
        worker = threading.Thread(target=migrating)
        worker.start()
        _kill_the_one_that_waits(empty_url)
        worker.join()

    assert [type(error).__name__ for error in errors] == ["AdminShutdown"]
    tenants = "SELECT schema_name FROM jobs.migrations WHERE schema_name LIKE 'tenant%' ORDER BY 1"
    assert fetch(empty_url, tenants) == [("tenant_kill_a",)]
    report = migrate(empty_url)
    assert set(report.schemas) == {"tenant_kill_b", "tenant_kill_c"}
    assert len(fetch(empty_url, tenants)) == 3


def _kill_the_one_that_waits(url: str) -> None:
    query = """
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'cgk-jobs migrate' AND wait_event_type = 'Lock'
    """
    for _ in range(500):
        if fetch(url, query):
            return
        time.sleep(0.01)
    raise AssertionError("the migration never waited for the lock")


def test_two_runs_at_once_take_turns(empty_url: str) -> None:
    reports: list[Any] = []
    workers = [threading.Thread(target=lambda: reports.append(migrate(empty_url))) for _ in range(2)]

    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    assert len(reports) == 2
    created = [a.what for report in reports for actions in report.schemas.values() for a in actions]
    assert created.count("create table organizations") == 1


def test_statement_that_fails_is_named(empty_url: str) -> None:
    migrate(empty_url)
    run(
        empty_url,
        """
        INSERT INTO organizations (slug, name) VALUES ('broken', 'Broken');
        CREATE SCHEMA tenant_broken; CREATE VIEW tenant_broken.order_figures AS SELECT 1 AS other;
        """,
    )

    with pytest.raises(MigrationFailed, match="schema tenant_broken: replace view order_figures: cannot change name"):
        migrate(empty_url)


def test_one_tenants_trouble_does_not_keep_the_others_from_their_schema(empty_url: str) -> None:
    migrate(empty_url)
    run(
        empty_url,
        """
        INSERT INTO organizations (slug, name, created_at)
        VALUES ('bad', 'B', '2026-01-01Z'), ('good', 'G', '2026-01-02Z');
        CREATE SCHEMA tenant_bad; CREATE VIEW tenant_bad.order_figures AS SELECT 1 AS other;
        """,
    )

    with pytest.raises(MigrationFailed, match="tenant_bad"):
        provision_missing(empty_url)

    assert fetch(empty_url, TABLES, ("tenant_good",))[0][0] > 40


def test_admin_needs_no_superuser(empty_url: str, server_url: str) -> None:
    """As in production: the owner of the database with CREATEROLE, member of nothing else."""
    name = psycopg.conninfo.conninfo_to_dict(empty_url)["dbname"]
    run(
        empty_url,
        f"""
        DO $$ BEGIN CREATE ROLE cgk_test_owner LOGIN CREATEROLE PASSWORD 'owner';
        EXCEPTION WHEN duplicate_object THEN NULL; END $$;
        DO $$ DECLARE r text; BEGIN
            FOREACH r IN ARRAY ARRAY['cgk_jobs', 'cgk_tenants', 'cgk_platform'] LOOP
                IF EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN
                    EXECUTE format('GRANT %I TO cgk_test_owner WITH ADMIN OPTION', r);
                END IF;
            END LOOP;
        END $$;
        ALTER DATABASE "{name}" OWNER TO cgk_test_owner;
        """,
    )
    owner_url = make_conninfo(empty_url, user="cgk_test_owner", password="owner")

    ensure_login_role(owner_url, "cgk_jobs", "cgk-jobs-test")
    provision_tenant(owner_url, "owned", "Owned")

    with psycopg.connect(make_conninfo(empty_url, user="cgk_jobs", password="cgk-jobs-test")) as login:
        login.execute("SET LOCAL ROLE cgk_t_owned")
        assert login.execute("SELECT count(*) FROM tenant_owned.orders").fetchone() == (0,)
