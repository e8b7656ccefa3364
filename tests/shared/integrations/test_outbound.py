"""Where outbound webhooks may go, and how they are signed."""

from __future__ import annotations

import socket
import threading

import pytest

from shared.integrations.outbound import Target, check_target, post, resolve_all
from shared.jobs.errors import Permanent, Transient
from shared.tokens import sign_webhook

PUBLIC = ["93.184.216.34"]

REFUSED: list[tuple[str, str, list[str]]] = [
    ("http", "http://example.com/", PUBLIC),
    ("ftp", "ftp://example.com/", PUBLIC),
    ("no host", "https:///x", PUBLIC),
    ("user in the URL", "https://user:pw@example.com/", PUBLIC),
    ("bad port", "https://example.com:99999/", PUBLIC),
    ("not a URL", "https://[::1", PUBLIC),
    ("loopback", "https://example.com/", ["127.0.0.1"]),
    ("private 10/8", "https://example.com/", ["10.1.2.3"]),
    ("private 172.16/12", "https://example.com/", ["172.31.0.1"]),
    ("private 192.168/16", "https://example.com/", ["192.168.1.1"]),
    ("link-local, cloud metadata", "https://example.com/", ["169.254.169.254"]),
    ("carrier-grade NAT", "https://example.com/", ["100.64.0.1"]),
    ("this network", "https://example.com/", ["0.0.0.0"]),
    ("multicast", "https://example.com/", ["224.0.0.1"]),
    ("broadcast", "https://example.com/", ["255.255.255.255"]),
    ("IPv6 loopback", "https://example.com/", ["::1"]),
    ("IPv6 link-local with zone", "https://example.com/", ["fe80::1%eth0"]),
    ("IPv6 unique local, EC2 metadata", "https://example.com/", ["fd00:ec2::254"]),
    ("IPv4 in IPv6", "https://example.com/", ["::ffff:10.0.0.1"]),
    ("NAT64 of a private address", "https://example.com/", ["64:ff9b::a00:1"]),
    ("6to4 of a private address", "https://example.com/", ["2002:a00:1::"]),
    ("one bad address among good ones", "https://example.com/", [*PUBLIC, "10.0.0.1"]),
]


@pytest.mark.parametrize(("url", "addresses"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_target_is_refused(url: str, addresses: list[str]) -> None:
    with pytest.raises(Permanent) as refused:
        check_target(url, resolve=lambda host, port: addresses)

    assert refused.value.code == "OUTBOUND_TARGET_REFUSED"
    assert "example.com" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["https://2130706433/", "https://0x7f000001/", "https://localhost/", "https://127.1/"], ids=str
)
def test_spellings_of_loopback_are_seen_through_by_the_resolver(url: str) -> None:
    with pytest.raises(Permanent, match="OUTBOUND_TARGET_REFUSED"):
        check_target(url)


def test_public_target_is_pinned_to_the_address_that_was_checked() -> None:
    target = check_target("https://hooks.example.com:8443/a?b=1", resolve=lambda host, port: PUBLIC)

    assert target == Target("https", "hooks.example.com", 8443, "93.184.216.34", "/a?b=1")
    assert "b=1" not in repr(target)


def test_loopback_hook_admits_this_machine_and_nothing_else() -> None:
    assert check_target("http://127.0.0.1:8000/x", allow_loopback=True).address == "127.0.0.1"
    with pytest.raises(Permanent, match="OUTBOUND_TARGET_REFUSED"):
        check_target("http://10.0.0.1/", allow_loopback=True)
    with pytest.raises(Permanent, match="OUTBOUND_TARGET_REFUSED"):
        check_target("http://example.com/", allow_loopback=True, resolve=lambda host, port: PUBLIC)


def test_name_that_does_not_resolve_may_resolve_later() -> None:
    with pytest.raises(Transient, match="OUTBOUND_UNAVAILABLE"):
        check_target("https://example.com/", resolve=lambda host, port: [])
    assert resolve_all("a" * 70 + ".example", 443) == []  # no label is that long


def test_target_that_never_answers_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = Target("http", "127.0.0.1", silent.getsockname()[1], "127.0.0.1", "/")

        with pytest.raises(Transient, match="OUTBOUND_TIMEOUT"):
            post(target, b"{}", {}, timeout_s=0.1)


def test_target_that_hangs_up_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closing:
        port = closing.getsockname()[1]
    target = Target("http", "127.0.0.1", port, "127.0.0.1", "/")

    with pytest.raises(Transient, match="OUTBOUND_UNAVAILABLE"):
        post(target, b"{}", {})


def test_tls_is_asked_of_the_name_at_the_checked_address() -> None:
    """A plain-text server at the address: the handshake fails, the request is never written in the clear."""
    with socket.create_server(("127.0.0.1", 0)) as plain:
        plain.settimeout(2)
        target = Target("https", "hooks.example.com", plain.getsockname()[1], "127.0.0.1", "/")
        seen: list[bytes] = []

        def serve() -> None:
            connection, _ = plain.accept()
            with connection:
                seen.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(Transient, match="OUTBOUND_UNAVAILABLE"):
            post(target, b'{"secret":1}', {}, timeout_s=2)
        thread.join()

    assert b"hooks.example.com" in seen[0]  # server name indication
    assert b"secret" not in seen[0]


def test_signature() -> None:
    # printf '%s' '1700000000.{"a":1}' | openssl dgst -sha256 -hmac whsec_test
    assert sign_webhook("whsec_test", b'{"a":1}', 1_700_000_000) == (
        "t=1700000000,v1=38877139021993b830af32feea6e18a8da83eb2f6e49ee50bd9e4cf4ca4d3789"
    )
