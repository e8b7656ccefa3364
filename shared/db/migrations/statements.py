"""The schema files: what should exist, one statement per object, each under a header that names it.

    -- ensure type NAME            CREATE TYPE .. AS ENUM; missing labels are added
    -- ensure table NAME           CREATE TABLE, one column or constraint per line; missing columns are added
    -- ensure index NAME           CREATE [UNIQUE] INDEX; an equal or longer one under another name counts
    -- ensure function NAME        CREATE FUNCTION; one that is there stays as it is
    -- ensure trigger NAME on T    CREATE TRIGGER; one that calls the same function counts
    -- replace view NAME           CREATE OR REPLACE VIEW; run when its text changed
    -- replace function NAME       CREATE OR REPLACE FUNCTION; run when its text changed
    -- fence TABLE                 a condition on the rows that tenants' roles meet (row-level security)
    -- always WHAT                 run whenever the schema is touched (grants)

Files run in the order of their names, statements in the order of the file. `{{schema}}`, `{{role}}`, `{{login_role}}`
stand for names that the runner has checked. To add a table, add its block; nothing else has to be told of it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

Verb = Literal["ensure", "replace", "fence", "always"]
SchemaKind = Literal["jobs", "public", "tenant"]

_HEADER = re.compile(r"^-- (ensure|replace|fence|always) (.+)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*$", re.MULTILINE)
_CREATED = re.compile(
    r"CREATE (?:OR REPLACE )?(?:UNIQUE |UNLOGGED )?(TYPE|TABLE|INDEX|FUNCTION|TRIGGER|VIEW) (\w+)", re.IGNORECASE
)
_TABLE_BODY = re.compile(r"CREATE (?:UNLOGGED )?TABLE \w+ \(\n(.*?)\n\)", re.DOTALL)
_INDEX = re.compile(r"CREATE (UNIQUE )?INDEX \w+ ON (\w+)(?: USING (\w+))? \((.*?)\)(?: WHERE (.+))?;$", re.DOTALL)
_TRIGGER_FUNCTION = re.compile(r"EXECUTE FUNCTION (\w+)\(")
_TABLE_CONSTRAINT = re.compile(r"(PRIMARY KEY|UNIQUE|CHECK|FOREIGN KEY|CONSTRAINT|EXCLUDE)\b")
_COLUMN_UNIQUE = re.compile(r" UNIQUE\b")
_LABEL = re.compile(r"'([^']*)'")


@dataclass(frozen=True, slots=True)
class Statement:
    """One object of a schema. `table` is set for indexes, triggers and fences."""

    verb: Verb
    kind: str
    name: str
    sql: str
    table: str | None = None

    @property
    def label(self) -> str:
        """How plans and records name it, e.g. `index ix_orders_created_at`."""
        return f"{self.kind} {self.name}"

    @property
    def digest(self) -> str:
        """Hash of the text, to see whether a view or function changed."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class IndexShape:
    """What an index is, apart from its name: key expressions in order and predicate, both normalised."""

    keys: tuple[str, ...]
    predicate: str
    unique: bool
    method: str = "btree"


@dataclass(frozen=True, slots=True)
class TableShape:
    """Columns (name -> definition) and unique keys of a CREATE TABLE statement."""

    columns: dict[str, str]
    unique_keys: tuple[tuple[str, ...], ...]


@cache
def load(kind: SchemaKind) -> tuple[Statement, ...]:
    """All statements of one kind of schema, in order."""
    folder = files("shared.db") / "schema" / kind
    texts = sorted((entry.name, entry.read_text()) for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return tuple(statement for name, text in texts for statement in parse(text, f"{kind}/{name}"))


def parse(text: str, source: str) -> list[Statement]:
    """Split a schema file at its headers; raises ValueError when a header and its statement do not agree."""
    parts = _HEADER.split(text)
    triples = zip(parts[1::3], parts[2::3], parts[3::3], strict=True)
    return [_statement(verb, subject.strip(), body.strip(), source) for verb, subject, body in triples]


def _statement(verb: str, subject: str, body: str, source: str) -> Statement:
    if not body.endswith(";"):
        raise ValueError(f"{source}: the statement under '-- {verb} {subject}' must end with a semicolon")
    if verb == "always":
        return Statement("always", "always", subject, body)
    if verb == "fence":
        return Statement("fence", "fence", subject, body.rstrip(";").strip(), subject)
    kind, name = subject.split(" ")[:2]
    created = _CREATED.search(body)
    if created is None or (created[1].lower(), created[2]) != (kind, name):
        raise ValueError(f"{source}: '-- {verb} {subject}' stands above a statement that creates something else")
    table = None
    if kind == "index":
        table = index_table(body)
    elif kind == "trigger":
        table = subject.partition(" on ")[2]
    return Statement("replace" if verb == "replace" else "ensure", kind, name, body, table)


def index_table(sql: str) -> str:
    """Table of a CREATE INDEX statement."""
    match = _INDEX.match(sql)
    if match is None:
        raise ValueError(f"not a CREATE INDEX statement of the form that is understood: {sql[:80]}")
    return match[2]


def index_shape(sql: str) -> IndexShape:
    """Shape of a CREATE INDEX statement."""
    match = _INDEX.match(sql)
    if match is None:
        raise ValueError(f"not a CREATE INDEX statement of the form that is understood: {sql[:80]}")
    keys = tuple(normalised(_without_order(key)) for key in split_top_level(match[4]))
    return IndexShape(keys, normalised(match[5] or ""), match[1] is not None, match[3] or "btree")


def index_parts(sql: str) -> tuple[str, str]:
    """Key expressions and predicate of a CREATE INDEX statement as written, without sort orders."""
    match = _INDEX.match(sql)
    if match is None:
        raise ValueError(f"not a CREATE INDEX statement of the form that is understood: {sql[:80]}")
    return ", ".join(_without_order(key) for key in split_top_level(match[4])), match[5] or ""


def table_shape(sql: str) -> TableShape:
    """Columns and unique keys of a CREATE TABLE statement; none for a partition."""
    body = _TABLE_BODY.match(sql)
    if body is None:
        return TableShape({}, ())
    columns: dict[str, str] = {}
    keys: list[tuple[str, ...]] = []
    for item in split_top_level(_COMMENT.sub("", body[1])):
        if not _TABLE_CONSTRAINT.match(item):
            name, _, definition = item.partition(" ")
            columns[name] = definition
            if _COLUMN_UNIQUE.search(definition):
                keys.append((name,))
        elif item.startswith(("PRIMARY KEY", "UNIQUE")):
            inside = item[item.index("(") + 1 : item.rindex(")")]
            keys.append(tuple(normalised(column) for column in split_top_level(inside)))
    return TableShape(columns, tuple(keys))


def enum_labels(sql: str) -> list[str]:
    """Labels of a CREATE TYPE .. AS ENUM statement."""
    return _LABEL.findall(sql)


def trigger_function(sql: str) -> str:
    """Function that a CREATE TRIGGER statement calls."""
    match = _TRIGGER_FUNCTION.search(sql)
    if match is None:
        raise ValueError(f"not a CREATE TRIGGER statement of the form that is understood: {sql[:80]}")
    return match[1]


def split_top_level(text: str) -> list[str]:
    """Split at commas that stand outside parentheses and quotes; empty pieces are left out."""
    pieces, depth, quoted, start = [], 0, False, 0
    for position, char in enumerate(text):
        if char == "'":
            quoted = not quoted
        elif not quoted and char in "([":
            depth += 1
        elif not quoted and char in ")]":
            depth -= 1
        elif not quoted and char == "," and depth == 0:
            pieces.append(text[start:position])
            start = position + 1
    pieces.append(text[start:])
    return [piece.strip() for piece in pieces if piece.strip()]


def normalised(expression: str) -> str:
    """An expression without what PostgreSQL adds when it prints one: casts, parentheses, spaces, ANY for IN."""
    text = expression.lower()
    text = re.sub(r"::(?:character varying|timestamp with(?:out)? time zone|\"?[\w.]+\"?)(?:\[\])?", "", text)
    text = re.sub(r"=\s*any\s*\(+\s*array\[(.*?)\]\s*\)+", r" in (\1)", text)
    return re.sub(r"[\s()\"]", "", text)


def _without_order(key: str) -> str:
    return re.sub(r"\s+(asc|desc)?(\s+nulls (first|last))?$", "", key.strip(), flags=re.IGNORECASE)
