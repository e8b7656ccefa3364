"""The HTTP face of the fake."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from shared.fakes import serving
from shared.fakes.slack.fake import KINDS, Asked, SlackFake, refuse


class Handler(serving.Handler):
    """One request."""

    @property
    def fake(self) -> SlackFake:
        fake: SlackFake = self.server.fake
        return fake

    def do_POST(self) -> None:
        path = urlsplit(self.path).path
        if path == "/_fake/faults":
            self.order_fault()
            return
        body = self.body()
        if path.startswith("/services/"):
            self._faulty_or(path, body, lambda: self._hook(path, body))
        else:
            method = path.removeprefix("/api/")
            self._faulty_or(method, body, lambda: self._call(method, body))

    def do_DELETE(self) -> None:
        self.forget_faults()

    def do_GET(self) -> None:
        fake = self.fake
        if self.path == "/_fake/health":
            self.say(200, {"ok": True, "workspaces": [team.id for team in fake.teams.values()]})
        elif self.path == "/_fake/messages":
            self.say(200, {"messages": [asdict(message) for message in fake.messages]})
        elif self.path == "/_fake/requests":
            self.say(200, {"requests": [asdict(asked) for asked in fake.asked]})
        else:
            self.say(404, {"ok": False, "error": "not_found"})

    def _faulty_or(self, method: str, body: bytes, work: Callable[[], tuple[int, Any]]) -> None:
        fake = self.fake
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
            self.hang_up(fault)
            return
        headers = {"Retry-After": fault.retry_after or ""} if fault and fault.kind == "429" else {}
        if isinstance(said, str):
            self.answer(status, "text/html", said.encode(), headers)
        else:
            self.say(status, said, headers)

    def _call(self, method: str, body: bytes) -> tuple[int, Any]:
        form = "json" not in self.headers.get("Content-Type", "")
        try:
            fields = dict(parse_qsl(body.decode(), keep_blank_values=True)) if form else json.loads(body or b"{}")
        except ValueError:
            return 200, refuse("invalid_json")
        return 200, self.fake.answer(method, self.bearer(), fields, form=form)

    def _hook(self, path: str, body: bytes) -> tuple[int, Any]:
        try:
            return self.fake.answer_hook(path, json.loads(body))
        except ValueError:
            return 400, "invalid_payload"
