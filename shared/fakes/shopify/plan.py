"""A checked operation as a tree of fields, merged and typed: what projection, cost and bulk export work on.

Walking graphql-core's own tree for every object would cost more than building the objects; the plan is made once
per text. Fragments are dissolved. On a concrete type a fragment either applies or is dropped here; only below an
interface or union does a field keep the set of types it is for (`on`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    VariableValues,
    get_named_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution.values import get_argument_values
from graphql.language import BooleanValueNode

Kind = Literal["leaf", "object", "list", "connection"]
Condition = tuple[
    bool, str | bool
]  # (wanted, variable name or constant) of @include (wanted True) and @skip (wanted False)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a selection: what is asked, under which key, of which type, with which fields below."""

    key: str
    name: str
    parent: str
    kind: Kind
    type_name: str
    required: bool
    on: frozenset[str] | None
    conditions: tuple[Condition, ...]
    children: tuple[Field, ...]
    definition: GraphQLField | None
    node: FieldNode
    static_arguments: dict[str, Any] | None

    def arguments(self, variables: VariableValues) -> dict[str, Any]:
        """The arguments, coerced, defaults filled in. Raises GraphQLError when a variable does not fit."""
        if self.static_arguments is not None or self.definition is None:
            return self.static_arguments or {}
        return get_argument_values(self.definition, self.node, variables)

    def child(self, name: str) -> Field | None:
        """The first field below with that name of the schema."""
        return next((field for field in self.children if field.name == name), None)

    def node_fields(self) -> tuple[Field, ...]:
        """Of a connection: the fields asked of its nodes, by `nodes` or by `edges { node }`."""
        found: list[Field] = []
        for below in self.children:
            if below.name == "nodes":
                found += below.children
            elif below.name == "edges":
                found += [field for edge in below.children if edge.name == "node" for field in edge.children]
        return tuple(found)


@dataclass(slots=True)
class _Group:
    """The nodes of one response key on one set of types: fragments may ask an object for different fields."""

    nodes: list[FieldNode]
    conditions: tuple[Condition, ...]


class Planner:
    """Plans the operations of one document. The document is valid."""

    def __init__(self, schema: GraphQLSchema, fragments: dict[str, FragmentDefinitionNode]) -> None:
        self._schema = schema
        self._fragments = fragments

    def root(self, operation: OperationDefinitionNode) -> tuple[Field, ...]:
        """The root fields of the operation."""
        root_type = self._schema.get_root_type(operation.operation)
        if root_type is None:
            raise GraphQLError(f"the schema has no {operation.operation.value} type")
        return self._fields([operation.selection_set], root_type)

    def _fields(self, selections: Iterable[SelectionSetNode], parent: GraphQLNamedType) -> tuple[Field, ...]:
        groups: dict[tuple[str, frozenset[str] | None], _Group] = {}
        for selection in selections:
            for node, on, conditions in self._collect(selection, parent, None, ()):
                key = node.alias.value if node.alias else node.name.value
                group = groups.get((key, on))
                if group is None:
                    groups[key, on] = _Group([node], conditions)
                else:
                    group.nodes.append(node)
                    # Asked twice, once unconditionally: it is asked. (Two different conditions: the first one counts.)
                    group.conditions = group.conditions and conditions and group.conditions
        return tuple(self._field(key, on, group, parent) for (key, on), group in groups.items())

    def _collect(
        self,
        selection: SelectionSetNode,
        parent: GraphQLNamedType,
        on: frozenset[str] | None,
        conditions: tuple[Condition, ...],
    ) -> Iterator[tuple[FieldNode, frozenset[str] | None, tuple[Condition, ...]]]:
        for part in selection.selections:
            asked = conditions + _conditions(part)
            if isinstance(part, FieldNode):
                yield part, on, asked
                continue
            if isinstance(part, FragmentSpreadNode):
                fragment: InlineFragmentNode | FragmentDefinitionNode = self._fragments[part.name.value]
            elif isinstance(part, InlineFragmentNode):
                fragment = part
            else:
                continue
            types = self._types(fragment, parent)
            narrowed = types if on is None else (on if types is None else on & types)
            if narrowed is None or narrowed:
                yield from self._collect(fragment.selection_set, parent, narrowed, asked)

    def _types(
        self, fragment: InlineFragmentNode | FragmentDefinitionNode, parent: GraphQLNamedType
    ) -> frozenset[str] | None:
        """The object types the fragment is for; None: all that the parent can be; empty: none."""
        if fragment.type_condition is None:
            return None
        condition = self._schema.type_map[fragment.type_condition.name.value]
        possible = {condition.name}
        if is_abstract_type(condition):
            possible = {each.name for each in self._schema.get_possible_types(condition)}
        if is_abstract_type(parent):
            return None if condition is parent else frozenset(possible)
        return None if parent.name in possible else frozenset()

    def _field(self, key: str, on: frozenset[str] | None, group: _Group, parent: GraphQLNamedType) -> Field:
        node = group.nodes[0]
        name = node.name.value
        parent_name = parent.name
        if name == "__typename":
            return Field(key, name, parent_name, "leaf", "String", False, on, group.conditions, (), None, node, {})
        definition = self._definition(name, parent, on)
        named = get_named_type(definition.type)
        below = [each.selection_set for each in group.nodes if each.selection_set is not None]
        children = self._fields(below, named) if below else ()
        variable = any(_has_variable(argument.value) for argument in node.arguments or ())
        static = None if variable else get_argument_values(definition, node)
        kind, required = _kind(definition.type), is_non_null_type(definition.type)
        return Field(
            key, name, parent_name, kind, named.name, required, on, group.conditions, children, definition, node, static
        )

    def _definition(self, name: str, parent: GraphQLNamedType, on: frozenset[str] | None) -> GraphQLField:
        fields = getattr(parent, "fields", {})
        if name not in fields and on:
            holder = self._schema.type_map[min(on)]
            fields = holder.fields if isinstance(holder, GraphQLObjectType) else fields
        definition: GraphQLField = fields[name]
        return definition


def asked(field: Field, variables: VariableValues) -> bool:
    """Whether @include and @skip let the field through."""
    for wanted, switch in field.conditions:
        value = switch if isinstance(switch, bool) else bool(variables.coerced.get(switch))
        if value is not wanted:
            return False
    return True


def _kind(type_: GraphQLOutputType) -> Kind:
    bare = type_.of_type if is_non_null_type(type_) else type_
    named = get_named_type(bare)
    if is_leaf_type(named):
        return "leaf"
    if is_list_type(bare):
        return "list"
    fields = getattr(named, "fields", {})
    return "connection" if "pageInfo" in fields and "edges" in fields else "object"


def _conditions(part: Any) -> tuple[Condition, ...]:
    found: list[Condition] = []
    for directive in part.directives or ():
        if directive.name.value in ("include", "skip"):
            value = directive.arguments[0].value
            switch = value.value if isinstance(value, BooleanValueNode) else value.name.value
            found.append((directive.name.value == "include", switch))
    return tuple(found)


def _has_variable(value: Any) -> bool:
    if isinstance(value, VariableNode):
        return True
    parts = [*(getattr(value, "values", None) or ()), *(each.value for each in getattr(value, "fields", None) or ())]
    return any(_has_variable(part) for part in parts)
