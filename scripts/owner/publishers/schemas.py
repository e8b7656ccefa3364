"""publishers/schemas/<event>.json: the contract as JSON Schema 2020-12, with tenantId and one example.

Rules across fields (one of two must be given) are in no schema; the jobs refuse such a message with INVALID_PAYLOAD.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from scripts.owner.publishers.contracts import Contract

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TENANT_ID = {
    "type": "string",
    "pattern": "^[a-z0-9_]{1,50}$|^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$",
    "description": "The tenant's slug, or its organizations.id.",
}


def file_name(contract: Contract) -> str:
    """`order.sync.json`."""
    return f"{contract.event}.json"


def render(contract: Contract) -> str:
    """The text of the event's file."""
    schema = contract.schema
    whole = {
        "$schema": DIALECT,
        "$id": f"urn:cgk:event:{contract.event}",
        "title": contract.event,
        "description": contract.model.text,
        "x-published-by": "applications" if contract.from_apps else "jobs",
        "type": "object",
        "properties": {"tenantId": TENANT_ID, **_untitled(schema.get("properties", {}))},
        "required": ["tenantId", *schema.get("required", ())],
        **({"$defs": _untitled(schema["$defs"])} if "$defs" in schema else {}),
        **({"examples": [contract.sample]} if contract.sample else {}),
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def _untitled(value: Any, *, of_names: bool = True) -> Any:
    """Without the titles that pydantic makes of names. `of_names`: the keys here are fields' names, not keywords."""
    if isinstance(value, list):
        return [_untitled(item, of_names=False) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        name: _untitled(part, of_names=not of_names and name in ("properties", "$defs"))
        for name, part in value.items()
        if of_names or name != "title" or not isinstance(part, str)
    }
