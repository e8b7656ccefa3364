"""Servers of images: <base>/<host>/<path>, as the setting IMAGE_DOWNLOAD_BASE_URL asks for them, and their names."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

PUBLIC_HOST = "93.184.216.34"
"""An address of the open internet; nothing is ever sent there, the pictures' server answers for it."""


class Pictures:
    """`files`: "host/path" -> (bytes, content type); `asked`: (method, "host/path"); `hosts`: name -> address.
    `everywhere`: what stands at every other address; `faults`: statuses of the next answers."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, str]] = {}
        self.redirects: dict[str, str] = {}
        self.statuses: dict[str, int] = {}
        self.asked: list[tuple[str, str]] = []
        self.hosts: dict[str, str] = {}
        self.everywhere: tuple[bytes, str] | None = None
        self.faults: list[int] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}"

    @classmethod
    def start(cls) -> Pictures:
        made = cls()
        threading.Thread(target=made._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return made

    def put(self, url: str, data: bytes, kind: str = "image/jpeg") -> str:
        """Serve `data` under an https address; the address."""
        self.files[url.removeprefix("https://")] = (data, kind)
        return url

    def __enter__(self) -> Pictures:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        pictures = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                self._serve(body=True)

            def do_HEAD(self) -> None:
                self._serve(body=False)

            def log_message(self, format: str, *args: Any) -> None:
                """Silent."""

            def _serve(self, *, body: bool) -> None:
                name = self.path.lstrip("/")
                pictures.asked.append((self.command, name))
                there = pictures.files.get(name, pictures.everywhere)
                data, kind = there or (b"", "text/plain")
                status = pictures.statuses.get(name, 200 if there else 404)
                if pictures.faults:
                    status, data = pictures.faults.pop(), b""
                if name in pictures.redirects:
                    status, data = 302, b""
                self.send_response(status)
                if name in pictures.redirects:
                    self.send_header("Location", pictures.redirects[name])
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if body:
                    self.wfile.write(data)

        return Handler


def resolver(hosts: Mapping[str, str]) -> Callable[..., Any]:
    """socket.getaddrinfo that asks nobody: a name has the address in `hosts`, else one of the open internet."""
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        name = str(host)
        if name == "localhost" or name.startswith("/") or _is_address(name):
            return real(host, port, *args, **more)
        return real(hosts.get(name, PUBLIC_HOST), port, *args, **more)

    return resolve


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
