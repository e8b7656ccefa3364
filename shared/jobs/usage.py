"""Which tables a job reads and writes, followed from its declaration through the names that the code uses.

Every top-level function, class or constant that a used one names is used, a class as a whole; of a function in SQL the
body counts. So this tells more than a run touches, but only what the job can reach.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from shared.db.migrations.statements import load
from shared.jobs.registry import AnyJob

OUTSIDE = ("shared.jobs", "shared.db", "shared.cli", "shared.fakes", "shared.events")
"""Packages whose statements are the kernel's, or that hold none."""

_TABLE = r"(?:ONLY\s+)?(?:public\.)?([a-z_][a-z0-9_]*)"
_READS = re.compile(rf"(?<!DELETE )\b(?:FROM|JOIN|USING)\s+{_TABLE}", re.IGNORECASE)
_WRITES = re.compile(rf"\b(?:INSERT\s+INTO|(?<!FOR )(?<!DO )UPDATE|DELETE\s+FROM)\s+{_TABLE}", re.IGNORECASE)

Name = tuple[str, str]
"""(module, what it defines)."""


@dataclass(frozen=True)
class Usage:
    """Tables and views, sorted; what is written may be read as well."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]


def usage(job: AnyJob) -> Usage:
    """What the job's statements can touch."""
    reads: set[str] = set()
    writes: set[str] = set()
    for text in _texts(_declared(job)):
        text += "".join(body for name, body in _functions().items() if f"{name}(" in text)
        writes |= _found(_WRITES, text)
        reads |= _found(_READS, text)
    known = _known_tables()
    return Usage(tuple(sorted(reads & known - writes)), tuple(sorted(writes & known)))


def _declared(job: AnyJob) -> Name:
    """The name under which the job's module holds it."""
    return job.module, next(name for name, value in vars(sys.modules[job.module]).items() if value is job)


def _found(pattern: re.Pattern[str], text: str) -> set[str]:
    return {table.lower() for table in pattern.findall(text)}


@cache
def _known_tables() -> frozenset[str]:
    kinds = ("public", "tenant")
    return frozenset(s.name for kind in kinds for s in load(kind) if s.kind in ("table", "view"))


@cache
def _functions() -> dict[str, str]:
    """SQL functions that statements may call -> their text."""
    return {s.name: s.sql for kind in ("public", "tenant") for s in load(kind) if s.kind == "function"}


def _texts(first: Name) -> Iterator[str]:
    """All texts of what `first` uses, itself included."""
    seen: set[Name] = set()
    waiting = [first]
    while waiting:
        name = waiting.pop()
        if name in seen or name[0].startswith(OUTSIDE) or not name[0].startswith(("shared.", "functions.")):
            continue
        seen.add(name)
        module = _module(name[0])
        if name[1] in module.defined:
            part = module.defined[name[1]]
            yield from part.texts
            waiting += [resolved for used in part.names if (resolved := module.resolve(used)) is not None]
        elif (other := module.imported.get(name[1])) is not None:
            waiting.append(other)


# -- one module --------------------------------------------------------------------------------------------------------


@dataclass
class Part:
    """A top-level definition: its texts, and the names that it uses; "runs.save" is one of another module."""

    texts: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)


@dataclass
class Module:
    """What a module defines, and what its imports mean: name -> (module, name there), the latter "" for a module."""

    name: str
    defined: dict[str, Part] = field(default_factory=dict)
    imported: dict[str, Name] = field(default_factory=dict)

    def resolve(self, used: str) -> Name | None:
        """What a used name is; None for what is none of ours."""
        base, _, member = used.partition(".")
        if member:
            module, inner = self.imported.get(base, ("", ""))
            return (module, member) if module and not inner else None
        if used in self.defined:
            return self.name, used
        return self.imported.get(used)


@cache
def _module(name: str) -> Module:
    module = Module(name)
    spec = find_spec(name)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        return module
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    module.imported = dict(_imports(tree))
    for statement in tree.body:
        for defined in _names_of(statement):
            _look(statement, module.defined.setdefault(defined, Part()))
    return module


def _imports(tree: ast.AST) -> Iterator[tuple[str, Name]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield alias.asname or alias.name, (whole, "") if _is_module(whole) else (node.module, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    yield alias.asname, (alias.name, "")


@cache
def _is_module(name: str) -> bool:
    try:
        return name.startswith(("shared.", "functions.")) and find_spec(name) is not None
    except (ModuleNotFoundError, ValueError):
        return False


def _names_of(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.FunctionDef() | ast.ClassDef():
            return [statement.name]
        case ast.Assign():
            targets: list[ast.expr] = statement.targets
        case ast.AnnAssign() | ast.AugAssign():
            targets = [statement.target]
        case _:
            return []
    return [node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)]


def _look(statement: ast.stmt, part: Part) -> None:
    docs = {id(node.value) for node in ast.walk(statement) if isinstance(node, ast.Expr)}
    for node in ast.walk(statement):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            part.texts.append(node.value)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "copy_in":
            part.texts += [f"INSERT INTO {a.value!s}" for a in node.args[:1] if isinstance(a, ast.Constant)]
        elif isinstance(node, ast.Name):
            part.names.add(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            part.names.add(f"{node.value.id}.{node.attr}")
