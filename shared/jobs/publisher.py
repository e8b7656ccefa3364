"""Sends from outside of a run: an event to the bus, or a message straight to one job's queue.

What is sent is validated first, so a mistake is the sender's error and no dead letter. Payloads above MAX_BYTES go to
the bucket, and the message carries their key; a publisher without a bucket refuses them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from shared.events.base import Event, Payload
from shared.jobs.admission import SYSTEM_TENANT, describe
from shared.jobs.aws import MAX_BATCH_BYTES
from shared.jobs.envelope import MAX_KEY
from shared.jobs.messages import OWN_SOURCE, compose, envelope_meta
from shared.jobs.offload import Vault
from shared.jobs.ports import Bus, Clock, OutEvent, OutMessage, Queues, SystemClock
from shared.jobs.registry import AnyJob, Registry
from shared.jobs.uuids import uuid7

MAX_BYTES = MAX_BATCH_BYTES
"""Bytes of a whole message: SQS and EventBridge take 1 MiB, the rule's envelope and attributes need some of it."""

_TENANT = re.compile(r"[a-z0-9_]{1,50}")


class SendRefused(ValueError):
    """Nothing was sent; the text says why in one sentence, without values of the payload."""


class SendFailed(RuntimeError):
    """The bus or the queue took nothing; the same may work later."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What was sent. `id`: the event's id (the key when one was given); `jobs`: who gets it."""

    id: str
    correlation_id: str
    jobs: tuple[str, ...]


class Publisher:
    """Publishes events and triggers jobs. `source` names the sender; the bus port should carry the same one."""

    def __init__(
        self,
        bus: Bus,
        queues: Queues,
        registry: Registry,
        *,
        source: str = "cgk.publisher",
        clock: Clock | None = None,
        vault: Callable[[], Vault] | None = None,
    ) -> None:
        """`vault`: gives the bucket and its keys when the first large payload needs them."""
        self._vault = vault
        self._bus = bus
        self._queues = queues
        self._registry = registry
        self._source = source
        self._clock = clock or SystemClock()

    def publish(self, event: Event, tenant: str, key: str | None = None) -> Sent:
        """Publish an event of a tenant (slug or organizations.id); raises SendRefused, SendFailed.

        `key`: the sender's own idempotency key; the same key with the same event starts each listener once.
        """
        if tenant == SYSTEM_TENANT.slug:
            raise SendRefused("events of the tenant system come from the jobs themselves; trigger the job instead")
        _check(tenant, key)
        id = str(uuid7())
        meta = envelope_meta(id=id, key=key, sent_at=self._clock.now(), correlation_id=id)
        detail = self._encoded({"tenantId": tenant, **event.wire(), "_meta": meta}, id)
        if self._bus.publish([OutEvent(event.event_name, detail)]) != [True]:
            raise SendFailed(f"the bus did not take {event.event_name}: is it deployed, and may this login publish?")
        return Sent(key or id, id, tuple(job.id for job in self._registry.listeners.get(event.event_name, ())))

    def trigger(self, job_id: str, payload: Mapping[str, Any] | Payload, tenant: str, key: str | None = None) -> Sent:
        """Send a payload (wire form or model) straight to one job's queue; raises SendRefused, SendFailed.

        KeyError: there is no such job. Only here may the tenant be `system`: who can write to the queues may start the
        platform's own jobs.
        """
        job = self._registry.jobs[job_id]
        _check(tenant, key)
        id = str(uuid7())
        body = compose(
            job.id,
            {"tenantId": tenant, **_validated(job, payload, self._clock.now())},
            id=key or id,
            sent_at=self._clock.now(),
            correlation_id=id,
            source=OWN_SOURCE if tenant == SYSTEM_TENANT.slug else self._source,
            explicit_key=key is not None,
        )
        if self._vault is not None and len(body.encode()) > MAX_BYTES:
            body = self._vault().shrink_body(body, name=id)
        _check_size(body)
        if self._queues.send(job.queue_name, [OutMessage(body, tenant)]) != [True]:
            raise SendFailed(
                f"queue {job.queue_name} did not take the message: is it deployed, and may this login send?"
            )
        return Sent(key or id, id, (job.id,))

    def _encoded(self, detail: Mapping[str, Any], name: str) -> str:
        text = json.dumps(detail, separators=(",", ":"), ensure_ascii=False)
        if self._vault is not None and len(text.encode()) > MAX_BYTES:
            text = json.dumps(self._vault().shrink(detail, name=name), separators=(",", ":"))
        _check_size(text)
        return text


def _validated(job: AnyJob, payload: Mapping[str, Any] | Payload, now: datetime) -> dict[str, Any]:
    """The wire form as the job's model reads it: by the same rules as at its delivery. A cron's instant may be left
    out: it is then `now`."""
    wire = payload.wire() if isinstance(payload, Payload) else dict(payload)
    if job.cron is not None:
        wire.setdefault("scheduledAt", now.isoformat())
    model: type[Payload] = job.payload
    return validated(model, wire).wire()


def validated(model: type[Payload], wire: Mapping[str, Any]) -> Payload:
    """The model of a payload in wire form (`tenantId` and `_meta` aside); raises SendRefused naming the fields."""
    fields = {n: value for n, value in wire.items() if n not in ("tenantId", "_meta") and value is not None}
    try:
        return model.model_validate_json(json.dumps(fields), strict=True)
    except ValidationError as error:
        raise SendRefused(f"the payload does not fit {model.__name__}: {describe(error)}") from None


def _check(tenant: str, key: str | None) -> None:
    if not _TENANT.fullmatch(tenant) and not _is_uuid(tenant):
        raise SendRefused(f"the tenant {tenant[:80]!r} is neither a slug (a-z, 0-9, _) nor an organization's id")
    if key is not None and not 0 < len(key) <= MAX_KEY:
        raise SendRefused(f"the key must have 1 to {MAX_KEY} characters")


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def _check_size(text: str) -> None:
    size = len(text.encode())
    if size > MAX_BYTES:
        raise SendRefused(f"the message has {size:,} bytes, at most {MAX_BYTES:,} can be sent; split the work")
