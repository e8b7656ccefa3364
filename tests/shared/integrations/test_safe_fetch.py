"""Fetching what others name: which addresses are refused, and that the checked address is the one that is used."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import HTTPServer
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from shared.integrations import http as layer
from shared.integrations.http import Http, NotSent
from shared.integrations.safe_fetch import is_public, safe_fetch
from shared.jobs.errors import JobError, Permanent
from tests.shared.integrations.scripted import Vendor, pour, reply

HOST = "files.example.com"


def certificate(folder: Path) -> Path:
    """A self-signed certificate of HOST with its key, in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "files.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
def secure(
    vendor: Vendor, vendor_server: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Vendor]:
    """The scripted vendor behind TLS as https://files.example.com:<port>, its certificate trusted."""
    pem = certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    vendor_server.socket = tls.wrap_socket(vendor_server.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    layer._tls.cache_clear()
    vendor.url = vendor.url.replace("http://127.0.0.1", f"https://{HOST}")
    yield vendor
    layer._tls.cache_clear()


def fetch(url: str, **options: Any) -> Any:
    """safe_fetch for which every name is on this machine, and this machine is allowed."""
    options = {"max_bytes": 1000, "resolve": lambda host, port: ["127.0.0.1"], "allow": lambda address: True, **options}
    return safe_fetch(Http(), url, **options)


def test_the_checked_address_is_the_one_that_is_used(secure: Vendor) -> None:
    secure.will(reply(200, b"content"))

    answer = fetch(f"{secure.url}/a/b?c=d")

    assert answer.body == b"content"
    assert secure.asked[0].path == "/a/b?c=d"
    assert secure.asked[0].headers["Host"] == secure.url.removeprefix("https://")


def test_the_certificate_must_be_the_hosts(secure: Vendor) -> None:
    secure.will(reply(200))

    with pytest.raises(NotSent, match="FETCH_UNAVAILABLE"):
        fetch(secure.url.replace(HOST, "other.example.com"))

    assert secure.asked == []


def test_redirects_are_followed_and_checked(secure: Vendor) -> None:
    secure.will(reply(302, Location="/next"), reply(200, b"there"))

    assert fetch(f"{secure.url}/first").body == b"there"
    assert [asked.path for asked in secure.asked] == ["/first", "/next"]


@pytest.mark.parametrize(
    "location",
    ["http://files.example.com/x", "https://inside.example.com/", "file:///etc/passwd", "//u:p@files.example.com/"],
)
def test_a_redirect_into_the_forbidden_is_refused(secure: Vendor, location: str) -> None:
    secure.will(reply(302, Location=location))

    def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.1"] if host == HOST else ["10.0.0.1"]

    with pytest.raises(Permanent, match="FETCH_URL_NOT_ALLOWED"):
        fetch(secure.url, resolve=resolve, allow=lambda address: str(address) != "10.0.0.1")

    assert len(secure.asked) == 1


@pytest.mark.parametrize(("redirects", "code"), [(0, "FETCH_TOO_MANY_REDIRECTS"), (3, "FETCH_TOO_MANY_REDIRECTS")])
def test_a_circle_ends(secure: Vendor, redirects: int, code: str) -> None:
    secure.will(reply(302, Location="/again"))

    with pytest.raises(Permanent, match=code):
        fetch(secure.url, redirects=redirects)

    assert len(secure.asked) == redirects + 1


def test_a_body_above_the_limit_is_refused(secure: Vendor) -> None:
    secure.will(pour(b"x" * 100, 11))

    with pytest.raises(Permanent, match="FETCH_ANSWER_TOO_LARGE"):
        fetch(secure.url)


@pytest.mark.parametrize(
    ("url", "options", "code"),
    [
        ("http://files.example.com/", {}, "FETCH_URL_NOT_ALLOWED"),
        ("https://user@files.example.com/", {}, "FETCH_URL_NOT_ALLOWED"),
        ("https:///x", {}, "FETCH_URL_NOT_ALLOWED"),
        ("https://[::1", {}, "FETCH_URL_NOT_ALLOWED"),
        ("https://other.example.com/", {"allowed_hosts": {"files.example.com"}}, "FETCH_URL_NOT_ALLOWED"),
        ("https://files.example.com/", {"allow": is_public}, "FETCH_URL_NOT_ALLOWED"),
        (
            "https://files.example.com/",
            {"allow": is_public, "resolve": lambda host, port: ["93.184.216.34", "10.0.0.1"]},
            "FETCH_URL_NOT_ALLOWED",
        ),
        ("https://files.example.com/", {"resolve": lambda host, port: []}, "FETCH_UNAVAILABLE"),
    ],
    ids=["no TLS", "user", "no host", "no URL", "not listed", "loopback", "one address private", "no address"],
)
def test_what_is_refused_before_any_call(url: str, options: dict[str, Any], code: str) -> None:
    with pytest.raises(JobError) as caught:
        fetch(url, **options)

    assert caught.value.code == code


@pytest.mark.parametrize("name", ["localhost", "127.1", "0x7f000001", "0"])
def test_names_of_this_machine_are_refused(name: str) -> None:
    with pytest.raises(JobError):
        safe_fetch(Http(), f"https://{name}:1/", max_bytes=10)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1::1", True),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("127.0.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::a00:1", False),
        ("64:ff9b:1::a00:1", False),
        ("2002:a00:1::", False),
        ("2001:0:1::", False),
    ],
)
def test_only_the_open_internet_is_public(address: str, public: bool) -> None:
    assert is_public(ip_address(address)) is public
