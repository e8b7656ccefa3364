"""Delivery events of mails that are out."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.jobs.testing import ManualClock
from shared.mail import Recorded, record_event, register_hook, suppress
from shared.mail.addresses import hash_address
from tests.conftest import Rows
from tests.shared.mail.conftest import ANN, Office

HARD = {"bounce": {"type": "Permanent", "subType": "General"}}
SOFT = {"bounce": {"type": "Transient", "subType": "MailboxFull"}}


def record(office: Office, clock: ManualClock, type: str, id: str, detail: Any = None, **more: Any) -> Recorded:
    at: datetime = more.get("at", clock.now())
    found = office.within(lambda s: record_event(s, type, id, at, detail, now=clock.now()))
    assert isinstance(found, Recorded)
    return found


def sent(office: Office, key: str = "k1", **more: Any) -> str:
    outcome = office.send(key, recipient_type="creator", recipient_id="c1", mandatory=True, **more)
    assert outcome.provider_id is not None
    return outcome.provider_id


def test_each_event_sets_its_instant_once(office: Office, rows: Rows, clock: ManualClock) -> None:
    id = sent(office)
    start = clock.now()
    kinds = {
        "email.delivered": "delivered_at",
        "email.delivery_delayed": "delayed_at",
        "opened": "opened_at",
        "clicked": "clicked_at",
    }

    for kind in kinds:
        assert record(office, clock, kind, id).news
        clock.advance(s=60)
        assert not record(office, clock, kind, id).news

    [row] = rows("SELECT * FROM mail_messages")
    assert [row[column] for column in kinds.values()] == [start + timedelta(minutes=n) for n in range(4)]
    assert row["status"] == "sent"


def test_unknown_mails_and_unknown_events_are_ignored(office: Office, clock: ManualClock) -> None:
    id = sent(office)

    assert record(office, clock, "email.delivered", "nobody").known is False
    assert record(office, clock, "email.sent", id) == Recorded(
        True, message_id=record(office, clock, "x", id).message_id
    )


def test_openings_and_clicks_show_in_the_creators_queue(office: Office, rows: Rows, clock: ManualClock) -> None:
    rows.execute(
        "INSERT INTO creator_email_queue (id, tenant_id, creator_id, creator_email, communication_type, metadata)"
        " VALUES ('q1', 'acme', 'c1', 'a@example.com', 'project', '{\"source\": \"app\"}')"
    )
    id = sent(office, queue_ref=("creator_email_queue", "q1"))
    opened = clock.now()
    record(office, clock, "opened", id)
    clock.advance(s=5)
    record(office, clock, "opened", id)
    record(office, clock, "clicked", id)

    [row] = rows("SELECT metadata FROM creator_email_queue")
    assert row["metadata"] == {
        "source": "app",
        "opened_at": opened.isoformat(),
        "clicked_at": clock.now().isoformat(),
    }


@pytest.mark.parametrize("detail", [HARD, {}, None, {"bounce": {}}], ids=["Permanent", "no bounce", "none", "no type"])
def test_a_hard_bounce_holds_the_address_back_for_ever(
    office: Office, rows: Rows, clock: ManualClock, detail: Any
) -> None:
    id = sent(office)

    done = record(office, clock, "email.bounced", id, detail)
    again = record(office, clock, "email.bounced", id, detail)

    assert (done.suppressed, again.suppressed) == (True, False)
    [row] = rows("SELECT * FROM mail_suppressions")
    assert (row["address_hash"], row["scope"], row["reason"]) == (hash_address(ANN), "all", "hard_bounce")
    assert (row["expires_at"], str(row["source_message_id"])) == (None, done.message_id)
    assert rows("SELECT bounce_type FROM mail_messages") == [{"bounce_type": "hard"}]
    [cancel] = office.events("creator.email.cancel")
    assert (cancel["creatorId"], cancel["reason"]) == ("c1", "bounced")


def test_the_third_soft_bounce_within_30_days_holds_the_address_back_for_90(
    office: Office, rows: Rows, clock: ManualClock
) -> None:
    for key in ("old", "a", "b"):
        record(office, clock, "email.bounced", sent(office, key), SOFT)
        assert rows("SELECT * FROM mail_suppressions") == []
        clock.advance(days=31 if key == "old" else 1)

    assert record(office, clock, "email.bounced", sent(office, "c"), SOFT).suppressed

    [row] = rows("SELECT * FROM mail_suppressions")
    assert (row["reason"], row["expires_at"]) == ("soft_bounce", clock.now() + timedelta(days=90))
    assert office.send("d", to="ann@example.com").reason == "suppressed:soft_bounce"
    clock.advance(days=91)
    assert office.send("e", to="ann@example.com").status == "sent"


def test_a_stronger_reason_replaces_a_weaker_one_and_never_the_reverse(
    office: Office, rows: Rows, clock: ManualClock
) -> None:
    hash = hash_address(ANN)
    soon, later = clock.now() + timedelta(days=1), clock.now() + timedelta(days=9)

    def hold(reason: Any, **more: Any) -> tuple[bool, str, Any]:
        fresh = office.within(lambda s: suppress(s, hash, reason, now=clock.now(), **more))
        [row] = rows("SELECT reason, expires_at FROM mail_suppressions")
        return fresh, row["reason"], row["expires_at"]

    assert hold("soft_bounce", expires_at=later) == (True, "soft_bounce", later)
    assert hold("soft_bounce", expires_at=soon) == (False, "soft_bounce", later)
    assert hold("complaint") == (False, "complaint", None)
    assert hold("soft_bounce", expires_at=later) == (False, "complaint", None)


def test_an_event_from_before_a_lifting_does_not_undo_it(office: Office, rows: Rows, clock: ManualClock) -> None:
    id = sent(office)
    bounced_at = clock.now()
    record(office, clock, "email.bounced", id, HARD)
    clock.advance(s=60)
    rows.execute("UPDATE mail_suppressions SET lifted_at = %s, lifted_by = 'u1'", (clock.now(),))
    clock.advance(s=60)

    assert not record(office, clock, "email.bounced", id, HARD, at=bounced_at).suppressed
    assert record(office, clock, "email.complained", id).suppressed
    [row] = rows("SELECT reason, lifted_at, lifted_by FROM mail_suppressions")
    assert row == {"reason": "complaint", "lifted_at": None, "lifted_by": None}


def test_a_complaint_holds_back_and_alarms_above_one_in_a_thousand(
    office: Office, rows: Rows, clock: ManualClock
) -> None:
    id = sent(office)
    record(office, clock, "email.delivered", id)
    rows.execute(
        "INSERT INTO mail_messages (dedupe_key, template_key, category, recipient_type, recipient_hash, status,"
        " sent_at, delivered_at) SELECT 'x' || n, 'x', 'project', 'other', n::text, 'sent', %(now)s, %(now)s"
        " FROM generate_series(1, 999) n",
        {"now": clock.now()},
    )

    record(office, clock, "email.complained", id)
    assert office.events("alert.systemError") == []  # 1 of 1000 is not above 0.1 %
    record(office, clock, "email.complained", sent(office, "k2", to="bob@example.com"))

    [alert] = office.events("alert.systemError")
    assert (alert["severity"], alert["source"], alert["dedupeKey"]) == ("warning", "mail", "mail-complaints:2026-11-20")
    assert alert["context"] == {"complaints": 2, "delivered": 1000}


def test_a_mail_that_resend_could_not_send_is_dead(office: Office, rows: Rows, clock: ManualClock) -> None:
    id = sent(office)

    record(office, clock, "email.failed", id)
    record(office, clock, "email.failed", id)

    [row] = rows("SELECT status, error_code, attempts, max_attempts FROM mail_messages")
    assert row == {"status": "dead", "error_code": "PROVIDER_FAILED", "attempts": 1, "max_attempts": 1}
    assert len(office.events("alert.systemError")) == 1


def test_an_address_on_resends_own_list(office: Office, rows: Rows, clock: ManualClock) -> None:
    assert record(office, clock, "email.suppressed", sent(office)).suppressed
    assert rows("SELECT reason FROM mail_suppressions") == [{"reason": "provider"}]


def test_a_queues_hook_hears_of_each_event_once(office: Office, clock: ManualClock) -> None:
    heard: list[Any] = []
    register_hook("toy_letters", lambda session, id, type, at: heard.append((id, type, at)))
    id = sent(office, queue_ref=("toy_letters", "l7"))

    for kind in ("email.delivered", "email.delivered", "email.opened"):
        record(office, clock, kind, id)

    assert heard == [("l7", "delivered", clock.now()), ("l7", "opened", clock.now())]
