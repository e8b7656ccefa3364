"""Step 6, settle: the ending of a run, its ledger rows and what it sends, in ONE statement of ONE transaction.

The same statement ends a batch of runs in a transaction of its own, and a single run inside its final session, just
before that commits. The claim is the fence: a run whose claim names another owner or attempt by now settles nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from shared.jobs.slots import Slot
from shared.jobs.uuids import uuid7

DLQ_SUFFIX = "-dlq"
HELD_MAX_S = 900
"""A run that waits longer in seconds leaves the queue: its message is acknowledged and a schedule brings it again. A
message held back counts as in flight all the time, and SQS holds none longer than 12 hours."""
MAX_DETAIL = 1000
SILENT_MODULES = ("alerts", "health")
"""Modules whose dead runs raise no alert event: an alert about a failed alert would never end; they have an alarm."""

SETTLE = """
-- jobs: settle runs: claim, run row, payload's end and outbox, for those that still own their claim; free places
SELECT jobs.settle(
    %(ended)s::jsonb, %(outgoing)s::jsonb, %(places)s::jsonb, me => %(owner)s, at => %(now)s,
    keep_dead_days => %(keep_dead_days)s)
"""
"""The statement itself is in shared/db/schema/jobs/50_deliveries.sql."""

CHECKPOINT = f"""
-- jobs: fence of a checkpoint, with what it emits and how far it is
WITH fence AS (
    SELECT run_id FROM jobs.claims
    WHERE job = %(job)s AND tenant = %(tenant)s AND key = %(key)s AND owner = %(owner)s AND attempt = %(attempt)s
      AND run_id = %(run)s AND state = 'running'
    FOR UPDATE
), progressed AS (
    UPDATE jobs.runs r SET progress = COALESCE(%(progress)s::jsonb, r.progress) FROM fence f
    WHERE r.run_id = f.run_id AND r.run_at = %(run_at)s AND %(progress)s::jsonb IS NOT NULL
), sent AS (
    INSERT INTO jobs.outbox (id, kind, tenant, target, body, group_id, deliver_at, attributes, created_at)
    SELECT o.id, o.kind, o.tenant, o.target, o.body, o.group_id, o.deliver_at, o.attributes, %(now)s
    FROM {outbox.ROWS} JOIN fence f ON f.run_id = o.run_id
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
FROM {outbox.ROWS}
"""  # noqa: S608 - put together from constants of this package only


def settle(
    conn: psycopg.Connection[Any],
    outcomes: Sequence[Outcome],
    *,
    owner: UUID,
    keyring: Keyring,
    now: datetime,
    free: Iterable[Slot] = (),
) -> set[UUID]:
    """Settle runs; the ids of those that still owned their claim. One statement; the caller owns the transaction.

    `free`: the places of the invocation, when nothing of it comes after this.
    """
    if not outcomes:
        return set()
    places = [{"scope": slot.scope, "tenant": slot.tenant, "n": slot.n} for slot in free]
    parameters = {
        "ended": to_json([_ended(outcome, now) for outcome in outcomes]).decode(),
        "outgoing": outbox.document([row for outcome in outcomes for row in outcome.outgoing], keyring, now),
        "places": to_json(places).decode() if places else None,
        "owner": owner,
        "now": now,
        "keep_dead_days": KEEP_DEAD_DAYS,
    }
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


def _ended(outcome: Outcome, now: datetime) -> dict[str, Any]:
    """A run's end as the statement reads it; a member that is absent is NULL."""
    run = outcome.run
    known = {
        "run_id": run.run_id,
        "run_at": run.run_at,
        "job": run.job.id,
        "tenant": run.tenant.slug,
        "key": run.admitted.key,
        "attempt": run.attempt,
        "attempts_left": run.attempt,
        "seq": run.seq,
        "cursor": run.cursor,
        "ms": outcome.duration_ms,
    }
    return known | _ending(run, outcome.ending, now)


def _ending(run: Run, ending: Ending, now: datetime) -> dict[str, Any]:
    match ending:
        case Succeeded():
            return {"claim_state": "succeeded", "run_state": "succeeded", "result": ending.result}
        case Continue():
            state = {"claim_state": "continuing", "run_state": "continuing"}
            return {**state, "seq": run.seq + 1, "cursor": ending.cursor}
        case Dead():
            told = {"code": ending.code, "detail": ending.detail[:MAX_DETAIL]}
            return {"claim_state": "dead", "run_state": "dead", **told}
        case Cancelled():
            return {"claim_state": "cancelled", "run_state": "cancelled", "detail": ending.detail[:MAX_DETAIL]}
        case Defer():
            return {
                "claim_state": "waiting",
                "run_state": "retrying" if ending.burnt else "deferred",
                "attempts_left": run.attempt if ending.burnt else run.attempt - 1,
                "code": ending.code,
                "detail": ending.detail[:MAX_DETAIL],
                "not_before": now + timedelta(seconds=ending.delay_s),
            }


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
    parameters: dict[str, Any] = {
        "outgoing": outbox.document(rows, keyring, now),
        "job": run.job.id,
        "tenant": run.tenant.slug,
        "key": run.admitted.key,
        "owner": run.owner,
        "attempt": run.attempt,
        "run": run.run_id,
        "run_at": run.run_at,
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
    conn.execute(REFUSE, parameters | {"outgoing": outbox.document(rows, keyring, now)})
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
