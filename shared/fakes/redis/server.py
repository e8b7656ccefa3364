"""The HTTP face of the fake."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from shared.fakes.redis.fake import Asked, Fault, RedisFake, commands_of

PATHS = ("", "/", "/pipeline", "/multi-exec")


class Server(ThreadingHTTPServer):
    """One thread per connection."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, fake: RedisFake) -> None:
        self.fake = fake
        super().__init__(("127.0.0.1", port), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news; anything else is a mistake in the fake and shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet per answer instead of one per header line
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        if path == "/_fake/faults":
            self.server.fake.faults.append(Fault(**json.loads(body)))
            self._send(200, {"ok": True})
        elif path in PATHS:
            self._command(path, body)
        else:
            self._send(404, {"error": "ERR no such path"})

    def do_DELETE(self) -> None:
        self.server.fake.faults.clear()
        self._send(200, {"ok": True})

    def do_GET(self) -> None:
        fake = self.server.fake
        if self.path == "/_fake/health":
            self._send(200, {"ok": True, "databases": len(fake.databases)})
        elif self.path == "/_fake/keys":
            self._send(200, {"databases": [_shown(database.keys) for database in fake.databases.values()]})
        elif self.path == "/_fake/requests":
            self._send(200, {"requests": [asdict(asked) for asked in fake.asked]})
        else:
            self._send(404, {"error": "ERR no such path"})

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: what was asked is in /_fake/requests."""

    def _command(self, path: str, body: bytes) -> None:
        fake = self.server.fake
        fault = fake.next_fault(body.decode("utf-8", "replace"))
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        answer = fake.answer(path, token if kind == "Bearer" else None, body, fault)
        lost = fault is not None and fault.kind in ("cut", "timeout", "half")
        asked = Asked(path, 0 if lost else answer.status, commands_of(path, body))
        fake.asked.append(asked)
        if fake.after is not None:
            fake.after(asked)
        if fault is not None and fault.kind in ("timeout", "slow"):
            fake.stopping.wait(fault.hold_s)
        if lost:
            self.close_connection = True
            return
        self._send(
            answer.status, answer.body, {"Retry-After": fault.retry_after} if fault and fault.kind == "429" else {}
        )

    def _send(self, status: int, said: Any, headers: Mapping[str, str] | None = None) -> None:
        text = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)


def _shown(keys: Mapping[str, Any]) -> dict[str, Any]:
    return {key: sorted(value) if isinstance(value, set) else value for key, value in keys.items()}
