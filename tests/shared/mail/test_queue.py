"""The queue of creators' mails."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.jobs.testing import ManualClock
from shared.mail import Letter, enqueue, enqueue_many, find_people
from tests.conftest import Rows
from tests.shared.mail.conftest import Office


@pytest.fixture(autouse=True)
def people(rows: Rows) -> None:
    """A creator, somebody who has applied and somebody who began to."""
    rows.execute(
        "INSERT INTO creators (id, email, first_name, last_name) VALUES ('c1', 'ann@example.com', 'Ann', 'Bee'),"
        " ('c2', 'cid@example.com', 'Cid', 'Dee')"
    )
    rows.execute("INSERT INTO creator_applications (id, name, email) VALUES ('a1', 'Eve Foo', 'eve@example.com')")
    rows.execute(
        "INSERT INTO creator_application_drafts (id, email, draft_data)"
        " VALUES ('d1', 'gil@example.com', '{\"firstName\": \"Gil\"}')"
    )


def letter(key: str, recipient: str = "c1", template: str = "creator_project_assigned", **more: object) -> Letter:
    return Letter(recipient, template, "project", key, {"projectTitle": "Spring"}, **more)  # type: ignore[arg-type]


def test_one_key_is_one_row_and_the_second_is_told_so(office: Office, rows: Rows, clock: ManualClock) -> None:
    at = clock.now() + timedelta(hours=5)

    first = office.within(lambda s: enqueue(s, "acme", letter("a", scheduled_for=at), now=clock.now()))
    again = office.within(lambda s: enqueue(s, "acme", letter("a"), now=clock.now()))

    assert (first.deduplicated, first.status, first.scheduled_at) == (False, "scheduled", at)
    assert (again.deduplicated, again.id, again.scheduled_at) == (True, first.id, at)
    [row] = rows("SELECT * FROM creator_email_queue")
    assert (row["tenant_id"], row["creator_email"], row["creator_name"]) == ("acme", "ann@example.com", "Ann Bee")
    assert (row["communication_type"], row["template_type"], row["category"]) == (
        "project",
        "creator_project_assigned",
        "project",
    )
    assert (row["priority"], row["max_attempts"], row["trigger_event"]) == (3, 5, "immediate")
    assert row["metadata"]["variables"] == {"projectTitle": "Spring"}
    assert row["metadata"]["originalScheduledAt"] == at.isoformat()


def test_ten_mails_of_a_creator_get_ten_numbers_in_one_statement(
    office: Office, rows: Rows, clock: ManualClock
) -> None:
    office.within(lambda s: enqueue(s, "acme", letter("before"), now=clock.now()))
    letters = [letter(f"k{n}") for n in range(10)] + [letter("k3"), letter("other", "c2"), letter("gone", "c9")]

    answers = office.within(lambda s: enqueue_many(s, "acme", letters, now=clock.now()))

    numbers = rows("SELECT sequence_number FROM creator_email_queue WHERE creator_id = 'c1' ORDER BY 1")
    assert [row["sequence_number"] for row in numbers] == list(range(1, 12))
    assert [answer.deduplicated for answer in answers[:12]] == [False] * 10 + [True, False]
    assert answers[10].id == answers[3].id
    assert answers[12] is None


def test_the_tenants_delay_is_added(office: Office, rows: Rows, clock: ManualClock) -> None:
    rows.execute(
        "INSERT INTO creator_notification_settings (notification_type, display_name, delay_minutes)"
        " VALUES ('project_assigned', 'x', 30)"
    )
    at = clock.now() + timedelta(hours=1)

    later = office.within(lambda s: enqueue(s, "acme", letter("a", scheduled_for=at), now=clock.now()))
    past = office.within(
        lambda s: enqueue(s, "acme", letter("b", scheduled_for=at - timedelta(days=9)), now=clock.now())
    )
    other = office.within(lambda s: enqueue(s, "acme", letter("c", template="creator_setup_complete"), now=clock.now()))

    assert later.scheduled_at == at + timedelta(minutes=30)
    assert past.scheduled_at == clock.now() + timedelta(minutes=30)
    assert other.scheduled_at == clock.now()


def test_people_are_found_by_reference(office: Office) -> None:
    found = office.within(lambda s: find_people(s, ["c1", "application:a1", "draft:d1", "draft:d2", "c9"]))

    assert {reference: (person.email, person.name) for reference, person in found.items()} == {
        "c1": ("ann@example.com", "Ann Bee"),
        "application:a1": ("eve@example.com", "Eve Foo"),
        "draft:d1": ("gil@example.com", "Gil"),
    }
    assert "example.com" not in repr(found)


def test_an_unknown_recipient_is_refused(office: Office, clock: ManualClock) -> None:
    def ask(recipient: str) -> object:
        return office.run(
            lambda ctx: _enqueue(ctx, letter("x", recipient), clock),
            expect="dead",
        )

    assert ask("c9").code == "CREATOR_NOT_FOUND"  # type: ignore[attr-defined]


def _enqueue(ctx: object, wanted: Letter, clock: ManualClock) -> object:
    with ctx.tenant_session() as session:  # type: ignore[attr-defined]
        return enqueue(session, "acme", wanted, now=clock.now())


def test_a_draft_takes_the_drafts_address(office: Office, rows: Rows, clock: ManualClock) -> None:
    office.within(lambda s: enqueue(s, "acme", letter("a", "draft:d1"), now=clock.now()))

    assert rows("SELECT creator_id, creator_email, creator_name FROM creator_email_queue") == [
        {"creator_id": "draft:d1", "creator_email": "gil@example.com", "creator_name": "Gil"}
    ]
