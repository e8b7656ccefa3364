"""The HTTP face of the fake."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from shared.fakes.merchant.fake import NETWORK, Answer, Asked, Fault, MerchantFake, error, ordered, parsed

ROUTES = (
    ("POST", re.compile(r"/products/v1/accounts/([^/]+)/productInputs:insert()"), "insert"),
    ("PATCH", re.compile(r"/products/v1/accounts/([^/]+)/productInputs/([^/]+)"), "patch"),
    ("DELETE", re.compile(r"/products/v1/accounts/([^/]+)/productInputs/([^/]+)"), "delete"),
    ("GET", re.compile(r"/products/v1/accounts/([^/]+)/products()"), "products"),
    ("GET", re.compile(r"/datasources/v1/accounts/([^/]+)/dataSources()"), "sources"),
    ("POST", re.compile(r"/datasources/v1/accounts/([^/]+)/dataSources()"), "source"),
)
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; color: #1f2933; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid #d9e2ec; vertical-align: top; }
"""


class Server(ThreadingHTTPServer):
    """One thread per connection."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, port: int, fake: MerchantFake) -> None:
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

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/":
            self._page()
        elif path == "/_fake/products":
            self._json(Answer(200, {"products": self.server.fake.shown()}))
        elif path == "/_fake/health":
            self._json(Answer(200, {"ok": True, "accounts": sorted(self.server.fake.accounts)}))
        elif path == "/_fake/requests":
            self._json(Answer(200, {"requests": [asdict(each) for each in self.server.fake.asked]}))
        else:
            self._api()

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        if path == "/token":
            self.server.fake.token_requests += 1
            with self.server.fake.lock:
                status, said = self.server.fake.tokens.answer(dict(parse_qsl(self._body().decode())))
            self._json(Answer(status, said))
        elif path == "/_fake/faults":
            self.server.fake.faults.append(Fault(**json.loads(self._body())))
            self._json(Answer(200, {"ok": True}))
        else:
            self._api()

    def do_PATCH(self) -> None:
        self._api()

    def do_DELETE(self) -> None:
        if urlsplit(self.path).path == "/_fake/faults":
            self.server.fake.faults.clear()
            self._json(Answer(200, {"ok": True}))
        else:
            self._api()

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: what was asked is in /_fake/requests."""

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _api(self) -> None:
        """A request to the API, with whatever trouble is ordered for it."""
        fake, raw, parts = self.server.fake, self._body(), urlsplit(self.path)
        found = next(((m, w) for v, r, w in ROUTES if v == self.command and (m := r.fullmatch(parts.path))), None)
        if found is None:
            self._json(error(404, "NOT_FOUND", "The requested URL was not found."))
            return
        (account, name), what = found[0].groups(), found[1]
        body, query = parsed(raw), dict(parse_qsl(parts.query))
        if fake.before is not None:
            fake.before(what, body)
        fault = fake.next_fault(f"{what} {unquote(self.path)} {raw.decode('utf-8', 'replace')}")
        if fault is None or fault.kind == "cut":
            answer = fake.answer(what, account, unquote(name), query, self._token(), body)
        elif fault.kind == "timeout":
            answer = Answer(0, {})
        else:
            answer = ordered(fault)
        with fake.lock:
            fake.asked.append(Asked(what, answer.status, unquote(parts.path), query, body, answer.problem))
        if fault is not None and fault.kind in NETWORK:
            if fault.kind == "timeout":
                fake.stopping.wait(fault.hold_s)
            self.close_connection = True
            return
        self._json(answer)

    def _token(self) -> str:
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        return token.strip() if kind == "Bearer" else ""

    def _page(self) -> None:
        """The products, for people."""
        names = ("offerId", "title", "status", "availability", "price", "issues", "changedAt")
        rows = ("".join(f"<td>{escape(_cell(each[name]))}</td>" for name in names) for each in self.server.fake.shown())
        head = "".join(f"<th>{name}</th>" for name in names)
        table = f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
        top = f'<meta charset="utf-8"><title>Merchant Center</title><style>{STYLE}</style>'
        page = f"<!doctype html><html lang=en><head>{top}</head><body><h1>Products</h1>{table}</body></html>"
        policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}
        self._answer(200, "text/html; charset=utf-8", page.encode(), policy)

    def _json(self, answer: Answer) -> None:
        self._answer(answer.status, "application/json; charset=utf-8", json.dumps(answer.body).encode(), answer.headers)

    def _answer(self, status: int, kind: str, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return f"{int(value['amountMicros']) / 1_000_000:.2f} {value['currencyCode']}"
    return ", ".join(value) if isinstance(value, list) else str(value or "")
