"""Tenants: make one, provision those that the applications made, suspend and activate."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from shared.db.connections import Connection, connect
from shared.db.migrations.runner import (
    MigrationFailed,
    migrate_platform,
    migrate_schema,
    pending_tenants,
    target_of_tenant,
)
from shared.db.names import checked_role

TenantStatus = Literal["onboarding", "active", "suspended"]

INSERT_ORGANIZATION = """
-- a tenant that may be there already: its row stays as it is
INSERT INTO public.organizations (slug, name, status)
VALUES (%(slug)s, %(name)s, %(status)s::public.organization_status)
ON CONFLICT (slug) DO NOTHING
"""
FIND_ORGANIZATION = "SELECT id FROM public.organizations WHERE slug = %(slug)s"
SET_STATUS = """
UPDATE public.organizations SET status = %(status)s::public.organization_status, updated_at = now()
WHERE slug = %(slug)s RETURNING id
"""


def provision_tenant(
    admin_url: str, slug: str, name: str, status: TenantStatus = "active", *, login_role: str = "cgk_jobs"
) -> UUID:
    """Make the tenant's organization (if missing), schema, role, tables and grants; its organizations.id.

    Idempotent. Raises SlugRefused before anything is touched, MigrationFailed when the schema cannot be made.
    """
    target = target_of_tenant(slug, checked_role(login_role))
    with connect(admin_url, application_name="cgk-jobs provision") as connection:
        migrate_platform(connection, login_role)
        connection.execute(INSERT_ORGANIZATION, {"slug": slug, "name": name, "status": status})
        migrate_schema(connection, target)
        row = connection.execute(FIND_ORGANIZATION, {"slug": slug}).fetchone()
    if row is None:
        raise MigrationFailed(f"tenant {slug}: its organization was deleted while it was provisioned")
    organization_id: UUID = row[0]
    return organization_id


def provision_missing(admin_url: str, *, login_role: str = "cgk_jobs") -> list[str]:
    """Provision the tenants that have no schema, role or tables of the jobs yet; their slugs.

    Slugs that are refused are passed over (migrate reports them). A failure is raised after the others are done.
    """
    checked_role(login_role)
    with connect(admin_url, application_name="cgk-jobs provision") as connection:
        migrate_platform(connection, login_role)
        missing, _refused = pending_tenants(connection, login_role, only_missing=True)
        provisioned, failures = [], []
        for slug in missing:
            try:
                migrate_schema(connection, target_of_tenant(slug, login_role))
            except MigrationFailed as problem:
                failures.append(str(problem))
            else:
                provisioned.append(slug)
    if failures:
        raise MigrationFailed("; ".join(failures))
    return provisioned


def suspend(admin_url: str, slug: str) -> None:
    """Stop the tenant's jobs: its runs are skipped, payloads kept. Raises LookupError when there is no such tenant."""
    _set_status(admin_url, slug, "suspended")


def activate(admin_url: str, slug: str) -> None:
    """Let the tenant's jobs run. Raises LookupError when there is no such tenant."""
    _set_status(admin_url, slug, "active")


def _set_status(admin_url: str, slug: str, status: TenantStatus) -> None:
    with connect(admin_url, application_name="cgk-jobs tenants") as connection:
        if not _updated(connection, slug, status):
            raise LookupError(f"there is no tenant {slug!r}")


def _updated(connection: Connection, slug: str, status: TenantStatus) -> bool:
    return connection.execute(SET_STATUS, {"slug": slug, "status": status}).fetchone() is not None
