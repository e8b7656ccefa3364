"""Signed tokens for links in mails, and the signature of our webhooks.

    token      = base64url(JSON) "." base64url(HMAC-SHA256(key, first part as it stands))         no padding
    key        = HKDF-SHA256(master key as UTF-8, salt empty, info of the kind, 32 bytes)         RFC 5869
    webhook    = "t=" Unix seconds ",v1=" hex HMAC-SHA256(secret, t "." body)

The applications check tokens with the same key; in Node: crypto.hkdfSync("sha256", key, "", info, 32). A token says
what it holds to everybody who has it: no address, no name goes into one. During a rotation of the master key the
former one still verifies.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.crypto import Keyring
from shared.jobs.errors import Permanent

KEY_BYTES = 32
WEBHOOK_TOLERANCE_S = 300
"""Seconds between a webhook's stamp and its check: a recorded one cannot be played back for ever."""


@dataclass(frozen=True, slots=True)
class TokenKind:
    """What a token is for. `info` separates the keys; `expiry`: the member that holds the Unix second of its end."""

    info: str
    expiry: str | None


MAIL_UNSUBSCRIBE = TokenKind("mail-unsubscribe:v1", None)
"""An unsubscribe link works as long as the mail is kept."""
TREASURY_ACTION = TokenKind("treasury-action:v1", "x")
REVIEW_LINK = TokenKind("review-link:v1", "e")


class TokenInvalid(Permanent):
    """Not a token of this kind, or not signed by us."""

    def __init__(self, detail: str) -> None:
        super().__init__("TOKEN_INVALID", detail)


class TokenExpired(Permanent):
    """Signed by us, and too old."""

    def __init__(self) -> None:
        super().__init__("TOKEN_EXPIRED", "the token's time is over")


def sign_token(
    keyring: Keyring, kind: TokenKind, payload: Mapping[str, Any], *, now: datetime, ttl: timedelta | None = None
) -> str:
    """A token that holds `payload` (JSON); `ttl` from `now` for kinds that end, None for those that do not."""
    if (kind.expiry is None) != (ttl is None):
        raise ValueError(f"tokens {kind.info} {'never end' if kind.expiry is None else 'need a ttl'}")
    members = dict(payload)
    if kind.expiry is not None and ttl is not None:
        members[kind.expiry] = math.ceil((now + ttl).timestamp())
    first = _encode(json.dumps(members, separators=(",", ":"), ensure_ascii=False).encode())
    return f"{first}.{_encode(_mac(keyring.passphrases[0], kind, first))}"


def verify_token(keyring: Keyring, kind: TokenKind, token: str, *, now: datetime) -> dict[str, Any]:
    """What a token holds. Raises TokenInvalid, TokenExpired."""
    first, _, signature = token.partition(".")
    # Every key is tried whatever the former one gave: the time says nothing about which one signed.
    matches = [_same(_encode(_mac(key, kind, first)), signature) for key in keyring.passphrases]
    if not any(matches):
        raise TokenInvalid("the signature does not fit")
    payload: dict[str, Any] = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    if kind.expiry is not None and not now.timestamp() < payload.get(kind.expiry, 0):
        raise TokenExpired
    return payload


def hkdf_sha256(secret: bytes, *, info: bytes, length: int = KEY_BYTES, salt: bytes = b"") -> bytes:
    """RFC 5869 with SHA-256: extract with `salt` (empty stands for 32 zero bytes), expand to `length` bytes.

    Of the standard library's parts, because a function that only signs need not load OpenSSL's bindings.
    """
    if not 0 < length <= 255 * hashlib.sha256().digest_size:
        raise ValueError(f"length={length} is not within 1..8160")
    extracted = hmac.digest(salt or bytes(32), secret, "sha256")
    block, expanded = b"", b""
    for counter in range(1, math.ceil(length / 32) + 1):
        block = hmac.digest(extracted, block + info + bytes((counter,)), "sha256")
        expanded += block
    return expanded[:length]


def sign_webhook(secret: str, body: bytes, at: int) -> str:
    """The signature header of `body` at `at` (Unix seconds)."""
    return f"t={at},v1={_webhook_mac(secret, body, at)}"


def verify_webhook(secret: str, body: bytes, header: str, *, now: datetime) -> bool:
    """Whether a header signs this body with this secret, at most WEBHOOK_TOLERANCE_S from `now`."""
    parts = dict(part.partition("=")[::2] for part in header.split(","))
    stamp = parts.get("t", "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        return False
    at = int(stamp)
    fits = _same(_webhook_mac(secret, body, at), parts.get("v1", ""))
    return fits and abs(now.timestamp() - at) <= WEBHOOK_TOLERANCE_S


def _webhook_mac(secret: str, body: bytes, at: int) -> str:
    return hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


def _mac(passphrase: str, kind: TokenKind, first: str) -> bytes:
    key = hkdf_sha256(passphrase.encode(), info=kind.info.encode())
    return hmac.digest(key, first.encode("utf-8", "replace"), "sha256")


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _same(ours: str, given: str) -> bool:
    """Compared in a time that does not depend on where they differ."""
    return hmac.compare_digest(ours.encode(), given.encode("utf-8", "replace"))
