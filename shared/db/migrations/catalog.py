"""What is there: the part of PostgreSQL's catalog that the planner compares with the schema files, in one query."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from psycopg import sql

from shared.db.migrations.statements import IndexShape, normalised

# One JSON object about one schema. The search path must start with that schema, so that expressions print unqualified.
LOAD_CATALOG = """
WITH target AS (SELECT oid FROM pg_namespace WHERE nspname = {schema}),
relations AS (
    SELECT c.oid, c.relname, c.relkind, c.relrowsecurity FROM pg_class c, target t
    WHERE c.relnamespace = t.oid AND c.relname = ANY ({names})
),
column_names AS (
    SELECT a.attrelid, jsonb_agg(a.attname) AS value FROM pg_attribute a JOIN relations r ON r.oid = a.attrelid
    WHERE a.attnum > 0 AND NOT a.attisdropped GROUP BY a.attrelid
),
indexes AS (
    SELECT i.indrelid, jsonb_agg(jsonb_build_object(
               'unique', i.indisunique AND i.indisvalid, 'primary', i.indisprimary, 'method', am.amname,
               'predicate', COALESCE(pg_get_expr(i.indpred, i.indrelid), ''),
               'keys', (SELECT jsonb_agg(pg_get_indexdef(i.indexrelid, n, true) ORDER BY n)
                        FROM generate_series(1, i.indnkeyatts) n))) AS value
    FROM pg_index i JOIN relations r ON r.oid = i.indrelid
    JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
    WHERE i.indisvalid OR r.relkind = 'p' GROUP BY i.indrelid
),
triggers AS (
    SELECT t.tgrelid, jsonb_object_agg(t.tgname, p.proname) AS value
    FROM pg_trigger t JOIN relations r ON r.oid = t.tgrelid JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE NOT t.tgisinternal GROUP BY t.tgrelid
),
policies AS (
    SELECT p.polrelid, jsonb_object_agg(p.polname, p.polpermissive) AS value
    FROM pg_policy p JOIN relations r ON r.oid = p.polrelid GROUP BY p.polrelid
)
SELECT jsonb_build_object(
    'schema', EXISTS (SELECT FROM target),
    'relations', (
        SELECT jsonb_object_agg(r.relname, jsonb_build_object(
            'kind', r.relkind, 'rls', r.relrowsecurity, 'columns', c.value, 'indexes', i.value, 'triggers', t.value,
            'policies', p.value))
        FROM relations r LEFT JOIN column_names c ON c.attrelid = r.oid LEFT JOIN indexes i ON i.indrelid = r.oid
        LEFT JOIN triggers t ON t.tgrelid = r.oid LEFT JOIN policies p ON p.polrelid = r.oid),
    'types', (
        SELECT jsonb_object_agg(t.typname, (
            SELECT jsonb_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid))
        FROM pg_type t, target n WHERE t.typnamespace = n.oid AND t.typname = ANY ({names})),
    'functions', (
        SELECT jsonb_agg(DISTINCT p.proname) FROM pg_proc p, target n
        WHERE p.pronamespace = n.oid AND p.proname = ANY ({names})),
    'index_names', (
        SELECT jsonb_agg(c.relname) FROM pg_class c, target n
        WHERE c.relnamespace = n.oid AND c.relkind IN ('i', 'I') AND c.relname = ANY ({names})),
    'roles', (SELECT jsonb_agg(rolname) FROM pg_roles WHERE rolname = ANY ({roles})),
    'memberships', (
        SELECT jsonb_agg(jsonb_build_array(g.rolname, m.rolname))
        FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
        WHERE g.rolname = ANY ({roles}) AND m.rolname = ANY ({roles})
          AND COALESCE((to_jsonb(a) ->> 'set_option')::boolean, true)),
    'server', current_setting('server_version_num')::integer
)
"""


@dataclass(slots=True)
class Relation:
    """A table, partitioned table or view as it is. The planner adds to it what it plans."""

    kind: str
    rls: bool = False
    columns: set[str] = field(default_factory=set)
    indexes: list[IndexShape] = field(default_factory=list)
    primary_key: tuple[str, ...] = ()
    triggers: dict[str, str] = field(default_factory=dict)
    policies: dict[str, bool] = field(default_factory=dict)  # name -> permissive
    planned: bool = False
    new_columns: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Catalog:
    """One schema as it is, with the roles that concern it. `server` is the version number, e.g. 160004."""

    schema_exists: bool
    server: int
    relations: dict[str, Relation]
    types: dict[str, list[str]]
    functions: set[str]
    index_names: set[str]
    roles: set[str]
    memberships: set[tuple[str, str]]


def catalog_query(schema: str, names: list[str], roles: list[str]) -> sql.Composed:
    """The statement that loads the catalog of `schema`, as far as it concerns `names` and `roles`."""
    return sql.SQL(LOAD_CATALOG).format(schema=sql.Literal(schema), names=sql.Literal(names), roles=sql.Literal(roles))


def catalog_of(answer: dict[str, Any]) -> Catalog:
    """The catalog from the JSON object of LOAD_CATALOG."""
    return Catalog(
        schema_exists=answer["schema"],
        server=answer["server"],
        relations={name: _relation(facts) for name, facts in (answer["relations"] or {}).items()},
        types={name: labels or [] for name, labels in (answer["types"] or {}).items()},
        functions=set(answer["functions"] or ()),
        index_names=set(answer["index_names"] or ()),
        roles=set(answer["roles"] or ()),
        memberships={(group, member) for group, member in answer["memberships"] or ()},
    )


def _relation(facts: dict[str, Any]) -> Relation:
    indexes = facts["indexes"] or []
    return Relation(
        kind=facts["kind"],
        rls=facts["rls"],
        columns=set(facts["columns"] or ()),
        indexes=[
            IndexShape(
                tuple(normalised(key) for key in index["keys"]),
                normalised(index["predicate"]),
                index["unique"],
                index["method"],
            )
            for index in indexes
        ],
        primary_key=next((tuple(index["keys"]) for index in indexes if index["primary"]), ()),
        triggers=facts["triggers"] or {},
        policies=facts["policies"] or {},
    )
