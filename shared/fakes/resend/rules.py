"""What Resend asks of a mail: its documentation, and its own OpenAPI 3.1 file where one is given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from email.utils import parseaddr
from typing import Any

FIELDS = re.compile(
    "attachments|bcc|cc|from|headers|html|reply_to|scheduled_at|subject|tags|template|text|to|topic_id",
)
TAG = re.compile(r"[A-Za-z0-9_-]{1,256}")
ADDRESS = re.compile(r"[^\s@<>]+@[^\s@<>]+\.[^\s@<>.]+")
MAX_RECIPIENTS = 50
SCHEMA = ("paths", "/emails", "post", "requestBody", "content", "application/json", "schema")

Problem = tuple[int, str, str]
"""Status, name and message of an error."""


def problem_of(body: Any, contract: Mapping[str, Any] | None) -> Problem | None:
    """The first thing that is wrong with a mail, as Resend answers it."""
    if not isinstance(body, dict):
        return 400, "validation_error", "The request body must be a JSON object."
    for name in ("from", "to", "subject"):
        if not body.get(name):
            return 422, "missing_required_field", f"Missing `{name}` field."
    if not any(body.get(name) for name in ("html", "text", "template")):
        return 422, "missing_required_field", "Missing `html` or `text` field."
    if not ADDRESS.fullmatch(parseaddr(str(body["from"]))[1]):
        return 422, "invalid_from_address", "Invalid `from` field."
    recipients = body["to"] if isinstance(body["to"], list) else [body["to"]]
    if len(recipients) > MAX_RECIPIENTS or not all(_is_recipient(each) for each in recipients):
        return (
            422,
            "validation_error",
            "Invalid `to` field. The email address needs to follow the `email@example.com` format.",
        )
    for tag in body.get("tags") or []:
        if not (isinstance(tag, dict) and TAG.fullmatch(str(tag.get("name"))) and TAG.fullmatch(str(tag.get("value")))):
            return 422, "validation_error", "Tags should only contain ASCII letters, numbers, underscores, or dashes."
    unknown = sorted(name for name in body if not FIELDS.fullmatch(name))
    if unknown:
        return 422, "validation_error", f"Unknown field `{unknown[0]}`."
    if contract is not None:
        for wrong in against(contract, _find(contract, SCHEMA), body, "body"):
            return 422, "validation_error", wrong
    return None


def _is_recipient(value: Any) -> bool:
    return isinstance(value, str) and ADDRESS.fullmatch(parseaddr(value)[1]) is not None


def domain_of(sender: str) -> str:
    """The domain of a From header."""
    return parseaddr(sender)[1].rpartition("@")[2].lower()


# -- the contract: as much of JSON Schema as Resend's file uses ------------------------------------------------------

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


def against(contract: Mapping[str, Any], schema: Mapping[str, Any], value: Any, place: str) -> Iterator[str]:
    """What is wrong with a value by a schema; members that a closed object does not name are wrong too."""
    if "$ref" in schema:
        yield from against(contract, _find(contract, schema["$ref"].removeprefix("#/").split("/")), value, place)
        return
    for part in schema.get("allOf", []):
        yield from against(contract, part, value, place)
    choices = schema.get("oneOf") or schema.get("anyOf")
    if choices and all(any(True for _ in against(contract, each, value, place)) for each in choices):
        yield f"{place}: none of the forms it may have"
    kind = schema.get("type")
    if isinstance(kind, str) and (not isinstance(value, _TYPES[kind]) or (kind != "boolean" and value is True)):
        yield f"{place}: not a {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: not one of {schema['enum']}"
    if isinstance(value, dict):
        yield from _object(contract, schema, value, place)
    if isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
            yield f"{place}: {len(value)} items"
        for index, item in enumerate(value):
            yield from against(contract, schema.get("items", {}), item, f"{place}[{index}]")
    if isinstance(value, str) and len(value) > schema.get("maxLength", len(value)):
        yield f"{place}: longer than {schema['maxLength']}"


def _object(
    contract: Mapping[str, Any], schema: Mapping[str, Any], value: Mapping[str, Any], place: str
) -> Iterator[str]:
    known: Mapping[str, Any] = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in value:
            yield f"{place}.{name}: required"
    for name, member in value.items():
        if name in known:
            yield from against(contract, known[name], member, f"{place}.{name}")
        elif known and not schema.get("additionalProperties"):
            yield f"{place}.{name}: no such member"


def _find(contract: Mapping[str, Any], path: Any) -> Any:
    found: Any = contract
    for name in path:
        found = found[name.replace("~1", "/")]
    return found
