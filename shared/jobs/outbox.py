"""What is to be sent is written with the data (same transaction) and sent after commit, at least once.

The relay runs right after commit and deletes what was taken; rows that a crash or a refusal left behind are taken by
the sweeper once they are SWEEP_AFTER_S old. No order is promised.
"""

from __future__ import annotations

import json
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from pydantic_core import to_json

from shared.crypto import Keyring
from shared.jobs.messages import Outgoing
from shared.jobs.offload import INLINE_MAX, SCHEDULE_MAX, Vault
from shared.jobs.payloads import bytea
from shared.jobs.points import At, nowhere
from shared.jobs.ports import (
    Bus,
    Clock,
    NoStateMachines,
    OutEvent,
    OutMessage,
    OutSchedule,
    Queues,
    Reply,
    Schedules,
    StateMachines,
    SystemClock,
    TaskAnswer,
)

PURPOSE = "outbox"
SWEEP_AFTER_S = 60
"""Age in seconds at which a row counts as left behind."""
SWEEP_PAGE = 500
SQS_MAX_DELAY_S = 900
SOONEST_S = 15
"""A schedule is made for this many seconds ahead at least, so that its instant has not passed when it is made."""
JSON_BODIES = ("event", "answer", "workflow")
"""Kinds whose body is a JSON object; that of the others is the message's text."""

TAKE_LEFT_BEHIND = """
-- jobs: outbox rows that nobody has relayed
SELECT id, kind, tenant, target, body, group_id, deliver_at, attributes FROM jobs.outbox
WHERE created_at < %(before)s
ORDER BY attempts, created_at LIMIT %(page)s
FOR UPDATE SKIP LOCKED
"""
DELETE_RELAYED = "DELETE FROM jobs.outbox WHERE id = ANY(%(ids)s)"
NOTE_FAILED = """
-- jobs: outbox rows that were refused
UPDATE jobs.outbox SET attempts = attempts + 1, last_error = 'refused' WHERE id = ANY(%(ids)s)
"""

T = TypeVar("T")
logger = logging.getLogger("cgk.jobs.outbox")


def document(rows: Sequence[Outgoing], keyring: Keyring, now: datetime) -> str | None:
    """The rows as one JSON array, None when there are none; bodies are sealed, as they may hold personal data."""
    if not rows:
        return None
    return to_json([_entry(row, keyring, now) for row in rows]).decode()


def _entry(row: Outgoing, keyring: Keyring, now: datetime) -> dict[str, Any]:
    return {
        "run_id": row.run_id,
        "id": row.id,
        "kind": row.kind,
        "tenant": row.tenant,
        "target": row.target,
        "body": bytea(seal_body(row, keyring)),
        "group_id": row.group,
        "deliver_at": row.deliver_at or (now + timedelta(seconds=row.delay_s) if row.delay_s else None),
        "attributes": dict(row.attributes) or None,
    }


ROWS = """jsonb_to_recordset(%(outgoing)s::jsonb) AS o (
        run_id uuid, id uuid, kind text, tenant text, target text, body bytea, group_id text, deliver_at timestamptz,
        attributes jsonb)"""
"""FROM item that turns `document` back into rows; part of the statements of a checkpoint and of a refusal."""


def seal_body(row: Outgoing, keyring: Keyring) -> bytes:
    """The body as its column holds it."""
    return keyring.seal(_text(row).encode(), aad=row.tenant.encode(), purpose=PURPOSE)


def _text(row: Outgoing) -> str:
    return row.body if isinstance(row.body, str) else json.dumps(row.body, separators=(",", ":"))


class Relay:
    """Sends committed outbox rows and deletes those that were taken."""

    def __init__(
        self,
        bus: Bus,
        queues: Queues,
        keyring: Keyring,
        machines: StateMachines | None = None,
        *,
        schedules: Schedules | None = None,
        vault: Vault | None = None,
        clock: Clock | None = None,
        at: At = nowhere,
    ) -> None:
        """Without `schedules` rows of that kind are refused; without `vault` large payloads are sent as they are."""
        self.bus = bus
        self._queues = queues
        self._keyring = keyring
        self._machines = machines or NoStateMachines()
        self._schedules = schedules
        self._vault = vault
        self._clock = clock or SystemClock()
        self._at = at

    def send(self, conn: psycopg.Connection[Any], rows: Sequence[Outgoing]) -> int:
        """Relay rows whose transaction has committed; the number taken. A refused row stays for the sweeper."""
        if not rows:
            return 0
        taken = self._events([row for row in rows if row.kind == "event"])
        taken += self._messages([row for row in rows if row.kind in ("queue", "dead_letter")])
        taken += self._scheduled([row for row in rows if row.kind == "schedule"])
        taken += self._answers([row for row in rows if row.kind == "answer"])
        taken += self._starts([row for row in rows if row.kind == "workflow"])
        self._at("in-relay")
        if taken:
            conn.execute(DELETE_RELAYED, {"ids": taken})
        if left := {row.id for row in rows} - set(taken):
            logger.warning("outbox rows refused", extra={"rows": len(left)})
            conn.execute(NOTE_FAILED, {"ids": list(left)})
        return len(taken)

    def sweep(self, conn: psycopg.Connection[Any], now: datetime) -> int:
        """Relay rows that were left behind, page by page, until none is old enough; the number taken."""
        total = 0
        while True:
            with conn.transaction(), conn.cursor(row_factory=dict_row) as cursor:
                found = cursor.execute(
                    TAKE_LEFT_BEHIND, {"before": now - timedelta(seconds=SWEEP_AFTER_S), "page": SWEEP_PAGE}
                ).fetchall()
                taken = self.send(conn, [self._read(row, now) for row in found])
            total += taken
            if len(found) < SWEEP_PAGE or taken == 0:
                return total

    def _read(self, row: dict[str, Any], now: datetime) -> Outgoing:
        text = self._keyring.open(bytes(row["body"]), aad=row["tenant"].encode(), purpose=PURPOSE).decode()
        return Outgoing(
            id=row["id"],
            kind=row["kind"],
            tenant=row["tenant"],
            target=row["target"],
            body=json.loads(text) if row["kind"] in JSON_BODIES else text,
            group=row["group_id"],
            delay_s=max(0.0, (row["deliver_at"] - now).total_seconds()) if row["deliver_at"] else 0,
            deliver_at=row["deliver_at"],
            attributes=row["attributes"] or {},
        )

    def _events(self, rows: Sequence[Outgoing]) -> list[UUID]:
        if not rows:
            return []
        sent, events = self._ready(rows, lambda row: OutEvent(row.target, self._small_event(row, INLINE_MAX)))
        return _taken(sent, self.bus.publish(events))

    def answer(self, conn: psycopg.Connection[Any], row: Outgoing) -> Reply:
        """Relay one committed answer at once; what the step said. A refused one stays for the sweeper."""
        [reply] = self._machines.answer([_task_answer(row)])
        conn.execute(NOTE_FAILED if reply == "refused" else DELETE_RELAYED, {"ids": [row.id]})
        return reply

    def _answers(self, rows: Sequence[Outgoing]) -> list[UUID]:
        if not rows:
            return []
        replies = self._machines.answer([_task_answer(row) for row in rows])
        # A step that is gone stays gone: such an answer is done with too.
        return _taken(rows, [reply != "refused" for reply in replies])

    def _starts(self, rows: Sequence[Outgoing]) -> list[UUID]:
        return [
            row.id for row in rows if self._machines.start(row.target, row.body["name"], json.dumps(row.body["input"]))
        ]

    def _messages(self, rows: Iterable[Outgoing]) -> list[UUID]:
        by_queue: dict[str, list[Outgoing]] = defaultdict(list)
        for row in rows:
            by_queue[row.target].append(row)
        taken: list[UUID] = []
        for queue, group in by_queue.items():
            sent, messages = self._ready(group, self._message)
            taken += _taken(sent, self._queues.send(queue, messages))
        return taken

    def _message(self, row: Outgoing) -> OutMessage:
        delay = min(SQS_MAX_DELAY_S, round(row.delay_s))
        return OutMessage(self._small_message(row, INLINE_MAX), row.group, delay, row.attributes)

    def _scheduled(self, rows: Sequence[Outgoing]) -> list[UUID]:
        """Schedules for what is far ahead. What is not, because the row was left behind, goes the short way: the claim
        makes a message that a schedule brings too harmless."""
        now, waiting = self._clock.now(), list[Outgoing]()
        direct: list[Outgoing] = []
        for row in rows:
            _, name = _target(row)
            left_s = _left_s(row, now)
            if row.target.startswith("queue:") and left_s <= SQS_MAX_DELAY_S:
                direct.append(replace(row, kind="queue", target=name, delay_s=max(0, math.ceil(left_s))))
            elif row.target.startswith("event:") and left_s <= 0:
                direct.append(replace(row, kind="event", target=name, body=json.loads(_text(row))))
            else:
                waiting.append(row)
        taken = self._events([row for row in direct if row.kind == "event"])
        taken += self._messages([row for row in direct if row.kind == "queue"])
        if waiting and self._schedules is not None:
            sent, schedules = self._ready(waiting, lambda row: self._schedule(row, now))
            taken += _taken(sent, self._schedules.put(schedules))
        return taken

    def _schedule(self, row: Outgoing, now: datetime) -> OutSchedule:
        kind, name = _target(row)
        at = max(row.deliver_at or now, now + timedelta(seconds=SOONEST_S))
        if kind == "event":
            return OutSchedule(str(row.id), at, self._small_event(row, SCHEDULE_MAX), event=name, group=row.group)
        return OutSchedule(str(row.id), at, self._small_message(row, SCHEDULE_MAX), queue=name, group=row.group)

    # Large payloads go to the bucket here, after commit: no transaction waits for the bucket, none leaves an object.

    def _ready(self, rows: Sequence[Outgoing], make: Callable[[Outgoing], T]) -> tuple[list[Outgoing], list[T]]:
        """Rows with what is to be sent of them; a row whose payload the bucket did not take is left out."""
        ready: list[Outgoing] = []
        made: list[T] = []
        for row in rows:
            try:
                made.append(make(row))
            except Exception as error:
                logger.warning("payload not offloaded", extra={"outbox": str(row.id), "error": type(error).__name__})
            else:
                ready.append(row)
        return ready, made

    def _small_message(self, row: Outgoing, limit: int) -> str:
        text = _text(row)
        if self._vault is None or len(text.encode()) <= limit:
            return text
        delay_s = _left_s(row, self._clock.now())
        return self._vault.shrink_body(text, name=str(row.id), limit=limit, delay_s=delay_s)

    def _small_event(self, row: Outgoing, limit: int) -> str:
        text = _text(row)
        if self._vault is None or len(text.encode()) <= limit:
            return text
        delay_s = _left_s(row, self._clock.now())
        return json.dumps(self._vault.shrink(json.loads(text), name=str(row.id), delay_s=delay_s))


def _task_answer(row: Outgoing) -> TaskAnswer:
    body = row.body
    return TaskAnswer(body["token"], body.get("output"), body.get("error"), body.get("cause", ""))


def _target(row: Outgoing) -> tuple[str, str]:
    kind, _, name = row.target.partition(":")
    return kind, name


def _left_s(row: Outgoing, now: datetime) -> float:
    return (row.deliver_at - now).total_seconds() if row.deliver_at else row.delay_s


def _taken(rows: Sequence[Outgoing], answers: Sequence[bool]) -> list[UUID]:
    return [row.id for row, ok in zip(rows, answers, strict=True) if ok]
