"""The HTTP face of the fake."""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

from shared.fakes import serving
from shared.fakes.vercel.fake import VercelFake


class Handler(serving.Handler):
    """One request."""

    @property
    def fake(self) -> VercelFake:
        fake: VercelFake = self.server.fake
        return fake

    def do_GET(self) -> None:
        fake, parts = self.fake, urlsplit(self.path)
        headers: dict[str, str] = {}
        if fault := fake.next_fault(self.path):
            code = "rate_limited" if fault.kind == "429" else "internal_server_error"
            status, body = int(fault.kind), {"error": {"code": code, "message": "told to"}}
            headers = {"Retry-After": fault.retry_after} if fault.retry_after else {}
        else:
            status, body = fake.answer(unquote(parts.path), dict(parse_qsl(parts.query)), self.bearer())
        self.say(status, body, headers)
