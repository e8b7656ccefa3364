"""Payloads that are too large for a message: sealed in the bucket, and fetched by the pipeline before a job sees them.

On the wire the payload is then {"tenantId": .., "_blob": key, "_meta": {..}}. The key names the tenant as the message
does, and the tenant is additional data of the seal: an object opens for no other tenant's message.
"""

from __future__ import annotations

import json
import logging
import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from shared.crypto import Keyring
from shared.jobs.admission import expired
from shared.jobs.aws import MAX_BATCH_BYTES
from shared.jobs.errors import Permanent
from shared.jobs.failures import hand_back_delay
from shared.jobs.messages import BLOB, Dead, Defer, Message, Refused
from shared.jobs.payloads import BLOB_PREFIX, PURPOSE, Blobs
from shared.storable import loads

INLINE_MAX = MAX_BATCH_BYTES
"""Bytes of a message or event that travels as it is: SQS and EventBridge take 1 MiB with envelope and attributes."""
WORKFLOW_MAX = 240 * 1024
"""The same where a workflow is on the path: Step Functions takes 256 KiB of input and output."""
SCHEDULE_MAX = 200 * 1024
"""The same for a one-off schedule: EventBridge Scheduler takes 256 KiB, and the body's quotes are escaped in it."""
LONG_PREFIX = "payloads-long/"
"""Prefix of objects that are kept over a year: their message is delivered later than the others' lifetime."""
LONG_DELAY_S = 24 * 3600

_KEY = re.compile(r"payloads(?:-long)?/([^/]+)/[0-9a-f-]{36}")
_TENANT = re.compile(r"[a-z0-9_]{1,50}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

logger = logging.getLogger("cgk.jobs")


@dataclass(frozen=True)
class Vault:
    """The bucket and the keys to what lies in it."""

    blobs: Blobs
    keyring: Keyring

    def shrink(self, payload: Mapping[str, Any], *, name: str, delay_s: float = 0) -> dict[str, Any]:
        """The payload with its fields in an object `name` (a UUID), tenantId and _meta in place.

        The same name gives the same object, so that a relay done twice leaves one. A payload that names no tenant comes
        back as it was: nothing could open its object.
        """
        tenant = payload.get("tenantId")
        if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
            return dict(payload)
        fields = {member: value for member, value in payload.items() if member not in ("tenantId", "_meta")}
        key = f"{LONG_PREFIX if delay_s > LONG_DELAY_S else BLOB_PREFIX}{tenant}/{name}"
        data = json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()
        self.blobs.put(key, self.keyring.seal(data, aad=tenant.encode(), purpose=PURPOSE))
        kept = {"tenantId": tenant, BLOB: key}
        return kept | ({"_meta": payload["_meta"]} if "_meta" in payload else {})

    def shrink_body(self, body: str, *, name: str, limit: int = INLINE_MAX, delay_s: float = 0) -> str:
        """A queue message's body, its payload in the bucket when the body has more than `limit` bytes."""
        if len(body.encode()) <= limit:
            return body
        try:
            message = json.loads(body)
        except ValueError:
            return body  # a dead letter may be anything
        if not isinstance(message, dict) or not isinstance(message.get("payload"), dict):
            return body
        small = self.shrink(message["payload"], name=name, delay_s=delay_s)
        return json.dumps({**message, "payload": small}, separators=(",", ":"), ensure_ascii=False)

    def open(self, key: str, tenant: str) -> Mapping[str, Any]:
        """The fields of an offloaded payload. KeyError: the object is gone; Permanent: it cannot be read."""
        found = _KEY.fullmatch(key)
        if found is None or found[1] != tenant:
            raise Permanent("MALFORMED_MESSAGE", f"{BLOB} is no key of this tenant's payloads")
        fields = loads(self.keyring.open(self.blobs.get(key), aad=tenant.encode(), purpose=PURPOSE))
        if not isinstance(fields, dict):
            raise Permanent("MALFORMED_MESSAGE", "the offloaded payload is no object")
        return fields


def fetch(
    messages: Iterable[Message], vault: Vault, now: datetime, rng: random.Random
) -> tuple[list[Message], list[Refused]]:
    """Takes: messages as they travel. Gives: messages with their payloads in place.

    Verdicts: Dead PAYLOAD_GONE (the object has expired), MALFORMED_MESSAGE (not this tenant's), CREDENTIAL_UNREADABLE;
    Defer PAYLOAD_UNREACHABLE when the bucket does not answer.
    Why before admit: the payload is validated there.
    """
    whole: list[Message] = []
    refused: list[Refused] = []
    for message in messages:
        if BLOB not in message.payload:
            whole.append(message)
            continue
        fetched = _fetch(message, vault, rng)
        if isinstance(fetched, Message):
            whole.append(fetched)
        else:
            late = expired(message, now) if isinstance(fetched, Defer) else None
            refused.append(Refused(message.record, late or fetched, message))
    return whole, refused


def _fetch(message: Message, vault: Vault, rng: random.Random) -> Message | Dead | Defer:
    key, tenant = message.payload[BLOB], message.payload.get("tenantId")
    if not isinstance(key, str) or not isinstance(tenant, str):
        return Dead("MALFORMED_MESSAGE", f"{BLOB} and tenantId must be text")
    try:
        fields = vault.open(key, tenant)
    except KeyError:
        return Dead("PAYLOAD_GONE", "the offloaded payload is no longer in the bucket")
    except Permanent as error:
        return Dead(error.code, error.detail)
    except Exception as error:
        logger.warning("payload unreachable", extra={"job": message.job.id, "error": type(error).__name__})
        return Defer(hand_back_delay(message.record.receive_count, rng), "PAYLOAD_UNREACHABLE", type(error).__name__)
    return replace(message, payload={**fields, "tenantId": tenant}, blob=key)
