"""publishers/python/cgk_publisher/events.py: a frozen dataclass per event that applications publish."""

from __future__ import annotations

import keyword
import textwrap
from collections.abc import Sequence

from scripts.owner.publishers.contracts import Contract, Field, Model
from scripts.owner.publishers.types import Choice, Either, Many, Named, Scalar, Table, Type, type_of

HEAD = '''"""Generated from the jobs' contracts by `scripts/publishers`; do not edit.

A field that is None is left out of the message. Instants must carry a zone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, ClassVar, Literal

from cgk_publisher.base import AppEvent, Part
'''
SCALARS = {
    "text": "str",
    "instant": "datetime",
    "date": "date",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "any": "Any",
}
WIDTH = 116


def render(contracts: Sequence[Contract]) -> str:
    """The whole file."""
    published = [each for each in contracts if each.from_apps]
    parts = [HEAD]
    for contract in published:
        parts += [_class(part, contract, "Part") for part in contract.parts]
        parts.append(_class(contract.model, contract, "AppEvent"))
    parts.append(_index(published))
    return "\n\n".join(parts)


def _class(model: Model, contract: Contract, base: str) -> str:
    name = model.name if model is contract.model else _part_name(contract, model.name)
    lines = ["@dataclass(frozen=True, kw_only=True)", f"class {name}({base}):"]
    lines += _docstring(model.text or f"Part of {contract.event}.")
    if base == "AppEvent":
        lines += ["", f'    EVENT_NAME: ClassVar[str] = "{contract.event}"']
    wires = {_safe(field.name): field.wire for field in model.fields}
    lines += ["", "    WIRE_NAMES: ClassVar[Mapping[str, str]] = {"]
    lines += [f'        "{name}": "{wire}",' for name, wire in wires.items()]
    lines += ["    }", ""]
    for field in [*(f for f in model.fields if f.required), *(f for f in model.fields if not f.required)]:
        lines += _field(field, contract)
    return "\n".join(lines).rstrip() + "\n"


def _field(field: Field, contract: Contract) -> list[str]:
    written = type_text(field.type, contract)
    line = f"    {_safe(field.name)}: {written}" + ("" if field.required else " | None = None")
    return [line, *_docstring(field.note)] if field.note else [line]


def type_text(type_: Type, contract: Contract) -> str:
    """The type in Python."""
    match type_:
        case Scalar(kind):
            return SCALARS[kind]
        case Choice(values):
            return f"Literal[{', '.join(_literal(value) for value in values)}]"
        case Many(item):
            return f"Sequence[{type_text(item, contract)}]"
        case Table(value):
            return f"Mapping[str, {type_text(value, contract)}]"
        case Named(name):
            known = {part.name for part in contract.parts}
            if name in known:
                return _part_name(contract, name)
            return type_text(type_of(contract.schema["$defs"][name]), contract)
        case Either(options):
            return " | ".join(dict.fromkeys(type_text(option, contract) for option in options))


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _index(contracts: Sequence[Contract]) -> str:
    lines = ["APP_EVENTS: Mapping[str, type[AppEvent]] = {"]
    lines += [f'    "{each.event}": {each.model.name},' for each in contracts]
    return "\n".join([*lines, "}", '"""All events that applications publish, by name."""', ""])


def _part_name(contract: Contract, name: str) -> str:
    return f"{contract.model.name}{name}"


def _safe(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name


def _plain(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"""', "'''").rstrip('"')


def _docstring(text: str) -> list[str]:
    """The text as it stands in the model, a long line broken."""
    lines = [broken for line in _plain(text).splitlines() for broken in (textwrap.wrap(line, WIDTH - 4) or [""])]
    if len(lines) == 1:
        return [f'    """{lines[0]}"""']
    return [f'    """{lines[0]}', *(f"    {line}".rstrip() for line in lines[1:]), '    """']
