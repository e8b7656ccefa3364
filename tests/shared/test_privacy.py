"""Scrubbing: what names or reaches a person, and keys of vendors, leave a text; ids, dates and counts stay."""

from __future__ import annotations

from typing import Any

import pytest

from shared.privacy import REDACTED, scrub, scrub_values


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("jane@x.com and shpat_abc", "[redacted] and [redacted]"),
        ("mail to jane.doe+x@mail.example.co.uk.", "mail to [redacted]."),
        ("call +1 (212) 555-0100 or 2125550100", "call [redacted] or [redacted]"),
        ("Authorization: Bearer abc.def", "Authorization: [redacted]"),
        ("sk_live_1, xoxb-12-ab, AC0123456789abcdef0123456789abcdef", "[redacted], [redacted], [redacted]"),
        ("run 019a1b2c-1111-7222-8333-444455556666", "run 019a1b2c-1111-7222-8333-444455556666"),
        ("since 2026-11-20T12:00:00Z and 2026-11-20", "since 2026-11-20T12:00:00Z and 2026-11-20"),
        ("1,234 of 5000 orders in 1200 ms", "1,234 of 5000 orders in 1200 ms"),
        ("order-12345678 and v1.2.3", "order-12345678 and v1.2.3"),
    ],
)
def test_text_is_scrubbed(text: str, scrubbed: str) -> None:
    assert scrub(text) == scrubbed


@pytest.mark.parametrize(
    ("value", "scrubbed"),
    [
        ({"password": "x", "n": 5}, {"password": REDACTED, "n": 5}),
        ({"a": [{"customerEmail": "x"}, "jane@x.com"]}, {"a": [{"customerEmail": REDACTED}, REDACTED]}),
        ({"ipAddress": "1.2.3.4"}, {"ipAddress": REDACTED}),
        ({"token": None, "cookie": 1}, {"token": None, "cookie": REDACTED}),
        ({"orderId": 5001234567890}, {"orderId": 5001234567890}),
    ],
)
def test_values_under_telling_keys_are_redacted(value: Any, scrubbed: Any) -> None:
    assert scrub_values(value) == scrubbed


def test_address_of_a_security_incident_is_kept() -> None:
    assert scrub_values({"ipAddress": "1.2.3.4"}, keep_ip=True) == {"ipAddress": "1.2.3.4"}
