"""Connections to PostgreSQL: how one is opened, kept over invocations, and which of its errors pass by themselves.

A transaction pooler (RDS Proxy, PgBouncer, Neon) may give every transaction another server connection, so nothing here
is session-wide: no SET, no prepared statement, no session advisory lock, no startup options.
"""

from __future__ import annotations

import contextlib
import select
import time
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from shared.db.arrays import FlatListDumper

Connection = psycopg.Connection[tuple[Any, ...]]

CONNECT_TIMEOUT_S = 5  # a database that does not answer is reported while the invocation can still hand its batch back
TCP_USER_TIMEOUT_MS = 30_000  # data unacknowledged for longer: the peer is gone (a failover), the socket is given up
KEEPALIVE_IDLE_S = 30  # NAT gateways and load balancers forget a silent connection after minutes

_TRANSIENT_STATES = frozenset(
    {
        "25P03",  # idle_in_transaction_session_timeout: the server cut us off
        "25P04",  # transaction_timeout
        "40001",  # serialization_failure
        "40003",  # statement_completion_unknown
        "40P01",  # deadlock_detected
        "53200",  # out_of_memory
        "53300",  # too_many_connections
        "55P03",  # lock_not_available
        "57014",  # query_canceled: statement_timeout
        "57P01",  # admin_shutdown
        "57P02",  # crash_shutdown
        "57P03",  # cannot_connect_now
        "57P05",  # idle_session_timeout
    }
)


def connect(url: str, *, application_name: str) -> Connection:
    """Open one connection: autocommit (transactions are explicit BEGIN .. COMMIT), rows as tuples, never prepared.

    Raises psycopg.OperationalError when the server cannot be reached within CONNECT_TIMEOUT_S.
    """
    connection = psycopg.connect(
        url,
        autocommit=True,
        prepare_threshold=None,
        application_name=application_name,
        connect_timeout=CONNECT_TIMEOUT_S,
        keepalives_idle=KEEPALIVE_IDLE_S,
        tcp_user_timeout=TCP_USER_TIMEOUT_MS,
    )
    connection.adapters.register_dumper(list, FlatListDumper)
    return connection


FRESH_S = 5.0
"""Seconds in which a connection that was asked at the start of an invocation is taken to be there at the next."""


class ConnectionHolder:
    """The one connection of a process: opened at first use, checked at the start of each invocation.

    Not thread-safe: a heartbeat thread has a holder of its own.
    """

    def __init__(self, url: str, *, application_name: str) -> None:
        self._url = url
        self._application_name = application_name
        self._connection: Connection | None = None
        self._asked_at = 0.0

    def get(self) -> Connection:
        """The connection; opened when there is none or the last one was lost."""
        if self._connection is not None and self._connection.closed:
            self.discard()
        if self._connection is None:
            self._connection = connect(self._url, application_name=self._application_name)
        return self._connection

    def begin_invocation(self) -> None:
        """Drop a connection that is lost, dead or left inside a transaction; the next get() opens a new one.

        A frozen Lambda environment does not notice that the server hung up, so a connection that was idle for a while
        is asked something. One that was used just now is only looked at: a server that hangs up says so, and nothing
        else is to be read between two statements.
        """
        if self._connection is None:
            return
        if self._connection.closed or self._connection.info.transaction_status != TransactionStatus.IDLE:
            self.discard()
            return
        now = time.time()  # the monotonic clock may stand still while the environment is frozen
        idle, self._asked_at = now - self._asked_at, now
        if 0 <= idle < FRESH_S:
            if select.select([self._connection.fileno()], [], [], 0)[0]:
                self.discard()
            return
        try:
            self._connection.execute("")
        except psycopg.Error:
            self.discard()

    def discard(self) -> None:
        """Close the connection whatever its state: the server rolls back what was open."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()


def is_unreachable(error: BaseException) -> bool:
    """Whether the database itself is away: no connection, a lost one, shutting down, no room. Not a lock or timeout."""
    if not isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return False
    return error.sqlstate is None or error.sqlstate.startswith(("08", "53", "57P0"))


def is_transient_db_error(error: BaseException) -> bool:
    """Whether the same work may succeed later: deadlock, serialization, lost connection, shutdown, timeout, no slot."""
    if not isinstance(error, psycopg.Error):
        return False
    if error.sqlstate is not None:
        return error.sqlstate in _TRANSIENT_STATES or error.sqlstate.startswith("08")
    # Errors of the client library carry no SQLSTATE: the connection could not be made, broke, or was closed under us.
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
