"""Pausing a job, a queue or a tenant while everything runs, and taking it up again.

A paused message goes back without a claim and without an attempt, and comes again within a minute; the receive count
that this costs is met by the copy that replaces a message often returned. The time that it spent paused is no age:
max_age_s would else kill what somebody stopped on purpose. A run that is under way is not touched (cancel it); one
that its process has claimed but not begun goes back.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from shared.jobs.failures import hand_back_delay
from shared.jobs.messages import Admitted, Defer, Message, Refused
from shared.jobs.queues import Queue
from shared.jobs.uuids import uuid7

Scope = Literal["job", "queue", "tenant"]

REMEMBER_S = 15.0
"""Seconds that a process believes what it has read: a pause takes effect within them."""
MAX_WAIT_S = 60.0
"""Longest wait in seconds of a paused message: so long after the end of a pause the last of them is back."""
REMEMBER_DAYS = 45
"""Ended pauses are read for so many days; no message that waits in a queue is older."""

READ = """
-- jobs: what is paused, and what was paused lately
SELECT id, scope, name, since, reason, paused_by, ended_at, ended_by FROM jobs.pauses
WHERE ended_at IS NULL OR ended_at > %(after)s
ORDER BY since, id
"""
PAUSE = """
-- jobs: pause; what is paused already stays as it is
INSERT INTO jobs.pauses (id, scope, name, since, reason, paused_by)
VALUES (%(id)s, %(scope)s, %(name)s, %(now)s, %(reason)s, %(by)s)
ON CONFLICT (scope, name) WHERE ended_at IS NULL DO NOTHING
"""
RESUME = """
-- jobs: end a pause
UPDATE jobs.pauses SET ended_at = %(now)s, ended_by = %(by)s
WHERE scope = %(scope)s AND name = %(name)s AND ended_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class Pause:
    """One pause; it still holds while `ended_at` is None. `name`: job id, queue (base name or with -bulk), slug."""

    id: UUID
    scope: Scope
    name: str
    since: datetime
    reason: str
    paused_by: str
    ended_at: datetime | None
    ended_by: str | None


def pause(
    conn: psycopg.Connection[Any], scope: Scope, name: str, *, now: datetime, reason: str = "", by: str = ""
) -> bool:
    """Pause a job, queue or tenant; False when it is paused already."""
    parameters = {"id": uuid7(), "scope": scope, "name": name, "now": now, "reason": reason, "by": by}
    return conn.execute(PAUSE, parameters).rowcount == 1


def resume(conn: psycopg.Connection[Any], scope: Scope, name: str, *, now: datetime, by: str = "") -> bool:
    """End the pause of a job, queue or tenant; False when there is none."""
    return conn.execute(RESUME, {"scope": scope, "name": name, "now": now, "by": by}).rowcount == 1


def read(conn: psycopg.Connection[Any], now: datetime, *, ended: bool = False) -> list[Pause]:
    """The pauses that hold, oldest first; with `ended` also those of the last REMEMBER_DAYS."""
    after = now - timedelta(days=REMEMBER_DAYS) if ended else now
    with conn.cursor(row_factory=class_row(Pause)) as cursor:
        return cursor.execute(READ, {"after": after}).fetchall()


class Connections(Protocol):
    """Where the connection comes from."""

    def get(self) -> psycopg.Connection[Any]: ...


class Pauses:
    """What a process knows of the pauses, read again every REMEMBER_S seconds of the pipeline's clock."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._known: Sequence[Pause] = ()
        self._read_at: datetime | None = None

    def known(self, now: datetime) -> Sequence[Pause]:
        """The pauses that hold or held lately. Not to be called while a session is open."""
        if self._read_at is None or not 0 <= (now - self._read_at).total_seconds() < REMEMBER_S:
            self._known = read(self._connections.get(), now, ended=True)
            self._read_at = now
        return self._known

    def hold(
        self, messages: Iterable[Message], now: datetime, rng: random.Random
    ) -> tuple[list[Message], list[Refused]]:
        """Takes: messages of known jobs. Gives: those that may go on, with the seconds they were paused for.

        Verdict: Defer PAUSED. Why before admit: a paused message costs a look at a list and nothing else.
        """
        known, free, held = self.known(now), list[Message](), list[Refused]()
        for message in messages:
            tenant = message.payload.get("tenantId")
            verdict, message = _judge(message, tenant if isinstance(tenant, str) else "", known, now, rng)
            if verdict is None:
                free.append(message)
            else:
                held.append(Refused(message.record, verdict, message))
        return free, held

    def hold_admitted(
        self, admitted: Iterable[Admitted], now: datetime, rng: random.Random
    ) -> tuple[list[Admitted], list[Refused]]:
        """The same once the tenant is known: a message may name it by its organization."""
        known, free, held = self.known(now), list[Admitted](), list[Refused]()
        for item in admitted:
            verdict, message = _judge(item.message, item.tenant.slug, known, now, rng)
            if verdict is None:
                free.append(item if message is item.message else replace(item, message=message))
            else:
                held.append(Refused(message.record, verdict, message, item.tenant.slug))
        return free, held

    def wait_for(self, message: Message, tenant: str, now: datetime, rng: random.Random) -> Defer | None:
        """The verdict on a message that is about to run, None when nothing holds it."""
        return _judge(message, tenant, self.known(now), now, rng)[0]


def _judge(
    message: Message, tenant: str, known: Sequence[Pause], now: datetime, rng: random.Random
) -> tuple[Defer | None, Message]:
    concerned = [p for p in known if concerns(p, message.job.id, message.job.queue, message.job.queue_name, tenant)]
    if not concerned:
        return None, message
    holding = next((p for p in concerned if p.ended_at is None and p.since <= now), None)
    if holding is not None:
        wait = min(MAX_WAIT_S, hand_back_delay(message.record.receive_count, rng))
        return Defer(wait, "PAUSED", f"{holding.scope} {holding.name} is paused"), message
    excused_s = paused_s(concerned, message.ages_from or message.sent_at, now)
    return None, (replace(message, excused_s=excused_s) if excused_s else message)


def concerns(pause: Pause, job: str, queue: Queue, queue_name: str, tenant: str) -> bool:
    """Whether a pause is one of this job, of its queue (both classes, or the one named) or of this tenant."""
    match pause.scope:
        case "job":
            return pause.name == job
        case "queue":
            return pause.name in (queue.name, queue_name)
        case "tenant":
            return pause.name == tenant


def paused_s(pauses: Iterable[Pause], since: datetime, now: datetime) -> float:
    """Seconds of since..now in which at least one of the pauses held; overlapping pauses count once."""
    total, reached = timedelta(), since
    for begin, end in sorted((p.since, p.ended_at or now) for p in pauses):
        begin, end = max(begin, reached), min(end, now)
        if end > begin:
            total += end - begin
            reached = end
    return total.total_seconds()
