"""Checks of the database: reachable, the login, the clock, migrations, partitions, tenants, outbox, key."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from shared.cli.checks import Finding, fine, problem, some
from shared.cli.platform import Platform

MIN_SERVER = 150_000
"""PostgreSQL 15."""
MAX_SKEW_S = 5.0
"""Leases and waits are compared across machines; beyond this many seconds they end visibly early or late."""
MAX_BACKLOG_S = 300.0
"""The sweeper takes rows of the outbox after 60 s, once a minute."""

SERVER = "SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_user"
ROLE = """
-- doctor: what the login may do beyond what the jobs need
SELECT r.rolsuper, r.rolinherit, r.rolbypassrls, r.rolcreaterole,
       (SELECT count(*) FROM pg_catalog.pg_class c WHERE c.relowner = r.oid) AS owned
FROM pg_catalog.pg_roles r WHERE r.rolname = current_user
"""
CLOCK = "SELECT clock_timestamp()"


def reachable(platform: Platform) -> Finding:
    """The jobs' login can connect; the server is new enough."""
    row = platform.database().execute(SERVER).fetchone()
    assert row is not None
    number, version, user = row
    if number < MIN_SERVER:
        return problem(f"PostgreSQL {version} is too old: 15 or newer is needed")
    return fine(f"PostgreSQL {version}, as {user}")


def login_role(platform: Platform) -> Finding:
    """The login can do nothing by itself: it takes a tenant's role for each transaction."""
    row = platform.database().execute(ROLE).fetchone()
    assert row is not None
    superuser, inherit, bypass, create_role, owned = row
    wrong = [
        text
        for holds, text in (
            (superuser, "is a superuser"),
            (inherit, "inherits the rights of its roles"),
            (bypass, "bypasses row-level security"),
            (create_role, "may create roles"),
            (owned, f"owns {owned} tables or indexes"),
        )
        if holds
    ]
    if wrong:
        return problem(
            f"the login of DATABASE_URL {', '.join(wrong)}: use a role of its own "
            "(`cgk-jobs db migrate`, then `cgk-jobs db login`), or ALTER ROLE it to NOINHERIT NOSUPERUSER NOBYPASSRLS"
        )
    return fine("owns nothing, inherits nothing, no superuser")


def clock(platform: Platform) -> Finding:
    """This machine and the database agree on the time."""
    conn = platform.database()
    before = platform.now()
    row = conn.execute(CLOCK).fetchone()
    after = platform.now()
    assert row is not None
    skew = (row[0] - (before + (after - before) / 2)).total_seconds()
    if abs(skew) > MAX_SKEW_S:
        return problem(f"the database's clock is {skew:+.1f} s off this machine's: synchronise both (NTP)")
    return fine(f"{skew:+.2f} s between the database and this machine")


def migrations(platform: Platform) -> Finding:
    """Nothing is left for `db migrate`."""
    from shared.db.migrations import migrate

    url = platform.secret("DATABASE_ADMIN_URL") or platform.required("DATABASE_URL")
    report = migrate(url, plan_only=True, **_role(platform))
    if report.changed:
        n = sum(len(actions) for actions in report.schemas.values())
        return problem(f"{n} changes are due in {some(sorted(report.schemas))}: run `cgk-jobs db migrate`")
    if report.refused:
        return problem(f"tenants that cannot be provisioned: {'; '.join(report.refused.values())}")
    return fine("up to date")


def _role(platform: Platform) -> dict[str, Any]:
    """The login's role, whose grants are part of the migrations; the default when it is the owner's own login."""
    row = (
        platform.database()
        .execute("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user")
        .fetchone()
    )
    return {"login_role": row[0]} if row and not row[1] else {}


def partitions(platform: Platform) -> Finding:
    """The ledger has today's and tomorrow's partitions."""
    from shared.db.partitions import missing_partitions

    missing = missing_partitions(platform.database(), platform.now().date(), days_ahead=1)
    if missing:
        return problem(
            f"{len(missing)} daily partitions are missing ({some(missing, 2)}): run `cgk-jobs db migrate`, and see why "
            "the kernel function partitions did not"
        )
    return fine("those of today and tomorrow are there")


def tenants(platform: Platform) -> Finding:
    """Every tenant has its role and schema."""
    from shared.cli.tenants import tenants_of

    found = tenants_of(platform.database())
    missing = [tenant["slug"] for tenant in found if not tenant["provisioned"]]
    if missing:
        return problem(f"not provisioned: {some(missing)}: run `cgk-jobs tenants provision`")
    return fine(f"{len(found)} tenants, all provisioned")


def outbox(platform: Platform) -> Finding:
    """What the jobs emitted has left."""
    from shared.jobs.ledger import outbox_backlog

    backlog = outbox_backlog(platform.database())
    if backlog.oldest_at and platform.now() - backlog.oldest_at > timedelta(seconds=MAX_BACKLOG_S):
        return problem(
            f"{backlog.rows} rows wait in the outbox, the oldest since {backlog.oldest_at:%Y-%m-%d %H:%M} UTC: "
            "see the log of the kernel function sweep"
        )
    return fine(f"{backlog.rows} rows wait")


def key(platform: Platform) -> Finding:
    """The encryption key is there."""
    from shared.crypto import key_id_of

    return fine(
        f"INTEGRATION_ENCRYPTION_KEY is set, key id {key_id_of(platform.required('INTEGRATION_ENCRYPTION_KEY'))}"
    )


DATABASE_CHECKS: list[tuple[str, Callable[[Platform], Finding]]] = [
    ("database", reachable),
    ("login role", login_role),
    ("clock", clock),
    ("migrations", migrations),
    ("partitions", partitions),
    ("tenants", tenants),
    ("outbox", outbox),
    ("encryption key", key),
]
