"""cgk-jobs trigger, publish: send, and with --wait follow the ledger until the runs have ended."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.cli.errors import Failure, UsageError, nearest
from shared.cli.output import Printer
from shared.cli.platform import Platform
from shared.events.base import Event, contracts
from shared.jobs import ledger
from shared.jobs.ledger import RunRow
from shared.jobs.publisher import Publisher, Sent, validated

POLL_FIRST_S = 0.2
POLL_MAX_S = 2.0
FAILED = ("dead", "retrying")


def trigger(platform: Platform, printer: Printer, arguments: Namespace) -> int:
    """Send a payload to one job; {"job", "tenant", "id", "correlation_id", "queue"} and with --wait "runs"."""
    job = platform.job(arguments.job)
    payload = without_tenant(read_payload(arguments.payload), arguments.tenant)
    publisher: Publisher = platform.publisher
    sent = publisher.trigger(job.id, payload, arguments.tenant, arguments.key)
    about = {"job": job.id, "tenant": arguments.tenant, "queue": job.queue_name}
    return _report(platform, printer, arguments, sent, about, f"{job.id} was sent to {job.queue_name}")


def publish(platform: Platform, printer: Printer, arguments: Namespace) -> int:
    """Publish an event; {"event", "tenant", "id", "correlation_id", "jobs"} and with --wait "runs"."""
    model = event_model(platform, arguments.event)
    event = validated(model, without_tenant(read_payload(arguments.payload), arguments.tenant))
    assert isinstance(event, Event)
    sent = platform.publisher.publish(event, arguments.tenant, arguments.key)
    about = {"event": arguments.event, "tenant": arguments.tenant, "jobs": list(sent.jobs)}
    listeners = f"; for {', '.join(sent.jobs)}" if sent.jobs else "; no job listens to it"
    return _report(platform, printer, arguments, sent, about, f"{arguments.event} was published{listeners}")


def _report(
    platform: Platform, printer: Printer, arguments: Namespace, sent: Sent, about: dict[str, Any], sentence: str
) -> int:
    found = {**about, "id": sent.id, "correlation_id": sent.correlation_id}
    if not printer.as_json:
        printer.line(f"{sentence}; correlation id {sent.correlation_id}")
    runs = follow(platform, sent, arguments.wait) if arguments.wait and sent.jobs else []
    if printer.as_json:
        printer.json({**found, "runs": runs} if arguments.wait else found)
    else:
        for run in runs:
            print_end(printer, run)
    return 1 if any(run.state in FAILED for run in runs) else 0


def follow(platform: Platform, sent: Sent, limit_s: float) -> list[RunRow]:
    """The runs of a sent message once each of its jobs has one that is over; Failure when that takes longer.

    A run that goes on in later messages is over with the last of them; what a run emits is not waited for.
    """
    until = time.monotonic() + limit_s
    pause = POLL_FIRST_S
    while True:
        runs = ledger.roots(platform.database(), sent.correlation_id, sent.jobs)
        if {run.job for run in runs} == set(sent.jobs) and not any(run.open for run in runs):
            return runs
        left = until - time.monotonic()
        if left <= 0:
            raise Failure(
                f"not over after {limit_s:g} s ({_so_far(runs)}): see "
                f"`cgk-jobs runs --correlation {sent.correlation_id}`"
            )
        platform.sleep(min(pause, left))
        pause = min(POLL_MAX_S, pause * 1.5)


def _so_far(runs: Sequence[RunRow]) -> str:
    return ", ".join(f"{run.job}: {run.state} {run.code or ''}".strip() for run in runs) or "no run has begun"


def print_end(printer: Printer, run: RunRow) -> None:
    """How a run ended, in a few lines."""
    printer.pairs(
        {
            "run": run.run_id,
            "job": run.job,
            "tenant": run.tenant,
            "state": run.state,
            "code": run.code,
            "detail": run.detail,
            "attempt": run.attempt,
            "duration": f"{run.duration_ms} ms" if run.duration_ms is not None else None,
            "comes back": run.next_at if run.open else None,
            "result": run.result,
        }
    )


# What is sent.


def read_payload(text: str) -> dict[str, Any]:
    """The payload that FILE|JSON stands for; UsageError in a sentence."""
    if text.lstrip().startswith("{"):
        return _parsed(text, "the payload")
    if text == "-":
        return _parsed(sys.stdin.read(), "standard input")
    try:
        content = Path(text).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"the payload {text!r} is neither a JSON object nor a readable file ({reason})") from None
    return _parsed(content, text)


def _parsed(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{where} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise UsageError(f"{where} must be a JSON object")
    return value


def without_tenant(payload: dict[str, Any], tenant: str) -> dict[str, Any]:
    """The payload's own fields; UsageError when it names another tenant than --tenant."""
    given = payload.get("tenantId", tenant)
    if given != tenant:
        raise UsageError(f"the payload is of tenant {given!r} but --tenant says {tenant!r}")
    return {name: value for name, value in payload.items() if name not in ("tenantId", "_meta")}


def event_model(platform: Platform, name: str) -> type[Event]:
    """The contract of an event, listened to or not; UsageError with the nearest names."""
    import shared.events

    assert platform.registry is not None  # the jobs' own events
    for info in pkgutil.iter_modules(shared.events.__path__, "shared.events."):
        importlib.import_module(info.name)
    known = contracts()
    if name not in known:
        raise UsageError(f"there is no event {name!r}{nearest(name, sorted(known))}")
    return known[name]
