"""Payloads that a suite makes of a model: every field filled, chosen fields given values of its own."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from shared.events.base import Payload

IDENTIFIER = re.compile(
    r"(^|_)ids?$|Ids?$|[kK]ey$|^shop$|^account$|[sS]lug$|[eE]mails?$|[cC]odes?$|[hH]andle$|[oO]rganization|[tT]enant"
    r"|[nN]umber$|[tT]oken$|[dD]omain$"
)
"""Names of fields that say whose or which thing is meant."""
CODED = re.compile(
    r"(ids?|key|source|type|status|topic|provider|channel|kind|reason|mode|action|trigger|currency|step|locale|url"
    r"|code|shop|account|handle|country|timezone|zone|scope|phase|interval|model)$",
    re.IGNORECASE,
)
"""Names of text fields that hold words of a code, not of a person."""

Schema = Mapping[str, Any]
Fill = Callable[[str, Schema], Any]


def filled(model: type[Payload], sample: Mapping[str, Any], fill: Fill) -> dict[str, Any]:
    """The sample with every field for which `fill` gives a value, as far as the model takes it.

    `fill(name, schema)`: the value, or None to leave the field alone. A field whose value the model refuses keeps what
    the sample has.
    """
    payload = copy.deepcopy(dict(sample))
    for name, value in _proposals(model.model_json_schema(by_alias=True), fill):
        candidate = {**payload, name: value}
        if accepts(model, candidate):
            payload = candidate
    return payload


def accepts(model: type[Payload], payload: Mapping[str, Any]) -> bool:
    """Whether the model takes the payload."""
    try:
        model.model_validate_json(json.dumps(payload), strict=True)
    except ValidationError:
        return False
    return True


def _proposals(root: Schema, fill: Fill) -> Iterator[tuple[str, Any]]:
    for name, part in root.get("properties", {}).items():
        value = _proposal(name, part, root, fill)
        if value is not None:
            yield name, value


def _proposal(name: str, part: Schema, root: Schema, fill: Fill) -> Any:
    part = _resolved(part, root)
    if part.get("type") == "array":
        inner = _proposal(name, part.get("items", {}), root, fill)
        return None if inner is None else [inner]
    if part.get("type") == "object" and part.get("properties"):
        members = {n: _proposal(n, p, root, fill) for n, p in part["properties"].items()}
        return {n: v for n, v in members.items() if v is not None} or None
    if part.get("const") is not None or part.get("enum"):
        return None
    return fill(name, part)


def _resolved(part: Schema, root: Schema) -> Schema:
    if "$ref" in part:
        return _resolved(root["$defs"][part["$ref"].rsplit("/", 1)[-1]], root)
    for key in ("anyOf", "oneOf", "allOf"):
        choices = [choice for choice in part.get(key, ()) if choice.get("type") != "null"]
        if choices:
            return _resolved(choices[0], root)
    return part
