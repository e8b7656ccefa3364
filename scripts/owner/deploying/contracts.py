"""Payload contracts as JSON Schema in one form, and whether a new one takes every message that an old one took.

Messages are in flight while a version replaces another: in the queue, in the outbox, in a schedule a year ahead. What
was valid when it was sent must be valid when it arrives. The rule asks that of the schemas, keyword by keyword, and
takes a keyword that it does not know for a break: a wrong alarm costs `--force`, a missed one costs messages.
Validators in Python do not show in a schema; diff.py therefore also tries the deployed version's sample payload.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

Schema = Mapping[str, Any]

WORDS = ("title", "description", "examples", "default", "deprecated", "readOnly", "writeOnly", "discriminator")
"""Keywords that decide nothing about which payloads are valid."""
LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
UPPER = ("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties")
FIXED = ("pattern", "format", "multipleOf", "uniqueItems", "contentEncoding", "propertyNames")
"""Keywords that narrow by being there; another value of them may refuse anything."""
SHAPE = ("type", "enum", "properties", "required", "additionalProperties", "items", "prefixItems", "anyOf", "oneOf")
KNOWN = (*LOWER, *UPPER, *FIXED, *SHAPE)
WIDER = {("integer", "number")}
"""Types of which every value of the first is one of the second."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One sentence; `breaking`: a message that the old contract took may be refused by the new one."""

    text: str
    breaking: bool = False


# One form.


def contract(model: type[BaseModel]) -> dict[str, Any]:
    """The model's JSON Schema in wire names: references put in, words left out, lists without meaning sorted.

    A null member of the payload itself counts as absent (admission leaves it out), so `T | None` is T there.
    """
    schema = model.model_json_schema(by_alias=True, mode="validation")
    whole: dict[str, Any] = _normal(schema, schema.get("$defs", {}), ())
    whole["properties"] = {name: _without_null(part) for name, part in whole.get("properties", {}).items()}
    found: dict[str, Any] = json.loads(json.dumps(whole, sort_keys=True))
    return found


def _normal(schema: Any, definitions: Schema, inside: tuple[str, ...]) -> Any:
    if not isinstance(schema, dict):
        return schema
    if reference := schema.get("$ref"):
        name = str(reference).rsplit("/", 1)[-1]
        if name in inside:
            return {"$ref": name}  # a model that holds itself; what it is stands further out
        return _normal(definitions[name], definitions, (*inside, name))
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in WORDS or key == "$defs":
            continue
        if key == "properties":
            found[key] = {name: _normal(part, definitions, inside) for name, part in sorted(value.items())}
        elif key == "const":
            found["enum"] = [value]
        elif key in ("enum", "required"):
            found[key] = sorted(value, key=str)
        elif isinstance(value, list):
            found[key] = [_normal(part, definitions, inside) for part in value]
        else:
            found[key] = _normal(value, definitions, inside)
    return found


def _without_null(schema: Any) -> Any:
    forms = schema.get("anyOf")
    if not forms:
        return schema
    left = [form for form in forms if form != {"type": "null"}]
    return left[0] if len(left) == 1 else {**schema, "anyOf": left}


# The rule.


def compare(old: Schema, new: Schema, path: str = "") -> Iterator[Difference]:
    """What the new contract says otherwise than the old one, in the order of the fields."""
    if old == new:
        return
    if "anyOf" in old or "oneOf" in old or "anyOf" in new or "oneOf" in new:
        yield from _forms(old, new, path)
        return
    yield from _type(old, new, path)
    yield from _enum(old, new, path)
    yield from _limits(old, new, path)
    if _is_object(old) and _is_object(new):
        yield from _members(old, new, path)
        yield from _others(old, new, path)
    yield from _items(old, new, path)
    for key in sorted((old.keys() | new.keys()) - set(KNOWN)):
        if old.get(key) != new.get(key):
            yield _breaks(path, f"{key} is another")


def is_compatible(old: Schema, new: Schema) -> bool:
    """Whether the new contract takes whatever the old one took."""
    return not any(difference.breaking for difference in compare(old, new))


def _forms(old: Schema, new: Schema, path: str) -> Iterator[Difference]:
    """`anyOf`: each old form must be taken by one of the new forms."""
    before, after = _alternatives(old), _alternatives(new)
    lost = [form for form in before if not any(is_compatible(form, other) for other in after)]
    for form in lost:
        nearest = [other for other in after if other.get("type") == form.get("type")]
        if len(nearest) == 1:
            yield from compare(form, nearest[0], path)
        else:
            yield _breaks(path, f"{_called(form)} is not taken any more")
    if not lost:
        yield _said(path, "takes other forms too, or says the same otherwise")


def _alternatives(schema: Schema) -> list[Schema]:
    return list(schema.get("anyOf") or schema.get("oneOf") or [schema])


def _type(old: Schema, new: Schema, path: str) -> Iterator[Difference]:
    before, after = old.get("type"), new.get("type")
    if before == after:
        return
    if after is None or (before, after) in WIDER:
        yield _said(path, f"type {before} -> {after or 'any'}")
    else:
        yield _breaks(path, f"type {before or 'any'} -> {after}")


def _enum(old: Schema, new: Schema, path: str) -> Iterator[Difference]:
    before, after = old.get("enum"), new.get("enum")
    if before == after:
        return
    if after is None:
        yield _said(path, "takes any value now")
    elif before is None:
        yield _breaks(path, f"takes only {_listed(after)} now")
    else:
        if gone := [value for value in before if value not in after]:
            yield _breaks(path, f"{_listed(gone)} is not taken any more")
        if added := [value for value in after if value not in before]:
            yield _said(path, f"{_listed(added)} is taken too")


def _limits(old: Schema, new: Schema, path: str) -> Iterator[Difference]:
    for key in (*LOWER, *UPPER, *FIXED):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        change = f"{key} {_shown(before)} -> {_shown(after)}"
        if after is None:
            yield _said(path, change)
        elif before is None or key in FIXED:
            yield _breaks(path, change)
        else:
            narrower = after > before if key in LOWER else after < before
            yield Difference(_at(path, change), narrower)


def _is_object(schema: Schema) -> bool:
    return schema.get("type") == "object" or "properties" in schema


def _members(old: Schema, new: Schema, path: str) -> Iterator[Difference]:
    before, after = old.get("properties", {}), new.get("properties", {})
    was, needed = set(old.get("required", ())), set(new.get("required", ()))
    closed = new.get("additionalProperties") is False
    for name in sorted(before.keys() | after.keys()):
        inner = f"{path}.{name}" if path else name
        if name not in after:
            text = "is gone, and unknown members are refused" if closed else "is not read any more"
            yield Difference(_at(inner, text), closed)
        elif name not in before:
            yield _breaks(inner, "is new and required") if name in needed else _said(inner, "is new and optional")
        else:
            if (name in needed) != (name in was):
                yield _breaks(inner, "is required now") if name in needed else _said(inner, "is optional now")
            yield from compare(before[name], after[name], inner)


def _others(old: Schema, new: Schema, path: str) -> Iterator[Difference]:
    """Members that the contract does not name: taken, refused, or of one form."""
    before, after = old.get("additionalProperties", True), new.get("additionalProperties", True)
    if before == after:
        return
    if isinstance(after, dict) and isinstance(before, dict):
        yield from compare(before, after, f"{path}.*" if path else "*")
    elif after is True or before is False:
        yield _said(path, "members without a name here are taken now")
    else:
        yield _breaks(path, "members without a name here are refused now")


def _items(old: Schema, new: Schema, path: str) -> Iterator[Difference]:
    before, after = old.get("items"), new.get("items")
    if before != after:
        yield from compare(before or {}, after or {}, f"{path}[]")
    places, others = old.get("prefixItems", []), new.get("prefixItems", [])
    if len(places) != len(others):
        yield _breaks(path, f"{len(places)} places -> {len(others)}")
        return
    for n, (place, other) in enumerate(zip(places, others, strict=True)):
        yield from compare(place, other, f"{path}[{n}]")


# Words.


def _at(path: str, text: str) -> str:
    return f"{path or 'payload'}: {text}"


def _breaks(path: str, text: str) -> Difference:
    return Difference(_at(path, text), breaking=True)


def _said(path: str, text: str) -> Difference:
    return Difference(_at(path, text))


def _listed(values: list[Any]) -> str:
    return ", ".join(map(str, values))


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


def _called(form: Schema) -> str:
    return _listed(form["enum"]) if form.get("enum") else str(form.get("type", "one of its forms"))
