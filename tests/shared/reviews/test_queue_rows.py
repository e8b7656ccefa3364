"""Rows of the queue as the jobs read them, old spellings included."""

from __future__ import annotations

from typing import Any

import pytest

from shared.reviews.queue import is_dead, queued_mail, type_of
from shared.reviews.stops import is_gone


def row(**columns: Any) -> dict[str, Any]:
    return {
        "id": "q1",
        "order_id": "o1",
        "template_type": "request",
        "sequence_number": 1,
        "status": "scheduled",
        "attempts": 0,
        "max_attempts": 5,
        "scheduled_at": None,
        "resend_count": 0,
        "customer_email": " ann@example.com ",
        "metadata": {},
        **columns,
    }


@pytest.mark.parametrize(
    ("template_type", "number", "expected"),
    [
        ("request", 1, "request"),
        ("reviewRequest", 1, "request"),
        ("reviewReminder", 2, "reminder_1"),
        ("reviewFinalReminder", 3, "reminder_2"),
        ("review_reminder_1", 2, "reminder_1"),
        (None, 1, "request"),
        (None, 2, "reminder_1"),
        (None, 3, "reminder_2"),
        (None, 7, "reminder_2"),
        ("unheard of", 2, "reminder_1"),
        ("photo_request", 2, "photo_request"),
    ],
)
def test_type_of_a_row(template_type: str | None, number: int, expected: str) -> None:
    assert type_of(template_type, number) == expected


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        ({}, "review:q1:0"),
        ({"resend_count": 2}, "review:q1:2"),
        ({"metadata": {"mailNumber": 1}}, "review:q1:0:f1"),
        ({"metadata": {"mailNumber": True}}, "review:q1:0"),
        ({"metadata": None}, "review:q1:0"),
        ({"metadata": ["what an app wrote"]}, "review:q1:0"),
    ],
)
def test_key_of_a_mail(columns: dict[str, Any], key: str) -> None:
    assert queued_mail(row(**columns)).dedupe_key == key


def test_row_shows_no_personal_data() -> None:
    queued = queued_mail(row())

    assert queued.email == "ann@example.com"
    assert "example.com" not in repr(queued)


@pytest.mark.parametrize(("attempts", "dead"), [(4, False), (5, True), (6, True), (None, False)])
def test_row_is_dead_after_its_last_attempt(attempts: int | None, dead: bool) -> None:
    assert is_dead(row(status="failed", attempts=attempts)) is dead


@pytest.mark.parametrize(
    ("address", "gone"),
    [
        ("", True),
        (None, True),
        ("redacted-1@redacted.invalid", True),
        ("deleted-1@DELETED.invalid", True),
        ("x@mail.deleted.invalid", True),
        ("ann@example.com", False),
        ("ann@notdeleted.invalid", False),
    ],
)
def test_address_of_a_customer_who_is_gone(address: str | None, gone: bool) -> None:
    assert is_gone(address) is gone
