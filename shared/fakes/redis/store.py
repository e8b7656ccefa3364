"""One database of the fake: keys of the types string, hash and set, and the commands on them.

A command answers as Redis does; what it refuses it raises as `Refusal`, whose text is Redis' own first word and reason.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from shared.fakes.redis.lua import LuaError, Scope, listed, run, unpack

Value = str | dict[str, str] | set[str]
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


class Refusal(Exception):
    """An error of a command."""


class Status(str):
    """A simple string such as OK, which scripts see as a table."""

    __slots__ = ()


class Database:
    """The keys of one Redis. A command is one step; so is a script."""

    def __init__(self) -> None:
        self.keys: dict[str, Value] = {}
        self.expiring: set[str] = set()
        """Keys with a time to live; the fake never lets one end."""
        self.lock = threading.RLock()

    def execute(self, command: Sequence[Any]) -> Any:
        """Carry out one command. Raises Refusal."""
        words = [each if isinstance(each, str) else str(each) for each in command]
        if not words:
            raise Refusal("ERR empty command")
        name, arguments = words[0].upper(), words[1:]
        handler = COMMANDS.get(name)
        with self.lock:
            if name == "EVAL":
                return self._eval(arguments)
            if handler is None:
                raise Refusal(f"ERR unknown command '{words[0]}'")
            least, most, do = handler
            if not least <= len(arguments) <= most:
                raise Refusal(f"ERR wrong number of arguments for '{name.lower()}' command")
            return do(self, arguments)

    def hash(self, key: str) -> dict[str, str]:
        """The hash under a key; an empty one that is not kept when there is none."""
        found = self.keys.get(key, {})
        if not isinstance(found, dict):
            raise Refusal(WRONG_TYPE)
        return found

    def set(self, key: str) -> set[str]:
        """The set under a key; an empty one that is not kept when there is none."""
        found = self.keys.get(key, set())
        if not isinstance(found, set):
            raise Refusal(WRONG_TYPE)
        return found

    def keep(self, key: str, value: Value) -> None:
        """Store a value; an empty hash or set is no key."""
        if value or isinstance(value, str):
            self.keys[key] = value
        else:
            self.drop(key)

    def drop(self, key: str) -> bool:
        """Remove a key; whether it was there."""
        self.expiring.discard(key)
        return self.keys.pop(key, None) is not None

    # Scripts.

    def _eval(self, arguments: Sequence[str]) -> Any:
        try:
            script, count, rest = arguments[0], int(arguments[1]), arguments[2:]
        except (IndexError, ValueError):
            raise Refusal("ERR value is not an integer or out of range") from None
        if not 0 <= count <= len(rest):
            raise Refusal("ERR Number of keys can't be greater than number of args")
        redis = {
            "call": lambda *words: _to_lua(self.execute(words)),
            "error_reply": lambda text: {"err": text},
            "status_reply": lambda text: {"ok": text},
        }
        names: Scope = {
            "KEYS": listed(rest[:count]),
            "ARGV": listed(rest[count:]),
            "redis": redis,
            "unpack": unpack,
            "tonumber": _to_number,
            "tostring": str,
        }
        try:
            return _to_redis(run(script, names))
        except LuaError as error:
            raise Refusal(f"ERR Error compiling or running script: {error}") from None


def _to_lua(value: Any) -> Any:
    if isinstance(value, Status):
        return {"ok": str(value)}
    if value is None:
        return False
    return listed([_to_lua(each) for each in value]) if isinstance(value, list) else value


def _to_redis(value: Any) -> Any:
    if value is None or value is False:
        return None
    if value is True:
        return 1
    if isinstance(value, dict):
        if "err" in value:
            raise Refusal(str(value["err"]))
        return Status(value["ok"]) if "ok" in value else [_to_redis(each) for each in unpack(value)]
    return int(value) if isinstance(value, float) else value


def _to_number(value: Any) -> Any:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise Refusal("ERR value is not an integer or out of range") from None


# -- commands ----------------------------------------------------------------------------------------------------------


def _type(db: Database, a: Sequence[str]) -> Status:
    kinds = {str: "string", dict: "hash", set: "set"}
    return Status(kinds[type(db.keys[a[0]])] if a[0] in db.keys else "none")


def _rename(db: Database, a: Sequence[str]) -> Status:
    if a[0] not in db.keys:
        raise Refusal("ERR no such key")
    expires, value = a[0] in db.expiring, db.keys[a[0]]
    db.drop(a[0])
    db.drop(a[1])
    db.keys[a[1]] = value
    if expires:
        db.expiring.add(a[1])
    return Status("OK")


def _persist(db: Database, a: Sequence[str]) -> int:
    found = a[0] in db.expiring
    db.expiring.discard(a[0])
    return int(found)


def _expire(db: Database, a: Sequence[str]) -> int:
    _integer(a[1])
    if a[0] in db.keys:
        db.expiring.add(a[0])
    return int(a[0] in db.keys)


def _hset(db: Database, a: Sequence[str]) -> int:
    if len(a) % 2 == 0:
        raise Refusal("ERR wrong number of arguments for 'hset' command")
    kept = dict(db.hash(a[0]))
    pairs = dict(zip(a[1::2], a[2::2], strict=True))
    new = len(pairs.keys() - kept.keys())
    db.keep(a[0], kept | pairs)
    return new


def _hsetnx(db: Database, a: Sequence[str]) -> int:
    if a[1] in db.hash(a[0]):
        return 0
    return _hset(db, a)


def _hincrby(db: Database, a: Sequence[str]) -> int:
    kept = db.hash(a[0])
    try:
        now = int(kept.get(a[1], "0"))
    except ValueError:
        raise Refusal("ERR hash value is not an integer") from None
    _hset(db, [a[0], a[1], str(now + _integer(a[2]))])
    return now + _integer(a[2])


def _sadd(db: Database, a: Sequence[str]) -> int:
    kept = db.set(a[0])
    db.keep(a[0], kept | set(a[1:]))
    return len(set(a[1:]) - kept)


def _srem(db: Database, a: Sequence[str]) -> int:
    kept = db.set(a[0])
    db.keep(a[0], kept - set(a[1:]))
    return len(set(a[1:]) & kept)


def _set(db: Database, a: Sequence[str]) -> Status:
    db.keep(a[0], a[1])
    return Status("OK")


def _get(db: Database, a: Sequence[str]) -> str | None:
    found = db.keys.get(a[0])
    if found is not None and not isinstance(found, str):
        raise Refusal(WRONG_TYPE)
    return found


Do = Callable[[Database, Sequence[str]], Any]
MANY = 10_000
COMMANDS: dict[str, tuple[int, int, Do]] = {
    # name: (fewest arguments, most, what it does). KEYS and SCAN are missing on purpose: nobody may walk the keys.
    "PING": (0, 1, lambda db, a: a[0] if a else Status("PONG")),
    "INFO": (0, 1, lambda db, a: "# Memory\r\nused_memory:1048576\r\nmaxmemory:0\r\n"),
    "TYPE": (1, 1, _type),
    "EXISTS": (1, MANY, lambda db, a: sum(key in db.keys for key in a)),
    "DEL": (1, MANY, lambda db, a: sum(db.drop(key) for key in a)),
    "RENAME": (2, 2, _rename),
    "PERSIST": (1, 1, _persist),
    "EXPIRE": (2, 2, _expire),
    "GET": (1, 1, _get),
    "SET": (2, 2, _set),
    "HSET": (3, MANY, _hset),
    "HSETNX": (3, 3, _hsetnx),
    "HINCRBY": (3, 3, _hincrby),
    "HGET": (2, 2, lambda db, a: db.hash(a[0]).get(a[1])),
    "HGETALL": (1, 1, lambda db, a: [each for pair in db.hash(a[0]).items() for each in pair]),
    "SADD": (2, MANY, _sadd),
    "SREM": (2, MANY, _srem),
    "SMEMBERS": (1, 1, lambda db, a: sorted(db.set(a[0]))),
    "SISMEMBER": (2, 2, lambda db, a: int(a[1] in db.set(a[0]))),
}
