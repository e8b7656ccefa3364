"""What a mail is made of: the tenant's templates, its senders, the standard variables, unsubscribing."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.crypto import Keyring
from shared.fakes.resend import ResendFake
from shared.jobs.testing import ManualClock
from shared.mail import Template, Texts, register_source, register_template
from shared.mail.addresses import hash_address
from shared.mail.registry import built_in
from shared.tokens import MAIL_UNSUBSCRIBE, verify_token
from tests.conftest import ENCRYPTION_KEY, Rows, shared_material
from tests.shared.mail.conftest import ANN, PORTAL, PROJECT, Office

ASSIGNED = {"creatorName": "Ann", "projectTitle": "Spring", "projectUrl": "https://portal.acme.test/p/1"}


def slug_template(rows: Rows, slug: str, subject: str, **more: Any) -> str:
    """A row of creator_email_templates; its id."""
    values = {"html": "<p>{{projectTitle}}</p>", "text": None, "variables": [], "enabled": True, "sender": None, **more}
    [row] = rows(
        "INSERT INTO creator_email_templates (name, slug, subject, content_html, content_text, variables, is_enabled,"
        " from_address, reply_to) VALUES (%(slug)s, %(slug)s, %(subject)s, %(html)s, %(text)s, %(json)s, %(enabled)s,"
        " %(sender)s, %(reply)s) RETURNING id::text",
        {
            **values,
            "slug": slug,
            "subject": subject,
            "json": json.dumps(values["variables"]),
            "reply": more.get("reply"),
        },
    )
    return str(row["id"])


def type_template(rows: Rows, kind: str, key: str, subject: str, **more: Any) -> None:
    """A row of email_templates."""
    values = {"default": False, "version": 1, "active": True, **more}
    rows.execute(
        "INSERT INTO email_templates (notification_type, template_key, name, subject, body_html, is_default, version,"
        " is_active) VALUES (%(kind)s, %(key)s, 'x', %(subject)s, '<p>x</p>', %(default)s, %(version)s, %(active)s)",
        {**values, "kind": kind, "key": key, "subject": subject},
    )


def subject(office: Office, resend: ResendFake, template: str = "creator_project_assigned", key: str = "s") -> str:
    outcome = office.send(key, template, variables=ASSIGNED, mandatory=True)
    assert outcome.status == "sent", outcome
    return str(resend.mails[-1].body["subject"])


def test_every_built_in_template_of_the_list_is_there() -> None:
    import yaml

    header = yaml.safe_load(shared_material("catalogue/communications.yaml").read_text())
    for listed in header["templates"]:
        found = built_in(listed["key"])
        assert found is not None, listed["key"]
        assert found.category == listed["category"]
        assert found.required == {name[:-1] for name in listed["vars"] if name.endswith("*")}
        assert (found.notification_type or "none") == listed["type"]


def test_the_tenants_templates_win_from_the_most_particular_one_on(
    office: Office, resend: ResendFake, rows: Rows
) -> None:
    assert subject(office, resend, key="1") == "New project: Spring"
    type_template(rows, "creator_project_assigned", "other", "by type", version=3)
    assert subject(office, resend, key="2") == "by type"
    type_template(rows, "creator_project_assigned", "older", "by type, default", default=True)
    assert subject(office, resend, key="3") == "by type, default"
    type_template(rows, "creator_project_assigned", "creator_project_assigned", "by type and key")
    assert subject(office, resend, key="4") == "by type and key"
    slug_template(rows, "creator_project_assigned", "by slug")
    assert subject(office, resend, key="5") == "by slug"
    id = slug_template(rows, "mine", "of the setting")
    rows.execute(
        "INSERT INTO creator_notification_settings (notification_type, display_name, template_id)"
        " VALUES ('project_assigned', 'x', %s)",
        (id,),
    )
    assert subject(office, resend, key="6") == "of the setting"
    rows.execute("UPDATE creator_notification_settings SET subject_override = 'Overridden {{projectTitle}}'")
    assert subject(office, resend, key="7") == "Overridden Spring"
    assert subject(office, resend, template=id, key="8") == "of the setting"


def test_a_template_that_the_tenant_switched_off_sends_nothing(office: Office, resend: ResendFake, rows: Rows) -> None:
    type_template(rows, "creator_project_submitted", "creator_project_submitted", "x", active=False)
    slug_template(rows, "creator_project_completed", "x", enabled=False)

    assert office.send("a").reason == "template_disabled"
    assert office.send("b", "creator_project_completed").reason == "template_disabled"
    assert resend.asked == []


def test_required_variables_of_a_tenants_template(office: Office, rows: Rows) -> None:
    wanted = [{"name": "nickname", "required": True}, {"key": "other", "required": False}, "text"]
    slug_template(rows, "creator_project_submitted", "Hi {{nickname}}", variables=wanted)

    missing = office.fails("dead", key="a")
    assert (missing.code, missing.detail) == ("RENDER_MISSING_VARIABLE", "nickname")
    assert office.send("b", variables={**PROJECT, "nickname": "A"}).status == "sent"


def test_another_modules_texts_and_its_own_place_for_templates(office: Office, resend: ResendFake) -> None:
    register_template("toy_notice", "transactional", ["what*"], Texts("Notice: {{what}}", "<p>{{what}}</p>"))
    seen: list[Any] = []

    def source(session: Any, key: str, queue_ref: Any) -> Any:
        seen.append((key, queue_ref))
        return {"q1": None, "q2": "template_disabled"}.get(queue_ref[1], Template(key, Texts("Sourced", "<p>s</p>")))

    register_source(["toy_notice"], source)

    def send(key: str) -> Any:
        return office.send(
            key, "toy_notice", variables={"what": "w"}, category="transactional", queue_ref=("toy_queue", key)
        )

    assert (send("q1").status, send("q2").reason, send("q3").status) == ("sent", "template_disabled", "sent")
    assert [mail.body["subject"] for mail in resend.mails] == ["Notice: w", "Sourced"]
    assert seen[0] == ("toy_notice", ("toy_queue", "q1"))


def test_registering_refuses_unknown_categories_and_second_texts() -> None:
    register_template("toy_once", "review", [], Texts("a", "b"))
    register_template("toy_once", "review", [], Texts("a", "b"))
    with pytest.raises(ValueError, match="registered twice"):
        register_template("toy_once", "review", [], Texts("a", "c"))
    with pytest.raises(ValueError, match="no category"):
        register_template("toy_spam", "spam", [], Texts("a", "b"))


def address(rows: Rows, email: str, purpose: str, *, default: bool = True, reply: str | None = None) -> str:
    """A sender address of the verified domain acme.test; its id."""
    rows.execute(
        "INSERT INTO tenant_email_domains (domain, verification_status) VALUES ('acme.test', 'verified')"
        " ON CONFLICT DO NOTHING"
    )
    [row] = rows(
        "INSERT INTO tenant_sender_addresses (domain_id, email_address, display_name, purpose, is_default,"
        " reply_to_address) SELECT id, %s, 'Team ' || %s, %s, %s, %s FROM tenant_email_domains LIMIT 1"
        " RETURNING id::text",
        (email, purpose, purpose, default, reply),
    )
    return str(row["id"])


def test_the_sender_is_the_first_that_is_usable(office: Office, resend: ResendFake, rows: Rows) -> None:
    def sender(key: str, **more: Any) -> str:
        assert office.send(key, mandatory=True, **more).status == "sent"
        return str(resend.mails[-1].body["from"])

    assert sender("1") == '"Acme" <hello@acme.test>'
    rows.execute("INSERT INTO creator_communication_settings (default_from_address) VALUES ('Studio <s@acme.test>')")
    assert sender("2") == '"Studio" <s@acme.test>'
    address(rows, "any@acme.test", "support")
    assert sender("3") == '"Team support" <any@acme.test>'
    address(rows, "shop@acme.test", "transactional")
    address(rows, "people@acme.test", "creator")
    assert sender("4") == '"Team creator" <people@acme.test>'
    assert sender("5", category="transactional") == '"Team transactional" <shop@acme.test>'
    id = address(rows, "routed@acme.test", "other", default=False)
    rows.execute(
        "INSERT INTO tenant_notification_routing (notification_type, sender_address_id)"
        " VALUES ('creator_project_submitted', %s)",
        (id,),
    )
    assert sender("6") == '"Team other" <routed@acme.test>'
    slug_template(rows, "creator_project_submitted", "x", sender='"Ann, \r\n CEO" <ann@acme.test>')
    assert sender("7") == '"Ann, CEO" <ann@acme.test>'
    rows.execute("UPDATE creator_email_templates SET from_address = 'a@elsewhere.test'")
    assert sender("8") == '"Team other" <routed@acme.test>'


def test_no_usable_sender_is_a_matter_of_configuration(office: Office, resend: ResendFake, rows: Rows) -> None:
    rows.execute('UPDATE tenant_resend_config SET verified_domains = \'[{"name": "acme.test", "status": "pending"}]\'')
    assert office.send("a").reason == "no_sender"
    rows.execute('UPDATE tenant_resend_config SET verified_domains = \'[{"name": "ACME.test", "status": "verified"}]\'')
    assert office.send("a").status == "sent"
    rows.execute("UPDATE tenant_resend_config SET is_active = false")
    assert office.send("b").reason == "inactive"
    rows.execute("UPDATE tenant_resend_config SET is_active = true, api_key_encrypted = 'garbage'")
    assert office.send("b").reason == "credential_unreadable"
    assert len(resend.asked) == 1


def test_replies_go_where_the_caller_the_template_or_the_tenant_says(
    office: Office, resend: ResendFake, rows: Rows
) -> None:
    def reply_to(key: str, **more: Any) -> Any:
        office.send(key, mandatory=True, **more)
        return resend.mails[-1].body.get("reply_to")

    assert reply_to("1") is None
    rows.execute("UPDATE tenant_resend_config SET default_reply_to = 'config@acme.test'")
    assert reply_to("2") == "config@acme.test"
    rows.execute("INSERT INTO creator_communication_settings (default_reply_to) VALUES ('settings@acme.test')")
    assert reply_to("3") == "settings@acme.test"
    address(rows, "people@acme.test", "creator", reply="address@acme.test")
    assert reply_to("4") == "address@acme.test"
    slug_template(rows, "creator_project_submitted", "x", reply="template@acme.test")
    assert reply_to("5") == "template@acme.test"
    assert reply_to("6", reply_to="caller@acme.test") == "caller@acme.test"


def test_standard_variables(office: Office, resend: ResendFake, rows: Rows) -> None:
    names = ["brandName", "supportEmail", "websiteUrl", "portalUrl", "currentYear", "currentDate", "creatorName"]
    names += ["creatorFirstName", "creatorEmail", "discountCode", "commissionRate", "unsubscribeUrl"]
    slug_template(rows, "toy_all", "x", html="<p>x</p>", text="\n".join(f"{name}={{{{{name}}}}}" for name in names))
    rows.execute(
        "INSERT INTO creators (id, email, first_name, last_name, referral_code, commission_rate_pct)"
        " VALUES ('c1', 'ann@example.com', 'Ann', 'Bee', 'ANN10', 12.50)"
    )
    rows.execute(
        "UPDATE public.organizations SET custom_domain = 'acme.example', shopify_store_domain = 'acme.myshopify.com',"
        " settings = '{\"timezone\": \"Asia/Tokyo\"}' WHERE slug = 'acme'"
    )

    office.send("a", "toy_all", variables={}, recipient_type="creator", recipient_id="c1", mandatory=True)
    first = dict(line.split("=", 1) for line in resend.mails[-1].body["text"].split("\n"))

    url = first.pop("unsubscribeUrl")
    assert url.startswith(f"{PORTAL}/unsubscribe?t=")
    assert first == {
        "brandName": "Acme",
        "supportEmail": "hello@acme.test",
        "websiteUrl": "https://acme.myshopify.com",
        "portalUrl": PORTAL,
        "currentYear": "2026",
        "currentDate": "November 20, 2026",
        "creatorName": "Ann Bee",
        "creatorFirstName": "Ann",
        "creatorEmail": "ann@example.com",
        "discountCode": "ANN10",
        "commissionRate": "12.5",
    }
    rows.execute(
        "UPDATE public.organizations SET custom_domain_verified = true,"
        " settings = '{\"supportEmail\": \"help@acme.test\"}' WHERE slug = 'acme'"
    )
    rows.execute(
        "INSERT INTO tenant_config (key, value) VALUES ('creator.portal_url', '{\"url\": \"https://own.test/\"}')"
    )
    own = {"brandName": "Mine", "unsubscribeUrl": "https://evil.test"}
    office.send("b", "toy_all", variables=own, recipient_type="creator", recipient_id="c1", mandatory=True)
    second = dict(line.split("=", 1) for line in resend.mails[-1].body["text"].split("\n"))
    assert (second["brandName"], second["supportEmail"]) == ("Mine", "help@acme.test")
    assert (second["websiteUrl"], second["portalUrl"]) == ("https://acme.example", "https://own.test/")
    assert second["unsubscribeUrl"].startswith("https://own.test/unsubscribe?t=")


def test_one_click_unsubscribing_names_nobody(office: Office, resend: ResendFake, clock: ManualClock) -> None:
    office.send(recipient_type="creator", recipient_id="c1")

    [mail] = resend.mails
    url = mail.body["headers"]["List-Unsubscribe"].strip("<>")
    assert mail.body["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert url in mail.body["text"]
    assert "Unsubscribe</a>" in mail.body["html"]
    assert "example.com" not in url
    [token] = parse_qs(urlsplit(url).query)["t"]
    held = verify_token(Keyring.single(ENCRYPTION_KEY), MAIL_UNSUBSCRIBE, token, now=clock.now())
    assert held == {"t": "acme", "a": hash_address(ANN), "c": "project", "r": "c1"}


def test_mandatory_mails_carry_no_unsubscribing(office: Office, resend: ResendFake) -> None:
    office.send(mandatory=True)

    assert "headers" not in resend.mails[0].body
    assert "nsubscribe" not in resend.mails[0].body["html"]


def test_the_footer_is_left_out_when_switched_off_or_there_already(
    office: Office, resend: ResendFake, rows: Rows
) -> None:
    rows.execute(
        "INSERT INTO creator_communication_settings (unsubscribe_footer_enabled, unsubscribe_url)"
        " VALUES (false, 'https://acme.test/stop?x=1')"
    )
    office.send("a")
    assert "https://acme.test/stop?x=1&t=" in resend.mails[-1].body["headers"]["List-Unsubscribe"]
    assert "nsubscribe" not in resend.mails[-1].body["html"]
    rows.execute("UPDATE creator_communication_settings SET unsubscribe_footer_enabled = true")
    html = '<html><body><a href="{{unsubscribeUrl}}">stop</a></body></html>'
    slug_template(rows, "creator_project_submitted", "x", html=html)

    office.send("b")

    assert resend.mails[-1].body["html"].count("stop?x=1") == 1
    assert resend.mails[-1].body["text"].count("stop?x=1") == 1


def test_a_creators_own_name_satisfies_a_required_variable(office: Office, resend: ResendFake, rows: Rows) -> None:
    rows.execute(
        "INSERT INTO creators (id, email, first_name, last_name) VALUES ('c1', 'ann@example.com', 'Ann', 'Bee')"
    )
    given = {name: value for name, value in PROJECT.items() if name != "creatorName"}

    office.send("a", variables=given, recipient_type="creator", recipient_id="c1")

    assert "Hi Ann Bee," in resend.mails[0].body["html"]


def test_amounts_are_shown_in_the_tenants_currency(office: Office, resend: ResendFake) -> None:
    given = {"creatorName": "Ann", "amountCents": 125000, "payoutUrl": "https://portal.acme.test/pay"}

    office.send("a", "creator_payment_available", variables=given, category="payment")

    assert resend.mails[0].body["subject"] == "$1,250.00 is available to you"
