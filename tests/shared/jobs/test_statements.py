"""What a message costs in statements: two commits for a job that opens no session, whatever the size of the batch."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from shared.jobs.context import Tenant
from shared.jobs.testing import Bench
from tests.conftest import Rows

HELD = "SELECT 1 FROM jobs.slots WHERE owner IS NOT NULL"


@pytest.fixture
def statements(toys: Bench) -> list[str]:
    """The first words of what the process asks of the database, in order."""
    asked: list[str] = []

    class Noted(psycopg.Cursor[Any]):
        def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            text = query if isinstance(query, str) else query.as_string()
            if lines := [line for line in text.strip().splitlines() if line]:
                asked.append(lines[0])
            return super().execute(query, *args, **kwargs)

    toys.connections.get().cursor_factory = Noted
    return asked


@pytest.mark.parametrize("messages", [1, 10])
def test_jobs_without_a_session_are_claimed_and_settled_in_a_statement_each(
    toys: Bench, tenant: Tenant, rows: Rows, statements: list[str], messages: int
) -> None:
    for warm in (True, False):
        for n in range(messages):
            toys.send("toy-play", {"tenantId": tenant.slug, "act": "nothing", "n": n}, key=f"{warm}-{n}")
        statements.clear()
        done = toys.pump("toys")

    assert [d.state for d in done] == ["succeeded"] * messages
    assert [text.split(":")[1].split()[0] for text in statements] == ["claim", "settle"]
    assert rows(HELD) == []


def test_final_session_of_the_last_run_gives_the_places_back(
    toys: Bench, tenant: Tenant, rows: Rows, statements: list[str]
) -> None:
    for key in ("warm", "cold"):
        toys.send("toy-play", {"tenantId": tenant.slug, "act": "final", "n": 1}, key=key)
        statements.clear()
        assert [d.state for d in toys.pump("toys")] == ["succeeded"]

    assert not [text for text in statements if "places" in text and "settle" not in text]
    assert rows(HELD) == []
