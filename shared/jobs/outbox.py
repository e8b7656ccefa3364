"""What is to be sent is written with the data (same transaction) and sent after commit, at least once.

The relay runs right after commit and deletes what was taken; rows that a crash or a refusal left behind are taken by
the sweeper once they are SWEEP_AFTER_S old. No order is promised.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from shared.crypto import Keyring
from shared.jobs.messages import Outgoing
from shared.jobs.ports import Bus, OutEvent, OutMessage, Queues

PURPOSE = "outbox"
SWEEP_AFTER_S = 60
"""Age in seconds at which a row counts as left behind."""
SWEEP_PAGE = 500
SQS_MAX_DELAY_S = 900

TAKE_LEFT_BEHIND = """
-- jobs: outbox rows that nobody has relayed
SELECT id, kind, tenant, target, body, group_id, deliver_at, attributes FROM jobs.outbox
WHERE created_at < %(before)s
ORDER BY created_at LIMIT %(page)s
FOR UPDATE SKIP LOCKED
"""
DELETE_RELAYED = "DELETE FROM jobs.outbox WHERE id = ANY(%(ids)s)"
NOTE_FAILED = """
-- jobs: outbox rows that were refused
UPDATE jobs.outbox SET attempts = attempts + 1, last_error = 'refused' WHERE id = ANY(%(ids)s)
"""

logger = logging.getLogger("cgk.jobs.outbox")


def columns(rows: Sequence[Outgoing], keyring: Keyring, now: datetime) -> dict[str, list[Any]]:
    """The rows as column arrays (o_*) for an unnest; bodies are sealed, as they may hold personal data."""
    return {
        "o_run": [row.run_id for row in rows],
        "o_id": [row.id for row in rows],
        "o_kind": [row.kind for row in rows],
        "o_tenant": [row.tenant for row in rows],
        "o_target": [row.target for row in rows],
        "o_body": [keyring.seal(_text(row).encode(), aad=row.tenant.encode(), purpose=PURPOSE) for row in rows],
        "o_group": [row.group for row in rows],
        "o_at": [now + timedelta(seconds=row.delay_s) if row.delay_s else None for row in rows],
        "o_attributes": [json.dumps(dict(row.attributes)) if row.attributes else None for row in rows],
    }


UNNEST = """unnest(%(o_run)s::uuid[], %(o_id)s::uuid[], %(o_kind)s::text[], %(o_tenant)s::text[], %(o_target)s::text[],
            %(o_body)s::bytea[], %(o_group)s::text[], %(o_at)s::timestamptz[], %(o_attributes)s::jsonb[])
         AS o (run_id, id, kind, tenant, target, body, group_id, deliver_at, attributes)"""
"""FROM item that turns `columns` back into rows; part of the settling and of the checkpoint statement."""


def _text(row: Outgoing) -> str:
    return row.body if isinstance(row.body, str) else json.dumps(row.body, separators=(",", ":"))


class Relay:
    """Sends committed outbox rows and deletes those that were taken."""

    def __init__(self, bus: Bus, queues: Queues, keyring: Keyring) -> None:
        self._bus = bus
        self._queues = queues
        self._keyring = keyring

    def send(self, conn: psycopg.Connection[Any], rows: Sequence[Outgoing]) -> int:
        """Relay rows whose transaction has committed; the number taken. A refused row stays for the sweeper."""
        if not rows:
            return 0
        taken = self._events([row for row in rows if row.kind == "event"])
        taken += self._messages([row for row in rows if row.kind != "event"])
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
            body=json.loads(text) if row["kind"] == "event" else text,
            group=row["group_id"],
            delay_s=max(0.0, (row["deliver_at"] - now).total_seconds()) if row["deliver_at"] else 0,
            attributes=row["attributes"] or {},
        )

    def _events(self, rows: Sequence[Outgoing]) -> list[UUID]:
        if not rows:
            return []
        answers = self._bus.publish([OutEvent(row.target, _text(row)) for row in rows])
        return _taken(rows, answers)

    def _messages(self, rows: Iterable[Outgoing]) -> list[UUID]:
        by_queue: dict[str, list[Outgoing]] = defaultdict(list)
        for row in rows:
            by_queue[row.target].append(row)
        taken: list[UUID] = []
        for queue, group in by_queue.items():
            answers = self._queues.send(
                queue,
                [
                    OutMessage(_text(row), row.group, min(SQS_MAX_DELAY_S, round(row.delay_s)), row.attributes)
                    for row in group
                ],
            )
            taken += _taken(group, answers)
        return taken


def _taken(rows: Sequence[Outgoing], answers: Sequence[bool]) -> list[UUID]:
    return [row.id for row, ok in zip(rows, answers, strict=True) if ok]
