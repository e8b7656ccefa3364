"""The HTTP face of the fake: the Admin API, the files of bulk operations, and `/_fake/...` for whoever steers it.

POST /<shop>/admin/api/2026-10/graphql.json   the API; 404 for another version or shop, 401 without the shop's token
GET  /<shop>/bulk/<n>.jsonl                   the file of a bulk operation; Range is served as 206
GET  /_fake/health                            {"ok": true, ...}
POST /_fake/faults                            one fault, see faults.py; DELETE takes all back
GET  /_fake/requests?shop=                    what was asked so far, newest last
GET  /_fake/shops                             domain, orders and gross total of every shop
POST /_fake/orders                            {"shop", "id", "changes"}: change an order, updatedAt moves on
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from shared.fakes import serving
from shared.fakes.shopify.execute import Answer, answer, throttled, too_dear
from shared.fakes.shopify.faults import Fault
from shared.fakes.shopify.project import FakeGap
from shared.fakes.shopify.shop import Shop

if TYPE_CHECKING:
    from shared.fakes.shopify.fake import ShopifyFake

API_VERSION = "2026-10"
CHUNK_BYTES = 1 << 18

_API = re.compile(r"^/(?P<shop>[a-z0-9.-]+)/admin/api/(?P<version>[^/]+)/graphql\.json$")
_FILE = re.compile(r"^/(?P<shop>[a-z0-9.-]+)/bulk/(?P<number>\d+)\.jsonl$")
_RANGE = re.compile(r"^bytes=(\d+)-(\d*)$")


class Handler(serving.Handler):
    """One request."""

    @property
    def fake(self) -> ShopifyFake:
        fake: ShopifyFake = self.server.fake
        return fake

    def do_POST(self) -> None:
        body = self.body()
        path = urlsplit(self.path).path
        found = _API.match(path)
        if found:
            self._graphql(found["shop"], found["version"], body)
        elif path.startswith("/_fake/"):
            self._steer(path, body)
        else:
            self.say(404, {"errors": "Not Found"})

    def do_DELETE(self) -> None:
        if self.path == "/_fake/faults":
            self.fake.faults.clear()
            self.say(200, {"ok": True})
        else:
            self.say(404, {"errors": "Not Found"})

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        found = _FILE.match(url.path)
        if found:
            self._file(found["shop"], int(found["number"]))
        elif url.path == "/_fake/health":
            self.say(200, {"ok": True, "apiVersion": API_VERSION, "shops": sorted(self.fake.shops)})
        elif url.path == "/_fake/requests":
            shop = parse_qs(url.query).get("shop", [None])[0]
            self.say(200, {"requests": [each.shown() for each in self.fake.requests_of(shop)]})
        elif url.path == "/_fake/shops":
            self.say(200, {"shops": self.fake.totals()})
        else:
            self.say(404, {"errors": "Not Found"})

    # The API

    def _graphql(self, domain: str, version: str, body: bytes) -> None:
        fake = self.fake
        shop = fake.shops.get(domain)
        if shop is None or version != API_VERSION:
            self._recorded(domain, body, Answer(404, {"errors": "Not Found"}))
            return
        if self.headers.get("X-Shopify-Access-Token") != shop.token:
            self._recorded(domain, body, _unauthorized())
            return
        fault = fake.faults.next(domain, _query_of(body))
        if fault is not None:
            self._faulty(shop, fault, body)
            return
        try:
            self._recorded(domain, body, answer(shop, fake.documents, body))
        except FakeGap as gap:
            self._recorded(domain, body, Answer(501, {"errors": str(gap)}))

    def _faulty(self, shop: Shop, fault: Fault, body: bytes) -> None:
        """Answer as the fault says."""
        if fault.kind == "timeout":
            self._record(shop.domain, body, Answer(0, {}))
            self.fake.stopping.wait(fault.hold_s)
            self.close_connection = True
        elif fault.kind == "cut":
            made = answer(shop, self.fake.documents, body)
            self._record(shop.domain, body, made)
            self._send_half(json.dumps(made.body).encode())
        else:
            headers = {"Retry-After": fault.retry_after or "2.0"} if fault.kind in ("429", "503") else {}
            self._recorded(shop.domain, body, _fault_answer(shop, fault), headers)

    def _recorded(self, domain: str, body: bytes, made: Answer, headers: Mapping[str, str] = serving.NOTHING) -> None:
        self._record(domain, body, made)
        self.say(made.status, made.body, headers)

    def _record(self, domain: str, body: bytes, made: Answer) -> None:
        self.fake.record(domain, "POST", urlsplit(self.path).path, body, made)

    # Files

    def _file(self, domain: str, number: int) -> None:
        fake = self.fake
        shop = fake.shops.get(domain)
        path = shop.bulk.file(number) if shop else None
        asked_range = self.headers.get("Range")
        fault = fake.faults.next(domain, self.path)
        status = 403 if path is None else 206 if asked_range else 200
        if fault is not None and fault.status:
            status, path = fault.status, None
        fake.record(domain, "GET", self.path, b"", Answer(status, {}), asked_range)
        if path is None:
            self.say(status, {"errors": "The link is no longer valid"})
        elif fault is not None and fault.kind == "timeout":
            fake.stopping.wait(fault.hold_s)
            self.close_connection = True
        else:
            self._send_file(path, asked_range, cut=fault is not None and fault.kind == "cut")

    def _send_file(self, path: Path, asked_range: str | None, *, cut: bool) -> None:
        """The file, or the part of it that Range names. A file is opened once, so that it may be unlinked meanwhile."""
        with path.open("rb") as file:
            whole = path.stat().st_size
            wanted = _RANGE.match(asked_range) if asked_range else None
            start = int(wanted[1]) if wanted else 0
            end = min(int(wanted[2]), whole - 1) if wanted and wanted[2] else whole - 1
            if start > end:
                self.say(416, {"errors": "Range Not Satisfiable"}, {"Content-Range": f"bytes */{whole}"})
                return
            self.send_response(206 if wanted else 200)
            self.send_header("Content-Type", "application/jsonl")
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Length", str(end - start + 1))
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{end}/{whole}")
            self.end_headers()
            file.seek(start)
            left = (end - start + 1) // 2 if cut else end - start + 1
            while left > 0:
                chunk = file.read(min(CHUNK_BYTES, left))
                self.wfile.write(chunk)
                left -= len(chunk)
            if cut:
                self._hang_up()

    # Steering

    def _steer(self, path: str, body: bytes) -> None:
        fake = self.fake
        try:
            wish = json.loads(body or b"{}")
            if path == "/_fake/faults":
                fake.faults.add(Fault(**wish))
            elif path == "/_fake/orders":
                fake.shops[wish["shop"]].update_order(wish["id"], **wish.get("changes", {}))
            else:
                self.say(404, {"errors": "Not Found"})
                return
        except (ValueError, TypeError, KeyError) as error:
            self.say(400, {"errors": f"{type(error).__name__}: {error}"})
            return
        self.say(200, {"ok": True})

    # Bytes

    def _send_half(self, payload: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload[: len(payload) // 2])
        self._hang_up()

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def _fault_answer(shop: Shop, fault: Fault) -> Answer:
    requested = fault.requested or 100
    if fault.kind == "throttled":
        return throttled(shop, "", requested, fault.available if fault.available is not None else 0.0)
    if fault.kind == "max_cost":
        return too_dear(shop, "", fault.requested or shop.max_query_cost + 1)
    if fault.kind == "unauthorized":
        return _unauthorized()
    if fault.kind == "internal_error":
        message, code = "Internal error. Looks like something went wrong on our end.", "INTERNAL_SERVER_ERROR"
        return Answer(200, {"errors": [{"message": message, "extensions": {"code": code, "requestId": "fake"}}]})
    if fault.kind == "access_denied":
        message = "Access denied for orders field. Required access: `read_orders` access scope."
        return Answer(200, {"data": None, "errors": [{"message": message, "extensions": {"code": "ACCESS_DENIED"}}]})
    return Answer(fault.status or 500, {"errors": f"HTTP {fault.kind}"})


def _unauthorized() -> Answer:
    message = "[API] Invalid API key or access token (unrecognized login or wrong password)"
    return Answer(401, {"errors": message})


def _query_of(body: bytes) -> str:
    try:
        return str(json.loads(body)["query"])
    except (ValueError, KeyError, TypeError):
        return ""
