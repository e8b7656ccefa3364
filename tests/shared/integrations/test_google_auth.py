"""Google's tokens: the signed statement of a service account, and when a token counts as over."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from shared.integrations.google_auth import Token, _instant, _key_file, assertion
from shared.jobs import Permanent

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def pem(key: Any) -> str:
    text: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return text.decode()


def test_statement_of_a_service_account() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    file = {"client_email": "a@b.iam", "private_key": pem(key), "private_key_id": "k1", "token_uri": "https://evil/"}

    head, claims, _ = assertion(file, NOW).split(".")

    def opened(text: str) -> Any:
        return json.loads(base64.urlsafe_b64decode(text + "=="))

    assert opened(head) == {"alg": "RS256", "typ": "JWT", "kid": "k1"}
    assert opened(claims) == {
        "iss": "a@b.iam", "scope": "https://www.googleapis.com/auth/content",
        "aud": "https://oauth2.googleapis.com/token", "iat": 1795176000, "exp": 1795179600,
    }  # fmt: skip


@pytest.mark.parametrize("key", ["no key at all", pem(ec.generate_private_key(ec.SECP256R1()))], ids=["text", "curve"])
def test_key_that_cannot_sign(key: str) -> None:
    with pytest.raises(Permanent, match="GOOGLE_UNAUTHORIZED") as caught:
        assertion({"client_email": "a", "private_key": key, "private_key_id": "k"}, NOW)

    assert key not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"client_email": "a", "private_key": 1, "private_key_id": "k"}'])
def test_key_file_that_is_not_complete(text: str) -> None:
    with pytest.raises(Permanent, match="GOOGLE_UNAUTHORIZED"):
        _key_file(text)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-11-20T12:00:00.000Z", NOW),
        ("2026-11-20T12:00:00", NOW),
        (1795176000000, NOW),
        ("soon", None),
        (None, None),
    ],
)
def test_end_of_a_token_as_applications_write_it(written: Any, expected: datetime | None) -> None:
    assert _instant(written) == expected


@pytest.mark.parametrize(("seconds", "good"), [(301, True), (300, False), (0, False)])
def test_token_is_renewed_five_minutes_before_its_end(seconds: int, good: bool) -> None:
    from datetime import timedelta

    assert Token("t", NOW + timedelta(seconds=seconds)).good(NOW) is good
