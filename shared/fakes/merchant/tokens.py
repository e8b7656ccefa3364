"""Google's token address: refresh tokens, and JWTs of service accounts."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

AUDIENCE = "https://oauth2.googleapis.com/token"
SCOPE = "https://www.googleapis.com/auth/content"
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFE_S = 3600

Said = tuple[int, dict[str, Any]]


@dataclass
class Tokens:
    """Who may have tokens, and the tokens that were given."""

    now: Callable[[], datetime]
    clients: dict[str, tuple[str, str, set[str]]] = field(default_factory=dict)
    """refresh token -> (client id, client secret, accounts)."""
    services: dict[str, tuple[str, set[str]]] = field(default_factory=dict)
    """client_email -> (public key as PEM, accounts)."""
    given: dict[str, tuple[datetime, set[str]]] = field(default_factory=dict)
    count: int = 0

    def accounts_of(self, token: str) -> set[str] | None:
        """The accounts that a token opens; None for one that is unknown or over."""
        found = self.given.get(token)
        return found[1] if found is not None and self.now() < found[0] else None

    def give(self, accounts: set[str]) -> str:
        """A new token."""
        self.count += 1
        token = f"ya29.fake-{self.count}"
        self.given[token] = (self.now() + timedelta(seconds=LIFE_S), accounts)
        return token

    def answer(self, fields: Mapping[str, str]) -> Said:
        """Answer POST /token."""
        grant = fields.get("grant_type")
        if grant == "refresh_token":
            return self._refresh(fields)
        if grant == JWT_GRANT:
            return self._service(fields.get("assertion", ""))
        return 400, {"error": "unsupported_grant_type", "error_description": f"Invalid grant_type: {grant}"}

    def _refresh(self, fields: Mapping[str, str]) -> Said:
        known = self.clients.get(fields.get("refresh_token", ""))
        if known is None:
            return 400, {"error": "invalid_grant", "error_description": "Token has been expired or revoked."}
        if known[:2] != (fields.get("client_id"), fields.get("client_secret")):
            return 401, {"error": "invalid_client", "error_description": "Unauthorized"}
        return self._taken(known[2])

    def _service(self, assertion: str) -> Said:
        wrong, accounts = self._judge(assertion)
        if wrong:
            return 400, {"error": "invalid_grant", "error_description": wrong}
        return self._taken(accounts)

    def _taken(self, accounts: set[str]) -> Said:
        return 200, {
            "access_token": self.give(accounts),
            "expires_in": LIFE_S - 1,
            "scope": SCOPE,
            "token_type": "Bearer",
        }

    def _judge(self, assertion: str) -> tuple[str, set[str]]:
        """(what is wrong with a JWT, accounts of its service)."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        try:
            head, body, signature = assertion.split(".")
            header, claims = json.loads(_decoded(head)), json.loads(_decoded(body))
        except (ValueError, binascii.Error):
            return "Invalid JWT.", set()
        known = self.services.get(str(claims.get("iss")))
        if header.get("alg") != "RS256" or known is None:
            return "Invalid issuer: Not found.", set()
        key = load_pem_public_key(known[0].encode())
        try:
            assert isinstance(key, RSAPublicKey)
            key.verify(_decoded(signature), f"{head}.{body}".encode(), PKCS1v15(), SHA256())
        except InvalidSignature:
            return "Invalid JWT Signature.", set()
        now = self.now().timestamp()
        if claims.get("aud") != AUDIENCE or SCOPE not in str(claims.get("scope")).split():
            return "Invalid audience or scope.", set()
        if not claims.get("iat", 0) <= now + 60 or not now < claims.get("exp", 0) <= claims.get("iat", 0) + LIFE_S:
            return "Invalid JWT: Token must be a short-lived token and in a reasonable timeframe.", set()
        return "", known[1]


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
