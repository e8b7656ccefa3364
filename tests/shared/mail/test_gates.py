"""Whether a mail may go, and when."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

import pytest

from shared.fakes.resend import ResendFake
from shared.jobs.testing import ManualClock
from shared.mail import is_suppressed, suppress
from shared.mail.addresses import hash_address
from shared.mail.gates import quiet
from tests.conftest import Rows
from tests.shared.mail.conftest import ANN, Office

APPROVED = {"creatorName": "Ann", "loginUrl": "https://portal.acme.test/in"}
PAYMENT = {"creatorName": "Ann", "amount": "$5", "payoutUrl": "https://portal.acme.test/pay"}


def creator(rows: Rows, status: str = "active", **switches: bool) -> dict[str, Any]:
    """A creator with a public identity; the arguments of mail() that name them."""
    id = "11111111-2222-3333-4444-555555555555"
    rows.execute(
        "INSERT INTO creators (id, email, first_name, last_name, status)"
        " VALUES (%s, 'ann@example.com', 'Ann', 'B', %s)",
        (id, status),
    )
    rows.execute("INSERT INTO public.creators (id, email, name) VALUES (%s, 'ann@example.com', 'Ann')", (id,))
    rows.execute(
        "INSERT INTO public.creator_brand_memberships (creator_id, organization_id)"
        " SELECT %s, id FROM public.organizations WHERE slug = 'acme'",
        (id,),
    )
    updated = switches.get("email_project_updated", True)
    rows.execute(
        "INSERT INTO public.creator_notification_settings (creator_id, email_project_updated) VALUES (%s, %s)",
        (id, updated),
    )
    return {"recipient_type": "creator", "recipient_id": id}


@pytest.mark.parametrize("reason", ["complaint", "hard_bounce", "manual", "provider"])
def test_a_held_back_address_gets_nothing_not_even_of_category_account(
    office: Office, clock: ManualClock, reason: Any
) -> None:
    office.within(lambda s: suppress(s, hash_address(ANN), reason, now=clock.now()))

    outcome = office.send(template="creator_application_approved", variables=APPROVED, category="account")

    assert (outcome.status, outcome.reason) == ("skipped", f"suppressed:{reason}")
    assert office.send("k1").reason == f"suppressed:{reason}"


def test_who_unsubscribed_from_everything_still_gets_what_belongs_to_an_account(
    office: Office, clock: ManualClock
) -> None:
    office.within(lambda s: suppress(s, hash_address(ANN), "unsubscribe", now=clock.now()))

    assert office.send("a", "creator_application_approved", variables=APPROVED, category="account").status == "sent"
    assert office.send("b", category="transactional").status == "sent"
    assert office.send("c", category="contract").reason == "suppressed:unsubscribe"


def test_unsubscribing_from_one_category_spares_the_others_and_what_is_mandatory(
    office: Office, clock: ManualClock
) -> None:
    office.within(lambda s: suppress(s, hash_address(ANN), "unsubscribe", now=clock.now(), scope="project"))

    assert office.send("a").reason == "unsubscribed"
    assert office.send("b", category="shipment").status == "sent"
    assert office.send("c", mandatory=True).status == "sent"


def test_a_suppression_ends_when_lifted_or_expired(office: Office, rows: Rows, clock: ManualClock) -> None:
    now = clock.now()
    office.within(lambda s: suppress(s, hash_address(ANN), "soft_bounce", now=now, expires_at=now))
    assert office.within(lambda s: is_suppressed(s, ANN, "project", now=now)) is None
    office.within(lambda s: suppress(s, hash_address(ANN), "complaint", now=now))
    assert office.within(lambda s: is_suppressed(s, "  ANN@example.com ", "project", now=now)) == "suppressed:complaint"
    rows.execute("UPDATE mail_suppressions SET lifted_at = %s", (clock.now(),))

    assert office.within(lambda s: is_suppressed(s, ANN, "project", now=now)) is None


def test_the_creators_own_switch(office: Office, rows: Rows) -> None:
    who = creator(rows, email_project_updated=False)

    assert office.send("a", **who).reason == "opted_out"
    assert office.send("b", mandatory=True, **who).status == "sent"
    assert office.send("c", "creator_project_assigned", **who).status == "sent"  # it has a switch of its own
    assert office.send("d", "creator_payment_available", variables=PAYMENT, category="payment", **who).status == "sent"


def test_a_creator_known_by_address_only_and_one_without_switches(office: Office, rows: Rows) -> None:
    who = creator(rows, email_project_updated=False)
    rows.execute("UPDATE creators SET id = 'old-1'")
    assert office.send("a", recipient_type="creator", recipient_id="old-1").reason == "opted_out"
    rows.execute("DELETE FROM public.creator_notification_settings")

    assert office.send("b", **who).status == "sent"


@pytest.mark.parametrize("switches", [(False, True), (True, False)], ids=["type off", "mail off"])
def test_a_notification_type_that_the_tenant_switched_off(
    office: Office, rows: Rows, switches: tuple[bool, bool]
) -> None:
    for kind in ("project_assigned", "application_approved"):
        rows.execute(
            "INSERT INTO creator_notification_settings (notification_type, display_name, is_enabled, email_enabled)"
            " VALUES (%s, 'x', %s, %s)",
            (kind, *switches),
        )

    assert office.send("a", "creator_project_assigned", mandatory=True).reason == "notification_disabled"
    assert office.send("b", "creator_application_approved", variables=APPROVED, category="account").status == "sent"


def test_a_routing_that_the_tenant_switched_off(office: Office, rows: Rows) -> None:
    for key in ("creator_project_submitted", "creator_application_approved"):
        rows.execute(
            "INSERT INTO tenant_notification_routing (notification_type, is_enabled) VALUES (%s, false)", (key,)
        )

    assert office.send("a").reason == "routing_disabled"
    assert office.send("b", "creator_application_approved", variables=APPROVED, category="account").status == "sent"


@pytest.mark.parametrize(
    ("status", "reason", "passing"),
    [
        ("terminated", "creator_inactive", {"account", "payment"}),
        ("inactive", "creator_inactive", {"account", "payment"}),
        ("paused", "creator_paused", {"account", "payment", "contract", "message"}),
        ("active", None, {"account", "payment", "contract", "message", "project", "onboarding"}),
    ],
)
def test_the_state_of_the_creator(office: Office, rows: Rows, status: str, reason: str, passing: set[str]) -> None:
    who = creator(rows, status)
    rows.execute("UPDATE creators SET email = 'ann@example.com'")

    outcomes = {
        category: office.send(category, category=category, mandatory=True, **who)
        for category in ("account", "payment", "contract", "message", "project", "onboarding")
    }

    assert {category for category, outcome in outcomes.items() if outcome.status == "sent"} == passing
    assert {outcome.reason for outcome in outcomes.values() if outcome.status == "skipped"} <= {reason}


def quiet_hours(rows: Rows, start: str = "22:00", end: str = "08:00", zone: str = "America/New_York") -> None:
    rows.execute(
        "INSERT INTO creator_communication_settings"
        " (quiet_hours_enabled, quiet_hours_start, quiet_hours_end, quiet_hours_timezone) VALUES (true, %s, %s, %s)",
        (start, end, zone),
    )


def test_quiet_hours_hold_a_project_mail_and_not_an_account_mail(
    office: Office, resend: ResendFake, rows: Rows, clock: ManualClock
) -> None:
    quiet_hours(rows)
    clock.advance(s=(datetime(2026, 11, 24, 4, 30, tzinfo=UTC) - clock.now()).total_seconds())  # 23:30 in New York

    held = office.send("a")
    sent = office.send("b", "creator_application_approved", variables=APPROVED, category="account")

    assert (held.status, held.retry_at) == ("queued", datetime(2026, 11, 24, 13, 0, tzinfo=UTC))
    assert sent.status == "sent"
    [row] = rows("SELECT status, attempts, scheduled_at FROM mail_messages WHERE dedupe_key = 'a'")
    assert row == {"status": "queued", "attempts": 0, "scheduled_at": held.retry_at}
    clock.advance(s=8.5 * 3600)
    assert office.send("a").status == "sent"


@pytest.mark.parametrize(
    ("start", "end", "zone", "now", "until"),
    [
        (time(22), time(8), "America/New_York", "2026-11-24T03:00Z", "2026-11-24T13:00Z"),  # 22:00: the start counts
        (time(22), time(8), "America/New_York", "2026-11-24T13:00Z", None),  # 08:00: the end does not
        (time(12), time(14), "UTC", "2026-11-24T13:59Z", "2026-11-24T14:00Z"),
        (time(12), time(12), "UTC", "2026-11-24T12:00Z", None),
        (time(22), time(8), "Mars/Base", "2026-11-24T03:00Z", None),
        (None, time(8), "UTC", "2026-11-24T03:00Z", None),
        (time(22), time(2, 30), "America/New_York", "2026-03-08T06:00Z", "2026-03-08T07:00Z"),  # 02:30 does not exist
        (time(22), time(1, 30), "America/New_York", "2026-11-01T05:15Z", "2026-11-01T05:30Z"),  # the first 01:30
        (time(22), time(1, 30), "America/New_York", "2026-11-01T06:15Z", None),  # the second 01:15: it is over
    ],
)
def test_quiet_hours(start: time | None, end: time, zone: str, now: str, until: str | None) -> None:
    facts = {
        "quiet_hours_enabled": True,
        "quiet_hours_start": start,
        "quiet_hours_end": end,
        "quiet_hours_timezone": zone,
    }

    found = quiet(facts, datetime.fromisoformat(now))

    assert found == (datetime.fromisoformat(until) if until else None)


def test_the_fourth_mail_of_the_day_waits_until_nine(office: Office, rows: Rows, clock: ManualClock) -> None:
    rows.execute(
        "UPDATE public.organizations SET settings = '{\"timezone\": \"America/New_York\"}' WHERE slug = 'acme'"
    )
    for key in "abc":
        assert office.send(key).status == "sent"

    fourth = office.send("d")
    approval = office.send("e", "creator_application_approved", variables=APPROVED, category="account")

    assert (fourth.status, fourth.retry_at) == ("queued", datetime(2026, 11, 21, 14, 0, tzinfo=UTC))
    assert approval.status == "sent"
    assert office.send("f", to="bob@example.com").status == "sent"
    assert rows("SELECT attempts FROM mail_messages WHERE dedupe_key = 'd'") == [{"attempts": 0}]


def test_the_tenants_own_cap_counts_mandatory_mails_and_never_holds_them(office: Office, rows: Rows) -> None:
    rows.execute("INSERT INTO creator_communication_settings (max_emails_per_day) VALUES (2)")
    office.send("a", mandatory=True)
    office.send("b", to="bob@example.com", mandatory=True)

    assert office.send("c", to="cid@example.com").retry_at == datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
    assert office.send("d", to="cid@example.com", mandatory=True).status == "sent"


def test_checks_are_made_again_when_a_mail_that_waited_is_sent(office: Office, rows: Rows, clock: ManualClock) -> None:
    quiet_hours(rows, "00:00", "23:59", "UTC")
    assert office.send("a").status == "queued"
    office.within(lambda s: suppress(s, hash_address(ANN), "complaint", now=clock.now()))

    assert office.send("a").reason == "suppressed:complaint"
