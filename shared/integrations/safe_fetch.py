"""Fetch a file from an address that someone else named: a tenant's document, a media URL, a webhook of an alert.

Such a URL must not lead into our own network. Only https; the host is resolved once, every address it has must be
public, and the connection goes to exactly the address that was checked, so that a second resolution cannot change
it (DNS rebinding). Redirects are followed by hand, each hop checked anew. No credentials are sent.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Collection
from typing import Literal
from urllib.parse import urljoin, urlsplit

from shared.integrations.http import Http, NotSent, Response, code_prefix, redacted
from shared.jobs.errors import Permanent

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], list[str]]

REDIRECTS = (301, 302, 303, 307, 308)
REFUSED = (
    ipaddress.ip_network("64:ff9b::/96"),  # NAT64: a gateway turns it into any IPv4, private ones included (RFC 6052)
    ipaddress.ip_network("64:ff9b:1::/48"),  # the same, local (RFC 8215)
    ipaddress.ip_network("fec0::/10"),  # site-local, out of use but routed in old networks (RFC 3879)
    ipaddress.ip_network("192.0.0.0/24"),  # protocol assignments, two of which Python counts as global
    ipaddress.ip_network("192.88.99.0/24"),  # 6to4 relays (RFC 7526)
)
"""Ranges that Python counts as global and that lead inside all the same."""


def safe_fetch(
    http: Http,
    url: str,
    *,
    max_bytes: int,
    allowed_hosts: Collection[str] | None = None,
    redirects: int = 3,
    vendor: str = "fetch",
    timeout_s: float = 10.0,
    resolve: Resolve | None = None,
    allow: Callable[[Address], bool] | None = None,
    method: Literal["GET", "HEAD"] = "GET",
) -> Response:
    """GET (or HEAD) `url` with at most `redirects` hops and `max_bytes` of body. `V` is the vendor's name in capitals.

    `allowed_hosts`: exact names, when only some will do. `resolve` and `allow` default to the system's resolver and
    `is_public`. Raises Permanent V_URL_NOT_ALLOWED, V_TOO_MANY_REDIRECTS, V_ANSWER_TOO_LARGE, and what Http raises.
    """
    prefix = code_prefix(vendor)
    for _ in range(redirects + 1):
        address = _checked(url, prefix, allowed_hosts, resolve or _system_resolve, allow or is_public)
        answer = http.request(
            method, url, vendor=vendor, timeout_s=timeout_s, ok=REDIRECTS, max_bytes=max_bytes, address=address
        )
        if answer.status not in REDIRECTS:
            return answer
        location = answer.headers.get("Location")
        if not location:
            raise Permanent(f"{prefix}_HTTP_{answer.status}", "a redirect that leads nowhere")
        url = urljoin(url, location)
    raise Permanent(f"{prefix}_TOO_MANY_REDIRECTS", f"more than {redirects}")


def is_public(address: Address) -> bool:
    """Whether an address lies in the open internet: not private, loopback, link-local, reserved, multicast or shared,
    and not an IPv6 form that hides an IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.sixtofour is not None or address.teredo is not None:
            return False
    if any(address in network for network in REFUSED):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _checked(
    url: str,
    prefix: str,
    allowed_hosts: Collection[str] | None,
    resolve: Resolve,
    allow: Callable[[Address], bool],
) -> str:
    """The address to connect to."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 443
    except ValueError:
        host, port, parts = "", 443, urlsplit("")
    if parts.scheme != "https" or not host or parts.username is not None:
        raise Permanent(f"{prefix}_URL_NOT_ALLOWED", "only https URLs without a user name")
    if allowed_hosts is not None and host not in allowed_hosts:
        raise Permanent(f"{prefix}_URL_NOT_ALLOWED", f"{redacted(url).split('/')[0]} is not among the allowed hosts")
    try:
        addresses = resolve(host, port)
    except (OSError, UnicodeError):
        addresses = []  # raised below, without the resolver's error
    if not addresses:
        raise NotSent(f"{prefix}_UNAVAILABLE", "the host has no address")
    if not all(allow(ipaddress.ip_address(address)) for address in addresses):
        raise Permanent(f"{prefix}_URL_NOT_ALLOWED", "the host has an address that is not public")
    return addresses[0]


def _system_resolve(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]).split("%")[0] for entry in found]  # a zone (%eth0) belongs to link-local only
