"""A vendor on 127.0.0.1 that answers exactly what a test tells it to, over real sockets."""

from __future__ import annotations

import json
import socket
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

Behaviour = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Asked:
    """A request as it came in."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    port: int
    """The client's port: equal for requests over one connection."""

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Vendor:
    """`url` to call, `asked` what came in, `answers` what to do next; the last answer is repeated."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    answers: deque[Behaviour] = field(default_factory=deque)
    over: threading.Event = field(default_factory=threading.Event)

    def will(self, *behaviours: Behaviour) -> None:
        self.answers.extend(behaviours)

    def next(self) -> Behaviour:
        return self.answers.popleft() if len(self.answers) > 1 else self.answers[0]

    def stall(self, handler: BaseHTTPRequestHandler) -> None:
        """Say nothing until the test is over."""
        self.over.wait(10)
        handler.close_connection = True

    def drip(self, handler: BaseHTTPRequestHandler) -> None:
        """Promise a body and give a byte now and then."""
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not self.over.wait(0.01):
            try:
                handler.wfile.write(b"x")
            except OSError:
                break
        handler.close_connection = True


def reply(status: int = 200, body: bytes | str | dict[str, Any] = b"", **headers: str) -> Behaviour:
    """An ordinary answer; header names with _ for -."""
    raw = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)

    return behave


def cut(promised: int | None, sent: bytes = b"") -> Behaviour:
    """Close the connection: before the head (promised None), or after `sent` of a promised body."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        if promised is not None:
            handler.send_response_only(200)
            handler.send_header("Content-Length", str(promised))
            handler.end_headers()
            handler.wfile.write(sent)
            handler.wfile.flush()
        handler.connection.shutdown(socket.SHUT_RDWR)

    return behave


def pour(piece: bytes, times: int) -> Behaviour:
    """A large body of equal pieces, never held as a whole."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response_only(200)
        handler.send_header("Content-Length", str(len(piece) * times))
        handler.end_headers()
        try:
            for _ in range(times):
                handler.wfile.write(piece)
        except OSError:
            handler.close_connection = True  # the client has seen enough

    return behave


def file(content: bytes) -> Behaviour:
    """A file that honours `Range: bytes=<n>-`, as object storages do."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if wanted and start >= len(content):
            reply(416, Content_Range=f"bytes */{len(content)}")(handler)
        elif wanted:
            span = f"bytes {start}-{len(content) - 1}/{len(content)}"
            reply(206, content[start:], Content_Range=span)(handler)
        else:
            reply(200, content)(handler)

    return behave
