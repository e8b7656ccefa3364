"""Marks: texts that exist once, so that wherever one turns up, everybody knows where it came from.

cnry-<tenant>-<kind>-<n>      kind: pii (personal data), sec (a secret), txt (anything else)
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

from shared.jobs.samples import UUID_TEXT

Kind = Literal["pii", "sec", "txt"]

MARK = re.compile(r"cnry-(?P<tenant>[a-z]+)-(?P<kind>pii|sec|txt)-[0-9]+")
PERSONAL = re.compile(
    r"(email|phone|first_name|last_name|full_name|address|street|zip|postal|city|ip_address|user_agent|birth|tax_id|iban"
    r"|holder|recipient|bio|handle|display_name|customer_name|creator_name|notes?$|bank)",
    re.IGNORECASE,
)
"""Names of columns and payload fields that hold personal data."""
PEOPLE = ("customers", "creators", "users", "members", "people", "contacts")
"""Tables in which a plain `name` is a person's."""
SECRET = re.compile(r"(encrypted|secret|password|token|api_key|credential|signing)", re.IGNORECASE)
"""Names of columns that hold secrets."""


@dataclass
class Side:
    """One tenant of a suite's world and what its rows are called by. `number`: its ids as text, `uuid`: as UUID."""

    slug: str
    number: str
    uuid: UUID
    organization_id: UUID
    _n: Iterator[int] = field(default_factory=lambda: itertools.count(1), repr=False)

    def mark(self, kind: Kind) -> str:
        """A new mark of this tenant."""
        return f"cnry-{self.slug}-{kind}-{next(self._n)}"


def acme(organization_id: UUID) -> Side:
    """The tenant that runs the jobs. Its ids are those of the sample payloads."""
    return Side("acme", "1001", UUID(UUID_TEXT), organization_id)


def globex(organization_id: UUID) -> Side:
    """The other tenant."""
    return Side("globex", "2002", UUID("00000000-0000-4000-8000-000000000002"), organization_id)


def kind_of(table: str, column: str) -> Kind:
    """What a column's text is."""
    if SECRET.search(column):
        return "sec"
    if PERSONAL.search(column) or (column == "name" and any(part in table for part in PEOPLE)):
        return "pii"
    return "txt"


def marks_in(value: Any) -> set[str]:
    """Every mark in a value, however deep, in whatever text it is part of."""
    return {found.group() for text in _texts(value) for found in MARK.finditer(text)}


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes | bytearray | memoryview):
        yield bytes(value).decode("latin-1")
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _texts(key)
            yield from _texts(part)
    elif isinstance(value, list | tuple | set | frozenset):
        for part in value:
            yield from _texts(part)
    elif value is not None and not isinstance(value, int | float):
        yield str(value)
