"""Both formats against known answers of another implementation, and everything that must not be readable.

The vectors were made with Node's crypto: `node tests/vectors/make_vectors.mjs` prints them again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from shared import crypto
from shared.crypto import Keyring, decrypt_platform, encrypt_platform, key_id_of
from shared.jobs.errors import Permanent

PASSPHRASE = "corréct horse battery staple 2026"
KEY_ID = "2026-11"

PLATFORM = [
    # (plain text, what Node wrote)
    (
        "shpat_0123456789abcdef0123456789abcdef",
        "000102030405060708090a0b0c0d0e0f:c8c9cacbcccdcecfd0d1d2d3d4d5d6d7:c073cf36b1e2de3b43045e8750e675dd:"
        "81d6a9993373d251017fd17d7e36a9e9481ca3a7e861e837e836a4d2c69a62b1b33977f227df",
    ),
    (
        "Größe 12 € ✓",
        "101112131415161718191a1b1c1d1e1f:c9cacbcccdcecfd0d1d2d3d4d5d6d7d8:3d955155b7a52dd31651485179769521:"
        "9208d112d9074e8d914a1eedc9a973b534c7",
    ),
    ("", "202122232425262728292a2b2c2d2e2f:cacbcccdcecfd0d1d2d3d4d5d6d7d8d9:51697c2af89d30e2a5637a58422fba5f:"),
]

ENVELOPES = [
    # (purpose, additional data, data, nonce in hex, what Node wrote in hex)
    (
        "payload",
        "acme",
        '{"orderId":"1001"}',
        "6465666768696a6b6c6d6e6f",
        "0107323032362d31316465666768696a6b6c6d6e6f"
        "0c13f41253c713b96d4340feb356d8dec9670b9d0d0ed19765f627bf83487228d055",
    ),
    (
        "task-token",
        "acme",
        "AAAAKgAAAAIAAAAA",
        "65666768696a6b6c6d6e6f70",
        "0107323032362d313165666768696a6b6c6d6e6f7011045b635a0316b2edd6256a3ed568ec35d42ab560c069cda545224f51236416",
    ),
    (
        "payload",
        "globex",
        "",
        "666768696a6b6c6d6e6f7071",
        "0107323032362d3131666768696a6b6c6d6e6f7071512663e01dc658c43dcae227b5a869f3",
    ),
]


@pytest.fixture
def ring() -> Keyring:
    return Keyring({KEY_ID: PASSPHRASE}, KEY_ID)


@pytest.fixture
def random_is(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the next random bytes known, so that what we write can be compared with what Node wrote."""

    def fix(*values: bytes) -> None:
        left = list(values)
        monkeypatch.setattr(os, "urandom", lambda length: left.pop(0))

    return fix


# -- known answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "sealed"), PLATFORM, ids=["token", "beyond ASCII", "empty"])
def test_what_node_wrote_is_read(text: str, sealed: str) -> None:
    assert decrypt_platform(sealed, PASSPHRASE) == text
    assert decrypt_platform(sealed.upper(), PASSPHRASE) == text


@pytest.mark.parametrize(("text", "sealed"), PLATFORM, ids=["token", "beyond ASCII", "empty"])
def test_we_write_what_node_writes(text: str, sealed: str, random_is: Callable[..., None]) -> None:
    salt, iv = (bytes.fromhex(part) for part in sealed.split(":")[:2])
    random_is(salt, iv)

    assert encrypt_platform(text, PASSPHRASE) == sealed


@pytest.mark.parametrize(("purpose", "aad", "data", "nonce", "sealed"), ENVELOPES)
def test_envelopes_of_node_are_opened(
    ring: Keyring, purpose: str, aad: str, data: str, nonce: str, sealed: str
) -> None:
    assert ring.open(bytes.fromhex(sealed), aad=aad.encode(), purpose=purpose) == data.encode()


@pytest.mark.parametrize(("purpose", "aad", "data", "nonce", "sealed"), ENVELOPES)
def test_our_envelopes_are_nodes(
    ring: Keyring, random_is: Callable[..., None], purpose: str, aad: str, data: str, nonce: str, sealed: str
) -> None:
    random_is(bytes.fromhex(nonce))

    assert ring.seal(data.encode(), aad=aad.encode(), purpose=purpose).hex() == sealed


def test_node_still_gives_these_vectors() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not on the PATH")
    script = Path(__file__).parents[1] / "vectors" / "make_vectors.mjs"

    made = json.loads(subprocess.run([node, script], capture_output=True, check=True, timeout=60).stdout)

    assert made["passphrase"] == PASSPHRASE
    assert [(v["text"], v["sealed"]) for v in made["platform"]] == PLATFORM
    assert [(v["purpose"], v["aad"], v["data"], v["nonce"], v["sealed"]) for v in made["envelopes"]] == ENVELOPES


# -- the platform's format -------------------------------------------------------------------------------------------


def test_every_value_has_a_salt_of_its_own() -> None:
    one, two = (encrypt_platform("same", PASSPHRASE) for _ in range(2))

    assert one.split(":")[0] != two.split(":")[0]
    assert decrypt_platform(one, PASSPHRASE) == decrypt_platform(two, PASSPHRASE) == "same"


TOKEN = PLATFORM[0][1]


@pytest.mark.parametrize(
    ("text", "passphrase"),
    [
        (TOKEN, "another passphrase"),
        (TOKEN[:-1] + ("0" if TOKEN[-1] != "0" else "1"), PASSPHRASE),
        (TOKEN.replace(":c073", ":c074"), PASSPHRASE),
        (TOKEN[:-2], PASSPHRASE),
        (TOKEN.replace(":", ";"), PASSPHRASE),
        ("shpat_plain_text_of_an_old_row", PASSPHRASE),
        ("", PASSPHRASE),
        (TOKEN + "\n", PASSPHRASE),
    ],
    ids=["wrong key", "ciphertext", "tag", "cut", "form", "plain text", "empty", "line break"],
)
def test_unreadable_values_say_nothing(text: str, passphrase: str) -> None:
    with pytest.raises(Permanent, match="CREDENTIAL_UNREADABLE") as caught:
        decrypt_platform(text, passphrase)

    shown = repr(caught.value)
    assert not text or text.strip() not in shown
    assert passphrase not in shown
    assert caught.value.__context__ is None


def test_bytes_that_are_no_text_are_unreadable(random_is: Callable[..., None]) -> None:
    salt, iv = bytes(16), bytes(16)
    sealed = crypto._platform_cipher(PASSPHRASE, salt).encrypt(iv, b"\xff\xfe secret", None)
    text = ":".join(part.hex() for part in (salt, iv, sealed[-16:], sealed[:-16]))

    with pytest.raises(Permanent, match="not UTF-8") as caught:
        decrypt_platform(text, PASSPHRASE)

    assert caught.value.__context__ is None


def test_the_cache_of_derived_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crypto, "MAX_PLATFORM_CIPHERS", 3)
    monkeypatch.setattr(crypto, "PBKDF2_ROUNDS", 1)
    monkeypatch.setattr(crypto, "_platform_ciphers", {})

    values = [encrypt_platform(str(n), PASSPHRASE) for n in range(5)]

    assert len(crypto._platform_ciphers) == 3
    assert [decrypt_platform(value, PASSPHRASE) for value in values] == ["0", "1", "2", "3", "4"]
    assert len(crypto._platform_ciphers) == 3


# -- the envelope ----------------------------------------------------------------------------------------------------


def test_a_value_opens_only_for_its_owner_and_purpose(ring: Keyring) -> None:
    sealed = ring.seal(b"secret", aad=b"acme", purpose="payload")

    assert ring.open(sealed, aad=b"acme", purpose="payload") == b"secret"
    for aad, purpose in ((b"globex", "payload"), (b"acme", "mail"), (b"", "payload")):
        with pytest.raises(Permanent, match="CREDENTIAL_UNREADABLE"):
            ring.open(sealed, aad=aad, purpose=purpose)


def test_a_change_of_any_byte_is_seen(ring: Keyring) -> None:
    sealed = ring.seal(b"secret", aad=b"acme", purpose="payload")

    for place in range(len(sealed)):
        forged = bytearray(sealed)
        forged[place] ^= 1
        with pytest.raises(Permanent, match="CREDENTIAL_UNREADABLE"):
            ring.open(bytes(forged), aad=b"acme", purpose="payload")


def test_a_cut_value_is_unreadable(ring: Keyring) -> None:
    sealed = ring.seal(b"secret", aad=b"acme", purpose="payload")

    for length in range(len(sealed)):
        with pytest.raises(Permanent, match="CREDENTIAL_UNREADABLE"):
            ring.open(sealed[:length], aad=b"acme", purpose="payload")


def test_rotation_seals_with_the_new_key_and_opens_with_both() -> None:
    old = Keyring({"k1": "first"}, "k1")
    both = Keyring({"k1": "first", "k2": "second"}, "k2")
    before = old.seal(b"x", aad=b"acme", purpose="payload")

    after = both.seal(both.open(before, aad=b"acme", purpose="payload"), aad=b"acme", purpose="payload")

    assert (both.key_of(before), both.key_of(after)) == ("k1", "k2")
    assert both.open(after, aad=b"acme", purpose="payload") == b"x"
    with pytest.raises(Permanent, match="not among the keys"):
        old.open(after, aad=b"acme", purpose="payload")


def test_a_swapped_key_id_is_seen() -> None:
    ring = Keyring({"k1": "same", "k2": "same"}, "k1")
    sealed = ring.seal(b"x", aad=b"acme", purpose="payload")

    with pytest.raises(Permanent, match="CREDENTIAL_UNREADABLE"):
        ring.open(sealed.replace(b"k1", b"k2", 1), aad=b"acme", purpose="payload")


@pytest.mark.parametrize(
    ("master", "current", "why"),
    [
        ({}, "k1", "not among"),
        ({"k1": ""}, "k1", "empty"),
        ({"K 1": "x"}, "K 1", "key id"),
        ({"k" * 33: "x"}, "k" * 33, "key id"),
    ],
)
def test_a_ring_that_cannot_work_is_refused(master: dict[str, str], current: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Keyring(master, current)


def test_a_purpose_is_a_constant_in_kebab(ring: Keyring) -> None:
    with pytest.raises(ValueError, match="purpose"):
        ring.seal(b"x", aad=b"", purpose="Order 1001")


def test_no_passphrase_is_shown() -> None:
    ring = Keyring.single(PASSPHRASE)

    assert PASSPHRASE not in repr(ring)
    assert ring.current == key_id_of(PASSPHRASE)
    assert len(ring.current) == 16
    assert PASSPHRASE not in repr(vars(crypto).get("_platform_ciphers"))
