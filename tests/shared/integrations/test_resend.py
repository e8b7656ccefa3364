"""What Resend's answers mean."""

from __future__ import annotations

import json
from typing import Any

import pytest
from urllib3 import HTTPHeaderDict

from shared.integrations.http import Response
from shared.integrations.resend import (
    Answer,
    Busy,
    Exhausted,
    Refused,
    Sent,
    Unconfigured,
    _remember_pace,
    pace,
    read_answer,
)
from shared.jobs.errors import Transient


def answer(status: int, said: Any, **headers: str) -> Response:
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    return Response(status, HTTPHeaderDict({k.replace("_", "-"): v for k, v in headers.items()}), body, "resend")


def refusal(status: int, name: str, message: str = "", **headers: str) -> Response:
    return answer(status, {"statusCode": status, "name": name, "message": message}, **headers)


@pytest.mark.parametrize(
    ("given", "meaning"),
    [
        (answer(200, {"id": "m1"}), Sent("m1")),
        (refusal(400, "validation_error", "Invalid `to` field."), Refused("INVALID_RECIPIENT", "validation_error")),
        (refusal(422, "validation_error", "Invalid `to` field."), Refused("INVALID_RECIPIENT", "validation_error")),
        (
            refusal(422, "missing_required_field", "Missing `subject`"),
            Refused("INVALID_MESSAGE", "missing_required_field"),
        ),
        (refusal(422, "invalid_attachment"), Refused("INVALID_MESSAGE", "invalid_attachment")),
        (refusal(422, "invalid_from_address"), Refused("INVALID_MESSAGE", "invalid_from_address")),
        (refusal(400, "invalid_idempotency_key"), Refused("INVALID_MESSAGE", "invalid_idempotency_key")),
        (refusal(404, "not_found"), Refused("INVALID_MESSAGE", "not_found")),
        (refusal(405, "method_not_allowed"), Refused("INVALID_MESSAGE", "method_not_allowed")),
        (refusal(451, "security_error"), Refused("INVALID_MESSAGE", "security_error")),
        (refusal(401, "missing_api_key"), Unconfigured("missing_api_key")),
        (refusal(401, "validation_error", "API key is invalid"), Unconfigured("invalid_api_key")),
        (refusal(400, "validation_error", "API key is invalid"), Unconfigured("invalid_api_key")),
        (refusal(403, "invalid_api_key", "API key is invalid"), Unconfigured("invalid_api_key")),
        (refusal(401, "restricted_api_key"), Unconfigured("restricted_api_key")),
        (refusal(403, "validation_error", "The a.test domain is not verified."), Unconfigured("domain_not_verified")),
        (refusal(409, "concurrent_idempotent_requests"), Busy(1.0, rate=False)),
        (refusal(409, "invalid_idempotent_request"), Refused("IDEMPOTENCY_CONFLICT", "invalid_idempotent_request")),
        (refusal(429, "rate_limit_exceeded", retry_after="3"), Busy(3.0, rate=True)),
        (refusal(429, "rate_limit_exceeded", ratelimit_reset="2"), Busy(2.0, rate=True)),
        (answer(429, b"too much"), Busy(1.0, rate=True)),
        (refusal(429, "daily_quota_exceeded", retry_after="9"), Exhausted("day")),
        (refusal(429, "monthly_quota_exceeded"), Exhausted("month")),
        (answer(422, b"<html>"), Refused("INVALID_MESSAGE", "http_422")),
        (refusal(422, "Ann <ann@example.com>"), Refused("INVALID_MESSAGE", "http_422")),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_answers(given: Response, meaning: Answer) -> None:
    assert read_answer(given) == meaning


@pytest.mark.parametrize("said", [{}, {"id": ""}, {"id": 5}, [], b"<html>"])
def test_a_200_without_an_id_leaves_the_outcome_open(said: Any) -> None:
    with pytest.raises(Transient, match="RESEND_ANSWER_UNREADABLE"):
        read_answer(answer(200, said))


@pytest.mark.parametrize(
    ("headers", "spacing_s"),
    [
        ({}, 0.55),
        ({"ratelimit_limit": "2"}, 0.55),
        ({"ratelimit_limit": "10"}, 0.11),
        ({"ratelimit_limit": "120", "ratelimit_policy": "120;w=60"}, 0.55),
        ({"ratelimit_limit": "0"}, 0.55),
        ({"ratelimit_limit": "many"}, 0.55),
    ],
    ids=str,
)
def test_the_pace_follows_the_headers(headers: dict[str, str], spacing_s: float) -> None:
    tenant = f"pace-{sorted(headers.items())}"

    _remember_pace(tenant, answer(200, {}, **headers).headers)

    assert 1 / pace(tenant).per_s == pytest.approx(spacing_s)
