"""The tenant cap: at most so many processes work for one tenant in one queue (or on one job) at once.

A place is a row of jobs.slots that names its owner until a lease ends; the claim takes one per (scope, tenant) and
batch, because the runs of a batch follow one another. A crash frees its places with its lease. Rows are made when a
process first meets a tenant; a cap that was lowered leaves the upper rows unused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import psycopg

REMEMBER_MAX = 50_000
"""(scope, tenant, cap) that a process remembers to have rows for."""

MAKE = """
-- jobs: places of tenants that are new here
INSERT INTO jobs.slots (scope, tenant, n)
SELECT w.scope, w.tenant, n
FROM unnest(%(scope)s::text[], %(tenant)s::text[], %(cap)s::int[]) AS w (scope, tenant, cap),
     generate_series(1, w.cap) n
ON CONFLICT (scope, tenant, n) DO NOTHING
"""

FREE = """
-- jobs: places of an invocation that has ended
UPDATE jobs.slots s SET owner = NULL, lease_until = NULL
FROM unnest(%(scope)s::text[], %(tenant)s::text[], %(n)s::int[]) AS h (scope, tenant, n)
WHERE s.scope = h.scope AND s.tenant = h.tenant AND s.n = h.n AND s.owner = %(owner)s
"""


@dataclass(frozen=True, slots=True)
class Slot:
    """One place, held by this invocation."""

    scope: str
    tenant: str
    n: int


class SlotRows:
    """Makes the rows of a (scope, tenant) once per process."""

    def __init__(self) -> None:
        self._made: set[tuple[str, str, int]] = set()

    def ensure(self, conn: psycopg.Connection[Any], wanted: Iterable[tuple[str, str, int]]) -> None:
        """`wanted`: (scope, tenant, cap). One statement when one of them is new here, none otherwise."""
        new = sorted(set(wanted) - self._made)
        if not new:
            return
        columns = {"scope": [w[0] for w in new], "tenant": [w[1] for w in new], "cap": [w[2] for w in new]}
        conn.execute(MAKE, columns)
        if len(self._made) > REMEMBER_MAX:
            self._made.clear()
        self._made.update(new)


def free(conn: psycopg.Connection[Any], held: Iterable[Slot], owner: Any) -> None:
    """Give places back; one that another process has taken meanwhile is left alone."""
    slots = list(held)
    if slots:
        columns: dict[str, Any] = {"scope": [s.scope for s in slots], "tenant": [s.tenant for s in slots]}
        conn.execute(FREE, columns | {"n": [s.n for s in slots], "owner": owner})
