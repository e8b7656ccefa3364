"""docs/jobs.md, generated from the declarations: what starts each job, what it takes, touches, emits and promises."""

from __future__ import annotations

import argparse
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.jobs.registry import CATEGORIES, AnyJob, Registry, load_registry
from shared.jobs.usage import usage

PAGE = Path(__file__).resolve().parents[2] / "docs" / "jobs.md"
HEAD = """# Jobs

Generated from the declarations by `scripts/docs`; do not edit. {count} jobs, by category and id.
"""


def page(registry: Registry) -> str:
    """The whole page as Markdown."""
    parts = [HEAD.format(count=len(registry))]
    for category in CATEGORIES:
        jobs = [job for job in registry if job.category == category]
        if jobs:
            parts.append(f"## {category} ({len(jobs)})\n")
            parts += [section(job) for job in jobs]
    return "\n".join(parts)


def section(job: AnyJob) -> str:
    """One job."""
    retry, used = job.retry, usage(job)
    facts = [
        ("Starts", _trigger(job)),
        ("Queue", f"`{job.queue_name}`, at most {job.tenant_cap or job.queue.tenant_cap} at once per tenant"),
        ("Payload", _fields(job.payload)),
        ("Result", _fields(job.result)),
        ("Emits", ", ".join(f"`{event.event_name}`" for event in job.emits) or "nothing"),
        ("Reads", _tables(used.reads)),
        ("Writes", _tables(used.writes)),
        ("Serves", {"active": "active tenants", "any": "tenants in any status", "system": "the platform"}[job.tenants]),
        (
            "Retry",
            f"{retry.attempts} attempts, {retry.min_s:g} s times {retry.factor:g} up to {retry.max_s:g} s;"
            f" at most {job.timeout_s} s a run",
        ),
    ]
    lines = [f"### {job.id}\n", f"{job.summary}\n"]
    if more := _more(job):
        lines.append(f"{more}\n")
    lines += ["| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in facts]
    return "\n".join(lines) + "\n"


def _trigger(job: AnyJob) -> str:
    if job.cron is not None:
        kind = ", publishes straight from the fan-out" if job.dispatch else ""
        return f"cron `{job.cron.text}` in {job.cron.zone}, for {job.cron.scope}{kind}"
    return ", ".join(f"`{event.event_name}`" for event in job.on)


def _more(job: AnyJob) -> str:
    """The docstring below its first line: promises and errors."""
    if job.text:
        return ""
    return (inspect.getdoc(job.handler) or "").partition("\n")[2].strip()


def _tables(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "no table"


def _fields(model: Any) -> str:
    found = []
    for name, field in model.model_fields.items():
        wire = field.alias or name
        found.append(f"`{wire}`" if field.is_required() else f"`{wire}`?")
    return ", ".join(found) or "nothing"


def main(argv: Sequence[str] | None = None, path: Path = PAGE) -> int:
    """Write the page, or with --check say whether it is stale (exit 1)."""
    parser = argparse.ArgumentParser(prog="scripts/docs", description="Generate docs/jobs.md from the jobs.")
    parser.add_argument("--check", action="store_true", help="only say whether the page is stale; exit 1 if it is")
    check: bool = parser.parse_args(argv).check
    registry = load_registry()
    text = page(registry)
    fresh = path.exists() and path.read_text(encoding="utf-8") == text
    if check and not fresh:
        print(f"{path.name} is not what the declarations give: run scripts/docs", file=sys.stderr)
        return 1
    if not fresh:
        path.write_text(text, encoding="utf-8")
    print(f"{path.name}: {len(registry)} jobs, {'fresh' if fresh else 'written'}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
