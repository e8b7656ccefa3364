"""Looks tenants up by slug or organization id, a batch at a time, remembered for a short while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row

from shared.jobs.context import Tenant

REMEMBER_S = 30.0
"""Seconds that an answer is believed: a suspension takes effect within this time."""
REMEMBER_MAX = 5000
"""Tenants remembered at most."""

FIND = """
-- jobs: tenants by slug or organization id, and whether their role exists
SELECT o.slug, o.id, o.status::text AS status,
       EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = 'cgk_t_' || o.slug) AS provisioned
FROM public.organizations o
WHERE o.slug = ANY(%(references)s) OR o.id = ANY(%(ids)s::uuid[])
"""

Found = tuple[Tenant, bool]


class TenantDirectory:
    """The `Tenants` port on the platform's table organizations."""

    def __init__(self, connection: Callable[[], psycopg.Connection[Any]]) -> None:
        self._connection = connection
        self._known: dict[str, tuple[float, Found]] = {}

    def find(self, references: Iterable[str]) -> Mapping[str, Found]:
        """Reference -> (tenant, whether it is provisioned); an unknown reference is absent."""
        wanted = set(references)
        now = time.monotonic()
        fresh = {r: entry[1] for r in wanted if (entry := self._known.get(r)) and now - entry[0] < REMEMBER_S}
        if missing := sorted(wanted - fresh.keys()):
            found = self._read(missing)
            if len(self._known) + len(found) > REMEMBER_MAX:
                self._known.clear()
            # A tenant that is not ready yet is asked for again each time: it may be ready with the next message.
            self._known.update({r: (now, entry) for r, entry in found.items() if entry[1]})
            fresh |= found
        return fresh

    def _read(self, references: list[str]) -> dict[str, Found]:
        ids = [r for r in references if len(r) == 36 and r.count("-") == 4]
        with self._connection().cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(FIND, {"references": references, "ids": _uuids(ids)}).fetchall()
        found: dict[str, Found] = {}
        for row in rows:
            entry = (Tenant(row["slug"], row["id"], row["status"]), bool(row["provisioned"]))
            found[row["slug"]] = found[str(row["id"])] = entry
        return {r: found[r] for r in references if r in found}


def _uuids(texts: list[str]) -> list[str]:
    from uuid import UUID

    valid: list[str] = []
    for text in texts:
        try:
            valid.append(str(UUID(text)))
        except ValueError:
            continue
    return valid
