"""Meta's Conversions API and GA4's Measurement Protocol on 127.0.0.1: what they take, keep and refuse.

Meta keeps an event_name and event_id once and refuses a call with an event that is older than 7 days; GA4 answers 204
whatever comes, so what it would drop in silence is kept in `problems`. POST of Meta: /<version>/<pixel>/events, of GA4:
/mp/collect.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

_META_PATH = re.compile(r"/v(\d+)\.0/([^/]+)/events")
_HASH = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")
OLDEST = timedelta(days=7)
HASHED = ("em", "ph", "fn", "ln", "country", "external_id")


@dataclass
class ConversionsFake:
    """A running fake. `meta`: events by (pixel, name, id); `ga4`: bodies; `meta_calls`: every call that came."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    meta: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    ga4: list[dict[str, Any]] = field(default_factory=list)
    meta_calls: int = 0
    ga4_calls: int = 0
    problems: list[str] = field(default_factory=list)
    bodies: list[str] = field(default_factory=list, repr=False)
    base_url: str = ""
    _faults: list[tuple[str, int, int | None]] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    @classmethod
    def start(cls, *, now: Callable[[], datetime]) -> ConversionsFake:
        """Serve on a free port."""
        fake = cls(now)

        class Bound(_Handler):
            owner = fake

        fake._server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        fake.base_url = f"http://127.0.0.1:{fake._server.server_address[1]}"
        threading.Thread(target=fake._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return fake

    def __enter__(self) -> ConversionsFake:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    def fail(self, platform: str, status: int, code: int | None = None, *, count: int = 1) -> None:
        """The next calls of `meta` or `ga4` are answered with a status, Meta's with an error code."""
        self._faults += [(platform, status, code)] * count

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """What a call gets."""
        parts = urlsplit(path)
        platform = "ga4" if parts.path == "/mp/collect" else "meta"
        setattr(self, f"{platform}_calls", getattr(self, f"{platform}_calls") + 1)
        fault = next((each for each in self._faults if each[0] == platform), None)
        if fault is not None:
            self._faults.remove(fault)
            return fault[1], {"error": {"message": "told to", "code": fault[2] or 1}}
        if platform == "ga4":
            return self._collect(parse_qs(parts.query), body)
        return self._events(parts.path, body)

    def _events(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        found = _META_PATH.fullmatch(path)
        if found is None or not body.get("access_token"):
            return 400, {"error": {"message": "Unknown path or no token", "code": 190 if found else 100}}
        for event in body["data"]:
            problem = self._meta_problem(event)
            if problem:
                return 400, {"error": {"message": problem, "code": 100}}
        for event in body["data"]:
            self.meta.setdefault((found[2], event["event_name"], event["event_id"]), event)
        return 200, {"events_received": len(body["data"]), "messages": [], "fbtrace_id": "fake"}

    def _meta_problem(self, event: dict[str, Any]) -> str | None:
        if missing := {"event_name", "event_time", "event_id", "action_source", "user_data"} - event.keys():
            return f"missing {sorted(missing)}"
        if self.now() - datetime.fromtimestamp(event["event_time"], UTC) > OLDEST:
            return "event_time is too old"
        for name, values in event["user_data"].items():
            if name in HASHED and not all(_HASH.fullmatch(value) for value in values):
                return f"{name} is not hashed"
        return None

    def _collect(self, query: dict[str, list[str]], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if not (query.get("measurement_id") and query.get("api_secret")):
            self.problems.append("ga4: measurement_id and api_secret are needed")
        if not isinstance(body.get("client_id"), str) or not 1 <= len(body.get("events", ())) <= 25:
            self.problems.append("ga4: client_id and 1 to 25 events are needed")
        for event in body.get("events", ()):
            params = event.get("params", {})
            texts = [value for value in params.values() if isinstance(value, str)]
            if not _NAME.fullmatch(event["name"]) or len(params) > 25 or any(len(text) > 100 for text in texts):
                self.problems.append("ga4: an event that is dropped in silence")
        self.ga4.append(body)
        return 204, {}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    owner: ConversionsFake

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.owner.bodies.append(raw)
        status, said = self.owner.answer(self.path, json.loads(raw))
        text = b"" if status == 204 else json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""
