"""Our own webhooks to addresses that tenants give: signed, bounded, and never into our own network.

The target must be https and every address that its name resolves to must be a public one: no loopback, private,
link-local (169.254.169.254 hands out cloud credentials), carrier, multicast or reserved range, in whatever spelling.
The connection is then made to the very address that was checked, with the name for TLS, so that a second answer of
the resolver changes nothing (DNS rebinding). Redirects are not followed.

    Permanent  OUTBOUND_TARGET_REFUSED     the target is not allowed; nothing was sent
    Transient  OUTBOUND_UNAVAILABLE        the name does not resolve, no connection, the answer broke off
    Transient  OUTBOUND_TIMEOUT            no answer in time

Every answer is returned, whatever its status. Signatures: shared.tokens.sign_webhook.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from shared.integrations.http import retry_after_s
from shared.integrations.safe_fetch import is_public
from shared.jobs.errors import JobError, Permanent, Transient

if TYPE_CHECKING:
    import urllib3

TIMEOUT_S = 10.0
"""Longest wait for a target, connection and answer together."""
CONNECT_TIMEOUT_S = 5.0
ANSWER_BYTES = 4096
"""How much of an answer is read: enough for the 500 characters that are kept."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], list[str]]


@dataclass(frozen=True, slots=True)
class Target:
    """A checked target: where to connect, and the name that it goes by."""

    scheme: str
    host: str
    port: int
    address: str
    path: str = field(repr=False)
    """Path and query; they may hold a secret."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a target said. `text`: the beginning of the body, undecodable bytes replaced."""

    status: int
    text: str = field(repr=False)
    retry_after_s: float | None


def resolve_all(host: str, port: int) -> list[str]:
    """Every address of a name; [] when it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # UnicodeError: a label that IDNA refuses
        return []
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def check_target(url: str, *, allow_loopback: bool = False, resolve: Resolve = resolve_all) -> Target:
    """The target of `url`, its name resolved and every address found to be public.

    `allow_loopback` is for a machine of a developer and for tests: it admits http and 127.0.0.0/8 or ::1, nothing
    else. Raises OUTBOUND_TARGET_REFUSED, OUTBOUND_UNAVAILABLE when the name does not resolve.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise _refused("not a URL") from None
    if not host or parts.scheme not in ("https", "http") or parts.username is not None or parts.password is not None:
        raise _refused("not a plain https URL")
    if parts.scheme == "http" and not allow_loopback:
        raise _refused("not https")
    port = port or (443 if parts.scheme == "https" else 80)
    addresses = resolve(host, port)
    if not addresses:
        raise Transient("OUTBOUND_UNAVAILABLE", "the name does not resolve")
    for text in addresses:
        _check_address(text, parts.scheme, allow_loopback)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, addresses[0], path)


def _check_address(text: str, scheme: str, allow_loopback: bool) -> None:
    address = _plain(ipaddress.ip_address(text.partition("%")[0]))
    if allow_loopback and address.is_loopback:
        return
    if scheme != "https":
        raise _refused("not https")
    if not is_public(address):
        raise _refused("the address is not a public one")


def _plain(address: Address) -> Address:
    """::ffff:10.0.0.1 is 10.0.0.1."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _refused(why: str) -> Permanent:
    return Permanent("OUTBOUND_TARGET_REFUSED", why)


def post(target: Target, body: bytes, headers: Mapping[str, str], *, timeout_s: float = TIMEOUT_S) -> Answer:
    """POST `body` to the checked address and read the beginning of the answer, within `timeout_s` in all.

    Raises OUTBOUND_TIMEOUT, OUTBOUND_UNAVAILABLE; the errors hold neither URL nor answer.
    """
    from urllib3 import exceptions as wire

    until = time.monotonic() + timeout_s
    try:
        return _exchange(target, body, headers, until)
    except wire.NewConnectionError as error:  # a kind of time-out to urllib3
        failure: JobError = Transient("OUTBOUND_UNAVAILABLE", type(error).__name__)
    except wire.TimeoutError:
        failure = Transient("OUTBOUND_TIMEOUT", f"no answer within {timeout_s:g} s")
    except (wire.HTTPError, OSError, HTTPException) as error:
        failure = Transient("OUTBOUND_UNAVAILABLE", type(error).__name__)
    except ValueError:
        failure = _refused("the request cannot be written")
    raise failure  # outside the except block: no context, which names the address


def _exchange(target: Target, body: bytes, headers: Mapping[str, str], until: float) -> Answer:
    pool = _pool(target, until)
    try:
        answer = pool.urlopen(
            "POST",
            target.path,
            body=body,
            headers={"Host": _authority(target), "User-Agent": "cgk-jobs", "Accept-Encoding": "identity", **headers},
            retries=False,
            redirect=False,
            preload_content=False,
        )
        text = _beginning(answer, until).decode("utf-8", "replace").replace("\x00", "")
        return Answer(answer.status, text, retry_after_s(answer.headers))
    finally:
        pool.close()


def _pool(target: Target, until: float) -> urllib3.HTTPConnectionPool:
    """One connection to the checked address; the certificate must be the name's."""
    import urllib3

    left_s = max(0.1, until - time.monotonic())
    timeout = urllib3.Timeout(connect=min(CONNECT_TIMEOUT_S, left_s), read=left_s)
    if target.scheme == "http":
        return urllib3.HTTPConnectionPool(target.address, target.port, timeout=timeout, maxsize=1)
    return urllib3.HTTPSConnectionPool(
        target.address,
        target.port,
        timeout=timeout,
        maxsize=1,
        cert_reqs="CERT_REQUIRED",
        server_hostname=target.host,
        assert_hostname=target.host,
    )


def _authority(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return host if target.port == {"https": 443, "http": 80}[target.scheme] else f"{host}:{target.port}"


def _beginning(answer: Any, until: float) -> bytes:
    """At most ANSWER_BYTES, and no longer than the deadline even when they drip."""
    parts, size = [], 0
    while size < ANSWER_BYTES and time.monotonic() < until:
        chunk: bytes = answer.read1(ANSWER_BYTES - size)
        if not chunk:
            break
        parts.append(chunk)
        size += len(chunk)
    answer.close()
    return b"".join(parts)
