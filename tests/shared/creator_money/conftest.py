"""A tenant's session for the services of creator money."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared.db.connections import connect
from shared.db.sessions import TransactionSession, tenant_transaction
from shared.jobs.context import Tenant

InSession = Callable[[Callable[[Any], Any]], Any]


@pytest.fixture
def in_session(database_url: str, tenant: Tenant) -> Iterator[InSession]:
    """Runs a function in one committed transaction of the tenant."""
    connection = connect(database_url, application_name="test")

    def run(work: Callable[[TransactionSession], Any]) -> Any:
        with tenant_transaction(connection, tenant) as session:
            return work(session)

    yield run
    connection.close()
