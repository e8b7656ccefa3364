"""The contracts as the generators see them: models with fields, in the order of their names."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scripts.owner.publishers.types import Type, type_of
from shared.events.base import Event, contracts
from shared.jobs.samples import TENANT, NoSample, sample_payload

PACKAGE = "shared.events"
LIMITS = ("minLength", "maxLength", "pattern", "minimum", "maximum", "exclusiveMinimum", "minItems", "maxItems")
"""Keywords of a schema that a type does not hold; they are told in the field's comment."""


@dataclass(frozen=True)
class Field:
    """A member of a payload. `name`: Python's; `wire`: as it stands in the message; `note`: limits, default."""

    name: str
    wire: str
    type: Type
    required: bool
    note: str


@dataclass(frozen=True)
class Model:
    """A payload or a part of one."""

    name: str
    text: str
    fields: tuple[Field, ...]


@dataclass(frozen=True)
class Contract:
    """An event. `parts`: the models that its fields name; `schema`: pydantic's, by wire names; `sample`: one payload,
    None while no job listens and the model gives no hint what a valid one is."""

    event: str
    from_apps: bool
    to_apps: bool
    model: Model
    parts: tuple[Model, ...]
    schema: Mapping[str, Any]
    sample: Mapping[str, Any] | None


def all_contracts() -> list[Contract]:
    """Every contract of the package, by event name; events that tests declare are none of ours."""
    package = importlib.import_module(PACKAGE)
    for info in pkgutil.iter_modules(package.__path__, f"{PACKAGE}."):
        importlib.import_module(info.name)
    ours = {name: model for name, model in contracts().items() if model.__module__.startswith(f"{PACKAGE}.")}
    return [contract_of(model) for _, model in sorted(ours.items())]


def contract_of(model: type[Event]) -> Contract:
    """One event's contract."""
    schema = model.model_json_schema(by_alias=True)
    names = {field.alias or name: name for name, field in model.model_fields.items()}
    parts = tuple(_model(name, part, {}) for name, part in sorted(schema.get("$defs", {}).items()) if _is_model(part))
    return Contract(
        event=model.event_name,
        from_apps=model.from_apps,
        to_apps=model.to_apps,
        model=_model(model.__name__, {**schema, "description": inspect.getdoc(model) or ""}, names),
        parts=parts,
        schema=schema,
        sample=_sample(model),
    )


def _sample(model: type[Event]) -> dict[str, Any] | None:
    try:
        return {"tenantId": TENANT, **sample_payload(model)}
    except NoSample:
        return None  # an event that a job listens to has one: scripts/events refuses it otherwise


def _is_model(part: Mapping[str, Any]) -> bool:
    return part.get("type") == "object" and "properties" in part


def _model(name: str, schema: Mapping[str, Any], names: Mapping[str, str]) -> Model:
    required = set(schema.get("required", ()))
    fields = [
        Field(names.get(wire, snake(wire)), wire, type_of(part), wire in required, _note(part))
        for wire, part in schema.get("properties", {}).items()
    ]
    return Model(name, str(schema.get("description", "")).strip(), tuple(fields))


def snake(wire: str) -> str:
    """camelCase to snake_case: `shopifyOrderId` -> `shopify_order_id`."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in wire).lstrip("_")


def _note(part: Mapping[str, Any]) -> str:
    """Description, format, limits and default of a field in one line; empty when there is nothing to say."""
    said = [str(part["description"]).strip().rstrip(".")] if part.get("description") else []
    chosen = [p for p in (part, *part.get("anyOf", ())) if p.get("type") != "null"]
    for each in chosen:
        if each.get("format"):
            said.append(str(each["format"]))
        said += [f"{keyword} {each[keyword]}" for keyword in LIMITS if keyword in each]
    if part.get("default") is not None:
        said.append(f"default {part['default']!r}")
    return "; ".join(dict.fromkeys(" ".join(text.split()) for text in said))
