"""The teams, their mails and keys, and how the fake answers a call."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from shared.fakes import serving
from shared.fakes.resend.rules import domain_of, problem_of

KEY_TTL = timedelta(hours=24)
KEY_MAX = 256
LIMIT_PER_S = 2
KINDS = ("timeout", "cut")
"""Faults of the network; all others are a name of Resend's errors or an HTTP status."""
ERRORS: dict[str, tuple[int, str]] = {
    "missing_api_key": (401, "Missing API Key"),
    "restricted_api_key": (401, "This API key is restricted to only send emails."),
    "invalid_api_key": (403, "API key is invalid"),
    "domain_not_verified": (403, "The domain is not verified."),
    "invalid_idempotency_key": (400, "Idempotency keys must have between 1 and 256 characters."),
    "invalid_idempotent_request": (409, "This idempotency key was used for another request body."),
    "concurrent_idempotent_requests": (409, "A request with this idempotency key is in progress."),
    "rate_limit_exceeded": (429, "Too many requests."),
    "daily_quota_exceeded": (429, "You have reached your daily email sending quota."),
    "monthly_quota_exceeded": (429, "You have reached your monthly email sending quota."),
    "internal_server_error": (500, "An unexpected error occurred."),
}


@dataclass(frozen=True)
class Mail:
    """A mail that was taken."""

    id: str
    team: str
    sent_at: datetime
    key: str | None
    body: dict[str, Any]
    raw: bytes = field(repr=False)
    """The request's body, byte for byte."""

    @property
    def to(self) -> list[str]:
        return [self.body["to"]] if isinstance(self.body["to"], str) else list(self.body["to"])

    @property
    def tags(self) -> dict[str, str]:
        return {tag["name"]: tag["value"] for tag in self.body.get("tags", [])}

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        facts = {"id": self.id, "created_at": self.sent_at.isoformat(), "idempotencyKey": self.key}
        return {**facts, "last_event": "delivered", **self.body, "to": self.to}


@dataclass(frozen=True)
class Asked:
    """One request for a mail: how it was answered, and what was wrong with it."""

    status: int
    name: str
    key: str | None
    raw: bytes
    problem: str = ""


@dataclass
class Team:
    """An account. `domains` None: it may send from every domain. `restricted`: its key may only send."""

    key: str
    name: str
    domains: set[str] | None = None
    restricted: bool = False
    calls: list[datetime] = field(default_factory=list)
    kept: dict[str, tuple[datetime, str, str]] = field(default_factory=dict)
    """Idempotency key -> (when, hash of the body, id)."""


@dataclass(frozen=True)
class Answer:
    """Status, JSON and headers of an answer."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    problem: str = ""


class ResendFake(serving.Fake[serving.Fault]):
    """A running fake. Use `ResendFake.start(...)`, and `stop()` or a with-block."""

    def __init__(self, contract: Mapping[str, Any] | None, now: Callable[[], datetime], *, enforce_rate: bool) -> None:
        self.contract, self.now, self.enforce_rate = contract, now, enforce_rate
        super().__init__()
        self.teams: dict[str, Team] = {}
        self.mails: list[Mail] = []
        self.asked: list[Asked] = []

    @classmethod
    def start(
        cls,
        *,
        port: int = 0,
        contract: Path | None = None,
        now: Callable[[], datetime] | None = None,
        enforce_rate: bool = True,
    ) -> ResendFake:
        """Serve on 127.0.0.1 (port 0: any free one). `contract`: Resend's OpenAPI file. Raises OSError.

        `enforce_rate`: refuse what comes faster than 2 a second on the fake's clock.
        """
        from shared.fakes.resend.server import Handler

        rules = json.loads(contract.read_text(encoding="utf-8")) if contract else None
        fake = cls(rules, now or (lambda: datetime.now(UTC)), enforce_rate=enforce_rate)
        return fake.serve(port, Handler)

    def team(self, key: str, name: str = "", *, domains: Iterable[str] | None = None) -> Team:
        """Make an account that knows `key`; `domains`: those it may send from, None: every one."""
        self.teams[key] = Team(key, name or key, None if domains is None else {each.lower() for each in domains})
        return self.teams[key]

    def sent_to(self, address: str) -> list[Mail]:
        """The mails to an address, oldest first."""
        return [mail for mail in self.mails if address.lower() in (each.lower() for each in mail.to)]

    def problems(self) -> list[str]:
        """Everything that any request did against the rules or the contract."""
        return [asked.problem for asked in self.asked if asked.problem]

    # Inside.

    def send(self, key: str | None, idempotency_key: str | None, raw: bytes) -> Answer:
        """Answer POST /emails."""
        team = self.teams.get(key or "")
        if key is None:
            return refused("missing_api_key")
        if team is None:
            return refused("invalid_api_key")
        with self.lock:
            if self.enforce_rate and not self._within_rate(team):
                return refused("rate_limit_exceeded", {"retry-after": "1", **self._rate_headers(team)})
            answer = self._take(team, idempotency_key, raw)
        return Answer(answer.status, answer.body, {**self._rate_headers(team), **answer.headers}, answer.problem)

    def _take(self, team: Team, key: str | None, raw: bytes) -> Answer:
        if key is not None and not 1 <= len(key) <= KEY_MAX:
            return refused("invalid_idempotency_key", problem="the idempotency key is empty or too long")
        digest = hashlib.sha256(raw).hexdigest()
        kept = team.kept.get(key or "")
        if key is not None and kept is not None and self.now() - kept[0] < KEY_TTL:
            return Answer(200, {"id": kept[2]}) if kept[1] == digest else refused("invalid_idempotent_request")
        try:
            body = json.loads(raw)
        except ValueError:
            return Answer(400, error(400, "validation_error", "The body is no JSON."), problem="the body is no JSON")
        problem = problem_of(body, self.contract)
        if problem is not None:
            status, name, message = problem
            return Answer(status, error(status, name, message), problem=f"{name}: {message}")
        if team.domains is not None and domain_of(body["from"]) not in team.domains:
            message = f"The {domain_of(body['from'])} domain is not verified. Please, add and verify your domain."
            return Answer(403, error(403, "validation_error", message))
        mail = Mail(str(UUID(int=len(self.mails) + 1)), team.name, self.now(), key, body, raw)
        self.mails.append(mail)
        if key is not None:
            team.kept[key] = (self.now(), digest, mail.id)
        return Answer(200, {"id": mail.id})

    def _within_rate(self, team: Team) -> bool:
        now = self.now()
        team.calls = [at for at in team.calls if now - at < timedelta(seconds=1)]
        if len(team.calls) >= LIMIT_PER_S:
            return False
        team.calls.append(now)
        return True

    def _rate_headers(self, team: Team) -> dict[str, str]:
        left = max(0, LIMIT_PER_S - len(team.calls))
        return {"ratelimit-limit": str(LIMIT_PER_S), "ratelimit-remaining": str(left), "ratelimit-reset": "1"}


def error(status: int, name: str, message: str) -> dict[str, Any]:
    """An error as Resend words it."""
    return {"statusCode": status, "name": name, "message": message}


def refused(name: str, headers: dict[str, str] | None = None, *, problem: str = "") -> Answer:
    """One of ERRORS, or an HTTP status, as an answer."""
    if name.isdigit():
        status = int(name)
        word = "rate_limit_exceeded" if status == 429 else "internal_server_error"
        return Answer(status, error(status, word, "On demand."), headers or {}, problem)
    status, message = ERRORS[name]
    word = "validation_error" if name == "domain_not_verified" else name
    return Answer(status, error(status, word, message), headers or {}, problem)
