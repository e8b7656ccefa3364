"""cgk-jobs db: migrate, login."""

from __future__ import annotations

from argparse import Namespace

from shared.cli.errors import UsageError
from shared.cli.output import Printer
from shared.cli.platform import Platform


def migrate(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """{"plan": bool, "schemas": {name: [{"what", "note", "sql"}]}, "refused": {slug: reason}}."""
    from shared.db.migrations import migrate

    report = migrate(platform.admin_url, login_role=_role(arguments), plan_only=arguments.plan)
    if printer.as_json:
        schemas = {
            name: [{"what": action.what, "note": action.note, "sql": action.sql} for action in actions]
            for name, actions in report.schemas.items()
        }
        printer.json({"plan": arguments.plan, "schemas": schemas, "refused": dict(report.refused)})
        return
    for name, actions in report.schemas.items():
        printer.line(f"schema {name}:")
        for action in actions:
            printer.line(f"  {action.what}{f' ({action.note})' if action.note else ''}")
            if arguments.sql and action.sql:
                printer.line("    " + action.sql.replace("\n", "\n    "))
    for slug, reason in report.refused.items():
        printer.line(f"tenant {slug} is left out: {reason}")
    total = sum(len(actions) for actions in report.schemas.values())
    if not report.changed:
        printer.line("the database is up to date")
    else:
        verb = "would be" if arguments.plan else "were"
        printer.line(f"{total} changes in {len(report.schemas)} schemas {verb} made")


def login(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """Give the role of DATABASE_URL its password: {"role"}; UsageError when the URL names another role or none."""
    from psycopg.conninfo import conninfo_to_dict

    from shared.db.migrations import ensure_login_role

    given = conninfo_to_dict(platform.required("DATABASE_URL"))
    role = _role(arguments)
    if given.get("user") != role:
        raise UsageError(f"DATABASE_URL logs in as {given.get('user')!r}, not as {role!r}; name it with --login-role")
    password = given.get("password")
    if not password:
        raise UsageError("DATABASE_URL holds no password that could be set")
    ensure_login_role(platform.admin_url, role, str(password))
    if printer.as_json:
        printer.json({"role": role})
    else:
        printer.line(f"role {role} can log in with the password of DATABASE_URL")


def _role(arguments: Namespace) -> str:
    from shared.db.names import checked_role

    try:
        return checked_role(arguments.login_role)
    except ValueError as error:
        raise UsageError(str(error)) from None
