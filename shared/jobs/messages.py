"""The values that travel through the pipeline: each step's input is the step before's output.

    Record ──parse──► Message ──admit──► Admitted ──claim──► Run ──execute──► Outcome ──settle──► answer

A step gives the next value or one of a closed set of verdicts: `Dead`, `Defer`, `Acknowledge`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from shared.events.base import Payload
from shared.jobs.context import Tenant
from shared.jobs.crons import instant_of
from shared.jobs.declaration import Delivery
from shared.jobs.registry import AnyJob

OWN_SOURCE = "cgk.jobs"
"""EventBridge source of what the jobs publish; IAM denies it to applications."""
BLOB = "_blob"
"""Member of a payload that lies in the bucket: the object's key, beside tenantId and _meta instead of the fields."""
AGES_FROM = "agesFrom"
"""Member of `_meta`: the age that max_age_s bounds counts from this instant instead of sentAt."""
KEY_SUFFIX = "keySuffix"
"""Member of `_meta`: added to the run key."""


@dataclass(frozen=True, slots=True)
class Record:
    """One SQS record as it arrived. `sent_at`: when it entered this queue; `queue`: logical name, without prefix."""

    message_id: str
    receipt: str
    body: str
    receive_count: int
    sent_at: datetime
    queue: str
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Leg:
    """Which part of a continued run a message carries on: the run and the leg's number, 1 for the first."""

    run_id: UUID
    seq: int


@dataclass(frozen=True, slots=True)
class Message:
    """A parsed record: which job it is for and what is known of its origin.

    `payload` is the wire form without `_meta`, `tenantId` included. `explicit_key`: an outside publisher's own
    idempotency key, which may not come back with another payload. `task_token`: a workflow's step waits for the
    answer; a secret, no part of the payload. `blob`: the object that the payload was fetched from, which is what the
    message carries on. `ages_from`: instant that its age counts from instead of `sent_at` (a wait that the job asked
    for, a redrive, a replay). `excused_s`: seconds of its age that count for nothing, because of a pause.
    `key_suffix`: makes a replay of a run that has succeeded a run of its own.
    """

    record: Record
    job: AnyJob
    event: str | None
    payload: Mapping[str, Any]
    id: str
    sent_at: datetime
    source: str
    correlation_id: str
    causation_id: str | None
    hops: int
    explicit_key: bool = False
    leg: Leg | None = None
    task_token: str | None = field(default=None, repr=False)
    blob: str | None = None
    ages_from: datetime | None = None
    excused_s: float = 0
    key_suffix: str | None = None

    @property
    def carried(self) -> Mapping[str, Any]:
        """The payload as messages carry it: itself, or the tenant and the key of the object that holds it."""
        return self.payload if self.blob is None else {"tenantId": self.payload.get("tenantId"), BLOB: self.blob}

    @property
    def own(self) -> bool:
        """Published by the jobs themselves."""
        return self.source == OWN_SOURCE

    def body(self, *, with_token: bool = True) -> str:
        """The message as it can be sent again, straight to the job's queue, with its identity kept."""
        return compose(
            self.job.id,
            self.carried,
            event=self.event,
            id=self.id,
            sent_at=self.sent_at,
            source=self.source,
            correlation_id=self.correlation_id,
            causation_id=self.causation_id,
            hops=self.hops,
            explicit_key=self.explicit_key,
            leg=self.leg,
            task_token=self.task_token if with_token else None,
            ages_from=self.ages_from,
            key_suffix=self.key_suffix,
        )


def compose(
    job_id: str,
    payload: Mapping[str, Any],
    *,
    id: str,
    sent_at: datetime,
    correlation_id: str,
    source: str = OWN_SOURCE,
    event: str | None = None,
    causation_id: str | None = None,
    hops: int = 0,
    explicit_key: bool = False,
    leg: Leg | None = None,
    task_token: str | None = None,
    ages_from: datetime | None = None,
    key_suffix: str | None = None,
) -> str:
    """Body of a message straight to a job's queue. The envelope of the bus rule, plus what `_meta` must keep."""
    meta = envelope_meta(
        id=id, sent_at=sent_at, correlation_id=correlation_id, causation_id=causation_id, hops=hops, leg=leg
    )
    if explicit_key:
        meta["explicitKey"] = True
    if ages_from is not None:
        meta[AGES_FROM] = ages_from.isoformat()
    if key_suffix is not None:
        meta[KEY_SUFFIX] = key_suffix
    body = {
        "job": job_id,
        "event": event,
        "source": source,
        "payload": {**payload, "_meta": meta},
        "taskToken": task_token,
    }
    return json.dumps({k: v for k, v in body.items() if v is not None}, separators=(",", ":"), ensure_ascii=False)


def envelope_meta(
    *,
    id: str,
    sent_at: datetime,
    correlation_id: str,
    causation_id: str | None = None,
    key: str | None = None,
    hops: int = 0,
    leg: Leg | None = None,
) -> dict[str, Any]:
    """The reserved member `_meta` of a detail or payload; absent members are left out."""
    meta: dict[str, Any] = {"id": id, "correlationId": correlation_id, "hops": hops, "sentAt": sent_at.isoformat()}
    if key is not None:
        meta["key"] = key
    if causation_id is not None:
        meta["causationId"] = causation_id
    if leg is not None:
        meta["run"] = {"id": str(leg.run_id), "seq": leg.seq}
    return meta


@dataclass(frozen=True, slots=True)
class Admitted:
    """A message that may run: payload validated, tenant known and served, run key computed."""

    message: Message
    payload: Payload
    tenant: Tenant
    key: str
    payload_hash: bytes

    @property
    def delivery(self) -> Delivery:
        return Delivery(id=self.message.id, sent_at=self.message.sent_at, tick=instant_of(self.payload))


@dataclass(frozen=True, slots=True)
class Run:
    """A claimed run: this process owns it until `lease_until`.

    `attempt`: 1 for the first of this leg. `seq`: number of the leg. `work_ms`: work of former legs.
    `known`: it was begun before, so that somebody may have asked it to stop meanwhile.
    """

    admitted: Admitted
    run_id: UUID
    run_at: datetime
    owner: UUID
    attempt: int
    seq: int
    work_ms: int
    cursor: Any
    known: bool = False

    @property
    def job(self) -> AnyJob:
        return self.admitted.message.job

    @property
    def tenant(self) -> Tenant:
        return self.admitted.tenant

    @property
    def message(self) -> Message:
        return self.admitted.message


# Verdicts on a message that does not run, or that has run.


@dataclass(frozen=True, slots=True)
class Dead:
    """To the dead-letter queue with `code`; `detail` is one sentence without personal data."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Defer:
    """Comes back after `delay_s`. `burnt`: whether an attempt was used up. `asked`: the job named the time itself
    (Deferred), so a long wait is no age."""

    delay_s: float
    code: str
    detail: str = ""
    burnt: bool = False
    asked: bool = False


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Nothing to do (any more): done before, cancelled, an older leg, a suspended tenant."""

    why: str


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The handler returned; `result` is the wire form that the ledger keeps. `held`: the workflow's step stays open."""

    result: Mapping[str, Any]
    held: bool = False


@dataclass(frozen=True, slots=True)
class Continue:
    """The handler gave a cursor: the run goes on in a new message."""

    cursor: Any


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Someone asked the run to stop and it has stopped, or was not begun again: no dead letter, no alert."""

    detail: str = ""


Ending = Succeeded | Continue | Dead | Defer | Cancelled
Verdict = Dead | Defer | Acknowledge

OutboxKind = Literal["event", "queue", "schedule", "dead_letter", "answer", "workflow"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A row of the outbox: what is to be sent once its transaction has committed.

    `target`: event name (kind event), logical queue name (queue, dead_letter), `event:<name>` or `queue:<name>`
    (schedule). `body`: detail without `_meta` for events, the whole message body as text for queues. `deliver_at`: the
    instant of a schedule, which is kept over any delay of the relay.
    """

    id: UUID
    kind: OutboxKind
    tenant: str
    target: str
    body: Any
    group: str | None = None
    delay_s: float = 0
    attributes: Mapping[str, str] = field(default_factory=dict)
    run_id: UUID | None = None
    deliver_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run after its handler. `settled`: its ending is committed already (final session). `touched`: it opened a
    session, so its effects stand in the database and its ending must not wait for the rest of the batch."""

    run: Run
    ending: Ending
    duration_ms: int
    outgoing: tuple[Outgoing, ...] = ()
    settled: bool = False
    touched: bool = False
    error: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that never became a run, with its verdict; `message` is None when not even the job is known.

    `key`: the run key, where the message got as far as the claim. `outgoing`: what a waiting workflow is answered.
    """

    record: Record
    verdict: Verdict
    message: Message | None = None
    tenant: str = "-"
    skipped: bool = False
    key: str | None = None
    outgoing: tuple[Outgoing, ...] = ()
