"""The vendor's schema, and documents checked against it.

A request text is parsed, validated and planned once and kept: the same few queries come again and again. Validation
errors are answered as the vendor answers them: HTTP 200 with `errors`, codes undefinedField, argumentNotAccepted,
...
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphql import (
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    VariableValues,
    build_client_schema,
    parse,
    validate,
)
from graphql.execution.values import get_variable_values

from shared.fakes.shopify.plan import Field, Planner

DOCUMENTS_KEPT = 200  # texts; a client that writes literals into its queries must not grow the process without bound

_SCHEMAS: dict[Path, GraphQLSchema] = {}
_SCHEMAS_LOCK = threading.Lock()


def load_schema(path: Path) -> GraphQLSchema:
    """The schema of a gzipped introspection result (about 0.6 s, then kept for the life of the process)."""
    path = path.resolve()
    with _SCHEMAS_LOCK:
        if path not in _SCHEMAS:
            with gzip.open(path, "rt", encoding="utf-8") as file:
                introspection = json.load(file)
            _SCHEMAS[path] = build_client_schema(introspection.get("data", introspection), assume_valid=True)
        return _SCHEMAS[path]


@dataclass(frozen=True)
class Operation:
    """One checked operation: its root fields as a plan, ready to run with variables."""

    name: str
    kind: OperationType
    fields: tuple[Field, ...]
    definition: OperationDefinitionNode


class BadRequest(Exception):
    """The request does not satisfy the schema; `errors` is what the vendor answers."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors


class Documents:
    """Checked documents of one schema, by text."""

    def __init__(self, schema: GraphQLSchema) -> None:
        self.schema = schema
        self._kept: OrderedDict[str, dict[str, Operation]] = OrderedDict()
        self._lock = threading.Lock()

    def operation(self, text: str, name: str | None = None) -> Operation:
        """The operation `name` (or the only one) of the text. Raises BadRequest."""
        with self._lock:
            operations = self._kept.get(text)
            if operations is None:
                operations = self._kept[text] = self._check(text)
                if len(self._kept) > DOCUMENTS_KEPT:
                    self._kept.popitem(last=False)
            else:
                self._kept.move_to_end(text)
        if name:
            found = operations.get(name)
            if found is None:
                raise BadRequest([{"message": f'No operation named "{name}"'}])
            return found
        if len(operations) != 1:
            raise BadRequest([{"message": "An operation name is required"}])
        return next(iter(operations.values()))

    def variables(self, operation: Operation, given: dict[str, Any]) -> VariableValues:
        """The variables, coerced by the schema. Raises BadRequest with code INVALID_VARIABLE."""
        values = get_variable_values(self.schema, operation.definition.variable_definitions or (), given)
        if isinstance(values, list):
            raise BadRequest([_formatted(error, code="INVALID_VARIABLE") for error in values])
        return values

    def _check(self, text: str) -> dict[str, Operation]:
        try:
            document = parse(text)
        except GraphQLError as error:
            raise BadRequest([_formatted(error, code="PARSE_ERROR")]) from None
        errors = validate(self.schema, document)
        if errors:
            raise BadRequest([_formatted(error) for error in errors])
        fragments = {d.name.value: d for d in document.definitions if isinstance(d, FragmentDefinitionNode)}
        planner = Planner(self.schema, fragments)
        operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
        planned = {}
        for definition in operations:
            name = definition.name.value if definition.name else ""
            planned[name] = Operation(name, definition.operation, planner.root(definition), definition)
        return planned


# What the validator says -> what the vendor says, with the vendor's code and names of the parts.
_VENDOR_WORDS: tuple[tuple[re.Pattern[str], str, str, tuple[str, ...]], ...] = (
    (
        re.compile(r"^Cannot query field '(?P<fieldName>\w+)' on type '(?P<typeName>\w+)'"),
        "Field '{fieldName}' doesn't exist on type '{typeName}'",
        "undefinedField",
        ("typeName", "fieldName"),
    ),
    (
        re.compile(r"^Unknown argument '(?P<argumentName>\w+)' on field '(?P<typeName>\w+)\.(?P<name>\w+)'"),
        "Field '{name}' doesn't accept argument '{argumentName}'",
        "argumentNotAccepted",
        ("name", "typeName", "argumentName"),
    ),
    (
        re.compile(r"^Field '(?P<fieldName>\w+)' of type '(?P<typeName>[^']+)' must have a selection"),
        "Field must have selections (field '{fieldName}' returns {typeName} but has no selections. Did you mean "
        "'{fieldName} {{ ... }}'?)",
        "selectionMismatch",
        ("typeName", "fieldName"),
    ),
    (
        re.compile(r"^Argument '(?P<type>\w+)\.(?P<name>\w+)\((?P<argument>\w+):\)' of type '[^']+' is required"),
        "Field '{name}' is missing required arguments: {argument}",
        "missingRequiredArguments",
        ("name",),
    ),
)


def _formatted(error: GraphQLError, code: str | None = None) -> dict[str, Any]:
    shown: dict[str, Any] = dict(error.formatted)
    for pattern, message, vendor_code, names in _VENDOR_WORDS:
        found = pattern.match(shown["message"])
        if found:
            shown["message"] = message.format(**found.groupdict())
            shown["extensions"] = {"code": vendor_code, **{name: found[name] for name in names}}
            return shown
    if code:
        shown["extensions"] = {"code": code}
    return shown
