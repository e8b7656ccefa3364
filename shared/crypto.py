"""Encryption at rest, in two formats.

The platform's format, read and written for columns that the applications share:

    text = hex(salt 16) ":" hex(iv 16) ":" hex(tag 16) ":" hex(ciphertext)
    key  = PBKDF2-HMAC-SHA256(passphrase as UTF-8, salt, 100,000 rounds, 32 bytes);  AES-256-GCM, no additional data

Our own envelope, for what only the jobs read (payloads, task tokens, sealed mails):

    bytes = 0x01 | length of key id (1) | key id (ASCII) | nonce (12) | ciphertext | tag (16)
    key   = HKDF-SHA256(passphrase as UTF-8, salt empty, info "cgk-jobs/v1/<purpose>", 32 bytes);  AES-256-GCM
    additional data = header (version, length, key id) | caller's `aad`, normally the tenant

The header is authenticated, so that neither version nor key id can be swapped. The key id allows rotation: seal with
the current key, open with any. A random 12-byte nonce is safe for 2^32 messages per key (NIST SP 800-38D, 8.3).

Everything that cannot be read (wrong key, tampered, cut, another format) is Permanent CREDENTIAL_UNREADABLE; neither
the text nor the key ever reaches the error.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from shared.jobs.errors import Permanent

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PBKDF2_ROUNDS = 100_000
"""The platform's number of rounds; one derivation takes tens of milliseconds, hence the cache."""
KEY_BYTES = 32
SALT_BYTES = 16
PLATFORM_IV_BYTES = 16
TAG_BYTES = 16
NONCE_BYTES = 12
VERSION = 1
"""First byte of the envelope."""
UNREADABLE = "CREDENTIAL_UNREADABLE"
"""Code of what no key opens."""
MASTER_KEY = "INTEGRATION_ENCRYPTION_KEY"
"""Name of the platform secret from which all keys are derived."""
PREVIOUS_KEY = "INTEGRATION_ENCRYPTION_KEY_PREVIOUS"
"""Name of the same before a rotation, until everything is sealed anew."""

_PLATFORM = re.compile(r"([0-9a-f]{32}):([0-9a-f]{32}):([0-9a-f]{32}):((?:[0-9a-f]{2})*)", re.IGNORECASE)
_KEY_ID = re.compile(r"[a-z0-9-]{1,32}")
_PURPOSE = re.compile(r"[a-z][a-z0-9-]{0,62}")


# -- the platform's format -------------------------------------------------------------------------------------------


def decrypt_platform(text: str, passphrase: str) -> str:
    """Plain text of a `salt:iv:authTag:ciphertext` value. Raises Permanent CREDENTIAL_UNREADABLE."""
    match = _PLATFORM.fullmatch(text)
    if match is None:
        raise unreadable("not of the form salt:iv:authTag:ciphertext in hex")
    salt, iv, tag, ciphertext = (bytes.fromhex(part) for part in match.groups())
    plain = _open(_platform_cipher(passphrase, salt), iv, ciphertext + tag, b"")
    try:
        return plain.decode()
    except UnicodeDecodeError:
        pass  # raised below, apart from the error that carries the bytes
    raise unreadable("not UTF-8 text")


def encrypt_platform(text: str, passphrase: str) -> str:
    """`salt:iv:authTag:ciphertext` of a text, with a fresh salt and iv: as the applications write it."""
    salt, iv = os.urandom(SALT_BYTES), os.urandom(PLATFORM_IV_BYTES)
    sealed = _platform_cipher(passphrase, salt).encrypt(iv, text.encode(), None)
    ciphertext, tag = sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]
    return ":".join(part.hex() for part in (salt, iv, tag, ciphertext))


# 4,096 values of tenants per process: enough for every connection of a thousand tenants, about 2 MB.
_platform_ciphers: dict[tuple[str, bytes], AESGCM] = {}
MAX_PLATFORM_CIPHERS = 4096


def _platform_cipher(passphrase: str, salt: bytes) -> AESGCM:
    """Cipher of (key id, salt), kept: 100,000 rounds per read would cost more than the job. First in, first out."""
    slot = (key_id_of(passphrase), salt)
    cipher = _platform_ciphers.get(slot)
    if cipher is None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 60 ms: only who decrypts pays

        derived = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, PBKDF2_ROUNDS, KEY_BYTES)
        cipher = AESGCM(derived)
        while len(_platform_ciphers) >= MAX_PLATFORM_CIPHERS:
            _platform_ciphers.pop(next(iter(_platform_ciphers)), None)
        _platform_ciphers[slot] = cipher
    return cipher


@lru_cache(maxsize=16)
def key_id_of(passphrase: str) -> str:
    """A name for a passphrase that does not give it away: 16 hex digits of a domain-separated SHA-256."""
    return hashlib.sha256(b"cgk-jobs/key-id/" + passphrase.encode()).hexdigest()[:16]


# -- our own envelope ------------------------------------------------------------------------------------------------


class Keyring:
    """Master passphrases by key id, and the id of the one that seals. Derived keys are kept per (key id, purpose).

    `purpose` separates uses ("payload", "task-token", "mail"): what is sealed for one cannot be opened as another.
    `aad` binds the value to its owner, normally the tenant's id: copied to another tenant's row it is unreadable.
    """

    def __init__(self, master: Mapping[str, str], current: str) -> None:
        if current not in master:
            raise ValueError(f"the current key id {current!r} is not among the keys")
        for key_id, passphrase in master.items():
            if not _KEY_ID.fullmatch(key_id):
                raise ValueError(f"key id {key_id!r}: 1 to 32 of a-z, 0-9 and -")
            if not passphrase:
                raise ValueError(f"the passphrase of key {key_id!r} is empty")
        self._master = dict(master)
        self._current = current
        self._ciphers: dict[tuple[str, str], AESGCM] = {}

    @classmethod
    def single(cls, passphrase: str) -> Keyring:
        """A ring of one key named by `key_id_of`."""
        key_id = key_id_of(passphrase)
        return cls({key_id: passphrase}, key_id)

    @classmethod
    def of(cls, secrets: Mapping[str, str]) -> Keyring:
        """The ring of the platform's secrets: the current key, and during a rotation the previous one, which still
        opens what was sealed with it."""
        current, previous = secrets[MASTER_KEY], secrets.get(PREVIOUS_KEY)
        keys = {key_id_of(key): key for key in (previous, current) if key}
        return cls(keys, key_id_of(current))

    @property
    def header(self) -> bytes:
        """How every envelope of the current key begins."""
        return bytes((VERSION, len(self._current))) + self._current.encode()

    @property
    def passphrases(self) -> tuple[str, ...]:
        """All master passphrases, the current one first: for what is derived or opened outside of this class."""
        others = (key for id, key in self._master.items() if id != self._current)
        return (self._master[self._current], *others)

    def __repr__(self) -> str:
        return f"Keyring(keys={sorted(self._master)}, current={self._current!r})"

    @property
    def current(self) -> str:
        """Id of the key that seals."""
        return self._current

    def seal(self, data: bytes, *, aad: bytes, purpose: str) -> bytes:
        """The envelope of `data` under the current key; len(data) + 30 + len(key id) bytes."""
        header = self.header
        nonce = os.urandom(NONCE_BYTES)
        return header + nonce + self._cipher(self._current, purpose).encrypt(nonce, data, header + aad)

    def open(self, sealed: bytes, *, aad: bytes, purpose: str) -> bytes:
        """What was sealed with the same aad and purpose. Raises Permanent CREDENTIAL_UNREADABLE."""
        key_id, body = _split(sealed)
        if key_id not in self._master:
            raise unreadable("the key it was sealed with is not among the keys")
        header, nonce = sealed[: 2 + len(key_id)], sealed[body - NONCE_BYTES : body]
        return _open(self._cipher(key_id, purpose), nonce, sealed[body:], header + aad)

    def key_of(self, sealed: bytes) -> str:
        """Id of the key an envelope was sealed with, for rotation. Raises Permanent CREDENTIAL_UNREADABLE."""
        return _split(sealed)[0]

    def _cipher(self, key_id: str, purpose: str) -> AESGCM:
        cipher = self._ciphers.get((key_id, purpose))
        if cipher is None:
            cipher = self._ciphers[key_id, purpose] = self._derive(key_id, purpose)
        return cipher

    def _derive(self, key_id: str, purpose: str) -> AESGCM:
        """Bounded by the purposes in the code: a purpose is a constant, never data (hence the check of its form)."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        if not _PURPOSE.fullmatch(purpose):
            raise ValueError(f"purpose {purpose!r}: lower-case kebab, at most 63 characters")
        info = f"cgk-jobs/v{VERSION}/{purpose}".encode()
        hkdf = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=info)
        return AESGCM(hkdf.derive(self._master[key_id].encode()))


def _split(sealed: bytes) -> tuple[str, int]:
    """Key id of an envelope and the position of its ciphertext."""
    if len(sealed) < 2 or sealed[0] != VERSION:
        raise unreadable("not an envelope of a known version")
    body = 2 + sealed[1] + NONCE_BYTES
    if len(sealed) < body + TAG_BYTES:
        raise unreadable("the envelope is cut")
    return sealed[2 : 2 + sealed[1]].decode("ascii", "replace"), body


def _open(cipher: AESGCM, nonce: bytes, sealed: bytes, aad: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag

    try:
        return cipher.decrypt(nonce, sealed, aad)
    except InvalidTag:
        pass  # raised below without context
    raise unreadable("wrong key, wrong owner, or tampered with")


def unreadable(why: str) -> Permanent:
    """The one error of this module; `why` never holds a part of the value."""
    return Permanent(UNREADABLE, why)
