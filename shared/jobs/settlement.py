"""Step 6, settle: the ending of a run, its ledger rows and what it sends, in ONE statement of ONE transaction.

The same statement ends a batch of runs in a transaction of its own, and a single run inside its final session, just
before that commits. The claim is the fence: a run whose claim names another owner or attempt by now settles nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from pydantic_core import to_json

from shared.crypto import Keyring
from shared.jobs import outbox, tokens
from shared.jobs.messages import (
    Cancelled,
    Continue,
    Dead,
    Defer,
    Ending,
    Message,
    Outcome,
    Outgoing,
    Refused,
    Run,
    Succeeded,
)
from shared.jobs.offload import LONG_DELAY_S
from shared.jobs.payloads import KEEP_DEAD_DAYS, SealedPayload
from shared.jobs.uuids import uuid7

DLQ_SUFFIX = "-dlq"
HELD_MAX_S = 900
"""A run that waits longer in seconds leaves the queue: its message is acknowledged and a schedule brings it again. A
message held back counts as in flight all the time, and SQS holds none longer than 12 hours."""
MAX_DETAIL = 1000
SILENT_MODULES = ("alerts", "health")
"""Modules whose dead runs raise no alert event: an alert about a failed alert would never end; they have an alarm."""

SETTLE = f"""
-- jobs: settle runs: claim, run row, payload's end and outbox, for those that still own their claim
WITH input AS (
    SELECT * FROM unnest(
        %(run_id)s::uuid[], %(job)s::text[], %(tenant)s::text[], %(key)s::text[], %(attempt)s::int[],
        %(claim_state)s::text[], %(run_state)s::text[], %(left)s::int[], %(seq)s::int[], %(cursor)s::jsonb[],
        %(result)s::jsonb[], %(code)s::text[], %(detail)s::text[], %(not_before)s::timestamptz[], %(ms)s::int[]
    ) AS i (run_id, job, tenant, key, attempt, claim_state, run_state, attempts_left, seq, cursor, result, code, detail,
            not_before, ms)
), settled AS (
    UPDATE jobs.claims c SET
        state = i.claim_state, attempt = i.attempts_left, seq = i.seq, cursor = i.cursor, result = i.result,
        code = i.code, not_before = i.not_before, work_ms = c.work_ms + i.ms, lease_until = NULL, owner = NULL,
        ended_at = CASE WHEN i.claim_state IN ('succeeded', 'dead', 'cancelled') THEN %(now)s::timestamptz END,
        updated_at = %(now)s
    FROM input i
    WHERE c.job = i.job AND c.tenant = i.tenant AND c.key = i.key AND c.owner = %(owner)s AND c.run_id = i.run_id
      AND c.attempt = i.attempt AND c.state = 'running'
    RETURNING c.run_id, c.run_at, c.work_ms
), run_rows AS (
    UPDATE jobs.runs r SET
        state = i.run_state, code = i.code, detail = i.detail, result = i.result, duration_ms = i.ms,
        work_ms = s.work_ms, seq = i.seq, next_at = i.not_before,
        ended_at = CASE WHEN i.run_state IN ('succeeded', 'dead', 'cancelled') THEN %(now)s::timestamptz END
    FROM settled s JOIN input i ON i.run_id = s.run_id
    WHERE r.run_id = s.run_id AND r.run_at = s.run_at
), kept AS (
    UPDATE jobs.payloads p SET expires_on = (%(now)s::timestamptz AT TIME ZONE 'UTC')::date + {KEEP_DEAD_DAYS}
    FROM settled s JOIN input i ON i.run_id = s.run_id
    WHERE p.run_id = s.run_id AND i.claim_state = 'dead'
), sent AS (
    INSERT INTO jobs.outbox (id, kind, tenant, target, body, group_id, deliver_at, attributes, created_at)
    SELECT o.id, o.kind, o.tenant, o.target, o.body, o.group_id, o.deliver_at, o.attributes, %(now)s
    FROM {outbox.UNNEST} JOIN settled s ON s.run_id = o.run_id
)
SELECT run_id FROM settled
"""  # noqa: S608 - put together from constants of this package only

CHECKPOINT = f"""
-- jobs: fence of a checkpoint, with what it emits and how far it is
WITH fence AS (
    SELECT run_id, run_at FROM jobs.claims
    WHERE job = %(job)s AND tenant = %(tenant)s AND key = %(key)s AND owner = %(owner)s AND attempt = %(attempt)s
      AND run_id = %(run)s AND state = 'running'
    FOR UPDATE
), progressed AS (
    UPDATE jobs.runs r SET progress = COALESCE(%(progress)s::jsonb, r.progress) FROM fence f
    WHERE r.run_id = f.run_id AND r.run_at = f.run_at AND %(progress)s::jsonb IS NOT NULL
), sent AS (
    INSERT INTO jobs.outbox (id, kind, tenant, target, body, group_id, deliver_at, attributes, created_at)
    SELECT o.id, o.kind, o.tenant, o.target, o.body, o.group_id, o.deliver_at, o.attributes, %(now)s
    FROM {outbox.UNNEST} JOIN fence f ON f.run_id = o.run_id
)
SELECT run_id FROM fence
"""  # noqa: S608 - put together from constants of this package only

REFUSE = f"""
-- jobs: messages that never became a run: their trace, payload and dead letters
WITH input AS (
    SELECT * FROM unnest(
        %(run_id)s::uuid[], %(job)s::text[], %(tenant)s::text[], %(key)s::text[], %(event)s::text[], %(state)s::text[],
        %(code)s::text[], %(detail)s::text[], %(correlation)s::text[], %(message_id)s::text[], %(source)s::text[],
        %(sent_at)s::timestamptz[], %(body)s::bytea[], %(blob)s::text[]
    ) AS i (run_id, job, tenant, key, event, state, code, detail, correlation, message_id, source, sent_at, body, blob)
), run_rows AS (
    INSERT INTO jobs.runs (run_id, run_at, job, tenant, key, event, state, attempt, seq, code, detail, correlation_id,
                           message_id, source, sent_at, started_at, ended_at)
    SELECT run_id, %(now)s, job, tenant, key, event, state, 0, 0, code, detail, correlation, message_id, source,
           sent_at, %(now)s, %(now)s
    FROM input
), payloads AS (
    INSERT INTO jobs.payloads (run_id, expires_on, body, blob_key)
    SELECT run_id, (%(now)s::timestamptz AT TIME ZONE 'UTC')::date + {KEEP_DEAD_DAYS}, body, blob FROM input
    WHERE body IS NOT NULL OR blob IS NOT NULL
)
INSERT INTO jobs.outbox (id, kind, tenant, target, body, group_id, deliver_at, attributes, created_at)
SELECT o.id, o.kind, o.tenant, o.target, o.body, o.group_id, o.deliver_at, o.attributes, %(now)s
FROM {outbox.UNNEST}
"""  # noqa: S608 - put together from constants of this package only


def settle(
    conn: psycopg.Connection[Any], outcomes: Sequence[Outcome], *, owner: UUID, keyring: Keyring, now: datetime
) -> set[UUID]:
    """Settle runs; the ids of those that still owned their claim. One statement; the caller owns the transaction."""
    if not outcomes:
        return set()
    rows = [row for outcome in outcomes for row in outcome.outgoing]
    parameters = _columns(outcomes, now) | outbox.columns(rows, keyring, now) | {"owner": owner, "now": now}
    return {row[0] for row in conn.execute(SETTLE, parameters).fetchall()}


def with_endings(outcome: Outcome, now: datetime) -> Outcome:
    """The outcome with what its ending sends by itself: a dead run's letter, its step's answer, the alert about it; the
    later message of a run that waits long."""
    run = outcome.run
    if isinstance(outcome.ending, Defer) and leaves_queue(outcome.ending):
        return replace(outcome, outgoing=(*outcome.outgoing, later(run, outcome.ending, now)))
    if not isinstance(outcome.ending, Dead | Cancelled):
        return outcome
    rows = [*outcome.outgoing, *_step_failed(run, outcome.ending)]
    if isinstance(outcome.ending, Cancelled):
        return replace(outcome, outgoing=tuple(rows))
    rows.append(dead_letter(run.message, outcome.ending, run.tenant.slug, run.run_id))
    if not any(part in SILENT_MODULES for part in run.job.module.split(".")):
        rows.append(_alert(run, outcome.ending, now))
    return replace(outcome, outgoing=tuple(rows))


def _step_failed(run: Run, ending: Dead | Cancelled) -> list[Outgoing]:
    if (token := run.message.task_token) is None:
        return []
    code = ending.code if isinstance(ending, Dead) else "CANCELLED"
    return [tokens.failure(token, code, ending.detail, tenant=run.tenant.slug, run_id=run.run_id)]


def leaves_queue(ending: Ending) -> bool:
    """Whether the run waits for a message that a schedule sends, and not for the one that it came by."""
    return isinstance(ending, Defer) and ending.delay_s > HELD_MAX_S


def later(run: Run, ending: Defer, now: datetime) -> Outgoing:
    """The message by which a run that waits long comes back: the same identity, under the same claim.

    A time that the job asked for itself is no age; a vendor's Retry-After and a retry's backoff are.
    """
    at = now + timedelta(seconds=ending.delay_s)
    message = replace(run.message, ages_from=at) if ending.asked else run.message
    if ending.delay_s > LONG_DELAY_S:
        message = replace(message, blob=None)  # a large payload gets an object that lives as long
    tenant, target = run.tenant.slug, f"queue:{run.job.queue_name}"
    return Outgoing(uuid7(), "schedule", tenant, target, message.body(), group=tenant, run_id=run.run_id, deliver_at=at)


def dead_letter(message: Message, ending: Dead, tenant: str, run_id: UUID) -> Outgoing:
    """The message for the job's dead-letter queue, with the reason as attributes."""
    return Outgoing(
        id=uuid7(),
        kind="dead_letter",
        tenant=tenant,
        target=message.job.queue_name + DLQ_SUFFIX,
        body=message.body(with_token=False),  # its step has been told that it failed
        group=tenant,
        attributes=attributes(ending, job=message.job.id, tenant=tenant, run=str(run_id), sent_at=message.sent_at),
        run_id=run_id,
    )


def attributes(ending: Dead, *, job: str, tenant: str, run: str, sent_at: datetime) -> dict[str, str]:
    """SQS message attributes of a dead letter; SQS refuses empty values, so absent ones are left out."""
    found = {
        "reason": ending.detail[:250] or ending.code,
        "code": ending.code,
        "job": job,
        "tenant": tenant,
        "run": run,
        "firstSentAt": sent_at.isoformat(),
    }
    return {name: value for name, value in found.items() if value}


def _alert(run: Run, ending: Dead, now: datetime) -> Outgoing:
    from shared.events.alerts import AlertSystemError

    id = uuid7()
    alert = AlertSystemError.model_validate(
        {
            "severity": "error",
            "source": "kernel",
            "title": f"{run.job.id} failed for good",
            "message": f"Run {run.run_id} ended dead with {ending.code}.",
            "dedupeKey": f"dead:{run.job.id}:{ending.code}:{now:%Y-%m-%dT%H}",
            "context": {"job": run.job.id, "code": ending.code, "runs": [str(run.run_id)]},
        }
    )
    message = run.message
    meta = {
        "id": str(id),
        "correlationId": message.correlation_id,
        "causationId": message.id,
        "hops": message.hops + 1,
        "sentAt": now.isoformat(),
    }
    body = {"tenantId": run.tenant.slug, **alert.wire(), "_meta": meta}
    slug = run.tenant.slug
    return Outgoing(id, "event", slug, AlertSystemError.event_name, body, group=slug, run_id=run.run_id)


def _columns(outcomes: Sequence[Outcome], now: datetime) -> dict[str, Any]:
    endings = [_Row.of(outcome.run, outcome.ending, now) for outcome in outcomes]
    return {
        "run_id": [o.run.run_id for o in outcomes],
        "job": [o.run.job.id for o in outcomes],
        "tenant": [o.run.tenant.slug for o in outcomes],
        "key": [o.run.admitted.key for o in outcomes],
        "attempt": [o.run.attempt for o in outcomes],
        "ms": [o.duration_ms for o in outcomes],
        "claim_state": [e.claim_state for e in endings],
        "run_state": [e.run_state for e in endings],
        "left": [e.attempt for e in endings],
        "seq": [e.seq for e in endings],
        "cursor": [e.cursor for e in endings],
        "result": [e.result for e in endings],
        "code": [e.code for e in endings],
        "detail": [e.detail for e in endings],
        "not_before": [e.not_before for e in endings],
    }


class _Row:
    """An ending as the ledger's columns."""

    __slots__ = ("attempt", "claim_state", "code", "cursor", "detail", "not_before", "result", "run_state", "seq")

    def __init__(self, run: Run, claim_state: str, run_state: str) -> None:
        self.claim_state = claim_state
        self.run_state = run_state
        self.attempt = run.attempt
        self.seq = run.seq
        self.cursor: str | None = _json(run.cursor) if run.cursor is not None else None
        self.result: str | None = None
        self.code: str | None = None
        self.detail: str | None = None
        self.not_before: datetime | None = None

    @classmethod
    def of(cls, run: Run, ending: Ending, now: datetime) -> _Row:
        match ending:
            case Succeeded():
                row = cls(run, "succeeded", "succeeded")
                row.result = _json(ending.result)
            case Continue():
                row = cls(run, "continuing", "continuing")
                row.seq, row.cursor = run.seq + 1, _json(ending.cursor)
            case Dead():
                row = cls(run, "dead", "dead")
                row.code, row.detail = ending.code, ending.detail[:MAX_DETAIL]
            case Cancelled():
                row = cls(run, "cancelled", "cancelled")
                row.detail = ending.detail[:MAX_DETAIL]
            case Defer():
                row = cls(run, "waiting", "retrying" if ending.burnt else "deferred")
                row.attempt = run.attempt if ending.burnt else run.attempt - 1
                row.code, row.detail = ending.code, ending.detail[:MAX_DETAIL]
                row.not_before = now + timedelta(seconds=ending.delay_s)
        return row


def _json(value: Any) -> str:
    return to_json(value).decode()


def checkpoint(
    conn: psycopg.Connection[Any],
    run: Run,
    rows: Sequence[Outgoing],
    *,
    progress: Any,
    keyring: Keyring,
    now: datetime,
) -> bool:
    """Fence and outbox of an intermediate session; False when the claim is lost. The caller owns the transaction."""
    parameters: dict[str, Any] = outbox.columns(rows, keyring, now) | {
        "job": run.job.id,
        "tenant": run.tenant.slug,
        "key": run.admitted.key,
        "owner": run.owner,
        "attempt": run.attempt,
        "run": run.run_id,
        "progress": _json(progress) if progress is not None else None,
        "now": now,
    }
    return conn.execute(CHECKPOINT, parameters).fetchone() is not None


def refuse(
    conn: psycopg.Connection[Any],
    refused: Sequence[tuple[Refused, SealedPayload]],
    *,
    keyring: Keyring,
    now: datetime,
) -> list[Outgoing]:
    """Record messages that never ran (dead, skipped, duplicate): run row, payload, dead letter, answer.

    The rows to relay.
    """
    ids = [uuid7() for _ in refused]
    items = [item for item, _ in refused]
    letters = [_refused_letter(item, id) for item, id in zip(items, ids, strict=True) if isinstance(item.verdict, Dead)]
    parameters: dict[str, Any] = {
        "run_id": ids,
        "job": [item.message.job.id if item.message else "-" for item in items],
        "tenant": [item.tenant for item in items],
        "key": [item.message.id if item.message else item.record.message_id for item in items],
        "event": [item.message.event if item.message else None for item in items],
        "state": [_refused_state(item) for item in items],
        "code": [_refused_code(item) for item in items],
        "detail": [_detail(item) for item in items],
        "correlation": [item.message.correlation_id if item.message else None for item in items],
        "message_id": [item.record.message_id for item in items],
        "source": [item.message.source if item.message else "sqs" for item in items],
        "sent_at": [item.message.sent_at if item.message else item.record.sent_at for item in items],
        "body": [sealed.body for _, sealed in refused],
        "blob": [sealed.blob_key for _, sealed in refused],
        "now": now,
    }
    rows = [*letters, *(row for item in items for row in item.outgoing)]
    conn.execute(REFUSE, parameters | outbox.columns(rows, keyring, now))
    return rows


def _refused_state(item: Refused) -> str:
    if isinstance(item.verdict, Dead):
        return "dead"
    return "skipped" if item.skipped else "duplicate"


def _refused_code(item: Refused) -> str | None:
    if isinstance(item.verdict, Dead):
        return item.verdict.code
    return "TENANT_SKIPPED" if item.skipped else None


def _detail(item: Refused) -> str:
    match item.verdict:
        case Dead(detail=detail) | Defer(detail=detail):
            return detail[:MAX_DETAIL]
        case other:
            return other.why


def _refused_letter(item: Refused, run_id: UUID) -> Outgoing:
    assert isinstance(item.verdict, Dead)
    message, record = item.message, item.record
    return Outgoing(
        id=uuid7(),
        kind="dead_letter",
        tenant=item.tenant,
        target=record.queue + DLQ_SUFFIX,
        body=message.body(with_token=False) if message else record.body,
        group=record.group,
        attributes=attributes(
            item.verdict,
            job=message.job.id if message else "",
            tenant=item.tenant,
            run=str(run_id),
            sent_at=message.sent_at if message else record.sent_at,
        ),
        run_id=run_id,
    )
