"""The HTTP layer over real sockets: answers, failures, what is known to be unsent, redaction, streams."""

from __future__ import annotations

import gzip
import inspect
import logging
import socket
import tracemalloc
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from urllib3 import HTTPHeaderDict
from urllib3 import exceptions as wire

from shared.integrations.http import (
    FAILURES,
    MAX_BODY_BYTES,
    MAX_LINE_BYTES,
    Http,
    NotSent,
    RequestInvalid,
    redacted,
    retry_after_s,
    surely_not_sent,
)
from shared.jobs.errors import JobError, Permanent, RateLimited, Transient
from tests.shared.integrations.scripted import Vendor, cut, file, pour, reply

SECRET = "shpat_0123456789abcdef"


def get(url: str, **options: Any) -> Any:
    return Http().request("GET", url, vendor="acme", **options)


def closed_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# -- ordinary answers ------------------------------------------------------------------------------------------------


def test_json_goes_out_and_comes_back(vendor: Vendor) -> None:
    vendor.will(reply(201, {"name": "Ünal"}, X_Request_Id="r1"))

    answer = Http().request(
        "POST", f"{vendor.url}/orders?page=2", vendor="acme", headers={"X-Token": SECRET}, json={"a": ["é", None]}
    )

    asked = vendor.asked[0]
    assert (answer.status, answer.json(), answer.headers["x-request-ID"]) == (201, {"name": "Ünal"}, "r1")
    assert (asked.method, asked.path, asked.body) == ("POST", "/orders?page=2", '{"a":["é",null]}'.encode())
    assert asked.headers["Content-Type"] == "application/json"
    assert asked.headers["X-Token"] == SECRET


def test_gzip_is_undone(vendor: Vendor) -> None:
    vendor.will(reply(200, gzip.compress(b"plain"), Content_Encoding="gzip"))

    assert get(vendor.url).body == b"plain"


def test_one_connection_serves_several_calls(vendor: Vendor) -> None:
    vendor.will(reply(200, b"x"))

    for _ in range(3):
        get(vendor.url)

    assert len({asked.port for asked in vendor.asked}) == 1


def test_threads_may_share_the_port(vendor: Vendor) -> None:
    vendor.will(reply(200, b"x"))
    http = Http()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: http.request("GET", f"{vendor.url}/{n}", vendor="acme").status, range(24)))

    assert answers == [200] * 24
    assert {asked.path for asked in vendor.asked} == {f"/{n}" for n in range(24)}


def test_an_expected_status_is_an_answer(vendor: Vendor) -> None:
    vendor.will(reply(404, {"error": "none"}))

    assert get(vendor.url, ok=(404,)).json() == {"error": "none"}


# -- statuses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "headers", "error", "code", "after_s"),
    [
        (429, {"Retry-After": "7"}, RateLimited, "ACME_RATE_LIMITED", 7),
        (429, {"Retry-After": "2.0"}, RateLimited, "ACME_RATE_LIMITED", 2),
        (
            429,
            {"Date": "Fri, 20 Nov 2026 12:00:00 GMT", "Retry-After": "Fri, 20 Nov 2026 12:01:30 GMT"},
            RateLimited,
            "ACME_RATE_LIMITED",
            90,
        ),
        (429, {}, RateLimited, "ACME_RATE_LIMITED", 10),
        (429, {"Retry-After": "soon"}, RateLimited, "ACME_RATE_LIMITED", 10),
        (500, {}, Transient, "ACME_UNAVAILABLE", None),
        (503, {"Retry-After": "30"}, Transient, "ACME_UNAVAILABLE", 30),
        (504, {}, Transient, "ACME_UNAVAILABLE", None),
        (408, {}, Transient, "ACME_TIMEOUT", None),
        (400, {}, Permanent, "ACME_HTTP_400", None),
        (401, {}, Permanent, "ACME_HTTP_401", None),
        (404, {}, Permanent, "ACME_HTTP_404", None),
    ],
)
def test_statuses_become_errors(
    vendor: Vendor, status: int, headers: dict[str, str], error: type[JobError], code: str, after_s: float | None
) -> None:
    vendor.will(reply(status, f"body {SECRET}", **headers))

    with pytest.raises(JobError) as caught:
        get(vendor.url)

    assert (type(caught.value), caught.value.code) == (error, code)
    assert getattr(caught.value, "after_s", None) == after_s
    assert SECRET not in repr(caught.value)
    assert not surely_not_sent(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(vendor: Vendor, status: int) -> None:
    vendor.will(reply(status, Location=f"{vendor.url}/elsewhere"))

    with pytest.raises(Permanent, match=f"ACME_HTTP_{status}"):
        get(f"{vendor.url}/here")

    assert [asked.path for asked in vendor.asked] == ["/here"]


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "0"}, 0),
        ({"retry-after": " 120 "}, 120),
        ({"retry-after": "999999999"}, 86400),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:05 GMT"}, 5),
        ({"retry-after": "Fri, 20 Nov 2026 11:00:00 GMT"}, 0),
        ({"retry-after": "Fri, 20 Nov 2026 12:00:05 -0000"}, 5),
        ({"retry-after": "Friday, 20-Nov-26 12:00:09 GMT", "date": "Fri, 20 Nov 2026 12:00:04 GMT"}, 5),
        ({"retry-after": "tomorrow"}, None),
    ],
)
def test_retry_after_in_both_forms(headers: Mapping[str, str], seconds: float | None) -> None:
    now = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)

    assert retry_after_s(HTTPHeaderDict(headers), now=now) == seconds


# -- failures below HTTP ---------------------------------------------------------------------------------------------


def test_a_silent_vendor_is_a_timeout_of_unknown_outcome(vendor: Vendor) -> None:
    vendor.will(vendor.stall)

    with pytest.raises(Transient, match="ACME_TIMEOUT") as caught:
        get(vendor.url, timeout_s=0.1)

    assert not surely_not_sent(caught.value)


def test_a_body_that_drips_is_a_timeout(vendor: Vendor) -> None:
    vendor.will(vendor.drip)

    with pytest.raises(Transient, match="ACME_TIMEOUT"):
        get(vendor.url, timeout_s=0.1)


@pytest.mark.parametrize("behaviour", [cut(None), cut(100, b"half")], ids=["before the head", "within the body"])
def test_a_cut_connection_is_transient_of_unknown_outcome(vendor: Vendor, behaviour: Any) -> None:
    vendor.will(behaviour)

    with pytest.raises(Transient, match="ACME_UNAVAILABLE") as caught:
        get(vendor.url)

    assert not surely_not_sent(caught.value)
    assert len(vendor.asked) == 1  # not tried again by the layer itself


def test_a_refused_connection_was_surely_not_sent() -> None:
    with pytest.raises(NotSent, match="ACME_UNAVAILABLE") as caught:
        get(f"http://127.0.0.1:{closed_port()}/")

    assert surely_not_sent(caught.value)


def test_a_failed_handshake_was_surely_not_sent(vendor: Vendor) -> None:
    vendor.will(reply(200))

    with pytest.raises(NotSent, match="ACME_UNAVAILABLE") as caught:
        get(vendor.url.replace("http://", "https://"))  # the vendor speaks no TLS

    assert surely_not_sent(caught.value)
    assert vendor.asked == []


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("ftp://example.com/x", {}),
        ("no url at all", {}),
        ("http://127.0.0.1:99999/", {}),
        ("VENDOR", {"X-Token": f"{SECRET}\n"}),
        ("VENDOR", {"X-Token": f"{SECRET}\u20ac"}),
    ],
    ids=["scheme", "no host", "port", "header with a line break", "header beyond latin-1"],
)
def test_what_cannot_be_written_is_permanent(vendor: Vendor, url: str, headers: dict[str, str]) -> None:
    vendor.will(reply(200))

    with pytest.raises(RequestInvalid, match="ACME_REQUEST_INVALID") as caught:
        get(url.replace("VENDOR", vendor.url), headers=headers)

    assert surely_not_sent(caught.value)
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    assert vendor.asked == []


def test_every_exception_of_urllib3_is_judged() -> None:
    classes = {
        cls
        for _, cls in inspect.getmembers(wire, inspect.isclass)
        if issubclass(cls, Exception) and cls.__module__ == wire.__name__ and not issubclass(cls, Warning)
    }

    assert classes - FAILURES.keys() == set()


@pytest.mark.parametrize(
    ("error", "unsent"),
    [
        (wire.ConnectTimeoutError(), True),
        (wire.LocationParseError("x"), True),
        (wire.ProtocolError("x"), False),
        (wire.SSLError("x"), False),
        (ValueError("ours"), False),
        (RateLimited(1), False),
        (Transient("ACME_TIMEOUT"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_known_failures_count_as_unsent(error: Exception, unsent: bool) -> None:
    assert surely_not_sent(error) is unsent


# -- the run's bounds ------------------------------------------------------------------------------------------------


def test_no_call_begins_without_time(vendor: Vendor) -> None:
    vendor.will(reply(200))

    with pytest.raises(NotSent, match="ACME_TIMEOUT"):
        Http(deadline=lambda: 0.0).request("GET", vendor.url, vendor="acme")

    assert vendor.asked == []


def test_the_runs_time_cuts_the_timeout(vendor: Vendor) -> None:
    vendor.will(vendor.stall)

    with pytest.raises(Transient, match="ACME_TIMEOUT"):
        Http(deadline=lambda: 0.15).request("GET", vendor.url, vendor="acme", timeout_s=3600)


def test_an_open_session_forbids_the_call(vendor: Vendor) -> None:
    vendor.will(reply(200))

    def refuse() -> None:
        raise RuntimeError("a session is open")

    with pytest.raises(RuntimeError, match="a session is open"):
        Http(before=refuse).request("GET", vendor.url, vendor="acme")

    assert vendor.asked == []


def test_a_huge_body_is_refused_before_memory_is_full(vendor: Vendor) -> None:
    vendor.will(pour(b"x" * 1024 * 1024, MAX_BODY_BYTES // 1024**2 + 8))

    with pytest.raises(Permanent, match="ACME_ANSWER_TOO_LARGE"):
        get(vendor.url)


# -- what is written down --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "level"), [(200, logging.DEBUG), (500, logging.WARNING)], ids=["success", "failure"]
)
def test_the_log_names_the_call_and_no_secret(
    vendor: Vendor, caplog: pytest.LogCaptureFixture, status: int, level: int
) -> None:
    vendor.will(reply(status, f"body {SECRET}"))
    caplog.set_level(logging.DEBUG)
    log = logging.getLogger("test")

    with pytest.raises(Transient) if status == 500 else caplog.at_level(logging.DEBUG):
        Http(log=log).request(
            "POST",
            vendor.url.replace("//", f"//user:{SECRET}@") + f"/v1/orders/{SECRET}?token={SECRET}",
            vendor="acme",
            headers={"Authorization": SECRET},
            json={"secret": SECRET},
        )

    ours = [record for record in caplog.records if record.name == "test"]
    assert [record.levelno for record in ours] == [level]
    assert f"http acme POST {vendor.url[7:]}/v1/orders/* {status} " in ours[0].getMessage()
    assert SECRET not in ours[0].getMessage()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.example.com/x/y?z=1#f", "a.example.com/x/y"),
        ("https://u:p@a.example.com:8443/x", "a.example.com:8443/x"),
        ("https://a.example.com/people/ann@example.com/mail", "a.example.com/people/*/mail"),
        ("https://hooks.example.com/services/T0/B0/abcdefghijklmnopqrstuvwx", "hooks.example.com/services/T0/B0/*"),
        ("http://[::bad/", "?"),
    ],
)
def test_urls_are_redacted(url: str, shown: str) -> None:
    assert redacted(url) == shown


def test_an_answer_shows_only_its_status(vendor: Vendor) -> None:
    vendor.will(reply(200, SECRET, X_Token=SECRET))

    answer = get(vendor.url)

    assert SECRET not in repr(answer)


def test_no_json_is_transient_without_the_body(vendor: Vendor) -> None:
    vendor.will(reply(200, f"<html>{SECRET}"))
    answer = get(vendor.url)

    with pytest.raises(Transient, match="ACME_ANSWER_UNREADABLE") as caught:
        answer.json()

    assert SECRET not in repr(caught.value)
    assert caught.value.__context__ is None


# -- streams ---------------------------------------------------------------------------------------------------------


def lines_of(url: str, **headers: str) -> tuple[int, list[bytes]]:
    with Http().stream("GET", url, vendor="acme", headers=headers, ok=(416,)) as answer:
        return answer.status, list(answer.iter_lines())


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"a\nbc\n", [b"a\n", b"bc\n"]),
        (b"a\n\nlast", [b"a\n", b"\n", b"last"]),
        (b"a\rb\x0b\n", [b"a\rb\x0b\n"]),
        (b"x" * 200_000 + b"\ny\n", [b"x" * 200_000 + b"\n", b"y\n"]),
    ],
    ids=["empty", "whole lines", "last without an end", "only line feeds part", "longer than a chunk"],
)
def test_lines_add_up_to_the_file(vendor: Vendor, content: bytes, lines: list[bytes]) -> None:
    vendor.will(file(content))

    assert lines_of(vendor.url) == (200, lines)
    assert vendor.asked[0].headers["Accept-Encoding"] == "identity"


def test_a_range_goes_on_in_the_middle(vendor: Vendor) -> None:
    vendor.will(file(b"one\ntwo\nthree\n"))

    assert lines_of(vendor.url, Range="bytes=4-") == (206, [b"two\n", b"three\n"])
    assert lines_of(vendor.url, Range="bytes=14-") == (416, [])


def test_a_cut_stream_gives_whole_lines_and_then_fails(vendor: Vendor) -> None:
    vendor.will(cut(100, b"one\ntwo\nthr"))

    with Http().stream("GET", vendor.url, vendor="acme") as answer:
        lines = answer.iter_lines()

        assert [next(lines), next(lines)] == [b"one\n", b"two\n"]
        with pytest.raises(Transient, match="ACME_UNAVAILABLE"):
            next(lines)


def test_a_stream_ends_with_the_runs_time(vendor: Vendor) -> None:
    vendor.will(pour(b"line\n" * 20_000, 20))
    left = iter([10.0, 10.0, 10.0, 0.0])

    with (
        pytest.raises(Transient, match="ACME_TIMEOUT"),
        Http(deadline=lambda: next(left)).stream("GET", vendor.url, vendor="acme") as answer,
    ):
        for _ in answer.iter_lines():
            pass


def test_a_stream_of_any_length_needs_little_memory(vendor: Vendor) -> None:
    vendor.will(pour(b'{"id":"gid://shopify/Order/1"}\n' * 2_000, 400))  # 24.8 MB

    tracemalloc.start()
    with Http().stream("GET", vendor.url, vendor="acme") as answer:
        count = sum(1 for _ in answer.iter_lines())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 800_000
    assert peak < 3_000_000


def test_an_endless_line_is_refused(vendor: Vendor) -> None:
    vendor.will(pour(b"x" * 1024 * 1024, MAX_LINE_BYTES // 1024**2 + 4))

    with (
        pytest.raises(Permanent, match="ACME_ANSWER_TOO_LARGE"),
        Http().stream("GET", vendor.url, vendor="acme") as answer,
    ):
        list(answer.iter_lines())


def test_a_refused_stream_raises_like_any_call(vendor: Vendor) -> None:
    vendor.will(reply(403))

    with pytest.raises(Permanent, match="ACME_HTTP_403"), Http().stream("GET", vendor.url, vendor="acme"):
        pass
