"""The HTTP face of the fake."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from shared.fakes import serving
from shared.fakes.redis.fake import Asked, RedisFake, commands_of

PATHS = ("", "/", "/pipeline", "/multi-exec")


class Handler(serving.Handler):
    """One request."""

    @property
    def fake(self) -> RedisFake:
        fake: RedisFake = self.server.fake
        return fake

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        if path == "/_fake/faults":
            self.order_fault()
        elif path in PATHS:
            self._command(path, self.body())
        else:
            self.say(404, {"error": "ERR no such path"})

    def do_DELETE(self) -> None:
        self.forget_faults()

    def do_GET(self) -> None:
        fake = self.fake
        if self.path == "/_fake/health":
            self.say(200, {"ok": True, "databases": len(fake.databases)})
        elif self.path == "/_fake/keys":
            self.say(200, {"databases": [_shown(database.keys) for database in fake.databases.values()]})
        elif self.path == "/_fake/requests":
            self.say(200, {"requests": [asdict(asked) for asked in fake.asked]})
        else:
            self.say(404, {"error": "ERR no such path"})

    def _command(self, path: str, body: bytes) -> None:
        fake = self.fake
        fault = fake.next_fault(body.decode("utf-8", "replace"))
        answer = fake.answer(path, self.bearer(), body, fault)
        lost = fault is not None and fault.kind in ("cut", "timeout", "half")
        asked = Asked(path, 0 if lost else answer.status, commands_of(path, body))
        fake.asked.append(asked)
        if fake.after is not None:
            fake.after(asked)
        if fault is not None and fault.kind == "slow":
            fake.stopping.wait(fault.hold_s)
        if fault is not None and lost:
            self.hang_up(fault)
            return
        headers = {"Retry-After": fault.retry_after or ""} if fault and fault.kind == "429" else {}
        self.say(answer.status, answer.body, headers)


def _shown(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: sorted(value) if isinstance(value, set) else value for key, value in keys.items()}
