"""Resend's delivery events, from the stored webhook to the ledger of mails."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from shared.jobs.testing import Deliver
from tests.builders.webhooks import NOON, a_vendors

Rows = Any

MAIL_ID = "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794"
HASH = "ab" * 32
BOUNCED_AT = datetime(2026, 11, 20, 11, 59, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def mail(rows: Rows) -> None:
    """A mail to the creator c1 that is out."""
    rows.execute(
        "INSERT INTO mail_messages (dedupe_key, template_key, category, recipient_type, recipient_id, recipient_hash,"
        " status, provider_message_id, sent_at)"
        " VALUES ('k1', 'creator_project_submitted', 'project', 'creator', 'c1', %s, 'sent', %s, %s)",
        (HASH, MAIL_ID, NOON),
    )


def an_event(kind: str, email_id: str = MAIL_ID, **data: Any) -> Any:
    """A webhook of Resend about a mail."""
    told = {"email_id": email_id, "to": ["ann@example.com"], "subject": "Spring", **data}
    return a_vendors("resend", kind, {"type": kind, "created_at": "2026-11-20T11:59:30.000Z", "data": told})


def test_bounce_suppresses_the_address_and_stops_the_creators_mails(deliver: Deliver, rows: Rows) -> None:
    done = deliver(an_event("email.bounced", bounce={"type": "Permanent", "message": "no such user"}))

    assert (done.result["outcome"], "code" in done.result) == ("completed", False)
    [held] = rows("SELECT address_hash, scope, reason, expires_at FROM mail_suppressions")
    assert held == {"address_hash": HASH, "scope": "all", "reason": "hard_bounce", "expires_at": None}
    assert rows("SELECT bounced_at, bounce_type FROM mail_messages") == [
        {"bounced_at": BOUNCED_AT, "bounce_type": "hard"}
    ]
    assert [(name, event["creatorId"], event["reason"]) for name, event in done.emitted] == [
        ("creator.email.cancel", "c1", "bounced")
    ]
    assert rows("SELECT resource_id FROM webhook_events") == [{"resource_id": MAIL_ID}]
    assert "ann@example.com" not in str(done)


@pytest.mark.parametrize(
    ("kind", "column"),
    [
        ("email.delivered", "delivered_at"),
        ("email.delivery_delayed", "delayed_at"),
        ("email.opened", "opened_at"),
        ("email.clicked", "clicked_at"),
        ("email.complained", "complained_at"),
    ],
)
def test_event_sets_its_instant_once(deliver: Deliver, rows: Rows, kind: str, column: str) -> None:
    deliver(an_event(kind))
    deliver(an_event(kind))

    assert rows("SELECT * FROM mail_messages")[0][column] == BOUNCED_AT


def test_mail_that_resend_gave_up_is_dead_and_told(deliver: Deliver, rows: Rows) -> None:
    done = deliver(an_event("email.failed", failed={"reason": "reached_daily_quota"}))

    assert rows("SELECT status, error_code FROM mail_messages") == [{"status": "dead", "error_code": "PROVIDER_FAILED"}]
    assert [name for name, _ in done.emitted] == ["alert.systemError"]


@pytest.mark.parametrize("kind", ["email.sent", "email.bounced"])
def test_mail_of_somebody_else_is_passed_over(deliver: Deliver, rows: Rows, kind: str) -> None:
    done = deliver(an_event(kind, "00000000-0000-0000-0000-000000000000"))

    assert (done.result["outcome"], done.emitted) == ("completed", [])
    assert rows("SELECT * FROM mail_suppressions") == []
