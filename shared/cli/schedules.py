"""cgk-jobs schedules."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from shared.cli.output import Printer
from shared.cli.platform import Platform
from shared.jobs.registry import AnyJob

EACH = 12
"""Instants of one job in the asked time up to which each has a line of its own; a more frequent job has one line."""


def list_schedules(platform: Platform, printer: Printer, arguments: Namespace) -> None:
    """The crons with their next and last instant; with --next all instants of that time.

    `--json`: {"schedules": [{"job", "cron", "zone", "eventbridge", "scope", "due", "next", "last"}]}, with --next also
    "instants". `last` is there when DATABASE_URL is known, null before a job's first tick.
    """
    jobs = [platform.job(arguments.job)] if arguments.job else list(platform.registry.crons)
    jobs = [job for job in jobs if job.cron is not None]
    now = platform.now()
    if arguments.next is not None:
        _timetable(printer, jobs, now, arguments.next)
        return
    rows = _overview(jobs, now, _last(platform, jobs))
    if printer.as_json:
        printer.json({"schedules": rows})
        return
    printer.table(
        ["JOB", "CRON", "ZONE", "SCOPE", "NEXT (UTC)", "LAST TICK (UTC)"],
        [[row["job"], row["cron"], row["zone"], row["scope"], row["next"], row.get("last")] for row in rows],
        nothing="no job runs on a schedule",
    )


def _overview(jobs: Sequence[AnyJob], now: datetime, last: dict[str, datetime | None] | None) -> list[dict[str, Any]]:
    rows = [_as_dict(job, now) for job in jobs]
    if last is not None:
        for row in rows:
            row["last"] = last.get(row["job"])
    return rows


def _timetable(printer: Printer, jobs: Sequence[AnyJob], now: datetime, span: timedelta) -> None:
    found = [(job, list(job.cron.between(now, now + span))) for job in jobs if job.cron is not None]
    if printer.as_json:
        printer.json({"schedules": [_as_dict(job, now) | {"instants": instants} for job, instants in found]})
        return
    lines: list[tuple[datetime, AnyJob, int]] = []
    for job, instants in found:
        if len(instants) > EACH:
            lines.append((instants[0], job, len(instants)))
        else:
            lines += [(instant, job, 1) for instant in instants]
    lines.sort(key=lambda line: (line[0], line[1].id))
    printer.table(
        ["INSTANT (UTC)", "LOCAL", "JOB", "CRON", "TIMES"],
        [[instant, _local(job, instant), job.id, job.cron and job.cron.text, times] for instant, job, times in lines],
        nothing="no job runs in that time",
    )


def _as_dict(job: AnyJob, now: datetime) -> dict[str, Any]:
    assert job.cron is not None
    return {
        "job": job.id,
        "cron": job.cron.text,
        "zone": job.cron.zone,
        "eventbridge": job.cron.to_eventbridge(),
        "scope": job.cron.scope,
        "due": job.cron.due is not None,
        "next": job.cron.next(now),
    }


def _local(job: AnyJob, instant: datetime) -> str:
    assert job.cron is not None
    return f"{instant.astimezone(ZoneInfo(job.cron.zone)):%a %H:%M} {job.cron.zone}"


def _last(platform: Platform, jobs: Sequence[AnyJob]) -> dict[str, datetime | None] | None:
    """Job -> instant of its last tick; None when no database is known."""
    from shared.jobs.ticks import last_ticks

    if platform.secret("DATABASE_URL") is None:
        return None
    return last_ticks(platform.database(), [job.id for job in jobs])
