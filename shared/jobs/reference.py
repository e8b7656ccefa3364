"""docs/jobs.md, generated from the declarations: what starts each job, what it takes, touches, emits and promises.

Tables are those that the statements of the job's module, and of the modules of ours that it uses, name: an upper
bound, read from the code rather than written by hand.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shared.db.migrations.statements import load
from shared.jobs.registry import CATEGORIES, AnyJob, Registry, load_registry

PAGE = Path(__file__).resolve().parents[2] / "docs" / "jobs.md"
OUTSIDE = ("shared.jobs", "shared.db", "shared.cli", "shared.fakes", "shared.events")
"""Packages whose statements are the kernel's, or that hold none."""

_NAMED = re.compile(r"\b(?:FROM|JOIN|INTO|UPDATE)\s+(?:ONLY\s+)?(?:public\.)?([a-z_][a-z0-9_]*)", re.IGNORECASE)

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
    retry = job.retry
    facts = [
        ("Starts", _trigger(job)),
        ("Queue", f"`{job.queue_name}`, at most {job.tenant_cap or job.queue.tenant_cap} at once per tenant"),
        ("Payload", _fields(job.payload)),
        ("Result", _fields(job.result)),
        ("Emits", ", ".join(f"`{event.event_name}`" for event in job.emits) or "nothing"),
        ("Tables", ", ".join(f"`{table}`" for table in tables(job)) or "none"),
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


def _fields(model: Any) -> str:
    found = []
    for name, field in model.model_fields.items():
        wire = field.alias or name
        found.append(f"`{wire}`" if field.is_required() else f"`{wire}`?")
    return ", ".join(found) or "nothing"


def tables(job: AnyJob) -> list[str]:
    """Tables that the statements of the job's code name, sorted."""
    found: set[str] = set()
    for module in _reachable(job.module):
        found |= _tables_of(module)
    return sorted(found & _known_tables())


@cache
def _known_tables() -> frozenset[str]:
    kinds = ("public", "tenant")
    return frozenset(s.name for kind in kinds for s in load(kind) if s.kind in ("table", "view"))


def _reachable(module: str) -> set[str]:
    """Modules of ours that a job's module uses, itself included; of a package all modules."""
    package = ".".join(module.split(".")[:3])
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in seen or name.startswith(OUTSIDE):
            continue
        seen.add(name)
        waiting += [other for other in _imports(name) if other.startswith(("shared.", f"{package}."))]
    return seen


@cache
def _imports(name: str) -> tuple[str, ...]:
    return tuple(_named_modules(_tree(name), name))


def _named_modules(tree: ast.AST, importer: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{a.name}" for a in node.names if _is_module(f"{node.module}.{a.name}"))
    if _is_package(importer):
        folder = Path(str(find_spec(importer).origin)).parent  # type: ignore[union-attr]
        yield from (f"{importer}.{path.stem}" for path in sorted(folder.glob("*.py")) if path.stem != "__init__")


def _is_module(name: str) -> bool:
    try:
        return name.startswith(("shared.", "functions.")) and find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):
        return False


def _is_package(name: str) -> bool:
    spec = find_spec(name) if _is_module(name) else None
    return spec is not None and spec.submodule_search_locations is not None


@cache
def _tree(name: str) -> ast.Module:
    spec = find_spec(name) if _is_module(name) else None
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return ast.Module(body=[], type_ignores=[])
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


@cache
def _tables_of(name: str) -> frozenset[str]:
    texts = (n.value for n in ast.walk(_tree(name)) if isinstance(n, ast.Constant) and isinstance(n.value, str))
    return frozenset(match.lower() for text in texts for match in _NAMED.findall(text))


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
