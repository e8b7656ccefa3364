"""cgk-jobs list, show."""

from __future__ import annotations

import inspect
from argparse import Namespace
from dataclasses import asdict
from typing import Any

from shared.cli.errors import UsageError, nearest
from shared.cli.output import Printer
from shared.cli.platform import Platform
from shared.jobs.registry import AnyJob


def list_jobs(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """The jobs that match; `--json`: {"jobs": [..]}, each as `as_dict` gives it."""
    registry = platform.registry
    _known("category", arguments.category, sorted({job.category for job in registry}))
    _known("queue", arguments.queue, [binding.name for binding in registry.queues()])
    _known("event", arguments.event, sorted(registry.listeners))
    jobs = [
        job
        for job in registry
        if arguments.category in (None, job.category)
        and arguments.queue in (None, job.queue_name)
        and (arguments.event is None or arguments.event in {event.event_name for event in job.on})
    ]
    if printer.as_json:
        printer.json({"jobs": [as_dict(job) for job in jobs]})
        return
    printer.table(
        ["JOB", "CATEGORY", "ON", "QUEUE", "SUMMARY"],
        [[job.id, job.category, _trigger(job), job.queue_name, job.summary] for job in jobs],
        nothing="no job matches",
    )


def show_job(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """One declaration, with the fields of its payload and its description."""
    job = platform.job(arguments.job)
    found = as_dict(job)
    if printer.as_json:
        printer.json({**found, "payload": job.payload.model_json_schema(by_alias=True), "result": _result(job)})
        return
    retry = found.pop("retry")
    waits = (
        f"{retry['attempts']} attempts, waits of {retry['min_s']:g} to {retry['max_s']:g} s, factor {retry['factor']:g}"
    )
    emits = found.pop("emits")
    printer.pairs({**found, "retry": waits, "handler": f"{job.module}.{job.handler.__name__}"})
    if emits:
        printer.line("\nemits:")
        printer.table(["EVENT", "JOBS THAT LISTEN"], [[name, _listeners(platform, name)] for name in emits])
    printer.line(f"\npayload {job.payload.__name__}:")
    printer.table(["FIELD", "TYPE", "NEEDED"], _fields(job.payload.model_json_schema(by_alias=True)))
    printer.line(f"\n{inspect.getdoc(job.handler) or ''}")


def as_dict(job: AnyJob) -> dict[str, Any]:
    """The declaration with stable keys; durations in seconds."""
    return {
        "id": job.id,
        "category": job.category,
        "module": job.module,
        "queue": job.queue_name,
        "class": "bulk" if job.bulk else "fast",
        "on": [event.event_name for event in job.on],
        "cron": job.cron and {"expression": job.cron.text, "zone": job.cron.zone, "scope": job.cron.scope},
        "emits": [event.event_name for event in job.emits],
        "retry": asdict(job.retry),
        "timeout_s": job.timeout_s,
        "max_age_s": job.max_age_s,
        "max_hops": job.max_hops,
        "tenants": job.tenants,
        "summary": job.summary,
    }


def _trigger(job: AnyJob) -> list[str] | str:
    return f"{job.cron.text} {job.cron.zone}" if job.cron else [event.event_name for event in job.on]


def _known(what: str, given: str | None, known: list[str]) -> None:
    if given is not None and given not in known:
        raise UsageError(f"there is no {what} {given!r} with jobs{nearest(given, known)}")


def _listeners(platform: Platform, event: str) -> str:
    jobs = platform.registry.listeners.get(event, ())
    return ", ".join(job.id for job in jobs) or "none here"


def _result(job: AnyJob) -> dict[str, Any]:
    schema: dict[str, Any] = job.result.model_json_schema(by_alias=True)
    return schema


def _fields(schema: dict[str, Any]) -> list[list[str]]:
    required = set(schema.get("required", ()))
    return [
        [name, _type(part), "yes" if name in required else ""] for name, part in schema.get("properties", {}).items()
    ]


def _type(part: dict[str, Any]) -> str:
    """A JSON schema in few words: `text`, `list of integer`, `created | updated`."""
    if choices := part.get("anyOf") or part.get("oneOf"):
        return " | ".join(dict.fromkeys(_type(choice) for choice in choices if choice.get("type") != "null"))
    if "enum" in part:
        return " | ".join(str(value) for value in part["enum"])
    if "const" in part:
        return str(part["const"])
    if "$ref" in part:
        return str(part["$ref"]).rsplit("/", 1)[-1]
    if part.get("type") == "array":
        return f"list of {_type(part.get('items', {}))}"
    return str(part.get("format") or {"string": "text"}.get(part.get("type", ""), part.get("type", "any")))
