"""The forms in which the applications keep the tenants' secrets, read and written back in the form they had.

    platform  salt:iv:authTag:ciphertext in hex, under INTEGRATION_ENCRYPTION_KEY or the provider's own key
    drive     base64(iv 12 | tag 16 | ciphertext), AES-256-GCM under DAM_TOKEN_ENCRYPTION_KEY (64 hex or 44 base64
              characters)
    plain     rows of old; written back in the platform's form

The applications read the same columns, so a value goes back under the key that opened it. Only what the previous
master key opened goes back under the current one: during that change all sides know both.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from shared.crypto import MASTER_KEY, PREVIOUS_KEY, decrypt_platform, encrypt_platform, unreadable
from shared.jobs.errors import Permanent

DRIVE_KEY = "DAM_TOKEN_ENCRYPTION_KEY"
PROVIDER_KEYS = {
    "meta": "META_ENCRYPTION_KEY",
    "google_ads": "GOOGLE_ADS_ENCRYPTION_KEY",
    "tiktok": "TIKTOK_ENCRYPTION_KEY",
}
"""Secrets that take the master key's place for a provider, where they are configured."""
IV_BYTES = 12
TAG_BYTES = 16

Form = Literal["platform", "drive", "plain"]
Secret = Callable[[str], str | None]
"""A platform secret by its name, None when it is not configured."""

_PLATFORM = re.compile(r"[0-9a-f]{32}:[0-9a-f]{32}:[0-9a-f]{32}:[0-9a-f]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Stored:
    """A secret as it was read: what it is, and how it goes back."""

    value: str = field(repr=False)
    form: Form
    key: str
    """Name of the platform secret that it goes back under."""


def read_stored(
    text: str, secret: Secret, *, provider: str | None = None, form: Literal["drive", "plain"] | None = None
) -> Stored:
    """The secret in a column's text.

    `provider`: whose own key is tried first. `form`: what else the column may hold beside the platform's form. Raises
    Permanent CREDENTIAL_UNREADABLE, without a part of the value.
    """
    if _PLATFORM.fullmatch(text):
        return _read_platform(text, secret, PROVIDER_KEYS.get(provider or ""))
    if form == "drive":
        return Stored(_open_drive(text, secret(DRIVE_KEY)), "drive", DRIVE_KEY)
    if form == "plain" and text:
        return Stored(text, "plain", MASTER_KEY)
    raise unreadable("not of a form that this column holds")


def write_stored(value: str, like: Stored, secret: Secret) -> str:
    """The column's text for a new value of a secret that was read as `like`."""
    key = secret(like.key)
    if not key:
        raise unreadable(f"{like.key} is not configured")
    return _seal_drive(value, key) if like.form == "drive" else encrypt_platform(value, key)


def _read_platform(text: str, secret: Secret, own: str | None) -> Stored:
    for name in (own, MASTER_KEY, PREVIOUS_KEY):
        key = secret(name) if name else None
        if not name or not key:
            continue
        try:
            return Stored(decrypt_platform(text, key), "platform", MASTER_KEY if name == PREVIOUS_KEY else name)
        except Permanent:
            continue
    raise unreadable("no configured key opens it")


def _open_drive(text: str, key: str | None) -> str:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        data = base64.b64decode(text, validate=True)
        if len(data) < IV_BYTES + TAG_BYTES:
            raise ValueError("cut")
        iv, tag, sealed = data[:IV_BYTES], data[IV_BYTES : IV_BYTES + TAG_BYTES], data[IV_BYTES + TAG_BYTES :]
        return AESGCM(_drive_key(key)).decrypt(iv, sealed + tag, None).decode()
    except (binascii.Error, ValueError, InvalidTag):
        pass  # raised below, apart from the error that may carry a part of it
    raise unreadable(f"{DRIVE_KEY} does not open it")


def _seal_drive(value: str, key: str) -> str:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    iv = os.urandom(IV_BYTES)
    sealed = AESGCM(_drive_key(key)).encrypt(iv, value.encode(), None)
    return base64.b64encode(iv + sealed[-TAG_BYTES:] + sealed[:-TAG_BYTES]).decode()


def _drive_key(text: str | None) -> bytes:
    """32 bytes from 64 hex or 44 base64 characters."""
    if text is not None and re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    if text is not None and len(text) == 44 and len(key := base64.b64decode(text, validate=True)) == 32:
        return key
    raise unreadable(f"{DRIVE_KEY} must be 64 hex or 44 base64 characters")
