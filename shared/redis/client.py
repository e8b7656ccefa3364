"""Upstash's REST interface of Redis (upstash.com/docs/redis/features/restapi, looked at November 2026).

POST {url}/pipeline with an array of commands; the answer is an array of {"result"} or {"error"} in their order. A
pipeline is not atomic, so whatever must be one step is ONE script. There is no idempotency key: scripts are written
so that each may be repeated, because an answer that is lost says nothing about what was done.

    Skipped      (a value)               WRONGTYPE: that key holds something else
    Permanent    REDIS_UNAUTHORIZED      401, 403
    Permanent    REDIS_COMMAND_REFUSED   400, or any other error of a command
    RateLimited  REDIS_RATE_LIMITED      429, or a limit of requests named in an error
    Transient    REDIS_UNAVAILABLE       5xx, time-out, connection, an answer that cannot be read

Keys are made by `Redis.key` only: `<namespace>:<tenant's slug>:...`. A script that names another key is not sent.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NewType

from shared.integrations.http import Response, retry_after_s
from shared.jobs.context import JobContext
from shared.jobs.errors import Permanent, RateLimited, Transient
from shared.redis.access import Access, access_of

VENDOR = "redis"
TIMEOUT_S = 5.0
PIPELINE_MAX = 50
"""Scripts per call: bounds the body, and what is under way when a process dies."""
ANSWERED = (400, 401, 403, 429)
"""Statuses that are read here; the HTTP layer raises for all others but 2xx."""
DEFAULT_WAIT_S = 60.0
"""Wait after a refusal for the rate that names none."""
LIMITS = ("max requests limit exceeded", "max daily request limit exceeded")
TROUBLE = ("BUSY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN")
"""First words of errors that pass by themselves."""

Key = NewType("Key", str)


@dataclass(frozen=True, slots=True)
class Call:
    """One execution of a script."""

    keys: Sequence[Key]
    args: Sequence[str | int] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A script that found a key of another type and left it alone."""


class Redis:
    """One tenant's part of a Redis, for one run."""

    def __init__(self, ctx: JobContext, access: Access) -> None:
        self._ctx, self._access = ctx, access

    @classmethod
    def connect(cls, ctx: JobContext) -> Redis | None:
        """The tenant's Redis, None where none is configured. One short session; raises what `access_of` raises."""
        access = access_of(ctx)
        return None if access is None else cls(ctx, access)

    def __repr__(self) -> str:
        return f"Redis({self._ctx.tenant.slug})"

    def key(self, namespace: str, *parts: str) -> Key:
        """`<namespace>:<slug>:<part>:...`, the tenant's own."""
        return Key(":".join((namespace, self._ctx.tenant.slug, *parts)))

    def run(self, script: str, calls: Sequence[Call]) -> list[Any]:
        """Run a script once per call, PIPELINE_MAX of them in one request; results in order, Skipped among them.

        When a request fails, earlier requests and any scripts of this one may have been carried out.
        """
        found: list[Any] = []
        for start in range(0, len(calls), PIPELINE_MAX):
            part = calls[start : start + PIPELINE_MAX]
            found += self._pipeline([self._command(script, call) for call in part])
        return found

    def _command(self, script: str, call: Call) -> list[str]:
        slug = self._ctx.tenant.slug
        if any(key.split(":")[1:2] != [slug] for key in call.keys):
            raise ValueError("a script was to be run on a key that is not the tenant's")
        return ["EVAL", script, str(len(call.keys)), *call.keys, *map(str, call.args)]

    def _pipeline(self, commands: list[list[str]]) -> list[Any]:
        headers = {"Authorization": f"Bearer {self._access.token}"}
        try:
            answer = self._ctx.http.request(
                "POST",
                f"{self._access.url}/pipeline",
                vendor=VENDOR,
                headers=headers,
                json=commands,
                timeout_s=TIMEOUT_S,
                ok=ANSWERED,
            )
            said = _said(answer)
        except Transient as error:
            if error.code == "REDIS_UNAVAILABLE":
                raise
            raise Transient("REDIS_UNAVAILABLE", error.code, after_s=error.after_s) from None
        except Permanent as error:
            raise Permanent("REDIS_COMMAND_REFUSED", error.code) from None
        if answer.status >= 400:
            raise _refused(answer)
        if not isinstance(said, list) or len(said) != len(commands):
            raise Transient("REDIS_UNAVAILABLE", "an answer that does not match the commands")
        return [_result(each) for each in said]


def _said(answer: Response) -> Any:
    """The results as they are: names in Redis are bytes that its owner chose, so nothing is taken out of them."""
    try:
        return json.loads(answer.body) if answer.status < 400 else None
    except ValueError:
        return None


def _refused(answer: Response) -> Exception:
    try:
        text = _text(json.loads(answer.body))
    except ValueError:
        text = ""
    if answer.status in (401, 403):
        return Permanent("REDIS_UNAUTHORIZED", f"status {answer.status}")
    if answer.status == 429 or _is_limit(text):
        after_s = retry_after_s(answer.headers)
        return RateLimited(DEFAULT_WAIT_S if after_s is None else after_s, "REDIS_RATE_LIMITED")
    return _error(text)


def _result(said: Any) -> Any:
    if isinstance(said, dict) and "result" in said:
        return said["result"]
    text = _text(said)
    if "WRONGTYPE" in text:
        return Skipped()
    if _is_limit(text):
        raise RateLimited(DEFAULT_WAIT_S, "REDIS_RATE_LIMITED")
    raise _error(text)


def _text(said: Any) -> str:
    return str(said.get("error") or "") if isinstance(said, dict) else ""


def _is_limit(text: str) -> bool:
    return any(limit in text.lower() for limit in LIMITS)


def _error(text: str) -> Exception:
    """By the error's first word alone: the rest may quote a key or a value."""
    word = text.split(" ", 1)[0]
    if word in TROUBLE:
        return Transient("REDIS_UNAVAILABLE", word)
    return Permanent("REDIS_COMMAND_REFUSED", word if word.isalpha() and word.isupper() else "")
