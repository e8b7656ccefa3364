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

from shared.jobs.failures import hand_back_delay
from shared.jobs.messages import Acknowledge, Admitted, Dead, Defer, Refused, Run
from shared.jobs.payloads import SealedPayload
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
WITH input AS (
    SELECT * FROM unnest(
        %(job)s::text[], %(tenant)s::text[], %(key)s::text[], %(run_id)s::uuid[], %(hash)s::bytea[],
        %(explicit)s::boolean[], %(message_id)s::text[], %(leg_run)s::uuid[], %(leg_seq)s::int[],
        %(lease_until)s::timestamptz[], %(event)s::text[], %(correlation)s::text[], %(causation)s::text[],
        %(source)s::text[], %(sent_at)s::timestamptz[], %(hops)s::int[], %(body)s::bytea[], %(blob)s::text[],
        %(queue)s::text[], %(queue_cap)s::int[], %(job_cap)s::int[]
    ) WITH ORDINALITY AS i (
        job, tenant, key, run_id, hash, explicit, message_id, leg_run, leg_seq, lease_until, event, correlation,
        causation, source, sent_at, hops, body, blob, queue, queue_cap, job_cap, ord)
), before AS (
    SELECT c.* FROM jobs.claims c JOIN input i ON c.job = i.job AND c.tenant = i.tenant AND c.key = i.key
), open AS (
    SELECT i.* FROM input i LEFT JOIN before b ON b.job = i.job AND b.tenant = i.tenant AND b.key = i.key
    WHERE CASE
        WHEN b.job IS NULL THEN i.leg_run IS NULL
        WHEN i.explicit AND b.explicit_key AND b.payload_hash <> i.hash THEN false
        WHEN i.leg_run IS NOT NULL AND (b.run_id <> i.leg_run OR b.seq <> i.leg_seq) THEN false
        WHEN i.leg_run IS NULL AND b.seq > 0 AND b.state NOT IN ('dead', 'skipped') THEN false
        WHEN b.state = 'waiting' THEN b.not_before IS NULL OR b.not_before <= %(soon)s
        WHEN b.state = 'running' THEN %(take_over)s AND b.lease_until < %(now)s
        WHEN b.state = 'dead' THEN b.message_id IS DISTINCT FROM i.message_id
        ELSE b.state IN ('continuing', 'skipped') END
), wanted AS (
    SELECT queue AS scope, tenant, queue_cap AS cap FROM open
    UNION SELECT job, tenant, job_cap FROM open WHERE job_cap IS NOT NULL
), places AS (
    SELECT w.scope, w.tenant, f.n FROM wanted w CROSS JOIN LATERAL (
        SELECT s.n FROM jobs.slots s
        WHERE s.scope = w.scope AND s.tenant = w.tenant AND s.n <= w.cap
          AND (s.lease_until IS NULL OR s.lease_until < %(now)s OR s.owner = %(owner)s)
        ORDER BY s.owner = %(owner)s DESC NULLS LAST, s.n LIMIT 1 FOR UPDATE SKIP LOCKED
    ) f
), taken AS (
    UPDATE jobs.slots s SET owner = %(owner)s, lease_until = %(slot_until)s FROM places p
    WHERE s.scope = p.scope AND s.tenant = p.tenant AND s.n = p.n
    RETURNING s.scope, s.tenant, s.n
), placed AS (
    SELECT o.* FROM open o
    WHERE EXISTS (SELECT FROM taken t WHERE t.scope = o.queue AND t.tenant = o.tenant)
      AND (o.job_cap IS NULL OR EXISTS (SELECT FROM taken t WHERE t.scope = o.job AND t.tenant = o.tenant))
), claimed AS (
    INSERT INTO jobs.claims AS c (job, tenant, key, run_id, run_at, state, owner, attempt, seq, lease_until,
                                  payload_hash, explicit_key, message_id, updated_at)
    SELECT i.job, i.tenant, i.key, i.run_id, %(now)s, 'running', %(owner)s, 1, COALESCE(i.leg_seq, 0), i.lease_until,
           i.hash, i.explicit, i.message_id, %(now)s
    FROM placed i
    ORDER BY i.job, i.tenant, i.key
    ON CONFLICT (job, tenant, key) DO UPDATE SET
        state = 'running', owner = EXCLUDED.owner, lease_until = EXCLUDED.lease_until, code = NULL, ended_at = NULL,
        attempt = CASE WHEN c.state IN ('waiting', 'running') THEN c.attempt + 1 ELSE 1 END,
        run_id = CASE WHEN c.state IN ('dead', 'skipped') THEN EXCLUDED.run_id ELSE c.run_id END,
        run_at = CASE WHEN c.state IN ('dead', 'skipped') THEN EXCLUDED.run_at ELSE c.run_at END,
        seq = CASE WHEN c.state IN ('dead', 'skipped') THEN 0 ELSE c.seq END,
        work_ms = CASE WHEN c.state IN ('dead', 'skipped') THEN 0 ELSE c.work_ms END,
        cursor = CASE WHEN c.state IN ('dead', 'skipped') THEN NULL ELSE c.cursor END,
        payload_hash = EXCLUDED.payload_hash, message_id = EXCLUDED.message_id, not_before = NULL,
        updated_at = EXCLUDED.updated_at
    WHERE CASE c.state
        WHEN 'waiting' THEN c.not_before IS NULL OR c.not_before <= %(soon)s
        WHEN 'continuing' THEN c.seq = EXCLUDED.seq
        WHEN 'running' THEN %(take_over)s AND c.lease_until < %(now)s
        WHEN 'dead' THEN c.message_id IS DISTINCT FROM EXCLUDED.message_id
        WHEN 'skipped' THEN true
        ELSE false END
    RETURNING c.job, c.tenant, c.key, c.run_id, c.run_at, c.attempt, c.seq, c.cursor, c.work_ms
), fresh AS (
    SELECT i.*, c.run_at FROM claimed c JOIN input i ON i.run_id = c.run_id
), new_runs AS (
    INSERT INTO jobs.runs (run_id, run_at, job, tenant, key, event, state, attempt, seq, correlation_id, causation_id,
                           message_id, source, sent_at, started_at, hops)
    SELECT run_id, run_at, job, tenant, key, event, 'running', 1, 0, correlation, causation, message_id, source,
           sent_at, %(now)s, hops
    FROM fresh
), old_runs AS (
    UPDATE jobs.runs r SET state = 'running', attempt = c.attempt, seq = c.seq, started_at = %(now)s, next_at = NULL
    FROM claimed c
    WHERE r.run_id = c.run_id AND r.run_at = c.run_at AND NOT EXISTS (SELECT FROM fresh f WHERE f.run_id = c.run_id)
), new_payloads AS (
    INSERT INTO jobs.payloads (run_id, expires_on, body, blob_key)
    SELECT run_id, (%(now)s AT TIME ZONE 'UTC')::date + %(keep_days)s, body, blob FROM fresh
)
SELECT i.ord, c.run_id, c.run_at, c.attempt, c.seq, c.cursor, c.work_ms, c.job IS NOT NULL AS claimed,
       b.state, b.lease_until, b.not_before, b.seq AS known_seq, b.run_id AS known_run,
       (i.explicit AND b.explicit_key AND b.payload_hash <> i.hash) AS reused,
       o.ord IS NOT NULL AND p.ord IS NULL AS no_slot,
       (SELECT jsonb_agg(jsonb_build_array(scope, tenant, n)) FROM taken) AS slots
FROM input i
LEFT JOIN open o ON o.ord = i.ord
LEFT JOIN placed p ON p.ord = i.ord
LEFT JOIN claimed c ON c.job = i.job AND c.tenant = i.tenant AND c.key = i.key
LEFT JOIN before b ON b.job = i.job AND b.tenant = i.tenant AND b.key = i.key
ORDER BY i.ord
"""


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
    parameters = _parameters(admitted, owner=owner, now=now, lease_until=lease_until, take_over=take_over)
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(CLAIM, parameters | {"keep_days": keep_days}).fetchall()
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


def _parameters(
    admitted: Sequence[tuple[Admitted, SealedPayload]],
    *,
    owner: UUID,
    now: datetime,
    lease_until: datetime,
    take_over: bool,
) -> dict[str, Any]:
    items = [item for item, _ in admitted]
    messages = [item.message for item in items]
    return {
        "job": [m.job.id for m in messages],
        "tenant": [item.tenant.slug for item in items],
        "key": [item.key for item in items],
        "run_id": [uuid7() for _ in items],
        "hash": [item.payload_hash for item in items],
        "explicit": [m.explicit_key for m in messages],
        "message_id": [m.record.message_id for m in messages],
        "leg_run": [m.leg.run_id if m.leg else None for m in messages],
        "leg_seq": [m.leg.seq if m.leg else None for m in messages],
        "lease_until": [lease_until for _ in items],
        "event": [m.event for m in messages],
        "correlation": [m.correlation_id for m in messages],
        "causation": [m.causation_id for m in messages],
        "source": [m.source for m in messages],
        "sent_at": [m.sent_at for m in messages],
        "hops": [m.hops for m in messages],
        "body": [sealed.body for _, sealed in admitted],
        "blob": [sealed.blob_key for _, sealed in admitted],
        "queue": [m.job.queue.name for m in messages],
        "queue_cap": [m.job.queue.tenant_cap for m in messages],
        "job_cap": [m.job.tenant_cap for m in messages],
        "slot_until": lease_until,
        "owner": owner,
        "now": now,
        "soon": now + timedelta(seconds=EARLY_S),
        "take_over": take_over,
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
