"""Step 3, slot and claim: one row of jobs.claims per (job, tenant, key), taken for a whole batch by ONE statement.

The claim is what makes a delivery that happens at least once an effect that happens once: whoever holds it runs, all
others learn what became of it. States: running (until lease_until), waiting (for a retry or a deferral), continuing
(for its next leg), succeeded, dead, skipped, cancelled.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row
from pydantic_core import to_json

from shared.jobs.failures import hand_back_delay
from shared.jobs.messages import Acknowledge, Admitted, Dead, Defer, Refused, Run
from shared.jobs.payloads import SealedPayload, bytea
from shared.jobs.slots import Slot
from shared.jobs.uuids import uuid7

EARLY_S = 2.0
"""A waiting run may start this many seconds before its time: SQS delays are whole seconds."""
LEFT_QUEUE_S = 960.0
"""A run whose time is further away than a queue holds a message (900 s, and a minute more) has a schedule for it."""
BUSY_S = 2.0
"""Wait when another process is just inserting the same claim."""

CLAIM = """
-- jobs: claim a batch of messages, one row per (job, tenant, key)
SELECT * FROM jobs.claim(
    %(items)s::jsonb, me => %(owner)s, at => %(now)s, soon => %(soon)s, until => %(lease_until)s,
    take_over => %(take_over)s, keep_days => %(keep_days)s)
"""
"""The statement itself is in shared/db/schema/jobs/50_deliveries.sql."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What the claim of a batch gave. `crashed`: messages whose former owner seems dead, left for a take-over."""

    runs: list[Run]
    refused: list[Refused]
    crashed: list[Admitted]
    slots: list[Slot]


def claim(
    conn: psycopg.Connection[Any],
    admitted: Sequence[tuple[Admitted, SealedPayload]],
    *,
    owner: UUID,
    now: datetime,
    lease_until: datetime,
    take_over: bool,
    keep_days: int,
    rng: random.Random,
) -> Claimed:
    """Takes: admitted messages with distinct (job, tenant, key). Gives: runs that this process owns, the refused, and
    the places it holds.

    Verdicts: Acknowledge (done, cancelled, an older leg), Defer (running elsewhere, waiting for its time, the
    tenant's places all taken), Dead KEY_REUSED. Why the crashed are left out of the batch: they are claimed one by
    one just before they run, so that one message that kills its process burns attempts of its own only.
    """
    if not admitted:
        return Claimed([], [], [], [])
    parameters = {
        "items": _document(admitted),
        "owner": owner,
        "now": now,
        "soon": now + timedelta(seconds=EARLY_S),
        "lease_until": lease_until,
        "take_over": take_over,
        "keep_days": keep_days,
    }
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(CLAIM, parameters).fetchall()
    found = Claimed([], [], [], [Slot(*place) for place in rows[0]["slots"] or []])
    for (item, _), row in zip(admitted, rows, strict=True):
        record = item.message.record
        if row["claimed"]:
            found.runs.append(_run(item, row, owner))
        elif row["no_slot"]:
            wait = Defer(hand_back_delay(record.receive_count, rng), "NO_SLOT")
            found.refused.append(Refused(record, wait, item.message, item.tenant.slug))
        elif row["state"] == "running" and row["lease_until"] < now and not take_over:
            found.crashed.append(item)
        else:
            verdict = _verdict(item, row, now)
            found.refused.append(Refused(record, verdict, item.message, item.tenant.slug, key=item.key))
    return found


def wanted_slots(admitted: Sequence[Admitted]) -> set[tuple[str, str, int]]:
    """The (scope, tenant, cap) that these messages need a place of."""
    wanted: set[tuple[str, str, int]] = set()
    for item in admitted:
        job, slug = item.message.job, item.tenant.slug
        wanted.add((job.queue.name, slug, job.queue.tenant_cap))
        if job.tenant_cap is not None:
            wanted.add((job.id, slug, job.tenant_cap))
    return wanted


def _document(admitted: Sequence[tuple[Admitted, SealedPayload]]) -> str:
    """The messages as the statement reads them: one JSON array."""
    return to_json([_item(n, item, sealed) for n, (item, sealed) in enumerate(admitted)]).decode()


def _item(n: int, item: Admitted, sealed: SealedPayload) -> dict[str, Any]:
    message = item.message
    return {
        "ord": n,
        "job": message.job.id,
        "tenant": item.tenant.slug,
        "key": item.key,
        "run_id": uuid7(),
        "hash": bytea(item.payload_hash),
        "explicit": message.explicit_key,
        "message_id": message.record.message_id,
        "leg_run": message.leg.run_id if message.leg else None,
        "leg_seq": message.leg.seq if message.leg else None,
        "event": message.event,
        "correlation": message.correlation_id,
        "causation": message.causation_id,
        "source": message.source,
        "sent_at": message.sent_at,
        "hops": message.hops,
        "body": bytea(sealed.body) if sealed.body is not None else None,
        "blob": sealed.blob_key,
        "queue": message.job.queue.name,
        "queue_cap": message.job.queue.tenant_cap,
        "job_cap": message.job.tenant_cap,
    }


def _run(item: Admitted, row: Mapping[str, Any], owner: UUID) -> Run:
    return Run(
        admitted=item,
        run_id=row["run_id"],
        run_at=row["run_at"],
        owner=owner,
        attempt=row["attempt"],
        seq=row["seq"],
        work_ms=row["work_ms"],
        cursor=row["cursor"],
        known=row["run_id"] == row["known_run"],
    )


def _verdict(item: Admitted, row: Mapping[str, Any], now: datetime) -> Acknowledge | Defer | Dead:
    state, leg = row["state"], item.message.leg
    if row["reused"]:
        return Dead("KEY_REUSED", "the idempotency key was used before with another payload")
    if state is None:
        return Acknowledge("the run of this leg is no longer known") if leg else Defer(BUSY_S, "BUSY")
    if leg is None and row["known_seq"] > 0:
        return Acknowledge("the run has gone on in a later message")
    if leg is not None and (leg.run_id != row["known_run"] or leg.seq < row["known_seq"]):
        return Acknowledge("an older leg")
    if state == "running":
        return Defer(max(1.0, (row["lease_until"] - now).total_seconds() + 1), "RUNNING")
    if state == "waiting" and row["not_before"] is not None:
        if row["not_before"] - now > timedelta(seconds=LEFT_QUEUE_S):
            return Acknowledge("the run waits for the message that its schedule will send")
        return Defer(max(1.0, (row["not_before"] - now).total_seconds()), "WAITING")
    if state in ("waiting", "continuing"):
        return Defer(BUSY_S, "BUSY")
    return Acknowledge(f"{state} before")
