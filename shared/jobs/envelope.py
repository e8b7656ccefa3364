"""Step 1, parse: an SQS record becomes a Message, or a verdict.

Four forms arrive: the bus rule's {job, event, id, source, time, payload}, straight from a publisher
{"job": id, "payload": {...}} or {"event": name, "payload": {...}} with an optional idempotencyKey, and from a
workflow's step {job, payload, taskToken}.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn
from uuid import UUID

from shared.jobs.messages import AGES_FROM, KEY_SUFFIX, OWN_SOURCE, Dead, Defer, Leg, Message, Record, Refused
from shared.jobs.registry import AnyJob, Registry
from shared.jobs.tokens import MAX_TOKEN, token_digest
from shared.storable import storable

UNKNOWN_JOB_GRACE = timedelta(minutes=15)
"""A deploy may be halfway: the job of a message may be known to the next version of this function."""
UNKNOWN_JOB_RETRY_S = 30
MAX_KEY = 512
"""Characters of a publisher's own key; a longer one is refused."""
MAX_SEQ = 2**31 - 1
"""The ledger's column of a leg's number is an integer."""
_UNSTORABLE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
"""Escapes that may stand for what no text of PostgreSQL can hold."""


class _Malformed(ValueError):
    """The body cannot be read; the text says what was wrong, never what was in it."""


def parse(records: Iterable[Record], registry: Registry, now: datetime) -> tuple[list[Message], list[Refused]]:
    """Takes: raw records. Gives: messages for known jobs.

    Verdicts: Dead MALFORMED_MESSAGE (broken JSON, wrong form), Defer then Dead UNKNOWN_JOB.
    Why first: nothing else can be decided before the job is known.
    """
    messages: list[Message] = []
    refused: list[Refused] = []
    for record in records:
        try:
            messages.extend(_read(record, registry))
        except _Malformed as error:
            refused.append(Refused(record, Dead("MALFORMED_MESSAGE", str(error))))
        except LookupError as error:
            refused.append(Refused(record, _unknown(record, str(error.args[0]), now)))
    return messages, refused


def _unknown(record: Record, what: str, now: datetime) -> Dead | Defer:
    if now - record.sent_at < UNKNOWN_JOB_GRACE:
        return Defer(UNKNOWN_JOB_RETRY_S, "UNKNOWN_JOB", what)
    return Dead("UNKNOWN_JOB", what)


def _read(record: Record, registry: Registry) -> list[Message]:
    try:
        body = json.loads(record.body, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise _Malformed("the body is no JSON") from error
    if _UNSTORABLE.search(record.body):
        body = storable(body)
    if not isinstance(body, dict) or not isinstance(body.get("payload"), dict):
        raise _Malformed("the body must be an object with an object member `payload`")
    meta = body["payload"].get("_meta")
    if meta is not None and not isinstance(meta, dict):
        raise _Malformed("`_meta` must be an object")
    return [_message(record, body, meta or {}, job) for job in _jobs(record, body, registry)]


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _jobs(record: Record, body: Mapping[str, Any], registry: Registry) -> list[AnyJob]:
    job_id, event = body.get("job"), body.get("event")
    if isinstance(job_id, str):
        job = registry.jobs.get(job_id)
        if job is None:
            raise LookupError(f"job {job_id[:80]!r} is not declared here")
        return [job]
    if not isinstance(event, str):
        raise _Malformed("the body names neither `job` nor `event`")
    jobs = [job for job in registry.listeners.get(event, ()) if job.queue_name == record.queue]
    if len(jobs) > 1:
        names = ", ".join(job.id for job in jobs)
        raise _Malformed(
            f"event {event[:80]!r} has several jobs on this queue ({names}); publish it to the bus, or name a job"
        )
    if not jobs:
        raise LookupError(f"no job of queue {record.queue} listens to event {event[:80]!r}")
    return jobs


def _message(record: Record, body: Mapping[str, Any], meta: Mapping[str, Any], job: AnyJob) -> Message:
    source = body.get("source") if isinstance(body.get("source"), str) else "workflow" if "taskToken" in body else "sqs"
    assert isinstance(source, str)
    own = source == OWN_SOURCE
    outside_key = body.get("idempotencyKey")
    if outside_key is not None and not (isinstance(outside_key, str) and 0 < len(outside_key) <= MAX_KEY):
        raise _Malformed(f"idempotencyKey must be text of 1..{MAX_KEY} characters")
    token = _token(body)
    key = _text(meta, "key") or outside_key
    # A step's message has no id of its own but its token, which is new each time the step is entered.
    own_id = f"task:{token_digest(token).hex()[:40]}" if token else record.message_id
    event_id = key or _text(meta, "id") or _text(body, "id") or own_id
    return Message(
        record=record,
        job=job,
        event=body.get("event") if isinstance(body.get("event"), str) else None,
        payload={name: value for name, value in body["payload"].items() if name != "_meta"},
        id=event_id,
        sent_at=_instant(meta.get("sentAt") or body.get("time"), record.sent_at),
        source=source,
        correlation_id=_text(meta, "correlationId") or event_id,
        causation_id=_text(meta, "causationId"),
        hops=meta["hops"] if isinstance(meta.get("hops"), int) and meta["hops"] >= 0 else 0,
        explicit_key=bool(meta.get("explicitKey")) or (key is not None and not own),
        leg=_leg(meta.get("run")),
        task_token=token,
        ages_from=_instant(meta[AGES_FROM], record.sent_at) if AGES_FROM in meta else None,
        key_suffix=_text(meta, KEY_SUFFIX),
    )


def _token(body: Mapping[str, Any]) -> str | None:
    token = body.get("taskToken")
    if token is None:
        return None
    if not isinstance(token, str) or not 0 < len(token) <= MAX_TOKEN:
        raise _Malformed(f"taskToken must be text of 1..{MAX_TOKEN} characters")
    if not isinstance(body.get("job"), str):
        raise _Malformed("a message with a taskToken must name its job: one token has one answer")
    return token


def _text(members: Mapping[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= MAX_KEY:
        raise _Malformed(f"`{name}` must be text of 1..{MAX_KEY} characters")
    return value


def _instant(value: Any, fallback: datetime) -> datetime:
    if not isinstance(value, str):
        return fallback
    try:
        instant = datetime.fromisoformat(value)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return fallback


def _leg(value: Any) -> Leg | None:
    if value is None:
        return None
    try:
        leg = Leg(UUID(value["id"]), int(value["seq"]))
    except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
        raise _Malformed("`_meta.run` must hold id and seq") from error
    if not 0 <= leg.seq <= MAX_SEQ:
        raise _Malformed("`_meta.run.seq` is no leg's number")
    return leg
