"""Access tokens of Google's OAuth 2.0 for a tenant's credentials.

developers.google.com/identity/protocols/oauth2/web-server (refresh token) and /service-account (RFC 7523: a JWT signed
with the account's key, RS256), looked at 2026-11. A token lasts an hour and is renewed five minutes before its end. One
that a refresh token gave is written back to the row it came from, in the platform's format, unless an application has
connected anew meanwhile; one of a service account is only remembered in the process.

    Permanent  GOOGLE_UNAUTHORIZED        invalid_grant, invalid_client: the tenant must connect again
    Permanent  CREDENTIAL_UNREADABLE      no key opens what is stored
    Transient  GOOGLE_OAUTH_UNAVAILABLE, GOOGLE_OAUTH_TIMEOUT, GOOGLE_OAUTH_ANSWER_UNREADABLE
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from psycopg.types.json import Jsonb

from shared.crypto import MASTER_KEY, encrypt_platform
from shared.integrations.credentials import decrypt
from shared.jobs.context import JobContext
from shared.jobs.errors import Permanent, Transient

VENDOR = "google-oauth"
BASE_URL = "https://oauth2.googleapis.com"
SETTING_BASE_URL = "GOOGLE_OAUTH_BASE_URL"
SCOPE = "https://www.googleapis.com/auth/content"
RENEW_BEFORE = timedelta(minutes=5)
ASSERTION_LIFE = timedelta(hours=1)
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
UNAUTHORIZED = "GOOGLE_UNAUTHORIZED"
TIMEOUT_S = 10.0
MAX_REMEMBERED = 256
"""Tokens of service accounts kept in one process."""

_SEALED = re.compile(r"[0-9a-f]{32}:[0-9a-f]{32}:[0-9a-f]{32}:[0-9a-f]*", re.IGNORECASE)
_remembered: dict[tuple[str, str], Token] = {}

STORE = """
-- google auth: a renewed access token, unless somebody has connected anew
UPDATE google_feed_settings SET api_credentials = api_credentials || %(renewed)s
WHERE id = %(id)s AND api_credentials ->> 'refreshToken' = %(used)s
"""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and when it ends."""

    text: str = field(repr=False)
    expires_at: datetime

    def good(self, now: datetime) -> bool:
        """Whether it lasts long enough to be used."""
        return self.expires_at - now > RENEW_BEFORE


def access_token(
    ctx: JobContext, settings_id: UUID, credentials: Mapping[str, Any] | None, *, anew: bool = False
) -> str:
    """An access token for google_feed_settings.api_credentials. `anew`: the one we have was refused.

    No session may be open. Raises what the module's docstring lists.
    """
    held = credentials or {}
    if held.get("serviceAccount"):
        return _of_service_account(ctx, str(settings_id), held["serviceAccount"], anew=anew)
    if not held.get("refreshToken"):
        raise Permanent(UNAUTHORIZED, "there is neither a refresh token nor a service account")
    expires_at = _instant(held.get("expiresAt"))
    if not anew and held.get("accessToken") and expires_at is not None:
        token = Token(_opened(ctx, held["accessToken"]), expires_at)
        if token.good(ctx.now()):
            return token.text
    fields = {
        "grant_type": "refresh_token",
        "refresh_token": _opened(ctx, held["refreshToken"]),
        "client_id": _opened(ctx, held.get("clientId") or ""),
        "client_secret": _opened(ctx, held.get("clientSecret") or ""),
    }
    token = _exchange(ctx, fields)
    _store(ctx, settings_id, str(held["refreshToken"]), token)
    return token.text


def _store(ctx: JobContext, settings_id: UUID, used: str, token: Token) -> None:
    sealed = encrypt_platform(token.text, ctx.secret(MASTER_KEY))
    renewed = Jsonb({"accessToken": sealed, "expiresAt": token.expires_at.isoformat()})
    with ctx.tenant_session() as session:
        session.execute(STORE, {"id": settings_id, "used": used, "renewed": renewed})


def _of_service_account(ctx: JobContext, owner: str, stored: Any, *, anew: bool) -> str:
    key = _key_file(_opened(ctx, stored) if isinstance(stored, str) else json.dumps(stored))
    slot = (owner, str(key["private_key_id"]))
    token = _remembered.get(slot)
    if anew or token is None or not token.good(ctx.now()):
        token = _exchange(ctx, {"grant_type": JWT_GRANT, "assertion": assertion(key, ctx.now())})
        while len(_remembered) >= MAX_REMEMBERED:
            _remembered.pop(next(iter(_remembered)), None)
        _remembered[slot] = token
    return token.text


def assertion(key: Mapping[str, str], now: datetime) -> str:
    """The signed JWT of a service account. `key`: client_email, private_key (PEM), private_key_id.

    Its audience is Google's own token address, whatever the key file names: a file from outside must not choose whom we
    send a signed statement to.
    """
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    issued = int(now.timestamp())
    head = {"alg": "RS256", "typ": "JWT", "kid": key["private_key_id"]}
    claims = {
        "iss": key["client_email"],
        "scope": SCOPE,
        "aud": f"{BASE_URL}/token",
        "iat": issued,
        "exp": issued + int(ASSERTION_LIFE.total_seconds()),
    }
    signed = f"{_base64url(json.dumps(head).encode())}.{_base64url(json.dumps(claims).encode())}"
    try:
        private = load_pem_private_key(key["private_key"].encode(), password=None)
    except (ValueError, TypeError):
        private = None  # raised below, apart from the error that may quote the key
    if not isinstance(private, RSAPrivateKey):
        raise Permanent(UNAUTHORIZED, "the service account's private key is no RSA key")
    return f"{signed}.{_base64url(private.sign(signed.encode(), PKCS1v15(), SHA256()))}"


def _exchange(ctx: JobContext, fields: Mapping[str, str]) -> Token:
    base = ctx.setting(SETTING_BASE_URL) or BASE_URL
    answer = ctx.http.request(
        "POST",
        f"{base}/token",
        vendor=VENDOR,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        body=urlencode(fields).encode(),
        timeout_s=TIMEOUT_S,
        ok=(400, 401),
    )
    said = answer.json()
    if answer.status in (400, 401):
        word = str(said.get("error") or "") if isinstance(said, dict) else ""
        raise Permanent(UNAUTHORIZED, word if re.fullmatch(r"[a-z_]{1,40}", word) else f"status {answer.status}")
    text = said.get("access_token") if isinstance(said, dict) else None
    if not isinstance(text, str) or not text:
        raise Transient("GOOGLE_OAUTH_ANSWER_UNREADABLE", "an answer without a token")
    lasts = said.get("expires_in")
    return Token(text, ctx.now() + timedelta(seconds=lasts if isinstance(lasts, int) else 3600))


def _key_file(text: str) -> dict[str, str]:
    try:
        found: Any = json.loads(text)
    except ValueError:
        found = None  # raised below: the parser's error carries the file
    names = ("client_email", "private_key", "private_key_id")
    if not isinstance(found, dict) or not all(isinstance(found.get(name), str) for name in names):
        raise Permanent(UNAUTHORIZED, "the service account's key file is not complete")
    return {name: found[name] for name in names}


def _opened(ctx: JobContext, text: str) -> str:
    """A stored value; older ones are plain text."""
    return decrypt(ctx, text) if _SEALED.fullmatch(text) else text


def _instant(value: Any) -> datetime | None:
    """expiresAt as the applications write it: ISO text, or milliseconds since 1970."""
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value / 1000, UTC)
    try:
        found = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
