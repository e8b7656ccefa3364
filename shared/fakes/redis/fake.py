"""The databases, what was asked of them, and how the fake answers or fails a request."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

from shared.fakes import serving
from shared.fakes.redis.store import Database, Refusal

KINDS = ("timeout", "cut", "half", "slow")
"""Faults of the network: nothing done and no answer; done, but the answer is lost; the first half of a pipeline done
and no answer; done and answered, but only after `hold_s`. All others are an HTTP status."""
UNAUTHORIZED = "WRONGPASS invalid or missing auth token"
LIMITED = "ERR max requests limit exceeded"


@dataclass(frozen=True)
class Asked:
    """One request. `commands`: as they came; `status` 0: it got no answer."""

    path: str
    status: int
    commands: list[list[Any]] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        """The keys that its scripts named."""
        scripts = [command for command in self.commands if str(command[0]).upper() == "EVAL"]
        return [str(key) for script in scripts for key in script[3 : 3 + int(script[2])]]


@dataclass(frozen=True)
class Answer:
    """Status and JSON."""

    status: int
    body: Any


class RedisFake(serving.Fake[serving.Fault]):
    """A running fake. Use `RedisFake.start(...)`, and `stop()` or a with-block."""

    def __init__(self) -> None:
        super().__init__()
        self.databases: dict[str, Database] = {}
        self.asked: list[Asked] = []
        self.after: Callable[[Asked], object] | None = None
        """Called after a request's commands are done and before it is answered: somebody else's step in between."""

    @classmethod
    def start(cls, *, port: int = 0) -> RedisFake:
        """Serve on 127.0.0.1 (port 0: any free one). Raises OSError."""
        from shared.fakes.redis.server import Handler

        fake = cls()
        return fake.serve(port, Handler)

    def database(self, token: str) -> Database:
        """The database of a token, made when there is none."""
        return self.databases.setdefault(token, Database())

    # Inside.

    def answer(self, path: str, token: str | None, body: bytes, fault: serving.Fault | None) -> Answer:
        """Carry out a request, as far as its fault lets it; status 0 stands for no answer."""
        if fault is not None and fault.kind.isdigit():
            return Answer(int(fault.kind), {"error": LIMITED if fault.kind == "429" else "unavailable"})
        if fault is not None and fault.kind == "timeout":
            return Answer(0, None)
        database = self.databases.get(token or "")
        if database is None:
            return Answer(401, {"error": UNAUTHORIZED})
        try:
            commands = _commands(path, body)
        except ValueError as error:
            return Answer(400, {"error": f"ERR {error}"})
        if fault is not None and fault.kind == "half":
            _each(database, commands[: len(commands) // 2])
            return Answer(0, None)
        with database.lock if path == "/multi-exec" else nullcontext():
            said = _each(database, commands)
        if path in ("", "/"):
            return Answer(400 if "error" in said[0] else 200, said[0])
        return Answer(200, said)


def _commands(path: str, body: bytes) -> list[list[Any]]:
    """The commands of a body. ValueError with a sentence."""
    try:
        found = json.loads(body)
    except ValueError:
        raise ValueError("the body is no JSON") from None
    commands = [found] if path in ("", "/") else found
    if not isinstance(commands, list) or not commands:
        raise ValueError("an array of commands is needed")
    for command in commands:
        if not isinstance(command, list) or not all(isinstance(each, str | int | float) for each in command):
            raise ValueError("a command is an array of texts and numbers")
    return commands


def commands_of(path: str, body: bytes) -> list[list[Any]]:
    """The commands of a body, none of one that cannot be read."""
    try:
        return _commands(path, body)
    except ValueError:
        return []


def _each(database: Database, commands: Sequence[Sequence[Any]]) -> list[dict[str, Any]]:
    said: list[dict[str, Any]] = []
    for command in commands:
        try:
            said.append({"result": database.execute(command)})
        except Refusal as refusal:
            said.append({"error": str(refusal)})
    return said
