"""The commands and their options. Each names its function as text, so that nothing of it is imported here."""

from __future__ import annotations

import argparse
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID

from shared.cli.errors import nearest

DESCRIPTION = """Background jobs of CGK: look at them, start them, see what they did.

Settings come from the environment (DATABASE_URL, DATABASE_ADMIN_URL, INTEGRATION_ENCRYPTION_KEY, AWS_*, CGK_BUS,
CGK_QUEUE_PREFIX); beside a running scripts/dev none is needed."""
EXIT_CODES = "exit codes: 0 done, 1 the job failed or the work could not be done, 2 wrong use"
WAIT_S = 120
"""Seconds that --wait follows a run unless told otherwise."""
LIMIT = 50
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
PAYLOAD_HELP = "a file, JSON text, or - for standard input"


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, and which command was perhaps meant."""

    def error(self, message: str) -> NoReturn:
        if wrong := re.search(r"invalid choice: '?([^' ]*?)'? \(", message):
            known = [name for action in self._actions for name in (action.choices or ())]
            there = nearest(wrong[1], known) or f"; there is {', '.join(known)}"
            message = f"there is no {wrong[1]!r} here{there}"
        print(f"{self.prog}: {message} (see {self.prog} --help)", file=sys.stderr)
        raise SystemExit(2)


def make_parser() -> Parser:
    """The whole command line."""
    parser = Parser("cgk-jobs", description=DESCRIPTION, epilog=EXIT_CODES, formatter_class=_Format)
    parser.set_defaults(json=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    _jobs(commands)
    _sending(commands)
    _runs(commands)
    _replay(commands)
    _pauses(commands)
    _dead_letters(commands)
    _workflows(commands)
    _tenants(commands)
    _keys(commands)
    _cost(commands)
    _upkeep(commands)
    return parser


class _Format(argparse.RawDescriptionHelpFormatter):
    """Keeps the examples as they are written."""


def _add(commands: Any, name: str, run: str, summary: str, example: str) -> Any:
    """One command with its example; `run` is module:function below shared.cli."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[:1].upper()}{summary[1:]}.",
        epilog=f"example:\n  cgk-jobs {example}",
        formatter_class=_Format,
    )
    parser.set_defaults(run=f"shared.cli.{run}")
    parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON with stable keys")
    return parser


def _group(commands: Any, name: str, summary: str, *, required: bool = True) -> Any:
    parser = commands.add_parser(name, help=summary, description=f"{summary[:1].upper()}{summary[1:]}.")
    return parser.add_subparsers(required=required, metavar="COMMAND", title="commands")


def _jobs(commands: Any) -> None:
    listing = _add(commands, "list", "jobs:list_jobs", "list the declared jobs", "list --category commerce")
    listing.add_argument("--category", help="only this category")
    listing.add_argument("--queue", help="only this queue, e.g. order-processing-bulk")
    listing.add_argument("--event", help="only jobs that listen to this event")
    schedules = _add(
        commands, "schedules", "schedules:list_schedules", "list when the cron jobs run next", "schedules --next 24h"
    )
    schedules.add_argument("--next", type=_age, metavar="AGE", help="all instants of this time to come: 2h, 24h, 7d")
    schedules.add_argument("--job", help="only this job")
    show = _add(commands, "show", "jobs:show_job", "show one job's declaration", "show commerce-sync-order")
    show.add_argument("job", metavar="JOB")


def _sending(commands: Any) -> None:
    example = """trigger commerce-sync-order --tenant acme --payload '{"orderId": "1001"}' --wait"""
    trigger = _add(commands, "trigger", "sending:trigger", "send a payload straight to one job's queue", example)
    trigger.add_argument("job", metavar="JOB")
    example = """publish order.sync --tenant acme --payload order.json"""
    publish = _add(
        commands, "publish", "sending:publish", "publish an event on the bus, as an application does", example
    )
    publish.add_argument("event", metavar="EVENT")
    for parser in (trigger, publish):
        parser.add_argument("--tenant", required=True, metavar="T", help="slug or organizations.id")
        parser.add_argument("--payload", required=True, metavar="FILE|JSON", help=PAYLOAD_HELP)
        parser.add_argument("--key", metavar="K", help="idempotency key: the same key and payload run once")
        parser.add_argument(
            "--wait",
            nargs="?",
            type=_seconds,
            const=WAIT_S,
            metavar="SECONDS",
            help=f"follow the run until it has ended, {WAIT_S} s at most; exit 1 when it is dead",
        )
    invoke = _add(
        commands,
        "invoke",
        "invoking:invoke",
        "run a job's sample message (events/<job>.json) through the real Lambda entry, in this process",
        "invoke commerce-sync-order --tenant acme",
    )
    invoke.add_argument("job", metavar="JOB")
    invoke.add_argument("--payload", metavar="FILE|JSON", help=f"instead of the sample's: {PAYLOAD_HELP}")
    invoke.add_argument("--tenant", metavar="T", help="instead of the sample's tenant acme")


def _runs(commands: Any) -> None:
    runs = _add(commands, "runs", "runs:list_runs", "search the ledger, newest first", "runs --state dead --since 24h")
    runs.add_argument("--job")
    runs.add_argument("--tenant")
    runs.add_argument(
        "--state", help="succeeded, dead, retrying, deferred, running, continuing, skipped, duplicate, .."
    )
    runs.add_argument("--code", help="error code, e.g. SHOPIFY_NOT_CONNECTED")
    runs.add_argument("--since", type=_instant, help="ISO instant (UTC unless it says otherwise) or age: 15m, 2h, 7d")
    runs.add_argument("--until", type=_instant, help="the same, exclusive")
    runs.add_argument("--correlation", metavar="ID", help="all runs of one chain")
    runs.add_argument("--limit", type=_positive, default=LIMIT, help=f"runs per page, {LIMIT}")
    runs.add_argument("--after", metavar="PLACE", help="continue after a page: its `next`")
    runs.add_argument("--count", action="store_true", help="count by job and state instead of listing")
    inner = runs.add_subparsers(metavar="COMMAND", title="commands for one run")
    show = _add(inner, "show", "runs:show_run", "show one run with its timeline", "runs show 0197f3a2-...")
    show.add_argument("id", metavar="ID", type=_uuid)
    show.add_argument(
        "--payload",
        action="store_true",
        dest="open_payload",
        help="open the sealed payload too; it holds personal data",
    )
    cancel = _add(
        inner,
        "cancel",
        "runs:cancel_run",
        "end a run that waits, ask a running one to stop",
        "runs cancel 0197f3a2-...",
    )
    cancel.add_argument("id", metavar="ID", type=_uuid)


def _replay(commands: Any) -> None:
    summary = "send dead and skipped runs again, with their identity; the claim decides what becomes of them"
    example = "replay --job commerce-sync-order --code SHOPIFY_UNAVAILABLE --since 2d --dry-run"
    replay = _add(commands, "replay", "replay:replay", summary, example)
    replay.add_argument("--job", help="only this job")
    replay.add_argument("--tenant", help="only this tenant's slug")
    replay.add_argument("--state", help="dead, skipped; deferred and retrying runs whose time is long over")
    replay.add_argument("--code", help="only this error code")
    replay.add_argument("--since", type=_instant, help="runs that began later: an ISO instant or an age, 2h, 7d")
    replay.add_argument("--until", type=_instant, help="runs that began before")
    replay.add_argument("--limit", type=_positive, default=1000, help="runs at most, the oldest first, 1000")
    replay.add_argument("--force", action="store_true", help="succeeded and cancelled runs too, a second time")
    replay.add_argument("--dry-run", action="store_true", help="only say what would be sent")


def _pauses(commands: Any) -> None:
    pause = _add(
        commands,
        "pause",
        "pauses:pause",
        "hold a job, a queue or a tenant back; nothing is lost",
        "pause order-processing --reason 'Shopify is down'",
    )
    pause.add_argument("--reason", help="for those who find it paused")
    resume = _add(
        commands, "resume", "pauses:resume", "let a job, a queue or a tenant go on", "resume order-processing"
    )
    for parser in (pause, resume):
        parser.add_argument("name", metavar="JOB|QUEUE|TENANT")
        parser.add_argument("--as", dest="scope", choices=("job", "queue", "tenant"), help="when a name means two")
    listing = _add(commands, "pauses", "pauses:list_pauses", "list what is paused", "pauses")
    listing.add_argument("--all", action="store_true", help="with those that have ended lately")


def _keys(commands: Any) -> None:
    inner = _group(commands, "keys", "look at the encryption keys, seal anew after a change")
    summary = "count what is sealed with which key"
    _add(inner, "status", "keys:status", summary, "keys status")
    summary = "seal anew with the current key what the previous one sealed; can be interrupted and taken up again"
    rotate = _add(inner, "rotate", "keys:rotate", summary, "keys rotate")
    rotate.add_argument(
        "--credentials",
        action="store_true",
        help="the tenants' credentials too, in the platform's format: once all applications know both keys",
    )
    rotate.add_argument("--objects", action="store_true", help="large payloads in the bucket too")


def _cost(commands: Any) -> None:
    summary = "say what the runs of the ledger cost on AWS, by job, tenant or day"
    cost = _add(commands, "cost", "cost:cost", summary, "cost --by tenant --by day --since 7d")
    cost.add_argument("--by", action="append", choices=("job", "tenant", "day"), help="several times too; job")
    cost.add_argument("--job", help="only this job")
    cost.add_argument("--tenant", help="only this tenant's slug")
    cost.add_argument("--since", type=_instant, help="runs that began later: an ISO instant or an age; 30d")
    cost.add_argument("--until", type=_instant, help="runs that began before")
    cost.add_argument("--limit", type=_positive, default=LIMIT, help=f"groups at most, the dearest first, {LIMIT}")
    cost.add_argument("--stage", metavar="S", help="a stage of cdk.json: its database, and its functions' memory")
    cost.add_argument("--fast-memory", type=_positive, metavar="MB", help="memory of fast functions, 512")
    cost.add_argument("--bulk-memory", type=_positive, metavar="MB", help="memory of bulk functions, 1024")
    cost.add_argument(
        "--batch", type=_batch, default=1.0, metavar="N", help="messages an invocation on average, 1 to 10"
    )
    cost.add_argument("--x86", action="store_true", help="x86_64 functions instead of arm64")
    cost.add_argument("--prices", action="store_true", help="only show the table of prices")


def _dead_letters(commands: Any) -> None:
    inner = _group(commands, "dlq", "look at dead-letter queues and send messages back")
    listing = _add(
        inner, "list", "dlq:list_letters", "count dead letters, or list one queue's", "dlq list order-processing"
    )
    listing.add_argument("queue", metavar="QUEUE", nargs="?")
    redrive = _add(
        inner,
        "redrive",
        "dlq:redrive",
        "send dead letters back to the queue of their job; their runs begin anew",
        "dlq redrive order-processing --code SHOPIFY_UNAVAILABLE --dry-run",
    )
    redrive.add_argument("queue", metavar="QUEUE")
    redrive.add_argument("--dry-run", action="store_true", help="only say what would go where")
    for parser in (listing, redrive):
        parser.add_argument("--code", help="only this error code")
        parser.add_argument("--job", help="only this job")
        parser.add_argument("--tenant", help="only this tenant")
        parser.add_argument("--limit", type=_positive, default=1000, help="messages at most, 1000")


def _workflows(commands: Any) -> None:
    inner = _group(commands, "workflows", "look at executions of state machines, stop one")
    example = "workflows list --status FAILED"
    listing = _add(inner, "list", "workflows:list_executions", "list executions, newest first", example)
    statuses = ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED", "PENDING_REDRIVE")
    listing.add_argument("--status", choices=statuses, type=str.upper)
    listing.add_argument("--limit", type=_positive, default=LIMIT, help=f"executions at most, {LIMIT}")
    summary = "show one execution: its steps, what waits, the runs of the ledger"
    show = _add(inner, "show", "workflows:show_execution", summary, "workflows show app-acme-1042")
    summary = "stop an execution; a step's answer that comes later is told that it is gone"
    stop = _add(
        inner, "stop", "workflows:stop_execution", summary, "workflows stop app-acme-1042 --reason 'sent twice'"
    )
    stop.add_argument("--reason", help="for those who find it stopped")
    for parser in (show, stop):
        parser.add_argument("execution", metavar="EXECUTION", help="its name")
    for parser in (listing, show, stop):
        parser.add_argument("--workflow", metavar="NAME", help="only this workflow, e.g. ApplicationReview")


def _tenants(commands: Any) -> None:
    inner = _group(commands, "tenants", "list, add, provision, suspend tenants")
    _add(inner, "list", "tenants:list_tenants", "list the tenants", "tenants list")
    add = _add(
        inner, "add", "tenants:add", "make a tenant with its schema, role and tables", "tenants add acme --name Acme"
    )
    add.add_argument("slug", metavar="SLUG")
    add.add_argument("--name", required=True)
    add.add_argument("--status", choices=("onboarding", "active", "suspended"), default="active")
    summary = "give tenants that the applications made their schema, role and tables"
    provision = _add(inner, "provision", "tenants:provision", summary, "tenants provision")
    provision.add_argument("slug", metavar="SLUG", nargs="?")
    for name, summary in (
        ("suspend", "stop a tenant's jobs: runs are skipped"),
        ("activate", "let a tenant's jobs run"),
    ):
        change = _add(inner, name, f"tenants:{name}", summary, f"tenants {name} acme")
        change.add_argument("slug", metavar="SLUG")
        if name == "activate":
            change.add_argument("--replay", action="store_true", help="send again what was skipped meanwhile")


def _upkeep(commands: Any) -> None:
    inner = _group(commands, "db", "migrate the database, let the jobs log in")
    summary = "bring the database to what the jobs need; adds only, drops nothing"
    migrate = _add(inner, "migrate", "database:migrate", summary, "db migrate --plan")
    migrate.add_argument("--plan", action="store_true", help="only say what would be done")
    migrate.add_argument("--sql", action="store_true", help="show the statements too")
    summary = "let the role of DATABASE_URL log in with the password that stands there"
    login = _add(inner, "login", "database:login", summary, "db login")
    for parser in (migrate, login):
        parser.add_argument("--login-role", default="cgk_jobs", metavar="NAME", help="role of the jobs, cgk_jobs")
    summary = "check everything that the jobs stand on; exit 1 when there is a problem"
    doctor = _add(commands, "doctor", "doctor:doctor", summary, "doctor --stage staging")
    doctor.add_argument(
        "--stage",
        metavar="S",
        help="a stage of cdk.json: account, functions, versions, targets of rules and schedules, time zones too",
    )


# Types of options.


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 24 * 3600:
        raise argparse.ArgumentTypeError("between 0 and 86400 seconds")
    return value


def _age(text: str) -> timedelta:
    """A length of time such as 90s, 15m, 24h, 7d; at most 366 days."""
    found = re.fullmatch(r"(\d+)([smhd])", text)
    age = timedelta(**{UNITS[found[2]]: int(found[1])}) if found else timedelta()
    if not timedelta() < age <= timedelta(days=366):
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time like 15m, 24h, 7d")
    return age


def _batch(text: str) -> float:
    value = float(text)
    if not 1 <= value <= 10:
        raise argparse.ArgumentTypeError("between 1 and 10 messages")
    return value


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no run's id; `cgk-jobs runs` lists them") from None


def _instant(text: str) -> datetime:
    """An ISO instant, or an age before now such as 90s, 15m, 2h, 7d."""
    if age := re.fullmatch(r"(\d+)([smhd])", text):
        return datetime.now(UTC) - timedelta(**{UNITS[age[2]]: int(age[1])})
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither an ISO instant nor an age like 15m, 2h, 7d") from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
