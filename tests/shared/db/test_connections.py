"""The connection of a process, and which errors pass by themselves."""

from __future__ import annotations

import psycopg
import pytest

from shared.db.connections import ConnectionHolder, connect, is_transient_db_error
from shared.db.sessions import CommitRefused


def backend(holder: ConnectionHolder) -> int:
    return holder.get().info.backend_pid


def test_connection_is_kept_over_invocations(database_url: str) -> None:
    holder = ConnectionHolder(database_url, application_name="test")
    holder.begin_invocation()
    first = backend(holder)

    holder.begin_invocation()

    assert backend(holder) == first
    holder.discard()


@pytest.mark.parametrize("state", ["closed", "terminated", "in transaction", "failed transaction", "discarded"])
def test_connection_in_another_state_is_opened_anew(
    database_url: str, admin: psycopg.Connection[tuple[int]], state: str
) -> None:
    holder = ConnectionHolder(database_url, application_name="test")
    first = backend(holder)
    match state:
        case "closed":
            holder.get().close()
        case "terminated":
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", (first,))
        case "in transaction":
            holder.get().execute("BEGIN")
        case "failed transaction":
            with pytest.raises(psycopg.Error):
                holder.get().execute("BEGIN; SELECT 1 / 0")
        case "discarded":
            holder.discard()

    holder.begin_invocation()

    assert backend(holder) != first
    assert holder.get().execute("SELECT 1").fetchone() == (1,)
    holder.discard()


def test_connection_that_was_asked_just_now_is_only_looked_at(
    database_url: str, admin: psycopg.Connection[tuple[int]]
) -> None:
    holder = ConnectionHolder(database_url, application_name="test")
    first = backend(holder)
    holder.begin_invocation()  # asked
    asked = admin.execute("SELECT query_start FROM pg_stat_activity WHERE pid = %s", (first,)).fetchone()

    holder.begin_invocation()

    assert backend(holder) == first
    assert admin.execute("SELECT query_start FROM pg_stat_activity WHERE pid = %s", (first,)).fetchone() == asked
    admin.execute("SELECT pg_terminate_backend(%s, 5000)", (first,))
    holder.begin_invocation()
    assert backend(holder) != first
    holder.discard()


def test_connection_sets_nothing_on_the_server(database_url: str) -> None:
    with connect(database_url, application_name="cgk-jobs test") as connection:
        changed = connection.execute(
            "SELECT name FROM pg_settings WHERE source IN ('client', 'session') AND name <> 'application_name'"
        ).fetchall()
        prepared = [connection.execute("SELECT %s::int", (n,)).fetchone() for n in range(10)]
        assert connection.execute("SELECT count(*) FROM pg_prepared_statements").fetchone() == (0,)

    assert {name for (name,) in changed} <= {"client_encoding"}
    assert len(prepared) == 10


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (psycopg.errors.DeadlockDetected(), True),
        (psycopg.errors.SerializationFailure(), True),
        (psycopg.errors.AdminShutdown(), True),
        (psycopg.errors.CannotConnectNow(), True),
        (psycopg.errors.LockNotAvailable(), True),
        (psycopg.errors.QueryCanceled(), True),
        (psycopg.errors.TooManyConnections(), True),
        (psycopg.errors.IdleInTransactionSessionTimeout(), True),
        (psycopg.errors.ConnectionFailure(), True),
        (psycopg.OperationalError("server closed the connection unexpectedly"), True),
        (psycopg.InterfaceError("the connection is closed"), True),
        (CommitRefused("rolled back"), True),
        (psycopg.errors.UniqueViolation(), False),
        (psycopg.errors.UndefinedTable(), False),
        (psycopg.errors.InsufficientPrivilege(), False),
        (psycopg.errors.InvalidPassword(), False),
        (psycopg.DataError("bad value"), False),
        (ValueError("no database error"), False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_transient_errors(error: BaseException, transient: bool) -> None:
    assert is_transient_db_error(error) is transient


def test_server_that_cannot_be_reached_is_transient() -> None:
    with pytest.raises(psycopg.OperationalError) as caught:
        connect("postgresql://nobody@127.0.0.1:1/none", application_name="test")

    assert is_transient_db_error(caught.value)
