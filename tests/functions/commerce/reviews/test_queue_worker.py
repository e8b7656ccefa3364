"""The worker sends what is due: each mail once, in order, and none that something stops."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.commerce.reviews import queue_worker
from shared.events.reviews import ReviewEmailQueue
from shared.fakes.resend import ResendFake
from shared.jobs.context import Tenant
from shared.jobs.testing import Bench, Deliver, ManualClock
from shared.mail.addresses import hash_address
from tests.builders.reviews import (
    ANN,
    NOON,
    add_mail,
    add_mails,
    add_order,
    add_review,
    add_template,
    logged,
    mail_row,
    set_reviews,
    set_rules,
    withdraw_consent,
)
from tests.conftest import Rows

QUEUE = "review-email-bulk"
WORK = ReviewEmailQueue()


def counts(result: Any) -> dict[str, int]:
    """The counts that are not 0."""
    return {name: value for name, value in result.items() if value and name != "dryRun"}


def unsubscribe(rows: Rows, address: str = ANN) -> None:
    rows.execute(
        "INSERT INTO mail_suppressions (address_hash, scope, reason) VALUES (%s, 'review', 'unsubscribe')",
        (hash_address(address),),
    )


def test_due_mail_is_sent_once_and_told(deliver: Deliver, rows: Rows, resend: ResendFake, clock: ManualClock) -> None:
    add_order(rows)
    add_mail(rows)

    done = deliver(WORK)

    assert counts(done.result) == {"processed": 1, "sent": 1}
    [out] = resend.mails
    row = mail_row(rows)
    assert (row["status"], row["attempts"], row["resend_message_id"]) == ("sent", 1, out.id)
    assert row["sent_at"] == clock.now()
    assert row["lease_expires_at"] is None
    assert str(row["mail_message_id"]) == out.tags["message"]
    assert out.key == "acme:review:rq1:0"
    assert done.emitted == [("review.email.sent", {"reviewEmailId": "rq1", "messageId": out.id})]
    assert logged(rows) == ["sent"]


def test_mail_carries_a_signed_link_and_no_address(deliver: Deliver, rows: Rows, resend: ResendFake, page: str) -> None:
    add_order(rows)
    add_mail(rows)

    deliver(WORK)

    [out] = resend.mails
    assert (out.to, out.body["subject"]) == ([ANN], "How do you like Mug?")
    assert "Hi Ann," in out.body["html"]
    link = out.body["html"].partition(f'href="{page}/review?token=')[2].partition('"')[0]
    first = link.partition(".")[0]
    held = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    assert {name: held[name] for name in "toq"} == {"t": "acme", "o": "1001", "q": "rq1"}
    assert held["e"] == int((NOON + timedelta(days=120)).timestamp())
    assert "example.com" not in json.dumps(held)


def test_many_are_sent_in_claims_of_the_limit_and_in_order(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    ids = add_mails(rows, 120)
    rows.execute("INSERT INTO creator_communication_settings (max_emails_per_day) VALUES (1000)")

    done = deliver(WORK)

    assert counts(done.result) == {"processed": 120, "sent": 120}
    claims = rows("SELECT count(*) AS rows FROM review_email_queue GROUP BY last_attempt_at ORDER BY last_attempt_at")
    assert [claim["rows"] for claim in claims] == [50, 50, 20]
    assert [mail.key for mail in resend.mails] == [f"acme:review:{id}:0" for id in ids]


def test_review_that_came_in_ends_the_row_and_its_reminder(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_order(rows)
    add_mail(rows)
    add_mail(rows, "rq2", sequence_number=2, template_type="reminder_1", scheduled_at=NOON + timedelta(days=3))
    add_review(rows, status="rejected")

    done = deliver(WORK)

    assert counts(done.result) == {"processed": 2, "skipped": 2}
    assert {(mail_row(rows, id)["status"], mail_row(rows, id)["skip_reason"]) for id in ("rq1", "rq2")} == {
        ("skipped", "review_submitted")
    }
    assert mail_row(rows)["attempts"] == 0
    assert mail_row(rows)["skipped_by"] == "system"
    assert (resend.mails, logged(rows)) == ([], ["skipped"])


@pytest.mark.parametrize(
    ("columns", "stops"),
    [
        ({"order_id": None}, True),  # by the address and the product
        ({"order_id": None, "product_id": "mug"}, True),  # the product by its own id
        ({"order_id": None, "product_id": "other"}, False),
        ({"order_id": None, "created_at": NOON - timedelta(days=21)}, False),  # before the order
        ({"imported_from": "judgeme", "original_id": "1"}, False),
        ({"author_email": "other@example.com"}, True),  # a review of this very order
        ({"status": "spam"}, True),
    ],
)
def test_which_reviews_count_for_an_order(
    deliver: Deliver, rows: Rows, resend: ResendFake, columns: dict[str, Any], stops: bool
) -> None:
    add_order(rows)
    rows.execute("INSERT INTO products (id, handle, title, shopify_product_id) VALUES ('mug', 'mug', 'Mug', '9001')")
    add_mail(rows)
    add_review(rows, **columns)

    deliver(WORK)

    assert (mail_row(rows)["status"] == "skipped") is stops


@pytest.mark.parametrize(
    ("order", "mail", "settings", "rules", "reason"),
    [
        ({"cancelled_at": NOON}, {}, {}, {}, "order_cancelled"),
        ({"status": "cancelled"}, {}, {}, {}, "order_cancelled"),
        ({"financial_status": "refunded"}, {}, {}, {}, "order_cancelled"),
        ({"financial_status": "voided"}, {}, {}, {}, "order_cancelled"),
        ({}, {"customer_email": "redacted-1@redacted.invalid"}, {}, {}, "customer_deleted"),
        ({"customer_email": "deleted-1@deleted.invalid"}, {}, {}, {}, "customer_deleted"),
        ({}, {}, {"provider": "judgeme"}, {}, "provider_external"),
        ({}, {}, {}, {"requireMarketingConsent": True}, "no_consent"),
        ({}, {"customer_email": " "}, {}, {}, "customer_deleted"),
        ({}, {"scheduled_at": NOON - timedelta(days=25)}, {}, {}, "stale"),
        ({}, {"scheduled_at": NOON - timedelta(days=21, seconds=1)}, {}, {}, "stale"),
        ({}, {"scheduled_at": NOON - timedelta(days=21)}, {}, {}, None),
    ],
)
def test_reason_that_stops_a_mail(
    deliver: Deliver,
    rows: Rows,
    resend: ResendFake,
    order: dict[str, Any],
    mail: dict[str, Any],
    settings: dict[str, Any],
    rules: dict[str, Any],
    reason: str | None,
) -> None:
    add_order(rows, **order)
    add_mail(rows, **mail)
    if settings:
        set_reviews(rows, **settings)
    if rules:
        set_rules(rows, **rules)

    deliver(WORK)

    row = mail_row(rows)
    assert (row["skip_reason"], row["status"]) == (reason, "skipped" if reason else "sent")
    assert len(resend.mails) == (0 if reason else 1)


def test_last_word_about_consent_counts(deliver: Deliver, rows: Rows, resend: ResendFake, clock: ManualClock) -> None:
    add_order(rows)
    add_mail(rows)
    withdraw_consent(rows, "ann@example.com", at=NOON - timedelta(days=2))
    withdraw_consent(rows, granted=True, at=NOON - timedelta(days=1))
    deliver(WORK)
    assert mail_row(rows)["status"] == "sent"

    add_mail(rows, "rq2", sequence_number=2)
    withdraw_consent(rows, at=NOON)
    clock.advance(s=61)
    deliver(WORK)
    assert mail_row(rows, "rq2")["skip_reason"] == "consent_withdrawn"


def test_template_that_is_switched_off(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_order(rows)
    add_mail(rows)
    add_template(rows, is_enabled=False)

    deliver(WORK)

    assert (mail_row(rows)["skip_reason"], resend.mails) == ("template_disabled", [])


def test_tenants_own_text_wins_and_the_named_one_before_it(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_template(rows)
    special = add_template(rows, "photo_request", id="special", subject="Special")
    add_mails(rows, 2)
    rows.execute("""UPDATE review_email_queue SET metadata = '{"templateId": "special"}' WHERE id = 'rq001'""")

    deliver(WORK)

    assert special == "special"
    assert [mail.body["subject"] for mail in resend.mails] == ["Own Mug", "Special"]


def test_reward_is_promised_and_its_code_is_not_told(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    set_reviews(rows, incentive_enabled=True, incentive_discount_type="fixed", incentive_discount_value=5)
    add_mails(rows, 2)
    rows.execute(
        "UPDATE review_email_queue SET incentive_offered = true, incentive_code = 'REVIEW1' WHERE id = 'rq000'"
    )

    deliver(WORK)

    first, second = (mail.body["html"] for mail in resend.mails)
    assert "$5.00 off" in first
    assert "off" not in second.replace("offer", "")
    assert "REVIEW1" not in first


@pytest.mark.parametrize(
    ("type", "number", "expected"),
    [
        ("request", 1, "Ann Lee|Ann|Mug|Mug|Mug|Mug, Sofa|#1001|#1001|Acme||10% off|"),
        ("reminder_2", 3, "Ann Lee|Ann|Mug|Mug|Mug|Mug, Sofa|#1001|#1001|Acme|2|10% off|"),
        ("incentive", 1, "Ann Lee|Ann|Mug|Mug|Mug|Mug, Sofa|#1001|#1001|Acme||10% off|REVIEW1"),
    ],
)
def test_variables_of_a_mail(
    deliver: Deliver, rows: Rows, resend: ResendFake, type: str, number: int, expected: str
) -> None:
    """In both spellings; the code is told by the reward's own mail only."""
    rows.execute("UPDATE public.organizations SET name = 'Acme' WHERE slug = 'acme'")
    set_reviews(rows, incentive_enabled=True, incentive_discount_type="percentage", incentive_discount_value=10)
    names = ["customerName", "customerFirstName", "productTitle", "productName", "product_name", "productList"]
    names += ["orderNumber", "order_number", "brand_name", "reminderNumber", "incentiveText", "incentive_code"]
    subject = "|".join(f"{{{{{name}}}}}" for name in names)
    add_template(rows, type, subject=subject, body_html="<p>{{review_link}} {{reviewUrl}}</p>")
    products = {"products": [{"title": "Mug"}, {"title": "Sofa"}]}
    more: dict[str, Any] = {"incentive_offered": True, "incentive_code": "REVIEW1", "metadata": products}
    add_mail(rows, template_type=type, sequence_number=number, **more)

    deliver(WORK)

    assert resend.mails[0].body["subject"] == expected
    assert resend.mails[0].body["html"].count("/review?token=") == 2


def test_customer_without_a_name_is_greeted_all_the_same(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_mail(rows, customer_name=None)

    deliver(WORK)

    assert "Hi there," in resend.mails[0].body["html"]


def test_log_tells_reason_and_step_and_nothing_else(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_mails(rows, 3)
    rows.execute("UPDATE review_email_queue SET scheduled_at = %s WHERE id = 'rq000'", (NOON - timedelta(days=25),))
    resend.fail(500, match="ann1@example.com")

    deliver(WORK)

    found = rows("SELECT id, queue_id, event_data FROM review_email_logs ORDER BY queue_id")
    assert [(row["id"], row["event_data"]) for row in found] == [
        ("rel_skipped_rq000_0", {"code": "stale", "sequenceNumber": 1}),
        ("rel_failed_rq001_1", {"code": "RESEND_UNAVAILABLE", "sequenceNumber": 1}),
        ("rel_sent_rq002_1", {"sequenceNumber": 1}),
    ]


def test_address_that_unsubscribed_is_skipped(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_order(rows)
    add_mail(rows)
    unsubscribe(rows)

    done = deliver(WORK)

    row = mail_row(rows)
    assert counts(done.result) == {"processed": 1, "skipped": 1}
    assert (row["status"], row["skip_reason"], row["attempts"]) == ("skipped", "unsubscribed", 0)
    assert resend.mails == []


def test_mail_in_the_tenants_quiet_hours_waits(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_order(rows)
    add_mail(rows)
    rows.execute(
        "INSERT INTO creator_communication_settings"
        " (quiet_hours_enabled, quiet_hours_start, quiet_hours_end, quiet_hours_timezone)"
        " VALUES (true, '11:00', '09:00', 'UTC')"
    )

    done = deliver(WORK)

    row = mail_row(rows)
    assert counts(done.result) == {"processed": 1, "deferred": 1}
    assert (row["status"], row["scheduled_at"], row["attempts"]) == (
        "scheduled",
        datetime(2026, 11, 21, 9, tzinfo=UTC),
        0,
    )
    assert resend.mails == []


def test_dry_run_counts_and_changes_nothing(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_mails(rows, 3)
    rows.execute("UPDATE review_email_queue SET scheduled_at = %s WHERE id = 'rq000'", (NOON - timedelta(days=25),))
    add_mail(rows, "later", order_id="x", scheduled_at=NOON + timedelta(minutes=1))
    before = rows("SELECT * FROM review_email_queue ORDER BY id")

    done = deliver(ReviewEmailQueue(dry_run=True))

    assert done.result["dryRun"] is True
    assert counts(done.result) == {"processed": 3, "sent": 2, "skipped": 1}
    assert rows("SELECT * FROM review_email_queue ORDER BY id") == before
    assert (resend.mails, done.emitted) == ([], [])


def test_mail_that_fails_holds_up_no_other(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_mails(rows, 10)
    resend.fail(500, match="ann4@example.com")

    done = deliver(WORK)

    failed = mail_row(rows, "rq004")
    assert counts(done.result) == {"processed": 10, "sent": 9, "failed": 1}
    assert (failed["status"], failed["attempts"], failed["error_code"]) == ("failed", 1, "RESEND_UNAVAILABLE")
    assert failed["error_message"] == "RESEND_UNAVAILABLE"
    assert logged(rows, "rq004") == ["failed"]


def test_mail_of_unknown_outcome_is_repeated_and_is_one_mail(
    deliver: Deliver, rows: Rows, resend: ResendFake, clock: ManualClock
) -> None:
    add_order(rows)
    add_mail(rows)
    resend.fail("cut")
    assert deliver(WORK).result["failed"] == 1
    assert len(resend.mails) == 1

    clock.advance(s=121)
    deliver.job("commerce-retry-failed-review-emails", {})
    done = deliver.again(QUEUE)

    assert done.result["sent"] == 1
    assert len(resend.mails) == 1
    row = mail_row(rows)
    assert (row["status"], row["attempts"], row["resend_message_id"]) == ("sent", 2, resend.mails[0].id)
    assert (row["error_code"], row["error_message"]) == (None, None)


def test_mail_of_unknown_outcome_is_not_repeated_after_resend_has_forgotten_its_key(
    deliver: Deliver, rows: Rows, resend: ResendFake, clock: ManualClock
) -> None:
    add_order(rows)
    add_mail(rows)
    resend.fail("cut")
    deliver(WORK)
    clock.advance(s=23 * 3600 + 60)
    rows.execute("UPDATE review_email_queue SET status = 'scheduled', scheduled_at = %s", (clock.now(),))

    done = deliver(WORK)

    row = mail_row(rows)
    assert counts(done.result) == {"processed": 1, "failed": 1, "dead": 1}
    assert (row["status"], row["attempts"], row["error_code"]) == ("failed", 5, "SEND_OUTCOME_UNKNOWN")
    assert len(resend.mails) == 1
    alerts = [event for name, event in done.emitted if name == "alert.systemError" and event["source"] == "reviews"]
    assert [(each["dedupeKey"], each["context"]) for each in alerts] == [
        ("review-mails-dead:acme:2026-11-21", {"count": 1})
    ]


def test_order_cancelled_between_a_lost_answer_and_its_repetition_stops_it(
    deliver: Deliver, rows: Rows, resend: ResendFake, clock: ManualClock
) -> None:
    add_order(rows)
    add_mail(rows)
    resend.fail("timeout", hold_s=0.0)
    deliver(WORK)
    rows.execute("UPDATE orders SET cancelled_at = now(), status = 'cancelled'")
    clock.advance(s=121)
    deliver.job("commerce-retry-failed-review-emails", {})

    assert deliver.again(QUEUE).result["skipped"] == 1
    assert (mail_row(rows)["skip_reason"], resend.mails) == ("order_cancelled", [])


def test_permanent_failure_is_dead_at_once(deliver: Deliver, rows: Rows, resend: ResendFake) -> None:
    add_mails(rows, 2)
    rows.execute("UPDATE review_email_queue SET customer_email = 'no address' WHERE id = 'rq000'")

    done = deliver(WORK)

    row = mail_row(rows, "rq000")
    assert counts(done.result) == {"processed": 2, "sent": 1, "failed": 1, "dead": 1}
    assert (row["status"], row["attempts"], row["error_code"]) == ("failed", 5, "INVALID_RECIPIENT")


def test_tenant_that_cannot_send_ends_the_run_and_burns_nothing(
    deliver: Deliver, rows: Rows, resend: ResendFake
) -> None:
    add_mails(rows, 3)
    rows.execute("UPDATE tenant_resend_config SET is_active = false")

    done = deliver(WORK)

    assert counts(done.result) == {"processed": 3, "deferred": 3}
    found = rows("SELECT DISTINCT status, attempts, scheduled_at FROM review_email_queue")
    assert found == [{"status": "scheduled", "attempts": 0, "scheduled_at": NOON + timedelta(minutes=60)}]
    assert len(rows("SELECT 1 FROM mail_messages")) == 1  # the others were not tried
    assert [name for name, _ in done.emitted] == ["alert.apiFailure"]


def test_vendors_rate_sends_the_run_away_and_burns_nothing(
    deliver: Deliver, rows: Rows, resend: ResendFake, clock: ManualClock
) -> None:
    add_mails(rows, 3)
    resend.fail(429, match="ann1@example.com", retry_after="90")

    away = deliver(WORK, expect="deferred")

    assert away.code == "MAIL_RATE_LIMITED"
    assert [mail_row(rows, f"rq00{n}")["status"] for n in range(3)] == ["sent", "scheduled", "scheduled"]
    assert {mail_row(rows, f"rq00{n}")["attempts"] for n in (1, 2)} == {0}
    assert deliver.again(QUEUE).result["sent"] == 2
    assert len(resend.mails) == 3


def test_two_workers_send_each_row_once(bench: Bench, tenant: Tenant, rows: Rows, resend: ResendFake) -> None:
    add_mails(rows, 10)
    other = bench.twin()
    job = "commerce-process-review-email-queue"
    for key in ("one", "two"):
        bench.send(job, {"tenantId": tenant.slug, "limit": 3}, key=key)

    with ThreadPoolExecutor(2) as pool:
        done = [d for pumped in pool.map(lambda each: each.pump(QUEUE), (bench, other)) for d in pumped]
    done += bench.drain(horizon_s=3600)
    other.connections.discard()

    assert sorted(mail.to[0] for mail in resend.mails) == sorted(f"ann{n}@example.com" for n in range(10))
    assert sum(each.result.get("sent", 0) for each in done) == 10
    requests = rows("SELECT DISTINCT status, attempts FROM review_email_queue WHERE sequence_number = 1")
    assert requests == [{"status": "sent", "attempts": 1}]


def test_worker_that_died_after_resend_took_a_mail(
    deliver: Deliver, rows: Rows, resend: ResendFake, clock: ManualClock
) -> None:
    add_mails(rows, 5)
    deliver(WORK)
    # As it stood when the process died right after Resend had taken mail 4.
    rows.execute(
        "UPDATE mail_messages SET status = 'sending', provider_message_id = NULL, sent_at = NULL, lease_owner = 'dead',"
        " lease_expires_at = %s WHERE queue_id = 'rq003'",
        (clock.now() + timedelta(minutes=10),),
    )
    rows.execute(
        "UPDATE review_email_queue SET status = 'processing', trigger_run_id = 'dead', sent_at = NULL,"
        " resend_message_id = NULL, lease_expires_at = %s WHERE id = 'rq003'",
        (clock.now() + timedelta(minutes=10),),
    )
    clock.advance(s=300)
    assert counts(deliver(WORK).result) == {}

    clock.advance(s=301)
    done = deliver(WORK)

    assert counts(done.result) == {"processed": 1, "sent": 1}
    assert len(resend.mails) == 5
    row = mail_row(rows, "rq003")
    assert (row["status"], row["resend_message_id"], row["attempts"]) == ("sent", resend.mails[3].id, 2)


def test_process_that_dies_after_resend_took_mail_four(
    bench: Bench, deliver: Deliver, tenant: Tenant, rows: Rows, resend: ResendFake, clock: ManualClock
) -> None:
    add_mails(rows, 5)
    # Two calls of each mail: the limiter, then Resend. The transaction after the eighth would note that it is out.
    bench.faults.on("before-call", lambda: bench.faults.crash("in-session"), nth=8)
    bench.publish(WORK, tenant.slug)
    bench.pump(QUEUE)
    assert (bench.crashes, len(resend.mails)) == (1, 4)
    assert mail_row(rows, "rq003")["status"] == "processing"

    bench.drain(horizon_s=300)  # its message comes back before the lease is over, and finds nothing
    clock.advance(s=600)
    done = deliver(WORK)

    assert counts(done.result) == {"processed": 2, "sent": 2}
    assert [mail.key for mail in resend.mails] == [f"acme:review:rq00{n}:0" for n in range(5)]
    row = mail_row(rows, "rq003")
    assert (row["status"], row["resend_message_id"], row["attempts"]) == ("sent", resend.mails[3].id, 2)


def test_batch_that_takes_long_is_held_on_to(
    bench: Bench, tenant: Tenant, rows: Rows, resend: ResendFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_mails(rows, 3)
    monkeypatch.setattr(queue_worker, "RENEW_AFTER", timedelta(seconds=0.1))
    bench.faults.crash("before-call", nth=5)  # two of each mail: the limiter, then Resend
    bench.publish(WORK, tenant.slug)
    bench.pump(QUEUE)

    assert (bench.crashes, len(resend.mails)) == (1, 2)
    row = mail_row(rows, "rq002")
    assert row["status"] == "processing"
    assert row["lease_expires_at"] - row["last_attempt_at"] > timedelta(minutes=10)


def test_mail_that_another_sender_holds_is_nobodys_failure(
    deliver: Deliver, rows: Rows, resend: ResendFake, clock: ManualClock
) -> None:
    add_mails(rows, 1)
    deliver(WORK)
    clock.advance(s=61)
    rows.execute(
        "UPDATE mail_messages SET status = 'sending', lease_owner = 'other', lease_expires_at = %s",
        (clock.now() + timedelta(seconds=40),),
    )
    rows.execute("UPDATE review_email_queue SET status = 'scheduled', attempts = 0, scheduled_at = %s", (clock.now(),))

    done = deliver(WORK)

    row = mail_row(rows, "rq000")
    assert counts(done.result) == {"processed": 1, "deferred": 1}
    assert (row["status"], row["attempts"], row["scheduled_at"]) == (
        "scheduled",
        0,
        clock.now() + timedelta(seconds=40),
    )


def test_run_whose_time_is_over_goes_on_in_another_leg(
    bench: Bench, tenant: Tenant, rows: Rows, resend: ResendFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_mails(rows, 5)
    monkeypatch.setattr(queue_worker, "RESERVE_S", 1_000.0)  # every leg ends after its first mail
    bench.send("commerce-process-review-email-queue", {"tenantId": tenant.slug})

    done = bench.drain(horizon_s=3600)

    legs = [each for each in done if each.job == "commerce-process-review-email-queue"]
    assert [each.state for each in legs[-2:]] == ["continuing", "succeeded"]
    assert counts(legs[-1].result) == {"processed": 5, "sent": 5}
    assert len(resend.mails) == 5
    requests = rows("SELECT DISTINCT attempts FROM review_email_queue WHERE sequence_number = 1")
    assert requests == [{"attempts": 1}]


@pytest.mark.parametrize("limit", [0, 201])
def test_limit_out_of_range_is_refused(deliver: Deliver, limit: int) -> None:
    done = deliver.job("commerce-process-review-email-queue", {"limit": limit}, expect="dead")
    assert done.code == "INVALID_PAYLOAD"


def test_mails_of_another_tenant_are_not_touched(
    deliver: Deliver, rows: Rows, resend: ResendFake, other_tenant: Tenant
) -> None:
    add_mail(rows, tenant=other_tenant)

    assert counts(deliver(WORK).result) == {}
    assert rows("SELECT status FROM review_email_queue", tenant=other_tenant) == [{"status": "scheduled"}]
