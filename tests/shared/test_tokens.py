"""Signed tokens and webhook signatures, against RFC 5869 and against what Node's crypto makes of the same input."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.crypto import MASTER_KEY, PREVIOUS_KEY, Keyring
from shared.tokens import (
    MAIL_UNSUBSCRIBE,
    REVIEW_LINK,
    TREASURY_ACTION,
    WEBHOOK_TOLERANCE_S,
    TokenExpired,
    TokenInvalid,
    TokenKind,
    hkdf_sha256,
    sign_token,
    sign_webhook,
    verify_token,
    verify_webhook,
)

KEY = "known-answer-master-key-0123456789"
RING = Keyring.single(KEY)
END = datetime.fromtimestamp(1_795_953_600, UTC)
NOW = END - timedelta(days=9)

# RFC 5869, appendix A, cases 1 to 3 (SHA-256): key material, salt, info, length, output.
RFC_5869: list[tuple[str, str, str, int, str]] = [
    (
        "0b" * 22,
        "000102030405060708090a0b0c",
        "f0f1f2f3f4f5f6f7f8f9",
        42,
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(0x50)).hex(),
        bytes(range(0x60, 0xB0)).hex(),
        bytes(range(0xB0, 0x100)).hex(),
        82,
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
        "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        "0b" * 22,
        "",
        "",
        42,
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]

# crypto.hkdfSync("sha256", KEY, "", info, 32), then createHmac("sha256", key) over the first part, both base64url.
KNOWN: list[tuple[TokenKind, dict[str, Any], str]] = [
    (
        MAIL_UNSUBSCRIBE,
        {"t": "acme", "h": "5d41402a", "c": "marketing", "r": "cus_1"},
        "eyJ0IjoiYWNtZSIsImgiOiI1ZDQxNDAyYSIsImMiOiJtYXJrZXRpbmciLCJyIjoiY3VzXzEifQ"
        ".LpF8eUQAkNqqAgENvfT6tBbo4Qi1rl5gU0CQympxtac",
    ),
    (
        TREASURY_ACTION,
        {"t": "acme", "r": "req-1", "a": "approve", "h": "ab12"},
        "eyJ0IjoiYWNtZSIsInIiOiJyZXEtMSIsImEiOiJhcHByb3ZlIiwiaCI6ImFiMTIiLCJ4IjoxNzk1OTUzNjAwfQ"
        ".rEsX6Tc_vImEFIDXf47tMDmf3VM-LMRfEoDBsCXrx_Y",
    ),
    (
        REVIEW_LINK,
        {"t": "acme", "o": "gid://shopify/Order/1", "q": "q-9"},
        "eyJ0IjoiYWNtZSIsIm8iOiJnaWQ6Ly9zaG9waWZ5L09yZGVyLzEiLCJxIjoicS05IiwiZSI6MTc5NTk1MzYwMH0"
        ".hjx_NBFKnoMMUrg9xr6IersVjChE-Ie2Wm25hJt5oz4",
    ),
]


@pytest.mark.parametrize(("secret", "salt", "info", "length", "expected"), RFC_5869, ids=["A.1", "A.2", "A.3"])
def test_hkdf_gives_the_rfc_s_answers(secret: str, salt: str, info: str, length: int, expected: str) -> None:
    found = hkdf_sha256(bytes.fromhex(secret), salt=bytes.fromhex(salt), info=bytes.fromhex(info), length=length)

    assert found.hex() == expected


@pytest.mark.parametrize("length", [0, 8161])
def test_hkdf_refuses_lengths_that_it_cannot_make(length: int) -> None:
    with pytest.raises(ValueError, match="length"):
        hkdf_sha256(b"k", info=b"i", length=length)


@pytest.mark.parametrize(("kind", "payload", "token"), KNOWN, ids=[kind.info for kind, _, _ in KNOWN])
def test_token_is_what_node_makes(kind: TokenKind, payload: dict[str, Any], token: str) -> None:
    ttl = None if kind.expiry is None else END - NOW

    assert sign_token(RING, kind, payload, now=NOW, ttl=ttl) == token
    ends = {} if kind.expiry is None else {kind.expiry: 1_795_953_600}
    assert verify_token(RING, kind, token, now=NOW) == payload | ends


@pytest.mark.parametrize(("kind", "payload", "token"), KNOWN[1:], ids=[kind.info for kind, _, _ in KNOWN[1:]])
@pytest.mark.parametrize(("late_s", "works"), [(-1, True), (0, False), (1, False)], ids=["before", "at", "after"])
def test_token_works_until_its_end(
    kind: TokenKind, payload: dict[str, Any], token: str, late_s: int, works: bool
) -> None:
    now = END + timedelta(seconds=late_s)
    if works:
        assert verify_token(RING, kind, token, now=now)["t"] == "acme"
    else:
        with pytest.raises(TokenExpired):
            verify_token(RING, kind, token, now=now)


def test_unsubscribe_link_never_ends() -> None:
    assert verify_token(RING, MAIL_UNSUBSCRIBE, KNOWN[0][2], now=END + timedelta(days=9_000))["r"] == "cus_1"


def _forged() -> list[Any]:
    token = KNOWN[1][2]
    first, signature = token.split(".")
    other = base64.urlsafe_b64encode(json.dumps({"t": "globex", "x": 9e9}).encode()).decode().rstrip("=")
    return [
        pytest.param(f"{other}.{signature}", id="another payload"),
        pytest.param(f"{first}.{signature[:-2]}AA", id="another signature"),
        pytest.param(f"{first}.", id="no signature"),
        pytest.param(first, id="one part"),
        pytest.param(f"{token}.x", id="three parts"),
        pytest.param(f"{first}.é", id="no base64"),
        pytest.param(f"{first}.{signature}=", id="padding"),
        pytest.param("", id="nothing"),
        pytest.param(KNOWN[2][2], id="another kind's token"),
        pytest.param(
            sign_token(Keyring.single("x" * 20), TREASURY_ACTION, {}, now=NOW, ttl=END - NOW), id="another key"
        ),
    ]


@pytest.mark.parametrize("token", _forged())
def test_token_that_we_did_not_sign_is_refused_without_saying_what_it_holds(token: str) -> None:
    with pytest.raises(TokenInvalid) as refused:
        verify_token(RING, TREASURY_ACTION, token, now=NOW)

    assert "globex" not in str(refused.value)
    assert refused.value.__context__ is None


def test_former_key_s_tokens_verify_while_the_key_is_changed() -> None:
    changing = Keyring.of({MASTER_KEY: "the-new-master-key-9876543210", PREVIOUS_KEY: KEY})
    changed = Keyring.of({MASTER_KEY: "the-new-master-key-9876543210"})
    new = sign_token(changing, REVIEW_LINK, {"t": "acme"}, now=NOW, ttl=timedelta(days=1))

    assert verify_token(changing, REVIEW_LINK, KNOWN[2][2], now=NOW)["q"] == "q-9"
    assert verify_token(changed, REVIEW_LINK, new, now=NOW)["t"] == "acme"
    with pytest.raises(TokenInvalid):
        verify_token(changed, REVIEW_LINK, KNOWN[2][2], now=NOW)


@pytest.mark.parametrize(
    ("kind", "ttl"), [(MAIL_UNSUBSCRIBE, timedelta(days=1)), (REVIEW_LINK, None)], ids=["never ends", "must end"]
)
def test_time_of_a_token_is_its_kind_s_matter(kind: TokenKind, ttl: timedelta | None) -> None:
    with pytest.raises(ValueError, match="tokens"):
        sign_token(RING, kind, {}, now=NOW, ttl=ttl)


BODY = '{"name":"Zoë"}'.encode()
AT = 1_795_176_000
SIGNED = f"t={AT},v1=2f762db0355aa595330403db508334ffb4ab822b0cf1a0cf198205521e0a310e"


def test_webhook_signature_is_what_node_makes() -> None:
    assert sign_webhook("whsec_known", BODY, AT) == SIGNED


@pytest.mark.parametrize(
    ("secret", "body", "header", "late_s", "fits"),
    [
        ("whsec_known", BODY, SIGNED, 0, True),
        ("whsec_known", BODY, SIGNED, WEBHOOK_TOLERANCE_S, True),
        ("whsec_known", BODY, SIGNED, WEBHOOK_TOLERANCE_S + 1, False),
        ("whsec_known", BODY, SIGNED, -WEBHOOK_TOLERANCE_S - 1, False),
        ("whsec_other", BODY, SIGNED, 0, False),
        ("whsec_known", BODY + b" ", SIGNED, 0, False),
        ("whsec_known", BODY, SIGNED.replace("t=1", "t=2"), 0, False),
        ("whsec_known", BODY, SIGNED.split(",")[0], 0, False),
        ("whsec_known", BODY, "t=²,v1=é", 0, False),
        ("whsec_known", BODY, "", 0, False),
    ],
    ids=[
        "as sent",
        "at the edge",
        "too old",
        "from the future",
        "another secret",
        "another body",
        "another time",
        "no signature",
        "no digits",
        "nothing",
    ],
)
def test_webhook_s_signature_fits_only_what_was_signed(
    secret: str, body: bytes, header: str, late_s: int, fits: bool
) -> None:
    now = datetime.fromtimestamp(AT + late_s, UTC)

    assert verify_webhook(secret, body, header, now=now) is fits
