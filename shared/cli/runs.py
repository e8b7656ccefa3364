"""cgk-jobs runs: search the ledger, show and cancel one run."""

from __future__ import annotations

import json
from argparse import Namespace
from typing import Any

from shared.cli.errors import Failure, UsageError, nearest
from shared.cli.output import Printer
from shared.cli.platform import Platform
from shared.jobs import ledger
from shared.jobs.ledger import RunDetail, RunFilter, RunRow


def list_runs(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """{"runs": [..], "next": place or null}, with --count {"counts": [{"job", "state", "runs"}]}."""
    if arguments.state is not None and arguments.state not in ledger.STATES:
        raise UsageError(f"there is no state {arguments.state!r}{nearest(arguments.state, list(ledger.STATES))}")
    where = RunFilter(
        job=arguments.job,
        tenant=arguments.tenant,
        state=arguments.state,
        code=arguments.code,
        correlation_id=arguments.correlation,
        since=arguments.since,
        until=arguments.until,
    )
    if arguments.count:
        _count(platform, printer, where)
        return
    try:
        page = ledger.search(platform.database(), where, limit=arguments.limit, after=arguments.after)
    except ValueError as error:
        raise UsageError(f"--after: {error}") from None
    if printer.as_json:
        printer.json({"runs": page.runs, "next": page.next})
        return
    print_runs(printer, page.runs)
    if page.next:
        printer.line(f"more: add --after {page.next}")


def _count(platform: Platform, printer: Printer, where: RunFilter) -> None:
    counts = ledger.counts(platform.database(), where)
    if printer.as_json:
        printer.json({"counts": counts})
        return
    printer.table(["JOB", "STATE", "RUNS"], [[c.job, c.state, c.runs] for c in counts], nothing="no run matches")


def print_runs(printer: Printer, runs: list[RunRow]) -> None:
    """Runs as a table, times in UTC."""
    printer.table(
        ["BEGAN (UTC)", "RUN", "JOB", "TENANT", "STATE", "CODE", "ATTEMPT", "MS"],
        [[r.run_at, r.run_id, r.job, r.tenant, r.state, r.code, r.attempt, r.duration_ms] for r in runs],
        nothing="no run matches",
    )


def show_run(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """One run: {"run", "claim", "timeline", "chain", "payload_kept"}, and with --payload "payload"."""
    detail = ledger.show(platform.database(), arguments.id)
    if detail is None:
        raise Failure(f"the ledger knows no run {arguments.id}; runs are kept 90 days")
    payload = _payload(platform, detail.run) if arguments.open_payload else None
    if printer.as_json:
        found: dict[str, Any] = {name: getattr(detail, name) for name in RunDetail.__slots__}
        printer.json(found | ({"payload": payload} if arguments.open_payload else {}))
        return
    run = detail.run
    shown = {name: getattr(run, name) for name in RunRow.__slots__}
    printer.pairs(shown | {"payload": "kept, sealed; open it with --payload" if detail.payload_kept else "not kept"})
    printer.line("\ntimeline (UTC):")
    printer.table(["AT", "WHAT"], [[moment.at, moment.what] for moment in detail.timeline])
    if detail.claim:
        printer.line("\nclaim:")
        printer.pairs(detail.claim)
    if detail.chain:
        printer.line("\nother runs of the chain:")
        print_runs(printer, detail.chain)
    if arguments.open_payload:
        printer.line("\npayload:")
        printer.json(payload)


def _payload(platform: Platform, run: RunRow) -> Any:
    """The message as it would be sent again; Failure when it is gone."""
    from shared.jobs.payloads import open_payload

    sealed = ledger.sealed_payload(platform.database(), run.run_id)
    if sealed is None:
        raise Failure("the payload is not kept any more: 7 days after success, 30 days after death")
    if sealed.blob_key and not platform.environment.bucket:
        raise UsageError("this payload lies in the bucket: set CGK_BUCKET to its name")
    try:
        text = open_payload(sealed, run.tenant, platform.keyring, platform.blobs)
    except KeyError:
        raise Failure("the payload's object has expired in the bucket") from None
    try:
        found = json.loads(text)
    except ValueError:  # a dead letter may be anything
        return text
    if isinstance(found, dict) and "taskToken" in found:
        found["taskToken"] = "(not shown)"  # who has it may answer the workflow's step
    return found


def cancel_run(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """Stop a run: {"run_id", "cancel": "cancelled" (it waited and has ended) or "requested" (it is under way)}."""
    outcome = ledger.cancel(platform.database(), arguments.id, platform.now())
    if outcome == "unknown":
        raise Failure(f"the ledger knows no run {arguments.id}")
    if outcome == "over":
        raise Failure(f"run {arguments.id} is over already")
    if printer.as_json:
        printer.json({"run_id": arguments.id, "cancel": outcome})
    elif outcome == "cancelled":
        printer.line(f"run {arguments.id} is cancelled; its message will be acknowledged when it comes back")
    else:
        printer.line(f"run {arguments.id} was asked to stop; its handler sees it at its next checkpoint")
