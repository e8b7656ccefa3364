"""publishers/typescript/src/events.ts: an interface per event, and the events by name."""

from __future__ import annotations

import json
from collections.abc import Sequence

from scripts.owner.publishers.contracts import Contract, Field, Model
from scripts.owner.publishers.types import Choice, Either, Many, Named, Scalar, Table, Type, type_of

HEAD = """// Generated from the jobs' contracts by `scripts/publishers`; do not edit.
//
// A member that may be left out may also be null. Text of format date-time carries an offset (or Z).

"""
SCALARS = {
    "text": "string",
    "instant": "string",
    "date": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "any": "unknown",
}


def render(contracts: Sequence[Contract]) -> str:
    """The whole file."""
    parts = [HEAD + _index(contracts)]
    for contract in contracts:
        parts += [_interface(part, contract) for part in contract.parts]
        parts.append(_interface(contract.model, contract, _header(contract)))
    return "\n".join(parts)


def render_samples(contracts: Sequence[Contract]) -> str:
    """test/samples.ts: one payload per event that can be published; that it compiles shows that the types fit."""
    head = "// Generated from the jobs' contracts by `scripts/publishers`; do not edit.\n\n"
    lines = ['import type { Outgoing } from "../src/index.ts";', "", "export const SAMPLES: readonly Outgoing[] = ["]
    for contract in contracts:
        if contract.from_apps and contract.sample is not None:
            payload = {name: value for name, value in contract.sample.items() if name != "tenantId"}
            tenant = json.dumps(contract.sample["tenantId"])
            text = json.dumps(payload, ensure_ascii=False)
            lines.append(f"  {{ name: {json.dumps(contract.event)}, tenantId: {tenant}, payload: {text} }},")
    return head + "\n".join([*lines, "];", ""])


def _index(contracts: Sequence[Contract]) -> str:
    """The two maps of names to types, and the list of names that can be published."""
    published = [each for each in contracts if each.from_apps]
    lines = ["/** What applications publish, by event name. */", "export interface AppEvents {"]
    lines += [f"  {json.dumps(each.event)}: {each.model.name};" for each in published]
    lines += ["}", "", "/** What the jobs publish for applications to listen to, by event name. */"]
    lines += ["export interface JobEvents {"]
    lines += [f"  {json.dumps(each.event)}: {each.model.name};" for each in contracts if each.to_apps]
    lines += ["}", "", "/** Names of all events that applications publish. */", "export const APP_EVENT_NAMES = ["]
    lines += [f"  {json.dumps(each.event)}," for each in published]
    lines += ["] as const satisfies readonly (keyof AppEvents)[];", ""]
    return "\n".join(lines)


def _header(contract: Contract) -> str:
    return f"{contract.event}: {contract.model.text}" if contract.model.text else contract.event


def _interface(model: Model, contract: Contract, text: str | None = None) -> str:
    name = model.name if model is contract.model else _part_name(contract, model.name)
    lines = [*_comment(text or model.text, ""), f"export interface {name} {{"]
    for field in model.fields:
        lines += _member(field, contract)
    return "\n".join([*lines, "}", ""])


def _member(field: Field, contract: Contract) -> list[str]:
    written = type_text(field.type, contract)
    mark, absent = ("", "") if field.required else ("?", " | null")
    return [*_comment(field.note, "  "), f"  {field.wire}{mark}: {written}{absent};"]


def type_text(type_: Type, contract: Contract) -> str:
    """The type in TypeScript."""
    match type_:
        case Scalar(kind):
            return SCALARS[kind]
        case Choice(values):
            return " | ".join(json.dumps(value, ensure_ascii=False) for value in values)
        case Many(item):
            inner = type_text(item, contract)
            return f"readonly ({inner})[]" if " " in inner else f"readonly {inner}[]"
        case Table(value):
            return f"Readonly<Record<string, {type_text(value, contract)}>>"
        case Named(name):
            known = {part.name for part in contract.parts}
            return _part_name(contract, name) if name in known else _enumeration(contract, name)
        case Either(options):
            return " | ".join(dict.fromkeys(type_text(option, contract) for option in options))


def _part_name(contract: Contract, name: str) -> str:
    """Parts of two events may have one name and differ, so each stands under its event's."""
    return f"{contract.model.name}{name}"


def _enumeration(contract: Contract, name: str) -> str:
    """A definition that is no model: an enumeration, written where it is used."""
    return type_text(type_of(contract.schema["$defs"][name]), contract)


def _comment(text: str, indent: str) -> list[str]:
    lines = [line.rstrip().replace("*/", "* /") for line in text.strip().splitlines()]
    if not lines:
        return []
    if len(lines) == 1:
        return [f"{indent}/** {lines[0]} */"]
    return [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"]
