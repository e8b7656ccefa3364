"""cgk-jobs invoke: one message through the real Lambda entry, in this process."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import time
from argparse import Namespace
from dataclasses import dataclass, field
from typing import Any

from shared.cli.errors import Failure
from shared.cli.output import Printer
from shared.cli.platform import Platform
from shared.cli.sending import FAILED, print_end, read_payload
from shared.jobs import ledger
from shared.jobs.publisher import validated
from shared.jobs.registry import AnyJob
from shared.jobs.uuids import uuid7

TIMEOUT_S = {"fast": 90, "bulk": 900}
"""Timeouts of the two classes of functions."""


@dataclass
class LocalContext:
    """Lambda's context object: the time that the function of this class would have."""

    timeout_s: float
    aws_request_id: str = field(default_factory=lambda: str(uuid7()))
    _started: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        return round((self.timeout_s - (time.monotonic() - self._started)) * 1000)


def invoke(platform: Platform, printer: Printer, arguments: Namespace) -> int:
    """Run a job's sample, or another payload, and print how the run ended; the run as JSON with --json.

    The message gets an id of its own each time, so that the run is no repetition of an earlier one.
    """
    job = platform.job(arguments.job)
    correlation_id = str(uuid7())
    event = message(platform, job, arguments, correlation_id)
    platform.required("DATABASE_URL")
    platform.required("INTEGRATION_ENCRYPTION_KEY")
    kind = "bulk" if job.bulk else "fast"
    platform.environ.update({"CGK_CATEGORY": job.category, "CGK_CLASS": kind})
    entry = importlib.import_module(f"functions.{job.category}.handler").main
    with contextlib.redirect_stdout(sys.stderr):  # the function's log lines are not the command's output
        answer = entry(event, LocalContext(TIMEOUT_S[kind]))
    runs = ledger.roots(platform.database(), correlation_id, [job.id])
    if not runs:
        raise Failure(f"{job.id} did not run: the message was handed back; the log above says why")
    if printer.as_json:
        printer.json({"run": runs[-1], "returned": bool(answer["batchItemFailures"])})
    else:
        print_end(printer, runs[-1])
        if runs[-1].open:
            printer.line("The message is on no queue, so nobody comes back to it.")
    return 1 if runs[-1].state in FAILED else 0


def message(platform: Platform, job: AnyJob, arguments: Namespace, correlation_id: str) -> dict[str, Any]:
    """Lambda's event: events/<job>.json with an id of its own, and the payload and tenant that were given."""
    event = _sample(platform, job)
    record = event["Records"][0]
    body = json.loads(record["body"])
    payload = body["payload"]
    if arguments.payload is not None:
        given = read_payload(arguments.payload)
        tenant = given.get("tenantId", payload["tenantId"])
        payload = {"tenantId": tenant, **validated(job.payload, given).wire()}
    if arguments.tenant is not None:
        payload["tenantId"] = arguments.tenant
    body |= {"id": correlation_id, "payload": payload}
    record |= {"messageId": correlation_id, "body": json.dumps(body)}
    return event


def _sample(platform: Platform, job: AnyJob) -> dict[str, Any]:
    """The checked-in file; a job so new that it has none yet gets what its declaration gives."""
    from shared.jobs.samples import sample_event

    try:
        text = (platform.root / "events" / f"{job.id}.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return sample_event(job)
    found: dict[str, Any] = json.loads(text)
    return found
