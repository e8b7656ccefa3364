"""Creators of the tenant, and one whom the portal knows too."""

from __future__ import annotations

from typing import Any, Protocol

JANE = "11111111-1111-4111-8111-111111111111"
"""creators.id of Jane, in the tenant and in public."""


class Rows(Protocol):
    def execute(self, sql: str, params: Any = None) -> int: ...


def add_creator(rows: Rows, id: str, code: str | None = None, *, status: str = "approved", **columns: Any) -> None:
    """A creator of the tenant, with a promo code of that name."""
    facts = {
        "id": id,
        "email": f"{id}@creators.example",
        "first_name": "Jane",
        "last_name": "Doe",
        "status": status,
        **columns,
    }
    names, marks = ", ".join(facts), ", ".join(f"%({name})s" for name in facts)
    rows.execute(f"INSERT INTO creators ({names}) VALUES ({marks})", facts)  # noqa: S608
    if code is not None:
        rows.execute("INSERT INTO promo_code_metadata (id, code, creator_id) VALUES (%s, %s, %s)", (code, code, id))
