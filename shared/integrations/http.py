"""The one HTTP layer under every vendor client: pooled, bounded, no redirects, no retries of its own.

An answer outside 2xx (and outside the caller's `ok`) and every failure below HTTP becomes one of our errors; `V` is
the vendor's name in capitals. Only the kernel retries, because only it knows the job's policy and counts attempts.

    RateLimited  V_RATE_LIMITED        429; waits for Retry-After
    Transient    V_TIMEOUT             connect or read timeout, 408, the run's time used up
                 V_UNAVAILABLE         5xx (with Retry-After when sent), DNS, refused, reset, TLS, cut answer
                 V_ANSWER_UNREADABLE   a body that should be JSON and is not
    Permanent    V_HTTP_<status>       every other status, redirects included
                 V_REQUEST_INVALID     a URL, header or body that cannot be sent
                 V_ANSWER_TOO_LARGE    a body or line above its limit

`surely_not_sent` tells the failures in which no byte of the request left this process, so that a payment or a message
may be tried again without asking the vendor what became of it. Errors and logs hold neither query, header nor body.
"""

from __future__ import annotations

import json as jsonlib
import logging
import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from http.client import HTTPException
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import urllib3
from urllib3 import exceptions as wire

from shared.jobs.errors import JobError, Permanent, RateLimited, Transient
from shared.storable import loads

if TYPE_CHECKING:
    import ssl

    from urllib3.connectionpool import HTTPSConnectionPool
    from urllib3.response import BaseHTTPResponse

CONNECT_TIMEOUT_S = 5.0
"""Longest wait for a connection in seconds; a healthy vendor answers the handshake well below one."""
MIN_CALL_S = 0.1
"""A run with less time than this many seconds begins no call: it could not end."""
MAX_BODY_BYTES = 32 * 1024 * 1024
"""Largest body held in memory; larger answers must be streamed."""
MAX_LINE_BYTES = 8 * 1024 * 1024
"""Longest line of a streamed answer; bounds memory whatever the vendor sends."""
CHUNK_BYTES = 64 * 1024
"""Bytes per read; the deadline is looked at between reads."""
DEFAULT_RETRY_AFTER_S = 10.0
"""Wait after a 429 that names none."""
MAX_RETRY_AFTER_S = 24 * 3600.0
"""Longest wait taken from a vendor; a message is not kept longer anyway."""
POOL_HOSTS = 32
"""Hosts with open connections at once, least recently used closed first: every tenant's shop is a host of its own."""
POOL_CONNECTIONS = 8
"""Idle connections kept per host: a run uses at most a few threads."""

Logger = logging.Logger | logging.LoggerAdapter[Any]


class NotSent(Transient):
    """No byte of the request left this process: DNS, refused, connect timeout, TLS handshake, no time left."""


class RequestInvalid(Permanent):
    """The request could not even be written; nothing was sent."""


# -- failures below HTTP ---------------------------------------------------------------------------------------------

Kind = Literal["timeout", "unavailable", "invalid"]

FAILURES: dict[type[Exception], tuple[Kind, bool]] = {
    # class of urllib3: (kind, surely not sent). Looked up along the class's bases, nearest first.
    wire.NameResolutionError: ("unavailable", True),
    wire.NewConnectionError: ("unavailable", True),  # refused, unreachable, TLS handshake (see _Https)
    wire.ConnectTimeoutError: ("timeout", True),
    wire.EmptyPoolError: ("unavailable", True),
    wire.FullPoolError: ("unavailable", True),
    wire.ClosedPoolError: ("unavailable", True),
    wire.ProxyError: ("unavailable", True),  # urllib3 raises it only before the proxy was reached
    wire.ReadTimeoutError: ("timeout", False),
    wire.TimeoutError: ("timeout", False),
    wire.SSLError: ("unavailable", False),  # after the handshake: a record in the middle was bad
    wire.ProtocolError: ("unavailable", False),
    wire.IncompleteRead: ("unavailable", False),
    wire.InvalidChunkLength: ("unavailable", False),
    wire.ResponseNotChunked: ("unavailable", False),
    wire.BodyNotHttplibCompatible: ("unavailable", False),
    wire.InvalidHeader: ("unavailable", False),
    wire.HeaderParsingError: ("unavailable", False),
    wire.DecodeError: ("unavailable", False),
    wire.ResponseError: ("unavailable", False),
    wire.MaxRetryError: ("unavailable", False),
    wire.RequestError: ("unavailable", False),
    wire.PoolError: ("unavailable", False),
    wire.HTTPError: ("unavailable", False),
    wire.UnrewindableBodyError: ("invalid", False),
    wire.HostChangedError: ("invalid", True),
    wire.LocationParseError: ("invalid", True),
    wire.LocationValueError: ("invalid", True),
    wire.URLSchemeUnknown: ("invalid", True),
    wire.ProxySchemeUnknown: ("invalid", True),
    wire.ProxySchemeUnsupported: ("invalid", True),
    wire.TimeoutStateError: ("invalid", True),
    # Below and beside urllib3.
    TimeoutError: ("timeout", False),
    OSError: ("unavailable", False),
    HTTPException: ("unavailable", False),
    ValueError: ("invalid", True),  # http.client refuses a header or URL before it writes
}


def _judge(exc: BaseException) -> tuple[Kind, bool]:
    for cls in type(exc).__mro__:
        if cls in FAILURES:
            return FAILURES[cls]
    return "unavailable", False


def surely_not_sent(exc: BaseException) -> bool:
    """Whether no byte of the request can have reached the vendor. False means: unknown, ask before trying again."""
    if isinstance(exc, JobError):
        return isinstance(exc, NotSent | RequestInvalid)
    return isinstance(exc, wire.HTTPError | wire.ProxySchemeUnsupported) and _judge(exc)[1]


def code_prefix(vendor: str) -> str:
    """`google-ads` -> `GOOGLE_ADS`: the vendor's part of an error code."""
    return re.sub(r"[^A-Z0-9]+", "_", vendor.upper()).strip("_")


def _failure(exc: Exception, vendor: str) -> JobError:
    """Our error for a failure below HTTP. Only the class's name is kept: texts of urllib3 may hold the URL."""
    kind, not_sent = _judge(exc)
    prefix, detail = code_prefix(vendor), type(exc).__name__
    if kind == "invalid":
        return (RequestInvalid if not_sent else Permanent)(f"{prefix}_REQUEST_INVALID", detail)
    return (NotSent if not_sent else Transient)(f"{prefix}_{kind.upper()}", detail)


# -- answers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. Its repr shows the status only: bodies hold personal data, headers may hold tokens."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    """Case-insensitive."""
    body: bytes = field(repr=False)
    vendor: str = "vendor"

    def json(self) -> Any:
        """The body as JSON. Raises Transient V_ANSWER_UNREADABLE: such answers come from proxies in between."""
        try:
            return loads(self.body)
        except ValueError:
            pass  # raised below, apart from the parser's error, which carries the whole body
        raise Transient(f"{code_prefix(self.vendor)}_ANSWER_UNREADABLE", f"status {self.status}: the body is no JSON")


def retry_after_s(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Seconds of a Retry-After header within 0..MAX_RETRY_AFTER_S, None when absent or unreadable.

    Both forms of RFC 9110 10.2.3: seconds (Shopify sends "2.0") and an HTTP date. A date is measured against the
    answer's own Date header where there is one, because the vendor's clock made both; else against `now`.
    """
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        return min(float(text), MAX_RETRY_AFTER_S)
    until = _http_date(text)
    if until is None:
        return None
    base = _http_date(headers.get("Date", "")) or now or datetime.now(UTC)
    return min(max((until - base).total_seconds(), 0.0), MAX_RETRY_AFTER_S)


def _http_date(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime  # rarely needed

    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def status_error(status: int, headers: Mapping[str, str], vendor: str) -> JobError:
    """Our error for a status that the caller did not expect; the table of the module's docstring."""
    prefix, detail = code_prefix(vendor), f"status {status}"
    if status == 429:
        after_s = retry_after_s(headers)
        return RateLimited(DEFAULT_RETRY_AFTER_S if after_s is None else after_s, f"{prefix}_RATE_LIMITED", detail)
    if status == 408:
        return Transient(f"{prefix}_TIMEOUT", detail)
    if status >= 500:
        return Transient(f"{prefix}_UNAVAILABLE", detail, after_s=retry_after_s(headers))
    return Permanent(f"{prefix}_HTTP_{status}", detail)


class StreamedResponse:
    """An answer read piece by piece; valid inside its `with` block only."""

    def __init__(self, raw: BaseHTTPResponse, vendor: str, remaining: Callable[[], float]) -> None:
        self.status = raw.status
        self.headers: Mapping[str, str] = raw.headers
        self._raw = raw
        self._vendor = vendor
        self._remaining = remaining

    def iter_chunks(self) -> Iterator[bytes]:
        """The body in pieces of at most CHUNK_BYTES. Raises Transient V_TIMEOUT, V_UNAVAILABLE (also when cut)."""
        while True:
            if self._remaining() <= 0:
                raise Transient(f"{code_prefix(self._vendor)}_TIMEOUT", "the run's time is used up")
            chunk = _read(self._raw, self._vendor)
            if not chunk:
                return
            yield chunk

    def iter_lines(self) -> Iterator[bytes]:
        r"""The body's lines, each WITH its b"\n" (so that lengths add up to byte offsets); the last may lack it.

        Holds one chunk and one line; a line above MAX_LINE_BYTES raises Permanent V_ANSWER_TOO_LARGE.
        """
        rest = b""
        for chunk in self.iter_chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line + b"\n"
            if len(rest) > MAX_LINE_BYTES:
                raise Permanent(f"{code_prefix(self._vendor)}_ANSWER_TOO_LARGE", f"a line above {MAX_LINE_BYTES} bytes")
        if rest:
            yield rest


def _read(raw: BaseHTTPResponse, vendor: str) -> bytes:
    try:
        return raw.read1(CHUNK_BYTES)  # what has come, without waiting for a full chunk
    except (wire.HTTPError, OSError, HTTPException) as exc:
        failure = _failure(exc, vendor)
    raise failure  # outside the except block: no context, which could hold the URL


# -- the port --------------------------------------------------------------------------------------------------------


def _nothing() -> None:
    return None


class Http:
    """What `ctx.http` is. Safe to use from several threads.

    `before` runs before each call and raises when a database session is open: no transaction waits for a vendor.
    `deadline` gives the seconds the run has left; every timeout is cut to it. `log` gets one DEBUG line per call,
    WARNING for one that failed: method, host, path (long segments and addresses starred), status, milliseconds.
    """

    def __init__(
        self,
        *,
        before: Callable[[], None] = _nothing,
        deadline: Callable[[], float] | None = None,
        log: Logger | None = None,
    ) -> None:
        self._before = before
        self._deadline = deadline or _endless
        self._log = log or logging.getLogger(__name__)

    def request(
        self,
        method: str,
        url: str,
        *,
        vendor: str,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        body: bytes | None = None,
        timeout_s: float = 10.0,
        ok: Collection[int] = (),
        max_bytes: int = MAX_BODY_BYTES,
        address: str | None = None,
    ) -> Response:
        """Send one request and read the whole answer, both within `timeout_s` and the run's time.

        `json` is sent as UTF-8 JSON, `body` as it is. Statuses of `ok` are returned like 2xx. `address`: the IP
        address to connect to instead of resolving the host of an https URL again (see safe_fetch). Raises the errors
        of the module's docstring.
        """
        sent_headers = {"Accept-Encoding": "gzip", **(headers or {})}
        if json is not None:
            body = jsonlib.dumps(json, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
            sent_headers.setdefault("Content-Type", "application/json")
        end = time.monotonic() + timeout_s
        with self._open(method, url, vendor, sent_headers, body, timeout_s, ok, address) as raw:
            parts, size = [], 0
            while chunk := _read(raw, vendor):
                size += len(chunk)
                if size > max_bytes:
                    raise Permanent(f"{code_prefix(vendor)}_ANSWER_TOO_LARGE", f"a body above {max_bytes} bytes")
                if min(end - time.monotonic(), self._deadline()) <= 0:
                    raise Transient(f"{code_prefix(vendor)}_TIMEOUT", "the answer came too slowly")
                parts.append(chunk)
            return Response(raw.status, raw.headers, b"".join(parts), vendor)

    @contextmanager
    def stream(
        self,
        method: str,
        url: str,
        *,
        vendor: str,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
        ok: Collection[int] = (),
    ) -> Iterator[StreamedResponse]:
        """Open a large answer; `timeout_s` bounds each wait for data, the run's time bounds the whole.

        The body comes unencoded (Accept-Encoding: identity), so that a Range header counts the bytes that are read.
        """
        sent_headers = {"Accept-Encoding": "identity", **(headers or {})}
        with self._open(method, url, vendor, sent_headers, None, timeout_s, ok) as raw:
            yield StreamedResponse(raw, vendor, self._deadline)

    @contextmanager
    def _open(
        self,
        method: str,
        url: str,
        vendor: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
        ok: Collection[int],
        address: str | None = None,
    ) -> Iterator[BaseHTTPResponse]:
        """The answer's head, checked; closes the connection when the block did not read the body to its end."""
        self._before()
        remaining = self._deadline()
        if remaining < MIN_CALL_S:
            raise NotSent(f"{code_prefix(vendor)}_TIMEOUT", "the run's time is used up")
        began = time.monotonic()
        raw = self._send(method, url, vendor, headers, body, min(timeout_s, remaining), address)
        try:
            good = 200 <= raw.status < 300 or raw.status in ok
            self._note(logging.DEBUG if good else logging.WARNING, vendor, method, url, str(raw.status), began)
            if not good:
                raise status_error(raw.status, raw.headers, vendor)
            yield raw
        finally:
            raw.close()  # a body read to its end has given its connection back to the pool by itself

    def _send(
        self,
        method: str,
        url: str,
        vendor: str,
        headers: Mapping[str, str],
        body: bytes | None,
        timeout_s: float,
        address: str | None,
    ) -> BaseHTTPResponse:
        began = time.monotonic()
        try:
            pool, target, host = _pinned(url, address) if address else (_pool(), url, {})
            return pool.urlopen(
                method,
                target,
                body=body,
                headers={"User-Agent": "cgk-jobs", **headers, **host},
                timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, timeout_s), read=timeout_s),
                retries=False,
                redirect=False,
                preload_content=False,
            )
        except (wire.HTTPError, wire.ProxySchemeUnsupported, OSError, HTTPException, ValueError) as exc:
            failure = _failure(exc, vendor)
        self._note(logging.WARNING, vendor, method, url, failure.code, began)
        raise failure  # outside the except block: no context, which could hold the URL or a header

    def _note(self, level: int, vendor: str, method: str, url: str, outcome: str, began: float) -> None:
        elapsed_ms = round((time.monotonic() - began) * 1000)
        self._log.log(level, "http %s %s %s %s %d ms", vendor, method, redacted(url), outcome, elapsed_ms)


def _endless() -> float:
    return float("inf")


def redacted(url: str) -> str:
    """Host and path of a URL without user, query and fragment; segments that may be a secret or a person are starred.

    >>> redacted("https://hooks.example.com/services/T0/kJ8sdf7sdfh3kjhsdf9s8df?x=1")
    'hooks.example.com/services/T0/*'
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "?", parts.port
    except ValueError:
        return "?"
    path = "/".join("*" if len(s) > 20 or "@" in s or "%40" in s else s for s in parts.path.split("/"))
    return f"{host}{f':{port}' if port else ''}{path}"


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Reads the roots once: some 20 ms."""
    import ssl

    return ssl.create_default_context()


@lru_cache(maxsize=1)
def _https_pool() -> type[HTTPSConnectionPool]:
    from urllib3.connection import HTTPSConnection
    from urllib3.connectionpool import HTTPSConnectionPool
    from urllib3.util.ssl_match_hostname import CertificateError

    class _Https(HTTPSConnection):
        """Tells a failed handshake (nothing sent) from a TLS error later on; urllib3 gives both the same class."""

        def connect(self) -> None:
            try:
                super().connect()
            except (OSError, wire.SSLError, CertificateError) as exc:
                raise wire.NewConnectionError(self, f"TLS handshake failed: {type(exc).__name__}") from None

    class _HttpsPool(HTTPSConnectionPool):
        ConnectionCls = _Https

    return _HttpsPool


@lru_cache(maxsize=1)
def _pool() -> urllib3.PoolManager:
    """The process's one pool, made at the first call; sockets are kept alive."""
    manager = urllib3.PoolManager(num_pools=POOL_HOSTS, maxsize=POOL_CONNECTIONS, block=False, ssl_context=_tls())
    manager.pool_classes_by_scheme = {**manager.pool_classes_by_scheme, "https": _https_pool()}
    return manager


def _pinned(url: str, address: str) -> tuple[HTTPSConnectionPool, str, dict[str, str]]:
    """A pool that connects to `address` and expects the URL's host there; what to ask it, and the Host header."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname:
        raise ValueError("a pinned address needs an https URL")
    host = parts.hostname
    pool = _https_pool()(
        address, port=parts.port or 443, maxsize=1, ssl_context=_tls(), server_hostname=host, assert_hostname=host
    )
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return pool, target, {"Host": parts.netloc.rpartition("@")[2]}
