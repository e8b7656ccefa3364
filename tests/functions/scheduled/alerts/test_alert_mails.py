"""Alerts by mail, from the event over the mail service to Resend and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from functions.scheduled.alerts import alert_critical
from functions.scheduled.webhooks import process_single
from shared.fakes.resend import ResendFake
from shared.fakes.slack import SlackFake
from shared.jobs.context import Tenant
from shared.jobs.registry import Registry, build_registry
from shared.jobs.testing import Bench, Deliver, ManualClock
from shared.mail.addresses import hash_address
from tests.builders.webhooks import a_vendors
from tests.conftest import MakeBench
from tests.functions.scheduled.alerts.conftest import Alarm, Rows, Target

ANN, BOB = "ann@acme.example", "bob@acme.example"
LEDGER = "SELECT dedupe_key, category, recipient_type, status FROM mail_messages ORDER BY dedupe_key"


@pytest.fixture
def registry() -> Registry:
    """The jobs as they are installed."""
    return build_registry([alert_critical, process_single])


@pytest.fixture
def bench(make_bench: MakeBench, registry: Registry, slack: SlackFake, pagerduty: Target, resend: ResendFake) -> Bench:
    return make_bench(
        registry, SLACK_BASE_URL=slack.base_url, PAGERDUTY_BASE_URL=pagerduty.url, RESEND_BASE_URL=resend.base_url
    )


@pytest.fixture
def repeated(alarm: Alarm, rows: Rows) -> Alarm:
    """repeated() delivers the event k1 again after its run has been forgotten; the ends of its mails too."""

    def run(**more: Any) -> Any:
        rows.execute("DELETE FROM jobs.claims")
        rows.execute("UPDATE alert_deliveries SET status = 'pending', reason = NULL WHERE channel = 'email'")
        return alarm(key="k1", **more)

    return run


def readers(resend: ResendFake) -> list[str]:
    return sorted(address for mail in resend.mails for address in mail.to)


def ends(rows: Rows) -> list[tuple[str, str | None]]:
    found = rows("SELECT status, reason FROM alert_deliveries WHERE channel = 'email' ORDER BY status, reason")
    return [(row["status"], row["reason"]) for row in found]


def test_critical_alert_sends_one_mail_to_each_receiver(alarm: Alarm, resend: ResendFake, rows: Rows) -> None:
    done = alarm(message="No order for\n<30> minutes.", url="https://admin.example/orders")

    assert "email" in done.result["delivered"]
    assert readers(resend) == [ANN, BOB]
    mail = resend.mails[0]
    assert mail.body["subject"] == "[Acme] critical: Orders stand still"
    assert "No order for\n&lt;30&gt; minutes." in mail.body["html"]
    assert '<a href="https://admin.example/orders">Open</a>' in mail.body["html"]
    assert mail.body["text"].splitlines() == [
        "Orders stand still",
        "",
        "No order for",
        "<30> minutes.",
        "",
        "Severity: critical",
        "Source: orders",
        "Tenant: Acme",
        "Since: 2026-11-20 12:00 UTC",
        "Occurrences: 1",
        "",
        "https://admin.example/orders",
    ]
    assert mail.body["from"] == '"Acme" <hello@acme.test>'
    assert "headers" not in mail.body  # nobody unsubscribes from alarms
    found = rows("SELECT id, external_ref FROM alert_deliveries WHERE channel = 'email' ORDER BY id")
    told = [(f"alert:{row['id']}", "account", "team", "sent") for row in found]
    assert [tuple(row.values()) for row in rows(LEDGER)] == told
    assert {row["external_ref"] for row in found} == {str(row["id"]) for row in rows("SELECT id FROM mail_messages")}


def test_end_of_the_problem_is_mailed_to_those_who_were_told(
    alarm: Alarm, resend: ResendFake, clock: ManualClock
) -> None:
    alarm()
    clock.advance(s=1200)
    alarm(resolve=True, message="Orders come in.")

    assert readers(resend) == [ANN, ANN, BOB, BOB]
    assert [mail.body["subject"] for mail in resend.mails[2:]] == ["[Acme] recovered: Orders stand still"] * 2
    assert resend.mails[2].body["text"].startswith("Orders stand still\n\nrecovered: Orders come in.")


def test_repeated_delivery_mails_nobody_again(alarm: Alarm, repeated: Alarm, resend: ResendFake, rows: Rows) -> None:
    alarm(key="k1")

    repeated()

    assert readers(resend) == [ANN, BOB]
    assert len(resend.asked) == 2
    assert ends(rows) == [("sent", None), ("sent", None)]


@pytest.mark.parametrize("kind", ["503", "cut"])
def test_mail_of_unknown_outcome_is_sent_once_all_the_same(
    alarm: Alarm, again: Alarm, resend: ResendFake, rows: Rows, kind: str
) -> None:
    resend.fail(kind, match=ANN)

    assert alarm(expect="retrying").code == "ALERT_DELIVERY_PENDING"
    done = again()

    assert readers(resend) == [ANN, BOB]
    assert ends(rows) == [("sent", None), ("sent", None)]
    assert done.emitted == []


def test_address_that_is_held_back_is_skipped_and_stays_so(
    alarm: Alarm, repeated: Alarm, resend: ResendFake, rows: Rows, clock: ManualClock
) -> None:
    rows.execute(
        "INSERT INTO mail_suppressions (address_hash, scope, reason, created_at) VALUES (%s, 'all', 'hard_bounce', %s)",
        (hash_address(ANN), clock.now()),
    )

    first = alarm(key="k1")

    assert readers(resend) == [BOB]
    skipped = [("sent", None), ("skipped", "suppressed:hard_bounce")]
    assert ends(rows) == skipped
    assert "email" in first.result["delivered"]
    repeated()
    assert readers(resend) == [BOB]
    assert ends(rows) == skipped


def test_bounce_that_resend_reports_keeps_the_next_alert_from_the_address(
    alarm: Alarm, resend: ResendFake, rows: Rows, bench: Bench, tenant: Tenant
) -> None:
    alarm()
    [mail] = resend.sent_to(ANN)
    body = {
        "type": "email.bounced",
        "created_at": "2026-11-20T12:00:05.000Z",
        "data": {"email_id": mail.id, "to": [ANN], "bounce": {"type": "Permanent"}},
    }

    Deliver(bench, tenant)(a_vendors("resend", "email.bounced", body))
    alarm(dedupeKey="orders:other", title="Orders are late")

    assert readers(resend) == [ANN, BOB, BOB]
    assert ("skipped", "suppressed:hard_bounce") in ends(rows)


def test_tenant_without_an_account_gets_no_mail_and_no_alert_about_it(
    alarm: Alarm, resend: ResendFake, rows: Rows
) -> None:
    rows.execute("DELETE FROM tenant_resend_config")

    done = alarm()

    assert done.result["skipped"]["email"] == "not_configured"
    assert [name for name, _ in done.emitted] == ["sms.send"]
    assert resend.asked == []


def test_platform_itself_has_no_mails(
    alarm: Alarm, resend: ResendFake, platform: Callable[..., None], rows: Rows
) -> None:
    platform(emails=["ops@cgk.example"])

    done = alarm(of="system")

    assert done.result["skipped"]["email"] == "not_configured"
    assert ends(rows) == [("skipped", "not_configured")]
    assert resend.asked == []
