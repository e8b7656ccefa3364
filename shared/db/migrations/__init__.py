"""Bring a database to what the jobs need: all of it when empty, only what is missing when it is a CGK database."""

from shared.db.migrations.planning import Action
from shared.db.migrations.roles import ensure_login_role
from shared.db.migrations.runner import MigrationFailed, MigrationReport, migrate
from shared.db.migrations.tenants import activate, provision_missing, provision_tenant, suspend

__all__ = [
    "Action",
    "MigrationFailed",
    "MigrationReport",
    "activate",
    "ensure_login_role",
    "migrate",
    "provision_missing",
    "provision_tenant",
    "suspend",
]
