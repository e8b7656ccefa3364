"""A tenant's session on the real database that keeps what it was asked to emit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import psycopg
import pytest

from shared.db.connections import connect
from shared.db.sessions import TransactionSession, commit, open_tenant, rollback
from shared.events import Event, Payload
from shared.jobs.context import Tenant


class EmittingSession(TransactionSession):
    """The kernel's session as far as shared.orders sees it: events are kept in `emitted` as (event, key)."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection)
        self.emitted: list[tuple[Event, str | None]] = []
        self.statements: list[str] = []

    def emit(
        self,
        event: Event,
        *,
        key: str | None = None,
        delay_s: float = 0,
        deliver_at: datetime | None = None,
        tenant: str | None = None,
    ) -> None:
        self.emitted.append((event, key))

    def emit_many(self, events: Sequence[tuple[Event, str | None]]) -> None:
        self.emitted.extend(events)

    def again(
        self, payload: Payload, *, delay_s: float = 0, key: str | None = None, deliver_at: datetime | None = None
    ) -> None:
        raise AssertionError("nothing here sends messages to itself")

    def _run(self, sql: str, params: dict[str, Any] | None) -> Any:
        self.statements.append(sql)
        return super()._run(sql, params)


InSession = Callable[[Callable[[EmittingSession], Any]], Any]


@pytest.fixture
def in_session(database_url: str, tenant: Tenant) -> Iterator[InSession]:
    """Runs a function in one committed transaction of the tenant."""
    connection = connect(database_url, application_name="test")

    def run(work: Callable[[EmittingSession], Any]) -> Any:
        try:
            open_tenant(connection, tenant)
            result = work(EmittingSession(connection))
            commit(connection)
            return result
        finally:
            rollback(connection)

    yield run
    connection.close()
