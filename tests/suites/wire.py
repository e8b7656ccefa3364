"""Watches the wire: which sockets are opened while a transaction is open, and whether any leads out of this machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from psycopg.pq import TransactionStatus

from shared.jobs.testing import Bench

LOCAL = ("127.0.0.1", "::1", "localhost")


@dataclass
class Watch:
    """What was seen. `connects`: sockets opened; `in_session`: those opened while a transaction was open."""

    bench: Bench
    connects: int = 0
    in_session: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)

    def saw(self, address: Any) -> None:
        """A socket is about to be opened."""
        self.connects += 1
        host = address[0] if isinstance(address, tuple) else str(address)
        if isinstance(address, tuple) and host not in LOCAL:
            self.outside.append(str(host))
        conn = self.bench.connections._connection  # the one of the process, opened or not
        if conn is not None and not conn.closed and conn.info.transaction_status != TransactionStatus.IDLE:
            self.in_session.append(str(host))


_watches: list[Watch] = []
_hooked = False


def _hook(event: str, args: tuple[Any, ...]) -> None:
    # libpq opens its sockets in C, unseen from here: what is seen are the jobs' own.
    if event == "socket.connect" and _watches:
        _watches[-1].saw(args[1])


@contextmanager
def watching(bench: Bench) -> Iterator[Watch]:
    """Watch the sockets that are opened while the block runs. An audit hook stays for good, so there is one."""
    global _hooked
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked = True
    _watches.append(Watch(bench))
    try:
        yield _watches[-1]
    finally:
        _watches.pop()
