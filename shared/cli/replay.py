"""cgk-jobs replay: send runs of the ledger again."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import asdict

from shared.cli.errors import Failure, UsageError, nearest
from shared.cli.output import Printer
from shared.cli.platform import Platform
from shared.jobs.ledger import RunFilter
from shared.jobs.replay import ENDED, FORCED, Replayed, Replayer

STATES = (*ENDED, "deferred", "retrying", *FORCED)


def replay(platform: Platform, printer: Printer, arguments: Namespace) -> int:
    """{"replayed", "jobs": {job: n}, "gone", "unreadable", "unknown", "refused", "dry_run"}."""
    done = replayer(platform).replay(
        _where(platform, arguments),
        now=platform.now(),
        limit=arguments.limit,
        force=arguments.force,
        dry_run=arguments.dry_run,
    )
    if printer.as_json:
        counts = asdict(done)
        printer.json({"replayed": done.total, "jobs": counts.pop("sent"), **counts})
    else:
        _print(printer, done)
    if done.refused:
        raise Failure(f"{done.refused} messages were not taken by their queue; replay them again")
    return 0


def replayer(platform: Platform) -> Replayer:
    """On the platform's own database, queues and bucket."""
    return Replayer(platform.database(), platform.registry, platform.queues, platform.keyring, platform.blobs)


def _where(platform: Platform, arguments: Namespace) -> RunFilter:
    """The filter, which must say something: a replay of everything is a slip of the hand."""
    if arguments.job is not None:
        platform.job(arguments.job)
    if arguments.state is not None:
        if arguments.state not in STATES:
            raise UsageError(
                f"runs in state {arguments.state!r} cannot be replayed{nearest(arguments.state, list(STATES))}"
            )
        if arguments.state in FORCED and not arguments.force:
            raise UsageError(f"runs that are {arguments.state} are over; add --force to run them a second time")
    where = RunFilter(
        job=arguments.job,
        tenant=arguments.tenant,
        state=arguments.state,
        code=arguments.code,
        since=arguments.since,
        until=arguments.until,
    )
    if where == RunFilter():
        raise UsageError("say which runs: --job, --tenant, --state, --code, --since or --until")
    return where


def _print(printer: Printer, done: Replayed) -> None:
    verb = "would be sent" if done.dry_run else "sent"
    rows = [[job, n] for job, n in sorted(done.sent.items())]
    printer.table(["JOB", f"RUNS {verb.upper()}"], rows, nothing="no run matches that can be replayed")
    for count, why in (
        (done.gone, "have no payload any more (kept 7 days after success, 30 days after death)"),
        (done.unreadable, "have a payload that cannot be opened or is no message"),
        (done.unknown, "belong to jobs that are not declared"),
    ):
        if count:
            printer.line(f"{count} {why}")
