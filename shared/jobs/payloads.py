"""Payloads in the ledger: sealed with the tenant as additional data, above a size in the bucket instead of the row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from shared.crypto import Keyring
from shared.jobs.uuids import uuid7

INLINE_MAX = 32 * 1024
"""Bytes of a sealed payload that still go into the row; a larger one goes to the bucket."""
KEEP_SUCCEEDED_DAYS = 7
KEEP_DEAD_DAYS = 30
PURPOSE = "ledger-payload"
BLOB_PREFIX = "payloads/"


class Blobs(Protocol):
    """Object storage of the platform, by key."""

    def put(self, key: str, data: bytes) -> None: ...
    def get(self, key: str) -> bytes:
        """KeyError when there is no such object."""


@dataclass(frozen=True, slots=True)
class SealedPayload:
    """What the row holds: the sealed bytes, or the key of the object that does."""

    body: bytes | None
    blob_key: str | None


def bytea(data: bytes) -> str:
    """Bytes as a JSON document carries them to a column of that type."""
    return "\\x" + data.hex()


def seal_payload(text: str, tenant: str, keyring: Keyring, blobs: Blobs) -> SealedPayload:
    """Seal a message body for the ledger."""
    sealed = keyring.seal(text.encode(), aad=tenant.encode(), purpose=PURPOSE)
    if len(sealed) <= INLINE_MAX:
        return SealedPayload(sealed, None)
    key = f"{BLOB_PREFIX}{tenant}/{uuid7()}"
    blobs.put(key, sealed)
    return SealedPayload(None, key)


def open_payload(sealed: SealedPayload, tenant: str, keyring: Keyring, blobs: Blobs) -> str:
    """The message body again; KeyError when the object has expired, Permanent CREDENTIAL_UNREADABLE for a lost key."""
    data = sealed.body if sealed.body is not None else blobs.get(sealed.blob_key or "")
    return keyring.open(bytes(data), aad=tenant.encode(), purpose=PURPOSE).decode()
