"""The HTTP face of the fake."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from shared.fakes.resend.fake import KINDS, Answer, Asked, Fault, ResendFake, error, refused
from shared.fakes.resend.outbox import mail_page, outbox_page


class Server(ThreadingHTTPServer):
    """One thread per connection."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, fake: ResendFake) -> None:
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
        if path == "/emails":
            self._send_mail(body)
        elif path == "/_fake/faults":
            self.server.fake.faults.append(Fault(**json.loads(body)))
            self._json(200, {"ok": True})
        else:
            self._json(405, error(405, "method_not_allowed", "This endpoint does not support the method."))

    def do_DELETE(self) -> None:
        self.server.fake.faults.clear()
        self._json(200, {"ok": True})

    def do_GET(self) -> None:
        fake, path = self.server.fake, urlsplit(self.path).path
        first, _, rest = path.strip("/").partition("/")
        if first in ("", "outbox"):
            self._page(rest)
        elif path == "/_fake/health":
            self._json(200, {"ok": True, "teams": [team.name for team in fake.teams.values()]})
        elif path == "/_fake/mails":
            self._json(200, {"mails": [mail.shown() for mail in fake.mails]})
        elif path == "/_fake/requests":
            asked = [{**asdict(each), "raw": each.raw.decode("utf-8", "replace")} for each in fake.asked]
            self._json(200, {"requests": asked})
        else:
            self._look_up(first, rest)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: what was asked is in /_fake/requests."""

    def _key(self) -> str | None:
        kind, _, key = self.headers.get("Authorization", "").partition(" ")
        return key.strip() if kind == "Bearer" and key.strip() else None

    def _send_mail(self, body: bytes) -> None:
        fake, key = self.server.fake, self.headers.get("Idempotency-Key")
        fault = fake.next_fault(body.decode("utf-8", "replace"))
        if fault is None or fault.kind == "cut":
            answer = fake.send(self._key(), key, body)
        elif fault.kind == "timeout":
            answer = Answer(0, {})
        else:
            headers = {"retry-after": fault.retry_after} if fault.kind in ("429", "rate_limit_exceeded") else {}
            answer = refused(fault.kind, headers)
        name = str(answer.body.get("name") or ("ok" if answer.status == 200 else "none"))
        fake.asked.append(Asked(answer.status, name, key, body, answer.problem))
        if fault is not None and fault.kind in KINDS:
            if fault.kind == "timeout":
                fake.stopping.wait(fault.hold_s)
            self.close_connection = True
            return
        self._json(answer.status, answer.body, answer.headers)

    def _look_up(self, what: str, id: str) -> None:
        """GET /emails/<id> and GET /domains, for a key that may do more than send."""
        fake = self.server.fake
        team = fake.teams.get(self._key() or "")
        if team is None or team.restricted:
            found = refused("restricted_api_key" if team else "invalid_api_key" if self._key() else "missing_api_key")
            self._json(found.status, found.body)
        elif what == "domains" and not id:
            names = sorted(team.domains or ())
            listed = [{"id": name, "name": name, "status": "verified", "region": "us-east-1"} for name in names]
            self._json(200, {"object": "list", "has_more": False, "data": listed})
        elif what == "emails" and (mail := next((each for each in fake.mails if each.id == id), None)):
            self._json(200, {"object": "email", **mail.shown()})
        else:
            self._json(404, error(404, "not_found", "Not found."))

    def _page(self, id: str) -> None:
        fake = self.server.fake
        mail = next((each for each in fake.mails if each.id == id), None)
        if id and mail is None:
            self._html(404, "<p>No such mail.</p>")
        else:
            self._html(200, mail_page(mail) if mail else outbox_page(fake.mails))

    def _json(self, status: int, said: Any, headers: dict[str, str] | None = None) -> None:
        self._answer(status, "application/json; charset=utf-8", json.dumps(said).encode(), headers)

    def _html(self, status: int, page: str) -> None:
        # A mail's own HTML is somebody else's: no script of it runs, and it loads nothing.
        policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:"}
        self._answer(status, "text/html; charset=utf-8", page.encode(), policy)

    def _answer(self, status: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
