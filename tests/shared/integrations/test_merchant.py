"""The client of Merchant API v1: names, what an answer means, the hour at which a quota returns."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.integrations.http import Response
from shared.integrations.merchant import _facts, _too_much, input_name, quota_returns_at, read_refusal
from shared.jobs.errors import RateLimited


def answer(status: int, error: Any = None, **headers: str) -> Response:
    body = error if isinstance(error, bytes) else json.dumps({"error": error}).encode()
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.mark.parametrize(
    ("offer_id", "plain"),
    [("1_2", True), ("SKU-1", True), ("a/b", False), ("a b", False), ("ä", False), ("a.b", False), ("a~b", False)],
)
def test_name_of_an_input(offer_id: str, plain: bool) -> None:
    name = input_name("en", "US", offer_id)

    wanted = f"en~US~{offer_id}"
    if plain:
        assert name == wanted
    else:
        assert "=" not in name
        assert base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode() == wanted


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-11-20T11:59:59Z", "2026-11-20T12:10:00Z"),
        ("2026-11-20T12:00:00Z", "2026-11-21T12:10:00Z"),
        ("2026-11-20T12:05:00Z", "2026-11-21T12:10:00Z"),
        ("2026-11-20T23:30:00-08:00", "2026-11-21T12:10:00Z"),
        ("2026-07-01T06:00:00Z", "2026-07-01T12:10:00Z"),
    ],
    ids=["before noon", "at noon", "the new day's quota is used up too", "clock of another zone", "summer"],
)
def test_quota_returns_at_noon_utc(now: str, expected: str) -> None:
    assert quota_returns_at(datetime.fromisoformat(now)) == datetime.fromisoformat(expected).astimezone(UTC)


@pytest.mark.parametrize(
    ("error", "code", "attribute"),
    [
        (
            {"message": "m", "details": [{"metadata": {"REASON": "INVALID_URL",
                                                       "FIELD_LOCATION": "productInput.productAttributes.imageLink"}}]},
            "INVALID_URL", "image_link",
        ),
        ({"status": "INVALID_ARGUMENT", "message": "m"}, "INVALID_ARGUMENT", ""),
        (
            {"status": "INVALID_ARGUMENT", "details": [{"fieldViolations": [
                {"field": "product_attributes.gtins[0]", "description": "d"}]}]},
            "INVALID_ARGUMENT", "product_attributes",
        ),
        ({"details": [{"metadata": {"REASON": "two words"}}]}, "UNKNOWN", ""),
        (b"<html>", "HTTP_400", ""),
        ("text", "HTTP_400", ""),
    ],
)  # fmt: skip
def test_refusal(error: Any, code: str, attribute: str) -> None:
    refused = read_refusal(answer(400, error))

    assert (refused.code, refused.attribute) == (code, attribute)
    assert "message" not in repr(refused)


def test_too_many_requests() -> None:
    def quota(reason: str, **headers: str) -> Exception:
        return _too_much(answer(429, {"details": [{"metadata": {"REASON": reason}}]}, **headers))

    assert type(quota("quota/daily_limit_exceeded")).__name__ == "DailyLimit"
    assert type(quota("QUOTA_TOO_MANY_REQUESTS")).__name__ == "DailyLimit"
    assert type(quota("QUOTA_REQUEST_RATE_TOO_HIGH")).__name__ == "RateLimited"
    waits = [quota("quota/request_rate_too_high", Retry_After="12"), quota("quota/request_rate_too_high")]
    assert [each.after_s for each in waits if isinstance(each, RateLimited)] == [12.0, 60.0]
    assert _facts(answer(429, b"")) == ("HTTP_429", "", "")
