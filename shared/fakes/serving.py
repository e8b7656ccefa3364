"""What all fakes do alike: serve on 127.0.0.1, say JSON, fail when they are told to, and run as a process.

A fake is a `Fake` with its state and answers, and a `Handler` that reads requests. Both are told of trouble by a fault:

    POST   /_fake/faults    {"kind", "count", "match", ...}: the next `count` requests that hold `match` fail
    DELETE /_fake/faults    take all of them back
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any, ClassVar, Generic, Self, TypeVar

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass
class Fault:
    """Trouble for the next `count` requests whose text holds `match`.

    `kind`: an HTTP status, a word of the vendor's, or one of the network's: timeout (nothing done, no answer for
    `hold_s`), cut (done, but the answer is lost). `retry_after`: the header that goes with a 429.
    """

    kind: str
    count: int = 1
    match: str = ""
    retry_after: str | None = "1"
    hold_s: float = 30.0


F = TypeVar("F", bound=Fault)


class Fake(Generic[F]):
    """A fake's life and its ordered trouble. Subclasses give `fault`, and a `start` that ends in `serve`."""

    fault: ClassVar[type[Fault]] = Fault

    def __init__(self) -> None:
        self.faults: list[F] = []
        self.stopping = threading.Event()
        self.lock = threading.RLock()
        self.base_url = ""
        self._server: Server | None = None

    def serve(self, port: int, handler: type[Handler]) -> Self:
        """Serve on 127.0.0.1 (port 0: any free one). Raises OSError."""
        server = self._server = Server(port, self, handler)
        self.base_url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def stop(self) -> None:
        """Stop serving; requests that are held end now."""
        self.stopping.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def fail(self, kind: str | int, count: int = 1, **more: Any) -> None:
        """Have the next `count` matching requests fail; keywords are those of the fake's fault."""
        self.faults.append(self.fault(str(kind), count, **more))  # type: ignore[arg-type]  # it is the F of this fake

    def next_fault(self, text: str) -> F | None:
        """The fault for this request, used up by one."""
        with self.lock:
            for fault in self.faults:
                if fault.match in text:
                    fault.count -= 1
                    if fault.count <= 0:
                        self.faults.remove(fault)
                    return fault
        return None


class Server(ThreadingHTTPServer):
    """One thread per connection; connections are kept open, so a client costs one thread."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, port: int, fake: Any, handler: type[Handler]) -> None:
        self.fake = fake
        super().__init__(("127.0.0.1", port), handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news; anything else is a mistake in the fake and shown."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """One request. `fake` is the fake that it is for."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet per answer instead of one per header line
    server: Server

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)

    @property
    def fake(self) -> Any:
        return self.server.fake

    def log_message(self, format: str, *args: object) -> None:
        """Silent: what was asked stands in the fake."""

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def bearer(self) -> str | None:
        """The token of `Authorization: Bearer`."""
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        return token.strip() if kind == "Bearer" and token.strip() else None

    def order_fault(self) -> None:
        """POST /_fake/faults."""
        self.fake.fail(**json.loads(self.body()))
        self.say(200, {"ok": True})

    def forget_faults(self) -> None:
        """DELETE /_fake/faults."""
        self.fake.faults.clear()
        self.say(200, {"ok": True})

    def hang_up(self, fault: Fault) -> None:
        """End the connection without an answer, a `timeout` only after its time."""
        if fault.kind == "timeout":
            self.fake.stopping.wait(fault.hold_s)
        self.close_connection = True

    def say(self, status: int, said: Any, headers: Mapping[str, str] = NOTHING) -> None:
        """Answer with JSON."""
        self.answer(status, "application/json; charset=utf-8", json.dumps(said).encode(), headers)

    def show(self, status: int, page: str, images: str = "") -> None:
        """Answer with a page for people. What it shows is somebody else's: no script runs, and it loads nothing."""
        policy = f"default-src 'none'; style-src 'unsafe-inline'{images and f'; img-src {images}'}"
        self.answer(status, "text/html; charset=utf-8", page.encode(), {"Content-Security-Policy": policy})

    def answer(self, status: int, kind: str, body: bytes, headers: Mapping[str, str] = NOTHING) -> None:
        """Answer with `body`, whose media type is `kind`."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def run(name: str, port: int, start: Callable[[], Fake[Any]]) -> int:
    """A fake as a process until SIGTERM or Ctrl-C; 1 with one sentence when its port is taken."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        fake = start()
    except OSError as error:
        print(f"The {name} fake cannot listen on 127.0.0.1:{port}: {error.strerror}.", file=sys.stderr)
        return 1
    print(f"{name} fake: {fake.base_url}", flush=True)
    stop.wait()
    fake.stop()
    return 0
