"""Roles: the login of the jobs, the platform's role, the group of all tenants' roles, one role per tenant.

The admin need not be a superuser: CREATEROLE is enough, because who creates a role may grant it (PostgreSQL 16: by its
ADMIN OPTION).
"""

from __future__ import annotations

from psycopg import sql

from shared.db.connections import connect
from shared.db.migrations.catalog import Catalog
from shared.db.migrations.planning import Action
from shared.db.names import PLATFORM_ROLE, TENANTS_ROLE, checked_role

INHERIT_OPTION_SINCE = 160000  # PostgreSQL 16 has WITH INHERIT, SET; before it the login's NOINHERIT does the same

_FIND_ROLE = "SELECT rolcanlogin FROM pg_roles WHERE rolname = %(name)s"
_CREATE_LOGIN = "CREATE ROLE {name} LOGIN NOINHERIT PASSWORD {password}"
_ALTER_LOGIN = "ALTER ROLE {name} LOGIN NOINHERIT PASSWORD {password}"


def ensure_login_role(admin_url: str, name: str, password: str) -> None:
    """Make `name` a role that can log in with `password`, inherits nothing and owns nothing."""
    checked_role(name)
    with connect(admin_url, application_name="cgk-jobs roles") as connection:
        there = connection.execute(_FIND_ROLE, {"name": name}).fetchone()
        text = _CREATE_LOGIN if there is None else _ALTER_LOGIN
        connection.execute(sql.SQL(text).format(name=sql.Identifier(name), password=sql.Literal(password)))


def platform_roles(catalog: Catalog, login_role: str) -> list[Action]:
    """The roles that exist once: login (without a password until ensure_login_role), group of tenants, platform."""
    return [
        *_role(catalog, login_role, "NOINHERIT"),
        *_role(catalog, TENANTS_ROLE),
        *_role(catalog, PLATFORM_ROLE),
        *_switch(catalog, PLATFORM_ROLE, login_role),
    ]


def tenant_roles(catalog: Catalog, role: str, login_role: str) -> list[Action]:
    """The role of one tenant: member of the group (its grants and policies apply), the login may switch to it."""
    actions = _role(catalog, role)
    if (TENANTS_ROLE, role) not in catalog.memberships:
        actions.append(Action(f"grant {TENANTS_ROLE} to {role}", f"GRANT {TENANTS_ROLE} TO {role};"))
    return [*actions, *_switch(catalog, role, login_role)]


def _role(catalog: Catalog, name: str, options: str = "") -> list[Action]:
    if name in catalog.roles:
        return []
    return [Action(f"create role {name}", f"CREATE ROLE {name} NOLOGIN {options};")]


def _switch(catalog: Catalog, role: str, login_role: str) -> list[Action]:
    """Let the login SET ROLE to `role` without having its rights before."""
    if (role, login_role) in catalog.memberships:
        return []
    options = " WITH INHERIT FALSE, SET TRUE" if catalog.server >= INHERIT_OPTION_SINCE else ""
    return [Action(f"grant {role} to {login_role}", f"GRANT {role} TO {login_role}{options};")]
