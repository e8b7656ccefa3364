"""alert-critical: raised, counted, told on every channel, and over."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shared.alerts import MailOutcome
from shared.crypto import encrypt_platform
from shared.fakes.slack import SlackFake
from shared.jobs.context import Tenant
from shared.jobs.errors import Permanent, RateLimited, Transient
from shared.jobs.testing import Bench, ManualClock
from tests.builders.alerts import Postbox
from tests.conftest import ENCRYPTION_KEY
from tests.functions.scheduled.alerts.conftest import CHANNEL, PHONE, Alarm, Rows, Target

Settings = Callable[..., None]
Read = Callable[[], dict[str, Any]]


def deliveries(rows: Rows) -> list[tuple[str, str, str, str, str | None]]:
    found = rows("SELECT * FROM alert_deliveries ORDER BY created_at, scope, channel, target_hash")
    return [(r["scope"], r["channel"], r["notice"], r["status"], r["reason"]) for r in found]


# -- the ordinary way ------------------------------------------------------------------------------------------------


def test_critical_alert_is_filed_and_told_on_every_channel(
    alarm: Alarm, alert: Read, slack: SlackFake, postbox: Postbox, tenant: Tenant, clock: ManualClock
) -> None:
    done = alarm(url="https://admin.example/orders", context={"orders": 0})

    row = alert()
    assert (row["severity"], row["status"], row["source"], row["service"]) == ("p1", "open", "error_tracker", "orders")
    assert (row["tenant_id"], row["kind"], row["occurrences"]) == (tenant.organization_id, "critical", 1)
    assert (row["last_seen_at"], row["last_notified_at"]) == (clock.now(), clock.now())
    assert row["metadata"]["severity"] == "critical"
    assert row["metadata"]["context"] == {"orders": 0}
    [message] = slack.posted(CHANNEL)
    assert message.text == "<!here> CRITICAL: Orders stand still"
    assert message.attachments[0]["color"] == "#dc2626"
    assert sorted(mail.to for mail in postbox.mails) == ["ann@acme.example", "bob@acme.example"]
    assert {mail.template for mail in postbox.mails} == {"alert_notice"}
    [(name, text)] = done.emitted
    assert name == "sms.send"
    assert text == {
        "to": PHONE,
        "message": f"CGK CRITICAL orders: Orders stand still [{str(row['id'])[:8]}]",
        "notificationType": "ops_alert",
        "recipientType": "team",
        "dedupeKey": text["dedupeKey"],
    }
    assert text["dedupeKey"].startswith("alert:")
    sent = dict.fromkeys(("dashboard", "slack", "email", "sms"), "sent")
    assert row["delivery_status"] == {**sent, "pagerduty": "skipped", "webhook": "skipped"}
    assert done.result == {
        "alertId": str(row["id"]),
        "outcome": "created",
        "severity": "critical",
        "delivered": ["dashboard", "sms", "slack", "email"],
        "skipped": {"pagerduty": "not_configured", "webhook": "not_configured"},
    }


def test_slack_message_shows_what_one_needs_to_know(
    alarm: Alarm, alert: Read, slack: SlackFake, clock: ManualClock
) -> None:
    alarm(message="A <b> & co", url="https://admin.example/orders")

    blocks = slack.posted(CHANNEL)[0].attachments[0]["blocks"]
    assert [block["type"] for block in blocks] == ["header", "section", "section", "context", "actions"]
    assert blocks[0]["text"]["text"] == "CRITICAL: Orders stand still"
    assert blocks[1]["text"]["text"] == "A &lt;b&gt; &amp; co"
    assert [field["text"] for field in blocks[2]["fields"]] == [
        "*Severity*\ncritical",
        "*Source*\norders",
        "*Tenant*\nacme",
        "*Occurrences*\n1",
        "*Since*\n2026-11-20 12:00 UTC",
    ]
    assert blocks[3]["elements"][0]["text"] == f"{alert()['id']} at 12:00 UTC"
    assert blocks[4]["elements"][0]["url"] == "https://admin.example/orders"


def test_same_problem_again_is_only_counted(alarm: Alarm, alert: Read, slack: SlackFake, clock: ManualClock) -> None:
    alarm()
    clock.advance(s=240)
    alarm()
    clock.advance(s=240)
    third = alarm(message="Still none.")

    row = alert()
    assert (row["occurrences"], row["message"], row["last_seen_at"]) == (3, "Still none.", clock.now())
    assert third.result["outcome"] == "repeated"
    assert third.result["delivered"] == []
    assert len(slack.posted()) == 1


def test_problem_that_goes_on_is_told_again_after_an_hour(
    alarm: Alarm, slack: SlackFake, clock: ManualClock, rows: Rows
) -> None:
    alarm()
    clock.advance(s=3599)
    alarm()
    clock.advance(s=1)
    alarm()

    assert len(slack.posted(CHANNEL)) == 2
    notices = {row["notice"] for row in rows("SELECT notice FROM alert_deliveries")}
    assert notices == {"new:0", "again:3"}


def test_acknowledged_problem_is_counted_in_silence(
    alarm: Alarm, alert: Read, slack: SlackFake, clock: ManualClock, rows: Rows
) -> None:
    alarm()
    rows.execute("UPDATE platform_alerts SET status = 'acknowledged', acknowledged_at = %s", (clock.now(),))
    clock.advance(s=7200)
    alarm()

    assert (alert()["status"], alert()["occurrences"]) == ("acknowledged", 2)
    assert len(slack.posted()) == 1


def test_alert_without_a_key_is_named_by_its_title_without_numbers(alarm: Alarm, alert: Read) -> None:
    alarm(dedupeKey=None, title="3 of 5 workers are down")
    alarm(dedupeKey=None, title="4 of 12 workers are down")

    text = hashlib.sha256(b"critical|orders|# of # workers are down").hexdigest()[:32]
    assert (alert()["dedupe_key"], alert()["occurrences"]) == (f"auto:{text}", 2)


# -- the end ---------------------------------------------------------------------------------------------------------


def test_end_is_told_to_those_who_were_told(
    alarm: Alarm, alert: Read, slack: SlackFake, postbox: Postbox, clock: ManualClock
) -> None:
    alarm()
    clock.advance(s=1200)
    done = alarm(resolve=True, message="Orders come in.")

    row = alert()
    assert (row["status"], row["resolved_at"]) == ("resolved", clock.now())
    assert row["resolution_notes"] == "recovered: Orders come in."
    first, reply = slack.posted(CHANNEL)
    assert (reply.thread_ts, reply.text) == (first.ts, "RECOVERED: Orders stand still")
    assert sorted((mail.template, mail.to) for mail in postbox.mails[2:]) == [
        ("alert_recovered", "ann@acme.example"),
        ("alert_recovered", "bob@acme.example"),
    ]
    assert done.emitted[0][1]["message"].startswith("CGK RECOVERED orders: Orders stand still")
    assert done.result["outcome"] == "resolved"


def test_end_of_an_unknown_problem_is_nothing(alarm: Alarm, slack: SlackFake, rows: Rows) -> None:
    assert alarm(resolve=True).result == {"outcome": "ignored", "severity": "critical", "delivered": [], "skipped": {}}

    assert rows("SELECT * FROM platform_alerts") == []
    assert slack.asked == []


@pytest.mark.parametrize(
    ("after_s", "outcome", "rows_then"),
    [(899, "reopened", 1), (900, "created", 2)],
    ids=["14 min 59 s", "15 min"],
)
def test_problem_that_comes_back_soon_is_the_same(
    alarm: Alarm, clock: ManualClock, rows: Rows, slack: SlackFake, after_s: int, outcome: str, rows_then: int
) -> None:
    alarm()
    clock.advance(s=60)
    alarm(resolve=True)
    clock.advance(s=after_s)
    done = alarm()

    assert done.result["outcome"] == outcome
    found = rows("SELECT * FROM platform_alerts ORDER BY created_at")
    assert len(found) == rows_then
    assert found[-1]["status"] == "open"
    assert found[0]["reopened_count"] == (1 if outcome == "reopened" else 0)
    assert len([m for m in slack.posted(CHANNEL) if m.text.startswith("<!here>")]) == 2


# -- trouble ---------------------------------------------------------------------------------------------------------


def test_slack_out_of_order_does_not_stop_the_mails_and_only_slack_is_tried_again(
    alarm: Alarm, again: Alarm, alert: Read, slack: SlackFake, postbox: Postbox
) -> None:
    slack.fail("503")

    waiting = alarm(expect="retrying")

    assert waiting.code == "ALERT_DELIVERY_PENDING"
    assert len(postbox.mails) == 2
    assert slack.posted() == []
    assert alert()["delivery_status"]["slack"] == "pending"
    done = again()
    assert len(slack.posted(CHANNEL)) == 1
    assert len(postbox.mails) == 2
    assert done.emitted == []
    assert done.result["outcome"] == "created"
    assert (alert()["occurrences"], alert()["delivery_status"]["slack"]) == (1, "sent")


def test_rate_of_slack_costs_no_attempt(alarm: Alarm, again: Alarm, slack: SlackFake) -> None:
    slack.fail("429", retry_after="30")

    waiting = alarm(expect="deferred")

    assert (waiting.code, waiting.delay_s) == ("SLACK_RATE_LIMITED", 30)
    assert again().attempt == 1
    assert len(slack.posted(CHANNEL)) == 1


def test_after_the_last_attempt_what_is_left_is_failed_and_the_run_ends_well(
    alarm: Alarm, again: Alarm, alert: Read, postbox: Postbox, bench: Bench, slack: SlackFake, rows: Rows
) -> None:
    postbox.trouble = [Transient("RESEND_UNAVAILABLE") for _ in range(10)]

    alarm(expect="retrying")
    for _ in range(3):
        again("retrying")
    done = again()

    assert done.attempt == 5
    assert done.result["delivered"] == ["dashboard", "sms", "slack"]
    assert done.result["skipped"]["email"] == "RESEND_UNAVAILABLE"
    assert alert()["delivery_status"]["email"] == "failed"
    assert bench.metrics.counted == [("AlertDeliveryFailed", 1, {"channel": "email"})] * 2
    assert len(slack.posted()) == 1


@pytest.mark.parametrize("why", ["nothing is configured", "everything refuses", "no mail service"])
def test_critical_alert_that_reaches_nobody_is_a_dead_letter(
    alarm: Alarm,
    slack: SlackFake,
    postbox: Postbox,
    rows: Rows,
    routing: Settings,
    bench: Bench,
    why: str,
) -> None:
    routing()
    if why == "nothing is configured":
        rows.execute("DELETE FROM user_organizations")
        rows.execute("DELETE FROM tenant_slack_channel_mappings")
    elif why == "everything refuses":
        slack.fail("channel_not_found")
        postbox.trouble = [Permanent("RESEND_HTTP_422"), Permanent("RESEND_HTTP_422")]
    else:
        rows.execute("DELETE FROM tenant_slack_channel_mappings")
        postbox.outcome = MailOutcome("not_configured")

    dead = alarm(expect="dead")

    assert dead.code == "ALERT_UNDELIVERED"
    assert dead.emitted == []  # no alert about an alert
    assert len(bench.queues.dead("alerts")) == 1
    assert rows("SELECT status FROM platform_alerts") == [{"status": "open"}]


def test_mail_without_a_service_is_skipped_and_says_so(alarm: Alarm, alert: Read, postbox: Postbox, rows: Rows) -> None:
    postbox.outcome = MailOutcome("not_configured")

    done = alarm()

    assert done.result["skipped"]["email"] == "not_configured"
    assert alert()["delivery_status"]["email"] == "skipped"
    assert ("tenant", "email", "new:0", "skipped", "not_configured") in deliveries(rows)


def test_replayed_dead_alert_tries_what_failed(
    alarm: Alarm, slack: SlackFake, routing: Settings, rows: Rows, alert: Read
) -> None:
    routing()
    rows.execute("DELETE FROM user_organizations")
    slack.fail("channel_not_found")
    alarm(expect="dead", key="k1")

    done = alarm(key="k1")

    assert (done.result["outcome"], alert()["occurrences"]) == ("created", 1)
    assert len(slack.posted(CHANNEL)) == 1


def test_doubled_event_counts_once(alarm: Alarm, alert: Read, rows: Rows, slack: SlackFake) -> None:
    alarm(key="k1")
    rows.execute("DELETE FROM jobs.claims")  # the ledger has forgotten the run
    alarm(key="k1")

    assert alert()["occurrences"] == 1
    assert len(slack.posted()) == 1


# -- limits ----------------------------------------------------------------------------------------------------------


def test_sixth_text_message_to_one_phone_within_an_hour_is_left_out(alarm: Alarm, clock: ManualClock) -> None:
    done = []
    for n in range(6):
        done.append(alarm(dedupeKey=f"problem-{n}"))
        clock.advance(s=60)

    assert [len(each.emitted) for each in done] == [1, 1, 1, 1, 1, 0]
    assert done[5].result["skipped"]["sms"] == "rate_limited"
    clock.advance(s=3600)
    assert len(alarm(dedupeKey="problem-7").emitted) == 1


def test_twenty_first_text_message_within_a_day_is_left_out(alarm: Alarm, clock: ManualClock) -> None:
    done = []
    for n in range(21):
        done.append(alarm(dedupeKey=f"problem-{n}"))
        clock.advance(s=3600)

    assert [len(each.emitted) for each in done] == [1] * 20 + [0]


def test_twenty_first_mail_to_one_address_within_an_hour_is_left_out(
    alarm: Alarm, routing: Settings, postbox: Postbox, clock: ManualClock
) -> None:
    routing(emails=["ops@acme.example"])
    for n in range(21):
        last = alarm(dedupeKey=f"problem-{n}")

    assert len(postbox.mails) == 20
    assert last.result["skipped"]["email"] == "rate_limited"


# -- receivers -------------------------------------------------------------------------------------------------------


def test_named_receivers_stand_in_for_the_lists_and_strangers_are_dropped(
    alarm: Alarm, alert: Read, postbox: Postbox
) -> None:
    done = alarm(notifyEmails=["Cid@acme.example", "stranger@evil.example"], notifyPhones=["+12125550199"])

    assert [mail.to for mail in postbox.mails] == ["cid@acme.example"]
    assert done.emitted[0][1]["to"] == PHONE  # none of the named numbers is ours to call
    assert alert()["metadata"]["droppedRecipients"] == 2
    assert "evil" not in str(alert())


def test_person_who_wants_no_mail_gets_none(alarm: Alarm, postbox: Postbox, rows: Rows, tenant: Tenant) -> None:
    rows.execute(
        "INSERT INTO tenant_user_notification_preferences (user_id, tenant_id, email_enabled)"
        " SELECT id, %s, false FROM users WHERE email LIKE 'ann@%%'",
        (tenant.organization_id,),
    )

    alarm()

    assert [mail.to for mail in postbox.mails] == ["bob@acme.example"]


def test_rule_of_the_tenant_replaces_the_channels(alarm: Alarm, routing: Settings, rows: Rows) -> None:
    routing(phones=[PHONE], rules=[{"source": "payments", "channels": []}, {"kind": "critical", "channels": ["mail"]}])

    assert alarm().result["delivered"] == ["dashboard", "email"]


def test_addresses_and_numbers_stand_in_no_row(alarm: Alarm, rows: Rows) -> None:
    alarm()

    stored = str(rows("SELECT * FROM alert_deliveries") + rows("SELECT * FROM platform_alerts"))
    assert "@" not in stored
    assert PHONE not in stored
    refs = {row["target_ref"] for row in rows("SELECT target_ref FROM alert_deliveries WHERE channel = 'sms'")}
    assert refs == {"phones:0"}


# -- the platform ----------------------------------------------------------------------------------------------------


def test_alert_of_the_platform_reads_and_writes_nothing_of_a_tenant(
    alarm: Alarm, alert: Read, slack: SlackFake, platform: Settings, postbox: Postbox, rows: Rows
) -> None:
    platform(emails=["ops@cgk.example"])

    done = alarm(of="system")

    assert (alert()["tenant_id"], done.result["delivered"]) == (None, ["dashboard", "slack", "email"])
    [message] = slack.posted()
    assert (message.channel, message.text) == ("C90000001", "<@U024BE7LH> CRITICAL: Orders stand still")
    assert [mail.to for mail in postbox.mails] == ["ops@cgk.example"]
    [logged] = rows("SELECT * FROM platform_slack_alerts")
    assert (logged["severity"], logged["service"], logged["status"]) == ("critical", "orders", "sent")
    assert (logged["channel_id"], logged["message_ts"], logged["tenant_id"]) == ("C90000001", message.ts, None)
    assert rows("SELECT * FROM slack_posts") == []


def test_alert_of_a_tenant_is_told_to_the_platform_too(
    alarm: Alarm, slack: SlackFake, platform: Settings, rows: Rows, postbox: Postbox, other_tenant: Tenant
) -> None:
    platform(emails=["ops@cgk.example"], phones=["+12125550111"], smsTenant=other_tenant.slug)

    done = alarm()

    assert {message.channel for message in slack.posted()} == {CHANNEL, "C90000001"}
    assert sorted(mail.to for mail in postbox.mails) == ["ann@acme.example", "bob@acme.example", "ops@cgk.example"]
    assert len(done.emitted) == 2
    assert {row["scope"] for row in rows("SELECT scope FROM alert_deliveries")} == {"tenant", "platform"}


def test_text_message_of_the_platform_goes_out_in_its_own_tenants_account(
    alarm: Alarm, bench: Bench, platform: Settings, other_tenant: Tenant
) -> None:
    platform(phones=["+12125550111"], smsTenant=other_tenant.slug)

    alarm()

    sent = [(detail["tenantId"], detail["to"]) for name, detail in bench.bus.published if name == "sms.send"]
    assert sorted(sent) == [("acme", PHONE), ("globex", "+12125550111")]


def test_platform_has_its_text_messages_counted_over_all_tenants(
    alarm: Alarm, platform: Settings, bench: Bench, other_tenant: Tenant
) -> None:
    platform(phones=["+12125550111"], smsTenant="acme")
    for n in range(6):
        alarm(of=("acme", "globex")[n % 2], dedupeKey=f"problem-{n}")

    to_platform = [d for name, d in bench.bus.published if name == "sms.send" and d["to"] == "+12125550111"]
    assert len(to_platform) == 5


@pytest.mark.parametrize(
    ("audience", "channels"),
    [("platform", {"C90000001"}), ("tenant", {CHANNEL}), (None, {CHANNEL, "C90000001"})],
)
def test_audience_keeps_an_alert_on_one_side(
    alarm: Alarm, slack: SlackFake, platform: Settings, audience: str | None, channels: set[str]
) -> None:
    platform()

    alarm(context={"audience": audience} if audience else {})

    assert {message.channel for message in slack.posted()} == channels


@pytest.mark.parametrize("status", ["suspended", "onboarding"])
def test_alert_of_a_tenant_that_is_not_active_is_told_to_the_platform_only(
    alarm: Alarm, alert: Read, slack: SlackFake, platform: Settings, rows: Rows, tenant: Tenant, status: str
) -> None:
    platform()
    rows.execute("UPDATE organizations SET status = %s WHERE slug = 'acme'", (status,))

    alarm()

    assert alert()["tenant_id"] == tenant.organization_id
    assert {message.channel for message in slack.posted()} == {"C90000001"}


def test_super_admins_are_told_where_the_platform_lists_nobody(
    alarm: Alarm, platform: Settings, postbox: Postbox, rows: Rows
) -> None:
    platform()
    rows.execute(
        "WITH person AS (INSERT INTO users (email) VALUES ('root@cgk.example') RETURNING id)"
        " INSERT INTO super_admin_users (user_id) SELECT id FROM person"
    )

    alarm(of="system")

    assert [mail.to for mail in postbox.mails] == ["root@cgk.example"]


def test_platforms_slack_in_an_unknown_state_is_tried_once_more_and_logged(
    alarm: Alarm, again: Alarm, slack: SlackFake, platform: Settings, rows: Rows
) -> None:
    platform(emails=["ops@cgk.example"])
    slack.fail("503", 5)

    alarm(of="system", expect="retrying")
    again("retrying")
    done = again()

    assert len(slack.asked) == 2
    assert done.result["skipped"]["slack"] == "SLACK_OUTCOME_UNKNOWN"
    assert [row["status"] for row in rows("SELECT status FROM platform_slack_alerts")] == ["failed"]


def test_rate_of_the_platforms_slack_is_logged_once(
    alarm: Alarm, again: Alarm, slack: SlackFake, platform: Settings, rows: Rows
) -> None:
    platform()
    slack.fail("429", 2)

    alarm(of="system", expect="deferred")
    again("deferred")
    again()

    statuses = [row["status"] for row in rows("SELECT status FROM platform_slack_alerts ORDER BY created_at, status")]
    assert statuses == ["rate_limited", "sent"]


# -- PagerDuty and webhooks ------------------------------------------------------------------------------------------


def test_pagerduty_gets_an_incident_and_its_end(
    alarm: Alarm, routing: Settings, pagerduty: Target, clock: ManualClock
) -> None:
    routing(pagerDuty={"routingKeyEncrypted": encrypt_platform("routing-key", ENCRYPTION_KEY)})

    alarm(url="https://admin.example/orders", context={"orders": 0})
    alarm(resolve=True)

    trigger, resolve = pagerduty.bodies()
    dedup_key = hashlib.sha256(b"acmeorders:standstill").hexdigest()
    assert trigger == {
        "routing_key": "routing-key",
        "dedup_key": dedup_key,
        "event_action": "trigger",
        "payload": {
            "summary": "CRITICAL: Orders stand still: No order came in for 30 minutes.",
            "source": "cgk",
            "severity": "critical",
            "timestamp": "2026-11-20T12:00:00+00:00",
            "component": "orders",
            "group": "acme",
            "class": "critical",
            "custom_details": {"orders": 0},
        },
        "links": [{"href": "https://admin.example/orders", "text": "Open"}],
    }
    assert resolve == {"routing_key": "routing-key", "dedup_key": dedup_key, "event_action": "resolve"}
    assert pagerduty.got[0][0] == "/v2/enqueue"


@pytest.mark.parametrize(
    ("status", "state", "reason"),
    [
        (400, "succeeded", "PAGERDUTY_HTTP_400"),
        (429, "deferred", "PAGERDUTY_RATE_LIMITED"),
        (500, "retrying", "PAGERDUTY_UNAVAILABLE"),
    ],
)
def test_pagerduty_errors(
    alarm: Alarm, routing: Settings, pagerduty: Target, rows: Rows, status: int, state: str, reason: str
) -> None:
    routing(pagerDuty={"routingKeyEncrypted": encrypt_platform("routing-key", ENCRYPTION_KEY)})
    pagerduty.status = status

    alarm(expect=state)

    [row] = rows("SELECT status, reason FROM alert_deliveries WHERE channel = 'pagerduty'")
    assert row == {"status": "failed" if state == "succeeded" else "pending", "reason": reason}


def test_webhook_gets_the_alert_signed(
    alarm: Alarm, alert: Read, routing: Settings, hook: Target, rows: Rows, clock: ManualClock
) -> None:
    routing(webhook={"url": f"{hook.url}/alerts", "secretEncrypted": encrypt_platform("hush", ENCRYPTION_KEY)})

    alarm(context={"orders": 0})

    [(path, headers, body)] = hook.got
    assert path == "/alerts"
    at = int(clock.now().timestamp())
    digest = hmac.new(b"hush", f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["x-cgk-signature"] == f"t={at},v1={digest}"
    [row] = rows("SELECT id FROM alert_deliveries WHERE channel = 'webhook'")
    assert headers["x-cgk-delivery"] == str(row["id"])
    assert hook.bodies() == [
        {
            "type": "platform_alert",
            "alert": {
                "id": str(alert()["id"]),
                "severity": "critical",
                "kind": "critical",
                "source": "orders",
                "tenant": "acme",
                "title": "Orders stand still",
                "message": "No order came in for 30 minutes.",
                "context": {"orders": 0},
                "occurrences": 1,
                "createdAt": "2026-11-20T12:00:00+00:00",
            },
        }
    ]


@pytest.mark.parametrize(
    ("status", "state", "row"),
    [
        (410, "succeeded", ("failed", "WEBHOOK_HTTP_410")),
        (302, "succeeded", ("failed", "WEBHOOK_HTTP_302")),
        (408, "retrying", ("pending", "WEBHOOK_UNAVAILABLE")),
        (503, "retrying", ("pending", "WEBHOOK_UNAVAILABLE")),
    ],
)
def test_webhook_errors(
    alarm: Alarm, routing: Settings, hook: Target, rows: Rows, status: int, state: str, row: tuple[str, str]
) -> None:
    routing(webhook={"url": hook.url})
    hook.status = status

    alarm(expect=state)

    [found] = rows("SELECT status, reason FROM alert_deliveries WHERE channel = 'webhook'")
    assert (found["status"], found["reason"]) == row


@pytest.mark.parametrize("url", ["https://169.254.169.254/latest", "https://10.0.0.8/x", "ftp://example.com/x"])
def test_webhook_that_leads_inside_is_refused(alarm: Alarm, routing: Settings, rows: Rows, url: str) -> None:
    routing(webhook={"url": url})

    alarm()

    [found] = rows("SELECT status, reason FROM alert_deliveries WHERE channel = 'webhook'")
    assert found == {"status": "failed", "reason": "WEBHOOK_TARGET_REFUSED"}


# -- what comes in ---------------------------------------------------------------------------------------------------


def test_personal_data_and_keys_are_scrubbed_before_they_are_stored(
    alarm: Alarm, alert: Read, slack: SlackFake
) -> None:
    alarm(
        message="jane@x.com and shpat_abc",
        context={"apiToken": "t", "customerEmail": "a", "ipAddress": "1.2.3.4", "note": "call +1 (212) 555-0100"},
    )

    assert alert()["message"] == "[redacted] and [redacted]"
    assert alert()["metadata"]["context"] == {
        "apiToken": "[redacted]",
        "customerEmail": "[redacted]",
        "ipAddress": "[redacted]",
        "note": "call [redacted]",
    }
    assert "jane" not in str(slack.posted())


def test_context_is_bounded(alarm: Alarm, alert: Read) -> None:
    alarm(metadata={"old": 1, "both": "old"}, context={"both": "new", **{f"k{n:02}": n for n in range(30)}})

    context = alert()["metadata"]["context"]
    assert (context["old"], context["both"], context["_cut"]) == (1, "new", True)
    assert len(context) == 21


@pytest.mark.parametrize("missing", ["title", "message", "source"])
def test_alert_that_says_nothing_is_refused(alarm: Alarm, rows: Rows, missing: str) -> None:
    assert alarm(**{missing: None}, expect="dead").code == "INVALID_PAYLOAD"
    assert rows("SELECT * FROM platform_alerts") == []


def test_severity_sent_along_is_not_looked_at(alarm: Alarm, alert: Read) -> None:
    alarm(severity="info")

    assert alert()["severity"] == "p1"


def test_late_event_is_counted_but_does_not_replace_the_newest_text(
    alarm: Alarm, alert: Read, clock: ManualClock
) -> None:
    alarm(message="newest")
    alarm(message="older", occurredAt=(clock.now() - timedelta(minutes=5)).isoformat())

    row = alert()
    assert (row["message"], row["occurrences"]) == ("newest", 2)
    assert row["last_seen_at"] == datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def test_rate_limited_mail_waits_as_long_as_it_says(alarm: Alarm, postbox: Postbox) -> None:
    postbox.trouble = [RateLimited(40, "RESEND_RATE_LIMITED"), RateLimited(20, "RESEND_RATE_LIMITED")]

    waiting = alarm(expect="deferred")

    assert (waiting.code, waiting.delay_s) == ("RESEND_RATE_LIMITED", 40)
