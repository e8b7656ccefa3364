"""The HTTP face of the fake."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from shared.fakes.slack.fake import KINDS, Asked, Fault, SlackFake, refuse


class Server(ThreadingHTTPServer):
    """One thread per connection."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, fake: SlackFake) -> None:
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
        elif path.startswith("/services/"):
            self._faulty_or(path, body, lambda: self._hook(path, body))
        else:
            method = path.removeprefix("/api/")
            self._faulty_or(method, body, lambda: self._call(method, body))

    def do_DELETE(self) -> None:
        self.server.fake.faults.clear()
        self._send(200, {"ok": True})

    def do_GET(self) -> None:
        fake = self.server.fake
        if self.path == "/_fake/health":
            self._send(200, {"ok": True, "workspaces": [team.id for team in fake.teams.values()]})
        elif self.path == "/_fake/messages":
            self._send(200, {"messages": [asdict(message) for message in fake.messages]})
        elif self.path == "/_fake/requests":
            self._send(200, {"requests": [asdict(asked) for asked in fake.asked]})
        else:
            self._send(404, {"ok": False, "error": "not_found"})

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: what was asked is in /_fake/requests."""

    def _faulty_or(self, method: str, body: bytes, work: Callable[[], tuple[int, Any]]) -> None:
        fake = self.server.fake
        fault = fake.next_fault(f"{method} {body.decode('utf-8', 'replace')}")
        if fault is None or fault.kind == "cut":
            status, said = work()
        elif fault.kind == "timeout":
            status, said = 0, {}
        elif fault.kind.isdigit():
            status, said = int(fault.kind), refuse("ratelimited" if fault.kind == "429" else "service_unavailable")
        else:
            status, said = 200, refuse(fault.kind)
        word = said if isinstance(said, str) else str(said.get("error") or ("ok" if status == 200 else ""))
        problems = () if isinstance(said, str) else tuple(said.get("response_metadata", {}).get("messages", ()))
        fake.asked.append(Asked(method, status, word, problems))
        if fault is not None and fault.kind in KINDS:
            if fault.kind == "timeout":
                fake.stopping.wait(fault.hold_s)
            self.close_connection = True
            return
        self._send(status, said, {"Retry-After": fault.retry_after} if fault and fault.kind == "429" else {})

    def _call(self, method: str, body: bytes) -> tuple[int, Any]:
        form = "json" not in self.headers.get("Content-Type", "")
        try:
            fields = dict(parse_qsl(body.decode(), keep_blank_values=True)) if form else json.loads(body or b"{}")
        except ValueError:
            return 200, refuse("invalid_json")
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        return 200, self.server.fake.answer(method, token if kind == "Bearer" and token else None, fields, form=form)

    def _hook(self, path: str, body: bytes) -> tuple[int, Any]:
        try:
            return self.server.fake.answer_hook(path, json.loads(body))
        except ValueError:
            return 400, "invalid_payload"

    def _send(self, status: int, said: Any, headers: Mapping[str, str] | None = None) -> None:
        text = said.encode() if isinstance(said, str) else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(said, str) else "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)
