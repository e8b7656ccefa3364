"""One mail now, or again: at most once without a person's word, and never against the customer's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from shared.events.reviews import ReviewEmailQueue, ReviewEmailSend
from shared.fakes.resend import ResendFake
from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver, ManualClock
from shared.mail.addresses import hash_address
from tests.builders.reviews import ANN, NOON, add_mail, add_order, add_review, add_template, logged, mail_row
from tests.conftest import Rows

QUEUE = "review-email"
SEND = ReviewEmailSend(review_email_id="rq1")
FORCE = ReviewEmailSend(review_email_id="rq1", force=True, requested_by="u1")


@pytest.fixture(autouse=True)
def order(rows: Rows) -> None:
    add_order(rows)


def test_mail_of_tomorrow_goes_now(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_mail(rows, scheduled_at=NOON + timedelta(days=1))

    done = deliver(SEND)

    [out] = resend.mails
    assert done.result == {"reviewEmailId": "rq1", "outcome": "sent", "messageId": out.id}
    assert done.emitted == [("review.email.sent", {"reviewEmailId": "rq1", "messageId": out.id})]
    assert (mail_row(rows)["status"], logged(rows)) == ("sent", ["sent"])


def test_sent_mail_goes_again_only_by_force_and_three_times(
    deliver: Deliver, rows: Rows, resend: ResendFake, clock: ManualClock
) -> None:
    add_mail(rows)
    deliver(SEND)
    clock.advance(s=61)
    assert deliver(SEND).result["outcome"] == "already_sent"
    assert len(resend.mails) == 1

    for n in (1, 2, 3):
        clock.advance(days=1)
        done = deliver(FORCE)
        assert (done.result["outcome"], mail_row(rows)["resend_count"]) == ("resent", n)
        assert resend.mails[-1].key == f"acme:review:rq1:{n}"
    clock.advance(days=1)
    assert deliver(FORCE, expect="dead").code == "RESEND_LIMIT"
    assert len(resend.mails) == 4
    assert logged(rows) == ["sent", "resent", "resent", "resent"]


def test_mail_is_sent_again_once_an_hour(deliver: Deliver, rows: Rows, resend: ResendFake, clock: ManualClock) -> None:
    add_mail(rows)
    deliver(SEND)
    deliver(FORCE)
    clock.advance(s=3599)

    assert deliver(FORCE, expect="dead").code == "RESEND_LIMIT"
    clock.advance(s=2)
    assert deliver(FORCE).result["outcome"] == "resent"


@pytest.mark.parametrize("status", ["scheduled", "sent"])
def test_force_does_not_reach_a_suppressed_address(
    deliver: Deliver, rows: Rows, resend: ResendFake, status: str
) -> None:
    add_mail(rows, status=status)
    rows.execute(
        "INSERT INTO mail_suppressions (address_hash, scope, reason) VALUES (%s, 'all', 'hard_bounce')",
        (hash_address(ANN),),
    )

    done = deliver(FORCE)

    assert (done.result["outcome"], done.result["reason"]) == ("blocked", "suppressed:hard_bounce")
    assert resend.asked == []
    assert mail_row(rows)["status"] == ("sent" if status == "sent" else "skipped")


@pytest.mark.parametrize("status", ["scheduled", "sent", "skipped", "failed"])
def test_force_does_not_ask_who_has_reviewed(deliver: Deliver, rows: Rows, resend: ResendFake, status: str) -> None:
    add_mail(rows, status=status, attempts=5 if status == "failed" else 0)
    add_mail(rows, "rq2", sequence_number=2)
    add_review(rows)

    done = deliver(FORCE)

    assert (done.result["outcome"], done.result["reason"]) == ("blocked", "review_submitted")
    assert resend.asked == []
    assert mail_row(rows)["status"] == ("sent" if status == "sent" else "skipped")
    assert mail_row(rows, "rq2")["skip_reason"] == "review_submitted"


@pytest.mark.parametrize(
    "reason",
    [
        "suppressed:complaint",
        "unsubscribed",
        "review_submitted",
        "order_cancelled",
        "customer_deleted",
        "consent_withdrawn",
    ],
)
def test_force_keeps_what_was_refused_for_good(deliver: Deliver, rows: Rows, resend: ResendFake, reason: str) -> None:
    add_mail(rows, status="skipped", skip_reason=reason)

    done = deliver(FORCE)

    assert (done.result["outcome"], done.result["reason"]) == ("blocked", reason)
    assert resend.asked == []


def test_force_lifts_a_template_that_is_switched_off(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_template(rows, is_enabled=False)
    add_mail(rows, status="skipped", skip_reason="template_disabled", scheduled_at=NOON - timedelta(days=40))

    done = deliver(FORCE)

    assert (done.result["outcome"], mail_row(rows)["status"], mail_row(rows)["resend_count"]) == ("sent", "sent", 0)
    assert resend.mails[0].body["subject"] == "Own Mug"
    assert mail_row(rows)["skip_reason"] is None


def test_force_revives_a_dead_mail_under_a_key_of_its_own(
    deliver: Deliver, rows: Rows, resend: ResendFake, clock: ManualClock
) -> None:
    add_mail(rows, customer_email="no address")
    assert deliver(SEND, expect="dead").code == "INVALID_RECIPIENT"
    assert (mail_row(rows)["status"], mail_row(rows)["attempts"]) == ("failed", 5)
    rows.execute("UPDATE review_email_queue SET customer_email = 'ann@example.com'")
    clock.advance(s=61)
    assert deliver(SEND).result["outcome"] == "not_sendable"

    assert deliver(FORCE).result["outcome"] == "sent"
    assert resend.mails[0].key == "acme:review:rq1:0:f1"
    assert mail_row(rows)["max_attempts"] == 10


def test_force_on_a_mail_that_may_be_out_is_no_second_mail(
    deliver: Deliver, rows: Rows, resend: ResendFake, clock: ManualClock
) -> None:
    add_mail(rows)
    resend.fail("cut")
    deliver(SEND, expect="retrying")
    assert mail_row(rows)["status"] == "failed"

    assert deliver(FORCE).result["outcome"] == "sent"
    assert len(resend.mails) == 1


@pytest.mark.parametrize("status", ["pending", "awaiting_delivery", "skipped"])
def test_row_that_is_not_ready_is_left(deliver: Deliver, rows: Rows, resend: ResendFake, status: str) -> None:
    add_mail(rows, status=status)

    assert deliver(SEND).result["outcome"] == "not_sendable"
    if status != "skipped":  # not even a person asks about a parcel that is on its way
        assert deliver(FORCE).result["outcome"] == "not_sendable"
    assert (mail_row(rows)["status"], resend.asked) == (status, [])


def test_two_messages_at_once_are_one_mail(bench: Bench, tenant: Tenant, rows: Rows, resend: ResendFake) -> None:
    add_mail(rows)
    other = bench.twin()
    for person in ("u1", "u2"):
        bench.publish(ReviewEmailSend(review_email_id="rq1", requested_by=person), tenant.slug)

    with ThreadPoolExecutor(2) as pool:
        done = [d for pumped in pool.map(lambda each: each.pump(QUEUE, most=1), (bench, other)) for d in pumped]
    done += bench.drain(horizon_s=3600)
    other.connections.discard()

    outcomes = [d.result["outcome"] for d in done if d.job == "commerce-send-queued-review-email" and d.result]
    assert sorted(outcomes) == ["already_sent", "sent"]
    assert (len(resend.mails), mail_row(rows)["attempts"]) == (1, 1)


def test_mail_that_another_run_sends_is_waited_for(
    bench: Bench, tenant: Tenant, rows: Rows, resend: ResendFake, deliver: Deliver, clock: ManualClock
) -> None:
    add_mail(
        rows, status="processing", trigger_run_id="other", attempts=1, lease_expires_at=NOON + timedelta(minutes=10)
    )

    busy = deliver(SEND, expect="deferred")
    assert (busy.code, busy.delay_s) == ("IN_FLIGHT", 600)
    rows.execute("UPDATE review_email_queue SET status = 'sent', sent_at = %s, resend_message_id = 'm1'", (NOON,))

    assert deliver.again(QUEUE).result == {"reviewEmailId": "rq1", "outcome": "already_sent", "messageId": "m1"}
    assert resend.asked == []


def test_process_that_dies_while_it_sends_costs_no_mail(
    bench: Bench, tenant: Tenant, rows: Rows, resend: ResendFake, deliver: Deliver
) -> None:
    """The row is held for longer than all attempts take together, so waiting for it burns none."""
    add_mail(rows)
    bench.faults.crash("before-call")
    bench.publish(SEND, "acme")

    bench.drain()

    assert (mail_row(rows)["status"], len(resend.mails)) == ("sent", 1)


def test_run_that_was_cut_off_after_sending_again_does_not_do_it_twice(
    bench: Bench, deliver: Deliver, rows: Rows, resend: ResendFake, tenant: Tenant, clock: ManualClock
) -> None:
    add_mail(rows)
    deliver(SEND)
    bench.drain(horizon_s=60)
    bench.faults.crash("after-handler")
    bench.publish(FORCE, tenant.slug, key="force")
    bench.pump(QUEUE)
    assert bench.crashes == 1
    assert (mail_row(rows)["resend_count"], len(resend.mails)) == (1, 2)

    done = [each for each in bench.drain(horizon_s=7200) if each.job == "commerce-send-queued-review-email"]

    assert done[-1].result["outcome"] == "resent"
    assert (mail_row(rows)["resend_count"], len(resend.mails)) == (1, 2)


def test_run_that_was_cut_off_after_a_forced_first_mail_sends_no_second(
    bench: Bench, rows: Rows, resend: ResendFake, tenant: Tenant
) -> None:
    add_mail(rows, scheduled_at=NOON + timedelta(days=1))
    bench.faults.crash("after-handler")
    bench.publish(FORCE, tenant.slug, key="force")
    bench.pump(QUEUE)
    assert (bench.crashes, len(resend.mails)) == (1, 1)

    done = [each for each in bench.drain(horizon_s=7200) if each.job == "commerce-send-queued-review-email"]

    assert done[-1].result == {"reviewEmailId": "rq1", "outcome": "sent", "messageId": resend.mails[0].id}
    assert (mail_row(rows)["resend_count"], len(resend.mails)) == (0, 1)


def test_order_that_the_worker_carried_out_meanwhile_is_no_second_mail(
    bench: Bench, deliver: Deliver, rows: Rows, resend: ResendFake, clock: ManualClock
) -> None:
    add_mail(rows, scheduled_at=NOON + timedelta(days=1))
    resend.fail(429, retry_after="90")
    deliver(FORCE, expect="deferred")
    clock.advance(s=91)
    deliver(ReviewEmailQueue())
    assert len(resend.mails) == 1

    done = [each for each in bench.drain(horizon_s=600) if each.job == "commerce-send-queued-review-email"]

    assert [each.result["outcome"] for each in done] == ["sent"]
    assert (mail_row(rows)["resend_count"], len(resend.mails)) == (0, 1)


def test_notes_that_are_no_object_give_way_to_ours(
    deliver: Deliver, rows: Rows, resend: ResendFake, clock: ManualClock
) -> None:
    add_mail(rows)
    deliver(SEND)
    rows.execute("UPDATE review_email_queue SET metadata = 'null'")
    assert deliver(FORCE).result["outcome"] == "resent"
    clock.advance(s=60)

    assert deliver(FORCE, expect="dead").code == "RESEND_LIMIT"  # the hour is known
    assert mail_row(rows)["metadata"]["forced"] is True


def test_quiet_hours_defer(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_mail(rows)
    rows.execute(
        "INSERT INTO creator_communication_settings"
        " (quiet_hours_enabled, quiet_hours_start, quiet_hours_end, quiet_hours_timezone)"
        " VALUES (true, '11:00', '13:00', 'UTC')"
    )

    assert deliver(SEND).result["outcome"] == "deferred"
    assert (mail_row(rows)["status"], mail_row(rows)["scheduled_at"]) == ("scheduled", NOON + timedelta(hours=1))


def test_vendors_rate_burns_no_attempt(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_mail(rows)
    resend.fail(429, retry_after="90")

    assert deliver(SEND, expect="deferred").code == "MAIL_RATE_LIMITED"
    assert (mail_row(rows)["status"], mail_row(rows)["attempts"]) == ("scheduled", 0)
    assert deliver.again(QUEUE).result["outcome"] == "sent"


def test_ids_that_do_not_fit(deliver: Deliver, rows: Rows, resend: ResendFake, other_tenant: Tenant) -> None:
    add_mail(rows, tenant=other_tenant)
    assert deliver(SEND, expect="dead").code == "REVIEW_EMAIL_NOT_FOUND"
    add_mail(rows)
    wrong = ReviewEmailSend(review_email_id="rq1", order_id="999")
    assert deliver(wrong, expect="dead").code == "ORDER_MISMATCH"
    assert resend.asked == []
