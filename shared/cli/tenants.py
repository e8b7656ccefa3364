"""cgk-jobs tenants: list, add, provision, suspend, activate."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from psycopg.rows import dict_row

from shared.cli.errors import Failure, UsageError, nearest
from shared.cli.output import Printer
from shared.cli.platform import Platform
from shared.db.connections import Connection, connect
from shared.jobs.tenants import REMEMBER_S

REPLAY_LIMIT = 1_000_000
"""Skipped runs that an activation sends at most."""

LIST = """
-- command line: tenants, and whether role and schema are there
SELECT o.slug, o.name, o.status::text AS status, o.id, o.created_at,
       r.rolname IS NOT NULL AND to_regnamespace('tenant_' || o.slug) IS NOT NULL AS provisioned
FROM public.organizations o LEFT JOIN pg_catalog.pg_roles r ON r.rolname = 'cgk_t_' || o.slug
ORDER BY o.slug
"""


def tenants_of(conn: Connection) -> list[dict[str, Any]]:
    """Rows of slug, name, status, id, created_at, provisioned."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(LIST).fetchall()


def list_tenants(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """{"tenants": [{"slug", "name", "status", "id", "created_at", "provisioned"}]}."""
    found = tenants_of(platform.database())
    if printer.as_json:
        printer.json({"tenants": found})
        return
    printer.table(
        ["SLUG", "NAME", "STATUS", "PROVISIONED", "ORGANIZATION"],
        [[t["slug"], t["name"], t["status"], t["provisioned"], t["id"]] for t in found],
        nothing="there are no tenants yet: `cgk-jobs tenants add SLUG --name NAME`",
    )


def add(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """Make a tenant: {"slug", "id", "created"}; one that is there keeps its row and gets what is missing."""
    from shared.db.migrations import provision_tenant

    before = {tenant["slug"] for tenant in _all(platform)}
    id = provision_tenant(platform.admin_url, arguments.slug, arguments.name, arguments.status)
    created = arguments.slug not in before
    if printer.as_json:
        printer.json({"slug": arguments.slug, "id": id, "created": created})
    elif created:
        printer.line(f"tenant {arguments.slug} was made and provisioned ({id})")
    else:
        printer.line(f"tenant {arguments.slug} was there already ({id}); its row was left as it is")


def provision(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """Provision one tenant or all that lack it: {"provisioned": [slugs]}."""
    from shared.db.migrations import provision_missing, provision_tenant

    if arguments.slug is None:
        done = provision_missing(platform.admin_url)
    else:
        known = {tenant["slug"]: tenant for tenant in _all(platform)}
        tenant = known.get(arguments.slug)
        if tenant is None:
            raise UsageError(f"there is no tenant {arguments.slug!r}{nearest(arguments.slug, list(known))}")
        provision_tenant(platform.admin_url, tenant["slug"], tenant["name"], tenant["status"])
        done = [arguments.slug]
    if printer.as_json:
        printer.json({"provisioned": done})
    else:
        printer.line(f"provisioned: {', '.join(done)}" if done else "every tenant is provisioned")


def suspend(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """Stop a tenant's jobs: {"slug", "status"}."""
    _change(platform, printer, arguments.slug, "suspended")


def activate(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """Let a tenant's jobs run: {"slug", "status"}, with --replay "replayed": runs sent that were skipped meanwhile."""
    slug = arguments.slug
    if not arguments.replay:
        _change(platform, printer, slug, "active")
        if not printer.as_json:
            printer.line(f"what was skipped meanwhile runs with: cgk-jobs replay --tenant {slug} --state skipped")
        return
    from shared.cli.replay import replayer
    from shared.jobs.ledger import RunFilter

    _set_status(platform, slug, "active")
    where = RunFilter(tenant=slug, state="skipped")
    done = replayer(platform).replay(where, now=platform.now(), limit=REPLAY_LIMIT)
    if printer.as_json:
        printer.json({"slug": slug, "status": "active", "replayed": done.total})
    else:
        printer.line(f"tenant {slug} is active; {done.total} skipped runs were sent again")
    if done.refused:
        raise Failure(f"{done.refused} messages were not taken by their queue; replay them again")


def _change(platform: Platform, printer: Printer, slug: str, status: str) -> None:
    _set_status(platform, slug, status)
    if printer.as_json:
        printer.json({"slug": slug, "status": status})
    else:
        printer.line(f"tenant {slug} is {status}; running functions know it within {REMEMBER_S:g} s")


def _set_status(platform: Platform, slug: str, status: str) -> None:
    from shared.db import migrations

    try:
        (migrations.suspend if status == "suspended" else migrations.activate)(platform.admin_url, slug)
    except LookupError:
        raise Failure(f"there is no tenant {slug!r}{nearest(slug, [t['slug'] for t in _all(platform)])}") from None


def _all(platform: Platform) -> list[dict[str, Any]]:
    """As the owner: these commands need no other login."""
    with connect(platform.admin_url, application_name="cgk-jobs cli") as conn:
        there = conn.execute("SELECT to_regclass('public.organizations') IS NOT NULL").fetchone()
        return tenants_of(conn) if there and there[0] else []
