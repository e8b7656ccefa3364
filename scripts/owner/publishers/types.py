"""A JSON Schema of pydantic's as a small tree of types, which each language writes in its own way.

`null` is left out: on the wire a null member counts as absent, so every field that is not needed may be null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Schema = Mapping[str, Any]
ScalarKind = Literal["text", "instant", "date", "integer", "number", "boolean", "any"]


class NoType(ValueError):
    """A schema that has no counterpart here; the sentence names it."""


@dataclass(frozen=True)
class Scalar:
    """A plain value. `instant`: ISO 8601 with an offset; `date`: YYYY-MM-DD; both are text on the wire."""

    kind: ScalarKind


@dataclass(frozen=True)
class Choice:
    """One of some literal values."""

    values: tuple[str | int | bool, ...]


@dataclass(frozen=True)
class Many:
    """A list."""

    item: Type


@dataclass(frozen=True)
class Table:
    """An object with any names and values of one type."""

    value: Type


@dataclass(frozen=True)
class Named:
    """A model of its own, below the event's."""

    name: str


@dataclass(frozen=True)
class Either:
    """One of several types."""

    options: tuple[Type, ...]


Type = Scalar | Choice | Many | Table | Named | Either

FORMATS: Mapping[str, ScalarKind] = {"date-time": "instant", "date": "date"}
SCALARS: Mapping[str, ScalarKind] = {"integer": "integer", "number": "number", "boolean": "boolean"}


def type_of(schema: Schema) -> Type:
    """The type of a schema; raises NoType for what cannot be told."""
    if "$ref" in schema:
        return Named(str(schema["$ref"]).rsplit("/", 1)[-1])
    if "enum" in schema:
        return Choice(tuple(schema["enum"]))
    if "const" in schema:
        return Choice((schema["const"],))
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return _either([part for part in schema[several] if part.get("type") != "null"])
    if "allOf" in schema and len(schema["allOf"]) == 1:
        return type_of(schema["allOf"][0])
    return _plain(schema)


def _either(parts: list[Schema]) -> Type:
    """The distinct types of the parts, literal values of several parts put together."""
    found = list(dict.fromkeys(type_of(part) for part in parts))
    choices = tuple(value for each in found if isinstance(each, Choice) for value in each.values)
    others = [each for each in found if not isinstance(each, Choice)]
    whole: list[Type] = [*([Choice(choices)] if choices else []), *others]
    return whole[0] if len(whole) == 1 else Either(tuple(whole))


def _plain(schema: Schema) -> Type:
    kind = schema.get("type")
    if kind is None:
        return Scalar("any")
    if kind == "string":
        return Scalar(FORMATS.get(schema.get("format", ""), "text"))
    if kind in SCALARS:
        return Scalar(SCALARS[kind])
    if kind == "array":
        return Many(type_of(schema.get("items", {})))
    if kind == "object":
        extra = schema.get("additionalProperties", True)
        return Table(type_of(extra) if isinstance(extra, dict) else Scalar("any"))
    raise NoType(f"a schema of type {kind!r} has no counterpart in the publishers; teach {__name__} about it")
