"""Step 2, admit: validate the payload, know the tenant, compute the run key."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from pydantic import ValidationError

from shared.events.base import Payload
from shared.jobs.context import Tenant
from shared.jobs.crons import instant_of
from shared.jobs.declaration import Delivery
from shared.jobs.messages import Acknowledge, Admitted, Dead, Defer, Message, Refused

SYSTEM_TENANT = Tenant("system", UUID(int=0), "active")
"""The platform itself: no row of organizations, only for jobs declared tenants="system" or "any"."""
MAX_KEY = 200
"""Characters of a run key; a longer one is replaced by its SHA-256."""
TENANT_NOT_READY_S = 60
_SLUG = re.compile(r"^[a-z0-9_]{1,50}$")


class Tenants(Protocol):
    """Where tenants are looked up: slug or organization id -> (tenant, whether its role exists)."""

    def find(self, references: Iterable[str]) -> Mapping[str, tuple[Tenant, bool]]: ...


def admit(messages: Sequence[Message], tenants: Tenants, now: datetime) -> tuple[list[Admitted], list[Refused]]:
    """Takes: messages of known jobs. Gives: messages that may run.

    Verdicts: Dead INVALID_PAYLOAD (fields named, values never), LOOP; Acknowledge for a tenant that the job
    does not serve (the run is kept as skipped, its payload replayable); Defer TENANT_NOT_PROVISIONED.
    Why before the claim: the run key is a function of the validated payload.
    """
    references = {reference for m in messages if (reference := _reference(m)) is not None}
    known = tenants.find(references - {SYSTEM_TENANT.slug}) if references else {}
    admitted: list[Admitted] = []
    refused: list[Refused] = []
    for message in messages:
        outcome = _admit(message, known, now)
        if isinstance(outcome, Admitted):
            admitted.append(outcome)
        else:
            refused.append(outcome)
    return admitted, refused


def _reference(message: Message) -> str | None:
    value = message.payload.get("tenantId")
    return value.lower() if isinstance(value, str) else None


def _admit(message: Message, known: Mapping[str, tuple[Tenant, bool]], now: datetime) -> Admitted | Refused:
    reference = _reference(message)
    if reference is None:
        return _refuse(message, Dead("INVALID_PAYLOAD", "tenantId: required, text"))
    tenant, provisioned = _tenant(message, reference, known)
    if tenant is None:
        return _refuse(message, Dead("INVALID_PAYLOAD", "tenantId: unknown tenant"))
    job = message.job
    if message.hops > job.max_hops:
        return _refuse(message, Dead("LOOP", f"more than {job.max_hops} messages in this chain"), tenant)
    if not _serves(job.tenants, tenant):
        return _refuse(message, Acknowledge(f"tenant {tenant.status}"), tenant, skipped=True)
    if not provisioned:
        return _refuse(message, expired(message, now) or Defer(TENANT_NOT_READY_S, "TENANT_NOT_PROVISIONED"), tenant)
    try:
        payload = job.payload.model_validate_json(json.dumps(_own_fields(message.payload)), strict=True)
    except ValidationError as error:
        return _refuse(message, Dead("INVALID_PAYLOAD", describe(error)), tenant)
    return Admitted(
        message=message,
        payload=payload,
        tenant=tenant,
        key=run_key(message, payload),
        payload_hash=hashlib.sha256(_canonical(payload)).digest(),
    )


def _tenant(message: Message, reference: str, known: Mapping[str, tuple[Tenant, bool]]) -> tuple[Tenant | None, bool]:
    if reference == SYSTEM_TENANT.slug:
        allowed = message.own and message.job.tenants in ("system", "any")
        return (SYSTEM_TENANT, True) if allowed else (None, False)
    found = known.get(reference)
    if found is None or message.job.tenants == "system":
        return None, False
    return found


def _serves(tenants: str, tenant: Tenant) -> bool:
    # Events of a tenant in onboarding run (its first import is one); only its crons wait.
    return tenants != "active" or tenant.status in ("active", "onboarding")


def expired(message: Message, now: datetime) -> Dead | None:
    """The verdict on a message older than its job allows; a later leg of a continued run is never too old.

    Time that the message spent paused counts for nothing, nor does what came before its last long wait that the job
    itself asked for, its redrive or its replay.
    """
    limit = message.job.max_age_s
    age = now - (message.ages_from or message.sent_at) - timedelta(seconds=message.excused_s)
    if message.leg is None and age > timedelta(seconds=limit):
        return Dead("EXPIRED", f"older than {limit} s")
    return None


def _own_fields(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name != "tenantId" and value is not None}


def _canonical(payload: Payload) -> bytes:
    return json.dumps(payload.wire(), sort_keys=True, separators=(",", ":")).encode()


def run_key(message: Message, payload: Payload) -> str:
    """The job's key for this delivery, bounded; D19: a pure function of payload and delivery."""
    delivery = Delivery(id=message.id, sent_at=message.sent_at, tick=instant_of(payload))
    key = message.job.key(payload, delivery) + (message.key_suffix or "")
    return key if len(key) <= MAX_KEY else "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def describe(error: ValidationError) -> str:
    """Fields and what is wrong with them, never their values: `orderId: Field required; limit: ...`."""
    problems = [
        f"{'.'.join(str(part) for part in item['loc']) or 'payload'}: {item['msg']}"
        for item in error.errors(include_input=False, include_url=False, include_context=False)
    ]
    return "; ".join(problems)[:1000]


def _refuse(
    message: Message, verdict: Dead | Defer | Acknowledge, tenant: Tenant | None = None, *, skipped: bool = False
) -> Refused:
    return Refused(message.record, verdict, message, tenant.slug if tenant else "-", skipped)


def valid_slug(text: str) -> bool:
    """Whether `text` may be a tenant's slug."""
    return bool(_SLUG.match(text)) and text != SYSTEM_TENANT.slug
