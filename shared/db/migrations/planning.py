"""What to do: compares the schema files with the catalog. Adds, never drops, renames or retypes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from shared.db.migrations.catalog import Catalog, Relation
from shared.db.migrations.statements import (
    IndexShape,
    Statement,
    enum_labels,
    index_parts,
    index_shape,
    table_shape,
    trigger_function,
)
from shared.db.names import PLATFORM_ROLE, TENANTS_ROLE

_NOT_NULL = re.compile(r" NOT NULL\b")
_HAS_VALUE = re.compile(r" (DEFAULT|GENERATED)\b")


class PlanRefused(Exception):
    """The catalog holds something that a person must decide on first."""


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Rows that must not exist twice before a unique index can be made on a table that holds rows already."""

    table: str
    keys: str
    predicate: str
    id_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Action:
    """One change of a schema. `note` says what a reader should know, e.g. why a column comes without NOT NULL."""

    what: str
    sql: str
    note: str = ""
    alone: bool = False  # must commit before the rest: a new enum label cannot be used in the transaction that adds it
    duplicates: Duplicates | None = None


def plan(statements: Iterable[Statement], catalog: Catalog, replaced: dict[str, str]) -> list[Action]:
    """The changes that bring `catalog` to `statements`.

    `replaced` holds the hashes of views and functions as last made. The catalog is changed along the way, so that an
    object sees those planned before it.
    """
    return [action for statement in statements for action in _planned(statement, catalog, replaced)]


def _planned(statement: Statement, catalog: Catalog, replaced: dict[str, str]) -> list[Action]:
    if statement.verb == "always":
        return [Action(statement.name, statement.sql)]
    if statement.verb == "fence":
        return _fence(statement, catalog)
    if statement.verb == "replace":
        there = statement.name in (catalog.relations if statement.kind == "view" else catalog.functions)
        if there and replaced.get(statement.label) == statement.digest:
            return []
        return [Action(f"{'replace' if there else 'create'} {statement.label}", statement.sql)]
    return _ENSURE[statement.kind](statement, catalog)


def _type(statement: Statement, catalog: Catalog) -> list[Action]:
    there = catalog.types.get(statement.name)
    if there is None:
        return [Action(f"create {statement.label}", statement.sql)]
    return [
        Action(
            f"add label {label} to {statement.label}",
            f"ALTER TYPE {statement.name} ADD VALUE IF NOT EXISTS '{label}';",
            alone=True,
        )
        for label in enum_labels(statement.sql)
        if label not in there
    ]


def _table(statement: Statement, catalog: Catalog) -> list[Action]:
    shape = table_shape(statement.sql)
    relation = catalog.relations.get(statement.name)
    if relation is None:
        indexes = [IndexShape(keys, "", True) for keys in shape.unique_keys]
        catalog.relations[statement.name] = Relation("r", columns=set(shape.columns), indexes=indexes, planned=True)
        return [Action(f"create {statement.label}", statement.sql)]
    relation.new_columns = set(shape.columns) - relation.columns
    relation.columns |= relation.new_columns
    actions = [
        _column(statement.name, name, definition)
        for name, definition in shape.columns.items()
        if name in relation.new_columns
    ]
    for keys in shape.unique_keys:
        if not _covered(IndexShape(keys, "", True), relation.indexes):
            actions.append(_unique_key(statement.name, keys, relation))
    return actions


def _column(table: str, name: str, definition: str) -> Action:
    note = ""
    if _NOT_NULL.search(definition) and not _HAS_VALUE.search(definition):
        definition, note = (
            _NOT_NULL.sub("", definition),
            "without NOT NULL, because rows may exist and it has no default",
        )
    return Action(f"add column {table}.{name}", f"ALTER TABLE {table} ADD COLUMN {name} {definition};", note)


def _unique_key(table: str, keys: tuple[str, ...], relation: Relation) -> Action:
    name = f"ux_{table}_{'_'.join(keys)}"[:63]
    relation.indexes.append(IndexShape(keys, "", True))
    return Action(
        f"create index {name}",
        f"CREATE UNIQUE INDEX {name} ON {table} ({', '.join(keys)});",
        duplicates=_duplicates(table, ", ".join(keys), "", relation),
    )


def _duplicates(table: str, keys: str, predicate: str, relation: Relation) -> Duplicates | None:
    """The check before a unique index; none where no row can stand against it: a new table, a new column."""
    words = set(re.findall(r"\w+", f"{keys} {predicate}"))
    if relation.planned or words & relation.new_columns or not relation.primary_key:
        return None
    return Duplicates(table, keys, predicate, relation.primary_key)


def _index(statement: Statement, catalog: Catalog) -> list[Action]:
    relation = catalog.relations[statement.table or ""]
    shape = index_shape(statement.sql)
    if statement.name in catalog.index_names or _covered(shape, relation.indexes):
        return []
    relation.indexes.append(shape)
    keys, predicate = index_parts(statement.sql)
    duplicates = _duplicates(statement.table or "", keys, predicate, relation) if shape.unique else None
    return [Action(f"create {statement.label}", statement.sql, duplicates=duplicates)]


def _covered(wanted: IndexShape, there: Iterable[IndexShape]) -> bool:
    """Whether an index does what `wanted` would: same leading keys, same predicate; unique: exactly the keys."""
    for index in there:
        if index.method != wanted.method or index.predicate != wanted.predicate:
            continue
        if wanted.unique:
            if index.unique and set(index.keys) == set(wanted.keys):
                return True
        elif index.keys[: len(wanted.keys)] == wanted.keys:
            return True
    return False


def _function(statement: Statement, catalog: Catalog) -> list[Action]:
    if statement.name in catalog.functions:
        return []
    return [Action(f"create {statement.label}", statement.sql)]


def _trigger(statement: Statement, catalog: Catalog) -> list[Action]:
    relation = catalog.relations[statement.table or ""]
    if statement.name in relation.triggers or trigger_function(statement.sql) in relation.triggers.values():
        return []
    return [Action(f"create {statement.label} on {statement.table}", statement.sql)]


def _fence(statement: Statement, catalog: Catalog) -> list[Action]:
    """Row-level security for tenants' roles that nobody else notices.

    A table without row-level security gets a permissive policy for everybody, so that the applications see all rows as
    before. Where the owner has row-level security already, his own policies decide for his roles, and only the tenants'
    and the platform's role get permissive ones of their own. The restrictive policy is the fence in either case.
    """
    table, condition = statement.name, statement.sql
    relation = catalog.relations[table]
    fence, everybody = f"cgk_fence_{table}", f"cgk_everybody_{table}"
    if fence in relation.policies:
        return []
    actions = []
    if not relation.rls and not all(relation.policies.values()):
        raise PlanRefused(
            f"table {table} has restrictive policies but no row security; enabling it would switch them on: "
            "drop them or enable row security yourself, then run it again"
        )
    if not relation.rls:
        actions.append(
            Action(
                f"enable row security on {table}",
                f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;\n"
                f"CREATE POLICY {everybody} ON {table} AS PERMISSIVE FOR ALL TO PUBLIC USING (true) WITH CHECK (true);",
                "with a policy that lets everybody see and write all rows, as before",
            )
        )
    else:
        actions.append(
            Action(
                f"create policies of the jobs on {table}",
                f"CREATE POLICY cgk_tenants_{table} ON {table} AS PERMISSIVE FOR ALL TO {TENANTS_ROLE}\n"
                f"    USING ({condition}) WITH CHECK ({condition});\n"
                f"CREATE POLICY cgk_platform_{table} ON {table} AS PERMISSIVE FOR ALL TO {PLATFORM_ROLE}, "
                "{{login_role}} USING (true) WITH CHECK (true);",
                "row security was on already; the owner's policies stay as they are",
            )
        )
    return [
        *actions,
        Action(
            f"create policy {fence}",
            f"CREATE POLICY {fence} ON {table} AS RESTRICTIVE FOR ALL TO {TENANTS_ROLE}\n"
            f"    USING ({condition}) WITH CHECK ({condition});",
        ),
    ]


_ENSURE: dict[str, Callable[[Statement, Catalog], list[Action]]] = {
    "type": _type,
    "table": _table,
    "index": _index,
    "function": _function,
    "trigger": _trigger,
}
