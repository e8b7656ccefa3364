"""cgk-jobs doctor: looks at everything that the jobs stand on; a problem comes with the sentence what to do."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator

from shared.cli.checks import Check, Finding
from shared.cli.checks.aws import AWS_CHECKS
from shared.cli.checks.database import DATABASE_CHECKS
from shared.cli.checks.stage import STAGE_AWS_CHECKS, STAGE_DATABASE_CHECKS
from shared.cli.errors import explain
from shared.cli.output import Printer
from shared.cli.platform import DEV_ENV, Platform


def doctor(platform: Platform, printer: Printer, arguments: Namespace) -> int:
    """{"ok": bool, "checks": [{"name", "ok", "message"}]}; exit 1 when there is a problem."""
    checks = list(run_checks(platform))
    ok = all(check.ok for check in checks)
    if printer.as_json:
        printer.json({"ok": ok, "checks": checks})
    else:
        rows = [[_state(check), check.name, check.message] for check in checks]
        for state, name, message in rows:
            printer.line(f"{state:<8} {name:<18} {message}")
    return 0 if ok else 1


def run_checks(platform: Platform) -> Iterator[Check]:
    """All checks in order. What cannot be reached is reported once; the checks that need it are left out."""
    yield _settings(platform)
    staged = platform.stage is not None
    yield from _group(platform, "database", DATABASE_CHECKS + (STAGE_DATABASE_CHECKS if staged else []))
    yield from _group(platform, "aws", AWS_CHECKS + (STAGE_AWS_CHECKS if staged else []))


def _state(check: Check) -> str:
    if not check.ok:
        return "problem"
    return "warning" if check.warning else "ok"


def _settings(platform: Platform) -> Check:
    environment = platform.environment
    source = str(DEV_ENV) if platform.from_dev else "the environment"
    if platform.stage is not None:
        source = f"stage {platform.stage.name}" + (f" ({source})" if platform.from_dev else "")
    names = f"bus {environment.bus}, queues {environment.queue_prefix}*"
    address = platform.environ.get("AWS_ENDPOINT_URL", "AWS")
    return Check("settings", True, f"from {source}: {names}, {address}")


def _group(platform: Platform, name: str, checks: list[tuple[str, Callable[[Platform], Finding]]]) -> Iterator[Check]:
    """The first check of a group is whether it can be reached at all."""
    for position, (check, look) in enumerate(checks):
        try:
            found = look(platform)
        except Exception as error:
            yield Check(check, False, explain(error, from_dev=platform.from_dev)[1])
            if position == 0:
                return
            continue
        yield Check(check, not found.problem, found.message, found.warning)
