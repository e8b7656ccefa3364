"""Sends runs again that the ledger knows: dead ones after the cause is mended, skipped ones when their tenant is active
again, runs that wait although their message is gone.

What is sent is the message as it was, with its identity and so its run key: the claim decides what becomes of it, and
a replay done twice does no harm. Its age counts from the replay. A run that has succeeded or was cancelled is only run
again with `force`, under a key of its own.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

from shared.crypto import Keyring
from shared.jobs.errors import Permanent
from shared.jobs.ledger import MATCH, RunFilter
from shared.jobs.messages import AGES_FROM, KEY_SUFFIX
from shared.jobs.payloads import Blobs, SealedPayload, open_payload
from shared.jobs.ports import OutMessage, Queues
from shared.jobs.registry import Registry
from shared.jobs.tenants import REMEMBER_S
from shared.jobs.uuids import uuid7

PAGE = 100
"""Runs read at once; their payloads come with them, up to 32 KiB each."""
ENDED = ("dead", "skipped")
"""States of runs that a replay runs anew."""
OVERDUE = timedelta(minutes=15)
"""A run that should have come back so long ago has lost its message."""
FORCED = ("succeeded", "cancelled")
"""States of runs that are over for good: only with `force`."""
SKIPPED_DELAY_S = int(REMEMBER_S) + 5
"""Functions may take the tenant for suspended so long after it has become active."""

CANDIDATES = f"""
-- replay: runs that match, in the order they began, with their payloads; not those whose key another run has taken over
SELECT r.run_id, r.run_at, r.job, r.tenant, r.key, r.state, p.body, p.blob_key
FROM jobs.runs r LEFT JOIN jobs.payloads p ON p.run_id = r.run_id
WHERE {MATCH}
  AND (r.state = ANY(%(states)s) OR (r.state IN ('deferred', 'retrying') AND r.next_at < %(overdue)s))
  AND NOT EXISTS (
    SELECT FROM jobs.claims c WHERE c.job = r.job AND c.tenant = r.tenant AND c.key = r.key AND c.run_id <> r.run_id)
  AND (%(after_at)s::timestamptz IS NULL OR (r.run_at, r.run_id) > (%(after_at)s, %(after_id)s::uuid))
ORDER BY r.run_at, r.run_id
LIMIT {PAGE}
"""  # noqa: S608 - put together from constants only


@dataclass(frozen=True, slots=True)
class Candidate:
    """A run that matches, with its sealed payload."""

    run_id: UUID
    run_at: datetime
    job: str
    tenant: str
    key: str
    state: str
    body: bytes | None = field(repr=False)
    blob_key: str | None


@dataclass
class Replayed:
    """What a replay did, or with `dry_run` would do. `sent`: job -> runs."""

    dry_run: bool
    sent: dict[str, int] = field(default_factory=dict)
    gone: int = 0
    """Payloads that are not kept any more, or lie in the bucket no more."""
    unreadable: int = 0
    """Payloads without a key that opens them, or that are no message of a job."""
    unknown: int = 0
    """Runs of jobs that are not declared (any more)."""
    refused: int = 0
    """Messages that their queue did not take."""

    @property
    def total(self) -> int:
        return sum(self.sent.values())


@dataclass(frozen=True)
class Replayer:
    """Where runs are found, opened and sent to."""

    conn: psycopg.Connection[Any]
    registry: Registry
    queues: Queues
    keyring: Keyring
    blobs: Blobs

    def replay(
        self, where: RunFilter, *, now: datetime, limit: int, force: bool = False, dry_run: bool = False
    ) -> Replayed:
        """Send the runs that match to their jobs' queues, oldest first, `limit` at most."""
        done = Replayed(dry_run)
        left = limit
        seen: set[tuple[str, str, str]] = set()
        for found in self._pages(where, now, force=force):
            page = _first_of_key(found, seen)[:left]
            self._page(page, done, now)
            left -= len(page)
            if left == 0:
                break
        return done

    def _pages(self, where: RunFilter, now: datetime, *, force: bool) -> Iterator[list[Candidate]]:
        states = [*ENDED, *(FORCED if force else ())]
        place: dict[str, Any] = {"after_at": None, "after_id": None}
        parameters = asdict(where) | {"states": states, "overdue": now - OVERDUE}
        while True:
            with self.conn.cursor(row_factory=class_row(Candidate)) as cursor:
                page = cursor.execute(CANDIDATES, parameters | place).fetchall()
            if page:
                yield page
            if len(page) < PAGE:
                return
            place = {"after_at": page[-1].run_at, "after_id": page[-1].run_id}

    def _page(self, page: Sequence[Candidate], done: Replayed, now: datetime) -> None:
        by_queue: dict[str, list[tuple[Candidate, OutMessage]]] = defaultdict(list)
        for run in page:
            job = self.registry.jobs.get(run.job)
            if job is None:
                done.unknown += 1
                continue
            message = self._message(run, done, now)
            if message is not None:
                by_queue[job.queue_name].append((run, message))
        for queue, group in by_queue.items():
            taken = [True] * len(group)
            if not done.dry_run:
                taken = self.queues.send(queue, [message for _, message in group])
            for (run, _), ok in zip(group, taken, strict=True):
                if ok:
                    done.sent[run.job] = done.sent.get(run.job, 0) + 1
                else:
                    done.refused += 1

    def _message(self, run: Candidate, done: Replayed, now: datetime) -> OutMessage | None:
        if run.body is None and run.blob_key is None:
            done.gone += 1
            return None
        try:
            body = open_payload(SealedPayload(run.body, run.blob_key), run.tenant, self.keyring, self.blobs)
            again = renewed(body, now, key_suffix=f"~{uuid7()}" if run.state in FORCED else None)
        except KeyError:
            done.gone += 1
            return None
        except (Permanent, ValueError):
            done.unreadable += 1
            return None
        return OutMessage(again, run.tenant, SKIPPED_DELAY_S if run.state == "skipped" else 0)


def _first_of_key(page: Sequence[Candidate], seen: set[tuple[str, str, str]]) -> list[Candidate]:
    """One run per key: a message that was refused twice left two runs and no claim that would tell them apart."""
    kept: list[Candidate] = []
    for run in page:
        key = (run.job, run.tenant, run.key)
        if key not in seen:
            seen.add(key)
            kept.append(run)
    return kept


def renewed(body: str, now: datetime, *, key_suffix: str | None = None, id: str | None = None) -> str:
    """A message's body with its age counted from `now`, else as it was. ValueError when it is no message.

    `id`: identity of a message that names none itself, so that it was known by SQS's message id.
    """
    message = json.loads(body)
    if not isinstance(message, dict) or not isinstance(message.get("payload"), dict):
        raise ValueError("no message of a job")
    payload = message["payload"]
    meta = payload.get("_meta") if isinstance(payload.get("_meta"), Mapping) else {}
    meta = {**(meta or {}), AGES_FROM: now.isoformat()} | ({KEY_SUFFIX: key_suffix} if key_suffix else {})
    named = meta.keys() & {"id", "key"} or message.keys() & {"id", "idempotencyKey", "taskToken"}
    if id is not None and not named:
        meta["id"] = id
    again = {**message, "payload": {**payload, "_meta": meta}}
    return json.dumps(again, separators=(",", ":"), ensure_ascii=False)
