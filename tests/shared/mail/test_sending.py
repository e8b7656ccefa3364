"""One mail, once: the ordinary way, repetitions, what Resend says, crashes, what waits."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime, timedelta

from shared.fakes.resend import ResendFake
from shared.jobs import JobContext, Tenant
from shared.jobs.testing import Bench, ManualClock
from shared.mail import Outcome, due, forget_content, mail, resume
from tests.conftest import Rows
from tests.shared.mail.conftest import ANN, PROJECT, Office

ROW = "SELECT * FROM mail_messages"


def test_a_mail_is_sent_with_the_tenants_sender_and_recorded(
    office: Office, resend: ResendFake, rows: Rows, clock: ManualClock
) -> None:
    outcome = office.send(recipient_type="creator", recipient_id="c1")

    assert outcome.status == "sent"
    [out] = resend.mails
    assert out.key == "acme:k1"
    assert out.body["from"] == '"Acme" <hello@acme.test>'
    assert out.to == [ANN]
    assert out.body["subject"] == "We have received your work for Spring"
    assert out.tags == {"tenant": "acme", "category": "project", "message": outcome.message_id}
    [row] = rows(ROW)
    assert (row["status"], row["attempts"], row["provider_message_id"]) == ("sent", 1, outcome.provider_id)
    assert row["sent_at"] == clock.now()
    assert row["lease_owner"] is None
    assert "ann@example.com" not in json.dumps(row, default=str).lower()


def test_the_same_key_is_one_mail_for_ever(office: Office, resend: ResendFake, clock: ManualClock) -> None:
    first = office.send()
    clock.advance(days=40)

    again = office.send(variables={**PROJECT, "projectTitle": "Other"})

    assert (again.status, again.provider_id, again.message_id) == ("duplicate", first.provider_id, first.message_id)
    assert len(resend.asked) == 1


def test_a_lost_answer_is_repeated_with_the_same_key_and_bytes(
    office: Office, resend: ResendFake, rows: Rows, clock: ManualClock
) -> None:
    resend.fail("cut")

    lost = office.fails("retrying")
    assert lost.code == "RESEND_UNAVAILABLE"
    assert rows(ROW)[0]["status"] == "failed"
    rows.execute(
        "INSERT INTO creator_email_templates (name, slug, subject, content_html)"
        " VALUES ('x', 'creator_project_submitted', 'Edited', '<p>Edited</p>')"
    )
    clock.advance(s=120)
    outcome = office.send(variables={**PROJECT, "projectTitle": "Changed meanwhile"}, to="other@example.com")

    assert outcome.status == "sent"
    assert len(resend.mails) == 1
    assert resend.asked[0].raw == resend.asked[1].raw
    assert outcome.provider_id == resend.mails[0].id


def test_a_sender_that_died_after_the_call_is_taken_over_when_its_lease_ends(
    office: Office, resend: ResendFake, rows: Rows, clock: ManualClock
) -> None:
    first = office.send()
    rows.execute(
        "UPDATE mail_messages SET status = 'sending', provider_message_id = NULL, sent_at = NULL,"
        " lease_owner = 'dead', lease_expires_at = last_attempt_at + interval '10 minutes'"
    )

    early = office.fails("deferred")
    assert early.code == "MAIL_IN_FLIGHT"
    assert early.delay_s is not None
    clock.advance(s=11 * 60)
    outcome = office.send()

    assert (outcome.status, outcome.provider_id) == ("sent", first.provider_id)
    assert len(resend.mails) == 1
    assert resend.asked[0].raw == resend.asked[1].raw
    assert rows(ROW)[0]["attempts"] == 2


def test_an_unknown_outcome_is_not_sent_again_after_23_hours(
    office: Office, resend: ResendFake, rows: Rows, clock: ManualClock
) -> None:
    resend.fail("cut")
    office.fails("retrying")
    clock.advance(s=23 * 3600 + 1)

    done = office.fails("dead")

    assert done.code == "SEND_OUTCOME_UNKNOWN"
    assert len(resend.asked) == 1
    [row] = rows(ROW)
    assert (row["status"], row["error_code"], row["max_attempts"]) == ("dead", "SEND_OUTCOME_UNKNOWN", 1)
    [alert] = office.events("alert.systemError")
    assert alert["dedupeKey"].startswith("mail-dead:creator_project_submitted:2026-11-21T11")
    assert office.fails("dead").code == "SEND_OUTCOME_UNKNOWN"
    assert len(office.events("alert.systemError")) == 1


def test_a_known_failure_may_be_repeated_after_23_hours(office: Office, resend: ResendFake, clock: ManualClock) -> None:
    resend.fail("rate_limit_exceeded", retry_after="60")
    office.fails("deferred")
    clock.advance(days=2)

    assert office.send().status == "sent"


def test_an_administrator_lets_a_mail_of_unknown_outcome_go_as_a_new_one(
    office: Office, resend: ResendFake, rows: Rows, clock: ManualClock
) -> None:
    resend.fail("cut")
    office.fails("retrying")
    clock.advance(days=2)
    office.fails("dead")

    rows.execute("UPDATE mail_messages SET max_attempts = 3")
    outcome = office.send()

    assert outcome.status == "sent"
    assert [out.key for out in resend.mails] == ["acme:k1", "acme:k1:r1"]


def test_a_dead_mail_of_the_creators_queue_follows_its_row_there(
    office: Office, resend: ResendFake, rows: Rows, clock: ManualClock
) -> None:
    rows.execute(
        "INSERT INTO creator_email_queue (id, tenant_id, creator_id, creator_email, communication_type, status,"
        " attempts, max_attempts) VALUES ('q1', 'acme', 'c1', 'a@example.com', 'project', 'processing', 1, 5)"
    )
    queue_ref = ("creator_email_queue", "q1")
    resend.fail("cut")
    office.fails("retrying", queue_ref=queue_ref)
    clock.advance(days=2)
    office.fails("dead", queue_ref=queue_ref)

    # The worker that met the end died before it wrote it down: its row still has attempts, and nobody raised them.
    assert office.fails("dead", queue_ref=queue_ref).code == "SEND_OUTCOME_UNKNOWN"
    rows.execute("UPDATE creator_email_queue SET error_code = 'SEND_OUTCOME_UNKNOWN', attempts = 2, max_attempts = 3")

    assert office.send(queue_ref=queue_ref).status == "sent"


def test_five_server_errors_are_the_end_with_one_alarm(
    office: Office, resend: ResendFake, rows: Rows, clock: ManualClock
) -> None:
    resend.fail("500", count=5)
    waits = []
    for _ in range(4):
        assert office.fails("retrying").code == "RESEND_UNAVAILABLE"
        [row] = rows(ROW)
        waits.append((row["scheduled_at"] - clock.now()).total_seconds() / 60)
        clock.advance(s=(row["scheduled_at"] - clock.now()).total_seconds())

    assert office.fails("dead").code == "RESEND_UNAVAILABLE"

    assert waits == [2, 4, 8, 16]
    [row] = rows(ROW)
    assert (row["status"], row["attempts"], row["max_attempts"]) == ("dead", 5, 5)
    [alert] = office.events("alert.systemError")
    assert (alert["severity"], alert["context"]["templateKey"]) == ("warning", "creator_project_submitted")


def test_a_refused_mail_is_dead_at_once(office: Office, resend: ResendFake, rows: Rows) -> None:
    resend.fail("422")

    assert office.fails("dead").code == "INVALID_MESSAGE"

    [row] = rows(ROW)
    assert (row["status"], row["attempts"], row["max_attempts"]) == ("dead", 1, 1)


def test_no_account_burns_nothing_and_is_told_once_a_day(
    empty_office: Office, resend: ResendFake, rows: Rows, clock: ManualClock
) -> None:
    first = empty_office.send()
    clock.advance(s=3600)
    second = empty_office.send()
    empty_office.send("k2")

    assert (first.status, second.status, first.reason) == ("not_configured", "not_configured", "not_configured")
    assert second.retry_at == clock.now() + timedelta(minutes=60)
    assert resend.asked == []
    assert {(row["status"], row["attempts"]) for row in rows(ROW)} == {("queued", 0)}
    [alert] = empty_office.events("alert.apiFailure")
    assert alert["dedupeKey"] == "mail-config:not_configured:2026-11-20"
    clock.advance(days=1)
    empty_office.send()
    assert len(empty_office.events("alert.apiFailure")) == 2


def test_a_refused_key_waits_an_hour_and_says_why(
    office: Office, resend: ResendFake, rows: Rows, clock: ManualClock
) -> None:
    resend.fail("invalid_api_key")

    outcome = office.send()

    assert (outcome.status, outcome.reason) == ("not_configured", "invalid_api_key")
    [row] = rows(ROW)
    assert (row["status"], row["attempts"], row["first_attempt_at"]) == ("queued", 0, None)
    assert row["scheduled_at"] == clock.now() + timedelta(minutes=60)
    assert rows("SELECT last_error FROM tenant_resend_config") == [{"last_error": "invalid_api_key"}]
    [alert] = office.events("alert.apiFailure")
    assert (alert["severity"], alert["source"], alert["context"]) == ("error", "mail", {"code": "invalid_api_key"})
    assert office.send().status == "sent"


def test_a_domain_that_resend_does_not_know_is_a_matter_of_the_account(
    office: Office, rows: Rows, resend: ResendFake
) -> None:
    rows.execute(
        "UPDATE tenant_resend_config SET default_from_email = 'a@other.test', verified_domains = '[\"other.test\"]'"
    )

    assert office.send().reason == "domain_not_verified"


def test_a_short_wait_for_the_rate_is_waited_for(office: Office, resend: ResendFake, clock: ManualClock) -> None:
    resend.fail("rate_limit_exceeded", retry_after="2")

    assert office.send().status == "sent"

    assert clock.slept_s >= 2
    assert [asked.status for asked in resend.asked] == [429, 200]


def test_a_long_wait_gives_the_attempt_back(office: Office, resend: ResendFake, rows: Rows) -> None:
    resend.fail("rate_limit_exceeded", retry_after="30")

    done = office.fails("deferred")

    assert done.code == "RESEND_RATE_LIMITED"
    assert done.delay_s is not None
    assert done.delay_s >= 30
    [row] = rows(ROW)
    assert (row["status"], row["attempts"], row["lease_owner"]) == ("queued", 0, None)


def test_mails_of_one_tenant_leave_550_ms_apart(office: Office, resend: ResendFake) -> None:
    for number in range(5):
        assert office.send(f"k{number}", to=f"p{number}@example.com").status == "sent"

    times = [out.sent_at for out in resend.mails]
    assert [(b - a).total_seconds() for a, b in itertools.pairwise(times)] == [0.55] * 4


def test_an_exhausted_quota_waits_for_the_next_day(office: Office, resend: ResendFake, rows: Rows) -> None:
    resend.fail("daily_quota_exceeded")
    day = office.send()
    resend.fail("monthly_quota_exceeded")
    month = office.send("k2")

    assert (day.status, day.retry_at) == ("queued", datetime(2026, 11, 21, 0, 5, tzinfo=UTC))
    assert month.retry_at is not None
    assert month.retry_at.hour == 18
    assert [row["attempts"] for row in rows(ROW)] == [0, 0]
    keys = [alert["dedupeKey"] for alert in office.events("alert.apiFailure")]
    assert keys == ["mail-config:daily_quota_exceeded:2026-11-20", "mail-config:monthly_quota_exceeded:2026-11-20"]


def test_an_earlier_call_still_at_work_is_waited_for(office: Office, resend: ResendFake) -> None:
    resend.fail("concurrent_idempotent_requests")

    assert office.fails("retrying").code == "RESEND_CONCURRENT"
    assert office.send().status == "sent"


def test_a_key_that_resend_knows_with_another_body_is_an_alarm(office: Office, resend: ResendFake) -> None:
    resend.fail("invalid_idempotent_request")

    assert office.fails("dead").code == "IDEMPOTENCY_CONFLICT"
    assert len(office.events("alert.systemError")) == 1


def test_an_address_that_is_none_is_dead_without_a_call(office: Office, resend: ResendFake, rows: Rows) -> None:
    for number, address in enumerate(["", "ann", "a@b", "a b@example.com", "a@example.com,b@example.com", "a@b..com"]):
        assert office.fails("dead", key=f"bad{number}", to=address).code == "INVALID_RECIPIENT"

    assert resend.asked == []
    assert {row["status"] for row in rows(ROW)} == {"dead"}


def test_wrong_arguments_are_refused(office: Office) -> None:
    assert office.fails("dead", category="spam").code == "MAIL_CATEGORY_UNKNOWN"
    assert office.fails("dead", key="naïve").code == "MAIL_KEY_INVALID"
    assert office.fails("dead", template="no_such_template").code == "TEMPLATE_NOT_FOUND"
    missing = office.fails("dead", key="k2", variables={"creatorName": "Ann"})
    assert (missing.code, missing.detail) == ("RENDER_MISSING_VARIABLE", "projectTitle")


def test_a_long_key_is_hashed(office: Office, resend: ResendFake, rows: Rows) -> None:
    office.send("x" * 256)
    office.send("y" * 257)

    stored = {row["dedupe_key"] for row in rows(ROW)}
    assert "x" * 256 in stored
    assert all(len(key) <= 256 for key in stored)
    assert {len(out.key or "") for out in resend.mails} == {7 + 64, len("acme:sha256:") + 64}


def test_a_mail_for_later_waits_and_is_resumed_from_its_draft(
    office: Office, resend: ResendFake, rows: Rows, clock: ManualClock
) -> None:
    rows.execute("INSERT INTO creators (id, email, first_name, last_name) VALUES ('c1', 'ann@example.com', 'Ann', 'B')")
    at = clock.now() + timedelta(days=1)
    waiting = office.send(scheduled_for=at, recipient_type="creator", recipient_id="c1", to="ann@example.com")
    assert (waiting.status, waiting.retry_at) == ("queued", at)
    assert office.within(lambda s: due(s, now=clock.now(), limit=10)) == []
    rows.execute("UPDATE creators SET email = 'ann@new.example.com'")
    clock.advance(days=1)

    [id] = office.within(lambda s: due(s, now=clock.now(), limit=10))
    outcome = office.run(lambda ctx: resume(ctx, id))

    assert outcome.status == "sent"
    assert resend.mails[0].to == ["ann@new.example.com"]
    assert office.run(lambda ctx: resume(ctx, id)).status == "duplicate"


def test_a_person_who_is_gone_gets_nothing(office: Office, resend: ResendFake, rows: Rows, clock: ManualClock) -> None:
    at = clock.now() + timedelta(hours=1)
    office.send(scheduled_for=at, recipient_type="applicant", recipient_id="draft:d1")
    clock.advance(s=3600)
    [id] = office.within(lambda s: due(s, now=clock.now(), limit=10))

    outcome = office.run(lambda ctx: resume(ctx, id))

    assert (outcome.status, outcome.reason) == ("skipped", "recipient_gone")
    assert office.run(lambda ctx: resume(ctx, id)).reason == "content_gone"
    assert resend.asked == []


def test_content_is_sealed_and_forgotten_after_two_days(office: Office, rows: Rows, clock: ManualClock) -> None:
    office.send()
    sealed = rows(ROW)[0]["sealed"]
    assert "Spring" not in sealed
    clock.advance(s=47 * 3600)
    assert office.within(lambda s: forget_content(s, now=clock.now())) == 0
    clock.advance(s=2 * 3600)

    assert office.within(lambda s: forget_content(s, now=clock.now())) == 1
    assert rows(ROW)[0]["sealed"] is None


def test_two_senders_at_once_send_one_mail(office: Office, second_bench: Bench, resend: ResendFake, rows: Rows) -> None:
    resend.enforce_rate = False

    def act(ctx: JobContext) -> Outcome:
        return mail(ctx, "creator_project_submitted", ANN, PROJECT, "k1", "project")

    ended = office.both(second_bench, act)

    # The later one meets either the live lease or the mail that is out.
    assert ended in (["MAIL_IN_FLIGHT", "succeeded"], ["succeeded", "succeeded"])
    assert len(resend.asked) == 1
    assert [row["status"] for row in rows(ROW)] == ["sent"]


def test_the_platform_itself_has_no_mails(office: Office, resend: ResendFake) -> None:
    def act(ctx: JobContext) -> Outcome:
        return mail(ctx, "creator_project_submitted", ANN, PROJECT, "k1", "project")

    assert office.platform(act).status == "not_configured"
    assert resend.asked == []


def test_a_caller_without_alarms_raises_none(empty_office: Office) -> None:
    assert empty_office.send(alerts=False).status == "not_configured"
    empty_office.fails("dead", key="k2", to="nobody", alerts=False)

    assert empty_office.events("alert.apiFailure") == empty_office.events("alert.systemError") == []


def test_another_tenant_sees_and_stops_nothing(office: Office, rows: Rows, other_tenant: Tenant) -> None:
    office.send()

    def act(ctx: JobContext) -> Outcome:
        return mail(ctx, "creator_project_submitted", ANN, PROJECT, "k1", "project")

    other = office.run(act, tenant=other_tenant)

    assert other.status == "not_configured"  # its own key of the same name, and no account
    assert [row["status"] for row in rows(ROW, tenant=other_tenant)] == ["queued"]
    assert [row["status"] for row in rows(ROW)] == ["sent"]
